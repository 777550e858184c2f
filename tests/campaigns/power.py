"""A campaign of power cuts: is every transaction that was acknowledged still there afterwards?

A workload of small transactions runs on a disk with a volatile cache (see `power_vfs`). Every few
operations, and after every acknowledgement, the disk is cut: what may be left of it is opened
again as the gateway opens its database, checked by SQLite and read. Each recovery is cut too, at
one of its own operations, and recovered once more.

With `--synchronous full`, which is what the gateway sets, nothing may be lost or corrupt, and an
error of any single write or sync must be noticed and lose nothing. With `normal` and `off` the
campaign must find faults; finding none would show that it is blind.

Run it with `python -m tests.campaigns.power --images 1000 --seed 1`.
"""

import argparse
import contextlib
import json
import random
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

import apsw

from cbgateway.domain.errors import DiskFullError, StoreError
from cbgateway.storage.connection import connect, transaction
from tests.campaigns.power_vfs import Disk, Fault, Operation, PowerVFS, power_vfs

Synchronous = Literal["full", "normal", "off"]

NOTHING = -1  # the last step of a database whose preparation is not there
ROUND_STEPS = 40  # then a fresh disk, so that images stay small
SLOTS = 6  # payloads kept; older ones are replaced, so checkpoints write over pages
CHECKPOINTS = ("PASSIVE", "RESTART", "PASSIVE", "TRUNCATE")
CHECKPOINT_STEPS = 5
REOPEN_STEPS = 17  # the connection is closed and opened anew, which deletes the log


class HalfTransactionError(Exception):
    """What is stored is no state between two transactions."""


def prepare(connection: apsw.Connection) -> None:
    """Make the tables, in one transaction."""
    with transaction(connection, "IMMEDIATE"):
        connection.execute(
            "CREATE TABLE counter (step INTEGER PRIMARY KEY) STRICT;"
            "CREATE TABLE total (steps INTEGER NOT NULL) STRICT;"
            "CREATE TABLE payload (slot INTEGER PRIMARY KEY, step INTEGER, data BLOB) STRICT;"
            "INSERT INTO total VALUES (0)"
        )


def payload(step: int) -> bytes:
    """Give octets of one to five pages that belong to one step only."""
    return step.to_bytes(4, "big") * (1024 * (1 + step % 5) - step % 7)


def workload(connection: apsw.Connection, step: int) -> None:
    """Run one transaction; it is acknowledged when this returns. Steps count from 1."""
    with transaction(connection, "IMMEDIATE"):
        connection.execute("INSERT INTO counter VALUES (?)", (step,))
        connection.execute(
            "INSERT OR REPLACE INTO payload VALUES (?, ?, ?)", (step % SLOTS, step, payload(step))
        )
        connection.execute("UPDATE total SET steps = steps + 1")


def last_step(connection: apsw.Connection) -> int:
    """Give the last step that is stored, having checked that it is whole and none is missing.

    Raises:
        HalfTransactionError: steps are missing, or one is stored in part.
    """
    if not connection.execute("SELECT count(*) FROM sqlite_schema").get:
        return NOTHING
    steps = [row[0] for row in connection.execute("SELECT step FROM counter ORDER BY step")]
    last = len(steps)
    if steps != list(range(1, last + 1)):
        raise HalfTransactionError(f"not all of the first {last} steps are there: {steps}")
    if [(last,)] != list(connection.execute("SELECT steps FROM total")):
        raise HalfTransactionError(f"the total does not match {last} steps")
    kept = {row[1]: row[2] for row in connection.execute("SELECT slot, step, data FROM payload")}
    if kept != {step: payload(step) for step in range(max(1, last - SLOTS + 1), last + 1)}:
        raise HalfTransactionError(f"the payloads do not match {last} steps: {sorted(kept)}")
    return last


@dataclass(frozen=True)
class Workload:
    """What is run, and how its outcome is read.

    Attributes:
        prepare: makes the tables.
        step: one transaction, acknowledged when it returns.
        last_step: the last step that is stored, `NOTHING` when not even `prepare` is; raises
            HalfTransactionError when what is stored is no state between two steps.
    """

    prepare: Callable[[apsw.Connection], None] = prepare
    step: Callable[[apsw.Connection, int], None] = workload
    last_step: Callable[[apsw.Connection], int] = last_step


DEFAULT = Workload()


@dataclass
class Figures:
    """What a campaign found.

    Attributes:
        images: power cuts during the workload.
        recovery_images: power cuts during the recovery from one of these.
        acked_checked: acknowledged transactions looked for, over all images.
        lost: images in which an acknowledged transaction is missing.
        corrupt: images that cannot be read, or hold half a transaction or one never begun.
        examples: the first few findings.
    """

    images: int = 0
    recovery_images: int = 0
    acked_checked: int = 0
    lost: int = 0
    corrupt: int = 0
    examples: list[str] = field(default_factory=list)

    def note(self, outcome: "Outcome", *, acked: int, begun: int) -> None:
        """Judge the recovery of one image."""
        self.acked_checked += max(acked, 0)
        finding = outcome.damage
        if outcome.damage:
            self.corrupt += 1
        elif outcome.last > begun:
            self.corrupt += 1
            finding = f"step {outcome.last} is there, but only {begun} were begun"
        elif outcome.last < acked:
            self.lost += 1
            finding = f"{acked} steps were acknowledged, {outcome.last} are there"
        if finding and len(self.examples) < 5:
            self.examples.append(finding)


@dataclass(frozen=True)
class Outcome:
    """What a recovery found: the last step, or the damage; and how many operations it took."""

    last: int
    damage: str
    operations: int


@dataclass(frozen=True)
class Image:
    """A disk after a power cut, and what was known at that moment."""

    disk: Disk
    acked: int
    begun: int


def open_store(
    vfs: PowerVFS, path: Path, synchronous: Synchronous, *, create: bool = False
) -> apsw.Connection:
    """Open as the gateway does, then lower the promise when the campaign asks for that."""
    connection = connect(path, create=create, vfs=vfs.name)
    if synchronous != "full":
        connection.pragma("synchronous", synchronous)
    return connection


def checkpoint(connection: apsw.Connection, step: int) -> None:
    """Move the log into the database every few steps, each time in another way."""
    turn, rest = divmod(step, CHECKPOINT_STEPS)
    if rest == 0:
        connection.pragma(f"wal_checkpoint({CHECKPOINTS[turn % len(CHECKPOINTS)]})")


class Campaign:
    """Runs, cuts and recovers.

    Attributes:
        figures: what was found so far.
    """

    def __init__(
        self, vfs: PowerVFS, *, seed: int, synchronous: Synchronous, work: Workload = DEFAULT
    ) -> None:
        self.figures = Figures()
        self._vfs = vfs
        self._rng = random.Random(seed)
        self._synchronous = synchronous
        self._work = work
        self._acked = NOTHING
        self._begun = NOTHING
        self._images: list[Image] = []
        self._recovery_operations = 1

    def run(self, images: int, *, every: int) -> None:
        """Run rounds of the workload, with a cut at every so many operations."""
        while self.figures.images < images:
            for _ in self._round(every):
                for image in self._images:
                    if self.figures.images < images:
                        self._examine(image)
                self._images.clear()
                if self.figures.images >= images:
                    break

    def _round(self, every: int) -> Iterator[None]:
        """Run the workload on a fresh disk; stops after each step with the images so far."""
        self._acked = self._begun = NOTHING
        disk = Disk()
        phase = self._rng.randrange(every)

        def watch(disk: Disk) -> None:
            if disk.operations % every == phase:
                self._take(disk)

        disk.watch = watch
        with self._vfs.mounted(disk) as path, contextlib.ExitStack() as stack:
            connection = open_store(self._vfs, path, self._synchronous, create=True)
            stack.callback(lambda: connection.close())  # noqa: PLW0108 - it is opened anew
            self._begun = 0
            self._work.prepare(connection)
            self._acked = 0
            yield
            for step in range(1, ROUND_STEPS + 1):
                self._begun = step
                self._work.step(connection, step)
                self._acked = step
                self._take(disk)
                checkpoint(connection, step)
                if step % REOPEN_STEPS == 0:
                    connection.close()
                    connection = open_store(self._vfs, path, self._synchronous)
                yield

    def _take(self, disk: Disk) -> None:
        self._images.append(Image(disk.cut(self._rng), self._acked, self._begun))

    def _examine(self, image: Image) -> None:
        """Recover from an image; then from a cut during that recovery."""
        again: list[Disk] = []
        moment = self._rng.randint(1, self._recovery_operations)

        def watch(disk: Disk) -> None:
            if disk.operations == moment:
                again.append(disk.cut(self._rng))

        image.disk.watch = watch
        outcome = recover(self._vfs, image.disk, self._synchronous, self._work)
        self.figures.images += 1
        self.figures.note(outcome, acked=image.acked, begun=image.begun)
        self._recovery_operations = max(1, outcome.operations)
        if outcome.damage or outcome.last < image.acked:
            return
        for disk in again:
            second = recover(self._vfs, disk, self._synchronous, self._work)
            self.figures.recovery_images += 1
            # What the first recovery has shown to a reader may not vanish either.
            self.figures.note(second, acked=outcome.last, begun=image.begun)


def recover(
    vfs: PowerVFS, disk: Disk, synchronous: Synchronous = "full", work: Workload = DEFAULT
) -> Outcome:
    """Open a disk's database, have SQLite check it, read how far it got, and close it."""
    last, damage = NOTHING, ""
    with vfs.mounted(disk) as path, contextlib.ExitStack() as stack:
        try:
            connection = open_store(vfs, path, synchronous)
            stack.callback(connection.close)
            found = [row[0] for row in connection.execute("PRAGMA integrity_check")]
            if found == ["ok"]:
                last = work.last_step(connection)
            else:
                damage = f"integrity_check: {found[0]}"
        except apsw.CantOpenError:
            last = NOTHING
        except (apsw.Error, StoreError, HalfTransactionError) as error:
            damage = f"{type(error).__name__}: {error}"
    return Outcome(last, damage, disk.operations)


@dataclass
class ErrorFigures:
    """What the loop over single errors found.

    Attributes:
        errors: runs in which the error struck.
        unnoticed: runs in which nothing raised although it did.
        recoveries: what was found afterwards, by another process and after a power cut.
    """

    errors: int = 0
    unnoticed: int = 0
    recoveries: Figures = field(default_factory=Figures)

    @property
    def is_clean(self) -> bool:
        """Tell whether every error was noticed and nothing was lost."""
        return not (self.unnoticed or self.recoveries.lost or self.recoveries.corrupt)


FAULTS: tuple[tuple[Operation, type[apsw.Error], bool], ...] = (
    ("write", apsw.IOError, False),
    ("write", apsw.FullError, False),
    ("write", apsw.FullError, True),
    ("sync", apsw.IOError, False),
    ("sync", apsw.FullError, False),
)


def error_loop(
    vfs: PowerVFS, *, seed: int, steps: int, every: int = 1, forget: bool = False
) -> ErrorFigures:
    """Let each write and each sync fail in turn, as a failing and as a full disk.

    Args:
        vfs: the layer.
        seed: of the power cuts that follow.
        steps: how long each run is.
        every: tries every so many operations only.
        forget: a failed sync drops what it could not write.
    """
    figures = ErrorFigures()
    rng = random.Random(seed)
    for operation, error, lasting in FAULTS:
        nth = 1
        while True:
            fault = Fault(operation, nth, error, lasting=lasting, forget=forget)
            run = _FaultyRun(vfs, Disk(seed=rng.getrandbits(32)), fault)
            run.run(steps)
            if not fault.hits:
                break
            figures.errors += 1
            figures.unnoticed += not run.noticed
            for disk in (run.disk.restart(), run.disk.cut(rng), run.disk.cut(rng)):
                outcome = recover(vfs, disk)
                figures.recoveries.images += 1
                figures.recoveries.note(outcome, acked=run.acked, begun=run.begun)
            nth += every
    return figures


class _FaultyRun:
    """The workload on a disk with a fault: ends when the disk fails, goes on when it is full."""

    def __init__(self, vfs: PowerVFS, disk: Disk, fault: Fault) -> None:
        self.disk = disk
        self.acked = self.begun = NOTHING
        self.noticed = False
        self._vfs = vfs
        self._fault = fault

    def run(self, steps: int) -> None:
        """Run; what the disk holds at the end is in `disk`."""
        live = self.disk
        live.fault = self._fault
        with self._vfs.mounted(live) as path:
            connection: apsw.Connection | None = None
            try:
                connection = self._open(path)
                self._steps(connection, steps)
            except (apsw.Error, StoreError):
                self.noticed = True
            self.disk = live.restart()  # the process dies here: no orderly close
            live.fault = None
            if connection is not None:
                connection.close()

    def _open(self, path: Path) -> apsw.Connection:
        return connect(path, create=True, vfs=self._vfs.name)

    def _steps(self, connection: apsw.Connection, steps: int) -> None:
        self.begun = 0
        self._until_done(lambda: prepare(connection))
        self.acked = 0
        for step in range(1, steps + 1):
            self.begun = step
            self._until_done(partial(workload, connection, step))
            self.acked = step
            self._until_done(partial(checkpoint, connection, step))

    def _until_done(self, work: Callable[[], None]) -> None:
        """Try, and on a full disk try again; a fault that lasts ends after the second failure."""
        for _ in range(3):
            try:
                work()
            except (DiskFullError, apsw.FullError):
                self.noticed = True
                if self._fault.hits > 1:
                    self._fault.lasting = False
            else:
                return
        raise StoreError("the disk stays full")


def verdict(synchronous: Synchronous, figures: Figures) -> str:
    """Say what is wrong with the outcome; nothing when it is as expected."""
    if synchronous == "full":
        return "lost or corrupt" if figures.lost or figures.corrupt else ""
    found = figures.lost if synchronous == "normal" else figures.lost + figures.corrupt
    return "" if found else "no fault found: the campaign is blind"


def main(arguments: list[str] | None = None) -> int:
    """Run a campaign from the command line; gives the exit status."""
    parser = argparse.ArgumentParser(prog="power", description="Power cuts against the store.")
    parser.add_argument("--images", type=int, default=1000, help="power cuts")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--every", type=int, default=5, help="cut at every so many operations")
    parser.add_argument("--synchronous", choices=("full", "normal", "off"), default="full")
    parser.add_argument("--steps", type=int, default=12, help="length of a run with an error")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    options = parser.parse_args(arguments)
    started = time.perf_counter()
    with power_vfs() as vfs:
        campaign = Campaign(vfs, seed=options.seed, synchronous=options.synchronous)
        campaign.run(options.images, every=options.every)
        figures = campaign.figures
        wrong = verdict(options.synchronous, figures)
        report = {"synchronous": options.synchronous, "seed": options.seed, **asdict(figures)}
        report["seconds"] = round(time.perf_counter() - started, 2)
        if options.synchronous == "full":
            started = time.perf_counter()
            errors = error_loop(vfs, seed=options.seed, steps=options.steps)
            report["errors"] = asdict(errors)
            report["errors_seconds"] = round(time.perf_counter() - started, 2)
            if not errors.is_clean:
                wrong = wrong or "an error of the disk was unnoticed or lost something"
    report["verdict"] = wrong or "as expected"
    if options.json:
        lines = [json.dumps(report)]
    else:
        lines = [f"{name:16} {value}" for name, value in report.items()]
    sys.stdout.write("\n".join(lines) + "\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
