"""The operator's guide does what it says: every command of it, in order, in a folder of its own."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
TIMEOUT_S = 400
PORTS = ("2775", "2776", "2777")
"""What `init` gives three carriers; the test runs beside others and takes free ones."""


def free_ports(count: int) -> list[str]:
    """Give ports that nobody listens on."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [str(one.getsockname()[1]) for one in sockets]


def script() -> str:
    """Give the guide's commands as one script that ends at the first that fails."""
    blocks = BLOCK.findall((ROOT / "docs" / "guide.md").read_text("utf-8"))
    assert len(blocks) >= 20
    for port, free in zip(PORTS, free_ports(len(PORTS)), strict=True):
        blocks = [text.replace(f"--port {port}", f"--port {free}") for text in blocks]
        blocks[0] += f"sed -i 's/port = {port}/port = {free}/' lab/cbgateway.toml\n"
    marked = [f"echo '=== {number}'\n{text}" for number, text in enumerate(blocks)]
    return "\n".join(["set -euo pipefail", *marked, "echo '=== end'"])


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Run the whole guide; gives what each block has printed."""
    folder = tmp_path_factory.mktemp("guide")
    shutil.copytree(ROOT / "profiles", folder / "profiles")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    with (folder / "output").open("w+b") as output:
        process = subprocess.Popen(
            ["bash", "-c", script()],
            cwd=folder,
            env=os.environ | {"PATH": path, "COLUMNS": "120", "TERM": "dumb"},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            status = process.wait(TIMEOUT_S)
        finally:
            with suppress(ProcessLookupError):  # the guide ends what it has started
                os.killpg(process.pid, signal.SIGKILL)
        output.seek(0)
        text = output.read().decode()
    assert status == 0, text[-4000:]
    parts = re.split(r"^=== (\w+)\n", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


SAID = {
    "all sound": "1",
    "112: confirmed": "3",
    "kt: passed in": "4",
    "test gateway lab is served": "4",
    "Nothing found.": "5",
    "cause-unverified: ": "5",
    "contact-not-verified: '1588-0010'": "5",
    "does not work while the network of 'kt' is down": "5",
    "warning: blame in 'ko'": "5",
    "Now somebody else: cbgateway bulletin approve kt-1/1": "6",
    "reach, kt: neighbour_or_roaming": "7",
    "reach, skt: assured": "7",
    "kt: 2 acked; skt: 2 acked; lguplus: 2 acked": "7",
    "missed": "9",
    "kt-1/3 heartbeat (Update), class safety, KR-26: live": "9",
    "1. I am sorry for the trouble.": "10",
    "read by 1 of 2; not yet: desk 2": "10",
    "is ours: kt-1/3, holds": "11",
    "code-unknown: ": "11",
    "noted: 카드 결제는 언제 되나요": "12",
    "no carriers under [enquiries]": "12",
    "kt: 2 intent; skt: 2 acked; lguplus: 2 acked": "13",
    "exit code 4": "13",
    "kt: nothing open": "14",
    "test gateway lab is not served": "15",
    "restored what was backed up at": "16",
    "kt-1/5 restored (Update), class safety, KR-26: live": "17",
    "skt-1/3 withdrawal (Cancel), class safety, KR-49: live": "18",
    "kt-1: postmortem": "19",
    "compensation notice due": "19",
    "drill-says-real: text in 'ko' of an exercise says '실제상황'": "20",
    "kt-2021 25 October 2021": "20",
}
"""What the guide says that is printed, with the block that prints it."""


@pytest.mark.parametrize("words", SAID)
def test_guide_runs_and_prints_what_it_says(shown: dict[str, str], words: str) -> None:
    """Against simulated carriers, one of which hangs, and a gateway that dies in between."""
    assert words in shown[SAID[words]]
