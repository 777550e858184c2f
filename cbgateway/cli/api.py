"""`cbgateway api`: for clients of the HTTP interface; signed requests, tokens, the document."""

import os
import secrets
from datetime import UTC
from pathlib import Path
from typing import Annotated

import typer

from cbgateway.app import Gateway, SystemClock
from cbgateway.cli.common import (
    DEFAULT_HOME,
    AsJson,
    Home,
    KeyFile,
    console,
    examples,
    print_json,
    reports_errors,
)
from cbgateway.domain.errors import InputError
from cbgateway.interfaces.http.client import signed_headers
from cbgateway.interfaces.http.limits import TOKEN_DAYS_MAX
from cbgateway.interfaces.http.tokens import add_token, disable_token
from cbgateway.interfaces.schema import parse_json, read_document
from cbgateway.service.approval import approval_document
from cbgateway.settings import HttpSettings, load_settings
from cbgateway.signing.keys import SigningKey

app = typer.Typer(help="For clients of the HTTP interface.", no_args_is_help=True)

NONCE_OCTETS = 18


@app.command(
    "sign",
    epilog=examples(
        "cbgateway api sign POST http://127.0.0.1:8080/v1/incidents --body first.json "
        "--key alice.pem >headers",
        "curl -H @headers --data-binary @first.json http://127.0.0.1:8080/v1/incidents",
    ),
)
@reports_errors
def sign(
    method: Annotated[str, typer.Argument(help="Such as POST.")],
    url: Annotated[str, typer.Argument(help="The whole address.")],
    *,
    key: KeyFile,
    body: Annotated[
        Path | None, typer.Option(help="The document; - for standard input.", show_default=False)
    ] = None,
    idempotency_key: Annotated[
        str, typer.Option(help="Do the same request under the same key once.")
    ] = "",
    if_match: Annotated[str, typer.Option(help="The ETag that was looked at.")] = "",
    as_json: AsJson = False,
) -> None:
    """Print the headers of a signed request, one a line as `curl -H @FILE` reads them.

    They count for five minutes and for this request alone.
    """
    if not url.startswith(("http://", "https://")):
        msg = f"URL {url[:80]!r}: the whole address is needed, with http:// or https://"
        raise InputError(msg)
    octets = None
    if body is not None:
        octets = read_document(Path("/dev/stdin") if str(body) == "-" else body)
    headers = signed_headers(
        method.upper(),
        url,
        octets,
        SigningKey.load(key),
        created=int(SystemClock().now().timestamp()),
        nonce=secrets.token_urlsafe(NONCE_OCTETS),
        idempotency_key=idempotency_key,
        if_match=if_match,
    )
    if as_json:
        print_json(headers)
        return
    for name, value in headers.items():
        typer.echo(f"{name}: {value}")


@app.command(
    "approval",
    epilog=examples(
        "cbgateway api approval plan.json >approval.json",
        'cbgateway api approval plan.json --confirm "live 17 regions" >approval.json',
    ),
)
@reports_errors
def approval(
    plan: Annotated[Path, typer.Argument(help="What GET /v1/plans/... answered, looked at.")],
    *,
    confirm: Annotated[str, typer.Option(help="For a wide area: the phrase of the plan.")] = "",
) -> None:
    """Print the decision that approves exactly what a plan shows; sign it within its time."""
    document = parse_json(read_document(plan))
    bulletin, plan_hash = document.get("bulletin"), document.get("plan")
    if not isinstance(bulletin, str) or not isinstance(plan_hash, str):
        msg = f"{plan}: this is not what GET /v1/plans/... answers"
        raise InputError(msg)
    at = SystemClock().now().astimezone(UTC)
    print_json(approval_document(bulletin, plan_hash, at=at, confirmation=confirm))


@app.command(
    "token",
    epilog=examples("cbgateway api token grafana", "cbgateway api token status-page --days 30"),
)
@reports_errors
def token(
    name: Annotated[str, typer.Argument(help="Who will use it.")],
    *,
    days: Annotated[
        float, typer.Option(help="How long it counts.", min=0, max=TOKEN_DAYS_MAX)
    ] = TOKEN_DAYS_MAX,
    home: Home = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Make a bearer token for reading and show it once; only its hash is kept."""
    with Gateway.open(home) as gateway:
        secret, made = add_token(
            _tokens(home),
            name,
            mode=gateway.settings.mode,
            days=days,
            now=gateway.clock.now(),
            random=os.urandom,
        )
    if as_json:
        print_json({"name": name, "token": secret, "expires": made.expires.isoformat()})
    else:
        console.print(f"{name}, until {made.expires.isoformat()}; it is shown this once:")
        typer.echo(secret)


@app.command("revoke-token", epilog=examples("cbgateway api revoke-token grafana"))
@reports_errors
def revoke_token(
    name: Annotated[str, typer.Argument(help="As it was made.")],
    *,
    home: Home = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Have a bearer token count no more, at once and for good."""
    disable_token(_tokens(home), name)
    if as_json:
        print_json({"name": name, "is_disabled": True})
    else:
        console.print(f"token {name} counts for nothing any more")


@app.command("openapi", epilog=examples("cbgateway api openapi >openapi.json"))
@reports_errors
def openapi() -> None:
    """Print the OpenAPI 3.1 document of the HTTP interface."""
    # half a second that no other command takes
    from cbgateway.interfaces.http.application import openapi_document  # noqa: PLC0415

    print_json(openapi_document())


def _tokens(home: Path) -> Path:
    """Give where tokens are kept; a gateway without an HTTP interface may have some already."""
    http = load_settings(home).http
    return home / HttpSettings(port=0).tokens if http is None else http.tokens
