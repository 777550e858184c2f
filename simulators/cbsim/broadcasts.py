"""Broadcasts at the centre: checked, cut into pages, put on air, asked about, taken off the air."""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from cbgateway.codec import cbs, smpp, smpp_text
from cbgateway.domain.broadcast import GeographicalScope, SerialNumber
from cbgateway.domain.errors import DecodeError, EncodeError
from cbsim.network import Network, OnAir
from cbsim.refusal import Refusal
from cbsim.scenario import Broadcasts

AREA_FORMAT_ALIAS = 0
EMERGENCY_BROADCASTS = 0x0001
DATA_CODING_OCTETS = 4
BROADCASTS_MAX = 100_000
"""Broadcasts remembered for query_broadcast_sm; the oldest are forgotten."""

FREQUENCY_UNITS_S = {
    0: 0,
    8: 1,
    9: 60,
    10: 3_600,
    11: 86_400,
    12: 604_800,
    13: 2_592_000,
    14: 31_536_000,
}
"""broadcast_frequency_interval, first octet (SMPP 5.0 4.8.4.10)."""

_S = smpp.Status


@dataclass(frozen=True, slots=True)
class VendorTlvs:
    """Tags under which a gateway sends what SMPP has no field for."""

    seal: int = 0x1500
    message_identifier: int = 0x1501
    serial_number: int = 0x1502
    data_coding_scheme: int = 0x1503


@dataclass(slots=True)
class Broadcast:
    """One broadcast as the centre remembers it.

    Attributes:
        areas: as they came, with what each is called in the network; None for one that failed.
        parts: its names in the network, one for each area that is on air.
    """

    message_id: str
    source: smpp.Address
    service_type: str
    content_type: bytes
    areas: list[tuple[bytes, str | None]]
    parts: list[str] = field(default_factory=list)
    is_cancelled: bool = False

    @property
    def failed(self) -> list[bytes]:
        """The areas that did not come on air."""
        return [octets for octets, region in self.areas if region is None]


class BroadcastDesk:
    """Everything about broadcasts that all binds of one centre share."""

    def __init__(
        self,
        network: Network,
        *,
        areas: Mapping[str, str],
        vendor_tlvs: VendorTlvs,
        rules: Callable[[], Broadcasts],
        next_id: Callable[[], str],
    ) -> None:
        """Make a desk.

        Args:
            network: phones and radio.
            areas: names that stand for regions, besides the regions' own codes.
            vendor_tlvs: where seals and serial numbers stand.
            rules: how broadcasts fare now.
            next_id: gives message_ids.
        """
        self._network = network
        self._tags = vendor_tlvs
        self._rules = rules
        self._next_id = next_id
        regions = {region for phone in network.phones.values() for region in phone.regions}
        self._areas = {region: region for region in regions} | dict(areas)
        self._message_code = 0
        self._references: dict[int, str] = {}  # sixteen bits: never more than 65,536
        self.known: OrderedDict[str, Broadcast] = OrderedDict()

    def broadcast(self, pdu: smpp.Pdu, body: smpp.BroadcastSm, now_s: float) -> Broadcast:
        """Put a broadcast on air.

        A message_id that is to be replaced has to be there; with a user_message_reference alone,
        what is there is replaced, and what is not begins (SMPP 5.0 4.4.1.1).

        Raises:
            Refusal: it is not one that this centre can put on air.
        """
        reference = integer(pdu, smpp.TlvTag.USER_MESSAGE_REFERENCE, None)
        present = self._present(body.message_id, reference)
        if body.replace_if_present_flag and (bool(body.message_id) == (reference is not None)):
            raise Refusal(
                _S.ESME_RINVMSGID,
                "a replacement is named by message_id or by user_message_reference, not by both",
            )
        if body.replace_if_present_flag and body.message_id and present is None:
            raise Refusal(_S.ESME_RINVMSGID, f"no broadcast {body.message_id!r} on air")
        areas = self._areas_of(pdu)
        replaced = present if body.replace_if_present_flag else None
        pages = self._pages(pdu, body)
        on_air = OnAir(
            name="",
            pages=pages,
            area="",
            period_s=_period_s(pdu.tlv(smpp.TlvTag.BROADCAST_FREQUENCY_INTERVAL) or b"\0\0\0"),
            transmissions=integer(pdu, smpp.TlvTag.BROADCAST_REP_NUM, 1),
            ends_at_s=ends_at_s(body.validity_period, now_s, _S.ESME_RINVEXPIRY),
            seal=seal_of(pdu, self._tags),
        )
        if replaced is not None:
            self._stop(self.known[replaced])
        one = Broadcast(
            message_id=replaced or self._next_id(),
            source=body.source,
            service_type=body.service_type,
            content_type=pdu.tlv(smpp.TlvTag.BROADCAST_CONTENT_TYPE) or b"",
            areas=areas,
        )
        self._remember(one)
        for index, (_, region) in enumerate(areas):
            if region is not None:
                name = one.message_id if index == 0 else f"{one.message_id}/{index}"
                one.parts.append(name)
                self._network.broadcast(replace(on_air, name=name, area=region), now_s=now_s)
        if reference is not None:
            self._references[reference] = one.message_id
        return one

    def cancel(
        self, body: smpp.CancelBroadcastSm, reference: int | None, content_type: bytes
    ) -> list[str]:
        """Take broadcasts off the air; gives their message_ids.

        Without a name everything of the source goes that has this service_type and content type
        (SMPP 5.0 4.6.2.1).

        Raises:
            Refusal: none is on air.
        """
        if body.message_id or reference is not None:
            name = self._present(body.message_id, reference)
            found = [] if name is None else [self.known[name]]
        else:
            found = [
                one
                for one in self.known.values()
                if one.source.address == body.source.address
                and one.service_type == body.service_type
                and content_type in {b"", one.content_type}
                and self.is_on_air(one)
            ]
        if not found:
            raise Refusal(
                _S.ESME_RBCASTCANCELFAIL, f"no broadcast {body.message_id or reference!r} on air"
            )
        for one in found:
            self._stop(one)
            one.is_cancelled = True
        return [one.message_id for one in found]

    def query(
        self, body: smpp.QueryBroadcastSm, reference: int | None
    ) -> tuple[str, tuple[smpp.Tlv, ...]]:
        """Give a broadcast's message_id, and TLVs with its state, areas and success in each.

        Raises:
            Refusal: none has this name.
        """
        name = body.message_id or self._references.get(-1 if reference is None else reference, "")
        one = self.known.get(name)
        if one is None or body.source.address not in {"", one.source.address}:
            raise Refusal(_S.ESME_RBCASTQUERYFAIL, f"no broadcast {body.message_id or reference!r}")
        tlvs = [smpp.Tlv.integer(smpp.TlvTag.MESSAGE_STATE, self.state_of(one))]
        for octets, region in one.areas:
            success = 0 if region is None else self._rules().success
            tlvs += (
                smpp.Tlv(smpp.TlvTag.BROADCAST_AREA_IDENTIFIER, octets),
                smpp.Tlv.integer(smpp.TlvTag.BROADCAST_AREA_SUCCESS, success),
            )
        if reference is not None:
            tlvs.append(smpp.Tlv.integer(smpp.TlvTag.USER_MESSAGE_REFERENCE, reference))
        return one.message_id, tuple(tlvs)

    def state_of(self, one: Broadcast) -> smpp.MessageState:
        """Give a broadcast's message_state."""
        if one.is_cancelled:
            return smpp.MessageState.DELETED
        if self.is_on_air(one):
            return smpp.MessageState.ENROUTE
        return smpp.MessageState.DELIVERED if one.parts else smpp.MessageState.UNDELIVERABLE

    def is_on_air(self, one: Broadcast) -> bool:
        """Tell whether it is repeated anywhere."""
        return any(name in self._network.on_air for name in one.parts)

    def clear(self) -> None:
        """Forget every broadcast, and end those on air."""
        for one in self.known.values():
            self._stop(one)
        self.known.clear()
        self._references.clear()

    def _stop(self, one: Broadcast) -> None:
        for name in one.parts:
            self._network.stop(name)

    def _remember(self, one: Broadcast) -> None:
        self.known[one.message_id] = one
        if len(self.known) > BROADCASTS_MAX:
            self.known.popitem(last=False)

    def _present(self, message_id: str, reference: int | None) -> str | None:
        """Find what is on air by its name, or by the sender's reference."""
        name = message_id or self._references.get(-1 if reference is None else reference, "")
        one = self.known.get(name)
        return name if one is not None and self.is_on_air(one) else None

    def _areas_of(self, pdu: smpp.Pdu) -> list[tuple[bytes, str | None]]:
        named = pdu.tlvs_of(smpp.TlvTag.BROADCAST_AREA_IDENTIFIER)
        rules = self._rules()
        if not 1 <= len(named) <= rules.areas_max:
            most = "one area" if rules.areas_max == 1 else f"{rules.areas_max} areas"
            raise Refusal(
                _S.ESME_RINVNUMBCAST_AREAS, f"this centre takes {most} at a time, not {len(named)}"
            )
        return [
            (octets, None if _alias(octets) in rules.failed_areas else self._area(octets))
            for octets in named
        ]

    def _area(self, octets: bytes) -> str:
        """Give the region that an area identifier names."""
        if not octets or octets[0] != AREA_FORMAT_ALIAS:
            raise Refusal(_S.ESME_RINVBCASTAREAFMT, "this centre knows areas by name only")
        name = _alias(octets)
        if name not in self._areas:
            raise Refusal(_S.ESME_RINVBCASTALIAS_NAME, f"no area is called {name!r}")
        return self._areas[name]

    def _pages(self, pdu: smpp.Pdu, body: smpp.BroadcastSm) -> tuple[bytes, ...]:
        """Make the pages that go on air: those the gateway made, or the text cut here."""
        payload = pdu.tlv(smpp.TlvTag.MESSAGE_PAYLOAD)
        if payload is None:
            raise Refusal(_S.ESME_RMISSINGTLV, "message_payload is missing")
        identifier = _vendor(pdu, self._tags.message_identifier, 2)
        if identifier is None:
            identifier = _identifier(pdu)
        serial = _vendor(pdu, self._tags.serial_number, 2)
        scheme = _vendor(pdu, self._tags.data_coding_scheme, 1)
        try:
            if body.data_coding == DATA_CODING_OCTETS:
                dcs = 0x48 if scheme is None else scheme
                pages = cbs.decode_cb_data(payload)
            else:
                text = smpp_text.decode_text(payload, body.data_coding)
                is_ucs2 = body.data_coding == smpp_text.DATA_CODING_UCS2
                dcs = (0x48 if is_ucs2 else 0x0F) if scheme is None else scheme
                pages = cbs.paginate(text, dcs=dcs)
            if serial is None:
                serial = self._serial()
            return tuple(
                cbs.encode_gsm_page(
                    cbs.GsmPage(
                        serial_number=serial,
                        message_identifier=identifier,
                        dcs=dcs,
                        number=number,
                        total=len(pages),
                        page=page,
                    )
                )
                for number, page in enumerate(pages, start=1)
            )
        except (DecodeError, EncodeError) as error:
            raise Refusal(_S.ESME_RINVTLVVAL, str(error)) from error

    def _serial(self) -> int:
        """Give the next serial number to a sender that names none."""
        self._message_code = (self._message_code + 1) % 1024
        return int(SerialNumber(GeographicalScope.PLMN, self._message_code, 0))


def _identifier(pdu: smpp.Pdu) -> int:
    """Choose a message identifier for a sender that names none, by content type."""
    content = pdu.tlv(smpp.TlvTag.BROADCAST_CONTENT_TYPE) or b"\0\0\0"
    is_emergency = int.from_bytes(content[1:], "big") == EMERGENCY_BROADCASTS
    return 4371 if is_emergency else 4372


def _alias(octets: bytes) -> str:
    return octets[1:].decode("ascii", "replace")


def _period_s(octets: bytes) -> float:
    unit, value = octets[0], int.from_bytes(octets[1:3], "big")
    if unit not in FREQUENCY_UNITS_S:
        raise Refusal(_S.ESME_RINVBCASTFREQINT, f"time unit {unit} is reserved")
    return FREQUENCY_UNITS_S[unit] * value


def ends_at_s(time: str, now_s: float, status: int) -> float | None:
    """Give when an SMPP time is; None when there is none.

    Raises:
        Refusal: it is no time; carries `status`.
    """
    if not time:
        return None
    try:
        when = smpp.parse_time(time)
        if isinstance(when, datetime):
            return when.timestamp()
        return (datetime.fromtimestamp(now_s, UTC) + when).timestamp()
    except (DecodeError, OverflowError) as error:
        raise Refusal(status, str(error)) from error


def seal_of(pdu: smpp.Pdu, tags: VendorTlvs) -> str:
    """Give the seal that comes with an order."""
    return (pdu.tlv(tags.seal) or b"").decode("ascii", "replace")


def integer(pdu: smpp.Pdu, tag: int, default: Any) -> Any:  # noqa: ANN401 - int, or the default
    """Give the number in a TLV."""
    value = pdu.tlv(tag)
    return default if value is None else int.from_bytes(value, "big")


def _vendor(pdu: smpp.Pdu, tag: int, octets: int) -> int | None:
    """Give a vendor TLV's number; its length is looked at first, as nobody else has done."""
    value = pdu.tlv(tag)
    if value is None:
        return None
    if len(value) != octets:
        problem = f"TLV {tag:#06x} has {octets} octets here, not {len(value)}"
        raise Refusal(_S.ESME_RINVTLVLEN, problem)
    return int.from_bytes(value, "big")
