"""A clock that does not take the machine's word for it when the time jumps.

Wall time can be set forward by a wrong server or a wrong hand, and every bulletin would expire at
once. So wall time is compared with monotonic time. A small step is followed; a jump is told; after
a jump forward of more than a minute, time goes on as it went, until an operator confirms it.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from cbgateway.domain.ports import Clock

JUMP_S = 2.0
"""A larger difference to monotonic time is told."""
HOLD_S = 60.0
"""A larger jump forward is not followed before somebody confirms it."""


@dataclass(frozen=True, slots=True)
class Jump:
    """Wall time has moved against monotonic time.

    Attributes:
        by_s: seconds; negative when it went back.
        is_held: True when this clock does not follow.
    """

    by_s: float
    is_held: bool


class SteadyClock:
    """Implements `domain.ports.Clock`."""

    def __init__(self, clock: Clock) -> None:
        """Begin with what the machine says now."""
        self._clock = clock
        self._anchor = (clock.now(), clock.monotonic_s())
        self._held_s = 0.0

    def now(self) -> datetime:
        """Give the present, aware: as it was at the anchor, and as long as it has been since."""
        wall, at_s = self._anchor
        return wall + timedelta(seconds=self.monotonic_s() - at_s)

    def monotonic_s(self) -> float:
        """Give seconds that never jump."""
        return self._clock.monotonic_s()

    @property
    def is_holding(self) -> bool:
        """Tell whether a jump waits for somebody to confirm it."""
        return bool(self._held_s)

    def check(self) -> Jump | None:
        """Compare with the machine; gives a jump once."""
        by_s = (self._clock.now() - self.now()).total_seconds()
        if abs(by_s - self._held_s) <= JUMP_S:
            if not self._held_s:
                self._follow()
            return None
        self._held_s = by_s if by_s > HOLD_S else 0.0
        if not self._held_s:
            self._follow()
        return Jump(by_s, is_held=bool(self._held_s))

    def confirm(self) -> None:
        """Follow the machine from now on: somebody says that it is right."""
        self._held_s = 0.0
        self._follow()

    def _follow(self) -> None:
        self._anchor = (self._clock.now(), self.monotonic_s())
