"""Reload: what a peer has lost goes on air again, and what has ended there is taken off.

The store says what should be on air; the link finds out what is. An order that is under way, or
waits, is the dispatcher's and is left alone.
"""

import asyncio
import math
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from loguru import logger

from cbgateway.domain.delivery import Delivery, Event, Lineage
from cbgateway.domain.errors import DeliveryError, GatewayError, StoreError
from cbgateway.domain.lifecycle import DeliveryState
from cbgateway.domain.orders import WriteReplace, decode_order
from cbgateway.domain.ports import Clock, Ended, OnAir, Reloaded, ReloadingLink, Store, Transaction
from cbgateway.service.deployment import Deployment
from cbgateway.service.evidence import GATEWAY
from cbgateway.service.sendable import check_sendable

RETRY_S = 5.0
"""After a reload that came to no end; with the time of a few answers well within half a minute."""


class Reloader:
    """Keeps what is on air at some peers what it should be."""

    def __init__(
        self,
        store: Store,
        deployment: Deployment,
        links: Iterable[ReloadingLink],
        *,
        clock: Clock,
    ) -> None:
        """Make a reloader.

        Args:
            store: says what should be on air.
            deployment: the gateway's rules.
            links: to peers that may lose something.
            clock: wall time.
        """
        self._store = store
        self._deployment = deployment
        self._links = tuple(links)
        self._clock = clock

    async def run(self) -> None:
        """Look after all peers, side by side, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for link in self._links:
                group.create_task(self._keep(link))

    async def _keep(self, link: ReloadingLink) -> None:
        while True:
            await link.wait_reload()
            is_done = await self.reload(link)
            while not is_done:
                await asyncio.sleep(RETRY_S)
                is_done = await self.reload(link)

    async def reload(self, link: ReloadingLink) -> bool:
        """Compare one peer with the store; False when it did not come to an end."""

        async def read() -> OnAir:
            return await self._store.run(lambda tx: self.on_air(tx, link.peer_id))

        try:
            report = await link.reload(read)
        except DeliveryError as error:
            logger.bind(peer=link.peer_id).warning("reload broken off: {}", error)
            return error.code == "not-sent"  # its next connection asks for another one
        if report.written or report.ended:
            await self._store.run(lambda tx: self._note(tx, link.peer_id, report))
        return True

    def on_air(self, tx: Transaction, peer_id: str) -> OnAir:
        """Give what should be on air at a peer, and what should not."""
        now = self._clock.now()
        stopped = {_message(one) for one in tx.open_stops(peer_id)}
        newest: dict[tuple[Lineage, int], Delivery] = {}
        for delivery in tx.on_air(peer_id):
            newest[_message(delivery)] = delivery
        live: list[WriteReplace] = []
        ended: list[Ended] = []
        for message, delivery in newest.items():
            if message in stopped or delivery.state is not DeliveryState.ACKED:
                continue
            order = decode_order(delivery.order)
            if not isinstance(order, WriteReplace):
                continue
            if order.expires_at <= now:
                ended.append(Ended(delivery.delivery_id, order))
            elif self._is_sendable(tx, delivery, now):
                live.append(_rest_of(order, now))
        return OnAir(tuple(live), tuple(ended))

    def _is_sendable(self, tx: Transaction, delivery: Delivery, now: datetime) -> bool:
        record = tx.bulletin(delivery.bulletin_id)
        assert record is not None, delivery.bulletin_id  # noqa: S101 - a foreign key says so
        try:
            check_sendable(tx, self._deployment, record, delivery, now=now)
        except StoreError:
            raise
        except GatewayError as error:
            logger.bind(delivery=delivery.delivery_id).info("not written again: {}", error)
            return False
        return True

    def _note(self, tx: Transaction, peer_id: str, report: Reloaded) -> None:
        now = self._clock.now()
        for bulletin_id, cells in report.written.items():
            detail = {"peer": peer_id, "cells": cells}
            tx.record(Event(now, bulletin_id, "reloaded", GATEWAY, detail))
        for delivery_id in report.ended:
            delivery = tx.delivery(delivery_id)
            if delivery is not None:
                tx.off_air(delivery, before_only=False)


def _message(delivery: Delivery) -> tuple[Lineage, int]:
    code = -1 if delivery.serial_number is None else delivery.serial_number.message_code
    return delivery.lineage, code


def _rest_of(order: WriteReplace, now: datetime) -> WriteReplace:
    """Give an order with the broadcasts that are left of it."""
    rest_s = (order.expires_at - now).total_seconds()
    return replace(order, number_of_broadcasts=math.ceil(rest_s / order.repetition_period_s))
