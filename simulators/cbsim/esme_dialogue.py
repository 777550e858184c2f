"""A scripted conversation without its socket: octets in, octets out, and the step that failed."""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from cbgateway.codec import smpp, smpp_text
from cbgateway.domain.errors import GatewayError
from cbsim.esme_report import printable
from cbsim.esme_script import (
    ANY,
    Action,
    Close,
    Expect,
    ExpectClose,
    Request,
    Script,
    Send,
    Wait,
    build,
    resolve,
    tag_of,
)

QUEUE_MAX = 10_000
"""PDUs that no step has looked at yet; a peer that sends more ends the conversation."""
SEQUENCE_OCTETS = slice(12, 16)
HEADER_OCTETS = 16
Item = smpp.Pdu | smpp.Unparsed


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that happened.

    Attributes:
        step: which step was on, counted from 1.
        kind: ``sent``, ``received`` or ``note``.
        item: the PDU; octets sent as they are; or what there is to say.
    """

    step: int
    kind: str
    item: Item | bytes | str

    def lines(self) -> Iterator[str]:
        """Give it for people, field by field."""
        arrow = {"sent": "->", "received": "<-"}.get(self.kind, "--")
        match self.item:
            case smpp.Pdu() as pdu:
                status = smpp.status_name(pdu.command_status)
                yield f"{arrow} {smpp.name_of(pdu.body)}, {status}, {pdu.sequence_number}"
                for name, value in _shown(pdu).items():
                    yield f"     {name}: {_written(value)}"
            case smpp.Unparsed() as unparsed:
                yield f"{arrow} cannot be read: {printable(str(unparsed.error))}"
            case bytes() as octets:
                yield f"{arrow} octets: {octets.hex(' ', -4)}"
            case text:
                yield f"{arrow} {printable(text)}"

    def as_dict(self) -> dict[str, Any]:
        """Give it for programs."""
        facts: dict[str, Any] = {"step": self.step, "event": self.kind}
        match self.item:
            case smpp.Pdu() as pdu:
                facts["command"] = smpp.name_of(pdu.body)
                facts["status"] = smpp.status_name(pdu.command_status)
                facts["sequence_number"] = pdu.sequence_number
                fields = _shown(pdu)
                facts["fields"] = {
                    name: value.hex() if isinstance(value, bytes) else value
                    for name, value in fields.items()
                }
            case smpp.Unparsed() as unparsed:
                facts["unreadable"] = str(unparsed.error)
            case bytes() as octets:
                facts["hex"] = octets.hex()
            case text:
                facts["detail"] = text
        return facts


class Dialogue:
    """Goes through a script.

    Attributes:
        is_over: whether nothing more will happen, and the connection is to be closed.
        failure: which step failed and what came instead; empty when none did.
    """

    def __init__(self, script: Script, on_entry: Callable[[Entry], None]) -> None:
        """Begin before the first step.

        Args:
            script: what to do.
            on_entry: called with everything that happens.
        """
        self.is_over = False
        self.failure = ""
        self._script = script
        self._on_entry = on_entry
        self._framer = smpp.Framer()
        self._step = 0
        self._began_s: float | None = None
        self._is_closed = False
        self._number = 0
        self._open: set[int] = set()
        self._saved: dict[str, Any] = {}
        self._queue: deque[Item] = deque()
        self._out: list[bytes] = []

    def receive(self, octets: bytes, now_s: float) -> None:
        """Take octets from the peer."""
        for item in self._framer.receive(octets):
            self._tell("received", item)
            is_kept = True
            if isinstance(item, smpp.Pdu) and self._script.answers:
                self._answer(item)
                is_kept = not isinstance(item.body, smpp.EnquireLink)
            if is_kept:
                self._queue.append(item)
            if len(self._queue) > QUEUE_MAX:
                self._fail(f"more than {QUEUE_MAX} PDUs came that no step asks for")
                return
        self.go_on(now_s)

    def closed(self, now_s: float) -> None:
        """Learn that the peer has closed the connection."""
        if not self._is_closed:
            self._is_closed = True
            self._tell("note", "the peer closed the connection")
        self.go_on(now_s)

    def outgoing(self) -> bytes:
        """Give the octets to send now, each once."""
        octets = b"".join(self._out)
        self._out.clear()
        return octets

    def go_on(self, now_s: float) -> None:
        """Carry out steps until one has to wait."""
        while not self.is_over:
            if self._step == len(self._script.steps):
                self._end()
                return
            if self._began_s is None:
                self._began_s = now_s
            try:
                is_done = self._perform(self._script.steps[self._step], now_s - self._began_s)
            except (ValueError, TypeError, GatewayError) as error:
                self._fail(str(error))
                return
            if not is_done:
                return
            self._step += 1
            self._began_s = None

    def wake_at_s(self) -> float | None:
        """Give when the step on has waited long enough; None when there is none."""
        if self.is_over or self._began_s is None:
            return None
        match self._script.steps[self._step]:
            case Expect(within_s=span_s) | ExpectClose(span_s) | Wait(span_s):
                return self._began_s + span_s
            case _:
                return None

    def _perform(self, action: Action, waited_s: float) -> bool:
        """Carry out a step; gives whether it is done."""
        match action:
            case Request():
                self._request(action)
            case Send(octets):
                if len(octets) >= HEADER_OCTETS:
                    self._open.add(int.from_bytes(octets[SEQUENCE_OCTETS], "big"))
                self._send("octets", octets, octets)
            case Expect():
                return self._expect(action, waited_s)
            case ExpectClose(within_s):
                return self._expect_close(within_s, waited_s)
            case Wait(seconds_s):
                return waited_s >= seconds_s
            case Close():
                self._is_closed = True
        return True

    def _request(self, action: Request) -> None:
        sequence = resolve(action.sequence, self._saved)
        if sequence is None:
            self._number += 1
        number = self._number if sequence is None else int(sequence)
        pdu = build(action, number, self._saved)
        if not smpp.is_response(pdu.body):
            self._open.add(number)
            self._number = max(self._number, number)
        self._send(smpp.name_of(pdu.body), smpp.encode(pdu), pdu)

    def _send(self, what: str, octets: bytes, shown: Item | bytes) -> None:
        if self._is_closed:
            raise ValueError(f"{what} cannot be sent: the connection is closed")
        self._tell("sent", shown)
        self._out.append(octets)

    def _expect(self, action: Expect, waited_s: float) -> bool:
        while self._queue:
            item = self._queue.popleft()
            if isinstance(item, smpp.Unparsed):
                why = f"what came cannot be read: {item.error}"
                raise ValueError(f"expected {action.command}, {why}")  # noqa: TRY004 - no type of ours
            name = smpp.name_of(item.body)
            if name != action.command and name in action.skip:
                continue
            problems = list(self._differences(action, item))
            if problems:
                raise ValueError("; ".join(problems))
            self._open.discard(item.sequence_number)
            self._save(action, item)
            return True
        if self._is_closed:
            raise ValueError(f"expected {action.command}, the connection was closed")
        if waited_s >= action.within_s:
            raise ValueError(f"expected {action.command}, nothing came in {action.within_s:g} s")
        return False

    def _expect_close(self, within_s: float, waited_s: float) -> bool:
        if self._queue:
            item = self._queue[0]
            came = "what cannot be read" if isinstance(item, smpp.Unparsed) else _titled(item)
            raise ValueError(f"expected the connection to be closed, got {came}")
        if not self._is_closed and waited_s >= within_s:
            raise ValueError(f"the connection was not closed in {within_s:g} s")
        return self._is_closed

    def _differences(self, action: Expect, pdu: smpp.Pdu) -> Iterator[str]:
        """Say in what a PDU is not the expected one."""
        if smpp.name_of(pdu.body) != action.command:
            yield f"expected {action.command}, got {_titled(pdu)}"
            return
        if action.status is not None and pdu.command_status != action.status:
            found, wanted = (smpp.status_name(n) for n in (pdu.command_status, action.status))
            yield f"command_status is {found}, expected {wanted}"
        sequence = resolve(action.sequence, self._saved)
        number = pdu.sequence_number
        if sequence is None and smpp.is_response(pdu.body) and number not in self._open:
            yield f"sequence_number {number} is that of no request without an answer"
        elif sequence not in {None, ANY} and number != int(sequence):
            yield f"sequence_number is {number}, expected {sequence}"
        fields = _fields(pdu)
        for name, wanted_value in action.fields.items():
            wanted = resolve(wanted_value, self._saved)
            if not _is_same(fields.get(name), wanted):
                yield f"{name} is {_written(fields.get(name))}, expected {_written(wanted)}"
        for name, wanted_value in action.tlvs.items():
            found_tlv = _tlv_of(pdu, tag_of(name))
            wanted = resolve(wanted_value, self._saved)
            is_same = (
                (found_tlv is not None) is wanted
                if isinstance(wanted, bool)
                else _is_same(found_tlv, wanted)
            )
            if not is_same:
                yield f"{name} is {_written(found_tlv)}, expected {_written(wanted)}"

    def _save(self, action: Expect, pdu: smpp.Pdu) -> None:
        fields = _fields(pdu)
        for name, source in action.save.items():
            value = fields[source] if source in fields else _tlv_of(pdu, tag_of(source))
            if value is None:
                raise ValueError(f"there is no {source} to save")
            self._saved[name] = value.hex() if isinstance(value, bytes) else value

    def _answer(self, pdu: smpp.Pdu) -> None:
        """Answer what a peer asks of every client."""
        match pdu.body:
            case smpp.EnquireLink() | smpp.DeliverSm() | smpp.DataSm() | smpp.Unbind() as body:
                answer = smpp.Pdu(smpp.response_to(body), pdu.sequence_number)
                self._tell("sent", answer)
                self._out.append(smpp.encode(answer))
            case _:
                pass

    def _end(self) -> None:
        self.is_over = True
        for item in self._queue:
            came = "what cannot be read" if isinstance(item, smpp.Unparsed) else _titled(item)
            self._tell("note", f"no step looked at {came}")

    def _fail(self, why: str) -> None:
        self.failure = f"step {self._step + 1}: {why}"
        self.is_over = True

    def _tell(self, kind: str, item: Item | bytes | str) -> None:
        self._on_entry(Entry(min(self._step + 1, len(self._script.steps)), kind, item))


def _titled(pdu: smpp.Pdu) -> str:
    status = smpp.status_name(pdu.command_status)
    return f"{smpp.name_of(pdu.body)} ({status}, sequence number {pdu.sequence_number})"


def _fields(pdu: smpp.Pdu) -> dict[str, Any]:
    """Give a PDU's fields by name, and its text where it can be read."""
    fields = smpp.fields_of(pdu.body) | {"sequence_number": pdu.sequence_number}
    if "short_message" in fields:
        try:
            fields["text"] = smpp_text.decode_text(
                fields["short_message"], fields.get("data_coding", 0)
            )
        except GatewayError:
            fields["text"] = None
    return fields


def _shown(pdu: smpp.Pdu) -> dict[str, Any]:
    """Give what is shown of a PDU; passwords by their length."""
    fields = smpp.fields_of(pdu.body)
    if "password" in fields:
        fields["password"] = f"({len(fields['password'])} characters)"
    return fields | {tlv.name: smpp.tlv_value(tlv) for tlv in pdu.tlvs}


def _tlv_of(pdu: smpp.Pdu, tag: int) -> int | str | bytes | None:
    return next((smpp.tlv_value(tlv) for tlv in pdu.tlvs if tlv.tag == tag), None)


def _is_same(found: Any, wanted: Any) -> bool:  # noqa: ANN401 - a number, a string, octets
    if isinstance(found, bytes) and isinstance(wanted, str):
        return found == bytes.fromhex(wanted)
    return type(found) is type(wanted) and bool(found == wanted)


def _written(value: Any) -> str:  # noqa: ANN401 - a number, a string, octets
    match value:
        case None:
            return "not there"
        case bytes():
            return value.hex(" ", -4) or "(empty)"
        case str():
            return printable(repr(value))
        case _:
            return str(value)
