"""What the gateway is about, in plain values: no I/O, no clock, standard library only."""
