"""submit_sm in bulk, and its answers: whole windows of octets without an object per message.

Theory of operation: one text for many subscribers differs in two fields, destination and sequence
number. A template has the ordinary encoder write everything once, and fills both fields column by
column. Answers are read the same way: where PDUs of one length follow one another, each octet of
their headers is a column that is looked at as a whole. What is not a plain whole submit_sm_resp is
left to the ordinary framer, so that both ways of reading give the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise, takewhile
from struct import Struct, pack, unpack

from cbgateway.codec.smpp import (
    HEADER_OCTETS,
    PDU_OCTETS_MAX,
    SEQUENCE_NUMBER_MAX,
    CommandId,
    Framer,
    Pdu,
    Tlv,
    Unparsed,
    decode,
    encode,
)
from cbgateway.codec.smpp_fields import ADDRESS_OCTETS_MAX, CLAUSE
from cbgateway.codec.smpp_pdu import SubmitSm
from cbgateway.codec.smpp_receipt import ReceiptReader, Receipts
from cbgateway.domain.errors import EncodeError

BLOCK_MESSAGES = 256
"""Messages whose columns are filled together; so many stay in a processor's cache."""
RUN_ANSWERS_MAX = 1_024
"""Answers that are looked at together: a run that ends early costs no look at all that follows."""
RECEIPT_MASK = 0x03
"""Bits of registered_delivery that ask for a receipt (SMPP 5.0 4.7.21)."""
MESSAGE_ID_OCTETS_MAX = 65
PLAIN_OCTETS_MAX = HEADER_OCTETS + MESSAGE_ID_OCTETS_MAX
"""A submit_sm_resp that is longer has TLVs, or is broken."""

_COMMAND_LENGTH = Struct(">I")
_SEQUENCE_AT = 12
_STATUS_AT = 8
_ID_AND_LENGTH = 8  # octets of a header that are the same in PDUs of one kind and length
_RESPONSE = int(CommandId.SUBMIT_SM_RESP).to_bytes(4, "big")
_NO_CHARACTER = bytes(octet == 0 or not bytes([octet]).isascii() for octet in range(256))
"""Maps what may stand in a message_id to 0, and everything else to 1."""


@dataclass(frozen=True, slots=True)
class _Part:
    """One PDU of a message, with room for an address of no characters."""

    octets: bytes
    address_at: int

    def with_room(self, length: int) -> bytes:
        """Give the octets for addresses of a length, which are left zero."""
        at = self.address_at
        total = _COMMAND_LENGTH.pack(len(self.octets) + length)
        return total + self.octets[4:at] + bytes(length) + self.octets[at:]


class SubmitTemplate:
    """One text as submit_sm, for any subscribers.

    Attributes:
        parts: PDUs that each message has.
        wants_receipts: whether the centre is asked for delivery receipts.
    """

    def __init__(self, messages: Sequence[tuple[SubmitSm, tuple[Tlv, ...]]]) -> None:
        """Have the ordinary encoder write every part, once.

        Args:
            messages: the parts of one message in order; their destinations give type and plan of
                the numbers, and no address.

        Raises:
            EncodeError: a part cannot be written, or would be too long with an address.
        """
        self.parts = len(messages)
        self.wants_receipts = any(body.registered_delivery & RECEIPT_MASK for body, _ in messages)
        self._parts = tuple(_part(body, tlvs) for body, tlvs in messages)

    def join(self, destinations: Sequence[str], first_sequence_number: int) -> bytes:
        """Write all parts of a message to each of some subscribers, numbered one by one.

        Raises:
            EncodeError: an address does not fit its field, or the numbers run out.
        """
        count = len(destinations) * self.parts
        last = first_sequence_number + count - 1
        if count and not 0 <= first_sequence_number <= last <= SEQUENCE_NUMBER_MAX:
            problem = f"{first_sequence_number}..{last} is not in 0..{SEQUENCE_NUMBER_MAX}"
            raise EncodeError(problem, field="sequence_number", clause="SMPP 5.0 3.2.1.4")
        pieces: list[bytearray] = []
        number = first_sequence_number
        for length, group in groupby(destinations, key=len):
            same = list(group)
            for start in range(0, len(same), BLOCK_MESSAGES):
                block = same[start : start + BLOCK_MESSAGES]
                pieces.append(self._block(block, length, number))
                number += len(block) * self.parts
        return b"".join(pieces)

    def _block(self, destinations: list[str], length: int, first: int) -> bytearray:
        """Write messages to subscribers whose addresses have one length."""
        text = "".join(destinations)
        if not text.isascii() or "\0" in text:
            raise EncodeError("holds ASCII without NUL", field="destination_addr", clause=CLAUSE)
        if length >= ADDRESS_OCTETS_MAX:
            problem = f"{length} characters, at most {ADDRESS_OCTETS_MAX - 1}"
            raise EncodeError(problem, field="destination_addr", clause=CLAUSE)
        addresses = text.encode("ascii")
        count = len(destinations) * self.parts
        numbers = pack(f">{count}I", *range(first, first + count))
        parts = [part.with_room(length) for part in self._parts]
        message = b"".join(parts)
        octets = bytearray(message * len(destinations))
        stride, begin = len(message), 0
        for index, part in enumerate(self._parts):
            for column in range(4):
                at = begin + _SEQUENCE_AT + column
                octets[at::stride] = numbers[4 * index + column :: 4 * self.parts]
            for column in range(length):
                octets[begin + part.address_at + column :: stride] = addresses[column::length]
            begin += len(parts[index])
        return octets


def _part(body: SubmitSm, tlvs: tuple[Tlv, ...]) -> _Part:
    octets = encode(Pdu(body, sequence_number=1, tlvs=tlvs))
    if len(octets) + ADDRESS_OCTETS_MAX > PDU_OCTETS_MAX:
        problem = f"{len(octets)} octets and an address, at most {PDU_OCTETS_MAX}"
        raise EncodeError(problem, field="command_length", clause="SMPP 5.0 3.2.1.1")
    before = takewhile(lambda item: item[0] != "destination", body.LAYOUT.items())
    at = HEADER_OCTETS + sum(len(kind.write(name, getattr(body, name))) for name, kind in before)
    return _Part(octets, at + 2)  # type of number and numbering plan stand in front


@dataclass(frozen=True, slots=True)
class SubmitAnswers:
    """Plain submit_sm_resp that came one after another.

    Attributes:
        numbers: their sequence numbers.
        statuses: their command_status, one each.
        starts: where in `octets` each begins.
        octets: all of them, as they came.
    """

    numbers: Sequence[int]
    statuses: Sequence[int]
    starts: Sequence[int]
    octets: bytes

    def ids(self, begin: int, end: int) -> list[bytes]:
        """Give the message_id of each from `begin` up to `end`; empty where there is none."""
        octets, starts = self.octets, [*self.starts[begin : end + 1], len(self.octets)]
        return [
            octets[start + HEADER_OCTETS : following - 1]
            for start, following in pairwise(starts[: end - begin + 1])
        ]

    def pdu(self, index: int) -> Pdu:
        """Read one of them as the ordinary decoder does."""
        start = self.starts[index]
        (length,) = _COMMAND_LENGTH.unpack_from(self.octets, start)
        return decode(self.octets[start : start + length])


Item = Pdu | Unparsed | SubmitAnswers | Receipts
"""What an `AnswerFramer` gives."""


class AnswerFramer:
    """Cuts octets into PDUs as `smpp.Framer` does; takes plain answers and receipts together."""

    def __init__(self) -> None:
        """Make a framer."""
        self._framer = Framer()
        self._receipts = ReceiptReader()
        self._buffer = bytearray()
        self._is_lost = False

    def receive(self, octets: bytes) -> list[Item]:
        """Take octets; gives what is whole now.

        After an `Unparsed` whose error has `framing_lost`, nothing more is read.
        """
        if self._is_lost:
            return []
        buffer = self._buffer
        buffer += octets
        items: list[Item] = []
        at = 0
        while True:
            answers, at = read_answers(buffer, at)
            if answers.numbers:
                items.append(answers)
            receipts, at = self._receipts.read(buffer, at)
            if receipts.numbers:
                items.append(receipts)
                continue
            if len(buffer) - at < 4:  # noqa: PLR2004 - command_length
                break
            (length,) = _COMMAND_LENGTH.unpack_from(buffer, at)
            is_believable = HEADER_OCTETS <= length <= PDU_OCTETS_MAX
            if is_believable and len(buffer) - at < length:
                break
            # A length that cannot be believed is lost whatever follows: four octets tell.
            end = at + (length if is_believable else 4)
            items += self._framer.receive(bytes(buffer[at:end]))
            at = end
            if not is_believable:
                self._is_lost = True
                break
        del buffer[:at]
        return items

    @property
    def is_incomplete(self) -> bool:
        """Tell whether the beginning of a PDU waits for its end."""
        return bool(self._buffer) and not self._is_lost


def read_answers(buffer: bytes | bytearray, at: int) -> tuple[SubmitAnswers, int]:
    """Read the plain whole submit_sm_resp that stand one after another from `at` on.

    Returns:
        What they say, perhaps nothing, and where what is not one of them begins.
    """
    numbers: list[int] = []
    statuses: list[int] = []
    starts: list[int] = []
    begin = at
    while True:
        if len(buffer) - at < HEADER_OCTETS or buffer[at + 4 : at + 8] != _RESPONSE:
            break
        (length,) = _COMMAND_LENGTH.unpack_from(buffer, at)
        if not HEADER_OCTETS <= length <= PLAIN_OCTETS_MAX:
            break
        count = _plain(buffer, at, length)
        if not count:
            break
        end = at + count * length
        found = _column_numbers(buffer, at + _SEQUENCE_AT, end, length, count)
        says = _column_numbers(buffer, at + _STATUS_AT, end, length, count)
        good = _good(found, says, has_body=length > HEADER_OCTETS)
        numbers += found[:good]
        statuses += says[:good]
        starts += range(at - begin, at - begin + good * length, length)
        at += good * length
        if good < count:
            break
    return SubmitAnswers(numbers, statuses, starts, bytes(buffer[begin:at])), at


def _plain(buffer: bytes | bytearray, at: int, length: int) -> int:
    """Count the PDUs from `at` on that begin and end alike, and whose message_id is one."""
    following = buffer[at + length : at + length + _ID_AND_LENGTH]
    is_run = following == buffer[at : at + _ID_AND_LENGTH]
    count = min(RUN_ANSWERS_MAX if is_run else 1, (len(buffer) - at) // length)
    end = at + count * length
    if is_run:
        for column in range(at, at + _ID_AND_LENGTH):
            octets = buffer[column:end:length]
            count = min(count, len(octets) - len(octets.lstrip(octets[:1])))
            end = at + count * length
    if length == HEADER_OCTETS:
        return count
    octets = buffer[at + length - 1 : end : length]
    count = len(octets) - len(octets.lstrip(b"\0"))
    for column in range(at + HEADER_OCTETS, at + length - 1):
        bad = buffer[column : at + count * length : length].translate(_NO_CHARACTER).find(1)
        count = count if bad < 0 else bad
    return count


def _column_numbers(
    buffer: bytes | bytearray, at: int, end: int, length: int, count: int
) -> Sequence[int]:
    """Read the four-octet number that stands at the same place in PDUs of one length."""
    octets = bytearray(4 * count)
    for column in range(4):
        octets[column::4] = buffer[at + column : end : length]
    return unpack(f">{count}I", octets)


def _good(numbers: Sequence[int], statuses: Sequence[int], *, has_body: bool) -> int:
    """Count the answers before the first that the ordinary decoder would not read."""
    if min(numbers) > 0 and max(numbers) <= SEQUENCE_NUMBER_MAX and (has_body or all(statuses)):
        return len(numbers)
    return next(
        index
        for index, (number, status) in enumerate(zip(numbers, statuses, strict=True))
        if not 0 < number <= SEQUENCE_NUMBER_MAX or not (has_body or status)
    )
