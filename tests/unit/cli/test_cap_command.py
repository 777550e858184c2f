"""`cbgateway cap`: the same alert in, looked at, and out."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cbgateway.cli.main import app
from tests.conformance.cap_alerts import (
    Identity,
    alert,
    identity,
    information,
    parameter,
    pin,
    signed,
)

RUNNER = CliRunner()


def run(*arguments: object, code: int = 0) -> Any:
    """Run a command, check its exit code, and give what it printed."""
    result = RUNNER.invoke(app, [str(one) for one in arguments])
    assert result.exit_code == code, result.output
    return result


@pytest.fixture
def own() -> Identity:
    """Give a sender's identity that is valid today."""
    return identity(at=datetime.now(UTC))


@pytest.fixture
def home(tmp_path: Path, own: Identity) -> Path:
    """Give a gateway with alice, bob, and a machine whose alerts are signed."""
    folder = tmp_path / "lab"
    run("init", "--home", folder, "--json")
    run("keys", "new", "alice", "--submit", "--region", "KR", "--home", folder)
    run("keys", "new", "bob", "--approve", "--region", "KR", "--home", folder)
    run(
        *("keys", "new", "kt_noc", "--submit", "--region", "KR", "--owner", "alice"),
        *("--home", folder),
    )
    pin(folder, own)
    return folder


def alert_of_now(**changes: str) -> bytes:
    """Give a sound alert that was written a moment ago."""
    now = datetime.now(UTC).replace(microsecond=0)
    info = information(
        onset=now.isoformat(),
        expires=(now + timedelta(hours=1)).isoformat(),
        more=parameter("cbgateway:carrier", "kt"),
    )
    return alert(info, sent=now.isoformat(), **changes)


def test_alert_goes_in_and_out_again(home: Path, own: Identity, tmp_path: Path) -> None:
    """Signed by its sender, approved by bob, and exported as it came."""
    path = tmp_path / "alert.xml"
    octets = signed(alert_of_now(), own)
    path.write_bytes(octets)

    checked = json.loads(run("cap", "check", path, "--home", home, "--json").stdout)
    assert checked["signed_by"] == "kt_noc"
    assert checked["becomes"]["regions"] == ["KR-26"]
    assert "KR-26" in run("cap", "check", path, "--home", home).stdout
    submitted = json.loads(run("cap", "submit", path, "--home", home, "--json").stdout)
    assert submitted["bulletin"] == "KT-1/1"
    assert submitted["submitted_by"] == "kt_noc"
    assert "somebody else" in run("cap", "submit", path, "--home", home).stdout
    run("cap", "export", "KT-1/1", "--home", home, code=3)
    key = home / "keys" / "people" / "bob.pem"
    run("bulletin", "approve", "KT-1/1", "--yes", "--home", home, "--key", key)
    assert octets == run("cap", "export", "KT-1/1", "--home", home).stdout_bytes


def test_unsigned_alert_needs_somebody(home: Path, tmp_path: Path) -> None:
    """Exit code 5 without a key, or from a sender who signs; with a key, it is the bearer's."""
    foreign, known = tmp_path / "foreign.xml", tmp_path / "known.xml"
    foreign.write_bytes(alert_of_now(sender="somebody@else.example"))
    known.write_bytes(alert_of_now())
    key = home / "keys" / "people" / "alice.pem"

    refused = run("cap", "submit", foreign, "--home", home, "--json", code=5)
    assert "not signed" in refused.stderr
    run("cap", "submit", known, "--home", home, "--key", key, code=5)
    taken = run("cap", "submit", foreign, "--home", home, "--key", key, "--json")
    assert json.loads(taken.stdout)["submitted_by"] == "alice"


def test_alert_that_is_none_is_refused(home: Path, tmp_path: Path) -> None:
    """With exit code 2, in one line."""
    path = tmp_path / "alert.xml"
    path.write_bytes(b"<alert/>")

    assert "input-invalid" in run("cap", "check", path, "--home", home, code=2).stderr
