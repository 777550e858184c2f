"""As much of an HTTP/1.1 server as the control needs: one request for each connection.

It serves people and test programs on the same machine. Against pages of other origins in the same
browser there are two checks: the Host has to be an address or `localhost`, and whatever changes
something has to be JSON, which browsers let no other origin send.
"""

import asyncio
import contextlib
import ipaddress
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

HEAD_OCTETS_MAX = 16_384
BODY_OCTETS_MAX = 1 << 20
"""A scenario and a message are small."""
CONNECTIONS_MAX = 64
REQUEST_TIMEOUT_S = 10.0
HEADERS = {
    "Cache-Control": "no-store",
    "Connection": "close",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


@dataclass(frozen=True, slots=True)
class Request:
    """What a client asks for; header names in small letters."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:  # noqa: ANN401 - whatever JSON holds
        """Read the body.

        Raises:
            HttpError: it is no JSON.
        """
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError) as error:
            raise HttpError(HTTPStatus.BAD_REQUEST, f"the body is no JSON: {error}") from error


@dataclass(frozen=True, slots=True)
class Answer:
    """What a client gets: a body, or a stream without an end."""

    body: bytes = b""
    kind: str = "application/json"
    status: HTTPStatus = HTTPStatus.OK
    headers: Mapping[str, str] = field(default_factory=dict)
    stream: AsyncIterator[bytes] | None = None


class HttpError(Exception):
    """A request is answered with an error and a sentence."""

    def __init__(self, status: HTTPStatus, problem: str) -> None:
        super().__init__(problem)
        self.status = status


Handler = Callable[[Request], Awaitable[Answer]]


def answer_json(value: Any, status: HTTPStatus = HTTPStatus.OK) -> Answer:  # noqa: ANN401 - plain values
    """Give an answer in JSON."""
    text = json.dumps(value, ensure_ascii=False)
    return Answer(text.encode("utf-8", "replace") + b"\n", status=status)


class HttpServer:
    """Listens, reads requests, and writes what the handler answers."""

    def __init__(self, handler: Handler) -> None:
        """Make it; `open` listens."""
        self._handler = handler
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    async def open(self, host: str, port: int) -> tuple[str, int]:
        """Listen; gives where.

        Raises:
            OSError: the address cannot be listened on; `filename` is the address.
        """
        try:
            self._server = await asyncio.start_server(
                self._on_connection, host, port, limit=HEAD_OCTETS_MAX
            )
        except OSError as error:
            raise OSError(error.errno, error.strerror, f"{host}:{port}") from error
        bound = self._server.sockets[0].getsockname()
        return bound[0], bound[1]

    async def close(self) -> None:
        """End every connection, and listen no more."""
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _on_connection(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        task = asyncio.current_task()
        if task is None or len(self._tasks) >= CONNECTIONS_MAX:
            writer.close()
            return
        self._tasks.add(task)
        try:
            with contextlib.suppress(OSError, TimeoutError, asyncio.CancelledError):
                await self._serve(reader, writer)
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                request = await read_request(reader)
            answer = await self._handler(request)
        except HttpError as error:
            answer = answer_json({"problem": str(error)}, error.status)
        except asyncio.IncompleteReadError:
            return
        headers = HEADERS | {"Content-Type": answer.kind} | dict(answer.headers)
        if answer.stream is None:
            headers["Content-Length"] = str(len(answer.body))
        lines = [f"HTTP/1.1 {answer.status.value} {answer.status.phrase}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        writer.write("\r\n".join([*lines, "", ""]).encode("latin-1") + answer.body)
        await writer.drain()
        if answer.stream is not None:
            async for octets in answer.stream:
                writer.write(octets)
                await writer.drain()


async def read_request(reader: asyncio.StreamReader) -> Request:
    """Read one request.

    Raises:
        HttpError: it is none that is understood, or one that may not be.
        IncompleteReadError: the client has gone.
    """
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.LimitOverrunError as error:
        raise HttpError(
            HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"more than {HEAD_OCTETS_MAX} octets"
        ) from error
    first, *rest = head.decode("latin-1").split("\r\n")
    parts = first.split(" ")
    if len(parts) != 3 or not parts[2].startswith("HTTP/1."):  # noqa: PLR2004 - method, target, version
        raise HttpError(HTTPStatus.BAD_REQUEST, "this is no request of HTTP/1.1")
    headers = {}
    for line in filter(None, rest):
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    if not is_own_host(headers.get("host", "")):
        raise HttpError(
            HTTPStatus.MISDIRECTED_REQUEST, "the Host is neither an address nor localhost"
        )
    method = parts[0]
    is_change = method not in {"GET", "HEAD"}
    if is_change and headers.get("content-type", "").partition(";")[0] != "application/json":
        raise HttpError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "changes are sent as Content-Type: application/json"
        )
    length = headers.get("content-length", "0")
    if not (length.isascii() and length.isdecimal()) or "transfer-encoding" in headers:
        raise HttpError(HTTPStatus.LENGTH_REQUIRED, "the body's length stands in Content-Length")
    if len(length) > len(str(BODY_OCTETS_MAX)) or int(length) > BODY_OCTETS_MAX:
        raise HttpError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"more than {BODY_OCTETS_MAX} octets")
    body = await reader.readexactly(int(length))
    try:
        target = urlsplit(parts[1])
    except ValueError as error:
        raise HttpError(HTTPStatus.BAD_REQUEST, str(error)) from error
    query = dict(parse_qsl(target.query, keep_blank_values=True, max_num_fields=100))
    return Request(method, unquote(target.path), query, headers, body)


def is_own_host(text: str) -> bool:
    """Tell whether a Host is an address or localhost, and no name that a stranger may have made."""
    host = text.rpartition(":")[0] if text.rpartition(":")[2].isdecimal() else text
    host = host.removeprefix("[").removesuffix("]")
    if host == "localhost":
        return True
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
