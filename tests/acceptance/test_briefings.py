"""D2: what call-centre staff read, field by field, on every way it is given out."""

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from cbgateway.domain.errors import UnknownNameError
from cbgateway.domain.incident import IncidentState
from cbgateway.interfaces.mqtt.state import Board
from cbgateway.interfaces.mqtt.topics import Topics
from tests.conftest import Office
from tests.front import Front

FACTS = {
    "cause": "routing",
    "confidence": "confirmed",
    "eta": "PT20M",
    "emergency_calls": "ok_remove_sim",
    "workarounds": ["tethering", "cash"],
}


def briefing(office: Office, language: str = "ko", number: int | None = None) -> dict[str, Any]:
    """Give a briefing."""
    return office.gateway.telling.briefing("inc-1", language=language, number=number)


def test_d2_every_field_is_there_in_both_languages(office: Office) -> None:
    """What, where, since when, cause and how sure, ETA, next update, and all that staff need."""
    office.issue(office.document(facts=FACTS))
    korean, english = briefing(office), briefing(office, "en")

    assert (korean["carrier"], korean["what"], korean["where"]) == (
        "KT",
        ["음성 통화"],
        ["부산광역시"],
    )
    assert korean["since"] == "2021-10-25T11:16:00+09:00"
    assert english["cause"] == "A wrong setting of the equipment that directs data"
    assert english["cause_confidence"] == "confirmed"
    assert (korean["eta"], korean["next_update_at"]) == (
        "2021-10-25T12:20:00+09:00",
        "2021-10-25T12:30:00+09:00",
    )
    assert "테더링" in korean["workarounds"][0]
    assert "112" in korean["emergency_calls"]
    assert korean["compensation_notice_days"] == 30
    assert "금액을 약속하지 않습니다" in korean["compensation"]
    assert korean["do_not_say"][0] == "왜 여기에 물어보시나요?"
    assert len(korean["kind_words"]) >= 3
    assert korean["code"] == office.gateway.telling.verify_code(korean["code"])["code"]


def test_d2_script_says_sorry_then_fact_then_what_helps_then_when(office: Office) -> None:
    """Line by line, with the times as people say them."""
    office.issue(office.document(facts=FACTS))

    assert briefing(office)["script"] == [
        "불편을 드려 죄송합니다. 고객님 휴대폰이나 댁의 문제가 아닙니다.",
        "11:16부터 부산광역시에서 KT 통신 장애가 이어지고 있습니다. 안 되는 것은 음성 통화입니다.",
        "112·119가 안 되면 유심(USIM)을 빼고 걸어 주세요.",
        "12:20쯤 복구될 것으로 보고 있습니다. 달라지면 다시 알려 드리겠습니다.",
        "카드 결제는 다른 통신사 휴대폰의 테더링으로 할 수 있습니다.",
        "다음 소식은 12:30에 알려 드리겠습니다.",
    ]
    office.clock.advance(31 * 60)
    late = briefing(office, "en")["script"]
    assert late[3] == "It is not known yet when it will work again."
    assert late[-1].startswith("The news that we promised is late, and I am sorry.")


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("restored", "KT's outage is over (Busan)"),
        ("correction", "There was a mistake in our earlier message"),
        ("withdrawal", "Our earlier message was withdrawn"),
    ],
)
def test_d2_script_of_the_end_is_another(office: Office, kind: str, words: str) -> None:
    """Nobody is told of an outage that is over, nor promised news of it."""
    office.issue(office.document())
    office.issue(office.later(kind))
    script = briefing(office, "en")["script"]

    assert script[1].startswith(words)
    assert not any("outage since" in line or "news at" in line for line in script)


def test_d2_script_follows_the_state_that_people_decided(office: Office) -> None:
    """Once somebody has said that it is restored, staff say so too."""
    office.issue(office.document())
    for state in ("identified", "monitoring", "restored"):
        office.gateway.set_incident_state("inc-1", IncidentState(state), key=office.keys["bob"])

    assert briefing(office, "en")["script"][1].startswith("KT's outage is over")


def test_d2_what_not_to_say_follows_what_is_not_known(office: Office) -> None:
    """No cause, no time of repair, nothing about emergency calls until it is known."""
    office.issue(office.document())
    unknown = briefing(office)["do_not_say"]
    office.issue(office.later("progress", facts=FACTS))
    known = briefing(office)["do_not_say"]

    assert len(unknown) == len(known) + 3
    assert any("원인은 아직 확인되지 않았습니다" in line for line in unknown)
    assert any("복구 시각은 아직 모릅니다" in line for line in unknown)
    assert any("112·119는 괜찮다는 말" in line for line in unknown)


def test_d2_contacts_work_without_the_network_that_failed(office: Office) -> None:
    """KT's own number comes back with KT; an entry that nobody has tried says so."""
    office.issue(office.document())
    down = briefing(office)["contacts"]
    office.gateway.telling.confirm_contact("112", key=office.keys["alice"])
    office.issue(office.later("restored"))
    restored = briefing(office)["contacts"]

    assert [one["contact"] for one in down] == ["112", "119", "110", "status.example.kr"]
    assert not any(one["is_verified"] for one in down)
    assert "100" in {one["contact"] for one in restored}
    assert {one["contact"]: one["is_verified"] for one in restored}["112"]


def test_d2_page_prints_what_the_document_says(office: Office) -> None:
    """Every line of the script and every contact is on the page."""
    office.issue(office.document(facts=FACTS))
    page = office.gateway.telling.briefing_page("inc-1", language="ko").decode()
    found = briefing(office)

    for line in (*found["script"], *found["do_not_say"], *found["kind_words"]):
        assert line in page
    assert "경찰 112 (아직 확인되지 않은 연락처)" in page
    assert "<script" not in page


def test_d2_over_http_as_json_and_as_a_page(front: Front) -> None:
    """With a tag while nothing changes; the same page as the command prints."""
    office = front.office
    office.issue(office.document(facts=FACTS))
    token = {"authorization": f"Bearer {front.token()}"}
    listed = front.client.get("/v1/briefings", headers=token)
    one = front.client.get("/v1/briefings/inc-1?language=en&number=1", headers=token)
    html = front.client.get("/v1/briefings/inc-1", headers=token | {"accept": "text/html"})
    again = front.client.get(
        "/v1/briefings", headers=token | {"if-none-match": listed.headers["etag"]}
    )

    assert [item["bulletin"] for item in listed.json()["items"]] == ["inc-1/1"]
    assert listed.json()["items"][0]["language"] == "ko"
    assert one.json()["script"] == briefing(office, "en")["script"]
    assert html.content == office.gateway.telling.briefing_page("inc-1", language="ko")
    assert again.status_code == 304
    assert front.client.get("/v1/briefings").status_code == 401
    for path, status in (
        ("/v1/briefings?language=fr", 422),
        ("/v1/briefings/inc-9", 404),
        ("/v1/briefings/inc-1?number=7", 404),
    ):
        assert front.client.get(path, headers=token).status_code == status


def stream(front: Front, path: str, count: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Read some events of a stream."""
    headers = {"authorization": f"Bearer {front.token('stream')}"}
    with front.client.stream("GET", path, headers=headers) as response:
        name = ""
        for line in response.iter_lines():
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            if line.startswith("data: "):
                yield name, json.loads(line.removeprefix("data: "))
                count -= 1
                if not count:
                    return


def test_d2_stream_says_superseded_at_once(front: Front) -> None:
    """The newest first, then, as bulletin 2 is approved, that 1 counts no more."""
    office = front.office
    office.issue(office.document())
    found: list[tuple[str, dict[str, Any]]] = []
    has_first = threading.Event()

    def watch() -> None:
        for event in stream(front, "/v1/briefings/events?language=en", 3):
            found.append(event)
            has_first.set()

    watching = threading.Thread(target=watch)
    watching.start()
    assert has_first.wait(10)
    office.gateway.telling.note_reading("inc-1/1", reader="desk 7")
    office.issue(office.later("progress"))
    office.clock.advance(1)
    watching.join(10)

    assert [name for name, _ in found] == ["briefing", "superseded", "briefing"]
    assert found[1][1] == {"bulletin": "inc-1/1", "newest": "inc-1/2"}
    assert found[2][1]["number"] == 2


def test_d2_read_receipts_come_over_http_signed(front: Front) -> None:
    """A call-centre's machine says who has read; the history keeps who said so."""
    office = front.office
    office.issue(office.document())
    office.add("centre", may_submit=True, owner="alice")
    receipt = {"decision": "briefing-read", "bulletin": "inc-1/1", "reader": "desk 7"}
    path = "/v1/briefings/inc-1/1:read"
    first = front.ask("POST", path, receipt, by="centre")
    second = front.ask("POST", path, receipt, by="centre")
    with office.gateway.store.read() as tx:
        (event,) = (one for one in tx.events("inc-1/1") if one.what == "briefing-read")

    assert (first.status_code, first.json()["is_new"]) == (200, True)
    assert second.json()["is_new"] is False
    assert (event.actor, event.detail["told_by"]) == ("desk 7", "centre")
    assert briefing(office)["readers"] == ["desk 7"]
    for wrong, status in (
        (receipt | {"bulletin": "inc-1/2"}, 422),
        (receipt | {"reader": ""}, 422),
        (receipt | {"more": 1}, 422),
    ):
        assert front.ask("POST", path, wrong, by="centre").status_code == status
    missing = receipt | {"bulletin": "inc-9/1"}
    assert front.ask("POST", "/v1/briefings/inc-9/1:read", missing).status_code == 404
    office.gateway.keyring.revoke("centre")
    assert front.ask("POST", path, receipt, by="centre").status_code in {401, 403}


def test_d2_coverage_is_a_metric_and_in_status(office: Office) -> None:
    """Of the desks that the settings name: who has, who has not, and the share."""
    told = office.gateway.telling
    desks = ("desk 1", "desk 2", "desk 3", "desk 4")
    settings = office.gateway.settings.model_copy(update={"briefing_readers": desks})
    object.__setattr__(office.gateway, "settings", settings)
    office.issue(office.document())
    for reader in ("desk 2", "shift lead"):
        told.note_reading("inc-1/1", reader=reader)
    (before,) = office.gateway.status()["briefings"]
    office.issue(office.later("progress"))
    (after,) = office.gateway.status()["briefings"]

    assert (before["read"], before["expected"], before["ratio"]) == (2, 4, 0.25)
    assert before["missing"] == ["desk 1", "desk 3", "desk 4"]
    assert (after["bulletin"], after["read"], after["ratio"]) == ("inc-1/2", 0, 0.0)
    office.issue(office.later("restored"))
    assert office.gateway.status()["briefings"] == []


def test_d2_metrics_tell_who_has_read(front: Front) -> None:
    """Prometheus sees the count; a share only where the settings name readers."""
    office = front.office
    office.issue(office.document())
    office.gateway.telling.note_reading("inc-1/1", reader="desk 7")
    text = front.client.get("/metrics", headers={"authorization": f"Bearer {front.token()}"}).text

    assert 'cbgateway_briefing_reads{incident="inc-1"} 1\n' in text
    assert "# TYPE cbgateway_briefing_read_ratio gauge" in text


def test_d2_retained_over_mqtt_versioned_and_taken_away(office: Office) -> None:
    """One topic for each incident and language, replaced at once, to the minute when times pass."""
    office.issue(office.document(facts=FACTS))
    topics = Topics(office.gateway.settings.mode, "lab")
    board = Board(
        topics,
        office.gateway.deployment,
        "urn:cbgateway:x",
        office.gateway.telling.briefings_in,
        office.clock.now,
    )
    prefix = f"{topics.prefix}/state/briefing/"

    def told(look: Any) -> dict[str, Any]:
        with office.gateway.store.read() as tx:
            return {
                one.topic.removeprefix(prefix): json.loads(one.payload or b"null")
                for one in look(tx)
                if one.topic.startswith(prefix) and one.retain
            }

    with office.gateway.store.read() as tx:
        board.begin(tx)
    begun = told(lambda tx: board.present(tx, "")[0])
    assert {name: one["number"] for name, one in begun.items()} == {"inc-1/ko": 1, "inc-1/en": 1}
    assert "readers" not in begun["inc-1/ko"]
    assert told(board.look) == {}
    office.clock.advance(21 * 60)
    passed = told(board.look)
    assert (begun["inc-1/ko"]["eta"], passed["inc-1/ko"]["eta"]) == (
        "2021-10-25T12:20:00+09:00",
        None,
    )
    office.issue(office.later("restored"))
    assert told(board.look)["inc-1/en"]["number"] == 2
    office.clock.advance(86_401)
    assert told(board.look) == {"inc-1/ko": None, "inc-1/en": None}


def test_d2_unknown_language_is_refused(office: Office) -> None:
    """By name."""
    office.issue(office.document())

    with pytest.raises(UnknownNameError, match="language"):
        office.gateway.telling.briefing("inc-1", language="fr")
