"""Reads the text of a message for those who look on."""

from cbgateway.codec import smpp_text
from cbgateway.domain.errors import DecodeError


def text_of(octets: bytes, data_coding: int, esm_class: int) -> str | None:
    """Give the text that a message carries; None when it cannot be read."""
    try:
        if esm_class & smpp_text.UDH_INDICATOR:
            _, octets = smpp_text.split_udh(octets)
        return smpp_text.decode_text(octets, data_coding)
    except DecodeError:
        return None
