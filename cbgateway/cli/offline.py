"""`cbgateway offline`: kits for the day that the gateway is cut off, used and taken over."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from cbgateway import offline
from cbgateway.app import Gateway
from cbgateway.cli.bulletin import (
    Confirm,
    ask_approver,
    print_bulletin,
    print_plan,
    wait_for_answers,
)
from cbgateway.cli.common import (
    DEFAULT_HOME,
    EXIT_CARRIER,
    AsJson,
    Home,
    console,
    examples,
    print_json,
    reports_errors,
)
from cbgateway.cli.gateway import first_of_ours
from cbgateway.domain.errors import InputError
from cbgateway.domain.lifecycle import DeliveryState
from cbgateway.interfaces.schema import read_document
from cbgateway.process import configure_logging
from cbgateway.service.approval import Prepared
from cbgateway.signing.keys import SigningKey

app = typer.Typer(help="Work while the gateway is cut off.", no_args_is_help=True)
KEYS = 2
FINE = {DeliveryState.ACKED.value, DeliveryState.DELIVERED.value, DeliveryState.CANCELLED.value}


@app.command(
    "kit",
    epilog=examples(
        "cbgateway offline kit /media/kit-1",
        "cbgateway offline kit /media/kit-2 --days 30 --with-recipients",
    ),
)
@reports_errors
def kit(
    out: Annotated[Path, typer.Argument(help="A new folder; keep it like the keys themselves.")],
    *,
    days: Annotated[int, typer.Option(help="Until when it may be used.", min=1, max=366)] = 90,
    with_recipients: Annotated[
        bool, typer.Option("--with-recipients", help="The carriers' lists of numbers, too.")
    ] = False,
    home: Home = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Make a kit: a folder from which two people can issue bulletins without this gateway.

    It has sealing keys and message codes of its own, which this gateway never uses.
    """
    with Gateway.open(home) as gateway:
        record = offline.make_kit(gateway, out, days=days, with_recipients=with_recipients)
    until = record.until.isoformat()
    if as_json:
        print_json({"kit": record.name, "folder": str(out), "slot": record.slot, "until": until})
        return
    console.print(f"{out} is [bold]{record.name}[/bold], good until {until}.")
    console.print("Publish the sealing keys anew (`cbgateway keys export`), then try the kit:")
    console.print(f"  cbgateway doctor --home {out}")


@app.command(
    "issue",
    epilog=examples(
        "cbgateway offline issue first.json --key alice.pem --key bob.pem --home /media/kit-1",
    ),
)
@reports_errors
def issue(
    file: Annotated[Path, typer.Argument(help="Bulletin (JSON); - for standard input.")],
    *,
    key: Annotated[list[Path], typer.Option(help="A private key; two people's, so give it twice.")],
    yes: Annotated[
        bool, typer.Option("--yes", help="Do not ask; both of you have looked.")
    ] = False,
    confirm: Confirm = "",
    wait: Annotated[
        float, typer.Option(help="Seconds to wait for the carriers' answers.", min=0)
    ] = 60,
    home: Home = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Issue a bulletin from a kit: two people, one machine, carriers and nothing else.

    The rules are those of the gateway. What is not answered in time (exit code 4) goes on when the
    same command is given again.
    """
    if len(key) != KEYS:
        msg = f"--key: two people's keys are needed, {len(key)} are given"
        raise InputError(msg)
    first, second = (SigningKey.load(path) for path in key)
    octets = read_document(Path("/dev/stdin") if str(file) == "-" else file)
    with Gateway.open(home) as gateway:
        configure_logging(gateway.settings.mode, sys.stderr)

        def ask(prepared: Prepared) -> str:
            if not as_json:
                print_plan(prepared)
            if yes or as_json:
                return confirm
            return ask_approver(gateway.settings.mode, prepared.confirmation, confirm)

        bulletin = offline.issue(gateway, octets, (first, second), ask)
        try:
            offline.send(gateway, wait_s=wait)
        except BaseExceptionGroup as group:
            found = first_of_ours(group)
            if found is None:
                raise
            raise found from group
        report = wait_for_answers(gateway, bulletin, wait_s=0)
    if as_json:
        print_json(report)
    else:
        print_bulletin(report)
        console.print(f"Later, at the gateway: cbgateway offline merge {home}")
    if {state for states in report["carriers"].values() for state in states} - FINE:
        raise typer.Exit(EXIT_CARRIER)


@app.command("merge", epilog=examples("cbgateway offline merge /media/kit-1 --home lab"))
@reports_errors
def merge(
    folder: Annotated[Path, typer.Argument(help="The kit's folder.")],
    *,
    home: Home = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Take over what a kit did, and close it; the gateway goes on with its incidents.

    Doing it again changes nothing. Broadcasts that the kit had not sent go out from here.
    """
    with Gateway.open(home) as gateway:
        record, merged = offline.merge_kit(gateway, folder)
    if as_json:
        print_json(
            {
                "kit": record.name,
                "bulletins": list(merged.bulletins),
                "to_send": merged.to_send,
                "leaves": merged.leaves,
            }
        )
        return
    taken = ", ".join(merged.bulletins) or "nothing new"
    console.print(f"{record.name}: {taken}; {merged.leaves} leaves of its history")
    if merged.to_send:
        console.print(f"{merged.to_send} broadcasts that it had not sent go out from here")


@app.command("list", epilog=examples("cbgateway offline list --json"))
@reports_errors
def list_kits(*, home: Home = DEFAULT_HOME, as_json: AsJson = False) -> None:
    """List who has which message codes."""
    with Gateway.open(home) as gateway:
        found = offline.kits(gateway)
    if as_json:
        print_json(found)
        return
    table = Table("kit", "slot", "codes", "made", "until", "free again", "merged")
    for one in found:
        table.add_row(
            one["kit"],
            str(one["slot"]),
            "{}-{}".format(*one["codes"]),
            one["made_at"] or "not known",
            f"{one['until']}{' (over)' if one['is_over'] else ''}",
            one["free_again_at"],
            f"{one['merged_leaves']} leaves" if one["merged_leaves"] else "",
        )
    console.print(table if found else "No kit was made yet.")


@app.command(
    "retire",
    epilog=examples("cbgateway offline retire kit7f2q", "cbgateway offline retire kit7f2q --lost"),
)
@reports_errors
def retire(
    kit: Annotated[str, typer.Argument(help="Its name; or a slot's number, if nobody knows it.")],
    *,
    lost: Annotated[
        bool, typer.Option("--lost", help="Somebody else may have it: revoke its sealing keys.")
    ] = False,
    home: Home = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Say that a kit and every copy of it is destroyed; its codes rest, then another may have them.

    After a loss, change the carriers' passwords as well: they were in the kit.
    """
    with Gateway.open(home) as gateway:
        if kit.isdecimal() and not lost:
            offline.free_slot(gateway, int(kit))
        else:
            offline.retire(gateway, kit, is_lost=lost)
    if as_json:
        print_json({"kit": kit, "is_lost": lost})
    else:
        console.print(f"{kit}: {'lost; its sealing keys are revoked' if lost else 'retired'}")
