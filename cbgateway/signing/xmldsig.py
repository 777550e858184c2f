"""XML read without surprises, and its signatures in one fixed profile (CAP 1.2 3.3.4.1).

One enveloped signature, last in the root, with algorithms that the message does not choose and a
key that is pinned beforehand. What is read afterwards are the octets that were signed, so that
nothing beside, around or inside them can mislead.
"""

import re
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from lxml import etree
from signxml.algorithms import CanonicalizationMethod, DigestAlgorithm, SignatureMethod
from signxml.exceptions import SignXMLException
from signxml.signer import XMLSigner
from signxml.verifier import SignatureConfiguration, VerifyResult, XMLVerifier

from cbgateway.domain.errors import InputError, KeyUnusableError, SignatureInvalidError

DOCUMENT_OCTETS_MAX = 262_144  # 256 KiB, as for JSON: a hundred times the longest honest alert
SAID_ENCODING = re.compile(rb"""(?:\xef\xbb\xbf)?<\?xml[^>]*?encoding\s*=\s*["']([^"'>]*)""")
RSA_BITS_MIN = 2048  # what a signature of today still has to hold for some years
NAMESPACE = "http://www.w3.org/2000/09/xmldsig#"
SIGNATURE = f"{{{NAMESPACE}}}Signature"
EXCLUSIVE = CanonicalizationMethod.EXCLUSIVE_XML_CANONICALIZATION_1_0
ENVELOPED = "http://www.w3.org/2000/09/xmldsig#enveloped-signature"
METHODS = {
    SignatureMethod.RSA_SHA256.value: RSAPublicKey,
    SignatureMethod.ECDSA_SHA256.value: EllipticCurvePublicKey,
}
"""The key decides which of them counts."""

PARTS = (["SignedInfo", "SignatureValue"], ["SignedInfo", "SignatureValue", "KeyInfo"])
"""Of a signature: an Object would be a place to hide the signed alert in."""

VERIFY_ERRORS = (SignXMLException, etree.LxmlError, ValueError, TypeError, UnsupportedAlgorithm)
"""What the library raises; the type error is its answer to an empty value."""

SigningKey = RSAPrivateKey | EllipticCurvePrivateKey


def parse_xml(octets: bytes) -> etree._Element:
    """Read an XML document: UTF-8, no DOCTYPE, no instructions; nothing is fetched or expanded.

    Raises:
        InputError: it is anything else.
    """
    if len(octets) > DOCUMENT_OCTETS_MAX:
        msg = f"the document has {len(octets)} octets, at most {DOCUMENT_OCTETS_MAX} are read"
        raise InputError(msg)
    try:
        octets.decode("utf-8")
    except UnicodeDecodeError as error:
        msg = f"not UTF-8 text: {error}"
        raise InputError(msg) from error
    if b"<!DOCTYPE" in octets or b"<!ENTITY" in octets:
        msg = "a DOCTYPE stands there; documents with one are not read"
        raise InputError(msg)
    said = SAID_ENCODING.match(octets)
    if said is not None and said[1].upper() not in {b"UTF-8", b"UTF8"}:
        msg = "the document says that it is in another encoding; UTF-8 is read"
        raise InputError(msg)
    try:
        root = etree.fromstring(octets, _parser())
    except (etree.XMLSyntaxError, ValueError) as error:
        msg = f"not XML: {error}"
        raise InputError(msg) from error
    _refuse_instructions(root.itersiblings(preceding=True))
    _refuse_instructions(root.iter())
    _refuse_instructions(root.itersiblings())
    return root


def canonical_xml(root: etree._Element) -> bytes:
    """Write a document in its one canonical form, without comments and without its signature.

    Spec: Exclusive XML Canonicalization 1.0; XML Signature 6.6.4.
    """
    copy = etree.fromstring(etree.tostring(root), _parser())
    for signature in copy.findall(SIGNATURE):
        copy.remove(signature)
    octets: bytes = etree.tostring(copy, method="c14n", exclusive=True, with_comments=False)
    return octets


def is_signed(root: etree._Element) -> bool:
    """Tell whether there is anything of a signature in a document, wherever it stands."""
    return next(root.iter(f"{{{NAMESPACE}}}*"), None) is not None


def verify_signed(octets: bytes, certificate: x509.Certificate, *, at: datetime) -> bytes:
    """Check the signature of a document and give the canonical octets that it covers.

    Args:
        octets: the document.
        certificate: of the only key that counts.
        at: now; the certificate has to be valid.

    Raises:
        InputError: it is no XML document as `parse_xml` reads it.
        SignatureInvalidError: anything but one signature over the root, by this key, in the
            one profile.
    """
    root = parse_xml(octets)
    _check_profile(root, certificate)
    config = SignatureConfiguration(
        location="./",
        expect_references=1,
        signature_methods=frozenset(map(SignatureMethod, METHODS)),
        digest_algorithms=frozenset({DigestAlgorithm.SHA256}),
        verification_time=at,
        ignore_ambiguous_key_info=True,  # no key that comes with the document counts
    )
    try:
        result = XMLVerifier().verify(
            octets, x509_cert=certificate, parser=_parser(), expect_config=config
        )
    except VERIFY_ERRORS as error:
        msg = f"the signature does not hold: {error}"
        raise SignatureInvalidError(msg) from error
    signed = result.signed_data if isinstance(result, VerifyResult) else b""
    if signed != canonical_xml(root):
        msg = "what was signed is not this document"
        raise SignatureInvalidError(msg)
    return signed


def sign_enveloped(octets: bytes, key: SigningKey, certificate: x509.Certificate) -> bytes:
    """Sign a document in the profile that `verify_signed` checks."""
    method = (
        SignatureMethod.RSA_SHA256
        if isinstance(key, RSAPrivateKey)
        else SignatureMethod.ECDSA_SHA256
    )
    signer = XMLSigner(
        signature_algorithm=method,
        digest_algorithm=DigestAlgorithm.SHA256,
        c14n_algorithm=EXCLUSIVE,
    )
    root = signer.sign(parse_xml(octets), key=key, cert=[certificate], always_add_key_value=False)
    signed: bytes = etree.tostring(root, xml_declaration=True, encoding="UTF-8")
    return signed


def load_certificate(path: Path) -> x509.Certificate:
    """Read a certificate (PEM) whose key is fit to be pinned.

    Raises:
        KeyUnusableError: it is missing, no certificate, or its key is too weak.
    """
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
        public = certificate.public_key()
    except (OSError, ValueError, UnsupportedAlgorithm) as error:
        msg = f"certificate {path}: {error}"
        raise KeyUnusableError(msg) from error
    _check_key(path, public)
    return certificate


def load_signing_key(path: Path) -> SigningKey:
    """Read the private key (PEM, PKCS #8) that exports are signed with.

    Raises:
        KeyUnusableError: it is missing, no key, or of a kind that is not used here.
    """
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        msg = f"key {path}: {error}"
        raise KeyUnusableError(msg) from error
    _check_key(path, key.public_key())
    assert isinstance(key, RSAPrivateKey | EllipticCurvePrivateKey)  # noqa: S101 - just checked
    return key


def fingerprint(certificate: x509.Certificate) -> str:
    """Give the SHA-256 of a certificate, in hexadecimal."""
    return certificate.fingerprint(SHA256()).hex()


def _parser() -> etree.XMLParser:
    return etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        attribute_defaults=False,
        huge_tree=False,
        encoding="utf-8",
    )


def _refuse_instructions(nodes: object) -> None:
    for node in nodes:  # type: ignore[attr-defined] # lxml's iterators
        if node.tag is etree.ProcessingInstruction:
            msg = f"line {node.sourceline}: a processing instruction; none is read"
            raise InputError(msg)


def _check_key(path: Path, public: object) -> None:
    is_strong_rsa = isinstance(public, RSAPublicKey) and public.key_size >= RSA_BITS_MIN
    is_p256 = isinstance(public, EllipticCurvePublicKey) and isinstance(public.curve, SECP256R1)
    if not is_strong_rsa and not is_p256:
        msg = f"{path}: keys are ECDSA on P-256, or RSA of {RSA_BITS_MIN} bits and more"
        raise KeyUnusableError(msg)


def _check_profile(root: etree._Element, certificate: x509.Certificate) -> None:
    """Refuse every signature but one whose shape leaves nothing to choose."""
    signatures = list(root.iter(SIGNATURE))
    if len(signatures) != 1:
        msg = f"{len(signatures)} signatures stand there; exactly one is checked"
        raise SignatureInvalidError(msg)
    signature = signatures[0]
    if signature.getparent() is not root or signature.getnext() is not None:
        msg = "the signature has to be the last in the alert, not inside something else"
        raise SignatureInvalidError(msg)
    if [_local(child) for child in signature] not in PARTS:
        msg = "the signature holds more than what is signed, its value and its key"
        raise SignatureInvalidError(msg)
    info = signature[0]
    method = METHODS.get(_algorithm(info, "SignatureMethod"))
    if method is None or not isinstance(certificate.public_key(), method):
        msg = "the signature's algorithm is not the one of the pinned key"
        raise SignatureInvalidError(msg)
    names = [_local(child) for child in info]
    if names != ["CanonicalizationMethod", "SignatureMethod", "Reference"]:
        msg = "the signature has more than one reference, or none"
        raise SignatureInvalidError(msg)
    _check_reference(info)


def _check_reference(info: etree._Element) -> None:
    reference = info[2]
    transforms = reference.find(f"{{{NAMESPACE}}}Transforms")
    chosen = [] if transforms is None else [child.get("Algorithm") for child in transforms]
    if (
        dict(reference.attrib) != {"URI": ""}
        or chosen != [ENVELOPED, EXCLUSIVE.value]
        or any(len(child) for child in transforms)
        or len(info[0])
        or _algorithm(info, "CanonicalizationMethod") != EXCLUSIVE.value
        or _algorithm(reference, "DigestMethod") != DigestAlgorithm.SHA256.value
    ):
        msg = (
            "the signature has to cover the whole alert, by the transforms enveloped-signature "
            "and exclusive canonicalization and SHA-256, and nothing else"
        )
        raise SignatureInvalidError(msg)


def _local(node: etree._Element) -> str:
    return etree.QName(node).localname if isinstance(node.tag, str) else ""


def _algorithm(parent: etree._Element, name: str) -> str:
    found = parent.find(f"{{{NAMESPACE}}}{name}")
    return "" if found is None else str(found.get("Algorithm"))
