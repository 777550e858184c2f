"""How long to wait before the next attempt to connect: doubling, bounded, with jitter."""

from collections.abc import Callable


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

    def reset(self) -> None:
        """Start over: the last attempt succeeded."""
        self._bound_s = self._delay_min_s

    def next_s(self) -> float:
        """Give the next wait in seconds."""
        bound_s = self._bound_s
        self._bound_s = min(self._delay_max_s, bound_s * 2)
        return bound_s * (1 + self._random()) / 2
