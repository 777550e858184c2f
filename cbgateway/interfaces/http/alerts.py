"""CAP alerts over HTTP, in and out.

An alert is believed for the signature inside it, which its sender was pinned for; so it is posted
without the signatures that other requests have, and the same alert again gives the first answer.
"""

import asyncio
from typing import Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from cbgateway.domain import failpoints
from cbgateway.interfaces.http import documents
from cbgateway.interfaces.http.limits import ANSWER_TIMEOUT_S
from cbgateway.interfaces.http.openapi import ERRORS
from cbgateway.interfaces.http.problems import HttpError
from cbgateway.interfaces.http.requests import BackendNow, body_of, reader
from cbgateway.interfaces.http.writing import ACCEPTED, accepted, answer

CAP = "application/cap+xml"
TYPES = frozenset({CAP})

_BODY: dict[str, Any] = {
    "requestBody": {"required": True, "content": {CAP: {"schema": {"type": "string"}}}}
}
_ALERT: dict[int | str, dict[str, Any]] = {
    200: {"content": {CAP: {"schema": {"type": "string"}}}, "description": "The alert."}
}

router = APIRouter(responses=ERRORS, tags=["cap"])


@router.post(
    "/v1/cap",
    status_code=ACCEPTED,
    response_model=documents.Bulletin,
    summary="Submit a CAP 1.2 alert that its sender has signed",
    openapi_extra=_BODY,
)
async def take_alert(request: Request, backend: BackendNow) -> Response:
    """Take in an alert as a bulletin; a second person then decides about it."""
    octets = await body_of(request, types=TYPES)
    failpoints.passing("http.read")
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            write = await asyncio.to_thread(backend.intake.alert, octets)
            record = await backend.intake.commit_together(write)
    except TimeoutError as error:
        msg = f"not answered within {ANSWER_TIMEOUT_S:.0f} s; repeat it, nothing is taken twice"
        raise HttpError("answer-timeout", msg) from error
    failpoints.passing("http.committed")
    return answer(accepted(record))


@router.get(
    "/v1/cap/{incident}/{number}",
    dependencies=[Depends(reader)],
    summary="Show an approved bulletin as a CAP 1.2 alert",
    response_class=Response,
    responses=_ALERT,
)
async def show_alert(backend: BackendNow, incident: str, number: int) -> Response:
    """Give the alert, the same octets whenever asked."""
    write = backend.intake.publication(f"{incident}/{number}")
    return Response(await backend.intake.commit_together(write), media_type=CAP)
