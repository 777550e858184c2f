"""Messages of CBSP: which elements each has, in the order of sending (TS 48.049 8.1)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from cbgateway.codec.cbsp_constants import Channel, ElementId, MessageType, Recovery
from cbgateway.codec.cbsp_elements import WHOLE_BSS, CellList, Content, EntryList, Failed

_ID = ElementId


@dataclass(frozen=True, slots=True)
class Slot:
    """Where an element stands in a message.

    Attributes:
        field: attribute of the message.
        element: which element holds it.
        is_mandatory: whether a message without it is refused.
    """

    field: str
    element: ElementId
    is_mandatory: bool = True


def _m(field: str, element: ElementId) -> Slot:
    return Slot(field, element)


def _o(field: str, element: ElementId) -> Slot:
    return Slot(field, element, is_mandatory=False)


_IDENTIFIER = _m("message_identifier", _ID.MESSAGE_IDENTIFIER)
_NEW = _m("new_serial_number", _ID.NEW_SERIAL_NUMBER)
_OLD = _m("old_serial_number", _ID.OLD_SERIAL_NUMBER)
_OLD_IF = _o("old_serial_number", _ID.OLD_SERIAL_NUMBER)
_CELLS = _m("cells", _ID.CELL_LIST)
_CELLS_IF = _o("cells", _ID.CELL_LIST)
_CHANNEL = _m("channel", _ID.CHANNEL_INDICATOR)
_CHANNEL_IF = _o("channel", _ID.CHANNEL_INDICATOR)
_COMPLETED = _m("completed", _ID.NUMBER_OF_BROADCASTS_COMPLETED_LIST)
_COMPLETED_IF = _o("completed", _ID.NUMBER_OF_BROADCASTS_COMPLETED_LIST)
_FAILURES = _m("failures", _ID.FAILURE_LIST)
_LOADS = _m("loads", _ID.RADIO_RESOURCE_LOADING_LIST)
_LOADS_IF = _o("loads", _ID.RADIO_RESOURCE_LOADING_LIST)
_BROADCAST_TYPE = _m("broadcast_type", _ID.BROADCAST_MESSAGE_TYPE)


@dataclass(frozen=True, slots=True)
class WriteReplace:
    """Broadcast a text, or an emergency, in place of an older version if one is named.

    With `channel` it is a text, with `emergency_indicator` an emergency; never both.

    Attributes:
        channel: 0 basic, 1 extended.
        repetition_period: in slots of 1.883 s.
        number_of_broadcasts: 0 for until killed.
        pages: 1 to 15.
        warning_period: coded; 0 for until stopped.
    """

    TYPE: ClassVar = MessageType.WRITE_REPLACE
    LAYOUT: ClassVar = (_IDENTIFIER, _NEW, _OLD_IF, _CELLS)
    message_identifier: int
    new_serial_number: int
    cells: CellList
    old_serial_number: int | None = None
    channel: int | None = None
    category: int | None = None
    repetition_period: int | None = None
    number_of_broadcasts: int | None = None
    dcs: int | None = None
    pages: tuple[Content, ...] = ()
    emergency_indicator: int | None = None
    warning_type: int | None = None
    warning_security: bytes | None = None
    warning_period: int | None = None


TEXT_SLOTS = (
    _CHANNEL,
    _m("category", _ID.CATEGORY),
    _m("repetition_period", _ID.REPETITION_PERIOD),
    _m("number_of_broadcasts", _ID.NUMBER_OF_BROADCASTS_REQUESTED),
)
"""What a text has between the cells and the number of pages."""
EMERGENCY_SLOTS = (
    _m("emergency_indicator", _ID.EMERGENCY_INDICATOR),
    _m("warning_type", _ID.WARNING_TYPE),
    _m("warning_security", _ID.WARNING_SECURITY_INFORMATION),
    _m("warning_period", _ID.WARNING_PERIOD),
)
DCS_SLOT = _m("dcs", _ID.DATA_CODING_SCHEME)


@dataclass(frozen=True, slots=True)
class WriteReplaceComplete:
    """All cells took it."""

    TYPE: ClassVar = MessageType.WRITE_REPLACE_COMPLETE
    LAYOUT: ClassVar = (_IDENTIFIER, _NEW, _OLD_IF, _COMPLETED_IF, _CELLS_IF, _CHANNEL_IF)
    message_identifier: int
    new_serial_number: int
    old_serial_number: int | None = None
    completed: EntryList | None = None
    cells: CellList | None = None
    channel: int | None = None


@dataclass(frozen=True, slots=True)
class WriteReplaceFailure:
    """Some cells did not take it; `cells` are those that did."""

    TYPE: ClassVar = MessageType.WRITE_REPLACE_FAILURE
    LAYOUT: ClassVar = (
        _IDENTIFIER,
        _NEW,
        _OLD_IF,
        _FAILURES,
        _COMPLETED_IF,
        _CELLS_IF,
        _CHANNEL_IF,
    )
    message_identifier: int
    new_serial_number: int
    failures: tuple[Failed, ...]
    old_serial_number: int | None = None
    completed: EntryList | None = None
    cells: CellList | None = None
    channel: int | None = None


@dataclass(frozen=True, slots=True)
class Kill:
    """Take a broadcast off the air; without `channel` it is an emergency."""

    TYPE: ClassVar = MessageType.KILL
    LAYOUT: ClassVar = (_IDENTIFIER, _OLD, _CELLS, _CHANNEL_IF)
    message_identifier: int
    old_serial_number: int
    cells: CellList
    channel: int | None = None


@dataclass(frozen=True, slots=True)
class KillComplete:
    """It is off the air."""

    TYPE: ClassVar = MessageType.KILL_COMPLETE
    LAYOUT: ClassVar = (_IDENTIFIER, _OLD, _COMPLETED_IF, _CELLS_IF, _CHANNEL_IF)
    message_identifier: int
    old_serial_number: int
    completed: EntryList | None = None
    cells: CellList | None = None
    channel: int | None = None


@dataclass(frozen=True, slots=True)
class KillFailure:
    """Some cells did not have it."""

    TYPE: ClassVar = MessageType.KILL_FAILURE
    LAYOUT: ClassVar = (_IDENTIFIER, _OLD, _FAILURES, _COMPLETED_IF, _CELLS_IF, _CHANNEL_IF)
    message_identifier: int
    old_serial_number: int
    failures: tuple[Failed, ...]
    completed: EntryList | None = None
    cells: CellList | None = None
    channel: int | None = None


@dataclass(frozen=True, slots=True)
class LoadQuery:
    """How full are the channels?"""

    TYPE: ClassVar = MessageType.LOAD_QUERY
    LAYOUT: ClassVar = (_CELLS, _CHANNEL)
    cells: CellList
    channel: int = Channel.BASIC


@dataclass(frozen=True, slots=True)
class LoadQueryComplete:
    """So full."""

    TYPE: ClassVar = MessageType.LOAD_QUERY_COMPLETE
    LAYOUT: ClassVar = (_LOADS, _CHANNEL)
    loads: EntryList
    channel: int = Channel.BASIC


@dataclass(frozen=True, slots=True)
class LoadQueryFailure:
    """Some cells are not known."""

    TYPE: ClassVar = MessageType.LOAD_QUERY_FAILURE
    LAYOUT: ClassVar = (_FAILURES, _CHANNEL, _LOADS_IF)
    failures: tuple[Failed, ...]
    channel: int = Channel.BASIC
    loads: EntryList | None = None


@dataclass(frozen=True, slots=True)
class MessageStatusQuery:
    """How often has it gone out?"""

    TYPE: ClassVar = MessageType.MESSAGE_STATUS_QUERY
    LAYOUT: ClassVar = (_IDENTIFIER, _OLD, _CELLS, _CHANNEL)
    message_identifier: int
    old_serial_number: int
    cells: CellList
    channel: int = Channel.BASIC


@dataclass(frozen=True, slots=True)
class MessageStatusQueryComplete:
    """So often."""

    TYPE: ClassVar = MessageType.MESSAGE_STATUS_QUERY_COMPLETE
    LAYOUT: ClassVar = (_IDENTIFIER, _OLD, _COMPLETED, _CHANNEL)
    message_identifier: int
    old_serial_number: int
    completed: EntryList
    channel: int = Channel.BASIC


@dataclass(frozen=True, slots=True)
class MessageStatusQueryFailure:
    """Some cells do not have it."""

    TYPE: ClassVar = MessageType.MESSAGE_STATUS_QUERY_FAILURE
    LAYOUT: ClassVar = (_IDENTIFIER, _OLD, _FAILURES, _CHANNEL, _COMPLETED_IF)
    message_identifier: int
    old_serial_number: int
    failures: tuple[Failed, ...]
    channel: int = Channel.BASIC
    completed: EntryList | None = None


@dataclass(frozen=True, slots=True)
class SetDrx:
    """Send a schedule, so that phones may sleep in between."""

    TYPE: ClassVar = MessageType.SET_DRX
    LAYOUT: ClassVar = (
        _CELLS,
        _CHANNEL,
        _o("schedule_period", _ID.SCHEDULE_PERIOD),
        _o("reserved_slots", _ID.NUMBER_OF_RESERVED_SLOTS),
    )
    cells: CellList
    channel: int = Channel.BASIC
    schedule_period: int | None = None
    reserved_slots: int | None = None


@dataclass(frozen=True, slots=True)
class SetDrxComplete:
    """The schedule is as asked."""

    TYPE: ClassVar = MessageType.SET_DRX_COMPLETE
    LAYOUT: ClassVar = (_CELLS, _CHANNEL)
    cells: CellList
    channel: int = Channel.BASIC


@dataclass(frozen=True, slots=True)
class SetDrxFailure:
    """Some cells cannot do that."""

    TYPE: ClassVar = MessageType.SET_DRX_FAILURE
    LAYOUT: ClassVar = (_FAILURES, _CHANNEL, _CELLS_IF)
    failures: tuple[Failed, ...]
    channel: int = Channel.BASIC
    cells: CellList | None = None


@dataclass(frozen=True, slots=True)
class Reset:
    """Forget everything. This gateway never sends it."""

    TYPE: ClassVar = MessageType.RESET
    LAYOUT: ClassVar = (_CELLS,)
    cells: CellList = WHOLE_BSS


@dataclass(frozen=True, slots=True)
class ResetComplete:
    """Everything is forgotten."""

    TYPE: ClassVar = MessageType.RESET_COMPLETE
    LAYOUT: ClassVar = (_CELLS,)
    cells: CellList = WHOLE_BSS


@dataclass(frozen=True, slots=True)
class ResetFailure:
    """Some cells are not known."""

    TYPE: ClassVar = MessageType.RESET_FAILURE
    LAYOUT: ClassVar = (_FAILURES, _CELLS_IF)
    failures: tuple[Failed, ...]
    cells: CellList | None = None


@dataclass(frozen=True, slots=True)
class Restart:
    """Cells can broadcast again."""

    TYPE: ClassVar = MessageType.RESTART
    LAYOUT: ClassVar = (
        _CELLS,
        _BROADCAST_TYPE,
        _m("recovery", _ID.RECOVERY_INDICATION),
    )
    cells: CellList
    broadcast_type: int
    recovery: int = Recovery.DATA_LOST


@dataclass(frozen=True, slots=True)
class Failure:
    """Cells cannot broadcast any more."""

    TYPE: ClassVar = MessageType.FAILURE
    LAYOUT: ClassVar = (_FAILURES, _BROADCAST_TYPE)
    failures: tuple[Failed, ...]
    broadcast_type: int


@dataclass(frozen=True, slots=True)
class ErrorIndication:
    """The other side broke the protocol."""

    TYPE: ClassVar = MessageType.ERROR_INDICATION
    LAYOUT: ClassVar = (
        _m("cause", _ID.CAUSE),
        _o("message_identifier", _ID.MESSAGE_IDENTIFIER),
        _o("new_serial_number", _ID.NEW_SERIAL_NUMBER),
        _OLD_IF,
        _CHANNEL_IF,
    )
    cause: int
    message_identifier: int | None = None
    new_serial_number: int | None = None
    old_serial_number: int | None = None
    channel: int | None = None


@dataclass(frozen=True, slots=True)
class KeepAlive:
    """Are you there?

    Attributes:
        period: coded; when the next one comes.
    """

    TYPE: ClassVar = MessageType.KEEP_ALIVE
    LAYOUT: ClassVar = (_m("period", _ID.KEEP_ALIVE_REPETITION_PERIOD),)
    period: int


@dataclass(frozen=True, slots=True)
class KeepAliveComplete:
    """Yes."""

    TYPE: ClassVar = MessageType.KEEP_ALIVE_COMPLETE
    LAYOUT: ClassVar[tuple[Slot, ...]] = ()


Message = (
    WriteReplace
    | WriteReplaceComplete
    | WriteReplaceFailure
    | Kill
    | KillComplete
    | KillFailure
    | LoadQuery
    | LoadQueryComplete
    | LoadQueryFailure
    | MessageStatusQuery
    | MessageStatusQueryComplete
    | MessageStatusQueryFailure
    | SetDrx
    | SetDrxComplete
    | SetDrxFailure
    | Reset
    | ResetComplete
    | ResetFailure
    | Restart
    | Failure
    | ErrorIndication
    | KeepAlive
    | KeepAliveComplete
)

MESSAGES: Mapping[MessageType, type[Message]] = {
    one.TYPE: one
    for one in (
        WriteReplace,
        WriteReplaceComplete,
        WriteReplaceFailure,
        Kill,
        KillComplete,
        KillFailure,
        LoadQuery,
        LoadQueryComplete,
        LoadQueryFailure,
        MessageStatusQuery,
        MessageStatusQueryComplete,
        MessageStatusQueryFailure,
        SetDrx,
        SetDrxComplete,
        SetDrxFailure,
        Reset,
        ResetComplete,
        ResetFailure,
        Restart,
        Failure,
        ErrorIndication,
        KeepAlive,
        KeepAliveComplete,
    )
}
