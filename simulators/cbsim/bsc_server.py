"""Controllers on sockets: one or a thousand in a process, connecting or listening, with faults."""

import asyncio
import heapq
import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from cbgateway.codec import cbsp
from cbsim.bsc import Controller
from cbsim.clock import SimulatedClock

RETRY_S = 5.0
"""How soon a controller connects again, as osmo-bsc does."""
IDLE_S = 0.5
MODES = (
    "silent",
    "slow",
    "lost_answer",
    "malformed",
    "reset",
    "duplicate",
    "wrong_reference",
    "stop_reading",
    "flood",
    "refuse",
)
FLOOD_MESSAGES = 20_000
HUGE_HEADER = b"\x02\xff\xff\xff"

OnEvent = Callable[[dict[str, Any]], None]


@dataclass(slots=True)
class Fault:
    """What a controller does wrong.

    Attributes:
        mode: one of `MODES`.
        every: with every n-th request that is no KEEP-ALIVE.
        delay_s: of a slow answer.
        cause: of a refusal.
        with_keep_alive: whether KEEP-ALIVE counts as well.
    """

    mode: str
    every: int = 1
    delay_s: float = 1.0
    cause: int = cbsp.Cause.UNSPECIFIED_ERROR
    with_keep_alive: bool = False
    _count: int = field(default=0)

    @classmethod
    def parse(cls, text: str) -> "Fault":
        """Read a fault: `silent`, `silent/3`, `slow=2.5`, `refuse=6`, or `silent+`.

        A number after a slash means every n-th request; a plus means KEEP-ALIVE as well.

        Raises:
            ValueError: it is none of these.
        """
        mode, _, every = text.partition("/")
        with_keep_alive = mode.endswith("+")
        mode, _, value = mode.removesuffix("+").partition("=")
        if mode not in MODES:
            msg = f"{mode!r} is no fault; known: {', '.join(MODES)}"
            raise ValueError(msg)
        fault = cls(mode, int(every or 1), with_keep_alive=with_keep_alive)
        if value and mode == "refuse":
            fault.cause = int(value, 0)
        elif value:
            fault.delay_s = float(value)
        if fault.every < 1 or fault.delay_s < 0:
            msg = f"{text!r}: every n-th begins with 1, and nothing comes before it is asked for"
            raise ValueError(msg)
        return fault

    def strikes(self, message: cbsp.Message) -> bool:
        """Tell whether this request meets the fault."""
        if isinstance(message, cbsp.KeepAlive) and not self.with_keep_alive:
            return False
        self._count += 1
        return self._count % self.every == 0


class ControllerSession(asyncio.Protocol):
    """One connection of a controller with a broadcast centre."""

    def __init__(self, host: "Host") -> None:
        """Make a session of a host's controller."""
        self.closed = asyncio.get_running_loop().create_future()
        self._host = host
        self._framer = cbsp.Framer()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say that the controller is there; a second centre is turned away."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - TCP has no other
        self._transport = transport
        if self._host.session is not None:
            transport.abort()
            return
        self._host.session = self
        self._host.tell("connected")
        if self._host.restart_with is not None:
            self.send(
                cbsp.Restart(cbsp.WHOLE_BSS, cbsp.BroadcastMessageType.CBS, self._host.restart_with)
            )

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the reason is not told
        """Forget the connection; what is on air stays there."""
        if self._host.session is self:
            self._host.session = None
            self._host.tell("disconnected")
        if not self.closed.done():
            self.closed.set_result(None)

    def data_received(self, data: bytes) -> None:
        """Answer what was asked."""
        for item in self._framer.receive(data):
            if isinstance(item, cbsp.Unparsed):
                self._host.tell("unreadable", detail=str(item.error))
                self.send(cbsp.ErrorIndication(item.error.cause))
                if item.error.framing_lost:
                    self.abort()
                continue
            self._on_request(item)

    def send(self, message: cbsp.Message) -> None:
        """Send a message, if there is anybody to send it to."""
        self.send_octets(cbsp.encode(message))

    def send_octets(self, octets: bytes) -> None:
        """Send octets as they are."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(octets)

    def abort(self) -> None:
        """Drop the connection."""
        if self._transport is not None:
            self._transport.abort()

    def _on_request(self, message: cbsp.Message) -> None:
        host = self._host
        host.note(message)
        fault = host.fault
        if fault is None or not fault.strikes(message):
            self._answer(host.answer(message))
            return
        host.tell("fault", detail=fault.mode)
        self._misbehave(fault, message)

    def _answer(self, answer: cbsp.Message | None) -> None:
        if answer is not None:
            self.send(answer)

    def _misbehave(self, fault: Fault, message: cbsp.Message) -> None:
        match fault.mode:
            case "silent":
                pass
            case "reset":
                self.abort()
            case "stop_reading":
                if self._transport is not None:
                    self._transport.pause_reading()
            case "refuse":
                self._answer(_refusal(message, fault.cause))
            case "flood":
                restart = cbsp.encode(cbsp.Restart(cbsp.WHOLE_BSS, 0))
                self.send_octets(restart * FLOOD_MESSAGES)
            case _:
                self._answer_badly(fault, self._host.answer(message))

    def _answer_badly(self, fault: Fault, answer: cbsp.Message | None) -> None:
        """Carry a request out, and answer it wrongly or not at all."""
        match fault.mode:
            case "slow":
                loop = asyncio.get_running_loop()
                loop.call_later(fault.delay_s, self._answer, answer)
            case "malformed":
                self.send_octets(HUGE_HEADER)
            case "duplicate":
                self._answer(answer)
                self._answer(answer)
            case "wrong_reference":
                self._answer(None if answer is None else _elsewhere(answer))
            case _:
                self._host.tell("lost", detail=type(answer).__name__)


class Host:
    """One controller with its place in the network.

    Attributes:
        session: with the broadcast centre; one at a time.
        fault: what it does wrong; None for nothing.
        restart_with: what it says of its memory to whoever connects; None for nothing.
        requests: how many of each type have come.
    """

    def __init__(
        self,
        controller: Controller,
        clock: SimulatedClock,
        on_event: OnEvent,
        *,
        fault: Fault | None = None,
        restart_with: cbsp.Recovery | None = cbsp.Recovery.DATA_LOST,
    ) -> None:
        """Make a host.

        Args:
            controller: with its cells.
            clock: for its channels.
            on_event: called with everything a tester wants to know.
            fault: what it does wrong.
            restart_with: what it says of its memory to whoever connects.
        """
        self.controller = controller
        self.session: ControllerSession | None = None
        self.fault = fault
        self.restart_with = restart_with
        self.requests: dict[str, int] = {}
        self.wake: Callable[[], None] = lambda: None
        self._clock = clock
        self._on_event = on_event

    def tell(self, event: str, **detail: Any) -> None:  # noqa: ANN401 - whatever JSON can say
        """Tell what happened."""
        self._on_event({"event": event, "controller": self.controller.name, **detail})

    def note(self, message: cbsp.Message) -> None:
        """Count a request, and tell of those that are no KEEP-ALIVE."""
        name = message.TYPE.name
        self.requests[name] = self.requests.get(name, 0) + 1
        if not isinstance(message, cbsp.KeepAlive):
            self.tell("request", type=name)

    def answer(self, message: cbsp.Message) -> cbsp.Message | None:
        """Have the controller carry out a request."""
        answer = self.controller.answer(message, now_s=self._clock.now_s())
        self.wake()
        return answer

    def restart(self, *, is_lost: bool) -> None:
        """End and begin again: the connection is gone, and what was on air if it is lost."""
        if is_lost:
            self.controller.lose_all()
        self.tell("restarted", is_lost=is_lost)
        if self.session is not None:
            self.session.abort()

    async def connect(
        self, host: str, port: int, source: str | None, *, retry_s: float = RETRY_S
    ) -> None:
        """Be the TCP client, as osmo-bsc can be; connect again and again until cancelled."""
        loop = asyncio.get_running_loop()
        local = None if source is None else (source, 0)
        while True:
            try:
                _, session = await loop.create_connection(
                    lambda: ControllerSession(self), host, port, local_addr=local
                )
                await asyncio.shield(session.closed)
            except OSError as error:
                self.tell("refused", detail=str(error))
            await asyncio.sleep(retry_s)

    async def listen(self, host: str, port: int) -> asyncio.Server:
        """Be the TCP server, as TS 48.049 has it.

        Raises:
            OSError: the address cannot be listened on.
        """
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: ControllerSession(self), host, port)
        bound = server.sockets[0].getsockname()
        self.tell("ready", host=bound[0], port=bound[1])
        return server


class Scheduler:
    """Has the channels of all controllers send their pages in time."""

    def __init__(self, hosts: Iterable[Host], clock: SimulatedClock) -> None:
        """Look after some controllers.

        Args:
            hosts: theirs.
            clock: for the channels.
        """
        self._clock = clock
        self._queue: list[tuple[float, int, Host]] = []
        self._queued: dict[int, float] = {}
        self._counter = itertools.count()
        self._changed = asyncio.Event()
        for host in hosts:
            host.wake = lambda host=host: self._enqueue(host)  # type: ignore[misc]

    async def run(self) -> None:
        """Send pages, until cancelled."""
        while True:
            self._changed.clear()
            now_s = self._clock.now_s()
            while self._queue and self._queue[0][0] <= now_s:
                _, _, host = heapq.heappop(self._queue)
                self._queued.pop(id(host), None)
                host.controller.tick(now_s=now_s)
                self._enqueue(host)
            wait_s = self._clock.real_s(self._queue[0][0] - now_s) if self._queue else IDLE_S
            try:
                async with asyncio.timeout(max(wait_s, 0.001)):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def _enqueue(self, host: Host) -> None:
        """Note when a controller has something to send; an entry that is too late is added to."""
        at = host.controller.next_tick()
        queued = self._queued.get(id(host))
        if at is None or (queued is not None and queued <= at):
            return
        self._queued[id(host)] = at
        heapq.heappush(self._queue, (at, next(self._counter), host))
        self._changed.set()


def _refusal(message: cbsp.Message, cause: int) -> cbsp.Message | None:
    """Give a FAILURE for every cell that was asked for."""
    cells: cbsp.CellList | None = getattr(message, "cells", None)
    failures = () if cells is None else tuple(cbsp.Failed(cell, cause) for cell in cells.cells)
    match message:
        case cbsp.WriteReplace():
            return cbsp.WriteReplaceFailure(
                message.message_identifier,
                message.new_serial_number,
                failures,
                message.old_serial_number,
                channel=message.channel,
            )
        case cbsp.Kill():
            return cbsp.KillFailure(
                message.message_identifier,
                message.old_serial_number,
                failures,
                channel=message.channel,
            )
        case cbsp.MessageStatusQuery():
            return cbsp.MessageStatusQueryFailure(
                message.message_identifier, message.old_serial_number, failures, message.channel
            )
        case _:
            return cbsp.ErrorIndication(cause)


def _elsewhere(answer: cbsp.Message) -> cbsp.Message:
    """Give an answer with another reference than it was asked for."""
    match answer:
        case cbsp.KillComplete() | cbsp.KillFailure():
            return cbsp.KillComplete(answer.message_identifier ^ 1, answer.old_serial_number)
        case cbsp.WriteReplaceComplete() | cbsp.WriteReplaceFailure():
            return cbsp.WriteReplaceComplete(
                answer.message_identifier ^ 1, answer.new_serial_number
            )
        case _:
            return cbsp.KillComplete(1, 1)
