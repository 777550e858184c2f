"""Run the five replays and write their scores into docs/replays.md, beside what happened.

Each is a process of its own with its simulators. When people notice, decide and write is the
story's; what comes after an approval is measured.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cbgateway.cli.replay_stories import STORIES

PAGE = Path(__file__).parents[1] / "docs" / "replays.md"
BEGIN, END = "<!-- figures: make replays -->\n", "<!-- end of figures -->\n"
COLUMNS = ("replay", "measure", "on the day", "replayed")


def run(name: str, *, phones: int, seconds: float) -> dict[str, Any]:
    """Replay a story; gives its summary."""
    options = ("--json", "--phones", str(phones), "--seconds", str(seconds))
    command = [sys.executable, "-m", "cbgateway", "replay", name, *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    summary: dict[str, Any] = json.loads(done.stdout)
    return summary


def rows(summary: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Give the table's rows of one replay."""
    score, day, name = summary["score"], summary["day"], summary["story"]
    measures = {
        "first_notice": ("first notice after the beginning", clock(summary["first_notice_s"])),
        "promises": (
            "promised updates that came in time",
            f"{score['promises_kept']} of {score['promises']}",
        ),
        "correction": (
            "from the first wrong screen to the first corrected one",
            clock(score["correction_shown_after_s"]),
        ),
        "copies": ("copies of one bulletin on a phone, at most", str(score["copies_most"])),
        "alone": (
            "attempts of one person alone, or of a drill, that were refused",
            f"{score['refused'] - len(score['not_refused'])} of {score['refused']}",
        ),
        "screen": (
            "from an approval to the first screen, at most, on this machine's clock",
            f"{score['approval_to_screen_s']:.2f} s",
        ),
        "shown": (
            "screens, each with a seal that was checked",
            f"{summary['seals_verified']} of {summary['screens']}",
        ),
    }
    was_right = score["correction_shown_after_s"] is None
    none = {"first_notice": not was_right, "correction": was_right, "alone": not score["refused"]}
    return [
        (name, label, day.get(key, ""), value)
        for key, (label, value) in measures.items()
        if not none.get(key)
    ]


def clock(seconds: float | None) -> str:
    """Write seconds of a story as people say them."""
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def table(summaries: Sequence[Mapping[str, Any]]) -> str:
    """Give the table as Markdown."""
    lines = [COLUMNS, ("---",) * len(COLUMNS), *(row for one in summaries for row in rows(one))]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def main() -> None:
    """Run all, print the table, and write it into the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--phones", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=12)
    parser.add_argument("--check", action="store_true", help="write nothing")
    asked = parser.parse_args()
    found = table([run(name, phones=asked.phones, seconds=asked.seconds) for name in STORIES])
    found += (
        f"\n{asked.phones} phones of each carrier, {asked.seconds:g} s for each story; "
        f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.machine()}.\n"
    )
    sys.stdout.write(found)
    if not asked.check:
        before, _, rest = PAGE.read_text("utf-8").partition(BEGIN)
        _, _, after = rest.partition(END)
        PAGE.write_text(before + BEGIN + found + END + after, "utf-8")


if __name__ == "__main__":
    main()
