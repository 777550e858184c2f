"""What the project set out to do, one test for each criterion: B1 to B3, C1, C2, D2, E2, E3, G, I1.

Criteria that need phones are in test_replays.py.
"""

import json
import re
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from cbgateway.domain.bulletin import BulletinState
from cbgateway.domain.errors import (
    CauseError,
    ConfirmationError,
    ContactError,
    DeadlineError,
    HeartbeatError,
    InputError,
    UnknownCodeError,
)
from cbgateway.public.common import PAGE_OCTETS_MAX
from cbgateway.public.site import files, render
from cbgateway.service import postmortem
from cbgateway.telling import read_events, read_export

PROGRESS: dict[str, Any] = {
    "name": "progress",
    "slots": {
        "authority": "msit",
        "carrier": "kt",
        "number": 2,
        "cause": "routing",
        "now": "12:00",
        "eta": "12:20",
        "next": "12:30",
    },
}
HEARTBEAT: dict[str, Any] = {
    "name": "heartbeat",
    "slots": {"authority": "msit", "carrier": "kt", "number": 2, "now": "12:20", "next": "12:50"},
}


def events(office: Any, subject: str, what: str) -> list[Any]:
    """Give the events of one kind about one subject."""
    with office.gateway.store.read() as tx:
        return [event for event in tx.events(subject) if event.what == what]


def heartbeat(office: Any, **changes: Any) -> dict[str, Any]:
    """Give a sound "no change yet"."""
    return office.later("heartbeat", texts=None, template=HEARTBEAT, **changes)  # type: ignore[no-any-return]


def public_surfaces(office: Any) -> dict[str, str]:
    """Give everything that the public sees now, but for the proofs of exact texts."""
    made = files(office.gateway.telling.site())
    return {path: octets.decode() for path, octets in made.items() if "v/" not in path}


def test_b1_no_alert_without_a_next_update_within_the_profile(office: Any) -> None:
    """Refused without one, and when it is promised too late; the latest time is named."""
    with pytest.raises(InputError, match="next_update"):
        office.submit(office.document(next_update=None))
    with pytest.raises(DeadlineError, match="'kr' allows: 2021-10-25T04:00:00"):
        office.submit(office.document(next_update="PT61M"))

    assert office.issue(office.document(next_update="PT60M")).state is BulletinState.APPROVED


def test_b1_no_approval_once_the_promise_has_passed(office: Any) -> None:
    """It would be broken at once; a correction goes out all the same."""
    late = office.submit(office.document(next_update="PT10M")).bulletin.bulletin_id
    office.clock.advance(600)

    with pytest.raises(DeadlineError, match="has passed"):
        office.approve(late)


def test_b1_missed_deadline_raises_event_count_and_draft_within_5_s(office: Any) -> None:
    """One event, one count, one draft that a person can submit; never twice."""
    office.issue(office.document(next_update="PT30M"))
    office.clock.advance(30 * 60 - 1)
    assert office.gateway.telling.sweep() == ()
    office.clock.advance(5)

    (missed,) = office.gateway.telling.sweep()
    (event,) = events(office, "inc-1/1", "promise-missed")
    assert missed.bulletin_id == "inc-1/1"
    assert event.detail["draft"] == "inc-1/2"
    assert (event.at - missed.due) <= timedelta(seconds=5)
    assert office.gateway.status()["promises"]["missed"] == 1
    assert office.gateway.telling.sweep() == ()
    with office.gateway.store.read() as tx:
        draft = tx.bulletin("inc-1/2")
    assert draft.state is BulletinState.DRAFT
    assert "달라진 것은 없습니다" in draft.bulletin.texts["ko"]
    assert "다음 안내 13:00" in draft.bulletin.texts["ko"]
    octets = office.gateway.telling.accept_document("inc-1/2", sender="alice")
    record = office.gateway.revise("inc-1/2", octets, key=office.keys["alice"])
    assert record.state is BulletinState.PENDING
    assert office.approve("inc-1/2").state is BulletinState.APPROVED


def test_b1_first_notice_that_is_late_is_noted(office: Any) -> None:
    """From the beginning of the outage; the history says so once."""
    office.submit(office.document())

    (missed,) = office.gateway.telling.sweep()
    assert (missed.incident_id, missed.bulletin_id) == ("inc-1", "")
    assert len(events(office, "inc-1", "first-notice-missed")) == 1
    assert office.gateway.telling.sweep() == ()


def test_b2_no_public_surface_shows_a_past_eta_for_more_than_60_s(office: Any) -> None:
    """From the minute on that it has passed: overdue, and when the next update comes."""
    office.issue(office.document())
    office.issue(office.later("progress", texts=None, template=PROGRESS))
    before = public_surfaces(office)
    office.clock.advance(20 * 60 + 1)
    after = public_surfaces(office)

    assert "12:20" in before["index.html"]
    assert "2021-10-25T03:20:00Z" in before["alerts.json"]
    for path, text in after.items():
        assert "12:20쯤" not in text, path
        assert not re.search(r">12:20<|about 12:20", text), path
    assert "예상한 시각이 지났습니다" in after["index.html"]
    assert "12:30" in after["index.html"]
    (outage,) = json.loads(after["alerts.json"])["outages"]
    assert (outage["eta"], outage["is_eta_overdue"], outage["texts"]) == (None, True, {})
    briefing = office.gateway.telling.briefing("inc-1", language="en")
    assert briefing["eta"] is None
    assert "has passed" in briefing["eta_words"]


def test_b3_only_heartbeats_within_the_policy_and_never_without_people(office: Any) -> None:
    """No free text, no wider area, no other class, not too often; a person approves each."""
    office.issue(office.document())
    with pytest.raises(HeartbeatError, match="600 s after"):
        office.submit(heartbeat(office))
    office.clock.advance(600)
    for document, words in (
        (office.later("heartbeat"), "no free text"),
        (heartbeat(office, regions=["KR"]), "no|further than inc-1/1"),
        (heartbeat(office, **{"class": "emergency"}), "stays in class 'safety'"),
    ):
        with pytest.raises(HeartbeatError, match=words):
            office.submit(document)

    assert office.submit(heartbeat(office)).state is BulletinState.PENDING


def test_c2_plan_says_who_is_told_before_approval(office: Any) -> None:
    """Assured, neighbour cells or roaming only, none: by region and carrier, in the report too."""
    record = office.submit(office.document())
    prepared = office.gateway.prepare(record.bulletin.bulletin_id)
    office.approve(record.bulletin.bulletin_id)
    report = office.gateway.telling.report("inc-1")

    assert {one.carrier: one.level.value for one in prepared.reach} == {
        "kt": "neighbour_or_roaming",
        "skt": "assured",
        "lguplus": "assured",
    }
    assert {(row["region"], row["carrier"], row["level"]) for row in report["reach"]} == {
        ("KR-26", "kt", "neighbour_or_roaming"),
        ("KR-26", "skt", "assured"),
        ("KR-26", "lguplus", "assured"),
    }


def test_c3_site_can_be_put_on_any_host(office: Any, tmp_path: Path) -> None:
    """Files only, whole ones, and no more written than has changed."""
    office.issue(office.document())
    folder = tmp_path / "site"
    first = office.gateway.telling.export_site(folder)
    second = office.gateway.telling.export_site(folder)
    office.issue(office.later("progress"))
    third = office.gateway.telling.export_site(folder)

    assert len(first.written) == first.files > 40
    assert second.written == ()
    assert "r/KR-26/index.html" in third.written
    assert "r/KR-11/index.html" not in third.written
    assert third.written[-1] == "index.html"


def test_d2_briefing_is_there_at_once_and_superseded_by_the_next(office: Any) -> None:
    """Versioned with the bulletin, in both languages, with receipts."""
    office.issue(office.document())
    told = office.gateway.telling
    first = told.briefing("inc-1", language="ko")
    assert told.note_reading("inc-1/1", reader="desk 7")
    assert not told.note_reading("inc-1/1", reader="desk 7")
    office.issue(office.later("progress", facts={"cause": "routing", "confidence": "confirmed"}))

    old = told.briefing("inc-1", language="ko", number=1)
    new = told.briefing("inc-1", language="en")
    page = told.briefing_page("inc-1", language="ko", number=1).decode()
    assert (first["number"], first["is_superseded"]) == (1, False)
    assert (old["is_superseded"], old["newest"], old["readers"]) == (True, "inc-1/2", ["desk 7"])
    assert (new["number"], new["cause_confidence"], new["readers"]) == (2, "confirmed", [])
    assert 'role="alert"' in page
    for wanted in ("이 안내문을 쓰지 마세요", "불편을 드려 죄송합니다", "왜 여기에 물어보시나요?"):
        assert wanted in page


def test_e2_code_shows_the_exact_text_or_says_that_it_is_not_ours(office: Any) -> None:
    """However people write it; what was never said is not ours, what is over says so."""
    bulletin = office.issue(office.document()).bulletin
    told = office.gateway.telling
    found = told.verify_code(f" {bulletin.code[:3].lower()}-{bulletin.code[3:]} ")
    office.issue(office.later("progress"))

    assert len(bulletin.code) == 6
    assert found["texts"] == dict(bulletin.texts)
    assert found["holds"] is True
    assert told.verify_code(bulletin.code)["holds"] is False
    for unknown in ("ZZZZZZ", "", "K7F2Q", "<script>"):
        with pytest.raises(UnknownCodeError, match="not ours"):
            told.verify_code(unknown)
        page = render(told.site(), f"/v/{unknown}")
        assert "<script>" not in page.octets.decode()
    assert render(told.site(), "/v/ZZZZZZ").status == 404


def test_e2_nothing_is_ours_before_it_was_approved(office: Any) -> None:
    """A draft's code proves nothing."""
    pending = office.submit(office.document()).bulletin

    with pytest.raises(UnknownCodeError):
        office.gateway.telling.verify_code(pending.code)


def test_e2_code_stands_in_the_text_where_it_asks_for_it(office: Any) -> None:
    """In templates and in free texts; without it, the code stands beside the text."""
    asked = office.issue(office.document(texts={"ko": "[과기정통부] 장애. 코드{code}"})).bulletin
    templated = office.issue(office.later("progress", texts=None, template=PROGRESS)).bulletin

    assert asked.texts["ko"] == f"[과기정통부] 장애. 코드{asked.code}"
    assert templated.texts["ko"].endswith(f"코드{templated.code}")
    assert len(templated.texts["ko"]) <= 157


def test_e3_number_outside_the_directory_is_refused(office: Any) -> None:
    """Whatever it is written with; times, counts and dates are no numbers."""
    for digits in ("02-1234-5678", "1588 0010", "911", "０１０１２３４５６７８", "+82 2 123 4567"):
        with pytest.raises(ContactError, match="directory"):
            office.submit(office.document(texts={"ko": f"문의 {digits}"}))
    fine = "[과기정통부] 11:16 장애 89분, 1,234명, 70%, 2021-10-25. 112·119 통화 가능"

    assert office.submit(office.document(texts={"ko": fine})).state is BulletinState.PENDING


def test_e3_free_digits_need_a_read_back_by_two_people(office: Any) -> None:
    """The sender types them once more, and so does the approver."""
    document = office.document(texts={"ko": "문의 02-1234-5678"}, read_back=["02-1234-5678"])
    record = office.submit(document)
    prepared = office.gateway.prepare(record.bulletin.bulletin_id)

    assert prepared.confirmation == "0212345678"
    for typed in ("", "0212345679", "yes"):
        with pytest.raises(ConfirmationError):
            office.gateway.approve(prepared, key=office.keys["bob"], confirmation=typed)
    approved = office.gateway.approve(prepared, key=office.keys["bob"], confirmation="0212345678")
    assert approved.state is BulletinState.APPROVED


def test_e3_no_text_points_to_the_network_that_failed(office: Any) -> None:
    """KT's own number is refused while KT is down, and allowed once it is back; no foreign link."""
    with pytest.raises(ContactError, match="network of 'kt' is down"):
        office.submit(office.document(texts={"ko": "문의 100번"}))
    with pytest.raises(ContactError, match="link"):
        office.submit(office.document(texts={"ko": "자세히 http://example.org/a"}))
    office.issue(office.document(texts={"ko": "장애. status.example.kr/x"}))

    restored = office.submit(office.later("restored", texts={"ko": "복구 완료. 문의 100번"}))
    assert restored.state is BulletinState.PENDING


def test_g1_report_gives_figures_with_their_source(office: Any) -> None:
    """From detection to acceptance and display; what nobody measured is not known."""
    office.issue(office.document())
    office.clock.advance(20)
    office.send("skt")
    told = office.gateway.telling
    before = told.report("inc-1")
    told.note_display(
        "inc-1/1", carrier="skt", region="KR-26", at=office.clock.now(), source="probe phone"
    )
    after = told.report("inc-1")
    rows = {row["carrier"]: row for row in after["reach"]}

    assert before["times"]["to_first_display_s"] == {"value": None, "source": "not known"}
    assert after["times"]["to_first_display_s"] == {"value": 2660.0, "source": "probe phone"}
    assert after["times"]["to_first_acceptance_by_a_carrier_s"]["value"] == 2660.0
    assert rows["kt"]["first_accepted_at"] == {"value": None, "source": "not known"}
    assert rows["kt"]["population"]["value"] == 3_350_380
    assert "주민등록" in rows["kt"]["population"]["source"]
    assert rows["kt"]["population_uncovered_by_all_carriers"]["value"] == 0
    (row,) = after["deliveries"]
    assert row["approval_to_acceptance_p50_s"]["value"] == 20.0
    assert row["approval_to_acceptance_p95_s"]["value"] == 20.0


def test_g2_report_is_the_same_octets_from_the_audit_log_alone(office: Any, tmp_path: Path) -> None:
    """Nothing but the exported log, in another process or year."""
    office.issue(office.document())
    office.send("skt")
    office.clock.advance(1700)
    office.issue(office.later("restored"))
    office.gateway.telling.note_reading("inc-1/2", reader="desk 7")
    own = postmortem.to_json(office.gateway.telling.report("inc-1"))
    office.gateway.history.export(tmp_path / "log")
    office.clock.advance(86_400 * 400)

    exported = postmortem.report(read_events(read_export(tmp_path / "log")), "inc-1")
    assert own == postmortem.to_json(exported)
    assert exported["deadlines"]["compensation_notice_due"]["value"] == "2021-11-24"
    assert exported["deadlines"]["updates"][0]["is_kept"] is True
    assert exported["bulletins"][1]["briefing_readers"] == ["desk 7"]


def test_i1_lint_finds_blame_hard_words_and_unverified_causes(office: Any) -> None:
    """DDoS needs a confirmed cause; blame and jargon are shown to the second person."""
    for texts in (
        {"ko": "[KT] 디도스 공격으로 장애"},
        {"ko": "장애", "en": "Outage by a DDoS attack"},
    ):
        with pytest.raises(CauseError, match="'attack' confirmed"):
            office.submit(office.document(texts=texts))
    blamed = office.submit(
        office.document(
            texts={
                "ko": "협력업체 직원의 실수로 라우터 장애!!",
                "en": "BGP failover, a contractor's error",
            }
        )
    )
    said = " ".join(blamed.submission.warnings)
    for topic in ("blame in 'ko'", "jargon in 'ko'", "shouting in 'ko'", "jargon in 'en'"):
        assert topic in said
    assert "blame in 'en'" in said
    incident = office.document()["incident"] | {"id": "inc-2"}
    confirmed = office.document(
        incident=incident,
        texts={"ko": "[KT] 디도스 공격으로 장애"},
        facts={"cause": "attack", "confidence": "confirmed"},
    )
    assert office.submit(confirmed).state is BulletinState.PENDING


class Outline(HTMLParser):
    """What a page is made of, as far as its use without eyes and scripts goes."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.languages: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        self.tags.append(tag)
        facts = dict(attrs)
        if facts.get("lang"):
            self.languages.append(str(facts["lang"]))
        if tag == "a":
            self.links.append(str(facts["href"]))


def test_i1_pages_are_small_plain_and_accessible(office: Any) -> None:
    """14 KiB at most, no script, one heading of the first rank, a language, a main part."""
    office.issue(office.document(regions=["KR"], facts={"workarounds": ["cash", "wait"]}))
    office.issue(office.later("progress", texts=None, template=PROGRESS, regions=["KR"]))
    made = files(office.gateway.telling.site())

    for path, octets in made.items():
        if not path.endswith(".html"):
            continue
        outline = Outline()
        outline.feed(octets.decode())
        assert len(octets) <= PAGE_OCTETS_MAX, path
        assert outline.tags.count("h1") == 1, path
        assert "main" in outline.tags, path
        assert not {"script", "img", "iframe", "form"} & set(outline.tags), path
        assert outline.languages[0] == ("en" if path.startswith("en/") else "ko"), path
        for link in outline.links:
            assert leads_somewhere(path, link, made), (path, link)


def leads_somewhere(path: str, link: str, made: dict[str, bytes]) -> bool:
    """Tell whether a relative link of a page is a file of the site."""
    if link.startswith("#"):
        return True
    parts = [*path.split("/")[:-1]]
    for part in link.split("/"):
        if part == "..":
            parts.pop()
        elif part not in {"", "."}:
            parts.append(part)
    target = "/".join(parts)
    return target in made or f"{target}/index.html".lstrip("/") in made
