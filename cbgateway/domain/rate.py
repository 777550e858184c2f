"""Budgets and pacing: a token bucket as a value, moved by whoever holds the clock."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TokenBucket:
    """How much of something is left for now.

    Attributes:
        capacity: most tokens it can hold, 1 or more.
        refill_per_s: tokens that come back each second, more than 0.
        tokens: what it held at `updated_at_s`, 0 to `capacity`.
        updated_at_s: seconds since the epoch.
    """

    capacity: float
    refill_per_s: float
    tokens: float
    updated_at_s: float

    def at(self, now_s: float) -> "TokenBucket":
        """Give the bucket as it is at `now_s`; a clock that went back refills nothing."""
        elapsed_s = max(0.0, now_s - self.updated_at_s)
        tokens = min(self.capacity, self.tokens + elapsed_s * self.refill_per_s)
        return TokenBucket(self.capacity, self.refill_per_s, tokens, max(now_s, self.updated_at_s))

    def take(self, now_s: float, *, tokens: float = 1) -> "TokenBucket | Empty":
        """Take tokens, one unless told.

        Returns:
            The bucket afterwards, or `Empty` when it does not hold as many; then nothing is taken.
        """
        bucket = self.at(now_s)
        if bucket.tokens < tokens:
            return Empty(refills_in_s=(tokens - bucket.tokens) / self.refill_per_s)
        left = bucket.tokens - tokens
        return TokenBucket(self.capacity, self.refill_per_s, left, bucket.updated_at_s)


@dataclass(frozen=True, slots=True)
class Empty:
    """Nothing was taken.

    Attributes:
        refills_in_s: seconds until enough tokens are there.
    """

    refills_in_s: float
