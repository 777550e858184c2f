"""How the gateway stands, for load balancers, Prometheus and those who check seals."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fastapi import APIRouter, Depends
from fastapi.responses import PlainTextResponse, Response

from cbgateway import __version__
from cbgateway.interfaces.http import documents
from cbgateway.interfaces.http.backend import Backend, Counters
from cbgateway.interfaces.http.openapi import ERRORS
from cbgateway.interfaces.http.problems import HttpError
from cbgateway.interfaces.http.reading import ok
from cbgateway.interfaces.http.requests import BackendNow, reader

PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"

router = APIRouter(tags=["operation"], responses=ERRORS)


@router.get("/healthz", response_model=documents.Health, summary="Tell whether the process runs")
async def healthz() -> Response:
    """Answer as long as the process does."""
    return ok({"status": "ok"})


@router.get("/readyz", response_model=documents.Health, summary="Tell whether work is taken in")
async def readyz(backend: BackendNow) -> Response:
    """Answer 200 only while what is asked for is taken in and carried out."""
    if not backend.is_ready():
        msg = "the gateway is starting, stopping or has failed"
        raise HttpError("not-ready", msg, {"retry-after": "1"})
    return ok({"status": "ok"})


@router.get(
    "/.well-known/cbgateway-keys.json",
    response_model=documents.JwkSet,
    summary="Give the regions' public sealing keys",
)
async def keys(backend: BackendNow) -> Response:
    """Give the keys that seals are checked with, as a JWK Set."""
    return ok(await asyncio.to_thread(backend.published_keys))


@router.get(
    "/metrics",
    response_class=PlainTextResponse,
    dependencies=[Depends(reader)],
    summary="Give figures for Prometheus",
)
async def metrics(backend: BackendNow) -> Response:
    """Give what `cbgateway status` knows, and what this server counts."""
    facts = await asyncio.to_thread(backend.facts)
    text = "".join(_lines(backend, facts))
    return Response(text, media_type=PROMETHEUS)


def _lines(backend: Backend, facts: Mapping[str, Any]) -> Iterator[str]:
    info = {"mode": facts["mode"], "version": __version__, "gateway": facts["gateway"]}
    yield from _metric("info", "gauge", "What this gateway is.", [(info, 1)])
    yield from _metric("ready", "gauge", "1 while ready.", [({}, int(backend.is_ready()))])
    states = [({"state": state}, count) for state, count in facts["bulletins"].items()]
    yield from _metric("bulletins", "gauge", "Bulletins by state.", states)
    open_ = [
        ({"carrier": carrier, "state": state}, count)
        for carrier, counts in facts["open_deliveries"].items()
        for state, count in counts.items()
    ]
    yield from _metric("open_deliveries", "gauge", "Orders that have not ended.", open_)
    audit = facts["audit"]
    yield from _metric("audit_entries", "counter", "History.", [({}, audit["entries"])])
    witnessed = audit["witnessed"] or 0
    yield from _metric("audit_witnessed", "counter", "Of these, witnessed.", [({}, witnessed)])
    promised = facts["promises"]
    late = sum(one["is_missed"] for one in promised["open"])
    yield from _metric("promises_late", "gauge", "Updates that are late.", [({}, late)])
    missed = promised["missed"]
    yield from _metric("promises_missed_total", "counter", "Missed so far.", [({}, missed)])
    due = int(facts["drills"]["is_due"])
    yield from _metric("drill_due", "gauge", "1 once a quarter has no drill.", [({}, due)])
    yield from _briefings(facts["briefings"])
    peers = facts["peers"]
    up = [({"peer": name}, int(one["is_up"])) for name, one in peers.items()]
    yield from _metric("peer_up", "gauge", "1 while a peer is connected.", up)
    ages = [
        ({"peer": name}, round(one["link_test_age_s"], 1))
        for name, one in peers.items()
        if one["link_test_age_s"] is not None
    ]
    about = "Since a peer's way was proved."
    yield from _metric("link_test_age_seconds", "gauge", about, ages)
    yield from _enquiries(facts["enquiries"])
    ballast = int(facts["has_ballast"])
    yield from _metric("ballast_held", "gauge", "Room for what is urgent.", [({}, ballast)])
    yield from _own(backend.counters)


def _briefings(found: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Say who has read what staff say, for each outage that goes on."""
    read = [({"incident": one["incident"]}, one["read"]) for one in found]
    yield from _metric("briefing_reads", "gauge", "Who has read the newest briefing.", read)
    shares = [
        ({"incident": one["incident"]}, one["ratio"]) for one in found if one["ratio"] is not None
    ]
    about = "Share of those named in the settings who have."
    yield from _metric("briefing_read_ratio", "gauge", about, shares)


ENQUIRY_OUTCOMES = ("answered", "limited", "blocked", "late", "refused", "in_doubt")


def _enquiries(carriers: Mapping[str, Any]) -> Iterator[str]:
    """Give what people ask by short message; a histogram of how soon they are answered."""
    asked = [({"carrier": code}, one["asked"]) for code, one in carriers.items()]
    yield from _metric("enquiries_asked_total", "counter", "Questions by short message.", asked)
    outcomes = [
        ({"carrier": code, "outcome": outcome}, one[outcome])
        for code, one in carriers.items()
        for outcome in ENQUIRY_OUTCOMES
    ]
    yield from _metric("enquiries_total", "counter", "What became of them.", outcomes)
    waiting = [({"carrier": code}, one["waiting"]) for code, one in carriers.items()]
    yield from _metric("enquiries_waiting", "gauge", "Not looked at yet.", waiting)
    subscribers = [({"carrier": code}, one["subscribers"]) for code, one in carriers.items()]
    yield from _metric("enquiry_subscribers", "gauge", "Who wants to be told.", subscribers)
    name = "cbgateway_enquiry_reply_seconds"
    yield f"# HELP {name} From a question to the carrier's yes to its answer.\n"
    yield f"# TYPE {name} histogram\n"
    for code, one in carriers.items():
        label = f'carrier="{_escaped(code)}"'
        for limit_s, count in one["latency_s_buckets"]:
            limit = "+Inf" if limit_s is None else f"{limit_s:g}"
            yield f'{name}_bucket{{{label},le="{limit}"}} {count}\n'
        yield f"{name}_sum{{{label}}} {one['latency_s_sum']}\n"
        yield f"{name}_count{{{label}}} {one['answered']}\n"


def _own(counters: Counters) -> Iterator[str]:
    requests = [
        ({"method": method, "status": str(status)}, count)
        for (method, status), count in sorted(counters.requests.items())
    ]
    yield from _metric("http_requests_total", "counter", "Requests answered.", requests)
    spent_s = round(counters.seconds, 6)
    yield from _metric("http_seconds_total", "counter", "Spent answering.", [({}, spent_s)])
    watchers = counters.watchers
    yield from _metric("http_watchers", "gauge", "Who watches events.", [({}, watchers)])


def _metric(
    name: str, kind: str, about: str, values: Sequence[tuple[Mapping[str, str], float]]
) -> Iterator[str]:
    yield f"# HELP cbgateway_{name} {about}\n# TYPE cbgateway_{name} {kind}\n"
    for labels, value in values:
        listed = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
        yield f"cbgateway_{name}{{{listed}}} {value}\n" if listed else f"cbgateway_{name} {value}\n"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
