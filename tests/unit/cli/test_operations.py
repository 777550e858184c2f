"""Commands of operations: audit, backup, keys, status, and what they say when refused."""

import json
import os
import runpy
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import apsw
import pytest

from cbgateway import __version__, preflight
from cbgateway.app import Gateway
from cbgateway.cli import common, main
from cbgateway.domain.delivery import OnAirEvidence
from cbgateway.domain.errors import GatewayError
from cbgateway.domain.incoming import AreaOnAir, MessageState
from cbgateway.keyring import Keyring
from tests.unit.cli.test_cli import document, home, key, run

__all__ = ["document", "home"]


@pytest.fixture(autouse=True)
def ordinary_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the tests' folder on a disk that lasts."""
    monkeypatch.setattr(preflight, "filesystem_of", lambda path: "ext4")


@pytest.fixture
def issued(home: Path, document: Path) -> Path:
    """Give a gateway with one bulletin that was approved."""
    where = ("--home", home)
    run("bulletin", "submit", document, "--key", key(home, "alice"), *where)
    run("bulletin", "approve", "inc-1/1", "--key", key(home, "bob"), "--yes", *where)
    return home


def change(path: Path, **changes: Any) -> Path:
    """Change a bulletin in its file."""
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return path


# Status, doctor, backup


def test_status_counts_what_is_open(issued: Path) -> None:
    """For programs and for people."""
    report = run("status", "--home", issued, "--json")

    assert report["bulletins"] == {"approved": 1}
    assert report["open_deliveries"] == {c: {"ready": 2} for c in ("kt", "skt", "lguplus")}
    assert (report["is_served"], report["has_ballast"], report["mode"]) == (False, True, "test")
    assert report["audit"]["witnessed"] is None
    shown = run("status", "--home", issued)
    for words in ("is not served", "1 approved", "kt: 2 ready", "witnessed up to 0"):
        assert words in shown
    run("audit", "checkpoint", "--home", issued)
    after = run("status", "--home", issued, "--json")["audit"]
    assert after["witnessed"] == after["entries"]


def test_status_of_a_new_gateway(home: Path) -> None:
    """Nothing yet, and nothing open."""
    shown = run("status", "--home", home)

    assert "none yet" in shown
    assert "kt: nothing open" in shown


def test_doctor_names_a_truncated_database(issued: Path) -> None:
    """It is refused with its path, stays as it is, and is not made anew."""
    database = issued / "cbgateway.db"
    with Gateway.open(issued) as gateway:
        gateway.store._connection.pragma("wal_checkpoint", "TRUNCATE")
    database.write_bytes(database.read_bytes()[:5000])

    for command in ("doctor", "status", "serve"):
        assert run(command, "--home", issued, code=70)
    database.write_bytes(b"")
    assert "left untouched" in run("doctor", "--home", issued, code=70)
    assert database.read_bytes() == b""
    database.unlink()
    assert "no database" in run("doctor", "--home", issued, code=70)
    assert not database.exists()


def test_database_of_a_newer_version_is_left_untouched(home: Path) -> None:
    """Exit code 70 for every command."""
    connection = apsw.Connection(str(home / "cbgateway.db"))
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    before = (home / "cbgateway.db").read_bytes()

    assert "schema 99" in run("doctor", "--home", home, code=70)
    assert "schema 99" in run("serve", "--home", home, code=70)
    assert (home / "cbgateway.db").read_bytes() == before


def test_backup_comes_back(issued: Path, tmp_path: Path) -> None:
    """Backup, disaster, restore; a second restore is refused."""
    path = tmp_path / "b.tar"
    made = run("backup", path, "--home", issued, "--json")
    assert made["files"].keys() == {"cbgateway.db", "cbgateway.toml"}
    assert "file" in made
    for left in issued.glob("cbgateway.db*"):
        left.unlink()

    assert run("restore", path, "--home", issued, "--json")["mode"] == "test"
    assert "it is evidence" in run("restore", path, "--home", issued, code=2)
    assert run("bulletin", "show", "inc-1/1", "--home", issued, "--json")["state"] == "approved"
    whole = tmp_path / "all.tar"
    assert "mode test" in run("backup", whole, "--with-secrets", "--home", issued)
    assert "Now: cbgateway doctor" in run("restore", whole, "--home", tmp_path / "new")
    assert "is not a backup" in run("restore", tmp_path / "none", "--home", tmp_path / "x", code=2)


def test_clock_is_confirmed(home: Path) -> None:
    """It says which time it is now taken to be."""
    assert "confirmed: it is" in run("confirm-clock", "--home", home)
    at = run("confirm-clock", "--home", home, "--json")["confirmed_at"]
    assert abs(datetime.fromisoformat(at) - datetime.now(UTC)) < timedelta(minutes=1)


# Audit


def test_history_is_verified_against_yesterday(issued: Path, tmp_path: Path) -> None:
    """A checkpoint that somebody else has kept; another gateway's is refused."""
    where = ("--home", issued)
    yesterday = tmp_path / "yesterday"
    yesterday.write_text(run("audit", "checkpoint", *where), "utf-8")
    run("keys", "new", "carol", "--approve", "--region", "KR", *where)

    report = run("audit", "verify", "--checkpoint", yesterday, *where, "--json")
    assert report["compared"] == 2
    assert report["origin"].startswith("cbgateway/test/")
    assert "unchanged since 1" in run("audit", "verify", *where)
    other = tmp_path / "other"
    run("init", "--home", other)
    problem = run("audit", "verify", "--checkpoint", yesterday, "--home", other, "--json", code=5)
    assert json.loads(problem)["type"] == "urn:cbgateway:problem:audit-broken"
    yesterday.write_bytes(b"\xff")
    run("audit", "verify", "--checkpoint", yesterday, *where, code=2)
    run("audit", "verify", "--checkpoint", tmp_path / "none", *where, code=2)
    yesterday.write_text("nonsense")
    assert "not a checkpoint" in run("audit", "verify", "--checkpoint", yesterday, *where, code=5)


def test_history_that_was_cut_is_refused_by_every_command(issued: Path) -> None:
    """Exit code 5, before anything is done."""
    run("audit", "checkpoint", "--home", issued)
    connection = apsw.Connection(str(issued / "cbgateway.db"))
    connection.execute("DROP TRIGGER audit_is_never_deleted")
    connection.execute("DELETE FROM audit WHERE leaf_index > 1")
    connection.close()

    for command in (("audit", "verify"), ("status",), ("serve",), ("doctor",)):
        assert "its end was cut off" in run(*command, "--home", issued, code=5)


def test_history_is_exported(issued: Path, tmp_path: Path) -> None:
    """Into a new folder; once."""
    folder = tmp_path / "evidence"
    report = run("audit", "export", folder, "--home", issued, "--json")
    assert report["entries"] == run("status", "--home", issued, "--json")["audit"]["entries"]
    assert "is not empty" in run("audit", "export", folder, "--home", issued, code=2)
    shown = run("audit", "export", tmp_path / "more", "--home", issued)
    assert f"{report['entries']} entries in" in shown


def test_history_is_shown(issued: Path) -> None:
    """Of everything, or of one bulletin."""
    events = run("audit", "show", "--subject", "inc-1/1", "--home", issued, "--json")

    assert [(one["what"], one["actor"]) for one in events] == [
        ("submitted", "alice"),
        ("approved", "bob"),
    ]
    shown = run("audit", "show", "--home", issued)
    for words in ("made", "person-added", "approved", "inc-1/1"):
        assert words in shown


# Incidents and bulletins


def test_incident_goes_on(issued: Path) -> None:
    """Noted, shown, and refused where it may not follow."""
    where = ("--key", key(issued, "bob"), "--home", issued)
    assert run("incident", "set", "inc-1", "monitoring", *where, "--json") == {
        "incident": "inc-1",
        "state": "monitoring",
    }
    assert "inc-1: restored" in run("incident", "set", "inc-1", "restored", *where)
    run("incident", "set", "inc-1", "suspected", *where, code=3)
    run("incident", "set", "inc-9", "monitoring", *where, code=3)
    assert run("incident", "show", "inc-1", "--home", issued, "--json")["state"] == "restored"


def test_bulletin_goes_back_and_forth(home: Path, document: Path) -> None:
    """Draft, revised, returned, revised, taken back: each shown to programs and to people."""
    where, alice = ("--home", home), ("--key", key(home, "alice"))
    bob = ("--key", key(home, "bob"))
    assert "Later: cbgateway bulletin revise" in run(
        "bulletin", "submit", document, "--draft", *alice, *where
    )
    change(document, identifier="b-2")
    assert "Now somebody else" in run("bulletin", "revise", "inc-1/1", document, *alice, *where)
    give_back = ("bulletin", "return", "inc-1/1", "--reason")
    assert "reason: name it" in run(*give_back, "name it", *bob, *where)
    change(document, identifier="b-3")
    out = run("bulletin", "revise", "inc-1/1", document, *alice, *where, "--json")
    assert out["state"] == "pending"
    assert run(*give_back, "again", *bob, *where, "--json")["reason"] == "again"
    take_back = ("bulletin", "take-back", "inc-1/1", "--reason", "x", *alice, *where)
    assert run(*take_back, "--json")["state"] == "withdrawn"
    run(*take_back, code=3)
    change(
        document,
        identifier="b-4",
        incident=json.loads(document.read_text())["incident"] | {"id": "inc-2"},
    )
    run("bulletin", "submit", document, *alice, *where)
    assert "withdrawn" in run("bulletin", "take-back", "inc-2/1", "--reason", "x", *alice, *where)


def test_rejection_for_programs(home: Path, document: Path) -> None:
    """State and reason."""
    where = ("--home", home)
    run("bulletin", "submit", document, "--key", key(home, "alice"), *where)

    out = run(
        *("bulletin", "reject", "inc-1/1", "--reason", "no", "--key", key(home, "bob")),
        *(*where, "--json"),
    )
    assert (out["state"], out["reason"]) == ("rejected", "no")


def test_second_copies_are_asked_for(issued: Path) -> None:
    """Nothing is in doubt yet."""
    where = ("--key", key(issued, "bob"), "--home", issued)

    assert run("bulletin", "resend", "inc-1/1", *where, "--json")["recipients"] == 0
    assert "0 recipients get a second copy" in run("bulletin", "resend", "inc-1/1", *where)


def test_carriers_are_asked_where_a_bulletin_is_on_air(issued: Path) -> None:
    """Nothing has left yet; what a carrier says later is shown."""
    where = ("--home", issued)

    assert run("bulletin", "ask", "inc-1/1", *where, "--json")["broadcasts"] == 0
    assert "asked about 0 broadcasts" in run("bulletin", "ask", "inc-1/1", *where)
    with Gateway.open(issued) as gateway, gateway.store.transaction() as tx:
        first, second = [row for row in tx.deliveries("inc-1/1") if not row.recipients][:2]
        for row in (first, second):
            tx.ask_on_air(row, due=row.updated_at)
        areas = (AreaOnAir("KR-26", 98), AreaOnAir("KR-49", None, 4, (2, 5)))
        tx.put_on_air(
            first.delivery_id, OnAirEvidence(first.updated_at, MessageState.ENROUTE, areas)
        )
        tx.put_on_air(second.delivery_id, OnAirEvidence(first.updated_at, problem="no answer"))
    shown = " ".join(run("bulletin", "show", "inc-1/1", *where).split())

    assert "enroute; reached: KR-26 98 %, KR-49 unknown of 4 cells (2-5 times)" in shown
    assert "no answer (asked" in shown


def test_wide_area_is_typed(home: Path, document: Path) -> None:
    """Whoever types something else has sent nothing; the phrase may be given beforehand."""
    where, bob = ("--home", home), ("--key", key(home, "bob"))
    run("bulletin", "submit", change(document, regions=["KR"]), "--key", key(home, "alice"), *where)

    approve = ("bulletin", "approve", "inc-1/1", *bob, *where)
    run(*approve, code=3, stdin="yes\n")
    run(*approve, "--yes", code=3)
    problem = run(*approve, "--json", code=3)
    assert json.loads(problem)["exit_code"] == 3
    out = run(*approve, "--confirm", "test 17 regions")
    assert "to be typed: test 17 regions" in out
    assert run("bulletin", "show", "inc-1/1", *where, "--json")["state"] == "approved"


# Keys


def test_key_is_rotated_with_overlap(home: Path, document: Path) -> None:
    """Both count at first; without overlap the old one is done at once."""
    where = ("--home", home)
    rotated = run("keys", "rotate", "alice", *where, "--json")
    assert Path(rotated["file"]).stat().st_mode & 0o777 == 0o600
    run("bulletin", "submit", document, "--key", key(home, "alice"), *where)
    shown = run("keys", "list", *where)
    assert "until" in shown
    again = run("keys", "rotate", "alice", "--overlap-hours", 0, *where)
    assert "the old one ends in 0.0 h" in again
    change(document, identifier="b-2", allow_duplicate=True)
    run("bulletin", "submit", document, "--key", rotated["file"], *where, code=5)
    run("keys", "rotate", "nobody", *where, code=3)
    for hours in ("-1", "nan", "inf", "1e9"):
        run("keys", "rotate", "alice", "--overlap-hours", hours, *where, code=2)


def test_old_signatures_count_until_the_overlap_ends(office: Any) -> None:
    """To the minute, by the gateway's clock."""
    old = office.keys["alice"]
    key, path = office.gateway.keyring.rotate_person("alice", overlap=timedelta(hours=1))
    office.clock.advance(3599)
    office.submit(office.document())
    office.clock.advance(1)

    with pytest.raises(GatewayError, match="not trusted here"):
        office.submit(office.later("progress"))
    office.keys["alice"] = type(old).load(path)
    assert office.keys["alice"].key_id == key.key_id != old.key_id
    office.submit(office.later("progress"))


def test_shorter_end_is_not_put_off(office: Any) -> None:
    """A second rotation with a long overlap does not bring an old key back."""
    keyring = office.gateway.keyring
    keyring.rotate_person("alice", overlap=timedelta(hours=1))
    keyring.rotate_person("alice", overlap=timedelta(hours=9))

    with office.gateway.store.read() as tx:
        ends = {one.key_id: one.until for one in tx.person_keys("alice")}
    now = office.clock.now()
    assert ends[office.keys["alice"].key_id] == now + timedelta(hours=1)
    assert sorted(filter(None, ends.values())) == [
        now + timedelta(hours=1),
        now + timedelta(hours=9),
    ]


def test_revoked_key_counts_for_nothing(home: Path, document: Path) -> None:
    """By its name: a person's key and a region's; the person stays."""
    where = ("--home", home)
    listed = run("keys", "list", *where, "--json")
    (alice,) = [one for one in listed["people"] if one["name"] == "alice"]
    (busan,) = [one for one in listed["regions"] if one["region"] == "KR-26"]

    revoked = run("keys", "revoke", alice["keys"][0]["key_id"], *where, "--json")
    assert revoked["what"] == "key"
    run("bulletin", "submit", document, "--key", key(home, "alice"), *where, code=5)
    run("keys", "revoke", busan["key_id"], *where)
    published = run("keys", "export", *where)
    assert busan["key_id"] not in published
    assert "(revoked)" in run("keys", "list", *where)
    new = run("keys", "rotate", "alice", *where, "--json")["file"]
    run("bulletin", "submit", document, "--key", new, *where)
    approve = ("bulletin", "approve", "inc-1/1", "--key", key(home, "bob"), "--yes", *where)
    assert "no valid sealing key" in run(*approve, code=5)
    assert "KR-26: sealing key" in run("keys", "rotate-region", "KR-26", *where)
    run(*approve)
    again = run("keys", "rotate-region", "KR-26", *where, "--json")
    assert Path(again["file"]).stat().st_mode & 0o777 == 0o600
    run("keys", "rotate-region", "KR-99", *where, code=3)


def test_seal_of_a_key_in_overlap_stays_good(issued: Path, tmp_path: Path) -> None:
    """What is on phones is still verified after the region has a new key."""
    where = ("--home", issued)
    report = tmp_path / "report.json"
    report.write_text(json.dumps(run("bulletin", "show", "inc-1/1", "--json", *where)))
    new = run("keys", "rotate-region", "KR-26", "--overlap-hours", 1, *where, "--json")

    assert run("bulletin", "verify", report, *where, "--json")[0]["key_id"] != new["key_id"]


def test_newest_key_has_to_be_in_its_file(office: Any) -> None:
    """A file that holds another key seals nothing."""
    folder = office.gateway.settings.keys / "regions"
    (folder / "KR-26.pem").unlink()
    (folder / "KR-11.pem").rename(folder / "KR-26.pem")

    with pytest.raises(GatewayError, match="is not the newest of KR-26"):
        office.issue(office.document())


def test_machine_has_an_owner(home: Path, document: Path) -> None:
    """A person who is known here answers for it; it may submit and never approve."""
    new = ("keys", "new", "monitor", "--region", "KR-26", "--home", home)
    assert "nobody" in run(*new, "--submit", "--owner", "nobody", code=3)
    assert "people decide" in run(*new, "--submit", "--approve", "--owner", "alice", code=2)
    assert "only alice keeps it" in run(*new, "--submit", "--owner", "alice", "--kind", "first")

    (monitor,) = [
        one
        for one in run("keys", "list", "--home", home, "--json")["people"]
        if one["name"] == "monitor"
    ]
    assert (monitor["owner"], monitor["kinds"]) == ("alice", ["first"])
    change(document, sender="monitor")
    run("bulletin", "submit", document, "--key", key(home, "monitor"), "--home", home)
    assert key(home, "monitor").stat().st_mode & 0o777 == 0o600
    run("bulletin", "submit", document, "--key", key(home, "monitor"), "--home", home)


def test_key_file_that_cannot_be_written_registers_nobody(office: Any) -> None:
    """Otherwise somebody would be known whose key nobody has."""
    folder = office.gateway.settings.keys / "people"
    (folder / "carol.pem").write_text("there already")
    keyring: Keyring = office.gateway.keyring

    with pytest.raises(GatewayError, match="File exists"):
        office.add("carol", may_approve=True)
    with office.gateway.store.read() as tx:
        assert tx.person("carol") is None
    assert keyring.revoke("bob") == "person"


# The command itself


def test_version_is_told() -> None:
    """Without a gateway."""
    assert run("--version") == f"cbgateway {__version__}\n"


def test_module_is_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """`python -m cbgateway` and the entry point are one."""
    monkeypatch.setattr(sys, "argv", ["cbgateway", "--version"])
    for start in (main.run, lambda: runpy.run_module("cbgateway", run_name="__main__")):
        with pytest.raises(SystemExit) as ended:
            start()
        assert ended.value.code == 0


def test_wrong_profiles_are_named_on_a_screen(tmp_path: Path) -> None:
    """By file, on standard error, and exit code 2."""
    assert str(tmp_path) in run("profiles", "check", "--profiles", tmp_path, code=2)


def test_reader_that_has_gone_is_no_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`cbgateway ... | head` ends quietly; nothing more is written to the pipe."""
    out = (tmp_path / "out").open("w")
    monkeypatch.setattr(sys, "stdout", out)

    @common.reports_errors
    def command() -> None:
        raise BrokenPipeError

    with pytest.raises(Exception, match="1"):
        command()
    out.write("lost")
    out.close()
    assert (tmp_path / "out").read_text() == ""
    assert os.path.exists(os.devnull)  # noqa: PTH110 - a device, not a path of ours
