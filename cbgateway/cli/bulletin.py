"""`cbgateway bulletin`: submit, revise, look, approve, return or reject."""

import time
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from cbgateway.app import Gateway
from cbgateway.cli.common import (
    DEFAULT_HOME,
    EXIT_CARRIER,
    AsJson,
    Home,
    KeyFile,
    console,
    examples,
    print_json,
    printable,
    reports_errors,
)
from cbgateway.domain.bulletin import BulletinState, Mode
from cbgateway.domain.errors import UnknownNameError
from cbgateway.domain.lifecycle import DeliveryState
from cbgateway.interfaces.schema import read_document
from cbgateway.service.approval import Prepared
from cbgateway.service.outlook import QUESTIONS_SHOWN, question_documents
from cbgateway.service.reports import bulletin_report
from cbgateway.service.subscribers import concerned
from cbgateway.signing.keys import SigningKey

app = typer.Typer(help="Submit, approve and look at bulletins.", no_args_is_help=True)

BulletinId = Annotated[str, typer.Argument(help="Incident and number, such as kt-20211025/2.")]
AsDraft = Annotated[
    bool, typer.Option("--draft", help="Keep it as a draft; nobody decides about it yet.")
]
Confirm = Annotated[
    str,
    typer.Option(help="For a wide area: the phrase that is asked for, such as 'live 17 regions'."),
]
OPEN = {DeliveryState.READY.value, DeliveryState.INTENT.value}
POLL_S = 0.2


@app.command(
    "submit",
    epilog=examples(
        "cbgateway bulletin submit examples/first.json --key lab/keys/people/alice.pem",
        "cbgateway bulletin submit - --key alice.pem --json <bulletin.json",
    ),
)
@reports_errors
def submit(
    file: Annotated[Path, typer.Argument(help="Bulletin (JSON); - for standard input.")],
    *,
    key: KeyFile,
    draft: AsDraft = False,
    home: Home = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Sign a bulletin and submit it; a second person then decides.

    The same document again gives the same answer and changes nothing.
    """
    octets = read_document(Path("/dev/stdin") if str(file) == "-" else file)
    with Gateway.open(home) as gateway:
        record = gateway.submit(octets, key=SigningKey.load(key), as_draft=draft)
    print_submitted(bulletin_report(record, ()), home, as_json=as_json)


@app.command(
    "revise",
    epilog=examples(
        "cbgateway bulletin revise kt-20211025/1 better.json --key lab/keys/people/alice.pem"
    ),
)
@reports_errors
def revise(
    bulletin: BulletinId,
    file: Annotated[Path, typer.Argument(help="Bulletin (JSON); - for standard input.")],
    *,
    key: KeyFile,
    draft: AsDraft = False,
    home: Home = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Put another document in place of a draft or a returned bulletin, and submit it.

    It has an identifier of its own. Whoever had a hand in it does not approve it.
    """
    octets = read_document(Path("/dev/stdin") if str(file) == "-" else file)
    with Gateway.open(home) as gateway:
        record = gateway.revise(bulletin, octets, key=SigningKey.load(key), as_draft=draft)
    print_submitted(bulletin_report(record, ()), home, as_json=as_json)


def print_submitted(report: dict[str, Any], home: Path, *, as_json: bool) -> None:
    """Show what was taken in, and who has to act next."""
    if as_json:
        print_json(report)
        return
    print_bulletin(report)
    if report["state"] == BulletinState.DRAFT.value:
        console.print(f"Later: cbgateway bulletin revise {report['bulletin']} FILE --home {home}")
        return
    command = f"cbgateway bulletin approve {report['bulletin']} --home {home} --key ..."
    console.print(f"Now somebody else: {command}")


@app.command(
    "take-back",
    epilog=examples(
        'cbgateway bulletin take-back kt-20211025/1 --reason "false alarm" --key alice.pem'
    ),
)
@reports_errors
def take_back(
    bulletin: BulletinId,
    *,
    reason: Annotated[str, typer.Option(help="Why.")],
    key: KeyFile,
    home: Home = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Take back your own bulletin before anybody has approved it."""
    with Gateway.open(home) as gateway:
        record = gateway.take_back(bulletin, reason=reason, key=SigningKey.load(key))
    report = bulletin_report(record, ())
    if as_json:
        print_json(report)
    else:
        print_bulletin(report)


@app.command("resend", epilog=examples("cbgateway bulletin resend kt-20211025/1 --key bob.pem"))
@reports_errors
def resend(
    bulletin: BulletinId, *, key: KeyFile, home: Home = DEFAULT_HOME, as_json: AsJson = False
) -> None:
    """Send short messages that are in doubt once more; somebody may read them twice."""
    with Gateway.open(home) as gateway:
        count = gateway.resend(bulletin, key=SigningKey.load(key))
    if as_json:
        print_json({"bulletin": bulletin, "recipients": count})
    else:
        console.print(f"{bulletin}: {count} recipients get a second copy")


@app.command(
    "approve",
    epilog=examples(
        "cbgateway bulletin approve kt-20211025/1 --key lab/keys/people/bob.pem",
        "cbgateway bulletin approve kt-20211025/1 --key bob.pem --yes --wait 10 --json",
    ),
)
@reports_errors
def approve(
    bulletin: BulletinId,
    *,
    key: KeyFile,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask; you have looked.")] = False,
    confirm: Confirm = "",
    wait: Annotated[
        float, typer.Option(help="Seconds to wait for the carriers' answers.", min=0)
    ] = 0,
    home: Home = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Look at what would go out, and send it. It takes somebody who had no hand in it.

    --json and --yes ask no question; a wide area then needs --confirm.
    With --wait, exit code 4 says that a carrier refused, or has not answered yet.
    """
    with Gateway.open(home) as gateway:
        signing_key = SigningKey.load(key)
        prepared = gateway.prepare(bulletin)
        if not as_json:
            print_plan(prepared)
            print_people(gateway, prepared)
        if not (yes or as_json):
            confirm = ask_approver(gateway.settings.mode, prepared.confirmation, confirm)
        gateway.approve(prepared, key=signing_key, confirmation=confirm)
        report = wait_for_answers(gateway, bulletin, wait_s=wait)
    if as_json:
        print_json(report)
    else:
        print_bulletin(report)
    unfinished = {state for states in report["carriers"].values() for state in states}
    if wait and unfinished - {DeliveryState.ACKED.value, DeliveryState.CANCELLED.value}:
        raise typer.Exit(EXIT_CARRIER)


def ask_approver(mode: Mode, phrase: str, given: str) -> str:
    """Have the approver say yes, or type what a wide area is about to get."""
    if not phrase:
        typer.confirm(f"[{mode}] Send it?", abort=True)
        return given
    typed = given or typer.prompt(f"[{mode}] This takes care. Type '{phrase}' to send it")
    return str(typed)


@app.command(
    "return",
    epilog=examples(
        'cbgateway bulletin return kt-20211025/1 --reason "name the city" --key bob.pem'
    ),
)
@reports_errors
def give_back(
    bulletin: BulletinId,
    *,
    reason: Annotated[str, typer.Option(help="What to change; the author reads it.")],
    key: KeyFile,
    home: Home = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Give a bulletin back to its authors, who may revise it."""
    with Gateway.open(home) as gateway:
        record = gateway.give_back(bulletin, reason=reason, key=SigningKey.load(key))
        report = bulletin_report(record, ())
    if as_json:
        print_json(report)
    else:
        print_bulletin(report)


@app.command(
    "reject",
    epilog=examples(
        'cbgateway bulletin reject kt-20211025/1 --reason "wrong region" --key bob.pem'
    ),
)
@reports_errors
def reject(
    bulletin: BulletinId,
    *,
    reason: Annotated[str, typer.Option(help="Why; the author reads it.")],
    key: KeyFile,
    home: Home = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Turn a bulletin down for good, with a reason."""
    with Gateway.open(home) as gateway:
        record = gateway.reject(bulletin, reason=reason, key=SigningKey.load(key))
        report = bulletin_report(record, ())
    if as_json:
        print_json(report)
    else:
        print_bulletin(report)


@app.command(
    "list",
    epilog=examples("cbgateway bulletin list", "cbgateway bulletin list --state pending --json"),
)
@reports_errors
def list_bulletins(
    *,
    state: Annotated[BulletinState | None, typer.Option(help="Only those in this state.")] = None,
    home: Home = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """List bulletins in order."""
    with Gateway.open(home) as gateway, gateway.store.read() as tx:
        reports = [
            bulletin_report(record, tx.deliveries(record.bulletin.bulletin_id))
            for record in tx.bulletins()
            if state is None or record.state is state
        ]
    if as_json:
        print_json(reports)
        return
    table = Table("bulletin", "kind", "class", "regions", "state", "deliveries", "text")
    for report in reports:
        text = next(iter(report["texts"].values()), "")
        table.add_row(
            report["bulletin"],
            report["kind"],
            report["class"],
            " ".join(report["regions"]),
            report["state"],
            _totals(report),
            printable(text[:40] + ("…" if len(text) > 40 else "")),  # noqa: PLR2004 - a table's column
        )
    console.print(table if reports else "No bulletins yet.")


@app.command("ask", epilog=examples("cbgateway bulletin ask kt-20211025/1"))
@reports_errors
def ask(bulletin: BulletinId, *, home: Home = DEFAULT_HOME, as_json: AsJson = False) -> None:
    """Have carriers asked where a bulletin is on air; `bulletin show` tells what they said."""
    with Gateway.open(home) as gateway:
        count = gateway.ask_on_air(bulletin)
    if as_json:
        print_json({"bulletin": bulletin, "broadcasts": count})
    else:
        console.print(f"{bulletin}: carriers are asked about {count} broadcasts")


@app.command(
    "show",
    epilog=examples(
        "cbgateway bulletin show kt-20211025/1",
        "cbgateway bulletin show kt-20211025/1 --json | jq .deliveries",
    ),
)
@reports_errors
def show(bulletin: BulletinId, *, home: Home = DEFAULT_HOME, as_json: AsJson = False) -> None:
    """Show a bulletin, what was decided, and what became of it at each carrier."""
    with Gateway.open(home) as gateway:
        report = _report(gateway, bulletin)
    if as_json:
        print_json(report)
        return
    print_bulletin(report)
    table = Table("carrier", "region", "channel", "language", "serial", "state", "attempts", "note")
    for row in report["deliveries"]:
        count = f" ({row['accepted']}/{row['recipients']})" if row["recipients"] else ""
        table.add_row(
            row["carrier"],
            row["region"],
            f"{row['channel']}{' stop' if row['order'] == 'stop' else ''}",
            row["language"],
            row["serial_number"] or "",
            row["state"] + count,
            str(row["attempts"]),
            printable(row["reason"] or ""),
        )
    if report["deliveries"]:
        console.print(table)
    for row in report["deliveries"]:
        if row["on_air"] is not None:
            console.print(f"{row['carrier']} in {row['region']}: {_on_air(row['on_air'])}")


@app.command(
    "verify",
    epilog=examples(
        "cbgateway bulletin show kt-20211025/1 --json >report.json",
        "cbgateway bulletin verify report.json",
    ),
)
@reports_errors
def verify(
    file: Annotated[Path, typer.Argument(help="A bulletin's report (JSON).")],
    *,
    home: Home = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Check that a report says what its regions sealed; exit code 5 when it does not."""
    with Gateway.open(home) as gateway:
        seals = gateway.verify(read_document(file))
    if as_json:
        print_json(
            [
                {"bulletin": one.bulletin_id, "region": one.region, "key_id": one.key_id}
                for one in seals
            ]
        )
        return
    for one in seals:
        console.print(f"{one.bulletin_id}: sealed by {one.region} with key {one.key_id}")


def print_bulletin(report: dict[str, Any]) -> None:
    """Print a bulletin for people."""
    console.print(
        f"[bold]{report['bulletin']}[/bold] {report['kind']} ({report['message_type']}), "
        f"class {report['class']}, {' '.join(report['regions'])}: [bold]{report['state']}[/bold]"
        f" [dim]mode {report['mode']}[/dim]"
    )
    for language, text in report["texts"].items():
        console.print(f"  {language}: {printable(text)}  [dim]({len(text)} characters)[/dim]")
    if report["code"]:
        console.print(f"  code: {report['code']}")
    for warning in report["warnings"]:
        console.print(f"  [yellow]warning: {printable(warning)}[/yellow]")
    if report["reason"]:
        console.print(f"  reason: {printable(report['reason'])}")
    if report["carriers"]:
        console.print(f"  {_totals(report)}")


def _on_air(told: dict[str, Any]) -> str:
    """Write what a carrier said of a broadcast."""
    areas = ", ".join(map(_reached, told["areas"]))
    said = told["problem"] or f"{told['state'] or 'no state told'}; reached: {areas or 'not told'}"
    return f"{printable(said)} (asked {told['asked_at']})"


def _reached(area: dict[str, Any]) -> str:
    percent = area["reached_percent"]
    said = f"{printable(area['area'])} " + ("unknown" if percent is None else f"{percent} %")
    if area["cells"] is not None:
        said += f" of {area['cells']} cells"
    if area["broadcasts"]:
        said += " ({}-{} times)".format(*area["broadcasts"])
    return said


def print_plan(prepared: Prepared) -> None:
    """Show the second person what would go out."""
    print_bulletin(bulletin_report(prepared.record, ()))
    for broadcast in prepared.plan.broadcasts:
        console.print(
            f"  on air: message identifier {broadcast.message_identifier}, "
            f"serial number {int(broadcast.serial_number):04x}, {broadcast.language}, "
            f"{len(broadcast.pages)} pages"
        )
    orders = Counter(
        (order.lineage.peer_id, order.lineage.channel.value, order.is_stop)
        for order in prepared.plan.orders
    )
    for (peer, channel, is_stop), count in sorted(orders.items()):
        console.print(f"  {peer}: {count} {'stop' if is_stop else channel} order(s)")
    _print_coverage(prepared)
    console.print(f"  recipients by SMS: {sum(o.recipients for o in prepared.plan.orders)}")
    for carrier, levels in _reach_lines(prepared).items():
        console.print(f"  reach, {carrier}: {levels}")
    for warning in prepared.warnings:
        console.print(f"  [yellow]warning: {printable(warning)}[/yellow]")
    if prepared.confirmation:
        console.print(f"  [bold]to be typed: {prepared.confirmation}[/bold]")


def print_people(gateway: Gateway, prepared: Prepared) -> None:
    """Show who asked to be told, and what people ask that no bulletin has answered."""
    with gateway.store.read() as tx:
        subscribers = concerned(tx, gateway.deployment, prepared.record)
        questions = question_documents(tx, limit=QUESTIONS_SHOWN)
    for carrier, count in subscribers.items():
        console.print(f"  subscribers, {carrier}: {count}")
    for one in questions:
        console.print(f"  asked {one['asked']} times: {printable(one['question'])}")


def _reach_lines(prepared: Prepared) -> dict[str, str]:
    """Say for each carrier who is told for sure, and where not all is."""
    lines: dict[str, str] = {}
    for carrier in dict.fromkeys(one.carrier for one in prepared.reach):
        mine = [one for one in prepared.reach if one.carrier == carrier]
        words = dict.fromkeys(f"{one.level} ({one.reason})" for one in mine)
        lines[carrier] = "; ".join(words)
    return lines


def _print_coverage(prepared: Prepared) -> None:
    """Show which cells are reached, and where none is."""
    for reach in prepared.plan.coverage:
        for region, covered in reach.covered.items():
            for one in covered:
                console.print(f"  {one.controller}: {one.cells} cells in {region}")
        if reach.bare:
            bare = ", ".join(reach.bare)
            console.print(f"  [yellow]{reach.network}: no cell in {bare}[/yellow]")


def wait_for_answers(gateway: Gateway, bulletin_id: str, *, wait_s: float) -> dict[str, Any]:
    """Report a bulletin once nothing of it is open any more, or the time is over."""
    deadline = time.monotonic() + wait_s
    while True:
        report = _report(gateway, bulletin_id)
        states = {state for states in report["carriers"].values() for state in states}
        if not states & OPEN or time.monotonic() >= deadline:
            return report
        time.sleep(POLL_S)


def _report(gateway: Gateway, bulletin_id: str) -> dict[str, Any]:
    with gateway.store.read() as tx:
        record = tx.bulletin(bulletin_id)
        if record is None:
            known = tx.last_bulletin_ids(limit=10)
            raise UnknownNameError("bulletin", bulletin_id, known=known or ("none yet",))
        return bulletin_report(record, tx.deliveries(bulletin_id))


def _totals(report: dict[str, Any]) -> str:
    return "; ".join(
        f"{carrier}: " + ", ".join(f"{count} {state}" for state, count in states.items())
        for carrier, states in report["carriers"].items()
    )
