"""Profiles: the facts of countries, carriers, regions and templates, read from TOML."""
