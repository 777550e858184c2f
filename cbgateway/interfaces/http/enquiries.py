"""What people ask by short message, for operators and their screens."""

from typing import Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from pydantic import ValidationError

from cbgateway.domain.errors import InputError
from cbgateway.domain.ports import Transaction
from cbgateway.interfaces.http import documents
from cbgateway.interfaces.http.answers import Result
from cbgateway.interfaces.http.limits import PAGE_DEFAULT
from cbgateway.interfaces.http.openapi import ERRORS, body_docs
from cbgateway.interfaces.http.reading import Limit, ok
from cbgateway.interfaces.http.requests import BackendNow, reader
from cbgateway.interfaces.http.writing import DONE, signed
from cbgateway.interfaces.schema import parse_json, problems_of
from cbgateway.service.crowds import report_documents
from cbgateway.service.enquiries import note_question, summary
from cbgateway.service.outlook import question_documents
from cbgateway.service.writes import Write

router = APIRouter(responses=ERRORS, tags=["enquiries"])


@router.get(
    "/v1/enquiries",
    dependencies=[Depends(reader)],
    response_model=documents.Enquiries,
    summary="Show what people ask, and how they are answered",
)
async def enquiries(backend: BackendNow, limit: Limit = PAGE_DEFAULT) -> Response:
    """Show counts by carrier, reports by region and hour, and the questions nobody could answer."""

    def work(tx: Transaction) -> dict[str, Any]:
        return {
            "carriers": summary(tx, backend.deployment),
            "questions": question_documents(tx, limit=limit),
            "reports": report_documents(tx, now=backend.clock.now()),
        }

    return ok(await backend.read(work))


@router.post(
    "/v1/enquiries/questions",
    response_model=documents.Noted,
    summary="Note a question that a call centre could not answer",
    openapi_extra=body_docs("question"),
)
async def note(request: Request, backend: BackendNow) -> Response:
    """Keep a question with digits and addresses masked; it is listed beside the next draft."""
    asked = await signed(request, backend)
    try:
        wanted = documents.QuestionDocument.model_validate(parse_json(asked.body))
    except ValidationError as error:
        raise InputError(*problems_of(error)) from error
    now = backend.clock.now()

    def work(tx: Transaction) -> str:
        return note_question(tx, wanted.question, source=wanted.source, now=now)

    return await asked.commit(
        lambda: Write(work, is_urgent=False),
        lambda kept: Result(DONE, {"question": kept, "source": wanted.source.strip()}, {}),
    )
