"""The deliver_sm of one session that wait for their answers: window, timeout, retry."""

from collections.abc import Callable
from struct import Struct

from cbgateway.codec import smpp
from cbsim import mangle
from cbsim.accounts import Esme, Queued
from cbsim.centre import MessageCentre
from cbsim.faults import Fault

HEADER_OCTETS = 16
SEQUENCE_MAX = 0x7FFFFFFF
_HEADER = Struct(">IIII")
_DELIVER_SM = int(smpp.CommandId.DELIVER_SM)
_RETRIED = frozenset({smpp.Status.ESME_RX_T_APPN, smpp.Status.ESME_RTHROTTLED})

Tell = Callable[..., None]


class Flight:
    """What one session has sent and not had answered."""

    def __init__(self, centre: MessageCentre, tell: Tell) -> None:
        """Begin with nothing.

        Args:
            centre: its rules and counters.
            tell: called with each thing a tester wants to know.
        """
        self.sent = 0
        self.esme: Esme | None = None
        self._centre = centre
        self._tell = tell
        self._next_number = 1
        self._waiting: dict[int, tuple[Queued, float]] = {}
        self._is_timed = False

    def __len__(self) -> int:
        """Tell how many wait."""
        return len(self._waiting)

    def take_number(self) -> int:
        """Give the next sequence number."""
        number = self._next_number
        self._next_number = number + 1 if number < SEQUENCE_MAX else 1
        return number

    def send(self, queued: Queued, now_s: float) -> bytes:
        """Give the octets of a deliver_sm; its answer is waited for from now on."""
        centre = self._centre
        number = self.take_number()
        body, sent = queued
        self._waiting[number] = ((body, sent + 1), now_s)
        centre.counters.delivers_sent += 1
        self.sent += 1
        if not self._is_timed:
            self._is_timed = True
            centre.schedule.at(now_s + centre.scenario.delivery.timeout_s, self._on_late)
        return _HEADER.pack(HEADER_OCTETS + len(body), _DELIVER_SM, 0, number) + body

    def on_answer(self, number: int, status: int, now: float) -> None:
        """Take the answer to a deliver_sm; one that is to be tried again is."""
        found = self._waiting.pop(number, None)
        if found is None:
            return
        counters = self._centre.counters
        counters.delivers_answered += 1
        if not status:
            return
        counters.delivers_refused += 1
        self._tell("deliver_refused", status=smpp.status_name(status))
        if status in _RETRIED:
            self._try_again(found[0], now + self._centre.scenario.delivery.retry_s)

    def lost(self, esme: Esme) -> None:
        """Let what was not answered wait for another session."""
        attempts = self._centre.scenario.delivery.attempts
        for (body, sent), _ in reversed(self._waiting.values()):
            if sent < attempts:
                esme.queue.appendleft((body, sent))
            else:
                self._centre.counters.delivers_unanswered += 1
        self._waiting.clear()

    def _try_again(self, queued: Queued, at_s: float) -> None:
        rules = self._centre.scenario.delivery
        if queued[1] >= rules.attempts or self.esme is None:
            self._centre.counters.delivers_unanswered += 1
            self._tell("deliver_given_up", attempts=queued[1])
        else:
            self._centre.schedule.at(at_s, _on_retry, (self.esme, queued))

    def _on_late(self, _: object, now: float) -> None:
        """Try those again that were not answered in time."""
        self._is_timed = False
        timeout_s = self._centre.scenario.delivery.timeout_s
        for number, (queued, sent_at_s) in tuple(self._waiting.items()):
            if now < sent_at_s + timeout_s:
                self._is_timed = True
                self._centre.schedule.at(sent_at_s + timeout_s, self._on_late)
                break
            del self._waiting[number]
            self._try_again(queued, now)
        if self.esme is not None:
            self.esme.pump(now)


def _on_retry(what: tuple[Esme, Queued], now: float) -> None:
    esme, queued = what
    esme.queue.appendleft(queued)
    esme.pump(now)


def misdelivered(fault: Fault, octets: bytes) -> bytes:
    """Give what a fault makes of a deliver_sm."""
    match fault.name:
        case "deliver-same-sequence":
            return mangle.with_sequence(octets, 1)
        case "deliver-cut":
            return octets[: len(octets) // 2]
        case "deliver-no-nul":
            return mangle.with_body(octets, b"A" * 6 + octets[HEADER_OCTETS + 1 :])
        case _:
            return octets[:4] + mangle.UNKNOWN_COMMAND.to_bytes(4, "big") + octets[8:]
