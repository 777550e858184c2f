"""Writing the site into a folder that any web server can serve: whole files, only what changed."""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from cbgateway.domain.errors import InputError

MANIFEST = ".cbgateway-site.json"
"""Which files of a folder are ours; nothing else is ever touched there."""


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export did.

    Attributes:
        files: of the site.
        written: paths that were new or had changed.
        removed: paths that the site has no more.
    """

    files: int
    written: tuple[str, ...]
    removed: tuple[str, ...]


def export(
    folder: Path,
    files: Mapping[str, bytes],
    lasting: Mapping[str, Callable[[], bytes]] | None = None,
) -> Exported:
    """Bring a folder up to date.

    Each file is replaced as a whole, so that nobody ever reads half of one; pages that others lead
    to are written before them, and removed after them.

    Args:
        folder: one that this has made, an empty one, or none yet.
        files: by path, in the order to write them.
        lasting: what gives a file that never changes, by path; asked for once, when it is not
            there, before anything that leads to it is written.

    Raises:
        InputError: the folder is somebody else's, or cannot be written.
    """
    try:
        lasting = lasting or {}
        ours = _ours(folder)
        fresh = [path for path in lasting if not (folder / path).is_file()]
        written = [path for path in fresh if _write(folder, path, lasting[path]())]
        written += [path for path, octets in files.items() if _write(folder, path, octets)]
        kept = {*files, *lasting}
        removed = [path for path in ours if path not in kept and _remove(folder, path)]
        if written or removed or set(ours) != kept:
            listing = json.dumps({"format": 1, "files": sorted(kept)}, indent=1) + "\n"
            _write(folder, MANIFEST, listing.encode())
    except OSError as error:
        msg = f"{folder}: {error.strerror}"
        raise InputError(msg) from error
    return Exported(len(kept), tuple(written), tuple(removed))


def _ours(folder: Path) -> list[str]:
    """Give the files that an earlier export has written.

    Raises:
        InputError: the folder holds something, and no export made it.
    """
    try:
        listing = json.loads((folder / MANIFEST).read_text("utf-8"))
        names = [str(name) for name in listing["files"]]
    except FileNotFoundError:
        if folder.exists() and any(folder.iterdir()):
            msg = f"{folder} is not empty, and no earlier export made it; name a folder of its own"
            raise InputError(msg) from None
        return []
    except (ValueError, TypeError, KeyError) as error:
        msg = f"{folder / MANIFEST} is not what an export writes; name a folder of its own"
        raise InputError(msg) from error
    for name in names:
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            msg = f"{folder / MANIFEST} names {name!r}, which is not inside"
            raise InputError(msg)
    return names


def _write(folder: Path, path: str, octets: bytes) -> bool:
    """Replace a file if its content differs; tells whether it did."""
    target = folder / path
    try:
        if target.read_bytes() == octets:
            return False
    except FileNotFoundError:
        target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.with_name(f".{target.name}.new")
    with fresh.open("wb") as file:
        file.write(octets)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(target)
    return True


def _remove(folder: Path, path: str) -> bool:
    """Take a file away, and folders that it leaves empty."""
    target = folder / path
    target.unlink(missing_ok=True)
    for parent in target.relative_to(folder).parents:
        if parent == Path() or any((folder / parent).iterdir()):
            break
        (folder / parent).rmdir()
    return True
