"""An incident: one outage, about which one or more bulletins are issued."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class IncidentState(StrEnum):
    """How far an outage has got."""

    INVESTIGATING = "investigating"
    IDENTIFIED = "identified"
    RESTORED = "restored"


class Service(StrEnum):
    """What an outage takes away from people."""

    VOICE = "voice"
    SMS = "sms"
    MOBILE_DATA = "mobile_data"
    FIXED_INTERNET = "fixed_internet"
    IPTV = "iptv"
    CARD_PAYMENT = "card_payment"
    EMERGENCY_CALL = "emergency_call"


@dataclass(frozen=True, slots=True)
class Incident:
    """One outage.

    Attributes:
        incident_id: short name, unique in the database, such as ``kt-20211025``.
        carrier: code of the operator whose network fails.
        services: what does not work.
        started_at: when it began, as far as known; aware.
        state: how far it has got.
    """

    incident_id: str
    carrier: str
    services: tuple[Service, ...]
    started_at: datetime
    state: IncidentState
