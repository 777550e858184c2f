"""The simulated message centre: strict about what it gets, clear about what is wrong."""

from typing import Any

import pytest

from cbgateway.codec import cbs, smpp, smpp_text
from cbsim.handset import Handset
from cbsim.network import Network
from cbsim.smsc import Account, MessageCentre, SmscSession, VendorTlvs

TAG = smpp.TlvTag
AREA = smpp.Tlv(TAG.BROADCAST_AREA_IDENTIFIER, b"\0Busan")
CONTENT = smpp.Tlv(TAG.BROADCAST_CONTENT_TYPE, b"\1\0\1")
INTERVAL = smpp.Tlv(TAG.BROADCAST_FREQUENCY_INTERVAL, b"\x08\0\x1e")
REPEAT = smpp.Tlv.integer(TAG.BROADCAST_REP_NUM, 3)
TEXT = smpp.Tlv(TAG.MESSAGE_PAYLOAD, "장애".encode("utf-16-be"))
TLVS = (AREA, CONTENT, INTERVAL, TEXT, REPEAT)


class Bench:
    """A centre with one phone for each channel, and a session to talk to it."""

    def __init__(self, **changes: Any) -> None:
        self.events: list[dict[str, Any]] = []
        self.screens: list[str] = []
        phones = [
            Handset("821000000001", "KR-26", "ko", "ko", takes_broadcasts=True, keys={}),
            Handset("821000000002", "KR-26", "ko", "ko", takes_broadcasts=False, keys={}),
        ]
        facts: dict[str, Any] = {
            "accounts": (Account("gateway", "secret"),),
            "areas": {"Busan": "KR-26"},
            "vendor_tlvs": VendorTlvs(),
            "now_s": lambda: 1_635_130_800.0,
        }
        network = Network(phones, lambda _, shown: self.screens.append(shown.text))
        self.centre = MessageCentre("smsc", network, **(facts | changes))
        self.session = SmscSession(self.centre, self.events.append)
        self._number = 0

    def ask(self, body: smpp.Body, *tlvs: smpp.Tlv) -> smpp.Pdu:
        """Send a request and give its answer."""
        self._number += 1
        self.session.receive(smpp.encode(smpp.Pdu(body, self._number, tlvs=tlvs)))
        (answer,) = smpp.Framer().receive(self.session.outgoing())
        assert isinstance(answer, smpp.Pdu)
        assert answer.sequence_number == self._number
        return answer

    def bind(self, version: int = 0x50, body: type[Any] = smpp.BindTransceiver) -> "Bench":
        """Bind."""
        answer = self.ask(body(system_id="gateway", password="secret", interface_version=version))
        assert answer.command_status == smpp.Status.ESME_ROK
        assert answer.tlv(TAG.SC_INTERFACE_VERSION) == b"\x50"
        return self


def status(answer: smpp.Pdu) -> str:
    """Give an answer's status by its name."""
    return smpp.status_name(answer.command_status)


def test_bind_is_checked() -> None:
    """Unknown, wrong and second binds are refused by their own status."""
    bench = Bench()

    unknown = bench.ask(smpp.BindTransmitter(system_id="nobody"))
    wrong = bench.ask(smpp.BindReceiver(system_id="gateway", password="x"))
    bench.bind()
    again = bench.ask(smpp.BindTransmitter(system_id="gateway", password="secret"))

    assert status(unknown) == "ESME_RINVSYSID"
    assert status(wrong) == "ESME_RINVPASWD"
    assert status(again) == "ESME_RALYBND"
    assert [event["event"] for event in bench.events] == ["refused", "refused", "bound", "refused"]
    assert status(Bench(accounts=()).ask(smpp.BindTransmitter(system_id="any"))) == "ESME_ROK"


def test_nothing_goes_before_the_bind() -> None:
    """Save for enquire_link."""
    bench = Bench()

    assert status(bench.ask(smpp.EnquireLink())) == "ESME_ROK"
    assert status(bench.ask(smpp.SubmitSm())) == "ESME_RINVBNDSTS"
    assert status(bench.ask(smpp.BroadcastSm(), *TLVS)) == "ESME_RINVBNDSTS"
    assert status(bench.ask(smpp.Unbind())) == "ESME_RINVBNDSTS"
    receiver = Bench().bind(body=smpp.BindReceiver)
    assert status(receiver.ask(smpp.SubmitSm())) == "ESME_RINVBNDSTS"
    assert status(receiver.ask(smpp.Unbind())) == "ESME_ROK"
    assert receiver.session.is_closed


def test_short_message_reaches_its_phone() -> None:
    """submit_sm and data_sm deliver; query_sm tells what became of them."""
    bench = Bench().bind()
    bench.centre.set({"states": {"strict_numbers": True}})
    to = smpp.Address(1, 1, "821000000002")

    first = bench.ask(
        smpp.SubmitSm(destination=to, data_coding=8, short_message="장애".encode("utf-16-be"))
    )
    second = bench.ask(smpp.DataSm(destination=to, data_coding=8), TEXT)
    lost = bench.ask(smpp.SubmitSm(destination=smpp.Address(1, 1, "0"), short_message=b"x"))

    assert bench.screens == ["장애", "장애"]
    states = [
        smpp.fields_of(bench.ask(smpp.QuerySm(message_id=one.body.message_id)).body)[
            "message_state"
        ]  # type: ignore[attr-defined]
        for one in (first, second, lost)
    ]
    assert states == [2, 2, 5]
    assert status(bench.ask(smpp.QuerySm(message_id="none"))) == "ESME_RQUERYFAIL"
    assert status(bench.ask(smpp.ReplaceSm())) == "ESME_RREPLACEFAIL"
    assert status(bench.ask(smpp.Outbind())) == "ESME_RINVCMDID"


def test_long_message_by_sar_is_joined() -> None:
    """Parts with sar TLVs are one text on the phone."""
    bench = Bench().bind()
    cut = smpp_text.segment(
        "장애 " * 30, data_coding=None, segmentation=smpp_text.Segmentation.SAR, reference=9
    )
    for part in cut.parts:
        body = smpp.SubmitSm(
            destination=smpp.Address(1, 1, "821000000002"),
            data_coding=8,
            short_message=part.short_message,
        )
        bench.ask(body, *part.tlvs)

    assert bench.screens == ["장애 " * 30]


def test_broadcast_is_shown_replaced_and_stopped() -> None:
    """A name comes back; with it the broadcast is replaced, and taken off the air."""
    bench = Bench().bind()
    serial = smpp.Tlv(0x1502, b"\x40\x00")
    newer = smpp.Tlv(0x1502, b"\x40\x01")
    cb_data = cbs.encode_cb_data(cbs.paginate("복구", dcs=0x48))
    name = bench.ask(smpp.BroadcastSm(data_coding=8), *TLVS, serial).body.message_id  # type: ignore[attr-defined]
    replaced = bench.ask(
        smpp.BroadcastSm(data_coding=4, message_id=name, replace_if_present_flag=1),
        AREA,
        CONTENT,
        INTERVAL,
        smpp.Tlv(TAG.MESSAGE_PAYLOAD, cb_data),
        REPEAT,
        newer,
        smpp.Tlv(0x1503, b"\x48"),
    )

    assert (status(replaced), replaced.body) == ("ESME_ROK", smpp.BroadcastSmResp(message_id=name))
    assert bench.screens == ["장애", "복구"]
    assert status(bench.ask(smpp.CancelBroadcastSm(message_id=name))) == "ESME_ROK"
    assert status(bench.ask(smpp.CancelBroadcastSm(message_id=name))) == "ESME_RBCASTCANCELFAIL"
    assert status(bench.ask(smpp.CancelBroadcastSm())) == "ESME_RBCASTCANCELFAIL"


def test_centre_numbers_what_the_sender_does_not() -> None:
    """Without vendor TLVs each broadcast is a new message, so that phones show all of them."""
    bench = Bench().bind()
    for _ in range(2):
        bench.ask(smpp.BroadcastSm(data_coding=8), *TLVS)
    bench.ask(
        smpp.BroadcastSm(data_coding=0, validity_period="000000010000000R"),
        AREA,
        smpp.Tlv(TAG.BROADCAST_CONTENT_TYPE, b"\1\0\x71"),
        INTERVAL,
        smpp.Tlv(TAG.MESSAGE_PAYLOAD, b"outage"),
        REPEAT,
    )

    assert bench.screens == ["장애", "장애", "outage"]


@pytest.mark.parametrize(
    ("body", "tlvs", "name"),
    [
        (smpp.BroadcastSm(data_coding=8), (CONTENT, INTERVAL, TEXT, REPEAT), "ESME_RMISSINGTLV"),
        (smpp.BroadcastSm(data_coding=8), (AREA, CONTENT, INTERVAL, REPEAT), "ESME_RMISSINGTLV"),
        (smpp.BroadcastSm(data_coding=8), (AREA, *TLVS), "ESME_RINVNUMBCAST_AREAS"),
        (smpp.BroadcastSm(data_coding=4), TLVS, "ESME_RINVTLVVAL"),
        (smpp.BroadcastSm(data_coding=99), TLVS, "ESME_RINVTLVVAL"),
        (
            smpp.BroadcastSm(data_coding=8, message_id="x", replace_if_present_flag=1),
            TLVS,
            "ESME_RINVMSGID",
        ),
        (
            smpp.BroadcastSm(data_coding=8),
            (smpp.Tlv(AREA.tag, b"\0Atlantis"), *TLVS[1:]),
            "ESME_RINVBCASTALIAS_NAME",
        ),
        (
            smpp.BroadcastSm(data_coding=8),
            (smpp.Tlv(AREA.tag, b"\2polygon"), *TLVS[1:]),
            "ESME_RINVBCASTAREAFMT",
        ),
        (
            smpp.BroadcastSm(data_coding=8),
            (AREA, CONTENT, smpp.Tlv(INTERVAL.tag, b"\x07\0\1"), TEXT, REPEAT),
            "ESME_RINVBCASTFREQINT",
        ),
        (
            smpp.BroadcastSm(data_coding=8, validity_period="999999999999999+"),
            TLVS,
            "ESME_RINVEXPIRY",
        ),
    ],
)
def test_wrong_broadcast_is_refused_by_status(
    body: smpp.BroadcastSm, tlvs: tuple[smpp.Tlv, ...], name: str
) -> None:
    """Each fault has its status, and nothing is on air."""
    bench = Bench().bind()

    assert name == status(bench.ask(body, *tlvs))
    assert bench.screens == []
    assert bench.events[-1]["event"] == "refused"


def test_version_3_4_has_no_broadcasts() -> None:
    """They came with 5.0."""
    bench = Bench().bind(version=0x34)

    assert status(bench.ask(smpp.BroadcastSm(), *TLVS)) == "ESME_RINVCMDID"
    assert status(bench.ask(smpp.QueryBroadcastSm())) == "ESME_RINVCMDID"


def test_wrong_octets_are_named_and_answered() -> None:
    """A broken PDU gets a generic_nack and a line with field and octet; a lie ends the session."""
    bench = Bench().bind()
    bench.session.receive(b"\0\0\0\x11\0\0\0\x15\0\0\0\0\0\0\0\x09x")
    (answer,) = smpp.Framer().receive(bench.session.outgoing())

    assert isinstance(answer, smpp.Pdu)
    assert (type(answer.body), answer.sequence_number) == (smpp.GenericNack, 9)
    assert "octet 16" in bench.events[-1]["detail"]
    bench.session.receive(b"\xff\xff\xff\xff")
    assert bench.session.is_closed
    bench.session.receive(b"more")
    bench.session.outgoing()


def test_sequence_number_out_of_range_is_refused_with_zero() -> None:
    """An answer may not carry such a number; the session goes on."""
    bench = Bench().bind()
    bench.session.receive(bytes.fromhex("00000010 00000015 00000000 ffffffff"))

    (answer,) = smpp.Framer().receive(bench.session.outgoing())
    assert isinstance(answer, smpp.Pdu)
    assert (type(answer.body), answer.sequence_number) == (smpp.GenericNack, 0)
    assert not bench.session.is_closed


def test_answers_from_an_esme_are_ignored() -> None:
    """A response that nobody asked for has no answer."""
    bench = Bench().bind()
    bench.session.receive(smpp.encode(smpp.Pdu(smpp.EnquireLinkResp(), 5)))

    assert bench.session.outgoing() == b""


@pytest.mark.parametrize("tag", [0x1501, 0x1502, 0x1503])
@pytest.mark.parametrize("octets", [0, 3, 65_000])
def test_vendor_tlv_of_another_length_is_refused(tag: int, octets: int) -> None:
    """By its length, before it is taken for a number; nothing is on air."""
    bench = Bench().bind()

    answer = bench.ask(smpp.BroadcastSm(data_coding=8), *TLVS, smpp.Tlv(tag, b"\xff" * octets))

    assert status(answer) == "ESME_RINVTLVLEN"
    assert f"{tag:#06x}" in bench.events[-1]["detail"]
    assert bench.screens == []
