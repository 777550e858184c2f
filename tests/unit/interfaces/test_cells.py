"""Cell lists: every fault by its line, and places found in regions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbgateway.app import load_checked_profiles
from cbgateway.codec.cells import Cgi, Plmn
from cbgateway.domain.errors import InputError
from cbgateway.interfaces import cells as module
from cbgateway.interfaces.cells import COLUMNS, parse_cells, write_cells
from cbgateway.interfaces.geometry import RegionFinder
from cbgateway.service.coverage import Site

REGIONS = load_checked_profiles(None).regions["kr"]
PLMNS = ("45008",)
HEAD = ",".join(COLUMNS) + "\n"
BUSAN = "35.17,129.07"


def parse(lines: str, *, with_outlines: bool = True) -> tuple[Site, ...]:
    """Read lines after the header."""
    find = RegionFinder(REGIONS).find if with_outlines else None
    return parse_cells((HEAD + lines).encode(), regions=REGIONS, plmns=PLMNS, find=find)


def test_cells_are_read_and_written() -> None:
    """By region, or by where they stand; what was written reads as the same."""
    sites = parse(f"bsc-1,KR-11,450-08,1001,11,,\nbsc-1,,45008,1001,12,{BUSAN}\n")
    plmn = Plmn("450", "08")

    assert (
        Site("bsc-1", "KR-11", Cgi(plmn, 1001, 11)),
        Site("bsc-1", "KR-26", Cgi(plmn, 1001, 12)),
    ) == sites
    again = parse_cells(write_cells(sites), regions=REGIONS, plmns=PLMNS, find=None)
    assert sites == again


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("bsc-1,KR-11,450-08,1001", "4 columns, 7 are needed"),
        (",KR-11,450-08,1001,11,,", "no controller"),
        ("bsc-1,KR-99,450-08,1001,11,,", "unknown region 'KR-99'"),
        ("bsc-1,KR-11,450-05,1001,11,,", "450-05 is none of the network's: 45008"),
        ("bsc-1,KR-11,x,1001,11,,", "no network"),
        ("bsc-1,KR-11,450-08,65536,11,,", "LAC 65536"),
        ("bsc-1,KR-11,450-08,1001,1e3,,", "'1e3' is no number"),
        ("bsc-1,KR-11,450-08,1001,123456,,", "is no number"),
        ("bsc-1,,450-08,1001,11,,", "neither region nor place"),
        ("bsc-1,,450-08,1001,11,35.1,", "neither region nor place"),
        ("bsc-1,,450-08,1001,11,95,129", "'95' is not in -90..90"),
        ("bsc-1,,450-08,1001,11,nan,129", "'nan' is not in"),
        ("bsc-1,,450-08,1001,11,35,x", "could not convert"),
        ("bsc-1,,450-08,1001,11,0,0", "0.0, 0.0 is in no region"),
    ],
)
def test_faults_are_named_by_line(line: str, problem: str) -> None:
    """And nothing is taken in."""
    with pytest.raises(InputError, match=problem) as caught:
        parse(f"bsc-1,KR-11,450-08,1,1,,\n{line}\n")

    assert "line 3" in str(caught.value)


def test_a_cell_stands_there_once() -> None:
    """Even with another controller."""
    with pytest.raises(InputError, match="line 3: cell 450-08-1-1 stands there twice"):
        parse("bsc-1,KR-11,450-08,1,1,,\nbsc-2,KR-11,450-08,1,1,,\n")


def test_many_faults_are_counted() -> None:
    """After the first twenty."""
    with pytest.raises(InputError, match="and 5 more lines"):
        parse("x\n" * 25)


def test_without_outlines_every_cell_needs_a_region() -> None:
    """It says so."""
    with pytest.raises(InputError, match="no outlines"):
        parse(f"bsc-1,,450-08,1,1,{BUSAN}", with_outlines=False)


@pytest.mark.parametrize("octets", [b"", b"a,b\n", b"\xff", b'"' + b"x" * 200_000])
def test_what_is_no_such_list_is_refused(octets: bytes) -> None:
    """By its header, or its octets."""
    with pytest.raises(InputError):
        parse_cells(octets, regions=REGIONS, plmns=PLMNS, find=None)


def test_lists_have_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """More cells than any network has are refused."""
    monkeypatch.setattr(module, "CELLS_MAX", 1)
    with pytest.raises(InputError, match="more than 1 cells"):
        parse("bsc-1,KR-11,450-08,1,1,,\nbsc-1,KR-11,450-08,1,2,,\n")


@given(st.text(max_size=100))
def test_any_text_is_a_list_or_refused(text: str) -> None:
    """Nothing else happens."""
    try:
        parse(text.encode("utf-8", "replace").decode())
    except InputError as error:
        assert error.problems


def test_places_in_no_outline_and_in_several() -> None:
    """The smallest region counts; the sea has none."""
    finder = RegionFinder(REGIONS)

    assert ["KR-26", None, "KR-11"] == finder.find([(129.07, 35.17), (0.0, 0.0), (126.99, 37.55)])
