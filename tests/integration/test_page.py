"""The simulator's page in a real browser: what a tester sees and clicks."""

import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cbgateway.codec import smpp
from cbsim.running import RunningCentre
from tests.integration.chromium import Chromium

pytestmark = pytest.mark.integration

SCREENSHOT = os.environ.get("SCREENSHOT")
"""Where the picture in docs/simulator.md is written, when it is to be made anew."""
TRICK = "<img src=x onerror='document.title = 1'>"


@pytest.fixture
def smsc() -> Iterator[RunningCentre]:
    """Give a centre with its page."""
    with RunningCentre({"web": "0", "name": "lab"}, phones=12) as centre:
        yield centre


@pytest.fixture
def page(smsc: RunningCentre, tmp_path: Path) -> Iterator[Chromium]:
    """Give a browser that shows the page, live."""
    command = shutil.which("chromium")
    assert command, "no chromium; run `make peers`"
    browser = Chromium(command, tmp_path)
    try:
        browser.open(smsc.web)
        browser.wait_for("document.getElementById('live').textContent === 'live'")
        yield browser
    finally:
        browser.close()


@pytest.fixture
def esme(smsc: RunningCentre) -> Iterator["Esme"]:
    """Give a client that is bound."""
    one = Esme(smsc.host, smsc.port)
    yield one
    one.socket.close()


class Esme:
    """A client on a socket."""

    def __init__(self, host: str, port: int) -> None:
        self.socket = socket.create_connection((host, port), 20)
        self._framer = smpp.Framer()
        self._items: list[Any] = []
        self.ask(smpp.BindTransceiver(system_id="shop"))

    def ask(self, body: smpp.Body) -> Any:
        """Send a request; gives what comes."""
        self.socket.sendall(smpp.encode(smpp.Pdu(body, 1)))
        return self.get()

    def get(self) -> Any:
        """Give the next PDU."""
        while not self._items:
            self._items += self._framer.receive(self.socket.recv(65_536))
        return self._items.pop(0)

    def submit(self, text: str, to: str = "821000000001") -> Any:
        """Send a message."""
        return self.ask(
            smpp.SubmitSm(
                source=smpp.Address(5, 0, "KTALERT"),
                destination=smpp.Address(1, 1, to),
                data_coding=8,
                short_message=text.encode("utf-16-be"),
            )
        )


def test_page_shows_what_happens_and_changes_it(page: Chromium, esme: Esme) -> None:
    """Messages, screens and PDUs come by themselves; faults and incoming messages go out."""
    esme.submit("서비스가 복구되었습니다")
    esme.submit("We are sorry.")
    page.wait_for("document.querySelectorAll('#messages .good').length === 2")
    screen = page.wait_for(
        "(s => s.length === 2 && [...s].map(one => one.textContent))"
        "(document.querySelectorAll('[data-phone=\"821000000001\"] .bubble'))"
    )
    assert screen == ["서비스가 복구되었습니다", "We are sorry."]

    page.click("#pdus tr.open:nth-child(3)")
    detail = page.wait_for("document.querySelector('#pdus tr.detail').textContent")
    assert "destination_addr = 821000000001" in detail

    page.click("[data-fault=throttled]")
    page.wait_for("document.querySelector('#scenario textarea').value.includes('throttled')")
    assert smpp.status_name(esme.submit("no").command_status) == "ESME_RTHROTTLED"
    page.wait_for("document.querySelector('#events').textContent.includes('ESME_RTHROTTLED')")
    page.click("[data-fault=throttled]")
    page.wait_for("!document.querySelector('#scenario textarea').value.includes('throttled')")
    assert esme.submit("yes", to="821000000002").command_status == 0

    page.type("#incoming [name=text]", "STOP")
    page.click("#incoming button")
    assert esme.get().body.short_message == b"STOP"
    page.wait_for("document.getElementById('sent').textContent === 'sent to 1'")
    if SCREENSHOT:
        Path(SCREENSHOT).write_bytes(page.screenshot())
    esme.socket.sendall(smpp.encode(smpp.Pdu(smpp.DeliverSmResp(), 1)))
    esme.submit(TRICK, to="821000000003")
    shown = page.wait_for(
        "document.querySelector('[data-phone=\"821000000003\"] .bubble').textContent"
    )
    assert shown == TRICK

    page.click("#reset")
    page.wait_for("document.querySelectorAll('#messages td').length === 0")
    assert page.run("document.title") == "cbsim smsc"
    assert page.problems == []
