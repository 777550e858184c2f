"""Simulators of network elements and phones, for tests without network hardware."""
