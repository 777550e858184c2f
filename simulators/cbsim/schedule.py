"""What happens later: calls in order of their time, and of their making where times are equal."""

import heapq
import itertools
from collections.abc import Callable
from typing import Any


class Schedule:
    """Calls to be made when their time has come; whoever holds the clock makes them."""

    def __init__(self) -> None:
        """Begin with none."""
        self._heap: list[tuple[float, int, Callable[..., None], Any]] = []
        self._counter = itertools.count()

    def __len__(self) -> int:
        """Tell how many calls wait."""
        return len(self._heap)

    def at(self, due_s: float, call: Callable[[Any, float], None], argument: Any = None) -> None:  # noqa: ANN401 - whatever the call takes
        """Have ``call(argument, now)`` made once it is `due_s`."""
        heapq.heappush(self._heap, (due_s, next(self._counter), call, argument))

    def run(self, now_s: float) -> None:
        """Make the calls that are due; those that they add for the same time as well."""
        heap = self._heap
        while heap and heap[0][0] <= now_s:
            _, _, call, argument = heapq.heappop(heap)
            call(argument, now_s)

    def next_s(self) -> float | None:
        """Give when the next call is due; None when none waits."""
        return self._heap[0][0] if self._heap else None

    def clear(self) -> None:
        """Forget every call."""
        self._heap.clear()
