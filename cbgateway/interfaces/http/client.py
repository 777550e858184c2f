"""The client's side: sign a request, so that thirty lines of anything else can send it."""

from urllib.parse import urlsplit

from cbgateway.interfaces.schema import parse_json
from cbgateway.service.approval import DECISION
from cbgateway.service.incidents import STEP
from cbgateway.service.intake import SUBMISSION, WITHDRAWAL
from cbgateway.service.proposals import ALARM
from cbgateway.signing.canonical import canonical
from cbgateway.signing.http_messages import DOCUMENT_SIGNATURE, sign_request
from cbgateway.signing.jws import sign_detached
from cbgateway.signing.keys import SigningKey

CONTENTS = {
    "approve": DECISION,
    "return": DECISION,
    "reject": DECISION,
    "withdraw": WITHDRAWAL,
    "submit": SUBMISSION,
    "read": DECISION,
    "transition": STEP,
}
"""What a document is, by the verb at the end of its address."""


def content_of(url: str) -> str:
    """Give the content name of the document that is sent to an address."""
    path = urlsplit(url).path
    if path.endswith("/v1/alarms"):
        return ALARM
    return CONTENTS.get(path.rpartition(":")[2], SUBMISSION)


def signed_headers(
    method: str,
    url: str,
    body: bytes | None,
    key: SigningKey,
    *,
    created: int,
    nonce: str,
    idempotency_key: str = "",
    if_match: str = "",
) -> dict[str, str]:
    """Give every header that a request to the gateway needs.

    Args:
        method: such as ``POST``.
        url: absolute, as the request will have it.
        body: the document's octets, which have to be sent unchanged; None for a request without.
        key: the caller's.
        created: now, in seconds since the epoch.
        nonce: never used before; 16 to 64 characters.
        idempotency_key: the same request under the same key is done once.
        if_match: the ETag that the bulletin had when it was looked at.

    Raises:
        InputError: the body is not a document that the gateway reads.
    """
    fields = {}
    if idempotency_key:
        fields["idempotency-key"] = idempotency_key
    if if_match:
        fields["if-match"] = if_match
    if body is not None:
        document = canonical(parse_json(body))
        fields[DOCUMENT_SIGNATURE] = sign_detached(document, key, content=content_of(url))
    return sign_request(method, url, fields, body, key, created=created, nonce=nonce)
