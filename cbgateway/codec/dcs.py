"""The data coding scheme of cell broadcast, which is not the one of SMS (TS 23.038 5)."""

from dataclasses import dataclass
from enum import Enum

from cbgateway.codec import gsm7
from cbgateway.domain.errors import DecodeError

CLAUSE = "TS 23.038 5"

GSM7_UNSPECIFIED_LANGUAGE = 0x0F
GSM7_LANGUAGE_PREFIXED = 0x10
UCS2_LANGUAGE_PREFIXED = 0x11
UCS2 = 0x48

# Groups 0 and 2: the low four bits name a language.
_LANGUAGES = {
    0x00: "de",
    0x01: "en",
    0x02: "it",
    0x03: "fr",
    0x04: "es",
    0x05: "nl",
    0x06: "sv",
    0x07: "da",
    0x08: "pt",
    0x09: "fi",
    0x0A: "no",
    0x0B: "el",
    0x0C: "tr",
    0x0D: "hu",
    0x0E: "pl",
    0x20: "cs",
    0x21: "he",
    0x22: "ar",
    0x23: "ru",
    0x24: "is",
}
_SCHEMES = {language: scheme for scheme, language in _LANGUAGES.items()}


class Alphabet(Enum):
    """In what the characters are written."""

    GSM7 = "gsm7"
    OCTETS = "octets"
    UCS2 = "ucs2"


@dataclass(frozen=True, slots=True)
class DataCoding:
    """What a data coding scheme says.

    Attributes:
        value: the octet.
        language: ISO 639-1 code, when the scheme itself names one.
        language_prefixed: True when every page begins with the language.
        message_class: 0 to 3, when the scheme names one.
    """

    value: int
    alphabet: Alphabet
    language: str | None = None
    language_prefixed: bool = False
    message_class: int | None = None


def parse_dcs(value: int) -> DataCoding:
    """Read a data coding scheme.

    Args:
        value: 0 to 255.

    Raises:
        DecodeError: compressed text, a user data header, a protocol of its own, or a reserved
            group: phones show nothing of these.

    Spec: TS 23.038 5.
    """
    if not 0 <= value <= 0xFF:  # noqa: PLR2004 - one octet
        raise _refused(value, "is not one octet")
    group, low = value >> 4, value & 0x0F
    match group:
        case 0 | 2 | 3:
            return DataCoding(value, Alphabet.GSM7, language=_LANGUAGES.get(value))
        case 1 if value == UCS2_LANGUAGE_PREFIXED:
            return DataCoding(value, Alphabet.UCS2, language_prefixed=True)
        case 1:
            is_prefixed = value == GSM7_LANGUAGE_PREFIXED
            return DataCoding(value, Alphabet.GSM7, language_prefixed=is_prefixed)
        case 4 | 5:
            message_class = low & 0b11 if group == 5 else None  # noqa: PLR2004 - class is present
            return DataCoding(value, _alphabet(value, low >> 2), message_class=message_class)
        case 15:
            alphabet = Alphabet.OCTETS if low & 0b100 else Alphabet.GSM7
            return DataCoding(value, alphabet, message_class=low & 0b11)
        case 6 | 7:
            raise _refused(value, "means compressed text, which phones cannot read")
        case _:
            raise _refused(value, "is of a group that carries no text for phones")


def choose_dcs(text: str, language: str | None, *, name_language: bool = False) -> int:
    """Choose how to write a text.

    Args:
        text: what to write.
        language: ISO 639-1 code, or None when it is not known.
        name_language: have every page name the language where the scheme cannot.

    Returns:
        GSM 7-bit in the language's own scheme wherever the alphabet suffices, else UCS-2.
    """
    if gsm7.is_encodable(text):
        if language in _SCHEMES:
            return _SCHEMES[language]
        return GSM7_LANGUAGE_PREFIXED if language and name_language else GSM7_UNSPECIFIED_LANGUAGE
    return UCS2_LANGUAGE_PREFIXED if language and name_language else UCS2


def _alphabet(value: int, bits: int) -> Alphabet:
    match bits & 0b11:
        case 0:
            return Alphabet.GSM7
        case 1:
            return Alphabet.OCTETS
        case 2:
            return Alphabet.UCS2
        case _:
            raise _refused(value, "names a reserved alphabet")


def _refused(value: int, problem: str) -> DecodeError:
    return DecodeError(
        f"{value:#04x} {problem}", field="Data Coding Scheme", offset=0, clause=CLAUSE
    )
