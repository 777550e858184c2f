"""What the store keeps: bulletins with their decisions, deliveries, live broadcasts."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from cbgateway.domain.broadcast import SerialNumber
from cbgateway.domain.bulletin import Bulletin, BulletinState, Reference
from cbgateway.domain.incoming import AreaOnAir, MessageState, ReceiptStates
from cbgateway.domain.lifecycle import DeliveryState


class Channel(StrEnum):
    """Which way a delivery takes."""

    BROADCAST = "broadcast"
    SMS = "sms"


@dataclass(frozen=True, slots=True)
class Submission:
    """Who submitted a bulletin, and the proof.

    Attributes:
        submitted_by: whose signature the document carries.
        content_hash: SHA-256 of the document as submitted, in hexadecimal.
        signature: detached JWS of the submitter over the canonical document.
        hands: everybody who created, edited or submitted it, each once, in order.
        warnings: what the second person should know.
    """

    submitted_by: str
    submitted_at: datetime
    content_hash: str
    signature: str
    hands: tuple[str, ...]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Decision:
    """What the second person decided, and the proof.

    Attributes:
        decided_at: as signed for an approval, with whole milliseconds.
        plan_hash: SHA-256 of the plan that was approved; empty for other decisions.
        signature: detached JWS of whoever decided.
        reason: why it was not approved; empty for an approval.
        confirmation: what the approver of a wide area has typed.
    """

    decided_by: str
    decided_at: datetime
    plan_hash: str
    signature: str
    reason: str
    confirmation: str = ""


@dataclass(frozen=True, slots=True)
class BulletinRecord:
    """A bulletin with how it came here and what was decided."""

    bulletin: Bulletin
    state: BulletinState
    submission: Submission
    decision: Decision | None


@dataclass(frozen=True, slots=True)
class TextRecord:
    """What a bulletin says in one language, without its code; empty when it says nothing in it."""

    bulletin_id: str
    state: BulletinState
    text: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request was answered, kept so that the same request again changes nothing.

    Attributes:
        digest: tells the request from others with the same name.
        status: of HTTP.
        body: as it was sent.
    """

    digest: str
    status: int
    body: str


@dataclass(frozen=True, slots=True)
class AlarmRecord:
    """One alarm of network monitoring, and what it is taken for.

    Attributes:
        sender: which machine has told of it.
        alarm_id: that machine's own name for it.
        cause: alarms of one sender with the same cause are one outage.
        region: where; empty when the alarm does not say.
    """

    sender: str
    alarm_id: str
    incident_id: str
    cause: str
    region: str
    is_cleared: bool
    raised_at: datetime


@dataclass(frozen=True, slots=True)
class Publication:
    """A bulletin as a CAP alert, as it came in or first went out; never changed.

    Attributes:
        name: of the alert; what others refer to.
        content_hash: of the document that the bulletin was submitted as.
        source_hash: SHA-256 of the canonical alert that came in; empty for one that went out.
    """

    name: Reference
    bulletin_id: str
    content_hash: str
    source_hash: str
    octets: bytes


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
        rank: of the alert class, 1 is the highest; 0 for what is never blocked.
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
class OnAirEvidence:
    """What a peer says of a broadcast that it has accepted.

    Attributes:
        asked_at: when it was asked.
        state: what it says of the whole; ENROUTE while it is on air. None when it says nothing.
        areas: what it says of each area.
        problem: why there is no answer; empty when there is one.
    """

    asked_at: datetime
    state: MessageState | None = None
    areas: tuple[AreaOnAir, ...] = ()
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One order at one peer, with its state and evidence.

    Attributes:
        attempts: how many times an INTENT was committed.
        rank: of the alert class, 1 is the highest; 0 for what is never blocked.
        outcomes: one octet per recipient of a Submit, else empty.
        peer_reference: what the peer calls the broadcast.
        alias: what we call the broadcast at the peer, 1 to 65535; 0 for short messages.
        is_on_air: True once it may have left and was not stopped or replaced since.
        reason: the last refusal or failure in words.
        receipts: what receipts have told, where a report is made; None when none were asked for.
        on_air: what the peer said of the broadcast when it was last asked, where a report is made.
    """

    delivery_id: int
    bulletin_id: str
    number: int
    lineage: Lineage
    language: str
    serial_number: SerialNumber | None
    rank: int
    is_stop: bool
    order: str
    seal: str
    recipients: int
    expires_at: datetime
    state: DeliveryState
    attempts: int
    outcomes: bytes
    peer_reference: str
    alias: int
    is_on_air: bool
    reason: str
    updated_at: datetime
    receipts: ReceiptStates | None = None
    on_air: OnAirEvidence | None = None


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
class Event:
    """One line of history.

    Attributes:
        subject: the bulletin, incident or person it is about.
        actor: who did it; a person or ``gateway``.
        detail: what JSON can say, by name.
    """

    at: datetime
    subject: str
    what: str
    actor: str
    detail: Mapping[str, Any]
