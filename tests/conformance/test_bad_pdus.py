"""Bad-input catalogue 48 to 57: octets from an SMPP peer, read by gateway and simulator.

Each stream is fed whole and octet by octet: the pieces that it comes in make no difference. What
is expected is what goes out, whether the session goes on, and what was made of the octets.
"""

import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from cbgateway.app import load_checked_profiles
from cbgateway.carriers.smpp.session import (
    Answered,
    Closed,
    Credentials,
    SmppSession,
    Unanswered,
)
from cbgateway.codec import smpp
from cbgateway.codec.smpp import CommandId, Status
from cbsim.handset import Handset
from cbsim.network import Network
from cbsim.smsc import MessageCentre, SmscSession, VendorTlvs

RULES = load_checked_profiles(None).carriers["kt"].smpp
NUMBER = "821000000002"
PIECE_OCTETS = 65_536
ROOM_OCTETS = 262_144
"""What a session may keep of a peer's octets: one piece of a read, and what is around it."""


def framed(command_id: int, body: bytes, *, number: int = 7, status: int = 0) -> bytes:
    """Write a PDU whose length is right, whatever else is not."""
    header = (16 + len(body), command_id, status, number)
    return b"".join(value.to_bytes(4, "big") for value in header) + body


ADDRESSES = b"\0\1\1" + b"\0" + b"\1\1" + NUMBER.encode() + b"\0"
"""service_type, no source address, the phone's number."""


def message(
    text: bytes = b"outage",
    tlvs: bytes = b"",
    *,
    esm_class: int = 0,
    length: int | None = None,
    addresses: bytes = ADDRESSES,
) -> bytes:
    """Write the body of a submit_sm or deliver_sm, with whatever sm_length it says."""
    middle = bytes([esm_class]) + b"\0\0" + b"\0\0" + b"\0\0" + b"\0\0"
    return addresses + middle + bytes([len(text) if length is None else length]) + text + tlvs


PAYLOAD = b"\x04\x24\0\6outage"
ENQUIRE_LINK = framed(CommandId.ENQUIRE_LINK, b"", number=8)


@dataclass(frozen=True, slots=True)
class Case:
    """Octets, and what becomes of them.

    Attributes:
        stream: given the command of a message, the octets.
        status: of the generic_nack that answers.
        words: what is said in the log.
        number: the sequence number of the answer.
        is_end: True when the session ends with it.
    """

    stream: Callable[[int], bytes]
    status: int
    words: str
    number: int = 7
    is_end: bool = False


def of(body: bytes, **header: int) -> Callable[[int], bytes]:
    """Give a stream of one message with this body."""
    return lambda command_id: framed(command_id, body, **header)


def _cases() -> Iterator[tuple[str, Case]]:
    def lost(octets: bytes) -> Case:
        return Case(
            lambda command_id: octets, Status.ESME_RINVCMDLEN, "command_length", 0, is_end=True
        )

    yield "48-command-length-15", lost(b"\0\0\0\x0f" + bytes(11))
    yield "48-command-length-0", lost(bytes(16))
    yield "49-command-length-ffffffff", lost(b"\xff" * 4 + b"\xaa" * PIECE_OCTETS)
    yield "49-command-length-beyond-the-cap", lost((70_001).to_bytes(4, "big") + bytes(12))
    unknown = framed(0x0000_0999, b"")
    yield "50-unknown-command", Case(lambda _: unknown, Status.ESME_RINVCMDID, "command_id")
    beyond = message(b"outage", length=255)
    yield "52-sm-length-beyond-the-body", Case(of(beyond), Status.ESME_RINVMSGLEN, "sm_length")
    without_nul = b"\0\1\1" + b"\0" + b"\1\1" + b"8" * 300
    yield (
        "53-c-string-without-nul",
        Case(of(without_nul), Status.ESME_RINVDSTADR, "destination_addr"),
    )
    cut = message()[:-7]
    yield "53-body-cut", Case(of(cut), Status.ESME_RINVCMDLEN, "sm_length")
    yield "53-no-body", Case(of(b""), Status.ESME_RINVSERTYP, "service_type")
    overrun = message(b"", b"\x04\x24\0\x63outage")
    yield "54-tlv-overrun", Case(of(overrun), Status.ESME_RINVTLVSTREAM, "message_payload")
    late = message(b"outage", b"\x02\x04\0\2\0\1\x04")
    yield "54-tlv-cut-in-its-header", Case(of(late), Status.ESME_RINVTLVSTREAM, "TLV")
    wrong = message(b"outage", b"\x02\x04\0\1\1")
    yield "54-tlv-of-another-length", Case(of(wrong), Status.ESME_RINVTLVLEN, "user_message")
    twice = message(b"", PAYLOAD + PAYLOAD)
    yield "54-tlv-twice", Case(of(twice), Status.ESME_RINVTLVLEN, "twice")
    both = message(b"outage", PAYLOAD)
    yield "55-short-message-and-payload", Case(of(both), Status.ESME_RINVMSGLEN, "message_payload")
    sound = message()
    yield "56-sequence-0", Case(of(sound, number=0), Status.ESME_RSYSERR, "sequence_number", 0)
    high = of(sound, number=0x80000000)
    yield "56-sequence-80000000", Case(high, Status.ESME_RSYSERR, "sequence_number", 0)
    header = message(b"\x0a\0\3\1\2\1", esm_class=0x40)
    yield "57-udh-beyond-the-message", Case(of(header), Status.ESME_RINVMSGLEN, "user data header")
    nothing = message(b"", esm_class=0x40)
    yield "57-udh-without-a-message", Case(of(nothing), Status.ESME_RINVMSGLEN, "user data header")
    inside = message(b"", b"\x04\x24\0\2\xff\0", esm_class=0x40)
    yield "57-udh-beyond-the-payload", Case(of(inside), Status.ESME_RINVMSGLEN, "user data header")


CASES: Mapping[str, Case] = dict(_cases())


@dataclass
class Ours:
    """The gateway's side: bound, with one request in flight."""

    command_id: int = CommandId.DELIVER_SM
    log: list[str] = field(default_factory=list)
    used: list[object] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Bring the session to where a peer can do harm."""
        self.session = SmppSession(RULES, Credentials("gateway", "secret"))
        self.session.tick(now=0.0)
        accepted = smpp.Pdu(smpp.BindTransmitterResp(system_id="smsc"), 1)
        self.session.receive(smpp.encode(accepted), now=0.0)
        self.session.request(smpp.SubmitSm(short_message=b"x"), (), token="sent", now=0.0)
        self.session.outgoing()

    def receive(self, octets: bytes) -> None:
        """Take octets, and note what they led to."""
        for event in self.session.receive(octets, now=0.0):
            match event:
                case Closed(reason=reason):
                    self.log.append(reason)
                case Unanswered(token="sent") if self.session.is_closed():
                    pass  # the session's end leaves it in doubt, as it should
                case other:
                    self.used.append(other)

    def outgoing(self) -> bytes:
        """Give what goes out."""
        return self.session.outgoing()

    def is_closed(self) -> bool:
        """Tell whether the connection may be closed."""
        return self.session.is_closed()


@dataclass
class Theirs:
    """The simulator's side: a centre that somebody has bound to."""

    command_id: int = CommandId.SUBMIT_SM
    log: list[str] = field(default_factory=list)
    used: list[object] = field(default_factory=list)
    is_bound: bool = True

    def __post_init__(self) -> None:
        """Bring the session to where a peer can do harm."""
        phone = Handset(NUMBER, "KR-26", "ko", "ko", takes_broadcasts=False, keys={})
        self.centre = MessageCentre(
            "smsc",
            Network([phone], lambda _, shown: self.used.append(shown.text)),
            accounts=(),
            areas={},
            vendor_tlvs=VendorTlvs(),
            now_s=lambda: 1_635_130_800.0,
        )
        self.session = SmscSession(self.centre, self._note)
        if self.is_bound:
            bind = smpp.BindTransceiver(system_id="esme", interface_version=0x50)
            self.session.receive(smpp.encode(smpp.Pdu(bind, 1)))
            self.session.outgoing()
            self.log.clear()

    def _note(self, event: dict[str, Any]) -> None:
        self.log.append(str(event.get("detail", event["event"])))

    def receive(self, octets: bytes) -> None:
        """Take octets, and note what they led to."""
        self.session.receive(octets)

    def outgoing(self) -> bytes:
        """Give what goes out."""
        return self.session.outgoing()

    def is_closed(self) -> bool:
        """Tell whether the connection may be closed."""
        return self.session.is_closed


SIDES = {"gateway": Ours, "simulator": Theirs}


def fed(side: Ours | Theirs, octets: bytes, *, piece_octets: int) -> bytes:
    """Feed a stream in pieces of one size; gives all that goes out."""
    out = b""
    for start in range(0, len(octets), piece_octets):
        side.receive(octets[start : start + piece_octets])
        out += side.outgoing()
    return out


def nack(status: int, number: int) -> bytes:
    """Write a generic_nack."""
    return framed(CommandId.GENERIC_NACK, b"", number=number, status=status)


@pytest.mark.parametrize("piece_octets", [1 << 30, 1], ids=["whole", "by-octet"])
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("name", CASES)
def test_bad_pdu_is_answered_by_status_and_not_used(
    name: str, side: str, piece_octets: int
) -> None:
    """One generic_nack, nothing made of it, and a session that goes on unless framing is lost."""
    case, peer = CASES[name], SIDES[side]()

    out = fed(peer, case.stream(peer.command_id), piece_octets=piece_octets)
    after = fed(peer, ENQUIRE_LINK, piece_octets=piece_octets)

    assert out == nack(case.status, case.number)
    assert peer.is_closed() is case.is_end
    alive = framed(CommandId.ENQUIRE_LINK_RESP, b"", number=8)
    assert after == (b"" if case.is_end else alive)
    assert peer.used == []
    if case.is_end or side == "simulator":
        (line,) = peer.log
        assert case.words in line


@pytest.mark.parametrize("side", SIDES)
def test_sound_pdu_is_used(side: str) -> None:
    """Else the refusals above would say nothing: the frame around each fault is sound."""
    peer = SIDES[side]()

    out = fed(peer, framed(peer.command_id, message()), piece_octets=1)

    (answer,) = smpp.Framer().receive(out)
    assert isinstance(answer, smpp.Pdu)
    assert answer.sequence_number == 7
    if side == "simulator":
        assert (answer.command_status, peer.used) == (Status.ESME_ROK, ["outage"])
    else:
        assert answer.command_status == Status.ESME_RX_T_APPN  # nothing is asked for on this bind


@pytest.mark.parametrize("side", SIDES)
def test_49_length_that_lies_costs_no_memory(side: str) -> None:
    """Of 64 MiB behind it nothing is kept, and nothing is said about it again."""
    peer, piece = SIDES[side](), bytes(PIECE_OCTETS)
    peer.receive(b"\xff\xff\xff\xff" + piece)
    peer.outgoing()
    tracemalloc.start()
    for _ in range(1_024):
        peer.receive(piece)
    _, peak_octets = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak_octets < ROOM_OCTETS
    assert (peer.outgoing(), len(peer.log)) == (b"", 1)


@pytest.mark.parametrize("piece_octets", [1 << 30, 1], ids=["whole", "by-octet"])
@pytest.mark.parametrize(
    ("command_id", "body", "answer"),
    [
        (CommandId.SUBMIT_SM, message(), CommandId.SUBMIT_SM_RESP),
        (CommandId.DATA_SM, ADDRESSES + bytes(3), CommandId.DATA_SM_RESP),
        (CommandId.QUERY_SM, b"1\0" + bytes(3), CommandId.QUERY_SM_RESP),
        (CommandId.CANCEL_BROADCAST_SM, bytes(5), CommandId.CANCEL_BROADCAST_SM_RESP),
        (CommandId.UNBIND, b"", CommandId.UNBIND_RESP),
    ],
    ids=lambda value: value.name.lower() if isinstance(value, CommandId) else "",
)
def test_51_request_before_the_bind_is_refused(
    command_id: CommandId, body: bytes, answer: CommandId, piece_octets: int
) -> None:
    """By its own answer with ESME_RINVBNDSTS; nothing reaches a phone."""
    peer = Theirs(is_bound=False)

    out = fed(peer, framed(command_id, body), piece_octets=piece_octets)

    (pdu,) = smpp.Framer().receive(out)
    assert isinstance(pdu, smpp.Pdu)
    assert (pdu.body.COMMAND_ID, pdu.command_status) == (answer, Status.ESME_RINVBNDSTS)
    assert (peer.used, peer.log) == ([], ["not bound"])


def _tlvs(tlvs: bytes) -> bytes:
    return framed(CommandId.SUBMIT_SM_RESP, b"1\0" + tlvs, number=2)


@pytest.mark.parametrize("piece_octets", [1 << 30, 1], ids=["whole", "by-octet"])
@pytest.mark.parametrize(
    "octets",
    [
        framed(CommandId.SUBMIT_SM_RESP, b"1" * 80, number=2),
        framed(CommandId.SUBMIT_SM_RESP, b"1" * 65 + b"\0", number=2),
        _tlvs(b"\x04\x25\0\x09x"),
        _tlvs(b"\x04"),
    ],
    ids=["53-without-nul", "53-message-id-too-long", "54-tlv-overrun", "54-tlv-cut"],
)
def test_answer_that_cannot_be_read_is_no_yes(octets: bytes, piece_octets: int) -> None:
    """The request is in doubt: a yes that is half readable is not taken for one."""
    peer = Ours()

    out = fed(peer, octets, piece_octets=piece_octets)

    assert (out, peer.used, peer.is_closed()) == (b"", [Unanswered("sent")], False)


def test_answer_that_can_be_read_is_a_yes() -> None:
    """Else the test above would say nothing."""
    peer = Ours()

    fed(peer, _tlvs(b""), piece_octets=1)

    (event,) = peer.used
    assert isinstance(event, Answered)
    assert event.pdu.body == smpp.SubmitSmResp(message_id="1")
