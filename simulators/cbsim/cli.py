"""The command `cbsim`: simulators of network elements."""

import asyncio
import json
import os
import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from cbsim.bsc_cli import EXAMPLES as BSC_EXAMPLES
from cbsim.bsc_cli import bsc
from cbsim.clock import SimulatedClock
from cbsim.esme_cli import EXAMPLES as ESME_EXAMPLES
from cbsim.esme_cli import esme
from cbsim.handset import Handset, Shown
from cbsim.network import PHONES_MAX, Network, load_phones, make_phones
from cbsim.seals import load_published_keys
from cbsim.server import serve
from cbsim.smsc import Account, MessageCentre, VendorTlvs

REGIONS = tuple(
    f"KR-{number}"
    for number in (11, 26, 27, 28, 29, 30, 31, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50)
)

EXIT_UNAVAILABLE = 69  # as in sysexits.h: the address cannot be listened on

EXAMPLES = """\
[bold]Examples[/bold]

[cyan]cbsim smsc[/cyan]

[cyan]cbsim smsc --port 2776 --carrier skt --phones 500 --old-every 10[/cyan]

[cyan]cbsim smsc --port 0 --json --keys published-keys.json --phones-file phones.csv[/cyan]
"""

app = typer.Typer(
    name="cbsim",
    help="Simulators of network elements and phones, for tests without network hardware.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
console = Console(highlight=False, soft_wrap=True)


def _time(text: str) -> datetime:
    """Read a time in ISO 8601 with its offset from UTC."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        msg = f"{text!r} is no time in ISO 8601"
        raise typer.BadParameter(msg) from error
    if at.tzinfo is None:
        msg = f"{text!r} has no offset, such as +09:00"
        raise typer.BadParameter(msg)
    return at


app.command("esme", epilog=ESME_EXAMPLES)(esme)
app.command("bsc", epilog=BSC_EXAMPLES)(bsc)


@app.callback()
def main() -> None:
    """Simulators of network elements and phones, for tests without network hardware."""


@app.command(
    "smsc",
    epilog=EXAMPLES,
)
def smsc(  # noqa: PLR0913 - each is an option of the command
    *,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 for any free one.", min=0, max=65535)] = 2775,
    carrier: Annotated[str, typer.Option(help="Its name, and system_id to ESMEs.")] = "cbsim",
    system_id: Annotated[str | None, typer.Option(help="Who may bind; all when left out.")] = None,
    password_file: Annotated[
        Path | None, typer.Option(help="File with the password that system_id needs.")
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

    It takes submit_sm, data_sm and broadcast_sm, and answers what is wrong with its octet. Stop it
    with Ctrl-C or SIGTERM; it then says what each phone has shown.
    """
    reporter = JsonReporter(carrier) if as_json else ScreenReporter(carrier)
    try:
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
        password = "" if password_file is None else password_file.read_text("ascii").strip()
    except (OSError, ValueError) as error:
        typer.echo(f"cbsim: {error}", err=True)
        raise typer.Exit(2) from error
    clock = SimulatedClock(start=start, speed=speed)
    network = Network(handsets, reporter.shown)
    centre = MessageCentre(
        carrier[:15],
        network,
        accounts=() if system_id is None else (Account(system_id, password),),
        areas=areas,
        vendor_tlvs=VendorTlvs(),
        now_s=clock.now_s,
    )
    try:
        asyncio.run(serve(centre, clock, host=host, port=port, on_event=reporter.event))
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
        typer.echo(f"cbsim: {host}:{port}: {reason}", err=True)
        raise typer.Exit(EXIT_UNAVAILABLE) from error
    reporter.end(network)


def _area(text: str) -> tuple[str, str]:
    name, equals, region = text.rpartition("=")
    if not (name and equals and region):
        msg = f"--area {text!r} is not NAME=CODE"
        raise ValueError(msg)
    return name, region


def printable(text: str) -> str:
    """Give a text that came from a peer so that it cannot steer the terminal."""
    return escape("".join(c if c.isprintable() or c == "\n" else f"\\x{ord(c):02x}" for c in text))


class JsonReporter:
    """One JSON object a line, for programs."""

    def __init__(self, carrier: str) -> None:
        """Report for one carrier."""
        self._carrier = carrier

    def event(self, event: dict[str, Any]) -> None:
        """Tell what happened."""
        line = json.dumps({"carrier": self._carrier, **event}, ensure_ascii=False)
        try:
            sys.stdout.write(line + "\n")
            sys.stdout.flush()
        except BrokenPipeError:  # whoever wanted to know has gone
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise SystemExit(1) from None

    def shown(self, phone: Handset, shown: Shown) -> None:
        """Tell what a phone shows."""
        self.event({"event": "shown", **_shown(phone, shown)})

    def end(self, network: Network) -> None:
        """Tell what every phone has shown in the end."""
        self.event(
            {
                "event": "end",
                "phones": [
                    {
                        "phone": phone.number,
                        "region": phone.region,
                        "language": phone.language,
                        "shown": [_shown(phone, shown) for shown in phone.screen],
                    }
                    for phone in network.phones.values()
                ],
            }
        )


class ScreenReporter:
    """A line for each thing that happens and each text that is new, for people."""

    def __init__(self, carrier: str) -> None:
        """Report for one carrier."""
        self._carrier = carrier
        self._texts: set[str] = set()

    def event(self, event: dict[str, Any]) -> None:
        """Tell what happened."""
        rest = ", ".join(f"{key} {value}" for key, value in event.items() if key != "event")
        console.print(f"{self._carrier}: [bold]{event['event']}[/bold] {printable(rest)}")

    def shown(self, phone: Handset, shown: Shown) -> None:
        """Show the screen of the first phone that shows a text."""
        if shown.text in self._texts:
            return
        self._texts.add(shown.text)
        console.print(
            f"{self._carrier}: phone {phone.number} in {phone.region} shows, by {shown.channel} "
            f"(seal {shown.seal}):\n  {printable(shown.text)}"
        )

    def end(self, network: Network) -> None:
        """Count what was shown."""
        for text in sorted(self._texts):
            counts = [
                sum(shown.text == text for shown in phone.screen)
                for phone in network.phones.values()
            ]
            console.print(
                f"{self._carrier}: {sum(map(bool, counts))} phones showed, "
                f"at most {max(counts)} times each: {printable(text)}"
            )


def _shown(phone: Handset, shown: Shown) -> dict[str, Any]:
    return {
        "phone": phone.number,
        "region": phone.region,
        "language": phone.language,
        "at_s": shown.at_s,
        "channel": shown.channel,
        "text": shown.text,
        "message_identifier": shown.message_identifier,
        "serial_number": None if shown.serial_number is None else f"{shown.serial_number:04x}",
        "seal": shown.seal.value,
    }


def run() -> None:
    """Run the command line; the entry point of the distribution."""
    app()
