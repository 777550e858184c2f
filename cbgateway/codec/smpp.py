"""SMPP 3.4 and 5.0: octets to protocol data units and back, without a socket.

Whatever octets come, they give a `Pdu`, or an `Unparsed` that says which octet is wrong and what
to answer. A PDU that cannot be read costs that PDU; only a length that cannot be believed costs
the connection.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from struct import Struct
from typing import Any

from cbgateway.codec.smpp_constants import (
    RESPONSE_BIT,
    RETRYABLE,
    CommandId,
    MessageState,
    Status,
    status_name,
)
from cbgateway.codec.smpp_fields import Address, Field, PduError
from cbgateway.codec.smpp_pdu import (
    BODIES,
    NO_ADDRESS,
    AlertNotification,
    BindReceiver,
    BindReceiverResp,
    BindTransceiver,
    BindTransceiverResp,
    BindTransmitter,
    BindTransmitterResp,
    Body,
    BroadcastSm,
    BroadcastSmResp,
    CancelBroadcastSm,
    CancelBroadcastSmResp,
    CancelSm,
    CancelSmResp,
    DataSm,
    DataSmResp,
    DeliverSm,
    DeliverSmResp,
    EnquireLink,
    EnquireLinkResp,
    GenericNack,
    Outbind,
    Pdu,
    QueryBroadcastSm,
    QueryBroadcastSmResp,
    QuerySm,
    QuerySmResp,
    ReplaceSm,
    ReplaceSmResp,
    SubmitSm,
    SubmitSmResp,
    Unbind,
    UnbindResp,
    is_response,
    name_of,
    response_to,
)
from cbgateway.codec.smpp_tlv import RULES, Kind, Tlv, TlvTag, problem_of, tag_name, tlv_value
from cbgateway.domain.errors import DecodeError, EncodeError

__all__ = [
    "BODIES",
    "NO_ADDRESS",
    "RETRYABLE",
    "Address",
    "AlertNotification",
    "BindReceiver",
    "BindReceiverResp",
    "BindTransceiver",
    "BindTransceiverResp",
    "BindTransmitter",
    "BindTransmitterResp",
    "Body",
    "BroadcastSm",
    "BroadcastSmResp",
    "CancelBroadcastSm",
    "CancelBroadcastSmResp",
    "CancelSm",
    "CancelSmResp",
    "CommandId",
    "DataSm",
    "DataSmResp",
    "DeliverSm",
    "DeliverSmResp",
    "EnquireLink",
    "EnquireLinkResp",
    "Framer",
    "GenericNack",
    "Header",
    "MessageState",
    "Outbind",
    "Pdu",
    "PduError",
    "QueryBroadcastSm",
    "QueryBroadcastSmResp",
    "QuerySm",
    "QuerySmResp",
    "ReplaceSm",
    "ReplaceSmResp",
    "Status",
    "SubmitSm",
    "SubmitSmResp",
    "Tlv",
    "TlvTag",
    "Unbind",
    "UnbindResp",
    "Unparsed",
    "check_mandatory_tlvs",
    "decode",
    "encode",
    "fields_of",
    "format_absolute_time",
    "format_relative_time",
    "is_response",
    "name_of",
    "parse_time",
    "response_to",
    "status_name",
    "tag_name",
    "tlv_value",
]

HEADER_OCTETS = 16
PDU_OCTETS_MAX = 70_000
"""A message_payload of 64 KiB, with room for everything around it."""
SEQUENCE_NUMBER_MAX = 0x7FFFFFFF
UDH_INDICATOR = 0x40

_TIME = re.compile(r"[0-9]{15}[-+R]", re.ASCII)
_HEADER = Struct(">IIII")
_TLV_HEADER = Struct(">HH")
_LAYOUTS: Mapping[type[Body], tuple[tuple[str, Field], ...]] = {
    body: tuple(body.LAYOUT.items()) for body in BODIES.values()
}


@dataclass(frozen=True, slots=True)
class Header:
    """The sixteen octets in front of every PDU (SMPP 5.0 3.2)."""

    command_length: int
    command_id: int
    command_status: int
    sequence_number: int

    @property
    def is_response(self) -> bool:
        """Tell whether the PDU answers another one."""
        return bool(self.command_id & RESPONSE_BIT)


@dataclass(frozen=True, slots=True)
class Unparsed:
    """A PDU that cannot be read.

    Attributes:
        header: what it says of itself; None when not even that is there.
    """

    header: Header | None
    error: PduError

    def refusal(self) -> Pdu:
        """Give the generic_nack that answers it.

        A sequence number that no answer may carry is answered with 0 (SMPP 5.0 4.1.4.1).
        """
        number = 0 if self.header is None else self.header.sequence_number
        return Pdu(
            GenericNack(),
            sequence_number=number if number <= SEQUENCE_NUMBER_MAX else 0,
            command_status=self.error.command_status,
        )


def encode(pdu: Pdu) -> bytes:
    """Write a PDU.

    A response with a status other than ESME_ROK and nothing to say is a header alone, as
    SMPP 3.4 4.4.2 and others ask.

    Raises:
        EncodeError: a value does not fit its field, or the whole does not fit a PDU.

    Spec: SMPP 5.0 3.2.
    """
    body = pdu.body
    parts = [kind.write(name, getattr(body, name)) for name, kind in _LAYOUTS[type(body)]]
    if pdu.command_status and not pdu.tlvs and is_response(body) and body == type(body)():
        parts = []
    for tlv in pdu.tlvs:
        problem = problem_of(tlv)
        if problem:
            raise EncodeError(problem, field=tlv.name, clause="SMPP 5.0 4.8.4")
        parts += (_TLV_HEADER.pack(tlv.tag, len(tlv.value)), tlv.value)
    octets = b"".join(parts)
    length = HEADER_OCTETS + len(octets)
    if length > PDU_OCTETS_MAX:
        problem = f"{length} octets, at most {PDU_OCTETS_MAX}"
        raise EncodeError(problem, field="command_length", clause="SMPP 5.0 3.2.1.1")
    if not 0 <= pdu.sequence_number <= SEQUENCE_NUMBER_MAX:
        problem = f"{pdu.sequence_number} is not in 0..{SEQUENCE_NUMBER_MAX}"
        raise EncodeError(problem, field="sequence_number", clause="SMPP 5.0 3.2.1.4")
    header = _HEADER.pack(length, body.COMMAND_ID, pdu.command_status, pdu.sequence_number)
    return header + octets


def decode(octets: bytes) -> Pdu:
    """Read exactly one PDU.

    Raises:
        PduError: the octets break the specification; says where, and what to answer.

    Spec: SMPP 5.0 3.2.
    """
    header = _header(octets)
    body_class = BODIES.get(header.command_id)
    if body_class is None:
        raise PduError(
            f"{header.command_id:#010x} is not known",
            field="command_id",
            offset=4,
            clause="SMPP 5.0 4.7.5",
            command_status=Status.ESME_RINVCMDID,
        )
    if header.sequence_number > SEQUENCE_NUMBER_MAX or (
        header.sequence_number == 0 and body_class is not GenericNack
    ):
        raise PduError(
            f"{header.sequence_number:#010x} is not in 1..{SEQUENCE_NUMBER_MAX:#x}",
            field="sequence_number",
            offset=12,
            clause="SMPP 5.0 4.7.24",
            command_status=Status.ESME_RSYSERR,
        )
    if header.command_status and header.is_response and len(octets) == HEADER_OCTETS:
        return Pdu(body_class(), header.sequence_number, header.command_status)
    values: dict[str, Any] = {}
    offset = HEADER_OCTETS
    for name, kind in _LAYOUTS[body_class]:
        values[name], offset = kind.read(name, octets, offset)
    body = body_class(**values)
    tlvs = _read_tlvs(octets, offset)
    pdu = Pdu(body, header.sequence_number, header.command_status, tlvs)
    if isinstance(body, SubmitSm | DeliverSm | DataSm):
        _check_text(pdu, body, offset)
    return pdu


class Framer:
    """Cuts a stream of octets into PDUs; the pieces they come in make no difference."""

    def __init__(self, *, pdu_octets_max: int = PDU_OCTETS_MAX) -> None:
        """Make a framer.

        Args:
            pdu_octets_max: a longer PDU is not waited for.
        """
        self._pdu_octets_max = pdu_octets_max
        self._buffer = bytearray()
        self._is_lost = False

    def receive(self, octets: bytes) -> list[Pdu | Unparsed]:
        """Take octets; gives what is whole now.

        After an `Unparsed` whose error has `framing_lost`, nothing more is read.
        """
        if self._is_lost:
            return []
        self._buffer += octets
        items: list[Pdu | Unparsed] = []
        start = 0
        while len(self._buffer) - start >= 4:  # noqa: PLR2004 - command_length
            length = int.from_bytes(self._buffer[start : start + 4], "big")
            if not HEADER_OCTETS <= length <= self._pdu_octets_max:
                items.append(self._lose(length))
                break
            if len(self._buffer) - start < length:
                break
            items.append(_item(bytes(self._buffer[start : start + length])))
            start += length
        del self._buffer[:start]
        return items

    @property
    def is_incomplete(self) -> bool:
        """Tell whether the beginning of a PDU waits for its end."""
        return bool(self._buffer) and not self._is_lost

    def _lose(self, length: int) -> Unparsed:
        self._is_lost = True
        error = PduError(
            f"{length} is not in {HEADER_OCTETS}..{self._pdu_octets_max}",
            field="command_length",
            offset=0,
            clause="SMPP 5.0 3.2.1.1",
            command_status=Status.ESME_RINVCMDLEN,
            framing_lost=True,
        )
        return Unparsed(None, error)


def check_mandatory_tlvs(pdu: Pdu) -> None:
    """Check that a broadcast_sm has the TLVs it cannot be without.

    Raises:
        PduError: one is missing.

    Spec: SMPP 5.0 4.4.1.1; with priority_flag 1 broadcast_rep_num may be left out.
    """
    if not isinstance(pdu.body, BroadcastSm):
        return
    needed = [
        TlvTag.BROADCAST_AREA_IDENTIFIER,
        TlvTag.BROADCAST_CONTENT_TYPE,
        TlvTag.BROADCAST_FREQUENCY_INTERVAL,
    ]
    if pdu.body.priority_flag != 1:
        needed.append(TlvTag.BROADCAST_REP_NUM)
    for tag in needed:
        if pdu.tlv(tag) is None:
            raise PduError(
                "is missing",
                field=tag_name(tag),
                offset=HEADER_OCTETS,
                clause="SMPP 5.0 4.4.1.1",
                command_status=Status.ESME_RMISSINGTLV,
            )


def fields_of(body: Body) -> dict[str, Any]:
    """Give a body's fields by their specification names, in order."""
    fields: dict[str, Any] = {}
    for name, kind in _LAYOUTS[type(body)]:
        fields |= kind.named(name, getattr(body, name))
    return fields


def format_absolute_time(at: datetime) -> str:
    """Write a time as SMPP does, in UTC, in tenths of a second.

    Args:
        at: aware.

    Spec: SMPP 5.0 4.7.23.4.
    """
    utc = at.astimezone(UTC)
    return f"{utc:%y%m%d%H%M%S}{utc.microsecond // 100_000}00+"


def format_relative_time(duration: timedelta) -> str:
    """Write a duration as SMPP does, in whole seconds and days.

    Raises:
        EncodeError: it is negative, or longer than 99 days.

    Spec: SMPP 5.0 4.7.23.5.
    """
    if not timedelta() <= duration < timedelta(days=100):
        problem = f"{duration} is not in 0..99 days"
        raise EncodeError(problem, field="time", clause="SMPP 5.0 4.7.23.5")
    minutes, seconds = divmod(duration.seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"0000{duration.days:02}{hours:02}{minutes:02}{seconds:02}000R"


def parse_time(text: str) -> datetime | timedelta:
    """Read a time: a moment, aware, or a duration from now.

    In a duration a year has 365 days and a month 30.

    Raises:
        DecodeError: it is neither.

    Spec: SMPP 5.0 4.7.23.
    """
    if not _TIME.fullmatch(text):
        problem = f"{text[:20]!r} is not YYMMDDhhmmsstnnp"
        raise DecodeError(problem, field="time", offset=0, clause="SMPP 5.0 4.7.23")
    try:
        year, month, day, hour, minute, second = (int(text[i : i + 2]) for i in range(0, 12, 2))
        tenths, quarters = int(text[12]), int(text[13:15])
        if text[15] == "R":
            return timedelta(
                days=year * 365 + month * 30 + day, hours=hour, minutes=minute, seconds=second
            )
        sign = 1 if text[15] == "+" else -1
        local = datetime(2000 + year, month, day, hour, minute, second, tenths * 100_000, UTC)
        return local - sign * timedelta(minutes=15 * quarters)
    except (ValueError, OverflowError):
        problem = f"{text!r} is no day of the calendar"
        raise DecodeError(problem, field="time", offset=0, clause="SMPP 5.0 4.7.23") from None


def _item(octets: bytes) -> Pdu | Unparsed:
    try:
        return decode(octets)
    except PduError as error:
        return Unparsed(_header(octets), error)


def _header(octets: bytes) -> Header:
    if len(octets) < HEADER_OCTETS:
        raise PduError(
            f"{len(octets)} octets, a header has {HEADER_OCTETS}",
            field="header",
            offset=len(octets),
            clause="SMPP 5.0 3.2",
            command_status=Status.ESME_RINVCMDLEN,
            framing_lost=True,
        )
    header = Header(*_HEADER.unpack_from(octets))
    if header.command_length != len(octets):
        raise PduError(
            f"says {header.command_length} octets, {len(octets)} are there",
            field="command_length",
            offset=0,
            clause="SMPP 5.0 3.2.1.1",
            command_status=Status.ESME_RINVCMDLEN,
            framing_lost=True,
        )
    return header


def _read_tlvs(octets: bytes, offset: int) -> tuple[Tlv, ...]:
    tlvs = []
    seen: set[int] = set()
    while offset < len(octets):
        if offset + 4 > len(octets):
            raise _tlv_error("TLV", "the PDU ends inside its header", offset)
        tag, length = _TLV_HEADER.unpack_from(octets, offset)
        end = offset + 4 + length
        if end > len(octets):
            problem = f"says {length} octets, {len(octets) - offset - 4} are left"
            raise _tlv_error(tag_name(tag), problem, offset)
        tlv = Tlv(tag, octets[offset + 4 : end])
        if found := _tlv_problem(tlv, seen):
            raise _tlv_error(tlv.name, found, offset, Status.ESME_RINVTLVLEN)
        seen.add(tag)
        tlvs.append(tlv)
        offset = end
    return tuple(tlvs)


def _tlv_problem(tlv: Tlv, seen: set[int]) -> str | None:
    rule = RULES.get(tlv.tag)
    if rule is None:
        return None
    if tlv.tag in seen and not rule.is_list:
        return "stands there twice"
    if rule.kind is Kind.C_STRING and tlv.value.partition(b"\0")[0].isascii() is False:
        return "is not ASCII"
    return problem_of(tlv)


def _tlv_error(
    field: str, problem: str, offset: int, status: int = Status.ESME_RINVTLVSTREAM
) -> PduError:
    return PduError(
        problem, field=field, offset=offset, clause="SMPP 5.0 4.8", command_status=status
    )


def _check_text(pdu: Pdu, body: SubmitSm | DeliverSm | DataSm, offset: int) -> None:
    """Refuse a text that stands twice, or whose user data header is longer than itself."""
    payload = pdu.tlv(TlvTag.MESSAGE_PAYLOAD)
    short_message = b"" if isinstance(body, DataSm) else body.short_message
    if payload is not None and short_message:
        raise _text_error("message_payload", "short_message is there too", offset)
    text = short_message if payload is None else payload
    if body.esm_class & UDH_INDICATOR and (not text or text[0] + 1 > len(text)):
        raise _text_error("short_message", "the user data header is longer than the text", offset)


def _text_error(field: str, problem: str, offset: int) -> PduError:
    return PduError(
        problem,
        field=field,
        offset=offset,
        clause="SMPP 5.0 4.2.1.1",
        command_status=Status.ESME_RINVMSGLEN,
    )
