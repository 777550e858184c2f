"""The process: its log lines, its failpoints, and how `serve` ends when the disk fails."""

import gc
import io
import json
import os
import signal
import sys

import pytest
from loguru import logger

from cbgateway.domain import failpoints
from cbgateway.domain.bulletin import Mode
from cbgateway.domain.errors import ConfigurationError
from cbgateway.preflight import FAILPOINTS_VARIABLE
from cbgateway.process import (
    SWITCH_INTERVAL_S,
    arm_failpoints,
    configure_logging,
    shorten_pauses,
)


@pytest.fixture
def log() -> io.StringIO:
    """Give a log that begins empty; afterwards records go to standard error again."""
    stream = io.StringIO()
    configure_logging(Mode.EXERCISE, stream)
    yield stream
    logger.remove()
    logger.configure(extra={})
    logger.add(sys.stderr)


def test_what_stays_is_collected_no_more() -> None:
    """Garbage is looked for among what came later; threads give way soon."""
    interval_s = sys.getswitchinterval()
    try:
        shorten_pauses()

        assert gc.get_freeze_count() > 0
        assert sys.getswitchinterval() == SWITCH_INTERVAL_S
    finally:
        gc.unfreeze()
        sys.setswitchinterval(interval_s)


@pytest.mark.parametrize(
    "text",
    ["plain", "two\nlines\r\n", "\u2028\u2029\x85\x0b", "\x1b[2J", "\u202etxt", "\ud800", "{}"],
)
def test_record_is_one_line_of_json_with_its_mode(log: io.StringIO, text: str) -> None:
    """Whatever is in it, even what would end a line or turn it around."""
    logger.bind(peer=text).warning("said {}", text)

    written = log.getvalue()
    line = json.loads(written)
    assert (written.count("\n"), len(written.splitlines()), written.isascii()) == (1, 1, True)
    assert line["message"] == f"said {text}"
    assert (line["mode"], line["level"], line["peer"]) == ("exercise", "WARNING", text)
    assert line["at"].endswith("+00:00")
    assert "exception" not in line


def test_exception_is_named_and_secrets_are_not(log: io.StringIO) -> None:
    """The kind of error, and not the values around it."""
    password = "hunter2"
    try:
        int(password)
    except ValueError:
        logger.exception("failed")

    line = json.loads(log.getvalue())
    assert line["exception"] == "<class 'ValueError'>"
    assert password not in log.getvalue()


def test_what_is_below_information_is_left_out(log: io.StringIO) -> None:
    """Debugging is for developers."""
    logger.debug("inner")

    assert log.getvalue() == ""


@pytest.fixture
def killed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Give what was killed, and disarm in the end."""
    found: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: found.append((pid, number)))
    yield found
    failpoints.arm(None)


@pytest.mark.parametrize(
    ("setting", "passes"), [("send.begun", 0), ("send.begun:0", 0), ("send.begun:3", 3)]
)
def test_process_kills_itself_at_a_failpoint(
    monkeypatch: pytest.MonkeyPatch, killed: list[tuple[int, int]], setting: str, passes: int
) -> None:
    """After as many passings as were asked for; other failpoints do not count."""
    monkeypatch.setenv(FAILPOINTS_VARIABLE, setting)
    arm_failpoints(Mode.TEST)

    for _ in range(passes):
        failpoints.passing("send.begun")
        failpoints.passing("send.answered")
    assert killed == []
    failpoints.passing("send.begun")
    assert killed == [(os.getpid(), signal.SIGKILL)]


@pytest.mark.parametrize(
    "setting", ["nowhere", "send.begun:x", "send.begun:-1", "send.begun:²", ":1"]
)
def test_unknown_failpoint_is_refused(
    monkeypatch: pytest.MonkeyPatch, killed: list[tuple[int, int]], setting: str
) -> None:
    """A campaign that would stop nowhere says so; the known ones are listed."""
    monkeypatch.setenv(FAILPOINTS_VARIABLE, setting)

    with pytest.raises(ConfigurationError, match="known are serial.claimed"):
        arm_failpoints(Mode.TEST)
    failpoints.passing("send.begun")
    assert killed == []


def test_mode_live_has_no_failpoints(
    monkeypatch: pytest.MonkeyPatch, killed: list[tuple[int, int]]
) -> None:
    """Nothing stops a live gateway on purpose."""
    monkeypatch.setenv(FAILPOINTS_VARIABLE, "send.begun")

    with pytest.raises(ConfigurationError, match="stop on purpose"):
        arm_failpoints(Mode.LIVE)
    failpoints.passing("send.begun")
    assert killed == []


def test_nothing_is_armed_without_being_asked(
    monkeypatch: pytest.MonkeyPatch, killed: list[tuple[int, int]]
) -> None:
    """The usual case, in every mode."""
    monkeypatch.delenv(FAILPOINTS_VARIABLE, raising=False)
    for mode in Mode:
        arm_failpoints(mode)

    failpoints.passing("send.begun")
    assert killed == []
