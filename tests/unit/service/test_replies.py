"""Replies to enquiries: what they say, how long they are, and what they never say."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbgateway.domain.bulletin import Mode
from cbgateway.service.replies import Replies, Sentence, fitted, parts_of
from tests.enquirers import SETTINGS, Enquirers, phone

ETA = "2021-10-25T12:20:00+09:00"
EVERYWHERE = ["KR-11", "KR-26", "KR-27", "KR-41", "KR-45", "KR-49"]


def asked(enquirers: Any, text: str, index: int = 1) -> str:
    """Ask as somebody who has not asked before."""
    reply = enquirers.ask(text, source=phone(index))
    assert reply is not None
    return str(reply)


@pytest.mark.parametrize("region", ["KR-11", "KR-45", "KR-50"])
@pytest.mark.parametrize("language", ["ko", "en"])
def test_nothing_wrong_takes_one_part(enquirers: Any, region: str, language: str) -> None:
    """For every command and region, in both languages."""
    replies = enquirers.enquiries._replies
    with enquirers.store.read() as tx:
        now = replies(tx, now=enquirers.office.clock.now(), now_s=0.0)
    texts = [
        now.status(language, region, carrier="kt"),
        now.reported(language, region, carrier="kt"),
        now.subscribed(language, region),
        *(
            now.short(language, name)
            for name in ("help", "unknown", "limited", "stopped", "not_ours", "verify_how")
        ),
        *(now.short(language, f"{name}_where") for name in ("report", "subscribe")),
        now.short(language, "subscribe_full"),
    ]

    assert [text for text in texts if parts_of(text) != 1] == []
    assert [text for text in texts if "{" in text or "…" in text] == []


@pytest.mark.parametrize("calls", ["ok", "ok_remove_sim", "impaired", "down", "unknown"])
def test_outage_takes_two_parts_and_says_what_matters(enquirers: Any, calls: str) -> None:
    """Emergency calls, the next update and the code are never left out."""
    office = enquirers.office
    facts = {"cause": "routing", "confidence": "confirmed", "emergency_calls": calls, "eta": ETA}
    services = ["voice", "sms", "mobile_data", "fixed_internet", "iptv"]
    incident = office.document()["incident"] | {"services": services}
    document = office.document(incident=incident, facts=facts, regions=EVERYWHERE)
    code = office.issue(document).bulletin.code
    office.clock.advance(10)

    korean, english = asked(enquirers, "제주"), asked(enquirers, "Jeju", 2)

    for text in (korean, english):
        assert parts_of(text) == 2
        assert "12:30" in text
        assert code in text
        assert "112" in text
    assert "제주" in korean
    assert "KT" in english
    assert not korean.endswith("…")


def test_past_repair_time_is_never_said(enquirers: Any) -> None:
    """Nor is a promised time that has passed; a repair time that is to come is said."""
    office = enquirers.office
    office.issue(office.document(facts={"eta": ETA}))
    office.clock.advance(10)
    assert "12:20" in asked(enquirers, "부산")
    office.clock.advance(20 * 60)
    assert "12:20" not in asked(enquirers, "부산", 2)
    office.clock.advance(10 * 60)
    late = asked(enquirers, "Busan", 3)
    assert "12:20" not in late
    assert "12:30" not in late
    assert "late" in late


def test_only_a_confirmed_cause_is_named(enquirers: Any) -> None:
    """What is suspected is not told to anybody who asks."""
    office = enquirers.office
    office.issue(office.document(facts={"cause": "fire", "confidence": "suspected"}))
    office.clock.advance(10)
    assert "fire" not in asked(enquirers, "Busan").lower()
    facts = {"cause": "fire", "confidence": "confirmed"}
    office.issue(office.later("progress", facts=facts, next_update="PT30M"))
    office.clock.advance(10)
    assert "fire" in asked(enquirers, "Busan", 2).lower()


def test_nothing_is_said_of_a_draft_or_of_another_region(enquirers: Any) -> None:
    """What was not approved is not there, and what is elsewhere is not here."""
    office = enquirers.office
    pending = office.submit(office.document())
    assert "없습니다" in asked(enquirers, "부산")
    assert "아닙니다" in asked(enquirers, f"확인 {pending.bulletin.code}", 2)
    office.approve("inc-1/1")
    office.clock.advance(10)
    assert "없습니다" in asked(enquirers, "서울", 3)
    assert "장애" in asked(enquirers, "부산", 4)
    assert pending.bulletin.code in asked(enquirers, "", 5)


def test_own_carrier_comes_first_and_others_are_counted(enquirers: Any) -> None:
    """Somebody who asks by SKT hears of SKT."""
    office = enquirers.office
    office.issue(office.document())
    incident = {"id": "inc-2", "carrier": "skt", "services": ["sms"]}
    incident["started_at"] = "2021-10-25T11:30:00+09:00"
    office.issue(office.document(incident=incident, texts={"ko": "[과기정통부] 다른 장애"}))
    office.clock.advance(10)

    assert asked(enquirers, "부산").startswith("KT")
    by_skt = enquirers.ask("부산", peer="skt", source=phone(2))
    assert by_skt.startswith("SK텔레콤")
    assert "다른 장애 1건" in by_skt


def test_restored_outage_is_told_of_in_one_part(enquirers: Any) -> None:
    """For a day; what was withdrawn is no outage that is over."""
    office = enquirers.office
    office.issue(office.document())
    code = office.issue(office.later("restored")).bulletin.code
    office.clock.advance(10)
    reply = asked(enquirers, "부산")
    assert "복구되었습니다" in reply
    assert code in reply
    assert parts_of(reply) == 1
    office.clock.advance(86_400)
    assert "없습니다" in asked(enquirers, "부산", 2)


def test_code_is_answered_with_the_exact_text(enquirers: Any) -> None:
    """In the language asked for; one that is over says so, one that is not ours as well."""
    office = enquirers.office
    first = office.issue(office.document(facts={"eta": ETA})).bulletin
    office.clock.advance(10)
    assert first.texts["ko"] in asked(enquirers, f"확인 {first.code}")
    assert first.texts["en"] in asked(enquirers, f"verify {first.code.lower()}", 2)
    office.clock.advance(1500)
    assert "지났습니다" in asked(enquirers, f"확인 {first.code}", 3)
    office.issue(office.later("progress", next_update="PT30M"))
    office.clock.advance(10)
    assert "지난 안내문" in asked(enquirers, f"확인 {first.code}", 4)
    assert "not ours" in asked(enquirers, "verify ZZZZZZ", 5)
    assert "여섯 자리" in asked(enquirers, "확인", 6)


def test_text_that_is_too_long_to_prove_is_pointed_to(
    enquirers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its link, where the pages are; else the verdict stands alone."""
    monkeypatch.setattr("cbgateway.service.replies.PROOF_PARTS_MAX", 1)
    office = enquirers.office
    bulletin = office.issue(office.document()).bulletin
    with enquirers.store.read() as tx:
        seen = office.gateway.telling.publication(tx)
    found = seen.notice_with_code(bulletin.code)
    without = Replies(office.gateway.deployment, seen)
    site = replace(office.gateway.deployment, site_url="https://status.example.kr")

    assert without.proof("ko", *found) == "저희가 보낸 안내문이 맞습니다(12:00):"
    assert (
        Replies(site, seen)
        .proof("ko", *found)
        .endswith(f"https://status.example.kr/v/{bulletin.code}/")
    )


def test_exercise_begins_every_reply_as_the_country_says(make_office: Any) -> None:
    """Nobody takes a drill for an outage."""
    enquirers = Enquirers(make_office(mode=Mode.EXERCISE, more=SETTINGS))

    assert asked(enquirers, "부산").startswith("[훈련]")
    assert asked(enquirers, "STATUS", 2).startswith("[EXERCISE]")


@given(
    texts=st.lists(st.tuples(st.text(max_size=80), st.one_of(st.none(), st.integers(0, 3)))),
    parts_max=st.integers(1, 3),
)
def test_what_is_joined_fits(texts: list[tuple[str, int | None]], parts_max: int) -> None:
    """Whatever the sentences are."""
    assert parts_of(fitted([Sentence(*one) for one in texts], parts_max)) <= parts_max
