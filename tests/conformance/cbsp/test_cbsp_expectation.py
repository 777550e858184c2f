"""The expectation file and the suite belong together."""

import re

from tests.conformance.cbsp.conftest import EXPECTED, FOLDER


def test_every_expectation_has_a_test() -> None:
    """And each test an expectation, which the collection itself looks at."""
    sources = [path.read_text("utf-8") for path in FOLDER.glob("test_*.py")]
    tests = {
        name for text in sources for name in re.findall(r"^def (test_\w+)", text, re.MULTILINE)
    }

    assert tests == EXPECTED.keys()
