"""Profiles: what ships is sound, and every fault is named by file and key."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbgateway.app import can_encode, load_checked_profiles
from cbgateway.profiles.loader import ProfileError, check_profiles, load_profiles, profiles_folder
from cbgateway.profiles.templates import TemplateError, render

SHIPPED = load_checked_profiles(None)
KR = SHIPPED.regions["kr"]
FIRST = SHIPPED.templates["kr"]["first"]
SLOTS: dict[str, Any] = {
    "authority": "msit",
    "carrier": "kt",
    "services": "all",
    "cause": "checking",
    "area": {"ko": "부산", "en": "Busan"},
    "since": "11:16",
    "next": "12:00",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a copy of the shipped profiles to spoil."""
    return Path(shutil.copytree(profiles_folder(), tmp_path / "profiles"))


def change(pattern: str, replacement: str) -> Callable[[str], str]:
    """Give an edit that has to find something."""

    def edit(text: str) -> str:
        changed, count = re.subn(pattern, replacement, text, count=1, flags=re.MULTILINE)
        assert count == 1, pattern
        return changed

    return edit


COUNTRY = "countries/kr.toml"
CARRIER = "carriers/kt.toml"
REGIONS = "regions/kr.toml"
TEMPLATE = "templates/kr/first.toml"

FAULTS = [
    (COUNTRY, change("^mcc =", "mmc ="), "mmc", "did you mean 'mcc'"),
    (COUNTRY, change("4370", "4000"), "classes.critical.message_identifier", "4352..6399"),
    (COUNTRY, change("4383", "6400"), "classes.critical.twin_message_identifier", "4352..6399"),
    (COUNTRY, change("4371", "4370"), "classes.emergency.message_identifier", "4370 is that of"),
    (
        COUNTRY,
        change('default_class = "safety"', 'default_class = "none"'),
        "default_class",
        "'none'",
    ),
    (
        COUNTRY,
        change('default_language = "ko"', 'default_language = "fr"'),
        "default_language",
        "'fr'",
    ),
    (
        COUNTRY,
        change("^twin_message_identifier = 4383$", ""),
        "classes.critical.twin_message_identifier",
        "twin",
    ),
    (
        COUNTRY,
        change("characters_max = 90", "characters_max = 1396"),
        "classes.critical.characters_max",
        "1395",
    ),
    (COUNTRY, change('root_region = "KR"', 'root_region = "KO"'), "regions", "'KO'"),
    (COUNTRY, change('code = "kr"', 'code = "ko"'), "code", "ko.toml"),
    (COUNTRY, change('"plmn"', '"planet"'), "geographical_scope", "plmn"),
    (CARRIER, change('safety = \\["broadcast", "sms"\\]', ""), "routes.safety", "reach nobody"),
    (CARRIER, change("^safety = \\[", 'amber = ["sms"]\nsafety = ['), "routes.amber", "no class"),
    (CARRIER, change("^safety = \\{.*$", ""), "smpp.broadcast.classes.safety", "missing"),
    (
        CARRIER,
        change(
            "^safety = \\{",
            "amber = { content_service = 1, message_class = 0, priority_flag = 0 }\nsafety = {",
        ),
        "smpp.broadcast.classes.amber",
        "no class",
    ),
    (CARRIER, change('"45008"', '"31008"'), "plmns", "MCC 450"),
    (CARRIER, change('country = "kr"', 'country = "xx"'), "country", "'xx'"),
    (CARRIER, change('version = "5.0"', 'version = "3.4"'), "smpp.version", "5.0"),
    (
        CARRIER,
        change("reconnect_delay_min_s = 1", "reconnect_delay_min_s = 61"),
        "smpp.reconnect_delay_min_s",
        "longer",
    ),
    (CARRIER, change("seal = 0x1500", "seal = 0x4000"), "smpp.vendor_tlvs.seal", "16383"),
    (CARRIER, change("seal = 0x1500", "seal = 0x1501"), "smpp.vendor_tlvs", "twice"),
    (
        CARRIER,
        change("window_requests_max = 10", "window_requests = 10"),
        "smpp.window_requests",
        "window_requests_max",
    ),
    (CARRIER, change('code = "kt"', 'code = "k t"'), "code", "pattern"),
    (
        "carriers/lguplus.toml",
        change("data_coding_scheme = 0x1503", ""),
        "smpp.vendor_tlvs.data_coding_scheme",
        "pages",
    ),
    (REGIONS, change('parent = "KR"', 'parent = "KX"'), "regions.1.parent", "'KR-11'"),
    (REGIONS, change('parent = "KR"', 'parent = "KR-11"'), "regions.1.parent", "'KR-11'"),
    (REGIONS, change('code = "KR-26"', 'code = "KR-11"'), "regions.2.code", "twice"),
    (
        REGIONS,
        change('name = \\{ ko = "서울특별시", en = "Seoul" \\}', 'name = { ko = "서울" }'),
        "regions.1.name",
        "'en'",
    ),
    (REGIONS, change('en = "Seoul"', 'en = "Séoul"'), "regions.1.name.en", "not ASCII"),
    (REGIONS, change("kr.geojson", "none.geojson"), "outlines", "none.geojson"),
    (REGIONS, change('country = "kr"', 'country = "xx"'), "country", "'xx'"),
    (TEMPLATE, change("\\{since\\}", "{when}"), "texts.0.text", "'when'"),
    (
        TEMPLATE,
        change("characters_max = 90", "characters_max = 40"),
        "texts.0.text",
        "its budget is 40",
    ),
    (
        TEMPLATE,
        change('text = "\\[\\{authority\\}\\] \\{carrier\\} outage', 'text = "장애'),
        "texts.2.text",
        "not in the GSM",
    ),
    (TEMPLATE, change('language = "en"', 'language = "fr"'), "texts.2.language", "'fr'"),
    (
        TEMPLATE,
        change('kt = \\{ ko = "KT", en = "KT" \\}', 'kt = { ko = "KT" }'),
        "slots.carrier.options.kt",
        "'en'",
    ),
    (TEMPLATE, change('country = "kr"', 'country = "xx"'), "country", "'xx'"),
    (TEMPLATE, change('type = "time"', 'type = "clock"'), "slots.since", "time"),
    (
        "templates/kr/restored.toml",
        change("characters_max = 90", "characters_max = 100"),
        "texts",
        "no text in 'ko' for 90",
    ),
]


@pytest.mark.parametrize(("file", "edit", "key", "words"), FAULTS)
def test_fault_is_named_by_file_and_key(
    folder: Path, file: str, edit: Callable[[str], str], key: str, words: str
) -> None:
    """Start-up refuses, and says where to look."""
    path = folder / file
    path.write_text(edit(path.read_text("utf-8")), "utf-8")

    _, problems = check_profiles(folder, can_encode)

    assert any(key in problem.key and words in problem.problem for problem in problems), [
        str(problem) for problem in problems
    ]
    with pytest.raises(ProfileError, match=re.escape(key)):
        load_profiles(folder, can_encode)


def test_carrier_that_wants_english_names_needs_a_country_that_has_them(folder: Path) -> None:
    """Otherwise a broadcast would have no area to name."""
    country = folder / COUNTRY
    text = country.read_text("utf-8")
    country.write_text(re.sub(r"^en = .*$", "", text, count=1, flags=re.MULTILINE), "utf-8")

    _, problems = check_profiles(folder, can_encode)

    found = {(problem.file, problem.key) for problem in problems}
    assert ("carriers/skt.toml", "smpp.broadcast.area_alias") in found


def test_shipped_profiles_are_sound() -> None:
    """No problem in what ships."""
    assert check_profiles(None, can_encode)[1] == []


def test_all_problems_are_found_at_once(folder: Path) -> None:
    """One run names every fault, not the first."""
    for file in (COUNTRY, CARRIER):
        path = folder / file
        path.write_text(path.read_text("utf-8") + "\n[extra]\n", "utf-8")
    (folder / TEMPLATE).write_text("schema = 1\nkind = = 1", "utf-8")
    _, problems = check_profiles(folder, can_encode)

    assert {problem.file for problem in problems} >= {COUNTRY, CARRIER, TEMPLATE}
    assert any("line 2" in problem.problem for problem in problems)


def test_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    """As is a country without regions."""
    _, problems = check_profiles(tmp_path, can_encode)

    assert "not a profiles folder" in str(problems[0])


def test_country_without_regions_is_named(folder: Path) -> None:
    """The file that is missing."""
    (folder / "regions" / "generic.toml").unlink()

    assert any("regions/generic.toml" in str(p) for p in check_profiles(folder, can_encode)[1])


@pytest.mark.parametrize("fault", ["open", "unknown"])
def test_broken_outline_is_named(folder: Path, fault: str) -> None:
    """A ring that does not close, and an outline of no region."""
    path = folder / "regions" / "kr.geojson"
    outlines = json.loads(path.read_text("utf-8"))
    feature = outlines["features"][0]
    if fault == "open":
        feature["geometry"]["coordinates"][0].pop()
    else:
        feature["properties"]["iso_3166_2"] = "KR-99"
    path.write_text(json.dumps(outlines), "utf-8")

    _, problems = check_profiles(folder, can_encode)

    assert any(problem.key == "outlines" for problem in problems)


def test_korea_is_what_the_standards_say() -> None:
    """Message identifiers, lengths and default class of KPAS; three carriers with their PLMNs."""
    country = SHIPPED.countries["kr"]
    classes = {
        name: (one.message_identifier, one.twin_message_identifier, one.characters_max)
        for name, one in country.classes.items()
    }

    assert classes == {
        "critical": (4370, 4383, 90),
        "emergency": (4371, 4384, 90),
        "safety": (4372, 4385, 157),
    }
    assert (country.default_class, country.mcc) == ("safety", "450")
    assert {code: one.plmns[0] for code, one in SHIPPED.carriers.items()} == {
        "kt": "45008",
        "skt": "45005",
        "lguplus": "45006",
    }


def test_regions_are_the_seventeen_provinces() -> None:
    """Each has names in both languages and a closed outline; the country contains them all."""
    leaves = KR.leaves("KR")

    assert len(leaves) == 17
    assert KR.children("KR") == leaves
    assert KR.leaves("KR-11") == ("KR-11",)
    assert len(KR) == 18
    for code in leaves:
        assert KR.contains("KR", code)
        assert not KR.contains(code, "KR")
        assert set(KR[code].name) >= {"ko", "en"}
        assert all(ring[0] == ring[-1] for ring in KR.polygons[code])
    assert not KR.contains("KR", "US")
    assert {KR["KR-42"].national_code, KR["KR-45"].national_code} == {"51", "52"}


def test_longest_wording_that_fits_is_taken() -> None:
    """Of several wordings in a language, the one for the class's length."""
    short = render(FIRST, SLOTS, language="ko", characters_max=90)
    long = render(FIRST, SLOTS, language="ko", characters_max=157)

    assert len(short) <= 90 < len(long) <= 157
    assert "11:16" in short
    assert "부산" in long
    with pytest.raises(TemplateError, match="no text in 'ko' for 20"):
        render(FIRST, SLOTS, language="ko", characters_max=20)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"since": "25:00"}, "'since' takes a time HH:MM"),
        ({"since": 1116}, "'since' takes a time HH:MM"),
        ({"since": "１１:16"}, "'since'"),
        ({"carrier": "verizon"}, "one of kt, skt, lguplus"),
        ({"carrier": 1}, "one of kt"),
        ({"area": "x" * 11}, "1 to 10 characters"),
        ({"area": ""}, "1 to 10 characters"),
        ({"area": "a\nb"}, "on one line"),
        ({"area": {"en": "Busan"}}, "'ko'"),
        ({"colour": "red"}, "unknown slot 'colour'"),
    ],
)
def test_wrong_slot_is_named(changes: dict[str, Any], words: str) -> None:
    """What it is called and what it takes."""
    with pytest.raises(TemplateError, match=words):
        render(FIRST, SLOTS | changes, language="ko", characters_max=90)


def test_missing_and_ill_typed_numbers_are_named() -> None:
    """Every fault at once."""
    progress = SHIPPED.templates["kr"]["progress"]

    with pytest.raises(
        TemplateError, match="'carrier' is missing.*'number' takes a whole number from 2 to 99"
    ):
        render(progress, {"number": True}, language="ko", characters_max=90)


@given(st.text(min_size=1, max_size=10))
def test_slot_content_is_data(area: str) -> None:
    """Braces, percent signs and dollars are shown as they are, and lengths hold."""
    try:
        text = render(FIRST, SLOTS | {"area": area}, language="ko", characters_max=90)
    except TemplateError:
        assert not area.isprintable()
    else:
        assert area in text
        assert len(text) <= 90
    tricky = render(FIRST, SLOTS | {"area": "{since}"}, language="ko", characters_max=90)
    assert "{since}" in tricky
