"""Counts of durations in buckets whose width grows with the duration; its size never changes."""

SUB_BITS = 7
"""Each power of two has 128 buckets, so that no quantile is more than 1/128 above the truth."""
VALUE_BITS = 40
"""In microseconds that is twelve days; what is longer counts as that."""

_SUB = 1 << SUB_BITS
_BUCKETS = (VALUE_BITS - SUB_BITS + 1) << SUB_BITS
_VALUE_MAX = (1 << VALUE_BITS) - 1


class LogHistogram:
    """A histogram of whole numbers from 0.

    Attributes:
        count: how many were added.
        value_max: the largest of them, exactly; 0 when there are none.
    """

    __slots__ = ("_counts", "count", "value_max")

    def __init__(self) -> None:
        """Make an empty one."""
        self._counts = [0] * _BUCKETS
        self.count = 0
        self.value_max = 0

    def add(self, value: int, times: int = 1) -> None:
        """Count a value; one below 0, as of a clock that went back, counts as 0."""
        value = min(max(value, 0), _VALUE_MAX)
        shift = max(value.bit_length() - SUB_BITS - 1, 0)
        self._counts[(shift << SUB_BITS) + (value >> shift)] += times
        self.count += times
        self.value_max = max(self.value_max, value)

    def quantile(self, per_mille: int) -> int:
        """Give the value that so many thousandths do not exceed, by nearest rank.

        Args:
            per_mille: 1 to 1000; 999 for the 99.9th percentile.

        Returns:
            The upper edge of the bucket that holds it: never below the truth, and at most 1/128
            above it. 0 when nothing was added.
        """
        rank = -(-self.count * per_mille // 1000)
        seen = 0
        for index, count in enumerate(self._counts):
            seen += count
            if count and seen >= rank:
                return min(_upper_edge(index), self.value_max)
        return 0


def _upper_edge(index: int) -> int:
    """Give the largest value that a bucket holds."""
    shift = max((index >> SUB_BITS) - 1, 0)
    return ((index - (shift << SUB_BITS) + 1) << shift) - 1
