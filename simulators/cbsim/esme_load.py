"""What a load generator plans to send, and what came of it; without sessions or a clock."""

import math
from array import array
from collections import Counter

from cbsim.esme_histogram import LogHistogram

BLOCK_MAX = 512
"""Messages written at a time: enough to be quick, few enough to keep their one time true."""
GRACE_S = 0.25
"""What a schedule holds at its end is sent so long after it; then it counts as unsent."""
PAUSE_MIN_S = 0.1
PAUSE_MAX_S = 5.0


class Tally:
    """What came of a load; all binds count into one.

    Attributes:
        refused: by command_status.
        unanswered: no answer came in time, or the connection went first.
        answered_late: an answer came after it had been given up.
        duplicates: further answers to what was answered.
        strays: answers to what was never asked.
        receipts: by state.
        delivered: deliver_sm that are no receipts.
        unreadable: PDUs that break the specification.
        late: messages that were sent later than their time.
        latest_s: how late the latest of them was.
        from_sent: microseconds from sending to answer.
        from_intended: microseconds from when it was to be sent to its answer.
    """

    def __init__(self) -> None:
        """Count from nothing."""
        self.sent = 0
        self.accepted = 0
        self.refused: Counter[int] = Counter()
        self.unanswered = 0
        self.answered_late = 0
        self.duplicates = 0
        self.strays = 0
        self.receipts: Counter[str] = Counter()
        self.delivered = 0
        self.unreadable = 0
        self.late = 0
        self.latest_s = 0.0
        self.from_sent = LogHistogram()
        self.from_intended = LogHistogram()


class Load:
    """How many messages are due when, in one order for all binds.

    With a rate the schedule is open: a message's time does not wait for earlier answers. Without
    one it is closed: whatever the windows have room for is due.
    """

    def __init__(
        self,
        *,
        count: int | None = None,
        seconds_s: float | None = None,
        rate: float | None = None,
        respects_throttling: bool = False,
    ) -> None:
        """Plan a load.

        Args:
            count: submit_sm to send; None for as many as the time allows.
            seconds_s: how long to send; None for as long as the count takes.
            rate: submit_sm a second; None for a closed loop.
            respects_throttling: wait when the message centre asks for it.
        """
        if count is None and seconds_s is None:
            raise ValueError("a load ends by count or by time; neither is given")
        if rate is not None and seconds_s is not None:
            planned = math.ceil(rate * seconds_s)
            count = planned if count is None else min(count, planned)
            seconds_s += GRACE_S
        self._count = count
        self._seconds_s = seconds_s
        self._rate = rate
        self._respects_throttling = respects_throttling
        self.started_s = 0.0
        self._is_stopped = False
        self._pause_s = 0.0
        self._paused_until_s = 0.0
        self.taken = 0

    @property
    def is_open(self) -> bool:
        """Tell whether messages have times of their own."""
        return self._rate is not None

    def start(self, now_s: float) -> None:
        """Let the first message be due now."""
        self.started_s = now_s

    def stop(self) -> None:
        """Let no further message be due."""
        self._is_stopped = True

    def due(self, now_s: float) -> int:
        """Give how many more messages may be sent now."""
        if self.is_finished(now_s) or now_s < self._paused_until_s:
            return 0
        due = BLOCK_MAX
        if self._rate is not None:
            due = int((now_s - self.started_s) * self._rate) + 1 - self.taken
        return due if self._count is None else min(due, self._count - self.taken)

    def next_due_s(self, now_s: float) -> float | None:
        """Give when the next message is due; None when no time makes one due, but an answer."""
        if self.is_finished(now_s):
            return None
        if self._rate is None:
            return self._paused_until_s if now_s < self._paused_until_s else None
        return max(self.started_s + self.taken / self._rate, self._paused_until_s)

    def is_finished(self, now_s: float) -> bool:
        """Tell whether nothing will be due any more."""
        if self._is_stopped or (self._count is not None and self.taken >= self._count):
            return True
        return self._seconds_s is not None and now_s >= self.started_s + self._seconds_s

    def take(self, count: int, now_s: float) -> "array[float]":
        """Take messages off the schedule; gives when each was to be sent."""
        first = self.taken
        self.taken += count
        if self._rate is None:
            return array("d", (now_s,)) * count
        begin_s, rate = self.started_s, self._rate
        return array("d", [begin_s + number / rate for number in range(first, first + count)])

    def span_s(self, ended_s: float) -> float:
        """Give the time that the load took, the last message's share of the schedule included."""
        span_s = max(ended_s - self.started_s, 0.0)
        return span_s if self._rate is None else max(span_s, self.taken / self._rate)

    def unsent(self) -> int:
        """Give how many messages the plan holds that were not sent."""
        is_by_time = self._rate is None and self._seconds_s is not None
        return 0 if self._count is None or is_by_time else self._count - self.taken

    def answered(self, throttled: int, accepted: int, now_s: float) -> None:
        """Learn what answers say: throttling doubles the pause, acceptance after it ends it."""
        if not self._respects_throttling or now_s < self._paused_until_s:
            return
        if throttled:
            self._pause_s = min(max(2 * self._pause_s, PAUSE_MIN_S), PAUSE_MAX_S)
            self._paused_until_s = now_s + self._pause_s
        elif accepted:
            self._pause_s /= 2
