"""Outside peers as processes, each ended by its own process at the end of its test."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

PEERS = Path(__file__).parent / "peers"
END_TIMEOUT_S = 20


class Process:
    """A process that prints JSON, a line each."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.lines: list[dict[str, Any]] = []

    def line(self, is_wanted: Callable[[dict[str, Any]], bool] = lambda _: True) -> dict[str, Any]:
        """Read until a line is as wanted."""
        assert self._process.stdout is not None
        for text in self._process.stdout:
            line: dict[str, Any] = json.loads(text)
            self.lines.append(line)
            if is_wanted(line):
                return line
        pytest.fail(f"the process ended before telling; it told {self.lines}")

    def end(self) -> None:
        """Ask it to end and wait for that."""
        self._process.terminate()
        self._process.communicate(timeout=END_TIMEOUT_S)


@pytest.fixture
def start() -> Iterator[Callable[..., Process]]:
    """Give a starter of processes."""
    started: list[Process] = []

    def run(*command: object) -> Process:
        process = subprocess.Popen([str(one) for one in command], stdout=subprocess.PIPE, text=True)
        started.append(Process(process))
        return started[-1]

    yield run
    for one in started:
        one.end()


@pytest.fixture
def node() -> tuple[str, Path]:
    """Give Node.js and the folder of the peers' scripts; `make peers` installs both."""
    found = shutil.which("node")
    assert found, "no node; run `make peers`"
    assert (PEERS / "node_modules" / "smpp").is_dir(), "no npm smpp; run `make peers`"
    return found, PEERS


@pytest.fixture
def tshark() -> str:
    """Give tshark; `make peers` installs it."""
    found = shutil.which("tshark")
    assert found, "no tshark; run `make peers`"
    return found


@pytest.fixture
def command() -> Callable[..., tuple[str, ...]]:
    """Give how our own commands are started."""
    return lambda module, *arguments: (sys.executable, "-m", module, *map(str, arguments))
