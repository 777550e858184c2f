"""cbgateway tells people when a network fails: outage bulletins to phones, signed and approved."""

from importlib.metadata import version

__version__ = version("cbgateway")
