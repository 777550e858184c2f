"""Vectors: octets that independent implementations agree on, as files."""

import json
from pathlib import Path
from typing import Any

VECTORS = Path(__file__).parents[2] / "vectors"


def pytest_generate_tests(metafunc: Any) -> None:
    """Run a test once for each vector whose name begins as its marker says."""
    marker = metafunc.definition.get_closest_marker("vectors")
    if marker is None:
        return
    file, *prefixes = marker.args
    vectors = [
        vector
        for vector in json.loads((VECTORS / file).read_text("utf-8"))
        if vector["name"].startswith(tuple(prefixes))
    ]
    assert vectors, f"no vector of {prefixes} in {file}"
    metafunc.parametrize("vector", vectors, ids=[vector["name"] for vector in vectors])
