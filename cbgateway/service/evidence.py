"""What became of an order, in the outbox and in the audit log at once."""

from datetime import datetime
from typing import Any

from cbgateway.domain.delivery import Delivery, Event
from cbgateway.domain.lifecycle import DeliveryState
from cbgateway.domain.outcomes import Outcome
from cbgateway.domain.ports import Transaction

GATEWAY = "gateway"
QUIET = {DeliveryState.READY, DeliveryState.INTENT}
"""States that are no news: the audit log has what was decided and what came of it."""


def settle(
    tx: Transaction,
    delivery: Delivery,
    state: DeliveryState,
    now: datetime,
    reason: str,
    **particulars: Any,  # noqa: ANN401 - as Transaction.settle takes them
) -> None:
    """Move a delivery on, and write into the audit log what came of it.

    Raises:
        WorkflowError: the state it is in now does not allow that.
    """
    tx.settle(delivery, state, at=now, reason=reason, **particulars)
    if state in QUIET:
        return
    octets = particulars.get("outcomes", delivery.outcomes)
    detail: dict[str, Any] = {
        "delivery": delivery.delivery_id,
        "peer": delivery.lineage.peer_id,
        "region": delivery.lineage.region,
        "channel": delivery.lineage.channel.value,
        "order": "stop" if delivery.is_stop else "send",
        "reason": reason[:REASON_CHARACTERS_MAX],
    }
    if octets:
        detail["outcomes"] = {one.name.lower(): octets.count(one) for one in Outcome}
    what = f"delivery-{state.value}"
    tx.record(Event(now, delivery.bulletin_id, what, GATEWAY, detail))


REASON_CHARACTERS_MAX = 1_000
"""A peer's words are data; they do not make a leaf of the audit log any longer than this."""
