"""Delivery receipts: TLVs before text, every vendor's text, and the quick way like the ordinary."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbgateway.codec import smpp, smpp_receipt
from cbgateway.codec.smpp_bulk import AnswerFramer
from cbgateway.domain.incoming import MessageState, Receipt

TEXT = (
    "id:{} sub:001 dlvrd:001 submit date:2110251116 done date:2110251117 "
    "stat:{} err:000 text:Service is back"
)
USUAL = TEXT.format("0000a1b2", "DELIVRD").encode()
TAG = smpp.TlvTag


def receipt(text: bytes = USUAL, *tlvs: smpp.Tlv, number: int = 7, **fields: Any) -> bytes:
    """Write a receipt as a centre does."""
    fields = {"esm_class": smpp_receipt.DELIVERY_RECEIPT, "short_message": text} | fields
    body = smpp.DeliverSm(
        source=smpp.Address(1, 1, "821012345678"),
        destination=smpp.Address(5, 0, "CBG"),
        **fields,
    )
    return smpp.encode(smpp.Pdu(body, number, tlvs=tlvs))


def read(octets: bytes) -> Receipt | None:
    """Read it the ordinary way."""
    return smpp_receipt.read_receipt(smpp.decode(octets))


def test_text_tells() -> None:
    """Without TLVs the text has the id and the state; addresses come from their fields."""
    told = read(receipt())

    assert told == Receipt(b"0000a1b2", MessageState.DELIVERED, "821012345678", "CBG", None)


def test_tlvs_are_believed_first() -> None:
    """receipted_message_id, message_state and our reference stand over the text."""
    told = read(
        receipt(
            USUAL,
            smpp.Tlv(TAG.RECEIPTED_MESSAGE_ID, b"77\0"),
            smpp.Tlv(TAG.MESSAGE_STATE, b"\x05"),
            smpp.Tlv(TAG.USER_MESSAGE_REFERENCE, b"\x01\x02"),
        )
    )

    expected = Receipt(b"77", MessageState.UNDELIVERABLE, "821012345678", "CBG", 0x0102)
    assert told == expected


@pytest.mark.parametrize(
    ("text", "message_id", "state"),
    [
        (b"ID:9 STAT:undeliv", b"9", MessageState.UNDELIVERABLE),
        (b"id: 12 stat: EXPIRED", b"12", MessageState.EXPIRED),
        (b"stat:REJECTD id:x-y", b"x-y", MessageState.REJECTED),
        (b"id:3 stat:ENROUTE", b"3", MessageState.ENROUTE),
        (b"id:3 stat:??", b"3", MessageState.UNKNOWN),
        (b"id:\0 stat:DELIVRD", b"", MessageState.DELIVERED),
        (b"hello", b"", MessageState.UNKNOWN),
    ],
)
def test_every_vendor_writes_it_differently(
    text: bytes, message_id: bytes, state: MessageState
) -> None:
    """Capitals, spaces and order do not matter; what is missing is unknown."""
    told = read(receipt(text))

    assert told is not None
    assert (told.message_id, told.state) == (message_id, state)


@pytest.mark.parametrize("esm_class", [0x00, 0x08, 0x40])
def test_message_is_no_receipt(esm_class: int) -> None:
    """Only esm_class tells; what a subscriber writes is never taken for a receipt."""
    assert read(receipt(esm_class=esm_class)) is None


def test_request_of_another_kind_is_no_receipt() -> None:
    """An enquire_link tells of no message."""
    assert smpp_receipt.read_receipt(smpp.Pdu(smpp.EnquireLink(), 1)) is None


def test_data_sm_carries_receipts_too() -> None:
    """Its text stands in message_payload; intermediate notifications count as well."""
    body = smpp.DataSm(source=smpp.Address(1, 1, "8210"), esm_class=0x20)
    pdu = smpp.Pdu(body, 1, tlvs=(smpp.Tlv(TAG.MESSAGE_PAYLOAD, b"id:5 stat:ENROUTE"),))

    told = smpp_receipt.read_receipt(smpp.decode(smpp.encode(pdu)))

    assert told == Receipt(b"5", MessageState.ENROUTE, "8210", "", None)


TAGS = [
    TAG.RECEIPTED_MESSAGE_ID,
    TAG.MESSAGE_STATE,
    TAG.USER_MESSAGE_REFERENCE,
    TAG.NETWORK_ERROR_CODE,
    TAG.MESSAGE_PAYLOAD,
    TAG.SOURCE_PORT,
    0x1400,
]
OWN_TLVS = st.lists(
    st.builds(
        smpp.Tlv,
        st.sampled_from(TAGS),
        st.sampled_from([b"\0", b"\x02", b"12", b"a1\0", b"a\xff\0", b"\x03\0\0", b"1\0002\0"]),
    ),
    max_size=3,
)


@given(
    text=st.sampled_from([USUAL, b"", b"id:9 stat:FAILED", b"\xff\0\x01", b"x" * 254]),
    tlvs=OWN_TLVS,
    esm_class=st.sampled_from([4, 5, 0x44, 0x24, 0x20, 0, 3]),
    changes=st.lists(st.tuples(st.integers(0, 300), st.integers(0, 255)), max_size=2),
    number=st.sampled_from([1, 0x7FFFFFFF]),
)
def test_quick_way_reads_what_the_ordinary_one_reads(
    text: bytes,
    tlvs: list[smpp.Tlv],
    esm_class: int,
    changes: list[tuple[int, int]],
    number: int,
) -> None:
    """Whatever octets are changed: the same receipt, or it is left to the ordinary decoder."""
    body = smpp.DeliverSm(
        source=smpp.Address(1, 1, "821012345678"), esm_class=esm_class, short_message=text
    )
    plain = bytearray(smpp.encode(smpp.Pdu(body, number)))
    for tlv in tlvs:
        plain += int(tlv.tag).to_bytes(2, "big") + len(tlv.value).to_bytes(2, "big") + tlv.value
    plain[:4] = len(plain).to_bytes(4, "big")
    for at, octet in changes:
        plain[4 + at % (len(plain) - 4)] = octet

    quick, end = smpp_receipt.ReceiptReader().read(bytes(plain), 0)

    if quick.numbers:
        pdu = smpp.decode(bytes(plain))
        assert quick.receipts == [smpp_receipt.read_receipt(pdu)]
        assert quick.numbers == [pdu.sequence_number]
        assert end == len(plain)
    else:
        assert end == 0


@pytest.mark.parametrize(
    "tlv", [b"\x00\x1e\x00\x03a\xff\0", b"\x04\x27\0\x02\2\2", b"\x04\x27\0\x01\2\0", b"\x14\0\0\0"]
)
def test_unusual_tlvs_are_left_to_the_ordinary_decoder(tlv: bytes) -> None:
    """Not ASCII, too long, cut off, or somebody's own."""
    octets = receipt() + tlv
    octets = len(octets).to_bytes(4, "big") + octets[4:]

    assert smpp_receipt.ReceiptReader().read(octets, 0)[0].numbers == []


def test_usual_receipts_are_read_the_quick_way() -> None:
    """One after another, with TLVs and without; a whole run at once."""
    named = smpp.Tlv(TAG.RECEIPTED_MESSAGE_ID, b"9\0")
    octets = [receipt(number=1), receipt(USUAL, named, number=2), receipt(b"", named, number=3)]

    quick, end = smpp_receipt.ReceiptReader().read(b"".join(octets) + b"\0", 0)

    assert quick.numbers == [1, 2, 3]
    assert quick.receipts == [read(one) for one in octets]
    assert end == sum(map(len, octets))


def slowly(octets: bytes) -> list[Receipt | None]:
    """Read receipts that follow one another the ordinary way."""
    pdus = smpp.Framer().receive(octets)
    return [smpp_receipt.read_receipt(pdu) for pdu in pdus if isinstance(pdu, smpp.Pdu)]


RUN = smpp_receipt.RUN_RECEIPTS_MIN * 3


@given(
    text=st.sampled_from([USUAL, b"", b"id:9 stat:FAILED", b"x" * 254]),
    tlvs=OWN_TLVS,
    changes=st.lists(st.tuples(st.integers(0, 3_000), st.integers(0, 255)), max_size=3),
)
def test_receipts_alike_are_read_as_each_alone(
    text: bytes, tlvs: list[smpp.Tlv], changes: list[tuple[int, int]]
) -> None:
    """Whatever octets are changed, a run tells what its receipts tell, up to one that is odd."""
    plain = bytearray()
    for number in range(1, RUN + 1):
        one = bytearray(receipt(text, number=number))
        for tlv in tlvs:
            one += int(tlv.tag).to_bytes(2, "big") + len(tlv.value).to_bytes(2, "big") + tlv.value
        one[:4] = len(one).to_bytes(4, "big")
        plain += one
    size = len(plain) // RUN
    for at, octet in changes:
        if at % size > 3:  # lengths that lie are for the framer's own tests
            plain[at % len(plain)] = octet

    quick, end = smpp_receipt.ReceiptReader().read(plain, 0)

    assert end % size == 0
    assert quick.receipts == slowly(bytes(plain[:end]))
    if end < len(plain):
        assert smpp_receipt.ReceiptReader().read(plain[end : end + size], 0)[1] == 0


@pytest.mark.parametrize(
    "tlvs",
    [
        (),
        (smpp.Tlv(TAG.MESSAGE_STATE, b"\x05"), smpp.Tlv(TAG.NETWORK_ERROR_CODE, b"\3\0\1")),
        (
            smpp.Tlv(TAG.RECEIPTED_MESSAGE_ID, b"77\0"),
            smpp.Tlv(TAG.MESSAGE_STATE, b"\x63"),
            smpp.Tlv(TAG.USER_MESSAGE_REFERENCE, b"\0\0"),
        ),
    ],
)
def test_long_run_is_read_together(tlvs: tuple[smpp.Tlv, ...]) -> None:
    """By the text, by TLVs, or by both, as each of them is read alone."""
    octets = b"".join(receipt(USUAL, *tlvs, number=number) for number in range(1, 50))

    quick, end = smpp_receipt.ReceiptReader().read(octets, 0)

    assert quick.numbers == list(range(1, 50))
    assert quick.receipts == slowly(octets)
    assert end == len(octets)


@pytest.mark.parametrize("number", [0, 0x80000000])
def test_number_that_cannot_be_ends_a_run(number: int) -> None:
    """The ordinary decoder says what is wrong with it; those before it are read."""
    bad = bytearray(receipt())
    bad[12:16] = number.to_bytes(4, "big")
    before = b"".join(receipt(number=one) for one in range(1, RUN))

    quick, end = smpp_receipt.ReceiptReader().read(before + bytes(bad) + receipt(), 0)

    assert (len(quick.numbers), end) == (RUN - 1, len(before))


def test_patterns_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A centre whose receipts all look different has them read one by one."""
    monkeypatch.setattr(smpp_receipt, "SHAPES_MAX", 1)
    reader = smpp_receipt.ReceiptReader()
    for text in (USUAL, USUAL + b"!", USUAL):
        octets = b"".join(receipt(text, number=number) for number in range(1, RUN))

        assert reader.read(octets, 0)[0].receipts == slowly(octets)
    assert len(reader._patterns) == 1


def test_run_ends_at_a_limit() -> None:
    """So that answers in between are looked at."""
    octets = receipt() * (smpp_receipt.RUN_RECEIPTS_MAX + 1)

    quick, end = smpp_receipt.ReceiptReader().read(octets, 0)

    assert len(quick.receipts) == smpp_receipt.RUN_RECEIPTS_MAX
    assert end == len(octets) - len(receipt())


@given(st.data())
def test_framer_gives_the_same_in_any_pieces(data: st.DataObject) -> None:
    """Answers, receipts and others mixed, cut anywhere: the same messages in the same order."""
    stream = b"".join(
        [
            receipt(number=1),
            smpp.encode(smpp.Pdu(smpp.SubmitSmResp(message_id="a"), 2)),
            receipt(b"id:2 stat:DELIVRD", number=3),
            smpp.encode(smpp.Pdu(smpp.EnquireLink(), 4)),
            receipt(esm_class=0, number=5),
        ]
    )
    framer = AnswerFramer()
    numbers = []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        for item in framer.receive(stream[:size]):
            assert not isinstance(item, smpp.Unparsed)
            numbers += [item.sequence_number] if isinstance(item, smpp.Pdu) else list(item.numbers)
        stream = stream[size:]

    assert numbers == [1, 2, 3, 4, 5]
    assert not framer.is_incomplete


@given(st.lists(st.integers(1, 0x7FFFFFFF), max_size=20))
def test_answers_are_the_ordinary_ones(numbers: list[int]) -> None:
    """A yes for each, with the octets of the ordinary encoder."""
    expected = b"".join(smpp.encode(smpp.Pdu(smpp.DeliverSmResp(), number)) for number in numbers)

    assert smpp_receipt.write_answers(numbers) == expected
