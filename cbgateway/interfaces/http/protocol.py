"""HTTP/1.1 as uvicorn has it, with limits per connection and with refusals as problems."""

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from cbgateway.interfaces.http.limits import CONNECTIONS_MAX, HEAD_OCTETS_MAX, HEAD_TIMEOUT_S
from cbgateway.interfaces.http.problems import HEAD_TOO_LONG, HttpError, octets_of, problem_of

REASONS = {
    400: b"Bad Request",
    431: b"Request Header Fields Too Large",
    503: b"Service Unavailable",
}


class LimitedProtocol(H11Protocol):
    """One connection that cannot wait for ever, and is one of a number that is bounded."""

    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection, or turn it away when there are enough."""
        super().connection_made(transport)
        if len(self.connections) > CONNECTIONS_MAX:
            msg = f"{CONNECTIONS_MAX} connections are open already"
            self._turn_away(HttpError("too-busy", msg, {"retry-after": "1"}))
            return
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of the timer."""
        self._forget_head()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read, and begin to wait when a head has begun and has not ended."""
        if self.transport.is_closing():
            return
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._forget_head()
        elif self._head_timer is None and not self.transport.is_closing():
            self._await_head()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is not HTTP/1.1, or too large a head, with a problem."""
        octets, _ = self.conn.trailing_data
        if len(octets) > HEAD_OCTETS_MAX:
            self._turn_away(HttpError("headers-too-many", HEAD_TOO_LONG))
        else:
            self._turn_away(HttpError("framing", msg))

    def _await_head(self) -> None:
        self._head_timer = self.loop.call_later(HEAD_TIMEOUT_S, self._head_is_late)

    def _forget_head(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_is_late(self) -> None:
        """Hang up: whoever needs so long for a head only holds a place."""
        self._head_timer = None
        if not self.transport.is_closing():
            self.transport.close()

    def _turn_away(self, error: HttpError) -> None:
        status, problem, more = problem_of(error)
        body = octets_of(problem)
        headers = [
            ("content-type", "application/problem+json"),
            ("content-length", str(len(body))),
            ("connection", "close"),
            *more.items(),
        ]
        if self.conn.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            for event in (
                h11.Response(status_code=status, headers=headers, reason=REASONS[status]),
                h11.Data(data=body),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()
