"""The asyncio shell of the message centre: connections in, repetitions on time."""

import asyncio
import signal
from collections.abc import Callable
from typing import Any

from cbsim.clock import SimulatedClock
from cbsim.smsc import MessageCentre, SmscSession

READ_OCTETS = 65_536
CONNECTIONS_MAX = 1_000
INIT_TIMEOUT_S = 30
"""A connection that has not said anything by then is closed."""
IDLE_S = 0.5


async def serve(
    centre: MessageCentre,
    clock: SimulatedClock,
    *,
    host: str,
    port: int,
    on_event: Callable[[dict[str, Any]], None],
) -> None:
    """Serve until SIGINT or SIGTERM.

    Args:
        centre: what the connections share.
        clock: for repetitions.
        host: address to listen on.
        port: 0 for any free one; the event ``ready`` names it.
        on_event: called with everything a tester wants to know.

    Raises:
        OSError: the address cannot be listened on.
    """
    connections: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None or len(connections) >= CONNECTIONS_MAX:
            writer.close()
            return
        connections.add(task)
        try:
            await _converse(centre, reader, writer, on_event)
        finally:
            connections.discard(task)

    server = await asyncio.start_server(accept, host, port)
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    bound = server.sockets[0].getsockname()
    on_event({"event": "ready", "host": bound[0], "port": bound[1]})
    repeating = asyncio.create_task(_repeat(centre, clock))
    try:
        await stopped.wait()
    finally:
        repeating.cancel()
        server.close()
        for task in connections:
            task.cancel()
        await asyncio.gather(repeating, *connections, return_exceptions=True)


async def _converse(
    centre: MessageCentre,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    on_event: Callable[[dict[str, Any]], None],
) -> None:
    """Talk to one ESME until one side has had enough."""
    session = SmscSession(centre, on_event)
    timeout_s: float | None = INIT_TIMEOUT_S
    try:
        while not session.is_closed:
            async with asyncio.timeout(timeout_s):
                octets = await reader.read(READ_OCTETS)
            timeout_s = None
            if not octets:
                break
            session.receive(octets)
            writer.write(session.outgoing())
            await writer.drain()
    except (OSError, TimeoutError) as error:
        on_event({"event": "dropped", "detail": str(error) or "said nothing"})
    finally:
        writer.close()


async def _repeat(centre: MessageCentre, clock: SimulatedClock) -> None:
    """Send what is due, again and again."""
    network = centre.network
    while True:
        network.tick(now_s=clock.now_s())
        next_s = network.next_tick()
        wait_s = IDLE_S if next_s is None else clock.real_s(next_s - clock.now_s())
        await asyncio.sleep(min(max(wait_s, 0.001), IDLE_S))
