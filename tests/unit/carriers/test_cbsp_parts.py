"""Orders as CBSP requests, answers cell by cell, and the door that controllers come in by."""

import asyncio
import random
import socket
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from cbgateway.carriers.cbsp.link import CbspLink, Endpoint
from cbgateway.carriers.cbsp.listener import Listeners, address_of
from cbgateway.carriers.cbsp.orders import (
    Outcome,
    cell_lists,
    check_outcome,
    describe,
    on_air_report,
    outcome_of,
    period_slots,
    primary_request,
    text_request,
)
from cbgateway.codec import cbsp
from cbgateway.codec.cells import ALL_CELLS, Lac
from cbgateway.domain.errors import RejectedError
from cbgateway.domain.incoming import AreaOnAir, MessageState
from cbgateway.domain.orders import OnAirReport, Primary, decode_order, encode_order
from cbgateway.profiles.networks import Quirks
from tests.conformance.cbsp.bench import (
    CELL_1,
    CELL_2,
    NO_CHANNEL,
    UNKNOWN,
    free_port,
    rules,
    serial,
    write,
)
from tests.radio import until
from tests.storm.loop import VirtualLoop, Weather

CELLS = cbsp.CellList.of(CELL_1, CELL_2)
REFERENCE = (4371, int(serial()))


def test_text_request_has_what_the_order_says() -> None:
    """Seconds as slots, as many broadcasts as end in time, every page as approved."""
    order = write(CELL_1, broadcasts=60)
    request = text_request(order, rules(), CELLS, old=5)

    assert (32, 60, 5) == (
        request.repetition_period,
        request.number_of_broadcasts,
        request.old_serial_number,
    )
    assert [(page.octets, page.used_octets) for page in order.broadcast.pages] == [
        (page.octets, page.used_octets) for page in request.pages
    ]
    assert (cbsp.Category.HIGH_PRIORITY, cbsp.Channel.BASIC, 0x48) == (
        request.category,
        request.channel,
        request.dcs,
    )
    assert cbsp.encode(request)


@pytest.mark.parametrize(("period_s", "slots"), [(1, 4), (30, 16), (60, 32), (4095, 2175)])
def test_periods_hold_their_pages(period_s: int, slots: int) -> None:
    """The nearest number of slots, and never fewer than pages."""
    assert slots == period_slots(replace(write(), repetition_period_s=period_s))


def test_common_period_keeps_the_time_on_air() -> None:
    """Fewer broadcasts with a longer period."""
    profile = rules(quirks=Quirks(common_period_slots=64))

    assert 30 == text_request(write(broadcasts=60), profile, CELLS, old=None).number_of_broadcasts


def test_primary_request() -> None:
    """Earthquake, alert and popup, twenty seconds; no security information."""
    primary = Primary(0, has_alert=True, has_popup=True, period_s=20)
    request = primary_request(write(primary=primary), CELLS, old=None)

    assert request is not None
    assert (0x0180, 15, bytes(50)) == (
        request.warning_type,
        request.warning_period,
        request.warning_security,
    )
    assert primary_request(write(), CELLS, old=None) is None


def test_orders_keep_cells_and_primary_when_stored() -> None:
    """And those without have the form that they always had."""
    primary = Primary(4, has_alert=False, has_popup=True, period_s=60)
    order = write(CELL_1, CELL_2, primary=primary)

    assert order == decode_order(encode_order(order))
    assert '"primary"' not in encode_order(write())


def test_places_of_several_kinds_are_several_lists() -> None:
    """A list has one kind."""
    lists = cell_lists([str(CELL_1), str(CELL_2.lai), str(CELL_2), "*"])

    assert [[CELL_1, CELL_2], [CELL_2.lai], [ALL_CELLS]] == [list(one.cells) for one in lists]


FAILED = (cbsp.Failed(NO_CHANNEL, 9),)
COUNTS = cbsp.EntryList.of(cbsp.Completed(CELL_1, 3))


@pytest.mark.parametrize(
    ("answer", "done", "failed"),
    [
        (cbsp.WriteReplaceComplete(*REFERENCE, cells=CELLS), {CELL_1, CELL_2}, {}),
        (cbsp.WriteReplaceComplete(*REFERENCE), {CELL_1, CELL_2}, {}),
        (
            cbsp.WriteReplaceComplete(*REFERENCE, cells=cbsp.CellList(cbsp.Discriminator.CGI)),
            set(),
            {},
        ),
        (
            cbsp.WriteReplaceFailure(*REFERENCE, FAILED, cells=cbsp.CellList.of(CELL_1)),
            {CELL_1},
            {NO_CHANNEL: 9},
        ),
        (
            cbsp.WriteReplaceFailure(*REFERENCE, FAILED, 5, completed=COUNTS),
            set(),
            {NO_CHANNEL: 9},
        ),
        (cbsp.KillComplete(*REFERENCE, completed=COUNTS), {CELL_1}, {}),
        (cbsp.KillComplete(*REFERENCE), {CELL_1, CELL_2}, {}),
        (cbsp.KillFailure(*REFERENCE, FAILED, completed=COUNTS), {CELL_1}, {NO_CHANNEL: 9}),
        (cbsp.MessageStatusQueryComplete(*REFERENCE, COUNTS), {CELL_1}, {}),
        (cbsp.MessageStatusQueryFailure(*REFERENCE, FAILED), set(), {NO_CHANNEL: 9}),
        (cbsp.ErrorIndication(5), set(), {CELL_1: 5, CELL_2: 5}),
    ],
)
def test_answers_cell_by_cell(answer: Any, done: set[Any], failed: dict[Any, int]) -> None:
    """A FAILURE is partial; a COMPLETE with an empty list did nothing."""
    outcome = outcome_of(answer, CELLS)

    assert set(map(str, done)) == outcome.done
    assert {str(cell): cause for cell, cause in failed.items()} == outcome.failed


def test_counts_say_where_it_is_on_air() -> None:
    """A cell that has not sent it yet does not have it; one whose count is not known has."""
    entries = cbsp.EntryList.of(
        cbsp.Completed(CELL_1, 3),
        cbsp.Completed(CELL_2, 0),
        cbsp.Completed(UNKNOWN, 0, cbsp.CountInfo.UNKNOWN),
    )
    answer = cbsp.MessageStatusQueryFailure(*REFERENCE, FAILED, completed=entries)

    told = on_air_report(outcome_of(answer, CELLS))

    assert OnAirReport(MessageState.ENROUTE, (AreaOnAir("", 50, 4, (3, 3)),)) == told


def test_later_outcomes_count() -> None:
    """For the cells that they are about."""
    outcome = Outcome({"a", "b"}, {"c": 2, "d": 9}, {"a": 1})
    outcome.merge(Outcome({"c"}, {"b": 6}, {"c": 0}))

    assert ({"a", "c"}, {"d": 9, "b": 6}, {"a": 1, "c": 0}) == (
        outcome.done,
        outcome.failed,
        outcome.counts,
    )


def test_nobody_did_it_is_a_refusal() -> None:
    """That may pass when every cause may."""
    with pytest.raises(RejectedError) as passing:
        check_outcome(Outcome(failed={"a": 6, "b": 10}))
    with pytest.raises(RejectedError) as lasting:
        check_outcome(Outcome(failed={"a": 6, "b": 9}))
    with pytest.raises(RejectedError, match="no cell took it") as nothing:
        check_outcome(Outcome())

    assert (True, False, False) == (
        passing.value.is_temporary,
        lasting.value.is_temporary,
        nothing.value.is_temporary,
    )


def test_many_failures_are_counted() -> None:
    """After the first twenty."""
    lines = list(describe({f"cell {n:02}": 9 for n in range(25)}))

    assert 21 == len(lines)
    assert "and 5 more cells" == lines[-1]


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("::ffff:127.0.0.1", "127.0.0.1"),
        ("::1", "::1"),
        ("fe80::1%lo", "fe80::1"),
    ],
)
def test_addresses_have_one_form(host: str, address: str) -> None:
    """An IPv4 address that came over IPv6 is one."""
    assert address == address_of(host)


def test_listeners_share_a_socket() -> None:
    """Two controllers on one address, each known by where it connects from; then the next ones."""

    async def story() -> None:
        listeners, port = Listeners(), free_port("127.0.0.1")
        made: list[str] = []

        def factory(name: str) -> Any:
            def make() -> asyncio.Protocol:
                made.append(name)
                return asyncio.Protocol()

            return make

        tasks = [
            asyncio.create_task(listeners.serve("127.0.0.1", port, source, factory(source)))
            for source in ("127.0.0.2", "127.0.0.3")
        ]
        for n in (3, 2, 9, 9):
            _, writer = await _connect(port, f"127.0.0.{n}")
            writer.close()
        await until(lambda: len(made) >= 2)
        assert {"127.0.0.2", "127.0.0.3"} == set(made)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert {} == listeners._listeners

    asyncio.run(story())


def test_an_address_in_use_is_tried_again() -> None:
    """It ends nothing else, and is told once."""

    async def story() -> None:
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            port = other.getsockname()[1]
            endpoint = Endpoint("listen", "127.0.0.1", port, "127.0.0.1")
            link = CbspLink("bsc-1", endpoint, rules(), listeners=Listeners(), random=lambda: 0.5)
            running = asyncio.create_task(link.run())
            await until(lambda: "cannot listen" in link.status().problem)
        _, writer = await _connect(port, "127.0.0.1")
        assert not running.done()
        writer.close()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(story())


async def _connect(port: int, source: str) -> tuple[Any, Any]:
    """Connect once somebody listens."""
    while True:
        try:
            return await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))
        except ConnectionRefusedError:
            await until(iter([False, True]).__next__)


def test_unknown_places_are_no_list() -> None:
    """An order that names something else is ours, and refused."""
    with pytest.raises(ValueError, match="is no cell"):
        cell_lists([str(Lac(1))])
    assert UNKNOWN


def test_controller_that_hangs_up_is_connected_to_once_a_second() -> None:
    """However short the pauses are that the profile asks for; every link has a door of its own."""
    loop = VirtualLoop(Weather(random.Random(1), roughness=0.0))  # noqa: S311 - a seed
    connected_s: list[float] = []

    class HangsUp(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:
            connected_s.append(loop.time())
            transport.close()

    loop.servers[48049] = HangsUp
    link = CbspLink(
        "bsc-1",
        Endpoint("connect", "127.0.0.1", 48049),
        rules(),
        listeners=Listeners(),
        random=lambda: 0.0,
    )

    async def run() -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(30):
                await link.run()

    loop.run_until_complete(run())
    loop.close()

    assert 25 <= len(connected_s) <= 30
    assert all(later - earlier > 0.98 for earlier, later in pairwise(connected_s))
