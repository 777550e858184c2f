"""T21: nothing that the gateway prints, logs, backs up or hands out holds a secret."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from cbgateway.cli.main import app
from cbgateway.home import read_backup
from tests.conftest import ENGLISH, KOREAN

PASSWORD = "Kan4ry-7"
DOCUMENT: dict[str, Any] = {
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
    "texts": {"ko": KOREAN, "en": ENGLISH},
    "next_update": "PT30M",
}


def run(*arguments: object) -> str:
    """Run a command; give all that it prints."""
    return CliRunner().invoke(app, list(map(str, arguments))).output


@contextmanager
def running(said: list[str], *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """Have a process run for a while; keeps all that it printed."""
    process = subprocess.Popen(
        [sys.executable, "-m", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.terminate()
        said.append(process.communicate(timeout=20)[0])


def secrets_of(home: Path) -> list[str]:
    """Give the password, and each line of each private key."""
    lines = [
        line
        for path in (home / "keys").rglob("*.pem")
        for line in path.read_text("ascii").splitlines()
        if not line.startswith("-----")
    ]
    assert len(lines) >= 20, "a key for each region, person and for the history"
    return [PASSWORD, *lines]


def test_t21_no_secret_is_said_anywhere(tmp_path: Path) -> None:
    """From the first command to the last: outputs, logs of a bind, refusals, history and backup."""
    home, document = tmp_path / "home", tmp_path / "first.json"
    where = ("--home", home)
    document.write_text(json.dumps(DOCUMENT), "utf-8")
    said = [run("init", *where, "--carrier", "kt")]
    password = home / "secrets" / "kt.password"
    password.write_text(PASSWORD, "ascii")
    for name, right in (("alice", "--submit"), ("bob", "--approve")):
        said.append(run("keys", "new", name, right, "--region", "KR", *where))
    settings = home / "cbgateway.toml"

    centre = ("cbsim", "smsc", "--carrier", "kt", "--port", 0, "--system-id", "cbgateway", "--json")
    with running([], *centre, "--password-file", password) as process:
        assert process.stdout is not None
        port = json.loads(process.stdout.readline())["port"]
        settings.write_text(settings.read_text("utf-8").replace("port = 2775", f"port = {port}"))
        with running(said, "cbgateway", "serve", *where):
            alice, bob = (home / "keys" / "people" / f"{name}.pem" for name in ("alice", "bob"))
            approve = ("bulletin", "approve", "inc-1/1", "--key")
            said.append(run("bulletin", "submit", document, "--key", alice, *where))
            said.append(run(*approve, alice, "--yes", *where))
            said.append(run(*approve, bob, "--yes", "--wait", 20, *where))
    commands = (
        ("status",),
        ("status", "--json"),
        ("doctor", "--json"),
        ("bulletin", "show", "inc-1/1", "--json"),
        ("keys", "list", "--json"),
        ("keys", "export"),
        ("audit", "show", "--json"),
        ("audit", "verify"),
        ("backup", tmp_path / "backup.tar"),
        ("bulletin", "submit", password, "--key", password),
    )
    said += [run(*command, *where) for command in commands]
    _, members = read_backup(tmp_path / "backup.tar")
    everything = "\n".join(said) + "".join(octets.decode("latin-1") for octets in members.values())

    assert '"state": "acked"' in everything, "it was sent, so that the password was used"
    assert "permission" in everything, "alice has tried"
    assert [secret for secret in secrets_of(home) if secret in everything] == []
