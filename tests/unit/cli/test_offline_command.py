"""`cbgateway offline`: a kit made, used against a message centre and taken over."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from cbgateway.cli.common import EXIT_CARRIER, EXIT_POLICY, EXIT_USAGE
from cbgateway.cli.main import app
from cbsim.running import RunningCentre

RUNNER = CliRunner()
PHONES = ("821000000000", "821000000001")
KOREAN = "[과기정통부] 통신 장애. 원인 확인 중."
ENGLISH = "[MSIT] Outage."


def run(*arguments: object, code: int = 0, text: str | None = None) -> Result:
    """Run a command."""
    result = RUNNER.invoke(app, [str(one) for one in arguments], input=text)
    assert result.exit_code == code, result.output
    return result


@pytest.fixture
def centre() -> Iterator[RunningCentre]:
    """Give a message centre with two phones in Busan."""
    with RunningCentre({}, phones=2, region="KR-26") as one:
        yield one


@pytest.fixture
def gateway(tmp_path: Path, centre: RunningCentre) -> Path:
    """Give a gateway with one carrier, alice and bob."""
    home = tmp_path / "gateway"
    run("init", "--home", home, "--carrier", "kt")
    for name, right in (("alice", "--submit"), ("bob", "--approve")):
        run("keys", "new", name, right, "--region", "KR", "--home", home)
    settings = home / "cbgateway.toml"
    text = settings.read_text("utf-8").replace("port = 2775", f"port = {centre.port}")
    settings.write_text(text.replace("ballast_mib = 1", "ballast_mib = 0.0625"), "utf-8")
    return home


@pytest.fixture
def kit(gateway: Path, tmp_path: Path) -> Path:
    """Give a kit of that gateway."""
    told = run("offline", "kit", tmp_path / "kit", "--home", gateway).stdout
    assert "good until" in told
    return tmp_path / "kit"


def document(path: Path, **changes: Any) -> Path:
    """Write a sound bulletin."""
    began = datetime.now(UTC) - timedelta(minutes=5)
    written = {
        "identifier": "first",
        "sender": "alice",
        "incident": {
            "id": "kt-outage",
            "carrier": "kt",
            "services": ["voice"],
            "started_at": began.isoformat(),
        },
        "kind": "first",
        "regions": ["KR-26"],
        "texts": {"ko": KOREAN, "en": ENGLISH},
        "next_update": "PT30M",
    } | changes
    path.write_text(json.dumps(written, ensure_ascii=False), "utf-8")
    return path


def keys(home: Path) -> list[object]:
    """Give both keys as options."""
    people = home / "keys" / "people"
    return ["--key", people / "alice.pem", "--key", people / "bob.pem"]


def test_kit_is_used_and_taken_over(
    gateway: Path, kit: Path, centre: RunningCentre, tmp_path: Path
) -> None:
    """Phones show it once; the gateway goes on with the next number, and nobody reads a repeat."""
    first = document(tmp_path / "first.json")
    issued = ("offline", "issue", first, *keys(gateway), "--home", kit)
    told = run(*issued, "--wait", 20, text="y\n").stdout
    screens = centre.wait_for(lambda: [s for s in map(centre.screen, PHONES) if s])
    for shown in ("ko: [과기정통부] 통신 장애", "en: [MSIT] Outage", "serial number", "Send it?"):
        assert shown in told
    report = json.loads(run(*issued, "--json").stdout)  # again: nothing is done twice
    assert {text for screen in screens for text in screen} <= {KOREAN, ENGLISH}
    assert report["carriers"] == {"kt": {"acked": 2}}
    (listed,) = json.loads(run("offline", "list", "--json", "--home", gateway).stdout)
    assert report["bulletin"] == f"kt-outage.{listed['kit']}/1"

    taken = json.loads(run("offline", "merge", kit, "--json", "--home", gateway).stdout)
    assert taken["bulletins"] == [report["bulletin"]]
    again = run("offline", "merge", kit, "--home", gateway).stdout
    assert "nothing new" in again
    incident = report["bulletin"].partition("/")[0]
    run("audit", "verify", "--home", gateway)
    shown = json.loads(run("incident", "show", incident, "--json", "--home", gateway).stdout)
    assert shown["bulletins"][0]["state"] == "live"
    assert "merged into" in run(*issued, "--json", "--home", kit, code=EXIT_POLICY).stderr


def test_carrier_that_does_not_answer_is_told(gateway: Path, kit: Path, tmp_path: Path) -> None:
    """Exit code 4, and the same command goes on later; its broadcasts go out after the merge."""
    settings = kit / "cbgateway.toml"
    before = settings.read_text("utf-8")
    (line,) = [one for one in before.splitlines() if one.startswith("port = ")]
    settings.write_text(before.replace(line, "port = 1"), "utf-8")
    first = document(tmp_path / "first.json")
    command = ("offline", "issue", first, *keys(gateway), "--yes", "--wait", "0", "--home", kit)
    told = run(*command, code=EXIT_CARRIER).stdout

    assert "2 ready" in told
    assert "offline merge" in told
    assert "2 broadcasts" in run("offline", "merge", kit, "--home", gateway).stdout


@pytest.mark.parametrize("count", [1, 3])
def test_two_keys_are_needed(gateway: Path, kit: Path, tmp_path: Path, count: int) -> None:
    """No more, no less."""
    first = document(tmp_path / "first.json")
    given = (keys(gateway) * 2)[: 2 * count]

    told = run("offline", "issue", first, *given, "--home", kit, code=EXIT_USAGE).stderr
    assert "two people's keys" in told


def test_kits_are_listed_and_retired(gateway: Path, kit: Path) -> None:
    """In words and JSON; a slot by its number when nobody knows the name."""
    (one,) = json.loads(run("offline", "list", "--json", "--home", gateway).stdout)
    assert one["kit"] in run("offline", "list", "--home", gateway).stdout
    assert "revoked" in run("offline", "retire", one["kit"], "--lost", "--home", gateway).stdout
    gone = run("offline", "retire", one["kit"], "--json", "--home", gateway).stdout
    assert json.loads(gone) == {"kit": one["kit"], "is_lost": False}
    assert "0: retired" in run("offline", "retire", "0", "--home", gateway).stdout
    run("offline", "retire", "kit0000", "--home", gateway, code=EXIT_POLICY)


def test_gateway_without_kits_says_so(gateway: Path, tmp_path: Path) -> None:
    """And a kit is made as JSON, too."""
    assert "No kit" in run("offline", "list", "--home", gateway).stdout
    made = run("offline", "kit", tmp_path / "k", "--days", "3", "--json", "--home", gateway).stdout
    assert json.loads(made)["slot"] == 0
