"""Orders as CBSP requests, and answers as per-cell outcomes (TS 48.049 7.2)."""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from cbgateway.codec import cbs, cbsp
from cbgateway.codec.cells import AllCells, Cgi, Lai, parse_place
from cbgateway.domain.errors import RejectedError
from cbgateway.domain.incoming import AreaOnAir, MessageState
from cbgateway.domain.orders import BroadcastReport, OnAirReport, WriteReplace
from cbgateway.profiles.networks import CbspProfile

TEMPORARY = {
    cbsp.Cause.BSC_CAPACITY_EXCEEDED,
    cbsp.Cause.CELL_MEMORY_EXCEEDED,
    cbsp.Cause.BSC_MEMORY_EXCEEDED,
    cbsp.Cause.CELL_BROADCAST_NOT_OPERATIONAL,
}
"""Causes that may have passed when it is tried again."""
NOWHERE = {
    cbsp.Cause.PARAMETER_NOT_RECOGNISED,
    cbsp.Cause.CELL_IDENTITY_NOT_VALID,
    cbsp.Cause.CELL_BROADCAST_NOT_SUPPORTED,
    cbsp.Cause.LAI_OR_LAC_NOT_VALID,
}
"""Causes of a KILL that is refused in cells where nothing can be on air; osmo-bsc says the first
of a cell that it does not know."""
NAMED_FAILURES_MAX = 20
"""Cells that a report names before it only counts them."""

_CATEGORIES: Mapping[str, cbsp.Category] = {
    "high": cbsp.Category.HIGH_PRIORITY,
    "normal": cbsp.Category.NORMAL,
    "background": cbsp.Category.BACKGROUND,
}
_CHANNELS: Mapping[str, cbsp.Channel] = {
    "basic": cbsp.Channel.BASIC,
    "extended": cbsp.Channel.EXTENDED,
}


@dataclass(slots=True)
class Outcome:
    """What became of a request, cell by cell.

    Attributes:
        done: cells that did it.
        failed: why others did not; by cell.
        counts: how often it has gone out, by cell; empty when the answer does not say.
    """

    done: set[str] = field(default_factory=set)
    failed: dict[str, int] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def forgive(self, causes: Collection[int]) -> set[str]:
        """Count cells that failed for one of some causes as done; gives which."""
        forgiven = {cell for cell, cause in self.failed.items() if cause in causes}
        for cell in forgiven:
            del self.failed[cell]
        self.done |= forgiven
        return forgiven

    def merge(self, later: "Outcome") -> None:
        """Take over what came of a later request for some of the cells."""
        self.done = (self.done - later.failed.keys()) | later.done
        self.failed = {
            cell: cause for cell, cause in self.failed.items() if cell not in later.done
        } | later.failed
        self.counts |= later.counts


def cell_lists(places: Sequence[str]) -> list[cbsp.CellList]:
    """Give the lists that name some places: one for each kind, since a list has one kind.

    Raises:
        ValueError: something else than cells, location areas or all cells.
    """
    found: dict[type, list[Cgi | Lai | AllCells]] = {}
    for place in map(parse_place, places):
        found.setdefault(type(place), []).append(place)
    return [cbsp.CellList.of(*cells) for cells in found.values()]


def text_request(
    order: WriteReplace, rules: CbspProfile, cells: cbsp.CellList, *, old: int | None
) -> cbsp.WriteReplace:
    """Write a broadcast as WRITE-REPLACE.

    Seconds become slots of 1.883 s; the number of broadcasts is such that it ends in time.

    Args:
        order: what goes on air.
        rules: the network's.
        cells: where.
        old: serial number of the version that it takes the place of; None for none.

    Spec: TS 48.049 8.1.3.1, 8.2.8 (repetition period), 8.2.9 (number of broadcasts).
    """
    broadcast = order.broadcast
    slots = rules.quirks.common_period_slots or period_slots(order)
    standing_s = order.number_of_broadcasts * order.repetition_period_s
    count = math.ceil(standing_s / (slots * cbsp.SLOT_S))
    if count > cbsp.NUMBER_OF_BROADCASTS_MAX:
        # an audit renews what has ended too early
        is_endless = rules.quirks.until_stopped == "zero"
        count = 0 if is_endless else cbsp.NUMBER_OF_BROADCASTS_MAX
    return cbsp.WriteReplace(
        message_identifier=broadcast.message_identifier,
        new_serial_number=int(broadcast.serial_number),
        old_serial_number=old,
        cells=cells,
        channel=_CHANNELS[rules.channel],
        category=_CATEGORIES[rules.classes[order.alert_class].category],
        repetition_period=slots,
        number_of_broadcasts=count,
        dcs=broadcast.dcs,
        pages=tuple(cbsp.Content(page.octets, page.used_octets) for page in broadcast.pages),
    )


def period_slots(order: WriteReplace) -> int:
    """Give an order's repetition period in slots; its pages have to fit."""
    slots = round(order.repetition_period_s / cbsp.SLOT_S)
    return min(max(slots, len(order.broadcast.pages), 1), cbsp.PERIOD_SLOTS_MAX)


def primary_request(
    order: WriteReplace, cells: cbsp.CellList, *, old: int | None
) -> cbsp.WriteReplace | None:
    """Write the notification that goes before an earthquake's text; None when there is none.

    Spec: TS 48.049 8.1.3.1 (emergency), TS 23.041 9.4.1.3 (ETWS primary notification).
    """
    primary = order.primary
    if primary is None:
        return None
    kind = cbs.WarningType(primary.kind, alert=primary.has_alert, popup=primary.has_popup)
    return cbsp.WriteReplace(
        message_identifier=order.broadcast.message_identifier,
        new_serial_number=int(order.broadcast.serial_number),
        old_serial_number=old,
        cells=cells,
        emergency_indicator=1,
        warning_type=int.from_bytes(cbs.encode_warning_type(kind), "big"),
        warning_security=bytes(cbsp.SECURITY_OCTETS),
        warning_period=cbsp.period_code(primary.period_s),
    )


def kill_request(
    rules: CbspProfile,
    message_identifier: int,
    serial_number: int,
    cells: cbsp.CellList,
    *,
    is_primary: bool,
) -> cbsp.Kill:
    """Write the end of a broadcast, or of a primary notification (TS 48.049 8.1.3.4)."""
    channel = None if is_primary else _CHANNELS[rules.channel]
    return cbsp.Kill(message_identifier, serial_number, cells, channel)


def status_request(
    rules: CbspProfile, message_identifier: int, serial_number: int, cells: cbsp.CellList
) -> cbsp.MessageStatusQuery:
    """Ask how often a broadcast has gone out (TS 48.049 8.1.3.10)."""
    return cbsp.MessageStatusQuery(
        message_identifier, serial_number, cells, _CHANNELS[rules.channel]
    )


def outcome_of(message: cbsp.Message, asked: cbsp.CellList) -> Outcome:
    """Read an answer cell by cell; a COMPLETE without cells is one for all that were asked for.

    A FAILURE can be partial: cells in its cell list, or with a count, did do it.
    """
    asked_cells = {str(cell) for cell in asked.cells}
    if isinstance(message, cbsp.ErrorIndication):
        return Outcome(failed=dict.fromkeys(asked_cells, message.cause))
    named: cbsp.CellList | None = getattr(message, "cells", None)
    completed: cbsp.EntryList | None = getattr(message, "completed", None)
    failures: tuple[cbsp.Failed, ...] = getattr(message, "failures", ())
    entries = () if completed is None else completed.entries
    done = set() if named is None else {str(cell) for cell in named.cells}
    if not isinstance(message, cbsp.WriteReplaceComplete | cbsp.WriteReplaceFailure):
        done |= {str(one.cell) for one in entries}
    counts = {str(one.cell): one.count for one in entries if one.info != cbsp.CountInfo.UNKNOWN}
    if named is None and completed is None and not failures:
        done = asked_cells
    return Outcome(done, {str(one.cell): one.cause for one in failures}, counts)


def check_outcome(outcome: Outcome) -> BroadcastReport:
    """Give the report of a request that was done somewhere.

    Raises:
        RejectedError: nobody did it.
    """
    if not outcome.done:
        causes = sorted(set(outcome.failed.values()))
        names = ", ".join(map(cbsp.cause_name, causes)) or "no cell took it"
        raise RejectedError(names, is_temporary=bool(causes) and set(causes) <= TEMPORARY)
    return BroadcastReport("", failed_areas=tuple(describe(outcome.failed)))


def on_air_report(outcome: Outcome) -> OnAirReport:
    """Read the counts of a broadcast: a cell that has not sent it yet does not have it on air."""
    counts = [outcome.counts.get(cell) for cell in outcome.done]
    cells = len(outcome.done | outcome.failed.keys())
    sent = [count for count in counts if count]
    on_air = len(counts) - counts.count(0)
    percent = 100 * on_air // cells if cells else 0
    broadcasts = (min(sent), max(sent)) if sent else None
    state = MessageState.ENROUTE if on_air else MessageState.UNKNOWN
    return OnAirReport(state, (AreaOnAir("", percent, cells, broadcasts),))


def describe(failed: Mapping[str, int]) -> Iterable[str]:
    """Name cells with their causes, the first few of them."""
    for cell, cause in sorted(failed.items())[:NAMED_FAILURES_MAX]:
        yield f"{cell} {cbsp.cause_name(cause)}"
    if len(failed) > NAMED_FAILURES_MAX:
        yield f"and {len(failed) - NAMED_FAILURES_MAX} more cells"
