"""Kill the real processes with SIGKILL, again and again; `make campaign-kill` runs it.

A gateway serves one simulated carrier with phones; an operator, a process of its own, submits and
approves without a pause. Either is killed at a random moment, or kills itself at a failpoint, and
is started again. In the end everything settles, and what the operator was told is compared with
the database and with the phones' screens.

With `--fork` the processes are forked from one that has imported everything: the same code, ten
times as many kills in the time.
"""

import argparse
import json
import multiprocessing
import os
import queue
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from cbgateway.app import Gateway, SystemClock, init_home
from cbgateway.cli.main import run as run_command
from cbgateway.domain.bulletin import Mode
from cbgateway.domain.delivery import Delivery
from cbgateway.domain.errors import GatewayError
from cbgateway.domain.failpoints import FAILPOINTS
from cbgateway.domain.lifecycle import DeliveryState
from cbgateway.domain.orders import Submit, decode_order
from cbgateway.domain.outcomes import Outcome
from cbgateway.domain.people import Permission
from cbgateway.preflight import FAILPOINTS_VARIABLE
from cbgateway.process import arm_failpoints
from cbgateway.signing.keys import SigningKey

ROOT = Path(__file__).parents[2]
LETTERS = str.maketrans("0123456789", "가나다라마바사아자차")
"""Digits in a text would be taken for a telephone number, which nobody has verified."""
REGION = "KR-26"
OLD_PHONES = [f"8210{n:08d}" for n in range(30)]
NEW_PHONES = [f"8211{n:08d}" for n in range(5)]
READY_TIMEOUT_S = 30.0
SETTLE_TIMEOUT_S = 300.0
LIFE_MAX_S = 0.8
FAILPOINT_TIMEOUT_S = 1.5
FAILPOINT_SHARE = 0.4  # of the deaths; the others come from outside
ROUND_KILLS = 250  # then a fresh folder
OPERATOR_EVERY = 4  # kills of the gateway for one of the operator
COPIES_MAX = 2
OFFICE_FAILPOINTS = [name for name in FAILPOINTS if name.startswith(("serial", "approve"))]
SERVING_FAILPOINTS = [
    name
    for name in FAILPOINTS
    if name not in OFFICE_FAILPOINTS and not name.startswith(("http", "mqtt"))
]


class Running(Protocol):
    """A process that was started."""

    pid: int | None

    def kill(self) -> None:
        """Send SIGKILL."""

    def terminate(self) -> None:
        """Send SIGTERM."""


class Child:
    """A process whose JSON lines are read as they come."""

    def __init__(self, process: Running, stream: Any) -> None:
        self.process = process
        self.lines: queue.Queue[dict[str, Any]] = queue.Queue()
        self._reader = threading.Thread(target=self._read, args=(stream,), daemon=True)
        self._reader.start()

    def _read(self, stream: Any) -> None:
        with suppress(OSError, EOFError):
            for line in stream:
                with suppress(ValueError):
                    self.lines.put(json.loads(line))

    def wait_for(self, key: str, value: str, *, timeout_s: float) -> bool:
        """Wait for a line that says something; False when it never does."""
        deadline = time.monotonic() + timeout_s
        while (left_s := deadline - time.monotonic()) > 0:
            try:
                line = self.lines.get(timeout=min(left_s, 0.2))
            except queue.Empty:
                if not self._reader.is_alive() and self.lines.empty():
                    return False
                continue
            if line.get(key) == value:
                return True
        return False

    def has_ended(self, *, within_s: float = 0.0) -> bool:
        """Tell whether it is gone, or goes soon."""
        self._reader.join(within_s)
        return not self._reader.is_alive()

    def end(self, *, kindly: bool = False) -> None:
        """End it as a power cut would, or as an operator; and read the last that it said."""
        with suppress(ProcessLookupError):
            (self.process.terminate if kindly else self.process.kill)()
        self._reader.join(READY_TIMEOUT_S)
        if isinstance(self.process, subprocess.Popen):
            self.process.wait()
        else:
            self.process.join()  # type: ignore[attr-defined]


def start(arguments: list[str], *, failpoint: str, stderr: bool) -> Child:
    """Start `python -m ...` and read one of its streams."""
    process = subprocess.Popen(
        [sys.executable, "-m", *arguments],
        stdout=subprocess.DEVNULL if stderr else subprocess.PIPE,
        stderr=subprocess.PIPE if stderr else None,
        text=True,
        env=os.environ | {FAILPOINTS_VARIABLE: failpoint},
        cwd=ROOT,
    )
    return Child(process, process.stderr if stderr else process.stdout)


def fork(arguments: list[str], *, failpoint: str, stderr: bool) -> Child:
    """Start the same, from a process that has imported everything."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["cbgateway.cli.main"])
    reader, writer = context.Pipe(duplex=False)
    process = context.Process(
        target=forked, args=(arguments, failpoint, 2 if stderr else 1, writer)
    )
    process.start()
    writer.close()
    return Child(process, os.fdopen(os.dup(reader.fileno()), encoding="utf-8"))


def forked(arguments: list[str], failpoint: str, descriptor: int, writer: Any) -> None:
    """Be the process that was asked for."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(writer.fileno(), descriptor)
    writer.close()
    os.environ[FAILPOINTS_VARIABLE] = failpoint
    sys.argv = arguments
    if arguments[0] == "cbgateway":
        run_command()
    else:
        main()


def operate(home: Path, seed: int) -> None:
    """Submit and approve until killed; tells of each bulletin once its approval has returned."""
    arm_failpoints(Mode.TEST)
    rng = random.Random(seed)
    with Gateway.open(home) as gateway:
        alice, bob = (
            SigningKey.load(home / "keys" / "people" / f"{name}.pem") for name in ("alice", "bob")
        )
        incidents: list[str] = []
        while True:
            document = make_document(rng, incidents)
            try:
                record = gateway.submit(json.dumps(document).encode(), key=alice)
                gateway.approve(gateway.prepare(record.bulletin.bulletin_id), key=bob)
            except GatewayError as error:
                say(refused=str(error))
                continue
            say(accepted=record.bulletin.bulletin_id, text=record.bulletin.texts["ko"])
            time.sleep(rng.uniform(0.0, 0.1))


def make_document(rng: random.Random, incidents: list[str]) -> dict[str, Any]:
    """Give a first bulletin of a new incident, or a later one of an old."""
    fresh = not incidents or rng.random() < 0.3
    incident = f"i-{os.getpid()}-{time.monotonic_ns()}" if fresh else rng.choice(incidents)
    if fresh:
        incidents.append(incident)
    facts = {
        "id": incident,
        "carrier": "kt",
        "services": ["voice"],
        "started_at": "2021-10-25T11:16:00+09:00",
    }
    return {
        "identifier": f"b-{os.getpid()}-{time.monotonic_ns()}",
        "sender": "alice",
        "incident": facts if fresh else incident,
        "kind": "first" if fresh else rng.choice(["progress", "correction"]),
        "class": "emergency",
        "regions": [REGION],
        "texts": {"ko": f"장애 {os.getpid()} {time.monotonic_ns()}".translate(LETTERS)},
        "next_update": "PT1H",
    }


def say(**facts: Any) -> None:
    """Write a line that the campaign reads."""
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


@dataclass
class Told:
    """What came of a campaign, before anybody looks into the database.

    Attributes:
        accepted: text of every bulletin whose approval returned, by its number.
        shown: how often each phone showed each text.
        kills: by how they came.
        ready_s: how long each start took until the gateway was ready.
    """

    accepted: dict[str, str] = field(default_factory=dict)
    shown: Counter[tuple[str, str]] = field(default_factory=Counter)
    kills: Counter[str] = field(default_factory=Counter)
    ready_s: list[float] = field(default_factory=list)


class Campaign:
    """A gateway, a carrier, and somebody with a knife."""

    def __init__(self, folder: Path, seed: int, *, forks: bool) -> None:
        self.told = Told()
        self.home = folder / "home"
        self._rng = random.Random(seed)
        self._start = fork if forks else start
        self._make(folder)

    def _make(self, folder: Path) -> None:
        profiles = folder / "profiles"
        shutil.copytree(ROOT / "profiles", profiles)
        country = profiles / "countries" / "kr.toml"
        limit = "limit = { capacity = 8, refill_per_hour = 8 }"
        plenty = "limit = { capacity = 1000, refill_per_hour = 3600 }"
        text = country.read_text("utf-8")
        assert limit in text, "the country's budgets look different now"
        country.write_text(text.replace(limit, plenty), "utf-8")
        rows = [f"{number},{REGION},ko" for number in OLD_PHONES]
        phones = folder / "phones.csv"
        phones.write_text(
            "\n".join(
                [
                    "number,region,language,kind",
                    *(f"{row},sms" for row in rows),
                    *(f"{number},{REGION},ko,broadcast" for number in NEW_PHONES),
                    "",
                ]
            ),
            "utf-8",
        )
        init_home(
            self.home,
            mode=Mode.TEST,
            country="kr",
            ports={"kt": 2775},
            clock=SystemClock(),
            reconnect_delay_max_s=0.1,
        )
        self.centre = self._start_centre(phones)
        settings = self.home / "cbgateway.toml"
        text = settings.read_text("utf-8")
        text = text.replace('country = "kr"\n', f'country = "kr"\nprofiles = "{profiles}"\n')
        text = text.replace("port = 2775\n", f"port = {self._port}\nmessages_per_s = 100000\n")
        settings.write_text(text, "utf-8")
        with Gateway.open(self.home) as gateway:
            for name, submits in (("alice", True), ("bob", False)):
                gateway.keyring.add_person(
                    name,
                    may_submit=submits,
                    may_approve=not submits,
                    permission=Permission(("KR",), ("emergency",)),
                )
            gateway.import_recipients("kt", "\n".join(["number,region,language", *rows]).encode())

    def _start_centre(self, phones: Path) -> Child:
        password = self.home / "secrets" / "kt.password"
        centre = start(
            [
                *("cbsim", "smsc", "--json", "--carrier", "kt", "--port", "0"),
                *("--system-id", "cbgateway", "--password-file", str(password)),
                *("--phones-file", str(phones)),
            ],
            failpoint="",
            stderr=False,
        )
        ready = centre.lines.get(timeout=READY_TIMEOUT_S)
        self._port = ready["port"]
        return centre

    def run(self, kills: int) -> None:
        """Kill, start again, and again."""
        operator = self._start_operator()
        for count in range(kills):
            failpoint = ""
            if self._rng.random() < FAILPOINT_SHARE:
                failpoint = f"{self._rng.choice(SERVING_FAILPOINTS)}:{self._rng.randrange(20)}"
            gateway = self._serve(failpoint)
            life_s = FAILPOINT_TIMEOUT_S if failpoint else self._rng.uniform(0.0, LIFE_MAX_S)
            died = gateway.has_ended(within_s=life_s)
            self.told.kills[failpoint.split(":")[0] if died else "SIGKILL"] += 1
            gateway.end()
            self._listen(operator)
            self._watch()
            if count % OPERATOR_EVERY == 0 or operator.has_ended():
                self.told.kills["operator"] += 1
                operator.end()
                self._listen(operator)
                operator = self._start_operator()
            if (count + 1) % 20 == 0:
                sys.stderr.write(f"\r{count + 1} kills, {len(self.told.accepted)} accepted ")
                sys.stderr.flush()
        operator.end()
        self._listen(operator)
        sys.stderr.write("\n")

    def _start_operator(self) -> Child:
        failpoint = ""
        if self._rng.random() < FAILPOINT_SHARE:
            failpoint = f"{self._rng.choice(OFFICE_FAILPOINTS)}:{self._rng.randrange(3, 30)}"
        arguments = ["tests.campaigns.kill", "--operate", str(self.home)]
        arguments += ["--seed", str(self._rng.randrange(1 << 30))]
        return self._start(arguments, failpoint=failpoint, stderr=False)

    def _listen(self, operator: Child) -> None:
        while not operator.lines.empty():
            line = operator.lines.get()
            if "accepted" in line:
                self.told.accepted[line["accepted"]] = line["text"]

    def _watch(self) -> None:
        while not self.centre.lines.empty():
            line = self.centre.lines.get()
            if line.get("event") == "shown":
                self.told.shown[line["phone"], line["text"]] += 1

    def _serve(self, failpoint: str) -> Child:
        began = time.monotonic()
        arguments = ["cbgateway", "serve", "--home", str(self.home)]
        child = self._start(arguments, failpoint=failpoint, stderr=True)
        if child.wait_for("message", "ready", timeout_s=READY_TIMEOUT_S):
            self.told.ready_s.append(time.monotonic() - began)
        return child

    def settle(self) -> None:
        """Serve without a knife until nothing is open, and read the phones' screens."""
        gateway = self._serve("")
        deadline = time.monotonic() + SETTLE_TIMEOUT_S
        with Gateway.open(self.home) as office:
            while time.monotonic() < deadline and is_busy(office):
                time.sleep(0.2)
        gateway.end(kindly=True)
        self.centre.end(kindly=True)
        self._watch()


def is_busy(office: Gateway) -> bool:
    """Tell whether something waits or is under way."""
    with office.store.read() as tx:
        return any(tx.in_state(state) for state in (DeliveryState.READY, DeliveryState.INTENT))


@dataclass
class Verdict:
    """What the comparison has found."""

    lost: int = 0
    in_doubt: int = 0
    problems: list[str] = field(default_factory=list)


def judge(home: Path, told: Told) -> dict[str, Any]:
    """Compare what was promised with what is there."""
    verdict = Verdict()
    with Gateway.open(home) as office:
        with office.store.read() as tx:
            for bulletin_id, text in told.accepted.items():
                record = tx.bulletin(bulletin_id)
                if record is None or record.decision is None or not record.decision.plan_hash:
                    verdict.lost += 1
                    verdict.problems.append(f"{bulletin_id} was accepted and is not there")
                    continue
                for row in tx.deliveries(bulletin_id):
                    judge_delivery(row, text, told, verdict)
        office.history.verify()
    for (number, text), copies in told.shown.items():
        if copies > (COPIES_MAX if number in OLD_PHONES else 1):
            verdict.problems.append(f"{number} showed {text} {copies} times")
    twice = sum(count == COPIES_MAX for count in told.shown.values())
    kills = sum(count for name, count in told.kills.items() if name != "operator")
    return {
        "kills": kills,
        "by": dict(sorted(told.kills.items())),
        "accepted": len(told.accepted),
        "lost": verdict.lost,
        "messages_shown": sum(told.shown.values()),
        "shown_twice": twice,
        "twice_per_kill": round(twice / kills, 2),
        "in_doubt": verdict.in_doubt,
        "worst_repeat": max(told.shown.values(), default=0),
        "ready_s": told.ready_s,
        "problems": verdict.problems[:20],
    }


def judge_delivery(row: Delivery, text: str, told: Told, verdict: Verdict) -> None:
    """Compare one order's end with the screens."""
    if row.state in {DeliveryState.READY, DeliveryState.INTENT}:
        verdict.problems.append(f"{row.bulletin_id}: delivery {row.delivery_id} is {row.state}")
    order = decode_order(row.order)
    if not isinstance(order, Submit):
        return
    for number, octet in zip(order.recipients, row.outcomes, strict=False):
        copies = told.shown[number, text]
        verdict.in_doubt += octet in {Outcome.IN_DOUBT, Outcome.IN_DOUBT_TWICE}
        if octet == Outcome.ACCEPTED and not copies:
            verdict.lost += 1
            verdict.problems.append(f"{number} has not {row.bulletin_id}")
        if octet == Outcome.UNSENT and copies:
            verdict.problems.append(f"{number} has {row.bulletin_id}, said to be unsent")


def percentiles(values: list[float]) -> dict[str, float]:
    """Give median, 99th percentile and maximum."""
    ordered = sorted(values)
    if not ordered:
        return {}
    return {
        "median": round(ordered[len(ordered) // 2], 2),
        "p99": round(ordered[len(ordered) * 99 // 100], 2),
        "max": round(ordered[-1], 2),
    }


def main() -> int:
    """Run the campaign, or be its operator."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--fork", action="store_true", help="fork instead of starting anew")
    parser.add_argument("--operate", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--jobs", type=int, default=1, help="rounds side by side")
    options = parser.parse_args()
    if options.operate is not None:
        operate(options.operate, options.seed)
    began = time.monotonic()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    if options.kills <= ROUND_KILLS:
        result = run_round(options.kills, options.seed, forks=options.fork)
    else:
        result = run_rounds(options.kills, options.seed, forks=options.fork, jobs=options.jobs)
    result["ready_s"] = percentiles(result["ready_s"])
    result["seconds"] = round(time.monotonic() - began, 1)
    say(**result)
    return 1 if result["lost"] or result["problems"] else 0


def run_round(kills: int, seed: int, *, forks: bool) -> dict[str, Any]:
    """Kill so often in one folder, and judge."""
    with tempfile.TemporaryDirectory() as folder:
        campaign = Campaign(Path(folder), seed, forks=forks)
        try:
            campaign.run(kills)
            campaign.settle()
        finally:
            campaign.centre.process.kill()
        return judge(campaign.home, campaign.told)


def run_rounds(kills: int, seed: int, *, forks: bool, jobs: int) -> dict[str, Any]:
    """Kill so often in rounds, each with a folder and a process of its own, and add up."""
    sizes = [ROUND_KILLS] * (kills // ROUND_KILLS) + [kills % ROUND_KILLS] * (
        kills % ROUND_KILLS > 0
    )
    total: dict[str, Any] = {"ready_s": [], "problems": [], "by": Counter(), "worst_repeat": 0}
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=spawn, max_tasks_per_child=1) as pool:
        work = partial(run_round, forks=forks)
        results = pool.map(work, sizes, range(seed, seed + len(sizes)))
        for count, one in enumerate(results, start=1):
            for name, value in one.items():
                if name == "by":
                    total[name].update(value)
                elif name == "worst_repeat":
                    total[name] = max(total[name], value)
                else:
                    total[name] = total.get(name, type(value)()) + value
            sys.stderr.write(f"{total['kills']} of {kills} kills, {total['accepted']} accepted, ")
            sys.stderr.write(f"{total['lost']} lost, round {count} of {len(sizes)}\n")
    total["twice_per_kill"] = round(total["shown_twice"] / total["kills"], 2)
    return total


if __name__ == "__main__":
    sys.exit(main())
