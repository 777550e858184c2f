"""SMPP's optional parameters: tags, lengths, and how values are read (SMPP 5.0 4.8)."""

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Self

from smpplib import consts

from cbgateway.domain.errors import EncodeError

_KNOWN = consts.OPTIONAL_PARAMS
VENDOR_TAG_MIN = 0x1400
VENDOR_TAG_MAX = 0x3FFF
LENGTH_MAX = 0xFFFF


class TlvTag(IntEnum):
    """Tags by their specification names; SMPP 3.4's come from smpplib's table."""

    DEST_ADDR_SUBUNIT = _KNOWN["dest_addr_subunit"]
    DEST_NETWORK_TYPE = 0x0006
    DEST_BEARER_TYPE = 0x0007
    DEST_TELEMATICS_ID = 0x0008
    SOURCE_ADDR_SUBUNIT = _KNOWN["source_addr_subunit"]
    SOURCE_NETWORK_TYPE = 0x000E
    SOURCE_BEARER_TYPE = 0x000F
    SOURCE_TELEMATICS_ID = 0x0010
    QOS_TIME_TO_LIVE = 0x0017
    PAYLOAD_TYPE = _KNOWN["payload_type"]
    ADDITIONAL_STATUS_INFO_TEXT = 0x001D
    RECEIPTED_MESSAGE_ID = _KNOWN["receipted_message_id"]
    MS_MSG_WAIT_FACILITIES = _KNOWN["ms_msg_wait_facilities"]
    PRIVACY_INDICATOR = _KNOWN["privacy_indicator"]
    SOURCE_SUBADDRESS = _KNOWN["source_subaddress"]
    DEST_SUBADDRESS = _KNOWN["dest_subaddress"]
    USER_MESSAGE_REFERENCE = _KNOWN["user_message_reference"]
    USER_RESPONSE_CODE = _KNOWN["user_response_code"]
    SOURCE_PORT = _KNOWN["source_port"]
    DESTINATION_PORT = 0x020B
    SAR_MSG_REF_NUM = _KNOWN["sar_msg_ref_num"]
    LANGUAGE_INDICATOR = _KNOWN["language_indicator"]
    SAR_TOTAL_SEGMENTS = _KNOWN["sar_total_segments"]
    SAR_SEGMENT_SEQNUM = _KNOWN["sar_segment_seqnum"]
    SC_INTERFACE_VERSION = _KNOWN["sc_interface_version"]
    CALLBACK_NUM_PRES_IND = 0x0302
    CALLBACK_NUM_ATAG = 0x0303
    NUMBER_OF_MESSAGES = 0x0304
    CALLBACK_NUM = _KNOWN["callback_num"]
    DPF_RESULT = 0x0420
    SET_DPF = 0x0421
    MS_AVAILABILITY_STATUS = _KNOWN["ms_availability_status"]
    NETWORK_ERROR_CODE = _KNOWN["network_error_code"]
    MESSAGE_PAYLOAD = _KNOWN["message_payload"]
    DELIVERY_FAILURE_REASON = 0x0425
    MORE_MESSAGES_TO_SEND = _KNOWN["more_messages_to_send"]
    MESSAGE_STATE = _KNOWN["message_state"]
    CONGESTION_STATE = 0x0428
    USSD_SERVICE_OP = _KNOWN["ussd_service_op"]
    BROADCAST_CHANNEL_INDICATOR = 0x0600
    BROADCAST_CONTENT_TYPE = 0x0601
    BROADCAST_CONTENT_TYPE_INFO = 0x0602
    BROADCAST_MESSAGE_CLASS = 0x0603
    BROADCAST_REP_NUM = 0x0604
    BROADCAST_FREQUENCY_INTERVAL = 0x0605
    BROADCAST_AREA_IDENTIFIER = 0x0606
    BROADCAST_ERROR_STATUS = 0x0607
    BROADCAST_AREA_SUCCESS = 0x0608
    BROADCAST_END_TIME = 0x0609
    BROADCAST_SERVICE_GROUP = 0x060A
    BILLING_IDENTIFICATION = 0x060B
    SOURCE_NETWORK_ID = 0x060D
    DEST_NETWORK_ID = 0x060E
    SOURCE_NODE_ID = 0x060F
    DEST_NODE_ID = 0x0610
    DEST_ADDR_NP_RESOLUTION = 0x0611
    DEST_ADDR_NP_INFORMATION = 0x0612
    DEST_ADDR_NP_COUNTRY = 0x0613
    DISPLAY_TIME = _KNOWN["display_time"]
    SMS_SIGNAL = _KNOWN["sms_signal"]
    MS_VALIDITY = _KNOWN["ms_validity"]
    ALERT_ON_MESSAGE_DELIVERY = _KNOWN["alert_on_message_delivery"]
    ITS_REPLY_TYPE = _KNOWN["its_reply_type"]
    ITS_SESSION_INFO = _KNOWN["its_session_info"]


class Kind(StrEnum):
    """How a value is read."""

    INTEGER = "integer"
    C_STRING = "C-octet string"
    OCTETS = "octet string"


@dataclass(frozen=True, slots=True)
class Rule:
    """What a tag's value may look like; lengths in octets, the final NUL of a string included."""

    kind: Kind
    length_min: int
    length_max: int
    is_list: bool = False


def _integer(length: int, *, length_min: int | None = None) -> Rule:
    return Rule(Kind.INTEGER, length if length_min is None else length_min, length)


def _octets(length_min: int, length_max: int) -> Rule:
    return Rule(Kind.OCTETS, length_min, length_max)


def _string(length_max: int) -> Rule:
    return Rule(Kind.C_STRING, 1, length_max)


_T = TlvTag
RULES: dict[int, Rule] = {
    _T.DEST_ADDR_SUBUNIT: _integer(1),
    _T.DEST_NETWORK_TYPE: _integer(1),
    _T.DEST_BEARER_TYPE: _integer(1),
    _T.DEST_TELEMATICS_ID: _integer(2),
    _T.SOURCE_ADDR_SUBUNIT: _integer(1),
    _T.SOURCE_NETWORK_TYPE: _integer(1),
    _T.SOURCE_BEARER_TYPE: _integer(1),
    _T.SOURCE_TELEMATICS_ID: _integer(1),
    _T.QOS_TIME_TO_LIVE: _integer(4),
    _T.PAYLOAD_TYPE: _integer(1),
    _T.ADDITIONAL_STATUS_INFO_TEXT: _string(256),
    _T.RECEIPTED_MESSAGE_ID: _string(65),
    _T.MS_MSG_WAIT_FACILITIES: _integer(1),
    _T.PRIVACY_INDICATOR: _integer(1),
    _T.SOURCE_SUBADDRESS: _octets(2, 23),
    _T.DEST_SUBADDRESS: _octets(2, 23),
    _T.USER_MESSAGE_REFERENCE: _integer(2),
    _T.USER_RESPONSE_CODE: _integer(1),
    _T.SOURCE_PORT: _integer(2),
    _T.DESTINATION_PORT: _integer(2),
    _T.SAR_MSG_REF_NUM: _integer(2),
    _T.LANGUAGE_INDICATOR: _integer(1),
    _T.SAR_TOTAL_SEGMENTS: _integer(1),
    _T.SAR_SEGMENT_SEQNUM: _integer(1),
    _T.SC_INTERFACE_VERSION: _integer(1),
    _T.CALLBACK_NUM_PRES_IND: Rule(Kind.INTEGER, 1, 1, is_list=True),
    _T.CALLBACK_NUM_ATAG: Rule(Kind.OCTETS, 0, 65, is_list=True),
    _T.NUMBER_OF_MESSAGES: _integer(1),
    _T.CALLBACK_NUM: Rule(Kind.OCTETS, 4, 19, is_list=True),
    _T.DPF_RESULT: _integer(1),
    _T.SET_DPF: _integer(1),
    _T.MS_AVAILABILITY_STATUS: _integer(1),
    _T.NETWORK_ERROR_CODE: _octets(3, 3),
    _T.MESSAGE_PAYLOAD: _octets(0, LENGTH_MAX),
    _T.DELIVERY_FAILURE_REASON: _integer(1),
    _T.MORE_MESSAGES_TO_SEND: _integer(1),
    _T.MESSAGE_STATE: _integer(1),
    _T.CONGESTION_STATE: _integer(1),
    _T.USSD_SERVICE_OP: _integer(1),
    _T.BROADCAST_CHANNEL_INDICATOR: _integer(1),
    _T.BROADCAST_CONTENT_TYPE: _octets(3, 3),
    _T.BROADCAST_CONTENT_TYPE_INFO: _octets(0, 255),
    _T.BROADCAST_MESSAGE_CLASS: _integer(1),
    # Sent as 2 octets; some peers send 1 (SMPP 5.0 4.8.4.12 has an integer of 2).
    _T.BROADCAST_REP_NUM: _integer(2, length_min=1),
    _T.BROADCAST_FREQUENCY_INTERVAL: _octets(3, 3),
    _T.BROADCAST_AREA_IDENTIFIER: Rule(Kind.OCTETS, 1, 101, is_list=True),
    _T.BROADCAST_ERROR_STATUS: Rule(Kind.INTEGER, 4, 4, is_list=True),
    _T.BROADCAST_AREA_SUCCESS: Rule(Kind.INTEGER, 1, 1, is_list=True),
    _T.BROADCAST_END_TIME: Rule(Kind.C_STRING, 16, 17),
    _T.BROADCAST_SERVICE_GROUP: _octets(1, 255),
    _T.BILLING_IDENTIFICATION: _octets(1, 1024),
    _T.SOURCE_NETWORK_ID: Rule(Kind.C_STRING, 1, 65),
    _T.DEST_NETWORK_ID: Rule(Kind.C_STRING, 1, 65),
    _T.SOURCE_NODE_ID: _octets(6, 6),
    _T.DEST_NODE_ID: _octets(6, 6),
    _T.DEST_ADDR_NP_RESOLUTION: _integer(1),
    _T.DEST_ADDR_NP_INFORMATION: _octets(10, 10),
    _T.DEST_ADDR_NP_COUNTRY: _octets(1, 5),
    _T.DISPLAY_TIME: _integer(1),
    _T.SMS_SIGNAL: _integer(2),
    _T.MS_VALIDITY: _octets(1, 4),
    _T.ALERT_ON_MESSAGE_DELIVERY: _integer(1, length_min=0),
    _T.ITS_REPLY_TYPE: _integer(1),
    _T.ITS_SESSION_INFO: _octets(2, 2),
}
"""Every tag that has a specification name; all others are kept as they come."""


@dataclass(frozen=True, slots=True)
class Tlv:
    """One optional parameter.

    Attributes:
        tag: 0 to 65535; one of `TlvTag`, or anybody's.
        value: its octets, 65535 at most.
    """

    tag: int
    value: bytes

    @classmethod
    def integer(cls, tag: int, value: int) -> Self:
        """Make a TLV that holds a number, in the tag's full length.

        Raises:
            EncodeError: the tag holds no number, or the number does not fit.
        """
        rule = RULES.get(tag)
        if rule is None or rule.kind is not Kind.INTEGER:
            problem = "holds no number"
            raise EncodeError(problem, field=tag_name(tag), clause="SMPP 5.0 4.8.4")
        if not 0 <= value < 1 << 8 * rule.length_max:
            problem = f"{value} does not fit {rule.length_max} octets"
            raise EncodeError(problem, field=tag_name(tag), clause="SMPP 5.0 4.8.4")
        return cls(tag, value.to_bytes(rule.length_max, "big"))

    @classmethod
    def string(cls, tag: int, value: str) -> Self:
        """Make a TLV that holds a string, with its final NUL.

        Raises:
            EncodeError: a character that is not ASCII, or NUL.
        """
        if not value.isascii() or "\0" in value:
            problem = "holds ASCII without NUL"
            raise EncodeError(problem, field=tag_name(tag), clause="SMPP 5.0 4.8.4")
        return cls(tag, value.encode("ascii") + b"\0")

    @property
    def name(self) -> str:
        """The tag's specification name, or the tag in hexadecimal."""
        return tag_name(self.tag)


def tag_name(tag: int) -> str:
    """Give a tag's specification name; one that has none is named by its number."""
    try:
        return TlvTag(tag).name.lower()
    except ValueError:
        kind = "vendor" if VENDOR_TAG_MIN <= tag <= VENDOR_TAG_MAX else "unknown"
        return f"{kind}_{tag:04x}"


def tlv_value(tlv: Tlv) -> int | str | bytes:
    """Read a value the way its tag says: a number, a string without its NUL, or octets."""
    rule = RULES.get(tlv.tag)
    match rule.kind if rule else Kind.OCTETS:
        case Kind.INTEGER:
            return int.from_bytes(tlv.value, "big")
        case Kind.C_STRING:
            return tlv.value.partition(b"\0")[0].decode("ascii", "replace")
        case _:
            return tlv.value


def problem_of(tlv: Tlv) -> str | None:
    """Say what is wrong with a TLV's length; None when nothing is."""
    rule = RULES.get(tlv.tag)
    length = len(tlv.value)
    if rule is None:
        return None if length <= LENGTH_MAX else f"{length} octets, at most {LENGTH_MAX}"
    if rule.length_min <= length <= rule.length_max:
        return None
    if rule.length_min == rule.length_max:
        return f"{length} octets, it has {rule.length_min}"
    return f"{length} octets, it has {rule.length_min} to {rule.length_max}"
