"""`cbgateway cells`: the cells of radio networks, and which region each is in."""

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

app = typer.Typer(help="Cells of radio networks, by controller and region.", no_args_is_help=True)


@app.command(
    "import",
    epilog=examples(
        "cbgateway cells import cells.csv --network kt-gsm",
        "printf 'controller,region,plmn,lac,cell,latitude,longitude\\n"
        "bsc-1,,450-08,1001,11,37.56,126.97\\n' "
        "| cbgateway cells import /dev/stdin --network kt-gsm",
    ),
)
@reports_errors
def import_cells(
    file: Annotated[
        Path,
        typer.Argument(help="CSV: controller,region,plmn,lac,cell,latitude,longitude."),
    ],
    *,
    network: Annotated[str, typer.Option(help="Whose cells they are.")],
    home: Home = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Take in all cells of a network, in place of those that were there; all lines or none.

    A cell without a region is put into the smallest one around its place. Processes that run
    already go on with what they have read at their start.
    """
    try:
        octets = file.read_bytes()
    except OSError as error:
        msg = f"{file}: {error.strerror}"
        raise InputError(msg) from error
    with Gateway.open(home) as gateway:
        cells = gateway.import_cells(network, octets)
        root = gateway.deployment.country.root_region
        bare = cells.bare([root], gateway.deployment.regions)
    if as_json:
        print_json(
            {"network": network, "controllers": dict(cells.controllers), "regions_bare": list(bare)}
        )
        return
    console.print(f"{len(cells)} cells of {network} imported")
    if bare:
        console.print(f"  [yellow]no cell in {', '.join(bare)}[/yellow]")


@app.command("list", epilog=examples("cbgateway cells list --json"))
@reports_errors
def list_cells(*, home: Home = DEFAULT_HOME, as_json: AsJson = False) -> None:
    """Count the cells by controller."""
    with Gateway.open(home) as gateway:
        deployment = gateway.deployment
    rows = [
        {"network": network, "controller": controller, "cells": count}
        for network, cells in deployment.cells.items()
        for controller, count in cells.controllers.items()
    ]
    if as_json:
        print_json(rows)
        return
    table = Table("network", "controller", "cells")
    for row in rows:
        table.add_row(*map(str, row.values()))
    console.print(table if rows else "No cells yet.")
