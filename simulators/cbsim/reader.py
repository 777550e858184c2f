"""How a phone reads octets: alphabets, cell broadcast pages and concatenated short messages.

Written apart from the gateway's codecs on purpose, so that the two check each other. It is as
lenient as phones are: what cannot be read is shown as a replacement character, never refused.
"""

from collections.abc import Iterator
from dataclasses import dataclass

BASIC = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
EXTENSION = dict(zip(b"\x0a\x14\x28\x29\x2f\x3c\x3d\x3e\x40\x65", "\f^{}\\[~]|€", strict=True))
ESCAPE = 0x1B

LANGUAGES_OF_GROUP_0 = [
    "de",
    "en",
    "it",
    "fr",
    "es",
    "nl",
    "sv",
    "da",
    "pt",
    "fi",
    "no",
    "el",
    "tr",
    "hu",
    "pl",
]

GSM_PAGE_OCTETS = 88
GSM_HEADER_OCTETS = 6
PARTS_MAX = 255


@dataclass(frozen=True, slots=True)
class GsmPage:
    """One page as it comes from the air (TS 23.041 9.4.1)."""

    serial_number: int
    message_identifier: int
    dcs: int
    number: int
    total: int
    content: bytes


def read_gsm_page(octets: bytes) -> GsmPage | None:
    """Take a page apart; None when it is no page."""
    if len(octets) != GSM_PAGE_OCTETS:
        return None
    number, total = octets[5] >> 4, octets[5] & 0xF
    if not number or not total:
        number = total = 1
    if number > total:
        return None
    return GsmPage(
        serial_number=int.from_bytes(octets[0:2], "big"),
        message_identifier=int.from_bytes(octets[2:4], "big"),
        dcs=octets[4],
        number=number,
        total=total,
        content=octets[GSM_HEADER_OCTETS:],
    )


def read_content(content: bytes, dcs: int) -> tuple[str, str | None]:
    """Read one page's content: its text, and the language it says it is in."""
    group, low = dcs >> 4, dcs & 0xF
    if dcs == 0x10:  # noqa: PLR2004 - GSM-7 behind a language (TS 23.038 5)
        text = _seven_bit(content)
        return text[3:].rstrip("\r"), text[:2]
    if dcs == 0x11:  # noqa: PLR2004 - UCS-2 behind a language
        return _two_octets(content[2:]), _seven_bit(content[:2])[:2]
    is_ucs2 = group in (4, 5, 6, 7) and low & 0b1100 == 0b1000  # noqa: PLR2004 - bits of the group
    if is_ucs2:
        return _two_octets(content), None
    language = None
    if group == 0 and low < len(LANGUAGES_OF_GROUP_0):
        language = LANGUAGES_OF_GROUP_0[low]
    return _seven_bit(content).rstrip("\r"), language


def read_short_message(octets: bytes, data_coding: int) -> str:
    """Read the text of a short message as a message centre hands it on.

    In data coding 0 each octet holds one septet, by the convention of SMPP.
    """
    if data_coding == 8:  # noqa: PLR2004 - UCS-2 (SMPP 5.0 4.7.7)
        return octets.decode("utf-16-be", "replace")
    if data_coding == 0:
        return "".join(_characters(octet & 0x7F for octet in octets))
    return octets.decode("latin-1")


@dataclass(frozen=True, slots=True)
class Part:
    """Which part of which message a short message is (TS 23.040 9.2.3.24.1)."""

    reference: int
    number: int
    total: int


def split_header(octets: bytes) -> tuple[Part | None, bytes]:
    """Split a user data header off a short message."""
    if not octets or octets[0] + 1 > len(octets):
        return None, octets
    header, body = octets[1 : octets[0] + 1], octets[octets[0] + 1 :]
    part = None
    while len(header) >= 2 and len(header) >= 2 + header[1]:  # noqa: PLR2004 - identifier and length
        identifier, value = header[0], header[2 : 2 + header[1]]
        if identifier == 0 and len(value) == 3:  # noqa: PLR2004 - eight-bit reference
            part = Part(value[0], value[2], value[1])
        elif identifier == 8 and len(value) == 4:  # noqa: PLR2004 - sixteen-bit reference
            part = Part(int.from_bytes(value[:2], "big"), value[3], value[2])
        header = header[2 + header[1] :]
    return part, body


def _two_octets(content: bytes) -> str:
    return content[: len(content) // 2 * 2].decode("utf-16-be", "replace").rstrip("\r")


def _seven_bit(content: bytes) -> str:
    bits = int.from_bytes(content, "little")
    return "".join(_characters(bits >> 7 * i & 0x7F for i in range(len(content) * 8 // 7)))


def _characters(codes: Iterator[int]) -> Iterator[str]:
    for code in codes:
        if code == ESCAPE:
            second = next(codes, None)
            yield " " if second is None else EXTENSION.get(second, BASIC[second])
        else:
            yield BASIC[code]
