"""Signed requests: RFC 9421's own vector, another implementation, and all that is refused."""

import base64
from dataclasses import replace
from typing import Any

import http_message_signatures as oracle
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from http_message_signatures import algorithms
from hypothesis import given
from hypothesis import strategies as st

from cbgateway.domain.errors import SignatureInvalidError
from cbgateway.signing.http_messages import (
    HttpRequest,
    authority_of,
    check_content_digest,
    content_digest,
    parse_signature,
    parse_signature_input,
    request_of,
    required_components,
    sign_request,
    signature_base,
    verify_request,
)
from cbgateway.signing.keys import KNOWN_KEYS, SigningKey

# RFC 9421 B.1.4 and B.2: the public half of test-key-ed25519, the request, and what B.2.6 signs.
RFC_KEY = base64.urlsafe_b64decode("JrQLj5P_89iXES9-vFgrIy29clF9CC_oPPsw3c5D0bs=")
RFC_INPUT = (
    'sig-b26=("date" "@method" "@path" "@authority" "content-type" "content-length")'
    ';created=1618884473;keyid="test-key-ed25519"'
)
RFC_SIGNATURE = (
    "sig-b26=:wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw"
    "==:"
)
RFC_BASE = """\
"date": Tue, 20 Apr 2021 02:07:55 GMT
"@method": POST
"@path": /foo
"@authority": example.com
"content-type": application/json
"content-length": 18
"@signature-params": ("date" "@method" "@path" "@authority" "content-type" "content-length")\
;created=1618884473;keyid="test-key-ed25519\""""
RFC_REQUEST = HttpRequest(
    method="POST",
    authority="example.com",
    path="/foo",
    query="param=Value&Pet=dog",
    fields={
        "host": "example.com",
        "date": "Tue, 20 Apr 2021 02:07:55 GMT",
        "content-type": "application/json",
        "content-length": "18",
        "signature-input": RFC_INPUT,
        "signature": RFC_SIGNATURE,
    },
)
URL = "https://alerts.example/v1/incidents?draft=true"
BODY = b'{"hello": "world"}'
KEY = SigningKey.generate()


def signed(body: bytes | None = BODY, **fields: str) -> HttpRequest:
    """Give a request that was signed as clients do."""
    headers = sign_request("POST", URL, fields, body, KEY, created=1_618_884_473, nonce="n" * 16)
    return request_of("POST", URL, headers)


def lookup(key_id: str) -> bytes | None:
    """Know one key."""
    return KEY.public_key if key_id == KEY.key_id else None


def test_rfc_vector_verifies() -> None:
    """B.2.6: the signature base and the signature of the specification."""
    said, base = verify_request(RFC_REQUEST, {"test-key-ed25519": RFC_KEY}.get)

    assert RFC_BASE.encode() == base
    assert ("test-key-ed25519", 1_618_884_473, None, "") == (
        said.key_id,
        said.created,
        said.algorithm,
        said.nonce,
    )


@pytest.mark.parametrize(
    "change",
    [
        {"method": "PUT"},
        {"path": "/bar"},
        {"authority": "example.org"},
        {"fields": RFC_REQUEST.fields | {"content-length": "19"}},
        {"fields": RFC_REQUEST.fields | {"date": "Tue, 20 Apr 2021 02:07:56 GMT"}},
    ],
)
def test_rfc_vector_is_refused_when_changed(change: Any) -> None:
    """Every component that it covers counts."""
    with pytest.raises(SignatureInvalidError, match="does not belong"):
        verify_request(replace(RFC_REQUEST, **change), {"test-key-ed25519": RFC_KEY}.get)


def test_key_of_the_rfc_is_known_to_everybody() -> None:
    """Its private half stands in the specification: `doctor` refuses it."""
    assert RFC_KEY in KNOWN_KEYS


def test_digest_is_that_of_rfc_9530() -> None:
    """The example of RFC 9530 appendix D, which ends in a line feed."""
    field = "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:"

    assert field == content_digest(BODY + b"\n")
    check_content_digest(field, BODY + b"\n")
    for wrong in (field, "md5=:YWJj:", "", field + ", " + field):
        with pytest.raises(SignatureInvalidError):
            check_content_digest(wrong, BODY)


class Message:
    """A request as the other implementation takes it."""

    def __init__(self, headers: dict[str, str]) -> None:
        self.method = "POST"
        self.url = URL
        self.headers = headers


class Keys(oracle.HTTPSignatureKeyResolver):
    """Gives both halves of the one key."""

    def resolve_public_key(self, key_id: str) -> Any:
        """Give the public half."""
        return Ed25519PublicKey.from_public_bytes(KEY.public_key)

    def resolve_private_key(self, key_id: str) -> Any:
        """Give the private half."""
        return KEY._private


def test_other_implementation_accepts_ours() -> None:
    """What our client signs, somebody else's verifier takes."""
    request = signed(**{"idempotency-key": "k-1", "document-signature": "a..b"})
    names = {"content-type": "Content-Type", "content-digest": "Content-Digest"}
    message = Message({names.get(name, name.title()): v for name, v in request.fields.items()})
    verifier = oracle.HTTPMessageVerifier(
        signature_algorithm=algorithms.ED25519, key_resolver=Keys()
    )
    verifier.validate_created_and_expires = lambda *_, **__: None  # type: ignore[method-assign]
    (result,) = verifier.verify(message)

    assert set(required_components(request, has_body=True)) == {
        name.strip('"') for name in result.covered_components if "signature-params" not in name
    }


def test_ours_accepts_the_other_implementation() -> None:
    """What somebody else's client signs, we take."""
    message = Message({"Content-Type": "application/json"})
    signer = oracle.HTTPMessageSigner(signature_algorithm=algorithms.ED25519, key_resolver=Keys())
    signer.sign(
        message,
        key_id=KEY.key_id,
        nonce="n" * 22,
        body=BODY,
        covered_component_ids=("@method", "@authority", "@path", "@query", "content-digest"),
    )
    fields = {name.lower(): value for name, value in message.headers.items()}
    said, _ = verify_request(request_of("POST", URL, fields), lookup)

    check_content_digest(fields["content-digest"], BODY)
    assert (KEY.key_id, "n" * 22, "ed25519") == (said.key_id, said.nonce, said.algorithm)


@pytest.mark.parametrize(
    ("body", "fields", "expected"),
    [
        (None, {}, {"@method", "@authority", "@path", "@query"}),
        (
            BODY,
            {"if-match": '"a"', "x-more": "1"},
            {"@method", "@authority", "@path", "@query", "content-type", "content-digest"}
            | {"if-match"},
        ),
    ],
)
def test_components_follow_from_the_request(body: Any, fields: Any, expected: set[str]) -> None:
    """Neither more nor less than what decides what it does."""
    request = signed(body, **fields)
    said, _ = verify_request(request, lookup)

    assert expected == set(said.components)
    assert expected == required_components(request, has_body=body is not None)


SOUND = signed().fields["signature-input"]


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ("", "one signature is needed"),
        ("cbgateway", "one signature is needed"),
        (SOUND + ', b=("@method");created=1', "parameters are"),
        ('a=("@method"  "@path");created=1', "plain names"),
        ('a=("@method";req);created=1', "plain names"),
        ('a=("Date");created=1', "plain names"),
        ('a=("@method" "@method");created=1', "twice"),
        ("a=(" + " ".join(f'"x{n}"' for n in range(17)) + ");created=1", "plain names"),
        ('a=("@method");created="soon"', "number of seconds"),
        ('a=("@method");keyid=1', "text in quotes"),
        ('a=("@method");created=1;created=2', "each once"),
        ('a=("@method");other=1', "parameters are"),
        ('a=("@method");keyid="' + "k" * 3000 + '"', "one signature is needed"),
    ],
)
def test_field_that_is_something_else_is_refused(field: str, words: str) -> None:
    """Only the small part of structured fields that is used here is read."""
    with pytest.raises(SignatureInvalidError, match=words):
        parse_signature_input(field)


@pytest.mark.parametrize("field", ["", "a=:AAAA:", "cbgateway=AAAA", "cbgateway=:A:", "x" * 3000])
def test_signature_of_another_form_is_refused(field: str) -> None:
    """One signature, with the label that the input has."""
    with pytest.raises(SignatureInvalidError, match="labelled 'cbgateway'"):
        parse_signature(field, "cbgateway")


@given(st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126), max_size=120))
def test_any_field_is_read_or_refused(field: str) -> None:
    """Nothing else comes out."""
    for text in (field, 'a=("@method");' + field, SOUND + field):
        try:
            said = parse_signature_input(text)
        except SignatureInvalidError:
            continue
        assert said.parameters in text


def test_unknown_key_and_other_algorithm_are_refused() -> None:
    """The key's record says which algorithm; a message does not choose."""
    request = signed()
    with pytest.raises(SignatureInvalidError, match="not known"):
        verify_request(request, lambda _: None)
    said = request.fields["signature-input"] + ';alg="hmac-sha256"'
    with pytest.raises(SignatureInvalidError, match="is for ed25519"):
        verify_request(replace(request, fields={**request.fields, "signature-input": said}), lookup)


def test_component_that_is_not_there_is_refused() -> None:
    """A signature over a header that the request lacks, or a derived component we have not."""
    for name in ("x-missing", "@status", "@target-uri"):
        with pytest.raises(SignatureInvalidError, match="does not have"):
            signature_base(RFC_REQUEST, (name,), "()")


@pytest.mark.parametrize(
    ("host", "scheme", "expected"),
    [
        ("Alerts.Example:443", "https", "alerts.example"),
        ("alerts.example:443", "http", "alerts.example:443"),
        ("alerts.example:80", "http", "alerts.example"),
    ],
)
def test_authority_leaves_the_schemes_own_port_out(host: str, scheme: str, expected: str) -> None:
    """RFC 9421 2.2.3: as RFC 3986 normalises it."""
    assert expected == authority_of(host, scheme)
