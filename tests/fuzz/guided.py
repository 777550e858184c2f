"""One target under the coverage-guided engine, in a process of its own; `run.py` starts it."""

import argparse
import importlib
import os
import random
import sys
from collections.abc import Sequence

from tests.fuzz.engine import HANG_S, Target, Watch, print_result

MEMORY_MIB_MAX = 2_048
OURS_EVERY = 2
"""One of so many mutations is our own; the others are the engine's."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Fuzz one target until it has had its inputs; prints the result and leaves.

    The engine leaves by itself, with a status other than 0, when an input hangs or eats memory.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("target")
    parser.add_argument("inputs", type=int)
    parser.add_argument("seed", type=int)
    parser.add_argument("corpus")
    chosen = parser.parse_args(arguments)
    atheris = importlib.import_module("atheris")
    with atheris.instrument_imports(include=["cbgateway", "cbsim"]):
        targets = importlib.import_module("tests.fuzz.targets")
    target: Target = targets.TARGETS[chosen.target]
    watch = Watch(chosen.target, target, gives_up=False)

    def try_one(octets: bytes) -> None:
        watch.check(octets)
        if watch.result.inputs >= chosen.inputs:
            print_result(watch.finish())
            os._exit(0)  # the engine knows no other end that gives the floor back

    def mutated(octets: bytes, size_max: int, seed: int) -> bytes:
        rng = random.Random(seed)
        if rng.randrange(OURS_EVERY):
            changed: bytes = atheris.Mutate(octets, size_max)
            return changed
        return target.mutate(rng, octets, target.seeds)[:size_max]

    options = [
        sys.argv[0],
        f"-seed={chosen.seed + 1}",
        f"-timeout={HANG_S:.0f}",
        f"-rss_limit_mb={MEMORY_MIB_MAX}",
        f"-artifact_prefix={chosen.corpus}/failed-",
        "-max_len=4096",
        "-verbosity=0",
        chosen.corpus,
    ]
    atheris.Setup(options, try_one, custom_mutator=mutated)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
