"""The load generator's session and schedule, on a clock of our own and without sockets."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbgateway.codec import smpp, smpp_text
from cbsim.esme import Bind, EsmeSession, Mode, State
from cbsim.esme_load import Load, Tally
from cbsim.esme_messages import Destinations, Messages

OK = smpp.Status.ESME_ROK
THROTTLED = smpp.Status.ESME_RTHROTTLED


class Bench:
    """A session with its peer, played by the test."""

    def __init__(self, load: Load | None = None, *, is_bound: bool = True, **bind: Any) -> None:
        facts: dict[str, Any] = {"system_id": "me", "password": "secret", "window": 4} | bind
        self.load = Load(count=100) if load is None else load
        self.tally = Tally()
        self.session = EsmeSession(Bind(**facts), self.load, self.tally)
        self.messages = Messages(
            ("hi",),
            iter(Destinations("8210###")),
            body=smpp.SubmitSm(destination=smpp.Address(1, 1, "")),
            data_coding=None,
            segmentation=smpp_text.Segmentation.UDH8,
        )
        self.session.start(0.0)
        if is_bound:
            (request,) = self.sent()
            self.say(smpp.response_to(request.body), request.sequence_number)
            self.load.start(0.0)

    def sent(self) -> list[smpp.Pdu]:
        """Give what the session has sent since."""
        items = smpp.Framer().receive(self.session.outgoing())
        assert all(isinstance(item, smpp.Pdu) for item in items)
        return items  # type: ignore[return-value]

    def say(
        self, body: smpp.Body, number: int, status: int = OK, *tlvs: smpp.Tlv, now_s: float = 0.0
    ) -> None:
        """Say something to the session."""
        octets = smpp.encode(smpp.Pdu(body, number, status, tlvs))
        self.session.receive(octets, now_s)

    def submit(self, now_s: float = 0.0) -> list[int]:
        """Let the session send what it may; gives the sequence numbers."""
        while self.session.submit(self.messages, now_s):
            pass
        return [pdu.sequence_number for pdu in self.sent()]

    def accept(self, number: int, status: int = OK, now_s: float = 0.0) -> None:
        """Answer a message."""
        self.say(smpp.SubmitSmResp(message_id="x"), number, status, now_s=now_s)


def test_binds_as_told() -> None:
    """Mode, version and names go out; the answer makes it bound and tells the peer's version."""
    bench = Bench(is_bound=False, mode=Mode.TRANSMITTER, version=0x50, system_type="lab")
    (request,) = bench.sent()

    assert request.body == smpp.BindTransmitter(
        system_id="me", password="secret", system_type="lab", interface_version=0x50
    )
    assert bench.submit() == []
    version = smpp.Tlv.integer(smpp.TlvTag.SC_INTERFACE_VERSION, 0x34)
    bench.say(smpp.BindTransmitterResp(), request.sequence_number, OK, version)
    assert (State.BOUND, 0x34) == (bench.session.state, bench.session.peer_version)


@pytest.mark.parametrize(
    ("body", "status", "problem"),
    [
        (smpp.BindTransceiverResp(), smpp.Status.ESME_RINVPASWD, "ESME_RINVPASWD"),
        (smpp.GenericNack(), smpp.Status.ESME_RINVCMDID, "by generic_nack"),
        (smpp.BindReceiverResp(), OK, "by bind_receiver_resp"),
    ],
)
def test_bind_that_is_refused_ends_the_session(body: smpp.Body, status: int, problem: str) -> None:
    """A status, a generic_nack, or the answer to something else."""
    bench = Bench(is_bound=False)
    bench.say(body, 1, status)

    assert bench.session.state is State.CLOSED
    assert problem in bench.session.problem


def test_window_is_kept() -> None:
    """No more than the window waits; each answer makes room for one."""
    bench = Bench()

    assert bench.submit() == [2, 3, 4, 5]
    assert bench.submit() == []
    bench.accept(4)
    bench.accept(3, smpp.Status.ESME_RINVDSTADR)
    assert bench.submit() == [6, 7]
    assert (6, 1, 4) == (bench.tally.sent, bench.tally.accepted, bench.session.outstanding)
    assert {smpp.Status.ESME_RINVDSTADR: 1} == bench.tally.refused


def test_load_ends_by_count_and_the_session_unbinds() -> None:
    """After the last answer."""
    bench = Bench(Load(count=2))
    assert bench.submit() == [2, 3]
    bench.accept(2)
    bench.accept(3)
    bench.session.unbind(1.0)
    (request,) = bench.sent()

    assert request.body == smpp.Unbind()
    bench.say(smpp.UnbindResp(), request.sequence_number)
    assert (State.CLOSED, "") == (bench.session.state, bench.session.problem)
    assert bench.load.is_finished(1.0)
    assert (2, 0) == (bench.tally.accepted, bench.load.unsent())


def test_latency_counts_from_both_times() -> None:
    """A message sent late has waited since it was due: the stall of one is felt by all."""
    bench = Bench(Load(count=100, rate=10.0), window=1)
    assert bench.submit(0.0) == [2]
    assert bench.submit(0.5) == []
    bench.accept(2, now_s=1.0)
    assert bench.submit(1.0) == [3]
    bench.accept(3, now_s=1.001)

    assert 1_000_000 == bench.tally.from_sent.value_max
    assert bench.tally.from_sent.quantile(500) == pytest.approx(1_000, rel=0.01)
    assert 890_000 < bench.tally.from_intended.quantile(500) < 910_000
    assert (1, 0.9) == (bench.tally.late, pytest.approx(bench.tally.latest_s))


def test_duplicates_late_answers_and_strays_are_told_apart() -> None:
    """An answer again, an answer to what was given up, and an answer to nothing."""
    bench = Bench(response_timeout_s=5.0, enquire_link_s=60.0)
    bench.submit()
    bench.accept(2)
    bench.accept(2)
    bench.session.tick(4.9)
    assert bench.tally.unanswered == 0
    bench.session.tick(5.0)
    bench.accept(3, now_s=5.1)
    bench.accept(3, now_s=5.2)
    bench.accept(99)

    tally = bench.tally
    assert (1, 3, 1, 2, 1) == (
        tally.accepted,
        tally.unanswered,
        tally.answered_late,
        tally.duplicates,
        tally.strays,
    )
    assert bench.session.outstanding == 0


def test_unanswered_message_is_in_nobodys_way() -> None:
    """The ring goes round past its place, and no number is used twice."""
    bench = Bench(Load(count=20_000), window=2)
    seen: set[int] = set()
    first, *more = bench.submit()
    while more:
        seen.update(more)
        for number in more:
            bench.accept(number)
        more = bench.submit()

    assert len(seen) == 19_999
    assert first not in seen
    assert (1, 19_999) == (bench.session.outstanding, bench.tally.accepted)
    assert bench.tally.strays == bench.tally.duplicates == 0


def test_sequence_numbers_begin_again() -> None:
    """After 0x7FFFFFFF comes 1."""
    bench = Bench()
    bench.session._next_number = 0x7FFFFFFE

    assert bench.submit() == [0x7FFFFFFE, 0x7FFFFFFF, 1, 2]
    for number in (2, 1, 0x7FFFFFFF, 0x7FFFFFFE):
        bench.accept(number)
    assert bench.tally.accepted == 4


def test_generic_nack_refuses_a_message() -> None:
    """By its status; one without a status is an error that has no name."""
    bench = Bench()
    bench.submit()
    bench.say(smpp.GenericNack(), 2, smpp.Status.ESME_RINVCMDLEN)
    bench.say(smpp.GenericNack(), 3)
    bench.say(smpp.GenericNack(), 0, smpp.Status.ESME_RINVCMDLEN)

    assert {smpp.Status.ESME_RINVCMDLEN: 1, smpp.Status.ESME_RUNKNOWNERR: 1} == bench.tally.refused
    assert (2, 1) == (bench.session.outstanding, bench.tally.strays)


def test_peers_requests_are_answered() -> None:
    """enquire_link, deliver_sm and unbind by their answers, what an ESME is not asked by a nack."""
    bench = Bench()
    bench.say(smpp.EnquireLink(), 7)
    bench.say(smpp.DeliverSm(short_message=b"hello"), 8)
    bench.say(smpp.QuerySm(message_id="1"), 9)
    bench.say(smpp.AlertNotification(), 10)
    bench.session.receive(bytes.fromhex("00000011 00000015 00000000 0000000b 00"), 0.0)
    answers = bench.sent()

    assert [
        (smpp.EnquireLinkResp, 7),
        (smpp.DeliverSmResp, 8),
        (smpp.GenericNack, 9),
        (smpp.GenericNack, 11),
    ] == [(type(pdu.body), pdu.sequence_number) for pdu in answers]
    assert (1, 1) == (bench.tally.delivered, bench.tally.unreadable)
    bench.submit()
    bench.sent()
    bench.say(smpp.Unbind(), 12)
    assert [smpp.UnbindResp()] == [pdu.body for pdu in bench.sent()]
    assert (State.CLOSED, 4) == (bench.session.state, bench.tally.unanswered)


@pytest.mark.parametrize(
    ("text", "tlvs", "state"),
    [
        (b"id:1 sub:001 stat:DELIVRD err:000 text:x", (), "DELIVERED"),
        (b"stat:UNDELIV", (), "UNDELIVERABLE"),
        (b"stat:EXPIRED", (), "EXPIRED"),
        (b"stat:DELIVRD", ((smpp.TlvTag.MESSAGE_STATE, b"\x08"),), "REJECTED"),
        (b"", ((smpp.TlvTag.MESSAGE_STATE, b"\x63"),), "state 99"),
        (b"", ((smpp.TlvTag.MESSAGE_PAYLOAD, b"stat:accepted"),), "ACCEPTED"),
        (b"nothing", (), "no state"),
    ],
)
def test_receipts_count_by_state(
    text: bytes, tlvs: tuple[tuple[int, bytes], ...], state: str
) -> None:
    """The TLV counts before the text, and the text is read leniently."""
    bench = Bench()
    body = smpp.DeliverSm(esm_class=4, short_message=text)
    bench.say(body, 1, OK, *(smpp.Tlv(tag, value) for tag, value in tlvs))

    assert {state: 1} == bench.tally.receipts
    assert bench.tally.delivered == 0


def test_silent_peer_is_asked_and_left() -> None:
    """enquire_link after the idle time; without an answer the session ends."""
    bench = Bench(enquire_link_s=30.0, response_timeout_s=10.0)
    bench.session.tick(29.9)
    assert bench.sent() == []
    bench.session.tick(30.0)
    bench.session.tick(31.0)
    (request,) = bench.sent()
    assert request.body == smpp.EnquireLink()
    bench.say(smpp.EnquireLinkResp(), request.sequence_number, now_s=32.0)
    bench.session.tick(61.9)
    assert bench.sent() == []
    bench.session.tick(62.0)
    bench.session.tick(72.0)

    assert bench.session.problem == "enquire_link was not answered"


def test_broken_length_ends_the_session() -> None:
    """What came before it counts."""
    bench = Bench()
    bench.submit()
    answer = smpp.encode(smpp.Pdu(smpp.SubmitSmResp(message_id="x"), 2))
    bench.session.receive(answer + b"\xff" * 16, 0.0)

    assert (1, 3, 1) == (bench.tally.accepted, bench.tally.unanswered, bench.tally.unreadable)
    assert "4294967295 octets" in bench.session.problem


@given(st.lists(st.integers(1, 40), max_size=20), st.binary(max_size=60))
def test_pieces_make_no_difference(sizes: list[int], garbage: bytes) -> None:
    """Whole or in pieces, and with garbage behind: the same counts, and never an exception."""
    counts = []
    for cuts in (sizes, []):
        bench = Bench()
        bench.submit()
        octets = b"".join(
            smpp.encode(pdu)
            for pdu in (
                smpp.Pdu(smpp.SubmitSmResp(message_id="abc"), 2),
                smpp.Pdu(smpp.SubmitSmResp(), 3, THROTTLED),
                smpp.Pdu(smpp.DeliverSm(short_message=b"hello"), 1),
                smpp.Pdu(smpp.SubmitSmResp(message_id="abc"), 4),
            )
        )
        octets += garbage
        at = 0
        for size in (*cuts, len(octets)):
            bench.session.receive(octets[at : at + size], 0.0)
            at += size
        tally = bench.tally
        counts.append((tally.accepted, dict(tally.refused), tally.delivered, tally.unreadable))
        assert (2, {THROTTLED: 1}) == (tally.accepted, dict(tally.refused))

    assert counts[0] == counts[1]


def test_open_loop_keeps_its_schedule() -> None:
    """Messages are due by the clock alone; what is not sent in time counts as unsent."""
    load = Load(seconds_s=1.0, rate=10.0)
    load.start(100.0)

    assert (1, 1, 6, 10) == tuple(load.due(at_s) for at_s in (100.0, 100.05, 100.5, 101.2))
    assert pytest.approx([100.0, 100.1, 100.2]) == list(load.take(3, 100.9))
    assert load.next_due_s(100.0) == pytest.approx(100.3)
    assert load.due(100.1) < 0  # ahead of the schedule
    assert not load.is_finished(101.0)
    assert load.is_finished(101.25)
    assert (7, 1.0) == (load.unsent(), load.span_s(100.8 + 0.2))
    assert load.next_due_s(101.3) is None


def test_closed_loop_ends_by_time() -> None:
    """Nothing is unsent, as nothing was planned."""
    load = Load(seconds_s=1.0)
    load.start(0.0)

    assert load.due(0.9) > 0
    assert load.next_due_s(0.9) is None
    assert (0, 0) == (load.due(1.0), load.unsent())
    with pytest.raises(ValueError, match="ends by count or by time"):
        Load()


def test_throttling_is_respected_when_told_to() -> None:
    """The pause doubles with each refusal behind it, and shrinks when messages are accepted."""
    load = Load(count=100, respects_throttling=True)
    load.start(0.0)
    load.answered(3, 0, 0.0)

    assert (0, 0.1) == (load.due(0.05), load.next_due_s(0.05))
    assert load.due(0.1) == 100
    load.answered(1, 0, 0.05)  # the same burst
    load.answered(1, 0, 1.0)
    assert load.next_due_s(1.0) == 1.2
    load.answered(0, 1, 2.0)
    load.answered(1, 0, 3.0)
    assert load.next_due_s(3.0) == 3.2
    for at_s in range(10, 100, 10):
        load.answered(1, 0, float(at_s))
    assert load.next_due_s(90.0) == 95.0


def test_throttling_is_only_counted_otherwise() -> None:
    """Load is load."""
    bench = Bench()
    bench.submit()
    for number in (2, 3, 4, 5):
        bench.accept(number, THROTTLED)

    assert len(bench.submit()) == 4
    assert {THROTTLED: 4} == bench.tally.refused


def test_window_has_a_limit() -> None:
    """Both ends are checked."""
    for window in (0, 100_001):
        with pytest.raises(ValueError, match="is not in"):
            Bench(window=window)
