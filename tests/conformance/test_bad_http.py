"""Bad-input catalogue 1 to 28 over HTTP: each with its exact answer, and nothing stored."""

import json
import socket
import time
import zlib
from collections.abc import Callable
from typing import Any

import apsw
import pytest

from cbgateway.app import load_checked_profiles
from cbgateway.interfaces.http.limits import (
    ANSWERS_TIDIED_EVERY,
    BODY_OCTETS_MAX,
    HEAD_OCTETS_MAX,
    HEADERS_MAX,
    SIGNATURE_WINDOW_S,
)
from cbgateway.signing import http_messages
from cbgateway.signing.canonical import canonical
from cbgateway.signing.http_messages import sign_request
from cbgateway.signing.jws import sign_detached
from tests.front import Front

PATH = "/v1/incidents"
WITHIN_S = 1.0
CHARACTERS_MAX = load_checked_profiles(None).countries["kr"].classes["safety"].characters_max


def tally(front: Front) -> dict[str, int]:
    """Count everything but the nonces of refused requests."""
    database = str(front.office.gateway.home / "cbgateway.db")
    connection = apsw.Connection(database, flags=apsw.SQLITE_OPEN_READONLY)
    tables = ("bulletin", "incident", "revision", "delivery", "audit", "alarm")
    return {
        name: connection.execute(f"SELECT count(*) FROM {name}").get  # noqa: S608 - our own names
        for name in tables
    }


def check(front: Front, ask: Callable[[], Any], status: int, name: str, words: str) -> Any:
    """Send something bad and check that the refusal is clean."""
    before = tally(front)
    began_s = time.process_time()
    response = ask()

    assert time.process_time() - began_s < WITHIN_S
    assert response.headers["content-type"] == "application/problem+json", response.text
    problem = response.json()
    expected = (status, f"urn:cbgateway:problem:{name}")
    assert (response.status_code, problem["type"]) == expected, problem
    assert words in problem["detail"], problem["detail"]
    assert len(problem["detail"]) < 4_000
    assert tally(front) == before
    assert front.client.get("/healthz").status_code == 200
    return response


def holding(raw: bytes) -> bytes:
    """Give a JSON object with one member, written as it stands here."""
    return b'{"more": ' + raw + b"}"


@pytest.mark.parametrize(
    ("body", "status", "name", "words"),
    [
        pytest.param(b"{", 400, "json-syntax", "line 1, column 2", id="2"),
        pytest.param(b"\xff\xfe", 400, "json-syntax", "not UTF-8", id="2-utf8"),
        pytest.param(b"[]", 422, "input-invalid", "JSON object", id="3"),
        pytest.param(b'{"a": 1, "a": 2}', 400, "json-duplicate-key", "'a'", id="4"),
        pytest.param(holding(b"NaN"), 400, "json-number", "NaN", id="5"),
        pytest.param(holding(b"-Infinity"), 400, "json-number", "-Infinity", id="5-infinity"),
        pytest.param(holding(b"9" * 100_000), 400, "json-number", "100000 digits", id="6"),
        pytest.param(b"[" * 200_000, 400, "json-depth", "too deeply", id="7"),
        pytest.param(holding(b'"\\ud800"'), 422, "input-invalid", "not UTF-8", id="13"),
    ],
)
def test_body_that_is_no_document(
    front: Front, body: bytes, status: int, name: str, words: str
) -> None:
    """1 to 7, 13: refused before anything in it is looked at."""
    check(front, lambda: front.raw(PATH, body), status, name, words)


@pytest.mark.parametrize(
    ("changes", "status", "name", "words"),
    [
        pytest.param({"colour": "red"}, 422, "input-invalid", "colour: Extra", id="8"),
        pytest.param({"regions": ["KR-26\x00"]}, 422, "input-invalid", "regions.0", id="14"),
        pytest.param({"regions": ["GB-KEN"]}, 422, "unknown-name", "unknown region", id="14-name"),
        pytest.param({"class": "safety "}, 422, "input-invalid", "class", id="15"),
        pytest.param({"class": "Safety"}, 422, "unknown-name", "critical, emergency", id="15-case"),
        pytest.param({"kind": "First"}, 422, "input-invalid", "'first', 'progress'", id="15-kind"),
        pytest.param(
            {"expires": "2021-10-25T02:59:59+00:00"}, 422, "expired", "has passed", id="16"
        ),
        pytest.param(
            {"texts": {"ko": "가" * (CHARACTERS_MAX + 1)}},
            422,
            "text-too-long",
            "shorten it by 1",
            id="19",
        ),
        pytest.param({"texts": {"xx-invalid-": "a"}}, 422, "input-invalid", "texts.xx", id="20"),
        pytest.param({"texts": {"xx": "a"}}, 422, "unknown-name", "language 'xx'", id="20-name"),
        pytest.param({"mode": "live"}, 422, "mode-mismatch", "mode live", id="23-mode"),
    ],
)
def test_document_that_breaks_a_rule(
    front: Front, changes: dict[str, Any], status: int, name: str, words: str
) -> None:
    """8, 14 to 16, 19, 20: the same refusals as everywhere else, with their place."""
    document = front.office.document(**changes)
    check(front, lambda: front.ask("POST", PATH, document), status, name, words)


def test_1_no_body(front: Front) -> None:
    """An empty body, with a signature over it."""
    check(front, lambda: front.raw(PATH, b""), 400, "body-empty", "send the document")


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "text/plain"},
        {"content-type": "application/cap+xml"},
        {"content-type": None},
    ],
)
def test_9_other_type(front: Front, headers: dict[str, str | None]) -> None:
    """JSON is read here, whatever else is offered."""
    document = front.office.document()
    ask = lambda: front.ask("POST", PATH, document, changed=headers)  # noqa: E731 - said once
    check(front, ask, 415, "media-type", "what is read here: application/json")


def test_10_compressed_body(front: Front) -> None:
    """A bomb is refused by its header; nothing is inflated."""
    bomb = zlib.compress(b" " * 50_000_000, 9)
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    ask = lambda: front.client.post(PATH, content=bomb, headers=headers)  # noqa: E731 - said once
    check(front, ask, 415, "media-type", "read as they are")


@pytest.mark.parametrize("is_chunked", [False, True])
def test_11_body_one_octet_too_large(front: Front, is_chunked: bool) -> None:
    """By its Content-Length, or as it comes; one octet less is read."""

    def pieces(size: int) -> Any:
        return iter([b" " * size]) if is_chunked else b" " * size

    headers = {"content-type": "application/json"}

    def ask(size: int) -> Any:
        return front.client.post(PATH, content=pieces(size), headers=headers)

    too_large, full = BODY_OCTETS_MAX + 1, BODY_OCTETS_MAX
    check(front, lambda: ask(too_large), 413, "body-too-large", f"at most {BODY_OCTETS_MAX}")
    check(front, lambda: ask(full), 401, "unauthenticated", "a signature")


def speak(front: Front, octets: bytes) -> tuple[bytes, bytes]:
    """Send octets to the server; gives head and body of its answer, to the connection's end."""
    host, port = front.host.split(":")
    with socket.create_connection((host, int(port)), timeout=5) as line:
        line.sendall(octets)
        answer = b"".join(iter(lambda: line.recv(65_536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    return head, body


@pytest.mark.parametrize(
    ("head", "status", "name"),
    [
        pytest.param("Content-Length: 2\r\nContent-Length: 3", 400, "framing", id="12-lengths"),
        pytest.param(
            "Content-Length: 2\r\nTransfer-Encoding: chunked", 400, "framing", id="12-both"
        ),
        pytest.param("Host: other", 400, "framing", id="12-hosts"),
        pytest.param("Content-Length: -1", 400, "framing", id="12-negative"),
        pytest.param("X: " + "a" * (HEAD_OCTETS_MAX + 1), 431, "headers-too-many", id="12-long"),
        pytest.param("X: a\r\n" * HEADERS_MAX + "Y: b", 431, "headers-too-many", id="12-many"),
        pytest.param("Bad Header: x", 400, "framing", id="12-name"),
    ],
)
def test_12_request_that_reads_two_ways(front: Front, head: str, status: int, name: str) -> None:
    """Refused, and the connection is closed: nobody knows what the next octet means."""
    request = f"POST {PATH} HTTP/1.1\r\nHost: {front.host}\r\n{head}\r\n\r\n"
    before = tally(front)
    answer, body = speak(front, request.encode() + b"{}")

    assert f"HTTP/1.1 {status}".encode() == answer[:12]
    assert b"connection: close" in answer.lower()
    assert f"urn:cbgateway:problem:{name}" == json.loads(body)["type"]
    assert tally(front) == before


def test_17_key_with_another_body(front: Front) -> None:
    """One Idempotency-Key stands for one request."""
    front.ask("POST", PATH, front.office.document(), idempotency_key="k")
    other = front.office.later("progress")
    path = "/v1/incidents/inc-1/bulletins"
    ask = lambda: front.ask("POST", path, other, idempotency_key="k")  # noqa: E731 - said once
    check(front, ask, 409, "idempotency-key-reused", "'k'")


def test_17_key_of_another_form(front: Front) -> None:
    """No spaces, no controls, not endless."""
    for key in ("a b", "k" * 129):
        document = front.office.document()
        ask = lambda: front.ask("POST", PATH, document, idempotency_key=key)  # noqa: B023, E731
        check(front, ask, 400, "header-invalid", "Idempotency-Key")


def test_18_stale_if_match(front: Front) -> None:
    """An approver who has seen another version."""
    bulletin_id = front.submit(front.office.document()).json()["bulletin"]
    ask = lambda: front.approve(bulletin_id, if_match='"00000000000000000000000000000000"')  # noqa: E731
    check(front, ask, 412, "precondition-failed", "look at it again")


def test_21_no_credential(front: Front) -> None:
    """Whoever asks is told how to say who they are."""
    for ask in (
        lambda: front.client.get(PATH),
        lambda: front.client.post(PATH, json=front.office.document()),
    ):
        response = check(front, ask, 401, "unauthenticated", "signature")

        assert "Bearer" in response.headers["www-authenticate"]
        assert "Signature" in response.headers["www-authenticate"]


def test_22_tokens_that_do_not_count(front: Front) -> None:
    """Wrong, disabled, expired, malformed: one sentence for all."""
    from cbgateway.interfaces.http.tokens import disable_token  # noqa: PLC0415 - this test's own

    def ask(token: str) -> Any:
        return front.client.get(PATH, headers={"authorization": token})

    sound = f"Bearer {front.token()}"
    assert ask(sound).status_code == 200
    details = {
        check(front, lambda: ask(token), 401, "unauthenticated", "token").json()["detail"]  # noqa: B023
        for token in ("Bearer wrong", "Basic YTpi", "Bearer " + "a" * 200, sound + "x")
    }
    disable_token(front.tokens, "reader")
    details.add(check(front, lambda: ask(sound), 401, "unauthenticated", "token").json()["detail"])

    assert 1 == len(details)


def test_22_token_for_writing(front: Front) -> None:
    """Tokens read; they change nothing."""
    headers = {"authorization": f"Bearer {front.token()}"}
    ask = lambda: front.client.post(PATH, json=front.office.document(), headers=headers)  # noqa: E731
    check(front, ask, 401, "unauthenticated", "signature")


@pytest.mark.parametrize("named", ["if-match", "idempotency-key"])
def test_23_component_that_is_not_signed(front: Front, named: str) -> None:
    """A header that changes what a request does, added by somebody on the way."""
    changed = {named: '"added"'}
    ask = lambda: front.ask("POST", PATH, front.office.document(), changed=changed)  # noqa: E731
    check(front, ask, 401, "signature-components", f"missing: {named}")


def test_23_body_that_is_not_signed(front: Front) -> None:
    """Another body than the one the digest is of."""
    body = json.dumps(front.office.document()).encode()
    headers = front.headers("POST", PATH, body)
    ask = lambda: front.client.post(PATH, content=body + b" ", headers=headers)  # noqa: E731
    check(front, ask, 401, "signature-invalid", "content-digest")


def test_23_other_path_and_other_gateway(front: Front) -> None:
    """A signature for one address does not open another."""
    body = json.dumps(front.office.document()).encode()
    headers = front.headers("POST", PATH, body)
    elsewhere = f"{PATH}?draft=true"
    ask = lambda: front.client.post(elsewhere, content=body, headers=headers)  # noqa: E731
    check(front, ask, 401, "signature-invalid", "does not belong")
    from cbgateway.interfaces.http.client import signed_headers  # noqa: PLC0415 - this test's own

    other = signed_headers(
        "POST",
        "http://elsewhere.example" + PATH,
        body,
        front.office.keys["alice"],
        created=int(front.office.clock.now().timestamp()),
        nonce=front.nonce(),
    )
    other["host"] = "elsewhere.example"
    ask = lambda: front.client.post(PATH, content=body, headers=other)  # noqa: E731
    check(front, ask, 401, "signature-invalid", "not a name of this gateway")


@pytest.mark.parametrize("seconds", [SIGNATURE_WINDOW_S + 1, -SIGNATURE_WINDOW_S - 1])
def test_24_signature_of_another_time(front: Front, seconds: int) -> None:
    """301 s in the future or the past; 300 s are allowed."""
    now = int(front.office.clock.now().timestamp())
    document = front.office.document()
    ask = lambda: front.ask("POST", PATH, document, created=now + seconds)  # noqa: E731
    check(front, ask, 401, "signature-time", "300 s are allowed")
    allowed = now + (SIGNATURE_WINDOW_S if seconds > 0 else -SIGNATURE_WINDOW_S)

    assert 202 == front.ask("POST", PATH, document, created=allowed).status_code


def test_25_nonce_again(front: Front) -> None:
    """With another request; and also once the first was refused."""
    front.ask("POST", PATH, front.office.document(), nonce="n" * 20)
    document = front.office.later("progress")
    path = "/v1/incidents/inc-1/bulletins"
    check(front, lambda: front.ask("POST", path, document, nonce="n" * 20), 409, "replay", "nonce")
    front.ask("POST", path, front.office.later("first"), nonce="m" * 20)
    check(front, lambda: front.ask("POST", path, document, nonce="m" * 20), 409, "replay", "nonce")


def test_25_nonce_again_after_the_clock_went_back(front: Front) -> None:
    """What was forgotten in its time is not taken anew in that time."""
    body = json.dumps(front.office.document()).encode()
    headers = front.headers("POST", PATH, body)
    assert 202 == front.client.post(PATH, content=body, headers=headers).status_code
    front.office.clock.advance(7200)
    path = "/v1/incidents/inc-1/bulletins"
    for _ in range(ANSWERS_TIDIED_EVERY):
        assert 202 == front.ask("POST", path, front.office.later("progress")).status_code
    front.office.clock.jump(-7200)
    ask = lambda: front.client.post(PATH, content=body, headers=headers)  # noqa: E731
    check(front, ask, 401, "signature-time", "gone back")


@pytest.mark.parametrize("nonce", ["", "short", "n" * 65])
def test_25_nonce_that_is_none(front: Front, nonce: str) -> None:
    """Too short to be random, or too long to keep."""
    document = front.office.document()
    ask = lambda: front.ask("POST", PATH, document, nonce=nonce)  # noqa: E731
    check(front, ask, 401, "signature-components", "nonce of 16 to 64")


def test_26_algorithm_of_the_message(front: Front) -> None:
    """The key's record says Ed25519; the message may say so and nothing else."""
    body = json.dumps(front.office.document()).encode()
    headers = front.headers("POST", PATH, body)
    headers["signature-input"] += ';alg="hmac-sha256"'
    ask = lambda: front.client.post(PATH, content=body, headers=headers)  # noqa: E731
    check(front, ask, 401, "signature-invalid", "is for ed25519")


def test_26_two_keys(front: Front) -> None:
    """The request of one with the document of another."""
    document = front.office.document()
    body = json.dumps(document).encode()
    hers = front.headers("POST", PATH, body, by="bob")
    changed = {"document-signature": hers["document-signature"]}
    ask = lambda: front.ask("POST", PATH, document, changed=changed)  # noqa: E731
    check(front, ask, 401, "signature-invalid", "does not belong")


def test_27_approve_own(front: Front) -> None:
    """Whoever submitted it may not approve it, whatever else they may."""
    front.office.add("erin", may_submit=True, may_approve=True)
    document = front.office.document(sender="erin")
    bulletin_id = front.submit(document, by="erin").json()["bulletin"]
    ask = lambda: front.approve(bulletin_id, by="erin")  # noqa: E731
    check(front, ask, 403, "same-person", "somebody else has to decide")


def test_28_approve_after_edit(front: Front) -> None:
    """What was looked at is not what would be sent any more."""
    bulletin_id = front.submit(front.office.document()).json()["bulletin"]
    seen = front.decision(bulletin_id)
    path = f"/v1/bulletins/{bulletin_id}"
    back = {"decision": "return", "bulletin": bulletin_id, "reason": "name the city"}
    front.ask("POST", f"{path}:return", back, by="bob")
    texts = {"ko": "통신 장애 2"}
    front.ask("POST", f"{path}:submit", front.office.document(texts=texts))
    ask = lambda: front.ask("POST", f"{path}:approve", seen, by="bob")  # noqa: E731
    check(front, ask, 409, "stale", "look at its plan again")


def test_28_approval_of_no_time(front: Front) -> None:
    """A time that looks like one and is in no calendar."""
    bulletin_id = front.submit(front.office.document()).json()["bulletin"]
    decision = front.decision(bulletin_id) | {"at": "0000-00-00T00:00:00.000+00:00"}
    path = f"/v1/bulletins/{bulletin_id}:approve"
    ask = lambda: front.ask("POST", path, decision, by="bob")  # noqa: E731
    check(front, ask, 422, "input-invalid", "at: ")


@pytest.mark.parametrize(
    ("method", "path", "status", "name"),
    [
        ("GET", "/v1/nothing", 404, "not-found"),
        ("GET", "/v1/incidents/none", 404, "unknown-name"),
        ("GET", "/v1/bulletins/none/1", 404, "unknown-name"),
        ("GET", "/v1/plans/none/1", 404, "unknown-name"),
        ("GET", "/v1/bulletins/none/one", 422, "input-invalid"),
        ("GET", "/v1/incidents?limit=0", 422, "input-invalid"),
        ("GET", "/v1/incidents?limit=" + "9" * 5000, 422, "input-invalid"),
        ("GET", "/v1/audit?after=99999999999999999999", 422, "input-invalid"),
        ("DELETE", "/v1/incidents", 405, "method-not-allowed"),
        ("PROPFIND", "/v1/incidents", 405, "method-not-allowed"),
    ],
)
def test_address_that_leads_nowhere(
    front: Front, method: str, path: str, status: int, name: str
) -> None:
    """What is not there, or cannot be done there."""
    check(front, lambda: front.ask(method, path), status, name, "")


def resigned(front: Front, **changes: Any) -> dict[str, str]:
    """Sign the sound request anew, with other headers beside the signature or another time."""
    body = json.dumps(front.office.document()).encode()
    settings = {"created": int(front.office.clock.now().timestamp()), "nonce": front.nonce()}
    fields = changes.pop("fields", {})
    headers = sign_request(
        "POST", front.url + PATH, fields, body, front.office.keys["alice"], **settings | changes
    )
    return headers | {"x-body": body.decode("latin-1")}


def send(front: Front, headers: dict[str, str]) -> Any:
    """Send what was signed."""
    body = headers.pop("x-body").encode("latin-1")
    return front.client.post(PATH, content=body, headers=headers)


def test_23_document_without_its_signature(front: Front) -> None:
    """The request's own signature is no evidence of what the document says."""
    ask = lambda: send(front, resigned(front))  # noqa: E731 - said once
    check(front, ask, 401, "unauthenticated", "Document-Signature is needed")


def test_26_document_of_another_key(front: Front) -> None:
    """Signed into the request by alice, and made by bob."""
    document = front.office.document()
    signature = sign_detached(
        canonical(document), front.office.keys["bob"], content="cbgateway-submission-1"
    )
    headers = resigned(front, fields={"document-signature": signature})
    check(front, lambda: send(front, headers), 401, "signature-invalid", "the same key")


@pytest.mark.parametrize(
    ("old", "new", "name", "words"),
    [
        (";created=1635130800", "", "signature-components", "when it was created"),
        (
            ";created=1635130800",
            ";created=1635130800;expires=1635130800",
            "signature-time",
            "by its own words",
        ),
    ],
)
def test_24_signature_without_a_time_of_its_own(
    front: Front, monkeypatch: pytest.MonkeyPatch, old: str, new: str, name: str, words: str
) -> None:
    """It says when it was made, and may say when it ends."""
    real = http_messages.signature_base

    def changed(request: Any, components: Any, parameters: str) -> bytes:
        return real(request, components, parameters.replace(old, new))

    with monkeypatch.context() as patch:
        patch.setattr(http_messages, "signature_base", changed)
        headers = resigned(front, fields={"document-signature": "a..b"})
    headers["signature-input"] = headers["signature-input"].replace(old, new)
    check(front, lambda: send(front, headers), 401, name, words)


def test_budget_that_is_empty(front: Front) -> None:
    """With the time after which it is worth asking again."""
    for number in range(5):
        incident = front.office.document()["incident"] | {"id": f"inc-{number}"}
        texts = {"ko": f"통신 장애 {number}"}
        bulletin_id = front.submit(front.office.document(incident=incident, texts=texts)).json()[
            "bulletin"
        ]
        if number < 4:
            assert 202 == front.approve(bulletin_id).status_code
    refused = check(
        front, lambda: front.approve(bulletin_id), 429, "budget-exhausted", "possible again"
    )

    assert int(refused.headers["retry-after"]) > 0


def test_wide_area_without_its_phrase(front: Front) -> None:
    """The plan says what has to be typed."""
    bulletin_id = front.submit(front.office.document(regions=["KR"])).json()["bulletin"]
    decision = front.decision(bulletin_id)
    path = f"/v1/bulletins/{bulletin_id}:approve"
    without = decision | {"confirmation": ""}
    ask = lambda: front.ask("POST", path, without, by="bob")  # noqa: E731 - said once
    check(front, ask, 422, "confirmation-needed", "test 17 regions")

    assert 202 == front.ask("POST", path, decision, by="bob").status_code


def test_decision_of_another_form(front: Front) -> None:
    """Every fault with its place."""
    document = {"decision": "approve", "bulletin": "inc-1/1", "plan": "x", "at": "now"}
    ask = lambda: front.ask("POST", "/v1/bulletins/inc-1/1:approve", document, by="bob")  # noqa: E731
    refused = check(front, ask, 422, "input-invalid", "plan: ")

    assert 2 == len(refused.json()["problems"])


def test_if_match_of_what_is_not_there(front: Front) -> None:
    """There is nothing that it could match."""
    document = {"decision": "reject", "bulletin": "inc-1/1", "reason": "no"}
    path = "/v1/bulletins/inc-1/1:reject"
    ask = lambda: front.ask("POST", path, document, by="bob", if_match='"a"')  # noqa: E731
    check(front, ask, 404, "unknown-name", "inc-1/1")
