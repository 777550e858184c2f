"""Reload and link tests with links that answer as told: what the store says, and what is noted."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from cbgateway.domain.errors import NotSentError, UnansweredError
from cbgateway.domain.ports import OnAir, PeerStatus, ProbedLink, Reloaded, ReloadingLink
from cbgateway.service.linktest import LinkTests
from cbgateway.service.reload import Reloader
from tests.conftest import Office
from tests.radio import join_network

CELLS = "bsc-1,KR-26,450-08,1,1,,\nbsc-2,KR-26,450-08,2,1,,"
SETTINGS = {
    "bsc-1": {"host": "127.0.0.1", "port": 48049},
    "bsc-2": {"host": "127.0.0.1", "port": 48050},
}


class Link:
    """Answers as told."""

    peer_id = "bsc-1"

    def __init__(self, *answers: Any) -> None:
        """Give answers in turn: reports or errors."""
        self.answers = list(answers)
        self.seen: list[OnAir] = []
        self.asked = asyncio.Event()

    async def wait_reload(self) -> None:
        """Return as soon as it is asked for."""
        await self.asked.wait()
        self.asked.clear()

    async def reload(self, read: Callable[[], Awaitable[OnAir]]) -> Reloaded:
        """Look, and answer."""
        self.seen.append(await read())
        return self._next()

    async def probe(self) -> float:
        """Answer."""
        return self._next()

    def status(self) -> PeerStatus:
        """Say that it is up."""
        return PeerStatus("bsc-1", "cbsp", "connect", "x:1", True, 1, 1, 1, 0, 0, 0, (), "")

    def _next(self) -> Any:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def reloader(office: Office, link: Link) -> Reloader:
    """Give a reloader of one link."""
    assert isinstance(link, ReloadingLink)
    gateway = office.gateway
    return Reloader(gateway.store, gateway.deployment, [link], clock=office.clock)


def seen_by(office: Office) -> OnAir:
    """Give what should be on air at the first controller."""

    async def look() -> OnAir:
        link = Link(Reloaded({}, ()))
        assert await reloader(office, link).reload(link)
        return link.seen[0]

    return asyncio.run(look())


def test_live_is_what_was_answered_and_not_stopped(office: Office) -> None:
    """With the broadcasts that are left; what waits or was stopped is the dispatcher's."""
    join_network(office, SETTINGS, CELLS)
    office.issue(office.document(regions=["KR-26"]))
    assert ((), ()) == (seen_by(office).live, seen_by(office).ended)
    office.send("bsc-1")
    (before, _) = seen_by(office).live
    office.clock.advance(600)
    (after, _) = seen_by(office).live
    assert before.broadcast == after.broadcast
    assert before.number_of_broadcasts - 10 == after.number_of_broadcasts
    office.issue(office.later("withdrawal", regions=["KR-26"]))
    assert () == seen_by(office).live
    office.send("bsc-1")
    assert ((), ()) == (seen_by(office).live, seen_by(office).ended)
    office.close_radio()


def test_ended_is_what_has_expired(office: Office) -> None:
    """Once it is off the air it is not asked for again."""
    join_network(office, SETTINGS, CELLS)
    office.issue(office.document(regions=["KR-26"]))
    office.send("bsc-1")
    office.clock.advance(86_401)
    ended = seen_by(office).ended
    assert 2 == len(ended)

    async def take_off() -> None:
        link = Link(Reloaded({}, (ended[0].delivery_id, 999_999)))
        await reloader(office, link).reload(link)

    asyncio.run(take_off())
    assert list(ended[1:]) == list(seen_by(office).ended)
    office.close_radio()


def test_what_may_not_be_sent_is_not_written_again(office: Office) -> None:
    """A key that was revoked counts here as everywhere."""
    join_network(office, SETTINGS, CELLS)
    office.issue(office.document(regions=["KR-26"]))
    office.send("bsc-1")
    office.gateway.keyring.revoke("bob")
    assert () == seen_by(office).live
    office.close_radio()


def test_reload_that_breaks_off_is_tried_again(office: Office) -> None:
    """After silence; a peer that is gone asks for another one itself."""
    join_network(office, SETTINGS, CELLS)

    async def story() -> None:
        link = Link(UnansweredError("silent"), NotSentError("gone"))
        made = reloader(office, link)
        assert not await made.reload(link)
        assert await made.reload(link)
        link = Link(Reloaded({}, ()))
        made = reloader(office, link)
        running = asyncio.create_task(made.run())
        link.asked.set()
        while not link.seen:
            await asyncio.wait({asyncio.ensure_future(link.asked.wait())}, timeout=0.01)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(story())
    office.close_radio()


def test_link_tests_keep_the_last_success(office: Office) -> None:
    """Beside a failure, with when and why."""
    told: list[str] = []

    async def story() -> None:
        link = Link(0.25, UnansweredError("silent"))
        assert isinstance(link, ProbedLink)
        tests = LinkTests(
            office.gateway.store,
            [link],
            intervals_s={"bsc-1": 60},
            clock=office.clock,
            publish=told.append,
        )
        await tests.test(["bsc-1"])
        (passed,) = tests.document(0)["peers"]
        office.clock.advance(60)
        await tests.test(["bsc-1"])
        (failed,) = tests.document(0)["peers"]
        assert (True, 0.25) == (passed["link_test"]["passed"], passed["link_test"]["round_trip_s"])
        assert (False, "silent") == (failed["link_test"]["passed"], failed["link_test"]["problem"])
        assert passed["link_test"]["at"] == failed["link_test"]["passed_at"]

    asyncio.run(story())


def test_link_tests_come_when_they_are_due(office: Office) -> None:
    """And when somebody asks."""
    told: list[str] = []

    async def story() -> None:
        link = Link(0.1, 0.2, 0.3)
        tests = LinkTests(
            office.gateway.store,
            [link],
            intervals_s={"bsc-1": 60},
            clock=office.clock,
            publish=told.append,
        )
        running = asyncio.create_task(tests.run())
        waiting = asyncio.Event()
        while len(link.answers) == 3:
            await asyncio.wait({asyncio.ensure_future(waiting.wait())}, timeout=0.01)
        asked = office.gateway.ask_for_link_tests()
        while f'"asked":{asked}' not in "".join(told):
            await asyncio.wait({asyncio.ensure_future(waiting.wait())}, timeout=0.01)
        assert 1 == len(link.answers)
        waiting.set()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(story())
