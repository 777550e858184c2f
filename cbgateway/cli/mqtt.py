"""`cbgateway mqtt`: publish a command and wait for its receipt; watch what is told."""

import secrets
from contextlib import suppress
from dataclasses import dataclass
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
from cbgateway.interfaces.mqtt.address import BrokerAddress
from cbgateway.interfaces.mqtt.asyncapi import octets as asyncapi_octets
from cbgateway.interfaces.mqtt.commands import VALID_MAX, write_command
from cbgateway.interfaces.mqtt.topics import ALARM, INCIDENT, SUBMIT, Topics
from cbgateway.interfaces.schema import parse_json, read_document
from cbgateway.service import incidents, intake, proposals
from cbgateway.settings import MqttSettings, load_settings
from cbgateway.signing.keys import SigningKey

app = typer.Typer(help="Commands and events over an MQTT broker.", no_args_is_help=True)

TIMEOUT_S = 10.0
SIGNED_FOR = VALID_MAX - timedelta(minutes=1)  # clocks may differ by the rest
CONTENTS = {SUBMIT: intake.SUBMISSION, ALARM: proposals.ALARM, INCIDENT: incidents.STEP}
File = Annotated[Path, typer.Argument(help="The document (JSON); - for standard input.")]
Sender = Annotated[str, typer.Option("--as", help="Who you are to the gateway.")]
IsAlarm = Annotated[bool, typer.Option("--alarm", help="It is an alarm, no bulletin.")]
IsIncident = Annotated[bool, typer.Option("--incident", help="It says how far an outage has got.")]
PasswordFile = Annotated[
    Path | None,
    typer.Option(
        envvar="CBGATEWAY_MQTT_PASSWORD_FILE",
        help="Your password at the broker, where you are known by the name of --as.",
        show_default="what cbgateway.toml says of the gateway's own user",
    ),
]
Timeout = Annotated[float, typer.Option(help="How long to wait for the receipt.", min=0.1, max=300)]


@dataclass(frozen=True, slots=True)
class Signed:
    """A command, ready to be published."""

    topic: str
    payload: bytes
    reply_to: str


def _signed(
    topics: Topics, file: Path, sender: str, key: Path, what: str, *, counts_for: timedelta
) -> Signed:
    """Sign a document as a command; its receipt's address stands in it."""
    document = parse_json(read_document(Path("/dev/stdin") if str(file) == "-" else file))
    topic, command_id = topics.command(sender, what), secrets.token_hex(8)
    reply_to = f"{topics.prefix}/reply/{sender}/{command_id}"
    payload = write_command(
        document,
        SigningKey.load(key),
        content=CONTENTS[what],
        command_id=command_id,
        topic=topic,
        expires=SystemClock().now() + min(VALID_MAX, counts_for),
        reply_to=reply_to,
    )
    return Signed(topic, payload, reply_to)


def _what(*, alarm: bool, incident: bool) -> str:
    if alarm and incident:
        msg = "--alarm and --incident: a document is one of them"
        raise InputError(msg)
    return ALARM if alarm else INCIDENT if incident else SUBMIT


@app.command(
    "publish",
    epilog=examples(
        "cbgateway mqtt publish bulletin.json --as kt_noc --key kt_noc.pem",
        "cbgateway mqtt publish alarm.json --as kt_noc --key kt_noc.pem --alarm --json",
        "cbgateway mqtt publish monitoring.json --as bob --key bob.pem --incident",
    ),
)
@reports_errors
def publish(  # noqa: PLR0913 - each is an option of the command
    file: File,
    *,
    sender: Sender,
    key: KeyFile,
    alarm: IsAlarm = False,
    incident: IsIncident = False,
    password_file: PasswordFile = None,
    timeout: Timeout = TIMEOUT_S,
    home: Home = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Sign a document, publish it, and wait until the gateway says that it is committed."""
    settings, topics = _settings(home)
    address = _address(settings, sender, password_file)
    what = _what(alarm=alarm, incident=incident)
    one = _signed(topics, file, sender, key, what, counts_for=timedelta(seconds=timeout))
    from cbgateway.interfaces.mqtt.client import ask, run  # noqa: PLC0415 - takes a while to load

    receipt = run(
        ask(
            address,
            one.topic,
            one.payload,
            reply_to=one.reply_to,
            state=topics.state("gateway"),
            timeout_s=timeout,
        )
    )
    if as_json:
        print_json(receipt)
    else:
        for name, value in receipt.items():
            console.print(f"{name}: {harmless(str(value))}", markup=False)
    if receipt.get("status") != "accepted":
        raise typer.Exit(EXIT_POLICY)


@app.command(
    "sign",
    epilog=examples(
        "cbgateway mqtt sign bulletin.json --as kt_noc --key kt_noc.pem >command.json",
        'mosquitto_pub -t "$(jq -r .topic command.json)" -q 1 -f command.json',
    ),
)
@reports_errors
def sign(
    file: File,
    *,
    sender: Sender,
    key: KeyFile,
    alarm: IsAlarm = False,
    incident: IsIncident = False,
    home: Home = DEFAULT_HOME,
) -> None:
    """Print a signed command, for any client of MQTT 3.1.1 or 5 to publish.

    It counts for four minutes. Its topic is in `topic`, where the receipt comes in `reply_to`.
    """
    _, topics = _settings(home)
    what = _what(alarm=alarm, incident=incident)
    typer.echo(_signed(topics, file, sender, key, what, counts_for=SIGNED_FOR).payload)


@app.command(
    "tail",
    epilog=examples(
        "cbgateway mqtt tail",
        "cbgateway mqtt tail --count 1 state/gateway",
        "cbgateway mqtt tail 'state/region/#' --as monitor --password-file monitor.password",
    ),
)
@reports_errors
def tail(
    below: Annotated[str, typer.Argument(help="Topics below mode and site.")] = "#",
    *,
    count: Annotated[int, typer.Option(help="End after so many; 0 for never.", min=0)] = 0,
    sender: Annotated[str, typer.Option("--as", help="Who you are to the broker.")] = "monitor",
    password_file: PasswordFile = None,
    home: Home = DEFAULT_HOME,
) -> None:
    """Print what the gateway tells, one JSON object a line, until interrupted."""
    settings, topics = _settings(home)
    address = _address(settings, sender, password_file)
    from cbgateway.interfaces.mqtt.client import run, watch  # noqa: PLC0415 - takes a while to load

    with suppress(KeyboardInterrupt):
        run(watch(address, f"{topics.prefix}/{below}", count, typer.echo))


@app.command("asyncapi", epilog=examples("cbgateway mqtt asyncapi >asyncapi.json"))
@reports_errors
def asyncapi() -> None:
    """Print the AsyncAPI document of this version."""
    typer.echo(asyncapi_octets(), nl=False)


def _address(settings: MqttSettings, name: str, password_file: Path | None) -> BrokerAddress:
    """Give the broker, where whoever has a password of its own is known by its own name."""
    if password_file is not None:
        login = {"username": name, "password_file": password_file}
        settings = settings.model_copy(update=login)
    return broker_address(settings, client_id=f"cbgateway-cli-{secrets.token_hex(4)}")


def _settings(home: Path) -> tuple[MqttSettings, Topics]:
    settings = load_settings(home)
    if settings.mqtt is None:
        msg = f"{home}: cbgateway.toml has no [mqtt]; docs/mqtt.md says what belongs there"
        raise InputError(msg)
    return settings.mqtt, Topics(settings.mode, settings.mqtt.site)
