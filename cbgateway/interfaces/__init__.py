"""The documents that people and machines exchange with the gateway."""
