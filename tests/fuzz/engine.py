"""The fuzzing driver: feeds a target, and keeps what must not happen.

Nothing of the product is imported here, so that a coverage-guided engine can instrument it first.
"""

import json
import random
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Self

ROOT = Path(__file__).parents[2]
PRODUCT = (ROOT / "cbgateway", ROOT / "simulators")

SLOW_MS = 250.0
"""An input that takes longer is reported."""
HANG_S = 20.0
"""An input that takes longer is given up."""
ATTEMPTS = 3
"""A slow input counts when it is slow each time: the machine has other work, too."""
HEX_OCTETS_MAX = 400
"""Octets of a failing input that are printed when there is no folder to write it to."""

Mutator = Callable[[random.Random, bytes, Sequence[bytes]], bytes]
"""Makes an input of one sound input and all of them."""


class HangError(BaseException):
    """An input was given up; no handler of the product may swallow that."""


def nothing_large() -> Iterable[bytes]:
    """Give no large inputs."""
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One decoder and what it promises.

    Attributes:
        call: the decoder, with whatever it takes to reach it.
        promised: errors that it may raise; all others are escapes.
        seeds: sound inputs, few octets each.
        mutate: how inputs are made of seeds.
        large: makes the inputs that should cost most; they are tried as they are.
    """

    call: Callable[[bytes], object]
    promised: tuple[type[Exception], ...]
    seeds: tuple[bytes, ...]
    mutate: Mutator
    large: Callable[[], Iterable[bytes]] = nothing_large

    def run(self, octets: bytes) -> None:
        """Decode; only what was promised is swallowed."""
        with suppress(*self.promised):
            self.call(octets)


@dataclass(slots=True)
class Finding:
    """One cause of failure.

    Attributes:
        kind: ``escape``, ``slow`` or ``hang``.
        cause: error and place; one finding for each.
        octets: the shortest input of this cause.
        count: inputs of this cause.
        detail: the last lines of the traceback.
    """

    kind: str
    cause: str
    octets: bytes
    count: int
    detail: str

    def written(self) -> dict[str, Any]:
        """Give it as JSON."""
        return {
            "kind": self.kind,
            "cause": self.cause,
            "hex": self.octets.hex(),
            "count": self.count,
            "detail": self.detail,
        }


@dataclass(slots=True)
class Result:
    """What came of one target.

    Attributes:
        inputs: how many were tried.
        seconds: what they took, without making them.
        slowest: the slowest input.
        growth_kib: by how much the process's peak memory grew.
        findings: by kind and cause.
    """

    target: str
    inputs: int = 0
    seconds: float = 0.0
    slowest_ms: float = 0.0
    slowest: bytes = b""
    growth_kib: int = 0
    findings: dict[tuple[str, str], Finding] = field(default_factory=dict)

    def add(self, kind: str, cause: str, octets: bytes, detail: str) -> None:
        """Count a failure; the shortest input of each cause is kept."""
        known = self.findings.setdefault((kind, cause), Finding(kind, cause, octets, 0, detail))
        known.count += 1
        if len(octets) < len(known.octets):
            known.octets, known.detail = octets, detail

    def written(self) -> dict[str, Any]:
        """Give it as JSON."""
        return {
            "target": self.target,
            "inputs": self.inputs,
            "seconds": round(self.seconds, 3),
            "inputs_per_second": round(self.inputs / self.seconds) if self.seconds else 0,
            "slowest_ms": round(self.slowest_ms, 3),
            "slowest_octets": len(self.slowest),
            "memory_growth_kib": self.growth_kib,
            "findings": [finding.written() for finding in self.findings.values()],
        }

    @classmethod
    def read(cls, facts: Mapping[str, Any]) -> Self:
        """Take what `written` gave, as another process printed it."""
        result = cls(
            facts["target"],
            facts["inputs"],
            facts["seconds"],
            facts["slowest_ms"],
            bytes(facts["slowest_octets"]),
            facts["memory_growth_kib"],
        )
        for one in facts["findings"]:
            finding = Finding(
                one["kind"], one["cause"], bytes.fromhex(one["hex"]), one["count"], one["detail"]
            )
            result.findings[finding.kind, finding.cause] = finding
        return result


class Watch:
    """Tries inputs on one target and keeps the result."""

    def __init__(self, name: str, target: Target, *, gives_up: bool) -> None:
        """Begin a result.

        Args:
            name: the target's.
            target: what is tried.
            gives_up: end an input after `HANG_S`; needs `alarm` around.
        """
        self.result = Result(name)
        self._target = target
        self._gives_up = gives_up
        self._peak_kib = peak_kib()

    def check(self, octets: bytes) -> None:
        """Try one input."""
        result = self.result
        spent_ms = self._timed(octets)
        result.inputs += 1
        result.seconds += spent_ms / 1000
        if spent_ms > SLOW_MS:
            again = (self._timed(octets, is_repeat=True) for _ in range(ATTEMPTS - 1))
            spent_ms = min(spent_ms, *again)
            if spent_ms > SLOW_MS:
                result.add("slow", f"more than {SLOW_MS:.0f} ms", octets, f"{spent_ms:.0f} ms")
        if spent_ms > result.slowest_ms:
            result.slowest_ms, result.slowest = spent_ms, octets

    def finish(self) -> Result:
        """Give the result."""
        self.result.growth_kib = peak_kib() - self._peak_kib
        return self.result

    def _timed(self, octets: bytes, *, is_repeat: bool = False) -> float:
        if self._gives_up:
            signal.setitimer(signal.ITIMER_REAL, HANG_S)
        started = time.perf_counter()
        try:
            self._target.run(octets)
        except (KeyboardInterrupt, SystemExit):
            raise
        except HangError:
            self.result.add("hang", f"more than {HANG_S:.0f} s", octets, traceback.format_exc())
        except BaseException as error:  # noqa: BLE001 - a panic in an extension is no Exception
            if not is_repeat:
                self.result.add("escape", cause_of(error), octets, detail_of(error))
        finally:
            spent_ms = (time.perf_counter() - started) * 1000
            if self._gives_up:
                signal.setitimer(signal.ITIMER_REAL, 0)
        return spent_ms


@contextmanager
def alarm() -> Iterator[None]:
    """Have the timer raise `HangError` inside; restores what was there."""

    def ring(_number: int, _frame: FrameType | None) -> None:
        msg = f"still at it after {HANG_S:.0f} s"
        raise HangError(msg)

    before = signal.signal(signal.SIGALRM, ring)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def fuzz(
    name: str,
    target: Target,
    *,
    inputs: int,
    seed: int = 0,
    shard: tuple[int, int] = (1, 1),
    with_large: bool = True,
) -> Result:
    """Try seeds, large inputs and mutated ones; the same ones whenever the arguments are.

    Args:
        name: the target's; part of the randomness.
        target: what is tried.
        inputs: how many mutated inputs all shards try together.
        seed: another seed, other inputs.
        shard: which part of the inputs is tried here, from 1, and of how many.
        with_large: try the large inputs, too.
    """
    index, shards = shard
    watch = Watch(name, target, gives_up=True)
    fixed = [*target.seeds, *(target.large() if with_large else ())]
    with alarm():
        for octets in fixed[index - 1 :: shards]:
            watch.check(octets)
        for number in range(index - 1, inputs, shards):
            watch.check(make_input(name, target, seed=seed, number=number))
    return watch.finish()


def make_input(name: str, target: Target, *, seed: int, number: int) -> bytes:
    """Make one mutated input; depends on the arguments alone."""
    rng = random.Random(f"{seed}/{name}/{number}")
    return target.mutate(rng, rng.choice(target.seeds), target.seeds)


def cause_of(error: BaseException) -> str:
    """Name an error and where it was raised, product code first."""
    frames = traceback.extract_tb(error.__traceback__)
    product = [frame for frame in frames if Path(frame.filename).is_relative_to(PRODUCT[0])]
    product += [frame for frame in frames if Path(frame.filename).is_relative_to(PRODUCT[1])]
    place = (product or frames)[-1]
    path = Path(place.filename)
    where = path.relative_to(ROOT) if path.is_relative_to(ROOT) else path.name
    return f"{type(error).__name__} at {where}:{place.lineno}"


def detail_of(error: BaseException) -> str:
    """Give message and innermost frames; a recursion's repeated frames are left out."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames[-6:]]
    return f"{type(error).__name__}: {str(error)[:300]} [{' < '.join(reversed(lines))}]"


def peak_kib() -> int:
    """Give the most memory that this process has had."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // 1024 if sys.platform == "darwin" else peak


def print_result(result: Result) -> None:
    """Write a result as one line of JSON, for the process that started this one."""
    sys.stdout.write(json.dumps(result.written()) + "\n")
    sys.stdout.flush()
