"""What people ask by short message, for operators and their screens."""

from typing import Any

from fastapi import APIRouter, Depends
from fastapi.responses import Response

from cbgateway.domain.ports import Transaction
from cbgateway.interfaces.http import documents
from cbgateway.interfaces.http.limits import PAGE_DEFAULT
from cbgateway.interfaces.http.openapi import ERRORS
from cbgateway.interfaces.http.reading import Limit, ok
from cbgateway.interfaces.http.requests import BackendNow, reader
from cbgateway.service.crowds import report_documents
from cbgateway.service.enquiries import summary
from cbgateway.service.outlook import question_documents

router = APIRouter(dependencies=[Depends(reader)], responses=ERRORS, tags=["enquiries"])


@router.get(
    "/v1/enquiries",
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
