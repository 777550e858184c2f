"""What call-centre staff read, as new as the newest bulletin: JSON, page, stream and receipts."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response, StreamingResponse
from pydantic import ValidationError

from cbgateway.domain.errors import InputError, UnknownNameError
from cbgateway.interfaces.http import documents
from cbgateway.interfaces.http.answers import Result
from cbgateway.interfaces.http.backend import Backend
from cbgateway.interfaces.http.events import HEADERS, HEARTBEAT, pause
from cbgateway.interfaces.http.limits import (
    EVENTS_CONNECTIONS_MAX,
    EVENTS_HEARTBEAT_S,
    EVENTS_POLL_S,
)
from cbgateway.interfaces.http.openapi import ERRORS, body_docs
from cbgateway.interfaces.http.problems import HttpError
from cbgateway.interfaces.http.reading import ok
from cbgateway.interfaces.http.requests import BackendNow, reader
from cbgateway.interfaces.http.writing import signed
from cbgateway.interfaces.schema import parse_json, problems_of

HTML = "text/html"
DONE = 200

router = APIRouter(responses=ERRORS, tags=["briefings"])

Language = Annotated[str, Query(max_length=8, description="Code of a language of the country.")]
Number = Annotated[
    int | None, Query(ge=1, description="Of an earlier bulletin; the newest without it.")
]


def _language(backend: Backend, language: str) -> str:
    """Give the language that is asked for, else the country's own.

    Raises:
        UnknownNameError: there are no words of it.
    """
    known = backend.deployment.words
    if language and language not in known:
        raise UnknownNameError("language", language, known=tuple(known))
    return language or backend.deployment.country.default_language


@router.get(
    "/v1/briefings",
    response_model=documents.Briefings,
    dependencies=[Depends(reader)],
    summary="Show what staff say of every outage that goes on, or ended within a day",
)
async def current(request: Request, backend: BackendNow, language: Language = "") -> Response:
    """Show the newest briefing of each."""
    chosen = _language(backend, language)
    items = await asyncio.to_thread(backend.briefings.briefings, chosen)
    return ok({"items": items}, request)


@router.get(
    "/v1/briefings/events",
    response_class=StreamingResponse,
    dependencies=[Depends(reader)],
    responses={
        200: {
            "description": "`briefing` with a document as in `/v1/briefings`; before it, "
            "`superseded` with the names of the old and the new bulletin.",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        }
    },
    summary="Watch briefings become others",
)
async def watch(backend: BackendNow, language: Language = "") -> StreamingResponse:
    """Send every current briefing now, and each again once it says something else."""
    chosen = _language(backend, language)
    if backend.counters.watchers >= EVENTS_CONNECTIONS_MAX:
        msg = f"{EVENTS_CONNECTIONS_MAX} connections watch events already"
        raise HttpError("too-busy", msg, {"retry-after": "10"})
    return StreamingResponse(_follow(backend, chosen), DONE, HEADERS, "text/event-stream")


async def _follow(backend: Backend, language: str) -> AsyncIterator[bytes]:
    """Give briefings as they change, until the server ends or the client goes."""
    backend.counters.watchers += 1
    try:
        yield HEARTBEAT
        told: dict[str, dict[str, Any]] = {}
        silent_s = 0.0
        while not backend.stop.is_set():
            fresh = await asyncio.to_thread(backend.briefings.briefings, language)
            lines = [line for one in fresh for line in _changes(told, _said(one))]
            told = {one["incident"]: _said(one) for one in fresh}
            for line in lines:
                yield line
            silent_s = 0.0 if lines else silent_s + EVENTS_POLL_S
            if silent_s >= EVENTS_HEARTBEAT_S:
                silent_s = 0.0
                yield HEARTBEAT
            await pause(backend.stop)
    finally:
        backend.counters.watchers -= 1


def _said(briefing: dict[str, Any]) -> dict[str, Any]:
    """Give a briefing without its receipts: they change nothing of what it says."""
    return {name: value for name, value in briefing.items() if name != "readers"}


def _changes(told: dict[str, dict[str, Any]], said: dict[str, Any]) -> list[bytes]:
    """Give the events for a briefing that says something else than before."""
    before = told.get(said["incident"])
    if before == said:
        return []
    lines = []
    if before is not None and before["bulletin"] != said["bulletin"]:
        names = {"bulletin": before["bulletin"], "newest": said["bulletin"]}
        lines.append(_event("superseded", names))
    return [*lines, _event("briefing", said)]


def _event(name: str, document: dict[str, Any]) -> bytes:
    return f"event: {name}\ndata: {json.dumps(document, ensure_ascii=True)}\n\n".encode()


@router.get(
    "/v1/briefings/{incident}",
    response_model=documents.Briefing,
    dependencies=[Depends(reader)],
    responses={200: {"content": {HTML: {"schema": {"type": "string"}}}}},
    summary="Show what staff say of an outage",
)
async def briefing(
    request: Request,
    backend: BackendNow,
    incident: str,
    language: Language = "",
    number: Number = None,
) -> Response:
    """Show a briefing as JSON, or as a page that prints on one sheet (`Accept: text/html`)."""
    chosen, told = _language(backend, language), backend.briefings
    if HTML in request.headers.get("accept", ""):
        octets = await asyncio.to_thread(
            told.briefing_page, incident, language=chosen, number=number
        )
        return Response(octets, media_type=f"{HTML}; charset=utf-8")
    found = await asyncio.to_thread(told.briefing, incident, language=chosen, number=number)
    return ok(found, request)


@router.post(
    "/v1/briefings/{incident}/{number}:read",
    response_model=documents.ReceiptOut,
    summary="Say that somebody has read a bulletin's briefing",
    openapi_extra=body_docs("receipt"),
)
async def read(request: Request, backend: BackendNow, incident: str, number: int) -> Response:
    """Write a read receipt down. The same one again changes nothing."""
    asked = await signed(request, backend)
    bulletin_id = f"{incident}/{number}"
    try:
        receipt = documents.ReceiptDocument.model_validate(parse_json(asked.body))
    except ValidationError as error:
        raise InputError(*problems_of(error)) from error
    if receipt.bulletin != bulletin_id:
        msg = "bulletin: the document is about another bulletin than the address"
        raise InputError(msg)

    def noted(is_new: bool) -> Result:  # noqa: FBT001 - what the write gives
        document = {"bulletin": bulletin_id, "reader": receipt.reader, "is_new": is_new}
        return Result(DONE, document, {})

    return await asked.commit(
        lambda: backend.intake.receipt(bulletin_id, receipt.reader, asked.signature), noted
    )
