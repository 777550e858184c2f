"""The audit log of one gateway: signed, witnessed on another path, held against what was seen."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cbgateway.domain import failpoints
from cbgateway.domain.errors import AuditError, InputError
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
            text = self.settings.witness.read_text("utf-8")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            msg = f"the witness file {self.settings.witness} cannot be read: {error}"
            raise AuditError(msg) from error
        return audit.read_witness(text, origin=self.origin, public_key=self.public_key)

    def checkpoint(self) -> str:
        """Sign how the audit log stands, and have it witnessed; gives the signed note."""
        key = SigningKey.load(self.settings.keys / "audit.pem")
        with self.store.read() as tx:
            one, note = audit.sign(tx, self.origin, key)
        failpoints.passing("checkpoint.signed")
        append_durably(
            self.settings.witness, audit.witness_line(note, self.clock.now().isoformat())
        )
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
            InputError: the folder is in use.
        """
        if folder.exists() and any(folder.iterdir()):
            msg = f"{folder} is not empty"
            raise InputError(msg)
        key = SigningKey.load(self.settings.keys / "audit.pem")
        with self.store.read() as tx:
            one, note = audit.sign(tx, self.origin, key)
            for path, octets in audit.tile_files(tx, one.size):
                target = folder / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(octets)
        (folder / "checkpoint").write_text(note, "utf-8")
        verifier = tlog.verifier_key(self.origin, self.public_key)
        (folder / "key.vkey").write_text(verifier + "\n", "utf-8")
        return note


def append_durably(path: Path, line: str) -> None:
    """Add a line to a file and wait until the disk has it; a line cut short before is ended."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with path.open("a+b") as file:
        if file.tell() and path.read_bytes()[-1:] != b"\n":
            file.write(b"\n")
        file.write(line.encode())
        file.flush()
        os.fsync(file.fileno())
