"""The ESME's side of an SMPP session, without its socket (SMPP 3.4 2.2, SMPP 5.0 2.4).

Theory of operation: the session is BINDING from its first tick, BOUND once the message centre has
accepted, UNBINDING when asked to end, CLOSED in the end. Requests go out while it is BOUND and
the window has room. Every request, the session's own included, has a timer. An answer belongs to
a request by its sequence number alone; an answer to nothing is counted, and too many of them end
the session, because then nobody knows any more what was answered. Short messages go out as ranges
of sequence numbers, each with one timer and one event.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from cbgateway.carriers.smpp.batch import Batch, Batches
from cbgateway.carriers.window import Window
from cbgateway.codec import smpp
from cbgateway.codec.smpp_bulk import AnswerFramer, SubmitAnswers, SubmitTemplate
from cbgateway.codec.smpp_receipt import Receipts, read_receipt, write_answers
from cbgateway.domain.incoming import Receipt
from cbgateway.profiles.models import SmppProfile

PDU_TIMEOUT_S = 10.0
"""A PDU has to end so long after its beginning: a length that lies, or a drip, holds up no more."""
ARRIVED_MAX = 5_000
"""Receipts and messages that wait for their answers; the centre is told to wait with more."""
STRAY_ANSWERS_MAX = 3
"""Answers to nothing before the session ends."""


class State(Enum):
    """Where the session stands."""

    BINDING = "binding"
    BOUND = "bound"
    UNBINDING = "unbinding"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who we are to the message centre."""

    system_id: str
    password: str

    def __repr__(self) -> str:
        """Keep the password out of logs."""
        return f"Credentials({self.system_id!r})"


@dataclass(frozen=True, slots=True)
class Bound:
    """The message centre has accepted the bind.

    Attributes:
        system_id: what it calls itself.
    """

    system_id: str


@dataclass(frozen=True, slots=True)
class Answered:
    """A request was answered.

    Attributes:
        token: what the request was made with.
        pdu: the answer, of whatever status.
    """

    token: Any
    pdu: smpp.Pdu


@dataclass(frozen=True, slots=True)
class Unanswered:
    """A request was sent, and nothing that can be read came back in time."""

    token: Any


@dataclass(frozen=True, slots=True)
class Congestion:
    """The message centre says how loaded it is.

    Attributes:
        level: 0 to 100 (SMPP 5.0 4.8.4.18).
    """

    level: int


@dataclass(frozen=True, slots=True)
class Arrived:
    """Receipts and messages have come, and wait for `SmppSession.answer`.

    Attributes:
        numbers: their sequence numbers.
        items: a receipt each, or the PDU of a message.
        is_data: True for data_sm, which has an answer of its own kind.
    """

    numbers: list[int]
    items: Sequence[Receipt | smpp.Pdu]
    is_data: bool = False


@dataclass(frozen=True, slots=True)
class Closed:
    """The session has ended; no further event follows."""

    reason: str


_BINDS: dict[str, type[smpp.BindTransmitter | smpp.BindReceiver | smpp.BindTransceiver]] = {
    "transmitter": smpp.BindTransmitter,
    "receiver": smpp.BindReceiver,
    "transceiver": smpp.BindTransceiver,
}
_VERSIONS = {"3.4": 0x34, "5.0": 0x50}
_OWN = object()
"""Token of the session's own enquire_link and unbind."""


class SmppSession:
    """One bind to one message centre. Implements `carriers.base.Session`."""

    def __init__(
        self,
        rules: SmppProfile,
        credentials: Credentials,
        *,
        extra_requests_max: int = 0,
        takes_incoming: bool = False,
    ) -> None:
        """Make a session that binds on its first tick.

        Args:
            rules: the carrier's.
            credentials: ours.
            extra_requests_max: room in the window beyond what the carrier's profile says.
            takes_incoming: whether somebody answers `Arrived` events; else all are put off.
        """
        self.state = State.BINDING
        self._rules = rules
        self._credentials = credentials
        self._framer = AnswerFramer()
        self._requests_max = rules.window_requests_max + extra_requests_max
        self._window: Window[Any] = Window(
            requests_max=self._requests_max, timeout_s=rules.response_timeout_s
        )
        self._batches = Batches()
        self._own: Window[Any] = Window(requests_max=2, timeout_s=rules.response_timeout_s)
        self._out: list[bytes] = []
        self._sequence_number = 0
        self._bind_due: float | None = None
        self._heard_at = 0.0
        self._pdu_due: float | None = None
        self._stray_answers = 0
        self._takes_incoming = takes_incoming
        self._arrived = 0

    def may_request(self) -> bool:
        """Tell whether a request can be made now."""
        return self.state is State.BOUND and self.in_flight < self._requests_max

    @property
    def in_flight(self) -> int:
        """How many requests wait for their answers."""
        return len(self._window) + self._batches.waiting

    @property
    def in_flight_of_ranges(self) -> int:
        """How many of them were sent in ranges."""
        return self._batches.waiting

    def request(
        self, body: smpp.Body, tlvs: tuple[smpp.Tlv, ...], *, token: object, now: float
    ) -> None:
        """Send a request; an `Answered` or `Unanswered` event with `token` follows.

        Raises:
            ValueError: `may_request` is False.
            EncodeError: it cannot be written; nothing was sent.
        """
        if not self.may_request():
            msg = f"the session is {self.state.value} with {self.in_flight} requests in flight"
            raise ValueError(msg)
        number = self._next_sequence_number()
        octets = smpp.encode(smpp.Pdu(body, sequence_number=number, tlvs=tlvs))
        self._window.add(number, token, now=now)
        self._out.append(octets)

    def request_many(
        self, template: SubmitTemplate, destinations: Sequence[str], *, token: object, now: float
    ) -> None:
        """Send a message to each of some subscribers; one `Settled` event with `token` follows.

        Answers that come after that, and still settle a message, give `Late` events.

        Raises:
            ValueError: the session is not bound, or the window has no room for all.
            EncodeError: it cannot be written; nothing was sent.
        """
        count = len(destinations) * template.parts
        if self.state is not State.BOUND or self.in_flight + count > self._requests_max:
            msg = f"the session is {self.state.value} with {self.in_flight} requests in flight"
            raise ValueError(msg)
        first = self._sequence_number % smpp.SEQUENCE_NUMBER_MAX + 1
        if first + count - 1 > smpp.SEQUENCE_NUMBER_MAX:
            first = 1  # a range does not run over the last number
        octets = template.join(destinations, first)
        self._sequence_number = first + count - 1
        due = now + self._rules.response_timeout_s
        self._batches.add(
            Batch(
                first,
                len(destinations),
                template.parts,
                token=token,
                due=due,
                with_ids=self._takes_incoming and template.wants_receipts,
            )
        )
        self._out.append(octets)

    def answer(self, arrived: Arrived, are_taken: Sequence[bool]) -> None:
        """Answer what has arrived: taken, or to be sent again later."""
        self._arrived -= len(arrived.numbers)
        if self.state is State.CLOSED:
            return
        if all(are_taken) and not arrived.is_data:
            self._out.append(write_answers(arrived.numbers))
            return
        body = smpp.DataSmResp() if arrived.is_data else smpp.DeliverSmResp()
        for number, is_taken in zip(arrived.numbers, are_taken, strict=True):
            status = smpp.Status.ESME_ROK if is_taken else smpp.Status.ESME_RX_T_APPN
            self._out.append(smpp.encode(smpp.Pdu(body, number, status)))

    def unbind(self, *, now: float) -> None:
        """Ask for the end of the session; what is in flight is still waited for."""
        if self.state is State.BOUND:
            self.state = State.UNBINDING
            self._send_own(smpp.Unbind(), now=now)
        elif self.state is State.BINDING:
            self.state = State.CLOSED

    def receive(self, octets: bytes, *, now: float) -> list[object]:
        """Take octets from the message centre; see `carriers.base.Session`."""
        items = self._framer.receive(octets)
        if items:
            self._heard_at = now
        if not self._framer.is_incomplete:
            self._pdu_due = None
        elif items or self._pdu_due is None:
            self._pdu_due = now + PDU_TIMEOUT_S
        events: list[object] = []
        for item in items:
            if self.state is State.CLOSED:
                break
            if isinstance(item, SubmitAnswers):
                events += self._on_answers(item)
            elif isinstance(item, Receipts):
                events += self._on_arrived(Arrived(item.numbers, item.receipts))
            elif isinstance(item, smpp.Unparsed):
                events += self._on_unparsed(item)
            else:
                events += self._on_pdu(item, now=now)
        return events

    def tick(self, *, now: float) -> list[object]:
        """Let time pass; see `carriers.base.Session`."""
        if self.state is State.CLOSED:
            return []
        if self.state is State.BINDING and self._bind_due is None:
            self._heard_at = now
            self._bind_due = now + self._rules.bind_timeout_s
            self._out.append(smpp.encode(smpp.Pdu(self._bind(), self._next_sequence_number())))
        if self.state is State.BINDING and self._bind_due is not None and now >= self._bind_due:
            return self._close("no answer to the bind")
        if self._pdu_due is not None and now >= self._pdu_due:
            return self._close(f"a PDU did not end within {PDU_TIMEOUT_S:.0f} s")
        events: list[object] = [Unanswered(token) for token in self._window.pop_due(now=now)]
        events += self._batches.pop_due(now=now)
        if self._own.pop_due(now=now):
            return events + self._close("no answer to enquire_link or unbind")
        if self.state is State.BOUND and now >= self._enquire_at() and not len(self._own):
            self._send_own(smpp.EnquireLink(), now=now)
        return events

    def next_tick(self) -> float | None:
        """Give when `tick` has something to do."""
        if self.state is State.CLOSED:
            return None
        times = [
            self._window.next_due(),
            self._batches.next_due(),
            self._own.next_due(),
            self._pdu_due,
        ]
        if self.state is State.BINDING:
            times.append(self._bind_due)
        if self.state is State.BOUND and not len(self._own):
            times.append(self._enquire_at())
        return min((at for at in times if at is not None), default=None)

    def outgoing(self) -> bytes:
        """Give the octets to send now, each once."""
        octets = b"".join(self._out)
        self._out.clear()
        return octets

    def is_closed(self) -> bool:
        """Tell whether the connection may be closed."""
        return self.state is State.CLOSED

    def lost(self) -> list[object]:
        """Learn that the connection is gone."""
        if self.state is State.CLOSED:
            return []
        return self._close("the connection was lost")

    def _bind(self) -> smpp.BindTransmitter | smpp.BindReceiver | smpp.BindTransceiver:
        return _BINDS[self._rules.bind](
            system_id=self._credentials.system_id,
            password=self._credentials.password,
            system_type=self._rules.system_type,
            interface_version=_VERSIONS[self._rules.version],
        )

    def _enquire_at(self) -> float:
        return self._heard_at + self._rules.enquire_link_interval_s

    def _on_pdu(self, pdu: smpp.Pdu, *, now: float) -> list[object]:
        match pdu.body:
            case smpp.EnquireLink():
                self._answer(smpp.EnquireLinkResp(), pdu)
            case smpp.Unbind():
                self._answer(smpp.UnbindResp(), pdu)
                return self._close("the message centre unbound")
            case smpp.DeliverSm() | smpp.DataSm() as body:
                item = read_receipt(pdu) or pdu
                is_data = isinstance(body, smpp.DataSm)
                return self._on_arrived(Arrived([pdu.sequence_number], [item], is_data))
            case smpp.AlertNotification():
                pass  # it has no answer
            case body if smpp.is_response(body):
                return self._on_response(pdu, now=now)
            case _:
                self._answer(smpp.GenericNack(), pdu, smpp.Status.ESME_RINVCMDID)
        return []

    def _on_arrived(self, arrived: Arrived) -> list[object]:
        """Hand on what has come, or put it off while too much waits for its answer."""
        self._arrived += len(arrived.numbers)
        is_bound = self.state in {State.BOUND, State.UNBINDING}
        if self._takes_incoming and is_bound and self._arrived <= ARRIVED_MAX:
            return [arrived]
        self.answer(arrived, [False] * len(arrived.numbers))
        return []

    def _on_response(self, pdu: smpp.Pdu, *, now: float) -> list[object]:
        if self.state is State.BINDING:
            return self._on_bind_response(pdu, now=now)
        if self._own.pop(pdu.sequence_number) is not None:
            if isinstance(pdu.body, smpp.UnbindResp):
                return self._close("unbound")
            return []
        return self._on_congestion(pdu) + self._on_answer(pdu)

    def _on_answer(self, pdu: smpp.Pdu) -> list[object]:
        number, status = pdu.sequence_number, pdu.command_status
        token = self._window.pop(number)
        if token is not None:
            return [Answered(token, pdu)]
        batch = self._batches.find(number)
        if batch is not None:
            ids = [pdu.body.message_id.encode()] if isinstance(pdu.body, smpp.SubmitSmResp) else []
            return [*self._batches.take(batch, number - batch.first, [status], ids)]
        batch = self._batches.find_over(number)
        if batch is not None:
            return [*self._batches.late(batch, number, status)]
        return self._on_stray()

    def _on_congestion(self, pdu: smpp.Pdu) -> list[object]:
        value = pdu.tlv(smpp.TlvTag.CONGESTION_STATE)
        return [] if value is None else [Congestion(int.from_bytes(value, "big"))]

    def _on_answers(self, answers: SubmitAnswers) -> list[object]:
        """Settle what was answered; where numbers follow one another, all of them at once."""
        events: list[object] = []
        numbers, statuses = answers.numbers, answers.statuses
        is_in_order = list(numbers) == list(range(numbers[0], numbers[0] + len(numbers)))
        at = 0
        while at < len(numbers) and self.state is not State.CLOSED:
            number = numbers[at]
            batch = None if self.state is State.BINDING else self._batches.find(number)
            if batch is None:
                events += self._on_response(answers.pdu(at), now=self._heard_at)
                at += 1
                continue
            limit = batch.first + len(batch)
            end = min(len(numbers), at + limit - number)
            if not is_in_order:
                end = _run_end(numbers, at, end)
            ids = answers.ids(at, end) if batch.has_ids else ()
            events += self._batches.take(batch, number - batch.first, statuses[at:end], ids)
            at = end
        return events

    def _on_bind_response(self, pdu: smpp.Pdu, *, now: float) -> list[object]:
        body = pdu.body
        if pdu.command_status != smpp.Status.ESME_ROK:
            return self._close(f"the bind was refused: {smpp.status_name(pdu.command_status)}")
        if not isinstance(
            body, smpp.BindTransmitterResp | smpp.BindReceiverResp | smpp.BindTransceiverResp
        ):
            return self._on_stray()
        self.state = State.BOUND
        self._bind_due = None
        self._heard_at = now
        return [Bound(body.system_id)]

    def _on_unparsed(self, item: smpp.Unparsed) -> list[object]:
        """Answer what can be answered; an answer that cannot be read answers nothing."""
        header = item.header
        if item.error.framing_lost or header is None:
            self._out.append(smpp.encode(item.refusal()))
            return self._close(f"the message centre broke the protocol: {item.error}")
        if header.is_response:
            return self._on_unreadable(header.sequence_number)
        self._out.append(smpp.encode(item.refusal()))
        return []

    def _on_unreadable(self, number: int) -> list[object]:
        token = self._window.pop(number)
        if token is not None:
            return [Unanswered(token)]
        batch = self._batches.find(number)
        if batch is not None:
            return [*self._batches.give_up(batch, number - batch.first)]
        if self._batches.find_over(number) is not None:
            return []
        return self._on_stray()

    def _on_stray(self) -> list[object]:
        self._stray_answers += 1
        if self._stray_answers >= STRAY_ANSWERS_MAX:
            return self._close(f"{self._stray_answers} answers to nothing that was asked")
        return []

    def _close(self, reason: str) -> list[object]:
        self.state = State.CLOSED
        self._own.pop_all()
        unanswered = [Unanswered(token) for token in self._window.pop_all()]
        return [*unanswered, *self._batches.pop_all(), Closed(reason)]

    def _answer(
        self, body: smpp.Body, request: smpp.Pdu, status: smpp.Status = smpp.Status.ESME_ROK
    ) -> None:
        self._out.append(
            smpp.encode(
                smpp.Pdu(body, sequence_number=request.sequence_number, command_status=status)
            )
        )

    def _send_own(self, body: smpp.Body, *, now: float) -> None:
        number = self._next_sequence_number()
        self._own.add(number, _OWN, now=now)
        self._out.append(smpp.encode(smpp.Pdu(body, sequence_number=number)))

    def _next_sequence_number(self) -> int:
        self._sequence_number = self._sequence_number % smpp.SEQUENCE_NUMBER_MAX + 1
        return self._sequence_number


def _run_end(numbers: Sequence[int], at: int, end_max: int) -> int:
    """Give where sequence numbers from `at` on no longer follow one another."""
    end = at + 1
    while end < end_max and numbers[end] == numbers[end - 1] + 1:
        end += 1
    return end
