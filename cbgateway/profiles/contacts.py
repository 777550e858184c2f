"""The directory of telephone numbers and links that texts may show."""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from typing import Annotated

from pydantic import Field

from cbgateway.profiles.models import Code, Model, Names

DIGITS_MIN = 3
"""Fewer are a count or an hour; the shortest numbers that people dial have three."""
DIGITS_SURELY = 7
"""So many are a telephone number whatever follows them."""
CHECKED_DAYS_MAX = 180
"""How long a check counts unless a directory says otherwise: numbers change hands within a year."""

NO_NUMBER = re.compile(
    r"(?<![\d:-])(?:"
    r"(?:[01]?\d|2[0-4]):[0-5]\d(?::[0-5]\d)?"  # a time
    r"|(?:19|20)\d\d-\d{1,2}-\d{1,2}"  # a date
    r"|\d{1,3}(?:,\d{3})+"  # thousands
    r"|\d{1,3}\.\d{1,2}"  # a fraction
    r")(?![\d.,:-]\d|\d)"
)
CODE = re.compile(
    r"(?:코드|code)\s?[0-9A-HJKMNP-TV-Z]{6}(?![A-Z0-9-])"
    r"|(?<![A-Z0-9-])(?=\d*[A-Z])[0-9A-HJKMNP-TV-Z]{6}(?![A-Z0-9-])",
    re.IGNORECASE,
)
"""A verification code, of ours or of a partner whose bulletin we pass on."""
RUN = re.compile(r"\+?\d(?:[ ().-]{0,2}\d)*")
COUNTED = re.compile(
    r"\s*(?:%|분|시|초|명|개|곳|보|일|월|년|주|대|건|차|배|만|천|억|회|층|도|원|번째|"
    r"(?:km|m|min|minutes?|hours?|h|s|people|users?|customers?|services?|regions?|subscribers?|"
    r"phones?|cells?|sites?|days?|percent|st|nd|rd|th)\b)"
)
LINK = re.compile(
    r"(?:[a-z][a-z0-9+.-]*://)?(?:[\w-]+\.)+(?:[a-z]{2,24}|한국)(?![\w-])(?::\d+)?(?:/[^\s]*)?",
    re.IGNORECASE,
)
SCHEME = re.compile(r"^[a-z][a-z0-9+.-]*://", re.IGNORECASE)
CLOSING = ".,;:!?)]}'\"\u201d\u2019\u300d\u300f"


class Contact(Model):
    """One number or link that somebody has tried.

    Attributes:
        number: as people dial it in the country; None for a link.
        link: host with path; what begins with it is allowed as well. None for a number.
        depends_on: carriers without whose networks it does not work.
        checked_on: when somebody last tried it; None while nobody has.
    """

    name: Names
    number: Annotated[str, Field(pattern=r"^[0-9][0-9-]{1,18}$")] | None = None
    link: Annotated[str, Field(pattern=r"^[a-z0-9-]+(\.[a-z0-9-]+)+(/[!-~]*)?$")] | None = None
    depends_on: tuple[Code, ...] = ()
    checked_on: date | None = None

    @property
    def value(self) -> str:
        """Give the number or link itself, by which the history knows it."""
        return self.number or self.link or ""


class ContactsFile(Model):
    """What a directory file holds.

    Attributes:
        calling_code: the country's, without plus.
        checked_days_max: an entry that was last tried longer ago is to be tried again.
    """

    schema_version: Annotated[int, Field(alias="schema", ge=1, le=1)]
    country: Code
    calling_code: Annotated[str, Field(pattern=r"^[1-9][0-9]{0,3}$")]
    checked_days_max: Annotated[int, Field(ge=1, le=3_650)] = CHECKED_DAYS_MAX
    contacts: Annotated[tuple[Contact, ...], Field(max_length=1_000)] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """What looks like a number or link in a text.

    Attributes:
        shown: as it stands there.
        contact: the directory's entry; None when it has none.
    """

    shown: str
    is_link: bool
    contact: Contact | None


@dataclass(frozen=True, slots=True)
class Directory:
    """The numbers and links of one country that texts may show.

    Attributes:
        checked_days_max: how long a check of an entry counts.
    """

    contacts: tuple[Contact, ...] = ()
    calling_code: str = ""
    checked_days_max: int = CHECKED_DAYS_MAX

    def named(self, name: str) -> Contact | None:
        """Find an entry by its number, link, or name in any language; None for none."""
        wanted = name.strip().casefold()
        for one in self.contacts:
            if wanted in {one.value, *(own.casefold() for own in one.name.values())}:
                return one
        return self._number(wanted) or self._link(wanted)

    def find(self, text: str) -> list[Found]:
        """Give every number and link in a text, in order, with what is known of each."""
        plain = unicodedata.normalize("NFKC", text)
        links = []
        for match in LINK.finditer(plain):
            shown = match[0].rstrip(CLOSING)
            links.append(Found(shown, is_link=True, contact=self._link(shown)))
        rest = NO_NUMBER.sub(_blank, CODE.sub(_blank, LINK.sub(_blank, plain)))
        return [*links, *self._numbers(rest)]

    def _numbers(self, text: str) -> Iterator[Found]:
        for match in RUN.finditer(text):
            shown = match[0]
            is_counted = COUNTED.match(text, match.end()) is not None
            whole = self._number(shown)
            is_foreign = shown.startswith("+")
            pieces = shown.split() if whole is None and not is_foreign else [shown]
            if len(pieces) > 1 and not self._are_apart(pieces):
                pieces = [shown]
            for index, piece in enumerate(pieces):
                count = len(digits_of(piece))
                if count < DIGITS_MIN:
                    continue
                is_last = index == len(pieces) - 1
                contact = self._number(piece)
                if contact is None and is_counted and is_last and count < DIGITS_SURELY:
                    continue
                yield Found(piece, is_link=False, contact=contact)

    def _are_apart(self, pieces: list[str]) -> bool:
        """Tell whether pieces between blanks are numbers of their own, or none."""
        return all(
            len(digits_of(piece)) < DIGITS_MIN or self._number(piece) is not None
            for piece in pieces
        )

    def _number(self, shown: str) -> Contact | None:
        digits = self.national(shown)
        for one in self.contacts:
            if one.number is not None and digits_of(one.number) == digits:
                return one
        return None

    def national(self, shown: str) -> str:
        """Give the digits of a number as people dial them in the country."""
        digits = digits_of(shown)
        if shown.startswith("+") and self.calling_code and digits.startswith(self.calling_code):
            return "0" + digits[len(self.calling_code) :]
        return digits

    def _link(self, shown: str) -> Contact | None:
        wanted = SCHEME.sub("", shown).lower()
        for one in self.contacts:
            if one.link is None:
                continue
            base = one.link.rstrip("/")
            if wanted == base or wanted.startswith(base + "/"):
                return one
        return None


def digits_of(shown: str) -> str:
    """Give only the digits."""
    return "".join(character for character in shown if character.isdecimal())


def unverified(found: Iterable[Found]) -> tuple[Found, ...]:
    """Give what is not in the directory."""
    return tuple(one for one in found if one.contact is None)


def _blank(match: re.Match[str]) -> str:
    """Stand for what was looked at, so that nothing on its two sides runs together."""
    return "|" * len(match[0])
