"""Measures what a gateway's users wait for, each beside a peer in the same run.

Machines are noisy: the runs of both sides are interleaved and medians compared, and a ratio says
more than a time. Prints a table; `--json` prints one object.
"""

import argparse
import asyncio
import json
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from smpplib.smpp import make_pdu, parse_pdu

from cbgateway.app import Gateway, SystemClock, init_home
from cbgateway.codec import smpp
from cbgateway.domain.bulletin import Mode
from cbgateway.domain.delivery import Event
from cbgateway.domain.people import Permission
from cbgateway.signing.keys import SigningKey
from cbgateway.storage.sqlite import SqliteStore

LETTERS = str.maketrans("0123456789", "가나다라마바사아자차")
"""Digits in a text would be taken for a telephone number, which nobody has verified."""
ROUNDS = 9
CALLS = 2_000
COMMITS = 400
LATENCIES = 40
TEXT = (
    "[과기정통부] 11:16부터 전국 KT 인터넷·통화 장애. 원인 확인 중. 112·119 안 되면 유심 빼고 걸기."
)
SHORT_MESSAGE = "장애 안내".encode("utf-16-be") * 10
AT = datetime(2021, 10, 25, tzinfo=UTC)


class Numbers:
    """Gives smpplib the sequence numbers that it asks a client for."""

    sequence = 7

    def next_sequence(self) -> int:
        """Give seven."""
        return self.sequence


def ours_encode() -> bytes:
    """Write a submit_sm with our codec."""
    body = smpp.SubmitSm(
        source=smpp.Address(5, 0, "KTALERT"),
        destination=smpp.Address(1, 1, "821012345678"),
        data_coding=8,
        short_message=SHORT_MESSAGE,
    )
    return smpp.encode(smpp.Pdu(body, sequence_number=7))


def smpplib_encode() -> bytes:
    """Write the same submit_sm with smpplib."""
    pdu = make_pdu(
        "submit_sm",
        client=Numbers(),
        source_addr_ton=5,
        source_addr="KTALERT",
        dest_addr_ton=1,
        dest_addr_npi=1,
        destination_addr="821012345678",
        data_coding=8,
        short_message=SHORT_MESSAGE,
    )
    octets: bytes = pdu.generate()
    return octets


OCTETS = ours_encode()


def per_call_us(call: Callable[[], object], calls: int = CALLS) -> float:
    """Give the microseconds that one call takes."""
    began = time.perf_counter()
    for _ in range(calls):
        call()
    return (time.perf_counter() - began) / calls * 1e6


def side_by_side(ours: Callable[[], object], theirs: Callable[[], object]) -> tuple[float, float]:
    """Give the medians of both, from interleaved rounds."""
    mine, peers = [], []
    for _ in range(ROUNDS):
        mine.append(per_call_us(ours))
        peers.append(per_call_us(theirs))
    return statistics.median(mine), statistics.median(peers)


def bench_codec() -> list[dict[str, Any]]:
    """Compare our SMPP codec with smpplib's."""
    if smpplib_encode() != OCTETS:
        sys.exit("the two codecs do not write the same octets; there is nothing to compare")
    rows = []
    for what, ours, theirs in (
        ("encode submit_sm", ours_encode, smpplib_encode),
        (
            "decode submit_sm",
            lambda: smpp.decode(OCTETS),
            lambda: parse_pdu(OCTETS, client=Numbers(), allow_unknown_opt_params=True),
        ),
    ):
        mine, peers = side_by_side(ours, theirs)
        rows.append(row(what, f"{mine:.1f} us", "smpplib", f"{peers:.1f} us", peers / mine))
    return rows


def bench_store(folder: Path) -> list[dict[str, Any]]:
    """Compare work committed in groups with work committed one by one, both synced."""
    store = SqliteStore.create(folder / "bench.db", mode=Mode.TEST, country="kr", at=AT)
    event = Event(AT, "bench", "what", "nobody", {})

    def one_by_one() -> float:
        began = time.perf_counter()
        for _ in range(COMMITS):
            with store.transaction() as tx:
                tx.record(event)
        return COMMITS / (time.perf_counter() - began)

    async def group() -> float:
        began = time.perf_counter()
        await asyncio.gather(*(store.run(lambda tx: tx.record(event)) for _ in range(10 * COMMITS)))
        return 10 * COMMITS / (time.perf_counter() - began)

    grouped, single = [], []
    for _ in range(ROUNDS):
        grouped.append(asyncio.run(group()))
        single.append(one_by_one())
    store.close()
    ours, peers = statistics.median(grouped), statistics.median(single)
    return [
        row("durable writes", f"{ours:,.0f}/s", "a commit each", f"{peers:,.0f}/s", ours / peers)
    ]


class Centre(asyncio.Protocol):
    """A message centre that accepts everything and tells when a broadcast came."""

    def __init__(self, heard_at_s: "asyncio.Queue[float]") -> None:
        """Tell the times to somebody who waits for them."""
        self._heard_at_s = heard_at_s
        self._framer = smpp.Framer()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Accept."""
        for item in self._framer.receive(data):
            if isinstance(item, smpp.Pdu):
                if isinstance(item.body, smpp.BroadcastSm):
                    self._heard_at_s.put_nowait(time.perf_counter())
                answer = smpp.Pdu(smpp.response_to(item.body), item.sequence_number)
                self._transport.write(smpp.encode(answer))  # type: ignore[attr-defined]


def document(number: int) -> bytes:
    """Give a correction, which needs no budget; the first opens the incident."""
    incident: Any = "bench"
    if number == 0:
        incident = {
            "id": "bench",
            "carrier": "kt",
            "services": ["voice"],
            "started_at": "2021-10-25T11:16:00+09:00",
        }
    return json.dumps(
        {
            "identifier": f"b-{number}",
            "sender": "alice",
            "incident": incident,
            "kind": "correction" if number else "first",
            "regions": ["KR"],
            "texts": {"ko": f"{number} ".translate(LETTERS) + TEXT},
            "next_update": "PT30M",
        }
    ).encode()


async def bench_latency(folder: Path) -> list[dict[str, Any]]:
    """Measure from the call of approve to its return, and on to the first octets at the peer."""
    heard_at_s: asyncio.Queue[float] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Centre(heard_at_s), "127.0.0.1", 0)
    ports = {"kt": server.sockets[0].getsockname()[1]}
    init_home(folder, mode=Mode.TEST, country="kr", ports=ports, clock=SystemClock())
    approved, arrived = [], []
    with Gateway.open(folder) as gateway:
        keys = {}
        for name, submits in (("alice", True), ("bob", False)):
            _, path = gateway.keyring.add_person(
                name,
                may_submit=submits,
                may_approve=not submits,
                permission=Permission(("KR",), ("safety",)),
            )
            keys[name] = SigningKey.load(path)
        stop = asyncio.Event()
        serving = asyncio.create_task(gateway.serve(stop))
        for number in range(LATENCIES):
            record = gateway.submit(document(number), key=keys["alice"])
            prepared = gateway.prepare(record.bulletin.bulletin_id)
            began = time.perf_counter()
            await asyncio.to_thread(gateway.approve, prepared, key=keys["bob"])
            approved.append((time.perf_counter() - began) * 1e3)
            arrived.append((await heard_at_s.get() - began) * 1e3)
        stop.set()
        await serving
    server.close()
    ours, peers = statistics.median(arrived), statistics.median(approved)
    return [
        row(
            "approve to octets at the peer",
            f"{ours:.1f} ms (worst {max(arrived):.1f})",
            "its commit alone",
            f"{peers:.1f} ms",
            ours / peers,
        )
    ]


def row(what: str, ours: str, peer: str, theirs: str, ratio: float) -> dict[str, Any]:
    """Make a row of the table."""
    return {"what": what, "ours": ours, "peer": peer, "theirs": theirs, "ratio": round(ratio, 2)}


def main() -> None:
    """Run everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cbgateway-bench-") as name:
        folder = Path(name)
        rows = bench_codec() + bench_store(folder) + asyncio.run(bench_latency(folder / "home"))
    if arguments.json:
        machine = f"{platform.machine()}, Python {platform.python_version()}"
        print(json.dumps({"machine": machine, "rows": rows}, indent=2))
        return
    print(f"{'what':32} {'here':22} {'beside':16} {'there':12} ratio")
    for one in rows:
        print(
            f"{one['what']:32} {one['ours']:22} {one['peer']:16} {one['theirs']:12} {one['ratio']}"
        )


if __name__ == "__main__":
    main()
