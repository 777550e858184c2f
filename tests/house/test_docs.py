"""What the documents say is true of the code."""

import importlib
import re
from pathlib import Path

import pytest

import cbgateway.app  # noqa: F401 - so that every error class exists
from cbgateway.cli.common import exit_code
from cbgateway.domain import errors
from tests.house import acceptance
from tests.house.states import PAGE, page

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text("utf-8")
NAMED = re.compile(r"`((?:cbgateway|cbsim)(?:\.\w+)+)`")
GUARANTEES = (ROOT / "docs" / "guarantees.md").read_text("utf-8")
THREATS = (ROOT / "docs" / "threats.md").read_text("utf-8")
NAMES = sorted(set(NAMED.findall(ARCHITECTURE + GUARANTEES + THREATS)))


@pytest.mark.parametrize("name", NAMES)
def test_named_function_exists(name: str) -> None:
    """Each function and class that the architecture page names can be imported."""
    parts = name.split(".")
    for split in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:split]))
        except ModuleNotFoundError:
            continue
        for attribute in parts[split:]:
            found = getattr(found, attribute)
        assert found is not None
        return
    pytest.fail(f"{name} does not exist")


PROOFS = sorted(set(re.findall(r"`(test_\w+)`", GUARANTEES + THREATS)))


@pytest.mark.parametrize("proof", PROOFS)
def test_proof_exists(proof: str) -> None:
    """Each test that the pages of guarantees and threats name is there."""
    tests = [path.read_text("utf-8") for path in (ROOT / "tests").rglob("test_*.py")]

    assert any(f"def {proof}(" in text for text in tests)


def test_every_guarantee_has_a_proof() -> None:
    """All sixteen, and every threat; and every target is one of the Makefile."""
    makefile = (ROOT / "Makefile").read_text("utf-8")
    threats = re.findall(r"^\| (?!threat |---).*\|(.*)\|$", THREATS, re.MULTILINE)

    assert len(PROOFS) >= 40
    assert len(threats) == 25
    assert all("`test_" in proof for proof in threats)
    for number in range(1, 17):
        assert re.search(rf"^\| G{number} \|.*(`test_|`make |tests/)", GUARANTEES, re.MULTILINE)
    for target in set(re.findall(r"`make ([a-z-]+)", GUARANTEES + THREATS)):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target


def test_architecture_names_the_whole_way() -> None:
    """The walk has not lost its functions."""
    assert len(NAMES) >= 30


def test_diagrams_are_those_of_the_tables() -> None:
    """The page was drawn from the code as it is: `make states`."""
    assert page() == PAGE.read_text("utf-8")


def all_errors() -> list[type[errors.GatewayError]]:
    """List every error class of the project."""
    found: list[type[errors.GatewayError]] = [errors.GatewayError]
    for one in found:
        found += one.__subclasses__()
    return [one for one in found if one.__module__.startswith("cbgateway")]


@pytest.mark.parametrize("error", all_errors(), ids=lambda error: error.__name__)
def test_every_error_is_in_the_operators_table(error: type[errors.GatewayError]) -> None:
    """With the exit code that the command line ends with."""
    text = (ROOT / "docs" / "operations.md").read_text("utf-8")
    rows = re.findall(r"^\| ([a-z, -]+) \| (\d+) \|", text, flags=re.MULTILINE)
    codes = {code: int(number) for names, number in rows for code in names.split(", ")}

    assert codes[error.code] == exit_code(error.__new__(error))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    """Every relative link is a file."""
    for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text("utf-8")):
        assert (document.parent / target).exists(), target


def test_decisions_are_all_listed() -> None:
    """The index has every decision, and each has the same parts."""
    folder = ROOT / "docs" / "adr"
    index = (folder / "README.md").read_text("utf-8")
    for path in folder.glob("0*.md"):
        assert path.name in index
        text = path.read_text("utf-8")
        for part in ("Status", "Context", "Decision", "Rejected", "Consequences", "Revisit when"):
            assert part in text, (path.name, part)


def test_readme_names_targets_that_exist() -> None:
    """Its two commands first of all."""
    readme = (ROOT / "README.md").read_text("utf-8")
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"make ([a-z-]+)", readme))

    assert targets >= {"demo", "test", "check"}
    for target in targets - {"and"}:
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target
    assert "make test check" in (ROOT / ".ci" / "run").read_text("utf-8")


def test_every_locked_dependency_has_a_decision() -> None:
    """What pyproject.toml asks for is argued for somewhere."""
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    block = re.search(r"^dependencies = \[(.*?)^\]", text, flags=re.MULTILINE | re.DOTALL)
    assert block is not None
    decisions = "\n".join(path.read_text("utf-8") for path in (ROOT / "docs" / "adr").glob("0*.md"))
    fixed_by_the_card = {"cryptography", "loguru", "pydantic", "smpplib"}
    for name in re.findall(r'"([a-z0-9-]+)', block[1]):
        assert name in decisions or name in fixed_by_the_card, name


def test_acceptance_page_is_that_of_the_tests() -> None:
    """Drawn from the tests as they are, `make acceptance`; each that it names is there."""
    tests = "\n".join(path.read_text("utf-8") for path in (ROOT / "tests").rglob("test_*.py"))

    assert acceptance.page() == acceptance.PAGE.read_text("utf-8")
    assert set(acceptance.found()) <= {one.name for one in acceptance.CRITERIA}
    for criterion in acceptance.CRITERIA:
        for proof in criterion.proofs:
            assert f"def {proof}(" in tests, proof
