"""What every store promises: durable, grouped, isolated, refusing what is not its own."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import apsw
import pytest

from cbgateway.domain.bulletin import Mode
from cbgateway.domain.delivery import Event, Recipient
from cbgateway.domain.errors import (
    InputError,
    ModeMismatchError,
    StoreError,
    WorkflowError,
)
from cbgateway.domain.lifecycle import DeliveryState
from cbgateway.domain.people import Key, Permission, Person
from cbgateway.storage.sqlite import SqliteStore
from cbgateway.storage.statements import queries

AT = datetime(2021, 10, 25, 3, 0, tzinfo=UTC)


def person(name: str) -> Person:
    """Give somebody who may do everything."""
    return Person(name, True, True, Permission(("KR",), ("safety",)))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    """Give an empty store in mode test."""
    one = SqliteStore.create(tmp_path / "store.db", mode=Mode.TEST, country="kr", at=AT)
    yield one
    one.close()


def test_commit_is_synced_to_the_disk(store: SqliteStore) -> None:
    """The settings that the promise of durability rests on are those of every connection."""
    connection = store._connection

    assert connection.pragma("journal_mode") == "wal"
    assert connection.pragma("synchronous") == 2
    assert connection.pragma("foreign_keys") == 1


def test_close_waits_for_a_read_in_another_thread(store: SqliteStore) -> None:
    """A server that ends while somebody reads ends in order."""
    one = SqliteStore.open(store.path)
    is_reading, may_end = threading.Event(), threading.Event()

    def read() -> int:
        with one.read() as tx:
            is_reading.set()
            may_end.wait(10)
            return tx.audit_size()

    with ThreadPoolExecutor(2) as threads:
        reading = threads.submit(read)
        is_reading.wait(10)
        closing_it = threads.submit(one.close)
        is_waiting = not wait([closing_it], timeout=0.05).done
        may_end.set()

        assert is_waiting
        assert reading.result() == 0
        assert closing_it.result() is None


def test_what_was_committed_is_there_after_reopening(store: SqliteStore) -> None:
    """Another connection reads what was written; mode and country belong to the file."""
    with store.transaction() as tx:
        tx.put_person(person("alice"))

    again = SqliteStore.open(store.path)

    with again.read() as tx:
        assert tx.people() == (person("alice"),)
    assert (again.mode, again.country) == (Mode.TEST, "kr")
    again.close()


def test_transaction_that_raises_leaves_nothing(store: SqliteStore) -> None:
    """All or nothing."""
    with pytest.raises(ZeroDivisionError), store.transaction() as tx:
        tx.put_person(person("alice"))
        _ = 1 / 0

    with store.read() as tx:
        assert tx.people() == ()


def test_reading_cannot_write(store: SqliteStore) -> None:
    """A read transaction refuses, and the next write works."""
    with pytest.raises(apsw.ReadOnlyError), store.read() as tx:
        tx.put_person(person("alice"))
    with store.transaction() as tx:
        tx.put_person(person("alice"))


def test_grouped_work_is_isolated(store: SqliteStore) -> None:
    """What one caller gets wrong undoes that caller's work alone."""

    async def run() -> list[Any]:
        def good(name: str) -> Any:
            return lambda tx: tx.put_person(person(name))

        def bad(tx: Any) -> None:
            tx.put_person(person("mallory"))
            raise WorkflowError

        return await asyncio.gather(
            store.run(good("alice")),
            store.run(bad),
            store.run(good("bob")),
            return_exceptions=True,
        )

    results = asyncio.run(run())

    assert [type(result) for result in results] == [type(None), WorkflowError, type(None)]
    with store.read() as tx:
        assert [one.name for one in tx.people()] == ["alice", "bob"]


def test_what_is_found_once_is_kept_for_one_commit_and_no_failed_work(store: SqliteStore) -> None:
    """Those committed together share it; what rests on work that was undone is found anew."""

    def fails(tx: Any) -> None:
        tx.put_person(person("mallory"))
        tx.once("people", lambda: len(tx.people()))
        raise WorkflowError("no")

    async def run() -> list[Any]:
        gate = threading.Event()
        works = (
            lambda _tx: gate.wait(),
            fails,
            lambda tx: tx.once("people", lambda: len(tx.people())),
            lambda tx: tx.put_person(person("alice")),
            lambda tx: tx.once("people", lambda: len(tx.people())),
        )
        tasks = [asyncio.create_task(store.run(work)) for work in works]
        asyncio.get_running_loop().call_soon(gate.set)  # once all are in the queue
        together = await asyncio.gather(*tasks, return_exceptions=True)
        return [*together, await store.run(lambda tx: tx.once("people", lambda: -1))]

    _, error, before, _, after, later = asyncio.run(run())

    assert isinstance(error, WorkflowError)
    assert (before, after, later) == (0, 0, -1)


def test_work_beyond_the_queue_waits(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """More work than the queue holds is done all the same."""
    monkeypatch.setattr("cbgateway.storage.sqlite.QUEUE_MAX", 2)
    monkeypatch.setattr("cbgateway.storage.sqlite.GROUP_MAX", 3)

    async def run() -> None:
        await asyncio.gather(
            *(
                store.run(lambda tx, n=n: tx.record(Event(AT, "s", str(n), "a", {})))
                for n in range(50)
            )
        )

    asyncio.run(run())

    with store.read() as tx:
        assert {event.what for event in tx.events("s")} == {str(n) for n in range(50)}


def test_database_error_fails_the_whole_group(store: SqliteStore) -> None:
    """When the engine itself refuses, nobody is told that work is durable."""

    async def run() -> list[Any]:
        def without_a_person(tx: Any) -> None:
            tx.put_person(person("alice"))
            tx.put_person_key(Key("k", "mallory", b"1" * 32, AT))

        return await asyncio.gather(store.run(without_a_person), return_exceptions=True)

    (error,) = asyncio.run(run())

    assert isinstance(error, apsw.ConstraintError)
    with store.read() as tx:
        assert tx.people() == ()


def test_database_in_use_is_named(store: SqliteStore) -> None:
    """Somebody who holds the write lock for long is waited for, and then told of."""
    other = SqliteStore.open(store.path)
    other._connection.set_busy_timeout(0)

    with (
        store.transaction(),
        pytest.raises(StoreError, match="nothing was stored"),
        other.transaction(),
    ):
        pytest.fail("two processes write at once")
    other.close()


def test_change_by_another_process_is_noticed(store: SqliteStore) -> None:
    """Once for each stretch of commits, and not without one."""
    other = SqliteStore.open(store.path)
    store.has_changed()

    assert not store.has_changed()
    with other.transaction() as tx:
        tx.put_person(person("alice"))
    assert store.has_changed()
    assert not store.has_changed()
    other.close()


def test_database_is_made_once(store: SqliteStore) -> None:
    """Nothing is ever overwritten."""
    with pytest.raises(StoreError, match="never overwritten"):
        SqliteStore.create(store.path, mode=Mode.TEST, country="kr", at=AT)


def test_database_of_another_mode_is_refused(store: SqliteStore) -> None:
    """Modes never mix."""
    with pytest.raises(ModeMismatchError, match="'test', not 'exercise'"):
        SqliteStore.open(store.path, mode=Mode.EXERCISE)


def test_what_is_no_database_of_ours_is_refused(store: SqliteStore, tmp_path: Path) -> None:
    """A missing file, garbage, another program's file and another version: each by name."""
    garbage = tmp_path / "garbage.db"
    garbage.write_bytes(b"not a database " * 100)
    foreign = tmp_path / "foreign.db"
    apsw.Connection(str(foreign)).execute("CREATE TABLE t (c)")
    store._connection.execute("PRAGMA user_version = 99")

    with pytest.raises(StoreError, match="no database at"):
        SqliteStore.open(tmp_path / "missing.db")
    with pytest.raises(StoreError, match="left untouched"):
        SqliteStore.open(garbage)
    with pytest.raises(StoreError, match="not a cbgateway database"):
        SqliteStore.open(foreign)
    with pytest.raises(StoreError, match="schema 99"):
        SqliteStore.open(store.path)
    assert garbage.read_bytes() == b"not a database " * 100


def test_memory_cannot_be_durable() -> None:
    """A place that keeps no write-ahead log is refused."""
    with pytest.raises(StoreError, match="durable"):
        SqliteStore.create(Path(":memory:"), mode=Mode.TEST, country="kr", at=AT)


def test_recipient_moves_with_the_newest_list(store: SqliteStore) -> None:
    """A number belongs to one region of a carrier; the last import wins."""
    assert store.put_recipients("kt", [(2, Recipient("821", "KR-26", "ko"))]) == 1
    moved = [(2, Recipient("821", "KR-11", "en")), (3, Recipient("822", "KR-11", "ko"))]
    assert store.put_recipients("kt", moved) == 2
    store.put_recipients("skt", [(2, Recipient("821", "KR-26", "ko"))])

    with store.read() as tx:
        assert tuple(tx.recipients("kt", ["KR-26"])) == ()
        assert tuple(tx.recipients("kt", ["KR-11", "KR-26"])) == (
            Recipient("821", "KR-11", "en"),
            Recipient("822", "KR-11", "ko"),
        )
        assert tx.count_recipients() == {("kt", "KR-11"): 2, ("skt", "KR-26"): 1}


def test_number_that_stands_twice_in_a_list_refuses_all_of_it(store: SqliteStore) -> None:
    """The lines are named, the list before stays as it was, and a sound one is taken after."""
    store.put_recipients("kt", [(2, Recipient("821", "KR-26", "ko"))])
    numbers = ["822", "821", "822", "823", "822"]
    lines = [(at, Recipient(one, "KR-11", "ko")) for at, one in enumerate(numbers, start=2)]

    with pytest.raises(InputError) as refused:
        store.put_recipients("kt", lines)

    expected = tuple(f"line {line}: number 822 stands there twice" for line in (4, 6))
    assert expected == refused.value.problems
    with store.read() as tx:
        assert tx.count_recipients() == {("kt", "KR-26"): 1}
    assert store.put_recipients("kt", lines[:2]) == 2


def test_list_that_turns_out_wrong_at_its_end_leaves_nothing(store: SqliteStore) -> None:
    """All lines or none, and no other writer waits while they are read."""

    def lines() -> Iterator[tuple[int, Recipient]]:
        yield 2, Recipient("821", "KR-26", "ko")
        with closing(SqliteStore.open(store.path)) as other, other.transaction() as tx:
            tx.bump("authority")
        message = "line 3: no number"
        raise InputError(message)

    with pytest.raises(InputError, match="line 3"):
        store.put_recipients("kt", lines())

    with store.read() as tx:
        assert tx.count_recipients() == {}
        assert tx.count("authority") == 1
        assert tx.count("recipients") == 0


def due(tx: Any, at: datetime, *, peer: str = "kt", limit: int = 10) -> list[str]:
    """Give the languages of what is due."""
    found = tx.due(peer, at=at, limit=limit, with_sms=True, rank_max=99)
    return [row.language for row in found]


def test_outbox_gives_what_is_due_and_not_in_flight(office: Any) -> None:
    """What is in flight holds its lineage back; what waits for its time does not show."""
    office.issue(office.document())
    store, now = office.gateway.store, office.clock.now()

    with store.transaction() as tx:
        assert due(tx, now) == ["ko", "en"]
        first = tx.deliveries()[0]
        tx.settle(first, DeliveryState.INTENT, at=now)
        assert due(tx, now) == ["en"]
        tx.settle(first, DeliveryState.READY, at=now, due=now + timedelta(seconds=5))
        assert due(tx, now) == ["en"]
        assert due(tx, now + timedelta(seconds=5)) == ["ko", "en"]
        assert due(tx, now, limit=1) == ["en"]
        assert due(tx, now, peer="nobody") == []


@pytest.mark.parametrize(
    "name", ["due", "more_urgent_sms", "in_flight", "in_state", "past_expiry", "count_open"]
)
def test_open_work_is_found_without_reading_history(store: SqliteStore, name: str) -> None:
    """What ended years ago costs the dispatcher nothing."""
    bindings = ("peer_id", "at_ms", "limit", "state", "with_sms", "rank_max", "rank")
    plan = store._connection.execute(
        "EXPLAIN QUERY PLAN " + queries()[name], dict.fromkeys(bindings, 0)
    )
    steps = [row[3] for row in plan if row[3].startswith(("SCAN", "SEARCH"))]

    partial = ("delivery_due", "delivery_flight", "delivery_open")
    assert steps
    assert all(any(index in step for index in partial) for step in steps), steps


def test_illegal_move_is_refused_by_the_store(office: Any) -> None:
    """The table decides, whatever the caller holds in its hands."""
    office.issue(office.document())

    with pytest.raises(WorkflowError), office.gateway.store.transaction() as tx:
        tx.settle(tx.deliveries()[0], DeliveryState.ACKED, at=AT)


def test_decision_is_not_written_over(office: Any) -> None:
    """A second decision on the same bulletin is refused, whatever the code above forgets."""
    record = office.issue(office.document())

    with pytest.raises(WorkflowError), office.gateway.store.transaction() as tx:
        tx.decide(record.bulletin.bulletin_id, record.state, record.decision)


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("UPDATE bulletin SET document = '{}'", "never changed"),
        ("UPDATE bulletin SET decided_by = submitted_by", "CHECK"),
        ("UPDATE audit SET entry = x'00'", "never changed"),
        ("DELETE FROM audit", "never deleted"),
        ("INSERT INTO person_key VALUES ('x', 'nobody', x'00', 0, NULL, 0)", "FOREIGN KEY"),
    ],
)
def test_database_itself_refuses(office: Any, statement: str, problem: str) -> None:
    """Rules that hold even for code that forgets them."""
    office.issue(office.document())

    with (
        pytest.raises(apsw.ConstraintError, match=problem),
        office.gateway.store.transaction() as tx,
    ):
        tx._connection.execute(statement)


@pytest.mark.parametrize(
    "spoil",
    [
        "PRAGMA journal_mode = DELETE; PRAGMA user_version = 99",
        "PRAGMA user_version = 99; CREATE TABLE newer (c)",
        "PRAGMA application_id = 1",
        "",
    ],
    ids=["other-journal", "in-the-log", "foreign", "empty"],
)
def test_database_that_is_not_for_us_keeps_every_octet(
    store: SqliteStore, tmp_path: Path, spoil: str
) -> None:
    """Neither it nor its write-ahead log is touched before it is known to be ours."""
    path = tmp_path / "other.db"
    store.close()
    path.write_bytes(store.path.read_bytes() if spoil else b"")
    holder = apsw.Connection(str(path))
    for _ in holder.execute(spoil):
        pass
    log = tmp_path / "other.db-wal"

    def octets() -> list[bytes]:
        return [one.read_bytes() for one in (path, log) if one.exists()]

    before = octets()
    with pytest.raises(StoreError, match="left untouched"):
        SqliteStore.open(path)
    after = octets()
    holder.close()

    assert before == after


@pytest.mark.parametrize(
    ("statement", "bindings"),
    [
        ("bulletins_of", {"incident_id": "a"}),
        ("deliveries_of", {"bulletin_id": "a/1"}),
        ("audit_of_subject", {"subject": "a"}),
        ("recent_texts", {"sender": "a", "language": "ko", "since_ms": 0, "limit": 1}),
        ("told_before", {"sender": "a", "said": "b", "since_ms": 0}),
        ("incidents_after", {"after": "a", "limit": 1}),
        ("answer", {"holder": "a", "name": "b"}),
        ("alarm", {"sender": "a", "alarm_id": "b"}),
        ("incident_of_cause", {"sender": "a", "cause": "b"}),
        ("count_alarms", {"incident_id": "a"}),
        ("due_watches", {"at_ms": 0, "began_ms": 0, "limit": 1}),
        ("serial_number", {"incident_id": "a", "message_identifier": 1, "scope": 0}),
        (
            "last_serial_number",
            {"message_identifier": 1, "scope": 0, "first": 0, "last": 895},
        ),
        ("code_used", {"message_identifier": 1, "scope": 0, "message_code": 0}),
        ("undispatched_bulletins", {"before_ms": 0}),
        ("ended_bulletins", {"at_ms": 0, "limit": 1}),
    ],
)
def test_look_ups_do_not_read_everything(
    tmp_path: Path, statement: str, bindings: dict[str, Any]
) -> None:
    """However long the history is, what belongs to one thing is found by an index."""
    store = SqliteStore.create(tmp_path / "one.db", mode=Mode.TEST, country="kr", at=AT)
    explain = f"EXPLAIN QUERY PLAN {queries()[statement]}"
    steps = [row[3] for row in store._connection.execute(explain, bindings)]
    store.close()

    assert steps
    assert not [step for step in steps if step.startswith(("SCAN", "USE TEMP B-TREE"))]


def test_what_only_waits_costs_the_public_pages_nothing(store: SqliteStore) -> None:
    """Incidents of which something was told are found by the index that holds nothing else."""
    explain = f"EXPLAIN QUERY PLAN {queries()['told_incidents']}"
    steps = [row[3] for row in store._connection.execute(explain)]

    assert any("bulletin_told" in step for step in steps), steps
    assert not [step for step in steps if step.startswith("SCAN incident")]
