"""Breaks octets on purpose, one fault at a time."""

from collections.abc import Callable, Mapping
from struct import Struct

from cbgateway.codec import smpp

HEADER_OCTETS = 16
UNKNOWN_COMMAND = 0x0000FACE
GARBAGE = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"
"""Read as a PDU this has a command_length of 0x48545450."""
LONG_ID = b"9" * 65
SEQUENCE_STEP = 0x01000000
"""Added to a sequence number to get one that nobody used."""
_U32 = Struct(">I")
_U32_X4 = Struct(">IIII")


def with_length(octets: bytes, length: int) -> bytes:
    """Give a PDU that says it has another length."""
    return _U32.pack(length) + octets[4:]


def with_sequence(octets: bytes, number: int) -> bytes:
    """Give a PDU with another sequence number."""
    return octets[:12] + _U32.pack(number) + octets[HEADER_OCTETS:]


def with_body(octets: bytes, body: bytes) -> bytes:
    """Give a PDU with another body."""
    return with_length(octets[:HEADER_OCTETS] + body, HEADER_OCTETS + len(body))


def sequence_of(octets: bytes) -> int:
    """Give a PDU's sequence number."""
    return int.from_bytes(octets[12:HEADER_OCTETS], "big")


def header(command: int, number: int, *, status: int = 0) -> bytes:
    """Give a PDU without a body."""
    return _U32_X4.pack(HEADER_OCTETS, command, status, number)


Change = Callable[[bytes, bytes], bytes]
"""Makes what is sent from an answer and the answer before it."""


def _body(change: Callable[[bytes], bytes]) -> Change:
    return lambda octets, _before: with_body(octets, change(octets[HEADER_OCTETS:]))


def _length(length: int) -> Change:
    return lambda octets, _before: with_length(octets, length)


def _in_front(command: int) -> Change:
    return lambda octets, _before: header(command, sequence_of(octets)) + octets


_CHANGES: Mapping[str, Change] = {
    "length-15": _length(15),
    "length-64k": _length(65_536),
    "length-4g": _length(0xFFFFFFFF),
    "length-short": lambda octets, _before: with_length(octets, len(octets) - 1),
    "answer-twice": lambda octets, _before: octets + octets,
    "wrong-sequence": lambda octets, _before: with_sequence(
        octets, (sequence_of(octets) + SEQUENCE_STEP) & 0x7FFFFFFF or 1
    ),
    "repeat-sequence": lambda octets, before: with_sequence(octets, sequence_of(before)),
    "zero-sequence": lambda octets, _before: with_sequence(octets, 0),
    "wrong-command": lambda octets, _before: header(
        smpp.CommandId.CANCEL_SM_RESP, sequence_of(octets)
    ),
    "unknown-command": _in_front(UNKNOWN_COMMAND),
    "unasked-answer": _in_front(smpp.CommandId.ENQUIRE_LINK_RESP),
    "garbage": lambda _octets, _before: GARBAGE,
    "header-only": _body(lambda _body: b""),
    "no-message-id": _body(lambda _body: b"\0"),
    "same-message-id": lambda octets, before: with_body(octets, before[HEADER_OCTETS:]),
    "long-message-id": _body(lambda _body: LONG_ID + b"\0"),
    "no-nul": _body(lambda body: body.rstrip(b"\0")),
    "tlv-overrun": _body(lambda body: body + b"\x04\x27\xff\xff\x02"),
    "tlv-unknown": _body(lambda body: body + b"\x14\x00\x00\x02\x01\x02"),
}


def broken(name: str, octets: bytes, before: bytes) -> bytes | None:
    """Give what is sent in place of an answer.

    Args:
        name: of the fault.
        octets: the answer.
        before: the answer before it; empty when there was none.

    Returns:
        None when the fault is none of octets.
    """
    change = _CHANGES.get(name)
    return None if change is None else change(octets, before or octets)
