"""`cbgateway mqtt`: publish a command and wait for its receipt; watch what is told."""

import secrets
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from cbgateway.app import SystemClock
from cbgateway.cli.common import (
    DEFAULT_HOME,
    EXIT_POLICY,
    AsJson,
    Home,
    KeyFile,
    console,
    examples,
    harmless,
    print_json,
    reports_errors,
)
from cbgateway.domain.errors import InputError
from cbgateway.front import broker_address
from cbgateway.interfaces.mqtt.asyncapi import octets as asyncapi_octets
from cbgateway.interfaces.mqtt.commands import VALID_MAX, write_command
from cbgateway.interfaces.mqtt.topics import ALARM, SUBMIT, Topics
from cbgateway.interfaces.schema import parse_json, read_document
from cbgateway.service import intake, proposals
from cbgateway.settings import MqttSettings, load_settings
from cbgateway.signing.keys import SigningKey

app = typer.Typer(help="Commands and events over an MQTT broker.", no_args_is_help=True)

TIMEOUT_S = 10.0
CONTENTS = {SUBMIT: intake.SUBMISSION, ALARM: proposals.ALARM}
Timeout = Annotated[float, typer.Option(help="How long to wait for the receipt.", min=0.1, max=300)]


@app.command(
    "publish",
    epilog=examples(
        "cbgateway mqtt publish bulletin.json --as kt_noc --key kt_noc.pem",
        "cbgateway mqtt publish alarm.json --as kt_noc --key kt_noc.pem --alarm --json",
    ),
)
@reports_errors
def publish(
    file: Annotated[Path, typer.Argument(help="Bulletin or alarm (JSON); - for standard input.")],
    *,
    sender: Annotated[str, typer.Option("--as", help="Who you are to the gateway.")],
    key: KeyFile,
    alarm: Annotated[bool, typer.Option("--alarm", help="It is an alarm, no bulletin.")] = False,
    timeout: Timeout = TIMEOUT_S,
    home: Home = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Sign a document, publish it, and wait until the gateway says that it is committed."""
    document = parse_json(read_document(Path("/dev/stdin") if str(file) == "-" else file))
    settings, topics = _settings(home)
    address = broker_address(settings, client_id=f"cbgateway-cli-{secrets.token_hex(4)}")
    what = ALARM if alarm else SUBMIT
    topic, command_id = topics.command(sender, what), secrets.token_hex(8)
    payload = write_command(
        document,
        SigningKey.load(key),
        content=CONTENTS[what],
        command_id=command_id,
        topic=topic,
        expires=SystemClock().now() + min(VALID_MAX, timedelta(seconds=timeout)),
    )
    reply_to = f"{topics.prefix}/reply/{sender}/{command_id}"
    from cbgateway.interfaces.mqtt.client import ask, run  # noqa: PLC0415 - takes a while to load

    receipt = run(ask(address, topic, payload, reply_to, timeout))
    if as_json:
        print_json(receipt)
    else:
        for name, value in receipt.items():
            console.print(f"{name}: {harmless(str(value))}", markup=False)
    if receipt.get("status") != "accepted":
        raise typer.Exit(EXIT_POLICY)


@app.command(
    "tail", epilog=examples("cbgateway mqtt tail", "cbgateway mqtt tail --count 1 state/gateway")
)
@reports_errors
def tail(
    below: Annotated[str, typer.Argument(help="Topics below mode and site.")] = "#",
    *,
    count: Annotated[int, typer.Option(help="End after so many; 0 for never.", min=0)] = 0,
    home: Home = DEFAULT_HOME,
) -> None:
    """Print what the gateway tells, one JSON object a line, until interrupted."""
    settings, topics = _settings(home)
    address = broker_address(settings, client_id=f"cbgateway-cli-{secrets.token_hex(4)}")
    from cbgateway.interfaces.mqtt.client import run, watch  # noqa: PLC0415 - takes a while to load

    with suppress(KeyboardInterrupt):
        run(watch(address, f"{topics.prefix}/{below}", count, typer.echo))


@app.command("asyncapi", epilog=examples("cbgateway mqtt asyncapi >asyncapi.json"))
@reports_errors
def asyncapi() -> None:
    """Print the AsyncAPI document of this version."""
    typer.echo(asyncapi_octets(), nl=False)


def _settings(home: Path) -> tuple[MqttSettings, Topics]:
    settings = load_settings(home)
    if settings.mqtt is None:
        msg = f"{home}: cbgateway.toml has no [mqtt]; docs/mqtt.md says what belongs there"
        raise InputError(msg)
    return settings.mqtt, Topics(settings.mode, settings.mqtt.site)
