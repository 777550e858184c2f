"""Every transition of incidents, bulletins and deliveries, in one place.

Theory of operation: the tables below are the only source of what may follow what. Stores and
services ask `advance_*`; nothing else assigns a state. People decide about incidents and
bulletins; peers' answers, newer bulletins and time decide about deliveries. The diagrams in
docs/states.md are drawn from these tables by `mermaid`.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

from cbgateway.domain.bulletin import BulletinState
from cbgateway.domain.errors import WorkflowError
from cbgateway.domain.incident import IncidentState

S = TypeVar("S", bound=StrEnum)
Transitions = Mapping[S, frozenset[S]]


class DeliveryState(StrEnum):
    """Where one order at one peer stands. Every delivery ends in a named state."""

    READY = "ready"
    """Committed; nothing is under way."""
    INTENT = "intent"
    """Committed that it is about to be sent; after a crash it may or may not have been."""
    ACKED = "acked"
    """The peer said yes."""
    REFUSED = "refused"
    """The peer said no, or the gateway's own check before sending did."""
    IN_DOUBT = "in_doubt"
    """Sent, and no answer came; it may or may not be on air."""
    DELIVERED = "delivered"
    """A receipt says that it arrived."""
    EXPIRED = "expired"
    """Its time passed."""
    SUPERSEDED = "superseded"
    """A newer bulletin came; what was not sent by then never is."""
    CANCELLED = "cancelled"
    """There was nothing left to do, such as stopping what never was on air."""


_I = IncidentState
INCIDENT_TRANSITIONS: Transitions[IncidentState] = {
    _I.SUSPECTED: frozenset({_I.INVESTIGATING, _I.IDENTIFIED, _I.FALSE_ALARM}),
    _I.INVESTIGATING: frozenset({_I.IDENTIFIED, _I.MONITORING, _I.RESTORED, _I.FALSE_ALARM}),
    _I.IDENTIFIED: frozenset({_I.INVESTIGATING, _I.MONITORING, _I.RESTORED, _I.FALSE_ALARM}),
    _I.MONITORING: frozenset({_I.INVESTIGATING, _I.IDENTIFIED, _I.RESTORED, _I.FALSE_ALARM}),
    _I.RESTORED: frozenset({_I.INVESTIGATING, _I.IDENTIFIED, _I.POSTMORTEM}),
    _I.POSTMORTEM: frozenset(),
    _I.FALSE_ALARM: frozenset(),
}

_B = BulletinState
BULLETIN_TRANSITIONS: Transitions[BulletinState] = {
    _B.DRAFT: frozenset({_B.PENDING, _B.SUPERSEDED, _B.WITHDRAWN}),
    _B.PENDING: frozenset(
        {_B.APPROVED, _B.RETURNED, _B.REJECTED, _B.SUPERSEDED, _B.EXPIRED, _B.WITHDRAWN}
    ),
    _B.RETURNED: frozenset({_B.PENDING, _B.SUPERSEDED, _B.EXPIRED, _B.WITHDRAWN}),
    _B.REJECTED: frozenset(),
    _B.APPROVED: frozenset({_B.LIVE, _B.RETURNED, _B.SUPERSEDED, _B.EXPIRED, _B.WITHDRAWN}),
    _B.LIVE: frozenset({_B.SUPERSEDED, _B.EXPIRED, _B.WITHDRAWN}),
    _B.SUPERSEDED: frozenset(),
    _B.EXPIRED: frozenset(),
    _B.WITHDRAWN: frozenset(),
}

_D = DeliveryState
DELIVERY_TRANSITIONS: Transitions[DeliveryState] = {
    _D.READY: frozenset({_D.INTENT, _D.REFUSED, _D.EXPIRED, _D.SUPERSEDED, _D.CANCELLED}),
    _D.INTENT: frozenset({_D.READY, _D.ACKED, _D.REFUSED, _D.IN_DOUBT, _D.SUPERSEDED}),
    _D.IN_DOUBT: frozenset(
        {_D.READY, _D.INTENT, _D.ACKED, _D.REFUSED, _D.DELIVERED, _D.EXPIRED, _D.SUPERSEDED}
    ),
    _D.ACKED: frozenset({_D.DELIVERED}),
    _D.REFUSED: frozenset(),
    _D.DELIVERED: frozenset(),
    _D.EXPIRED: frozenset(),
    _D.SUPERSEDED: frozenset(),
    _D.CANCELLED: frozenset(),
}


def advance_incident(state: IncidentState, to: IncidentState) -> IncidentState:
    """Give `to` when it may follow `state`.

    Raises:
        WorkflowError: it may not.
    """
    return _advance(INCIDENT_TRANSITIONS, "incident", state, to)


def advance_bulletin(state: BulletinState, to: BulletinState) -> BulletinState:
    """Give `to` when it may follow `state`.

    Raises:
        WorkflowError: it may not.
    """
    return _advance(BULLETIN_TRANSITIONS, "bulletin", state, to)


def advance_delivery(state: DeliveryState, to: DeliveryState) -> DeliveryState:
    """Give `to` when it may follow `state`.

    Raises:
        WorkflowError: it may not.
    """
    return _advance(DELIVERY_TRANSITIONS, "delivery", state, to)


def _advance(table: Transitions[S], what: str, state: S, to: S) -> S:
    if to not in table[state]:
        after = ", ".join(sorted(table[state])) or "nothing"
        msg = f"the {what} is {state}; it cannot become {to} ({after} may follow)"
        raise WorkflowError(msg)
    return to


def mermaid(table: Transitions[S]) -> str:
    """Draw a transition table as a Mermaid state diagram."""
    lines = ["stateDiagram-v2"]
    for state, following in table.items():
        lines += [f"    {state} --> {to}" for to in sorted(following)]
        if not following:
            lines.append(f"    {state} --> [*]")
    return "\n".join(lines)
