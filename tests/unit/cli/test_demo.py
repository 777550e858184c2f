"""The demo inside this process: screen, picture, and exit code when something does not hold."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cbgateway.cli import demo
from cbgateway.cli.main import app

RUNNER = CliRunner()
SECONDS = "14"  # faster, and 0.2 s of a busy machine would be minutes of the story


def test_demo_on_a_screen(tmp_path: Path) -> None:
    """The whole story with a live view; the picture has it, too."""
    picture, told = tmp_path / "demo.svg", tmp_path / "told"

    result = RUNNER.invoke(
        app,
        [
            *("demo", "--seconds", SECONDS, "--phones", "20"),
            *("--picture", str(picture), "--keep", str(told)),
        ],
    )
    assert result.exit_code == 0, result.output
    for words in (
        "bulletin 1: first notice; alice completes the draft, bob approves",
        "51 over MQTT became 1 suspected incident with a draft and 0 orders",
        "Updates at the promised times: 3 of 3.",
        "Restoration told, to KT's own as well: ",
        "20 of 20 phones of KT",
        "screens verified",
        "Everything holds.",
    ):
        assert words in result.stdout
    for file in ("briefing.html", "site/index.html", "report.html"):
        assert f": {told / file}\n" in result.stdout
        assert (told / file).read_text("utf-8").startswith("<!doctype html>")
    assert picture.read_text("utf-8").startswith("<svg")


def test_demo_that_cannot_keep_what_was_told_says_so(tmp_path: Path) -> None:
    """In one line, and nothing of somebody else's is touched."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "mine.txt").write_text("mine")

    result = RUNNER.invoke(
        app, ["demo", "--json", "--seconds", "5", "--phones", "20", "--keep", str(tmp_path)]
    )
    assert result.exit_code == 2
    assert "not empty" in result.stderr
    assert [path.name for path in site.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("arguments", [[], ["--json"]])
def test_demo_that_does_not_hold_says_so(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    """Exit code 1, every problem on standard error, the summary all the same."""
    summary: dict[str, Any] = {
        "first_notice_s": None,
        "screens": 0,
        "seals_verified": 0,
        "carriers": {},
        "bulletins": [],
        "automation": None,
        "enquiry": None,
        "files": None,
        "score": {
            "promises": 1,
            "promises_kept": 0,
            "correction_shown_after_s": None,
            "site_files": 0,
            "site_s": 0.0,
            "page_octets_max": 0,
            "approval_to_screen_s": 0.0,
            "briefing_s": 0.0,
            "report_s": 0.0,
        },
    }

    async def run(self: demo.Run, *, live: bool) -> dict[str, Any]:
        assert live is not bool(arguments)
        return summary

    monkeypatch.setattr(demo.Run, "run", run)
    monkeypatch.setattr(demo, "failures", lambda summary, story: ["[one] thing", "another"])

    result = RUNNER.invoke(app, ["demo", *arguments])
    assert result.exit_code == demo.EXIT_DOES_NOT_HOLD
    assert result.stderr.splitlines() == ["[one] thing", "another"]
    if arguments:
        assert json.loads(result.stdout) == summary
