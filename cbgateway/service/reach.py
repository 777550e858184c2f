"""Reach, honestly: who is told for sure, who perhaps, who is not, for an outage at one carrier."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from cbgateway.domain.bulletin import BulletinKind
from cbgateway.domain.incident import Incident, Service
from cbgateway.service.deployment import Deployment

MOBILE = frozenset({Service.VOICE, Service.SMS, Service.MOBILE_DATA})
"""With one of these gone, a carrier's own phones may hear no broadcast of it."""


class ReachLevel(StrEnum):
    """How sure it is that a carrier's subscribers in a region are told."""

    ASSURED = "assured"
    """Their own carrier's cells repeat it."""
    INDIRECT = "neighbour_or_roaming"
    """Only phones that hear another carrier's cell, or are let in there."""
    NONE = "none"
    """Nobody, save those on a list for short messages."""


@dataclass(frozen=True, slots=True)
class Reach:
    """What may be said of one carrier's subscribers in one region.

    Attributes:
        reason: why, in words.
    """

    region: str
    carrier: str
    level: ReachLevel
    reason: str


def reach_of(
    deployment: Deployment,
    incident: Incident,
    *,
    kind: BulletinKind,
    alert_class: str,
    regions: Sequence[str],
) -> tuple[Reach, ...]:
    """Say for every region and carrier who is told.

    Args:
        deployment: the gateway's rules.
        incident: says whose network fails, and what of it.
        kind: after restoration the network that failed carries again.
        alert_class: decides the ways that each carrier takes.
        regions: that the bulletin is for.
    """
    broadcasting = [
        code
        for code, carrier in deployment.carriers.items()
        if "broadcast" in carrier.routes.get(alert_class, ())
    ]
    is_down = bool(MOBILE & set(incident.services)) and kind is not BulletinKind.RESTORED
    levels = {}
    for code in deployment.carriers:
        others = [other for other in broadcasting if other != code]
        if code not in broadcasting:
            levels[code] = (ReachLevel.NONE, "no broadcast for this class; only its list by SMS")
        elif not (is_down and code == incident.carrier):
            levels[code] = (ReachLevel.ASSURED, "over its own cells")
        elif others:
            names = ", ".join(others)
            reason = f"its network fails; only phones that hear {names}, or roam there"
            levels[code] = (ReachLevel.INDIRECT, reason)
        else:
            levels[code] = (ReachLevel.NONE, "its network fails, and no other carrier broadcasts")
    return tuple(
        Reach(region, code, level, reason)
        for region in regions
        for code, (level, reason) in levels.items()
    )


def reach_document(reaches: Sequence[Reach]) -> list[dict[str, str]]:
    """Give a reach statement ready for JSON."""
    return [
        {
            "region": one.region,
            "carrier": one.carrier,
            "level": one.level.value,
            "reason": one.reason,
        }
        for one in reaches
    ]
