"""What runs inside the guest: a writer that acknowledges, and a checker that reads what is left.

Each transaction touches two tables and an index, so a torn one shows: the row's body follows from
its number, and `last` names the highest number.
"""

import argparse
import hashlib
import json
import os
import time
from pathlib import Path
from typing import Any

import apsw

from cbgateway.domain.errors import StoreError
from cbgateway.storage.connection import connect, transaction

SYNCHRONOUS = {"normal": 1, "full": 2}
CHECKPOINT_PAGES = 100  # a tenth of the usual, so that cuts fall into checkpoints too
SCHEMA = """
CREATE TABLE IF NOT EXISTS numbers (n INTEGER PRIMARY KEY, body TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE IF NOT EXISTS last (one INTEGER PRIMARY KEY CHECK (one = 1), n INTEGER) STRICT;
INSERT OR IGNORE INTO last VALUES (1, 0);
"""


def body(number: int) -> str:
    """Give what the row of a number holds."""
    return hashlib.sha256(str(number).encode()).hexdigest()


def open_for_writing(database: Path, synchronous: str) -> apsw.Connection:
    """Open as the store does, with the tables; sync commits less when asked.

    Raises:
        StoreError: commits are not synced as asked.
    """
    connection = connect(database, create=True)
    with transaction(connection, "IMMEDIATE"):
        connection.execute(SCHEMA)
    connection.pragma("wal_autocheckpoint", CHECKPOINT_PAGES)
    if synchronous == "normal":
        connection.pragma("synchronous", "normal")  # otherwise it stays as the store has it
    if connection.pragma("synchronous") != SYNCHRONOUS[synchronous]:
        raise StoreError(f"synchronous is not {synchronous}")
    return connection


def write(database: Path, acks: Path, *, synchronous: str, first: int, seconds: float) -> None:
    """Commit one number after the other, and say each to the host after its commit.

    Stops by itself after so many seconds, in case nobody cuts the power.
    """
    connection = open_for_writing(database, synchronous)
    said = os.open(acks, os.O_WRONLY | os.O_APPEND)
    end = time.monotonic() + seconds
    number = first
    while time.monotonic() < end:
        with transaction(connection, "IMMEDIATE"):
            connection.execute("INSERT INTO numbers VALUES (?, ?)", (number, body(number)))
            connection.execute("UPDATE last SET n = ?", (number,))
        os.write(said, f"{number}\n".encode())
        number += 1


def check(database: Path) -> dict[str, Any]:
    """Open what the cut left, and say what is in it.

    The connection is closed, so the write-ahead log is in the file when this returns.
    """
    start = time.perf_counter()
    connection = connect(database)
    highest = connection.execute("SELECT coalesce(max(n), 0) FROM numbers").get
    recovery_ms = (time.perf_counter() - start) * 1000
    problems = [row[0] for row in connection.execute("PRAGMA integrity_check")]
    problems = [] if problems == ["ok"] else problems
    expected = 1
    gaps: list[tuple[int, int]] = []
    for number, text in connection.execute("SELECT n, body FROM numbers ORDER BY n"):
        if number != expected:
            gaps.append((expected, number - 1))
        if text != body(number):
            problems.append(f"row {number} holds {text!r}")
        expected = number + 1
    last = connection.execute("SELECT n FROM last").get
    if last != highest:
        problems.append(f"last is {last}, the highest row is {highest}")
    connection.close()
    return {"highest": highest, "gaps": gaps, "problems": problems, "recovery_ms": recovery_ms}


def main() -> None:
    """Write, or check and leave the result as JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("task", choices=["write", "check"])
    parser.add_argument("--database", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--synchronous", choices=list(SYNCHRONOUS), default="full")
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=60)
    args = parser.parse_args()
    if args.task == "write":
        write(
            args.database,
            args.out,
            synchronous=args.synchronous,
            first=args.first,
            seconds=args.seconds,
        )
        return
    try:
        found = check(args.database)
    except (StoreError, apsw.Error) as error:
        found = {"highest": 0, "gaps": [], "problems": [repr(error)], "recovery_ms": 0.0}
    args.out.write_text(json.dumps(found))


if __name__ == "__main__":
    main()
