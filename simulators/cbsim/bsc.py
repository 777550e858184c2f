"""A base station controller without its sockets: cells, their broadcast channels, and phones.

Each cell with a broadcast channel sends one page every 1.883 s. What is to be sent is what is due
first; a message comes again after its repetition period. The controller answers as TS 48.049 says,
cell by cell, and can be told to fail in the ways that real ones do.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from cbgateway.codec import cbs, cbsp
from cbgateway.codec.cells import AllCells, Cgi, Ci, Lac, LacCi, Lai
from cbgateway.domain.broadcast import Page
from cbsim.handset import Handset, Shown

OnShown = Callable[[Handset, Shown], None]
MESSAGES_MAX = 64
"""Messages that one cell has memory for."""
Reference = tuple[int, int]
"""Message identifier and serial number."""


@dataclass(slots=True)
class Stored:
    """A text that a cell repeats.

    Attributes:
        pages: each 88 octets, as they go on air.
        left: broadcasts that are still to come; None for until killed.
        count: broadcasts that are over.
        due_s: when the next one begins.
        page: which page comes next.
    """

    pages: tuple[bytes, ...]
    period_s: float
    left: int | None
    due_s: float
    count: int = 0
    page: int = 0


@dataclass(slots=True)
class Cell:
    """One cell.

    Attributes:
        has_channel: whether it has a broadcast channel.
        is_up: whether its base station runs.
        phones: who camps on it.
        texts: by reference.
        primaries: notifications without a text; when each ends, None for when it is killed.
        free_s: when the channel has room for another page.
        pages: how many have gone out.
    """

    name: Cgi
    has_channel: bool = True
    is_up: bool = True
    phones: list[Handset] = field(default_factory=list)
    texts: dict[Reference, Stored] = field(default_factory=dict)
    primaries: dict[Reference, float | None] = field(default_factory=dict)
    free_s: float = 0.0
    pages: int = 0

    def next_s(self) -> float | None:
        """Give when the next page goes out; None while there is none."""
        if not self.is_up or not self.texts:
            return None
        return max(self.free_s, min(one.due_s for one in self.texts.values()))


class Controller:
    """A base station controller with its cells; time is an argument."""

    def __init__(
        self, name: str, cells: Iterable[Cell], on_shown: OnShown = lambda _phone, _shown: None
    ) -> None:
        """Make a controller.

        Args:
            name: for whoever reads what it tells.
            cells: what it controls.
            on_shown: called whenever a phone shows something.
        """
        self.name = name
        self.cells = {cell.name: cell for cell in cells}
        self._on_shown = on_shown

    # Time

    def tick(self, *, now_s: float) -> None:
        """Send every page that is due."""
        for cell in self.cells.values():
            self._end_primaries(cell, now_s)
            at = cell.next_s()
            while at is not None and at <= now_s:
                self._send_page(cell, at)
                at = cell.next_s()

    def next_tick(self) -> float | None:
        """Give when the next page is due anywhere; None when nothing is on air."""
        return min(
            (at for cell in self.cells.values() if (at := cell.next_s()) is not None), default=None
        )

    def _send_page(self, cell: Cell, at: float) -> None:
        reference, text = min(cell.texts.items(), key=lambda item: (item[1].due_s, item[0]))
        octets = text.pages[text.page]
        cell.free_s = at + cbsp.SLOT_S
        cell.pages += 1
        text.page += 1
        if text.page == len(text.pages):
            text.page = 0
            text.count += 1
            text.due_s += text.period_s
            if text.left is not None:
                text.left -= 1
                if text.left == 0:
                    del cell.texts[reference]
        for phone in cell.phones:
            shown = phone.receive_page(octets, seal="", now_s=at)
            if shown is not None:
                self._on_shown(phone, shown)

    def _end_primaries(self, cell: Cell, now_s: float) -> None:
        ended = [
            reference
            for reference, until_s in cell.primaries.items()
            if until_s is not None and until_s <= now_s
        ]
        for reference in ended:
            del cell.primaries[reference]

    # What happens to cells

    def fail(self, names: Iterable[Cgi]) -> cbsp.Failure:
        """Have base stations stop; gives what a broadcast centre is told of it."""
        down = list(names)
        for name in down:
            self.cells[name].is_up = False
        cause = cbsp.Cause.CELL_BROADCAST_NOT_OPERATIONAL
        failures = tuple(cbsp.Failed(name, cause) for name in down)
        return cbsp.Failure(failures, cbsp.BroadcastMessageType.CBS)

    def restart(self, names: Iterable[Cgi], *, is_lost: bool, now_s: float) -> cbsp.Restart:
        """Have base stations start again, with or without what they had."""
        up = list(names)
        for name in up:
            cell = self.cells[name]
            cell.is_up = True
            cell.free_s = now_s
            if is_lost:
                cell.texts.clear()
                cell.primaries.clear()
            for text in cell.texts.values():
                text.due_s = max(text.due_s, now_s)
        recovery = cbsp.Recovery.DATA_LOST if is_lost else cbsp.Recovery.DATA_AVAILABLE
        return cbsp.Restart(cbsp.CellList.of(*up), cbsp.BroadcastMessageType.CBS, recovery)

    def lose_all(self) -> None:
        """Forget everything, as a controller does whose process has ended."""
        for cell in self.cells.values():
            cell.texts.clear()
            cell.primaries.clear()

    # Requests

    def answer(  # noqa: PLR0911 - one for each request
        self, message: cbsp.Message, *, now_s: float
    ) -> cbsp.Message | None:
        """Carry out a request; gives the answer, None where there is none."""
        self.tick(now_s=now_s)
        match message:
            case cbsp.WriteReplace():
                return self._write(message, now_s)
            case cbsp.Kill():
                return self._kill(message)
            case cbsp.MessageStatusQuery():
                return self._status(message)
            case cbsp.LoadQuery():
                return self._load(message)
            case cbsp.Reset():
                return self._reset(message)
            case cbsp.SetDrx():
                return self._set_drx(message)
            case cbsp.KeepAlive():
                return cbsp.KeepAliveComplete()
            case cbsp.ErrorIndication():
                return None
            case _:
                return cbsp.ErrorIndication(cbsp.Cause.UNRECOGNISED_MESSAGE)

    def find(self, cells: cbsp.CellList) -> tuple[list[Cell], list[cbsp.Failed]]:
        """Give the cells that a list names, each once, and a failure for each name of nothing."""
        found: dict[Cgi, Cell] = {}
        failures: list[cbsp.Failed] = []
        for name in cells.cells:
            there = [cell for cell in self.cells.values() if _is_named(cell.name, name)]
            if not there:
                is_area = isinstance(name, Lai | Lac)
                cause = (
                    cbsp.Cause.LAI_OR_LAC_NOT_VALID
                    if is_area
                    else cbsp.Cause.CELL_IDENTITY_NOT_VALID
                )
                failures.append(cbsp.Failed(name, cause))
            found |= {cell.name: cell for cell in there}
        return list(found.values()), failures

    def _write(self, message: cbsp.WriteReplace, now_s: float) -> cbsp.Message:
        cells, failures = self.find(message.cells)
        done: list[cbsp.Cell] = []
        counts: list[cbsp.Completed] = []
        for cell in cells:
            cause, count = self._write_in(cell, message, now_s)
            if cause is None:
                done.append(cell.name)
                if message.old_serial_number is not None and message.channel is not None:
                    counts.append(cbsp.Completed(cell.name, min(count, 0xFFFF)))
            else:
                failures.append(cbsp.Failed(cell.name, cause))
        common = {
            "message_identifier": message.message_identifier,
            "new_serial_number": message.new_serial_number,
            "old_serial_number": message.old_serial_number,
            "completed": cbsp.EntryList.of(*counts) if counts else None,
            "cells": cbsp.CellList.of(*done) if done else None,
            "channel": message.channel,
        }
        if failures:
            return cbsp.WriteReplaceFailure(failures=tuple(failures), **common)  # type: ignore[arg-type]
        return cbsp.WriteReplaceComplete(**common)  # type: ignore[arg-type]

    def _write_in(  # noqa: PLR0911 - one for each cause
        self, cell: Cell, message: cbsp.WriteReplace, now_s: float
    ) -> tuple[cbsp.Cause | None, int]:
        """Put a message on air in a cell; gives why not, and how often its forerunner went out."""
        new = (message.message_identifier, message.new_serial_number)
        old_serial = message.old_serial_number
        old = None if old_serial is None else (message.message_identifier, old_serial)
        is_text = message.channel is not None
        if is_text and not cell.has_channel:
            return cbsp.Cause.CELL_BROADCAST_NOT_SUPPORTED, 0
        if not cell.is_up:
            return cbsp.Cause.CELL_BROADCAST_NOT_OPERATIONAL, 0
        here = cell.texts.keys() if is_text else cell.primaries.keys()
        if new in here:
            return cbsp.Cause.MESSAGE_REFERENCE_ALREADY_USED, 0
        if old is not None and old not in here:
            return cbsp.Cause.MESSAGE_REFERENCE_NOT_IDENTIFIED, 0
        if not is_text:
            return self._write_primary(cell, message, old, now_s), 0
        if old is None and len(cell.texts) >= MESSAGES_MAX:
            return cbsp.Cause.CELL_MEMORY_EXCEEDED, 0
        text = _stored(message, now_s)
        if text is None:
            return cbsp.Cause.PARAMETER_VALUE_INVALID, 0
        count = 0 if old is None else cell.texts.pop(old).count
        cell.free_s = max(cell.free_s, now_s)
        cell.texts[new] = text
        return None, count

    def _write_primary(
        self, cell: Cell, message: cbsp.WriteReplace, old: Reference | None, now_s: float
    ) -> cbsp.Cause | None:
        if old is None and cell.primaries:
            return cbsp.Cause.BSC_CAPACITY_EXCEEDED
        period = message.warning_period or 0
        if period != cbsp.UNTIL_STOPPED and period not in cbsp.PERIOD_S:
            return cbsp.Cause.PARAMETER_VALUE_INVALID
        if old is not None:
            del cell.primaries[old]
        until_s = None if period == cbsp.UNTIL_STOPPED else now_s + cbsp.PERIOD_S[period]
        cell.primaries[message.message_identifier, message.new_serial_number] = until_s
        return None

    def _kill(self, message: cbsp.Kill) -> cbsp.Message:
        cells, failures = self.find(message.cells)
        reference = (message.message_identifier, message.old_serial_number)
        counts: list[cbsp.Completed] = []
        done: list[cbsp.Cell] = []
        for cell in cells:
            if message.channel is None and reference in cell.primaries:
                del cell.primaries[reference]
                done.append(cell.name)
            elif message.channel is not None and reference in cell.texts:
                count = cell.texts.pop(reference).count
                counts.append(cbsp.Completed(cell.name, min(count, 0xFFFF)))
            else:
                cause = cbsp.Cause.MESSAGE_REFERENCE_NOT_IDENTIFIED
                failures.append(cbsp.Failed(cell.name, cause))
        common = {
            "message_identifier": message.message_identifier,
            "old_serial_number": message.old_serial_number,
            "completed": cbsp.EntryList.of(*counts) if counts else None,
            "cells": cbsp.CellList.of(*done) if done else None,
            "channel": message.channel,
        }
        if failures:
            return cbsp.KillFailure(failures=tuple(failures), **common)  # type: ignore[arg-type]
        return cbsp.KillComplete(**common)  # type: ignore[arg-type]

    def _status(self, message: cbsp.MessageStatusQuery) -> cbsp.Message:
        cells, failures = self.find(message.cells)
        reference = (message.message_identifier, message.old_serial_number)
        counts: list[cbsp.Completed] = []
        for cell in cells:
            text = cell.texts.get(reference)
            if text is None:
                cause = cbsp.Cause.MESSAGE_REFERENCE_NOT_IDENTIFIED
                failures.append(cbsp.Failed(cell.name, cause))
            else:
                counts.append(cbsp.Completed(cell.name, min(text.count, 0xFFFF)))
        completed = cbsp.EntryList.of(*counts) if counts else None
        if failures or completed is None:
            return cbsp.MessageStatusQueryFailure(
                *reference, tuple(failures), message.channel, completed
            )
        return cbsp.MessageStatusQueryComplete(*reference, completed, message.channel)

    def _load(self, message: cbsp.LoadQuery) -> cbsp.Message:
        cells, failures = self.find(message.cells)
        loads = [cbsp.Load(cell.name, _load_of(cell), 0) for cell in cells]
        listed = cbsp.EntryList.of(*loads) if loads else None
        if failures or listed is None:
            return cbsp.LoadQueryFailure(tuple(failures), message.channel, listed)
        return cbsp.LoadQueryComplete(listed, message.channel)

    def _reset(self, message: cbsp.Reset) -> cbsp.Message:
        cells, failures = self.find(message.cells)
        for cell in cells:
            cell.texts.clear()
            cell.primaries.clear()
        done = cbsp.CellList.of(*[cell.name for cell in cells]) if cells else None
        if failures:
            return cbsp.ResetFailure(tuple(failures), done)
        return cbsp.ResetComplete(message.cells)

    def _set_drx(self, message: cbsp.SetDrx) -> cbsp.Message:
        cells, failures = self.find(message.cells)
        if failures or not cells:
            return cbsp.SetDrxFailure(tuple(failures), message.channel)
        return cbsp.SetDrxComplete(
            cbsp.CellList.of(*[cell.name for cell in cells]), message.channel
        )


def _is_named(cell: Cgi, name: cbsp.Cell) -> bool:
    match name:
        case Cgi():
            return cell == name
        case LacCi():
            return (cell.lac, cell.ci) == (name.lac, name.ci)
        case Ci():
            return cell.ci == name.ci
        case Lai():
            return cell.lai == name
        case Lac():
            return cell.lac == name.lac
        case AllCells():
            return True


def _stored(message: cbsp.WriteReplace, now_s: float) -> Stored | None:
    """Give a text as it is repeated; None when no cell could."""
    period = message.repetition_period or 0
    if period < len(message.pages) or any(not page.used_octets for page in message.pages):
        return None
    pages = tuple(
        cbs.encode_gsm_page(
            cbs.GsmPage(
                serial_number=message.new_serial_number,
                message_identifier=message.message_identifier,
                dcs=message.dcs or 0,
                number=number,
                total=len(message.pages),
                page=Page(content.octets, content.used_octets),
            )
        )
        for number, content in enumerate(message.pages, start=1)
    )
    return Stored(pages, period * cbsp.SLOT_S, message.number_of_broadcasts or None, now_s)


def _load_of(cell: Cell) -> int:
    """Give how full a channel is, in per cent of its slots."""
    slots = sum(len(text.pages) * cbsp.SLOT_S / text.period_s for text in cell.texts.values())
    return min(100, round(slots * 100))
