"""Recipient lists: CSV in, checked line by line."""

import csv
import io
import re
from collections.abc import Container, Iterator, Sequence

from cbgateway.domain.delivery import Recipient
from cbgateway.domain.errors import InputError

COLUMNS = ("number", "region", "language")
E164 = re.compile(r"\+?([1-9][0-9]{6,14})", re.ASCII)
PROBLEMS_MAX = 20
"""Faults named before the rest is only counted."""


def parse_recipients(
    octets: bytes, *, regions: Container[str], languages: Container[str]
) -> tuple[Recipient, ...]:
    """Read a recipient list.

    Args:
        octets: CSV in UTF-8 with the header ``number,region,language``.
        regions: codes that may stand there.
        languages: codes that may stand there.

    Raises:
        InputError: a line is wrong or a number stands there twice; names the lines.
    """
    rows = table_of(octets, COLUMNS)
    recipients: dict[str, Recipient] = {}
    problems = []
    for line, row in rows:
        try:
            recipient = _recipient(row, regions, languages)
        except ValueError as error:
            problems.append(f"line {line}: {error}")
            continue
        if recipient.number in recipients:
            problems.append(f"line {line}: number {recipient.number} stands there twice")
        recipients[recipient.number] = recipient
    if len(problems) > PROBLEMS_MAX:
        problems[PROBLEMS_MAX:] = [f"and {len(problems) - PROBLEMS_MAX} more lines"]
    if problems:
        raise InputError(*problems)
    return tuple(recipients.values())


def table_of(octets: bytes, columns: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """Give each row of a CSV file after its header, with the number of its last line.

    Raises:
        InputError: it is not UTF-8, or has another header.
    """
    try:
        text = octets.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        msg = f"not UTF-8 text: {error.reason} at octet {error.start}"
        raise InputError(msg) from error
    rows = _rows(text)
    _, header = next(rows, (1, []))
    if header != list(columns):
        msg = f"line 1: the header is {','.join(columns)}, not {','.join(header)[:80]!r}"
        raise InputError(msg)
    return rows


def _rows(text: str) -> Iterator[tuple[int, list[str]]]:
    """Give each row with the number of its last line.

    Raises:
        InputError: a cell is longer than any reader takes: a quote that never ends, most often.
    """
    rows = csv.reader(io.StringIO(text, newline=""))
    try:
        for row in rows:
            yield rows.line_num, row
    except csv.Error as error:
        msg = f"line {rows.line_num}: {error}"
        raise InputError(msg) from error


def _recipient(row: list[str], regions: Container[str], languages: Container[str]) -> Recipient:
    if len(row) != len(COLUMNS):
        msg = f"{len(row)} columns, {len(COLUMNS)} are needed"
        raise ValueError(msg)
    number, region, language = (cell.strip() for cell in row)
    match = E164.fullmatch(number)
    if match is None:
        msg = f"{number[:20]!r} is not an E.164 number with country code"
        raise ValueError(msg)
    if region not in regions:
        msg = f"unknown region {region[:20]!r}"
        raise ValueError(msg)
    if language not in languages:
        msg = f"unknown language {language[:20]!r}"
        raise ValueError(msg)
    return Recipient(match[1], region, language)
