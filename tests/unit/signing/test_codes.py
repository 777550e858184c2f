"""Verification codes: nobody guesses them, everybody can type them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbgateway.signing.codes import ALPHABET, CODE_CHARACTERS, new_code, read_code


def test_code_has_thirty_bits_and_no_look_alikes() -> None:
    """Thirty-two characters, six times, without I, L, O and U."""
    assert math.log2(len(set(ALPHABET)) ** CODE_CHARACTERS) >= 30
    assert not set("ILOU") & set(ALPHABET)


def test_codes_differ() -> None:
    """A thousand of them have no two alike, save once in two thousand runs."""
    codes = {new_code() for _ in range(1000)}

    assert len(codes) >= 999
    assert all(read_code(code) == code for code in codes)


@pytest.mark.parametrize(
    ("typed", "code"),
    [
        ("K7F2Q9", "K7F2Q9"),
        (" k7f-2q9 ", "K7F2Q9"),
        ("kil0o1", "K11001"),
        ("K7F2Q", None),
        ("K7F2Q99", None),
        ("K7F2Q_", None),
        ("Ｋ７Ｆ２Ｑ９", None),
        ("", None),
    ],
)
def test_code_is_read_as_people_type_it(typed: str, code: str | None) -> None:
    """Small letters, blanks and what looks alike are forgiven."""
    assert code == read_code(typed)


@given(st.text(max_size=50))
def test_any_text_gives_a_code_or_none(text: str) -> None:
    """Total, and what it gives is a code."""
    code = read_code(text)

    assert code is None or (len(code) == CODE_CHARACTERS and set(code) <= set(ALPHABET))
