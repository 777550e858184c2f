"""A gateway's link and a simulated controller with two cells, over real sockets in one process."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from cbgateway.app import load_checked_profiles
from cbgateway.carriers.cbsp.link import CbspLink, Endpoint
from cbgateway.carriers.cbsp.listener import Listeners
from cbgateway.codec import cbs, cbsp
from cbgateway.codec.cells import Cgi, Plmn
from cbgateway.domain.broadcast import Broadcast, GeographicalScope, SerialNumber
from cbgateway.domain.errors import DeliveryError
from cbgateway.domain.orders import Area, BroadcastReport, Handle, Primary, Stop, WriteReplace
from cbgateway.domain.ports import Ended, OnAir, Reloaded
from cbgateway.profiles.networks import CbspProfile, Quirks
from cbsim.bsc import Cell, Controller
from cbsim.bsc_server import Fault, Host, Scheduler
from cbsim.clock import SimulatedClock
from cbsim.handset import Handset, Shown

KT = Plmn("450", "08")
CELL_1, CELL_2, NO_CHANNEL = Cgi(KT, 1001, 11), Cgi(KT, 1001, 12), Cgi(KT, 1002, 21)
UNKNOWN = Cgi(KT, 1009, 99)
EXPIRES = datetime(2021, 10, 25, 4, 0, tzinfo=UTC)
KOREAN = "[KT] 11:16부터 전국 통신 장애. 복구 중입니다. " * 4
IDENTIFIER = 4371
QUICK: dict[str, Any] = {
    "keep_alive_interval_s": 1,
    "keep_alive_timeout_s": 0.3,
    "response_timeout_s": 0.3,
    "reconnect_delay_min_s": 0.01,
    "reconnect_delay_max_s": 0.02,
    "quirks": Quirks(),
}
PATIENCE_S = 5.0
POLL_S = 0.005


def rules(**changes: Any) -> CbspProfile:
    """Give the profile of a controller that follows the specification, with short timers."""
    profile = load_checked_profiles(None).networks["kt-gsm"].cbsp
    return profile.model_copy(update=QUICK | changes)


def serial(code: int = 7, update: int = 0) -> SerialNumber:
    """Give a serial number."""
    return SerialNumber(GeographicalScope.PLMN, code, update)


def write(
    *places: object,
    version: SerialNumber | None = None,
    text: str = KOREAN,
    identifier: int = IDENTIFIER,
    primary: Primary | None = None,
    broadcasts: int = 100,
) -> WriteReplace:
    """Give the order to broadcast a text."""
    return WriteReplace(
        bulletin_id="inc-1/1",
        alert_class="emergency",
        area=Area("KR-26", {"ko": "부산", "en": "Busan"}, tuple(map(str, places)) or ("*",)),
        broadcast=Broadcast(
            "ko",
            identifier,
            version or serial(),
            0x48,
            text,
            cbs.paginate(text, dcs=0x48, language="ko"),
        ),
        repetition_period_s=60,
        number_of_broadcasts=broadcasts,
        expires_at=EXPIRES,
        primary=primary,
    )


def stop(code: int = 7) -> Stop:
    """Give the order to end it."""
    area = Area("KR-26", {"ko": "부산", "en": "Busan"})
    return Stop("inc-1/2", "emergency", area, IDENTIFIER, code, EXPIRES)


def known(*versions: SerialNumber, places: tuple[object, ...] = ("*",), **more: Any) -> Handle:
    """Give what the store knows of versions that may be on air."""
    return Handle(
        alias=1,
        may_be_on_air=bool(versions),
        versions=tuple(map(int, versions)),
        cells=tuple(map(str, places)) if versions else (),
        **more,
    )


@dataclass
class Bench:
    """A link with its controller.

    Attributes:
        running: the link, as the dispatcher runs it.
        events: what the controller has told.
        shown: what phones have shown.
    """

    link: CbspLink
    host: Host
    running: asyncio.Task[None]
    events: list[dict[str, Any]] = field(default_factory=list)
    shown: list[Shown] = field(default_factory=list)

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until something is so."""
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                with suppress(TimeoutError):
                    async with asyncio.timeout(POLL_S):
                        await asyncio.Event().wait()

    async def send(self, order: Any, handle: Handle | None = None) -> BroadcastReport:
        """Have the link carry out an order."""
        report = await self.link.send(
            order, seal="", handle=handle or Handle(alias=1), is_urgent=False
        )
        assert isinstance(report, BroadcastReport)
        return report

    async def reload(self, *live: WriteReplace, ended: tuple[Ended, ...] = ()) -> Reloaded:
        """Have the link compare what is on air with what should be."""

        async def read() -> OnAir:
            return OnAir(live, ended)

        return await self.link.reload(read)

    def on_air(self, cell: Cgi) -> set[tuple[int, int]]:
        """Give what a cell repeats."""
        return set(self.host.controller.cells[cell].texts)

    def primaries(self, cell: Cgi) -> Mapping[tuple[int, int], float | None]:
        """Give the notifications without a text that a cell repeats."""
        return self.host.controller.cells[cell].primaries

    def count(self, kind: str) -> int:
        """Give how many requests of a type have come."""
        return self.host.requests.get(kind, 0)

    def connections(self) -> int:
        """Give how often the controller was connected."""
        return sum(event["event"] == "connected" for event in self.events)


async def failure_of(bench: Bench, order: Any, handle: Handle | None = None) -> DeliveryError:
    """Have the link carry out an order that ends in an error; gives it."""
    try:
        report = await bench.send(order, handle)
    except DeliveryError as error:
        return error
    msg = f"it was carried out: {report}"
    raise AssertionError(msg)


@asynccontextmanager
async def bench(
    *,
    role: str = "connect",
    address: str = "127.0.0.1",
    fault: str | None = None,
    restart: cbsp.Recovery | None = cbsp.Recovery.DATA_LOST,
    speed: float = 1.0,
    profile: CbspProfile | None = None,
    is_up: bool = True,
) -> AsyncIterator[Bench]:
    """Join a link with a controller; ends with both gone.

    Args:
        role: who connects: ``connect`` is the gateway.
        address: of both.
        fault: what the controller does wrong.
        restart: what it says of its memory when it is connected.
        speed: of its channels.
        profile: the network's; None for quick timers and no quirks.
        is_up: wait until the link is up.
    """
    clock = SimulatedClock(start=None, speed=speed)
    cells = [
        Cell(CELL_1, phones=[phone("1")]),
        Cell(CELL_2, phones=[phone("2")]),
        Cell(NO_CHANNEL, has_channel=False),
    ]
    events: list[dict[str, Any]] = []
    shown: list[Shown] = []
    host = Host(
        Controller("bsc-1", cells, lambda _phone, one: shown.append(one)),
        clock,
        events.append,
        fault=None if fault is None else Fault.parse(fault),
        restart_with=restart,
    )
    tasks = [asyncio.create_task(Scheduler([host], clock).run())]
    port = free_port(address)
    endpoint = Endpoint(role, address, port, address if role == "listen" else "")
    server = None if role == "listen" else await host.listen(address, port)
    link = CbspLink(
        "bsc-1", endpoint, profile or rules(), listeners=Listeners(), random=lambda: 0.5
    )
    running = asyncio.create_task(link.run())
    tasks.append(running)
    if role == "listen":
        tasks.append(asyncio.create_task(host.connect(address, port, None, retry_s=0.01)))
    try:
        made = Bench(link, host, running, events, shown)
        if is_up:
            async with asyncio.timeout(PATIENCE_S):
                await link.wait_ready()
        yield made
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if server is not None:
            server.close()
        if host.session is not None:
            host.session.abort()


def phone(number: str) -> Handset:
    """Make a phone in Busan."""
    return Handset(number, "KR-26", "ko", "ko", takes_broadcasts=True, keys={})


def free_port(address: str) -> int:
    """Find a port that nobody listens on."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as one:
        one.bind((address, 0))
        port: int = one.getsockname()[1]
        return port
