"""The connection to the broker: commands in the order they come, receipts, events and state out.

A message is acknowledged to the broker only after what it asks for is committed and its receipt
has reached the broker; what a crash leaves unacknowledged comes again and changes nothing.
"""

import asyncio
import math
import random
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, TypeVar

import aiomqtt
from aiomqtt import Message
from loguru import logger
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.subscribeoptions import SubscribeOptions

from cbgateway.codec.mqtt5_fields import Property, Value, encode_properties
from cbgateway.domain import failpoints
from cbgateway.domain.errors import GatewayError
from cbgateway.domain.ports import Store, Transaction
from cbgateway.interfaces.mqtt.address import BrokerAddress
from cbgateway.interfaces.mqtt.client import properties_of
from cbgateway.interfaces.mqtt.commands import Incoming
from cbgateway.interfaces.mqtt.intake import MqttIntake, Receipt
from cbgateway.interfaces.mqtt.state import Board, Told, gateway_state

T = TypeVar("T")

SESSION_EXPIRY_S = 604_800  # a week: so long the broker keeps what comes while we are away
RECEIVE_MAXIMUM = 256  # commands that the broker hands over before the first is acknowledged
QOS0_WAITING_MAX = 64  # only to be refused; beyond, they are dropped
KEEP_ALIVE_S = 15
TIMEOUT_S = 10.0
LOOK_S = 0.2
TOLD_AT_ONCE = 32  # so that a receipt waits for no more than these
RECONNECT_MIN_S = 0.5
RECONNECT_MAX_S = 30.0


class Waiting(asyncio.Queue[Message]):
    """Messages that wait; the broker's window bounds those with QoS 1, and this the others."""

    def put_nowait(self, item: Message) -> None:
        """Have a message wait, unless it is one of too many that only wait to be refused."""
        if item.qos or self.qsize() < QOS0_WAITING_MAX:
            super().put_nowait(item)


class MqttConnection:
    """Holds the connection up, and does everything over it."""

    def __init__(
        self,
        address: BrokerAddress,
        intake: MqttIntake,
        board: Board,
        reading: Store,
        *,
        gateway: str,
    ) -> None:
        """Make a connection; `run` opens it.

        Args:
            address: of the broker.
            intake: carries commands out.
            board: knows what was told.
            reading: for reads, in a thread; a connection of its own.
            gateway: the gateway's name, for its state.
        """
        self._address = address
        self._intake = intake
        self._board = board
        self._reading = reading
        self._gateway = gateway
        self.is_connected = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop` is set, connecting again with backoff."""
        delay_s = RECONNECT_MIN_S
        problem = ""
        await self._read(self._board.begin)  # what follows is told, however soon the line breaks
        while not stop.is_set():
            try:
                async with self._client() as client:
                    logger.bind(broker=self._address.host).info("mqtt is connected")
                    delay_s, problem = RECONNECT_MIN_S, ""
                    await self._serve(client, stop)
            except* (aiomqtt.MqttError, GatewayError, OSError) as group:
                error = str(group.exceptions[0])
                if error != problem:
                    problem = error
                    logger.bind(broker=self._address.host).warning("mqtt: {}", error)
            self.is_connected.clear()
            if not stop.is_set():
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), delay_s * (0.5 + random.random() / 2))  # noqa: S311 - spreads reconnects
                delay_s = min(delay_s * 2, RECONNECT_MAX_S)

    def _client(self) -> aiomqtt.Client:
        connecting = properties_of(
            PacketTypes.CONNECT,
            SessionExpiryInterval=SESSION_EXPIRY_S,
            ReceiveMaximum=RECEIVE_MAXIMUM,
        )
        client = aiomqtt.Client(
            self._address.host,
            self._address.port,
            username=self._address.username,
            password=self._address.password,
            identifier=self._address.client_id,
            protocol=aiomqtt.ProtocolVersion.V5,
            clean_start=False,
            keepalive=KEEP_ALIVE_S,
            timeout=TIMEOUT_S,
            queue_type=Waiting,
            properties=connecting,
            tls_context=self._address.tls,
            will=aiomqtt.Will(self._state_topic, self._state(is_online=False), 1, retain=True),
            socket_options=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
        )
        client.pending_calls_threshold = RECEIVE_MAXIMUM * 2
        # before connecting: what has waited follows right after CONNACK
        client._client.manual_ack_set(True)  # noqa: SLF001 - the library has no other way
        return client

    @property
    def _state_topic(self) -> str:
        return self._intake.topics.state("gateway")

    def _state(self, *, is_online: bool) -> bytes:
        mode = self._intake.topics.mode.value
        return gateway_state(is_online=is_online, mode=mode, gateway=self._gateway)

    async def _serve(self, client: aiomqtt.Client, stop: asyncio.Event) -> None:
        # neither what was retained before, nor without the flag that tells
        options = SubscribeOptions(qos=1, retainAsPublished=True, retainHandling=2)
        await client.subscribe(self._intake.topics.commands, options=options)
        await client.publish(self._state_topic, self._state(is_online=True), qos=1, retain=True)
        async with asyncio.TaskGroup() as tasks:
            working = [
                tasks.create_task(self._take_commands(client)),
                tasks.create_task(self._tell_changes(client)),
                tasks.create_task(_lost(client)),
            ]
            self.is_connected.set()
            stopping = tasks.create_task(stop.wait())
            await asyncio.wait([*working, stopping], return_when=asyncio.FIRST_COMPLETED)
            for task in (*working, stopping):
                task.cancel()
        if stop.is_set():
            await client.publish(
                self._state_topic, self._state(is_online=False), qos=1, retain=True
            )

    async def _take_commands(self, client: aiomqtt.Client) -> None:
        """Take what has come as one batch: one commit, receipts, acknowledgements in order."""
        messages = client.messages
        async for first in messages:
            batch = [first]
            while len(messages) and len(batch) < RECEIVE_MAXIMUM:
                batch.append(await anext(messages))
            receipts = await asyncio.gather(
                *(self._intake.handle(incoming_of(message)) for message in batch)
            )
            await _publish(client, [_answer_of(one) for one in receipts if one.topic])
            failpoints.passing("mqtt.answered")
            for message in batch:
                if message.qos:
                    client._client.ack(message.mid, message.qos)  # noqa: SLF001 - as above
            failpoints.passing("mqtt.acknowledged")

    async def _tell_changes(self, client: aiomqtt.Client) -> None:
        """Tell how things stand, while commands are taken in already, and then what changes."""
        await self._read(self._board.begin)
        more, after = True, ""
        while more:
            told, after = await self._read(partial(self._board.present, after=after))
            await self._tell(client, told)
            more = bool(after)
        while True:
            before = self._board.after
            try:
                await self._tell(client, await self._read(self._board.look))
            except BaseException:
                self._board.after = before  # told again over the next connection
                raise
            await asyncio.sleep(LOOK_S)

    async def _tell(self, client: aiomqtt.Client, messages: list[Told]) -> None:
        for at in range(0, len(messages), TOLD_AT_ONCE):
            await _publish(client, [_outgoing_of(one) for one in messages[at : at + TOLD_AT_ONCE]])

    async def _read(self, work: Callable[[Transaction], T]) -> T:
        def locked() -> T:
            with self._reading.read() as tx:
                return work(tx)

        return await asyncio.to_thread(locked)


class _Packed:
    """Properties in octets. The library's own are built and packed in 80 us, for each message."""

    def __init__(self, content_type: str, correlation: bytes | None = None) -> None:
        properties: list[tuple[Property, Value]] = [(Property.CONTENT_TYPE, content_type)]
        if correlation is not None:
            properties.append((Property.CORRELATION_DATA, correlation))
        self._octets = encode_properties(tuple(properties))

    def pack(self) -> bytes:
        """Give the octets, as the library asks for them."""
        return self._octets


_packed = cache(_Packed)
"""Of what is told: two content types."""


@dataclass(frozen=True, slots=True)
class _Outgoing:
    """What goes out: a receipt, an event or state."""

    topic: str
    payload: bytes
    retain: bool
    properties: Any


def _answer_of(receipt: Receipt) -> _Outgoing:
    properties = _Packed("application/json", receipt.correlation)
    return _Outgoing(receipt.topic, receipt.payload, retain=False, properties=properties)


def _outgoing_of(told: Told) -> _Outgoing:
    return _Outgoing(told.topic, told.payload, told.retain, _packed(told.content_type))


async def _publish(client: aiomqtt.Client, messages: list[_Outgoing]) -> None:
    """Publish, and wait until the broker has all of them; one timer for all.

    Raises:
        MqttError: it has not taken them in time, or is gone.
    """
    try:
        async with asyncio.timeout(TIMEOUT_S), asyncio.TaskGroup() as tasks:
            for one in messages:
                publishing = client.publish(
                    one.topic,
                    one.payload,
                    qos=1,
                    retain=one.retain,
                    properties=one.properties,
                    timeout=math.inf,
                )
                tasks.create_task(publishing)
    except TimeoutError as error:
        msg = f"the broker has not taken {len(messages)} messages within {TIMEOUT_S:.0f} s"
        raise aiomqtt.MqttError(msg) from error
    except ExceptionGroup as group:
        raise group.exceptions[0] from group


async def _lost(client: aiomqtt.Client) -> None:
    """Fail as soon as the connection is gone: what waits for an answer would not notice.

    Raises:
        MqttError: it is.
    """
    await asyncio.shield(client._disconnected)  # noqa: SLF001 - the library tells nobody else
    msg = "the connection has ended"
    raise aiomqtt.MqttError(msg)


def incoming_of(message: Message) -> Incoming:
    """Give a message of the library as ours."""
    properties: Any = message.properties
    return Incoming(
        topic=message.topic.value,
        payload=message.payload,
        qos=message.qos,
        retain=message.retain,
        response_topic=getattr(properties, "ResponseTopic", ""),
        correlation=getattr(properties, "CorrelationData", None),
    )
