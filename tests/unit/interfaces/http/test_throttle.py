"""Proofs are looked up, not tried out: budgets for each address and for all, in bounded memory."""

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from cbgateway.interfaces.http.limits import PROOFS_EACH_BURST
from cbgateway.interfaces.http.throttle import NOBODY, Rate, Throttle, address_of
from cbgateway.settings import HttpSettings

EACH, ALL = Rate(3, 0.5), Rate(5, 1)


def request(peer: str | None, *forwarded: str) -> Any:
    """Give a request from an address."""
    client = None if peer is None else SimpleNamespace(host=peer)
    headers = Headers(raw=[(b"x-forwarded-for", one.encode()) for one in forwarded])
    return SimpleNamespace(client=client, headers=headers)


def test_an_address_waits_when_its_budget_is_spent() -> None:
    """Three at once, then one in two seconds; who is refused is told how long, and pays nothing."""
    throttle = Throttle(EACH, Rate(1_000, 1_000), addresses_max=10)

    assert [throttle.take("a", now_s=0) for _ in range(5)] == [0, 0, 0, 2, 2]
    assert throttle.take("a", now_s=1.5) == pytest.approx(0.5)
    assert throttle.take("a", now_s=2) == 0
    assert throttle.take("b", now_s=2) == 0


def test_all_together_wait_when_theirs_is_spent() -> None:
    """However many addresses ask."""
    throttle = Throttle(EACH, ALL, addresses_max=10)

    waits = [throttle.take(f"10.0.0.{number}", now_s=0) for number in range(7)]
    assert waits == [0, 0, 0, 0, 0, 1, 1]
    assert throttle.take("10.0.0.9", now_s=1) == 0


@given(addresses=st.lists(st.integers(0, 99), max_size=200))
def test_memory_is_bounded(addresses: list[int]) -> None:
    """And nobody gets more than the budget of all, whoever is forgotten."""
    throttle = Throttle(EACH, ALL, addresses_max=4)
    answered = sum(throttle.take(str(one), now_s=0) == 0 for one in addresses)

    assert len(throttle._buckets) <= 4
    assert answered <= ALL.burst


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("192.0.2.1", (), "192.0.2.1"),
        ("192.0.2.1", ("198.51.100.1",), "192.0.2.1"),  # nobody believes a stranger
        ("10.0.0.1", ("198.51.100.1",), "198.51.100.1"),
        ("10.0.0.1", ("203.0.113.9, 198.51.100.1",), "198.51.100.1"),  # the first part is made up
        ("10.0.0.1", ("203.0.113.9", "198.51.100.1, 10.0.0.2"), "198.51.100.1"),
        ("10.0.0.1", (), "10.0.0.1"),
        ("10.0.0.1", (" , ",), "10.0.0.1"),
        ("10.0.0.1", ("x" * 2_000,), "10.0.0.1"),
        ("10.0.0.1", ("<script>",), NOBODY),
        ("2001:db8:1:2:3:4:5:6", (), "2001:db8:1:2::"),
        ("2001:db8:1:2::9", (), "2001:db8:1:2::"),
        ("::ffff:192.0.2.1", (), "192.0.2.1"),
        (None, (), NOBODY),
    ],
)
def test_address_is_the_one_that_can_be_believed(
    peer: str | None, forwarded: tuple[str, ...], address: str
) -> None:
    """Only proxies of the settings are asked; a customer's IPv6 addresses are one."""
    assert address_of(request(peer, *forwarded), {"10.0.0.1", "10.0.0.2"}) == address


def test_proxies_are_addresses() -> None:
    """A name would have to be looked up."""
    with pytest.raises(ValueError, match="proxy.example"):
        HttpSettings(port=0, proxies=("proxy.example",))


@pytest.mark.parametrize("path", ["/v/ZZZZZZ", "/en/v/ZZZZZZ/"])
def test_codes_cannot_be_tried_out(front: Any, path: str) -> None:
    """429 with Retry-After after some; other pages go on, and so do codes once it is time."""
    answers = [front.client.get(path) for _ in range(PROOFS_EACH_BURST + 2)]
    refused = answers[-1]

    assert {one.status_code for one in answers[:PROOFS_EACH_BURST]} == {404}
    assert refused.status_code == 429
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.json()["type"] == "urn:cbgateway:problem:too-many-requests"
    assert refused.headers["retry-after"] == "2"
    assert front.client.get("/").status_code == 200
    front.office.clock.advance(2)
    assert front.client.get(path).status_code == 404
