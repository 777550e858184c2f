"""`cbgateway profiles`: are they sound, and what do they say."""

from pathlib import Path
from typing import Annotated

import typer

from cbgateway.app import can_encode
from cbgateway.cli.common import (
    EXIT_USAGE,
    AsJson,
    console,
    errors,
    examples,
    print_json,
    reports_errors,
)
from cbgateway.profiles.loader import check_profiles, profiles_folder

app = typer.Typer(help="Country, carrier, region and template profiles.", no_args_is_help=True)


@app.command(
    "check",
    epilog=examples(
        "cbgateway profiles check", "cbgateway profiles check --profiles ./my-profiles --json"
    ),
)
@reports_errors
def check(
    *,
    profiles: Annotated[
        Path | None,
        typer.Option(help="Folder to check.", show_default="those that ship with cbgateway"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check every profile and name every problem by file and key; exit code 2 when there is one."""
    found, problems = check_profiles(profiles, can_encode)
    folder = profiles_folder() if profiles is None else profiles
    if as_json:
        print_json(
            {
                "folder": str(folder),
                "ok": not problems,
                "problems": [
                    {"file": one.file, "key": one.key, "problem": one.problem} for one in problems
                ],
                "countries": sorted(found.countries),
                "carriers": sorted(found.carriers),
            }
        )
    else:
        for problem in problems:
            errors.print(str(problem), style="red", markup=False)
        console.print(
            f"{folder}: {len(found.countries)} countries, {len(found.carriers)} carriers, "
            f"{sum(map(len, found.regions.values()))} regions, "
            f"{sum(map(len, found.templates.values()))} templates: "
            + (f"{len(problems)} problems" if problems else "all sound")
        )
    if problems:
        raise typer.Exit(EXIT_USAGE)
