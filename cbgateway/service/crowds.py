"""Crowds: enough people in one region say by short message that something does not work."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from loguru import logger

from cbgateway.domain.delivery import Event
from cbgateway.domain.ports import Transaction
from cbgateway.service.deployment import Deployment
from cbgateway.service.evidence import GATEWAY

CAUSE = "subscriber-reports"
"""Of the alarm that proposes a suspected outage."""
REPORTED = "reports-passed"
SHOWN_H = 25
"""Reports of the last day are shown, and of the hour that it began in."""


@dataclass(frozen=True, slots=True)
class Crowd:
    """Enough people who report an outage.

    Attributes:
        name: of this crowd; the same within an hour.
    """

    name: str
    peer_id: str
    region: str
    reports: int


def find_crowds(tx: Transaction, deployment: Deployment, *, now: datetime) -> list[Crowd]:
    """Find where enough people report an outage, and write each down once an hour.

    Nobody is told because of it.
    """
    rules = deployment.country.enquiries
    hour = hour_of(now)
    since = hour - timedelta(hours=rules.reports_window_h - 1)
    counts: Counter[tuple[str, str]] = Counter()
    for (peer_id, region, _), count in tx.outage_reports(since=since).items():
        counts[peer_id, region] += count
    found = []
    for (peer_id, region), count in counts.items():
        crowd = Crowd(f"{CAUSE}-{peer_id}-{region}-{hour:%Y%m%d%H}", peer_id, region, count)
        if count < rules.reports_min or tx.count(crowd.name):
            continue
        tx.bump(crowd.name)
        detail = {"carrier": peer_id, "region": region, "reports": count}
        tx.record(Event(now, region, REPORTED, GATEWAY, detail))
        logger.bind(**detail).warning("many people report an outage")
        found.append(crowd)
    return found


def report_documents(tx: Transaction, *, now: datetime) -> list[dict[str, Any]]:
    """List what people reported lately, by carrier, region and hour, ready for JSON."""
    since = now - timedelta(hours=SHOWN_H)
    return [
        {"carrier": peer_id, "region": region, "hour": hour.isoformat(), "reports": count}
        for (peer_id, region, hour), count in tx.outage_reports(since=since).items()
    ]


def hour_of(at: datetime) -> datetime:
    """Give the hour in which reports of one sender count once."""
    return at.replace(minute=0, second=0, microsecond=0)
