"""A centre inside a test, and as the command: expectations, files, exit codes."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cbgateway.codec import smpp
from cbsim.cli import app
from cbsim.running import RunningCentre
from cbsim.settings import SettingsError

pytest_plugins = ["cbsim.pytest_plugin"]

PATIENCE_S = 20
BIND = smpp.encode(smpp.Pdu(smpp.BindTransceiver(system_id="shop"), 1))
SUBMIT = smpp.encode(
    smpp.Pdu(smpp.SubmitSm(destination=smpp.Address(1, 1, "821000000001"), short_message=b"hi"), 2)
)


def send(host: str, port: int, octets: bytes) -> socket.socket:
    """Connect and send."""
    connection = socket.create_connection((host, port), PATIENCE_S)
    connection.sendall(octets)
    return connection


def test_fixture_gives_a_centre(smsc: RunningCentre) -> None:
    """What arrives can be waited for and looked at; behaviour can be changed."""
    with send(smsc.host, smsc.port, BIND + SUBMIT) as esme:
        (message,) = smsc.wait_for(lambda: smsc.messages(destination="82*"))
        assert (message["text"], message["state"]) == ("hi", "DELIVERED")
        assert smsc.screen("821000000001") == ["hi"]
        assert [one["system_id"] for one in smsc.events("bound")] == ["shop"]
        smsc.fault("throttled")
        esme.sendall(SUBMIT)
        smsc.wait_for(lambda: smsc.pdus("submit_sm_resp", status="ESME_RTHROTTLED"))
        assert smsc.counters()["throttled"] == 1
        assert smsc.incoming("STOP", source="821000000001") == 1
        assert smsc.wait_for(lambda: smsc.pdus("deliver_sm"))[0]["text"] == "STOP"
        smsc.restart(keeps_messages=False)
        assert smsc.messages() == []


def test_fixture_starts_centres_with_settings(start_smsc: Callable[..., RunningCentre]) -> None:
    """Several at a time, each on a port of its own."""
    one, other = start_smsc({"name": "one"}), start_smsc({"states": {"undeliv": 1.0}}, phones=1)

    assert one.port != other.port
    with send(other.host, other.port, BIND + SUBMIT):
        other.wait_for(lambda: other.messages(state="UNDELIVERABLE"))
    assert one.messages() == []


def test_what_does_not_come_is_told_with_what_came(smsc: RunningCentre) -> None:
    """So that the test's failure explains itself."""
    with (
        send(smsc.host, smsc.port, BIND),
        pytest.raises(TimeoutError, match=r"nothing within 0.2 s; so far: \['ready'.*'bound'\]"),
    ):
        smsc.wait_for(lambda: smsc.messages() if smsc.events("bound") else [], seconds=0.2)


def test_wrong_settings_and_taken_ports_are_told(smsc: RunningCentre) -> None:
    """Before the context begins."""
    with pytest.raises(SettingsError, match="nme is not known"):
        RunningCentre({"nme": "x"})
    with pytest.raises(OSError, match="in use"), RunningCentre({"port": smsc.port}):
        pass
    with pytest.raises(SettingsError):
        smsc.fault("throttle")


class Command:
    """`cbsim smsc` as a process."""

    def __init__(self, *arguments: object) -> None:
        command = [sys.executable, "-m", "cbsim", "smsc", "--port", "0", "--json"]
        self.process = subprocess.Popen(
            [*command, *map(str, arguments)], stdout=subprocess.PIPE, text=True
        )
        self.ready = self.line()

    def line(self) -> dict[str, Any]:
        """Give the next event."""
        assert self.process.stdout is not None
        event: dict[str, Any] = json.loads(self.process.stdout.readline())
        return event

    def end(self) -> tuple[int, list[dict[str, Any]]]:
        """Wait for its end; gives its exit code and what it told."""
        out, _ = self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode, [json.loads(line) for line in out.splitlines()]


WANTED = """
within_s = 15
settle_s = 0.2

[[expect]]
message = "DELIVERED"
where = { destination = "82*" }
count = 1

[[expect]]
counter = "wrong"
count = 0
"""


def test_expectations_decide_the_exit_code(tmp_path: Path) -> None:
    """The run ends by itself when everything has come; files hold what happened."""
    wanted, lines, packets = (tmp_path / name for name in ("wanted.toml", "a.jsonl", "a.pcap"))
    wanted.write_text(WANTED)
    command = Command("--expect", wanted, "--events", lines, "--pcap", packets, "--web", "0")
    with send("127.0.0.1", command.ready["port"], BIND + SUBMIT):
        code, told = command.end()

    assert code == 0
    assert told[-1]["event"] == "verdict"
    assert told[-1]["passed"] is True
    assert [one["found"] for one in told[-1]["expectations"]] == [1, 0]
    assert command.ready["web"].startswith("http://127.0.0.1:")
    events = [json.loads(line)["event"] for line in lines.read_text().splitlines()]
    assert {"ready", "bound", "pdu", "message", "shown"} <= set(events)
    assert packets.read_bytes()[:4] == bytes.fromhex("d4c3b2a1")


def test_what_has_not_come_fails_the_run(tmp_path: Path) -> None:
    """Also when somebody stops it."""
    wanted = tmp_path / "wanted.toml"
    wanted.write_text(WANTED.replace("within_s = 15", ""))
    command = Command("--expect", wanted)
    os.kill(command.process.pid, signal.SIGTERM)
    code, told = command.end()

    assert (code, told[-1]["passed"]) == (1, False)
    assert told[-1]["expectations"][0] == {
        "expected": "message DELIVERED where destination 82*: 1",
        "found": 0,
        "holds": False,
    }


def test_people_read_the_verdict(tmp_path: Path) -> None:
    """One line for each expectation."""
    wanted = tmp_path / "wanted.toml"
    wanted.write_text('within_s = 0.1\n[[expect]]\nevent = "bound"\n')
    done = CliRunner().invoke(app, ["smsc", "--port", "0", "--expect", str(wanted)])

    assert done.exit_code == 1
    assert done.output.splitlines()[-1] == "cbsim: FAILS event bound: 1 or more, found 0"


def test_trace_tells_every_pdu() -> None:
    """With its command, status, number and octets."""
    command = Command("--trace")
    with send("127.0.0.1", command.ready["port"], BIND):
        told = [command.line() for _ in range(3)]
    os.kill(command.process.pid, signal.SIGTERM)
    command.end()

    assert [(one["event"], one.get("pdu")) for one in told] == [
        ("pdu", "bind_transceiver"),
        ("bound", None),
        ("pdu", "bind_transceiver_resp"),
    ]
    assert told[0]["octets"] == BIND.hex()


@pytest.mark.parametrize(
    ("arguments", "words", "code"),
    [
        (["--web", "nowhere"], "'nowhere' is not [HOST:]PORT", 2),
        (["--expect", "/nowhere.toml"], "/nowhere.toml", 2),
        (["--events", "/nowhere/a.jsonl"], "/nowhere/a.jsonl", 2),
        (["--web", "256.256.256.256:1"], "256.256.256.256:1: ", 69),
    ],
)
def test_command_says_what_is_wrong(arguments: list[str], words: str, code: int) -> None:
    """In one line, by its exit code."""
    done = CliRunner().invoke(app, ["smsc", "--port", "0", *arguments])

    assert (done.exit_code, words in done.stderr) == (code, True)
