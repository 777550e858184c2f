"""Octets to values and back, without I/O or clock: alphabets, cell broadcast, SMPP."""
