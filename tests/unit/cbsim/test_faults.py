"""Every fault does what its line in the table says."""

from pathlib import Path
from typing import Any

import pytest

from cbgateway.codec import smpp
from cbsim.accounts import Account
from cbsim.faults import FAULTS, Stage, read_fault

SUBMIT = smpp.SubmitSm(destination=smpp.Address(1, 1, "1"), short_message=b"x")


def status(pdu: smpp.Pdu) -> str:
    """Give an answer's status by its name."""
    return smpp.status_name(pdu.command_status)


def bound(lab: Any, *faults: str, **settings: Any) -> tuple[Any, Any]:
    """Give a lab with some faults, and an ESME that is bound."""
    one = lab({"faults": list(faults), **settings})
    return one, one.esme().bind()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("reset", (1.0, None, 0, 0.0)),
        ("reset:5%", (0.05, None, 0, 0.0)),
        ("reset:0.25", (0.25, None, 0, 0.0)),
        ("reset:.5", (0.5, None, 0, 0.0)),
        ("reset:3", (1.0, 3, 0, 0.0)),
        ("reset:3x,after=10", (1.0, 3, 10, 0.0)),
        ("reset:after=1.5s,50%", (0.5, None, 0, 1.5)),
    ],
)
def test_when_is_read(text: str, expected: tuple[Any, ...]) -> None:
    """Share, count, occasions, seconds; written again it is the same."""
    use = read_fault(text)

    assert (use.share, use.times, use.after, use.after_s) == expected
    assert read_fault(str(use)) == use


@pytest.mark.parametrize(
    "text", ["reset:200%", "reset:often", "reset:1.2.3s", "reset:after=1.2.3s", "rest", "", "x:3"]
)
def test_nonsense_is_refused(text: str) -> None:
    """With a sentence that says what is possible."""
    with pytest.raises(ValueError, match="fault|says not when"):
        read_fault(text)


def test_share_count_and_delay_are_kept(lab: Any) -> None:
    """About a share; at most so often; not before so many occasions or seconds."""
    one, esme = bound(lab, "throttled:20%")
    refused = sum(status(esme.submit()) == "ESME_RTHROTTLED" for _ in range(500))
    assert 60 < refused < 140
    assert one.centre.director.faults.counts() == {"throttled": refused}

    one, esme = bound(lab, "throttled:2x,after=3")
    found = [status(esme.submit()) for _ in range(7)]
    assert found == ["ESME_ROK"] * 3 + ["ESME_RTHROTTLED"] * 2 + ["ESME_ROK"] * 2

    one, esme = bound(lab, "throttled:after=5s")
    assert status(esme.submit()) == "ESME_ROK"
    one.wait(5)
    assert status(esme.submit()) == "ESME_RTHROTTLED"


def test_first_of_a_stage_happens(lab: Any) -> None:
    """Two faults of one moment: the first that draws it; the other next time."""
    _, esme = bound(lab, "throttled:1x", "queue-full:1x")

    found = [status(esme.submit()) for _ in range(3)]
    assert found == ["ESME_RTHROTTLED", "ESME_RMSGQFUL", "ESME_ROK"]


@pytest.mark.parametrize(
    "fault",
    [one for one in FAULTS.values() if one.status is not None],
    ids=lambda one: one.name,
)
def test_refusal_has_its_status(lab: Any, fault: Any) -> None:
    """Binds and messages are refused by name, and nothing is taken."""
    one = lab({"faults": [fault.name]})
    esme = one.esme()
    if fault.stage is Stage.BIND:
        answer = esme.ask(smpp.BindTransceiver(system_id="esme"))
    else:
        answer = esme.bind().ask(SUBMIT)

    assert answer.command_status == fault.status
    assert one.centre.counters.submitted == 0
    assert one.told("fault")[0]["fault"] == fault.name


def test_faults_of_the_accept(lab: Any) -> None:
    """Before anything is said."""
    for name in ("stall-accept", "zero-window"):
        session = lab({"faults": [name]}).esme(accepted=True).session
        assert (session.is_deaf, session.wants_small_buffer) == (True, name == "zero-window")
    assert lab({"faults": ["close-accept"]}).esme(accepted=True).session.is_closed
    assert lab({"faults": ["reset-accept"]}).esme(accepted=True).session.is_reset
    (outbind,) = lab({"faults": ["outbind"]}).esme(accepted=True).got()
    assert outbind.body == smpp.Outbind(system_id="smsc")
    (garbage,) = lab({"faults": ["garbage-accept"]}).esme(accepted=True).got()
    assert garbage.error.framing_lost
    assert not lab().esme(accepted=True).session.is_closed


def test_faults_of_the_bind(lab: Any) -> None:
    """Answered wrongly, twice, late, or not at all."""
    bind = smpp.BindTransceiver(system_id="esme")

    def after(name: str) -> Any:
        esme = lab({"faults": [name]}).esme()
        esme.send(bind)
        return esme

    (nack,) = after("bind-nack").got()
    assert isinstance(nack.body, smpp.GenericNack)
    stalled = after("stall-bind")
    stalled.send(smpp.EnquireLink())
    assert (stalled.got(), stalled.session.is_closed) == ([], False)
    closed = after("close-bind")
    assert (closed.got(), closed.session.is_closed) == ([], True)
    assert after("reset-bind").session.is_reset
    assert [type(pdu.body) for pdu in after("bind-twice").got()] == [smpp.BindTransceiverResp] * 2
    kinds = [type(pdu.body) for pdu in after("bind-late-data").got()]
    assert kinds == [smpp.DeliverSm, smpp.BindTransceiverResp]


def test_faults_of_a_wrong_password(lab: Any) -> None:
    """Let in, closed or left without an answer, instead of ESME_RINVPASWD."""
    wrong = smpp.BindTransceiver(system_id="esme", password="wrong")
    accounts = (Account("esme", "secret"),)

    def after(*names: str) -> Any:
        esme = lab({"faults": list(names)}, accounts=accounts).esme()
        esme.send(wrong)
        return esme

    assert status(after().got()[0]) == "ESME_RINVPASWD"
    assert status(after("password-ignored").got()[0]) == "ESME_ROK"
    closed, silent = after("password-close"), after("password-silent")
    assert (closed.got(), closed.session.is_closed) == ([], True)
    assert (silent.got(), silent.session.is_closed) == ([], False)


def test_faults_behind_the_bind(lab: Any) -> None:
    """A flood whatever the window, for receivers; or an unbind."""
    one = lab({"faults": ["flood"], "answers": {"flood": 700}, "delivery": {"window": 1}})
    esme, transmitter = one.esme(), one.esme()
    esme.send(smpp.BindReceiver(system_id="esme"))
    transmitter.send(smpp.BindTransmitter(system_id="esme"))
    assert (len(esme.got()), len(transmitter.got())) == (701, 1)

    esme = lab({"faults": ["unbind-at-once"]}).esme()
    esme.send(smpp.BindReceiver(system_id="esme"))
    unbind = esme.got()[1]
    assert isinstance(unbind.body, smpp.Unbind)
    esme.answer(smpp.UnbindResp(), unbind.sequence_number)
    assert esme.session.is_closed


def test_faults_of_enquire_link(lab: Any) -> None:
    """Silence, or an error; messages go on."""
    _, esme = bound(lab, "no-enquire-link")
    esme.send(smpp.EnquireLink())
    assert (esme.got(), status(esme.submit())) == ([], "ESME_ROK")
    _, esme = bound(lab, "enquire-error")
    assert status(esme.ask(smpp.EnquireLink())) == "ESME_RSYSERR"


def test_message_is_not_taken(lab: Any) -> None:
    """Nor answered, or answered by a generic_nack; submit_multi too."""
    one, esme = bound(lab, "lost-request")
    esme.send(SUBMIT)
    assert (esme.got(), one.centre.counters.submitted) == ([], 0)
    one, esme = bound(lab, "nack")
    assert isinstance(esme.ask(SUBMIT).body, smpp.GenericNack)
    esme.send_octets(b"\0\0\0\x10\0\0\0\x21\0\0\0\0\0\0\0\x09")
    assert isinstance(esme.got()[0].body, smpp.GenericNack)
    assert one.centre.counters.submitted == 0


def answers(lab: Any, name: str, count: int = 1) -> tuple[Any, Any, bytes]:
    """Submit under a fault; gives the lab, the ESME and the octets that came."""
    one, esme = bound(lab, name)
    for _ in range(count):
        esme.send(SUBMIT)
    return one, esme, esme.session.outgoing()


HEAD = "000000198000000400000000"
ANSWER = HEAD + "00000002" + b"00000001\0".hex()
SECOND = HEAD + "00000003" + b"00000002\0".hex()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("lost-answer", ""),
        ("answer-twice", ANSWER * 2),
        ("wrong-sequence", ANSWER.replace("00000002", "01000002", 1)),
        ("zero-sequence", ANSWER.replace("00000002", "00000000", 1)),
        ("wrong-command", "00000010800000080000000000000002"),
        ("no-message-id", "0000001180000004000000000000000200"),
        ("header-only", "00000010800000040000000000000002"),
        ("length-15", "0000000f" + ANSWER[8:]),
        ("length-64k", "00010000" + ANSWER[8:]),
        ("length-4g", "ffffffff" + ANSWER[8:]),
        ("length-short", "00000018" + ANSWER[8:]),
        ("no-nul", "00000018" + ANSWER[8:-2]),
        ("tlv-overrun", "0000001e" + ANSWER[8:] + "0427ffff02"),
        ("tlv-unknown", "0000001f" + ANSWER[8:] + "140000020102"),
        ("unknown-command", "000000100000face0000000000000002" + ANSWER),
        ("unasked-answer", "00000010800000150000000000000002" + ANSWER),
    ],
)
def test_answer_is_broken_as_named(lab: Any, name: str, expected: str) -> None:
    """Octet by octet; the message itself is taken."""
    one, esme, octets = answers(lab, name)

    assert octets.hex() == expected
    assert one.centre.counters.submitted == 1
    assert not esme.session.is_closed


def test_long_message_id_and_garbage(lab: Any) -> None:
    """One character too many; and no SMPP at all."""
    _, _, octets = answers(lab, "long-message-id")
    assert (len(octets), octets[16:]) == (82, b"9" * 65 + b"\0")
    _, _, octets = answers(lab, "garbage")
    assert octets.startswith(b"HTTP/1.1 400")


def test_faults_that_look_at_the_answer_before(lab: Any) -> None:
    """Its sequence number, its message_id, or its place."""
    _, _, octets = answers(lab, "repeat-sequence", 2)
    assert octets.hex() == ANSWER + SECOND.replace("00000003", "00000002", 1)
    _, _, octets = answers(lab, "same-message-id", 2)
    assert octets.hex() == ANSWER + SECOND[:32] + ANSWER[32:]
    _, esme = bound(lab, "swap-answers:1x")
    esme.send(SUBMIT)
    assert esme.got() == []
    esme.send(SUBMIT)
    assert esme.session.outgoing().hex() == SECOND + ANSWER


def test_answer_is_late_or_drips(lab: Any) -> None:
    """After a minute; octet by octet, with what follows behind it."""
    one, esme, octets = answers(lab, "slow-answer")
    assert octets == b""
    one.wait(60)
    assert len(esme.got()) == 1

    one, esme, octets = answers(lab, "drip")
    assert octets.hex() == "00"
    esme.send(smpp.EnquireLink())
    pieces = []
    for _ in range(30):
        one.wait(0.05)
        pieces.append(esme.session.outgoing())
    assert [len(piece) for piece in pieces[:25]] == [1] * 24 + [16]
    assert octets + b"".join(pieces[:24]) == bytes.fromhex(ANSWER)


def test_connection_ends_or_falls_silent(lab: Any) -> None:
    """In every way that a tester has seen one end."""
    _, esme, octets = answers(lab, "cut")
    assert (octets.hex(), esme.session.is_closed) == (ANSWER[:24], True)
    _, esme, octets = answers(lab, "stall-half")
    esme.send(smpp.EnquireLink())
    assert (octets.hex(), esme.got(), esme.session.is_closed) == (ANSWER[:24], [], False)
    _, esme, octets = answers(lab, "close")
    assert (octets, esme.session.is_closed, esme.session.is_reset) == (b"", True, False)
    assert answers(lab, "reset")[1].session.is_reset
    one, esme, octets = answers(lab, "unbind")
    assert octets.hex() == "00000010000000060000000000000001"
    one.wait(5)
    assert esme.session.is_closed
    one, esme, _ = answers(lab, "stall-answer")
    esme.send(smpp.EnquireLink())
    esme.send(SUBMIT)
    assert (esme.got(), one.centre.counters.submitted) == ([], 2)
    assert answers(lab, "stall-read")[1].session.is_deaf


def test_restart_drops_everybody(lab: Any) -> None:
    """Messages are kept, or lost with everything that was due."""
    for name, kept in (("restart", 1), ("restart-empty", 0)):
        one = lab({"faults": [name], "states": {"enroute": 5}, "answers": {"down_s": 3}})
        other, esme = one.esme().bind(), one.esme().bind()
        esme.send(SUBMIT)
        assert (other.session.is_reset, esme.session.is_reset) == (True, True)
        assert len(one.centre.messages) == len(one.centre.messages.pending) == kept
        assert one.centre.down_until_s == one.now_s + 3
        assert one.told("restart") == [{"event": "restart", "keeps_messages": bool(kept)}]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("deliver-same-sequence", "0000003a000000050000000000000001"),
        ("deliver-unknown-command", "0000003a0000face0000000000000001"),
        ("deliver-no-nul", "0000003f000000050000000000000001414141414141"),
    ],
)
def test_deliver_sm_is_broken_as_named(lab: Any, name: str, expected: str) -> None:
    """Octet by octet."""
    one, esme = bound(lab, name)
    one.centre.incoming(text="hello wide world")
    octets = esme.session.outgoing().hex()

    assert octets[8:].startswith(expected[8:])
    assert int(octets[:8], 16) * 2 == len(octets)


def test_deliver_sm_is_cut(lab: Any) -> None:
    """Half of it, then the connection is closed."""
    one, esme = bound(lab, "deliver-cut")
    one.centre.incoming(text="hello")

    octets = esme.session.outgoing()
    assert len(octets) == int.from_bytes(octets[:4], "big") // 2
    assert esme.session.is_closed


def test_every_fault_is_looked_at() -> None:
    """A new line in the table needs a test here; refusals have one for all of them."""
    text = Path(__file__).read_text("utf-8")

    assert [
        name for name, one in FAULTS.items() if one.status is None and f'"{name}' not in text
    ] == []
