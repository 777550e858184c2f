"""What every carrier interface has in common: an association without its socket."""

from typing import Protocol


class Session(Protocol):
    """Octets and time in, octets and events out.

    `now` is monotonic seconds; a session never reads a clock. Octets may arrive in any pieces.
    """

    def receive(self, octets: bytes, *, now: float) -> list[object]:
        """Take octets from the peer; gives what happened."""
        ...

    def tick(self, *, now: float) -> list[object]:
        """Let time pass; gives what happened."""
        ...

    def next_tick(self) -> float | None:
        """Give when `tick` wants to be called at the latest; None when nothing is waited for."""
        ...

    def outgoing(self) -> bytes:
        """Give the octets to send now, each once."""
        ...

    def is_closed(self) -> bool:
        """Tell whether the association has ended, so that the connection may be closed."""
        ...

    def lost(self) -> list[object]:
        """Learn that the connection is gone; gives what happened."""
        ...
