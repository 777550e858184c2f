"""CAP alerts over HTTP: taken for the signature inside them, and given out the same for ever."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from cbgateway.app import Gateway
from tests.conformance.cap_alerts import Identity, alert, identity, pin, signed
from tests.front import Front, serving

CAP = {"content-type": "application/cap+xml"}


@pytest.fixture
def partner(office: Any) -> Iterator[tuple[Front, Identity]]:
    """Give a front whose gateway knows one sender of alerts, and that sender."""
    office.add("kt_noc", may_submit=True, owner="alice")
    own = identity()
    pin(office.gateway.home, own)
    with (
        Gateway.open(office.gateway.home, clock=office.clock) as gateway,
        serving(replace(office, gateway=gateway)) as front,
    ):
        yield front, own


def test_signed_alert_becomes_a_bulletin(partner: tuple[Front, Identity]) -> None:
    """Pending, by the machine that its sender counts as; the same again changes nothing."""
    front, own = partner
    octets = signed(alert(), own)

    first = front.client.post("/v1/cap", content=octets, headers=CAP)
    again = front.client.post("/v1/cap", content=octets, headers=CAP)

    assert (first.status_code, first.json()["state"]) == (202, "pending")
    assert first.json()["sender"] == "kt_noc"
    assert again.json() == first.json()
    assert first.headers["location"] == f"/v1/bulletins/{first.json()['bulletin']}"


@pytest.mark.parametrize(
    ("octets", "kind", "status", "problem"),
    [
        (alert(), "application/cap+xml", 401, "signature-invalid"),
        (b"<alert/>", "application/cap+xml", 422, "input-invalid"),
        (b"{}", "application/json", 415, "media-type"),
        (b"", "application/cap+xml", 400, "body-empty"),
    ],
)
def test_other_alerts_are_refused_by_name(
    partner: tuple[Front, Identity], octets: bytes, kind: str, status: int, problem: str
) -> None:
    """Unsigned, unsound, or no alert at all: nothing is stored."""
    front, _ = partner

    answer = front.client.post("/v1/cap", content=octets, headers={"content-type": kind})

    told = answer.json()["type"].removeprefix("urn:cbgateway:problem:")
    assert (answer.status_code, told) == (status, problem)
    with front.office.gateway.store.read() as tx:
        assert tx.bulletins() == ()


def test_approved_bulletin_is_given_as_an_alert(partner: tuple[Front, Identity]) -> None:
    """The same octets whenever asked, to whoever may read; a pending one is none."""
    front, _ = partner
    bulletin_id = front.submit(front.office.document()).json()["bulletin"]
    path = f"/v1/cap/{bulletin_id}"
    early = front.ask("GET", path)
    front.approve(bulletin_id)

    given = front.ask("GET", path)

    assert early.status_code == 409
    assert given.headers["content-type"].startswith("application/cap+xml")
    assert given.content.startswith(b"<?xml")
    assert front.ask("GET", path).content == given.content
    assert front.client.get(path).status_code == 401
