"""What changes something: bulletins, decisions, alarms. Committed before it says accepted."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, ValidationError

from cbgateway.domain import failpoints
from cbgateway.domain.bulletin import BulletinKind, BulletinState
from cbgateway.domain.delivery import BulletinRecord
from cbgateway.domain.errors import GatewayError, InputError, StoreError
from cbgateway.domain.ports import Transaction
from cbgateway.interfaces.http import documents
from cbgateway.interfaces.http.alarms import parse_alarm
from cbgateway.interfaces.http.answers import Result, burn, once
from cbgateway.interfaces.http.authentication import Caller, authenticate, document_signature
from cbgateway.interfaces.http.backend import Backend
from cbgateway.interfaces.http.limits import ANSWER_TIMEOUT_S
from cbgateway.interfaces.http.openapi import ERRORS, body_docs
from cbgateway.interfaces.http.problems import HttpError, problem_of
from cbgateway.interfaces.http.reading import bulletin_of, found
from cbgateway.interfaces.http.requests import (
    BackendNow,
    body_of,
    etag_of,
    idempotency_key,
    wanted_etags,
)
from cbgateway.interfaces.schema import parse_bulletin, parse_json, problems_of
from cbgateway.service.approval import Approval
from cbgateway.service.proposals import Proposal
from cbgateway.service.writes import Write

T = TypeVar("T")
Decision = TypeVar("Decision", bound=BaseModel)

ACCEPTED = 202
DONE = 200

router = APIRouter(responses=ERRORS)

Draft = Annotated[bool, Query(description="Keep it as a draft; nobody decides about it yet.")]


@dataclass(frozen=True, slots=True)
class Signed:
    """A request whose sender is known.

    Attributes:
        body: as it was sent.
        signature: over the document in the body.
    """

    request: Request
    backend: Backend
    caller: Caller
    body: bytes
    signature: str

    async def commit(
        self,
        make: Callable[[], Write[T]],
        render: Callable[[T], Result],
        *,
        bulletin_id: str = "",
        in_thread: bool = False,
    ) -> Response:
        """Do what is asked, once, and answer when it is committed.

        Args:
            make: gives the write; its refusal is the request's.
            render: gives the answer.
            bulletin_id: what an If-Match is about.
            in_thread: making the write takes long.
        """
        key = idempotency_key(self.request)
        failpoints.passing("http.read")
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                write = await asyncio.to_thread(make) if in_thread else make()
                result = await self._once(write, render, key, bulletin_id)
        except TimeoutError as error:
            msg = f"not answered within {ANSWER_TIMEOUT_S:.0f} s; ask what became of it, or repeat"
            raise HttpError("answer-timeout", msg) from error
        except (GatewayError, HttpError) as error:
            await self._burn(error)
            raise
        failpoints.passing("http.committed")
        return answer(result)

    async def _once(
        self, write: Write[T], render: Callable[[T], Result], key: str, bulletin_id: str
    ) -> Result:
        now = self.backend.clock.now()
        wanted = wanted_etags(self.request, "if-match") if bulletin_id else None
        write = (
            write
            if wanted is None
            else only_if(write, wanted, lambda tx: bulletin_of(found(tx, bulletin_id)))
        )
        query = self.request.scope["query_string"].decode("latin-1")
        what = f"{self.request.method} {self.request.scope['path']}?{query}"
        whole = once(
            write,
            self.caller,
            render,
            what=what,
            body=self.body,
            key=key,
            now=now,
            is_tidying=self.backend.counters.is_tidying(),
        )
        return await self.backend.intake.commit_together(whole)

    async def _burn(self, error: GatewayError | HttpError) -> None:
        """Use the nonce up, unless the store is why; a refusal stands as an acceptance does."""
        if isinstance(error, StoreError) or (
            isinstance(error, HttpError) and error.fault == "replay"
        ):
            return
        status, problem, _ = problem_of(error)
        await self.backend.intake.commit_together(
            Write(lambda tx: burn(tx, self.caller, status=status, problem=problem), is_urgent=True)
        )


async def signed(request: Request, backend: Backend) -> Signed:
    """Read a request that changes something, and find out who asks.

    Raises:
        HttpError: the request is not one that is read, or it is not known who asks.
        SignatureInvalidError: a signature does not belong to it.
        PermissionDeniedError: the permissions of whoever asks were revoked.
    """
    body = await body_of(request)
    caller = authenticate(backend, request, body)
    return Signed(request, backend, caller, body, document_signature(request, caller))


def answer(result: Result) -> Response:
    """Give the response to a result."""
    is_problem = "type" in result.document and "status" in result.document
    headers = result.headers | ({"idempotent-replayed": "true"} if result.is_repeated else {})
    media_type = "application/problem+json" if is_problem else "application/json"
    octets = json.dumps(result.document, ensure_ascii=False).encode()
    return Response(octets, result.status, headers, media_type)


@router.post(
    "/v1/incidents",
    status_code=ACCEPTED,
    response_model=documents.Bulletin,
    summary="Open an incident with its first bulletin",
    openapi_extra=body_docs("bulletin"),
    tags=["bulletins"],
)
async def open_incident(request: Request, backend: BackendNow, *, draft: Draft = False) -> Response:
    """Take in the first bulletin of an incident; a second person then decides about it.

    The same document again gives the same answer and changes nothing.
    """
    asked = await signed(request, backend)
    bulletin = parse_bulletin(asked.body)
    if bulletin.kind is not BulletinKind.FIRST:
        msg = "kind: an incident is opened by its first bulletin; post later ones to the incident"
        raise InputError(msg)
    return await asked.commit(
        lambda: backend.intake.submission(bulletin, asked.signature, as_draft=draft), accepted
    )


@router.post(
    "/v1/incidents/{incident}/bulletins",
    status_code=ACCEPTED,
    response_model=documents.Bulletin,
    summary="Submit a bulletin of an incident",
    openapi_extra=body_docs("update"),
    tags=["bulletins"],
)
async def submit(
    request: Request, backend: BackendNow, incident: str, *, draft: Draft = False
) -> Response:
    """Take in a bulletin; a second person then decides about it."""
    asked = await signed(request, backend)
    bulletin = parse_bulletin(asked.body)
    if bulletin.incident_id != incident:
        msg = f"incident: the document is about {bulletin.incident_id!r}, the address names another"
        raise InputError(msg)
    return await asked.commit(
        lambda: backend.intake.submission(bulletin, asked.signature, as_draft=draft), accepted
    )


@router.put(
    "/v1/bulletins/{incident}/{number}",
    status_code=ACCEPTED,
    response_model=documents.Bulletin,
    summary="Keep another document in place of a draft's or returned bulletin's",
    openapi_extra=body_docs("bulletin"),
    tags=["bulletins"],
)
async def revise(request: Request, backend: BackendNow, incident: str, number: int) -> Response:
    """Change a draft or a returned bulletin without submitting it."""
    return await _revise(request, backend, f"{incident}/{number}", as_draft=True)


@router.post(
    "/v1/bulletins/{incident}/{number}:submit",
    status_code=ACCEPTED,
    response_model=documents.Bulletin,
    summary="Submit another document in place of a draft's or returned bulletin's",
    openapi_extra=body_docs("bulletin"),
    tags=["bulletins"],
)
async def submit_revised(
    request: Request, backend: BackendNow, incident: str, number: int
) -> Response:
    """Submit a draft or a returned bulletin, with a document that has an identifier of its own."""
    return await _revise(request, backend, f"{incident}/{number}", as_draft=False)


async def _revise(
    request: Request, backend: Backend, bulletin_id: str, *, as_draft: bool
) -> Response:
    asked = await signed(request, backend)
    bulletin = parse_bulletin(asked.body)
    return await asked.commit(
        lambda: backend.intake.revision(bulletin_id, bulletin, asked.signature, as_draft=as_draft),
        accepted,
        bulletin_id=bulletin_id,
    )


@router.post(
    "/v1/bulletins/{incident}/{number}:approve",
    status_code=ACCEPTED,
    response_model=documents.Bulletin,
    summary="Approve a bulletin: exactly the plan that was looked at",
    openapi_extra=body_docs("approval"),
    tags=["decisions"],
)
async def approve(request: Request, backend: BackendNow, incident: str, number: int) -> Response:
    """Commit a bulletin to the outbox. It takes somebody who had no hand in it."""
    asked = await signed(request, backend)
    bulletin_id = f"{incident}/{number}"
    decision = _decision(asked.body, documents.ApprovalDocument, bulletin_id)
    approval = Approval(_moment(decision.at), decision.confirmation, asked.signature)
    return await asked.commit(
        lambda: backend.approving(bulletin_id, decision.plan, approval),
        accepted,
        bulletin_id=bulletin_id,
        in_thread=True,
    )


@router.post(
    "/v1/bulletins/{incident}/{number}:return",
    response_model=documents.Bulletin,
    summary="Give a bulletin back to its authors",
    openapi_extra=body_docs("return"),
    tags=["decisions"],
)
async def give_back(request: Request, backend: BackendNow, incident: str, number: int) -> Response:
    """Have the authors do better; they may revise it."""
    asked = await signed(request, backend)
    bulletin_id = f"{incident}/{number}"
    reason = _decision(asked.body, documents.ReturnDocument, bulletin_id).reason
    return await _refuse(asked, bulletin_id, BulletinState.RETURNED, reason)


@router.post(
    "/v1/bulletins/{incident}/{number}:reject",
    response_model=documents.Bulletin,
    summary="Turn a bulletin down for good",
    openapi_extra=body_docs("reject"),
    tags=["decisions"],
)
async def reject(request: Request, backend: BackendNow, incident: str, number: int) -> Response:
    """Turn a bulletin down, with a reason."""
    asked = await signed(request, backend)
    bulletin_id = f"{incident}/{number}"
    reason = _decision(asked.body, documents.RejectDocument, bulletin_id).reason
    return await _refuse(asked, bulletin_id, BulletinState.REJECTED, reason)


async def _refuse(asked: Signed, bulletin_id: str, state: BulletinState, reason: str) -> Response:
    return await asked.commit(
        lambda: asked.backend.intake.refusal(
            bulletin_id, state, reason=reason, signature=asked.signature
        ),
        _done,
        bulletin_id=bulletin_id,
    )


@router.post(
    "/v1/bulletins/{incident}/{number}:withdraw",
    response_model=documents.Bulletin,
    summary="Take back one's own bulletin before anybody has approved it",
    openapi_extra=body_docs("take-back"),
    tags=["bulletins"],
)
async def withdraw(request: Request, backend: BackendNow, incident: str, number: int) -> Response:
    """Take a bulletin back. What is on air is taken off by a bulletin of kind withdrawal."""
    asked = await signed(request, backend)
    bulletin_id = f"{incident}/{number}"
    reason = _decision(asked.body, documents.TakeBackDocument, bulletin_id).reason
    return await asked.commit(
        lambda: backend.intake.taking_back(bulletin_id, reason=reason, signature=asked.signature),
        _done,
        bulletin_id=bulletin_id,
    )


@router.post(
    "/v1/alarms",
    status_code=ACCEPTED,
    response_model=documents.ProposalOut,
    summary="Tell of an alarm (TMF642) or a service problem (TMF656)",
    openapi_extra=body_docs("alarm"),
    tags=["alarms"],
)
async def tell_alarm(request: Request, backend: BackendNow) -> Response:
    """Take an alarm in. At most a suspected incident with a draft comes of it; people decide."""
    asked = await signed(request, backend)
    alarm = parse_alarm(asked.body, carriers=tuple(backend.deployment.carriers))
    return await asked.commit(lambda: backend.intake.alarm(alarm, asked.signature), _proposed)


def _decision(body: bytes, kind: type[Decision], bulletin_id: str) -> Decision:
    try:
        decision = kind.model_validate(parse_json(body))
    except ValidationError as error:
        raise InputError(*problems_of(error)) from error
    if getattr(decision, "bulletin", "") != bulletin_id:
        msg = "bulletin: the document is about another bulletin than the address"
        raise InputError(msg)
    return decision


def _moment(at: str) -> datetime:
    try:
        return datetime.fromisoformat(at)
    except ValueError as error:
        msg = f"at: {error}"
        raise InputError(msg) from error


def only_if(
    write: Write[T], wanted: frozenset[str], show: Callable[[Transaction], dict[str, Any]]
) -> Write[T]:
    """Do a write only while what it is about is as the caller has seen it.

    Args:
        write: what is asked for.
        wanted: entity tags, of which it has to have one.
        show: gives it as it is read.
    """

    def work(tx: Transaction) -> T:
        etag = etag_of(show(tx))
        if etag not in wanted:
            msg = f"it is now {etag}; look at it again"
            raise HttpError("precondition-failed", msg)
        return write.work(tx)

    return Write(work, write.is_urgent)


def accepted(record: BulletinRecord) -> Result:
    """Give the answer to whoever has brought a bulletin."""
    return _result(record, ACCEPTED)


def _done(record: BulletinRecord) -> Result:
    return _result(record, DONE)


def _result(record: BulletinRecord, status: int) -> Result:
    document: dict[str, Any] = bulletin_of(record)
    headers = {"etag": etag_of(document), "location": f"/v1/bulletins/{document['bulletin']}"}
    return Result(status, document, headers)


def _proposed(proposal: Proposal) -> Result:
    document = {
        "effect": proposal.effect.value,
        "incident": proposal.incident_id or None,
        "draft": proposal.draft or None,
        "proposed_state": None if proposal.state is None else proposal.state.value,
    }
    return Result(ACCEPTED, document, {})
