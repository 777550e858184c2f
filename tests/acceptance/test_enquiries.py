"""What the project set out to do for people who ask: D1, D3, E2 by short message.

Where time matters it is virtual: gateway, message centre and phones run in one process on a clock
that stands still while they work, so every run is the same.
"""

from typing import Any

import pytest

from cbgateway.service.outlook import plan_report
from cbgateway.service.replies import parts_of
from tests.enquirers import NUMBER, phone
from tests.storm import centre as storm_centre
from tests.storm.asking import TURN_S, Scene

ASKED_PER_S = 200
RECIPIENTS = 6_000


@pytest.fixture
def scene(make_office: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Give a maker of scenes with a bulletin that goes to many."""
    monkeypatch.setattr(storm_centre, "TURN_S", TURN_S)

    def make(name: str) -> Scene:
        more = '\n[enquiries]\ncarriers = ["kt"]\n'
        office = make_office(name=name, more=more)
        rows = [f"82109{index:07d},KR-26,ko" for index in range(RECIPIENTS)]
        lines = "\n".join(["number,region,language", *rows])
        office.gateway.import_recipients("kt", lines.encode())
        office.issue(office.document())
        return Scene(office)

    return make


def sent_s(scene: Scene) -> float:
    """Give how long a bulletin took, from its first short message to its last."""
    times = [
        one.submitted_at_s
        for one in scene.centre.centre.messages.newest()
        if b"82109" in one.destination
    ]
    assert len(times) == RECIPIENTS
    return max(times) - min(times)


def test_d1_95_percent_within_3_s_at_200_a_second_beside_a_bulletin(scene: Any) -> None:
    """And the bulletin takes no longer than without anybody asking."""
    alone, busy = scene("alone"), scene("busy")
    alone.play(asks_per_s=0, seconds=14)
    busy.play(asks_per_s=ASKED_PER_S, seconds=14)
    facts = busy.dialogues.facts()

    assert facts["asked"] >= ASKED_PER_S * 13
    assert facts["answered"] == facts["asked"]
    assert facts["p95_s"] < 3.0
    assert facts["max_s"] < 3.0
    assert sent_s(busy) <= 1.05 * sent_s(alone) + 0.1


def asks(enquirers: Any, *texts: str, source: str) -> list[str]:
    """Ask one after another; gives the replies."""
    return [enquirers.ask(text, source=source) or "" for text in texts]


def test_d1_one_part_without_an_outage_and_two_with_one(enquirers: Any) -> None:
    """For every command, in both languages, for every region."""
    office = enquirers.office
    regions = office.gateway.deployment.regions
    quiet = [
        enquirers.ask(f"{word}{regions[code].name[language]}", source=phone(n)) or ""
        for n, (code, language, word) in enumerate(
            (code, language, word)
            for code in regions
            for language, words in (("ko", ("", "신고 ", "알림 ")), ("en", ("", "OUT ", "SUB ")))
            for word in words
        )
    ]
    facts = {"cause": "routing", "confidence": "confirmed", "emergency_calls": "ok_remove_sim"}
    office.issue(office.document(regions=["KR"], facts=facts))
    office.clock.advance(10)
    known = [
        enquirers.ask(regions[code].name[language], source=phone(1000 + n)) or ""
        for n, (code, language) in enumerate(
            (code, language) for code in regions for language in ("ko", "en")
        )
    ]

    assert {parts_of(text) for text in quiet} == {1}
    assert max(parts_of(text) for text in known) == 2


def test_d1_reply_comes_in_the_language_of_the_command(enquirers: Any) -> None:
    """Korean to Korean, English to English."""
    korean = asks(enquirers, "상태", "서울", "신고 서울", "도움", "중지", source=phone(1))
    english = asks(enquirers, "STATUS", "Seoul", "OUT Seoul", "help", "stop", source=phone(2))

    assert all(any("가" <= c <= "힣" for c in text) for text in korean)
    assert all(text.isascii() for text in english)


def test_d1_five_a_minute_with_one_notice(enquirers: Any) -> None:
    """Then silence, and not for others."""
    replies = asks(enquirers, *["상태"] * 9, source=phone(1))

    assert [bool(text) for text in replies] == [True] * 6 + [False] * 3
    assert "잠시" in replies[5]
    assert enquirers.ask("상태", source=phone(2))


def test_d1_no_personal_data_beyond_a_hashed_number(enquirers: Any) -> None:
    """Not one octet of a number is left, whatever was asked."""
    someone = phone(13571357)
    asks(enquirers, "상태", "신고 서울", "제 번호는 01013571357 왜 안 돼요", source=someone)
    store = enquirers.store
    store._connection.pragma("wal_checkpoint", "TRUNCATE")

    octets = store.path.read_bytes()
    assert b"13571357" not in octets
    with store.read() as tx:
        assert tx.count_messages() == 0
        (question,) = tx.questions(limit=9)
    assert question.text == "제 번호는 ########### 왜 안 돼요"


def test_d1_loops_are_blocked(enquirers: Any) -> None:
    """Short codes, names, auto-replies, and our own words that come back."""
    reply = enquirers.ask("서울") or ""
    for source, text in (
        ("1588", "상태"),
        ("BANK", "STATUS"),
        (phone(2), "자동 응답: 부재 중입니다"),
        (phone(3), reply),
        (NUMBER, "상태"),
    ):
        assert enquirers.ask(text, source=source) is None, (source, text)
    assert enquirers.summary()["blocked"] == 5


def test_d1_crash_answers_nobody_twice(enquirers: Any) -> None:
    """At every point: before the decision, after it, and after the carrier's yes."""
    enquirers.write("서울", source=phone(1))
    enquirers.restart()
    assert len(enquirers.take().answers) == 1, "accepted, and not looked at: answered"
    enquirers.restart()
    with enquirers.store.transaction() as tx:
        assert enquirers.enquiries.recover(tx) == 1
    assert enquirers.take().answers == (), "committed to, and nobody knows: not sent again"


def test_d3_unanswered_questions_stand_beside_the_next_draft(enquirers: Any) -> None:
    """Ranked, masked, from phones and call centres alike."""
    office = enquirers.office
    for index in range(3):
        enquirers.ask("보상은 언제 받나요?", source=phone(index))
    office.gateway.asking.note("카드 1234 결제는 언제 되나요", source="desk 7")
    office.submit(office.document())
    prepared = office.gateway.prepare("inc-1/1")
    with enquirers.store.read() as tx:
        plan = plan_report(tx, office.gateway.deployment, prepared, now=office.clock.now())

    assert [(one["question"], one["asked"]) for one in plan["questions"]] == [
        ("보상은 언제 받나요", 3),
        ("카드 #### 결제는 언제 되나요", 1),
    ]
    assert plan["subscribers"] == {"kt": 0, "skt": 0}


def test_e2_code_by_short_message_gives_the_exact_text_or_not_ours(enquirers: Any) -> None:
    """However it is written; guesses are limited to five a minute."""
    bulletin = enquirers.office.issue(enquirers.office.document()).bulletin
    enquirers.office.clock.advance(10)
    spaced = f"확인 {bulletin.code[:3].lower()} {bulletin.code[3:]}"

    assert bulletin.texts["ko"] in (enquirers.ask(spaced) or "")
    guesses = asks(enquirers, *["확인 AAAAA1"] * 7, source=phone(9))
    assert all("아닙니다" in text for text in guesses[:5])
    assert guesses[6] == ""
