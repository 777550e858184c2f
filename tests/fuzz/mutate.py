"""Making bad inputs of sound ones: octets, SMPP streams, JSON documents and signatures."""

import json
import re
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from cbgateway.codec import smpp
from cbgateway.signing.canonical import decode_base64url, encode_base64url
from tests.fuzz.engine import Mutator

OCTETS_MAX = 4_096
"""Mutated inputs are cut to this; what is larger is made on purpose, once for each target."""
HEADER_OCTETS = 16

MAGIC = tuple(
    (value % (1 << 8 * size)).to_bytes(size, order)
    for size in (1, 2, 4)
    for value in (0, 1, -1, 1 << 8 * size - 1, (1 << 8 * size - 1) - 1, 0x7F, 0x80, 0x1B, 0xFE)
    for order in ("big", "little")
)
SEQUENCE_NUMBERS = (0, 1, 2, 3, 0x7FFFFFFE, 0x7FFFFFFF, 0x80000000, 0x80000002, 0xFFFFFFFF)
STATUSES = (0, 1, 2, 8, 0x0D, 0x58, 0x400, 0xFFFFFFFF)
TAGS = (*(int(tag) for tag in smpp.TlvTag), 0x1500, 0x1501, 0x1502, 0x1503, 0x3FFF, 0, 0xFFFF)

RAW = re.compile(r'"@@([^"@]*)@@"')
VALUES: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    2**63,
    10**400,
    0.5,
    "",
    "a",
    "\0",
    "\ud800",
    "가" * 200,
    "KR-26",
    "ko",
    "PT30M",
    "P99999999999D",
    "9999-12-31T23:59:59+00:00",
    "0001-01-01T00:00:00+23:59",
    "2021-10-25T11:16:00",
    [],
    {},
    [[]],
    {"": ""},
    {"ko": {"ko": {}}},
    "@@1e999@@",
    "@@-1e999@@",
    "@@NaN@@",
    "@@-0@@",
    "@@1e-999@@",
    "@@" + "9" * 5000 + "@@",
    "@@" + "[" * 2000 + "]" * 2000 + "@@",
    "@@" + "[" * 900 + "]" * 900 + "@@",
    "@@@@",
)
"""Text between two pairs of ``@`` stands in the document as it is."""


def octets(
    rng: Random, base: bytes, seeds: Sequence[bytes], *, words: Sequence[bytes] = ()
) -> bytes:
    """Change octets in one to eight places."""
    data = bytearray(base)
    while True:
        rng.choice(_CHANGES)(rng, data, seeds)
        if words and rng.random() < 0.3:
            _put(rng, data, rng.choice(words))
        if rng.random() < 0.4:
            return bytes(data[:OCTETS_MAX])


def with_words(*words: bytes) -> Mutator:
    """Give a mutator that knows some words of the format."""

    def mutate(rng: Random, base: bytes, seeds: Sequence[bytes]) -> bytes:
        return octets(rng, base, seeds, words=words)

    return mutate


def pdu(rng: Random, base: bytes, seeds: Sequence[bytes]) -> bytes:
    """Change one PDU; most often its command_length is right, so that its body is read."""
    parts = _pdus(base)
    return _pdu(rng, rng.choice(parts) if parts else base, seeds)


def stream(rng: Random, base: bytes, seeds: Sequence[bytes]) -> bytes:
    """Change a stream of one to four PDUs."""
    parts = _pdus(base) or [base]
    while len(parts) < 4 and rng.random() < 0.4:
        parts.insert(rng.randrange(len(parts) + 1), rng.choice(_pdus(rng.choice(seeds)) or [base]))
    rng.shuffle(parts)
    changed = [_pdu(rng, part, seeds) if rng.random() < 0.8 else part for part in parts]
    if rng.random() < 0.1:
        changed.append(rng.randbytes(rng.randrange(20)))
    return b"".join(changed)


def document(rng: Random, base: bytes, seeds: Sequence[bytes]) -> bytes:
    """Change a JSON document in its structure, sometimes in its octets."""
    try:
        value = json.loads(base)
    except (ValueError, RecursionError):
        return octets(rng, base, seeds, words=_JSON_WORDS)
    for _ in range(rng.choice((1, 1, 2, 4))):
        value = _changed(rng, value)
    text = RAW.sub(lambda found: found[1], json.dumps(value, ensure_ascii=rng.random() < 0.5))
    written = text.encode("utf-8", "surrogatepass")
    if rng.random() < 0.2:
        return octets(rng, written, seeds, words=_JSON_WORDS)
    return written


def signature(signs: Callable[[bytes, bytes], bytes] | None = None) -> Mutator:
    """Give a mutator of JSON Web Signatures.

    Args:
        signs: gives the signature over an encoded header and payload, so that what is behind the
            check is reached as well; None for somebody without the key.
    """

    def mutate(rng: Random, base: bytes, seeds: Sequence[bytes]) -> bytes:
        parts = base.split(b".")
        if len(parts) != 3 or rng.random() < 0.2:
            return octets(rng, base, seeds, words=(b".", b"..", b"=", b"-", b"_", b"\xc3", b"e30"))
        index = rng.choice((0, 0, 1, 2))
        parts[index] = _encoded_part(rng, parts[index], seeds)
        if signs is not None and rng.random() < 0.7:
            parts[2] = signs(parts[0], parts[1])
        return b".".join(parts)

    return mutate


def _encoded_part(rng: Random, part: bytes, seeds: Sequence[bytes]) -> bytes:
    try:
        inside = decode_base64url(part.decode("ascii"))
    except ValueError:
        return octets(rng, part, seeds)
    return encode_base64url(document(rng, inside, seeds)).encode()


def _flip(rng: Random, data: bytearray, _seeds: Sequence[bytes]) -> None:
    if data:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _replace(rng: Random, data: bytearray, _seeds: Sequence[bytes]) -> None:
    if data:
        data[rng.randrange(len(data))] = rng.randrange(256)


def _insert(rng: Random, data: bytearray, _seeds: Sequence[bytes]) -> None:
    at = rng.randrange(len(data) + 1)
    data[at:at] = rng.randbytes(rng.choice((1, 1, 2, 4, 16, 64)))


def _delete(rng: Random, data: bytearray, _seeds: Sequence[bytes]) -> None:
    start, end = _span(rng, data)
    del data[start:end]


def _duplicate(rng: Random, data: bytearray, _seeds: Sequence[bytes]) -> None:
    start, end = _span(rng, data)
    data[start:start] = data[start:end] * rng.choice((1, 1, 2, 8))
    del data[OCTETS_MAX:]


def _cut(rng: Random, data: bytearray, _seeds: Sequence[bytes]) -> None:
    del data[rng.randrange(len(data) + 1) :]


def _splice(rng: Random, data: bytearray, seeds: Sequence[bytes]) -> None:
    other = rng.choice(seeds)
    at = rng.randrange(len(data) + 1)
    data[at:] = other[rng.randrange(len(other) + 1) :]


def _magic(rng: Random, data: bytearray, _seeds: Sequence[bytes]) -> None:
    _put(rng, data, rng.choice(MAGIC))


def _length(rng: Random, data: bytearray, _seeds: Sequence[bytes]) -> None:
    """Write how much is left behind some place, or nearly so: the worst values of a length."""
    if not data:
        return
    at = rng.randrange(len(data))
    size = rng.choice((1, 2, 4))
    left = len(data) - at - size + rng.choice((-2, -1, 0, 1, 2))
    data[at : at + size] = (left % (1 << 8 * size)).to_bytes(size, "big")


_CHANGES: tuple[Callable[[Random, bytearray, Sequence[bytes]], None], ...] = (
    _flip,
    _replace,
    _insert,
    _delete,
    _duplicate,
    _cut,
    _splice,
    _magic,
    _length,
)
_JSON_WORDS = (
    *(b"{", b"}", b"[", b"]", b'"', b",", b":", b"\\u0000", b"\\ud800", b"\\", b"null"),
    *(b"NaN", b"Infinity", b"1e999", b"-0", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\0", b"\xff"),
)


def _put(rng: Random, data: bytearray, word: bytes) -> None:
    """Write a word over what is there, or between."""
    at = rng.randrange(len(data) + 1)
    data[at : at + (len(word) if rng.random() < 0.6 else 0)] = word


def _span(rng: Random, data: bytearray) -> tuple[int, int]:
    start = rng.randrange(len(data) + 1)
    return start, min(len(data), start + rng.choice((1, 1, 2, 4, 16, 64)))


def _pdus(data: bytes) -> list[bytes]:
    parts = []
    while len(data) >= HEADER_OCTETS:
        length = int.from_bytes(data[:4], "big")
        if not HEADER_OCTETS <= length <= len(data):
            break
        parts.append(data[:length])
        data = data[length:]
    return parts


def _pdu(rng: Random, one: bytes, seeds: Sequence[bytes]) -> bytes:
    if rng.random() < 0.1 or len(one) < HEADER_OCTETS:
        return octets(rng, one, seeds)
    header, body = bytearray(one[:HEADER_OCTETS]), one[HEADER_OCTETS:]
    if rng.random() < 0.7:
        body = octets(rng, body, [seed[HEADER_OCTETS:] for seed in seeds])
    while rng.random() < 0.25:
        body += _tlv(rng)
    if rng.random() < 0.15:
        header[4:8] = rng.choice(tuple(smpp.BODIES)).to_bytes(4, "big")
    if rng.random() < 0.15:
        header[8:12] = rng.choice(STATUSES).to_bytes(4, "big")
    if rng.random() < 0.15:
        header[12:16] = rng.choice(SEQUENCE_NUMBERS).to_bytes(4, "big")
    if rng.random() < 0.05:
        _magic(rng, header, seeds)
    header = header[:HEADER_OCTETS].ljust(HEADER_OCTETS, b"\0")
    if rng.random() < 0.95:
        header[:4] = (HEADER_OCTETS + len(body)).to_bytes(4, "big")
    return bytes(header) + body


def _tlv(rng: Random) -> bytes:
    """Make a TLV: any tag, any length that is not too rare to be right."""
    value = rng.randbytes(rng.choice((0, 1, 1, 2, 3, 4, 7, 20, 64, 300, 2000)))
    if rng.random() < 0.2:
        value = bytes(len(value))
    length = len(value) if rng.random() < 0.9 else rng.choice((0, 1, 0xFF, 0xFFFF))
    return rng.choice(TAGS).to_bytes(2, "big") + length.to_bytes(2, "big") + value


def _changed(rng: Random, value: Any) -> Any:
    """Change one value somewhere inside."""
    if isinstance(value, dict) and value and rng.random() < 0.85:
        return _changed_object(rng, dict(value))
    if isinstance(value, list) and value and rng.random() < 0.7:
        index = rng.randrange(len(value))
        if rng.random() < 0.2:
            return value * rng.choice((0, 2, 40))
        return [*value[:index], _changed(rng, value[index]), *value[index + 1 :]]
    if isinstance(value, str) and value and rng.random() < 0.4:
        at = rng.randrange(len(value))
        return value[:at] + rng.choice(("", "\0", "\ud800", "😀", value, "@")) + value[at + 1 :]
    return rng.choice(VALUES)


def _changed_object(rng: Random, members: dict[str, Any]) -> dict[str, Any]:
    name = rng.choice(tuple(members))
    chance = rng.random()
    if chance < 0.12:
        del members[name]
    elif chance < 0.2:
        members[rng.choice(("", "x", "\ud800", "ko", "kid", "class", "텍스트"))] = members[name]
    elif chance < 0.26:
        members[name] = members[rng.choice(tuple(members))]
    else:
        members[name] = _changed(rng, members[name])
    return members
