"""Kill the real process with SIGKILL, again and again: `python -m tests.campaigns.kill --kills 60`.

A gateway serves one simulated carrier with phones; an operator, a process of its own, submits and
approves without a pause. Either is killed at a random moment, or kills itself at a failpoint, and
is started again. In the end everything settles, and what the operator was told is compared with
the database and with the phones' screens.
"""

import argparse
import json
import os
import queue
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

from cbgateway.app import Gateway, SystemClock, init_home
from cbgateway.domain.bulletin import Mode
from cbgateway.domain.errors import GatewayError
from cbgateway.domain.failpoints import FAILPOINTS
from cbgateway.domain.lifecycle import DeliveryState
from cbgateway.domain.orders import Submit, decode_order
from cbgateway.domain.outcomes import Outcome
from cbgateway.domain.people import Permission
from cbgateway.preflight import FAILPOINTS_VARIABLE
from cbgateway.signing.keys import SigningKey

ROOT = Path(__file__).parents[2]
OLD_PHONES = 30
NEW_PHONES = 5
REGION = "KR-26"
READY_TIMEOUT_S = 30
SETTLE_TIMEOUT_S = 120
COPIES_MAX = 2
SERVING_FAILPOINTS = [
    name for name in FAILPOINTS if not name.startswith(("serial", "approve", "checkpoint"))
]


class Child:
    """A process whose output is read as it comes."""

    def __init__(self, arguments: list[str], *, failpoint: str = "", from_stderr: bool = False):
        environment = os.environ | {FAILPOINTS_VARIABLE: failpoint}
        self.process = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            stdout=subprocess.PIPE if not from_stderr else subprocess.DEVNULL,
            stderr=subprocess.PIPE if from_stderr else None,
            text=True,
            env=environment,
            cwd=ROOT,
        )
        self.lines: queue.Queue[dict[str, Any]] = queue.Queue()
        stream = self.process.stderr if from_stderr else self.process.stdout
        threading.Thread(target=self._read, args=(stream,), daemon=True).start()

    def _read(self, stream: Any) -> None:
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
                if self.process.poll() is not None and self.lines.empty():
                    return False
                continue
            if line.get(key) == value:
                return True
        return False

    def kill(self) -> None:
        """End it as a power cut would end it."""
        with suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()


def operate(home: Path, seed: int) -> None:
    """Submit and approve until killed; tells of each bulletin once its approval has returned."""
    rng = random.Random(seed)
    with Gateway.open(home) as gateway:
        alice, bob = (
            SigningKey.load(home / "keys" / "people" / f"{name}.pem") for name in ("alice", "bob")
        )
        incidents: list[str] = []
        while True:
            fresh = not incidents or rng.random() < 0.3
            incident = f"i-{os.getpid()}-{len(incidents)}" if fresh else rng.choice(incidents)
            document = {
                "identifier": f"b-{os.getpid()}-{time.monotonic_ns()}",
                "sender": "alice",
                "incident": {
                    "id": incident,
                    "carrier": "kt",
                    "services": ["voice"],
                    "started_at": "2021-10-25T11:16:00+09:00",
                }
                if fresh
                else incident,
                "kind": "first" if fresh else rng.choice(["progress", "correction"]),
                "class": "emergency",
                "regions": [REGION],
                "texts": {"ko": f"장애 {os.getpid()} {time.monotonic_ns()}"},
                "next_update": "PT1H",
            }
            if fresh:
                incidents.append(incident)
            try:
                record = gateway.submit(json.dumps(document).encode(), key=alice)
                gateway.approve(gateway.prepare(record.bulletin.bulletin_id), key=bob)
            except GatewayError as error:
                print(json.dumps({"refused": str(error)}), flush=True)
                continue
            line = {"accepted": record.bulletin.bulletin_id, "text": record.bulletin.texts["ko"]}
            print(json.dumps(line), flush=True)
            time.sleep(rng.uniform(0.0, 0.1))


class Campaign:
    """A gateway, a carrier, and somebody with a knife."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.rng = random.Random(seed)
        self.home = folder / "home"
        self.accepted: dict[str, str] = {}
        self.ready_s: list[float] = []
        self.kills: Counter[str] = Counter()
        self.shown: Counter[tuple[str, str]] = Counter()
        self._make(folder)

    def _make(self, folder: Path) -> None:
        profiles = folder / "profiles"
        subprocess.run(["cp", "-r", str(ROOT / "profiles"), str(profiles)], check=True)
        country = profiles / "countries" / "kr.toml"
        limit = "limit = { capacity = 8, refill_per_hour = 8 }"
        plenty = "limit = { capacity = 1000, refill_per_hour = 3600 }"
        country.write_text(country.read_text("utf-8").replace(limit, plenty), "utf-8")
        simulator_port = 20_000 + os.getpid() % 20_000
        init_home(
            self.home,
            mode=Mode.TEST,
            country="kr",
            ports={"kt": simulator_port},
            clock=SystemClock(),
            reconnect_delay_max_s=0.1,
        )
        settings = self.home / "cbgateway.toml"
        text = settings.read_text("utf-8").replace(
            'country = "kr"\n', f'country = "kr"\nprofiles = "{profiles}"\n'
        )
        settings.write_text(text + "messages_per_s = 100000\n", "utf-8")
        rows = [f"8210{n:08d},{REGION},ko,sms" for n in range(OLD_PHONES)]
        rows += [f"8211{n:08d},{REGION},ko,broadcast" for n in range(NEW_PHONES)]
        phones = folder / "phones.csv"
        phones.write_text("number,region,language,kind\n" + "\n".join(rows) + "\n", "utf-8")
        with Gateway.open(self.home) as gateway:
            for name, submits in (("alice", True), ("bob", False)):
                gateway.keyring.add_person(
                    name,
                    may_submit=submits,
                    may_approve=not submits,
                    permission=Permission(("KR",), ("emergency",)),
                )
            old = [row.rsplit(",", 1)[0] for row in rows[:OLD_PHONES]]
            gateway.import_recipients("kt", "\n".join(["number,region,language", *old]).encode())
        self.centre = Child(
            [
                *("cbsim", "smsc", "--json", "--carrier", "kt", "--port", str(simulator_port)),
                *("--system-id", "cbgateway"),
                *("--password-file", str(self.home / "secrets" / "kt.password")),
                *("--phones-file", str(phones)),
            ]
        )
        if not self.centre.wait_for("event", "ready", timeout_s=READY_TIMEOUT_S):
            sys.exit("the simulator did not start")

    def run(self, kills: int) -> None:
        """Kill, start again, and again."""
        operator = self._start_operator()
        for count in range(kills):
            failpoint = ""
            if self.rng.random() < 0.4:  # noqa: PLR2004 - most deaths come from outside
                failpoint = f"{self.rng.choice(SERVING_FAILPOINTS)}:{self.rng.randrange(20)}"
            gateway = self._serve(failpoint)
            if failpoint:
                with suppress(subprocess.TimeoutExpired):
                    gateway.process.wait(3.0)
            else:
                time.sleep(self.rng.uniform(0.0, 1.2))
            died = gateway.process.poll() is not None
            self.kills[failpoint.split(":")[0] if died else "SIGKILL"] += 1
            gateway.kill()
            self._listen(operator)
            if count % 4 == 3:  # noqa: PLR2004 - now and then the operator dies, too
                operator.kill()
                self._listen(operator)
                operator = self._start_operator()
            print(f"\r{count + 1} kills, {len(self.accepted)} accepted", end="", file=sys.stderr)
        operator.kill()
        self._listen(operator)
        print(file=sys.stderr)

    def _start_operator(self) -> Child:
        failpoint = ""
        if self.rng.random() < 0.5:  # noqa: PLR2004 - half of them
            name = self.rng.choice(["serial.claimed", "approve.written", "approve.committed"])
            failpoint = f"{name}:{self.rng.randrange(3, 30)}"
        arguments = ["tests.campaigns.kill", "--operate", str(self.home)]
        seed = self.rng.randrange(1 << 30)
        return Child([*arguments, "--seed", str(seed)], failpoint=failpoint)

    def _listen(self, operator: Child) -> None:
        if operator.process.poll() is not None:
            time.sleep(0.05)  # its last lines are on their way
        while not operator.lines.empty():
            line = operator.lines.get()
            if "accepted" in line:
                self.accepted[line["accepted"]] = line["text"]

    def _serve(self, failpoint: str) -> Child:
        began = time.monotonic()
        child = Child(
            ["cbgateway", "serve", "--home", str(self.home)], failpoint=failpoint, from_stderr=True
        )
        if child.wait_for("message", "ready", timeout_s=READY_TIMEOUT_S):
            self.ready_s.append(time.monotonic() - began)
        return child

    def settle(self) -> None:
        """Serve without a knife until nothing is open, and read the phones' screens."""
        gateway = self._serve("")
        deadline = time.monotonic() + SETTLE_TIMEOUT_S
        with Gateway.open(self.home) as office:
            while time.monotonic() < deadline:
                with office.store.read() as tx:
                    waiting = [
                        row
                        for state in (DeliveryState.READY, DeliveryState.INTENT)
                        for row in tx.in_state(state)
                    ]
                if not waiting:
                    break
                time.sleep(0.2)
        gateway.process.send_signal(signal.SIGTERM)
        gateway.process.wait(30)
        time.sleep(0.5)
        self.centre.process.send_signal(signal.SIGTERM)
        self.centre.process.wait(30)
        time.sleep(0.2)
        while not self.centre.lines.empty():
            line = self.centre.lines.get()
            if line.get("event") == "shown":
                self.shown[line["phone"], line["text"]] += 1

    def judge(self) -> dict[str, Any]:
        """Compare what was promised with what is there."""
        lost, problems = 0, []
        doubts = 0
        with Gateway.open(self.home) as office, office.store.read() as tx:
            for bulletin_id, text in self.accepted.items():
                record = tx.bulletin(bulletin_id)
                if record is None or record.decision is None or not record.decision.plan_hash:
                    lost += 1
                    problems.append(f"{bulletin_id} was accepted and is not there")
                    continue
                for row in tx.deliveries(bulletin_id):
                    if row.state in {DeliveryState.READY, DeliveryState.INTENT}:
                        problems.append(f"{bulletin_id}: delivery {row.delivery_id} is {row.state}")
                    order = decode_order(row.order)
                    if not isinstance(order, Submit):
                        continue
                    doubts += row.outcomes.count(Outcome.IN_DOUBT)
                    doubts += row.outcomes.count(Outcome.IN_DOUBT_TWICE)
                    for number, octet in zip(order.recipients, row.outcomes, strict=False):
                        copies = self.shown[number, text]
                        if octet == Outcome.ACCEPTED and not copies:
                            lost += 1
                            problems.append(f"{number} has not {bulletin_id}")
                        if octet == Outcome.UNSENT and copies:
                            problems.append(f"{number} has {bulletin_id}, said to be unsent")
            office.history.verify()
        twice = sum(count == COPIES_MAX for count in self.shown.values())
        worst = max(self.shown.values(), default=0)
        ready = sorted(self.ready_s)
        return {
            "kills": dict(self.kills),
            "accepted": len(self.accepted),
            "lost": lost,
            "messages_shown": sum(self.shown.values()),
            "shown_twice": twice,
            "twice_per_kill": round(twice / max(1, sum(self.kills.values())), 2),
            "in_doubt": doubts,
            "worst_repeat": worst,
            "ready_s": {
                "median": round(ready[len(ready) // 2], 2),
                "p99": round(ready[int(len(ready) * 0.99)], 2),
                "max": round(ready[-1], 2),
            }
            if ready
            else {},
            "problems": problems[:20],
        }


def main() -> int:
    """Run the campaign, or be its operator."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--operate", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.operate is not None:
        from cbgateway.process import arm_failpoints

        arm_failpoints(Mode.TEST)
        operate(options.operate, options.seed)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        campaign = Campaign(Path(folder), options.seed)
        try:
            campaign.run(options.kills)
            campaign.settle()
        finally:
            campaign.centre.kill()
        result = campaign.judge()
    result["seconds"] = round(time.monotonic() - began, 1)
    print(json.dumps(result, indent=2, ensure_ascii=False))
    return 1 if result["lost"] or result["problems"] or result["worst_repeat"] > COPIES_MAX else 0


if __name__ == "__main__":
    sys.exit(main())
