"""The simulated phones: their own reading of pages and parts, duplicates, seals, screens."""

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from cbgateway.codec import cbs, smpp_text
from cbsim.handset import DUPLICATE_WINDOW_S, Handset, Shown
from cbsim.network import Network, OnAir, load_phones, make_phones
from cbsim.reader import Part, read_content, read_gsm_page, read_short_message, split_header
from cbsim.seals import PublishedKey, Verdict, check_seal, load_published_keys

VECTORS = Path(__file__).parents[2] / "vectors"
TEXT = st.text(alphabet="ab{}€[] 12", max_size=300) | st.text(
    alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\r"), max_size=200
)


def phone(**changes: Any) -> Handset:
    """Give a phone in Busan that reads Korean."""
    facts: dict[str, Any] = {
        "number": "821012345678",
        "region": "KR-26",
        "language": "ko",
        "home_language": "ko",
        "takes_broadcasts": True,
        "keys": {},
    }
    return Handset(**(facts | changes))


def pages(
    text: str, *, serial: int = 0x4000, identifier: int = 4372, dcs: int = 0x48
) -> list[bytes]:
    """Give a text as pages on the air."""
    cut = cbs.paginate(text, dcs=dcs, language="ko")
    return [
        cbs.encode_gsm_page(cbs.GsmPage(serial, identifier, dcs, number, len(cut), page))
        for number, page in enumerate(cut, start=1)
    ]


def show(one: Handset, octets: list[bytes], now_s: float = 0.0) -> list[Shown]:
    """Let a phone hear pages; gives what it shows."""
    found = [one.receive_page(page, seal="", now_s=now_s) for page in octets]
    return [shown for shown in found if shown is not None]


def test_vectors_are_read_by_phones() -> None:
    """A reader that shares no code with the gateway's reads the vectors' pages."""
    vectors = json.loads((VECTORS / "cbs.json").read_text("utf-8"))
    for vector in vectors:
        if vector["name"].startswith("gsm_page"):
            page = read_gsm_page(bytes.fromhex(vector["hex"]))
            assert page is not None
            text, language = read_content(page.content, page.dcs)
            assert vector["input"]["text"].startswith(text)
            assert language == vector["input"].get("language", {1: "en"}.get(page.dcs))


@given(text=TEXT, dcs=st.sampled_from([0x48, 0x11]))
def test_phone_shows_what_was_sent(text: str, dcs: int) -> None:
    """Whatever the gateway puts on pages, a phone shows, once all pages are there."""
    octets = pages(text, dcs=dcs)

    assert show(phone(), octets[:-1]) == []
    (shown,) = show(phone(), octets[::-1])
    assert text == shown.text


@given(st.text(alphabet="ab{}€[] 12", max_size=300), st.sampled_from([0x01, 0x10, 0x0F]))
def test_phone_shows_gsm7(text: str, dcs: int) -> None:
    """The default alphabet too, with and without a language on each page."""
    (shown,) = show(phone(), pages(text, dcs=dcs))

    assert text.rstrip("\r") == shown.text


def test_duplicates_are_dropped_for_a_day() -> None:
    """The same numbers within 24 hours show nothing; a new update number does at once."""
    one = phone()

    assert len(show(one, pages("장애"), 0.0)) == 1
    assert show(one, pages("장애"), DUPLICATE_WINDOW_S - 1.0) == []
    assert show(one, pages("다른 글"), 10.0) == []
    assert len(show(one, pages("복구", serial=0x4001), 20.0)) == 1
    assert len(show(one, pages("장애"), DUPLICATE_WINDOW_S + 1.0)) == 1
    assert [shown.text for shown in one.screen] == ["장애", "복구", "장애"]


def test_phone_listens_to_its_own_channels() -> None:
    """Korean readers hear the base channels, others the twins, old phones none."""
    korean, english, old = phone(), phone(language="en"), phone(takes_broadcasts=False)

    assert [one.listens_to(4372) for one in (korean, english, old)] == [True, False, False]
    assert [one.listens_to(4385) for one in (korean, english, old)] == [False, True, False]
    assert show(old, pages("장애")) == []


@given(st.lists(st.binary(max_size=90), max_size=10))
def test_any_page_is_survived(found: list[bytes]) -> None:
    """Noise on the air shows noise or nothing."""
    one = phone()
    for octets in found:
        one.receive_page(octets, seal="", now_s=0.0)
        one.receive_page(octets.ljust(88, b"\0")[:88], seal="", now_s=0.0)
    assert all(isinstance(shown.text, str) for shown in one.screen)


def test_page_beyond_the_last_is_no_page() -> None:
    """And neither is one of another size."""
    octets = bytearray(pages("장애")[0])
    octets[5] = 0x21

    assert read_gsm_page(bytes(octets)) is None
    assert read_gsm_page(bytes(87)) is None


def test_phone_forgets_the_oldest_incomplete_message() -> None:
    """Parts that never complete do not fill a phone's memory."""
    one = phone()
    long = "가" * 60
    for serial in range(0x4000, 0x4000 + 17):
        show(one, pages(long, serial=serial)[:1])

    assert show(one, pages(long, serial=0x4000)[1:]) == []
    assert len(show(one, pages(long, serial=0x4010)[1:])) == 1


@pytest.mark.parametrize("segmentation", list(smpp_text.Segmentation))
@given(text=TEXT.filter(bool))
def test_parts_are_joined(segmentation: smpp_text.Segmentation, text: str) -> None:
    """Whichever way a text is cut, a phone shows it whole, and once."""
    one = phone()
    cut = smpp_text.segment(text, data_coding=None, segmentation=segmentation, reference=7)
    for number, part in reversed(list(enumerate(cut.parts, start=1))):
        sar = None
        if segmentation is smpp_text.Segmentation.SAR and len(cut.parts) > 1:
            sar = Part(7, number, len(cut.parts))
        one.receive_sms(
            part.short_message or part.tlvs[0].value,
            source="KT",
            data_coding=cut.data_coding,
            esm_class=cut.esm_class,
            sar=sar,
            seal="",
            now_s=0.0,
        )

    assert [text] == [shown.text for shown in one.screen]


@given(st.binary(max_size=50), st.integers(0, 255))
def test_any_short_message_is_survived(octets: bytes, data_coding: int) -> None:
    """What cannot be read shows replacement characters."""
    part, body = split_header(octets)

    assert isinstance(read_short_message(body, data_coding), str)
    assert part is None or part.total >= 0


KEY = Ed25519PrivateKey.generate()
KEYS = {"k1": PublishedKey("KR", KEY.public_key())}


def b64(octets: bytes) -> str:
    """Write base64url without padding."""
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def seal(text: str = "장애", region: str = "KR", **header: str) -> str:
    """Make a seal with arithmetic of its own."""
    claims = {
        "region": region,
        "texts": {"ko": b64(hashlib.sha256(text.encode()).digest())},
        "broadcasts": {"ko": [4372, 0x4000]},
    }
    head = b64(json.dumps({"alg": "Ed25519", "kid": "k1"} | header).encode())
    signed = f"{head}.{b64(json.dumps(claims).encode())}"
    return f"{signed}.{b64(KEY.sign(signed.encode()))}"


@pytest.mark.parametrize(
    ("made", "changes", "verdict"),
    [
        (seal(), {}, Verdict.VALID),
        (seal(), {"broadcast": None}, Verdict.VALID),
        (seal(), {"broadcast": (4372, 0x4001)}, Verdict.INVALID),
        (seal(), {"text": "정상"}, Verdict.INVALID),
        (seal(region="KR-26"), {}, Verdict.INVALID),
        (seal(alg="none"), {}, Verdict.INVALID),
        (seal(kid="k2"), {}, Verdict.INVALID),
        (seal()[:-4] + "AAAA", {}, Verdict.INVALID),
        ("nonsense", {}, Verdict.INVALID),
        ("", {}, Verdict.MISSING),
        (seal(), {"regions": ("US",)}, Verdict.INVALID),
        (seal(), {"keys": {}}, Verdict.UNCHECKED),
    ],
)
def test_seal_is_checked_against_what_is_shown(
    made: str, changes: dict[str, Any], verdict: Verdict
) -> None:
    """Region, text and numbers have to be the sealed ones."""
    facts: dict[str, Any] = {
        "regions": ("KR-26", "KR"),
        "text": "장애",
        "broadcast": (4372, 0x4000),
        "keys": KEYS,
    }
    facts |= changes

    assert verdict is check_seal(made, facts.pop("keys"), **facts)


def test_published_keys_are_read(tmp_path: Path) -> None:
    """A JWK Set gives keys by name; anything else is refused."""
    path = tmp_path / "keys.json"
    jwk = {"kid": "k1", "x": b64(KEY.public_key().public_bytes_raw()), "region": "KR"}
    path.write_text(json.dumps({"keys": [jwk]}))

    assert load_published_keys(path)["k1"].region == "KR"
    path.write_text("{}")
    with pytest.raises(ValueError, match="not a JWK Set"):
        load_published_keys(path)


def on_air(**changes: Any) -> OnAir:
    """Give a broadcast for Busan, twice, half a minute apart."""
    facts: dict[str, Any] = {
        "name": "b-1",
        "pages": tuple(pages("장애")),
        "area": "KR-26",
        "period_s": 30.0,
        "transmissions": 2,
        "ends_at_s": None,
        "seal": "",
    }
    return OnAir(**(facts | changes))


def test_network_repeats_until_it_is_over() -> None:
    """Sent at once, repeated on time, then off the air; phones elsewhere hear nothing."""
    shown: list[tuple[str, str]] = []
    late = phone(number="2", takes_broadcasts=True)
    network = Network(
        [phone(number="1"), phone(number="3", region="KR-11"), late],
        lambda one, what: shown.append((one.number, what.text)),
    )
    late.takes_broadcasts = False
    network.broadcast(on_air(), now_s=0.0)
    late.takes_broadcasts = True

    assert shown == [("1", "장애")]
    assert network.next_tick() == 30.0
    network.tick(now_s=29.9)
    assert len(shown) == 1
    network.tick(now_s=30.0)
    assert shown == [("1", "장애"), ("2", "장애")]
    assert network.on_air == {}
    assert network.next_tick() is None


def test_replaced_and_stopped_broadcasts_fall_silent() -> None:
    """A repetition of what is no longer on air is not sent; an end cuts repetitions off."""
    shown: list[str] = []
    network = Network([phone()], lambda one, what: shown.append(what.text))
    network.broadcast(on_air(transmissions=9), now_s=0.0)
    network.broadcast(on_air(pages=tuple(pages("복구", serial=0x4001)), transmissions=9), now_s=1.0)
    network.tick(now_s=31.0)

    assert shown == ["장애", "복구"]
    assert network.stop("b-1")
    assert not network.stop("b-1")
    network.tick(now_s=100.0)
    network.broadcast(on_air(name="b-2", transmissions=9, ends_at_s=30.0), now_s=0.0)
    assert network.on_air == {}


def test_phones_come_from_a_file(tmp_path: Path) -> None:
    """CSV with number, region, language and kind; a wrong line is named."""
    path = tmp_path / "phones.csv"
    path.write_text("number,region,language,kind\n821,KR-26,ko,sms\n822,KR-11,en,broadcast\n")

    first, second = load_phones(path, home_language="ko", keys={})
    assert (first.takes_broadcasts, second.takes_broadcasts) == (False, True)
    assert second.regions == ("KR-11", "KR")
    path.write_text("number,region,language,kind\n821,KR-26,ko,fax\n")
    with pytest.raises(ValueError, match="line 2"):
        load_phones(path, home_language="ko", keys={})
    path.write_text("a,b\n")
    with pytest.raises(ValueError, match="header"):
        load_phones(path, home_language="ko", keys={})


def test_phones_are_made() -> None:
    """Spread over regions, some old, some reading English."""
    found = make_phones(
        20,
        regions=("KR-11", "KR-26"),
        home_language="ko",
        old_every=10,
        foreign_every=5,
        prefix="82",
        keys={},
    )

    assert len({one.number for one in found}) == 20
    assert sum(not one.takes_broadcasts for one in found) == 2
    assert sum(one.language == "en" for one in found) == 4
    assert {one.region for one in found} == {"KR-11", "KR-26"}
