"""`cbgateway incoming`: what subscribers wrote."""

import sys
from typing import Annotated, Any

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
from cbgateway.domain.incoming import StoredMessage

app = typer.Typer(help="Messages from subscribers, kept until taken.", no_args_is_help=True)

Limit = Annotated[int, typer.Option(min=1, max=10_000, help="How many at most.")]


@app.command("list", epilog=examples("cbgateway incoming list", "cbgateway incoming list --json"))
@reports_errors
def list_messages(*, limit: Limit = 50, home: Home = DEFAULT_HOME, as_json: AsJson = False) -> None:
    """Show the messages that wait, the oldest first."""
    with Gateway.open(home) as gateway, gateway.store.read() as tx:
        messages, count = tx.messages(limit=limit), tx.count_messages()
    if as_json:
        print_json([_report(one) for one in messages])
        return
    table = Table("number", "carrier", "received", "from", "to", "text")
    for one in messages:
        part = "" if one.message.parts == 1 else f" ({one.message.part}/{one.message.parts})"
        table.add_row(
            str(one.message_number),
            one.peer_id,
            one.received_at.isoformat(timespec="seconds"),
            printable(one.message.source),
            printable(one.message.destination),
            printable(one.message.text) + part,
        )
    console.print(table if messages else "No messages wait.")
    if count > len(messages):
        console.print(f"{count - len(messages)} more; --limit shows them")


@app.command("take", epilog=examples("cbgateway incoming take --limit 100 --json >messages.json"))
@reports_errors
def take(*, limit: Limit = 50, home: Home = DEFAULT_HOME, as_json: AsJson = False) -> None:
    """Print messages and forget them; what was not written out stays."""
    with Gateway.open(home) as gateway, gateway.store.transaction() as tx:
        messages = tx.messages(limit=limit)
        if as_json:
            print_json([_report(one) for one in messages])
        else:
            for one in messages:
                text, source = printable(one.message.text), printable(one.message.source)
                console.print(f"{one.message_number} {one.peer_id} {source}: {text}")
        sys.stdout.flush()
        tx.drop_messages(one.message_number for one in messages)


def _report(one: StoredMessage) -> dict[str, Any]:
    message = one.message
    return {
        "number": one.message_number,
        "carrier": one.peer_id,
        "received_at": one.received_at.isoformat(),
        "source": message.source,
        "destination": message.destination,
        "text": message.text,
        "part": message.part,
        "parts": message.parts,
        "reference": message.reference,
    }
