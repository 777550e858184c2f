"""The seal: a region's signature over one bulletin as it goes out.

It says what a phone, a newspaper or another gateway can compare with what it received: the hash
of the text in each language, message identifier and serial number of each broadcast, the region,
when it was sent and when it ends. ADR 0006 tells why it carries these claims inside.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from cbgateway.domain.broadcast import Broadcast
from cbgateway.domain.bulletin import Bulletin
from cbgateway.domain.errors import SignatureInvalidError
from cbgateway.domain.orders import Order, Stop, Submit, WriteReplace
from cbgateway.domain.people import Key
from cbgateway.signing.canonical import canonical, encode_base64url
from cbgateway.signing.jws import sign_compact, verify_compact
from cbgateway.signing.keys import SigningKey

CONTENT = "cbgateway-seal-1"
SIXTEEN_BITS = 0xFFFF  # both numbers of a broadcast (TS 23.041 9.4.1.2)


def text_digest(text: str) -> str:
    """Give the SHA-256 of a text in UTF-8, in base64url."""
    return encode_base64url(hashlib.sha256(text.encode()).digest())


@dataclass(frozen=True, slots=True)
class Seal:
    """What a seal says once its signature has been checked.

    Attributes:
        text_digests: language to `text_digest`.
        broadcasts: language to message identifier and serial number.
        key_id: the region's key that signed.
    """

    bulletin_id: str
    region: str
    kind: str
    mode: str
    sent: datetime
    expires: datetime
    text_digests: dict[str, str]
    broadcasts: dict[str, tuple[int, int]]
    key_id: str


def make_seal(
    bulletin: Bulletin, region: str, broadcasts: Iterable[Broadcast], key: SigningKey
) -> str:
    """Seal a bulletin for one region."""
    claims = {
        "broadcasts": {
            broadcast.language: [broadcast.message_identifier, int(broadcast.serial_number)]
            for broadcast in broadcasts
        },
        "bulletin": bulletin.bulletin_id,
        "expires": _written(bulletin.expires),
        "kind": bulletin.kind.value,
        "mode": bulletin.mode.value,
        "region": region,
        "sent": _written(bulletin.sent),
        "texts": {language: text_digest(text) for language, text in bulletin.texts.items()},
    }
    return sign_compact(canonical(claims), key, content=CONTENT)


def open_seal(seal: str, keys: Iterable[Key]) -> Seal:
    """Check a seal's signature and read what it says.

    Raises:
        SignatureInvalidError: no key of the region that it names made it, or a revoked one did.
    """
    by_id = {key.key_id: key for key in keys if not key.is_revoked}

    def lookup(key_id: str) -> bytes | None:
        return by_id[key_id].public_key if key_id in by_id else None

    payload, key_id = verify_compact(seal, lookup, content=CONTENT)
    try:
        opened = _read(payload, key_id)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        msg = f"what key {key_id} signed is not a seal"
        raise SignatureInvalidError(msg) from error
    if opened.region != by_id[key_id].holder:
        msg = f"key {key_id} belongs to region {by_id[key_id].holder}, not {opened.region}"
        raise SignatureInvalidError(msg)
    return opened


def _read(payload: bytes, key_id: str) -> Seal:
    """Read a seal's claims; any of Python's own errors says that they are something else."""
    claims = json.loads(payload)
    return Seal(
        bulletin_id=str(claims["bulletin"]),
        region=str(claims["region"]),
        kind=str(claims["kind"]),
        mode=str(claims["mode"]),
        sent=datetime.fromisoformat(claims["sent"]),
        expires=datetime.fromisoformat(claims["expires"]),
        text_digests={language: str(value) for language, value in claims["texts"].items()},
        broadcasts={
            language: (_number(identifier), _number(serial))
            for language, (identifier, serial) in claims["broadcasts"].items()
        },
        key_id=key_id,
    )


def _number(value: object) -> int:
    """Read a message identifier or serial number: a JSON integer of sixteen bits."""
    if type(value) is not int or not 0 <= value <= SIXTEEN_BITS:
        msg = "not a number of sixteen bits"
        raise ValueError(msg)
    return value


def check_seal(order: Order, seal: Seal) -> None:
    """Refuse to send an order that is not what its region sealed.

    Raises:
        SignatureInvalidError: text, serial number, region, bulletin or expiry differ.
    """
    differs = [
        name
        for name, sealed, ordered in (
            ("bulletin", seal.bulletin_id, order.bulletin_id),
            ("region", seal.region, order.area.code),
            ("expiry", seal.expires, order.expires_at),
        )
        if sealed != ordered
    ]
    match order:
        case WriteReplace(broadcast=broadcast):
            if seal.text_digests.get(broadcast.language) != text_digest(broadcast.text):
                differs.append("text")
            numbers = (broadcast.message_identifier, int(broadcast.serial_number))
            if seal.broadcasts.get(broadcast.language) != numbers:
                differs.append("serial number")
        case Submit(language=language, text=text):
            if seal.text_digests.get(language) != text_digest(text):
                differs.append("text")
        case Stop():
            pass  # nothing in it is shown to anybody
    if differs:
        msg = f"the order differs from what region {seal.region} sealed: {', '.join(differs)}"
        raise SignatureInvalidError(msg)


def check_texts(seal: Seal, texts: Mapping[str, str]) -> None:
    """Refuse texts that are not those that a region sealed.

    Args:
        seal: as opened.
        texts: by language.

    Raises:
        SignatureInvalidError: a text was changed, added or left out.
    """
    found = {language: text_digest(text) for language, text in texts.items()}
    differs = sorted(
        language
        for language in found.keys() | seal.text_digests.keys()
        if found.get(language) != seal.text_digests.get(language)
    )
    if differs:
        msg = f"the text in {', '.join(differs)} is not what region {seal.region} sealed"
        raise SignatureInvalidError(msg)


def _written(at: datetime) -> str:
    return at.astimezone(UTC).isoformat()
