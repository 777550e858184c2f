"""What the project set out to do without the network that failed: C1, C3, C4, E1, E2, G1, G2.

The same with nothing but the carriers' addresses in reach is in integration/test_cut_off.py.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from cbgateway import offline
from cbgateway.app import Gateway
from cbgateway.bundles import check_bundle
from cbgateway.domain.bulletin import BulletinState
from cbgateway.domain.errors import SamePersonError, SignatureInvalidError
from cbgateway.domain.lifecycle import DeliveryState
from cbgateway.interfaces.cap.document import check_structure
from cbgateway.interfaces.http.limits import PROOFS_EACH_BURST
from cbgateway.public.site import files
from cbgateway.service import postmortem
from cbgateway.signing.codes import ALPHABET
from cbgateway.signing.xmldsig import parse_xml
from cbgateway.telling import read_events, read_export
from cbsim.handset import Handset
from tests.conftest import Office


def both(office: Any) -> tuple[Any, Any]:
    """Give both people's keys."""
    return office.keys["alice"], office.keys["bob"]


def typed(prepared: Any) -> str:
    """Type what is asked for."""
    return str(prepared.confirmation)


def gsm_pages(broadcast: Any) -> list[bytes]:
    """Give a broadcast's pages as GSM sends them (TS 23.041 9.4.1)."""
    head = int(broadcast.serial_number).to_bytes(2, "big")
    head += broadcast.message_identifier.to_bytes(2, "big") + bytes([broadcast.dcs])
    count = len(broadcast.pages)
    return [
        head + bytes([number << 4 | count]) + page.octets
        for number, page in enumerate(broadcast.pages, start=1)
    ]


def test_c1_carrier_that_comes_back_gets_the_newest_bulletin_once(office: Any) -> None:
    """The others were told at once, of every bulletin."""
    office.issue(office.document())
    assert {len(office.send(peer)) for peer in ("skt", "lguplus")} == {2}
    newest = office.issue(office.later("progress")).bulletin.bulletin_id
    assert {len(office.send(peer)) for peer in ("skt", "lguplus")} == {2}

    told = office.send("kt")
    assert {one.bulletin_id for one in told} == {newest}
    assert len({one.broadcast.message_identifier for one in told}) == len(told) == 2
    assert office.send("kt") == []
    with office.gateway.store.read() as tx:
        old = {one.state for one in tx.deliveries("inc-1/1") if one.lineage.peer_id == "kt"}
    assert old == {DeliveryState.SUPERSEDED}


def test_c3_two_keys_issue_a_bulletin_where_only_carriers_are_reached(
    office: Any, tmp_path: Path
) -> None:
    """One command and no gateway: no HTTP, no broker, no database but the kit's own."""
    offline.make_kit(office.gateway, tmp_path / "kit", days=30, with_recipients=False)
    with Gateway.open(tmp_path / "kit", clock=office.clock) as gateway:
        kit = Office(gateway, office.clock, office.keys)
        document = json.dumps(kit.document()).encode()
        with pytest.raises(SamePersonError):
            offline.issue(gateway, document, (office.keys["alice"],) * 2, typed)
        name = offline.issue(gateway, document, both(office), typed)
        told = [kit.send(peer) for peer in ("kt", "skt", "lguplus")]
        with gateway.store.read() as tx:
            assert tx.bulletin(name).state is BulletinState.LIVE

    assert [len(orders) for orders in told] == [2, 2, 2]
    assert gateway.settings.http is gateway.settings.mqtt is None


def test_c3_no_phone_shows_a_repeat_after_the_gateway_is_back(office: Any, tmp_path: Path) -> None:
    """The kit's bulletins, then the gateway's: each is new to a phone, and its number goes on."""
    offline.make_kit(office.gateway, tmp_path / "kit", days=30, with_recipients=False)
    office.issue(office.document(incident=office.document()["incident"] | {"id": "before"}))
    sent = office.send("skt")
    with Gateway.open(tmp_path / "kit", clock=office.clock) as gateway:
        kit = Office(gateway, office.clock, office.keys)
        for document in (kit.document(), kit.later("progress")):
            offline.issue(gateway, json.dumps(document).encode(), both(office), typed)
            sent += kit.send("skt")
    _, merged = offline.merge_kit(office.gateway, tmp_path / "kit")
    incident = merged.bulletins[0].partition("/")[0]
    office.issue(office.later("progress", incident=incident))
    after = [one for one in office.send("skt") if hasattr(one, "broadcast")]
    assert {one.bulletin_id for one in after} == {f"{incident}/3"}
    sent += after

    phone = Handset("821000000000", "KR-26", "ko", "ko", takes_broadcasts=True, keys={})
    for order in sent:
        for page in gsm_pages(order.broadcast):
            phone.receive_page(page, seal="", now_s=0.0)
    assert len(phone.screen) == 4


def test_c4_others_get_a_bundle_that_they_can_check(office: Any, tmp_path: Path) -> None:
    """CAP, short text, audio script; the same octets whenever, and sealed."""
    office.issue(office.document())
    office.gateway.bundles.export("inc-1/1", tmp_path / "bundle.zip")
    made = office.gateway.bundles.make("inc-1/1")
    with office.gateway.store.read() as tx:
        manifest = check_bundle(tmp_path / "bundle.zip", tx.region_keys())

    check_structure(parse_xml(made["alert.xml"]))
    assert {"text/ko/line.txt", "text/en/official.txt", "audio/ko.ssml", "audio/en.txt"} <= set(
        manifest["files"]
    )
    assert "오전 열한 시 십육 분부터" in made["audio/ko.txt"].decode()
    office.clock.advance(3600)
    assert office.gateway.bundles.zipped("inc-1/1") == (tmp_path / "bundle.zip").read_bytes()


def test_e1_altering_one_octet_is_found(office: Any, tmp_path: Path) -> None:
    """In every file of a bundle."""
    office.issue(office.document())
    folder = tmp_path / "bundle"
    office.gateway.bundles.export("inc-1/1", folder)
    with office.gateway.store.read() as tx:
        keys = tx.region_keys()
    names = [path for path in folder.rglob("*") if path.is_file() and "manifest" not in path.name]

    assert len(names) > 8
    for path in names:
        octets = path.read_bytes()
        path.write_bytes(octets[:-1] + bytes([octets[-1] ^ 1]))
        with pytest.raises(SignatureInvalidError):
            check_bundle(folder, keys)
        path.write_bytes(octets)
    assert check_bundle(folder, keys)


def test_e2_codes_have_thirty_bits_and_are_rate_limited(office: Any, front: Any) -> None:
    """Nobody tries them all; whoever looks one up is answered."""
    code = office.issue(office.document()).bulletin.code
    assert len(ALPHABET) ** len(code) >= 2**30
    answers = [front.client.get(f"/v/{code}") for _ in range(PROOFS_EACH_BURST + 1)]

    assert {one.status_code for one in answers[:-1]} == {200}
    assert answers[-1].status_code == 429
    assert int(answers[-1].headers["retry-after"]) >= 1


def test_g1_uncovered_people_and_carriers_logs_have_their_source(office: Any) -> None:
    """Per carrier and region; where nobody measured it says so."""
    office.issue(office.document(regions=["KR-26", "KR-50"]))
    office.clock.advance(60)
    log = (
        "bulletin,carrier,region,first_broadcast_at,cells_reached,cells_failed\n"
        "inc-1/1,skt,KR-26,2021-10-25T12:00:09+09:00,812,3\n"
    )
    office.gateway.telling.import_carrier_log(log.encode(), source="SKT ticket 4711")
    report = office.gateway.telling.report("inc-1")
    rows = {(one["region"], one["carrier"]): one for one in report["reach"]}

    assert rows["KR-26", "skt"]["cells_failed"]["value"] == 3
    assert "SKT ticket 4711" in rows["KR-26", "skt"]["cells_failed"]["source"]
    assert rows["KR-50", "skt"]["cells_failed"] == {"value": None, "source": "not known"}
    uncovered = rows["KR-50", "kt"]["population_uncovered_by_all_carriers"]
    assert uncovered["value"] == rows["KR-50", "kt"]["population"]["value"] > 0
    assert uncovered["source"] == rows["KR-50", "kt"]["population"]["source"] != "not known"


def test_g2_report_of_what_a_kit_did_is_the_same_octets_from_the_log(
    office: Any, tmp_path: Path
) -> None:
    """From the gateway's exported history alone, with the kit's evidence and a carrier's log."""
    offline.make_kit(office.gateway, tmp_path / "kit", days=30, with_recipients=False)
    with Gateway.open(tmp_path / "kit", clock=office.clock) as gateway:
        kit = Office(gateway, office.clock, office.keys)
        document = json.dumps(kit.document()).encode()
        name = offline.issue(gateway, document, both(office), typed)
        kit.send("skt")
    offline.merge_kit(office.gateway, tmp_path / "kit")
    incident = name.partition("/")[0]
    log = (
        f"bulletin,carrier,region,first_broadcast_at\n{name},skt,KR-26,2021-10-25T12:00:01+09:00\n"
    )
    office.gateway.telling.import_carrier_log(log.encode(), source="SKT")
    office.gateway.history.checkpoint()
    office.gateway.history.export(tmp_path / "log")
    of_gateway = postmortem.to_json(office.gateway.telling.report(incident))
    of_log = postmortem.to_json(
        postmortem.report(read_events(read_export(tmp_path / "log")), incident)
    )

    assert of_gateway == of_log
    assert '"kit": "kit' in of_log
    assert json.loads(of_log)["times"]["to_first_broadcast_s"]["value"] == 44 * 60 + 1
    assert b"inc-1" in files(office.gateway.telling.site())["index.html"]
