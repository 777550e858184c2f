"""Measure how long after an approval staff, pages, feed and displays say the same.

A gateway serves as a process of its own, with HTTP and a broker in memory; this process submits and
approves as the command line does. The clock starts when the approval is committed. Each way is
watched as its users watch it: briefings over their stream, page and feed by asking again, retained
state by a subscription.
"""

import argparse
import asyncio
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiomqtt
import httpx

from cbgateway.app import Gateway, SystemClock, init_home
from cbgateway.domain.bulletin import Mode
from cbgateway.domain.people import Permission
from cbgateway.interfaces.http.tokens import add_token
from cbgateway.interfaces.mqtt.topics import Topics
from cbgateway.signing.keys import SigningKey

PER_INCIDENT = 15
POLL_S = 0.01
PATIENCE_S = 10.0
WAYS = ("briefing (stream)", "page", "feed", "retained state")
LETTERS = str.maketrans("0123456789", "가나다라마바사아자차")
"""Digits in a text would be telephone numbers that nobody has verified."""


class Watch:
    """When each way has shown each bulletin, on the monotonic clock."""

    def __init__(self) -> None:
        self.seen: dict[tuple[str, str], float] = {}
        self.news = asyncio.Event()

    def note(self, way: str, bulletin: str) -> None:
        """Note that a way shows a bulletin."""
        self.seen.setdefault((way, bulletin), time.monotonic())
        self.news.set()

    async def all_show(self, bulletin: str) -> None:
        """Wait until every way has shown a bulletin."""
        async with asyncio.timeout(PATIENCE_S):
            while not all((way, bulletin) in self.seen for way in WAYS):
                self.news.clear()
                await self.news.wait()


class Office:
    """Submits and approves, as two people do."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._keys = {}
        for name, submits in (("alice", True), ("bob", False)):
            _, path = gateway.keyring.add_person(
                name,
                may_submit=submits,
                may_approve=not submits,
                permission=Permission(regions=("KR",), classes=("critical",)),
            )
            self._keys[name] = SigningKey.load(path)

    def issue(self, number: int) -> tuple[str, str, float]:
        """Issue one bulletin; gives its name, its code and when it was committed."""
        first = number % PER_INCIDENT == 0
        name = f"bench-{number // PER_INCIDENT}"
        incident: Any = name
        if first:
            began = self._gateway.clock.now() - timedelta(minutes=2)
            incident = {
                "id": name,
                "carrier": "kt",
                "services": ["voice"],
                "started_at": began.isoformat(),
            }
        document = {
            "schema": 1,
            "identifier": f"bench-{number}",
            "sender": "alice",
            "incident": incident,
            "kind": "first" if first else "progress",
            "class": "critical",
            "regions": ["KR-26"],
            "texts": {"ko": f"부산 KT 장애 {str(number).translate(LETTERS)}"},
            "next_update": "PT30M",
        }
        record = self._gateway.submit(json.dumps(document).encode(), key=self._keys["alice"])
        bulletin = record.bulletin
        prepared = self._gateway.prepare(bulletin.bulletin_id)
        self._gateway.approve(prepared, key=self._keys["bob"], confirmation=prepared.confirmation)
        return bulletin.bulletin_id, bulletin.code, time.monotonic()


async def follow(client: httpx.AsyncClient, watch: Watch) -> None:
    """Watch briefings as a desk does."""
    async with client.stream("GET", "/v1/briefings/events?language=ko", timeout=None) as answer:
        async for line in answer.aiter_lines():
            if line.startswith("data: ") and '"official_text"' in line:
                watch.note(WAYS[0], json.loads(line.removeprefix("data: "))["bulletin"])


async def subscribe(port: int, topics: Topics, watch: Watch) -> None:
    """Watch retained state as a display does."""
    async with aiomqtt.Client(
        "127.0.0.1", port, protocol=aiomqtt.ProtocolVersion.V5, identifier="display"
    ) as client:
        await client.subscribe(f"{topics.prefix}/state/briefing/+/ko", qos=1)
        async for message in client.messages:
            if message.payload:
                watch.note(WAYS[3], json.loads(message.payload)["bulletin"])


async def poll(
    client: httpx.AsyncClient, way: str, path: str, watch: Watch, bulletin: str, code: str
) -> None:
    """Ask for a page again and again until it shows a code."""
    while (way, bulletin) not in watch.seen:
        answer = await client.get(path)
        if code in answer.text:
            watch.note(way, bulletin)
        else:
            await asyncio.sleep(POLL_S)


async def measure(
    office: Office, url: str, token: str, port: int, topics: Topics, *, rounds: int
) -> dict[str, list[float]]:
    """Issue bulletins one after another; gives the seconds of each way."""
    watch, spent = Watch(), {way: [] for way in WAYS}  # type: ignore[var-annotated]
    headers = {"authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=url, headers=headers) as client:
        tasks = [
            asyncio.create_task(follow(client, watch)),
            asyncio.create_task(subscribe(port, topics, watch)),
        ]
        try:
            for number in range(rounds):
                bulletin, code, committed = await asyncio.to_thread(office.issue, number)
                incident = bulletin.rpartition("/")[0]
                asking: list[Awaitable[None]] = [
                    poll(client, WAYS[1], f"/i/{incident}/", watch, bulletin, code),
                    poll(client, WAYS[2], "/feed.atom", watch, bulletin, code),
                ]
                await asyncio.gather(*asking, watch.all_show(bulletin))
                for way in WAYS:
                    spent[way].append(watch.seen[way, bulletin] - committed)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    return spent


def started(command: list[str], found: Callable[[str], str | None], stream: str) -> Any:  # noqa: ANN401
    """Start a process and wait until it says where it listens; gives both."""
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, stream: subprocess.PIPE}
    process = subprocess.Popen([sys.executable, "-m", *command], text=True, **pipes)  # type: ignore[call-overload]
    for line in getattr(process, stream):
        address = found(line)
        if address:
            return process, address
    raise SystemExit(f"{command[0]} did not start")


def main() -> None:
    """Measure, and print p50 and p99 of each way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=100)
    rounds = parser.parse_args().rounds
    processes: list[subprocess.Popen[str]] = []
    with tempfile.TemporaryDirectory(prefix="bench-telling-") as folder:
        home = Path(folder, "home")
        clock = SystemClock()
        init_home(home, mode=Mode.TEST, country="kr", ports={"kt": 1}, clock=clock)
        try:
            broker, port = started(["cbsim", "broker", "--port", "0"], _port_of, "stdout")
            processes.append(broker)
            with (home / "cbgateway.toml").open("a", encoding="utf-8") as file:
                file.write(f'\n[http]\nport = 0\n\n[mqtt]\nport = {port}\nsite = "bench"\n')
            with Gateway.open(home) as gateway:
                office = Office(gateway)
                tokens = home / "secrets" / "http-tokens.toml"
                token, _ = add_token(
                    tokens, "bench", mode=Mode.TEST, days=1, now=clock.now(), random=os.urandom
                )
                serving, address = started(
                    ["cbgateway", "serve", "--home", str(home)], _address_of, "stderr"
                )
                processes.append(serving)
                topics = Topics(Mode.TEST, "bench")
                spent = asyncio.run(
                    measure(office, f"http://{address}", token, int(port), topics, rounds=rounds)
                )
        finally:
            for process in reversed(processes):
                process.terminate()
                process.communicate(timeout=20)
    print(f"{rounds} approvals, each to the four ways; seconds after the commit")
    for way, seconds in spent.items():
        cuts = statistics.quantiles(seconds, n=100)
        print(f"{way:20} p50 {statistics.median(seconds):.3f}  p99 {cuts[98]:.3f}")
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.machine()}")


def _port_of(line: str) -> str | None:
    return str(json.loads(line)["port"])


def _address_of(line: str) -> str | None:
    return str(json.loads(line)["address"]) if '"http listens"' in line else None


if __name__ == "__main__":
    main()
