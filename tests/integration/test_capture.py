"""The demo's SMPP traffic as others read it: tshark, and npm smpp where tshark misreads."""

import json
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.integration

CARRIERS = ("kt", "skt", "lguplus")
BROADCAST_SM = "0x00000111"


@pytest.fixture
def first_port() -> int:
    """Give the first of three free ports in a row."""
    for port in range(27750, 29000, 3):
        try:
            for one in range(port, port + 3):
                with socket.socket() as candidate:
                    candidate.bind(("127.0.0.1", one))
        except OSError:
            continue
        return port
    pytest.fail("no three free ports in a row")


@pytest.fixture
def capture(
    tshark: str, first_port: int, tmp_path: Path, command: Callable[..., Any]
) -> tuple[Path, dict[str, Any]]:
    """Run the demo while tshark listens; give the capture and what the demo said."""
    path = tmp_path / "demo.pcap"
    ports = f"tcp portrange {first_port}-{first_port + 2}"
    listener = subprocess.Popen(
        [tshark, "-i", "lo", "-f", ports, "-w", str(path), "-q"],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert listener.stderr is not None
    try:
        while "Capture started" not in listener.stderr.readline():
            assert listener.poll() is None, "tshark cannot listen here"
        done = subprocess.run(
            command("cbgateway", "demo", "--json", "--port", first_port, "--seconds", 10),
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
    finally:
        listener.terminate()
        listener.communicate(timeout=20)
    assert done.returncode == 0, done.stderr
    return path, json.loads(done.stdout)


def dissect(tshark: str, path: Path, first_port: int, *arguments: str) -> list[str]:
    """Have tshark read the capture as SMPP; gives its lines."""
    decode_as = [
        word
        for port in range(first_port, first_port + 3)
        for word in ("-d", f"tcp.port=={port},smpp")
    ]
    done = subprocess.run(
        [tshark, "-r", str(path), *decode_as, *arguments],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return done.stdout.splitlines()


def test_others_read_the_demo(
    tshark: str,
    node: tuple[str, Path],
    first_port: int,
    capture: tuple[Path, dict[str, Any]],
) -> None:
    """No malformed PDU, and the text of every bulletin can be read in the traffic."""
    path, summary = capture
    texts = {text for one in summary["bulletins"] for text in one["texts"].values()}

    pdus = dissect(tshark, path, first_port, "-Y", "smpp", "-T", "fields", "-e", "smpp.command_id")
    malformed = dissect(
        tshark,
        path,
        first_port,
        *("-Y", f"_ws.malformed && !(smpp.command_id == {BROADCAST_SM})"),
        *("-T", "fields", "-e", "frame.number"),
    )
    assert len(pdus) > 100
    assert malformed == []

    executable, folder = node
    read: list[dict[str, Any]] = []
    for offset in range(3):
        segments = dissect(
            tshark,
            path,
            first_port,
            *("-Y", f"tcp.dstport == {first_port + offset} && tcp.len > 0"),
            *("-T", "fields", "-e", "tcp.stream", "-e", "tcp.payload"),
        )
        streams: dict[str, str] = {}
        for segment in segments:
            stream, payload = segment.split("\t")
            streams[stream] = streams.get(stream, "") + payload
        for octets in streams.values():
            done = subprocess.run(
                [executable, folder / "parse.js"],
                input=octets,
                capture_output=True,
                text=True,
                check=True,
                timeout=60,
            )
            read += [json.loads(line) | {"centre": offset} for line in done.stdout.splitlines()]
    broadcasts = [pdu for pdu in read if pdu["command"] == "broadcast_sm"]
    parts = [pdu for pdu in read if pdu["command"] == "submit_sm"]
    seen = {pdu["message_payload"]["message"] for pdu in broadcasts if pdu["data_coding"] != 4}

    # A slow machine may leave one unanswered, which is then sent again, the same octets.
    same = [json.dumps(pdu | {"sequence_number": 0}, sort_keys=True) for pdu in broadcasts]
    assert len(set(same)) == 2 * (4 + 4 + 2)
    assert {pdu["broadcast_rep_num"] for pdu in broadcasts} <= set(range(1, 65536))
    assert texts <= seen
    assert len(parts) > 20 * 10
