"""The second person's decision: look at what would go out, sign it, and it is committed.

Approval, plan, serial numbers and outbox are one transaction. Nothing is sent here; the dispatcher
finds the outbox rows after the commit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from cbgateway.domain import failpoints
from cbgateway.domain.broadcast import Broadcast, SerialNumber
from cbgateway.domain.bulletin import Bulletin, BulletinKind, BulletinState
from cbgateway.domain.delivery import BulletinRecord, Decision, Event, LiveBroadcast
from cbgateway.domain.errors import (
    ConfirmationError,
    ExpiredError,
    InputError,
    SignatureInvalidError,
    StaleError,
    UnknownNameError,
)
from cbgateway.domain.incident import Incident, IncidentState
from cbgateway.domain.lifecycle import INCIDENT_TRANSITIONS, DeliveryState, advance_bulletin
from cbgateway.domain.people import Person, check_may_approve
from cbgateway.domain.ports import SerialMarks, Transaction
from cbgateway.service.authority import check_regions, check_submitter, hands_of, signer_of, use_of
from cbgateway.service.budgets import check_budget
from cbgateway.service.contacts import bulletin_problems
from cbgateway.service.deployment import Deployment
from cbgateway.service.evidence import settle
from cbgateway.service.planning import Plan, encode_texts, plan
from cbgateway.service.reach import Reach, reach_of
from cbgateway.service.said import said_document
from cbgateway.service.serials import next_serials
from cbgateway.service.wording import check_promise_holds, read_back_phrase
from cbgateway.signing.canonical import canonical
from cbgateway.signing.keys import SigningKey
from cbgateway.signing.seal import make_seal

DECISION = "cbgateway-decision-2"
"""Content name of an approver's signature."""

CLOCK_SKEW_S = 5
"""How far ahead of ours an approver's clock may be."""


@dataclass(frozen=True, slots=True)
class Basis:
    """All that a plan depends on, beside the deployment's rules: the same basis, the same plan.

    Attributes:
        recipients: how often recipient lists had changed.
    """

    content_hash: str
    serials: Mapping[int, SerialNumber]
    live: Sequence[LiveBroadcast]
    recipients: int


@dataclass(frozen=True, slots=True)
class Prepared:
    """What the second person looks at before deciding.

    Attributes:
        confirmation: what the approver has to type; empty when the area is not wide.
        reach: who would be told for sure, by region and carrier.
        warnings: numbers and links in the texts that nobody has tried lately.
    """

    record: BulletinRecord
    plan: Plan
    basis: Basis
    confirmation: str
    reach: tuple[Reach, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Approval:
    """What the second person has signed.

    Attributes:
        at: when; whole milliseconds.
        confirmation: what the person has typed; wide areas need it.
        signature: over `approval_document`.
    """

    at: datetime
    confirmation: str
    signature: str


def prepare(
    tx: Transaction,
    deployment: Deployment,
    marks: SerialMarks,
    bulletin_id: str,
    *,
    now: datetime,
) -> Prepared:
    """Work out what an approval would send now; stores nothing.

    Raises:
        UnknownNameError: no such bulletin.
        WorkflowError: it is not pending; a later bulletin of the incident may have taken its place.
        ExpiredError: its time has passed.
    """
    deployment.check_is_open(now)
    record = _record(tx, bulletin_id)
    _check_pending(record, now)
    bulletin = record.bulletin
    basis = _basis(tx, deployment, marks, record, now)
    leaves = deployment.leaves(bulletin.regions)
    planned = plan(
        deployment,
        bulletin,
        content_hash=basis.content_hash,
        serials=basis.serials,
        live=basis.live,
        recipients={code: tx.recipients(code, leaves) for code in deployment.carriers},
    )
    incident = tx.incident(bulletin.incident_id)
    reach = () if incident is None else _reach(deployment, bulletin, incident)
    return Prepared(
        record,
        planned,
        basis,
        confirmation_phrase(deployment, bulletin),
        reach,
        bulletin_problems(tx, deployment.directory, bulletin, now=now),
    )


def _reach(deployment: Deployment, bulletin: Bulletin, incident: Incident) -> tuple[Reach, ...]:
    return reach_of(
        deployment,
        incident,
        kind=bulletin.kind,
        alert_class=bulletin.alert_class,
        regions=bulletin.regions,
    )


def confirmation_phrase(deployment: Deployment, bulletin: Bulletin) -> str:
    """Give what an approver types for a wide area, and for numbers that nobody has verified.

    It differs from mode to mode.
    """
    parts = []
    if deployment.is_wide(bulletin.regions):
        parts.append(f"{bulletin.mode} {len(deployment.leaves(bulletin.regions))} regions")
    parts.append(read_back_phrase(deployment, bulletin))
    return " ".join(filter(None, parts))


def approval_document(
    bulletin_id: str, plan_hash: str, *, at: datetime, confirmation: str
) -> dict[str, Any]:
    """Give what an approver signs.

    Args:
        bulletin_id: which one.
        plan_hash: of the plan that the approver looked at.
        at: now; whole milliseconds, in any time zone.
        confirmation: what the approver has typed.
    """
    return {
        "decision": "approve",
        "bulletin": bulletin_id,
        "plan": plan_hash,
        "at": at.astimezone(UTC).isoformat(timespec="milliseconds"),
        "confirmation": confirmation,
    }


def refusal_document(decision: str, bulletin_id: str, reason: str) -> dict[str, Any]:
    """Give what somebody signs who rejects a bulletin or returns it: ``reject`` or ``return``."""
    return {"decision": decision, "bulletin": bulletin_id, "reason": reason}


def approve(
    tx: Transaction,
    deployment: Deployment,
    marks: SerialMarks,
    prepared: Prepared,
    approval: Approval,
    *,
    seal_keys: Mapping[str, SigningKey],
    now: datetime,
) -> BulletinRecord:
    """Commit a bulletin to the outbox.

    Args:
        tx: the transaction that holds all of it.
        deployment: the gateway's rules.
        marks: where serial numbers are claimed first.
        prepared: what the approver looked at.
        approval: what the approver has signed.
        seal_keys: by region.
        now: aware.

    Raises:
        SignatureInvalidError: nobody who is known here signed this approval, or the submitter was
            revoked.
        SamePersonError: somebody signed it who had a hand in the bulletin.
        StaleError: what would be sent is no longer what the approver saw.
        ExpiredError: the approval is too old.
        ConfirmationError: a wide area was not confirmed.
        BudgetExhaustedError: a region has had enough of this class for now.
        PolicyError: another rule refuses it.
    """
    deployment.check_is_open(now)
    bulletin_id = prepared.record.bulletin.bulletin_id
    record = _record(tx, bulletin_id)
    _check_pending(record, now)
    bulletin = record.bulletin
    plan_hash = prepared.plan.hash()
    at, confirmation, signature = approval.at, approval.confirmation, approval.signature
    document = approval_document(bulletin_id, plan_hash, at=at, confirmation=confirmation)
    person = decider(tx, deployment, record, document, signature, at=at)
    check_submitter(tx, record)
    is_same = record == prepared.record
    if not is_same or _basis(tx, deployment, marks, record, now) != prepared.basis:
        msg = f"what {bulletin_id} would send has changed since it was looked at; look again"
        raise StaleError(msg)
    _check_age(deployment, bulletin_id, at, now)
    if confirmation != prepared.confirmation:
        raise ConfirmationError(prepared.confirmation, given=confirmation)
    check_budget(tx, deployment, bulletin, now=now)
    tx.put_plan(bulletin_id, canonical(prepared.plan.document()).decode())
    decision = Decision(person.name, at, plan_hash, signature, "", confirmation)
    tx.decide(bulletin_id, BulletinState.APPROVED, decision)
    _supersede(tx, bulletin, now)
    _commit_orders(tx, deployment, prepared.plan, seal_keys, now)
    _advance_incident(tx, bulletin)
    tx.watch(bulletin.incident_id, at=bulletin.next_update_at or now)
    detail: dict[str, Any] = {
        "plan": plan_hash,
        "signature": signature,
        "confirmation": confirmation,
    }
    incident = tx.incident(bulletin.incident_id)
    if incident is not None:
        detail["said"] = said_document(deployment, bulletin, incident)
    tx.record(Event(now, bulletin_id, "approved", person.name, detail))
    for identifier, serial in prepared.basis.serials.items():
        tx.put_serial_number(bulletin.incident_id, identifier, serial, at=now)
        marks.claim(identifier, serial, at=now)
    failpoints.passing("serial.claimed")
    failpoints.passing("approve.written")
    return replace(record, state=BulletinState.APPROVED, decision=decision)


def refuse(
    tx: Transaction,
    deployment: Deployment,
    bulletin_id: str,
    state: BulletinState,
    *,
    reason: str,
    signature: str,
    now: datetime,
) -> BulletinRecord:
    """Turn a bulletin down for good (REJECTED), or give it back to its authors (RETURNED).

    Raises:
        InputError: no reason is given.
        SignatureInvalidError: nobody who is known here signed this decision.
        PolicyError: a rule refuses it.
    """
    if not reason.strip():
        msg = "reason: say why, so that the author can do better"
        raise InputError(msg)
    record = _record(tx, bulletin_id)
    if record.state is not BulletinState.PENDING:
        advance_bulletin(record.state, BulletinState.REJECTED)
    verb = "reject" if state is BulletinState.REJECTED else "return"
    document = refusal_document(verb, bulletin_id, reason)
    person = decider(tx, deployment, record, document, signature, at=now)
    decision = Decision(person.name, now, "", signature, reason)
    tx.decide(bulletin_id, state, decision)
    tx.record(Event(now, bulletin_id, state.value, person.name, {"reason": reason}))
    return replace(record, state=state, decision=decision)


def decider(
    tx: Transaction,
    deployment: Deployment,
    record: BulletinRecord,
    document: Mapping[str, Any],
    signature: str,
    *,
    at: datetime,
) -> Person:
    """Give who signed a decision, once it is sure that they may decide about this bulletin.

    Raises:
        SignatureInvalidError: nobody who is known here signed it.
        SamePersonError: somebody who had a hand in the bulletin did.
        PermissionDeniedError: somebody who may not.
    """
    person = signer_of(tx, signature, canonical(document), content=DECISION, at=at)
    bulletin = record.bulletin
    use = use_of(deployment, bulletin.alert_class, bulletin.kind)
    check_may_approve(person, use, hands=hands_of(tx, record))
    check_regions(deployment, person, bulletin.regions)
    return person


def _record(tx: Transaction, bulletin_id: str) -> BulletinRecord:
    record = tx.bulletin(bulletin_id)
    if record is None:
        known = tx.last_bulletin_ids(limit=10)
        raise UnknownNameError("bulletin", bulletin_id, known=known or ("none yet",))
    return record


def _check_pending(record: BulletinRecord, now: datetime) -> None:
    advance_bulletin(record.state, BulletinState.APPROVED)
    if record.bulletin.expires <= now:
        expired = record.bulletin.expires.isoformat()
        msg = f"{record.bulletin.bulletin_id} expired at {expired}; submit it again"
        raise ExpiredError(msg)
    check_promise_holds(record.bulletin, now=now)


def _check_age(deployment: Deployment, bulletin_id: str, at: datetime, now: datetime) -> None:
    oldest = now - timedelta(seconds=deployment.country.approval_valid_s)
    if not oldest <= at <= now + timedelta(seconds=CLOCK_SKEW_S):
        msg = (
            f"the approval of {bulletin_id} was signed at {at.isoformat()}; it counts for "
            f"{deployment.country.approval_valid_s} s, and it is {now.isoformat()}: look again"
        )
        raise ExpiredError(msg)


def _basis(
    tx: Transaction,
    deployment: Deployment,
    marks: SerialMarks,
    record: BulletinRecord,
    now: datetime,
) -> Basis:
    bulletin = record.bulletin
    codings = encode_texts(deployment, bulletin.alert_class, bulletin.texts)
    identifiers = {coding.message_identifier for coding in codings.values()}
    return Basis(
        content_hash=record.submission.content_hash,
        serials=next_serials(tx, marks, deployment, bulletin.incident_id, identifiers, now=now),
        live=tx.live_broadcasts(bulletin.incident_id),
        recipients=tx.count("recipients"),
    )


def _supersede(tx: Transaction, bulletin: Bulletin, now: datetime) -> None:
    """Retire the earlier bulletins of the incident, and what of them is not under way."""
    is_withdrawal = bulletin.kind is BulletinKind.WITHDRAWAL
    for other in tx.bulletins(bulletin.incident_id):
        if other.bulletin.number >= bulletin.number:
            continue
        was_out = other.state in {BulletinState.APPROVED, BulletinState.LIVE}
        if was_out and is_withdrawal:
            tx.set_bulletin_state(other.bulletin.bulletin_id, BulletinState.WITHDRAWN)
        elif was_out or other.state in {
            BulletinState.DRAFT,
            BulletinState.PENDING,
            BulletinState.RETURNED,
        }:
            tx.set_bulletin_state(other.bulletin.bulletin_id, BulletinState.SUPERSEDED)
    reason = f"bulletin {bulletin.bulletin_id} is newer"
    for delivery in tx.unfinished(bulletin.incident_id, before_number=bulletin.number):
        settle(tx, delivery, DeliveryState.SUPERSEDED, now, reason)


def _commit_orders(
    tx: Transaction,
    deployment: Deployment,
    planned: Plan,
    seal_keys: Mapping[str, SigningKey],
    now: datetime,
) -> None:
    """Seal the bulletin for each region that gets an order, and put the orders into the outbox."""
    bulletin = planned.bulletin
    is_urgent = deployment.is_urgent(bulletin.kind)
    rank = 0 if is_urgent else deployment.alert_class(bulletin.alert_class).rank
    seals: dict[str, str] = {}
    for order in planned.orders:
        region = order.lineage.region
        if region not in seals:
            seals[region] = _seal(bulletin, region, planned.broadcasts, seal_keys)
        tx.add_delivery(order.deliver(bulletin, rank=rank, seal=seals[region]), at=now)


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


def _advance_incident(tx: Transaction, bulletin: Bulletin) -> None:
    """Move the incident to what a bulletin of this kind says, where that may follow."""
    to = {
        BulletinKind.FIRST: IncidentState.INVESTIGATING,
        BulletinKind.PROGRESS: IncidentState.IDENTIFIED,
        BulletinKind.ETA_CHANGE: IncidentState.IDENTIFIED,
        BulletinKind.RESTORED: IncidentState.RESTORED,
    }.get(bulletin.kind)
    incident = tx.incident(bulletin.incident_id)
    if to is not None and incident is not None and to in INCIDENT_TRANSITIONS[incident.state]:
        tx.set_incident_state(bulletin.incident_id, to)
