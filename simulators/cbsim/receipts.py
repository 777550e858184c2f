"""Delivery receipts and other deliver_sm, written straight to octets (SMPP 3.4 appendix B)."""

from datetime import UTC, datetime
from struct import Struct

from cbgateway.codec import smpp, smpp_text
from cbgateway.domain.errors import DecodeError
from cbsim.messages import RECEIPT_NAMES, Message, write_id
from cbsim.scenario import Receipts

RECEIPT = 0x04
INTERMEDIATE = 0x20
TEXT_CHARACTERS = 20
OCTETS_MAX = 255

WANTS_ALWAYS = 1
WANTS_FAILURE = 2
WANTS_SUCCESS = 3
WANTS_INTERMEDIATE = 0x10

_TLV = Struct(">HH")
_ZEROS_TO_LENGTH = bytes(8)
"""protocol_id to sm_default_msg_id of a receipt."""
_FAILURES = frozenset(
    {
        smpp.MessageState.UNDELIVERABLE,
        smpp.MessageState.EXPIRED,
        smpp.MessageState.REJECTED,
        smpp.MessageState.DELETED,
    }
)


def wants_receipt(registered_delivery: int, state: int) -> bool:
    """Tell whether a message's final state is to be told (SMPP 5.0 4.7.21)."""
    wanted = registered_delivery & 3
    if wanted == WANTS_ALWAYS:
        return True
    if wanted == WANTS_FAILURE:
        return state in _FAILURES
    return wanted == WANTS_SUCCESS and state not in _FAILURES


class ReceiptWriter:
    """Writes receipts; remembers the minute it wrote last, since many fall into one."""

    def __init__(self) -> None:
        """Begin."""
        self._minute = -1
        self._written = ""

    def write(self, message: Message, rules: Receipts, answered_form: str) -> bytes:
        """Give the deliver_sm of a message's state, without its header.

        Args:
            message: in a final state, or ENROUTE for an intermediate notification.
            rules: how receipts look.
            answered_form: how submit_sm_resp writes a message_id.
        """
        form = rules.id_format
        message_id = (
            message.message_id
            if form in {"as-answered", answered_form}
            else write_id(message.number, form)
        )
        text = b"" if rules.form == "tlvs" else self._text(message, message_id)
        is_final = message.is_final
        parts = [
            message.service_type,
            message.destination,
            message.source,
            b"\x04" if is_final else b"\x20",
            _ZEROS_TO_LENGTH,
            bytes((len(text),)),
            text,
        ]
        if rules.form != "text":
            octets = message_id.encode("ascii") + b"\0"
            parts += (
                _TLV.pack(smpp.TlvTag.RECEIPTED_MESSAGE_ID, len(octets)),
                octets,
                b"\x04\x27\x00\x01",
                bytes((message.state,)),
            )
            if message.error_code:
                parts.append(b"\x04\x23\x00\x03\x03" + message.error_code.to_bytes(2, "big"))
        for tlv in message.tlvs:
            if tlv.tag == smpp.TlvTag.USER_MESSAGE_REFERENCE and rules.form != "text":
                parts += (_TLV.pack(tlv.tag, len(tlv.value)), tlv.value)
        for tlv in rules.tlvs:
            parts += (_TLV.pack(tlv.tag, len(tlv.value)), tlv.value)
        return b"".join(parts)

    def _text(self, message: Message, message_id: str) -> bytes:
        submitted = self._date(message.submitted_at_s)
        done = self._date(message.final_at_s or message.submitted_at_s)
        delivered = "001" if message.state == smpp.MessageState.DELIVERED else "000"
        name = RECEIPT_NAMES[smpp.MessageState(message.state)]
        text = (
            f"id:{message_id} sub:001 dlvrd:{delivered} submit date:{submitted} "
            f"done date:{done} stat:{name} err:{message.error_code:03} text:"
        )
        return (text.encode("ascii") + beginning(message))[:OCTETS_MAX]

    def _date(self, at_s: float) -> str:
        minute = int(at_s // 60)
        if minute != self._minute:
            self._minute = minute
            self._written = f"{datetime.fromtimestamp(minute * 60, UTC):%y%m%d%H%M}"
        return self._written


def beginning(message: Message) -> bytes:
    """Give the first characters of a text as a receipt repeats them, in ASCII."""
    octets = message.text
    if message.esm_class & smpp.UDH_INDICATOR and octets:
        octets = octets[octets[0] + 1 :]
    if message.data_coding == 0:
        text = octets[:TEXT_CHARACTERS]
        if text.isascii():
            return text
    try:
        words = smpp_text.decode_text(octets, message.data_coding)[:TEXT_CHARACTERS]
    except DecodeError:
        return b""
    return words.encode("ascii", "replace")


def write_incoming(
    *,
    service_type: bytes,
    source: bytes,
    destination: bytes,
    esm_class: int,
    data_coding: int,
    text: bytes,
    tlvs: tuple[smpp.Tlv, ...],
) -> bytes:
    """Give the deliver_sm of a message from a phone or another ESME, without its header."""
    short = b"" if len(text) > OCTETS_MAX else text
    parts = [
        service_type,
        source,
        destination,
        bytes((esm_class, 0, 0, 0, 0, 0, 0, data_coding, 0, len(short))),
        short,
    ]
    if text and not short:
        parts += (_TLV.pack(smpp.TlvTag.MESSAGE_PAYLOAD, len(text)), text)
    for tlv in tlvs:
        if tlv.tag != smpp.TlvTag.MESSAGE_PAYLOAD:
            parts += (_TLV.pack(tlv.tag, len(tlv.value)), tlv.value)
    return b"".join(parts)
