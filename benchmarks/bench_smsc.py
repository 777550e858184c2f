"""Measures how fast `cbsim smsc` answers, as a process of its own on the loopback interface.

A second process (this one) sends prepared octets without looking and reads answers. What is
counted is the time from the first octet sent to the last answer read, so the sender's own time is
in it. Prints a table; `--json` prints one object.
"""

import argparse
import json
import os
import platform
import select
import socket
import statistics
import struct
import subprocess
import sys
import time
from typing import Any

from cbgateway.codec import smpp

ROUNDS = 3
MESSAGES = 200_000
MESSAGES_WITH_RECEIPTS = 60_000
WARM_UP = 20_000
CHUNK_OCTETS = 1 << 18
READY_TIMEOUT_S = 20
ANSWER_TIMEOUT_S = 60
HEADER_OCTETS = 16
SUBMIT_SM_RESP = 0x80000004
DELIVER_SM = 0x00000005
HEADER = struct.Struct(">IIII")
DELIVER_SM_RESP = struct.Struct(">IIIIB")


def submit(
    *tlvs: smpp.Tlv,
    registered_delivery: int = 0,
    validity_period: str = "",
    schedule_delivery_time: str = "",
) -> bytes:
    """Give a submit_sm with 98 octets of text."""
    body = smpp.SubmitSm(
        source=smpp.Address(5, 0, "BENCH"),
        destination=smpp.Address(1, 1, "447700900123"),
        registered_delivery=registered_delivery,
        short_message=b"outage " * 14,
        validity_period=validity_period,
        schedule_delivery_time=schedule_delivery_time,
    )
    return smpp.encode(smpp.Pdu(body, 1, tlvs=tlvs))


def blast(octets: bytes, count: int) -> bytes:
    """Give many of them, numbered."""
    head, tail = octets[:12], octets[HEADER_OCTETS:]
    return b"".join(head + number.to_bytes(4, "big") + tail for number in range(1, count + 1))


class Peer:
    """An ESME that does as little as it can."""

    def __init__(self, port: int, *, pdu_octets: int) -> None:
        """Connect and bind; every PDU that will be sent has `pdu_octets`."""
        self._pdu_octets = pdu_octets
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        bind = smpp.BindTransceiver(system_id="bench", interface_version=0x50)
        self._socket.sendall(smpp.encode(smpp.Pdu(bind, 1)))
        self._socket.recv(CHUNK_OCTETS)
        self._socket.setblocking(False)
        self._rest = b""
        self.wrong = 0

    def run(self, octets: bytes, *, answers: int, receipts: int) -> float:
        """Send everything, and give the seconds until all answers and receipts are there."""
        waiting = memoryview(octets)
        step = CHUNK_OCTETS // self._pdu_octets * self._pdu_octets
        acknowledgements = bytearray()
        leaving = bytearray()  # whole PDUs, so that the two streams can take turns
        began = time.perf_counter()
        while answers > 0 or receipts > 0 or leaving or acknowledgements:
            if not leaving:
                leaving += acknowledgements
                acknowledgements.clear()
                leaving += waiting[:step]
                waiting = waiting[step:]
            outgoing = [self._socket] if leaving else []
            ready = select.select([self._socket], outgoing, [], ANSWER_TIMEOUT_S)
            if not any(ready):
                sys.exit(f"{answers} answers and {receipts} receipts have not come")
            if ready[0]:
                got_answers, got_receipts = self._read(acknowledgements)
                answers -= got_answers
                receipts -= got_receipts
            if ready[1]:
                del leaving[: self._socket.send(leaving)]
        return time.perf_counter() - began

    def _read(self, acknowledgements: bytearray) -> tuple[int, int]:
        """Count what has come; receipts are answered."""
        received = self._socket.recv(CHUNK_OCTETS)
        if not received:
            sys.exit("the centre has closed the connection")
        octets = self._rest + received
        at, size = 0, len(octets)
        answers = receipts = 0
        while size - at >= HEADER_OCTETS:
            length, command, status, number = HEADER.unpack_from(octets, at)
            if at + length > size:
                break
            at += length
            self.wrong += status != 0
            if command == SUBMIT_SM_RESP:
                answers += 1
            elif command == DELIVER_SM:
                receipts += 1
                acknowledgements += DELIVER_SM_RESP.pack(17, 0x80000005, 0, number, 0)
        self._rest = octets[at:]
        return answers, receipts

    def close(self) -> None:
        """Leave."""
        self._socket.close()


def measure(
    what: str, options: list[str], octets: bytes, *, count: int, receipts: bool
) -> dict[str, Any]:
    """Start a centre, blast it, and give a row of the table."""
    command = [sys.executable, "-m", "cbsim", "smsc", "--port", "0", "--json", "--phones", "0"]
    process = subprocess.Popen([*command, *options], stdout=subprocess.PIPE)
    try:
        ready = json.loads(_line(process))
        peer = Peer(ready["port"], pdu_octets=len(octets))
        peer.run(blast(octets, WARM_UP), answers=WARM_UP, receipts=WARM_UP * receipts)
        prepared = blast(octets, count)
        cpu_began = _cpu_s(process.pid)
        rates = [
            count / peer.run(prepared, answers=count, receipts=count * receipts)
            for _ in range(ROUNDS)
        ]
        cpu_us = (_cpu_s(process.pid) - cpu_began) / (ROUNDS * count) * 1e6
        peer.close()
    finally:
        process.terminate()
        process.wait(READY_TIMEOUT_S)
    if peer.wrong:
        sys.exit(f"{what}: {peer.wrong} were refused")
    return {
        "what": what,
        "per_s": round(statistics.median(rates)),
        "worst_per_s": round(min(rates)),
        "cpu_us": round(cpu_us, 1),
    }


def _line(process: "subprocess.Popen[bytes]") -> bytes:
    """Give the centre's first line."""
    if process.stdout is None or not select.select([process.stdout], [], [], READY_TIMEOUT_S)[0]:
        sys.exit("the centre does not say that it is ready")
    return process.stdout.readline()


def _cpu_s(pid: int) -> float:
    """Give the processor time that a process has used."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:  # noqa: PTH123 - no path of ours
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Run everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    plain = submit()
    asked = submit(registered_delivery=1)
    reference = smpp.Tlv.integer(smpp.TlvTag.USER_MESSAGE_REFERENCE, 1)
    rich = submit(reference, smpp.Tlv(0x1500, b"seal"), validity_period="000000010000000R")
    odd = submit(schedule_delivery_time="000000000000000R")
    rows = [
        measure("submit_sm, read and stored", [], plain, count=MESSAGES, receipts=False),
        measure("submit_sm, validity and two TLVs", [], rich, count=MESSAGES // 2, receipts=False),
        measure("submit_sm, full decoder", [], odd, count=MESSAGES // 4, receipts=False),
        measure(
            "submit_sm and its receipt",
            [],
            asked,
            count=MESSAGES_WITH_RECEIPTS,
            receipts=True,
        ),
        measure("submit_sm, headers (--fast)", ["--fast"], plain, count=MESSAGES, receipts=False),
    ]
    if arguments.json:
        machine = f"{platform.machine()}, Python {platform.python_version()}"
        print(json.dumps({"machine": machine, "rows": rows}, indent=2))
        return
    print(f"{'what':34} {'median':>12} {'worst':>12} {'cpu each':>10}")
    for one in rows:
        print(
            f"{one['what']:34} {one['per_s']:>10,}/s {one['worst_per_s']:>10,}/s "
            f"{one['cpu_us']:>7} us"
        )


if __name__ == "__main__":
    main()
