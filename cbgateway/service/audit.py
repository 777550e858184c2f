"""The audit log towards the outside: checkpoints, witnesses, export, verification.

Facts write their leaves themselves, in their own transaction. Here the log is signed, compared with
what was witnessed earlier, and laid out as tiles (C2SP tlog-tiles) for independent programs.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from cbgateway.domain.bulletin import BulletinState, Mode
from cbgateway.domain.delivery import BulletinRecord, Event
from cbgateway.domain.errors import AuditError
from cbgateway.domain.ports import Transaction
from cbgateway.signing import tlog
from cbgateway.signing.keys import SigningKey
from cbgateway.signing.tlog import Checkpoint

DECISIONS = frozenset({BulletinState.APPROVED, BulletinState.REJECTED, BulletinState.RETURNED})
"""What events are called that decide about a bulletin."""
REOPENING = frozenset({BulletinState.RETURNED, "lapsed"})
"""After these a bulletin may be revised, which takes its decision away."""


def origin_of(mode: Mode, gateway_id: str, epoch: str) -> str:
    """Name a gateway's log; a restored backup begins another epoch."""
    return f"cbgateway/{mode}/{gateway_id}/{epoch}"


def checkpoint(tx: Transaction, origin: str) -> Checkpoint:
    """Say how the log stands."""
    size = tx.audit_size()
    return Checkpoint(origin, size, tx.audit_root(size))


def witness_line(note: str, at: str) -> str:
    """Write a signed checkpoint as a line of a witness file."""
    return json.dumps({"at": at, "note": note}, ensure_ascii=False) + "\n"


def read_witness(octets: bytes, *, origin: str, public_key: bytes) -> Checkpoint | None:
    """Give the largest checkpoint of a witness file that is this log's; None when none is.

    A last line without an end is one that was being written when the power went; it may even end
    inside a character.

    Raises:
        AuditError: a line is not what this gateway writes.
    """
    newest: Checkpoint | None = None
    for line in octets.split(b"\n")[:-1]:
        try:
            note = json.loads(line)["note"]
            name = note.split("\n", 1)[0]
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            msg = "the witness file has a line that is no checkpoint"
            raise AuditError(msg) from error
        if name != origin:
            continue
        one = tlog.open_checkpoint(note, origin=origin, public_key=public_key)
        if newest is None or one.size >= newest.size:
            newest = one
    return newest


def check_against(tx: Transaction, earlier: Iterable[tuple[str, int, bytes]]) -> None:
    """Refuse a log that does not continue what was seen earlier.

    Args:
        tx: reads the log.
        earlier: who saw it, its size and its root then.

    Raises:
        AuditError: the log is shorter, or its beginning differs.
    """
    size = tx.audit_size()
    for who, seen_size, seen_root in earlier:
        if size < seen_size:
            msg = (
                f"the audit log has {size} entries, {who} has seen {seen_size}: an older copy of "
                "the database is back, or its end was cut off; see `cbgateway restore`"
            )
            raise AuditError(msg)
        if tx.audit_root(seen_size) != seen_root:
            msg = f"the first {seen_size} entries of the audit log are not those {who} has seen"
            raise AuditError(msg)


@dataclass(frozen=True, slots=True)
class Verified:
    """What a verification has found in order.

    Attributes:
        size: entries, each hashed anew.
        root: of all of them.
        compared: earlier checkpoints that it agrees with.
    """

    size: int
    root: bytes
    compared: int


def verify_log(
    entries: Iterable[bytes], *, stored: tuple[int, bytes], earlier: Iterable[Checkpoint]
) -> Verified:
    """Hash every entry anew and compare with what is stored and was witnessed.

    Args:
        entries: all of them, in order.
        stored: size and root that the log says it has.
        earlier: checkpoints whose signatures were checked.

    Raises:
        AuditError: with the first thing that differs.
    """
    wanted: dict[int, list[Checkpoint]] = {}
    for one in earlier:
        wanted.setdefault(one.size, []).append(one)
    compared = 0
    size, root = 0, tlog.root_of(())
    for size, root in _roots(entries, {*wanted, stored[0]}):
        for one in wanted.pop(size, ()):
            if one.root != root:
                msg = f"the first {size} entries are not those of an earlier checkpoint"
                raise AuditError(msg)
            compared += 1
    beyond = [seen for seen in wanted if seen > size]
    if beyond:
        msg = f"there are {size} entries; an earlier checkpoint has {max(beyond)}"
        raise AuditError(msg)
    if (size, root) != stored:
        msg = f"the log's hashes are not those of its {size} entries"
        raise AuditError(msg)
    return Verified(size, root, compared)


def _roots(entries: Iterable[bytes], at: set[int]) -> Iterator[tuple[int, bytes]]:
    """Give size and root wherever asked, and at the end; keeps one hash a level."""
    stack: list[tuple[int, bytes]] = []
    size, given = 0, -1
    if 0 in at:
        yield 0, tlog.root_of(())
        given = 0
    for size, entry in enumerate(entries, start=1):
        level, value = 0, tlog.leaf_hash(entry)
        while stack and stack[-1][0] == level:
            value = tlog.node_hash(stack.pop()[1], value)
            level += 1
        stack.append((level, value))
        if size in at:
            yield size, _fold(stack)
            given = size
    if size != given:
        yield size, _fold(stack) if stack else tlog.root_of(())


def _fold(stack: list[tuple[int, bytes]]) -> bytes:
    root = stack[-1][1]
    for _, value in reversed(stack[:-1]):
        root = tlog.node_hash(value, root)
    return root


def check_facts(tx: Transaction) -> int:
    """Compare every bulletin's decision with the log; gives how many.

    Raises:
        AuditError: a bulletin says something that the log does not, or the log has none of it.
    """
    logged: dict[str, Event] = {}
    open_again = set()
    for event in tx.events():
        if event.what in DECISIONS:
            logged[event.subject] = event
        if event.what in REOPENING:
            open_again.add(event.subject)
        elif event.what in DECISIONS:
            open_again.discard(event.subject)
    count = 0
    for record in tx.bulletins():
        bulletin_id = record.bulletin.bulletin_id
        entry = logged.pop(bulletin_id, None)
        was_cleared = record.decision is None and bulletin_id in open_again
        if not was_cleared and not _is_logged(record, entry):
            msg = f"{bulletin_id}: its decision is not the one in the audit log"
            raise AuditError(msg)
        count += record.decision is not None
    if logged:
        msg = f"{', '.join(logged)}: decided as the audit log says, and gone from the database"
        raise AuditError(msg)
    return count


def _is_logged(record: BulletinRecord, entry: Event | None) -> bool:
    decision = record.decision
    if decision is None or entry is None:
        return decision is None and entry is None
    if entry.actor != decision.decided_by:
        return False
    if entry.what == BulletinState.APPROVED:
        wanted = decision.plan_hash, decision.signature
        return wanted == (entry.detail.get("plan"), entry.detail.get("signature"))
    return not decision.plan_hash and entry.detail.get("reason") == decision.reason


def tile_files(tx: Transaction, size: int) -> Iterator[tuple[str, bytes]]:
    """Give path and content of every tile and entry bundle of the first `size` entries."""
    level_zero: list[bytes] = []
    width = tlog.TILE_HASHES
    hashes: dict[int, list[bytes]] = {0: level_zero}
    for start in range(0, size, width):
        entries = list(tx.audit_entries(start, min(size, start + width)))
        yield tlog.tile_path("entries", start // width, len(entries)), tlog.bundle(entries)
        level_zero += [tlog.leaf_hash(entry) for entry in entries]
    for level, index, tile_width in tlog.tiles(size):
        if level not in hashes:
            below = hashes[level - 1]
            hashes[level] = [
                _subtree(below[at : at + width]) for at in range(0, len(below) - width + 1, width)
            ]
        tile = hashes[level][index * width : index * width + tile_width]
        yield tlog.tile_path(level, index, tile_width), b"".join(tile)


def _subtree(hashes: list[bytes]) -> bytes:
    while len(hashes) > 1:
        hashes = [tlog.node_hash(a, b) for a, b in zip(hashes[::2], hashes[1::2], strict=True)]
    return hashes[0]


def sign(tx: Transaction, origin: str, key: SigningKey) -> tuple[Checkpoint, str]:
    """Give how the log stands, and the signed note that says so."""
    one = checkpoint(tx, origin)
    return one, tlog.sign_checkpoint(one, key)
