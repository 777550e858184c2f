"""A few storms in every test run; `make storm` runs many."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


def storm(*arguments: str) -> Any:
    """Run storms in a process of their own; gives exit code and summary."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.storm", "--json", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, json.loads(done.stdout), done.stderr


def test_one_seed_is_one_run() -> None:
    """Nothing is lost, and a run repeats itself to the last fault."""
    code, first, errors = storm("--seeds", "6")
    _, second, _ = storm("--seeds", "6")

    assert code == 0, errors
    assert first["bulletins"] > 0
    assert first["crashes"] > 0
    assert sum(first["faults"].values()) > 0
    del first["seconds"], second["seconds"]
    assert first == second


@pytest.mark.parametrize(
    ("planted", "words"),
    [("update-without-replacing", "on air:"), ("reuse-serial", "for two texts")],
)
def test_planted_fault_is_found(planted: str, words: str) -> None:
    """A storm that finds nothing would be a storm that sees nothing; `make planted` has more."""
    code, summary, errors = storm("--seeds", "3", "--plant", planted)

    assert code == 0
    assert summary["failed"]
    assert words in errors
