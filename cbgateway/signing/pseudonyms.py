"""Telephone numbers as keyed hashes, and encrypted where somebody has asked to be told.

A number has so few digits that whoever has the key of a hash finds it by trying all of them. So
the key of what is kept about people who ask is thrown away every day, and with it what the hashes
could tell. Numbers of subscribers are encrypted and named with a key that lasts as long as they.
"""

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from cbgateway.domain.errors import KeyUnusableError

KEY_OCTETS = 32
NAME_OCTETS = 16
"""Of a hash; no two of ten billion numbers share one (128 bits)."""
NONCE_OCTETS = 12
"""SP 800-38D 8.2: drawn anew for each number; a key is good for four billion of them."""


def new_key() -> bytes:
    """Make a key that nobody can guess."""
    return secrets.token_bytes(KEY_OCTETS)


def plain_number(number: str) -> str:
    """Give a number as it is hashed, whether a centre writes it with a plus or without."""
    return number.removeprefix("+")


@dataclass(frozen=True, slots=True)
class Pseudonyms:
    """The two keys of one day.

    Attributes:
        day_key: for people who ask; another one each day.
        lasting_key: for subscribers.
    """

    day_key: bytes = field(repr=False)
    lasting_key: bytes = field(repr=False)

    def of_asker(self, number: str) -> str:
        """Give what somebody who asks is called today."""
        return _name(self.day_key, number)

    def of_subscriber(self, number: str) -> str:
        """Give what a subscriber is called."""
        return _name(self.lasting_key, number)

    def seal(self, number: str) -> bytes:
        """Encrypt a subscriber's number (AES-256-GCM, nonce in front)."""
        nonce = secrets.token_bytes(NONCE_OCTETS)
        return nonce + _cipher(self.lasting_key).encrypt(nonce, number.encode(), None)

    def open(self, sealed: bytes) -> str:
        """Decrypt a subscriber's number.

        Raises:
            KeyUnusableError: it was encrypted with another key, or changed.
        """
        nonce, octets = sealed[:NONCE_OCTETS], sealed[NONCE_OCTETS:]
        try:
            return _cipher(self.lasting_key).decrypt(nonce, octets, None).decode()
        except (InvalidTag, ValueError) as error:
            msg = "a subscriber's number was encrypted with a key that is not here"
            raise KeyUnusableError(msg) from error


def _name(key: bytes, number: str) -> str:
    digest = hmac.new(key, b"name\0" + plain_number(number).encode(), hashlib.sha256).digest()
    return digest[:NAME_OCTETS].hex()


def _cipher(key: bytes) -> AESGCM:
    """Derive another key from the lasting one, so that no key serves two ends (SP 800-108 4.1)."""
    return AESGCM(hmac.new(key, b"seal\0", hashlib.sha256).digest())
