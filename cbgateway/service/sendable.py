"""The last look before an order leaves: still approved, unchanged, sealed, in time, in mode."""

import json
from datetime import datetime

from cbgateway.domain.bulletin import BulletinState, Mode
from cbgateway.domain.delivery import BulletinRecord, Decision, Delivery
from cbgateway.domain.errors import (
    ExpiredError,
    ModeMismatchError,
    SignatureInvalidError,
    WorkflowError,
)
from cbgateway.domain.lifecycle import check_may_approve
from cbgateway.domain.orders import Order, decode_order, order_hash
from cbgateway.domain.ports import Transaction
from cbgateway.service.approval import DECISION, approval_document
from cbgateway.signing.canonical import canonical, digest
from cbgateway.signing.jws import verify_detached
from cbgateway.signing.seal import check_seal, open_seal


def check_sendable(tx: Transaction, delivery: Delivery, *, mode: Mode, now: datetime) -> Order:
    """Give the order of a delivery, once it is sure that it may be sent now.

    Raises:
        WorkflowError: its bulletin is not approved.
        PolicyError: the approver's permissions were taken back, or the modes differ.
        ExpiredError: its time has passed.
        SignatureInvalidError: order, plan, approval or seal do not belong together.
    """
    record = tx.bulletin(delivery.bulletin_id)
    if record is None or record.decision is None or record.state is not BulletinState.APPROVED:
        msg = f"{delivery.bulletin_id} is not approved"
        raise WorkflowError(msg)
    if record.bulletin.mode is not mode:
        msg = f"{delivery.bulletin_id} was made for mode {record.bulletin.mode}, not {mode}"
        raise ModeMismatchError(msg)
    if record.bulletin.expires <= now or delivery.expires_at <= now:
        msg = f"{delivery.bulletin_id} expired at {record.bulletin.expires.isoformat()}"
        raise ExpiredError(msg)
    _check_approval(tx, record, record.decision)
    _check_plan(tx, delivery, record.decision)
    order = decode_order(delivery.order)
    check_seal(order, open_seal(delivery.seal, tx.region_keys()))
    return order


def _check_approval(tx: Transaction, record: BulletinRecord, decision: Decision) -> None:
    """Check the approver's signature again, and that the approver still may."""

    def lookup(key_id: str) -> bytes | None:
        person = tx.person_by_key(key_id)
        return None if person is None else person.public_key

    bulletin = record.bulletin
    document = approval_document(bulletin.bulletin_id, decision.plan_hash)
    key_id = verify_detached(decision.signature, canonical(document), lookup, content=DECISION)
    approver = tx.person_by_key(key_id)
    submitter = tx.person(record.submission.submitted_by)
    if approver is None or submitter is None:
        msg = f"{bulletin.bulletin_id} was approved or submitted by somebody who is not known"
        raise SignatureInvalidError(msg)
    check_may_approve(approver, submitted_by=submitter, alert_class=bulletin.alert_class)


def _check_plan(tx: Transaction, delivery: Delivery, decision: Decision) -> None:
    """Check that this very order is part of the plan that was signed."""
    plan = json.loads(tx.plan(delivery.bulletin_id) or "{}")
    if digest(plan) != decision.plan_hash:
        msg = f"the plan of {delivery.bulletin_id} is not the one that was approved"
        raise SignatureInvalidError(msg)
    if order_hash(delivery.order) not in plan["orders"]:
        msg = f"order {delivery.delivery_id} is not part of what was approved"
        raise SignatureInvalidError(msg)
