"""A gateway with its centres and operators in one process, driven from one seed."""

import asyncio
import json
import random
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from cbgateway.app import Gateway, init_home
from cbgateway.carriers.registry import make_link
from cbgateway.domain import failpoints
from cbgateway.domain.bulletin import Mode
from cbgateway.domain.errors import GatewayError, StoreFailedError
from cbgateway.domain.people import Permission
from cbgateway.history import History
from cbgateway.keyring import Keyring
from cbgateway.service.dispatcher import Dispatcher
from cbgateway.service.inbox import Inbox
from cbgateway.settings import load_settings
from cbgateway.signing.keys import SigningKey
from cbgateway.storage.marks import Marks
from cbgateway.storage.sqlite import SqliteStore
from cbsim.handset import Handset
from tests.storm.centre import Centre
from tests.storm.loop import VirtualLoop, Weather

T = TypeVar("T")

DISK_FAILED = "the disk failed"
LETTERS = str.maketrans("0123456789", "가나다라마바사아자차")
"""Digits in a text would be taken for a telephone number, which nobody has verified."""
CANCEL_BROADCAST_SM = 0x113

START = datetime.fromisoformat("2021-10-25T11:16:00+09:00")
PORTS = {"kt": 2775, "skt": 2776, "lguplus": 2777}
CODES = {port: code for code, port in PORTS.items()}
REGIONS = ("KR-26", "KR-49")
RECIPIENTS = 12
ACTIVE_S = 240.0
CALM_S = 300.0
ENDING_S = 5.0
REGRET_SHARE = 0.15
REGRET_S = (1.0, 8.0)
"""What was issued is sometimes withdrawn while a peer that hangs has not answered yet."""
KINDS = ("progress", "progress", "eta_change", "correction", "withdrawal", "restored")


class Crash(BaseException):
    """The process is gone."""


@dataclass
class Clock:
    """Wall time that goes with the loop's."""

    loop: Any
    offset_s: float = 0.0

    def now(self) -> datetime:
        """Give the time."""
        return START + timedelta(seconds=self.loop.time() + self.offset_s)

    def monotonic_s(self) -> float:
        """Give seconds."""
        return float(self.loop.time())


class DirectStore(SqliteStore):
    """Commits in the caller's thread, so that runs repeat themselves; dies with its process."""

    is_dead = False
    world: "World | None" = None

    async def run(self, work: Callable[[Any], T]) -> T:
        """Commit, or be dead; or tell that the disk failed, before or after the commit."""
        if self.is_dead:
            raise Crash
        self._fail("disk error")
        with self.transaction() as tx:
            result = work(tx)
            if self.is_dead:
                raise Crash
        self._fail("disk error after all")
        return result

    def _fail(self, how: str) -> None:
        """Have the disk fail now and then."""
        if self.world is not None and self.world.weather.happens(how, 0.0005):
            self.world.note_trouble()
            raise StoreFailedError(DISK_FAILED)


@dataclass
class Process:
    """One life of the gateway."""

    gateway: Any
    task: "asyncio.Task[None]"
    links: dict[str, Any]


@dataclass
class Template:
    """A gateway's folder made once, and copied for every seed."""

    home: Path
    gateway: Any
    keys: dict[str, SigningKey]

    @classmethod
    def make(cls, folder: Path) -> "Template":
        """Make it."""
        home = folder / "template"
        clock = Clock(type("Still", (), {"time": staticmethod(lambda: -60.0)}))
        init_home(home, mode=Mode.TEST, country="kr", ports=PORTS, clock=clock)
        text = (
            (home / "cbgateway.toml").read_text().replace("ballast_mib = 1", "ballast_mib = 0.0625")
        )
        (home / "cbgateway.toml").write_text(text)
        (home / "cbgateway.ballast").unlink()
        keys = {}
        with Gateway.open(home, clock=clock) as gateway:
            for name, submits in (("alice", True), ("carol", True), ("bob", False)):
                _, path = gateway.keyring.add_person(
                    name,
                    may_submit=submits,
                    may_approve=not submits,
                    permission=Permission(("KR",), ("safety", "emergency", "critical")),
                )
                keys[name] = SigningKey.load(path)
            for code, port in PORTS.items():
                lines = ["number,region,language"]
                lines += [f"8210{port}{n:04d},{REGIONS[n % 2]},ko" for n in range(RECIPIENTS)]
                gateway.import_recipients(code, "\n".join(lines).encode())
            return cls(home, gateway, keys)


class World:
    """Everything of one seed."""

    def __init__(self, template: Template, folder: Path, seed: int) -> None:
        self.rng = random.Random(seed)
        self.template = template
        self.home = folder / f"home-{seed}"
        shutil.copytree(template.home, self.home)
        self.loop: VirtualLoop | None = None
        self.clock = Clock(None)
        self.centres: dict[str, Centre] = {}
        self.process: Process | None = None
        self.bulletins: list[dict[str, Any]] = []
        self.revoked: dict[str, float] = {}
        self.crashes = 0
        self.problems: list[str] = []
        self.opened: list[Any] = []
        self.stops: list[tuple[float, str]] = []
        self.troubles: list[tuple[float, str]] = []

    def open_gateway(self) -> Any:
        """Open the gateway as a process of its own would, with what never changes shared."""
        settings = load_settings(self.home)
        store = DirectStore.open(settings.database)
        marks = Marks.open(settings.marks)
        deployment = self.template.gateway.deployment
        keyring = Keyring(settings, deployment, store, self.clock)
        history = History(settings, store, marks, self.clock)
        history.check()
        gateway = Gateway(
            self.home, settings, deployment, store, marks, self.clock, keyring, history
        )
        self.opened.append(gateway)
        return gateway

    def carrier(self, gateway: Any, code: str) -> Any:
        """Give a carrier's profile."""
        return gateway.deployment.carriers[code]

    def start(self) -> None:
        """Begin a life of the gateway."""
        gateway = self.open_gateway()
        gateway.store.world = self
        assert self.loop is not None
        inbox = Inbox(gateway.store, gateway.deployment, self.clock)
        links = {
            code: make_link(
                self.carrier(gateway, code),
                places=[("127.0.0.1", port)],
                system_id="cbgateway",
                password=(self.home / "secrets" / f"{code}.password").read_text().strip(),
                random=self.rng.random,
                inbox=inbox,
            )
            for code, port in PORTS.items()
        }
        dispatcher = Dispatcher(
            gateway.store,
            gateway.deployment,
            links,
            clock=self.clock,
            random=self.rng.random,
            inbox=inbox,
        )
        task = self.loop.create_task(dispatcher.run(asyncio.Event()))
        self.process = Process(gateway, task, links)

    def crash(self) -> None:
        """End this life at once: nothing more is committed, and every connection is gone."""
        process = self.process
        if process is None:
            return
        self.process = None
        self.crashes += 1
        self.note_trouble()
        process.gateway.store.is_dead = True
        for transport in self.connections:
            transport.abort()
        self.connections.clear()
        process.task.cancel()

    def note_trouble(self) -> None:
        """Note that nothing is to be expected of the gateway for a while."""
        self.troubles += [(self.clock.monotonic_s(), code) for code in PORTS]

    async def bury(self, process: Process | None) -> None:
        """Wait until nothing of a life is left."""
        if process is None:
            return
        with suppress(BaseException):
            await process.task

    def _on_written(self, port: int, octets: bytes) -> None:
        """Note when a stop leaves; what is written are whole PDUs."""
        at = 0
        while at + 8 <= len(octets):
            if int.from_bytes(octets[at + 4 : at + 8], "big") == CANCEL_BROADCAST_SM:
                self.stops.append((self.clock.monotonic_s(), CODES[port]))
            at += int.from_bytes(octets[at : at + 4], "big")

    @property
    def connections(self) -> list[Any]:
        """Give the connections of this life."""
        return self._connections

    def run(self) -> None:
        """Run the seed: storm, then calm, in which everything has to come to an end."""
        weather = Weather(self.rng, roughness=self.roughness())
        self.loop = loop = VirtualLoop(weather)
        self.weather = weather
        self.clock.loop = loop
        loop.on_written = self._on_written
        self._connections: list[Any] = []
        self._make_centres(loop)
        asyncio.set_event_loop(loop)
        loop.set_exception_handler(lambda loop, context: None)
        try:
            loop.run_until_complete(self._live())
        finally:
            failpoints.arm(None)
            asyncio.set_event_loop(None)
            loop.close()
            for gateway in self.opened:
                with suppress(Exception):
                    gateway.store.close()
                    gateway.marks.close()

    def roughness(self) -> float:
        """Choose how bad the weather is."""
        return self.rng.choice([0.0, 0.3, 1.0, 2.0])

    def _make_centres(self, loop: VirtualLoop) -> None:
        deployment = self.template.gateway.deployment
        areas = {region.name["en"]: code for code, region in deployment.regions.items()}
        for code, port in PORTS.items():
            phones = [
                Handset(
                    number=f"8210{port}{n:04d}",
                    region=REGIONS[n % 2],
                    language="ko",
                    home_language="ko",
                    takes_broadcasts=n >= RECIPIENTS,
                    keys={},
                )
                for n in range(RECIPIENTS + 4)
            ]
            for phone in phones:
                phone.regions.add("KR") if hasattr(phone.regions, "add") else None
            password = (self.home / "secrets" / f"{code}.password").read_text().strip()
            centre = Centre(code, phones, areas, self.clock, password)
            self.centres[code] = centre

            def connect(centre: Centre = centre) -> Any:
                protocol = centre.protocol(self.weather, self.rng)
                made, lost = protocol.connection_made, protocol.connection_lost

                def connection_lost(reason: Any) -> None:
                    self.troubles.append((self.clock.monotonic_s(), centre.code))
                    lost(reason)

                def connection_made(transport: Any) -> None:
                    self._connections.append(transport)
                    made(transport)

                protocol.connection_made = connection_made  # type: ignore[method-assign]
                protocol.connection_lost = connection_lost  # type: ignore[method-assign]
                return protocol

            loop.servers[port] = connect

    async def _live(self) -> None:
        loop = self.loop
        assert loop is not None
        self._arm()
        self.start()
        tasks = [loop.create_task(self._operate()), loop.create_task(self._trouble())]
        await asyncio.sleep(ACTIVE_S)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        failpoints.arm(None)
        self.weather.calm()
        for code, port in PORTS.items():
            self.centres[code].is_hung = False
            if port not in loop.servers:
                loop.servers[port] = self._hidden.pop(port)
        await asyncio.sleep(ENDING_S)  # a process whose disk failed is on its way out
        if self.process is None or self.process.task.done():
            self.start()
        await asyncio.sleep(CALM_S)
        assert self.process is not None
        self.process.task.cancel()
        await asyncio.gather(self.process.task, return_exceptions=True)

    _hidden: dict[int, Any]

    def _arm(self) -> None:
        """Choose a failpoint and the time it is passed at which the process dies, or none."""
        self._hidden = {}
        if self.rng.random() < 0.5:
            failpoints.arm(None)
            return
        name = self.rng.choice(failpoints.FAILPOINTS)
        left = self.rng.randrange(12)

        def handler(passed: str) -> None:
            nonlocal left
            if passed == name:
                left -= 1
                if left < 0:
                    failpoints.arm(None)
                    self.died_at = passed
                    self.crash()
                    raise Crash

        failpoints.arm(handler)

    async def _trouble(self) -> None:
        """Kill the gateway, hide centres, hang them; and start the gateway again."""
        loop = self.loop
        assert loop is not None
        while True:
            await asyncio.sleep(self.rng.uniform(1, 30))
            if self.process is None or self.process.task.done():
                self.start()
                continue
            what = self.rng.random()
            code = self.rng.choice(list(PORTS))
            port = PORTS[code]
            if what < 0.25:
                process = self.process
                self.crash()
                await self.bury(process)
            elif what < 0.5 and port in loop.servers:
                self._hidden[port] = loop.servers.pop(port)
                for transport in list(self.connections):
                    if self.rng.random() < 0.5:
                        transport.abort()
            elif what < 0.7:
                self.centres[code].is_hung = not self.centres[code].is_hung
            elif self._hidden:
                back = self.rng.choice(sorted(self._hidden))
                loop.servers[back] = self._hidden.pop(back)

    async def _operate(self) -> None:
        """Submit and approve bulletins, as another process."""
        office = self.open_gateway()
        incidents = 0
        while True:
            await asyncio.sleep(self.rng.uniform(0.5, 40))
            open_incidents = {one["incident"] for one in self.bulletins}
            if not open_incidents or self.rng.random() < 0.2:
                incidents += 1
                incident, kind = f"inc-{incidents}", "first"
            else:
                incident, kind = self.rng.choice(sorted(open_incidents)), self.rng.choice(KINDS)
            office = self._try(office, incident, kind)
            if kind != "withdrawal" and self.rng.random() < REGRET_SHARE:
                await asyncio.sleep(self.rng.uniform(*REGRET_S))
                office = self._try(office, incident, "withdrawal")
            if self.rng.random() < 0.03 and "carol" not in self.revoked:
                office.keyring.revoke("carol")
                self.revoked["carol"] = self.loop.time() if self.loop else 0.0

    def _try(self, office: Any, incident: str, kind: str) -> Any:
        """Issue a bulletin, or be refused, or die; gives the operator's gateway to go on with."""
        try:
            self._issue(office, incident, kind)
        except Crash:
            return self.open_gateway()
        except GatewayError as error:
            self.refusals = [*getattr(self, "refusals", []), f"{kind}: {error}"]
        return office

    def _bound(self) -> list[str]:
        """Give the carriers that the gateway is connected to."""
        if self.process is None or self.process.task.done():
            return []
        return [code for code, one in self.process.links.items() if one._ready.is_set()]

    def _issue(self, office: Any, incident: str, kind: str) -> None:
        number = len(self.bulletins) + 1
        sender = self.rng.choice(["alice", "carol"])
        document: dict[str, Any] = {
            "identifier": f"b-{number}-{self.rng.randrange(10**9)}",
            "sender": sender,
            "incident": incident,
            "kind": kind,
            "class": self.rng.choice(["safety", "safety", "emergency", "critical"]),
            "regions": self.rng.choice([["KR-26"], ["KR-49"], ["KR-26", "KR-49"]]),
        }
        if kind == "first":
            document["incident"] = {
                "id": incident,
                "carrier": "kt",
                "services": ["voice"],
                "started_at": START.isoformat(),
            }
        if kind != "withdrawal":
            document["texts"] = {
                "ko": f"장애 안내 {number} {incident} {self.rng.randrange(10**6)}".translate(
                    LETTERS
                )
            }
        if kind not in {"withdrawal", "restored"}:
            document["next_update"] = "PT5M"
        if self.rng.random() < 0.1 and kind != "withdrawal":
            document["expires"] = "PT6M" if kind != "restored" else "PT5M"
        record = office.submit(json.dumps(document).encode(), key=self.template.keys[sender])
        prepared = office.prepare(record.bulletin.bulletin_id)
        at_s = self.loop.time() if self.loop else 0.0
        entry = {
            "id": record.bulletin.bulletin_id,
            "number": record.bulletin.number,
            "incident": incident,
            "kind": kind,
            "text": record.bulletin.texts.get("ko", ""),
            "expires": record.bulletin.expires,
            "approved_at_s": at_s,
            "sender": sender,
            "is_accepted": False,
            "bound_at": self._bound(),
        }
        self.bulletins.append(entry)
        office.approve(prepared, key=self.template.keys["bob"], confirmation=prepared.confirmation)
        entry["is_accepted"] = True
