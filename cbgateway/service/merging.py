"""Taking over what an offline kit did while nobody could ask the main gateway.

The kit's history is the witness: it was hashed and signed there, and its leaves about bulletins
come into the main history in order, each with the kit's name. What the kit's database adds (orders,
what became of them, what carriers call them) has to fit the plans that two people signed. Nothing
is renamed: a kit's incidents bear its name from the start.
"""

import json
from dataclasses import dataclass, field, replace
from datetime import datetime

from cbgateway.domain.delivery import BulletinRecord, Channel, Delivery, Event
from cbgateway.domain.errors import AuditError, SignatureInvalidError
from cbgateway.domain.kits import KitRecord, kit_in
from cbgateway.domain.lifecycle import DeliveryState
from cbgateway.domain.orders import order_hash
from cbgateway.domain.ports import Transaction
from cbgateway.service.approval import DECISION, approval_document
from cbgateway.service.budgets import spend
from cbgateway.service.deployment import Deployment
from cbgateway.service.evidence import GATEWAY, settle
from cbgateway.signing.canonical import canonical, digest
from cbgateway.signing.jws import verify_detached
from cbgateway.signing.seal import open_seal

MERGED = "kit-merged"
MESSAGES_MAX = 1_000_000
"""Of subscribers that are taken over at once: more than any kit's inbox holds."""
IDS_MAX = 1_000
"""Rows of message names read at once."""
OPEN = frozenset({DeliveryState.READY, DeliveryState.INTENT, DeliveryState.IN_DOUBT})


@dataclass(frozen=True, slots=True)
class Merged:
    """What was taken over.

    Attributes:
        bulletins: that were not here before.
        to_send: broadcasts that the kit had not sent; the dispatcher goes on with them.
        leaves: of the kit's history that were not here before.
    """

    bulletins: tuple[str, ...]
    to_send: int
    leaves: int


@dataclass(slots=True)
class _Adopted:
    """Orders that were taken over, by the number that each has in the kit."""

    deliveries: dict[int, Delivery] = field(default_factory=dict)
    to_send: int = 0


def merge(
    tx: Transaction, theirs: Transaction, deployment: Deployment, kit: KitRecord, *, now: datetime
) -> Merged:
    """Take over what a kit did since the last time.

    Args:
        tx: writes here.
        theirs: reads the kit; its history has been hashed anew and fits its own checkpoints.
        deployment: the main gateway's rules.
        kit: as it is known here.
        now: aware.

    Raises:
        AuditError: the kit's history is not the one of which a part was taken over: there are two
            copies of the kit, or somebody has changed it.
        SignatureInvalidError: a decision, order or seal is not what people signed.
    """
    size = theirs.audit_size()
    known = theirs.audit_root(kit.merged_size) if size >= kit.merged_size else b""
    if kit.merged_size and known != kit.merged_root:
        msg = (
            f"{kit.name}: its history is not the one whose first {kit.merged_size} leaves are "
            "here; this is another copy of the kit"
        )
        raise AuditError(msg)
    adopted = _Adopted()
    bulletins = []
    for incident in theirs.incidents():
        if kit_in(incident.incident_id) != kit.name:
            msg = f"{kit.name} has incident {incident.incident_id!r}, which is none of its own"
            raise SignatureInvalidError(msg)
        if tx.incident(incident.incident_id) is None:
            tx.add_incident(incident)
            for identifier, serial, at in theirs.serial_numbers(incident.incident_id):
                tx.put_serial_number(incident.incident_id, identifier, serial, at=at)
        for record in theirs.bulletins(incident.incident_id):
            bulletin_id = record.bulletin.bulletin_id
            if tx.bulletin_state(bulletin_id) is None:
                check_decision(tx, theirs, record)
                _take(tx, theirs, deployment, record, adopted, now=now)
                tx.watch(incident.incident_id, at=now)  # it may have promised something
                bulletins.append(bulletin_id)
    _take_names(tx, theirs, adopted)
    _take_messages(tx, theirs, kit)
    _record(tx, theirs, kit, size, tuple(bulletins), now)
    tx.put_kit(replace(kit, merged_size=size, merged_root=theirs.audit_root(size)))
    return Merged(tuple(bulletins), adopted.to_send, size - kit.merged_size)


def check_decision(tx: Transaction, theirs: Transaction, record: BulletinRecord) -> None:
    """Check that an approval was signed by somebody who is known here, over what the kit has.

    Whoever was revoked since signed it all the same: it went out, and the history says so. What of
    it has not left yet is looked at again before it does.

    Raises:
        SignatureInvalidError: it was not.
    """
    decision, bulletin_id = record.decision, record.bulletin.bulletin_id
    if decision is None or not decision.plan_hash:
        return
    document = approval_document(
        bulletin_id,
        decision.plan_hash,
        at=decision.decided_at,
        confirmation=decision.confirmation,
    )

    def lookup(key_id: str) -> bytes | None:
        key = tx.person_key(key_id)
        return None if key is None or key.holder != decision.decided_by else key.public_key

    verify_detached(decision.signature, canonical(document), lookup, content=DECISION)
    plan = json.loads(theirs.plan(bulletin_id) or "{}")
    if digest(plan) != decision.plan_hash:
        msg = f"the plan of {bulletin_id} is not the one that was approved"
        raise SignatureInvalidError(msg)
    orders = frozenset(plan["orders"])
    keys = [replace(key, is_revoked=False) for key in tx.region_keys()]
    for delivery in theirs.deliveries(bulletin_id):
        if order_hash(delivery.order) not in orders:
            msg = f"{bulletin_id} has an order that is not part of what was approved"
            raise SignatureInvalidError(msg)
        open_seal(delivery.seal, keys)


def _take(
    tx: Transaction,
    theirs: Transaction,
    deployment: Deployment,
    record: BulletinRecord,
    adopted: _Adopted,
    *,
    now: datetime,
) -> None:
    """Store a bulletin with its orders.

    A broadcast that was not sent, or is in doubt, goes on here: phones know it by its serial
    number. What is left of short messages ends: the kit may have had copies that sent them.
    """
    bulletin = record.bulletin
    tx.adopt_bulletin(record, theirs.plan(bulletin.bulletin_id))
    for delivery in theirs.deliveries(bulletin.bulletin_id):
        is_broadcast = delivery.lineage.channel is Channel.BROADCAST
        goes_on = is_broadcast and delivery.state in OPEN
        is_in_doubt = delivery.state is DeliveryState.INTENT  # the kit's process has ended
        state = DeliveryState.IN_DOUBT if is_in_doubt else delivery.state
        here = replace(delivery, state=state)
        number = tx.adopt_delivery(here, due=now if goes_on else None)
        here = replace(here, delivery_id=number)
        adopted.to_send += goes_on
        adopted.deliveries[delivery.delivery_id] = here
        if delivery.on_air is not None:
            tx.ask_on_air(here, due=delivery.on_air.asked_at)
            tx.put_on_air(here.delivery_id, delivery.on_air)
        if delivery.state in OPEN and not is_broadcast:
            reason = "not sent by the kit to everybody; the next bulletin reaches them"
            settle(tx, here, DeliveryState.SUPERSEDED, now, reason)
    for region in bulletin.regions:
        for leaf in deployment.leaves((region,)):
            if not theirs.has_spent(bulletin.bulletin_id, leaf):
                continue
            spend(tx, deployment, bulletin, leaf, now=now)
            if not tx.has_spent(bulletin.bulletin_id, leaf):
                tx.put_spent(bulletin.bulletin_id, leaf)


def _take_names(tx: Transaction, theirs: Transaction, adopted: _Adopted) -> None:
    """Take over what carriers call messages, and what receipts have told, for receipts to come."""
    after = 0
    while rows := theirs.taken_ids(after=after, limit=IDS_MAX):
        for after, peer_id, taken in rows:  # noqa: B007 - the next rows come after the last one
            here = adopted.deliveries.get(taken.delivery_id)
            if here is not None:
                ids = replace(taken, delivery_id=here.delivery_id)
                tx.add_taken_ids(peer_id, ids, recipients=here.recipients)
    for number, here in adopted.deliveries.items():
        receipts = theirs.receipt_states(number)
        if receipts is not None:
            tx.put_receipt_states(here.delivery_id, receipts.states)


def _take_messages(tx: Transaction, theirs: Transaction, kit: KitRecord) -> None:
    """Take over what subscribers wrote, the first time: a kit that was merged takes in no more."""
    if kit.merged_size:
        return
    for stored in theirs.messages(limit=MESSAGES_MAX):
        tx.add_message(stored.peer_id, stored.message, at=stored.received_at)


def _record(
    tx: Transaction,
    theirs: Transaction,
    kit: KitRecord,
    size: int,
    bulletins: tuple[str, ...],
    now: datetime,
) -> None:
    """Write into the history what the kit's history says of its incidents, leaf by leaf."""
    if size == kit.merged_size:
        return
    detail = {
        "leaves": [kit.merged_size, size],
        "root": theirs.audit_root(size).hex(),
        "bulletins": len(bulletins),
    }
    tx.record(Event(now, kit.name, MERGED, GATEWAY, detail))
    for index, event in enumerate(theirs.events()):
        subject = event.subject.partition("/")[0]
        if index >= kit.merged_size and kit_in(subject) == kit.name:
            origin = {"kit": kit.name, "leaf": index}
            tx.record(replace(event, detail={**event.detail, **origin}))
