"""The call-centre briefing: one page for whoever is asked, as new as the newest bulletin."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from cbgateway.domain.bulletin import BulletinKind, Confidence, EmergencyCalls, Facts
from cbgateway.domain.delivery import Event
from cbgateway.domain.errors import InputError, UnknownNameError
from cbgateway.domain.ports import Transaction
from cbgateway.profiles.words import LanguageWords, fill
from cbgateway.service.contacts import Check
from cbgateway.service.deployment import Deployment
from cbgateway.service.publication import Notice, Outage, Publication

READ = "briefing-read"
READER_CHARACTERS_MAX = 60
RECEIPT = "briefing-read"
"""What a signed read receipt calls itself."""


def briefing(
    deployment: Deployment,
    publication: Publication,
    incident_id: str,
    *,
    language: str,
    number: int | None = None,
    readers: Sequence[str] = (),
    contacts: Sequence[Check] = (),
) -> dict[str, Any]:
    """Give what staff say about an incident, ready for JSON.

    Args:
        deployment: has the words.
        publication: what went out, and what time it is.
        incident_id: which one.
        language: of the briefing.
        number: of the bulletin that it belongs to; None for the newest.
        readers: who has read it.
        contacts: the directory, with who has tried what.

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
        "published_at": deployment.local(kept[0].said_at).isoformat(),
        **_facts(deployment, then, kept[0], language, publication.at),
        "contacts": _contacts(then, contacts, language),
        "readers": list(readers),
    }


def _facts(
    deployment: Deployment, outage: Outage, notice: Notice, language: str, now: datetime
) -> dict[str, Any]:
    words, facts, bulletin = deployment.words[language], outage.facts, notice.bulletin
    carrier = deployment.carriers.get(outage.incident.carrier)
    eta, next_at = bulletin.facts.eta, bulletin.next_update_at
    is_overdue = eta is not None and eta <= now
    is_over = outage.is_over
    known_eta = None if eta is None or is_overdue or is_over else eta
    said = {
        "carrier": outage.incident.carrier if carrier is None else carrier.name[language],
        "what": [words.services[one] for one in outage.incident.services],
        "where": [deployment.regions[code].name[language] for code in bulletin.regions],
    }
    times = {"since": outage.incident.started_at, "eta": known_eta, "next": next_at}
    spoken = {name: _spoken(deployment, at, now) for name, at in times.items() if at is not None}
    joined = {name: one if isinstance(one, str) else ", ".join(one) for name, one in said.items()}
    advice = [words.workarounds.get(one, one) for one in facts.workarounds]
    return {
        **said,
        "since": deployment.local(outage.incident.started_at).isoformat(),
        "kind": words.kinds[bulletin.kind],
        "is_over": is_over,
        "cause": words.causes.get(facts.cause, facts.cause) or None,
        "cause_confidence": words.confidences[facts.confidence] if facts.cause else None,
        "eta": None if known_eta is None else deployment.local(known_eta).isoformat(),
        "eta_words": words.page.eta_overdue
        if is_overdue
        else (words.page.eta_unknown if eta is None else None),
        "next_update_at": None if next_at is None else deployment.local(next_at).isoformat(),
        "is_next_update_overdue": next_at is not None and next_at <= now,
        "emergency_calls": words.emergency_calls[facts.emergency_calls],
        "workarounds": advice,
        "official_text": bulletin.texts.get(language, ""),
        "code": bulletin.code or None,
        "compensation": words.briefing.compensation,
        "compensation_notice_days": deployment.deadlines.compensation_notice_days,
        "script": _script(words, outage, advice, now, joined | spoken),
        "kind_words": list(words.briefing.first_words),
        "do_not_say": _not_to_say(words, facts, is_eta_known=known_eta is not None or is_over),
    }


def _script(
    words: LanguageWords,
    outage: Outage,
    advice: Sequence[str],
    now: datetime,
    names: dict[str, str],
) -> list[str]:
    """Give what staff say, line by line: sorry, what is known, what helps, when there is news."""
    script, bulletin = words.briefing.script, outage.newest.bulletin
    ends = {
        BulletinKind.RESTORED: script.over,
        BulletinKind.CORRECTION: script.corrected,
        BulletinKind.WITHDRAWAL: script.withdrawn,
    }
    over = ends.get(bulletin.kind) or (script.over if outage.is_over else None)
    if over is not None:
        lines = [script.apology, over, script.thanks]
    else:
        next_at = bulletin.next_update_at
        lines = [
            script.apology,
            script.fact,
            words.emergency_calls[outage.facts.emergency_calls],
            script.eta if "eta" in names else script.eta_unknown,
            *advice[:1],
            script.next if next_at is not None and next_at > now else script.next_late,
        ]
    return [fill(line, names) for line in lines]


def _not_to_say(words: LanguageWords, facts: Facts, *, is_eta_known: bool) -> list[str]:
    """Give what staff do not say: never, and as long as something is not known."""
    own = words.briefing
    unknown = (
        (own.not_while.cause, facts.confidence is not Confidence.CONFIRMED),
        (own.not_while.eta, not is_eta_known),
        (own.not_while.emergency_calls, facts.emergency_calls is EmergencyCalls.UNKNOWN),
    )
    return [*own.do_not_say, *(line for line, is_unknown in unknown if is_unknown)]


def _contacts(outage: Outage, found: Sequence[Check], language: str) -> list[dict[str, Any]]:
    """Give the numbers and links that work while this network is down."""
    return [
        {
            "contact": one.contact.value,
            "name": one.contact.name.get(language, one.contact.value),
            "is_verified": one.is_verified,
        }
        for one in found
        if outage.is_over or outage.incident.carrier not in one.contact.depends_on
    ]


def _spoken(deployment: Deployment, at: datetime, now: datetime) -> str:
    """Give a time as people say it: the hour, and the day when it is another."""
    local = deployment.local(at)
    is_today = local.date() == deployment.local(now).date()
    return f"{local:%H:%M}" if is_today else f"{local:%Y-%m-%d %H:%M}"


def coverage(readers: Collection[str], expected: Collection[str]) -> dict[str, Any]:
    """Say who of those that have to read a briefing has read it.

    Args:
        readers: who has.
        expected: who has to; empty where the settings name nobody.

    Returns:
        How many have read it; with names in the settings, how many of them, which not, the share.
    """
    missing = [name for name in expected if name not in readers]
    share = 1 - len(missing) / len(expected) if expected else None
    return {
        "read": len(readers),
        "expected": len(expected) if expected else None,
        "missing": missing,
        "ratio": None if share is None else round(share, 4),
    }


def receipt_document(bulletin_id: str, reader: str) -> dict[str, str]:
    """Give what a machine signs that tells who has read a briefing."""
    return {"decision": RECEIPT, "bulletin": bulletin_id, "reader": reader}


def note_reading(
    tx: Transaction,
    bulletin_id: str,
    *,
    reader: str,
    now: datetime,
    told: dict[str, str] | None = None,
) -> bool:
    """Write down that somebody has read a bulletin's briefing; False when it stood there already.

    Args:
        tx: to be committed.
        bulletin_id: whose briefing.
        reader: who has read it.
        now: aware.
        told: which machine says so, and its signature; None for a command on this machine.

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
    tx.record(Event(now, bulletin_id, READ, reader, told or {}))
    return True


def readers_of(tx: Transaction, bulletin_id: str) -> tuple[str, ...]:
    """Give who has read a bulletin's briefing, in order."""
    events = tx.events(bulletin_id)
    return tuple(dict.fromkeys(event.actor for event in events if event.what == READ))
