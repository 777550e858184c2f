"""The OpenAPI document: that of the routes, whole, with examples that hold."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from cbgateway.domain import errors
from cbgateway.interfaces.http import documents, openapi
from cbgateway.interfaces.http.application import openapi_document
from cbgateway.interfaces.http.problems import FAULTS, STATUSES, status_of
from tests.front import Front

ROOT = Path(__file__).parents[4]
DOCUMENT = openapi_document()
PAGE = (ROOT / "docs" / "http.md").read_text("utf-8")


def test_document_in_docs_is_that_of_the_routes() -> None:
    """`make openapi` has written it."""
    assert json.loads((ROOT / "docs" / "openapi.json").read_text("utf-8")) == DOCUMENT


def test_document_says_its_version_and_what_protects_it() -> None:
    """OpenAPI 3.1; writing takes a signature, reading a token as well."""
    writing = DOCUMENT["paths"]["/v1/incidents"]["post"]
    reading = DOCUMENT["paths"]["/v1/incidents"]["get"]

    assert "3.1.0" == DOCUMENT["openapi"]
    assert [{"signature": []}] == writing["security"]
    assert [{"signature": []}, {"token": []}] == reading["security"]
    assert [] == DOCUMENT["paths"]["/healthz"]["get"]["security"]


def test_references_lead_somewhere() -> None:
    """Every `$ref` is a schema of the document."""
    for name in re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(DOCUMENT)):
        assert name in DOCUMENT["components"]["schemas"], name


@pytest.mark.parametrize("name", openapi.BODIES)
def test_examples_are_read(name: str) -> None:
    """What the document shows is what the gateway takes."""
    model, example = openapi.BODIES[name]
    model.model_validate(example)


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_of_http_is_documented(fault: str) -> None:
    """With its status."""
    assert re.search(rf"^\| {fault} \| {FAULTS[fault][0]} \|", PAGE, re.MULTILINE)


@pytest.mark.parametrize("error", [kind for kind, _ in STATUSES], ids=lambda one: one.__name__)
def test_every_status_of_a_rule_is_documented(error: type[errors.GatewayError]) -> None:
    """The rules' errors, by status."""
    one = error.__new__(error)
    one.what = ""  # type: ignore[attr-defined]
    row = re.search(rf"^\| {status_of(one)} \|(.*)\|$", PAGE, re.MULTILINE)

    assert row is not None
    assert f"`{error.code}`" in row[1]


@pytest.mark.parametrize(
    ("path", "model"),
    [
        ("/v1/incidents", documents.Incidents),
        ("/v1/incidents/inc-1", documents.Incident),
        ("/v1/incidents/inc-1/bulletins", documents.Bulletins),
        ("/v1/bulletins/inc-1/1", documents.Bulletin),
        ("/v1/bulletins/inc-1/1/deliveries", documents.Deliveries),
        ("/v1/plans/inc-1/2", documents.Plan),
        ("/v1/regions", documents.Regions),
        ("/v1/audit", documents.Events),
        ("/.well-known/cbgateway-keys.json", documents.JwkSet),
    ],
)
def test_answers_are_what_the_document_says(front: Front, path: str, model: Any) -> None:
    """Every member that is sent is documented, and of the documented type."""
    front.office.issue(front.office.document())
    front.office.submit(front.office.later("progress"))
    answer = front.ask("GET", path).json()
    read = TypeAdapter(model).validate_python(answer)

    assert set(answer) == set(read.model_dump(by_alias=True))
