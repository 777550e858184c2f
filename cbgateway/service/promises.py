"""Promises kept: when people hear again, what happens when they do not, and the draft for it."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from cbgateway.domain.bulletin import Bulletin, BulletinKind, BulletinState
from cbgateway.domain.delivery import BulletinRecord, Event, Submission
from cbgateway.domain.errors import UnknownNameError, WorkflowError
from cbgateway.domain.incident import Incident
from cbgateway.domain.kits import with_kit
from cbgateway.domain.ports import Transaction
from cbgateway.profiles.templates import ChoiceSlot, Template, render
from cbgateway.service.deployment import Deployment
from cbgateway.service.evidence import GATEWAY
from cbgateway.service.publication import ENDED, LAST_KINDS, is_out
from cbgateway.signing.canonical import digest
from cbgateway.signing.codes import new_code

MISSED = "promise-missed"
FIRST_MISSED = "first-notice-missed"
COUNTER = "promises-missed"
WAITING = frozenset({BulletinState.DRAFT, BulletinState.PENDING, BulletinState.RETURNED})
"""Somebody is on it: no other draft is made."""
IDENTIFIER_CHARACTERS_MAX = 90
"""Of a document that is made here; a hundred are read, and a kit adds its own name."""
INTERVAL_MIN_S = 600
"""A promise for sooner than that is seldom kept."""
LOOKED_AT_ONCE = 64
"""Incidents of one transaction: some 30 ms at most, in which nobody else writes."""
LOOK_AGAIN_S = 3_600
"""A missed promise that was written down is looked at again then, and forgotten once it is over."""
BRACKETED = re.compile(r"\[([^\]]+)\]")
FILLED = frozenset({"number", "now", "next", "authority", "carrier"})
"""Slots that a draft can fill by itself."""


@dataclass(frozen=True, slots=True)
class Promise:
    """What people were told to expect of one incident.

    Attributes:
        bulletin_id: that made the promise; empty for the first notice.
        due: when they expect to hear.
        is_noted: True once its miss stands in the history.
    """

    incident_id: str
    bulletin_id: str
    due: datetime
    is_noted: bool

    def is_missed(self, now: datetime) -> bool:
        """Tell whether its time has passed."""
        return self.due <= now


def promises(tx: Transaction, deployment: Deployment) -> tuple[Promise, ...]:
    """Give what is promised and not kept yet, the earliest first."""
    found = (_promise_of(tx, deployment, incident_id) for incident_id in tx.watched())
    return tuple(sorted(filter(None, found), key=lambda one: one.due))


def _promise_of(tx: Transaction, deployment: Deployment, incident_id: str) -> Promise | None:
    incident = tx.incident(incident_id)
    if incident is None or incident.state in ENDED:
        return None
    return _promise(tx, deployment, incident, tx.bulletins(incident_id))


def _promise(
    tx: Transaction,
    deployment: Deployment,
    incident: Incident,
    records: tuple[BulletinRecord, ...],
) -> Promise | None:
    newest = _newest(records)
    if newest is None:
        if not any(record.state in WAITING for record in records):
            return None  # all of it was turned down: there is nothing to tell
        due = incident.started_at + timedelta(seconds=deployment.deadlines.first_notice_s)
        noted = _is_noted(tx, incident.incident_id, FIRST_MISSED)
        return Promise(incident.incident_id, "", due, noted)
    bulletin = newest.bulletin
    if bulletin.kind in LAST_KINDS or bulletin.next_update_at is None:
        return None
    noted = _is_noted(tx, bulletin.bulletin_id, MISSED)
    return Promise(incident.incident_id, bulletin.bulletin_id, bulletin.next_update_at, noted)


def _newest(records: tuple[BulletinRecord, ...]) -> BulletinRecord | None:
    said = [record for record in records if is_out(record)]
    return said[-1] if said else None


def _is_noted(tx: Transaction, subject: str, what: str) -> bool:
    return any(event.what == what for event in tx.events(subject))


def due(tx: Transaction, deployment: Deployment, *, now: datetime) -> tuple[str, ...]:
    """Give some incidents that have to be looked at; none while nobody waits in vain."""
    first_notice = timedelta(seconds=deployment.deadlines.first_notice_s)
    return tx.due_watches(at=now, began_by=now - first_notice, limit=LOOKED_AT_ONCE)


def sweep(tx: Transaction, deployment: Deployment, *, now: datetime) -> tuple[Promise, ...]:
    """Write promises that were missed into the history, each with a draft that people can submit.

    Looks at some incidents only, so that nobody waits long for the transaction: call it until
    `due` gives none.

    Returns:
        What was missed and is written down now.
    """
    missed = []
    for incident_id in due(tx, deployment, now=now):
        promise = _promise_of(tx, deployment, incident_id)
        if promise is None:
            tx.unwatch(incident_id)
        elif not promise.is_missed(now):
            tx.watch(incident_id, at=promise.due)
        else:
            if not promise.is_noted:
                _note(tx, deployment, promise, now=now)
                missed.append(promise)
            tx.watch(incident_id, at=now + timedelta(seconds=LOOK_AGAIN_S))
    return tuple(missed)


def _note(tx: Transaction, deployment: Deployment, missed: Promise, *, now: datetime) -> None:
    detail: dict[str, Any] = {"due": missed.due.isoformat()}
    if missed.bulletin_id:
        detail["draft"] = _add_draft(tx, deployment, missed, now=now)
        tx.record(Event(now, missed.bulletin_id, MISSED, GATEWAY, detail))
    else:
        tx.record(Event(now, missed.incident_id, FIRST_MISSED, GATEWAY, detail))
    tx.bump(COUNTER)


def _add_draft(
    tx: Transaction, deployment: Deployment, promise: Promise, *, now: datetime
) -> str | None:
    """Store a "no change yet" as a draft; gives its name, None when there is one or can be none."""
    records = tx.bulletins(promise.incident_id)
    live = _newest(records)
    template = _template(deployment)
    newest = records[-1]
    if live is None or template is None or newest.state in WAITING:
        return None
    number = newest.bulletin.number + 1
    document = no_change_document(tx, deployment, live.bulletin, number=number, now=now)
    code = new_code()
    slots = document["template"]["slots"]
    characters_max = deployment.alert_class(live.bulletin.alert_class).characters_max
    bulletin_id = f"{promise.incident_id}/{number}"
    bulletin = Bulletin(
        bulletin_id=bulletin_id,
        incident_id=promise.incident_id,
        number=number,
        kind=BulletinKind.HEARTBEAT,
        sender=GATEWAY,
        identifier=f"no-change:{promise.bulletin_id}",
        alert_class=live.bulletin.alert_class,
        regions=live.bulletin.regions,
        texts={
            language: render(
                template, slots, language=language, characters_max=characters_max, code=code
            )
            for language in template.languages
        },
        sent=now,
        expires=now + timedelta(seconds=deployment.country.message_expiry_max_s),
        next_update_at=datetime.fromisoformat(document["next_update"]),
        references=(),
        mode=deployment.mode,
        code=code,
    )
    submission = Submission(GATEWAY, now, digest(document), "", ())
    tx.add_bulletin(BulletinRecord(bulletin, BulletinState.DRAFT, submission, None))
    tx.record(Event(now, bulletin_id, "drafted", GATEWAY, {"kind": bulletin.kind.value}))
    return bulletin_id


def _template(deployment: Deployment) -> Template | None:
    """Find the country's template for "no change yet", if a draft can fill it by itself."""
    for template in deployment.templates.values():
        if template.kind is BulletinKind.HEARTBEAT and set(template.slots) <= FILLED:
            return template
    return None


def accept_document(
    tx: Transaction, deployment: Deployment, bulletin_id: str, *, sender: str, now: datetime
) -> dict[str, Any]:
    """Give the document that submits a draft of the gateway, filled anew for the present.

    Raises:
        UnknownNameError: no such bulletin.
        WorkflowError: it is no draft of the gateway's.
    """
    record = tx.bulletin(bulletin_id)
    if record is None:
        raise UnknownNameError("bulletin", bulletin_id, known=("`bulletin list --state draft`",))
    if record.state is not BulletinState.DRAFT or record.submission.submitted_by != GATEWAY:
        msg = f"{bulletin_id} is {record.state}, and no draft of the gateway's"
        raise WorkflowError(msg)
    bulletin = record.bulletin
    live = _newest(tx.bulletins(bulletin.incident_id))
    source = bulletin if live is None else live.bulletin
    document = no_change_document(tx, deployment, source, number=bulletin.number, now=now)
    stamp = f"{now:%Y%m%dT%H%M%S}"
    name = f"{bulletin.incident_id}.{bulletin.number}.no-change.{stamp}"[:IDENTIFIER_CHARACTERS_MAX]
    return {
        **document,
        "sender": sender,
        "identifier": name if deployment.kit is None else with_kit(name, deployment.kit.name),
    }


def no_change_document(
    tx: Transaction, deployment: Deployment, live: Bulletin, *, number: int, now: datetime
) -> dict[str, Any]:
    """Give the document of a "no change yet" after a bulletin, but for its sender and name."""
    template = _template(deployment)
    if template is None:
        msg = f"country {deployment.country.code!r} has no template of kind heartbeat"
        raise WorkflowError(msg)
    incident = tx.incident(live.incident_id)
    latest = deployment.deadlines.next_update_max(
        began=now if incident is None else incident.started_at,
        now=now,
        utc_offset=deployment.utc_offset,
    )
    promised_for_s = INTERVAL_MIN_S
    if live.next_update_at is not None:
        promised_for_s = max(INTERVAL_MIN_S, int((live.next_update_at - live.sent).total_seconds()))
    due = min(latest, now + timedelta(seconds=promised_for_s)).replace(second=0, microsecond=0)
    facts: dict[str, Any] = {
        "confidence": live.facts.confidence.value,
        "emergency_calls": live.facts.emergency_calls.value,
        "workarounds": list(live.facts.workarounds),
    }
    if live.facts.cause and all(live.facts.cause in w.causes for w in deployment.words.values()):
        facts["cause"] = live.facts.cause
    if live.facts.eta is not None and live.facts.eta > now:
        facts["eta"] = live.facts.eta.isoformat()
    slots = {
        "number": number,
        "now": _time_of_day(now, deployment.utc_offset),
        "next": _time_of_day(due, deployment.utc_offset),
        "authority": _choice(template, "authority", _authority(live)),
        "carrier": _choice(template, "carrier", {"" if incident is None else incident.carrier}),
    }
    return {
        "schema": 1,
        "incident": live.incident_id,
        "kind": BulletinKind.HEARTBEAT.value,
        "class": live.alert_class,
        "regions": list(live.regions),
        "template": {
            "name": template.code,
            "slots": {name: slots[name] for name in template.slots},
        },
        "next_update": due.isoformat(),
        "facts": facts,
    }


def _authority(live: Bulletin) -> set[str]:
    """Give who spoke last: what stands in brackets in the texts."""
    return {words for text in live.texts.values() for words in BRACKETED.findall(text)}


def _choice(template: Template, name: str, said: set[str]) -> str:
    """Give the option that was used before, or is called like it; else the first."""
    slot = template.slots.get(name)
    if not isinstance(slot, ChoiceSlot):
        return ""
    for option, texts in slot.options.items():
        if said & {option, *texts.values()}:
            return option
    return next(iter(slot.options))


def _time_of_day(at: datetime, utc_offset: timedelta) -> str:
    return f"{at - (at.utcoffset() or timedelta()) + utc_offset:%H:%M}"
