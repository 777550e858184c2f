"""The store on SQLite: WAL, every commit synced, one writer thread with group commit.

Accepted means committed: `transaction` and `run` return after the commit has reached the disk.
A connection whose durability settings do not read back as asked is refused.
"""

import asyncio
import queue
import threading
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import closing, contextmanager
from datetime import datetime
from importlib import resources
from pathlib import Path
from typing import Any, Generic, Self, TypeVar

import apsw

from cbgateway.domain.bulletin import Mode
from cbgateway.domain.delivery import Recipient
from cbgateway.domain.errors import (
    DiskFullError,
    ModeMismatchError,
    StoreError,
    StoreFailedError,
)
from cbgateway.domain.ports import Transaction
from cbgateway.storage.connection import connect, named_errors, transaction, wait_for_lock
from cbgateway.storage.rows import milliseconds
from cbgateway.storage.staging import put_recipients
from cbgateway.storage.transaction import SqliteTransaction

T = TypeVar("T")

SCHEMA_VERSION = 4
APPLICATION_ID = 0x63626777  # "cbgw": tells our files from other SQLite files
GROUP_MAX = 256  # commits joined into one; bounds the wait of the first among them
QUEUE_MAX = 4096  # work waiting for the writer; beyond it callers wait


class SqliteStore:
    """An open database.

    Attributes:
        mode: what the database is for; fixed when it was made.
        country: code of the country profile that it was made for.
        meta: what was fixed when it was made.
        on_full: makes room on a full disk; True when it is worth trying again.
    """

    def __init__(
        self,
        path: Path,
        connection: apsw.Connection,
        meta: dict[str, str],
        *,
        vfs: str | None = None,
    ) -> None:
        self.path = path
        self.mode = Mode(meta["mode"])
        self.country = meta["country"]
        self.meta = meta
        self.on_full: Callable[[], bool] = lambda: False
        self._vfs = vfs
        self._connection = connection
        self._lock = threading.Lock()
        self._reading = connect(path, vfs=vfs)
        self._reading.pragma("query_only", True)
        self._reading_lock = threading.Lock()
        self._watch = connect(path, vfs=vfs)
        self._seen = self._data_version()
        self._writer: _Writer | None = None

    @classmethod
    def create(
        cls,
        path: Path,
        *,
        mode: Mode,
        country: str,
        at: datetime,
        facts: Mapping[str, str] | None = None,
        vfs: str | None = None,
    ) -> Self:
        """Make a new database.

        Args:
            path: a file that is not there yet.
            mode: what it is for.
            country: code of the country profile.
            at: now.
            facts: what else is fixed from now on, such as the audit key.
            vfs: SQLite's name of another file system layer.

        Raises:
            StoreError: there is a file already.
        """
        if path.exists():
            msg = f"{path} is there already; a database is made once and never overwritten"
            raise StoreError(msg)
        connection = connect(path, create=True, vfs=vfs)
        meta = {"mode": mode.value, "country": country, "created_ms": str(milliseconds(at))}
        meta |= facts or {}
        schema = resources.files("cbgateway.storage").joinpath("schema.sql").read_text("utf-8")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(schema)
        for key, value in meta.items():
            connection.execute("INSERT INTO meta (key, value) VALUES (?, ?)", (key, value))
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        connection.execute("COMMIT")
        return cls(path, connection, meta, vfs=vfs)

    @classmethod
    def open(cls, path: Path, *, mode: Mode | None = None, vfs: str | None = None) -> Self:
        """Open a database that was made before.

        Args:
            path: the file.
            mode: what the caller takes the database for; None takes it as it is.
            vfs: SQLite's name of another file system layer.

        Raises:
            StoreError: no such file, not one of ours, or of another version.
            ModeMismatchError: it was made for another mode.
        """
        if vfs is None and not path.is_file():
            msg = f"no database at {path}; `cbgateway init` makes one"
            raise StoreError(msg)
        try:
            meta = _look_at(path, vfs)
            if mode is not None and meta["mode"] != mode.value:
                msg = f"{path} was made for mode {meta['mode']!r}, not {mode.value!r}; "
                msg += "modes never mix"
                raise ModeMismatchError(msg)
            connection = connect(path, vfs=vfs)
        except (apsw.Error, KeyError, ValueError) as error:
            msg = f"{path} cannot be read: {error}; it was left untouched"
            raise StoreError(msg) from error
        return cls(path, connection, meta, vfs=vfs)

    def close(self) -> None:
        """Finish what is queued, wait for a read in another thread, and let go of the file.

        Raises:
            StoreFailedError: the disk failed while the last one out tidied up.
        """
        if self._writer is not None:
            self._writer.stop()
            self._writer = None
        with (
            named_errors(),
            self._lock,
            self._reading_lock,
            closing(self._connection),
            closing(self._reading),
        ):
            self._watch.close()

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Write; see `domain.ports.Store`."""
        with self._lock, transaction(self._connection, "IMMEDIATE"):
            yield SqliteTransaction(self._connection)

    @contextmanager
    def read(self) -> Iterator[Transaction]:
        """Read one consistent state; see `domain.ports.Store`."""
        with self._reading_lock, transaction(self._reading, "DEFERRED"):
            yield SqliteTransaction(self._reading)

    async def run(self, work: Callable[[Transaction], T]) -> T:
        """Write from an event loop, in one commit with what others write at the same time."""
        if self._writer is None:
            self._writer = _Writer(self.path, self._vfs, self._make_room)
        return await asyncio.wrap_future(await self._writer.put(work))

    def _make_room(self) -> bool:
        return self.on_full()

    def has_changed(self) -> bool:
        """Tell whether any process has committed since the last call."""
        version = self._data_version()
        changed = version != self._seen
        self._seen = version
        return changed

    def put_recipients(self, carrier: str, lines: Iterable[tuple[int, Recipient]]) -> int:
        """Put a list of subscribers into the database; see `domain.ports.Store`."""
        with self._lock:
            return put_recipients(self._connection, carrier, lines)

    def snapshot(self, path: Path) -> None:
        """Copy the database as it is now to a new file, while others go on writing.

        Raises:
            DiskFullError: there is no room for the copy.
            StoreError: the database cannot be read.
        """
        with named_errors(), self._lock, closing(connect(path, create=True)) as copy:
            with copy.backup("main", self._connection, "main") as backup:
                backup.step()
            copy.pragma("wal_checkpoint", "TRUNCATE")

    def set_fact(self, key: str, value: str) -> None:
        """Write down something about the database itself."""
        with self._lock, transaction(self._connection, "IMMEDIATE"):
            self._connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))
        self.meta[key] = value

    def find_damage(self) -> list[str]:
        """Have SQLite check the whole file; gives what it finds wrong."""
        with self._lock:
            try:
                found = [row[0] for row in self._connection.execute("PRAGMA integrity_check")]
            except apsw.Error as error:
                found = [str(error)]
        return [] if found == ["ok"] else found

    def _data_version(self) -> int:
        return int(self._watch.pragma("data_version"))


def _look_at(path: Path, vfs: str | None) -> dict[str, str]:
    """Read what a database says of itself, without a change to it or its write-ahead log.

    Raises:
        StoreError: it is not one of ours, or of another version.
    """
    with closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY, vfs=vfs)) as look:
        wait_for_lock(look)
        application_id, version = look.pragma("application_id"), look.pragma("user_version")
        if application_id != APPLICATION_ID:
            msg = f"{path} is not a cbgateway database; it was left untouched"
            raise StoreError(msg)
        if version != SCHEMA_VERSION:
            msg = (
                f"{path} has schema {version}, this version reads {SCHEMA_VERSION}; "
                "it was left untouched"
            )
            raise StoreError(msg)
        meta = dict(look.execute("SELECT key, value FROM meta"))
    Mode(meta["mode"])
    return meta


class _Writer:
    """One thread, one connection; takes what is queued as one transaction."""

    def __init__(self, path: Path, vfs: str | None, on_full: Callable[[], bool]) -> None:
        self._queue: queue.Queue[_Work[Any] | None] = queue.Queue(QUEUE_MAX)
        self._path = path
        self._vfs = vfs
        self._on_full = on_full
        self._failure: StoreFailedError | None = None
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
        connection = connect(self._path, vfs=self._vfs)
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

    def _commit(self, connection: apsw.Connection, group: "list[_Work[Any]]") -> None:
        """Commit a group; after a failure of the disk nothing is ever committed again."""
        for item in group:
            item.begin()
        try:
            try:
                self._attempt(connection, group)
            except DiskFullError:
                if not self._on_full():
                    raise
                self._attempt(connection, group)
        except Exception as error:  # noqa: BLE001 - the commit failed: nobody's work is durable
            if isinstance(error, StoreFailedError):
                self._failure = error
            for item in group:
                item.fail(error)
            return
        for item in group:
            item.finish()

    def _attempt(self, connection: apsw.Connection, group: "list[_Work[Any]]") -> None:
        if self._failure is not None:
            raise self._failure
        found: dict[Hashable, Any] = {}
        with transaction(connection, "IMMEDIATE"):
            for item in group:
                item.run(connection, found)


class _Work(Generic[T]):
    """A piece of work with its result, which is given out after the commit only."""

    def __init__(self, work: Callable[[Transaction], T]) -> None:
        self.future: Future[T] = Future()
        self._work = work
        self._result: T
        self._error: Exception | None = None
        self._is_awaited = True

    def begin(self) -> None:
        """Take the work on: from now on its caller cannot cancel it in the middle of an answer."""
        self._is_awaited = self.future.set_running_or_notify_cancel()

    def run(self, connection: apsw.Connection, found: dict[Hashable, Any]) -> None:
        """Run inside a savepoint: an error undoes this work, and leaves the others'.

        What was found out before is found out anew: it may rest on what was undone.
        """
        self._error = None
        try:
            with connection:
                self._result = self._work(SqliteTransaction(connection, found))
        except apsw.Error:
            raise
        except Exception as error:  # noqa: BLE001 - it belongs to whoever asked
            found.clear()
            self._error = error

    def fail(self, error: Exception) -> None:
        if self._is_awaited:
            self.future.set_exception(error)

    def finish(self) -> None:
        if not self._is_awaited:
            return
        if self._error is not None:
            self.future.set_exception(self._error)
        else:
            self.future.set_result(self._result)
