"""CAP alerts among the public pages: signed, sound, the same for ever; and a sound feed."""

import json
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest
from lxml import etree

from cbgateway.app import Gateway
from cbgateway.domain.errors import UnknownNameError
from cbgateway.front import Pages
from cbgateway.interfaces.cap.document import check_structure, read_alert
from cbgateway.public.site import CAP
from cbgateway.signing.xmldsig import parse_xml, verify_signed
from tests.conformance.cap_alerts import identity

ATOM = {"a": "http://www.w3.org/2005/Atom"}
GRAMMAR = Path(__file__).parents[2] / "vectors" / "atom.rng"


@pytest.fixture
def told(office: Any, tmp_path: Path) -> Any:
    """Give an office that signs its alerts, and has told of two outages."""
    own = identity()
    own.save(tmp_path, "own")
    key, certificate = tmp_path / "own.pem", tmp_path / "own.crt"
    cap = office.gateway.settings.cap.model_copy(
        update={"key": key, "certificate": certificate, "name": "alerts@authority.example"}
    )
    settings = office.gateway.settings.model_copy(update={"cap": cap})
    office.gateway = replace(office.gateway, settings=settings)
    office.issue(office.document(facts={"cause": "power"}))
    office.clock.advance(60)
    office.issue(office.later("progress"))
    other = office.document()["incident"] | {"id": "inc-2"}
    office.issue(office.document(incident=other, texts={"ko": "[과기정통부] <장애> & 복구"}))
    office.certificate = own.certificate
    return office


def exported(office: Any, folder: Path, **options: Any) -> dict[str, bytes]:
    """Give every file of the exported site."""
    office.gateway.telling.export_site(folder, **options)
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_each_bulletin_is_a_sound_signed_alert(told: Any, tmp_path: Path) -> None:
    """By our own schema, signed by the certificate of the settings, for what was said."""
    files = exported(told, tmp_path / "site")
    names = {path for path in files if path.startswith("cap/")}

    assert names == {"cap/inc-1.1.xml", "cap/inc-1.2.xml", "cap/inc-2.1.xml"}
    for path in names:
        root = parse_xml(files[path])
        check_structure(root)
        signed = verify_signed(files[path], told.certificate, at=told.clock.now())
        alert = read_alert(signed, parse_xml(signed))
        assert (alert.sender, alert.message_type) == (
            "alerts@authority.example",
            "Update" if path == "cap/inc-1.2.xml" else "Alert",
        )


def test_alerts_are_made_once_and_never_written_again(told: Any, tmp_path: Path) -> None:
    """Whatever the settings say later; other pages change."""
    folder = tmp_path / "site"
    before = exported(told, folder)
    assert told.gateway.telling.publish_alerts() == ()
    times = {path: path.stat().st_mtime_ns for path in (folder / "cap").iterdir()}
    told.issue(told.later("restored"))
    cap = told.gateway.settings.cap.model_copy(update={"name": "somebody@else.example"})
    settings = told.gateway.settings.model_copy(update={"cap": cap})
    told.gateway = replace(told.gateway, settings=settings)
    after = exported(told, folder)

    for path, octets in before.items():
        if path.startswith("cap/"):
            assert after[path] == octets
    assert {path: path.stat().st_mtime_ns for path in times} == times
    assert "cap/inc-1.3.xml" in after


def test_alert_that_cannot_be_made_holds_up_nothing(told: Any, tmp_path: Path) -> None:
    """A key that is gone, or a region that no profile has any more: pages and others go on."""
    cap = told.gateway.settings.cap
    gone = cap.model_copy(update={"key": tmp_path / "gone.pem"})
    settings = told.gateway.settings.model_copy(update={"cap": gone})
    without = replace(told.gateway.telling, settings=settings)
    assert without.publish_alerts() == ()
    without.export_site(tmp_path / "site")
    assert b"inc-1" in (tmp_path / "site" / "index.html").read_bytes()
    with told.gateway.store.transaction() as tx:
        tx._connection.execute("DROP TRIGGER bulletin_is_immutable")
        tx._connection.execute(
            "UPDATE bulletin SET document = replace(document, 'KR-26', 'KR-99') "
            "WHERE incident_id = 'inc-2'"
        )

    assert told.gateway.telling.publish_alerts() == ("inc-1/1", "inc-1/2")


def test_alert_is_shown_by_its_path(told: Any) -> None:
    """Once it was made; others are not there."""
    pages = Pages(told.gateway.telling, told.gateway.bundles)
    assert pages.show("/cap/inc-1.1.xml").status == 404
    told.gateway.telling.publish_alerts()
    found = pages.show("/cap/inc-1.1.xml")

    assert (found.status, found.content_type) == (200, CAP)
    assert found.octets == told.gateway.export_cap("inc-1/1")
    for path in ("/cap/inc-1.9.xml", "/cap/none.1.xml", "/cap/inc-1.xml", "/cap/inc-1.1.zip"):
        assert pages.show(path).status == 404
    other = told.document()["incident"] | {"id": "inc-9"}
    told.submit(told.document(incident=other, allow_duplicate=True))
    assert told.gateway.telling.publish_alerts() == ()
    with pytest.raises(UnknownNameError):
        told.gateway.telling.alert("inc-9/1")


def test_sweep_makes_alerts_where_pages_are_served(told: Any, front: Any) -> None:
    """`serve` looks every second; with neither pages nor HTTP it makes none."""
    told.gateway.telling._round(None)
    with told.gateway.store.read() as tx:
        assert len(tx.unpublished()) == 3
    settings = told.gateway.settings.model_copy(update={"http": object()})
    replace(told.gateway.telling, settings=settings)._round(None)

    answer = front.client.get("/cap/inc-1.2.xml")
    assert (answer.status_code, answer.headers["content-type"]) == (200, CAP)
    assert front.client.get("/cap/inc-1.8.xml").status_code == 404


@pytest.mark.parametrize("url", ["", "https://status.example.kr"])
def test_feed_is_sound_and_leads_to_alerts(told: Any, tmp_path: Path, url: str) -> None:
    """By a grammar of RFC 4287 and by what no grammar says; every link of it is a file."""
    files = exported(told, tmp_path / "site", url=url)
    root = etree.fromstring(files["feed.atom"])
    grammar = etree.RelaxNG(etree.parse(GRAMMAR))
    grammar.assertValid(root)
    entries = root.findall("a:entry", ATOM)
    names = Counter(one.findtext("a:id", namespaces=ATOM) for one in [root, *entries])
    updated = [
        datetime.fromisoformat(one.findtext("a:updated", namespaces=ATOM)) for one in entries
    ]

    assert len(entries) == 3
    assert set(names.values()) == {1}
    assert updated == sorted(updated, reverse=True)
    assert datetime.fromisoformat(root.findtext("a:updated", namespaces=ATOM)) >= max(updated)
    assert updated[0] <= told.clock.now().astimezone(UTC)
    base = f"{url}/"
    for one in entries:
        links = [(link.get("rel"), link.get("type")) for link in one.findall("a:link", ATOM)]
        assert len(set(links)) == len(links)  # 4.1.2: no two alternates of one type
        assert ("alternate", "application/cap+xml") in links
        for link in one.findall("a:link", ATOM):
            path = urljoin(base, link.get("href")).removeprefix(base)
            assert path + ("index.html" if path.endswith("/") else "") in files


def test_list_for_programs_leads_to_alerts(told: Any, tmp_path: Path) -> None:
    """Null while there is none."""
    before = json.loads(told_alerts(told.gateway))
    files = exported(told, tmp_path / "site", url="https://x.kr")
    after = json.loads(files["alerts.json"])

    assert {one["cap"] for one in before["outages"]} == {None}
    assert {one["cap"] for one in after["outages"]} == {
        "https://x.kr/cap/inc-1.2.xml",
        "https://x.kr/cap/inc-2.1.xml",
    }


def told_alerts(gateway: Gateway) -> bytes:
    """Give `alerts.json` as it is now."""
    return Pages(gateway.telling, gateway.bundles).show("/alerts.json").octets
