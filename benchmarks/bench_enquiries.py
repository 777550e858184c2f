"""Measure answers to people who ask beside a bulletin that goes out, and what that costs it.

`cbsim smsc` and `cbgateway serve` are processes of their own. Phones ask in turn, at a rate; the
simulated centre notes how long each waits for the answer on its screen. A bulletin goes to a list
of recipients at the same time, by short message. Rounds with and without questions are interleaved,
each in a new gateway.
"""

import argparse
import csv
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from cbgateway.app import Gateway, SystemClock, init_home
from cbgateway.domain.bulletin import Mode
from cbgateway.domain.delivery import Channel
from cbgateway.domain.lifecycle import DeliveryState
from cbgateway.domain.people import Permission
from cbgateway.signing.keys import SigningKey

PHONES = 5_000
"""So that none asks more than five times a minute."""
QUESTIONS = ("부산", "상태 부산", "Busan", "도움", "")
SETTLE_S = 3.0
"""How long answers are still waited for."""
TIMEOUT_S = 900


class Centre:
    """A simulated message centre in a process of its own."""

    def __init__(self, folder: Path, port: int, password: Path) -> None:
        phones = folder / "phones.csv"
        with phones.open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow(("number", "region", "language", "kind"))
            rows.writerows((f"82101{n:07d}", "KR-26", "ko", "sms") for n in range(PHONES))
        self._log = (folder / "centre.jsonl").open("w+", encoding="utf-8")
        command = [sys.executable, "-m", "cbsim", "smsc", "--json", "--port", str(port)]
        command += ["--system-id", "cbgateway", "--password-file", str(password)]
        command += ["--phones-file", str(phones), "--web", "127.0.0.1:0"]
        self._process = subprocess.Popen(command, stdout=self._log)
        self._web = self._wait_ready(folder / "centre.jsonl")

    def _wait_ready(self, log: Path) -> str:
        until_s = time.monotonic() + 30
        while time.monotonic() < until_s:
            for line in log.read_text("utf-8").splitlines():
                event = json.loads(line)
                if event["event"] == "ready":
                    return str(event["web"]).removeprefix("http://").rstrip("/")
            time.sleep(0.05)
        msg = "the simulated centre did not start"
        raise TimeoutError(msg)

    def ask(self, method: str, path: str, document: dict[str, Any] | None = None) -> dict[str, Any]:
        """Ask its control."""
        connection = HTTPConnection(self._web, timeout=10)
        body = None if document is None else json.dumps(document).encode()
        connection.request(method, path, body, {"Content-Type": "application/json"})
        answer: dict[str, Any] = json.loads(connection.getresponse().read())
        connection.close()
        return answer

    def set_rate(self, per_s: float) -> None:
        """Have phones ask."""
        rules = {"per_s": per_s, "texts": list(QUESTIONS), "from_phones": True}
        self.ask("PATCH", "/scenario", {"incoming": rules})

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(timeout=30)
        self._log.close()


@contextmanager
def serving(home: Path) -> Iterator[None]:
    """Have a gateway serve for a while."""
    command = [sys.executable, "-m", "cbgateway", "serve", "--home", str(home)]
    with (home / "serve.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            yield
        finally:
            process.terminate()
            process.wait(timeout=60)


def make(home: Path, options: argparse.Namespace) -> dict[str, SigningKey]:
    """Make a gateway that answers, with a list of recipients; gives two people's keys."""
    init_home(home, mode=Mode.TEST, country="kr", ports={"kt": options.port}, clock=SystemClock())
    with (home / "cbgateway.toml").open("a", encoding="utf-8") as settings:
        settings.write(
            f"window_requests_max = {options.window}\nmessages_per_s = {options.messages_per_s}\n"
        )
        settings.write('\n[enquiries]\ncarriers = ["kt"]\n')
    keys = {}
    with Gateway.open(home) as gateway:
        for name, submits in (("alice", True), ("bob", False)):
            _, path = gateway.keyring.add_person(
                name,
                may_submit=submits,
                may_approve=not submits,
                permission=Permission(("KR",), ("safety",)),
            )
            keys[name] = SigningKey.load(path)
        rows = [f"82109{n:07d},KR-26,ko" for n in range(options.recipients)]
        lines = "\n".join(["number,region,language", *rows])
        gateway.import_recipients("kt", lines.encode())
    return keys


def issue(gateway: Gateway, keys: dict[str, SigningKey]) -> None:
    """Have a bulletin approved."""
    now = gateway.clock.now()
    document = {
        "identifier": "b-1",
        "sender": "alice",
        "incident": {
            "id": "inc-1",
            "carrier": "kt",
            "services": ["voice"],
            "started_at": now.isoformat(),
        },
        "kind": "first",
        "regions": ["KR-26"],
        "texts": {
            "ko": "[과기정통부] 부산 KT 통신 장애. 원인 확인 중",
            "en": "[MSIT] Busan: outage",
        },
        "next_update": "PT30M",
    }
    record = gateway.submit(json.dumps(document).encode(), key=keys["alice"])
    prepared = gateway.prepare(record.bulletin.bulletin_id)
    gateway.approve(prepared, key=keys["bob"], confirmation=prepared.confirmation)


def wait_sent(gateway: Gateway) -> None:
    """Wait until every short message of the bulletin has an outcome."""
    until_s = time.monotonic() + TIMEOUT_S
    open_states = {DeliveryState.READY, DeliveryState.INTENT}
    while time.monotonic() < until_s:
        with gateway.store.read() as tx:
            rows = tx.deliveries("inc-1/1")
        sms = [row for row in rows if row.lineage.channel is Channel.SMS]
        if sms and not any(row.state in open_states for row in sms):
            return
        time.sleep(0.05)
    msg = "the bulletin did not end"
    raise TimeoutError(msg)


def measure(options: argparse.Namespace, *, asks_per_s: float) -> dict[str, Any]:
    """Run one round in a gateway of its own."""
    with tempfile.TemporaryDirectory(prefix="bench-enquiries-") as folder:
        home = Path(folder) / "home"
        keys = make(home, options)
        centre = Centre(Path(folder), options.port, home / "secrets" / "kt.password")
        try:
            with serving(home), Gateway.open(home) as gateway:
                while not centre.ask("GET", "/state")["sessions"]:
                    time.sleep(0.05)
                if asks_per_s:
                    centre.set_rate(asks_per_s)
                    time.sleep(options.before_s)
                begun_s = time.monotonic()
                issue(gateway, keys)
                wait_sent(gateway)
                took_s = time.monotonic() - begun_s
                if asks_per_s:
                    centre.set_rate(0)
                    time.sleep(SETTLE_S)
                dialogues = centre.ask("GET", "/state")["dialogues"]
        finally:
            centre.stop()
    return {
        "bulletin_s": round(took_s, 3),
        "bulletin_per_s": round(options.recipients / took_s),
        **dialogues,
    }


def main() -> None:
    """Measure, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipients", type=int, default=100_000)
    parser.add_argument("--asks-per-s", type=float, default=200.0)
    parser.add_argument("--messages-per-s", type=float, default=2_000.0, help="pacing of a region")
    parser.add_argument("--window", type=int, default=200, help="requests in flight")
    parser.add_argument("--before-s", type=float, default=2.0, help="questions before the bulletin")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--port", type=int, default=27_750)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rounds: dict[str, list[dict[str, Any]]] = {"without": [], "with": []}
    for _ in range(options.rounds):
        rounds["without"].append(measure(options, asks_per_s=0))
        rounds["with"].append(measure(options, asks_per_s=options.asks_per_s))
    if options.json:
        print(json.dumps({"machine": platform.platform(), "options": vars(options), **rounds}))
        return
    for name, some in rounds.items():
        rate = statistics.median(one["bulletin_per_s"] for one in some)
        print(f"bulletin to {options.recipients:,}, {name} questions: {rate:,.0f} messages/s")
    for one in rounds["with"]:
        print(
            f"{one['asked']:,} questions at {options.asks_per_s:g}/s, "
            f"{one['answered']:,} answered: "
            f"p50 {one['p50_s']:.3f} s, p95 {one['p95_s']:.3f} s, p99 {one['p99_s']:.3f} s, "
            f"longest {one['max_s']:.3f} s"
        )


if __name__ == "__main__":
    main()
