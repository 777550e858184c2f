"""The report after an incident: every figure from the history, with its source."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from cbgateway.domain.bulletin import BulletinKind
from cbgateway.domain.delivery import Event
from cbgateway.domain.errors import AuditError, InputError, UnknownNameError
from cbgateway.domain.incident import Incident, IncidentState, Service
from cbgateway.profiles.regions import Census, Regions
from cbgateway.public.report_page import to_html, to_markdown
from cbgateway.service import postmortem
from cbgateway.service.deployment import Deployment
from cbgateway.service.reach import ReachLevel, reach_of
from cbgateway.service.said import said_document
from cbgateway.signing.canonical import canonical
from cbgateway.storage.rows import event_document
from cbgateway.telling import read_events, read_export

LEAF_OCTETS_MAX = 65_535
AT = datetime(2021, 10, 25, 3, 0, tzinfo=UTC)


def told(office: Any) -> dict[str, Any]:
    """Give the report."""
    return office.gateway.telling.report("inc-1")  # type: ignore[no-any-return]


def test_nothing_said_is_no_report(office: Any) -> None:
    """An incident that is not known, and one that nobody was told of."""
    office.submit(office.document())

    for name in ("inc-1", "inc-9"):
        with pytest.raises(UnknownNameError):
            office.gateway.telling.report(name)


def test_promises_are_kept_missed_or_open(office: Any) -> None:
    """By when the next bulletin came; one that is still owed is neither."""
    office.issue(office.document())
    office.clock.advance(1700)
    office.issue(office.later("progress", next_update="PT10M"))
    office.clock.advance(700)
    office.gateway.telling.sweep()
    office.issue(office.later("progress", texts={"ko": "셋째"}))
    deadlines = told(office)["deadlines"]

    assert [one["is_kept"] for one in deadlines["updates"]] == [True, False, None]
    assert (deadlines["kept"], deadlines["promises"]) == (1, 3)
    assert deadlines["first_notice"] == {"wanted_s": 600, "took_s": 2640.0, "is_kept": False}
    assert deadlines["compensation_notice_due"]["source"] == "not known"


def test_corrections_tell_how_long_it_took(office: Any) -> None:
    """From the wrong bulletin to the one that takes it back."""
    office.issue(office.document())
    office.clock.advance(90)
    office.issue(office.later("correction"))

    assert told(office)["corrections"] == [
        {"bulletin": "inc-1/2", "of": "inc-1/1", "after_s": 90.0}
    ]


def test_refused_orders_show_and_people_without_a_carrier_are_counted(office: Any) -> None:
    """Nobody took it: all who live there are uncovered, by the figure's own source."""
    office.issue(office.document())
    report = told(office)

    assert report["deliveries"] == []
    assert {row["population_uncovered_by_all_carriers"]["value"] for row in report["reach"]} == {
        3_350_380
    }
    uncovered = report["reach"][0]["population_uncovered_by_all_carriers"]
    assert uncovered["source"] == "행정안전부 주민등록 인구통계, 2021-12-31"


def test_figures_that_nobody_has_looked_up_say_so(office: Any) -> None:
    """In the document and in every form that people read, in their language."""
    office.issue(office.document())
    report = told(office)
    words = office.gateway.deployment.words

    assert {row["population"]["is_verified"] for row in report["reach"]} == {False}
    assert "2021-12-31 (확인되지 않음)" in to_html(words["ko"], report).decode()
    assert "2021\\-12\\-31 \\(unverified\\)" in to_markdown(words["en"], report)
    for row in report["reach"]:
        row["population"]["is_verified"] = True
    assert "unverified" not in to_markdown(words["en"], report)


def test_percentiles_of_one_and_of_many() -> None:
    """One figure is its own percentile; of none there is none."""
    assert postmortem._percentile([], 95) is None
    assert postmortem._percentile([2.5], 95) == 2.5
    assert postmortem._percentile([float(n) for n in range(1, 102)], 50) == 51.0
    assert postmortem._percentile([float(n) for n in range(1, 102)], 95) == 96.0


@pytest.mark.parametrize("language", ["ko", "en"])
def test_page_and_markdown_say_the_same(office: Any, language: str) -> None:
    """Every text that was sent, escaped; headings in the language."""
    office.issue(office.document(texts={"ko": "장애 <b> | `x` [a](b)"}))
    office.send("skt")
    words = office.gateway.deployment.words[language]
    html = to_html(words, told(office)).decode()
    markdown = to_markdown(words, told(office))

    assert "장애 &lt;b&gt; | `x` [a](b)" in html
    assert "장애 \\<b\\> \\| \\`x\\` \\[a\\]\\(b\\)" in markdown
    for wanted in (words.report.title, words.report.timeline, words.report.deadlines):
        assert wanted in html
        assert wanted in markdown.replace("\\", "")
    assert "<b>" not in html
    rows = [line for line in markdown.splitlines() if line.startswith("|")]
    assert all(line.endswith("|") for line in rows)


def test_display_needs_a_source_and_what_is_known(office: Any) -> None:
    """Somebody has seen it, somewhere, on some phone."""
    office.issue(office.document())
    seen = {"carrier": "skt", "region": "KR-26", "at": AT, "source": "probe"}
    note = office.gateway.telling.note_display
    for changes, error in (
        ({"source": " "}, InputError),
        ({"carrier": "x"}, UnknownNameError),
        ({"region": "x"}, UnknownNameError),
    ):
        with pytest.raises(error):
            note("inc-1/1", **(seen | changes))
    with pytest.raises(UnknownNameError):
        note("inc-1/9", **seen)
    note("inc-1/1", **seen)

    assert told(office)["reach"][0]["region"] == "KR-26"


def test_export_that_was_changed_is_refused(office: Any, tmp_path: Path) -> None:
    """Cut, missing, or with another entry: the checkpoint's root is not theirs."""
    office.issue(office.document())
    folder = tmp_path / "log"
    office.gateway.history.export(folder)
    (bundle,) = [path for path in (folder / "tile" / "entries").rglob("*") if path.is_file()]
    octets = bundle.read_bytes()
    whole = list(read_export(folder))

    assert len(whole) == 8 or len(whole) > 3
    bundle.write_bytes(octets.replace(b"alice", b"carol"))
    with pytest.raises(InputError, match="its checkpoint"):
        list(read_export(folder))
    bundle.write_bytes(octets[:-1])
    with pytest.raises(AuditError, match="cut"):
        list(read_export(folder))
    bundle.write_bytes(b"")
    with pytest.raises(InputError, match="its checkpoint"):
        list(read_export(folder))
    bundle.unlink()
    with pytest.raises(InputError, match="no exported"):
        list(read_export(folder))
    with pytest.raises(InputError, match="no exported"):
        list(read_export(tmp_path))


@pytest.mark.parametrize("entry", [b"", b"[]", b"{}", b'{"at_ms": 1e400}', b"[" * 10_000])
def test_leaf_that_is_no_event_is_named(entry: bytes) -> None:
    """By its place."""
    with pytest.raises(InputError, match="entry 0"):
        list(read_events([entry]))


def test_longest_approval_still_fits_into_a_leaf(office: Any) -> None:
    """512 regions with long codes and eight of the longest texts (tlog-tiles: sixteen bits)."""
    bulletin = office.issue(office.document()).bulletin
    rules: Deployment = office.gateway.deployment
    codes = tuple(f"R{number:031d}" for number in range(512))
    shape = rules.regions["KR-26"]
    regions = Regions(
        tuple(
            shape.model_copy(update={"code": code, "parent": None, "population": 10**10})
            for code in codes
        ),
        {},
        {"mois-2021-12": Census(source="가" * 100, counted_on=AT.date())},
    )
    wide = replace(rules, regions=regions)
    texts = {f"{letter}{letter}": "가" * 1395 for letter in "abcdefgh"}
    largest = type(bulletin)(
        **{
            name: getattr(bulletin, name)
            for name in bulletin.__dataclass_fields__
            if name not in {"regions", "texts"}
        },
        regions=codes,
        texts=texts,
    )
    incident = Incident("i" * 100, "kt", tuple(Service), AT, IncidentState.INVESTIGATING)
    said = said_document(wide, largest, incident)
    detail = {"plan": "0" * 64, "signature": "s" * 300, "confirmation": "1" * 400, "said": said}
    leaf = canonical(event_document(Event(AT, "i" * 105, "approved", "n" * 100, detail)))

    assert len(leaf) <= LEAF_OCTETS_MAX


@pytest.mark.parametrize(
    ("services", "kind", "without", "levels"),
    [
        (("voice",), "first", (), {"kt": "neighbour_or_roaming", "skt": "assured"}),
        (("iptv", "card_payment"), "first", (), {"kt": "assured", "skt": "assured"}),
        (("voice",), "restored", (), {"kt": "assured", "skt": "assured"}),
        (("sms",), "first", ("skt", "lguplus"), {"kt": "none", "skt": "none"}),
    ],
)
def test_reach_follows_from_what_fails(
    office: Any, services: tuple[str, ...], kind: str, without: tuple[str, ...], levels: Any
) -> None:
    """Only a mobile outage silences a carrier, and only until it is over."""
    rules = office.gateway.deployment
    carriers = {
        code: one.model_copy(update={"routes": {"safety": ("sms",)}}) if code in without else one
        for code, one in rules.carriers.items()
    }
    deployment = replace(rules, carriers=carriers)
    incident = Incident("i", "kt", tuple(map(Service, services)), AT, IncidentState.INVESTIGATING)
    found = reach_of(
        deployment,
        incident,
        kind=BulletinKind(kind),
        alert_class="safety",
        regions=("KR-26", "KR-11"),
    )
    levels_found = {one.carrier: one.level for one in found if one.region == "KR-11"}

    assert len(found) == 6
    assert {code: ReachLevel(level) for code, level in levels.items()}.items() <= (
        levels_found.items()
    )
