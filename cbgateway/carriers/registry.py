"""Which carrier interface makes which link: one dict, extended by one line per interface."""

import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from cbgateway.carriers.backoff import Turnstile
from cbgateway.carriers.cbsp.link import CbspLink
from cbgateway.carriers.cbsp.link import Endpoint as ControllerEndpoint
from cbgateway.carriers.cbsp.listener import Listeners
from cbgateway.carriers.smpp.group import SmppGroup
from cbgateway.carriers.smpp.link import Endpoint, SmppLink
from cbgateway.carriers.smpp.outbind import Outbind
from cbgateway.carriers.smpp.session import Credentials
from cbgateway.domain.ports import CarrierLink, Inbox
from cbgateway.profiles.models import CarrierProfile
from cbgateway.profiles.networks import NetworkProfile

LinkMaker = Callable[[CarrierProfile, Endpoint, Callable[[], float], Inbox | None], CarrierLink]


def _smpp(
    carrier: CarrierProfile,
    endpoint: Endpoint,
    random: Callable[[], float],
    inbox: Inbox | None,
) -> CarrierLink:
    turnstile = Turnstile()
    binds = [
        SmppLink(
            carrier.code,
            replace(endpoint.turned(index), outbind=None),
            carrier.smpp.model_copy(update={"bind": kind}),
            random=random,
            inbox=inbox,
            turnstile=turnstile,
        )
        for index, kind in enumerate((carrier.smpp.bind, *carrier.smpp.more_binds))
    ]
    if endpoint.outbind is not None and carrier.smpp.outbind is not None:
        rules = carrier.smpp.model_copy(update={"bind": carrier.smpp.outbind})
        binds.append(SmppLink(carrier.code, endpoint, rules, random=random, inbox=inbox))
    return binds[0] if len(binds) == 1 else SmppGroup(carrier.code, binds)


INTERFACES: Mapping[str, LinkMaker] = {"smpp": _smpp}


def make_controller_link(
    peer_id: str,
    network: NetworkProfile,
    endpoint: ControllerEndpoint,
    *,
    listeners: Listeners,
    random: Callable[[], float],
) -> CbspLink:
    """Make the link to a base station controller; it connects, or listens, when it is run.

    Args:
        peer_id: how the gateway calls the controller.
        network: how its kind is spoken to.
        endpoint: where it is.
        listeners: sockets that several links share.
        random: gives numbers from 0 up to 1, for jitter.
    """
    return CbspLink(peer_id, endpoint, network.cbsp, listeners=listeners, random=random)


def make_link(  # noqa: PLR0913 - keywords, one caller
    carrier: CarrierProfile,
    *,
    places: Sequence[tuple[str, int]],
    system_id: str,
    password: str,
    random: Callable[[], float],
    tls: ssl.SSLContext | None = None,
    server_name: str | None = None,
    inbox: Inbox | None = None,
    outbind: Outbind | None = None,
) -> CarrierLink:
    """Make the link to a carrier's peer; it connects when it is run.

    Args:
        carrier: whose `interface` says which protocol is spoken.
        places: where the peer listens: host and port of each; further binds begin further on.
        system_id: who we are to the peer.
        password: how we prove it.
        random: gives numbers from 0 up to 1, for jitter.
        tls: what the connection is secured with; None where it is not.
        server_name: what the peer's certificate is for; None for the host.
        inbox: takes what the peer sends; None where nothing is taken.
        outbind: where the peer may connect to us; None where it may not.
    """
    endpoint = Endpoint(tuple(places), Credentials(system_id, password), tls, server_name, outbind)
    return INTERFACES[carrier.interface](carrier, endpoint, random, inbox)
