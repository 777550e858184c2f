"""The inbox: receipts find their messages, early ones wait, doubts end without a second copy."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import pytest

from cbgateway.domain.errors import DiskFullError
from cbgateway.domain.incoming import IncomingMessage, MessageState, Receipt
from cbgateway.domain.lifecycle import DeliveryState
from cbgateway.domain.orders import Submit, message_reference
from cbgateway.domain.outcomes import Outcome
from cbgateway.service import inbox as inbox_module
from cbgateway.service.inbox import Inbox
from cbgateway.service.outbox import Answers, Outbox
from cbgateway.service.reports import delivery_report

DELIVERED, UNDELIVERABLE = MessageState.DELIVERED, MessageState.UNDELIVERABLE
YES, DOUBT = Outcome.ACCEPTED, Outcome.IN_DOUBT
HELLO = IncomingMessage("821099998888", "1004", "상태")


def number(index: int) -> str:
    """Give the number of a subscriber in Busan."""
    return f"8210{index:08d}"


def receipt(
    message_id: str, index: int, state: MessageState = DELIVERED, *, of: str = ""
) -> Receipt:
    """Give what a centre tells of a subscriber's message, with our reference to a bulletin."""
    reference = message_reference(of) if of else None
    return Receipt(message_id.encode(), state, number(index), "CBG", reference)


class Desk:
    """A chunk on its way to KT, and what comes back."""

    def __init__(self, office: Any, count: int, **changes: Any) -> None:
        rows = [f"{number(index)},KR-26,ko" for index in range(count)]
        office.gateway.import_recipients(
            "kt", "\n".join(["number,region,language", *rows]).encode()
        )
        self.office = office
        self.store = office.gateway.store
        self.inbox = self.restart()
        self.outbox = Outbox(office.gateway.deployment, self.inbox)
        office.issue(office.document(**changes))
        (self.leased,) = [one for one in self.lease() if isinstance(one.order, Submit)]
        assert isinstance(self.leased.order, Submit)
        self.stream = self.outbox.open_stream(self.leased, self.leased.order)
        self.step(None, count)

    def restart(self) -> Inbox:
        """Give an inbox that knows nothing yet."""
        return Inbox(self.store, self.office.gateway.deployment, self.office.clock)

    def lease(self) -> list[Any]:
        """Take what is due."""
        with self.store.transaction() as tx:
            now = self.office.clock.now()
            return self.outbox.lease(tx, "kt", now=now, limit=16, with_sms=True, rank_max=99) or []

    def step(self, answers: Answers | None, size: int = 9) -> bool:
        """Note what came of a window and go on to the next one."""
        with self.store.transaction() as tx:
            now = self.office.clock.now()
            return self.outbox.next_window(tx, self.stream, answers, size=size, now=now, jitter=1.0)

    def answer(self, *ids: str, outcomes: Sequence[Outcome] = (), parts: int = 1) -> None:
        """Have the centre take messages by these names."""
        octets = bytes(outcomes or [YES] * (len(ids) // parts))
        self.step(Answers(octets, {}, parts=parts, ids=[one.encode() for one in ids]))

    def take(self, *items: Any) -> list[bool]:
        """Have something come from KT."""
        return list(asyncio.run(self.inbox.take("kt", items)))

    def sweep(self, seconds: float = 0) -> None:
        """Look around, some time later."""
        self.office.clock.advance(seconds)
        with self.store.transaction() as tx:
            self.inbox.sweep(tx, now=self.office.clock.now())

    def chunk(self) -> Any:
        """Give the chunk."""
        with self.store.read() as tx:
            return next(
                row for row in tx.deliveries() if row.recipients and row.lineage.peer_id == "kt"
            )

    def told(self) -> Any:
        """Give what its report says of receipts."""
        return delivery_report(self.chunk())["receipts"]

    def parked(self) -> list[bytes]:
        """Give the ids of parked receipts."""
        with self.store.read() as tx:
            return [one.receipt.message_id for one in tx.parked_receipts()]


def test_receipts_find_their_messages(office: Any) -> None:
    """By the id that answered the submit_sm; the chunk is delivered once everybody has it."""
    desk = Desk(office, 3)
    desk.answer("a1", "a2", "a3")
    assert desk.told() == {"none_yet": 3}

    assert desk.take(receipt("A1", 0), receipt("00a2", 1, UNDELIVERABLE)) == [True, True]

    assert desk.told() == {"none_yet": 1, "delivered": 1, "undeliverable": 1}
    assert desk.chunk().state is DeliveryState.ACKED
    desk.take(receipt("a3", 2))
    assert desk.told() == {"delivered": 2, "undeliverable": 1}
    assert desk.chunk().state is DeliveryState.ACKED


def test_chunk_is_delivered_once_everybody_has_it(office: Any) -> None:
    """Every accepted message of it; receipts that come again change nothing."""
    desk = Desk(office, 2)
    desk.answer("a1", "a2")

    desk.take(receipt("a1", 0), receipt("a2", 1))
    desk.take(receipt("a1", 0), receipt("a2", 1, UNDELIVERABLE))

    assert desk.chunk().state is DeliveryState.DELIVERED
    assert desk.told() == {"delivered": 2}


def test_addresses_left_as_they_were_sent_are_understood(office: Any) -> None:
    """Some centres do not turn source and destination round in receipts."""
    desk = Desk(office, 1)
    desk.answer("a1")

    desk.take(Receipt(b"a1", DELIVERED, "CBG", number(0), None))

    assert desk.told() == {"delivered": 1}


def test_receipt_before_its_answer_waits(office: Any) -> None:
    """It is parked, durably, and told as soon as the answer is committed."""
    desk = Desk(office, 2)

    assert desk.take(receipt("a2", 1)) == [True]
    assert desk.parked() == [b"a2"]
    desk.answer("a1", "a2")

    assert desk.told() == {"none_yet": 1, "delivered": 1}
    assert desk.parked() == []


def test_receipt_that_overtakes_a_commit_is_not_parked(
    office: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits for the window's names, and only then is answered; nothing is written twice."""
    desk = Desk(office, 2)
    take_some, looks = desk.inbox._take_some, []
    has_looked = asyncio.Event()

    async def looked(*arguments: Any, **named: Any) -> Any:
        kept = await take_some(*arguments, **named)
        looks.append(list(kept))
        has_looked.set()
        return kept

    monkeypatch.setattr(desk.inbox, "_take_some", looked)

    async def run() -> list[bool]:
        taking = asyncio.create_task(desk.inbox.take("kt", [receipt("a1", 0), receipt("a2", 1)]))
        async with asyncio.timeout(5):
            await has_looked.wait()
            desk.answer("a1", "a2")
            desk.inbox.has_learned()
            return list(await taking)

    assert asyncio.run(run()) == [True, True]
    assert looks == [[None, None], [True, True]]
    assert desk.told() == {"delivered": 2}
    assert desk.parked() == []


def test_text_of_several_parts_is_delivered_with_all_of_them(office: Any) -> None:
    """Each part has an id of its own; one that fails decides."""
    desk = Desk(office, 2)
    desk.answer("a1", "a2", "b1", "b2", parts=2)

    desk.take(receipt("a1", 0), receipt("b1", 1), receipt("b2", 1, UNDELIVERABLE))

    assert desk.told() == {"none_yet": 1, "undeliverable": 1}
    desk.take(receipt("a2", 0))
    assert desk.told() == {"delivered": 1, "undeliverable": 1}


def test_everything_is_known_again_after_a_restart(office: Any) -> None:
    """Names of messages are read back, and what was parked finds its message then."""
    desk = Desk(office, 2)
    desk.answer("a1", "a2")
    desk.inbox = desk.restart()
    desk.take(receipt("a2", 1))
    assert desk.parked() == [b"a2"]

    desk.inbox = desk.restart()

    async def begin() -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(0.5):
                await desk.inbox.run()

    asyncio.run(begin())
    assert desk.take(receipt("a1", 0)) == [True]
    assert desk.told() == {"delivered": 2}
    assert desk.parked() == []


def test_receipt_ends_a_doubt(office: Any, hold: None) -> None:
    """The answer was lost; the receipt says that the message was taken: there is no second copy."""
    desk = Desk(office, 2)
    desk.answer("a1", "", outcomes=[YES, DOUBT])
    assert desk.chunk().state is DeliveryState.IN_DOUBT

    desk.take(receipt("a2", 1, of="inc-1/1"))
    desk.sweep()

    assert (desk.chunk().state, desk.chunk().outcomes) == (DeliveryState.ACKED, bytes([1, 1]))
    assert desk.told() == {"none_yet": 1, "delivered": 1}
    assert "receipts ended the doubt" in desk.chunk().reason
    assert desk.parked() == []
    office.clock.advance(120)
    assert desk.lease() == []


def test_receipt_ends_a_doubt_in_a_window_without_any_answer(office: Any, hold: None) -> None:
    """Nothing of the chunk has a name; one message stays in doubt, and is due as before."""
    desk = Desk(office, 2)
    desk.step(Answers(bytes([DOUBT, DOUBT]), {}))

    desk.take(receipt("a2", 1, of="inc-1/1"))
    desk.sweep()

    assert (desk.chunk().state, desk.chunk().outcomes) == (DeliveryState.IN_DOUBT, bytes([3, 1]))
    assert desk.told() == {"delivered": 1}
    office.clock.advance(61)
    assert len(desk.lease()) == 1


@pytest.mark.parametrize("of", ["", "inc-1/2"])
def test_receipt_that_may_be_for_another_message_ends_no_doubt(
    office: Any, hold: None, of: str
) -> None:
    """Without our reference, or with another, it may tell of a bulletin before."""
    desk = Desk(office, 1)
    desk.answer("", outcomes=[DOUBT])

    desk.take(receipt("x", 0, of=of))
    desk.sweep()

    assert desk.chunk().state is DeliveryState.IN_DOUBT
    assert desk.parked() == [b"x"]


def test_chunk_under_way_is_left_alone(office: Any) -> None:
    """Its outcomes are the dispatcher's until the window is answered."""
    desk = Desk(office, 1)

    desk.take(receipt("x", 0, of="inc-1/1"))
    desk.sweep()

    assert desk.chunk().outcomes == bytes([Outcome.SENDING])
    assert desk.parked() == [b"x"]


def test_text_of_several_parts_stays_in_doubt(office: Any, hold: None) -> None:
    """One part that arrived does not tell of the others."""
    desk = Desk(office, 1, texts={"ko": "장애 안내 " * 14})
    desk.step(Answers(bytes([DOUBT]), {}))

    desk.take(receipt("x", 0, of="inc-1/1"))
    desk.sweep()

    assert desk.chunk().state is DeliveryState.IN_DOUBT
    assert desk.parked() == [b"x"]


def test_receipts_for_nothing_are_forgotten_in_time(office: Any) -> None:
    """An hour later, or when there are too many; a receipt without an id is parked like others."""
    desk = Desk(office, 1)
    desk.answer("a1")
    assert desk.take(receipt("zz", 0), receipt("", 0)) == [True, True]
    assert desk.parked() == [b"zz", b""]

    desk.sweep(inbox_module.PARKED_S + 1)

    assert desk.parked() == []


def test_so_many_are_parked_and_no_more(office: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest makes room, in memory and in the store."""
    monkeypatch.setattr(inbox_module, "PARKED_MAX", 2)
    desk = Desk(office, 1)

    desk.take(*(receipt(f"z{index}", 0) for index in range(4)))

    assert desk.parked() == [b"z2", b"z3"]


def test_messages_are_kept_until_they_are_handled(office: Any) -> None:
    """In the order in which they came, with everything that they say."""
    desk = Desk(office, 1)

    assert desk.take(HELLO, HELLO) == [True, True]

    with desk.store.transaction() as tx:
        first, second = tx.messages(limit=10)
        assert (first.peer_id, first.message) == ("kt", HELLO)
        assert first.received_at == office.clock.now()
        tx.drop_messages([first.message_number])
    with desk.store.read() as tx:
        assert tx.messages(limit=10) == (second,)
        assert tx.count_messages() == 1


def test_queue_of_messages_is_bounded(office: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not fit stays at the centre; receipts beside it are kept."""
    monkeypatch.setattr(inbox_module, "MESSAGES_MAX", 1)
    desk = Desk(office, 1)

    assert desk.take(HELLO, receipt("a", 0), HELLO) == [True, True, False]


def test_full_disk_leaves_everything_at_the_centre(
    office: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is said to be taken that is not committed."""
    desk = Desk(office, 1)

    async def full(work: Any) -> Any:
        raise DiskFullError("no room")

    monkeypatch.setattr(desk.store, "run", full)

    assert desk.take(HELLO, receipt("a", 0)) == [False, False]


@pytest.fixture
def hold(office: Any) -> None:
    """Have doubts held for a receipt, whatever the class says."""
    classes = {
        name: one.model_copy(update={"sms_in_doubt": "hold"})
        for name, one in office.gateway.deployment.country.classes.items()
    }
    country = office.gateway.deployment.country.model_copy(update={"classes": classes})
    object.__setattr__(office.gateway.deployment, "country", country)
