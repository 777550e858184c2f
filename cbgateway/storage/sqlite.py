"""The store on SQLite: WAL, every commit synced, one writer thread with group commit.

Accepted means committed: `transaction` and `run` return after the commit has reached the disk.
A connection whose durability settings do not read back as asked is refused.
"""

import asyncio
import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from datetime import datetime
from importlib import resources
from pathlib import Path
from typing import Any, Generic, Self, TypeVar

import apsw

from cbgateway.domain.bulletin import Mode
from cbgateway.domain.errors import ModeMismatchError, StoreError
from cbgateway.domain.ports import Transaction
from cbgateway.storage.rows import milliseconds
from cbgateway.storage.transaction import SqliteTransaction

T = TypeVar("T")

SCHEMA_VERSION = 1
APPLICATION_ID = 0x63626777  # "cbgw": tells our files from other SQLite files
SQLITE_VERSION_MIN = 3_051_003  # the first with the fix for the WAL-reset race
SYNCHRONOUS_FULL = 2
BUSY_TIMEOUT_MS = 10_000  # another process holds the write lock for one commit, not for seconds
DISK_ERRORS = (
    apsw.BusyError,
    apsw.CantOpenError,
    apsw.CorruptError,
    apsw.FullError,
    apsw.IOError,
    apsw.NotADBError,
)
"""What the world does to a database, unlike a statement that is wrong."""
GROUP_MAX = 256  # commits joined into one; bounds the wait of the first among them
QUEUE_MAX = 4096  # work waiting for the writer; beyond it callers wait


class SqliteStore:
    """An open database.

    Attributes:
        mode: what the database is for; fixed when it was made.
        country: code of the country profile that it was made for.
    """

    def __init__(self, path: Path, connection: apsw.Connection, meta: dict[str, str]) -> None:
        self.path = path
        self.mode = Mode(meta["mode"])
        self.country = meta["country"]
        self._connection = connection
        self._lock = threading.Lock()
        self._watch = _connect(path)
        self._seen = self._data_version()
        self._writer: _Writer | None = None

    @classmethod
    def create(cls, path: Path, *, mode: Mode, country: str, at: datetime) -> Self:
        """Make a new database.

        Raises:
            StoreError: there is a file already.
        """
        if path.exists():
            msg = f"{path} is there already; a database is made once and never overwritten"
            raise StoreError(msg)
        connection = _connect(path, create=True)
        meta = {"mode": mode.value, "country": country, "created_ms": str(milliseconds(at))}
        schema = resources.files("cbgateway.storage").joinpath("schema.sql").read_text("utf-8")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(schema)
        for key, value in meta.items():
            connection.execute("INSERT INTO meta (key, value) VALUES (?, ?)", (key, value))
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        connection.execute("COMMIT")
        return cls(path, connection, meta)

    @classmethod
    def open(cls, path: Path, *, mode: Mode | None = None) -> Self:
        """Open a database that was made before.

        Args:
            path: the file.
            mode: what the caller takes the database for; None takes it as it is.

        Raises:
            StoreError: no such file, not one of ours, or of another version.
            ModeMismatchError: it was made for another mode.
        """
        if not path.is_file():
            msg = f"no database at {path}; `cbgateway init` makes one"
            raise StoreError(msg)
        try:
            connection = _connect(path)
            application_id = connection.pragma("application_id")
            version = connection.pragma("user_version")
            if application_id != APPLICATION_ID:
                msg = f"{path} is not a cbgateway database"
                raise StoreError(msg)
            if version != SCHEMA_VERSION:
                msg = (
                    f"{path} has schema {version}, this version reads {SCHEMA_VERSION}; "
                    "it was left untouched"
                )
                raise StoreError(msg)
            meta = dict(connection.execute("SELECT key, value FROM meta"))
        except apsw.Error as error:
            msg = f"{path} cannot be read: {error}; it was left untouched"
            raise StoreError(msg) from error
        if mode is not None and meta["mode"] != mode.value:
            msg = f"{path} was made for mode {meta['mode']!r}, not {mode.value!r}; modes never mix"
            raise ModeMismatchError(msg)
        return cls(path, connection, meta)

    def close(self) -> None:
        """Finish what is queued and let go of the file."""
        if self._writer is not None:
            self._writer.stop()
            self._writer = None
        self._watch.close()
        self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Write; see `domain.ports.Store`."""
        with self._lock, _transaction(self._connection, "IMMEDIATE"):
            yield SqliteTransaction(self._connection)

    @contextmanager
    def read(self) -> Iterator[Transaction]:
        """Read one consistent state; see `domain.ports.Store`."""
        with self._lock:
            self._connection.pragma("query_only", True)
            try:
                with _transaction(self._connection, "DEFERRED"):
                    yield SqliteTransaction(self._connection)
            finally:
                self._connection.pragma("query_only", False)

    async def run(self, work: Callable[[Transaction], T]) -> T:
        """Write from an event loop, in one commit with what others write at the same time."""
        if self._writer is None:
            self._writer = _Writer(self.path)
        return await asyncio.wrap_future(await self._writer.put(work))

    def has_changed(self) -> bool:
        """Tell whether any process has committed since the last call."""
        version = self._data_version()
        changed = version != self._seen
        self._seen = version
        return changed

    def _data_version(self) -> int:
        return int(self._watch.pragma("data_version"))


class _Writer:
    """One thread, one connection; takes what is queued as one transaction."""

    def __init__(self, path: Path) -> None:
        self._queue: queue.Queue[_Work[Any] | None] = queue.Queue(QUEUE_MAX)
        self._path = path
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    async def put(self, work: Callable[[Transaction], T]) -> "Future[T]":
        item = _Work(work)
        try:
            self._queue.put_nowait(item)
        except queue.Full:
            await asyncio.to_thread(self._queue.put, item)
        return item.future

    def stop(self) -> None:
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        connection = _connect(self._path)
        try:
            while group := self._next_group():
                self._commit(connection, group)
        finally:
            connection.close()

    def _next_group(self) -> "list[_Work[Any]]":
        """Wait for work, then take what else is there; empty when asked to stop."""
        group: list[_Work[Any]] = []
        item = self._queue.get()
        while item is not None:
            group.append(item)
            if len(group) == GROUP_MAX:
                return group
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                return group
        if group:
            self._queue.put(None)  # asked to stop: commit these first
        return group

    @staticmethod
    def _commit(connection: apsw.Connection, group: "list[_Work[Any]]") -> None:
        try:
            with _transaction(connection, "IMMEDIATE"):
                for item in group:
                    item.run(connection)
        except Exception as error:  # noqa: BLE001 - the commit failed: nobody's work is durable
            for item in group:
                item.future.set_exception(error)
            return
        for item in group:
            item.finish()


class _Work(Generic[T]):
    """A piece of work with its result, which is given out after the commit only."""

    def __init__(self, work: Callable[[Transaction], T]) -> None:
        self.future: Future[T] = Future()
        self._work = work
        self._result: T
        self._error: Exception | None = None

    def run(self, connection: apsw.Connection) -> None:
        """Run inside a savepoint: an error undoes this work and leaves the others'."""
        try:
            with connection:
                self._result = self._work(SqliteTransaction(connection))
        except apsw.Error:
            raise
        except Exception as error:  # noqa: BLE001 - it belongs to whoever asked
            self._error = error

    def finish(self) -> None:
        if self.future.cancelled():
            return
        if self._error is not None:
            self.future.set_exception(self._error)
        else:
            self.future.set_result(self._result)


@contextmanager
def _transaction(connection: apsw.Connection, kind: str) -> Iterator[None]:
    try:
        connection.execute(f"BEGIN {kind}")
        yield
        connection.execute("COMMIT")
    except BaseException as error:
        with suppress(apsw.Error):
            connection.execute("ROLLBACK")
        if isinstance(error, DISK_ERRORS):
            msg = f"the database cannot be used now: {error}; nothing was stored"
            raise StoreError(msg) from error
        raise


def _connect(path: Path, *, create: bool = False) -> apsw.Connection:
    """Open a connection whose durability is what was asked for, checked by reading it back."""
    if apsw.SQLITE_VERSION_NUMBER < SQLITE_VERSION_MIN:
        msg = f"SQLite {apsw.sqlite_lib_version()} lacks a fix for the write-ahead log"
        raise StoreError(msg)
    flags = apsw.SQLITE_OPEN_READWRITE | (apsw.SQLITE_OPEN_CREATE if create else 0)
    connection = apsw.Connection(str(path), flags=flags)
    connection.set_busy_timeout(BUSY_TIMEOUT_MS)
    journal_mode = connection.pragma("journal_mode", "WAL")
    connection.pragma("synchronous", "FULL")
    synchronous = connection.pragma("synchronous")
    if journal_mode != "wal" or synchronous != SYNCHRONOUS_FULL:
        msg = (
            f"{path} cannot be made durable: journal_mode is {journal_mode}, "
            f"synchronous is {synchronous}; it needs a local disk"
        )
        raise StoreError(msg)
    connection.pragma("foreign_keys", True)
    return connection
