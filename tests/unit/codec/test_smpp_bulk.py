"""submit_sm in bulk: the same octets as the ordinary encoder, the same answers as the framer."""

import itertools
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbgateway.app import load_checked_profiles
from cbgateway.carriers.smpp.orders import submit_requests, submit_template
from cbgateway.codec import smpp, smpp_bulk
from cbgateway.domain.errors import EncodeError
from cbgateway.domain.orders import Area, Submit

CARRIER = load_checked_profiles(None).carriers["kt"].smpp
DESTINATION = st.text("0123456789", max_size=20)
LISTS = st.lists(DESTINATION, max_size=20) | st.builds(
    lambda first, count: [str(first + index) for index in range(count)],
    st.integers(9_999_990_000, 9_999_999_999),
    st.integers(250, 300),
)


def submit(text: str, recipients: tuple[str, ...]) -> Submit:
    """Give an order for short messages."""
    return Submit(
        bulletin_id="inc-1/2",
        alert_class="safety",
        area=Area("KR-26", {"ko": "부산", "en": "Busan"}),
        language="ko",
        text=text,
        recipients=recipients,
        expires_at=datetime(2021, 10, 25, 4, 0, tzinfo=UTC),
    )


def rules(segmentation: str) -> Any:
    """Give a carrier that joins parts one way."""
    sms = CARRIER.sms.model_copy(update={"segmentation": segmentation})
    return CARRIER.model_copy(update={"sms": sms})


@pytest.mark.parametrize("segmentation", ["udh8", "udh16", "sar", "payload"])
@given(
    text=st.sampled_from(["장애", "outage", "장애 안내 " * 30, "x" * 400, "€" * 90]),
    recipients=LISTS,
    first=st.sampled_from([1, 255, 65_500, 0x00FFFFF0]) | st.integers(1, 0x7FFF0000),
    seal=st.sampled_from(["", "s.e.al" * 40]),
)
def test_window_has_the_octets_of_the_ordinary_encoder(
    segmentation: str, text: str, recipients: list[str], first: int, seal: str
) -> None:
    """For every subscriber, part after part, whatever the lengths of the numbers."""
    order = submit(text, tuple(recipients))
    template = submit_template(order, rules(segmentation), seal=seal)
    requests = [
        request
        for recipient in recipients
        for request in submit_requests(order, rules(segmentation), recipient=recipient, seal=seal)
    ]
    expected = b"".join(
        smpp.encode(smpp.Pdu(body, first + index, tlvs=tlvs))
        for index, (body, tlvs) in enumerate(requests)
    )

    assert expected == template.join(recipients, first)
    assert len(requests) == len(recipients) * template.parts


@pytest.mark.parametrize(
    ("destination", "first", "field"),
    [
        ("8" * 21, 1, "destination_addr"),
        ("82\0", 1, "destination_addr"),
        ("전화", 1, "destination_addr"),
        ("82", 0x80000000, "sequence_number"),
        ("82", -1, "sequence_number"),
    ],
)
def test_what_does_not_fit_is_refused(destination: str, first: int, field: str) -> None:
    """Nothing is cut or masked; the field is named, as the ordinary encoder does."""
    template = submit_template(submit("x", ()), CARRIER, seal="")

    with pytest.raises(EncodeError) as caught:
        template.join([destination], first)
    assert field == caught.value.field


def test_message_that_leaves_no_room_for_an_address_is_refused() -> None:
    """A template can be filled with any address, so it is measured with the longest."""
    tlvs = (smpp.Tlv(smpp.TlvTag.MESSAGE_PAYLOAD, b"x" * 65_535), smpp.Tlv(0x1500, b"x" * 4_420))

    assert smpp_bulk.PDU_OCTETS_MAX - 20 < len(smpp.encode(smpp.Pdu(smpp.SubmitSm(), 1, tlvs=tlvs)))
    with pytest.raises(EncodeError) as caught:
        smpp_bulk.SubmitTemplate([(smpp.SubmitSm(), tlvs)])
    assert caught.value.field == "command_length"


def framed(command_id: int, status: int, number: int, body: bytes) -> bytes:
    """Write a PDU whose length is right, whatever else is not."""
    header = (16 + len(body), command_id, status, number)
    return b"".join(value.to_bytes(4, "big") for value in header) + body


RESPONSE = int(smpp.CommandId.SUBMIT_SM_RESP)
NUMBERS = st.integers(0, 3) | st.sampled_from([0x7FFFFFFF, 0x80000000]) | st.integers(0, 2**32 - 1)
BODIES = st.sampled_from(
    [b"", b"\0", b"m-1\0", b"m-2\0", b"m\xff1\0", b"m\0\0\0", b"m-11", b"x" * 64 + b"\0"]
) | st.binary(max_size=70)
ANSWERS = st.builds(framed, st.just(RESPONSE), st.sampled_from([0, 0, 0x58]), NUMBERS, BODIES)
RUNS = st.builds(
    lambda first, count, status, body: b"".join(
        framed(RESPONSE, status, first + index, body) for index in range(count)
    ),
    st.integers(1, 2**31),
    st.integers(0, 40),
    st.sampled_from([0, 0, 0x14, 0x58]),
    st.sampled_from([b"", b"\0", b"ab12\0", b"ab12", b"ab12\0\x04\x28\x00\x01\x63"]),
)
OTHERS = st.binary(max_size=40) | st.builds(
    framed, st.sampled_from([int(one) for one in smpp.CommandId]), NUMBERS, NUMBERS, BODIES
)


def plainly(items: list[Any]) -> list[Any]:
    """Write items so that both framers' can be compared."""
    found: list[Any] = []
    for item in items:
        if isinstance(item, smpp_bulk.SubmitAnswers):
            pdus = [item.pdu(index) for index in range(len(item.numbers))]
            assert list(item.numbers) == [pdu.sequence_number for pdu in pdus]
            assert list(item.statuses) == [pdu.command_status for pdu in pdus]
            found += pdus
        elif isinstance(item, smpp.Unparsed):
            error = item.error
            found.append((item.header, str(error), error.command_status, error.framing_lost))
        else:
            found.append(item)
    return found


@given(
    st.lists(ANSWERS | RUNS | OTHERS, max_size=12).map(b"".join),
    st.lists(st.integers(0, 2_000), max_size=6),
)
def test_answers_are_those_of_the_ordinary_framer(octets: bytes, cuts: list[int]) -> None:
    """Whatever comes, whole or in pieces; and both know whether a PDU is incomplete."""
    ordinary, bulk = smpp.Framer(), smpp_bulk.AnswerFramer()
    expected: list[Any] = []
    found: list[Any] = []
    edges = sorted({0, len(octets), *(cut for cut in cuts if cut < len(octets))})
    for start, end in itertools.pairwise(edges):
        expected += ordinary.receive(octets[start:end])
        found += bulk.receive(octets[start:end])
        assert ordinary.is_incomplete == bulk.is_incomplete

    assert plainly(expected) == plainly(found)


def test_answers_in_a_row_are_one_item() -> None:
    """A thousand accepted messages cost one object."""
    octets = b"".join(framed(RESPONSE, 0, number, b"id\0") for number in range(1, 1_001))

    (item,) = smpp_bulk.AnswerFramer().receive(octets)

    assert isinstance(item, smpp_bulk.SubmitAnswers)
    assert list(range(1, 1_001)) == list(item.numbers)
    assert not any(item.statuses)


@pytest.mark.parametrize("octets", [15, smpp_bulk.PLAIN_OCTETS_MAX + 1])
def test_answer_of_a_length_that_none_has_is_not_read_here(octets: int) -> None:
    """Too short for a header, or too long for a message_id: the ordinary framer has to judge."""
    buffer = framed(RESPONSE, 0, 7, b"id\0") + octets.to_bytes(4, "big")
    buffer += RESPONSE.to_bytes(4, "big") + bytes(octets)

    answers, at = smpp_bulk.read_answers(buffer, 0)

    assert [7] == list(answers.numbers)
    assert 19 == at
