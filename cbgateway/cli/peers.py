"""`cbgateway peers` and `cbgateway link test`: how peers stand, and whether the way there works."""

import time
from typing import Annotated, Any

import typer
from rich.table import Table

from cbgateway.app import Gateway
from cbgateway.cli.common import (
    DEFAULT_HOME,
    EXIT_CARRIER,
    AsJson,
    Home,
    console,
    examples,
    print_json,
    printable,
    reports_errors,
)

PEERS_EXAMPLES = examples("cbgateway peers", "cbgateway peers --json | jq '.peers[].is_up'")
POLL_S = 0.1
WAIT_S = 30

link_app = typer.Typer(help="The ways to peers.", no_args_is_help=True)


@reports_errors
def peers(*, home: Home = DEFAULT_HOME, as_json: AsJson = False) -> None:
    """Show each peer of the serving process: state, broadcasts, cells, last answer, last test."""
    with Gateway.open(home) as gateway:
        document = gateway.peers()
    if as_json:
        print_json(document)
        return
    table = Table("peer", "state", "role", "address", "broadcasts", "cells", "answered", "tested")
    for peer in document["peers"]:
        table.add_row(
            peer["peer_id"],
            "[green]up[/green]" if peer["is_up"] else f"[red]down[/red] {printable(_why(peer))}",
            peer["role"],
            peer["address"],
            str(peer["broadcasts"]),
            _cells(peer),
            "never" if peer["answered_s"] is None else f"{peer['answered_s']:.1f} s ago",
            _tested(peer),
        )
    console.print(table if document["peers"] else "No peers yet.")


@link_app.command(
    "test", epilog=examples("cbgateway link test", "cbgateway link test --json --wait 5")
)
@reports_errors
def link_test(
    *,
    wait: Annotated[float, typer.Option(help="Seconds to wait for all answers.", min=0)] = WAIT_S,
    home: Home = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Have the serving process prove the way to each peer and back; exit code 4 when one fails.

    No public message is sent: a controller is asked for a message that nobody has.
    """
    with Gateway.open(home) as gateway:
        gateway.peers()  # somebody has to serve
        asked = gateway.ask_for_link_tests()
        deadline = time.monotonic() + wait
        document = gateway.peers()
        while document["asked"] < asked and time.monotonic() < deadline:
            time.sleep(POLL_S)
            document = gateway.peers()
    is_told = document["asked"] >= asked
    results = [
        {"peer": peer["peer_id"], **(peer["link_test"] or {"passed": False})}
        for peer in document["peers"]
    ]
    passed = is_told and all(result["passed"] for result in results)
    if as_json:
        print_json({"passed": passed, "links": results if is_told else []})
    elif not is_told:
        console.print(f"[red]no results within {wait:g} s[/red]")
    else:
        for result in results:
            if result["passed"]:
                console.print(f"{result['peer']}: passed in {result['round_trip_s'] * 1000:.1f} ms")
            else:
                problem = printable(result.get("problem", ""))
                console.print(f"{result['peer']}: [red]failed[/red] {problem}")
    if not passed:
        raise typer.Exit(EXIT_CARRIER)


def _why(peer: dict[str, Any]) -> str:
    return str(peer["problem"])


def _cells(peer: dict[str, Any]) -> str:
    parts = [f"{peer['cells_on_air']} on air"]
    if peer["cells_failed"]:
        parts.append(f"{peer['cells_failed']} failed")
    if peer["cells_down"]:
        parts.append(f"{len(peer['cells_down'])} down")
    return ", ".join(parts)


def _tested(peer: dict[str, Any]) -> str:
    test = peer["link_test"]
    if test is None:
        return "never"
    return (
        f"passed {test['at'][11:19]}"
        if test["passed"]
        else f"[red]failed[/red] {test['at'][11:19]}"
    )
