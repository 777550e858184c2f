"""A message centre that answers as fast as it can, and says what came and when.

Prints one JSON object a line: the port; for each request other than submit_sm when it came; when
as many messages were accepted as --tell-at says; and at the end of each connection how many
submit_sm were accepted and refused in all, when the first and last were accepted, and to how many
numbers, worst, how often. Times are seconds of the machine's monotonic clock, which all its
processes share.
"""

import argparse
import asyncio
import json
import sys
import time
from collections import Counter
from struct import Struct
from typing import Any

HEADER = Struct(">IIII")
SUBMIT_SM = 4
BARE = {6, 0x15}  # unbind and enquire_link have answers without a body
RESPONSE = 0x80000000
THROTTLED = 0x58
MESSAGE_ID = b"00000001\0"
ACCEPTED = HEADER.pack(16 + len(MESSAGE_ID), RESPONSE | SUBMIT_SM, 0, 0)[:12]
REFUSED = HEADER.pack(16, RESPONSE | SUBMIT_SM, THROTTLED, 0)[:12]


def say(**facts: object) -> None:
    """Print a line."""
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


class Limiter:
    """Takes so many messages in each interval, as the limiters of message centres do."""

    def __init__(self, rate_per_s: float, interval_s: float) -> None:
        """Begin with an interval in which nothing came; a rate of 0 takes everything."""
        self._most = rate_per_s * interval_s
        self._interval_s = interval_s
        self._interval = -1
        self._taken = 0

    def takes(self) -> bool:
        """Tell whether one more message is taken now."""
        if not self._most:
            return True
        interval = int(time.monotonic() / self._interval_s)
        if interval != self._interval:
            self._interval, self._taken = interval, 0
        self._taken += 1
        return self._taken <= self._most


class Books:
    """What came over all connections."""

    def __init__(self, *, counts_numbers: bool, tell_at: int) -> None:
        """Begin with nothing."""
        self.accepted = self.refused = 0
        self.first_at = self.last_at = 0.0
        self.numbers: Counter[bytes] = Counter()
        self.counts_numbers = counts_numbers
        self.tell_at = tell_at
        self.reached_at = 0.0

    def take(self, pdus: list[bytes], refused: int) -> None:
        """Note what was accepted and refused."""
        self.refused += refused
        if not pdus:
            return
        self.last_at = time.monotonic()
        self.first_at = self.first_at or self.last_at
        before, self.accepted = self.accepted, self.accepted + len(pdus)
        if before < self.tell_at <= self.accepted:
            self.reached_at = self.last_at
            say(reached=self.accepted)
        if self.counts_numbers:
            self.numbers.update(destination(pdu) for pdu in pdus)

    def facts(self) -> dict[str, Any]:
        """Give them."""
        return {
            "submits": self.accepted,
            "refused": self.refused,
            "first_at": self.first_at,
            "last_at": self.last_at,
            "reached_at": self.reached_at,
            "numbers": len(self.numbers),
            "twice": sum(count > 1 for count in self.numbers.values()),
            "most": max(self.numbers.values(), default=0),
        }


def destination(pdu: bytes) -> bytes:
    """Give the number that a submit_sm goes to."""
    source = pdu.index(b"\0", HEADER.size) + 3
    begin = pdu.index(b"\0", source) + 3
    return pdu[begin : pdu.index(b"\0", begin)]


class Sink(asyncio.Protocol):
    """One connection."""

    def __init__(self, books: Books, limiter: Limiter, delay_s: float) -> None:
        """Wait for octets."""
        self._rest = b""
        self._books = books
        self._limiter = limiter
        self._delay_s = delay_s
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer all that is whole."""
        data = self._rest + data
        at, size, refused = 0, len(data), 0
        out: list[bytes] = []
        taken: list[bytes] = []
        unpack, keeps = HEADER.unpack_from, self._books.counts_numbers
        while size - at >= HEADER.size:
            length, command, _, number = unpack(data, at)
            if size - at < length:
                break
            if command == SUBMIT_SM:
                if self._limiter.takes():
                    taken.append(data[at : at + length] if keeps else b"")
                    out += (ACCEPTED, data[at + 12 : at + 16], MESSAGE_ID)
                else:
                    refused += 1
                    out += (REFUSED, data[at + 12 : at + 16])
            elif not command & RESPONSE:
                body = b"" if command in BARE else b"sink\0"
                out.append(HEADER.pack(16 + len(body), command | RESPONSE, 0, number) + body)
                say(command=command, at=time.monotonic())
            at += length
        self._rest = data[at:]
        self._books.take(taken, refused)
        octets = b"".join(out)
        if self._delay_s:
            asyncio.get_running_loop().call_later(self._delay_s, self._transport.write, octets)
        else:
            self._transport.write(octets)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio gives it
        """Say what came."""
        say(**self._books.facts())


async def main() -> None:
    """Serve until stopped."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=0.0, help="messages a second; 0 takes all")
    parser.add_argument("--interval-s", type=float, default=1.0, help="what the limiter counts in")
    parser.add_argument("--delay-s", type=float, default=0.0, help="before every answer")
    parser.add_argument("--count-numbers", action="store_true")
    parser.add_argument("--tell-at", type=int, default=0)
    options = parser.parse_args()
    books = Books(counts_numbers=options.count_numbers, tell_at=options.tell_at)
    limiter = Limiter(options.rate, options.interval_s)
    server = await asyncio.get_running_loop().create_server(
        lambda: Sink(books, limiter, options.delay_s), "127.0.0.1", 0
    )
    say(port=server.sockets[0].getsockname()[1])
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
