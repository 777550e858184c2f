"""Decoders of CBSP, and what each of them promises."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random

from cbgateway.codec import cbsp
from cbgateway.domain.errors import DecodeError
from tests.fuzz import mutate
from tests.fuzz.engine import Target

VECTORS = Path(__file__).parents[1] / "vectors" / "cbsp.jsonl"


def vectors() -> tuple[bytes, ...]:
    """Give what real peers have sent and been sent."""
    found = [json.loads(line) for line in VECTORS.read_text("utf-8").splitlines()]
    return tuple(bytes.fromhex(one["hex"]) for one in found if "hex" in one)


def message(rng: Random, base: bytes, seeds: Sequence[bytes]) -> bytes:
    """Change octets, and set the length right most of the time."""
    octets = bytearray(mutate.octets(rng, base, seeds))
    if len(octets) >= cbsp.HEADER_OCTETS and rng.random() < 0.8:
        octets[1 : cbsp.HEADER_OCTETS] = (len(octets) - cbsp.HEADER_OCTETS).to_bytes(3, "big")
    return bytes(octets)


def stream(rng: Random, base: bytes, seeds: Sequence[bytes]) -> bytes:
    """Put some messages one after another."""
    return b"".join(message(rng, rng.choice([base, *seeds]), seeds) for _ in range(3))


def _decode(octets: bytes) -> object:
    """Read a message; what was read has to be writable, and the same when read again."""
    found = cbsp.decode(octets)
    if cbsp.decode(cbsp.encode(found)) != found:
        msg = "what was read is not what was written"
        raise AssertionError(msg)
    return found


def _framer(octets: bytes) -> None:
    """Feed a stream whole and octet by octet: both must give the same."""
    whole, drip = cbsp.Framer(), cbsp.Framer()
    at_once = whole.receive(octets)
    one_by_one = [item for at in range(len(octets)) for item in drip.receive(octets[at : at + 1])]
    if list(map(_told, at_once)) != list(map(_told, one_by_one)):
        msg = "the pieces that a stream came in made a difference"
        raise AssertionError(msg)
    if whole.is_incomplete != drip.is_incomplete:
        msg = "the pieces that a stream came in made a difference to what is left"
        raise AssertionError(msg)


def _told(item: cbsp.Message | cbsp.Unparsed) -> object:
    return str(item.error) if isinstance(item, cbsp.Unparsed) else item


def large() -> Iterator[bytes]:
    """Give long lists, true and lying, and very many messages."""
    yield b"\x10\x01\x00\x02\x04\xff\xff\x06" + bytes(65_534)
    yield b"\x10\x01\x00\x02\x04\xff\xff\x02" + bytes(65_534)
    yield b"\x14\x01\x00\x04\x09\xff\xff" + b"\x06\x01" * 32_767 + b"\x06\x16\x00"
    yield b"\x01\x00\xff\xff" + b"\x01" * 65_535
    yield cbsp.encode(cbsp.KeepAlive(20)) * 10_000
    yield b"\x01\x03\xff\xff" + bytes(262_143)


def family() -> Iterator[tuple[str, Target]]:
    """Give the targets by name."""
    seeds = vectors()
    promised = (DecodeError,)
    yield (
        "cbsp_decode",
        Target(call=_decode, promised=promised, seeds=seeds, mutate=message, large=large),
    )
    streams = tuple(b"".join(seeds[at : at + 3]) for at in range(0, len(seeds), 3))
    yield (
        "cbsp_framer",
        Target(call=_framer, promised=(), seeds=streams, mutate=stream, large=large),
    )
