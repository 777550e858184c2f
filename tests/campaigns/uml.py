"""Cuts the power under the store: kills a User Mode Linux guest that commits, and looks again.

    python -m tests.campaigns.uml --cuts 20 --seed 1

The guest's root is the host's, read-only through hostfs; the database is on an ext4 image, the
guest's disk. A writer in the guest commits numbers and says each one, after its commit, into a
host file. SIGKILL to every process of the guest is the cut. A second boot replays the ext4 journal
and the write-ahead log; a number that was said and is not there is lost. The next cut goes on
with the same image.

What a cut loses: all that the guest's kernel held in memory, which is every write that was not
synced, nor written back by chance, and the disk requests under way; one of these may be torn at
a page. What it does not lose: writes that the guest handed to its disk. They are in the host's
page cache, also those not yet flushed, so this finds a missing or misplaced fsync, but not a disk
that lies about its cache nor a kernel that forgets the flush. For the same reason the disk needs
no `s` flag: synchronous host writes change nothing that a guest's death can show.

`--synchronous normal` is the control: SQLite then does not sync commits, so cuts must lose some.

Exit status: 0 good; 1 numbers lost with `full`, or a corrupt database; 2 the guest cannot run.
"""

import argparse
import contextlib
import json
import os
import random
import shlex
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).resolve().parents[2]
GUEST = Path(__file__).with_name("uml_guest.py")
XSTATE = Path(__file__).with_name("uml_xstate.c")
BOOT_TIMEOUT_S = 60.0  # from a boot to the first acknowledgement, or to the checker's end
END_TIMEOUT_S = 10.0  # for killed processes to be gone
CUT_AFTER_MAX_S = 1.0  # the cut comes up to so long after the first acknowledgements
FIRST_ACKS_MAX = 5
POLL_S = 0.01
MEMORY = "128M"
IMAGE_MB = 64
IMAGE_MB_PER_CUT = 2  # the image is sparse; the database grows with every cut
CONSOLE_LINES = 15
KERNEL = "linux.uml"
SCRIPT = """\
#!/bin/sh
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PYTHONPATH={root} PYTHONDONTWRITEBYTECODE=1
mount -t proc proc /proc
mount -t hostfs none {said} -o {said}
[ -b /dev/ubda ] || {{ mount -t tmpfs tmpfs /dev; mknod /dev/ubda b 98 0; }}
mount -t ext4 /dev/ubda {disk} && {python} -P {guest} {arguments}
umount {disk}
echo o > /proc/sysrq-trigger
sleep 60
"""


class GuestError(Exception):
    """The guest cannot run here, or did not do what it was booted for."""


@dataclass(frozen=True)
class Bench:
    """A campaign's files.

    Attributes:
        base: the temporary folder with all of them.
        kernel: the guest's kernel, a program.
        environment: what it needs on this processor.
    """

    base: Path
    kernel: str
    environment: dict[str, str]

    @property
    def image(self) -> Path:
        """The guest's disk."""
        return self.base / "disk.img"

    @property
    def disk(self) -> Path:
        """Where the guest mounts its disk."""
        return self.base / "disk"

    @property
    def said(self) -> Path:
        """The folder that the guest writes to on the host."""
        return self.base / "said"

    @property
    def console(self) -> Path:
        """What the guest's console shows."""
        return self.base / "console"

    def failure(self, what: str) -> GuestError:
        """Make an error that shows the end of the console."""
        lines = self.console.read_text(errors="replace").splitlines()[-CONSOLE_LINES:]
        return GuestError("\n  ".join([f"{what}; its console ended with:", *lines]))


@dataclass
class Result:
    """What the cuts did.

    Attributes:
        cuts: how often the power was cut.
        acked: numbers that the guest acknowledged.
        lost: of these, numbers that were not there after the cut.
        unacked: numbers that were there, but the cut came before their acknowledgement.
        corrupt: cuts that left a database with a fault.
        problems: the faults.
        recovery_ms: for each cut, how long opening the database took, in the guest.
        boot_ms: for each cut, how long the whole second boot took, from power to power off.
    """

    synchronous: str
    seed: int
    cuts: int = 0
    acked: int = 0
    lost: int = 0
    cuts_that_lost: int = 0
    unacked: int = 0
    corrupt: int = 0
    problems: list[str] = field(default_factory=list)
    recovery_ms: list[float] = field(default_factory=list)
    boot_ms: list[float] = field(default_factory=list)

    @property
    def failed(self) -> bool:
        """Whether the store broke its promise."""
        return self.corrupt > 0 or (self.synchronous == "full" and self.lost > 0)

    def facts(self) -> dict[str, Any]:
        """Give the figures, with times as median and maximum."""
        facts: dict[str, Any] = {
            "synchronous": self.synchronous,
            "seed": self.seed,
            "cuts": self.cuts,
            "acked": self.acked,
            "lost": self.lost,
            "cuts_that_lost": self.cuts_that_lost,
            "unacked": self.unacked,
            "corrupt": self.corrupt,
            "problems": self.problems,
        }
        for name, times in (("recovery_ms", self.recovery_ms), ("boot_ms", self.boot_ms)):
            facts[f"{name}_median"] = round(statistics.median(times), 1) if times else None
            facts[f"{name}_max"] = round(max(times), 1) if times else None
        return facts


def members(group: int) -> list[int]:
    """List the live processes of a process group; the dead that nobody reaped do not count."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            state, _, its_group = (entry / "stat").read_text().rpartition(")")[2].split()[:3]
            if int(its_group) == group and state not in "ZX":
                found.append(int(entry.name))
    return found


def cut(guest: subprocess.Popen[bytes]) -> None:
    """Kill every process of a guest, and wait until all are gone.

    Raises:
        GuestError: some are still there; the image must not be used.
    """
    with contextlib.suppress(ProcessLookupError):
        os.killpg(guest.pid, signal.SIGKILL)
    end = time.monotonic() + END_TIMEOUT_S
    while guest.poll() is None or members(guest.pid):
        if time.monotonic() > end:
            raise GuestError(f"killed processes are still there: {members(guest.pid)}")
        time.sleep(POLL_S)


@contextlib.contextmanager
def boot(bench: Bench, arguments: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """Boot a guest that runs the guest program once; it is gone when the block ends."""
    quoted = {
        "root": str(ROOT),
        "said": str(bench.said),
        "disk": str(bench.disk),
        "python": sys.executable,
        "guest": str(GUEST),
    }
    script = bench.base / "init"
    script.write_text(
        SCRIPT.format(
            **{name: shlex.quote(text) for name, text in quoted.items()},
            arguments=shlex.join(arguments),
        )
    )
    script.chmod(0o755)
    command = [
        bench.kernel,
        f"mem={MEMORY}",
        f"uml_dir={bench.base}/",
        f"ubd0={bench.image}",
        *("root=/dev/root", "rootfstype=hostfs", "hostfs=/", "ro", f"init={script}"),
        *("con=null", "con0=null,fd:1", "quiet", "panic=-1"),
    ]
    with (
        bench.console.open("wb") as console,
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=os.environ | bench.environment,
        ) as guest,
    ):
        try:
            yield guest
        finally:
            cut(guest)


def acknowledged(acks: Path) -> list[int]:
    """Read the numbers that the guest said; a line that the cut left unfinished does not count."""
    return [int(line) for line in acks.read_text().split("\n")[:-1]]


def write_and_cut(bench: Bench, rng: random.Random, *, synchronous: str, first: int) -> int:
    """Boot the writer, cut the power at a random moment, and give the last acknowledged number.

    Raises:
        GuestError: the writer did not start, or ended by itself.
    """
    acks = bench.said / "acks"
    acks.write_text("")
    enough = rng.randint(1, FIRST_ACKS_MAX)
    wait_s = rng.uniform(0, CUT_AFTER_MAX_S)
    arguments = ["write", f"--database={bench.disk / 'cut.db'}", f"--out={acks}"]
    arguments += [f"--synchronous={synchronous}", f"--first={first}", f"--seconds={BOOT_TIMEOUT_S}"]
    with boot(bench, arguments) as guest:
        end = time.monotonic() + BOOT_TIMEOUT_S
        while len(acknowledged(acks)) < enough:
            if guest.poll() is not None:
                raise bench.failure("the guest ended before it was cut")
            if time.monotonic() > end:
                raise bench.failure(f"the guest acknowledged nothing in {BOOT_TIMEOUT_S:g} s")
            time.sleep(POLL_S)
        time.sleep(wait_s)
        if guest.poll() is not None:
            raise bench.failure("the guest ended before it was cut")
    numbers = acknowledged(acks)
    if numbers != list(range(first, first + len(numbers))):
        raise bench.failure(f"the guest acknowledged out of order: {numbers}")
    return numbers[-1]


def look(bench: Bench) -> tuple[dict[str, Any], float]:
    """Boot the checker, and give what it found and the milliseconds from power to power off.

    Raises:
        GuestError: it did not finish.
    """
    found = bench.said / "found"
    found.write_text("")
    start = time.monotonic()
    with boot(bench, ["check", f"--database={bench.disk / 'cut.db'}", f"--out={found}"]) as guest:
        try:
            guest.wait(BOOT_TIMEOUT_S)
        except subprocess.TimeoutExpired as error:
            raise bench.failure(f"the checker took more than {BOOT_TIMEOUT_S:g} s") from error
    boot_ms = (time.monotonic() - start) * 1000
    text = found.read_text()
    if not text:
        raise bench.failure("the checker left no result")
    return json.loads(text), boot_ms


def campaign(bench: Bench, *, cuts: int, seed: int, synchronous: str) -> Result:
    """Cut so many times on one image; ends early at a corrupt database."""
    rng = random.Random(seed)
    result = Result(synchronous, seed)
    first = 1
    for _ in range(cuts):
        last = write_and_cut(bench, rng, synchronous=synchronous, first=first)
        found, boot_ms = look(bench)
        result.cuts += 1
        result.acked += last - first + 1
        result.boot_ms.append(boot_ms)
        if found["problems"]:
            result.corrupt += 1
            result.problems += found["problems"]
            break
        highest = found["highest"]
        missing = max(0, last - highest)
        missing += sum(end - start + 1 for start, end in found["gaps"] if start <= last)
        result.lost += missing
        result.cuts_that_lost += missing > 0
        result.unacked += max(0, highest - last)
        result.recovery_ms.append(found["recovery_ms"])
        if found["gaps"]:
            result.corrupt += 1
            result.problems.append(f"numbers are missing among others: {found['gaps']}")
            break
        first = highest + 1
    return result


def prepare(base: Path, *, cuts: int) -> Bench:
    """Make the folders and an empty ext4 image.

    Raises:
        GuestError: a program is not installed, or the folder's path is not for a command line.
    """
    path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
    kernel, mkfs = shutil.which(KERNEL, path=path), shutil.which("mkfs.ext4", path=path)
    if kernel is None:
        raise GuestError(
            f"User Mode Linux ({KERNEL}) is not installed: apt-get install user-mode-linux"
        )
    if mkfs is None:
        raise GuestError("mkfs.ext4 is not installed: apt-get install e2fsprogs")
    if any(letter in ' ,:"' for letter in str(base)):
        raise GuestError(f"a kernel's command line cannot hold {base}; set TMPDIR")
    bench = Bench(base, kernel, _environment(base))
    bench.disk.mkdir()
    bench.said.mkdir()
    with bench.image.open("wb") as image:
        image.truncate((IMAGE_MB + IMAGE_MB_PER_CUT * cuts) << 20)
    subprocess.run([mkfs, "-q", "-F", bench.image], check=True, timeout=BOOT_TIMEOUT_S)
    return bench


def _environment(base: Path) -> dict[str, str]:
    """Make what stands between the guest's kernel and a processor with too many registers.

    Raises:
        GuestError: it cannot be compiled.
    """
    if "amx_tile" not in Path("/proc/cpuinfo").read_text():
        return {}
    library = base / "xstate.so"
    try:
        subprocess.run(
            ["cc", "-O2", "-shared", "-fPIC", "-o", library, XSTATE, "-ldl"],
            check=True,
            timeout=BOOT_TIMEOUT_S,
        )
    except (OSError, subprocess.CalledProcessError) as error:
        raise GuestError(
            f"this processor needs a C compiler: apt-get install gcc ({error})"
        ) from error
    return {"LD_PRELOAD": str(library)}


def report(result: Result) -> str:
    """Write the figures as lines."""
    facts = result.facts()
    lines = [
        f"cuts            {result.cuts} (synchronous {result.synchronous}, seed {result.seed})",
        f"acked           {result.acked}",
        f"lost            {result.lost} (in {result.cuts_that_lost} cuts)",
        f"unacked         {result.unacked}",
        f"corrupt         {result.corrupt}",
        f"recovery ms     {facts['recovery_ms_median']} median, {facts['recovery_ms_max']} max",
        f"second boot ms  {facts['boot_ms_median']} median, {facts['boot_ms_max']} max",
    ]
    if result.synchronous == "normal" and not result.lost:
        lines.append("nothing was lost without syncing: these cuts prove nothing; use more")
    return "\n".join([*lines, *result.problems])


def stop(signum: int, frame: object) -> NoReturn:
    """End by an exception, so that the guest and the files go too."""
    raise SystemExit(128 + signum)


def main() -> int:
    """Run the campaign, and print what it found."""
    parser = argparse.ArgumentParser(description="cut the power under the store")
    parser.add_argument("--cuts", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--synchronous", choices=["full", "normal"], default="full")
    parser.add_argument("--json", action="store_true", help="print one object")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, stop)
    try:
        with tempfile.TemporaryDirectory(prefix="uml-") as base:
            bench = prepare(Path(base), cuts=args.cuts)
            result = campaign(bench, cuts=args.cuts, seed=args.seed, synchronous=args.synchronous)
    except GuestError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write((json.dumps(result.facts()) if args.json else report(result)) + "\n")
    return 1 if result.failed else 0


if __name__ == "__main__":
    sys.exit(main())
