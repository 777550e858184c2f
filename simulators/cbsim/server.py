"""The asyncio shell of the message centre: sockets to sessions, and the clock to the engine."""

import asyncio
import contextlib
import signal
import socket
import ssl
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cbsim.centre import MessageCentre, OnEvent, Session
from cbsim.clock import SimulatedClock
from cbsim.session import SmscSession

CONNECTIONS_MAX = 1_000
IDLE_S = 0.5
"""The clock is looked at so often, whatever is due."""
SOONEST_S = 0.0005
LINGER_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER on, 0 s: close sends RST."""
SMALL_BUFFER_OCTETS = 1
"""The kernel makes it as small as it can."""
CONNECT_TIMEOUT_S = 10
PORT_DIGITS = 5
CLOSING_S = 2.0
"""What is left to send has so long to go when the simulator stops."""


Beside = Callable[["Shell", asyncio.Event], contextlib.AbstractAsyncContextManager[dict[str, Any]]]
"""Runs while a centre is served; gives what the event ``ready`` tells besides."""


@dataclass(frozen=True, slots=True)
class Listen:
    """Where the centre can be reached.

    Attributes:
        host: name or address, IPv6 as well; empty for every interface.
        port: 0 for any free one; the event ``ready`` names it.
        tls: None for plain TCP.
        outbind_to: ESMEs that the centre connects to, to ask them to bind.
    """

    host: str
    port: int
    tls: ssl.SSLContext | None = None
    outbind_to: tuple[tuple[str, int], ...] = ()


class Shell:
    """Owns the connections and the timer of one centre."""

    def __init__(self, centre: MessageCentre, clock: SimulatedClock, on_event: OnEvent) -> None:
        """Make a shell; `cbsim.server.serve` opens it."""
        self.centre = centre
        self.on_event = on_event
        self.connections: dict[Session, Connection] = {}
        self.is_empty = asyncio.Event()
        self.is_empty.set()
        self._clock = clock
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0

    def tick(self) -> None:
        """Do what is due, and send what that has made."""
        self._timer = None
        self.centre.tick(self._clock.now_s())
        self.flush()

    def flush(self) -> None:
        """Send what sessions have to send, and be called again when something is due."""
        for session in self.centre.take_ready():
            connection = self.connections.get(session)
            if connection is not None:
                connection.flush()
        self._wind_up()

    def _wind_up(self) -> None:
        """Set the timer for what is due next."""
        next_s = self.centre.next_tick()
        wait_s = IDLE_S if next_s is None else self._clock.real_s(next_s - self._clock.now_s())
        loop = asyncio.get_running_loop()
        at = loop.time() + min(max(wait_s, SOONEST_S), IDLE_S)
        if self._timer is not None:
            if self._timer_at <= at:
                return
            self._timer.cancel()
        self._timer_at = at
        self._timer = loop.call_at(at, self.tick)

    def stop(self) -> None:
        """Stop the timer, and close every connection."""
        if self._timer is not None:
            self._timer.cancel()
        for connection in tuple(self.connections.values()):
            connection.close()


class Connection(asyncio.Protocol):
    """One TCP connection and its session."""

    def __init__(self, shell: Shell, *, outbind: bool = False) -> None:
        """Make it for a connection that is about to come.

        Args:
            shell: it belongs to.
            outbind: whether the centre has connected, and asks the ESME to bind.
        """
        self._shell = shell
        self._outbind = outbind
        self._session: SmscSession | None = None
        self._transport: asyncio.Transport | None = None
        self._is_reading = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin a session, unless there are too many or the centre is down."""
        if not isinstance(transport, asyncio.Transport):  # asyncio gives a stream transport
            return
        shell = self._shell
        self._transport = transport
        now = shell.centre.now_s()
        if len(shell.connections) >= CONNECTIONS_MAX or now < shell.centre.down_until_s:
            self._abort()
            return
        session = self._session = SmscSession(shell.centre, shell.on_event)
        shell.connections[session] = self
        shell.is_empty.clear()
        session.accepted(now)
        if self._outbind:
            session.outbind("")
        if session.wants_small_buffer:
            connected = transport.get_extra_info("socket")
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER_OCTETS)
        self.flush()
        shell.flush()

    def data_received(self, data: bytes) -> None:
        """Hand octets to the session, and send what that makes."""
        if self._session is None:
            return
        self._session.receive(data)
        self.flush()
        self._shell.flush()

    def pause_writing(self) -> None:
        """Take nothing more from an ESME that does not read."""
        if self._session is not None:
            self._session.is_held_up = True
        self._read(wanted=False)

    def resume_writing(self) -> None:
        """Go on."""
        if self._session is None:
            return
        self._session.is_held_up = False
        self._read(wanted=not self._session.is_deaf)
        if self._session.esme is not None:
            self._session.esme.pump(self._shell.centre.now_s())
        self._shell.flush()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the session."""
        session = self._session
        if session is None:
            return
        if exc is not None:
            self._shell.on_event(
                {"event": "dropped", "session": session.number, "detail": str(exc)}
            )
        self._shell.connections.pop(session, None)
        if not self._shell.connections:
            self._shell.is_empty.set()
        session.lost()
        self._shell.flush()

    def flush(self) -> None:
        """Send what the session has to send, and do what it asks for."""
        session, transport = self._session, self._transport
        if session is None or transport is None or transport.is_closing():
            return
        octets = session.outgoing()
        if octets:
            transport.write(octets)
        if session.is_reset:
            self._abort()
        elif session.is_closed:
            transport.close()
        elif session.is_deaf:
            self._read(wanted=False)

    def close(self) -> None:
        """Close it, once all has been sent."""
        if self._transport is not None:
            self._transport.close()

    def _abort(self) -> None:
        """Close it with RST."""
        if self._transport is None:
            return
        connected = self._transport.get_extra_info("socket")
        with contextlib.suppress(OSError):
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RESET)
        self._transport.abort()

    def _read(self, *, wanted: bool) -> None:
        transport = self._transport
        if transport is None or wanted == self._is_reading or transport.is_closing():
            return
        self._is_reading = wanted
        if wanted:
            transport.resume_reading()
        else:
            transport.pause_reading()


async def serve(
    centre: MessageCentre,
    clock: SimulatedClock,
    *,
    listen: Listen,
    on_event: OnEvent,
    on_ready: Callable[[Shell], None] | None = None,
    stopped: asyncio.Event | None = None,
    beside: Beside | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM; SIGUSR1 makes one incoming message.

    Args:
        centre: what the connections share.
        clock: for everything that is due later.
        listen: where.
        on_event: called with everything a tester wants to know.
        on_ready: called once connections are taken.
        stopped: set from outside to stop; signals are left alone then.
        beside: runs as long; may set the event to stop.

    Raises:
        OSError: an address cannot be listened on.
    """
    shell = Shell(centre, clock, on_event)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: Connection(shell), listen.host or None, listen.port, ssl=listen.tls
    )
    if stopped is None:
        stopped = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stopped.set)
        loop.add_signal_handler(signal.SIGUSR1, _incoming, shell)
    bound = server.sockets[0].getsockname()
    asking: list[asyncio.Task[None]] = []
    try:
        async with contextlib.nullcontext({}) if beside is None else beside(shell, stopped) as more:
            on_event({"event": "ready", "host": bound[0], "port": bound[1], **more})
            if on_ready is not None:
                on_ready(shell)
            asking += [asyncio.create_task(_outbind(shell, *one)) for one in listen.outbind_to]
            shell.flush()
            await stopped.wait()
    finally:
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
        server.close()
        shell.stop()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSING_S):
                await shell.is_empty.wait()


def _incoming(shell: Shell) -> None:
    """Make one incoming message, as a person asked with a signal."""
    shell.centre.incoming(text=shell.centre.scenario.incoming.text)
    shell.flush()


async def _outbind(shell: Shell, host: str, port: int) -> None:
    """Connect to an ESME and ask it to bind."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            await loop.create_connection(lambda: Connection(shell, outbind=True), host, port)
    except (OSError, TimeoutError) as error:
        detail = str(error) or f"no connection within {CONNECT_TIMEOUT_S} s"
        shell.on_event({"event": "outbind_failed", "to": f"{host}:{port}", "detail": detail})


def make_tls(cert: str, key: str) -> ssl.SSLContext:
    """Make the TLS side of a server.

    Raises:
        OSError: a file cannot be read, or does not hold what it should.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(cert, key)
    return context


def endpoint(text: str, *, host: str | None = None) -> tuple[str, int]:
    """Read ``HOST:PORT``, with brackets around an IPv6 address.

    Args:
        text: what is read.
        host: where it names none; then a port of 0 stands for any free one. None requires both.

    Raises:
        ValueError: it is none.
    """
    named, colon, port = text.rpartition(":")
    named = named.removeprefix("[").removesuffix("]")
    is_port = port.isascii() and port.isdecimal() and len(port) <= PORT_DIGITS
    least = 1 if host is None else 0
    if (not named and (host is None or colon)) or not is_port or not least <= int(port) < 1 << 16:
        raise ValueError(f"{text!r} is not {'HOST:PORT' if host is None else '[HOST:]PORT'}")
    return named or host or "", int(port)
