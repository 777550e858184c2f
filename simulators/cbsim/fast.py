"""Reads the usual submit_sm with one regular expression, and its TLVs by the codec's own rules.

Everything that is unusual in any way, from a type of number that is not in use to a TLV that
stands twice, does not match and goes to the full decoder, which says what is wrong in which octet.
A property test holds both to the same answer.
"""

import re
from struct import Struct

from cbgateway.codec.smpp_tlv import RULES, Kind, Tlv, TlvTag, problem_of
from cbsim.messages import Submission

_COMMON = re.compile(
    rb"([\x01-\x7f]{0,5}\x00)"  # service_type
    rb"([\x00-\x06][\x00\x01\x03\x04\x06\x08\x09\x0a\x0e\x12][\x01-\x7f]{0,20}\x00)"  # source
    rb"([\x00-\x06][\x00\x01\x03\x04\x06\x08\x09\x0a\x0e\x12][\x01-\x7f]{1,20}\x00)"  # destination
    rb"([\x00-\x03\x40-\x43])"  # esm_class: a mode, and whether there is a user data header
    rb"[\x00-\xff]"  # protocol_id
    rb"[\x00-\x04]"  # priority_flag
    rb"\x00"  # schedule_delivery_time
    rb"(|[0-9]{12}000R)\x00"  # validity_period: a duration
    rb"([\x00-\x03])"  # registered_delivery
    rb"\x00"  # replace_if_present_flag
    rb"([\x00-\xff])"  # data_coding
    rb"[\x00-\xff]"  # sm_default_msg_id
    rb"([\x00-\xff])",  # sm_length
    re.DOTALL,
)
_match = _COMMON.match
_UDH_INDICATOR = 0x40
_MESSAGE_PAYLOAD = int(TlvTag.MESSAGE_PAYLOAD)
_TLV_HEADER = Struct(">HH")


def read_submit(octets: bytes, at: int, end: int) -> Submission | None:
    """Read the body of a submit_sm that has nothing unusual.

    Args:
        octets: a buffer.
        at: where the body begins.
        end: where the PDU ends.

    Returns:
        None when the full decoder has to look.
    """
    match = _match(octets, at, end)
    if match is None:
        return None
    service_type, source, destination, esm_class, validity, registered, coding, length = (
        match.groups()
    )
    start = match.end()
    behind = start + length[0]
    if behind > end:
        return None
    text = octets[start:behind]
    tlvs: tuple[Tlv, ...] = ()
    if behind != end:
        found = _read_tlvs(octets, behind, end)
        if found is None:
            return None
        tlvs = found
        for tlv in tlvs:
            if tlv.tag == _MESSAGE_PAYLOAD:
                if text:
                    return None
                text = tlv.value
    if esm_class[0] & _UDH_INDICATOR and (not text or text[0] >= len(text)):
        return None
    return Submission(
        service_type,
        source,
        destination,
        esm_class[0],
        0,
        0,
        ("", validity.decode("ascii")),
        registered[0],
        0,
        coding[0],
        0,
        text,
        tlvs,
    )


def _read_tlvs(octets: bytes, at: int, end: int) -> tuple[Tlv, ...] | None:
    """Read TLVs; None when the full decoder has to look."""
    tlvs: list[Tlv] = []
    seen: set[int] = set()
    while at < end:
        if at + _TLV_HEADER.size > end:
            return None
        tag, length = _TLV_HEADER.unpack_from(octets, at)
        at += _TLV_HEADER.size + length
        tlv = Tlv(tag, octets[at - length : at])
        rule = RULES.get(tag)
        if at > end or tag in seen:
            return None
        if rule is not None and (rule.kind is Kind.C_STRING or problem_of(tlv)):
            return None
        seen.add(tag)
        tlvs.append(tlv)
    return tuple(tlvs)
