"""One alert by three ways in: CAP over HTTP, JSON over MQTT, JSON by command; the same on air."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cbgateway.app import Gateway, SystemClock
from cbgateway.cli.main import app
from tests.conformance.cap_alerts import alert, identity, information, pin, signed
from tests.conftest import NOON, Office
from tests.front import serving
from tests.unit.interfaces.mqtt_bench import Bench, on_bench

RECIPIENTS = b"number,region,language\n821012345678,KR-26,ko\n821012345679,KR-26,ko\n"
ENGLISH = {
    "language": "en-US",
    "headline": "KT outage",
    "description": "Busan: no calls, no data",
    "instruction": "Use a fixed line",
}
CAP = {"content-type": "application/cap+xml"}


def on_air(office: Office) -> list[dict[str, Any]]:
    """Approve the one bulletin, and give every order to every carrier, octet for octet.

    Serial numbers are each gateway's own; so are the names of files and the seals over them.
    """
    with office.gateway.store.read() as tx:
        (record,) = tx.bulletins()
    plan = office.gateway.prepare(record.bulletin.bulletin_id).plan
    orders = [
        {"channel": one.lineage.channel.value, **json.loads(one.order)} for one in plan.orders
    ]
    for order in orders:
        order.pop("serial_number", None)
    pages = [
        {
            "language": one.language,
            "message_identifier": one.message_identifier,
            "dcs": one.dcs,
            "pages": [page.octets.hex() for page in one.pages],
        }
        for one in plan.broadcasts
    ]
    return [*pages, *orders]


def as_cap(office: Office, octets: bytes) -> None:
    """Post the alert as its sender has signed it."""
    with (
        Gateway.open(office.gateway.home, clock=office.clock) as gateway,
        serving(replace(office, gateway=gateway)) as front,
    ):
        assert front.client.post("/v1/cap", content=octets, headers=CAP).status_code == 202


def over_mqtt(office: Office, document: dict[str, Any]) -> None:
    """Publish the same as JSON."""

    async def work(bench: Bench) -> None:
        payload = bench.command(document, by="kt_noc")
        receipt = await bench.ask(payload, by="kt_noc")
        assert receipt["status"] == "accepted", receipt

    on_bench(office, work)


def by_command(office: Office, document: dict[str, Any], folder: Path) -> None:
    """Submit the same as a file."""
    file = folder / "bulletin.json"
    file.write_text(json.dumps(document, ensure_ascii=False), "utf-8")
    home = office.gateway.home
    key = home / "keys" / "people" / "kt_noc.pem"
    result = CliRunner().invoke(
        app, ["bulletin", "submit", str(file), "--key", str(key), "--home", str(home)]
    )
    assert result.exit_code == 0, result.output


def test_same_alert_by_every_way_in_is_the_same_on_air(
    make_office: Callable[..., Office], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pages, coding, areas and parts, at three gateways that know nothing of each other."""
    monkeypatch.setattr(SystemClock, "now", lambda _: NOON)
    own, offices = identity(), [make_office(name=name) for name in ("cap", "mqtt", "command")]
    for office in offices:
        office.add("kt_noc", may_submit=True, owner="alice")
        office.gateway.import_recipients("skt", RECIPIENTS)
        pin(office.gateway.home, own)
    octets = signed(alert(information() + information(**ENGLISH)), own)
    with Gateway.open(offices[0].gateway.home, clock=offices[0].clock) as gateway:
        _, document = gateway.check_cap(octets)
    del document["cap"]  # where it came from
    document |= {"next_update": "PT30M"}  # CAP has no word for it

    as_cap(offices[0], octets)
    over_mqtt(offices[1], document)
    by_command(offices[2], document, tmp_path)
    first, second, third = map(on_air, offices)

    assert first == second == third
    assert {"ko", "en"} == {one["language"] for one in first if one.get("pages")}
    assert {"broadcast", "sms"} == {one["channel"] for one in first if "channel" in one}
