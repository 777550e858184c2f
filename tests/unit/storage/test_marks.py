"""Marks and connections: nothing is used twice, and files of others are left alone."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import apsw
import pytest

from cbgateway.domain.broadcast import GeographicalScope, SerialNumber
from cbgateway.domain.bulletin import Mode
from cbgateway.domain.errors import (
    DiskFullError,
    ModeMismatchError,
    StaleError,
    StoreError,
    StoreFailedError,
)
from cbgateway.domain.kits import MAIN_CODES, SLOTS, slot_codes
from cbgateway.storage import connection as connections
from cbgateway.storage.connection import connect, named_errors, transaction
from cbgateway.storage.marks import Marks
from cbgateway.storage.sqlite import SqliteStore

AT = datetime(2021, 10, 25, 3, 0, tzinfo=UTC)
SCOPE = GeographicalScope.PLMN


@pytest.fixture
def marks(tmp_path: Path) -> Iterator[Marks]:
    """Give a new file of marks."""
    one = Marks.open(tmp_path / "marks", create=True)
    yield one
    one.close()


def serial(code: int, update: int = 0) -> SerialNumber:
    """Give a serial number."""
    return SerialNumber(SCOPE, code, update)


def test_serial_number_is_claimed_once(marks: Marks) -> None:
    """Each update beyond the last; an update of what was never claimed is refused, too."""
    marks.claim(4372, serial(7), at=AT)
    marks.claim(4372, serial(7, 1), at=AT + timedelta(seconds=1))
    marks.claim(4372, serial(7, 3), at=AT + timedelta(seconds=2))

    for update in (1, 2, 3):
        with pytest.raises(StaleError, match="was used already"):
            marks.claim(4372, serial(7, update), at=AT)
    with pytest.raises(StaleError):
        marks.claim(4372, serial(8, 1), at=AT)
    with pytest.raises(StaleError):
        marks.claim(4371, serial(7, 4), at=AT)
    assert marks.claimed(4372, SCOPE, 7) == (serial(7, 3), AT + timedelta(seconds=2))
    assert marks.claimed(4372, SCOPE, 8) is None


def test_newest_is_what_began_last(marks: Marks) -> None:
    """By turn and not by clock, which may jump; updates do not count, beginning anew does."""
    for code, days in ((5, 0), (6, -100), (7, 3)):
        marks.claim(4372, serial(code), at=AT + timedelta(days=days))
    marks.claim(4372, serial(5, 1), at=AT + timedelta(days=9))
    assert marks.newest(4372, SCOPE, codes=MAIN_CODES) == (serial(7), AT + timedelta(days=3))
    assert marks.newest(4372, GeographicalScope.CELL_IMMEDIATE, codes=MAIN_CODES) is None

    marks.claim(4372, serial(5), at=AT)
    assert marks.newest(4372, SCOPE, codes=MAIN_CODES) == (serial(5), AT)


def test_claim_outlives_its_process(marks: Marks) -> None:
    """Whoever opens the file next sees it, and another claimant is refused."""
    again = Marks.open(marks.path)
    marks.claim(4372, serial(7), at=AT)
    marks.claim(4372, serial(7, 1), at=AT)

    with pytest.raises(StaleError):
        again.claim(4372, serial(7, 1), at=AT)
    assert again.claimed(4372, SCOPE, 7) == (serial(7, 1), AT)
    again.close()


def test_log_never_gets_shorter(marks: Marks) -> None:
    """Until a restore says that another epoch has begun."""
    assert marks.log_size() is None
    marks.note_log(5, b"five")
    marks.note_log(3, b"three")
    marks.note_log(5, b"other")
    assert marks.log_size() == (5, b"five")
    marks.note_log(6, b"six")
    assert marks.log_size() == (6, b"six")

    marks.reset_log(2, b"two")
    assert marks.log_size() == (2, b"two")


def test_marks_are_kept_when_they_are_made_again(marks: Marks) -> None:
    """A restore that asks for new marks gets those that are there."""
    marks.claim(4372, serial(7), at=AT)

    again = Marks.open(marks.path, create=True)
    assert again.claimed(4372, SCOPE, 7) is not None
    again.close()


def test_missing_marks_are_not_made_up(tmp_path: Path) -> None:
    """Only `restore` makes new ones, because codes then have to jump."""
    with pytest.raises(StoreError, match="may repeat"):
        Marks.open(tmp_path / "none")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("create", [False, True])
@pytest.mark.parametrize("kind", ["foreign", "garbage", "database"])
def test_what_is_no_file_of_marks_is_left_alone(tmp_path: Path, kind: str, *, create: bool) -> None:
    """Another program's database keeps its journal mode, and every octet."""
    path = tmp_path / "marks"
    if kind == "garbage":
        path.write_bytes(b"not a database " * 100)
    elif kind == "foreign":
        other = apsw.Connection(str(path))
        other.execute("CREATE TABLE t (c)")
        other.close()
    else:
        SqliteStore.create(path, mode=Mode.TEST, country="kr", at=AT).close()
    before = path.read_bytes()

    with pytest.raises(StoreError, match="marks"):
        Marks.open(path, create=create)
    assert path.read_bytes() == before


def test_damaged_marks_are_named(marks: Marks, tmp_path: Path) -> None:
    """A page that cannot be read is an error of ours, not a traceback."""
    for code in range(500):
        marks.claim(4372, serial(code), at=AT)
    marks.note_log(1, b"one")
    marks.close()
    octets = marks.path.read_bytes()
    damaged = tmp_path / "damaged"
    damaged.write_bytes(octets[:4096] + b"\xff" * (len(octets) - 4096))

    one = Marks.open(damaged)
    with pytest.raises(StoreError, match="cannot be used"):
        one.newest(4372, SCOPE, codes=MAIN_CODES)
    with pytest.raises(StoreError, match="cannot be used"):
        one.log_size()
    with pytest.raises(StoreError, match="cannot be used"):
        one.claim(4372, serial(501), at=AT)
    one.close()


# Connections


@pytest.mark.parametrize(
    ("error", "wanted"),
    [
        (apsw.FullError("x"), DiskFullError),
        (apsw.IOError("x"), StoreFailedError),
        (apsw.BusyError("x"), StoreError),
        (apsw.CorruptError("x"), StoreError),
        (apsw.CantOpenError("x"), StoreError),
        (apsw.NotADBError("x"), StoreError),
        (apsw.ConstraintError("x"), apsw.ConstraintError),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ],
)
def test_errors_of_the_disk_have_names_and_leave_nothing(
    tmp_path: Path, error: BaseException, wanted: type[BaseException]
) -> None:
    """Full, failed, or unusable; a bug stays a bug. Rolled back in each case."""
    connection = connect(tmp_path / "x.db", create=True)
    connection.execute("CREATE TABLE t (c)")

    with pytest.raises(wanted) as raised, transaction(connection, "IMMEDIATE"):
        connection.execute("INSERT INTO t VALUES (1)")
        raise error

    assert type(raised.value) is wanted
    assert connection.in_transaction is False
    assert list(connection.execute("SELECT * FROM t")) == []


def test_full_file_is_named_by_sqlite_itself(tmp_path: Path) -> None:
    """A file that may not grow; the next transaction works again."""
    connection = connect(tmp_path / "x.db", create=True)
    connection.execute("CREATE TABLE t (c)")
    connection.pragma("max_page_count", 4)

    with (
        pytest.raises(DiskFullError, match="nothing was stored"),
        transaction(connection, "IMMEDIATE"),
    ):
        connection.execute("INSERT INTO t VALUES (zeroblob(100000))")
    with transaction(connection, "IMMEDIATE"):
        connection.execute("INSERT INTO t VALUES (1)")
    assert list(connection.execute("SELECT c FROM t")) == [(1,)]


def test_nothing_is_named_when_nothing_is_wrong() -> None:
    """Other errors pass as they are."""
    with pytest.raises(ZeroDivisionError), named_errors():
        _ = 1 // 0


def test_old_sqlite_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the fix a commit may be lost when two processes write."""
    monkeypatch.setattr(connections, "SQLITE_VERSION_MIN", apsw.SQLITE_VERSION_NUMBER + 1)

    with pytest.raises(StoreError, match="lacks a fix"):
        connect(tmp_path / "x.db", create=True)
    assert not list(tmp_path.iterdir())


# The database file


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Give a database that is closed."""
    path = tmp_path / "store.db"
    store = SqliteStore.create(path, mode=Mode.TEST, country="kr", at=AT)
    store.close()
    return path


def change(path: Path, statement: str) -> None:
    """Change a database past its store."""
    connection = apsw.Connection(str(path))
    connection.execute(statement)
    connection.close()


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("PRAGMA user_version = 99", "schema 99"),
        ("PRAGMA user_version = 1", "schema 1,"),
        ("PRAGMA application_id = 1", "left untouched"),
        ("DELETE FROM meta WHERE key = 'mode'", "cannot be read"),
        ("UPDATE meta SET value = 'peace' WHERE key = 'mode'", "cannot be read"),
        ("DROP TABLE meta", "cannot be read"),
    ],
)
def test_database_that_is_not_understood_is_left_untouched(
    database: Path, statement: str, words: str
) -> None:
    """Another version, or damage: every octet stays."""
    change(database, statement)
    before = database.read_bytes()

    with pytest.raises(StoreError, match=words):
        SqliteStore.open(database)
    assert database.read_bytes() == before


@pytest.mark.parametrize("octets", [0, 100, 4096, 8192])
def test_truncated_database_is_refused_and_never_made_anew(database: Path, octets: int) -> None:
    """However much is left of it, it stays as it is."""
    whole = database.read_bytes()
    database.write_bytes(whole[:octets])

    with pytest.raises(StoreError), SqliteStore.open(database).transaction() as tx:
        tx.audit_size()
        tx.events()
    assert database.stat().st_size == octets


def test_foreign_database_keeps_its_journal(tmp_path: Path) -> None:
    """What is not ours is not switched to a write-ahead log."""
    path = tmp_path / "foreign.db"
    change(path, "CREATE TABLE t (c)")
    before = path.read_bytes()

    with pytest.raises(StoreError, match="not a cbgateway database"):
        SqliteStore.open(path)
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["foreign.db"]


def test_damage_is_found(database: Path) -> None:
    """What SQLite says of a page that was overwritten."""
    octets = bytearray(database.read_bytes())
    octets[-12288:-8192] = b"\xff" * 4096
    database.write_bytes(octets)
    store = SqliteStore.open(database)

    assert store.find_damage() != []
    store.close()
    sound = database.parent / "sound.db"
    other = SqliteStore.create(sound, mode=Mode.TEST, country="kr", at=AT)
    assert other.find_damage() == []
    other.close()


def test_damage_that_stops_the_search_is_found(database: Path, monkeypatch: Any) -> None:
    """SQLite gives up with an error; that is a finding, too."""
    store = SqliteStore.open(database)
    real = store._connection

    class Broken:
        """Says that the file is damaged."""

        def execute(self, statement: str) -> None:
            """Fail."""
            raise apsw.CorruptError(statement)

    store._connection = Broken()  # type: ignore[assignment]
    assert store.find_damage() == ["PRAGMA integrity_check"]
    store._connection = real
    store.close()


def test_facts_are_read_back(database: Path) -> None:
    """What is fixed about a database outlives the process."""
    store = SqliteStore.open(database)
    store.set_fact("audit_epoch", "abc")
    assert store.meta["audit_epoch"] == "abc"
    store.close()

    again = SqliteStore.open(database)
    assert again.meta["audit_epoch"] == "abc"
    again.close()
    with pytest.raises(ModeMismatchError):
        SqliteStore.open(database, mode=Mode.LIVE)


def test_slot_is_claimed_once(marks: Marks) -> None:
    """One kit after another; None when all are taken, and again once they are over."""
    until = AT + timedelta(days=1)
    given = [marks.claim_slot(f"kit000{n}", until=until, unused_since=AT) for n in range(SLOTS + 1)]

    assert given == [*range(SLOTS), None]
    assert marks.slots()[3] == ("kit0003", until)
    marks.end_slot(3, at=AT)
    marks.end_slot(4, at=until + timedelta(days=1))
    assert marks.slots()[4] == ("kit0004", until)  # never longer than it was given for
    assert marks.claim_slot("kit0009", until=until, unused_since=AT) == 3


def test_slot_whose_codes_were_used_is_passed_over(marks: Marks) -> None:
    """By an earlier version, which knew of no slots."""
    marks.claim(4372, serial(slot_codes(0)[5]), at=AT)

    assert marks.claim_slot("kit0001", until=AT, unused_since=AT - timedelta(seconds=1)) == 1
    assert marks.claim_slot("kit0002", until=AT, unused_since=AT) == 0


def test_marks_of_version_one_are_kept(tmp_path: Path) -> None:
    """What phones have seen stays; slots are added. Those of a later version are left alone."""
    path = tmp_path / "old"
    one = Marks.open(path, create=True)
    one.claim(4372, serial(7), at=AT)
    one._connection.execute("DROP TABLE slot; PRAGMA user_version = 1")
    one.close()

    for _ in range(2):
        again = Marks.open(path)
        assert again.claimed(4372, SCOPE, 7) == (serial(7), AT)
        assert again.slots() == {}
        again.close()
    later = Marks.open(path)
    later._connection.execute("PRAGMA user_version = 3")
    later.close()
    with pytest.raises(StoreError, match="version 3"):
        Marks.open(path)
