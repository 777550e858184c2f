"""`cbgateway cap`: alerts in CAP 1.2, in and out."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from cbgateway.app import Gateway
from cbgateway.cli.bulletin import BulletinId, print_submitted
from cbgateway.cli.common import (
    DEFAULT_HOME,
    AsJson,
    Home,
    console,
    examples,
    print_json,
    printable,
    reports_errors,
)
from cbgateway.interfaces.cap.incoming import OpenedCap
from cbgateway.interfaces.schema import read_document
from cbgateway.service.reports import bulletin_report
from cbgateway.signing.keys import SigningKey

app = typer.Typer(help="Exchange alerts with others in CAP 1.2.", no_args_is_help=True)

File = Annotated[Path, typer.Argument(help="CAP alert (XML); - for standard input.")]


@app.command(
    "submit",
    epilog=examples(
        "cbgateway cap submit alert.xml --key lab/keys/people/alice.pem",
        "cbgateway cap submit signed-alert.xml --json",
    ),
)
@reports_errors
def submit(
    file: File,
    *,
    key: Annotated[
        Path | None,
        typer.Option(
            "--key",
            envvar="CBGATEWAY_KEY",
            help="Your private key; not needed for an alert that its sender has signed.",
            show_default=False,
        ),
    ] = None,
    home: Home = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Take in an alert as a bulletin; a second person then decides.

    The same alert again gives the same answer and changes nothing.
    """
    octets = _read(file)
    with Gateway.open(home) as gateway:
        record = gateway.submit_cap(octets, key=None if key is None else SigningKey.load(key))
    print_submitted(bulletin_report(record, ()), home, as_json=as_json)


@app.command("export", epilog=examples("cbgateway cap export kt-20211025/2 >alert.xml"))
@reports_errors
def export(bulletin: BulletinId, *, home: Home = DEFAULT_HOME) -> None:
    """Print an approved bulletin as an alert: the same octets whenever asked."""
    with Gateway.open(home) as gateway:
        octets = gateway.export_cap(bulletin)
    sys.stdout.buffer.write(octets)
    sys.stdout.buffer.flush()


@app.command("check", epilog=examples("cbgateway cap check alert.xml"))
@reports_errors
def check(file: File, *, home: Home = DEFAULT_HOME, as_json: AsJson = False) -> None:
    """Say what an alert would become, or what is wrong with it; nothing is kept."""
    octets = _read(file)
    with Gateway.open(home) as gateway:
        opened, document = gateway.check_cap(octets)
    report = _report(opened, document)
    if as_json:
        print_json(report)
        return
    for name, value in report.items():
        console.print(f"[bold]{name}[/bold] {printable(str(value))}")


def _report(opened: OpenedCap, document: dict[str, Any]) -> dict[str, Any]:
    alert = opened.alert
    return {
        "identifier": alert.identifier,
        "sender": alert.sender,
        "message_type": alert.message_type,
        "status": alert.status,
        "signed_by": None if opened.sender is None else opened.sender.person,
        "sha256": alert.digest,
        "becomes": document,
    }


def _read(file: Path) -> bytes:
    return read_document(Path("/dev/stdin") if str(file) == "-" else file)
