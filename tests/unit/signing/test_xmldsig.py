"""XML signatures: the keys that may be pinned, and shapes of signatures that are refused."""

from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from cbgateway.domain.errors import KeyUnusableError, SignatureInvalidError
from cbgateway.signing.xmldsig import (
    canonical_xml,
    fingerprint,
    load_certificate,
    load_signing_key,
    parse_xml,
    sign_enveloped,
    verify_signed,
)
from tests.conformance.cap_alerts import DS, alert, identity, rsa_key, signed
from tests.conftest import NOON

VECTORS = Path(__file__).parents[2] / "vectors"


def test_vector_is_verified() -> None:
    """libxmlsec1 verified the same file when it was made."""
    octets = (VECTORS / "cap_signed.xml").read_bytes()
    certificate = load_certificate(VECTORS / "cap_signed.crt")

    assert canonical_xml(parse_xml(alert())) == verify_signed(octets, certificate, at=NOON)


def test_certificates_and_keys_are_read(tmp_path: Path) -> None:
    """Of both kinds, and a fingerprint is of the certificate."""
    for name, key in (("ec", None), ("rsa", rsa_key())):
        one = identity(key)
        one.save(tmp_path, name)
        certificate = load_certificate(tmp_path / f"{name}.crt")
        octets = sign_enveloped(alert(), load_signing_key(tmp_path / f"{name}.pem"), certificate)

        assert verify_signed(octets, certificate, at=NOON)
        assert fingerprint(certificate) == fingerprint(one.certificate)
        assert len(fingerprint(certificate)) == 64


@pytest.mark.parametrize("name", ["weak", "curve", "text", "missing"])
def test_unfit_certificates_are_refused(tmp_path: Path, name: str) -> None:
    """Too weak, another curve, no certificate at all; and so are such keys."""
    if name == "weak":
        identity(rsa_key(1024)).save(tmp_path, name)
    elif name == "curve":
        identity(ec.generate_private_key(ec.SECP384R1())).save(tmp_path, name)
    elif name == "text":
        for suffix in ("crt", "pem"):
            (tmp_path / f"{name}.{suffix}").write_text("nothing")

    with pytest.raises(KeyUnusableError, match=name):
        load_certificate(tmp_path / f"{name}.crt")
    with pytest.raises(KeyUnusableError, match=name):
        load_signing_key(tmp_path / f"{name}.pem")


def test_certificate_of_another_kind_of_key_is_refused(tmp_path: Path) -> None:
    """Ed25519 has no name among the methods of XML signatures that are used."""
    one = identity()
    builder = (
        x509.CertificateBuilder()
        .subject_name(one.certificate.subject)
        .issuer_name(one.certificate.subject)
        .public_key(ed25519.Ed25519PrivateKey.generate().public_key())
        .serial_number(2)
        .not_valid_before(one.certificate.not_valid_before_utc)
        .not_valid_after(one.certificate.not_valid_after_utc)
    )
    certificate = builder.sign(one.key, hashes.SHA256())
    path = tmp_path / "ed.crt"
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    with pytest.raises(KeyUnusableError, match="P-256"):
        load_certificate(path)


def test_odd_shapes_are_refused() -> None:
    """Something before, after or inside the signature, or nothing in it."""
    own = identity()
    good = signed(alert(), own)
    assert verify_signed(good, own.certificate, at=NOON)
    mark = good[good.index(b"<ds:Signature") : good.index(b"</alert>")]
    empty = mark[: mark.index(b"<ds:SignatureValue>")] + b"<ds:SignatureValue></ds:SignatureValue>"
    hidden = f'<ds:Object xmlns:ds="{DS}"/></ds:Signature>'.encode()
    shapes = {
        "after": good.replace(b"</alert>", b"<x/></alert>"),
        "first": good.replace(mark, b"").replace(b"<identifier>", mark + b"<identifier>"),
        "object": good.replace(b"</ds:Signature>", hidden),
        "comment": good.replace(b"</ds:Signature>", b"<!-- --></ds:Signature>"),
        "empty": good.replace(mark, empty + b"</ds:Signature>"),
        "only a part": good.replace(mark, mark[: mark.index(b">") + 1] + b"</ds:Signature>"),
        "no method": good.replace(b"xmldsig-more#ecdsa-sha256", b""),
        "no signature": alert(),
    }

    for name, octets in shapes.items():
        with pytest.raises(SignatureInvalidError):
            pytest.fail(f"{name}: {verify_signed(octets, own.certificate, at=NOON)!r}")
