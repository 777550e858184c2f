"""The broadcast centre's side of a CBSP session, without its socket (TS 48.049).

Theory of operation: the session is STARTING until its first KEEP-ALIVE is answered, then UP, and
CLOSED in the end; who has connected to whom makes no difference. Every request has a timer. CBSP
has no transaction numbers: an answer belongs to the request of its kind with the same message
identifier and serial number, so two requests that share these are never in flight together. An
answer that comes after its request was given up is known for a while and counts for nothing; too
many answers to nothing, or messages that cannot be read, end the session. RESET is never sent.
"""

from collections import deque
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

from cbgateway.codec import cbsp

MESSAGE_TIMEOUT_S = 10.0
"""A message has to end so long after its beginning: a length that lies holds up no more."""
STRAY_ANSWERS_MAX = 3
"""Answers to nothing before the session ends."""
UNREADABLE_MAX = 3
"""Messages that cannot be read, or that a controller has no business to send, before that."""
LATE_MAX = 64
"""Requests that were given up and are remembered, so that their answers are no strays."""
UNASKED_MAX = 5_000
UNASKED_WINDOW_S = 10.0
"""Most RESTART, FAILURE and ERROR INDICATION in a while: more than a controller has cells."""


class Timers(Protocol):
    """What a session has to know of its peer's profile."""

    @property
    def keep_alive_interval_s(self) -> float:
        """Seconds between two KEEP-ALIVE."""
        ...

    @property
    def keep_alive_timeout_s(self) -> float:
        """How long the answer may take."""
        ...

    @property
    def response_timeout_s(self) -> float:
        """How long any other answer may take."""
        ...


class State(Enum):
    """Where the session stands."""

    STARTING = "starting"
    UP = "up"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Up:
    """The controller answers."""


@dataclass(frozen=True, slots=True)
class Answered:
    """A request was answered.

    Attributes:
        token: what the request was made with.
        message: the answer.
    """

    token: Any
    message: cbsp.Message


@dataclass(frozen=True, slots=True)
class Unanswered:
    """A request was sent, and no answer came in time."""

    token: Any


@dataclass(frozen=True, slots=True)
class Told:
    """The controller said something unasked: RESTART, FAILURE or ERROR INDICATION."""

    message: cbsp.Restart | cbsp.Failure | cbsp.ErrorIndication


@dataclass(frozen=True, slots=True)
class Alive:
    """A KEEP-ALIVE was answered.

    Attributes:
        round_trip_s: how long that took.
    """

    round_trip_s: float


@dataclass(frozen=True, slots=True)
class Closed:
    """The session has ended; no further event follows."""

    reason: str


Request = cbsp.WriteReplace | cbsp.Kill | cbsp.MessageStatusQuery | cbsp.LoadQuery | cbsp.SetDrx
Key = tuple[int, int, int]
"""Type of the request, message identifier and serial number; zeros where there are none."""

_KIND = cbsp.MessageType
_ASKED_BY: dict[type[cbsp.Message], int] = {
    cbsp.WriteReplaceComplete: _KIND.WRITE_REPLACE,
    cbsp.WriteReplaceFailure: _KIND.WRITE_REPLACE,
    cbsp.KillComplete: _KIND.KILL,
    cbsp.KillFailure: _KIND.KILL,
    cbsp.MessageStatusQueryComplete: _KIND.MESSAGE_STATUS_QUERY,
    cbsp.MessageStatusQueryFailure: _KIND.MESSAGE_STATUS_QUERY,
    cbsp.LoadQueryComplete: _KIND.LOAD_QUERY,
    cbsp.LoadQueryFailure: _KIND.LOAD_QUERY,
    cbsp.SetDrxComplete: _KIND.SET_DRX,
    cbsp.SetDrxFailure: _KIND.SET_DRX,
}
"""Which request each answer answers."""


def key_of(message: cbsp.Message, kind: int) -> Key:
    """Give what a request and its answer have in common."""
    identifier: int = getattr(message, "message_identifier", 0)
    new: int | None = getattr(message, "new_serial_number", None)
    old: int | None = getattr(message, "old_serial_number", None)
    return kind, identifier, (old or 0) if new is None else new


class CbspSession:
    """One connection with one controller. Implements `carriers.base.Session`."""

    def __init__(self, timers: Timers) -> None:
        """Make a session that sends KEEP-ALIVE on its first tick."""
        self.state = State.STARTING
        self._timers = timers
        self._framer = cbsp.Framer()
        self._requests: dict[Key, tuple[float, Any]] = {}
        self._late: deque[Key] = deque(maxlen=LATE_MAX)
        self._out: list[bytes] = []
        self._keep_alive_at: float | None = None
        self._asked_alive_at: float | None = None
        self._message_due: float | None = None
        self._strays = 0
        self._unreadable = 0
        self._unasked = 0
        self._unasked_since = 0.0

    def may_request(self, message: Request) -> bool:
        """Tell whether a request can be made now."""
        return self.state is State.UP and key_of(message, message.TYPE) not in self._requests

    def request(self, message: Request, *, token: object, now: float) -> None:
        """Send a request; an `Answered` or `Unanswered` event with `token` follows.

        Raises:
            ValueError: `may_request` is False.
            EncodeError: it cannot be written; nothing was sent.
        """
        key = key_of(message, message.TYPE)
        if not self.may_request(message):
            msg = f"the session is {self.state.value}, or {key} is in flight"
            raise ValueError(msg)
        octets = cbsp.encode(message)
        self._requests[key] = (now + self._timers.response_timeout_s, token)
        self._out.append(octets)

    def receive(self, octets: bytes, *, now: float) -> list[object]:
        """Take octets from the controller; see `carriers.base.Session`."""
        items = self._framer.receive(octets)
        if not self._framer.is_incomplete:
            self._message_due = None
        elif items or self._message_due is None:
            self._message_due = now + MESSAGE_TIMEOUT_S
        events: list[object] = []
        for item in items:
            if self.state is State.CLOSED:
                break
            if isinstance(item, cbsp.Unparsed):
                events += self._on_unparsed(item)
            else:
                events += self._on_message(item, now=now)
        return events

    def tick(self, *, now: float) -> list[object]:
        """Let time pass; see `carriers.base.Session`."""
        if self.state is State.CLOSED:
            return []
        if self._message_due is not None and now >= self._message_due:
            return self._close(f"a message did not end within {MESSAGE_TIMEOUT_S:.0f} s")
        events: list[object] = []
        for key in [key for key, (due, _) in self._requests.items() if due <= now]:
            self._late.append(key)
            events.append(Unanswered(self._requests.pop(key)[1]))
        if self._asked_alive_at is not None:
            if now >= self._asked_alive_at + self._timers.keep_alive_timeout_s:
                return events + self._close("no answer to KEEP-ALIVE")
        elif self._keep_alive_at is None or now >= self._keep_alive_at:
            period = cbsp.period_code(self._timers.keep_alive_interval_s)
            self._out.append(cbsp.encode(cbsp.KeepAlive(period)))
            self._asked_alive_at = now
        return events

    def next_tick(self) -> float | None:
        """Give when `tick` has something to do."""
        if self.state is State.CLOSED:
            return None
        alive = self._keep_alive_at
        if self._asked_alive_at is not None:
            alive = self._asked_alive_at + self._timers.keep_alive_timeout_s
        times = [alive, self._message_due, *(due for due, _ in self._requests.values())]
        return min((at for at in times if at is not None), default=None)

    def outgoing(self) -> bytes:
        """Give the octets to send now, each once."""
        octets = b"".join(self._out)
        self._out.clear()
        return octets

    def is_closed(self) -> bool:
        """Tell whether the connection may be closed."""
        return self.state is State.CLOSED

    def lost(self) -> list[object]:
        """Learn that the connection is gone."""
        if self.state is State.CLOSED:
            return []
        return self._close("the connection was lost")

    def close(self) -> list[object]:
        """End the session; CBSP has no goodbye."""
        return [] if self.state is State.CLOSED else self._close("closed by us")

    def _on_message(self, message: cbsp.Message, *, now: float) -> list[object]:
        match message:
            case cbsp.KeepAliveComplete():
                return self._on_alive(now=now)
            case cbsp.ErrorIndication():
                return self._on_told(message, now=now) + self._on_error(message)
            case cbsp.Restart() | cbsp.Failure():
                return self._on_told(message, now=now)
            case _:
                return self._on_answer(message)

    def _on_answer(self, message: cbsp.Message) -> list[object]:
        kind = _ASKED_BY.get(type(message))
        if kind is None:  # RESET has no answer either, since it is never sent
            return self._on_unreadable(cbsp.Cause.UNRECOGNISED_MESSAGE)
        key = key_of(message, kind)
        entry = self._requests.pop(key, None)
        if entry is not None:
            return [Answered(entry[1], message)]
        if key in self._late:
            self._late.remove(key)
            return []
        return self._on_stray()

    def _on_alive(self, *, now: float) -> list[object]:
        if self._asked_alive_at is None:
            return self._on_stray()
        round_trip_s = now - self._asked_alive_at
        self._keep_alive_at = self._asked_alive_at + self._timers.keep_alive_interval_s
        self._asked_alive_at = None
        if self.state is State.UP:
            return [Alive(round_trip_s)]
        self.state = State.UP
        return [Up(), Alive(round_trip_s)]

    def _on_told(
        self, message: cbsp.Restart | cbsp.Failure | cbsp.ErrorIndication, *, now: float
    ) -> list[object]:
        if now - self._unasked_since > UNASKED_WINDOW_S:
            self._unasked, self._unasked_since = 0, now
        self._unasked += 1
        if self._unasked > UNASKED_MAX:
            return self._close(f"more than {UNASKED_MAX} messages that nobody asked for")
        return [Told(message)]

    def _on_error(self, message: cbsp.ErrorIndication) -> list[object]:
        """Give up the request that an ERROR INDICATION names: no other answer will come."""
        serials = {message.new_serial_number, message.old_serial_number}
        named = [
            key
            for key in self._requests
            if message.message_identifier == key[1] and key[2] in serials
        ]
        return [Answered(self._requests.pop(key)[1], message) for key in named]

    def _on_unparsed(self, item: cbsp.Unparsed) -> list[object]:
        if item.error.framing_lost:
            self._out.append(cbsp.encode(cbsp.ErrorIndication(item.error.cause)))
            return self._close(f"the controller broke the protocol: {item.error}")
        return self._on_unreadable(item.error.cause)

    def _on_unreadable(self, cause: cbsp.Cause) -> list[object]:
        """Say so; whatever it was to answer runs into its timer."""
        self._out.append(cbsp.encode(cbsp.ErrorIndication(cause)))
        self._unreadable += 1
        if self._unreadable >= UNREADABLE_MAX:
            return self._close(f"{self._unreadable} messages that cannot be read")
        return []

    def _on_stray(self) -> list[object]:
        self._strays += 1
        if self._strays >= STRAY_ANSWERS_MAX:
            return self._close(f"{self._strays} answers to nothing that was asked")
        return []

    def _close(self, reason: str) -> list[object]:
        self.state = State.CLOSED
        unanswered = [Unanswered(token) for _, token in self._requests.values()]
        self._requests.clear()
        return [*unanswered, Closed(reason)]
