"""Dispatch: what is committed in the outbox is carried out, one lineage step at a time.

The order of events is the promise. An INTENT is committed before the first octet leaves, the
outcome after the answer; a crash in between leaves an INTENT, which recovery turns into IN_DOUBT.
A broadcast in doubt is sent again, octet for octet, because phones know it by its serial number;
short messages in doubt are not, because a phone would show them twice.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from loguru import logger

from cbgateway.domain.delivery import Delivery
from cbgateway.domain.errors import GatewayError, NotSentError, RejectedError, UnansweredError
from cbgateway.domain.lifecycle import DeliveryState
from cbgateway.domain.orders import (
    BroadcastReport,
    Order,
    Outcome,
    Report,
    Submit,
    SubmitReport,
)
from cbgateway.domain.ports import CarrierLink, Clock, Store, Transaction
from cbgateway.service.deployment import Deployment
from cbgateway.service.sendable import check_sendable

BATCH_MAX = 16
"""Lineages of one peer that are under way at once; bounds what a crash leaves in doubt."""
RETRY_DELAY_MAX_S = 60
"""Longest pause before an order is tried again; it is tried until it expires."""
POLL_INTERVAL_S = 0.05
"""How often the store is asked whether another process has committed something."""
DRAIN_TIMEOUT_S = 15
"""How long answers are waited for when stopping; longer than any carrier's response timer."""
SWEEP_INTERVAL_S = 1.0
"""How often waiting work is looked at anew: retries that are due, expiries that have passed."""


@dataclass(frozen=True, slots=True)
class _Leased:
    delivery: Delivery
    order: Order
    peer_reference: str


class Dispatcher:
    """Carries out the outbox over the links, until asked to stop."""

    def __init__(
        self,
        store: Store,
        deployment: Deployment,
        links: Mapping[str, CarrierLink],
        *,
        clock: Clock,
        random: Callable[[], float],
    ) -> None:
        """Make a dispatcher.

        Args:
            store: where the outbox is.
            deployment: the gateway's rules.
            links: by peer.
            clock: wall time.
            random: gives numbers from 0 up to 1, for jitter.
        """
        self._store = store
        self._deployment = deployment
        self._links = links
        self._clock = clock
        self._random = random
        self._wake = {peer_id: asyncio.Event() for peer_id in links}

    async def run(self, stop: asyncio.Event) -> None:
        """Recover what a crash left, then dispatch until asked to stop.

        Stopping is orderly: nothing new is sent, what was sent is waited for and settled, and
        the links say goodbye. Being cancelled instead leaves what a crash would leave.
        """
        in_doubt = await self._store.run(self._recover)
        if in_doubt:
            logger.bind(deliveries=in_doubt).warning("in doubt after a restart")
        links = self._links.values()
        async with asyncio.TaskGroup() as group:
            serving = [group.create_task(self._serve(link, stop)) for link in links]
            others = [group.create_task(link.run()) for link in links]
            others.append(group.create_task(self._watch()))
            await stop.wait()
            for link in links:
                link.drain()
            if serving:
                await asyncio.wait(serving, timeout=DRAIN_TIMEOUT_S)
            for task in serving + others:
                task.cancel()

    async def _watch(self) -> None:
        """Wake the peers when something was committed, and all of them now and then."""
        loop = asyncio.get_running_loop()
        next_sweep = loop.time()
        while True:
            if loop.time() >= next_sweep:
                next_sweep = loop.time() + SWEEP_INTERVAL_S
                await self._store.run(self._expire)
                self._wake_all()
            elif self._store.has_changed():
                self._wake_all()
            await asyncio.sleep(POLL_INTERVAL_S)

    def _wake_all(self) -> None:
        for event in self._wake.values():
            event.set()

    async def _serve(self, link: CarrierLink, stop: asyncio.Event) -> None:
        wake = self._wake[link.peer_id]
        while not stop.is_set():
            await _first(link.wait_ready(), stop.wait())
            if stop.is_set():
                return
            wake.clear()
            batch = await self._store.run(lambda tx: self._lease(tx, link.peer_id))
            if not batch:
                await _first(wake.wait(), stop.wait())
                continue
            async with asyncio.TaskGroup() as group:
                for leased in batch:
                    group.create_task(self._deliver(link, leased))

    def _lease(self, tx: Transaction, peer_id: str) -> list[_Leased]:
        """Commit to sending what is due; what may not be sent any more is refused here."""
        now = self._clock.now()
        leased = []
        for delivery in tx.due(peer_id, at=now, limit=BATCH_MAX):
            try:
                order = check_sendable(tx, delivery, mode=self._deployment.mode, now=now)
            except GatewayError as error:
                tx.settle(delivery, DeliveryState.REFUSED, at=now, reason=f"{error.code}: {error}")
                _log(delivery).error("not sent: {}", error)
                continue
            reference = "" if isinstance(order, Submit) else tx.peer_reference(delivery)
            if delivery.is_stop and not reference:
                reason = "nothing of it was on air"
                tx.settle(delivery, DeliveryState.CANCELLED, at=now, reason=reason)
                continue
            tx.settle(delivery, DeliveryState.INTENT, at=now)
            leased.append(_Leased(delivery, order, reference or ""))
        return leased

    async def _deliver(self, link: CarrierLink, leased: _Leased) -> None:
        """Send one order and settle it by what came of it."""
        delivery = leased.delivery
        try:
            report = await link.send(
                leased.order,
                seal=delivery.seal,
                peer_reference=leased.peer_reference,
                sent=delivery.outcomes,
            )
        except GatewayError as error:
            await self._settle_failed(delivery, error)
        except Exception as error:  # noqa: BLE001 - the task boundary: other deliveries go on
            _log(delivery).opt(exception=error).error("failed while sending")
            unknown = UnansweredError(f"failed while sending: {type(error).__name__}")
            await self._settle_failed(delivery, unknown)
        else:
            await self._store.run(lambda tx: self._settle(tx, delivery, report))

    async def _settle_failed(self, delivery: Delivery, error: GatewayError) -> None:
        await self._store.run(lambda tx: self._settle_error(tx, delivery, error))

    def _settle(self, tx: Transaction, delivery: Delivery, report: Report) -> None:
        now = self._clock.now()
        match report:
            case BroadcastReport(peer_reference=reference, failed_areas=failed):
                reason = f"failed areas: {', '.join(failed)}" if failed else ""
                tx.settle(
                    delivery,
                    DeliveryState.ACKED,
                    at=now,
                    peer_reference=reference,
                    reason=reason,
                )
                _log(delivery).info("acknowledged")
            case SubmitReport(outcomes=outcomes):
                self._settle_submit(tx, delivery, report, now)
                _log(delivery).bind(
                    accepted=outcomes.count(Outcome.ACCEPTED),
                    refused=outcomes.count(Outcome.REFUSED),
                    in_doubt=outcomes.count(Outcome.IN_DOUBT),
                    unsent=outcomes.count(Outcome.UNSENT),
                ).info("submitted")

    def _settle_submit(
        self, tx: Transaction, delivery: Delivery, report: SubmitReport, now: datetime
    ) -> None:
        outcomes = report.outcomes
        not_before = None
        if Outcome.UNSENT in outcomes:
            state = DeliveryState.READY
            not_before = self._retry_at(delivery, now)
        elif Outcome.IN_DOUBT in outcomes:
            state = DeliveryState.IN_DOUBT
        elif Outcome.ACCEPTED in outcomes:
            state = DeliveryState.ACKED
        else:
            state = DeliveryState.REFUSED
        reason = ", ".join(f"{cause}: {count}" for cause, count in sorted(report.causes.items()))
        tx.settle(delivery, state, at=now, reason=reason, outcomes=outcomes, not_before=not_before)

    def _settle_error(self, tx: Transaction, delivery: Delivery, error: GatewayError) -> None:
        now = self._clock.now()
        not_before = self._retry_at(delivery, now)
        match error:
            case NotSentError() | RejectedError(is_temporary=True):
                state = DeliveryState.READY
            case UnansweredError():
                state = DeliveryState.IN_DOUBT
            case _:
                state = DeliveryState.REFUSED
        tx.settle(delivery, state, at=now, reason=str(error), not_before=not_before)
        _log(delivery).bind(state=state).warning("{}", error)

    def _retry_at(self, delivery: Delivery, now: datetime) -> datetime:
        delay_s = min(RETRY_DELAY_MAX_S, 2.0 ** min(delivery.attempts, 10))
        return now + timedelta(seconds=delay_s * (1 + self._random()) / 2)

    def _recover(self, tx: Transaction) -> int:
        """Name what a crash left half done: sent or not, nobody knows."""
        now = self._clock.now()
        interrupted = tx.in_state(DeliveryState.INTENT)
        for delivery in interrupted:
            unsent, in_doubt = bytes([Outcome.UNSENT]), bytes([Outcome.IN_DOUBT])
            tx.settle(
                delivery,
                DeliveryState.IN_DOUBT,
                at=now,
                reason="the gateway stopped while sending",
                outcomes=delivery.outcomes.ljust(delivery.recipients, unsent).replace(
                    unsent, in_doubt
                ),
            )
        return len(interrupted)

    def _expire(self, tx: Transaction) -> None:
        now = self._clock.now()
        for delivery in tx.past_expiry(at=now):
            tx.settle(delivery, DeliveryState.EXPIRED, at=now, reason="its time passed")
            _log(delivery).warning("expired before it could be sent")


async def _first(*waiting: Coroutine[Any, Any, object]) -> None:
    """Wait until one of several things has happened."""
    tasks = [asyncio.ensure_future(one) for one in waiting]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


def _log(delivery: Delivery) -> Any:  # noqa: ANN401 - loguru's logger has no public type
    return logger.bind(
        bulletin=delivery.bulletin_id,
        delivery=delivery.delivery_id,
        peer=delivery.lineage.peer_id,
        region=delivery.lineage.region,
        channel=delivery.lineage.channel.value,
    )
