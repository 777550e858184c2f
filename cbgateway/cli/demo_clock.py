"""A clock that shows the time of a story, which runs faster than the machine's."""

import time
from datetime import datetime, timedelta


class ScaledClock:
    """Shows the time of the story, which runs faster than the machine's, or stands still."""

    def __init__(self, *, speed: float, start: datetime) -> None:
        """Make a clock that stands at the story's beginning.

        Args:
            speed: seconds of the story in each second.
            start: of the story.
        """
        self._speed = speed
        self._start = start
        self._shown = start
        self._running_since_s: float | None = None

    def run(self) -> None:
        """Let the story's time run."""
        self._running_since_s = time.monotonic()

    def stand(self) -> None:
        """Let the story's time stand still."""
        self._shown = self.now()
        self._running_since_s = None

    def now(self) -> datetime:
        """Give the time of the story."""
        if self._running_since_s is None:
            return self._shown
        elapsed_s = (time.monotonic() - self._running_since_s) * self._speed
        return self._shown + timedelta(seconds=elapsed_s)

    def monotonic_s(self) -> float:
        """Give the seconds of the story so far."""
        return (self.now() - self._start).total_seconds()

    def real_s_until(self, at: datetime) -> float:
        """Give the seconds on the machine until a time of the story."""
        return max(0.0, (at - self.now()).total_seconds() / self._speed)


def machine_s() -> float:
    """Give the machine's own seconds, for measuring."""
    return time.monotonic()
