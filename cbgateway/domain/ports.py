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
    def add_person(self, person: Person) -> None: ...
    def person(self, name: str) -> Person | None: ...
    def person_by_key(self, key_id: str) -> Person | None: ...
    def people(self) -> tuple[Person, ...]: ...
    def revoke_person(self, name: str) -> None: ...
    def add_region_key(self, key: RegionKey) -> None: ...
    def region_keys(self) -> tuple[RegionKey, ...]: ...

    # Incidents and bulletins
    def add_incident(self, incident: Incident) -> None: ...
    def incident(self, incident_id: str) -> Incident | None: ...
    def incidents(self) -> tuple[Incident, ...]: ...
    def set_incident_state(self, incident_id: str, state: IncidentState) -> None: ...
    def add_bulletin(self, record: BulletinRecord) -> None: ...
    def bulletin(self, bulletin_id: str) -> BulletinRecord | None: ...
    def bulletin_of(self, sender: str, identifier: str) -> BulletinRecord | None: ...
    def bulletins(self, incident_id: str | None = None) -> tuple[BulletinRecord, ...]: ...
    def set_bulletin_state(self, bulletin_id: str, state: BulletinState) -> None: ...
    def decide(self, bulletin_id: str, state: BulletinState, decision: Decision) -> None: ...
    def put_plan(self, bulletin_id: str, document: str) -> None: ...
    def plan(self, bulletin_id: str) -> str | None: ...

    # Serial numbers and budgets
    def serial_number(
        self, incident_id: str, message_identifier: int, scope: GeographicalScope
    ) -> SerialNumber | None: ...
    def next_message_code(
        self, message_identifier: int, scope: GeographicalScope, *, unused_since: datetime
    ) -> int | None: ...
    def put_serial_number(
        self, incident_id: str, message_identifier: int, serial: SerialNumber, *, at: datetime
    ) -> None: ...
    def tokens(self, region: str, alert_class: str) -> tuple[float, float] | None: ...
    def put_tokens(
        self, region: str, alert_class: str, *, tokens: float, updated_s: float
    ) -> None: ...

    # Recipients
    def put_recipients(self, carrier: str, recipients: Iterable[Recipient]) -> int: ...
    def recipients(self, carrier: str, regions: Sequence[str]) -> tuple[Recipient, ...]: ...
    def count_recipients(self) -> dict[tuple[str, str], int]: ...

    # Outbox
    def add_delivery(self, delivery: NewDelivery, *, at: datetime) -> None: ...
    def supersede(self, incident_id: str, *, before_number: int, at: datetime) -> int: ...
    def live_broadcasts(self, incident_id: str) -> tuple[LiveBroadcast, ...]: ...
    def due(self, peer_id: str, *, at: datetime, limit: int) -> tuple[Delivery, ...]: ...
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
    ) -> None: ...
    def deliveries(self, bulletin_id: str | None = None) -> tuple[Delivery, ...]: ...
    def in_state(self, state: DeliveryState) -> tuple[Delivery, ...]: ...
    def past_expiry(self, *, at: datetime) -> tuple[Delivery, ...]: ...
    def peer_reference(self, delivery: Delivery) -> str | None: ...

    # History
    def record(self, event: Event) -> None: ...
    def events(self, subject: str | None = None) -> tuple[Event, ...]: ...


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
