"""UCS-2 as phones read it: UTF-16, big endian, without a byte order mark (TS 23.038 6.2.3)."""

from cbgateway.domain.errors import DecodeError, NotEncodableError

CLAUSE = "TS 23.038 6.2.3"


def units(text: str) -> list[bytes]:
    """Give each character's octets: two, or four for a surrogate pair.

    Raises:
        NotEncodableError: the text holds half of a surrogate pair.
    """
    try:
        return [character.encode("utf-16-be") for character in text]
    except UnicodeEncodeError:
        index = next(i for i, character in enumerate(text) if "\ud800" <= character <= "\udfff")
        raise NotEncodableError(
            character=text[index], index=index, alphabet="Unicode", clause=CLAUSE
        ) from None


def encode(text: str) -> bytes:
    """Write a text.

    Raises:
        NotEncodableError: the text holds half of a surrogate pair.
    """
    return b"".join(units(text))


def decode(octets: bytes) -> str:
    """Read a text.

    Raises:
        DecodeError: an odd number of octets, or half of a surrogate pair.
    """
    try:
        return octets.decode("utf-16-be")
    except UnicodeDecodeError as error:
        raise DecodeError(error.reason, field="text", offset=error.start, clause=CLAUSE) from None
