"""Run storms: `python -m tests.storm --seeds 2000`, or one of them: `--seed 17`."""

import argparse
import json
import multiprocessing
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

from loguru import logger

from cbgateway.service import dispatcher
from tests.storm.checks import problems
from tests.storm.planted import PLANTS, plant
from tests.storm.world import ACTIVE_S, CALM_S, Template, World

_template: Template | None = None
_folder: Path | None = None


def _prepare(folder: str, planted: str = "") -> None:
    global _template, _folder  # noqa: PLW0603 - one template a worker
    logger.remove()
    dispatcher.POLL_INTERVAL_S = 1.0
    dispatcher.SWEEP_INTERVAL_S = 4.0
    _folder = Path(tempfile.mkdtemp(dir=folder))
    _template = Template.make(_folder)
    if planted:
        plant(planted)


def run_seed(seed: int) -> dict[str, Any]:
    """Run one seed and give what came of it."""
    assert _template is not None
    assert _folder is not None
    world = World(_template, _folder, seed)
    found: list[str] = []
    try:
        world.run()
        found = problems(world)
    except BaseException:  # noqa: BLE001 - a storm that ends by itself is a failure too
        found.append(traceback.format_exc())
    finally:
        shutil.rmtree(world.home, ignore_errors=True)
    copies = getattr(world, "copies", {})
    return {
        "seed": seed,
        "problems": found,
        "bulletins": sum(one["is_accepted"] for one in world.bulletins),
        "crashes": world.crashes,
        "faults": dict(world.weather.counts) if hasattr(world, "weather") else {},
        "twice": sum(count == 2 for count in copies.values()),
        "messages": sum(copies.values()),
        "receipts": getattr(world, "receipts", 0),
        "refusals": getattr(world, "refusals", []),
    }


def main() -> int:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, help="one seed, with all its problems")
    parser.add_argument("--jobs", type=int, default=multiprocessing.cpu_count())
    parser.add_argument("--plant", choices=PLANTS, help="plant a fault, which has to be found")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    seeds = (
        [options.seed]
        if options.seed is not None
        else range(options.first, options.first + options.seeds)
    )
    began = time.monotonic()
    shm = Path("/dev/shm")  # noqa: S108 - memory: the disk is tested elsewhere
    with tempfile.TemporaryDirectory(dir=shm if shm.is_dir() else None) as folder:
        if options.seed is not None:
            _prepare(folder, options.plant or "")
            results = [run_seed(options.seed)]
        else:
            with multiprocessing.Pool(
                options.jobs, _prepare, (folder, options.plant or "")
            ) as pool:
                results = list(_shown(pool.imap_unordered(run_seed, seeds, chunksize=4)))
    failed = [one for one in results if one["problems"]]
    faults: Counter[str] = Counter()
    for one in results:
        faults.update(one["faults"])
    summary = {
        "seeds": len(results),
        "failed": sorted(one["seed"] for one in failed),
        "simulated_h": round(len(results) * (ACTIVE_S + CALM_S) / 3600, 1),
        "bulletins": sum(one["bulletins"] for one in results),
        "messages": sum(one["messages"] for one in results),
        "twice": sum(one["twice"] for one in results),
        "receipts": sum(one["receipts"] for one in results),
        "crashes": sum(one["crashes"] for one in results),
        "faults": dict(faults),
        "seconds": round(time.monotonic() - began, 1),
    }
    for one in sorted(failed, key=lambda one: one["seed"])[:5]:
        print(f"seed {one['seed']}:", *one["problems"][:6], sep="\n  ", file=sys.stderr)
    if options.seed is not None:
        print(*results[0]["refusals"], sep="\n", file=sys.stderr)
    print(json.dumps(summary) if options.json else _words(summary))
    return 1 if bool(failed) != bool(options.plant) else 0


def _shown(results: Any) -> Any:
    for count, one in enumerate(results, start=1):
        if one["problems"] or count % 100 == 0:
            print(f"\r{count} seeds", end="", file=sys.stderr, flush=True)
        yield one
    print(file=sys.stderr)


def _words(summary: dict[str, Any]) -> str:
    return "\n".join(f"{name}: {value}" for name, value in summary.items())


if __name__ == "__main__":
    sys.exit(main())
