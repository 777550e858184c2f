"""Slow, broken and greedy clients: each costs no more than its limit says."""

import asyncio
import socket
from typing import Any

import pytest

from cbgateway.domain.errors import ConfigurationError, DiskFullError, StoreFailedError
from cbgateway.interfaces.http import protocol, requests, writing
from cbgateway.interfaces.http.limits import HEAD_OCTETS_MAX
from cbgateway.interfaces.http.server import listen
from tests.front import Front


def connect(front: Front) -> socket.socket:
    """Open a connection."""
    host, port = front.host.split(":")
    return socket.create_connection((host, int(port)), timeout=5)


def to_the_end(line: socket.socket) -> bytes:
    """Read until the server hangs up."""
    return b"".join(iter(lambda: line.recv(65_536), b""))


@pytest.mark.parametrize("begun", [b"", b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: "])
def test_head_that_never_ends(front: Front, monkeypatch: pytest.MonkeyPatch, begun: bytes) -> None:
    """Whoever says nothing, or says it for ever, is hung up on."""
    monkeypatch.setattr(protocol, "HEAD_TIMEOUT_S", 0.05)
    with connect(front) as line:
        line.sendall(begun)

        assert b"" == to_the_end(line)


def test_second_head_that_never_ends(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that has been good is no excuse."""
    monkeypatch.setattr(protocol, "HEAD_TIMEOUT_S", 0.05)
    with connect(front) as line:
        line.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert line.recv(12) == b"HTTP/1.1 200"
        line.sendall(b"GET /hea")

        assert to_the_end(line).endswith(b'{"status": "ok"}')


def test_head_that_grows_for_ever(front: Front) -> None:
    """Refused as soon as it is too long, without waiting for its end."""
    with connect(front) as line:
        line.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * HEAD_OCTETS_MAX)
        answer = to_the_end(line)

    assert answer.startswith(b"HTTP/1.1 431")
    assert b"urn:cbgateway:problem:headers-too-many" in answer


def test_body_that_never_ends(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    """Told, and hung up on."""
    monkeypatch.setattr(requests, "BODY_TIMEOUT_S", 0.05)
    with connect(front) as line:
        head = "POST /v1/incidents HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{"
        line.sendall(head.encode())
        answer = to_the_end(line)

    assert answer.startswith(b"HTTP/1.1 408")
    assert b"urn:cbgateway:problem:body-timeout" in answer


def test_connections_are_a_bounded_number(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    """One more is told so; when one has gone there is room again."""
    monkeypatch.setattr(protocol, "CONNECTIONS_MAX", 1)
    front.client.close()
    with connect(front) as first:
        first.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert first.recv(12) == b"HTTP/1.1 200"
        with connect(front) as second:
            answer = to_the_end(second)

        assert answer.startswith(b"HTTP/1.1 503")
        assert b"urn:cbgateway:problem:too-busy" in answer


def test_what_is_no_http_is_refused(front: Front) -> None:
    """An SMPP client on the wrong port, say."""
    with connect(front) as line:
        line.sendall(bytes.fromhex("00000010000000150000000000000001") + b"\r\n\r\n")
        answer = to_the_end(line)

    assert answer.startswith(b"HTTP/1.1 400")
    assert b"urn:cbgateway:problem:framing" in answer


def failing(error: Exception) -> Any:
    """Give a commit that fails."""

    async def commit_together(*_: Any) -> None:
        raise error

    return commit_together


@pytest.mark.parametrize(
    ("error", "status", "name"),
    [
        (DiskFullError("the disk is full"), 507, "disk-full"),
        (StoreFailedError("the disk failed"), 503, "store-failed"),
        (RuntimeError("a fault of ours, with a secret"), 500, "internal"),
    ],
)
def test_failure_of_the_store_is_no_acceptance(
    front: Front, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int, name: str
) -> None:
    """What was not committed is not accepted, and what went wrong inside stays inside."""
    monkeypatch.setattr("cbgateway.desk.Desk.commit_together", failing(error))
    refused = front.submit(front.office.document())

    assert (status, f"urn:cbgateway:problem:{name}") == (
        refused.status_code,
        refused.json()["type"],
    )
    assert "secret" not in refused.text


def test_answer_that_takes_too_long(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client is told that it does not know what became of it."""

    async def never(*_: Any) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(writing, "ANSWER_TIMEOUT_S", 0.05)
    monkeypatch.setattr("cbgateway.desk.Desk.commit_together", never)
    late = front.submit(front.office.document())

    assert (504, "urn:cbgateway:problem:answer-timeout") == (
        late.status_code,
        late.json()["type"],
    )


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_answers_do_not_wait_for_acknowledgements(host: str) -> None:
    """Asyncio turns Nagle's algorithm off for sockets that name their protocol alone."""
    with listen(host, 0).socket as listener:
        assert listener.proto == socket.IPPROTO_TCP


def test_port_that_is_taken(front: Front) -> None:
    """The gateway does not start, and says which port it is."""
    host, port = front.host.split(":")
    with pytest.raises(ConfigurationError, match=f"cannot listen on {host}:{port}"):
        listen(host, int(port))
