"""`cbgateway demo`: the outage of 25 October 2021, told to the phones of three carriers."""

import asyncio
import contextlib
import io
import json
import re
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.live import Live

from cbgateway.app import Gateway, init_home
from cbgateway.cli.common import AsJson, console, errors, examples, print_json, reports_errors
from cbgateway.cli.demo_story import (
    END,
    FAILING,
    START,
    STEPS,
    Bulletin,
    Step,
    document,
    failures,
    summarise,
)
from cbgateway.cli.demo_view import View
from cbgateway.domain.bulletin import Mode
from cbgateway.domain.errors import InputError
from cbgateway.domain.lifecycle import DeliveryState
from cbgateway.domain.people import Permission
from cbgateway.process import configure_logging
from cbgateway.service.reports import delivery_report
from cbgateway.signing.keys import SigningKey

EXAMPLES = examples(
    "cbgateway demo",
    "cbgateway demo --json | jq .carriers",
    "cbgateway demo --port 2775 --seconds 60   # slow, on ports that a capture can watch",
)

CARRIERS = ("kt", "skt", "lguplus")
PREFIXES = {"kt": "82101", "skt": "82102", "lguplus": "82103"}
OLD_EVERY = 10
ENGLISH_EVERY = 8
RECONNECT_DELAY_MAX_S = 0.3
READY_TIMEOUT_S = 30
SETTLE_TIMEOUT_S = 10
"""Seconds that phones have to show a bulletin that is waited for."""
FRAME_S = 0.1
LINE_OCTETS_MAX = 1 << 28
"""A simulator's last line tells of every phone."""
EXIT_DOES_NOT_HOLD = 1


class ScaledClock:
    """Shows the time of the story, which runs faster than the machine's, or stands still."""

    def __init__(self, *, speed: float) -> None:
        """Make a clock that stands at the story's beginning.

        Args:
            speed: seconds of the story in each second.
        """
        self._speed = speed
        self._shown = START
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
        return (self.now() - START).total_seconds()

    def real_s_until(self, at: datetime) -> float:
        """Give the seconds on the machine until a time of the story."""
        return max(0.0, (at - self.now()).total_seconds() / self._speed)


@dataclass(slots=True)
class Simulator:
    """A message centre with its phones, as a process of its own."""

    process: asyncio.subprocess.Process
    reader: "asyncio.Task[None]"
    phones: list[dict[str, Any]] = field(default_factory=list)


@reports_errors
def demo(
    *,
    phones: Annotated[int, typer.Option(help="Phones of each carrier.", min=20, max=20_000)] = 200,
    seconds: Annotated[
        float, typer.Option(help="Seconds that the 89 minutes take.", min=5, max=3600)
    ] = 18,
    port: Annotated[
        int | None,
        typer.Option(
            help="First of three ports for the message centres.",
            min=1024,
            max=65533,
            show_default="free ones",
        ),
    ] = None,
    picture: Annotated[
        Path | None, typer.Option(help="Write the last screen to this SVG file.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Replay the outage of 25 October 2021 in compressed time, with real SMPP over TCP.

    KT's message centre is down until 12:40: the other carriers' phones learn at once, KT's get
    only the newest bulletin when it returns. Ends with exit code 1 if anything does not hold.
    """
    with tempfile.TemporaryDirectory(prefix="cbgateway-demo-") as folder:
        run = Run(Path(folder), phones=phones, seconds=seconds, first_port=port)
        summary = asyncio.run(run.run(live=not as_json))
    problems = failures(summary)
    if picture is not None:
        _save_picture(run.view, picture)
    if as_json:
        print_json(summary)
    else:
        _print_summary(summary, problems, run.view.names)
    for problem in problems:
        errors.print(problem, style="red", markup=False)
    if problems:
        raise typer.Exit(EXIT_DOES_NOT_HOLD)


class Run:
    """One run of the demo."""

    def __init__(
        self, folder: Path, *, phones: int, seconds: float, first_port: int | None
    ) -> None:
        """Prepare a run in a folder that is thrown away afterwards."""
        self._folder = folder
        self._phones = phones
        self._speed = (END - START).total_seconds() / seconds
        self._ports = _ports(first_port)
        self._simulators: dict[str, Simulator] = {}
        self._bulletins: list[Bulletin] = []
        self._first_shown: datetime | None = None
        self._keys: dict[str, SigningKey] = {}
        self._areas: dict[str, str] = {}
        self._news = asyncio.Event()
        self.clock = ScaledClock(speed=self._speed)
        self.view = View(names={})

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
                await asyncio.gather(*(self._start(code) for code in CARRIERS if code != FAILING))
                with _screen(self.view, live=live) as draw:
                    await self._tell(gateway, draw)
            finally:
                await asyncio.gather(*(_stop(one) for one in self._simulators.values()))
        return summarise(
            first_notice_s=None
            if self._first_shown is None
            else round((self._first_shown - START).total_seconds(), 1),
            bulletins=self._bulletins,
            phones={code: one.phones for code, one in self._simulators.items()},
        )

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
        regions = gateway.deployment.regions.leaves("KR")
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
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "cbsim",
            "smsc",
            "--json",
            *("--carrier", code),
            *("--port", str(self._ports[code])),
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
                    self._first_shown = self._first_shown or self.clock.now()
                    self.view.shown(event)
                    self._news.set()
                case "end":
                    self._simulators[code].phones = event["phones"]
                case _:
                    pass  # binds and broadcasts show in the deliveries

    async def _tell(self, gateway: Gateway, draw: "_Draw") -> None:
        """Let the story happen."""
        stop = asyncio.Event()
        serving = asyncio.create_task(gateway.serve(stop))
        drawing = asyncio.create_task(self._draw(gateway, draw))
        try:
            self.clock.run()
            for step in STEPS:
                await asyncio.sleep(self.clock.real_s_until(step.at))
                draw.line(step)
                if step.kind is not None:
                    self._issue(gateway, step)
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

    def _issue(self, gateway: Gateway, step: Step) -> None:
        """Have one person submit a bulletin and the other approve it."""
        number = len(self._bulletins) + 1
        octets = json.dumps(document(step, number=number, sender="noc")).encode()
        record = gateway.submit(octets, key=self._keys["noc"])
        prepared = gateway.prepare(record.bulletin.bulletin_id)
        gateway.approve(
            prepared, key=self._keys["duty_officer"], confirmation=prepared.confirmation
        )
        bulletin = record.bulletin
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

    async def _settled(self, gateway: Gateway) -> None:
        """Wait until the gateway has written down every answer, but not for ever."""
        for _ in range(int(SETTLE_TIMEOUT_S / FRAME_S)):
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


def _ports(first: int | None) -> dict[str, int]:
    """Give each carrier a port: from `first` on, or free ones."""
    if first is not None:
        return {code: first + offset for offset, code in enumerate(CARRIERS)}
    with contextlib.ExitStack() as stack:
        sockets = {code: stack.enter_context(socket.socket()) for code in CARRIERS}
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


def _print_summary(summary: dict[str, Any], problems: list[str], names: dict[str, str]) -> None:
    minutes, rest_s = divmod(summary["first_notice_s"] or 0, 60)
    console.print()
    console.print(
        f"First notice {minutes:.0f} min {rest_s:.0f} s after the outage began (on the day: never)."
    )
    for code, counts in summary["carriers"].items():
        shown = ", ".join(
            f"bulletin {number}: {one['phones']}" for number, one in counts["shown"].items()
        )
        most = max((one["most"] for one in counts["shown"].values()), default=0)
        console.print(
            f"{names[code]}: {counts['phones']} phones; showed {shown}; "
            f"each at most {most} time(s) on one phone."
        )
    console.print(
        f"Seals: {summary['seals_verified']} of {summary['screens']} screens verified "
        "against the published keys."
    )
    if not problems:
        console.print("[bold green]Everything holds.[/bold green]")


def _save_picture(view: View, path: Path) -> None:
    """Write the last screen as SVG."""
    recorder = Console(record=True, width=130, file=io.StringIO(), highlight=False)
    recorder.print(view.render(recorder.width))
    svg = recorder.export_svg(title="cbgateway demo")
    svg = re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL)  # nothing is fetched to show it
    try:
        path.write_text(svg, "utf-8")
    except OSError as error:
        msg = f"{path}: {error.strerror}"
        raise InputError(msg) from error
