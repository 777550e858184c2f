"""A file system layer for SQLite whose disk has a cache that a power cut empties.

Contents live in memory, one `Disk` for each directory that the layer knows. What is written is
read back at once, but lasts only after a sync of that file; names that were made or deleted last
only after a sync of the directory, which SQLite's Unix layer does at the first sync of a journal
or log that it opened to create. `Disk.cut` gives the disk as a power cut may leave it.

Unsynced sectors of 512 octets are kept, dropped or torn one by one; a shortened file is either
shortened or not. A torn sector harms only the octets being written, which is what SQLite assumes
of disks ("powersafe overwrite") unless it is told otherwise.

Locks and the shared memory of the write-ahead log are left to the Unix layer, on an empty file
that stands in for the database: apsw offers no hooks for shared memory in Python, but hands it to
the layer underneath when there is one. So several connections work, opened just as the gateway
opens them; `locking_mode=EXCLUSIVE` would do without shared memory, but is not how it runs.
"""

import random
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import apsw

SECTOR = 512
SHARES = (0.0, 0.2, 0.5, 0.8, 0.95, 1.0)  # of unsynced sectors that a cut leaves written
NEWEST = 0.75  # how often a written sector holds the newest of its versions
TORN = 0.1  # how many written sectors are written only in part
DATABASE = "store.db"
DIRECTORY_SYNCED = (
    apsw.SQLITE_OPEN_MAIN_JOURNAL | apsw.SQLITE_OPEN_SUPER_JOURNAL | apsw.SQLITE_OPEN_WAL
)
KEPT = DIRECTORY_SYNCED | apsw.SQLITE_OPEN_MAIN_DB

Operation = Literal["write", "sync"]


@dataclass
class _Epoch:
    """What a file may hold between two shortenings of it."""

    durable: bytearray
    sizes: list[int]
    unsynced: dict[int, list[bytes]] = field(default_factory=dict)

    def cut(self, rng: random.Random) -> bytes:
        """Give what a power cut may leave."""
        size = self.sizes[-1] if rng.random() < 0.5 else rng.choice(self.sizes)
        image = self.durable.ljust(max(self.sizes) + SECTOR, b"\0")
        share = rng.choice(SHARES)
        for sector, versions in self.unsynced.items():
            if rng.random() >= share:
                continue
            version = versions[-1] if rng.random() < NEWEST else rng.choice(versions)
            written = rng.randrange(SECTOR) if rng.random() < TORN else SECTOR
            start = sector * SECTOR
            image[start : start + written] = version[:written]
        return bytes(image[:size])

    def copy(self) -> "_Epoch":
        """Give the same, to be changed apart."""
        unsynced = {sector: list(versions) for sector, versions in self.unsynced.items()}
        return _Epoch(bytearray(self.durable), list(self.sizes), unsynced)


class Content:
    """The octets of one file: as they read now, and as they may read after a power cut."""

    def __init__(self, octets: bytes = b"") -> None:
        self.live = bytearray(octets)
        self._epochs = [_Epoch(bytearray(octets), [len(octets)])]

    def write(self, data: bytes, offset: int) -> None:
        """Write to the cache."""
        size = len(self.live)
        end = offset + len(data)
        if end > size:
            self.live.extend(bytes(end - size))
            self._epochs[-1].sizes.append(end)
        self.live[offset:end] = data
        unsynced = self._epochs[-1].unsynced
        for sector in range(min(offset, size) // SECTOR, -(-end // SECTOR)):
            start = sector * SECTOR
            version = bytes(self.live[start : start + SECTOR]).ljust(SECTOR, b"\0")
            unsynced.setdefault(sector, []).append(version)

    def truncate(self, size: int) -> None:
        """Set the length, in the cache."""
        if size > len(self.live):
            self.write(b"", size)
        elif size < len(self.live):
            del self.live[size:]
            epoch = self._epochs[-1].copy()
            del epoch.durable[size:]
            epoch.sizes = [size]
            for sector in [key for key in epoch.unsynced if key * SECTOR >= size]:
                del epoch.unsynced[sector]
            self._epochs.append(epoch)

    def sync(self) -> None:
        """Empty the cache onto the disk."""
        epoch = self._epochs[-1]
        size = len(self.live)
        image = epoch.durable.ljust(size + SECTOR, b"\0")
        for sector, versions in epoch.unsynced.items():
            start = sector * SECTOR
            image[start : start + SECTOR] = versions[-1]
        self._epochs = [_Epoch(image[:size], [size])]

    def forget(self, rng: random.Random) -> None:
        """Fail to empty the cache, and hold what is in it for written from now on."""
        image = self.cut(rng)
        self._epochs = [_Epoch(bytearray(image), [len(image)])]

    def cut(self, rng: random.Random) -> bytes:
        """Give what a power cut may leave."""
        return rng.choice(self._epochs).cut(rng)

    def copy(self) -> "Content":
        """Give the same, to be changed apart."""
        twin = Content()
        twin.live = bytearray(self.live)
        twin._epochs = [epoch.copy() for epoch in self._epochs]
        return twin


@dataclass
class Fault:
    """An operation that fails.

    Attributes:
        operation: which kind is counted; shortening a file counts as a write.
        nth: the one that fails, from 1.
        error: what SQLite is told.
        lasting: all that follow fail as well, until the fault is taken from the disk.
        forget: a failed sync drops what it could not write and never tries it again, as Linux does.
        hits: how often it has struck.
    """

    operation: Operation
    nth: int
    error: type[apsw.Error]
    lasting: bool = False
    forget: bool = False
    hits: int = 0

    def strikes(self, operation: Operation) -> bool:
        """Count an operation; tell whether it fails."""
        if operation != self.operation:
            return False
        self.nth -= 1
        struck = self.nth == 0 or (self.lasting and self.nth < 0)
        self.hits += struck
        return struck


def _ignore(disk: "Disk") -> None:
    """Look away."""


class Disk:
    """Files by name, and what a power cut would do to them.

    Attributes:
        operations: writes, shortenings, syncs and deletions so far.
        watch: called with the disk after a change to the cache and before a sync.
        fault: what goes wrong, if anything.
    """

    def __init__(self, files: Mapping[str, bytes] | None = None, seed: int = 0) -> None:
        self.operations = 0
        self.watch: Callable[[Disk], None] = _ignore
        self.fault: Fault | None = None
        self._rng = random.Random(seed)
        self._names: dict[str, list[Content | None]] = {  # oldest is durable, newest is now
            name: [Content(octets)] for name, octets in (files or {}).items()
        }

    def find(self, name: str) -> Content | None:
        """Give a file as it is now."""
        versions = self._names.get(name)
        return versions[-1] if versions else None

    def create(self, name: str) -> Content:
        """Make an empty file; its name is not durable yet."""
        content = Content()
        self._names.setdefault(name, [None]).append(content)
        return content

    def delete(self, name: str) -> bool:
        """Delete a file, not durably yet; tell whether there was one."""
        if self.find(name) is None:
            return False
        self._names[name].append(None)
        self._count()
        return True

    def write(self, content: Content, data: bytes, offset: int) -> None:
        """Write, or fail half way."""
        if self.fault is not None and self.fault.strikes("write"):
            content.write(data[: len(data) // 2], offset)
            raise self._error(self.fault.error, apsw.SQLITE_IOERR_WRITE)
        content.write(data, offset)
        self._count()

    def truncate(self, content: Content, size: int) -> None:
        """Set a file's length, or fail."""
        if self.fault is not None and self.fault.strikes("write"):
            raise self._error(self.fault.error, apsw.SQLITE_IOERR_TRUNCATE)
        content.truncate(size)
        self._count()

    def sync(self, content: Content, *, directory: bool) -> None:
        """Make a file durable, and perhaps all names with it, or fail."""
        self._count()
        if self.fault is not None and self.fault.strikes("sync"):
            if self.fault.forget:
                content.forget(self._rng)
            raise self._error(self.fault.error, apsw.SQLITE_IOERR_FSYNC)
        content.sync()
        if directory:
            self.sync_directory()

    def sync_directory(self) -> None:
        """Make all names durable."""
        for versions in self._names.values():
            del versions[:-1]

    def cut(self, rng: random.Random) -> "Disk":
        """Give the disk as a power cut now may leave it."""
        chosen = {name: rng.choice(versions) for name, versions in self._names.items()}
        files = {name: file.cut(rng) for name, file in chosen.items() if file is not None}
        return Disk(files, seed=rng.getrandbits(32))

    def restart(self) -> "Disk":
        """Give the disk as the next process finds it when this one dies: the cache survives."""
        twin = Disk(seed=self._rng.getrandbits(32))
        twin._names = {
            name: [version and version.copy() for version in versions]
            for name, versions in self._names.items()
        }
        return twin

    def _count(self) -> None:
        self.operations += 1
        self.watch(self)

    @staticmethod
    def _error(kind: type[apsw.Error], code: int) -> apsw.Error:
        error = kind("the campaign's fault")
        if kind is apsw.IOError:
            error.extendedresult = code
        return error


class PowerFile(apsw.VFSFile):
    """An open journal or log: contents only, since SQLite takes locks on the database alone."""

    def __init__(self, disk: Disk, content: Content, *, sync_directory: bool) -> None:
        self._hold(disk, content, sync_directory=sync_directory)

    def _hold(self, disk: Disk, content: Content, *, sync_directory: bool) -> None:
        self._disk = disk
        self._content = content
        self._sync_directory = sync_directory

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802 -- apsw's name
        """Read; what lies beyond the end is left out."""
        return bytes(self._content.live[offset : offset + amount])

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 -- apsw's name
        """Write to the cache."""
        self._disk.write(self._content, bytes(data), offset)

    def xTruncate(self, newsize: int) -> None:  # noqa: N802 -- apsw's name
        """Set the length, in the cache."""
        self._disk.truncate(self._content, newsize)

    def xSync(self, flags: int) -> None:  # noqa: N802 -- apsw's name
        """Make the file durable, and the first time its name too where SQLite does that."""
        self._disk.sync(self._content, directory=self._sync_directory)
        self._sync_directory = False

    def xFileSize(self) -> int:  # noqa: N802 -- apsw's name
        """Give the length."""
        return len(self._content.live)

    def xClose(self) -> None:  # noqa: N802 -- apsw's name
        """Nothing is held open."""

    def xFileControl(self, op: int, ptr: int) -> bool:  # noqa: N802 -- apsw's name
        """Know no special requests."""
        return False

    def xDeviceCharacteristics(self) -> int:  # noqa: N802 -- apsw's name
        """Promise what the Unix layer promises by default."""
        return apsw.SQLITE_IOCAP_POWERSAFE_OVERWRITE

    def xSectorSize(self) -> int:  # noqa: N802 -- apsw's name
        """Give what the Unix layer gives; the cache is lost in smaller pieces."""
        return 4096


class DatabaseFile(PowerFile):
    """An open database: locks and shared memory are those of an empty file that stands in."""

    def __init__(self, disk: Disk, content: Content, name: str, flags: int) -> None:
        flags = flags & ~apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_READWRITE
        flags |= apsw.SQLITE_OPEN_CREATE  # the stand-in, whatever the disk has
        apsw.VFSFile.__init__(self, "unix", name, [flags, 0])
        self._hold(disk, content, sync_directory=False)

    xClose = apsw.VFSFile.xClose  # noqa: N815 -- apsw's name
    xFileControl = apsw.VFSFile.xFileControl  # noqa: N815 -- apsw's name


class PowerVFS(apsw.VFS):
    """The layer: each mounted disk is a directory of its own."""

    def __init__(self, name: str, folder: Path) -> None:
        super().__init__(name, "unix")
        self.name = name
        self._folder = folder.resolve()
        self._disks: dict[str, Disk] = {}
        self._mounts = 0

    @contextmanager
    def mounted(self, disk: Disk) -> Iterator[Path]:
        """Give the path of the database on a disk, which may be opened while this lasts."""
        self._mounts += 1
        folder = self._folder / str(self._mounts)
        folder.mkdir()
        self._disks[str(folder)] = disk
        try:
            yield folder / DATABASE
        finally:
            del self._disks[str(folder)]
            for left in folder.iterdir():
                left.unlink()
            folder.rmdir()

    def xOpen(  # noqa: N802 -- apsw's name
        self, name: str | apsw.URIFilename | None, flags: list[int]
    ) -> apsw.VFSFile:
        """Open a file; temporary ones are the Unix layer's, since no cut can matter to them."""
        if name is None or not flags[0] & KEPT:
            return super().xOpen(name, flags)
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        disk, base = self._find(path)
        may_create = bool(flags[0] & apsw.SQLITE_OPEN_CREATE)
        content = disk.find(base)
        if content is None:
            if not may_create:
                raise apsw.CantOpenError(path)
            content = disk.create(base)
        flags[1] = flags[0]
        if flags[0] & apsw.SQLITE_OPEN_MAIN_DB:
            return DatabaseFile(disk, content, path, flags[0])
        return PowerFile(
            disk, content, sync_directory=may_create and bool(flags[0] & DIRECTORY_SYNCED)
        )

    def xAccess(self, pathname: str, flags: int) -> bool:  # noqa: N802 -- apsw's name
        """Tell whether a file is there."""
        disk, base = self._find(pathname)
        return disk.find(base) is not None

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802 -- apsw's name
        """Delete a file."""
        disk, base = self._find(filename)
        if not disk.delete(base):
            error = apsw.IOError(filename)
            error.extendedresult = apsw.SQLITE_IOERR_DELETE_NOENT
            raise error
        if syncdir:
            disk.sync_directory()

    def _find(self, path: str) -> tuple[Disk, str]:
        folder, _, base = path.rpartition("/")
        return self._disks[folder], base


@contextmanager
def power_vfs(name: str = "power") -> Iterator[PowerVFS]:
    """Register the layer while this lasts."""
    with tempfile.TemporaryDirectory() as folder:
        vfs = PowerVFS(name, Path(folder))
        try:
            yield vfs
        finally:
            vfs.unregister()
