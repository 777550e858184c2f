"""Information elements of CBSP: octets to values and back (TS 48.049 8.2)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from cbgateway.codec.cbsp_constants import (
    CONTENT_OCTETS,
    PAGES_MAX,
    PERIOD_SLOTS_MAX,
    SECURITY_OCTETS,
    Cause,
    CountInfo,
    Discriminator,
    ElementId,
)
from cbgateway.codec.cells import ALL_CELLS, AllCells, Cgi, Ci, Lac, LacCi, Lai
from cbgateway.domain.errors import DecodeError

CLAUSE = "TS 48.049 8.2"
LIST_OCTETS_MAX = 0xFFFF
SPARE_NIBBLE = 0x0F

Cell = Cgi | LacCi | Ci | Lai | Lac | AllCells
"""What an entry of a list names."""

_KINDS: Mapping[int, type[Cell]] = {
    Discriminator.CGI: Cgi,
    Discriminator.LAC_CI: LacCi,
    Discriminator.CI: Ci,
    Discriminator.LAI: Lai,
    Discriminator.LAC: Lac,
    Discriminator.ALL_CELLS: AllCells,
}
_DISCRIMINATORS: Mapping[type[Cell], Discriminator] = {
    kind: Discriminator(value) for value, kind in _KINDS.items()
}

V = TypeVar("V")


class CbspError(DecodeError):
    """A message breaks the specification.

    Attributes:
        cause: what an ERROR INDICATION about it says (TS 48.049 8.2.13).
    """

    def __init__(
        self,
        problem: str,
        *,
        field: str,
        offset: int,
        cause: Cause = Cause.PARAMETER_VALUE_INVALID,
        framing_lost: bool = False,
    ) -> None:
        super().__init__(
            problem, field=field, offset=offset, clause=CLAUSE, framing_lost=framing_lost
        )
        self.cause = cause


@dataclass(frozen=True, slots=True)
class Content:
    """One page as it travels to a base station controller.

    Attributes:
        octets: always 82.
        used_octets: how many of them are sent, 0 to 82.
    """

    octets: bytes
    used_octets: int


@dataclass(frozen=True, slots=True)
class CellList:
    """Cells of one kind (TS 48.049 8.2.6).

    Attributes:
        discriminator: what kind; a list may be empty and still say it.
        cells: all of that kind.
    """

    discriminator: Discriminator
    cells: tuple[Cell, ...] = ()

    @classmethod
    def of(cls, *cells: Cell) -> "CellList":
        """Make a list of at least one cell; they are all of one kind."""
        return cls(_DISCRIMINATORS[type(cells[0])], cells)


WHOLE_BSS = CellList.of(ALL_CELLS)


@dataclass(frozen=True, slots=True)
class Completed:
    """How often a message went out in a cell (TS 48.049 8.2.10).

    Attributes:
        count: 0 to 65535.
        info: whether the count can be believed.
    """

    cell: Cell
    count: int
    info: CountInfo = CountInfo.VALID


@dataclass(frozen=True, slots=True)
class Load:
    """How full a cell's broadcast channel is, in per cent (TS 48.049 8.2.12)."""

    cell: Cell
    load_1: int
    load_2: int


@dataclass(frozen=True, slots=True)
class Failed:
    """A cell, and why something was not done there (TS 48.049 8.2.11).

    Attributes:
        cause: 0 to 255; `cause_name` tells what it says.
    """

    cell: Cell
    cause: int


@dataclass(frozen=True, slots=True)
class EntryList:
    """Entries about cells of one kind; `entries` are all `Completed`, or all `Load`."""

    discriminator: Discriminator
    entries: tuple[Any, ...] = ()

    @classmethod
    def of(cls, *entries: Any) -> "EntryList":  # noqa: ANN401 - Completed or Load
        """Make a list of at least one entry; their cells are all of one kind."""
        return cls(_DISCRIMINATORS[type(entries[0].cell)], entries)


@dataclass(frozen=True, slots=True)
class ElementRule:
    """How one element is read and written.

    Attributes:
        octets: of its value; None for a list, which has a length of its own.
        read: value of exactly those octets; raises ValueError.
        write: octets of a value; raises ValueError.
    """

    octets: int | None
    read: Callable[[bytes], Any]
    write: Callable[[Any], bytes]


def _integer(octets: int, *, value_max: int | None = None, mask: int | None = None) -> ElementRule:
    """Make the rule of a number; `mask` takes spare bits away that a peer may have set."""
    most = (1 << 8 * octets) - 1 if value_max is None else value_max

    def read(value: bytes) -> int:
        number = int.from_bytes(value, "big")
        if mask is not None:
            number &= mask
        if number > most:
            msg = f"{number} is not in 0..{most}"
            raise ValueError(msg)
        return number

    def write(number: int) -> bytes:
        if not 0 <= number <= most:
            msg = f"{number} is not in 0..{most}"
            raise ValueError(msg)
        return number.to_bytes(octets, "big")

    return ElementRule(octets, read, write)


def _read_content(value: bytes) -> Content:
    used_octets = value[0]
    if used_octets > CONTENT_OCTETS:
        msg = f"useful length {used_octets} is not in 0..{CONTENT_OCTETS}"
        raise ValueError(msg)
    return Content(value[1:], used_octets)


def _write_content(content: Content) -> bytes:
    if len(content.octets) != CONTENT_OCTETS or not 0 <= content.used_octets <= CONTENT_OCTETS:
        msg = f"a page has {CONTENT_OCTETS} octets, of which 0..{CONTENT_OCTETS} are used"
        raise ValueError(msg)
    return bytes([content.used_octets]) + content.octets


def _write_fixed(octets: int) -> Callable[[bytes], bytes]:
    def write(value: bytes) -> bytes:
        if len(value) != octets:
            msg = f"{octets} octets are needed, not {len(value)}"
            raise ValueError(msg)
        return value

    return write


def _discriminator(octets: bytes) -> Discriminator:
    if not octets:
        msg = "there is no discriminator"
        raise ValueError(msg)
    return Discriminator(octets[0] & SPARE_NIBBLE)


def _read_entries(
    octets: bytes, extra_octets: int, make: Callable[[Cell, bytes], V]
) -> tuple[Discriminator, tuple[V, ...]]:
    """Read entries of one kind; those of no size are at most one, so that this ends."""
    discriminator = _discriminator(octets)
    rest = octets[1:]
    kind = _KINDS.get(discriminator)
    if kind is None:  # no cell: the list is empty
        if rest:
            msg = f"{len(rest)} octets after a discriminator without entries"
            raise ValueError(msg)
        return discriminator, ()
    size = kind.OCTETS + extra_octets
    if size == 0:
        if rest:
            msg = f"{len(rest)} octets after the discriminator for all cells"
            raise ValueError(msg)
        return discriminator, (make(ALL_CELLS, b""),)
    if len(rest) % size:
        msg = f"{len(rest)} octets are no multiple of {size}"
        raise ValueError(msg)
    entries = tuple(
        make(kind.decode(rest[at : at + kind.OCTETS]), rest[at + kind.OCTETS : at + size])
        for at in range(0, len(rest), size)
    )
    return discriminator, entries


def _write_entries(discriminator: Discriminator, entries: tuple[tuple[Cell, bytes], ...]) -> bytes:
    kind = _KINDS.get(discriminator)
    if any(type(cell) is not kind for cell, _ in entries):
        msg = f"every entry of this list has to be of the kind {discriminator.name}"
        raise ValueError(msg)
    if kind is AllCells and len(entries) > 1:
        msg = "all cells stand in a list once"
        raise ValueError(msg)
    return bytes([discriminator]) + b"".join(cell.encode() + extra for cell, extra in entries)


def _read_cells(octets: bytes) -> CellList:
    discriminator, cells = _read_entries(octets, 0, lambda cell, _: cell)
    return CellList(discriminator, cells)


def _write_cells(value: CellList) -> bytes:
    return _write_entries(value.discriminator, tuple((cell, b"") for cell in value.cells))


def _completed(cell: Cell, extra: bytes) -> Completed:
    info = CountInfo(extra[2] & SPARE_NIBBLE)
    return Completed(cell, int.from_bytes(extra[:2], "big"), info)


def _read_completed(octets: bytes) -> EntryList:
    return EntryList(*_read_entries(octets, 3, _completed))


def _write_completed(value: EntryList) -> bytes:
    return _write_entries(
        value.discriminator,
        tuple(
            (entry.cell, _OCTETS_2.write(entry.count) + bytes([entry.info]))
            for entry in value.entries
        ),
    )


def _read_loads(octets: bytes) -> EntryList:
    return EntryList(*_read_entries(octets, 2, lambda cell, extra: Load(cell, *extra)))


def _write_loads(value: EntryList) -> bytes:
    return _write_entries(
        value.discriminator,
        tuple(
            (entry.cell, _OCTET.write(entry.load_1) + _OCTET.write(entry.load_2))
            for entry in value.entries
        ),
    )


def _read_failures(octets: bytes) -> tuple[Failed, ...]:
    """Read entries that each say what kind they are; every one has two octets at least."""
    failures = []
    at = 0
    while at < len(octets):
        discriminator = _discriminator(octets[at : at + 1])
        kind = _KINDS.get(discriminator)
        if kind is None:
            msg = f"discriminator {discriminator} names no cell"
            raise ValueError(msg)
        end = at + 1 + kind.OCTETS
        if end >= len(octets):
            msg = f"the entry at octet {at} ends early"
            raise ValueError(msg)
        failures.append(Failed(kind.decode(octets[at + 1 : end]), octets[end]))
        at = end + 1
    return tuple(failures)


def _write_failures(failures: tuple[Failed, ...]) -> bytes:
    return b"".join(
        bytes([_DISCRIMINATORS[type(one.cell)]]) + one.cell.encode() + _OCTET.write(one.cause)
        for one in failures
    )


_OCTET = _integer(1)
_OCTETS_2 = _integer(2)
_IDENTITY: Callable[[bytes], bytes] = bytes

RULES: Mapping[ElementId, ElementRule] = {
    ElementId.MESSAGE_CONTENT: ElementRule(CONTENT_OCTETS + 1, _read_content, _write_content),
    ElementId.OLD_SERIAL_NUMBER: _OCTETS_2,
    ElementId.NEW_SERIAL_NUMBER: _OCTETS_2,
    ElementId.CELL_LIST: ElementRule(None, _read_cells, _write_cells),
    ElementId.CATEGORY: _OCTET,
    ElementId.REPETITION_PERIOD: _integer(2, value_max=PERIOD_SLOTS_MAX, mask=PERIOD_SLOTS_MAX),
    ElementId.NUMBER_OF_BROADCASTS_REQUESTED: _OCTETS_2,
    ElementId.NUMBER_OF_BROADCASTS_COMPLETED_LIST: ElementRule(
        None, _read_completed, _write_completed
    ),
    ElementId.FAILURE_LIST: ElementRule(None, _read_failures, _write_failures),
    ElementId.RADIO_RESOURCE_LOADING_LIST: ElementRule(None, _read_loads, _write_loads),
    ElementId.CAUSE: _OCTET,
    ElementId.DATA_CODING_SCHEME: _OCTET,
    ElementId.RECOVERY_INDICATION: _OCTET,
    ElementId.MESSAGE_IDENTIFIER: _OCTETS_2,
    ElementId.EMERGENCY_INDICATOR: _OCTET,
    ElementId.WARNING_TYPE: _OCTETS_2,
    ElementId.WARNING_SECURITY_INFORMATION: ElementRule(
        SECURITY_OCTETS, _IDENTITY, _write_fixed(SECURITY_OCTETS)
    ),
    ElementId.CHANNEL_INDICATOR: _OCTET,
    ElementId.NUMBER_OF_PAGES: _integer(1, value_max=PAGES_MAX),
    ElementId.SCHEDULE_PERIOD: _OCTET,
    ElementId.NUMBER_OF_RESERVED_SLOTS: _OCTET,
    ElementId.BROADCAST_MESSAGE_TYPE: _OCTET,
    ElementId.WARNING_PERIOD: _OCTET,
    ElementId.KEEP_ALIVE_REPETITION_PERIOD: _OCTET,
}
