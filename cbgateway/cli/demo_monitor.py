"""Network monitoring in the demo: alarms over MQTT, and what the broker says that is so."""

import asyncio
import contextlib
import json
import sys
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

import aiomqtt

from cbgateway.domain.errors import InputError
from cbgateway.interfaces.mqtt.address import BrokerAddress
from cbgateway.interfaces.mqtt.client import client_of
from cbgateway.interfaces.mqtt.commands import write_command
from cbgateway.interfaces.mqtt.topics import ALARM, Topics
from cbgateway.service import proposals
from cbgateway.signing.keys import SigningKey

HOST = "127.0.0.1"
NAME = "kt_monitor"
"""What network monitoring is called in the demo."""
READY_TIMEOUT_S = 30
VALID = timedelta(minutes=1)

Tell = Callable[[str, Any], None]
"""Called with a topic below the prefix, and what is retained there; None once nothing is."""


class Monitor:
    """A broker as a process of its own, a machine that publishes, and a display that listens."""

    def __init__(self, topics: Topics, tell: Tell) -> None:
        """Make it; `start` starts the broker, `connect` waits for the gateway."""
        self._topics = topics
        self._tell = tell
        self._port = 0
        self._broker: asyncio.subprocess.Process | None = None
        self._watching: asyncio.Task[None] | None = None
        self._is_online = asyncio.Event()

    async def start(self) -> int:
        """Start the broker and give its port.

        Raises:
            InputError: it did not start.
        """
        self._broker = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "cbsim", "broker", "--port", "0"),
            stdout=asyncio.subprocess.PIPE,
        )
        assert self._broker.stdout is not None, "asked for above"  # noqa: S101 - our own invariant
        try:
            async with asyncio.timeout(READY_TIMEOUT_S):
                self._port = json.loads(await self._broker.stdout.readline())["port"]
        except (TimeoutError, ValueError) as error:
            msg = "the simulated broker did not start"
            raise InputError(msg) from error
        return self._port

    async def connect(self) -> None:
        """Listen to what is retained, and return once the gateway says that it is there.

        Raises:
            InputError: it never does.
        """
        self._watching = asyncio.create_task(self._watch())
        try:
            async with asyncio.timeout(READY_TIMEOUT_S):
                await self._is_online.wait()
        except TimeoutError as error:
            msg = "the gateway did not connect to the broker"
            raise InputError(msg) from error

    async def publish(
        self, alarms: Sequence[dict[str, Any]], key: SigningKey, *, now: datetime
    ) -> list[dict[str, Any]]:
        """Publish alarms, each signed, and give their receipts in the same order."""
        topic, below = self._topics.command(NAME, ALARM), f"{self._topics.prefix}/reply/{NAME}"
        receipts: dict[str, dict[str, Any]] = {}
        async with client_of(self._address(NAME)) as client, asyncio.timeout(READY_TIMEOUT_S):
            await client.subscribe(f"{below}/#", qos=1)
            for number, alarm in enumerate(alarms):
                payload = write_command(
                    alarm,
                    key,
                    content=proposals.ALARM,
                    command_id=f"{now:%H%M}-{number}",
                    topic=topic,
                    expires=now + VALID,
                    reply_to=f"{below}/{number}",
                )
                await client.publish(topic, payload, qos=1)
            async for message in client.messages:
                receipts[message.topic.value.rpartition("/")[2]] = json.loads(message.payload)
                if len(receipts) == len(alarms):
                    break
        return [receipts[str(number)] for number in range(len(alarms))]

    async def stop(self) -> None:
        """End the display and the broker."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        if self._broker is not None:
            with contextlib.suppress(ProcessLookupError):
                self._broker.terminate()
            await self._broker.wait()

    def _address(self, name: str) -> BrokerAddress:
        return BrokerAddress(HOST, self._port, name)

    async def _watch(self) -> None:
        """Tell what is retained, as a display does, until the broker ends."""
        prefix = f"{self._topics.prefix}/"
        with contextlib.suppress(aiomqtt.MqttError):
            async with client_of(self._address("display")) as client:
                await client.subscribe(f"{prefix}state/#", qos=1)
                async for message in client.messages:
                    below = message.topic.value.removeprefix(prefix)
                    state = json.loads(message.payload) if message.payload else None
                    if below == "state/gateway" and state is not None and state["is_online"]:
                        self._is_online.set()
                    self._tell(below, state)
