"""A load generator's side of an SMPP session, without its socket (SMPP 5.0 chapter 2).

`EsmeSession` is one bind: octets in, octets out, time as an argument; the schedule that all binds
share, and what came of it, is in `cbsim.esme_load`. The way of a message makes no objects: octets
come from `cbsim.esme_messages`, times stand in arrays indexed by sequence number, and answers are
read by their headers alone.
"""

import re
from array import array
from collections import Counter
from dataclasses import dataclass, field
from enum import Enum
from struct import Struct

from cbgateway.codec import smpp
from cbsim.esme_load import BLOCK_MAX, Load, Tally
from cbsim.esme_messages import HEADER_OCTETS, Messages

RING_MIN = 4_096
RING_FACTOR = 4
"""Places for each one in the window, so that an unanswered one is rarely in the way."""
WINDOW_MAX = 100_000
LATE_S = 0.010
"""A message sent so long after its time counts as late; shorter is the timer's grain."""
PDU_OCTETS_MAX = 70_000
"""As the codec's: a longer PDU is not waited for."""

_FREE, _WAITING, _ANSWERED, _EXPIRED = range(4)
_HEADER = Struct(">IIII")
_SUBMIT_SM_RESP = int(smpp.CommandId.SUBMIT_SM_RESP)
_THROTTLED = frozenset({smpp.Status.ESME_RTHROTTLED, smpp.Status.ESME_RMSGQFUL})
_SEQUENCE_NUMBER_MAX = 0x7FFFFFFF
_RECEIPT_TYPE = 0x3C
_RECEIPT = 0x04
_STAT = re.compile(rb"\bstat:([A-Z]{1,10})", re.IGNORECASE)
_STATES = {
    "DELIVRD": "DELIVERED",
    "UNDELIV": "UNDELIVERABLE",
    "ACCEPTD": "ACCEPTED",
}
"""Receipts shorten some names of message_state to seven characters (SMPP 3.4 appendix B)."""


class Mode(Enum):
    """How an ESME binds."""

    TRANSCEIVER = "transceiver"
    TRANSMITTER = "transmitter"
    RECEIVER = "receiver"


BIND_BODIES = {
    Mode.TRANSCEIVER: smpp.BindTransceiver,
    Mode.TRANSMITTER: smpp.BindTransmitter,
    Mode.RECEIVER: smpp.BindReceiver,
}


@dataclass(frozen=True, slots=True)
class Bind:
    """How each session binds and waits.

    Attributes:
        window: requests that may wait for their answers.
        response_timeout_s: after which one counts as unanswered.
        enquire_link_s: silence after which the peer is asked whether it lives.
    """

    system_id: str
    password: str = field(repr=False)
    system_type: str = ""
    version: int = 0x34
    mode: Mode = Mode.TRANSCEIVER
    window: int = 100
    response_timeout_s: float = 10.0
    enquire_link_s: float = 30.0

    def body(self) -> smpp.Body:
        """Give the request that binds."""
        return BIND_BODIES[self.mode](
            system_id=self.system_id,
            password=self.password,
            system_type=self.system_type,
            interface_version=self.version,
        )


class State(Enum):
    """Where a session is."""

    OPEN = "open"
    BINDING = "binding"
    BOUND = "bound"
    UNBINDING = "unbinding"
    CLOSED = "closed"


class EsmeSession:
    """One bind: sends messages within its window, answers what the message centre asks.

    Attributes:
        outstanding: messages that wait for their answers.
        problem: why the session ended before its time; empty when it did not.
        peer_version: sc_interface_version of the message centre; None when it names none.
    """

    def __init__(self, bind: Bind, load: Load, tally: Tally) -> None:
        """Make a session for a connection that has just been made."""
        if not 1 <= bind.window <= WINDOW_MAX:
            raise ValueError(f"a window of {bind.window} is not in 1..{WINDOW_MAX}")
        self.state = State.OPEN
        self.outstanding = 0
        self.problem = ""
        self.peer_version: int | None = None
        self._bind = bind
        self._load = load
        self._tally = tally
        size = max(RING_MIN, 1 << (bind.window * RING_FACTOR).bit_length())
        self._mask = size - 1
        self._marks = bytearray(size)
        self._numbers = array("I", bytes(4 * size))
        self._sent_s = array("d", bytes(8 * size))
        self._intended_s = array("d", bytes(8 * size))
        self._next_number = 1
        self._controls: dict[int, tuple[smpp.Body, float]] = {}
        self._out: list[bytes] = []
        self._rest = b""
        self._heard_s = 0.0
        self._expires_at_s: float | None = None

    # The way out.

    def start(self, now_s: float) -> None:
        """Ask to be bound, unless the session was ended before its connection was made."""
        if self.state is not State.OPEN:
            return
        self._heard_s = now_s
        self.state = State.BINDING
        self._ask(self._bind.body(), now_s)

    def submit(self, messages: Messages, now_s: float) -> int:
        """Send what is due, as far as the window goes, a block at most; gives how many."""
        if self.state is not State.BOUND:
            return 0
        count = min(self._bind.window - self.outstanding, self._load.due(now_s), BLOCK_MAX)
        if count <= 0:
            return 0
        first, count = self._free_numbers(count)
        begin = first & self._mask
        end = begin + count
        intended_s = self._load.take(count, now_s)
        self._out.append(messages.take(first, count))
        self._marks[begin:end] = bytes((_WAITING,)) * count
        self._numbers[begin:end] = array("I", range(first, first + count))
        self._sent_s[begin:end] = array("d", (now_s,)) * count
        self._intended_s[begin:end] = intended_s
        self._next_number = first % _SEQUENCE_NUMBER_MAX + count
        if self._next_number > _SEQUENCE_NUMBER_MAX:
            self._next_number = 1
        self.outstanding += count
        self._tally.sent += count
        if self._load.is_open and now_s - intended_s[0] > LATE_S:
            self._tally.latest_s = max(self._tally.latest_s, now_s - intended_s[0])
            self._tally.late += sum(now_s - at_s > LATE_S for at_s in intended_s)
        if self._expires_at_s is None:
            self._expires_at_s = now_s + self._bind.response_timeout_s
        return count

    def unbind(self, now_s: float) -> None:
        """Ask to be let go; for when nothing is outstanding any more."""
        if self.state is State.BOUND:
            self.state = State.UNBINDING
            self._ask(smpp.Unbind(), now_s)

    def outgoing(self) -> bytes:
        """Give the octets to send now, each once."""
        octets = b"".join(self._out)
        self._out.clear()
        return octets

    def _free_numbers(self, count: int) -> tuple[int, int]:
        """Find consecutive sequence numbers whose places in the ring are side by side and free.

        An unanswered message keeps its place until its time is over; its place is passed over.
        There is always a free one, as the ring has more places than the window.
        """
        number = self._next_number
        while self._marks[number & self._mask] == _WAITING:
            number = number % _SEQUENCE_NUMBER_MAX + 1
        begin = number & self._mask
        count = min(count, self._mask + 1 - begin, _SEQUENCE_NUMBER_MAX - number + 1)
        taken = self._marks.find(_WAITING, begin, begin + count)
        return number, count if taken < 0 else taken - begin

    def _ask(self, body: smpp.Body, now_s: float) -> None:
        number, _ = self._free_numbers(1)
        self._next_number = number % _SEQUENCE_NUMBER_MAX + 1
        self._controls[number] = (body, now_s + self._bind.response_timeout_s)
        self._out.append(smpp.encode(smpp.Pdu(body, number)))

    # The way in.

    def receive(self, octets: bytes, now_s: float) -> None:
        """Take octets from the message centre.

        Answers to messages are read by their headers, all that came in one go at one time.
        """
        self._heard_s = now_s
        buffer = self._rest + octets if self._rest else octets
        at, end = 0, len(buffer)
        slots: list[int] = []
        statuses: list[int] = []
        marks, numbers, mask = self._marks, self._numbers, self._mask
        while end - at >= HEADER_OCTETS and self.state is not State.CLOSED:
            length, command, status, number = _HEADER.unpack_from(buffer, at)
            if not HEADER_OCTETS <= length <= PDU_OCTETS_MAX:
                self._settle(slots, statuses, now_s)
                self._tally.unreadable += 1
                self.lose(f"a PDU says it has {length} octets")
                return
            if at + length > end:
                break
            slot = number & mask
            if command != _SUBMIT_SM_RESP:
                self._settle(slots, statuses, now_s)  # first: the PDU may end the session
                slots, statuses = [], []
                self._on_other(buffer[at : at + length], now_s)
            elif marks[slot] == _WAITING and numbers[slot] == number:
                marks[slot] = _ANSWERED
                slots.append(slot)
                if status:
                    statuses.append(status)
            else:
                self._on_unexpected(number)
            at += length
        self._rest = buffer[at:]
        self._settle(slots, statuses, now_s)

    def _settle(self, slots: list[int], statuses: list[int], now_s: float) -> None:
        """Count answers, and how long they took."""
        if not slots:
            return
        tally = self._tally
        accepted = len(slots) - len(statuses)
        self.outstanding -= len(slots)
        tally.accepted += accepted
        tally.refused.update(statuses)
        # A block's messages have one time, so few times are added often.
        for sent_s, times in Counter(map(self._sent_s.__getitem__, slots)).items():
            tally.from_sent.add(int((now_s - sent_s) * 1e6), times)
        if self._load.is_open:
            for intended_s in map(self._intended_s.__getitem__, slots):
                tally.from_intended.add(int((now_s - intended_s) * 1e6))
        throttled = sum(status in _THROTTLED for status in statuses)
        self._load.answered(throttled, accepted, now_s)

    def _on_unexpected(self, number: int) -> None:
        """Count an answer that nobody waits for."""
        slot = number & self._mask
        mark = self._marks[slot] if self._numbers[slot] == number else _FREE
        if mark == _ANSWERED:
            self._tally.duplicates += 1
        elif mark == _EXPIRED:
            self._marks[slot] = _ANSWERED
            self._tally.answered_late += 1
        else:
            self._tally.strays += 1

    def _on_other(self, octets: bytes, now_s: float) -> None:
        """Take a PDU that answers no message."""
        (item,) = smpp.Framer().receive(octets)
        if isinstance(item, smpp.Unparsed):
            self._tally.unreadable += 1
            if item.header is None or not item.header.is_response:
                self._out.append(smpp.encode(item.refusal()))
        elif smpp.is_response(item.body):
            self._on_response(item, now_s)
        else:
            self._on_request(item)

    def _on_request(self, pdu: smpp.Pdu) -> None:
        match pdu.body:
            case smpp.DeliverSm() | smpp.DataSm() as body:
                state = receipt_state(pdu, body)
                if state is None:
                    self._tally.delivered += 1
                else:
                    self._tally.receipts[state] += 1
            case smpp.EnquireLink():
                pass
            case smpp.Unbind():
                self.lose("the message centre has unbound")
            case smpp.AlertNotification() | smpp.Outbind():
                return
            case _:
                nack = smpp.Pdu(smpp.GenericNack(), pdu.sequence_number, smpp.Status.ESME_RINVCMDID)
                self._out.append(smpp.encode(nack))
                return
        self._out.append(smpp.encode(smpp.Pdu(smpp.response_to(pdu.body), pdu.sequence_number)))

    def _on_response(self, pdu: smpp.Pdu, now_s: float) -> None:
        """Match an answer to one of the few requests that are no messages, or refuse a message."""
        number = pdu.sequence_number
        slot = number & self._mask
        if number not in self._controls:
            is_waiting = self._marks[slot] == _WAITING and self._numbers[slot] == number
            if isinstance(pdu.body, smpp.GenericNack) and is_waiting:
                self._marks[slot] = _ANSWERED
                self._settle([slot], [pdu.command_status or smpp.Status.ESME_RUNKNOWNERR], now_s)
            else:
                self._on_unexpected(number)
            return
        request, _ = self._controls.pop(number)
        name, status = smpp.name_of(request), smpp.status_name(pdu.command_status)
        is_its_answer = type(pdu.body) is type(smpp.response_to(request))
        if not is_its_answer or pdu.command_status:
            self.lose(f"{name} was answered by {smpp.name_of(pdu.body)}, {status}")
        elif self.state is State.BINDING:
            self.state = State.BOUND
            version = pdu.tlv(smpp.TlvTag.SC_INTERFACE_VERSION)
            self.peer_version = None if version is None else version[0]
        elif isinstance(request, smpp.Unbind):
            self._end()

    # Time.

    def tick(self, now_s: float) -> None:
        """Give up what has waited too long; ask a silent peer whether it lives."""
        if self.state is State.CLOSED:
            return
        if self._expires_at_s is not None and now_s >= self._expires_at_s:
            self._expire(now_s)
        for body, deadline_s in tuple(self._controls.values()):
            if now_s >= deadline_s:
                self.lose(f"{smpp.name_of(body)} was not answered")
                return
        is_idle = now_s >= self._heard_s + self._bind.enquire_link_s
        if self.state is State.BOUND and is_idle and not self._controls:
            self._ask(smpp.EnquireLink(), now_s)

    def _expire(self, now_s: float) -> None:
        """Look through all that wait; rare, as it is next due when the oldest of them is."""
        oldest_s = None
        slot = self._marks.find(_WAITING)
        while slot >= 0:
            if now_s >= self._sent_s[slot] + self._bind.response_timeout_s:
                self._marks[slot] = _EXPIRED
                self.outstanding -= 1
                self._tally.unanswered += 1
            else:
                sent_s = self._sent_s[slot]
                oldest_s = sent_s if oldest_s is None else min(oldest_s, sent_s)
            slot = self._marks.find(_WAITING, slot + 1)
        self._expires_at_s = None if oldest_s is None else oldest_s + self._bind.response_timeout_s

    def lose(self, problem: str) -> None:
        """End before the time; what waits is unanswered."""
        if self.state is not State.CLOSED:
            self.problem = problem
            self._end()

    def _end(self) -> None:
        self.state = State.CLOSED
        self._tally.unanswered += self.outstanding
        self.outstanding = 0
        self._controls.clear()


def receipt_state(pdu: smpp.Pdu, body: smpp.DeliverSm | smpp.DataSm) -> str | None:
    """Give the state that a delivery receipt tells, by its name in SMPP; None for other messages.

    The TLV message_state counts before the text.

    Spec: SMPP 5.0 4.7.15, SMPP 3.4 appendix B.
    """
    if body.esm_class & _RECEIPT_TYPE != _RECEIPT:
        return None
    value = pdu.tlv(smpp.TlvTag.MESSAGE_STATE)
    if value is not None:
        try:
            return smpp.MessageState(value[0]).name
        except ValueError:
            return f"state {value[0]}"
    text = pdu.tlv(smpp.TlvTag.MESSAGE_PAYLOAD) or b""
    if isinstance(body, smpp.DeliverSm) and body.short_message:
        text = body.short_message
    found = _STAT.search(text)
    if found is None:
        return "no state"
    name = found[1].decode("ascii").upper()
    return _STATES.get(name, name)
