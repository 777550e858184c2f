"""One run of a story: gateway and simulators, side by side in compressed time."""

import asyncio
import contextlib
import json
import signal
import socket
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.live import Live

from cbgateway.app import Gateway, init_home
from cbgateway.cli.common import console
from cbgateway.cli.demo_after import tell_afterwards
from cbgateway.cli.demo_clock import ScaledClock, machine_s
from cbgateway.cli.demo_monitor import NAME, Monitor
from cbgateway.cli.demo_phone import Dialogue, ask
from cbgateway.cli.demo_proxy import Proxy
from cbgateway.cli.demo_story import (
    Bulletin,
    Step,
    Story,
    alarms,
    document,
    summarise,
)
from cbgateway.cli.demo_view import View
from cbgateway.domain.bulletin import Mode
from cbgateway.domain.errors import InputError, ModeMismatchError, SamePersonError
from cbgateway.domain.incident import IncidentState
from cbgateway.domain.lifecycle import DeliveryState
from cbgateway.domain.people import Permission
from cbgateway.interfaces.mqtt.topics import Topics
from cbgateway.process import configure_logging
from cbgateway.service.reports import delivery_report
from cbgateway.settings import FILE_NAME
from cbgateway.signing.keys import SigningKey

CARRIERS = ("kt", "skt", "lguplus")
PREFIXES = {"kt": "82101", "skt": "82102", "lguplus": "82103"}
SITE = "demo"
"""Stands in every topic of the demo."""
OLD_EVERY = 10
ENGLISH_EVERY = 8
RECONNECT_DELAY_MAX_S = 0.3
READY_TIMEOUT_S = 30
LOST_TIMEOUT_S = 30
"""Seconds until an answer that got lost is no more waited for: a response timer and a new bind."""
SETTLE_TIMEOUT_S = 10
"""Seconds that phones have to show a bulletin that is waited for."""
FRAME_S = 0.1
LINE_OCTETS_MAX = 1 << 28
"""A simulator's last line tells of every phone."""


@dataclass(slots=True)
class Simulator:
    """A message centre with its phones, as a process of its own."""

    process: asyncio.subprocess.Process
    reader: "asyncio.Task[None]"
    phones: list[dict[str, Any]] = field(default_factory=list)


class Run:
    """One run of the demo."""

    def __init__(
        self,
        folder: Path,
        story: Story,
        *,
        phones: int,
        seconds: float,
        first_port: int | None,
        keep: Path | None = None,
    ) -> None:
        """Prepare a run in a folder that is thrown away afterwards, save what `keep` gets."""
        self._folder = folder
        self._keep = folder / "told" if keep is None else keep
        self._story = story
        self._phones = phones
        self._speed = (story.end - story.start).total_seconds() / seconds
        self._ports = _ports(first_port)
        self._simulators: dict[str, Simulator] = {}
        self._bulletins: list[Bulletin] = []
        self._first_shown: datetime | None = None
        self._displays: dict[tuple[int, str], datetime] = {}
        self._approved_s: dict[int, float] = {}
        self._screen_s: dict[int, float] = {}
        self._not_refused: list[str] = []
        self._automation: dict[str, Any] | None = None
        self._web: dict[str, str] = {}
        self._incident = ""
        self._draft = ""
        self._keys: dict[str, SigningKey] = {}
        self._areas: dict[str, str] = {}
        self._news = asyncio.Event()
        self.clock = ScaledClock(speed=self._speed, start=story.start)
        self.view = View(names={}, story=story, now=story.start)
        self._proxy: Proxy | None = None
        self._monitor: Monitor | None = None

    async def run(self, *, live: bool) -> dict[str, Any]:
        """Run the story and give its summary."""
        home = self._folder / "gateway"
        init_home(
            home,
            mode=Mode.TEST,
            country="kr",
            ports=self._ports,
            clock=self.clock,
            reconnect_delay_max_s=RECONNECT_DELAY_MAX_S,
        )
        if any(step.asks for step in self._story.steps):
            with (home / FILE_NAME).open("a", encoding="utf-8") as settings:
                settings.write('\n[enquiries]\ncarriers = ["kt", "skt"]\n')
        try:
            await self._start_monitor(home)
            return await self._run(home, live=live)
        finally:
            if self._monitor is not None:
                await self._monitor.stop()

    async def _run(self, home: Path, *, live: bool) -> dict[str, Any]:
        with Gateway.open(home, clock=self.clock) as gateway, (home / "log.jsonl").open("w") as log:
            configure_logging(Mode.TEST, log)
            self._prepare(gateway)
            try:
                up = [code for code in CARRIERS if code != self._story.failing]
                await asyncio.gather(*(self._start(code) for code in up))
                with _screen(self.view, live=live) as draw:
                    await self._tell(gateway, draw)
            finally:
                if self._proxy is not None:
                    await self._proxy.stop()
                await asyncio.gather(*(_stop(one) for one in self._simulators.values()))
            after = tell_afterwards(
                gateway.telling,
                self._incident or self._story.incident,
                region=self._story.regions[0],
                displays=self._displays,
                bulletins=self._bulletins,
                folder=self._keep,
            )
        summary = summarise(
            first_notice_s=None
            if self._first_shown is None
            else round((self._first_shown - self._story.start).total_seconds(), 1),
            bulletins=self._bulletins,
            phones={code: self._told_phones(one) for code, one in self._simulators.items()},
        )
        most = max(
            (one["most"] for own in summary["carriers"].values() for one in own["shown"].values()),
            default=0,
        )
        return {
            "story": self._story.name,
            **summary,
            "automation": self._automation,
            "enquiry": None if self.view.dialogue is None else self.view.dialogue.facts(),
            "score": {
                **after.score,
                "approval_to_screen_s": round(max(self._screen_s.values(), default=0.0), 3),
                "refused": sum(step.refused is not None for step in self._story.steps),
                "not_refused": self._not_refused,
                "lost_octets": None if self._proxy is None else self._proxy.lost_octets,
                "copies_most": most,
            },
            "files": after.files,
            "really": self._story.really,
            "day": dict(self._story.day),
        }

    async def _start_monitor(self, home: Path) -> None:
        """Start a broker, and name it in the settings, if network monitoring tells of anything."""
        if not any(step.alarms for step in self._story.steps):
            return
        self._monitor = Monitor(Topics(Mode.TEST, SITE), self.view.hear)
        port = await self._monitor.start()
        with (home / FILE_NAME).open("a", encoding="utf-8") as settings:
            settings.write(f'\n[mqtt]\nport = {port}\nsite = "{SITE}"\n')

    def _prepare(self, gateway: Gateway) -> None:
        """Register people and a machine, publish the keys, give out phones and recipient lists."""
        self.view.names = {code: gateway.deployment.carriers[code].name["en"] for code in CARRIERS}
        for name, owner in (("alice", ""), ("bob", ""), (NAME, "alice")):
            _, path = gateway.keyring.add_person(
                name,
                may_submit=name != "bob",
                may_approve=name == "bob",
                permission=Permission(regions=("KR",), classes=("safety",)),
                owner=owner,
            )
            self._keys[name] = SigningKey.load(path)
        published = self._folder / "published-keys.json"
        published.write_text(json.dumps(gateway.keyring.published_keys()), "utf-8")
        regions = gateway.deployment.leaves(self._story.regions)
        self._areas = {
            region.name["en"]: code for code, region in gateway.deployment.regions.items()
        }
        for code in CARRIERS:
            rows = list(_phones(PREFIXES[code], self._phones, regions))
            lines = [",".join(row) for row in rows]
            header = "number,region,language,kind"
            self._phones_file(code).write_text("\n".join([header, *lines]) + "\n", "utf-8")
            old = [",".join(row[:3]) for row in rows if row[3] == "sms"]
            recipients = "\n".join(["number,region,language", *old]) + "\n"
            gateway.import_recipients(code, recipients.encode())

    def _phones_file(self, code: str) -> Path:
        return self._folder / f"phones-{code}.csv"

    async def _start(self, code: str) -> None:
        """Start a carrier's message centre and wait until it listens."""
        port = self._ports[code]
        if code == self._story.mute:
            (port,) = _ports(None, (code,)).values()
            self._proxy = Proxy(port=port)
            await self._proxy.start(port=self._ports[code])
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "cbsim",
            "smsc",
            "--json",
            *("--carrier", code),
            *("--port", str(port)),
            *("--system-id", "cbgateway"),
            *("--password-file", str(self._folder / "gateway" / "secrets" / f"{code}.password")),
            *("--keys", str(self._folder / "published-keys.json")),
            *("--phones-file", str(self._phones_file(code))),
            *("--start", self.clock.now().isoformat()),
            *("--speed", repr(self._speed)),
            *("--web", "127.0.0.1:0"),
            *(f"--area={name}={region}" for name, region in self._areas.items()),
            stdout=asyncio.subprocess.PIPE,
            limit=LINE_OCTETS_MAX,
        )
        ready = asyncio.Event()
        reader = asyncio.create_task(self._read(code, process, ready))
        self._simulators[code] = Simulator(process, reader)
        try:
            async with asyncio.timeout(READY_TIMEOUT_S):
                await ready.wait()
        except TimeoutError as error:
            msg = f"the simulated message centre of {code} did not start"
            raise InputError(msg) from error

    async def _read(
        self, code: str, process: asyncio.subprocess.Process, ready: asyncio.Event
    ) -> None:
        """Take in what a simulator tells, until it ends."""
        assert process.stdout is not None, "asked for above"  # noqa: S101 - our own invariant
        async for line in process.stdout:
            event = json.loads(line)
            match event["event"]:
                case "ready":
                    self._web[code] = event["web"]
                    ready.set()
                case "shown":
                    self._shown(event)
                    self._news.set()
                case "answered":
                    self._answered(event)
                    self._news.set()
                case "end":
                    self._simulators[code].phones = event["phones"]
                case _:
                    pass  # binds and broadcasts show in the deliveries

    def _answered(self, event: dict[str, Any]) -> None:
        """Note that a phone shows the answer to its question."""
        dialogue = self.view.dialogue
        if dialogue is not None and dialogue.phone == event["phone"]:
            dialogue.answer = event["text"]

    def _told_phones(self, simulator: Simulator) -> list[dict[str, Any]]:
        """Give what a carrier's phones have shown, without the answer to a question."""
        answer = None if self.view.dialogue is None else self.view.dialogue.answer
        return [
            phone | {"shown": [one for one in phone["shown"] if one["text"] != answer]}
            for phone in simulator.phones
        ]

    def _shown(self, event: dict[str, Any]) -> None:
        """Note that a phone shows a text."""
        now = self.clock.now()
        self._first_shown = self._first_shown or now
        for one in self._bulletins:
            if event["text"] in one.texts.values():
                self._screen_s.setdefault(one.number, machine_s() - self._approved_s[one.number])
                self._displays.setdefault((one.number, event["carrier"]), now)
        self.view.shown(event)

    async def _tell(self, gateway: Gateway, draw: "_Draw") -> None:
        """Let the story happen."""
        stop = asyncio.Event()
        serving = asyncio.create_task(gateway.serve(stop))
        drawing = asyncio.create_task(self._draw(gateway, draw))
        try:
            if self._monitor is not None:
                await self._monitor.connect()
            self.clock.run()
            for step in self._story.steps:
                await asyncio.sleep(self.clock.real_s_until(step.at))
                draw.line(step)
                await self._happen(gateway, step)
            await self._all_show(self._bulletins[-1], CARRIERS)
            await self._settled(gateway)
        finally:
            drawing.cancel()
            stop.set()
            await asyncio.gather(drawing, return_exceptions=True)
            await serving
        self._update(gateway)
        draw.frame()

    async def _happen(self, gateway: Gateway, step: Step) -> None:
        """Have everything happen that a step says."""
        if step.refused is not None:
            self._try(gateway, step.refused)
        if step.alarms is not None:
            await self._alarm(gateway, cleared=step.alarms == "cleared")
        if step.kind is not None:
            await self._issue_and_wait(gateway, step)
        if step.asks is not None:
            await self._ask(gateway, *step.asks)
        if step.returns is not None:
            await self._return(step.returns)

    async def _ask(self, gateway: Gateway, carrier: str, text: str) -> None:
        """Have a phone ask, and wait for the answer on its screen; time stands still meanwhile."""
        self.clock.stand()
        phone = f"{PREFIXES[carrier]}{0:07d}"
        dialogue = self.view.dialogue = Dialogue(carrier, phone, text)
        await ask(self._web[carrier], dialogue, number=gateway.deployment.asked_at[carrier])
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SETTLE_TIMEOUT_S):
                while not dialogue.answer:
                    self._news.clear()
                    await self._news.wait()
        self.clock.run()

    async def _alarm(self, gateway: Gateway, *, cleared: bool) -> None:
        """Have network monitoring tell, and keep what came of it; time stands still meanwhile."""
        assert self._monitor is not None, "a story with alarms has one"  # noqa: S101 - our own
        self.clock.stand()
        told = alarms(self._story, gateway.deployment.leaves(self._story.regions), cleared=cleared)
        now = self.clock.now()
        receipts = await self._monitor.publish(told, self._keys[NAME], now=now)
        if not cleared:
            self._incident, self._draft = receipts[0]["incident"], receipts[0]["draft"]
            with gateway.store.read() as tx:
                orders = len(tx.deliveries())
            incidents = {receipt["incident"] for receipt in receipts}
            self._automation = {
                "alarms": len(told),
                "incidents": len(incidents),
                "orders": orders,
                "proposed": None,
            }
        elif self._automation is not None:
            proposed = receipts[-1]["proposed_state"]
            self._automation["proposed"] = proposed
            gateway.set_incident_state(
                self._incident,
                IncidentState(proposed),
                key=self._keys["alice"],
                reason="every alarm is cleared",
            )
        self.clock.run()

    async def _issue_and_wait(self, gateway: Gateway, step: Step) -> None:
        """Issue a bulletin; where answers get lost, wait until what was sent is in doubt.

        The story's time stands still while this machine signs, and while it waits for a timer
        that runs in real time.
        """
        self.clock.stand()
        is_first = not self._bulletins
        if self._proxy is not None and is_first:
            self._proxy.is_mute = True
        self._issue(gateway, step)
        if self._proxy is not None and is_first:
            await self._all_show(self._bulletins[-1], CARRIERS)
            self._proxy.is_mute = False
            await self._settled(gateway, timeout_s=LOST_TIMEOUT_S)
        self.clock.run()

    def _try(self, gateway: Gateway, what: str) -> None:
        """Try what has to be refused; note it when it was not."""
        first = next(step for step in self._story.steps if step.kind is not None)
        attempt = document(self._story, first, number=0, sender="alice")
        attempt |= {"identifier": f"{self._story.incident}-{what}"}
        attempt["incident"] = attempt["incident"] | {"id": f"{self._story.incident}-{what}"}
        if what == "mode":
            attempt |= {"mode": "exercise"}
        octets = json.dumps(attempt).encode()
        try:
            record = gateway.submit(octets, key=self._keys["alice"])
        except ModeMismatchError:
            return
        try:
            prepared = gateway.prepare(record.bulletin.bulletin_id)
            gateway.approve(prepared, key=self._keys["alice"], confirmation=prepared.confirmation)
        except SamePersonError:
            reason = "nobody has checked this"
            key = self._keys["bob"]
            gateway.reject(record.bulletin.bulletin_id, reason=reason, key=key)
            return
        self._not_refused.append(what)

    def _issue(self, gateway: Gateway, step: Step) -> None:
        """Have one person submit a bulletin, or complete its draft, and the other approve it."""
        number = len(self._bulletins) + 1
        written = document(
            self._story, step, number=number, sender="alice", incident_id=self._incident
        )
        octets, key = json.dumps(written).encode(), self._keys["alice"]
        if self._draft:
            record = gateway.revise(self._draft, octets, key=key)
            self._draft = ""
        else:
            record = gateway.submit(octets, key=key)
        prepared = gateway.prepare(record.bulletin.bulletin_id)
        gateway.approve(prepared, key=self._keys["bob"], confirmation=prepared.confirmation)
        bulletin = record.bulletin
        self._approved_s[bulletin.number] = machine_s()
        self._bulletins.append(Bulletin(bulletin.number, bulletin.kind.value, bulletin.texts))

    async def _return(self, code: str) -> None:
        """Bring a carrier's message centre back.

        The story's time stands still meanwhile: how long this machine takes to start a process
        would otherwise be multiplied like everything else.
        """
        self.clock.stand()
        await self._start(code)
        await self._all_show(self._bulletins[-1], (code,))
        self.clock.run()

    async def _all_show(self, bulletin: Bulletin, carriers: Iterable[str]) -> None:
        """Wait until every phone of some carriers shows a bulletin, but not for ever."""
        texts = set(bulletin.texts.values())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SETTLE_TIMEOUT_S):
                while any(
                    sum(self.view.reached[code, text] for text in texts) < self._phones
                    for code in carriers
                ):
                    self._news.clear()
                    await self._news.wait()

    async def _settled(self, gateway: Gateway, *, timeout_s: float = SETTLE_TIMEOUT_S) -> None:
        """Wait until the gateway has written down every answer, but not for ever."""
        for _ in range(int(timeout_s / FRAME_S)):
            with gateway.store.read() as tx:
                if not tx.in_state(DeliveryState.READY) and not tx.in_state(DeliveryState.INTENT):
                    return
            await asyncio.sleep(FRAME_S)

    async def _draw(self, gateway: Gateway, draw: "_Draw") -> None:
        while True:
            self._update(gateway)
            draw.frame()
            await asyncio.sleep(FRAME_S)

    def _update(self, gateway: Gateway) -> None:
        self.view.now = self.clock.now()
        with gateway.store.read() as tx:
            self.view.deliveries = [
                {"number": delivery.number, **delivery_report(delivery)}
                for delivery in tx.deliveries()
            ]


class _Draw:
    """Where the view goes: a live screen, plain lines, or nowhere."""

    def __init__(self, view: View, live: Live | None, *, lines: bool) -> None:
        self._view = view
        self._live = live
        self._lines = lines

    def line(self, step: Step) -> None:
        """Tell what happens, where there is no live screen."""
        if self._lines:
            console.print(f"{step.at:%H:%M}  {step.what}")

    def frame(self) -> None:
        """Draw the live screen anew."""
        if self._live is not None:
            self._live.update(self._view.render(console.width), refresh=True)


@contextlib.contextmanager
def _screen(view: View, *, live: bool) -> Iterator[_Draw]:
    """Draw live on a terminal, in lines elsewhere, and not at all for programs."""
    if not live:
        yield _Draw(view, None, lines=False)
    elif not console.is_terminal:
        yield _Draw(view, None, lines=True)
        console.print(view.render(console.width))
    else:
        with Live(console=console, auto_refresh=False, vertical_overflow="crop") as screen:
            yield _Draw(view, screen, lines=False)


async def _stop(simulator: Simulator) -> None:
    """Ask a simulator to end, and hear what its phones have shown."""
    with contextlib.suppress(ProcessLookupError):
        simulator.process.send_signal(signal.SIGTERM)
    await simulator.process.wait()
    await simulator.reader


def _ports(first: int | None, codes: tuple[str, ...] = CARRIERS) -> dict[str, int]:
    """Give each carrier a port: from `first` on, or free ones."""
    if first is not None:
        return {code: first + offset for offset, code in enumerate(codes)}
    with contextlib.ExitStack() as stack:
        sockets = {code: stack.enter_context(socket.socket()) for code in codes}
        for one in sockets.values():
            one.bind(("127.0.0.1", 0))
        return {code: one.getsockname()[1] for code, one in sockets.items()}


def _phones(
    prefix: str, count: int, regions: tuple[str, ...]
) -> Iterator[tuple[str, str, str, str]]:
    """Give number, region, language and kind of each phone."""
    for index in range(count):
        yield (
            f"{prefix}{index:07d}",
            regions[index % len(regions)],
            "en" if index % ENGLISH_EVERY == 1 else "ko",
            "sms" if index % OLD_EVERY == 0 else "broadcast",
        )
