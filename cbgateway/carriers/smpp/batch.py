"""A range of submit_sm in flight: their answers by sequence number, one octet each.

An answer settles a part; what became of a message follows from its parts once the range is over.
A range that is over is remembered for a while, so that what comes late is not taken for a stray.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cbgateway.codec.smpp import RETRYABLE, Status
from cbgateway.domain.outcomes import Outcome

LATE_NUMBERS_MAX = 10_000
"""Sequence numbers after which an answer is no longer known; so many does a slow centre hold."""
THROTTLING = frozenset({Status.ESME_RTHROTTLED, Status.ESME_RMSGQFUL})
"""Refusals that say: slower."""

_WAITING = 0xFF
_UNANSWERED = bytes.maketrans(bytes([_WAITING]), bytes([Outcome.IN_DOUBT]))


@dataclass(frozen=True, slots=True)
class Settled:
    """All of a range was answered, or nothing more is waited for.

    Attributes:
        token: what the range was sent with.
        outcomes: one octet per message: UNSENT, ACCEPTED, REFUSED or IN_DOUBT.
        refusals: why, by message, where a refusal decided.
        accepted: parts that the centre took, or refused for reasons of their own.
        throttled: parts that it had no room for.
        ids: what the centre calls each part, empty where it took none; None when nobody asked.
    """

    token: Any
    outcomes: bytes
    refusals: dict[int, int]
    accepted: int
    throttled: int
    ids: list[bytes] | None = None


@dataclass(frozen=True, slots=True)
class Late:
    """A message was answered after it was given up, and its outcome is known after all.

    Attributes:
        token: what the range was sent with.
        index: which of its messages.
        outcome: what became of it.
    """

    token: Any
    index: int
    outcome: Outcome


class Batch:
    """One range."""

    __slots__ = ("_ids", "_open", "_refusals", "_statuses", "due", "first", "parts", "token")

    def __init__(
        self,
        first: int,
        messages: int,
        parts: int,
        *,
        token: object,
        due: float,
        with_ids: bool = False,
    ) -> None:
        """Begin to wait.

        Args:
            first: sequence number of the first message's first part.
            messages: how many.
            parts: PDUs of each.
            token: goes into the event.
            due: when nothing more is waited for.
            with_ids: whether to remember what the centre calls them, for its receipts.
        """
        self.first = first
        self.parts = parts
        self.token = token
        self.due = due
        self._statuses = bytearray([_WAITING]) * (messages * parts)
        self._refusals: dict[int, int] = {}
        self._open = len(self._statuses)
        self._ids: list[bytes] | None = [b""] * self._open if with_ids else None

    @property
    def has_ids(self) -> bool:
        """Tell whether somebody wants to know what the centre calls the parts."""
        return self._ids is not None

    def __len__(self) -> int:
        """Give how many parts the range has."""
        return len(self._statuses)

    @property
    def waiting(self) -> int:
        """Give how many parts are not answered."""
        return self._open

    def take(self, index: int, statuses: Sequence[int], ids: Sequence[bytes] = ()) -> None:
        """Note the answers to parts one after another; a second answer to a part says nothing."""
        count = len(statuses)
        end = index + count
        if not any(statuses) and self._statuses[index:end].count(_WAITING) == count:
            self._statuses[index:end] = bytes([Outcome.ACCEPTED]) * count
            self._open -= count
            if self._ids is not None and ids:
                self._ids[index:end] = ids
            return
        if self._ids is not None and ids:
            for at, message_id in enumerate(ids, start=index):
                self._ids[at] = self._ids[at] or message_id
        for at, status in enumerate(statuses, start=index):
            if self._statuses[at] == _WAITING:
                self._open -= 1
                self._statuses[at] = _outcome(status)
                if status:
                    self._refusals[at] = status

    def give_up(self, index: int) -> None:
        """Note that an answer came that cannot be read."""
        if self._statuses[index] == _WAITING:
            self._open -= 1
            self._statuses[index] = Outcome.IN_DOUBT

    def is_answered(self, index: int) -> bool:
        """Tell whether a part was answered before."""
        return self._statuses[index] not in {_WAITING, Outcome.IN_DOUBT}

    def settled(self) -> Settled:
        """Say what became of every message."""
        octets = bytes(self._statuses).translate(_UNANSWERED)
        throttled = sum(status in THROTTLING for status in self._refusals.values())
        counted = len(octets) - octets.count(Outcome.IN_DOUBT) - throttled
        refusals = self._refusals
        if self.parts > 1:
            if octets.count(Outcome.ACCEPTED) == len(octets):
                octets = octets[:: self.parts]
            else:
                octets, refusals = self._joined(octets)
        return Settled(self.token, octets, refusals, counted, throttled, self._ids)

    def outcome_of(self, message: int) -> Outcome:
        """Say what became of one message."""
        octets = bytes(self._statuses).translate(_UNANSWERED)
        begin = message * self.parts
        return _of_parts(octets[begin : begin + self.parts])[0]

    def _joined(self, octets: bytes) -> tuple[bytes, dict[int, int]]:
        outcomes = bytearray()
        refusals: dict[int, int] = {}
        for message, begin in enumerate(range(0, len(octets), self.parts)):
            outcome, part = _of_parts(octets[begin : begin + self.parts])
            outcomes.append(outcome)
            if begin + part in self._refusals:
                refusals[message] = self._refusals[begin + part]
        return bytes(outcomes), refusals


class Batches:
    """The ranges in flight, oldest first, and those that are over since not long ago."""

    def __init__(self) -> None:
        """Begin with none."""
        self._open: deque[Batch] = deque()
        self._over: deque[Batch] = deque()
        self._over_numbers = 0
        self.waiting = 0

    def add(self, batch: Batch) -> None:
        """Note that a range was sent."""
        self._open.append(batch)
        self.waiting += len(batch)

    def find(self, number: int) -> Batch | None:
        """Find the range in flight that a sequence number belongs to."""
        return _find(self._open, number)

    def find_over(self, number: int) -> Batch | None:
        """Find the range that is over that a sequence number belongs to."""
        return _find(self._over, number)

    def take(
        self, batch: Batch, index: int, statuses: Sequence[int], ids: Sequence[bytes] = ()
    ) -> list[Settled]:
        """Note answers; gives the range's event if they were its last."""
        before = batch.waiting
        batch.take(index, statuses, ids)
        self.waiting -= before - batch.waiting
        return self._end_if_over(batch)

    def give_up(self, batch: Batch, index: int) -> list[Settled]:
        """Note an answer that cannot be read; gives the range's event if it was its last."""
        before = batch.waiting
        batch.give_up(index)
        self.waiting -= before - batch.waiting
        return self._end_if_over(batch)

    def next_due(self) -> float | None:
        """Give when the oldest range is due."""
        return self._open[0].due if self._open else None

    def pop_due(self, *, now: float) -> list[Settled]:
        """End the ranges that were not answered in time."""
        return [self._end(batch) for batch in list(self._open) if batch.due <= now]

    def pop_all(self) -> list[Settled]:
        """End all: the connection is gone, and late answers with it."""
        events = [self._end(batch) for batch in list(self._open)]
        self._over.clear()
        return events

    def late(self, batch: Batch, number: int, status: int) -> list[Late]:
        """Note an answer to a range that is over; a second answer to a part says nothing."""
        index = number - batch.first
        message = index // batch.parts
        if batch.is_answered(index) or batch.outcome_of(message) is not Outcome.IN_DOUBT:
            return []
        batch.take(index, [status])
        outcome = batch.outcome_of(message)
        return [] if outcome is Outcome.IN_DOUBT else [Late(batch.token, message, outcome)]

    def _end_if_over(self, batch: Batch) -> list[Settled]:
        return [] if batch.waiting else [self._end(batch)]

    def _end(self, batch: Batch) -> Settled:
        self.waiting -= batch.waiting
        if self._open[0] is batch:
            self._open.popleft()
        else:
            self._open.remove(batch)
        self._over.append(batch)
        self._over_numbers += len(batch)
        while self._over_numbers - len(self._over[0]) >= LATE_NUMBERS_MAX:
            self._over_numbers -= len(self._over.popleft())
        return batch.settled()


def _find(batches: deque[Batch], number: int) -> Batch | None:
    for batch in batches:
        if batch.first <= number < batch.first + len(batch):
            return batch
    return None


def _outcome(status: int) -> Outcome:
    if status == Status.ESME_ROK:
        return Outcome.ACCEPTED
    return Outcome.UNSENT if status in RETRYABLE else Outcome.REFUSED


def _of_parts(octets: bytes) -> tuple[Outcome, int]:
    """Say what became of a message, and which of its parts decided.

    A message without its first part is none: phones wait for it. Once that was accepted, what was
    put off, or not answered, leaves a message that may be shown in part.
    """
    for part, octet in enumerate(octets):
        if octet != Outcome.ACCEPTED:
            is_put_off = part > 0 and octet == Outcome.UNSENT
            return Outcome.IN_DOUBT if is_put_off else Outcome(octet), part
    return Outcome.ACCEPTED, 0
