"""A bulletin: one immutable public statement about an incident."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import assert_never


class Mode(StrEnum):
    """What a database is for; fixed when it is made."""

    LIVE = "live"
    EXERCISE = "exercise"
    TEST = "test"


class MessageType(StrEnum):
    """What a bulletin does to the earlier ones of its incident (CAP 1.2 msgType)."""

    ALERT = "Alert"
    UPDATE = "Update"
    CANCEL = "Cancel"


class BulletinKind(StrEnum):
    """What a bulletin is for."""

    FIRST = "first"
    PROGRESS = "progress"
    ETA_CHANGE = "eta_change"
    HEARTBEAT = "heartbeat"
    RESTORED = "restored"
    CORRECTION = "correction"
    WITHDRAWAL = "withdrawal"

    @property
    def message_type(self) -> MessageType:
        """The CAP message type; a restored network is an Update, never a Cancel."""
        match self:
            case BulletinKind.FIRST:
                return MessageType.ALERT
            case BulletinKind.WITHDRAWAL:
                return MessageType.CANCEL
            case (
                BulletinKind.PROGRESS
                | BulletinKind.ETA_CHANGE
                | BulletinKind.HEARTBEAT
                | BulletinKind.RESTORED
                | BulletinKind.CORRECTION
            ):
                return MessageType.UPDATE
        assert_never(self)


class BulletinState(StrEnum):
    """How far a bulletin has got between people; `lifecycle` has the transitions."""

    DRAFT = "draft"
    """Saved, and not yet shown to a second person."""
    PENDING = "pending"
    """Submitted; a second person has to decide."""
    RETURNED = "returned"
    """Given back to its authors, or its approval lapsed before anything left."""
    REJECTED = "rejected"
    """Turned down for good."""
    APPROVED = "approved"
    """Committed to the outbox; nothing has left yet."""
    LIVE = "live"
    """On air, or it may be, at one carrier at least."""
    SUPERSEDED = "superseded"
    """A later bulletin of the incident has taken its place."""
    EXPIRED = "expired"
    """Its time passed."""
    WITHDRAWN = "withdrawn"
    """Taken back, by its authors before it was approved, by a withdrawal afterwards."""


class Confidence(StrEnum):
    """How sure it is what caused an outage."""

    SUSPECTED = "suspected"
    PROBABLE = "probable"
    CONFIRMED = "confirmed"


class EmergencyCalls(StrEnum):
    """Whether people can call for help; checked for each incident, never assumed."""

    OK = "ok"
    OK_REMOVE_SIM = "ok_remove_sim"
    """They get through once the SIM card is out of the phone."""
    IMPAIRED = "impaired"
    DOWN = "down"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Facts:
    """What a bulletin says in a form that pages and briefings can be made of.

    Attributes:
        cause: name of a cause that the profiles have words for; empty when it is not said.
        confidence: how sure the cause is.
        eta: when repair is expected; None when that is not known.
        emergency_calls: whether people can call for help.
        workarounds: names of reviewed advice, the most useful first.
    """

    cause: str = ""
    confidence: Confidence = Confidence.SUSPECTED
    eta: datetime | None = None
    emergency_calls: EmergencyCalls = EmergencyCalls.UNKNOWN
    workarounds: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reference:
    """What CAP calls a reference: an earlier bulletin by sender, identifier and time."""

    sender: str
    identifier: str
    sent: datetime


@dataclass(frozen=True, slots=True)
class Bulletin:
    """One public statement.

    Attributes:
        bulletin_id: incident and number, such as ``kt-20211025/2``.
        number: 1, 2, 3 ... within the incident, in the order of submission.
        sender: who submitted it.
        identifier: the sender's own name for it, unique per sender for ever.
        regions: codes of the regions addressed; none contains another.
        texts: what people read, by language; empty for a withdrawal alone.
        next_update_at: when the next bulletin is promised; None when none is.
        references: every earlier bulletin of the incident that went out.
        mode: the mode of the database that it was made for.
        code: what people type to see the exact official text; empty for none.
        facts: what it says, for pages and briefings.
    """

    bulletin_id: str
    incident_id: str
    number: int
    kind: BulletinKind
    sender: str
    identifier: str
    alert_class: str
    regions: tuple[str, ...]
    texts: Mapping[str, str]
    sent: datetime
    expires: datetime
    next_update_at: datetime | None
    references: tuple[Reference, ...]
    mode: Mode
    code: str = ""
    facts: Facts = field(default_factory=Facts)

    @property
    def words(self) -> dict[str, str]:
        """Give the texts without the code, which differs when nothing else does."""
        return {language: without_code(text, self.code) for language, text in self.texts.items()}


def without_code(text: str, code: str) -> str:
    """Give a text with something as long in its code's place; an empty code is in no text."""
    return text.replace(code, "|" * len(code)) if code else text
