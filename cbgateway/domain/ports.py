"""What services ask of the outside: time, a store, links to carriers. `app` joins the two sides."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol, TypeVar

from cbgateway.domain.broadcast import GeographicalScope, SerialNumber
from cbgateway.domain.bulletin import BulletinState, Mode, Person
from cbgateway.domain.delivery import (
    BulletinRecord,
    Decision,
    Delivery,
    Event,
    LiveBroadcast,
    NewDelivery,
    Recipient,
    RegionKey,
)
from cbgateway.domain.incident import Incident, IncidentState
from cbgateway.domain.lifecycle import DeliveryState
from cbgateway.domain.orders import Order, Report

T = TypeVar("T")


class Clock(Protocol):
    """Wall time; the only one the services know."""

    def now(self) -> datetime:
        """Give the present, aware."""
        ...


class Transaction(Protocol):
    """Reads and writes that become durable together or not at all."""

    # People and keys
    def add_person(self, person: Person) -> None:
        """Register somebody with a public key."""
        ...

    def person(self, name: str) -> Person | None:
        """Find somebody by name."""
        ...

    def person_by_key(self, key_id: str) -> Person | None:
        """Find whose key this is."""
        ...

    def people(self) -> tuple[Person, ...]:
        """List everybody, by name."""
        ...

    def revoke_person(self, name: str) -> None:
        """Take somebody's permissions back, for good."""
        ...

    def add_region_key(self, key: RegionKey) -> None:
        """Register the public half of a region's sealing key."""
        ...

    def region_keys(self) -> tuple[RegionKey, ...]:
        """List the public sealing keys, by region."""
        ...

    # Incidents and bulletins
    def add_incident(self, incident: Incident) -> None:
        """Open an incident."""
        ...

    def incident(self, incident_id: str) -> Incident | None:
        """Find an incident."""
        ...

    def incidents(self) -> tuple[Incident, ...]:
        """List the incidents, oldest first."""
        ...

    def set_incident_state(self, incident_id: str, state: IncidentState) -> None:
        """Note how far an incident has got."""
        ...

    def add_bulletin(self, record: BulletinRecord) -> None:
        """Store a submitted bulletin."""
        ...

    def bulletin(self, bulletin_id: str) -> BulletinRecord | None:
        """Find a bulletin by its number in its incident."""
        ...

    def bulletin_of(self, sender: str, identifier: str) -> BulletinRecord | None:
        """Find a bulletin by the name its sender gave it."""
        ...

    def bulletins(self, incident_id: str | None = None) -> tuple[BulletinRecord, ...]:
        """List bulletins, in order."""
        ...

    def set_bulletin_state(self, bulletin_id: str, state: BulletinState) -> None:
        """Move a bulletin to a state that the caller has checked."""
        ...

    def decide(self, bulletin_id: str, state: BulletinState, decision: Decision) -> None:
        """Write the decision down; it is written once."""
        ...

    def put_plan(self, bulletin_id: str, document: str) -> None:
        """Keep what was approved; it is written once."""
        ...

    def plan(self, bulletin_id: str) -> str | None:
        """Give what was approved."""
        ...

    # Serial numbers and budgets
    def serial_number(
        self, incident_id: str, message_identifier: int, scope: GeographicalScope
    ) -> SerialNumber | None:
        """Give the newest version of the incident's message."""
        ...

    def next_message_code(
        self, message_identifier: int, scope: GeographicalScope, *, unused_since: datetime
    ) -> int | None:
        """Give the message code that comes next in turn; None while all were used lately."""
        ...

    def put_serial_number(
        self, incident_id: str, message_identifier: int, serial: SerialNumber, *, at: datetime
    ) -> None:
        """Note that a version was given out."""
        ...

    def tokens(self, region: str, alert_class: str) -> tuple[float, float] | None:
        """Give what a region's budget held, and when in seconds; None before its first use."""
        ...

    def put_tokens(self, region: str, alert_class: str, *, tokens: float, updated_s: float) -> None:
        """Keep what a region's budget holds."""
        ...

    # Recipients
    def put_recipients(self, carrier: str, recipients: Iterable[Recipient]) -> int:
        """Add subscribers to a carrier's list, or move them to another region; gives how many."""
        ...

    def recipients(self, carrier: str, regions: Sequence[str]) -> tuple[Recipient, ...]:
        """List a carrier's subscribers in the given regions."""
        ...

    def count_recipients(self) -> dict[tuple[str, str], int]:
        """Count subscribers by carrier and region."""
        ...

    # Outbox
    def add_delivery(self, delivery: NewDelivery, *, at: datetime) -> None:
        """Put an order into the outbox."""
        ...

    def supersede(self, incident_id: str, *, before_number: int, at: datetime) -> int:
        """Have a newer bulletin take the place of what is still waiting; gives how many."""
        ...

    def live_broadcasts(self, incident_id: str) -> tuple[LiveBroadcast, ...]:
        """List what is, or may be, on air for an incident, the newest version of each."""
        ...

    def due(self, peer_id: str, *, at: datetime, limit: int) -> tuple[Delivery, ...]:
        """List what may be sent to a peer now, at most one per lineage."""
        ...

    def settle(
        self,
        delivery: Delivery,
        state: DeliveryState,
        *,
        at: datetime,
        reason: str = "",
        peer_reference: str | None = None,
        outcomes: bytes | None = None,
        not_before: datetime | None = None,
    ) -> None:
        """Move a delivery on.

        Raises:
            WorkflowError: the state it is in now does not allow that.
        """
        ...

    def deliveries(self, bulletin_id: str | None = None) -> tuple[Delivery, ...]:
        """List deliveries, in the order of their commits."""
        ...

    def in_state(self, state: DeliveryState) -> tuple[Delivery, ...]:
        """List the deliveries that stand in one state."""
        ...

    def past_expiry(self, *, at: datetime) -> tuple[Delivery, ...]:
        """List what may not be sent any more."""
        ...

    def peer_reference(self, delivery: Delivery) -> str | None:
        """Give what the peer calls the version that `delivery` replaces or stops."""
        ...

    # History
    def record(self, event: Event) -> None:
        """Add a line to the history."""
        ...

    def events(self, subject: str | None = None) -> tuple[Event, ...]:
        """Give the history, of one subject or whole."""
        ...


class Store(Protocol):
    """Where accepted bulletins are kept."""

    mode: Mode

    def transaction(self) -> AbstractContextManager[Transaction]:
        """Write: commits, durably, when the block ends, and undoes all when it raises."""
        ...

    def read(self) -> AbstractContextManager[Transaction]:
        """Read one consistent state; writing through it is refused."""
        ...

    async def run(self, work: Callable[[Transaction], T]) -> T:
        """Write from an event loop; returns once committed, together with others' work."""
        ...

    def has_changed(self) -> bool:
        """Tell whether any process has committed since the last call."""
        ...


class CarrierLink(Protocol):
    """The association with one peer.

    `run` owns the socket; `send` may be called from any task of the same event loop.
    """

    peer_id: str

    async def run(self) -> None:
        """Hold the association up, reconnecting with backoff, until cancelled."""
        ...

    async def wait_ready(self) -> None:
        """Return as soon as the peer can be asked."""
        ...

    def drain(self) -> None:
        """Send nothing new; what was sent is still waited for, what was not is NotSent."""
        ...

    async def send(self, order: Order, *, seal: str, peer_reference: str, sent: bytes) -> Report:
        """Have the peer carry out `order`; return once it has answered.

        Args:
            order: what to do.
            seal: the region's seal, which travels where the carrier's profile says so.
            peer_reference: what the peer calls the version on air; empty when there is none.
            sent: outcomes of a Submit so far; only what is UNSENT is sent.

        Raises:
            NotSentError: no association. Try again at will.
            UnansweredError: sent, no answer in time.
            RejectedError: the peer refused.
        """
        ...
