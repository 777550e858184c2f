"""`cbgateway contacts`: the numbers and links that texts may show, and who has tried them."""

from typing import Annotated

import typer
from rich.table import Table

from cbgateway.app import Gateway
from cbgateway.cli.common import (
    DEFAULT_HOME,
    AsJson,
    Home,
    KeyFile,
    console,
    examples,
    print_json,
    reports_errors,
)
from cbgateway.signing.keys import SigningKey

app = typer.Typer(
    help="Numbers and links that texts may show, and who has tried them.", no_args_is_help=True
)


@app.command("list", epilog=examples("cbgateway contacts list", "cbgateway contacts list --json"))
@reports_errors
def list_contacts(*, home: Home = DEFAULT_HOME, as_json: AsJson = False) -> None:
    """List the directory; an entry is verified once somebody has tried it lately."""
    with Gateway.open(home) as gateway:
        found = gateway.telling.contacts()
        directory = gateway.deployment.directory
    if as_json:
        print_json(found)
        return
    table = Table("contact", "name", "needs", "tried", "by")
    for one in found:
        tried = one["checked_at"][:10] if one["checked_at"] else "never"
        colour = "green" if one["is_verified"] else "yellow"
        table.add_row(
            one["contact"],
            " / ".join(one["name"].values()),
            " ".join(one["depends_on"]),
            f"[{colour}]{tried}[/{colour}]",
            one["checked_by"] or "",
        )
    console.print(table if found else "No contacts: texts may show no number and no link.")
    if found:
        console.print(f"A check counts for {directory.checked_days_max} days.")


@app.command(
    "confirm",
    epilog=examples(
        "cbgateway contacts confirm 112 --key lab/keys/people/alice.pem",
        "cbgateway contacts confirm status.example.kr --key alice.pem --json",
    ),
)
@reports_errors
def confirm(
    name: Annotated[str, typer.Argument(help="Number, link, or name of the entry.")],
    *,
    key: KeyFile,
    home: Home = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Say that you have just tried a number or link, and that it is right; the history keeps it."""
    with Gateway.open(home) as gateway:
        contact = gateway.telling.confirm_contact(name, key=SigningKey.load(key))
    if as_json:
        print_json({"contact": contact.value, "is_verified": True})
    else:
        console.print(f"{contact.value}: confirmed")
