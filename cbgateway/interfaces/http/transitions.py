"""How far an outage has got, as somebody says over HTTP."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from cbgateway.domain.errors import InputError
from cbgateway.domain.ports import Transaction
from cbgateway.interfaces.http import documents
from cbgateway.interfaces.http.answers import Result
from cbgateway.interfaces.http.openapi import ERRORS, body_docs
from cbgateway.interfaces.http.reading import incident_of, known
from cbgateway.interfaces.http.requests import BackendNow, etag_of, wanted_etags
from cbgateway.interfaces.http.writing import DONE, only_if, signed
from cbgateway.interfaces.steps import parse_step
from cbgateway.service.writes import Write

router = APIRouter(responses=ERRORS)


@router.post(
    "/v1/incidents/{incident}:transition",
    response_model=documents.Incident,
    summary="Say how far an outage has got",
    openapi_extra=body_docs("transition"),
    tags=["incidents"],
)
async def transition(request: Request, backend: BackendNow, incident: str) -> Response:
    """Move an outage from the state that was seen to one that may follow; tells nobody outside."""
    asked = await signed(request, backend)
    step = parse_step(asked.body)
    if step.incident_id != incident:
        msg = "incident: the document is about another incident than the address"
        raise InputError(msg)
    wanted = wanted_etags(request, "if-match")

    def make() -> Write[dict[str, Any]]:
        taken = backend.intake.step(step, asked.signature)
        write = Write(lambda tx: incident_of(tx, taken.work(tx)), taken.is_urgent)
        return write if wanted is None else only_if(write, wanted, show)

    def show(tx: Transaction) -> dict[str, Any]:
        return incident_of(tx, known(tx, incident))

    return await asked.commit(make, _result)


def _result(document: dict[str, Any]) -> Result:
    headers = {"etag": etag_of(document), "location": f"/v1/incidents/{document['incident']}"}
    return Result(DONE, document, headers)
