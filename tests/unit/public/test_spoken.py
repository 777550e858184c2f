"""Texts as they are read aloud: nothing is left that an announcer or a machine stumbles over."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbgateway.public.spoken import VOICES, english_number, korean_native, korean_number

KO, EN = VOICES["ko"], VOICES["en"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("11:16부터", "오전 열한 시 십육 분부터"),
        ("12:00", "낮 열두 시"),
        ("00:05", "밤 열두 시 오 분"),
        ("13:00 뒤", "오후 한 시 뒤"),
        ("20:30", "오후 여덟 시 삼십 분"),
        ("89분", "팔십구 분"),
        ("3시간 20개 21명", "세 시간 스무 개 스물한 명"),
        ("120명", "백이십 명"),
        ("10월 25일, 6월 1일", "시월 이십오 일, 유월 일 일"),
        ("복구율 40%", "복구율 사십 퍼센트"),
        ("1.5%", "일 점 오 퍼센트"),
        ("12,345명 10000곳", "만 이천삼백사십오 명 만 곳"),
        ("KT 인터넷·통화", "케이티 인터넷, 통화"),
        ("SK텔레콤과 LG U+", "에스케이텔레콤과 엘지 유플러스"),
        ("[과기정통부] 장애", "과기정통부. 장애"),
        ("0개", "영 개"),
        ("123456789012", "일 이 삼 사 오 육 칠 팔 구 공 일 이"),
    ],
)
def test_korean(text: str, said: str) -> None:
    """Times by the half of the day, counted things in native numbers, all else in Sino-Korean."""
    assert KO.say(text) == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("since 11:16.", "since eleven sixteen a m."),
        ("12:00 00:00", "twelve noon midnight"),
        ("13:05 00:10 12:45", "one oh five p m twelve ten a m twelve forty-five p m"),
        ("(89 min)", "(eighty-nine minutes)"),
        ("40% of 223000", "forty percent of two hundred twenty-three thousand"),
        ("1,234 or 1.05", "one thousand two hundred thirty-four or one point zero five"),
        ("[MSIT] KT", "M S I T. K T"),
        ("Remove SIM", "Remove sim card"),
        ("mobile/internet", "mobile or internet"),
        ("2000019", "two million nineteen"),
    ],
)
def test_english(text: str, said: str) -> None:
    """Twelve hours with a m and p m; abbreviations letter by letter."""
    assert EN.say(text) == said


def test_codes_and_telephone_numbers_are_spelled() -> None:
    """One sign after another, so that people can write them down."""
    numbers = ["112", "119", "1588-0010"]
    assert KO.say("112·119, 1588-0010. 코드K7F2Q0", code="K7F2Q0", numbers=numbers) == (
        "일일이, 일일구, 일오팔팔, 공공일공. 코드 케이, 칠, 에프, 이, 큐, 공"
    )
    assert EN.say("Call 112. Code K7F2Q0", code="K7F2Q0", numbers=numbers) == (
        "Call one one two. Code Kilo, seven, Foxtrot, two, Quebec, zero"
    )
    assert (
        EN.say("1123 112", numbers=["112"]) == "one thousand one hundred twenty-three one one two"
    )


@given(value=st.integers(0, 99_999_999))
def test_every_number_has_words_of_its_own(value: int) -> None:
    """No digit is left; two numbers next to one another never sound alike."""
    for number in (korean_number, english_number):
        assert not re.search(r"\d", number(value))
        assert number(value).strip() == number(value) != ""
        assert number(value) != number(value + 1 if value < 99_999_999 else value - 1)


def test_counting_words_differ() -> None:
    """From one to ninety-nine."""
    assert len({korean_native(value) for value in range(1, 100)}) == 99


@given(text=st.text(max_size=80))
@pytest.mark.parametrize("language", list(VOICES))
def test_any_text_can_be_said(language: str, text: str) -> None:
    """Nothing that ASCII calls a digit is left."""
    assert not re.search(r"[0-9]", VOICES[language].say(text, code="K7F2Q9", numbers=["112"]))
