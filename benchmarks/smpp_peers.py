"""ESMEs that are not ours, for comparison: npm smpp and smpplib, against the same sink."""

import shutil
import subprocess
import sys
import time
from pathlib import Path

import smpplib.client
import smpplib.consts

ROOT = Path(__file__).parents[1]
MODULES = ROOT / "tests" / "integration" / "peers"
WINDOW = 1_000


def npm_per_s(port: int, count: int, text: str) -> float | None:
    """Give messages a second with npm smpp; None where it is not installed."""
    node = shutil.which("node")
    if node is None or not (MODULES / "node_modules" / "smpp").is_dir():
        return None
    script = ROOT / "benchmarks" / "smpp_client.js"
    done = subprocess.run(
        [node, script, MODULES, str(port), str(count), str(WINDOW), text],
        capture_output=True,
        text=True,
        check=True,
    )
    return count / float(done.stdout)


def smpplib_per_s(port: int, count: int, text: str) -> float:
    """Give messages a second with smpplib, a window at a time; it has no other way."""
    answers = 0

    def answered(**_named: object) -> None:
        nonlocal answers
        answers += 1

    client = smpplib.client.Client("127.0.0.1", port, allow_unknown_opt_params=True)
    client.set_message_sent_handler(answered)
    client.connect()
    client.bind_transmitter(system_id="bench", password="secret")  # noqa: S106 - opens nothing
    octets = text.encode("utf-16-be")
    began = time.monotonic()
    for first in range(0, count, WINDOW):
        last = min(count, first + WINDOW)
        for number in range(first, last):
            client.send_message(
                source_addr_ton=smpplib.consts.SMPP_TON_ALNUM,
                source_addr="CBGATEWAY",
                dest_addr_ton=smpplib.consts.SMPP_TON_INTL,
                dest_addr_npi=smpplib.consts.SMPP_NPI_ISDN,
                destination_addr=f"8210{number:08d}",
                data_coding=smpplib.consts.SMPP_ENCODING_ISO10646,
                short_message=octets,
            )
        while answers < last:
            client.read_once()
    took = time.monotonic() - began
    client.unbind()
    client.disconnect()
    if answers != count:
        sys.exit(f"smpplib had {answers} answers to {count} messages")
    return count / took
