"""Every fault that `cbsim smsc` knows, one by one, against the whole gateway on virtual time.

Run it with `python -m tests.storm.matrix`, or `--fault NAME` for one. One carrier's message centre
misbehaves in one way for four minutes, is well again for five, and everything that holds after a
storm has to hold. The other carriers' bulletins have to leave as they do without any fault,
connects and log lines stay few, and the process does not grow. Each fault is run twice, the second
time with the gateway killed in between.
"""

import argparse
import asyncio
import gc
import json
import math
import multiprocessing
import os
import shutil
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

from loguru import logger

from cbgateway.service import dispatcher
from cbsim.accounts import Account
from cbsim.faults import FAULTS, Stage
from cbsim.server import Connection, Shell
from tests.storm.checks import problems
from tests.storm.loop import VirtualLoop
from tests.storm.world import ACTIVE_S, PORTS, Template, World

BAD = "kt"
CONNECTS_APART_S = 0.99
"""A second between connects, and what clocks and floats may take of it."""
LOG_OCTETS_MAX = 65_536
"""A minute."""
NONE = "none"
"""A run in which nothing is wrong, for comparison."""
GROWTH_MIB_MAX = 16.0
"""Of gateway and simulators together, from the fault's second minute to its end."""
LEFT_WITHIN_S = 5.0
"""Bulletins leave for the other carriers so soon after approval; polls are a second apart."""
LIES = frozenset({"repeat-sequence", "same-message-id"})
"""By these a centre gives one broadcast the name of another that it has, too: a stop by that name
ends the other one, and the centre says yes. What the gateway can see of it, it acts on (a name that
two have, a name that the centre does not know); the rest only phones can see."""
KILLS_S = (70.0, 75.0, 80.0)

_template: Template | None = None
_folder: Path | None = None


class _Clock:
    """The world's clock as a shell wants it."""

    def __init__(self, world: World) -> None:
        self._world = world

    def now_s(self) -> float:
        """Give the time."""
        return self._world.clock.now().timestamp()

    def real_s(self, simulated_s: float) -> float:
        """Give the same: both are virtual."""
        return simulated_s


ENQUIRE_INTERVAL_S = 5.0
"""Short enough that a line which carries bulletins is silent for so long."""


class FaultWorld(World):
    """A world without weather, in which one centre misbehaves in one way."""

    def __init__(
        self, template: Template, folder: Path, fault: str, *, seed: int, is_killed: bool
    ) -> None:
        super().__init__(template, folder, seed)
        self.fault = FAULTS.get(fault)
        self.is_killed = is_killed
        self.connects: list[float] = []
        self.killed_s: list[float] = []
        self.log_octets: Counter[int] = Counter()
        self.happened = 0
        self.memory_mib: list[float] = []

    def roughness(self) -> float:
        """Nothing but the fault is wrong."""
        return 0.0

    def carrier(self, gateway: Any, code: str) -> Any:
        """Ask often whether the bad centre is there, where that is what goes wrong."""
        carrier = super().carrier(gateway, code)
        if code != BAD or self.fault is None or self.fault.stage is not Stage.ENQUIRE:
            return carrier
        changes = {"enquire_link_interval_s": ENQUIRE_INTERVAL_S}
        return carrier.model_copy(update={"smpp": carrier.smpp.model_copy(update=changes)})

    def _make_centres(self, loop: VirtualLoop) -> None:
        super()._make_centres(loop)
        centre = self.centres[BAD]
        network: Any = centre.network
        network.tick = lambda *, now_s: None  # what is on air stays there, as in a storm
        network.next_tick = lambda: None
        engine = centre.centre
        shell = Shell(engine, _Clock(self), self._on_event)  # type: ignore[arg-type]
        self._known = dict(engine.accounts.known)
        if self.fault is not None:
            changes: dict[str, Any] = {"faults": [self.fault.name]}
            if self.fault.stage is Stage.DELIVER:
                changes["incoming"] = {"per_s": 1}
            if self.fault.stage is Stage.ENQUIRE:
                changes["receipts"] = {"loss": 1}  # they would keep the line from being silent
            if self.fault.stage is Stage.PASSWORD:
                engine.accounts.known["cbgateway"] = Account("cbgateway", "other")
            engine.set(changes)

        def connect() -> Connection:
            connection: Any = Connection(shell)
            made, lost = connection.connection_made, connection.connection_lost

            def connection_lost(reason: Any) -> None:
                self.troubles.append((self.clock.monotonic_s(), BAD))
                lost(reason)

            def connection_made(transport: Any) -> None:
                self.connects.append(self.clock.monotonic_s())
                self._connections.append(transport)
                made(transport)

            connection.connection_made = connection_made
            connection.connection_lost = connection_lost
            return connection  # type: ignore[no-any-return]

        loop.servers[PORTS[BAD]] = connect
        self._engine = engine

    def _on_event(self, event: dict[str, Any]) -> None:
        self.happened += event["event"] == "fault"

    def _arm(self) -> None:
        self._hidden = {}

    async def _trouble(self) -> None:
        """Kill the gateway in the middle, when asked to, and start it again."""
        began_s = 0.0
        for at_s in KILLS_S if self.is_killed else ():
            await asyncio.sleep(at_s - began_s)
            began_s = at_s
            process = self.process
            self.killed_s.append(self.clock.monotonic_s())
            self.crash()
            await self.bury(process)
            self.start()
        await asyncio.sleep(ACTIVE_S)

    async def _live(self) -> None:
        """As always; the fault ends with the storm."""
        assert self.loop is not None
        self.loop.call_later(ACTIVE_S / 4, self._weigh)
        self.loop.call_later(ACTIVE_S, self._heal)
        logger.add(self._on_log, level="INFO")
        await super()._live()

    def _heal(self) -> None:
        self._weigh()
        self._engine.set({"faults": [], "incoming": {"per_s": 0}})
        self._engine.accounts.known.update(self._known)

    def _weigh(self) -> None:
        gc.collect()
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
        self.memory_mib.append(pages * os.sysconf("SC_PAGE_SIZE") / 2**20)

    def _on_log(self, line: str) -> None:
        self.log_octets[int(self.clock.monotonic_s() // 60)] += len(line.encode())


def more_problems(world: FaultWorld) -> list[str]:
    """Give what has to hold besides, where a single centre misbehaves."""
    found = []
    for before_s, at_s in pairwise(world.connects):
        if at_s - before_s < CONNECTS_APART_S and not any(
            before_s <= killed_s <= at_s for killed_s in world.killed_s
        ):
            found.append(f"connects: at {before_s:.2f} s and at {at_s:.2f} s")
            break
    most = max(world.log_octets.values(), default=0)
    if most > LOG_OCTETS_MAX:
        found.append(f"log: {most} octets in a minute")
    if growth_mib(world) > GROWTH_MIB_MAX:
        found.append(f"memory: {growth_mib(world):.1f} MiB more")
    if world.fault is not None and not world.happened:
        found.append("the fault has not happened")
    return found + [
        f"late: {bulletin_id} left for {code} after {after_s}"
        for bulletin_id, code, after_s in waits(world)
        if after_s > LEFT_WITHIN_S
    ]


def growth_mib(world: FaultWorld) -> float:
    """Give how much the process has grown while the fault lasted."""
    return world.memory_mib[-1] - world.memory_mib[0] if world.memory_mib else 0.0


def waits(world: FaultWorld) -> Iterator[tuple[str, str, float]]:
    """Give how long bulletins waited to leave for the other carriers, save around a kill.

    Returns:
        Bulletin, carrier, seconds.
    """
    epoch_s = world.clock.now().timestamp() - world.clock.monotonic_s()
    for entry in world.bulletins:
        since_s = entry["approved_at_s"]
        is_spared = any(
            since_s - 1 <= at_s <= since_s + LEFT_WITHIN_S
            for at_s, where in world.troubles
            if where != BAD
        )
        is_plain = entry["is_accepted"] and entry["kind"] in {"first", "restored"}
        if is_spared or not is_plain or entry["sender"] in world.revoked:
            continue
        for code in set(PORTS) - {BAD}:
            if code not in entry["bound_at"]:
                continue
            reached = [
                at_s - epoch_s
                for at_s, _, text in world.centres[code].network.messages
                if text == entry["text"]
            ]
            if reached:
                yield entry["id"], code, min(reached) - since_s


def percentile_99(values: list[float]) -> float:
    """Give the value that a hundredth lies above."""
    return sorted(values)[math.ceil(len(values) * 0.99) - 1] if values else math.nan


def _prepare(folder: str) -> None:
    global _template, _folder  # noqa: PLW0603 - one template a worker
    logger.remove()
    dispatcher.POLL_INTERVAL_S = 1.0
    dispatcher.SWEEP_INTERVAL_S = 4.0
    _folder = Path(tempfile.mkdtemp(dir=folder))
    _template = Template.make(_folder)


def run_fault(job: tuple[str, int, bool]) -> dict[str, Any]:
    """Run one fault and give what came of it."""
    fault, seed, is_killed = job
    assert _template is not None
    assert _folder is not None
    world = FaultWorld(_template, _folder, fault, seed=seed, is_killed=is_killed)
    try:
        world.run()
        found = [
            one
            for one in problems(world) + more_problems(world)
            if fault not in LIES or not one.startswith("on air:")
        ]
    except BaseException:  # noqa: BLE001 - a run that ends by itself is a failure too
        found = [traceback.format_exc()]
    finally:
        logger.remove()
        shutil.rmtree(world.home, ignore_errors=True)
    copies = getattr(world, "copies", {})
    return {
        "fault": fault,
        "is_killed": is_killed,
        "problems": found,
        "happened": world.happened,
        "connects": len(world.connects),
        "log": max(world.log_octets.values(), default=0),
        "growth_mib": round(growth_mib(world), 1),
        "waits_s": [after_s for _, _, after_s in waits(world)],
        "messages": sum(copies.values()),
        "twice": sum(count == 2 for count in copies.values()),
    }


def main() -> int:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fault", choices=[NONE, *FAULTS], action="append")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--jobs", type=int, default=multiprocessing.cpu_count())
    options = parser.parse_args()
    names = options.fault or [NONE, *FAULTS]
    jobs = [(name, options.seed, is_killed) for name in names for is_killed in (False, True)]
    shm = Path("/dev/shm")  # noqa: S108 - memory: the disk is tested elsewhere
    with (
        tempfile.TemporaryDirectory(dir=shm if shm.is_dir() else None) as folder,
        multiprocessing.Pool(options.jobs, _prepare, (folder,)) as pool,
    ):
        results = list(pool.imap(run_fault, jobs))
    failed = [one for one in results if one["problems"]]
    if options.json:
        print(json.dumps(results))
        return 1 if failed else 0
    print(
        f"{'fault':24} {'kills':>5} {'times':>6} {'connects':>8} {'log/min':>8} "
        f"{'MiB':>6} {'p99 s':>6} {'SMS':>6} twice"
    )
    for one in results:
        print(
            f"{one['fault']:24} {3 * one['is_killed']:>5} {one['happened']:>6} "
            f"{one['connects']:>8} {one['log']:>8} {one['growth_mib']:>6} "
            f"{percentile_99(one['waits_s']):>6.2f} {one['messages']:>6} {one['twice']:>5}"
        )
        for problem in one["problems"][:5]:
            print(f"    {problem}")
    for is_killed in (False, True):
        some = [one for one in results if one["is_killed"] is is_killed]
        bad = [wait_s for one in some if one["fault"] != NONE for wait_s in one["waits_s"]]
        well = [wait_s for one in some if one["fault"] == NONE for wait_s in one["waits_s"]]
        print(
            f"{'with' if is_killed else 'without'} kills, the others' bulletins left within "
            f"{percentile_99(bad):.2f} s (p99 of {len(bad):,}); "
            f"without any fault {percentile_99(well):.2f} s (of {len(well)})"
        )
    print(f"{len(results)} runs, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
