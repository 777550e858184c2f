"""SMPP: vectors octet for octet, another library as oracle, total on any octets."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from smpplib.smpp import make_pdu

from cbgateway.codec import smpp, smpp_fields
from cbgateway.codec.smpp_tlv import RULES, Kind, problem_of
from cbgateway.domain.errors import DecodeError, EncodeError


@pytest.mark.vectors("smpp.json", "smpp_")
def test_pdu_matches_vector(vector: dict[str, Any]) -> None:
    """A decoded vector encodes to the same octets."""
    octets = bytes.fromhex(vector["hex"])

    assert octets == smpp.encode(smpp.decode(octets))


@pytest.mark.vectors("smpp.json", "smpp_submit_sm_ucs2_udh8_seg1")
def test_fields_are_the_vectors(vector: dict[str, Any]) -> None:
    """Every field stands under its specification name."""
    given_ = vector["input"]
    pdu = smpp.decode(bytes.fromhex(vector["hex"]))
    fields = smpp.fields_of(pdu.body)

    assert given_["source"] == "{source_addr_ton}/{source_addr_npi}/{source_addr}".format_map(
        fields
    )
    assert given_["dest"] == "{dest_addr_ton}/{dest_addr_npi}/{destination_addr}".format_map(fields)
    assert (given_["data_coding"], given_["esm_class"]) == (
        fields["data_coding"],
        fields["esm_class"],
    )
    assert fields["sm_length"] == len(fields["short_message"]) == 140


@pytest.mark.vectors("smpp.json", "smpp_broadcast_sm_resp_partial")
def test_list_tlvs_are_all_there(vector: dict[str, Any]) -> None:
    """A failed area and its status pair by their order."""
    pdu = smpp.decode(bytes.fromhex(vector["hex"]))

    assert pdu.tlvs_of(smpp.TlvTag.BROADCAST_AREA_IDENTIFIER) == (b"\x00Incheon",)
    assert smpp.tlv_value(pdu.tlvs[0]) == smpp.Status.ESME_RINVBCASTAREAFMT


class Sequence:
    """Gives smpplib the sequence numbers that it asks a client for."""

    sequence = 7

    def next_sequence(self) -> int:
        """Give seven."""
        return self.sequence


ORACLES: list[tuple[str, dict[str, Any], smpp.Body]] = [
    (
        "bind_transceiver",
        {
            "system_id": "gateway",
            "password": "secret",
            "system_type": "CBE",
            "interface_version": 0x34,
        },
        smpp.BindTransceiver(
            system_id="gateway", password="secret", system_type="CBE", interface_version=0x34
        ),
    ),
    (
        "bind_transmitter",
        {"system_id": "g", "interface_version": 0x34},
        smpp.BindTransmitter(system_id="g", interface_version=0x34),
    ),
    (
        "submit_sm",
        {
            "source_addr_ton": 5,
            "source_addr": "KT",
            "dest_addr_ton": 1,
            "dest_addr_npi": 1,
            "destination_addr": "821012345678",
            "esm_class": 0x40,
            "data_coding": 8,
            "registered_delivery": 1,
            "short_message": b"\x05\x00\x03\x01\x01\x01\xac\x00",
        },
        smpp.SubmitSm(
            source=smpp.Address(5, 0, "KT"),
            destination=smpp.Address(1, 1, "821012345678"),
            esm_class=0x40,
            data_coding=8,
            registered_delivery=1,
            short_message=b"\x05\x00\x03\x01\x01\x01\xac\x00",
        ),
    ),
    (
        "query_sm",
        {"message_id": "abc", "source_addr": "KT"},
        smpp.QuerySm(message_id="abc", source=smpp.Address(0, 0, "KT")),
    ),
    ("enquire_link", {}, smpp.EnquireLink()),
    ("enquire_link_resp", {}, smpp.EnquireLinkResp()),
    ("unbind", {}, smpp.Unbind()),
    ("unbind_resp", {}, smpp.UnbindResp()),
]


@pytest.mark.parametrize(("name", "fields", "body"), ORACLES, ids=[row[0] for row in ORACLES])
def test_octets_are_those_of_smpplib(name: str, fields: dict[str, Any], body: smpp.Body) -> None:
    """What smpplib can write, we write the same."""
    expected = make_pdu(name, client=Sequence(), **fields).generate()

    assert expected == smpp.encode(smpp.Pdu(body, sequence_number=7))


ASCII = st.characters(min_codepoint=1, max_codepoint=127)
OCTET = st.integers(0, 255)
TIME = st.sampled_from(["", "260131143000036+", "000000003000000R"])


def text(length_max: int) -> st.SearchStrategy[str]:
    """Give C-strings that just fit."""
    return st.text(ASCII, max_size=length_max - 1)


def value_of(kind: smpp_fields.Field) -> st.SearchStrategy[Any]:
    """Give values for a kind of field."""
    match kind:
        case smpp_fields.Integer(length=length):
            return st.integers(0, 256**length - 1)
        case smpp_fields.CString(length_max=length_max):
            return text(length_max)
        case smpp_fields.Time():
            return TIME
        case smpp_fields.AddressField(length_max=length_max):
            return st.builds(smpp.Address, OCTET, OCTET, text(length_max))
        case smpp_fields.ShortMessageField():
            return st.binary(max_size=255)
    raise AssertionError(kind)


@st.composite
def tlvs(draw: st.DrawFn) -> smpp.Tlv:
    """Give a TLV that keeps its rule, or one that nobody knows."""
    tag = draw(st.sampled_from([*RULES, 0x1500, 0x3FFF, 0xFFFF]))
    rule = RULES.get(tag)
    if rule is None:
        return smpp.Tlv(tag, draw(st.binary(max_size=40)))
    length_max = min(rule.length_max, rule.length_min + 30)
    if rule.kind is Kind.C_STRING:
        return smpp.Tlv(tag, b"a" * (draw(st.integers(rule.length_min, length_max)) - 1) + b"\0")
    return smpp.Tlv(tag, draw(st.binary(min_size=rule.length_min, max_size=length_max)))


def distinct(found: Iterable[smpp.Tlv]) -> tuple[smpp.Tlv, ...]:
    """Leave out what may not stand twice, and payloads, which have rules of their own."""
    kept: dict[Any, smpp.Tlv] = {}
    for index, tlv in enumerate(found):
        rule = RULES.get(tlv.tag)
        if tlv.tag != smpp.TlvTag.MESSAGE_PAYLOAD:
            kept[tlv.tag if rule is not None and not rule.is_list else (tlv.tag, index)] = tlv
    return tuple(kept.values())


@st.composite
def pdus(draw: st.DrawFn) -> smpp.Pdu:
    """Give any PDU."""
    body_class = draw(st.sampled_from(list(smpp.BODIES.values())))
    values = {name: draw(value_of(kind)) for name, kind in body_class.LAYOUT.items()}
    if "esm_class" in values:
        values["esm_class"] &= 0xBF  # no user data header: its length would have to be right
    return smpp.Pdu(
        body_class(**values),
        sequence_number=draw(st.integers(1, 0x7FFFFFFF)),
        command_status=draw(st.integers(0, 0xFFFFFFFF)),
        tlvs=distinct(draw(st.lists(tlvs(), max_size=5))),
    )


@given(pdus())
def test_any_pdu_reads_back(pdu: smpp.Pdu) -> None:
    """Whatever can be written is read as what it was."""
    octets = smpp.encode(pdu)
    read = smpp.decode(octets)

    assert octets == smpp.encode(read)
    if pdu.command_status == 0 or not smpp.is_response(pdu.body):
        assert pdu == read


@given(pdus(), st.data())
def test_mutated_pdu_gives_a_pdu_or_an_error(pdu: smpp.Pdu, data: st.DataObject) -> None:
    """Changed, cut or lengthened octets never give another kind of error."""
    octets = bytearray(smpp.encode(pdu))
    for _ in range(data.draw(st.integers(1, 4))):
        octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(OCTET)
    cut = bytes(octets[: data.draw(st.integers(0, len(octets)))])
    for candidate in (bytes(octets), cut, len(cut).to_bytes(4, "big") + cut[4:]):
        try:
            smpp.decode(candidate)
        except smpp.PduError as error:
            assert 0 <= error.offset <= len(candidate)
            assert error.field
            assert error.clause


@given(st.binary(max_size=200))
@example(b"")
@example(bytes(16))
def test_any_octets_give_a_pdu_or_an_error(octets: bytes) -> None:
    """Random octets, with and without an honest length."""
    honest = (len(octets) + 4).to_bytes(4, "big") + octets
    for candidate in (octets, honest):
        try:
            smpp.decode(candidate)
        except smpp.PduError as error:
            assert error.command_status != smpp.Status.ESME_ROK


@given(st.lists(pdus(), max_size=4), st.binary(max_size=30), st.data())
def test_pieces_make_no_difference(found: list[smpp.Pdu], rest: bytes, data: st.DataObject) -> None:
    """Octets fed whole and in any pieces give the same PDUs and errors."""
    octets = b"".join(map(smpp.encode, found)) + rest
    whole, pieces, single = smpp.Framer(), smpp.Framer(), smpp.Framer()
    expected = [str(item) for item in whole.receive(octets)]

    actual: list[str] = []
    at = 0
    while at < len(octets):
        size = data.draw(st.integers(1, 64))
        actual += [str(item) for item in pieces.receive(octets[at : at + size])]
        at += size

    assert expected == actual
    assert expected == [str(item) for octet in octets for item in single.receive(bytes([octet]))]


def raw(command_id: int, body: bytes = b"", *, status: int = 0, sequence: int = 1) -> bytes:
    """Write a PDU without any rule."""
    header = b"".join(
        value.to_bytes(4, "big") for value in (16 + len(body), command_id, status, sequence)
    )
    return header + body


SUBMIT = b"\0" + b"\0\0\0" + b"\1\1821012345678\0" + bytes(3) + b"\0\0" + bytes(4)
"""A submit_sm's body up to sm_length."""

CATALOGUE = [
    (raw(0x99), "command_id", smpp.Status.ESME_RINVCMDID),
    (raw(0x15, sequence=0), "sequence_number", smpp.Status.ESME_RSYSERR),
    (raw(0x15, sequence=0x80000000), "sequence_number", smpp.Status.ESME_RSYSERR),
    (raw(4, SUBMIT + b"\xffabc"), "sm_length", smpp.Status.ESME_RINVMSGLEN),
    (raw(4, SUBMIT), "sm_length", smpp.Status.ESME_RINVCMDLEN),
    (raw(4, b"toolong\0"), "service_type", smpp.Status.ESME_RINVSERTYP),
    (raw(2, b"a" * 20), "system_id", smpp.Status.ESME_RINVSYSID),
    (raw(2, b"\xe9\0"), "system_id", smpp.Status.ESME_RINVSYSID),
    (raw(4, b"\0\0\0" + b"1" * 21), "source_addr", smpp.Status.ESME_RINVSRCADR),
    (
        raw(4, SUBMIT[:-6] + b"abc\0\0" + bytes(5)),
        "schedule_delivery_time",
        smpp.Status.ESME_RINVSCHED,
    ),
    (raw(0x15, b"\x04\x24\x00"), "TLV", smpp.Status.ESME_RINVTLVSTREAM),
    (raw(0x15, b"\x04\x24\x00\x09abc"), "message_payload", smpp.Status.ESME_RINVTLVSTREAM),
    (raw(0x15, b"\x02\x10\x00\x02ab"), "sc_interface_version", smpp.Status.ESME_RINVTLVLEN),
    (raw(0x15, b"\x00\x1e\x00\x02\xe9\x00"), "receipted_message_id", smpp.Status.ESME_RINVTLVLEN),
    (raw(0x15, b"\x02\x10\x00\x01\x50" * 2), "sc_interface_version", smpp.Status.ESME_RINVTLVLEN),
    (raw(4, SUBMIT + b"\1a\x04\x24\x00\x01b"), "message_payload", smpp.Status.ESME_RINVMSGLEN),
    (
        raw(4, SUBMIT[: 16 + 3] + b"\x40" + SUBMIT[20:] + b"\2\5a"),
        "short_message",
        smpp.Status.ESME_RINVMSGLEN,
    ),
]


@pytest.mark.parametrize(("octets", "field", "status"), CATALOGUE)
def test_broken_pdu_is_named_and_has_an_answer(octets: bytes, field: str, status: int) -> None:
    """Field, offset and SMPP status of each way to be wrong; the next PDU is read all the same."""
    framer = smpp.Framer()
    items = framer.receive(octets + raw(0x15))

    assert isinstance(items[0], smpp.Unparsed)
    assert (field, status) == (items[0].error.field, items[0].error.command_status)
    assert not items[0].error.framing_lost
    assert items[0].header is not None
    assert isinstance(items[1], smpp.Pdu)


@pytest.mark.parametrize("length", [0, 15, 70_001, 0xFFFFFFFF])
def test_length_that_cannot_be_believed_ends_the_framing(length: int) -> None:
    """Nothing after it can be trusted, and nothing of it is waited for."""
    framer = smpp.Framer()
    (item,) = framer.receive(length.to_bytes(4, "big"))

    assert isinstance(item, smpp.Unparsed)
    assert item.error.framing_lost
    assert item.error.command_status == smpp.Status.ESME_RINVCMDLEN
    assert framer.receive(raw(0x15)) == []


def test_pdu_is_waited_for() -> None:
    """Half a PDU is nothing yet."""
    framer = smpp.Framer()

    assert framer.receive(raw(0x15)[:9]) == []
    assert len(framer.receive(raw(0x15)[9:] + raw(0x15))) == 2


def test_length_must_be_that_of_the_octets() -> None:
    """Reading one PDU means reading all of it and nothing else."""
    for octets in (raw(0x15) + b"x", raw(0x15)[:10]):
        with pytest.raises(smpp.PduError, match="octets"):
            smpp.decode(octets)


def test_refusal_without_a_body_is_a_refusal() -> None:
    """A response with a status may be a header alone; ours is."""
    octets = raw(0x80000004, status=0x58)

    pdu = smpp.decode(octets)
    assert (smpp.Status.ESME_RTHROTTLED, "") == (pdu.command_status, pdu.body.message_id)  # type: ignore[attr-defined]
    assert octets == smpp.encode(pdu)
    with pytest.raises(smpp.PduError, match="message_id"):
        smpp.decode(raw(0x80000004))


C_STRINGS = [
    (body_class, name, kind.length_max)
    for body_class in smpp.BODIES.values()
    for name, kind in body_class.LAYOUT.items()
    if isinstance(kind, smpp_fields.CString)
]


@pytest.mark.parametrize(("body_class", "name", "length_max"), C_STRINGS)
def test_strings_are_never_cut(body_class: type[Any], name: str, length_max: int) -> None:
    """The longest that fits goes through, one more is refused by name."""
    longest = "a" * (length_max - 1)
    octets = smpp.encode(smpp.Pdu(body_class(**{name: longest}), 1))

    assert longest == getattr(smpp.decode(octets).body, name)
    for wrong in (longest + "a", "a\0", "가"):
        with pytest.raises(EncodeError, match=name):
            smpp.encode(smpp.Pdu(body_class(**{name: wrong}), 1))


@pytest.mark.parametrize(
    ("pdu", "field"),
    [
        (smpp.Pdu(smpp.EnquireLink(), -1), "sequence_number"),
        (smpp.Pdu(smpp.EnquireLink(), 0x80000000), "sequence_number"),
        (smpp.Pdu(smpp.SubmitSm(esm_class=256), 1), "esm_class"),
        (smpp.Pdu(smpp.SubmitSm(source=smpp.Address(256, 0, "")), 1), "source_addr_ton"),
        (smpp.Pdu(smpp.SubmitSm(source=smpp.Address(0, 0, "1" * 21)), 1), "source_addr"),
        (smpp.Pdu(smpp.SubmitSm(short_message=bytes(256)), 1), "short_message"),
        (smpp.Pdu(smpp.SubmitSm(validity_period="soon"), 1), "validity_period"),
        (smpp.Pdu(smpp.DataSm(), 1, tlvs=(smpp.Tlv(0x0210, b""),)), "sc_interface_version"),
        (smpp.Pdu(smpp.DataSm(), 1, tlvs=(smpp.Tlv(0x1500, bytes(65_536)),)), "vendor_1500"),
        (smpp.Pdu(smpp.DataSm(), 1, tlvs=(smpp.Tlv(0x1500, bytes(65_535)),) * 2), "command_length"),
    ],
)
def test_what_does_not_fit_is_refused(pdu: smpp.Pdu, field: str) -> None:
    """Nothing is masked or cut."""
    with pytest.raises(EncodeError) as caught:
        smpp.encode(pdu)

    assert field == caught.value.field


@pytest.mark.parametrize(("tag", "rule"), list(RULES.items()))
def test_tlv_lengths_keep_their_rule(tag: int, rule: Any) -> None:
    """Shortest and longest pass, one octet beyond either is named."""
    assert problem_of(smpp.Tlv(tag, bytes(rule.length_min))) is None
    assert problem_of(smpp.Tlv(tag, bytes(rule.length_max))) is None
    if rule.length_min:
        assert problem_of(smpp.Tlv(tag, bytes(rule.length_min - 1)))
    assert problem_of(smpp.Tlv(tag, bytes(rule.length_max + 1)))


def test_tlv_values_are_read_as_their_tag_says() -> None:
    """Numbers, strings and octets; broadcast_rep_num of one or two octets, sent with two."""
    tag = smpp.TlvTag

    assert smpp.tlv_value(smpp.Tlv(tag.BROADCAST_REP_NUM, b"\x14")) == 20
    assert smpp.Tlv.integer(tag.BROADCAST_REP_NUM, 20).value == b"\x00\x14"
    assert smpp.tlv_value(smpp.Tlv.string(tag.RECEIPTED_MESSAGE_ID, "abc")) == "abc"
    assert smpp.tlv_value(smpp.Tlv(0x1500, b"\xac")) == b"\xac"
    assert smpp.Tlv(0x1500, b"").name == "vendor_1500"
    assert smpp.tag_name(0x4000) == "unknown_4000"
    for wrong in (
        lambda: smpp.Tlv.integer(tag.MESSAGE_PAYLOAD, 1),
        lambda: smpp.Tlv.integer(0x1500, 1),
        lambda: smpp.Tlv.integer(tag.SAR_TOTAL_SEGMENTS, 256),
        lambda: smpp.Tlv.string(tag.RECEIPTED_MESSAGE_ID, "가"),
    ):
        with pytest.raises(EncodeError):
            wrong()


def broadcast(*missing: int, priority_flag: int = 0) -> smpp.Pdu:
    """Give a broadcast_sm that lacks some TLVs."""
    found = (
        smpp.Tlv(smpp.TlvTag.BROADCAST_AREA_IDENTIFIER, b"\0KR"),
        smpp.Tlv(smpp.TlvTag.BROADCAST_CONTENT_TYPE, b"\1\0\1"),
        smpp.Tlv(smpp.TlvTag.BROADCAST_FREQUENCY_INTERVAL, b"\x08\0\x1e"),
        smpp.Tlv.integer(smpp.TlvTag.BROADCAST_REP_NUM, 2),
    )
    kept = tuple(tlv for tlv in found if tlv.tag not in missing)
    return smpp.Pdu(smpp.BroadcastSm(priority_flag=priority_flag), 1, tlvs=kept)


@pytest.mark.parametrize("tag", [0x0606, 0x0601, 0x0605, 0x0604])
def test_broadcast_needs_its_tlvs(tag: int) -> None:
    """Each is missed by name; an immediate broadcast needs no count (SMPP 5.0 4.4.1.1)."""
    smpp.check_mandatory_tlvs(broadcast())
    smpp.check_mandatory_tlvs(broadcast(0x0604, priority_flag=1))
    smpp.check_mandatory_tlvs(smpp.Pdu(smpp.EnquireLink(), 1))
    with pytest.raises(smpp.PduError, match=smpp.tag_name(tag)) as caught:
        smpp.check_mandatory_tlvs(broadcast(tag))
    assert caught.value.command_status == smpp.Status.ESME_RMISSINGTLV


def test_every_command_has_a_body_and_an_answer() -> None:
    """No command is forgotten; a request's answer is its own response."""
    assert {int(command) for command in smpp.CommandId} == set(smpp.BODIES)
    assert isinstance(smpp.response_to(smpp.BroadcastSm()), smpp.BroadcastSmResp)
    assert isinstance(smpp.response_to(smpp.AlertNotification()), smpp.GenericNack)
    assert smpp.name_of(smpp.CancelBroadcastSm()) == "cancel_broadcast_sm"
    assert smpp.status_name(0x58) == "ESME_RTHROTTLED"
    assert smpp.status_name(0x400) == "0x00000400"


@given(st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2099, 12, 31)))  # noqa: DTZ001 - given UTC below
def test_absolute_time_reads_back(at: datetime) -> None:
    """To a tenth of a second, in UTC."""
    at = at.replace(microsecond=at.microsecond // 100_000 * 100_000, tzinfo=UTC)

    assert at == smpp.parse_time(smpp.format_absolute_time(at))


@given(st.timedeltas(min_value=timedelta(), max_value=timedelta(days=99, hours=23)))
def test_relative_time_reads_back(duration: timedelta) -> None:
    """To a second; what is longer or negative is refused."""
    duration = timedelta(seconds=int(duration.total_seconds()))

    assert duration == smpp.parse_time(smpp.format_relative_time(duration))
    for wrong in (timedelta(days=100), timedelta(seconds=-1)):
        with pytest.raises(EncodeError, match="99 days"):
            smpp.format_relative_time(wrong)


def test_times_of_the_specification() -> None:
    """Korean time, half an hour, and a zone behind UTC."""
    assert smpp.parse_time("260131143000036+") == datetime(2026, 1, 31, 5, 30, tzinfo=UTC)
    assert smpp.parse_time("260131143000036-") == datetime(2026, 1, 31, 23, 30, tzinfo=UTC)
    assert smpp.parse_time("000000003000000R") == timedelta(minutes=30)


@given(st.text(max_size=20) | st.from_regex(r"[0-9]{15}[-+R]", fullmatch=True))
def test_any_text_is_a_time_or_an_error(text: str) -> None:
    """Reading a time is total."""
    try:
        smpp.parse_time(text)
    except DecodeError as error:
        assert error.clause


def test_passwords_do_not_show() -> None:
    """A bind can be logged."""
    assert "secret" not in repr(smpp.BindTransmitter(system_id="a", password="secret"))
