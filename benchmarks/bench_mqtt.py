"""Intake over MQTT: receipts a second, and how long each takes, with durability on.

`python benchmarks/bench_mqtt.py` runs mosquitto with docs/mosquitto.conf, `cbgateway serve`, and a
publisher on this machine. Commands are signed beforehand; the gateway checks both signatures of
each, applies every rule, commits, and sends the receipt.
"""

import argparse
import asyncio
import hashlib
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import aiomqtt
from stored import store

from cbgateway.domain.bulletin import Mode
from cbgateway.interfaces.mqtt.commands import write_command
from cbgateway.interfaces.mqtt.topics import SUBMIT, Topics
from cbgateway.service.intake import SUBMISSION
from cbgateway.signing.keys import SigningKey
from tests.integration.brokers import Mosquitto, Served

WINDOW = 64
"""Commands under way at once when as many as possible are asked for."""


def text_of(name: str) -> str:
    """Give a text that is like no other one, so that no rule about repetitions looks longer."""
    octets = hashlib.shake_256(name.encode()).digest(80)
    return "".join(
        chr(0xAC00 + int.from_bytes(octets[at : at + 2], "big") % 11_172) for at in range(0, 80, 2)
    )


def document_of(name: str) -> dict[str, Any]:
    """Write a bulletin that opens an outage of its own."""
    return {
        "identifier": name,
        "sender": "alice",
        "incident": {
            "id": name,
            "carrier": "kt",
            "services": ["voice"],
            "started_at": datetime.now(UTC).isoformat(),
        },
        "kind": "first",
        "regions": ["KR-26"],
        "texts": {"ko": text_of(name)},
        "next_update": "PT30M",
    }


def commands(key: SigningKey, topics: Topics, count: int, name: str) -> list[bytes]:
    """Sign commands."""
    now = datetime.now(UTC)
    return [
        write_command(
            document_of(f"{name}-{number}"),
            key,
            content=SUBMISSION,
            command_id=f"{name}-{number}",
            topic=topics.command("alice", SUBMIT),
            expires=now + timedelta(minutes=4),
            reply_to=f"{topics.prefix}/reply/alice/{name}-{number}",
        )
        for number in range(count)
    ]


def spent_s(pid: int) -> float:
    """Give the processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def publish(
    port: int, topics: Topics, payloads: list[bytes], rate: float | None, pid: int
) -> dict[str, Any]:
    """Publish all, at a rate or as fast as receipts come; give what was measured."""
    begun: dict[str, float] = {}
    spent: list[float] = []
    refused = 0
    window = asyncio.Semaphore(WINDOW if rate is None else len(payloads))
    async with aiomqtt.Client(
        "127.0.0.1",
        port,
        username="alice",
        password="alice-secret",  # noqa: S106 - of a broker that lives for a minute
        protocol=aiomqtt.ProtocolVersion.V5,
        identifier="bench",
    ) as client:
        client.pending_calls_threshold = len(payloads)
        await client.subscribe(topics.state("gateway"), qos=1)
        async for message in client.messages:
            if json.loads(message.payload)["is_online"]:
                break
        await client.unsubscribe(topics.state("gateway"))
        await client.subscribe(f"{topics.prefix}/reply/alice/#", qos=1)

        async def receive() -> None:
            nonlocal refused
            async for message in client.messages:
                name = message.topic.value.rpartition("/")[2]
                spent.append(time.perf_counter() - begun[name])
                refused += json.loads(message.payload)["status"] != "accepted"
                window.release()
                if len(spent) == len(payloads):
                    return

        receiving = asyncio.create_task(receive())
        used_s = spent_s(pid)
        start = time.perf_counter()
        sending = []
        for number, payload in enumerate(payloads):
            if rate is not None:
                await asyncio.sleep(max(0.0, start + number / rate - time.perf_counter()))
            await window.acquire()
            begun[json.loads(payload)["id"]] = time.perf_counter()
            topic = topics.command("alice", SUBMIT)
            sending.append(asyncio.create_task(client.publish(topic, payload, qos=1)))
        await asyncio.gather(*sending)
        await asyncio.wait_for(receiving, 60)
        seconds = time.perf_counter() - start
        used_s = spent_s(pid) - used_s
    cuts = statistics.quantiles(spent, n=100)
    return {
        "commands": len(payloads),
        "refused": refused,
        "gateway_cpu_ms": round(used_s / len(payloads) * 1000, 2),
        "receipts_per_s": round(len(payloads) / seconds),
        "p50_ms": round(statistics.median(spent) * 1000, 1),
        "p99_ms": round(cuts[98] * 1000, 1),
        "max_ms": round(max(spent) * 1000, 1),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--commands", type=int, default=3_000)
    parser.add_argument("--rate", type=float, default=300.0, help="commands a second")
    parser.add_argument("--preload", type=int, default=0, help="bulletins stored before")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        broker, gateway = Mosquitto(Path(folder) / "broker"), Served(Path(folder) / "lab")
        broker.prepare()
        broker.start()
        people = {"alice": ("--submit",), "bob": ("--approve",)}
        gateway.init(broker.port, people=people)
        key = SigningKey.load(gateway.home / "keys" / "people" / "alice.pem")
        topics = Topics(Mode.TEST, "lab")
        store(gateway.home, options.preload, lambda n: (document_of(f"before-{n}"), key))
        gateway.serve()
        pid = gateway.process.pid

        def measure(name: str, count: int, rate: float | None) -> dict[str, Any]:
            payloads = commands(key, topics, count, name)
            return asyncio.run(publish(broker.port, topics, payloads, rate, pid))

        try:
            measure("warm", 200, 100.0)
            result = {
                f"{options.rate:.0f}/s": measure("paced", options.commands, options.rate),
                "at once": measure("once", options.commands, None),
                "preload": options.preload,
                "load": os.getloadavg()[0],
                "python": platform.python_version(),
            }
        finally:
            gateway.stop()
            broker.kill()
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
