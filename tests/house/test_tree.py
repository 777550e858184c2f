"""The tree keeps its own rules."""

import ast
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PRODUCT = [
    *sorted((ROOT / "cbgateway").rglob("*.py")),
    *sorted((ROOT / "simulators").rglob("*.py")),
]
TESTS = [
    path
    for path in sorted((ROOT / "tests").rglob("*.py"))
    if ROOT / "tests" / "campaigns" not in path.parents  # they watch real processes
    and ROOT / "tests" / "storm" not in path.parents  # there, sleeping takes no time
]
FUNCTION_LINES_MAX = 70
READS_CLOCK = {
    ROOT / "cbgateway" / "app.py",
    ROOT / "cbgateway" / "cli" / "bulletin.py",  # waits for answers
    ROOT / "cbgateway" / "cli" / "demo_clock.py",  # is a clock of its own
    ROOT / "cbgateway" / "cli" / "peers.py",  # waits for answers
    ROOT / "simulators" / "cbsim" / "clock.py",
}


def calls(path: Path) -> set[str]:
    """Give what a file calls, as it is written."""
    tree = ast.parse(path.read_text("utf-8"))
    return {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}


@pytest.mark.parametrize("path", PRODUCT, ids=lambda path: str(path.relative_to(ROOT)))
def test_functions_fit_a_page(path: Path) -> None:
    """Seventy lines at most, save where options of a command are declared."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = node.body[-1].end_lineno - node.body[0].lineno + 1  # type: ignore[operator]
            assert length <= FUNCTION_LINES_MAX, f"{node.name} has {length} lines"


@pytest.mark.parametrize("path", PRODUCT, ids=lambda path: str(path.relative_to(ROOT)))
def test_clocks_are_read_in_few_places(path: Path) -> None:
    """Everything else is told the time, or uses the event loop's."""
    found = calls(path) & {"datetime.now", "time.time", "time.monotonic", "datetime.utcnow"}

    assert not found or path in READS_CLOCK


@pytest.mark.parametrize("path", TESTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_tests_do_not_sleep(path: Path) -> None:
    """Time is an argument; what has to be waited for is waited for by name."""
    assert not {call for call in calls(path) if call.endswith("sleep")}


def tracked() -> list[Path]:
    """List the files that belong to the project."""
    done = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in done.stdout.split("\0") if name]


def test_no_file_holds_the_marks_of_a_merge() -> None:
    """What two sides said of the same lines was decided."""
    done = subprocess.run(
        ["git", "grep", "-lE", "^(<{7}|>{7}) "],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout) == (1, "")


def test_no_file_names_a_package_index() -> None:
    """Lock files carry hashes, and no address."""
    hosts = re.compile("|".join(("py" + r"pi\.org", "python" + "hosted", "npm" + r"js\.(org|com)")))
    for path in tracked():
        if path.is_file():
            assert not hosts.search(path.read_bytes().decode("utf-8", "replace")), path


def test_every_package_in_the_lock_has_hashes() -> None:
    """Nothing is installed that was not seen when it was locked."""
    lock = (ROOT / "requirements.lock").read_text("utf-8")
    entries = re.split(r"^(?=\S)", lock, flags=re.MULTILINE)[1:]

    assert len(entries) > 30
    for entry in entries:
        assert "==" in entry
        assert "--hash=sha256:" in entry


def test_wheel_ships_both_packages_and_the_profiles(tmp_path: Path) -> None:
    """What is installed from the wheel is whole."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())

    for name in (
        "cbgateway/cli/main.py",
        "cbgateway/storage/schema.sql",
        "cbgateway/storage/queries.sql",
        "cbgateway/interfaces/cap/cap12.xsd",
        "cbgateway/profiles/data/countries/kr.toml",
        "cbgateway/profiles/data/regions/kr.geojson",
        "cbgateway/profiles/data/templates/kr/first.toml",
        "cbsim/smsc.py",
    ):
        assert name in names
    assert not {name for name in names if name.startswith(("tests/", "simulators/", "profiles/"))}
