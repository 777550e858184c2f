"""The last look before an order leaves: still approved, unchanged, sealed, in time, in mode."""

import json
from datetime import datetime, timedelta
from functools import lru_cache

from cbgateway.domain.bulletin import BulletinState
from cbgateway.domain.delivery import BulletinRecord, Decision, Delivery
from cbgateway.domain.errors import (
    ExpiredError,
    ModeMismatchError,
    SignatureInvalidError,
    WorkflowError,
)
from cbgateway.domain.orders import Order, decode_order, order_hash
from cbgateway.domain.ports import Transaction
from cbgateway.service.approval import approval_document, decider
from cbgateway.service.authority import check_submitter
from cbgateway.service.deployment import Deployment
from cbgateway.signing.canonical import digest
from cbgateway.signing.seal import Seal, check_seal, open_seal

PLANS_MAX = 16
"""Plans that are remembered; more bulletins are hardly ever on their way at once."""


def is_lapsed(deployment: Deployment, record: BulletinRecord, *, now: datetime) -> bool:
    """Tell whether an approval has become too old, with nothing of its bulletin sent yet.

    What is never blocked does not lapse.
    """
    if record.state is not BulletinState.APPROVED or record.decision is None:
        return False
    if deployment.is_urgent(record.bulletin.kind):
        return False
    valid = timedelta(seconds=deployment.country.approval_valid_s)
    return record.decision.decided_at + valid < now


def check_sendable(
    tx: Transaction,
    deployment: Deployment,
    record: BulletinRecord,
    delivery: Delivery,
    *,
    now: datetime,
) -> Order:
    """Give the order of a delivery, once it is sure that it may be sent now.

    Raises:
        WorkflowError: its bulletin is not approved.
        PolicyError: somebody's permissions were taken back, or the modes differ.
        ExpiredError: its time has passed.
        SignatureInvalidError: order, plan, approval or seal do not belong together, or a key
            was revoked.
    """
    decision = record.decision
    if decision is None or record.state not in {BulletinState.APPROVED, BulletinState.LIVE}:
        msg = f"{delivery.bulletin_id} is {record.state}, not approved"
        raise WorkflowError(msg)
    if record.bulletin.mode is not deployment.mode:
        msg = f"{delivery.bulletin_id} is for mode {record.bulletin.mode}, not {deployment.mode}"
        raise ModeMismatchError(msg)
    if record.bulletin.expires <= now or delivery.expires_at <= now:
        msg = f"{delivery.bulletin_id} expired at {record.bulletin.expires.isoformat()}"
        raise ExpiredError(msg)
    check_authority(tx, deployment, record, decision)
    _check_plan(tx, delivery, decision)
    order = decode_order(delivery.order)
    check_seal(order, _open_seal(tx, delivery.seal))
    return order


def check_authority(
    tx: Transaction, deployment: Deployment, record: BulletinRecord, decision: Decision
) -> None:
    """Check again that those who submitted and approved may, and that their keys still count.

    Orders of one bulletin that leave together are spared the same look.

    Raises:
        PolicyError: somebody may not, any more.
        SignatureInvalidError: a signature or its key does not count, any more.
    """
    bulletin_id = record.bulletin.bulletin_id

    def check() -> None:
        document = approval_document(
            bulletin_id,
            decision.plan_hash,
            at=decision.decided_at,
            confirmation=decision.confirmation,
        )
        decider(tx, deployment, record, document, decision.signature, at=decision.decided_at)
        check_submitter(tx, record)

    key = ("authority", bulletin_id, record.submission, decision, tx.count("authority"))
    tx.once(key, check)


def _open_seal(tx: Transaction, seal: str) -> Seal:
    key = ("seal", seal, tx.count("authority"))
    return tx.once(key, lambda: open_seal(seal, tx.region_keys()))


def _check_plan(tx: Transaction, delivery: Delivery, decision: Decision) -> None:
    """Check that this very order is part of the plan that was signed."""
    key = ("plan", delivery.bulletin_id, decision)
    plan_hash, orders = tx.once(key, lambda: _read_plan(tx.plan(delivery.bulletin_id) or "{}"))
    if plan_hash != decision.plan_hash:
        msg = f"the plan of {delivery.bulletin_id} is not the one that was approved"
        raise SignatureInvalidError(msg)
    if order_hash(delivery.order) not in orders:
        msg = f"order {delivery.delivery_id} is not part of what was approved"
        raise SignatureInvalidError(msg)


@lru_cache(maxsize=PLANS_MAX)
def _read_plan(document: str) -> tuple[str, frozenset[str]]:
    """Give a plan's hash and the hashes of its orders.

    The text is read from the store for every commit, and looked into once: a plan for a thousand
    controllers names two thousand orders, and hashing it for each of them would take seconds.
    """
    plan = json.loads(document)
    return digest(plan), frozenset(plan.get("orders", ()))
