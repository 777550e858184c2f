"""Bad-input catalogue 29 and 38 to 47: files, keys, settings, databases and clocks.

41, a bomb of YAML aliases, has no counterpart: settings are TOML, which has no aliases.
"""

import json
import shutil
import socket
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cbgateway import RELEASED_AT
from cbgateway.app import Gateway, SystemClock
from cbgateway.domain.people import Key
from cbgateway.home import serving_lock
from cbgateway.settings import load_settings
from cbgateway.signing.keys import KNOWN_KEYS
from cbgateway.storage.sqlite import SCHEMA_VERSION
from cbsim.cli import app as cbsim
from tests.conformance.catalogue import (
    FIRST,
    Refusal,
    check_refused,
    command,
    done,
    invalid,
    key_of,
    make_home,
    tally,
)

Spoil = Callable[[Path], object]
LIST = ("bulletin", "list")
PORT_IN_USE_S = 2.0
"""The catalogue's bound for noticing that somebody else listens."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a gateway that each case copies and spoils."""
    return make_home(tmp_path_factory.mktemp("start") / "lab")


@pytest.fixture
def home(made: Path, tmp_path: Path) -> Path:
    """Give a gateway of the test's own, with a sound bulletin beside it."""
    (tmp_path / "bulletin.json").write_text(json.dumps(FIRST))
    return shutil.copytree(made, tmp_path / "lab")


def submit(home: Path, key: Path | None = None, path: Path | None = None) -> tuple[object, ...]:
    """Give the command that submits a bulletin."""
    bulletin = path or home.parent / "bulletin.json"
    return ("bulletin", "submit", bulletin, "--key", key or key_of(home, "alice"))


def recipients(home: Path) -> tuple[object, ...]:
    """Give the command that imports a list that is not there."""
    return ("recipients", "import", home / "none.csv", "--carrier", "kt")


def _files() -> Iterator[tuple[str, Callable[[Path], tuple[object, ...]], Refusal]]:
    def unusable(words: str) -> Refusal:
        return Refusal("key-unusable", 5, words)

    def opened_key(home: Path) -> tuple[object, ...]:
        key_of(home, "alice").chmod(0o644)
        return submit(home)

    def other_key(home: Path) -> tuple[object, ...]:
        key_of(home, "alice").write_text("-----BEGIN PRIVATE KEY-----\nAA==\n")
        return submit(home)

    missing = Path("no-such-file")
    yield (
        "38-bulletin-missing",
        lambda home: submit(home, path=home / missing),
        invalid(str(missing)),
    )
    yield "38-recipients-missing", recipients, invalid("none.csv: No such file")
    yield "38-key-missing", lambda home: submit(home, home / missing), unusable(str(missing))
    yield (
        "38-home-missing",
        lambda home: (*LIST, "--home", home / missing),
        invalid("cbgateway init"),
    )
    yield "39-folder-as-bulletin", lambda home: submit(home, path=home), invalid("Is a directory")
    yield "39-folder-as-key", lambda home: submit(home, home), unusable("Is a directory")
    yield (
        "39-file-as-home",
        lambda home: (*LIST, "--home", home.parent / "bulletin.json"),
        invalid("Not a directory"),
    )
    yield "40-key-for-all-to-read", opened_key, unusable("mode 644.*chmod 600")
    yield "40-key-that-is-none", other_key, unusable("is not a private key in PEM")


FILES = {name: (arguments, refusal) for name, arguments, refusal in _files()}


@pytest.mark.parametrize("name", FILES)
def test_bad_file_is_named_and_nothing_is_stored(name: str, home: Path) -> None:
    """The path is said, and what is the matter with it."""
    make, refusal = FILES[name]
    arguments = make(home)
    before = tally(home)

    check_refused(refusal, *arguments, *(() if "--home" in arguments else ("--home", home)))

    assert tally(home) == before


def rewrite(old: str, new: str) -> Spoil:
    """Give what puts other words into the settings."""

    def spoil(home: Path) -> None:
        path = home / "cbgateway.toml"
        text = path.read_text("utf-8")
        assert old in text
        path.write_text(text.replace(old, new, 1), "utf-8")

    return spoil


def _instead(home: Path, octets: bytes | None, name: str = "cbgateway.toml") -> None:
    """Put other octets in place of a file, or a folder when there are none."""
    (home / name).unlink(missing_ok=True)
    if octets is None:
        (home / name).mkdir()
    else:
        (home / name).write_bytes(octets)


SETTINGS: dict[str, tuple[Spoil, Refusal]] = {
    "42-unknown-key": (
        rewrite("port = 2775", "prot = 2775"),
        invalid("carriers.kt.prot: unknown key; did you mean 'port'"),
    ),
    "42-unknown-key-at-the-top": (
        rewrite("country =", "contry = 1\ncountry ="),
        invalid("contry: unknown key; did you mean 'country'"),
    ),
    "42-unknown-keys-by-the-thousand": (
        rewrite("country =", "".join(f"k{n} = 1\n" for n in range(5_000)) + "country ="),
        invalid("and 4980 more faults$"),
    ),
    "42-key-twice": (rewrite("country =", "country = 1\ncountry ="), invalid("overwrite a value")),
    "42-not-toml": (rewrite("country =", "country"), invalid("line 3")),
    "42-port-of-no-machine": (rewrite("2775", "65536"), invalid("carriers.kt.port: .*65535")),
    "42-100000-digits": (rewrite("2775", "9" * 100_000), invalid("100000 digits")),
    "42-arrays-without-end": (rewrite("2775", "[" * 50_000), invalid("nested too deeply")),
    "42-tables-without-end": (rewrite("2775", "{a=" * 50_000), invalid("nested too deeply")),
    "42-not-utf-8": (lambda home: _instead(home, b"\xff"), invalid("cbgateway.toml: .*0xff")),
    "42-nothing": (lambda home: _instead(home, b""), invalid("mode: Field required")),
    "42-folder": (lambda home: _instead(home, None), invalid("Is a directory")),
    "42-another-mode": (
        rewrite('mode = "test"', 'mode = "live"'),
        invalid("carriers.kt.mode is 'test'.*modes never mix"),
    ),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_bad_setting_is_named(name: str, home: Path) -> None:
    """File, key, and what was probably meant; twenty of them at most."""
    spoil, refusal = SETTINGS[name]
    spoil(home)

    check_refused(refusal, *LIST, "--home", home)


def sql(*statements: str) -> Spoil:
    """Give what changes the database behind the gateway's back."""

    def spoil(home: Path) -> None:
        with closing(sqlite3.connect(home / "cbgateway.db")) as connection:
            for statement in statements:
                connection.execute(statement)
            connection.commit()

    return spoil


def cut(octets: int, name: str = "cbgateway.db") -> Spoil:
    """Give what leaves only the beginning of a file."""
    return lambda home: _instead(home, (home / name).read_bytes()[:octets], name)


def unusable(words: str) -> Refusal:
    """Give the refusal of a database."""
    return Refusal("store-unusable", 70, words)


DATABASES: dict[str, tuple[Spoil, Refusal]] = {
    "44-newer": (
        sql("PRAGMA user_version = 99"),
        unusable(f"schema 99, this version reads {SCHEMA_VERSION}; it was left untouched"),
    ),
    "44-newer-in-another-journal-mode": (
        sql("PRAGMA journal_mode = DELETE", "PRAGMA user_version = 99"),
        unusable("schema 99"),
    ),
    "44-of-another-program": (sql("PRAGMA application_id = 1"), unusable("not a cbgateway")),
    "45-empty": (cut(0), unusable("not a cbgateway database; it was left untouched")),
    "45-cut-in-its-header": (cut(50), unusable("not a cbgateway database; it was left")),
    "45-cut-after-a-page": (cut(4_096), unusable("cannot be read: .*malformed")),
    "45-cut-in-the-middle": (cut(65_536), unusable("cannot be read: .*malformed")),
    "45-not-a-database": (
        lambda home: _instead(home, b"not a database " * 1_000, "cbgateway.db"),
        unusable("file is not a database"),
    ),
    "45-folder": (lambda home: _instead(home, None, "cbgateway.db"), unusable("no database at")),
    "45-missing": (lambda home: (home / "cbgateway.db").unlink(), unusable("no database at")),
    "45-marks-cut": (cut(5_000, "cbgateway.marks"), unusable("marks cannot be read: .*malformed")),
    "45-marks-missing": (
        lambda home: (home / "cbgateway.marks").unlink(),
        unusable("marks is missing"),
    ),
}


@pytest.mark.parametrize("verb", [LIST, ("doctor",), ("serve",)], ids=lambda verb: verb[-1])
@pytest.mark.parametrize("name", DATABASES)
def test_bad_database_is_refused_and_left_as_it_is(
    name: str, verb: tuple[str, ...], home: Path
) -> None:
    """Not one octet of it changes, and none is made in its place."""
    spoil, refusal = DATABASES[name]
    spoil(home)
    path = home / "cbgateway.db"
    before = path.read_bytes() if path.is_file() else None

    check_refused(refusal, *verb, "--home", home)

    assert before == (path.read_bytes() if path.is_file() else None)
    assert not any(log.stat().st_size for log in home.glob("cbgateway.db-wal"))


def test_46_second_process_on_one_database_is_refused(home: Path) -> None:
    """The first one's lock is looked at before anything is sent."""
    with serving_lock(load_settings(home)):
        check_refused(unusable("another process serves .* already"), "serve", "--home", home)


def test_43_port_in_use_is_named_by_the_simulator() -> None:
    """It ends by itself, names the port, and shows no traceback."""
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        began_s = time.monotonic()
        result = CliRunner().invoke(cbsim, ["smsc", "--port", str(port), "--phones", "1"])
        took_s = time.monotonic() - began_s

    assert result.exit_code == 69
    assert result.stderr == f"cbsim: 127.0.0.1:{port}: Address already in use\n"
    assert result.stdout == ""
    assert took_s < PORT_IN_USE_S


@pytest.fixture
def live(tmp_path: Path) -> Path:
    """Give a gateway in mode live, as it is made; nothing about it is set up yet."""
    home = tmp_path / "live"
    witness = tmp_path / "elsewhere" / "witness.jsonl"
    done("init", "--home", home, "--mode", "live", "--witness", witness)
    return home


def reasons(home: Path) -> list[str]:
    """Give why a gateway may not serve."""
    refusal = Refusal("configuration", 78, "")
    detail: str = check_refused(refusal, "serve", "--home", home)["detail"]
    return detail.split("; ")


def test_29_published_test_key_keeps_a_live_gateway_from_serving(live: Path) -> None:
    """Exit code 78, with the key and its holder among all other reasons."""
    done("keys", "new", "bob", "--approve", "--region", "KR", "--home", live)
    assert not [one for one in reasons(live) if "test key" in one]
    with Gateway.open(live) as gateway, gateway.store.transaction() as tx:
        since = datetime(2021, 1, 1, tzinfo=UTC)
        tx.put_person_key(Key("known", "bob", min(KNOWN_KEYS), since))
    before = tally(live)

    assert "keys: key known of bob is a published test key" in reasons(live)
    assert tally(live) == before


def test_29_test_gateway_does_not_become_live(home: Path) -> None:
    """The mode is the database's: settings that say otherwise are refused."""
    path = home / "cbgateway.toml"
    path.write_text(path.read_text("utf-8").replace('"test"', '"live"'), "utf-8")

    check_refused(Refusal("mode-mismatch", 3, "made for mode 'test'"), "serve", "--home", home)


@pytest.mark.parametrize(("at", "is_refused"), [("2021-10-25", True), (RELEASED_AT, False)])
def test_47_clock_before_the_build_keeps_a_live_gateway_from_serving(
    live: Path, monkeypatch: pytest.MonkeyPatch, at: str, is_refused: bool
) -> None:
    """No clock that is right shows such a day."""
    now = datetime.fromisoformat(f"{at}T00:00:00+00:00")
    monkeypatch.setattr(SystemClock, "now", lambda clock: now)

    found = [one for one in reasons(live) if f"before this version was made ({RELEASED_AT})" in one]

    assert bool(found) is is_refused


def test_47_doctor_says_so_too(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In mode test it is a warning: one may play the past."""
    monkeypatch.setattr(SystemClock, "now", lambda clock: datetime(2021, 10, 25, tzinfo=UTC))

    result = command("doctor", "--home", home, "--json")

    found: list[dict[str, Any]] = json.loads(result.stdout)["findings"]
    clock = [one for one in found if one["check"] == "clock" and "before" in one["detail"]]
    assert [one["level"] for one in clock] == ["warn"]
