"""A CAP 1.2 alert as values: its structure by our own schema, then the rules that none can say."""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib import resources
from itertools import islice

from lxml import etree

from cbgateway.domain.bulletin import Reference
from cbgateway.domain.errors import InputError

NAMESPACE = "urn:oasis:names:tc:emergency:cap:1.2"
INFOS_MAX = 8  # as many languages as a bulletin has texts
AREAS_MAX = 64  # per info; a country's provinces several times over
REFERENCES_MAX = 256  # earlier messages of one outage: a day of one every six minutes
PROBLEMS_MAX = 20
"""Faults named before the rest is only counted: nobody reads more, and each may be long."""
SHOWN_CHARACTERS_MAX = 80  # of a value that the document made up; longer ones are cut
POINTS_MIN = 4  # of a polygon: a triangle, closed
EARTH_KM = 20_038.0  # half the equator: no circle on earth is wider
CLOSED = {"Restricted": "restriction", "Private": "addresses"}
FOLLOWS = {"Update", "Cancel", "Ack", "Error"}

NAME = re.compile(r"[^\s,<&]{1,100}")
NUMBER = r"[+-]?\d{1,5}(?:\.\d{1,15})?"
PAIR = re.compile(rf"({NUMBER}),({NUMBER})")
CIRCLE = re.compile(rf"({NUMBER}),({NUMBER}) ({NUMBER})")

Point = tuple[float, float]
"""Latitude and longitude in degrees, WGS 84, as CAP writes them."""


@dataclass(frozen=True, slots=True)
class CapArea:
    """Where: shapes and names, all of them together.

    Attributes:
        circles: centre and radius in kilometres.
        geocodes: name of the list and code.
    """

    description: str
    polygons: tuple[tuple[Point, ...], ...]
    circles: tuple[tuple[Point, float], ...]
    geocodes: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class CapInfo:
    """What an alert says in one language; empty where it says nothing.

    Attributes:
        language: the primary subtag, such as ``ko``.
        parameters: name and value, in order.
    """

    language: str
    categories: tuple[str, ...]
    response_types: tuple[str, ...]
    urgency: str
    severity: str
    certainty: str
    event_codes: tuple[tuple[str, str], ...]
    effective: datetime | None
    onset: datetime | None
    expires: datetime | None
    headline: str
    description: str
    instruction: str
    parameters: tuple[tuple[str, str], ...]
    areas: tuple[CapArea, ...]


@dataclass(frozen=True, slots=True)
class CapAlert:
    """One alert, sound in itself.

    Attributes:
        incidents: names of outages, as the sender calls them.
        digest: SHA-256 of the canonical form without signature, in hexadecimal.
    """

    identifier: str
    sender: str
    sent: datetime
    status: str
    message_type: str
    scope: str
    references: tuple[Reference, ...]
    incidents: tuple[str, ...]
    infos: tuple[CapInfo, ...]
    digest: str


def check_structure(root: etree._Element) -> None:
    """Refuse what is no CAP 1.2 alert.

    Raises:
        InputError: every fault is named with its line.
    """
    schema = _schema()
    if schema.validate(root):
        return
    faults = [
        f"line {fault.line}: {fault.message.replace(f'{{{NAMESPACE}}}', '')[:400]}"
        for fault in islice(schema.error_log, PROBLEMS_MAX)
    ]
    raise InputError(*faults)


def read_alert(canonical: bytes, root: etree._Element) -> CapAlert:
    """Read an alert that has the structure of one.

    Args:
        canonical: its canonical octets, without signature.
        root: what was parsed from them, and nothing else.

    Raises:
        InputError: rules that it breaks, each by its place.
    """
    problems: list[str] = []
    read = _Reader(problems)
    infos = tuple(_info(read, node, f"info[{at}]") for at, node in _numbered(root, "info"))
    alert = CapAlert(
        identifier=read.name(root, "identifier"),
        sender=read.name(root, "sender"),
        sent=read.time(root, "sent") or datetime.min,  # noqa: DTZ901 - named as a problem
        status=_text(root, "status"),
        message_type=_text(root, "msgType"),
        scope=_text(root, "scope"),
        references=read.references(root),
        incidents=tuple(_text(root, "incidents").split()),
        infos=infos,
        digest=hashlib.sha256(canonical).hexdigest(),
    )
    _check_alert(read, root, alert)
    if len(problems) > PROBLEMS_MAX:
        problems[PROBLEMS_MAX:] = [f"and {len(problems) - PROBLEMS_MAX} more faults"]
    if problems:
        raise InputError(*problems)
    return alert


@cache
def _schema() -> etree.XMLSchema:
    octets = resources.files("cbgateway.interfaces.cap").joinpath("cap12.xsd").read_bytes()
    return etree.XMLSchema(etree.fromstring(octets))


def _check_alert(read: "_Reader", root: etree._Element, alert: CapAlert) -> None:
    if alert.message_type in FOLLOWS and not _text(root, "references"):
        read.fault("references", f"msgType {alert.message_type} says which alert it is about")
    needed = CLOSED.get(alert.scope)
    if needed is not None and not _text(root, needed):
        read.fault(needed, f"scope {alert.scope} needs it")
    if len(alert.infos) > INFOS_MAX:
        read.fault("info", f"{len(alert.infos)} blocks, at most {INFOS_MAX} are read")
    languages = [info.language for info in alert.infos]
    for language in sorted({one for one in languages if languages.count(one) > 1}):
        read.fault("info", f"language {language!r} stands there twice; one block per language")
    for at, info in enumerate(alert.infos[1:], start=2):
        for name in _differences(alert.infos[0], info):
            read.fault(f"info[{at}].{name}", "says something else than in the first language")


def _differences(one: CapInfo, other: CapInfo) -> Iterator[str]:
    """Name what has to be the same in every language, and is not."""
    for name in ("categories", "response_types", "urgency", "severity", "certainty"):
        if getattr(one, name) != getattr(other, name):
            yield name
    for name in ("event_codes", "effective", "onset", "expires"):
        if getattr(one, name) != getattr(other, name):
            yield name
    if [_places(area) for area in one.areas] != [_places(area) for area in other.areas]:
        yield "area"


def _places(area: CapArea) -> tuple[object, ...]:
    return area.polygons, area.circles, area.geocodes


def _info(read: "_Reader", node: etree._Element, place: str) -> CapInfo:
    areas = [_area(read, child, f"{place}.area[{at}]") for at, child in _numbered(node, "area")]
    if len(areas) > AREAS_MAX:
        read.fault(f"{place}.area", f"{len(areas)} areas, at most {AREAS_MAX} are read")
    return CapInfo(
        language=(_text(node, "language") or "en-US").lower().partition("-")[0],
        categories=tuple(sorted(_texts(node, "category"))),
        response_types=tuple(sorted(_texts(node, "responseType"))),
        urgency=_text(node, "urgency"),
        severity=_text(node, "severity"),
        certainty=_text(node, "certainty"),
        event_codes=tuple(sorted(_named(node, "eventCode"))),
        effective=read.time(node, "effective", place),
        onset=read.time(node, "onset", place),
        expires=read.time(node, "expires", place),
        headline=_text(node, "headline"),
        description=_text(node, "description"),
        instruction=_text(node, "instruction"),
        parameters=_named(node, "parameter"),
        areas=tuple(areas),
    )


def _area(read: "_Reader", node: etree._Element, place: str) -> CapArea:
    if _text(node, "ceiling") and not _text(node, "altitude"):
        read.fault(f"{place}.ceiling", "stands there without an altitude")
    return CapArea(
        description=_text(node, "areaDesc"),
        polygons=tuple(read.polygon(text, f"{place}.polygon") for text in _texts(node, "polygon")),
        circles=tuple(read.circle(text, f"{place}.circle") for text in _texts(node, "circle")),
        geocodes=_named(node, "geocode"),
    )


class _Reader:
    """Reads values, and notes what is wrong with them instead of stopping at the first."""

    def __init__(self, problems: list[str]) -> None:
        self._problems = problems

    def fault(self, place: str, problem: str) -> None:
        """Note a fault."""
        self._problems.append(f"{place}: {problem}")

    def name(self, node: etree._Element, tag: str) -> str:
        """Read an identifier or a sender (CAP 1.2 3.2.1)."""
        text = _text(node, tag)
        if not NAME.fullmatch(text):
            problem = "has no space, comma, < or &, and at most 100 characters"
            self.fault(tag, f"{text[:SHOWN_CHARACTERS_MAX]!r} {problem}")
        return text

    def time(self, node: etree._Element, tag: str, place: str = "") -> datetime | None:
        """Read a time that the schema has let pass; there is no hour 24 for us."""
        text = _text(node, tag)
        return self._time(text, f"{place}.{tag}".lstrip(".")) if text else None

    def _time(self, text: str, place: str) -> datetime | None:
        try:
            at = datetime.fromisoformat(text)
        except ValueError as error:
            self.fault(place, f"{text[:SHOWN_CHARACTERS_MAX]!r} is no time: {error}")
            return None
        if at.tzinfo is None:
            self.fault(place, f"{text[:SHOWN_CHARACTERS_MAX]!r} has no offset")
            return None
        return at

    def references(self, root: etree._Element) -> tuple[Reference, ...]:
        """Read triples of sender, identifier and time, with spaces between (CAP 1.2 3.2.1)."""
        triples = _text(root, "references").split()
        if len(triples) > REFERENCES_MAX:
            self.fault("references", f"{len(triples)} are named, at most {REFERENCES_MAX} are read")
        found = []
        for triple in triples[:REFERENCES_MAX]:
            parts = triple.split(",")
            if len(parts) != 3:  # noqa: PLR2004 - a triple
                shown = triple[:SHOWN_CHARACTERS_MAX]
                self.fault("references", f"{shown!r} is not sender,identifier,sent")
                continue
            sent = self._time(parts[2], "references")
            if sent is not None:
                found.append(Reference(parts[0], parts[1], sent))
        return tuple(found)

    def polygon(self, text: str, place: str) -> tuple[Point, ...]:
        """Read a closed line of latitudes and longitudes."""
        points = []
        for pair in text.split():
            match = PAIR.fullmatch(pair)
            if match is None:
                shown = pair[:SHOWN_CHARACTERS_MAX]
                self.fault(place, f"{shown!r} is not latitude,longitude")
                return ()
            points.append(self._point(match[1], match[2], place))
        if len(points) < POINTS_MIN or points[0] != points[-1]:
            self.fault(place, "a polygon has four points or more, and ends where it began")
        return tuple(points)

    def circle(self, text: str, place: str) -> tuple[Point, float]:
        """Read a centre and a radius in kilometres."""
        match = CIRCLE.fullmatch(" ".join(text.split()))
        if match is None or not 0 <= float(match[3]) <= EARTH_KM:
            shown = text[:SHOWN_CHARACTERS_MAX]
            self.fault(place, f"{shown!r} is not latitude,longitude and a radius in kilometres")
            return (0.0, 0.0), 0.0
        return self._point(match[1], match[2], place), float(match[3])

    def _point(self, latitude: str, longitude: str, place: str) -> Point:
        point = float(latitude), float(longitude)
        if not (-90 <= point[0] <= 90 and -180 <= point[1] <= 180):  # noqa: PLR2004 - degrees
            self.fault(place, f"{latitude},{longitude} is nowhere on earth")
        return point


def _numbered(node: etree._Element, tag: str) -> Iterator[tuple[int, etree._Element]]:
    return enumerate(node.iterchildren(f"{{{NAMESPACE}}}{tag}"), start=1)


def _texts(node: etree._Element, tag: str) -> tuple[str, ...]:
    return tuple((child.text or "").strip() for _, child in _numbered(node, tag))


def _text(node: etree._Element, tag: str) -> str:
    return next(iter(_texts(node, tag)), "")


def _named(node: etree._Element, tag: str) -> tuple[tuple[str, str], ...]:
    return tuple(
        (_text(child, "valueName"), _text(child, "value")) for _, child in _numbered(node, tag)
    )
