"""Cell broadcast: octet for octet against vectors, and readable page by page for any text."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cbgateway.codec import cbs, gsm7, ucs2
from cbgateway.codec.dcs import Alphabet, choose_dcs, parse_dcs
from cbgateway.domain.broadcast import GeographicalScope, Page, SerialNumber
from cbgateway.domain.errors import (
    DecodeError,
    EncodeError,
    NotEncodableError,
    TooManyPagesError,
)

DEFAULT = [chr(c) for c in range(0x20, 0x7F) if chr(c) not in "`[]{}\\^~|"]
GSM7_TEXT = st.text(alphabet=[*DEFAULT, *"[]{}\\^~|€£¥éÄ\n"], max_size=600)
UCS2_TEXT = st.text(
    alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\r"), max_size=250
)


def text_of(vector: dict[str, Any]) -> str:
    """Give a vector's text; one is told as a rule."""
    return str(vector["input"].get("text") or "가" * 615)


@pytest.mark.vectors("cbs.json", "gsm7_")
def test_packed_septets_match_vector(vector: dict[str, Any]) -> None:
    """Packing gives the vector's octets, unpacking the vector's text."""
    codes = [code for group in gsm7.septets(vector["input"]["text"]) for code in group]

    assert vector["hex"] == gsm7.pack(codes).hex()
    assert vector["input"]["septets"] == len(codes)
    read = gsm7.unpack(bytes.fromhex(vector["hex"]), septets=len(codes))
    assert vector["input"]["text"] == gsm7.text_of(read)


@pytest.mark.vectors("smpp.json", "gsm7_udh6")
def test_fill_bits_match_vector(vector: dict[str, Any]) -> None:
    """Behind a user data header text begins at the next septet border."""
    codes = [code for group in gsm7.septets(vector["input"]["text"]) for code in group]

    assert vector["hex"] == gsm7.pack(codes, fill_bits=1).hex()
    read = gsm7.unpack(bytes.fromhex(vector["hex"]), septets=len(codes), fill_bits=1)
    assert codes == read


@pytest.mark.vectors("cbs.json", "cbdata_")
def test_cb_data_matches_vector(vector: dict[str, Any]) -> None:
    """Every octet of CB data is the vector's, in both directions."""
    dcs = vector["input"]["dcs"]
    pages = cbs.paginate(text_of(vector), dcs=dcs)

    assert vector["hex"] == cbs.encode_cb_data(pages).hex()
    assert pages == cbs.decode_cb_data(bytes.fromhex(vector["hex"]))
    assert text_of(vector) == cbs.read_pages(pages, dcs=dcs).text


@pytest.mark.vectors("cbs.json", "gsm_page_")
def test_gsm_page_matches_vector(vector: dict[str, Any]) -> None:
    """Header and content of an 88-octet page are the vector's, in both directions."""
    given_, octets = vector["input"], bytes.fromhex(vector["hex"])
    pages = cbs.paginate(given_["text"], dcs=given_["dcs"], language=given_.get("language"))
    page = cbs.GsmPage(
        given_["serial_number"],
        given_["message_identifier"],
        given_["dcs"],
        given_["page"],
        given_["pages"],
        pages[given_["page"] - 1],
    )

    assert octets == cbs.encode_gsm_page(page)
    read = cbs.decode_gsm_page(octets)
    assert (page.serial_number, page.message_identifier, page.dcs, page.number, page.total) == (
        read.serial_number,
        read.message_identifier,
        read.dcs,
        read.number,
        read.total,
    )
    assert page.page.octets == read.page.octets
    reading = cbs.read_pages([read.page], dcs=read.dcs)
    assert given_["text"].startswith(reading.text)
    assert reading.language == (given_.get("language") or parse_dcs(read.dcs).language)


@pytest.mark.vectors("cbs.json", "cbs_page_")
def test_full_page_matches_vector(vector: dict[str, Any]) -> None:
    """93 characters fill one page to its last septet."""
    (page,) = cbs.paginate(vector["input"]["text"], dcs=0x01)

    assert vector["hex"] == page.octets.hex()
    assert page.used_octets == 82


@pytest.mark.vectors("cbs.json", "serial_")
def test_serial_number_matches_vector(vector: dict[str, Any]) -> None:
    """Scope, code and update number stand where the vector says."""
    given_ = vector["input"]
    scope = GeographicalScope(given_["geographical_scope"])
    if "popup" in given_:
        serial = cbs.etws_serial_number(
            scope,
            alert=bool(given_["emergency_user_alert"]),
            popup=bool(given_["popup"]),
            code=given_["code_low8"],
            update_number=given_["update_number"],
        )
    else:
        serial = SerialNumber(scope, given_["message_code"], given_["update_number"])

    assert vector["hex"] == cbs.encode_serial_number(serial).hex()
    assert serial == cbs.decode_serial_number(bytes.fromhex(vector["hex"]))


@pytest.mark.vectors("cbs.json", "warning_type_")
def test_warning_type_matches_vector(vector: dict[str, Any]) -> None:
    """Value, alert and popup stand where the vector says."""
    given_ = vector["input"]
    warning_type = cbs.WarningType(
        given_["value"], bool(given_["emergency_user_alert"]), bool(given_["popup"])
    )

    assert vector["hex"] == cbs.encode_warning_type(warning_type).hex()
    assert warning_type == cbs.decode_warning_type(bytes.fromhex(vector["hex"]))


@pytest.mark.vectors("cbs.json", "etws_primary_")
def test_etws_primary_matches_vector(vector: dict[str, Any]) -> None:
    """56 octets: numbers, warning type, and security information that nobody reads."""
    primary = cbs.EtwsPrimary(
        vector["input"]["serial"],
        vector["input"]["message_identifier"],
        cbs.WarningType(0, alert=True, popup=True),
    )

    assert vector["hex"] == cbs.encode_etws_primary(primary).hex()
    assert primary == cbs.decode_etws_primary(bytes.fromhex(vector["hex"]))


def read_alone(page: Page) -> str:
    """Read one page of GSM 7-bit with arithmetic of its own."""
    bits = int.from_bytes(page.octets, "little")
    codes = [bits >> 7 * n & 0x7F for n in range(93)]
    return gsm7.text_of(codes).rstrip("\r")


@given(GSM7_TEXT)
@example("a" * 92 + "€")
@example("a" * 93 + "b")
@example("a" * 7)
@example("")
def test_gsm7_pages_read_alone(text: str) -> None:
    """No page needs its neighbour to be read."""
    pages = cbs.paginate(text, dcs=0x01)

    assert text == "".join(map(read_alone, pages))
    assert text == cbs.read_pages(pages, dcs=0x01).text
    assert len(pages) == 1 or all(page.used_octets >= 81 for page in pages[:-1])


@given(UCS2_TEXT)
@example("가" * 40 + "\U0001f4f1")
def test_ucs2_pages_read_alone(text: str) -> None:
    """No surrogate pair lies on a border."""
    pages = cbs.paginate(text, dcs=0x48)

    read = "".join(page.octets.decode("utf-16-be").rstrip("\r") for page in pages)
    assert text == read
    assert text == cbs.read_pages(pages, dcs=0x48).text


@given(text=UCS2_TEXT, language=st.sampled_from(["ko", "ja", "en"]))
def test_language_stands_on_every_page(text: str, language: str) -> None:
    """Schemes 0x10 and 0x11 name the language on each page, and the text is unharmed."""
    pages = cbs.paginate(text, dcs=0x11, language=language)

    for page in pages:
        assert cbs.read_pages([page], dcs=0x11).language == language
    assert cbs.Reading(text, language) == cbs.read_pages(pages, dcs=0x11)
    ascii_text = "outage " * (len(text) % 30)
    gsm7_pages = cbs.paginate(ascii_text, dcs=0x10, language=language)
    assert cbs.Reading(ascii_text, language) == cbs.read_pages(gsm7_pages, dcs=0x10)


@pytest.mark.parametrize(
    ("dcs", "character", "per_page"),
    [(0x01, "a", 93), (0x10, "a", 90), (0x48, "가", 41), (0x11, "가", 40)],
)
def test_capacity_is_the_specifications(dcs: int, character: str, per_page: int) -> None:
    """One more character than fits takes one more page; the sixteenth is refused."""
    one = cbs.paginate(character * per_page, dcs=dcs, language="ko")
    two = cbs.paginate(character * (per_page + 1), dcs=dcs, language="ko")
    full = cbs.paginate(character * per_page * 15, dcs=dcs, language="ko")

    assert (1, 2, 15) == (len(one), len(two), len(full))
    with pytest.raises(TooManyPagesError, match="16 pages, at most 15"):
        cbs.paginate(character * (per_page * 15 + 1), dcs=dcs, language="ko")


@pytest.mark.parametrize(
    ("text", "dcs", "language", "field"),
    [
        ("a\r", 0x01, None, "text"),
        ("a", 0x44, None, "Data Coding Scheme"),
        ("a", 0xF4, None, "Data Coding Scheme"),
        ("a", 0x60, None, "Data Coding Scheme"),
        ("a", 256, None, "Data Coding Scheme"),
        ("a", 0x10, None, "language"),
        ("a", 0x11, "kor", "language"),
        ("a", 0x11, "가나", "language"),
    ],
)
def test_what_cannot_be_paged_is_named(
    text: str, dcs: int, language: str | None, field: str
) -> None:
    """A scheme without text, a missing language, and CR are refused by field."""
    with pytest.raises(EncodeError) as caught:
        cbs.paginate(text, dcs=dcs, language=language)

    assert field == caught.value.field


def test_character_outside_the_alphabet_is_named() -> None:
    """The first character that cannot be encoded, and where it stands."""
    with pytest.raises(NotEncodableError) as caught:
        cbs.paginate("KT 장애", dcs=0x01)
    assert (caught.value.character, caught.value.index) == ("장", 3)
    with pytest.raises(NotEncodableError) as caught:
        cbs.paginate("a\ud800", dcs=0x48)
    assert caught.value.index == 1


@given(st.binary(max_size=300))
@example(b"")
@example(b"\x00")
@example(b"\x10" + bytes(83 * 16))
@example(b"\x01" + bytes(82) + b"\x00")
@example(b"\x01" + bytes(82) + b"\x53")
def test_any_octets_give_pages_or_a_decode_error(octets: bytes) -> None:
    """CB data, GSM pages, serial numbers and warning types are total."""
    decoders: Sequence[Any] = (
        cbs.decode_cb_data,
        cbs.decode_gsm_page,
        cbs.decode_serial_number,
        cbs.decode_warning_type,
        cbs.decode_etws_primary,
    )
    for decoder in decoders:
        try:
            decoder(octets)
        except DecodeError as error:
            assert 0 <= error.offset <= len(octets)
            assert error.field
            assert error.clause


@given(
    st.lists(
        st.builds(Page, st.binary(min_size=82, max_size=82), st.integers(1, 82)),
        min_size=1,
        max_size=15,
    ),
    st.integers(0, 255),
)
def test_any_pages_give_a_reading_or_a_decode_error(pages: list[Page], dcs: int) -> None:
    """Whatever stands on a page, reading it is total; CB data round trips."""
    assert tuple(pages) == cbs.decode_cb_data(cbs.encode_cb_data(pages))
    try:
        reading = cbs.read_pages(pages, dcs=dcs)
    except DecodeError as error:
        assert error.clause
    else:
        assert isinstance(reading.text, str)


@pytest.mark.parametrize(
    ("octets", "field", "offset"),
    [
        (b"", "Number-of-Pages", 0),
        (b"\x10", "Number-of-Pages", 0),
        (b"\x01" + bytes(82), "CB Data", 83),
        (b"\x01" + bytes(84), "CB Data", 84),
        (b"\x01" + bytes(82) + b"\x00", "CBS-Message-Information-Length", 83),
        (b"\x01" + bytes(82) + b"\x53", "CBS-Message-Information-Length", 83),
    ],
)
def test_broken_cb_data_is_named(octets: bytes, field: str, offset: int) -> None:
    """Count, length and used length, each with the octet at fault."""
    with pytest.raises(DecodeError) as caught:
        cbs.decode_cb_data(octets)

    assert (field, offset) == (caught.value.field, caught.value.offset)


def test_pages_that_are_no_text_are_refused() -> None:
    """A scheme of 8-bit data, and half of a surrogate pair."""
    with pytest.raises(DecodeError, match="no text"):
        cbs.read_pages([Page(bytes(82), 82)], dcs=0x44)
    with pytest.raises(DecodeError, match="surrogate|unexpected end|illegal"):
        cbs.read_pages([Page(b"\xd8\x00" + bytes(80), 2)], dcs=0x48)


def test_page_parameter_of_zero_means_the_only_page() -> None:
    """As TS 23.041 9.4.1.2.4 says; a page beyond the last is refused."""
    octets = bytearray(88)

    assert (
        cbs.decode_gsm_page(bytes(octets)).number,
        cbs.decode_gsm_page(bytes(octets)).total,
    ) == (1, 1)
    octets[5] = 0x21
    with pytest.raises(DecodeError, match="page 2 of 1"):
        cbs.decode_gsm_page(bytes(octets))


PAGE = Page(bytes(82), 82)


@pytest.mark.parametrize(
    "page",
    [
        cbs.GsmPage(0x10000, 0, 0, 1, 1, PAGE),
        cbs.GsmPage(0, 0x10000, 0, 1, 1, PAGE),
        cbs.GsmPage(0, 0, 0x100, 1, 1, PAGE),
        cbs.GsmPage(0, 0, 0, 2, 1, PAGE),
        cbs.GsmPage(0, 0, 0, 1, 16, PAGE),
        cbs.GsmPage(-1, 0, 0, 1, 1, PAGE),
    ],
)
def test_gsm_header_masks_nothing(page: cbs.GsmPage) -> None:
    """A number that does not fit its field is refused."""
    with pytest.raises(EncodeError):
        cbs.encode_gsm_page(page)


def test_absurd_number_is_named_by_its_length() -> None:
    """Python does not write out a number of more than 4300 digits."""
    page = cbs.Page(bytes(82), 82)
    huge = cbs.GsmPage(1 << 500_000, message_identifier=1, dcs=0, number=1, total=1, page=page)

    with pytest.raises(EncodeError, match="a number of 500001 bits does not fit 2 octets"):
        cbs.encode_gsm_page(huge)


def test_etws_limits() -> None:
    """Eight bits of code are left, seven of warning type, fifty octets of security."""
    with pytest.raises(ValueError, match="255"):
        cbs.etws_serial_number(
            GeographicalScope.CELL_IMMEDIATE, alert=True, popup=True, code=256, update_number=0
        )
    with pytest.raises(EncodeError, match="127"):
        cbs.encode_warning_type(cbs.WarningType(128, alert=False, popup=False))
    with pytest.raises(EncodeError, match="50 octets"):
        cbs.encode_etws_primary(
            cbs.EtwsPrimary(0, 4352, cbs.WarningType(0, alert=True, popup=True), b"short")
        )


@pytest.mark.parametrize("value", range(256))
def test_every_scheme_is_read_or_refused(value: int) -> None:
    """Text, octets, or a refusal that says why, for each of the 256 (TS 23.038 5)."""
    refused = value >> 4 in {6, 7, 8, 9, 10, 11, 12, 13, 14} or value & 0xEC == 0x4C
    if refused:
        with pytest.raises(DecodeError, match=f"{value:#04x}"):
            parse_dcs(value)
    else:
        coding = parse_dcs(value)
        assert coding.language_prefixed is (value in {0x10, 0x11})
        assert (coding.message_class is not None) is (value >> 4 in {5, 15})


@pytest.mark.parametrize(
    ("text", "language", "name_language", "dcs"),
    [
        ("outage", "en", False, 0x01),
        ("panne", "fr", False, 0x03),
        ("outage", None, False, 0x0F),
        ("outage", "ko", False, 0x0F),
        ("outage", "ko", True, 0x10),
        ("장애", "ko", False, 0x48),
        ("장애", "ko", True, 0x11),
        ("장애", None, True, 0x48),
        ("výpadek", "cs", False, 0x48),
        ("vypadek", "cs", False, 0x20),
    ],
)
def test_scheme_follows_text_and_language(
    text: str, language: str | None, name_language: bool, dcs: int
) -> None:
    """GSM 7-bit in the language's own scheme where possible, else UCS-2."""
    assert dcs == choose_dcs(text, language, name_language=name_language)
    assert parse_dcs(dcs).alphabet in {Alphabet.GSM7, Alphabet.UCS2}


def test_unknown_extension_shows_the_basic_character() -> None:
    """As receivers do (TS 23.038 6.2.1.1); an escape at the end shows a space."""
    assert gsm7.text_of([0x1B, 0x65, 0x1B, 0x41]) == "€A"
    assert gsm7.text_of([0x41, 0x1B]) == "A "
    assert gsm7.text_of([0x1B, 0x1B, 0x41]) == " A"
    assert gsm7.is_encodable("€[]")
    assert not gsm7.is_encodable("ç")


@given(st.binary(max_size=200), st.integers(0, 300), st.integers(0, 6))
def test_unpacking_any_octets_is_total(octets: bytes, septets: int, fill_bits: int) -> None:
    """Septets beyond the end are not invented, and any of them read as text."""
    codes = gsm7.unpack(octets, septets=septets, fill_bits=fill_bits)

    assert len(codes) <= septets
    assert len(codes) * 7 + fill_bits <= max(len(octets) * 8, fill_bits)
    assert isinstance(gsm7.text_of(codes), str)


@given(st.binary(max_size=100))
def test_ucs2_reads_any_octets_or_says_where(octets: bytes) -> None:
    """UTF-16 big endian without a byte order mark, both ways."""
    try:
        text = ucs2.decode(octets)
    except DecodeError as error:
        assert 0 <= error.offset < len(octets)
    else:
        assert octets == ucs2.encode(text)
