"""Settings: read strictly, named in every message, the same from file, flags and code."""

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cbsim.cli import app
from cbsim.config import Centre, Configuration, configure
from cbsim.delays import Delay, read_delay
from cbsim.faults import FAULTS
from cbsim.scenario import Scenario
from cbsim.settings import SettingsError, dotted, listing, read_table

FILE = """
name = "lab"
host = "::1"
port = 2776
version = "3.4"
faults = ["reset:1%", "drip"]
seed = 9

[[accounts]]
system_id = "a"
password = "secret"
modes = ["transmitter"]
numbers = ["82*"]

[lists]
staff = ["1", "2"]

[answers]
delay = "uniform:0.1,0.2"
error_status = "ESME_RMSGQFUL"

[states]
undeliv = "5%"
by_first_digit = { 9 = "REJECTD" }

[receipts]
tlvs = ["1400=00ff"]
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give a file with settings."""
    file = tmp_path / "lab.toml"
    file.write_text(FILE)
    return file


def test_file_is_read(path: Path) -> None:
    """Every kind of value; flags are stronger."""
    read = configure(path, [{"port": 0}, dotted("states.enroute=2"), dotted("name=other")])

    assert (read.centre.name, read.centre.host, read.centre.port) == ("other", "::1", 0)
    assert read.centre.accounts[0].numbers == ("82*",)
    assert read.centre.lists == {"staff": ("1", "2")}
    assert [str(use) for use in read.scenario.faults] == ["reset:0.01", "drip"]
    assert read.scenario.answers.delay == Delay("uniform", 0.1, 0.2)
    assert read.scenario.answers.error_status == 0x14
    assert (read.scenario.states.undeliv, read.scenario.states.enroute.first) == (0.05, 2)
    assert read.scenario.states.by_first_digit == {"9": "REJECTD"}
    assert read.scenario.receipts.tlvs[0].value == b"\0\xff"


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"prot": 1}, "prot is not known; did you mean 'port'?"),
        ({"zzz": 1}, "zzz is not known; known: "),
        ({"receipts": {"dealy": 1}}, "receipts.dealy is not known; did you mean 'delay'?"),
        ({"receipts": 1}, "receipts is a table"),
        ({"receipts": {"order": "shufled"}}, "receipts.order: 'shufled' is not possible; did"),
        ({"receipts": {"form": 3}}, "receipts.form: 3 is not possible; it is both or text"),
        ({"receipts": {"loss": "110%"}}, "receipts.loss: 1.1 is no share"),
        ({"receipts": {"loss": "x%"}}, "receipts.loss: 'x%' is no percentage"),
        ({"receipts": {"loss": True}}, "receipts.loss: True is no share"),
        ({"receipts": {"tlvs": ["1400"]}}, "receipts.tlvs: '1400' is not TAG=OCTETS"),
        ({"receipts": {"tlvs": ["10000=00"]}}, "receipts.tlvs: '10000=00' is not TAG=OCTETS"),
        ({"port": 70_000}, "port: 70000 is no whole number in 0..65535"),
        ({"port": "2775"}, "port: '2775' is no whole number"),
        ({"fast": 1}, "fast: 1 is neither true nor false"),
        ({"name": "x" * 16}, "name: 'xxxxxxxxxxxxxxxx' has 16 characters, not 1..15"),
        ({"name": "통신"}, "name: '통신' is no text of ASCII"),
        ({"host": 1}, "host: 1 is no text in quotes"),
        ({"version": "4.0"}, "version: '4.0' is not possible"),
        ({"answers": {"per_s": -1}}, "answers.per_s: -1 is no number in 0..1e+06"),
        ({"answers": {"error_status": "ESME_RNONE"}}, "answers.error_status: 'ESME_RNONE' is no"),
        ({"answers": {"delay": "gauss:1,2"}}, "answers.delay: 'gauss:1,2' is no delay"),
        ({"states": {"by_first_digit": {"10": "UNDELIV"}}}, "states.by_first_digit: '10' is no"),
        ({"states": {"by_first_digit": 5}}, "states.by_first_digit: 5 is no table"),
        ({"states": {"undeliv": 0.6, "expired": 0.6}}, "states: undeliv, acceptd, rejectd"),
        ({"faults": ["rest"]}, "faults: no fault is called 'rest'; did you mean 'reset'?"),
        ({"faults": ["reset"] * 101}, "settings: 101 faults, at most 100"),
        ({"faults": ["reset"] * 10_001}, "faults: 10001 entries"),
        ({"tls_cert": "a.pem"}, "settings: tls_cert and tls_key go together"),
        ({"accounts": 1}, "accounts: is a list of tables"),
        ({"accounts": [{}]}, "accounts: entry 0 has no system_id"),
        ({"accounts": [{"system_id": "a"}] * 2}, "accounts: two accounts have the same"),
        ({"accounts": [{"sytem_id": "a"}]}, "accounts[0].sytem_id is not known; did you mean"),
        ({"accounts": [{"system_id": "a", "modes": ["both"]}]}, "accounts[0].modes: 'both' is"),
        ({"accounts": [{"system_id": "a", "password": "too long!"}]}, "accounts[0].password: "),
    ],
)
def test_wrong_setting_is_named(table: dict[str, Any], words: str) -> None:
    """The key, what is wrong with it, and what may be meant."""
    with pytest.raises(SettingsError) as caught:
        Configuration().changed(table)

    assert words in str(caught.value)


def test_wrong_file_is_named(tmp_path: Path) -> None:
    """No TOML, too long, or with a key that is not known."""
    file = tmp_path / "x.toml"
    for text, words in (
        ("port = ", "x.toml: Invalid value"),
        ("#" * (1 << 20) + "\n", "x.toml: more than"),
        ("prot = 1", "x.toml: prot is not known"),
    ):
        file.write_text(text)
        with pytest.raises(SettingsError) as caught:
            configure(file, [])
        assert words in str(caught.value)
    with pytest.raises(SettingsError, match="is not KEY=VALUE"):
        dotted("port")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2", Delay("fixed", 2)),
        (0.5, Delay("fixed", 0.5)),
        ("fixed:3", Delay("fixed", 3)),
        ("uniform:1,2", Delay("uniform", 1, 2)),
        ("lognormal:0.5,1", Delay("lognormal", 0.5, 1)),
    ],
)
def test_delay_is_read(text: Any, expected: Delay) -> None:
    """And written as it is read."""
    assert read_delay(text) == expected
    assert read_delay(str(expected)) == expected
    assert read_delay(expected) == expected


@pytest.mark.parametrize("text", ["", "x", "-1", "uniform:2,1", "uniform:1", "nan", "1e9", "1,2"])
def test_nonsense_is_no_delay(text: str) -> None:
    """It says what one looks like."""
    with pytest.raises(ValueError, match="is no delay"):
        read_delay(text)


def test_settings_written_are_settings_read() -> None:
    """Whatever the listing shows as a default can be set as it stands."""
    names = [name for kind in (Centre, Scenario) for name, _, _ in listing(kind)]
    assert len(names) == len(set(names)) > 40
    for name, default, words in listing(Scenario):
        assert words
        changed = read_table(Scenario(), dotted(f"{name}={default}"))
        assert changed == Scenario(), name


def test_command_lists_faults_and_settings() -> None:
    """Each by its name, with what it does."""
    faults = CliRunner().invoke(app, ["smsc", "--list-faults"])
    settings = CliRunner().invoke(app, ["smsc", "--list-settings"])

    assert (faults.exit_code, settings.exit_code) == (0, 0)
    assert all(name in faults.output for name in FAULTS)
    for kind in (Centre, Scenario):
        assert all(f"{name} = " in settings.output for name, _, _ in listing(kind))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--fault", "rest"], "no fault is called 'rest'"),
        (["--set", "answers.delai=1"], "answers.delai is not known"),
        (["--set", "answers"], "is not KEY=VALUE"),
        (["--area", "Busan"], "--area 'Busan' is not NAME=CODE"),
        (["--config", "/nowhere.toml"], "/nowhere.toml"),
        (["--tls-cert", "/no.pem", "--tls-key", "/no.pem"], "No such file"),
        (["--outbind", "nowhere"], "'nowhere' is not HOST:PORT"),
        (["--account", ":x"], "accounts[0].system_id: '' has 0 characters"),
    ],
)
def test_command_says_what_is_wrong(arguments: list[str], words: str) -> None:
    """In one line, with exit code 2."""
    done = CliRunner().invoke(app, ["smsc", *arguments])

    assert done.exit_code == 2
    assert words in done.output
    assert done.output.count("\n") == 1


def test_command_says_that_an_address_cannot_be_listened_on() -> None:
    """With the exit code that sysexits.h has for what is unavailable."""
    done = CliRunner().invoke(app, ["smsc", "--host", "256.256.256.256"])

    assert done.exit_code == 69
    assert done.stderr.startswith("cbsim: 256.256.256.256:2775: ")
