"""The broker on a socket: connections to links, and a timer for those that fall silent."""

import asyncio
import signal
from collections.abc import Callable

from cbsim.broker import Broker, BrokerLink

CONNECTIONS_MAX = 1_000
SENDING_OCTETS_MAX = 16_777_216  # 16 MiB that a client has not taken: it is gone
TICK_S = 1.0


class _Connection(asyncio.Protocol):
    """One TCP connection and its link."""

    def __init__(self, server: "BrokerServer") -> None:
        self._server = server
        self._transport: asyncio.Transport | None = None
        self.link: BrokerLink | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, unless there are too many."""
        if not isinstance(transport, asyncio.Transport):  # asyncio gives a stream transport
            return
        self._transport = transport
        if len(self._server.connections) >= CONNECTIONS_MAX:
            transport.abort()
            return
        self.link = BrokerLink(self._server.broker)
        self._server.connections[self.link] = self

    def data_received(self, data: bytes) -> None:
        """Hand octets to the link."""
        if self.link is not None:
            self.link.receive(data)
            self.flush()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the link."""
        del exc
        if self.link is not None:
            self._server.connections.pop(self.link, None)
            self.link.lost()

    def flush(self) -> None:
        """Send what the link has to send."""
        link, transport = self.link, self._transport
        if link is None or transport is None or transport.is_closing():
            return
        if octets := link.outgoing():
            transport.write(octets)
        if link.is_closed:
            transport.close()
        elif transport.get_write_buffer_size() > SENDING_OCTETS_MAX:
            transport.abort()

    def abort(self) -> None:
        """Break the connection."""
        if self._transport is not None:
            self._transport.abort()


class BrokerServer:
    """A broker that listens."""

    def __init__(self) -> None:
        """Make it; needs the running event loop, whose time it goes by."""
        self.connections: dict[BrokerLink, _Connection] = {}
        self.broker = Broker(now_s=asyncio.get_running_loop().time, on_wake=self._wake)
        self._server: asyncio.Server | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def listen(self, host: str, port: int) -> int:
        """Take connections; gives the port.

        Raises:
            OSError: the address cannot be listened on.
        """
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), host, port)
        self._tick()
        bound: int = self._server.sockets[0].getsockname()[1]
        return bound

    def break_all(self) -> None:
        """Break every connection, as a broker does that is killed and comes back."""
        for connection in tuple(self.connections.values()):
            connection.abort()

    def close(self) -> None:
        """Take no more, and break what there is."""
        if self._server is not None:
            self._server.close()
        if self._timer is not None:
            self._timer.cancel()
        self.break_all()

    def _wake(self, link: BrokerLink) -> None:
        connection = self.connections.get(link)
        if connection is not None:
            connection.flush()

    def _tick(self) -> None:
        for link, connection in tuple(self.connections.items()):
            link.tick()
            connection.flush()
        self._timer = asyncio.get_running_loop().call_later(TICK_S, self._tick)


async def serve(
    host: str,
    port: int,
    *,
    on_ready: Callable[[int], None],
    stopped: asyncio.Event | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM.

    Args:
        host: to listen on.
        port: 0 for any free one.
        on_ready: called with the port.
        stopped: set from outside to stop; signals are left alone then.

    Raises:
        OSError: the address cannot be listened on.
    """
    if stopped is None:
        stopped = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    server = BrokerServer()
    try:
        on_ready(await server.listen(host, port))
        await stopped.wait()
    finally:
        server.close()
