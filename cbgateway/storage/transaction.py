"""What the store can do inside a transaction, by the named statements of queries.sql."""

import json
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from datetime import datetime
from functools import cached_property
from typing import Any, TypeVar

import apsw

from cbgateway.domain.broadcast import GeographicalScope, SerialNumber
from cbgateway.domain.bulletin import Bulletin, BulletinState, without_code
from cbgateway.domain.delivery import (
    AlarmRecord,
    Answer,
    BulletinRecord,
    Channel,
    Decision,
    Delivery,
    Event,
    Lineage,
    LiveBroadcast,
    NewDelivery,
    OnAirEvidence,
    Publication,
    Recipient,
    Submission,
    TextRecord,
)
from cbgateway.domain.errors import AuditError
from cbgateway.domain.incident import Incident, IncidentState
from cbgateway.domain.incoming import (
    IncomingMessage,
    ParkedReceipt,
    Receipt,
    ReceiptStates,
    StoredMessage,
    TakenIds,
)
from cbgateway.domain.kits import MAIN_ALIASES, Kit, KitRecord, slot_aliases
from cbgateway.domain.lifecycle import (
    DeliveryState,
    advance_bulletin,
    advance_delivery,
    advance_incident,
)
from cbgateway.domain.orders import Handle, WriteReplace, decode_order
from cbgateway.domain.people import Key, Person
from cbgateway.signing import tlog
from cbgateway.signing.canonical import canonical, digest
from cbgateway.storage.enquiries import EnquiryRows
from cbgateway.storage.rows import (
    bulletin_document,
    decision_document,
    delivery_of,
    dump,
    event_document,
    event_of,
    incident_of,
    key_of,
    kit_of,
    message_of,
    milliseconds,
    moment,
    parked_receipt_of,
    permission_document,
    person_of,
    publication_of,
    record_of,
    submission_document,
    taken_ids_of,
)

T = TypeVar("T")


class SqliteTransaction(EnquiryRows):
    """Implements `domain.ports.Transaction` inside a transaction that the store has begun."""

    def __init__(
        self, connection: apsw.Connection, found: dict[Hashable, Any] | None = None
    ) -> None:
        """Work on a connection.

        Args:
            connection: has a transaction open.
            found: what others have found out in it.
        """
        super().__init__(connection)
        self._found = {} if found is None else found

    def once(self, key: Hashable, find: Callable[[], T]) -> T:
        if key not in self._found:
            self._found[key] = find()
        found: T = self._found[key]
        return found

    # People and keys

    def put_person(self, person: Person) -> None:
        self._run(
            "put_person",
            name=person.name,
            may_submit=person.may_submit,
            may_approve=person.may_approve,
            permission=json.dumps(permission_document(person.permission)),
            owner=person.owner,
            is_revoked=person.is_revoked,
        )
        self.bump("authority")

    def person(self, name: str) -> Person | None:
        return _first(map(person_of, self._rows("person", name=name)))

    def people(self) -> tuple[Person, ...]:
        return tuple(map(person_of, self._rows("people")))

    def put_person_key(self, key: Key) -> None:
        self._put_key("put_person_key", key)

    def person_key(self, key_id: str) -> Key | None:
        return _first(map(key_of, self._rows("person_key", key_id=key_id)))

    def person_keys(self, name: str | None = None) -> tuple[Key, ...]:
        return tuple(map(key_of, self._rows("person_keys", name=name)))

    def put_region_key(self, key: Key) -> None:
        self._put_key("put_region_key", key)

    def region_keys(self) -> tuple[Key, ...]:
        return tuple(map(key_of, self._rows("region_keys")))

    def _put_key(self, statement: str, key: Key) -> None:
        self._run(
            statement,
            key_id=key.key_id,
            holder=key.holder,
            public_key=key.public_key,
            since_ms=milliseconds(key.since),
            until_ms=None if key.until is None else milliseconds(key.until),
            is_revoked=key.is_revoked,
            kit=key.kit,
        )
        self.bump("authority")

    # Offline kits

    def own_kit(self) -> Kit | None:
        facts = {row["key"]: row["value"] for row in self._rows("own_kit")}
        if "kit" not in facts:
            return None
        until = moment(int(facts["kit_until"]))
        return Kit(facts["kit"], int(facts["kit_slot"]), until, "kit_closed" in facts)

    def put_kit(self, kit: KitRecord) -> None:
        self._run(
            "put_kit",
            name=kit.name,
            slot=kit.slot,
            gateway_id=kit.gateway_id,
            audit_public_key=kit.audit_public_key,
            made_ms=milliseconds(kit.made_at),
            until_ms=milliseconds(kit.until),
            merged_size=kit.merged_size,
            merged_root=kit.merged_root,
        )

    def kits(self) -> tuple[KitRecord, ...]:
        return tuple(map(kit_of, self._rows("kits")))

    def adopt_bulletin(self, record: BulletinRecord, plan: str | None) -> None:
        bulletin, decision = record.bulletin, record.decision
        self._run(
            "adopt_bulletin",
            incident_id=bulletin.incident_id,
            number=bulletin.number,
            state=record.state,
            decision=None if decision is None else dump(decision_document(decision)),
            decided_by=None if decision is None else decision.decided_by,
            decided_ms=None if decision is None else milliseconds(decision.decided_at),
            plan=plan,
            **self._content(bulletin, record.submission),
        )
        self._add_revision(bulletin, record.submission)

    def adopt_delivery(self, delivery: Delivery, *, due: datetime | None) -> int:
        self._run(
            "adopt_delivery",
            **_order_of(delivery),
            state=delivery.state,
            due_ms=None if due is None else milliseconds(due),
            attempts=delivery.attempts,
            outcomes=delivery.outcomes,
            peer_reference=delivery.peer_reference,
            alias=delivery.alias,
            is_on_air=delivery.is_on_air,
            reason=delivery.reason,
            at_ms=milliseconds(delivery.updated_at),
        )
        return self._connection.last_insert_rowid()

    def serial_numbers(self, incident_id: str) -> tuple[tuple[int, SerialNumber, datetime], ...]:
        return tuple(
            (
                row["message_identifier"],
                SerialNumber(
                    GeographicalScope(row["scope"]), row["message_code"], row["update_number"]
                ),
                moment(row["used_ms"]),
            )
            for row in self._rows("serial_numbers", incident_id=incident_id)
        )

    def count(self, counter: str) -> int:
        return _first(row["value"] for row in self._rows("counter", name=counter)) or 0

    def bump(self, counter: str) -> None:
        self._run("bump", name=counter)

    # Incidents and bulletins

    def add_incident(self, incident: Incident) -> None:
        self._run(
            "add_incident",
            incident_id=incident.incident_id,
            carrier=incident.carrier,
            services=json.dumps(incident.services),
            started_ms=milliseconds(incident.started_at),
            state=incident.state,
        )

    def incident(self, incident_id: str) -> Incident | None:
        return _first(map(incident_of, self._rows("incident", incident_id=incident_id)))

    def incidents(self) -> tuple[Incident, ...]:
        return tuple(map(incident_of, self._rows("incidents")))

    def told_incidents(self) -> tuple[Incident, ...]:
        return tuple(map(incident_of, self._rows("told_incidents")))

    def incidents_after(self, incident_id: str, *, limit: int) -> tuple[Incident, ...]:
        rows = self._rows("incidents_after", after=incident_id, limit=limit)
        return tuple(map(incident_of, rows))

    def set_incident_state(self, incident_id: str, state: IncidentState) -> None:
        incident = self.incident(incident_id)
        assert incident is not None, incident_id  # noqa: S101 - bulletins refer to incidents
        advance_incident(incident.state, state)
        self._run("set_incident_state", incident_id=incident_id, state=state)
        self._run("watch", incident_id=incident_id, look_ms=0)  # it may have been over before

    def add_bulletin(self, record: BulletinRecord) -> None:
        bulletin = record.bulletin
        self._run(
            "add_bulletin",
            incident_id=bulletin.incident_id,
            number=bulletin.number,
            state=record.state,
            **self._content(bulletin, record.submission),
        )
        self._add_revision(bulletin, record.submission)
        self._run("watch_beginning", incident_id=bulletin.incident_id)

    def revise_bulletin(self, bulletin: Bulletin, submission: Submission) -> None:
        self._run("revise_bulletin", **self._content(bulletin, submission))
        self._add_revision(bulletin, submission)

    @staticmethod
    def _content(bulletin: Bulletin, submission: Submission) -> dict[str, Any]:
        return {
            "bulletin_id": bulletin.bulletin_id,
            "document": dump(bulletin_document(bulletin)),
            "submission": dump(submission_document(submission)),
            "submitted_by": submission.submitted_by,
            "submitted_ms": milliseconds(submission.submitted_at),
            "said": _said(bulletin),
            "expires_ms": milliseconds(bulletin.expires),
        }

    def _add_revision(self, bulletin: Bulletin, submission: Submission) -> None:
        self._run(
            "add_revision",
            sender=bulletin.sender,
            identifier=bulletin.identifier,
            bulletin_id=bulletin.bulletin_id,
            content_hash=submission.content_hash,
        )

    def bulletin(self, bulletin_id: str) -> BulletinRecord | None:
        return _first(map(record_of, self._rows("bulletin", bulletin_id=bulletin_id)))

    def bulletin_state(self, bulletin_id: str) -> BulletinState | None:
        rows = self._run("bulletin_state", bulletin_id=bulletin_id)
        return _first(BulletinState(state) for (state,) in rows)

    def bulletin_of(self, sender: str, identifier: str) -> tuple[BulletinRecord, str] | None:
        rows = self._rows("bulletin_of", sender=sender, identifier=identifier)
        return _first((record_of(row), row["content_hash"]) for row in rows)

    def bulletin_with_code(self, code: str) -> BulletinRecord | None:
        return _first(map(record_of, self._rows("bulletin_with_code", code=code)))

    def bulletins(self, incident_id: str | None = None) -> tuple[BulletinRecord, ...]:
        if incident_id is None:
            return tuple(map(record_of, self._rows("bulletins")))
        return tuple(map(record_of, self._rows("bulletins_of", incident_id=incident_id)))

    def last_bulletin_ids(self, *, limit: int) -> tuple[str, ...]:
        names = [name for (name,) in self._run("last_bulletin_ids", limit=limit)]
        return tuple(reversed(names))

    def recent_texts(
        self, sender: str, language: str, *, since: datetime, limit: int
    ) -> Iterator[TextRecord]:
        rows = self._run(
            "recent_texts",
            sender=sender,
            language=language,
            since_ms=milliseconds(since),
            limit=limit,
        )
        for bulletin_id, state, text, code in rows:
            words = without_code(text or "", code or "")
            yield TextRecord(bulletin_id, BulletinState(state), words)

    def told_before(self, bulletin: Bulletin, *, since: datetime) -> tuple[BulletinRecord, ...]:
        rows = self._rows(
            "told_before",
            sender=bulletin.sender,
            said=_said(bulletin),
            since_ms=milliseconds(since),
        )
        return tuple(map(record_of, rows))

    def ended_bulletins(self, *, at: datetime, limit: int) -> tuple[BulletinRecord, ...]:
        rows = self._rows("ended_bulletins", at_ms=milliseconds(at), limit=limit)
        return tuple(map(record_of, rows))

    def undispatched_bulletins(self, *, before: datetime) -> tuple[BulletinRecord, ...]:
        rows = self._rows("undispatched_bulletins", before_ms=milliseconds(before))
        return tuple(map(record_of, rows))

    def set_bulletin_state(self, bulletin_id: str, state: BulletinState) -> None:
        self._advance_bulletin(bulletin_id, state)
        self._run("set_bulletin_state", bulletin_id=bulletin_id, state=state)
        if state is BulletinState.RETURNED:
            self._run("watch_now", bulletin_id=bulletin_id)  # what was said before counts again

    def decide(self, bulletin_id: str, state: BulletinState, decision: Decision) -> None:
        self._advance_bulletin(bulletin_id, state)
        self._run(
            "decide",
            bulletin_id=bulletin_id,
            state=state,
            decided_by=decision.decided_by,
            decided_ms=milliseconds(decision.decided_at),
            decision=dump(decision_document(decision)),
        )

        if decision.plan_hash:
            self._run("watch_now", bulletin_id=bulletin_id)

    def watch(self, incident_id: str, *, at: datetime) -> None:
        self._run("watch", incident_id=incident_id, look_ms=milliseconds(at))

    def unwatch(self, incident_id: str) -> None:
        self._run("unwatch", incident_id=incident_id)

    def watched(self) -> tuple[str, ...]:
        return tuple(incident_id for (incident_id,) in self._run("watched"))

    def due_watches(self, *, at: datetime, began_by: datetime, limit: int) -> tuple[str, ...]:
        rows = self._run(
            "due_watches", at_ms=milliseconds(at), began_ms=milliseconds(began_by), limit=limit
        )
        return tuple(incident_id for (incident_id,) in rows)

    def _advance_bulletin(self, bulletin_id: str, state: BulletinState) -> None:
        rows = self._rows("bulletin_state", bulletin_id=bulletin_id)
        advance_bulletin(BulletinState(rows[0]["state"]), state)

    def put_plan(self, bulletin_id: str, document: str) -> None:
        self._run("put_plan", bulletin_id=bulletin_id, plan=document)

    def plan(self, bulletin_id: str) -> str | None:
        return _first(row["plan"] for row in self._rows("plan", bulletin_id=bulletin_id))

    # Alerts that are exchanged with others

    def put_publication(self, publication: Publication) -> None:
        self._run(
            "put_publication",
            sender=publication.name.sender,
            identifier=publication.name.identifier,
            sent_ms=milliseconds(publication.name.sent),
            bulletin_id=publication.bulletin_id,
            content_hash=publication.content_hash,
            source_hash=publication.source_hash,
            octets=publication.octets,
        )

    def publication(self, sender: str, identifier: str) -> Publication | None:
        rows = self._rows("publication", sender=sender, identifier=identifier)
        return _first(map(publication_of, rows))

    def publication_of(self, bulletin_id: str, content_hash: str) -> Publication | None:
        rows = self._rows("publications", bulletin_id=bulletin_id, content_hash=content_hash)
        return _first(map(publication_of, rows))

    def publications(self, bulletin_id: str) -> tuple[Publication, ...]:
        rows = self._rows("publications", bulletin_id=bulletin_id, content_hash=None)
        return tuple(map(publication_of, rows))

    def unpublished(self) -> tuple[str, ...]:
        return tuple(bulletin_id for (bulletin_id,) in self._run("unpublished"))

    def published(self) -> frozenset[str]:
        return frozenset(bulletin_id for (bulletin_id,) in self._run("published"))

    # Serial numbers and budgets

    def serial_number(
        self, incident_id: str, message_identifier: int, scope: GeographicalScope
    ) -> SerialNumber | None:
        rows = self._rows(
            "serial_number",
            incident_id=incident_id,
            message_identifier=message_identifier,
            scope=int(scope),
        )
        return _first(
            SerialNumber(scope, row["message_code"], row["update_number"]) for row in rows
        )

    def last_serial_number(
        self, message_identifier: int, scope: GeographicalScope, *, codes: range
    ) -> SerialNumber | None:
        rows = self._rows(
            "last_serial_number",
            message_identifier=message_identifier,
            scope=int(scope),
            first=codes[0],
            last=codes[-1],
        )
        return _first(
            SerialNumber(scope, row["message_code"], row["update_number"]) for row in rows
        )

    def code_used_at(
        self, message_identifier: int, scope: GeographicalScope, message_code: int
    ) -> datetime | None:
        ((used_ms,),) = self._run(
            "code_used",
            message_identifier=message_identifier,
            scope=int(scope),
            message_code=message_code,
        )
        return None if used_ms is None else moment(used_ms)

    def put_serial_number(
        self, incident_id: str, message_identifier: int, serial: SerialNumber, *, at: datetime
    ) -> None:
        self._run(
            "put_serial_number",
            incident_id=incident_id,
            message_identifier=message_identifier,
            scope=int(serial.geographical_scope),
            message_code=serial.message_code,
            update_number=serial.update_number,
            used_ms=milliseconds(at),
        )

    def tokens(self, region: str, alert_class: str, sender: str) -> tuple[float, float] | None:
        rows = self._rows("tokens", region=region, alert_class=alert_class, sender=sender)
        return _first((row["tokens"], row["updated_s"]) for row in rows)

    def put_tokens(
        self, region: str, alert_class: str, sender: str, *, tokens: float, updated_s: float
    ) -> None:
        self._run(
            "put_tokens",
            region=region,
            alert_class=alert_class,
            sender=sender,
            tokens=tokens,
            updated_s=updated_s,
        )

    def has_spent(self, bulletin_id: str, region: str) -> bool:
        return bool(self._rows("spent", bulletin_id=bulletin_id, region=region))

    def put_spent(self, bulletin_id: str, region: str) -> None:
        self._run("put_spent", bulletin_id=bulletin_id, region=region)

    # Recipients

    def recipients(self, carrier: str, regions: Sequence[str]) -> Iterator[Recipient]:
        for region in regions:
            for row in self._run("recipients", carrier=carrier, region=region):
                yield Recipient(*row)

    def count_recipients(self) -> dict[tuple[str, str], int]:
        return {
            (carrier, region): count for carrier, region, count in self._run("count_recipients")
        }

    # Outbox

    def add_delivery(self, delivery: NewDelivery, *, at: datetime) -> None:
        self._run("add_delivery", **_order_of(delivery), at_ms=milliseconds(at))
        serial = delivery.serial_number
        if serial is not None:
            self._set_alias(self._connection.last_insert_rowid(), delivery.lineage, serial)

    def _set_alias(self, delivery_id: int, lineage: Lineage, serial: SerialNumber) -> None:
        known = _first(
            row["alias"]
            for row in self._rows("alias", **_message_of(lineage), serial_number=int(serial))
        )
        if known is None:
            known = self._aliases[delivery_id % len(self._aliases)]
        self._run("set_alias", delivery_id=delivery_id, alias=known)

    @cached_property
    def _aliases(self) -> range:
        kit = self.own_kit()
        return MAIN_ALIASES if kit is None else slot_aliases(kit.slot)

    def delivery(self, delivery_id: int) -> Delivery | None:
        return _first(map(delivery_of, self._rows("delivery", delivery_id=delivery_id)))

    def unfinished(
        self, incident_id: str, *, before_number: int | None = None
    ) -> tuple[Delivery, ...]:
        rows = self._rows("unfinished", incident_id=incident_id, before_number=before_number)
        return tuple(map(delivery_of, rows))

    def live_broadcasts(self, incident_id: str) -> tuple[LiveBroadcast, ...]:
        return tuple(
            LiveBroadcast(
                lineage=Lineage(
                    row["peer_id"],
                    incident_id,
                    row["region"],
                    Channel.BROADCAST,
                    row["message_identifier"],
                ),
                language=row["language"],
                serial_number=SerialNumber.from_int(row["serial_number"]),
            )
            for row in self._rows("live_broadcasts", incident_id=incident_id)
        )

    def due(
        self, peer_id: str, *, at: datetime, limit: int, with_sms: bool, rank_max: int
    ) -> tuple[Delivery, ...]:
        rows = self._rows(
            "due",
            peer_id=peer_id,
            at_ms=milliseconds(at),
            limit=limit,
            with_sms=with_sms,
            rank_max=rank_max,
        )
        return tuple(map(delivery_of, rows))

    def waiting_peers(self) -> frozenset[str]:
        return frozenset(peer_id for (peer_id,) in self._run("waiting_peers"))

    def has_more_urgent_sms(self, peer_id: str, *, rank: int, at: datetime) -> bool:
        return bool(
            self._rows("more_urgent_sms", peer_id=peer_id, rank=rank, at_ms=milliseconds(at))
        )

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
        rows = self._rows("delivery_state", delivery_id=delivery.delivery_id)
        now = DeliveryState(rows[0]["state"])
        if now is not state:
            advance_delivery(now, state)
        self._run(
            "settle",
            delivery_id=delivery.delivery_id,
            state=state,
            at_ms=milliseconds(at),
            reason=reason,
            due_ms=None if due is None else milliseconds(due),
            peer_reference=peer_reference,
            outcomes=outcomes,
            is_on_air=is_on_air,
        )

    # What comes back

    def add_taken_ids(self, peer_id: str, taken: TakenIds, *, recipients: int) -> None:
        parts, ids = taken.parts, b"\0".join(taken.ids)
        delivery_id, start = taken.delivery_id, taken.indexes.start
        messages = recipients * parts
        self._run("add_receipt_states", delivery_id=delivery_id, parts=parts, messages=messages)
        self._run(
            "add_taken_ids",
            peer_id=peer_id,
            delivery_id=delivery_id,
            parts=parts,
            start=start,
            ids=ids,
        )

    def taken_ids(self, *, after: int, limit: int) -> tuple[tuple[int, str, TakenIds], ...]:
        rows = self._rows("taken_ids", after=after, limit=limit)
        return tuple((row["taken_number"], row["peer_id"], taken_ids_of(row)) for row in rows)

    def taken_ids_before(self, *, octets: int) -> int:
        return int(next(iter(self._run("taken_ids_before", octets=octets)))[0])

    def receipt_states(self, delivery_id: int) -> ReceiptStates | None:
        rows = self._run("receipt_states", delivery_id=delivery_id)
        return _first(ReceiptStates(parts, bytes(states)) for parts, states in rows)

    def put_receipt_states(self, delivery_id: int, states: bytes) -> None:
        self._run("put_receipt_states", delivery_id=delivery_id, states=states)

    def put_outcomes(self, delivery: Delivery, outcomes: bytes) -> None:
        self._run("put_outcomes", delivery_id=delivery.delivery_id, outcomes=outcomes)

    def ask_on_air(self, delivery: Delivery, *, due: datetime) -> None:
        self._run(
            "ask_on_air",
            delivery_id=delivery.delivery_id,
            peer_id=delivery.lineage.peer_id,
            due_ms=milliseconds(due),
        )

    def due_on_air(self, peer_id: str, *, at: datetime) -> Delivery | None:
        rows = self._rows("due_on_air", peer_id=peer_id, at_ms=milliseconds(at))
        return _first(map(delivery_of, rows))

    def put_on_air(self, delivery_id: int, evidence: OnAirEvidence) -> None:
        self._run(
            "put_on_air",
            delivery_id=delivery_id,
            asked_ms=milliseconds(evidence.asked_at),
            state=evidence.state,
            areas=json.dumps(evidence.areas),
            problem=evidence.problem,
        )

    def park_receipt(self, peer_id: str, receipt: Receipt, *, at: datetime) -> int:
        rows = self._rows(
            "park_receipt", peer_id=peer_id, at_ms=milliseconds(at), **receipt._asdict()
        )
        return int(rows[0]["receipt_number"])

    def parked_receipts(self) -> tuple[ParkedReceipt, ...]:
        return tuple(map(parked_receipt_of, self._rows("parked_receipts")))

    def drop_parked_receipts(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            self._run("drop_parked_receipt", number=number)

    def add_message(self, peer_id: str, message: IncomingMessage, *, at: datetime) -> None:
        self._run(
            "add_message",
            peer_id=peer_id,
            at_ms=milliseconds(at),
            source=message.source,
            destination=message.destination,
            body=message.text,
            part=message.part,
            parts=message.parts,
            reference=message.reference,
        )

    def messages(self, *, limit: int) -> tuple[StoredMessage, ...]:
        return tuple(map(message_of, self._rows("messages", limit=limit)))

    def count_messages(self) -> int:
        return int(next(iter(self._run("count_messages")))[0])

    def drop_messages(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            self._run("drop_message", number=number)

    def off_air(self, delivery: Delivery, *, before_only: bool) -> None:
        if delivery.serial_number is not None:
            self._run(
                "off_air",
                **_message_of(delivery.lineage),
                serial_number=int(delivery.serial_number),
                before_id=delivery.delivery_id if before_only else None,
            )

    def deliveries(self, bulletin_id: str | None = None) -> tuple[Delivery, ...]:
        if bulletin_id is None:
            return tuple(map(delivery_of, self._rows("deliveries")))
        return tuple(map(delivery_of, self._rows("deliveries_of", bulletin_id=bulletin_id)))

    def on_air(self, peer_id: str) -> tuple[Delivery, ...]:
        return tuple(map(delivery_of, self._rows("on_air", peer_id=peer_id)))

    def open_stops(self, peer_id: str) -> tuple[Delivery, ...]:
        return tuple(map(delivery_of, self._rows("open_stops", peer_id=peer_id)))

    def in_state(self, state: DeliveryState) -> tuple[Delivery, ...]:
        if state is DeliveryState.INTENT:
            return tuple(map(delivery_of, self._rows("in_flight")))
        return tuple(map(delivery_of, self._rows("in_state", state=state)))

    def count_open(self) -> dict[tuple[str, DeliveryState], int]:
        return {
            (peer_id, DeliveryState(state)): count
            for peer_id, state, count in self._run("count_open")
        }

    def past_expiry(self, *, at: datetime, limit: int) -> tuple[Delivery, ...]:
        rows = self._rows("past_expiry", at_ms=milliseconds(at), limit=limit)
        return tuple(map(delivery_of, rows))

    def handle(self, delivery: Delivery) -> Handle:
        if delivery.serial_number is None:
            return Handle()
        rows = self._rows(
            "handle",
            **_message_of(delivery.lineage),
            serial_number=int(delivery.serial_number),
            delivery_id=delivery.delivery_id,
        )
        name = _first(row["peer_reference"] for row in rows if row["peer_reference"])
        orders = [
            decode_order(row["order_document"])
            for row in rows
            if '"cells"' in row["order_document"]
        ]
        cells = dict.fromkeys(cell for order in orders for cell in order.area.cells)
        return Handle(
            name=name or "",
            message_identifier=delivery.lineage.message_identifier or 0,
            alias=delivery.alias,
            may_be_on_air=bool(rows),
            versions=tuple(dict.fromkeys(row["serial_number"] for row in rows)),
            cells=tuple(cells),
            has_primary=any(
                isinstance(order, WriteReplace) and order.primary is not None for order in orders
            ),
            is_acknowledged=any(row["state"] == DeliveryState.ACKED for row in rows),
        )

    def forget_ambiguous_name(self, delivery: Delivery, name: str, *, at: datetime) -> bool:
        if not name or delivery.serial_number is None:
            return False
        message = _message_of(delivery.lineage) | {"serial_number": int(delivery.serial_number)}
        others = next(
            iter(self._run("is_named_otherwise", **message, name=name, at_ms=milliseconds(at)))
        )[0]
        if others:
            self.forget_name(delivery.lineage.peer_id, name)
        return bool(others)

    def forget_name(self, peer_id: str, name: str) -> None:
        self._run("forget_name", peer_id=peer_id, name=name)

    def count_bulletins(self) -> dict[BulletinState, int]:
        return {BulletinState(row["state"]): row["count"] for row in self._rows("count_bulletins")}

    # Answers

    def answer(self, holder: str, name: str) -> Answer | None:
        rows = self._rows("answer", holder=holder, name=name)
        return _first(Answer(row["digest"], row["status"], row["body"]) for row in rows)

    def put_answer(self, holder: str, name: str, answer: Answer, *, until: datetime) -> None:
        self._run(
            "put_answer",
            holder=holder,
            name=name,
            digest=answer.digest,
            status=answer.status,
            body=answer.body,
            until_ms=milliseconds(until),
        )

    def forget_answers(self, *, at: datetime, limit: int) -> None:
        self._run("forget_answers", at_ms=milliseconds(at), limit=limit)
        if self._connection.changes():
            self._run("raise_counter", name="answers", value=milliseconds(at))

    def answers_forgotten_at(self) -> datetime | None:
        at_ms = self.count("answers")
        return moment(at_ms) if at_ms else None

    # Alarms

    def alarm(self, sender: str, alarm_id: str) -> AlarmRecord | None:
        rows = self._rows("alarm", sender=sender, alarm_id=alarm_id)
        return _first(
            AlarmRecord(
                sender=row["sender"],
                alarm_id=row["alarm_id"],
                incident_id=row["incident_id"],
                cause=row["cause"],
                region=row["region"],
                is_cleared=bool(row["is_cleared"]),
                raised_at=moment(row["raised_ms"]),
            )
            for row in rows
        )

    def put_alarm(self, alarm: AlarmRecord) -> None:
        self._run(
            "put_alarm",
            sender=alarm.sender,
            alarm_id=alarm.alarm_id,
            incident_id=alarm.incident_id,
            cause=alarm.cause,
            region=alarm.region,
            is_cleared=alarm.is_cleared,
            raised_ms=milliseconds(alarm.raised_at),
        )

    def incident_of_cause(self, sender: str, cause: str) -> Incident | None:
        rows = self._rows("incident_of_cause", sender=sender, cause=cause)
        return _first(filter(None, (self.incident(row["incident_id"]) for row in rows)))

    def count_alarms(self, incident_id: str) -> tuple[int, int]:
        (row,) = self._rows("count_alarms", incident_id=incident_id)
        return row["count"], row["cleared"]

    # History

    def record(self, event: Event) -> int:
        entry = canonical(event_document(event))
        assert len(entry) <= tlog.ENTRY_OCTETS_MAX, event.what  # noqa: S101 - our own events
        size = self.audit_size()
        self._run("add_audit", leaf_index=size, subject=event.subject, entry=entry)
        for level, index, value in tlog.new_nodes(size, tlog.leaf_hash(entry), self._audit_node):
            self._run("add_audit_node", level=level, node_index=index, hash=value)
        return size

    def events(self, subject: str | None = None) -> tuple[Event, ...]:
        if subject is None:
            rows = self._rows("audit_whole")
        else:
            rows = self._rows("audit_of_subject", subject=subject)
        return tuple(event_of(row["entry"]) for row in rows)

    def audit_size(self) -> int:
        ((size,),) = self._run("audit_size")
        return int(size)

    def audit_root(self, size: int | None = None) -> bytes:
        return tlog.root_hash(self.audit_size() if size is None else size, self._audit_node)

    def audit_entries(self, start: int, end: int) -> Iterator[bytes]:
        for (entry,) in self._run("audit_entries", start=start, end=end):
            yield entry

    def _audit_node(self, level: int, index: int) -> bytes:
        found = _first(
            row["hash"] for row in self._rows("audit_node", level=level, node_index=index)
        )
        if found is None:
            msg = f"subtree {index} of level {level} is missing from the audit log"
            raise AuditError(msg)
        return bytes(found)


def _said(bulletin: Bulletin) -> str:
    """Name what a bulletin tells whom: the same name for the same, whatever the order and code."""
    return digest({"regions": sorted(bulletin.regions), "texts": bulletin.words})


def _first(items: Iterable[T]) -> T | None:
    return next(iter(items), None)


def _order_of(delivery: NewDelivery | Delivery) -> dict[str, Any]:
    """Give what an order is, whatever has become of it."""
    lineage, serial = delivery.lineage, delivery.serial_number
    return {
        "bulletin_id": delivery.bulletin_id,
        "incident_id": lineage.incident_id,
        "number": delivery.number,
        "peer_id": lineage.peer_id,
        "region": lineage.region,
        "channel": lineage.channel,
        "message_identifier": lineage.message_identifier,
        "serial_number": None if serial is None else int(serial),
        "language": delivery.language,
        "rank": delivery.rank,
        "is_stop": delivery.is_stop,
        "order_document": delivery.order,
        "seal": delivery.seal,
        "recipients": delivery.recipients,
        "expires_ms": milliseconds(delivery.expires_at),
    }


def _message_of(lineage: Lineage) -> dict[str, Any]:
    return {
        "peer_id": lineage.peer_id,
        "incident_id": lineage.incident_id,
        "region": lineage.region,
        "message_identifier": lineage.message_identifier,
    }
