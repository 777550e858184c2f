"""The asyncio shell of a session: octets, time and connection loss go in, octets come out."""

import asyncio
from collections.abc import Callable

from cbgateway.carriers.base import Session


class Pump(asyncio.Protocol):
    """Runs one session over one connection.

    The loop's clock is the only clock; a session sees it as an argument. Requests are bounded by
    the session's window; answers are bounded by not reading from a peer that does not read.
    """

    def __init__(self, session: Session, on_event: Callable[[object], None]) -> None:
        """Make a pump.

        Args:
            session: just begun.
            on_event: called with everything the session tells, in order.
        """
        loop = asyncio.get_running_loop()
        self.closed: asyncio.Future[None] = loop.create_future()
        self._loop = loop
        self._session = session
        self._on_event = on_event
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send what the session begins with."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - create_connection makes no other
        self._transport = transport
        self._step(self._session.tick(now=self._loop.time()))

    def data_received(self, data: bytes) -> None:
        """Hand octets to the session."""
        self._step(self._session.receive(data, now=self._loop.time()))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the session asks no reason
        """Tell the session that its peer is gone."""
        if self._timer is not None:
            self._timer.cancel()
        for event in self._session.lost():
            self._on_event(event)
        if not self.closed.done():
            self.closed.set_result(None)

    def pause_writing(self) -> None:
        """Stop listening to a peer that does not read: its answers would pile up here."""
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        """Listen again."""
        if self._transport is not None:
            self._transport.resume_reading()

    def flush(self) -> None:
        """Send what the session has ready; call it after giving the session something to do."""
        self._step([])

    def abort(self) -> None:
        """Drop the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    def _step(self, events: list[object]) -> None:
        for event in events:
            self._on_event(event)
        transport = self._transport
        if transport is None:
            return
        if octets := self._session.outgoing():
            transport.write(octets)
        if self._session.is_closed():
            transport.close()
        self._schedule()

    def _schedule(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        at = self._session.next_tick()
        if at is not None and self._transport is not None and not self._transport.is_closing():
            self._timer = self._loop.call_at(at, self._tick)

    def _tick(self) -> None:
        self._step(self._session.tick(now=self._loop.time()))
