"""The words of one language: for pages, briefings and reports, and the lint of texts."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from cbgateway.domain.bulletin import BulletinKind, Confidence, EmergencyCalls
from cbgateway.domain.incident import IncidentState, Service
from cbgateway.profiles.enquiries import EnquiryWords
from cbgateway.profiles.models import Language, Model, Pattern, Text

EXCLAMATIONS_MAX = 1
PLACEHOLDER = re.compile(r"\{(\w+)\}")
SCRIPT_NAMES = dict.fromkeys(("carrier", "what", "where", "since", "eta", "next"), "")
"""What a script for staff can name."""


class Topic(StrEnum):
    """What the lint of words looks at."""

    JARGON = "jargon"
    BLAME = "blame"
    CAUSE = "cause"
    SHOUTING = "shouting"


class Instead(Model):
    """A word that people do not know, with one that they do."""

    pattern: Pattern
    instead: Text


class Claim(Model):
    """Words that name a cause; they need that cause confirmed."""

    pattern: Pattern
    cause: Text


class LintWords(Model):
    """What a text should not say.

    Attributes:
        claims_to_be_real: what no drill may ever say.
    """

    jargon: tuple[Instead, ...]
    blame: tuple[Pattern, ...]
    claims_to_be_real: Annotated[tuple[Pattern, ...], Field(min_length=1)]
    claims: tuple[Claim, ...]


class DrillWords(Model):
    """Labels of planned drills and their scores."""

    planned: Text
    soon: Text
    under_way: Text
    over: Text
    cancelled: Text
    first_notice: Text
    promises: Text
    corrections: Text
    not_scored: Text


class Script(Model):
    """What staff say, in this order: sorry, what is known, what helps, when there is news.

    Names in braces are filled in: carrier, what, where, since, eta, next.
    """

    apology: Text
    fact: Text
    over: Text
    corrected: Text
    withdrawn: Text
    eta: Text
    eta_unknown: Text
    next: Text
    next_late: Text
    thanks: Text


class NotWhile(Model):
    """What staff do not say as long as something is not known."""

    cause: Text
    eta: Text
    emergency_calls: Text


class BriefingWords(Model):
    """What call-centre staff read beside the facts."""

    title: Text
    superseded: Text
    script: Script
    first_words: Annotated[tuple[Text, ...], Field(min_length=1)]
    do_not_say: Annotated[tuple[Text, ...], Field(min_length=1)]
    not_while: NotWhile
    compensation: Text
    script_heading: Text
    kind_words: Text
    not_to_say: Text
    compensation_heading: Text
    contacts_heading: Text
    contact_unverified: Text


class PageWords(Model):
    """Labels of the public pages."""

    title: Text
    other_language: Text
    skip: Text
    now: Text
    none: Text
    ongoing: Text
    recently_restored: Text
    as_of: Text
    what: Text
    where: Text
    since: Text
    state: Text
    cause: Text
    emergency_calls: Text
    eta: Text
    eta_unknown: Text
    eta_overdue: Text
    next_update: Text
    next_overdue: Text
    no_next: Text
    workaround: Text
    official_text: Text
    as_sent: Text
    eta_text_hidden: Text
    code: Text
    timeline: Text
    regions: Text
    region_none: Text
    past: Text
    past_none: Text
    drills: Text
    drills_none: Text
    drills_about: Text
    verify: Text
    verify_genuine: Text
    verify_current: Text
    verify_not_current: Text
    verify_unknown: Text
    verify_about: Text
    home: Text
    feed: Text
    more: Text
    older_in_feed: Text
    withdrawn: Text
    banner_test: Text
    banner_exercise: Text
    minutes: Text


class AudioWords(Model):
    """What is said around a message that is read aloud; ``{code}`` stands for the spelled code."""

    opening: Text
    again: Text
    code: Text
    closing: Text
    exercise: Text


class ReportWords(Model):
    """Labels of the report after an incident."""

    title: Text
    figures: Text
    figure: Text
    value: Text
    source: Text
    not_known: Text
    unverified: Text
    detected: Text
    ended: Text
    to_submission: Text
    to_approval: Text
    to_acceptance: Text
    to_broadcast: Text
    broadcast_at: Text
    cells: Text
    to_display: Text
    deadlines: Text
    first_notice: Text
    wanted: Text
    took: Text
    kept: Text
    missed: Text
    open: Text
    compensation_due: Text
    reach: Text
    carrier: Text
    level: Text
    population: Text
    uncovered: Text
    deliveries: Text
    corrections: Text
    bulletins: Text
    timeline: Text
    lessons: Text
    clocks: Text
    history: Text
    result: Text
    accepted_at: Text
    displayed_at: Text
    wrong: Text
    corrected_by: Text
    after_s: Text
    at: Text
    subject: Text
    event: Text
    actor: Text
    detail: Text
    levels: dict[str, Text]


class LanguageWords(Model):
    """Everything that is said in one language."""

    schema_version: Annotated[int, Field(alias="schema", ge=1, le=1)]
    code: Language
    name: Text
    services: dict[Service, Text]
    states: dict[IncidentState, Text]
    kinds: dict[BulletinKind, Text]
    causes: Annotated[dict[str, Text], Field(min_length=1)]
    confidences: dict[Confidence, Text]
    emergency_calls: dict[EmergencyCalls, Text]
    workarounds: dict[str, Text]
    page: PageWords
    briefing: BriefingWords
    report: ReportWords
    drill: DrillWords
    lint: LintWords
    audio: AudioWords | None = None
    """Without it a language has no audio script."""
    enquiries: EnquiryWords | None = None
    """How enquiries by short message are read and answered; None where they are not."""

    def cause(self, name: str, confidence: Confidence) -> str:
        """Say what caused an outage and how sure that is."""
        return f"{self.causes.get(name, name)} ({self.confidences[confidence]})"


def fill(text: str, values: Mapping[str, str]) -> str:
    """Put values in the place of names in braces; a name without a value stays as it is."""
    return PLACEHOLDER.sub(lambda match: values.get(match[1], match[0]), text)


@dataclass(frozen=True, slots=True)
class Finding:
    """Words that should be others.

    Attributes:
        words: as they stand in the text.
        advice: what to do about it.
        cause: of a claim, the cause that has to be confirmed; else empty.
    """

    topic: Topic
    words: str
    advice: str
    cause: str = ""


def claim_to_be_real(words: LanguageWords, text: str) -> str:
    """Give the first words of a drill's text that say it is none; empty for none."""
    for pattern in words.lint.claims_to_be_real:
        match = re.search(pattern, text, re.IGNORECASE)
        if match is not None:
            return match[0]
    return ""


def lint_words(words: LanguageWords, text: str) -> Iterator[Finding]:
    """Find jargon, blame, claimed causes and shouting in a text."""
    for jargon in words.lint.jargon:
        for match in re.finditer(jargon.pattern, text, re.IGNORECASE):
            yield Finding(Topic.JARGON, match[0], f"say {jargon.instead!r}")
    for pattern in words.lint.blame:
        for match in re.finditer(pattern, text, re.IGNORECASE):
            yield Finding(Topic.BLAME, match[0], "say what happened, not whose fault it is")
    for claim in words.lint.claims:
        for match in re.finditer(claim.pattern, text, re.IGNORECASE):
            advice = f"needs the cause {claim.cause!r} confirmed"
            yield Finding(Topic.CAUSE, match[0], advice, claim.cause)
    if text.count("!") + text.count("！") > EXCLAMATIONS_MAX:  # noqa: RUF001 - full width
        yield Finding(Topic.SHOUTING, "!", "a calm sentence is believed sooner")
