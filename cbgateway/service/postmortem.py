"""The report after an incident, made of the audit log alone: the same log, the same report.

Nothing here reads the database, the profiles or a clock. What a figure rests on stands beside it;
what nobody has measured says so.
"""

import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from statistics import quantiles
from typing import Any

from cbgateway.domain.bulletin import BulletinKind, BulletinState
from cbgateway.domain.delivery import Event
from cbgateway.domain.errors import UnknownNameError
from cbgateway.service.briefing import READ
from cbgateway.service.promises import FIRST_MISSED, MISSED

OBSERVED = "display-observed"
"""Somebody, or a probe, saw a phone show a bulletin."""
MEASURED = "carrier-log"
"""A carrier's log says when a bulletin was first on air, and in how many cells."""
LOG = "the gateway's history"
NOT_KNOWN = "not known"
ACKED = "delivery-acked"
ENDINGS = frozenset({BulletinKind.RESTORED.value, BulletinKind.WITHDRAWAL.value})
WRONG = BulletinKind.CORRECTION.value
PERCENTS = 100


def report(events: Iterable[Event], incident_id: str) -> dict[str, Any]:
    """Give the report of one incident, ready for JSON.

    Args:
        events: the whole history, in order, or at least all that concerns the incident.
        incident_id: which one.

    Raises:
        UnknownNameError: nothing of it went out.
    """
    mine = [event for event in events if _concerns(event, incident_id)]
    said = [event for event in mine if event.what == BulletinState.APPROVED and _said(event)]
    if not said:
        raise UnknownNameError("incident", incident_id, known=("none that anything was said of",))
    first = _said(said[0])
    began = _time(first["incident"]["started_at"])
    submitted = [event for event in mine if event.what in {"submitted", "drafted"}]
    return {
        "format": 1,
        "incident": first["incident"],
        "mode": first["mode"],
        "utc_offset_min": first["utc_offset_min"],
        "detected": _figure(submitted[0].at.isoformat() if submitted else None, LOG),
        "ended": _figure(_ended(said), LOG),
        "times": _times(began, mine, said),
        "deliveries": _deliveries(mine, said),
        "deadlines": _deadlines(began, mine, said),
        "corrections": _corrections(said),
        "reach": _reach(mine, said),
        "bulletins": [_bulletin(event, mine) for event in said],
        "timeline": [_line(event) for event in mine],
    }


def _concerns(event: Event, incident_id: str) -> bool:
    return event.subject == incident_id or event.subject.rpartition("/")[0] == incident_id


def _said(event: Event) -> Mapping[str, Any]:
    found = event.detail.get("said")
    return found if isinstance(found, Mapping) else {}


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _figure(value: object, source: str) -> dict[str, Any]:
    """Give a figure with where it comes from."""
    return {"value": value, "source": NOT_KNOWN if value is None else source}


def _ended(said: Sequence[Event]) -> str | None:
    last = said[-1]
    return last.at.isoformat() if _said(last)["kind"] in ENDINGS else None


def _times(began: datetime, mine: Sequence[Event], said: Sequence[Event]) -> dict[str, Any]:
    """Give seconds from the beginning to each step of the first bulletin."""
    of_first = [event for event in mine if event.subject == said[0].subject]

    def seconds(what: str) -> float | None:
        at = next((event.at for event in of_first if event.what == what), None)
        return None if at is None else round((at - began).total_seconds(), 3)

    on_air = _first_on_air(mine)
    observed = [event for event in mine if event.what == OBSERVED]
    earliest = min((_time(str(event.detail["at"])) for event in observed), default=None)
    sources = sorted({str(event.detail["source"]) for event in observed})
    return {
        "to_submission_s": _figure(seconds("submitted"), LOG),
        "to_approval_s": _figure(seconds(BulletinState.APPROVED.value), LOG),
        "to_first_acceptance_by_a_carrier_s": _figure(seconds(ACKED), LOG),
        "to_first_broadcast_s": _figure(
            None
            if on_air is None
            else round(
                (_time(str(on_air.detail["first_broadcast_at"])) - began).total_seconds(), 3
            ),
            "" if on_air is None else source_of(on_air),
        ),
        "to_first_display_s": _figure(
            None if earliest is None else round((earliest - began).total_seconds(), 3),
            ", ".join(sources),
        ),
    }


def source_of(event: Event) -> str:
    """Name the carrier's log that a figure comes from, so that it can be found again."""
    return f"{event.detail['source']} (SHA-256 {str(event.detail['sha256'])[:16]})"


def _first_on_air(events: Iterable[Event]) -> Event | None:
    """Find what says of the earliest time on air."""
    measured = [event for event in events if event.what == MEASURED]
    return min(
        measured, key=lambda event: _time(str(event.detail["first_broadcast_at"])), default=None
    )


def _deliveries(mine: Sequence[Event], said: Sequence[Event]) -> list[dict[str, Any]]:
    """Count what became of orders, by carrier, with seconds from approval to acceptance."""
    approved = {event.subject: event.at for event in said}
    found: dict[str, dict[str, Any]] = {}
    for event in mine:
        if not event.what.startswith("delivery-") or event.detail.get("order") != "send":
            continue
        row = found.setdefault(str(event.detail["peer"]), {"states": {}, "seconds": []})
        state = event.what.removeprefix("delivery-")
        row["states"][state] = row["states"].get(state, 0) + 1
        if event.what == ACKED and event.subject in approved:
            row["seconds"].append((event.at - approved[event.subject]).total_seconds())
    return [
        {
            "carrier": carrier,
            "states": dict(sorted(row["states"].items())),
            "approval_to_acceptance_p50_s": _figure(_percentile(row["seconds"], 50), LOG),
            "approval_to_acceptance_p95_s": _figure(_percentile(row["seconds"], 95), LOG),
        }
        for carrier, row in sorted(found.items())
    ]


def _percentile(seconds: Sequence[float], percent: int) -> float | None:
    if not seconds:
        return None
    if len(seconds) == 1:
        return round(seconds[0], 3)
    return round(quantiles(seconds, n=PERCENTS, method="inclusive")[percent - 1], 3)


def _deadlines(began: datetime, mine: Sequence[Event], said: Sequence[Event]) -> dict[str, Any]:
    """Say which promises were kept."""
    rules = _said(said[0])["deadlines"]
    first_s = round((said[0].at - began).total_seconds(), 3)
    kept = []
    for event, following in zip(said, [*said[1:], None], strict=True):
        due_text = _said(event)["next_update_at"]
        if due_text is None or _said(event)["kind"] in ENDINGS:
            continue
        due = _time(due_text)
        is_kept = None if following is None else following.at <= due
        if any(one.what == MISSED and one.subject == event.subject for one in mine):
            is_kept = False
        kept.append(
            {
                "bulletin": event.subject,
                "due": due_text,
                "told": None if following is None else following.at.isoformat(),
                "is_kept": is_kept,
            }
        )
    days = rules["compensation_notice_days"]
    ended = _ended(said)
    due_by = None if days is None or ended is None else _time(ended) + timedelta(days=days)
    return {
        "profile": rules["profile"],
        "source": rules["source"],
        "first_notice": {
            "wanted_s": rules["first_notice_s"],
            "took_s": first_s,
            "is_kept": first_s <= rules["first_notice_s"]
            and not any(one.what == FIRST_MISSED for one in mine),
        },
        "updates": kept,
        "promises": len(kept),
        "kept": sum(one["is_kept"] is True for one in kept),
        "compensation_notice_due": _figure(
            None if due_by is None else due_by.date().isoformat(), rules["source"]
        ),
    }


def _corrections(said: Sequence[Event]) -> list[dict[str, Any]]:
    """Give every correction or withdrawal, with the seconds since what it takes back."""
    found = []
    for before, event in itertools.pairwise(said):
        if _said(event)["kind"] in {WRONG, BulletinKind.WITHDRAWAL.value}:
            found.append(
                {
                    "bulletin": event.subject,
                    "of": before.subject,
                    "after_s": round((event.at - before.at).total_seconds(), 3),
                }
            )
    return found


def _reach(mine: Sequence[Event], said: Sequence[Event]) -> list[dict[str, Any]]:
    """Say per region and carrier what was promised, what was accepted, and who was left out."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for event in said:
        document = _said(event)
        for region, people, source in document["regions"]:
            words, is_verified = document["population_sources"][source]
            population = _figure(people, words or NOT_KNOWN) | {"is_verified": is_verified}
            for carrier, one in document["reach"].items():
                row = rows.setdefault((region, carrier), {"levels": [], "accepted": None})
                row["levels"].append(one["level"])
                row["reason"] = one["reason"]
                row["population"] = population
    for event in mine:
        detail = event.detail
        key = str(detail.get("region")), str(detail.get("peer"))
        if event.what == ACKED and detail.get("order") == "send" and key in rows:
            rows[key]["accepted"] = rows[key]["accepted"] or event.at.isoformat()
    observed = {
        (str(event.detail["region"]), str(event.detail["carrier"])): event
        for event in reversed(mine)
        if event.what == OBSERVED
    }
    measured: dict[tuple[str, str], list[Event]] = {}
    for event in mine:
        if event.what == MEASURED:
            key = str(event.detail["region"]), str(event.detail["carrier"])
            measured.setdefault(key, []).append(event)
    return [
        _reach_row(key, row, observed.get(key), rows) | _on_air(measured.get(key, ()))
        for key, row in sorted(rows.items())
    ]


def _on_air(measured: Sequence[Event]) -> dict[str, Any]:
    """Give what a carrier's logs say of a region: the earliest time, the newest counts."""
    first = _first_on_air(measured)
    source = "" if first is None else source_of(first)
    figures = {
        "first_broadcast_at": _figure(
            None if first is None else first.detail["first_broadcast_at"], source
        )
    }
    for name in ("cells_reached", "cells_failed", "phones_seen"):
        told = [event for event in measured if event.detail[name] is not None]
        figures[name] = _figure(
            told[-1].detail[name] if told else None, source_of(told[-1]) if told else ""
        )
    return figures


def _reach_row(
    key: tuple[str, str],
    row: Mapping[str, Any],
    observed: Event | None,
    rows: Mapping[tuple[str, str], Mapping[str, Any]],
) -> dict[str, Any]:
    region, carrier = key
    is_region_covered = any(
        other["accepted"] is not None for (code, _), other in rows.items() if code == region
    )
    uncovered = None if is_region_covered else row["population"]["value"]
    first_level = row["levels"][0]
    return {
        "region": region,
        "carrier": carrier,
        "level": first_level,
        "levels": list(dict.fromkeys(row["levels"])),
        "reason": row["reason"],
        "first_accepted_at": _figure(row["accepted"], LOG),
        "first_display_at": _figure(
            None if observed is None else observed.detail["at"],
            "" if observed is None else str(observed.detail["source"]),
        ),
        "population": row["population"],
        "population_uncovered_by_all_carriers": _figure(
            0 if is_region_covered else uncovered,
            LOG if is_region_covered else row["population"]["source"],
        ),
    }


def _bulletin(event: Event, mine: Sequence[Event]) -> dict[str, Any]:
    document = _said(event)
    return {
        "bulletin": event.subject,
        "kind": document["kind"],
        "approved_at": event.at.isoformat(),
        "approved_by": event.actor,
        "submitted_by": next(
            (
                one.actor
                for one in reversed(mine)
                if one.subject == event.subject and one.what == "submitted"
            ),
            None,
        ),
        "class": document["class"],
        "code": document["code"],
        "regions": [code for code, *_ in document["regions"]],
        "texts": document["texts"],
        "cause": document["cause"],
        "cause_confidence": document["cause_confidence"],
        "eta": document["eta"],
        "next_update_at": document["next_update_at"],
        "plan": event.detail["plan"],
        "briefing_readers": [
            one.actor for one in mine if one.subject == event.subject and one.what == READ
        ],
    }


def _line(event: Event) -> dict[str, Any]:
    detail = {
        name: value
        for name, value in event.detail.items()
        if name not in {"said", "signature", "content"} and value not in ("", None)
    }
    return {
        "at": event.at.isoformat(),
        "subject": event.subject,
        "what": event.what,
        "actor": event.actor,
        "detail": detail,
    }


def to_json(document: Mapping[str, Any]) -> str:
    """Write a report as JSON."""
    return json.dumps(document, ensure_ascii=False, indent=2, sort_keys=True) + "\n"
