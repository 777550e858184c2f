"""Short messages as the centre keeps them: from submission to a final state.

A message is ENROUTE, then final; query_sm, cancel_sm and replace_sm look here. Fields that go out
again as they came in are kept as octets, so that taking a message costs little.
"""

import random
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from cbgateway.codec import smpp
from cbsim.refusal import Refusal
from cbsim.scenario import States
from cbsim.texts import text_of

STATE_BY_NAME = {
    "DELIVRD": smpp.MessageState.DELIVERED,
    "UNDELIV": smpp.MessageState.UNDELIVERABLE,
    "ACCEPTD": smpp.MessageState.ACCEPTED,
    "REJECTD": smpp.MessageState.REJECTED,
    "EXPIRED": smpp.MessageState.EXPIRED,
}
RECEIPT_NAMES = {
    smpp.MessageState.SCHEDULED: "SCHEDLD",
    smpp.MessageState.ENROUTE: "ENROUTE",
    smpp.MessageState.DELETED: "DELETED",
    smpp.MessageState.UNKNOWN: "UNKNOWN",
    smpp.MessageState.SKIPPED: "SKIPPED",
} | {state: name for name, state in STATE_BY_NAME.items()}
"""How a receipt's text names a state (SMPP 3.4 appendix B)."""
ERROR_CODES = {
    smpp.MessageState.UNDELIVERABLE: 1,
    smpp.MessageState.EXPIRED: 2,
    smpp.MessageState.REJECTED: 3,
    smpp.MessageState.DELETED: 4,
}
"""error_code of query_sm_resp, and err of a receipt; 0 for the others."""

ENROUTE = smpp.MessageState.ENROUTE
DELIVERED = smpp.MessageState.DELIVERED
_ID_WRITERS: dict[str, Callable[[int], str]] = {
    "hex-zeros": "{:08x}".format,
    "hex": "{:x}".format,
    "hex-upper": "{:X}".format,
    "decimal": str,
    "decimal-zeros": "{:010d}".format,
}


def write_id(number: int, form: str) -> str:
    """Write a message's number as its message_id."""
    return _ID_WRITERS[form](number)


@dataclass(frozen=True, slots=True)
class Submission:
    """What an ESME hands in, whichever command it came by.

    Attributes:
        service_type: with its final NUL.
        source: type of number, numbering plan, and address with its final NUL.
        destination: as source.
        times: schedule_delivery_time and validity_period.
        text: short_message, or message_payload.
        tlvs: all of them.
    """

    service_type: bytes
    source: bytes
    destination: bytes
    esm_class: int
    protocol_id: int
    priority_flag: int
    times: tuple[str, str]
    registered_delivery: int
    replace_if_present_flag: int
    data_coding: int
    sm_default_msg_id: int
    text: bytes
    tlvs: tuple[smpp.Tlv, ...] = ()

    def tlv(self, tag: int) -> bytes | None:
        """Give the value of the first TLV with this tag; None when there is none."""
        return next((tlv.value for tlv in self.tlvs if tlv.tag == tag), None)


class Message:
    """One message to one recipient."""

    __slots__ = (
        "data_coding",
        "destination",
        "error_code",
        "esm_class",
        "fate",
        "final_at_s",
        "message_id",
        "not_before_s",
        "number",
        "registered_delivery",
        "service_type",
        "source",
        "state",
        "submitted_at_s",
        "system_id",
        "text",
        "tlvs",
        "version",
    )

    def __init__(
        self, number: int, message_id: str, system_id: str, taken: Submission, now_s: float
    ) -> None:
        """Take a message.

        Args:
            number: counts messages.
            message_id: as it is answered.
            system_id: who submitted it.
            taken: what was submitted.
            now_s: when.
        """
        self.number = number
        self.message_id = message_id
        self.system_id = system_id
        self.service_type = taken.service_type
        self.source = taken.source
        self.destination = taken.destination
        self.esm_class = taken.esm_class
        self.registered_delivery = taken.registered_delivery
        self.data_coding = taken.data_coding
        self.text = taken.text
        self.tlvs = taken.tlvs
        self.submitted_at_s = now_s
        self.not_before_s = now_s
        self.state: int = ENROUTE
        self.fate: int = DELIVERED
        self.final_at_s = 0.0
        self.error_code = 0
        self.version = 0x34

    @property
    def recipient(self) -> str:
        """The recipient's address."""
        return self.destination[2:-1].decode("ascii")

    @property
    def final_date(self) -> str:
        """When it became final, as SMPP writes times; empty before."""
        if not self.is_final:
            return ""
        return smpp.format_absolute_time(datetime.fromtimestamp(self.final_at_s, UTC))

    @property
    def is_final(self) -> bool:
        """Tell whether nothing more will become of it."""
        return self.final_at_s > 0

    def facts(self) -> dict[str, Any]:
        """Tell what can be told of it."""
        return {
            "message_id": self.message_id,
            "system_id": self.system_id,
            "source": self.source[2:-1].decode("ascii"),
            "destination": self.recipient,
            "state": smpp.MessageState(self.state).name,
            "submitted_at_s": self.submitted_at_s,
            "final_at_s": self.final_at_s or None,
            "registered_delivery": self.registered_delivery,
            "data_coding": self.data_coding,
            "text": text_of(self.text, self.data_coding, self.esm_class),
            "octets": self.text.hex(),
        }

    def end(self, state: int, now_s: float) -> None:
        """Put it into its final state."""
        self.state = state
        self.final_at_s = now_s
        self.error_code = ERROR_CODES.get(smpp.MessageState(state), 0)


class MessageStore:
    """The messages that the centre remembers; the oldest are forgotten."""

    def __init__(self) -> None:
        """Begin with none."""
        self._by_id: OrderedDict[str, Message] = OrderedDict()
        self.pending: dict[Message, None] = {}
        self.forgotten = 0

    def __len__(self) -> int:
        """Tell how many are remembered."""
        return len(self._by_id)

    def newest(self) -> Iterator[Message]:
        """Give all of them, newest first."""
        return reversed(self._by_id.values())

    def add(self, message: Message, *, most: int) -> None:
        """Remember one more."""
        by_id = self._by_id
        by_id.setdefault(message.message_id, message)  # those to several share one
        while len(by_id) > most:
            by_id.popitem(last=False)
            self.forgotten += 1

    def clear(self) -> None:
        """Forget everything."""
        self._by_id.clear()
        self.pending.clear()

    def get(self, message_id: str) -> Message | None:
        """Find a message by its message_id."""
        return self._by_id.get(message_id)

    def find(self, message_id: str, system_id: str, source: bytes, status: int) -> Message:
        """Find a message that an ESME asks about; a source that it names has to be the message's.

        Raises:
            Refusal: there is none that is its own.
        """
        message = self._by_id.get(message_id)
        if message is None or message.system_id != system_id:
            raise Refusal(status, f"no message {message_id!r}")
        if source[2:-1] and source[2:] != message.source[2:]:
            named = source[2:-1].decode("ascii", "replace")
            raise Refusal(status, f"message {message_id!r} is not from {named!r}")
        return message

    def matching(
        self, system_id: str, source: bytes, destination: bytes, service_type: bytes | None
    ) -> list[Message]:
        """Find an ESME's messages under way between two addresses."""
        return [
            message
            for message in self.pending
            if message.system_id == system_id
            and message.source == source
            and message.destination == destination
            and service_type in {None, message.service_type}
        ]


def draw_fate(states: States, first: str, rng: random.Random) -> int:
    """Choose the final state of a message by its recipient's first digit, or by share."""
    if first in states.by_first_digit:
        return STATE_BY_NAME[states.by_first_digit[first]]
    shares = (
        (states.undeliv, smpp.MessageState.UNDELIVERABLE),
        (states.acceptd, smpp.MessageState.ACCEPTED),
        (states.rejectd, smpp.MessageState.REJECTED),
        (states.expired, smpp.MessageState.EXPIRED),
    )
    if not any(share for share, _ in shares):
        return DELIVERED
    drawn = rng.random()
    for share, state in shares:
        if drawn < share:
            return state
        drawn -= share
    return DELIVERED


def has_fixed_fate(states: States) -> bool:
    """Tell whether every message is simply delivered, at once."""
    return (
        not states.by_first_digit
        and states.enroute.is_none
        and not states.strict_numbers
        and not (states.undeliv or states.acceptd or states.rejectd or states.expired)
    )
