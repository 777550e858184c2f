"""The bulletin document: the one definition of what CLI, files and later interfaces accept."""

import json
from collections import Counter
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from cbgateway.domain.bulletin import BulletinKind, Confidence, EmergencyCalls, Mode
from cbgateway.domain.errors import InputError, MalformedError
from cbgateway.domain.incident import Incident, IncidentState, Service
from cbgateway.service.intake import Request
from cbgateway.service.wording import StatedFacts

DOCUMENT_OCTETS_MAX = 262_144  # 256 KiB: a hundred times the longest honest bulletin
TEXT_CHARACTERS_MAX = 2_000  # above every class's budget: the class names the real limit
REGIONS_MAX = 512
WORKAROUNDS_MAX = 8  # advice that nobody can take in any more
READ_BACK_MAX = 8  # numbers outside the directory; each has to be typed twice
DIGITS_MAX = 20  # RFC 8785 writes integers of sixteen; a sign, and some room to be told of it
PROBLEMS_MAX = 20
"""Faults named before the rest is only counted: nobody reads more, and each may be long."""
TOO_DEEP = "nested too deeply"
SHOWN_CHARACTERS_MAX = 80  # of a name that the document made up; longer ones are cut

Identifier = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,99}$", strict=True)
]
"""No space, comma, ``<`` or ``&``, as CAP 1.2 asks of identifiers; no slash, which we use."""

Language = Annotated[str, StringConstraints(pattern=r"^[a-z]{2}$", strict=True)]
Duration = timedelta


def _at_most(items_max: int) -> BeforeValidator:
    """Refuse a list that is too long before any of its items costs time."""

    def check(items: object) -> object:
        if isinstance(items, list) and len(items) > items_max:
            msg = f"{len(items)} items, at most {items_max} are read"
            raise ValueError(msg)
        return items

    return BeforeValidator(check)


class _Document(BaseModel):
    """Refuses what it does not know; JSON types are taken as they are."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class IncidentDocument(_Document):
    """The outage that a first bulletin is about."""

    id: Identifier
    carrier: Identifier
    services: Annotated[tuple[Service, ...], _at_most(len(Service))] = Field(
        min_length=1, max_length=len(Service)
    )
    started_at: AwareDatetime


class TemplateDocument(_Document):
    """A template with what goes into its slots."""

    name: Identifier
    slots: dict[str, str | int | dict[str, str]] = Field(default_factory=dict, max_length=64)


class FactsDocument(_Document):
    """What a bulletin says, for pages and briefings."""

    cause: Identifier | None = None
    confidence: Confidence | None = None
    eta: AwareDatetime | Duration | None = None
    emergency_calls: EmergencyCalls | None = None
    workarounds: Annotated[tuple[Identifier, ...], _at_most(WORKAROUNDS_MAX)] = ()


class BulletinDocument(_Document):
    """One bulletin as a sender writes it. Times carry an offset; durations are ISO 8601."""

    schema_version: Literal[1] = Field(default=1, alias="schema")
    identifier: Identifier
    sender: Identifier
    incident: IncidentDocument | Identifier
    kind: BulletinKind
    alert_class: Identifier | None = Field(default=None, alias="class")
    regions: Annotated[tuple[Identifier, ...], _at_most(REGIONS_MAX)] = Field(
        max_length=REGIONS_MAX
    )
    texts: dict[Language, Annotated[str, Field(max_length=TEXT_CHARACTERS_MAX)]] = Field(
        default_factory=dict, max_length=8
    )
    template: TemplateDocument | None = None
    expires: AwareDatetime | Duration | None = None
    next_update: AwareDatetime | Duration | None = None
    mode: Mode | None = None
    allow_duplicate: bool = False
    facts: FactsDocument | None = None
    read_back: Annotated[
        tuple[Annotated[str, Field(max_length=SHOWN_CHARACTERS_MAX)], ...],
        _at_most(READ_BACK_MAX),
    ] = ()

    @model_validator(mode="after")
    def _texts_or_template(self) -> Self:
        if self.texts and self.template is not None:
            msg = "give either texts or a template, not both"
            raise ValueError(msg)
        return self

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        """Check a document.

        Raises:
            InputError: it is not a bulletin; every fault is named with its place.
        """
        try:
            return cls.model_validate(document)
        except ValidationError as error:
            raise InputError(*problems_of(error)) from error

    def to_request(self, document: Mapping[str, Any]) -> Request:
        """Give what the document asks for.

        Args:
            document: what the signature covers.
        """
        incident = self.incident
        return Request(
            document=document,
            identifier=self.identifier,
            sender=self.sender,
            incident_id=incident if isinstance(incident, str) else incident.id,
            incident=None
            if isinstance(incident, str)
            else Incident(
                incident_id=incident.id,
                carrier=incident.carrier,
                services=incident.services,
                started_at=incident.started_at,
                state=IncidentState.INVESTIGATING,
            ),
            kind=self.kind,
            alert_class=self.alert_class,
            regions=self.regions,
            texts=self.texts,
            template=None
            if self.template is None
            else (self.template.name, dict(self.template.slots)),
            expires=self.expires,
            next_update=self.next_update,
            mode=self.mode,
            allow_duplicate=self.allow_duplicate,
            facts=StatedFacts() if self.facts is None else StatedFacts(**dict(self.facts)),
            read_back=self.read_back,
        )


def parse_bulletin(octets: bytes) -> Request:
    """Read a bulletin document.

    Args:
        octets: JSON in UTF-8, 256 KiB at most.

    Raises:
        InputError: it is not JSON, or not a bulletin; every fault is named with its place.
    """
    document = parse_json(octets)
    return BulletinDocument.of(document).to_request(document)


class ReportDocument(BaseModel):
    """What a check of seals needs of a bulletin's report; the rest of it may say anything."""

    bulletin: str
    texts: dict[Language, str]
    seals: dict[Identifier, str] = Field(min_length=1)


def parse_report(octets: bytes) -> ReportDocument:
    """Read a bulletin's report for a check of its seals.

    Raises:
        InputError: it is not JSON, or has no seals.
    """
    try:
        return ReportDocument.model_validate(parse_json(octets))
    except ValidationError as error:
        raise InputError(*problems_of(error)) from error


def parse_json(octets: bytes) -> dict[str, Any]:
    """Read a JSON object strictly: UTF-8, no repeated key, no NaN, no absurd number or depth.

    Raises:
        MalformedError: it is no JSON; says what and where.
        InputError: it is JSON and no object, or has a character that cannot be written.
    """
    if len(octets) > DOCUMENT_OCTETS_MAX:
        msg = f"the document has {len(octets)} octets, at most {DOCUMENT_OCTETS_MAX} are read"
        raise MalformedError(msg, fault="body-too-large")
    document = _load(octets)
    try:
        if b"\\u" in octets:  # only so can half of a surrogate pair be written
            json.dumps(document, ensure_ascii=False).encode("utf-8")
    except UnicodeError as error:
        msg = f"not UTF-8 text: {error}"
        raise InputError(msg) from error
    except RecursionError as error:
        raise MalformedError(TOO_DEEP, fault="json-depth") from error
    if not isinstance(document, dict):
        msg = "a bulletin is a JSON object"
        raise InputError(msg)
    return document


def _load(octets: bytes) -> object:
    try:
        document: object = json.loads(
            octets.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_constant=_no_constant,
            parse_int=_integer,
        )
    except json.JSONDecodeError as error:
        msg = f"not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        raise MalformedError(msg, fault="json-syntax") from error
    except UnicodeError as error:
        msg = f"not UTF-8 text: {error}"
        raise MalformedError(msg, fault="json-syntax") from error
    except RecursionError as error:
        raise MalformedError(TOO_DEEP, fault="json-depth") from error
    return document


def read_document(path: Path) -> bytes:
    """Read a document from a file.

    Raises:
        InputError: there is no such file, or it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return file.read(DOCUMENT_OCTETS_MAX + 1)
    except OSError as error:
        msg = f"{path}: {error.strerror}"
        raise InputError(msg) from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        counts = Counter(key for key, _ in pairs)
        repeated = next(key for key, count in counts.items() if count > 1)
        msg = f"key {repeated[:SHOWN_CHARACTERS_MAX]!r} stands there twice"
        raise MalformedError(msg, fault="json-duplicate-key")
    return document


def _integer(digits: str) -> int:
    if len(digits) > DIGITS_MAX:
        msg = f"a number of {len(digits)} digits stands there, at most {DIGITS_MAX} are read"
        raise MalformedError(msg, fault="json-number")
    return int(digits)


def _no_constant(name: str) -> None:
    msg = f"{name} is not JSON"
    raise MalformedError(msg, fault="json-number")


def problems_of(error: ValidationError) -> list[str]:
    """Name each fault by its place, the first of them only."""
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    problems = [f"{_place(fault['loc'])}: {fault['msg']}" for fault in faults[:PROBLEMS_MAX]]
    if len(faults) > PROBLEMS_MAX:
        problems.append(f"and {len(faults) - PROBLEMS_MAX} more faults")
    return problems


def _place(parts: tuple[int | str, ...]) -> str:
    return ".".join(str(part)[:SHOWN_CHARACTERS_MAX] for part in parts) or "document"
