"""cbgateway tells people when a network fails: outage bulletins to phones, signed and approved."""

from importlib.metadata import version

__version__ = version("cbgateway")
RELEASED_AT = "2026-11-24"
"""No clock that is right shows an earlier day."""
