"""What is kept of enquiries; the part of a transaction that `domain.ledger` asks for."""

import json
from dataclasses import asdict
from datetime import datetime
from typing import Any

from cbgateway.domain.delivery import Recipient
from cbgateway.domain.enquiry import Round, Subscription
from cbgateway.domain.incoming import StoredMessage
from cbgateway.domain.ledger import Question
from cbgateway.storage.rows import message_of, milliseconds, moment
from cbgateway.storage.statements import Statements


class EnquiryRows(Statements):
    """Implements `domain.ledger.EnquiryLedger`."""

    def enquiries(self, peer_id: str, destination: str, *, limit: int) -> tuple[StoredMessage, ...]:
        rows = self._rows("enquiries", peer_id=peer_id, destination=destination, limit=limit)
        return tuple(map(message_of, rows))

    def count_enquiries(self, peer_id: str, destination: str) -> int:
        found = self._run("count_enquiries", peer_id=peer_id, destination=destination)
        return int(next(iter(found))[0])

    def put_back(self, message: StoredMessage) -> None:
        taken = message.message
        self._run(
            "add_message",
            peer_id=message.peer_id,
            at_ms=milliseconds(message.received_at),
            source=taken.source,
            destination=taken.destination,
            body=taken.text,
            part=taken.part,
            parts=taken.parts,
            reference=taken.reference,
        )

    def recipient(self, carrier: str, number: str) -> Recipient | None:
        for region, found, language in self._run("recipient", carrier=carrier, number=number):
            return Recipient(found, region, language)
        return None

    def subscription(self, peer_id: str, name: str) -> Subscription | None:
        rows = self._rows("subscription", peer_id=peer_id, name=name)
        return _subscription_of(rows[0]) if rows else None

    def put_subscription(self, subscription: Subscription) -> None:
        self._run(
            "put_subscription",
            peer_id=subscription.peer_id,
            name=subscription.name,
            sealed=subscription.sealed,
            regions=json.dumps(subscription.regions),
            language=subscription.language,
            until_ms=milliseconds(subscription.until),
        )

    def drop_subscriptions(self, name: str) -> int:
        self._run("drop_subscriptions", name=name)
        return self._connection.changes()

    def end_subscriptions(self, *, at: datetime) -> int:
        self._run("end_subscriptions", at_ms=milliseconds(at))
        return self._connection.changes()

    def subscriptions(
        self, peer_id: str, *, after: int, up_to: int, limit: int
    ) -> tuple[Subscription, ...]:
        rows = self._rows("subscriptions", peer_id=peer_id, after=after, up_to=up_to, limit=limit)
        return tuple(map(_subscription_of, rows))

    def last_subscription(self, peer_id: str) -> int:
        return int(next(iter(self._run("last_subscription", peer_id=peer_id)))[0])

    def count_subscriptions(self) -> dict[tuple[str, tuple[str, ...]], int]:
        return {
            (peer_id, tuple(json.loads(regions))): count
            for peer_id, regions, count in self._run("count_subscriptions")
        }

    def undertold(self, peer_id: str) -> tuple[str, ...]:
        return tuple(bulletin_id for (bulletin_id,) in self._run("undertold", peer_id=peer_id))

    def put_round(self, one: Round) -> None:
        self._run("put_round", **asdict(one))

    def round(self, bulletin_id: str, peer_id: str) -> Round | None:
        rows = self._rows("round", bulletin_id=bulletin_id, peer_id=peer_id)
        return Round(**rows[0]) if rows else None

    def open_rounds(self, peer_id: str | None = None) -> tuple[Round, ...]:
        return tuple(Round(**row) for row in self._rows("open_rounds", peer_id=peer_id))

    def add_outage_report(self, peer_id: str, region: str, name: str, *, hour: datetime) -> bool:
        self._run(
            "add_outage_report",
            hour_ms=milliseconds(hour),
            peer_id=peer_id,
            region=region,
            name=name,
        )
        return bool(self._connection.changes())

    def outage_reports(self, *, since: datetime) -> dict[tuple[str, str, datetime], int]:
        rows = self._run("outage_reports", since_ms=milliseconds(since))
        return {
            (peer_id, region, moment(hour_ms)): count for peer_id, region, hour_ms, count in rows
        }

    def forget_outage_reports(self, *, before: datetime) -> None:
        self._run("forget_outage_reports", before_ms=milliseconds(before))

    def note_question(self, text: str, *, source: str, at: datetime) -> None:
        self._run("note_question", body=text, source=source, at_ms=milliseconds(at))

    def questions(self, *, limit: int) -> tuple[Question, ...]:
        return tuple(
            Question(
                text=row["body"],
                count=row["asked"],
                first_at=moment(row["first_ms"]),
                last_at=moment(row["last_ms"]),
                source=row["source"],
            )
            for row in self._rows("questions", limit=limit)
        )

    def forget_questions(self, *, before: datetime, most: int) -> None:
        self._run("forget_old_questions", before_ms=milliseconds(before))
        self._run("forget_rare_questions", most=most)

    def add_total(self, peer_id: str, what: str, count: int) -> None:
        self._run("add_total", peer_id=peer_id, what=what, count=count)

    def totals(self) -> dict[tuple[str, str], int]:
        return {(peer_id, what): value for peer_id, what, value in self._run("totals")}


def _subscription_of(row: dict[str, Any]) -> Subscription:
    return Subscription(
        number=row["subscription_number"],
        peer_id=row["peer_id"],
        name=row["name"],
        sealed=bytes(row["sealed"]),
        regions=tuple(json.loads(row["regions"])),
        language=row["language"],
        until=moment(row["until_ms"]),
    )
