"""Kill the gateway with SIGKILL around HTTP intake; `make campaign-kill-http` runs it.

Machines submit bulletins over HTTP without a pause, each repeating its request, octet for octet,
until it is answered. The gateway is killed at random moments, or kills itself between two steps
from reading a request to having answered it, and is started again on the same port. In the end
every bulletin that was answered with 202 has to be there exactly once, with what was sent, and
none of them twice.
"""

import argparse
import http.client
import json
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any, Protocol

from cbgateway.app import Gateway, SystemClock, init_home
from cbgateway.domain.bulletin import Mode
from cbgateway.domain.failpoints import INTAKE_FAILPOINTS
from cbgateway.domain.people import Permission
from cbgateway.interfaces.http.client import signed_headers
from cbgateway.signing.canonical import digest
from cbgateway.signing.keys import SigningKey
from tests.campaigns.kill import LETTERS, Child, fork, percentiles, say, start

MACHINES = 4
HOST = "127.0.0.1"
READY_TIMEOUT_S = 30.0
LIFE_MAX_S = 0.8
FAILPOINT_TIMEOUT_S = 1.5
FAILPOINT_SHARE = 0.5
ANSWER_TIMEOUT_S = 5.0
SEEN = ("message", "http listens")
POINTS = [name for name in INTAKE_FAILPOINTS if name.startswith("http")]


@dataclass
class Told:
    """What the machines were told.

    Attributes:
        accepted: hash of every document that was answered with 202, by sender and identifier.
        repeated: requests that were sent more than once.
        replayed: of these, those that were given the answer of one before.
    """

    accepted: dict[tuple[str, str], str] = field(default_factory=dict)
    numbers: dict[tuple[str, str], str] = field(default_factory=dict)
    repeated: int = 0
    replayed: int = 0
    problems: list[str] = field(default_factory=list)


def first_bulletin(machine: str, number: int) -> dict[str, Any]:
    """Give a bulletin of a machine's that opens an outage of its own."""
    return {
        "identifier": f"b-{number}",
        "sender": machine,
        "incident": {
            "id": f"{machine}-{number}",
            "carrier": "kt",
            "services": ["voice"],
            "started_at": "2021-10-25T11:16:00+09:00",
        },
        "kind": "first",
        "regions": ["KR-26"],
        "texts": {"ko": f"장애 {machine} {number}".translate(LETTERS)},
        "next_update": "PT1H",
    }


def make_gateway(home: Path, settings: str, machines: Sequence[str]) -> dict[str, SigningKey]:
    """Make a gateway with more settings than usual, and machines that may submit; gives keys."""
    with (home / "cbgateway.toml").open("a", encoding="utf-8") as file:
        file.write(settings)
    keys = {}
    with Gateway.open(home) as gateway:
        for name in machines:
            _, path = gateway.keyring.add_person(
                name,
                may_submit=True,
                may_approve=False,
                permission=Permission(("KR",), ("safety",)),
            )
            keys[name] = SigningKey.load(path)
    return keys


class Machine(threading.Thread):
    """Submits until told to stop; lets go of no request before it is answered."""

    def __init__(self, name: str, key: SigningKey, port: int, told: Told) -> None:
        super().__init__(daemon=True)
        self.machine, self.key, self.port, self.told = name, key, port, told
        self.is_over = threading.Event()

    def run(self) -> None:
        """Submit one bulletin after another."""
        count = 0
        while not self.is_over.is_set():
            count += 1
            self._submit(count)

    def _submit(self, count: int) -> None:
        document = first_bulletin(self.machine, count)
        incident = document["incident"]["id"]
        body = json.dumps(document, ensure_ascii=False).encode()
        path = f"/v1/incidents/{incident}/bulletins"
        headers = signed_headers(
            "POST",
            f"http://{HOST}:{self.port}{path}",
            body,
            self.key,
            created=int(time.time()),
            nonce=f"{incident}-{time.monotonic_ns()}",
            idempotency_key=incident if count % 2 else "",
        )
        attempts = 0
        while True:
            attempts += 1
            try:
                status, answer, again = self._send(path, body, headers)
            except (OSError, http.client.HTTPException):
                time.sleep(0.02)
                continue
            break
        self.told.repeated += attempts > 1
        self.told.replayed += again
        name = (self.machine, document["identifier"])
        if status == http.client.ACCEPTED:
            self.told.accepted[name] = digest(document)
            self.told.numbers[name] = json.loads(answer)["bulletin"]
        else:
            self.told.problems.append(f"{name}: {status} {answer[:300]!r}")

    def _send(self, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes, bool]:
        line = http.client.HTTPConnection(HOST, self.port, timeout=ANSWER_TIMEOUT_S)
        try:
            line.request("POST", path, body, headers)
            response = line.getresponse()
            answer = response.read()
            return response.status, answer, "idempotent-replayed" in response.headers
        finally:
            line.close()


class Campaign:
    """A gateway, machines that ask it, and somebody with a knife."""

    def __init__(self, folder: Path, seed: int, *, forks: bool) -> None:
        self.told = Told()
        self.kills: Counter[str] = Counter()
        self.ready_s: list[float] = []
        self.home = folder / "home"
        self._rng = random.Random(seed)
        self._points = cycle(POINTS)
        self._start = fork if forks else start
        init_home(self.home, mode=Mode.TEST, country="kr", ports={"kt": 1}, clock=SystemClock())
        port = self._rng.randrange(20_000, 32_000)  # below those that the system gives out
        settings = f"\n[http]\nport = {port}\n"
        keys = make_gateway(self.home, settings, [f"machine{n}" for n in range(MACHINES)])
        self._machines = [Machine(name, key, port, self.told) for name, key in keys.items()]

    def run(self, kills: int) -> None:
        """Kill, start again, and again; then let everybody be answered."""
        for machine in self._machines:
            machine.start()
        for count in range(kills):
            failpoint = ""
            if self._rng.random() < FAILPOINT_SHARE:
                failpoint = f"{next(self._points)}:{self._rng.randrange(20)}"
            gateway = self._serve(failpoint)
            life_s = FAILPOINT_TIMEOUT_S if failpoint else self._rng.uniform(0.0, LIFE_MAX_S)
            died = gateway.has_ended(within_s=life_s)
            self.kills[failpoint.partition(":")[0] if died and failpoint else "SIGKILL"] += 1
            gateway.end()
            sys.stderr.write(f"\r{count + 1} kills, {len(self.told.accepted)} accepted ")
        gateway = self._serve("")
        for machine in self._machines:
            machine.is_over.set()
        for machine in self._machines:
            machine.join(READY_TIMEOUT_S)
            if machine.is_alive():
                self.told.problems.append(f"{machine.machine} was never answered")
        gateway.end(kindly=True)
        sys.stderr.write("\n")

    def _serve(self, failpoint: str) -> Child:
        began = time.monotonic()
        arguments = ["cbgateway", "serve", "--home", str(self.home)]
        child = self._start(arguments, failpoint=failpoint, stderr=True)
        if child.wait_for(*SEEN, timeout_s=READY_TIMEOUT_S):
            self.ready_s.append(time.monotonic() - began)
        return child


def judge(home: Path, told: Told) -> dict[str, Any]:
    """Compare what was answered with what is there."""
    problems = list(told.problems)
    lost = 0
    with Gateway.open(home) as office:
        with office.store.read() as tx:
            records = tx.bulletins()
        office.history.verify()
    there = Counter((one.bulletin.sender, one.bulletin.identifier) for one in records)
    by_name = {(one.bulletin.sender, one.bulletin.identifier): one for one in records}
    for name, content in told.accepted.items():
        record = by_name.get(name)
        if record is None:
            lost += 1
            problems.append(f"{name} was accepted and is not there")
        elif (record.submission.content_hash, record.bulletin.bulletin_id) != (
            content,
            told.numbers[name],
        ):
            problems.append(f"{name} is not what was sent, or has another number")
    problems += [f"{name} is there {count} times" for name, count in there.items() if count > 1]
    problems += [f"{name} is there and nobody was told" for name in there.keys() - told.accepted]
    return {
        "accepted": len(told.accepted),
        "lost": lost,
        "repeated": told.repeated,
        "replayed": told.replayed,
        "problems": problems[:20],
    }


class Killing(Protocol):
    """A campaign that has been run."""

    told: Told
    kills: Counter[str]
    ready_s: list[float]
    home: Path

    def run(self, kills: int) -> None:
        """Kill so often, and then let everybody be answered."""


def main(make: Callable[..., Killing], description: str | None, *, kills: int) -> int:
    """Run a campaign and judge it.

    Args:
        make: of a folder and a seed, and `forks`.
        description: for `--help`.
        kills: how often the gateway is killed, unless told otherwise.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--kills", type=int, default=kills)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--fork", action="store_true", help="fork instead of starting anew")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        campaign = make(Path(folder), options.seed, forks=options.fork)
        campaign.run(options.kills)
        result = judge(campaign.home, campaign.told)
    result |= {"kills": sum(campaign.kills.values()), "by": dict(sorted(campaign.kills.items()))}
    say(**result, ready_s=percentiles(campaign.ready_s), seconds=round(time.monotonic() - began, 1))
    return 1 if result["lost"] or result["problems"] else 0


if __name__ == "__main__":
    sys.exit(main(Campaign, __doc__, kills=30))
