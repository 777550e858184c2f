"""The broker on sockets: too many connections, clients that do not read, and its end."""

import asyncio
from typing import Any

import pytest

from cbgateway.codec import mqtt5
from cbgateway.codec.mqtt5 import Connect, Publish, Subscribe, Subscription
from cbsim import broker_server
from cbsim.broker_server import BrokerServer

WAIT_S = 10


async def connect(port: int, name: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect, and read the first answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(mqtt5.encode(Connect(name)))
    await asyncio.wait_for(reader.read(2), WAIT_S)
    return reader, writer


def on_server(work: Any) -> None:
    """Run something with a server."""

    async def run() -> None:
        server = BrokerServer()
        port = await server.listen("127.0.0.1", 0)
        try:
            async with asyncio.timeout(WAIT_S):
                await work(server, port)
        finally:
            server.close()

    asyncio.run(run())


def test_too_many_connections_are_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    """One more than there may be gets nothing."""
    monkeypatch.setattr(broker_server, "CONNECTIONS_MAX", 1)

    async def work(server: BrokerServer, port: int) -> None:
        _, first = await connect(port, "a")
        reader, second = await asyncio.open_connection("127.0.0.1", port)
        assert await reader.read() == b""
        assert len(server.connections) == 1
        for one in (first, second):
            one.close()

    on_server(work)


def test_client_that_does_not_read_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once more waits for it than may."""
    monkeypatch.setattr(broker_server, "SENDING_OCTETS_MAX", 100_000)

    async def work(server: BrokerServer, port: int) -> None:
        deaf, deaf_writer = await connect(port, "deaf")
        deaf_writer.transport.pause_reading()  # type: ignore[attr-defined] # of a stream
        deaf_writer.write(mqtt5.encode(Subscribe(1, (Subscription("a"),))))
        _, loud = await connect(port, "loud")
        while len(server.connections) == 2:
            loud.write(mqtt5.encode(Publish("a", bytes(50_000))))
            await loud.drain()
            await asyncio.wait([asyncio.create_task(loud.drain())])
        assert len(server.connections) == 1
        for one in (deaf_writer, loud):
            one.close()
        del deaf

    on_server(work)


def test_silent_clients_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """A timer ends a connection whose keep-alive has passed."""
    monkeypatch.setattr(broker_server, "TICK_S", 0.01)

    async def work(server: BrokerServer, port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(mqtt5.encode(Connect("c", keep_alive_s=1)))
        octets = await reader.read()

        assert octets.endswith(b"\xe0\x02\x8d\x00")
        assert server.connections == {}
        writer.close()

    on_server(work)


def test_it_serves_until_it_is_stopped() -> None:
    """And breaks what is connected then."""

    async def work() -> None:
        stopped, ready = asyncio.Event(), asyncio.get_running_loop().create_future()
        serving = asyncio.create_task(
            broker_server.serve("127.0.0.1", 0, on_ready=ready.set_result, stopped=stopped)
        )
        reader, writer = await connect(await ready, "c")
        stopped.set()
        await serving
        await asyncio.wait_for(reader.read(), WAIT_S)  # until its end
        assert reader.at_eof()
        writer.close()

    asyncio.run(work())
