"""What the store keeps: bulletins with their decisions, deliveries, live broadcasts."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from cbgateway.domain.broadcast import SerialNumber
from cbgateway.domain.bulletin import Bulletin, BulletinState
from cbgateway.domain.lifecycle import DeliveryState


class Channel(StrEnum):
    """Which way a delivery takes."""

    BROADCAST = "broadcast"
    SMS = "sms"


@dataclass(frozen=True, slots=True)
class Submission:
    """Who submitted a bulletin, and the proof.

    Attributes:
        content_hash: SHA-256 of the document as submitted, in hexadecimal.
        signature: detached JWS of the submitter over the canonical document.
    """

    submitted_by: str
    submitted_at: datetime
    content_hash: str
    signature: str


@dataclass(frozen=True, slots=True)
class Decision:
    """What the second person decided, and the proof.

    Attributes:
        plan_hash: SHA-256 of the plan that was approved; empty for a rejection.
        signature: detached JWS of the approver over the plan; empty for a rejection.
        reason: why it was rejected; empty for an approval.
    """

    decided_by: str
    decided_at: datetime
    plan_hash: str
    signature: str
    reason: str


@dataclass(frozen=True, slots=True)
class BulletinRecord:
    """A bulletin with how it came here and what was decided."""

    bulletin: Bulletin
    state: BulletinState
    submission: Submission
    decision: Decision | None


@dataclass(frozen=True, slots=True)
class Lineage:
    """All versions of one message at one peer in one area: one after another, never side by side.

    Attributes:
        message_identifier: of the broadcast; None for short messages.
    """

    peer_id: str
    incident_id: str
    region: str
    channel: Channel
    message_identifier: int | None


@dataclass(frozen=True, slots=True)
class NewDelivery:
    """An order about to be committed to the outbox.

    Attributes:
        rank: of the alert class, 1 is the highest.
        order: in its stored form.
        seal: compact JWS of the region.
        recipients: how many numbers a Submit has; 0 for a broadcast.
    """

    bulletin_id: str
    number: int
    lineage: Lineage
    language: str
    rank: int
    serial_number: SerialNumber | None
    is_stop: bool
    order: str
    seal: str
    recipients: int
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Delivery:
    """One order at one peer, with its state and evidence.

    Attributes:
        attempts: how many times an INTENT was committed.
        outcomes: one octet per recipient of a Submit, else empty.
        peer_reference: what the peer calls the broadcast.
        reason: the last refusal or failure in words.
    """

    delivery_id: int
    bulletin_id: str
    number: int
    lineage: Lineage
    language: str
    serial_number: SerialNumber | None
    is_stop: bool
    order: str
    seal: str
    recipients: int
    expires_at: datetime
    state: DeliveryState
    attempts: int
    outcomes: bytes
    peer_reference: str
    reason: str
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class LiveBroadcast:
    """A broadcast that is, or may be, on air or about to be.

    Attributes:
        serial_number: of the newest version.
    """

    lineage: Lineage
    language: str
    serial_number: SerialNumber


@dataclass(frozen=True, slots=True)
class Recipient:
    """A subscriber on a carrier's list.

    Attributes:
        number: E.164 digits without plus.
        region: code of the region the subscriber belongs to.
        language: what the subscriber reads.
    """

    number: str
    region: str
    language: str


@dataclass(frozen=True, slots=True)
class RegionKey:
    """The public half of a region's sealing key."""

    region: str
    key_id: str
    public_key: bytes


@dataclass(frozen=True, slots=True)
class Event:
    """One line of history.

    Attributes:
        subject: the bulletin, incident or person it is about.
        actor: who did it; a person or ``gateway``.
    """

    at: datetime
    subject: str
    what: str
    actor: str
    detail: str
