"""Outbind: a message centre connects to us and asks us to bind (SMPP 5.0 2.2.1, 4.1.1.7).

Theory of operation: whoever connects has to say the centre's name and password before it learns
anything of ours, in one PDU and soon. The connection is then handed on as if we had made it. What
has not said so yet is bounded in number, octets and time; what comes while one is taken is closed.
"""

import asyncio
import hmac
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from cbgateway.carriers.smpp.session import Credentials
from cbgateway.codec import smpp

OUTBIND_TIMEOUT_S = 5.0
"""An outbind is the first thing that a centre says."""
OUTBIND_OCTETS_MAX = smpp.HEADER_OCTETS + 16 + 9
"""Header, system_id and password at their longest."""
WAITING_MAX = 8
"""Connections that have not said who they are; more are closed at once."""


@dataclass(frozen=True, slots=True)
class Outbind:
    """Where we listen, and who may ask us to bind.

    Attributes:
        centre: what the message centre calls itself, and proves it with.
    """

    host: str
    port: int
    centre: Credentials


class _Gate:
    """The connections that wait, and the one who wants the next that is let in."""

    def __init__(self, centre: Credentials) -> None:
        self.centre = centre
        self.waiting: set[_Caller] = set()
        self.wanted: asyncio.Future[tuple[asyncio.Transport, bytes]] | None = None

    async def take(self) -> tuple[asyncio.Transport, bytes]:
        """Wait for the next that is let in; gives it with what came behind its outbind."""
        self.wanted = asyncio.get_running_loop().create_future()
        try:
            return await self.wanted
        finally:
            self.wanted = None


class _Caller(asyncio.Protocol):
    """A connection that has not said yet who it is."""

    def __init__(self, gate: _Gate) -> None:
        self._gate = gate
        self._octets = b""
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Give it a while, if there is room."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - create_server makes no other
        self._transport = transport
        if len(self._gate.waiting) >= WAITING_MAX:
            transport.abort()
            return
        self._gate.waiting.add(self)
        self._timer = asyncio.get_running_loop().call_later(OUTBIND_TIMEOUT_S, transport.abort)

    def data_received(self, data: bytes) -> None:
        """Wait for one whole outbind, and look at it."""
        self._octets += data
        if len(self._octets) < smpp.HEADER_OCTETS or self._transport is None:
            return
        length = int.from_bytes(self._octets[:4], "big")
        if not smpp.HEADER_OCTETS <= length <= OUTBIND_OCTETS_MAX:
            self._transport.abort()
            return
        if len(self._octets) < length:
            return
        (item,) = smpp.Framer().receive(self._octets[:length])
        wanted = self._gate.wanted
        if wanted is None or wanted.done() or not _is_from(self._gate.centre, item):
            self._transport.abort()
            return
        self._leave()
        self._transport.pause_reading()  # until somebody else reads
        wanted.set_result((self._transport, self._octets[length:]))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio gives it
        """Make room for another."""
        self._leave()

    def abort(self) -> None:
        """Close it."""
        if self._transport is not None:
            self._transport.abort()

    def _leave(self) -> None:
        self._gate.waiting.discard(self)
        if self._timer is not None:
            self._timer.cancel()


def _is_from(centre: Credentials, item: smpp.Pdu | smpp.Unparsed) -> bool:
    body = item.body if isinstance(item, smpp.Pdu) else None
    if not isinstance(body, smpp.Outbind):
        return False
    is_named = hmac.compare_digest(body.system_id.encode(), centre.system_id.encode())
    return hmac.compare_digest(body.password.encode(), centre.password.encode()) and is_named


@asynccontextmanager
async def listening(
    outbind: Outbind,
) -> AsyncIterator[Callable[[], Awaitable[tuple[asyncio.Transport, bytes]]]]:
    """Listen for a while; gives what waits for the next connection that is let in.

    Raises:
        OSError: nobody can listen there.
    """
    gate = _Gate(outbind.centre)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Caller(gate), outbind.host, outbind.port)
    try:
        yield gate.take
    finally:
        server.close()
        for caller in list(gate.waiting):
            caller.abort()
