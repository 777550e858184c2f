"""How somebody outside checks a seal: against the published keys alone, with code of their own."""

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


class Verdict(StrEnum):
    """What a check of a seal came to."""

    VALID = "valid"
    INVALID = "invalid"
    MISSING = "missing"
    UNCHECKED = "unchecked"


@dataclass(frozen=True, slots=True)
class PublishedKey:
    """A region's public sealing key."""

    region: str
    public_key: Ed25519PublicKey


def load_published_keys(path: Path) -> dict[str, PublishedKey]:
    """Read a JWK Set: key by name.

    Raises:
        ValueError: it is not one.
        OSError: the file cannot be read.
    """
    try:
        return {
            jwk["kid"]: PublishedKey(
                jwk["region"], Ed25519PublicKey.from_public_bytes(_octets(jwk["x"]))
            )
            for jwk in json.loads(path.read_text("utf-8"))["keys"]
        }
    except (KeyError, TypeError) as error:
        msg = f"{path} is not a JWK Set of sealing keys: {error}"
        raise ValueError(msg) from error


def check_seal(
    seal: str,
    keys: Mapping[str, PublishedKey],
    *,
    regions: tuple[str, ...],
    text: str,
    broadcast: tuple[int, int] | None,
) -> Verdict:
    """Check that a region sealed exactly what was shown.

    Args:
        seal: compact JWS; empty when none came.
        keys: published keys by name; empty when none are known.
        regions: where the phone is, from the smallest region to the whole country.
        text: what it shows.
        broadcast: message identifier and serial number; None for a short message.
    """
    if not keys:
        return Verdict.UNCHECKED
    if not seal:
        return Verdict.MISSING
    claims = _claims(seal, keys)
    if claims is None:
        return Verdict.INVALID
    digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
    try:
        languages = [language for language, value in claims["texts"].items() if value == digest]
        numbers = [tuple(claims["broadcasts"].get(language, ())) for language in languages]
    except (KeyError, TypeError, AttributeError):
        return Verdict.INVALID
    is_ours = claims["region"] in regions and languages
    is_this = broadcast is None or broadcast in numbers
    return Verdict.VALID if is_ours and is_this else Verdict.INVALID


def _claims(seal: str, keys: Mapping[str, PublishedKey]) -> dict[str, Any] | None:
    """Give what the seal says when its signature holds."""
    try:
        signed, signature = seal.rsplit(".", 1)
        encoded_header, encoded_payload = signed.split(".")
        header = json.loads(_octets(encoded_header))
        key = keys[header["kid"]]
        if header["alg"] != "Ed25519":
            return None
        key.public_key.verify(_octets(signature), signed.encode())
        claims = json.loads(_octets(encoded_payload))
        return claims if claims["region"] == key.region else None
    except (ValueError, KeyError, TypeError, RecursionError, InvalidSignature):
        return None


def _octets(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
