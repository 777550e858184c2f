"""Kits: codes and names are divided so that no two gateways ever share one."""

from datetime import UTC, datetime
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbgateway.domain import kits
from cbgateway.domain.broadcast import MESSAGE_CODE_MAX

UNTIL = datetime(2022, 1, 1, tzinfo=UTC)


def test_every_code_belongs_to_exactly_one_gateway() -> None:
    """All 1,024 of them: the main gateway's and each slot's share none and leave out none."""
    owners = [kits.codes_of(None)]
    owners += [kits.codes_of(kits.Kit("kit0000", slot, UNTIL)) for slot in range(kits.SLOTS)]

    assert sorted(chain(*owners)) == list(range(MESSAGE_CODE_MAX + 1))


def test_every_alias_belongs_to_exactly_one_gateway() -> None:
    """Sixteen bits, and 0 is none."""
    owners = [kits.MAIN_ALIASES, *map(kits.slot_aliases, range(kits.SLOTS))]

    assert sorted(chain(*owners)) == list(range(1, kits.ALIAS_MAX + 1))


@pytest.mark.parametrize("slot", [-1, kits.SLOTS])
def test_there_is_no_other_slot(slot: int) -> None:
    """Its codes would be somebody else's, or none."""
    with pytest.raises(ValueError, match="slot"):
        kits.slot_codes(slot)


@given(name=st.text(max_size=30))
def test_what_a_kit_names_says_so_once(name: str) -> None:
    """However often it is asked."""
    named = kits.with_kit(name, "kit7f2q")

    assert kits.kit_in(named) == "kit7f2q"
    assert kits.with_kit(named, "kit7f2q") == named


@pytest.mark.parametrize("name", ["", "kt-1", "kit7f2q", "kt.kit7f2", "kt.kit7F2Q", "kt.kit7f2q.1"])
def test_other_names_are_of_no_kit(name: str) -> None:
    """Nothing that people write by chance."""
    assert kits.kit_in(name) is None
