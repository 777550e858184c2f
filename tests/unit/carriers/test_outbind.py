"""Outbind: the centre connects, says who it is, and is bound to; nobody else learns anything."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from cbgateway.app import load_checked_profiles
from cbgateway.carriers.registry import make_link
from cbgateway.carriers.smpp import outbind as module
from cbgateway.carriers.smpp.group import SmppGroup
from cbgateway.carriers.smpp.link import Endpoint, SmppLink
from cbgateway.carriers.smpp.outbind import Outbind
from cbgateway.carriers.smpp.session import Credentials
from cbgateway.codec import smpp

CARRIER = load_checked_profiles(None).carriers["kt"]
CENTRE = Credentials("smsc", "theirs")
OURS = Credentials("gateway", "secret")
Call = Callable[[bytes], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]
HELLO = smpp.encode(smpp.Pdu(smpp.Outbind(system_id="smsc", password="theirs"), 1))


@contextlib.asynccontextmanager
async def waiting() -> AsyncIterator[tuple[SmppLink, Call]]:
    """Give a link that waits to be called, and what calls it and says something."""
    loop = asyncio.get_running_loop()
    real, port = loop.create_server, loop.create_future()

    async def create_server(*arguments: Any, **named: Any) -> Any:
        server = await real(*arguments, **named)
        port.set_result(server.sockets[0].getsockname()[1])
        return server

    loop.create_server = create_server  # type: ignore[method-assign]
    rules = CARRIER.smpp.model_copy(update={"bind": "receiver"})
    endpoint = Endpoint((("127.0.0.1", 1),), OURS, outbind=Outbind("127.0.0.1", 0, CENTRE))
    link = SmppLink("kt", endpoint, rules, random=lambda: 0.5)
    writers: list[asyncio.StreamWriter] = []

    async def call(octets: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", await port)
        writers.append(writer)
        writer.write(octets)
        return reader, writer

    task = asyncio.create_task(link.run())
    try:
        async with asyncio.timeout(10):
            yield link, call
    finally:
        for writer in writers:
            writer.transport.abort()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def one_pdu(reader: asyncio.StreamReader) -> smpp.Pdu:
    """Read one PDU."""
    header = await reader.readexactly(4)
    return smpp.decode(header + await reader.readexactly(int.from_bytes(header, "big") - 4))


async def is_closed(reader: asyncio.StreamReader) -> bool:
    """Wait for the end; nothing may come before."""
    with contextlib.suppress(ConnectionError):
        return not await reader.read(1)
    return True


@pytest.mark.parametrize("pieces", [1, 5])
def test_centre_that_calls_is_bound_to(pieces: int) -> None:
    """As the profile says, with our own name, again and again; one connection at a time."""

    async def run() -> list[smpp.Body]:
        seen: list[smpp.Body] = []
        async with waiting() as (link, call):
            for _ in range(2):
                size = len(HELLO) // pieces + 1
                reader, writer = await call(b"")
                for at in range(0, len(HELLO), size):
                    writer.write(HELLO[at : at + size])
                    await writer.drain()
                bind = await one_pdu(reader)
                seen.append(bind.body)
                answer = smpp.BindReceiverResp(system_id="smsc")
                writer.write(smpp.encode(smpp.Pdu(answer, bind.sequence_number)))
                await link.wait_ready()
                other, _ = await call(HELLO)
                assert await is_closed(other)
                writer.transport.abort()
                while link.is_ready:
                    await link._change()
        return seen

    bound = asyncio.run(run())

    expected = smpp.BindReceiver(
        system_id="gateway", password="secret", system_type="", interface_version=0x50
    )
    assert [type(one) for one in bound] == [type(expected)] * 2
    assert {(one.system_id, one.password) for one in bound} == {("gateway", "secret")}  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "octets",
    [
        smpp.encode(smpp.Pdu(smpp.Outbind(system_id="smsc", password="guess"), 1)),
        smpp.encode(smpp.Pdu(smpp.Outbind(system_id="other", password="theirs"), 1)),
        smpp.encode(smpp.Pdu(smpp.EnquireLink(), 1)),
        (16).to_bytes(4, "big") + b"\xff" * 12,
        b"GET / HTTP/1.1\r\n\r\n",
    ],
)
def test_anybody_else_is_closed(octets: bytes) -> None:
    """Without a word, least of all our password."""

    async def run() -> bool:
        async with waiting() as (_, call):
            reader, _writer = await call(octets)
            return await is_closed(reader)

    assert asyncio.run(run())


def test_silent_callers_are_closed_and_few(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a while, and at once when others wait already; they hold up nobody."""
    monkeypatch.setattr(module, "WAITING_MAX", 1)
    monkeypatch.setattr(module, "OUTBIND_TIMEOUT_S", 0.2)

    async def run() -> bool:
        async with waiting() as (_, call):
            first, _one = await call(b"\0\0")
            second, _two = await call(HELLO)
            assert await is_closed(second)
            assert await is_closed(first)
            third, _three = await call(HELLO + HELLO)
            return isinstance((await one_pdu(third)).body, smpp.BindReceiver)

    assert asyncio.run(run())


def test_gateway_that_ends_closes_who_waits() -> None:
    """A caller that has not said anything is let go."""

    async def run() -> bool:
        async with waiting() as (_, call):
            reader, _writer = await call(b"")
            other, _writer = await call(b"GET / HTTP/1.1\r\n\r\n")
            assert await is_closed(other)  # so that the first one has been taken in, too
        return await is_closed(reader)

    assert asyncio.run(run())


@pytest.mark.parametrize(("kind", "binds"), [(None, 1), ("receiver", 2)])
def test_profile_says_whether_it_is_waited_for(kind: str | None, binds: int) -> None:
    """Beside the binds that we make ourselves."""
    rules = CARRIER.smpp.model_copy(update={"outbind": kind})
    link: Any = make_link(
        CARRIER.model_copy(update={"smpp": rules}),
        places=[("127.0.0.1", 1)],
        system_id="gateway",
        password="secret",
        random=lambda: 0.5,
        outbind=Outbind("127.0.0.1", 0, CENTRE),
    )

    found = link._binds if isinstance(link, SmppGroup) else [link]
    assert len(found) == binds
    assert [one._endpoint.outbind is not None for one in found] == [False, True][:binds]


def test_port_that_is_taken_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """And tried again."""
    said: list[str] = []

    async def run() -> None:
        tried = asyncio.Event()

        async def refuse(*_: Any, **_named: Any) -> Any:
            if said:
                tried.set()
            message = "Address already in use"
            raise OSError(message)

        monkeypatch.setattr(asyncio.get_running_loop(), "create_server", refuse, raising=False)
        rules = CARRIER.smpp.model_copy(update={"reconnect_delay_min_s": 0.01})
        endpoint = Endpoint((("127.0.0.1", 1),), OURS, outbind=Outbind("127.0.0.1", 1, CENTRE))
        link = SmppLink("kt", endpoint, rules, random=lambda: 0.5)
        monkeypatch.setattr(link, "_report", said.append)
        task = asyncio.create_task(link.run())
        async with asyncio.timeout(10):
            await tried.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(run())

    assert said[0] == "cannot listen: Address already in use"
