"""The simulators' clock: starts when it is told to, runs as fast as it is told to."""

import time
from datetime import datetime


class SimulatedClock:
    """Wall time that need not be the machine's."""

    def __init__(self, *, start: datetime | None, speed: float) -> None:
        """Start the clock.

        Args:
            start: what it shows first, aware; None for the machine's time.
            speed: seconds it advances in each second.
        """
        self._started_s = time.monotonic()
        self._start_s = time.time() if start is None else start.timestamp()
        self._speed = speed

    def now_s(self) -> float:
        """Give seconds since the epoch."""
        return self._start_s + (time.monotonic() - self._started_s) * self._speed

    def real_s(self, simulated_s: float) -> float:
        """Give how many real seconds a span takes."""
        return simulated_s / self._speed
