"""Two lanes on one bind: bulletins, and the answers that leave in the room beside them.

An answer leaves while no bulletin has a message that could. What bulletins wait for is answered,
and the next window is committed, so there is room again and again; but what answers have in flight
is missing from the next window. So while a bulletin goes out, answers have a share of the window at
most.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from cbgateway.carriers.smpp.submission import Submission

ANSWER_SHARE = 4
"""Answers have a quarter of the window at most beside a bulletin."""
QUIET_S = 1.0
"""So long after a bulletin's last message its next window may still be on its way."""
ANSWER_POLL_S = 0.02
"""How soon an answer looks again whether there is room; no event tells that a bulletin has left."""


class Lanes:
    """What is on its way on one bind, by lane.

    Attributes:
        bulletin_at: when a bulletin last looked for room, in the loop's seconds.
    """

    def __init__(self, *, requests_max: int) -> None:
        """Begin with both empty.

        Args:
            requests_max: the window.
        """
        self.bulletin_at = float("-inf")
        self._requests_max = requests_max
        self._bulletins: set[Submission] = set()
        self._answers: set[Submission] = set()

    @property
    def is_busy(self) -> bool:
        """Tell whether a bulletin has a message that waits for room."""
        return any(one.waiting for one in self._bulletins)

    @contextmanager
    def holding(self, submission: Submission, *, is_answer: bool) -> Iterator[None]:
        """Have a lane know of what is sent in it."""
        lane = self._answers if is_answer else self._bulletins
        lane.add(submission)
        try:
            yield
        finally:
            lane.discard(submission)

    def room(self, parts: int, *, now: float) -> int:
        """Give how many requests answers may make now, as far as bulletins are concerned.

        Args:
            parts: requests of one answer; one answer at a time always has room.
            now: monotonic seconds.
        """
        if self.is_busy:
            return 0
        if now - self.bulletin_at > QUIET_S:
            return self._requests_max
        in_flight = sum(one.in_flight * one.parts for one in self._answers)
        return max(parts, self._requests_max // ANSWER_SHARE) - in_flight
