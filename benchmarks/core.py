"""Measures the durable core: acceptance, start-up with open work, and chunks of recipients.

Each figure stands beside what the same machine does at best in the same run. Prints a table;
`--json` prints one object.
"""

import argparse
import asyncio
import json
import multiprocessing
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
from loguru import logger

from cbgateway.app import Gateway, SystemClock, init_home
from cbgateway.domain.bulletin import Mode
from cbgateway.domain.lifecycle import DeliveryState
from cbgateway.domain.orders import (
    BroadcastReport,
    Handle,
    OnAirReport,
    Order,
    Report,
    Submit,
    SubmitReport,
)
from cbgateway.domain.outcomes import Outcome
from cbgateway.domain.people import Permission
from cbgateway.service.dispatcher import Dispatcher
from cbgateway.signing.keys import SigningKey
from cbgateway.storage.connection import connect, transaction

LETTERS = str.maketrans("0123456789", "가나다라마바사아자차")
"""Digits in a text would be taken for a telephone number, which nobody has verified."""
REGION = "KR-26"
ROUNDS = 5
BULLETINS = 200
OPEN_ROWS = 100_000
WINDOW = 1_000
TEXT = (
    "[과기정통부] 11:16부터 전국 KT 인터넷·통화 장애. 원인 확인 중. 112·119 안 되면 유심 빼고 걸기."
)


class InstantLink:
    """A carrier that takes everything at once: what is left is the gateway's own work."""

    peer_id = "kt"
    window_max = WINDOW

    async def run(self) -> None:
        """Be there until cancelled."""
        await asyncio.Event().wait()

    async def wait_ready(self) -> None:
        """Be ready."""

    def drain(self) -> None:
        """Have nothing to drain."""

    async def ask(self, handle: Handle) -> OnAirReport:  # noqa: ARG002 - as the port has it
        """Know nothing."""
        return OnAirReport(None, ())

    async def send(self, order: Order, *, seal: str, handle: Handle, is_urgent: bool) -> Report:  # noqa: ARG002 - as the port has them
        """Say yes."""
        if isinstance(order, Submit):
            return SubmitReport(bytes([Outcome.ACCEPTED]) * len(order.recipients), {})
        return BroadcastReport(f"instant-{order.bulletin_id}-{order.area.code}")


def make_gateway(home: Path) -> None:
    """Make a gateway with one carrier, an author and an approver."""
    init_home(home, mode=Mode.TEST, country="kr", ports={"kt": 2775}, clock=SystemClock())
    settings = home / "cbgateway.toml"
    settings.write_text(settings.read_text("utf-8") + "messages_per_s = 1000000\n", "utf-8")
    with Gateway.open(home) as gateway:
        for name, submits in (("alice", True), ("bob", False)):
            gateway.keyring.add_person(
                name,
                may_submit=submits,
                may_approve=not submits,
                permission=Permission(("KR",), ("safety", "critical")),
            )


def keys_of(home: Path) -> tuple[SigningKey, SigningKey]:
    """Give the author's and the approver's key."""
    people = home / "keys" / "people"
    return SigningKey.load(people / "alice.pem"), SigningKey.load(people / "bob.pem")


def issue(gateway: Gateway, keys: tuple[SigningKey, SigningKey], number: int, **more: str) -> None:
    """Submit and approve the first bulletin of an incident."""
    facts = {
        "id": f"bench-{number}",
        "carrier": "kt",
        "services": ["voice"],
        "started_at": "2021-10-25T11:16:00+09:00",
    }
    document = {
        "identifier": f"b-{number}",
        "sender": "alice",
        "incident": facts,
        "kind": "first",
        "regions": [REGION],
        "texts": {"ko": f"{number} ".translate(LETTERS) + TEXT},
        "next_update": "PT30M",
        **more,
    }
    record = gateway.submit(json.dumps(document).encode(), key=keys[0])
    gateway.approve(gateway.prepare(record.bulletin.bulletin_id), key=keys[1])


def bench_acceptance(folder: Path) -> list[dict[str, Any]]:
    """Submit and approve, each durable, beside bare commits of the same store."""
    make_gateway(folder / "home")
    keys = keys_of(folder / "home")
    bare = connect(folder / "bare.db", create=True)
    bare.execute("CREATE TABLE one (n INTEGER)")
    ours, theirs = [], []
    with Gateway.open(folder / "home") as gateway:
        for round_number in range(ROUNDS):
            began = time.perf_counter()
            for number in range(BULLETINS // ROUNDS):
                number += round_number * BULLETINS // ROUNDS  # noqa: PLW2901 - goes on counting
                issue(gateway, keys, number, **{"class": "critical"})  # needs no budget
            ours.append(BULLETINS / ROUNDS / (time.perf_counter() - began))
            began = time.perf_counter()
            for number in range(BULLETINS):
                with transaction(bare, "IMMEDIATE"):
                    bare.execute("INSERT INTO one VALUES (?)", (number,))
            theirs.append(BULLETINS / (time.perf_counter() - began))
    bare.close()
    mine, peer = statistics.median(ours), statistics.median(theirs)
    return [row("bulletins submitted and approved", mine, "/s", "bare commits", peer)]


def bench_ready(folder: Path) -> list[dict[str, Any]]:
    """Start `serve` with nothing open and with 100,000 rows open, beside `--version` alone."""
    times: dict[str, list[float]] = {"idle": [], "open": [], "version": []}
    for name in ("idle", "open"):
        make_gateway(folder / name)
        with Gateway.open(folder / name) as gateway:
            issue(gateway, keys_of(folder / name), 0)
    _multiply(folder / "open" / "cbgateway.db")
    for _ in range(ROUNDS):
        for name in ("idle", "open"):
            times[name].append(_ready_s(folder / name))
        began = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "cbgateway", "--version"], check=True, capture_output=True
        )
        times["version"].append(time.perf_counter() - began)
    version = statistics.median(times["version"])
    return [
        row("ready, nothing open", statistics.median(times["idle"]), " s", "--version", version),
        row(
            f"ready, {OPEN_ROWS:,} rows open",
            statistics.median(times["open"]),
            " s",
            "--version",
            version,
            worst=max(times["open"]),
        ),
    ]


def _multiply(database: Path) -> None:
    """Copy the order that waits until there are as many as wanted, each of its own incident."""
    connection = apsw.Connection(str(database))
    names = [
        line[1]
        for line in connection.execute("PRAGMA table_info(delivery)")
        if line[1] not in {"delivery_id", "region"}
    ]
    columns = ", ".join(names)
    with connection:
        connection.execute(
            "CREATE TEMP TABLE n AS WITH RECURSIVE n(i) AS "
            "(SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) SELECT i FROM n",
            (OPEN_ROWS,),
        )
        copy = f"INSERT INTO delivery (region, {columns}) SELECT 'KR-' || i, {columns} "
        connection.execute(copy + "FROM n, (SELECT * FROM delivery LIMIT 1)")  # noqa: S608 - our own names
    connection.close()


def _ready_s(home: Path) -> float:
    began = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-m", "cbgateway", "serve", "--home", str(home)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as serving:
        for line in serving.stderr or ():
            if '"ready"' in line:
                break
        spent_s = time.perf_counter() - began
        serving.kill()
    return spent_s


def import_list(home: str, recipients: int) -> dict[str, float]:
    """Import a recipient list; gives seconds and memory."""
    path = Path(home).with_suffix(".csv")
    with path.open("w") as lines:
        lines.write("number,region,language\n")
        lines.writelines(f"8210{n:08d},{REGION},ko\n" for n in range(recipients))
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.perf_counter()
    with path.open("rb") as stream, Gateway.open(Path(home)) as gateway:
        gateway.import_recipients("kt", stream)
    return _spent(began, before_kib)


def approve_list(home: str, _recipients: int) -> dict[str, float]:
    """Submit and approve one bulletin for all of them; gives seconds and memory."""
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.perf_counter()
    with Gateway.open(Path(home)) as gateway:
        issue(gateway, keys_of(Path(home)), 1)
    return _spent(began, before_kib)


def send_list(home: str, recipients: int) -> dict[str, float]:
    """Dispatch it to a carrier that takes everything at once; gives seconds and memory."""
    logger.remove()
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with Gateway.open(Path(home)) as gateway:
        began = time.perf_counter()
        asyncio.run(_dispatch(gateway))
        spent = _spent(began, before_kib)
        with gateway.store.read() as tx:
            accepted = sum(one.outcomes.count(Outcome.ACCEPTED) for one in tx.deliveries())
    if accepted != recipients:
        sys.exit(f"{accepted} of {recipients} recipients were accepted")
    return spent


async def _dispatch(gateway: Gateway) -> None:
    stop = asyncio.Event()
    dispatcher = Dispatcher(
        gateway.store,
        gateway.deployment,
        {"kt": InstantLink()},
        clock=gateway.clock,
        random=lambda: 0.5,
    )
    running = asyncio.create_task(dispatcher.run(stop))
    while not running.done():
        await asyncio.sleep(0.05)
        with gateway.store.read() as tx:
            counts = tx.count_open()
        if not any(state is not DeliveryState.IN_DOUBT for _, state in counts):
            stop.set()
            break
    await running


def _spent(began: float, before_kib: int) -> dict[str, float]:
    peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "s": time.perf_counter() - began,
        "mib": peak_kib / 1024,
        "more_mib": (peak_kib - before_kib) / 1024,
    }


def bench_chunks(folder: Path, recipients: int) -> list[dict[str, Any]]:
    """Import, approve and send to many recipients, each step in a process of its own."""
    home = folder / "chunks"
    make_gateway(home)
    rows = []
    steps: list[tuple[str, Callable[[str, int], dict[str, float]]]] = [
        ("recipients imported", import_list),
        ("recipients planned and approved", approve_list),
        ("recipients sent to, durable", send_list),
    ]
    for what, step in steps:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            spent = pool.apply(step, (str(home), recipients))
        rows.append(
            {
                "what": what,
                "ours": f"{recipients / spent['s']:,.0f}/s",
                "peer": "its peak memory",
                "theirs": f"{spent['mib']:.0f} MiB",
                "ratio": f"+{spent['more_mib']:.0f} MiB",
            }
        )
    return rows


def row(
    what: str, ours: float, unit: str, peer: str, theirs: float, *, worst: float | None = None
) -> dict[str, Any]:
    """Make a row of the table."""
    text = f"{ours:,.2f}{unit}" + ("" if worst is None else f" (worst {worst:.2f})")
    return {
        "what": what,
        "ours": text,
        "peer": peer,
        "theirs": f"{theirs:,.2f}{unit}",
        "ratio": round(ours / theirs, 3),
    }


def main() -> None:
    """Run everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipients", type=int, default=1_000_000)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cbgateway-bench-") as name:
        folder = Path(name)
        rows = bench_acceptance(folder)
        rows += bench_ready(folder)
        rows += bench_chunks(folder, arguments.recipients)
    if arguments.json:
        machine = f"{platform.machine()}, Python {platform.python_version()}"
        print(json.dumps({"machine": machine, "rows": rows}, indent=2))
        return
    print(f"{'what':34} {'here':22} {'beside':16} {'there':14} ratio")
    for one in rows:
        print(
            f"{one['what']:34} {one['ours']:22} {one['peer']:16} {one['theirs']:14} {one['ratio']}"
        )


if __name__ == "__main__":
    main()
