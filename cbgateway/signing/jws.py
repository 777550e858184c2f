"""JSON Web Signatures with one algorithm and no options (RFC 7515, RFC 7797, RFC 9864).

A header has exactly the members written here; whatever else one says is refused, so that a
message never chooses how it is checked.
"""

import json
from collections.abc import Callable
from typing import Any

from cbgateway.domain.errors import SignatureInvalidError
from cbgateway.signing.canonical import canonical, decode_base64url, encode_base64url
from cbgateway.signing.keys import SigningKey, verifies

ALGORITHM = "Ed25519"
OCTETS_MAX = 16_384  # a seal has some 600; a message may not choose how long we work on it

KeyLookup = Callable[[str], bytes | None]
"""Key name to public key; None for a key that is unknown or no longer trusted."""


def sign_compact(payload: bytes, key: SigningKey, *, content: str) -> str:
    """Sign `payload` and carry it inside.

    Args:
        payload: any octets.
        key: the signer's.
        content: what the payload is; a signature for one content never passes for another.

    Spec: RFC 7515 7.1.
    """
    header = {"alg": ALGORITHM, "kid": key.key_id, "typ": content}
    signed = f"{encode_base64url(canonical(header))}.{encode_base64url(payload)}"
    return f"{signed}.{encode_base64url(key.sign(signed.encode()))}"


def verify_compact(token: str, lookup: KeyLookup, *, content: str) -> tuple[bytes, str]:
    """Check a signature and give its payload and the name of its key.

    Raises:
        SignatureInvalidError: not exactly what `sign_compact` makes with a key that `lookup` knows.
    """
    header, payload, signature = _parts(token)
    key_id, public_key = _key(header, {"alg": ALGORITHM, "typ": content}, lookup)
    if not verifies(public_key, _octets(signature), f"{header}.{payload}".encode()):
        msg = f"the signature with key {key_id} does not belong to this {content}"
        raise SignatureInvalidError(msg)
    return _octets(payload), key_id


def sign_detached(payload: bytes, key: SigningKey, *, content: str) -> str:
    """Sign `payload` without carrying it.

    Spec: RFC 7515 appendix F, RFC 7797 (unencoded payload).
    """
    header = encode_base64url(canonical(_detached_header(content) | {"kid": key.key_id}))
    return f"{header}..{encode_base64url(key.sign(header.encode() + b'.' + payload))}"


def verify_detached(token: str, payload: bytes, lookup: KeyLookup, *, content: str) -> str:
    """Check a detached signature over `payload` and give the name of its key.

    Raises:
        SignatureInvalidError: not exactly what `sign_detached` makes with a key that `lookup`
            knows, over exactly this payload.
    """
    header, empty, signature = _parts(token)
    if empty:
        msg = "a detached signature carries no payload"
        raise SignatureInvalidError(msg)
    key_id, public_key = _key(header, _detached_header(content), lookup)
    if not verifies(public_key, _octets(signature), header.encode() + b"." + payload):
        msg = f"the signature with key {key_id} does not belong to this {content}"
        raise SignatureInvalidError(msg)
    return key_id


def key_id_in(token: str) -> str:
    """Give the name of the key that a signature says it was made with; checks nothing else.

    Raises:
        SignatureInvalidError: it has no header that says so.
    """
    try:
        header = json.loads(_octets(_parts(token)[0]))
        return str(header["kid"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        msg = "the signature's header names no key"
        raise SignatureInvalidError(msg) from error


def _detached_header(content: str) -> dict[str, Any]:
    return {"alg": ALGORITHM, "b64": False, "crit": ["b64"], "typ": content}


def _parts(token: str) -> tuple[str, str, str]:
    parts = token.split(".")
    if len(token) > OCTETS_MAX or len(parts) != 3 or not token.isascii():  # noqa: PLR2004 - RFC 7515 7.1
        msg = "not a JSON Web Signature in compact form"
        raise SignatureInvalidError(msg)
    return parts[0], parts[1], parts[2]


def _octets(text: str) -> bytes:
    try:
        return decode_base64url(text)
    except ValueError as error:
        msg = "a part of the signature is not base64url"
        raise SignatureInvalidError(msg) from error


def _key(encoded: str, expected: dict[str, Any], lookup: KeyLookup) -> tuple[str, bytes]:
    try:
        header = json.loads(_octets(encoded))
    except (ValueError, RecursionError) as error:
        msg = "the signature's header is not JSON"
        raise SignatureInvalidError(msg) from error
    key_id = header.pop("kid", None) if isinstance(header, dict) else None
    if not isinstance(key_id, str) or header != expected:
        msg = "the signature's header is not the one that this gateway uses"
        raise SignatureInvalidError(msg)
    public_key = lookup(key_id)
    if public_key is None:
        msg = f"key {key_id!r} is not known or not trusted here"
        raise SignatureInvalidError(msg)
    return key_id, public_key
