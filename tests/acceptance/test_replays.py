"""G3 and C1: incidents that happened, replayed against simulators and scored."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cbgateway.cli.demo_story import KT_2021, failures
from cbgateway.cli.replay_stories import STORIES

COMMAND = [sys.executable, "-m", "cbgateway", "replay"]


def replay(name: str) -> dict[str, Any]:
    """Replay a story as a process of its own; gives its summary."""
    done = subprocess.run(
        [*COMMAND, name, "--json", "--seconds", "10", "--phones", "20"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def most(summary: dict[str, Any]) -> int:
    """Give how often a phone showed a bulletin at most."""
    return int(summary["score"]["copies_most"])


def test_g3_kt_2021_is_told_within_minutes_and_promises_are_kept() -> None:
    """C1 as well: after its return, KT gets only the newest bulletin, once."""
    summary = replay("kt-2021")

    assert summary["first_notice_s"] < 300
    assert (summary["score"]["promises_kept"], summary["score"]["promises"]) == (3, 3)
    shown = summary["carriers"]["kt"]["shown"]
    assert [shown[number]["phones"] for number in "1234"] == [0, 0, 20, 20]
    assert most(summary) == 1
    assert summary["score"]["page_octets_max"] <= 14 * 1024
    assert "no notice" in summary["really"]


def test_g3_ahyeon_2018_is_told_by_the_others_within_minutes() -> None:
    """On the day it took fifty; what changes nothing is said as such."""
    summary = replay("ahyeon-2018")

    assert summary["first_notice_s"] < 300
    assert [one["kind"] for one in summary["bulletins"]][2] == "heartbeat"
    assert summary["score"]["promises_kept"] == summary["score"]["promises"] == 3


@pytest.mark.parametrize(("name", "really_s"), [("seoul-2023", 22 * 60), ("hawaii-2018", 38 * 60)])
def test_g3_wrong_message_is_corrected_in_minutes(name: str, really_s: int) -> None:
    """By its template, on every phone that showed the wrong one; nobody sends alone."""
    summary = replay(name)
    score = summary["score"]

    assert 0 < score["correction_shown_after_s"] < really_s / 5
    assert score["not_refused"] == []
    for counts in summary["carriers"].values():
        assert counts["shown"]["2"] == {"phones": 20, "most": 1}


def test_g3_dup_2016_shows_two_copies_at_most() -> None:
    """Answers get lost, the message is sent again as it was, and phones know it."""
    summary = replay("dup-2016")

    assert summary["score"]["lost_octets"] > 0
    assert most(summary) <= 2
    for counts in summary["carriers"].values():
        assert counts["shown"]["1"]["phones"] == 20


def test_g3_scores_stand_beside_what_happened() -> None:
    """`make replays` writes the page; each story has its rows, beside what its day had."""
    page = (Path(__file__).parents[2] / "docs" / "replays.md").read_text("utf-8")
    rows = [line.strip("| ").split(" | ") for line in page.splitlines() if line.count("|") == 5]

    for name, story in STORIES.items():
        mine = [row for row in rows if row[0] == name]
        assert len(mine) >= 4, name
        assert set(story.day.values()) <= {row[2] for row in mine}, name


@pytest.mark.parametrize("name", STORIES)
def test_story_promises_what_its_texts_say(name: str) -> None:
    """Times stand in order; whoever returns was down."""
    story = STORIES[name]
    times = [step.at for step in story.steps]

    assert sorted(times) == times
    assert times[0] == story.start
    assert {step.returns for step in story.steps} - {None} <= {story.failing}


def score(**changes: Any) -> dict[str, Any]:
    """Give a summary with a sound score, changed as asked."""
    sound = {"promises": 2, "promises_kept": 2, "not_refused": [], "lost_octets": None}
    return {
        "first_notice_s": 10.0,
        "carriers": {},
        "unknown_texts": 0,
        "seals_verified": 1,
        "screens": 1,
        "score": sound | changes,
    }


@pytest.mark.parametrize(
    ("changes", "problems"),
    [
        ({}, []),
        ({"promises_kept": 1}, ["1 of 2 promises were kept"]),
        ({"not_refused": ["alone"]}, ["'alone' was not refused"]),
        ({"lost_octets": 0}, ["no answer got lost, so nothing was tried"]),
    ],
)
def test_score_notices_what_does_not_hold(changes: dict[str, Any], problems: list[str]) -> None:
    """Each way to fail is said."""
    assert problems == failures(score(**changes), KT_2021)
