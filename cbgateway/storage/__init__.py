"""Stores: where an accepted bulletin is committed."""
