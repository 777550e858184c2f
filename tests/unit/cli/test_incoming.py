"""`cbgateway incoming`: what subscribers wrote is listed, and taken once."""

import json
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from cbgateway.cli.main import app
from cbgateway.domain.incoming import IncomingMessage


def run(*arguments: object) -> str:
    """Run a command that has to go well."""
    result = CliRunner().invoke(app, [str(one) for one in arguments])
    assert result.exit_code == 0, result.output
    return result.output


def keep(office: Any, *texts: str) -> Path:
    """Have messages come; gives where the gateway lives."""
    with office.gateway.store.transaction() as tx:
        for text in texts:
            message = IncomingMessage("821012345678", "1004", text, 1, 2, 7)
            tx.add_message("kt", message, at=office.clock.now())
    home: Path = office.gateway.home
    return home


def test_messages_are_listed(office: Any) -> None:
    """With everything that is known of them, and nothing that steers the terminal."""
    home = keep(office, "상태", "\x1b[2J")

    (first, second) = json.loads(run("incoming", "list", "--home", home, "--json"))
    shown = run("incoming", "list", "--home", home, "--limit", 1)

    assert first == {
        "number": 1,
        "carrier": "kt",
        "received_at": "2021-10-25T03:00:00+00:00",
        "source": "821012345678",
        "destination": "1004",
        "text": "상태",
        "part": 1,
        "parts": 2,
        "reference": 7,
    }
    assert second["text"] == "\x1b[2J"
    assert "1 more" in shown
    assert "\x1b" not in run("incoming", "list", "--home", home)


def test_messages_are_taken_once(office: Any) -> None:
    """Printed, then forgotten, the oldest first."""
    home = keep(office, "one", "two", "three")

    assert "1 kt 821012345678: one" in run("incoming", "take", "--home", home, "--limit", 1)
    taken = json.loads(run("incoming", "take", "--home", home, "--json"))

    assert [one["text"] for one in taken] == ["two", "three"]
    assert "No messages wait" in run("incoming", "list", "--home", home)
