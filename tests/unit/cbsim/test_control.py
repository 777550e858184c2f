"""The control over HTTP, on a real socket."""

import http.client
import json
import socket
from collections.abc import Iterator
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

import pytest

from cbgateway.codec import smpp
from cbsim.http import BODY_OCTETS_MAX, HEAD_OCTETS_MAX, is_own_host
from cbsim.running import RunningCentre
from cbsim.watch import EVENTS_MAX

PATIENCE_S = 10
SETTINGS = {"web": "0", "accounts": [{"system_id": "esme"}], "answers": {"congestion": 7}}
JSON = b"Content-Type: application/json\r\n"
SUBMIT = smpp.SubmitSm(
    source=smpp.Address(5, 0, "TEST"),
    destination=smpp.Address(1, 1, "821000000001"),
    short_message=b"hello",
)


class Esme:
    """A client on a socket, bound."""

    def __init__(self, smsc: RunningCentre) -> None:
        self.socket = socket.create_connection((smsc.host, smsc.port), PATIENCE_S)
        self._framer = smpp.Framer()
        self._items: list[Any] = []
        self._number = 0
        self.ask(smpp.BindTransceiver(system_id="esme", interface_version=0x50))

    def ask(self, body: smpp.Body) -> Any:
        """Send a request; gives what comes."""
        self._number += 1
        self.socket.sendall(smpp.encode(smpp.Pdu(body, self._number)))
        return self.get()

    def get(self) -> Any:
        """Give the next PDU; None when the connection has ended."""
        while not self._items:
            octets = self.socket.recv(65_536)
            if not octets:
                return None
            self._items += self._framer.receive(octets)
        return self._items.pop(0)


@pytest.fixture
def smsc() -> Iterator[RunningCentre]:
    """Give a centre with its control."""
    with RunningCentre(SETTINGS) as centre:
        yield centre


@pytest.fixture
def esme(smsc: RunningCentre) -> Iterator[Esme]:
    """Give a client that is bound."""
    one = Esme(smsc)
    with closing(one.socket):
        yield one


def ask(
    smsc: RunningCentre, method: str, path: str, body: Any = None, **headers: str
) -> tuple[int, Any]:
    """Ask the control; gives status and JSON."""
    where = urlsplit(smsc.web)
    connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=PATIENCE_S)
    with closing(connection):
        sent = {} if method == "GET" else {"Content-Type": "application/json"}
        text = None if body is None else json.dumps(body)
        connection.request(method, path, text, sent | headers)
        answer = connection.getresponse()
        octets = answer.read()
    is_json = answer.headers["Content-Type"] == "application/json"
    return answer.status, json.loads(octets) if is_json else octets


def raw(smsc: RunningCentre, octets: bytes) -> bytes:
    """Send octets to the control; gives the first line of what comes."""
    where = urlsplit(smsc.web)
    address = (where.hostname or "", where.port or 0)
    with socket.create_connection(address, PATIENCE_S) as connection:
        connection.sendall(octets)
        connection.shutdown(socket.SHUT_WR)
        return connection.makefile("rb").readline().strip()


def test_page_is_whole_and_runs_its_own_script_alone(smsc: RunningCentre) -> None:
    """One file, nothing from elsewhere, and a policy that says so."""
    where = urlsplit(smsc.web)
    connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=PATIENCE_S)
    with closing(connection):
        connection.request("GET", "/")
        answer = connection.getresponse()
        page = answer.read().decode("utf-8")

    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "script-src 'sha256-" in answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert not [scheme for scheme in ("http://", "https://", "innerHTML") if scheme in page]


def test_state_tells_sessions_and_counters(smsc: RunningCentre, esme: Esme) -> None:
    """Who is bound, and what has happened."""
    esme.ask(SUBMIT)
    status, state = ask(smsc, "GET", "/state")

    assert (status, state["counters"]["submitted"]) == (200, 1)
    assert [one["system_id"] for one in state["sessions"]] == ["esme"]


def test_messages_are_listed_by_pattern(smsc: RunningCentre, esme: Esme) -> None:
    """Newest first; at most so many; only those that match."""
    for number in ("821000000001", "821000000002", "99"):
        body = smpp.SubmitSm(destination=smpp.Address(1, 1, number), short_message=b"hello")
        esme.ask(body)

    def found(query: str) -> list[str]:
        return [one["destination"] for one in ask(smsc, "GET", f"/messages{query}")[1]]

    assert found("") == ["99", "821000000002", "821000000001"]
    assert found("?limit=1") == ["99"]
    assert found("?destination=82*&state=DELIVERED") == ["821000000002", "821000000001"]
    assert found("?data_coding=8") == []
    assert found("?nothing=1") == []
    assert ask(smsc, "GET", "/messages?limit=x")[0] == 422


def test_phones_show_their_screens(smsc: RunningCentre, esme: Esme) -> None:
    """What was sent to one is on its screen, and on no other."""
    esme.ask(SUBMIT)
    _, phones = ask(smsc, "GET", "/phones?limit=2")

    assert [[one["text"] for one in phone["screen"]] for phone in phones] == [[], ["hello"]]
    assert [phone["phone"] for phone in phones] == ["821000000000", "821000000001"]


def test_pdus_are_told_field_by_field(smsc: RunningCentre, esme: Esme) -> None:
    """Newest first, and as a capture."""
    esme.ask(SUBMIT)
    _, pdus = ask(smsc, "GET", "/pdus?pdu=submit*")
    _, capture = ask(smsc, "GET", "/capture.pcap")

    assert [one["pdu"] for one in pdus] == ["submit_sm_resp", "submit_sm"]
    assert pdus[1]["fields"]["destination_addr"] == "821000000001"
    assert capture[:4] == bytes.fromhex("d4c3b2a1")


def test_faults_are_switched_while_it_runs(smsc: RunningCentre, esme: Esme) -> None:
    """On, seen to happen, counted, and off."""
    status, faults = ask(smsc, "PUT", "/faults", ["throttled:1x"])
    asked = {one["name"]: one["asked"] for one in faults if one["asked"]}
    refused, taken = esme.ask(SUBMIT), esme.ask(SUBMIT)
    _, after = ask(smsc, "GET", "/faults?")

    assert (status, asked) == (200, {"throttled": "throttled:1x"})
    assert refused.command_status == smpp.Status.ESME_RTHROTTLED
    assert taken.command_status == smpp.Status.ESME_ROK
    assert [one["happened"] for one in after if one["name"] == "throttled"] == [1]
    assert [one for one in ask(smsc, "PUT", "/faults", [])[1] if one["asked"]] == []


def test_scenario_is_read_and_changed(smsc: RunningCentre, esme: Esme) -> None:
    """What is read can be written back; what is wrong changes nothing."""
    _, before = ask(smsc, "GET", "/scenario")
    wanted = {"states": {"undeliv": "100%"}, "receipts": {"tlvs": ["1400=00ff"]}}
    status, after = ask(smsc, "PATCH", "/scenario", wanted)
    esme.ask(SUBMIT)

    assert (status, after["states"]["undeliv"], after["receipts"]["tlvs"]) == (
        200,
        1.0,
        ["1400=00ff"],
    )
    assert ask(smsc, "GET", "/messages")[1][0]["state"] == "UNDELIVERABLE"
    assert ask(smsc, "PATCH", "/scenario", after) == (200, after)
    status, problem = ask(smsc, "PATCH", "/scenario", {"answers": {"delay": "x"}, "seed": 5})
    assert (status, problem["problem"][:14]) == (422, "answers.delay:")
    assert ask(smsc, "GET", "/scenario")[1] == after
    assert ask(smsc, "PATCH", "/scenario", before) == (200, before)


def test_phone_sends_a_message(smsc: RunningCentre, esme: Esme) -> None:
    """It arrives at the client at once."""
    body = {"source": "821000000003", "destination": "1234", "text": "STOP"}
    status, answer = ask(smsc, "POST", "/messages", body)
    pdu = esme.get()

    assert (status, answer) == (202, {"sent_to": 1})
    assert (pdu.body.source.address, pdu.body.short_message) == ("821000000003", b"STOP")
    assert ask(smsc, "POST", "/messages", {"txt": "x"})[0] == 422
    assert ask(smsc, "POST", "/messages", {"text": 1})[0] == 422
    assert ask(smsc, "POST", "/messages", [])[0] == 400


def test_restart_unbind_and_reset(smsc: RunningCentre, esme: Esme) -> None:
    """Begin anew is the scenario of the start and nothing remembered, with connections kept."""
    esme.ask(SUBMIT)
    ask(smsc, "PUT", "/faults", ["throttled"])
    status, state = ask(smsc, "POST", "/reset")

    assert (status, state["stored"], state["counters"]["submitted"]) == (200, 0, 0)
    assert ask(smsc, "GET", "/phones?phone=821000000001")[1][0]["screen"] == []
    answer = esme.ask(SUBMIT)
    assert (answer.command_status, answer.tlv(smpp.TlvTag.CONGESTION_STATE)) == (0, b"\7")
    assert ask(smsc, "POST", "/unbind") == (200, {})
    assert isinstance(esme.get().body, smpp.Unbind)
    assert ask(smsc, "POST", "/restart", {"keeps_messages": 1})[0] == 422
    assert ask(smsc, "POST", "/restart", {"keeps_messages": False}) == (200, {})
    assert ask(smsc, "GET", "/state")[1]["stored"] == 0
    with pytest.raises(ConnectionResetError):
        esme.get()


def test_events_are_streamed(smsc: RunningCentre, esme: Esme) -> None:
    """What happens while somebody looks, PDUs taken apart; then nobody is kept."""
    where = urlsplit(smsc.web)
    connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=PATIENCE_S)
    with closing(connection):
        connection.request("GET", "/events")
        answer = connection.getresponse()
        assert answer.readline() == b": look\n"
        esme.ask(SUBMIT)
        lines = [answer.readline() for _ in range(9)]
    told = [json.loads(line[6:]) for line in lines if line.startswith(b"data: ")]

    assert answer.headers["Content-Type"] == "text/event-stream"
    assert [(one["event"], one.get("pdu")) for one in told] == [
        ("pdu", "submit_sm"),
        ("shown", None),
        ("message", None),
        ("pdu", "submit_sm_resp"),
    ]
    assert ask(smsc, "GET", "/events.jsonl")[1].count(b'"event": "shown"') == 1


def test_who_is_slow_misses_some_and_is_told(smsc: RunningCentre) -> None:
    """Nothing grows without end."""

    def flood(centre: Any) -> None:
        for number in range(EVENTS_MAX):
            smsc._simulator.watch.event({"event": "one", "number": number})

    where = urlsplit(smsc.web)
    connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=PATIENCE_S)
    with closing(connection):
        connection.request("GET", "/events?pdus=0")
        answer = connection.getresponse()
        answer.readline()
        smsc.call(flood)
        last = b""
        while b"missed" not in last:
            last = answer.readline()

    assert json.loads(last[6:]) == {"event": "missed", "count": EVENTS_MAX - 2_000}


@pytest.mark.parametrize(
    ("octets", "line"),
    [
        (b"nonsense\r\n\r\n", b"HTTP/1.1 400 Bad Request"),
        (b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", b"HTTP/1.1 421 Misdirected Request"),
        (b"GET / HTTP/1.1\r\n\r\n", b"HTTP/1.1 421 Misdirected Request"),
        (
            b"POST /restart HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.1 415 Unsupported Media Type",
        ),
        (
            b"POST / HTTP/1.1\r\nHost: localhost\r\n%sTransfer-Encoding: chunked\r\n\r\n" % JSON,
            b"HTTP/1.1 411 Length Required",
        ),
        (
            b"POST /restart HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n" % (BODY_OCTETS_MAX + 1),
            b"HTTP/1.1 413 Request Entity Too Large",
        ),
        (
            b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 2 * HEAD_OCTETS_MAX + b"\r\n\r\n",
            b"HTTP/1.1 431 Request Header Fields Too Large",
        ),
        (b"GET //[ HTTP/1.1\r\nHost: localhost\r\n\r\n", b"HTTP/1.1 400 Bad Request"),
        (
            b"POST /messages HTTP/1.1\r\nHost: [::1]:80\r\n%sContent-Length: 1\r\n\r\n{" % JSON,
            b"HTTP/1.1 400 Bad Request",
        ),
        (b"GET /nothing HTTP/1.1\r\nHost: 127.0.0.1:80\r\n\r\n", b"HTTP/1.1 404 Not Found"),
        (b"GET /restart HTTP/1.1\r\nHost: localhost:1\r\n\r\n", b"HTTP/1.1 405 Method Not Allowed"),
        (b"GET /", b""),
    ],
)
def test_what_is_no_request_is_refused(smsc: RunningCentre, octets: bytes, line: bytes) -> None:
    """By a status, and the control goes on."""
    got = raw(smsc, octets)

    assert got.replace(b"Content Too Large", b"Request Entity Too Large") == line
    assert ask(smsc, "GET", "/state")[0] == 200


@pytest.mark.parametrize(
    ("host", "is_own"),
    [
        ("localhost", True),
        ("localhost:8775", True),
        ("127.0.0.1", True),
        ("192.0.2.1:80", True),
        ("[::1]", True),
        ("[::1]:8775", True),
        ("evil.example", False),
        ("localhost.evil.example:80", False),
        ("", False),
    ],
)
def test_names_that_a_stranger_may_have_made_are_no_host(host: str, is_own: bool) -> None:
    """Addresses and localhost alone; DNS may say anything of other names."""
    assert is_own_host(host) == is_own
