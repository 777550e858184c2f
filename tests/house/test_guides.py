"""The guides say the same in both languages, and name nothing that is not there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
GUIDES = ("guide.md", "guide.ko.md")
REFUSALS_MIN = 25


def blocks(path: str) -> list[str]:
    """Give the commands of a page."""
    return BLOCK.findall((ROOT / path).read_text("utf-8"))


def refusals(name: str) -> list[str]:
    """Give the names in the table of refusals of a guide, in order."""
    text = (ROOT / "docs" / name).read_text("utf-8")
    rows = [line.split(" | ")[0] for line in text.splitlines() if line.startswith("| `")]
    names = [one for row in rows for one in re.findall(r"`([a-z]+(?:-[a-z]+)*)`", row)]
    known = (ROOT / "docs" / "operations.md").read_text("utf-8")
    return [one for one in names if re.search(rf"^\|[^|]*\b{one}\b[^|]*\| \d", known, re.MULTILINE)]


def test_both_guides_have_the_same_commands() -> None:
    """Line for line; the integration tests run them."""
    assert blocks("docs/guide.md") == blocks("docs/guide.ko.md")


def test_both_guides_explain_the_same_refusals() -> None:
    """In the same order, each a name of operations.md."""
    english, korean = map(refusals, GUIDES)

    assert english == korean
    assert len(english) >= REFUSALS_MIN


def test_korean_readme_has_no_command_of_its_own() -> None:
    """What it shows is in the English one as well, word for word."""
    known = blocks("README.md")

    assert len(blocks("README.ko.md")) >= 3
    for block in blocks("README.ko.md"):
        assert block in known


@pytest.mark.parametrize("name", GUIDES)
def test_headings_that_are_linked_exist(name: str) -> None:
    """As GitHub names them: small letters, hyphens for blanks, nothing else."""
    text = (ROOT / "docs" / name).read_text("utf-8")
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", one.lower()).replace(" ", "-") for one in headings}

    for wanted in re.findall(r"\]\(#([^)]+)\)", text):
        assert wanted in anchors
