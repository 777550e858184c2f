"""The outbox: every step that an order takes, each inside a transaction of its own.

Theory of operation: the order of events is the promise. INTENT is committed before the first octet
leaves, the outcome after the answer; a crash in between leaves an INTENT, which `recover` turns
into IN_DOUBT. A broadcast in doubt is sent again, page for page, because phones know it by its
serial number. Short messages leave window by window, each window committed first, so that only one
window can ever be in doubt; a second copy goes out once if the alert class says so, never a third.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from loguru import logger

from cbgateway.domain import failpoints, outcomes
from cbgateway.domain.bulletin import BulletinState
from cbgateway.domain.delivery import (
    BulletinRecord,
    Channel,
    Delivery,
    Event,
    Lineage,
    OnAirEvidence,
)
from cbgateway.domain.errors import (
    ExpiredError,
    GatewayError,
    NotSentError,
    RejectedError,
    UnansweredError,
)
from cbgateway.domain.incoming import TakenIds
from cbgateway.domain.lifecycle import DeliveryState
from cbgateway.domain.orders import (
    BroadcastReport,
    Handle,
    OnAirReport,
    Order,
    Submit,
    WriteReplace,
)
from cbgateway.domain.outcomes import Outcome
from cbgateway.domain.ports import Transaction
from cbgateway.service.budgets import spend
from cbgateway.service.deployment import Deployment
from cbgateway.service.evidence import GATEWAY, settle
from cbgateway.service.inbox import Inbox
from cbgateway.service.sendable import check_authority, check_sendable, is_lapsed

RETRY_DELAY_MAX_S = 60
"""Longest pause before an order is tried again; it is tried until it expires."""
ASK_AGAIN_S = 60
"""When a question about a broadcast that could not be asked is asked again."""
SWEPT_AT_ONCE = 64
"""Of what has expired, in one transaction; after a week's rest there may be thousands."""
RANK_MAX = 1_000
"""Beyond every rank that a profile may have."""
RETIRED = {BulletinState.SUPERSEDED, BulletinState.WITHDRAWN}


@dataclass(frozen=True, slots=True)
class Leased:
    """An order that is about to leave.

    Attributes:
        delivery: as it was before.
        handle: how the peer knows the broadcast.
        authority: the counter of permissions and keys under which it was checked.
    """

    delivery: Delivery
    order: Order
    handle: Handle
    authority: int


@dataclass(slots=True)
class Stream:
    """A chunk of recipients on its way, window by window.

    Attributes:
        leased: the chunk.
        order: its order.
        octets: outcomes so far.
        window: who is about to be sent to.
        causes: how often each refusal was given.
        record: the bulletin, read once; its state is read anew for every window.
    """

    leased: Leased
    order: Submit
    octets: bytes
    window: list[int] = field(default_factory=list)
    causes: dict[str, int] = field(default_factory=dict)
    record: BulletinRecord | None = None


@dataclass(frozen=True, slots=True)
class Answers:
    """What came of a window.

    Attributes:
        octets: one outcome each.
        causes: how often each refusal was given.
        reason: why it ended early; empty when it did not.
        parts: messages that the text was cut into.
        ids: what the peer calls each part of each message; nothing when it sends no receipts.
    """

    octets: bytes
    causes: Mapping[str, int]
    reason: str = ""
    parts: int = 1
    ids: Sequence[bytes] = ()


class Outbox:
    """The steps, for one deployment. Every method works inside the caller's transaction."""

    def __init__(self, deployment: Deployment, inbox: Inbox | None = None) -> None:
        """Make an outbox.

        Args:
            deployment: the gateway's rules.
            inbox: learns what peers call the messages that they take.
        """
        self._deployment = deployment
        self._inbox = inbox

    def lease(
        self,
        tx: Transaction,
        peer_id: str,
        *,
        now: datetime,
        limit: int,
        with_sms: bool,
        rank_max: int,
    ) -> list[Leased] | None:
        """Commit to sending what is due; what may not be sent any more ends here.

        Returns:
            What leaves now: nothing, when all that was looked at ended here and more may be due;
            None when nothing is due.
        """
        leased: list[Leased] = []
        lineages: set[Lineage] = set()
        lapsed: set[str] = set()
        due = tx.due(peer_id, at=now, limit=limit, with_sms=with_sms, rank_max=rank_max)
        for delivery in due:
            is_sms = delivery.lineage.channel is Channel.SMS
            if delivery.lineage in lineages or (is_sms and not with_sms):
                continue
            if delivery.bulletin_id in lapsed:
                continue  # it was cancelled with the first of its bulletin
            record = _record(tx, delivery)
            if self._has_lapsed(tx, record, now):
                self._lapse(tx, record, now)
                lapsed.add(delivery.bulletin_id)
                continue
            one = self._lease_one(tx, record, delivery, now)
            if one is not None:
                leased.append(one)
                lineages.add(delivery.lineage)
                with_sms = with_sms and not is_sms
        return leased if due else None

    def _lease_one(
        self, tx: Transaction, record: BulletinRecord, delivery: Delivery, now: datetime
    ) -> Leased | None:
        order = self._order_to_send(tx, record, delivery, now)
        if order is None:
            return None
        is_recovery = delivery.state is DeliveryState.IN_DOUBT
        handle = replace(tx.handle(delivery), is_recovery=is_recovery)
        if delivery.is_stop and not handle.may_be_on_air:
            has_left = delivery.state is DeliveryState.IN_DOUBT
            state = DeliveryState.ACKED if has_left else DeliveryState.CANCELLED
            settle(tx, delivery, state, now, "nothing of it is on air")
            return None
        if not delivery.is_stop and not self._spend(tx, record, delivery, now):
            return None
        is_write = delivery.lineage.channel is Channel.BROADCAST and not delivery.is_stop
        tx.settle(delivery, DeliveryState.INTENT, at=now, is_on_air=True if is_write else None)
        return Leased(delivery, order, handle, tx.count("authority"))

    def _order_to_send(
        self, tx: Transaction, record: BulletinRecord, delivery: Delivery, now: datetime
    ) -> Order | None:
        """Give the order, or settle the delivery because it may not leave any more."""
        if record.state in RETIRED:
            settle(tx, delivery, DeliveryState.SUPERSEDED, now, "a newer bulletin is there")
            return None
        try:
            return check_sendable(tx, self._deployment, record, delivery, now=now)
        except ExpiredError:
            settle(tx, delivery, DeliveryState.EXPIRED, now, "its time passed")
        except GatewayError as error:
            settle(tx, delivery, DeliveryState.REFUSED, now, f"{error.code}: {error}")
            _log(delivery).error("not sent: {}", error)
        return None

    def _spend(
        self, tx: Transaction, record: BulletinRecord, delivery: Delivery, now: datetime
    ) -> bool:
        """Take the bulletin's token, or have the delivery wait until there is one."""
        empty = spend(tx, self._deployment, record.bulletin, delivery.lineage.region, now=now)
        if empty is None:
            return True
        due = now + timedelta(seconds=empty.refills_in_s)
        reason = f"no budget before {due.isoformat(timespec='seconds')}"
        tx.settle(delivery, delivery.state, at=now, reason=reason, due=due)
        _log(delivery).warning("waits: {}", reason)
        return False

    # Broadcasts and stops

    def acknowledge(
        self, tx: Transaction, leased: Leased, report: BroadcastReport, *, now: datetime
    ) -> None:
        """Note that the peer has carried out a broadcast or a stop."""
        delivery = leased.delivery
        failed, name = report.failed_areas, report.peer_reference
        if tx.forget_ambiguous_name(delivery, name, at=now):
            _log(delivery).error("the peer calls two broadcasts {!r}; both go by our alias", name)
            name = ""
        settle(
            tx,
            delivery,
            DeliveryState.ACKED,
            now,
            f"failed areas: {', '.join(failed)}" if failed else "",
            peer_reference=name,
        )
        tx.off_air(delivery, before_only=not delivery.is_stop)
        if isinstance(leased.order, WriteReplace) and self._may_ask(delivery):
            period = timedelta(seconds=leased.order.repetition_period_s)
            tx.ask_on_air(delivery, due=now + period)  # every cell has had its turn by then
        _mark_live(tx, delivery)
        _log(delivery).info("acknowledged")

    def fail(
        self,
        tx: Transaction,
        leased: Leased,
        error: GatewayError,
        *,
        now: datetime,
        jitter: float,
    ) -> None:
        """Note that a broadcast or a stop did not come to a positive answer."""
        delivery = leased.delivery
        due: datetime | None = self._retry_at(delivery, now, jitter)
        is_on_air: bool | None = None
        reason = str(error)
        match error:
            case NotSentError() | RejectedError(is_temporary=True):
                state, is_on_air = delivery.state, delivery.is_on_air
            case UnansweredError():
                state = DeliveryState.IN_DOUBT
            case RejectedError(is_absent=True) if leased.handle.name:
                tx.forget_name(delivery.lineage.peer_id, leased.handle.name)
                state, due, is_on_air = DeliveryState.READY, now, delivery.is_on_air
                reason = f"the peer does not know the name that it gave: {error}"
            case RejectedError(is_absent=True) if delivery.is_stop:
                state, due = DeliveryState.REFUSED, None
                if not leased.handle.is_acknowledged:
                    state = DeliveryState.ACKED
                    reason = f"it was in doubt, and the peer does not have it: {error}"
                tx.off_air(delivery, before_only=False)
            case RejectedError(is_absent=True) if (
                not delivery.is_stop and leased.handle.may_be_on_air
            ):
                state, due, is_on_air = DeliveryState.READY, now, False
                tx.off_air(delivery, before_only=False)
            case _:
                state, due, is_on_air = DeliveryState.REFUSED, None, delivery.is_on_air
        if state in {DeliveryState.READY, DeliveryState.IN_DOUBT}:
            if state is DeliveryState.IN_DOUBT:
                _mark_live(tx, delivery)
            if _record(tx, delivery).state in RETIRED and not delivery.is_stop:
                state, due = DeliveryState.SUPERSEDED, None
        settle(tx, delivery, state, now, reason, due=due, is_on_air=is_on_air)
        _log(delivery).bind(state=state.value).warning("{}", error)

    # What is asked about broadcasts

    def _may_ask(self, delivery: Delivery) -> bool:
        peer_id = delivery.lineage.peer_id
        carrier = self._deployment.carriers.get(peer_id)
        if carrier is None:
            return peer_id in self._deployment.controllers
        return carrier.smpp.broadcast.query

    def ask(self, tx: Transaction, bulletin_id: str, *, now: datetime) -> int:
        """Have peers asked now about a bulletin's broadcasts; gives about how many."""
        asked = [
            delivery
            for delivery in tx.deliveries(bulletin_id)
            if delivery.is_on_air and not delivery.is_stop and self._may_ask(delivery)
        ]
        for delivery in asked:
            tx.ask_on_air(delivery, due=now)
        return len(asked)

    def next_question(
        self, tx: Transaction, peer_id: str, *, now: datetime
    ) -> tuple[Delivery, Handle] | None:
        """Give a broadcast that a peer is to be asked about now, and how it is known there."""
        delivery = tx.due_on_air(peer_id, at=now)
        if delivery is None:
            return None
        if not delivery.is_on_air:
            tx.put_on_air(delivery.delivery_id, OnAirEvidence(now, problem="not on air any more"))
            return None
        tx.ask_on_air(
            delivery, due=now + timedelta(seconds=ASK_AGAIN_S)
        )  # should we stop meanwhile
        return delivery, tx.handle(delivery)

    def note_on_air(
        self,
        tx: Transaction,
        delivery: Delivery,
        report: OnAirReport | GatewayError,
        *,
        now: datetime,
    ) -> None:
        """Keep what a peer has said of a broadcast."""
        match report:
            case OnAirReport(state=state):
                region = delivery.lineage.region
                areas = tuple(one._replace(name=one.name or region) for one in report.areas)
                tx.put_on_air(delivery.delivery_id, OnAirEvidence(now, state, areas))
                _log(delivery).bind(areas=areas).info("on air")
            case NotSentError():
                pass  # it is asked again
            case _:
                tx.put_on_air(delivery.delivery_id, OnAirEvidence(now, problem=str(report)))
                _log(delivery).warning("asked whether it is on air: {}", report)

    # Short messages

    def open_stream(self, leased: Leased, order: Submit) -> Stream:
        """Begin a chunk, or go on with one."""
        octets = leased.delivery.outcomes.ljust(len(order.recipients), bytes([Outcome.UNSENT]))
        if leased.delivery.state is DeliveryState.IN_DOUBT:
            octets = outcomes.release(octets)
        return Stream(leased, order, octets)

    def next_window(
        self,
        tx: Transaction,
        stream: Stream,
        answers: Answers | None,
        *,
        size: int,
        now: datetime,
        jitter: float,
    ) -> bool:
        """Note what came of the last window, and commit to the next one.

        Returns:
            True when `stream.window` may leave now; False when the chunk is settled.
        """
        delivery = stream.leased.delivery
        if answers is not None:
            stream.octets = outcomes.answer(stream.octets, stream.window, answers.octets)
            if answers.ids and self._inbox is not None:
                _note_ids(tx, self._inbox, stream, answers)
            stream.window = []
            for cause, count in answers.causes.items():
                stream.causes[cause] = stream.causes.get(cause, 0) + count
        record = stream.record = stream.record or _record(tx, delivery)
        state = tx.bulletin_state(delivery.bulletin_id)
        has_left = Outcome.ACCEPTED in stream.octets or Outcome.IN_DOUBT in stream.octets
        if answers is not None and has_left and state is BulletinState.APPROVED:
            _mark_live(tx, delivery)
        early = self._reason_to_stop(tx, stream, record, state, now)
        if early is not None:
            self._end_stream(tx, stream, early[0], now, early[1])
            return False
        is_urgent_waiting = tx.has_more_urgent_sms(
            delivery.lineage.peer_id, rank=delivery.rank, at=now
        )
        if answers is not None and (answers.reason or is_urgent_waiting):
            self._release(record, stream)
            due = self._retry_at(delivery, now, jitter) if answers.reason else now
            reason = answers.reason or "a higher class comes first"
            if not outcomes.waiting(stream.octets, limit=1):
                return self._finish(tx, stream, record, now)
            self._end_stream(tx, stream, DeliveryState.READY, now, reason, due=due)
            return False
        stream.window = outcomes.waiting(stream.octets, limit=size)
        if not stream.window:
            return self._finish(tx, stream, record, now)
        stream.octets = outcomes.begin(stream.octets, stream.window)
        tx.settle(delivery, DeliveryState.INTENT, at=now, outcomes=stream.octets)
        return True

    def next_stream(
        self, tx: Transaction, after: Stream, *, size: int, now: datetime, jitter: float
    ) -> Stream | None:
        """Lease the chunk that is due after one that has just been settled, with its first window.

        Returns:
            None when something else comes first, or nothing more is due.
        """
        lineage = after.leased.delivery.lineage
        due = tx.due(lineage.peer_id, at=now, limit=1, with_sms=True, rank_max=RANK_MAX)
        if not due or due[0].lineage != lineage:
            return None
        record = _record(tx, due[0])
        if self._has_lapsed(tx, record, now):
            return None  # the next lease sees to it
        leased = self._lease_one(tx, record, due[0], now)
        if leased is None:
            return None
        assert isinstance(leased.order, Submit)  # noqa: S101 - its lineage has only those
        stream = self.open_stream(leased, leased.order)
        is_open = self.next_window(tx, stream, None, size=size, now=now, jitter=jitter)
        return stream if is_open else None

    def _reason_to_stop(
        self,
        tx: Transaction,
        stream: Stream,
        record: BulletinRecord,
        state: BulletinState | None,
        now: datetime,
    ) -> tuple[DeliveryState, str] | None:
        """Say why nothing more of a chunk may leave; None when it may."""
        if state in RETIRED:
            return DeliveryState.SUPERSEDED, "a newer bulletin is there"
        if record.bulletin.expires <= now:
            return DeliveryState.READY, "its time passed"
        authority = tx.count("authority")
        if authority != stream.leased.authority:
            try:
                assert record.decision is not None  # noqa: S101 - it was leased
                check_authority(tx, self._deployment, record, record.decision)
            except GatewayError as error:
                return DeliveryState.REFUSED, f"{error.code}: {error}"
        return None

    def _release(self, record: BulletinRecord, stream: Stream) -> None:
        """Have those in doubt get their second copy, if the class says: at once."""
        if self._deployment.alert_class(record.bulletin.alert_class).sms_in_doubt == "resend":
            stream.octets = outcomes.release(stream.octets)

    def _finish(
        self, tx: Transaction, stream: Stream, record: BulletinRecord, now: datetime
    ) -> bool:
        """Settle a chunk that has nobody left to send to; gives False."""
        octets = stream.octets
        state, reason, due = DeliveryState.ACKED, "", None
        if Outcome.IN_DOUBT in octets:
            rules = self._deployment.alert_class(record.bulletin.alert_class)
            state = DeliveryState.IN_DOUBT
            match rules.sms_in_doubt:
                case "resend":
                    reason, due = "second copies go out", now
                case "hold":
                    due = now + timedelta(seconds=rules.sms_hold_s)
                    reason = f"second copies go out at {due.isoformat(timespec='seconds')}"
                case "ask":
                    reason = "`cbgateway bulletin resend` sends second copies"
        elif Outcome.IN_DOUBT_TWICE in octets:
            state, reason = DeliveryState.IN_DOUBT, "two copies may have left; there is no third"
        elif Outcome.ACCEPTED not in octets:
            state = DeliveryState.REFUSED
        self._end_stream(tx, stream, state, now, reason, due=due)
        return False

    def _end_stream(
        self,
        tx: Transaction,
        stream: Stream,
        state: DeliveryState,
        now: datetime,
        reason: str,
        *,
        due: datetime | None = None,
    ) -> None:
        causes = [f"{cause}: {count}" for cause, count in sorted(stream.causes.items())]
        delivery = stream.leased.delivery
        settle(
            tx,
            delivery,
            state,
            now,
            ", ".join(filter(None, [*causes, reason])),
            due=due,
            outcomes=stream.octets,
        )
        octets = stream.octets
        _log(delivery).bind(
            state=state.value,
            accepted=octets.count(Outcome.ACCEPTED),
            refused=octets.count(Outcome.REFUSED),
            in_doubt=octets.count(Outcome.IN_DOUBT) + octets.count(Outcome.IN_DOUBT_TWICE),
        ).info("submitted")

    def resend(self, tx: Transaction, bulletin_id: str, *, actor: str, now: datetime) -> int:
        """Have a bulletin's short messages in doubt get their second copy; gives how many."""
        count = 0
        for delivery in tx.deliveries(bulletin_id):
            in_doubt = delivery.outcomes.count(Outcome.IN_DOUBT)
            if delivery.state is DeliveryState.IN_DOUBT and in_doubt:
                count += in_doubt
                reason = f"{actor} had second copies sent"
                settle(
                    tx,
                    delivery,
                    DeliveryState.READY,
                    now,
                    reason,
                    due=now,
                    outcomes=outcomes.release(delivery.outcomes),
                )
        tx.record(Event(now, bulletin_id, "resend", actor, {"recipients": count}))
        return count

    # Recovery and time

    def recover(self, tx: Transaction, *, now: datetime) -> dict[str, int]:
        """Name what a crash left half done: sent or not, nobody knows.

        Returns:
            How many deliveries are in doubt, by peer.
        """
        in_doubt: dict[str, int] = {}
        for delivery in tx.in_state(DeliveryState.INTENT):
            record = _record(tx, delivery)
            peer_id = delivery.lineage.peer_id
            if delivery.lineage.channel is Channel.SMS:
                is_in_doubt = self._recover_chunk(tx, delivery, record, now)
            else:
                is_in_doubt = True
                settle(
                    tx,
                    delivery,
                    DeliveryState.IN_DOUBT,
                    now,
                    "the gateway stopped while sending",
                    due=now,
                )
                _mark_live(tx, delivery)
            if is_in_doubt:
                in_doubt[peer_id] = in_doubt.get(peer_id, 0) + 1
        failpoints.passing("recover.written")
        return in_doubt

    def _recover_chunk(
        self, tx: Transaction, delivery: Delivery, record: BulletinRecord, now: datetime
    ) -> bool:
        octets = outcomes.interrupt(delivery.outcomes)
        is_in_doubt = octets != delivery.outcomes
        if is_in_doubt:
            _mark_live(tx, delivery)
        stream = Stream(
            Leased(delivery, _NO_ORDER, Handle(), 0),
            _NO_ORDER,
            octets.ljust(delivery.recipients, bytes([Outcome.UNSENT])),
        )
        self._release(record, stream)
        if outcomes.waiting(stream.octets, limit=1):
            reason = "the gateway stopped while sending"
            self._end_stream(tx, stream, DeliveryState.READY, now, reason, due=now)
        else:
            self._finish(tx, stream, record, now)
        return is_in_doubt

    def sweep(self, tx: Transaction, *, now: datetime) -> bool:
        """Let time pass: expiries, and approvals that have become too old.

        Returns:
            True when there was more than one transaction should hold others up for.
        """
        passed = tx.past_expiry(at=now, limit=SWEPT_AT_ONCE)
        for delivery in passed:
            settle(tx, delivery, DeliveryState.EXPIRED, now, "its time passed")
            _log(delivery).warning("expired")
        ended = tx.ended_bulletins(at=now, limit=SWEPT_AT_ONCE)
        for record in ended:
            bulletin_id = record.bulletin.bulletin_id
            tx.set_bulletin_state(bulletin_id, BulletinState.EXPIRED)
            tx.record(Event(now, bulletin_id, "expired", GATEWAY, {}))
        valid = timedelta(seconds=self._deployment.country.approval_valid_s)
        for record in tx.undispatched_bulletins(before=now - valid):
            if self._has_lapsed(tx, record, now):
                self._lapse(tx, record, now)
        return max(len(passed), len(ended)) == SWEPT_AT_ONCE

    def _has_lapsed(self, tx: Transaction, record: BulletinRecord, now: datetime) -> bool:
        """Tell whether an approval is too old to begin; what is under way has begun."""
        return is_lapsed(self._deployment, record, now=now) and not any(
            delivery.bulletin_id == record.bulletin.bulletin_id
            for delivery in tx.in_state(DeliveryState.INTENT)
        )

    def _lapse(self, tx: Transaction, record: BulletinRecord, now: datetime) -> None:
        """Give a bulletin back to its authors: nothing of it left while its approval counted."""
        bulletin_id = record.bulletin.bulletin_id
        reason = "its approval lapsed before anything could leave"
        for delivery in tx.deliveries(bulletin_id):
            if delivery.state is DeliveryState.READY:
                settle(tx, delivery, DeliveryState.CANCELLED, now, reason)
        tx.set_bulletin_state(bulletin_id, BulletinState.RETURNED)
        tx.record(Event(now, bulletin_id, "lapsed", GATEWAY, {"reason": reason}))
        logger.bind(bulletin=bulletin_id).error("returned: {}", reason)

    def _retry_at(self, delivery: Delivery, now: datetime, jitter: float) -> datetime:
        delay_s = min(RETRY_DELAY_MAX_S, 2.0 ** min(delivery.attempts, 10))
        return now + timedelta(seconds=delay_s * (1 + jitter) / 2)


_NO_ORDER: Any = None  # recovery settles chunks without reading what they say


def _record(tx: Transaction, delivery: Delivery) -> BulletinRecord:
    record = tx.bulletin(delivery.bulletin_id)
    assert record is not None, delivery.bulletin_id  # noqa: S101 - a foreign key says so
    return record


def _note_ids(tx: Transaction, inbox: Inbox, stream: Stream, answers: Answers) -> None:
    """Learn what the peer calls the messages of a window."""
    parts, at = answers.parts, 0
    for run in outcomes.runs(stream.window):
        ids = answers.ids[at * parts : (at + len(run)) * parts]
        at += len(run)
        taken = TakenIds(stream.leased.delivery.delivery_id, parts, run, ids)
        numbers = stream.order.recipients[run.start : run.stop]
        inbox.note(tx, stream.leased.delivery, taken, numbers)


def _mark_live(tx: Transaction, delivery: Delivery) -> None:
    if tx.bulletin_state(delivery.bulletin_id) is BulletinState.APPROVED:
        tx.set_bulletin_state(delivery.bulletin_id, BulletinState.LIVE)


def _log(delivery: Delivery) -> Any:  # noqa: ANN401 - loguru's logger has no public type
    return logger.bind(
        bulletin=delivery.bulletin_id,
        delivery=delivery.delivery_id,
        peer=delivery.lineage.peer_id,
        region=delivery.lineage.region,
        channel=delivery.lineage.channel.value,
    )
