"""README.md and docs/mqtt.md do what they say, as they stand, in a network of their own.

Ports are those of the pages: each page runs in a network namespace with nothing but loopback.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.integration.brokers import DOCS

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 240
BLOCK = re.compile(r"^```(sh|toml)\n(.*?)^```", re.MULTILINE | re.DOTALL)
SECTION = re.compile(r"^## (.+?)\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
NETWORK = ("unshare", "--net", *(("--map-root-user",) if os.geteuid() else ()))
LOOPBACK = "ip link set lo up"
ENDING = "trap 'kill $(jobs -p) 2>/dev/null; wait' EXIT"


def blocks(page: Path, *sections: str) -> list[tuple[str, str]]:
    """Give kind and text of every block of some sections, in their order."""
    found = dict(SECTION.findall(page.read_text("utf-8")))
    return [block for name in sections for block in BLOCK.findall(found[name])]


def broker(folder: Path) -> None:
    """Write the configuration of docs/ for a broker in a folder."""
    folder.mkdir()
    text = (DOCS / "mosquitto.conf").read_text("utf-8")
    text = text.replace("/etc/mosquitto/", f"{folder}/").replace(
        "/var/lib/mosquitto/", f"{folder}/"
    )
    (folder / "mosquitto.conf").write_text(f"{text}\nuser root\n", "utf-8")
    shutil.copy(DOCS / "mosquitto.acl", folder / "cbgateway.acl")
    (folder / "cbgateway.passwd").touch(mode=0o600)


def run(folder: Path, *parts: str, **environment: str) -> str:
    """Run the parts in one shell, in a network of its own; gives what it printed."""
    script = "\n".join(["set -euo pipefail", LOOPBACK, ENDING, *parts])
    done = subprocess.run(
        [*NETWORK, "bash", "-c", script],
        cwd=folder,
        env=os.environ
        | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        | environment,
        input="y\n",  # what bob answers when he is asked whether to send it
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def read(path: Path) -> Any:
    """Read what a block has left."""
    return json.loads(path.read_text("utf-8"))


def test_page_of_mqtt_runs(tmp_path: Path) -> None:
    """The broker with the files of docs/, `mqtt publish`, mosquitto_pub of 3.1.1, thirty lines."""
    folder, home = tmp_path / "broker", tmp_path / "lab"
    broker(folder)
    setup, asking = blocks(DOCS / "mqtt.md", "Set up"), blocks(DOCS / "mqtt.md", "Publish")
    settings = [text for kind, text in setup if kind == "toml"]
    run(
        tmp_path,
        "cbgateway init --carrier kt",
        *(text for kind, text in setup if kind == "sh"),
        *(f"cat >>{home}/cbgateway.toml <<'TOML'\n\n{text}TOML" for text in settings),
        f"mosquitto -c {folder}/mosquitto.conf 2>broker.log &",
        "cbgateway serve 2>serve.log &",
        *(text for _, text in asking),
        CBGATEWAY_HOME=str(home),
        MOSQUITTO=str(folder),
        EXAMPLES=str(ROOT / "examples"),
    )

    assert (len(settings), len(asking)) == (1, 4)
    assert read(tmp_path / "again.json")["bulletin"] == "kt-20211025/1"
    assert "password" not in (tmp_path / "serve.log").read_text("utf-8")


def test_client_has_thirty_lines() -> None:
    """Beside what it imports, and says of itself."""
    text = (ROOT / "examples" / "mqtt_client.py").read_text("utf-8")
    code = text.rpartition("import load_pem_private_key\n")[2].splitlines()

    assert len([line for line in code if line.strip()]) <= 30


def test_readme_runs(tmp_path: Path) -> None:
    """From `init` to bulletins on phones, and then what automation does, as they stand."""
    (tmp_path / ".venv").symlink_to(sys.prefix)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    own = blocks(ROOT / "README.md", "Try it yourself")
    more = blocks(ROOT / "README.md", "Automation")
    said = run(
        tmp_path,
        *(text for _, text in own),
        "cbsim broker >broker.log &",
        *(text for _, text in more),
        "set +e; curl -s http://127.0.0.1:8080/healthz",
    )

    assert (len(own), len(more)) == (1, 2)
    assert "kt-outage/1" in said
    assert "effect: opened" in said
    assert '"effect": "repeated"' in said
    assert '"status": "ok"' in said.replace('":"', '": "')
