"""What carriers tell and subscribers write: delivery receipts and incoming messages."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from typing import NamedTuple


class MessageState(IntEnum):
    """What became of a short message (SMPP 5.0 4.7.15)."""

    SCHEDULED = 0
    ENROUTE = 1
    DELIVERED = 2
    EXPIRED = 3
    DELETED = 4
    UNDELIVERABLE = 5
    ACCEPTED = 6
    UNKNOWN = 7
    REJECTED = 8
    SKIPPED = 9


NOTHING_YET = 0
"""What stands for a message of which no receipt has come; SCHEDULED is told as ENROUTE."""
PASSING = frozenset({NOTHING_YET, MessageState.ENROUTE, MessageState.UNKNOWN})
"""States after which another one is to be expected."""


def next_state(state: int, told: MessageState) -> int:
    """Give the state of a message after a receipt; the first final one stays."""
    if state not in PASSING:
        return state
    if told in {MessageState.SCHEDULED, MessageState.ENROUTE}:
        return state or MessageState.ENROUTE
    return told


NEXT_STATES = tuple(
    bytes(next_state(state, told) for state in range(len(MessageState))) for told in MessageState
)
"""The same as a table: by what is told, the states that follow those there are."""


def message_states(states: bytes, parts: int) -> bytes:
    """Join the states of a text's parts into one for each recipient.

    What is not known of a part is not known of the text; else a part that did not arrive decides.
    """
    if parts == 1:
        return states
    joined = bytearray()
    for at in range(0, len(states), parts):
        of_parts = states[at : at + parts]
        passing = [state for state in of_parts if state in PASSING]
        failed = [state for state in of_parts if state != MessageState.DELIVERED]
        joined.append((passing or failed or [MessageState.DELIVERED])[0])
    return bytes(joined)


class AreaOnAir(NamedTuple):
    """What a peer says of a broadcast in one area, when it is asked.

    Attributes:
        name: of the area as the peer knows it; empty for all that the order went to.
        percent: of it that was reached; None when the peer does not know.
        cells: how many it was asked about; None where it tells nothing of cells.
        broadcasts: how often the cells that have it on air have sent it, the fewest and the most.
    """

    name: str
    percent: int | None
    cells: int | None = None
    broadcasts: tuple[int, int] | None = None


class Receipt(NamedTuple):
    """What a centre tells of a message that it took.

    Attributes:
        message_id: how the centre calls it, as it stands there; empty when it tells none.
        state: what became of it; UNKNOWN when that cannot be read.
        subscriber: whom it was for, as the centre writes numbers.
        originator: whom it was from.
        reference: our user_message_reference, when the centre sends it back.
    """

    message_id: bytes
    state: MessageState
    subscriber: str
    originator: str
    reference: int | None


@dataclass(frozen=True, slots=True)
class IncomingMessage:
    """What a subscriber wrote, or a part of it.

    Attributes:
        source: the subscriber's number, as the centre writes it.
        destination: the number it was sent to.
        text: what it says; what cannot be read is replaced by U+FFFD.
        part: which part of a longer text it is, from 1 on.
        parts: how many that text has.
        reference: what the parts of one text have in common.
    """

    source: str
    destination: str
    text: str
    part: int = 1
    parts: int = 1
    reference: int = 0


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """An incoming message that waits to be handled.

    Attributes:
        message_number: in the order in which they came.
        peer_id: the carrier that it came from.
    """

    message_number: int
    peer_id: str
    received_at: datetime
    message: IncomingMessage


@dataclass(frozen=True, slots=True)
class ParkedReceipt:
    """A receipt whose message is not known, or not yet.

    Attributes:
        receipt_number: in the order in which they came.
    """

    receipt_number: int
    peer_id: str
    received_at: datetime
    receipt: Receipt


@dataclass(frozen=True, slots=True)
class TakenIds:
    """What a peer calls messages of a chunk that follow one another.

    Attributes:
        delivery_id: the chunk.
        parts: messages that the text was cut into.
        indexes: which recipients, in order; one after another.
        ids: for each part of each recipient's, as the peer wrote it; empty where it took none.
    """

    delivery_id: int
    parts: int
    indexes: range
    ids: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class ReceiptStates:
    """What receipts have told of a chunk.

    Attributes:
        parts: messages that the text was cut into.
        states: one octet for each part of each recipient's, 0 for nothing yet.
    """

    parts: int
    states: bytes
