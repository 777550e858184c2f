"""docs/simulator.md shows what there is: its commands, files and names are tried."""

import http.client
import re
import shlex
import subprocess
import sys
import tomllib
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from typer.testing import CliRunner

from cbsim import smsc_cli
from cbsim.cli import app
from cbsim.config import Centre, Configuration
from cbsim.control import Control
from cbsim.expect import load_expectations
from cbsim.faults import FAULTS
from cbsim.running import RunningCentre
from cbsim.scenario import Scenario
from cbsim.settings import listing
from cbsim.watch import Watch

PAGE = (Path(__file__).parents[3] / "docs" / "simulator.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
COMMANDS = [text.strip() for kind, text in BLOCKS if not kind and text.startswith("cbsim smsc")]
FILES = [text for kind, text in BLOCKS if kind == "toml" and "[[expect]]" not in text]
EXPECTED = [text for kind, text in BLOCKS if kind == "toml" and "[[expect]]" in text]
TESTS = [text for kind, text in BLOCKS if kind == "python"]


@pytest.mark.parametrize("command", COMMANDS)
def test_command_is_understood(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is read to the end, with the files of the page, up to where the centre would start."""
    seen: list[Any] = []
    for name in re.findall(r"^# (\w+\.toml)$", PAGE, re.MULTILINE):
        (text,) = [one for one in FILES + EXPECTED if one.startswith(f"# {name}\n")]
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        smsc_cli, "_run", lambda configuration, *_, **__: seen.append(configuration)
    )
    arguments = shlex.split(command.replace("\\\n", " "))

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


@pytest.mark.parametrize("text", EXPECTED)
def test_expectations_are_read(text: str, tmp_path: Path) -> None:
    """With all four kinds."""
    path = tmp_path / "wanted.toml"
    path.write_text(text)

    assert {one.kind for one in load_expectations(path).wanted} == {
        "event",
        "pdu",
        "message",
        "counter",
    }


def test_example_of_a_test_passes(tmp_path: Path) -> None:
    """As it stands on the page, run by pytest."""
    (text,) = TESTS
    (tmp_path / "test_client.py").write_text(text)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout.splitlines()[-1][:8]) == (0, "2 passed")


def test_every_route_is_named() -> None:
    """The table has all of them, and none that is not there."""
    table = PAGE.partition("## Look on")[2].partition("\n## ")[0]

    with RunningCentre() as smsc:
        routes = smsc.call(lambda centre: Control(centre, Watch(centre.now_s), list)._routes)
    assert sorted(f"{method} {path}" for method, path in routes) == sorted(
        re.findall(r"`((?:GET|PUT|POST|PATCH) /\S*)`", table)
    )


def test_requests_of_the_page_are_answered() -> None:
    """Each curl is sent, to a centre on another port."""
    asked = re.findall(r"^curl (.*)$", PAGE, re.MULTILINE)

    with RunningCentre({"web": "0"}) as smsc:
        statuses = [send(smsc.web, *shlex.split(line)) for line in asked]
    assert statuses == [200, 200, 202, 200]


def send(web: str, *arguments: str) -> int:
    """Do what curl would."""
    options = dict(zip(arguments[:-1:2], arguments[1::2], strict=False))
    where = urlsplit(web)
    connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=10)
    with closing(connection):
        target = urlsplit(arguments[-1])
        path = target.path + (f"?{target.query}" if target.query else "")
        headers = dict([options["-H"].split(": ")]) if "-H" in options else {}
        connection.request(options.get("-X", "GET"), path, options.get("-d"), headers)
        return connection.getresponse().status
