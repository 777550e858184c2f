"""Dispatch: what is committed in the outbox is carried out, peer by peer, side by side.

Each peer has a task of its own, so that one that hangs costs the others nothing, and a bounded
number of orders under way. What stops or corrects waits for no order and no window. After
something came to be in doubt at a peer, one order at a time goes out until the peer has answered.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace

from loguru import logger

from cbgateway.domain import failpoints
from cbgateway.domain.delivery import Delivery, Event
from cbgateway.domain.errors import GatewayError, NotSentError, StoreError, UnansweredError
from cbgateway.domain.orders import (
    BroadcastReport,
    Handle,
    OnAirReport,
    Order,
    Report,
    Submit,
    SubmitReport,
)
from cbgateway.domain.outcomes import Outcome
from cbgateway.domain.ports import CarrierLink, Clock, Store, Transaction
from cbgateway.service.deployment import Deployment
from cbgateway.service.evidence import GATEWAY
from cbgateway.service.inbox import Inbox
from cbgateway.service.outbox import RANK_MAX, Answers, Leased, Outbox, Stream
from cbgateway.service.pacing import Pacer
from cbgateway.service.steady import SteadyClock
from cbgateway.service.waiting import first

BATCH_MAX = 16
"""Orders of one peer that are under way at once."""
URGENT_MAX = 16
"""As many again of those that wait for nothing."""
URGENT_RANK = 0
POLL_INTERVAL_S = 0.005
"""How often the store is asked whether another process has committed something: a few microseconds
each time, and most of what an alert waits for."""
DRAIN_TIMEOUT_S = 15
"""How long answers are waited for when stopping; longer than any carrier's response timer."""
SWEEP_INTERVAL_S = 1.0
"""How often waiting work is looked at anew: retries that are due, expiries that have passed."""


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
        inbox: Inbox | None = None,
    ) -> None:
        """Make a dispatcher.

        Args:
            store: where the outbox is.
            deployment: the gateway's rules.
            links: by peer.
            clock: wall time.
            random: gives numbers from 0 up to 1, for jitter.
            inbox: takes what the links' peers send; run beside them.
        """
        self._store = store
        self._clock = SteadyClock(clock)
        self._inbox = inbox
        self._outbox = Outbox(deployment, inbox)
        self._peers = [
            _Peer(link, store, self._outbox, Pacer(deployment), self._clock, random, inbox)
            for link in links.values()
        ]
        self._confirmed = 0

    async def run(self, stop: asyncio.Event, on_ready: Callable[[], None] | None = None) -> None:
        """Recover what a crash left, then dispatch until asked to stop.

        Stopping is orderly: nothing new is sent, what was sent is waited for and settled, and
        the links say goodbye. Being cancelled instead leaves what a crash would leave.

        Args:
            stop: set when it is time to end.
            on_ready: called once recovery is committed.

        Raises:
            StoreFailedError: the disk failed; in a group with whatever else happened.
        """
        in_doubt = await self._store.run(self._recover)
        for peer in self._peers:
            peer.is_on_probation = peer.link.peer_id in in_doubt
        if in_doubt:
            logger.bind(in_doubt=in_doubt).warning("in doubt after a restart")
        if on_ready is not None:
            on_ready()
        async with asyncio.TaskGroup() as group:
            serving = [group.create_task(peer.serve(stop)) for peer in self._peers]
            others = [group.create_task(peer.link.run()) for peer in self._peers]
            others.append(group.create_task(self._watch()))
            if self._inbox is not None:
                others.append(group.create_task(self._inbox.run()))
            await stop.wait()
            for peer in self._peers:
                peer.link.drain()
            if serving:
                await asyncio.wait(serving, timeout=DRAIN_TIMEOUT_S)
            for task in serving + others:
                task.cancel()

    async def _watch(self) -> None:
        """Wake peers with open work when something was committed, and now and then."""
        loop = asyncio.get_running_loop()
        next_sweep = loop.time()
        while True:
            if loop.time() >= next_sweep:
                has_more = await self._store.run(self._sweep)
                next_sweep = loop.time() + (0.0 if has_more else SWEEP_INTERVAL_S)
                self._wake()
            elif self._store.has_changed():
                self._wake()
            await asyncio.sleep(POLL_INTERVAL_S)

    def _wake(self) -> None:
        """Wake those for which something waits: of a thousand peers most have nothing to do."""
        with self._store.read() as tx:
            waiting = tx.waiting_peers()
        for peer in self._peers:
            if peer.link.peer_id in waiting:
                peer.wake.set()

    def _recover(self, tx: Transaction) -> dict[str, int]:
        self._confirmed = tx.count("clock")
        return self._outbox.recover(tx, now=self._clock.now())

    def _sweep(self, tx: Transaction) -> bool:
        if tx.count("clock") != self._confirmed:
            self._confirmed = tx.count("clock")
            self._clock.confirm()
        jump = self._clock.check()
        now = self._clock.now()
        if jump is not None:
            detail = {"by_s": round(jump.by_s, 3), "is_held": jump.is_held}
            tx.record(Event(now, "clock", "jumped", GATEWAY, detail))
            logger.bind(**detail).error("the clock jumped")
        return self._outbox.sweep(tx, now=now)


class _Peer:
    """One peer with what is under way there."""

    def __init__(
        self,
        link: CarrierLink,
        store: Store,
        outbox: Outbox,
        pacer: Pacer,
        clock: Clock,
        random: Callable[[], float],
        inbox: Inbox | None,
    ) -> None:
        self.link = link
        self._inbox = inbox
        self.wake = asyncio.Event()
        self.is_on_probation = False
        self._store = store
        self._outbox = outbox
        self._pacer = pacer
        self._clock = clock
        self._random = random
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_streaming = False
        self._is_asking = False

    async def serve(self, stop: asyncio.Event) -> None:
        """Lease what is due and send it, until asked to stop; then see to the end what is sent."""
        async with asyncio.TaskGroup() as group:
            while not stop.is_set():
                await first(self.link.wait_ready(), stop.wait())
                if stop.is_set():
                    return
                self.wake.clear()
                leased, question = await self._lease()
                if question is not None:
                    self._is_asking = True
                    group.create_task(self._ask(*question))
                for one in leased or ():
                    task = group.create_task(self._deliver(one, stop))
                    self._tasks.add(task)
                    task.add_done_callback(self._done)
                if leased is None:
                    await first(self.wake.wait(), stop.wait())

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self.wake.set()

    async def _lease(self) -> tuple[list[Leased] | None, tuple[Delivery, Handle] | None]:
        """Take what is due, and what the peer is to be asked."""
        room = (1 if self.is_on_probation else BATCH_MAX) - len(self._tasks)
        limit = room if room > 0 else URGENT_MAX + room
        if limit <= 0:
            return None, None
        with_sms = room > 0 and not self._is_streaming
        may_ask = not (self._is_asking or self.is_on_probation)

        def step(
            tx: Transaction,
        ) -> tuple[list[Leased] | None, tuple[Delivery, Handle] | None]:
            peer_id, now = self.link.peer_id, self._clock.now()
            leased = self._outbox.lease(
                tx,
                peer_id,
                now=now,
                limit=limit,
                with_sms=with_sms,
                rank_max=RANK_MAX if room > 0 else URGENT_RANK,
            )
            may_ask_now = may_ask and leased is None  # what is to be sent comes first
            return leased, self._outbox.next_question(tx, peer_id, now=now) if may_ask_now else None

        leased, question = await self._store.run(step)
        if leased:
            failpoints.passing("intent.committed")
        if any(isinstance(one.order, Submit) for one in leased or ()):
            self._is_streaming = True
        return leased, question

    async def _ask(self, delivery: Delivery, handle: Handle) -> None:
        """Ask the peer what became of a broadcast, and keep what it says."""
        try:
            report: OnAirReport | GatewayError = await self.link.ask(handle)
        except StoreError:
            raise
        except GatewayError as error:
            report = error
        finally:
            self._is_asking = False
        await self._store.run(
            lambda tx: self._outbox.note_on_air(tx, delivery, report, now=self._clock.now())
        )
        self.wake.set()  # for the next question

    async def _deliver(self, leased: Leased, stop: asyncio.Event) -> None:
        if isinstance(leased.order, Submit):
            try:
                await self._stream(leased, leased.order, stop)
            finally:
                self._is_streaming = False
            return
        try:
            report = await self._send(leased, leased.order)
        except StoreError:
            raise
        except GatewayError as error:
            failure = error
            await self._store.run(
                lambda tx: self._outbox.fail(
                    tx, leased, failure, now=self._clock.now(), jitter=self._random()
                )
            )
        else:
            assert isinstance(report, BroadcastReport)  # noqa: S101 - links answer in kind
            failpoints.passing("send.answered")
            await self._store.run(
                lambda tx: self._outbox.acknowledge(tx, leased, report, now=self._clock.now())
            )
        failpoints.passing("outcome.committed")

    async def _stream(self, leased: Leased, order: Submit, stop: asyncio.Event) -> None:
        """Send a chunk window by window, and the chunks that follow it; each is committed first."""
        stream: Stream | None = self._outbox.open_stream(leased, order)
        answers: Answers | None = None
        while stream is not None:
            size = 1 if self.is_on_probation else self.link.window_max
            await self._pace(stream, size, stop)
            ended, stream = stream, await self._next_window(stream, answers, size, stop)
            if stream is not ended:
                failpoints.passing("outcome.committed")
            if stream is not None:
                failpoints.passing("window.committed")
                answers = await self._send_window(stream)
                failpoints.passing("send.answered")

    async def _next_window(
        self, stream: Stream, answers: Answers | None, size: int, stop: asyncio.Event
    ) -> Stream | None:
        """Commit to the next window, of this chunk or the one after it; None when there is none."""
        may_go_on = not (stop.is_set() or self.is_on_probation or (answers and answers.reason))

        def step(tx: Transaction) -> Stream | None:
            now, jitter = self._clock.now(), self._random()
            if self._outbox.next_window(tx, stream, answers, size=size, now=now, jitter=jitter):
                return stream
            if not may_go_on:
                return None
            return self._outbox.next_stream(tx, stream, size=size, now=now, jitter=jitter)

        following = await self._store.run(step)
        if self._inbox is not None and answers is not None and answers.ids:
            self._inbox.has_learned()
        return following

    async def _pace(self, stream: Stream, size: int, stop: asyncio.Event) -> None:
        """Wait until the region takes as many parts as a window may have."""
        loop = asyncio.get_running_loop()
        lineage = stream.leased.delivery.lineage
        parts = self._pacer.parts_of(lineage.peer_id, stream.order.text)
        parts *= min(size, len(stream.order.recipients))
        while not stop.is_set():
            wait_s = self._pacer.take(lineage.peer_id, lineage.region, parts, now_s=loop.time())
            if not wait_s:
                return
            await asyncio.sleep(wait_s)

    async def _send_window(self, stream: Stream) -> Answers:
        order = stream.order
        recipients = tuple(map(order.recipients.__getitem__, stream.window))
        window = replace(order, recipients=recipients)
        count = len(stream.window)
        try:
            report = await self._send(stream.leased, window)
        except NotSentError as error:
            return Answers(bytes([Outcome.UNSENT]) * count, {}, str(error))
        except GatewayError as error:
            return Answers(bytes([Outcome.IN_DOUBT]) * count, {}, str(error))
        assert isinstance(report, SubmitReport)  # noqa: S101 - links answer in kind
        early = "the peer could not take more" if Outcome.UNSENT in report.outcomes else ""
        if Outcome.IN_DOUBT in report.outcomes:
            self.is_on_probation = True
            early = "sent, and no answer came"
        return Answers(report.outcomes, report.causes, early, report.parts, report.ids)

    async def _send(self, leased: Leased, order: Order) -> Report:
        """Send one order; whatever goes wrong on the way may have sent it."""
        delivery = leased.delivery
        failpoints.passing("send.begun")
        try:
            report = await self.link.send(
                order,
                seal=delivery.seal,
                handle=leased.handle,
                is_urgent=delivery.rank == URGENT_RANK,
            )
        except GatewayError as error:
            self.is_on_probation = isinstance(error, UnansweredError) or (
                self.is_on_probation and isinstance(error, NotSentError)
            )
            raise
        except Exception as error:
            self.is_on_probation = True
            logger.bind(delivery=delivery.delivery_id).opt(exception=error).error(
                "failed while sending"
            )
            msg = f"failed while sending: {type(error).__name__}"
            raise UnansweredError(msg) from error
        self.is_on_probation = False
        return report
