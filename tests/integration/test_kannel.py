"""Kannel, somebody else's gateway, as an ESME of our message centre."""

import http.server
import shutil
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.integration

MESSAGES = 1_000
LONG = "부산·제주 KT 인터넷·통화 장애, 원인 확인 중입니다. " * 6
READY_S = 30
DELIVERED, ACCEPTED_BY_SMSC = "1", "8"  # Kannel's dlr-mask

CONFIGURATION = """
group = core
admin-port = {admin}
smsbox-port = {boxes}
admin-password = lab
admin-allow-ip = "127.0.0.1"
box-allow-ip = "127.0.0.1"
dlr-storage = internal
sms-resend-freq = 1
log-level = 2

group = smsc
smsc = smpp
smsc-id = lab
host = 127.0.0.1
port = {port}
transceiver-mode = true
smsc-username = kannel
smsc-password = secret
system-type = ""
interface-version = 34
alt-charset = "ASCII"
reconnect-delay = 1

group = smsbox
bearerbox-host = 127.0.0.1
sendsms-port = {sendsms}
log-level = 2

group = sendsms-user
username = lab
password = lab
max-messages = 10
concatenation = true
"""


def free_ports(count: int) -> list[int]:
    """Give ports that nobody listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


class Receipts(http.server.ThreadingHTTPServer):
    """Takes what Kannel tells of messages: each request names one and its state."""

    request_queue_size = 1_024  # Kannel connects for each, all at once

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []
        super().__init__(("127.0.0.1", 0), _Receipt)


class _Receipt(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        """Note it."""
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
        assert isinstance(self.server, Receipts)
        self.server.told.append((query["n"][0], query["state"][0]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


class Kannel:
    """A bearerbox and an smsbox, bound to our centre."""

    def __init__(self, folder: Path, port: int, receipts: Receipts) -> None:
        admin, boxes, self.sendsms = free_ports(3)
        self.receipts = receipts
        file = folder / "kannel.conf"
        file.write_text(
            CONFIGURATION.format(admin=admin, boxes=boxes, port=port, sendsms=self.sendsms)
        )
        self._admin = f"http://127.0.0.1:{admin}/status.txt?password=lab"
        self._file = file
        self._processes: list[subprocess.Popen[bytes]] = []

    def begin(self) -> None:
        """Start both, and wait until they are bound."""
        self._begin("bearerbox")
        self.until(lambda: b"(online" in self.get(self._admin))
        self._begin("smsbox")
        self.until(lambda: b"smsbox:" in self.get(self._admin) and self._is_listening())

    def _begin(self, name: str) -> None:
        found = shutil.which(name)
        assert found, f"no {name}; run `make peers`"
        self._processes.append(
            subprocess.Popen(
                [found, self._file], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
        )

    def _is_listening(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.sendsms)) == 0

    @staticmethod
    def get(url: str) -> bytes:
        """Fetch an address; nothing while nobody is there."""
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - loopback
                body: bytes = answer.read()
                return body
        except urllib.error.HTTPError as error:
            return error.read()
        except OSError:
            return b""

    @staticmethod
    def until(is_so: Callable[[], bool], within_s: float = READY_S) -> None:
        """Wait for an outside peer."""
        end = time.monotonic() + within_s
        while not is_so():
            assert time.monotonic() < end, "not in time"
            threading.Event().wait(0.05)

    def send(self, number: str, text: str, name: str) -> None:
        """Have Kannel send a message, and tell its receipts."""
        port = self.receipts.server_address[1]
        query = {
            "username": "lab",
            "password": "lab",
            "to": number,
            "from": "1004",
            "text": text,
            "charset": "UTF-8",
            "coding": "0" if text.isascii() else "2",
            "dlr-mask": str(int(DELIVERED) + int(ACCEPTED_BY_SMSC) + 2 + 16),
            "dlr-url": f"http://127.0.0.1:{port}/?n={name}&state=%d",
        }
        url = f"http://127.0.0.1:{self.sendsms}/cgi-bin/sendsms?{urllib.parse.urlencode(query)}"
        assert self.get(url).startswith((b"0:", b"3:")), "Kannel did not take it"

    def end(self) -> None:
        """End both."""
        for one in reversed(self._processes):
            one.terminate()
        for one in self._processes:
            one.wait(timeout=20)


@pytest.fixture
def receipts() -> Iterator[Receipts]:
    """Give a server that Kannel can tell receipts to."""
    with Receipts() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def kannel(
    start: Callable[..., Any],
    command: Callable[..., Any],
    tmp_path: Path,
    receipts: Receipts,
) -> Iterator[Callable[..., tuple[Any, Kannel]]]:
    """Give a starter of a centre with Kannel bound to it."""
    running: list[Kannel] = []

    def run(*options: object) -> tuple[Any, Kannel]:
        arguments = ("--port", 0, "--json", "--phones", 5, "--account", "kannel:secret", *options)
        centre = start(*command("cbsim", "smsc", *arguments))
        port = centre.line(lambda line: line["event"] == "ready")["port"]
        running.append(Kannel(tmp_path, port, receipts))
        running[-1].begin()
        return centre, running[-1]

    yield run
    for one in running:
        one.end()


def test_kannel_sends_a_thousand_and_gets_every_receipt(
    kannel: Callable[..., tuple[Any, Kannel]], receipts: Receipts
) -> None:
    """Each message is taken once, and told to be delivered once."""
    _, gateway = kannel()

    for index in range(MESSAGES):
        gateway.send(f"8219{index:08d}", f"message {index}", str(index))  # nobody's phone
    gateway.until(lambda: len(receipts.told) >= 2 * MESSAGES, within_s=60)

    states = Counter(receipts.told)
    assert set(states.values()) == {1}
    assert {name for name, state in states if state == DELIVERED} == set(map(str, range(MESSAGES)))
    assert {state for _, state in states} == {DELIVERED, ACCEPTED_BY_SMSC}


def test_kannel_is_throttled_and_loses_nothing(
    kannel: Callable[..., tuple[Any, Kannel]], receipts: Receipts
) -> None:
    """Refused for want of room, it sends again; in the end all have arrived."""
    _, gateway = kannel("--fault", "throttled:20%", "--seed", 4)

    for index in range(30):
        gateway.send("821000000001", f"message {index}", str(index))

    gateway.until(
        lambda: len({name for name, state in receipts.told if state == DELIVERED}) == 30,
        within_s=90,
    )


def test_korean_text_in_parts_shows_whole(kannel: Callable[..., tuple[Any, Kannel]]) -> None:
    """UCS-2, cut by Kannel, joined by a phone."""
    centre, gateway = kannel()

    gateway.send("821000000002", LONG.strip(), "long")
    shown = centre.line(lambda line: line["event"] == "shown")

    assert (shown["phone"], shown["text"]) == ("821000000002", LONG.strip())


def test_some_receipts_say_that_it_did_not_arrive(
    kannel: Callable[..., tuple[Any, Kannel]], receipts: Receipts
) -> None:
    """Kannel reads our receipts' states."""
    _, gateway = kannel("--set", "states.by_first_digit.8=UNDELIV")

    gateway.send("821000000001", "hello", "lost")

    gateway.until(lambda: ("lost", "2") in receipts.told)
