"""The command `cbsim smsc`."""

import asyncio
import os
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from cbsim.clock import SimulatedClock
from cbsim.config import Centre, Configuration, configure
from cbsim.expect import load_expectations
from cbsim.faults import FAULTS
from cbsim.handset import Handset
from cbsim.network import PHONES_MAX, load_phones, make_phones
from cbsim.reporters import JsonReporter, ScreenReporter, console
from cbsim.scenario import Scenario
from cbsim.seals import load_published_keys
from cbsim.settings import dotted, listing
from cbsim.simulator import Looking, Simulator

REGIONS = tuple(
    f"KR-{number}"
    for number in (11, 26, 27, 28, 29, 30, 31, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50)
)
EXIT_EXPECTATION = 1
EXIT_USAGE = 2
EXIT_UNAVAILABLE = 69  # as in sysexits.h: the address cannot be listened on

EXAMPLES = """\
[bold]Examples[/bold]

[cyan]cbsim smsc[/cyan]

[cyan]cbsim smsc --account esme:secret --enroute 2 --set states.undeliv=10%[/cyan]

[cyan]cbsim smsc --fault throttled:5% --fault reset:after=1000,1x --response-delay 0.05[/cyan]

[cyan]cbsim smsc --config lab.toml --json --trace[/cyan]

[cyan]cbsim smsc --web 8775[/cyan]

[cyan]cbsim smsc --expect wanted.toml --events run.jsonl --pcap run.pcap[/cyan]

[cyan]cbsim smsc --list-faults[/cyan]

[cyan]cbsim smsc --port 2776 --carrier skt --phones 500 --old-every 10[/cyan]

[bold]Exit codes[/bold]: 0 stopped when asked and as expected, 1 not as expected,
2 wrong settings, 69 address in use
"""


def _time(text: str) -> datetime:
    """Read a time in ISO 8601 with its offset from UTC."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is no time in ISO 8601") from error
    if at.tzinfo is None:
        raise typer.BadParameter(f"{text!r} has no offset, such as +09:00")
    return at


def _list_faults(wanted: bool) -> None:  # noqa: FBT001 - typer calls it so
    """Print every fault and end."""
    if wanted:
        for fault in FAULTS.values():
            console.print(
                f"[cyan]{fault.name:24}[/cyan] when {fault.stage.value}: {fault.words}",
                soft_wrap=True,
            )
        raise typer.Exit


def _list_settings(wanted: bool) -> None:  # noqa: FBT001 - typer calls it so
    """Print every setting and end."""
    if wanted:
        for kind in (Centre, Scenario):
            for name, default, about in listing(kind):
                console.print(f"{name} = {default}", style="cyan", markup=False)
                console.print(f"    {about}", markup=False)
        raise typer.Exit


def smsc(  # noqa: PLR0913 - each is an option of the command
    *,
    config: Annotated[Path | None, typer.Option(help="TOML file with settings.")] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="One setting; again for more."),
    ] = None,
    fault: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[:WHEN]",
            help="Misbehave, always or 5%, 3x, after=10, after=10s; again for more.",
        ),
    ] = None,
    list_faults: Annotated[
        bool,
        typer.Option(
            "--list-faults", help="Show every fault.", is_eager=True, callback=_list_faults
        ),
    ] = False,
    list_settings: Annotated[
        bool,
        typer.Option(
            "--list-settings", help="Show every setting.", is_eager=True, callback=_list_settings
        ),
    ] = False,
    host: Annotated[
        str | None, typer.Option(help="Address to listen on.", show_default="127.0.0.1")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(help="0 for any free one.", min=0, max=65535, show_default="2775"),
    ] = None,
    carrier: Annotated[
        str | None, typer.Option(help="Its name, and system_id to ESMEs.", show_default="cbsim")
    ] = None,
    account: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME:PASSWORD", help="Who may bind; again for more.", show_default="all"
        ),
    ] = None,
    system_id: Annotated[
        str | None, typer.Option(help="Who may bind, with --password-file.")
    ] = None,
    password_file: Annotated[
        Path | None, typer.Option(help="File with the password that system_id needs.")
    ] = None,
    version: Annotated[
        str | None, typer.Option("--smpp", metavar="3.4|5.0", help="Version.", show_default="5.0")
    ] = None,
    tls_cert: Annotated[
        Path | None, typer.Option(help="Certificate chain (PEM); then only TLS is spoken.")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its private key (PEM).")] = None,
    outbind: Annotated[
        list[str] | None,
        typer.Option(metavar="HOST:PORT", help="ESME to connect to with an outbind."),
    ] = None,
    response_delay: Annotated[
        str | None,
        typer.Option(
            metavar="DELAY",
            help="Until a message is answered: seconds, uniform:A,B or lognormal:MEDIAN,SIGMA.",
        ),
    ] = None,
    enroute: Annotated[
        str | None, typer.Option(metavar="DELAY", help="Until a message reaches its final state.")
    ] = None,
    receipt_delay: Annotated[
        str | None, typer.Option(metavar="DELAY", help="From there to its receipt.")
    ] = None,
    incoming_per_s: Annotated[
        float | None, typer.Option(help="Messages from phones to ESMEs, each second.", min=0)
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of everything random.", min=0)] = None,
    fast: Annotated[
        bool, typer.Option("--fast", help="Answer submit_sm unread; remember headers alone.")
    ] = False,
    trace: Annotated[
        bool, typer.Option("--trace", help="Tell every PDU, with its octets.")
    ] = False,
    web: Annotated[
        str | None,
        typer.Option(metavar="[HOST:]PORT", help="Serve a page and the control by HTTP."),
    ] = None,
    expect: Annotated[
        Path | None, typer.Option(help="TOML file with what has to come; decides the exit code.")
    ] = None,
    events: Annotated[
        Path | None, typer.Option(help="Write events and PDUs to this file as JSON lines.")
    ] = None,
    pcap: Annotated[
        Path | None, typer.Option(help="Write PDUs to this file as a packet capture.")
    ] = None,
    phones: Annotated[int, typer.Option(help="Phones to make.", min=0, max=PHONES_MAX)] = 17,
    phones_file: Annotated[
        Path | None, typer.Option(help="CSV number,region,language,kind instead.")
    ] = None,
    region: Annotated[
        list[str] | None,
        typer.Option(help="Where they are; again for more.", show_default="17 Korean provinces"),
    ] = None,
    area: Annotated[
        list[str] | None,
        typer.Option(help="Another name for a region, NAME=CODE; again for more."),
    ] = None,
    old_every: Annotated[
        int, typer.Option(help="Every n-th phone takes short messages only.", min=0)
    ] = 0,
    english_every: Annotated[int, typer.Option(help="Every n-th reads English.", min=0)] = 0,
    prefix: Annotated[str, typer.Option(help="Beginning of the phones' numbers.")] = "8210",
    language: Annotated[str, typer.Option(help="What most people read.")] = "ko",
    keys: Annotated[
        Path | None, typer.Option(help="Published sealing keys (JWK Set) to check seals with.")
    ] = None,
    start: Annotated[
        datetime | None,
        typer.Option(
            parser=_time,
            metavar="TIME",
            help="Time at which the simulated clock starts, with its offset.",
            show_default="now",
        ),
    ] = None,
    speed: Annotated[float, typer.Option(help="How fast that clock runs.", min=0.001)] = 1,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object a line for every event.")
    ] = False,
) -> None:
    """A message centre (SMPP 3.4 and 5.0) with phones that show what reaches them.

    It takes every request of an ESME, answers what is wrong with its octet, sends receipts and
    incoming messages, and misbehaves when asked to. Stop it with Ctrl-C or SIGTERM; it then says
    what each phone has shown. SIGUSR1 makes one incoming message.
    """
    del list_faults, list_settings  # their callbacks have done it
    flags = {
        "faults": fault,
        "host": host,
        "port": port,
        "name": carrier and carrier[:15],
        "version": version,
        "tls_cert": tls_cert and str(tls_cert),
        "tls_key": tls_key and str(tls_key),
        "outbind": outbind,
        "seed": seed,
        "web": web,
        "fast": fast or None,
        "answers.delay": response_delay,
        "states.enroute": enroute,
        "receipts.delay": receipt_delay,
        "incoming.per_s": incoming_per_s,
    }
    with _Usage():
        looking = Looking(
            events_to=events,
            pcap_to=pcap,
            expectations=None if expect is None else load_expectations(expect),
            traces=trace,
        )
        tables = [*map(dotted, assignments or ()), _table(flags)]
        accounts = _accounts(account or (), system_id, password_file)
        tables += [{"accounts": accounts}] if accounts else []
        configuration = configure(config, tables)
        published = {} if keys is None else load_published_keys(keys)
        handsets = (
            make_phones(
                phones,
                regions=tuple(region or REGIONS),
                home_language=language,
                old_every=old_every,
                foreign_every=english_every,
                prefix=prefix,
                keys=published,
            )
            if phones_file is None
            else load_phones(phones_file, home_language=language, keys=published)
        )
        areas = dict(_area(one) for one in area or ())
    clock = SimulatedClock(start=start, speed=speed)
    _run(configuration, handsets, areas, clock, as_json=as_json, looking=looking)


class _Usage:
    """Ends the command with a sentence and exit code 2 when settings are wrong."""

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Say what is wrong."""
        if isinstance(error, OSError | ValueError):
            typer.echo(f"cbsim: {error}", err=True)
            raise typer.Exit(EXIT_USAGE) from error


def _table(flags: dict[str, Any]) -> dict[str, Any]:
    """Give the flags that were used as one table."""
    table: dict[str, Any] = {}
    for path, value in flags.items():
        if value is not None:
            group, _, key = path.rpartition(".")
            (table.setdefault(group, {}) if group else table)[key] = value
    return table


def _accounts(
    pairs: tuple[str, ...] | list[str], system_id: str | None, password_file: Path | None
) -> list[dict[str, Any]]:
    """Read who may bind."""
    accounts: list[dict[str, Any]] = []
    for pair in pairs:
        name, _, password = pair.partition(":")
        accounts.append({"system_id": name, "password": password})
    if system_id is not None:
        password = "" if password_file is None else password_file.read_text("ascii").strip()
        accounts.append({"system_id": system_id, "password": password})
    return accounts


def _area(text: str) -> tuple[str, str]:
    name, equals, region = text.rpartition("=")
    if not (name and equals and region):
        raise ValueError(f"--area {text!r} is not NAME=CODE")
    return name, region


def _run(
    configuration: Configuration,
    handsets: list[Handset],
    areas: dict[str, str],
    clock: SimulatedClock,
    *,
    as_json: bool,
    looking: Looking,
) -> None:
    """Build the simulator, serve it, and say how it went."""
    fixed = configuration.centre
    reporter = JsonReporter(fixed.name) if as_json else ScreenReporter(fixed.name)
    with _Usage():
        simulator = Simulator(
            configuration,
            handsets,
            areas=areas,
            clock=clock,
            on_event=reporter.event,
            on_shown=reporter.shown,
            looking=looking,
        )
    try:
        asyncio.run(simulator.serve())
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
        where = error.filename or f"{fixed.host}:{fixed.port}"
        typer.echo(f"cbsim: {where}: {reason}", err=True)
        raise typer.Exit(EXIT_UNAVAILABLE) from error
    dialogues = simulator.centre.dialogues
    if dialogues.asked:
        reporter.event({"event": "dialogues", **dialogues.facts()})
    reporter.end(simulator.centre.network)
    verdicts = simulator.verdicts()
    reporter.verdicts(verdicts)
    if not all(verdict.holds for verdict in verdicts):
        raise typer.Exit(EXIT_EXPECTATION)
