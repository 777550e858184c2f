"""What the bad-input catalogue shares: commands run in this process, and what a clean refusal is.

The numbers in the ids of the tests are those of the catalogue. A refusal is clean when it has a
stable name and exit code, says in one line what is wrong, and has stored nothing.
"""

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw
from click.testing import Result
from typer.testing import CliRunner

from cbgateway.cli.main import app

REFUSED_WITHIN_S = 1.0
DETAIL_CHARACTERS_MAX = 4_000
FIRST: Mapping[str, Any] = {
    "schema": 1,
    "identifier": "b-1",
    "sender": "alice",
    "incident": {
        "id": "inc-1",
        "carrier": "kt",
        "services": ["voice"],
        "started_at": "2021-10-25T11:16:00+09:00",
    },
    "kind": "first",
    "regions": ["KR-26"],
    "texts": {"ko": "[과기정통부] 통신 장애", "en": "[MSIT] Outage"},
    "next_update": "PT30M",
}
"""A sound first bulletin."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """How something bad is refused.

    Attributes:
        code: name of the error.
        status: exit code.
        words: a regular expression that is found in what is said.
    """

    code: str
    status: int
    words: str


def invalid(words: str) -> Refusal:
    """Give the refusal of what does not have the form that is read."""
    return Refusal("input-invalid", 2, words)


def command(*arguments: object) -> Result:
    """Run a command of the gateway."""
    return CliRunner().invoke(app, [str(one) for one in arguments])


def done(*arguments: object) -> Any:
    """Run a command that ends well, and read what it printed."""
    result = command(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def check_refused(refusal: Refusal, *arguments: object) -> dict[str, Any]:
    """Run a command that is refused, and check that the refusal is clean; gives the problem."""
    began_s = time.process_time()
    result = command(*arguments, "--json")

    assert time.process_time() - began_s < REFUSED_WITHIN_S
    assert isinstance(result.exception, SystemExit), repr(result.exception)
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    problem: dict[str, Any] = json.loads(line)
    assert problem["type"] == f"urn:cbgateway:problem:{refusal.code}", problem
    assert (result.exit_code, problem["exit_code"]) == (refusal.status, refusal.status), problem
    assert re.search(refusal.words, problem["detail"]), problem["detail"]
    assert len(problem["detail"]) < DETAIL_CHARACTERS_MAX
    return problem


def make_home(home: Path, *, mode: str = "test") -> Path:
    """Make a gateway by its own commands, with alice who submits and bob who approves."""
    done("init", "--home", home, "--mode", mode)
    for name, role in (("alice", "--submit"), ("bob", "--approve")):
        done("keys", "new", name, role, "--region", "KR", "--home", home)
    return home


def key_of(home: Path, name: str) -> Path:
    """Give where somebody's key is."""
    return home / "keys" / "people" / f"{name}.pem"


def tally(home: Path) -> dict[str, int]:
    """Count the rows of every table: bulletins, incidents, deliveries, history and all others."""
    connection = apsw.Connection(str(home / "cbgateway.db"), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        tables = [
            name
            for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        ]
        counts = {
            name: connection.execute(f'SELECT count(*) FROM "{name}"').get  # noqa: S608 - our own names
            for name in tables
        }
    finally:
        connection.close()
    return counts
