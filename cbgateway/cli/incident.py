"""`cbgateway incident`: what has happened so far."""

from typing import Annotated

import typer
from rich.table import Table

from cbgateway.app import Gateway
from cbgateway.cli.bulletin import print_bulletin
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
from cbgateway.domain.errors import UnknownNameError
from cbgateway.domain.incident import IncidentState
from cbgateway.service.reports import incident_report
from cbgateway.signing.keys import SigningKey

app = typer.Typer(help="Look at incidents, and say how far they have got.", no_args_is_help=True)


@app.command("list", epilog=examples("cbgateway incident list", "cbgateway incident list --json"))
@reports_errors
def list_incidents(*, home: Home = DEFAULT_HOME, as_json: AsJson = False) -> None:
    """List the incidents, oldest first."""
    with Gateway.open(home) as gateway, gateway.store.read() as tx:
        rows = [
            {
                "incident": incident.incident_id,
                "carrier": incident.carrier,
                "state": incident.state.value,
                "started_at": incident.started_at.isoformat(),
                "bulletins": len(tx.bulletins(incident.incident_id)),
            }
            for incident in tx.incidents()
        ]
    if as_json:
        print_json(rows)
        return
    table = Table("incident", "carrier", "state", "started", "bulletins")
    for row in rows:
        table.add_row(*map(str, row.values()))
    console.print(table if rows else "No incidents yet.")


@app.command(
    "show",
    epilog=examples(
        "cbgateway incident show kt-20211025",
        "cbgateway incident show kt-20211025 --json | jq '.bulletins[].carriers'",
    ),
)
@reports_errors
def show(
    incident: Annotated[str, typer.Argument(help="Name of the incident.")],
    *,
    home: Home = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Show one incident with all its bulletins and what became of them."""
    with Gateway.open(home) as gateway, gateway.store.read() as tx:
        report = incident_report(tx, incident)
        known = tuple(one.incident_id for one in tx.incidents())
    if report is None:
        raise UnknownNameError("incident", incident, known=known or ("none yet",))
    if as_json:
        print_json(report)
        return
    console.print(
        f"[bold]{report['incident']}[/bold]: {report['carrier']}, "
        f"{', '.join(report['services'])}, since {report['started_at']}, {report['state']}"
    )
    for bulletin in report["bulletins"]:
        print_bulletin(bulletin)


@app.command(
    "set",
    epilog=examples("cbgateway incident set kt-20211025 monitoring --key lab/keys/people/bob.pem"),
)
@reports_errors
def set_state(
    incident: Annotated[str, typer.Argument(help="Name of the incident.")],
    state: Annotated[IncidentState, typer.Argument(help="How far it has got.")],
    *,
    key: KeyFile,
    home: Home = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Note how far an outage has got; tells nobody outside."""
    with Gateway.open(home) as gateway:
        gateway.set_incident_state(incident, state, key=SigningKey.load(key))
    if as_json:
        print_json({"incident": incident, "state": state.value})
    else:
        console.print(f"{incident}: {state}")
