"""Backup and restore: whole or refused, and what phones have seen is not repeated afterwards."""

import hashlib
import io
import json
import os
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest

from cbgateway.app import Gateway, restore
from cbgateway.domain.errors import AuditError, DiskFullError, InputError, StoreError
from cbgateway.domain.kits import MAIN_CODES
from cbgateway.domain.lifecycle import DeliveryState
from cbgateway.home import (
    DATABASE,
    MANIFEST,
    _digest,
    is_served,
    read_backup,
    serving_lock,
    write_backup,
)
from cbgateway.profiles.loader import profiles_folder
from cbgateway.service.outbox import Outbox
from cbgateway.settings import FILE_NAME
from cbgateway.storage.marks import Marks


@pytest.fixture
def backup(office: Any, tmp_path: Path) -> Path:
    """Give a backup of a gateway with one bulletin that was approved."""
    office.issue(office.document())
    path = tmp_path / "backup.tar"
    office.gateway.backup(path, with_secrets=False)
    return path


def move_away(home: Path) -> None:
    """Do what an operator does before a restore."""
    aside = home / "evidence"
    aside.mkdir()
    for path in home.glob(f"{DATABASE}*"):
        path.rename(aside / path.name)


def members_of(path: Path) -> dict[str, bytes]:
    """Read a tar file, without looking at what is in it."""
    with tarfile.open(path) as tar:
        return {one.name: tar.extractfile(one).read() for one in tar}  # type: ignore[union-attr]


def pack(path: Path, members: dict[str, bytes]) -> Path:
    """Write a tar file."""
    path.unlink(missing_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, octets in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(octets)
            tar.addfile(info, io.BytesIO(octets))
    return path


def serials(gateway: Gateway, bulletin_id: str) -> set[tuple[int, int]]:
    """Give message code and update number of what a bulletin has put on air."""
    with gateway.store.read() as tx:
        return {
            (row.serial_number.message_code, row.serial_number.update_number)
            for row in tx.deliveries(bulletin_id)
            if row.serial_number is not None and not row.is_stop
        }


def test_backup_is_for_its_owner_alone_and_has_no_secrets(backup: Path, office: Any) -> None:
    """Database and settings; keys and passwords only when they are asked for."""
    manifest, members = read_backup(backup)

    assert backup.stat().st_mode & 0o777 == 0o600
    assert sorted(members) == [DATABASE, FILE_NAME]
    assert manifest["mode"] == "test"
    assert not list(office.gateway.home.glob("*.snapshot*"))


def test_backup_is_never_written_over(backup: Path, office: Any) -> None:
    """What is there stays as it is; what cannot be written is named."""
    before = backup.read_bytes()

    with pytest.raises(InputError, match="File exists"):
        office.gateway.backup(backup, with_secrets=True)
    with pytest.raises(InputError, match="No such file"):
        office.gateway.backup(backup.parent / "none" / "b.tar", with_secrets=True)
    assert backup.read_bytes() == before


def test_half_a_backup_is_not_left(
    office: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that is full while a backup is written leaves no file that looks like one."""

    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)

    with pytest.raises(InputError, match="No space left"):
        office.gateway.backup(tmp_path / "b.tar", with_secrets=False)
    assert not (tmp_path / "b.tar").exists()


def test_no_room_for_the_snapshot_is_named(office: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The copy beside the database is taken away again."""

    def fail(path: Path) -> None:
        path.write_bytes(b"half")
        msg = "full"
        raise DiskFullError(msg)

    monkeypatch.setattr(office.gateway.store, "snapshot", fail)

    with pytest.raises(DiskFullError):
        office.gateway.backup(office.gateway.home / "b.tar", with_secrets=False)
    assert not list(office.gateway.home.glob("*.snapshot*"))


def test_backup_with_secrets_makes_a_whole_gateway_elsewhere(office: Any, tmp_path: Path) -> None:
    """Round trip: in an empty folder, the same people approve with the same keys."""
    office.issue(office.document())
    office.gateway.backup(tmp_path / "all.tar", with_secrets=True)
    home = tmp_path / "elsewhere"

    manifest = restore(tmp_path / "all.tar", home, clock=office.clock)

    assert manifest["settings"] == str(home / DATABASE)
    secret = [path for folder in ("keys", "secrets") for path in (home / folder).rglob("*")]
    assert {path.stat().st_mode & 0o777 for path in secret if path.is_file()} == {0o600}
    with Gateway.open(home, clock=office.clock) as again:
        record = again.submit(
            json.dumps(office.later("progress")).encode(), key=office.keys["alice"]
        )
        prepared = again.prepare(record.bulletin.bulletin_id)
        assert again.approve(prepared, key=office.keys["bob"]).state == "approved"
        assert [str(one) for one in again.findings() if one.check in {"database", "history"}] == [
            "Finding(check='database', level=<Level.OK: 'ok'>, detail='')",
            "Finding(check='history', level=<Level.OK: 'ok'>, detail='')",
        ]


def test_restore_goes_where_the_settings_say(office: Any, tmp_path: Path) -> None:
    """A gateway that keeps database, keys and profiles elsewhere gets them back there."""
    shutil.copytree(profiles_folder(), tmp_path / "own")
    settings = office.gateway.settings.model_copy(update={"profiles": tmp_path / "own"})
    toml = office.gateway.home / FILE_NAME
    places = 'database = "data/other.db"\nkeys = "data/k"\nprofiles = "data/p"\n'
    toml.write_text(places + toml.read_text("utf-8"), "utf-8")
    write_backup(
        office.gateway.home,
        settings,
        office.gateway.store,
        tmp_path / "all.tar",
        at=office.clock.now(),
        with_secrets=True,
    )

    restore(tmp_path / "all.tar", tmp_path / "new", clock=office.clock)

    data = tmp_path / "new" / "data"
    assert (data / "other.db").is_file()
    assert (data / "k" / "audit.pem").is_file()
    assert any(path.is_file() for path in (data / "p").rglob("*.toml"))
    assert not (tmp_path / "new" / DATABASE).exists()


def test_every_octet_that_was_flipped_is_noticed(backup: Path, tmp_path: Path) -> None:
    """In the manifest each one, in settings and database a sample of them."""
    members = members_of(backup)
    unnoticed = []
    for name, octets in members.items():
        step = 1 if name == MANIFEST else max(1, len(octets) // 40)
        for at in range(0, len(octets), step):
            changed = octets[:at] + bytes([octets[at] ^ 1]) + octets[at + 1 :]
            try:
                manifest, found = read_backup(
                    pack(tmp_path / "damaged.tar", members | {name: changed})
                )
            except InputError:
                continue
            unnoticed += [(name, at)] if manifest or found else []

    # a space of the layout may become another space, which says the same
    assert [(name, at) for name, at in unnoticed if not chr(members[name][at]).isspace()] == []


@pytest.mark.parametrize(
    ("manifest", "words"),
    [
        (b"[]", "not a backup"),
        (b"{", "not a backup"),
        (b"\xff", "not a backup"),
        (b"[" * 100_000, "not a backup"),
        (None, "not a backup"),
    ],
)
def test_what_has_no_manifest_is_no_backup(
    tmp_path: Path, manifest: bytes | None, words: str
) -> None:
    """Whatever stands there instead."""
    members = {} if manifest is None else {MANIFEST: manifest}

    with pytest.raises(InputError, match=words):
        read_backup(pack(tmp_path / "b.tar", members))


def forge(backup: Path, members: dict[str, bytes], **changes: Any) -> Path:
    """Write a backup whose manifest fits other contents, as somebody would who means harm."""
    manifest = json.loads(members_of(backup)[MANIFEST]) | changes
    manifest["files"] = {name: hashlib.sha256(one).hexdigest() for name, one in members.items()}
    manifest["digest"] = _digest(manifest)
    return pack(backup, {MANIFEST: json.dumps(manifest).encode(), **members})


def test_backup_of_another_format_is_refused(backup: Path) -> None:
    """A later version's backup is not guessed at."""
    members = {name: one for name, one in members_of(backup).items() if name != MANIFEST}

    with pytest.raises(InputError, match="format 2"):
        read_backup(forge(backup, members, format=2))


@pytest.mark.parametrize(
    "name", ["../evil", "/srv/evil", "keys/../../evil", "secrets/../kt", "secrets/att", "marks"]
)
def test_member_that_belongs_nowhere_is_refused(
    backup: Path, tmp_path: Path, clock: Any, name: str
) -> None:
    """Nothing of such a backup is put in place."""
    members = {key: one for key, one in members_of(backup).items() if key != MANIFEST}
    path = forge(backup, members | {name: b"evil"})
    home = tmp_path / "new"

    with pytest.raises(InputError, match="belongs nowhere"):
        restore(path, home, clock=clock)
    assert [one.name for one in home.iterdir()] == [FILE_NAME]
    assert not list(tmp_path.rglob("evil"))


def test_backup_without_database_is_refused(backup: Path, tmp_path: Path, clock: Any) -> None:
    """There would be nothing to open."""
    members = {FILE_NAME: members_of(backup)[FILE_NAME]}

    with pytest.raises(InputError, match="lacks"):
        restore(forge(backup, members), tmp_path / "new", clock=clock)


def test_restore_never_writes_over_a_database(backup: Path, office: Any) -> None:
    """What is there is evidence, even if only its log is left."""
    home = office.gateway.home
    with pytest.raises(InputError, match="it is evidence"):
        restore(backup, home, clock=office.clock)
    (home / DATABASE).unlink()

    with pytest.raises(InputError, match="it is evidence"):
        restore(backup, home, clock=office.clock)


def test_restore_without_keys_changes_nothing(backup: Path, office: Any, tmp_path: Path) -> None:
    """A gateway that could not sign its history is not made."""
    home = tmp_path / "new"
    with pytest.raises(InputError, match="put the keys back"):
        restore(backup, home, clock=office.clock)
    assert not (home / DATABASE).exists()

    shutil.copytree(office.gateway.home / "keys", home / "keys")
    restore(backup, home, clock=office.clock)
    assert (home / DATABASE).is_file()


def test_serial_numbers_go_on_beyond_what_phones_have_seen(
    backup: Path, office: Any, make_office: Any
) -> None:
    """Three versions went out after the backup; the next one is none of them."""
    seen = serials(office.gateway, "inc-1/1")
    for kind in ("progress", "progress"):
        record = office.issue(office.later(kind))
        seen |= serials(office.gateway, record.bulletin.bulletin_id)
    other = office.issue(
        office.document(
            incident=office.document()["incident"] | {"id": "inc-2"}, allow_duplicate=True
        )
    )
    seen |= serials(office.gateway, other.bulletin.bulletin_id)
    home = office.gateway.home
    move_away(home)

    restore(backup, home, clock=office.clock)
    with Gateway.open(home, clock=office.clock) as again:
        office.gateway = again
        fresh = serials(again, office.issue(office.later("progress")).bulletin.bulletin_id)
        third = office.document(
            incident=office.document()["incident"] | {"id": "inc-3"}, allow_duplicate=True
        )
        fresh |= serials(again, office.issue(third).bulletin.bulletin_id)

    assert len(seen) == 4
    assert len(fresh) == 2
    assert not fresh & seen


def test_without_marks_codes_jump_half_the_range(backup: Path, office: Any) -> None:
    """As far as one can get from what may be in use."""
    ((code, _),) = serials(office.gateway, "inc-1/1")
    home = office.gateway.home
    move_away(home)
    (home / "cbgateway.marks").unlink()

    restore(backup, home, clock=office.clock)
    with Gateway.open(home, clock=office.clock) as again:
        office.gateway = again
        fresh = serials(again, office.issue(office.later("progress")).bulletin.bulletin_id)
        with again.store.read() as tx:
            (event,) = [one for one in tx.events("gateway") if one.what == "restored"]

    assert fresh == {((code + len(MAIN_CODES) // 2) % len(MAIN_CODES), 0)}
    assert event.detail["had_marks"] is False


def test_restored_history_is_a_new_epoch(backup: Path, office: Any) -> None:
    """Its first entry says what came back; the witness goes on under another name."""
    gateway = office.gateway
    gateway.history.checkpoint()
    old = gateway.history.origin
    move_away(gateway.home)

    restore(backup, gateway.home, clock=office.clock)
    with Gateway.open(gateway.home, clock=office.clock) as again:
        assert again.history.origin != old
        assert again.history.origin.rpartition("/")[0] == old.rpartition("/")[0]
        assert again.history.verify().compared == 1
        witness = again.settings.witness.read_text("utf-8")
        assert (old in witness, again.history.origin in witness) == (True, True)
        with again.store.read() as tx:
            last = tx.events("gateway")[-1]
        assert (last.what, last.detail["had_marks"]) == ("restored", True)
        assert last.detail["epoch"] == again.history.origin.rpartition("/")[2]


def put_back(office: Any, backup: Path) -> None:
    """Copy yesterday's database into its place by hand, past `restore`."""
    home = office.gateway.home
    move_away(home)
    (home / DATABASE).write_bytes(members_of(backup)[DATABASE])
    (home / DATABASE).chmod(0o600)


@pytest.mark.parametrize("without", ["cbgateway.marks", "witness.jsonl"])
def test_copy_put_back_by_hand_is_refused(backup: Path, office: Any, without: str) -> None:
    """Either of the marks and the witness file gives it away."""
    office.issue(office.later("progress"))
    office.gateway.history.checkpoint()
    put_back(office, backup)
    home = office.gateway.home
    if without == "witness.jsonl":
        office.gateway.settings.witness.unlink()
    else:
        (home / without).unlink()
        Marks.open(home / without, create=True).close()

    with pytest.raises(AuditError, match="an older copy"), Gateway.open(home):
        pytest.fail("it was opened")


def test_what_was_in_flight_is_in_doubt_after_a_restore(office: Any, tmp_path: Path) -> None:
    """The backup was made between sending and the answer: nobody knows, so nobody says sent."""
    office.issue(office.document())
    outbox, now = Outbox(office.gateway.deployment), office.clock.now()
    with office.gateway.store.transaction() as tx:
        leased = outbox.lease(tx, "kt", now=now, limit=16, with_sms=True, rank_max=99)
    office.gateway.backup(tmp_path / "b.tar", with_secrets=False)
    home = office.gateway.home
    move_away(home)

    restore(tmp_path / "b.tar", home, clock=office.clock)
    with Gateway.open(home, clock=office.clock) as again:
        with again.store.transaction() as tx:
            in_doubt = Outbox(again.deployment).recover(tx, now=now)
        with again.store.read() as tx:
            states = {row.state for row in tx.deliveries() if row.lineage.peer_id == "kt"}

    assert len(leased) == 2
    assert in_doubt == {"kt": 2}
    assert DeliveryState.INTENT not in states


def test_one_process_serves(office: Any) -> None:
    """The second is told so, whatever it does; the lock goes with its holder."""
    settings = office.gateway.settings
    with serving_lock(settings):
        assert is_served(settings)
        with pytest.raises(StoreError, match="serves"), serving_lock(settings):
            pytest.fail("two processes send for one database")
    assert not is_served(settings)


def test_backup_with_secrets_has_the_keys_of_subscribers(enquirers: Any, tmp_path: Path) -> None:
    """Who asked to be told is told by the gateway elsewhere as well; without secrets, by none."""
    enquirers.ask("알림 부산")
    gateway = enquirers.office.gateway
    gateway.backup(tmp_path / "all.tar", with_secrets=True)
    gateway.backup(tmp_path / "less.tar", with_secrets=False)
    restore(tmp_path / "all.tar", tmp_path / "elsewhere", clock=enquirers.office.clock)

    ours = gateway.settings.enquiries.keys_file.read_bytes()
    assert (tmp_path / "elsewhere" / "secrets" / "enquiries.json").read_bytes() == ours
    assert ours not in (tmp_path / "less.tar").read_bytes()
