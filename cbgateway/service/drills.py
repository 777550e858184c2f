"""Drills: planned in public before they happen, scored in public afterwards.

Everything stands in the history under one subject; there is no other record of it. A drill itself
is told by a gateway in mode exercise; its plan belongs to the page that people know.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from cbgateway.domain.bulletin import Mode
from cbgateway.domain.delivery import Event
from cbgateway.domain.errors import (
    InputError,
    ModeMismatchError,
    PermissionDeniedError,
    TextTooLongError,
    UnknownNameError,
    WorkflowError,
)
from cbgateway.domain.people import Person
from cbgateway.domain.ports import Transaction
from cbgateway.service.approval import DECISION
from cbgateway.service.authority import check_regions, signer_of
from cbgateway.service.deployment import Deployment
from cbgateway.service.drill import check_texts
from cbgateway.service.planning import encode_texts
from cbgateway.signing.canonical import canonical

SUBJECT = "drills"
PLANNED = "drill-planned"
CANCELLED = "drill-cancelled"
SCORED = "drill-scored"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,59}", re.ASCII)
LASTS_MAX = timedelta(hours=24)
AHEAD_MAX = timedelta(days=366)
OPEN_MAX = 50
"""Drills planned at once: a page has room for some ten."""
INTERVAL_D = 92
"""A quarter: whoever has not told people of an outage for longer has forgotten how."""


@dataclass(frozen=True, slots=True)
class Drill:
    """A drill as it was planned, with what came of it.

    Attributes:
        texts: by language, each with the marker of exercises.
        score: None until somebody has scored it.
    """

    name: str
    starts: datetime
    ends: datetime
    regions: tuple[str, ...]
    texts: Mapping[str, str]
    planned_by: str
    is_cancelled: bool = False
    score: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """A drill as somebody asks for it."""

    name: str
    starts: datetime
    ends: datetime
    regions: tuple[str, ...]
    texts: Mapping[str, str]

    def document(self) -> dict[str, Any]:
        """Give what whoever plans it signs."""
        return {
            "decision": "plan-drill",
            "drill": self.name,
            "starts": self.starts.isoformat(),
            "ends": self.ends.isoformat(),
            "regions": list(self.regions),
            "texts": dict(self.texts),
        }


def cancel_document(name: str) -> dict[str, Any]:
    """Give what whoever cancels a drill signs."""
    return {"decision": "cancel-drill", "drill": name}


def drills(tx: Transaction) -> tuple[Drill, ...]:
    """Give every drill that there was or will be, by its beginning."""
    found: dict[str, Drill] = {}
    for event in tx.events(SUBJECT):
        name, detail = str(event.detail["drill"]), event.detail
        if event.what == PLANNED:
            found[name] = Drill(
                name=name,
                starts=datetime.fromisoformat(detail["starts"]),
                ends=datetime.fromisoformat(detail["ends"]),
                regions=tuple(detail["regions"]),
                texts=dict(detail["texts"]),
                planned_by=event.actor,
            )
        elif event.what == CANCELLED:
            found[name] = replace(found[name], is_cancelled=True)
        elif event.what == SCORED:
            found[name] = replace(found[name], score=detail["score"])
    return tuple(sorted(found.values(), key=lambda one: (one.starts, one.name)))


def plan(
    tx: Transaction, deployment: Deployment, wanted: Wanted, *, signature: str, now: datetime
) -> Drill:
    """Plan a drill, so that people read of it before it happens.

    Raises:
        InputError: a name, time or text that cannot be.
        DrillSaysRealError: a text says that it is no drill.
        SignatureInvalidError: nobody who is known here signed it.
        PolicyError: another rule refuses it.
    """
    person = _planner(tx, wanted.document(), signature, now)
    _check_times(wanted, now)
    if not NAME.fullmatch(wanted.name):
        msg = "name: 1 to 60 letters, digits and ._-"
        raise InputError(msg)
    known = drills(tx)
    if any(one.name == wanted.name for one in known):
        msg = f"drill {wanted.name!r} was planned before; names are never given twice"
        raise InputError(msg)
    if sum(one.ends > now and not one.is_cancelled for one in known) >= OPEN_MAX:
        msg = f"{OPEN_MAX} drills are planned already"
        raise WorkflowError(msg)
    if not wanted.regions:
        msg = "regions: at least one is needed; there is no default area"
        raise InputError(msg)
    for code in wanted.regions:
        deployment.check_region(code)
    check_regions(deployment, person, wanted.regions)
    texts = _texts(deployment, wanted.texts)
    detail = {**wanted.document(), "texts": texts, "signature": signature}
    tx.record(Event(now, SUBJECT, PLANNED, person.name, detail))
    return next(one for one in drills(tx) if one.name == wanted.name)


def cancel(tx: Transaction, name: str, *, signature: str, now: datetime) -> Drill:
    """Call a drill off before it ends.

    Raises:
        UnknownNameError: no such drill.
        WorkflowError: it is over, or was called off before.
        SignatureInvalidError: nobody who is known here signed it.
    """
    drill = find(tx, name)
    person = _planner(tx, cancel_document(name), signature, now)
    if drill.is_cancelled or drill.ends <= now:
        msg = f"drill {name!r} is over, or was called off before"
        raise WorkflowError(msg)
    tx.record(Event(now, SUBJECT, CANCELLED, person.name, {"drill": name, "signature": signature}))
    return replace(drill, is_cancelled=True)


def note_score(
    tx: Transaction, name: str, report: Mapping[str, Any], *, actor: str, now: datetime
) -> Drill:
    """Score a drill by the report of what was told in it, and write that down.

    Args:
        tx: the transaction that holds all of it.
        name: of the drill.
        report: of the exercise's incident, as `service.postmortem.report` makes it.
        actor: who scores.
        now: aware.

    Raises:
        UnknownNameError: no such drill.
        ModeMismatchError: the report is of no exercise.
        WorkflowError: it was called off, or what was told is not of its time.
    """
    drill = find(tx, name)
    if report["mode"] != Mode.EXERCISE.value:
        msg = f"{report['incident']['id']} was told in mode {report['mode']}, not in an exercise"
        raise ModeMismatchError(msg)
    told = [datetime.fromisoformat(one["approved_at"]) for one in report["bulletins"]]
    if drill.is_cancelled or not any(drill.starts <= at <= drill.ends for at in told):
        msg = f"drill {name!r} was called off, or nothing was told between its beginning and end"
        raise WorkflowError(msg)
    score = score_of(report)
    detail = {"drill": name, "incident": report["incident"]["id"], "score": score}
    tx.record(Event(now, SUBJECT, SCORED, actor, detail))
    return replace(drill, score=score)


def score_of(report: Mapping[str, Any]) -> dict[str, Any]:
    """Give the figures of a report that people judge a drill by."""
    first = report["deadlines"]["first_notice"]
    updates = [one for one in report["deadlines"]["updates"] if one["is_kept"] is not None]
    states: dict[str, int] = {}
    for row in report["deliveries"]:
        for state, count in row["states"].items():
            states[state] = states.get(state, 0) + count
    return {
        "first_notice_s": first["took_s"],
        "first_notice_wanted_s": first["wanted_s"],
        "promises": len(updates),
        "promises_kept": sum(one["is_kept"] for one in updates),
        "corrections": len(report["corrections"]),
        "orders": dict(sorted(states.items())),
    }


def find(tx: Transaction, name: str) -> Drill:
    """Find a drill.

    Raises:
        UnknownNameError: there is none of this name.
    """
    known = {one.name: one for one in drills(tx)}
    if name not in known:
        raise UnknownNameError("drill", name, known=tuple(known) or ("none yet",))
    return known[name]


def reminder(found: Sequence[Drill], *, since: datetime, now: datetime) -> dict[str, Any]:
    """Say when the last drill was and the next one is, and whether one is due.

    Args:
        found: every drill.
        since: from when on drills count: when the gateway was made.
        now: aware.
    """
    held = [one for one in found if not one.is_cancelled]
    last = max((one.ends for one in held if one.ends <= now), default=None)
    following = min((one.starts for one in held if one.ends > now), default=None)
    latest = (last or since) + timedelta(days=INTERVAL_D)
    is_planned_in_time = following is not None and following <= max(latest, now)
    return {
        "last": None if last is None else last.isoformat(),
        "next": None if following is None else following.isoformat(),
        "is_due": latest <= now and not is_planned_in_time,
        "unscored": [one.name for one in held if one.ends <= now and one.score is None],
    }


def _planner(tx: Transaction, document: Mapping[str, Any], signature: str, now: datetime) -> Person:
    person = signer_of(tx, signature, canonical(document), content=DECISION, at=now)
    if person.is_revoked or person.owner or not (person.may_submit or person.may_approve):
        msg = f"{person.name!r} may not plan drills: people who submit or approve may"
        raise PermissionDeniedError(msg)
    return person


def _check_times(wanted: Wanted, now: datetime) -> None:
    if not now < wanted.starts <= now + AHEAD_MAX:
        msg = f"starts {wanted.starts.isoformat()}: within a year from now, and not before"
        raise InputError(msg)
    if not wanted.starts < wanted.ends <= wanted.starts + LASTS_MAX:
        msg = f"ends {wanted.ends.isoformat()}: after its beginning, by 24 hours at most"
        raise InputError(msg)


def _texts(deployment: Deployment, given: Mapping[str, str]) -> dict[str, str]:
    """Give the texts with the marker of exercises, once it is sure that they could be sent so."""
    default = deployment.country.default_language
    if default not in given:
        msg = f"texts.{default}: the country's own language may not be missing"
        raise InputError(msg)
    class_name = deployment.country.default_class
    characters_max = deployment.alert_class(class_name).characters_max
    texts = {}
    for language, text in given.items():
        rules = deployment.country.languages.get(language)
        if rules is None:
            known = tuple(deployment.country.languages)
            raise UnknownNameError("language", language, known=known)
        plain = unicodedata.normalize("NFC", text).strip()
        if not plain or not all(one.isprintable() or one == "\n" for one in plain):
            msg = f"texts.{language}: a text of characters that show"
            raise InputError(msg)
        prefix = rules.exercise_prefix
        texts[language] = plain if plain.startswith(prefix) else prefix + plain
        check_texts(deployment, {language: texts[language]})
        if len(texts[language]) > characters_max:
            raise TextTooLongError(
                language=language,
                characters=len(texts[language]),
                characters_max=characters_max,
                alert_class=class_name,
            )
    encode_texts(deployment, class_name, texts)
    return texts
