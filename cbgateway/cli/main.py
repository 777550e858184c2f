"""The command `cbgateway`."""

import typer

from cbgateway import __version__
from cbgateway.cli import (
    api,
    audit,
    bulletin,
    bundle,
    cap,
    cells,
    codec,
    contacts,
    demo,
    drill,
    enquiries,
    evidence,
    gateway,
    incident,
    incoming,
    keys,
    mqtt,
    offline,
    operations,
    peers,
    profiles,
    recipients,
    replay,
    telling,
)

app = typer.Typer(
    name="cbgateway",
    help="Tell people when a network fails: outage bulletins over cell broadcast and SMS.",
    epilog="Exit codes: 0 done, 2 usage or input, 3 refused by a rule, 4 carrier, 5 signature or "
    "history, 70 database, 74 disk, 78 configuration.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("init", epilog=gateway.INIT_EXAMPLES)(gateway.init)
app.command("serve", epilog=gateway.SERVE_EXAMPLES)(gateway.serve)
app.command("status", epilog=operations.STATUS_EXAMPLES)(operations.status)
app.command("doctor", epilog=operations.DOCTOR_EXAMPLES)(operations.doctor)
app.command("backup", epilog=operations.BACKUP_EXAMPLES)(operations.backup)
app.command("restore", epilog=operations.RESTORE_EXAMPLES)(operations.restore)
app.command("confirm-clock", epilog=operations.CONFIRM_EXAMPLES)(operations.confirm_clock)
app.command("verify", epilog=telling.VERIFY_EXAMPLES)(telling.verify)
app.add_typer(bulletin.app, name="bulletin")
app.add_typer(cap.app, name="cap")
app.add_typer(bundle.app, name="bundle")
app.add_typer(mqtt.app, name="mqtt")
app.add_typer(incident.app, name="incident")
app.add_typer(offline.app, name="offline")
app.add_typer(telling.promise_app, name="promise")
app.add_typer(telling.briefing_app, name="briefing")
app.add_typer(telling.site_app, name="site")
app.add_typer(telling.text_app, name="text")
app.add_typer(drill.app, name="drill")
app.add_typer(evidence.app, name="evidence")
app.add_typer(contacts.app, name="contacts")
app.add_typer(recipients.app, name="recipients")
app.add_typer(cells.app, name="cells")
app.command("peers", epilog=peers.PEERS_EXAMPLES)(peers.peers)
app.add_typer(peers.link_app, name="link")
app.add_typer(enquiries.app, name="enquiries")
app.add_typer(incoming.app, name="incoming")
app.add_typer(keys.app, name="keys")
app.add_typer(audit.app, name="audit")
app.add_typer(api.app, name="api")
app.add_typer(profiles.app, name="profiles")
app.add_typer(codec.encode_app, name="encode")
app.add_typer(codec.decode_app, name="decode")
app.command("demo", epilog=demo.EXAMPLES)(demo.demo)
app.command("replay", epilog=replay.EXAMPLES)(replay.replay)


def _version(value: bool) -> None:  # noqa: FBT001 - an option's callback
    if value:
        typer.echo(f"cbgateway {__version__}")
        raise typer.Exit


@app.callback()
def main(
    *,
    version: bool = typer.Option(
        False,
        "--version",
        callback=_version,
        is_eager=True,
        help="Print the version and exit.",
    ),
) -> None:
    """Tell people when a network fails: outage bulletins over cell broadcast and SMS."""


def run() -> None:
    """Run the command line; the entry point of the distribution."""
    app()
