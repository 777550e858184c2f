"""SMPP's protocol data units as values: one dataclass per body, its layout beside it.

The layout is the only description of a body's octets; reading and writing both follow it
(SMPP 5.0 chapter 4).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from cbgateway.codec.smpp_constants import RESPONSE_BIT, CommandId, MessageState, Status
from cbgateway.codec.smpp_fields import (
    ADDRESS_OCTETS_MAX,
    LONG_ADDRESS_OCTETS_MAX,
    Address,
    AddressField,
    CString,
    Field,
    Integer,
    ShortMessageField,
    Time,
)
from cbgateway.codec.smpp_tlv import Tlv


class Body:
    """What stands between the header and the TLVs; each subclass is one command."""

    __slots__ = ()
    COMMAND_ID: ClassVar[CommandId]
    LAYOUT: ClassVar[Mapping[str, Field]] = {}


_SYSTEM_ID = CString(16, Status.ESME_RINVSYSID)
_MESSAGE_ID = CString(65, Status.ESME_RINVMSGID)
_SERVICE_TYPE = CString(6, Status.ESME_RINVSERTYP)
_SOURCE = AddressField(ADDRESS_OCTETS_MAX, Status.ESME_RINVSRCADR)
_DESTINATION = AddressField(ADDRESS_OCTETS_MAX, Status.ESME_RINVDSTADR)
_SCHEDULE = Time(Status.ESME_RINVSCHED)
_VALIDITY = Time(Status.ESME_RINVEXPIRY)
_OCTET = Integer(1)
_SHORT_MESSAGE = ShortMessageField(Status.ESME_RINVMSGLEN)

NO_ADDRESS = Address(0, 0, "")

_BIND: Mapping[str, Field] = {
    "system_id": _SYSTEM_ID,
    "password": CString(9, Status.ESME_RINVPASWD),
    "system_type": CString(13, Status.ESME_RINVSYSTYP),
    "interface_version": _OCTET,
    "addr_ton": _OCTET,
    "addr_npi": _OCTET,
    "address_range": CString(41, Status.ESME_RINVSRCADR),
}
_MESSAGE: Mapping[str, Field] = {
    "service_type": _SERVICE_TYPE,
    "source": _SOURCE,
    "destination": _DESTINATION,
    "esm_class": _OCTET,
    "protocol_id": _OCTET,
    "priority_flag": _OCTET,
    "schedule_delivery_time": _SCHEDULE,
    "validity_period": _VALIDITY,
    "registered_delivery": _OCTET,
    "replace_if_present_flag": _OCTET,
    "data_coding": _OCTET,
    "sm_default_msg_id": _OCTET,
    "short_message": _SHORT_MESSAGE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bind(Body):
    system_id: str = ""
    password: str = field(default="", repr=False)
    system_type: str = ""
    interface_version: int = 0x34
    addr_ton: int = 0
    addr_npi: int = 0
    address_range: str = ""
    LAYOUT: ClassVar[Mapping[str, Field]] = _BIND


class BindReceiver(_Bind):
    """SMPP 5.0 4.1.1.3."""

    __slots__ = ()
    COMMAND_ID = CommandId.BIND_RECEIVER


class BindTransmitter(_Bind):
    """SMPP 5.0 4.1.1.1."""

    __slots__ = ()
    COMMAND_ID = CommandId.BIND_TRANSMITTER


class BindTransceiver(_Bind):
    """SMPP 5.0 4.1.1.5."""

    __slots__ = ()
    COMMAND_ID = CommandId.BIND_TRANSCEIVER


@dataclass(frozen=True, slots=True, kw_only=True)
class _BindResp(Body):
    system_id: str = ""
    LAYOUT: ClassVar[Mapping[str, Field]] = {"system_id": _SYSTEM_ID}


class BindReceiverResp(_BindResp):
    """SMPP 5.0 4.1.1.4."""

    __slots__ = ()
    COMMAND_ID = CommandId.BIND_RECEIVER_RESP


class BindTransmitterResp(_BindResp):
    """SMPP 5.0 4.1.1.2."""

    __slots__ = ()
    COMMAND_ID = CommandId.BIND_TRANSMITTER_RESP


class BindTransceiverResp(_BindResp):
    """SMPP 5.0 4.1.1.6."""

    __slots__ = ()
    COMMAND_ID = CommandId.BIND_TRANSCEIVER_RESP


@dataclass(frozen=True, slots=True, kw_only=True)
class Outbind(Body):
    """SMPP 5.0 4.1.1.7: the message centre asks an ESME to bind."""

    COMMAND_ID = CommandId.OUTBIND
    system_id: str = ""
    password: str = field(default="", repr=False)
    LAYOUT: ClassVar[Mapping[str, Field]] = {
        "system_id": _BIND["system_id"],
        "password": _BIND["password"],
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Message(Body):
    service_type: str = ""
    source: Address = NO_ADDRESS
    destination: Address = NO_ADDRESS
    esm_class: int = 0
    protocol_id: int = 0
    priority_flag: int = 0
    schedule_delivery_time: str = ""
    validity_period: str = ""
    registered_delivery: int = 0
    replace_if_present_flag: int = 0
    data_coding: int = 0
    sm_default_msg_id: int = 0
    short_message: bytes = b""
    LAYOUT: ClassVar[Mapping[str, Field]] = _MESSAGE


class SubmitSm(_Message):
    """SMPP 5.0 4.2.1.1."""

    __slots__ = ()
    COMMAND_ID = CommandId.SUBMIT_SM


class DeliverSm(_Message):
    """SMPP 5.0 4.3.1.1."""

    __slots__ = ()
    COMMAND_ID = CommandId.DELIVER_SM


@dataclass(frozen=True, slots=True, kw_only=True)
class _MessageIdBody(Body):
    message_id: str = ""
    LAYOUT: ClassVar[Mapping[str, Field]] = {"message_id": _MESSAGE_ID}


class SubmitSmResp(_MessageIdBody):
    """SMPP 5.0 4.2.1.2."""

    __slots__ = ()
    COMMAND_ID = CommandId.SUBMIT_SM_RESP


class DeliverSmResp(_MessageIdBody):
    """SMPP 5.0 4.3.1.2; message_id is empty."""

    __slots__ = ()
    COMMAND_ID = CommandId.DELIVER_SM_RESP


class DataSmResp(_MessageIdBody):
    """SMPP 5.0 4.2.2.2."""

    __slots__ = ()
    COMMAND_ID = CommandId.DATA_SM_RESP


class BroadcastSmResp(_MessageIdBody):
    """SMPP 5.0 4.4.1.2."""

    __slots__ = ()
    COMMAND_ID = CommandId.BROADCAST_SM_RESP


class QueryBroadcastSmResp(_MessageIdBody):
    """SMPP 5.0 4.6.1.3; the answer stands in TLVs."""

    __slots__ = ()
    COMMAND_ID = CommandId.QUERY_BROADCAST_SM_RESP


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSm(Body):
    """SMPP 5.0 4.2.2.1; the text stands in message_payload."""

    COMMAND_ID = CommandId.DATA_SM
    service_type: str = ""
    source: Address = NO_ADDRESS
    destination: Address = NO_ADDRESS
    esm_class: int = 0
    registered_delivery: int = 0
    data_coding: int = 0
    LAYOUT: ClassVar[Mapping[str, Field]] = {
        "service_type": _SERVICE_TYPE,
        "source": AddressField(LONG_ADDRESS_OCTETS_MAX, Status.ESME_RINVSRCADR),
        "destination": AddressField(LONG_ADDRESS_OCTETS_MAX, Status.ESME_RINVDSTADR),
        "esm_class": _OCTET,
        "registered_delivery": _OCTET,
        "data_coding": _OCTET,
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class QuerySm(Body):
    """SMPP 5.0 4.5.1.1."""

    COMMAND_ID = CommandId.QUERY_SM
    message_id: str = ""
    source: Address = NO_ADDRESS
    LAYOUT: ClassVar[Mapping[str, Field]] = {"message_id": _MESSAGE_ID, "source": _SOURCE}


@dataclass(frozen=True, slots=True, kw_only=True)
class QuerySmResp(Body):
    """SMPP 5.0 4.5.1.2."""

    COMMAND_ID = CommandId.QUERY_SM_RESP
    message_id: str = ""
    final_date: str = ""
    message_state: int = MessageState.UNKNOWN
    error_code: int = 0
    LAYOUT: ClassVar[Mapping[str, Field]] = {
        "message_id": _MESSAGE_ID,
        "final_date": Time(Status.ESME_RQUERYFAIL),
        "message_state": _OCTET,
        "error_code": _OCTET,
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelSm(Body):
    """SMPP 5.0 4.5.2.1."""

    COMMAND_ID = CommandId.CANCEL_SM
    service_type: str = ""
    message_id: str = ""
    source: Address = NO_ADDRESS
    destination: Address = NO_ADDRESS
    LAYOUT: ClassVar[Mapping[str, Field]] = {
        "service_type": _SERVICE_TYPE,
        "message_id": _MESSAGE_ID,
        "source": _SOURCE,
        "destination": _DESTINATION,
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplaceSm(Body):
    """SMPP 5.0 4.5.3.1."""

    COMMAND_ID = CommandId.REPLACE_SM
    message_id: str = ""
    source: Address = NO_ADDRESS
    schedule_delivery_time: str = ""
    validity_period: str = ""
    registered_delivery: int = 0
    sm_default_msg_id: int = 0
    short_message: bytes = b""
    LAYOUT: ClassVar[Mapping[str, Field]] = {
        "message_id": _MESSAGE_ID,
        "source": _SOURCE,
        "schedule_delivery_time": _SCHEDULE,
        "validity_period": _VALIDITY,
        "registered_delivery": _OCTET,
        "sm_default_msg_id": _OCTET,
        "short_message": _SHORT_MESSAGE,
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertNotification(Body):
    """SMPP 5.0 4.1.3.1; it has no answer."""

    COMMAND_ID = CommandId.ALERT_NOTIFICATION
    source: Address = NO_ADDRESS
    esme: Address = NO_ADDRESS
    LAYOUT: ClassVar[Mapping[str, Field]] = {
        "source": AddressField(LONG_ADDRESS_OCTETS_MAX, Status.ESME_RINVSRCADR),
        "esme": AddressField(LONG_ADDRESS_OCTETS_MAX, Status.ESME_RINVDSTADR),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class BroadcastSm(Body):
    """SMPP 5.0 4.4.1.1; area, content type, repetition and text stand in TLVs."""

    COMMAND_ID = CommandId.BROADCAST_SM
    service_type: str = ""
    source: Address = NO_ADDRESS
    message_id: str = ""
    priority_flag: int = 0
    schedule_delivery_time: str = ""
    validity_period: str = ""
    replace_if_present_flag: int = 0
    data_coding: int = 0
    sm_default_msg_id: int = 0
    LAYOUT: ClassVar[Mapping[str, Field]] = {
        "service_type": _SERVICE_TYPE,
        "source": _SOURCE,
        "message_id": _MESSAGE_ID,
        "priority_flag": _OCTET,
        "schedule_delivery_time": _SCHEDULE,
        "validity_period": _VALIDITY,
        "replace_if_present_flag": _OCTET,
        "data_coding": _OCTET,
        "sm_default_msg_id": _OCTET,
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryBroadcastSm(Body):
    """SMPP 5.0 4.6.1.1."""

    COMMAND_ID = CommandId.QUERY_BROADCAST_SM
    message_id: str = ""
    source: Address = NO_ADDRESS
    LAYOUT: ClassVar[Mapping[str, Field]] = {"message_id": _MESSAGE_ID, "source": _SOURCE}


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelBroadcastSm(Body):
    """SMPP 5.0 4.6.2.1; an empty message_id cancels everything of the source."""

    COMMAND_ID = CommandId.CANCEL_BROADCAST_SM
    service_type: str = ""
    message_id: str = ""
    source: Address = NO_ADDRESS
    LAYOUT: ClassVar[Mapping[str, Field]] = {
        "service_type": _SERVICE_TYPE,
        "message_id": _MESSAGE_ID,
        "source": _SOURCE,
    }


@dataclass(frozen=True, slots=True)
class _Empty(Body):
    pass


class ReplaceSmResp(_Empty):
    """SMPP 5.0 4.5.3.2."""

    __slots__ = ()
    COMMAND_ID = CommandId.REPLACE_SM_RESP


class CancelSmResp(_Empty):
    """SMPP 5.0 4.5.2.2."""

    __slots__ = ()
    COMMAND_ID = CommandId.CANCEL_SM_RESP


class CancelBroadcastSmResp(_Empty):
    """SMPP 5.0 4.6.2.3."""

    __slots__ = ()
    COMMAND_ID = CommandId.CANCEL_BROADCAST_SM_RESP


class EnquireLink(_Empty):
    """SMPP 5.0 4.1.2.1."""

    __slots__ = ()
    COMMAND_ID = CommandId.ENQUIRE_LINK


class EnquireLinkResp(_Empty):
    """SMPP 5.0 4.1.2.2."""

    __slots__ = ()
    COMMAND_ID = CommandId.ENQUIRE_LINK_RESP


class Unbind(_Empty):
    """SMPP 5.0 4.1.1.8."""

    __slots__ = ()
    COMMAND_ID = CommandId.UNBIND


class UnbindResp(_Empty):
    """SMPP 5.0 4.1.1.9."""

    __slots__ = ()
    COMMAND_ID = CommandId.UNBIND_RESP


class GenericNack(_Empty):
    """SMPP 5.0 4.1.4.1."""

    __slots__ = ()
    COMMAND_ID = CommandId.GENERIC_NACK


BODIES: Mapping[int, type[Body]] = {
    body.COMMAND_ID: body
    for body in (
        BindReceiver,
        BindTransmitter,
        BindTransceiver,
        BindReceiverResp,
        BindTransmitterResp,
        BindTransceiverResp,
        Outbind,
        SubmitSm,
        SubmitSmResp,
        DeliverSm,
        DeliverSmResp,
        DataSm,
        DataSmResp,
        QuerySm,
        QuerySmResp,
        CancelSm,
        CancelSmResp,
        ReplaceSm,
        ReplaceSmResp,
        EnquireLink,
        EnquireLinkResp,
        Unbind,
        UnbindResp,
        GenericNack,
        AlertNotification,
        BroadcastSm,
        BroadcastSmResp,
        QueryBroadcastSm,
        QueryBroadcastSmResp,
        CancelBroadcastSm,
        CancelBroadcastSmResp,
    )
}
"""Body by command_id; every `CommandId` is here."""


@dataclass(frozen=True, slots=True)
class Pdu:
    """One protocol data unit.

    Attributes:
        sequence_number: 1 to 0x7FFFFFFF; 0 in a generic_nack for a PDU without one.
        command_status: 0 in requests.
        tlvs: in the order in which they stand.
    """

    body: Body
    sequence_number: int
    command_status: int = Status.ESME_ROK
    tlvs: tuple[Tlv, ...] = ()

    def tlv(self, tag: int) -> bytes | None:
        """Give the value of the first TLV with this tag; None when there is none."""
        return next((tlv.value for tlv in self.tlvs if tlv.tag == tag), None)

    def tlvs_of(self, tag: int) -> tuple[bytes, ...]:
        """Give the values of all TLVs with this tag."""
        return tuple(tlv.value for tlv in self.tlvs if tlv.tag == tag)


def is_response(body: Body) -> bool:
    """Tell whether a PDU answers another one."""
    return bool(body.COMMAND_ID & RESPONSE_BIT)


def name_of(body: Body) -> str:
    """Give a body's command by its specification name, such as ``submit_sm``."""
    return body.COMMAND_ID.name.lower()


def response_to(body: Body) -> Body:
    """Give an empty answer to a request; a generic_nack where it has no answer of its own."""
    return BODIES.get(body.COMMAND_ID | RESPONSE_BIT, GenericNack)()
