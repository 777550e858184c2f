"""What people see, in a real browser without JavaScript: pages, briefing, report."""

import base64
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cbgateway.public.report_page import to_html
from tests.conftest import Office
from tests.integration.chromium import Chromium

pytestmark = pytest.mark.integration

SCREENSHOT = os.environ.get("SCREENSHOT")
"""Where the picture in docs/telling.md is written, when it is to be made anew."""
PHONE, DESK = 390, 1280
CONTRAST_MIN = 4.5
"""WCAG 2.2, 1.4.3, level AA."""
FACTS = {
    "cause": "routing",
    "confidence": "confirmed",
    "emergency_calls": "ok_remove_sim",
    "workarounds": ["other_phone", "tethering", "cash", "wait"],
    "eta": "PT20M",
}
SERVICES = ["voice", "sms", "mobile_data", "card_payment"]


@pytest.fixture
def folder(office: Office, tmp_path: Path) -> Path:
    """Give a site with an outage that goes on and one that is over, a briefing and a report."""
    past = office.document()["incident"] | {"id": "skt-0", "carrier": "skt"}
    office.issue(office.document(incident=past, regions=["KR-49"]))
    restored = {"ko": "[과기정통부] 제주 SK텔레콤 통화 장애 복구 완료. 불편을 드려 죄송합니다."}
    office.issue(office.later("restored", incident="skt-0", regions=["KR-49"], texts=restored))
    incident = office.document()["incident"] | {"services": SERVICES}
    office.issue(office.document(incident=incident, regions=["KR"]))
    office.issue(office.later("progress", regions=["KR"], facts=FACTS))
    told, made = office.gateway.telling, tmp_path / "site"
    told.export_site(made)
    words = office.gateway.deployment.words
    for language in words:
        (made / f"briefing-{language}.html").write_bytes(
            told.briefing_page("inc-1", language=language)
        )
        (made / f"report-{language}.html").write_bytes(
            to_html(words[language], told.report("inc-1"))
        )
    return made


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Chromium]:
    """Give a browser."""
    command = shutil.which("chromium")
    assert command, "no chromium; run `make peers`"
    one = Chromium(command, tmp_path / "profile")
    yield one
    one.close()


def look(browser: Chromium, page: Path, *, width: int, dark: bool, height: int = 844) -> None:
    """Open a page on a screen."""
    browser.open(page.as_uri())
    browser.ask(
        "Emulation.setDeviceMetricsOverride",
        width=width,
        height=height,
        deviceScaleFactor=2 if width == PHONE else 1,
        mobile=width == PHONE,
    )
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    browser.ask("Emulation.setEmulatedMedia", features=[scheme])


CONTRASTS = """(() => {
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const parts = text => text.match(/[\\d.]+/g).map(Number);
  const behind = one => {
    for (; one; one = one.parentElement) {
      const found = parts(getComputedStyle(one).backgroundColor);
      if (found.length < 4 || found[3] > 0) return found;
    }
    return matchMedia("(prefers-color-scheme: dark)").matches ? [18, 18, 18] : [255, 255, 255];
  };
  const texts = [...document.querySelectorAll("body *")].filter(one =>
    one.className !== "skip" && [...one.childNodes].some(n => n.nodeType === 3 && n.data.trim()));
  return texts.map(one => {
    const [a, b] = [light(parts(getComputedStyle(one).color)), light(behind(one))];
    return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), one.outerHTML.slice(0, 80)];
  });
})()"""
PAGES = ("index.html", "en/index.html", "i/inc-1/index.html", "r/KR-26/index.html", "404.html")
FOR_STAFF = ("briefing-ko.html", "briefing-en.html", "report-ko.html", "report-en.html")


@pytest.mark.parametrize("dark", [False, True])
def test_i1_pages_can_be_read_on_every_screen(browser: Chromium, folder: Path, dark: bool) -> None:
    """No sideways scrolling, enough contrast for everybody, by day and by night."""
    for name in (*PAGES, *FOR_STAFF):
        for width in (PHONE, DESK):
            look(browser, folder / name, width=width, dark=dark)
            overflow = browser.run("document.documentElement.scrollWidth - innerWidth")
            worst = min(browser.run(CONTRASTS))

            assert overflow <= 0, (name, width)
            assert worst[0] >= CONTRAST_MIN, (name, dark, worst)
    assert browser.problems == []


def test_i1_pages_work_without_scripts_by_keyboard_and_by_ear(
    browser: Chromium, folder: Path
) -> None:
    """The first key leads past the header; every part says what it is, and in which language."""
    browser.open((folder / "index.html").as_uri())
    browser.ask("Emulation.setScriptExecutionDisabled", value=True)
    look(browser, folder / "index.html", width=PHONE, dark=False)
    browser.ask("Emulation.setScriptExecutionDisabled", value=False)
    outline: dict[str, Any] = browser.run(
        """({
          lang: document.documentElement.lang,
          main: document.querySelectorAll("main").length,
          header: document.querySelectorAll("body > header").length,
          footer: document.querySelectorAll("body > footer").length,
          levels: [...document.querySelectorAll("h1,h2,h3,h4")].map(h => +h.tagName[1]),
          scripts: document.scripts.length,
          first: document.querySelector("a").getAttribute("href"),
          unnamed: [...document.querySelectorAll("nav")].filter(n => !n.ariaLabel).length,
        })"""
    )
    for kind in ("keyDown", "keyUp"):
        browser.ask("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab")
    focused = browser.run("document.activeElement.className")

    assert (outline["lang"], outline["scripts"], outline["unnamed"]) == ("ko", 0, 0)
    assert (outline["main"], outline["header"], outline["footer"]) == (1, 1, 1)
    assert outline["first"] == "#main"
    assert outline["levels"][0] == 1
    steps = zip(outline["levels"], outline["levels"][1:], strict=False)
    assert all(after - before <= 1 for before, after in steps)
    assert focused == "skip"
    if SCREENSHOT:
        look(browser, folder / "index.html", width=PHONE, dark=False)
        Path(SCREENSHOT).write_bytes(browser.screenshot())


@pytest.mark.parametrize("language", ["ko", "en"])
def test_d2_briefing_prints_on_one_sheet(browser: Chromium, folder: Path, language: str) -> None:
    """A4, black on white, whatever the screen's colours are."""
    look(browser, folder / f"briefing-{language}.html", width=DESK, dark=True)
    printed = browser.ask("Page.printToPDF", preferCSSPageSize=True)["data"]

    assert len(re.findall(rb"/Type\s*/Page\b", base64.b64decode(printed))) == 1
