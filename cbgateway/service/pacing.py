"""Pacing: so many messages a second into one region at one carrier, and no more.

A text that is too long for one message counts as what it is to the network: so many messages.
"""

from functools import lru_cache

from cbgateway.codec import smpp_text
from cbgateway.domain.rate import Empty, TokenBucket
from cbgateway.service.deployment import Deployment

WAIT_MIN_S = 0.001
"""What rounding leaves to wait for may be too short for a clock to show that it has passed."""


class Pacer:
    """Says how long to wait; lives in memory, since after a restart nothing is under way."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._buckets: dict[tuple[str, str], TokenBucket] = {}

    def parts_of(self, peer_id: str, text: str) -> int:
        """Give how many messages a text is on the air; a payload is cut by the centre."""
        return _parts_of(text, self._deployment.carriers[peer_id].smpp.sms.segmentation)

    def take(self, peer_id: str, region: str, messages: int, *, now_s: float) -> float:
        """Take room for some messages, or say in how many seconds to ask again.

        More than a second's worth counts as a second's worth, so that every window can leave.

        Args:
            peer_id: the carrier's code.
            region: where they go.
            messages: how many, every part of a text counted.
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
            return max(taken.refills_in_s, WAIT_MIN_S)
        self._buckets[key] = taken
        return 0.0


@lru_cache(maxsize=64)
def _parts_of(text: str, segmentation: str) -> int:
    kind = smpp_text.Segmentation(segmentation)
    if kind is smpp_text.Segmentation.PAYLOAD:
        kind = smpp_text.Segmentation.UDH8
    parts = smpp_text.segment(text, data_coding=None, segmentation=kind, reference=0).parts
    return len(parts)
