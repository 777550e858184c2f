"""docs/simulator.md shows what there is: its commands, files and names are tried."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cbsim import smsc_cli
from cbsim.cli import app
from cbsim.config import Centre, Configuration
from cbsim.faults import FAULTS
from cbsim.scenario import Scenario
from cbsim.settings import listing

PAGE = (Path(__file__).parents[3] / "docs" / "simulator.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
COMMANDS = [text.strip() for kind, text in BLOCKS if not kind and text.startswith("cbsim smsc")]
FILES = [text for kind, text in BLOCKS if kind == "toml"]


@pytest.mark.parametrize("command", COMMANDS)
def test_command_is_understood(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is read to the end, with the files of the page, up to where the centre would start."""
    seen: list[Any] = []
    for name in re.findall(r"^# (\w+\.toml)$", PAGE, re.MULTILINE):
        (text,) = [one for one in FILES if one.startswith(f"# {name}\n")]
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        smsc_cli, "_run", lambda configuration, *_, **__: seen.append(configuration)
    )
    arguments = [one.strip('"') for one in re.findall(r'"[^"]*"|\S+', command)]

    done = CliRunner().invoke(app, arguments[1:])

    assert (done.exit_code, done.stderr, len(seen)) == (0, "", 1)


@pytest.mark.parametrize("text", FILES)
def test_file_is_a_configuration(text: str) -> None:
    """Each is accepted whole, and changes something."""
    assert Configuration().changed(tomllib.loads(text)) != Configuration()


def test_every_fault_is_named_once() -> None:
    """The table has all of them, and none that is not there."""
    table = PAGE.partition("## Faults")[2].partition("\n## ")[0]
    named = re.findall(r"`([a-z0-9-]+)`", "\n".join(re.findall(r"^\|.*\|$", table, re.MULTILINE)))

    assert sorted(FAULTS) == sorted(named)


def test_settings_that_are_named_exist() -> None:
    """Whatever looks like group.key is a setting; most settings that can be played are named."""
    known = {name for kind in (Centre, Scenario) for name, _, _ in listing(kind)}
    groups = "|".join({name.partition(".")[0] for name in known if "." in name})
    named = set(re.findall(rf"`((?:{groups})\.\w+)`", PAGE))

    assert named - known == set()
    assert len(named) > 30
