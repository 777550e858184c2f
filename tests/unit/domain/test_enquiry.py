"""Enquiries: understood however they are written; what is kept of a question names nobody."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbgateway.domain.enquiry import (
    CODE_CHARACTERS,
    QUESTION_CHARACTERS_MAX,
    Command,
    Enquiry,
    Vocabulary,
    compact,
    is_subscriber,
    masked,
    understand,
)

VOCABULARY = Vocabulary(
    commands={
        "상태": (Command.STATUS, "ko"),
        "신고": (Command.OUT, "ko"),
        "알림": (Command.SUBSCRIBE, "ko"),
        "중지": (Command.STOP, "ko"),
        "확인": (Command.VERIFY, "ko"),
        "코드": (Command.VERIFY, "ko"),
        "status": (Command.STATUS, "en"),
        "out": (Command.OUT, "en"),
        "stop": (Command.STOP, "en"),
        "verify": (Command.VERIFY, "en"),
    },
    regions={
        "northchungcheong": ("KR-43", "en"),
        "서울특별시": ("KR-11", "ko"),
        "seoul": ("KR-11", "en"),
        "부산": ("KR-26", "ko"),
        "서울": ("KR-11", "ko"),
    },
    fillers=frozenset({"please", "알려줘"}),
    letters={"ko": "HANGUL", "en": "LATIN"},
)
REGION = Enquiry(Command.STATUS, "ko", "KR-11")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", Enquiry(Command.STATUS)),
        (" ?!\n", Enquiry(Command.STATUS)),
        ("please", Enquiry(Command.STATUS, "en")),
        ("상태", Enquiry(Command.STATUS, "ko")),
        ("STATUS.", Enquiry(Command.STATUS, "en")),
        ("ＳＴＡＴＵＳ　", Enquiry(Command.STATUS, "en")),
        ("s t a t u s", Enquiry(Command.STATUS, "en")),
        ("서울", REGION),
        (unicodedata.normalize("NFD", "서울"), REGION),
        ("서\u200b울", REGION),
        ("서울특별시!", REGION),
        ("상태 서울", REGION),
        ("서울 상태 알려줘", REGION),
        ("SEOUL", Enquiry(Command.STATUS, "en", "KR-11")),
        ("north chungcheong", Enquiry(Command.STATUS, "en", "KR-43")),
        ("신고", Enquiry(Command.OUT, "ko")),
        ("신고부산", Enquiry(Command.OUT, "ko", "KR-26")),
        ("Out, Seoul", Enquiry(Command.OUT, "en", "KR-11")),
        ("알림 서울", Enquiry(Command.SUBSCRIBE, "ko", "KR-11")),
        ("stop", Enquiry(Command.STOP, "en")),
        ("stop stop", Enquiry(Command.STOP, "en")),
        ("Stop sending me these", Enquiry(Command.STOP, "en")),
        ("확인 k7f2q9", Enquiry(Command.VERIFY, "ko", code="k7f2q9")),
        ("확인 코드: K7F-2Q9", Enquiry(Command.VERIFY, "ko", code="k7f2q9")),
        ("K7F2Q9 확인", Enquiry(Command.VERIFY, "ko", code="k7f2q9")),
        ("Ｋ７Ｆ２Ｑ９", Enquiry(Command.VERIFY, code="k7f2q9")),
        ("verify", Enquiry(Command.VERIFY, "en")),
        ("부산은 언제 되나요", Enquiry(Command.STATUS, "ko", "KR-26", is_whole=False)),
        ("when in north chungcheong", Enquiry(Command.STATUS, "en", "KR-43", is_whole=False)),
        ("부산 서울 언제", Enquiry(Command.UNKNOWN, "ko", is_whole=False)),
        ("배고파", Enquiry(Command.UNKNOWN, "ko", is_whole=False)),
        ("hello there", Enquiry(Command.UNKNOWN, "en", is_whole=False)),
        ("123", Enquiry(Command.UNKNOWN, is_whole=False)),
    ],
)
def test_text_is_understood(text: str, expected: Enquiry) -> None:
    """Case, spaces, punctuation, width and composition make no difference."""
    assert understand(text, VOCABULARY) == expected


@given(st.text())
def test_every_text_gives_an_enquiry(text: str) -> None:
    """Nothing that people write is an error, and what is kept of it is short and has no digit."""
    enquiry = understand(text, VOCABULARY)
    kept = masked(text)

    assert enquiry.command in Command
    assert len(enquiry.code) <= 2 * CODE_CHARACTERS
    assert enquiry.region in {"", "KR-11", "KR-26", "KR-43"}
    assert len(kept) <= QUESTION_CHARACTERS_MAX
    assert not any(c.isdecimal() for c in kept)


@given(
    word=st.sampled_from(sorted(VOCABULARY.commands)),
    region=st.sampled_from(sorted(VOCABULARY.regions)),
    between=st.sampled_from(["", " ", "  ", ", ", " - ", "\n", "\u3000", "!"]),
    form=st.sampled_from(["NFC", "NFD", "NFKC", "NFKD"]),
    is_upper=st.booleans(),
    is_turned=st.booleans(),
)
def test_command_with_region_is_the_same_however_written(
    word: str, region: str, between: str, form: str, is_upper: bool, is_turned: bool
) -> None:
    """The command and the region, in either order."""
    first, second = (region, word) if is_turned else (word, region)
    text = unicodedata.normalize(form, f"{first}{between}{second}")  # type: ignore[arg-type]
    command = VOCABULARY.commands[word][0]
    enquiry = understand(text.upper() if is_upper else text, VOCABULARY)

    assert enquiry.command is command
    if command is not Command.VERIFY:
        assert enquiry.region == VOCABULARY.regions[region][0]


def test_what_is_kept_of_a_question_names_nobody() -> None:
    """Digits, addresses and links are gone; the same question is the same."""
    text = "제 번호는 010-1234-5678, kim@example.kr www.example.kr/a 언제 돼요??"

    assert masked(text) == "제 번호는 ###-####-####, @ @ 언제 돼요"
    assert masked("언제  돼요?") == masked("언제 돼요")
    assert compact("언제  돼요?") == "언제돼요"


def test_subscribers_are_told_from_short_codes_and_names() -> None:
    """Digits, as many as telephones have."""
    assert is_subscriber("821012345678", digits_min=8)
    assert is_subscriber("+821012345678", digits_min=8)
    for other in ("1588", "15880010"[:7], "CBGATEWAY", "", "+", "1" * 16, "٠١٢٣٤٥٦٧٨٩"):
        assert not is_subscriber(other, digits_min=8)
