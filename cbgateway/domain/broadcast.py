"""A bulletin ready for the air: message identifier, serial number, pages (TS 23.041)."""

from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Self

MESSAGE_CODE_MAX = 1023
UPDATE_NUMBER_MAX = 15
PAGE_OCTETS = 82
PAGES_MAX = 15


class GeographicalScope(IntEnum):
    """Where two broadcasts with one serial number are the same one (TS 23.041 9.4.1.2.1)."""

    CELL_IMMEDIATE = 0
    PLMN = 1
    AREA = 2
    CELL = 3


@dataclass(frozen=True, slots=True)
class SerialNumber:
    """Sixteen bits that tell one version of one message from every other (TS 23.041 9.4.1.2.1).

    Attributes:
        geographical_scope: two bits, 0 to 3.
        message_code: ten bits, 0 to 1023; the same for every version of one message.
        update_number: four bits, 0 to 15; one more, modulo 16, for every version.
    """

    geographical_scope: GeographicalScope
    message_code: int
    update_number: int

    def __post_init__(self) -> None:
        """Refuse what sixteen bits cannot hold; nothing is ever masked."""
        if not 0 <= self.message_code <= MESSAGE_CODE_MAX:
            msg = f"message code {self.message_code} is not in 0..{MESSAGE_CODE_MAX}"
            raise ValueError(msg)
        if not 0 <= self.update_number <= UPDATE_NUMBER_MAX:
            msg = f"update number {self.update_number} is not in 0..{UPDATE_NUMBER_MAX}"
            raise ValueError(msg)

    def __int__(self) -> int:
        """Give the sixteen bits as they stand on the air."""
        return self.geographical_scope << 14 | self.message_code << 4 | self.update_number

    @classmethod
    def from_int(cls, value: int) -> Self:
        """Take the sixteen bits apart.

        Raises:
            ValueError: `value` is not in 0..65535.
        """
        if not 0 <= value <= 0xFFFF:  # noqa: PLR2004 - sixteen bits
            msg = f"serial number {value} is not in 0..65535"
            raise ValueError(msg)
        return cls(GeographicalScope(value >> 14), value >> 4 & MESSAGE_CODE_MAX, value & 0xF)

    def updated(self) -> Self:
        """Give the serial number of the next version of the same message.

        Raises:
            ValueError: this was version 15; the next one needs a new message code.
        """
        return replace(self, update_number=self.update_number + 1)


@dataclass(frozen=True, slots=True)
class Page:
    """One cell broadcast page: 82 octets as sent, of which the first `used_octets` hold text."""

    octets: bytes
    used_octets: int

    def __post_init__(self) -> None:
        """Refuse a page that no radio network could send."""
        if len(self.octets) != PAGE_OCTETS:
            msg = f"a page has {PAGE_OCTETS} octets, not {len(self.octets)}"
            raise ValueError(msg)
        if not 1 <= self.used_octets <= PAGE_OCTETS:
            msg = f"used octets {self.used_octets} are not in 1..{PAGE_OCTETS}"
            raise ValueError(msg)


@dataclass(frozen=True, slots=True)
class Broadcast:
    """One text in one language for one alert class, ready for the air.

    Attributes:
        language: ISO 639-1 code of the text.
        message_identifier: 0 to 65535; says which alert class this is (TS 23.041 9.4.1.2.2).
        serial_number: which version of which message.
        dcs: data coding scheme, 0 to 255 (TS 23.038 5).
        text: what a phone shows.
        pages: 1 to 15 pages that hold the text.
    """

    language: str
    message_identifier: int
    serial_number: SerialNumber
    dcs: int
    text: str
    pages: tuple[Page, ...]

    def __post_init__(self) -> None:
        """Make zero pages, and more than a message may have, unrepresentable."""
        if not 1 <= len(self.pages) <= PAGES_MAX:
            msg = f"{len(self.pages)} pages are not in 1..{PAGES_MAX}"
            raise ValueError(msg)
