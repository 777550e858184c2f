"""What the CAP tests share: certificates, sound alerts, and signatures made by hand."""

import base64
import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.x509.oid import NameOID
from lxml import etree

from cbgateway.settings import FILE_NAME
from tests.conftest import NOON

CAP = "urn:oasis:names:tc:emergency:cap:1.2"
DS = "http://www.w3.org/2000/09/xmldsig#"
C14N = "http://www.w3.org/2001/10/xml-exc-c14n#"
SHA256 = "http://www.w3.org/2001/04/xmlenc#sha256"
ECDSA = "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256"
ENVELOPED = "http://www.w3.org/2000/09/xmldsig#enveloped-signature"
SENDER = "noc@carrier.example"


@dataclass(frozen=True)
class Identity:
    """Somebody's key and certificate."""

    key: Any
    certificate: x509.Certificate

    def save(self, folder: Path, name: str) -> None:
        """Write both as PEM."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.crt").write_bytes(
            self.certificate.public_bytes(serialization.Encoding.PEM)
        )
        (folder / f"{name}.pem").write_bytes(
            self.key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        (folder / f"{name}.pem").chmod(0o600)


def identity(key: Any = None, *, at: datetime = NOON, days: int = 30) -> Identity:
    """Make a certificate that is valid around a time; ECDSA on P-256 unless told otherwise."""
    key = ec.generate_private_key(ec.SECP256R1()) if key is None else key
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, SENDER)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(at - timedelta(days=days))
        .not_valid_after(at + timedelta(days=days))
        .sign(key, hashes.SHA256())
    )
    return Identity(key, certificate)


def rsa_key(bits: int = 2048) -> Any:
    """Make an RSA key."""
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def pin(home: Path, identity: Identity, *, person: str = "kt_noc", carrier: str = "kt") -> None:
    """Have a gateway's settings know a sender."""
    identity.save(home / "keys" / "cap", person)
    with (home / FILE_NAME).open("a", encoding="utf-8") as file:
        file.write(
            f'\n[cap.senders."{SENDER}"]\nperson = "{person}"\n'
            f'certificate = "keys/cap/{person}.crt"\ncarrier = "{carrier}"\n'
        )


def alert(info: str | None = None, **changes: str | None) -> bytes:
    """Give a sound alert of an hour before noon UTC plus three, changed as asked."""
    head: dict[str, str | None] = {
        "identifier": "KT-1",
        "sender": SENDER,
        "sent": "2021-10-25T12:00:00+09:00",
        "status": "Test",
        "msgType": "Alert",
        "scope": "Public",
        "references": None,
        "incidents": None,
    } | changes
    inside = "".join(f"<{tag}>{escape(text)}</{tag}>" for tag, text in head.items() if text)
    return (
        f'<alert xmlns="{CAP}">{inside}{information() if info is None else info}</alert>'.encode()
    )


def information(*, area: str | None = None, more: str = "", **changes: str | None) -> str:
    """Give a sound info block, changed as asked."""
    fields: dict[str, str | None] = {
        "language": "ko-KR",
        "category": "Infra",
        "event": "이동통신 장애",
        "responseType": "Monitor",
        "urgency": "Immediate",
        "severity": "Moderate",
        "certainty": "Observed",
        "eventCode": "<valueName>OET:v1.2</valueName><value>OET-131</value>",
        "effective": None,
        "onset": "2021-10-25T11:16:00+09:00",
        "expires": "2021-10-25T14:00:00+09:00",
        "headline": "KT 통신장애",
        "description": "부산 음성·데이터 중단",
        "instruction": "유선전화를 쓰세요",
    } | changes
    inside = "".join(f"<{tag}>{text}</{tag}>" for tag, text in fields.items() if text)
    place = place_named("KR-26") if area is None else area
    return f"<info>{inside}{more}{place}</info>"


def parameter(name: str, value: str) -> str:
    """Give a parameter."""
    return f"<parameter><valueName>{name}</valueName><value>{value}</value></parameter>"


def place_named(code: str) -> str:
    """Give an area by a region's code."""
    geocode = f"<geocode><valueName>ISO3166-2</valueName><value>{code}</value></geocode>"
    return f"<area><areaDesc>somewhere</areaDesc>{geocode}</area>"


def place_drawn(*, polygon: str = "", circle: str = "") -> str:
    """Give an area by shapes."""
    shapes = f"<polygon>{polygon}</polygon>" if polygon else ""
    shapes += f"<circle>{circle}</circle>" if circle else ""
    return f"<area><areaDesc>somewhere</areaDesc>{shapes}</area>"


def canonical(node: Any, *, with_comments: bool = False) -> bytes:
    """Write a node as exclusive canonical XML."""
    octets: bytes = etree.tostring(node, method="c14n", exclusive=True, with_comments=with_comments)
    return octets


def signature(
    covered: bytes,
    by: Identity,
    *,
    uri: str = "",
    transforms: tuple[str, ...] = (ENVELOPED, C14N),
    inside: str = "",
    method: str = ECDSA,
    digest_method: str = SHA256,
    references: int = 1,
) -> str:
    """Make a signature by hand, so that it can be wrong in any single way."""
    value = base64.b64encode(hashlib.sha256(covered).digest()).decode()
    steps = "".join(
        f'<ds:Transform Algorithm="{one}">{inside}</ds:Transform>' for one in transforms
    )
    reference = (
        f'<ds:Reference URI="{uri}"><ds:Transforms>{steps}</ds:Transforms>'
        f'<ds:DigestMethod Algorithm="{digest_method}"></ds:DigestMethod>'
        f"<ds:DigestValue>{value}</ds:DigestValue></ds:Reference>"
    )
    info = (
        f'<ds:SignedInfo xmlns:ds="{DS}">'
        f'<ds:CanonicalizationMethod Algorithm="{C14N}"></ds:CanonicalizationMethod>'
        f'<ds:SignatureMethod Algorithm="{method}"></ds:SignatureMethod>'
        f"{reference * references}</ds:SignedInfo>"
    )
    raw = by.key.sign(canonical(etree.fromstring(info)), ec.ECDSA(hashes.SHA256()))
    r, s = decode_dss_signature(raw)
    text = base64.b64encode(r.to_bytes(32, "big") + s.to_bytes(32, "big")).decode()
    return (
        f'<ds:Signature xmlns:ds="{DS}">{info}'
        f"<ds:SignatureValue>{text}</ds:SignatureValue></ds:Signature>"
    )


def signed(octets: bytes, by: Identity, **options: Any) -> bytes:
    """Sign an alert by hand, over the whole of it."""
    mark = signature(canonical(etree.fromstring(octets)), by, **options)
    return octets.replace(b"</alert>", mark.encode() + b"</alert>")
