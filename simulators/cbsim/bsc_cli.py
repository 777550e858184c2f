"""The command `cbsim bsc`: base station controllers with cells and phones."""

import asyncio
import csv
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from cbgateway.codec import cbsp
from cbgateway.codec.cells import Cgi, Plmn, parse_place
from cbsim.bsc import Cell, Controller
from cbsim.bsc_server import Fault, Host, Scheduler
from cbsim.clock import SimulatedClock
from cbsim.handset import Handset, Shown

CELLS_COLUMNS = ("controller", "region", "plmn", "lac", "cell", "latitude", "longitude")
CELLS_MAX = 100_000
FLEET_MAX = 10_000
EXIT_USAGE = 2
EXIT_UNAVAILABLE = 69  # as in sysexits.h: the address cannot be listened on
RESTARTS = {
    "lost": cbsp.Recovery.DATA_LOST,
    "available": cbsp.Recovery.DATA_AVAILABLE,
    "none": None,
}
SIGNALS = (signal.SIGINT, signal.SIGTERM)

EXAMPLES = """\
[bold]Examples[/bold]

[cyan]cbsim bsc --cell 450-08-1001-11 --cell 450-08-1001-12[/cyan]

[cyan]cbsim bsc --cells-file cells.csv --name bsc-1 --connect 127.0.0.1 --port 48049[/cyan]

[cyan]cbsim bsc --fleet 1000 --cells 4 --port 20000 --write-cells cells.csv --region KR-26[/cyan]

[cyan]cbsim bsc --fault silent/3 --json[/cyan]
"""


HostOption = Annotated[str, typer.Option(help="Address to listen on.")]
PortOption = Annotated[
    int, typer.Option(help="0 for any free one; a fleet takes those after it.", min=0, max=65535)
]
ConnectOption = Annotated[
    str | None,
    typer.Option(help="Connect to a broadcast centre there instead, and again when it is gone."),
]
SourceOption = Annotated[
    str, typer.Option(help="Address to connect from; a fleet takes those after it.")
]
NameOption = Annotated[str, typer.Option(help="Name of the controller.")]
CellOption = Annotated[
    list[str] | None, typer.Option(help="A cell, such as 450-08-1001-11; again for more.")
]
CellsFileOption = Annotated[
    Path | None,
    typer.Option(help="CSV as `cbgateway cells import` takes it; all its controllers, or --name."),
]
CellsOption = Annotated[int, typer.Option(help="Cells of each controller.", min=1, max=5_000)]
FleetOption = Annotated[
    int, typer.Option(help="Controllers in this process.", min=1, max=FLEET_MAX)
]
RegionOption = Annotated[
    list[str] | None,
    typer.Option(help="Regions to name in --write-cells, in turn.", show_default="KR-26"),
]
WriteCellsOption = Annotated[
    Path | None, typer.Option(help="Write the cells as `cbgateway cells import` takes them.")
]
PhonesOption = Annotated[int, typer.Option(help="Phones on each cell.", min=0, max=1_000)]
FaultOption = Annotated[
    str | None,
    typer.Option(
        help="What goes wrong: silent, slow=SECONDS, lost_answer, malformed, reset, duplicate, "
        "wrong_reference, stop_reading, flood, refuse=CAUSE; /N for every n-th request, + for "
        "KEEP-ALIVE as well."
    ),
]
RestartOption = Annotated[
    str,
    typer.Option(
        help="What it says of its memory to whoever connects, and does at SIGUSR1: lost, "
        "available, none.",
    ),
]
SpeedOption = Annotated[float, typer.Option(help="How fast time runs on its channels.", min=0.001)]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object a line for every event.")]


class Reporter:
    """A line for each thing that happens: JSON for programs, words for people."""

    def __init__(self, *, as_json: bool) -> None:
        """Begin with nothing told."""
        self._as_json = as_json

    def event(self, event: dict[str, Any]) -> None:
        """Tell what happened."""
        if self._as_json:
            line = json.dumps(event, ensure_ascii=False)
        else:
            rest = ", ".join(f"{key} {value}" for key, value in event.items() if key != "event")
            line = f"{event['event']}: {rest}"
        # what came from a peer cannot steer the terminal
        line = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in line)
        try:
            sys.stdout.write(line + "\n")
            sys.stdout.flush()
        except BrokenPipeError:  # whoever wanted to know has gone
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise SystemExit(1) from None

    def shown(self, phone: Handset, shown: Shown) -> None:
        """Tell what a phone shows."""
        self.event(
            {
                "event": "shown",
                "phone": phone.number,
                "cell": phone.region,
                "text": shown.text,
                "message_identifier": shown.message_identifier,
                "serial_number": f"{shown.serial_number or 0:04x}",
            }
        )


@dataclass(frozen=True, slots=True)
class Fleet:
    """Controllers and where they are.

    Attributes:
        hosts: each with its name, in order.
        host: address they listen on, or connect to.
        port: of the first; the next ones listen on the ports after it.
        connects: whether they connect.
        source: the address that the first connects from; the next ones from those after it.
    """

    hosts: list[Host]
    host: str
    port: int
    connects: bool
    source: str

    async def run(self, clock: SimulatedClock, on_restart: Callable[[], None]) -> None:
        """Serve until SIGINT or SIGTERM; SIGUSR1 restarts every controller.

        Raises:
            OSError: an address cannot be listened on.
        """
        stopped = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.add_signal_handler(number, stopped.set)
        loop.add_signal_handler(signal.SIGUSR1, on_restart)
        async with AsyncExitStack() as stack:
            tasks = [asyncio.create_task(Scheduler(self.hosts, clock).run())]
            stack.callback(lambda: [task.cancel() for task in tasks])
            for index, host in enumerate(self.hosts):
                if self.connects:
                    source = source_of(self.source, index) if self.source else None
                    tasks.append(asyncio.create_task(host.connect(self.host, self.port, source)))
                else:
                    port = self.port + index if self.port else 0
                    server = await host.listen(self.host, port)
                    stack.callback(server.close)
            await stopped.wait()


def source_of(first: str, index: int) -> str:
    """Give the address `index` after an IPv4 address."""
    value = int.from_bytes(bytes(map(int, first.split("."))), "big") + index
    return ".".join(map(str, value.to_bytes(4, "big")))


def bsc(  # noqa: PLR0913 - each is an option of the command
    *,
    host: HostOption = "127.0.0.1",
    port: PortOption = cbsp.PORT,
    connect: ConnectOption = None,
    source: SourceOption = "",
    name: NameOption = "bsc-1",
    cell: CellOption = None,
    cells_file: CellsFileOption = None,
    cells: CellsOption = 2,
    fleet: FleetOption = 1,
    region: RegionOption = None,
    write_cells: WriteCellsOption = None,
    phones: PhonesOption = 2,
    fault: FaultOption = None,
    restart: RestartOption = "lost",
    speed: SpeedOption = 1,
    as_json: JsonOption = False,
) -> None:
    """Base station controllers (CBSP) with cells whose phones show what is broadcast there.

    Each listens on a port of its own, or connects with --connect. Stop them with Ctrl-C or
    SIGTERM; SIGUSR1 restarts them, with what they had on air or without.
    """
    reporter = Reporter(as_json=as_json)
    clock = SimulatedClock(start=None, speed=speed)
    try:
        hosts = make_hosts(
            cells_of(name, cell or [], cells_file, cells, fleet),
            clock,
            reporter,
            phones=phones,
            fault=fault,
            restart=restart,
            write_cells=write_cells,
            regions=region or ["KR-26"],
        )
    except (OSError, ValueError) as error:
        typer.echo(f"cbsim: {error}", err=True)
        raise typer.Exit(EXIT_USAGE) from error
    made = Fleet(hosts, connect or host, port, connect is not None, source)

    def restart_all() -> None:
        for one in hosts:
            one.restart(is_lost=restart == "lost")

    try:
        asyncio.run(made.run(clock, restart_all))
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
        typer.echo(f"cbsim: {host}:{port}: {reason}", err=True)
        raise typer.Exit(EXIT_UNAVAILABLE) from error
    for one in hosts if fleet == 1 else ():
        reporter.event({"event": "end", **_end(one)})


def make_hosts(
    plan: dict[str, list[Cgi]],
    clock: SimulatedClock,
    reporter: Reporter,
    *,
    phones: int,
    fault: str | None,
    restart: str,
    write_cells: Path | None,
    regions: list[str],
) -> list[Host]:
    """Make controllers with cells and phones.

    Raises:
        ValueError: no such fault, or no such way to restart.
        OSError: the list of cells cannot be written.
    """
    if restart not in RESTARTS:
        msg = f"--restart {restart!r} is none of {', '.join(RESTARTS)}"
        raise ValueError(msg)
    hosts = [
        Host(
            Controller(one, [_cell(place, phones) for place in places], reporter.shown),
            clock,
            reporter.event,
            fault=None if fault is None else Fault.parse(fault),
            restart_with=RESTARTS[restart],
        )
        for one, places in plan.items()
    ]
    if write_cells is not None:
        write_cells.write_text(_table(plan, regions), "utf-8")
    return hosts


def _end(host: Host) -> dict[str, Any]:
    """Say what a controller has in the end."""
    return {
        "controller": host.controller.name,
        "requests": host.requests,
        "cells": {
            str(cell.name): {
                "pages": cell.pages,
                "texts": [f"{mid}/{serial:04x}" for mid, serial in cell.texts],
            }
            for cell in host.controller.cells.values()
        },
    }


def cells_of(
    name: str, cell: list[str], cells_file: Path | None, cells: int, fleet: int
) -> dict[str, list[Cgi]]:
    """Give the cells of each controller.

    Raises:
        ValueError: something that is no cell, or too many of them.
        OSError: the file cannot be read.
    """
    if cells_file is not None:
        found = dict(_read(cells_file))
        if name in found:
            return {name: found[name]}
        return found
    if fleet * cells > CELLS_MAX:
        msg = f"{fleet} controllers with {cells} cells are more than {CELLS_MAX} cells"
        raise ValueError(msg)
    if cell:
        places = [parse_place(one) for one in cell]
        if not all(isinstance(one, Cgi) for one in places):
            msg = "--cell takes cells such as 450-08-1001-11"
            raise ValueError(msg)
        return {name: [one for one in places if isinstance(one, Cgi)]}
    plmn = Plmn("450", "08")
    if fleet == 1:
        return {name: [Cgi(plmn, 1001, ci) for ci in range(11, 11 + cells)]}
    return {
        f"{name}-{number}": [Cgi(plmn, number, ci) for ci in range(1, 1 + cells)]
        for number in range(1, fleet + 1)
    }


def _read(path: Path) -> Iterator[tuple[str, list[Cgi]]]:
    """Read a file of cells, as `cbgateway cells import` takes it."""
    found: dict[str, list[Cgi]] = {}
    with path.open(newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file)
        if tuple(rows.fieldnames or ()) != CELLS_COLUMNS:
            msg = f"{path}: the header is {','.join(CELLS_COLUMNS)}"
            raise ValueError(msg)
        for row in rows:
            plmn = Plmn.parse(row["plmn"])
            found.setdefault(row["controller"], []).append(
                Cgi(plmn, int(row["lac"]), int(row["cell"]))
            )
    yield from found.items()


def _table(plan: dict[str, list[Cgi]], regions: list[str]) -> str:
    """Write the cells of a fleet as `cbgateway cells import` takes them."""
    lines = [",".join(CELLS_COLUMNS)]
    for index, (controller, places) in enumerate(plan.items()):
        region = regions[index % len(regions)]
        lines += [
            f"{controller},{region},{place.plmn},{place.lac},{place.ci},," for place in places
        ]
    return "\n".join(lines) + "\n"


def _cell(place: Cgi, phones: int) -> Cell:
    """Make a cell with some phones on it, every second one for English."""
    return Cell(
        place,
        phones=[
            Handset(
                number=f"82{place.lac:05d}{place.ci:05d}{index:03d}",
                region=str(place),
                language="en" if index % 2 else "ko",
                home_language="ko",
                takes_broadcasts=True,
                keys={},
            )
            for index in range(phones)
        ],
    )
