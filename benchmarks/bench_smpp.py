"""Measures bulk short messages: how fast, at what cost, and what waits meanwhile.

Everything goes to the same sink, a process of its own (`smpp_sink.py`); the runs of all sides are
interleaved, and medians printed. The disk is the one under --folder: every window is synced.
"""

import argparse
import asyncio
import json
import math
import select
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import kannel
from smpp_peers import npm_per_s, smpplib_per_s

from cbgateway.app import Gateway, SystemClock, init_home, load_checked_profiles
from cbgateway.carriers.registry import make_link
from cbgateway.carriers.smpp.orders import submit_template
from cbgateway.codec import smpp
from cbgateway.domain.bulletin import Mode
from cbgateway.domain.delivery import Recipient
from cbgateway.domain.incoming import MessageState
from cbgateway.domain.orders import Area, Handle, Submit
from cbgateway.domain.outcomes import Outcome
from cbgateway.domain.people import Permission
from cbgateway.settings import FILE_NAME
from cbgateway.signing.keys import SigningKey

LETTERS = str.maketrans("0123456789", "가나다라마바사아자차")
"""Digits in a text would be telephone numbers that nobody has verified."""
ROOT = Path(__file__).parents[1]
WINDOW = 1_000
SEAL_CHARACTERS = 480
"""As long as the seals that the durable run carries."""
ANSWER_OCTETS = 25
PIECE_OCTETS = 256 * 1024
LATENCIES = 100
PACED = 10_000
PACED_RATE_PER_S = 1_000
FAR = 100_000
FAR_S = 0.05
KILLED = 5_000
INCOMING_PER_S = 2_000
RESENT_CLASS = "emergency"
"""Its short messages in doubt go out again at once."""
TABLE = (
    ("durable", "durable bulk, through the whole gateway", "150,000/s"),
    ("receipted", "the same with receipts correlated and stored", "60,000/s"),
    ("link", "the link alone, no store", ""),
    ("raw", "raw limit: one process writes prepared octets", ""),
    ("share", "the link's share of the raw limit", "50 %"),
    ("npm", "npm smpp 0.5.1, window 1,000, no store", ""),
    ("kannel", "Kannel 1.4.5, window 1,000, its store in a file", ""),
    ("smpplib", "smpplib 2.2.4, window 1,000, no store", ""),
    ("idle", "approved to first octet, link idle", "p99 20 ms"),
    ("busy", "approved to first octet, bulk on the same link", "p99 50 ms"),
    ("flooded", "the same, link idle, 2,000 messages a second in", "twice idle's p99"),
    ("million", "a million recipients: memory of the process", "200 MiB"),
    ("paced_short", "centre takes 1,000/s, counts in 100 ms", "900/s, 1 % refused"),
    ("paced_long", "centre takes 1,000/s, counts in 1 s", "900/s, 1 % refused"),
    ("far", "centre 50 ms away: of window / trip, once found", "90 %"),
    ("killed_near", "killed at 2,500 of 5,000, answers at once", "0 lost, 1,000 twice"),
    ("killed_far", "killed at 2,500 of 5,000, answers after 0.2 s", "0 lost, 1,000 twice"),
)
"""Figures, what they are, and the targets they are held against."""
TEXT = (
    "[과기정통부] 11:16부터 전국 KT 인터넷·통화 장애. 원인 확인 중. 112·119 안 되면 유심 빼고 걸기."
)


class SinkProcess:
    """The sink, and what it says."""

    def __init__(self, *options: str) -> None:
        """Start it."""
        self._process = subprocess.Popen(
            [sys.executable, str(ROOT / "benchmarks" / "smpp_sink.py"), *options],
            stdout=subprocess.PIPE,
            text=True,
        )
        self.port = int(self.line("port")["port"])

    def line(self, key: str) -> dict[str, Any]:
        """Wait for a line that has a key."""
        assert self._process.stdout is not None  # noqa: S101 - it was asked for
        for line in self._process.stdout:
            facts: dict[str, Any] = json.loads(line)
            if key in facts:
                return facts
        sys.exit("the sink has ended")

    def broadcast_at(self) -> float:
        """Wait for a broadcast_sm; gives when it came."""
        while True:
            facts = self.line("command")
            if facts["command"] == smpp.CommandId.BROADCAST_SM:
                return float(facts["at"])

    def close(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait()


@contextmanager
def sink(*options: object) -> Iterator[SinkProcess]:
    """Have a sink for a while."""
    process = SinkProcess(*map(str, options))
    try:
        yield process
    finally:
        process.close()


def numbers(count: int) -> tuple[str, ...]:
    """Give subscriber numbers."""
    return tuple(f"8210{number:08d}" for number in range(count))


def order(recipients: tuple[str, ...]) -> Submit:
    """Give the order that the links carry out."""
    return Submit(
        bulletin_id="bench/1",
        alert_class="safety",
        area=Area("KR-26", {"ko": "부산", "en": "Busan"}),
        language="ko",
        text=TEXT,
        recipients=recipients,
        expires_at=datetime.now(UTC) + timedelta(hours=1),
    )


def rules() -> Any:  # noqa: ANN401 - a profile
    """Give KT's profile with the window that is measured."""
    carrier = load_checked_profiles(None).carriers["kt"]
    smpp_rules = carrier.smpp.model_copy(update={"window_requests_max": WINDOW})
    return carrier.model_copy(update={"smpp": smpp_rules})


def blast(port: int, count: int) -> float:
    """Give messages a second when one process writes prepared octets and counts the answers."""
    template = submit_template(order(()), rules().smpp, seal="s" * SEAL_CHARACTERS)
    octets = memoryview(template.join(numbers(count), 2))
    bind = smpp.BindTransmitter(system_id="bench", password="secret")  # noqa: S106 - opens nothing
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(smpp.encode(smpp.Pdu(bind, 1)))
        connection.recv(65536)
        connection.setblocking(False)
        began = time.monotonic()
        sent = answered = 0
        while answered < count * ANSWER_OCTETS:
            writing = [connection] if sent < len(octets) else []
            readable, writable, _ = select.select([connection], writing, [])
            if readable:
                answered += len(connection.recv(PIECE_OCTETS))
            if writable:
                sent += connection.send(octets[sent : sent + PIECE_OCTETS])
        return count / (time.monotonic() - began)


def kannel_per_s(folder: Path, count: int) -> float | None:
    """Give messages a second with Kannel, from the first to the last; None if not installed."""
    if not kannel.is_installed():
        return None
    with tempfile.TemporaryDirectory(dir=folder) as own, sink("--tell-at", count) as centre:
        with kannel.kannel(Path(own), centre.port, window=WINDOW) as port:
            kannel.feed(port, numbers(count), TEXT)
            centre.line("reached")
        found = centre.line("submits")
    return count / float(found["reached_at"] - found["first_at"])


async def link_alone(port: int, count: int) -> float:
    """Give messages a second through the link, window by window, with no store."""
    link = make_link(
        rules(),
        places=[("127.0.0.1", port)],
        system_id="bench",
        password="secret",  # noqa: S106 - opens nothing
        random=lambda: 0.5,
    )
    running = asyncio.create_task(link.run())
    await link.wait_ready()
    recipients = numbers(count)
    began = time.monotonic()
    at = 0
    while at < count:
        window = recipients[at : at + link.window_max]
        report: Any = await link.send(
            order(window), seal="s" * SEAL_CHARACTERS, handle=Handle(), is_urgent=False
        )
        if report.outcomes.count(Outcome.ACCEPTED) != len(window):
            sys.exit(f"not all were accepted: {report.causes}")
        at += len(window)
    took = time.monotonic() - began
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    return count / took


def document(number: int, **changes: Any) -> bytes:  # noqa: ANN401 - JSON
    """Give a bulletin of an incident of its own."""
    facts = {
        "identifier": f"b-{number}",
        "sender": "alice",
        "incident": {
            "id": f"bench-{number}",
            "carrier": "kt",
            "services": ["voice"],
            "started_at": "2021-10-25T11:16:00+09:00",
        },
        "kind": "first",
        "regions": ["KR-26"],
        "texts": {"ko": TEXT if number == 1 else f"{number} ".translate(LETTERS) + TEXT[:60]},
        "next_update": "PT30M",
    }
    return json.dumps(facts | changes).encode()


def prepare(home: Path, port: int, count: int) -> None:
    """Make a gateway with a list of recipients and two people."""
    init_home(home, mode=Mode.TEST, country="kr", ports={"kt": port}, clock=SystemClock())
    more = f"messages_per_s = 1_000_000\nwindow_requests_max = {WINDOW}\n"
    with (home / FILE_NAME).open("a") as settings:
        settings.write(more)
    with Gateway.open(home) as gateway:
        for name, submits in (("alice", True), ("bob", False)):
            permission = Permission(("KR",), ("safety", "emergency", "critical"))
            _, path = gateway.keyring.add_person(
                name, may_submit=submits, may_approve=not submits, permission=permission
            )
            path.rename(home / f"{name}.key")
        recipients = (Recipient(one, "KR-26", "ko") for one in numbers(count))
        gateway.store.put_recipients("kt", enumerate(recipients))


def issue(gateway: Gateway, octets: bytes) -> float:
    """Submit and approve; gives when the approval was committed."""
    keys = {name: SigningKey.load(gateway.home / f"{name}.key") for name in ("alice", "bob")}
    record = gateway.submit(octets, key=keys["alice"])
    prepared = gateway.prepare(record.bulletin.bulletin_id)
    gateway.approve(prepared, key=keys["bob"], confirmation=prepared.confirmation)
    return time.monotonic()


async def serve(home: Path) -> None:
    """Serve until told to end on standard input, then say what memory that took."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def wait() -> None:
        sys.stdin.readline()
        loop.call_soon_threadsafe(stop.set)

    threading.Thread(target=wait, daemon=True).start()
    with Gateway.open(home) as gateway:
        await gateway.serve(stop, lambda: print("ready", flush=True))
    print(memory_mib(), flush=True)


def memory_mib() -> float:
    """Give the most memory that this process has had; getrusage would count its parent's in."""
    for line in Path("/proc/self/status").read_text("utf-8").splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    return math.nan


def role(*arguments: object) -> list[str]:
    """Give the command for a part of the measurement that is a process of its own."""
    return [sys.executable, __file__, "--role", *map(str, arguments)]


@contextmanager
def serving(home: Path) -> Iterator[subprocess.Popen[str]]:
    """Have a gateway serve for a while."""
    process = subprocess.Popen(
        role("serve", home),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None  # noqa: S101 - it was asked for
        process.stdout.readline()
        yield process
    finally:
        process.kill()
        process.wait()


def end(process: subprocess.Popen[str]) -> float:
    """Have a gateway end in good order; gives its memory."""
    assert process.stdin is not None  # noqa: S101 - it was asked for
    assert process.stdout is not None  # noqa: S101 - it was asked for
    process.stdin.write("\n")
    process.stdin.flush()
    return float(process.stdout.readline())


def durable(
    folder: Path, count: int, *options: object, with_latency: bool = False
) -> dict[str, Any]:
    """Have a whole gateway send a bulletin to everybody on the list."""
    home = Path(tempfile.mkdtemp(dir=folder)) / "home"
    with sink(*options) as centre:
        subprocess.run(role("prepare", home, centre.port, count), check=True)
        with serving(home) as process:
            found = send_to_all(home, centre, count, with_latency=with_latency)
            found["memory_mib"] = end(process)
        found |= centre.line("submits")
        found["per_s"] = count / (found["last_at"] - found["first_at"])
    shutil.rmtree(home.parent)
    return found


def receipted(folder: Path, count: int) -> float:
    """Give messages a second from the first to the last receipt's answer, all of them stored."""
    home = Path(tempfile.mkdtemp(dir=folder)) / "home"
    with sink("--receipts", count) as centre:
        subprocess.run(role("prepare", home, centre.port, count), check=True)
        with serving(home) as process, Gateway.open(home) as gateway:
            subprocess.run(role("issue", home, "safety"), check=True)
            centre.line("all_answered")
            with gateway.store.read() as tx:
                rows = tx.deliveries("bench-1/1")
            end(process)
        found = centre.line("submits")
    stored = sum(
        row.receipts.states.count(MessageState.DELIVERED)
        for row in rows
        if row.receipts is not None
    )
    if stored != count:
        sys.exit(f"{stored} receipts of {count} are stored")
    shutil.rmtree(home.parent)
    return count / float(found["answered_at"] - found["first_at"])


def flooded(folder: Path) -> list[float]:
    """Give how long broadcasts take while subscribers write, in milliseconds."""
    home = Path(tempfile.mkdtemp(dir=folder)) / "home"
    with sink("--incoming", INCOMING_PER_S) as centre:
        subprocess.run(role("prepare", home, centre.port, 1), check=True)
        with serving(home), Gateway.open(home) as gateway:
            waits = [latency_ms(gateway, centre, 100 + n) for n in range(LATENCIES)]
    shutil.rmtree(home.parent)
    return waits


def latency_ms(gateway: Gateway, centre: SinkProcess, number: int) -> float:
    """Issue a broadcast, and give how long its first octet takes from the approval's commit."""
    began = issue(gateway, document(number, **{"class": "critical"}))
    return (centre.broadcast_at() - began) * 1e3


def killed(folder: Path, delay_s: float) -> dict[str, Any]:
    """Kill the gateway with half of its messages accepted, and start it again."""
    home = Path(tempfile.mkdtemp(dir=folder)) / "home"
    options = ("--count-numbers", "--tell-at", KILLED // 2, "--delay-s", delay_s)
    with sink(*options) as centre:
        subprocess.run(role("prepare", home, centre.port, KILLED), check=True)
        with serving(home) as process:
            subprocess.run(role("issue", home, RESENT_CLASS), check=True)
            centre.line("reached")
            process.send_signal(signal.SIGKILL)
        centre.line("submits")
        with serving(home) as process, Gateway.open(home) as gateway:
            while is_open(gateway):
                time.sleep(0.05)
            end(process)
        found = centre.line("submits")
    shutil.rmtree(home.parent)
    return found


def send_to_all(
    home: Path, centre: SinkProcess, count: int, *, with_latency: bool
) -> dict[str, Any]:
    """Approve the bulletin, and others while it is on its way."""
    found: dict[str, Any] = {"idle_ms": [], "busy_ms": []}

    with Gateway.open(home) as gateway:
        if with_latency:
            found["idle_ms"] = [latency_ms(gateway, centre, 100 + n) for n in range(LATENCIES)]
        subprocess.run(role("issue", home, "safety"), check=True)
        if with_latency:
            centre.broadcast_at()  # the bulletin's own
        while is_open(gateway):
            if with_latency:
                number = 200 + len(found["busy_ms"])
                found["busy_ms"].append(latency_ms(gateway, centre, number))
            else:
                time.sleep(0.05)
        with gateway.store.read() as tx:
            octets = b"".join(row.outcomes for row in tx.deliveries("bench-1/1"))
    if octets.count(Outcome.ACCEPTED) != count:
        sys.exit(f"{octets.count(Outcome.ACCEPTED)} of {count} were accepted")
    return found


def is_open(gateway: Gateway) -> bool:
    """Tell whether short messages of the first bulletin wait or are under way."""
    with gateway.store.read() as tx:
        rows = tx._connection.execute(  # type: ignore[attr-defined]  # noqa: SLF001 - counted cheaply
            "SELECT count(*) FROM delivery WHERE bulletin_id = 'bench-1/1' AND channel = 'sms' "
            "AND state IN ('ready', 'intent')"
        )
        return bool(next(iter(rows))[0])


def measure(folder: Path, count: int, rounds: int, *, memory: int) -> dict[str, list[Any]]:
    """Run everything, interleaved; gives what each run told."""
    runs: dict[str, list[Any]] = {name: [] for name, _, _ in TABLE}
    few = count // 4
    for _ in range(rounds):
        runs["durable"].append(durable(folder, count)["per_s"])
        runs["receipted"].append(receipted(folder, count))
        with sink() as centre:
            runs["link"].append(asyncio.run(link_alone(centre.port, count)))
        with sink() as centre:
            runs["raw"].append(blast(centre.port, count))
        runs["share"].append(runs["link"][-1] / runs["raw"][-1])
        with sink() as centre:
            runs["npm"].append(npm_per_s(centre.port, few, TEXT))
        runs["kannel"].append(kannel_per_s(folder, few))
        with sink() as centre:
            runs["smpplib"].append(smpplib_per_s(centre.port, few, TEXT))
        for name, interval_s in (("paced_short", 0.1), ("paced_long", 1.0)):
            options = ("--rate", PACED_RATE_PER_S, "--interval-s", interval_s)
            runs[name].append(durable(folder, PACED, *options))
        far = durable(folder, FAR, "--delay-s", FAR_S, "--tell-at", FAR // 2)
        took_s = far["last_at"] - far["reached_at"]
        runs["far"].append((FAR - FAR // 2) / took_s / (WINDOW / FAR_S))
        for name, delay_s in (("killed_near", 0.0), ("killed_far", 0.2)):
            runs[name].append(killed(folder, delay_s))
    million = durable(folder, memory, with_latency=True)
    runs["idle"], runs["busy"] = million["idle_ms"], million["busy_ms"]
    runs["flooded"] = flooded(folder)
    runs["million"] = [million["memory_mib"]]
    return runs


def figure(name: str, runs: list[Any]) -> str:
    """Write what came of the runs: medians, and of counts the worst."""
    if None in runs:
        return "not installed"
    if name in {"idle", "busy", "flooded"}:
        p99 = sorted(runs)[math.ceil(len(runs) * 0.99) - 1]
        return f"median {statistics.median(runs):.1f}, p99 {p99:.1f} ms of {len(runs)}"
    if name.startswith("paced"):
        share = max(one["refused"] / PACED for one in runs)
        rate = statistics.median(one["per_s"] for one in runs)
        return f"{rate:,.0f}/s, at most {share:.1%} refused, none lost"
    if name.startswith("killed"):
        lost = max(KILLED - one["numbers"] for one in runs)
        twice = max(one["twice"] for one in runs)
        return (
            f"{lost} lost, {twice} twice, none more than {max(one['most'] for one in runs)} times"
        )
    median = statistics.median(runs)
    if name in {"share", "far"}:
        return f"{median:.0%}"
    return f"{median:.0f} MiB" if name == "million" else f"{median:,.0f}/s"


def main() -> None:
    """Measure, or be a part of the measurement."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=200_000)
    parser.add_argument("--memory-messages", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--role", nargs="+", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    match arguments.role:
        case ["prepare", home, port, count]:
            prepare(Path(home), int(port), int(count))
            return
        case ["serve", home]:
            asyncio.run(serve(Path(home)))
            return
        case ["issue", home, name]:
            with Gateway.open(Path(home)) as gateway:
                issue(gateway, document(1, **{"class": name}))
            return
        case _:
            pass
    with tempfile.TemporaryDirectory(dir=arguments.folder, prefix="cbgateway-bench-") as name:
        found = measure(
            Path(name), arguments.messages, arguments.rounds, memory=arguments.memory_messages
        )
    if arguments.json:
        print(json.dumps(found, indent=2))
        return
    print(f"{arguments.messages:,} messages of {len(TEXT)} characters, window {WINDOW:,}")
    for name, what, target in TABLE:
        print(f"{what:48} {figure(name, found[name]):44} {target}")


if __name__ == "__main__":
    main()
