"""Deadlines, directories and words: what the files say, and what is refused in them."""

import shutil
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from cbgateway.app import can_encode, load_checked_profiles
from cbgateway.profiles.contacts import Contact, Directory, digits_of, unverified
from cbgateway.profiles.deadlines import DeadlineProfile, Night
from cbgateway.profiles.loader import check_profiles, profiles_folder
from cbgateway.profiles.regions import Census, Regions, Source
from cbgateway.profiles.words import Topic, lint_words

SHIPPED = load_checked_profiles(None)
KOREA = SHIPPED.directories["kr"]
KST = timedelta(hours=9)


@pytest.mark.parametrize(
    ("code", "age_h", "interval_s"),
    [("kr", 0, 3600), ("jp", 30, 3600), ("au", 1, 21_600), ("au", 24, 86_400), ("au", 999, 86_400)],
)
def test_interval_follows_the_profile(code: str, age_h: int, interval_s: int) -> None:
    """Australia asks less often after the first day; the last step goes on for ever."""
    assert interval_s == SHIPPED.deadlines[code].interval_s(age_h * 3600.0)


@pytest.mark.parametrize(
    ("now", "latest"),
    [
        ("2021-10-25T12:00+09:00", "2021-10-25T13:00+09:00"),
        ("2021-10-25T22:30+09:00", "2021-10-26T07:00+09:00"),
        ("2021-10-25T03:00+09:00", "2021-10-25T07:00+09:00"),
        ("2021-10-25T06:30+09:00", "2021-10-25T07:30+09:00"),
        ("2021-10-25T13:30+00:00", "2021-10-26T07:00+09:00"),
    ],
)
def test_night_lets_people_sleep(now: str, latest: str) -> None:
    """An update due by night may wait for its end, on the country's clocks."""
    at = datetime.fromisoformat(now)

    assert datetime.fromisoformat(latest) == SHIPPED.deadlines["jp"].next_update_max(
        began=at, now=at, utc_offset=KST
    )


def test_night_within_one_day() -> None:
    """One that does not cross midnight ends on its own day."""
    night = Night(begins="01:00", ends="05:00")

    assert night.end_after(datetime(2021, 10, 25, 2, 0, tzinfo=UTC)) == datetime(
        2021, 10, 25, 5, 0, tzinfo=UTC
    )
    assert night.end_after(datetime(2021, 10, 25, 0, 59, tzinfo=UTC)) is None
    assert night.end_after(datetime(2021, 10, 25, 5, 0, tzinfo=UTC)) is None


def test_steps_of_updates_stand_in_order() -> None:
    """A step that ends before the one before it is refused."""
    wrong: dict[str, Any] = {
        "schema": 1,
        "code": "x",
        "name": {"en": "x"},
        "first_notice_s": 60,
        "updates": [{"until_s": 7200, "interval_s": 60}, {"until_s": 3600, "interval_s": 60}],
        "heartbeat": {"is_allowed": False},
        "source": "x",
    }
    with pytest.raises(ValidationError, match="end later"):
        DeadlineProfile.model_validate(wrong)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("문의 02-1234-5678", ["02-1234-5678"]),
        ("문의 02.1234.5678", ["02.1234.5678"]),
        ("(02) 1234 5678", ["02) 1234 5678"]),
        ("call 1588-0010 or 911", ["1588-0010", "911"]),
        ("112 119", []),
        ("112·119, 110", []),
        ("112/119", []),
        ("112 911", ["112 911"]),
        ("1234 명 1234명 1,234 people 99.5% 70 % 12:30 2021-10-25", []),
        ("1234567명", ["1234567"]),
        ("12:3456", ["3456"]),
        ("1588-00-10", ["1588-00-10"]),
        ("1588.0010", ["1588.0010"]),
        ("보고 2, 11:45", []),
        ("９１１", ["911"]),
        ("+82 2 123 4567", ["+82 2 123 4567"]),
        ("+1 100", ["+1 100"]),
        ("status.example.kr 또는 https://status.example.kr/v/K7F2Q9.", []),
        ("status.example.kr.evil.com", ["status.example.kr.evil.com"]),
        ("evil-status.example.kr", ["evil-status.example.kr"]),
        ("HTTPS://BAD.EXAMPLE/x?y 끝", ["HTTPS://BAD.EXAMPLE/x?y"]),
        ("전화 1", []),
        ("다음 안내 12:45 코드K525Q9", []),
        ("Next 12:45 Code 123456", []),
        ("status K12345.", []),
        ("코드 0101234567", ["0101234567"]),
        ("코드123456-789", ["123456-789"]),
        ("TEL0101 A010-1234-5678", ["0101", "010-1234-5678"]),
        ("K1234567", ["1234567"]),
        ("", []),
    ],
)
def test_what_looks_like_a_number_or_link_is_found(text: str, found: list[str]) -> None:
    """However it is written; counts, times and dates are none."""
    assert found == [one.shown for one in unverified(KOREA.find(text))]


def test_number_with_the_country_in_front_is_the_same_number() -> None:
    """+82 2 is 02."""
    directory = Directory((Contact(name={"en": "x"}, number="02-123-4567"),), "82")

    assert unverified(directory.find("+82 2 123 4567, 02-123-4567")) == ()


@given(st.text(max_size=200))
def test_any_text_can_be_looked_at(text: str) -> None:
    """What is found as a number has three digits at least."""
    for one in KOREA.find(text):
        assert one.is_link or len(digits_of(one.shown)) >= 3


@given(st.integers(min_value=0, max_value=10**8 - 1))
def test_no_mobile_number_slips_through(number: int) -> None:
    """Eleven digits are found with blanks, hyphens, dots or nothing between."""
    digits = f"{number:08d}"
    for between in ("", " ", "-", "."):
        text = f"문의 {between.join(('010', digits[:4], digits[4:]))} 로"
        assert len(unverified(KOREA.find(text))) == 1, text


@pytest.mark.parametrize(
    ("language", "text", "topics"),
    [
        ("ko", "KT 통신 장애. 복구하고 있습니다!", []),
        ("ko", "협력업체 직원의 실수", [Topic.BLAME]),
        ("ko", "BGP 라우터", [Topic.JARGON, Topic.JARGON]),
        ("ko", "디도스", [Topic.CAUSE]),
        ("ko", "정말!!", [Topic.SHOUTING]),
        ("en", "The engineer's mistake", [Topic.BLAME]),
        ("en", "ddos, sabotage", [Topic.CAUSE, Topic.CAUSE]),
        ("en", "Network outage in Busan since 11:16.", []),
    ],
)
def test_lint_finds_words(language: str, text: str, topics: list[Topic]) -> None:
    """Each in its language."""
    assert topics == [one.topic for one in lint_words(SHIPPED.words[language], text)]


def test_shipped_templates_say_nothing_that_the_lint_minds() -> None:
    """What is sent in a hurry is plain and fair."""
    for template in SHIPPED.templates["kr"].values():
        for text in template.texts:
            found = list(lint_words(SHIPPED.words[text.language], template.longest(text)))
            assert found == [], (template.code, text.language)


def test_population_is_that_of_the_country() -> None:
    """The provinces add up; a region that nobody counted has none."""
    regions = SHIPPED.regions["kr"]

    assert regions.population("KR") == 51_638_809
    assert regions.population("KR-11") == 9_509_458
    assert SHIPPED.regions["generic"].population("XX") is None


def test_population_says_who_counted_and_when() -> None:
    """Nobody has compared the shipped figures; several censuses are named by their oldest."""
    shipped = SHIPPED.regions["kr"]
    older = Census(source="survey", counted_on=date(2020, 5, 1), checked_on=date(2026, 1, 31))
    seoul = shipped["KR-11"].model_copy(update={"census": "older"})
    mixed = Regions(
        tuple(seoul if one.code == "KR-11" else one for one in shipped.values()),
        {},
        shipped.censuses | {"older": older},
    )

    expected = Source("행정안전부 주민등록 인구통계, 2021-12-31", is_verified=False)
    assert shipped.population_source("KR") == shipped.population_source("KR-11") == expected
    assert mixed.population_source("KR-11") == Source("survey, 2020-05-01", is_verified=True)
    assert mixed.population_source("KR").words == "2 censuses, the oldest of 2020-05-01"
    assert SHIPPED.regions["generic"].population_source("XX") == Source()


@pytest.mark.parametrize(
    ("file", "old", "new", "problem"),
    [
        ("deadlines/jp.toml", 'code = "jp"', 'code = "xx"', "'xx' belongs into xx.toml"),
        ("regions/kr.toml", 'census = "mois-2021-12"', "", "its census belong together"),
        (
            "regions/kr.toml",
            'census = "mois-2021-12"',
            'census = "mine"',
            "'mine' is no census; known: mois-2021-12",
        ),
        ("countries/kr.toml", 'deadlines = "kr"', 'deadlines = "no"', "no deadlines/no.toml"),
        ("contacts/kr.toml", 'number = "110"', 'number = "112"', "'112' stands there twice"),
        ("contacts/kr.toml", 'number = "110"', "", "either a number or a link"),
        ("contacts/kr.toml", 'country = "kr"', 'country = "zz"', "'zz' is no country"),
        ("contacts/kr.toml", 'number = "119"', 'number = "118"', "'119' is not in contacts/kr"),
        ("languages/en.toml", 'sms = "text messages"\n', "", "services.sms: is missing"),
        ("languages/en.toml", 'cause = "attack"', 'cause = "bad"', "'bad' is no cause"),
        ("languages/en.toml", '"\\\\btraffic\\\\b"', '"(traffic"', "no pattern"),
        ("templates/kr/first.toml", "다음 안내 {next}", "문의 1588-0010", "'1588-0010' is not in"),
    ],
)
def test_fault_in_a_file_is_named(
    tmp_path: Path, file: str, old: str, new: str, problem: str
) -> None:
    """By file and key, like those of other profiles."""
    folder = tmp_path / "profiles"
    shutil.copytree(profiles_folder(), folder)
    text = (folder / file).read_text("utf-8")
    assert old in text
    (folder / file).write_text(text.replace(old, new, 1), "utf-8")

    _, problems = check_profiles(folder, can_encode)
    assert any(problem in str(one) for one in problems), problems


def test_unset_time_is_utc() -> None:
    """A profile without a night takes the time as it is."""
    at = datetime(2021, 10, 25, tzinfo=UTC)

    assert at + timedelta(hours=1) == SHIPPED.deadlines["kr"].next_update_max(
        began=at, now=at, utc_offset=KST
    )


def test_country_needs_the_words_of_its_language(tmp_path: Path) -> None:
    """Pages and briefings cannot be made without."""
    folder = tmp_path / "profiles"
    shutil.copytree(profiles_folder(), folder)
    (folder / "languages" / "ko.toml").unlink()

    _, problems = check_profiles(folder, can_encode)
    assert "countries/kr.toml: default_language: there is no languages/ko.toml" in map(
        str, problems
    )
