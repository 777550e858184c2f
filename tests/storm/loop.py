"""An event loop on virtual time with a network of its own: one seed, one run.

Nothing here waits for the machine. When every task waits, time goes to the next timer. Connections
are pairs of transports in memory; what travels is delayed, cut into pieces, held up and torn off as
the given `Weather` says.
"""

import asyncio
import math
import random
from collections.abc import Callable
from typing import Any


class Stuck(Exception):  # noqa: N818 - the simulation itself is at an end
    """Every task waits, and no timer is set."""


class _Selector:
    """Selects nothing, and lets time pass."""

    def __init__(self, loop: "VirtualLoop") -> None:
        self._loop = loop

    def select(self, timeout: float | None) -> list[Any]:
        if timeout is None:
            raise Stuck
        self._loop.now_s += max(0.0, timeout)
        return []


class Weather:
    """What the network does to connections, drawn from a seed; quiet once `calm` is called."""

    def __init__(self, rng: random.Random, *, roughness: float) -> None:
        """Begin.

        Args:
            rng: the seed's.
            roughness: 0 for none, 1 for a storm.
        """
        self._rng = rng
        self._roughness = roughness
        self.counts: dict[str, int] = {}

    def calm(self) -> None:
        """Do nothing bad from now on."""
        self._roughness = 0.0

    def happens(self, what: str, probability: float) -> bool:
        """Tell whether something bad happens now."""
        if self._roughness and self._rng.random() < probability * self._roughness:
            self.counts[what] = self.counts.get(what, 0) + 1
            return True
        return False

    def delay_s(self) -> float:
        """Give how long octets travel."""
        if self.happens("delay", 0.02):
            return self._rng.uniform(0.5, 12.0)
        return self._rng.uniform(0.0005, 0.02)

    def pieces(self, data: bytes) -> list[bytes]:
        """Cut octets as a network may."""
        if len(data) < 2 or not self.happens("split", 0.1):
            return [data]
        at = self._rng.randrange(1, len(data))
        return [data[:at], data[at:]]

    def tears(self, data: bytes) -> bytes | None:
        """Give what of some octets still arrives before the connection is gone; None when all."""
        if not self.happens("reset", 0.01):
            return None
        return data[: self._rng.randrange(len(data) + 1)]


class _Socket:
    """Takes options, and does nothing with them."""

    def setsockopt(self, *_: Any) -> None:
        """Take one."""


class VirtualTransport(asyncio.Transport):
    """One end of a connection."""

    def __init__(self, loop: "VirtualLoop", protocol: Any, weather: Weather) -> None:
        super().__init__()
        self._loop = loop
        self._protocol = protocol
        self._weather = weather
        self._closing = False
        self._arrives_s = 0.0
        self.peer: VirtualTransport | None = None
        self.port: int | None = None
        self.is_lost = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Know nothing about the connection, save that its socket has options."""
        return _Socket() if name == "socket" else default

    def is_closing(self) -> bool:
        """Tell whether its end has begun."""
        return self._closing

    def pause_reading(self) -> None:
        """Nothing is ever full here."""

    def resume_reading(self) -> None:
        """Nothing is ever full here."""

    def write(self, data: Any) -> None:
        """Send octets on their way through the weather."""
        if self._closing or not data:
            return
        octets = bytes(data)
        if self.port is not None:
            self._loop.on_written(self.port, octets)
        torn = self._weather.tears(octets)
        for piece in self._weather.pieces(octets if torn is None else torn):
            at_s = self._loop.time() + self._weather.delay_s()
            self._arrives_s = max(math.nextafter(self._arrives_s, math.inf), at_s)  # in order
            self._loop.call_at(self._arrives_s, self._arrive, piece)
        if torn is not None:
            self._loop.call_at(math.nextafter(self._arrives_s, math.inf), self.abort)

    def _arrive(self, piece: bytes) -> None:
        peer = self.peer
        if peer is not None and not peer.is_lost and piece:
            peer._protocol.data_received(piece)

    def close(self) -> None:
        """End once what was written has arrived."""
        if not self._closing:
            self._closing = True
            at_s = max(self._arrives_s, self._loop.time())
            self._loop.call_at(math.nextafter(at_s, math.inf), self.abort)

    def abort(self) -> None:
        """End at once, for both."""
        for end in (self, self.peer):
            if end is not None and not end.is_lost:
                end.is_lost = end._closing = True
                self._loop.call_soon(end._protocol.connection_lost, None)


class _Task(asyncio.Task[Any]):
    """A task that sets hold in the same order every time: its hash is its number."""

    def __init__(self, coro: Any, *, loop: "VirtualLoop", **rest: Any) -> None:
        loop.tasks += 1
        self._number = loop.tasks
        super().__init__(coro, loop=loop, **rest)

    def __hash__(self) -> int:
        return self._number

    def __eq__(self, other: object) -> bool:
        return self is other


class VirtualLoop(asyncio.BaseEventLoop):
    """Runs tasks in virtual time."""

    def __init__(self, weather: Weather) -> None:
        super().__init__()
        self.now_s = 0.0
        self.weather = weather
        self.servers: dict[int, Callable[[], Any]] = {}
        self.on_written: Callable[[int, bytes], None] = lambda port, octets: None
        self._selector = _Selector(self)
        self.tasks = 0
        self.set_task_factory(lambda loop, coro, **rest: _Task(coro, loop=self, **rest))

    def time(self) -> float:
        """Give the virtual time."""
        return self.now_s

    def _process_events(self, event_list: Any) -> None:
        """Nothing comes from outside."""

    def _write_to_self(self) -> None:
        """No other thread wakes this loop."""

    async def create_connection(  # type: ignore[override]
        self, protocol_factory: Any, host: Any = None, port: Any = None, **kwargs: Any
    ) -> Any:
        """Connect to a server in memory."""
        await asyncio.sleep(self.weather.delay_s())
        make_peer = self.servers.get(port)
        if make_peer is None:
            raise ConnectionRefusedError(111, "nobody listens")
        ends = [
            VirtualTransport(self, make(), self.weather) for make in (protocol_factory, make_peer)
        ]
        ends[0].peer, ends[1].peer = ends[1], ends[0]
        ends[0].port = port
        for end in reversed(ends):
            end._protocol.connection_made(end)
        return ends[0], ends[0]._protocol
