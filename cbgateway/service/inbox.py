"""The inbox: what carriers send, each answered only after it is committed.

Theory of operation: a receipt finds its message by what the centre called it when it took it. One
that comes first, or that belongs to a message whose answer was lost, is parked: it is looked at
again when names become known. With our user_message_reference it ends the doubt about a message,
so that nobody gets a second copy of what has arrived; without, it may be for an older one. What
subscribers write waits in a queue of its own; when that is full, the centre keeps it. What is held
in memory is touched only inside transactions, which the store runs one after another.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

from loguru import logger

from cbgateway.codec import smpp_text
from cbgateway.domain.delivery import Channel, Delivery
from cbgateway.domain.errors import DiskFullError
from cbgateway.domain.incoming import (
    NEXT_STATES,
    IncomingMessage,
    MessageState,
    ParkedReceipt,
    Receipt,
    ReceiptStates,
    TakenIds,
)
from cbgateway.domain.lifecycle import DeliveryState
from cbgateway.domain.orders import Submit, decode_order, message_reference
from cbgateway.domain.outcomes import Outcome
from cbgateway.domain.ports import Clock, Store, Transaction
from cbgateway.service.deployment import Deployment
from cbgateway.service.directory import (
    NUMBER_DIGITS,
    TABLE_NAMES_MAX,
    TABLES_MAX,
    Directory,
    names,
)
from cbgateway.service.evidence import settle

MESSAGES_MAX = 100_000
"""Incoming messages that wait to be handled; a hundred bytes each, beyond it the centre waits."""
PARKED_MAX = 10_000
"""Receipts whose messages are not known; beyond it the oldest are forgotten."""
PARKED_S = 3600
"""How long a receipt is parked: longer than any answer is waited for, or doubt is held."""
EARLY_S = 0.25
"""How long a receipt that is for nobody waits for a window to be committed before it is parked:
several windows are, unless the centre is slow with their answers."""
SWEEP_INTERVAL_S = 1.0
LOAD_ROWS = 8
"""Windows that are read back in one go at the start; others get their turn in between."""
ID_OCTETS = 9
"""Of a usual message_id with its end; how far back ids are read at the start follows from it."""

_DOUBTS = (Outcome.IN_DOUBT, Outcome.IN_DOUBT_TWICE)


@dataclass(frozen=True, slots=True)
class _Doubt:
    """A message of which nobody knows whether the centre took it."""

    delivery: Delivery
    index: int


_DoubtName = tuple[str, int, str]
"""Peer, our reference, and the end of the subscriber's number."""


class Inbox:
    """Takes what carriers send. Implements `domain.ports.Inbox`."""

    def __init__(self, store: Store, deployment: Deployment, clock: Clock) -> None:
        """Make an inbox; `run` reads what is known already.

        Args:
            store: where everything is kept.
            deployment: the gateway's rules.
            clock: wall time.
        """
        self._store = store
        self._deployment = deployment
        self._clock = clock
        self._directory = Directory()
        self._parked: dict[int, ParkedReceipt] = {}
        self._parked_names: dict[int, int] = {}
        self._loaded = 0
        self._learned = asyncio.Event()
        self._arrivals: dict[str, asyncio.Event] = {}

    def arrivals(self, peer_id: str) -> asyncio.Event:
        """Give what is set whenever messages of a carrier's subscribers are committed."""
        return self._arrivals.setdefault(peer_id, asyncio.Event())

    async def run(self) -> None:
        """Learn what was taken before this start, then see to what is parked, until cancelled."""
        await self._store.run(self._begin)
        while await self._store.run(self._load):
            pass
        await self._store.run(self._place_all)
        while True:
            await asyncio.sleep(SWEEP_INTERVAL_S)
            if self._parked:
                await self._store.run(lambda tx: self.sweep(tx, now=self._clock.now()))

    async def take(
        self, peer_id: str, items: Sequence[Receipt | IncomingMessage]
    ) -> Sequence[bool]:
        """Commit what has come; see `domain.ports.Inbox`.

        A centre that sends receipts at once is faster than the commit that tells us whose they
        are: for those that are for nobody yet, it is worth a moment. They are not answered before.
        """
        until_s = self._now_s() + EARLY_S
        learned = self._learned
        kept = await self._take_some(peer_id, items, is_last=False)
        while early := [at for at, is_kept in enumerate(kept) if is_kept is None]:
            with suppress(TimeoutError):
                async with asyncio.timeout(until_s - self._now_s()):
                    await learned.wait()
            learned = self._learned
            is_last = self._now_s() >= until_s
            some = [items[at] for at in early]
            again = await self._take_some(peer_id, some, is_last=is_last)
            for at, is_kept in zip(early, again, strict=True):
                kept[at] = is_kept
        return [bool(is_kept) for is_kept in kept]

    def _now_s(self) -> float:
        return asyncio.get_running_loop().time()

    async def _take_some(
        self, peer_id: str, items: Sequence[Receipt | IncomingMessage], *, is_last: bool
    ) -> list[bool | None]:
        """Commit some; None for receipts that are looked at again."""
        now = self._clock.now()
        try:
            kept = await self._store.run(
                lambda tx: self._take(tx, peer_id, items, now, is_last=is_last)
            )
        except DiskFullError:
            return [False] * len(items)
        if peer_id in self._arrivals and any(isinstance(one, IncomingMessage) for one in items):
            self._arrivals[peer_id].set()
        return kept

    def note(
        self, tx: Transaction, delivery: Delivery, taken: TakenIds, numbers: Sequence[str]
    ) -> None:
        """Learn what a peer calls messages of a chunk, to these numbers.

        The receipts that came before are told at once.
        """
        peer_id, parts = delivery.lineage.peer_id, taken.parts
        tx.add_taken_ids(peer_id, taken, recipients=delivery.recipients)
        fresh = self._directory.note(peer_id, taken.delivery_id, _messages(taken, numbers, parts))
        early = [self._parked_names[name] for name in fresh & self._parked_names.keys()]
        if early:
            self._place(tx, [self._parked[number] for number in early], self._clock.now())

    def has_learned(self) -> None:
        """Learn that what was noted is committed; called in the event loop."""
        self._learned.set()
        self._learned = asyncio.Event()

    def sweep(self, tx: Transaction, *, now: datetime) -> None:
        """End doubts with the receipts that are parked, and forget those that are too old."""
        self._end_doubts(tx, now)
        old = [
            one.receipt_number
            for one in self._parked.values()
            if now - one.received_at > timedelta(seconds=PARKED_S)
        ]
        self._forget(tx, old)
        if old:
            logger.warning("{} receipts were for no message that is known", len(old))

    def _begin(self, tx: Transaction) -> None:
        """Read what is parked, and after which row to read what was taken."""
        for one in tx.parked_receipts():
            self._park(one)
        self._loaded = tx.taken_ids_before(octets=TABLE_NAMES_MAX * TABLES_MAX * ID_OCTETS)

    def _load(self, tx: Transaction) -> bool:
        """Read some of what was taken; tells whether there is more."""
        rows = tx.taken_ids(after=self._loaded, limit=LOAD_ROWS)
        numbers: tuple[str, ...] = ()
        of = 0
        for row, peer_id, taken in rows:
            if taken.delivery_id != of:
                of, numbers = taken.delivery_id, _recipients(tx.delivery(taken.delivery_id))
            some = numbers[taken.indexes.start : taken.indexes.stop]
            self._directory.note(peer_id, of, _messages(taken, some, taken.parts))
            self._loaded = row
        return len(rows) == LOAD_ROWS

    def _place_all(self, tx: Transaction) -> None:
        """Tell the parked receipts whose messages are known by now."""
        self._place(tx, list(self._parked.values()), self._clock.now())

    def _take(
        self,
        tx: Transaction,
        peer_id: str,
        items: Sequence[Receipt | IncomingMessage],
        now: datetime,
        *,
        is_last: bool,
    ) -> list[bool | None]:
        kept: list[bool | None] = []
        told: defaultdict[int, list[tuple[int, MessageState]]] = defaultdict(list)
        room: int | None = None
        for item in items:
            if isinstance(item, IncomingMessage):
                room = MESSAGES_MAX - tx.count_messages() if room is None else room
                kept.append(room > 0)
                if room > 0:
                    tx.add_message(peer_id, item, at=now)
                    room -= 1
                continue
            place = self._find(peer_id, item)
            kept.append(True if is_last or place is not None else None)
            if place is not None:
                told[place[0]].append((place[1], item.state))
            elif is_last:
                number = tx.park_receipt(peer_id, item, at=now)
                self._park(ParkedReceipt(number, peer_id, now, item))
                self._forget(tx, list(islice(self._parked, max(0, len(self._parked) - PARKED_MAX))))
        for delivery_id, states in told.items():
            self._tell(tx, delivery_id, states, now)
        return kept

    def _find(self, peer_id: str, receipt: Receipt) -> tuple[int, int] | None:
        """Find a receipt's message; some centres leave the addresses as they were sent."""
        find, message_id = self._directory.find, receipt.message_id
        if not message_id:
            return None
        return find(peer_id, message_id, receipt.subscriber) or find(
            peer_id, message_id, receipt.originator
        )

    def _tell(
        self,
        tx: Transaction,
        delivery_id: int,
        told: Iterable[tuple[int, MessageState]],
        now: datetime,
    ) -> None:
        """Write down what receipts tell of one chunk."""
        known = tx.receipt_states(delivery_id)
        if known is None:
            return
        states = bytearray(known.states)
        for at, state in told:
            states[at] = NEXT_STATES[state][states[at]]
        if states == known.states:
            return
        tx.put_receipt_states(delivery_id, bytes(states))
        if states.count(MessageState.DELIVERED) >= len(states) // 2:
            self._deliver(tx, delivery_id, ReceiptStates(known.parts, bytes(states)), now)

    def _deliver(
        self, tx: Transaction, delivery_id: int, known: ReceiptStates, now: datetime
    ) -> None:
        """Settle a chunk once everybody who was sent to has it."""
        delivery = tx.delivery(delivery_id)
        if delivery is None or delivery.state is not DeliveryState.ACKED:
            return
        accepted = delivery.outcomes.count(Outcome.ACCEPTED)
        if known.states.count(MessageState.DELIVERED) == accepted * known.parts:
            reason = f"delivered: {accepted}"
            settle(tx, delivery, DeliveryState.DELIVERED, now, reason)

    # What is parked

    def _park(self, one: ParkedReceipt) -> None:
        """Remember a receipt that is kept for later."""
        self._parked[one.receipt_number] = one
        for name in _names(one):
            self._parked_names[name] = one.receipt_number

    def _drop(self, receipt_number: int) -> None:
        one = self._parked.pop(receipt_number)
        for name in _names(one):
            self._parked_names.pop(name, None)

    def _forget(self, tx: Transaction, receipt_numbers: Sequence[int]) -> None:
        if not receipt_numbers:
            return
        tx.drop_parked_receipts(receipt_numbers)
        for number in receipt_numbers:
            self._drop(number)

    def _place(self, tx: Transaction, parked: Sequence[ParkedReceipt], now: datetime) -> None:
        """Tell those parked receipts whose messages are known."""
        told: defaultdict[int, list[tuple[int, MessageState]]] = defaultdict(list)
        placed = []
        for one in parked:
            place = self._find(one.peer_id, one.receipt)
            if place is not None:
                told[place[0]].append((place[1], one.receipt.state))
                placed.append(one.receipt_number)
        for delivery_id, states in told.items():
            self._tell(tx, delivery_id, states, now)
        self._forget(tx, placed)

    def _end_doubts(self, tx: Transaction, now: datetime) -> None:
        """End the doubt about messages that a receipt can only be for."""
        named = [one for one in self._parked.values() if one.receipt.reference]
        if not named:
            return
        doubts: defaultdict[_DoubtName, list[_Doubt]] = defaultdict(list)
        for name, doubt in self._doubts(tx):
            doubts[name].append(doubt)
        if not doubts:
            return
        found: defaultdict[int, list[tuple[_Doubt, MessageState]]] = defaultdict(list)
        used = []
        for one in named:
            receipt = one.receipt
            for number in (receipt.subscriber, receipt.originator):
                name = (one.peer_id, receipt.reference or 0, number[-NUMBER_DIGITS:])
                of_number = doubts.pop(name, [])
                if len(of_number) == 1:
                    doubt = of_number[0]
                    found[doubt.delivery.delivery_id].append((doubt, receipt.state))
                    used.append(one.receipt_number)
                    break
        for of_delivery in found.values():
            self._end_doubt(tx, of_delivery, now)
        self._forget(tx, used)

    def _doubts(self, tx: Transaction) -> Iterator[tuple[_DoubtName, _Doubt]]:
        """Go through the messages in doubt that are one part long, with what they are known by."""
        for delivery in tx.in_state(DeliveryState.IN_DOUBT):
            lineage = delivery.lineage
            indexes = [at for at, octet in enumerate(delivery.outcomes) if octet in _DOUBTS]
            if lineage.channel is not Channel.SMS or not indexes:
                continue
            order = decode_order(delivery.order)
            if not isinstance(order, Submit) or self._parts_of(lineage.peer_id, order) != 1:
                continue
            reference = message_reference(delivery.bulletin_id)
            for index in indexes:
                tail = order.recipients[index][-NUMBER_DIGITS:]
                yield (lineage.peer_id, reference, tail), _Doubt(delivery, index)

    def _parts_of(self, peer_id: str, order: Submit) -> int:
        rules = self._deployment.carriers[peer_id].smpp.sms
        kind = smpp_text.Segmentation(rules.segmentation)
        segmented = smpp_text.segment(order.text, data_coding=None, segmentation=kind, reference=0)
        return len(segmented.parts)

    def _end_doubt(
        self, tx: Transaction, found: Sequence[tuple[_Doubt, MessageState]], now: datetime
    ) -> None:
        delivery = found[0][0].delivery
        outcomes = bytearray(delivery.outcomes)
        for doubt, _ in found:
            outcomes[doubt.index] = Outcome.ACCEPTED
        tx.put_outcomes(delivery, bytes(outcomes))
        nameless = TakenIds(delivery.delivery_id, 1, range(1), [b""])
        if tx.receipt_states(delivery.delivery_id) is None:
            tx.add_taken_ids(delivery.lineage.peer_id, nameless, recipients=delivery.recipients)
        if not any(octet in outcomes for octet in _DOUBTS):
            reason = "receipts ended the doubt"
            settle(tx, delivery, DeliveryState.ACKED, now, reason, outcomes=bytes(outcomes))
        told = [(doubt.index, state) for doubt, state in found]
        self._tell(tx, delivery.delivery_id, told, now)


def _names(parked: ParkedReceipt) -> Iterator[int]:
    receipt = parked.receipt
    if receipt.message_id:
        for number in {receipt.subscriber, receipt.originator}:
            yield from names(parked.peer_id, receipt.message_id, number)


def _messages(
    taken: TakenIds, numbers: Sequence[str], parts: int
) -> Iterable[tuple[int, bytes, str]]:
    """Give position, message_id and number of every part that was taken."""
    first = taken.indexes.start * parts
    if parts == 1:
        return zip(range(first, first + len(taken.ids)), taken.ids, numbers, strict=True)
    repeated = (number for number in numbers for _ in range(parts))
    return zip(range(first, first + len(taken.ids)), taken.ids, repeated, strict=True)


def _recipients(delivery: Delivery | None) -> tuple[str, ...]:
    order = None if delivery is None else decode_order(delivery.order)
    return order.recipients if isinstance(order, Submit) else ()
