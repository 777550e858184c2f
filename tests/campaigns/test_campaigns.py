"""The campaigns themselves, cut short; `make campaigns` runs them in full."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.campaigns import power

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("synchronous", ["full", "normal", "off"])
def test_power_cuts(synchronous: str, capsys: pytest.CaptureFixture[str]) -> None:
    """As the gateway syncs, nothing is lost; any other way the campaign has to see that it is."""
    arguments = ["--images", "60", "--steps", "3", "--synchronous", synchronous, "--json"]
    code = power.main(arguments)
    report: Any = json.loads(capsys.readouterr().out)

    assert code == 0
    assert report["verdict"] == "as expected"
    assert report["images"] == 60
    assert (report["lost"] + report["corrupt"] == 0) is (synchronous == "full")


def test_kills() -> None:
    """Two kills, and everything that was accepted is there."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.campaigns.kill", "--kills", "2", "--fork"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    report = json.loads(done.stdout)

    assert done.returncode == 0, report["problems"]
    assert report["kills"] == 2
    assert report["lost"] == 0
    assert report["worst_repeat"] <= 2


def test_kills_around_http() -> None:
    """Two kills while machines submit; whoever was answered is there, once."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.campaigns.kill_http", "--kills", "2", "--fork"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    report = json.loads(done.stdout)

    assert done.returncode == 0, report["problems"]
    assert (report["kills"], report["lost"]) == (2, 0)
    assert report["accepted"] > 0
