"""A line between gateway and message centre on which answers can get lost."""

import asyncio
import contextlib

CHUNK_OCTETS = 65_536


class Proxy:
    """Passes octets on both ways; while it is mute, those of the message centre get lost.

    Attributes:
        is_mute: True while answers get lost.
        lost_octets: how many did.
    """

    def __init__(self, *, port: int) -> None:
        """Make a proxy to a port of this machine."""
        self.is_mute = False
        self.lost_octets = 0
        self._port = port
        self._server: asyncio.Server | None = None

    async def start(self, *, port: int) -> None:
        """Listen on a port of this machine."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port)

    async def stop(self) -> None:
        """Listen no more."""
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            writer.close()
            return
        pipes = [
            asyncio.create_task(self._pipe(reader, back, is_answer=False)),
            asyncio.create_task(self._pipe(there, writer, is_answer=True)),
        ]
        await asyncio.wait(pipes, return_when=asyncio.FIRST_COMPLETED)
        for one in (back, writer):
            one.close()
        await asyncio.gather(*pipes, return_exceptions=True)

    async def _pipe(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_answer: bool
    ) -> None:
        with contextlib.suppress(OSError):
            while octets := await reader.read(CHUNK_OCTETS):
                if is_answer and self.is_mute:
                    self.lost_octets += len(octets)
                    continue
                writer.write(octets)
                await writer.drain()
