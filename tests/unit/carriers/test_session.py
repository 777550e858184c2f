"""The SMPP session: bind, window, timers and a peer's faults, without a socket or a clock."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbgateway.app import load_checked_profiles
from cbgateway.carriers.smpp.session import (
    Answered,
    Bound,
    Closed,
    Credentials,
    SmppSession,
    State,
    Unanswered,
)
from cbgateway.codec import smpp
from cbsim.network import Network
from cbsim.smsc import Account, MessageCentre, SmscSession, VendorTlvs

RULES = load_checked_profiles(None).carriers["kt"].smpp.model_copy(update={"bind": "transmitter"})
TLVS = (
    smpp.Tlv(smpp.TlvTag.BROADCAST_AREA_IDENTIFIER, b"\0KR"),
    smpp.Tlv(smpp.TlvTag.BROADCAST_CONTENT_TYPE, b"\1\0\1"),
    smpp.Tlv(smpp.TlvTag.BROADCAST_FREQUENCY_INTERVAL, b"\x08\0\x1e"),
    smpp.Tlv(smpp.TlvTag.MESSAGE_PAYLOAD, "장애".encode("utf-16-be")),
    smpp.Tlv.integer(smpp.TlvTag.BROADCAST_REP_NUM, 1),
)
BROADCAST = smpp.BroadcastSm(data_coding=8)


def session(**changes: Any) -> SmppSession:
    """Give a session that has sent its bind."""
    one = SmppSession(RULES.model_copy(update=changes), Credentials("gateway", "secret"))
    one.tick(now=0.0)
    return one


def bound(**changes: Any) -> SmppSession:
    """Give a session that is bound, with its bind already sent."""
    one = session(**changes)
    one.outgoing()
    events = one.receive(pdu(smpp.BindTransmitterResp(system_id="smsc"), 1), now=0.0)
    assert events == [Bound("smsc")]
    return one


def pdu(body: smpp.Body, number: int, status: int = 0) -> bytes:
    """Write what a message centre sends."""
    return smpp.encode(smpp.Pdu(body, sequence_number=number, command_status=status))


def sent(one: SmppSession) -> list[smpp.Pdu]:
    """Read what the session has to send."""
    items = smpp.Framer().receive(one.outgoing())
    assert all(isinstance(item, smpp.Pdu) for item in items)
    return items  # type: ignore[return-value]


def test_binds_first_and_says_who_it_is() -> None:
    """The first octets are a bind_transmitter of version 5.0 with our name; once."""
    one = session()

    (bind,) = sent(one)
    assert isinstance(bind.body, smpp.BindTransmitter)
    assert (bind.body.system_id, bind.body.interface_version) == ("gateway", 0x50)
    one.tick(now=1.0)
    assert one.outgoing() == b""
    assert "secret" not in repr(Credentials("gateway", "secret"))


def test_joined_with_the_simulator_it_broadcasts() -> None:
    """Two sessions in memory: bind, broadcast, enquire, unbind."""
    network = Network([], lambda phone, shown: None)
    centre = MessageCentre(
        "smsc",
        network,
        accounts=(Account("gateway", "secret"),),
        areas={"KR": "KR"},
        vendor_tlvs=VendorTlvs(),
        now_s=lambda: 0.0,
    )
    ours, theirs = session(), SmscSession(centre, lambda event: None)
    events: list[object] = []

    def exchange() -> None:
        for _ in range(4):
            theirs.receive(ours.outgoing())
            events.extend(ours.receive(theirs.outgoing(), now=0.0))

    exchange()
    ours.request(BROADCAST, TLVS, token="first", now=0.0)
    exchange()
    ours.tick(now=RULES.enquire_link_interval_s)
    exchange()
    ours.unbind(now=0.0)
    exchange()

    assert isinstance(events[0], Bound)
    assert isinstance(events[1], Answered)
    assert events[1].pdu.body == smpp.BroadcastSmResp(message_id="00000001")
    assert events[2:] == [Closed("unbound")]
    assert theirs.is_closed


@pytest.mark.parametrize(
    ("status", "name"),
    [(0x0E, "ESME_RINVPASWD"), (0x0F, "ESME_RINVSYSID"), (0x0D, "ESME_RBINDFAIL")],
)
def test_refused_bind_closes_with_its_reason(status: int, name: str) -> None:
    """Nobody asks again on the same connection."""
    one = session()

    events = one.receive(pdu(smpp.BindTransmitterResp(), 1, status), now=0.0)

    assert events == [Closed(f"the bind was refused: {name}")]
    assert one.is_closed()
    assert one.next_tick() is None


def test_bind_without_an_answer_times_out() -> None:
    """A message centre that accepts and says nothing is left."""
    one = session()

    assert one.next_tick() == RULES.bind_timeout_s
    assert one.tick(now=RULES.bind_timeout_s) == [Closed("no answer to the bind")]
    assert one.tick(now=99.0) == []


def test_answers_belong_to_requests_by_sequence_number() -> None:
    """Out of order is fine; each answer finds its request."""
    one = bound()
    for token in ("a", "b"):
        one.request(BROADCAST, TLVS, token=token, now=0.0)
    first, second = (item.sequence_number for item in sent(one))

    events = one.receive(
        pdu(smpp.BroadcastSmResp(message_id="2"), second)
        + pdu(smpp.BroadcastSmResp(message_id="1"), first),
        now=0.0,
    )

    assert [event.token for event in events if isinstance(event, Answered)] == ["b", "a"]


def test_window_is_bounded() -> None:
    """Beyond the window nothing is sent; an answer makes room."""
    one = bound(window_requests_max=2)
    for token in ("a", "b"):
        one.request(BROADCAST, TLVS, token=token, now=0.0)

    assert not one.may_request()
    with pytest.raises(ValueError, match="2 requests in flight"):
        one.request(BROADCAST, TLVS, token="c", now=0.0)
    number = sent(one)[0].sequence_number
    one.receive(pdu(smpp.BroadcastSmResp(), number), now=0.0)
    assert one.may_request()


def test_every_request_has_a_timer() -> None:
    """Without an answer in time a request is unanswered, and only that one."""
    one = bound()
    one.request(BROADCAST, TLVS, token="a", now=0.0)
    one.request(BROADCAST, TLVS, token="b", now=1.0)

    assert one.next_tick() == RULES.response_timeout_s
    assert one.tick(now=RULES.response_timeout_s) == [Unanswered("a")]
    assert one.tick(now=RULES.response_timeout_s + 1) == [Unanswered("b")]
    assert one.state is State.BOUND


def test_silence_is_asked_about_and_then_left() -> None:
    """enquire_link after the interval; no answer to it ends the session."""
    one = bound()
    idle_s = RULES.enquire_link_interval_s

    assert one.next_tick() == idle_s
    one.tick(now=idle_s)
    assert isinstance(sent(one)[0].body, smpp.EnquireLink)
    events = one.tick(now=idle_s + RULES.response_timeout_s)
    assert events == [Closed("no answer to enquire_link or unbind")]


def test_answered_enquiry_starts_the_interval_anew() -> None:
    """Whatever is heard shows that the peer is there."""
    one = bound()
    one.tick(now=30.0)
    number = sent(one)[0].sequence_number

    assert one.receive(pdu(smpp.EnquireLinkResp(), number), now=31.0) == []
    assert one.next_tick() == 31.0 + RULES.enquire_link_interval_s


def test_lost_connection_leaves_requests_unanswered() -> None:
    """What was in flight may or may not have arrived."""
    one = bound()
    one.request(BROADCAST, TLVS, token="a", now=0.0)

    assert one.lost() == [Unanswered("a"), Closed("the connection was lost")]
    assert one.lost() == []


def test_peer_may_ask_too() -> None:
    """enquire_link is answered, deliver_sm and data_sm put off, the unknown refused."""
    one = bound()
    octets = b"".join(
        (
            pdu(smpp.EnquireLink(), 11),
            pdu(smpp.DeliverSm(), 12),
            pdu(smpp.DataSm(), 13),
            pdu(smpp.AlertNotification(), 14),
            pdu(smpp.SubmitSm(), 15),
            b"\0\0\0\x10\0\0\x09\x99\0\0\0\0\0\0\0\x10",
        )
    )

    assert one.receive(octets, now=0.0) == []
    answers = [(item.sequence_number, item.command_status, type(item.body)) for item in sent(one)]
    assert answers == [
        (11, smpp.Status.ESME_ROK, smpp.EnquireLinkResp),
        (12, smpp.Status.ESME_RX_T_APPN, smpp.DeliverSmResp),
        (13, smpp.Status.ESME_RX_T_APPN, smpp.DataSmResp),
        (15, smpp.Status.ESME_RINVCMDID, smpp.GenericNack),
        (16, smpp.Status.ESME_RINVCMDID, smpp.GenericNack),
    ]


def test_peer_that_unbinds_is_answered() -> None:
    """The answer goes out before the connection closes."""
    one = bound()

    assert one.receive(pdu(smpp.Unbind(), 9), now=0.0) == [Closed("the message centre unbound")]
    assert isinstance(sent(one)[0].body, smpp.UnbindResp)


def test_answers_to_nothing_end_the_session() -> None:
    """Two are counted, the third closes: nobody knows any more what was answered."""
    one = bound()
    one.request(BROADCAST, TLVS, token="a", now=0.0)

    for number in (901, 902):
        assert one.receive(pdu(smpp.SubmitSmResp(), number), now=0.0) == []
    events = one.receive(pdu(smpp.SubmitSmResp(), 903), now=0.0)

    assert events == [Unanswered("a"), Closed("3 answers to nothing that was asked")]


def test_answer_that_cannot_be_read_answers_nothing() -> None:
    """Its request is unanswered, not accepted; a stray one is counted."""
    one = bound()
    one.request(BROADCAST, TLVS, token="a", now=0.0)
    number = sent(one)[0].sequence_number
    broken = b"\0\0\0\x11\x80\0\x01\x11\0\0\0\0" + number.to_bytes(4, "big") + b"x"

    assert one.receive(broken, now=0.0) == [Unanswered("a")]
    assert one.receive(broken, now=0.0) == []
    assert one.receive(broken, now=0.0) == []
    assert isinstance(one.receive(broken, now=0.0)[0], Closed)


def test_length_that_lies_closes_at_once() -> None:
    """One generic_nack, and nothing more is read or waited for."""
    one = bound()

    (event,) = one.receive(b"\xff\xff\xff\xff", now=0.0)
    assert isinstance(event, Closed)
    assert "command_length" in event.reason
    assert [item.command_status for item in sent(one)] == [smpp.Status.ESME_RINVCMDLEN]
    assert one.receive(pdu(smpp.EnquireLink(), 1), now=0.0) == []


def test_generic_nack_is_an_answer() -> None:
    """It refuses the request whose number it has; while binding it refuses the bind."""
    one = bound()
    one.request(BROADCAST, TLVS, token="a", now=0.0)
    number = sent(one)[0].sequence_number

    (event,) = one.receive(pdu(smpp.GenericNack(), number, 3), now=0.0)
    assert isinstance(event, Answered)
    (event,) = session().receive(pdu(smpp.GenericNack(), 1, 3), now=0.0)
    assert event == Closed("the bind was refused: ESME_RINVCMDID")
    assert session().receive(pdu(smpp.SubmitSmResp(), 1), now=0.0) == []


def test_unbind_while_binding_just_ends() -> None:
    """There is nothing to say goodbye to."""
    one = session()
    one.unbind(now=0.0)

    assert one.is_closed()


def test_sequence_numbers_begin_anew_after_the_last() -> None:
    """They run from 1 to 0x7FFFFFFF."""
    one = bound()
    one._sequence_number = 0x7FFFFFFF
    one.request(BROADCAST, TLVS, token="a", now=0.0)

    assert sent(one)[0].sequence_number == 1


def test_pdu_that_does_not_end_closes_the_session() -> None:
    """A drip of octets keeps nobody waiting, however often it comes."""
    one = bound()
    whole = pdu(smpp.EnquireLink(), 5)
    assert one.receive(whole + whole[:7], now=1.0) == []
    for step in range(8):
        assert one.receive(whole[7 + step : 8 + step], now=2.0 + step) == []
        assert one.tick(now=2.0 + step) == []

    assert one.next_tick() == 11.0
    (closed,) = one.tick(now=11.0)
    assert closed == Closed("a PDU did not end within 10 s")


def test_pdu_that_ends_in_time_is_no_fault() -> None:
    """The clock runs for each PDU anew."""
    one = bound()
    whole = pdu(smpp.EnquireLink(), 5)
    for second in (1.0, 9.0, 17.0):
        one.receive(whole[:5], now=second)
        one.receive(whole[5:], now=second + 8)
        assert one.tick(now=second + 8) == []


def framed(command_id: int, status: int, number: int, body: bytes) -> bytes:
    """Write a PDU whose length is right, whatever else is not."""
    header = (16 + len(body), command_id, status, number)
    return b"".join(value.to_bytes(4, "big") for value in header) + body


COMMANDS = st.sampled_from([int(one) for one in smpp.CommandId]) | st.integers(0, 2**32 - 1)
UINT32 = st.sampled_from([0, 1, 0x7FFFFFFF, 0x80000000, 2**32 - 1]) | st.integers(0, 2**32 - 1)
PIECES = st.binary(max_size=40) | st.builds(
    framed, COMMANDS, UINT32, UINT32, st.binary(max_size=60)
)


@given(st.lists(PIECES, max_size=20))
def test_any_octets_keep_the_session_sane(pieces: list[bytes]) -> None:
    """Whatever a peer sends gives events; a closed session stays closed and silent."""
    one = bound()
    for piece in pieces:
        was_closed = one.is_closed()
        events = one.receive(piece, now=0.0)
        one.outgoing()
        assert not (was_closed and events)


@pytest.mark.parametrize("number", [0x80000000, 0xFFFFFFFF])
def test_sequence_number_out_of_range_is_refused_with_zero(number: int) -> None:
    """An answer may not carry such a number, so it carries 0; the session goes on."""
    one = bound()

    assert one.receive(framed(smpp.CommandId.DELIVER_SM, 0, number, b""), now=0.0) == []

    (nack,) = sent(one)
    assert isinstance(nack.body, smpp.GenericNack)
    assert nack.sequence_number == 0
    assert nack.command_status != 0
    assert not one.is_closed()
