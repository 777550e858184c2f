"""Automation proposes, people decide: alarms become a suspected incident with a draft, no more.

Alarms of one sender with one cause are one outage, however many they are. The first makes the
incident and a draft with what is known; a second region makes the draft wider as long as no person
has touched it. Alarms that are cleared propose the next state and change nothing. Nothing here can
send, submit or approve: a draft goes on only when a person revises it.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, tzinfo
from enum import StrEnum
from typing import Any

from cbgateway.domain.bulletin import BulletinKind, BulletinState
from cbgateway.domain.delivery import AlarmRecord, Event
from cbgateway.domain.errors import PermissionDeniedError, UnknownNameError
from cbgateway.domain.incident import Incident, IncidentState, Service
from cbgateway.domain.lifecycle import INCIDENT_TRANSITIONS
from cbgateway.domain.people import Person
from cbgateway.domain.ports import Transaction
from cbgateway.profiles.templates import TemplateError, render
from cbgateway.service import intake
from cbgateway.service.authority import signer_of
from cbgateway.service.deployment import Deployment
from cbgateway.signing.canonical import canonical

ALARM = "cbgateway-alarm-1"
"""Content name of a machine's signature over an alarm."""

TEMPLATE = "suspected"
"""The template that a country's profile has for drafts of alarms."""

NEXT_UPDATE = timedelta(minutes=30)
"""When the draft promises the next bulletin; whoever revises it says better."""

CLOSED = {IncidentState.RESTORED, IncidentState.POSTMORTEM, IncidentState.FALSE_ALARM}
"""After these, the same cause is another outage."""

ORDER = (IncidentState.MONITORING, IncidentState.FALSE_ALARM)
"""What cleared alarms propose: the first that may follow."""


class Effect(StrEnum):
    """What an alarm has done."""

    OPENED = "opened"
    """It made an incident with a draft."""
    JOINED = "joined"
    """It is one more of an incident that is there."""
    REPEATED = "repeated"
    """It was known, and nothing about it has changed."""
    CLEARED = "cleared"
    """It was cleared; others of its incident were not."""
    PROPOSED = "proposed"
    """It was the last of its incident to be cleared."""
    IGNORED = "ignored"
    """It was cleared before anybody had told of it."""


@dataclass(frozen=True, slots=True)
class Alarm:
    """What network monitoring tells.

    Attributes:
        document: as it was sent; what the signature covers.
        alarm_id: the sender's own name for it.
        cause: alarms with the same cause are one outage.
        carrier: code of the carrier whose network it is.
        services: what people cannot do; empty when the alarm does not say.
        region: code; empty when the alarm does not say.
    """

    document: Mapping[str, Any]
    alarm_id: str
    cause: str
    carrier: str
    services: tuple[Service, ...]
    region: str
    raised_at: datetime
    is_cleared: bool


@dataclass(frozen=True, slots=True)
class Proposal:
    """What became of an alarm.

    Attributes:
        incident_id: empty when there is none.
        draft: the bulletin that a person may revise; empty when there is none.
        state: what the incident's state may become, as far as alarms can tell; None for no change.
    """

    effect: Effect
    incident_id: str
    draft: str
    state: IncidentState | None


def take_alarm(
    tx: Transaction, deployment: Deployment, alarm: Alarm, *, signature: str, now: datetime
) -> Proposal:
    """Take an alarm in; at most a suspected incident with a draft comes of it.

    Raises:
        SignatureInvalidError: nobody who is known here signed it.
        PolicyError: a rule refuses it; the subclass says which.
    """
    person = signer_of(tx, signature, canonical(alarm.document), content=ALARM, at=now)
    _check_person(person)
    known = tx.alarm(person.name, alarm.alarm_id)
    if known is not None:
        return _again(tx, known, alarm, now)
    if alarm.is_cleared:
        return Proposal(Effect.IGNORED, "", "", None)
    return _raised(tx, deployment, alarm, person, signature, now)


def proposed_state(tx: Transaction, incident: Incident) -> IncidentState | None:
    """Give what an incident may become because all of its alarms were cleared."""
    count, cleared = tx.count_alarms(incident.incident_id)
    if not count or cleared < count or incident.state in {*CLOSED, IncidentState.MONITORING}:
        return None
    following = INCIDENT_TRANSITIONS[incident.state]
    return next((state for state in ORDER if state in following), None)


def _check_person(person: Person) -> None:
    if person.is_revoked or not person.may_submit:
        msg = f"{person.name!r} may not propose bulletins"
        raise PermissionDeniedError(msg)


def _again(tx: Transaction, known: AlarmRecord, alarm: Alarm, now: datetime) -> Proposal:
    """Note a change of an alarm that is known."""
    incident = tx.incident(known.incident_id)
    assert incident is not None, known.incident_id  # noqa: S101 - alarms refer to incidents
    if known.is_cleared == alarm.is_cleared:
        return Proposal(Effect.REPEATED, known.incident_id, "", proposed_state(tx, incident))
    tx.put_alarm(replace(known, is_cleared=alarm.is_cleared))
    what = "alarm-cleared" if alarm.is_cleared else "alarm-raised"
    tx.record(Event(now, known.incident_id, what, known.sender, {"alarm": known.alarm_id}))
    state = proposed_state(tx, incident)
    if not alarm.is_cleared:
        return Proposal(Effect.JOINED, known.incident_id, "", None)
    if state is None:
        return Proposal(Effect.CLEARED, known.incident_id, "", None)
    detail = {"state": state.value}
    tx.record(Event(now, known.incident_id, "state-proposed", known.sender, detail))
    return Proposal(Effect.PROPOSED, known.incident_id, "", state)


def _raised(
    tx: Transaction,
    deployment: Deployment,
    alarm: Alarm,
    person: Person,
    signature: str,
    now: datetime,
) -> Proposal:
    operators = (*deployment.carriers, *deployment.networks)
    if alarm.carrier not in operators:
        raise UnknownNameError("carrier", alarm.carrier, known=operators)
    if alarm.region:
        deployment.check_region(alarm.region)
    incident = tx.incident_of_cause(person.name, _cause(alarm))
    if incident is None or incident.state in CLOSED:
        return _open(tx, deployment, alarm, person, signature, now)
    _note(tx, alarm, person, incident.incident_id)
    draft = _widen(tx, deployment, alarm, person, incident, signature, now)
    return Proposal(Effect.JOINED, incident.incident_id, draft, None)


def _open(
    tx: Transaction,
    deployment: Deployment,
    alarm: Alarm,
    person: Person,
    signature: str,
    now: datetime,
) -> Proposal:
    name = f"{person.name}\n{_cause(alarm)}\n{alarm.alarm_id}"
    incident_id = f"suspected-{hashlib.sha256(name.encode()).hexdigest()[:16]}"
    regions = (alarm.region,) if alarm.region else person.permission.regions
    incident = Incident(
        incident_id=incident_id,
        carrier=alarm.carrier,
        services=alarm.services or tuple(Service)[:1],
        started_at=alarm.raised_at,
        state=IncidentState.SUSPECTED,
    )
    zone = alarm.raised_at.tzinfo
    request = _request(deployment, incident, regions, 1, zone)
    record = intake.draft(tx, deployment, request, person=person, signature=signature, now=now)
    _note(tx, alarm, person, incident_id)
    return Proposal(Effect.OPENED, incident_id, record.bulletin.bulletin_id, None)


def _note(tx: Transaction, alarm: Alarm, person: Person, incident_id: str) -> None:
    tx.put_alarm(
        AlarmRecord(
            sender=person.name,
            alarm_id=alarm.alarm_id,
            incident_id=incident_id,
            cause=_cause(alarm),
            region=alarm.region,
            is_cleared=False,
            raised_at=alarm.raised_at,
        )
    )


def _widen(
    tx: Transaction,
    deployment: Deployment,
    alarm: Alarm,
    person: Person,
    incident: Incident,
    signature: str,
    now: datetime,
) -> str:
    """Add an alarm's region to the draft, unless a person has touched it; gives the draft."""
    draft = next(
        (
            record
            for record in tx.bulletins(incident.incident_id)
            if record.state is BulletinState.DRAFT and record.submission.hands == (person.name,)
        ),
        None,
    )
    if draft is None:
        return ""
    bulletin = draft.bulletin
    if alarm.region and not deployment.covers(bulletin.regions, alarm.region):
        regions = (*bulletin.regions, alarm.region)
        zone = alarm.raised_at.tzinfo
        request = _request(deployment, incident, regions, len(regions), zone)
        intake.redraft(tx, deployment, draft, request, person=person, signature=signature, now=now)
    return bulletin.bulletin_id


def _request(
    deployment: Deployment,
    incident: Incident,
    regions: tuple[str, ...],
    version: int,
    zone: tzinfo | None,
) -> intake.Request:
    """Write the draft: facts in the words of the country's template, or without any words."""
    identifier = f"{incident.incident_id}-{version}"
    return intake.Request(
        document={"identifier": identifier, "regions": list(regions)},
        identifier=identifier,
        sender="",
        incident_id=incident.incident_id,
        incident=incident,
        kind=BulletinKind.FIRST,
        alert_class=None,
        regions=regions,
        texts=_texts(deployment, incident, regions, zone),
        template=None,
        expires=None,
        next_update=NEXT_UPDATE,
        mode=None,
        allow_duplicate=True,
    )


def _texts(
    deployment: Deployment, incident: Incident, regions: tuple[str, ...], zone: tzinfo | None
) -> dict[str, str]:
    country = deployment.country
    language = country.default_language
    names = deployment.regions[regions[0]].name
    since = incident.started_at.astimezone(zone).strftime("%H:%M")
    template = deployment.templates.get(TEMPLATE)
    if template is not None:
        slots: dict[str, object] = {
            "carrier": incident.carrier,
            "area": dict(names),
            "since": since,
        }
        characters_max = deployment.alert_class(country.default_class).characters_max
        try:
            return {
                one: render(template, slots, language=one, characters_max=characters_max)
                for one in template.languages
            }
        except TemplateError:
            pass  # a carrier or area that the template has no words for
    return {language: f"{incident.carrier} {names[language]} {since}"}


def _cause(alarm: Alarm) -> str:
    """Name what makes alarms one outage: the same cause in the same carrier's network."""
    return f"{alarm.carrier}:{alarm.cause}"
