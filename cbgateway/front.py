"""The gateway's front: what its servers need of it, put together while it serves."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from urllib.parse import unquote

from loguru import logger

from cbgateway.bundles import Bundles
from cbgateway.desk import Desk
from cbgateway.domain.errors import UnknownNameError
from cbgateway.domain.ports import Store
from cbgateway.interfaces.http.backend import Backend
from cbgateway.interfaces.http.tokens import Tokens
from cbgateway.interfaces.mqtt.address import BrokerAddress
from cbgateway.interfaces.mqtt.intake import MqttIntake
from cbgateway.interfaces.mqtt.state import Board
from cbgateway.interfaces.mqtt.topics import Topics
from cbgateway.keyring import Keyring
from cbgateway.public.common import Site
from cbgateway.public.site import CAP, Resource, render
from cbgateway.settings import HttpSettings, MqttSettings, is_loopback, read_secret, trusting
from cbgateway.storage.marks import Marks
from cbgateway.storage.sqlite import SqliteStore
from cbgateway.telling import Telling

DOCUMENT = re.compile(r"/(cap|bundle)/([^/]{1,100})\.([1-9][0-9]{0,5})\.(xml|zip)")
SUFFIXES = {"cap": "xml", "bundle": "zip"}
ZIP = "application/zip"
NOT_FOUND = 404


@dataclass(frozen=True, slots=True)
class Front:
    """The front as those inside see it.

    Attributes:
        ready: to be called once work begins.
        address: where HTTP is served; None when it is not.
    """

    ready: Callable[[], None]
    address: str | None


PAGES_AGE_MAX_S = 0.2
"""How old a page may be: the site is made anew so often at most, however many ask."""


class Pages:
    """The public site, as it is shown to whoever asks."""

    def __init__(self, telling: Telling, bundles: Bundles) -> None:
        self._telling = telling
        self._bundles = bundles
        self._made: tuple[float, Site] | None = None

    def show(self, path: str) -> Resource:
        """Give what a path shows."""
        document = DOCUMENT.fullmatch(path)
        if document is not None and SUFFIXES[document[1]] == document[4]:
            return self._document(document[1], f"{unquote(document[2])}/{document[3]}")
        now_s, made = self._telling.clock.monotonic_s(), self._made
        if made is None or now_s - made[0] >= PAGES_AGE_MAX_S:
            made = self._made = now_s, self._telling.site()
        return render(made[1], path)

    def _document(self, kind: str, bulletin_id: str) -> Resource:
        """Give a CAP alert or a bundle by its bulletin's name."""
        content_type = CAP if kind == "cap" else ZIP
        try:
            if kind == "cap":
                return Resource(CAP, self._telling.alert(bulletin_id))
            return Resource(ZIP, self._bundles.zipped(bulletin_id))
        except UnknownNameError:
            return Resource(content_type, b"", NOT_FOUND)


class Sheets:
    """What call-centre staff read: made anew no oftener than pages are, however many watch."""

    def __init__(self, telling: Telling) -> None:
        self._telling = telling
        self._made: dict[str, tuple[float, object, list[dict[str, Any]]]] = {}

    def briefings(self, language: str) -> list[dict[str, Any]]:
        """Give the briefing of each outage that goes on, or ended within a day."""
        now_s, made = self._telling.clock.monotonic_s(), self._made.get(language)
        if made is not None and now_s - made[0] < PAGES_AGE_MAX_S:
            return made[2]
        # they change with the history, and with times that pass: to the minute is soon enough
        minute = self._telling.clock.now().replace(second=0, microsecond=0)
        with self._telling.store.read() as tx:
            stamp = tx.audit_size(), minute
            if made is not None and stamp == made[1]:
                found = made[2]
            else:
                found = list(self._telling.briefings_in(tx, (language,)))
        self._made[language] = now_s, stamp, found
        return found

    def briefing(
        self, incident_id: str, *, language: str, number: int | None = None
    ) -> dict[str, Any]:
        """Give one."""
        return self._telling.briefing(incident_id, language=language, number=number)

    def briefing_page(self, incident_id: str, *, language: str, number: int | None = None) -> bytes:
        """Give one as a page."""
        return self._telling.briefing_page(incident_id, language=language, number=number)


@asynccontextmanager
async def serving_http(
    desk: Desk,
    facts: Callable[[Store], Mapping[str, Any]],
    stop: asyncio.Event,
    on_ready: Callable[[], None] | None,
) -> AsyncIterator[Front]:
    """Serve HTTP beside what is done inside, when the settings ask for it.

    Reads have connections of their own, so that none waits for the dispatcher and none holds it
    up; writes share the dispatcher's commits.

    Args:
        desk: the one intake.
        facts: what `cbgateway status` knows, read through another connection.
        stop: ends both.
        on_ready: called once work begins.

    Yields:
        What whoever serves needs of it.

    Raises:
        ConfigurationError: the port, or the certificate, cannot be used.
    """
    http = desk.settings.http
    is_ready = False

    def ready() -> None:
        nonlocal is_ready
        is_ready = True
        if on_ready is not None:
            on_ready()

    if http is None:
        yield Front(ready, None)
        return
    from cbgateway.interfaces.http.server import listen, serve  # noqa: PLC0415 - takes a while

    listening = listen(
        http.host, http.port, certificate=http.certificate, private_key=http.private_key
    )
    path, marks = desk.settings.database, desk.settings.marks
    with (
        closing(SqliteStore.open(path)) as lookup,
        closing(SqliteStore.open(path)) as reading,
        closing(Marks.open(marks)) as claiming,
        closing(Marks.open(marks)) as looking,
    ):
        keyring = replace(desk.keyring, store=reading)
        inside = replace(desk, marks=claiming, keyring=keyring)
        outlook = replace(desk, store=reading, marks=looking, keyring=keyring)
        backend = Backend(
            deployment=desk.deployment,
            clock=desk.clock,
            names=_names(http, listening.address),
            intake=inside,
            lookup=lookup,
            reading=reading,
            prepare=outlook.prepare,
            approving=partial(inside.approving_signed, reading=outlook),
            published_keys=keyring.published_keys,
            facts=lambda: facts(reading),
            show=_pages(desk, reading, keyring),
            briefings=Sheets(_telling(desk, reading)),
            tokens=Tokens(http.tokens),
            is_ready=lambda: is_ready and not stop.is_set(),
            stop=stop,
            proxies=frozenset(http.proxies),
        )
        serving = asyncio.create_task(serve(backend, listening))
        serving.add_done_callback(lambda _: stop.set())
        logger.bind(address=listening.address).info("http listens")
        try:
            yield Front(ready, listening.address)
        finally:
            stop.set()
            await serving


def _pages(desk: Desk, store: SqliteStore, keyring: Keyring) -> Callable[[str], Resource]:
    telling = _telling(desk, store)
    return Pages(telling, Bundles(telling, keyring)).show


@asynccontextmanager
async def serving_mqtt(desk: Desk, stop: asyncio.Event) -> AsyncIterator[None]:
    """Serve MQTT beside what is done inside, when the settings ask for it.

    A broker that is away holds nothing else up.

    Raises:
        KeyUnusableError: the password cannot be read.
        InputError: the authorities cannot be read.
    """
    if desk.settings.mqtt is None:
        yield
        return
    from cbgateway.interfaces.mqtt.connection import MqttConnection  # noqa: PLC0415 - takes a while

    mode, gateway = desk.settings.mode, desk.store.meta["gateway_id"]
    topics = Topics(mode, desk.settings.mqtt.site)
    address = broker_address(desk.settings.mqtt, client_id=f"cbgateway-{gateway}")
    with closing(SqliteStore.open(desk.settings.database)) as reading:
        connection = MqttConnection(
            address,
            MqttIntake(topics, desk.deployment, desk, desk.clock),
            Board(
                topics,
                desk.deployment,
                f"urn:cbgateway:{gateway}",
                _telling(desk, reading).briefings_in,
                desk.clock.now,
            ),
            reading,
            gateway=gateway,
        )
        ending = asyncio.Event()
        serving = asyncio.create_task(connection.run(ending))
        serving.add_done_callback(lambda _: stop.set())
        try:
            yield
        finally:
            ending.set()
            await serving


def _telling(desk: Desk, store: SqliteStore) -> Telling:
    """Give what a gateway tells beside its bulletins, read through a connection of its own."""
    return Telling(desk.settings, desk.deployment, store, desk.clock)


def broker_address(mqtt: MqttSettings, *, client_id: str) -> BrokerAddress:
    """Give where the broker is.

    Raises:
        KeyUnusableError: the password cannot be read.
        InputError: the authorities cannot be read.
    """
    return BrokerAddress(
        host=mqtt.host,
        port=mqtt.port,
        client_id=mqtt.client_id or client_id,
        username=mqtt.username,
        password=None if mqtt.password_file is None else read_secret(mqtt.password_file),
        tls=None if mqtt.tls_ca_file is None else trusting(mqtt.tls_ca_file),
    )


def _names(http: HttpSettings, address: str) -> frozenset[str]:
    """Give what signed requests may call this server by."""
    names = {address, *(name.lower() for name in http.names)}
    if is_loopback(http.host):
        names.add(f"localhost:{address.rpartition(':')[2]}")
    return frozenset(names)
