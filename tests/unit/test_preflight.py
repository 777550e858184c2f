"""Preflight: every finding in each mode, and mode live starts with none."""

import asyncio
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from typer.testing import CliRunner

from cbgateway import preflight
from cbgateway.app import Gateway, SystemClock, init_home
from cbgateway.cli.main import app
from cbgateway.domain.bulletin import Mode
from cbgateway.domain.errors import ConfigurationError, InputError
from cbgateway.domain.people import Permission
from cbgateway.offline import make_kit
from cbgateway.preflight import Finding, Level, check_may_serve, filesystem_of
from cbgateway.settings import FILE_NAME, load_settings
from cbgateway.signing.keys import KNOWN_KEYS, SigningKey
from tests.conformance.cap_alerts import identity, pin

RUNNER = CliRunner()


@pytest.fixture(autouse=True)
def sound_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have everything that a test machine may lack: a disk with room, a clock that is right."""
    monkeypatch.setattr(preflight, "filesystem_of", lambda path: "ext4")
    monkeypatch.setattr(preflight, "_is_synchronised", lambda: True)
    monkeypatch.setattr(preflight, "_machine_file", lambda path: "")
    set_disk(monkeypatch, free=50)
    for name in ("LD_PRELOAD", "FAKETIME", preflight.FAILPOINTS_VARIABLE):
        monkeypatch.delenv(name, raising=False)


def set_disk(monkeypatch: pytest.MonkeyPatch, *, free: int) -> None:
    """Have so many per cent of the disk free."""
    usage = SimpleNamespace(total=100, used=100 - free, free=free)
    monkeypatch.setattr("cbgateway.preflight.shutil.disk_usage", lambda path: usage)


def rewrite(home: Path, *changes: tuple[str, str]) -> None:
    """Change a gateway's settings."""
    path = home / FILE_NAME
    text = path.read_text("utf-8")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path.write_text(text, "utf-8")


def make(tmp_path: Path, mode: Mode, *, approvers: int = 2) -> Path:
    """Make a gateway in which nothing is wrong."""
    home = tmp_path / "home"
    init_home(
        home,
        mode=mode,
        country="kr",
        ports={"kt": 2775},
        clock=SystemClock(),
        witness=tmp_path / "another disk" / 'w"itness.jsonl',
    )
    (home / "cbgateway.ballast").unlink()
    (home / "cbgateway.ballast").write_bytes(b"")
    if mode is Mode.LIVE:
        rewrite(home, ('host = "127.0.0.1"', 'host = "192.0.2.1"'))
    with Gateway.open(home) as gateway:
        add(gateway, "alice", may_submit=True)
        for number in range(approvers):
            add(gateway, f"approver{number}", may_approve=True)
        alice = SigningKey.load(gateway.settings.keys / "people" / "alice.pem")
        for contact in gateway.deployment.directory.contacts:
            gateway.telling.confirm_contact(contact.value, key=alice)
    return home


def add(
    gateway: Gateway, name: str, *, may_submit: bool = False, may_approve: bool = False
) -> None:
    """Register somebody."""
    gateway.keyring.add_person(
        name,
        may_submit=may_submit,
        may_approve=may_approve,
        permission=Permission(("KR",), ("safety",)),
    )


def look(home: Path, check: str) -> list[tuple[str, str]]:
    """Give what one check finds: levels and details."""
    with Gateway.open(home) as gateway:
        return [(one.level.value, one.detail) for one in gateway.findings() if one.check == check]


@pytest.mark.parametrize("mode", list(Mode))
def test_sound_gateway_passes_in_every_mode(tmp_path: Path, mode: Mode) -> None:
    """Made by init, two approvers, a witness elsewhere: doctor has nothing to say."""
    home = make(tmp_path, mode)

    with Gateway.open(home) as gateway:
        found = gateway.findings()
        gateway.history.checkpoint()
    assert [one for one in found if one.level is not Level.OK] == []
    assert [one.check for one in found] == [
        *("permissions", "passwords", "keys", "people", "disk", "witness", "kit"),
        *("carriers", "independence", "http", "mqtt", "cap", "environment", "clock"),
        *("contacts", "database", "history"),
    ]
    assert RUNNER.invoke(app, ["doctor", "--home", str(home)]).exit_code == 0


def world_readable_key(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Do harm: world readable key."""
    (home / "keys" / "regions" / "KR-26.pem").chmod(0o644)


def open_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Do harm: open home."""
    home.chmod(0o755)


def open_database_elsewhere(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Do harm: open database elsewhere."""
    (home / "cbgateway.marks").rename(home.parent / "marks")
    rewrite(home, ('country = "kr"', f'country = "kr"\nmarks = "{home.parent}/marks"'))
    (home.parent / "marks").chmod(0o644)


def missing_password(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Do harm: missing password."""
    (home / "secrets" / "kt.password").unlink()


def password_for_all(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Do harm: password for all."""
    (home / "secrets" / "kt.password").chmod(0o640)


def published_key(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Do harm: published key."""
    private = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    known = SigningKey._of(Ed25519PrivateKey.from_private_bytes(private))
    assert known.public_key in KNOWN_KEYS
    with monkeypatch.context() as patch:
        patch.setattr(SigningKey, "generate", classmethod(lambda cls: known))
        with Gateway.open(home) as gateway:
            add(gateway, "eve", may_submit=True)


def missing_audit_key(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Do harm: missing audit key."""
    (home / "keys" / "audit.pem").unlink()


def region_without_key(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Do harm: region without key."""
    with Gateway.open(home) as gateway:
        with gateway.store.read() as tx:
            (key,) = [one for one in tx.region_keys() if one.holder == "KR-26"]
        gateway.keyring.revoke(key.key_id)


def little_room(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Do harm: little room."""
    set_disk(monkeypatch, free=1)


ALWAYS: list[tuple[Callable[[Path, pytest.MonkeyPatch], None], str, str]] = [
    (world_readable_key, "permissions", "chmod go-rwx"),
    (open_home, "permissions", "home can be read"),
    (open_database_elsewhere, "permissions", "marks can be read"),
    (missing_password, "passwords", "No such file"),
    (password_for_all, "passwords", "chmod 600"),
    (published_key, "keys", "of eve is a published test key"),
    (missing_audit_key, "keys", "audit.pem"),
    (region_without_key, "keys", "KR-26 has no sealing key"),
    (little_room, "disk", "1% of the disk"),
]


@pytest.mark.parametrize("mode", [Mode.TEST, Mode.LIVE])
@pytest.mark.parametrize(
    ("harm", "check", "words"), ALWAYS, ids=lambda one: getattr(one, "__name__", None)
)
def test_failure_in_every_mode(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    mode: Mode,
    harm: Callable[[Path, pytest.MonkeyPatch], None],
    check: str,
    words: str,
) -> None:
    """What is wrong even in a laboratory; doctor ends with exit code 78."""
    home = make(tmp_path, mode)
    harm(home, monkeypatch)

    found = look(home, check)
    assert {level for level, _ in found} == {"fail"}
    assert any(words in detail for _, detail in found), found
    result = RUNNER.invoke(app, ["doctor", "--json", "--home", str(home)])
    assert (result.exit_code, words in result.stdout.replace("\\n", " ")) == (78, True)


def weak_password(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Do harm: weak password."""
    (home / "secrets" / "kt.password").write_text("Password")


def short_password(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Do harm: short password."""
    (home / "secrets" / "kt.password").write_text("a1b2c")


def name_as_password(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Do harm: name as password."""
    rewrite(home, ('system_id = "cbgateway"', 'system_id = "cbgate"'))
    (home / "secrets" / "kt.password").write_text("CBGATE")


def one_approver(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Do harm: one approver."""
    with Gateway.open(home) as gateway:
        gateway.keyring.revoke("approver0")


def no_submitter(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Do harm: no submitter."""
    with Gateway.open(home) as gateway:
        gateway.keyring.revoke("alice")


def volatile_disk(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Do harm: volatile disk."""
    monkeypatch.setattr(preflight, "filesystem_of", lambda path: "tmpfs")


def remote_disk(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Do harm: remote disk."""
    monkeypatch.setattr(preflight, "filesystem_of", lambda path: "nfs4")


def witness_inside(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Do harm: witness inside."""
    lines = (home / FILE_NAME).read_text("utf-8").splitlines()
    kept = [line for line in lines if not line.startswith("witness")]
    (home / FILE_NAME).write_text("\n".join(kept), "utf-8")


def failpoints_set(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Do harm: failpoints set."""
    monkeypatch.setenv(preflight.FAILPOINTS_VARIABLE, "send.begun")


def other_time(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Do harm: other time."""
    monkeypatch.setenv("FAKETIME", "-1d")


def clock_before_release(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Do harm: clock before release."""
    monkeypatch.setattr(preflight, "RELEASED_AT", "2999-01-01")


DOUBTFUL: list[tuple[Callable[[Path, pytest.MonkeyPatch], None], str, str]] = [
    (weak_password, "passwords", "short or well known"),
    (short_password, "passwords", "short or well known"),
    (name_as_password, "passwords", "short or well known"),
    (one_approver, "people", "1 people may approve, 2 are needed"),
    (no_submitter, "people", "nobody may submit"),
    (volatile_disk, "disk", "on tmpfs"),
    (remote_disk, "disk", "on nfs4"),
    (witness_inside, "witness", "own folder"),
    (failpoints_set, "environment", "on purpose"),
    (other_time, "environment", "FAKETIME"),
    (clock_before_release, "clock", "before this version was made"),
]


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize(
    ("harm", "check", "words"), DOUBTFUL, ids=lambda one: getattr(one, "__name__", None)
)
def test_doubt_is_a_failure_in_mode_live(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    mode: Mode,
    harm: Callable[[Path, pytest.MonkeyPatch], None],
    check: str,
    words: str,
) -> None:
    """Elsewhere it is a warning, and the gateway serves."""
    home = make(tmp_path, mode)
    harm(home, monkeypatch)

    ((level, detail),) = look(home, check)
    assert level == ("fail" if mode is Mode.LIVE else "warn")
    assert words in detail


def less_room(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Do harm: less room."""
    set_disk(monkeypatch, free=10)


def no_ballast(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Do harm: no ballast."""
    (home / "cbgateway.ballast").unlink()


def preloaded(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Do harm: preloaded."""
    monkeypatch.setenv("LD_PRELOAD", "libfaketime.so")


def not_synchronised(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Do harm: not synchronised."""
    monkeypatch.setattr(preflight, "_is_synchronised", lambda: False)


def key_that_ends(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Do harm: key that ends."""
    with Gateway.open(home) as gateway:
        gateway.keyring.rotate_person("alice", overlap=timedelta(days=2))
        gateway.keyring.rotate_person("approver0", overlap=timedelta(days=8))


WARNINGS: list[tuple[Callable[[Path, pytest.MonkeyPatch], None], str, str]] = [
    (less_room, "disk", "10% of the disk"),
    (no_ballast, "disk", "given up"),
    (preloaded, "environment", "LD_PRELOAD"),
    (not_synchronised, "clock", "not synchronised"),
    (key_that_ends, "keys", "of alice ends"),
]


@pytest.mark.parametrize("mode", [Mode.TEST, Mode.LIVE])
@pytest.mark.parametrize(
    ("harm", "check", "words"), WARNINGS, ids=lambda one: getattr(one, "__name__", None)
)
def test_warning_keeps_nobody_from_serving(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    mode: Mode,
    harm: Callable[[Path, pytest.MonkeyPatch], None],
    check: str,
    words: str,
) -> None:
    """Said, and no more, in every mode."""
    home = make(tmp_path, mode)
    harm(home, monkeypatch)

    ((level, detail),) = look(home, check)
    assert (level, words in detail) == ("warn", True)
    result = RUNNER.invoke(app, ["doctor", "--home", str(home)])
    assert (result.exit_code, "warn" in result.stdout) == (0, True)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('host = "192.0.2.1"\nis_laboratory = true', "laboratory"),
        ('host = "127.0.0.1"', "is_tunnel"),
        ('host = "localhost"', "is_tunnel"),
        ('host = "::1"', "is_tunnel"),
        ('host = "192.0.2.1"\nmore_hosts = ["localhost"]', "is_tunnel"),
        ('host = "127.0.0.1"\nis_tunnel = true', ""),
    ],
)
def test_simulators_have_no_place_in_mode_live(tmp_path: Path, line: str, words: str) -> None:
    """A laboratory or this machine, unless a tunnel ends here."""
    home = make(tmp_path, Mode.LIVE)
    rewrite(home, ('host = "192.0.2.1"', line))

    ((level, detail),) = look(home, "carriers")
    assert level == ("fail" if words else "ok")
    assert words in detail


def test_live_gateway_tells_every_reason_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 78, and the operator does not have to come back for the next one."""
    home = make(tmp_path, Mode.LIVE)
    rewrite(home, ('host = "192.0.2.1"', 'host = "127.0.0.1"'))
    for harm in (
        published_key,
        world_readable_key,
        password_for_all,
        one_approver,
        witness_inside,
        volatile_disk,
        clock_before_release,
        failpoints_set,
    ):
        harm(home, monkeypatch)
    monkeypatch.delenv(preflight.FAILPOINTS_VARIABLE)  # `serve` refuses that one before all else
    monkeypatch.setenv("FAKETIME", "x")

    result = RUNNER.invoke(app, ["serve", "--home", str(home)])
    assert result.exit_code == 78
    for check in (
        *("permissions", "passwords", "keys", "people", "disk", "witness", "carriers"),
        *("environment", "clock"),
    ):
        assert f"{check}: " in result.stderr, check
    with Gateway.open(home) as gateway:
        assert not gateway.status()["is_served"]


def test_failpoints_keep_a_live_gateway_from_starting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The environment of a campaign is no place for it."""
    home = make(tmp_path, Mode.LIVE)
    failpoints_set(home, monkeypatch)

    result = RUNNER.invoke(app, ["serve", "--home", str(home)])
    assert (result.exit_code, "on purpose" in result.stderr) == (78, True)


def test_other_modes_serve_with_failures() -> None:
    """A laboratory is where such things are tried."""
    found = [Finding("x", Level.FAIL, "y"), Finding("z", Level.WARN, "w")]

    check_may_serve(found, Mode.TEST)
    check_may_serve(found[1:], Mode.LIVE)
    with pytest.raises(ConfigurationError, match="x: y"):
        check_may_serve(found, Mode.LIVE)


def test_live_gateway_serves_when_all_is_sound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes as far as being ready, holds the lock, and has its history witnessed at the end."""
    home = make(tmp_path, Mode.LIVE)
    rewrite(home, ('host = "192.0.2.1"', 'host = "127.0.0.1"\nis_tunnel = true'))
    seen = []

    async def serve(gateway: Gateway) -> None:
        stop = asyncio.Event()

        def on_ready() -> None:
            seen.append(gateway.status()["is_served"])
            stop.set()

        await gateway.serve(stop, on_ready)

    with Gateway.open(home) as gateway:
        asyncio.run(serve(gateway))
        assert gateway.history.witnessed() is not None
    assert seen == [True]


@pytest.mark.parametrize("mode", [Mode.TEST, Mode.EXERCISE])
def test_settings_of_another_mode_are_refused(tmp_path: Path, mode: Mode) -> None:
    """Nothing of a test or exercise reaches a carrier that is live."""
    home = make(tmp_path, mode)
    head, tail = (home / FILE_NAME).read_text("utf-8").split("[carriers.kt]")
    tail = tail.replace(f'mode = "{mode}"', 'mode = "live"')
    (home / FILE_NAME).write_text(f"{head}[carriers.kt]{tail}", "utf-8")

    with pytest.raises(InputError, match="modes never mix"):
        load_settings(home)


def test_damage_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A history that changed since it was opened, and whatever SQLite finds in the file."""
    home = make(tmp_path, Mode.TEST)
    with Gateway.open(home) as gateway:
        gateway.history.checkpoint()
        gateway.marks.reset_log(1000, bytes(32))
        monkeypatch.setattr(type(gateway.store), "find_damage", lambda self: ["page 3: broken"])
        found = {one.check: one for one in gateway.findings()}
        gateway.marks.reset_log(0, bytes(32))

    assert found["history"].level is Level.FAIL
    assert "has seen 1000" in found["history"].detail
    assert found["database"] == Finding("database", Level.FAIL, "page 3: broken")


def test_file_system_is_that_of_the_deepest_mount(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names with spaces are read as the kernel writes them; a prefix is not a folder."""
    mounts = (
        "/dev/a / ext4 rw 0 0\n"
        "tmpfs /mnt/my\\040disk tmpfs rw 0 0\n"
        "/dev/b /mnt/my xfs rw 0 0\n"
        "/dev/c /mnt/over ext4 rw 0 0\n"
        "over /mnt/over overlay rw 0 0\n"
    )
    monkeypatch.setattr(Path, "read_text", lambda self, *rest: mounts)

    found = {
        path: filesystem_of(Path(path))
        for path in ("/x", "/mnt/my disk/db", "/mnt/my/db", "/mnt/mydb", "/mnt/over/db")
    }
    assert found == {
        "/x": "ext4",
        "/mnt/my disk/db": "tmpfs",
        "/mnt/my/db": "xfs",
        "/mnt/mydb": "ext4",
        "/mnt/over/db": "overlay",
    }


def test_this_machine_has_a_file_system_and_a_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel is asked, and answers."""
    monkeypatch.undo()

    assert filesystem_of(Path(os.sep)) != "unknown"
    assert preflight._is_synchronised() in {True, False}


def test_doctor_says_it_on_a_screen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mode, check, level and what to do."""
    home = make(tmp_path, Mode.TEST)
    one_approver(home, monkeypatch)

    result: Any = RUNNER.invoke(app, ["doctor", "--home", str(home)])
    assert result.exit_code == 0
    for words in ("mode test", "people", "warn", "1 people may approve"):
        assert words in result.stdout


@pytest.mark.parametrize(
    ("lines", "live", "test", "words"),
    [
        ("port = 8080", "ok", "ok", ""),
        ('port = 8080\nhost = "0.0.0.0"', "fail", "warn", "without TLS"),
        ('port = 1\nhost = "0.0.0.0"\ncertificate = "a"\nprivate_key = "b"', "ok", "ok", ""),
        ('port = 1\ncertificate = "a"', "fail", "fail", "belong together"),
        ('port = 1\ntokens = "open.toml"', "fail", "fail", "chmod 600"),
    ],
)
def test_http_is_looked_at(tmp_path: Path, lines: str, live: str, test: str, words: str) -> None:
    """TLS for whoever is not on this machine, and private files private."""
    for mode, expected in ((Mode.LIVE, live), (Mode.TEST, test)):
        folder = tmp_path / mode.value
        folder.mkdir()
        home = make(folder, mode)
        (home / "open.toml").touch(mode=0o644)
        with (home / "cbgateway.toml").open("a", encoding="utf-8") as file:
            file.write(f"\n[http]\n{lines}\n")

        ((level, detail),) = look(home, "http")
        assert level == expected
        assert words in detail


@pytest.mark.parametrize(
    ("lines", "live", "words"),
    [
        ('username = "gateway"', "ok", ""),
        ("port = 1883", "fail", "no username"),
        ('username = "g"\nhost = "192.0.2.1"', "fail", "without TLS"),
        ('username = "g"\ntls_ca_file = "nothing.pem"', "fail", "there is no"),
        ('username = "g"\npassword_file = "nothing"', "fail", "secret"),
        ('username = "g"\npassword_file = "empty"', "fail", "empty"),
    ],
)
def test_mqtt_is_looked_at(tmp_path: Path, lines: str, live: str, words: str) -> None:
    """A broker elsewhere needs TLS, and has to know this gateway from others."""
    home = make(tmp_path, Mode.LIVE)
    (home / "empty").touch(mode=0o600)
    with (home / FILE_NAME).open("a", encoding="utf-8") as file:
        file.write(f"\n[mqtt]\n{lines}\n")

    ((level, detail),) = look(home, "mqtt")
    assert level == live
    assert words in detail


@pytest.mark.parametrize(
    ("person", "days", "level", "words"),
    [
        ("kt_noc", 90, "ok", ""),
        ("kt_noc", 3, "warn", "ends"),
        ("kt_noc", -1, "fail", "ended"),
        ("alice", 90, "fail", "no machine"),
        ("nobody", 90, "fail", "no machine"),
        ("kt_noc", None, "fail", "certificate"),
    ],
)
def test_cap_is_looked_at(
    tmp_path: Path, person: str, days: int | None, level: str, words: str
) -> None:
    """Certificates that end, and senders that count as nobody."""
    home = make(tmp_path, Mode.LIVE)
    with Gateway.open(home) as gateway:
        permission = Permission(regions=("KR",), classes=("safety",))
        gateway.keyring.add_person(
            "kt_noc", may_submit=True, may_approve=False, permission=permission, owner="alice"
        )
    now = SystemClock().now()
    own = identity(at=now - timedelta(days=100), days=100 + (days or 0))
    pin(home, own, person=person)
    if days is None:
        (home / "keys" / "cap" / f"{person}.crt").write_text("nothing")
    for path in (home / "keys" / "cap", *(home / "keys" / "cap").iterdir()):
        path.chmod(0o700 if path.is_dir() else 0o600)

    ((found, detail),) = look(home, "cap")
    assert found == level
    assert words in detail


def test_own_cap_key_is_looked_at(tmp_path: Path) -> None:
    """What exports are signed with has to be there."""
    home = make(tmp_path, Mode.LIVE)
    with (home / FILE_NAME).open("a", encoding="utf-8") as file:
        file.write('\n[cap]\nkey = "no.pem"\ncertificate = "no.crt"\n')

    assert [level for level, _ in look(home, "cap")] == ["fail", "fail"]


def test_doctor_looks_at_every_address_of_the_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Carriers, controllers, broker, our own names and page; the clock and the way out as well."""
    home = make(tmp_path, Mode.LIVE)
    files = {
        "/etc/hosts": "10.1.0.9 broker.example\n",
        "/etc/resolv.conf": "nameserver 168.126.63.1\n",
        "/etc/chrony/chrony.conf": "server ntp.kornet.net iburst\n",
        "/proc/net/route": "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\n"
        "eth0\t00000000\t0100000A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n",
    }
    monkeypatch.setattr(preflight, "_machine_file", lambda path: files.get(path, ""))
    text = (home / FILE_NAME).read_text("utf-8")
    head = 'site_url = "https://status.kt.com/x"\nuplinks = { eth0 = "kt" }\n'
    more = """
[controllers.bsc]
mode = "live"
network = "kt-gsm"
host = "192.0.2.7"

[mqtt]
host = "broker.example"

[http]
host = "alerts.example"
port = 8443
names = ["alerts.kornet.net:8443"]
"""
    (home / FILE_NAME).write_text(
        text.replace('mode = "live"', f'{head}mode = "live"', 1) + more, "utf-8"
    )
    found = look(home, "independence")

    assert {level for level, _ in found} == {"warn"}
    details = [detail for _, detail in found]
    for words in (
        "mqtt.host: the only way to broker.example is eth0, a line of kt",
        "http.host: alerts.example is a name",
        "http.names: alerts.kornet.net is of kt",
        "site_url: status.kt.com is of kt",
        "names: asked of 168.126.63.1, which is of kt, and there is no other",
        "time: ntp.kornet.net is of kt",
    ):
        assert any(words in detail for detail in details), words
    assert not any("carriers.kt" in detail or "controllers.bsc" in detail for detail in details)


def test_doctor_says_what_it_cannot_know(tmp_path: Path) -> None:
    """Beside the good news."""
    assert look(make(tmp_path, Mode.TEST), "independence") == [("ok", preflight.UNKNOWABLE)]


def test_kit_of_a_live_gateway_may_send(tmp_path: Path) -> None:
    """Its one folder is its witness, too; all else counts as everywhere."""
    home = make(tmp_path, Mode.LIVE)
    with Gateway.open(home) as gateway:
        make_kit(gateway, tmp_path / "kit", days=30, with_recipients=False)
    (tmp_path / "kit" / "cbgateway.ballast").unlink()
    (tmp_path / "kit" / "cbgateway.ballast").write_bytes(b"")

    with Gateway.open(tmp_path / "kit") as kit:
        found = kit.findings()
        check_may_serve(found, Mode.LIVE)
    assert [one for one in found if one.level is not Level.OK] == []
