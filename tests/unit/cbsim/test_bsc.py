"""The simulated controller: channels on time, answers cell by cell, faults by name, a command."""

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cbgateway.codec import cbsp
from cbgateway.codec.cells import ALL_CELLS, Cgi, Ci, Lac, LacCi, Lai, Plmn
from cbsim.bsc import MESSAGES_MAX, Cell, Controller
from cbsim.bsc_cli import Reporter, source_of
from cbsim.bsc_server import MODES, Fault
from cbsim.cli import app

PLMN = Plmn("450", "08")
ONE, TWO, BARE = Cgi(PLMN, 1, 1), Cgi(PLMN, 1, 2), Cgi(PLMN, 2, 1)
CONTENT = cbsp.Content(b"\0a\0\r" + b"\0\r" * 39, 4)


def controller() -> Controller:
    """Give a controller with two cells that broadcast and one that does not."""
    return Controller("bsc", [Cell(ONE), Cell(TWO), Cell(BARE, has_channel=False)])


def write(
    serial: int = 16, *, old: int | None = None, cells: Any = ALL_CELLS, **changes: Any
) -> Any:
    """Give a text of two pages, every 4 slots, 3 times."""
    text: dict[str, Any] = {
        "channel": 0,
        "category": 2,
        "repetition_period": 4,
        "number_of_broadcasts": 3,
        "dcs": 0x48,
        "pages": (CONTENT, CONTENT),
    }
    return cbsp.WriteReplace(4371, serial, cbsp.CellList.of(cells), old, **text | changes)


def primary(serial: int = 16, *, old: int | None = None, period: int = 10) -> Any:
    """Give a notification without a text."""
    return cbsp.WriteReplace(
        4352,
        serial,
        cbsp.CellList.of(ONE),
        old,
        emergency_indicator=1,
        warning_type=0x0180,
        warning_security=bytes(50),
        warning_period=period,
    )


def causes(answer: Any) -> set[int]:
    """Give why something was refused."""
    return {one.cause for one in answer.failures}


def test_pages_go_out_one_a_slot() -> None:
    """Two pages, a pause until the period is over, three times; then it is forgotten."""
    made = controller()
    made.answer(write(cells=ONE), now_s=0.0)
    cell = made.cells[ONE]
    sent = []
    for slot in range(14):
        made.tick(now_s=slot * cbsp.SLOT_S + 0.001)
        sent.append(cell.pages)

    assert [1, 2, 2, 2, 3, 4, 4, 4, 5, 6, 6, 6, 6, 6] == sent
    assert {} == cell.texts
    assert made.next_tick() is None


def test_two_messages_share_a_channel() -> None:
    """None is starved."""
    made = controller()
    made.answer(write(16, cells=ONE, number_of_broadcasts=0), now_s=0.0)
    made.answer(write(17, cells=ONE, number_of_broadcasts=0), now_s=0.0)
    made.tick(now_s=40 * cbsp.SLOT_S)

    assert {10} == {one.count for one in made.cells[ONE].texts.values()}


@pytest.mark.parametrize("name", [ONE, LacCi(1, 1), Ci(2), Lai(PLMN, 1), Lac(1), ALL_CELLS])
def test_every_kind_of_name(name: Any) -> None:
    """Finds the cells that it names, and answers by their full names."""
    answer = controller().answer(write(cells=name), now_s=0.0)

    assert isinstance(answer, cbsp.WriteReplaceComplete | cbsp.WriteReplaceFailure)
    assert answer.cells is not None
    assert set(answer.cells.cells) <= {ONE, TWO}


@pytest.mark.parametrize(
    ("message", "cause"),
    [
        (write(cells=BARE), cbsp.Cause.CELL_BROADCAST_NOT_SUPPORTED),
        (write(cells=Cgi(PLMN, 9, 9)), cbsp.Cause.CELL_IDENTITY_NOT_VALID),
        (write(cells=Lac(9)), cbsp.Cause.LAI_OR_LAC_NOT_VALID),
        (write(repetition_period=1, cells=ONE), cbsp.Cause.PARAMETER_VALUE_INVALID),
        (
            write(cells=ONE, pages=(cbsp.Content(bytes(82), 0),)),
            cbsp.Cause.PARAMETER_VALUE_INVALID,
        ),
        (write(17, old=3, cells=ONE), cbsp.Cause.MESSAGE_REFERENCE_NOT_IDENTIFIED),
        (primary(period=200), cbsp.Cause.PARAMETER_VALUE_INVALID),
        (
            cbsp.Kill(1, 1, cbsp.CellList.of(ONE), 0),
            cbsp.Cause.MESSAGE_REFERENCE_NOT_IDENTIFIED,
        ),
        (
            cbsp.MessageStatusQuery(1, 1, cbsp.CellList.of(ONE)),
            cbsp.Cause.MESSAGE_REFERENCE_NOT_IDENTIFIED,
        ),
        (cbsp.LoadQuery(cbsp.CellList.of(Ci(9))), cbsp.Cause.CELL_IDENTITY_NOT_VALID),
        (cbsp.SetDrx(cbsp.CellList.of(Ci(9))), cbsp.Cause.CELL_IDENTITY_NOT_VALID),
        (cbsp.Reset(cbsp.CellList.of(Ci(9))), cbsp.Cause.CELL_IDENTITY_NOT_VALID),
    ],
)
def test_refusals(message: Any, cause: cbsp.Cause) -> None:
    """Each by its cause."""
    assert {cause} == causes(controller().answer(message, now_s=0.0))


def test_memory_has_an_end() -> None:
    """A cell takes so many messages."""
    made = controller()
    for serial in range(MESSAGES_MAX):
        made.answer(write(serial, cells=ONE), now_s=0.0)

    assert {cbsp.Cause.CELL_MEMORY_EXCEEDED} == causes(
        made.answer(write(999, cells=ONE), now_s=0.0)
    )


def test_replace_tells_how_often_the_old_one_went_out() -> None:
    """And takes its place."""
    made = controller()
    made.answer(write(cells=ONE), now_s=0.0)
    answer = made.answer(write(17, old=16, cells=ONE), now_s=6 * cbsp.SLOT_S)

    assert isinstance(answer, cbsp.WriteReplaceComplete)
    assert cbsp.EntryList.of(cbsp.Completed(ONE, 2)) == answer.completed
    assert [(4371, 17)] == list(made.cells[ONE].texts)


def test_emergencies() -> None:
    """One at a time; it is replaced, killed, or ends."""
    made = controller()
    assert isinstance(made.answer(primary(), now_s=0.0), cbsp.WriteReplaceComplete)
    assert {cbsp.Cause.BSC_CAPACITY_EXCEEDED} == causes(made.answer(primary(17), now_s=0.0))
    assert {cbsp.Cause.MESSAGE_REFERENCE_ALREADY_USED} == causes(made.answer(primary(), now_s=0.0))
    made.answer(primary(18, old=16, period=0), now_s=1.0)
    assert {(4352, 18): None} == made.cells[ONE].primaries
    kill = cbsp.Kill(4352, 18, cbsp.CellList.of(ONE))
    assert isinstance(made.answer(kill, now_s=1.0), cbsp.KillComplete)
    made.answer(primary(19), now_s=2.0)
    made.tick(now_s=13.0)
    assert {} == made.cells[ONE].primaries


def test_load_reset_and_schedule() -> None:
    """The rest of the requests."""
    made = controller()
    made.answer(write(cells=ONE), now_s=0.0)
    load = made.answer(cbsp.LoadQuery(cbsp.CellList.of(ONE)), now_s=0.0)
    assert cbsp.LoadQueryComplete(cbsp.EntryList.of(cbsp.Load(ONE, 50, 0))) == load
    assert isinstance(
        made.answer(cbsp.SetDrx(cbsp.CellList.of(ONE)), now_s=0.0), cbsp.SetDrxComplete
    )
    assert cbsp.ResetComplete() == made.answer(cbsp.Reset(), now_s=0.0)
    assert {} == made.cells[ONE].texts
    assert made.answer(cbsp.ErrorIndication(1), now_s=0.0) is None
    assert isinstance(made.answer(cbsp.KeepAliveComplete(), now_s=0.0), cbsp.ErrorIndication)
    empty = Controller("empty", [])
    assert isinstance(
        empty.answer(cbsp.LoadQuery(cbsp.WHOLE_BSS), now_s=0.0), cbsp.LoadQueryFailure
    )


@pytest.mark.parametrize("mode", MODES)
def test_every_fault_has_a_name(mode: str) -> None:
    """And may strike every n-th time."""
    fault = Fault.parse(f"{mode}/2")

    assert [False, True, False, True] == [fault.strikes(cbsp.Reset()) for _ in range(4)]
    assert not fault.strikes(cbsp.KeepAlive(1))
    assert Fault.parse(f"{mode}+").strikes(cbsp.KeepAlive(1))


@pytest.mark.parametrize("text", ["", "nap", "slow=-1", "silent/0", "slow=x", "refuse=x"])
def test_other_faults_are_refused(text: str) -> None:
    """By name."""
    with pytest.raises(ValueError, match="."):
        Fault.parse(text)


def test_fault_values() -> None:
    """A delay, or a cause."""
    assert (2.5, 6) == (Fault.parse("slow=2.5").delay_s, Fault.parse("refuse=0x06").cause)
    assert "127.0.1.4" == source_of("127.0.0.250", 10)


# The command


@contextmanager
def running(*arguments: object) -> Iterator[Any]:
    """Start the command; gives a reader of its events, and ends it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "cbsim", "bsc", "--json", *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    out = process.stdout

    def event(name: str) -> dict[str, Any]:
        for line in out:
            found: dict[str, Any] = json.loads(line)
            if found["event"] == name:
                return found
        pytest.fail(f"no event {name}")

    event.process = process  # type: ignore[attr-defined]
    try:
        yield event
    finally:
        process.terminate()
        process.communicate(timeout=20)


def ask(line: socket.socket, message: cbsp.Message) -> list[Any]:
    """Send a message; gives what comes until its answer."""
    line.sendall(cbsp.encode(message))
    framer, items = cbsp.Framer(), []
    while not items:
        items += framer.receive(line.recv(65_536))
    return items


def test_command_serves_and_tells() -> None:
    """Requests, what phones show, a restart, and what is left in the end."""
    with running("--port", 0, "--cell", "450-08-1-1", "--phones", 1, "--speed", 1000) as event:
        port = event("ready")["port"]
        with socket.create_connection(("127.0.0.1", port), 10) as line:
            assert [cbsp.Restart(cbsp.WHOLE_BSS, 0)] == _first(line)
            with socket.create_connection(("127.0.0.1", port), 10) as second:
                assert b"" == _closed(second)
            order = write(cells=ONE, pages=(CONTENT,), number_of_broadcasts=0)
            assert isinstance(ask(line, order)[-1], cbsp.WriteReplaceComplete)
            assert "450-08-1-1" == event("shown")["cell"]
            line.sendall(b"\x7f\x00\x00\x00")
            assert "no message type" in event("unreadable")["detail"]
            event.process.send_signal(signal.SIGUSR1)
            assert event("restarted")["is_lost"]
            event("disconnected")
        event.process.terminate()
        end = event("end")
    assert {"WRITE_REPLACE": 1} == end["requests"]
    assert [] == end["cells"]["450-08-1-1"]["texts"]


def _first(line: socket.socket) -> list[Any]:
    return cbsp.Framer().receive(line.recv(65_536))


def _closed(line: socket.socket) -> bytes:
    try:
        return line.recv(1)
    except ConnectionResetError:
        return b""


def test_fleet_listens_on_ports_in_a_row_and_writes_its_cells(tmp_path: Path) -> None:
    """As `cbgateway cells import` takes them; the same file makes the same fleet."""
    path = tmp_path / "cells.csv"
    port = _row_of_ports(3)
    options = ("--port", port, "--restart", "none")
    with running(*options, "--fleet", 3, "--cells", 2, "--write-cells", path) as event:
        assert [port, port + 1, port + 2] == [event("ready")["port"] for _ in range(3)]
    assert 7 == len(path.read_text().splitlines())
    assert "bsc-1-1,KR-26,450-08,1,1,," in path.read_text()
    with running(*options, "--cells-file", path, "--name", "bsc-1-2") as event:
        assert "bsc-1-2" == event("ready")["controller"]
    with running(*options, "--cells-file", path) as event:
        assert ["bsc-1-1", "bsc-1-2", "bsc-1-3"] == [event("ready")["controller"] for _ in range(3)]


def test_fleet_connects_each_from_an_address_of_its_own() -> None:
    """And tells when nobody is there."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]
        with running("--connect", "127.0.0.1", "--port", port, "--fleet", 2) as event:
            assert "Connect call failed" in event("refused")["detail"]
        server.listen()
        options = ("--connect", "127.0.0.1", "--port", port, "--source", "127.0.0.5")
        with running(*options, "--fleet", 2):
            accepted = [server.accept() for _ in range(2)]
            for line, _ in accepted:
                line.close()
    assert {"127.0.0.5", "127.0.0.6"} == {address[0] for _, address in accepted}


def _row_of_ports(count: int) -> int:
    """Find free ports in a row."""
    for port in range(29_000, 32_000, count):
        try:
            for one in range(port, port + count):
                with socket.socket() as candidate:
                    candidate.bind(("127.0.0.1", one))
        except OSError:
            continue
        return port
    pytest.fail("no free ports in a row")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--cell", "450-08-1"], "--cell takes cells"),
        (["--cell", "x"], "is no cell"),
        (["--fault", "nap"], "is no fault"),
        (["--restart", "never"], "is none of"),
        (["--fleet", "10000", "--cells", "11"], "more than 100000 cells"),
        (["--cells-file", "/nowhere.csv"], "No such file"),
    ],
)
def test_command_refuses(arguments: list[str], words: str) -> None:
    """With one line, and exit code 2."""
    result = CliRunner().invoke(app, ["bsc", *arguments])

    assert 2 == result.exit_code
    assert words in result.output


def test_files_that_are_no_cells_are_refused(tmp_path: Path) -> None:
    """By their header."""
    path = tmp_path / "x.csv"
    path.write_text("a,b\n")
    result = CliRunner().invoke(app, ["bsc", "--cells-file", str(path)])

    assert 2 == result.exit_code
    assert "the header is" in result.output


def test_address_in_use_is_told() -> None:
    """Exit code 69, as in sysexits.h."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        result = CliRunner().invoke(app, ["bsc", "--port", str(server.getsockname()[1])])

    assert 69 == result.exit_code
    assert "in use" in result.output


def test_words_for_people(capsys: Any) -> None:
    """What came from a peer cannot steer the terminal."""
    Reporter(as_json=False).event({"event": "lost", "detail": "\x1b[2J"})

    assert "lost: detail \\x1b[2J\n" == capsys.readouterr().out
