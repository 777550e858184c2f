"""What carriers measured of a bulletin, from their logs: CSV or JSON, read strictly.

One row says for one bulletin, carrier and region when it was first on air, and in how many cells.
Columns may come in any order; a column that is not known is refused, and so is a row that repeats
another. Every fault is named with its line, and nothing of a file with faults is taken in.
"""

import csv
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from cbgateway.domain.errors import InputError

OCTETS_MAX = 2_097_152
"""Five thousand rows of four hundred octets."""
ROWS_MAX = 5_000
"""Two hundred and fifty regions, four carriers, five bulletins."""
FAULTS_MAX = 20
CELLS_MAX = 10_000_000
PHONES_MAX = 10_000_000_000

Name = Annotated[str, Field(min_length=1, max_length=110)]
Count = Annotated[int, Field(ge=0, le=CELLS_MAX)]


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    bulletin: Name
    carrier: Name
    region: Name
    first_broadcast_at: AwareDatetime
    cells_reached: Count | None = None
    cells_failed: Count | None = None
    phones_seen: Annotated[int, Field(ge=0, le=PHONES_MAX)] | None = None


COLUMNS = tuple(_Row.model_fields)
REQUIRED = tuple(name for name, field in _Row.model_fields.items() if field.is_required())
_LIST: TypeAdapter[list[Any]] = TypeAdapter(list[Any])


@dataclass(frozen=True, slots=True)
class Measured:
    """What one carrier says of one bulletin in one region.

    Attributes:
        place: where it stands, such as ``line 3``.
        cells_reached: that sent it at least once; None when the log does not say.
        cells_failed: that should have, and did not.
        phones_seen: that the carrier knows to have shown it.
    """

    place: str
    bulletin: str
    carrier: str
    region: str
    first_broadcast_at: datetime
    cells_reached: int | None
    cells_failed: int | None
    phones_seen: int | None

    def document(self) -> dict[str, Any]:
        """Give it as the history keeps it."""
        return {
            "carrier": self.carrier,
            "region": self.region,
            "first_broadcast_at": self.first_broadcast_at.isoformat(),
            "cells_reached": self.cells_reached,
            "cells_failed": self.cells_failed,
            "phones_seen": self.phones_seen,
        }


def parse_carrier_log(octets: bytes) -> tuple[Measured, ...]:
    """Read a carrier's log.

    Args:
        octets: JSON when it begins with ``[``, else CSV with a header; UTF-8.

    Raises:
        InputError: it is neither, or rows are wrong; names them.
    """
    if len(octets) > OCTETS_MAX:
        msg = f"{len(octets)} octets, at most {OCTETS_MAX} are read"
        raise InputError(msg)
    try:
        text = octets.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        msg = f"not UTF-8 text: {error.reason} at octet {error.start}"
        raise InputError(msg) from error
    rows = _json_rows(text) if text.lstrip().startswith("[") else _csv_rows(text)
    found: list[Measured] = []
    faults: list[str] = []
    seen: dict[tuple[str, str, str], str] = {}
    for place, row in rows:
        try:
            one = _measured(place, row)
        except ValidationError as error:
            faults += [
                f"{place}: {'.'.join(map(str, fault['loc']))[:80] or 'row'}: {fault['msg']}"
                for fault in error.errors(include_url=False, include_input=False)
            ]
            continue
        key = one.bulletin, one.carrier, one.region
        if key in seen:
            faults.append(f"{place}: says the same as {seen[key]}: {' '.join(key)}")
        seen.setdefault(key, place)
        found.append(one)
    if faults:
        more = len(faults) - FAULTS_MAX
        shown = faults[:FAULTS_MAX] + ([f"and {more} more faults"] if more > 0 else [])
        raise InputError(*shown)
    if not found:
        msg = "there is no row in it"
        raise InputError(msg)
    return tuple(found)


def _measured(place: str, row: object) -> Measured:
    read = _Row.model_validate(row)
    return Measured(place, **dict(read))


def _json_rows(text: str) -> Iterator[tuple[str, object]]:
    try:
        rows = json.loads(text)
    except (ValueError, RecursionError) as error:
        msg = f"not JSON: {error}"
        raise InputError(msg) from error
    rows = _LIST.validate_python(rows)
    _check_count(len(rows))
    return ((f"item {index}", row) for index, row in enumerate(rows, start=1))


def _csv_rows(text: str) -> Iterator[tuple[str, object]]:
    reader = csv.reader(io.StringIO(text), strict=True)
    try:
        lines = [(reader.line_num, row) for row in reader if row]
    except csv.Error as error:
        msg = f"line {reader.line_num}: not CSV: {error}"
        raise InputError(msg) from error
    if not lines:
        msg = "there is no header in it"
        raise InputError(msg)
    _check_count(len(lines) - 1)
    header = [name.strip() for name in lines[0][1]]
    unknown = [name[:40] for name in header if name not in COLUMNS]
    missing = [name for name in REQUIRED if name not in header]
    if unknown or missing or len(set(header)) != len(header):
        problem = (
            f"unknown columns {', '.join(map(repr, unknown))}"
            if unknown
            else f"missing columns {', '.join(missing)}"
            if missing
            else "a column stands there twice"
        )
        msg = f"line 1: {problem}; there may be {', '.join(COLUMNS)}"
        raise InputError(msg)
    return ((f"line {number}", _row(header, cells)) for number, cells in lines[1:])


def _row(header: list[str], cells: list[str]) -> Mapping[str, str]:
    """Give a row by its columns; an empty cell says nothing, and one too many is a fault."""
    row = {name: cell.strip() for name, cell in zip(header, cells, strict=False) if cell.strip()}
    if len(cells) > len(header):
        row["more cells than columns"] = cells[len(header)]
    return row


def _check_count(rows: int) -> None:
    if rows > ROWS_MAX:
        msg = f"{rows} rows, at most {ROWS_MAX} are read"
        raise InputError(msg)
