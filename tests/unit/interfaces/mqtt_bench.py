"""A gateway's MQTT side and a client, in one process with the simulated broker."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import aiomqtt
from paho.mqtt.packettypes import PacketTypes

from cbgateway.front import serving_mqtt
from cbgateway.interfaces.mqtt import connection
from cbgateway.interfaces.mqtt.address import BrokerAddress
from cbgateway.interfaces.mqtt.client import client_of, properties_of
from cbgateway.interfaces.mqtt.commands import write_command
from cbgateway.interfaces.mqtt.topics import ALARM, INCIDENT, SUBMIT, Topics
from cbgateway.service import incidents, intake, proposals
from cbgateway.settings import MqttSettings
from cbsim.broker_server import BrokerServer
from tests.conftest import Office

WAIT_S = 10.0
CONTENTS = {SUBMIT: intake.SUBMISSION, ALARM: proposals.ALARM, INCIDENT: incidents.STEP}


@dataclass
class Bench:
    """Everything at once."""

    office: Office
    topics: Topics
    server: BrokerServer
    address: BrokerAddress
    client: aiomqtt.Client
    count: int = 0
    heard: list[aiomqtt.Message] = field(default_factory=list)

    def command(self, document: dict[str, Any], *, by: str = "alice", **changes: Any) -> bytes:
        """Give a sound command, changed as asked."""
        self.count += 1
        what = changes.pop("what", SUBMIT)
        facts: dict[str, Any] = {
            "content": CONTENTS[what],
            "command_id": f"c-{self.count}",
            "topic": self.topics.command(by, what),
            "expires": self.office.clock.now() + timedelta(minutes=1),
        } | changes
        return write_command(document, self.office.keys[by], **facts)

    async def ask(
        self, payload: bytes, *, by: str = "alice", what: str = SUBMIT, **options: Any
    ) -> dict[str, Any]:
        """Publish a command and give its receipt."""
        self.count += 1
        reply = options.pop("reply", f"{self.topics.prefix}/reply/{by}/{self.count}")
        properties = properties_of(
            PacketTypes.PUBLISH, ResponseTopic=reply, CorrelationData=b"\0\1"
        )
        await self.client.subscribe(reply, qos=1)
        options = {"qos": 1, "properties": properties} | options
        await self.client.publish(self.topics.command(by, what), payload, **options)
        message = await self.next(lambda one: one.topic.value == reply)
        assert message.properties is not None
        assert message.properties.CorrelationData == b"\0\1"
        receipt: dict[str, Any] = json.loads(message.payload)
        return receipt

    async def next(self, wanted: Callable[[aiomqtt.Message], bool]) -> aiomqtt.Message:
        """Give the first message that is wanted and was not given yet; wait for it."""
        for at, message in enumerate(self.heard):
            if wanted(message):
                return self.heard.pop(at)
        async with asyncio.timeout(WAIT_S):
            async for message in self.client.messages:
                if wanted(message):
                    return message
                self.heard.append(message)
        raise AssertionError

    async def hears(self, rest: str, wanted: Callable[[Any], bool]) -> Any:
        """Wait until something below the prefix says what is wanted."""
        topic = f"{self.topics.prefix}/{rest}"
        message = await self.next(
            lambda one: (
                one.topic.matches(topic)
                and wanted(json.loads(one.payload) if one.payload else None)
            )
        )
        return json.loads(message.payload) if message.payload else None


def with_mqtt(office: Office, port: int) -> Any:
    """Give the gateway's desk with a broker in its settings."""
    mqtt = MqttSettings(port=port, site="lab")
    gateway = office.gateway
    object.__setattr__(gateway, "settings", gateway.settings.model_copy(update={"mqtt": mqtt}))
    return gateway.desk


@asynccontextmanager
async def bench(office: Office, wrap: Callable[[Any], Any]) -> AsyncIterator[Bench]:
    """Give a gateway that is connected to a broker, and a client."""
    server = BrokerServer()
    port = await server.listen("127.0.0.1", 0)
    topics = Topics(office.gateway.settings.mode, "lab")
    address = BrokerAddress("127.0.0.1", port, "client")
    try:
        async with client_of(address) as client:
            stop = asyncio.Event()
            async with serving_mqtt(wrap(with_mqtt(office, port)), stop):
                one = Bench(office, topics, server, address, client)
                await client.subscribe(f"{topics.prefix}/state/gateway", qos=1)
                await one.hears("state/gateway", lambda state: state["is_online"])
                yield one
    finally:
        server.close()


def on_bench(
    office: Office,
    work: Callable[[Bench], Awaitable[None]],
    wrap: Callable[[Any], Any] = lambda desk: desk,
) -> None:
    """Run a test's work with everything there; `wrap` puts something around the desk."""

    async def run() -> None:
        async with bench(office, wrap) as one:
            await work(one)

    quick = connection.RECONNECT_MIN_S
    connection.RECONNECT_MIN_S = 0.01
    try:
        asyncio.run(run())
    finally:
        connection.RECONNECT_MIN_S = quick
