"""What centres call messages: in any base, of millions, and nobody else's."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbgateway.service.directory import Directory


@pytest.mark.parametrize(
    ("answered", "told"),
    [
        (b"0000A1b2", b"a1B2"),
        (b"255", b"ff"),
        (b"ff", b"255"),
        (b"00ff", b"0000000255"),
        (b"not-a-number", b"not-a-number"),
        (b"0", b"000"),
    ],
)
def test_id_is_known_in_whatever_base_it_comes_back(answered: bytes, told: bytes) -> None:
    """Hexadecimal or decimal, with leading zeros or without, in small letters or capitals."""
    known = Directory()
    known.note("kt", 5, [(17, answered, "821012345678")])

    assert known.find("kt", told, "01012345678") == (5, 17)


def test_id_of_another_is_not_found() -> None:
    """Another subscriber's, another peer's, or one that nobody told."""
    known = Directory()
    known.note("kt", 5, [(0, b"12", "821012345678"), (1, b"", "821012345679")])

    assert known.find("kt", b"12", "821012345679") is None
    assert known.find("skt", b"12", "821012345678") is None
    assert known.find("kt", b"13", "821012345678") is None
    assert known.find("kt", b"", "821012345679") is None


@given(st.sets(st.integers(0, 10**6), min_size=1, max_size=60), st.integers(1, 10))
def test_older_ones_are_found_too(ids: set[int], names_max: int) -> None:
    """A table that is full is followed by another; each message stays where it was."""
    known = Directory(table_names_max=names_max, tables_max=60)
    for at, one in enumerate(ids):
        known.note("kt", at, [(at, b"%d" % one, "821012345678")])
    known.note("kt", 99, [(at, b"y%d" % at, "821012345678") for at in range(names_max * 3)])

    found = {known.find("kt", b"%d" % one, "821012345678") for one in ids}

    assert found == {(at, at) for at in range(len(ids))}
    assert known.find("kt", b"y%d" % (names_max * 3 - 1), "821012345678") == (
        99,
        names_max * 3 - 1,
    )


def test_name_that_comes_again_is_the_newer_message() -> None:
    """A centre that uses an id again means the message that it took last."""
    known = Directory(table_names_max=2)
    known.note("kt", 1, [(0, b"7", "821012345678")])
    known.note("kt", 2, [(5, b"7", "821012345678")])

    assert known.find("kt", b"7", "821012345678") == (2, 5)


def test_oldest_are_forgotten() -> None:
    """So many tables are kept, and no more."""
    known = Directory(table_names_max=1, tables_max=3)
    for at in range(4):
        known.note("kt", 1, [(at, b"x%d" % at, "821012345678")])

    assert known.find("kt", b"x0", "821012345678") is None
    assert known.find("kt", b"x1", "821012345678") == (1, 1)
