"""Recipient lists on their way in: staged beside the database, checked, then put there at once.

Theory of operation: a list is read into a temporary table, which is a file of its own, takes no
lock, and leaves memory as soon as it is large. Whatever is wrong with it is found there. The
transaction that puts it into the database is one statement, so that alerts wait for it little.
"""

from collections.abc import Iterable

import apsw

from cbgateway.domain.delivery import Recipient
from cbgateway.domain.errors import InputError
from cbgateway.storage.connection import transaction
from cbgateway.storage.statements import queries
from cbgateway.storage.transaction import SqliteTransaction

TWICE_MAX = 20
"""Lines named that hold a number again."""


def put_recipients(
    connection: apsw.Connection, carrier: str, lines: Iterable[tuple[int, Recipient]]
) -> int:
    """Put a list into the database; see `domain.ports.Store.put_recipients`."""
    statements = queries()
    connection.execute(statements["make_staged"])
    try:
        with transaction(connection, "DEFERRED"):
            connection.executemany(
                statements["stage"],
                ((line, one.number, one.region, one.language) for line, one in lines),
            )
        twice = connection.execute(statements["staged_twice"], {"limit": TWICE_MAX})
        problems = [f"line {line}: number {number} stands there twice" for line, number in twice]
        if problems:
            raise InputError(*problems)
        with transaction(connection, "IMMEDIATE"):
            connection.execute(statements["put_staged_recipients"], {"carrier": carrier})
            SqliteTransaction(connection).bump("recipients")
        return int(next(connection.execute(statements["count_staged"]))[0])
    finally:
        connection.execute(statements["clear_staged"])
