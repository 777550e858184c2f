"""The public pages, for whoever asks; without tokens, and outside the OpenAPI document."""

import asyncio
import math

from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from cbgateway.interfaces.http.problems import HttpError
from cbgateway.interfaces.http.requests import BackendNow
from cbgateway.interfaces.http.throttle import address_of

router = APIRouter(include_in_schema=False)

PAGES = ("/", "/i/{name}/", "/r/{name}/", "/v/{name}", "/v/{name}/", "/v/", "/past/", "/drills/")
"""What each language has; a code is found without the last slash as well, as people type it."""
LIMITED = ("/v/", "/bundle/")
"""What is not for trying everything out, or takes a while to make."""
PROGRAMS = ("/feed.atom", "/alerts.json", "/cap/{name}", "/bundle/{name}")


async def _show(request: Request, backend: BackendNow) -> Response:
    """Give what `cbgateway site export` would have written.

    Raises:
        HttpError: somebody looks up too many codes.
    """
    if any(part in request.url.path for part in LIMITED):
        wait_s = backend.proofs.take(
            address_of(request, backend.proxies), now_s=backend.clock.monotonic_s()
        )
        if wait_s:
            msg = "wait as long as Retry-After says; `/alerts.json` and the feed have no limit"
            raise HttpError("too-many-requests", msg, {"retry-after": str(math.ceil(wait_s))})
    found = await asyncio.to_thread(backend.show, request.url.path)
    is_code = "/v/" in request.url.path
    if found.status != 200 and not is_code:  # noqa: PLR2004 - as HTTP counts
        raise HTTPException(found.status)
    return Response(found.octets, found.status, media_type=found.content_type)


for path in (*PAGES, *PROGRAMS, *(f"/{{language}}{page}" for page in PAGES)):
    router.add_api_route(path, _show, methods=["GET", "HEAD"])
