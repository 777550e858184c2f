"""Outside peers as processes, each ended by its own process at the end of its test."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

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

    def last(self) -> dict[str, Any]:
        """Ask it to end; gives what it tells last."""
        self._process.terminate()
        return self.line(lambda line: line["event"] == "end")

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


@dataclass(frozen=True)
class Certificates:
    """Files of an authority of our own, and of a server on this machine that it vouches for."""

    authority: Path
    key: Path
    certificate: Path


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    """Make an authority, and have it sign a certificate for localhost."""
    now = datetime.now(UTC)

    def sign(common_name: str, issuer: str, public: Any, private: Any) -> x509.Certificate:
        names = [
            x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, one)])
            for one in (common_name, issuer)
        ]
        is_authority = common_name == issuer
        return (
            x509.CertificateBuilder(names[1], names[0], public, x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
            .sign(private, hashes.SHA256())
        )

    authority, server = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    found = Certificates(*(tmp_path / f"{name}.pem" for name in ("authority", "key", "server")))
    for path, certificate in (
        (found.authority, sign("authority", "authority", authority.public_key(), authority)),
        (found.certificate, sign("localhost", "authority", server.public_key(), authority)),
    ):
        path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    found.key.write_bytes(
        server.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return found


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
