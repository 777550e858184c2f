"""The history: verified, exported for others' programs, and every tampering is found."""

import base64
import hashlib
import json
import os
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import apsw
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from cbgateway.app import Gateway
from cbgateway.domain.delivery import Event
from cbgateway.domain.errors import AuditError, InputError, KeyUnusableError
from cbgateway.history import append_durably
from cbgateway.service import audit
from cbgateway.service.outbox import Outbox
from cbgateway.signing import tlog
from cbgateway.signing.keys import SigningKey


@pytest.fixture
def told(office: Any) -> Any:
    """Give an office with an approved, a rejected and a returned bulletin, witnessed."""
    office.issue(office.document())
    rejected = office.submit(office.later("progress"))
    office.gateway.reject(rejected.bulletin.bulletin_id, reason="no", key=office.keys["bob"])
    returned = office.submit(office.later("eta_change"))
    office.gateway.give_back(returned.bulletin.bulletin_id, reason="why", key=office.keys["bob"])
    office.gateway.history.checkpoint()
    return office


def tamper(office: Any, *statements: str) -> None:
    """Change the database past everything that guards it."""
    connection = apsw.Connection(str(office.gateway.settings.database))
    connection.pragma("foreign_keys", False)
    for (name,) in list(connection.execute("SELECT name FROM sqlite_schema WHERE type='trigger'")):
        connection.execute(f"DROP TRIGGER {name}")
    for statement in statements:
        connection.execute(statement)
    connection.close()


def forget(office: Any) -> None:
    """Take away what others have seen, so that only the log itself can tell."""
    office.gateway.settings.witness.unlink()
    tamper_marks = apsw.Connection(str(office.gateway.settings.marks))
    tamper_marks.execute("DELETE FROM log")
    tamper_marks.close()


def rehash(office: Any) -> None:
    """Make the log's hashes those of its entries, as a careful forger does."""
    connection = apsw.Connection(str(office.gateway.settings.database))
    entries = [bytes(row[0]) for row in connection.execute("SELECT entry FROM audit ORDER BY 1=1")]
    connection.execute("DELETE FROM audit_node")
    nodes: dict[tuple[int, int], bytes] = {}
    for size, entry in enumerate(entries):
        leaf = tlog.leaf_hash(entry)
        for level, index, value in tlog.new_nodes(size, leaf, lambda a, b: nodes[a, b]):
            nodes[level, index] = value
    for (level, index), value in nodes.items():
        connection.execute("INSERT INTO audit_node VALUES (?, ?, ?)", (level, index, value))
    connection.close()


SWAP = (
    "UPDATE audit SET leaf_index = -1 WHERE leaf_index = 2",
    "UPDATE audit SET leaf_index = 2 WHERE leaf_index = 3",
    "UPDATE audit SET leaf_index = 3 WHERE leaf_index = -1",
)
CHANGE = (
    (
        "UPDATE audit SET entry = CAST(replace(CAST(entry AS TEXT), 'alice', 'carol') AS BLOB) "
        "WHERE leaf_index = 1"
    ),
)
SHORTEN = ("DELETE FROM audit WHERE leaf_index >= (SELECT max(leaf_index) - 1 FROM audit)",)
CLEAR = ("DELETE FROM audit", "DELETE FROM audit_node")


def test_sound_history_is_verified(told: Any) -> None:
    """Everything is hashed anew and compared with the witness and with a note of yesterday."""
    yesterday = told.gateway.history.checkpoint()
    told.clock.advance(86_400)
    told.issue(told.later("progress"))

    verified = told.gateway.history.verify([yesterday])

    with told.gateway.store.read() as tx:
        entries = list(tx.audit_entries(0, 10_000))
    assert verified == audit.Verified(len(entries), reference_root(entries), 2)


@pytest.mark.parametrize("statements", [CHANGE, SHORTEN, CLEAR, SWAP])
@pytest.mark.parametrize("is_careful", [False, True])
def test_changed_history_is_found_by_its_witness(
    told: Any, statements: tuple[str, ...], is_careful: bool
) -> None:
    """Changed, cut, emptied or in another order, even when every hash was made to fit."""
    tamper(told, *statements)
    if is_careful:
        rehash(told)

    with pytest.raises(AuditError):
        told.gateway.history.verify()


@pytest.mark.parametrize("statements", [CHANGE, SHORTEN, CLEAR, SWAP])
def test_changed_history_is_found_by_a_note_of_yesterday(
    told: Any, statements: tuple[str, ...]
) -> None:
    """Witness and marks gone and hashes made to fit: whoever kept a checkpoint still finds it."""
    note = told.gateway.history.checkpoint()
    forget(told)
    tamper(told, *statements)
    rehash(told)

    with pytest.raises(AuditError, match="checkpoint"):
        told.gateway.history.verify([note])


@pytest.mark.parametrize("statements", [CHANGE, SHORTEN, SWAP])
def test_changed_history_is_found_by_its_own_hashes(told: Any, statements: tuple[str, ...]) -> None:
    """Nobody else has seen it, and the forger was not careful."""
    forget(told)
    tamper(told, *statements)

    with pytest.raises(AuditError, match="hashes are not those|missing|not the one"):
        told.gateway.history.verify()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE bulletin SET decision = replace(decision, 'bob', 'alice') WHERE number = 1",
        "UPDATE bulletin SET decision = replace(decision, 'bob', 'alice') WHERE number = 2",
        "UPDATE bulletin SET decision = replace(decision, '\"no\"', '\"yes\"') WHERE number = 2",
        "UPDATE bulletin SET decision = json_set(decision, '$.plan_hash', 'x') WHERE number = 1",
        "UPDATE bulletin SET decision = json_set(decision, '$.plan_hash', '') WHERE number = 1",
        "UPDATE bulletin SET decision = json_set(decision, '$.signature', 'x') WHERE number = 1",
        (
            "UPDATE bulletin SET decision = (SELECT decision FROM bulletin WHERE number = 1) "
            "WHERE number = 2"
        ),
        (
            "UPDATE bulletin SET decision = NULL, decided_by = NULL, decided_ms = NULL, "
            "plan = NULL, state = 'pending' WHERE number = 1"
        ),
        "DELETE FROM bulletin WHERE number = 2",
    ],
)
def test_decision_that_the_history_does_not_have_is_found(told: Any, statement: str) -> None:
    """Who decided, what, why; a decision that was taken away, and a bulletin that is gone."""
    with told.gateway.store.read() as tx:
        assert audit.check_facts(tx) == 3
    tamper(told, statement)

    with pytest.raises(AuditError, match="inc-1/[12]: "):
        told.gateway.history.verify()


def test_decision_without_an_entry_is_found(told: Any) -> None:
    """A bulletin that somebody wrote into the database as decided."""
    assert told.submit(told.later("progress")).bulletin.number == 4
    tamper(
        told,
        "UPDATE bulletin SET decision = (SELECT decision FROM bulletin WHERE number = 1), "
        "decided_by = 'bob', decided_ms = 0 WHERE number = 4",
    )

    with pytest.raises(AuditError, match="not the one in the audit log"):
        told.gateway.history.verify()


def test_bulletins_that_come_back_to_their_authors_are_in_order(told: Any) -> None:
    """Returned and revised, or lapsed and revised: the decision is still to come."""
    office, key = told, told.keys["alice"]
    revised = office.later("eta_change")
    office.gateway.revise("inc-1/3", json.dumps(revised).encode(), key=key)
    assert office.gateway.history.verify().size
    office.approve("inc-1/3")
    office.clock.advance(office.gateway.deployment.country.approval_valid_s + 1)
    with office.gateway.store.transaction() as tx:
        Outbox(office.gateway.deployment).sweep(tx, now=office.clock.now())
    assert office.gateway.history.verify().size
    with office.gateway.store.read() as tx:
        what = [event.what for event in tx.events("inc-1/3")]
    assert "lapsed" in what
    again = office.later("eta_change")
    office.gateway.revise("inc-1/3", json.dumps(again).encode(), key=key)

    assert office.gateway.history.verify().size > len(what)


# Exported


def reference_leaf(entry: bytes) -> bytes:
    """Hash an entry."""
    return hashlib.sha256(b"\x00" + entry).digest()


def reference_root(entries: list[bytes]) -> bytes:
    """Give the root as RFC 6962 2.1 defines it: split at the largest power of two below."""
    if not entries:
        return hashlib.sha256().digest()
    if len(entries) == 1:
        return reference_leaf(entries[0])
    half = 1
    while half * 2 < len(entries):
        half *= 2
    left, right = reference_root(entries[:half]), reference_root(entries[half:])
    return hashlib.sha256(b"\x01" + left + right).digest()


def reference_full(hashes: list[bytes]) -> bytes:
    """Hash a full subtree."""
    while len(hashes) > 1:
        hashes = [
            hashlib.sha256(b"\x01" + hashes[at] + hashes[at + 1]).digest()
            for at in range(0, len(hashes), 2)
        ]
    return hashes[0]


def read_bundles(folder: Path, size: int) -> list[bytes]:
    """Read the entries as tlog-tiles lays them out."""
    entries: list[bytes] = []
    for index in range(-(-size // 256)):
        width = min(256, size - index * 256)
        name = f"{index:03}" + ("" if width == 256 else f".p/{width}")
        octets = (folder / "tile" / "entries" / name).read_bytes()
        at = 0
        while at < len(octets):
            length = int.from_bytes(octets[at : at + 2], "big")
            entries.append(octets[at + 2 : at + 2 + length])
            at += 2 + length
    return entries


@pytest.mark.parametrize("size", [3, 256, 600])
def test_exported_tiles_hold_for_somebody_elses_program(
    office: Any, tmp_path: Path, size: int
) -> None:
    """Entries, tiles, root and signature, with nothing of ours but what was exported."""
    with office.gateway.store.transaction() as tx:
        for number in range(max(0, size - tx.audit_size())):
            tx.record(Event(office.clock.now(), "s", "tested", "t", {"n": number}))
        size = tx.audit_size()
    folder = tmp_path / "export"

    office.gateway.history.export(folder)

    note = (folder / "checkpoint").read_text("utf-8")
    origin, count, root, _, signed, _ = note.split("\n")
    entries = read_bundles(folder, int(count))
    assert int(count) == len(entries) == size
    assert base64.b64decode(root) == reference_root(entries)
    leaves = [reference_leaf(entry) for entry in entries]
    for index in range(-(-size // 256)):
        part = leaves[index * 256 : index * 256 + 256]
        name = f"{index:03}" + ("" if len(part) == 256 else f".p/{len(part)}")
        assert (folder / "tile" / "0" / name).read_bytes() == b"".join(part)
    if size >= 256:
        above = [reference_full(leaves[at : at + 256]) for at in range(0, size - 255, 256)]
        assert (folder / f"tile/1/000.p/{len(above)}").read_bytes() == b"".join(above)
    check_note(note, (folder / "key.vkey").read_text("utf-8").strip())
    assert signed.startswith(f"— {origin} ")


def check_note(note: str, verifier: str) -> None:
    """Check a signed note (C2SP signed-note) with the verifier key alone."""
    name, hashed, encoded = verifier.split("+", 2)
    key = base64.b64decode(encoded)
    assert key[0] == 1
    assert hashlib.sha256(name.encode() + b"\n" + key).digest()[:4].hex() == hashed
    body, line = note.rsplit("\n\n", 1)
    octets = base64.b64decode(line.removeprefix(f"— {name} ").strip())
    assert octets[:4].hex() == hashed
    public = Ed25519PublicKey.from_public_bytes(key[1:])
    public.verify(octets[4:], body.encode() + b"\n")
    with pytest.raises(InvalidSignature):
        public.verify(octets[4:], body.encode() + b"1\n")


def test_export_needs_a_folder_of_its_own(office: Any, tmp_path: Path) -> None:
    """Neither a folder in use nor a file; each by name."""
    (tmp_path / "file").write_text("x")

    with pytest.raises(InputError, match="is not empty"):
        office.gateway.history.export(tmp_path)
    with pytest.raises(InputError, match="Not a directory"):
        office.gateway.history.export(tmp_path / "file")


def test_empty_log_is_exported_too(office: Any, tmp_path: Path) -> None:
    """A checkpoint over nothing, and no tiles."""
    forget_nothing = office.gateway.history
    tamper(office, *CLEAR)

    note = forget_nothing.export(tmp_path / "e")

    assert note.split("\n")[1] == "0"
    assert sorted(one.name for one in (tmp_path / "e").iterdir()) == ["checkpoint", "key.vkey"]


# The witness file


def test_line_that_the_power_cut_short_is_taken_away(office: Any) -> None:
    """Wherever it was cut, even inside a character, the gateway opens, and goes on witnessing."""
    gateway = office.gateway
    gateway.history.checkpoint()
    whole = gateway.settings.witness.read_bytes()
    second = gateway.history.checkpoint().encode()
    line = gateway.settings.witness.read_bytes()[len(whole) :]
    assert b"\xe2\x80\x94" in line
    assert second
    for cut in range(1, len(line), 7):
        gateway.settings.witness.write_bytes(whole + line[:cut])
        with Gateway.open(gateway.home, clock=office.clock) as again:
            again.history.checkpoint()
        with Gateway.open(gateway.home, clock=office.clock) as again:
            assert again.history.verify().compared == 1

        assert gateway.settings.witness.read_bytes().count(b"\n") == 2


def test_only_line_may_be_cut(tmp_path: Path) -> None:
    """A file that is nothing but half a line begins anew."""
    path = tmp_path / "audit" / "witness.jsonl"
    append_durably(path, "first\n")
    path.write_bytes(b"fir")
    append_durably(path, "second\n")

    assert path.read_bytes() == b"second\n"


@pytest.mark.parametrize(
    "line", [b"{}", b"[]", b"1", b"\xff", b'{"note": 1}', b"", b"\x0c", b"[" * 100_000]
)
def test_witness_with_a_foreign_line_is_refused(office: Any, line: bytes) -> None:
    """Somebody else has written there; nothing behind it is passed over."""
    office.gateway.history.checkpoint()
    witness = office.gateway.settings.witness
    witness.write_bytes(line + b"\n" + witness.read_bytes())

    with pytest.raises(AuditError, match="no checkpoint"):
        office.gateway.history.check()


def test_witness_may_hold_other_logs(office: Any, make_office: Any) -> None:
    """Two gateways may share a file; each reads its own, and the largest counts."""
    other = make_office(name="other").gateway
    other.history.checkpoint()
    history = office.gateway.history
    history.checkpoint()
    small = office.gateway.settings.witness.read_bytes()
    office.issue(office.document())
    history.checkpoint()
    with office.gateway.settings.witness.open("ab") as file:
        file.write(other.settings.witness.read_bytes() + small)

    with office.gateway.store.read() as tx:
        size = tx.audit_size()
    assert history.witnessed().size == size
    assert history.verify().compared == 1


def test_checkpoint_of_another_key_is_refused(office: Any) -> None:
    """The origin is ours and the signature is not."""
    history = office.gateway.history
    with office.gateway.store.read() as tx:
        forged = audit.sign(tx, history.origin, SigningKey.generate())[1]
    append_durably(office.gateway.settings.witness, audit.witness_line(forged, "now"))

    with pytest.raises(AuditError, match="not signed by the audit key"):
        history.check()


def test_witness_that_cannot_be_used_is_named(office: Any) -> None:
    """A folder in its place: neither read nor written, and no traceback."""
    office.gateway.settings.witness.mkdir(parents=True)

    with pytest.raises(AuditError, match="Is a directory"):
        office.gateway.history.check()
    with pytest.raises(AuditError, match="Is a directory"):
        office.gateway.history.checkpoint()


def test_key_of_another_gateway_signs_nothing(office: Any, tmp_path: Path) -> None:
    """Otherwise the witness would hold what nobody can check, and the gateway would not open."""
    path = office.gateway.settings.keys / "audit.pem"
    path.unlink()
    SigningKey.generate().save(path)

    with pytest.raises(KeyUnusableError, match="not the one"):
        office.gateway.history.checkpoint()
    with pytest.raises(KeyUnusableError, match="not the one"):
        office.gateway.history.export(tmp_path / "e")
    assert not office.gateway.settings.witness.exists()


def test_line_is_on_the_disk_before_anybody_relies_on_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is synced with the line in it."""
    path, seen = tmp_path / "w", []
    monkeypatch.setattr(os, "fsync", lambda fd: seen.append(path.read_bytes()))

    append_durably(path, "a\n")

    assert seen == [b"a\n"]


def test_verification_hashes_what_is_there() -> None:
    """The streaming hash gives every earlier root, as the definition does."""
    entries = [bytes([n]) for n in range(20)]
    earlier = [tlog.Checkpoint("o", size, reference_root(entries[:size])) for size in range(21)]
    whole = 20, reference_root(entries)

    assert audit.verify_log(entries, stored=whole, earlier=earlier).compared == 21
    empty = 0, reference_root([])
    assert audit.verify_log([], stored=empty, earlier=[]) == audit.Verified(*empty, 0)
    for size in (0, 1, 13, 20):
        wrong = [tlog.Checkpoint("o", size, bytes(32))]
        with pytest.raises(AuditError, match=f"first {size} entries"):
            audit.verify_log(entries, stored=whole, earlier=wrong)
    with pytest.raises(AuditError, match="an earlier checkpoint has 21"):
        audit.verify_log(entries, stored=whole, earlier=[tlog.Checkpoint("o", 21, bytes(32))])
    with suppress(AuditError):
        audit.verify_log(entries[:5], stored=whole, earlier=[])
        pytest.fail("an end that is missing passed")


def test_time_of_a_checkpoint_is_noted(office: Any) -> None:
    """Beside the note, for whoever reads the file."""
    office.clock.at += timedelta(hours=1)
    office.gateway.history.checkpoint()

    (line,) = office.gateway.settings.witness.read_text("utf-8").splitlines()
    assert json.loads(line)["at"] == "2021-10-25T04:00:00+00:00"


def test_hash_that_is_missing_is_found(told: Any) -> None:
    """A subtree that was taken out: nothing can be compared without it."""
    tamper(told, "DELETE FROM audit_node")

    with pytest.raises(AuditError, match="missing from the audit log"):
        told.gateway.history.verify()


def test_other_beginning_is_refused(office: Any) -> None:
    """Long enough, and not what the marks have seen."""
    office.gateway.marks.reset_log(2, bytes(32))

    with pytest.raises(AuditError, match="first 2 entries of the audit log are not those"):
        office.gateway.history.check()
