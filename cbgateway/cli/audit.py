"""`cbgateway audit`: the history, signed, exported and verified."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from cbgateway.app import Gateway
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
from cbgateway.domain.errors import InputError

app = typer.Typer(help="The tamper-evident history of this gateway.", no_args_is_help=True)


@app.command(
    "verify",
    epilog=examples(
        "cbgateway audit verify", "cbgateway audit verify --checkpoint yesterday.checkpoint"
    ),
)
@reports_errors
def verify(
    *,
    checkpoint: Annotated[
        list[Path] | None, typer.Option(help="A checkpoint signed earlier; again for more.")
    ] = None,
    home: Home = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Hash the whole history anew and hold it against every checkpoint; exit code 5 if it differs.

    Decisions in the database are compared with the history, too.
    """
    try:
        earlier = [path.read_text("utf-8") for path in checkpoint or ()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(str(error)) from error
    with Gateway.open(home) as gateway:
        verified = gateway.history.verify(earlier)
        origin = gateway.history.origin
    report = {
        "origin": origin,
        "entries": verified.size,
        "root": verified.root.hex(),
        "compared": verified.compared,
    }
    if as_json:
        print_json(report)
    else:
        console.print(
            f"{origin}: {verified.size} entries, unchanged since {verified.compared} checkpoint(s)"
        )


@app.command("checkpoint", epilog=examples("cbgateway audit checkpoint >today.checkpoint"))
@reports_errors
def checkpoint(*, home: Home = DEFAULT_HOME) -> None:
    """Sign how the history stands, have it witnessed, and print the signed note.

    Give it to somebody else: with it, nobody can change what came before.
    """
    with Gateway.open(home) as gateway:
        typer.echo(gateway.history.checkpoint(), nl=False)


@app.command("export", epilog=examples("cbgateway audit export evidence/"))
@reports_errors
def export(
    folder: Annotated[Path, typer.Argument(help="A new folder.")],
    *,
    home: Home = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Write the history as tiles (C2SP tlog-tiles), with a checkpoint and the key to check it."""
    with Gateway.open(home) as gateway:
        note = gateway.history.export(folder)
    size = int(note.split("\n")[1])
    if as_json:
        print_json({"folder": str(folder), "entries": size})
    else:
        console.print(f"{size} entries in {folder}")


@app.command(
    "show",
    epilog=examples("cbgateway audit show", "cbgateway audit show --subject kt-20211025/1 --json"),
)
@reports_errors
def show(
    *,
    subject: Annotated[
        str | None, typer.Option(help="Only of this bulletin, incident, person or key.")
    ] = None,
    home: Home = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Show the history in words."""
    with Gateway.open(home) as gateway, gateway.store.read() as tx:
        events = tx.events(subject)
    if as_json:
        print_json(
            [
                {
                    "at": event.at.isoformat(),
                    "subject": event.subject,
                    "what": event.what,
                    "actor": event.actor,
                    "detail": dict(event.detail),
                }
                for event in events
            ]
        )
        return
    table = Table("at", "subject", "what", "by", "detail")
    for event in events:
        detail = ", ".join(f"{name} {value}" for name, value in event.detail.items() if value)
        table.add_row(
            event.at.isoformat(timespec="seconds"),
            event.subject,
            event.what,
            event.actor,
            printable(detail),
        )
    console.print(table)
