"""Broadcasts: asked about, to several areas, some of which fail, and taken off the air."""

from typing import Any

import pytest

from cbgateway.codec import smpp
from cbsim.accounts import Account

TAG = smpp.TlvTag
STATE = smpp.MessageState
BUSAN = smpp.Tlv(TAG.BROADCAST_AREA_IDENTIFIER, b"\0Busan")
KOREA = smpp.Tlv(TAG.BROADCAST_AREA_IDENTIFIER, b"\0Korea")
SOURCE = smpp.Address(5, 0, "CBC")


def order(*areas: smpp.Tlv, repeat: int = 3, text: str = "outage") -> tuple[Any, ...]:
    """Give a broadcast_sm with its TLVs."""
    return (
        smpp.BroadcastSm(source=SOURCE, data_coding=0),
        *areas,
        smpp.Tlv(TAG.BROADCAST_CONTENT_TYPE, b"\1\0\1"),
        smpp.Tlv(TAG.BROADCAST_FREQUENCY_INTERVAL, b"\x08\0\x0a"),
        smpp.Tlv(TAG.MESSAGE_PAYLOAD, text.encode()),
        smpp.Tlv.integer(TAG.BROADCAST_REP_NUM, repeat),
    )


def told(esme: Any, name: str, *tlvs: smpp.Tlv) -> tuple[int, tuple[bytes, ...], list[int]]:
    """Ask about a broadcast: its state, its areas, and how far each was reached."""
    answer = esme.ask(smpp.QueryBroadcastSm(message_id=name), *tlvs)
    assert answer.command_status == 0
    success = [one[0] for one in answer.tlvs_of(TAG.BROADCAST_AREA_SUCCESS)]
    return answer.tlv(TAG.MESSAGE_STATE)[0], answer.tlvs_of(TAG.BROADCAST_AREA_IDENTIFIER), success


def test_broadcast_is_asked_about_while_it_lives(lab: Any) -> None:
    """ENROUTE on air, DELIVERED once over; by name or by the sender's reference."""
    one = lab({"broadcasts": {"success": 97}})
    esme = one.esme().bind()
    reference = smpp.Tlv.integer(TAG.USER_MESSAGE_REFERENCE, 7)
    name = esme.ask(*order(BUSAN), reference).body.message_id

    assert told(esme, name) == (STATE.ENROUTE, (b"\0Busan",), [97])
    one.wait(60)
    assert told(esme, "", reference) == (STATE.DELIVERED, (b"\0Busan",), [97])
    lost = esme.ask(smpp.QueryBroadcastSm(message_id="none"))
    assert lost.command_status == smpp.Status.ESME_RBCASTQUERYFAIL
    wrong = smpp.QueryBroadcastSm(message_id=name, source=smpp.Address(0, 0, "ELSE"))
    assert esme.ask(wrong).command_status == smpp.Status.ESME_RBCASTQUERYFAIL


def test_several_areas_some_of_which_fail(lab: Any) -> None:
    """Each is told: in the answer which failed, in the query how far each was reached."""
    one = lab({"broadcasts": {"areas_max": 2, "failed_areas": ["Busan"]}})
    esme = one.esme().bind()
    answer = esme.ask(*order(BUSAN, KOREA))

    assert answer.tlvs_of(TAG.BROADCAST_AREA_IDENTIFIER) == (b"\0Busan",)
    assert answer.tlv(TAG.BROADCAST_ERROR_STATUS) == b"\0\0\1\x0d"
    name = answer.body.message_id
    assert told(esme, name) == (STATE.ENROUTE, (b"\0Busan", b"\0Korea"), [0, 100])
    assert one.screens == [("821000000001", "outage")]
    assert esme.ask(smpp.CancelBroadcastSm(message_id=name)).command_status == 0
    assert told(esme, name)[0] == STATE.DELETED
    assert not one.centre.network.on_air
    too_many = esme.ask(*order(BUSAN, KOREA, KOREA))
    assert too_many.command_status == smpp.Status.ESME_RINVNUMBCAST_AREAS


def test_broadcast_that_reaches_nobody_is_undeliverable(lab: Any) -> None:
    """All its areas failed."""
    esme = lab({"broadcasts": {"failed_areas": "Busan"}}).esme().bind()
    name = esme.ask(*order(BUSAN)).body.message_id

    assert told(esme, name) == (STATE.UNDELIVERABLE, (b"\0Busan",), [0])


def test_cancel_without_a_name_takes_all_of_a_source(lab: Any) -> None:
    """Of this service_type and content type; others stay (SMPP 5.0 4.6.2.1)."""
    one = lab()
    esme = one.esme().bind()
    names = [esme.ask(*order(BUSAN)).body.message_id for _ in range(2)]
    other = smpp.CancelBroadcastSm(source=smpp.Address(5, 0, "ELSE"))
    weather = smpp.Tlv(TAG.BROADCAST_CONTENT_TYPE, b"\1\0\x33")

    assert esme.ask(other).command_status == smpp.Status.ESME_RBCASTCANCELFAIL
    cancel = smpp.CancelBroadcastSm(source=SOURCE)
    assert esme.ask(cancel, weather).command_status == smpp.Status.ESME_RBCASTCANCELFAIL
    assert esme.ask(cancel).command_status == 0
    assert [told(esme, name)[0] for name in names] == [STATE.DELETED] * 2


def test_long_text_without_a_serial_number_is_one_message(lab: Any) -> None:
    """Its pages have one serial number, so that a phone puts them together."""
    one = lab()
    text = "The network of KT is down in all of Busan since 11:16. " * 4
    one.esme().bind().ask(*order(BUSAN, text=text.strip()))

    assert one.screens == [("821000000001", text.strip())]


def test_restart_without_messages_ends_broadcasts(lab: Any) -> None:
    """Nothing is on air, and nothing is known of what was."""
    one = lab(accounts=(Account("esme", "secret"),))
    name = one.esme().bind().ask(*order(BUSAN)).body.message_id
    one.centre.restart(keeps_messages=False)
    esme = one.esme().bind()

    answer = esme.ask(smpp.QueryBroadcastSm(message_id=name))
    assert answer.command_status == smpp.Status.ESME_RBCASTQUERYFAIL
    assert not one.centre.network.on_air


@pytest.mark.parametrize("stage", ["throttled", "answer-twice"])
def test_broadcasts_have_faults_too(lab: Any, stage: str) -> None:
    """Those of messages and of their answers."""
    esme = lab({"faults": [stage]}).esme().bind()
    esme.send(*order(BUSAN))
    statuses = [pdu.command_status for pdu in esme.got()]

    assert statuses == ([0x58] if stage == "throttled" else [0, 0])
