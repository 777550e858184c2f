"""Delivery receipts: what a message centre tells of a message that it took (SMPP 3.4 appendix B).

Theory of operation: a receipt is a deliver_sm or data_sm whose esm_class says so. What it tells
stands in TLVs, in a text that every vendor writes a little differently, or in both; TLVs are
believed first. Receipts come as fast as messages leave, so those in the usual form are read with
patterns and no object for the PDU: the first by one that fits all, those of the same lengths that
follow it by one of their own. Everything else is left to the ordinary decoder, and all ways of
reading give the same.
"""

import re
from dataclasses import dataclass
from struct import Struct, unpack

from cbgateway.codec.smpp import (
    HEADER_OCTETS,
    SEQUENCE_NUMBER_MAX,
    CommandId,
    DataSm,
    DeliverSm,
    DeliverSmResp,
    Pdu,
    TlvTag,
    encode,
)
from cbgateway.domain.incoming import MessageState, Receipt

MESSAGE_TYPE_MASK = 0x3C
"""Bits of esm_class that tell what kind of message it is (SMPP 5.0 4.7.12.2)."""
DELIVERY_RECEIPT = 0x04
INTERMEDIATE_NOTIFICATION = 0x20


_WORDS = {
    b"ENROUTE": MessageState.ENROUTE,
    b"DELIVRD": MessageState.DELIVERED,
    b"EXPIRED": MessageState.EXPIRED,
    b"DELETED": MessageState.DELETED,
    b"UNDELIV": MessageState.UNDELIVERABLE,
    b"ACCEPTD": MessageState.ACCEPTED,
    b"UNKNOWN": MessageState.UNKNOWN,
    b"REJECTD": MessageState.REJECTED,
    b"SKIPPED": MessageState.SKIPPED,
}
_STATES = {int(state): state for state in MessageState}


@dataclass(frozen=True, slots=True)
class Receipts:
    """Receipts in the usual form that came one after another.

    Attributes:
        numbers: their sequence numbers.
        receipts: what they tell.
    """

    numbers: list[int]
    receipts: list[Receipt]


_ID = re.compile(rb"\bid:[ ]*([^ \0]*)", re.IGNORECASE)
_STAT = re.compile(rb"\bstat:[ ]*([A-Za-z]*)", re.IGNORECASE)


def read_receipt(pdu: Pdu) -> Receipt | None:
    """Read a receipt; None for what is no receipt.

    Spec: SMPP 3.4 appendix B, SMPP 5.0 4.3.1, 4.8.4.47 (receipted_message_id).
    """
    body = pdu.body
    if not isinstance(body, DeliverSm | DataSm):
        return None
    if body.esm_class & MESSAGE_TYPE_MASK not in {DELIVERY_RECEIPT, INTERMEDIATE_NOTIFICATION}:
        return None
    text = body.short_message if isinstance(body, DeliverSm) else b""
    reference = pdu.tlv(TlvTag.USER_MESSAGE_REFERENCE)
    return _receipt(
        text or pdu.tlv(TlvTag.MESSAGE_PAYLOAD) or b"",
        pdu.tlv(TlvTag.RECEIPTED_MESSAGE_ID),
        pdu.tlv(TlvTag.MESSAGE_STATE),
        None if reference is None else int.from_bytes(reference, "big"),
        (body.source.address, body.destination.address),
    )


def _receipt(
    text: bytes,
    named: bytes | None,
    stated: bytes | None,
    reference: int | None,
    addresses: tuple[str, str],
) -> Receipt:
    """Join what TLVs and text tell."""
    if named:
        message_id = named.partition(b"\0")[0]
    else:
        found = _ID.search(text)
        message_id = found[1] if found else b""
    if stated:
        state = _STATES.get(stated[-1], MessageState.UNKNOWN)
    else:
        found = _STAT.search(text)
        word = found[1].upper() if found else b""
        state = _WORDS.get(word, MessageState.UNKNOWN)
    return Receipt(message_id, state, addresses[0], addresses[1], reference)


_LENGTH = Struct(">I")
_DELIVER = int(CommandId.DELIVER_SM).to_bytes(4, "big") + bytes(4)
_SEQUENCE = Struct(">I")
_SEQUENCE_AT = 12
_STATUS_END = 12
_USUAL = re.compile(
    # service_type, source and destination with ton and npi, a receipt without user data header,
    # protocol_id, priority_flag, no times, registered_delivery, replace_if_present_flag,
    # data_coding, sm_default_msg_id, sm_length
    rb"[\x01-\x7f]{0,5}\0..([\x01-\x7f]{0,20})\0..([\x01-\x7f]{0,20})\0[\x04-\x07]..\0\0....(.)",
    re.DOTALL,
)
_TLV = Struct(">HH")
_PLAIN_TLVS = {
    int(TlvTag.RECEIPTED_MESSAGE_ID): (2, 65),
    int(TlvTag.MESSAGE_STATE): (1, 1),
    int(TlvTag.USER_MESSAGE_REFERENCE): (2, 2),
    int(TlvTag.NETWORK_ERROR_CODE): (3, 3),
}
"""TLVs of receipts in the usual form, with the octets that their values may have."""
RUN_RECEIPTS_MAX = 1_024
"""Receipts that are read together, before anything else is looked at."""
RUN_RECEIPTS_MIN = 4
"""Receipts alike that are worth a pattern of their own."""
SHAPES_MAX = 64
"""Shapes that one connection has patterns for: a centre has a few, and each costs a millisecond."""


@dataclass(frozen=True, slots=True)
class _Shape:
    """How long every field of a receipt in the usual form is.

    Attributes:
        tlvs: tag and octets of the value of each.
    """

    service_type: int
    source: int
    destination: int
    text: int
    tlvs: tuple[tuple[int, int], ...]

    def pattern(self) -> re.Pattern[bytes]:
        """Write the pattern of those that are as long: no two of its matches have other lengths."""
        text = b".{%d}" if self._tells_all() else b"(?P<text>.{%d})"
        pieces = [
            rb".{12}(?P<number>.{4})[\x01-\x7f]{%d}\0.." % self.service_type,
            rb"(?P<source>[\x01-\x7f]{%d})\0.." % self.source,
            rb"(?P<destination>[\x01-\x7f]{%d})\0[\x04-\x07]..\0\0...." % self.destination,
            re.escape(bytes([self.text])) + text % self.text,
        ]
        for tag, size in self.tlvs:
            pieces.append(re.escape(_TLV.pack(tag, size)))
            pieces.append(_value_pattern(tag, size))
        return re.compile(b"".join(pieces), re.DOTALL)

    def _tells_all(self) -> bool:
        """Tell whether nothing is to be looked for in the text."""
        tags = {tag for tag, _ in self.tlvs}
        return {TlvTag.MESSAGE_STATE, TlvTag.RECEIPTED_MESSAGE_ID} <= tags


def _value_pattern(tag: int, size: int) -> bytes:
    match tag:
        case TlvTag.RECEIPTED_MESSAGE_ID:
            return rb"(?P<named>[\x01-\x7f]{%d})\0" % (size - 1)
        case TlvTag.MESSAGE_STATE:
            return b"(?P<stated>.)"
        case TlvTag.USER_MESSAGE_REFERENCE:
            return b"(?P<reference>..)"
        case _:
            return b".{%d}" % size


class ReceiptReader:
    """Reads receipts in the usual form, faster those that look like others that came before."""

    def __init__(self) -> None:
        """Begin with no pattern."""
        self._patterns: dict[_Shape, re.Pattern[bytes]] = {}

    def read(self, buffer: bytes | bytearray, at: int) -> tuple[Receipts, int]:
        """Read the whole receipts in the usual form that stand one after another from `at` on.

        Returns:
            What they tell, perhaps nothing, and where what is not one of them begins.
        """
        numbers: list[int] = []
        receipts: list[Receipt] = []
        available = len(buffer)
        one_by_one = 0
        while len(receipts) < RUN_RECEIPTS_MAX and available - at > HEADER_OCTETS:
            if buffer[at + 4 : at + _STATUS_END] != _DELIVER:
                break
            (length,) = _LENGTH.unpack_from(buffer, at)
            (number,) = _SEQUENCE.unpack_from(buffer, at + _SEQUENCE_AT)
            end = at + length
            if length <= HEADER_OCTETS or end > available or not 0 < number <= SEQUENCE_NUMBER_MAX:
                break
            usual = _usual(buffer, at + HEADER_OCTETS, end)
            if usual is None:
                break
            numbers.append(number)
            receipts.append(usual[0])
            at = end
            if one_by_one:
                one_by_one -= 1
                continue
            count = _alike(buffer, at, length, limit=RUN_RECEIPTS_MAX - len(receipts))
            if count < RUN_RECEIPTS_MIN:
                one_by_one = count
                continue
            found = self._read_alike(buffer[at : at + count * length], count, usual[1])
            if found is None:
                one_by_one = count
                continue
            numbers += found.numbers
            receipts += found.receipts
            at += count * length
        return Receipts(numbers, receipts), at

    def _read_alike(self, octets: bytes | bytearray, count: int, shape: _Shape) -> Receipts | None:
        """Read receipts that may have this shape; None when one of them has not."""
        pattern = self._patterns.get(shape)
        if pattern is None:
            if len(self._patterns) == SHAPES_MAX:
                return None
            pattern = self._patterns[shape] = shape.pattern()
        rows = pattern.findall(octets)
        if len(rows) != count:  # each match is as long as a receipt: so many follow one another
            return None
        columns = dict(zip(pattern.groupindex, zip(*rows, strict=True), strict=True))
        numbers = list(unpack(f">{count}I", b"".join(columns["number"])))
        if min(numbers) == 0 or max(numbers) > SEQUENCE_NUMBER_MAX:
            return None
        nothing = [b""] * count
        told = zip(
            columns.get("text", nothing),
            columns.get("named", nothing),
            columns.get("stated", nothing),
            columns.get("reference", nothing),
            columns["source"],
            columns["destination"],
            strict=True,
        )
        if "text" not in columns:
            receipts = [
                Receipt(
                    named,
                    _STATES.get(stated[0], MessageState.UNKNOWN),
                    source.decode("ascii"),
                    destination.decode("ascii"),
                    int.from_bytes(reference, "big") if reference else None,
                )
                for _, named, stated, reference, source, destination in told
            ]
        else:
            receipts = [
                _receipt(
                    text,
                    named,
                    stated,
                    int.from_bytes(reference, "big") if reference else None,
                    (source.decode("ascii"), destination.decode("ascii")),
                )
                for text, named, stated, reference, source, destination in told
            ]
        return Receipts(numbers, receipts)


def _alike(buffer: bytes | bytearray, at: int, length: int, *, limit: int) -> int:
    """Count what follows the receipt that ends at `at`, as long as it and of its kind."""
    header = bytes(buffer[at - length : at - length + _STATUS_END])
    count = min(limit, (len(buffer) - at) // length)
    for column, octet in enumerate(header):
        octets = buffer[at + column : at + count * length : length]
        count = min(count, len(octets) - len(octets.lstrip(bytes([octet]))))
    return count


def _usual(buffer: bytes | bytearray, at: int, end: int) -> tuple[Receipt, _Shape] | None:
    """Read the body of a receipt in the usual form, and its shape; None when it has another."""
    begin = at
    found = _USUAL.match(buffer, at, end)
    if found is None:
        return None
    source, destination, (length,) = found.groups()
    at = found.end()
    text = bytes(buffer[at : at + length])
    at += length
    values: dict[int, bytes] = {}
    while end - at >= _TLV.size:
        tag, size = _TLV.unpack_from(buffer, at)
        at += _TLV.size
        size_min, size_max = _PLAIN_TLVS.get(tag, (1, 0))
        if not size_min <= size <= size_max or tag in values:
            return None
        values[tag] = bytes(buffer[at : at + size])
        at += size
    if at != end:
        return None
    named = values.get(TlvTag.RECEIPTED_MESSAGE_ID)
    if named is not None and (not named.isascii() or named.find(b"\0") != len(named) - 1):
        return None
    reference = values.get(TlvTag.USER_MESSAGE_REFERENCE)
    receipt = _receipt(
        text,
        named,
        values.get(TlvTag.MESSAGE_STATE),
        None if reference is None else int.from_bytes(reference, "big"),
        (source.decode("ascii"), destination.decode("ascii")),
    )
    service_type = found.start(1) - begin - 3  # its end, type of number and numbering plan
    tlvs = tuple((tag, len(value)) for tag, value in values.items())
    return receipt, _Shape(service_type, len(source), len(destination), length, tlvs)


_ANSWER = bytearray(encode(Pdu(DeliverSmResp(), sequence_number=1)))


def write_answers(numbers: list[int]) -> bytes:
    """Write a deliver_sm_resp that says yes for each of some sequence numbers."""
    size = len(_ANSWER)
    octets = _ANSWER * len(numbers)
    column = b"".join(map(_SEQUENCE.pack, numbers))
    for octet in range(4):
        octets[_SEQUENCE_AT + octet :: size] = column[octet::4]
    return bytes(octets)
