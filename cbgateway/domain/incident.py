"""An incident: one outage, about which one or more bulletins are issued."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class IncidentState(StrEnum):
    """How far an outage has got; `lifecycle` has the transitions."""

    SUSPECTED = "suspected"
    """Something looks wrong; nobody has confirmed it."""
    INVESTIGATING = "investigating"
    """Confirmed, and its cause is looked for."""
    IDENTIFIED = "identified"
    """The cause is known."""
    MONITORING = "monitoring"
    """Repaired, and watched."""
    RESTORED = "restored"
    """Over; people were told."""
    POSTMORTEM = "postmortem"
    """Closed; what happened is being written down."""
    FALSE_ALARM = "false_alarm"
    """It never was an outage."""


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
