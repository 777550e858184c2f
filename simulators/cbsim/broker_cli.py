"""`cbsim broker`: an MQTT 5 broker in memory, for demos and tests."""

import asyncio
import json
from typing import Annotated

import typer

from cbsim import broker_server

EXAMPLES = "[bold]Examples[/bold]\n\n[cyan]cbsim broker --port 1883[/cyan]"
DEFAULT_PORT = 1883


def broker(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 for any free one.", min=0, max=65535)] = DEFAULT_PORT,
) -> None:
    """Run a small MQTT 5 broker: QoS 0 and 1, retained messages, wills; nothing survives it."""

    def ready(bound: int) -> None:
        typer.echo(json.dumps({"event": "ready", "host": host, "port": bound}))

    try:
        asyncio.run(broker_server.serve(host, port, on_ready=ready))
    except OSError as error:
        typer.echo(f"{host}:{port}: {error.strerror}", err=True)
        raise typer.Exit(2) from error
