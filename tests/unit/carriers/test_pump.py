"""The pump: octets and time to a session and back, on a loop whose clock the test turns."""

import asyncio
from typing import Any

import pytest

from cbgateway.carriers.pump import Pump


class Transport(asyncio.Transport):
    """Remembers what it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Any] = []
        self._is_closing = False

    def write(self, data: Any) -> None:
        """Remember octets."""
        self.calls.append(bytes(data))

    def close(self) -> None:
        """Remember the end."""
        self._is_closing = True
        self.calls.append("close")

    def abort(self) -> None:
        """Remember the sudden end."""
        self.calls.append("abort")

    def is_closing(self) -> bool:
        """Tell whether the end was asked for."""
        return self._is_closing

    def pause_reading(self) -> None:
        """Remember the pause."""
        self.calls.append("pause")

    def resume_reading(self) -> None:
        """Remember the end of the pause."""
        self.calls.append("resume")


class Echo:
    """A session that answers what it hears, and wants to be woken at once."""

    def __init__(self) -> None:
        self.out = b"hello"
        self.is_over = False
        self.ticks = 0
        self.wake_at: float | None = None

    def receive(self, octets: bytes, *, now: float) -> list[object]:
        """Say it again."""
        self.out = octets
        self.is_over = octets == b"bye"
        return [octets]

    def tick(self, *, now: float) -> list[object]:
        """Count."""
        self.ticks += 1
        self.wake_at = now if self.ticks < 3 else None
        return [self.ticks]

    def next_tick(self) -> float | None:
        """Give when to be woken."""
        return self.wake_at

    def outgoing(self) -> bytes:
        """Give what to send."""
        out, self.out = self.out, b""
        return out

    def is_closed(self) -> bool:
        """Tell whether it is over."""
        return self.is_over

    def lost(self) -> list[object]:
        """Learn of the end."""
        return ["lost"]


@pytest.mark.parametrize("ends_itself", [True, False])
def test_pump_carries_both_ways(ends_itself: bool) -> None:
    """Octets in and out, timers on time, the end told once."""
    events: list[object] = []
    transport = Transport()

    async def run() -> Echo:
        session = Echo()
        pump = Pump(session, events.append)
        pump.abort()
        pump.flush()
        pump.pause_writing()
        pump.resume_writing()
        pump.connection_made(transport)
        async with asyncio.timeout(5):
            while session.ticks < 3:
                await asyncio.wait([pump.closed], timeout=0.01)
        pump.data_received(b"echo")
        pump.pause_writing()
        pump.resume_writing()
        if ends_itself:
            pump.data_received(b"bye")
        else:
            pump.abort()
        session.wake_at = 0.0
        pump.flush()
        pump.connection_lost(None)
        pump.connection_lost(None)
        await pump.closed
        return session

    session = asyncio.run(run())

    assert session.ticks == 3
    assert transport.calls[:3] == [b"hello", b"echo", "resume"]
    assert transport.calls[3:5] == ([b"bye", "close"] if ends_itself else ["abort"])
    assert events[:4] == [1, 2, 3, b"echo"]
    assert events[-1] == "lost"


def test_peer_that_does_not_read_is_listened_to_until_answers_pile_up() -> None:
    """It may wait for us to take its answers; but 64 KiB of ours that wait for it are enough."""
    told: list[bool] = []
    transport = Transport()

    async def run() -> None:
        pump = Pump(Echo(), lambda event: None, lambda: told.append(pump.is_writable))
        pump.connection_made(transport)
        pump.pause_writing()
        pump.data_received(b"x" * 65_536)
        assert not pump.is_writable
        assert "pause" not in transport.calls
        pump.data_received(b"x")
        assert transport.calls[-1] == "pause"
        pump.resume_writing()
        pump.data_received(b"x" * 65_537)

    asyncio.run(run())

    assert told == [True]
    assert transport.calls.count("pause") == 1
    assert transport.calls.count("resume") == 1
