"""The commands beside bulletins: verify, site, briefing, promise, text, incident report, replay."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from cbgateway.app import Gateway
from cbgateway.cli.common import EXIT_POLICY, EXIT_USAGE
from cbgateway.cli.main import app
from tests.conftest import FakeClock

RUNNER = CliRunner()


@pytest.fixture
def run(office: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Give a runner of commands in the office's folder, on its clock."""
    opened = Gateway.open
    clock: FakeClock = office.clock
    monkeypatch.setattr(Gateway, "open", lambda home: opened(home, clock=clock))

    def invoke(*arguments: object, code: int = 0, text: str | None = None) -> Result:
        words = [*map(str, arguments), "--home", str(office.gateway.home)]
        result = RUNNER.invoke(app, words, input=text)
        assert result.exit_code == code, result.output
        return result

    return invoke


def key(office: Any, name: str) -> Path:
    """Give somebody's key file."""
    return Path(office.gateway.settings.keys) / "people" / f"{name}.pem"


def test_verify(office: Any, run: Any) -> None:
    """The exact text and whether it holds; 3 for what is not ours."""
    bulletin = office.issue(office.document()).bulletin
    told = run("verify", bulletin.code)
    office.issue(office.later("progress"))
    found = json.loads(run("verify", bulletin.code.lower(), "--json").stdout)

    assert "holds" in told.stdout
    assert bulletin.texts["ko"] in told.stdout
    assert (found["holds"], found["state"]) == (False, "superseded")
    assert "holds no more (superseded)" in run("verify", bulletin.code).stdout
    assert "not ours" in run("verify", "ZZZZZZ", code=EXIT_POLICY).stderr


def test_site_export(office: Any, run: Any, tmp_path: Path) -> None:
    """Says what was written; an address has to be one."""
    office.issue(office.document())
    folder = tmp_path / "site"
    first = json.loads(run("site", "export", folder, "--json").stdout)

    assert first["files"] == len(first["written"])
    assert "0 written" in run("site", "export", folder).stdout
    run("site", "export", folder, "--url", "https://x.kr")
    assert 'href="https://x.kr/v/' in (folder / "feed.atom").read_text("utf-8")
    assert "no address" in run("site", "export", folder, "--url", "x", code=EXIT_USAGE).stderr


def test_briefing(office: Any, run: Any) -> None:
    """In words, JSON and HTML; receipts once."""
    office.issue(office.document(facts={"cause": "power", "workarounds": ["cash"]}))
    assert "정전" in run("briefing", "show", "inc-1").stdout
    assert "read by: nobody yet" in run("briefing", "show", "inc-1", "--language", "en").stdout
    assert "read by desk" in run("briefing", "read", "inc-1/1", "--reader", "desk").stdout
    again = run("briefing", "read", "inc-1/1", "--reader", "desk", "--json").stdout
    assert json.loads(again)["is_new"] is False
    office.issue(office.later("progress"))

    old = run("briefing", "show", "inc-1", "--number", "1").stdout
    assert "superseded: inc-1/2 is newer" in old
    assert "read by: desk" in old
    assert json.loads(run("briefing", "show", "inc-1", "--json").stdout)["number"] == 2
    html = run("briefing", "show", "inc-1", "--html", "--language", "en").stdout
    assert html.startswith("<!doctype html>")


def test_promises(office: Any, run: Any) -> None:
    """Listed, missed, drafted, accepted by a person."""
    assert "Nothing is promised" in run("promise", "list").stdout
    office.issue(office.document())
    assert "1800" in run("promise", "list").stdout
    office.clock.advance(1801)
    office.gateway.telling.sweep()
    assert "missed" in run("promise", "list").stdout
    assert json.loads(run("promise", "list", "--json").stdout)[0]["is_missed"] is True
    assert "1 of them late; 1 missed so far" in run("status").stdout
    arguments = ("promise", "accept", "inc-1/2", "--sender", "alice", "--key", key(office, "alice"))

    assert "pending" in run(*arguments).stdout
    office.issue(office.later("progress"))
    office.clock.advance(1801)
    office.gateway.telling.sweep()
    arguments = ("promise", "accept", "inc-1/4", "--sender", "alice", "--key", key(office, "alice"))
    assert json.loads(run(*arguments, "--json").stdout)["state"] == "pending"


def test_first_notice_that_is_owed_shows_in_the_list(office: Any, run: Any) -> None:
    """It belongs to no bulletin yet."""
    office.submit(office.document())

    assert "first notice" in run("promise", "list").stdout


def test_lint(run: Any, tmp_path: Path) -> None:
    """Warnings end with 0, what would be refused with 3, and its name."""
    text = tmp_path / "text.txt"
    text.write_text("KT 장애, 협력업체 직원의 실수")
    assert "blame" in run("text", "lint", text).stdout
    assert len(json.loads(run("text", "lint", text, "--json").stdout)["warnings"]) == 1
    text.write_text("KT 통신 장애. 코드{code}")
    assert "Nothing found" in run("text", "lint", text).stdout
    for words, option, name in (
        ("문의 1588-0010", [], "contact-not-verified"),
        ("문의 100", ["--carrier", "kt"], "contact-not-verified"),
        ("디도스", [], "cause-unverified"),
        ("장애", ["--carrier", "x"], "unknown-name"),
        ("장애", ["--language", "fr"], "unknown-name"),
    ):
        text.write_text(words)
        assert name in run("text", "lint", text, *option, code=EXIT_POLICY).stderr
    text.write_text("디도스")
    run("text", "lint", text, "--cause", "attack", "--confidence", "confirmed")
    text.write_bytes(b"\xff")
    assert "not UTF-8" in run("text", "lint", text, code=EXIT_USAGE).stderr


def test_report(office: Any, run: Any, tmp_path: Path) -> None:
    """Three forms, two languages; the same from the exported history."""
    office.issue(office.document())
    office.gateway.history.export(tmp_path / "log")
    own = run("incident", "report", "inc-1").stdout
    exported = run("incident", "report", "inc-1", "--log", tmp_path / "log").stdout

    assert own == exported
    assert own.startswith("# Report after the incident")
    korean = run("incident", "report", "inc-1", "--form", "html", "--language", "ko").stdout
    assert "사후 보고서" in korean
    assert json.loads(run("incident", "report", "inc-1", "--json").stdout)["format"] == 1
    assert run("incident", "report", "inc-1", "--form", "json").stdout.startswith("{")
    run("incident", "report", "inc-1", "--language", "fr", code=EXIT_POLICY)


def test_observed(office: Any, run: Any) -> None:
    """When, with its offset, and by whom."""
    office.issue(office.document())
    words = ["incident", "observed", "inc-1/1", "--carrier", "skt", "--region", "KR-26"]
    at, source = "2021-10-25T12:00:20+09:00", "desk 7"
    assert "shown in KR-26" in run(*words, "--at", at, "--source", source).stdout
    again = run(*words, "--at", at, "--source", source, "--json").stdout

    assert json.loads(again)["at"] == at
    for wrong in ("noon", "2021-10-25T12:00:20"):
        run(*words, "--at", wrong, "--source", source, code=EXIT_USAGE)
    assert "desk 7" in run("incident", "report", "inc-1").stdout


def test_plan_shows_who_is_told(office: Any, run: Any) -> None:
    """Before anybody decides."""
    office.submit(office.document())
    words = run("bulletin", "approve", "inc-1/1", "--key", key(office, "bob"), "--yes").stdout

    assert "reach, kt: neighbour_or_roaming" in words
    assert "reach, skt: assured" in words


def test_replay_knows_its_stories() -> None:
    """By name, and lists them."""
    listed = RUNNER.invoke(app, ["replay", "list"])
    unknown = RUNNER.invoke(app, ["replay", "atlantis"])

    for name in ("kt-2021", "ahyeon-2018", "seoul-2023", "dup-2016", "hawaii-2018"):
        assert name in listed.stdout
        assert name in unknown.stderr
    assert unknown.exit_code == EXIT_POLICY


def test_contacts_are_listed_and_confirmed(office: Any, run: Any) -> None:
    """Doctor warns until somebody has tried an entry."""
    found = json.loads(run("contacts", "list", "--json").stdout)
    told = run("contacts", "confirm", "112", "--key", key(office, "alice")).stdout
    screen = run("contacts", "list").stdout
    doctor = json.loads(run("doctor", "--json").stdout)
    lines = [one["detail"] for one in doctor["findings"] if one["check"] == "contacts"]

    assert {one["is_verified"] for one in found} == {False}
    assert told == "112: confirmed\n"
    assert "alice" in screen
    assert "A check counts for 180 days." in screen
    assert [line.split(":")[0] for line in lines] == ["119", "110", "100", "status.example.kr"]
    run("contacts", "confirm", "1", "--key", key(office, "alice"), code=EXIT_POLICY)
