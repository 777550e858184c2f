"""What a load generator sends is what the codec would have written."""

from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbgateway.codec import smpp, smpp_text
from cbsim.esme_messages import (
    Destinations,
    Messages,
    guess_address,
    load_destinations,
    load_texts,
)

BODY = smpp.SubmitSm(
    service_type="CMT",
    source=smpp.Address(5, 0, "CBSIM"),
    destination=smpp.Address(1, 1, ""),
    registered_delivery=1,
)
LONG = "Restored [KT] ~ " * 12


def pdus(octets: bytes) -> list[smpp.Pdu]:
    """Read octets that hold whole PDUs."""
    items = smpp.Framer().receive(octets)
    assert all(isinstance(item, smpp.Pdu) for item in items)
    return items  # type: ignore[return-value]


@given(
    st.lists(st.text("ab[€ü가", min_size=0, max_size=200), min_size=1, max_size=3),
    st.sampled_from(smpp_text.Segmentation),
    st.integers(1, 0x7FFFFF00),
    st.integers(1, 40),
)
def test_octets_are_those_of_the_codec(
    texts: list[str], way: smpp_text.Segmentation, first: int, count: int
) -> None:
    """Whatever the text and the way: each PDU is what `encode` gives for it."""
    numbers = (b"82101", b"8210222222", b"1")
    to = (numbers[n % 3] for n in range(1_000))
    messages = Messages(texts, to, body=BODY, data_coding=None, segmentation=way)

    expected = b""
    number, message = first, 0
    while number < first + count:
        message += 1
        cut = smpp_text.segment(
            texts[(message - 1) % len(texts)], data_coding=None, segmentation=way, reference=message
        )
        for part in cut.parts[: first + count - number]:
            body = replace(
                BODY,
                destination=smpp.Address(1, 1, numbers[(message - 1) % 3].decode()),
                esm_class=cut.esm_class,
                data_coding=cut.data_coding,
                short_message=part.short_message,
            )
            expected += smpp.encode(smpp.Pdu(body, number, tlvs=part.tlvs))
            number += 1

    assert expected == messages.take(first, count)


@pytest.mark.parametrize("blocks", [(1, 1, 1, 1, 1, 1), (4, 2), (6,)])
def test_blocks_make_no_difference(blocks: tuple[int, ...]) -> None:
    """A message's parts may go out in several blocks."""
    messages = Messages(
        (LONG, "short"),
        iter(Destinations("8210##")),
        body=BODY,
        data_coding=0,
        segmentation=smpp_text.Segmentation.UDH8,
    )
    octets, first = b"", 1
    for block in blocks:
        octets += messages.take(first, block)
        first += block

    sent = [pdu.body for pdu in pdus(octets)]
    assert all(isinstance(body, smpp.SubmitSm) for body in sent)
    assert ["821000", "821000", "821001", "821002", "821002", "821003"] == [
        smpp.fields_of(body)["destination_addr"] for body in sent
    ]
    assert [b"\5\0\3\1\2\1", b"\5\0\3\1\2\2", b"short"] == [
        smpp.fields_of(body)["short_message"][:6] for body in sent[:3]
    ]
    assert [0, 2, 3, 5, 6] == [messages.submits_of(n) for n in range(5)]


def test_patterns_count() -> None:
    """The counter has as many digits as there are #, and begins again."""
    numbers = list(islice(Destinations("82#5"), 11))

    assert [b"8205", b"8215"] == numbers[:2]
    assert [b"8295", b"8205"] == numbers[-2:]
    assert [b"112"] * 3 == list(islice(Destinations("+112"), 3))
    for wrong in ("", "8" * 21, "8#2#", "82장"):
        with pytest.raises(ValueError, match=r"is no address|runs of #"):
            Destinations(wrong)


def test_numbers_come_from_the_first_column(tmp_path: Path) -> None:
    """Heading and remarks are passed over; what is no number is named."""
    path = tmp_path / "numbers.csv"
    path.write_text("number,region\n# a remark\n8210,KR-11\n\n8211,KR-26\n", "utf-8")

    assert [b"8210", b"8211", b"8210"] == list(islice(load_destinations(path), 3))
    path.write_text("number\n", "utf-8")
    with pytest.raises(ValueError, match="no numbers"):
        load_destinations(path)
    path.write_text("8" * 30, "utf-8")
    with pytest.raises(ValueError, match="is no address"):
        load_destinations(path)


def test_texts_are_lines(tmp_path: Path) -> None:
    """Empty lines are none, and a text may have more than one line."""
    path = tmp_path / "texts.txt"
    path.write_text("one\n\ntwo\\nlines\n", "utf-8")

    assert load_texts(path) == ("one", "two\nlines")
    path.write_text("\n", "utf-8")
    with pytest.raises(ValueError, match="0 texts"):
        load_texts(path)


def test_addresses_are_guessed() -> None:
    """A number is international, a name alphanumeric, nothing is nothing; told values win."""
    assert smpp.Address(1, 1, "8210") == guess_address("+8210")
    assert smpp.Address(5, 0, "KTALERT") == guess_address("KTALERT")
    assert smpp.Address(0, 0, "") == guess_address("")
    assert smpp.Address(3, 9, "1588") == guess_address("1588", ton=3, npi=9)
