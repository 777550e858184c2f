"""docs/howto/automate-over-http.md does what it says, against a gateway that really serves."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cbgateway.app import SystemClock, init_home
from cbgateway.domain.bulletin import Mode

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "howto" / "automate-over-http.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(sh|python)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
TIMEOUT_S = 120


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """Serve a new gateway over HTTP, as an operator does; gives its folder and address."""
    home = tmp_path / "home"
    init_home(home, mode=Mode.TEST, country="kr", ports={"kt": 1}, clock=SystemClock())
    with (home / "cbgateway.toml").open("a", encoding="utf-8") as file:
        file.write("\n[http]\nport = 0\n")
    process = subprocess.Popen(
        [sys.executable, "-m", "cbgateway", "serve", "--home", str(home)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    line = next(line for line in process.stderr if '"http listens"' in line)
    yield home, f"http://{json.loads(line)['address']}"
    process.terminate()
    _, rest = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0, rest


@pytest.mark.skipif(
    any(shutil.which(tool) is None for tool in ("bash", "curl", "jq")), reason="needs curl and jq"
)
def test_page_runs(served: tuple[Path, str], tmp_path: Path) -> None:
    """Every block in its order, in one shell; the first that fails ends it."""
    home, url = served
    scripts = []
    for kind, text in BLOCKS:
        if kind == "python":
            (tmp_path / "client.py").write_text(text, "utf-8")
            scripts.append(f"{sys.executable} client.py >client.json")
        else:
            scripts.append(text)
    command = "\n".join(["set -euo pipefail", *scripts])
    folder = str(Path(sys.executable).parent)
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=tmp_path,
        env=os.environ
        | {"HOME_DIR": str(home), "URL": url, "PATH": f"{folder}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert len(BLOCKS) >= 6
    assert json.loads((tmp_path / "client.json").read_text("utf-8"))["effect"] == "joined"
