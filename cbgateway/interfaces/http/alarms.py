"""Alarms as network monitoring sends them (TM Forum TMF642, TMF656), read as what they propose."""

from collections.abc import Sequence

from pydantic import ValidationError

from cbgateway.domain.errors import InputError
from cbgateway.domain.incident import Service
from cbgateway.interfaces.http.documents import Alarm, Reference, ServiceProblem
from cbgateway.interfaces.schema import parse_json, problems_of
from cbgateway.service import proposals

CLEARED = {"cleared"}
RESOLVED = {"resolved", "closed", "cancelled", "rejected"}


def parse_alarm(octets: bytes, *, carriers: Sequence[str]) -> proposals.Alarm:
    """Read an alarm or a service problem; `@type` says which.

    Args:
        octets: JSON in UTF-8.
        carriers: codes; when there is one only, an alarm need not name it.

    Raises:
        InputError: it is neither; every fault is named with its place.
    """
    document = parse_json(octets)
    kind = document.get("@type", "Alarm")
    try:
        if kind == "ServiceProblem":
            return _of_problem(document, ServiceProblem.model_validate(document), carriers)
        return _of_alarm(document, Alarm.model_validate(document), carriers)
    except ValidationError as error:
        raise InputError(*problems_of(error)) from error


def _of_alarm(
    document: dict[str, object], alarm: Alarm, carriers: Sequence[str]
) -> proposals.Alarm:
    is_cleared = (
        alarm.alarm_cleared_time is not None
        or (alarm.state or "").lower() in CLEARED
        or (alarm.perceived_severity or "").lower() in CLEARED
    )
    return proposals.Alarm(
        document=document,
        alarm_id=alarm.external_alarm_id or alarm.id,
        cause=":".join(filter(None, (alarm.probable_cause, alarm.specific_problem))),
        carrier=alarm.source_system_id or _only(carriers, "sourceSystemId"),
        services=_services(alarm.affected_service),
        region=_first(alarm.place),
        raised_at=alarm.alarm_raised_time,
        is_cleared=is_cleared,
    )


def _of_problem(
    document: dict[str, object], problem: ServiceProblem, carriers: Sequence[str]
) -> proposals.Alarm:
    party = problem.originator_party
    return proposals.Alarm(
        document=document,
        alarm_id=f"problem:{problem.id}",
        cause=":".join(filter(None, (problem.category, problem.reason))),
        carrier=(party and party.id) or _only(carriers, "originatorParty.id"),
        services=_services(problem.affected_service),
        region=_first(problem.place),
        raised_at=problem.creation_date,
        is_cleared=(problem.status or "").lower() in RESOLVED,
    )


def _only(carriers: Sequence[str], field: str) -> str:
    if len(carriers) != 1:
        msg = f"{field}: names the carrier, one of {', '.join(carriers)}"
        raise InputError(msg)
    return carriers[0]


def _first(places: Sequence[Reference]) -> str:
    return next((place.id for place in places if place.id), "")


def _services(affected: Sequence[Reference]) -> tuple[Service, ...]:
    """Give the services that are known here by their names; monitoring has many more."""
    named = {name for one in affected for name in (one.id, one.name)}
    return tuple(service for service in Service if service.value in named)
