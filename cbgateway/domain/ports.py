"""What services ask of the outside: time, a store, links to carriers. `app` joins the two sides."""

from collections.abc import Awaitable, Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeVar, runtime_checkable

from cbgateway.domain.broadcast import GeographicalScope, SerialNumber
from cbgateway.domain.bulletin import Bulletin, BulletinState, Mode
from cbgateway.domain.delivery import (
    AlarmRecord,
    Answer,
    BulletinRecord,
    Decision,
    Delivery,
    Event,
    LiveBroadcast,
    NewDelivery,
    OnAirEvidence,
    Publication,
    Recipient,
    Submission,
    TextRecord,
)
from cbgateway.domain.incident import Incident, IncidentState
from cbgateway.domain.incoming import (
    IncomingMessage,
    ParkedReceipt,
    Receipt,
    ReceiptStates,
    StoredMessage,
    TakenIds,
)
from cbgateway.domain.kits import Kit, KitRecord
from cbgateway.domain.ledger import EnquiryLedger
from cbgateway.domain.lifecycle import DeliveryState
from cbgateway.domain.orders import (
    Handle,
    OnAirReport,
    Order,
    Reply,
    Report,
    SubmitReport,
    WriteReplace,
)
from cbgateway.domain.people import Key, Person

T = TypeVar("T")


class Clock(Protocol):
    """Wall time, and what it is held against; the only time the services know."""

    def now(self) -> datetime:
        """Give the present, aware."""
        ...

    def monotonic_s(self) -> float:
        """Give seconds that go on at the same pace and never jump."""
        ...


class SerialMarks(Protocol):
    """The newest version of every message code, in a file that no backup brings back."""

    def newest(
        self, message_identifier: int, scope: GeographicalScope, *, codes: range
    ) -> tuple[SerialNumber, datetime] | None:
        """Give which of some message codes was begun last, and when; None while none was."""
        ...

    def claimed(
        self, message_identifier: int, scope: GeographicalScope, message_code: int
    ) -> tuple[SerialNumber, datetime] | None:
        """Give the newest version of a message code, and when it was claimed."""
        ...

    def claim(self, message_identifier: int, serial: SerialNumber, *, at: datetime) -> None:
        """Burn a serial number, durably.

        Raises:
            StaleError: it, or a later version of it, was claimed in the meantime.
        """
        ...


class Transaction(EnquiryLedger, Protocol):
    """Reads and writes that become durable together or not at all."""

    def once(self, key: Hashable, find: Callable[[], T]) -> T:
        """Find something out once for all that is committed together, and give it again after that.

        Args:
            key: names it, with all of what it depends on that others could change meanwhile.
            find: finds it out; what it raises is not kept.
        """
        ...

    # People and keys
    def put_person(self, person: Person) -> None:
        """Register somebody, or change what is known of somebody."""
        ...

    def person(self, name: str) -> Person | None:
        """Find somebody by name."""
        ...

    def people(self) -> tuple[Person, ...]:
        """List everybody, by name."""
        ...

    def put_person_key(self, key: Key) -> None:
        """Register the public half of somebody's key, or change how long it counts."""
        ...

    def person_key(self, key_id: str) -> Key | None:
        """Find a person's key."""
        ...

    def person_keys(self, name: str | None = None) -> tuple[Key, ...]:
        """List the keys of somebody, or of everybody, the oldest first."""
        ...

    def put_region_key(self, key: Key) -> None:
        """Register the public half of a region's sealing key, or change how long it counts."""
        ...

    def region_keys(self) -> tuple[Key, ...]:
        """List the public sealing keys, by region, the oldest first."""
        ...

    # Offline kits
    def own_kit(self) -> Kit | None:
        """Give which kit this gateway is; None when it is none."""
        ...

    def put_kit(self, kit: KitRecord) -> None:
        """Note a kit, or what is known of it now."""
        ...

    def kits(self) -> tuple[KitRecord, ...]:
        """List the kits of this gateway, the oldest first."""
        ...

    def adopt_bulletin(self, record: BulletinRecord, plan: str | None) -> None:
        """Store a bulletin of a kit as it stands there."""
        ...

    def adopt_delivery(self, delivery: Delivery, *, due: datetime | None) -> int:
        """Store an order of a kit as it stands there; gives its number here.

        Args:
            delivery: with the number that it has there.
            due: when the dispatcher has to look at it; None for never.
        """
        ...

    def serial_numbers(self, incident_id: str) -> tuple[tuple[int, SerialNumber, datetime], ...]:
        """List what was given out for an incident: message identifier, serial number, when."""
        ...

    def count(self, counter: str) -> int:
        """Give how often something has happened, such as ``authority`` or ``recipients``."""
        ...

    def bump(self, counter: str) -> None:
        """Note that it has happened."""
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

    def told_incidents(self) -> tuple[Incident, ...]:
        """List the incidents of which a bulletin was approved, oldest first."""
        ...

    def incidents_after(self, incident_id: str, *, limit: int) -> tuple[Incident, ...]:
        """List some of the incidents, by name, that come after one; empty for the beginning."""
        ...

    def set_incident_state(self, incident_id: str, state: IncidentState) -> None:
        """Move an incident on.

        Raises:
            WorkflowError: the state it is in now does not allow that.
        """
        ...

    def add_bulletin(self, record: BulletinRecord) -> None:
        """Store a bulletin."""
        ...

    def revise_bulletin(self, bulletin: Bulletin, submission: Submission) -> None:
        """Put another content in place of a draft's or returned bulletin's."""
        ...

    def bulletin(self, bulletin_id: str) -> BulletinRecord | None:
        """Find a bulletin by its number in its incident."""
        ...

    def bulletin_state(self, bulletin_id: str) -> BulletinState | None:
        """Give the state of a bulletin, and read nothing else of it."""
        ...

    def bulletin_of(self, sender: str, identifier: str) -> tuple[BulletinRecord, str] | None:
        """Find what a sender's document with this name became, and the document's hash."""
        ...

    def bulletin_with_code(self, code: str) -> BulletinRecord | None:
        """Find a bulletin by its verification code."""
        ...

    def bulletins(self, incident_id: str | None = None) -> tuple[BulletinRecord, ...]:
        """List bulletins, in order."""
        ...

    def last_bulletin_ids(self, *, limit: int) -> tuple[str, ...]:
        """Name the last of all bulletins, in order; to show somebody what there is."""
        ...

    def recent_texts(
        self, sender: str, language: str, *, since: datetime, limit: int
    ) -> Iterator[TextRecord]:
        """Go through what a sender has lately said in one language, the newest first."""
        ...

    def told_before(self, bulletin: Bulletin, *, since: datetime) -> tuple[BulletinRecord, ...]:
        """List where its sender has lately told the same regions the same."""
        ...

    def ended_bulletins(self, *, at: datetime, limit: int) -> tuple[BulletinRecord, ...]:
        """List some bulletins whose time has passed, and whose state does not say so yet."""
        ...

    def undispatched_bulletins(self, *, before: datetime) -> tuple[BulletinRecord, ...]:
        """List what was approved before a time, and nothing of which has left."""
        ...

    def set_bulletin_state(self, bulletin_id: str, state: BulletinState) -> None:
        """Move a bulletin on.

        Raises:
            WorkflowError: the state it is in now does not allow that.
        """
        ...

    def decide(self, bulletin_id: str, state: BulletinState, decision: Decision) -> None:
        """Write a decision down and move the bulletin on.

        Raises:
            WorkflowError: the state it is in now does not allow that.
        """
        ...

    def watch(self, incident_id: str, *, at: datetime) -> None:
        """Have an incident looked at for a promise at a time, and not before."""
        ...

    def unwatch(self, incident_id: str) -> None:
        """Have an incident looked at no more until something about it changes."""
        ...

    def watched(self) -> tuple[str, ...]:
        """List the incidents that may have promised something.

        The store adds whatever gets a bulletin, and has incidents looked at that change.
        """
        ...

    def due_watches(self, *, at: datetime, began_by: datetime, limit: int) -> tuple[str, ...]:
        """List incidents that have to be looked at now.

        Args:
            at: now.
            began_by: of those of which nothing was said yet, when the outage began at the latest.
            limit: so many at most.
        """
        ...

    def put_plan(self, bulletin_id: str, document: str) -> None:
        """Keep what was approved."""
        ...

    def plan(self, bulletin_id: str) -> str | None:
        """Give what was approved."""
        ...

    def count_bulletins(self) -> dict[BulletinState, int]:
        """Count bulletins by state."""
        ...

    # Answers to machines
    def answer(self, holder: str, name: str) -> Answer | None:
        """Give what somebody's request with this name was answered."""
        ...

    def put_answer(self, holder: str, name: str, answer: Answer, *, until: datetime) -> None:
        """Keep an answer for a while."""
        ...

    def forget_answers(self, *, at: datetime, limit: int) -> None:
        """Drop some of those whose time has passed, and note until when they were dropped."""
        ...

    def answers_forgotten_at(self) -> datetime | None:
        """Give up to which time answers were dropped; None while none were."""
        ...

    # Alarms
    def alarm(self, sender: str, alarm_id: str) -> AlarmRecord | None:
        """Find an alarm by its sender's own name for it."""
        ...

    def put_alarm(self, alarm: AlarmRecord) -> None:
        """Note an alarm, or whether a known one was cleared."""
        ...

    def incident_of_cause(self, sender: str, cause: str) -> Incident | None:
        """Find the newest incident that a sender's alarms of one cause belong to."""
        ...

    def count_alarms(self, incident_id: str) -> tuple[int, int]:
        """Count an incident's alarms: all of them, and those that were cleared."""

    # Alerts that are exchanged with others
    def put_publication(self, publication: Publication) -> None:
        """Keep an alert; its name stands for it for ever."""
        ...

    def publication(self, sender: str, identifier: str) -> Publication | None:
        """Find an alert by its name."""
        ...

    def publication_of(self, bulletin_id: str, content_hash: str) -> Publication | None:
        """Find the alert that tells of a bulletin as it was submitted."""
        ...

    def publications(self, bulletin_id: str) -> tuple[Publication, ...]:
        """List the alerts of a bulletin."""
        ...

    def unpublished(self) -> tuple[str, ...]:
        """Name the bulletins that went out and have no alert yet, the oldest first."""
        ...

    def published(self) -> frozenset[str]:
        """Name the bulletins that have an alert, as they were submitted last."""
        ...

    # Serial numbers and budgets
    def serial_number(
        self, incident_id: str, message_identifier: int, scope: GeographicalScope
    ) -> SerialNumber | None:
        """Give the newest version of the incident's message."""
        ...

    def last_serial_number(
        self, message_identifier: int, scope: GeographicalScope, *, codes: range
    ) -> SerialNumber | None:
        """Give which of some message codes was given out last, to whatever incident."""
        ...

    def code_used_at(
        self, message_identifier: int, scope: GeographicalScope, message_code: int
    ) -> datetime | None:
        """Give when a message code was last used."""
        ...

    def put_serial_number(
        self, incident_id: str, message_identifier: int, serial: SerialNumber, *, at: datetime
    ) -> None:
        """Note that a version was given out."""
        ...

    def tokens(self, region: str, alert_class: str, sender: str) -> tuple[float, float] | None:
        """Give what a budget held, and when in seconds; None before its first use.

        `sender` is empty for the budget that all senders share.
        """
        ...

    def put_tokens(
        self, region: str, alert_class: str, sender: str, *, tokens: float, updated_s: float
    ) -> None:
        """Keep what a budget holds."""
        ...

    def has_spent(self, bulletin_id: str, region: str) -> bool:
        """Tell whether a bulletin has taken its token from a region's budget."""
        ...

    def put_spent(self, bulletin_id: str, region: str) -> None:
        """Note that a bulletin has taken its token from a region's budget."""
        ...

    # Recipients
    def recipients(self, carrier: str, regions: Sequence[str]) -> Iterator[Recipient]:
        """Go through a carrier's subscribers in the given regions, one region after another."""
        ...

    def count_recipients(self) -> dict[tuple[str, str], int]:
        """Count subscribers by carrier and region."""
        ...

    # Outbox
    def add_delivery(self, delivery: NewDelivery, *, at: datetime) -> None:
        """Put an order into the outbox."""
        ...

    def delivery(self, delivery_id: int) -> Delivery | None:
        """Find a delivery."""
        ...

    def unfinished(
        self, incident_id: str, *, before_number: int | None = None
    ) -> tuple[Delivery, ...]:
        """List an incident's orders, other than stops, that wait or are in doubt.

        With `before_number`, only those of earlier bulletins.
        """
        ...

    def live_broadcasts(self, incident_id: str) -> tuple[LiveBroadcast, ...]:
        """List what is, or may be, or is about to be on air for an incident."""
        ...

    def due(
        self, peer_id: str, *, at: datetime, limit: int, with_sms: bool, rank_max: int
    ) -> tuple[Delivery, ...]:
        """List what may be sent to a peer now, the most urgent first, of `rank_max` at most."""
        ...

    def waiting_peers(self) -> frozenset[str]:
        """Name the peers for which something waits, due or not."""
        ...

    def has_more_urgent_sms(self, peer_id: str, *, rank: int, at: datetime) -> bool:
        """Tell whether short messages of a higher class wait for a peer."""
        ...

    def settle(
        self,
        delivery: Delivery,
        state: DeliveryState,
        *,
        at: datetime,
        reason: str = "",
        due: datetime | None = None,
        peer_reference: str | None = None,
        outcomes: bytes | None = None,
        is_on_air: bool | None = None,
    ) -> None:
        """Move a delivery on, or keep it in its state with other particulars.

        Args:
            delivery: which one.
            state: what it becomes.
            at: now.
            reason: why.
            due: when the dispatcher has to look at it again; None for never.
            peer_reference: None leaves it as it is.
            outcomes: None leaves them as they are.
            is_on_air: None leaves it as it is.

        Raises:
            WorkflowError: the state it is in now does not allow that.
        """
        ...

    # What comes back
    def add_taken_ids(self, peer_id: str, taken: TakenIds, *, recipients: int) -> None:
        """Keep what a peer calls messages of a chunk of so many recipients."""
        ...

    def taken_ids(self, *, after: int, limit: int) -> tuple[tuple[int, str, TakenIds], ...]:
        """Go through what is kept, oldest first: row, peer, and what it calls them.

        Args:
            after: the row after which to begin; 0 for the beginning.
            limit: how many rows at most.
        """
        ...

    def taken_ids_before(self, *, octets: int) -> int:
        """Give the row after which the ids that came last, of so many octets at most, begin."""
        ...

    def receipt_states(self, delivery_id: int) -> ReceiptStates | None:
        """Give what receipts have told of a chunk; None when none were asked for."""
        ...

    def put_receipt_states(self, delivery_id: int, states: bytes) -> None:
        """Keep what receipts have told of a chunk."""
        ...

    def put_outcomes(self, delivery: Delivery, outcomes: bytes) -> None:
        """Note what became of recipients, and leave everything else of a chunk as it is."""
        ...

    def park_receipt(self, peer_id: str, receipt: Receipt, *, at: datetime) -> int:
        """Keep a receipt whose message is not known; gives its number."""
        ...

    def parked_receipts(self) -> tuple[ParkedReceipt, ...]:
        """List the receipts whose message is not known, the oldest first."""
        ...

    def drop_parked_receipts(self, numbers: Iterable[int]) -> None:
        """Forget parked receipts."""
        ...

    def add_message(self, peer_id: str, message: IncomingMessage, *, at: datetime) -> None:
        """Keep an incoming message until it is handled."""
        ...

    def messages(self, *, limit: int) -> tuple[StoredMessage, ...]:
        """List incoming messages that wait, the oldest first."""
        ...

    def count_messages(self) -> int:
        """Count incoming messages that wait."""
        ...

    def drop_messages(self, numbers: Iterable[int]) -> None:
        """Forget incoming messages that were handled."""
        ...

    def off_air(self, delivery: Delivery, *, before_only: bool) -> None:
        """Note that earlier versions of a broadcast were replaced, or that all were stopped."""
        ...

    def deliveries(self, bulletin_id: str | None = None) -> tuple[Delivery, ...]:
        """List deliveries, in the order of their commits."""
        ...

    def on_air(self, peer_id: str) -> tuple[Delivery, ...]:
        """List what is, or may be, on air at a peer."""
        ...

    def open_stops(self, peer_id: str) -> tuple[Delivery, ...]:
        """List the stops that a peer has not carried out yet."""
        ...

    def in_state(self, state: DeliveryState) -> tuple[Delivery, ...]:
        """List the deliveries that stand in one open state."""
        ...

    def count_open(self) -> dict[tuple[str, DeliveryState], int]:
        """Count what is open, by peer and state."""
        ...

    def past_expiry(self, *, at: datetime, limit: int) -> tuple[Delivery, ...]:
        """List some of what waits or is in doubt and may not be sent any more."""
        ...

    def handle(self, delivery: Delivery) -> Handle:
        """Give how the broadcast that `delivery` replaces or stops is known at its peer."""
        ...

    def ask_on_air(self, delivery: Delivery, *, due: datetime) -> None:
        """Have a peer asked what became of a broadcast, at a time or soon after."""
        ...

    def due_on_air(self, peer_id: str, *, at: datetime) -> Delivery | None:
        """Find a broadcast that a peer is to be asked about now."""
        ...

    def put_on_air(self, delivery_id: int, evidence: OnAirEvidence) -> None:
        """Keep what a peer has said of a broadcast; it is not asked again by itself."""
        ...

    def forget_ambiguous_name(self, delivery: Delivery, name: str, *, at: datetime) -> bool:
        """Tell whether a peer calls another broadcast on air the same; then nobody is called so."""
        ...

    def forget_name(self, peer_id: str, name: str) -> None:
        """Note that a peer does not know the name that it has given to a broadcast on air."""
        ...

    # History
    def record(self, event: Event) -> int:
        """Add a leaf to the audit log; gives its index."""
        ...

    def events(self, subject: str | None = None) -> tuple[Event, ...]:
        """Give the history, of one subject or whole."""
        ...

    def audit_size(self) -> int:
        """Give how many leaves the audit log has."""
        ...

    def audit_root(self, size: int | None = None) -> bytes:
        """Give the root hash of the audit log, or of its first `size` leaves."""
        ...

    def audit_entries(self, start: int, end: int) -> Iterator[bytes]:
        """Go through leaves as they were written."""
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
        """Write from an event loop; returns once committed, together with others' work.

        Raises:
            StoreFailedError: the disk failed; the process has to end.
        """
        ...

    def put_recipients(self, carrier: str, lines: Iterable[tuple[int, Recipient]]) -> int:
        """Add subscribers to a carrier's list, or move them to another region; all or none.

        Nobody waits while `lines` are read.

        Args:
            carrier: whose subscribers they are.
            lines: which line of the list each stands in, counting up, and who it is.

        Returns:
            How many there were.

        Raises:
            InputError: a number stands there twice; names the lines.
        """
        ...

    def has_changed(self) -> bool:
        """Tell whether any process has committed since the last call."""
        ...


class Inbox(Protocol):
    """Takes what carriers send."""

    async def take(
        self, peer_id: str, items: Sequence[Receipt | IncomingMessage]
    ) -> Sequence[bool]:
        """Commit what has come from a peer.

        Returns:
            For each whether it is kept; what is not, the peer has to send again.

        Raises:
            StoreFailedError: the disk failed.
        """
        ...


class CarrierLink(Protocol):
    """The association with one peer.

    `run` owns the socket; `send` may be called from any task of the same event loop.
    """

    peer_id: str

    @property
    def window_max(self) -> int:
        """Recipients that one Submit may have now, and so may be in doubt at once."""
        ...

    async def run(self) -> None:
        """Hold the association up, reconnecting with backoff, until cancelled."""
        ...

    async def wait_ready(self) -> None:
        """Return as soon as the peer can be asked."""
        ...

    def drain(self) -> None:
        """Send nothing new; what was sent is still waited for, what was not is NotSent."""
        ...

    async def send(self, order: Order, *, seal: str, handle: Handle, is_urgent: bool) -> Report:
        """Have the peer carry out `order`; return once it has answered.

        Args:
            order: what to do; a Submit has at most one window of recipients.
            seal: the region's seal, which travels where the carrier's profile says so.
            handle: how the peer knows the broadcast.
            is_urgent: do not wait behind what is not.

        Raises:
            NotSentError: no association. Try again at will.
            UnansweredError: sent, no answer in time.
            RejectedError: the peer refused.
        """
        ...

    async def ask(self, handle: Handle) -> OnAirReport:
        """Ask the peer what became of a broadcast; it changes nothing.

        Raises:
            NotSentError: no association.
            UnansweredError: no answer in time.
            RejectedError: the peer refused, or does not know the broadcast.
        """
        ...


@runtime_checkable
class AnsweringLink(Protocol):
    """A link by which people who ask are answered."""

    peer_id: str

    async def wait_ready(self) -> None:
        """Return as soon as the peer can be asked."""
        ...

    async def reply(self, reply: Reply) -> SubmitReport:
        """Send a reply to everybody who gets it, in the room that bulletins leave.

        Raises:
            NotSentError: no association, and nothing has left.
            EncodeError: it cannot be written for the peer; nothing has left.
        """
        ...


@dataclass(frozen=True, slots=True)
class Ended:
    """A broadcast whose time has passed, and that may still be on air.

    Attributes:
        delivery_id: of its order.
    """

    delivery_id: int
    order: WriteReplace


@dataclass(frozen=True, slots=True)
class OnAir:
    """What a peer should have on air, and what it should not.

    Attributes:
        live: with the broadcasts that are left of each.
        ended: to be taken off, where it still is.
    """

    live: tuple[WriteReplace, ...]
    ended: tuple[Ended, ...]


@dataclass(frozen=True, slots=True)
class Reloaded:
    """What came of comparing a peer with what it should have.

    Attributes:
        written: in how many cells something was missing and is on air again, by bulletin.
        ended: deliveries that are off the air now.
    """

    written: Mapping[str, int]
    ended: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class PeerStatus:
    """How a peer stands.

    Attributes:
        role: who connects: ``connect`` is us.
        since_s: how long it is up, or down; None when it never was.
        answered_s: how long ago it last answered.
        round_trip_s: of the last question whether it is there.
        broadcasts: messages that it has on air.
        cells_on_air: cells that took one of them.
        cells_failed: cells that did not.
        cells_down: cells that cannot broadcast, as it says.
        problem: why it is down.
    """

    peer_id: str
    interface: str
    role: str
    address: str
    is_up: bool
    since_s: float | None
    answered_s: float | None
    round_trip_s: float | None
    broadcasts: int
    cells_on_air: int
    cells_failed: int
    cells_down: tuple[str, ...]
    problem: str


@runtime_checkable
class ReloadingLink(Protocol):
    """A link to a peer that may lose what it has on air, and can be asked what it has."""

    peer_id: str

    async def wait_reload(self) -> None:
        """Return as soon as the peer may have lost something, or it is time to look."""
        ...

    async def reload(self, read: Callable[[], Awaitable[OnAir]]) -> Reloaded:
        """Put on air again what is missing there, and take off what has ended.

        Args:
            read: gives what should be on air; called once nothing that is sent later can be
                mistaken for something older.

        Raises:
            DeliveryError: the peer did not answer, or is gone.
        """
        ...


@runtime_checkable
class ProbedLink(Protocol):
    """A link whose way to the peer and back can be proved without a public message."""

    peer_id: str

    async def probe(self) -> float:
        """Go there and back; gives how many seconds that took.

        Raises:
            DeliveryError: the peer did not answer, or is gone.
        """
        ...

    def status(self) -> PeerStatus:
        """Say how the peer stands."""
        ...
