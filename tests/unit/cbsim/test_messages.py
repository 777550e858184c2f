"""What becomes of messages, and how ESMEs ask about it."""

from typing import Any

import pytest

from cbgateway.codec import smpp
from cbsim.accounts import Account

S = smpp.Status
STATE = smpp.MessageState
FROM = smpp.Address(5, 0, "TEST")


def status(pdu: smpp.Pdu) -> str:
    """Give an answer's status by its name."""
    return smpp.status_name(pdu.command_status)


def state(esme: Any, message_id: str) -> int:
    """Ask what has become of a message."""
    answer = esme.ask(smpp.QuerySm(message_id=message_id, source=FROM))
    assert status(answer) == "ESME_ROK"
    return answer.body.message_state


def test_message_is_enroute_and_then_delivered(lab: Any) -> None:
    """query_sm tells so, with the date and no error."""
    one = lab({"states": {"enroute": 5}})
    esme = one.esme().bind()
    name = esme.submit("821000000002").body.message_id

    assert (state(esme, name), one.screens) == (STATE.ENROUTE, [])
    one.wait(5)
    answer = esme.ask(smpp.QuerySm(message_id=name)).body
    assert (answer.message_state, answer.error_code) == (STATE.DELIVERED, 0)
    assert answer.final_date == "211025030005000+"
    assert one.screens == [("821000000002", "hello")]


@pytest.mark.parametrize(
    ("key", "expected", "error"),
    [("undeliv", 5, 1), ("acceptd", 6, 0), ("rejectd", 8, 3), ("expired", 3, 2)],
)
def test_shares_decide_the_final_state(lab: Any, key: str, expected: int, error: int) -> None:
    """A share of everything is everything; of nothing, nothing."""
    esme = lab({"states": {key: 1.0}}).esme().bind()
    name = esme.submit().body.message_id

    answer = esme.ask(smpp.QuerySm(message_id=name)).body
    assert (answer.message_state, answer.error_code) == (expected, error)


def test_shares_are_kept_over_many(lab: Any) -> None:
    """Of 1,000 about 300 fail, the same ones with the same seed."""

    def run() -> list[int]:
        esme = lab({"seed": 7, "states": {"undeliv": "20%", "expired": "10%"}}).esme().bind()
        return [state(esme, esme.submit().body.message_id) for _ in range(1_000)]

    states = run()
    assert 150 < states.count(STATE.UNDELIVERABLE) < 250
    assert 60 < states.count(STATE.EXPIRED) < 140
    assert states == run()


def test_first_digit_decides(lab: Any) -> None:
    """A tester chooses the fate by the number; others are delivered."""
    esme = lab({"states": {"by_first_digit": {"5": "UNDELIV", "6": "REJECTD"}}}).esme().bind()

    found = [state(esme, esme.submit(to).body.message_id) for to in ("51", "61", "71")]
    assert found == [STATE.UNDELIVERABLE, STATE.REJECTED, STATE.DELIVERED]


def test_validity_ends_before_the_message_does(lab: Any) -> None:
    """It is EXPIRED at the end of its validity_period."""
    one = lab({"states": {"enroute": 60}})
    esme = one.esme().bind()
    name = esme.submit(validity_period="000000000010000R").body.message_id

    one.wait(9)
    assert state(esme, name) == STATE.ENROUTE
    one.wait(1)
    assert state(esme, name) == STATE.EXPIRED


def test_scheduled_message_waits(lab: Any) -> None:
    """SCHEDULED in 5.0, ENROUTE in 3.4, delivered when its time has come."""
    for version, expected in ((0x50, STATE.SCHEDULED), (0x34, STATE.ENROUTE)):
        one = lab()
        esme = one.esme().bind(interface_version=version)
        name = esme.submit(schedule_delivery_time="000000000100000R").body.message_id
        assert state(esme, name) == expected
        one.wait(60)
        assert state(esme, name) == STATE.DELIVERED


def test_cancel_takes_back_what_is_under_way(lab: Any) -> None:
    """By name or by addresses; what is final stays."""
    one = lab({"states": {"enroute": 5}})
    esme = one.esme().bind()
    names = [esme.submit("821000000002").body.message_id for _ in range(3)]
    to = smpp.Address(1, 1, "821000000002")

    first = esme.ask(smpp.CancelSm(message_id=names[0]))
    assert (status(first), state(esme, names[0])) == ("ESME_ROK", STATE.DELETED)
    assert status(esme.ask(smpp.CancelSm(message_id=names[0]))) == "ESME_RCANCELFAIL"
    assert status(esme.ask(smpp.CancelSm(source=FROM, destination=to))) == "ESME_ROK"
    assert status(esme.ask(smpp.CancelSm(source=FROM, destination=to))) == "ESME_RCANCELFAIL"
    one.wait(10)
    assert [state(esme, name) for name in names] == [STATE.DELETED] * 3
    assert one.screens == []


def test_replace_changes_the_text(lab: Any) -> None:
    """By replace_sm or by replace_if_present_flag; once delivered it is too late."""
    one = lab({"states": {"enroute": 5}})
    esme = one.esme().bind()
    name = esme.submit("821000000002").body.message_id
    replaced = esme.ask(smpp.ReplaceSm(message_id=name, source=FROM, short_message=b"two"))

    again = esme.submit("821000000002", replace_if_present_flag=1, short_message=b"three")
    fresh = esme.submit("821000000001", replace_if_present_flag=1)
    assert (status(replaced), again.body.message_id) == ("ESME_ROK", name)
    assert fresh.body.message_id != name
    one.wait(5)
    assert ("821000000002", "three") in one.screens
    late = esme.ask(smpp.ReplaceSm(message_id=name, source=FROM, short_message=b"four"))
    assert status(late) == "ESME_RREPLACEFAIL"


def test_nobody_reads_somebody_elses_messages(lab: Any) -> None:
    """Another system_id, or another source, finds nothing."""
    one = lab()
    name = one.esme().bind().submit().body.message_id
    other = one.esme().bind(system_id="other")

    assert status(other.ask(smpp.QuerySm(message_id=name))) == "ESME_RQUERYFAIL"
    wrong = smpp.QuerySm(message_id=name, source=smpp.Address(5, 0, "ELSE"))
    assert status(one.esme().bind().ask(wrong)) == "ESME_RQUERYFAIL"


def test_store_and_queue_are_bounded(lab: Any) -> None:
    """The oldest are forgotten; what would be too many under way is refused."""
    one = lab({"states": {"enroute": 5, "store_max": 2, "pending_max": 3}})
    esme = one.esme().bind()
    answers = [esme.submit() for _ in range(4)]

    assert [status(one) for one in answers] == ["ESME_ROK"] * 3 + ["ESME_RMSGQFUL"]
    assert (len(one.centre.messages), one.centre.messages.forgotten) == (2, 1)


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("hex-zeros", "0000000b"),
        ("hex", "b"),
        ("hex-upper", "B"),
        ("decimal", "11"),
        ("decimal-zeros", "0000000011"),
    ],
)
def test_message_id_has_the_wanted_form(lab: Any, form: str, expected: str) -> None:
    """The eleventh message in each form."""
    esme = lab({"answers": {"id_format": form}}).esme().bind()
    names = [esme.submit().body.message_id for _ in range(11)]

    assert names[-1] == expected


@pytest.mark.parametrize(
    ("fields", "name", "octet"),
    [
        ({"source": smpp.Address(7, 0, "T")}, "ESME_RINVSRCTON", 17),
        ({"source": smpp.Address(1, 2, "T")}, "ESME_RINVSRCNPI", 18),
        ({"destination": smpp.Address(9, 1, "1")}, "ESME_RINVDSTTON", 24),
        ({"destination": smpp.Address(1, 7, "1")}, "ESME_RINVDSTNPI", 25),
        ({"destination": smpp.Address(1, 1, "")}, "ESME_RINVDSTADR", 26),
        ({"priority_flag": 5}, "ESME_RINVPRTFLG", 30),
        ({"schedule_delivery_time": "991332000000000+"}, "ESME_RINVSCHED", 31),
        ({"validity_period": "99133200000000xx"}, "ESME_RINVEXPIRY", 32),
        ({"registered_delivery": 0x20}, "ESME_RINVREGDLVFLG", 33),
        ({"replace_if_present_flag": 2}, "ESME_RINVREPFLAG", 34),
    ],
)
def test_wrong_value_is_named_with_its_octet(
    lab: Any, fields: dict[str, Any], name: str, octet: int
) -> None:
    """Each has its status, and the octet that a tester finds in a capture."""
    one = lab()
    esme = one.esme().bind()
    good = {"source": FROM, "destination": smpp.Address(1, 1, "1"), "short_message": b"x"}
    body = smpp.SubmitSm(**(good | fields))

    assert name == status(esme.ask(body))
    assert f"octet {octet}:" in one.told("refused")[-1]["detail"]


def test_data_sm_is_checked_too(lab: Any) -> None:
    """Its reserved bits, behind its addresses."""
    one = lab()
    esme = one.esme().bind()
    body = smpp.DataSm(destination=smpp.Address(1, 1, "1"), registered_delivery=0x80)

    assert status(esme.ask(body)) == "ESME_RINVREGDLVFLG"
    assert "octet 25:" in one.told("refused")[-1]["detail"]


def multi(*destinations: bytes) -> bytes:
    """Write a submit_multi."""
    body = b"\0\5\0TEST\0" + bytes((len(destinations),))
    body += b"".join(destinations) + bytes(9) + b"\2hi"
    return (16 + len(body)).to_bytes(4, "big") + b"\0\0\0\x21\0\0\0\0\0\0\0\x63" + body


def address(to: str) -> bytes:
    """Write one recipient of a submit_multi."""
    return b"\1\1\1" + to.encode() + b"\0"


def test_submit_multi_reaches_everybody_it_can(lab: Any) -> None:
    """Numbers, a distribution list, and two recipients that fail by themselves."""
    one = lab(lists={"staff": ("821000000001",)})
    esme = one.esme().bind()
    esme.send_octets(multi(address("821000000002"), b"\2staff\0", b"\2nobody\0", address("")))
    octets = esme.session.outgoing()

    assert octets[4:16].hex() == "800000210000000000000063"
    assert octets[16:] == (b"00000001\0\2\0\0nobody\0\0\0\0\x34\1\1\0\0\0\0\x0b")
    assert sorted(one.screens) == [("821000000001", "hi"), ("821000000002", "hi")]
    assert state(esme, "00000001") == STATE.DELIVERED


@pytest.mark.parametrize(
    ("octets", "name"),
    [
        (multi(), "ESME_RINVNUMDESTS"),
        (multi(b"\3x\0"), "ESME_RINVDESTFLAG"),
    ],
)
def test_wrong_submit_multi_is_refused(lab: Any, octets: bytes, name: str) -> None:
    """By its own answer, with the status that says why."""
    one = lab()
    esme = one.esme().bind()
    esme.send_octets(octets)
    answer = esme.session.outgoing()

    assert (answer[4:8].hex(), len(answer)) == ("80000021", 16)
    assert smpp.status_name(int.from_bytes(answer[8:12], "big")) == name
    esme.send_octets(multi(address("9" * 21)))
    (nack,) = esme.got()
    assert isinstance(nack.body, smpp.GenericNack)
    assert one.told("wrong")


def test_limits_of_an_account_hold(lab: Any) -> None:
    """Messages each second, unanswered requests, binds, modes, each by its status."""
    account = Account("esme", "secret", modes=("transmitter",), binds_max=1, per_s=2)
    one = lab(accounts=(account,))
    esme = one.esme().bind(smpp.BindTransmitter)
    answers = [status(esme.submit()) for _ in range(3)]

    assert answers == ["ESME_ROK", "ESME_ROK", "ESME_RTHROTTLED"]
    one.wait(1)
    assert status(esme.submit()) == "ESME_ROK"
    second = one.esme().ask(smpp.BindTransmitter(system_id="esme", password="secret"))
    receiver = one.esme().ask(smpp.BindReceiver(system_id="esme", password="secret"))
    assert (status(second), status(receiver)) == ("ESME_RALYBND", "ESME_RBINDFAIL")
    esme.session.lost(one.now_s)
    one.esme().bind(smpp.BindTransmitter)


def test_window_of_an_account_holds(lab: Any) -> None:
    """What comes while too many wait for their answers is throttled."""
    one = lab({"answers": {"delay": 1}}, accounts=(Account("esme", "secret", window=2),))
    esme = one.esme().bind()
    for _ in range(3):
        esme.send(smpp.SubmitSm(destination=smpp.Address(1, 1, "1")))

    (refused,) = esme.got()
    assert (refused.sequence_number, status(refused)) == (4, "ESME_RTHROTTLED")
    one.wait(1)
    assert [status(pdu) for pdu in esme.got()] == ["ESME_ROK"] * 2


def test_centre_of_version_3_4(lab: Any) -> None:
    """It says so, and has no broadcasts for anybody."""
    esme = lab(version=0x34).esme()
    answer = esme.ask(smpp.BindTransceiver(system_id="esme", interface_version=0x50))

    assert answer.tlv(smpp.TlvTag.SC_INTERFACE_VERSION) == b"\x34"
    assert status(esme.ask(smpp.QueryBroadcastSm(message_id="1"))) == "ESME_RINVCMDID"


def test_fast_centre_remembers_headers(lab: Any) -> None:
    """Nothing is read or delivered; every submit_sm has its own message_id."""
    one = lab(is_fast=True)
    esme = one.esme().bind()
    names = {esme.submit("821000000002").body.message_id for _ in range(3)}

    assert (len(names), len(one.centre.headers), one.screens) == (3, 3, [])
    assert one.centre.headers[0][4:16].hex() == "000000040000000000000002"
    assert one.centre.snapshot()["counters"]["submitted"] == 3


def test_snapshot_tells_what_there_is(lab: Any) -> None:
    """Sessions, counters, the newest messages; nothing that JSON cannot hold."""
    one = lab({"faults": ["reset:0.0"]})
    esme = one.esme().bind()
    esme.submit()
    esme.submit("2")
    told = one.centre.snapshot(messages=1)

    assert [line["destination"] for line in told["messages"]] == ["2"]
    assert told["sessions"][0]["system_id"] == "esme"
    assert told["counters"]["submitted"] == 2
    assert told["faults"] == {"reset": 0}
