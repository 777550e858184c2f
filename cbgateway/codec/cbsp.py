"""CBSP: the protocol of a cell broadcast centre with base station controllers (TS 48.049).

Whatever octets come, they give a `Message`, or an `Unparsed` that says which octet is wrong. Every
message says how long it is, so one that cannot be read costs that message only; a length that
cannot be believed costs the connection. An element whose number is not known makes its message
unreadable, because most elements do not say where they end.
"""

from dataclasses import dataclass
from typing import Any

from cbgateway.codec.cbsp_constants import (
    CONTENT_OCTETS,
    KEEP_ALIVE_S_MAX,
    NUMBER_OF_BROADCASTS_MAX,
    PAGES_MAX,
    PERIOD_S,
    PERIOD_SLOTS_MAX,
    SECURITY_OCTETS,
    SLOT_S,
    UNTIL_STOPPED,
    BroadcastMessageType,
    Category,
    Cause,
    Channel,
    CountInfo,
    Discriminator,
    ElementId,
    MessageType,
    Recovery,
    cause_name,
    period_code,
)
from cbgateway.codec.cbsp_elements import (
    CLAUSE,
    LIST_OCTETS_MAX,
    RULES,
    WHOLE_BSS,
    CbspError,
    Cell,
    CellList,
    Completed,
    Content,
    EntryList,
    Failed,
    Load,
)
from cbgateway.codec.cbsp_messages import (
    DCS_SLOT,
    EMERGENCY_SLOTS,
    MESSAGES,
    TEXT_SLOTS,
    ErrorIndication,
    Failure,
    KeepAlive,
    KeepAliveComplete,
    Kill,
    KillComplete,
    KillFailure,
    LoadQuery,
    LoadQueryComplete,
    LoadQueryFailure,
    Message,
    MessageStatusQuery,
    MessageStatusQueryComplete,
    MessageStatusQueryFailure,
    Reset,
    ResetComplete,
    ResetFailure,
    Restart,
    SetDrx,
    SetDrxComplete,
    SetDrxFailure,
    Slot,
    WriteReplace,
    WriteReplaceComplete,
    WriteReplaceFailure,
)
from cbgateway.domain.errors import EncodeError

__all__ = [
    "CONTENT_OCTETS",
    "HEADER_OCTETS",
    "KEEP_ALIVE_S_MAX",
    "MESSAGES",
    "MESSAGE_OCTETS_MAX",
    "NUMBER_OF_BROADCASTS_MAX",
    "PAGES_MAX",
    "PERIOD_S",
    "PERIOD_SLOTS_MAX",
    "PORT",
    "SECURITY_OCTETS",
    "SLOT_S",
    "UNTIL_STOPPED",
    "WHOLE_BSS",
    "BroadcastMessageType",
    "Category",
    "Cause",
    "CbspError",
    "Cell",
    "CellList",
    "Channel",
    "Completed",
    "Content",
    "CountInfo",
    "Discriminator",
    "ElementId",
    "EntryList",
    "ErrorIndication",
    "Failed",
    "Failure",
    "Framer",
    "KeepAlive",
    "KeepAliveComplete",
    "Kill",
    "KillComplete",
    "KillFailure",
    "Load",
    "LoadQuery",
    "LoadQueryComplete",
    "LoadQueryFailure",
    "Message",
    "MessageStatusQuery",
    "MessageStatusQueryComplete",
    "MessageStatusQueryFailure",
    "MessageType",
    "Recovery",
    "Reset",
    "ResetComplete",
    "ResetFailure",
    "Restart",
    "SetDrx",
    "SetDrxComplete",
    "SetDrxFailure",
    "Unparsed",
    "WriteReplace",
    "WriteReplaceComplete",
    "WriteReplaceFailure",
    "cause_name",
    "decode",
    "encode",
    "period_code",
]

PORT = 48049
HEADER_OCTETS = 4
MESSAGE_OCTETS_MAX = 4 * (LIST_OCTETS_MAX + 3)
"""More than any message has: three full lists, fifteen pages and the rest."""


@dataclass(frozen=True, slots=True)
class Unparsed:
    """A message that cannot be read.

    Attributes:
        message_type: what its first octet says.
    """

    message_type: int
    error: CbspError


def encode(message: Message) -> bytes:
    """Write a message, its elements in the order of the specification.

    Raises:
        EncodeError: a value does not fit its element, or an element is missing or too much.

    Spec: TS 48.049 8.1.
    """
    parts = [_write(slot, getattr(message, slot.field)) for slot in message.LAYOUT]
    if isinstance(message, WriteReplace):
        parts += _write_kind(message)
    body = b"".join(parts)
    return bytes([message.TYPE]) + len(body).to_bytes(3, "big") + body


def decode(octets: bytes) -> Message:
    """Read exactly one message; elements may stand in any order.

    Raises:
        CbspError: the octets break the specification; says where.

    Spec: TS 48.049 8.1.
    """
    if len(octets) < HEADER_OCTETS:
        raise CbspError("ends within its header", field="Header", offset=len(octets))
    length = int.from_bytes(octets[1:HEADER_OCTETS], "big")
    if length != len(octets) - HEADER_OCTETS:
        problem = f"{length} octets are announced, {len(octets) - HEADER_OCTETS} are there"
        raise CbspError(problem, field="Length", offset=1)
    if octets[0] not in MESSAGES:
        raise CbspError(
            f"{octets[0]:#04x} is no message type",
            field="Message Type",
            offset=0,
            cause=Cause.UNRECOGNISED_MESSAGE,
        )
    elements, pages = _read_elements(octets)
    message_class = MESSAGES[MessageType(octets[0])]
    slots = message_class.LAYOUT
    values: dict[str, Any] = {}
    if message_class is WriteReplace:
        slots, values = _read_kind(elements, pages, len(octets))
    for slot in slots:
        if slot.element in elements:
            values[slot.field] = elements[slot.element]
        elif slot.is_mandatory:
            raise _missing(slot.element, len(octets))
    return message_class(**values)


class Framer:
    """Cuts a stream of octets into messages; the pieces they come in make no difference."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._buffer = bytearray()
        self._is_lost = False

    def receive(self, octets: bytes) -> list[Message | Unparsed]:
        """Take octets; gives what is whole now.

        After an `Unparsed` whose error has `framing_lost`, nothing more is read.
        """
        if self._is_lost:
            return []
        self._buffer += octets
        items: list[Message | Unparsed] = []
        start = 0
        while len(self._buffer) - start >= HEADER_OCTETS:
            length = int.from_bytes(self._buffer[start + 1 : start + HEADER_OCTETS], "big")
            end = start + HEADER_OCTETS + length
            if end - start > MESSAGE_OCTETS_MAX:
                self._is_lost = True
                problem = f"{length} octets are announced, at most {MESSAGE_OCTETS_MAX} are read"
                error = CbspError(problem, field="Length", offset=1, framing_lost=True)
                items.append(Unparsed(self._buffer[start], error))
                break
            if end > len(self._buffer):
                break
            items.append(_item(bytes(self._buffer[start:end])))
            start = end
        del self._buffer[:start]
        return items

    @property
    def is_incomplete(self) -> bool:
        """Tell whether the beginning of a message waits for its end."""
        return bool(self._buffer) and not self._is_lost


def _item(octets: bytes) -> Message | Unparsed:
    try:
        return decode(octets)
    except CbspError as error:
        return Unparsed(octets[0], error)


def _write(slot: Slot, value: object) -> bytes:
    """Write one element; nothing when it may be left out, and is."""
    if value is None:
        if slot.is_mandatory:
            raise EncodeError("is missing", field=slot.element.title, clause=CLAUSE)
        return b""
    rule = RULES[slot.element]
    try:
        octets = rule.write(value)
    except ValueError as error:
        raise EncodeError(str(error), field=slot.element.title, clause=CLAUSE) from error
    if rule.octets is not None:
        return bytes([slot.element]) + octets
    if len(octets) > LIST_OCTETS_MAX:
        problem = f"{len(octets)} octets, at most {LIST_OCTETS_MAX}"
        raise EncodeError(problem, field=slot.element.title, clause=CLAUSE)
    return bytes([slot.element]) + len(octets).to_bytes(2, "big") + octets


_PAGES_SLOT = Slot("", ElementId.NUMBER_OF_PAGES)
_CONTENT_SLOT = Slot("", ElementId.MESSAGE_CONTENT)


def _write_kind(message: WriteReplace) -> list[bytes]:
    """Write what a text has, or what an emergency has."""
    if (message.channel is None) == (message.emergency_indicator is None):
        problem = "a message has either this or an Emergency indicator"
        raise EncodeError(problem, field=ElementId.CHANNEL_INDICATOR.title, clause=CLAUSE)
    if message.channel is None:
        return [_write(slot, getattr(message, slot.field)) for slot in EMERGENCY_SLOTS]
    if not message.pages:
        raise EncodeError("is missing", field=ElementId.MESSAGE_CONTENT.title, clause=CLAUSE)
    return [
        *(_write(slot, getattr(message, slot.field)) for slot in TEXT_SLOTS),
        _write(_PAGES_SLOT, len(message.pages)),
        _write(DCS_SLOT, message.dcs),
        *(_write(_CONTENT_SLOT, page) for page in message.pages),
    ]


def _read_elements(octets: bytes) -> tuple[dict[ElementId, Any], list[Content]]:
    """Read every element, each once save for pages."""
    elements: dict[ElementId, Any] = {}
    pages: list[Content] = []
    at = HEADER_OCTETS
    while at < len(octets):
        try:
            element = ElementId(octets[at])
        except ValueError:
            raise CbspError(
                f"{octets[at]:#04x} is no element",
                field="Element Identifier",
                offset=at,
                cause=Cause.PARAMETER_NOT_RECOGNISED,
            ) from None
        value, end = _read_element(element, octets, at)
        if element is ElementId.MESSAGE_CONTENT:
            pages.append(value)
        elif element in elements:
            raise CbspError("stands there twice", field=element.title, offset=at)
        else:
            elements[element] = value
        at = end
    return elements, pages


def _read_element(element: ElementId, octets: bytes, at: int) -> tuple[Any, int]:
    """Read one element; gives its value and where it ends."""
    rule = RULES[element]
    begin = at + 1
    length = rule.octets
    if length is None:
        length = int.from_bytes(octets[begin : begin + 2], "big")
        begin += 2
    end = begin + length
    if end > len(octets):
        raise CbspError("ends behind its message", field=element.title, offset=at)
    try:
        return rule.read(octets[begin:end]), end
    except ValueError as error:
        raise CbspError(str(error), field=element.title, offset=begin) from error


def _read_kind(
    elements: dict[ElementId, Any], pages: list[Content], offset: int
) -> tuple[tuple[Slot, ...], dict[str, Any]]:
    """Find out whether a message is a text or an emergency; gives its slots, and its pages."""
    is_text = ElementId.CHANNEL_INDICATOR in elements
    if is_text == (ElementId.EMERGENCY_INDICATOR in elements):
        if not is_text:
            raise _missing(ElementId.CHANNEL_INDICATOR, offset)
        problem = "stands there beside an Emergency indicator"
        raise CbspError(problem, field=ElementId.CHANNEL_INDICATOR.title, offset=offset)
    if not is_text:
        return (*WriteReplace.LAYOUT, *EMERGENCY_SLOTS), {}
    count = elements.get(ElementId.NUMBER_OF_PAGES)
    if count is None:
        raise _missing(ElementId.NUMBER_OF_PAGES, offset)
    if not count or count != len(pages):
        problem = f"{count} pages are announced, {len(pages)} are there"
        raise CbspError(problem, field=ElementId.NUMBER_OF_PAGES.title, offset=offset)
    return (*WriteReplace.LAYOUT, *TEXT_SLOTS, DCS_SLOT), {"pages": tuple(pages)}


def _missing(element: ElementId, offset: int) -> CbspError:
    return CbspError(
        "is missing", field=element.title, offset=offset, cause=Cause.MISSING_MANDATORY_ELEMENT
    )
