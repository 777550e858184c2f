"""When to connect again: doubling waits, bounded, with jitter, and never twice within a second.

A centre that takes a bind and drops it is not well, so that a bind alone starts nothing over: only
one that has stayed up for a while does.
"""

import math
from collections.abc import Callable

CONNECT_INTERVAL_S = 1.0
"""No centre is connected to more often, by however many binds: those of others share its ports."""
STEADY_S = 5.0
"""A bind that stood so long was one: a bulletin leaves well within it, and a centre that drops
binds after that still costs no more than a connect in six seconds."""


class Turnstile:
    """Lets attempts to connect through one by one; shared by the binds to one centre."""

    def __init__(self) -> None:
        """Begin with nobody let through."""
        self._open_at = -math.inf

    def wait_s(self, *, now: float) -> float:
        """Give how long the next attempt has to wait; its turn is taken with that."""
        at = max(now, self._open_at)
        self._open_at = at + CONNECT_INTERVAL_S
        return at - now

    def passed(self, *, now: float) -> None:
        """Note that somebody is connected: the centre counts from there, however long it took."""
        self._open_at = max(self._open_at, now + CONNECT_INTERVAL_S)


class Backoff:
    """Waits between attempts, each drawn between half and all of a doubling bound."""

    def __init__(
        self, *, delay_min_s: float, delay_max_s: float, random: Callable[[], float]
    ) -> None:
        """Make a sequence of waits.

        Args:
            delay_min_s: bound of the first wait.
            delay_max_s: no wait is longer.
            random: gives numbers from 0 up to 1.
        """
        self._delay_min_s = delay_min_s
        self._delay_max_s = delay_max_s
        self._random = random
        self._bound_s = delay_min_s
        self._up_since: float | None = None

    def went_up(self, *, now: float) -> None:
        """Note that an attempt has succeeded, for now."""
        self._up_since = now

    def next_s(self, *, now: float) -> float:
        """Give the next wait in seconds; waits start over after what stayed up for a while."""
        if self._up_since is not None and now - self._up_since >= STEADY_S:
            self._bound_s = self._delay_min_s
        self._up_since = None
        bound_s = self._bound_s
        self._bound_s = min(self._delay_max_s, bound_s * 2)
        return bound_s * (1 + self._random()) / 2
