"""Bulletins to phones through simulated controllers: planned, sent, replaced, reloaded."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from typer.testing import CliRunner

from cbgateway.app import Gateway, restore
from cbgateway.cli.main import app
from cbgateway.codec.cells import Cgi, Plmn
from cbgateway.domain.errors import ConfigurationError, InputError, UnknownNameError
from cbsim.bsc import Cell, Controller
from cbsim.bsc_server import Fault, Host, Scheduler
from cbsim.clock import SimulatedClock
from cbsim.handset import Handset, Shown
from tests.conformance.cbsp.bench import free_port, phone
from tests.conftest import ENGLISH, KOREAN, Office
from tests.radio import acked, join_network, served, states, until

PLMN = Plmn("450", "08")
BUSAN, ULSAN = Cgi(PLMN, 1, 1), Cgi(PLMN, 2, 1)
CELLS = "bsc-1,KR-26,450-08,1,1,,\nbsc-1,KR-31,450-08,2,1,,\nbsc-2,KR-26,450-08,3,1,,"


class Radio:
    """Two controllers: the first with a cell in Busan and one in Ulsan, the second in Busan."""

    def __init__(self, *, fault: str | None = None, speed: float = 500.0) -> None:
        """Make controllers; `fault` is the second one's."""
        self.clock = SimulatedClock(start=None, speed=speed)
        self.shown: list[tuple[str, Shown]] = []
        self.ports = [free_port("127.0.0.1"), free_port("127.0.0.1")]
        self.hosts = [
            self._host("bsc-1", [BUSAN, ULSAN], None),
            self._host("bsc-2", [Cgi(PLMN, 3, 1)], fault),
        ]

    def _host(self, name: str, cells: list[Cgi], fault: str | None) -> Host:
        def show(_phone: Handset, one: Shown) -> None:
            self.shown.append((name, one))

        return Host(
            Controller(name, [Cell(cell, phones=[phone(name)]) for cell in cells], show),
            self.clock,
            lambda _event: None,
            fault=None if fault is None else Fault.parse(fault),
        )

    @property
    def settings(self) -> dict[str, dict[str, Any]]:
        """How the gateway reaches them."""
        return {
            f"bsc-{n}": {"host": "127.0.0.1", "port": port}
            for n, port in enumerate(self.ports, start=1)
        }

    def texts(self, host: int, cell: Cgi) -> list[int]:
        """Give the serial numbers of what a cell repeats."""
        return sorted(serial for _, serial in self.hosts[host].controller.cells[cell].texts)


def tell(office: Office, radio: Radio, story: Callable[[], Awaitable[None]]) -> None:
    """Run a story while the gateway serves and the controllers listen."""

    async def run() -> None:
        servers = [
            await host.listen("127.0.0.1", port)
            for host, port in zip(radio.hosts, radio.ports, strict=True)
        ]
        channels = asyncio.create_task(Scheduler(radio.hosts, radio.clock).run())
        try:
            async with served(office):
                await story()
        finally:
            channels.cancel()
            for server, host in zip(servers, radio.hosts, strict=True):
                server.close()
                if host.session is not None:
                    host.session.abort()

    asyncio.run(run())


@pytest.fixture
def radio(office: Office) -> Radio:
    """Give two controllers that an office's gateway reaches."""
    made = Radio()
    join_network(office, made.settings, CELLS)
    return made


def test_plan_shows_cells_and_what_is_bare(office: Office, radio: Radio) -> None:
    """Each controller gets what it has in each region, and no more."""
    record = office.submit(office.document(regions=["KR-26", "KR-31", "KR-50"]))
    plan = office.gateway.prepare(record.bulletin.bulletin_id).plan
    (reach,) = plan.coverage

    assert "kt-gsm" == reach.network
    assert {"KR-26": {"bsc-1": 1, "bsc-2": 1}, "KR-31": {"bsc-1": 1}, "KR-50": {}} == {
        region: {one.controller: one.cells for one in covered}
        for region, covered in reach.covered.items()
    }
    assert ("KR-50",) == reach.bare
    orders = [json.loads(one.order) for one in plan.orders]
    assert {("KR-26", ("450-08-1",)), ("KR-26", ("*",)), ("KR-31", ("450-08-2",))} == {
        (one["area"]["code"], tuple(one["area"]["cells"])) for one in orders
    }
    office.close_radio()


def test_bulletin_reaches_phones_in_its_region_only(office: Office, radio: Radio) -> None:
    """In both controllers' cells in Busan, and not in Ulsan."""

    async def story() -> None:
        record = office.issue(office.document(regions=["KR-26"]))
        await acked(office, record.bulletin.bulletin_id)
        await until(lambda: len(radio.shown) >= 2)
        assert {("bsc-1", KOREAN), ("bsc-2", KOREAN)} == {
            (name, one.text) for name, one in radio.shown
        }
        assert [] == radio.texts(0, ULSAN)

    tell(office, radio, story)


def test_update_replaces_and_withdrawal_ends(office: Office, radio: Radio) -> None:
    """One version at a time, and none in the end."""

    async def story() -> None:
        first = office.issue(office.document(regions=["KR-26"]))
        await acked(office, first.bulletin.bulletin_id)
        serials = radio.texts(0, BUSAN)
        office.clock.advance(900)
        update = office.issue(
            office.later("progress", regions=["KR-26"], texts={"ko": "둘", "en": "2"})
        )
        await acked(office, update.bulletin.bulletin_id)
        assert [serial + 1 for serial in serials] == radio.texts(0, BUSAN)
        await until(lambda: any(one.text == "둘" for _, one in radio.shown))
        end = office.issue(office.later("withdrawal", regions=["KR-26"]))
        await acked(office, end.bulletin.bulletin_id)
        assert [] == radio.texts(0, BUSAN)

    tell(office, radio, story)


def test_counts_of_cells_are_the_evidence(office: Office, radio: Radio) -> None:
    """A repetition period after the yes, each controller is asked where it is on air, once."""

    async def story() -> None:
        bulletin_id = office.issue(office.document(regions=["KR-26"])).bulletin.bulletin_id
        await acked(office, bulletin_id)
        await until(lambda: len(radio.shown) == 2)
        office.clock.advance(120)

        def told() -> list[Any]:
            with office.gateway.store.read() as tx:
                return [row.on_air for row in tx.deliveries(bulletin_id)]

        await until(lambda: all(told()))
        areas = [area for one in told() for area in one.areas]
        assert [("KR-26", 100, 1)] * 4 == [area[:3] for area in areas]
        assert all(area.broadcasts[0] >= 1 for area in areas)

    tell(office, radio, story)


def test_restarted_controller_is_reloaded(office: Office, radio: Radio) -> None:
    """What it has lost is on air again by itself, and the history says so."""

    async def story() -> None:
        record = office.issue(office.document(regions=["KR-26"]))
        bulletin_id = record.bulletin.bulletin_id
        await acked(office, bulletin_id)
        serials = radio.texts(0, BUSAN)
        radio.hosts[0].restart(is_lost=True)
        assert [] == radio.texts(0, BUSAN)
        await until(lambda: radio.texts(0, BUSAN) == serials)
        with office.gateway.store.read() as tx:
            events = tx.events(bulletin_id)
        assert "reloaded" in {event.what for event in events} or await _noted(office, bulletin_id)
        assert 0 == sum(host.requests.get("RESET", 0) for host in radio.hosts)

    tell(office, radio, story)


async def _noted(office: Office, bulletin_id: str) -> bool:
    """Wait until the history tells of the reload."""

    def is_there() -> bool:
        with office.gateway.store.read() as tx:
            return any(event.what == "reloaded" for event in tx.events(bulletin_id))

    await until(is_there)
    return True


def test_expired_broadcast_is_taken_off(office: Office, radio: Radio) -> None:
    """A controller that comes back after the end has what it repeats taken from it."""

    async def story() -> None:
        record = office.issue(office.document(regions=["KR-26"]))
        await acked(office, record.bulletin.bulletin_id)
        assert radio.texts(0, BUSAN)
        office.clock.advance(86_401)
        await until(lambda: _state(office, record.bulletin.bulletin_id) == "expired")
        radio.hosts[0].restart(is_lost=False)
        await until(lambda: not radio.texts(0, BUSAN))
        await until(lambda: not _on_air(office, "bsc-1"))

    radio.clock._speed = 0.001  # its channel is too slow to end by itself
    tell(office, radio, story)


def _state(office: Office, bulletin_id: str) -> str:
    with office.gateway.store.read() as tx:
        record = tx.bulletin(bulletin_id)
        assert record is not None
        return record.state.value


def _on_air(office: Office, peer_id: str) -> tuple[Any, ...]:
    with office.gateway.store.read() as tx:
        return tx.on_air(peer_id)


def test_one_silent_controller_costs_the_other_nothing(office: Office) -> None:
    """It is in doubt, and shown so; the other is done."""
    radio = Radio(fault="silent")
    join_network(office, radio.settings, CELLS)

    async def story() -> None:
        record = office.issue(office.document(regions=["KR-26"]))
        await until(lambda: states(office, record.bulletin.bulletin_id) >= {"acked"})
        with office.gateway.store.read() as tx:
            found = {
                (one.lineage.peer_id, one.state.value)
                for one in tx.deliveries(record.bulletin.bulletin_id)
            }
        assert ("bsc-1", "acked") in found
        assert ("bsc-2", "acked") not in found

    tell(office, radio, story)


def test_peers_and_link_test(office: Office, radio: Radio) -> None:
    """Another process sees how each stands, and has the ways proved on demand."""
    runner, home = CliRunner(), str(office.gateway.home)

    async def story() -> None:
        await until(office.gateway.settings.peers.exists)
        await until(lambda: all(one["is_up"] for one in office.gateway.peers()["peers"]))
        tested = await asyncio.to_thread(
            runner.invoke, app, ["link", "test", "--json", "--home", home]
        )
        assert 0 == tested.exit_code, tested.output
        document = json.loads(tested.stdout)
        assert document["passed"]
        assert ["bsc-1", "bsc-2"] == [one["peer"] for one in document["links"]]
        ages = office.gateway.status()["peers"]
        assert {"bsc-1": True, "bsc-2": True} == {name: one["is_up"] for name, one in ages.items()}
        assert 0 <= ages["bsc-1"]["link_test_age_s"] < 60
        status = await asyncio.to_thread(runner.invoke, app, ["status", "--home", home])
        assert "peers: 2 of 2 up, oldest link test" in status.stdout
        words = await asyncio.to_thread(runner.invoke, app, ["link", "test", "--home", home])
        assert "bsc-2: passed in" in words.stdout
        shown = await asyncio.to_thread(runner.invoke, app, ["peers", "--home", home])
        assert 0 == shown.exit_code
        assert shown.stdout.count("up") >= 2
        listed = await asyncio.to_thread(runner.invoke, app, ["peers", "--json", "--home", home])
        assert {"bsc-1", "bsc-2"} == {one["peer_id"] for one in json.loads(listed.stdout)["peers"]}

    tell(office, radio, story)
    with pytest.raises(ConfigurationError, match="no process serves"):
        office.gateway.peers()


def test_failed_link_test_is_told(office: Office) -> None:
    """With the peer and the reason, and exit code 4."""
    radio = Radio(fault="silent")
    join_network(office, radio.settings, CELLS)
    runner, home = CliRunner(), str(office.gateway.home)

    async def story() -> None:
        await until(office.gateway.settings.peers.exists)
        await until(lambda: all(one["is_up"] for one in office.gateway.peers()["peers"]))
        tested = await asyncio.to_thread(runner.invoke, app, ["link", "test", "--home", home])
        assert 4 == tested.exit_code
        assert "bsc-2: failed" in tested.stdout
        late = await asyncio.to_thread(
            runner.invoke, app, ["link", "test", "--wait", "0", "--home", home]
        )
        assert "no results within 0 s" in late.stdout

    tell(office, radio, story)


@pytest.mark.parametrize(
    ("lines", "error"),
    [
        ("bsc-9,KR-26,450-08,1,1,,", UnknownNameError),
        ("bsc-1,KR-99,450-08,1,1,,", InputError),
    ],
)
def test_cells_that_belong_nowhere_are_refused(
    office: Office, radio: Radio, lines: str, error: type[Exception]
) -> None:
    """And the old ones stay."""
    head = "controller,region,plmn,lac,cell,latitude,longitude\n"
    with pytest.raises(error):
        office.gateway.import_cells("kt-gsm", (head + lines).encode())
    with pytest.raises(UnknownNameError, match="network"):
        office.gateway.import_cells("nowhere", b"")
    with Gateway.open(office.gateway.home, clock=office.clock) as again:
        assert {"bsc-1": 2, "bsc-2": 1} == again.deployment.cells["kt-gsm"].controllers
    office.close_radio()


def test_backup_has_the_cells(office: Office, radio: Radio, tmp_path: Any) -> None:
    """And a restored gateway plans with them."""
    backup = tmp_path / "all.tar"
    office.gateway.backup(backup, with_secrets=True)
    office.close_radio()
    restore(backup, tmp_path / "restored", clock=office.clock)
    with Gateway.open(tmp_path / "restored", clock=office.clock) as gateway:
        assert {"bsc-1": 2, "bsc-2": 1} == gateway.deployment.cells["kt-gsm"].controllers


def test_cells_commands(office: Office, radio: Radio, tmp_path: Any) -> None:
    """Import and list, for people and for programs."""
    runner, home = CliRunner(), str(office.gateway.home)
    file = tmp_path / "cells.csv"
    file.write_text(f"controller,region,plmn,lac,cell,latitude,longitude\n{CELLS}\n")
    arguments = ["cells", "import", str(file), "--network", "kt-gsm", "--home", home]
    done = json.loads(runner.invoke(app, [*arguments, "--json"]).stdout)
    assert {"bsc-1": 2, "bsc-2": 1} == done["controllers"]
    assert "KR-26" not in done["regions_bare"]
    assert "3 cells of kt-gsm imported" in runner.invoke(app, arguments).stdout
    listed = json.loads(runner.invoke(app, ["cells", "list", "--json", "--home", home]).stdout)
    assert [2, 1] == [one["cells"] for one in listed]
    assert "bsc-2" in runner.invoke(app, ["cells", "list", "--home", home]).stdout
    missing = runner.invoke(app, [*arguments[:2], "nowhere.csv", *arguments[3:]])
    assert 2 == missing.exit_code
    assert ENGLISH
    office.close_radio()
