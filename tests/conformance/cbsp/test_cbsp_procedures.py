"""CBSP, procedure by procedure and outcome by outcome, as test suites of the field name them."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest

from cbgateway.codec import cbsp
from cbgateway.codec.cells import Cgi
from cbgateway.domain.errors import NotSentError, RejectedError, UnansweredError
from cbgateway.domain.incoming import AreaOnAir, MessageState
from cbgateway.domain.orders import Area, Handle, OnAirReport, Primary, Submit
from cbgateway.domain.ports import Ended, OnAir
from cbgateway.profiles.networks import Quirks
from tests.conformance.cbsp.bench import (
    CELL_1,
    CELL_2,
    EXPIRES,
    IDENTIFIER,
    KOREAN,
    NO_CHANNEL,
    UNKNOWN,
    Bench,
    bench,
    failure_of,
    known,
    rules,
    serial,
    stop,
    write,
)

MESSAGE = (IDENTIFIER, int(serial()))
PRIMARY = Primary(kind=0, has_alert=True, has_popup=True, period_s=20)
PLACES: dict[str, tuple[object, ...]] = {
    "bss": ("*",),
    "cgi": (CELL_1, CELL_2),
    "lai": (CELL_1.lai,),
    "lai_and_cgi": (CELL_2.lai, NO_CHANNEL),
}


def run(story: Callable[[Bench], Awaitable[None]], **settings: Any) -> None:
    """Tell a story with a bench of its own."""

    async def tell() -> None:
        async with bench(**settings) as made:
            await story(made)

    asyncio.run(tell())


# Connection and keep-alive


@pytest.mark.parametrize("role", ["connect", "listen"])
@pytest.mark.parametrize("address", ["127.0.0.1", "::1"], ids=["ipv4", "ipv6"])
def test_connection(role: str, address: str) -> None:
    """Either side may connect; a KEEP-ALIVE proves that the other answers."""

    async def story(made: Bench) -> None:
        assert (await made.send(write(CELL_1))).failed_areas == ()
        assert {MESSAGE} == made.on_air(CELL_1)
        status = made.link.status()
        assert (True, role, "cbsp") == (status.is_up, status.role, status.interface)

    run(story, role=role, address=address)


def test_keepalive() -> None:
    """One after another, each answered, and the link stays."""

    async def story(made: Bench) -> None:
        await made.until(lambda: made.count("KEEP_ALIVE") >= 3)
        assert 1 == made.connections()

    run(story)


def test_keepalive_timeout() -> None:
    """A controller that does not answer is given up and connected to again."""

    async def story(made: Bench) -> None:
        await made.until(lambda: made.connections() >= 3)
        assert not made.link.status().is_up

    run(story, fault="silent+", is_up=False)


def test_never_resets() -> None:
    """No connection and no failure makes the gateway silence what is live."""

    async def story(made: Bench) -> None:
        await made.send(write())
        made.host.restart(is_lost=False)
        await made.until(lambda: made.connections() == 2)
        await made.link.wait_ready()
        await made.reload(write())
        assert 0 == made.count("RESET")
        assert {MESSAGE} == made.on_air(CELL_1)

    run(story)


@pytest.mark.parametrize("role", ["connect", "listen"])
def test_reconnect(role: str) -> None:
    """A connection that is gone is there again by itself."""

    async def story(made: Bench) -> None:
        assert made.host.session is not None
        made.host.session.abort()
        await made.until(lambda: made.connections() == 2)
        await made.link.wait_ready()
        await made.send(write())

    run(story, role=role)


def test_newer_connection_takes_over() -> None:
    """A controller that connects again while its old connection still stands is heard."""

    async def story(made: Bench) -> None:
        old, made.host.session = made.host.session, None
        assert old is not None
        task = asyncio.create_task(
            made.host.connect("127.0.0.1", made.link._endpoint.port, None, retry_s=9)
        )
        await made.until(lambda: made.connections() == 2)
        await made.link.wait_ready()
        await made.send(write())
        task.cancel()

    run(story, role="listen")


@pytest.mark.parametrize("role", ["connect", "listen"])
def test_ending_the_link_ends_the_connection(role: str) -> None:
    """A gateway that stops leaves no connection behind, whoever has made it."""

    async def story(made: Bench) -> None:
        made.running.cancel()
        await made.until(lambda: made.host.session is None)

    run(story, role=role)


def test_stranger_is_refused() -> None:
    """Who connects from an address that no controller has is let go at once."""

    async def story(made: Bench) -> None:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", made.link._endpoint.port, local_addr=("127.0.0.9", 0)
        )
        async with asyncio.timeout(5):
            with suppress(ConnectionResetError):
                assert b"" == await reader.read(1)
        writer.close()
        assert made.link.status().is_up

    run(story, role="listen")


# Write, replace


@pytest.mark.parametrize("kind", PLACES)
def test_write(kind: str) -> None:
    """By every kind of name, in all cells that can, and phones show it."""

    async def story(made: Bench) -> None:
        report = await made.send(write(*PLACES[kind]))
        assert {MESSAGE} == made.on_air(CELL_1) & made.on_air(CELL_2)
        failed = any(str(NO_CHANNEL) in one for one in report.failed_areas)
        assert failed == (kind in {"bss", "lai_and_cgi"})
        await made.until(lambda: len(made.shown) == 2)
        assert {KOREAN.strip()} == {one.text.strip() for one in made.shown}

    run(story, speed=1000.0)


def test_write_one_cell_only() -> None:
    """A cell that was not named stays silent."""

    async def story(made: Bench) -> None:
        await made.send(write(CELL_2))
        assert (set(), {MESSAGE}) == (made.on_air(CELL_1), made.on_air(CELL_2))

    run(story)


def test_write_unknown_cell() -> None:
    """It is a refusal, and told as one."""

    async def story(made: Bench) -> None:
        error = await failure_of(made, write(UNKNOWN))
        assert isinstance(error, RejectedError)
        assert ("CELL_IDENTITY_NOT_VALID", False) == (error.cause, error.is_temporary)

    run(story)


def test_write_partial() -> None:
    """Where it went on air it is, and where it did not is named with the cause."""

    async def story(made: Bench) -> None:
        report = await made.send(write(CELL_1, NO_CHANNEL, UNKNOWN))
        assert (
            f"{NO_CHANNEL} CELL_BROADCAST_NOT_SUPPORTED",
            f"{UNKNOWN} CELL_IDENTITY_NOT_VALID",
        ) == report.failed_areas
        assert {MESSAGE} == made.on_air(CELL_1)
        assert (1, 2) == (made.link.status().cells_on_air, made.link.status().cells_failed)

    run(story)


def test_write_no_cbch() -> None:
    """A cell without a channel refuses."""

    async def story(made: Bench) -> None:
        error = await failure_of(made, write(NO_CHANNEL))
        assert isinstance(error, RejectedError)
        assert "CELL_BROADCAST_NOT_SUPPORTED" == error.cause

    run(story)


def test_write_too_many_pages_for_the_period() -> None:
    """A period that cannot hold the pages is a refusal."""

    async def story(made: Bench) -> None:
        error = await failure_of(made, write())
        assert isinstance(error, RejectedError)
        assert "PARAMETER_VALUE_INVALID" in error.cause

    run(story, profile=rules(quirks=Quirks(common_period_slots=1)))


def test_write_duplicate_serial_is_a_fault() -> None:
    """Whoever has used our reference: it is not ours that is on air."""

    async def story(made: Bench) -> None:
        await made.send(write(CELL_1))
        error = await failure_of(made, write(CELL_1))
        assert isinstance(error, RejectedError)
        assert "MESSAGE_REFERENCE_ALREADY_USED" == error.cause

    run(story)


def test_write_duplicate_serial_in_recovery_is_success() -> None:
    """A request in doubt that did arrive is answered so."""

    async def story(made: Bench) -> None:
        await made.send(write(CELL_1))
        report = await made.send(write(CELL_1), known(serial(), is_recovery=True))
        assert () == report.failed_areas

    run(story)


def test_replace() -> None:
    """The new version takes the place of the old one, with one request."""

    async def story(made: Bench) -> None:
        await made.send(write())
        await made.send(write(version=serial(update=1)), known(serial()))
        assert {(IDENTIFIER, int(serial(update=1)))} == made.on_air(CELL_1)
        assert (2, 0) == (made.count("WRITE_REPLACE"), made.count("KILL"))

    run(story)


def test_replace_seventeen_times() -> None:
    """Update numbers run out at 15; the next version has a code of its own."""

    async def story(made: Bench) -> None:
        versions = [serial(code, update) for code in (7, 8) for update in range(16)][:18]
        before: tuple[Any, ...] = ()
        for version in versions:
            if before and before[0].message_code != version.message_code:
                await made.send(stop(before[0].message_code), known(*before))
                before = ()
            await made.send(write(version=version), known(*before))
            before = (version,)
            assert {(IDENTIFIER, int(version))} == made.on_air(CELL_1)

    run(story)


def test_replace_unknown_reference() -> None:
    """Cells that never had the old version get the new one as it is."""

    async def story(made: Bench) -> None:
        await made.send(write(CELL_1))
        await made.send(
            write(CELL_1, CELL_2, version=serial(update=1)),
            known(serial(), places=(CELL_1, CELL_2)),
        )
        new = {(IDENTIFIER, int(serial(update=1)))}
        assert new == made.on_air(CELL_1) == made.on_air(CELL_2)

    run(story)


def test_replace_in_other_cells() -> None:
    """A version that moves leaves the cells it was in."""

    async def story(made: Bench) -> None:
        await made.send(write(CELL_1))
        await made.send(write(CELL_2, version=serial(update=1)), known(serial(), places=(CELL_1,)))
        new = {(IDENTIFIER, int(serial(update=1)))}
        assert (set(), new) == (made.on_air(CELL_1), made.on_air(CELL_2))

    run(story)


def test_replace_as_kill_then_write() -> None:
    """A controller that a refused replace would end is never asked to replace."""

    async def story(made: Bench) -> None:
        await made.send(write())
        await made.send(write(version=serial(update=1)), known(serial()))
        assert {(IDENTIFIER, int(serial(update=1)))} == made.on_air(CELL_1)
        assert (2, 1) == (made.count("WRITE_REPLACE"), made.count("KILL"))

    run(story, profile=rules(quirks=Quirks(replace="kill_then_write")))


def test_two_versions_in_doubt() -> None:
    """Both may be on air; neither is after the next one."""

    async def story(made: Bench) -> None:
        await made.send(write())
        await made.send(write(version=serial(update=1)))
        await made.send(write(version=serial(update=2)), known(serial(update=1), serial()))
        assert {(IDENTIFIER, int(serial(update=2)))} == made.on_air(CELL_1)

    run(story)


def test_common_period() -> None:
    """Everything has the period that the controller can bear."""

    async def story(made: Bench) -> None:
        await made.send(write())
        (stored,) = made.host.controller.cells[CELL_1].texts.values()
        assert 32 * cbsp.SLOT_S == pytest.approx(stored.period_s)

    run(story, profile=rules(quirks=Quirks(common_period_slots=32)))


@pytest.mark.parametrize(("until_stopped", "left"), [("zero", None), ("renew", 65_535)])
def test_more_broadcasts_than_a_message_can_say(until_stopped: Any, left: int | None) -> None:
    """Zero, or as many as there are and an audit that renews them."""

    async def story(made: Bench) -> None:
        await made.send(write(broadcasts=70_000))
        (stored,) = made.host.controller.cells[CELL_1].texts.values()
        assert left == (None if stored.left is None else stored.left)

    quirks = Quirks(until_stopped=until_stopped, common_period_slots=6)
    run(story, profile=rules(quirks=quirks), speed=0.001)


def test_two_messages_at_once() -> None:
    """They cross on the way, and each gets its own answer."""

    async def story(made: Bench) -> None:
        orders = [write(version=serial(code)) for code in range(20)]
        reports = await asyncio.gather(*map(made.send, orders))
        assert 20 == len(reports)
        assert {int(serial(code)) for code in range(20)} == {
            number for _, number in made.on_air(CELL_1)
        }

    run(story)


def test_one_request_of_a_message_at_a_time() -> None:
    """The second waits for the first one's answer."""

    async def story(made: Bench) -> None:
        first = asyncio.create_task(made.send(write()))
        second = asyncio.create_task(made.send(write(version=serial(update=1)), known(serial())))
        await asyncio.gather(first, second)
        assert {(IDENTIFIER, int(serial(update=1)))} == made.on_air(CELL_1)

    run(story, fault="slow=0.05")


# Kill


@pytest.mark.parametrize("kind", ["bss", "cgi", "lai"])
def test_kill(kind: str) -> None:
    """It is off the air in every cell that was named."""

    async def story(made: Bench) -> None:
        await made.send(write(CELL_1, CELL_2))
        await made.send(stop(), known(serial(), places=PLACES[kind]))
        assert set() == made.on_air(CELL_1) | made.on_air(CELL_2)
        assert 0 == made.link.status().broadcasts

    run(story)


def test_kill_unknown_reference() -> None:
    """What is not there is off the air: the aim is reached."""

    async def story(made: Bench) -> None:
        report = await made.send(stop(), known(serial(), places=(CELL_1,)))
        assert () == report.failed_areas

    run(story)


def test_kill_where_nothing_can_be() -> None:
    """Cells that are not known, or have no channel, hold up no end."""

    async def story(made: Bench) -> None:
        await made.send(write(CELL_1))
        places = (CELL_1, NO_CHANNEL, UNKNOWN)
        assert () == (await made.send(stop(), known(serial(), places=places))).failed_areas
        assert set() == made.on_air(CELL_1)

    run(story)


def test_kill_every_version_in_doubt() -> None:
    """All that may be on air are killed, with the notification that went before."""

    async def story(made: Bench) -> None:
        await made.send(write(primary=PRIMARY))
        await made.send(write(version=serial(update=1)))
        handle = known(serial(update=1), serial(), has_primary=True)
        await made.send(stop(), handle)
        assert set() == made.on_air(CELL_1)
        assert {} == made.primaries(CELL_1)

    run(story)


# Status


def test_status() -> None:
    """What is on air is counted, and nothing is written again."""

    async def story(made: Bench) -> None:
        await made.send(write(CELL_1))
        report = await made.reload(write(CELL_1))
        assert ({}, ()) == (report.written, report.ended)
        assert 1 == made.count("MESSAGE_STATUS_QUERY")

    run(story)


def test_status_unknown_reference() -> None:
    """What is missing is written again, with the same serial number."""

    async def story(made: Bench) -> None:
        report = await made.reload(write(CELL_1, CELL_2))
        assert {"inc-1/1": 2} == report.written
        assert {MESSAGE} == made.on_air(CELL_1) == made.on_air(CELL_2)

    run(story)


def test_status_counts() -> None:
    """How many cells have it on air, and how often they have sent it; not all do at first."""

    async def story(made: Bench) -> None:
        await made.send(write(CELL_1, CELL_2, NO_CHANNEL))
        handle = known(serial(), places=(CELL_1, CELL_2, NO_CHANNEL), message_identifier=IDENTIFIER)
        await made.until(lambda: len(made.shown) == 2)
        told = await made.link.ask(handle)

        (area,) = told.areas
        assert MessageState.ENROUTE is told.state
        assert ("", 66, 3) == area[:3]
        assert area.broadcasts is not None
        assert 1 <= area.broadcasts[0] <= area.broadcasts[1]

    run(story, speed=500.0)


def test_status_of_nothing() -> None:
    """What no cell has is on air nowhere."""

    async def story(made: Bench) -> None:
        handle = known(serial(), places=(CELL_1, UNKNOWN), message_identifier=IDENTIFIER)
        told = await made.link.ask(handle)
        assert OnAirReport(MessageState.UNKNOWN, (AreaOnAir("", 0, 2, None),)) == told

    run(story)


def test_link_test() -> None:
    """A message that nobody has is asked for; nothing goes on air."""

    async def story(made: Bench) -> None:
        assert 0 <= await made.link.probe() < 1
        assert set() == made.on_air(CELL_1)

    run(story)


# ETWS


def test_etws_write() -> None:
    """The notification goes before the text, with its period."""

    async def story(made: Bench) -> None:
        await made.send(write(primary=PRIMARY))
        assert [MESSAGE] == list(made.primaries(CELL_1))
        assert {MESSAGE} == made.on_air(CELL_1)

    run(story)


def test_etws_replace() -> None:
    """A newer one takes the place of the older one."""

    async def story(made: Bench) -> None:
        await made.send(write(primary=PRIMARY))
        new = serial(update=1)
        await made.send(write(version=new, primary=PRIMARY), known(serial(), has_primary=True))
        assert [(IDENTIFIER, int(new))] == list(made.primaries(CELL_1))

    run(story)


def test_etws_replace_after_expiry() -> None:
    """An older one that has ended is no fault; the text goes out."""

    async def story(made: Bench) -> None:
        await made.send(write(primary=PRIMARY))
        for cell in made.host.controller.cells.values():
            cell.primaries.clear()
        new = serial(update=1)
        report = await made.send(
            write(CELL_1, version=new, primary=PRIMARY),
            known(serial(), places=(CELL_1,), has_primary=True),
        )
        assert () == report.failed_areas
        assert {(IDENTIFIER, int(new))} == made.on_air(CELL_1)

    run(story)


def test_etws_kill() -> None:
    """Notification and text end together."""

    async def story(made: Bench) -> None:
        await made.send(write(primary=PRIMARY))
        await made.send(stop(), known(serial(), has_primary=True))
        assert ({}, set()) == (made.primaries(CELL_1), made.on_air(CELL_1))

    run(story)


def test_etws_expiry() -> None:
    """It ends by itself after its period."""

    async def story(made: Bench) -> None:
        await made.send(write(primary=PRIMARY))
        await made.until(lambda: not made.primaries(CELL_1))

    run(story, speed=1000.0)


def test_etws_busy_in_recovery() -> None:
    """A second one while one is active is success to a request in doubt."""

    async def story(made: Bench) -> None:
        order = write(CELL_1, primary=PRIMARY)
        await made.send(order)
        report = await made.send(order, known(serial(), places=(CELL_1,), is_recovery=True))
        assert () == report.failed_areas

    quirks = Quirks(primary_already_there=(0x0D, 0x06))
    run(story, profile=rules(quirks=quirks))


# Failure and restart


def test_restart_idle() -> None:
    """A controller that comes back with nothing to do is asked nothing."""

    async def story(made: Bench) -> None:
        made.host.restart(is_lost=True)
        await made.until(lambda: made.connections() == 2)
        await made.link.wait_reload()
        await made.link.wait_ready()
        assert {} == (await made.reload()).written

    run(story)


def test_restart_active() -> None:
    """What it has lost is on air again, unchanged, and phones are not told twice."""

    async def story(made: Bench) -> None:
        await made.send(write())
        await made.until(lambda: len(made.shown) == 2)
        made.host.restart(is_lost=True)
        assert set() == made.on_air(CELL_1)
        await made.until(lambda: made.connections() == 2)
        await made.link.wait_reload()
        await made.link.wait_ready()
        report = await made.reload(write())
        assert {"inc-1/1": 2} == report.written
        assert {MESSAGE} == made.on_air(CELL_1) == made.on_air(CELL_2)
        await made.until(lambda: made.host.controller.cells[CELL_1].pages > 12)
        assert 2 == len(made.shown)

    run(story, speed=1000.0)


def test_restart_with_data() -> None:
    """A controller that says it lost all, and did not, is believed in nothing."""

    async def story(made: Bench) -> None:
        await made.send(write(CELL_1, CELL_2))
        made.host.restart(is_lost=False)
        await made.until(lambda: made.connections() == 2)
        await made.link.wait_ready()
        assert {} == (await made.reload(write(CELL_1, CELL_2))).written

    run(story)


def test_cell_failure_idle() -> None:
    """A cell that fails is known to be down, and known to be up when it is back."""

    async def story(made: Bench) -> None:
        controller, session = made.host.controller, made.host.session
        assert session is not None
        session.send(controller.fail([CELL_1]))
        await made.until(lambda: made.link.status().cells_down == (str(CELL_1),))
        session.send(controller.restart([CELL_1], is_lost=False, now_s=0.0))
        await made.until(lambda: not made.link.status().cells_down)

    run(story)


def test_cell_failure_active() -> None:
    """A cell that comes back without its message gets it again."""

    async def story(made: Bench) -> None:
        await made.send(write(CELL_1, CELL_2))
        await made.link.wait_reload()
        controller, session = made.host.controller, made.host.session
        assert session is not None
        session.send(controller.fail([CELL_1]))
        await made.until(lambda: made.link.status().cells_down)
        session.send(controller.restart([CELL_1], is_lost=True, now_s=0.0))
        await made.link.wait_reload()
        assert {"inc-1/1": 1} == (await made.reload(write(CELL_1, CELL_2))).written
        assert {MESSAGE} == made.on_air(CELL_1)

    run(story)


def test_write_to_a_cell_that_is_down() -> None:
    """It is refused for now, and written when the cell is back."""

    async def story(made: Bench) -> None:
        await made.link.wait_reload()
        controller, session = made.host.controller, made.host.session
        assert session is not None
        session.send(controller.fail([CELL_1]))
        error = await failure_of(made, write(CELL_1))
        assert isinstance(error, RejectedError)
        assert error.is_temporary
        report = await made.send(write(CELL_1, CELL_2))
        assert (f"{CELL_1} CELL_BROADCAST_NOT_OPERATIONAL",) == report.failed_areas
        session.send(controller.restart([CELL_1], is_lost=False, now_s=0.0))
        await made.link.wait_reload()
        assert {"inc-1/1": 1} == (await made.reload(write(CELL_1, CELL_2))).written

    run(story)


def test_ended_is_killed() -> None:
    """What has ended here and is still on air there is taken off."""

    async def story(made: Bench) -> None:
        await made.send(write(primary=PRIMARY))
        report = await made.reload(ended=(Ended(5, write(primary=PRIMARY)),))
        assert (5,) == report.ended
        assert (set(), {}) == (made.on_air(CELL_1), made.primaries(CELL_1))

    run(story)


def test_reload_leaves_alone_what_was_sent_since() -> None:
    """A message that was stopped while the store was read is not written again."""

    async def story(made: Bench) -> None:
        await made.send(write())

        async def read() -> Any:
            await made.send(stop(), known(serial()))
            return OnAir((write(),), (Ended(5, write()),))

        report = await made.link.reload(read)
        assert ({}, ()) == (report.written, report.ended)
        assert set() == made.on_air(CELL_1)

    run(story)


# Refusals and faults


def test_refusal_is_told_as_refusal() -> None:
    """With its cause; some pass, others do not."""

    async def story(made: Bench) -> None:
        error = await failure_of(made, write())
        assert isinstance(error, RejectedError)
        assert ("BSC_MEMORY_EXCEEDED", True) == (error.cause, error.is_temporary)
        error = await failure_of(made, stop(), known(serial()))
        assert isinstance(error, RejectedError)
        assert error.is_temporary

    run(story, fault="refuse=8")


def test_error_indication_answers() -> None:
    """A controller that cannot read a request says so, and the request is over."""

    async def story(made: Bench) -> None:
        session = made.host.session
        assert session is not None
        sending = asyncio.create_task(failure_of(made, write()))
        await made.until(lambda: made.count("WRITE_REPLACE"))
        session.send(cbsp.ErrorIndication(cbsp.Cause.MISSING_MANDATORY_ELEMENT, *MESSAGE))
        error = await sending
        assert isinstance(error, RejectedError)
        assert "MISSING_MANDATORY_ELEMENT" == error.cause

    run(story, fault="silent")


@pytest.mark.parametrize("fault", ["silent", "lost_answer", "slow=1"])
def test_no_answer_is_doubt(fault: str) -> None:
    """Within the timer; nothing is claimed, and the link stays."""

    async def story(made: Bench) -> None:
        assert isinstance(await failure_of(made, write()), UnansweredError)
        assert 1 == made.connections()

    run(story, fault=fault)


def test_late_answer_is_no_stray() -> None:
    """An answer that comes after the timer counts for nothing and costs nothing."""

    async def story(made: Bench) -> None:
        for code in range(4):
            assert isinstance(await failure_of(made, write(version=serial(code))), UnansweredError)
        await made.until(lambda: made.count("KEEP_ALIVE") >= 3)
        assert 1 == made.connections()

    run(story, fault="slow=0.4")


@pytest.mark.parametrize("fault", ["malformed", "reset"])
def test_connection_broken_by_an_answer(fault: str) -> None:
    """The request is in doubt and the connection made anew."""

    async def story(made: Bench) -> None:
        assert isinstance(await failure_of(made, write()), UnansweredError)
        await made.until(lambda: made.connections() >= 2)

    run(story, fault=fault)


def test_answers_to_nothing() -> None:
    """A few are lived with; then the connection is made anew."""

    async def story(made: Bench) -> None:
        for code in range(3):
            await made.send(write(version=serial(code)))
        await made.until(lambda: made.connections() == 2)

    run(story, fault="duplicate")


def test_wrong_reference() -> None:
    """An answer for another message answers nothing."""

    async def story(made: Bench) -> None:
        assert isinstance(await failure_of(made, write()), UnansweredError)

    run(story, fault="wrong_reference")


def test_flood() -> None:
    """Too much that nobody asked for ends the connection; it is made anew."""

    async def story(made: Bench) -> None:
        assert isinstance(await failure_of(made, write()), UnansweredError)
        await made.until(lambda: made.connections() == 2)

    run(story, fault="flood")


def test_stops_reading() -> None:
    """A controller that does not read is given up like one that does not answer."""

    async def story(made: Bench) -> None:
        assert isinstance(await failure_of(made, write()), UnansweredError)
        await made.until(lambda: not made.link.status().is_up)

    run(story, fault="stop_reading")


def test_not_connected() -> None:
    """Nothing was sent, and it says so."""

    async def story(made: Bench) -> None:
        assert isinstance(await failure_of(made, write()), NotSentError)
        with pytest.raises(NotSentError):
            await made.link.probe()

    run(story, fault="silent+", is_up=False)


def test_drain() -> None:
    """A gateway that stops sends nothing new."""

    async def story(made: Bench) -> None:
        made.link.drain()
        assert isinstance(await failure_of(made, write()), NotSentError)

    run(story)


def test_short_messages_are_refused() -> None:
    """A controller has no way to send one."""

    async def story(made: Bench) -> None:
        order = Submit("inc-1/1", "safety", Area("KR", {}), "ko", "x", ("821000000000",), EXPIRES)
        with pytest.raises(RejectedError, match="no short messages"):
            await made.link.send(order, seal="", handle=Handle(), is_urgent=False)

    run(story)


def test_unknown_places_are_named_as_they_were_asked() -> None:
    """A location area that is not there comes back as one."""

    async def story(made: Bench) -> None:
        report = await made.send(write(CELL_1, UNKNOWN.lai))
        assert (f"{UNKNOWN.lai} LAI_OR_LAC_NOT_VALID",) == report.failed_areas
        assert {MESSAGE} == made.on_air(CELL_1)
        assert isinstance(CELL_1, Cgi)

    run(story)
