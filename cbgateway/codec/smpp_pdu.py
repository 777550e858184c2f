"""SMPP's protocol data units as values: one dataclass per body, its layout beside it.

The layout is the only description of a body's octets; reading and writing both follow it
(SMPP 5.0 chapter 4).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import ClassVar

from smpplib import command_codes, consts

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

RESPONSE_BIT = 0x80000000
_COMMANDS = command_codes.commands


class CommandId(IntEnum):
    """Commands by their specification names; SMPP 3.4's come from smpplib's table."""

    GENERIC_NACK = _COMMANDS["generic_nack"]
    BIND_RECEIVER = _COMMANDS["bind_receiver"]
    BIND_RECEIVER_RESP = _COMMANDS["bind_receiver_resp"]
    BIND_TRANSMITTER = _COMMANDS["bind_transmitter"]
    BIND_TRANSMITTER_RESP = _COMMANDS["bind_transmitter_resp"]
    QUERY_SM = _COMMANDS["query_sm"]
    QUERY_SM_RESP = _COMMANDS["query_sm_resp"]
    SUBMIT_SM = _COMMANDS["submit_sm"]
    SUBMIT_SM_RESP = _COMMANDS["submit_sm_resp"]
    DELIVER_SM = _COMMANDS["deliver_sm"]
    DELIVER_SM_RESP = _COMMANDS["deliver_sm_resp"]
    UNBIND = _COMMANDS["unbind"]
    UNBIND_RESP = _COMMANDS["unbind_resp"]
    REPLACE_SM = _COMMANDS["replace_sm"]
    REPLACE_SM_RESP = _COMMANDS["replace_sm_resp"]
    CANCEL_SM = _COMMANDS["cancel_sm"]
    CANCEL_SM_RESP = _COMMANDS["cancel_sm_resp"]
    BIND_TRANSCEIVER = _COMMANDS["bind_transceiver"]
    BIND_TRANSCEIVER_RESP = _COMMANDS["bind_transceiver_resp"]
    OUTBIND = _COMMANDS["outbind"]
    ENQUIRE_LINK = _COMMANDS["enquire_link"]
    ENQUIRE_LINK_RESP = _COMMANDS["enquire_link_resp"]
    ALERT_NOTIFICATION = _COMMANDS["alert_notification"]
    DATA_SM = _COMMANDS["data_sm"]
    DATA_SM_RESP = _COMMANDS["data_sm_resp"]
    BROADCAST_SM = 0x00000111
    BROADCAST_SM_RESP = 0x80000111
    QUERY_BROADCAST_SM = 0x00000112
    QUERY_BROADCAST_SM_RESP = 0x80000112
    CANCEL_BROADCAST_SM = 0x00000113
    CANCEL_BROADCAST_SM_RESP = 0x80000113


class Status(IntEnum):
    """command_status values; SMPP 3.4's come from smpplib's table, by SMPP 5.0's names."""

    ESME_ROK = consts.SMPP_ESME_ROK
    ESME_RINVMSGLEN = consts.SMPP_ESME_RINVMSGLEN
    ESME_RINVCMDLEN = consts.SMPP_ESME_RINVCMDLEN
    ESME_RINVCMDID = consts.SMPP_ESME_RINVCMDID
    ESME_RINVBNDSTS = consts.SMPP_ESME_RINVBNDSTS
    ESME_RALYBND = consts.SMPP_ESME_RALYBND
    ESME_RINVPRTFLG = consts.SMPP_ESME_RINVPRTFLG
    ESME_RINVREGDLVFLG = consts.SMPP_ESME_RINVREGDLVFLG
    ESME_RSYSERR = consts.SMPP_ESME_RSYSERR
    ESME_RINVSRCADR = consts.SMPP_ESME_RINVSRCADR
    ESME_RINVDSTADR = consts.SMPP_ESME_RINVDSTADR
    ESME_RINVMSGID = consts.SMPP_ESME_RINVMSGID
    ESME_RBINDFAIL = consts.SMPP_ESME_RBINDFAIL
    ESME_RINVPASWD = consts.SMPP_ESME_RINVPASWD
    ESME_RINVSYSID = consts.SMPP_ESME_RINVSYSID
    ESME_RCANCELFAIL = consts.SMPP_ESME_RCANCELFAIL
    ESME_RREPLACEFAIL = consts.SMPP_ESME_RREPLACEFAIL
    ESME_RMSGQFUL = consts.SMPP_ESME_RMSGQFUL
    ESME_RINVSERTYP = consts.SMPP_ESME_RINVSERTYP
    ESME_RINVNUMDESTS = consts.SMPP_ESME_RINVNUMDESTS
    ESME_RINVDLNAME = consts.SMPP_ESME_RINVDLNAME
    ESME_RINVDESTFLAG = consts.SMPP_ESME_RINVDESTFLAG
    ESME_RINVSUBREP = consts.SMPP_ESME_RINVSUBREP
    ESME_RINVESMCLASS = consts.SMPP_ESME_RINVESMCLASS
    ESME_RCNTSUBDL = consts.SMPP_ESME_RCNTSUBDL
    ESME_RSUBMITFAIL = consts.SMPP_ESME_RSUBMITFAIL
    ESME_RINVSRCTON = consts.SMPP_ESME_RINVSRCTON
    ESME_RINVSRCNPI = consts.SMPP_ESME_RINVSRCNPI
    ESME_RINVDSTTON = consts.SMPP_ESME_RINVDSTTON
    ESME_RINVDSTNPI = consts.SMPP_ESME_RINVDSTNPI
    ESME_RINVSYSTYP = consts.SMPP_ESME_RINVSYSTYP
    ESME_RINVREPFLAG = consts.SMPP_ESME_RINVREPFLAG
    ESME_RINVNUMMSGS = consts.SMPP_ESME_RINVNUMMSGS
    ESME_RTHROTTLED = consts.SMPP_ESME_RTHROTTLED
    ESME_RINVSCHED = consts.SMPP_ESME_RINVSCHED
    ESME_RINVEXPIRY = consts.SMPP_ESME_RINVEXPIRY
    ESME_RINVDFTMSGID = consts.SMPP_ESME_RINVDFTMSGID
    ESME_RX_T_APPN = consts.SMPP_ESME_RX_T_APPN
    ESME_RX_P_APPN = consts.SMPP_ESME_RX_P_APPN
    ESME_RX_R_APPN = consts.SMPP_ESME_RX_R_APPN
    ESME_RQUERYFAIL = consts.SMPP_ESME_RQUERYFAIL
    ESME_RINVTLVSTREAM = consts.SMPP_ESME_RINVOPTPARSTREAM
    ESME_RTLVNOTALLWD = consts.SMPP_ESME_ROPTPARNOTALLWD
    ESME_RINVTLVLEN = consts.SMPP_ESME_RINVPARLEN
    ESME_RMISSINGTLV = consts.SMPP_ESME_RMISSINGOPTPARAM
    ESME_RINVTLVVAL = consts.SMPP_ESME_RINVOPTPARAMVAL
    ESME_RDELIVERYFAILURE = consts.SMPP_ESME_RDELIVERYFAILURE
    ESME_RUNKNOWNERR = consts.SMPP_ESME_RUNKNOWNERR
    ESME_RSERTYPUNAUTH = 0x100
    ESME_RPROHIBITED = 0x101
    ESME_RSERTYPUNAVAIL = 0x102
    ESME_RSERTYPDENIED = 0x103
    ESME_RINVDCS = 0x104
    ESME_RINVSRCADDRSUBUNIT = 0x105
    ESME_RINVDSTADDRSUBUNIT = 0x106
    ESME_RINVBCASTFREQINT = 0x107
    ESME_RINVBCASTALIAS_NAME = 0x108
    ESME_RINVBCASTAREAFMT = 0x109
    ESME_RINVNUMBCAST_AREAS = 0x10A
    ESME_RINVBCASTCNTTYPE = 0x10B
    ESME_RINVBCASTMSGCLASS = 0x10C
    ESME_RBCASTFAIL = 0x10D
    ESME_RBCASTQUERYFAIL = 0x10E
    ESME_RBCASTCANCELFAIL = 0x10F
    ESME_RINVBCAST_REP = 0x110
    ESME_RINVBCASTSRVGRP = 0x111
    ESME_RINVBCASTCHANIND = 0x112


RETRYABLE = frozenset(
    {
        Status.ESME_RSYSERR,
        Status.ESME_RMSGQFUL,
        Status.ESME_RTHROTTLED,
        Status.ESME_RX_T_APPN,
    }
)
"""Refusals after which the same request may succeed later."""


class MessageState(IntEnum):
    """message_state values (SMPP 5.0 4.7.15)."""

    SCHEDULED = 0
    ENROUTE = 1
    DELIVERED = 2
    EXPIRED = 3
    DELETED = 4
    UNDELIVERABLE = 5
    ACCEPTED = 6
    UNKNOWN = 7
    REJECTED = 8
    SKIPPED = 9


def status_name(status: int) -> str:
    """Give a status's specification name; one that has none by its number."""
    try:
        return Status(status).name
    except ValueError:
        return f"{status:#010x}"


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
