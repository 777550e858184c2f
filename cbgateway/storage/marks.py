"""Marks that no backup brings back: serial numbers that phones may have seen, the audit log's tail.

Theory of operation: a second, small SQLite file beside the database, never part of a backup. A
serial number is claimed here before the database commits it, by compare-and-swap: a claim that is
not beyond what is marked fails. So a database restored from yesterday cannot repeat what it gave
out today, and a log that has lost its end is noticed.
"""

from datetime import datetime
from pathlib import Path
from typing import Self

import apsw

from cbgateway.domain.broadcast import GeographicalScope, SerialNumber
from cbgateway.domain.errors import StaleError, StoreError
from cbgateway.storage.connection import connect, named_errors, transaction
from cbgateway.storage.rows import milliseconds, moment

APPLICATION_ID = 0x6362676D  # "cbgm"
SCHEMA_VERSION = 1
SCHEMA = """
CREATE TABLE serial (
  message_identifier INTEGER NOT NULL,
  scope              INTEGER NOT NULL,
  message_code       INTEGER NOT NULL,
  update_number      INTEGER NOT NULL,
  claimed_ms         INTEGER NOT NULL,
  turn               INTEGER NOT NULL,  -- the order in which codes were first claimed
  PRIMARY KEY (message_identifier, scope, message_code)
) STRICT, WITHOUT ROWID;
CREATE TABLE log (one INTEGER PRIMARY KEY CHECK (one = 1), size INTEGER, root BLOB) STRICT;
"""


class Marks:
    """The open file. Implements `domain.ports.SerialMarks`."""

    def __init__(self, path: Path, connection: apsw.Connection) -> None:
        self.path = path
        self._connection = connection

    @classmethod
    def open(cls, path: Path, *, create: bool = False, vfs: str | None = None) -> Self:
        """Open the file.

        Raises:
            StoreError: it is missing or not one of ours.
        """
        if not create and vfs is None and not path.is_file():
            msg = (
                f"{path} is missing; without it serial numbers that phones have seen may repeat; "
                "`cbgateway restore` makes a new one"
            )
            raise StoreError(msg)
        try:
            is_ours = not create or path.is_file()
            application_id = APPLICATION_ID if is_ours else None
            connection = connect(path, create=create, application_id=application_id, vfs=vfs)
            if create and not connection.pragma("user_version"):
                with transaction(connection, "IMMEDIATE"):
                    connection.execute(SCHEMA)
                    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        except apsw.Error as error:
            msg = f"{path} cannot be read: {error}"
            raise StoreError(msg) from error
        return cls(path, connection)

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def newest(
        self, message_identifier: int, scope: GeographicalScope
    ) -> tuple[SerialNumber, datetime] | None:
        """Give the code that was first claimed last."""
        return self._serial(
            "SELECT message_code, update_number, claimed_ms FROM serial "
            "WHERE message_identifier = ? AND scope = ? ORDER BY turn DESC LIMIT 1",
            (message_identifier, int(scope)),
            scope,
        )

    def claimed(
        self, message_identifier: int, scope: GeographicalScope, message_code: int
    ) -> tuple[SerialNumber, datetime] | None:
        """Give the newest version of a message code, and when it was claimed."""
        return self._serial(
            "SELECT message_code, update_number, claimed_ms FROM serial "
            "WHERE message_identifier = ? AND scope = ? AND message_code = ?",
            (message_identifier, int(scope), message_code),
            scope,
        )

    def claim(self, message_identifier: int, serial: SerialNumber, *, at: datetime) -> None:
        """Burn a serial number; see `domain.ports.SerialMarks`.

        Update number 0 begins a code anew; the caller has seen that its window is over.
        """
        scope, code = int(serial.geographical_scope), serial.message_code
        key = (message_identifier, scope, code)
        with transaction(self._connection, "IMMEDIATE"):
            known = self.claimed(message_identifier, serial.geographical_scope, code)
            if serial.update_number and (
                known is None or known[0].update_number >= serial.update_number
            ):
                msg = f"serial number {int(serial):04x} of {message_identifier} was used already"
                raise StaleError(msg)
            if not serial.update_number:
                ((turn,),) = self._connection.execute("SELECT coalesce(max(turn), 0) FROM serial")
                self._connection.execute(
                    "INSERT OR REPLACE INTO serial VALUES (?, ?, ?, 0, ?, ?)",
                    (*key, milliseconds(at), turn + 1),
                )
                return
            self._connection.execute(
                "UPDATE serial SET update_number = ?, claimed_ms = ? "
                "WHERE message_identifier = ? AND scope = ? AND message_code = ?",
                (serial.update_number, milliseconds(at), *key),
            )

    def log_size(self) -> tuple[int, bytes] | None:
        """Give the audit log's size and root as noted last; None before the first time."""
        with named_errors():
            for size, root in self._connection.execute("SELECT size, root FROM log"):
                return size, root
        return None

    def note_log(self, size: int, root: bytes) -> None:
        """Note how long the audit log is; it never gets shorter."""
        with transaction(self._connection, "IMMEDIATE"):
            self._connection.execute(
                "INSERT INTO log VALUES (1, ?, ?) ON CONFLICT (one) DO UPDATE SET "
                "size = excluded.size, root = excluded.root WHERE excluded.size > size",
                (size, root),
            )

    def reset_log(self, size: int, root: bytes) -> None:
        """Note that another epoch of the audit log has begun."""
        with transaction(self._connection, "IMMEDIATE"):
            self._connection.execute("INSERT OR REPLACE INTO log VALUES (1, ?, ?)", (size, root))

    def _serial(
        self, statement: str, where: tuple[int, ...], scope: GeographicalScope
    ) -> tuple[SerialNumber, datetime] | None:
        with named_errors():
            for code, update, claimed_ms in self._connection.execute(statement, where):
                return SerialNumber(scope, code, update), moment(claimed_ms)
        return None
