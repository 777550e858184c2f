"""Planning: from a bulletin to the orders each peer gets. Pure: the same inputs, the same plan."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from cbgateway.codec import cbs, dcs
from cbgateway.domain.broadcast import Broadcast, Page, SerialNumber
from cbgateway.domain.bulletin import Bulletin, Mode
from cbgateway.domain.delivery import (
    Channel,
    Lineage,
    LiveBroadcast,
    NewDelivery,
    Recipient,
)
from cbgateway.domain.errors import EncodeError, ModeMismatchError, NotBroadcastableError
from cbgateway.domain.orders import (
    Area,
    Order,
    Primary,
    Stop,
    Submit,
    WriteReplace,
    encode_order,
    order_hash,
)
from cbgateway.profiles.models import CarrierProfile
from cbgateway.profiles.networks import PRIMARY_KINDS, NetworkClass
from cbgateway.service.coverage import CellMap, Covered
from cbgateway.service.deployment import Deployment
from cbgateway.signing.canonical import digest

CHUNK_RECIPIENTS_MAX = 5_000
"""Recipients in one Submit: the unit of lease, intent and result."""

ETWS_IDENTIFIERS = range(4352, 4360)

NUMBER_OF_BROADCASTS_MAX = 65535
"""Sixteen bits on every interface (TS 23.041 9.3.9)."""


@dataclass(frozen=True, slots=True)
class PlannedOrder:
    """One order for one peer, before it is sealed."""

    lineage: Lineage
    language: str
    serial_number: SerialNumber | None
    is_stop: bool
    order: str
    recipients: int

    def deliver(self, bulletin: Bulletin, *, rank: int, seal: str) -> NewDelivery:
        """Give the row that commits this order to the outbox; what stops is never blocked."""
        return NewDelivery(
            bulletin_id=bulletin.bulletin_id,
            number=bulletin.number,
            lineage=self.lineage,
            language=self.language,
            rank=0 if self.is_stop else rank,
            serial_number=self.serial_number,
            is_stop=self.is_stop,
            order=self.order,
            seal=seal,
            recipients=self.recipients,
            expires_at=bulletin.expires,
        )


@dataclass(frozen=True, slots=True)
class Reach:
    """What one radio network reaches of a bulletin's regions.

    Attributes:
        network: code.
        covered: by region; controllers with their cells.
        bare: the smallest regions in which the network has no cell.
    """

    network: str
    covered: Mapping[str, tuple[Covered, ...]]
    bare: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that goes out for one bulletin; an approval covers its hash.

    Attributes:
        broadcasts: one per language.
        orders: for every peer, region, language and chunk of recipients.
        content_hash: of the document that was submitted.
        coverage: what each radio network reaches.
    """

    bulletin: Bulletin
    content_hash: str
    broadcasts: tuple[Broadcast, ...]
    orders: tuple[PlannedOrder, ...]
    coverage: tuple[Reach, ...] = ()

    def document(self) -> dict[str, Any]:
        """Give the plan as it is hashed, signed and kept."""
        return {
            "format": 1,
            "bulletin": self.bulletin.bulletin_id,
            "content": self.content_hash,
            "expires": self.bulletin.expires.isoformat(),
            "mode": self.bulletin.mode.value,
            "orders": [order_hash(planned.order) for planned in self.orders],
        }

    def hash(self) -> str:
        """Give the SHA-256 that an approval signs, in hexadecimal."""
        return digest(self.document())


@dataclass(frozen=True, slots=True)
class Coding:
    """A text as it goes on air.

    Attributes:
        dcs: data coding scheme.
        pages: 1 to 15.
    """

    message_identifier: int
    dcs: int
    pages: tuple[Page, ...]


def encode_texts(
    deployment: Deployment, class_name: str, texts: Mapping[str, str]
) -> dict[str, Coding]:
    """Turn each text into the pages that go on air.

    Returns:
        By language, in the order of `texts`.

    Raises:
        NotBroadcastableError: a character that the language's coding lacks, or too many pages.
    """
    is_exercise = deployment.mode is Mode.EXERCISE
    channels = deployment.country.exercise if is_exercise else deployment.alert_class(class_name)
    codings = {}
    for language, text in texts.items():
        rules = deployment.country.languages[language]
        twin = channels.twin_message_identifier
        try:
            scheme = dcs.choose_dcs(text, language) if rules.dcs == "auto" else rules.dcs
            pages = cbs.paginate(text, dcs=scheme, language=language)
        except EncodeError as error:
            raise NotBroadcastableError(language, error) from error
        codings[language] = Coding(
            message_identifier=twin
            if rules.channel == "twin" and twin is not None
            else channels.message_identifier,
            dcs=scheme,
            pages=pages,
        )
    return codings


def plan(
    deployment: Deployment,
    bulletin: Bulletin,
    *,
    content_hash: str,
    serials: Mapping[int, SerialNumber],
    live: Sequence[LiveBroadcast],
    recipients: Mapping[str, Iterable[Recipient]],
) -> Plan:
    """Work out every order.

    Args:
        deployment: the gateway's rules.
        bulletin: what to say.
        content_hash: of the document that was submitted.
        serials: serial number of this version, by message identifier.
        live: what earlier bulletins of the incident have, or may have, on air.
        recipients: subscribers in the bulletin's regions, by carrier; gone through once.

    Raises:
        ModeMismatchError: the bulletin was made for another mode than the carriers.
        NotBroadcastableError: a text that no longer goes on air by these rules.
    """
    if bulletin.mode is not deployment.mode:
        msg = f"{bulletin.bulletin_id} is for mode {bulletin.mode}, not {deployment.mode}"
        raise ModeMismatchError(msg)
    codings = encode_texts(deployment, bulletin.alert_class, bulletin.texts)
    broadcasts = tuple(
        Broadcast(
            language=language,
            message_identifier=coding.message_identifier,
            serial_number=serials[coding.message_identifier],
            dcs=coding.dcs,
            text=bulletin.texts[language],
            pages=coding.pages,
        )
        for language, coding in codings.items()
    )
    orders: list[PlannedOrder] = []
    for carrier in deployment.carriers.values():
        channels = carrier.routes.get(bulletin.alert_class, ())
        if "broadcast" in channels:
            orders += _write_replaces(deployment, bulletin, carrier, broadcasts)
        if "sms" in channels:
            orders += _submits(deployment, bulletin, carrier, recipients.get(carrier.code, ()))
    coverage = tuple(_coverage(deployment, bulletin))
    for reach in coverage:
        orders += _cell_orders(deployment, bulletin, reach, broadcasts)
    stops = _stops(deployment, bulletin, live, orders)
    return Plan(bulletin, content_hash, broadcasts, (*stops, *orders), coverage)


def _write_replaces(
    deployment: Deployment,
    bulletin: Bulletin,
    carrier: CarrierProfile,
    broadcasts: Sequence[Broadcast],
) -> Iterator[PlannedOrder]:
    period_s = deployment.alert_class(bulletin.alert_class).repetition_period_s
    standing_s = (bulletin.expires - bulletin.sent).total_seconds()
    number_of_broadcasts = min(math.ceil(standing_s / period_s), NUMBER_OF_BROADCASTS_MAX)
    for region in bulletin.regions:
        for broadcast in broadcasts:
            lineage = Lineage(
                carrier.code,
                bulletin.incident_id,
                region,
                Channel.BROADCAST,
                broadcast.message_identifier,
            )
            order = WriteReplace(
                bulletin_id=bulletin.bulletin_id,
                alert_class=bulletin.alert_class,
                area=_area(deployment, region),
                broadcast=broadcast,
                repetition_period_s=period_s,
                number_of_broadcasts=number_of_broadcasts,
                expires_at=bulletin.expires,
            )
            yield _planned(lineage, broadcast.language, broadcast.serial_number, order)


def _coverage(deployment: Deployment, bulletin: Bulletin) -> Iterator[Reach]:
    """Find the cells of each network that has the class."""
    for network in deployment.networks.values():
        if bulletin.alert_class not in network.cbsp.classes:
            continue
        cells = deployment.cells.get(network.code, CellMap())
        covered = {
            region: tuple(
                one
                for one in cells.cover(region, deployment.regions, scope=network.cbsp.scope)
                if deployment.controllers.get(one.controller) == network.code
            )
            for region in bulletin.regions
        }
        yield Reach(network.code, covered, cells.bare(bulletin.regions, deployment.regions))


def _cell_orders(
    deployment: Deployment, bulletin: Bulletin, reach: Reach, broadcasts: Sequence[Broadcast]
) -> Iterator[PlannedOrder]:
    """Order from each controller what its cells in each region are to send."""
    rules = deployment.networks[reach.network].cbsp.classes[bulletin.alert_class]
    period_s = deployment.alert_class(bulletin.alert_class).repetition_period_s
    standing_s = (bulletin.expires - bulletin.sent).total_seconds()
    for region, covered in reach.covered.items():
        for one in covered:
            for broadcast in broadcasts:
                lineage = Lineage(
                    one.controller,
                    bulletin.incident_id,
                    region,
                    Channel.BROADCAST,
                    broadcast.message_identifier,
                )
                order = WriteReplace(
                    bulletin_id=bulletin.bulletin_id,
                    alert_class=bulletin.alert_class,
                    area=replace(_area(deployment, region), cells=one.places),
                    broadcast=broadcast,
                    repetition_period_s=period_s,
                    number_of_broadcasts=math.ceil(standing_s / period_s),
                    expires_at=bulletin.expires,
                    primary=_primary(rules, broadcast),
                )
                yield _planned(lineage, broadcast.language, broadcast.serial_number, order)


def _primary(rules: NetworkClass, broadcast: Broadcast) -> Primary | None:
    """Give what goes before a text; only on the channels of ETWS (TS 23.041 9.4.1.2.2)."""
    primary = rules.primary
    if primary is None or broadcast.message_identifier not in ETWS_IDENTIFIERS:
        return None
    return Primary(
        kind=PRIMARY_KINDS.index(primary.kind),
        has_alert=primary.alert,
        has_popup=primary.popup,
        period_s=primary.period_s,
    )


def _submits(
    deployment: Deployment,
    bulletin: Bulletin,
    carrier: CarrierProfile,
    recipients: Iterable[Recipient],
) -> Iterator[PlannedOrder]:
    """Cut a carrier's list into chunks as it passes by: it may have millions."""
    default = deployment.country.default_language
    chunks: dict[tuple[str, str], list[str]] = {}
    for recipient in recipients:
        region = next(
            code for code in bulletin.regions if deployment.regions.contains(code, recipient.region)
        )
        language = recipient.language if recipient.language in bulletin.texts else default
        if language not in bulletin.texts:
            continue  # a withdrawal has no text: there is nothing to tell
        numbers = chunks.setdefault((region, language), [])
        numbers.append(recipient.number)
        if len(numbers) == CHUNK_RECIPIENTS_MAX:
            yield _submit(deployment, bulletin, carrier, region, language, numbers)
            numbers.clear()
    for (region, language), numbers in chunks.items():
        if numbers:
            yield _submit(deployment, bulletin, carrier, region, language, numbers)


def _submit(
    deployment: Deployment,
    bulletin: Bulletin,
    carrier: CarrierProfile,
    region: str,
    language: str,
    numbers: Sequence[str],
) -> PlannedOrder:
    lineage = Lineage(carrier.code, bulletin.incident_id, region, Channel.SMS, None)
    order = Submit(
        bulletin_id=bulletin.bulletin_id,
        alert_class=bulletin.alert_class,
        area=_area(deployment, region),
        language=language,
        text=bulletin.texts[language],
        recipients=tuple(numbers),
        expires_at=bulletin.expires,
    )
    return _planned(lineage, language, None, order)


def _stops(
    deployment: Deployment,
    bulletin: Bulletin,
    live: Sequence[LiveBroadcast],
    orders: Sequence[PlannedOrder],
) -> Iterator[PlannedOrder]:
    """Stop what this bulletin does not replace: another area, class, language or message code."""
    replaced = {
        (planned.lineage, planned.serial_number.message_code)
        for planned in orders
        if planned.serial_number is not None
    }
    for broadcast in live:
        if (broadcast.lineage, broadcast.serial_number.message_code) in replaced:
            continue
        identifier = broadcast.lineage.message_identifier
        assert identifier is not None, "only broadcasts are live"  # noqa: S101 - our own invariant
        order = Stop(
            bulletin_id=bulletin.bulletin_id,
            alert_class=bulletin.alert_class,
            area=_area(deployment, broadcast.lineage.region),
            message_identifier=identifier,
            message_code=broadcast.serial_number.message_code,
            expires_at=bulletin.expires,
        )
        yield _planned(broadcast.lineage, broadcast.language, broadcast.serial_number, order)


def _planned(
    lineage: Lineage, language: str, serial: SerialNumber | None, order: Order
) -> PlannedOrder:
    return PlannedOrder(
        lineage=lineage,
        language=language,
        serial_number=serial,
        is_stop=isinstance(order, Stop),
        order=encode_order(order),
        recipients=len(order.recipients) if isinstance(order, Submit) else 0,
    )


def _area(deployment: Deployment, code: str) -> Area:
    return Area(code, dict(deployment.regions[code].name))
