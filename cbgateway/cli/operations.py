"""`cbgateway doctor`, `status`, `backup`, `restore` and `confirm-clock`."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from cbgateway import app
from cbgateway.cli.common import (
    DEFAULT_HOME,
    EXIT_CONFIGURATION,
    AsJson,
    Home,
    console,
    examples,
    print_json,
    printable,
    reports_errors,
)
from cbgateway.preflight import Level

DOCTOR_EXAMPLES = examples("cbgateway doctor", "cbgateway doctor --json")
STATUS_EXAMPLES = examples("cbgateway status", "cbgateway status --json | jq .open_deliveries")
BACKUP_EXAMPLES = examples(
    "cbgateway backup /media/backup/cbgateway-2021-10-25.tar",
    "cbgateway backup all.tar --with-secrets   # keep it like the keys themselves",
)
RESTORE_EXAMPLES = examples(
    "cbgateway restore /media/backup/cbgateway-2021-10-25.tar --home lab",
)
CONFIRM_EXAMPLES = examples("cbgateway confirm-clock")
COLOURS = {Level.OK: "green", Level.WARN: "yellow", Level.FAIL: "red"}


@reports_errors
def doctor(*, home: Home = DEFAULT_HOME, as_json: AsJson = False) -> None:
    """Look for everything that is not as it should be; exit code 78 when something fails.

    In mode live, whatever fails here also keeps `serve` from starting.
    """
    with app.Gateway.open(home) as gateway:
        found = gateway.findings()
        mode = gateway.settings.mode
    if as_json:
        print_json(
            {
                "mode": mode.value,
                "findings": [
                    {"check": one.check, "level": one.level.value, "detail": one.detail}
                    for one in found
                ],
            }
        )
    else:
        table = Table("check", "", "detail", title=f"mode {mode}")
        for one in found:
            colour = COLOURS[one.level]
            table.add_row(one.check, f"[{colour}]{one.level}[/{colour}]", printable(one.detail))
        console.print(table)
    if any(one.level is Level.FAIL for one in found):
        raise typer.Exit(EXIT_CONFIGURATION)


@reports_errors
def status(*, home: Home = DEFAULT_HOME, as_json: AsJson = False) -> None:
    """Say how the gateway stands: what is open at which carrier, what waits for a decision."""
    with app.Gateway.open(home) as gateway:
        report = gateway.status()
    if as_json:
        print_json(report)
        return
    served = "is served" if report["is_served"] else "[red]is not served[/red]"
    console.print(f"[bold]{report['mode']}[/bold] gateway {home} {served}")
    bulletins = ", ".join(f"{count} {state}" for state, count in report["bulletins"].items())
    console.print(f"bulletins: {bulletins or 'none yet'}")
    for carrier, states in report["open_deliveries"].items():
        open_work = ", ".join(f"{count} {state}" for state, count in states.items())
        console.print(f"{carrier}: {open_work or 'nothing open'}")
    if report["peers"]:
        peers = report["peers"].values()
        ages = [one["link_test_age_s"] for one in peers if one["link_test_age_s"] is not None]
        oldest = f"oldest link test {max(ages):.0f} s ago" if ages else "no link test yet"
        up = sum(one["is_up"] for one in peers)
        console.print(f"peers: {up} of {len(peers)} up, {oldest}")
    missed, promised = report["promises"]["missed"], report["promises"]["open"]
    late = sum(one["is_missed"] for one in promised)
    console.print(f"promises: {len(promised)} open, {late} of them late; {missed} missed so far")
    drills = report["drills"]
    due = " [red]A drill is due: a quarter has passed.[/red]" if drills["is_due"] else ""
    console.print(f"drills: last {drills['last'] or 'never'}, next {drills['next'] or 'none'}{due}")
    for one in report["briefings"]:
        console.print(f"briefing {one['bulletin']}: {printable(_coverage(one))}")
    log = report["audit"]
    console.print(f"history: {log['entries']} entries, witnessed up to {log['witnessed'] or 0}")
    if not report["has_ballast"]:
        console.print("[red]the disk is full: only what is never blocked is taken in[/red]")


def _coverage(one: dict[str, Any]) -> str:
    """Say who has read a briefing, and who has not."""
    if one["expected"] is None:
        return f"read by {one['read']}"
    read = one["expected"] - len(one["missing"])
    missing = f"; not yet: {', '.join(one['missing'])}" if one["missing"] else ""
    return f"read by {read} of {one['expected']}{missing}"


@reports_errors
def backup(
    to: Annotated[Path, typer.Argument(help="A new file.")],
    *,
    with_secrets: Annotated[
        bool, typer.Option("--with-secrets", help="Private keys and passwords, too.")
    ] = False,
    home: Home = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Write database and settings into one file, while the gateway goes on serving."""
    with app.Gateway.open(home) as gateway:
        manifest = gateway.backup(to, with_secrets=with_secrets)
    if as_json:
        print_json({"file": str(to), **manifest})
    else:
        console.print(f"{to}: {len(manifest['files'])} files, mode {manifest['mode']}")


@reports_errors
def restore(
    backup: Annotated[Path, typer.Argument(help="What `cbgateway backup` has written.")],
    *,
    home: Home = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Put a backup in place of a database that was moved away; marks, witness and keys stay.

    Serial numbers that phones may have seen are not used again, and the history says that a
    backup came back.
    """
    manifest = app.restore(backup, home, clock=app.SystemClock())
    if as_json:
        print_json(manifest)
    else:
        console.print(f"restored what was backed up at {manifest['at']}, mode {manifest['mode']}")
        console.print("Now: cbgateway doctor, then cbgateway serve")


@reports_errors
def confirm_clock(*, home: Home = DEFAULT_HOME, as_json: AsJson = False) -> None:
    """Say that the machine's clock is right after a jump; held expiries then go on."""
    with app.Gateway.open(home) as gateway:
        gateway.confirm_clock()
        now = gateway.clock.now()
    if as_json:
        print_json({"confirmed_at": now.isoformat()})
    else:
        console.print(f"confirmed: it is {now.isoformat(timespec='seconds')}")
