"""Reads the common submit_sm with one regular expression.

Everything that is unusual in any way, from a TLV to a type of number that is not in use, does not
match and goes to the full decoder, which says what is wrong in which octet. A property test holds
both to the same answer.
"""

import re

from cbsim.messages import Submission

_COMMON = re.compile(
    rb"([\x01-\x7f]{0,5}\x00)"  # service_type
    rb"([\x00-\x06][\x00\x01\x03\x04\x06\x08\x09\x0a\x0e\x12][\x01-\x7f]{0,20}\x00)"  # source
    rb"([\x00-\x06][\x00\x01\x03\x04\x06\x08\x09\x0a\x0e\x12][\x01-\x7f]{1,20}\x00)"  # destination
    rb"([\x00-\x03])"  # esm_class: a mode alone
    rb"[\x00-\xff]"  # protocol_id
    rb"[\x00-\x04]"  # priority_flag
    rb"\x00\x00"  # schedule_delivery_time, validity_period
    rb"([\x00-\x03])"  # registered_delivery
    rb"\x00"  # replace_if_present_flag
    rb"([\x00-\xff])"  # data_coding
    rb"[\x00-\xff]"  # sm_default_msg_id
    rb"([\x00-\xff])",  # sm_length
    re.DOTALL,
)
_match = _COMMON.match


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
    service_type, source, destination, esm_class, registered, coding, length = match.groups()
    start = match.end()
    if start + length[0] != end:
        return None
    return Submission(
        service_type,
        source,
        destination,
        esm_class[0],
        0,
        0,
        ("", ""),
        registered[0],
        0,
        coding[0],
        0,
        octets[start:end],
    )
