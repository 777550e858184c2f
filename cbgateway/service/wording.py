"""What a bulletin may say: facts that hold, verified contacts, plain and fair words."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from cbgateway.domain.bulletin import (
    Bulletin,
    BulletinKind,
    Confidence,
    EmergencyCalls,
    Facts,
    MessageType,
)
from cbgateway.domain.delivery import BulletinRecord
from cbgateway.domain.errors import (
    CauseError,
    ContactError,
    DeadlineError,
    ExpiredError,
    HeartbeatError,
    UnknownNameError,
)
from cbgateway.domain.incident import Incident
from cbgateway.profiles.contacts import Found, digits_of, unverified
from cbgateway.profiles.words import Finding, Topic, lint_words
from cbgateway.service.deployment import Deployment

CODE_PLACEHOLDER = "{code}"
"""Where a text wants its verification code."""
STANDS_IN = "|" * 6
"""What is linted in the code's place: it is as long, and is no number."""
AFTERWARDS = frozenset({BulletinKind.RESTORED, BulletinKind.CORRECTION})
"""Kinds that may point to the carrier that failed: it works again, or never failed."""


@dataclass(frozen=True, slots=True)
class StatedFacts:
    """What a sender says beside the texts; None and empty where nothing is said."""

    cause: str | None = None
    confidence: Confidence | None = None
    eta: datetime | timedelta | None = None
    emergency_calls: EmergencyCalls | None = None
    workarounds: tuple[str, ...] = ()


def facts_of(
    deployment: Deployment,
    stated: StatedFacts,
    template: tuple[str, Mapping[str, object]] | None,
    *,
    now: datetime,
) -> Facts:
    """Give what a bulletin says: as stated, else as its template's slots have it.

    Raises:
        UnknownNameError: a cause or advice that no profile has words for.
        ExpiredError: a repair time that has passed.
    """
    slots = template[1] if template is not None else {}
    cause, eta = stated.cause, stated.eta
    if cause is None:
        in_slot = slots.get("cause")
        cause = in_slot if isinstance(in_slot, str) else ""
    _check_names(deployment, "cause", [cause] if stated.cause else [])
    _check_names(deployment, "workaround", stated.workarounds)
    if eta is None:
        eta = _of_day(slots.get("eta"), now=now, utc_offset=deployment.utc_offset)
    else:
        eta = at_time("facts.eta", eta, now)
    if eta is not None and eta <= now:
        msg = f"facts.eta {eta.isoformat()} has passed; leave it out while no time is known"
        raise ExpiredError(msg)
    return Facts(
        cause=cause,
        confidence=stated.confidence or Confidence.SUSPECTED,
        eta=eta,
        emergency_calls=stated.emergency_calls or EmergencyCalls.UNKNOWN,
        workarounds=stated.workarounds,
    )


def at_time(name: str, when: datetime | timedelta, now: datetime) -> datetime:
    """Give a time that was said outright, or as how long from now.

    Raises:
        ExpiredError: no calendar goes that far.
    """
    if isinstance(when, datetime):
        return when
    try:
        return now + when
    except OverflowError as error:
        msg = f"{name}: no calendar goes as far as {when.days} days from now"
        raise ExpiredError(msg) from error


def _check_names(deployment: Deployment, what: str, names: Iterable[str]) -> None:
    for words in deployment.words.values():
        known = words.causes if what == "cause" else words.workarounds
        for name in names:
            if name not in known:
                raise UnknownNameError(what, name, known=tuple(known))


def _of_day(text: object, *, now: datetime, utc_offset: timedelta) -> datetime | None:
    """Give the next time that a country's clocks show ``HH:MM``."""
    if not isinstance(text, str):
        return None
    try:
        wanted = datetime.strptime(text, "%H:%M").time()  # noqa: DTZ007 - a time of day
    except ValueError:
        return None  # the template names the fault
    ahead = utc_offset - (now.utcoffset() or timedelta())
    local = now + ahead
    at = local.replace(hour=wanted.hour, minute=wanted.minute, second=0, microsecond=0)
    if at <= local:
        at += timedelta(days=1)
    return at - ahead


def with_code(text: str, code: str) -> str:
    """Put a verification code where a text wants it."""
    return text.replace(CODE_PLACEHOLDER, code)


def free_contacts(deployment: Deployment, bulletin: Bulletin) -> tuple[Found, ...]:
    """Give the numbers and links in a bulletin's texts that the directory does not have."""
    return _free(_contacts(deployment, bulletin))


def _contacts(deployment: Deployment, bulletin: Bulletin) -> list[Found]:
    """Give every number and link in a bulletin's texts."""
    return [one for text in bulletin.words.values() for one in deployment.directory.find(text)]


def _free(found: Iterable[Found]) -> tuple[Found, ...]:
    """Give those that the directory does not have, each once."""
    free: dict[str, Found] = {}
    for one in unverified(found):
        free.setdefault(one.shown, one)
    return tuple(free.values())


def read_back_phrase(deployment: Deployment, bulletin: Bulletin) -> str:
    """Give the digits that the approver has to type; empty when every number is verified."""
    free = free_contacts(deployment, bulletin)
    return " ".join(dict.fromkeys(digits_of(one.shown) for one in free if not one.is_link))


def check_wording(
    deployment: Deployment,
    bulletin: Bulletin,
    incident: Incident | None,
    *,
    read_back: Iterable[str],
) -> tuple[str, ...]:
    """Refuse what must not be said; give warnings of what could be said better.

    Args:
        deployment: has the directory and the words.
        bulletin: what is to be said.
        incident: what it is about.
        read_back: numbers outside the directory, typed once more by the sender.

    Raises:
        ContactError: a number or link is not verified, or needs the network that failed.
        CauseError: a cause is claimed that is not confirmed.
    """
    _check_contacts(deployment, bulletin, incident, read_back)
    return _check_words(deployment, bulletin)


def _check_contacts(
    deployment: Deployment,
    bulletin: Bulletin,
    incident: Incident | None,
    read_back: Iterable[str],
) -> None:
    typed = {digits_of(one) for one in read_back}
    contacts = _contacts(deployment, bulletin)
    for one in _free(contacts):
        if one.is_link:
            problem = "is a link that the directory does not have (contacts/ in the profiles)"
            raise ContactError(problem, contact=one.shown)
        if digits_of(one.shown) not in typed:
            problem = (
                "is not in the directory of verified numbers (contacts/ in the profiles); if it "
                'has to be said, type it once more in "read_back", and the approver types it, too'
            )
            raise ContactError(problem, contact=one.shown)
    if incident is None or bulletin.kind in AFTERWARDS:
        return
    for found in contacts:
        if found.contact is not None and incident.carrier in found.contact.depends_on:
            problem = f"does not work while the network of {incident.carrier!r} is down"
            raise ContactError(problem, contact=found.shown)


def _check_words(deployment: Deployment, bulletin: Bulletin) -> tuple[str, ...]:
    warnings = []
    for language, text in bulletin.texts.items():
        words = deployment.words.get(language)
        if words is None:
            continue
        for one in lint_words(words, text):
            if one.topic is Topic.CAUSE and not _is_confirmed(bulletin, one):
                msg = (
                    f"texts.{language}: {one.words!r} {one.advice}; say "
                    f'"facts": {{"cause": "{one.cause}", "confidence": "confirmed"}} once it is'
                )
                raise CauseError(msg)
            if one.topic is not Topic.CAUSE:
                warnings.append(f"{one.topic} in {language!r}: {one.words!r}; {one.advice}")
    return tuple(dict.fromkeys(warnings))


def _is_confirmed(bulletin: Bulletin, claim: Finding) -> bool:
    facts = bulletin.facts
    return facts.cause == claim.cause and facts.confidence is Confidence.CONFIRMED


def check_promise(
    deployment: Deployment, bulletin: Bulletin, incident: Incident | None, *, now: datetime
) -> None:
    """Refuse a next update that is promised later than the deadline profile allows.

    Raises:
        DeadlineError: with the latest time that is possible.
    """
    at = bulletin.next_update_at
    if at is None or bulletin.kind.message_type is MessageType.CANCEL:
        return
    began = now if incident is None else min(incident.started_at, now)
    latest = deployment.deadlines.next_update_max(
        began=began, now=now, utc_offset=deployment.utc_offset
    )
    if at > latest:
        msg = (
            f"next_update {at.isoformat()} is later than deadline profile "
            f"{deployment.deadlines.code!r} allows: {latest.isoformat()} at the latest"
        )
        raise DeadlineError(msg)


def check_promise_holds(bulletin: Bulletin, *, now: datetime) -> None:
    """Refuse a bulletin whose promised next update has passed before it went out.

    Corrections go out all the same: nothing holds them up.

    Raises:
        DeadlineError: it would be broken at once.
    """
    at = bulletin.next_update_at
    if at is not None and at <= now and bulletin.kind is not BulletinKind.CORRECTION:
        msg = (
            f"{bulletin.bulletin_id} promises its next update for {at.isoformat()}, which has "
            "passed; return it, and promise a later one"
        )
        raise DeadlineError(msg)


def check_heartbeat(
    deployment: Deployment,
    bulletin: Bulletin,
    earlier: Iterable[BulletinRecord],
    *,
    is_template: bool,
    now: datetime,
) -> None:
    """Refuse a "no change yet" that is anything else, or more than the policy allows.

    Raises:
        HeartbeatError: says which rule.
    """
    if bulletin.kind is not BulletinKind.HEARTBEAT:
        return
    policy = deployment.deadlines.heartbeat
    said = [record for record in earlier if record.decision and record.decision.plan_hash]
    problem = ""
    if not policy.is_allowed:
        problem = f"deadline profile {deployment.deadlines.code!r} has none; say what is new"
    elif not is_template:
        problem = "takes a reviewed template of that kind, no free text"
    elif not said:
        problem = "repeats that nothing has changed, and nothing was said yet"
    else:
        last = said[-1]
        count = sum(record.bulletin.kind is BulletinKind.HEARTBEAT for record in said)
        told_at = last.decision.decided_at if last.decision is not None else now
        beyond = set(deployment.leaves(bulletin.regions)) - set(
            deployment.leaves(last.bulletin.regions)
        )
        if beyond:
            problem = f"may not reach further than {last.bulletin.bulletin_id}"
        elif bulletin.alert_class != last.bulletin.alert_class:
            problem = f"stays in class {last.bulletin.alert_class!r}"
        elif count >= policy.per_incident_max:
            problem = f"was said {count} times already; say something else"
        elif (now - told_at).total_seconds() < policy.interval_min_s:
            problem = f"comes {policy.interval_min_s} s after the bulletin before, not sooner"
    if problem:
        msg = f"a heartbeat {problem}"
        raise HeartbeatError(msg)
