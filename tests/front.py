"""A gateway's HTTP interface on a real socket, in a thread of its own, with the office's clock."""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

import httpx

from cbgateway.app import Gateway
from cbgateway.domain.bulletin import Mode
from cbgateway.front import serving_http
from cbgateway.interfaces.http.client import signed_headers
from cbgateway.interfaces.http.tokens import add_token
from cbgateway.service.approval import approval_document
from cbgateway.settings import HttpSettings
from cbgateway.signing.canonical import canonical
from cbgateway.signing.http_messages import sign_request
from cbgateway.signing.jws import sign_detached

START_TIMEOUT_S = 10.0
NONCES = count()


@dataclass
class Front:
    """The interface of one office, and a client of it."""

    office: Any
    url: str
    tokens: Path
    client: httpx.Client
    is_ready: threading.Event = field(default_factory=threading.Event)

    @property
    def host(self) -> str:
        """Give the server's host and port."""
        return self.url.removeprefix("http://")

    def nonce(self) -> str:
        """Give one that was never used."""
        return f"nonce-{next(NONCES):012d}"

    def headers(
        self, method: str, path: str, body: bytes | None, *, by: str = "alice", **more: Any
    ) -> dict[str, str]:
        """Sign a request as somebody."""
        settings = {
            "created": int(self.office.clock.now().timestamp()),
            "nonce": self.nonce(),
        } | more
        key = self.office.keys[by]
        return signed_headers(method, self.url + path, body, key, **settings)

    def ask(
        self,
        method: str,
        path: str,
        document: Any = None,
        *,
        by: str = "alice",
        changed: dict[str, str | None] | None = None,
        **more: Any,
    ) -> httpx.Response:
        """Send a signed request; `changed` headers are put in afterwards, or taken out."""
        body = document
        if document is not None and not isinstance(document, bytes):
            body = json.dumps(document, ensure_ascii=False).encode()
        headers = self.headers(method, path, body, by=by, **more)
        headers |= changed or {}  # type: ignore[arg-type]
        headers = {name: value for name, value in headers.items() if value is not None}
        return self.client.request(method, path, content=body, headers=headers)

    def raw(self, path: str, body: bytes, *, by: str = "alice") -> httpx.Response:
        """Send a body that is no document, signed as if it were one."""
        key = self.office.keys[by]
        signature = sign_detached(canonical({}), key, content="cbgateway-submission-1")
        headers = sign_request(
            "POST",
            self.url + path,
            {"document-signature": signature},
            body,
            key,
            created=int(self.office.clock.now().timestamp()),
            nonce=self.nonce(),
        )
        return self.client.post(path, content=body, headers=headers)

    def submit(self, document: dict[str, Any], **more: Any) -> httpx.Response:
        """Submit a bulletin document."""
        incident = document["incident"]
        name = incident if isinstance(incident, str) else incident["id"]
        return self.ask("POST", f"/v1/incidents/{name}/bulletins", document, **more)

    def decision(self, bulletin_id: str, *, by: str = "bob") -> dict[str, Any]:
        """Look at a plan and give the document that approves it."""
        plan = self.ask("GET", f"/v1/plans/{bulletin_id}", by=by).json()
        return approval_document(
            bulletin_id,
            plan["plan"],
            at=self.office.clock.now(),
            confirmation=plan["confirmation"],
        )

    def approve(self, bulletin_id: str, *, by: str = "bob", **more: Any) -> httpx.Response:
        """Approve what a plan shows."""
        document = self.decision(bulletin_id, by=by)
        return self.ask("POST", f"/v1/bulletins/{bulletin_id}:approve", document, by=by, **more)

    def token(self, name: str = "reader", days: float = 1) -> str:
        """Make a bearer token."""
        secret, _ = add_token(
            self.tokens,
            name,
            mode=Mode.TEST,
            days=days,
            now=self.office.clock.now(),
            random=lambda octets: bytes(range(octets)),
        )
        return secret


@contextmanager
def serving(office: Any, *, is_ready: bool = True) -> Iterator[Front]:
    """Serve an office's gateway over HTTP while the block runs."""
    gateway: Gateway = office.gateway
    tokens = gateway.home / "secrets" / "http-tokens.toml"
    http = HttpSettings(port=0, tokens=tokens)
    settings = gateway.settings.model_copy(update={"http": http})
    desk = replace(gateway.desk, settings=settings)
    started, ended = threading.Event(), threading.Event()
    facts: dict[str, Any] = {}

    async def run() -> None:
        stop = asyncio.Event()
        async with serving_http(desk, gateway.status, stop, None) as front:
            facts.update(
                address=front.address, ready=front.ready, loop=asyncio.get_running_loop(), stop=stop
            )
            started.set()
            await stop.wait()
        ended.set()

    thread = threading.Thread(target=lambda: asyncio.run(run()), daemon=True)
    thread.start()
    assert started.wait(START_TIMEOUT_S)
    url = f"http://{facts['address']}"
    with httpx.Client(base_url=url, timeout=START_TIMEOUT_S) as client:
        if is_ready:
            facts["ready"]()
        yield Front(office, url, tokens, client)
    facts["loop"].call_soon_threadsafe(facts["stop"].set)
    thread.join(START_TIMEOUT_S)
    assert ended.is_set()
