"""The history as it grows: server-sent events, by the sequence of the transparency log."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, Header
from fastapi.responses import StreamingResponse

from cbgateway.interfaces.http.backend import Backend
from cbgateway.interfaces.http.limits import (
    EVENTS_BATCH_MAX,
    EVENTS_CONNECTIONS_MAX,
    EVENTS_HEARTBEAT_S,
    EVENTS_POLL_S,
)
from cbgateway.interfaces.http.openapi import ERRORS
from cbgateway.interfaces.http.problems import HttpError
from cbgateway.interfaces.http.reading import INDEX_MAX, AfterIndex, history
from cbgateway.interfaces.http.requests import BackendNow, reader

HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no"}
HEARTBEAT = b": still here\n\n"

router = APIRouter(dependencies=[Depends(reader)], responses=ERRORS)


@router.get(
    "/v1/events",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "Events; `id` is the index, `event` what has happened.",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        }
    },
    summary="Watch the history grow",
    tags=["history"],
)
async def events(
    backend: BackendNow,
    last_event_id: Annotated[str | None, Header(pattern=r"^[0-9]{1,15}$")] = None,
    after: AfterIndex | None = None,
) -> StreamingResponse:
    """Send every entry that follows, from now on, from `after`, or from Last-Event-ID."""
    if backend.counters.watchers >= EVENTS_CONNECTIONS_MAX:
        msg = f"{EVENTS_CONNECTIONS_MAX} connections watch events already"
        raise HttpError("too-busy", msg, {"retry-after": "10"})
    if last_event_id is not None:
        after = min(int(last_event_id), INDEX_MAX)
    if after is None:
        after = await backend.read(lambda tx: tx.audit_size()) - 1
    return StreamingResponse(_follow(backend, after), 200, HEADERS, "text/event-stream")


async def _follow(backend: Backend, after: int) -> AsyncIterator[bytes]:
    """Give events as they are committed, until the server ends or the client goes."""
    backend.counters.watchers += 1
    try:
        yield HEARTBEAT
        silent_s = 0.0
        while not backend.stop.is_set():
            items = await backend.read(lambda tx: history(tx, after, EVENTS_BATCH_MAX))  # noqa: B023 - awaited before it changes
            for item in items:
                data = json.dumps(item, ensure_ascii=True)
                yield f"id: {item['index']}\nevent: {item['what']}\ndata: {data}\n\n".encode()
                after = item["index"]
            if items:
                silent_s = 0.0
                continue
            silent_s += EVENTS_POLL_S
            if silent_s >= EVENTS_HEARTBEAT_S:
                silent_s = 0.0
                yield HEARTBEAT
            await pause(backend.stop)
    finally:
        backend.counters.watchers -= 1


async def pause(stop: asyncio.Event) -> None:
    """Wait a moment, or until the server ends."""
    try:
        await asyncio.wait_for(stop.wait(), EVENTS_POLL_S)
    except TimeoutError:
        return
