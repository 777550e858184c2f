"""Ask everything of the OpenAPI document, signed and unsigned; `make schemathesis` runs it.

Schemathesis makes requests from the document, half of them by its rules and half against them.
Half of them are signed, so that they get beyond the door. No answer may be a 5xx, and every answer
is one that the document has: status, type and schema.
"""

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings
from hypothesis.strategies import one_of
from loguru import logger
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    allow_header_conformance,
    content_type_conformance,
    missing_required_header,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from cbgateway.app import Gateway, init_home
from cbgateway.domain.bulletin import Mode
from cbgateway.interfaces.http.application import openapi_document
from cbgateway.interfaces.http.client import content_of
from cbgateway.signing.canonical import canonical
from cbgateway.signing.http_messages import sign_request
from cbgateway.signing.jws import sign_detached
from tests.conftest import FakeClock, Office
from tests.front import Front, serving

ENDLESS = "/v1/events"
SECONDS = 40.0
EXAMPLES_MAX = 1_000
HEADERS = {"signature", "signature-input", "content-digest", "document-signature", "authorization"}
NEEDED = HEADERS - {"authorization"}
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
    allow_header_conformance,
    negative_data_rejection,
    missing_required_header,
    unsupported_method,
]


class TimeIsOverError(Exception):
    """Ends an operation's turn; Hypothesis knows no kinder way."""


@dataclass
class Told:
    """What the answers were."""

    statuses: Counter[int]
    problems: list[str]


class Asker:
    """Sends what Schemathesis makes to a front."""

    def __init__(self, front: Front) -> None:
        self.told = Told(Counter(), [])
        self._front = front
        self._session = requests.Session()
        self._count = 0

    def ask(self, case: Any) -> None:
        """Send one request, every other one signed, and check the answer."""
        self._count += 1
        request = requests.Request(**case.as_transport_kwargs(base_url=self._front.url))
        try:
            prepared = self._session.prepare_request(request)
        except (ValueError, requests.RequestException):
            return  # nothing that a client could put on the line
        if self._count % 2 and self._is_signable(prepared):
            self._sign(prepared)
        try:
            answer = self._session.send(prepared, timeout=10, allow_redirects=False)
        except (requests.exceptions.InvalidHeader, UnicodeError, ValueError):
            return
        self.told.statuses[answer.status_code] += 1
        try:
            case.validate_response(answer, checks=CHECKS)
        except FailureGroup as error:
            if len(self.told.problems) < 10:
                told = f"{prepared.method} {prepared.url}: {error.exceptions}"
                self.told.problems.append(told)

    @staticmethod
    def _is_signable(prepared: requests.PreparedRequest) -> bool:
        """Tell whether it has the headers of a signature, unless it only reads.

        A request that was made without them has to be refused, and so is sent as it is.
        """
        names = {name.lower() for name in prepared.headers}
        return prepared.method == "GET" or names >= NEEDED

    def _sign(self, prepared: requests.PreparedRequest) -> None:
        assert prepared.url
        assert prepared.method
        body = prepared.body.encode() if isinstance(prepared.body, str) else prepared.body
        who = ("alice", "bob")[self._count // 2 % 2]
        key = self._front.office.keys[who]
        fields = {
            name.lower(): value
            for name, value in prepared.headers.items()
            if name.lower() not in HEADERS and isinstance(value, str)
        }
        if body:
            signature = sign_detached(
                canonical(document_in(body)), key, content=content_of(prepared.url)
            )
            fields["document-signature"] = signature
        parts = urlsplit(prepared.url)
        fields["host"] = parts.netloc
        prepared.headers.update(
            sign_request(
                prepared.method,
                prepared.url,
                fields,
                body or None,
                key,
                created=int(self._front.office.clock.now().timestamp()),
                nonce=self._front.nonce(),
            )
        )


def document_in(body: bytes) -> dict[str, Any]:
    """Give the document of a body; an empty one when it has none that can be signed."""
    try:
        document = json.loads(body)
        canonical(document)
    except Exception:  # noqa: BLE001 - anything may be in it
        return {}
    return document if isinstance(document, dict) else {}


def ask_everything(front: Front, *, seconds: float, start: int) -> Told:
    """Go through the document's operations, each for its share of the time."""
    document = openapi_document()
    del document["paths"][ENDLESS]
    schema = schemathesis.openapi.from_dict(document)
    operations = [result.ok() for result in schema.get_all_operations()]
    asker = Asker(front)
    for number, operation in enumerate(operations):
        ask_operation(asker, operation, seconds=seconds / len(operations), start=start + number)
    return asker.told


def ask_operation(asker: Asker, operation: Any, *, seconds: float, start: int) -> None:
    """Ask one operation for a while."""
    until = time.monotonic() + seconds

    @seed(start)
    @settings(
        max_examples=EXAMPLES_MAX,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        verbosity=Verbosity.quiet,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=one_of(*(operation.as_strategy(generation_mode=mode) for mode in GenerationMode)))
    def run(case: Any) -> None:
        if time.monotonic() > until:
            raise TimeIsOverError
        asker.ask(case)

    with suppress(TimeIsOverError):
        run()


def main() -> int:
    """Ask for a while, and tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    logger.remove()
    with tempfile.TemporaryDirectory() as folder:
        home, clock = Path(folder) / "home", FakeClock()
        init_home(home, mode=Mode.TEST, country="kr", ports={"kt": 2775}, clock=clock)
        with Gateway.open(home, clock=clock) as gateway:
            office = Office(gateway, clock, {})
            office.add("alice", may_submit=True)
            office.add("bob", may_approve=True)
            office.issue(office.document())
            office.submit(office.later("progress"))
            with serving(office) as front:
                told = ask_everything(front, seconds=arguments.seconds, start=arguments.seed)
    print(
        json.dumps({"requests": told.statuses.total(), "by": dict(told.statuses)}, sort_keys=True)
    )
    for problem in told.problems:
        print(problem)
    return 1 if told.problems else 0


if __name__ == "__main__":
    sys.exit(main())
