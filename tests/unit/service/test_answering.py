"""Answering: what waits is answered once, what cannot leave waits, and stopping loses none."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import pytest

from cbgateway.domain.errors import ConfigurationError, EncodeError, NotSentError
from cbgateway.domain.incoming import IncomingMessage
from cbgateway.domain.orders import Reply, SubmitReport
from cbgateway.domain.outcomes import Outcome
from cbgateway.service import answering as answering_module
from cbgateway.service.answering import Answering
from cbgateway.service.enquiries import Enquiries
from cbgateway.service.inbox import Inbox
from tests.enquirers import NUMBER, phone

YES = Outcome.ACCEPTED


@dataclass
class ScriptedLink:
    """A link that answers as it is told, and remembers what it was asked to send."""

    peer_id: str
    outcome: Callable[[Reply], bytes]
    sent: list[Reply] = field(default_factory=list)
    has_sent: asyncio.Event = field(default_factory=asyncio.Event)

    async def wait_ready(self) -> None:
        """Be there."""

    async def reply(self, reply: Reply) -> SubmitReport:
        """Answer as told."""
        self.sent.append(reply)
        self.has_sent.set()
        return SubmitReport(self.outcome(reply), {})


def accept(reply: Reply) -> bytes:
    """Say yes to everything."""
    return bytes([YES]) * len(reply.recipients)


class Desk:
    """An office's answering at work, with links that are scripted."""

    def __init__(self, enquirers: Any, outcome: Callable[[Reply], bytes] = accept) -> None:
        gateway = enquirers.office.gateway
        self.enquirers, self.store = enquirers, gateway.store
        self.inbox = Inbox(self.store, gateway.deployment, enquirers.office.clock)
        self.links = {code: ScriptedLink(code, outcome) for code in ("kt", "skt")}
        self.answering = Answering(
            self.store,
            gateway.deployment,
            self.links,
            enquiries=Enquiries(gateway.deployment, gateway_id="g", pseudonyms=enquirers.keys.of),
            pseudonyms=enquirers.keys.of,
            clock=enquirers.office.clock,
            arrivals=self.inbox.arrivals,
        )
        self.stop = asyncio.Event()

    async def come(self, *texts: str, peer: str = "kt") -> None:
        """Have messages come from a carrier, each from another phone."""
        messages = [IncomingMessage(phone(n), NUMBER, text) for n, text in enumerate(texts)]
        assert all(await self.inbox.take(peer, messages))

    async def until(self, is_done: Callable[[], bool], *, event: asyncio.Event) -> None:
        """Wait until something is true that an event may tell of."""
        async with asyncio.timeout(10):
            while not is_done():
                event.clear()
                if not is_done():
                    await asyncio.wait([asyncio.ensure_future(event.wait())], timeout=0.05)

    def run(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Answer while something is done, then stop in order."""

        async def both() -> None:
            task = asyncio.create_task(self.answering.run(self.stop))
            try:
                await work()
            finally:
                self.stop.set()
                async with asyncio.timeout(10):
                    await task

        asyncio.run(both())


def test_those_who_ask_the_same_are_answered_together(enquirers: Any) -> None:
    """One order for each text; the carrier that the question came by answers."""
    desk = Desk(enquirers)
    link = desk.links["kt"]

    async def work() -> None:
        await desk.come("서울", "서울 상태", "도움")
        await desk.come("Seoul", peer="skt")
        sent = desk.links["skt"].has_sent
        await desk.until(lambda: len(link.sent) == 2 and sent.is_set(), event=link.has_sent)

    desk.run(work)

    assert sorted(one.recipients for one in link.sent) == [(phone(0), phone(1)), (phone(2),)]
    assert len(desk.links["skt"].sent) == 1
    summary = enquirers.summary()
    assert (summary["answered"], summary["under_way"], summary["waiting"]) == (3, 0, 0)


def test_whoever_asks_twice_gets_two_messages(enquirers: Any) -> None:
    """The same number is never twice in one order."""
    desk = Desk(enquirers)
    link = desk.links["kt"]
    enquirers.write("서울")
    enquirers.write("서울!")

    async def work() -> None:
        await desk.until(lambda: len(link.sent) == 2, event=link.has_sent)

    desk.run(work)
    assert [one.recipients for one in link.sent] == [(phone(1),)] * 2


def test_what_cannot_leave_is_tried_again(enquirers: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those who were not sent to, and nobody else."""
    monkeypatch.setattr(answering_module, "RETRY_S", 0.01)
    tries = iter([NotSentError("away"), bytes([YES, Outcome.UNSENT]), bytes([YES])])

    def outcome(reply: Reply) -> bytes:
        one = next(tries)
        if isinstance(one, Exception):
            raise one
        return one

    desk = Desk(enquirers, outcome)
    link = desk.links["kt"]

    async def work() -> None:
        await desk.come("서울", "서울")
        await desk.until(lambda: len(link.sent) == 3, event=link.has_sent)

    desk.run(work)
    assert [len(one.recipients) for one in link.sent] == [2, 2, 1]
    assert enquirers.summary()["answered"] == 2


def test_what_has_not_left_when_stopping_goes_back(enquirers: Any) -> None:
    """It is decided about anew at the next start, with the time at which it came."""

    def outcome(reply: Reply) -> bytes:
        raise NotSentError("the gateway is stopping")

    desk = Desk(enquirers, outcome)
    link = desk.links["kt"]

    async def work() -> None:
        await desk.come("서울")
        await desk.until(lambda: bool(link.sent), event=link.has_sent)

    desk.run(work)
    summary = enquirers.summary()
    assert (summary["waiting"], summary["under_way"], summary["asked"]) == (1, 0, 0)
    assert len(enquirers.take().answers) == 1


def test_what_is_too_late_is_given_up(enquirers: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A carrier that is away for ten minutes answers nobody of ten minutes ago."""
    monkeypatch.setattr(answering_module, "RETRY_S", 0.01)

    def outcome(reply: Reply) -> bytes:
        enquirers.office.clock.advance(601)
        return bytes([Outcome.UNSENT])

    desk = Desk(enquirers, outcome)
    link = desk.links["kt"]

    async def work() -> None:
        await desk.come("서울")
        await desk.until(lambda: bool(enquirers.summary()["late"]), event=link.has_sent)

    desk.run(work)
    assert enquirers.summary()["late"] == 1
    assert len(link.sent) == 1


@pytest.mark.parametrize(
    ("error", "what"),
    [
        (EncodeError("too long", field="text", clause="-"), "refused"),
        (RuntimeError("a fault of ours"), "in_doubt"),
    ],
)
def test_fault_hurts_nobody_else(enquirers: Any, error: Exception, what: str) -> None:
    """What may have left is in doubt and not sent again; others are answered."""

    def outcome(reply: Reply) -> bytes:
        if "HELP" in reply.text or "도움" in reply.text:
            return accept(reply)
        raise error

    desk = Desk(enquirers, outcome)
    link = desk.links["kt"]

    async def work() -> None:
        await desk.come("서울", "왜")
        await desk.until(lambda: len(link.sent) == 2, event=link.has_sent)

    desk.run(work)
    summary = enquirers.summary()
    assert (summary[what], summary["answered"], summary["under_way"]) == (1, 1, 0)


def test_more_questions_wait_in_the_inbox(enquirers: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """While so many answers are under way; all are answered in the end."""
    monkeypatch.setattr(answering_module, "UNDER_WAY_MAX", 2)
    monkeypatch.setattr(answering_module, "BATCH_MAX", 2)
    desk = Desk(enquirers)
    link = desk.links["kt"]

    async def work() -> None:
        await desk.come(*["서울"] * 7)
        await desk.until(
            lambda: sum(len(one.recipients) for one in link.sent) == 7, event=link.has_sent
        )

    desk.run(work)
    assert max(len(one.recipients) for one in link.sent) <= 2
    assert enquirers.summary()["answered"] == 7


def test_subscribers_are_told_beside_answers(
    enquirers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those who were not sent to are tried again; everybody is told once."""
    monkeypatch.setattr(answering_module, "RETRY_S", 0.01)
    for index in range(3):
        enquirers.ask("알림 부산", source=phone(index))
    enquirers.office.issue(enquirers.office.document())
    enquirers.office.send("kt")
    first = iter([bytes([YES, Outcome.UNSENT, YES])])
    desk = Desk(enquirers, lambda reply: next(first, None) or accept(reply))
    link = desk.links["kt"]

    async def work() -> None:
        await desk.until(lambda: len(link.sent) == 2, event=link.has_sent)

    desk.run(work)
    assert [one.recipients for one in link.sent] == [(phone(0), phone(1), phone(2)), (phone(1),)]
    with enquirers.store.read() as tx:
        assert tx.round("inc-1/1", "kt").told == 3


def test_what_a_crash_left_is_named(enquirers: Any) -> None:
    """At the start, before anybody is answered."""
    enquirers.write("서울")
    enquirers.take()
    desk = Desk(enquirers)

    async def work() -> None:
        await desk.until(lambda: bool(enquirers.summary()["in_doubt"]), event=asyncio.Event())

    desk.run(work)
    assert desk.links["kt"].sent == []


def test_carrier_without_short_messages_cannot_answer(enquirers: Any, make_office: Any) -> None:
    """Said at the start; without settings nothing answers."""
    asking = enquirers.office.gateway.asking
    with pytest.raises(ConfigurationError):
        asking.answering({"kt": object(), "skt": object()}, lambda _: asyncio.Event())
    assert (
        make_office(name="silent").gateway.asking.answering({}, lambda _: asyncio.Event()) is None
    )
