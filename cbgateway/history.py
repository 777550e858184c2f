"""The audit log of one gateway: signed, witnessed on another path, held against what was seen."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cbgateway.domain import failpoints
from cbgateway.domain.errors import AuditError, InputError, KeyUnusableError
from cbgateway.domain.ports import Clock
from cbgateway.service import audit
from cbgateway.settings import Settings
from cbgateway.signing import tlog
from cbgateway.signing.canonical import decode_base64url
from cbgateway.signing.keys import SigningKey
from cbgateway.signing.tlog import Checkpoint
from cbgateway.storage.marks import Marks
from cbgateway.storage.sqlite import SqliteStore


@dataclass(frozen=True, slots=True)
class History:
    """The log in the store, with its key, its witness file and the marks."""

    settings: Settings
    store: SqliteStore
    marks: Marks
    clock: Clock

    @property
    def origin(self) -> str:
        """Give the name of this gateway's audit log."""
        meta = self.store.meta
        return audit.origin_of(self.settings.mode, meta["gateway_id"], meta["audit_epoch"])

    @property
    def public_key(self) -> bytes:
        """Give the key that checkpoints are checked with."""
        return decode_base64url(self.store.meta["audit_public_key"])

    def check(self) -> None:
        """Refuse a log that is shorter than, or not, the one that was witnessed.

        Raises:
            AuditError: an older copy is back, or somebody changed it.
        """
        seen = []
        noted = self.marks.log_size()
        if noted is not None:
            seen.append((str(self.settings.marks), *noted))
        witnessed = self.witnessed()
        if witnessed is not None:
            seen.append((str(self.settings.witness), witnessed.size, witnessed.root))
        with self.store.read() as tx:
            audit.check_against(tx, seen)

    def witnessed(self) -> Checkpoint | None:
        """Give the newest checkpoint in the witness file; None before the first."""
        try:
            octets = self.settings.witness.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            msg = f"witness {self.settings.witness}: {error.strerror}"
            raise AuditError(msg) from error
        return audit.read_witness(octets, origin=self.origin, public_key=self.public_key)

    def checkpoint(self) -> str:
        """Sign how the audit log stands, and have it witnessed; gives the signed note.

        Raises:
            KeyUnusableError: the audit key is missing, or is not this log's.
            AuditError: the witness file cannot be written.
        """
        key = self._key()
        with self.store.read() as tx:
            one, note = audit.sign(tx, self.origin, key)
        failpoints.passing("checkpoint.signed")
        line = audit.witness_line(note, self.clock.now().isoformat())
        try:
            append_durably(self.settings.witness, line)
        except OSError as error:
            msg = f"witness {self.settings.witness}: {error.strerror}"
            raise AuditError(msg) from error
        self.marks.note_log(one.size, one.root)
        return note

    def verify(self, earlier: Iterable[str] = ()) -> audit.Verified:
        """Hash the whole audit log anew and hold it against everything that was ever signed.

        Args:
            earlier: signed checkpoints, beside those of the witness file.

        Raises:
            AuditError: with the first thing that differs.
        """
        known = [
            tlog.open_checkpoint(note, origin=self.origin, public_key=self.public_key)
            for note in earlier
        ]
        witnessed = self.witnessed()
        with self.store.read() as tx:
            size = tx.audit_size()
            verified = audit.verify_log(
                tx.audit_entries(0, size),
                stored=(size, tx.audit_root(size)),
                earlier=[*known, *([witnessed] if witnessed is not None else [])],
            )
            audit.check_facts(tx)
        self.check()
        return verified

    def export(self, folder: Path) -> str:
        """Write the log as tiles, with a checkpoint and the key to check it with.

        Raises:
            InputError: the folder is in use, or cannot be written.
            KeyUnusableError: the audit key is missing, or is not this log's.
        """
        key = self._key()
        try:
            if folder.exists() and any(folder.iterdir()):
                msg = f"{folder} is not empty"
                raise InputError(msg)
            with self.store.read() as tx:
                one, note = audit.sign(tx, self.origin, key)
                for path, octets in audit.tile_files(tx, one.size):
                    target = folder / path
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(octets)
            folder.mkdir(parents=True, exist_ok=True)  # an empty log has no tiles
            (folder / "checkpoint").write_text(note, "utf-8")
            verifier = tlog.verifier_key(self.origin, self.public_key)
            (folder / "key.vkey").write_text(verifier + "\n", "utf-8")
        except OSError as error:
            msg = f"{folder}: {error.strerror}"
            raise InputError(msg) from error
        return note

    def _key(self) -> SigningKey:
        """Read the key that signs for this log."""
        path = self.settings.keys / "audit.pem"
        key = SigningKey.load(path)
        if key.public_key != self.public_key:
            msg = f"key {path} is not the one that this gateway's history is signed with"
            raise KeyUnusableError(msg)
        return key


def append_durably(path: Path, line: str) -> None:
    """Add a line to a file and wait until the disk has it.

    A last line that was cut short when the power went is taken away first: it says nothing, and
    in the middle of the file it would look like something that nobody here wrote.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with path.open("a+b") as file:
        if file.tell():
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                file.truncate(path.read_bytes().rfind(b"\n") + 1)
        file.write(line.encode())
        file.flush()
        os.fsync(file.fileno())
