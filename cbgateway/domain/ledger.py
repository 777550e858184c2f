"""What is kept of enquiries, as services ask it of the store; a part of `domain.ports.Transaction`.

Nothing here names who asked, once the answer is gone: what counts somebody once is a keyed hash
whose key is thrown away every day, and a subscriber's number is encrypted.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from cbgateway.domain.delivery import Recipient
from cbgateway.domain.enquiry import Round, Subscription
from cbgateway.domain.incoming import StoredMessage


@dataclass(frozen=True, slots=True)
class Question:
    """What people asked and no answer was there for.

    Attributes:
        text: masked; see `domain.enquiry.masked`.
        count: how often.
        source: ``sms``, or who noted it.
    """

    text: str
    count: int
    first_at: datetime
    last_at: datetime
    source: str


class EnquiryLedger(Protocol):
    """Reads and writes about enquiries."""

    def enquiries(self, peer_id: str, destination: str, *, limit: int) -> tuple[StoredMessage, ...]:
        """List the messages to one number that wait, the oldest first."""
        ...

    def count_enquiries(self, peer_id: str, destination: str) -> int:
        """Count the messages to one number that wait."""
        ...

    def put_back(self, message: StoredMessage) -> None:
        """Keep a message that was taken out, with the time when it came."""
        ...

    def recipient(self, carrier: str, number: str) -> Recipient | None:
        """Find a subscriber on a carrier's list."""
        ...

    def subscription(self, peer_id: str, name: str) -> Subscription | None:
        """Find what somebody is told of."""
        ...

    def put_subscription(self, subscription: Subscription) -> None:
        """Keep what somebody is told of from now on, in place of what it was."""
        ...

    def drop_subscriptions(self, name: str) -> int:
        """Delete everything that is kept of a subscriber; gives how much it was."""
        ...

    def end_subscriptions(self, *, at: datetime) -> int:
        """Delete those whose time has passed; gives how many."""
        ...

    def subscriptions(
        self, peer_id: str, *, after: int, up_to: int, limit: int
    ) -> tuple[Subscription, ...]:
        """Go through a carrier's subscribers in the order in which they began."""
        ...

    def last_subscription(self, peer_id: str) -> int:
        """Give the number of the newest subscription at a carrier; 0 for none."""
        ...

    def count_subscriptions(self) -> Mapping[tuple[str, tuple[str, ...]], int]:
        """Count subscribers by carrier and the regions that they asked for."""
        ...

    def undertold(self, peer_id: str) -> tuple[str, ...]:
        """Name the live bulletins of which a carrier's subscribers have not begun to be told."""
        ...

    def put_round(self, one: Round) -> None:
        """Note how far subscribers have been told of a bulletin."""
        ...

    def round(self, bulletin_id: str, peer_id: str) -> Round | None:
        """Give how far a carrier's subscribers have been told of a bulletin."""
        ...

    def open_rounds(self, peer_id: str | None = None) -> tuple[Round, ...]:
        """List the rounds that are not over, the oldest first; of one carrier, or of all."""
        ...

    def add_outage_report(self, peer_id: str, region: str, name: str, *, hour: datetime) -> bool:
        """Count a report once for each sender and hour; tells whether it counts."""
        ...

    def outage_reports(self, *, since: datetime) -> Mapping[tuple[str, str, datetime], int]:
        """Count reports by carrier, region and hour."""
        ...

    def forget_outage_reports(self, *, before: datetime) -> None:
        """Delete the reports of earlier hours."""
        ...

    def note_question(self, text: str, *, source: str, at: datetime) -> None:
        """Count a question that nobody could answer."""
        ...

    def questions(self, *, limit: int) -> tuple[Question, ...]:
        """List the questions, the most frequent first."""
        ...

    def forget_questions(self, *, before: datetime, most: int) -> None:
        """Delete those that nobody has asked lately, and the rarest beyond so many."""
        ...

    def add_total(self, peer_id: str, what: str, count: int) -> None:
        """Count something about a carrier's enquiries."""
        ...

    def totals(self) -> Mapping[tuple[str, str], int]:
        """Give everything that was counted, by carrier and what."""
        ...
