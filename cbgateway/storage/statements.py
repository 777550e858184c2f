"""The named statements of queries.sql, and running them on a connection."""

import re
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

import apsw


@cache
def queries() -> Mapping[str, str]:
    """Read queries.sql: statement by name."""
    text = resources.files("cbgateway.storage").joinpath("queries.sql").read_text("utf-8")
    parts = re.split(r"^-- name: (\w+)\n", text, flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


class Statements:
    """Runs statements inside a transaction that the store has begun."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection

    def _run(self, name: str, /, **bindings: Any) -> apsw.Cursor:  # noqa: ANN401 - SQL values
        return self._connection.execute(queries()[name], bindings)

    def _rows(self, name: str, /, **bindings: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - SQL values
        cursor = self._run(name, **bindings)
        rows = []
        names: list[str] = []
        for row in cursor:
            names = names or [column[0] for column in cursor.get_description()]
            rows.append(dict(zip(names, row, strict=True)))
        return rows
