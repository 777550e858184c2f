"""Who asks: a signature (RFC 9421) for everything, a bearer token for reading only."""

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from fastapi import Request

from cbgateway.domain.errors import PermissionDeniedError, SignatureInvalidError
from cbgateway.domain.people import Person
from cbgateway.interfaces.http.backend import Backend
from cbgateway.interfaces.http.limits import SIGNATURE_WINDOW_S
from cbgateway.interfaces.http.problems import HttpError
from cbgateway.interfaces.http.tokens import TOKEN_CHARACTERS_MAX
from cbgateway.signing.http_messages import (
    NONCE_CHARACTERS,
    HttpRequest,
    SignatureInput,
    authority_of,
    check_content_digest,
    required_components,
    verify_request,
)
from cbgateway.signing.jws import key_id_in

BEARER = re.compile(r"[Bb]earer ([A-Za-z0-9_.~+/-]{1,128}=*)", re.ASCII)
UNKNOWN_TOKEN = "the bearer token is not one that counts here"  # noqa: S105 - a sentence
WINDOW = timedelta(seconds=SIGNATURE_WINDOW_S)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who has signed a request, and what tells the request from others.

    Attributes:
        nonce: which the caller never uses again for another request.
        digest: of the octets that were signed.
        nonce_until: after this the signature's own time refuses it.
    """

    person: Person
    key_id: str
    nonce: str
    digest: str
    nonce_until: datetime


def check_reader(backend: Backend, request: Request) -> None:
    """Refuse somebody who may not read.

    Raises:
        HttpError: it is not known who asks, or the signature is not one for now.
        SignatureInvalidError: the signature does not belong to the request.
        PermissionDeniedError: the permissions of whoever asks were revoked.
    """
    field = request.headers.get("authorization", "")
    if field:
        match = BEARER.fullmatch(field) if len(field) <= TOKEN_CHARACTERS_MAX else None
        now = backend.clock.now()
        if match is None or backend.tokens.holder(match[1], now=now) is None:
            raise HttpError("unauthenticated", UNKNOWN_TOKEN)
        return
    authenticate(backend, request, None)


def authenticate(backend: Backend, request: Request, body: bytes | None) -> Caller:
    """Give who has signed a request.

    Args:
        backend: knows keys and people.
        request: its headers.
        body: None for a request without one.

    Raises:
        HttpError: there is no signature, or it covers too little or too much, or is not for now.
        SignatureInvalidError: the signature does not belong to the request.
        PermissionDeniedError: the permissions of whoever asks were revoked.
    """
    message = message_of(request)
    if "signature-input" not in message.fields:
        msg = "a signature (RFC 9421) is needed; for reading, a bearer token does as well"
        raise HttpError("unauthenticated", msg)
    now = backend.clock.now()
    holders: list[Person] = []

    def lookup(key_id: str) -> bytes | None:
        with backend.lookup.read() as tx:
            key = tx.person_key(key_id)
            person = None if key is None else tx.person(key.holder)
        if key is None or person is None or not key.is_valid_at(now):
            return None
        holders.append(person)
        return key.public_key

    said, base = verify_request(message, lookup)
    person = holders[0]
    _check_components(message, said, has_body=body is not None)
    created = _check_time(said, now)
    if len(said.nonce) not in NONCE_CHARACTERS:
        msg = (
            f"a nonce of {NONCE_CHARACTERS.start} to {NONCE_CHARACTERS.stop - 1} characters "
            "is needed"
        )
        raise HttpError("signature-components", msg)
    if body is not None:
        check_content_digest(message.fields["content-digest"], body)
    if message.authority not in backend.names:
        msg = f"the request is for {message.authority[:80]!r}, which is not a name of this gateway"
        raise SignatureInvalidError(msg)
    if person.is_revoked:
        msg = f"the permissions of {person.name!r} were revoked"
        raise PermissionDeniedError(msg)
    digest = hashlib.sha256(base).hexdigest()
    return Caller(person, said.key_id, said.nonce, digest, created + WINDOW)


def message_of(request: Request) -> HttpRequest:
    """Give the parts of a request that may be signed."""
    fields: dict[str, str] = {}
    for raw_name, raw_value in request.scope["headers"]:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1").strip()
        fields[name] = f"{fields[name]}, {value}" if name in fields else value
    return HttpRequest(
        method=request.method,
        authority=authority_of(fields.get("host", ""), request.scope["scheme"]),
        path=request.scope["raw_path"].decode("latin-1"),
        query=request.scope["query_string"].decode("latin-1"),
        fields=fields,
    )


def document_signature(request: Request, caller: Caller) -> str:
    """Give the signature over the body's document, which is kept as evidence.

    Raises:
        HttpError: there is none.
        SignatureInvalidError: another key has made it than the request's.
    """
    signature = request.headers.get("document-signature", "")
    if not signature:
        msg = "the header Document-Signature is needed: a detached JWS over the document"
        raise HttpError("unauthenticated", msg)
    if key_id_in(signature) != caller.key_id:
        msg = "request and document have to be signed with the same key"
        raise SignatureInvalidError(msg)
    return signature


def _check_components(message: HttpRequest, said: SignatureInput, *, has_body: bool) -> None:
    required = required_components(message, has_body=has_body)
    missing = sorted(required - set(said.components))
    beyond = sorted(set(said.components) - required)
    if missing or beyond:
        msg = (
            f"the signature has to cover exactly {', '.join(sorted(required))}; "
            f"missing: {', '.join(missing) or 'none'}; beyond: {', '.join(beyond) or 'none'}"
        )
        raise HttpError("signature-components", msg)


def _check_time(said: SignatureInput, now: datetime) -> datetime:
    if said.created is None:
        msg = "the signature has to say when it was created"
        raise HttpError("signature-components", msg)
    now_s = now.timestamp()
    if abs(now_s - said.created) > SIGNATURE_WINDOW_S:
        msg = (
            f"the signature was created {said.created - now_s:+.0f} s from now; "
            f"{SIGNATURE_WINDOW_S} s are allowed both ways"
        )
        raise HttpError("signature-time", msg)
    if said.expires is not None and said.expires <= now_s:
        msg = "the signature has expired, by its own words"
        raise HttpError("signature-time", msg)
    return datetime.fromtimestamp(said.created, UTC)
