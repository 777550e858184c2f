"""Problems (RFC 9457): every refusal with a status, a stable type and a sentence.

The rules' own errors keep the names that they have on the command line; what only HTTP can get
wrong has names here. docs/http.md lists both.
"""

import json
from collections.abc import Mapping
from typing import Any

from fastapi.responses import Response

from cbgateway.domain.errors import (
    AuditError,
    BudgetExhaustedError,
    ConfigurationError,
    DeliveryError,
    DiskFullError,
    DuplicateError,
    EncodeError,
    GatewayError,
    IdentifierReusedError,
    InputError,
    KeyUnusableError,
    MalformedError,
    PermissionDeniedError,
    PolicyError,
    SamePersonError,
    SerialsExhaustedError,
    SignatureInvalidError,
    StoreError,
    UnknownNameError,
    WorkflowError,
)
from cbgateway.interfaces.http.limits import HEAD_OCTETS_MAX

MEDIA_TYPE = "application/problem+json"
PREFIX = "urn:cbgateway:problem:"
CHALLENGE = 'Bearer realm="cbgateway", Signature realm="cbgateway"'
HEAD_TOO_LONG = f"at most {HEAD_OCTETS_MAX} octets of headers are read"
CLOSING = {"connection": "close"}

FAULTS: Mapping[str, tuple[int, str]] = {
    "body-empty": (400, "A document is needed, and there was none."),
    "json-syntax": (400, "The body is not JSON."),
    "json-duplicate-key": (400, "A key stands in the body twice."),
    "json-number": (400, "A number in the body is none that JSON has, or has too many digits."),
    "json-depth": (400, "The body is nested too deeply."),
    "header-invalid": (400, "A header does not have the form that is read."),
    "framing": (400, "The request does not say in one way where it ends."),
    "unauthenticated": (401, "It is not known who asks."),
    "signature-components": (401, "The signature does not cover what it has to, or covers more."),
    "signature-time": (401, "The signature was made too long ago, or in the future."),
    "not-found": (404, "There is nothing here."),
    "method-not-allowed": (405, "This cannot be done here."),
    "body-timeout": (408, "The body did not come in time."),
    "replay": (409, "The nonce was used for another request."),
    "idempotency-key-reused": (409, "The Idempotency-Key was used for another request."),
    "precondition-failed": (412, "It has changed since it was looked at."),
    "body-too-large": (413, "The body has more octets than are read."),
    "media-type": (415, "The body's type or encoding is not one that is read."),
    "too-many-requests": (429, "That was asked too often for now."),
    "headers-too-many": (431, "The request has more or longer headers than are read."),
    "internal": (500, "A fault of the gateway; its log says more."),
    "too-busy": (503, "As many connections as may be are in use."),
    "not-ready": (503, "The gateway is starting, stopping or has failed."),
    "answer-timeout": (504, "The answer took too long; whether it was done is not known."),
}
"""What only HTTP can get wrong: status and title by name."""

STATUSES: tuple[tuple[type[GatewayError], int], ...] = (
    (UnknownNameError, 422),
    (SamePersonError, 403),
    (PermissionDeniedError, 403),
    (WorkflowError, 409),
    (IdentifierReusedError, 409),
    (DuplicateError, 409),
    (SerialsExhaustedError, 409),
    (BudgetExhaustedError, 429),
    (PolicyError, 422),
    (InputError, 422),
    (EncodeError, 422),
    (SignatureInvalidError, 401),
    (DiskFullError, 507),
    (StoreError, 503),
    (AuditError, 503),
    (KeyUnusableError, 503),
    (ConfigurationError, 503),
    (DeliveryError, 502),
)
"""The first that an error belongs to counts; everything else is a fault of the gateway."""

RESOURCES = {"bulletin", "incident"}
"""What an unknown name of is answered with 404: it stands in the path."""


class HttpError(Exception):
    """A request is refused for what only HTTP can get wrong.

    Attributes:
        fault: a name of `FAULTS`.
        headers: to answer with, beside the problem.
    """

    def __init__(self, fault: str, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.fault = fault
        self.headers = dict(headers or {})

    @property
    def status(self) -> int:
        """The status that it is answered with."""
        return FAULTS[self.fault][0]


def status_of(error: GatewayError) -> int:
    """Give the status that a rule's error is answered with."""
    if isinstance(error, MalformedError):
        return FAULTS[error.fault][0]
    if isinstance(error, UnknownNameError) and error.what in RESOURCES:
        return FAULTS["not-found"][0]
    return next((status for kind, status in STATUSES if isinstance(error, kind)), 500)


def problem_of(error: GatewayError | HttpError) -> tuple[int, dict[str, Any], dict[str, str]]:
    """Give an error as status, problem document and headers."""
    headers: dict[str, str] = {}
    extra: dict[str, Any] = {}
    if isinstance(error, HttpError):
        name, (status, title) = error.fault, FAULTS[error.fault]
        headers |= error.headers
    elif isinstance(error, MalformedError):
        name, (status, title) = error.fault, FAULTS[error.fault]
    else:
        name, status = error.code, status_of(error)
        title = (type(error).__doc__ or "").splitlines()[0]
        if isinstance(error, InputError):
            extra["problems"] = list(error.problems)
        if isinstance(error, BudgetExhaustedError):
            headers["retry-after"] = str(max(1, round(error.refills_in_s)))
    if status == FAULTS["unauthenticated"][0]:
        headers["www-authenticate"] = CHALLENGE
    return status, document(name, status, title, str(error), extra), headers


def document(
    name: str, status: int, title: str, detail: str, extra: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Give a problem document."""
    return {
        "type": PREFIX + name,
        "title": title,
        "status": status,
        "detail": detail,
        **(extra or {}),
    }


def octets_of(problem: Mapping[str, Any]) -> bytes:
    """Write a problem document; what no encoding can carry is written as it is escaped in JSON."""
    return json.dumps(problem, ensure_ascii=True).encode("ascii")


def response_of(error: GatewayError | HttpError) -> Response:
    """Give the response that refuses a request."""
    status, problem, headers = problem_of(error)
    return Response(octets_of(problem), status, headers, MEDIA_TYPE)
