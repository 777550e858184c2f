"""Texts in SMPP: which alphabet, how many parts (SMPP 5.0 4.7.7, TS 23.040 9.2.3.24)."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from cbgateway.codec import gsm7, ucs2
from cbgateway.codec.smpp_tlv import Tlv, TlvTag
from cbgateway.domain.errors import DecodeError, EncodeError

DATA_CODING_DEFAULT = 0
DATA_CODING_ASCII = 1
DATA_CODING_UCS2 = 8
UDH_INDICATOR = 0x40
PARTS_MAX = 255
PAYLOAD_OCTETS_MAX = 65_535

CONCATENATION_8 = 0x00
CONCATENATION_16 = 0x08


class Segmentation(Enum):
    """How a text that is too long for one message goes out (SMPP 5.0 3.4)."""

    UDH8 = "udh8"
    UDH16 = "udh16"
    SAR = "sar"
    PAYLOAD = "payload"


# Room for text: septets, or octets of UCS-2; alone, then in a part of each kind (TS 23.040).
# A message centre turns sar TLVs into an eight-bit header, so that a part has that much room.
_SEPTETS_ALONE = 160
_OCTETS_ALONE = 140
_SEPTETS = {Segmentation.UDH8: 153, Segmentation.UDH16: 152, Segmentation.SAR: 153}
_OCTETS = {Segmentation.UDH8: 134, Segmentation.UDH16: 132, Segmentation.SAR: 134}


@dataclass(frozen=True, slots=True)
class Part:
    """One message of a text.

    Attributes:
        short_message: octets, user data header included; empty when a TLV holds the text.
        tlvs: what the part needs besides.
    """

    short_message: bytes
    tlvs: tuple[Tlv, ...] = ()


@dataclass(frozen=True, slots=True)
class Segmented:
    """A text as messages.

    Attributes:
        data_coding: 0 or 8.
        esm_class: 0, or 0x40 when the parts begin with a user data header.
        parts: 1 to 255.
    """

    data_coding: int
    esm_class: int
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Concatenation:
    """Which part of which text a message is.

    Attributes:
        reference: 0 to 255, or to 65535.
        total: 1 to 255.
        number: 1 to `total`.
    """

    reference: int
    total: int
    number: int


def choose_data_coding(text: str) -> int:
    """Give 0 where the GSM 7-bit alphabet suffices, else 8."""
    return DATA_CODING_DEFAULT if gsm7.is_encodable(text) else DATA_CODING_UCS2


def encode_text(text: str, data_coding: int) -> bytes:
    """Write a text in one of the codings 0, 1, 3 and 8.

    In coding 0 each octet holds one septet, as nearly all message centres want it.

    Raises:
        NotEncodableError: a character that the alphabet lacks.
        EncodeError: another coding.
    """
    return b"".join(bytes(piece) for piece in _pieces(text, data_coding))


def decode_text(octets: bytes, data_coding: int) -> str:
    """Read a text.

    Raises:
        DecodeError: the octets are no text in this coding, or the coding is not 0, 1, 3 or 8.
    """
    match data_coding:
        case 0:
            high = next((i for i, octet in enumerate(octets) if octet > 0x7F), None)  # noqa: PLR2004 - septets
            if high is not None:
                problem = "an octet above 0x7f is no septet"
                raise DecodeError(problem, field="text", offset=high, clause="SMPP 5.0 4.7.7")
            return gsm7.text_of(octets)
        case 1 | 3:
            try:
                return octets.decode("ascii" if data_coding == DATA_CODING_ASCII else "latin-1")
            except UnicodeDecodeError as error:
                raise DecodeError(
                    error.reason, field="text", offset=error.start, clause="SMPP 5.0 4.7.7"
                ) from None
        case 8:
            return ucs2.decode(octets)
        case _:
            problem = f"data_coding {data_coding} is no text that is read here"
            raise DecodeError(problem, field="data_coding", offset=0, clause="SMPP 5.0 4.7.7")


def segment(
    text: str, *, data_coding: int | None, segmentation: Segmentation, reference: int
) -> Segmented:
    """Cut a text into messages, never through an escape or surrogate pair.

    Args:
        text: what to send.
        data_coding: 0 or 8; None to choose.
        segmentation: how, if one message is not enough.
        reference: 0 to 65535; an eight-bit header takes the low octet.

    Raises:
        NotEncodableError: a character that the alphabet lacks.
        EncodeError: more than 255 parts, a payload over 64 KiB, or a coding that has no parts.

    Spec: TS 23.040 9.2.3.24.1, 9.2.3.24.8; SMPP 5.0 4.8.4.54 (sar).
    """
    coding = choose_data_coding(text) if data_coding is None else data_coding
    if coding not in {DATA_CODING_DEFAULT, DATA_CODING_UCS2}:
        problem = f"{coding} cannot be cut into parts; 0 and 8 can"
        raise EncodeError(problem, field="data_coding", clause="TS 23.040 9.2.3.24.1")
    pieces = _pieces(text, coding)
    octets = b"".join(bytes(piece) for piece in pieces)
    if segmentation is Segmentation.PAYLOAD:
        if len(octets) > PAYLOAD_OCTETS_MAX:
            problem = f"{len(octets)} octets, at most {PAYLOAD_OCTETS_MAX}"
            raise EncodeError(problem, field="message_payload", clause="SMPP 5.0 4.8.4.36")
        return Segmented(coding, 0, (Part(b"", (Tlv(TlvTag.MESSAGE_PAYLOAD, octets),)),))
    is_default = coding == DATA_CODING_DEFAULT
    if len(octets) <= (_SEPTETS_ALONE if is_default else _OCTETS_ALONE):
        return Segmented(coding, 0, (Part(octets),))
    room = _SEPTETS[segmentation] if is_default else _OCTETS[segmentation]
    bodies = _chunks(pieces, room)
    if len(bodies) > PARTS_MAX:
        problem = f"needs {len(bodies)} parts, at most {PARTS_MAX}"
        raise EncodeError(problem, field="text", clause="TS 23.040 9.2.3.24.1")
    parts = tuple(
        _part(body, segmentation, Concatenation(reference, len(bodies), number))
        for number, body in enumerate(bodies, start=1)
    )
    return Segmented(coding, 0 if segmentation is Segmentation.SAR else UDH_INDICATOR, parts)


def split_udh(short_message: bytes) -> tuple[bytes, bytes]:
    """Split a user data header, its length octet left out, from the text behind it.

    Raises:
        DecodeError: the header is longer than the message.

    Spec: TS 23.040 9.2.3.24.
    """
    if not short_message or short_message[0] + 1 > len(short_message):
        problem = "longer than the message"
        raise DecodeError(problem, field="UDHL", offset=0, clause="TS 23.040 9.2.3.24")
    end = short_message[0] + 1
    return short_message[1:end], short_message[end:]


def concatenation(header: bytes) -> Concatenation | None:
    """Find in a user data header which part a message is; None when it is whole.

    Elements that are broken are passed over, as TS 23.040 9.2.3.24.1 asks of receivers.
    """
    found = None
    while len(header) >= 2:  # noqa: PLR2004 - identifier and length
        identifier, value, header = header[0], header[2 : 2 + header[1]], header[2 + header[1] :]
        if identifier == CONCATENATION_8 and len(value) == 3:  # noqa: PLR2004 - 9.2.3.24.1
            candidate = Concatenation(value[0], value[1], value[2])
        elif identifier == CONCATENATION_16 and len(value) == 4:  # noqa: PLR2004 - 9.2.3.24.8
            candidate = Concatenation(int.from_bytes(value[:2], "big"), value[2], value[3])
        else:
            continue
        if 1 <= candidate.number <= candidate.total:
            found = candidate
    return found


def _pieces(text: str, data_coding: int) -> Sequence[tuple[int, ...]] | Sequence[bytes]:
    """Give each character's octets, which must stay together."""
    match data_coding:
        case 0:
            return gsm7.septets(text)
        case 1 | 3:
            encoding = "ascii" if data_coding == DATA_CODING_ASCII else "latin-1"
            try:
                return [text.encode(encoding)]
            except UnicodeEncodeError as error:
                problem = f"character {text[error.start]!r} is not in {encoding}"
                raise EncodeError(problem, field="text", clause="SMPP 5.0 4.7.7") from None
        case 8:
            return ucs2.units(text)
        case _:
            problem = f"{data_coding} is not written here; 0, 1, 3 and 8 are"
            raise EncodeError(problem, field="data_coding", clause="SMPP 5.0 4.7.7")


def _part(body: bytes, segmentation: Segmentation, where: Concatenation) -> Part:
    numbers = bytes([where.total, where.number])
    match segmentation:
        case Segmentation.UDH8:
            header = bytes([5, CONCATENATION_8, 3, where.reference & 0xFF]) + numbers
            return Part(header + body)
        case Segmentation.UDH16:
            reference = where.reference.to_bytes(2, "big")
            return Part(bytes([6, CONCATENATION_16, 4]) + reference + numbers + body)
        case _:
            return Part(
                body,
                (
                    Tlv.integer(TlvTag.SAR_MSG_REF_NUM, where.reference),
                    Tlv.integer(TlvTag.SAR_TOTAL_SEGMENTS, where.total),
                    Tlv.integer(TlvTag.SAR_SEGMENT_SEQNUM, where.number),
                ),
            )


def _chunks(pieces: Sequence[tuple[int, ...]] | Sequence[bytes], size_max: int) -> list[bytes]:
    """Join pieces into chunks of `size_max` octets at most, never through a piece."""
    chunks = [bytearray()]
    for piece in pieces:
        if len(chunks[-1]) + len(piece) > size_max:
            chunks.append(bytearray())
        chunks[-1] += bytes(piece)
    return [bytes(chunk) for chunk in chunks]
