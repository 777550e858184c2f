"""The command `cbsim`: simulators of network elements."""

import typer

from cbsim import broker_cli, bsc_cli, esme_cli, smsc_cli

app = typer.Typer(
    name="cbsim",
    help="Simulators of network elements and phones, for tests without network hardware.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def main() -> None:
    """Simulators of network elements and phones, for tests without network hardware."""


app.command("smsc", epilog=smsc_cli.EXAMPLES)(smsc_cli.smsc)
app.command("broker", epilog=broker_cli.EXAMPLES)(broker_cli.broker)
app.command("esme", epilog=esme_cli.EXAMPLES)(esme_cli.esme)
app.command("bsc", epilog=bsc_cli.EXAMPLES)(bsc_cli.bsc)


def run() -> None:
    """Run the command line; the entry point of the distribution."""
    app()
