"""Recipient lists as Parquet: by the rules of CSV, and a clear word where pyarrow is missing."""

import importlib
import io
from types import SimpleNamespace
from typing import Any

import pytest

from cbgateway.domain.delivery import Recipient
from cbgateway.domain.errors import InputError
from cbgateway.interfaces import parquet
from cbgateway.interfaces.recipients import COLUMNS, read_recipients

REGIONS = ("KR-11", "KR-26")
LANGUAGES = ("ko", "en")
ROWS = [
    (821012345678, "KR-26", "ko"),
    ("+821012345679", "KR-11", "en"),
    ("821012345680", None, "ko"),
]


class Column:
    """A column of a batch."""

    def __init__(self, cells: list[Any]) -> None:
        self._cells = cells

    def to_pylist(self) -> list[Any]:
        """Give its cells."""
        return self._cells


class Table:
    """What stands in for pyarrow's reader where that is not installed."""

    def __init__(self, names: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
        self.schema_arrow = SimpleNamespace(names=names)
        self._rows = rows

    def iter_batches(self, *, batch_size: int, columns: list[str]) -> Any:
        """Give two rows at a time."""
        assert batch_size == parquet.BATCH_ROWS
        for at in range(0, len(self._rows), 2):
            cells = dict(zip(columns, zip(*self._rows[at : at + 2], strict=True), strict=True))
            yield SimpleNamespace(column=lambda name, cells=cells: Column(list(cells[name])))


class ArrowError(Exception):
    """What pyarrow raises."""


def stand_in(monkeypatch: pytest.MonkeyPatch, make: Any) -> None:
    """Have a reader of ours in pyarrow's place."""
    modules = {
        "pyarrow": SimpleNamespace(ArrowException=ArrowError),
        "pyarrow.parquet": SimpleNamespace(ParquetFile=make),
    }
    monkeypatch.setattr(importlib, "import_module", modules.__getitem__)


def read(octets: bytes = b"PAR1....PAR1") -> list[tuple[int, Recipient]]:
    """Read a list as the gateway does."""
    stream = io.BufferedReader(io.BytesIO(octets))  # type: ignore[arg-type]
    return list(read_recipients(stream, regions=REGIONS, languages=LANGUAGES))


def test_rows_are_read_by_the_rules_of_csv(monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers may be numbers; columns may stand in any order."""
    stand_in(monkeypatch, lambda stream: Table(("region", "number", "language"), ROWS[:2] * 2))

    expected = [Recipient("821012345678", "KR-26", "ko"), Recipient("821012345679", "KR-11", "en")]
    assert list(zip(range(1, 5), expected * 2, strict=True)) == read()


def test_wrong_rows_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """By their number, from 1 on."""
    stand_in(monkeypatch, lambda stream: Table(COLUMNS, ROWS))

    with pytest.raises(InputError, match="row 3: unknown region ''"):
        read()


def test_other_columns_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A table that has more is another table."""
    stand_in(monkeypatch, lambda stream: Table((*COLUMNS, "name"), []))

    with pytest.raises(InputError, match="the columns are number,region,language, not"):
        read()


def test_what_is_no_table_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what pyarrow says of it."""

    def refuse(stream: Any) -> Any:
        message = "magic bytes not found in footer"
        raise ArrowError(message)

    stand_in(monkeypatch, refuse)

    with pytest.raises(InputError, match="not a Parquet table: magic bytes"):
        read()


def test_pipe_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parquet is read from its end."""
    stand_in(monkeypatch, lambda stream: Table(COLUMNS, []))

    class Pipe(io.BytesIO):
        """What cannot go back."""

        def seekable(self) -> bool:
            """Say so."""
            return False

    with pytest.raises(InputError, match="not a pipe"):
        list(parquet.read_rows(Pipe(), COLUMNS))


def test_missing_pyarrow_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """What to install, and what will do without."""

    def missing(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", missing)

    with pytest.raises(InputError, match=r"pip install 'cbgateway\[parquet\]', or give .* CSV"):
        read()


def test_real_table_is_read() -> None:
    """Where pyarrow is installed: what it writes comes back."""
    pyarrow = pytest.importorskip("pyarrow")
    writer = pytest.importorskip("pyarrow.parquet")
    table = pyarrow.table(
        {"number": [821012345678, 821012345679], "region": ["KR-26"] * 2, "language": ["ko"] * 2}
    )
    stream = io.BytesIO()
    writer.write_table(table, stream)

    found = read(stream.getvalue())
    assert found[1] == (2, Recipient("821012345679", "KR-26", "ko"))
    with pytest.raises(InputError, match="not a Parquet table"):
        read(b"PAR1 and no end")
