"""The report after an incident, for people: as a page and as Markdown."""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

from cbgateway.profiles.words import LanguageWords, ReportWords
from cbgateway.public.markup import Child, Markup, join, tag
from cbgateway.public.style import REPORT_STYLE, STYLE
from cbgateway.service.postmortem import LOG, NOT_KNOWN

Rows = list[tuple[str, ...]]
Section = tuple[str, tuple[str, ...], Rows]
"""Heading, names of the columns, rows."""

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?[+-]\d\d:\d\d")
MARKDOWN_SPECIAL = "\\`*_{}[]()#+-.!|<>~&"


def sections(words: LanguageWords, report: Mapping[str, Any]) -> list[Section]:
    """Give the tables of a report, in order."""
    labels = words.report
    return [
        (labels.figures, (labels.figure, labels.value, labels.source), _figures(labels, report)),
        (
            labels.deadlines,
            (labels.figure, labels.wanted, labels.took, labels.result),
            _promises(labels, report),
        ),
        (
            labels.reach,
            (
                words.page.where,
                labels.carrier,
                labels.level,
                labels.accepted_at,
                labels.broadcast_at,
                labels.cells,
                labels.displayed_at,
                labels.population,
                labels.uncovered,
                labels.source,
            ),
            [_reach_row(labels, report, row) for row in report["reach"]],
        ),
        (
            labels.deliveries,
            (labels.carrier, words.page.state, "p50 (s)", "p95 (s)"),
            [
                (
                    row["carrier"],
                    ", ".join(f"{state} {count}" for state, count in row["states"].items()),
                    _shown(labels, row["approval_to_acceptance_p50_s"]["value"]),
                    _shown(labels, row["approval_to_acceptance_p95_s"]["value"]),
                )
                for row in report["deliveries"]
            ],
        ),
        (
            labels.corrections,
            (labels.wrong, labels.corrected_by, labels.after_s),
            [(row["of"], row["bulletin"], str(row["after_s"])) for row in report["corrections"]],
        ),
        (
            labels.bulletins,
            (labels.subject, words.page.as_sent, words.page.code, words.page.official_text),
            [
                (one["bulletin"], _when(report, one["approved_at"]), one["code"], text)
                for one in report["bulletins"]
                for text in one["texts"].values()
            ],
        ),
        (
            labels.timeline,
            (labels.at, labels.subject, labels.event, labels.actor, labels.detail),
            [
                (
                    _when(report, line["at"]),
                    line["subject"],
                    line["what"],
                    line["actor"],
                    _detail(line["detail"]),
                )
                for line in report["timeline"]
            ],
        ),
    ]


def _figures(labels: ReportWords, report: Mapping[str, Any]) -> Rows:
    times = report["times"]
    named = [
        (labels.detected, report["detected"]),
        (labels.ended, report["ended"]),
        (labels.to_submission, times["to_submission_s"]),
        (labels.to_approval, times["to_approval_s"]),
        (labels.to_acceptance, times["to_first_acceptance_by_a_carrier_s"]),
        (labels.to_broadcast, times["to_first_broadcast_s"]),
        (labels.to_display, times["to_first_display_s"]),
        (labels.compensation_due, report["deadlines"]["compensation_notice_due"]),
    ]
    return [
        (name, _when(report, _shown(labels, one["value"])), _source(labels, one["source"]))
        for name, one in named
    ]


def _promises(labels: ReportWords, report: Mapping[str, Any]) -> Rows:
    deadlines = report["deadlines"]
    first = deadlines["first_notice"]
    said = {True: labels.kept, False: labels.missed, None: labels.open}
    rows: Rows = [
        (
            f"{labels.first_notice} ({deadlines['profile']})",
            f"{first['wanted_s']} s",
            f"{first['took_s']} s",
            said[first["is_kept"]],
        )
    ]
    rows += [
        (
            one["bulletin"],
            _when(report, one["due"]),
            _when(report, _shown(labels, one["told"])),
            said[one["is_kept"]],
        )
        for one in deadlines["updates"]
    ]
    return rows


def _reach_row(
    labels: ReportWords, report: Mapping[str, Any], row: Mapping[str, Any]
) -> tuple[str, ...]:
    return (
        row["region"],
        row["carrier"],
        " → ".join(labels.levels.get(level, level) for level in row["levels"]),
        _when(report, _shown(labels, row["first_accepted_at"]["value"])),
        _when(report, _shown(labels, row["first_broadcast_at"]["value"])),
        _cells(labels, row),
        _when(report, _shown(labels, row["first_display_at"]["value"])),
        _shown(labels, row["population"]["value"]),
        _shown(labels, row["population_uncovered_by_all_carriers"]["value"]),
        "; ".join([_counted(labels, row["population"]), *_logs(labels, row)]),
    )


def _logs(labels: ReportWords, row: Mapping[str, Any]) -> Iterable[str]:
    """Name the carriers' logs that figures of a row come from, each once."""
    names = ("first_broadcast_at", "cells_reached", "cells_failed")
    told = [row[name]["source"] for name in names if row[name]["value"] is not None]
    return (_source(labels, source) for source in dict.fromkeys(told))


def _cells(labels: ReportWords, row: Mapping[str, Any]) -> str:
    """Say in how many cells it was on air, and in how many it should have been and was not."""
    reached, failed = row["cells_reached"]["value"], row["cells_failed"]["value"]
    if reached is None and failed is None:
        return labels.not_known
    return f"{_shown(labels, reached)} / {_shown(labels, failed)}"


def _shown(labels: ReportWords, value: object) -> str:
    if value is None:
        return labels.not_known
    return f"{value:,}" if isinstance(value, int) else str(value)


def _when(report: Mapping[str, Any], text: str) -> str:
    """Write a time as the country's clocks show it; gives back what is none."""
    if not TIME.fullmatch(text):
        return text
    zone = timezone(timedelta(minutes=report["utc_offset_min"]))
    return f"{datetime.fromisoformat(text).astimezone(zone):%Y-%m-%d %H:%M:%S}"


def _source(labels: ReportWords, source: str) -> str:
    return {NOT_KNOWN: labels.not_known, LOG: labels.history}.get(source, source)


def _counted(labels: ReportWords, population: Mapping[str, Any]) -> str:
    """Say who counted people, and when, and whether anybody has looked that up."""
    source = _source(labels, population["source"])
    is_plain = population["value"] is None or population["is_verified"]
    return source if is_plain else f"{source} ({labels.unverified})"


def _detail(detail: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in sorted(detail.items()))


def heading(words: LanguageWords, report: Mapping[str, Any]) -> str:
    """Give the report's title."""
    return f"{words.report.title}: {report['incident']['id']} ({report['mode']})"


def _clocks(words: LanguageWords, report: Mapping[str, Any]) -> str:
    """Say by which clocks times are given."""
    hours, minutes = divmod(abs(report["utc_offset_min"]), 60)
    sign = "-" if report["utc_offset_min"] < 0 else "+"
    return f"{words.report.clocks} UTC{sign}{hours:02d}:{minutes:02d}"


def to_html(words: LanguageWords, report: Mapping[str, Any]) -> bytes:
    """Make the page."""
    body: list[Child] = [tag("h1", heading(words, report)), tag("p", _clocks(words, report))]
    for name, columns, rows in sections(words, report):
        if rows:
            body += [tag("h2", name), _table(columns, rows)]
    body += [tag("h2", words.report.lessons), tag("p", "…")]
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width,initial-scale=1"),
        tag("title", heading(words, report)),
        Markup(f"<style>{STYLE}{REPORT_STYLE}</style>"),
    )
    whole = tag("html", head, tag("body", tag("main", body)), lang=words.code)
    return join([Markup("<!doctype html>"), whole]).encode() + b"\n"


def _table(columns: Sequence[str], rows: Rows) -> Markup:
    head = tag("tr", [tag("th", name, scope="col") for name in columns]) if any(columns) else None
    made = tag("table", head, [tag("tr", [tag("td", cell) for cell in row]) for row in rows])
    return tag("div", made, class_="scroll")


def to_markdown(words: LanguageWords, report: Mapping[str, Any]) -> str:
    """Make the same as Markdown, in which nothing of the report is taken for markup."""
    lines = [f"# {_plain(heading(words, report))}", "", _plain(_clocks(words, report)), ""]
    for name, columns, rows in sections(words, report):
        if rows:
            lines += [f"## {_plain(name)}", "", *_markdown_table(columns, rows), ""]
    lines += [f"## {_plain(words.report.lessons)}", "", "…"]
    return "\n".join(lines) + "\n"


def _markdown_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [
        "| " + " | ".join(map(_plain, columns)) + " |",
        "|" + "---|" * len(columns),
        *("| " + " | ".join(map(_plain, row)) + " |" for row in rows),
    ]


def _plain(text: str) -> str:
    """Write a text so that Markdown takes nothing in it for its own."""
    return "".join(
        f"\\{character}" if character in MARKDOWN_SPECIAL else character
        for character in text.replace("\n", " ")
    )
