"""Every transition of bulletins and deliveries, and the rules of approval, in one place.

Theory of operation: the tables below are the only source of what may follow what. Stores and
services ask `advance`; nothing else assigns a state. People decide about bulletins; peers'
answers, newer bulletins and time decide about deliveries.
"""

from collections.abc import Mapping
from enum import StrEnum

from cbgateway.domain.bulletin import BulletinState, Person
from cbgateway.domain.errors import PermissionDeniedError, SamePersonError, WorkflowError


class DeliveryState(StrEnum):
    """Where one order at one peer stands. Every delivery ends in a named state."""

    READY = "ready"
    """Committed, nothing left this machine."""
    INTENT = "intent"
    """Committed that it is about to be sent; after a crash it may or may not have been."""
    ACKED = "acked"
    """The peer said yes."""
    REFUSED = "refused"
    """The peer said no, or the gateway's own check before sending did."""
    IN_DOUBT = "in_doubt"
    """Sent, and no answer came; it may or may not be on air."""
    EXPIRED = "expired"
    """Its time passed before the peer could be asked."""
    SUPERSEDED = "superseded"
    """A newer bulletin came first; this one never left."""
    CANCELLED = "cancelled"
    """There was nothing left to do, such as stopping what never was on air."""


BULLETIN_TRANSITIONS: Mapping[BulletinState, frozenset[BulletinState]] = {
    BulletinState.PENDING: frozenset(
        {BulletinState.APPROVED, BulletinState.REJECTED, BulletinState.SUPERSEDED}
    ),
    BulletinState.REJECTED: frozenset(),
    BulletinState.APPROVED: frozenset({BulletinState.SUPERSEDED}),
    BulletinState.SUPERSEDED: frozenset(),
}

DELIVERY_TRANSITIONS: Mapping[DeliveryState, frozenset[DeliveryState]] = {
    DeliveryState.READY: frozenset(
        {
            DeliveryState.INTENT,
            DeliveryState.REFUSED,
            DeliveryState.EXPIRED,
            DeliveryState.SUPERSEDED,
            DeliveryState.CANCELLED,
        }
    ),
    DeliveryState.INTENT: frozenset(
        {
            DeliveryState.READY,
            DeliveryState.ACKED,
            DeliveryState.REFUSED,
            DeliveryState.IN_DOUBT,
        }
    ),
    DeliveryState.IN_DOUBT: frozenset(
        {
            DeliveryState.INTENT,
            DeliveryState.EXPIRED,
            DeliveryState.SUPERSEDED,
        }
    ),
    DeliveryState.ACKED: frozenset(),
    DeliveryState.REFUSED: frozenset(),
    DeliveryState.EXPIRED: frozenset(),
    DeliveryState.SUPERSEDED: frozenset(),
    DeliveryState.CANCELLED: frozenset(),
}


def advance_bulletin(state: BulletinState, to: BulletinState) -> BulletinState:
    """Give `to` when it may follow `state`.

    Raises:
        WorkflowError: it may not.
    """
    if to not in BULLETIN_TRANSITIONS[state]:
        msg = f"the bulletin is {state}; it cannot become {to}"
        raise WorkflowError(msg)
    return to


def advance_delivery(state: DeliveryState, to: DeliveryState) -> DeliveryState:
    """Give `to` when it may follow `state`.

    Raises:
        WorkflowError: it may not.
    """
    if to not in DELIVERY_TRANSITIONS[state]:
        msg = f"the delivery is {state}; it cannot become {to}"
        raise WorkflowError(msg)
    return to


def check_may_submit(person: Person, *, alert_class: str) -> None:
    """Refuse somebody who may not issue bulletins of this class.

    Raises:
        PermissionDeniedError: with what is missing.
    """
    if person.is_revoked:
        msg = f"the permissions of {person.name!r} were revoked"
        raise PermissionDeniedError(msg)
    if not person.may_submit:
        msg = f"{person.name!r} may not submit bulletins"
        raise PermissionDeniedError(msg)
    _check_class(person, alert_class)


def check_may_approve(person: Person, *, submitted_by: Person, alert_class: str) -> None:
    """Refuse an approver who is not a second person, or may not approve this class.

    Two names with one key are one person.

    Raises:
        SamePersonError: the approver submitted the bulletin, or shares the submitter's key.
        PermissionDeniedError: the approver may not approve it.
    """
    if person.name == submitted_by.name or person.public_key == submitted_by.public_key:
        msg = f"{person.name!r} submitted this bulletin; somebody else has to decide"
        raise SamePersonError(msg)
    if person.is_revoked:
        msg = f"the permissions of {person.name!r} were revoked"
        raise PermissionDeniedError(msg)
    if not person.may_approve:
        msg = f"{person.name!r} may not approve bulletins"
        raise PermissionDeniedError(msg)
    _check_class(person, alert_class)


def _check_class(person: Person, alert_class: str) -> None:
    if alert_class not in person.classes:
        msg = f"{person.name!r} may not use class {alert_class!r}, only {', '.join(person.classes)}"
        raise PermissionDeniedError(msg)
