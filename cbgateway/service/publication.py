"""What the public may see: every bulletin that went out, by outage, at one moment."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from cbgateway.domain.bulletin import (
    Bulletin,
    BulletinKind,
    BulletinState,
    EmergencyCalls,
    Facts,
    Mode,
)
from cbgateway.domain.delivery import BulletinRecord
from cbgateway.domain.errors import UnknownCodeError
from cbgateway.domain.incident import Incident, IncidentState
from cbgateway.domain.ports import Transaction
from cbgateway.service.deployment import Deployment
from cbgateway.service.drills import Drill, drills
from cbgateway.signing.codes import read_code

ENDED = frozenset({IncidentState.RESTORED, IncidentState.POSTMORTEM, IncidentState.FALSE_ALARM})
LAST_KINDS = frozenset({BulletinKind.RESTORED, BulletinKind.WITHDRAWAL})
"""After these nothing more is promised."""
HOLDS = frozenset({BulletinState.APPROVED, BulletinState.LIVE})
OUT = HOLDS | {BulletinState.SUPERSEDED, BulletinState.EXPIRED, BulletinState.WITHDRAWN}
RECENT_S = 86_400
"""How long a restored outage stays in sight."""


@dataclass(frozen=True, slots=True)
class Notice:
    """One bulletin that was approved.

    Attributes:
        said_at: when the second person decided.
    """

    bulletin: Bulletin
    state: BulletinState
    said_at: datetime

    def eta_has_passed(self, now: datetime) -> bool:
        """Tell whether it names a repair time that is over."""
        eta = self.bulletin.facts.eta
        return eta is not None and eta <= now


@dataclass(frozen=True, slots=True)
class Outage:
    """One incident with what was said of it, the newest first."""

    incident: Incident
    notices: tuple[Notice, ...]

    @property
    def newest(self) -> Notice:
        """Give what was said last."""
        return self.notices[0]

    @property
    def is_over(self) -> bool:
        """Tell whether it was said, or decided, that it is over."""
        return self.incident.state in ENDED or self.newest.bulletin.kind in LAST_KINDS

    @property
    def regions(self) -> tuple[str, ...]:
        """Give the regions that the newest bulletin names."""
        return self.newest.bulletin.regions

    @property
    def facts(self) -> Facts:
        """Give what is known: each fact as it was said last, and the repair time of the newest."""
        facts = self.newest.bulletin.facts
        for notice in self.notices[1:]:
            older = notice.bulletin.facts
            if not facts.cause and older.cause:
                facts = replace(facts, cause=older.cause, confidence=older.confidence)
            if facts.emergency_calls is EmergencyCalls.UNKNOWN:
                facts = replace(facts, emergency_calls=older.emergency_calls)
            if not facts.workarounds:
                facts = replace(facts, workarounds=older.workarounds)
        return facts


@dataclass(frozen=True, slots=True)
class Publication:
    """Everything that pages, feeds and briefings are made of.

    Attributes:
        at: the moment.
        outages: the one that was last spoken of first.
        alerts: names of the bulletins that can be had as a CAP alert.
        drills: by their beginning.
    """

    gateway_id: str
    mode: Mode
    at: datetime
    outages: tuple[Outage, ...]
    alerts: frozenset[str] = frozenset()
    drills: tuple[Drill, ...] = ()

    @property
    def current(self) -> tuple[Outage, ...]:
        """Give the outages that go on."""
        return tuple(one for one in self.outages if not one.is_over)

    @property
    def recent(self) -> tuple[Outage, ...]:
        """Give those that ended within a day."""
        since = self.at - timedelta(seconds=RECENT_S)
        return tuple(one for one in self.past if one.newest.said_at >= since)

    @property
    def open_drills(self) -> tuple[Drill, ...]:
        """Give the drills that are not over, called off or not, the next one first."""
        return tuple(one for one in self.drills if one.ends > self.at)

    @property
    def past_drills(self) -> tuple[Drill, ...]:
        """Give the drills that were held, the newest first."""
        over = [one for one in self.drills if one.ends <= self.at and not one.is_cancelled]
        return tuple(reversed(over))

    @property
    def past(self) -> tuple[Outage, ...]:
        """Give those that ended."""
        return tuple(one for one in self.outages if one.is_over)

    def outage(self, incident_id: str) -> Outage | None:
        """Find an outage by the name of its incident."""
        return next((o for o in self.outages if o.incident.incident_id == incident_id), None)

    def notice_with_code(self, text: str) -> tuple[Outage, Notice]:
        """Find what was said under a verification code.

        Raises:
            UnknownCodeError: it is not ours.
        """
        code = read_code(text)
        for outage in self.outages:
            for notice in outage.notices:
                if code is not None and notice.bulletin.code == code:
                    return outage, notice
        msg = f"no bulletin of this gateway has the code {text[:40]!r}: it is not ours"
        raise UnknownCodeError(msg)


def is_out(record: BulletinRecord) -> bool:
    """Tell whether a bulletin was approved, whatever became of it since."""
    decision = record.decision
    return record.state in OUT and decision is not None and bool(decision.plan_hash)


def notices_of(records: Iterable[BulletinRecord]) -> tuple[Notice, ...]:
    """Give the bulletins that went out, the newest first."""
    return tuple(
        sorted(
            (
                Notice(record.bulletin, record.state, record.decision.decided_at)
                for record in records
                if is_out(record) and record.decision is not None
            ),
            key=lambda notice: -notice.bulletin.number,
        )
    )


def publication(tx: Transaction, gateway_id: str, *, mode: Mode, now: datetime) -> Publication:
    """Give what the public may see now."""
    outages = []
    for incident in tx.told_incidents():
        notices = notices_of(tx.bulletins(incident.incident_id))
        if notices:
            outages.append(Outage(incident, notices))
    outages.sort(key=lambda one: one.newest.said_at, reverse=True)
    return Publication(gateway_id, mode, now, tuple(outages), tx.published(), drills(tx))


def region_outages(
    deployment: Deployment, found: Iterable[Outage], code: str
) -> tuple[Outage, ...]:
    """Give the outages that concern a region: for it, for what is around it, or inside it."""
    regions = deployment.regions
    return tuple(
        outage
        for outage in found
        if any(regions.contains(one, code) or regions.contains(code, one) for one in outage.regions)
    )
