"""How long something takes: a fixed time, or one drawn from a distribution."""

import math
import random
from dataclasses import dataclass
from typing import Any

DELAY_S_MAX = 86_400.0
"""Nobody waits for an answer longer than a day; what a distribution draws is cut there."""
PARTS = 2


@dataclass(frozen=True, slots=True)
class Delay:
    """A time in seconds.

    Attributes:
        kind: ``fixed``, ``uniform`` or ``lognormal``.
        first: the time; the least; the median.
        second: nothing; the most; sigma of the logarithm.
    """

    kind: str = "fixed"
    first: float = 0.0
    second: float = 0.0

    def __str__(self) -> str:
        """Write it as it is set."""
        if self.kind == "fixed":
            return f"{self.first:g}"
        return f"{self.kind}:{self.first:g},{self.second:g}"

    @property
    def is_none(self) -> bool:
        """Tell whether it is never more than nothing."""
        return self.kind == "fixed" and self.first == 0

    def draw(self, rng: random.Random) -> float:
        """Give a time in seconds."""
        if self.kind == "fixed":
            return self.first
        if self.kind == "uniform":
            return rng.uniform(self.first, self.second)
        return min(self.first * math.exp(rng.gauss(0.0, self.second)), DELAY_S_MAX)


def read_delay(value: Any) -> Delay:  # noqa: ANN401 - whatever TOML holds
    """Read seconds, ``uniform:LEAST,MOST`` or ``lognormal:MEDIAN,SIGMA``.

    Raises:
        ValueError: it is none of them.
    """
    if isinstance(value, Delay):
        return value
    kind, colon, rest = str(value).partition(":")
    if not colon:
        kind, rest = "fixed", kind
    try:
        numbers = [float(one) for one in rest.split(",")]
    except ValueError:
        numbers = []
    is_sound = all(0 <= one <= DELAY_S_MAX for one in numbers)
    if kind == "fixed" and len(numbers) == 1 and is_sound:
        return Delay("fixed", numbers[0])
    if kind == "uniform" and len(numbers) == PARTS and is_sound and numbers[0] <= numbers[1]:
        return Delay(kind, *numbers)
    if kind == "lognormal" and len(numbers) == PARTS and is_sound:
        return Delay(kind, *numbers)
    raise ValueError(
        f"{value!r} is no delay: seconds, uniform:LEAST,MOST or lognormal:MEDIAN,SIGMA, "
        f"each up to {DELAY_S_MAX:g}"
    )
