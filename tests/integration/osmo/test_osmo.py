"""Bulletins read back from the air of a real base station, behind a real controller."""

import asyncio
import shutil
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cbgateway.carriers.cbsp.link import CbspLink, Endpoint
from cbgateway.carriers.cbsp.listener import Listeners
from cbgateway.codec import cbs
from cbgateway.domain.broadcast import Page
from cbgateway.domain.orders import Handle, Primary
from tests.conformance.cbsp.bench import CELL_1, free_port, known, serial, write
from tests.conftest import Office
from tests.integration.osmo.radio import STATIONS, Air, Radio, air, air_stays_here
from tests.radio import acked, join_network, served, until

pytestmark = pytest.mark.integration

MESSAGES_MIN = 8
"""Two writes and two kills, each with its answer."""
READS_MAX = 20
CELLS = "\n".join(f"osmo,KR-26,450-08,{one.lac},{one.ci},," for one in STATIONS)
LONG_KOREAN = (
    "[KT 통신장애] 부산 전역 음성·데이터 중단. 원인 확인 중이며 복구에 힘쓰고 있습니다. " * 2
)
ESCAPES = "[KT] " + "x" * 86 + "{~}" + "y" * 40 + " [112] |^| \\ 100€"
"""The escape at the end of the first page does not fit, and moves to the second."""
ON_AIR_S = 30.0
RELOAD_S = 30.0


@pytest.fixture(scope="session")
def osmo_air() -> Iterator[None]:
    """Keep the virtual air on this machine."""
    for program in ("osmo-bsc", "osmo-bts-virtual", "ip"):
        assert shutil.which(program), f"no {program}; run `make peers`"
    with air_stays_here():
        yield


@pytest.fixture
def make_radio(osmo_air: None, tmp_path: Path) -> Iterator[Callable[..., Radio]]:
    """Give a starter of real networks; each ends with its test."""
    made: list[Radio] = []

    def make(mode: str = "server") -> Radio:
        folder = tmp_path / "osmo"
        folder.mkdir()
        radio = Radio(folder, mode=mode, port=free_port("127.0.0.1"))
        made.append(radio)
        radio.start()
        return radio

    yield make
    for one in made:
        one.stop_all()


@pytest.fixture
def listener() -> Iterator[Air]:
    """Listen to the air."""
    with air() as heard:
        yield heard


@pytest.fixture
def capture(tshark: str, tmp_path: Path) -> Iterator[Callable[[int], Callable[[], list[str]]]]:
    """Have tshark listen to a port; what it gives then ends it and tells what is malformed."""
    running: list[subprocess.Popen[str]] = []

    def begin(port: int) -> Callable[[], list[str]]:
        path = tmp_path / "cbsp.pcap"
        process = subprocess.Popen(
            [tshark, "-i", "lo", "-f", f"tcp port {port}", "-w", str(path), "-q"],
            stderr=subprocess.PIPE,
            text=True,
        )
        running.append(process)
        assert process.stderr is not None
        while "Capture started" not in process.stderr.readline():
            assert process.poll() is None, "tshark cannot listen here"

        def read() -> list[str]:
            fields = ("-T", "fields", "-e", "cbsp.msg_type", "-e", "_ws.malformed")
            done = subprocess.run(
                [tshark, "-r", str(path), "-d", f"tcp.port=={port},cbsp", "-Y", "cbsp", *fields],
                capture_output=True,
                text=True,
                check=False,  # it complains of a file that is still being written
                timeout=60,
            )
            return done.stdout.splitlines()

        def end() -> list[str]:
            for _ in range(READS_MAX):  # what was heard is written with a delay
                if len(read()) >= MESSAGES_MIN:
                    break
            process.terminate()
            process.communicate(timeout=20)
            return read()

        return end

    yield begin
    for process in running:
        if process.poll() is None:
            process.terminate()
            process.communicate(timeout=20)


def read_text(pages: dict[int, bytes], dcs: int) -> str:
    """Read a message as a phone does, page by page."""
    whole = [
        Page((pages[number] + b"\x00" * 82)[:82], min(82, len(pages[number])))
        for number in sorted(pages)
    ]
    return cbs.read_pages(whole, dcs=dcs).text


def join(office: Office, radio: Radio) -> None:
    """Give the gateway the real controller."""
    join_network(office, {"osmo": {"host": "127.0.0.1", "port": radio.port}}, CELLS)


def tell(office: Office, story: Callable[[], Awaitable[None]]) -> None:
    """Run a story while the gateway serves."""

    async def run() -> None:
        async with served(office):
            await story()

    asyncio.run(run())


def texts_of(office: Office, bulletin_id: str) -> dict[tuple[int, int], str]:
    """Give what should be on air: by serial number and message identifier."""
    with office.gateway.store.read() as tx:
        record = tx.bulletin(bulletin_id)
        assert record is not None
        return {
            (int(one.serial_number or 0), one.lineage.message_identifier or 0): (
                record.bulletin.texts[one.language]
            )
            for one in tx.deliveries(bulletin_id)
            if not one.is_stop
        }


async def on_air(office: Office, heard: Air, bulletin_id: str, station: int = 0) -> None:
    """Wait until a base station has sent every page, and compare the texts."""
    wanted = texts_of(office, bulletin_id)
    arfcn = STATIONS[station].arfcn
    await until(
        lambda: all(heard.is_whole(arfcn, *message) for message in wanted), patience_s=ON_AIR_S
    )
    found = {
        (number, identifier): read_text(pages, dcs)
        for (number, identifier, dcs), pages in heard.texts(arfcn).items()
        if (number, identifier) in wanted
    }
    assert wanted == found


async def counted(office: Office, bulletin_id: str) -> list[Any]:
    """Have the controller asked in which cells a bulletin is on air; gives what it says."""
    office.gateway.ask_on_air(bulletin_id)

    def told() -> list[Any]:
        with office.gateway.store.read() as tx:
            return [one.on_air for one in tx.deliveries(bulletin_id)]

    await until(lambda: all(told()))
    return [one.areas for one in told()]


def test_bulletin_is_on_air(
    office: Office,
    make_radio: Callable[..., Radio],
    listener: Air,
    capture: Callable[[int], Callable[[], list[str]]],
) -> None:
    """Korean over several pages, GSM-7 with escapes at a page border; then it is killed."""
    radio = make_radio()
    join(office, radio)
    read = capture(radio.port)

    async def story() -> None:
        texts = {"ko": LONG_KOREAN.strip(), "en": ESCAPES}
        first = office.issue(office.document(regions=["KR-26"], texts=texts))
        await acked(office, first.bulletin.bulletin_id)
        for station in (0, 1):
            await on_air(office, listener, first.bulletin.bulletin_id, station)
            assert texts_of(office, first.bulletin.bulletin_id).keys() == radio.stored(station)
        with office.gateway.store.read() as tx:
            reasons = {one.reason for one in tx.deliveries(first.bulletin.bulletin_id)}
        assert {"failed areas: 450-08-1002-21 CELL_BROADCAST_NOT_SUPPORTED"} == reasons
        for areas in await counted(office, first.bulletin.bulletin_id):
            (area,) = areas
            assert ("KR-26", 66, 3) == area[:3]
            assert area.broadcasts[0] >= 1
        end = office.issue(office.later("withdrawal", regions=["KR-26"]))
        await acked(office, end.bulletin.bulletin_id)
        assert set() == radio.stored(0) | radio.stored(1)

    tell(office, story)
    lines = read()
    assert len(lines) >= MESSAGES_MIN
    assert [] == [line for line in lines if line.split("\t")[1:] != [""]]


def test_seventeen_updates(office: Office, make_radio: Callable[..., Radio], listener: Air) -> None:
    """Update numbers run out and a new message code begins; the last text alone is on air."""
    radio = make_radio()
    join(office, radio)

    async def story() -> None:
        record = office.issue(office.document(regions=["KR-26"], texts={"ko": "처음", "en": "0"}))
        serials = set()
        for number in range(1, 18):
            await acked(office, record.bulletin.bulletin_id)
            serials |= {message[0] for message in texts_of(office, record.bulletin.bulletin_id)}
            office.clock.advance(1_800)
            texts = {"ko": f"복구 중 {number}", "en": f"{number}"}
            record = office.issue(office.later("progress", regions=["KR-26"], texts=texts))
        await acked(office, record.bulletin.bulletin_id)
        listener.clear()
        await on_air(office, listener, record.bulletin.bulletin_id)
        serials |= {message[0] for message in texts_of(office, record.bulletin.bulletin_id)}
        assert 18 == len(serials)
        assert 2 == len({number & 0x3FF0 for number in serials})
        assert texts_of(office, record.bulletin.bulletin_id).keys() == radio.stored(0)

    tell(office, story)


def test_controller_restarts_with_a_live_alert(
    office: Office, make_radio: Callable[..., Radio], listener: Air
) -> None:
    """It has forgotten everything; within half a minute all is on air again, unchanged."""
    radio = make_radio()
    join(office, radio)

    async def story() -> None:
        record = office.issue(office.document(regions=["KR-26"]))
        await acked(office, record.bulletin.bulletin_id)
        await on_air(office, listener, record.bulletin.bulletin_id)
        await asyncio.to_thread(radio.kill, "bsc")
        for one in STATIONS:
            await asyncio.to_thread(radio.stop, f"bts{one.number}")
        await until(lambda: not office.gateway.peers()["peers"][0]["is_up"])
        await asyncio.to_thread(radio.start)
        listener.clear()
        loop = asyncio.get_running_loop()
        began = loop.time()
        await on_air(office, listener, record.bulletin.bulletin_id)
        assert loop.time() - began < RELOAD_S

    tell(office, story)


def test_base_station_lost_and_back(
    office: Office, make_radio: Callable[..., Radio], listener: Air
) -> None:
    """It is shown as down, shown as up, and broadcasts again."""
    radio = make_radio()
    join(office, radio)

    def down() -> list[str]:
        cells: list[str] = office.gateway.peers()["peers"][0]["cells_down"]
        return cells

    async def story() -> None:
        record = office.issue(office.document(regions=["KR-26"]))
        await acked(office, record.bulletin.bulletin_id)
        await on_air(office, listener, record.bulletin.bulletin_id)
        await asyncio.to_thread(radio.kill, "bts0")
        await until(lambda: down() != [])
        assert ["LAC 1001 CI 11"] == down()
        await asyncio.to_thread(radio.start_bts, 0)
        await asyncio.to_thread(radio.wait_up, [0])
        await until(lambda: down() == [])
        listener.clear()
        await on_air(office, listener, record.bulletin.bulletin_id)

    tell(office, story)


def test_controller_connects(
    office: Office, make_radio: Callable[..., Radio], listener: Air
) -> None:
    """The other way round, the gateway listens; nothing else is different."""
    radio = make_radio("client")
    settings = {"role": "listen", "host": "127.0.0.1", "port": radio.port, "source": "127.0.0.1"}
    join_network(office, {"osmo": settings}, CELLS)

    async def story() -> None:
        record = office.issue(office.document(regions=["KR-26"]))
        await acked(office, record.bulletin.bulletin_id)
        await on_air(office, listener, record.bulletin.bulletin_id)

    tell(office, story)


def test_gateway_restart_leaves_the_alert_on_air(
    office: Office, make_radio: Callable[..., Radio], listener: Air
) -> None:
    """Nothing is reset and nothing written again: what is there is left there."""
    radio = make_radio()
    join(office, radio)

    async def first() -> None:
        record = office.issue(office.document(regions=["KR-26"]))
        await acked(office, record.bulletin.bulletin_id)

    tell(office, first)
    stored = radio.stored(0)
    join(office, radio)

    async def second() -> None:
        await until(office.gateway.settings.peers.exists)
        await until(lambda: office.gateway.peers()["peers"][0]["broadcasts"] == 2)
        with office.gateway.store.read() as tx:
            assert not [event for event in tx.events() if event.what == "reloaded"]

    tell(office, second)
    assert {0x1114, 0x1121} == {identifier for _, identifier in stored}
    assert stored == radio.stored(0)


PRIMARY = Primary(kind=0, has_alert=True, has_popup=True, period_s=10)


def test_etws(make_radio: Callable[..., Radio], listener: Air, office: Office) -> None:
    """The notification is paged, is killed, and is refused to nobody."""
    radio = make_radio()
    rules = office.gateway.deployment.networks.get("kt-gsm") or _network(office, radio)
    link = CbspLink(
        "osmo",
        Endpoint("connect", "127.0.0.1", radio.port),
        rules.cbsp,
        listeners=Listeners(),
        random=lambda: 0.5,
    )

    async def story() -> None:
        running = asyncio.create_task(link.run())
        await link.wait_ready()
        order = write(CELL_1, identifier=0x1100, primary=PRIMARY, version=serial(5))
        listener.clear()
        report = await link.send(order, seal="", handle=Handle(alias=1), is_urgent=False)
        assert () == report.failed_areas  # type: ignore[union-attr]
        head = int(serial(5)).to_bytes(2, "big") + b"\x11\x00\x01\x80"
        await until(lambda: _is_paged(listener, head))
        update = write(CELL_1, identifier=0x1100, primary=PRIMARY, version=serial(5, 1))
        handle = known(serial(5), places=(CELL_1,), has_primary=True)
        await link.send(update, seal="", handle=handle, is_urgent=False)
        await until(
            lambda: _is_paged(listener, int(serial(5, 1)).to_bytes(2, "big") + b"\x11\x00\x01\x80")
        )
        running.cancel()

    asyncio.run(story())


def _network(office: Office, radio: Radio) -> Any:
    join(office, radio)
    office.close_radio()
    return office.gateway.deployment.networks["kt-gsm"]


def _is_paged(heard: Air, head: bytes) -> bool:
    """Tell whether the first segment of a notification was in a paging block, shifted or not."""
    heard.listen()
    wanted = int.from_bytes(head, "big")
    bits = len(head) * 8
    for block in heard.pagings:
        value = int.from_bytes(block, "big")
        for shift in range(len(block) * 8 - bits + 1):
            if (value >> shift) & ((1 << bits) - 1) == wanted:
                return True
    return False
