"""Carriers' logs: read strictly, all or nothing, and named as the source of every figure."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from cbgateway.app import Gateway
from cbgateway.cli.common import EXIT_USAGE
from cbgateway.cli.main import app
from cbgateway.domain.errors import InputError
from cbgateway.interfaces.carrier_log import OCTETS_MAX, ROWS_MAX, parse_carrier_log
from cbgateway.public.report_page import to_html, to_markdown

HEAD = "bulletin,carrier,region,first_broadcast_at,cells_reached,cells_failed,phones_seen\n"
ROW = "inc-1/1,skt,KR-26,2021-10-25T12:00:07+09:00,812,3,\n"
CSV = (HEAD + ROW).encode()
RUNNER = CliRunner()


def test_csv_and_json_say_the_same() -> None:
    """Columns in any order, with a byte order mark or without; an empty cell says nothing."""
    turned = "carrier,bulletin,region,first_broadcast_at,cells_failed,cells_reached\r\n"
    turned += "skt,inc-1/1,KR-26,2021-10-25T12:00:07+09:00,3,812\r\n\r\n"
    row = {
        "bulletin": "inc-1/1",
        "carrier": "skt",
        "region": "KR-26",
        "first_broadcast_at": "2021-10-25T12:00:07+09:00",
        "cells_reached": 812,
        "cells_failed": 3,
    }

    (first,) = parse_carrier_log(CSV)
    (second,) = parse_carrier_log(b"\xef\xbb\xbf" + turned.encode())
    (third,) = parse_carrier_log(json.dumps([row]).encode())
    assert first.document() == second.document() == third.document()
    assert (first.cells_reached, first.cells_failed, first.phones_seen) == (812, 3, None)
    assert (first.place, third.place) == ("line 2", "item 1")


@pytest.mark.parametrize(
    ("octets", "words"),
    [
        (b"", "no header"),
        (b"\xff\xfe", "not UTF-8"),
        (HEAD.encode(), "no row"),
        (b"[]", "no row"),
        (b"[", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[1]", "item 1"),
        (b'[{"bulletin": 1}]', "item 1: bulletin"),
        (CSV.replace(b"phones_seen", b"phones"), "unknown columns 'phones'"),
        (CSV.replace(b"region,", b"", 1), "missing columns region"),
        (CSV.replace(b"phones_seen", b"region"), "twice"),
        (CSV.replace(b"812", b"-1"), "line 2: cells_reached"),
        (CSV.replace(b"812", b"many"), "line 2: cells_reached"),
        (CSV.replace(b"812", b"1.5"), "line 2: cells_reached"),
        (CSV.replace(b"+09:00", b""), "line 2: first_broadcast_at"),
        (CSV.replace(b"skt", b""), "line 2: carrier"),
        (CSV.replace(b"3,\n", b"3,,4\n"), "more cells than columns"),
        (CSV + ROW.encode(), "line 3: says the same as line 2"),
        (CSV.replace(b"inc-1", b'"inc-1'), "not CSV"),
        (b"x" * (OCTETS_MAX + 1), "at most"),
        (HEAD.encode() + b"a\n" * (ROWS_MAX + 1), "at most"),
        (HEAD.encode() + b"a\n" * 30, "and 70 more faults"),
    ],
)
def test_log_with_faults_is_refused(octets: bytes, words: str) -> None:
    """Every one of them named by its place."""
    with pytest.raises(InputError, match=words):
        parse_carrier_log(octets)


@given(octets=st.binary(max_size=300) | st.text(max_size=200).map(str.encode))
def test_any_octets_are_rows_or_a_named_fault(octets: bytes) -> None:
    """Total: nothing else ever comes of it."""
    for given_octets in (octets, HEAD.encode() + octets, b"[" + octets):
        try:
            assert parse_carrier_log(given_octets)
        except InputError as error:
            assert str(error)


@pytest.fixture
def told(office: Any) -> Any:
    """Give an office that has told of an outage."""
    office.issue(office.document())
    office.clock.advance(60)
    return office


def test_report_names_the_log_beside_its_figures(told: Any) -> None:
    """When and in how many cells it was on air; what nobody measured stays not known."""
    assert told.gateway.telling.import_carrier_log(CSV, source="SKT, ticket 4711") == 1
    later = CSV.replace(b"12:00:07", b"12:00:30").replace(b"812", b"815")
    told.gateway.telling.import_carrier_log(later, source="SKT, corrected")
    report = told.gateway.telling.report("inc-1")
    (row,) = [one for one in report["reach"] if one["carrier"] == "skt"]
    (other,) = [one for one in report["reach"] if one["carrier"] == "kt"]

    assert row["first_broadcast_at"]["value"] == "2021-10-25T12:00:07+09:00"
    assert row["first_broadcast_at"]["source"].startswith("SKT, ticket 4711 (SHA-256 ")
    assert (row["cells_reached"]["value"], row["cells_failed"]["value"]) == (815, 3)
    assert row["cells_reached"]["source"].startswith("SKT, corrected (SHA-256 ")
    assert row["phones_seen"] == {"value": None, "source": "not known"}
    assert other["first_broadcast_at"] == {"value": None, "source": "not known"}
    assert report["times"]["to_first_broadcast_s"]["value"] == 44 * 60 + 7
    words = told.gateway.deployment.words
    assert "815 / 3" in to_html(words["ko"], report).decode()
    assert "SKT, ticket 4711" in to_markdown(words["en"], report)


def test_same_log_again_changes_nothing(told: Any) -> None:
    """Its octets are known."""
    told.gateway.telling.import_carrier_log(CSV, source="SKT")
    with told.gateway.store.read() as tx:
        size = tx.audit_size()

    assert told.gateway.telling.import_carrier_log(CSV, source="SKT again") == 0
    with told.gateway.store.read() as tx:
        assert tx.audit_size() == size


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("inc-1/1", "inc-1/2", "did not go out"),
        ("inc-1/1", "inc-9/1", "did not go out"),
        ("skt", "vodafone", "carrier 'vodafone'"),
        ("KR-26", "KR-11", "was not for region"),
        ("KR-26", "KR", "was not for region"),
        ("KR-26", "XX", "was not for region"),
        ("12:00:07", "11:30:00", "but approved at"),
        ("12:00:07", "18:30:00", "but approved at"),
    ],
)
def test_log_of_what_did_not_happen_is_refused(told: Any, old: str, new: str, words: str) -> None:
    """All or nothing: a sound row beside it is not kept either."""
    octets = CSV + ROW.replace("skt", "kt").replace(old, new).encode()
    if old == "skt":
        octets = CSV + ROW.replace(old, new).encode()

    with pytest.raises(InputError, match=f"line 3: .*{words}"):
        told.gateway.telling.import_carrier_log(octets, source="SKT")
    with told.gateway.store.read() as tx:
        assert not [event for event in tx.events() if event.what == "carrier-log"]


@pytest.mark.parametrize("source", ["", "  ", "x" * 121, "a\nb"])
def test_log_without_a_source_is_refused(told: Any, source: str) -> None:
    """A figure that nobody vouches for is none."""
    with pytest.raises(InputError, match="source"):
        told.gateway.telling.import_carrier_log(CSV, source=source)


def test_many_faults_are_counted(told: Any) -> None:
    """Twenty are named."""
    rows = "".join(ROW.replace("inc-1/1", f"inc-1/{n}") for n in range(2, 40))

    with pytest.raises(InputError, match="and 18 more faults"):
        told.gateway.telling.import_carrier_log((HEAD + rows).encode(), source="SKT")


def test_evidence_command(told: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are counted; a file that is not there is named."""
    opened, home = Gateway.open, ("--home", str(told.gateway.home))
    monkeypatch.setattr(Gateway, "open", lambda home: opened(home, clock=told.clock))
    path = tmp_path / "log.csv"
    path.write_bytes(CSV)

    def run(*words: object, code: int = 0) -> str:
        command = ["evidence", "import", *map(str, words), "--source", "SKT", *home]
        result = RUNNER.invoke(app, command)
        assert result.exit_code == code, result.output
        return result.output

    assert "1 rows" in run(path)
    assert "was taken in before" in run(path)
    assert json.loads(run(path, "--json"))["rows"] == 0
    assert "No such file" in run(tmp_path / "none", code=EXIT_USAGE)
