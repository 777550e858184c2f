"""What a run has to have brought, counted and judged."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from cbsim.expect import Expectation, Expectations, load_expectations, stop_when_met
from cbsim.settings import SettingsError, read_table
from cbsim.watch import Watch


def expecting(*tables: dict[str, Any], within_s: float = 0, settle_s: float = 1) -> Expectations:
    """Give expectations as a file would."""
    wanted = tuple(read_table(Expectation(), one) for one in tables)
    return Expectations(wanted, within_s=within_s, settle_s=settle_s)


@pytest.mark.parametrize(
    ("table", "found"),
    [
        ({"event": "bound"}, 1),
        ({"event": "bou*", "where": {"system_id": "e*"}}, 1),
        ({"event": "bound", "where": {"system_id": "other"}}, 0),
        ({"event": "bound", "where": {"nothing": "*"}}, 0),
        ({"message": "*"}, 2),
        ({"message": "DELIVERED", "where": {"destination": "4477*", "data_coding": 0}}, 1),
        ({"message": "UNDELIVERABLE"}, 1),
        ({"message": "*", "where": {"text": "h?llo"}}, 2),
        ({"counter": "submitted"}, 2),
        ({"counter": "refused"}, 0),
        ({"pdu": "submit_sm"}, 2),
        ({"pdu": "submit_sm_resp", "where": {"status": "ESME_ROK", "direction": "out"}}, 2),
        ({"pdu": "submit_sm", "where": {"destination_addr": "9*", "source_addr_ton": 5}}, 1),
        ({"pdu": "bind_*", "where": {"sc_interface_version": 80}}, 1),
    ],
)
def test_what_is_expected_is_counted(
    lab: Any, message_to: Any, table: dict[str, Any], found: int
) -> None:
    """Each kind, by name and by patterns of its fields."""
    one = lab({"states": {"by_first_digit": {"9": "UNDELIV"}}})
    watch = Watch(lambda: one.now_s)
    wanted = expecting(table)
    wanted.attach(watch)
    one.centre.on_trace = watch.pdu
    esme = one.esme().bind()
    esme.ask(message_to(short_message=b"hello"))
    esme.ask(message_to("9", short_message=b"hallo"))
    for event in one.events:
        watch.event(event)

    (verdict,) = wanted.verdicts(one.centre)
    assert verdict.found == found
    assert verdict.holds == (found > 0)
    assert wanted.looks_at_pdus == ("pdu" in table)


@pytest.mark.parametrize(
    ("table", "found", "holds"),
    [
        ({"count": 2}, 2, True),
        ({"count": 2}, 3, False),
        ({"count": 0}, 0, True),
        ({"least": 2}, 1, False),
        ({"least": 2}, 5, True),
        ({"most": 2}, 0, True),
        ({"most": 2}, 3, False),
        ({"least": 1, "most": 2}, 2, True),
        ({}, 0, False),
        ({}, 1, True),
    ],
)
def test_bounds(lab: Any, table: dict[str, Any], found: int, holds: bool) -> None:
    """So many; at least; at most; one where nothing is said."""
    wanted = expecting({"event": "one", **table})
    watch = Watch(lambda: 0.0)
    wanted.attach(watch)
    for _ in range(found):
        watch.event({"event": "one"})

    assert wanted.verdicts(lab().centre)[0].holds == holds


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"event": "a"}, "event a: 1 or more"),
        ({"counter": "wrong", "count": 0}, "counter wrong: 0"),
        ({"pdu": "a", "most": 3}, "pdu a: 0 to 3"),
        ({"message": "*", "where": {"text": "x"}, "least": 2}, "message * where text x: 2 or more"),
    ],
)
def test_expectation_in_words(table: dict[str, Any], words: str) -> None:
    """As a person would say it."""
    assert str(read_table(Expectation(), table)) == words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "needs 1 to 1000 tables, [[expect]] each"),
        ("expect = 1", "needs 1 to 1000 tables"),
        ("expect = [1]", "expect[0] is a table"),
        ("[[expect]]\ncount = 1", "expect[0] names no event, pdu, message or counter"),
        ('[[expect]]\nevent = "a"\npdu = "b"', "event and pdu are two expectations"),
        ('[[expect]]\nevent = "a"\ncount = 1\nmost = 2', "count stands alone"),
        ('[[expect]]\ncounter = "submit"', "did you mean 'submitted'?"),
        ('[[expect]]\ncounter = "wrong"\nwhere = {a = 1}', "a counter has no fields"),
        ('[[expect]]\nevnt = "a"', "expect[0].evnt is not known; did you mean 'event'?"),
        ('[[expect]]\nevent = "a"\nwhere = {b = [1]}', "[1] is no pattern"),
        ("within = 1", "within is not known; did you mean 'within_s'?"),
    ],
)
def test_wrong_file_is_named(tmp_path: Path, text: str, words: str) -> None:
    """With the key that is wrong."""
    path = tmp_path / "wanted.toml"
    path.write_text(text)
    with pytest.raises(SettingsError) as caught:
        load_expectations(path)

    assert str(caught.value).startswith(f"{path}: ")
    assert words in str(caught.value)


def test_file_is_read(tmp_path: Path) -> None:
    """Times and tables."""
    path = tmp_path / "wanted.toml"
    path.write_text('within_s = 5\nsettle_s = 0.5\n[[expect]]\nevent = "a"\n')
    wanted = load_expectations(path)

    assert (wanted.within_s, wanted.settle_s, len(wanted.wanted)) == (5, 0.5, 1)


def ends_after(lab: Any, wanted: Expectations, *, happens: bool) -> tuple[bool, float]:
    """Let it be judged; gives whether it was stopped, and after which time."""

    async def run() -> tuple[bool, float]:
        watch = Watch(lambda: 0.0)
        wanted.attach(watch)
        if happens:
            watch.event({"event": "a"})
        stopped = asyncio.Event()
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        await asyncio.wait_for(stop_when_met(wanted, lab().centre, stopped.set), 5)
        return stopped.is_set(), loop.time() - began_s

    return asyncio.run(run())


def test_run_ends_when_all_has_come(lab: Any) -> None:
    """Long before its time, a moment after everything holds."""
    wanted = expecting({"event": "a"}, within_s=60, settle_s=0.05)
    is_stopped, after_s = ends_after(lab, wanted, happens=True)

    assert (is_stopped, after_s < 4) == (True, True)


@pytest.mark.parametrize("table", [{"event": "a"}, {"event": "b", "count": 0}])
def test_run_ends_with_its_time(lab: Any, table: dict[str, Any]) -> None:
    """When something has not come, and when nothing had to."""
    is_stopped, after_s = ends_after(lab, expecting(table, within_s=0.2, settle_s=0), happens=False)

    assert (is_stopped, after_s >= 0.2) == (True, True)


def test_run_without_a_time_is_left_alone(lab: Any) -> None:
    """Whoever started it stops it."""
    assert ends_after(lab, expecting({"event": "a"}), happens=True)[0] is False
