"""Measures how much load `cbsim esme` makes, against a sink that answers at once.

The sink is a process of its own and does as little as can be done: it copies the sequence numbers
of what came into answers written before. It runs as `bench_esme.py --sink`, or the benchmark
starts it. Prints a table; `--json` prints one object.

Beside it stands a client that keeps the same window and calls the codec for each PDU.
"""

import argparse
import asyncio
import json
import platform
import statistics
import subprocess
import sys
import time
from contextlib import closing
from typing import Any

from cbgateway.codec import smpp, smpp_text
from cbsim.esme import Bind
from cbsim.esme_load import Load
from cbsim.esme_messages import Destinations, Messages
from cbsim.esme_report import Report
from cbsim.esme_run import LoadRun, Peer

ROUNDS = 5
MESSAGES = 200_000
WINDOW = 2_000
PLAIN_MESSAGES = 20_000
OPEN_RATE = 20_000
OPEN_SECONDS_S = 2.0
TEXT = "Service is back in all provinces."
HEADER_OCTETS = 16
SUBMIT_SM = int(smpp.CommandId.SUBMIT_SM).to_bytes(4, "big")
ANSWER = smpp.encode(smpp.Pdu(smpp.SubmitSmResp(message_id="0123456789"), 1))


class Sink(asyncio.Protocol):
    """Accepts everything at once."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer; PDUs of one length in one go, others one by one."""
        data = self._rest + data
        at = 0
        while len(data) - at >= HEADER_OCTETS:
            length = int.from_bytes(data[at : at + 4], "big")
            if length > len(data) - at:
                break
            if data[at + 4 : at + 8] == SUBMIT_SM:
                count = self._count_alike(data, at, length)
                self._accept(data, at, length, count)
                at += count * length
            else:
                self._answer(data[at : at + length])
                at += length
        self._rest = data[at:]

    @staticmethod
    def _count_alike(data: bytes, at: int, length: int) -> int:
        """Count the submit_sm from here that are as long as the first."""
        whole = (len(data) - at) // length
        for column in range(8):
            octets = data[at + column : at + whole * length : length]
            alike = len(octets) - len(octets.lstrip(octets[:1]))
            whole = min(whole, alike)
        return whole

    def _accept(self, data: bytes, at: int, length: int, count: int) -> None:
        answers = bytearray(ANSWER * count)
        for column in range(12, 16):
            answers[column :: len(ANSWER)] = data[at + column : at + count * length : length]
        self._transport.write(answers)  # type: ignore[attr-defined]

    def _answer(self, octets: bytes) -> None:
        pdu = smpp.decode(octets)
        if not smpp.is_response(pdu.body):
            answer = smpp.Pdu(smpp.response_to(pdu.body), pdu.sequence_number)
            self._transport.write(smpp.encode(answer))  # type: ignore[attr-defined]


async def sink() -> None:
    """Listen, say on which port, and serve until standard input ends."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Sink, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    server.close()


def messages() -> Messages:
    """Make short texts to counted numbers."""
    return Messages(
        (TEXT,),
        iter(Destinations("8210########")),
        body=smpp.SubmitSm(source=smpp.Address(5, 0, "CBSIM"), destination=smpp.Address(1, 1, "")),
        data_coding=0,
        segmentation=smpp_text.Segmentation.UDH8,
    )


def esme(port: int, load: Load, *, binds: int = 1, window: int = WINDOW) -> Report:
    """Put a load on the sink."""
    bind = Bind(system_id="bench", password="", window=window)
    peer = Peer("127.0.0.1", port)
    report = asyncio.run(LoadRun(peer, bind, load, messages(), binds=binds).run())
    if not report.was_all_accepted:
        sys.exit(f"the sink did not accept everything: {report.problems}")
    return report


class Plain(asyncio.Protocol):
    """Keeps the same window with a codec call for each PDU, and notes nothing."""

    def __init__(self, messages_left: int) -> None:
        """Send so many messages."""
        self._unsent = messages_left
        self._unanswered = messages_left
        self._number = 0
        self._framer = smpp.Framer()
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Fill the window."""
        self._transport = transport
        self._send(WINDOW)

    def _send(self, count: int) -> None:
        out = []
        for _ in range(min(count, self._unsent)):
            self._number += 1
            body = smpp.SubmitSm(
                source=smpp.Address(5, 0, "CBSIM"),
                destination=smpp.Address(1, 1, f"8210{self._number:08}"),
                short_message=TEXT.encode(),
            )
            out.append(smpp.encode(smpp.Pdu(body, self._number)))
        self._unsent -= len(out)
        self._transport.write(b"".join(out))  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        """Send a message for each answer."""
        answers = self._framer.receive(data)
        self._unanswered -= len(answers)
        self._send(len(answers))
        if self._unanswered <= 0 and not self.done.done():
            self.done.set_result(None)


async def plain(port: int) -> float:
    """Give messages a second of a client that makes objects."""
    began = time.perf_counter()
    transport, protocol = await asyncio.get_running_loop().create_connection(
        lambda: Plain(PLAIN_MESSAGES), "127.0.0.1", port
    )
    with closing(transport):
        await protocol.done
    return PLAIN_MESSAGES / (time.perf_counter() - began)


def bench(port: int) -> list[dict[str, Any]]:
    """Measure: rounds of each kind interleaved, medians of all."""
    found: dict[str, list[float]] = {}
    opened: list[Report] = []
    for _ in range(ROUNDS):
        found.setdefault("plain", []).append(asyncio.run(plain(port)))
        for binds in (1, 4):
            load = Load(count=MESSAGES)
            report = esme(port, load, binds=binds, window=WINDOW // binds)
            found.setdefault(f"closed loop, {binds} bind(s)", []).append(report.rate)
        opened.append(esme(port, Load(seconds_s=OPEN_SECONDS_S, rate=OPEN_RATE)))
    there = statistics.median(found.pop("plain"))
    rows = [
        row(
            what,
            f"{statistics.median(rates):,.0f}/s",
            f"{there:,.0f}/s",
            statistics.median(rates) / there,
        )
        for what, rates in found.items()
    ]
    rates = statistics.median(report.rate for report in opened)
    p99 = statistics.median(report.tally.from_intended.quantile(990) for report in opened) / 1e3
    what = f"open loop at {OPEN_RATE:,}/s"
    rows.append(row(what, f"{rates:,.0f}/s, p99 {p99:.1f} ms", f"{there:,.0f}/s", rates / there))
    return rows


def row(what: str, ours: str, theirs: str, ratio: float) -> dict[str, Any]:
    """Make a row of the table."""
    return {
        "what": what,
        "ours": ours,
        "peer": "a call a PDU",
        "theirs": theirs,
        "ratio": round(ratio, 2),
    }


def main() -> None:
    """Run everything, or the sink."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--sink", action="store_true", help="be the sink")
    arguments = parser.parse_args()
    if arguments.sink:
        asyncio.run(sink())
        return
    with subprocess.Popen(
        [sys.executable, __file__, "--sink"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as peer:
        if peer.stdout is None or peer.stdin is None:
            sys.exit("the sink has no pipes")
        rows = bench(int(peer.stdout.readline()))
        peer.stdin.close()
    if arguments.json:
        machine = f"{platform.machine()}, Python {platform.python_version()}"
        print(json.dumps({"machine": machine, "rows": rows}, indent=2))
        return
    print(f"{'what':28} {'cbsim esme':26} {'beside':14} {'there':14} ratio")
    for one in rows:
        print(
            f"{one['what']:28} {one['ours']:26} {one['peer']:14} {one['theirs']:14} {one['ratio']}"
        )


if __name__ == "__main__":
    main()
