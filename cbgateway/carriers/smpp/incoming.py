"""What a message centre sends, as receipts and messages (SMPP 5.0 4.3.1, 4.2.2)."""

from cbgateway.codec import smpp, smpp_text
from cbgateway.domain.errors import DecodeError
from cbgateway.domain.incoming import IncomingMessage, Receipt

UDHI = 0x40
"""Bit of esm_class: a user data header stands in front of the text (SMPP 5.0 4.7.12)."""


def incoming(item: Receipt | smpp.Pdu) -> Receipt | IncomingMessage:
    """Read what has come; a text that cannot be read is kept with what can be."""
    if isinstance(item, Receipt):
        return item
    body = item.body
    assert isinstance(body, smpp.DeliverSm | smpp.DataSm)  # noqa: S101 - the session hands on no other
    octets = body.short_message if isinstance(body, smpp.DeliverSm) else b""
    octets = octets or item.tlv(smpp.TlvTag.MESSAGE_PAYLOAD) or b""
    where = _sar(item)
    if body.esm_class & UDHI:
        try:
            header, octets = smpp_text.split_udh(octets)
            where = smpp_text.concatenation(header) or where
        except DecodeError:
            pass  # then all of it is text
    return IncomingMessage(
        source=body.source.address,
        destination=body.destination.address,
        text=_text(octets, body.data_coding),
        part=where.number if where else 1,
        parts=where.total if where else 1,
        reference=where.reference if where else 0,
    )


def _text(octets: bytes, data_coding: int) -> str:
    try:
        return smpp_text.decode_text(octets, data_coding)
    except DecodeError:
        return octets.decode("ascii", "replace")


def _sar(pdu: smpp.Pdu) -> smpp_text.Concatenation | None:
    """Read where a part stands from the sar TLVs (SMPP 5.0 4.8.4.48 to 50)."""
    tag = smpp.TlvTag
    tags = (tag.SAR_MSG_REF_NUM, tag.SAR_TOTAL_SEGMENTS, tag.SAR_SEGMENT_SEQNUM)
    values = [pdu.tlv(one) for one in tags]
    if any(value is None for value in values):
        return None
    reference, total, number = (int.from_bytes(value or b"", "big") for value in values)
    return smpp_text.Concatenation(reference, total, number)
