"""Network profiles and controllers in settings: what is refused, and by what name."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from cbgateway.app import Gateway, can_encode, init_home, load_checked_profiles
from cbgateway.domain.bulletin import Mode
from cbgateway.domain.errors import InputError, UnknownNameError
from cbgateway.profiles.checks import ETWS_IDENTIFIERS
from cbgateway.profiles.loader import check_profiles, profiles_folder
from cbgateway.settings import FILE_NAME, load_settings
from tests.conftest import FakeClock


def problems(tmp_path: Path, *changes: tuple[str, str]) -> list[str]:
    """Change the shipped network profile; gives what is wrong with it then."""
    folder = tmp_path / "profiles"
    shutil.copytree(profiles_folder(), folder)
    path = folder / "networks" / "kt-gsm.toml"
    text = path.read_text("utf-8")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path.write_text(text, "utf-8")
    return [str(one) for one in check_profiles(folder, can_encode)[1]]


def test_shipped_network_has_the_quirks_that_were_measured() -> None:
    """One period for everything, and never a replace."""
    quirks = load_checked_profiles(None).networks["kt-gsm"].cbsp.quirks

    assert (32, "kill_then_write", "renew") == (
        quirks.common_period_slots,
        quirks.replace,
        quirks.until_stopped,
    )
    assert (0x0D, 0x06) == quirks.primary_already_there
    assert 4352 in ETWS_IDENTIFIERS


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('code = "kt-gsm"', 'code = "other"', "belongs into other.toml"),
        ('country = "kr"', 'country = "xx"', "'xx' is no country"),
        ('plmns = ["45008"]', 'plmns = ["44010"]', "44010 does not begin with the MCC 450"),
        ("critical = {", "loud = {", "'loud' is no class"),
        (
            'safety = { category = "normal" }',
            (
                'safety = { category = "normal", primary = { kind = "test", alert = true, '
                "popup = true, period_s = 20 } }"
            ),
            "needs a message identifier of ETWS",
        ),
        ("reconnect_delay_min_s = 0.5", "reconnect_delay_min_s = 50", "is longer than"),
        ("keep_alive_interval_s = 30", "keep_alive_interval_s = 121", "less than or equal to 120"),
        ('scope = "bss"', 'scope = "bsc"', "location_area"),
        ("replace =", "replaec =", "did you mean 'replace'"),
    ],
)
def test_faults_of_a_network_are_named(tmp_path: Path, old: str, new: str, problem: str) -> None:
    """With file and key."""
    found = problems(tmp_path, (old, new))

    assert any(problem in one and "networks/kt-gsm.toml" in one for one in found), found


CONTROLLER = """
[controllers.bsc-1]
mode = "test"
network = "kt-gsm"
host = "127.0.0.1"
"""


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ('source = "127.0.0.2"\n', "source belongs to role listen"),
        ('role = "listen"\n', "source belongs to role listen"),
        ('role = "listen"\nsource = "nowhere"\n', "does not appear to be"),
        ("port = 0\n", "greater than or equal to 1"),
        ("prot = 1\n", "did you mean 'port'"),
    ],
)
def test_faults_of_a_controller_are_named(tmp_path: Path, more: str, problem: str) -> None:
    """By the settings file."""
    home = made(tmp_path)
    add(home, CONTROLLER + more)
    with pytest.raises(InputError, match=problem):
        load_settings(home)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('mode = "test"', 'mode = "live"', "controllers.bsc-1.mode is 'live'"),
        ('host = "127.0.0.1"', 'host = "192.0.2.1"', "controllers.bsc-1.host '192.0.2.1' is"),
        ("bsc-1", "kt", "'kt' is a carrier and a controller"),
        (
            'host = "127.0.0.1"',
            'host = "0.0.0.0"\nrole = "listen"\nsource = "192.0.2.1"',
            "controllers.bsc-1.source '192.0.2.1' is another machine",
        ),
    ],
)
def test_controllers_of_another_mode_or_machine(
    tmp_path: Path, old: str, new: str, problem: str
) -> None:
    """Test messages do not leave for what may be real phones."""
    home = made(tmp_path)
    add(home, CONTROLLER.replace(old, new))
    with pytest.raises(InputError, match=re.escape(problem)):
        load_settings(home)


def test_controller_of_an_unknown_network(tmp_path: Path) -> None:
    """The known ones are named."""
    home = made(tmp_path)
    add(home, CONTROLLER.replace("kt-gsm", "nowhere"))
    with pytest.raises(UnknownNameError, match="kt-gsm"), Gateway.open(home):
        pass


def made(tmp_path: Path) -> Path:
    """Make a gateway."""
    home = tmp_path / "home"
    init_home(home, mode=Mode.TEST, country="kr", ports={"kt": 2775}, clock=FakeClock())
    return home


def add(home: Path, text: str) -> None:
    """Add to a gateway's settings."""
    path: Any = home / FILE_NAME
    path.write_text(path.read_text("utf-8") + text, "utf-8")
