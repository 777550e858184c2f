"""One run of a story: gateway and simulators, side by side in compressed time."""

import asyncio
import contextlib
import json
import signal
import socket
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from rich.live import Live

from cbgateway.app import Gateway, init_home
from cbgateway.cli.common import console
from cbgateway.cli.demo_proxy import Proxy
from cbgateway.cli.demo_story import (
    Bulletin,
    Step,
    Story,
    document,
    summarise,
)
from cbgateway.cli.demo_view import View
from cbgateway.domain.bulletin import Mode
from cbgateway.domain.errors import InputError, ModeMismatchError, SamePersonError
from cbgateway.domain.lifecycle import DeliveryState
from cbgateway.domain.people import Permission
from cbgateway.process import configure_logging
from cbgateway.service.reports import delivery_report
from cbgateway.signing.keys import SigningKey

CARRIERS = ("kt", "skt", "lguplus")
PREFIXES = {"kt": "82101", "skt": "82102", "lguplus": "82103"}
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


class ScaledClock:
    """Shows the time of the story, which runs faster than the machine's, or stands still."""

    def __init__(self, *, speed: float, start: datetime) -> None:
        """Make a clock that stands at the story's beginning.

        Args:
            speed: seconds of the story in each second.
            start: of the story.
        """
        self._speed = speed
        self._start = start
        self._shown = start
        self._running_since_s: float | None = None

    def run(self) -> None:
        """Let the story's time run."""
        self._running_since_s = time.monotonic()

    def stand(self) -> None:
        """Let the story's time stand still."""
        self._shown = self.now()
        self._running_since_s = None

    def now(self) -> datetime:
        """Give the time of the story."""
        if self._running_since_s is None:
            return self._shown
        elapsed_s = (time.monotonic() - self._running_since_s) * self._speed
        return self._shown + timedelta(seconds=elapsed_s)

    def monotonic_s(self) -> float:
        """Give the seconds of the story so far."""
        return (self.now() - self._start).total_seconds()

    def real_s_until(self, at: datetime) -> float:
        """Give the seconds on the machine until a time of the story."""
        return max(0.0, (at - self.now()).total_seconds() / self._speed)


@dataclass(slots=True)
class Simulator:
    """A message centre with its phones, as a process of its own."""

    process: asyncio.subprocess.Process
    reader: "asyncio.Task[None]"
    phones: list[dict[str, Any]] = field(default_factory=list)


class Run:
    """One run of the demo."""

    def __init__(
        self, folder: Path, story: Story, *, phones: int, seconds: float, first_port: int | None
    ) -> None:
        """Prepare a run in a folder that is thrown away afterwards."""
        self._folder = folder
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
        self._score: dict[str, Any] = {}
        self._keys: dict[str, SigningKey] = {}
        self._areas: dict[str, str] = {}
        self._news = asyncio.Event()
        self.clock = ScaledClock(speed=self._speed, start=story.start)
        self.view = View(names={}, story=story, now=story.start)
        self._proxy: Proxy | None = None

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
            self._score = self._tell_afterwards(gateway)
        summary = summarise(
            first_notice_s=None
            if self._first_shown is None
            else round((self._first_shown - self._story.start).total_seconds(), 1),
            bulletins=self._bulletins,
            phones={code: one.phones for code, one in self._simulators.items()},
        )
        most = max(
            (one["most"] for own in summary["carriers"].values() for one in own["shown"].values()),
            default=0,
        )
        return {
            "story": self._story.name,
            **summary,
            "score": {**self._score, "copies_most": most},
            "really": self._story.really,
            "day": dict(self._story.day),
        }

    def _tell_afterwards(self, gateway: Gateway) -> dict[str, Any]:
        """Give pages, briefing and report their turn, and score the story by the report."""
        told, incident = gateway.telling, self._story.incident
        for (number, carrier), at in sorted(self._displays.items()):
            told.note_display(
                f"{incident}/{number}",
                carrier=carrier,
                region=self._story.regions[0],
                at=at,
                source="cbsim handset",
            )
        begun_s = time.monotonic()
        exported = told.export_site(self._folder / "site")
        site_s = time.monotonic() - begun_s
        begun_s = time.monotonic()
        told.briefing_page(incident, language="ko")
        briefing_s = time.monotonic() - begun_s
        begun_s = time.monotonic()
        report = told.report(incident)
        report_s = time.monotonic() - begun_s
        pages = [path.stat().st_size for path in (self._folder / "site").rglob("*.html")]
        deadlines = report["deadlines"]
        promised = [one for one in deadlines["updates"] if one["is_kept"] is not None]
        return {
            "first_notice_wanted_s": deadlines["first_notice"]["wanted_s"],
            "promises": len(promised),
            "promises_kept": sum(one["is_kept"] for one in promised),
            "corrections_after_s": [one["after_s"] for one in report["corrections"]],
            "correction_shown_after_s": self._corrected_s(),
            "approval_to_screen_s": round(max(self._screen_s.values(), default=0.0), 3),
            "refused": sum(step.refused is not None for step in self._story.steps),
            "not_refused": self._not_refused,
            "lost_octets": None if self._proxy is None else self._proxy.lost_octets,
            "site_files": exported.files,
            "page_octets_max": max(pages),
            "site_s": round(site_s, 3),
            "briefing_s": round(briefing_s, 3),
            "report_s": round(report_s, 3),
        }

    def _corrected_s(self) -> float | None:
        """Give the story's seconds from the first wrong screen to the first corrected one."""
        wrong = [one.number for one in self._bulletins if one.kind == "correction"]
        if not wrong:
            return None
        shown = {
            number: min(at for (own, _), at in self._displays.items() if own == number)
            for number in {own for own, _ in self._displays}
        }
        if wrong[0] not in shown or wrong[0] - 1 not in shown:
            return None
        return round((shown[wrong[0]] - shown[wrong[0] - 1]).total_seconds(), 1)

    def _prepare(self, gateway: Gateway) -> None:
        """Register two people, publish the keys, give out phones and the lists of old ones."""
        self.view.names = {code: gateway.deployment.carriers[code].name["en"] for code in CARRIERS}
        for name, submits in (("noc", True), ("duty_officer", False)):
            _, path = gateway.keyring.add_person(
                name,
                may_submit=submits,
                may_approve=not submits,
                permission=Permission(regions=("KR",), classes=("safety",)),
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
                    ready.set()
                case "shown":
                    self._shown(event)
                    self._news.set()
                case "end":
                    self._simulators[code].phones = event["phones"]
                case _:
                    pass  # binds and broadcasts show in the deliveries

    def _shown(self, event: dict[str, Any]) -> None:
        """Note that a phone shows a text."""
        now = self.clock.now()
        self._first_shown = self._first_shown or now
        for one in self._bulletins:
            if event["text"] in one.texts.values():
                self._screen_s.setdefault(
                    one.number, time.monotonic() - self._approved_s[one.number]
                )
                self._displays.setdefault((one.number, event["carrier"]), now)
        self.view.shown(event)

    async def _tell(self, gateway: Gateway, draw: "_Draw") -> None:
        """Let the story happen."""
        stop = asyncio.Event()
        serving = asyncio.create_task(gateway.serve(stop))
        drawing = asyncio.create_task(self._draw(gateway, draw))
        try:
            self.clock.run()
            for step in self._story.steps:
                await asyncio.sleep(self.clock.real_s_until(step.at))
                draw.line(step)
                if step.refused is not None:
                    self._try(gateway, step.refused)
                if step.kind is not None:
                    await self._issue_and_wait(gateway, step)
                if step.returns is not None:
                    await self._return(step.returns)
            await self._all_show(self._bulletins[-1], CARRIERS)
            await self._settled(gateway)
        finally:
            drawing.cancel()
            stop.set()
            await asyncio.gather(drawing, return_exceptions=True)
            await serving
        self._update(gateway)
        draw.frame()

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
        attempt = document(self._story, first, number=0, sender="noc")
        attempt |= {"identifier": f"{self._story.incident}-{what}"}
        attempt["incident"] = attempt["incident"] | {"id": f"{self._story.incident}-{what}"}
        if what == "mode":
            attempt |= {"mode": "exercise"}
        octets = json.dumps(attempt).encode()
        try:
            record = gateway.submit(octets, key=self._keys["noc"])
        except ModeMismatchError:
            return
        try:
            prepared = gateway.prepare(record.bulletin.bulletin_id)
            gateway.approve(prepared, key=self._keys["noc"], confirmation=prepared.confirmation)
        except SamePersonError:
            reason = "nobody has checked this"
            key = self._keys["duty_officer"]
            gateway.reject(record.bulletin.bulletin_id, reason=reason, key=key)
            return
        self._not_refused.append(what)

    def _issue(self, gateway: Gateway, step: Step) -> None:
        """Have one person submit a bulletin and the other approve it."""
        number = len(self._bulletins) + 1
        octets = json.dumps(document(self._story, step, number=number, sender="noc")).encode()
        record = gateway.submit(octets, key=self._keys["noc"])
        prepared = gateway.prepare(record.bulletin.bulletin_id)
        gateway.approve(
            prepared, key=self._keys["duty_officer"], confirmation=prepared.confirmation
        )
        bulletin = record.bulletin
        self._approved_s[bulletin.number] = time.monotonic()
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
