"""The shell: real sockets on free ports."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from cbgateway.codec import smpp
from cbsim.centre import MessageCentre, Setup
from cbsim.clock import SimulatedClock
from cbsim.network import Network
from cbsim.scenario import Scenario
from cbsim.server import Listen, Shell, endpoint, make_tls, serve
from cbsim.settings import read_table
from cbsim.smsc import VendorTlvs

PATIENCE_S = 10
BIND = smpp.BindTransceiver(system_id="esme")
SUBMIT = smpp.SubmitSm(destination=smpp.Address(1, 1, "1"), registered_delivery=1)


class Peer:
    """An ESME on a socket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self.writer = reader, writer
        self._framer = smpp.Framer()
        self._items: list[Any] = []

    async def send(self, *bodies: smpp.Body) -> None:
        """Send requests."""
        for number, body in enumerate(bodies, start=1):
            self.writer.write(smpp.encode(smpp.Pdu(body, number)))
        await self.writer.drain()

    async def get(self) -> Any:
        """Give the next PDU; None when the connection has ended."""
        while not self._items:
            octets = await asyncio.wait_for(self._reader.read(65_536), PATIENCE_S)
            if not octets:
                return None
            self._items += self._framer.receive(octets)
        return self._items.pop(0)


class Served:
    """A centre that is served."""

    def __init__(self, centre: MessageCentre, shell: Shell, events: list[Any]) -> None:
        self.centre, self.shell, self.events = centre, shell, events
        self.peers: list[Peer] = []
        self.stop: Callable[[], None] = lambda: None
        (ready,) = [one for one in events if one["event"] == "ready"]
        self.host, self.port = ready["host"], ready["port"]

    async def connect(self, **options: Any) -> Peer:
        """Connect."""
        peer = Peer(*await asyncio.open_connection(self.host, self.port, **options))
        self.peers.append(peer)
        return peer

    async def leave(self) -> None:
        """Close what is left of the peers."""
        for peer in self.peers:
            peer.writer.transport.abort()
            with contextlib.suppress(OSError):
                await asyncio.wait_for(peer.writer.wait_closed(), PATIENCE_S)


@contextlib.asynccontextmanager
async def served(settings: dict[str, Any] | None = None, **changes: Any) -> AsyncIterator[Served]:
    """Serve a centre on a free port."""
    events: list[dict[str, Any]] = []
    clock = SimulatedClock(start=None, speed=1)
    centre = MessageCentre(
        "smsc",
        Network([], lambda phone, shown: None),
        accounts=(),
        areas={},
        vendor_tlvs=VendorTlvs(),
        now_s=clock.now_s,
        setup=Setup(scenario=read_table(Scenario(), settings or {})),
        on_event=events.append,
    )
    listen = Listen(**({"host": "127.0.0.1", "port": 0} | changes))
    stopped = asyncio.Event()
    ready: asyncio.Future[Shell] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(
        serve(
            centre,
            clock,
            listen=listen,
            on_event=events.append,
            on_ready=ready.set_result,
            stopped=stopped,
        )
    )
    try:
        await asyncio.wait((ready, task), return_when="FIRST_COMPLETED", timeout=PATIENCE_S)
        if task.done():
            await task
        one = Served(centre, ready.result(), events)
        one.stop = stopped.set
        yield one
        await one.leave()
    finally:
        stopped.set()
        await asyncio.wait_for(task, PATIENCE_S)


def test_message_and_receipt_over_a_socket() -> None:
    """Bind, submit, answer, receipt, unbind, end; and stopping closes what is open.

    A receipt that was not answered comes again in the next session.
    """

    async def run() -> None:
        async with served({"receipts": {"delay": 0.02}}) as one:
            peer = await one.connect()
            await peer.send(BIND, SUBMIT)
            kinds = [type((await peer.get()).body) for _ in range(3)]
            assert kinds == [smpp.BindTransceiverResp, smpp.SubmitSmResp, smpp.DeliverSm]
            await peer.send(smpp.Unbind())
            assert isinstance((await peer.get()).body, smpp.UnbindResp)
            assert await peer.get() is None
            left = await one.connect()
            await left.send(BIND)
            kinds = [type((await left.get()).body) for _ in range(2)]
            assert kinds == [smpp.BindTransceiverResp, smpp.DeliverSm]
            one.stop()
            assert await left.get() is None

    asyncio.run(run())


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 on this machine")
def test_ipv6_and_a_port_that_is_taken() -> None:
    """It listens on ::1; a second one on the same port is told so."""

    async def run() -> None:
        try:
            async with served(host="::1") as one:
                peer = await one.connect()
                await peer.send(BIND)
                assert (await peer.get()).command_status == 0
                with pytest.raises(OSError, match="in use"):
                    async with served(host="::1", port=one.port):
                        pass
        except OSError as error:
            pytest.skip(f"no IPv6 here: {error}")

    asyncio.run(run())


def test_reset_is_a_reset_and_down_is_down() -> None:
    """RST ends the connection; while the centre is down none is taken, then one is again."""

    async def run() -> None:
        settings = {"faults": ["restart:1x"], "answers": {"down_s": 1000}}
        async with served(settings) as one:
            peer = await one.connect()
            await peer.send(BIND)
            await peer.get()
            await peer.send(SUBMIT)
            with pytest.raises(ConnectionResetError):
                await peer.get()
            with pytest.raises(ConnectionResetError):
                await (await one.connect()).get()
            one.centre.down_until_s = 0
            peer = await one.connect()
            await peer.send(BIND)
            assert (await peer.get()).command_status == 0

    asyncio.run(run())


def test_zero_window_stops_the_peer() -> None:
    """What a peer sends fills the buffers and goes no further."""

    async def run() -> None:
        async with served({"faults": ["zero-window"]}) as one:
            peer = await one.connect()
            peer.writer.write(bytes(1 << 24))
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(peer.writer.drain(), 0.2)
            assert [line["fault"] for line in one.events if line["event"] == "fault"] == [
                "zero-window"
            ]

    asyncio.run(run())


def test_peer_that_does_not_read_is_not_read() -> None:
    """Answers do not pile up: reading stops, and goes on when the peer reads."""

    async def run() -> None:
        async with served() as one:
            peer = await one.connect()
            await peer.send(BIND)
            await peer.get()
            peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
            count = 40_000
            for number in range(1, count + 1):
                peer.writer.write(smpp.encode(smpp.Pdu(smpp.EnquireLink(), number)))
            (connection,) = one.shell.connections.values()
            transport = connection._transport
            assert transport is not None
            peer.writer.transport.resume_reading()  # type: ignore[attr-defined]
            for _ in range(count):
                assert isinstance((await peer.get()).body, smpp.EnquireLinkResp)
            assert transport.get_write_buffer_size() == 0

    asyncio.run(run())


def test_held_up_connection_is_left_alone() -> None:
    """While the peer does not read, nothing is read from it and no deliver_sm is sent."""

    async def run() -> None:
        async with served() as one:
            peer = await one.connect()
            await peer.send(BIND)
            await peer.get()
            (connection,) = one.shell.connections.values()
            connection.pause_writing()
            one.centre.incoming(text="hello")
            one.shell.flush()
            assert one.centre.snapshot()["queues"] == {"esme": 1}
            connection.resume_writing()
            assert isinstance((await peer.get()).body, smpp.DeliverSm)

    asyncio.run(run())


def test_centre_connects_to_an_esme() -> None:
    """Outbind comes first, the ESME binds over that connection; one that is not there is told."""

    async def run() -> None:
        came: asyncio.Future[Peer] = asyncio.get_running_loop().create_future()

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            came.set_result(Peer(reader, writer))

        esme = await asyncio.start_server(accept, "127.0.0.1", 0)
        port = esme.sockets[0].getsockname()[1]
        unused = socket.create_server(("127.0.0.1", 0))
        closed = unused.getsockname()[1]
        unused.close()
        to = (("127.0.0.1", port), ("127.0.0.1", closed))
        async with served(outbind_to=to) as one:
            peer = await asyncio.wait_for(came, PATIENCE_S)
            assert (await peer.get()).body == smpp.Outbind(system_id="smsc")
            await peer.send(smpp.BindReceiver(system_id="esme"))
            assert (await peer.get()).command_status == 0
            assert len(one.centre.accounts.esmes["esme"].receivers) == 1
            peer.writer.close()
        (failed,) = [line for line in one.events if line["event"] == "outbind_failed"]
        assert failed["to"] == f"127.0.0.1:{closed}"
        esme.close()

    asyncio.run(run())


def certificate(folder: Path) -> tuple[str, str]:
    """Make a certificate for localhost and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(built.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return str(folder / "cert.pem"), str(folder / "key.pem")


def test_tls(tmp_path: Path) -> None:
    """With a certificate only TLS is spoken."""
    cert, key = certificate(tmp_path)
    trusting = ssl.create_default_context(cafile=cert)

    async def run() -> None:
        async with served(tls=make_tls(cert, key)) as one:
            peer = await one.connect(ssl=trusting, server_hostname="localhost")
            await peer.send(BIND)
            assert (await peer.get()).command_status == 0

    asyncio.run(run())


def test_endpoint_is_read() -> None:
    """With brackets around an IPv6 address."""
    assert endpoint("[::1]:2775") == ("::1", 2775)
    assert endpoint("esme.test:1") == ("esme.test", 1)
    for text in ("esme", ":1", "esme:0", "esme:70000", "esme:x"):
        with pytest.raises(ValueError, match="is not HOST:PORT"):
            endpoint(text)
