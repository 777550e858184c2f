"""The centre's side of one SMPP session: octets in, octets and events out.

Most octets are submit_sm and deliver_sm_resp; they take a short way through `receive`. Everything
else, and everything while a fault is asked for, goes through the decoder.
"""

from collections import deque
from struct import Struct
from typing import Any

from cbgateway.codec import smpp
from cbsim import mangle
from cbsim.accounts import Esme, Queued
from cbsim.centre import MessageCentre, OnEvent
from cbsim.fast import read_submit
from cbsim.faults import Fault, Stage
from cbsim.flight import Flight, misdelivered
from cbsim.refusal import Refusal
from cbsim.requests import Bind, Requests, bare_deliver, fault_of
from cbsim.submissions import SUBMIT_MULTI, SUBMIT_MULTI_RESP

HEADER_OCTETS = 16
SEQUENCE_MAX = 0x7FFFFFFF
UNBIND_TIMEOUT_S = 5.0
"""An unbind of the centre's is waited for so long; then it closes."""

_MESSAGES = (smpp.SubmitSm, smpp.DataSm, smpp.BroadcastSm, smpp.CancelBroadcastSm)
_HEADER = Struct(">IIII")
_SUBMIT_SM = int(smpp.CommandId.SUBMIT_SM)
_DELIVER_SM_RESP = int(smpp.CommandId.DELIVER_SM_RESP)


class SmscSession:
    """One connection, from its accept to its end.

    Attributes:
        number: counts connections.
        is_closed: whoever owns the connection has to close it, once all has been sent.
        is_reset: it is to be closed with RST, at once.
        is_deaf: nothing is to be read from it.
        is_held_up: the ESME does not read, so that nothing more may be sent.
    """

    def __init__(self, centre: MessageCentre, on_event: OnEvent) -> None:
        """Make a session for a connection that was just accepted.

        Args:
            centre: shared by all sessions.
            on_event: called with each thing a tester wants to know.
        """
        self.is_closed = False
        self.is_reset = False
        self.is_deaf = False
        self.is_held_up = False
        self.wants_small_buffer = False
        self._centre = centre
        self._on_event = on_event
        self._rest = bytearray()
        self._needed = 4
        self._out: list[bytes] = []
        self._dripping: deque[bytes] = deque()
        self._held: list[bytes] = []
        self._before = b""
        self._is_mute = False
        self._may_submit = False
        self._requests = Requests(centre, tell=self._tell, on_bound=self._let_in)
        self._flight = Flight(centre, self._tell)
        self._is_unbinding = False
        self._heard_at_s = centre.now_s()
        self._received = 0
        self.number = centre.open(self)

    @property
    def mode(self) -> str:
        """How it is bound; empty before."""
        return self._requests.mode

    @property
    def version(self) -> int:
        """The version of SMPP that both sides know."""
        return self._requests.version

    @property
    def esme(self) -> Esme | None:
        """Who is at the other end; None before the bind."""
        return self._requests.esme

    def accepted(self, now_s: float) -> None:
        """Begin: a fault may happen before anything is said; silence ends the session."""
        centre = self._centre
        centre.schedule.at(now_s + centre.scenario.sessions.init_s, self._on_init_timeout)
        fault = centre.director.happens(Stage.ACCEPT, now_s)
        if fault is None:
            return
        self._tell_fault(fault)
        match fault.name:
            case "stall-accept" | "zero-window":
                self.is_deaf = True
                self.wants_small_buffer = fault.name == "zero-window"
            case "close-accept":
                self.is_closed = True
            case "reset-accept":
                self.reset()
            case "outbind":
                self.outbind("")
            case _:
                self._write(mangle.GARBAGE)

    def outbind(self, password: str) -> None:
        """Ask the ESME at the other end to bind."""
        body = smpp.Outbind(system_id=self._centre.name, password=password)
        self._write(smpp.encode(smpp.Pdu(body, self._flight.take_number())))

    def receive(self, octets: bytes, now: float | None = None) -> None:
        """Take octets from the ESME.

        Args:
            octets: in any pieces.
            now: when; the centre's clock when left out.
        """
        if self.is_closed or self.is_deaf:
            return
        now = self._centre.now_s() if now is None else now
        self._heard_at_s = now
        if self._rest:
            self._rest += octets
            if len(self._rest) < self._needed:
                return
            octets = bytes(self._rest)
        at = self._read(octets, now)
        self._rest = bytearray(octets[at:])
        if self.esme is not None and self.esme.queue:
            self.esme.pump(now)

    def _read(self, octets: bytes, now: float) -> int:
        """Take the PDUs that are whole; gives where the first begins that is not."""
        at, size = 0, len(octets)
        while size - at >= HEADER_OCTETS:
            length, command, status, number = _HEADER.unpack_from(octets, at)
            end = at + length
            if not HEADER_OCTETS <= length <= smpp.PDU_OCTETS_MAX:
                break
            if end > size:
                self._needed = length
                return at
            self._received += 1
            if self._centre.on_trace is not None:
                self._centre.on_trace(self.number, "in", octets[at:end])
            is_quick = 0 < number <= SEQUENCE_MAX and not (self._is_mute or self._dripping)
            if command == _SUBMIT_SM and is_quick and self._quick_submit(octets, at, end, now):
                pass
            elif command == _DELIVER_SM_RESP and is_quick and length == HEADER_OCTETS + 1:
                self._flight.on_answer(number, status, now)
            else:
                self._on_octets(octets[at:end], now)
            at = end
            if self.is_closed or self.is_deaf:
                return size
        return self._check_length(octets, at)

    def _check_length(self, octets: bytes, at: int) -> int:
        """Refuse a length that cannot be believed as soon as it is there."""
        left = len(octets) - at
        self._needed = 4
        if left >= self._needed:
            length = int.from_bytes(octets[at : at + 4], "big")
            if not HEADER_OCTETS <= length <= smpp.PDU_OCTETS_MAX:
                (item,) = smpp.Framer().receive(octets[at:])
                if isinstance(item, smpp.Unparsed):
                    self._on_unparsed(item)
                return len(octets)
            self._needed = length
        return at

    def _quick_submit(self, octets: bytes, at: int, end: int, now: float) -> bool:
        """Take a common submit_sm and answer it; False when the decoder has to look."""
        centre, esme = self._centre, self.esme
        if not self._may_submit or esme is None:
            return False
        if not centre.director.is_plain or esme.account.per_s:
            return False
        if centre.is_fast:
            message_id = centre.next_id().encode("ascii")
            centre.headers.append(octets[at : at + HEADER_OCTETS])
            centre.counters.submitted += 1
        else:
            taken = read_submit(octets, at + HEADER_OCTETS, end)
            if taken is None:
                return False
            try:
                message = centre.submit(esme, taken, now, version=self.version)
            except Refusal:
                return False  # the long way says why
            message_id = message.message_id.encode("ascii")
            if centre.scenario.receipts.order == "before-response" and esme.queue:
                esme.pump(now)
        number = octets[at + 12 : at + HEADER_OCTETS]
        length = HEADER_OCTETS + 1 + len(message_id)
        answer = b"%b\x80\x00\x00\x04\x00\x00\x00\x00%b%b\0" % (
            length.to_bytes(4, "big"),
            number,
            message_id,
        )
        self._out.append(answer)
        if centre.on_trace is not None:
            centre.on_trace(self.number, "out", answer)
        return True

    def outgoing(self) -> bytes:
        """Give the octets to send now, each once."""
        octets = b"".join(self._out)
        self._out.clear()
        return octets

    def lost(self, now: float | None = None) -> None:
        """Take note that the connection is gone; what was not answered is sent to another."""
        now = self._centre.now_s() if now is None else now
        self.is_closed = True
        self._may_submit = False
        self._centre.close(self.number)
        esme, self._requests.esme = self.esme, None
        if esme is None:
            return
        esme.sessions.remove(self)
        self._flight.lost(esme)
        esme.pump(now)

    def reset(self) -> None:
        """End the session at once, with RST."""
        self.is_closed = self.is_reset = True
        self._out.clear()
        self._centre.mark_ready(self)

    def unbind(self, now_s: float) -> None:
        """Ask the ESME to unbind; close if it does not answer."""
        if self.is_closed or not self.mode:
            return
        self._is_unbinding = True
        self._write(mangle.header(smpp.CommandId.UNBIND, self._flight.take_number()))
        self._centre.schedule.at(now_s + UNBIND_TIMEOUT_S, self._on_unbind_timeout)

    def facts(self) -> dict[str, Any]:
        """Tell what can be told of it."""
        return {
            "session": self.number,
            "system_id": "" if self.esme is None else self.esme.account.system_id,
            "as": self.mode,
            "version": f"{self.version:#04x}",
            "in_flight": len(self._flight),
            "received": self._received,
            "delivered": self._flight.sent,
        }

    # Incoming PDUs ------------------------------------------------------------------------------

    def _on_octets(self, octets: bytes, now: float) -> None:
        if int.from_bytes(octets[4:8], "big") == SUBMIT_MULTI:
            self._on_multi(octets, now)
            return
        try:
            pdu = smpp.decode(octets)
        except smpp.PduError as error:
            self._on_unparsed(smpp.Unparsed(smpp.Header(*_HEADER.unpack_from(octets)), error))
            return
        self._on_pdu(pdu, now)

    def _on_unparsed(self, item: smpp.Unparsed) -> None:
        """Answer what cannot be read, and say in which octet the ESME is wrong."""
        self._centre.counters.wrong += 1
        self._tell("wrong", detail=str(item.error))
        self._write(smpp.encode(item.refusal()))
        if item.error.framing_lost:
            self.is_closed = True

    def _on_pdu(self, pdu: smpp.Pdu, now: float) -> None:
        if smpp.is_response(pdu.body):
            self._on_response(pdu, now)
            return
        number, body = pdu.sequence_number, pdu.body
        try:
            fault = self._fault_of(body, now)
            if fault is not None and self._carry_out(fault, number):
                return
            self._requests.plan_answer(now)
            answer = self._requests.answer(pdu, now)
        except Refusal as refusal:
            self._refuse(pdu, refusal)
            return
        if isinstance(body, _MESSAGES):
            self._answer_message(answer, now)
            return
        if fault is not None and fault.name == "bind-late-data":
            self._write(bare_deliver(self._centre, self._flight.take_number()))
        self._write(answer * 2 if fault is not None and fault.name == "bind-twice" else answer)
        if isinstance(body, smpp.Unbind):
            self.is_closed = True

    def _refuse(self, pdu: smpp.Pdu, refusal: Refusal) -> None:
        name = smpp.name_of(pdu.body)
        self._tell_refusal(name, refusal)
        if refusal.manner == "close":
            self.is_closed = True
        elif refusal.manner == "answer":
            body = smpp.response_to(pdu.body)
            self._write(self._requests.encode(body, pdu.sequence_number, refusal.status))

    def _tell_refusal(self, name: str, refusal: Refusal) -> None:
        counters = self._centre.counters
        counters.refused += 1
        if refusal.status == smpp.Status.ESME_RTHROTTLED:
            counters.throttled += 1
        status = smpp.status_name(refusal.status)
        self._tell("refused", pdu=name, status=status, detail=str(refusal))

    def _fault_of(self, body: smpp.Body, now: float) -> Fault | None:
        """Give the fault that happens to this request."""
        fault = fault_of(self._centre, body, is_bound=bool(self.mode), now=now)
        if fault is not None:
            self._tell_fault(fault)
        return fault

    def _let_in(self, esme: Esme, body: Bind) -> None:
        """Take note of the bind; what comes behind its answer is scheduled."""
        del body
        self._may_submit = self.mode != "receiver"
        self._flight.esme = esme
        esme.sessions.append(self)
        now = self._heard_at_s
        self._centre.schedule.at(now, self._on_bound)
        self._centre.schedule.at(now, self._watch)

    def _carry_out(self, fault: Fault, number: int) -> bool:
        """Misbehave in place of an answer; False when the request is to be answered yet."""
        if fault.status is not None:
            raise Refusal(fault.status, f"as the fault {fault.name} asks")
        match fault.name:
            case "bind-nack" | "nack":
                status = smpp.Status.ESME_RSYSERR
                self._write(self._requests.encode(smpp.GenericNack(), number, status))
            case "enquire-error":
                status = smpp.Status.ESME_RSYSERR
                self._write(self._requests.encode(smpp.EnquireLinkResp(), number, status))
            case "stall-bind":
                self._is_mute = True
            case "close-bind":
                self.is_closed = True
            case "reset-bind":
                self.reset()
            case "bind-twice" | "bind-late-data":
                return False
            case _:
                pass  # said nothing
        return True

    def _on_bound(self, _: object, now: float) -> None:
        """Do what comes right behind the answer to the bind."""
        if self.esme is None or self.is_closed:
            return
        self.esme.pump(now)
        fault = self._centre.director.happens(Stage.BOUND, now)
        if fault is None:
            return
        self._tell_fault(fault)
        if fault.name == "unbind-at-once":
            self.unbind(now)
        elif self.mode != "transmitter":
            for _count in range(self._centre.scenario.answers.flood):
                self._write(bare_deliver(self._centre, self._flight.take_number()))

    def _on_multi(self, octets: bytes, now: float) -> None:
        """Take a submit_multi, which the codec does not know."""
        number = mangle.sequence_of(octets)
        try:
            fault = self._fault_of(smpp.SubmitSm(), now)
            if fault is not None and self._carry_out(fault, number):
                return
            self._requests.plan_answer(now)
            answer = self._requests.answer_multi(octets, number, now)
        except smpp.PduError as error:
            self._on_unparsed(smpp.Unparsed(smpp.Header(*_HEADER.unpack_from(octets)), error))
        except Refusal as refusal:
            self._tell_refusal("submit_multi", refusal)
            self._write(mangle.header(SUBMIT_MULTI_RESP, number, status=refusal.status))
        else:
            self._answer_message(answer, now)

    # Answers ------------------------------------------------------------------------------------

    def _answer_message(self, octets: bytes, now: float) -> None:
        """Send the answer to a message: when it is due, and as a fault asks."""
        centre, esme = self._centre, self.esme
        if esme is not None and centre.scenario.receipts.order == "before-response":
            esme.pump(now)
        fault = centre.director.happens(Stage.ANSWER, now)
        at_s = self._requests.answered_at_s
        if fault is not None:
            self._tell_fault(fault)
            if fault.name == "slow-answer":
                at_s = now + centre.scenario.answers.slow_s
        what = (octets, None if fault is None else fault.name)
        if at_s > now:
            self._requests.waiting += 1
            centre.schedule.at(at_s, self._on_answer_due, what)
        else:
            self._give(*what, now)

    def _on_answer_due(self, what: tuple[bytes, str | None], now: float) -> None:
        self._requests.waiting -= 1
        if not self.is_closed:
            self._give(*what, now)

    def _give(self, octets: bytes, fault: str | None, now: float) -> None:
        """Send an answer, or what a fault makes of it."""
        if fault is None or fault == "slow-answer":
            self._write(octets)
        elif fault == "swap-answers":
            self._held.append(octets)
            return
        else:
            self._misgive(octets, fault, now)
        self._before = octets
        if self._held:
            held, self._held = self._held, []
            self._write(b"".join(held))

    def _misgive(self, octets: bytes, fault: str, now: float) -> None:
        spoiled = mangle.broken(fault, octets, self._before)
        if spoiled is not None:
            self._write(spoiled)
            return
        if fault in {"cut", "stall-half"}:
            self._write(octets[: len(octets) // 2])
        if fault in {"cut", "close"}:
            self.is_closed = True
        elif fault in {"stall-half", "stall-answer"}:
            self._is_mute = True
        elif fault == "stall-read":
            self.is_deaf = True
        elif fault == "drip":
            self._dripping.extend(octets[i : i + 1] for i in range(len(octets)))
            self._centre.schedule.at(now, self._drip)
        elif fault == "unbind":
            self.unbind(now)
        elif fault == "reset":
            self.reset()
        elif fault in {"restart", "restart-empty"}:
            self._centre.restart(keeps_messages=fault == "restart", now_s=now)
        self._centre.mark_ready(self)

    def _drip(self, _: object, now: float) -> None:
        """Send one octet."""
        if self.is_closed or not self._dripping:
            return
        self._out.append(self._dripping.popleft())
        self._centre.mark_ready(self)
        if self._dripping:
            self._centre.schedule.at(now + self._centre.scenario.answers.drip_s, self._drip)

    def _write(self, octets: bytes) -> None:
        if self._is_mute or not octets:
            return
        if self._centre.on_trace is not None:
            self._centre.on_trace(self.number, "out", octets)
        if self._dripping:
            self._dripping.append(octets)
        else:
            self._out.append(octets)
        self._centre.mark_ready(self)

    # deliver_sm ---------------------------------------------------------------------------------

    def room(self) -> int:
        """Tell how many more deliver_sm may be sent now."""
        if self.is_closed or self.is_deaf or self._is_mute or self.is_held_up or self._is_unbinding:
            return 0
        return self._centre.scenario.delivery.window - len(self._flight)

    def deliver(self, queued: Queued, now_s: float) -> None:
        """Send a deliver_sm, and wait for its answer."""
        octets = self._flight.send(queued, now_s)
        if self._centre.director.faults.has(Stage.DELIVER):
            fault = self._centre.director.happens(Stage.DELIVER, now_s)
            if fault is not None:
                self._tell_fault(fault)
                octets = misdelivered(fault, octets)
                self._write(octets)
                self.is_closed = self.is_closed or fault.name == "deliver-cut"
                return
        self._write(octets)

    def _on_response(self, pdu: smpp.Pdu, now: float) -> None:
        match pdu.body:
            case smpp.DeliverSmResp() | smpp.DataSmResp() | smpp.GenericNack():
                self._flight.on_answer(pdu.sequence_number, pdu.command_status, now)
            case smpp.UnbindResp():
                self.is_closed = self.is_closed or self._is_unbinding
                self._centre.mark_ready(self)
            case _:
                pass  # nobody asked

    # Time ---------------------------------------------------------------------------------------

    def _on_init_timeout(self, _: object, now: float) -> None:
        del now
        if not self.mode and not self.is_closed and not self.is_deaf:
            self._tell("dropped", detail="said nothing")
            self.is_closed = True
            self._centre.mark_ready(self)

    def _on_unbind_timeout(self, _: object, now: float) -> None:
        del now
        if not self.is_closed:
            self.is_closed = True
            self._centre.mark_ready(self)

    def _watch(self, _: object, now: float) -> None:
        """Close a session that is silent; ask one whether it is there."""
        if self.is_closed:
            return
        rules = self._centre.scenario.sessions
        silent_s = now - self._heard_at_s
        if rules.idle_s and silent_s >= rules.idle_s:
            self._tell("dropped", detail=f"silent for {rules.idle_s:g} s")
            self.is_closed = True
            self._centre.mark_ready(self)
            return
        if rules.enquire_s and silent_s >= rules.enquire_s:
            self._write(mangle.header(smpp.CommandId.ENQUIRE_LINK, self._flight.take_number()))
        waits = [one for one in (rules.idle_s, rules.enquire_s) if one]
        if waits:
            self._centre.schedule.at(now + min(waits), self._watch)

    # Events -------------------------------------------------------------------------------------

    def _tell(self, event: str, **facts: object) -> None:
        self._on_event({"event": event, "session": self.number, **facts})

    def _tell_fault(self, fault: Fault) -> None:
        self._tell("fault", fault=fault.name)
