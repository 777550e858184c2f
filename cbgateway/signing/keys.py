"""Ed25519 keys: made, kept in files that nobody else can read, named by their thumbprint."""

import hashlib
import os
import stat
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Self

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from cbgateway.domain.errors import KeyUnusableError
from cbgateway.signing.canonical import canonical, encode_base64url

OTHERS = stat.S_IRWXG | stat.S_IRWXO
KEY_ID_CHARACTERS = 16  # 96 bits of the thumbprint: no two keys of one gateway share them


KNOWN_KEYS = frozenset(
    bytes.fromhex(octets)
    for octets in (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",  # RFC 8032
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",  # RFC 8032
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",  # RFC 8032
        "26b40b8f93fff3d897112f7ebc582b232dbd72517d082fe83cfb30ddce43d1bb",  # RFC 9421 B.1.4
    )
)
"""Public keys whose private halves anybody can read."""

VERIFIED_MAX = 64
"""Signatures that are remembered, each with what was signed: at most a few MiB."""


def key_id_of(public_key: bytes) -> str:
    """Name a public key by the start of its JWK thumbprint.

    Spec: RFC 7638 3, RFC 8037 2.
    """
    jwk = {"crv": "Ed25519", "kty": "OKP", "x": encode_base64url(public_key)}
    return encode_base64url(hashlib.sha256(canonical(jwk)).digest())[:KEY_ID_CHARACTERS]


@lru_cache(maxsize=VERIFIED_MAX)
def verifies(public_key: bytes, signature: bytes, message: bytes) -> bool:
    """Tell whether `signature` over `message` was made with the private half of `public_key`.

    The answer depends on nothing else, so it is remembered: a bulletin for a thousand controllers
    has its signatures looked at before each of its orders. Whether a key still counts is not
    asked here.
    """
    try:
        _public_key(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


_public_key = lru_cache(maxsize=VERIFIED_MAX)(Ed25519PublicKey.from_public_bytes)


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key; it never shows itself when printed.

    Attributes:
        key_id: name of the public half.
        public_key: 32 octets.
    """

    key_id: str
    public_key: bytes
    _private: Ed25519PrivateKey

    def __repr__(self) -> str:
        """Name the key, not its secret."""
        return f"SigningKey({self.key_id})"

    @classmethod
    def _of(cls, private: Ed25519PrivateKey) -> Self:
        public_key = private.public_key().public_bytes_raw()
        return cls(key_id_of(public_key), public_key, private)

    @classmethod
    def generate(cls) -> Self:
        """Make a new key from the system's randomness."""
        return cls._of(Ed25519PrivateKey.generate())

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a key from a PEM file.

        Raises:
            KeyUnusableError: there is no such file, others can read it, or it holds no Ed25519 key.
        """
        try:
            mode = path.stat().st_mode
            octets = path.read_bytes()
        except OSError as error:
            msg = f"key {path}: {error.strerror}"
            raise KeyUnusableError(msg) from error
        if mode & OTHERS:
            msg = f"key {path} can be read by others (mode {mode & 0o777:o}); run: chmod 600 {path}"
            raise KeyUnusableError(msg)
        try:
            private = serialization.load_pem_private_key(octets, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            msg = f"key {path} is not a private key in PEM without a password"
            raise KeyUnusableError(msg) from error
        if not isinstance(private, Ed25519PrivateKey):
            msg = f"key {path} is not an Ed25519 key"
            raise KeyUnusableError(msg)
        return cls._of(private)

    def save(self, path: Path) -> None:
        """Write the key to a new file that only its owner can read.

        Raises:
            KeyUnusableError: there is a file already, or it cannot be written.
        """
        octets = self._private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(octets)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            msg = f"key {path}: {error.strerror}"
            raise KeyUnusableError(msg) from error

    def sign(self, message: bytes) -> bytes:
        """Give the signature over `message`, 64 octets; the same every time (RFC 8032 5.1.6)."""
        return self._private.sign(message)
