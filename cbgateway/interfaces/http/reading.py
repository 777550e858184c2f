"""What is only looked at: incidents, bulletins, plans, regions, the history."""

import asyncio
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar
from urllib.parse import quote

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response

from cbgateway.domain.delivery import BulletinRecord
from cbgateway.domain.errors import UnknownNameError
from cbgateway.domain.incident import Incident
from cbgateway.domain.ports import Transaction
from cbgateway.interfaces.http import documents
from cbgateway.interfaces.http.backend import Backend
from cbgateway.interfaces.http.limits import PAGE_DEFAULT, PAGE_MAX
from cbgateway.interfaces.http.openapi import ERRORS
from cbgateway.interfaces.http.requests import BackendNow, etag_of, reader, wanted_etags
from cbgateway.service.outlook import plan_report
from cbgateway.service.proposals import proposed_state
from cbgateway.service.reports import bulletin_report

T = TypeVar("T")

INDEX_MAX = 2**53  # what every JSON reader can hold
CURSOR_CHARACTERS_MAX = 100
NOT_MODIFIED = 304
DELIVERY_PARTS = ("seals", "deliveries", "carriers")

router = APIRouter(dependencies=[Depends(reader)], responses=ERRORS)

Limit = Annotated[int, Query(ge=1, le=PAGE_MAX, description="Items of one page.")]
After = Annotated[
    str,
    Query(max_length=CURSOR_CHARACTERS_MAX, description="The last item of the page before."),
]
AfterIndex = Annotated[
    int, Query(ge=-1, le=INDEX_MAX, description="The index of the last item before.")
]


def bulletin_of(record: BulletinRecord) -> dict[str, Any]:
    """Give a bulletin without what became of it at the carriers."""
    report = bulletin_report(record, ())
    return {name: value for name, value in report.items() if name not in DELIVERY_PARTS}


def ok(document: dict[str, Any], request: Request | None = None) -> Response:
    """Answer with a document and its tag; without the document when the caller has it already."""
    if request is None:
        return Response(_octets(document), media_type="application/json")
    etag = etag_of(document)
    if etag in (wanted_etags(request, "if-none-match") or ()):
        return Response(status_code=NOT_MODIFIED, headers={"etag": etag})
    return Response(_octets(document), media_type="application/json", headers={"etag": etag})


def page_of(
    items: Sequence[T], limit: int, path: str, cursor: Callable[[T], str | int]
) -> dict[str, Any]:
    """Give a page.

    Args:
        items: one more than `limit` when there are more.
        limit: of a page.
        path: of the collection.
        cursor: names an item, so that the next page begins behind it.
    """
    shown = list(items[:limit])
    following = None
    if len(items) > limit:
        following = f"{path}?limit={limit}&after={quote(str(cursor(shown[-1])))}"
    return {"items": shown, "next": following}


@router.get(
    "/v1/incidents",
    response_model=documents.Incidents,
    summary="List incidents",
    tags=["incidents"],
)
async def incidents(
    backend: BackendNow, limit: Limit = PAGE_DEFAULT, after: After = ""
) -> Response:
    """List incidents by name."""

    def work(tx: Transaction) -> list[dict[str, Any]]:
        return [incident_of(tx, one) for one in tx.incidents_after(after, limit=limit + 1)]

    items = await backend.read(work)
    return ok(page_of(items, limit, "/v1/incidents", lambda one: str(one["incident"])))


@router.get(
    "/v1/incidents/{incident}",
    response_model=documents.Incident,
    summary="Show an incident",
    tags=["incidents"],
)
async def incident_by_name(request: Request, backend: BackendNow, incident: str) -> Response:
    """Show how far an outage has got, and what its alarms propose."""
    return ok(await backend.read(lambda tx: incident_of(tx, known(tx, incident))), request)


@router.get(
    "/v1/incidents/{incident}/bulletins",
    response_model=documents.Bulletins,
    summary="List an incident's bulletins",
    tags=["bulletins"],
)
async def bulletins(
    backend: BackendNow, incident: str, limit: Limit = PAGE_DEFAULT, after: AfterIndex = -1
) -> Response:
    """List an incident's bulletins in order; `after` is a bulletin's number."""

    def work(tx: Transaction) -> list[dict[str, Any]]:
        known(tx, incident)
        records = [one for one in tx.bulletins(incident) if one.bulletin.number > after]
        return [bulletin_of(record) for record in records[: limit + 1]]

    items = await backend.read(work)
    path = f"/v1/incidents/{quote(incident)}/bulletins"
    return ok(page_of(items, limit, path, lambda one: int(one["number"])))


@router.get(
    "/v1/bulletins/{incident}/{number}",
    response_model=documents.Bulletin,
    summary="Show a bulletin",
    tags=["bulletins"],
)
async def bulletin(request: Request, backend: BackendNow, incident: str, number: int) -> Response:
    """Show a bulletin and what was decided; its ETag is what an If-Match names."""
    bulletin_id = f"{incident}/{number}"
    return ok(await backend.read(lambda tx: bulletin_of(found(tx, bulletin_id))), request)


@router.get(
    "/v1/bulletins/{incident}/{number}/deliveries",
    response_model=documents.Deliveries,
    summary="Show what became of a bulletin at each carrier",
    tags=["bulletins"],
)
async def deliveries(
    backend: BackendNow,
    incident: str,
    number: int,
    limit: Limit = PAGE_DEFAULT,
    after: AfterIndex = -1,
) -> Response:
    """Show every order with its state and evidence; `after` is a delivery's number."""
    bulletin_id = f"{incident}/{number}"

    def work(tx: Transaction) -> dict[str, Any]:
        return bulletin_report(found(tx, bulletin_id), tx.deliveries(bulletin_id))

    report = await backend.read(work)
    items = [one for one in report["deliveries"] if one["delivery"] > after]
    path = f"/v1/bulletins/{quote(incident)}/{number}/deliveries"
    kept = {name: report[name] for name in ("bulletin", "state", "texts", "seals", "carriers")}
    return ok(kept | page_of(items, limit, path, lambda one: int(one["delivery"])))


@router.get(
    "/v1/plans/{incident}/{number}",
    response_model=documents.Plan,
    summary="Show what an approval would send",
    tags=["decisions"],
)
async def plan(request: Request, backend: BackendNow, incident: str, number: int) -> Response:
    """Show what would be sent where: pages and parts as phones show them, reach, budgets left."""
    return ok(await _plan(backend, f"{incident}/{number}"), request)


async def _plan(backend: Backend, bulletin_id: str) -> dict[str, Any]:
    prepared = await asyncio.to_thread(backend.prepare, bulletin_id)
    now = backend.clock.now()
    return await backend.read(lambda tx: plan_report(tx, backend.deployment, prepared, now=now))


@router.get(
    "/v1/regions",
    response_model=documents.Regions,
    summary="List regions",
    tags=["regions"],
)
async def regions(backend: BackendNow, limit: Limit = PAGE_DEFAULT, after: After = "") -> Response:
    """List the areas that bulletins are addressed to, by code."""
    there = backend.deployment.regions
    codes = sorted(code for code in there if code > after)[: limit + 1]
    items = [
        {
            "code": code,
            "name": dict(there[code].name),
            "parent": there[code].parent,
            "national_code": there[code].national_code,
        }
        for code in codes
    ]
    return ok(page_of(items, limit, "/v1/regions", lambda one: str(one["code"])))


@router.get(
    "/v1/audit",
    response_model=documents.Events,
    summary="Read the history",
    tags=["history"],
)
async def audit(
    backend: BackendNow, limit: Limit = PAGE_DEFAULT, after: AfterIndex = -1
) -> Response:
    """Read the history in order; `after` is the index of the last entry of the page before."""
    items = await backend.read(lambda tx: history(tx, after, limit + 1))
    return ok(page_of(items, limit, "/v1/audit", lambda one: int(one["index"])))


def history(tx: Transaction, after: int, limit: int) -> list[dict[str, Any]]:
    """Give some entries of the history that come after one; -1 for the beginning."""
    start = min(after + 1, tx.audit_size())
    return [
        event_of(index, entry)
        for index, entry in enumerate(tx.audit_entries(start, start + limit), start)
    ]


def event_of(index: int, entry: bytes) -> dict[str, Any]:
    """Give a leaf of the history, ready for JSON."""
    leaf = json.loads(entry)
    return {
        "index": index,
        "at": _iso(leaf["at_ms"]),
        "subject": leaf["subject"],
        "what": leaf["what"],
        "actor": leaf["actor"],
        "detail": leaf["detail"],
    }


def _iso(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds")


def incident_of(tx: Transaction, incident: Incident) -> dict[str, Any]:
    """Give an outage, ready for JSON."""
    count, cleared = tx.count_alarms(incident.incident_id)
    proposed = proposed_state(tx, incident)
    return {
        "incident": incident.incident_id,
        "carrier": incident.carrier,
        "services": [service.value for service in incident.services],
        "started_at": incident.started_at.isoformat(),
        "state": incident.state.value,
        "alarms": count,
        "alarms_cleared": cleared,
        "proposed_state": None if proposed is None else proposed.value,
    }


def known(tx: Transaction, name: str) -> Incident:
    """Give an incident by its name.

    Raises:
        UnknownNameError: there is none.
    """
    found = tx.incident(name)
    if found is None:
        raise UnknownNameError("incident", name[:CURSOR_CHARACTERS_MAX], known=("/v1/incidents",))
    return found


def found(tx: Transaction, bulletin_id: str) -> BulletinRecord:
    """Give a bulletin by its name.

    Raises:
        UnknownNameError: there is none.
    """
    record = tx.bulletin(bulletin_id)
    if record is None:
        shown = bulletin_id[:CURSOR_CHARACTERS_MAX]
        raise UnknownNameError("bulletin", shown, known=("/v1/incidents/{incident}/bulletins",))
    return record


def _octets(document: dict[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False).encode()
