"""Measure intake over HTTP, each answer after its commit, beside a bare server that only says 202.

Both are processes of their own; the load generator is this one, on the same machine. Requests are
signed before the clock starts. Rounds of both sides are interleaved. The processor time of each
request is the server's own; it says more than anything else where other programs run.
`--preload 100000` stores so many bulletins before the clock starts.
"""

import argparse
import asyncio
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from stored import store

from cbgateway.app import Gateway, SystemClock, init_home
from cbgateway.domain.bulletin import Mode
from cbgateway.domain.people import Permission
from cbgateway.interfaces.http.client import signed_headers
from cbgateway.signing.keys import SigningKey

TEXT = "[과기정통부] 부산 KT 통신 장애. 원인 확인 중"
LETTERS = str.maketrans("0123456789", "가나다라마바사아자차")
"""Digits in a text would be telephone numbers that nobody has verified."""
ROOT = Path(__file__).parents[1]
SENDERS = 8
CONNECTIONS = 16
ROUNDS = 5
REQUESTS = 600  # of one round
KINDS = ("first", "progress")
BARE = """
async def app(scope, receive, send):
    while (await receive()).get("more_body"):
        pass
    headers = [(b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 202, "headers": headers})
    await send({"type": "http.response.body", "body": b"{}"})
"""


@dataclass
class Round:
    """What one round has measured."""

    per_s: float
    latencies_s: list[float]
    cpu_ms: float


def cpu_s(pid: int) -> float:
    """Give what a process has used of the processors."""
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    """Give a port that nobody has just now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def make_gateway(home: Path, port: int) -> list[SigningKey]:
    """Make a gateway that serves HTTP, with machines that submit."""
    init_home(home, mode=Mode.TEST, country="kr", ports={"kt": 2775}, clock=SystemClock())
    with (home / "cbgateway.toml").open("a", encoding="utf-8") as file:
        file.write(f"\n[http]\nport = {port}\n")
    keys = []
    with Gateway.open(home) as gateway:
        for number in range(SENDERS):
            permission = Permission(("KR",), ("safety",))
            _, path = gateway.keyring.add_person(
                f"machine{number}", may_submit=True, may_approve=False, permission=permission
            )
            keys.append(SigningKey.load(path))
    return keys


@contextmanager
def serving(arguments: list[str], port: int) -> Iterator[int]:
    """Run a server until the block ends; gives its process id."""
    process = subprocess.Popen(
        [sys.executable, "-m", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=ROOT,
    )
    try:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                if process.poll() is not None:
                    sys.exit(f"{arguments} has ended with {process.returncode}")
                time.sleep(0.05)
        yield process.pid
    finally:
        process.terminate()
        process.wait()


def document_of(kind: str, name: str, number: int, sender: int) -> dict[str, Any]:
    """Write a bulletin; a progress bulletin is of an outage that the first round has opened."""
    incident: Any = f"i-first-0-{number}"
    if kind == "first":
        incident = {
            "id": f"i-{name}",
            "carrier": "kt",
            "services": ["voice"],
            "started_at": datetime.now(UTC).isoformat(),
        }
    return {
        "identifier": f"b-{name}",
        "sender": f"machine{sender}",
        "incident": incident,
        "kind": kind,
        "regions": ["KR-26"],
        "texts": {"ko": f"{name.partition('-')[2]} {TEXT}".translate(LETTERS)},
        "next_update": "PT30M",
    }


def requests(port: int, keys: list[SigningKey], kind: str, round_number: int) -> list[bytes]:
    """Sign a round's requests."""
    made = []
    for number in range(REQUESTS):
        sender = number % len(keys)
        name = f"{kind}-{round_number}-{number}"
        document = document_of(kind, name, number, sender)
        body = json.dumps(document, ensure_ascii=False).encode()
        incident = document["incident"]
        path = f"/v1/incidents/{incident if kind != 'first' else incident['id']}/bulletins"
        headers = signed_headers(
            "POST",
            f"http://127.0.0.1:{port}{path}",
            body,
            keys[sender],
            created=int(time.time()),
            nonce=f"n-{name}-{time.monotonic_ns()}",
        )
        lines = [f"POST {path} HTTP/1.1", f"host: 127.0.0.1:{port}"]
        lines += [f"{header}: {value}" for header, value in headers.items()]
        head = "\r\n".join([*lines, f"content-length: {len(body)}", "", ""])
        made.append(head.encode() + body)
    return made


async def load(port: int, pid: int, made: list[bytes], connections: int) -> Round:
    """Send them over some connections, each as soon as the one before is answered."""
    waiting = deque(made)
    latencies: list[float] = []

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while waiting:
            request = waiting.popleft()
            began = time.perf_counter()
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
            body = await reader.readexactly(length)
            latencies.append(time.perf_counter() - began)
            if not head.startswith(b"HTTP/1.1 202"):
                sys.exit(f"{head.decode()}{body.decode()}")
        writer.close()

    used_s, began = cpu_s(pid), time.perf_counter()
    await asyncio.gather(*(client() for _ in range(connections)))
    per_s = len(made) / (time.perf_counter() - began)
    return Round(per_s, latencies, (cpu_s(pid) - used_s) / len(made) * 1000)


def row(what: str, ours: list[Round], bare: list[Round]) -> dict[str, Any]:
    """Make a row of the table."""

    def figures(rounds: list[Round]) -> dict[str, float]:
        latencies = sorted(one for round_ in rounds for one in round_.latencies_s)
        cuts = statistics.quantiles(latencies, n=100)
        return {
            "per_s": round(statistics.median(one.per_s for one in rounds)),
            "p50_ms": round(cuts[49] * 1000, 1),
            "p99_ms": round(cuts[98] * 1000, 1),
            "max_ms": round(latencies[-1] * 1000, 1),
            "cpu_ms": round(statistics.median(one.cpu_ms for one in rounds), 2),
        }

    mine, theirs = figures(ours), figures(bare)
    ratio = round(mine["per_s"] / theirs["per_s"], 3)
    return {"what": what, "ours": mine, "bare uvicorn": theirs, "ratio": ratio}


def main() -> None:
    """Measure both, round by round."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--preload", type=int, default=0, help="bulletins stored before")
    parser.add_argument("--connections", type=int, default=CONNECTIONS)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cbgateway-bench-") as name:
        folder = Path(name)
        (folder / "bare.py").write_text(BARE, "utf-8")
        ours, bare = free_port(), free_port()
        keys = make_gateway(folder / "home", ours)
        store(
            folder / "home",
            arguments.preload,
            lambda number: (
                document_of("first", f"before-{number}", number, number % SENDERS),
                keys[number % SENDERS],
            ),
        )
        peer = ["uvicorn", "--app-dir", str(folder), "--port", str(bare), "--http", "h11"]
        rows = []
        with (
            serving(["cbgateway", "serve", "--home", str(folder / "home")], ours) as our_pid,
            serving(
                [*peer, "--no-access-log", "--log-level", "warning", "bare:app"], bare
            ) as bare_pid,
        ):
            pids = our_pid, bare_pid
            for kind in KINDS:
                rounds: tuple[list[Round], list[Round]] = ([], [])
                for number in range(ROUNDS):
                    for side, port in enumerate((ours, bare)):
                        made = requests(port, keys, kind, number)
                        measured = load(port, pids[side], made, arguments.connections)
                        rounds[side].append(asyncio.run(measured))
                rows.append(row(f"{kind} bulletins accepted", *rounds))
        with Gateway.open(folder / "home") as gateway, gateway.store.read() as tx:
            stored = sum(tx.count_bulletins().values())
    accepted = arguments.preload + len(KINDS) * ROUNDS * REQUESTS
    if stored != accepted:
        sys.exit(f"{stored} bulletins are stored, {accepted} were accepted")
    if arguments.json:
        machine = f"{platform.machine()}, Python {platform.python_version()}"
        about = {"machine": machine, "load": os.getloadavg()[0], "preload": arguments.preload}
        print(json.dumps({**about, "rows": rows}, indent=2))
        return
    print(f"{arguments.preload} bulletins before, load {os.getloadavg()[0]:.1f}")
    for one in rows:
        print(f"{one['what']}, {arguments.connections} connections, ratio {one['ratio']}")
        for side in ("ours", "bare uvicorn"):
            print(f"  {side:14} " + ", ".join(f"{name} {v}" for name, v in one[side].items()))


if __name__ == "__main__":
    main()
