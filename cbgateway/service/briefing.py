"""The call-centre briefing: one page for whoever is asked, as new as the newest bulletin."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from cbgateway.domain.bulletin import BulletinKind
from cbgateway.domain.delivery import Event
from cbgateway.domain.errors import InputError, UnknownNameError
from cbgateway.domain.ports import Transaction
from cbgateway.service.deployment import Deployment
from cbgateway.service.publication import Notice, Outage, Publication

READ = "briefing-read"
READER_CHARACTERS_MAX = 60


def briefing(
    deployment: Deployment,
    publication: Publication,
    incident_id: str,
    *,
    language: str,
    number: int | None = None,
    readers: Sequence[str] = (),
) -> dict[str, Any]:
    """Give what staff say about an incident, ready for JSON.

    Args:
        deployment: has the words.
        publication: what went out, and what time it is.
        incident_id: which one.
        language: of the briefing.
        number: of the bulletin that it belongs to; None for the newest.
        readers: who has read it.

    Raises:
        UnknownNameError: no such incident, bulletin or language went out.
    """
    outage = publication.outage(incident_id)
    if outage is None:
        known = tuple(one.incident.incident_id for one in publication.outages)
        raise UnknownNameError("incident", incident_id, known=known or ("none yet",))
    if language not in deployment.words:
        raise UnknownNameError("language", language, known=tuple(deployment.words))
    kept = tuple(one for one in outage.notices if number is None or one.bulletin.number <= number)
    if not kept or (number is not None and kept[0].bulletin.number != number):
        numbers = tuple(str(one.bulletin.number) for one in outage.notices)
        raise UnknownNameError("bulletin", f"{incident_id}/{number}", known=numbers)
    then = Outage(outage.incident, kept)
    return {
        "format": 1,
        "incident": incident_id,
        "bulletin": kept[0].bulletin.bulletin_id,
        "number": kept[0].bulletin.number,
        "language": language,
        "is_superseded": kept[0] != outage.newest,
        "newest": outage.newest.bulletin.bulletin_id,
        "published_at": kept[0].said_at.isoformat(),
        **_facts(deployment, then, kept[0], language, publication.at),
        "readers": list(readers),
    }


def _facts(
    deployment: Deployment, outage: Outage, notice: Notice, language: str, now: datetime
) -> dict[str, Any]:
    words, facts, bulletin = deployment.words[language], outage.facts, notice.bulletin
    carrier = deployment.carriers.get(outage.incident.carrier)
    eta, next_at = bulletin.facts.eta, bulletin.next_update_at
    is_overdue = eta is not None and eta <= now
    days = deployment.deadlines.compensation_notice_days
    is_over = bulletin.kind is BulletinKind.RESTORED
    return {
        "carrier": outage.incident.carrier if carrier is None else carrier.name[language],
        "what": [words.services[one] for one in outage.incident.services],
        "where": [deployment.regions[code].name[language] for code in bulletin.regions],
        "since": outage.incident.started_at.isoformat(),
        "kind": words.kinds[bulletin.kind],
        "is_over": is_over,
        "cause": words.causes.get(facts.cause, facts.cause) or None,
        "cause_confidence": words.confidences[facts.confidence] if facts.cause else None,
        "eta": None if eta is None or is_overdue or is_over else eta.isoformat(),
        "eta_words": words.page.eta_overdue
        if is_overdue
        else (words.page.eta_unknown if eta is None else None),
        "next_update_at": None if next_at is None else next_at.isoformat(),
        "is_next_update_overdue": next_at is not None and next_at <= now,
        "emergency_calls": words.emergency_calls[facts.emergency_calls],
        "workarounds": [words.workarounds.get(one, one) for one in facts.workarounds],
        "official_text": bulletin.texts.get(language, ""),
        "code": bulletin.code or None,
        "compensation": words.briefing.compensation,
        "compensation_notice_days": days,
        "kind_words": list(words.briefing.first_words),
        "do_not_say": list(words.briefing.do_not_say),
    }


def note_reading(tx: Transaction, bulletin_id: str, *, reader: str, now: datetime) -> bool:
    """Write down that somebody has read a bulletin's briefing; False when it stood there already.

    Raises:
        InputError: no name, or one that is too long.
        UnknownNameError: no such bulletin.
    """
    reader = reader.strip()
    if not reader or len(reader) > READER_CHARACTERS_MAX or not reader.isprintable():
        msg = f"reader: a name of 1 to {READER_CHARACTERS_MAX} characters"
        raise InputError(msg)
    if tx.bulletin(bulletin_id) is None:
        raise UnknownNameError("bulletin", bulletin_id, known=("`cbgateway bulletin list`",))
    if reader in readers_of(tx, bulletin_id):
        return False
    tx.record(Event(now, bulletin_id, READ, reader, {}))
    return True


def readers_of(tx: Transaction, bulletin_id: str) -> tuple[str, ...]:
    """Give who has read a bulletin's briefing, in order."""
    events = tx.events(bulletin_id)
    return tuple(dict.fromkeys(event.actor for event in events if event.what == READ))
