"""Recipient lists: CSV or Parquet in, checked line by line."""

import codecs
import csv
import io
import re
from collections.abc import Container, Iterator
from functools import partial
from typing import BinaryIO

from cbgateway.domain.delivery import Recipient
from cbgateway.domain.errors import InputError
from cbgateway.interfaces import parquet

COLUMNS = ("number", "region", "language")
E164 = re.compile(r"\+?([1-9][0-9]{6,14})", re.ASCII)
LINE_OCTETS_MAX = 1_048_576
"""What is read at once; a longer line has a cell that the CSV reader refuses."""
PROBLEMS_MAX = 20
"""Faults named before the rest is only counted."""


def read_recipients(
    stream: BinaryIO, *, regions: Container[str], languages: Container[str]
) -> Iterator[tuple[int, Recipient]]:
    """Read a recipient list line by line, however long it is.

    Numbers that stand there twice are for the store to find, which has room for all of them.

    Args:
        stream: CSV in UTF-8 with the header ``number,region,language``, or a Parquet table with
            these columns, which is known by its first octets.
        regions: codes that may stand there.
        languages: codes that may stand there.

    Yields:
        Each line's or row's number with its recipient, as long as nothing is wrong with any.

    Raises:
        InputError: lines are wrong; names them, once all were looked at.
    """
    is_parquet = isinstance(stream, io.BufferedReader) and stream.peek(4)[:4] == parquet.MAGIC
    if is_parquet:
        where, rows = "row", parquet.read_rows(stream, COLUMNS)
    else:
        where, rows = "line", rows_of(stream)
        _, header = next(rows, (1, []))
        if tuple(header) != COLUMNS:
            msg = f"line 1: the header is {','.join(COLUMNS)}, not {','.join(header)[:80]!r}"
            raise InputError(msg)
    problems: list[str] = []
    wrong = 0
    for line, row in rows:
        try:
            recipient = _recipient(row, regions, languages)
        except ValueError as error:
            wrong += 1
            if wrong <= PROBLEMS_MAX:
                problems.append(f"{where} {line}: {error}")
            continue
        if not wrong:
            yield line, recipient
    if wrong > PROBLEMS_MAX:
        problems.append(f"and {wrong - PROBLEMS_MAX} more {where}s")
    if problems:
        raise InputError(*problems)


def rows_of(stream: BinaryIO) -> Iterator[tuple[int, list[str]]]:
    """Give each row with the number of its last line.

    Raises:
        InputError: it is no text, or a cell is longer than any reader takes: a quote that never
            ends, most often.
    """
    rows = csv.reader(codecs.iterdecode(_lines(stream), "utf-8-sig"))
    try:
        for row in rows:
            yield rows.line_num, row
    except UnicodeDecodeError as error:
        msg = f"line {rows.line_num + 1}: not UTF-8 text: {error.reason}"
        raise InputError(msg) from error
    except csv.Error as error:
        msg = f"line {rows.line_num}: {error}"
        raise InputError(msg) from error


def _lines(stream: BinaryIO) -> Iterator[bytes]:
    """Give the lines, and those that do not end in pieces."""
    return iter(partial(stream.readline, LINE_OCTETS_MAX), b"")


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
