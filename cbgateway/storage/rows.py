"""Rows of the database as domain values, and back."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from cbgateway.domain.broadcast import SerialNumber
from cbgateway.domain.bulletin import (
    Bulletin,
    BulletinKind,
    BulletinState,
    Confidence,
    EmergencyCalls,
    Facts,
    Mode,
    Reference,
)
from cbgateway.domain.delivery import (
    BulletinRecord,
    Channel,
    Decision,
    Delivery,
    Event,
    Lineage,
    OnAirEvidence,
    Publication,
    Submission,
)
from cbgateway.domain.incident import Incident, IncidentState, Service
from cbgateway.domain.incoming import (
    AreaOnAir,
    IncomingMessage,
    MessageState,
    ParkedReceipt,
    Receipt,
    ReceiptStates,
    StoredMessage,
    TakenIds,
)
from cbgateway.domain.kits import KitRecord
from cbgateway.domain.lifecycle import DeliveryState
from cbgateway.domain.people import Key, Permission, Person, Severity

FORMAT = 1  # of the JSON documents in bulletin rows
PERMISSIONS_MAX = 128  # that are remembered as they were read


def milliseconds(at: datetime) -> int:
    """Give an aware time as the store keeps it."""
    return round(at.timestamp() * 1000)


def moment(at_ms: int) -> datetime:
    """Give a stored time as an aware one, in UTC."""
    return datetime.fromtimestamp(at_ms / 1000, UTC)


def dump(document: Mapping[str, Any]) -> str:
    """Write a JSON document with the number of its format."""
    return json.dumps({"format": FORMAT, **document}, ensure_ascii=False)


def permission_document(permission: Permission) -> dict[str, Any]:
    """Give a permission as it is kept."""
    return {
        "regions": permission.regions,
        "classes": permission.classes,
        "channels": permission.channels,
        "severity_max": permission.severity_max,
        "kinds": permission.kinds,
    }


def person_of(row: dict[str, Any]) -> Person:
    """Read a person."""
    return Person(
        name=row["name"],
        may_submit=bool(row["may_submit"]),
        may_approve=bool(row["may_approve"]),
        permission=permission_of(row["permission"]),
        owner=row["owner"],
        is_revoked=bool(row["is_revoked"]),
    )


@lru_cache(maxsize=PERMISSIONS_MAX)
def permission_of(text: str) -> Permission:
    """Read a permission; the same text says the same, and most people's are alike."""
    permission = json.loads(text)
    return Permission(
        regions=tuple(permission["regions"]),
        classes=tuple(permission["classes"]),
        channels=tuple(map(Channel, permission["channels"])),
        severity_max=Severity(permission["severity_max"]),
        kinds=tuple(map(BulletinKind, permission["kinds"])),
    )


def key_of(row: dict[str, Any]) -> Key:
    """Read the public half of a key."""
    return Key(
        key_id=row["key_id"],
        holder=row["holder"],
        public_key=row["public_key"],
        since=moment(row["since_ms"]),
        until=None if row["until_ms"] is None else moment(row["until_ms"]),
        is_revoked=bool(row["is_revoked"]),
        kit=row.get("kit", ""),  # people's keys are in no kit
    )


def kit_of(row: dict[str, Any]) -> KitRecord:
    """Read what is known of an offline kit."""
    return KitRecord(
        name=row["name"],
        slot=row["slot"],
        gateway_id=row["gateway_id"],
        audit_public_key=row["audit_public_key"],
        made_at=moment(row["made_ms"]),
        until=moment(row["until_ms"]),
        merged_size=row["merged_size"],
        merged_root=row["merged_root"],
    )


def decision_document(decision: Decision) -> dict[str, Any]:
    """Give a decision as it is kept."""
    return {
        "decided_by": decision.decided_by,
        "decided_ms": milliseconds(decision.decided_at),
        "plan_hash": decision.plan_hash,
        "signature": decision.signature,
        "reason": decision.reason,
        "confirmation": decision.confirmation,
    }


def incident_of(row: dict[str, Any]) -> Incident:
    """Read an incident."""
    return Incident(
        incident_id=row["incident_id"],
        carrier=row["carrier"],
        services=tuple(map(Service, json.loads(row["services"]))),
        started_at=moment(row["started_ms"]),
        state=IncidentState(row["state"]),
    )


def submission_document(submission: Submission) -> dict[str, Any]:
    """Give a submission as it is kept."""
    return {
        "submitted_by": submission.submitted_by,
        "submitted_ms": milliseconds(submission.submitted_at),
        "content_hash": submission.content_hash,
        "signature": submission.signature,
        "hands": submission.hands,
        "warnings": submission.warnings,
    }


def bulletin_document(bulletin: Bulletin) -> dict[str, Any]:
    """Give a bulletin as it is kept: a JSON document that is never changed."""
    next_update_at = bulletin.next_update_at
    return {
        "bulletin_id": bulletin.bulletin_id,
        "incident_id": bulletin.incident_id,
        "number": bulletin.number,
        "kind": bulletin.kind,
        "sender": bulletin.sender,
        "identifier": bulletin.identifier,
        "alert_class": bulletin.alert_class,
        "regions": bulletin.regions,
        "texts": dict(bulletin.texts),
        "sent": bulletin.sent.isoformat(),
        "expires": bulletin.expires.isoformat(),
        "next_update_at": None if next_update_at is None else next_update_at.isoformat(),
        "references": [
            [reference.sender, reference.identifier, reference.sent.isoformat()]
            for reference in bulletin.references
        ],
        "mode": bulletin.mode,
        "code": bulletin.code,
        "facts": facts_document(bulletin.facts),
    }


def facts_document(facts: Facts) -> dict[str, Any]:
    """Give what a bulletin says as it is kept."""
    return {
        "cause": facts.cause,
        "confidence": facts.confidence,
        "eta": None if facts.eta is None else facts.eta.isoformat(),
        "emergency_calls": facts.emergency_calls,
        "workarounds": facts.workarounds,
    }


def facts_of(document: Mapping[str, Any]) -> Facts:
    """Read what a bulletin says."""
    eta = document["eta"]
    return Facts(
        cause=document["cause"],
        confidence=Confidence(document["confidence"]),
        eta=None if eta is None else datetime.fromisoformat(eta),
        emergency_calls=EmergencyCalls(document["emergency_calls"]),
        workarounds=tuple(document["workarounds"]),
    )


def record_of(row: dict[str, Any]) -> BulletinRecord:
    """Read a bulletin with its submission and decision."""
    document = json.loads(row["document"])
    submission = json.loads(row["submission"])
    decision = None if row["decision"] is None else json.loads(row["decision"])
    next_update_at = document["next_update_at"]
    return BulletinRecord(
        bulletin=Bulletin(
            bulletin_id=document["bulletin_id"],
            incident_id=document["incident_id"],
            number=document["number"],
            kind=BulletinKind(document["kind"]),
            sender=document["sender"],
            identifier=document["identifier"],
            alert_class=document["alert_class"],
            regions=tuple(document["regions"]),
            texts=document["texts"],
            sent=datetime.fromisoformat(document["sent"]),
            expires=datetime.fromisoformat(document["expires"]),
            next_update_at=None
            if next_update_at is None
            else datetime.fromisoformat(next_update_at),
            references=tuple(
                Reference(sender, identifier, datetime.fromisoformat(sent))
                for sender, identifier, sent in document["references"]
            ),
            mode=Mode(document["mode"]),
            code=document.get("code", ""),  # bulletins of earlier versions have none
            facts=facts_of(document["facts"]) if "facts" in document else Facts(),
        ),
        state=BulletinState(row["state"]),
        submission=Submission(
            submitted_by=submission["submitted_by"],
            submitted_at=moment(submission["submitted_ms"]),
            content_hash=submission["content_hash"],
            signature=submission["signature"],
            hands=tuple(submission["hands"]),
            warnings=tuple(submission["warnings"]),
        ),
        decision=None
        if decision is None
        else Decision(
            decided_by=decision["decided_by"],
            decided_at=moment(decision["decided_ms"]),
            plan_hash=decision["plan_hash"],
            signature=decision["signature"],
            reason=decision["reason"],
            confirmation=decision["confirmation"],
        ),
    )


def delivery_of(row: dict[str, Any]) -> Delivery:
    """Read a delivery."""
    serial = row["serial_number"]
    return Delivery(
        delivery_id=row["delivery_id"],
        bulletin_id=row["bulletin_id"],
        number=row["number"],
        lineage=Lineage(
            row["peer_id"],
            row["incident_id"],
            row["region"],
            Channel(row["channel"]),
            row["message_identifier"],
        ),
        language=row["language"],
        serial_number=None if serial is None else SerialNumber.from_int(serial),
        rank=row["rank"],
        is_stop=bool(row["is_stop"]),
        order=row["order_document"],
        seal=row["seal"],
        recipients=row["recipients"],
        expires_at=moment(row["expires_ms"]),
        state=DeliveryState(row["state"]),
        attempts=row["attempts"],
        outcomes=row["outcomes"],
        peer_reference=row["peer_reference"],
        alias=row["alias"],
        is_on_air=bool(row["is_on_air"]),
        reason=row["reason"],
        updated_at=moment(row["updated_ms"]),
        receipts=ReceiptStates(row["parts"], row["states"]) if row.get("states") else None,
        on_air=_on_air_of(row) if row.get("asked_ms") else None,
    )


def _on_air_of(row: dict[str, Any]) -> OnAirEvidence:
    """Read what a centre has said of a broadcast."""
    return OnAirEvidence(
        moment(row["asked_ms"]),
        None if row["told"] is None else MessageState(row["told"]),
        tuple(map(_area_of, json.loads(row["areas"]))),
        row["problem"],
    )


def _area_of(fields: list[Any]) -> AreaOnAir:
    name, percent, cells, broadcasts = fields
    return AreaOnAir(name, percent, cells, None if broadcasts is None else tuple(broadcasts))


def taken_ids_of(row: dict[str, Any]) -> TakenIds:
    """Read what a peer calls messages."""
    ids, parts, start = bytes(row["ids"]).split(b"\0"), row["parts"], row["start"]
    return TakenIds(row["delivery_id"], parts, range(start, start + len(ids) // parts), ids)


def parked_receipt_of(row: dict[str, Any]) -> ParkedReceipt:
    """Read a receipt whose message is not known."""
    receipt = Receipt(
        bytes(row["message_id"]),
        MessageState(row["state"]),
        row["subscriber"],
        row["originator"],
        row["reference"],
    )
    return ParkedReceipt(row["receipt_number"], row["peer_id"], moment(row["received_ms"]), receipt)


def message_of(row: dict[str, Any]) -> StoredMessage:
    """Read an incoming message."""
    message = IncomingMessage(
        row["source"],
        row["destination"],
        row["body"],
        row["part"],
        row["parts"],
        row["reference"],
    )
    return StoredMessage(row["message_number"], row["peer_id"], moment(row["received_ms"]), message)


def event_document(event: Event) -> dict[str, Any]:
    """Give an event as it stands in the audit log."""
    return {
        "format": FORMAT,
        "at_ms": milliseconds(event.at),
        "subject": event.subject,
        "what": event.what,
        "actor": event.actor,
        "detail": dict(event.detail),
    }


def event_of(entry: bytes) -> Event:
    """Read an event."""
    document = json.loads(entry)
    return Event(
        at=moment(document["at_ms"]),
        subject=document["subject"],
        what=document["what"],
        actor=document["actor"],
        detail=document["detail"],
    )


def publication_of(row: dict[str, Any]) -> Publication:
    """Read an alert that is exchanged with others."""
    return Publication(
        name=Reference(row["sender"], row["identifier"], moment(row["sent_ms"])),
        bulletin_id=row["bulletin_id"],
        content_hash=row["content_hash"],
        source_hash=row["source_hash"],
        octets=row["octets"],
    )
