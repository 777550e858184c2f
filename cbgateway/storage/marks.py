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
from cbgateway.domain.kits import SLOTS, slot_codes
from cbgateway.storage.connection import connect, named_errors, transaction
from cbgateway.storage.rows import milliseconds, moment

APPLICATION_ID = 0x6362676D  # "cbgm"
SCHEMA_VERSION = 2
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
SLOTS_SCHEMA = """
CREATE TABLE slot (
  slot     INTEGER PRIMARY KEY,
  kit      TEXT NOT NULL,
  until_ms INTEGER NOT NULL
) STRICT;
"""
"""Which offline kit has which message codes; what version 1 lacked."""

UNKNOWN_KIT = "?"
"""Who has a slot when the marks were lost: perhaps a kit that somebody keeps in a drawer."""


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
                    connection.execute(SCHEMA + SLOTS_SCHEMA)
                    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            _upgrade(path, connection)
        except apsw.Error as error:
            msg = f"{path} cannot be read: {error}"
            raise StoreError(msg) from error
        return cls(path, connection)

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def newest(
        self, message_identifier: int, scope: GeographicalScope, *, codes: range
    ) -> tuple[SerialNumber, datetime] | None:
        """Give which of some codes was first claimed last."""
        return self._serial(
            "SELECT message_code, update_number, claimed_ms FROM serial "
            "WHERE message_identifier = ? AND scope = ? AND message_code BETWEEN ? AND ? "
            "ORDER BY turn DESC LIMIT 1",
            (message_identifier, int(scope), codes[0], codes[-1]),
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

    def claim_slot(self, kit: str, *, until: datetime, unused_since: datetime) -> int | None:
        """Give a kit the first slot whose codes no phone can remember; None when all are taken.

        Args:
            kit: its name.
            until: it sends nothing from then on.
            unused_since: a slot whose kit ended later, or whose codes were used later, is taken.
        """
        since_ms = milliseconds(unused_since)
        with transaction(self._connection, "IMMEDIATE"):
            taken = {one for one, (_, ends) in self.slots().items() if ends > unused_since}
            for slot in range(SLOTS):
                codes = slot_codes(slot)
                ((used,),) = self._connection.execute(
                    "SELECT count(*) FROM serial WHERE message_code BETWEEN ? AND ? "
                    "AND claimed_ms > ?",
                    (codes[0], codes[-1], since_ms),
                )
                if slot not in taken and not used:
                    self._connection.execute(
                        "INSERT OR REPLACE INTO slot VALUES (?, ?, ?)",
                        (slot, kit, milliseconds(until)),
                    )
                    return slot
        return None

    def slots(self) -> dict[int, tuple[str, datetime]]:
        """Give which kit has, or last had, each slot, and until when."""
        with named_errors():
            rows = self._connection.execute("SELECT slot, kit, until_ms FROM slot ORDER BY slot")
            return {slot: (kit, moment(until_ms)) for slot, kit, until_ms in rows}

    def end_slot(self, slot: int, *, at: datetime) -> None:
        """Note that the kit of a slot, and every copy of it, is gone; never makes it last longer.

        Phones remember what it has sent, so its codes rest for as long as that.
        """
        with transaction(self._connection, "IMMEDIATE"):
            self._connection.execute(
                "UPDATE slot SET until_ms = min(until_ms, ?) WHERE slot = ?",
                (milliseconds(at), slot),
            )

    def hold_slots(self, *, until: datetime) -> None:
        """Note that nobody knows which kits there are: every slot is taken until a time."""
        with transaction(self._connection, "IMMEDIATE"):
            for slot in range(SLOTS):
                self._connection.execute(
                    "INSERT OR REPLACE INTO slot VALUES (?, ?, ?)",
                    (slot, UNKNOWN_KIT, milliseconds(until)),
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


def _upgrade(path: Path, connection: apsw.Connection) -> None:
    """Bring marks of version 1 up to date; they are never made anew, for phones remember.

    Raises:
        StoreError: a later version has written them.
    """
    version = connection.pragma("user_version")
    if version > SCHEMA_VERSION:
        msg = f"{path} has version {version}, this version reads {SCHEMA_VERSION}"
        raise StoreError(msg)
    if version < SCHEMA_VERSION:
        with transaction(connection, "IMMEDIATE"):
            if connection.pragma("user_version") < SCHEMA_VERSION:  # nobody else was faster
                connection.execute(SLOTS_SCHEMA)
                connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
