"""The carriers' small parts: window, backoff, and orders as SMPP requests."""

from datetime import UTC, datetime
from typing import Any

import pytest

from cbgateway.app import load_checked_profiles
from cbgateway.carriers.backoff import STEADY_S, Backoff, Turnstile
from cbgateway.carriers.smpp.orders import (
    broadcast_report,
    broadcast_request,
    query_report,
    query_request,
    stop_request,
    submit_requests,
)
from cbgateway.carriers.window import Window
from cbgateway.codec import cbs, smpp
from cbgateway.domain.broadcast import Broadcast, GeographicalScope, SerialNumber
from cbgateway.domain.errors import RejectedError
from cbgateway.domain.incoming import AreaOnAir, MessageState
from cbgateway.domain.orders import Area, Handle, OnAirReport, Stop, Submit, WriteReplace

CARRIERS = load_checked_profiles(None).carriers
EXPIRES = datetime(2021, 10, 25, 4, 0, tzinfo=UTC)
SERIAL = SerialNumber(GeographicalScope.PLMN, 291, 5)
COMMON: dict[str, Any] = {
    "bulletin_id": "inc-1/2",
    "alert_class": "safety",
    "area": Area("KR-26", {"ko": "부산광역시", "en": "Busan"}),
    "expires_at": EXPIRES,
}
TEXT = "장애 " * 40
NEW = Handle(alias=7)
REPLACING = Handle("ref", 7, may_be_on_air=True)


def write_replace(text: str = "장애", dcs: int = 0x48) -> WriteReplace:
    """Give a broadcast order."""
    return WriteReplace(
        **COMMON,
        broadcast=Broadcast("ko", 4372, SERIAL, dcs, text, cbs.paginate(text, dcs=dcs)),
        repetition_period_s=60,
        number_of_broadcasts=20,
    )


def test_window_keeps_what_is_in_flight() -> None:
    """Bounded, by number, oldest due first."""
    window: Window[str] = Window(requests_max=2, timeout_s=10)
    window.add(1, "a", now=0.0)
    window.add(2, "b", now=5.0)

    assert window.is_full()
    assert window.next_due() == 10.0
    with pytest.raises(ValueError, match="in flight"):
        window.add(1, "c", now=6.0)
    assert window.pop_due(now=10.0) == ["a"]
    assert window.pop(1) is None
    assert window.pop(2) == "b"
    assert window.next_due() is None
    window.add(3, "d", now=0.0)
    assert window.pop_all() == ["d"]
    assert len(window) == 0


@pytest.mark.parametrize(("random", "expected"), [(0.0, [0.5, 1, 2, 4, 4]), (1.0, [1, 2, 4, 8, 8])])
def test_backoff_doubles_within_its_bound(random: float, expected: list[float]) -> None:
    """Between half and all of a bound that doubles."""
    backoff = Backoff(delay_min_s=1, delay_max_s=8, random=lambda: random)

    assert expected == [backoff.next_s(now=0.0) for _ in range(5)]


def test_only_what_stays_up_starts_the_waits_over() -> None:
    """A bind that is dropped at once counts as a failure; one that stood for a while does not."""
    backoff = Backoff(delay_min_s=1, delay_max_s=8, random=lambda: 1.0)
    backoff.went_up(now=10.0)
    dropped = [backoff.next_s(now=10.0 + STEADY_S - 0.1)]
    backoff.went_up(now=20.0)
    dropped += [backoff.next_s(now=20.0)]
    failed = backoff.next_s(now=20.0 + STEADY_S)  # nothing has been up since
    backoff.went_up(now=30.0)

    assert [1, 2, 4, 1] == [*dropped, failed, backoff.next_s(now=30.0 + STEADY_S)]


def test_binds_connect_one_by_one() -> None:
    """A second apart, counted from where the last one was connected if that took long."""
    turnstile = Turnstile()
    waits = [turnstile.wait_s(now=5.0), turnstile.wait_s(now=5.0), turnstile.wait_s(now=5.5)]
    turnstile.passed(now=5.7)  # the first: two others have turns already
    waits.append(turnstile.wait_s(now=7.5))
    turnstile.passed(now=9.5)

    assert [0.0, 1.0, 1.5, 0.5] == waits
    assert turnstile.wait_s(now=10.0) == 0.5


def test_text_goes_out_as_text() -> None:
    """KT's centre gets the text, the region's code, the seal and the numbers."""
    body, tlvs = broadcast_request(write_replace(), CARRIERS["kt"].smpp, seal="s.e.al", handle=NEW)
    pdu = smpp.decode(smpp.encode(smpp.Pdu(body, 1, tlvs=tlvs)))
    smpp.check_mandatory_tlvs(pdu)
    fields = smpp.fields_of(pdu.body)

    assert fields["data_coding"] == 8
    assert fields["replace_if_present_flag"] == 0
    assert fields["validity_period"] == "211025040000000+"
    assert pdu.tlv(smpp.TlvTag.MESSAGE_PAYLOAD) == "장애".encode("utf-16-be")
    assert pdu.tlv(smpp.TlvTag.BROADCAST_AREA_IDENTIFIER) == b"\0KR-26"
    assert pdu.tlv(smpp.TlvTag.BROADCAST_CONTENT_TYPE) == b"\x01\x00\x71"
    assert pdu.tlv(smpp.TlvTag.BROADCAST_FREQUENCY_INTERVAL) == b"\x08\x00\x3c"
    assert pdu.tlv(0x1500) == b"s.e.al"
    assert pdu.tlv(0x1501) == (4372).to_bytes(2, "big")
    assert pdu.tlv(0x1502) == b"\x52\x35"
    assert pdu.tlvs[-1] == smpp.Tlv(smpp.TlvTag.BROADCAST_REP_NUM, b"\x00\x14")


def test_pages_go_out_as_pages() -> None:
    """LG U+'s centre gets CB data with its scheme; SK Telecom's knows Busan by name."""
    body, tlvs = broadcast_request(
        write_replace(), CARRIERS["lguplus"].smpp, seal="", handle=REPLACING
    )
    pdu = smpp.Pdu(body, 1, tlvs=tlvs)
    fields = smpp.fields_of(body)
    _, named = broadcast_request(
        write_replace("outage", 0x01), CARRIERS["skt"].smpp, seal="", handle=NEW
    )

    assert (fields["data_coding"], fields["message_id"]) == (4, "ref")
    assert fields["replace_if_present_flag"] == 1
    assert pdu.tlv(0x1503) == b"\x48"
    payload = pdu.tlv(smpp.TlvTag.MESSAGE_PAYLOAD)
    assert payload == cbs.encode_cb_data(cbs.paginate("장애", dcs=0x48))
    assert smpp.Pdu(body, 1, tlvs=named).tlv(smpp.TlvTag.BROADCAST_AREA_IDENTIFIER) == b"\0Busan"
    assert smpp.Pdu(body, 1, tlvs=named).tlv(smpp.TlvTag.MESSAGE_PAYLOAD) == b"outage"


def test_vendor_tlvs_stay_away_where_a_carrier_takes_none() -> None:
    """No tag in the profile, no TLV on the wire."""
    rules = CARRIERS["kt"].smpp
    bare = rules.model_copy(
        update={"vendor_tlvs": rules.vendor_tlvs.model_copy(update={"seal": None})}
    )
    submit = Submit(**COMMON, language="ko", text="장애", recipients=("821012345678",))

    _, tlvs = broadcast_request(write_replace(), bare, seal="seal", handle=NEW)
    ((_, sms_tlvs),) = submit_requests(submit, bare, recipient="821012345678", seal="seal")

    assert 0x1500 not in {tlv.tag for tlv in tlvs}
    assert {tlv.tag for tlv in sms_tlvs} == {smpp.TlvTag.USER_MESSAGE_REFERENCE}


@pytest.mark.parametrize(
    ("carrier", "esm_class", "parts"), [("kt", 0x40, 2), ("skt", 0, 2), ("lguplus", 0x40, 2)]
)
def test_long_text_goes_out_in_parts(carrier: str, esm_class: int, parts: int) -> None:
    """Each carrier joins parts its own way; every part has the recipient and the seal."""
    submit = Submit(**COMMON, language="ko", text=TEXT, recipients=("821012345678",))

    requests = submit_requests(
        submit, CARRIERS[carrier].smpp, recipient="821012345678", seal="seal"
    )

    assert parts == len(requests)
    for body, tlvs in requests:
        fields = smpp.fields_of(body)
        assert (fields["esm_class"], fields["destination_addr"]) == (esm_class, "821012345678")
        assert smpp.Tlv(0x1500, b"seal") in tlvs


def test_two_bulletins_in_a_row_have_two_references() -> None:
    """A phone never joins parts of one bulletin with parts of the next; a re-send is identical."""

    def reference(bulletin_id: str) -> bytes:
        submit = Submit(
            **(COMMON | {"bulletin_id": bulletin_id}), language="ko", text=TEXT, recipients=("1",)
        )
        body, _ = submit_requests(submit, CARRIERS["kt"].smpp, recipient="1", seal="")[0]
        return bytes(smpp.fields_of(body)["short_message"][3:4])

    assert reference("inc-1/1") == reference("inc-1/1")
    assert len({reference(f"inc-1/{number}") for number in range(1, 200)}) == 199


def test_cancel_without_a_name_is_impossible() -> None:
    """An empty message_id would cancel everything (SMPP 5.0 4.6.2.1)."""
    stop = Stop(**COMMON, message_identifier=4372, message_code=291)

    body, tlvs = stop_request(stop, CARRIERS["kt"].smpp, handle=REPLACING)

    assert (smpp.fields_of(body)["message_id"], tlvs) == ("ref", ())
    with pytest.raises(ValueError, match="everything"):
        stop_request(stop, CARRIERS["kt"].smpp, handle=Handle())


def answer(status: int = 0, *tlvs: smpp.Tlv, message_id: str = "") -> smpp.Pdu:
    """Give a broadcast_sm_resp."""
    return smpp.Pdu(smpp.BroadcastSmResp(message_id=message_id), 1, status, tlvs)


def test_answers_become_reports_or_refusals() -> None:
    """A name, the old name, a refusal by status, a refusal by area."""
    failed = smpp.Tlv(smpp.TlvTag.BROADCAST_AREA_IDENTIFIER, b"\0Busan")
    why = smpp.Tlv.integer(smpp.TlvTag.BROADCAST_ERROR_STATUS, smpp.Status.ESME_RMSGQFUL)

    assert broadcast_report(answer(message_id="7"), handle=NEW).peer_reference == "7"
    assert broadcast_report(answer(), handle=REPLACING).peer_reference == "ref"
    stopped = smpp.Pdu(smpp.CancelBroadcastSmResp(), 1)
    assert broadcast_report(stopped, handle=REPLACING).peer_reference == "ref"
    with pytest.raises(RejectedError, match="ESME_RTHROTTLED") as caught:
        broadcast_report(answer(0x58), handle=NEW)
    assert caught.value.is_temporary
    with pytest.raises(RejectedError, match="ESME_RMSGQFUL for area Busan") as caught:
        broadcast_report(answer(0, why, failed), handle=NEW)
    assert caught.value.is_temporary
    with pytest.raises(RejectedError, match="ESME_RBCASTFAIL") as caught:
        broadcast_report(answer(0, failed), handle=NEW)
    assert not caught.value.is_temporary


@pytest.mark.parametrize(
    ("handle", "message_id", "tlvs"),
    [
        (Handle("b-1", alias=7), "b-1", ()),
        (Handle(alias=7), "", (smpp.Tlv(smpp.TlvTag.USER_MESSAGE_REFERENCE, b"\0\7"),)),
    ],
)
def test_question_names_a_broadcast_once(
    handle: Handle, message_id: str, tlvs: tuple[smpp.Tlv, ...]
) -> None:
    """By the centre's name, or by ours where there is none."""
    body, found = query_request(CARRIERS["kt"].smpp, handle=handle)

    assert smpp.fields_of(body)["message_id"] == message_id
    assert found == tlvs


AREA, SUCCESS = smpp.TlvTag.BROADCAST_AREA_IDENTIFIER, smpp.TlvTag.BROADCAST_AREA_SUCCESS


@pytest.mark.parametrize(
    ("tlvs", "state", "areas"),
    [
        ([], None, ()),
        (
            [(AREA, b"\0KR-26"), (SUCCESS, b"\x62"), (AREA, b"\0KR-49"), (SUCCESS, b"\xff")],
            None,
            (AreaOnAir("KR-26", 98), AreaOnAir("KR-49", None)),
        ),
        ([(AREA, b"\0K\xff")], None, (AreaOnAir("K\ufffd", None),)),
        ([(SUCCESS, b"\x62")], None, ()),
        ([(smpp.TlvTag.MESSAGE_STATE, b"\1")], MessageState.ENROUTE, ()),
        ([(smpp.TlvTag.MESSAGE_STATE, b"\x63")], MessageState.UNKNOWN, ()),
    ],
)
def test_answer_tells_areas_and_success(
    tlvs: list[tuple[int, bytes]], state: MessageState | None, areas: tuple[Any, ...]
) -> None:
    """In the order in which they stand; what is missing or beyond 100 % is not known."""
    pdu = smpp.Pdu(
        smpp.QueryBroadcastSmResp(message_id="b-1"),
        1,
        tlvs=tuple(smpp.Tlv(tag, value) for tag, value in tlvs),
    )

    assert query_report(pdu) == OnAirReport(state, areas)


def test_broadcast_that_the_centre_does_not_know_is_refused() -> None:
    """Its status says so."""
    pdu = smpp.Pdu(smpp.QueryBroadcastSmResp(), 1, smpp.Status.ESME_RBCASTQUERYFAIL)

    with pytest.raises(RejectedError, match="ESME_RBCASTQUERYFAIL"):
        query_report(pdu)
