"""What a publisher and a display do: ask and wait for the receipt, or watch what is told."""

import asyncio
import json
import socket
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

import aiomqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from cbgateway.domain.errors import NotSentError, UnansweredError
from cbgateway.interfaces.mqtt.address import BrokerAddress
from cbgateway.interfaces.schema import parse_json

T = TypeVar("T")

TIMEOUT_S = 10.0


def run(work: Coroutine[Any, Any, T]) -> T:
    """Do something with a broker.

    Raises:
        NotSentError: the broker cannot be reached, or refuses.
    """
    try:
        return asyncio.run(work)
    except aiomqtt.MqttError as error:
        msg = f"the broker: {error}"
        raise NotSentError(msg) from error


def properties_of(packet: int, **values: object) -> Any:  # noqa: ANN401 - the library has no type
    """Give properties of MQTT 5 by their names in the library."""
    make: Any = Properties
    properties = make(packet)
    for name, value in values.items():
        setattr(properties, name, value)
    return properties


def client_of(address: BrokerAddress) -> aiomqtt.Client:
    """Give a client that keeps nothing at the broker."""
    return aiomqtt.Client(
        address.host,
        address.port,
        username=address.username,
        password=address.password,
        identifier=address.client_id,
        protocol=aiomqtt.ProtocolVersion.V5,
        clean_start=True,
        tls_context=address.tls,
        timeout=TIMEOUT_S,
        socket_options=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
    )


async def ask(
    address: BrokerAddress,
    topic: str,
    payload: bytes,
    *,
    reply_to: str,
    state: str,
    timeout_s: float,
) -> dict[str, Any]:
    """Publish a command and give its receipt.

    Args:
        address: of the broker.
        topic: of the command.
        payload: signed.
        reply_to: where the receipt comes.
        state: where the gateway says whether it is there. A broker that never had it connected
            would drop the command, so half of the time is spent waiting for that to change.
        timeout_s: for everything.

    Raises:
        UnansweredError: no receipt came in time.
    """
    properties = properties_of(
        PacketTypes.PUBLISH,
        ResponseTopic=reply_to,
        CorrelationData=reply_to.rpartition("/")[2].encode(),
        MessageExpiryInterval=max(1, round(timeout_s)),
    )
    try:
        async with client_of(address) as client, asyncio.timeout(timeout_s):
            await client.subscribe([(reply_to, 1), (state, 1)])
            with suppress(TimeoutError):
                await asyncio.wait_for(_next_of(client, state), timeout_s / 2)
            await client.publish(topic, payload, qos=1, properties=properties)
            receipt: dict[str, Any] = parse_json(await _next_of(client, reply_to))
    except TimeoutError as error:
        msg = "no receipt; the command may have been taken in: ask again with the same document"
        raise UnansweredError(msg) from error
    return receipt


async def _next_of(client: aiomqtt.Client, topic: str) -> bytes:
    """Give what comes next of a topic."""
    while True:
        message = await anext(client.messages)
        if message.topic.value == topic:
            payload: bytes = message.payload
            return payload


async def watch(
    address: BrokerAddress, topic_filter: str, count: int, tell: Callable[[str], None]
) -> None:
    """Tell what comes, one JSON object a line; 0 for without end."""
    async with client_of(address) as client:
        await client.subscribe(topic_filter, qos=1)
        seen = 0
        async for message in client.messages:
            text = message.payload.decode("utf-8", "replace")
            try:
                payload = json.loads(text) if text else None
            except ValueError:
                payload = text
            line = {"topic": message.topic.value, "retain": message.retain, "payload": payload}
            tell(json.dumps(line, ensure_ascii=False))
            seen += 1
            if seen == count:
                return
