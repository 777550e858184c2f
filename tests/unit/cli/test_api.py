"""`cbgateway api`: requests that curl can send, approvals, tokens, the document."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cbgateway.app import SystemClock, load_settings
from cbgateway.cli.main import app
from cbgateway.domain.bulletin import Mode
from cbgateway.domain.errors import InputError, KeyUnusableError
from cbgateway.interfaces.http.application import openapi_document
from cbgateway.interfaces.http.tokens import Tokens, add_token, disable_token, read_tokens
from cbgateway.signing.http_messages import request_of, verify_request
from cbgateway.signing.keys import SigningKey
from tests.conformance.catalogue import FIRST
from tests.conftest import NOON

URL = "http://127.0.0.1:8080/v1/incidents"


def run(*arguments: object) -> Any:
    """Run a command that ends well."""
    result = CliRunner().invoke(app, ["api", *map(str, arguments)])
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """Give a key file."""
    path = tmp_path / "alice.pem"
    SigningKey.generate().save(path)
    return path


def test_signed_headers_are_lines_for_curl(tmp_path: Path, key: Path) -> None:
    """Name, colon, value; they verify, and cover what was asked for."""
    body = tmp_path / "first.json"
    body.write_text(json.dumps(FIRST), "utf-8")
    lines = run("sign", "post", URL, "--body", body, "--key", key, "--idempotency-key", "k").split(
        "\n"
    )
    headers = dict(line.split(": ", 1) for line in lines if line)
    public = SigningKey.load(key).public_key
    said, _ = verify_request(request_of("POST", URL, headers), lambda _: public)

    assert {"idempotency-key", "document-signature", "content-digest"} <= set(said.components)
    assert abs((said.created or 0) - SystemClock().now().timestamp()) < 60


def test_request_without_a_body_is_signed(key: Path) -> None:
    """For reading; with --json as an object, with --if-match covered."""
    headers = json.loads(run("sign", "GET", URL, "--key", key, "--if-match", '"a"', "--json"))

    assert {"signature", "signature-input", "if-match"} == set(headers)
    assert '"if-match"' in headers["signature-input"]


def test_address_has_to_be_whole(key: Path) -> None:
    """The authority is part of what is signed."""
    result = CliRunner().invoke(app, ["api", "sign", "GET", "/v1/incidents", "--key", str(key)])

    assert 2 == result.exit_code
    assert "whole address" in result.stderr


def test_approval_names_the_plan(tmp_path: Path) -> None:
    """And the phrase that was typed; a file that is no plan is refused."""
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps({"bulletin": "inc-1/1", "plan": "a" * 64}), "utf-8")
    document = json.loads(run("approval", plan, "--confirm", "test 17 regions"))
    plan.write_text("{}", "utf-8")
    refused = CliRunner().invoke(app, ["api", "approval", str(plan)])

    assert ("approve", "inc-1/1", "a" * 64, "test 17 regions") == (
        document["decision"],
        document["bulletin"],
        document["plan"],
        document["confirmation"],
    )
    assert document["at"].endswith("+00:00")
    assert 2 == refused.exit_code


def test_document_is_printed() -> None:
    """As docs/openapi.json has it."""
    assert openapi_document() == json.loads(run("openapi"))


@pytest.mark.parametrize("with_settings", [True, False])
def test_token_is_made_and_revoked(office: Any, tmp_path: Path, with_settings: bool) -> None:
    """Shown once, kept as a hash, where the settings say."""
    home = office.gateway.home
    path = home / "secrets" / "http-tokens.toml"
    if with_settings:
        path = home / "elsewhere.toml"
        with (home / "cbgateway.toml").open("a", encoding="utf-8") as file:
            file.write('\n[http]\nport = 8080\ntokens = "elsewhere.toml"\n')
    secret = json.loads(run("token", "grafana", "--home", home, "--json"))["token"]
    shown = run("token", "other", "--days", "1", "--home", home)
    tokens = Tokens(path)
    now = SystemClock().now()

    assert secret.startswith("cbg_test_")
    assert secret not in path.read_text("utf-8")
    assert "cbg_test_" in shown
    assert ("grafana", None) == (tokens.holder(secret, now=now), tokens.holder("x", now=now))
    assert "counts for nothing" in run("revoke-token", "grafana", "--home", home)
    assert json.loads(run("revoke-token", "other", "--home", home, "--json"))["is_disabled"]
    assert tokens.holder(secret, now=now) is None


def test_tokens_end_by_themselves(tmp_path: Path) -> None:
    """Not for longer than a quarter of a year; a name is never given twice."""
    path = tmp_path / "tokens.toml"
    more: dict[str, Any] = {"mode": Mode.TEST, "now": NOON, "random": bytes}
    secret, _ = add_token(path, "one", days=2, **more)
    tokens = Tokens(path)

    assert "one" == tokens.holder(secret, now=NOON + timedelta(days=1))
    assert tokens.holder(secret, now=NOON + timedelta(days=2)) is None
    for name, days, words in (("two", 91, "90 days"), ("one", 1, "already"), ("a b", 1, "name")):
        with pytest.raises(InputError, match=words):
            add_token(path, name, days=days, **more)
    with pytest.raises(InputError, match="known: one"):
        disable_token(path, "three")
    path.unlink()
    assert tokens.holder(secret, now=NOON) is None
    with pytest.raises(InputError, match="none yet"):
        disable_token(path, "one")


@pytest.mark.parametrize(
    ("text", "mode", "error", "words"),
    [
        ("not toml", 0o600, InputError, "tokens.toml"),
        ("other = 1", 0o600, InputError, "other"),
        ('[[token]]\nname = "a"', 0o600, InputError, "sha256"),
        ("", 0o644, KeyUnusableError, "chmod 600"),
    ],
)
def test_token_file_that_is_refused(
    tmp_path: Path, text: str, mode: int, error: type[Exception], words: str
) -> None:
    """It is read strictly, and has to be private."""
    path = tmp_path / "tokens.toml"
    path.write_text(text, "utf-8")
    path.chmod(mode)
    with pytest.raises(error, match=words):
        read_tokens(path)


def test_settings_of_http_are_read(office: Any) -> None:
    """Paths start at the gateway's folder."""
    home = office.gateway.home
    with (home / "cbgateway.toml").open("a", encoding="utf-8") as file:
        file.write('\n[http]\nport = 1\ncertificate = "a.crt"\nprivate_key = "a.key"\n')
    http = load_settings(home).http

    assert http is not None
    assert (home / "a.crt", home / "a.key") == (http.certificate, http.private_key)
    assert home / "secrets" / "http-tokens.toml" == http.tokens
