"""Bad-input catalogue 1 to 20: bulletin documents as files, through the command line."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cbgateway.app import load_checked_profiles
from cbgateway.interfaces.schema import DOCUMENT_OCTETS_MAX
from tests.conformance.catalogue import (
    FIRST,
    Refusal,
    check_refused,
    done,
    invalid,
    key_of,
    make_home,
    tally,
)

CHARACTERS_MAX = load_checked_profiles(None).countries["kr"].classes["safety"].characters_max
SOUND = json.dumps(FIRST).encode()


def changed(**changes: Any) -> bytes:
    """Give the sound document with other members."""
    return json.dumps(FIRST | changes).encode()


def saying(text: str) -> bytes:
    """Give the sound document with another text."""
    return changed(texts={"ko": text})


def holding(raw: bytes) -> bytes:
    """Give the sound document with one member more, written as it stands here."""
    return SOUND[:-1] + b', "more": ' + raw + b"}"


def about(**changes: Any) -> bytes:
    """Give the sound document about another incident."""
    return changed(incident=FIRST["incident"] | changes)


def templated(slots: dict[str, Any], name: str = "first") -> bytes:
    """Give the sound document with a template in place of its texts."""
    return changed(texts={}, template={"name": name, "slots": slots})


def plain(character: str) -> Refusal:
    """Give the refusal of a character that does not show what it does."""
    words = f"text in 'ko'.*U\\+{ord(character):04X}.*position 1.*plain text"
    return Refusal("text-not-encodable", 3, words)


def unknown(words: str) -> Refusal:
    """Give the refusal of a name that no profile has."""
    return Refusal("unknown-name", 3, words)


def _syntax() -> Iterator[tuple[str, bytes, Refusal]]:
    over = SOUND.ljust(DOCUMENT_OCTETS_MAX + 1)
    yield "01-empty", b"", invalid("not JSON: .* line 1, column 1$")
    yield "01-blank", b" \n ", invalid("not JSON: .* line 2, column 2$")
    yield "02-not-json", b'{"identifier": "b-1",\n "sender": }', invalid("line 2, column 12$")
    yield "02-cut", SOUND[:-1], invalid("not JSON: .* line 1, column")
    yield "02-two-documents", SOUND + SOUND, invalid("not JSON: Extra data")
    yield "02-trailing-comma", SOUND[:-1] + b",}", invalid("not JSON")
    yield "02-comment", b"// a comment\n" + SOUND, invalid("not JSON")
    yield "02-single-quotes", SOUND.replace(b'"', b"'"), invalid("not JSON")
    yield "03-array", b"[" + SOUND + b"]", invalid("a bulletin is a JSON object")
    yield "03-string", json.dumps(SOUND.decode()).encode(), invalid("a bulletin is a JSON object")
    yield "03-null", b"null", invalid("a bulletin is a JSON object")
    yield "04-duplicate-keys", SOUND[:-1] + b', "kind": "restored"}', invalid("'kind' .* twice")
    inner = SOUND.replace(b'"carrier"', b'"id": "inc-2", "carrier"')
    yield "04-duplicate-keys-inside", inner, invalid("'id' stands there twice")
    escaped = SOUND[:-1] + b', "k\\u0069nd": "restored"}'
    yield "04-duplicate-keys-escaped", escaped, invalid("'kind' stands there twice")
    for name in ("NaN", "Infinity", "-Infinity"):
        yield f"05-{name.lower()}", holding(name.encode()), invalid(f"^{name} is not JSON")
    yield "05-beyond-floats", holding(b"1e999"), invalid("more: ")
    yield "06-integer-100000-digits", holding(b"9" * 100_000), invalid("number of 100000 digits")
    slots = {"number": 10**18}
    yield "06-integer-beyond-53-bits", templated(slots), invalid("no canonical form")
    yield "07-array-200000-deep", holding(b"[" * 200_000), invalid("nested too deeply")
    objects = b'{"a":' * 20_000 + b"0" + b"}" * 20_000
    yield "07-object-20000-deep", holding(objects), invalid("nested too deeply")
    yield "11-one-octet-over-the-cap", over, invalid("at most 262144 are read")
    yield "13-lone-surrogate", saying("장애\ud800"), invalid("not UTF-8 text")
    yield "13-lone-surrogate-in-a-key", changed(**{"\udc00": 1}), invalid("not UTF-8 text")
    yield (
        "13-invalid-utf-8",
        SOUND.replace(b"alice", b"al\xffce"),
        invalid("not UTF-8 text: .*0xff"),
    )
    yield "13-overlong-utf-8", SOUND.replace(b"alice", b"al\xc0\xafce"), invalid("not UTF-8 text")
    yield "13-utf-16", json.dumps(FIRST).encode("utf-16"), invalid("not UTF-8 text")
    yield "13-utf-16-without-mark", json.dumps(FIRST).encode("utf-16-le"), invalid("not JSON")
    yield "13-byte-order-mark", b"\xef\xbb\xbf" + SOUND, invalid("not JSON: .*BOM")


def _members() -> Iterator[tuple[str, bytes, Refusal]]:
    yield "08-unknown-field", changed(colour="red"), invalid("^colour: Extra inputs")
    yield "08-unknown-field-inside", about(colour="red"), invalid("colour: Extra inputs")
    many = dict.fromkeys((f"{number:x}" for number in range(20_000)), 0)
    yield "08-unknown-fields-by-the-thousand", changed(**many), invalid("and 19980 more faults$")
    yield "08-unknown-field-100000-long", changed(**{"x" * 100_000: 0}), invalid("^x{80}: Extra")
    yield "08-schema-of-tomorrow", changed(schema=2), invalid("^schema: ")
    yield "08-texts-and-template", changed(template={"name": "first"}), invalid("not both")
    yield "14-nul-in-region", changed(regions=["KR-26\0"]), invalid("^regions.0: ")
    yield "14-newline-after-region", changed(regions=["KR-26\n"]), invalid("^regions.0: ")
    yield "14-region-in-fullwidth", changed(regions=["ＫＲ-26"]), invalid("^regions.0: ")
    yield "14-no-region", changed(regions=[]), invalid("regions: .* no default area")
    yield "14-no-regions-at-all", changed(regions=None), invalid("^regions: ")
    yield "14-unknown-region", changed(regions=["KR-26", "KR-99"]), unknown("'KR-99'; known: KR,")
    yield "14-region-in-small-letters", changed(regions=["kr-26"]), unknown("'kr-26'; known: KR,")
    yield "14-513-regions", changed(regions=["KR-26"] * 513), invalid("513 items, at most 512")
    yield "14-path-as-identifier", changed(identifier="../../b-1"), invalid("^identifier: ")
    yield "14-identifier-101-long", changed(identifier="b" * 101), invalid("^identifier: ")
    yield "14-path-as-incident", about(id="../inc"), invalid("incident.*id: ")
    yield "14-unknown-carrier", about(carrier="att"), unknown("carrier 'att'; known: kt, ")
    yield "14-service-in-capitals", about(services=["Voice"]), invalid("services.0: .*'voice'")
    yield (
        "15-class-in-capitals",
        changed(**{"class": "Safety"}),
        unknown("'Safety'; known: .*safety"),
    )
    yield "15-class-with-space", changed(**{"class": "safety "}), invalid("^class: ")
    yield "15-kind-in-capitals", changed(kind="First"), invalid("^kind: .*'first'")
    yield "15-kind-with-space", changed(kind="first "), invalid("^kind: .*'first'")
    yield "15-mode-in-capitals", changed(mode="TEST"), invalid("^mode: .*'test'")
    yield "15-mode-of-another", changed(mode="live"), Refusal("mode-mismatch", 3, "mode test$")
    yield "16-no-offset", changed(expires="2021-10-25T12:00:00"), invalid("^expires.*timezone")
    yield "16-no-day-of-the-calendar", changed(expires="2021-02-30T12:00:00Z"), invalid("^expires")


def _times() -> Iterator[tuple[str, bytes, Refusal]]:
    def expired(words: str) -> Refusal:
        return Refusal("expired", 3, words)

    past = changed(expires="2021-10-25T12:00:00+09:00")
    yield "16-expired", past, expired("expires 2021-10-25T12:00:00.09:00 has passed; it is 2")
    yield "16-expired-before-the-calendar", changed(expires="-P999999999D"), expired("no calendar")
    yield "16-beyond-the-calendar", changed(expires="P999999999D"), expired("no calendar")
    beyond = changed(next_update="P999999999D")
    yield "16-next-update-beyond-the-calendar", beyond, expired("next_update: no calendar")
    yield "16-year-1", changed(expires="0001-01-01T00:00:00+14:00"), expired("has passed")
    yield "16-year-9999", changed(expires="9999-12-31T23:59:59-14:00"), expired("at most")
    yield "16-too-far-ahead", changed(expires="P2D"), expired("86400 s at most")
    late = changed(expires="PT1H", next_update="PT2H")
    yield "16-update-after-the-end", late, expired("next_update .* between now and")
    yield "16-no-next-update", changed(next_update=None), invalid("next_update: ")


def _texts() -> Iterator[tuple[str, bytes, Refusal]]:
    long = saying("가" * (CHARACTERS_MAX + 1))
    words = f"has {CHARACTERS_MAX + 1} characters.*allows {CHARACTERS_MAX}: shorten it by 1$"
    yield "19-one-character-too-long", long, Refusal("text-too-long", 3, words)
    yield "19-2001-characters", saying("가" * 2_001), invalid("^texts.ko: .*at most 2000")
    yield "19-empty", saying(""), invalid("texts.ko: an empty text")
    yield "19-spaces", saying(" \n\u3000"), invalid("texts.ko: an empty text")
    yield "19-no-text", changed(texts={}), invalid("texts: at least one language")
    for name, character in (
        ("nul", "\0"),
        ("escape", "\x1b"),
        ("delete", "\x7f"),
        ("c1-control", "\x9b"),
        ("carriage-return", "\r"),
        ("soft-hyphen", "\u00ad"),
        ("zero-width-space", "\u200b"),
        ("zero-width-joiner", "\u200d"),
        ("left-to-right-mark", "\u200e"),
        ("right-to-left-override", "\u202e"),
        ("isolate", "\u2066"),
        ("line-separator", "\u2028"),
        ("byte-order-mark", "\ufeff"),
        ("grapheme-joiner", "\u034f"),
        ("hangul-filler", "\u3164"),
        ("tag", "\U000e0041"),
    ):
        yield f"19-{name}", saying(f"장{character}애"), plain(character)
    foreign = changed(texts={"ko": "장애", "en": "장애"})
    yield "19-not-in-the-alphabet", foreign, Refusal("text-not-encodable", 3, "'en'.*U.C7A5")
    yield "20-language-invalid", changed(texts={"xx-invalid-": "x"}), invalid("texts.xx-invalid-")
    yield "20-language-in-capitals", changed(texts={"KO": "장애"}), invalid("texts.KO")
    french = changed(texts={"ko": "장애", "fr": "panne"})
    yield "20-language-unknown", french, unknown("language 'fr'; known: ko, en")
    yield "20-own-language-missing", changed(texts={"en": "Outage"}), invalid("^texts.ko: ")
    nine = {f"{chr(97 + at)}a": "x" for at in range(9)}
    yield "20-nine-languages", changed(texts=nine), invalid("^texts: .*at most 8")
    yield "20-template-unknown", templated({}, "none"), unknown("template 'none'; known: ")
    yield (
        "20-template-code-in-slot",
        templated({"x": "{0.__class__}"}),
        Refusal("template-slots", 3, "x"),
    )


CASES = {
    name: (raw, refusal)
    for family in (_syntax, _members, _times, _texts)
    for name, raw, refusal in family()
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a gateway that all cases share: none of them may leave anything in it."""
    return make_home(tmp_path_factory.mktemp("documents") / "lab")


@pytest.mark.parametrize("name", CASES)
def test_bad_document_is_refused_by_name_and_nothing_is_stored(
    name: str, home: Path, tmp_path: Path
) -> None:
    """One problem with its place, no row in any table, history included."""
    raw, refusal = CASES[name]
    path = tmp_path / "bulletin.json"
    path.write_bytes(raw)
    before = tally(home)

    check_refused(
        refusal, "bulletin", "submit", path, "--key", key_of(home, "alice"), "--home", home
    )

    assert tally(home) == before


@pytest.mark.parametrize(
    "raw",
    [SOUND.ljust(DOCUMENT_OCTETS_MAX), saying("가" * CHARACTERS_MAX), changed(expires="P1D")],
    ids=["11-octets", "19-characters", "16-expiry"],
)
def test_what_is_just_inside_a_limit_is_taken(raw: bytes, tmp_path: Path) -> None:
    """Else the refusals above would say nothing; a bulletin, its incident and history are kept."""
    home = make_home(tmp_path / "lab")
    path = tmp_path / "bulletin.json"
    path.write_bytes(raw)
    before = tally(home)

    report = done("bulletin", "submit", path, "--key", key_of(home, "alice"), "--home", home)

    assert report["state"] == "pending"
    grown = {name: count - before[name] for name, count in tally(home).items()}
    assert {name: count for name, count in grown.items() if name in KEPT} == KEPT
    assert grown["delivery"] == 0


KEPT = {"bulletin": 1, "incident": 1}
