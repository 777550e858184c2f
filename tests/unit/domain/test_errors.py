"""Errors carry facts that programs can read, and failpoints do nothing until they are armed."""

from collections.abc import Iterator

import pytest

from cbgateway.domain import failpoints
from cbgateway.domain.errors import (
    ConfigurationError,
    DecodeError,
    EncodeError,
    NotEncodableError,
    TooManyPagesError,
)


def test_too_many_pages_says_how_many_fit() -> None:
    """An author is told by how much a text is too long."""
    error = TooManyPagesError(pages=17, pages_max=15)

    assert (error.pages, error.pages_max, error.field) == (17, 15, "pages")
    assert str(error) == "pages: needs 17 pages, at most 15 fit (TS 23.041 9.4.1.2)"
    assert isinstance(error, EncodeError)


def test_character_that_does_not_fit_is_named_and_placed() -> None:
    """The character, where it stands, and in which alphabet it is missing."""
    error = NotEncodableError(character="가", index=3, alphabet="GSM 7", clause="TS 23.038 6.2.1")

    assert (error.character, error.index) == ("가", 3)
    assert "U+AC00) at position 3 is not in GSM 7" in str(error)


@pytest.mark.parametrize("framing_lost", [False, True])
def test_decode_error_says_where_and_whether_the_link_is_lost(*, framing_lost: bool) -> None:
    """Octet, field and clause, and whether the end of the PDU is still known."""
    error = DecodeError(
        "too long",
        field="short_message",
        offset=41,
        clause="SMPP 5.0 4.2",
        framing_lost=framing_lost,
    )

    assert str(error) == "short_message at octet 41: too long (SMPP 5.0 4.2)"
    assert (error.problem, error.field, error.offset) == ("too long", "short_message", 41)
    assert error.framing_lost is framing_lost
    assert DecodeError("", field="", offset=0, clause="").framing_lost is False


def test_configuration_error_has_every_reason() -> None:
    """Whoever sets a gateway up mends all of it at once."""
    error = ConfigurationError("no witness", "ballast missing")

    assert error.reasons == ("no witness", "ballast missing")
    assert str(error) == "no witness; ballast missing"


@pytest.fixture
def armed() -> Iterator[list[str]]:
    """Have failpoints write down that they were passed, for one test."""
    passed: list[str] = []
    failpoints.arm(passed.append)
    yield passed
    failpoints.arm(None)


def test_armed_failpoint_is_told(armed: list[str]) -> None:
    """Each one by its name, in order, until they are disarmed."""
    for name in failpoints.KNOWN:
        failpoints.passing(name)
    failpoints.arm(None)
    failpoints.passing("send.begun")

    assert armed == list(failpoints.KNOWN)


def test_misspelt_failpoint_is_found(armed: list[str]) -> None:
    """A name that no campaign knows would never be stopped at."""
    with pytest.raises(AssertionError, match=r"send\.began"):
        failpoints.passing("send.began")
    assert armed == []
