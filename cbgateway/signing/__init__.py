"""Signatures: canonical form, keys and the seal that a bulletin carries."""
