"""Nothing of a failing carrier is needed: what settings, profiles and the machine's files tell."""

from ipaddress import IPv4Network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbgateway.app import load_checked_profiles
from cbgateway.profiles.models import Infrastructure
from cbgateway.service import independence
from cbgateway.service.independence import Endpoint, Surroundings, dependencies

ANY = IPv4Network("0.0.0.0/0")


@pytest.fixture(scope="module")
def carriers() -> Any:
    """Give the carriers of Korea, with address ranges of documentation."""
    found = load_checked_profiles(None).carriers
    ranges = {"kt": "192.0.2.0/24", "skt": "198.51.100.0/24", "lguplus": "2001:db8::/32"}
    return {
        code: found[code].model_copy(
            update={
                "infrastructure": Infrastructure(
                    networks=(network,), domains=found[code].infrastructure.domains
                )
            }
        )
        for code, network in ranges.items()
    }


def told(carriers: Any, *endpoints: Endpoint, **around: Any) -> list[str]:
    """Give what is said of some addresses."""
    return list(dependencies(carriers, endpoints, Surroundings(**{"hosts": {}} | around)))


@pytest.mark.parametrize(
    ("endpoint", "words"),
    [
        (Endpoint("carriers.kt", "192.0.2.1", of="kt"), None),
        (Endpoint("carriers.kt", "198.51.100.1", of="kt"), "is of skt"),
        (Endpoint("mqtt.host", "192.0.2.1"), "is of kt, and gone when kt is down"),
        (Endpoint("mqtt.host", "2001:db8::9"), "is of lguplus"),
        (Endpoint("mqtt.host", "203.0.113.1"), None),
        (Endpoint("mqtt.host", "127.0.0.1"), None),
        (Endpoint("mqtt.host", "localhost"), None),
        (Endpoint("mqtt.host", "fe80::1%eth0"), None),
        (Endpoint("mqtt.host", "broker.example"), "is a name that /etc/hosts does not have"),
        (Endpoint("mqtt.host", "known.example"), "known.example is of skt"),
        (Endpoint("mqtt.host", "KNOWN.example"), "KNOWN.example is of skt"),
        (Endpoint("site_url", "www.kt.com.", is_asked=False), "is of kt"),
        (Endpoint("site_url", "kt.com", is_asked=False), "is of kt"),
        (Endpoint("site_url", "notkt.com", is_asked=False), None),
    ],
)
def test_each_address_is_held_against_every_carrier(
    carriers: Any, endpoint: Endpoint, words: str | None
) -> None:
    """A carrier's own message centre may be its own; nothing else may."""
    found = told(carriers, endpoint, hosts={"known.example": "198.51.100.7"})

    assert (found == []) if words is None else any(words in one for one in found)


def test_name_servers_matter_only_where_names_are_used(carriers: Any) -> None:
    """With literal addresses nobody asks them."""
    servers = ("192.0.2.53", "203.0.113.53")
    literal = told(carriers, Endpoint("mqtt.host", "203.0.113.1"), resolvers=servers)
    named = told(carriers, Endpoint("mqtt.host", "b.example"), resolvers=servers)
    alone = told(carriers, Endpoint("mqtt.host", "b.example"), resolvers=servers[:1])

    assert literal == []
    assert "names: asked of 192.0.2.53, which is of kt" in named
    assert "names: asked of 192.0.2.53, which is of kt, and there is no other" in alone


def test_clock_is_not_set_by_a_carrier(carriers: Any) -> None:
    """It runs on alone, but for how long."""
    found = told(carriers, time_sources=("time.kt.com", "198.51.100.123", "pool.ntp.org"))

    assert ["kt" in found[0], "skt" in found[1], len(found)] == [True, True, 2]


def test_way_that_is_one_carriers_line(carriers: Any) -> None:
    """The longest route counts; a carrier's own line leads to itself."""
    routes = ((ANY, "eth0"), (IPv4Network("203.0.113.0/24"), "eth1"))
    uplinks = {"eth0": "kt", "eth1": ""}
    peers = (
        Endpoint("carriers.kt", "192.0.2.1", of="kt"),
        Endpoint("carriers.skt", "198.51.100.1", of="skt"),
        Endpoint("mqtt.host", "203.0.113.1"),
        Endpoint("mqtt.host", "2001:db9::1"),
        Endpoint("mqtt.host", "127.0.0.1"),
    )
    (found,) = told(carriers, *peers, routes=routes, uplinks=uplinks)

    assert found.startswith("carriers.skt: the only way to 198.51.100.1 is eth0, a line of kt")
    assert told(carriers, *peers, routes=routes) == []
    (lost,) = told(carriers, peers[2], routes=(), uplinks=uplinks)
    assert "there is no way to 203.0.113.1" in lost


def test_files_of_the_machine() -> None:
    """As their manual pages have them; remarks and what is half said are passed over."""
    assert independence.read_hosts("# x\n10.0.0.1 A b # c\n10.0.0.2 b\n\n::1\n") == {
        "a": "10.0.0.1",
        "b": "10.0.0.1",
    }
    assert independence.read_resolvers(
        "; x\nnameserver 10.0.0.1\nnameserver\nsearch a.example\nnameserver ::1 # y\n"
    ) == ("10.0.0.1", "::1")
    assert independence.read_time_sources(
        "pool a.example iburst\nserver b.example\npeer\ndriftfile /x\n[Time]\nNTP=c.example d\n"
        "#FallbackNTP=e\nFallbackNTP = f\nRootDistanceMaxSec=5\n"
    ) == ("a.example", "b.example", "c.example", "d", "f")
    table = (
        "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n"
        "eth0 00000000 0100000A 0003 0 0 0 00000000 0 0 0\n"
        "eth1 0000000A 00000000 0001 0 0 0 000000FF 0 0 0\n"
        "eth2 0000000B 00000000 0000 0 0 0 000000FF 0 0 0\n"
        "short line\n"
    )
    assert independence.read_routes(table) == (
        (ANY, "eth0"),
        (IPv4Network("10.0.0.0/8"), "eth1"),
    )


@given(text=st.text(max_size=200))
def test_any_file_can_be_read(text: str) -> None:
    """They are the machine's, and anybody may have written them."""
    independence.read_hosts(text)
    independence.read_resolvers(text)
    independence.read_time_sources(text)


def test_shipped_profiles_know_the_name_servers_of_their_customers() -> None:
    """Whoever has them in resolv.conf is told."""
    found = load_checked_profiles(None).carriers
    names = Surroundings(hosts={}, resolvers=("168.126.63.1", "210.220.163.82", "164.124.101.2"))
    said = list(dependencies(found, [Endpoint("mqtt.host", "b.example")], names))

    assert sum("names: asked of" in one for one in said) == 3
