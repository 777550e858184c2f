"""What one peer is asked to do, and the form in which orders are stored and hashed."""

import hashlib
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, assert_never

from cbgateway.domain.broadcast import Broadcast, Page, SerialNumber
from cbgateway.domain.incoming import AreaOnAir, MessageState

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Area:
    """A region as a peer may be told of it.

    Attributes:
        code: of the region.
        names: by language.
        cells: what the peer has there, for peers that know no regions: cells such as
            ``450-08-1001-11``, location areas such as ``450-08-1001``, or ``*`` for all it has.
    """

    code: str
    names: Mapping[str, str]
    cells: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Primary:
    """A notification without a text that goes before one, for phones to act at once (ETWS).

    Attributes:
        kind: 0 earthquake, 1 tsunami, 2 both, 3 test, 4 other.
        has_alert: phones sound the emergency user alert.
        has_popup: phones show it over everything else.
        period_s: how long it is repeated.
    """

    kind: int
    has_alert: bool
    has_popup: bool
    period_s: int


@dataclass(frozen=True, slots=True)
class WriteReplace:
    """Put a broadcast on air in an area, in place of the version that is there.

    Attributes:
        repetition_period_s: seconds between two transmissions of all pages.
        number_of_broadcasts: transmissions until it expires, 1 to 65535.
        expires_at: when it has to leave the air; aware.
        primary: what goes before the text; None for nothing.
    """

    bulletin_id: str
    alert_class: str
    area: Area
    broadcast: Broadcast
    repetition_period_s: int
    number_of_broadcasts: int
    expires_at: datetime
    primary: Primary | None = None


@dataclass(frozen=True, slots=True)
class Stop:
    """Take every version of a message off the air in an area.

    Attributes:
        message_identifier: of the broadcast that is on air.
        message_code: of the broadcast that is on air.
    """

    bulletin_id: str
    alert_class: str
    area: Area
    message_identifier: int
    message_code: int
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Submit:
    """Send one text to each of a chunk of recipients.

    Attributes:
        recipients: subscriber numbers, E.164 digits without plus.
    """

    bulletin_id: str
    alert_class: str
    area: Area
    language: str
    text: str
    recipients: tuple[str, ...]
    expires_at: datetime


Order = WriteReplace | Stop | Submit


@dataclass(frozen=True, slots=True)
class Reply:
    """One text to everybody who asked for it; not part of any plan, and never sent twice.

    Attributes:
        recipients: numbers as the peer writes them.
        bulletin_id: whose text it is, for subscribers; empty for an answer.
    """

    text: str
    recipients: tuple[str, ...]
    expires_at: datetime
    bulletin_id: str = ""

    @property
    def reference(self) -> int:
        """What the parts of the text have in common, 0 to 65535: another one for another text."""
        return zlib.crc32(self.text.encode()) & REFERENCE_MAX


@dataclass(frozen=True, slots=True)
class Handle:
    """How a broadcast is known at its peer.

    Attributes:
        name: what the peer calls the newest version that it has answered for; else empty.
        message_identifier: what phones know it by, with its serial number; 0 for short messages.
        alias: what we call it, 1 to 65535; 0 for short messages, which have none.
        may_be_on_air: True when some version may have left and was not stopped since.
        versions: serial numbers of those versions, the newest first.
        cells: where they may be on air, as their orders said.
        has_primary: whether a notification without a text went before one of them.
        is_recovery: this very order may have reached the peer before.
        is_acknowledged: True when the peer has said yes to one of those.
    """

    name: str = ""
    message_identifier: int = 0
    alias: int = 0
    may_be_on_air: bool = False
    versions: tuple[int, ...] = ()
    cells: tuple[str, ...] = ()
    has_primary: bool = False
    is_recovery: bool = False
    is_acknowledged: bool = False


@dataclass(frozen=True, slots=True)
class OnAirReport:
    """What a peer says of a broadcast when it is asked.

    Attributes:
        state: of the whole; None when it says nothing.
    """

    state: MessageState | None
    areas: tuple[AreaOnAir, ...]


@dataclass(frozen=True, slots=True)
class BroadcastReport:
    """A peer's positive answer to WriteReplace or Stop.

    Attributes:
        peer_reference: what the peer calls the broadcast from now on; empty when it has no name.
        failed_areas: parts of the area that the peer could not serve.
    """

    peer_reference: str
    failed_areas: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SubmitReport:
    """What became of each recipient.

    Attributes:
        outcomes: one octet per recipient, in the order's sequence: UNSENT, ACCEPTED, REFUSED or
            IN_DOUBT of `domain.outcomes.Outcome`.
        causes: how often each refusal was given, by its specification name.
        parts: messages that the text was cut into.
        ids: what the peer calls every part of every recipient's message, in order, empty where it
            took none; nothing when it was not asked for receipts.
    """

    outcomes: bytes
    causes: Mapping[str, int]
    parts: int = 1
    ids: Sequence[bytes] = ()


Report = BroadcastReport | SubmitReport


def encode_order(order: Order) -> str:
    """Write an order in its stored form: JSON with sorted keys, no spaces, times in UTC."""
    document = {"format": FORMAT, **_document(order)}
    return json.dumps(document, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def order_hash(encoded: str) -> str:
    """Give the SHA-256 of an encoded order, as an approval covers it, in hexadecimal."""
    return hashlib.sha256(encoded.encode()).hexdigest()


def decode_order(encoded: str) -> Order:
    """Read an order back from its stored form.

    Raises:
        ValueError: it was written by another version of the format.
    """
    document: dict[str, Any] = json.loads(encoded)
    if document["format"] != FORMAT:
        msg = f"order has format {document['format']}, this version reads {FORMAT}"
        raise ValueError(msg)
    common: dict[str, Any] = {
        "bulletin_id": document["bulletin"],
        "alert_class": document["class"],
        "area": _area(document["area"]),
        "expires_at": datetime.fromisoformat(document["expires"]),
    }
    match document["order"]:
        case "write_replace":
            return WriteReplace(
                **common,
                broadcast=_broadcast(document["broadcast"]),
                repetition_period_s=document["repetition_period_s"],
                number_of_broadcasts=document["number_of_broadcasts"],
                primary=Primary(**document["primary"]) if "primary" in document else None,
            )
        case "stop":
            return Stop(
                **common,
                message_identifier=document["message_identifier"],
                message_code=document["message_code"],
            )
        case "submit":
            return Submit(
                **common,
                language=document["language"],
                text=document["text"],
                recipients=tuple(document["recipients"]),
            )
        case other:
            msg = f"unknown order {other!r}"
            raise ValueError(msg)


def _document(order: Order) -> dict[str, Any]:
    common: dict[str, Any] = {
        "bulletin": order.bulletin_id,
        "class": order.alert_class,
        "area": _area_document(order.area),
        "expires": order.expires_at.astimezone(UTC).isoformat(),
    }
    match order:
        case WriteReplace():
            primary = {} if order.primary is None else {"primary": asdict(order.primary)}
            return common | {
                "order": "write_replace",
                "broadcast": _broadcast_document(order.broadcast),
                "repetition_period_s": order.repetition_period_s,
                "number_of_broadcasts": order.number_of_broadcasts,
                **primary,
            }
        case Stop():
            return common | {
                "order": "stop",
                "message_identifier": order.message_identifier,
                "message_code": order.message_code,
            }
        case Submit():
            return common | {
                "order": "submit",
                "language": order.language,
                "text": order.text,
                "recipients": list(order.recipients),
            }
    assert_never(order)


def _area_document(area: Area) -> dict[str, Any]:
    cells = {"cells": list(area.cells)} if area.cells else {}
    return {"code": area.code, "names": dict(area.names), **cells}


def _area(document: dict[str, Any]) -> Area:
    return Area(document["code"], document["names"], tuple(document.get("cells", ())))


def _broadcast_document(broadcast: Broadcast) -> dict[str, Any]:
    return {
        "language": broadcast.language,
        "message_identifier": broadcast.message_identifier,
        "serial_number": int(broadcast.serial_number),
        "dcs": broadcast.dcs,
        "text": broadcast.text,
        "pages": [
            {"octets": page.octets.hex(), "used_octets": page.used_octets}
            for page in broadcast.pages
        ],
    }


def _broadcast(document: dict[str, Any]) -> Broadcast:
    return Broadcast(
        language=document["language"],
        message_identifier=document["message_identifier"],
        serial_number=SerialNumber.from_int(document["serial_number"]),
        dcs=document["dcs"],
        text=document["text"],
        pages=tuple(
            Page(bytes.fromhex(page["octets"]), page["used_octets"]) for page in document["pages"]
        ),
    )


def message_reference(bulletin_id: str) -> int:
    """Give what we call a bulletin's short messages, 1 to 65535.

    Two bulletins of an incident in a row never share one, a second copy does.
    """
    incident, _, number = bulletin_id.rpartition("/")
    return (zlib.crc32(incident.encode()) + int(number)) % REFERENCE_MAX + 1


REFERENCE_MAX = 0xFFFF
"""user_message_reference and 16-bit concatenation references have two octets."""
