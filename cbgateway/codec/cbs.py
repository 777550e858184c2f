"""Cell broadcast: the pages that every radio generation sends, and what stands around them.

A page is packed and read by itself, because that is how phones read it (TS 23.041 9.4).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from cbgateway.codec import gsm7, ucs2
from cbgateway.codec.dcs import Alphabet, DataCoding, parse_dcs
from cbgateway.domain.broadcast import (
    PAGE_OCTETS,
    PAGES_MAX,
    GeographicalScope,
    Page,
    SerialNumber,
)
from cbgateway.domain.errors import DecodeError, EncodeError, TooManyPagesError

__all__ = [
    "GSM_PAGE_OCTETS",
    "PAGE_OCTETS",
    "EtwsPrimary",
    "GsmPage",
    "Page",
    "Reading",
    "WarningType",
    "decode_cb_data",
    "decode_etws_primary",
    "decode_gsm_page",
    "decode_serial_number",
    "decode_warning_type",
    "encode_cb_data",
    "encode_etws_primary",
    "encode_gsm_page",
    "encode_serial_number",
    "encode_warning_type",
    "etws_serial_number",
    "paginate",
    "read_pages",
]

PAGE_SEPTETS = 93
assert PAGE_OCTETS * 8 - PAGE_SEPTETS * 7 == 5  # noqa: S101, PLR2004 - spare bits of every page
GSM_PAGE_OCTETS = 88
CB_DATA_PAGE_OCTETS = PAGE_OCTETS + 1
LANGUAGE_SEPTETS = 3  # two letters and CR
LANGUAGE_OCTETS = 2  # the two letters packed, in front of UCS-2
ETWS_PRIMARY_OCTETS = 56
WARNING_SECURITY_INFORMATION_OCTETS = 50
WARNING_TYPE_MAX = 127
SHOWN_BITS_MAX = 64  # a longer number is named by its length in messages

_PADDING_UCS2 = b"\x00\r"

T = TypeVar("T", tuple[int, ...], bytes)


def paginate(text: str, *, dcs: int, language: str | None = None) -> tuple[Page, ...]:
    """Cut a text into pages.

    No page needs its neighbour: a character of two septets or two UTF-16 units never lies on a
    border, and the language, where the scheme wants one, stands on every page.

    Args:
        text: what a phone is to show; not in need of normalisation any more.
        dcs: data coding scheme, 0 to 255.
        language: ISO 639-1 code; needed by the schemes 0x10 and 0x11, else unused.

    Returns:
        1 to 15 pages; an empty text gives one empty page.

    Raises:
        NotEncodableError: a character that the alphabet lacks.
        TooManyPagesError: more than 15 pages are needed.
        EncodeError: the scheme carries no text, its language is missing, or the text holds CR,
            which phones take for padding.

    Spec: TS 23.038 6.1.2.2 (packing), TS 23.041 9.4.1.2.4 (page), 9.4.2.2.5 (used octets).
    """
    coding = _coding(dcs)
    if "\r" in text:
        problem = "CR is padding and shown to nobody; a new line is LF"
        raise EncodeError(problem, field="text", clause="TS 23.038 6.1.2.2")
    prefix = _language_prefix(coding, language)
    if coding.alphabet is Alphabet.UCS2:
        pages = _ucs2_pages(text, gsm7.pack(prefix[:2]) if prefix else b"")
    else:
        pages = _gsm7_pages(text, prefix)
    if len(pages) > PAGES_MAX:
        raise TooManyPagesError(pages=len(pages), pages_max=PAGES_MAX)
    return pages


@dataclass(frozen=True, slots=True)
class Reading:
    """What a phone makes of pages.

    Attributes:
        language: ISO 639-1 code from the pages or the scheme; None when neither names one.
    """

    text: str
    language: str | None


def read_pages(pages: Sequence[Page], *, dcs: int) -> Reading:
    """Read pages as a phone does, each by itself.

    Raises:
        DecodeError: the scheme carries no text, or octets of a page are no text.

    Spec: TS 23.038 5, 6.1.2.2.
    """
    coding = parse_dcs(dcs)
    if coding.alphabet is Alphabet.OCTETS:
        problem = "8-bit data is no text"
        raise DecodeError(problem, field="Data Coding Scheme", offset=0, clause="TS 23.038 5")
    language = coding.language
    texts = []
    for page in pages:
        octets = page.octets[: page.used_octets]
        text, prefix = (
            _read_ucs2(octets, coding)
            if coding.alphabet is Alphabet.UCS2
            else _read_gsm7(octets, coding)
        )
        language = prefix or language
        texts.append(text.rstrip("\r"))
    return Reading("".join(texts), language)


def encode_cb_data(pages: Sequence[Page]) -> bytes:
    """Write pages as UMTS, LTE and NR carry them.

    Args:
        pages: 1 to 15.

    Returns:
        1 + 83 octets for each page.

    Spec: TS 23.041 9.4.2.2.5.
    """
    body = b"".join(page.octets + bytes([page.used_octets]) for page in pages)
    return bytes([len(pages)]) + body


def decode_cb_data(octets: bytes) -> tuple[Page, ...]:
    """Read pages as UMTS, LTE and NR carry them.

    Raises:
        DecodeError: the number of pages, a used length or the whole length is wrong.

    Spec: TS 23.041 9.4.2.2.5.
    """
    clause = "TS 23.041 9.4.2.2.5"
    count = octets[0] if octets else 0
    if not 1 <= count <= PAGES_MAX:
        problem = f"{count} is not in 1..{PAGES_MAX}"
        raise DecodeError(problem, field="Number-of-Pages", offset=0, clause=clause)
    if len(octets) != 1 + count * CB_DATA_PAGE_OCTETS:
        problem = f"{count} pages have {1 + count * CB_DATA_PAGE_OCTETS} octets, not {len(octets)}"
        offset = min(len(octets), 1 + count * CB_DATA_PAGE_OCTETS)
        raise DecodeError(problem, field="CB Data", offset=offset, clause=clause)
    pages = []
    for start in range(1, len(octets), CB_DATA_PAGE_OCTETS):
        end = start + PAGE_OCTETS
        used = octets[end]
        if not 1 <= used <= PAGE_OCTETS:
            problem = f"{used} is not in 1..{PAGE_OCTETS}"
            raise DecodeError(
                problem, field="CBS-Message-Information-Length", offset=end, clause=clause
            )
        pages.append(Page(octets[start:end], used))
    return tuple(pages)


@dataclass(frozen=True, slots=True)
class GsmPage:
    """One page as GSM sends it, with its header.

    Attributes:
        serial_number: 0 to 65535.
        message_identifier: 0 to 65535.
        dcs: data coding scheme, 0 to 255.
        number: which page this is, 1 to 15.
        total: how many there are, 1 to 15.
    """

    serial_number: int
    message_identifier: int
    dcs: int
    number: int
    total: int
    page: Page


def encode_gsm_page(page: GsmPage) -> bytes:
    """Write a page with its header: always 88 octets.

    Raises:
        EncodeError: a number does not fit its field.

    Spec: TS 23.041 9.4.1.2.
    """
    if not 1 <= page.number <= page.total <= PAGES_MAX:
        problem = f"page {page.number} of {page.total} is not possible"
        raise EncodeError(problem, field="Page Parameter", clause="TS 23.041 9.4.1.2.4")
    return (
        _field("Serial Number", page.serial_number, 2)
        + _field("Message Identifier", page.message_identifier, 2)
        + _field("Data Coding Scheme", page.dcs, 1)
        + bytes([page.number << 4 | page.total])
        + page.page.octets
    )


def decode_gsm_page(octets: bytes) -> GsmPage:
    """Read a page with its header. GSM does not say how many octets are used: all 82 are.

    Raises:
        DecodeError: not 88 octets, or a page beyond the last.

    Spec: TS 23.041 9.4.1.2; 9.4.1.2.4: a zero in the page parameter means page 1 of 1.
    """
    if len(octets) != GSM_PAGE_OCTETS:
        problem = f"a page has {GSM_PAGE_OCTETS} octets, not {len(octets)}"
        offset = min(len(octets), GSM_PAGE_OCTETS)
        raise DecodeError(problem, field="page", offset=offset, clause="TS 23.041 9.4.1.1")
    number, total = octets[5] >> 4, octets[5] & 0xF
    if not number or not total:
        number = total = 1
    if number > total:
        problem = f"page {number} of {total} is not possible"
        raise DecodeError(problem, field="Page Parameter", offset=5, clause="TS 23.041 9.4.1.2.4")
    return GsmPage(
        serial_number=int.from_bytes(octets[0:2], "big"),
        message_identifier=int.from_bytes(octets[2:4], "big"),
        dcs=octets[4],
        number=number,
        total=total,
        page=Page(octets[6:], PAGE_OCTETS),
    )


def encode_serial_number(serial_number: SerialNumber) -> bytes:
    """Write a serial number: two octets.

    Spec: TS 23.041 9.4.1.2.1.
    """
    return int(serial_number).to_bytes(2, "big")


def decode_serial_number(octets: bytes) -> SerialNumber:
    """Read a serial number.

    Raises:
        DecodeError: not two octets.

    Spec: TS 23.041 9.4.1.2.1.
    """
    if len(octets) != 2:  # noqa: PLR2004 - sixteen bits
        problem = f"two octets, not {len(octets)}"
        offset = min(len(octets), 2)
        raise DecodeError(
            problem, field="Serial Number", offset=offset, clause="TS 23.041 9.4.1.2.1"
        )
    return SerialNumber.from_int(int.from_bytes(octets, "big"))


def etws_serial_number(
    scope: GeographicalScope, *, alert: bool, popup: bool, code: int, update_number: int
) -> SerialNumber:
    """Give an ETWS serial number, where two bits of the message code have a meaning of their own.

    Args:
        scope: geographical scope.
        alert: activate the emergency user alert.
        popup: activate the popup.
        code: 0 to 255, what is left of the message code.
        update_number: 0 to 15.

    Raises:
        ValueError: a number does not fit.

    Spec: TS 23.041 9.4.1.2.1 (ETWS).
    """
    if not 0 <= code <= 0xFF:  # noqa: PLR2004 - eight bits are left
        msg = f"code {code} is not in 0..255"
        raise ValueError(msg)
    return SerialNumber(scope, alert << 9 | popup << 8 | code, update_number)


@dataclass(frozen=True, slots=True)
class WarningType:
    """What an ETWS primary notification warns of.

    Attributes:
        value: 0 earthquake, 1 tsunami, 2 both, 3 test, 4 other; up to 127.
        alert: phones sound the emergency user alert.
        popup: phones show the warning over everything else.
    """

    value: int
    alert: bool
    popup: bool


def encode_warning_type(warning_type: WarningType) -> bytes:
    """Write a warning type: two octets.

    Raises:
        EncodeError: the value does not fit.

    Spec: TS 23.041 9.3.24.
    """
    if not 0 <= warning_type.value <= WARNING_TYPE_MAX:
        problem = f"{warning_type.value} is not in 0..{WARNING_TYPE_MAX}"
        raise EncodeError(problem, field="Warning-Type", clause="TS 23.041 9.3.24")
    return bytes([warning_type.value << 1 | warning_type.alert, warning_type.popup << 7])


def decode_warning_type(octets: bytes) -> WarningType:
    """Read a warning type; the seven padding bits are not looked at.

    Raises:
        DecodeError: not two octets.

    Spec: TS 23.041 9.3.24.
    """
    if len(octets) != 2:  # noqa: PLR2004 - two octets
        problem = f"two octets, not {len(octets)}"
        offset = min(len(octets), 2)
        raise DecodeError(problem, field="Warning-Type", offset=offset, clause="TS 23.041 9.3.24")
    return WarningType(octets[0] >> 1, bool(octets[0] & 1), bool(octets[1] >> 7))


@dataclass(frozen=True, slots=True)
class EtwsPrimary:
    """An ETWS primary notification as GSM sends it: no text, phones bring their own.

    Attributes:
        serial_number: 0 to 65535.
        message_identifier: 0 to 65535.
        security_information: 50 octets; receivers ignore them.
    """

    serial_number: int
    message_identifier: int
    warning_type: WarningType
    security_information: bytes = bytes(WARNING_SECURITY_INFORMATION_OCTETS)


def encode_etws_primary(primary: EtwsPrimary) -> bytes:
    """Write an ETWS primary notification: 56 octets.

    Raises:
        EncodeError: a value does not fit its field.

    Spec: TS 23.041 9.4.1.3.
    """
    if len(primary.security_information) != WARNING_SECURITY_INFORMATION_OCTETS:
        problem = f"{WARNING_SECURITY_INFORMATION_OCTETS} octets are needed"
        raise EncodeError(problem, field="Warning-Security-Information", clause="TS 23.041 9.3.25")
    return (
        _field("Serial Number", primary.serial_number, 2)
        + _field("Message Identifier", primary.message_identifier, 2)
        + encode_warning_type(primary.warning_type)
        + primary.security_information
    )


def decode_etws_primary(octets: bytes) -> EtwsPrimary:
    """Read an ETWS primary notification.

    Raises:
        DecodeError: not 56 octets.

    Spec: TS 23.041 9.4.1.3.
    """
    if len(octets) != ETWS_PRIMARY_OCTETS:
        problem = f"{ETWS_PRIMARY_OCTETS} octets, not {len(octets)}"
        offset = min(len(octets), ETWS_PRIMARY_OCTETS)
        raise DecodeError(problem, field="ETWS primary", offset=offset, clause="TS 23.041 9.4.1.3")
    return EtwsPrimary(
        serial_number=int.from_bytes(octets[0:2], "big"),
        message_identifier=int.from_bytes(octets[2:4], "big"),
        warning_type=decode_warning_type(octets[4:6]),
        security_information=octets[6:],
    )


def _coding(dcs: int) -> DataCoding:
    try:
        coding = parse_dcs(dcs)
    except DecodeError as error:
        raise EncodeError(error.problem, field=error.field, clause=error.clause) from error
    if coding.alphabet is Alphabet.OCTETS:
        problem = f"{dcs:#04x} means 8-bit data, which is no text"
        raise EncodeError(problem, field="Data Coding Scheme", clause="TS 23.038 5")
    return coding


def _language_prefix(coding: DataCoding, language: str | None) -> tuple[int, ...]:
    """Give the septets that name the language on every page; none when the scheme wants none."""
    if not coding.language_prefixed:
        return ()
    if language is None or len(language) != 2 or not (language.isascii() and language.isalpha()):  # noqa: PLR2004 - two letters
        problem = f"scheme {coding.value:#04x} needs a language of two letters, not {language!r}"
        raise EncodeError(problem, field="language", clause="TS 23.038 5")
    return (*(code for (code,) in gsm7.septets(language)), gsm7.CARRIAGE_RETURN)


def _gsm7_pages(text: str, prefix: tuple[int, ...]) -> tuple[Page, ...]:
    chunks = _chunks(gsm7.septets(text), PAGE_SEPTETS - len(prefix))
    return tuple(
        _gsm7_page([*prefix, *(code for codes in chunk for code in codes)]) for chunk in chunks
    )


def _gsm7_page(codes: list[int]) -> Page:
    """Pack one page, filled up with CR so that no receiver takes the rest for ``@``."""
    used_octets = max(1, (len(codes) * 7 + 7) // 8)
    padding = [gsm7.CARRIAGE_RETURN] * (PAGE_SEPTETS - len(codes))
    return Page(gsm7.pack([*codes, *padding]), used_octets)


def _ucs2_pages(text: str, prefix: bytes) -> tuple[Page, ...]:
    pages = []
    for chunk in _chunks(ucs2.units(text), PAGE_OCTETS - len(prefix)):
        octets = prefix + b"".join(chunk)
        padding = _PADDING_UCS2 * ((PAGE_OCTETS - len(octets)) // 2)
        pages.append(Page(octets + padding, max(2, len(octets))))
    return tuple(pages)


def _chunks(pieces: Iterable[T], size_max: int) -> list[list[T]]:
    """Cut pieces into lists of `size_max` at most, never through a piece; at least one list."""
    chunks: list[list[T]] = [[]]
    size = 0
    for piece in pieces:
        if size + len(piece) > size_max:
            chunks.append([])
            size = 0
        chunks[-1].append(piece)
        size += len(piece)
    return chunks


def _read_gsm7(octets: bytes, coding: DataCoding) -> tuple[str, str | None]:
    codes = gsm7.unpack(octets, septets=PAGE_SEPTETS)
    if not coding.language_prefixed:
        return gsm7.text_of(codes), None
    return gsm7.text_of(codes[LANGUAGE_SEPTETS:]), gsm7.text_of(codes[:2])


def _read_ucs2(octets: bytes, coding: DataCoding) -> tuple[str, str | None]:
    if not coding.language_prefixed:
        return ucs2.decode(octets), None
    language = gsm7.text_of(gsm7.unpack(octets[:LANGUAGE_OCTETS], septets=2))
    return ucs2.decode(octets[LANGUAGE_OCTETS:]), language


def _field(name: str, value: int, octets: int) -> bytes:
    if not 0 <= value < 1 << octets * 8:
        problem = f"{_shown(value)} does not fit {octets} octets"
        raise EncodeError(problem, field=name, clause="TS 23.041 9.4.1.2")
    return value.to_bytes(octets, "big")


def _shown(value: int) -> str:
    """Write a number for a message; Python refuses to write one of thousands of digits."""
    bits = value.bit_length()
    return str(value) if bits <= SHOWN_BITS_MAX else f"a number of {bits} bits"
