"""The second person's decision: look at what would go out, sign it, and it is committed.

Approval, plan, serial numbers, budgets and outbox are one transaction. Nothing is sent here; the
dispatcher finds the outbox rows after the commit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from cbgateway.domain.broadcast import Broadcast, SerialNumber
from cbgateway.domain.bulletin import Bulletin, BulletinKind, BulletinState, Person
from cbgateway.domain.delivery import BulletinRecord, Decision, Event
from cbgateway.domain.errors import (
    BudgetExhaustedError,
    ExpiredError,
    InputError,
    PermissionDeniedError,
    SerialsExhaustedError,
    SignatureInvalidError,
    StaleError,
    UnknownNameError,
)
from cbgateway.domain.incident import IncidentState
from cbgateway.domain.lifecycle import advance_bulletin, check_may_approve
from cbgateway.domain.ports import Transaction
from cbgateway.domain.rate import Empty, TokenBucket
from cbgateway.profiles.models import AlertClass
from cbgateway.service.deployment import Deployment
from cbgateway.service.planning import Plan, encode_texts, next_serial, plan
from cbgateway.signing.canonical import canonical
from cbgateway.signing.jws import verify_detached
from cbgateway.signing.keys import SigningKey
from cbgateway.signing.seal import make_seal

DECISION = "cbgateway-decision-1"
"""Content name of an approver's signature."""

SERIAL_MARGIN_S = 3600
"""Added to the phones' duplicate window, for clocks that differ."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """What the second person looks at before deciding."""

    record: BulletinRecord
    plan: Plan


def prepare(
    tx: Transaction, deployment: Deployment, bulletin_id: str, *, now: datetime
) -> Prepared:
    """Work out what an approval would send now; stores nothing.

    Raises:
        UnknownNameError: no such bulletin.
        WorkflowError: it is not pending; a later bulletin of the incident may have taken its place.
        ExpiredError: its time has passed.
    """
    record = _record(tx, bulletin_id)
    advance_bulletin(record.state, BulletinState.APPROVED)
    bulletin = record.bulletin
    if bulletin.expires <= now:
        msg = f"{bulletin_id} expired at {bulletin.expires.isoformat()}; submit it again"
        raise ExpiredError(msg)
    codings = encode_texts(deployment, bulletin.alert_class, bulletin.texts)
    identifiers = {coding.message_identifier for coding in codings.values()}
    return Prepared(
        record,
        plan(
            deployment,
            bulletin,
            content_hash=record.submission.content_hash,
            serials={
                identifier: _serial(tx, deployment, bulletin.incident_id, identifier, now)
                for identifier in sorted(identifiers)
            },
            live=tx.live_broadcasts(bulletin.incident_id),
            recipients={
                code: tx.recipients(code, _leaves(deployment, bulletin.regions))
                for code in deployment.carriers
            },
        ),
    )


def approval_document(bulletin_id: str, plan_hash: str) -> dict[str, Any]:
    """Give what an approver signs."""
    return {"decision": "approve", "bulletin": bulletin_id, "plan": plan_hash}


def rejection_document(bulletin_id: str, reason: str) -> dict[str, Any]:
    """Give what somebody who rejects signs."""
    return {"decision": "reject", "bulletin": bulletin_id, "reason": reason}


def approve(
    tx: Transaction,
    deployment: Deployment,
    bulletin_id: str,
    *,
    plan_hash: str,
    signature: str,
    seal_keys: Mapping[str, SigningKey],
    now: datetime,
) -> BulletinRecord:
    """Commit a bulletin to the outbox.

    Args:
        tx: the transaction that holds all of it.
        deployment: the gateway's rules.
        bulletin_id: which one.
        plan_hash: of the plan that the approver looked at.
        signature: the approver's, over `approval_document`.
        seal_keys: by region.
        now: aware.

    Raises:
        SignatureInvalidError: nobody who is known here signed this approval.
        SamePersonError: the submitter signed it.
        StaleError: what would be sent is no longer what the approver saw.
        BudgetExhaustedError: a region has had enough of this class for now.
        PolicyError: another rule refuses it.
    """
    prepared = prepare(tx, deployment, bulletin_id, now=now)
    bulletin = prepared.record.bulletin
    person = _decider(
        tx, deployment, prepared.record, approval_document(bulletin_id, plan_hash), signature
    )
    if prepared.plan.hash() != plan_hash:
        msg = f"what {bulletin_id} would send has changed since it was looked at; look again"
        raise StaleError(msg)
    alert_class = deployment.alert_class(bulletin.alert_class)
    _take_budget(tx, deployment, bulletin, alert_class, now)
    for broadcast in prepared.plan.broadcasts:
        tx.put_serial_number(
            bulletin.incident_id, broadcast.message_identifier, broadcast.serial_number, at=now
        )
    _supersede(tx, bulletin, now)
    _commit_orders(tx, prepared.plan, alert_class, seal_keys, now)
    decision = Decision(person.name, now, plan_hash, signature, "")
    tx.decide(bulletin_id, BulletinState.APPROVED, decision)
    tx.put_plan(bulletin_id, canonical(prepared.plan.document()).decode())
    state = _incident_state(bulletin.kind)
    if state is not None:
        tx.set_incident_state(bulletin.incident_id, state)
    tx.record(Event(now, bulletin_id, "approved", person.name, plan_hash))
    return replace(prepared.record, state=BulletinState.APPROVED, decision=decision)


def reject(
    tx: Transaction,
    deployment: Deployment,
    bulletin_id: str,
    *,
    reason: str,
    signature: str,
    now: datetime,
) -> BulletinRecord:
    """Turn a bulletin down, for good.

    Raises:
        InputError: no reason is given.
        SignatureInvalidError: nobody who is known here signed this rejection.
        PolicyError: a rule refuses it.
    """
    if not reason.strip():
        msg = "reason: say why, so that the author can do better"
        raise InputError(msg)
    record = _record(tx, bulletin_id)
    advance_bulletin(record.state, BulletinState.REJECTED)
    person = _decider(tx, deployment, record, rejection_document(bulletin_id, reason), signature)
    decision = Decision(person.name, now, "", signature, reason)
    tx.decide(bulletin_id, BulletinState.REJECTED, decision)
    tx.record(Event(now, bulletin_id, "rejected", person.name, reason))
    return replace(record, state=BulletinState.REJECTED, decision=decision)


def _record(tx: Transaction, bulletin_id: str) -> BulletinRecord:
    record = tx.bulletin(bulletin_id)
    if record is None:
        known = tuple(one.bulletin.bulletin_id for one in tx.bulletins())[-10:]
        raise UnknownNameError("bulletin", bulletin_id, known=known or ("none yet",))
    return record


def _decider(
    tx: Transaction,
    deployment: Deployment,
    record: BulletinRecord,
    document: Mapping[str, Any],
    signature: str,
) -> Person:
    """Give who signed the decision, once it is sure that they may."""

    def lookup(key_id: str) -> bytes | None:
        person = tx.person_by_key(key_id)
        return None if person is None else person.public_key

    key_id = verify_detached(signature, canonical(document), lookup, content=DECISION)
    person = tx.person_by_key(key_id)
    submitter = tx.person(record.submission.submitted_by)
    if person is None or submitter is None:
        msg = f"nobody with key {key_id!r} is known here"
        raise SignatureInvalidError(msg)
    bulletin = record.bulletin
    check_may_approve(person, submitted_by=submitter, alert_class=bulletin.alert_class)
    for code in bulletin.regions:
        if not deployment.covers(person.regions, code):
            msg = f"{person.name!r} may not decide for region {code}"
            raise PermissionDeniedError(msg)
    return person


def _serial(
    tx: Transaction, deployment: Deployment, incident_id: str, identifier: int, now: datetime
) -> SerialNumber:
    """Give the serial number of the incident's next version on this message identifier."""
    scope = deployment.country.geographical_scope
    serial = next_serial(tx.serial_number(incident_id, identifier, scope))
    if serial is not None:
        return serial
    window_s = deployment.country.duplicate_window_s + SERIAL_MARGIN_S
    code = tx.next_message_code(identifier, scope, unused_since=now - timedelta(seconds=window_s))
    if code is None:
        msg = (
            f"all message codes of message identifier {identifier} were used in the last "
            f"{window_s} s; phones would take a new message for an old one"
        )
        raise SerialsExhaustedError(msg)
    return SerialNumber(scope, code, 0)


def _take_budget(
    tx: Transaction,
    deployment: Deployment,
    bulletin: Bulletin,
    alert_class: AlertClass,
    now: datetime,
) -> None:
    """Take one token from every region that will hear this, or none at all."""
    if alert_class.exempt_from_limit or bulletin.kind in deployment.country.exempt_kinds:
        return
    limit = alert_class.limit
    now_s = now.timestamp()
    for code in _leaves(deployment, bulletin.regions):
        tokens, updated_s = tx.tokens(code, bulletin.alert_class) or (limit.capacity, now_s)
        bucket = TokenBucket(limit.capacity, limit.refill_per_hour / 3600, tokens, updated_s)
        taken = bucket.take(now_s)
        if isinstance(taken, Empty):
            raise BudgetExhaustedError(
                region=code,
                alert_class=bulletin.alert_class,
                refills_in_s=taken.refills_in_s,
                at=(now + timedelta(seconds=taken.refills_in_s)).isoformat(timespec="seconds"),
            )
        tx.put_tokens(code, bulletin.alert_class, tokens=taken.tokens, updated_s=taken.updated_at_s)


def _supersede(tx: Transaction, bulletin: Bulletin, now: datetime) -> None:
    """Retire the earlier bulletins of the incident, and what of them has not left yet."""
    for other in tx.bulletins(bulletin.incident_id):
        if other.bulletin.number >= bulletin.number:
            continue
        if other.state in {BulletinState.PENDING, BulletinState.APPROVED}:
            state = advance_bulletin(other.state, BulletinState.SUPERSEDED)
            tx.set_bulletin_state(other.bulletin.bulletin_id, state)
    tx.supersede(bulletin.incident_id, before_number=bulletin.number, at=now)


def _commit_orders(
    tx: Transaction,
    planned: Plan,
    alert_class: AlertClass,
    seal_keys: Mapping[str, SigningKey],
    now: datetime,
) -> None:
    """Seal the bulletin for each region that gets an order, and put the orders into the outbox."""
    seals: dict[str, str] = {}
    for order in planned.orders:
        region = order.lineage.region
        if region not in seals:
            seals[region] = _seal(planned.bulletin, region, planned.broadcasts, seal_keys)
        new = order.deliver(planned.bulletin, rank=alert_class.rank, seal=seals[region])
        tx.add_delivery(new, at=now)


def _seal(
    bulletin: Bulletin,
    region: str,
    broadcasts: Sequence[Broadcast],
    seal_keys: Mapping[str, SigningKey],
) -> str:
    key = seal_keys.get(region)
    if key is None:
        msg = f"there is no sealing key for region {region}; `cbgateway keys list` shows them"
        raise SignatureInvalidError(msg)
    return make_seal(bulletin, region, broadcasts, key)


def _leaves(deployment: Deployment, regions: Sequence[str]) -> tuple[str, ...]:
    """Give the smallest regions inside `regions`, each once."""
    return tuple(
        dict.fromkeys(leaf for code in regions for leaf in deployment.regions.leaves(code))
    )


def _incident_state(kind: BulletinKind) -> IncidentState | None:
    """Give what an incident becomes with a bulletin of this kind; None when it stays."""
    if kind is BulletinKind.RESTORED:
        return IncidentState.RESTORED
    if kind in {BulletinKind.PROGRESS, BulletinKind.ETA_CHANGE}:
        return IncidentState.IDENTIFIED
    return None
