"""A whole gateway with a radio network, served in this process, for tests of what goes on air."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

from cbgateway.app import Gateway
from cbgateway.settings import FILE_NAME

NETWORK = "kt-gsm"
PATIENCE_S = 40.0
POLL_S = 0.01
COLUMNS = "controller,region,plmn,lac,cell,latitude,longitude"


def join_network(
    office: Any, controllers: Mapping[str, Mapping[str, Any]], cells: str, *, carriers: bool = False
) -> None:
    """Give an office's gateway controllers and cells.

    Args:
        office: of the fixture.
        controllers: settings, by name.
        cells: lines of the list, without its header.
        carriers: whether the message centres stay.
    """
    home = office.gateway.home
    path = home / FILE_NAME
    text = path.read_text("utf-8")
    if not carriers:
        text = text.partition("\n[carriers")[0] + "\n[carriers]\n"
    for name, settings in controllers.items():
        table: dict[str, Any] = {"mode": "test", "network": NETWORK, **settings}
        text += f"\n[controllers.{name}]\n"
        text += "".join(f"{key} = {value!r}\n" for key, value in table.items())
    path.write_text(text.replace("True", "true"), "utf-8")
    with Gateway.open(home, clock=office.clock) as gateway:
        gateway.import_cells(NETWORK, f"{COLUMNS}\n{cells}\n".encode())
    manager = Gateway.open(home, clock=office.clock)
    office.close_radio = lambda: manager.__exit__(None, None, None)
    office.gateway = manager.__enter__()
    office.carrier = "kt" if carriers else NETWORK


@asynccontextmanager
async def served(office: Any) -> AsyncIterator[None]:
    """Have an office's gateway serve; ends in order."""
    stop, ready = asyncio.Event(), asyncio.Event()
    serving = asyncio.create_task(office.gateway.serve(stop, ready.set))
    waiting = asyncio.create_task(ready.wait())
    await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    try:
        yield
    finally:
        stop.set()
        await serving
        office.close_radio()


async def until(condition: Callable[[], object], *, patience_s: float = PATIENCE_S) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(patience_s):
        while not condition():
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL_S):
                    await asyncio.Event().wait()


def states(office: Any, bulletin_id: str) -> set[str]:
    """Give the states of a bulletin's deliveries."""
    with office.gateway.store.read() as tx:
        return {delivery.state.value for delivery in tx.deliveries(bulletin_id)}


async def acked(office: Any, bulletin_id: str) -> None:
    """Wait until every order of a bulletin was answered well."""
    await until(lambda: states(office, bulletin_id) == {"acked"})
