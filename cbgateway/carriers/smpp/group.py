"""Several binds to one message centre, as one link.

Short messages are spread over all binds that are up, by what each of them takes; a share whose
bind goes down before it has left goes out on another. Broadcasts and stops keep to one bind as
long as it is up, because a stop that overtakes its broadcast stops nothing.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any

from cbgateway.carriers.smpp.link import SmppLink
from cbgateway.domain.errors import NotSentError
from cbgateway.domain.orders import (
    Handle,
    OnAirReport,
    Order,
    Reply,
    Report,
    Submit,
    SubmitReport,
)
from cbgateway.domain.outcomes import Outcome
from cbgateway.domain.ports import PeerStatus


class SmppGroup:
    """Binds to one SMSC. Implements `domain.ports.CarrierLink`."""

    def __init__(self, peer_id: str, binds: Sequence[SmppLink]) -> None:
        """Make a group; `run` connects its binds.

        Args:
            peer_id: how the gateway calls the peer.
            binds: the first one may send.
        """
        self.peer_id = peer_id
        self._binds = tuple(binds)
        self._senders = tuple(bind for bind in binds if bind.may_send)
        self._first = self._senders[0]

    @property
    def window_max(self) -> int:
        """Recipients that one Submit may have: what all binds that are up take."""
        return sum(bind.window_max for bind in self._up()) or self._first.window_max

    async def run(self) -> None:
        """Hold all binds up until cancelled; they say goodbye side by side."""
        async with asyncio.TaskGroup() as group:
            for bind in self._binds:
                group.create_task(bind.run())

    async def wait_ready(self) -> None:
        """Return as soon as one bind is there that may send."""
        waiting = [asyncio.ensure_future(bind.wait_ready()) for bind in self._senders]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waiting:
                one.cancel()

    async def probe(self) -> float:
        """Prove the way of every bind that is up; gives the longest time.

        Raises:
            NotSentError: none is up.
            UnansweredError: one did not answer in time.
        """
        binds = [bind for bind in self._binds if bind.status().is_up] or [self._first]
        return max([await bind.probe() for bind in binds])

    def status(self) -> PeerStatus:
        """Say how the message centre stands: up while one bind is that may send."""
        return next(iter(self._up()), self._first).status()

    def drain(self) -> None:
        """Send nothing new on any bind."""
        for bind in self._binds:
            bind.drain()

    async def send(self, order: Order, *, seal: str, handle: Handle, is_urgent: bool) -> Report:
        """Carry out an order; see `domain.ports.CarrierLink`."""
        if isinstance(order, Submit):
            submit = order

            async def send(bind: SmppLink, recipients: tuple[str, ...]) -> Report:
                part = replace(submit, recipients=recipients)
                return await bind.send(part, seal=seal, handle=Handle(), is_urgent=False)

            return await self._spread(order.recipients, send)
        if not self._first.is_ready:
            self._first = next(iter(self._up()), self._first)
        return await self._first.send(order, seal=seal, handle=handle, is_urgent=is_urgent)

    async def reply(self, reply: Reply) -> SubmitReport:
        """Spread answers over all binds; see `domain.ports.AnsweringLink`."""

        async def send(bind: SmppLink, recipients: tuple[str, ...]) -> Report:
            return await bind.reply(replace(reply, recipients=recipients))

        return await self._spread(reply.recipients, send)

    async def ask(self, handle: Handle) -> OnAirReport:
        """Ask on the bind that broadcasts keep to; see `domain.ports.CarrierLink`."""
        if not self._first.is_ready:
            self._first = next(iter(self._up()), self._first)
        return await self._first.ask(handle)

    def _up(self) -> list[SmppLink]:
        return [bind for bind in self._senders if bind.is_ready]

    async def _spread(self, recipients: tuple[str, ...], send: "_Send") -> SubmitReport:
        """Spread a window, and what did not leave again, until no bind is up or nothing is left."""
        outcomes = bytearray([Outcome.UNSENT]) * len(recipients)
        causes: Counter[str] = Counter()
        left: Sequence[int] = range(len(recipients))
        has_left = False
        parts = 1
        ids: list[bytes] = []
        while left and (binds := self._up()):
            shares = _share(left, binds)
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(_send_share(bind, recipients, share, send))
                    for bind, share in shares
                ]
            again: list[int] = []
            for (bind, share), task in zip(shares, tasks, strict=True):
                report = task.result()
                if report is None:
                    again += share
                    continue
                has_left = True
                causes.update(report.causes)
                if report.ids:
                    parts = report.parts
                    ids = ids or [b""] * (parts * len(outcomes))
                    for at, index in enumerate(share):
                        names = report.ids[at * parts : (at + 1) * parts]
                        ids[index * parts : (index + 1) * parts] = names
                for index, octet in zip(share, report.outcomes, strict=True):
                    outcomes[index] = octet
                    if octet == Outcome.UNSENT and not bind.is_ready:
                        again.append(index)
            left = again
        if not has_left:
            msg = f"{self.peer_id} is not connected"
            raise NotSentError(msg)
        return SubmitReport(bytes(outcomes), causes, parts, ids)


_Send = Callable[[SmppLink, tuple[str, ...]], Coroutine[Any, Any, Report]]


async def _send_share(
    bind: SmppLink, recipients: tuple[str, ...], share: Sequence[int], send: _Send
) -> SubmitReport | None:
    """Send to some of the recipients; None when nothing of it has left."""
    try:
        report = await send(bind, tuple(recipients[index] for index in share))
    except NotSentError:
        return None
    assert isinstance(report, SubmitReport)  # noqa: S101 - links answer in kind
    return report


def _share(
    indexes: Sequence[int], binds: Sequence[SmppLink]
) -> list[tuple[SmppLink, Sequence[int]]]:
    """Cut indexes into shares by what each bind takes; small windows leave some without one."""
    total = sum(bind.window_max for bind in binds)
    shares: list[tuple[SmppLink, Sequence[int]]] = []
    begin = weighed = 0
    for bind in binds:
        weighed += bind.window_max
        end = len(indexes) * weighed // total
        if end > begin:
            shares.append((bind, indexes[begin:end]))
        begin = end
    return shares
