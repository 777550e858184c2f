"""The application: routes, and the one place where errors become problems."""

import asyncio
from functools import partial
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from loguru import logger
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cbgateway import __version__
from cbgateway.domain import failpoints
from cbgateway.domain.errors import GatewayError, InputError
from cbgateway.interfaces.http import (
    alerts,
    briefings,
    enquiries,
    events,
    metrics,
    openapi,
    pages,
    reading,
    transitions,
    writing,
)
from cbgateway.interfaces.http.backend import Backend
from cbgateway.interfaces.http.limits import HEAD_OCTETS_MAX, HEADERS_MAX
from cbgateway.interfaces.http.problems import (
    CLOSING,
    HEAD_TOO_LONG,
    HttpError,
    problem_of,
    response_of,
)

METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
BY_STATUS = {404: "not-found", 405: "method-not-allowed"}
SHOWN_CHARACTERS_MAX = 200
SECURITY_HEADERS = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))


def make_app(backend: Backend | None) -> FastAPI:
    """Make the application.

    Args:
        backend: the gateway; None when only the OpenAPI document is wanted.
    """
    app = FastAPI(
        title=openapi.TITLE,
        version=__version__,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    for module in (
        writing,
        transitions,
        alerts,
        reading,
        briefings,
        enquiries,
        events,
        metrics,
        pages,
    ):
        app.include_router(module.router)
    app.state.backend = backend
    app.add_exception_handler(GatewayError, _refused)
    app.add_exception_handler(HttpError, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _not_here)
    if backend is not None:
        app.add_middleware(Edge, backend=backend)
    return app


def openapi_document() -> dict[str, Any]:
    """Give the OpenAPI document of this version."""
    return openapi.document_of(make_app(None))


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, GatewayError | HttpError)  # noqa: S101 - registered for these only
    response = response_of(error)
    status, problem, _ = problem_of(error)
    logger.bind(
        method=request.method,
        path=request.url.path[:SHOWN_CHARACTERS_MAX],
        status=status,
        type=problem["type"],
    ).info("refused")
    return response


async def _invalid(request: Request, error: Exception) -> Response:
    """Name what is wrong with path or query."""
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this only
    problems = [
        f"{'.'.join(str(part)[:80] for part in fault['loc'])}: {fault['msg']}"
        for fault in error.errors()
    ]
    return await _refused(request, InputError(*problems))


async def _not_here(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this only
    fault = BY_STATUS.get(error.status_code, "not-found")
    shown = request.url.path[:SHOWN_CHARACTERS_MAX]
    refusal = HttpError(fault, f"{request.method} {shown}", error.headers)
    return await _refused(request, refusal)


class Edge:
    """Around everything: what no route may see, what no client may see, and the counting."""

    def __init__(self, app: ASGIApp, backend: Backend) -> None:
        self._app = app
        self._backend = backend

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 0
        began_s = asyncio.get_running_loop().time()

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), *SECURITY_HEADERS]
            await send(message)

        try:
            answering = _check_head(scope) or self._lane(scope) or self._app
            await answering(scope, receive, noting)
            if scope["method"] == "POST":
                failpoints.passing("http.answered")
        except Exception as error:
            logger.opt(exception=error).error("a request has failed")
            if status:
                raise
            failure = HttpError("internal", "the log of the gateway says more")
            await response_of(failure)(scope, receive, noting)
        method = scope["method"] if scope["method"] in METHODS else "other"
        spent_s = asyncio.get_running_loop().time() - began_s
        self._backend.counters.count(method, status, spent_s)

    def _lane(self, scope: Scope) -> ASGIApp | None:
        """Give the way past the framework for what machines send most: a bulletin, and no query.

        Routing, dependencies and parameters take a sixth of such a request's time; the route's own
        function is called all the same.
        """
        if scope["method"] != "POST" or scope["query_string"]:
            return None
        match scope["path"].split("/"):
            case ["", "v1", "incidents"]:
                submit = writing.open_incident
            case ["", "v1", "incidents", str(incident), "bulletins"] if incident:
                submit = partial(writing.submit, incident=incident)
            case _:
                return None

        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            request = Request(scope, receive)
            try:
                response = await submit(request, self._backend)
            except (GatewayError, HttpError) as error:
                response = await _refused(request, error)
            await response(scope, receive, send)

        return answer


def _check_head(scope: Scope) -> Response | None:
    """Refuse what may be read in two ways, or never ends."""
    names = [name for name, _ in scope["headers"]]
    if len(names) > HEADERS_MAX:
        msg = f"{len(names)} headers, at most {HEADERS_MAX} are read"
        return response_of(HttpError("headers-too-many", msg, CLOSING))
    octets = sum(len(name) + len(value) for name, value in scope["headers"])
    if octets + len(scope["raw_path"]) + len(scope["query_string"]) > HEAD_OCTETS_MAX:
        return response_of(HttpError("headers-too-many", HEAD_TOO_LONG, CLOSING))
    lengths, encodings = names.count(b"content-length"), names.count(b"transfer-encoding")
    if lengths + encodings > 1:
        msg = "one of Content-Length and Transfer-Encoding says where a body ends, once"
        return response_of(HttpError("framing", msg, CLOSING))
    if names.count(b"host") > 1:
        return response_of(HttpError("framing", "one Host is needed", CLOSING))
    return None
