"""The GSM 7-bit default alphabet and its extension table (TS 23.038 6.2.1), and their packing."""

from collections.abc import Iterable, Iterator

from cbgateway.domain.errors import NotEncodableError

ESCAPE = 0x1B
CARRIAGE_RETURN = 0x0D

_DEFAULT = (
    "@£$¥èéùìòÇ\nØø\rÅå"
    "Δ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ"
    " !\"#¤%&'()*+,-./"
    "0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNO"
    "PQRSTUVWXYZÄÖÑÜ§"
    "¿abcdefghijklmno"
    "pqrstuvwxyzäöñüà"
)
_EXTENSION = {
    0x0A: "\f",
    0x14: "^",
    0x28: "{",
    0x29: "}",
    0x2F: "\\",
    0x3C: "[",
    0x3D: "~",
    0x3E: "]",
    0x40: "|",
    0x65: "€",
}
_CODES: dict[str, tuple[int, ...]] = {
    character: (code,) for code, character in enumerate(_DEFAULT) if code != ESCAPE
} | {character: (ESCAPE, code) for code, character in _EXTENSION.items()}


def septets(text: str) -> list[tuple[int, ...]]:
    """Give the codes of each character: one septet, or an escape and one more.

    Raises:
        NotEncodableError: a character is in neither table.

    Spec: TS 23.038 6.2.1, 6.2.1.1.
    """
    try:
        return [_CODES[character] for character in text]
    except KeyError:
        index = next(i for i, character in enumerate(text) if character not in _CODES)
        raise NotEncodableError(
            character=text[index],
            index=index,
            alphabet="the GSM 7-bit alphabet",
            clause="TS 23.038 6.2.1",
        ) from None


def is_encodable(text: str) -> bool:
    """Tell whether every character of `text` is in one of the two tables."""
    return all(character in _CODES for character in text)


def text_of(codes: Iterable[int]) -> str:
    """Read septets as text; total.

    A code that the extension table lacks shows as the same code of the default table, and an
    escape with nothing behind it as a space, as TS 23.038 6.2.1.1 asks of receivers.

    Args:
        codes: each 0 to 127.
    """
    return "".join(_characters(iter(codes)))


def _characters(codes: Iterator[int]) -> Iterator[str]:
    for code in codes:
        if code != ESCAPE:
            yield _DEFAULT[code]
            continue
        second = next(codes, None)
        if second is None or second == ESCAPE:
            yield " "
        else:
            yield _EXTENSION.get(second, _DEFAULT[second])


def pack(codes: Iterable[int], *, fill_bits: int = 0) -> bytes:
    """Pack septets into octets, first septet in the low bits, zeros at the end.

    Args:
        codes: each 0 to 127.
        fill_bits: zero bits before the first septet, as behind a user data header.

    Spec: TS 23.038 6.1.2.1.
    """
    bits = 0
    shift = fill_bits
    for code in codes:
        bits |= code << shift
        shift += 7
    return bits.to_bytes((shift + 7) // 8, "little")


def unpack(octets: bytes, *, septets: int, fill_bits: int = 0) -> list[int]:
    """Take septets out of octets; those beyond the end are not there.

    Args:
        octets: packed as `pack` does.
        septets: how many to take at most.
        fill_bits: bits to skip before the first.
    """
    bits = int.from_bytes(octets, "little") >> fill_bits
    available = max(0, (len(octets) * 8 - fill_bits) // 7)
    return [bits >> 7 * i & 0x7F for i in range(min(septets, available))]
