"""Cells: octets and text of every kind, limits, and both ways of writing a network."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbgateway.codec.cells import (
    ALL_CELLS,
    AllCells,
    Cgi,
    Ci,
    Ecgi,
    Lac,
    LacCi,
    Lai,
    Ncgi,
    Plmn,
    Tai,
    parse_place,
)

KT = Plmn("450", "08")
AMERICAN = Plmn("310", "410")
DIGITS = st.text("0123456789")
PLMNS = st.builds(
    Plmn,
    st.from_regex(r"[0-9]{3}", fullmatch=True),
    st.from_regex(r"[0-9]{2,3}", fullmatch=True),
)


@pytest.mark.parametrize(
    ("plmn", "core", "radio"),
    [
        (KT, "54f080", "54f080"),
        (AMERICAN, "130014", "134001"),
        (Plmn("001", "01"), "00f110", "00f110"),
    ],
)
def test_network_octets(plmn: Plmn, core: str, radio: str) -> None:
    """Three-digit network codes stand elsewhere in S1AP and NGAP than in GSM."""
    assert (core, radio) == (plmn.encode().hex(), plmn.encode_ran().hex())


@given(PLMNS)
def test_networks_come_back(plmn: Plmn) -> None:
    """From octets of both kinds, and from text."""
    assert plmn == Plmn.decode(plmn.encode())
    assert plmn == Plmn.decode_ran(plmn.encode_ran())
    assert plmn == Plmn.parse(str(plmn)) == Plmn.parse(plmn.mcc + plmn.mnc)


@given(st.binary(min_size=3, max_size=3))
def test_any_three_octets_are_a_network_or_refused(octets: bytes) -> None:
    """Nothing else happens."""
    for decode in (Plmn.decode, Plmn.decode_ran):
        try:
            plmn = decode(octets)
        except ValueError:
            continue
        assert 5 <= len(plmn.mcc + plmn.mnc) <= 6


@pytest.mark.parametrize("text", ["450", "4500", "450-8", "450-0812", "45-08", "４50-08", ""])
def test_what_is_no_network_is_refused(text: str) -> None:
    """Two or three ASCII digits after three."""
    with pytest.raises(ValueError, match="no network"):
        Plmn.parse(text)


CASES: list[tuple[Any, str]] = [
    (Cgi(KT, 1001, 11), "54f08003e9000b"),
    (LacCi(1001, 11), "03e9000b"),
    (Ci(11), "000b"),
    (Lai(KT, 1001), "54f08003e9"),
    (Lac(1001), "03e9"),
    (ALL_CELLS, ""),
    (Tai(KT, 0x1234), "54f0801234"),
    (Tai(KT, 0x123456, is_nr=True), "54f080123456"),
    (Ecgi(KT, 0x1A2B301), "54f0801a2b3010"),
    (Ncgi(AMERICAN, 0x123456789), "1340011234567890"),
]


@pytest.mark.parametrize(("place", "octets"), CASES, ids=str)
def test_octets_of_a_place(place: Any, octets: str) -> None:
    """As the specification writes them, and back."""
    assert octets == place.encode().hex()
    assert place == type(place).decode(bytes.fromhex(octets))


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: Cgi(KT, 65536, 1), "LAC 65536"),
        (lambda: Cgi(KT, 1, -1), "CI -1"),
        (lambda: LacCi(1, 65536), "CI 65536"),
        (lambda: LacCi(65536, 1), "LAC"),
        (lambda: Ci(65536), "CI"),
        (lambda: Lai(KT, 65536), "LAC"),
        (lambda: Lac(65536), "LAC"),
        (lambda: Tai(KT, 65536), "TAC"),
        (lambda: Tai(KT, 1 << 24, is_nr=True), "TAC"),
        (lambda: Ecgi(KT, 1 << 28), "ECI"),
        (lambda: Ncgi(KT, 1 << 36), "NCI"),
        (lambda: Tai.decode(b"\x54\xf0\x80\x01"), "tracking area code"),
        (lambda: Ecgi.decode(b"\x54\xf0\x80\x01"), "7 octets"),
        (lambda: Ncgi.decode(b"\x54\xf0\x80\x01"), "8 octets"),
    ],
)
def test_one_more_than_the_limit_is_refused(make: Any, name: str) -> None:
    """Nothing is masked."""
    with pytest.raises(ValueError, match=name):
        make()


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("450-08-1001-11", Cgi(KT, 1001, 11)),
        ("450-08-1001", Lai(KT, 1001)),
        ("*", AllCells()),
        ("310-410-1-65535", Cgi(AMERICAN, 1, 65535)),
    ],
)
def test_places_have_a_text_form(text: str, place: Any) -> None:
    """One word each, and back."""
    assert place == parse_place(text)
    assert text == str(place)


@pytest.mark.parametrize("text", ["", "450-08", "450-08-1001-11-1", "450-08--11", "**", "450-08-x"])
def test_other_text_is_no_place(text: str) -> None:
    """It is refused by name."""
    with pytest.raises(ValueError, match="is no cell"):
        parse_place(text)


def test_local_names_are_read_by_people() -> None:
    """As they would say them."""
    assert ["LAC 1001 CI 11", "CI 11", "LAC 1001"] == [
        str(LacCi(1001, 11)),
        str(Ci(11)),
        str(Lac(1001)),
    ]
    assert Lai(KT, 1001) == Cgi(KT, 1001, 11).lai
