"""The MQTT interface: commands in with receipts, events and retained state out."""
