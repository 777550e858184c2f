"""A message centre that answers as fast as it can, and says what came and when.

Prints one JSON object a line: the port; for each request other than submit_sm when it came; when
as many messages were accepted as --tell-at says, or receipts answered as --receipts says; and at
the end of each connection how many
submit_sm were accepted and refused in all, when the first and last were accepted, and to how many
numbers, worst, how often. Times are seconds of the machine's monotonic clock, which all its
processes share.
"""

import argparse
import asyncio
import json
import sys
import time
from collections import Counter, deque
from struct import Struct
from typing import Any

HEADER = Struct(">IIII")
SUBMIT_SM = 4
BINDS = {1, 2, 9}
BARE = {6, 0x15}  # unbind and enquire_link have answers without a body
DELIVER_SM = 5
RESPONSE = 0x80000000
THROTTLED = 0x58
MESSAGE_ID = b"00000001\0"
ACCEPTED = HEADER.pack(16 + len(MESSAGE_ID), RESPONSE | SUBMIT_SM, 0, 0)[:12]
REFUSED = HEADER.pack(16, RESPONSE | SUBMIT_SM, THROTTLED, 0)[:12]
RECEIPT_TEXT = (
    b"id:%s sub:001 dlvrd:001 submit date:2110251116 done date:2110251116 "
    b"stat:DELIVRD err:000 text:"
)
RECEIPT_BODY = b"\0\1\1%s\0\5\0CBGATEWAY\0\4\0\0\0\0\0\0\0\0%c%s"
RECEIPT_TLVS = b"\x00\x1e\x00\x09%s\0\x04\x27\x00\x01\x02"
RECEIPTS_WINDOW = 2_000
"""Receipts that wait for their answers, as centres bound them too."""
INCOMING_BODY = b"\0\1\1%s\0\2\1" + b"1004\0" + b"\0\0\0\0\0\0\0\0\0%c%s"
INCOMING_TEXT = "상태".encode("utf-16-be")
FLOOD_INTERVAL_S = 0.01


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
        self.answered = self.put_off = 0
        self.receipts = 0
        self.answered_at = 0.0

    def take_receipt(self, *, is_taken: bool) -> None:
        """Note what was said to a receipt."""
        self.put_off += not is_taken
        self.answered += is_taken
        self.answered_at = time.monotonic()
        if self.answered == self.receipts:
            say(all_answered=self.answered)

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
            "receipts": self.answered,
            "put_off": self.put_off,
            "answered_at": self.answered_at,
            "numbers": len(self.numbers),
            "twice": sum(count > 1 for count in self.numbers.values()),
            "most": max(self.numbers.values(), default=0),
        }


def destination(pdu: bytes) -> bytes:
    """Give the number that a submit_sm goes to."""
    source = pdu.index(b"\0", HEADER.size) + 3
    begin = pdu.index(b"\0", source) + 3
    return pdu[begin : pdu.index(b"\0", begin)]


class Receipts:
    """A receipt for every message, behind its answer; again when the gateway puts one off."""

    def __init__(self, books: Books) -> None:
        """Begin with none."""
        self._books = books
        self._waiting: deque[bytes] = deque()
        self._sent: dict[int, bytes] = {}
        self._number = 0
        self._name = 0

    def begin(self, pdu: bytes) -> bytes:
        """Have a receipt leave soon; gives the message_id for the answer."""
        self._name += 1
        name = b"%08x" % self._name
        text = RECEIPT_TEXT % name
        body = RECEIPT_BODY % (destination(pdu), len(text), text) + RECEIPT_TLVS % name
        self._waiting.append(body)
        return name + b"\0"

    def due(self) -> list[bytes]:
        """Give those that the window has room for."""
        room = min(RECEIPTS_WINDOW - len(self._sent), len(self._waiting))
        octets = []
        for _ in range(room):
            body = self._waiting.popleft()
            self._number = self._number % 0x7FFFFFFF + 1
            self._sent[self._number] = body
            octets += (HEADER.pack(16 + len(body), DELIVER_SM, 0, self._number), body)
        return octets

    def answered(self, number: int, status: int) -> None:
        """Note an answer."""
        body = self._sent.pop(number)
        self._books.take_receipt(is_taken=not status)
        if status:
            self._waiting.append(body)


class Sink(asyncio.Protocol):
    """One connection."""

    def __init__(
        self,
        books: Books,
        limiter: Limiter,
        delay_s: float,
        *,
        with_receipts: bool,
        incoming_per_s: float,
    ) -> None:
        """Wait for octets."""
        self._incoming_per_s = incoming_per_s
        self._flood: asyncio.Task[None] | None = None
        self._receipts = Receipts(books) if with_receipts else None
        self._rest = b""
        self._books = books
        self._limiter = limiter
        self._delay_s = delay_s
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        self._transport = transport

    async def _send_incoming(self) -> None:
        """Send messages of subscribers, evenly, whatever is answered to them."""
        loop = asyncio.get_running_loop()
        began, sent = loop.time(), 0
        while True:
            await asyncio.sleep(FLOOD_INTERVAL_S)
            due = int((loop.time() - began) * self._incoming_per_s) - sent
            octets = []
            for number in range(sent, sent + due):
                body = INCOMING_BODY % (b"8210%08d" % number, len(INCOMING_TEXT), INCOMING_TEXT)
                octets += (
                    HEADER.pack(16 + len(body), DELIVER_SM, 0, number % 0x7FFFFFFF + 1),
                    body,
                )
            sent += due
            self._transport.write(b"".join(octets))

    def data_received(self, data: bytes) -> None:
        """Answer all that is whole."""
        data = self._rest + data
        at, size, refused = 0, len(data), 0
        out: list[bytes] = []
        taken: list[bytes] = []
        unpack, receipts = HEADER.unpack_from, self._receipts
        keeps = self._books.counts_numbers or receipts is not None
        while size - at >= HEADER.size:
            length, command, status, number = unpack(data, at)
            if size - at < length:
                break
            if command == SUBMIT_SM:
                if self._limiter.takes():
                    taken.append(data[at : at + length] if keeps else b"")
                    name = MESSAGE_ID if receipts is None else receipts.begin(taken[-1])
                    out += (ACCEPTED, data[at + 12 : at + 16], name)
                else:
                    refused += 1
                    out += (REFUSED, data[at + 12 : at + 16])
            elif receipts is not None and command == DELIVER_SM | RESPONSE:
                receipts.answered(number, status)
            elif not command & RESPONSE:
                body = b"" if command in BARE else b"sink\0"
                out.append(HEADER.pack(16 + len(body), command | RESPONSE, 0, number) + body)
                say(command=command, at=time.monotonic())
                if command in BINDS and self._incoming_per_s:
                    self._flood = asyncio.create_task(self._send_incoming())
            at += length
        self._rest = data[at:]
        self._books.take(taken, refused)
        if receipts is not None:
            out += receipts.due()
        octets = b"".join(out)
        if self._delay_s:
            asyncio.get_running_loop().call_later(self._delay_s, self._transport.write, octets)
        else:
            self._transport.write(octets)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio gives it
        """Say what came."""
        if self._flood is not None:
            self._flood.cancel()
        say(**self._books.facts())


async def main() -> None:
    """Serve until stopped."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=0.0, help="messages a second; 0 takes all")
    parser.add_argument("--interval-s", type=float, default=1.0, help="what the limiter counts in")
    parser.add_argument("--delay-s", type=float, default=0.0, help="before every answer")
    parser.add_argument(
        "--receipts", type=int, default=0, help="send one a message; tell when so many are answered"
    )
    parser.add_argument(
        "--incoming", type=float, default=0.0, help="messages of subscribers a second"
    )
    parser.add_argument("--count-numbers", action="store_true")
    parser.add_argument("--tell-at", type=int, default=0)
    options = parser.parse_args()
    books = Books(counts_numbers=options.count_numbers, tell_at=options.tell_at)
    books.receipts = options.receipts
    limiter = Limiter(options.rate, options.interval_s)
    server = await asyncio.get_running_loop().create_server(
        lambda: Sink(
            books,
            limiter,
            options.delay_s,
            with_receipts=options.receipts > 0,
            incoming_per_s=options.incoming,
        ),
        "127.0.0.1",
        0,
    )
    say(port=server.sockets[0].getsockname()[1])
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
