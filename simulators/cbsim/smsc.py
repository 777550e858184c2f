"""A message centre that speaks SMPP 3.4 and 5.0, without its socket (SMPP 5.0 chapters 2 and 4).

It checks what it receives as a strict centre would, answers every request, hands short messages
to phones and broadcasts to the radio network. It makes no deliver_sm yet.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from cbgateway.codec import cbs, smpp, smpp_text
from cbgateway.domain.broadcast import GeographicalScope, SerialNumber
from cbgateway.domain.errors import DecodeError, EncodeError
from cbsim.network import Network, OnAir
from cbsim.reader import Part

VERSION_5 = 0x50
AREA_FORMAT_ALIAS = 0
EMERGENCY_BROADCASTS = 0x0001
DATA_CODING_OCTETS = 4
STATUS_QUEUE_MAX = 100_000
"""Messages remembered for query_sm; the oldest are forgotten."""

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


Bind = smpp.BindTransmitter | smpp.BindReceiver | smpp.BindTransceiver
BindResp = smpp.BindTransmitterResp | smpp.BindReceiverResp | smpp.BindTransceiverResp
_BIND_RESPONSES: Mapping[type[Bind], type[BindResp]] = {
    smpp.BindTransmitter: smpp.BindTransmitterResp,
    smpp.BindReceiver: smpp.BindReceiverResp,
    smpp.BindTransceiver: smpp.BindTransceiverResp,
}


@dataclass(frozen=True, slots=True)
class VendorTlvs:
    """Tags under which a gateway sends what SMPP has no field for."""

    seal: int = 0x1500
    message_identifier: int = 0x1501
    serial_number: int = 0x1502
    data_coding_scheme: int = 0x1503


@dataclass(frozen=True, slots=True)
class Account:
    """Who may bind."""

    system_id: str
    password: str


class Refusal(Exception):  # noqa: N818 - an answer, not a fault of ours
    """A request is answered with a status other than ESME_ROK."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class MessageCentre:
    """What all binds of one centre share: accounts, messages, broadcasts, phones."""

    def __init__(
        self,
        name: str,
        network: Network,
        *,
        accounts: tuple[Account, ...],
        areas: Mapping[str, str],
        vendor_tlvs: VendorTlvs,
        now_s: Callable[[], float],
    ) -> None:
        """Make a centre.

        Args:
            name: its system_id.
            network: phones and radio.
            accounts: who may bind; none for everybody.
            areas: names that stand for regions, besides the regions' own codes.
            vendor_tlvs: where seals and serial numbers stand.
            now_s: seconds since the epoch on the simulator's clock.
        """
        self.name = name
        self.network = network
        self.accounts = {account.system_id: account for account in accounts}
        self.now_s = now_s
        self._tags = vendor_tlvs
        regions = {region for phone in network.phones.values() for region in phone.regions}
        self._areas = {region: region for region in regions} | dict(areas)
        self._next_id = 0
        self._states: dict[str, int] = {}
        self._message_code = 0
        self._references: dict[int, str] = {}  # sixteen bits: never more than 65,536

    def check_account(self, system_id: str, password: str) -> None:
        """Refuse who may not bind."""
        if not self.accounts:
            return
        account = self.accounts.get(system_id)
        if account is None:
            raise Refusal(smpp.Status.ESME_RINVSYSID, f"nobody is called {system_id!r}")
        if account.password != password:
            raise Refusal(smpp.Status.ESME_RINVPASWD, "wrong password")

    def submit(self, pdu: smpp.Pdu, body: smpp.SubmitSm | smpp.DataSm) -> str:
        """Take a short message; gives its message_id."""
        payload = pdu.tlv(smpp.TlvTag.MESSAGE_PAYLOAD)
        octets = body.short_message if isinstance(body, smpp.SubmitSm) else b""
        if payload is not None:
            octets = payload
        source, seal = body.source.address, self._seal(pdu)
        delivered = self.network.deliver_sms(
            body.destination.address,
            octets,
            source=source,
            data_coding=body.data_coding,
            esm_class=body.esm_class,
            sar=_sar(pdu),
            seal=seal,
            now_s=self.now_s(),
        )
        state = smpp.MessageState.DELIVERED if delivered else smpp.MessageState.UNDELIVERABLE
        return self._remember(state)

    def query(self, message_id: str) -> int:
        """Give a message's state."""
        if message_id not in self._states:
            raise Refusal(smpp.Status.ESME_RQUERYFAIL, f"no message {message_id!r}")
        return self._states[message_id]

    def broadcast(self, pdu: smpp.Pdu, body: smpp.BroadcastSm) -> str:
        """Put a broadcast on air; gives its message_id.

        A message_id that is to be replaced has to be there; with a user_message_reference alone,
        what is there is replaced, and what is not begins (SMPP 5.0 4.4.1.1).
        """
        reference = _integer(pdu, smpp.TlvTag.USER_MESSAGE_REFERENCE, None)
        present = self._present(body.message_id, reference)
        if body.replace_if_present_flag and (bool(body.message_id) == (reference is not None)):
            raise Refusal(
                smpp.Status.ESME_RINVMSGID,
                "a replacement is named by message_id or by user_message_reference, not by both",
            )
        if body.replace_if_present_flag and body.message_id and present is None:
            raise Refusal(smpp.Status.ESME_RINVMSGID, f"no broadcast {body.message_id!r} on air")
        areas = [
            self._area(octets) for octets in pdu.tlvs_of(smpp.TlvTag.BROADCAST_AREA_IDENTIFIER)
        ]
        if len(areas) != 1:
            raise Refusal(
                smpp.Status.ESME_RINVNUMBCAST_AREAS, "this centre takes one area at a time"
            )
        replaced = present if body.replace_if_present_flag else None
        name = replaced or self._remember(smpp.MessageState.ENROUTE)
        self.network.broadcast(
            OnAir(
                name=name,
                pages=self._pages(pdu, body),
                area=areas[0],
                period_s=_period_s(pdu.tlv(smpp.TlvTag.BROADCAST_FREQUENCY_INTERVAL) or b"\0\0\0"),
                transmissions=_integer(pdu, smpp.TlvTag.BROADCAST_REP_NUM, 1),
                ends_at_s=_ends_at_s(body.validity_period, self.now_s()),
                seal=self._seal(pdu),
            ),
            now_s=self.now_s(),
        )
        if reference is not None:
            self._references[reference] = name
        return name

    def cancel_broadcast(self, message_id: str, reference: int | None) -> str:
        """Take a broadcast off the air; gives its message_id."""
        name = self._present(message_id, reference)
        if name is None or not self.network.stop(name):
            raise Refusal(
                smpp.Status.ESME_RBCASTCANCELFAIL,
                f"no broadcast {message_id or reference!r} on air",
            )
        return name

    def _present(self, message_id: str, reference: int | None) -> str | None:
        """Find what is on air by its name, or by the sender's reference."""
        name = message_id or self._references.get(-1 if reference is None else reference, "")
        return name if name in self.network.on_air else None

    def _remember(self, state: int) -> str:
        self._next_id += 1
        message_id = f"{self._next_id:08x}"
        self._states[message_id] = state
        if len(self._states) > STATUS_QUEUE_MAX:
            del self._states[next(iter(self._states))]
        return message_id

    def _seal(self, pdu: smpp.Pdu) -> str:
        return (pdu.tlv(self._tags.seal) or b"").decode("ascii", "replace")

    def _pages(self, pdu: smpp.Pdu, body: smpp.BroadcastSm) -> tuple[bytes, ...]:
        """Make the pages that go on air: those the gateway made, or the text cut here."""
        payload = pdu.tlv(smpp.TlvTag.MESSAGE_PAYLOAD)
        if payload is None:
            raise Refusal(smpp.Status.ESME_RMISSINGTLV, "message_payload is missing")
        identifier = _vendor(pdu, self._tags.message_identifier, 2)
        if identifier is None:
            identifier = self._identifier(pdu)
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
            return tuple(
                cbs.encode_gsm_page(
                    cbs.GsmPage(
                        serial_number=self._serial() if serial is None else serial,
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
            raise Refusal(smpp.Status.ESME_RINVTLVVAL, str(error)) from error

    def _area(self, octets: bytes) -> str:
        """Give the region that an area identifier names."""
        if not octets or octets[0] != AREA_FORMAT_ALIAS:
            raise Refusal(smpp.Status.ESME_RINVBCASTAREAFMT, "this centre knows areas by name only")
        name = octets[1:].decode("ascii", "replace")
        if name not in self._areas:
            raise Refusal(smpp.Status.ESME_RINVBCASTALIAS_NAME, f"no area is called {name!r}")
        return self._areas[name]

    def _identifier(self, pdu: smpp.Pdu) -> int:
        """Choose a message identifier for a sender that names none, by content type."""
        content = pdu.tlv(smpp.TlvTag.BROADCAST_CONTENT_TYPE) or b"\0\0\0"
        is_emergency = int.from_bytes(content[1:], "big") == EMERGENCY_BROADCASTS
        return 4371 if is_emergency else 4372

    def _serial(self) -> int:
        """Give the next serial number to a sender that names none."""
        self._message_code = (self._message_code + 1) % 1024
        return int(SerialNumber(GeographicalScope.PLMN, self._message_code, 0))


class SmscSession:
    """The centre's side of one SMPP session: octets in, octets and log lines out."""

    def __init__(self, centre: MessageCentre, on_event: Callable[[dict[str, Any]], None]) -> None:
        """Make a session for a connection that was just accepted.

        Args:
            centre: shared by all sessions.
            on_event: called with each thing a tester wants to know.
        """
        self._centre = centre
        self._on_event = on_event
        self._framer = smpp.Framer()
        self._out: list[bytes] = []
        self._bound: smpp.Body | None = None
        self.is_closed = False

    def receive(self, octets: bytes) -> None:
        """Take octets from the ESME."""
        for item in self._framer.receive(octets):
            if self.is_closed:
                return
            if isinstance(item, smpp.Unparsed):
                self._on_unparsed(item)
            else:
                self._on_pdu(item)

    def outgoing(self) -> bytes:
        """Give the octets to send now, each once."""
        octets = b"".join(self._out)
        self._out.clear()
        return octets

    def _on_unparsed(self, item: smpp.Unparsed) -> None:
        """Answer what cannot be read, and say in which octet the ESME is wrong."""
        self._on_event({"event": "wrong", "detail": str(item.error)})
        self._out.append(smpp.encode(item.refusal()))
        if item.error.framing_lost:
            self.is_closed = True

    def _on_pdu(self, pdu: smpp.Pdu) -> None:
        if smpp.is_response(pdu.body):
            return
        try:
            self._send(self._answer(pdu), pdu.sequence_number)
        except Refusal as refusal:
            self._on_event(
                {
                    "event": "refused",
                    "pdu": smpp.name_of(pdu.body),
                    "status": smpp.status_name(refusal.status),
                    "detail": str(refusal),
                }
            )
            self._send(smpp.response_to(pdu.body), pdu.sequence_number, refusal.status)

    def _answer(self, pdu: smpp.Pdu) -> smpp.Body:
        """Carry out a request and give the body of its answer."""
        match pdu.body:
            case smpp.EnquireLink():
                return smpp.EnquireLinkResp()
            case smpp.BindTransmitter() | smpp.BindReceiver() | smpp.BindTransceiver() as body:
                return self._bind(body)
            case smpp.BroadcastSm() | smpp.CancelBroadcastSm():
                return self._answer_broadcast(pdu)
            case _:
                return self._answer_message(pdu)

    def _answer_message(self, pdu: smpp.Pdu) -> smpp.Body:
        self._require_bound(pdu.body)
        match pdu.body:
            case smpp.Unbind():
                self.is_closed = True
                return smpp.UnbindResp()
            case smpp.SubmitSm() as body:
                return smpp.SubmitSmResp(message_id=self._centre.submit(pdu, body))
            case smpp.DataSm() as body:
                return smpp.DataSmResp(message_id=self._centre.submit(pdu, body))
            case smpp.QuerySm(message_id=message_id):
                state = self._centre.query(message_id)
                return smpp.QuerySmResp(message_id=message_id, message_state=state)
            case other:
                raise Refusal(smpp.Status.ESME_RINVCMDID, f"{smpp.name_of(other)} is not simulated")

    def _answer_broadcast(self, pdu: smpp.Pdu) -> smpp.Body:
        self._require_bound(pdu.body)
        if getattr(self._bound, "interface_version", 0) < VERSION_5:
            raise Refusal(smpp.Status.ESME_RINVCMDID, "version 3.4 has no broadcasts")
        match pdu.body:
            case smpp.BroadcastSm() as body:
                _check_mandatory(pdu)
                name = self._centre.broadcast(pdu, body)
                self._on_event({"event": "on_air", "message_id": name})
                return smpp.BroadcastSmResp(message_id=name)
            case smpp.CancelBroadcastSm(message_id=message_id):
                reference = _integer(pdu, smpp.TlvTag.USER_MESSAGE_REFERENCE, None)
                name = self._centre.cancel_broadcast(message_id, reference)
                self._on_event({"event": "off_air", "message_id": name})
                return smpp.CancelBroadcastSmResp()
            case other:
                raise Refusal(smpp.Status.ESME_RINVCMDID, f"{smpp.name_of(other)} is not simulated")

    def _bind(self, body: Bind) -> BindResp:
        if self._bound is not None:
            raise Refusal(smpp.Status.ESME_RALYBND, "bound already")
        self._centre.check_account(body.system_id, body.password)
        self._bound = body
        self._on_event(
            {
                "event": "bound",
                "system_id": body.system_id,
                "as": smpp.name_of(body),
                "version": f"{body.interface_version:#04x}",
            }
        )
        return _BIND_RESPONSES[type(body)](system_id=self._centre.name)

    def _require_bound(self, body: smpp.Body) -> None:
        """Refuse what needs a bind, or one that may send."""
        if self._bound is None:
            raise Refusal(smpp.Status.ESME_RINVBNDSTS, "not bound")
        if isinstance(self._bound, smpp.BindReceiver) and not isinstance(body, smpp.Unbind):
            raise Refusal(smpp.Status.ESME_RINVBNDSTS, "bound as a receiver")

    def _send(self, body: smpp.Body, number: int, status: int = smpp.Status.ESME_ROK) -> None:
        tlvs: tuple[smpp.Tlv, ...] = ()
        if type(body) in _BIND_RESPONSES.values() and status == smpp.Status.ESME_ROK:
            tlvs = (smpp.Tlv.integer(smpp.TlvTag.SC_INTERFACE_VERSION, VERSION_5),)
        pdu = smpp.Pdu(body, sequence_number=number, command_status=status, tlvs=tlvs)
        self._out.append(smpp.encode(pdu))


def _check_mandatory(pdu: smpp.Pdu) -> None:
    try:
        smpp.check_mandatory_tlvs(pdu)
    except smpp.PduError as error:
        raise Refusal(error.command_status, str(error)) from error


def _period_s(octets: bytes) -> float:
    unit, value = octets[0], int.from_bytes(octets[1:3], "big")
    if unit not in FREQUENCY_UNITS_S:
        raise Refusal(smpp.Status.ESME_RINVBCASTFREQINT, f"time unit {unit} is reserved")
    return FREQUENCY_UNITS_S[unit] * value


def _ends_at_s(validity_period: str, now_s: float) -> float | None:
    if not validity_period:
        return None
    try:
        when = smpp.parse_time(validity_period)
    except DecodeError as error:
        raise Refusal(smpp.Status.ESME_RINVEXPIRY, str(error)) from error
    if isinstance(when, datetime):
        return when.timestamp()
    return (datetime.fromtimestamp(now_s, UTC) + when).timestamp()


def _sar(pdu: smpp.Pdu) -> Part | None:
    """Give which part a message is by its sar TLVs (SMPP 5.0 4.8.4.54)."""
    total = _integer(pdu, smpp.TlvTag.SAR_TOTAL_SEGMENTS, 0)
    if total <= 1:
        return None
    return Part(
        reference=_integer(pdu, smpp.TlvTag.SAR_MSG_REF_NUM, 0),
        number=_integer(pdu, smpp.TlvTag.SAR_SEGMENT_SEQNUM, 0),
        total=total,
    )


def _integer(pdu: smpp.Pdu, tag: int, default: Any) -> Any:  # noqa: ANN401 - int, or the default
    value = pdu.tlv(tag)
    return default if value is None else int.from_bytes(value, "big")


def _vendor(pdu: smpp.Pdu, tag: int, octets: int) -> int | None:
    """Give a vendor TLV's number; its length is looked at first, as nobody else has done."""
    value = pdu.tlv(tag)
    if value is None:
        return None
    if len(value) != octets:
        problem = f"TLV {tag:#06x} has {octets} octets here, not {len(value)}"
        raise Refusal(smpp.Status.ESME_RINVTLVLEN, problem)
    return int.from_bytes(value, "big")
