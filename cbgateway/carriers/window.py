"""Requests in flight: a bounded store by sequence number, each with the time by which it is due."""

from typing import Generic, TypeVar

T = TypeVar("T")


class Window(Generic[T]):
    """What was asked and not answered yet.

    Requests are due in the order in which they were sent, since every request of one window has
    the same timeout.
    """

    def __init__(self, *, requests_max: int, timeout_s: float) -> None:
        self.requests_max = requests_max
        self.timeout_s = timeout_s
        self._requests: dict[int, tuple[float, T]] = {}

    def __len__(self) -> int:
        """Give how many requests are in flight."""
        return len(self._requests)

    def is_full(self) -> bool:
        """Tell whether the next request has to wait."""
        return len(self._requests) >= self.requests_max

    def add(self, sequence_number: int, request: T, *, now: float) -> None:
        """Note that a request was sent.

        Raises:
            ValueError: its sequence number is in flight already.
        """
        if sequence_number in self._requests:
            msg = f"sequence number {sequence_number} is in flight"
            raise ValueError(msg)
        self._requests[sequence_number] = (now + self.timeout_s, request)

    def pop(self, sequence_number: int) -> T | None:
        """Take out the request that an answer belongs to; None when there is none."""
        entry = self._requests.pop(sequence_number, None)
        return None if entry is None else entry[1]

    def next_due(self) -> float | None:
        """Give when the oldest request is due."""
        for due, _ in self._requests.values():
            return due
        return None

    def pop_due(self, *, now: float) -> list[T]:
        """Take out what was not answered in time."""
        due = [number for number, (at, _) in self._requests.items() if at <= now]
        return [self._requests.pop(number)[1] for number in due]

    def pop_all(self) -> list[T]:
        """Take out everything: the association is gone."""
        requests = [request for _, request in self._requests.values()]
        self._requests.clear()
        return requests
