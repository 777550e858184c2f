"""The expectation: every test stands in `expected.toml`, and an expected failure has to fail."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parent
EXPECTED: dict[str, str] = tomllib.loads((FOLDER / "expected.toml").read_text("utf-8"))["tests"]


def pytest_collection_modifyitems(items: list[Any]) -> None:
    """Turn expected failures into tests that fail when they pass; name tests that nobody expects.

    Every test of this folder is looked at, whatever else was collected with it.
    """
    for item in items:
        if FOLDER not in item.path.parents:
            continue
        expected = EXPECTED.get(item.originalname)
        if expected is None:
            pytest.exit(f"{item.originalname} is not in {FOLDER / 'expected.toml'}", returncode=2)
        if expected != "pass":
            item.add_marker(pytest.mark.xfail(reason=expected, strict=True))
