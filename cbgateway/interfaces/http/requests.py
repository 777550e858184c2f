"""Reading a request: its body within the limits, its headers, its conditions."""

import asyncio
import hashlib
import json
import re
from typing import Annotated, Any, cast

from fastapi import Depends, Request

from cbgateway.interfaces.http.authentication import check_reader
from cbgateway.interfaces.http.backend import Backend
from cbgateway.interfaces.http.limits import BODY_OCTETS_MAX, BODY_TIMEOUT_S
from cbgateway.interfaces.http.problems import CLOSING, HttpError

JSON = "application/json"
KEY = re.compile(r'"?([A-Za-z0-9_.:~+/=-]{1,128})"?', re.ASCII)
ETAG = re.compile(r'"[A-Za-z0-9_-]{1,64}"', re.ASCII)


async def backend_of(request: Request) -> Backend:
    """Give the gateway behind this server; a coroutine, because FastAPI has a thread run others."""
    return cast("Backend", request.app.state.backend)


BackendNow = Annotated[Backend, Depends(backend_of)]


async def reader(request: Request, backend: BackendNow) -> None:
    """Let only those go on who may read."""
    check_reader(backend, request)


async def body_of(request: Request, *, types: frozenset[str] = frozenset({JSON})) -> bytes:
    """Read a body within the limits; nothing is inflated, ever.

    Raises:
        HttpError: it is missing, too large, of another type, or does not come in time.
    """
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding != "identity":
        msg = f"content-encoding {encoding[:40]!r}: bodies are read as they are"
        raise HttpError("media-type", msg)
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length[:20]) > BODY_OCTETS_MAX:
        raise _too_large()
    octets = bytearray()
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            async for piece in request.stream():
                octets += piece
                if len(octets) > BODY_OCTETS_MAX:
                    raise _too_large()
    except TimeoutError as error:
        msg = f"the body did not come within {BODY_TIMEOUT_S:.0f} s"
        raise HttpError("body-timeout", msg, CLOSING) from error
    if not octets:
        msg = "send the document as the request's body"
        raise HttpError("body-empty", msg)
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind not in types:
        msg = f"content-type {kind[:80]!r}; what is read here: {', '.join(sorted(types))}"
        raise HttpError("media-type", msg)
    return bytes(octets)


def _too_large() -> HttpError:
    msg = f"at most {BODY_OCTETS_MAX} octets are read"
    return HttpError("body-too-large", msg, CLOSING)


def idempotency_key(request: Request) -> str:
    """Give the Idempotency-Key; empty for none.

    Raises:
        HttpError: it is not one that is kept.
    """
    field = request.headers.get("idempotency-key")
    if field is None:
        return ""
    match = KEY.fullmatch(field)
    if match is None:
        msg = "Idempotency-Key: 1 to 128 letters, digits and ._:~+/=-"
        raise HttpError("header-invalid", msg)
    return match[1]


def etag_of(document: dict[str, Any]) -> str:
    """Give the entity tag of a representation."""
    octets = json.dumps(document, sort_keys=True, ensure_ascii=False).encode()
    return f'"{hashlib.sha256(octets).hexdigest()[:32]}"'


def wanted_etags(request: Request, name: str) -> frozenset[str] | None:
    """Give the tags of an If-Match or If-None-Match; None when there is none, or it is a star."""
    field = request.headers.get(name)
    if field is None or field.strip() == "*":
        return None
    return frozenset(ETAG.findall(field))
