"""Kannel as an ESME, tuned: its store in a file, a thousand submits unanswered, nothing logged."""

import http.client
import shutil
import socket
import subprocess
import time
import urllib.parse
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path

READY_S = 30
RECIPIENTS = 100
"""Numbers in one request to its smsbox, which cuts it into as many messages."""
CLIENTS = 8
CONFIGURATION = """
group = core
admin-port = {admin}
smsbox-port = {boxes}
admin-password = bench
dlr-storage = internal
store-type = file
store-location = {folder}/kannel.store
log-level = 4

group = smsc
smsc = smpp
smsc-id = bench
host = 127.0.0.1
port = {port}
transceiver-mode = true
smsc-username = bench
smsc-password = secret
system-type = ""
interface-version = 34
max-pending-submits = {window}

group = smsbox
bearerbox-host = 127.0.0.1
sendsms-port = {sendsms}
log-level = 4

group = sendsms-user
username = bench
password = bench
"""


def is_installed() -> bool:
    """Tell whether there is one to measure."""
    return all(map(shutil.which, ("bearerbox", "smsbox")))


@contextmanager
def kannel(folder: Path, port: int, *, window: int) -> Iterator[int]:
    """Have Kannel bound to a message centre; gives the port that takes messages."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
    admin, boxes, sendsms = (one.getsockname()[1] for one in sockets)
    for one in sockets:
        one.close()
    file = folder / "kannel.conf"
    file.write_text(
        CONFIGURATION.format(
            admin=admin, boxes=boxes, sendsms=sendsms, port=port, window=window, folder=folder
        )
    )
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for box, listens in (("bearerbox", boxes), ("smsbox", sendsms)):
            processes.append(
                subprocess.Popen([box, file], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            )
            _wait_for(listens)
        yield sendsms
    finally:
        for process in reversed(processes):
            process.terminate()
        for process in processes:
            process.wait()


def feed(port: int, numbers: tuple[str, ...], text: str) -> None:
    """Give Kannel the messages, as fast as its smsbox takes them."""
    requests = [numbers[at : at + RECIPIENTS] for at in range(0, len(numbers), RECIPIENTS)]
    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(lambda client: _post(port, requests[client::CLIENTS], text), range(CLIENTS)))


def _post(port: int, requests: list[tuple[str, ...]], text: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=READY_S)
    for numbers in requests:
        query = urllib.parse.urlencode(
            {
                "username": "bench",
                "password": "bench",
                "from": "CBGATEWAY",
                "to": " ".join(numbers),
                "coding": "2",
                "charset": "UTF-8",
                "text": text,
            }
        )
        connection.request("GET", f"/cgi-bin/sendsms?{query}")
        answer = connection.getresponse()
        said = answer.read()
        if answer.status != HTTPStatus.ACCEPTED:
            msg = f"Kannel said {answer.status}: {said!r}"
            raise RuntimeError(msg)


def _wait_for(port: int) -> None:
    end = time.monotonic() + READY_S
    while True:
        with socket.socket() as probe:
            if not probe.connect_ex(("127.0.0.1", port)):
                return
        if time.monotonic() > end:
            msg = f"Kannel does not listen on port {port}"
            raise TimeoutError(msg)
        time.sleep(0.05)
