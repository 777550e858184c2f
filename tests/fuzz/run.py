"""Fuzz the decoders: `python -m tests.fuzz.run --inputs 10000`.

Leaves with status 1 when a target raised what it does not promise, or an input took too long.
"""

import argparse
import hashlib
import importlib
import importlib.util
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.fuzz.engine import HEX_OCTETS_MAX, Result, Target, fuzz

NO_ATHERIS = (
    "the engine atheris is not installed here; it needs Linux or macOS and: "
    "python -m pip install atheris==3.0.0"
)
_COLUMNS = ("target", "inputs", "inputs/s", "slowest ms", "growth KiB", "escapes", "slow")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run and print; gives the exit status."""
    parser = _parser()
    chosen = parser.parse_args(arguments)
    if chosen.engine == "atheris" and importlib.util.find_spec("atheris") is None:
        parser.error(NO_ATHERIS)
    targets: Mapping[str, Target] = importlib.import_module("tests.fuzz.targets").TARGETS
    names = chosen.target or list(targets)
    if unknown := sorted(set(names) - set(targets)):
        parser.error(f"no target {', '.join(unknown)}; there are {', '.join(targets)}")
    if chosen.failures:
        chosen.failures.mkdir(parents=True, exist_ok=True)
    if not chosen.json:
        _say(_row(*_COLUMNS))
    results = []
    for name in names:
        if chosen.engine == "atheris":
            result = _guided(name, targets[name], chosen.inputs, chosen.seed, chosen.shard)
        else:
            result = fuzz(
                name, targets[name], inputs=chosen.inputs, seed=chosen.seed, shard=chosen.shard
            )
        results.append(result)
        if chosen.failures:
            _write(result, chosen.failures)
        if not chosen.json:
            _say("\n".join(_lines(result, chosen.failures)))
    if chosen.json:
        _say(json.dumps([result.written() for result in results], indent=2))
    return int(any(result.findings for result in results))


def shard_of(text: str) -> tuple[int, int]:
    """Read ``I/N``, from ``1/N`` to ``N/N``.

    Raises:
        argparse.ArgumentTypeError: it is anything else.
    """
    index, _, shards = text.partition("/")
    if index.isdecimal() and shards.isdecimal() and 1 <= int(index) <= int(shards):
        return int(index), int(shards)
    msg = f"{text!r} is not I/N with I from 1 to N"
    raise argparse.ArgumentTypeError(msg)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.run", description=__doc__)
    parser.add_argument("--inputs", type=int, default=10_000, help="mutated inputs per target")
    parser.add_argument("--target", nargs="+", metavar="NAME", help="targets; default: all")
    parser.add_argument("--seed", type=int, default=0, help="another seed, other inputs")
    parser.add_argument("--engine", choices=("mutate", "atheris"), default="mutate")
    parser.add_argument(
        "--shard", type=shard_of, default=(1, 1), metavar="I/N", help="try this part only"
    )
    parser.add_argument("--failures", type=Path, metavar="DIR", help="write failing inputs here")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def _row(*cells: object) -> str:
    widths = (-20, 10, 10, 12, 12, 9, 6)
    return "".join(
        f"{cell!s:<{-width}}" if width < 0 else f"{cell!s:>{width}}"
        for cell, width in zip(cells, widths, strict=True)
    )


def _lines(result: Result, folder: Path | None) -> list[str]:
    rate = result.inputs / result.seconds if result.seconds else 0.0
    escapes = sum(finding.kind == "escape" for finding in result.findings.values())
    lines = [
        _row(
            result.target,
            result.inputs,
            f"{rate:.0f}",
            f"{result.slowest_ms:.2f}",
            result.growth_kib,
            escapes,
            len(result.findings) - escapes,
        )
    ]
    for finding in result.findings.values():
        octets = finding.octets
        lines += [
            f"  {finding.kind}: {finding.cause}; {finding.count} inputs, from {len(octets)} octets",
            f"    {finding.detail}",
        ]
        if folder is None:
            cut = "..." if len(octets) > HEX_OCTETS_MAX else ""
            lines.append(f"    {octets[:HEX_OCTETS_MAX].hex()}{cut}")
        else:
            lines.append(f"    {folder / _file_name(result.target, octets)}")
    return lines


def _write(result: Result, folder: Path) -> None:
    """Write the shortest input of each cause."""
    for finding in result.findings.values():
        (folder / _file_name(result.target, finding.octets)).write_bytes(finding.octets)


def _file_name(target: str, octets: bytes) -> str:
    return f"{target}-{hashlib.sha256(octets).hexdigest()[:16]}.bin"


def _guided(name: str, target: Target, inputs: int, seed: int, shard: tuple[int, int]) -> Result:
    """Run one target under the coverage-guided engine, after the seeds and large inputs."""
    index, shards = shard
    result = fuzz(name, target, inputs=0, shard=shard)
    with tempfile.TemporaryDirectory() as corpus:
        for number, octets in enumerate(target.seeds):
            (Path(corpus) / f"seed-{number:04}").write_bytes(octets)
        mine = len(range(index - 1, inputs, shards))
        arguments = [name, str(max(mine, 1)), str(seed * shards + index), corpus]
        done = subprocess.run(
            [sys.executable, "-m", "tests.fuzz.guided", *arguments],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            failed = sorted(Path(corpus).glob("failed-*"))
            octets = failed[0].read_bytes() if failed else b""
            result.add("hang", "the engine gave up", octets, done.stderr[-600:])
            return result
    found = Result.read(json.loads(done.stdout.splitlines()[-1]))
    found.inputs += result.inputs
    found.seconds += result.seconds
    found.slowest_ms = max(found.slowest_ms, result.slowest_ms)
    found.findings = result.findings | found.findings
    return found


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
