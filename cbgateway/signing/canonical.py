"""The canonical form of a document: what is signed and hashed (RFC 8785)."""

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Any

import rfc8785

from cbgateway.domain.errors import InputError

INTEGER_MAX = 2**53 - 1
"""Beyond, RFC 8785 writes no integers."""
_PLAIN = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def canonical(document: Mapping[str, Any]) -> bytes:
    """Write a JSON document in its one canonical form.

    Raises:
        InputError: it holds a number, string or type that RFC 8785 cannot write.

    Spec: RFC 8785 3.2.
    """
    try:
        if _is_plain(document):
            return _PLAIN.encode(document).encode()
        return rfc8785.dumps(dict(document))
    except (rfc8785.CanonicalizationError, UnicodeEncodeError, RecursionError) as error:
        msg = f"the document has no canonical form: {error}"
        raise InputError(msg) from error


def _is_plain(value: object) -> bool:
    """Tell whether Python's own encoder, in C, writes the canonical form of a value.

    It does but for numbers with a fraction, and for the order of keys outside ASCII.
    """
    if isinstance(value, str) or value is None:
        return True
    if isinstance(value, dict):
        return all(
            isinstance(key, str) and key.isascii() and _is_plain(one) for key, one in value.items()
        )
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return isinstance(value, int) and -INTEGER_MAX <= value <= INTEGER_MAX


def digest(document: Mapping[str, Any]) -> str:
    """Give the SHA-256 of the canonical form, in hexadecimal."""
    return hashlib.sha256(canonical(document)).hexdigest()


def encode_base64url(octets: bytes) -> str:
    """Write octets in base64url without padding (RFC 7515 2)."""
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode("ascii")


def decode_base64url(text: str) -> bytes:
    """Read base64url without padding.

    Raises:
        ValueError: it is anything else.
    """
    octets = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    if encode_base64url(octets) != text:
        msg = "not the one way to write these octets"
        raise ValueError(msg)
    return octets
