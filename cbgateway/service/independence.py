"""Whether a gateway needs anything of a carrier whose outage it has to tell of. Pure.

What can be told from settings, profiles and the machine's own files is told; names are never
looked up, for that would need the very thing that is asked about. What nobody can tell from here
is said in `UNKNOWABLE`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, ip_address

from cbgateway.profiles.models import CarrierProfile

UNKNOWABLE = (
    "not known from here: whose lines the other side of each address hangs on, where names lead "
    "that people use, and whose power and buildings are shared"
)
ROUTE_UP = 0x1
ROUTE_COLUMNS_MIN = 8
TIME_WORDS = frozenset({"server", "pool", "peer"})
TIME_KEYS = frozenset({"NTP", "FallbackNTP"})


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An address that the gateway uses, or is found at.

    Attributes:
        where: in the settings, such as ``mqtt.host``.
        host: a name or an address.
        of: the carrier that it belongs to and that may keep it in its own network; empty for none.
        is_asked: False for a name that only others look up.
    """

    where: str
    host: str
    of: str = ""
    is_asked: bool = True


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the machine's own files say.

    Attributes:
        hosts: addresses by name, from /etc/hosts.
        resolvers: name servers.
        time_sources: hosts that the clock is set by.
        routes: destination and interface, IPv4.
        uplinks: whose line an interface is, as the settings say.
    """

    hosts: Mapping[str, str]
    resolvers: tuple[str, ...] = ()
    time_sources: tuple[str, ...] = ()
    routes: tuple[tuple[IPv4Network, str], ...] = ()
    uplinks: Mapping[str, str] | None = None


def dependencies(
    carriers: Mapping[str, CarrierProfile],
    endpoints: Sequence[Endpoint],
    around: Surroundings,
) -> Iterator[str]:
    """Say everything that is gone, or may be, while one of the carriers is down."""
    names = False
    for one in endpoints:
        address = _address(one.host, around.hosts)
        if address is None and one.is_asked:
            names = True
            yield (
                f"{one.where}: {one.host} is a name that /etc/hosts does not have; it cannot be "
                "reached while no name server answers"
            )
        for code in _owners(carriers, one.host, address):
            if code != one.of:
                yield f"{one.where}: {one.host} is of {code}, and gone when {code} is down"
        if address is not None and one.is_asked:
            yield from _line(one, address, around)
    if names:
        yield from _resolvers(carriers, around)
    for host in around.time_sources:
        for code in _owners(carriers, host, _address(host, around.hosts)):
            yield f"time: {host} is of {code}; the clock runs on alone when {code} is down"


def _resolvers(carriers: Mapping[str, CarrierProfile], around: Surroundings) -> Iterator[str]:
    owned = [
        (resolver, code)
        for resolver in around.resolvers
        for code in _owners(carriers, resolver, _address(resolver, {}))
    ]
    for code in dict.fromkeys(code for _, code in owned):
        of = [resolver for resolver, owner in owned if owner == code]
        others = "" if len(of) < len(around.resolvers) else ", and there is no other"
        yield f"names: asked of {', '.join(of)}, which is of {code}{others}"


def _line(one: Endpoint, address: IPv4Address | IPv6Address, around: Surroundings) -> Iterator[str]:
    """Say that the way to a peer takes another carrier's line."""
    if around.uplinks is None or not isinstance(address, IPv4Address) or address.is_loopback:
        return
    through = [route for route in around.routes if address in route[0]]
    if not through:
        yield f"{one.where}: there is no way to {one.host}"
        return
    _, interface = max(through, key=lambda route: route[0].prefixlen)
    code = around.uplinks.get(interface, "")
    if code and code != one.of:
        yield (
            f"{one.where}: the only way to {one.host} is {interface}, a line of {code}, and gone "
            f"when {code} is down"
        )


def _address(host: str, hosts: Mapping[str, str]) -> IPv4Address | IPv6Address | None:
    """Give where a host is, without asking anybody."""
    known = "127.0.0.1" if host == "localhost" else hosts.get(host.lower(), host)
    try:
        return ip_address(known.partition("%")[0])
    except ValueError:
        return None


def _owners(
    carriers: Mapping[str, CarrierProfile], host: str, address: IPv4Address | IPv6Address | None
) -> Iterator[str]:
    """Name the carriers whose network or domain a host is in."""
    name = host.lower().rstrip(".")
    for code, carrier in carriers.items():
        own = carrier.infrastructure
        in_network = address is not None and any(address in network for network in own.networks)
        in_domain = any(name == domain or name.endswith(f".{domain}") for domain in own.domains)
        if in_network or in_domain:
            yield code


def read_hosts(text: str) -> dict[str, str]:
    """Read /etc/hosts: address by name."""
    found: dict[str, str] = {}
    for line in _lines(text):
        address, *names = line.split()
        for name in names:
            found.setdefault(name.lower(), address)
    return found


def read_resolvers(text: str) -> tuple[str, ...]:
    """Read the name servers of /etc/resolv.conf."""
    parts = (line.split() for line in _lines(text))
    return tuple(one[1] for one in parts if one[0] == "nameserver" and len(one) > 1)


def read_time_sources(text: str) -> tuple[str, ...]:
    """Read the sources of a configuration of ntpd, chronyd or systemd-timesyncd."""
    found: list[str] = []
    for line in _lines(text):
        key, equals, value = line.partition("=")
        words = line.split()
        if equals and key.strip() in TIME_KEYS:
            found += value.split()
        elif words[0] in TIME_WORDS and len(words) > 1:
            found.append(words[1])
    return tuple(found)


def read_routes(text: str) -> tuple[tuple[IPv4Network, str], ...]:
    """Read /proc/net/route: IPv4 routes that are up, with their interfaces."""
    found = []
    for line in text.splitlines()[1:]:
        cells = line.split()
        if len(cells) < ROUTE_COLUMNS_MIN:
            continue
        interface, destination, flags, mask = cells[0], cells[1], cells[3], cells[7]
        if int(flags, 16) & ROUTE_UP:
            network, bits = (IPv4Address(bytes.fromhex(one)[::-1]) for one in (destination, mask))
            found.append((IPv4Network(f"{network}/{bits}"), interface))
    return tuple(found)


def _lines(text: str) -> Iterable[str]:
    """Give the lines that say something."""
    for line in text.splitlines():
        said = line.partition("#")[0].partition(";")[0].strip()
        if said:
            yield said
