"""Texts in SMPP: the right alphabet, the right number of parts, nothing cut in two."""

import json
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cbgateway.codec import smpp, smpp_text
from cbgateway.codec.smpp_text import Concatenation, Segmentation
from cbgateway.domain.errors import DecodeError, EncodeError, NotEncodableError

VECTORS = {
    vector["name"]: vector
    for vector in json.loads(
        (Path(__file__).parents[2] / "vectors" / "smpp.json").read_text("utf-8")
    )
}
GSM7 = st.text(alphabet="abcdefgh []{}€^|\\~12", max_size=700)
ANY = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=400)
WITH_HEADER = [Segmentation.UDH8, Segmentation.UDH16]


def test_parts_match_vectors() -> None:
    """Two parts with an eight-bit reference, octet for octet."""
    given_ = VECTORS["smpp_submit_sm_ucs2_udh8_seg1"]["input"]

    segmented = smpp_text.segment(
        given_["text"], data_coding=None, segmentation=Segmentation.UDH8, reference=given_["ref"]
    )

    assert (segmented.data_coding, segmented.esm_class) == (8, 0x40)
    for number, part in enumerate(segmented.parts, start=1):
        pdu = smpp.decode(bytes.fromhex(VECTORS[f"smpp_submit_sm_ucs2_udh8_seg{number}"]["hex"]))
        assert smpp.fields_of(pdu.body)["short_message"] == part.short_message


def test_sar_and_payload_match_vectors() -> None:
    """The same text with sar TLVs, and whole in message_payload."""
    text = VECTORS["smpp_submit_sm_payload"]["input"]["message_payload"]
    sar = smpp.decode(bytes.fromhex(VECTORS["smpp_submit_sm_sar_seg1"]["hex"]))
    payload = smpp.decode(bytes.fromhex(VECTORS["smpp_submit_sm_payload"]["hex"]))

    cut = smpp_text.segment(text, data_coding=8, segmentation=Segmentation.SAR, reference=167)
    whole = smpp_text.segment(
        text, data_coding=None, segmentation=Segmentation.PAYLOAD, reference=0
    )

    assert (cut.esm_class, whole.esm_class) == (0, 0)
    assert sar.tlvs == cut.parts[0].tlvs
    assert smpp.fields_of(sar.body)["short_message"] == cut.parts[0].short_message
    assert payload.tlv(smpp.TlvTag.MESSAGE_PAYLOAD) == whole.parts[0].tlvs[0].value


def test_unpacked_septets_match_vector() -> None:
    """In coding 0 each octet is one septet."""
    vector = VECTORS["smpp_submit_sm_gsm7_unpacked"]
    pdu = smpp.decode(bytes.fromhex(vector["hex"]))

    octets = smpp_text.encode_text(vector["input"]["text"], 0)

    assert smpp.fields_of(pdu.body)["short_message"] == octets
    assert vector["input"]["text"] == smpp_text.decode_text(octets, 0)


@pytest.mark.parametrize("segmentation", WITH_HEADER)
@given(text=GSM7 | ANY)
@example(text="a" * 152 + "€" + "b" * 20)
@example(text="가" * 66 + "\U0001f4f1" + "나" * 20)
def test_parts_read_alone_and_together(segmentation: Segmentation, text: str) -> None:
    """Each part is text by itself, numbered, of one reference, and within 140 octets."""
    segmented = smpp_text.segment(
        text, data_coding=None, segmentation=segmentation, reference=0x1234
    )
    texts = []
    for number, part in enumerate(segmented.parts, start=1):
        body = part.short_message
        if segmented.esm_class:
            header, body = smpp_text.split_udh(part.short_message)
            reference = 0x34 if segmentation is Segmentation.UDH8 else 0x1234
            expected = Concatenation(reference, len(segmented.parts), number)
            assert expected == smpp_text.concatenation(header)
        if segmented.data_coding == 8:
            assert len(part.short_message) <= 140
        texts.append(smpp_text.decode_text(body, segmented.data_coding))

    assert text == "".join(texts)


@pytest.mark.parametrize(
    ("character", "alone", "segmentation", "each"),
    [
        ("a", 160, Segmentation.UDH8, 153),
        ("a", 160, Segmentation.UDH16, 152),
        ("a", 160, Segmentation.SAR, 153),
        ("가", 70, Segmentation.UDH8, 67),
        ("가", 70, Segmentation.UDH16, 66),
        ("가", 70, Segmentation.SAR, 67),
    ],
)
def test_capacities_are_the_specifications(
    character: str, alone: int, segmentation: Segmentation, each: int
) -> None:
    """The longest single message, the next that needs two, the longest of 255 parts, one more."""

    def parts(count: int) -> int:
        text = character * count
        return len(
            smpp_text.segment(text, data_coding=None, segmentation=segmentation, reference=1).parts
        )

    assert (parts(alone), parts(alone + 1), parts(2 * each), parts(2 * each + 1)) == (1, 2, 2, 3)
    assert parts(each * 255) == 255
    with pytest.raises(EncodeError, match="256 parts, at most 255"):
        parts(each * 255 + 1)


def test_limits_of_payload_and_coding() -> None:
    """64 KiB at most, and only texts are cut."""
    with pytest.raises(EncodeError, match="at most 65535"):
        smpp_text.segment(
            "가" * 32_768, data_coding=None, segmentation=Segmentation.PAYLOAD, reference=0
        )
    with pytest.raises(EncodeError, match="0 and 8"):
        smpp_text.segment("a", data_coding=3, segmentation=Segmentation.UDH8, reference=0)
    with pytest.raises(NotEncodableError):
        smpp_text.segment("가", data_coding=0, segmentation=Segmentation.UDH8, reference=0)


@pytest.mark.parametrize(("coding", "text"), [(1, "outage"), (3, "café"), (8, "장애"), (0, "[€]")])
def test_codings_read_back(coding: int, text: str) -> None:
    """ASCII, Latin-1, UCS-2 and the default alphabet."""
    assert text == smpp_text.decode_text(smpp_text.encode_text(text, coding), coding)


@pytest.mark.parametrize(("coding", "text"), [(1, "é"), (3, "가"), (4, "a")])
def test_text_outside_its_coding_is_refused(coding: int, text: str) -> None:
    """A character that the coding lacks, and a coding that is no text."""
    with pytest.raises(EncodeError):
        smpp_text.encode_text(text, coding)


@given(st.binary(max_size=100), st.integers(0, 255))
def test_any_octets_are_text_or_an_error(octets: bytes, coding: int) -> None:
    """Reading a text is total."""
    try:
        assert isinstance(smpp_text.decode_text(octets, coding), str)
    except DecodeError as error:
        assert 0 <= error.offset <= len(octets)


@pytest.mark.parametrize(
    ("octets", "coding", "offset"),
    [(b"a\x80", 0, 1), (b"a\xe9", 1, 1), (b"\xac", 8, 0), (b"a", 4, 0)],
)
def test_octets_that_are_no_text_are_named(octets: bytes, coding: int, offset: int) -> None:
    """No septet, not ASCII, half a character, and a coding that is no text."""
    with pytest.raises(DecodeError) as caught:
        smpp_text.decode_text(octets, coding)

    assert offset == caught.value.offset


@given(st.binary(max_size=60))
@example(b"\x00\x03\x01\x02\x03")
@example(b"\x00\x03\x01\x02\x00")
@example(b"\x08\x04\x12\x34\x02\x01")
@example(b"\x24\x01\x03\x00\x03\x07\x02\x01")
def test_any_header_is_read_or_passed_over(header: bytes) -> None:
    """Broken elements are skipped; a part number lies within its total."""
    found = smpp_text.concatenation(header)

    assert found is None or 1 <= found.number <= found.total


def test_header_longer_than_its_message_is_refused() -> None:
    """As is one that is not there at all."""
    for octets in (b"", b"\x05\x00"):
        with pytest.raises(DecodeError, match="longer"):
            smpp_text.split_udh(octets)
    assert smpp_text.split_udh(b"\x00abc") == (b"", b"abc")
