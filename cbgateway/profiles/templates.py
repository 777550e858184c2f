"""Bulletin templates: reviewed texts with typed slots, so that nothing is typed in a hurry.

A slot's content is data: it is checked by its type, put in its place once, and never read again
for placeholders.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from cbgateway.domain.bulletin import BulletinKind
from cbgateway.domain.errors import PolicyError
from cbgateway.profiles.models import Code, Language, Model

CODE_SLOT = "code"
"""Filled by the gateway with the bulletin's verification code."""
LONGEST_CODE = "W" * 6

PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")
TIME = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]", re.ASCII)


class TemplateError(PolicyError):
    """A template cannot be filled with what was given."""

    code = "template-slots"


class TimeSlot(Model):
    """A time of day, ``HH:MM``."""

    type: Literal["time"]

    def fill(self, value: object, language: str) -> str:  # noqa: ARG002 - the same in each
        """Give the text; raises ValueError with what is expected."""
        if not isinstance(value, str) or not TIME.fullmatch(value):
            msg = "a time HH:MM"
            raise ValueError(msg)
        return value

    def longest(self, language: str) -> str:  # noqa: ARG002 - the same in each
        """Give the longest text that can stand here."""
        return "23:59"


class IntegerSlot(Model):
    """A whole number."""

    type: Literal["integer"]
    min: int
    max: int

    def fill(self, value: object, language: str) -> str:  # noqa: ARG002 - the same in each
        """Give the text; raises ValueError with what is expected."""
        if (
            not isinstance(value, int)
            or isinstance(value, bool)
            or not self.min <= value <= self.max
        ):
            msg = f"a whole number from {self.min} to {self.max}"
            raise ValueError(msg)
        return str(value)

    def longest(self, language: str) -> str:  # noqa: ARG002 - the same in each
        """Give the longest text that can stand here."""
        return max(str(self.min), str(self.max), key=len)


class TextSlot(Model):
    """Free words in each language, no longer than the template has room for."""

    type: Literal["text"]
    characters_max: Annotated[int, Field(ge=1, le=100)]

    def fill(self, value: object, language: str) -> str:
        """Give the text; raises ValueError with what is expected."""
        text = value.get(language) if isinstance(value, Mapping) else value
        if (
            not isinstance(text, str)
            or not 1 <= len(text) <= self.characters_max
            or not text.isprintable()
        ):
            msg = f"1 to {self.characters_max} characters in {language!r}, on one line"
            raise ValueError(msg)
        return text

    def longest(self, language: str) -> str:  # noqa: ARG002 - the same in each
        """Give the longest text that can stand here; of letters that every alphabet has."""
        return "o" * self.characters_max


class ChoiceSlot(Model):
    """One of several reviewed wordings."""

    type: Literal["choice"]
    options: Annotated[
        dict[str, dict[Language, Annotated[str, Field(min_length=1)]]], Field(min_length=1)
    ]

    def fill(self, value: object, language: str) -> str:
        """Give the text; raises ValueError with what is expected."""
        if not isinstance(value, str) or value not in self.options:
            msg = f"one of {', '.join(self.options)}"
            raise ValueError(msg)
        return self.options[value][language]

    def longest(self, language: str) -> str:
        """Give the longest text that can stand here."""
        return max((option[language] for option in self.options.values()), key=len)


Slot = Annotated[TimeSlot | IntegerSlot | TextSlot | ChoiceSlot, Field(discriminator="type")]


class TemplateText(Model):
    """One wording: for a language, up to a length."""

    language: Language
    characters_max: Annotated[int, Field(ge=1, le=1395)]
    text: Annotated[str, Field(min_length=1)]

    @property
    def placeholders(self) -> frozenset[str]:
        """Give the names of the slots it has, beside the code's."""
        return frozenset(PLACEHOLDER.findall(self.text)) - {CODE_SLOT}


class Template(Model):
    """What is said on one kind of occasion."""

    schema_version: Literal[1] = Field(alias="schema")
    code: Annotated[str, Field(pattern=r"^[a-z][a-z_]{0,31}$")]
    country: Code
    kind: BulletinKind
    slots: dict[str, Slot]
    texts: Annotated[tuple[TemplateText, ...], Field(min_length=1)]

    @property
    def languages(self) -> tuple[str, ...]:
        """Give the languages it has texts in, each once."""
        return tuple(dict.fromkeys(text.language for text in self.texts))

    def variant(self, language: str, characters_max: int) -> TemplateText:
        """Choose the longest wording that fits.

        Raises:
            TemplateError: none fits.
        """
        fitting = [
            text
            for text in self.texts
            if text.language == language and text.characters_max <= characters_max
        ]
        if not fitting:
            msg = (
                f"template {self.code!r} has no text in {language!r} "
                f"for {characters_max} characters"
            )
            raise TemplateError(msg)
        return max(fitting, key=lambda text: text.characters_max)

    def longest(self, text: TemplateText) -> str:
        """Give the longest that a wording can become."""
        return PLACEHOLDER.sub(
            lambda match: (
                LONGEST_CODE
                if match[1] == CODE_SLOT
                else self.slots[match[1]].longest(text.language)
            ),
            text.text,
        )


def render(
    template: Template,
    slots: Mapping[str, object],
    *,
    language: str,
    characters_max: int,
    code: str = LONGEST_CODE,
) -> str:
    """Fill a template.

    Args:
        template: what to say.
        slots: content by name; a text slot takes one text, or one for each language.
        language: ISO 639-1 code.
        characters_max: what the alert class allows; the longest wording within it is taken.
        code: the bulletin's verification code.

    Raises:
        TemplateError: a slot is missing, unknown, or filled with what it cannot hold.
    """
    variant = template.variant(language, characters_max)
    problems = [
        f"unknown slot {name!r}, known: {', '.join(template.slots)}"
        for name in slots
        if name not in template.slots
    ]
    filled = {CODE_SLOT: code}
    for name in sorted(variant.placeholders):
        if name not in slots:
            problems.append(f"slot {name!r} is missing")
            continue
        try:
            filled[name] = template.slots[name].fill(slots[name], language)
        except ValueError as error:
            problems.append(f"slot {name!r} takes {error}")
    if problems:
        msg = f"template {template.code!r}: " + "; ".join(problems)
        raise TemplateError(msg)
    return PLACEHOLDER.sub(lambda match: filled[match[1]], variant.text)
