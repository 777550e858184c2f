"""While the disk takes its time nobody is told anything: the octets on the wire are looked at."""

import asyncio
import json
import select
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import apsw
import pytest

from cbgateway.app import Gateway
from cbgateway.codec import mqtt5
from cbgateway.codec.mqtt5 import Ack, Packet, Publish, Type
from cbgateway.interfaces.mqtt.topics import ALARM, INCIDENT, SUBMIT
from cbsim.broker import BrokerLink
from tests.conformance.cap_alerts import alert, identity, pin, signed
from tests.conftest import Office
from tests.front import Front, serving
from tests.radio import until
from tests.unit.interfaces.mqtt_bench import Bench, on_bench

WAIT_S = 10.0
WATCH_S = 0.3
NAME, BASE = "slow", "unix"
CAP = {"content-type": "application/cap+xml"}


@dataclass
class Disk:
    """A disk whose syncs of the database's log last until they may end.

    Attributes:
        is_slow: whether syncs wait.
        reached: set once a commit is on its way to the disk.
        may_end: set when it may get there.
    """

    is_slow: bool = False
    reached: threading.Event = field(default_factory=threading.Event)
    may_end: threading.Event = field(default_factory=threading.Event)


class SlowLog(apsw.VFSFile):
    """The database's log on it; every commit is a sync of it."""

    def __init__(self, disk: Disk, name: Any, flags: list[int]) -> None:
        super().__init__(BASE, name, flags)
        self._disk = disk

    def xSync(self, flags: int) -> None:  # noqa: N802 - SQLite's name
        """Wait, and then sync."""
        if self._disk.is_slow:
            self._disk.reached.set()
            assert self._disk.may_end.wait(WAIT_S)
        super().xSync(flags)


class SlowVFS(apsw.VFS):
    """The layer of its files; connections that are opened while it is there use it."""

    def __init__(self, disk: Disk) -> None:
        super().__init__(NAME, BASE, makedefault=True)
        self._disk = disk

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 - SQLite's name
        """Open a file, for writing as well: apsw tells of locks that SQLite does without."""
        if flags[0] & apsw.SQLITE_OPEN_READONLY:
            flags[0] = flags[0] & ~apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_READWRITE
        if str(name).endswith("cbgateway.db-wal"):
            return SlowLog(self._disk, name, flags)
        return super().xOpen(name, flags)


@pytest.fixture
def disk() -> Iterator[Disk]:
    """Give a disk that is as quick as any until a test says otherwise."""
    one = Disk()
    layer = SlowVFS(one)
    yield one
    one.may_end.set()
    layer.unregister()


@dataclass
class Desk:
    """A front with everything that a request may be about."""

    front: Front
    cap: bytes
    bulletin: str
    incident: str

    def request(self, path: str, document: Any, *, by: str = "alice") -> bytes:
        """Sign a request and write it as it goes over the wire."""
        body = json.dumps(document, ensure_ascii=False).encode()
        return self.written(path, body, self.front.headers("POST", path, body, by=by))

    def written(self, path: str, body: bytes, headers: dict[str, str]) -> bytes:
        """Write a request as it goes over the wire."""
        lines = {"host": self.front.host, **headers, "content-length": str(len(body))}
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        return f"POST {path} HTTP/1.1\r\n{head}\r\n".encode() + body


def another(office: Office) -> dict[str, Any]:
    """Give the first bulletin of another outage."""
    incident = office.document()["incident"] | {"id": "inc-2"}
    return office.document(incident=incident, texts={"ko": "다른 통신 장애"})


def submitting(desk: Desk) -> bytes:
    """Submit a bulletin."""
    return desk.request("/v1/incidents", another(desk.front.office))


def approving(desk: Desk) -> bytes:
    """Approve one."""
    document = desk.front.decision(desk.bulletin)
    return desk.request(f"/v1/bulletins/{desk.bulletin}:approve", document, by="bob")


def returning(desk: Desk) -> bytes:
    """Give one back."""
    document = {"decision": "return", "bulletin": desk.bulletin, "reason": "name the city"}
    return desk.request(f"/v1/bulletins/{desk.bulletin}:return", document, by="bob")


def stepping(desk: Desk) -> bytes:
    """Say how far an outage has got."""
    document = {
        "decision": "transition",
        "incident": desk.incident,
        "from": "investigating",
        "to": "identified",
        "reason": "seen",
    }
    return desk.request(f"/v1/incidents/{desk.incident}:transition", document, by="bob")


ALARM_DOCUMENT = {
    "@type": "Alarm",
    "id": "a-1",
    "probableCause": "power",
    "sourceSystemId": "kt",
    "alarmRaisedTime": "2021-10-25T11:59:00+09:00",
}


def alarming(desk: Desk) -> bytes:
    """Tell of an alarm."""
    return desk.request("/v1/alarms", ALARM_DOCUMENT, by="kt_noc")


def alerting(desk: Desk) -> bytes:
    """Bring an alert in CAP."""
    return desk.written("/v1/cap", desk.cap, CAP)


WRITES = (submitting, approving, returning, stepping, alarming, alerting)


@pytest.mark.parametrize("write", WRITES, ids=lambda one: one.__name__)
def test_no_answer_before_the_sync(
    disk: Disk, office: Office, write: Callable[[Desk], bytes]
) -> None:
    """Not one octet of the answer, and nobody else sees what is not on the disk."""
    office.add("kt_noc", may_submit=True, owner="alice")
    own = identity()
    pin(office.gateway.home, own)
    with (
        Gateway.open(office.gateway.home, clock=office.clock) as gateway,
        serving(replace(office, gateway=gateway)) as front,
    ):
        bulletin = front.submit(office.document()).json()["bulletin"]
        octets = write(Desk(front, signed(alert(), own), bulletin, "inc-1"))
        before = front.ask("GET", "/v1/audit").json()
        host, port = front.host.split(":")
        with socket.create_connection((host, int(port)), timeout=WAIT_S) as line:
            disk.is_slow = True
            line.sendall(octets)
            assert disk.reached.wait(WAIT_S)
            told, _, _ = select.select([line], [], [], WATCH_S)
            seen = front.ask("GET", "/v1/audit").json()
            disk.may_end.set()
            answer = line.recv(65_536)
        after = front.ask("GET", "/v1/audit").json()

    assert (told, seen) == ([], before)
    assert answer.startswith((b"HTTP/1.1 202", b"HTTP/1.1 200"))
    assert len(after["items"]) > len(before["items"])


def packets_of(pieces: list[tuple[BrokerLink, bytes]]) -> list[Packet]:
    """Give what the gateway has sent to the broker so far."""
    (link,) = {
        link
        for link, _ in pieces
        if link._session is not None and link._session.client_id.startswith("cbgateway-")
    }
    framer = mqtt5.Framer()
    return [
        packet for owner, octets in pieces if owner is link for packet in framer.receive(octets)
    ]


def told_by(packets: list[Packet]) -> list[str]:
    """Give acknowledgements and receipts, in their order."""
    return [
        "receipt" if isinstance(one, Publish) else "puback"
        for one in packets
        if (isinstance(one, Publish) and "/reply/" in one.topic)
        or (isinstance(one, Ack) and one.type is Type.PUBACK)
    ]


@pytest.mark.parametrize("what", [SUBMIT, ALARM, INCIDENT])
def test_no_receipt_and_no_puback_before_the_sync(
    disk: Disk, office: Office, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """The receipt comes after the commit, and the acknowledgement after the receipt."""
    pieces: list[tuple[BrokerLink, bytes]] = []
    receive = BrokerLink.receive

    def recording(self: BrokerLink, octets: bytes) -> None:
        pieces.append((self, bytes(octets)))
        receive(self, octets)

    monkeypatch.setattr(BrokerLink, "receive", recording)
    office.add("kt_noc", may_submit=True, owner="alice")
    office.submit(office.document())
    step = {
        "decision": "transition",
        "incident": "inc-1",
        "from": "investigating",
        "to": "monitoring",
        "reason": "repaired",
    }
    by, document = {
        SUBMIT: ("alice", another(office)),
        ALARM: ("kt_noc", ALARM_DOCUMENT),
        INCIDENT: ("bob", step),
    }[what]

    async def work(bench: Bench) -> None:
        disk.is_slow = True
        payload = bench.command(document, by=by, what=what)
        asking = asyncio.create_task(bench.ask(payload, by=by, what=what))
        assert await asyncio.to_thread(disk.reached.wait, WAIT_S)
        await asyncio.wait([asking], timeout=WATCH_S)
        before = told_by(packets_of(pieces))
        disk.may_end.set()
        receipt = await asking
        await until(lambda: "puback" in told_by(packets_of(pieces)), patience_s=WAIT_S)

        assert before == []
        assert receipt["status"] == "accepted"
        assert told_by(packets_of(pieces)) == ["receipt", "puback"]

    on_bench(office, work)
