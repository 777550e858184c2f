"""A message centre that accepts everything as fast as it can, and says what came and when.

Prints one JSON object a line: the port, then for each request other than submit_sm when it came,
and at the end of each connection how many submit_sm there were, and when the first and last came.
Times are seconds of the machine's monotonic clock, which all its processes share.
"""

import asyncio
import json
import sys
import time
from struct import Struct
from typing import Any

HEADER = Struct(">IIII")
SUBMIT_SM = 4
BARE = {6, 0x15}  # unbind and enquire_link have answers without a body
RESPONSE = 0x80000000
MESSAGE_ID = b"00000001\0"
ACCEPTED = HEADER.pack(16 + len(MESSAGE_ID), RESPONSE | SUBMIT_SM, 0, 0)[:12]


def say(**facts: object) -> None:
    """Print a line."""
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


class Sink(asyncio.Protocol):
    """One connection."""

    def __init__(self) -> None:
        """Wait for octets."""
        self._rest = b""
        self._count = 0
        self._first_at = self._last_at = 0.0
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer all that is whole."""
        data = self._rest + data
        at, size, count = 0, len(data), 0
        out: list[bytes] = []
        unpack = HEADER.unpack_from
        while size - at >= HEADER.size:
            length, command, _, number = unpack(data, at)
            if size - at < length:
                break
            if command == SUBMIT_SM:
                count += 1
                out += (ACCEPTED, data[at + 12 : at + 16], MESSAGE_ID)
            elif not command & RESPONSE:
                body = b"" if command in BARE else b"sink\0"
                out.append(HEADER.pack(16 + len(body), command | RESPONSE, 0, number) + body)
                say(command=command, at=time.monotonic())
            at += length
        self._rest = data[at:]
        self._transport.write(b"".join(out))
        if count:
            self._last_at = time.monotonic()
            self._first_at = self._first_at or self._last_at
            self._count += count

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio gives it
        """Say what came."""
        say(submits=self._count, first_at=self._first_at, last_at=self._last_at)


async def main() -> None:
    """Serve until stopped."""
    server = await asyncio.get_running_loop().create_server(Sink, "127.0.0.1", 0)
    say(port=server.sockets[0].getsockname()[1])
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
