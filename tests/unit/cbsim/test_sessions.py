"""Sessions: framing, the short way beside the long one, limits, time."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbgateway.codec import smpp
from cbsim import session as session_module
from cbsim.fast import read_submit
from cbsim.refusal import Refusal
from cbsim.submissions import submission_of
from tests.unit.cbsim.conftest import Lab

ASCII = st.characters(min_codepoint=1, max_codepoint=127)
ADDRESS = st.builds(
    smpp.Address, st.integers(0, 7), st.integers(0, 20), st.text(ASCII, max_size=20)
)
TIMES = st.sampled_from(["", "", "", "000000000100000R", "211025030005000+", "xxxxxxxxxxxxxxxx"])
COMMON = st.builds(
    smpp.SubmitSm,
    service_type=st.text(ASCII, max_size=5),
    source=ADDRESS,
    destination=ADDRESS,
    esm_class=st.sampled_from([0, 0, 0, 1, 3, 0x40, 0xFF]),
    protocol_id=st.integers(0, 255),
    priority_flag=st.integers(0, 6),
    schedule_delivery_time=TIMES,
    validity_period=TIMES,
    registered_delivery=st.sampled_from([0, 0, 1, 2, 3, 0x10, 0x20]),
    replace_if_present_flag=st.sampled_from([0, 0, 0, 1, 2]),
    data_coding=st.integers(0, 255),
    sm_default_msg_id=st.integers(0, 255),
    short_message=st.binary(max_size=255),
)
TLVS = st.lists(
    st.sampled_from(
        [
            smpp.Tlv(smpp.TlvTag.MESSAGE_PAYLOAD, b"payload"),
            smpp.Tlv.integer(smpp.TlvTag.USER_MESSAGE_REFERENCE, 7),
            smpp.Tlv.integer(smpp.TlvTag.SAR_TOTAL_SEGMENTS, 2),
            smpp.Tlv.string(smpp.TlvTag.RECEIPTED_MESSAGE_ID, "1"),
            smpp.Tlv(0x1400, b""),
        ]
    ),
    max_size=2,
)


def octets_of(body: smpp.SubmitSm, tlvs: list[smpp.Tlv], number: int = 1) -> bytes:
    """Write a submit_sm."""
    return smpp.encode(smpp.Pdu(body, number, tlvs=tuple(tlvs)))


def spoil(octets: bytes, at: int, octet: int) -> bytes:
    """Change one octet behind the length."""
    at = 4 + at % (len(octets) - 4)
    return octets[:at] + bytes((octet,)) + octets[at + 1 :]


SUBMITS = st.builds(octets_of, COMMON, TLVS)
SPOILT = st.one_of(
    SUBMITS, st.builds(spoil, SUBMITS, st.integers(0, 500), st.integers(0, 255)), st.binary()
)


@given(SUBMITS)
def test_short_way_reads_what_the_decoder_reads(octets: bytes) -> None:
    """Whatever the regular expression takes, decoder and checks take, and read the same."""
    quick = read_submit(octets, 16, len(octets))
    if quick is None:
        return
    taken = submission_of(smpp.decode(octets))

    names = ("service_type", "source", "destination", "esm_class", "registered_delivery")
    for name in (*names, "data_coding", "text", "times", "replace_if_present_flag", "tlvs"):
        assert getattr(taken, name) == getattr(quick, name)


def test_short_way_sees_a_text_that_is_cut_off() -> None:
    """It may be missing whole."""
    octets = octets_of(smpp.SubmitSm(destination=smpp.Address(1, 1, "1"), short_message=b"a"), [])

    assert read_submit(octets, 16, len(octets)) is not None
    assert read_submit(octets, 16, len(octets) - 1) is None


@given(st.builds(spoil, SUBMITS, st.integers(0, 500), st.integers(0, 255)))
def test_short_way_takes_nothing_that_is_wrong(octets: bytes) -> None:
    """A spoilt submit_sm that it takes is one that the decoder takes too."""
    if octets[4:8] != b"\0\0\0\4" or read_submit(octets, 16, len(octets)) is None:
        return
    if octets[12:16] == b"\0\0\0\0" or octets[12] > 0x7F:
        return  # the session looks at the sequence number first
    try:
        submission_of(smpp.decode(octets))
    except (smpp.PduError, Refusal) as error:
        pytest.fail(f"the short way took what is wrong: {error}")


@given(st.lists(SPOILT, max_size=6), st.lists(st.integers(1, 400), max_size=8))
def test_both_ways_and_all_pieces_give_the_same_answers(pdus: list[bytes], cuts: list[int]) -> None:
    """With and without the short way, whole and in pieces: octet for octet the same."""

    def run(*, is_quick: bool, pieces: list[int]) -> tuple[bytes, bool, list[Any]]:
        lab = Lab({"receipts": {"delay": 60}})  # they would stand between answers to pieces
        esme = lab.esme().bind()
        if not is_quick:
            esme.session._quick_submit = lambda *_: False
        stream = b"".join(pdus)
        for length in pieces:
            esme.session.receive(stream[:length], lab.now_s)
            stream = stream[length:]
        esme.session.receive(stream, lab.now_s)
        messages = [one.facts() for one in lab.centre.messages.newest()]
        return esme.session.outgoing(), esme.session.is_closed, messages

    expected = run(is_quick=False, pieces=[])
    assert run(is_quick=True, pieces=[]) == expected
    assert run(is_quick=True, pieces=cuts) == expected


def test_short_way_is_taken(lab: Any, message_to: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a common submit_sm; not by one with a TLV twice; also while every PDU is told."""
    asked: list[bool] = []
    real: Callable[..., Any] = session_module.read_submit

    def spy(*arguments: Any) -> Any:
        found = real(*arguments)
        asked.append(found is not None)
        return found

    monkeypatch.setattr(session_module, "read_submit", spy)
    one = lab()
    esme = one.esme().bind()
    esme.ask(message_to())
    esme.ask(message_to(), *[smpp.Tlv(0x1400, b"x")] * 2)
    one.centre.on_trace = lambda session, direction, octets: None
    esme.ask(message_to())

    assert asked == [True, False, True]


def test_every_pdu_is_told_when_asked_for(lab: Any, message_to: Any) -> None:
    """In and out, in order, with its octets."""
    one = lab()
    told: list[tuple[str, str]] = []
    one.centre.on_trace = lambda session, direction, octets: told.append(
        (direction, octets[4:8].hex())
    )
    one.esme().bind().ask(message_to())

    assert told == [
        ("in", "00000009"),
        ("out", "80000009"),
        ("in", "00000004"),
        ("out", "80000004"),
    ]


@pytest.mark.parametrize("length", [0, 15, 70_001, 0xFFFFFFFF])
def test_length_that_cannot_be_believed_ends_the_session(lab: Any, length: int) -> None:
    """As soon as its four octets are there, in pieces too, and even before the bind."""
    for cut in (1, 2, 4):
        one = lab()
        esme = one.esme()
        octets = length.to_bytes(4, "big")
        esme.send_octets(octets[:cut])
        esme.send_octets(octets[cut:])
        (nack,) = esme.got()

        assert smpp.status_name(nack.command_status) == "ESME_RINVCMDLEN"
        assert esme.session.is_closed
        assert "command_length at octet 0" in one.told("wrong")[0]["detail"]


def test_long_pdu_in_single_octets_is_read(lab: Any, message_to: Any) -> None:
    """Sixty thousand pieces of one PDU are put together in passable time."""
    one = lab()
    esme = one.esme().bind()
    payload = smpp.Tlv(smpp.TlvTag.MESSAGE_PAYLOAD, b"x" * 60_000)
    octets = smpp.encode(smpp.Pdu(message_to(), 2, tlvs=(payload,)))
    for at in range(len(octets)):
        esme.session.receive(octets[at : at + 1], one.now_s)

    assert esme.got()[0].sequence_number == 2


def test_answers_are_late_in_order_or_not(lab: Any, message_to: Any) -> None:
    """A drawn delay keeps the order unless answers may overtake each other."""

    def numbers(*, in_order: bool) -> list[int]:
        settings = {"delay": "lognormal:0.1,1", "in_order": in_order}
        one = lab({"answers": settings, "seed": 3})
        esme = one.esme().bind()
        for _ in range(50):
            esme.send(message_to())
        one.wait(60)
        return [pdu.sequence_number for pdu in esme.got()]

    assert numbers(in_order=True) == list(range(2, 52))
    assert sorted(numbers(in_order=False)) == list(range(2, 52))
    assert numbers(in_order=False) != numbers(in_order=True)


def test_errors_throttling_and_congestion(lab: Any, message_to: Any) -> None:
    """By share and status; by rate within a window; told by a TLV in 5.0."""
    esme = lab({"answers": {"error_share": 1.0, "error_status": 0x4FF}}).esme().bind()
    assert esme.ask(message_to()).command_status == 0x4FF

    one = lab({"answers": {"per_s": 2, "limit_window_s": 2}})
    esme = one.esme().bind()
    statuses = [esme.ask(message_to()).command_status for _ in range(6)]
    assert statuses == [0, 0, 0, 0, 0x58, 0x58]
    assert one.centre.counters.throttled == 2
    one.wait(2)
    assert esme.ask(message_to()).command_status == 0

    one = lab({"answers": {"congestion": 95}})
    answers = [one.esme().bind(interface_version=v).ask(message_to()) for v in (0x34, 0x50)]
    assert [pdu.tlv(smpp.TlvTag.CONGESTION_STATE) for pdu in answers] == [None, b"\x5f"]


def test_silence_has_an_end(lab: Any) -> None:
    """No bind; no word for too long; enquire_link of the centre keeps it alive."""
    one = lab({"sessions": {"init_s": 10, "idle_s": 30, "enquire_s": 20}})
    silent, esme = one.esme(accepted=True), one.esme(accepted=True).bind()
    one.wait(10)
    assert (silent.session.is_closed, esme.session.is_closed) == (True, False)
    one.wait(10)
    (enquiry,) = esme.got()
    esme.answer(smpp.EnquireLinkResp(), enquiry.sequence_number)
    one.wait(29)
    assert not esme.session.is_closed
    one.wait(31)
    assert esme.session.is_closed
    assert [line["detail"] for line in one.told("dropped")] == [
        "said nothing",
        "silent for 30 s",
    ]


def test_centre_is_steered_while_it_runs(lab: Any, message_to: Any) -> None:
    """A changed setting counts from the next message on; a wrong one changes nothing."""
    one = lab()
    esme = one.esme().bind()
    assert esme.ask(message_to()).command_status == 0
    one.centre.set({"faults": ["queue-full"], "seed": 5})
    assert esme.ask(message_to()).command_status == smpp.Status.ESME_RMSGQFUL
    with pytest.raises(ValueError, match="did you mean 'queue-full'"):
        one.centre.set({"faults": ["que-full"], "answers": {"per_s": 1}})
    assert one.centre.scenario.answers.per_s == 0
    one.centre.set({"faults": []})
    assert esme.ask(message_to()).command_status == 0
    one.centre.unbind_all()
    assert isinstance(esme.got()[0].body, smpp.Unbind)


def test_centre_takes_no_answers_for_requests(lab: Any) -> None:
    """What nobody asked for, and what no ESME may ask, does no harm."""
    esme = lab().esme().bind()
    esme.answer(smpp.SubmitSmResp(), 7)
    esme.answer(smpp.UnbindResp(), 7)
    assert (esme.got(), esme.session.is_closed) == ([], False)
    assert smpp.status_name(esme.ask(smpp.DeliverSm()).command_status) == "ESME_RINVCMDID"
