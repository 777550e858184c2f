"""Receipts, incoming messages and loopback: what the centre sends by itself."""

import re
from typing import Any

import pytest

from cbgateway.codec import smpp
from cbsim.accounts import Account
from cbsim.receipts import wants_receipt

TAG = smpp.TlvTag
RECEIPT = re.compile(
    rb"id:(\S+) sub:001 dlvrd:(\d{3}) submit date:(\d{10}) done date:(\d{10}) "
    rb"stat:(\w{7}) err:(\d{3}) text:(.*)"
)


def read(pdu: smpp.Pdu) -> tuple[str, ...]:
    """Take a receipt's text apart."""
    found = RECEIPT.fullmatch(pdu.body.short_message)  # type: ignore[attr-defined]
    assert found is not None, pdu
    return tuple(one.decode() for one in found.groups())


def ids(pdus: list[smpp.Pdu]) -> list[str]:
    """Give the message_ids of receipts."""
    return [read(pdu)[0] for pdu in pdus]


def test_receipt_says_it_twice(lab: Any) -> None:
    """In the text of SMPP 3.4 appendix B and in TLVs, behind the answer, addresses swapped."""
    esme = lab().esme().bind()
    reference = smpp.Tlv.integer(TAG.USER_MESSAGE_REFERENCE, 0x1234)
    body = smpp.SubmitSm(
        service_type="CMT",
        source=smpp.Address(5, 0, "TEST"),
        destination=smpp.Address(1, 1, "447700900123"),
        registered_delivery=1,
        short_message=b"an outage of the network",
    )
    esme.send(body, reference)
    answer, receipt = esme.got()

    assert isinstance(answer.body, smpp.SubmitSmResp)
    assert isinstance(receipt.body, smpp.DeliverSm)
    assert (receipt.body.esm_class, receipt.body.service_type) == (4, "CMT")
    assert receipt.body.source == smpp.Address(1, 1, "447700900123")
    assert receipt.body.destination == smpp.Address(5, 0, "TEST")
    name = answer.body.message_id
    date = "2110250300"
    assert read(receipt) == (name, "001", date, date, "DELIVRD", "000", "an outage of the net")
    assert receipt.tlv(TAG.RECEIPTED_MESSAGE_ID) == name.encode() + b"\0"
    assert receipt.tlv(TAG.MESSAGE_STATE) == b"\x02"
    assert receipt.tlv(TAG.USER_MESSAGE_REFERENCE) == b"\x12\x34"


def test_failure_has_an_error(lab: Any) -> None:
    """stat, err and network_error_code say so."""
    esme = lab({"states": {"undeliv": 1.0}}).esme().bind()
    esme.send(smpp.SubmitSm(destination=smpp.Address(1, 1, "1"), registered_delivery=2))
    receipt = esme.got()[1]

    assert read(receipt)[4:6] == ("UNDELIV", "001")
    assert receipt.tlv(TAG.NETWORK_ERROR_CODE) == b"\x03\x00\x01"


def test_receipts_are_sent_when_asked_for() -> None:
    """Always, on failure, on success; never otherwise (SMPP 5.0 4.7.21)."""
    delivered, failed = smpp.MessageState.DELIVERED, smpp.MessageState.EXPIRED

    assert [wants_receipt(n, delivered) for n in range(4)] == [False, True, False, True]
    assert [wants_receipt(n, failed) for n in range(4)] == [False, True, True, False]


def test_intermediate_notification_comes_first(lab: Any) -> None:
    """ENROUTE with esm_class 0x20 when it is asked for, then the receipt."""
    one = lab({"states": {"enroute": 5}})
    esme = one.esme().bind()
    esme.send(smpp.SubmitSm(destination=smpp.Address(1, 1, "1"), registered_delivery=0x11))
    early = esme.received()
    one.wait(5)
    late = esme.received()

    assert [pdu.body.esm_class for pdu in (*early, *late)] == [0x20, 4]  # type: ignore[attr-defined]
    assert [read(pdu)[4] for pdu in (*early, *late)] == ["ENROUTE", "DELIVRD"]


@pytest.mark.parametrize(
    ("rules", "text", "name"),
    [
        ({"form": "text"}, True, None),
        ({"form": "tlvs"}, False, b"00000001\0"),
        ({"id_format": "decimal-zeros"}, True, b"0000000001\0"),
        ({"tlvs": ["1400=0102"]}, True, b"00000001\0"),
    ],
)
def test_form_is_as_set(lab: Any, rules: dict[str, Any], text: bool, name: bytes | None) -> None:
    """Text alone, TLVs alone, another way to write the id, and TLVs of a vendor."""
    esme = lab({"receipts": rules}).esme().bind()
    esme.send(smpp.SubmitSm(destination=smpp.Address(1, 1, "1"), registered_delivery=1))
    receipt = esme.got()[1]

    assert bool(receipt.body.short_message) == text
    assert receipt.tlv(TAG.RECEIPTED_MESSAGE_ID) == name
    assert receipt.tlv(0x1400) == (b"\1\2" if "tlvs" in rules else None)
    assert not text or read(receipt)[0].encode() == (name or b"00000001\0").rstrip(b"\0")


@pytest.mark.parametrize(
    ("octets", "coding", "expected"),
    [
        ("장애 OK".encode("utf-16-be"), 8, "?? OK"),
        (b"\xe9t\xe9", 3, "?t?"),
        (b"\xff", 0, ""),
        (b"\5\0\3\1\2\1part", 0, "part"),
        (b"x", 99, ""),
    ],
)
def test_text_is_repeated_in_ascii(lab: Any, octets: bytes, coding: int, expected: str) -> None:
    """Whatever the coding; nothing where it cannot be read."""
    esme = lab().esme().bind()
    body = smpp.SubmitSm(
        destination=smpp.Address(1, 1, "1"),
        registered_delivery=1,
        data_coding=coding,
        esm_class=0x40 if b"part" in octets else 0,
        short_message=octets,
    )
    esme.send(body)

    assert expected == read(esme.got()[1])[6]


def blast(esme: Any, count: int) -> list[str]:
    """Submit many messages that want receipts; gives their message_ids."""
    for _ in range(count):
        esme.send(smpp.SubmitSm(destination=smpp.Address(1, 1, "1"), registered_delivery=1))
    return [f"{number:08x}" for number in range(1, count + 1)]


def drain(one: Any, esme: Any, seconds: float) -> list[str]:
    """Take receipts for a while, answering each; gives their message_ids."""
    found = []
    for _ in range(20):
        found += ids(esme.received())
        one.wait(seconds / 20)
    return found + ids(esme.received())


def test_order_lateness_loss_and_repetition(lab: Any) -> None:
    """In order even with delays of their own; shuffled; some lost; some twice."""
    delays = {"delay": "uniform:0,2"}
    one = lab({"receipts": delays, "seed": 1})
    esme = one.esme().bind()
    expected = blast(esme, 100)
    assert drain(one, esme, 3) == expected

    one = lab({"receipts": {"order": "shuffled"}, "seed": 1})
    esme = one.esme().bind()
    blast(esme, 100)
    shuffled = drain(one, esme, 3)
    assert (sorted(shuffled), shuffled == expected) == (expected, False)

    one = lab({"receipts": {"loss": "30%", "duplicates": "20%"}, "seed": 1})
    esme = one.esme().bind()
    blast(esme, 100)
    got = drain(one, esme, 1)
    assert 50 < len(set(got)) < 90
    assert 5 < len(got) - len(set(got)) < 30
    assert len(set(got)) + one.centre.counters.receipts_lost == 100


@pytest.mark.parametrize("fault", ["answer-twice:0.0", "reset:0.0"])
def test_receipt_can_come_before_the_answer(lab: Any, fault: str) -> None:
    """By the short way and by the long one."""
    for faults in ([], [fault]):
        one = lab({"receipts": {"order": "before-response"}, "faults": faults})
        esme = one.esme().bind()
        esme.send(smpp.SubmitSm(destination=smpp.Address(1, 1, "1"), registered_delivery=1))

        kinds = [type(pdu.body) for pdu in esme.got()]
        assert kinds == [smpp.DeliverSm, smpp.SubmitSmResp]


def test_receipt_waits_for_a_late_answer(lab: Any) -> None:
    """It is not sent before the answer unless that is asked for."""
    one = lab({"answers": {"delay": 2}})
    esme = one.esme().bind()
    esme.send(smpp.SubmitSm(destination=smpp.Address(1, 1, "1"), registered_delivery=1))

    one.wait(1.9)
    assert esme.got() == []
    one.wait(0.1)
    assert [type(pdu.body) for pdu in esme.got()] == [smpp.SubmitSmResp, smpp.DeliverSm]


def test_any_receiver_of_the_system_id_gets_them(lab: Any) -> None:
    """In turn; a transmitter gets none, somebody else's receiver neither."""
    one = lab()
    sender = one.esme().bind(smpp.BindTransmitter)
    receivers = [one.esme().bind(smpp.BindReceiver) for _ in range(2)]
    stranger = one.esme().bind(smpp.BindReceiver, system_id="other")
    expected = blast(sender, 6)

    got = [ids(receiver.received()) for receiver in receivers]
    assert (sorted(one for some in got for one in some), [len(some) for some in got]) == (
        expected,
        [3, 3],
    )
    assert stranger.got() == []
    assert all(isinstance(pdu.body, smpp.SubmitSmResp) for pdu in sender.got())


def test_receipts_wait_for_a_receiver(lab: Any) -> None:
    """Up to a limit, above which they are lost and counted."""
    one = lab({"delivery": {"queue_max": 3}})
    sender = one.esme().bind(smpp.BindTransmitter)
    blast(sender, 5)
    receiver = one.esme()
    receiver.send(smpp.BindReceiver(system_id="esme"))

    assert ids(receiver.got()[1:]) == ["00000001", "00000002", "00000003"]
    assert one.centre.counters.delivers_dropped == 2
    assert len(one.told("deliver_dropped")) == 1


def test_window_holds_and_opens(lab: Any) -> None:
    """No more than so many unanswered; each answer lets one go."""
    one = lab({"delivery": {"window": 2}})
    esme = one.esme().bind()
    blast(esme, 5)
    first = [pdu for pdu in esme.got() if isinstance(pdu.body, smpp.DeliverSm)]
    assert len(first) == 2

    esme.answer(smpp.DeliverSmResp(), first[0].sequence_number)
    assert len(esme.received()) == 1


def test_unanswered_receipt_is_sent_again(lab: Any) -> None:
    """So often, then given up; another session takes over what one has lost."""
    one = lab({"delivery": {"timeout_s": 10, "attempts": 2, "retry_s": 1}})
    esme = one.esme().bind()
    blast(esme, 1)
    esme.got()
    one.wait(9.9)
    assert esme.got() == []
    one.wait(1.2)
    assert ids(esme.got()) == ["00000001"]
    one.wait(30)
    assert (esme.got(), one.told("deliver_given_up")[0]["attempts"]) == ([], 2)

    blast(esme, 1)
    second = one.esme().bind()
    esme.session.lost(one.now_s)
    assert ids(second.received()) == ["00000002"]
    assert one.centre.snapshot()["sessions"][0]["in_flight"] == 0


def test_refused_receipt_is_retried_only_where_that_helps(lab: Any) -> None:
    """ESME_RX_T_APPN asks for it; ESME_RX_R_APPN ends it."""
    one = lab()
    esme = one.esme().bind()
    blast(esme, 2)
    first, second = (pdu for pdu in esme.got() if isinstance(pdu.body, smpp.DeliverSm))
    esme.answer(smpp.DeliverSmResp(), first.sequence_number, smpp.Status.ESME_RX_T_APPN)
    esme.answer(smpp.DeliverSmResp(), second.sequence_number, smpp.Status.ESME_RX_R_APPN)
    esme.answer(smpp.DeliverSmResp(), 999)
    one.wait(2)

    assert ids(esme.received()) == ["00000001"]
    assert one.centre.counters.delivers_refused == 2
    assert one.told("deliver_refused")[1]["status"] == "ESME_RX_R_APPN"


def test_message_to_another_esme_arrives_there(lab: Any) -> None:
    """By account, or by the address_range of a bind; the longest beginning owns a number."""
    accounts = (
        Account("a", numbers=("1000",)),
        Account("b", numbers=("2*",)),
        Account("c", numbers=("21*",)),
    )
    one = lab(accounts=accounts)
    a, b, c = (one.esme().bind(system_id=name) for name in "abc")
    long = smpp.Tlv(TAG.MESSAGE_PAYLOAD, b"x" * 300)
    a.submit("2000", data_coding=3)
    a.submit("2100", long, short_message=b"")
    (at_b,), (at_c,) = b.received(), c.received()

    assert (at_b.body.short_message, at_b.body.data_coding) == (b"hello", 3)  # type: ignore[attr-defined]
    assert at_b.body.destination.address == "2000"  # type: ignore[attr-defined]
    assert at_c.tlv(TAG.MESSAGE_PAYLOAD) == b"x" * 300
    assert one.centre.counters.looped == 2
    free = lab()
    left = free.esme().bind(system_id="left", address_range="^77.*")
    free.esme().bind(system_id="right").submit("7712")
    assert len(left.received()) == 1


def test_incoming_message_on_demand(lab: Any) -> None:
    """To who owns the number, to who is named, or to all that receive; in the right coding."""
    one = lab(accounts=(Account("a", numbers=("1000",)), Account("b")))
    a, b = (one.esme().bind(system_id=name) for name in "ab")

    assert one.centre.incoming(destination="1000", text="hi") == 1
    assert one.centre.incoming(system_id="b", source="82", text="장애") == 1
    assert one.centre.incoming(system_id="nobody", text="hi") == 0
    assert one.centre.incoming(text="all") == 2
    at_a = [pdu.body.short_message for pdu in a.received()]  # type: ignore[attr-defined]
    at_b = [(pdu.body.data_coding, pdu.body.source.address) for pdu in b.received()]  # type: ignore[attr-defined]
    assert at_a == [b"hi", b"all"]
    assert at_b == [(8, "82"), (0, "821000000000")]


def test_incoming_messages_at_a_rate(lab: Any) -> None:
    """Twenty a second until fifty are made; the rate can be set while it runs."""
    one = lab({"incoming": {"per_s": 20, "count": 50, "text": "no {n}"}})
    esme = one.esme().bind()
    one.wait(1)
    first = esme.received()
    one.wait(9)
    rest = esme.received()

    assert 19 <= len(first) <= 21
    texts = [pdu.body.short_message for pdu in first + rest]  # type: ignore[attr-defined]
    assert texts == [b"no %d" % number for number in range(1, 51)]
    one.centre.set({"incoming": {"count": 60}})
    one.wait(2)
    assert len(esme.received()) == 10


def test_incoming_text_that_cannot_be_sent_is_told(lab: Any) -> None:
    """It is an event, and the next one is made all the same."""
    one = lab({"incoming": {"per_s": 1, "text": "\ud800"}})
    one.esme().bind()
    one.wait(2)

    assert one.told("incoming_failed")
