"""A transparency log: a Merkle tree over entries, laid out as tiles, with signed checkpoints.

Theory of operation: only hashes of complete subtrees are kept, by (level, index); the root of any
earlier size follows from them, so one earlier checkpoint pins everything before it. Specs:
RFC 6962 2.1 (hashes), C2SP tlog-tiles (layout), C2SP tlog-checkpoint and signed-note.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from cbgateway.domain.errors import AuditError
from cbgateway.signing.keys import SigningKey, verifies

TILE_HASHES = 256
TILE_LEVELS = 8
"""A tile holds one level of hashes out of this many; the levels between follow from it."""
ENTRY_OCTETS_MAX = 65_535  # an entry's length is two octets in an entry bundle
SIGNATURE_TYPE_ED25519 = 1
KEY_HASH_OCTETS = 4
ROOT_OCTETS = 32
_SIZE = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)
"""A tree's size: decimal, no zero in front (tlog-checkpoint); 64 bits hold it."""

Node = Callable[[int, int], bytes]
"""Level and index of a complete subtree to its hash; level 0 holds the leaves."""


def leaf_hash(entry: bytes) -> bytes:
    """Hash an entry (RFC 6962 2.1)."""
    return hashlib.sha256(b"\0" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash two subtrees into one (RFC 6962 2.1)."""
    return hashlib.sha256(b"\1" + left + right).digest()


def new_nodes(size: int, leaf: bytes, node: Node) -> Iterator[tuple[int, int, bytes]]:
    """Give the subtrees that become complete when a leaf is added.

    Args:
        size: of the tree before.
        leaf: hash of the entry.
        node: gives what is there already.

    Yields:
        Level, index and hash; the leaf itself first.
    """
    level, index, value = 0, size, leaf
    yield level, index, value
    while index % 2:
        value = node_hash(node(level, index - 1), value)
        level, index = level + 1, index // 2
        yield level, index, value


def root_hash(size: int, node: Node) -> bytes:
    """Give the root of a tree's first `size` leaves (RFC 6962 2.1)."""
    if size == 0:
        return hashlib.sha256(b"").digest()
    value: bytes | None = None
    for level in range(size.bit_length()):
        if size >> level & 1:
            subtree = node(level, (size >> level) - 1)
            value = subtree if value is None else node_hash(subtree, value)
    assert value is not None  # noqa: S101 - a size above 0 has a bit set
    return value


def root_of(entries: Sequence[bytes]) -> bytes:
    """Give the root of a tree over entries, worked out from nothing else."""
    level = [leaf_hash(entry) for entry in entries]
    if not level:
        return hashlib.sha256(b"").digest()
    while len(level) > 1:
        pairs = [node_hash(a, b) for a, b in zip(level[::2], level[1::2], strict=False)]
        level = pairs + level[len(pairs) * 2 :]
    return level[0]


def tile_path(level: int | str, index: int, width: int) -> str:
    """Give a tile's path; `level` is ``entries`` for the entries themselves (tlog-tiles)."""
    parts = [f"{index % 1000:03}"]
    while index >= 1000:  # noqa: PLR2004 - three digits a folder
        index //= 1000
        parts.append(f"x{index % 1000:03}")
    partial = "" if width == TILE_HASHES else f".p/{width}"
    return f"tile/{level}/{'/'.join(reversed(parts))}{partial}"


def tiles(size: int) -> Iterator[tuple[int, int, int]]:
    """Give level, index and width of every tile of a tree of `size` leaves."""
    level = 0
    while (hashes := size >> (level * TILE_LEVELS)) > 0:
        for index in range((hashes + TILE_HASHES - 1) // TILE_HASHES):
            yield level, index, min(TILE_HASHES, hashes - index * TILE_HASHES)
        level += 1


def bundle(entries: Sequence[bytes]) -> bytes:
    """Write entries as an entry bundle: each behind its length in two octets (tlog-tiles)."""
    return b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)


def unbundle(octets: bytes) -> list[bytes]:
    """Read an entry bundle.

    Raises:
        AuditError: an entry is cut.
    """
    entries, at = [], 0
    while at < len(octets):
        end = at + 2 + int.from_bytes(octets[at : at + 2], "big")
        if end > len(octets) or at + 2 > len(octets):
            msg = f"an entry bundle is cut at octet {at}"
            raise AuditError(msg)
        entries.append(octets[at + 2 : end])
        at = end
    return entries


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a log says of itself at one moment.

    Attributes:
        origin: name of the log, and of the key that signs for it.
        size: leaves.
        root: 32 octets.
    """

    origin: str
    size: int
    root: bytes

    def body(self) -> str:
        """Give the text that is signed (tlog-checkpoint)."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


def key_hash(origin: str, public_key: bytes) -> bytes:
    """Give the four octets that tell keys of one name apart (signed-note)."""
    return hashlib.sha256(
        origin.encode() + b"\n" + bytes([SIGNATURE_TYPE_ED25519]) + public_key
    ).digest()[:KEY_HASH_OCTETS]


def verifier_key(origin: str, public_key: bytes) -> str:
    """Write a public key as verifiers of signed notes read it (signed-note)."""
    encoded = base64.b64encode(bytes([SIGNATURE_TYPE_ED25519]) + public_key).decode()
    return f"{origin}+{key_hash(origin, public_key).hex()}+{encoded}"


def sign_checkpoint(checkpoint: Checkpoint, key: SigningKey) -> str:
    """Sign a checkpoint (signed-note)."""
    body = checkpoint.body()
    signature = key_hash(checkpoint.origin, key.public_key) + key.sign(body.encode())
    return f"{body}\n— {checkpoint.origin} {base64.b64encode(signature).decode()}\n"


def open_checkpoint(note: str, *, origin: str, public_key: bytes) -> Checkpoint:
    """Check a checkpoint's signature and read it.

    Raises:
        AuditError: it is not a checkpoint of this log, signed with this key.
    """
    body, found, signatures = note.partition("\n\n")
    lines = body.split("\n")
    try:
        note.encode()  # half of a surrogate pair was never signed
        name, size, root = lines[0], _size(lines[1]), base64.b64decode(lines[2], validate=True)
    except (IndexError, ValueError, binascii.Error) as error:
        msg = "this is not a checkpoint"
        raise AuditError(msg) from error
    if len(root) != ROOT_OCTETS:
        msg = f"a checkpoint's root has {ROOT_OCTETS} octets, not {len(root)}"
        raise AuditError(msg)
    wanted = key_hash(origin, public_key)
    for line in signatures.splitlines() if found and name == origin else []:
        if _is_signed(line, body + "\n", origin, wanted, public_key):
            return Checkpoint(name, size, root)
    msg = f"the checkpoint is not signed by the audit key of {origin}"
    raise AuditError(msg)


def _size(text: str) -> int:
    if not _SIZE.fullmatch(text):
        msg = "not the size of a tree"
        raise ValueError(msg)
    return int(text)


def _is_signed(line: str, body: str, origin: str, wanted: bytes, public_key: bytes) -> bool:
    prefix = f"— {origin} "
    if not line.startswith(prefix):
        return False
    try:
        octets = base64.b64decode(line[len(prefix) :], validate=True)
    except (ValueError, binascii.Error):
        return False
    signature = octets[KEY_HASH_OCTETS:]
    return octets[:KEY_HASH_OCTETS] == wanted and verifies(public_key, signature, body.encode())
