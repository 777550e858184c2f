"""What a story's gateway has told beside the phones: pages, briefing, report, and the score."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from cbgateway.cli.demo_clock import machine_s
from cbgateway.cli.demo_story import Bulletin
from cbgateway.domain.errors import InputError
from cbgateway.public.report_page import to_html
from cbgateway.service import postmortem
from cbgateway.telling import Telling

Displays = Mapping[tuple[int, str], datetime]
"""When a bulletin was first seen on a phone of a carrier, by its number and the carrier's code."""


@dataclass(frozen=True, slots=True)
class After:
    """What was told, and how well.

    Attributes:
        score: what `cbgateway replay` prints.
        files: where briefing, public pages and report are, by what they are.
    """

    score: dict[str, Any]
    files: dict[str, str]


def tell_afterwards(
    telling: Telling,
    incident: str,
    *,
    region: str,
    displays: Displays,
    bulletins: list[Bulletin],
    folder: Path,
) -> After:
    """Give pages, briefing and report their turn, and score the story by the report.

    Args:
        telling: of the gateway.
        incident: its name.
        region: that phones are in.
        displays: what phones have shown, and when.
        bulletins: what was issued.
        folder: where pages, briefing and report are written.

    Raises:
        InputError: the folder cannot be written, or is somebody else's.
    """
    for (number, carrier), at in sorted(displays.items()):
        telling.note_display(
            f"{incident}/{number}", carrier=carrier, region=region, at=at, source="cbsim handset"
        )
    site, briefing = folder / "site", folder / "briefing.html"
    begun_s = machine_s()
    exported = telling.export_site(site)
    site_s = machine_s() - begun_s
    begun_s = machine_s()
    page = telling.briefing_page(incident, language="ko")
    briefing_s = machine_s() - begun_s
    begun_s = machine_s()
    report = telling.report(incident)
    report_s = machine_s() - begun_s
    _write(briefing, page)
    _write(folder / "report.html", to_html(telling.deployment.words["en"], report))
    _write(folder / "report.json", postmortem.to_json(report).encode())
    deadlines = report["deadlines"]
    promised = [one for one in deadlines["updates"] if one["is_kept"] is not None]
    score = {
        "first_notice_wanted_s": deadlines["first_notice"]["wanted_s"],
        "promises": len(promised),
        "promises_kept": sum(one["is_kept"] for one in promised),
        "corrections_after_s": [one["after_s"] for one in report["corrections"]],
        "correction_shown_after_s": _corrected_s(displays, bulletins),
        "site_files": exported.files,
        "page_octets_max": max(path.stat().st_size for path in site.rglob("*.html")),
        "site_s": round(site_s, 3),
        "briefing_s": round(briefing_s, 3),
        "report_s": round(report_s, 3),
    }
    files = {
        "briefing": str(briefing),
        "public_page": str(site / "index.html"),
        "report": str(folder / "report.html"),
    }
    return After(score, files)


def _write(path: Path, octets: bytes) -> None:
    try:
        path.write_bytes(octets)
    except OSError as error:
        msg = f"{path}: {error.strerror}"
        raise InputError(msg) from error


def _corrected_s(displays: Displays, bulletins: list[Bulletin]) -> float | None:
    """Give the story's seconds from the first wrong screen to the first corrected one."""
    wrong = [one.number for one in bulletins if one.kind == "correction"]
    if not wrong:
        return None
    shown = {
        number: min(at for (own, _), at in displays.items() if own == number)
        for number in {own for own, _ in displays}
    }
    if wrong[0] not in shown or wrong[0] - 1 not in shown:
        return None
    return round((shown[wrong[0]] - shown[wrong[0] - 1]).total_seconds(), 1)
