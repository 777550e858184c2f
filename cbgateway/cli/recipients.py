"""`cbgateway recipients`: who gets short messages."""

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
    reports_errors,
)
from cbgateway.domain.errors import InputError

app = typer.Typer(help="Recipient lists for SMS, by carrier and region.", no_args_is_help=True)


@app.command(
    "import",
    epilog=examples(
        "cbgateway recipients import old-phones.csv --carrier skt",
        "printf 'number,region,language\\n821012345678,KR-26,ko\\n' "
        "| cbgateway recipients import /dev/stdin --carrier skt",
    ),
)
@reports_errors
def import_list(
    file: Annotated[
        Path, typer.Argument(help="CSV with the header number,region,language; or Parquet.")
    ],
    *,
    carrier: Annotated[str, typer.Option(help="Whose subscribers they are.")],
    home: Home = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Add subscribers to a carrier's list, or move them; all lines or none."""
    try:
        with file.open("rb") as stream, Gateway.open(home) as gateway:
            count = gateway.import_recipients(carrier, stream)
    except OSError as error:
        msg = f"{file}: {error.strerror}"
        raise InputError(msg) from error
    if as_json:
        print_json({"carrier": carrier, "imported": count})
    else:
        console.print(f"{count} recipients of {carrier} imported")


@app.command("list", epilog=examples("cbgateway recipients list --json"))
@reports_errors
def list_recipients(*, home: Home = DEFAULT_HOME, as_json: AsJson = False) -> None:
    """Count the recipients by carrier and region."""
    with Gateway.open(home) as gateway, gateway.store.read() as tx:
        counts = tx.count_recipients()
    if as_json:
        print_json(
            [
                {"carrier": carrier, "region": region, "recipients": count}
                for (carrier, region), count in sorted(counts.items())
            ]
        )
        return
    table = Table("carrier", "region", "recipients")
    for (carrier, region), count in sorted(counts.items()):
        table.add_row(carrier, region, str(count))
    console.print(table if counts else "No recipients yet.")
