"""The same request twice: the second gets the first one's answer, and nothing happens again.

A request is known by its signature's nonce, and by its Idempotency-Key when it has one. Both are
written in the transaction of what the request does, so that no crash comes between.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

from cbgateway.domain import failpoints
from cbgateway.domain.delivery import Answer
from cbgateway.domain.ports import Transaction
from cbgateway.interfaces.http.authentication import Caller
from cbgateway.interfaces.http.limits import ANSWERS_FORGOTTEN_AT_ONCE, IDEMPOTENCY_HOURS
from cbgateway.interfaces.http.problems import HttpError
from cbgateway.service.writes import Write

T = TypeVar("T")

KEPT_UNDER_KEY = ""
"""Stands for the body where the answer is kept under the Idempotency-Key of the same request."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a request is answered, as it is kept.

    Attributes:
        headers: beside those that every answer has.
        is_repeated: True when an earlier request was answered so.
    """

    status: int
    document: dict[str, Any]
    headers: dict[str, str]
    is_repeated: bool = False


def once(
    write: Write[T],
    caller: Caller,
    render: Callable[[T], Result],
    *,
    what: str,
    body: bytes,
    key: str,
    now: datetime,
    is_tidying: bool,
) -> Write[Result]:
    """Have a write done once, however often its request comes.

    Args:
        write: what the request does.
        caller: who asks.
        render: gives the answer.
        what: method and path.
        body: of the request.
        key: the Idempotency-Key; empty for none.
        now: aware.
        is_tidying: drop some old answers on the way.
    """
    request = hashlib.sha256(f"{what}\n".encode() + body).hexdigest()

    def work(tx: Transaction) -> Result:
        known = _known(tx, caller, key, request)
        if known is not None:
            return known
        _check_not_forgotten(tx, caller)
        result = render(write.work(tx))
        kept = json.dumps([result.document, result.headers], ensure_ascii=False)
        if is_tidying:
            tx.forget_answers(at=now, limit=ANSWERS_FORGOTTEN_AT_ONCE)
        if key:
            until = now + timedelta(hours=IDEMPOTENCY_HOURS)
            answer = Answer(request, result.status, kept)
            tx.put_answer(caller.person.name, f"key:{key}", answer, until=until)
        answer = Answer(caller.digest, result.status, KEPT_UNDER_KEY if key else kept)
        tx.put_answer(caller.person.name, f"nonce:{caller.nonce}", answer, until=caller.nonce_until)
        failpoints.passing("http.written")
        return result

    return Write(work, write.is_urgent)


def burn(tx: Transaction, caller: Caller, *, status: int, problem: dict[str, Any]) -> None:
    """Note a nonce whose request was refused, so that it cannot come again and succeed."""
    name = f"nonce:{caller.nonce}"
    if tx.answer(caller.person.name, name) is None:
        kept = json.dumps([problem, {}], ensure_ascii=True)
        answer = Answer(caller.digest, status, kept)
        tx.put_answer(caller.person.name, name, answer, until=caller.nonce_until)


def _known(tx: Transaction, caller: Caller, key: str, request: str) -> Result | None:
    """Give what the same request was answered before.

    Raises:
        HttpError: nonce or key stand for another request.
    """
    by_nonce = tx.answer(caller.person.name, f"nonce:{caller.nonce}")
    if by_nonce is not None and by_nonce.digest != caller.digest:
        msg = f"nonce {caller.nonce!r} was used for another request; make a new one for each"
        raise HttpError("replay", msg)
    by_key = tx.answer(caller.person.name, f"key:{key}") if key else None
    if by_key is not None and by_key.digest != request:
        msg = f"Idempotency-Key {key!r} was used for another request; choose a new one"
        raise HttpError("idempotency-key-reused", msg)
    found = by_key or by_nonce
    if found is None or found.body == KEPT_UNDER_KEY:
        return None
    document, headers = json.loads(found.body)
    return Result(found.status, document, headers, is_repeated=True)


def _check_not_forgotten(tx: Transaction, caller: Caller) -> None:
    """Refuse a signature that may have been answered and forgotten: the clock has gone back.

    Raises:
        HttpError: with the way out.
    """
    forgotten_at = tx.answers_forgotten_at()
    if forgotten_at is not None and caller.nonce_until < forgotten_at:
        msg = "signatures of that time are no longer known here; has a clock gone back? Sign anew"
        raise HttpError("signature-time", msg)
