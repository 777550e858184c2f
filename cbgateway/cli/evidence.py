"""`cbgateway evidence`: what carriers measured, for the report."""

from pathlib import Path
from typing import Annotated

import typer

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
from cbgateway.interfaces.carrier_log import OCTETS_MAX

app = typer.Typer(help="Take in what carriers measured.", no_args_is_help=True)


@app.command(
    "import",
    epilog=examples(
        "cbgateway evidence import skt-cbc.csv --source 'SK Telecom CBC, ticket 4711'",
        "cbgateway evidence import - --source 'KT network centre' <log.json",
    ),
)
@reports_errors
def import_log(
    file: Annotated[Path, typer.Argument(help="Carrier's log, CSV or JSON; - for standard input.")],
    *,
    source: Annotated[str, typer.Option(help="Who gave it; the report names it.")],
    home: Home = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Take in when and in how many cells bulletins were on air, as a carrier's log has it.

    Columns: bulletin, carrier, region, first_broadcast_at (ISO 8601 with offset), and if known
    cells_reached, cells_failed, phones_seen. All of it or nothing; the same log again changes
    nothing.
    """
    path = Path("/dev/stdin") if str(file) == "-" else file
    try:
        with path.open("rb") as opened:
            octets = opened.read(OCTETS_MAX + 1)
    except OSError as error:
        msg = f"{file}: {error.strerror}"
        raise InputError(msg) from error
    with Gateway.open(home) as gateway:
        rows = gateway.telling.import_carrier_log(octets, source=source)
    if as_json:
        print_json({"file": str(file), "rows": rows})
    else:
        console.print(f"{file}: {rows} rows" if rows else f"{file}: was taken in before")
