"""Texts as they are read aloud: times, numbers, codes and abbreviations written out as words.

For announcers and for machines that speak, which stumble over `11:16`, `112` or `K7F2Q9`. Pure;
each language has rules of its own, and one without has no script.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

# Korean

_KO_DIGITS = "영일이삼사오육칠팔구"
_KO_TENS = ("", "십", "백", "천")
_KO_NATIVE_ONES = ("", "한", "두", "세", "네", "다섯", "여섯", "일곱", "여덟", "아홉")
_KO_NATIVE_TENS = ("", "열", "스물", "서른", "마흔", "쉰", "예순", "일흔", "여든", "아흔")
_KO_LETTERS = dict(
    zip(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        (
            *("에이", "비", "시", "디", "이", "에프", "지", "에이치", "아이", "제이", "케이", "엘"),
            *("엠", "엔", "오", "피", "큐", "아르", "에스", "티", "유", "브이", "더블유", "엑스"),
            *("와이", "제트"),
        ),
        strict=True,
    )
)
_KO_NATIVE = re.compile(r"(?<!\d)(\d{1,2})\s?(시간|명|개|곳)")
_KO_MONTHS = {"6": "유월", "10": "시월"}
_KO_WORDS = (
    (r"LG U\+", "엘지 유플러스"),
    ("%", " 퍼센트"),
    ("·", ", "),
    ("~", "에서 "),
    ("/", ", "),
)

# English

_EN_ONES = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
    *("eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen"),
    "nineteen",
)
_EN_TENS = ("", "", *("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"))
_EN_LETTERS = dict(
    zip(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        (
            *("Alfa", "Bravo", "Charlie", "Delta", "Echo", "Foxtrot", "Golf", "Hotel", "India"),
            *("Juliett", "Kilo", "Lima", "Mike", "November", "Oscar", "Papa", "Quebec", "Romeo"),
            *("Sierra", "Tango", "Uniform", "Victor", "Whiskey", "X-ray", "Yankee", "Zulu"),
        ),
        strict=True,
    )
)
_EN_WORDS = (
    (r"LG U\+", "L G U plus"),
    (r"\bSIM\b", "sim card"),
    ("%", " percent"),
    ("·", ", "),
    ("/", " or "),
)
_EN_UNITS = re.compile(r"\b(\d+) ?min\b")

TIME = re.compile(r"(?<![\d:])([01]?\d|2[0-3]):([0-5]\d)(?![\d:])")
NUMBER = re.compile(r"(\d+)(?:\.(\d+))?")
BRACKETS = re.compile(r"\[([^\]]+)\]\s*")
CAPITALS = re.compile(r"(?<![A-Za-z])[A-Z]{2,4}(?![A-Za-z])")
SEPARATORS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
SPACES = re.compile(r"\s+")
NUMBER_DIGITS_MAX = 8
"""A longer number is read digit by digit: nobody follows it otherwise."""
NOON = 12


def korean_number(value: int) -> str:
    """Write a number of at most eight digits in Sino-Korean words."""
    if value == 0:
        return _KO_DIGITS[0]
    high, low = divmod(value, 10_000)
    if high:
        head = "" if high == 1 else _ko_group(high)
        return f"{head}만{' ' + _ko_group(low) if low else ''}"
    return _ko_group(low)


def _ko_group(value: int) -> str:
    digits = str(value)
    words = []
    for place, digit in enumerate(digits):
        power = len(digits) - 1 - place
        if digit == "0":
            continue
        is_silent = digit == "1" and power > 0
        words.append(("" if is_silent else _KO_DIGITS[int(digit)]) + _KO_TENS[power])
    return "".join(words)


def korean_native(value: int) -> str:
    """Write a number from 1 to 99 as it stands before what is counted."""
    tens, ones = divmod(value, 10)
    if value == 20:  # noqa: PLR2004 - the one that changes alone
        return "스무"
    return _KO_NATIVE_TENS[tens] + _KO_NATIVE_ONES[ones]


def english_number(value: int) -> str:
    """Write a number of at most eight digits in words."""
    if value < len(_EN_ONES):
        return _EN_ONES[value]
    for size, name in ((1_000_000, "million"), (1_000, "thousand"), (100, "hundred")):
        if value >= size:
            high, low = divmod(value, size)
            rest = f" {english_number(low)}" if low else ""
            return f"{english_number(high)} {name}{rest}"
    tens, ones = divmod(value, 10)
    return _EN_TENS[tens] + (f"-{_EN_ONES[ones]}" if ones else "")


def _ko_time(match: re.Match[str]) -> str:
    hour, minute = int(match[1]), int(match[2])
    if hour == NOON:
        when, shown = "낮", NOON
    elif hour == 0:
        when, shown = "밤", NOON
    else:
        when, shown = ("오전" if hour < NOON else "오후"), (hour if hour < NOON else hour - NOON)
    minutes = f" {korean_number(minute)} 분" if minute else ""
    return f"{when} {korean_native(shown)} 시{minutes}"


def _en_time(match: re.Match[str]) -> str:
    hour, minute = int(match[1]), int(match[2])
    if minute == 0 and hour in {0, NOON}:
        return "midnight" if hour == 0 else "twelve noon"
    shown = english_number(hour % NOON or NOON)
    if 0 < minute < 10:  # noqa: PLR2004 - "oh five"
        shown += f" oh {english_number(minute)}"
    elif minute:
        shown += f" {english_number(minute)}"
    return f"{shown} {'a' if hour < NOON else 'p'} m"


def _ko_plain(text: str) -> str:
    text = re.sub(r"(\d{1,2})월", lambda m: _KO_MONTHS.get(m[1], f"{m[1]}월"), text)
    return _KO_NATIVE.sub(lambda m: f"{korean_native(int(m[1])) or '영'} {m[2]}", text)


def _en_plain(text: str) -> str:
    return _EN_UNITS.sub(r"\1 minutes", text)


@dataclass(frozen=True, slots=True)
class Voice:
    """How one language is read aloud.

    Attributes:
        tag: of the language, as SSML wants it.
        words: patterns of written forms, with what is said instead.
        letters: by capital letter, in codes.
        abbreviated: letters of abbreviations; a capital by itself where it says nothing else.
        gap: between the letters of an abbreviation.
        point: a decimal point.
        zero: in codes and telephone numbers.
    """

    tag: str
    number: Callable[[int], str]
    time: Callable[[re.Match[str]], str]
    plain: Callable[[str], str]
    words: tuple[tuple[str, str], ...]
    letters: Mapping[str, str]
    abbreviated: Mapping[str, str]
    gap: str
    point: str
    zero: str

    def spell(self, characters: str) -> str:
        """Say letters and digits one by one, as a code has to be."""
        return ", ".join(self._one(one) for one in characters if one.isalnum())

    def digits(self, shown: str) -> str:
        """Say a telephone number digit by digit, group by group."""
        groups = re.findall(r"\d+", shown)
        between = "" if self.gap == "" else " "
        return ", ".join(between.join(self._one(digit) for digit in one) for one in groups)

    def _one(self, character: str) -> str:
        if character.isdecimal():
            return self.number(int(character)) if int(character) else self.zero
        return self.letters.get(character.upper(), character)

    def say(self, text: str, *, code: str = "", numbers: Iterable[str] = ()) -> str:
        """Give a text as it is said.

        Args:
            text: as it was sent.
            code: its verification code, which is spelled.
            numbers: telephone numbers in it, which are said digit by digit.
        """
        text = BRACKETS.sub(r"\1. ", text)
        if code:
            text = text.replace(code, f" {self.spell(code)} ")
        for number in sorted(set(numbers), key=len, reverse=True):
            text = re.sub(rf"(?<!\d){re.escape(number)}(?!\d)", f" {self.digits(number)} ", text)
        text = TIME.sub(self.time, text)
        text = SEPARATORS.sub("", text)
        for written, said in self.words:
            text = re.sub(written, said, text)
        text = CAPITALS.sub(lambda m: self.gap.join(self.abbreviated[c] for c in m[0]), text)
        text = NUMBER.sub(self._number, self.plain(text))
        return re.sub(r"\s+([.,])", r"\1", SPACES.sub(" ", text)).strip()

    def _number(self, match: re.Match[str]) -> str:
        whole, part = match[1], match[2]
        said = (
            self.number(int(whole))
            if len(whole) <= NUMBER_DIGITS_MAX
            else " ".join(self._one(digit) for digit in whole)
        )
        if part is None:
            return f"{said} " if self.gap == "" else said
        return f"{said} {self.point} " + " ".join(self._one(digit) for digit in part[:8])


VOICES: Mapping[str, Voice] = {
    "ko": Voice(
        tag="ko-KR",
        number=korean_number,
        time=_ko_time,
        plain=_ko_plain,
        words=_KO_WORDS,
        letters=_KO_LETTERS,
        abbreviated=_KO_LETTERS,
        gap="",
        point="점",
        zero="공",
    ),
    "en": Voice(
        tag="en-US",
        number=english_number,
        time=_en_time,
        plain=_en_plain,
        words=_EN_WORDS,
        letters=_EN_LETTERS,
        abbreviated={letter: letter for letter in _EN_LETTERS},
        gap=" ",
        point="point",
        zero="zero",
    ),
}
