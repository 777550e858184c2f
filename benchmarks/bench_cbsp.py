"""Measures cell broadcast: one bulletin to 1, 100, 500 and 1,000 controllers, beside a bare loop.

The controllers are simulated, all in a process of their own that notes when each WRITE-REPLACE
came. In the same run, a bare asyncio loop writes prepared octets to the same controllers: the ratio
shows what the gateway's own work costs. Prints a table; `--json` prints one object.
"""

import argparse
import asyncio
import json
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

from loguru import logger

from cbgateway.app import Gateway, SystemClock, init_home
from cbgateway.carriers.backoff import STEADY_S
from cbgateway.carriers.cbsp.link import CbspLink
from cbgateway.codec import cbs, cbsp
from cbgateway.codec.cells import Cgi, Plmn
from cbgateway.domain.bulletin import Mode
from cbgateway.domain.people import Permission
from cbgateway.settings import FILE_NAME
from cbgateway.signing.keys import SigningKey
from cbsim.bsc import Cell, Controller
from cbsim.bsc_server import Fault, Host
from cbsim.clock import SimulatedClock

NETWORK = "kt-gsm"
PLMN = Plmn("450", "08")
FIRST_PORT = 21_000
ROUNDS = 5
TEXTS = {
    "ko": "[과기정통부] 11:16부터 전국 KT 인터넷·통화 장애. 원인 확인 중. 다음 안내 12:00",
    "en": "[MSIT] KT outage nationwide since 11:16. Next update 12:00",
}
PATIENCE_S = 60.0
COLUMNS = "controller,region,plmn,lac,cell,latitude,longitude"


# The controllers' process


class NotingHost(Host):
    """Notes when each WRITE-REPLACE came."""

    arrivals: list[float]

    def note(self, message: cbsp.Message) -> None:
        """Note the time, which is the same in all processes of a machine."""
        if isinstance(message, cbsp.WriteReplace):
            self.arrivals.append(time.monotonic())


async def fleet(count: int, silent: int | None) -> None:
    """Serve; every line that comes in is answered by what has come since the last one."""
    clock = SimulatedClock(start=None, speed=1)
    hosts = []
    for number in range(count):
        controller = Controller(f"bsc-{number}", [Cell(Cgi(PLMN, number + 1, 1))])
        fault = Fault.parse("silent") if number == silent else None
        host = NotingHost(controller, clock, lambda _event: None, fault=fault)
        host.arrivals = []
        await host.listen("127.0.0.1", FIRST_PORT + number)
        hosts.append(host)
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, lambda: sys.exit(0))
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    print("ready", flush=True)
    while line := await reader.readline():
        if line == b"restart\n":
            hosts[0].restart(is_lost=True)
        print(json.dumps({h.controller.name: h.arrivals for h in hosts}), flush=True)
        for host in hosts:
            host.arrivals = []


class FleetProcess:
    """The controllers, and what they have noted."""

    def __init__(self, count: int, silent: int | None) -> None:
        """Start them; `silent` is which one never answers."""
        self.silent = silent
        command = [sys.executable, __file__, "--fleet", str(count)]
        if silent is not None:
            command += ["--silent", str(silent)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._line()

    def take(self, *, restart: bool = False) -> dict[str, list[float]]:
        """Give when each WRITE-REPLACE came since the last call, by controller."""
        assert self._process.stdin is not None  # noqa: S101 - we have asked for a pipe
        self._process.stdin.write("restart\n" if restart else "take\n")
        self._process.stdin.flush()
        found: dict[str, list[float]] = json.loads(self._line())
        return found

    def end(self) -> None:
        """End them."""
        self._process.terminate()
        self._process.communicate(timeout=20)

    def _line(self) -> str:
        assert self._process.stdout is not None  # noqa: S101 - we have asked for a pipe
        return self._process.stdout.readline()


# The gateway


@contextmanager
def office(folder: Path, count: int) -> Iterator[tuple[Gateway, dict[str, SigningKey]]]:
    """Make a gateway with two people and so many controllers."""
    home = folder / f"home-{count}"
    init_home(home, mode=Mode.TEST, country="kr", ports={"kt": 2775}, clock=SystemClock())
    path = home / FILE_NAME
    text = path.read_text("utf-8").partition("\n[carriers")[0] + "\n[carriers]\n"
    for number in range(count):
        text += (
            f'[controllers.bsc-{number}]\nmode = "test"\nnetwork = "{NETWORK}"\n'
            f'host = "127.0.0.1"\nport = {FIRST_PORT + number}\n'
        )
    path.write_text(text, "utf-8")
    with Gateway.open(home) as gateway:
        lines = [COLUMNS, *(f"bsc-{n},KR-26,450-08,{n + 1},1,," for n in range(count))]
        gateway.import_cells(NETWORK, "\n".join(lines).encode())
    with Gateway.open(home) as gateway:
        classes = ("safety", "emergency", "critical")
        permission = Permission(regions=("KR",), classes=classes)
        keys = {}
        for name in ("alice", "bob"):
            rights = {"may_submit": name == "alice", "may_approve": name == "bob"}
            _, key = gateway.keyring.add_person(name, permission=permission, **rights)
            keys[name] = SigningKey.load(key)
        yield gateway, keys


@asynccontextmanager
async def serving(gateway: Gateway) -> AsyncIterator[None]:
    """Serve until all controllers are up, and on."""
    stop = asyncio.Event()
    task = asyncio.create_task(gateway.serve(stop))
    count = len(gateway.settings.controllers)

    def up() -> bool:
        with suppress(FileNotFoundError):
            peers = json.loads(gateway.settings.peers.read_bytes())["peers"]
            return sum(peer["is_up"] for peer in peers) == count
        return False

    await until(up)
    await asyncio.sleep(1.0)  # the first reload of each is over
    try:
        yield
    finally:
        stop.set()
        await task


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - another process has no event
            await asyncio.sleep(0.005)


class Answers:
    """Notes when each order was answered, from inside the process that sent it."""

    def __init__(self) -> None:
        """Look over the shoulder of every link."""
        self.at: dict[str, list[float]] = {}
        send = CbspLink.send

        async def timed(link: CbspLink, *arguments: Any, **more: Any) -> Any:  # noqa: ANN401 - as it comes
            report = await send(link, *arguments, **more)
            self.at.setdefault(link.peer_id, []).append(time.monotonic())
            return report

        CbspLink.send = timed  # type: ignore[method-assign]


ANSWERS = Answers()


async def bulletin(
    gateway: Gateway, keys: dict[str, SigningKey], fleet_process: FleetProcess, round_: int
) -> dict[str, Any]:
    """Issue one bulletin in two languages; give when it reached each controller."""
    document = {
        "schema": 1,
        "identifier": f"b-{round_}",
        "sender": "alice",
        "incident": {
            "id": f"inc-{round_}",
            "carrier": NETWORK,
            "services": ["voice"],
            "started_at": "2021-10-25T11:16:00+09:00",
        },
        "kind": "first",
        "regions": ["KR-26"],
        "class": "critical",
        "texts": TEXTS,
        "next_update": "PT30M",
        "allow_duplicate": True,
    }
    record = await asyncio.to_thread(
        gateway.submit, json.dumps(document).encode(), key=keys["alice"]
    )
    bulletin_id = record.bulletin.bulletin_id
    prepared = await asyncio.to_thread(gateway.prepare, bulletin_id)
    count = len(gateway.settings.controllers)
    fleet_process.take()
    ANSWERS.at.clear()
    cpu, began = time.process_time(), time.monotonic()
    await asyncio.to_thread(
        gateway.approve, prepared, key=keys["bob"], confirmation=prepared.confirmation
    )
    approved = time.monotonic()
    silent = fleet_process.silent
    wanted = count - (0 if silent is None else 1)
    await until(lambda: sum(len(one) >= len(TEXTS) for one in ANSWERS.at.values()) >= wanted)
    answered = time.monotonic()
    cpu = time.process_time() - cpu
    arrivals = fleet_process.take()
    names = [name for name in arrivals if name != f"bsc-{silent}"]
    return {
        "arrived_s": [max(arrivals[name]) - began for name in names],
        "answered_s": [max(ANSWERS.at[name]) - began for name in names],
        "approve_s": approved - began,
        "last_s": answered - began,
        "cpu_s": cpu,
    }


# The bare loop


async def bare(count: int, fleet_process: FleetProcess, round_: int) -> dict[str, Any]:
    """Write prepared octets to every controller; nothing is read but what has to come."""
    lines = [
        await asyncio.open_connection("127.0.0.1", FIRST_PORT + number) for number in range(count)
    ]
    for reader, writer in lines:
        writer.write(cbsp.encode(cbsp.KeepAlive(20)))
        await reader.readexactly(len(cbsp.encode(cbsp.Restart(cbsp.WHOLE_BSS, 0))) + 4)
    octets = b"".join(prepared_octets(code + round_ * 2) for code in range(2))
    fleet_process.take()
    cpu, began = time.process_time(), time.monotonic()
    for _, writer in lines:
        writer.write(octets)
    answered = []
    for reader, _ in lines:
        for _ in range(len(TEXTS)):
            head = await reader.readexactly(4)
            await reader.readexactly(int.from_bytes(head[1:], "big"))
        answered.append(time.monotonic() - began)
    cpu = time.process_time() - cpu
    arrivals = fleet_process.take()
    for _, writer in lines:
        writer.close()
        await writer.wait_closed()
    return {
        "arrived_s": [max(one) - began for one in arrivals.values()],
        "answered_s": answered,
        "last_s": answered[-1],
        "cpu_s": cpu,
    }


def prepared_octets(code: int) -> bytes:
    """Write a text of the same size."""
    dcs = 0x48 if code % 2 == 0 else 0x01
    text = TEXTS["ko"] if code % 2 == 0 else TEXTS["en"]
    pages = cbs.paginate(text, dcs=dcs)
    return cbsp.encode(
        cbsp.WriteReplace(
            4371,
            0x8000 + code,
            cbsp.WHOLE_BSS,
            channel=0,
            category=0,
            repetition_period=32,
            number_of_broadcasts=100,
            dcs=dcs,
            pages=tuple(cbsp.Content(page.octets, page.used_octets) for page in pages),
        )
    )


# Runs


def measure(folder: Path, count: int, silent: int | None) -> dict[str, Any]:
    """Measure both sides with so many controllers."""
    process = FleetProcess(count, silent)
    try:
        with office(folder, count) as (gateway, keys):
            ours, cpu_idle = asyncio.run(_gateway(gateway, keys, process))
        peers = [] if silent is not None else asyncio.run(_bare(count, process))
    finally:
        process.end()
    return {
        "controllers": count,
        "silent": silent is not None,
        "gateway": summary(ours),
        "bare": summary(peers) if peers else None,
        "cpu_idle": cpu_idle,
        "rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


async def _gateway(
    gateway: Gateway, keys: dict[str, SigningKey], process: FleetProcess
) -> tuple[list[dict[str, Any]], float]:
    async with serving(gateway):
        runs = [await bulletin(gateway, keys, process, round_) for round_ in range(ROUNDS)]
        cpu, began = time.process_time(), time.monotonic()
        await asyncio.sleep(5)
        return runs, (time.process_time() - cpu) / (time.monotonic() - began)


async def _bare(count: int, process: FleetProcess) -> list[dict[str, Any]]:
    return [await bare(count, process, round_) for round_ in range(ROUNDS)]


async def _reload(
    gateway: Gateway, keys: dict[str, SigningKey], process: FleetProcess
) -> list[float]:
    """Restart a controller that loses everything; give how long until all was written again."""
    times = []
    async with serving(gateway):
        await bulletin(gateway, keys, process, 0)
        for _ in range(ROUNDS):
            process.take()
            began = time.monotonic()
            process.take(restart=True)
            arrivals: list[float] = []
            while len(arrivals) < len(TEXTS):
                arrivals += process.take()["bsc-0"]
                await asyncio.sleep(0.02)
            times.append(max(arrivals) - began)
            await asyncio.sleep(STEADY_S + 1)  # its next pause is a short one again
    return times


def summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Give medians over the rounds, in milliseconds."""
    found: dict[str, Any] = {}
    for what in ("arrived_s", "answered_s"):
        for name, share in (("p50", 0.5), ("p99", 0.99), ("last", 1.0)):
            values = [percentile(run[what], share) for run in runs]
            found[f"{what[:-2]}_{name}_ms"] = statistics.median(values) * 1000
    found["cpu_ms"] = statistics.median(run["cpu_s"] for run in runs) * 1000
    if "approve_s" in runs[0]:
        found["approve_ms"] = statistics.median(run["approve_s"] for run in runs) * 1000
    return found


def percentile(values: list[float], share: float) -> float:
    """Give the value below which a share of all lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--counts", type=int, nargs="+", default=[1, 100, 500, 1000])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--fleet", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--silent", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.fleet is not None:
        asyncio.run(fleet(options.fleet, options.silent))
        return
    logger.remove()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = [measure(folder, count, None) for count in options.counts]
        silent_folder = folder / "silent"
        silent_folder.mkdir()
        rows.append(measure(silent_folder, 100, 50))
        reload_folder = folder / "reload"
        reload_folder.mkdir()
        process = FleetProcess(1, None)
        try:
            with office(reload_folder, 1) as (gateway, keys):
                reloads = asyncio.run(_reload(gateway, keys, process))
        finally:
            process.end()
    document = {"rows": rows, "reload_s": sorted(reloads)}
    if options.json:
        print(json.dumps(document, indent=2))
        return
    for row in rows:
        label = f"{row['controllers']}{', one of them silent' if row['silent'] else ''}"
        print(f"{label} controllers ({row['rss_mib']:.0f} MiB, idle {row['cpu_idle']:.1%} CPU)")
        for side in ("gateway", "bare"):
            if row[side] is not None:
                figures = ", ".join(f"{key} {value:.1f}" for key, value in row[side].items())
                print(f"  {side}: {figures}")
    print(f"reload: {', '.join(f'{one:.2f} s' for one in document['reload_s'])}")


if __name__ == "__main__":
    main()
