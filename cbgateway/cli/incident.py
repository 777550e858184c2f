"""`cbgateway incident`: what has happened so far."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from cbgateway.app import Gateway, load_checked_profiles
from cbgateway.cli.bulletin import BulletinId, print_bulletin
from cbgateway.cli.common import (
    DEFAULT_HOME,
    AsJson,
    Home,
    KeyFile,
    console,
    examples,
    print_json,
    read_time,
    reports_errors,
)
from cbgateway.domain.errors import UnknownNameError
from cbgateway.domain.incident import IncidentState
from cbgateway.public.report_page import to_html, to_markdown
from cbgateway.service import postmortem
from cbgateway.service.reports import incident_report
from cbgateway.signing.keys import SigningKey
from cbgateway.telling import read_events, read_export

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
    epilog=examples(
        "cbgateway incident set kt-20211025 monitoring --reason 'alarms cleared' --key bob.pem"
    ),
)
@reports_errors
def set_state(
    incident: Annotated[str, typer.Argument(help="Name of the incident.")],
    state: Annotated[IncidentState, typer.Argument(help="How far it has got.")],
    *,
    reason: Annotated[str, typer.Option(help="Why; it stands in the history.")] = "",
    key: KeyFile,
    home: Home = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Note how far an outage has got; tells nobody outside."""
    with Gateway.open(home) as gateway:
        gateway.set_incident_state(incident, state, key=SigningKey.load(key), reason=reason)
    if as_json:
        print_json({"incident": incident, "state": state.value})
    else:
        console.print(f"{incident}: {state}")


class Form(StrEnum):
    """How a report is written."""

    MARKDOWN = "markdown"
    HTML = "html"
    JSON = "json"


@app.command(
    "report",
    epilog=examples(
        "cbgateway incident report kt-20211025 >report.md",
        "cbgateway incident report kt-20211025 --form html --language ko >report.html",
        "cbgateway incident report kt-20211025 --log evidence/   # from an exported history alone",
    ),
)
@reports_errors
def report(
    incident: Annotated[str, typer.Argument(help="Name of the incident.")],
    *,
    form: Annotated[Form, typer.Option(help="How it is written.")] = Form.MARKDOWN,
    language: Annotated[str, typer.Option(help="Of its headings.")] = "en",
    log: Annotated[
        Path | None,
        typer.Option(help="What `audit export` has written; no gateway is needed.", metavar="DIR"),
    ] = None,
    home: Home = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Write what happened, of the history alone: the same history, the same report."""
    if log is None:
        with Gateway.open(home) as gateway:
            document = gateway.telling.report(incident)
            words = gateway.deployment.words
    else:
        document = postmortem.report(read_events(read_export(log)), incident)
        words = load_checked_profiles(None).words
    if as_json or form is Form.JSON:
        typer.echo(postmortem.to_json(document), nl=False)
        return
    if language not in words:
        raise UnknownNameError("language", language, known=tuple(words))
    if form is Form.HTML:
        typer.echo(to_html(words[language], document).decode(), nl=False)
    else:
        typer.echo(to_markdown(words[language], document), nl=False)


@app.command(
    "observed",
    epilog=examples(
        "cbgateway incident observed kt-20211025/1 --carrier skt --region KR-26 "
        "--at 2021-10-25T11:18:40+09:00 --source 'probe phone, desk 7'"
    ),
)
@reports_errors
def observed(
    bulletin: BulletinId,
    *,
    carrier: Annotated[str, typer.Option(help="Whose phone showed it.")],
    region: Annotated[str, typer.Option(help="Where.")],
    at: Annotated[str, typer.Option(help="When, with the offset from UTC (ISO 8601).")],
    source: Annotated[str, typer.Option(help="Who or what saw it.")],
    home: Home = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Say when a phone showed a bulletin; the report names the source."""
    seen_at = read_time("--at", at)
    with Gateway.open(home) as gateway:
        gateway.telling.note_display(
            bulletin, carrier=carrier, region=region, at=seen_at, source=source
        )
    if as_json:
        print_json({"bulletin": bulletin, "at": seen_at.isoformat()})
    else:
        console.print(f"{bulletin}: shown in {region} by {carrier} at {seen_at.isoformat()}")
