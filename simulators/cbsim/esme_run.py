"""The asyncio shell of the load generator: connections, the clock, Ctrl-C."""

import asyncio
import contextlib
import signal
import ssl
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum, auto

from cbsim.esme import Bind, EsmeSession, State
from cbsim.esme_dialogue import Dialogue
from cbsim.esme_load import Load, Tally
from cbsim.esme_messages import Messages
from cbsim.esme_report import Report, progress_line

CONNECT_TIMEOUT_S = 10
CLOSE_TIMEOUT_S = 2
"""How long the last octets of a conversation may take to go out."""
TICK_MIN_S = 0.001
"""Messages that are due within a millisecond leave together; a finer timer costs more."""
TICK_MAX_S = 0.05
PROGRESS_S = 1.0
WRITE_HIGH_OCTETS = 262_144
"""No message is written while so much waits for the network."""
WRITE_OCTETS_MAX = 4_194_304
"""A peer that sends requests and takes no answers is left when so many wait."""
BINDS_MAX = 1_000
READ_OCTETS = 65_536


@dataclass(frozen=True, slots=True)
class Peer:
    """Where the message centre is.

    Attributes:
        tls: None for plain TCP.
    """

    host: str
    port: int
    tls: ssl.SSLContext | None = None


class Phase(IntEnum):
    """How far a run is."""

    BINDING = auto()
    LOADING = auto()
    DRAINING = auto()
    UNBINDING = auto()
    OVER = auto()


class LoadRun:
    """One load over some binds, from the first connection to the last unbind."""

    def __init__(
        self,
        peer: Peer,
        bind: Bind,
        load: Load,
        messages: Messages,
        *,
        binds: int = 1,
        wait_receipts_s: float = 0.0,
        on_progress: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Plan a run.

        Args:
            peer: whom to connect to.
            bind: how.
            load: how much and when.
            messages: what.
            binds: connections.
            wait_receipts_s: how long to wait for receipts behind the last answer.
            on_progress: called with a line each second.
        """
        if not 1 <= binds <= BINDS_MAX:
            raise ValueError(f"{binds} binds are not in 1..{BINDS_MAX}")
        self._peer = peer
        self._load = load
        self._messages = messages
        self._tally = Tally()
        self._connections = [_Connection(self, bind, load, self._tally) for _ in range(binds)]
        self._wait_receipts_s = wait_receipts_s
        self._on_progress = on_progress
        self._phase = Phase.BINDING
        self._ended_s = 0.0
        self._drained_s: float | None = None
        self._shown_s = 0.0
        self._is_interrupted = False
        self._turn = 0
        self._unsent = 0
        self._timer: asyncio.TimerHandle | None = None

    async def run(self) -> Report:
        """Connect, bind, send, drain, unbind; gives what came of it.

        Raises:
            OSError: a connection cannot be made.
            TimeoutError: it takes too long.
        """
        loop = asyncio.get_running_loop()
        self._loop = loop
        self._over: asyncio.Future[None] = loop.create_future()
        loop.add_signal_handler(signal.SIGINT, self.interrupt)
        try:
            for connection in self._connections:
                async with asyncio.timeout(CONNECT_TIMEOUT_S):
                    await loop.create_connection(
                        lambda connection=connection: connection,
                        self._peer.host,
                        self._peer.port,
                        ssl=self._peer.tls,
                    )
            self._tick()
            await self._over
        finally:
            loop.remove_signal_handler(signal.SIGINT)
            if self._timer is not None:
                self._timer.cancel()
            for connection in self._connections:
                connection.close()
        return self._report()

    def interrupt(self) -> None:
        """Stop sending and end in order; the second time, end at once."""
        if self._is_interrupted or self._phase is Phase.BINDING:
            for connection in self._connections:
                connection.session.lose("interrupted")
        self._is_interrupted = True
        self._load.stop()
        self.advance()

    def pump(self, connection: "_Connection") -> None:
        """Send what is due on a bind."""
        if self._phase is Phase.LOADING:
            while not connection.is_paused and connection.session.submit(
                self._messages, self._loop.time()
            ):
                connection.flush()
        connection.flush()

    def advance(self) -> None:
        """Go on to the next phase when this one has come to its end."""
        now_s = self._loop.time()
        sessions = [connection.session for connection in self._connections]
        if self._phase is Phase.BINDING:
            if any(one.state in {State.OPEN, State.BINDING} for one in sessions):
                return
            is_bound = all(one.state is State.BOUND for one in sessions)
            self._load.start(now_s)
            self._shown_s = self._ended_s = now_s
            self._phase = Phase.LOADING if is_bound else Phase.UNBINDING
            if is_bound:
                self._pump_all()
        if self._phase is Phase.LOADING:
            is_alive = any(one.state is State.BOUND for one in sessions)
            if is_alive and not self._load.is_finished(now_s):
                return
            self._unsent = self._load.unsent()
            self._phase = Phase.DRAINING
        if self._phase is Phase.DRAINING and self._is_drained(now_s, sessions):
            self._phase = Phase.UNBINDING
        if self._phase is Phase.UNBINDING:
            self._unbind_all(now_s)

    def _is_drained(self, now_s: float, sessions: list[EsmeSession]) -> bool:
        """Tell whether nothing is waited for any more: no answers, and no receipts."""
        if any(one.outstanding for one in sessions):
            return False
        if self._drained_s is None:
            self._drained_s = now_s
        is_late = now_s >= self._drained_s + self._wait_receipts_s
        is_told = self._tally.receipts.total() >= self._tally.accepted
        is_alive = any(one.state is State.BOUND for one in sessions)
        return is_late or is_told or self._is_interrupted or not is_alive

    def _unbind_all(self, now_s: float) -> None:
        for connection in self._connections:
            if connection.session.state is State.BINDING:
                connection.session.lose("another bind failed")
            connection.session.unbind(now_s)
            connection.flush()
        if all(one.session.state is State.CLOSED for one in self._connections):
            self._phase = Phase.OVER
            if not self._over.done():
                self._over.set_result(None)

    def _tick(self) -> None:
        now_s = self._loop.time()
        for connection in self._connections:
            connection.session.tick(now_s)
        self._pump_all()
        self.advance()
        if self._phase is Phase.OVER:
            return
        if self._phase > Phase.BINDING and now_s >= self._shown_s + PROGRESS_S:
            self._shown_s += PROGRESS_S
            waiting = sum(one.session.outstanding for one in self._connections)
            self._on_progress(
                progress_line(self._tally, self._load, outstanding=waiting, now_s=now_s)
            )
        next_s = now_s + TICK_MAX_S
        due_s = self._load.next_due_s(now_s) if self._phase is Phase.LOADING else None
        if due_s is not None:
            next_s = min(next_s, max(due_s, now_s + TICK_MIN_S))
        self._timer = self._loop.call_at(next_s, self._tick)

    def _pump_all(self) -> None:
        """Let another bind be the first each time, so that none is fed by what others leave."""
        self._turn = (self._turn + 1) % len(self._connections)
        for connection in self._connections[self._turn :] + self._connections[: self._turn]:
            self.pump(connection)

    def heard(self, connection: "_Connection", *, is_answer: bool) -> None:
        """Note when the last answer came; go on at once where no tick need be waited for.

        With a thousand binds not every answer may look at all of them.
        """
        now_s = self._loop.time()
        if is_answer:
            self._ended_s = now_s
        is_under_way = self._phase is Phase.LOADING and not self._load.is_finished(now_s)
        is_draining = self._phase is Phase.DRAINING and connection.session.outstanding > 0
        if not is_under_way and not is_draining:
            self.advance()

    def _report(self) -> Report:
        problems = Counter(one.session.problem for one in self._connections if one.session.problem)
        return Report(
            tally=self._tally,
            seconds_s=self._load.span_s(self._ended_s),
            unsent=self._unsent,
            is_open=self._load.is_open,
            problems=tuple(
                problem if binds == 1 else f"{problem} ({binds} binds)"
                for problem, binds in problems.items()
            ),
        )


class _Connection(asyncio.Protocol):
    """A bind's socket."""

    def __init__(self, run: LoadRun, bind: Bind, load: Load, tally: Tally) -> None:
        self.session = EsmeSession(bind, load, tally)
        self.is_paused = False
        self._run = run
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Bind."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - create_connection makes one
        self._transport = transport
        transport.set_write_buffer_limits(high=WRITE_HIGH_OCTETS)
        self.session.start(asyncio.get_running_loop().time())
        self.flush()

    def data_received(self, data: bytes) -> None:
        """Read answers, and send what they make room for."""
        before = self.session.outstanding
        self.session.receive(data, asyncio.get_running_loop().time())
        is_answer = self.session.outstanding != before
        self._run.pump(self)
        self._run.heard(self, is_answer=is_answer)

    def pause_writing(self) -> None:
        """Write no more messages."""
        self.is_paused = True

    def resume_writing(self) -> None:
        """Go on writing."""
        self.is_paused = False
        self._run.pump(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """End the session, if it has not ended itself."""
        self.session.lose(f"the connection was lost: {exc or 'closed by the message centre'}")
        self._run.advance()

    def flush(self) -> None:
        """Write what the session has to say; close behind its last word."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        octets = self.session.outgoing()
        if octets:
            transport.write(octets)
        if transport.get_write_buffer_size() > WRITE_OCTETS_MAX:
            self.session.lose("the message centre takes no octets")
            transport.abort()
        elif self.session.state is State.CLOSED:
            transport.close()

    def close(self) -> None:
        """Let go of the socket, whatever waits in it."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.abort()


async def run_script(peer: Peer, dialogue: Dialogue) -> None:
    """Hold a scripted conversation to its end.

    Raises:
        OSError: the connection cannot be made.
        TimeoutError: it takes too long.
    """
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(CONNECT_TIMEOUT_S):
        reader, writer = await asyncio.open_connection(peer.host, peer.port, ssl=peer.tls)
    try:
        dialogue.go_on(loop.time())
        is_gone = False
        while not dialogue.is_over:
            writer.write(dialogue.outgoing())
            octets = await _read_until(reader, writer, dialogue.wake_at_s(), is_gone=is_gone)
            if octets is None:
                dialogue.go_on(loop.time())
            elif octets:
                dialogue.receive(octets, loop.time())
            else:
                is_gone = True
                dialogue.closed(loop.time())
        writer.write(dialogue.outgoing())
    finally:
        writer.close()
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await writer.wait_closed()


async def _read_until(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    until_s: float | None,
    *,
    is_gone: bool,
) -> bytes | None:
    """Give what the peer says; nothing when it has closed, None when the time is over."""
    try:
        async with asyncio.timeout_at(until_s):
            if is_gone:
                await asyncio.Event().wait()  # for the time alone
            await writer.drain()
            return await reader.read(READ_OCTETS)
    except TimeoutError:
        return None
    except OSError:
        return b""
