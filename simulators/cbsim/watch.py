"""What happens in a centre: handed to whoever looks, and the newest remembered."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cbsim.handset import Handset, Shown
from cbsim.messages import Message

EVENTS_MAX = 10_000
PDUS_MAX = 10_000
"""Remembered for those who look later; the oldest are forgotten."""

Event = dict[str, Any]


@dataclass(frozen=True, slots=True)
class SeenPdu:
    """Octets that went over a connection, a PDU whole or as a fault left it.

    Attributes:
        direction: ``in`` from the ESME, ``out`` to it.
    """

    at_s: float
    session: int
    direction: str
    octets: bytes


class Watch:
    """Takes in what happens, and calls whoever wants to know.

    Attributes:
        events: the newest, each with its time.
        pdus: the newest.
        on_event: called with each event.
        on_pdu: called with each PDU.
    """

    def __init__(self, now_s: Callable[[], float]) -> None:
        """Begin.

        Args:
            now_s: the simulator's clock.
        """
        self.events: deque[Event] = deque(maxlen=EVENTS_MAX)
        self.pdus: deque[SeenPdu] = deque(maxlen=PDUS_MAX)
        self.on_event: list[Callable[[Event], None]] = []
        self.on_pdu: list[Callable[[SeenPdu], None]] = []
        self._now_s = now_s

    def event(self, event: Event) -> None:
        """Take in an event."""
        event = {"at_s": self._now_s(), **event}
        self.events.append(event)
        for call in self.on_event:
            call(event)

    def pdu(self, session: int, direction: str, octets: bytes) -> None:
        """Take in a PDU."""
        seen = SeenPdu(self._now_s(), session, direction, octets)
        self.pdus.append(seen)
        for call in self.on_pdu:
            call(seen)

    def message(self, message: Message) -> None:
        """Take in that a message was taken, or has ended."""
        self.event({"event": "message", **message.facts()})

    def shown(self, phone: Handset, shown: Shown) -> None:
        """Take in what a phone shows."""
        self.event({"event": "shown", **shown_facts(phone, shown)})

    def clear(self) -> None:
        """Forget everything that was remembered."""
        self.events.clear()
        self.pdus.clear()


def shown_facts(phone: Handset, shown: Shown) -> dict[str, Any]:
    """Tell what a phone shows, in plain values."""
    return {
        "phone": phone.number,
        "region": phone.region,
        "language": phone.language,
        "shown_at_s": shown.at_s,
        "channel": shown.channel,
        "text": shown.text,
        "message_identifier": shown.message_identifier,
        "serial_number": None if shown.serial_number is None else f"{shown.serial_number:04x}",
        "seal": shown.seal.value,
    }
