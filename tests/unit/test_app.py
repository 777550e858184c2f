"""A full disk, a failed disk, a clock that jumped: what the gateway does, and what it says."""

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest
from typer.testing import CliRunner

from cbgateway.app import (
    Gateway,
    SystemClock,
    _outbind,
    carriers_of,
    load_checked_profiles,
    make_deployment,
)
from cbgateway.cli.main import app
from cbgateway.domain.bulletin import BulletinState, Mode
from cbgateway.domain.delivery import Event
from cbgateway.domain.errors import (
    AuditError,
    DiskFullError,
    InputError,
    PermissionDeniedError,
    StaleError,
    StoreFailedError,
    UnknownNameError,
)
from cbgateway.domain.incident import IncidentState
from cbgateway.history import History
from cbgateway.home import ballast_of, serving_lock
from cbgateway.settings import FILE_NAME, CarrierSettings, load_settings, read_password
from cbgateway.storage.sqlite import SqliteStore
from tests.campaigns.power_vfs import Disk, Fault, PowerVFS, power_vfs

RUNNER = CliRunner()
CRITICAL = {"class": "critical"}


class Unlucky:
    """A connection whose commits fail as they are told."""

    def __init__(self, connection: apsw.Connection, fail: Any) -> None:
        self._connection = connection
        self._fail = fail
        self._is_writing = False

    def __getattr__(self, name: str) -> Any:
        """Be the connection in all else."""
        return getattr(self._connection, name)

    def __enter__(self) -> None:
        """Begin a savepoint."""
        self._connection.__enter__()

    def __exit__(self, *error: object) -> bool | None:
        """End it."""
        return self._connection.__exit__(*error)

    def execute(self, statement: str, *rest: Any) -> Any:
        """Fail at the commit, when nearly all is done."""
        if statement.startswith("BEGIN"):
            self._is_writing = statement == "BEGIN IMMEDIATE"
        elif statement == "COMMIT" and self._is_writing:
            self._fail()
        return self._connection.execute(statement, *rest)


@pytest.fixture
def full(office: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Give an office whose disk has no room but what the ballast holds."""
    ballast = ballast_of(office.gateway.settings)
    office.room = [False]

    def fail() -> None:
        if ballast.is_there() and not office.room[0]:
            msg = "database or disk is full"
            raise apsw.FullError(msg)

    def fallocate(*_: Any) -> None:
        if not office.room[0]:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", fallocate)
    store = office.gateway.store
    real = store._connection
    store._connection = Unlucky(real, fail)
    yield office
    store._connection = real


def counts(office: Any) -> tuple[int, int, int]:
    """Give how much is stored."""
    with office.gateway.store.read() as tx:
        return tx.audit_size(), len(tx.bulletins()), len(tx.deliveries())


def test_ordinary_bulletin_is_refused_on_a_full_disk(full: Any) -> None:
    """Nothing of it is stored, and the ballast stays for what is never blocked."""
    before = counts(full)

    with pytest.raises(DiskFullError, match="nothing was stored"):
        full.submit(full.document())
    assert counts(full) == before
    assert full.gateway.status()["has_ballast"]


def test_highest_class_goes_through_on_a_full_disk(full: Any) -> None:
    """Submitted and approved in the room that was held for it."""
    record = full.submit(full.document(**CRITICAL))

    assert not full.gateway.status()["has_ballast"]
    assert full.approve(record.bulletin.bulletin_id).state is BulletinState.APPROVED
    with pytest.raises(DiskFullError, match="only withdrawals, corrections"):
        full.submit(full.document(incident=full.document()["incident"] | {"id": "inc-2"}))


@pytest.mark.parametrize("kind", ["correction", "withdrawal"])
def test_withdrawal_and_correction_go_through_on_a_full_disk(full: Any, kind: str) -> None:
    """The disk gets full between submission and approval: it is approved all the same."""
    full.room[0] = True
    full.issue(full.document())
    texts = {} if kind == "withdrawal" else {"texts": {"ko": "[과기정통부] 정정", "en": "Fix"}}
    record = full.submit(full.later(kind, **texts))
    full.room[0] = False

    assert full.approve(record.bulletin.bulletin_id).state is BulletinState.APPROVED
    assert not full.gateway.status()["has_ballast"]


def serials(office: Any, bulletin_id: str) -> set[int]:
    """Give the serial numbers that a bulletin goes on air with."""
    with office.gateway.store.read() as tx:
        return {
            int(row.serial_number)
            for row in tx.deliveries(bulletin_id)
            if row.serial_number is not None and not row.is_stop
        }


def test_serial_number_of_a_failed_commit_stays_burnt(full: Any) -> None:
    """The second attempt takes the next one, and its plan is signed as it is sent."""
    full.room[0] = True
    record = full.submit(full.document(**CRITICAL))
    prepared = full.gateway.prepare(record.bulletin.bulletin_id)
    full.room[0] = False

    approved = full.gateway.approve(prepared, key=full.keys["bob"], confirmation="")

    meant = {int(one) for one in prepared.basis.serials.values()}
    assert meant
    assert not meant & serials(full, record.bulletin.bulletin_id)
    assert approved.decision.plan_hash != prepared.plan.hash()
    assert full.gateway.history.verify().size
    assert len(full.send("kt")) == 2


def test_approval_that_means_something_else_after_a_full_disk_is_refused(
    full: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the serial number may differ from what the approver has looked at."""
    full.room[0] = True
    record = full.submit(full.document(**CRITICAL))
    prepared = full.gateway.prepare(record.bulletin.bulletin_id)
    full.room[0] = False
    ballast = ballast_of(full.gateway.settings)
    release = type(ballast).release

    def and_import(one: Any) -> bool:
        done = release(one)
        full.gateway.import_recipients("kt", b"number,region,language\n821012345678,KR-26,ko\n")
        return done

    monkeypatch.setattr(type(ballast), "release", and_import)

    with pytest.raises(StaleError, match="look again"):
        full.gateway.approve(prepared, key=full.keys["bob"])
    assert serials(full, record.bulletin.bulletin_id) == set()


def test_room_comes_back(full: Any) -> None:
    """The ballast is held again before anything ordinary is taken in."""
    full.submit(full.document(**CRITICAL))
    full.room[0] = True

    texts = {"ko": "[과기정통부] 통신 장애", "en": "Other"}
    full.submit(full.document(texts=texts, incident=full.document()["incident"] | {"id": "inc-2"}))
    assert full.gateway.status()["has_ballast"]


def test_urgent_work_without_ballast_fails_with_its_name(full: Any) -> None:
    """When even that room is gone, it is said and nothing is stored."""
    store = full.gateway.store

    def fail() -> None:
        msg = "database or disk is full"
        raise apsw.FullError(msg)

    store._connection = Unlucky(store._connection._connection, fail)
    before = counts_of(store)

    for _ in range(2):
        with pytest.raises(DiskFullError):
            full.submit(full.document(**CRITICAL))
    assert counts_of(store) == before


def counts_of(store: Any) -> int:
    """Give the history's size past the connection that fails."""
    connection = apsw.Connection(str(store.path))
    ((count,),) = connection.execute("SELECT count(*) FROM audit")
    return int(count)


def test_command_says_that_the_disk_is_full(
    office: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 70, and `status` tells on a screen what still goes."""
    home = office.gateway.home
    ballast_of(office.gateway.settings).release()
    monkeypatch.setattr("cbgateway.home.Ballast.hold", lambda self: False)
    path = tmp_path / "b.json"
    path.write_text(json.dumps(office.document()))
    key = home / "keys" / "people" / "alice.pem"

    result = RUNNER.invoke(
        app, ["bulletin", "submit", str(path), "--key", str(key), "--home", str(home)]
    )
    assert (result.exit_code, "the disk is full" in result.stderr) == (70, True)
    shown = RUNNER.invoke(app, ["status", "--home", str(home)])
    assert "only what is never blocked" in shown.stdout


def test_ballast_that_cannot_be_made_is_not_held(office: Any) -> None:
    """A disk on which not even a name has room."""
    ballast = ballast_of(office.gateway.settings)
    ballast.release()
    ballast.path = ballast.path / "no folder" / "ballast"

    assert not ballast.hold()
    assert not ballast.release()


# A disk that fails


@pytest.fixture
def vfs() -> Iterator[PowerVFS]:
    """Give a file system layer whose operations fail as told."""
    with power_vfs("power-app") as one:
        yield one


def note(n: int) -> Any:
    """Give work that writes one event."""
    at = SystemClock().now()
    return lambda tx: tx.record(Event(at, "s", str(n), "a", {}))


def events(path: Path, vfs: PowerVFS) -> list[str]:
    """Read what is stored, as the next process does."""
    store = SqliteStore.open(path, vfs=vfs.name)
    with store.read() as tx:
        found = [event.what for event in tx.events("s")]
    store.close()
    return found


def test_nothing_is_committed_after_a_sync_has_failed(vfs: PowerVFS) -> None:
    """Even when the next sync would work: nobody knows what the first one has lost."""
    disk = Disk()
    with vfs.mounted(disk) as path:
        store = SqliteStore.create(
            path, mode=Mode.TEST, country="kr", at=SystemClock().now(), vfs=vfs.name
        )

        async def run() -> list[Any]:
            await store.run(note(1))
            disk.fault = Fault("sync", 1, apsw.IOError)
            failed = await asyncio.gather(store.run(note(2)), return_exceptions=True)
            assert disk.fault.hits == 1
            later = await asyncio.gather(store.run(note(3)), return_exceptions=True)
            return [*failed, *later]

        errors = asyncio.run(run())
        store.close()
        assert [type(error) for error in errors] == [StoreFailedError] * 2
        assert "3" not in events(path, vfs)


def test_full_disk_is_tried_again_with_room(vfs: PowerVFS) -> None:
    """Outcomes are stored in the room that was held; without any, whoever asked is told."""
    disk = Disk()
    with vfs.mounted(disk) as path:
        store = SqliteStore.create(
            path, mode=Mode.TEST, country="kr", at=SystemClock().now(), vfs=vfs.name
        )

        async def run() -> list[Any]:
            await store.run(note(1))
            disk.fault = Fault("write", 1, apsw.FullError, lasting=True)
            refused = await asyncio.gather(store.run(note(2)), return_exceptions=True)

            def make_room() -> bool:
                disk.fault = None
                return True

            store.on_full = make_room
            return [*refused, await store.run(note(3))]

        refused, size = asyncio.run(run())
        store.close()
        assert isinstance(refused, DiskFullError)
        assert size == 1
        assert events(path, vfs) == ["1", "3"]


def test_whoever_no_longer_waits_stops_nobody(vfs: PowerVFS) -> None:
    """Work whose caller was cancelled while it waited is done, or fails, without a word."""
    disk = Disk()
    with vfs.mounted(disk) as path:
        store = SqliteStore.create(
            path, mode=Mode.TEST, country="kr", at=SystemClock().now(), vfs=vfs.name
        )

        async def run(fault: Fault | None) -> None:
            gate = threading.Event()
            begun = threading.Event()
            first = asyncio.create_task(store.run(lambda tx: begun.set() or gate.wait(10)))
            second = asyncio.create_task(store.run(note(2)))
            await asyncio.to_thread(begun.wait, 10)
            second.cancel()
            await asyncio.gather(second, return_exceptions=True)
            disk.fault = fault
            gate.set()
            await asyncio.gather(first, return_exceptions=True)
            disk.fault = None

        asyncio.run(run(None))
        asyncio.run(store_alive(store))
        asyncio.run(run(Fault("sync", 1, apsw.IOError)))
        store.close()
        assert "9" in events(path, vfs)


def test_caller_that_is_cancelled_in_the_middle_stops_nobody(vfs: PowerVFS) -> None:
    """Once work has begun it cannot be cancelled under the writer, which goes on."""
    with vfs.mounted(Disk()) as path:
        store = SqliteStore.create(
            path, mode=Mode.TEST, country="kr", at=SystemClock().now(), vfs=vfs.name
        )

        async def run() -> tuple[bool, int]:
            begun, gate = threading.Event(), threading.Event()

            def work(tx: Any) -> None:
                begun.set()
                gate.wait(10)
                note(1)(tx)

            store_writer_future = []
            real = store_put(store, store_writer_future)
            task = asyncio.create_task(store.run(work))
            await asyncio.to_thread(begun.wait, 10)
            was_cancelled = store_writer_future[0].cancel()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            gate.set()
            real.undo()
            return was_cancelled, await store.run(note(2))

        was_cancelled, size = asyncio.run(run())
        store.close()
        assert (was_cancelled, size) == (False, 1)
        assert events(path, vfs) == ["1", "2"]


def store_put(store: SqliteStore, futures: list[Any]) -> pytest.MonkeyPatch:
    """Keep the futures that a store's writer gives."""
    patch = pytest.MonkeyPatch()
    real = asyncio.wrap_future

    def wrap(future: Any) -> Any:
        futures.append(future)
        return real(future)

    patch.setattr("cbgateway.storage.sqlite.asyncio.wrap_future", wrap)
    return patch


def test_what_is_queued_is_committed_before_the_store_closes(
    vfs: PowerVFS, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In as many groups as it takes."""
    monkeypatch.setattr("cbgateway.storage.sqlite.GROUP_MAX", 2)
    with vfs.mounted(Disk()) as path:
        store = SqliteStore.create(
            path, mode=Mode.TEST, country="kr", at=SystemClock().now(), vfs=vfs.name
        )

        async def run() -> None:
            begun, gate = threading.Event(), threading.Event()
            first = asyncio.create_task(store.run(lambda tx: begun.set() or gate.wait(10)))
            await asyncio.to_thread(begun.wait, 10)
            rest = [asyncio.create_task(store.run(note(n))) for n in range(5)]
            put = asyncio.create_task(asyncio.to_thread(lambda: None))
            await put
            closing = asyncio.create_task(asyncio.to_thread(store.close))
            await asyncio.to_thread(lambda: None)
            gate.set()
            await asyncio.gather(first, *rest, closing)

        asyncio.run(run())
        assert events(path, vfs) == ["0", "1", "2", "3", "4"]


async def store_alive(store: SqliteStore) -> None:
    """Write once more."""
    await store.run(note(9))


@pytest.mark.parametrize("nth", [1, 2])
def test_serving_ends_when_the_disk_fails(
    office: Any, monkeypatch: pytest.MonkeyPatch, nth: int
) -> None:
    """Exit code 74; no commit is tried after the one that failed."""
    home = office.gateway.home
    before = counts(office)[0]
    commits = []

    def fail() -> None:
        commits.append(threading.current_thread().name)
        if commits.count("store-writer") >= nth:
            msg = "disk I/O error"
            raise apsw.IOError(msg)

    from cbgateway.storage import sqlite  # noqa: PLC0415 - to be patched

    real = sqlite.connect

    def connect(*args: Any, **kwargs: Any) -> Any:
        connection = real(*args, **kwargs)
        if threading.current_thread().name == "store-writer":
            return Unlucky(connection, fail)
        return connection

    monkeypatch.setattr(sqlite, "connect", connect)
    result = RUNNER.invoke(app, ["serve", "--home", str(home)])

    assert result.exit_code == 74
    assert "the disk failed" in result.stderr
    assert commits.count("store-writer") == nth
    assert counts(office)[0] - before < nth


def test_second_process_does_not_serve(office: Any) -> None:
    """Exit code 70, and the first goes on."""
    with serving_lock(office.gateway.settings):
        result = RUNNER.invoke(app, ["serve", "--home", str(office.gateway.home)])
        shown = RUNNER.invoke(app, ["status", "--json", "--home", str(office.gateway.home)])

    assert result.exit_code == 70
    assert "another process serves" in result.stderr
    assert json.loads(shown.stdout)["is_served"] is True


def test_witnessing_goes_on_after_trouble(office: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A witness that cannot be written, and a database that cannot be read, are tried again."""
    monkeypatch.setattr("cbgateway.app.WITNESS_INTERVAL_S", 0)
    real = History.checkpoint
    seen: list[str] = []
    logged: list[str] = []
    monkeypatch.setattr(
        "cbgateway.app.logger.error", lambda text, *rest: logged.append(str(rest[0]))
    )

    async def run() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()

        def checkpoint(history: History) -> str:
            seen.append("checkpoint")
            if len(seen) <= 3:
                msg = "witness: gone" if len(seen) <= 2 else "another"
                raise AuditError(msg)
            note = real(history)
            loop.call_soon_threadsafe(stop.set)
            return note

        monkeypatch.setattr(History, "checkpoint", checkpoint)
        async with asyncio.timeout(10):
            await office.gateway.serve(stop)

    asyncio.run(run())

    assert logged == ["witness: gone", "another"]
    assert office.gateway.history.witnessed() is not None


# People and clocks


def test_clock_is_confirmed(office: Any) -> None:
    """The serving process hears of it, and the history has it."""
    office.gateway.confirm_clock()

    with office.gateway.store.read() as tx:
        assert tx.count("clock") == 1
        assert [event.what for event in tx.events("clock")] == ["confirmed"]


def test_incident_is_noted_by_somebody_who_may(office: Any) -> None:
    """With the name of who said it; not by somebody whose permissions were revoked."""
    office.issue(office.document())
    office.gateway.set_incident_state("inc-1", IncidentState.MONITORING, key=office.keys["bob"])

    with office.gateway.store.read() as tx:
        assert tx.incident("inc-1").state is IncidentState.MONITORING
        (event,) = [one for one in tx.events("inc-1") if one.what == "monitoring"]
    assert event.actor == "bob"
    with pytest.raises(UnknownNameError, match="inc-1"):
        office.gateway.set_incident_state("inc-9", IncidentState.RESTORED, key=office.keys["bob"])
    office.gateway.keyring.revoke("bob")
    with pytest.raises(PermissionDeniedError, match="revoked"):
        office.gateway.set_incident_state("inc-1", IncidentState.RESTORED, key=office.keys["bob"])


def test_second_copies_need_a_bulletin_and_somebody_who_may(office: Any) -> None:
    """Nothing in doubt, nothing to send; no such bulletin, and not by its author."""
    office.issue(office.document())

    assert office.gateway.resend("inc-1/1", key=office.keys["bob"]) == 0
    with pytest.raises(UnknownNameError):
        office.gateway.resend("inc-9/1", key=office.keys["bob"])
    with pytest.raises(Exception, match="alice"):
        office.gateway.resend("inc-1/1", key=office.keys["alice"])


def test_draft_is_revised_and_taken_back(office: Any) -> None:
    """By its author, before anybody has decided."""
    gateway, key = office.gateway, office.keys["alice"]
    draft = gateway.submit(json.dumps(office.document()).encode(), key=key, as_draft=True)
    assert draft.state is BulletinState.DRAFT
    better = gateway.revise("inc-1/1", json.dumps(office.document()).encode(), key=key)
    assert better.state is BulletinState.PENDING

    assert gateway.take_back("inc-1/1", reason="no", key=key).state is BulletinState.WITHDRAWN


def test_peers_that_are_near_override_their_profile(office: Any) -> None:
    """Reconnecting and pacing as the settings say; the shortest delay is never the longer one."""
    path = office.gateway.home / FILE_NAME
    text = path.read_text("utf-8")
    extra = "reconnect_delay_max_s = 0.01\nmessages_per_s = 7\nwindow_requests_max = 9\n"
    extra += 'more_binds = ["transceiver", "receiver"]\n'
    path.write_text(text.replace("port = 2775\n", f"port = 2775\n{extra}"), "utf-8")

    with Gateway.open(office.gateway.home) as gateway:
        kt, skt = (gateway.deployment.carriers[code] for code in ("kt", "skt"))
        shipped = load_checked_profiles(None)
        again = make_deployment(gateway.settings, shipped)
    assert (kt.smpp.reconnect_delay_min_s, kt.smpp.reconnect_delay_max_s) == (0.01, 0.01)
    assert kt.pacing.messages_per_s == 7
    assert kt.smpp.window_requests_max == 9
    assert kt.smpp.more_binds == ("transceiver", "receiver")
    assert skt == shipped.carriers["skt"]
    assert again.carriers["kt"] == kt
    with pytest.raises(UnknownNameError, match="country"):
        carriers_of("xx")


OUTBIND = """
[carriers.kt.outbind]
port = 2999
system_id = "smsc"
password_file = "secrets/kt.password"
"""


def test_peer_may_connect_where_the_settings_say(office: Any) -> None:
    """On this machine alone, unless they say otherwise; with a name and password of its own."""
    home = office.gateway.home
    path = home / FILE_NAME
    path.write_text(path.read_text("utf-8") + OUTBIND, "utf-8")

    outbind = _outbind(load_settings(home).carriers["kt"])

    assert outbind is not None
    assert (outbind.host, outbind.port, outbind.centre.system_id) == ("127.0.0.1", 2999, "smsc")
    assert outbind.centre.password == read_password(home / "secrets/kt.password")
    assert _outbind(load_settings(home).carriers["skt"]) is None


@pytest.mark.parametrize(
    ("before", "outbind", "problem"),
    [
        ('tls_ca_file = "ca.pem"\n', OUTBIND, "not spoken over TLS"),
        ("", f'{OUTBIND}host = "0.0.0.0"\n', "is_laboratory = true"),
    ],
)
def test_outbind_that_would_not_be_safe_is_refused(
    office: Any, before: str, outbind: str, problem: str
) -> None:
    """Our password goes back over it; and test messages come from this machine alone."""
    path = office.gateway.home / FILE_NAME
    text = path.read_text("utf-8").replace("port = 2775\n", f"port = 2775\n{before}")
    path.write_text(text + outbind, "utf-8")

    with pytest.raises(InputError, match=problem):
        load_settings(office.gateway.home)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("localhost", ("localhost", 9)),
        ("127.0.0.2:2776", ("127.0.0.2", 2776)),
        ("::1", ("::1", 9)),
        ("[::1]", ("::1", 9)),
        ("[::1]:2776", ("::1", 2776)),
    ],
)
def test_places_of_a_peer(text: str, expected: tuple[str, int]) -> None:
    """With a port of its own, or with the first one's."""
    settings = CarrierSettings(
        mode=Mode.TEST,
        host="127.0.0.1",
        port=9,
        more_hosts=(text,),
        system_id="gateway",
        password_file=Path("password"),
    )

    assert settings.places == (("127.0.0.1", 9), expected)


@pytest.mark.parametrize(
    ("more_hosts", "problem"),
    [
        ('["x:y:z"]', "no HOST, HOST:PORT"),
        ('["localhost:0"]', "a port is 1 to"),
        ('["localhost:70000"]', "a port is 1 to"),
        ('["192.0.2.1"]', "is_laboratory = true"),
    ],
)
def test_wrong_places_are_refused(office: Any, more_hosts: str, problem: str) -> None:
    """By name; and test messages go to no other machine by another place either."""
    path = office.gateway.home / FILE_NAME
    text = path.read_text("utf-8")
    path.write_text(
        text.replace("port = 2775\n", f"port = 2775\nmore_hosts = {more_hosts}\n"), "utf-8"
    )

    with pytest.raises(InputError, match=problem):
        load_settings(office.gateway.home)


def test_clock_of_the_machine_goes_on() -> None:
    """Aware, and never backwards."""
    clock = SystemClock()

    assert clock.now().utcoffset() is not None
    first = clock.monotonic_s()
    assert clock.monotonic_s() >= first
