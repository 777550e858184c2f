"""What the store can do inside a transaction, by the named statements of queries.sql."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from importlib import resources
from typing import Any, TypeVar

import apsw

from cbgateway.domain.broadcast import MESSAGE_CODE_MAX, GeographicalScope, SerialNumber
from cbgateway.domain.bulletin import BulletinState, Person
from cbgateway.domain.delivery import (
    BulletinRecord,
    Channel,
    Decision,
    Delivery,
    Event,
    Lineage,
    LiveBroadcast,
    NewDelivery,
    Recipient,
    RegionKey,
)
from cbgateway.domain.errors import StaleError
from cbgateway.domain.incident import Incident, IncidentState
from cbgateway.domain.lifecycle import DeliveryState, advance_delivery
from cbgateway.storage.rows import (
    bulletin_document,
    delivery_of,
    dump,
    incident_of,
    milliseconds,
    moment,
    person_of,
    record_of,
)

T = TypeVar("T")


@cache
def queries() -> Mapping[str, str]:
    """Read queries.sql: statement by name."""
    text = resources.files("cbgateway.storage").joinpath("queries.sql").read_text("utf-8")
    parts = re.split(r"^-- name: (\w+)\n", text, flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


class SqliteTransaction:
    """Implements `domain.ports.Transaction` inside a transaction that the store has begun."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection

    # People and keys

    def add_person(self, person: Person) -> None:
        self._run(
            "add_person",
            name=person.name,
            key_id=person.key_id,
            public_key=person.public_key,
            may_submit=person.may_submit,
            may_approve=person.may_approve,
            regions=json.dumps(person.regions),
            classes=json.dumps(person.classes),
            is_revoked=person.is_revoked,
        )

    def person(self, name: str) -> Person | None:
        return _first(map(person_of, self._rows("person", name=name)))

    def person_by_key(self, key_id: str) -> Person | None:
        return _first(map(person_of, self._rows("person_by_key", key_id=key_id)))

    def people(self) -> tuple[Person, ...]:
        return tuple(map(person_of, self._rows("people")))

    def revoke_person(self, name: str) -> None:
        self._run("revoke_person", name=name)

    def add_region_key(self, key: RegionKey) -> None:
        self._run("add_region_key", key_id=key.key_id, region=key.region, public_key=key.public_key)

    def region_keys(self) -> tuple[RegionKey, ...]:
        return tuple(
            RegionKey(row["region"], row["key_id"], row["public_key"])
            for row in self._rows("region_keys")
        )

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

    def set_incident_state(self, incident_id: str, state: IncidentState) -> None:
        self._run("set_incident_state", incident_id=incident_id, state=state)

    def add_bulletin(self, record: BulletinRecord) -> None:
        bulletin = record.bulletin
        self._run(
            "add_bulletin",
            bulletin_id=bulletin.bulletin_id,
            incident_id=bulletin.incident_id,
            number=bulletin.number,
            sender=bulletin.sender,
            identifier=bulletin.identifier,
            state=record.state,
            document=dump(bulletin_document(bulletin)),
            submission=dump(
                {
                    "submitted_by": record.submission.submitted_by,
                    "submitted_ms": milliseconds(record.submission.submitted_at),
                    "content_hash": record.submission.content_hash,
                    "signature": record.submission.signature,
                }
            ),
        )

    def bulletin(self, bulletin_id: str) -> BulletinRecord | None:
        return _first(map(record_of, self._rows("bulletin", bulletin_id=bulletin_id)))

    def bulletin_of(self, sender: str, identifier: str) -> BulletinRecord | None:
        rows = self._rows("bulletin_of", sender=sender, identifier=identifier)
        return _first(map(record_of, rows))

    def bulletins(self, incident_id: str | None = None) -> tuple[BulletinRecord, ...]:
        return tuple(map(record_of, self._rows("bulletins", incident_id=incident_id)))

    def set_bulletin_state(self, bulletin_id: str, state: BulletinState) -> None:
        self._run("set_bulletin_state", bulletin_id=bulletin_id, state=state)

    def decide(self, bulletin_id: str, state: BulletinState, decision: Decision) -> None:
        self._run(
            "decide",
            bulletin_id=bulletin_id,
            state=state,
            decision=dump(
                {
                    "decided_by": decision.decided_by,
                    "decided_ms": milliseconds(decision.decided_at),
                    "plan_hash": decision.plan_hash,
                    "signature": decision.signature,
                    "reason": decision.reason,
                }
            ),
        )
        if self._connection.changes() != 1:
            msg = f"bulletin {bulletin_id} has been decided already"
            raise StaleError(msg)

    def put_plan(self, bulletin_id: str, document: str) -> None:
        self._run("put_plan", bulletin_id=bulletin_id, plan=document)

    def plan(self, bulletin_id: str) -> str | None:
        return _first(row["plan"] for row in self._rows("plan", bulletin_id=bulletin_id))

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

    def next_message_code(
        self, message_identifier: int, scope: GeographicalScope, *, unused_since: datetime
    ) -> int | None:
        where = {"message_identifier": message_identifier, "scope": int(scope)}
        last = _first(row["message_code"] for row in self._rows("last_message_code", **where))
        code = 0 if last is None else (last + 1) % (MESSAGE_CODE_MAX + 1)
        ((used_ms,),) = self._run("message_code_used", **where, message_code=code)
        if used_ms is not None and used_ms > milliseconds(unused_since):
            return None
        return code

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

    def tokens(self, region: str, alert_class: str) -> tuple[float, float] | None:
        rows = self._rows("tokens", region=region, alert_class=alert_class)
        return _first((row["tokens"], row["updated_s"]) for row in rows)

    def put_tokens(self, region: str, alert_class: str, *, tokens: float, updated_s: float) -> None:
        self._run(
            "put_tokens",
            region=region,
            alert_class=alert_class,
            tokens=tokens,
            updated_s=updated_s,
        )

    # Recipients

    def put_recipients(self, carrier: str, recipients: Iterable[Recipient]) -> int:
        count = 0
        for count, recipient in enumerate(recipients, start=1):  # noqa: B007 - the count is used
            self._run("remove_recipient", carrier=carrier, number=recipient.number)
            self._run(
                "put_recipient",
                carrier=carrier,
                region=recipient.region,
                number=recipient.number,
                language=recipient.language,
            )
        return count

    def recipients(self, carrier: str, regions: Sequence[str]) -> tuple[Recipient, ...]:
        return tuple(
            Recipient(row["number"], row["region"], row["language"])
            for region in regions
            for row in self._rows("recipients", carrier=carrier, region=region)
        )

    def count_recipients(self) -> dict[tuple[str, str], int]:
        return {
            (carrier, region): count for carrier, region, count in self._run("count_recipients")
        }

    # Outbox

    def add_delivery(self, delivery: NewDelivery, *, at: datetime) -> None:
        lineage = delivery.lineage
        serial = delivery.serial_number
        self._run(
            "add_delivery",
            bulletin_id=delivery.bulletin_id,
            incident_id=lineage.incident_id,
            number=delivery.number,
            peer_id=lineage.peer_id,
            region=lineage.region,
            channel=lineage.channel,
            message_identifier=lineage.message_identifier,
            serial_number=None if serial is None else int(serial),
            language=delivery.language,
            rank=delivery.rank,
            is_stop=delivery.is_stop,
            order_document=delivery.order,
            seal=delivery.seal,
            recipients=delivery.recipients,
            expires_ms=milliseconds(delivery.expires_at),
            updated_ms=milliseconds(at),
        )

    def supersede(self, incident_id: str, *, before_number: int, at: datetime) -> int:
        rows = self._rows("supersede", incident_id=incident_id, before_number=before_number)
        for row in rows:
            self.settle(
                delivery_of(row),
                DeliveryState.SUPERSEDED,
                at=at,
                reason=f"bulletin {incident_id}/{before_number} is newer",
            )
        return len(rows)

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

    def due(self, peer_id: str, *, at: datetime, limit: int) -> tuple[Delivery, ...]:
        rows = self._rows("due", peer_id=peer_id, at_ms=milliseconds(at), limit=limit)
        return tuple(map(delivery_of, rows))

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
        rows = self._rows("delivery_state", delivery_id=delivery.delivery_id)
        advance_delivery(DeliveryState(rows[0]["state"]), state)
        self._run(
            "settle",
            delivery_id=delivery.delivery_id,
            state=state,
            at_ms=milliseconds(at),
            reason=reason,
            peer_reference=peer_reference,
            outcomes=outcomes,
            not_before_ms=None if not_before is None else milliseconds(not_before),
        )

    def deliveries(self, bulletin_id: str | None = None) -> tuple[Delivery, ...]:
        return tuple(map(delivery_of, self._rows("deliveries", bulletin_id=bulletin_id)))

    def in_state(self, state: DeliveryState) -> tuple[Delivery, ...]:
        return tuple(map(delivery_of, self._rows("in_state", state=state)))

    def past_expiry(self, *, at: datetime) -> tuple[Delivery, ...]:
        return tuple(map(delivery_of, self._rows("past_expiry", at_ms=milliseconds(at))))

    def peer_reference(self, delivery: Delivery) -> str | None:
        lineage = delivery.lineage
        rows = self._rows(
            "peer_reference",
            peer_id=lineage.peer_id,
            incident_id=lineage.incident_id,
            region=lineage.region,
            message_identifier=lineage.message_identifier,
            delivery_id=delivery.delivery_id,
        )
        return _first(row["peer_reference"] for row in rows)

    # History

    def record(self, event: Event) -> None:
        self._run(
            "record",
            at_ms=milliseconds(event.at),
            subject=event.subject,
            what=event.what,
            actor=event.actor,
            detail=event.detail,
        )

    def events(self, subject: str | None = None) -> tuple[Event, ...]:
        return tuple(
            Event(moment(row["at_ms"]), row["subject"], row["what"], row["actor"], row["detail"])
            for row in self._rows("events", subject=subject)
        )

    def _run(self, name: str, /, **bindings: Any) -> apsw.Cursor:  # noqa: ANN401 - SQL values
        return self._connection.execute(queries()[name], bindings)

    def _rows(self, name: str, /, **bindings: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - SQL values
        cursor = self._run(name, **bindings)
        rows = []
        names: list[str] = []
        for row in cursor:
            names = names or [column[0] for column in cursor.get_description()]
            rows.append(dict(zip(names, row, strict=True)))
        return rows


def _first(items: Iterable[T]) -> T | None:
    return next(iter(items), None)
