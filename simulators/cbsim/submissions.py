"""What submit_sm, data_sm and submit_multi hand in, checked value by value.

The decoder has seen that every field is there and ends; here a strict centre looks at what the
fields say, and names the octet that is wrong (SMPP 5.0 4.7).
"""

import struct
from dataclasses import dataclass
from typing import Any

from cbgateway.codec import smpp
from cbgateway.codec.smpp_fields import AddressField, CString, Integer, ShortMessageField, Time
from cbgateway.domain.errors import DecodeError
from cbsim.messages import Submission
from cbsim.refusal import Refusal

SUBMIT_MULTI = 0x00000021
SUBMIT_MULTI_RESP = 0x80000021
DESTINATIONS_MAX = 255
HEADER_OCTETS = 16
IS_ADDRESS = 1
IS_LIST = 2
TON_MAX = 6
NPIS = frozenset({0, 1, 3, 4, 6, 8, 9, 10, 14, 18})
PRIORITY_MAX = 4
REGISTERED_RESERVED = 0xE0

_S = smpp.Status


@dataclass(frozen=True, slots=True)
class Multi:
    """A submit_multi.

    Attributes:
        addresses: recipients, each as in `Submission.destination`.
        lists: names of distribution lists.
        taken: everything else; its destination is empty.
    """

    addresses: tuple[bytes, ...]
    lists: tuple[str, ...]
    taken: Submission


def submission_of(pdu: smpp.Pdu) -> Submission:
    """Give what a submit_sm or data_sm hands in.

    Raises:
        Refusal: a value is wrong; says where.
    """
    body: Any = pdu.body
    payload = pdu.tlv(smpp.TlvTag.MESSAGE_PAYLOAD)
    is_data = isinstance(body, smpp.DataSm)
    short_message = b"" if is_data else body.short_message
    taken = Submission(
        service_type=body.service_type.encode("ascii") + b"\0",
        source=raw(body.source),
        destination=raw(body.destination),
        esm_class=body.esm_class,
        protocol_id=0 if is_data else body.protocol_id,
        priority_flag=0 if is_data else body.priority_flag,
        times=("", "") if is_data else (body.schedule_delivery_time, body.validity_period),
        registered_delivery=body.registered_delivery,
        replace_if_present_flag=0 if is_data else body.replace_if_present_flag,
        data_coding=body.data_coding,
        sm_default_msg_id=0 if is_data else body.sm_default_msg_id,
        text=short_message if payload is None else payload,
        tlvs=pdu.tlvs,
    )
    check(taken, is_data=is_data)
    return taken


def raw(address: smpp.Address) -> bytes:
    """Give an address's octets."""
    return bytes((address.ton, address.npi)) + address.address.encode("ascii") + b"\0"


def check(taken: Submission, *, is_data: bool = False) -> None:
    """Check what the fields of a submission say.

    Raises:
        Refusal: a value is wrong; says where.
    """
    at = HEADER_OCTETS + len(taken.service_type)
    _check_address("source_addr", taken.source, at, _S.ESME_RINVSRCTON, _S.ESME_RINVSRCNPI)
    at += len(taken.source)
    _check_address("dest_addr", taken.destination, at, _S.ESME_RINVDSTTON, _S.ESME_RINVDSTNPI)
    if not taken.destination[2:-1]:
        raise _wrong("destination_addr", at + 2, "is empty", _S.ESME_RINVDSTADR)
    at += len(taken.destination)
    if not is_data:
        _check_rest(taken, at)
    elif taken.registered_delivery & REGISTERED_RESERVED:
        raise _registered(taken.registered_delivery, at + 1)


def _check_rest(taken: Submission, at: int) -> None:
    """Check what stands behind the addresses: esm_class is at `at`."""
    if taken.priority_flag > PRIORITY_MAX:
        problem = f"{taken.priority_flag} is not in 0..{PRIORITY_MAX}"
        raise _wrong("priority_flag", at + 2, problem, _S.ESME_RINVPRTFLG)
    at += 3
    names = ("schedule_delivery_time", "validity_period")
    statuses = (_S.ESME_RINVSCHED, _S.ESME_RINVEXPIRY)
    for name, value, status in zip(names, taken.times, statuses, strict=True):
        if value:
            try:
                smpp.parse_time(value)
            except DecodeError as error:
                raise _wrong(name, at, error.problem, status) from error
        at += len(value) + 1
    if taken.registered_delivery & REGISTERED_RESERVED:
        raise _registered(taken.registered_delivery, at)
    if taken.replace_if_present_flag > 1:
        problem = f"{taken.replace_if_present_flag} is neither 0 nor 1"
        raise _wrong("replace_if_present_flag", at + 1, problem, _S.ESME_RINVREPFLAG)


def _check_address(name: str, octets: bytes, at: int, ton_status: int, npi_status: int) -> None:
    if octets[0] > TON_MAX:
        raise _wrong(f"{name}_ton", at, f"{octets[0]} is not in 0..{TON_MAX}", ton_status)
    if octets[1] not in NPIS:
        raise _wrong(f"{name}_npi", at + 1, f"{octets[1]} is no numbering plan", npi_status)


def _registered(value: int, at: int) -> Refusal:
    problem = f"{value:#04x} has reserved bits"
    return _wrong("registered_delivery", at, problem, _S.ESME_RINVREGDLVFLG)


def _wrong(field: str, offset: int, problem: str, status: int) -> Refusal:
    error = smpp.PduError(
        problem, field=field, offset=offset, clause="SMPP 5.0 4.7", command_status=status
    )
    return Refusal(status, str(error))


_OCTET = Integer(1)
_SERVICE_TYPE = CString(6, _S.ESME_RINVSERTYP)
_SOURCE = AddressField(21, _S.ESME_RINVSRCADR)
_DESTINATION = AddressField(21, _S.ESME_RINVDSTADR)
_LIST_NAME = CString(21, _S.ESME_RINVDLNAME)
_AFTER: tuple[tuple[str, Any], ...] = (
    ("esm_class", _OCTET),
    ("protocol_id", _OCTET),
    ("priority_flag", _OCTET),
    ("schedule_delivery_time", Time(_S.ESME_RINVSCHED)),
    ("validity_period", Time(_S.ESME_RINVEXPIRY)),
    ("registered_delivery", _OCTET),
    ("replace_if_present_flag", _OCTET),
    ("data_coding", _OCTET),
    ("sm_default_msg_id", _OCTET),
    ("short_message", ShortMessageField(_S.ESME_RINVMSGLEN)),
)


def read_multi(octets: bytes) -> Multi:
    """Read a submit_multi (SMPP 5.0 4.2.3.1).

    Raises:
        PduError: the octets break the specification.
        Refusal: a value is wrong.
    """
    service_type, at = _SERVICE_TYPE.read("service_type", octets, HEADER_OCTETS)
    source, at = _SOURCE.read("source", octets, at)
    count, at = _OCTET.read("number_of_dests", octets, at)
    if not count:
        raise _wrong("number_of_dests", at - 1, "is 0", _S.ESME_RINVNUMDESTS)
    addresses, lists = [], []
    for _ in range(count):
        flag, at = _OCTET.read("dest_flag", octets, at)
        if flag == IS_ADDRESS:
            address, at = _DESTINATION.read("destination", octets, at)
            addresses.append(raw(address))
        elif flag == IS_LIST:
            name, at = _LIST_NAME.read("dl_name", octets, at)
            lists.append(name)
        else:
            raise _wrong("dest_flag", at - 1, f"{flag} is neither 1 nor 2", _S.ESME_RINVDESTFLAG)
    values: dict[str, Any] = {}
    rest_at = at
    for field, kind in _AFTER:
        values[field], at = kind.read(field, octets, at)
    tlvs = _tlvs(octets[at:])
    payload = next((tlv.value for tlv in tlvs if tlv.tag == smpp.TlvTag.MESSAGE_PAYLOAD), None)
    taken = Submission(
        service_type=service_type.encode("ascii") + b"\0",
        source=raw(source),
        destination=b"\0\0\0",
        esm_class=values["esm_class"],
        protocol_id=values["protocol_id"],
        priority_flag=values["priority_flag"],
        times=(values["schedule_delivery_time"], values["validity_period"]),
        registered_delivery=values["registered_delivery"],
        replace_if_present_flag=values["replace_if_present_flag"],
        data_coding=values["data_coding"],
        sm_default_msg_id=values["sm_default_msg_id"],
        text=values["short_message"] if payload is None else payload,
        tlvs=tlvs,
    )
    _check_rest(taken, rest_at)
    return Multi(tuple(addresses), tuple(lists), taken)


def _tlvs(octets: bytes) -> tuple[smpp.Tlv, ...]:
    """Read TLVs with the decoder, behind a command that has no fields of its own."""
    header = struct.pack(">IIII", HEADER_OCTETS + len(octets), smpp.CommandId.ENQUIRE_LINK, 0, 1)
    return smpp.decode(header + octets).tlvs


def write_multi_resp(
    number: int, message_id: str, failed: list[tuple[bytes, int]], *, status: int = 0
) -> bytes:
    """Write a submit_multi_resp (SMPP 5.0 4.2.3.2).

    Args:
        number: sequence_number.
        message_id: of what was taken; empty when nothing was.
        failed: recipients that were not taken, each with its status.
        status: of the whole.
    """
    body = b""
    if not status:
        parts = [message_id.encode("ascii") + b"\0", bytes((min(len(failed), DESTINATIONS_MAX),))]
        for address, why in failed[:DESTINATIONS_MAX]:
            parts += (address, struct.pack(">I", why))
        body = b"".join(parts)
    return struct.pack(">IIII", HEADER_OCTETS + len(body), SUBMIT_MULTI_RESP, status, number) + body
