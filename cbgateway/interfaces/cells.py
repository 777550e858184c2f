"""Cell lists: CSV in, checked line by line, each cell in a region by name or by where it stands."""

import csv
import io
from collections.abc import Callable, Iterator, Sequence

from cbgateway.codec.cells import Cgi, Plmn
from cbgateway.domain.errors import InputError
from cbgateway.interfaces.recipients import PROBLEMS_MAX, rows_of
from cbgateway.profiles.regions import Regions
from cbgateway.service.coverage import Site

COLUMNS = ("controller", "region", "plmn", "lac", "cell", "latitude", "longitude")
CELLS_MAX = 1_000_000


Find = Callable[[Sequence[tuple[float, float]]], list[str | None]]
"""Gives the smallest region around each longitude and latitude; None for nowhere."""


def parse_cells(
    octets: bytes, *, regions: Regions, plmns: Sequence[str], find: Find | None
) -> tuple[Site, ...]:
    """Read the cells of a network.

    Args:
        octets: CSV in UTF-8 with the header of `COLUMNS`.
        regions: codes that may stand there.
        plmns: networks that may stand there, such as ``45008``.
        find: for lines without a region; None when nothing can find one.

    Raises:
        InputError: a line is wrong, or a cell stands there twice; names the lines.
    """
    rows = rows_of(io.BytesIO(octets))
    _, header = next(rows, (1, []))
    if tuple(header) != COLUMNS:
        msg = f"line 1: the header is {','.join(COLUMNS)}, not {','.join(header)[:80]!r}"
        raise InputError(msg)
    sites: dict[Cgi, tuple[int, Site]] = {}
    unplaced: list[tuple[Cgi, tuple[float, float]]] = []
    problems: list[str] = []
    for line, row in rows:
        try:
            site, point = _site(row, regions, plmns)
        except ValueError as error:
            problems.append(f"line {line}: {error}")
            continue
        if site.cell in sites:
            problems.append(f"line {line}: cell {site.cell} stands there twice")
        elif point is not None:
            unplaced.append((site.cell, point))
        sites[site.cell] = (line, site)
        if len(sites) > CELLS_MAX:
            msg = f"line {line}: more than {CELLS_MAX} cells"
            raise InputError(msg)
    problems += _place(sites, unplaced, find)
    if len(problems) > PROBLEMS_MAX:
        problems[PROBLEMS_MAX:] = [f"and {len(problems) - PROBLEMS_MAX} more lines"]
    if problems:
        raise InputError(*problems)
    return tuple(site for _, site in sites.values())


def write_cells(sites: Sequence[Site]) -> bytes:
    """Write cells as CSV, each with its region."""
    file = io.StringIO(newline="")
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    for site in sites:
        cell = site.cell
        writer.writerow((site.controller, site.region, cell.plmn, cell.lac, cell.ci, "", ""))
    return file.getvalue().encode()


def _place(
    sites: dict[Cgi, tuple[int, Site]],
    unplaced: Sequence[tuple[Cgi, tuple[float, float]]],
    find: Find | None,
) -> Iterator[str]:
    """Find the regions of cells that have only a place; gives what is wrong."""
    if not unplaced:
        return
    if find is None:
        yield "the country's regions have no outlines, so every cell needs a region"
        return
    found = find([point for _, point in unplaced])
    for (cell, point), region in zip(unplaced, found, strict=True):
        line, site = sites[cell]
        if region is None:
            yield f"line {line}: {point[1]}, {point[0]} is in no region"
        else:
            sites[cell] = (line, Site(site.controller, region, cell))


def _site(
    row: list[str], regions: Regions, plmns: Sequence[str]
) -> tuple[Site, tuple[float, float] | None]:
    if len(row) != len(COLUMNS):
        msg = f"{len(row)} columns, {len(COLUMNS)} are needed"
        raise ValueError(msg)
    controller, region, plmn_text, lac, ci, latitude, longitude = (cell.strip() for cell in row)
    if not controller:
        msg = "no controller"
        raise ValueError(msg)
    if region and region not in regions:
        msg = f"unknown region {region[:20]!r}"
        raise ValueError(msg)
    plmn = Plmn.parse(plmn_text[:8])
    if plmn.mcc + plmn.mnc not in plmns:
        msg = f"{plmn} is none of the network's: {', '.join(plmns)}"
        raise ValueError(msg)
    cell = Cgi(plmn, _number(lac), _number(ci))
    if region:
        return Site(controller, region, cell), None
    if not latitude or not longitude:
        msg = f"cell {cell} has neither region nor place"
        raise ValueError(msg)
    return Site(controller, "", cell), (_degrees(longitude, 180), _degrees(latitude, 90))


def _number(text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or len(text) > 5:  # noqa: PLR2004 - 65535
        msg = f"{text[:20]!r} is no number of up to five digits"
        raise ValueError(msg)
    return int(text)


def _degrees(text: str, most: int) -> float:
    value = float(text[:30])
    if not -most <= value <= most:
        msg = f"{text[:30]!r} is not in -{most}..{most} degrees"
        raise ValueError(msg)
    return value
