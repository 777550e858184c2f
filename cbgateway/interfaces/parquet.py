"""Parquet tables, read with pyarrow where it is installed (ADR 0016)."""

import importlib
import itertools
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

from cbgateway.domain.errors import InputError

MAGIC = b"PAR1"
"""What every Parquet file begins with."""
BATCH_ROWS = 65_536
"""Rows that are in memory at once."""


def read_rows(stream: BinaryIO, columns: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """Give each row of a table as text, with its number from 1 on.

    Args:
        stream: the file; it is read from its end, so that it cannot be a pipe.
        columns: what the table has to have, and nothing else, in any order.

    Raises:
        InputError: pyarrow is not installed, or it is another table, or none.
    """
    try:
        pyarrow: Any = importlib.import_module("pyarrow")
        parquet: Any = importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        msg = "Parquet needs pyarrow: pip install 'cbgateway[parquet]', or give the list as CSV"
        raise InputError(msg) from error
    if not stream.seekable():
        msg = "a Parquet file is read from its end: give its path, not a pipe"
        raise InputError(msg)
    try:
        table = parquet.ParquetFile(stream)
        names = tuple(table.schema_arrow.names)
        if sorted(names) != sorted(columns):
            msg = f"the columns are {','.join(columns)}, not {','.join(map(str, names))[:80]!r}"
            raise InputError(msg)
        rows = itertools.count(1)
        for batch in table.iter_batches(batch_size=BATCH_ROWS, columns=list(columns)):
            cells = [batch.column(name).to_pylist() for name in columns]
            for values in zip(*cells, strict=True):
                yield next(rows), ["" if value is None else str(value) for value in values]
    except (pyarrow.ArrowException, OSError) as error:
        msg = f"not a Parquet table: {str(error)[:200]}"
        raise InputError(msg) from error
