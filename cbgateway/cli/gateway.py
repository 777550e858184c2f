"""`cbgateway init` and `cbgateway serve`."""

import asyncio
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from loguru import logger

from cbgateway.app import (
    SMPP_PORT,
    Gateway,
    SystemClock,
    carriers_of,
    init_home,
)
from cbgateway.cli.common import (
    DEFAULT_HOME,
    AsJson,
    Home,
    console,
    examples,
    print_json,
    reports_errors,
)
from cbgateway.domain.bulletin import Mode
from cbgateway.domain.errors import GatewayError
from cbgateway.process import arm_failpoints, configure_logging, shorten_pauses

INIT_EXAMPLES = examples(
    "cbgateway init --home lab --mode test --country kr",
    "cbgateway init --home lab --mode exercise --country kr --carrier skt --carrier lguplus",
)
SERVE_EXAMPLES = examples(
    "cbgateway serve --home lab",
    "CBGATEWAY_HOME=lab cbgateway serve 2>lab/log.jsonl",
)


@reports_errors
def init(
    *,
    home: Home = DEFAULT_HOME,
    mode: Annotated[
        Mode, typer.Option(help="What the database is for; can never be changed.")
    ] = Mode.TEST,
    country: Annotated[str, typer.Option(help="Country profile to work by.")] = "kr",
    carrier: Annotated[
        list[str] | None,
        typer.Option(help="Carrier profile to use; again for more.", show_default="all"),
    ] = None,
    witness: Annotated[
        Path | None,
        typer.Option(
            help="File on another disk for checkpoints of the history; mode live needs one.",
            show_default="inside the folder",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a gateway: settings, database, sealing keys and carrier passwords in a new folder."""
    codes = carrier or carriers_of(country)
    ports = {code: port for port, code in enumerate(codes, start=SMPP_PORT)}
    settings = init_home(
        home, mode=mode, country=country, ports=ports, clock=SystemClock(), witness=witness
    )
    if as_json:
        print_json(
            {
                "home": str(home),
                "mode": settings.mode.value,
                "country": settings.country,
                "carriers": {
                    code: {
                        "host": one.host,
                        "port": one.port,
                        "system_id": one.system_id,
                        "password_file": str(one.password_file),
                    }
                    for code, one in settings.carriers.items()
                },
            }
        )
        return
    console.print(f"Made a gateway in {home}, mode [bold]{mode}[/bold], country {country}.")
    console.print("Next, two people who will decide together:")
    console.print(f"  cbgateway keys new alice --submit --region {country.upper()} --home {home}")
    console.print(f"  cbgateway keys new bob --approve --region {country.upper()} --home {home}")
    console.print("Then a simulated message centre, and the gateway itself:")
    for code, one in settings.carriers.items():
        console.print(
            f"  cbsim smsc --carrier {code} --port {one.port} --password-file {one.password_file}"
        )
        break
    console.print(f"  cbgateway serve --home {home}")


@reports_errors
def serve(*, home: Home = DEFAULT_HOME, as_json: AsJson = False) -> None:
    """Send what is approved, until stopped with Ctrl-C or SIGTERM; logs go to stderr as JSON."""
    with Gateway.open(Path(home)) as gateway:
        configure_logging(gateway.settings.mode, sys.stderr)
        arm_failpoints(gateway.settings.mode)

        def ready() -> None:
            shorten_pauses()
            logger.info("ready")
            mode, carriers = gateway.settings.mode, ", ".join(gateway.settings.carriers)
            if as_json:
                print_json({"serving": str(home), "mode": mode.value})
                sys.stdout.flush()
            else:
                console.print(f"[bold]{mode}[/bold] gateway {home} serves {carriers}")

        asyncio.run(_until_stopped(gateway, ready))


async def _until_stopped(gateway: Gateway, on_ready: Callable[[], None]) -> None:
    """Serve until a signal asks for the end; what is under way is settled first."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    try:
        await gateway.serve(stop, on_ready)
    except BaseExceptionGroup as group:
        found = first_of_ours(group)
        if found is None:
            raise
        raise found from group


def first_of_ours(error: BaseException) -> GatewayError | None:
    """Find the error with a name among those that tasks ended with together."""
    if isinstance(error, BaseExceptionGroup):
        return next(filter(None, map(first_of_ours, error.exceptions)), None)
    return error if isinstance(error, GatewayError) else None
