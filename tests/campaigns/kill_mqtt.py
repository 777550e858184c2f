"""Kill gateway and broker with SIGKILL around MQTT intake; `make campaign-kill-mqtt` runs it.

Machines publish bulletins through mosquitto without a pause, each repeating its document, in a new
envelope, until a receipt comes. The gateway is killed at random moments, or kills itself between
two steps from reading a command to having acknowledged it; now and then the broker is killed as
well. In the end every bulletin that has a receipt has to be there exactly once, with what was sent.
"""

import asyncio
import json
import random
import sys
import threading
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import count, cycle
from pathlib import Path
from typing import Any

import aiomqtt

from cbgateway.app import SystemClock, init_home
from cbgateway.domain.bulletin import Mode
from cbgateway.domain.failpoints import INTAKE_FAILPOINTS
from cbgateway.interfaces.mqtt.address import BrokerAddress
from cbgateway.interfaces.mqtt.client import client_of
from cbgateway.interfaces.mqtt.commands import write_command
from cbgateway.interfaces.mqtt.topics import SUBMIT, Topics
from cbgateway.service.intake import SUBMISSION
from cbgateway.signing.canonical import digest
from cbgateway.signing.keys import SigningKey
from tests.campaigns.kill import Child, fork, start
from tests.campaigns.kill_http import Told, first_bulletin, main, make_gateway
from tests.integration.brokers import Mosquitto

MACHINES = ("machine0", "machine1", "machine2", "machine3")
AT_ONCE = 8  # documents that one machine waits for receipts of
TOPICS = Topics(Mode.TEST, "lab")
READY_TIMEOUT_S = 30.0
SETTLE_TIMEOUT_S = 60.0
ASK_AGAIN_S = 1.0
LIFE_MAX_S = 0.8
FAILPOINT_TIMEOUT_S = 2.0
FAILPOINT_SHARE = 0.6
PASSES_MAX = 6  # some points are passed once a batch
BROKER_SHARE = 0.25  # of the gateway's lives that see the broker killed, too
POINTS = [name for name in INTAKE_FAILPOINTS if name.startswith("mqtt")]
SEEN = ("message", "mqtt is connected")


class Machine:
    """Publishes until told to stop; lets go of no document before it has a receipt."""

    def __init__(self, name: str, key: SigningKey, port: int, told: Told) -> None:
        self.name, self._key, self._told = name, key, told
        self._address = BrokerAddress("127.0.0.1", port, name, name, f"{name}-secret")
        self._attempts = count()

    async def run(self, is_over: threading.Event) -> None:
        """Publish some documents after the others."""
        for first in count(1, AT_ONCE):
            if is_over.is_set():
                return
            await self._until_told(range(first, first + AT_ONCE))

    async def _until_told(self, numbers: range) -> None:
        """Publish documents, and again what no receipt has come for, through whatever happens."""
        waiting = {f"b-{number}": first_bulletin(self.name, number) for number in numbers}
        attempts = 0
        while waiting:
            attempts += 1
            self._told.repeated += len(waiting) if attempts > 1 else 0
            try:
                async with client_of(self._address) as client, asyncio.timeout(ASK_AGAIN_S * 2):
                    await self._ask(client, waiting)
            except (aiomqtt.MqttError, TimeoutError):
                await asyncio.sleep(0.05)

    async def _ask(self, client: aiomqtt.Client, waiting: dict[str, dict[str, Any]]) -> None:
        await client.subscribe(f"{TOPICS.prefix}/reply/{self.name}/#", qos=1)
        topic = TOPICS.command(self.name, SUBMIT)
        for identifier, document in waiting.items():
            payload = write_command(
                document,
                self._key,
                content=SUBMISSION,
                command_id=f"{identifier}.{next(self._attempts)}",
                topic=topic,
                expires=datetime.now(UTC) + timedelta(minutes=2),
                reply_to=f"{TOPICS.prefix}/reply/{self.name}/{identifier}",
            )
            await client.publish(topic, payload, qos=1)
        async with asyncio.timeout(ASK_AGAIN_S):
            async for message in client.messages:
                identifier = message.topic.value.rpartition("/")[2]
                document = waiting.pop(identifier, None)
                if document is not None:
                    self._note(identifier, document, json.loads(message.payload))
                if not waiting:
                    return

    def _note(self, identifier: str, document: dict[str, Any], receipt: dict[str, Any]) -> None:
        name = (self.name, identifier)
        if receipt["status"] == "accepted":
            self._told.accepted[name] = digest(document)
            self._told.numbers[name] = receipt["bulletin"]
        else:
            self._told.problems.append(f"{name}: {receipt}"[:300])


class Campaign:
    """A broker, a gateway, machines that ask it, and somebody with a knife."""

    def __init__(self, folder: Path, seed: int, *, forks: bool) -> None:
        self.told = Told()
        self.kills: Counter[str] = Counter()
        self.ready_s: list[float] = []
        self.home = folder / "home"
        self._rng = random.Random(seed)
        self._points = cycle(POINTS)
        self._start = fork if forks else start
        self._broker = Mosquitto(folder / "broker", users=("gateway", *MACHINES))
        self._broker.prepare()
        init_home(self.home, mode=Mode.TEST, country="kr", ports={"kt": 1}, clock=SystemClock())
        secret = self.home / "secrets" / "mqtt"
        secret.touch(mode=0o600)
        secret.write_text("gateway-secret\n", "utf-8")
        settings = (
            f'\n[mqtt]\nport = {self._broker.port}\nsite = "lab"\nusername = "gateway"\n'
            'password_file = "secrets/mqtt"\n'
        )
        keys = make_gateway(self.home, settings, MACHINES)
        self._machines = [
            Machine(name, key, self._broker.port, self.told) for name, key in keys.items()
        ]

    def run(self, kills: int) -> None:
        """Kill, start again, and again; then let everybody have its receipts."""
        is_over = threading.Event()
        asking = threading.Thread(target=self._publish, args=(is_over,), daemon=True)
        self._broker.start()
        asking.start()
        try:
            for number in range(kills):
                self._live_once()
                sys.stderr.write(f"\r{number + 1} kills, {len(self.told.accepted)} accepted ")
            gateway = self._serve("")
            is_over.set()
            asking.join(SETTLE_TIMEOUT_S)
            if asking.is_alive():
                self.told.problems.append("somebody was never answered")
            gateway.end(kindly=True)
        finally:
            self._broker.kill()
        sys.stderr.write("\n")

    def _publish(self, is_over: threading.Event) -> None:
        async def everybody() -> None:
            await asyncio.gather(*(machine.run(is_over) for machine in self._machines))

        asyncio.run(everybody())

    def _live_once(self) -> None:
        """Have the gateway serve for a while, and end it; and the broker in the middle."""
        failpoint = ""
        if self._rng.random() < FAILPOINT_SHARE:
            failpoint = f"{next(self._points)}:{self._rng.randrange(PASSES_MAX)}"
        gateway = self._serve(failpoint)
        life_s = FAILPOINT_TIMEOUT_S if failpoint else self._rng.uniform(0.0, LIFE_MAX_S)
        if self._rng.random() < BROKER_SHARE:
            gateway.has_ended(within_s=self._rng.uniform(0.0, LIFE_MAX_S))
            self._broker.kill()
            self._broker.start()
            self.kills["broker"] += 1
            gateway.wait_for(*SEEN, timeout_s=READY_TIMEOUT_S)
        died = gateway.has_ended(within_s=life_s)
        self.kills[failpoint.partition(":")[0] if died and failpoint else "SIGKILL"] += 1
        gateway.end()

    def _serve(self, failpoint: str) -> Child:
        began = time.monotonic()
        arguments = ["cbgateway", "serve", "--home", str(self.home)]
        child = self._start(arguments, failpoint=failpoint, stderr=True)
        if child.wait_for(*SEEN, timeout_s=READY_TIMEOUT_S):
            self.ready_s.append(time.monotonic() - began)
        return child


if __name__ == "__main__":
    sys.exit(main(Campaign, __doc__, kills=20))
