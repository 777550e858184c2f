"""The command `cbsim esme`: load, and scripted conversations."""

import asyncio
import json
import ssl
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from cbgateway.codec import smpp, smpp_text
from cbgateway.domain.errors import GatewayError
from cbsim.esme import WINDOW_MAX, Bind, Mode
from cbsim.esme_dialogue import Dialogue, Entry
from cbsim.esme_load import Load
from cbsim.esme_messages import (
    Destinations,
    Messages,
    guess_address,
    load_destinations,
    load_texts,
)
from cbsim.esme_report import (
    EXIT_EXPECTATION,
    EXIT_NOT_ALL_ACCEPTED,
    Expectations,
    Report,
    parse_accepted,
    printable,
)
from cbsim.esme_run import BINDS_MAX, LoadRun, Peer, run_script
from cbsim.esme_script import Script, load_script

EXIT_USAGE = 2
RECEIPTS_WAIT_S = 5.0

EXAMPLES = """\
[bold]Examples[/bold]

[cyan]cbsim esme --to 821012345678 --text "Service is back"[/cyan]

[cyan]cbsim esme --count 100000 --window 500 --binds 2 --to "8210########"[/cyan]

[cyan]cbsim esme --seconds 60 --rate 1000 --expect-rate 990 --expect-p99-ms 50 --quiet --json[/cyan]

[cyan]cbsim esme --to-file numbers.csv --texts-file texts.txt --registered-delivery 1[/cyan]

[cyan]cbsim esme --port 3550 --tls --ca ca.pem --host smsc.example --script conversation.toml[/cyan]
"""


class BindMode(Enum):
    """How `cbsim esme` may bind for a load."""

    TRANSCEIVER = "transceiver"
    TRANSMITTER = "transmitter"


class Encoding(Enum):
    """Alphabets by their names on the command line."""

    AUTO = "auto"
    GSM7 = "gsm7"
    UCS2 = "ucs2"

    @property
    def data_coding(self) -> int | None:
        """Give the data_coding; None to choose by the text."""
        return {"auto": None, "gsm7": 0, "ucs2": 8}[self.value]


class Version(Enum):
    """Versions by their names on the command line."""

    V3_4 = "3.4"
    V5_0 = "5.0"

    @property
    def octet(self) -> int:
        """Give the interface_version."""
        return 0x34 if self is Version.V3_4 else 0x50


_LOAD = "Load"
_MESSAGE = "Messages"
_PASS = "Pass or fail"  # noqa: S105 - a heading of the help


def esme(  # noqa: PLR0913 - each is an option of the command
    *,
    host: Annotated[str, typer.Option(help="Where the message centre is.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 2775,
    system_id: Annotated[str, typer.Option(help="Who binds.")] = "cbsim",
    password_file: Annotated[
        Path | None, typer.Option(help="File with the password; empty when left out.")
    ] = None,
    system_type: Annotated[str, typer.Option(help="As the message centre asks.")] = "",
    mode: Annotated[BindMode, typer.Option()] = BindMode.TRANSCEIVER,
    version: Annotated[Version, typer.Option(help="SMPP version.")] = Version.V3_4,
    tls: Annotated[bool, typer.Option("--tls", help="Connect by TLS.")] = False,
    ca: Annotated[
        Path | None, typer.Option(help="Who may vouch for the peer (PEM); else the system's.")
    ] = None,
    response_timeout: Annotated[
        float, typer.Option(help="Seconds until a request is unanswered.", min=0.1)
    ] = 10.0,
    enquire_link: Annotated[
        float, typer.Option(help="Seconds of silence until enquire_link.", min=0.1)
    ] = 30.0,
    script: Annotated[
        Path | None, typer.Option(help="Hold this conversation (TOML or JSON lines) instead.")
    ] = None,
    count: Annotated[
        int | None,
        typer.Option(help="Messages to send; 1 without --seconds.", min=1, rich_help_panel=_LOAD),
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(help="How long to send.", min=0.001, rich_help_panel=_LOAD)
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(
            help="submit_sm a second, whatever the answers; else as fast as the windows allow.",
            min=0.001,
            rich_help_panel=_LOAD,
        ),
    ] = None,
    window: Annotated[
        int,
        typer.Option(help="Unanswered a bind.", min=1, max=WINDOW_MAX, rich_help_panel=_LOAD),
    ] = 100,
    binds: Annotated[
        int, typer.Option(help="Connections.", min=1, max=BINDS_MAX, rich_help_panel=_LOAD)
    ] = 1,
    respect_throttling: Annotated[
        bool,
        typer.Option(
            "--respect-throttling", help="Pause when the peer throttles.", rich_help_panel=_LOAD
        ),
    ] = False,
    text: Annotated[str, typer.Option(help="What to send.", rich_help_panel=_MESSAGE)] = "test",
    texts_file: Annotated[
        Path | None, typer.Option(help="Texts, one a line, in turn.", rich_help_panel=_MESSAGE)
    ] = None,
    encoding: Annotated[Encoding, typer.Option(rich_help_panel=_MESSAGE)] = Encoding.AUTO,
    long: Annotated[
        smpp_text.Segmentation,
        typer.Option(help="How long texts are cut.", rich_help_panel=_MESSAGE),
    ] = smpp_text.Segmentation.UDH8,
    to: Annotated[
        str,
        typer.Option(help="Number; # are the digits of a counter.", rich_help_panel=_MESSAGE),
    ] = "8210########",
    to_file: Annotated[
        Path | None,
        typer.Option(help="CSV file, numbers in its first column.", rich_help_panel=_MESSAGE),
    ] = None,
    source: Annotated[
        str, typer.Option("--from", help="Number or name.", rich_help_panel=_MESSAGE)
    ] = "",
    from_ton: Annotated[int | None, typer.Option(min=0, max=255, rich_help_panel=_MESSAGE)] = None,
    from_npi: Annotated[int | None, typer.Option(min=0, max=255, rich_help_panel=_MESSAGE)] = None,
    to_ton: Annotated[int, typer.Option(min=0, max=255, rich_help_panel=_MESSAGE)] = 1,
    to_npi: Annotated[int, typer.Option(min=0, max=255, rich_help_panel=_MESSAGE)] = 1,
    service_type: Annotated[str, typer.Option(rich_help_panel=_MESSAGE)] = "",
    registered_delivery: Annotated[
        int,
        typer.Option(help="1 asks for receipts.", min=0, max=255, rich_help_panel=_MESSAGE),
    ] = 0,
    wait_receipts: Annotated[
        float | None,
        typer.Option(
            help="Seconds to wait for receipts behind the last answer.",
            min=0,
            show_default="5 when receipts are asked for",
            rich_help_panel=_MESSAGE,
        ),
    ] = None,
    expect_rate: Annotated[
        float | None, typer.Option(help="Answers a second.", min=0, rich_help_panel=_PASS)
    ] = None,
    expect_p99_ms: Annotated[
        float | None,
        typer.Option(help="Latency, from the intended time.", min=0, rich_help_panel=_PASS),
    ] = None,
    expect_accepted: Annotated[
        str | None, typer.Option(help="Messages, or a share: 99.5%.", rich_help_panel=_PASS)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No line each second.")] = False,
) -> None:
    """A client (ESME) that puts load on a message centre, or talks to it by a script.

    Ends with 0 when every message was answered by ESME_ROK, 4 when not, 1 when an expectation or
    a step of the script failed. Ctrl-C stops sending and ends in order, with the report.
    """
    try:
        password = "" if password_file is None else password_file.read_text("ascii").strip()
        bind = Bind(
            system_id=system_id,
            password=password,
            system_type=system_type,
            version=version.octet,
            mode=Mode(mode.value),
            window=window,
            response_timeout_s=response_timeout,
            enquire_link_s=enquire_link,
        )
        smpp.encode(smpp.Pdu(bind.body(), 1))  # does it fit?
        peer = Peer(host, port, _tls(ca) if tls or ca is not None else None)
        if script is not None:
            _converse(load_script(script, bind), peer, as_json=as_json)
            return
        accepted, is_share = (None, False)
        if expect_accepted is not None:
            accepted, is_share = parse_accepted(expect_accepted)
        messages = Messages(
            (text,) if texts_file is None else load_texts(texts_file),
            iter(Destinations(to)) if to_file is None else load_destinations(to_file),
            body=smpp.SubmitSm(
                service_type=service_type,
                source=guess_address(source, ton=from_ton, npi=from_npi),
                destination=smpp.Address(to_ton, to_npi, ""),
                registered_delivery=registered_delivery,
            ),
            data_coding=encoding.data_coding,
            segmentation=long,
        )
        load = Load(
            count=_submits(messages, count, seconds),
            seconds_s=seconds,
            rate=rate,
            respects_throttling=respect_throttling,
        )
        run = LoadRun(
            peer,
            bind,
            load,
            messages,
            binds=binds,
            wait_receipts_s=_wait_s(wait_receipts, registered_delivery),
            on_progress=(lambda _: None) if quiet else _progress,
        )
    except (OSError, ValueError, GatewayError) as error:
        typer.echo(f"cbsim: {error}", err=True)
        raise typer.Exit(EXIT_USAGE) from error
    wanted = Expectations(expect_rate, expect_p99_ms, accepted, is_share)
    _put_load(run, peer, wanted, as_json=as_json)


def _submits(messages: Messages, count: int | None, seconds: float | None) -> int | None:
    if count is None and seconds is not None:
        return None
    return messages.submits_of(1 if count is None else count)


def _wait_s(wait_receipts: float | None, registered_delivery: int) -> float:
    if wait_receipts is not None:
        return wait_receipts
    return RECEIPTS_WAIT_S if registered_delivery & 3 else 0.0


def _tls(ca: Path | None) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=None if ca is None else str(ca))


def _progress(line: str) -> None:
    typer.echo(line, err=True)


def _put_load(run: LoadRun, peer: Peer, wanted: Expectations, *, as_json: bool) -> None:
    """Run, report, and end with the exit code that says how it went."""
    report = _until_done(run, peer)
    if as_json:
        typer.echo(json.dumps(report.as_dict(wanted), ensure_ascii=False))
    else:
        for line in report.lines(wanted):
            typer.echo(line)
    raise typer.Exit(report.exit_code(wanted))


def _until_done(run: LoadRun, peer: Peer) -> Report:
    try:
        return asyncio.run(run.run())
    except (OSError, TimeoutError) as error:
        typer.echo(f"cbsim: {peer.host}:{peer.port}: {_why(error)}", err=True)
        raise typer.Exit(EXIT_NOT_ALL_ACCEPTED) from error


def _converse(script: Script, peer: Peer, *, as_json: bool) -> None:
    """Hold a conversation; ends with 1 when a step failed."""

    def show(entry: Entry) -> None:
        if as_json:
            typer.echo(json.dumps(entry.as_dict(), ensure_ascii=False))
            return
        for line in entry.lines():
            typer.echo(line)

    dialogue = Dialogue(script, show)
    try:
        asyncio.run(run_script(peer, dialogue))
    except (OSError, TimeoutError) as error:
        typer.echo(f"cbsim: {peer.host}:{peer.port}: {_why(error)}", err=True)
        raise typer.Exit(EXIT_NOT_ALL_ACCEPTED) from error
    except KeyboardInterrupt:
        typer.echo("cbsim: interrupted", err=True)
        raise typer.Exit(EXIT_EXPECTATION) from None
    if as_json:
        typer.echo(json.dumps({"event": "end", "failure": dialogue.failure or None}))
    elif dialogue.failure:
        typer.echo(f"failed: {printable(dialogue.failure)}")
    else:
        typer.echo(f"passed: {len(script.steps)} steps")
    if dialogue.failure:
        raise typer.Exit(EXIT_EXPECTATION)


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or "does not answer"
