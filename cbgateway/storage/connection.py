"""Connections that are as durable as was asked, and transactions that name what went wrong."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import apsw

from cbgateway.domain.errors import DiskFullError, StoreError, StoreFailedError

SQLITE_VERSION_MIN = 3_051_003  # the first with the fix for the WAL-reset race
SYNCHRONOUS_FULL = 2
UNUSABLE = (apsw.BusyError, apsw.CantOpenError, apsw.CorruptError, apsw.NotADBError)
BUSY_TIMEOUT_S = 10  # another process holds the write lock for one commit, not for seconds
BUSY_WAIT_S = 0.001
"""Between two tries for the write lock. SQLite's own pauses grow to 100 ms: beside a bulk job,
which lets go for a few milliseconds at a time, an approval would miss most of those."""


def connect(
    path: Path,
    *,
    create: bool = False,
    application_id: int | None = None,
    vfs: str | None = None,
) -> apsw.Connection:
    """Open a connection that syncs every commit, checked by reading it back.

    Args:
        path: the file.
        create: make it when it is not there.
        application_id: what a file of ours has; any other is not touched. None for any file.
        vfs: SQLite's name of another file system layer; None for the usual one.

    Raises:
        StoreError: the file, or the disk under it, cannot keep that promise.
    """
    if apsw.SQLITE_VERSION_NUMBER < SQLITE_VERSION_MIN:
        msg = f"SQLite {apsw.sqlite_lib_version()} lacks a fix for the write-ahead log"
        raise StoreError(msg)
    flags = apsw.SQLITE_OPEN_READWRITE | (apsw.SQLITE_OPEN_CREATE if create else 0)
    connection = apsw.Connection(str(path), flags=flags, vfs=vfs)
    wait_for_lock(connection)
    if application_id is not None and connection.pragma("application_id") != application_id:
        connection.close()
        msg = f"{path} is not a cbgateway database of its kind; it was left untouched"
        raise StoreError(msg)
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
    connection.pragma("secure_delete", True)  # what people wrote is overwritten when it goes
    # one plan per statement whatever is bound: a table with a partial index has its statements
    # prepared anew for every execution otherwise
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
    return connection


def wait_for_lock(connection: apsw.Connection) -> None:
    """Have a connection wait while another one holds the lock that it needs."""

    def wait(tries: int) -> bool:
        time.sleep(BUSY_WAIT_S)
        return tries * BUSY_WAIT_S < BUSY_TIMEOUT_S

    connection.set_busy_handler(wait)


@contextmanager
def transaction(connection: apsw.Connection, kind: str) -> Iterator[None]:
    """Begin, and commit when the block ends or roll back when it raises.

    Raises:
        StoreFailedError: the disk failed; what was committed before may not be trusted to last.
        DiskFullError: there is no room; nothing was stored.
        StoreError: the database cannot be used now; nothing was stored.
    """
    with named_errors():
        try:
            connection.execute(f"BEGIN {kind}")
            yield
            connection.execute("COMMIT")
        except BaseException:
            with suppress(apsw.Error):
                connection.execute("ROLLBACK")
            raise


@contextmanager
def named_errors() -> Iterator[None]:
    """Turn what SQLite says of disk and file into our own errors.

    Raises:
        StoreFailedError: the disk failed; what was committed before may not be trusted to last.
        DiskFullError: there is no room; nothing was stored.
        StoreError: the database cannot be used now; nothing was stored.
    """
    try:
        yield
    except apsw.FullError as error:
        msg = f"the disk is full: {error}; nothing was stored"
        raise DiskFullError(msg) from error
    except apsw.IOError as error:
        msg = f"the disk failed: {error}; the process ends, so that nobody relies on it"
        raise StoreFailedError(msg) from error
    except UNUSABLE as error:
        msg = f"the database cannot be used now: {error}; nothing was stored"
        raise StoreError(msg) from error
