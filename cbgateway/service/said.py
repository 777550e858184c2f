"""What an approval writes into the audit log, so that a report needs nothing else."""

from typing import Any

from cbgateway.domain.bulletin import Bulletin
from cbgateway.domain.incident import Incident
from cbgateway.service.deployment import Deployment
from cbgateway.service.reach import reach_of


def said_document(deployment: Deployment, bulletin: Bulletin, incident: Incident) -> dict[str, Any]:
    """Give what was said to whom, by which rules, and who was reached for sure.

    A leaf of the log has 65,535 octets at most (tlog-tiles): with 512 regions and eight of the
    longest texts there is room for 4,000 more.
    """
    regions = deployment.regions
    origins = [regions.population_source(code) for code in bulletin.regions]
    sources = tuple(dict.fromkeys(origins))
    facts, next_at = bulletin.facts, bulletin.next_update_at
    deadlines = deployment.deadlines
    reaches = reach_of(
        deployment,
        incident,
        kind=bulletin.kind,
        alert_class=bulletin.alert_class,
        regions=bulletin.regions[:1],  # what differs is the carrier, never the region
    )
    return {
        "kind": bulletin.kind.value,
        "class": bulletin.alert_class,
        "mode": bulletin.mode.value,
        "code": bulletin.code,
        "texts": dict(bulletin.texts),
        "sent": bulletin.sent.isoformat(),
        "expires": bulletin.expires.isoformat(),
        "next_update_at": None if next_at is None else next_at.isoformat(),
        "cause": facts.cause,
        "cause_confidence": facts.confidence.value,
        "emergency_calls": facts.emergency_calls.value,
        "eta": None if facts.eta is None else facts.eta.isoformat(),
        "incident": {
            "id": incident.incident_id,
            "carrier": incident.carrier,
            "services": [one.value for one in incident.services],
            "started_at": incident.started_at.isoformat(),
        },
        "regions": [
            [code, regions.population(code), sources.index(source)]
            for code, source in zip(bulletin.regions, origins, strict=True)
        ],
        "population_sources": [[one.words, one.is_verified] for one in sources],
        "reach": {one.carrier: {"level": one.level.value, "reason": one.reason} for one in reaches},
        "utc_offset_min": deployment.country.utc_offset_min,
        "deadlines": {
            "profile": deadlines.code,
            "first_notice_s": deadlines.first_notice_s,
            "compensation_notice_days": deadlines.compensation_notice_days,
            "source": deadlines.source,
        },
    }
