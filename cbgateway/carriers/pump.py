"""The asyncio shell of a session: octets, time and connection loss go in, octets come out."""

import asyncio
from collections.abc import Callable

from cbgateway.carriers.base import Session

ANSWERS_OCTETS_MAX = 65_536
"""Our answers that wait for a peer that does not read; beyond it, it is not listened to either."""


class Pump(asyncio.Protocol):
    """Runs one session over one connection.

    The loop's clock is the only clock; a session sees it as an argument. Requests are bounded by
    the session's window, and by callers that wait while `is_writable` is False. A peer that does
    not read for a moment is still listened to, since it may wait for us to take its answers; once
    many of our answers wait for it, it is not.

    Attributes:
        is_writable: False while the peer takes octets more slowly than they are made.
    """

    def __init__(
        self,
        session: Session,
        on_event: Callable[[object], None],
        on_writable: Callable[[], None] | None = None,
    ) -> None:
        """Make a pump.

        Args:
            session: just begun.
            on_event: called with everything the session tells, in order.
            on_writable: called when the peer has caught up.
        """
        loop = asyncio.get_running_loop()
        self.closed: asyncio.Future[None] = loop.create_future()
        self._loop = loop
        self._session = session
        self._on_event = on_event
        self._on_writable = on_writable
        self.is_writable = True
        self._waiting_octets = 0
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send what the session begins with."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - create_connection makes no other
        self._transport = transport
        self._step(self._session.tick(now=self._loop.time()))

    def data_received(self, data: bytes) -> None:
        """Hand octets to the session."""
        written = self._step(self._session.receive(data, now=self._loop.time()))
        if self.is_writable or self._transport is None:
            return
        self._waiting_octets += written
        if self._waiting_octets > ANSWERS_OCTETS_MAX:
            self._transport.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the session asks no reason
        """Tell the session that its peer is gone."""
        if self._timer is not None:
            self._timer.cancel()
        for event in self._session.lost():
            self._on_event(event)
        if not self.closed.done():
            self.closed.set_result(None)

    def pause_writing(self) -> None:
        """Note that the peer does not read as fast as we write."""
        self.is_writable = False

    def resume_writing(self) -> None:
        """Go on, and listen again in case we had stopped."""
        self.is_writable = True
        self._waiting_octets = 0
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()
        if self._on_writable is not None:
            self._on_writable()

    def flush(self) -> None:
        """Send what the session has ready; call it after giving the session something to do."""
        self._step([])

    def abort(self) -> None:
        """Drop the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    def _step(self, events: list[object]) -> int:
        """Tell what happened and send what is ready; gives how many octets."""
        for event in events:
            self._on_event(event)
        transport = self._transport
        if transport is None:
            return 0
        octets = self._session.outgoing()
        if octets:
            transport.write(octets)
        if self._session.is_closed():
            transport.close()
        self._schedule()
        return len(octets)

    def _schedule(self) -> None:
        at = self._session.next_tick()
        if self._timer is not None:
            if self._timer.when() == at and not self._timer.cancelled():
                return
            self._timer.cancel()
            self._timer = None
        if at is not None and self._transport is not None and not self._transport.is_closing():
            self._timer = self._loop.call_at(at, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self._step(self._session.tick(now=self._loop.time()))
