"""Fixtures for tests of SMPP clients: ``pytest_plugins = ["cbsim.pytest_plugin"]``."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from cbsim.running import RunningCentre


@pytest.fixture
def smsc() -> Iterator[RunningCentre]:
    """Give a message centre that behaves well, new for each test."""
    with RunningCentre() as centre:
        yield centre


@pytest.fixture
def start_smsc() -> Iterator[Callable[..., RunningCentre]]:
    """Give what starts message centres with settings; they end with the test."""
    with ExitStack() as stack:
        yield lambda *arguments, **named: stack.enter_context(RunningCentre(*arguments, **named))
