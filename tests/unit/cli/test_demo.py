"""The demo inside this process: screen, picture, and exit code when something does not hold."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cbgateway.cli import demo
from cbgateway.cli.main import app

RUNNER = CliRunner()


def test_demo_on_a_screen(tmp_path: Path) -> None:
    """The whole story with a live view; the picture has it, too."""
    picture = tmp_path / "demo.svg"

    result = RUNNER.invoke(
        app, ["demo", "--seconds", "6", "--phones", "20", "--picture", str(picture)]
    )
    assert result.exit_code == 0, result.output
    for words in ("bulletin 1: first notice", "screens verified", "Everything holds."):
        assert words in result.stdout
    assert picture.read_text("utf-8").startswith("<svg")


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
        "score": {
            "promises": 1,
            "promises_kept": 0,
            "correction_shown_after_s": None,
            "site_files": 0,
            "site_s": 0.0,
            "page_octets_max": 0,
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
