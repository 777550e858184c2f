"""Pacing: so many messages a second into one region at one carrier, and no more."""

from cbgateway.domain.rate import Empty, TokenBucket
from cbgateway.service.deployment import Deployment


class Pacer:
    """Says how long to wait; lives in memory, since after a restart nothing is under way."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._buckets: dict[tuple[str, str], TokenBucket] = {}

    def take(self, peer_id: str, region: str, messages: int, *, now_s: float) -> float:
        """Take room for some messages, or say in how many seconds to ask again.

        More than a second's worth counts as a second's worth, so that every window can leave.

        Args:
            peer_id: the carrier's code.
            region: where they go.
            messages: how many.
            now_s: monotonic seconds.

        Returns:
            0 when they may leave now.
        """
        rate = self._deployment.carriers[peer_id].pacing.messages_per_s
        capacity = max(rate, 1.0)
        key = (peer_id, region)
        bucket = self._buckets.get(key) or TokenBucket(capacity, rate, capacity, now_s)
        taken = bucket.take(now_s, tokens=min(messages, capacity))
        if isinstance(taken, Empty):
            return taken.refills_in_s
        self._buckets[key] = taken
        return 0.0
