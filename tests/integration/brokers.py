"""mosquitto with the configuration of docs/, and gateways that serve as processes of their own."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[2] / "docs"
READY_S = 20.0
USERS = ("gateway", "monitor", "alice", "mallory")


def free_port() -> int:
    """Give a port that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def await_port(port: int, process: Any) -> None:
    """Return once a process listens there."""
    end = time.monotonic() + READY_S
    while time.monotonic() < end:
        with socket.socket() as one:
            one.settimeout(0.2)
            if one.connect_ex(("127.0.0.1", port)) == 0:
                return
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=0.02)
    msg = f"nothing listens on {port}"
    raise TimeoutError(msg)


@dataclass
class Mosquitto:
    """A broker that can be killed and started again with what it has written."""

    folder: Path
    port: int = field(default_factory=free_port)
    process: Any = None
    users: tuple[str, ...] = USERS

    def prepare(self) -> None:
        """Write its files."""
        self.folder.mkdir(parents=True, exist_ok=True)
        passwords, store = self.folder / "passwd", self.folder / "store"
        store.mkdir(exist_ok=True)
        for number, user in enumerate(self.users):
            create = ("-c",) if number == 0 else ()
            subprocess.run(
                ["mosquitto_passwd", *create, "-b", passwords, user, f"{user}-secret"],
                check=True,
                capture_output=True,
            )
        shutil.copy(DOCS / "mosquitto.acl", self.folder / "acl")
        text = (DOCS / "mosquitto.conf").read_text("utf-8")
        text = text.replace("listener 1883", f"listener {self.port}")
        text = text.replace("/etc/mosquitto/cbgateway.passwd", str(passwords))
        text = text.replace("/etc/mosquitto/cbgateway.acl", str(self.folder / "acl"))
        text = text.replace("/var/lib/mosquitto/", f"{store}/")
        text += "\nuser root\n"  # it keeps its rights, and so can read this folder
        (self.folder / "mosquitto.conf").write_text(text, "utf-8")

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                ["mosquitto", "-c", self.folder / "mosquitto.conf"], stdout=log, stderr=log
            )
        await_port(self.port, self.process)

    def kill(self) -> None:
        """End it as a power cut does."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@dataclass
class Served:
    """A gateway's folder, and the process that serves it."""

    home: Path
    process: Any = None

    def init(self, port: int, *, people: Mapping[str, tuple[str, ...]]) -> None:
        """Make a gateway in mode test that knows a broker and some people."""
        self.run("init", "--home", self.home, "--mode", "test", "--country", "kr")
        for name, options in people.items():
            self.run("keys", "new", name, *options, "--region", "KR", "--home", self.home)
        settings = self.home / "cbgateway.toml"
        secret = self.home / "secrets" / "mqtt"
        secret.write_text("gateway-secret\n", "utf-8")
        secret.chmod(0o600)
        text = re.sub(r"\n\[carriers\.(skt|lguplus)\](\n.+)+", "", settings.read_text("utf-8"))
        text += (
            f'\n[mqtt]\nport = {port}\nsite = "lab"\nusername = "gateway"\n'
            'password_file = "secrets/mqtt"\n'
        )
        settings.write_text(text, "utf-8")

    def run(self, *arguments: object, code: int = 0) -> str:
        """Run a command of the gateway and give what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", "cbgateway", *map(str, arguments)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    def serve(self, **environment: str) -> None:
        """Start serving."""
        with (self.home / "serve.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "cbgateway", "serve", "--home", str(self.home)],
                stdout=log,
                stderr=log,
                env=os.environ | environment,
            )

    def kill(self) -> None:
        """End it as a power cut does."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """End it in order."""
        self.process.send_signal(signal.SIGTERM)
        code: int = self.process.wait(timeout=READY_S)
        return code
