"""A few of the faults in every test run; `make fault-matrix` runs all of them."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
NAMES = ("lost-answer", "throttled", "reset", "bind-password", "length-4g", "restart-empty")


def test_some_faults_cost_nothing() -> None:
    """Each happens, with and without a kill, and everything holds that holds after a storm."""
    faults = [one for name in NAMES for one in ("--fault", name)]
    done = subprocess.run(
        [sys.executable, "-m", "tests.storm.matrix", "--json", *faults],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    runs = json.loads(done.stdout)

    assert [one for one in runs if one["problems"]] == [], done.stderr
    assert [(one["fault"], one["is_killed"]) for one in runs] == [
        (name, is_killed) for name in NAMES for is_killed in (False, True)
    ]
    assert all(one["happened"] for one in runs)
