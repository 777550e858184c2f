"""The folder that a gateway lives in: made once, backed up, restored."""

import fcntl
import hashlib
import io
import json
import os
import secrets
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from cbgateway.domain.bulletin import Mode
from cbgateway.domain.delivery import Event
from cbgateway.domain.errors import InputError, StoreError
from cbgateway.domain.people import Key
from cbgateway.profiles.loader import Profiles
from cbgateway.settings import FILE_NAME, PASSWORD_CHARACTERS_MAX, Settings, load_settings
from cbgateway.signing.canonical import encode_base64url
from cbgateway.signing.keys import SigningKey
from cbgateway.storage.marks import Marks
from cbgateway.storage.sqlite import SqliteStore

MANIFEST = "manifest.json"
DATABASE = "cbgateway.db"
KEY_MEMBERS = "keys/"
PASSWORD_MEMBERS = "secrets/"  # noqa: S105 - a folder, not a password
PROFILE_MEMBERS = "profiles/"
CELL_MEMBERS = "cells/"
ENQUIRY_KEYS = "enquiries.json"
BACKUP_FORMAT = 1
MEBIBYTE = 1_048_576
KIT_DAYS_MAX = 366
"""No offline kit is good for longer, so that a slot whose kit nobody knows is free one day."""


class Ballast:
    """A file that holds room on the disk, given up for what is never blocked when it is full."""

    def __init__(self, path: Path, octets: int) -> None:
        self.path = path
        self._octets = octets

    def is_there(self) -> bool:
        """Tell whether the room is held."""
        return self.path.exists()

    def hold(self) -> bool:
        """Take the room; False when there is none."""
        try:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError:
            return False
        try:
            os.posix_fallocate(descriptor, 0, self._octets)
        except OSError:
            self.path.unlink()
            return False
        finally:
            os.close(descriptor)
        return True

    def release(self) -> bool:
        """Give the room up; False when it was given up before."""
        try:
            self.path.unlink()
        except FileNotFoundError:
            return False
        return True


def make_home(
    home: Path,
    text: str,
    profiles: Profiles,
    *,
    mode: Mode,
    country: str,
    at: datetime,
    facts: Mapping[str, str] | None = None,
) -> Settings:
    """Make settings, database, marks, the audit key, a key for every region, passwords, ballast.

    Args:
        home: a folder that is not there yet, or empty.
        text: of the settings file.
        profiles: name the regions.
        mode: what the database is for.
        country: code of a country profile.
        at: now.
        facts: what else is fixed for good, such as which offline kit it is.

    Raises:
        InputError: the folder is in use.
    """
    if home.exists() and any(home.iterdir()):
        msg = f"{home} is not empty; a gateway is made in a folder of its own"
        raise InputError(msg)
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    (home / FILE_NAME).write_text(text, "utf-8")
    settings = load_settings(home)
    for carrier in settings.carriers.values():
        _write_secret(carrier.password_file, secrets.token_urlsafe(PASSWORD_CHARACTERS_MAX)[:8])
    audit_key = SigningKey.generate()
    audit_key.save(settings.keys / "audit.pem")
    facts = {
        **(facts or {}),
        "gateway_id": secrets.token_hex(4),
        "audit_epoch": "0",
        "audit_public_key": encode_base64url(audit_key.public_key),
    }
    Marks.open(settings.marks, create=True).close()
    since = at.replace(microsecond=0)
    with (
        closing(
            SqliteStore.create(settings.database, mode=mode, country=country, at=at, facts=facts)
        ) as store,
        store.transaction() as tx,
    ):
        for code in profiles.regions[country]:
            key = SigningKey.generate()
            key.save(settings.keys / "regions" / f"{code}.pem")
            tx.put_region_key(Key(key.key_id, code, key.public_key, since))
        detail = {"mode": mode.value, "country": country, "gateway": facts["gateway_id"]}
        tx.record(Event(at, "gateway", "made", "gateway", detail))
    ballast_of(settings).hold()
    return settings


def ballast_of(settings: Settings) -> Ballast:
    """Give the ballast that a gateway's settings ask for."""
    path = settings.database.with_suffix(".ballast")
    return Ballast(path, int(settings.ballast_mib * MEBIBYTE))


def _write_secret(path: Path, secret: str) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(secret + "\n")


@contextmanager
def serving_lock(settings: Settings) -> Iterator[None]:
    """Hold the lock that says who sends for this database.

    Raises:
        StoreError: another process serves it already.
    """
    path = settings.database.with_suffix(".lock")
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        msg = f"another process serves {settings.database} already"
        raise StoreError(msg) from error
    try:
        yield
    finally:
        os.close(descriptor)


def is_served(settings: Settings) -> bool:
    """Tell whether some process sends for this database now."""
    try:
        with serving_lock(settings):
            return False
    except StoreError:
        return True


def write_backup(
    home: Path,
    settings: Settings,
    store: SqliteStore,
    to: Path,
    *,
    at: datetime,
    with_secrets: bool,
) -> dict[str, Any]:
    """Write database, settings and, if wanted, keys and passwords into one tar file.

    The marks stay where they are: they are what a restored backup is held against.

    Members are named by what they are, not by where this gateway keeps them.

    Raises:
        InputError: there is a file already, or it cannot be written.
        DiskFullError: there is no room beside the database for a copy of it.
    """
    snapshot = settings.database.with_suffix(".snapshot")
    snapshot.unlink(missing_ok=True)
    try:
        store.snapshot(snapshot)
        members = {DATABASE: snapshot.read_bytes(), FILE_NAME: (home / FILE_NAME).read_bytes()}
    finally:
        for leftover in settings.database.parent.glob(f"{snapshot.name}*"):
            leftover.unlink()
    if settings.profiles is not None:
        members |= _files(PROFILE_MEMBERS, settings.profiles)
    if settings.cells.is_dir():
        members |= _files(CELL_MEMBERS, settings.cells)
    if with_secrets:
        members |= _files(KEY_MEMBERS, settings.keys)
        for code, carrier in settings.carriers.items():
            members[f"{PASSWORD_MEMBERS}{code}"] = carrier.password_file.read_bytes()
        if settings.enquiries.keys_file.is_file():
            members[ENQUIRY_KEYS] = settings.enquiries.keys_file.read_bytes()
    manifest = {
        "format": BACKUP_FORMAT,
        "at": at.isoformat(),
        "mode": settings.mode.value,
        "gateway": store.meta["gateway_id"],
        "files": {name: hashlib.sha256(octets).hexdigest() for name, octets in members.items()},
    }
    manifest["digest"] = _digest(manifest)
    members = {MANIFEST: json.dumps(manifest, indent=2).encode(), **members}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, octets in members.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode, info.mtime = len(octets), 0o600, int(at.timestamp())
            tar.addfile(info, io.BytesIO(octets))
    try:
        _write_new(to, buffer.getvalue())
    except OSError as error:
        msg = f"{to}: {error.strerror}"
        raise InputError(msg) from error
    return manifest


def _files(prefix: str, folder: Path) -> dict[str, bytes]:
    return {
        f"{prefix}{path.relative_to(folder)}": path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _digest(manifest: Mapping[str, Any]) -> str:
    """Hash a manifest without its own digest."""
    rest = {name: value for name, value in manifest.items() if name != "digest"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def _write_new(path: Path, octets: bytes) -> None:
    """Write a new file, for its owner alone, and wait until the disk has it."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(octets)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        path.unlink()  # half of a file would pass for a whole one
        raise


def replace_file(path: Path, octets: bytes, *, is_durable: bool = True) -> None:
    """Put a file in the place of another, for its owner alone; nobody ever reads half of it.

    Args:
        path: which file.
        octets: what it holds from now on.
        is_durable: wait until the disk has it.
    """
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(octets)
        if is_durable:
            file.flush()
            os.fsync(file.fileno())
    new.replace(path)


def read_backup(path: Path) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Read a backup and check every octet of it against its manifest.

    Raises:
        InputError: it is not a backup, or was damaged.
    """
    try:
        with tarfile.open(path, mode="r:") as tar:
            members = {
                member.name: file.read()
                for member in tar
                if (file := tar.extractfile(member)) is not None
            }
        manifest = json.loads(members.pop(MANIFEST))
        is_whole = manifest["digest"] == _digest(manifest)
    except (OSError, tarfile.TarError, LookupError, ValueError, TypeError) as error:
        msg = f"{path} is not a backup: {error}"
        raise InputError(msg) from error
    except RecursionError as error:
        msg = f"{path} is not a backup: its manifest is nested too deep"
        raise InputError(msg) from error
    if not is_whole:
        msg = f"{path}: {MANIFEST} is not what was backed up"
        raise InputError(msg)
    if manifest["format"] != BACKUP_FORMAT:
        msg = f"{path} has format {manifest['format']}, this version reads {BACKUP_FORMAT}"
        raise InputError(msg)
    wanted = manifest["files"]
    found = {name: hashlib.sha256(octets).hexdigest() for name, octets in members.items()}
    damaged = sorted(name for name in wanted | found if wanted.get(name) != found.get(name))
    if damaged:
        msg = f"{path}: {', '.join(damaged)} is not what was backed up"
        raise InputError(msg)
    return manifest, members


def restore_home(
    home: Path, members: Mapping[str, bytes], *, at: datetime, manifest: Mapping[str, Any]
) -> Settings:
    """Put a backup in place; what is there of keys, passwords, marks and witness stays.

    What was in flight is in doubt; the audit log begins a new epoch whose first entry says so;
    serial numbers go on beyond the marks, or jump when there are none.

    Raises:
        InputError: a database is there already, keys are missing, or a file would go elsewhere.
    """
    if FILE_NAME not in members or DATABASE not in members:
        msg = "the backup lacks settings or database"
        raise InputError(msg)
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not (home / FILE_NAME).exists():
        _write_new(home / FILE_NAME, members[FILE_NAME])
    settings = load_settings(home)
    targets = {name: _target(home, settings, name) for name in members}
    database = settings.database
    if any(database.parent.glob(f"{database.name}*")):
        msg = f"{database} is there already; move it away first, it is evidence"
        raise InputError(msg)
    if f"{KEY_MEMBERS}audit.pem" not in members and not (settings.keys / "audit.pem").exists():
        msg = (
            f"{settings.keys / 'audit.pem'} is missing, and the backup has no secrets; put the "
            "keys back first"
        )
        raise InputError(msg)
    for name, target in targets.items():
        if not target.exists():
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _write_new(target, members[name])
    has_marks = settings.marks.is_file()
    with (
        closing(Marks.open(settings.marks, create=True)) as marks,
        closing(SqliteStore.open(settings.database)) as store,
    ):
        epoch = secrets.token_hex(4)
        store.set_fact("audit_epoch", epoch)
        with store.transaction() as tx:
            detail = {
                "backup_of": manifest["at"],
                "entries": tx.audit_size(),
                "root": tx.audit_root().hex(),
                "had_marks": has_marks,
                "epoch": epoch,
            }
            tx.record(Event(at, "gateway", "restored", "gateway", detail))
            size, root = tx.audit_size(), tx.audit_root()
        marks.reset_log(size, root)
        if not has_marks:
            marks.hold_slots(until=at + timedelta(days=KIT_DAYS_MAX))
    ballast_of(settings).hold()
    return settings


def _target(home: Path, settings: Settings, name: str) -> Path:
    """Give where this gateway keeps what a backup's member is.

    Raises:
        InputError: the member is nothing that a backup has.
    """
    if name in {DATABASE, FILE_NAME}:
        return settings.database if name == DATABASE else home / FILE_NAME
    folders = {
        KEY_MEMBERS: settings.keys,
        PROFILE_MEMBERS: settings.profiles,
        CELL_MEMBERS: settings.cells,
    }
    for prefix, folder in folders.items():
        if folder is not None and name.startswith(prefix):
            target = (folder / name.removeprefix(prefix)).resolve()
            if target.is_relative_to(folder.resolve()):
                return target
    if name == ENQUIRY_KEYS:
        return settings.enquiries.keys_file
    code = name.removeprefix(PASSWORD_MEMBERS)
    if name.startswith(PASSWORD_MEMBERS) and code in settings.carriers:
        return settings.carriers[code].password_file
    msg = f"the backup has a file that belongs nowhere here: {name!r}"
    raise InputError(msg)
