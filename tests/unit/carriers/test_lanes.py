"""Answers leave in the room beside bulletins, from the number that was asked, without receipts."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from cbgateway.app import load_checked_profiles
from cbgateway.carriers.smpp.group import SmppGroup
from cbgateway.carriers.smpp.lanes import QUIET_S, Lanes
from cbgateway.carriers.smpp.link import Endpoint, SmppLink
from cbgateway.carriers.smpp.orders import reply_requests
from cbgateway.carriers.smpp.session import Credentials
from cbgateway.carriers.smpp.submission import Submission
from cbgateway.codec import smpp
from cbgateway.domain.errors import NotSentError
from cbgateway.domain.orders import Area, Handle, Reply, Submit
from cbgateway.domain.outcomes import Outcome
from cbgateway.domain.ports import AnsweringLink

RULES = load_checked_profiles(None).carriers["kt"].smpp
NUMBERS = tuple(f"8210{n:08d}" for n in range(40))
EXPIRES = datetime(2021, 10, 25, 4, 0, tzinfo=UTC)
REPLY = Reply("서울: 장애가 없습니다", NUMBERS[:3], EXPIRES)
LONG = replace(REPLY, text="가" * 100)
BULLETIN = Submit(
    "inc-1/1", "safety", Area("KR-26", {"en": "Busan"}), "ko", "장애", NUMBERS, EXPIRES
)


def submission(reply: Reply = REPLY, parts: int = 1) -> Submission:
    """Give one that has not begun."""
    return Submission(reply, now=0.0, parts=parts)


def test_answers_have_the_whole_window_while_no_bulletin_goes_out() -> None:
    """And a share of it while one does, and for a moment after it."""
    lanes = Lanes(requests_max=100)
    answer = submission()
    with lanes.holding(answer, is_answer=True):
        assert lanes.room(1, now=0.0) == 100
        lanes.bulletin_at = 10.0
        assert lanes.room(1, now=10.0 + QUIET_S / 2) == 25
        answer.take(2)
        assert lanes.room(1, now=10.0) == 23
        assert lanes.room(1, now=10.1 + QUIET_S) == 100
    assert lanes.room(1, now=10.0) == 25


def test_nothing_leaves_while_a_bulletin_waits_for_room() -> None:
    """Once all of it has left, answers may, however many are not answered yet."""
    lanes = Lanes(requests_max=4)
    bulletin = submission()
    with lanes.holding(bulletin, is_answer=False):
        assert lanes.is_busy
        assert lanes.room(1, now=0.0) == 0
        bulletin.take(3)
        assert not lanes.is_busy
        lanes.bulletin_at = 0.0
        assert lanes.room(2, now=0.0) == 2, "one answer at a time always has room"
    assert not lanes.is_busy


def test_answer_comes_from_the_number_that_was_asked() -> None:
    """No receipt, no seal; the parts of a long one belong together."""
    ((body, tlvs),) = reply_requests(REPLY, RULES, recipient=NUMBERS[0])
    parts = reply_requests(LONG, RULES, recipient=NUMBERS[0])

    assert (body.source.address, body.destination.address) == ("1234", NUMBERS[0])
    assert (body.registered_delivery, tlvs) == (0, ())
    assert body.validity_period
    assert len(parts) == 2
    assert {part.esm_class for part, _ in parts} == {0x40}
    assert REPLY.reference != LONG.reference
    without = RULES.model_copy(update={"enquiries": None})
    ((body, _),) = reply_requests(REPLY, without, recipient=NUMBERS[0])
    assert body.source.address == "CBGATEWAY"


class Centre:
    """A centre that keeps what came, and answers when it is told to."""

    def __init__(self) -> None:
        self.seen: list[smpp.SubmitSm] = []
        self.waiting: list[tuple[Any, bytes]] = []
        self.writers: list[Any] = []
        self.has_come = asyncio.Event()
        self.is_prompt = False
        self.status = smpp.Status.ESME_ROK

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take what comes."""
        self.writers.append(writer)
        framer = smpp.Framer()
        while octets := await reader.read(65536):
            for pdu in framer.receive(octets):
                assert isinstance(pdu, smpp.Pdu)
                body = pdu.body
                answer = smpp.Pdu(smpp.response_to(body), pdu.sequence_number)
                if isinstance(body, smpp.SubmitSm):
                    self.seen.append(body)
                    answer = replace(answer, command_status=self.status)
                self.waiting.append((writer, smpp.encode(answer)))
                if not isinstance(body, smpp.SubmitSm) or self.is_prompt:
                    self.answer()
            self.has_come.set()

    def answer(self) -> None:
        """Say yes to everything that waits."""
        for writer, octets in self.waiting:
            writer.write(octets)
        self.waiting.clear()

    async def come(self, count: int) -> list[str]:
        """Wait until so many messages have come; gives whom they come from."""
        async with asyncio.timeout(5):
            while len(self.seen) < count:
                self.has_come.clear()
                await self.has_come.wait()
        return [body.source.address for body in self.seen]


def run(work: Any, *, window: int = 8, binds: int = 1) -> None:
    """Have something done with a bound link and its centre."""

    async def all_of_it() -> None:
        centre = Centre()
        server = await asyncio.start_server(centre.converse, "127.0.0.1", 0)
        place = ("127.0.0.1", server.sockets[0].getsockname()[1])
        rules = RULES.model_copy(update={"window_requests_max": window})
        endpoint = Endpoint((place,), Credentials("gateway", "secret"))
        links = [SmppLink("kt", endpoint, rules, random=lambda: 0.5) for _ in range(binds)]
        link: Any = links[0] if binds == 1 else SmppGroup("kt", links)
        task = asyncio.create_task(link.run())
        try:
            async with asyncio.timeout(10):
                for one in links:
                    await one.wait_ready()
                await work(link, centre)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            for writer in centre.writers:
                writer.close()
            server.close()

    asyncio.run(all_of_it())


def send(link: Any, order: Submit = BULLETIN) -> Any:
    """Begin to send a bulletin."""
    return asyncio.ensure_future(
        link.send(order, seal="s", handle=Handle(alias=1), is_urgent=False)
    )


def test_answers_are_sent_and_told_of() -> None:
    """One by one of what became of each; by a group as well."""

    async def work(link: Any, centre: Centre) -> None:
        assert isinstance(link, AnsweringLink)
        centre.is_prompt = True
        report = await link.reply(REPLY)
        assert report.outcomes == bytes([Outcome.ACCEPTED]) * 3
        assert (await link.reply(LONG)).parts == 2
        assert await centre.come(9) == ["1234"] * 9

    run(work)


def test_group_answers_by_what_is_up() -> None:
    """Spread over its binds."""

    async def work(link: Any, centre: Centre) -> None:
        centre.is_prompt = True
        report = await link.reply(replace(REPLY, recipients=NUMBERS))
        assert report.outcomes == bytes([Outcome.ACCEPTED]) * len(NUMBERS)
        link.drain()
        with pytest.raises(NotSentError):
            await link.reply(REPLY)

    run(work, binds=2)


def test_answer_waits_for_all_of_a_window() -> None:
    """A bulletin of twelve in a window of eight: the answer is the thirteenth, not the ninth."""

    async def work(link: Any, centre: Centre) -> None:
        bulletin = send(link, replace(BULLETIN, recipients=NUMBERS[:12]))
        await centre.come(8)
        answer = asyncio.ensure_future(link.reply(replace(REPLY, recipients=NUMBERS[:1])))
        centre.answer()
        await centre.come(12)
        centre.answer()
        sources = await centre.come(13)
        centre.answer()
        await asyncio.gather(bulletin, answer)
        assert sources == ["CBGATEWAY"] * 12 + ["1234"]

    run(work)


def test_bulletin_finds_most_of_the_window_free() -> None:
    """Beside one, answers have a quarter of it at most."""

    async def work(link: Any, centre: Centre) -> None:
        first = send(link, replace(BULLETIN, recipients=NUMBERS[:1]))
        await centre.come(1)
        centre.answer()
        await first
        answer = asyncio.ensure_future(link.reply(replace(REPLY, recipients=NUMBERS[:8])))
        await centre.come(3)
        second = send(link, replace(BULLETIN, recipients=NUMBERS[:6]))
        sources = await centre.come(9)
        assert sources == ["CBGATEWAY", "1234", "1234", *["CBGATEWAY"] * 6]
        centre.is_prompt = True
        centre.answer()
        await asyncio.gather(second, answer)

    run(work)


def test_long_answer_in_a_small_window_waits_part_by_part() -> None:
    """Each part behind what a bulletin has to send."""

    async def work(link: Any, centre: Centre) -> None:
        centre.is_prompt = True
        report = await link.reply(replace(LONG, recipients=NUMBERS[:2]))
        assert report.outcomes == bytes([Outcome.ACCEPTED]) * 2
        assert len(centre.seen) == 4

    run(work, window=1)


def test_answer_that_is_refused_or_cannot_leave_says_so() -> None:
    """Refused for good, or unsent once the gateway is stopping."""

    async def work(link: Any, centre: Centre) -> None:
        centre.is_prompt = True
        centre.status = smpp.Status.ESME_RINVDSTADR
        report = await link.reply(REPLY)
        assert report.outcomes == bytes([Outcome.REFUSED]) * 3
        link.drain()
        with pytest.raises(NotSentError):
            await link.reply(REPLY)

    run(work)
