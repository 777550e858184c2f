"""Regions to cells: exact whatever the scope, and what is bare is named."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbgateway.app import load_checked_profiles
from cbgateway.codec.cells import AllCells, Cgi, Lai, Plmn, parse_place
from cbgateway.service.coverage import CellMap, Site

REGIONS = load_checked_profiles(None).regions["kr"]
PLMN = Plmn("450", "08")


def site(controller: str, region: str, lac: int, ci: int) -> Site:
    """Give a cell."""
    return Site(controller, region, Cgi(PLMN, lac, ci))


MAP = CellMap(
    [
        site("a", "KR-26", 1, 1),
        site("a", "KR-26", 1, 2),
        site("a", "KR-26", 2, 1),
        site("a", "KR-31", 2, 2),
        site("b", "KR-31", 3, 1),
    ]
)


@pytest.mark.parametrize(
    ("region", "scope", "places"),
    [
        ("KR-26", "cell", {"a": ("450-08-1-1", "450-08-1-2", "450-08-2-1")}),
        ("KR-26", "location_area", {"a": ("450-08-1", "450-08-2-1")}),
        ("KR-26", "bss", {"a": ("450-08-1", "450-08-2-1")}),
        ("KR-31", "bss", {"a": ("450-08-2-2",), "b": ("*",)}),
        ("KR", "bss", {"a": ("*",), "b": ("*",)}),
        ("KR", "location_area", {"a": ("450-08-1", "450-08-2"), "b": ("450-08-3",)}),
        ("KR-50", "bss", {}),
    ],
)
def test_names_are_as_wide_as_is_exact(region: str, scope: str, places: Any) -> None:
    """A name never reaches a cell of another region."""
    covered = list(MAP.cover(region, REGIONS, scope=scope))

    assert places == {one.controller: one.places for one in covered}


def test_bare_regions_are_named() -> None:
    """The smallest ones without a cell; a map without cells is bare everywhere."""
    assert ("KR-50",) == MAP.bare(["KR-26", "KR-50"], REGIONS)
    assert 17 == len(CellMap().bare(["KR"], REGIONS))
    assert {"a": 4, "b": 1} == MAP.controllers
    assert 5 == len(MAP)


@given(
    st.lists(
        st.builds(
            site,
            st.sampled_from("ab"),
            st.sampled_from(["KR-26", "KR-31", "KR-11"]),
            st.integers(1, 3),
            st.integers(1, 6),
        ),
        unique_by=lambda one: one.cell,
    ),
    st.sampled_from(["KR", "KR-26", "KR-31"]),
    st.sampled_from(["cell", "location_area", "bss"]),
)
def test_places_reach_exactly_the_cells_of_the_region(
    sites: list[Site], region: str, scope: str
) -> None:
    """Whatever the list: no cell less, no cell more, and the count is right."""
    for one in CellMap(sites).cover(region, REGIONS, scope=scope):
        mine = [site for site in sites if site.controller == one.controller]
        wanted = {site.cell for site in mine if REGIONS.contains(region, site.region)}
        reached: set[Cgi] = set()
        for place in map(parse_place, one.places):
            match place:
                case AllCells():
                    reached |= {site.cell for site in mine}
                case Lai():
                    reached |= {site.cell for site in mine if site.cell.lai == place}
                case Cgi():
                    reached.add(place)
        assert wanted == reached
        assert len(wanted) == one.cells
