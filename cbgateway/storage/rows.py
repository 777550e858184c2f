"""Rows of the database as domain values, and back."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from cbgateway.domain.broadcast import SerialNumber
from cbgateway.domain.bulletin import Bulletin, BulletinKind, BulletinState, Mode, Person, Reference
from cbgateway.domain.delivery import (
    BulletinRecord,
    Channel,
    Decision,
    Delivery,
    Lineage,
    Submission,
)
from cbgateway.domain.incident import Incident, IncidentState, Service
from cbgateway.domain.lifecycle import DeliveryState

FORMAT = 1  # of the JSON documents in bulletin rows


def milliseconds(at: datetime) -> int:
    """Give an aware time as the store keeps it."""
    return round(at.timestamp() * 1000)


def moment(at_ms: int) -> datetime:
    """Give a stored time as an aware one, in UTC."""
    return datetime.fromtimestamp(at_ms / 1000, UTC)


def dump(document: Mapping[str, Any]) -> str:
    """Write a JSON document with the number of its format."""
    return json.dumps({"format": FORMAT, **document}, ensure_ascii=False)


def person_of(row: dict[str, Any]) -> Person:
    """Read a person."""
    return Person(
        name=row["name"],
        key_id=row["key_id"],
        public_key=row["public_key"],
        may_submit=bool(row["may_submit"]),
        may_approve=bool(row["may_approve"]),
        regions=tuple(json.loads(row["regions"])),
        classes=tuple(json.loads(row["classes"])),
        is_revoked=bool(row["is_revoked"]),
    )


def incident_of(row: dict[str, Any]) -> Incident:
    """Read an incident."""
    return Incident(
        incident_id=row["incident_id"],
        carrier=row["carrier"],
        services=tuple(map(Service, json.loads(row["services"]))),
        started_at=moment(row["started_ms"]),
        state=IncidentState(row["state"]),
    )


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
    }


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
        ),
        state=BulletinState(row["state"]),
        submission=Submission(
            submitted_by=submission["submitted_by"],
            submitted_at=moment(submission["submitted_ms"]),
            content_hash=submission["content_hash"],
            signature=submission["signature"],
        ),
        decision=None
        if decision is None
        else Decision(
            decided_by=decision["decided_by"],
            decided_at=moment(decision["decided_ms"]),
            plan_hash=decision["plan_hash"],
            signature=decision["signature"],
            reason=decision["reason"],
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
        is_stop=bool(row["is_stop"]),
        order=row["order_document"],
        seal=row["seal"],
        recipients=row["recipients"],
        expires_at=moment(row["expires_ms"]),
        state=DeliveryState(row["state"]),
        attempts=row["attempts"],
        outcomes=row["outcomes"],
        peer_reference=row["peer_reference"],
        reason=row["reason"],
        updated_at=moment(row["updated_ms"]),
    )
