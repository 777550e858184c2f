"""Reports: what people and programs read about bulletins and their deliveries."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

from cbgateway.domain.bulletin import Facts
from cbgateway.domain.delivery import BulletinRecord, Delivery, OnAirEvidence
from cbgateway.domain.incoming import NOTHING_YET, MessageState, message_states
from cbgateway.domain.outcomes import Outcome
from cbgateway.domain.ports import Transaction


def bulletin_report(record: BulletinRecord, deliveries: Iterable[Delivery]) -> dict[str, Any]:
    """Give one bulletin with everything that is known of it, ready for JSON."""
    bulletin = record.bulletin
    deliveries = tuple(deliveries)
    decision = record.decision
    return {
        "bulletin": bulletin.bulletin_id,
        "incident": bulletin.incident_id,
        "number": bulletin.number,
        "kind": bulletin.kind.value,
        "message_type": bulletin.kind.message_type.value,
        "state": record.state.value,
        "mode": bulletin.mode.value,
        "class": bulletin.alert_class,
        "regions": list(bulletin.regions),
        "texts": dict(bulletin.texts),
        "sender": bulletin.sender,
        "identifier": bulletin.identifier,
        "sent": bulletin.sent.isoformat(),
        "expires": bulletin.expires.isoformat(),
        "next_update_at": None
        if bulletin.next_update_at is None
        else bulletin.next_update_at.isoformat(),
        "code": bulletin.code or None,
        "facts": _facts(bulletin.facts),
        "references": [
            {
                "sender": reference.sender,
                "identifier": reference.identifier,
                "sent": reference.sent.isoformat(),
            }
            for reference in bulletin.references
        ],
        "submitted_by": record.submission.submitted_by,
        "authors": list(record.submission.hands),
        "warnings": list(record.submission.warnings),
        "decided_by": None if decision is None else decision.decided_by,
        "decided_at": None if decision is None else decision.decided_at.isoformat(),
        "reason": None if decision is None else decision.reason or None,
        "plan_hash": None if decision is None else decision.plan_hash or None,
        "seals": {delivery.lineage.region: delivery.seal for delivery in deliveries},
        "deliveries": [delivery_report(delivery) for delivery in deliveries],
        "carriers": carrier_totals(deliveries),
    }


def _facts(facts: Facts) -> dict[str, Any]:
    return {
        "cause": facts.cause or None,
        "confidence": facts.confidence.value,
        "eta": None if facts.eta is None else facts.eta.isoformat(),
        "emergency_calls": facts.emergency_calls.value,
        "workarounds": list(facts.workarounds),
    }


def delivery_report(delivery: Delivery) -> dict[str, Any]:
    """Give one delivery with its evidence, ready for JSON."""
    outcomes = Counter(delivery.outcomes)
    serial = delivery.serial_number
    return {
        "delivery": delivery.delivery_id,
        "carrier": delivery.lineage.peer_id,
        "region": delivery.lineage.region,
        "channel": delivery.lineage.channel.value,
        "order": "stop" if delivery.is_stop else "send",
        "language": delivery.language,
        "message_identifier": delivery.lineage.message_identifier,
        "serial_number": None if serial is None else f"{int(serial):04x}",
        "state": delivery.state.value,
        "attempts": delivery.attempts,
        "peer_reference": delivery.peer_reference or None,
        "recipients": delivery.recipients,
        "accepted": outcomes[Outcome.ACCEPTED],
        "refused": outcomes[Outcome.REFUSED],
        "in_doubt": outcomes[Outcome.IN_DOUBT] + outcomes[Outcome.IN_DOUBT_TWICE],
        "second_copies": outcomes[Outcome.RESEND] + outcomes[Outcome.RESENDING],
        "receipts": receipt_totals(delivery),
        "on_air": on_air_report(delivery.on_air),
        "reason": delivery.reason or None,
        "updated_at": delivery.updated_at.isoformat(),
    }


def on_air_report(evidence: OnAirEvidence | None) -> dict[str, Any] | None:
    """Give what a carrier said of a broadcast when it was asked; None before."""
    if evidence is None:
        return None
    return {
        "asked_at": evidence.asked_at.isoformat(),
        "state": None if evidence.state is None else evidence.state.name.lower(),
        "areas": [
            {
                "area": area.name,
                "reached_percent": area.percent,
                "cells": area.cells,
                "broadcasts": area.broadcasts and list(area.broadcasts),
            }
            for area in evidence.areas
        ],
        "problem": evidence.problem or None,
    }


def receipt_totals(delivery: Delivery) -> dict[str, int] | None:
    """Count what receipts have told of the messages that the carrier took; None without any."""
    receipts = delivery.receipts
    if receipts is None:
        return None
    states = message_states(receipts.states, receipts.parts)
    taken = Counter(
        state
        for state, outcome in zip(states, delivery.outcomes, strict=False)
        if outcome == Outcome.ACCEPTED
    )
    return {
        "none_yet" if state == NOTHING_YET else MessageState(state).name.lower(): count
        for state, count in sorted(taken.items())
    }


def carrier_totals(deliveries: Iterable[Delivery]) -> dict[str, dict[str, int]]:
    """Count deliveries by carrier and state."""
    totals: dict[str, Counter[str]] = {}
    for delivery in deliveries:
        totals.setdefault(delivery.lineage.peer_id, Counter())[delivery.state.value] += 1
    return {carrier: dict(counter) for carrier, counter in totals.items()}


def incident_report(tx: Transaction, incident_id: str) -> dict[str, Any] | None:
    """Give one incident with its bulletins; None when it is not known."""
    incident = tx.incident(incident_id)
    if incident is None:
        return None
    return {
        "incident": incident.incident_id,
        "carrier": incident.carrier,
        "services": [service.value for service in incident.services],
        "started_at": incident.started_at.isoformat(),
        "state": incident.state.value,
        "bulletins": [
            bulletin_report(record, tx.deliveries(record.bulletin.bulletin_id))
            for record in tx.bulletins(incident_id)
        ],
    }
