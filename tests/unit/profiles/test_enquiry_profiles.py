"""Words and numbers of enquiries: what is understood, and what is refused in the files."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from cbgateway.app import can_encode, load_checked_profiles
from cbgateway.domain.enquiry import Command, understand
from cbgateway.profiles.loader import check_profiles, profiles_folder
from cbgateway.service.vocabulary import vocabulary_of

SHIPPED = load_checked_profiles(None)


def problems(tmp_path: Path, file: str, old: str, new: str) -> list[str]:
    """Change one file of the shipped profiles; gives what is found wrong."""
    folder = tmp_path / "profiles"
    shutil.copytree(profiles_folder(), folder)
    text = (folder / file).read_text("utf-8")
    assert old in text
    (folder / file).write_text(text.replace(old, new, 1), "utf-8")
    return [str(one) for one in check_profiles(folder, can_encode)[1]]


@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        ("languages/ko.toml", "{place} 신고를", "{nobody} 신고를", "{nobody} is none of ['place']"),
        ("languages/ko.toml", 'stop = ["중지"', 'halt = ["중지"', "commands.halt"),
        (
            "languages/ko.toml",
            'verify = ["확인"',
            'unknown = ["확인"',
            "is missing, or not for people",
        ),
        (
            "languages/ko.toml",
            '\nok = "112·119 통화는',
            '\n# ok = "112·119 통화는',
            "one is missing",
        ),
        ("languages/en.toml", '"do\\\\s+not\\\\s+reply"', '"do("', "no pattern"),
        (
            "regions/kr.toml",
            'ko = ["부산", "부산시"]',
            'ko = ["서울"]',
            "is what 'KR-11' is called",
        ),
        ("carriers/kt.toml", 'address = "1234"', 'address = "CBG"', "no number that people"),
        (
            "carriers/kt.toml",
            'bind = "transceiver"',
            'bind = "transmitter"',
            "a bind that receives",
        ),
        (
            "countries/kr.toml",
            'deadlines = "kr"',
            'deadlines = "kr"\nenquiries = { per_minute_max = 0 }',
            "enquiries.per_minute_max",
        ),
    ],
)
def test_wrong_words_are_named(tmp_path: Path, file: str, old: str, new: str, words: str) -> None:
    """By file and key."""
    found = problems(tmp_path, file, old, new)

    assert any(words in one and one.startswith(file) for one in found), found


@pytest.mark.parametrize("language", ["ko", "en"])
def test_every_shipped_word_is_understood(office: Any, language: str) -> None:
    """Alone, with every region, and in either order; none of them is taken for another."""
    deployment = office.gateway.deployment
    vocabulary = vocabulary_of(deployment)
    for command, spellings in deployment.answering[language].commands.items():
        for word in spellings:
            assert understand(word, vocabulary).command is command, word
            if command is Command.VERIFY:
                continue
            for code, region in deployment.regions.items():
                for name in (region.name[language], *region.aliases.get(language, ())):
                    for text in (f"{word} {name}", f"{name} {word}"):
                        found = understand(text, vocabulary)
                        assert (found.command, found.region) == (command, code), text


def test_every_region_is_understood_by_each_of_its_names(office: Any) -> None:
    """Official names, short forms and English ones."""
    deployment = office.gateway.deployment
    vocabulary = vocabulary_of(deployment)
    for code, region in deployment.regions.items():
        for language, name in region.name.items():
            for spelling in (name, *region.aliases.get(language, ())):
                found = understand(spelling, vocabulary)
                assert (found.command, found.region) == (Command.STATUS, code), spelling


def test_short_name_is_the_shortest() -> None:
    """The usual one where it is shorter."""
    regions = SHIPPED.regions["kr"]

    assert regions["KR-48"].short_name("ko") == "경남"
    assert regions["KR-26"].short_name("en") == "Busan"
    assert regions["KR-26"].short_name("xx") == "KR-26"
