"""Named places in the delivery path where a campaign may stop the process.

Nothing happens at a failpoint unless somebody arms them; `app` arms them from the environment and
refuses to in mode live. A name marks a place between two durable steps, so that stopping at each
of them in turn covers every crash that matters.
"""

from collections.abc import Callable

FAILPOINTS = (
    "serial.claimed",  # the second file has the number, the database does not
    "approve.written",  # everything is in the transaction, nothing is committed
    "approve.committed",  # committed, and nobody was told
    "intent.committed",  # the order is about to leave
    "send.begun",  # octets were handed to the link
    "send.answered",  # the peer has answered, the outcome is not committed
    "outcome.committed",  # all is known
    "window.committed",  # a window of recipients is about to leave
    "recover.written",  # recovery is in the transaction, not committed
    "http.committed",  # a request's work is committed, its answer is not sent
    "mqtt.committed",  # a command's work is committed, its receipt is not sent
    "mqtt.answered",  # receipts have reached the broker, nothing is acknowledged
    "checkpoint.signed",  # the audit checkpoint is signed, not yet witnessed
)

INTAKE_FAILPOINTS = (
    "http.read",  # it is known who asks, and nothing was done
    "http.written",  # a request's work and its answer are in the transaction, not committed
    "http.committed",
    "http.answered",  # its answer was handed to the connection
    "mqtt.read",  # a command was read, and nothing was done
    "mqtt.written",  # a command's work and its receipt are in the transaction, not committed
    "mqtt.committed",
    "mqtt.answered",
    "mqtt.acknowledged",  # the broker was told that they were taken
)
"""Every step between a request and its answer; storms, which have neither HTTP nor MQTT, draw from
the list above."""

KNOWN = tuple(dict.fromkeys((*FAILPOINTS, *INTAKE_FAILPOINTS)))

_handler: Callable[[str], None] | None = None


def arm(handler: Callable[[str], None] | None) -> None:
    """Have `handler` called with the name of every failpoint that is passed; None disarms."""
    global _handler  # noqa: PLW0603 - one process, one campaign
    _handler = handler


def passing(name: str) -> None:
    """Pass a failpoint."""
    if _handler is not None:
        assert name in KNOWN, name  # noqa: S101 - our own invariant
        _handler(name)
