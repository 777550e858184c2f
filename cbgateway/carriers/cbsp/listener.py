"""Sockets that controllers connect to: one for each address, shared by the links behind it."""

import asyncio
import ipaddress
from collections.abc import Callable

from loguru import logger

Factory = Callable[[], asyncio.BaseProtocol]

BACKLOG = 1_024
"""Controllers that come back together after an outage of ours wait here, not in a retry."""


def address_of(host: str) -> str:
    """Give an address in one form, an IPv4 address that came over IPv6 as what it is."""
    address = ipaddress.ip_address(host.partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)


class _Listener:
    """One address that is listened on."""

    def __init__(self) -> None:
        self.factories: dict[str, Factory] = {}
        self.server: asyncio.Server | None = None
        self.lock = asyncio.Lock()
        self._strangers: set[str] = set()

    def make(self) -> asyncio.BaseProtocol:
        """Give the protocol of a connection whose other end is not known yet."""
        return _Door(self)

    def is_new_stranger(self, source: str) -> bool:
        """Tell whether to say anything of somebody unknown; once for each, for so many."""
        if source in self._strangers or len(self._strangers) >= BACKLOG:
            return False
        self._strangers.add(source)
        return True


class _Door(asyncio.Protocol):
    """Looks at who connects, and hands the connection to the link that waits for it."""

    def __init__(self, listener: _Listener) -> None:
        self._listener = listener

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - create_server makes no other
        source = address_of(transport.get_extra_info("peername")[0])
        factory = self._listener.factories.get(source)
        if factory is None:
            if self._listener.is_new_stranger(source):
                logger.bind(source=source).warning("a stranger connected, and was refused")
            transport.abort()
            return
        protocol = factory()
        transport.set_protocol(protocol)
        protocol.connection_made(transport)


class Listeners:
    """All addresses that this gateway listens on for controllers."""

    def __init__(self) -> None:
        self._listeners: dict[tuple[str, int], _Listener] = {}

    async def serve(self, host: str, port: int, source: str, factory: Factory) -> None:
        """Have connections from one source made by `factory`, until cancelled.

        Args:
            host: address to listen on.
            port: where.
            source: address that the controller connects from; another one is refused.
            factory: makes the protocol of each connection.

        Raises:
            OSError: the address cannot be listened on.
        """
        listener = self._listeners.setdefault((host, port), _Listener())
        listener.factories[address_of(source)] = factory
        try:
            async with listener.lock:
                if listener.server is None:
                    loop = asyncio.get_running_loop()
                    listener.server = await loop.create_server(
                        listener.make, host, port, backlog=BACKLOG, reuse_address=True
                    )
            await asyncio.Event().wait()
        finally:
            del listener.factories[address_of(source)]
            if not listener.factories and listener.server is not None:
                listener.server.close()
                self._listeners.pop((host, port), None)
