"""How often somebody may ask for proofs: a budget for each client address, and one for all.

A code has thirty bits; whoever tries them all has to be slow. Memory is bounded: of so many
addresses the one that was silent longest is forgotten, and the budget of all still counts for it.
"""

from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address

from starlette.requests import Request

from cbgateway.domain.rate import Empty, TokenBucket

NOBODY = "unknown"
"""Who cannot be told apart shares one budget."""
FORWARDED_CHARACTERS_MAX = 1_000
"""Of an X-Forwarded-For; what is longer is believed to say nothing."""
IPV6_SITE_BITS = 64
"""One customer has that many addresses and more: they count as one (RFC 6177)."""


@dataclass(frozen=True, slots=True)
class Rate:
    """A token bucket's measures.

    Attributes:
        burst: requests at once.
        per_s: requests in each second, in the long run.
    """

    burst: float
    per_s: float


@dataclass(slots=True)
class Throttle:
    """The budgets.

    Attributes:
        each: what one client address may ask.
        all: what everybody together may.
        addresses_max: addresses that are remembered.
    """

    each: Rate
    all: Rate
    addresses_max: int
    _buckets: OrderedDict[str, TokenBucket] = field(default_factory=OrderedDict)
    _everybody: TokenBucket | None = None

    def take(self, address: str, *, now_s: float) -> float:
        """Take one request of an address; 0 when it may be answered, else how long to wait.

        What is refused costs nothing, so that a client who tries on is let in when it is time.

        Args:
            address: as `address_of` gives it.
            now_s: monotonic seconds.
        """
        own = self._buckets.get(address) or _full(self.each, now_s)
        everybody = self._everybody or _full(self.all, now_s)
        after, after_all = own.take(now_s), everybody.take(now_s)
        waits = [one.refills_in_s for one in (after, after_all) if isinstance(one, Empty)]
        if isinstance(after, TokenBucket) and isinstance(after_all, TokenBucket):
            own, self._everybody = after, after_all
        self._buckets[address] = own
        self._buckets.move_to_end(address)
        while len(self._buckets) > self.addresses_max:
            self._buckets.popitem(last=False)
        return max(waits, default=0.0)


def _full(rate: Rate, now_s: float) -> TokenBucket:
    return TokenBucket(rate.burst, rate.per_s, rate.burst, now_s)


def address_of(request: Request, proxies: Collection[str]) -> str:
    """Give whose request it is, as far as budgets go.

    A proxy that the settings name is asked whom it speaks for: the last address of its
    X-Forwarded-For that is no such proxy. Nobody else is believed.
    """
    peer = NOBODY if request.client is None else request.client.host
    if peer not in proxies:
        return _site(peer)
    forwarded = ",".join(request.headers.getlist("x-forwarded-for"))
    if len(forwarded) > FORWARDED_CHARACTERS_MAX:
        return _site(peer)
    for one in reversed([part.strip() for part in forwarded.split(",")]):
        if one and one not in proxies:
            return _site(one)
    return _site(peer)


def _site(text: str) -> str:
    """Give an address so that one customer's addresses are one; what is none is nobody."""
    try:
        address = ip_address(text)
    except ValueError:
        return NOBODY
    if not isinstance(address, IPv6Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(IPv6Address(int(address) >> IPV6_SITE_BITS << IPV6_SITE_BITS))
