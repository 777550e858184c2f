"""A message centre that speaks SMPP 3.4 and 5.0, without its socket (SMPP 5.0 chapters 2 and 4).

The parts stand in modules of their own: `cbsim.centre` what all binds share, `cbsim.session` one
bind, `cbsim.scenario` how it behaves, `cbsim.faults` how it misbehaves.
"""

from cbsim.accounts import Account
from cbsim.broadcasts import VendorTlvs
from cbsim.centre import MessageCentre
from cbsim.refusal import Refusal
from cbsim.session import SmscSession

__all__ = ["Account", "MessageCentre", "Refusal", "SmscSession", "VendorTlvs"]
