"""Orders as SMPP requests, and answers as reports (SMPP 5.0 4.4.1, 4.2.1, 4.4.3)."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import zip_longest

from cbgateway.codec import cbs, smpp, smpp_text
from cbgateway.codec.dcs import Alphabet, parse_dcs
from cbgateway.codec.smpp_bulk import RECEIPT_MASK, SubmitTemplate
from cbgateway.domain.broadcast import Broadcast
from cbgateway.domain.errors import RejectedError
from cbgateway.domain.incoming import AreaOnAir, MessageState
from cbgateway.domain.orders import (
    BroadcastReport,
    Handle,
    OnAirReport,
    Reply,
    Stop,
    Submit,
    WriteReplace,
    message_reference,
)
from cbgateway.profiles.models import SmppProfile

Request = tuple[smpp.Body, tuple[smpp.Tlv, ...]]

AREA_FORMAT_ALIAS = 0
FREQUENCY_UNIT_SECONDS = 8
ABSENT = {smpp.Status.ESME_RINVMSGID, smpp.Status.ESME_RBCASTCANCELFAIL}
"""What a centre says of a broadcast that it does not have (SMPP 5.0 4.7.6)."""

PERCENT_MAX = 100
"""Beyond it stands 255: the centre does not know (SMPP 5.0 4.8.4.5)."""
DATA_CODING_OCTETS = 4
"""Octets that the message centre hands on as they are: pages that the gateway has made."""

_SEGMENTATIONS: Mapping[str, smpp_text.Segmentation] = {
    "udh8": smpp_text.Segmentation.UDH8,
    "udh16": smpp_text.Segmentation.UDH16,
    "sar": smpp_text.Segmentation.SAR,
    "payload": smpp_text.Segmentation.PAYLOAD,
}


def broadcast_request(
    order: WriteReplace, rules: SmppProfile, *, seal: str, handle: Handle
) -> Request:
    """Write a broadcast as broadcast_sm.

    What is to be replaced is named by its message_id; when the peer never told one, because its
    answer was lost, by our user_message_reference: never by both.

    Args:
        order: what goes on air.
        rules: the carrier's.
        seal: travels where the carrier has a TLV for it.
        handle: how the message centre knows the version that is on air, or may be.

    Spec: SMPP 5.0 4.4.1.1, 4.8.4.62 (user_message_reference).
    """
    settings = rules.broadcast
    of_class = settings.classes[order.alert_class]
    data_coding, payload = _payload(order.broadcast, settings.payload)
    alias = order.area.code if settings.area_alias == "code" else order.area.names["en"]
    body = smpp.BroadcastSm(
        service_type=settings.service_type,
        source=_source(rules),
        message_id=handle.name,
        priority_flag=of_class.priority_flag,
        validity_period=smpp.format_absolute_time(order.expires_at),
        replace_if_present_flag=1 if handle.may_be_on_air else 0,
        data_coding=data_coding,
    )
    tag = smpp.TlvTag
    content_type = bytes([settings.network_type]) + of_class.content_service.to_bytes(2, "big")
    interval = bytes([FREQUENCY_UNIT_SECONDS]) + order.repetition_period_s.to_bytes(2, "big")
    tlvs = [
        smpp.Tlv(tag.BROADCAST_AREA_IDENTIFIER, bytes([AREA_FORMAT_ALIAS]) + alias.encode("ascii")),
        smpp.Tlv(tag.BROADCAST_CONTENT_TYPE, content_type),
        smpp.Tlv(tag.BROADCAST_FREQUENCY_INTERVAL, interval),
        smpp.Tlv.integer(tag.BROADCAST_MESSAGE_CLASS, of_class.message_class),
        smpp.Tlv(tag.MESSAGE_PAYLOAD, payload),
        *_reference_tlvs(handle),
        *_vendor_tlvs(order.broadcast, rules, seal),
        # tshark 4.0 reads this one as a single octet; last, the misreading spoils nothing after it
        smpp.Tlv.integer(tag.BROADCAST_REP_NUM, order.number_of_broadcasts),
    ]
    return body, tuple(tlvs)


def stop_request(order: Stop, rules: SmppProfile, *, handle: Handle) -> Request:
    """Write the end of a broadcast as cancel_broadcast_sm.

    Raises:
        ValueError: `handle` names nothing; that would cancel everything we ever sent.

    Spec: SMPP 5.0 4.4.3.1.
    """
    if not handle.name and not handle.alias:
        msg = f"{order.bulletin_id}: a cancel that names no message would cancel everything"
        raise ValueError(msg)
    body = smpp.CancelBroadcastSm(
        service_type=rules.broadcast.service_type, message_id=handle.name, source=_source(rules)
    )
    return body, _reference_tlvs(handle)


def query_request(rules: SmppProfile, *, handle: Handle) -> Request:
    """Write a question about a broadcast as query_broadcast_sm.

    Spec: SMPP 5.0 4.6.1.1.
    """
    return smpp.QueryBroadcastSm(message_id=handle.name, source=_source(rules)), _reference_tlvs(
        handle
    )


def query_report(pdu: smpp.Pdu) -> OnAirReport:
    """Read the answer to a query_broadcast_sm: areas and success rates stand in the same order.

    Raises:
        RejectedError: the message centre does not know the broadcast, or does not tell.

    Spec: SMPP 5.0 4.6.1.3, 4.8.4.5 (broadcast_area_success).
    """
    check_status(pdu)
    told = pdu.tlv(smpp.TlvTag.MESSAGE_STATE)
    rates = [int.from_bytes(one, "big") for one in pdu.tlvs_of(smpp.TlvTag.BROADCAST_AREA_SUCCESS)]
    names = [
        one[1:].decode("ascii", "replace")
        for one in pdu.tlvs_of(smpp.TlvTag.BROADCAST_AREA_IDENTIFIER)
    ]
    areas = (
        AreaOnAir(name, rate if rate is not None and rate <= PERCENT_MAX else None)
        for name, rate in zip_longest(names, rates[: len(names)])
    )
    state = int.from_bytes(told or b"", "big")
    known = {one.value: one for one in MessageState}
    return OnAirReport(known.get(state, MessageState.UNKNOWN) if told else None, tuple(areas))


def _reference_tlvs(handle: Handle) -> tuple[smpp.Tlv, ...]:
    if handle.name or not handle.alias:
        return ()
    return (smpp.Tlv.integer(smpp.TlvTag.USER_MESSAGE_REFERENCE, handle.alias),)


def submit_template(order: Submit, rules: SmppProfile, *, seal: str) -> SubmitTemplate:
    """Write everybody's message as submit_sm but for the number it goes to."""
    return SubmitTemplate(submit_requests(order, rules, recipient="", seal=seal))


def reply_template(reply: Reply, rules: SmppProfile) -> SubmitTemplate:
    """Write everybody's answer as submit_sm but for the number it goes to."""
    return SubmitTemplate(reply_requests(reply, rules, recipient=""))


def submit_requests(
    order: Submit, rules: SmppProfile, *, recipient: str, seal: str
) -> list[tuple[smpp.SubmitSm, tuple[smpp.Tlv, ...]]]:
    """Write one recipient's message as submit_sm, one for each part.

    Spec: SMPP 5.0 4.2.1.1, TS 23.040 9.2.3.24.1 (concatenation).
    """
    reference = message_reference(order.bulletin_id)
    vendor = rules.vendor_tlvs.seal
    tlvs: tuple[smpp.Tlv, ...] = ()
    if rules.sms.registered_delivery & RECEIPT_MASK:  # it comes back with the receipt
        tlvs = (smpp.Tlv.integer(smpp.TlvTag.USER_MESSAGE_REFERENCE, reference),)
    if vendor is not None:
        tlvs += (smpp.Tlv(vendor, seal.encode("ascii")),)
    body = smpp.SubmitSm(
        service_type=rules.sms.service_type,
        source=_source(rules),
        destination=smpp.Address(rules.destination.ton, rules.destination.npi, recipient),
        validity_period=smpp.format_absolute_time(order.expires_at),
        registered_delivery=rules.sms.registered_delivery,
    )
    return _in_parts(order.text, rules, body, tlvs, reference=reference)


def reply_requests(
    reply: Reply, rules: SmppProfile, *, recipient: str
) -> list[tuple[smpp.SubmitSm, tuple[smpp.Tlv, ...]]]:
    """Write an answer to one of those who asked as submit_sm, one for each part.

    It comes from the number that was asked, and no receipt is wanted: nothing follows from one.

    Spec: SMPP 5.0 4.2.1.1, TS 23.040 9.2.3.24.1 (concatenation).
    """
    asked = rules.enquiries or rules.source
    body = smpp.SubmitSm(
        service_type=rules.sms.service_type,
        source=smpp.Address(asked.ton, asked.npi, asked.address),
        destination=smpp.Address(rules.destination.ton, rules.destination.npi, recipient),
        validity_period=smpp.format_absolute_time(reply.expires_at),
    )
    return _in_parts(reply.text, rules, body, (), reference=reply.reference)


def _in_parts(
    text: str,
    rules: SmppProfile,
    body: smpp.SubmitSm,
    tlvs: tuple[smpp.Tlv, ...],
    *,
    reference: int,
) -> list[tuple[smpp.SubmitSm, tuple[smpp.Tlv, ...]]]:
    """Give a message that says a text, once for each part of it."""
    segmented = smpp_text.segment(
        text,
        data_coding=None,
        segmentation=_SEGMENTATIONS[rules.sms.segmentation],
        reference=reference,
    )
    return [
        (
            replace(
                body,
                esm_class=segmented.esm_class,
                data_coding=segmented.data_coding,
                short_message=part.short_message,
            ),
            part.tlvs + tlvs,
        )
        for part in segmented.parts
    ]


def broadcast_report(pdu: smpp.Pdu, *, handle: Handle) -> BroadcastReport:
    """Read the answer to a broadcast_sm or cancel_broadcast_sm.

    Raises:
        RejectedError: the message centre refused, or could not serve the area at all.

    Spec: SMPP 5.0 4.4.1.2, 4.8.4.7 (failed areas).
    """
    check_status(pdu)
    failed = pdu.tlvs_of(smpp.TlvTag.BROADCAST_AREA_IDENTIFIER)
    if failed:  # we name one area in each request: it failed
        causes = pdu.tlvs_of(smpp.TlvTag.BROADCAST_ERROR_STATUS)
        cause = int.from_bytes(causes[0], "big") if causes else smpp.Status.ESME_RBCASTFAIL
        raise RejectedError(
            f"{smpp.status_name(cause)} for area {failed[0][1:].decode('ascii', 'replace')}",
            is_temporary=cause in smpp.RETRYABLE,
        )
    body = pdu.body
    given = body.message_id if isinstance(body, smpp.BroadcastSmResp) else ""
    return BroadcastReport(peer_reference=given or handle.name)


def check_status(pdu: smpp.Pdu) -> None:
    """Raise what an answer's status means.

    Raises:
        RejectedError: the status is not ESME_ROK.
    """
    if pdu.command_status != smpp.Status.ESME_ROK:
        raise RejectedError(
            smpp.status_name(pdu.command_status),
            is_temporary=pdu.command_status in smpp.RETRYABLE,
            is_absent=pdu.command_status in ABSENT,
        )


def _payload(broadcast: Broadcast, kind: str) -> tuple[int, bytes]:
    """Give data_coding and message_payload: the text, or the pages as they go on air."""
    if kind == "pages":
        return DATA_CODING_OCTETS, cbs.encode_cb_data(broadcast.pages)
    is_ucs2 = parse_dcs(broadcast.dcs).alphabet is Alphabet.UCS2
    data_coding = smpp_text.DATA_CODING_UCS2 if is_ucs2 else smpp_text.DATA_CODING_DEFAULT
    return data_coding, smpp_text.encode_text(broadcast.text, data_coding)


def _vendor_tlvs(broadcast: Broadcast, rules: SmppProfile, seal: str) -> list[smpp.Tlv]:
    tlvs = rules.vendor_tlvs
    values = (
        (tlvs.seal, seal.encode("ascii")),
        (tlvs.message_identifier, broadcast.message_identifier.to_bytes(2, "big")),
        (tlvs.serial_number, int(broadcast.serial_number).to_bytes(2, "big")),
        (tlvs.data_coding_scheme, bytes([broadcast.dcs])),
    )
    return [smpp.Tlv(tag, value) for tag, value in values if tag is not None]


def _source(rules: SmppProfile) -> smpp.Address:
    return smpp.Address(rules.source.ton, rules.source.npi, rules.source.address)
