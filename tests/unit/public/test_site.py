"""The site: what each page, the feed and the JSON show, in both languages."""

import json
import re
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from cbgateway.domain.bulletin import Mode
from cbgateway.public.common import PAGE_OCTETS_MAX, fitting
from cbgateway.public.site import files, make_site, render

HIGHEST = {"class": "critical"}
"""Needs no budget."""
ATOM = "{http://www.w3.org/2005/Atom}"


def page(office: Any, path: str = "/") -> str:
    """Give a page as text."""
    return render(office.gateway.telling.site(), path).octets.decode()


def incident(office: Any, number: int) -> dict[str, Any]:
    """Give the description of another incident."""
    return office.document()["incident"] | {"id": f"inc-{number}"}  # type: ignore[no-any-return]


def test_quiet_site_says_so(office: Any) -> None:
    """Nothing is known; every page is there all the same."""
    made = files(office.gateway.telling.site())

    assert "지금 알려진 통신 장애가 없습니다" in page(office)
    assert "No network outage is known now" in page(office, "/en")
    assert "지난 장애가 없습니다" in page(office, "/past/")
    assert json.loads(made["alerts.json"])["outages"] == []
    assert b"1970-01-01T00:00:00Z" in made["feed.atom"]
    assert {"index.html", "en/index.html", "404.html", "r/KR/index.html"} <= set(made)


def test_every_file_is_also_rendered_by_its_path(office: Any) -> None:
    """A server and an export show the same octets."""
    office.issue(office.document())
    site = office.gateway.telling.site()

    for path, octets in files(site).items():
        found = render(site, "/" + path.removesuffix("index.html"))
        if path.endswith("404.html"):
            continue
        assert (200, octets) == (found.status, found.octets), path
    assert render(site, "/feed.atom").content_type.startswith("application/atom+xml")
    assert render(site, "/alerts.json").content_type.startswith("application/json")


@pytest.mark.parametrize(
    "path", ["/nothing", "/i/none/", "/r/XX/", "/en/i/none", "/v/ZZZZZZ", "//"]
)
def test_what_is_not_there_says_so(office: Any, path: str) -> None:
    """With 404, in the language of the path, save for the front page."""
    found = render(office.gateway.telling.site(), path)

    assert found.status == (200 if path == "//" else 404)
    assert ('lang="en"' in found.octets.decode()[:60]) is path.startswith("/en")


def test_path_that_is_hostile_is_only_text(office: Any) -> None:
    """Nothing of a path comes back as markup."""
    octets = render(office.gateway.telling.site(), "/v/<script>alert(1)</script>").octets

    assert b"<script>" not in octets


def test_texts_are_escaped(office: Any) -> None:
    """A text with markup in it is shown as it was sent."""
    office.issue(office.document(texts={"ko": "장애 <b>&\"'</b>"}))

    assert "장애 &lt;b&gt;&amp;&quot;&#x27;&lt;/b&gt;" in page(office)
    assert "<b>" not in page(office)


def test_region_shows_what_concerns_it(office: Any) -> None:
    """Busan's outage shows in Busan and in the country, not in Seoul; in both languages."""
    office.issue(office.document())

    assert "inc-1" in page(office, "/r/KR-26/")
    assert "inc-1" in page(office, "/r/KR/")
    assert "inc-1" not in page(office, "/r/KR-11/")
    assert "Busan" in page(office, "/en/r/KR-26/")


def test_restored_outage_moves_from_now_to_past(office: Any) -> None:
    """In sight for a day, then among the past ones; nothing more is promised."""
    office.issue(office.document())
    office.issue(office.later("restored"))
    fresh = page(office)
    office.clock.advance(86_401)
    later = page(office)

    assert "최근 복구" in fresh
    assert "복구 완료" in fresh
    assert "다음 안내</dt>" not in fresh
    assert "최근 복구" not in later
    assert "inc-1" in page(office, "/past/")
    assert "12:00" in page(office, "/i/inc-1/")


def test_withdrawn_message_says_so(office: Any) -> None:
    """On its page, on the front page and in the feed."""
    first = office.issue(office.document()).bulletin
    office.issue(office.later("withdrawal"))

    assert "취소된 안내입니다" in page(office)
    assert "지금은 유효하지 않은" in page(office, f"/v/{first.code}")
    assert "취소된 안내입니다" in page(office, "/feed.atom")


def test_update_that_is_late_says_sorry(office: Any) -> None:
    """Instead of a time that has passed."""
    office.issue(office.document())
    office.clock.advance(1801)

    assert "약속한 안내가 늦어지고 있습니다" in page(office)
    assert json.loads(page(office, "/alerts.json"))["outages"][0]["is_next_update_overdue"]


def test_text_in_another_language_is_marked(office: Any) -> None:
    """An English page shows a Korean text as Korean when there is no other."""
    office.issue(office.document(texts={"ko": "장애"}))

    assert '<blockquote lang="ko">장애' in page(office, "/en/")


def test_feed_is_atom_with_names_that_last(office: Any) -> None:
    """RFC 4287: one author, an id and a time for each; the same id whatever happens later."""
    office.issue(office.document())
    before = ET.fromstring(page(office, "/feed.atom").encode())  # noqa: S314 - our own
    office.issue(office.later("progress"))
    root = ET.fromstring(page(office, "/feed.atom").encode())  # noqa: S314 - our own
    entries = root.findall(f"{ATOM}entry")
    ids = [entry.findtext(f"{ATOM}id") for entry in entries]

    assert root.tag == f"{ATOM}feed"
    for name in ("id", "title", "updated", "author/" + ATOM + "name"):
        assert root.findtext(f"{ATOM}{name}")
    assert len(ids) == len(set(ids)) == 2
    assert before.findall(f"{ATOM}entry")[0].findtext(f"{ATOM}id") == ids[1]
    for entry in entries:
        stamp = entry.findtext(f"{ATOM}updated") or ""
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", stamp)
        for name in ("title", "summary"):
            assert entry.findtext(f"{ATOM}{name}")
        assert entry.find(f"{ATOM}link") is not None
    links = {link.get("rel") for link in root.findall(f"{ATOM}link")}
    assert links == {"self", "alternate"}


def test_feed_keeps_two_days_and_the_newest_twenty(office: Any) -> None:
    """What is older leaves; a site with an address gives whole links."""
    for number in range(1, 24):
        office.issue(
            office.document(
                incident=incident(office, number),
                texts={"ko": f"장애 {'가' * number}"},
                allow_duplicate=True,
                **HIGHEST,
            )
        )
        office.clock.advance(3600)
    fresh = page(office, "/feed.atom")
    office.clock.advance(48 * 3600)
    site = office.gateway.telling.site()
    old = render(make_site(site.deployment, site.publication, url="https://x.kr/"), "/feed.atom")

    assert fresh.count("<entry>") == 23
    assert old.octets.count(b"<entry>") == 20
    assert b'href="https://x.kr/v/' in old.octets


def test_many_outages_still_fit_into_14_kib(office: Any) -> None:
    """The newest are shown, the others linked; the time line of one shows what fits."""
    long = "가" * 80
    for number in range(1, 41):
        office.issue(
            office.document(
                incident=incident(office, number),
                texts={"ko": long + "나" * (number % 7)},
                facts={"workarounds": ["cash", "wait", "radio"]},
                allow_duplicate=True,
                **HIGHEST,
            )
        )
        office.clock.advance(900)
    for _ in range(60):
        office.issue(office.later("progress", incident="inc-40", texts={"ko": long}, **HIGHEST))
        office.clock.advance(900)
    made = files(office.gateway.telling.site())
    sizes = {path: len(octets) for path, octets in made.items() if path.endswith(".html")}

    assert max(sizes.values()) <= PAGE_OCTETS_MAX
    assert sizes["index.html"] > 8_000
    assert "더 오래된 것은" in made["i/inc-40/index.html"].decode()
    assert "i/inc-1/" in made["r/KR/index.html"].decode()


@pytest.mark.parametrize(("count", "fits"), [(0, 0), (1, 1), (5, 3)])
def test_as_many_items_as_fit(count: int, fits: int) -> None:
    """Four thousand octets each: three; the first in any case."""
    seen = fitting(lambda n: b"x" * (n * 4_000), count)

    assert fits == len(seen) // 4_000
    assert len(fitting(lambda n: b"x" * (n * 20_000), 3)) == 20_000


@pytest.mark.parametrize(
    ("mode", "banner"), [(Mode.TEST, "시험용 누리집"), (Mode.EXERCISE, "훈련입니다")]
)
def test_other_modes_say_that_nothing_is_real(make_office: Any, mode: Mode, banner: str) -> None:
    """On every page; drills are those of a gateway in mode exercise."""
    office = make_office(mode=mode)
    office.issue(office.document())

    for path, octets in files(office.gateway.telling.site()).items():
        assert (banner in octets.decode()) is (path.endswith(".html") and path[:3] != "en/")
    assert ("inc-1" in page(office, "/drills/")) is (mode is Mode.EXERCISE)


def test_live_site_has_no_banner(make_office: Any) -> None:
    """Nothing stands above what is real."""
    office = make_office(mode=Mode.LIVE)
    office.issue(office.document())

    assert 'role="status"' not in page(office)


def test_regions_that_nobody_has_a_name_for_show_their_code(office: Any) -> None:
    """Profiles change; what was said stays."""
    office.issue(office.document())
    site = office.gateway.telling.site()
    rules = site.deployment
    other = replace(rules, carriers={})
    shown = render(make_site(other, site.publication), "/").octets.decode()

    assert "kt: 음성 통화" in shown
    assert site.name("ZZ", "ko") == "ZZ"
