"""I1 and E3: plain, fair words and verified numbers, in Korean and in English."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cbgateway.domain.bulletin import BulletinKind, BulletinState, Confidence, Mode
from cbgateway.domain.errors import CauseError, ContactError, DrillSaysRealError
from tests.conftest import Office

SAMPLES = json.loads((Path(__file__).parents[1] / "vectors" / "texts.json").read_text("utf-8"))
"""Texts of the outage of 25 October 2021 as they might have been sent, with their budgets."""


def lint(office: Office, text: str, *, language: str = "ko", **more: Any) -> tuple[str, ...]:
    """Look at a text about KT's outage as intake would; gives its warnings."""
    facts = {
        "carrier": "kt",
        "kind": BulletinKind.FIRST,
        "cause": "",
        "confidence": Confidence.SUSPECTED,
    }
    return office.gateway.telling.lint(text, language=language, **facts | more)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [name for name in SAMPLES if not name.startswith("mo.")])
def test_i1_sample_texts_may_be_sent(office: Office, name: str) -> None:
    """None is refused; what is warned of is the one hard word that two of them have."""
    text, language = SAMPLES[name]["text"], name[:2]
    kind = BulletinKind.RESTORED if "restored" in name else BulletinKind.PROGRESS
    warnings = lint(office, text, language=language, kind=kind)

    assert len(text) <= SAMPLES[name]["budget"]
    assert all("jargon" in one and "라우팅" in one for one in warnings), warnings


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("ko", "라우팅 오류로 장애"),
        ("ko", "트래픽이 몰려 느립니다"),
        ("ko", "코어망 절체 중입니다"),
        ("ko", "HSS 장애로 호 처리가 안 됩니다"),
        ("ko", "금일 순단이 있었습니다"),
        ("ko", "조속히 복구하겠습니다"),
        ("ko", "일부 가입자 단말 발신 불가"),
        ("en", "BGP routing error"),
        ("en", "Traffic on the backbone is degraded"),
        ("en", "Subscribers see intermittent packet loss"),
        ("en", "Root cause found, rolled back, back shortly"),
        ("en", "Service will be back ASAP"),
    ],
)
def test_i1_hard_words_are_shown_with_plain_ones(office: Office, language: str, text: str) -> None:
    """The second person reads the word, and what to say in its place."""
    (first, *_) = lint(office, text, language=language)

    assert first.startswith(f"jargon in {language!r}")
    assert "say " in first


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("ko", "협력업체 직원의 실수로 장애"),
        ("ko", "외주 작업자 과실입니다"),
        ("ko", "관리 소홀로 불이 났습니다"),
        ("ko", "책임을 묻겠습니다"),
        ("en", "Caused by the contractor's mistake"),
        ("en", "An engineer’s error took the network down"),
        ("en", "This was human error"),
        ("en", "It is the fault of the vendor"),
    ],
)
def test_i1_blame_is_shown(office: Office, language: str, text: str) -> None:
    """What happened may be said, not whose fault it is."""
    assert any(one.startswith("blame") for one in lint(office, text, language=language))


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("ko", "디도스 공격으로 장애"),
        ("ko", "DDoS로 장애"),
        ("ko", "해커의 소행으로 보입니다"),
        ("ko", "랜섬웨어에 감염"),
        ("ko", "고의 절단으로 장애"),
        ("en", "A DDoS brought it down"),
        ("en", "A cyber-attack is suspected"),
        ("en", "We were hacked"),
        ("en", "Ransomware"),
    ],
)
def test_i1_claimed_cause_needs_to_be_confirmed(office: Office, language: str, text: str) -> None:
    """Suspected and probable are not enough; another cause does not confirm this one."""
    for cause, confidence in (
        ("", Confidence.SUSPECTED),
        ("attack", Confidence.SUSPECTED),
        ("attack", Confidence.PROBABLE),
        ("routing", Confidence.CONFIRMED),
    ):
        with pytest.raises(CauseError, match="'attack' confirmed"):
            lint(office, text, language=language, cause=cause, confidence=confidence)

    lint(office, text, language=language, cause="attack", confidence=Confidence.CONFIRMED)


@pytest.mark.parametrize(
    "text",
    [
        "[과기정통부] 11:16부터 부산 KT 휴대폰·인터넷 장애. 원인 확인 중. 다음 안내 12:00",
        "장비 고장을 찾아 고치고 있습니다. 12:20쯤 복구될 것으로 봅니다.",
        "불편을 드려 죄송합니다. 결제는 현금이나 다른 통신사 휴대폰으로 해 주세요.",
        "아현동 통신구 화재로 서울 서북부 통신이 안 됩니다. 우회로를 이용해 주세요.",
        "고객 여러분의 잘못이 아닙니다. 휴대폰을 고칠 필요가 없습니다.",
        "실제로 불이 꺼졌습니다. 테러와는 무관한 사고라는 말은 아직 확인되지 않았습니다.",
    ],
)
def test_i1_plain_texts_are_left_alone(office: Office, text: str) -> None:
    """What people say every day is no finding, unless it names a cause that nobody confirmed."""
    if "테러" in text:
        with pytest.raises(CauseError):
            lint(office, text)
        return

    assert lint(office, text) == ()


def test_i1_shouting_is_shown(office: Office) -> None:
    """One exclamation mark may stand; two are a storm."""
    assert lint(office, "복구되었습니다!") == ()
    assert any(one.startswith("shouting") for one in lint(office, "대피하세요!! 위험합니다！"))


@pytest.mark.parametrize(
    "texts",
    [
        {"ko": "이것은 실제상황입니다"},
        {"ko": "실제 상황! 대피하세요"},
        {"ko": "훈련이 아닙니다"},
        {"ko": "훈련상황 아님"},
        {"ko": "훈련 안내", "en": "This is not a drill"},
        {"ko": "훈련 안내", "en": "A real emergency"},
        {"ko": "THIS IS NOT A DRILL. 대피"},
    ],
)
def test_i1_no_drill_says_that_it_is_real(
    make_office: Callable[..., Office], texts: dict[str, str]
) -> None:
    """In whatever language; nothing is kept of it."""
    office = make_office(mode=Mode.EXERCISE)

    with pytest.raises(DrillSaysRealError, match="take that out"):
        office.submit(office.document(texts=texts))
    with office.gateway.store.read() as tx:
        assert tx.bulletins() == ()


@pytest.mark.parametrize(
    "texts",
    [
        {"ko": "실제 상황이 아닙니다. 부산 장애를 가정합니다"},
        {"ko": "장애 대응 훈련입니다", "en": "There is no real outage"},
    ],
)
def test_i1_a_drill_may_say_that_it_is_not_real(
    make_office: Callable[..., Office], texts: dict[str, str]
) -> None:
    """That is what it should say; the mark stands in front of it in any case."""
    office = make_office(mode=Mode.EXERCISE)
    record = office.submit(office.document(texts=texts))

    assert record.state is BulletinState.PENDING
    assert record.bulletin.texts["ko"].startswith("[훈련] ")


@pytest.mark.parametrize(
    ("carrier", "text"),
    [
        ("kt", "문의는 100번으로 해 주세요"),
        ("kt", "KT 고객센터 100"),
    ],
)
def test_e3_nobody_is_sent_to_what_has_failed(office: Office, carrier: str, text: str) -> None:
    """Until it works again; another carrier's outage does not matter."""
    with pytest.raises(ContactError, match="network of 'kt' is down"):
        lint(office, text, carrier=carrier)

    assert lint(office, text, carrier="skt") == ()
    assert lint(office, text, carrier=carrier, kind=BulletinKind.RESTORED) == ()


@pytest.mark.parametrize(
    "text", ["문의 1588-0010", "상담 02-1234-5678", "카카오톡 open.kakao.com/o/abc", "bit.ly/x1"]
)
def test_e3_no_number_or_link_from_outside_the_directory(office: Office, text: str) -> None:
    """Typed by hand, or of a service that nobody has put into the directory."""
    with pytest.raises(ContactError, match="directory"):
        lint(office, text)
