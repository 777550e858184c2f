"""Where a broker is."""

import ssl
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """Where the broker is, and who we are to it.

    Attributes:
        client_id: the same for ever: the broker keeps commands under it.
        tls: None for plain TCP.
    """

    host: str
    port: int
    client_id: str
    username: str | None = None
    password: str | None = None
    tls: ssl.SSLContext | None = None
