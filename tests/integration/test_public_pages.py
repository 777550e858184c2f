"""The public pages in a real browser with JavaScript off: drills and codes, both languages."""

import functools
import shutil
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from cbgateway.public.common import PAGE_OCTETS_MAX
from cbgateway.service.drills import Wanted
from tests.integration.chromium import Chromium

pytestmark = pytest.mark.integration


class Quiet(SimpleHTTPRequestHandler):
    """A web server that tells nobody what it serves."""

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its parent's name
        """Say nothing."""


@pytest.fixture
def site(office: Any, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """Give the address and folder of an exported site with an outage and two drills."""
    starts = office.clock.now() + timedelta(days=2)
    texts = {"ko": "통신 장애 안내 훈련입니다.", "en": "Outage drill."}
    for name, days in (("q3", 0), ("q4", 2)):
        wanted = Wanted(
            name,
            office.clock.now() + timedelta(days=days, minutes=1),
            starts + timedelta(days=days, hours=1) - timedelta(days=2),
            ("KR-26",),
            texts,
        )
        office.gateway.telling.plan_drill(wanted, key=office.keys["alice"])
    office.clock.advance(86_400)
    office.issue(office.document())
    folder = tmp_path / "site"
    office.gateway.telling.export_site(folder)
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", folder
    server.shutdown()
    server.server_close()


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Chromium]:
    """Give a browser."""
    command = shutil.which("chromium")
    assert command, "no chromium; run `make peers`"
    one = Chromium(command, tmp_path / "profile")
    yield one
    one.close()


def text(browser: Chromium) -> str:
    """Give what people read on the page."""
    return str(browser.run("document.body.innerText"))


@pytest.mark.parametrize(
    ("language", "soon", "planned", "over", "quoted"),
    [
        ("", "훈련이 예정되어 있습니다", "예정된 훈련", "끝난 훈련", "[훈련] 통신 장애 안내"),
        ("en/", "A drill is planned", "Planned drill", "Past drill", "[EXERCISE] Outage drill."),
    ],
)
def test_drills_are_read_without_javascript(
    site: tuple[str, Path],
    browser: Chromium,
    language: str,
    soon: str,
    planned: str,
    over: str,
    quoted: str,
) -> None:
    """From the front page by its link; nothing is fetched, nothing goes wrong."""
    url, _ = site
    browser.open(f"{url}/{language}", with_scripts=False)
    assert soon in text(browser)
    browser.open(
        browser.run("document.querySelector('main a[href$=\"drills/\"]').href"), with_scripts=False
    )
    shown = text(browser)

    assert planned in shown
    assert over in shown
    assert shown.count(quoted) == 2
    assert browser.run("document.scripts.length") == 0
    assert browser.run("performance.getEntriesByType('resource').length") == 0
    assert [one for one in browser.problems if "favicon" not in str(one)] == []


def test_code_is_checked_without_javascript(
    office: Any, site: tuple[str, Path], browser: Chromium
) -> None:
    """The exact text under its code."""
    url, _ = site
    with office.gateway.store.read() as tx:
        bulletin = tx.bulletin("inc-1/1").bulletin
    browser.open(f"{url}/v/{bulletin.code}/", with_scripts=False)

    assert bulletin.texts["ko"] in text(browser)
    assert bulletin.texts["en"] in text(browser)


def test_every_page_is_small(site: tuple[str, Path]) -> None:
    """One round trip of a new connection."""
    _, folder = site
    sizes = {path: path.stat().st_size for path in folder.rglob("*.html")}

    assert len(sizes) > 40
    assert max(sizes.values()) <= PAGE_OCTETS_MAX
