"""Answering: messages that wait are decided about and answered, carrier by carrier, side by side.

Each carrier has a task of its own. What has come is gathered for a moment, so that a flood costs
few commits; the same text to many people leaves as one order. Answers never hold up a bulletin: the
link sends them in the room that bulletins leave. When nobody asks, subscribers are told.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial

from loguru import logger

from cbgateway.domain.errors import EncodeError, NotSentError
from cbgateway.domain.orders import Reply
from cbgateway.domain.outcomes import Outcome
from cbgateway.domain.ports import AnsweringLink, Clock, Store, Transaction
from cbgateway.service.deployment import Deployment
from cbgateway.service.enquiries import Answer, Enquiries
from cbgateway.service.subscribers import Batch, Subscribers
from cbgateway.service.waiting import first
from cbgateway.signing.pseudonyms import Pseudonyms

GATHER_S = 0.02
"""How long messages are gathered before they are decided about together."""
BATCH_MAX = 20
"""Messages that are decided about in one commit: a thousand a second, a fifth of a processor. More
wait in the inbox, so that a flood of questions does not take the processor from bulletins."""
SUBSCRIBERS_MAX = 50
"""Subscribers who are told together: so many are in doubt after a crash."""
UNDER_WAY_MAX = 1_000
"""Answers of one carrier that have no outcome yet; more questions wait in the inbox."""
IDLE_S = 1.0
"""How often is looked for what no event tells of: bulletins that are live."""
FORGET_S = 60.0
"""How often what may not be kept any longer is deleted."""
RETRY_S = 0.5
"""Pause before an answer that could not leave is tried again."""


class Answering:
    """Answers people who ask, until asked to stop."""

    def __init__(
        self,
        store: Store,
        deployment: Deployment,
        links: Mapping[str, AnsweringLink],
        *,
        enquiries: Enquiries,
        pseudonyms: Callable[[datetime], Pseudonyms],
        clock: Clock,
        arrivals: Callable[[str], asyncio.Event],
    ) -> None:
        """Make it.

        Args:
            store: where everything is kept.
            deployment: the gateway's rules.
            links: by carrier; those whose questions are answered.
            enquiries: decides.
            pseudonyms: gives the keys of a day.
            clock: wall time.
            arrivals: gives the event that tells that something has come from a carrier.
        """
        self._store = store
        self._clock = clock
        self._enquiries = enquiries
        self._subscribers = Subscribers(deployment)
        validity = timedelta(seconds=deployment.country.enquiries.answer_within_s)
        self._carriers = [
            _Carrier(
                link,
                store,
                enquiries,
                self._subscribers,
                clock=clock,
                pseudonyms=pseudonyms,
                validity=validity,
                arrived=arrivals(peer_id),
            )
            for peer_id, link in links.items()
        ]

    async def run(self, stop: asyncio.Event) -> None:
        """Name what a crash left, then answer until asked to stop.

        What has not left by then goes back to the inbox.

        Raises:
            StoreFailedError: the disk failed; in a group with whatever else happened.
        """
        in_doubt = await self._store.run(
            lambda tx: (
                self._enquiries.recover(tx) + self._subscribers.recover(tx, now=self._clock.now())
            )
        )
        if in_doubt:
            logger.bind(in_doubt=in_doubt).warning("answers in doubt after a restart")
        async with asyncio.TaskGroup() as group:
            for carrier in self._carriers:
                group.create_task(carrier.run(stop))
            while not stop.is_set():
                await self._store.run(lambda tx: self._enquiries.sweep(tx, now=self._clock.now()))
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), FORGET_S)


class _Carrier:
    """One carrier with what is under way there."""

    def __init__(
        self,
        link: AnsweringLink,
        store: Store,
        enquiries: Enquiries,
        subscribers: Subscribers,
        *,
        clock: Clock,
        pseudonyms: Callable[[datetime], Pseudonyms],
        validity: timedelta,
        arrived: asyncio.Event,
    ) -> None:
        self._link = link
        self._store = store
        self._enquiries = enquiries
        self._subscribers = subscribers
        self._clock = clock
        self._pseudonyms = pseudonyms
        self._validity = validity
        self._arrived = arrived
        self._under_way = 0
        self._has_room = asyncio.Event()
        self._has_room.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Answer until asked to stop; then see to the end what has left."""
        telling: asyncio.Task[None] | None = None
        async with asyncio.TaskGroup() as group:
            while not stop.is_set():
                await first(self._link.wait_ready(), stop.wait())
                await first(self._has_room.wait(), stop.wait())
                if stop.is_set():
                    return
                self._arrived.clear()
                answers, has_more = await self._take()
                for text, some in _by_text(answers):
                    self._begin(len(some))
                    group.create_task(self._answer(text, some, stop))
                if telling is None or telling.done():
                    telling = group.create_task(self._tell_subscribers(stop))
                if not has_more:
                    await first(self._arrived.wait(), stop.wait(), asyncio.sleep(IDLE_S))
                await asyncio.sleep(GATHER_S)

    async def _take(self) -> tuple[Sequence[Answer], bool]:
        """Decide about what waits; tells whether more does."""
        limit = min(BATCH_MAX, UNDER_WAY_MAX - self._under_way)
        now_s = asyncio.get_running_loop().time()
        taken = await self._store.run(
            lambda tx: self._enquiries.take(
                tx, self._link.peer_id, limit=limit, now=self._clock.now(), now_s=now_s
            )
        )
        return taken.answers, taken.looked_at == limit

    def _begin(self, count: int) -> None:
        self._under_way += count
        if self._under_way >= UNDER_WAY_MAX:
            self._has_room.clear()

    def _end(self, count: int) -> None:
        self._under_way -= count
        self._has_room.set()

    async def _answer(self, text: str, answers: list[Answer], stop: asyncio.Event) -> None:
        """Send one text to everybody who gets it, until each has an outcome."""
        count, left = len(answers), answers
        try:
            while left:
                left = await self._send(text, left)
                if left and stop.is_set():
                    await self._settle_unsent(left, self._enquiries.put_back)
                    return
                if left:
                    await first(asyncio.sleep(RETRY_S), stop.wait())
                    await first(self._link.wait_ready(), stop.wait())
        finally:
            self._end(count)

    async def _send(self, text: str, answers: list[Answer]) -> list[Answer]:
        """Send once; gives those that have not left and still may."""
        now = self._clock.now()
        late = [one for one in answers if one.question.received_at + self._validity <= now]
        if late:
            await self._settle_unsent(late, self._enquiries.give_up)
            answers = [one for one in answers if one not in late]
        if not answers:
            return []
        numbers = tuple(one.question.message.source.removeprefix("+") for one in answers)
        outcomes = await self._reply(Reply(text, numbers, now + self._validity))
        pairs = list(zip(answers, outcomes, strict=True))
        settled = [(one, octet) for one, octet in pairs if octet != Outcome.UNSENT]
        if settled:
            await self._store.run(
                lambda tx: self._enquiries.settle(
                    tx,
                    self._link.peer_id,
                    [one for one, _ in settled],
                    bytes(octet for _, octet in settled),
                    now=self._clock.now(),
                )
            )
        return [one for one, octet in pairs if octet == Outcome.UNSENT]

    async def _settle_unsent(self, answers: list[Answer], how: Callable[..., None]) -> None:
        await self._store.run(lambda tx: how(tx, self._link.peer_id, answers))

    async def _reply(self, reply: Reply) -> bytes:
        """Send; gives one outcome for each recipient. Whatever goes wrong may have sent it."""
        count = len(reply.recipients)
        try:
            return (await self._link.reply(reply)).outcomes
        except NotSentError:
            return bytes([Outcome.UNSENT]) * count
        except EncodeError as error:
            logger.bind(peer=self._link.peer_id).error("an answer cannot be sent: {}", error)
            return bytes([Outcome.REFUSED]) * count
        except Exception as error:  # noqa: BLE001 - a task boundary: others go on
            logger.bind(peer=self._link.peer_id).opt(exception=error).error(
                "failed while answering"
            )
            return bytes([Outcome.IN_DOUBT]) * count

    async def _tell_subscribers(self, stop: asyncio.Event) -> None:
        """Tell subscribers of bulletins that are live, batch by batch, until nobody is left."""
        while not stop.is_set():
            batch = await self._store.run(self._next_batch)
            if batch is None:
                return
            for reply in batch.replies:
                outcomes = await self._reply_until_sent(reply, stop)
                await self._store.run(partial(self._note_told, batch, outcomes))

    def _note_told(self, batch: Batch, outcomes: bytes, tx: Transaction) -> None:
        now = self._clock.now()
        self._subscribers.settle(tx, self._link.peer_id, batch.bulletin_id, outcomes, now=now)

    def _next_batch(self, tx: Transaction) -> Batch | None:
        now = self._clock.now()
        names = self._pseudonyms(now)
        return self._subscribers.next_batch(
            tx, self._link.peer_id, names, limit=SUBSCRIBERS_MAX, now=now
        )

    async def _reply_until_sent(self, reply: Reply, stop: asyncio.Event) -> bytes:
        """Send to those who were not sent to, until all were or the time is over."""
        outcomes = bytearray([Outcome.UNSENT]) * len(reply.recipients)
        while not stop.is_set() and self._clock.now() < reply.expires_at:
            left = [index for index, octet in enumerate(outcomes) if octet == Outcome.UNSENT]
            if not left:
                break
            some = Reply(
                reply.text,
                tuple(reply.recipients[index] for index in left),
                reply.expires_at,
                reply.bulletin_id,
            )
            for index, octet in zip(left, await self._reply(some), strict=True):
                outcomes[index] = octet
            if Outcome.UNSENT in outcomes:
                await first(asyncio.sleep(RETRY_S), stop.wait())
                await first(self._link.wait_ready(), stop.wait())
        return bytes(outcomes)


def _by_text(answers: Iterable[Answer]) -> Iterable[tuple[str, list[Answer]]]:
    """Put answers that say the same together; who is answered twice gets two orders."""
    groups: dict[tuple[str, int], list[Answer]] = {}
    seen: dict[tuple[str, str], int] = {}
    for answer in answers:
        key = (answer.text, answer.question.message.source)
        seen[key] = seen.get(key, 0) + 1
        groups.setdefault((answer.text, seen[key]), []).append(answer)
    return [(text, some) for (text, _), some in groups.items()]
