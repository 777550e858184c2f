"""The histogram is as good as its promise."""

from hypothesis import given
from hypothesis import strategies as st

from cbsim.esme_histogram import SUB_BITS, VALUE_BITS, LogHistogram

VALUES = st.lists(
    st.one_of(st.integers(0, 300), st.integers(0, (1 << VALUE_BITS) - 1)), min_size=1, max_size=200
)


@given(VALUES, st.integers(1, 1000))
def test_quantiles_are_near_the_exact_ones(values: list[int], per_mille: int) -> None:
    """Never below the exact nearest rank, at most 1/128 above it, and never above the largest."""
    histogram = LogHistogram()
    for value in values:
        histogram.add(value)
    exact = sorted(values)[-(-len(values) * per_mille // 1000) - 1]
    found = histogram.quantile(per_mille)

    assert exact <= found <= exact + (exact >> SUB_BITS)
    assert found <= max(values)


@given(VALUES)
def test_many_at_once_are_as_one_by_one(values: list[int]) -> None:
    """Adding a value several times is adding it so often."""
    once, each = LogHistogram(), LogHistogram()
    for value in values:
        once.add(value, 3)
        for _ in range(3):
            each.add(value)

    assert each.count == once.count == 3 * len(values)
    assert [each.quantile(n) for n in (1, 500, 999, 1000)] == [
        once.quantile(n) for n in (1, 500, 999, 1000)
    ]


def test_edges() -> None:
    """An empty one has no quantile; what is out of range counts at the end it is nearest to."""
    histogram = LogHistogram()
    assert (0, 0) == (histogram.quantile(500), histogram.value_max)

    histogram.add(-5)
    histogram.add(1 << 60)

    assert (1 << VALUE_BITS) - 1 == histogram.value_max == histogram.quantile(1000)
    assert histogram.quantile(500) == 0
