"""The canonical form of a document: what is signed and hashed (RFC 8785)."""

import base64
import hashlib
from collections.abc import Mapping
from typing import Any

import rfc8785

from cbgateway.domain.errors import InputError


def canonical(document: Mapping[str, Any]) -> bytes:
    """Write a JSON document in its one canonical form.

    Raises:
        InputError: it holds a number, string or type that RFC 8785 cannot write.

    Spec: RFC 8785 3.2.
    """
    try:
        return rfc8785.dumps(dict(document))
    except (rfc8785.CanonicalizationError, UnicodeEncodeError, RecursionError) as error:
        msg = f"the document has no canonical form: {error}"
        raise InputError(msg) from error


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
