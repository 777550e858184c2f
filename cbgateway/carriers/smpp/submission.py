"""A Submit on its way: who is still to be sent to, and what came of those who were."""

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cbgateway.carriers.smpp.batch import THROTTLING, Settled
from cbgateway.codec.smpp import status_name
from cbgateway.domain.orders import Reply, Submit, SubmitReport
from cbgateway.domain.outcomes import Outcome

PATIENCE_S = 3.0
"""How long a centre may refuse everything for want of room before the order comes back unsent;
longer than the intervals in which limiters count."""


@dataclass(frozen=True, slots=True)
class Slice:
    """Messages that left together.

    Attributes:
        submission: what they are part of.
        indexes: which of its recipients, in order.
        sent_at: when, in the loop's seconds.
    """

    submission: "Submission"
    indexes: Sequence[int]
    sent_at: float


class Submission:
    """One order for short messages, message by message.

    A message that the centre had no room for waits behind the others and goes out again: it was
    not taken. Any other refusal that may pass ends the order, with the rest unsent.

    Attributes:
        bulletin_id: of the order.
        recipients: of the order.
        in_flight: messages that were sent and not answered.
        has_sent: whether anything has left.
        parts: messages that the text was cut into.
    """

    def __init__(self, order: Submit | Reply, *, now: float, parts: int = 1) -> None:
        """Begin with nobody sent to."""
        self.bulletin_id = order.bulletin_id
        self.recipients = order.recipients
        self.in_flight = 0
        self.has_sent = False
        self._outcomes = bytearray([Outcome.UNSENT]) * len(self.recipients)
        self._refusals: dict[int, int] = {}
        self.parts = parts
        self._ids: list[bytes] = []
        self._next = 0
        self._again: deque[int] = deque()
        self._is_stopped = False
        self._patient_until = now + PATIENCE_S

    @property
    def waiting(self) -> int:
        """How many may be sent to now or later."""
        if self._is_stopped:
            return 0
        return len(self.recipients) - self._next + len(self._again)

    def take(self, count: int) -> Sequence[int]:
        """Take out the next recipients, at most `count`."""
        begin = self._next
        fresh = range(begin, min(begin + count, len(self.recipients)))
        self._next = fresh.stop
        self.in_flight += len(fresh)
        self.has_sent = True
        if fresh:
            return fresh
        again = [self._again.popleft() for _ in range(min(count, len(self._again)))]
        self.in_flight += len(again)
        return again

    def stop(self) -> None:
        """Send nothing more; what is in flight is waited for."""
        self._is_stopped = True

    def settle(self, indexes: Sequence[int], settled: Settled, *, now: float) -> None:
        """Note what came of messages that left together."""
        self.in_flight -= len(indexes)
        outcomes = settled.outcomes
        if Outcome.ACCEPTED in outcomes or Outcome.REFUSED in outcomes:
            self._patient_until = now + PATIENCE_S
        if isinstance(indexes, range):
            self._outcomes[indexes.start : indexes.stop] = outcomes
        else:
            for index, octet in zip(indexes, outcomes, strict=True):
                self._outcomes[index] = octet
                self._refusals.pop(index, None)
        if settled.ids:
            self._name(indexes, settled.ids)
        for at, status in settled.refusals.items():
            self._refusals[indexes[at]] = status
            if outcomes[at] == Outcome.UNSENT:
                if status not in THROTTLING:
                    self.stop()
                self._again.append(indexes[at])
        if now >= self._patient_until:
            self.stop()

    def settle_one(
        self, index: int, outcome: Outcome, status: int | None, ids: Sequence[bytes] = ()
    ) -> None:
        """Note what came of one message that was sent part by part."""
        if ids:
            self._name([index], [*ids, *[b""] * (self.parts - len(ids))])
        self.in_flight -= 1
        self._outcomes[index] = outcome
        if status is not None:
            self._refusals[index] = status
        if outcome is Outcome.UNSENT:
            self.stop()

    def report(self) -> SubmitReport:
        """Say what became of every recipient."""
        causes = Counter(self._refusals.values())
        named: Mapping[str, int] = {status_name(status): n for status, n in causes.items()}
        return SubmitReport(bytes(self._outcomes), named, self.parts, self._ids)

    def _name(self, indexes: Sequence[int], ids: Sequence[bytes]) -> None:
        """Remember what the centre calls the parts of some messages."""
        parts = self.parts
        if not self._ids:
            self._ids = [b""] * (parts * len(self.recipients))
        if isinstance(indexes, range):
            self._ids[indexes.start * parts : indexes.stop * parts] = ids
            return
        for at, index in enumerate(indexes):
            self._ids[index * parts : (index + 1) * parts] = ids[at * parts : (at + 1) * parts]
