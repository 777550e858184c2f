"""What people ask by short message: how a text is understood, and what is kept of it.

Theory of operation: a text is brought into one form first (compatibility forms, case, spaces and
punctuation make no difference), then compared with a vocabulary, which is data. What is not a
command is a question; of it only what says nothing about a person is kept.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

TEXT_CHARACTERS_MAX = 400
"""What is looked at of a text: two parts and more; commands are shorter."""
QUESTION_CHARACTERS_MAX = 80
"""What is kept of a text that was not understood."""
CODE_CHARACTERS = 6
WORDS_MAX = 20
"""Words that are looked through for a region."""
REGION_WORDS_MAX = 3
"""Words that a region's name may have."""


class Command(StrEnum):
    """What somebody wants."""

    STATUS = "status"
    OUT = "out"
    """Something does not work here."""
    SUBSCRIBE = "subscribe"
    STOP = "stop"
    HELP = "help"
    VERIFY = "verify"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Words that are understood, each compact; see `compact`.

    Attributes:
        commands: what each word asks for, and its language.
        regions: what each name stands for, and its language; longer names first.
        fillers: words that say nothing.
        letters: for each language, a part of the names of its letters, such as ``HANGUL``.
    """

    commands: Mapping[str, tuple[Command, str]]
    regions: Mapping[str, tuple[str, str]]
    fillers: frozenset[str] = frozenset()
    letters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Enquiry:
    """A text as it was understood.

    Attributes:
        language: that it was asked in; empty when the text does not tell.
        region: code; empty when it names none.
        code: what stands where a verification code belongs; empty when nothing does.
        is_whole: whether nothing is left over that was not understood.
    """

    command: Command
    language: str = ""
    region: str = ""
    code: str = ""
    is_whole: bool = True


@dataclass(frozen=True, slots=True)
class Subscription:
    """Somebody who wants to be told of new bulletins.

    Attributes:
        number: in the order in which they began; 0 for one that is not kept yet.
        peer_id: the carrier that they wrote by.
        name: keyed hash of their number.
        sealed: the number itself, encrypted.
        regions: codes.
        language: of what they are told.
        until: when it ends by itself.
    """

    number: int
    peer_id: str
    name: str
    sealed: bytes
    regions: tuple[str, ...]
    language: str
    until: datetime


@dataclass(frozen=True, slots=True)
class Round:
    """How far the subscribers of one carrier have been told of one bulletin.

    Attributes:
        after: the last subscription that was committed to.
        up_to: the last one that there was when it began.
        in_flight: how many of them were committed to and have no outcome yet.
        told: how many the carrier has taken a message for.
        refused: how many it has not, or that could not be told.
        in_doubt: how many may or may not have been told; nobody is told twice.
    """

    bulletin_id: str
    peer_id: str
    after: int
    up_to: int
    in_flight: int = 0
    told: int = 0
    refused: int = 0
    in_doubt: int = 0


def words_of(text: str) -> list[str]:
    """Give the words of a text: letters and digits in one form, without case.

    Full-width and composed or decomposed characters are the same (Unicode NFKC); what is not to be
    seen is left out.
    """
    shown = "".join(c for c in text[:TEXT_CHARACTERS_MAX] if unicodedata.category(c) != "Cf")
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", shown).casefold())
    plain = "".join(c if unicodedata.category(c)[0] in "LNM" else " " for c in folded)
    return plain.split()


def compact(text: str) -> str:
    """Give a text's words as one."""
    return "".join(words_of(text))


def understand(text: str, vocabulary: Vocabulary) -> Enquiry:
    """Find out what somebody wants; never fails."""
    words = [word for word in words_of(text) if word not in vocabulary.fillers]
    whole = "".join(words)
    if not whole:
        return Enquiry(Command.STATUS, _language_of(text, vocabulary))
    found = _plain(whole, vocabulary) or _verifying(whole, vocabulary)
    if found is not None:
        return found
    command, language = vocabulary.commands.get(words[0], (Command.UNKNOWN, ""))
    if command is Command.STOP:  # whatever stands behind it
        return Enquiry(command, language)
    region = _region_in(words, vocabulary)
    if region is not None:
        code, language = region
        return Enquiry(Command.STATUS, language, code, is_whole=False)
    return Enquiry(Command.UNKNOWN, _language_of(text, vocabulary), is_whole=False)


def _plain(whole: str, vocabulary: Vocabulary) -> Enquiry | None:
    """Understand a command, a region, or both in either order."""
    commands, regions = vocabulary.commands, vocabulary.regions
    if whole in commands:
        return Enquiry(*commands[whole])
    if whole in regions:
        code, language = regions[whole]
        return Enquiry(Command.STATUS, language, code)
    for word, (command, language) in commands.items():
        for rest in _without(whole, word):
            if rest in regions:
                return Enquiry(command, language, regions[rest][0])
            if rest in commands:  # such as STOP ALL, or a word said twice
                return Enquiry(command, language)
    return None


def _verifying(whole: str, vocabulary: Vocabulary) -> Enquiry | None:
    """Understand a verification code, with a word before or behind it or alone."""
    words = [
        (word, language)
        for word, (command, language) in vocabulary.commands.items()
        if command is Command.VERIFY
    ]
    left, found = whole, ""
    for word, language in [*words, *words]:  # they may stand one behind another
        if left.startswith(word):
            left, found = left[len(word) :], language
        elif left.endswith(word):
            left, found = left[: -len(word)], language
    if found:
        return Enquiry(Command.VERIFY, found, code=left[: 2 * CODE_CHARACTERS])
    is_code = len(whole) == CODE_CHARACTERS and whole.isascii() and whole.isalnum()
    if is_code and any(c.isdigit() for c in whole):
        return Enquiry(Command.VERIFY, code=whole)
    return None


def _without(whole: str, word: str) -> Iterator[str]:
    if whole.startswith(word):
        yield whole[len(word) :]
    if whole.endswith(word):
        yield whole[: -len(word)]


def _region_in(words: list[str], vocabulary: Vocabulary) -> tuple[str, str] | None:
    """Find the one region that a sentence names; None when it names none, or several."""
    found: dict[str, str] = {}
    for begin, word in enumerate(words[:WORDS_MAX]):
        joined = ["".join(words[begin : begin + n]) for n in range(1, REGION_WORDS_MAX + 1)]
        for name, (code, language) in vocabulary.regions.items():
            has_particle = not name.isascii() and word.startswith(name)
            if name in joined or has_particle:
                found[code] = language
                break  # the longest name counts
    return next(iter(found.items())) if len(found) == 1 else None


def _language_of(text: str, vocabulary: Vocabulary) -> str:
    """Tell a text's language by its letters; empty when they do not tell."""
    for language, name in vocabulary.letters.items():
        if any(name in unicodedata.name(c, "") for c in text[:TEXT_CHARACTERS_MAX]):
            return language
    return ""


_LINK = re.compile(r"\S*(?:://|@|www\.)\S*")
_DIGIT = re.compile(r"\d")


def masked(text: str) -> str:
    """Give what is kept of a question: one line, without links, addresses and digits."""
    begin = text[:TEXT_CHARACTERS_MAX]
    shown = "".join(c if unicodedata.category(c)[0] != "C" else " " for c in begin)
    folded = unicodedata.normalize("NFKC", shown).casefold()[:TEXT_CHARACTERS_MAX]
    plain = _DIGIT.sub("#", _LINK.sub("@", folded))
    return " ".join(plain.split())[:QUESTION_CHARACTERS_MAX].strip(" ?!.,~@")


def is_subscriber(number: str, *, digits_min: int) -> bool:
    """Tell whether a sender is somebody's telephone: digits, and more than short codes have."""
    digits = number.removeprefix("+")
    return digits.isascii() and digits.isdecimal() and digits_min <= len(digits) <= DIGITS_MAX


DIGITS_MAX = 15
"""Of a number in the world's plan (E.164 6)."""
