"""Signatures of HTTP requests: a small, fixed part of RFC 9421, and digests of bodies (RFC 9530).

One signature a request, made with Ed25519 over components without parameters. Which components
have to be there is decided by `required_components` from the request itself, never by whoever has
signed it; and the algorithm belongs to the key, so that a message never chooses how it is checked.
"""

import base64
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from cbgateway.domain.errors import SignatureInvalidError
from cbgateway.signing.keys import SigningKey, verifies

ALGORITHM = "ed25519"
"""The one algorithm, by its name in the registry of RFC 9421 6.2.2."""

LABEL = "cbgateway"
DOCUMENT_SIGNATURE = "document-signature"
"""The header with the detached JWS over a body's canonical form."""

DERIVED = ("@method", "@authority", "@path", "@query")
BODY_FIELDS = ("content-type", "content-digest")
MEANINGFUL = ("if-match", "idempotency-key", DOCUMENT_SIGNATURE)
"""Fields that change what a request does: signed whenever they are there."""

FIELD_OCTETS_MAX = 2_048  # both fields of a signature are a quarter of that
COMPONENTS_MAX = 16  # twice as many as any request here has
NONCE_CHARACTERS = range(16, 65)  # 128 bits in hexadecimal are 32, in base64 22

_LIST = re.compile(r"([a-z*][a-z0-9_.*-]{0,31})=(\(([^()]*)\)(.*))", re.ASCII | re.DOTALL)
_COMPONENT = re.compile(r'"(@?[a-z0-9-]{1,64})"', re.ASCII)
_PARAMETER = re.compile(
    r';([a-z][a-z0-9_-]*)=(?:(-?[0-9]{1,15})|"([\x20\x21\x23-\x5b\x5d-\x7e]*)")', re.ASCII
)
_SIGNATURE = re.compile(r"([a-z*][a-z0-9_.*-]{0,31})=:([A-Za-z0-9+/=]*):", re.ASCII)
_DIGEST = re.compile(r"sha-256=:([A-Za-z0-9+/=]*):", re.ASCII)
_PARAMETERS = {"created", "expires", "nonce", "keyid", "alg", "tag"}


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """The parts of a request that may be signed.

    Attributes:
        method: in capitals.
        authority: host, with the port unless it is the scheme's own; in small letters.
        path: as it was sent, still percent-encoded.
        query: what follows the question mark, as it was sent; empty when there is none.
        fields: headers by name in small letters; repeated ones joined with a comma and a space.
    """

    method: str
    authority: str
    path: str
    query: str
    fields: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class SignatureInput:
    """What a Signature-Input field says.

    Attributes:
        parameters: the list and its parameters exactly as they were sent; part of what is signed.
    """

    label: str
    components: tuple[str, ...]
    parameters: str
    key_id: str
    created: int | None
    expires: int | None
    nonce: str
    algorithm: str | None


def content_digest(body: bytes) -> str:
    """Give the Content-Digest field of a body (RFC 9530 2)."""
    return f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"


def check_content_digest(field: str, body: bytes) -> None:
    """Refuse a body that is not the one that a digest is of.

    Raises:
        SignatureInvalidError: another body, or a digest that is not one SHA-256.
    """
    if _DIGEST.fullmatch(field) is None:
        msg = "content-digest: one sha-256 digest is needed (RFC 9530)"
        raise SignatureInvalidError(msg)
    if field != content_digest(body):
        msg = "content-digest is not that of the body"
        raise SignatureInvalidError(msg)


def required_components(request: HttpRequest, *, has_body: bool) -> frozenset[str]:
    """Give exactly the components that a request's signature covers."""
    fields = {name for name in MEANINGFUL if name in request.fields}
    return frozenset((*DERIVED, *(BODY_FIELDS if has_body else ()), *fields))


def signature_base(request: HttpRequest, components: Sequence[str], parameters: str) -> bytes:
    """Give the octets that are signed.

    Raises:
        SignatureInvalidError: the request lacks one of the components.

    Spec: RFC 9421 2.5.
    """
    lines = [f'"{name}": {_value(request, name)}' for name in components]
    lines.append(f'"@signature-params": {parameters}')
    return "\n".join(lines).encode("latin-1", "replace")


def _value(request: HttpRequest, name: str) -> str:
    match name:
        case "@method":
            return request.method
        case "@authority":
            return request.authority
        case "@path":
            return request.path or "/"
        case "@query":
            return f"?{request.query}"
        case _:
            return _field(request, name)


def _field(request: HttpRequest, name: str) -> str:
    if name not in request.fields or name.startswith("@"):
        msg = f"the signature covers {name!r}, which the request does not have"
        raise SignatureInvalidError(msg)
    return request.fields[name].strip()


def parse_signature_input(field: str) -> SignatureInput:
    """Read a Signature-Input field with one signature.

    Raises:
        SignatureInvalidError: it is anything else.

    Spec: RFC 9421 4.1, RFC 9651 (the part of it that is used here).
    """
    match = _LIST.fullmatch(field.strip()) if len(field) <= FIELD_OCTETS_MAX else None
    if match is None:
        msg = "signature-input: one signature is needed, as RFC 9421 writes it"
        raise SignatureInvalidError(msg)
    label, parameters, listed, rest = match.groups()
    components = tuple(_COMPONENT.findall(listed))
    if " ".join(f'"{name}"' for name in components) != listed or len(components) > COMPONENTS_MAX:
        msg = "signature-input: the components are plain names in quotes, a space between them"
        raise SignatureInvalidError(msg)
    if len(set(components)) != len(components):
        msg = "signature-input: a component stands there twice"
        raise SignatureInvalidError(msg)
    values = _parameters(rest)
    return SignatureInput(
        label=label,
        components=components,
        parameters=parameters,
        key_id=_text(values, "keyid") or "",
        created=_number(values, "created"),
        expires=_number(values, "expires"),
        nonce=_text(values, "nonce") or "",
        algorithm=_text(values, "alg"),
    )


def _parameters(text: str) -> dict[str, str | int]:
    values: dict[str, str | int] = {}
    place = 0
    while place < len(text):
        match = _PARAMETER.match(text, place)
        if match is None or match[1] not in _PARAMETERS or match[1] in values:
            msg = f"signature-input: parameters are {', '.join(sorted(_PARAMETERS))}, each once"
            raise SignatureInvalidError(msg)
        values[match[1]] = match[3] if match[2] is None else int(match[2])
        place = match.end()
    return values


def _text(values: Mapping[str, str | int], name: str) -> str | None:
    value = values.get(name)
    if value is not None and not isinstance(value, str):
        msg = f"signature-input: {name} is text in quotes"
        raise SignatureInvalidError(msg)
    return value


def _number(values: Mapping[str, str | int], name: str) -> int | None:
    value = values.get(name)
    if value is not None and not isinstance(value, int):
        msg = f"signature-input: {name} is a number of seconds"
        raise SignatureInvalidError(msg)
    return value


def parse_signature(field: str, label: str) -> bytes:
    """Read a Signature field with one signature.

    Raises:
        SignatureInvalidError: it is anything else, or has another label.
    """
    match = _SIGNATURE.fullmatch(field.strip()) if len(field) <= FIELD_OCTETS_MAX else None
    try:
        octets = None if match is None else base64.b64decode(match[2], validate=True)
    except ValueError:
        octets = None
    if match is None or octets is None or match[1] != label:
        msg = f"signature: one signature labelled {label!r} is needed, as RFC 9421 writes it"
        raise SignatureInvalidError(msg)
    return octets


def verify_request(
    request: HttpRequest, lookup: Callable[[str], bytes | None]
) -> tuple[SignatureInput, bytes]:
    """Check a request's signature; gives what it says, and the octets that were signed.

    When it was made, what it covers and whether it was seen before is for the caller to judge.

    Raises:
        SignatureInvalidError: it does not belong to this request and a key that `lookup` knows.

    Spec: RFC 9421 3.2.
    """
    said = parse_signature_input(request.fields.get("signature-input", ""))
    signature = parse_signature(request.fields.get("signature", ""), said.label)
    public_key = lookup(said.key_id)
    if public_key is None:
        msg = f"key {said.key_id[:80]!r} is not known or not trusted here"
        raise SignatureInvalidError(msg)
    if said.algorithm not in {None, ALGORITHM}:
        msg = f"key {said.key_id} is for {ALGORITHM}, the signature says {said.algorithm!r}"
        raise SignatureInvalidError(msg)
    base = signature_base(request, said.components, said.parameters)
    if not verifies(public_key, signature, base):
        msg = f"the signature with key {said.key_id} does not belong to this request"
        raise SignatureInvalidError(msg)
    return said, base


def sign_request(
    method: str,
    url: str,
    fields: Mapping[str, str],
    body: bytes | None,
    key: SigningKey,
    *,
    created: int,
    nonce: str,
) -> dict[str, str]:
    """Give the headers of a signed request: those that are given, and those of the signature.

    Args:
        method: such as ``POST``.
        url: absolute.
        fields: other headers; If-Match, Idempotency-Key and Document-Signature are signed.
        body: None for a request without one.
        key: the caller's.
        created: now, in seconds since the epoch.
        nonce: never used before; 16 to 64 characters.
    """
    headers = {name.lower(): value for name, value in fields.items()}
    if body is not None:
        headers.setdefault("content-type", "application/json")
        headers["content-digest"] = content_digest(body)
    request = request_of(method, url, headers)
    required = required_components(request, has_body=body is not None)
    components = sorted(required, key=[*DERIVED, *BODY_FIELDS, *MEANINGFUL].index)
    listed = " ".join(f'"{name}"' for name in components)
    parameters = f'({listed});created={created};keyid="{key.key_id}";nonce="{nonce}"'
    signature = key.sign(signature_base(request, components, parameters))
    headers["signature-input"] = f"{LABEL}={parameters}"
    headers["signature"] = f"{LABEL}=:{base64.b64encode(signature).decode()}:"
    return headers


def request_of(method: str, url: str, fields: Mapping[str, str]) -> HttpRequest:
    """Give the parts of a request to a URL."""
    parts = urlsplit(url)
    authority = authority_of(parts.netloc, parts.scheme)
    return HttpRequest(method.upper(), authority, parts.path or "/", parts.query, fields)


def authority_of(host: str, scheme: str) -> str:
    """Give a Host field as it is signed: small letters, without the scheme's own port."""
    port = ":443" if scheme == "https" else ":80"
    return host.lower().removesuffix(port)
