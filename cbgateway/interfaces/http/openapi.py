"""The OpenAPI 3.1 document: what FastAPI makes of the routes, with bodies, headers and examples."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from cbgateway.interfaces.http import documents
from cbgateway.interfaces.schema import BulletinDocument
from cbgateway.interfaces.steps import TransitionDocument

REFERENCE = "#/components/schemas/{model}"
TITLE = "cbgateway"
DESCRIPTION = """\
Outage bulletins to phones. What is accepted is committed before the answer is given.

Whatever changes something is signed twice with the caller's Ed25519 key: the request (RFC 9421,
with a nonce) and the document in its body (a detached JWS over its canonical form, RFC 8785, in the
header Document-Signature), which is kept as evidence. Reading takes a signed request or a bearer
token. docs/http.md in the sources says how; `cbgateway api sign` does it.
"""
SAFE = {"get"}
OPEN = {"/healthz", "/readyz", "/.well-known/cbgateway-keys.json"}
PROBLEM = {"application/problem+json": {"schema": {"$ref": REFERENCE.format(model="Problem")}}}

ERRORS: dict[int | str, dict[str, Any]] = {
    "4XX": {"description": "Refused; `type` says why.", "content": PROBLEM},
    "5XX": {"description": "Not possible now; `type` says why.", "content": PROBLEM},
}

TIME = "2021-10-25T02:18:00.000+00:00"
INCIDENT = {
    "id": "kt-20211025",
    "carrier": "kt",
    "services": ["voice", "mobile_data"],
    "started_at": "2021-10-25T11:16:00+09:00",
}
FIRST = {
    "schema": 1,
    "identifier": "noc-0001",
    "sender": "monitor",
    "incident": INCIDENT,
    "kind": "first",
    "regions": ["KR"],
    "texts": {"ko": "[과기정통부] 11:16부터 전국 KT 통신 장애. 원인 확인 중. 다음 안내 12:00"},
    "next_update": "PT30M",
}
BODIES: dict[str, tuple[type[BaseModel], dict[str, Any]]] = {
    "bulletin": (BulletinDocument, FIRST),
    "update": (
        BulletinDocument,
        FIRST | {"identifier": "noc-0002", "incident": "kt-20211025", "kind": "progress"},
    ),
    "approval": (
        documents.ApprovalDocument,
        {
            "decision": "approve",
            "bulletin": "kt-20211025/1",
            "plan": "6f1ed002ab5595859014ebf0951522d9" * 2,
            "at": TIME,
            "confirmation": "live 17 regions",
        },
    ),
    "return": (
        documents.ReturnDocument,
        {"decision": "return", "bulletin": "kt-20211025/1", "reason": "name the city"},
    ),
    "reject": (
        documents.RejectDocument,
        {"decision": "reject", "bulletin": "kt-20211025/1", "reason": "not an outage"},
    ),
    "take-back": (
        documents.TakeBackDocument,
        {"decision": "take-back", "bulletin": "kt-20211025/1", "reason": "false alarm"},
    ),
    "receipt": (
        documents.ReceiptDocument,
        {"decision": "briefing-read", "bulletin": "kt-20211025/1", "reader": "desk 7"},
    ),
    "transition": (
        TransitionDocument,
        {
            "decision": "transition",
            "incident": "kt-20211025",
            "from": "identified",
            "to": "monitoring",
            "reason": "all alarms are cleared",
        },
    ),
    "question": (
        documents.QuestionDocument,
        {"question": "카드 결제는 언제 되나요?", "source": "desk 7"},
    ),
    "alarm": (
        documents.Alarm,
        {
            "@type": "Alarm",
            "id": "ALM-4711",
            "sourceSystemId": "kt",
            "probableCause": "routingFailure",
            "alarmRaisedTime": "2021-10-25T11:16:20+09:00",
            "state": "raised",
            "place": [{"id": "KR-26"}],
            "affectedService": [{"name": "mobile_data"}],
        },
    ),
    "service-problem": (
        documents.ServiceProblem,
        {
            "@type": "ServiceProblem",
            "id": "SP-12",
            "category": "serviceProvider",
            "reason": "routing",
            "status": "inProgress",
            "creationDate": "2021-10-25T11:17:00+09:00",
            "originatorParty": {"id": "kt"},
            "place": [{"id": "KR-26"}],
        },
    ),
}
"""The documents that come in: model and example."""

ALSO = {"alarm": ("service-problem",)}
"""Documents that may stand in the place of another."""

HEADERS: tuple[tuple[str, bool, str], ...] = (
    ("Signature-Input", True, "RFC 9421; covers exactly what docs/http.md says."),
    ("Signature", True, "RFC 9421, made with the caller's Ed25519 key."),
    ("Content-Digest", True, "RFC 9530, sha-256 of the body."),
    ("Document-Signature", True, "Detached JWS over the document's canonical form."),
    ("Idempotency-Key", False, "The same request under the same key is done once."),
)


def body_docs(name: str) -> dict[str, Any]:
    """Give what FastAPI cannot know of a route: body and headers are read by our own rules."""
    names = (name, *ALSO.get(name, ()))
    schemas = [{"$ref": REFERENCE.format(model=BODIES[one][0].__name__)} for one in names]
    content = {
        "schema": schemas[0] if len(schemas) == 1 else {"oneOf": schemas},
        "examples": {one: {"value": BODIES[one][1]} for one in names},
    }
    return {
        "requestBody": {"required": True, "content": {"application/json": content}},
        "parameters": [
            {
                "name": header,
                "in": "header",
                "required": is_required,
                "description": description,
                "schema": {"type": "string"},
            }
            for header, is_required, description in HEADERS
        ],
    }


def document_of(app: FastAPI) -> dict[str, Any]:
    """Give the whole document."""
    document = get_openapi(
        title=TITLE,
        version=app.version,
        openapi_version="3.1.0",
        description=DESCRIPTION,
        routes=app.routes,
    )
    models = {model for model, _ in BODIES.values()} | {documents.Problem}
    ordered = sorted(models, key=lambda model: model.__name__)
    _, schemas = models_json_schema(
        [(model, "validation") for model in ordered], ref_template=REFERENCE
    )
    components = document.setdefault("components", {})
    known = components.setdefault("schemas", {})
    known |= {name: schema for name, schema in schemas["$defs"].items() if name not in known}
    components["schemas"] = dict(sorted(known.items()))
    components["securitySchemes"] = {
        "signature": {
            "type": "http",
            "scheme": "signature",
            "description": "HTTP Message Signatures (RFC 9421) with a registered Ed25519 key.",
        },
        "token": {
            "type": "http",
            "scheme": "bearer",
            "description": "For reading only; `cbgateway api token` makes one.",
        },
    }
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            operation["security"] = (
                []
                if path in OPEN
                else [{"signature": []}, {"token": []}]
                if method in SAFE
                else [{"signature": []}]
            )
    return document
