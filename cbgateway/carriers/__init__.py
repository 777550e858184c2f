"""Carrier interfaces: one folder per protocol, each a sans-IO session with an asyncio link."""
