"""`cbgateway demo`: the outage of 25 October 2021, told to the phones of three carriers."""

import asyncio
import io
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from cbgateway.cli.common import AsJson, console, errors, examples, print_json, reports_errors
from cbgateway.cli.demo_run import Run
from cbgateway.cli.demo_story import (
    KT_2021,
    Story,
    failures,
)
from cbgateway.cli.demo_view import View
from cbgateway.domain.bulletin import BulletinKind
from cbgateway.domain.errors import InputError

EXAMPLES = examples(
    "cbgateway demo",
    "cbgateway demo --keep told   # briefing, public pages and report stay there",
    "cbgateway demo --json | jq .carriers",
    "cbgateway demo --port 2775 --seconds 60   # slow, on ports that a capture can watch",
)

EXIT_DOES_NOT_HOLD = 1


@reports_errors
def demo(
    *,
    phones: Annotated[int, typer.Option(help="Phones of each carrier.", min=20, max=20_000)] = 200,
    seconds: Annotated[
        float, typer.Option(help="Seconds that the 89 minutes take.", min=5, max=3600)
    ] = 18,
    port: Annotated[
        int | None,
        typer.Option(
            help="First of three ports for the message centres.",
            min=1024,
            max=65533,
            show_default="free ones",
        ),
    ] = None,
    picture: Annotated[
        Path | None, typer.Option(help="Write the last screen to this SVG file.")
    ] = None,
    keep: Annotated[
        Path | None, typer.Option(help="Keep briefing, public pages and report in this folder.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Replay the outage of 25 October 2021 in compressed time, with real SMPP over TCP.

    Alarms over MQTT become a suspected incident with a draft; alice completes it, bob approves.
    KT's message centre is down until 12:40: the other carriers' phones learn at once, KT's get
    only the newest bulletin when it returns. Ends with exit code 1 if anything does not hold.
    """
    play(
        KT_2021,
        phones=phones,
        seconds=seconds,
        port=port,
        picture=picture,
        keep=keep,
        as_json=as_json,
    )


def play(
    story: Story,
    *,
    phones: int,
    seconds: float,
    port: int | None,
    picture: Path | None,
    as_json: bool,
    keep: Path | None = None,
) -> None:
    """Let a story happen and say what came of it; exit code 1 if anything does not hold."""
    with tempfile.TemporaryDirectory(prefix="cbgateway-demo-") as folder:
        run = Run(Path(folder), story, phones=phones, seconds=seconds, first_port=port, keep=keep)
        summary = asyncio.run(run.run(live=not as_json))
    if keep is None:
        summary["files"] = None  # gone with the folder
    problems = failures(summary, story)
    if picture is not None:
        _save_picture(run.view, picture)
    if as_json:
        print_json(summary)
    else:
        _print_summary(story, summary, problems, run.view.names)
    for problem in problems:
        errors.print(problem, style="red", markup=False)
    if problems:
        raise typer.Exit(EXIT_DOES_NOT_HOLD)


def _print_summary(
    story: Story, summary: dict[str, Any], problems: list[str], names: dict[str, str]
) -> None:
    console.print()
    for line in (
        *_automation_lines(summary["automation"]),
        *_phone_lines(story, summary, names),
        *_enquiry_lines(summary["enquiry"]),
        *_score_lines(summary["score"]),
        *_told_lines(summary),
        f"On the day: {story.really}",
    ):
        console.print(line, markup=False)
    if not problems:
        console.print("[bold green]Everything holds.[/bold green]")


def _automation_lines(automation: dict[str, Any] | None) -> Iterator[str]:
    """Say what became of alarms, where there were any."""
    if automation is not None:
        yield (
            f"Alarms: {automation['alarms']} over MQTT became {automation['incidents']} suspected "
            f"incident with a draft and {automation['orders']} orders, until alice and bob decided."
        )


def _enquiry_lines(enquiry: dict[str, Any] | None) -> Iterator[str]:
    """Say what somebody asked and was answered, where anybody did."""
    if enquiry is not None:
        yield f"A phone asked {enquiry['question']!r} by SMS and showed: {enquiry['answer']}"


def _phone_lines(story: Story, summary: dict[str, Any], names: dict[str, str]) -> Iterator[str]:
    """Say what phones have shown, and when."""
    minutes, rest_s = divmod(summary["first_notice_s"] or 0, 60)
    first = [names[code] for code, one in summary["carriers"].items() if _shown(one, 1)]
    yield (
        f"First notice {minutes:.0f} min {rest_s:.0f} s after it began, "
        f"on the phones of {' and '.join(first) or 'nobody'}."
    )
    for code, counts in summary["carriers"].items():
        shown = ", ".join(
            f"bulletin {number}: {one['phones']}" for number, one in counts["shown"].items()
        )
        most = max((one["most"] for one in counts["shown"].values()), default=0)
        yield (
            f"{names[code]}: {counts['phones']} phones; showed {shown}; "
            f"each at most {most} time(s) on one phone."
        )
    for bulletin in summary["bulletins"]:
        if bulletin["kind"] == BulletinKind.RESTORED:
            told = ", ".join(
                f"{_shown(one, bulletin['number'])} of {one['phones']} phones of {names[code]}"
                for code, one in summary["carriers"].items()
            )
            yield f"Restoration told, to {names[story.carrier]}'s own as well: {told}."
    yield (
        f"Seals: {summary['seals_verified']} of {summary['screens']} screens verified "
        "against the published keys."
    )


def _shown(counts: dict[str, Any], number: int) -> int:
    """Count a carrier's phones that showed a bulletin."""
    return int(counts["shown"].get(str(number), {"phones": 0})["phones"])


def _score_lines(score: dict[str, Any]) -> Iterator[str]:
    yield f"Updates at the promised times: {score['promises_kept']} of {score['promises']}."
    if score["correction_shown_after_s"] is not None:
        yield (
            f"The first corrected screen came {score['correction_shown_after_s']:.0f} s after the "
            "first wrong one."
        )
    yield (
        f"From an approval to the first screen {score['approval_to_screen_s']:.2f} s at most, on "
        "this machine's clock."
    )


def _told_lines(summary: dict[str, Any]) -> Iterator[str]:
    """Say where briefing, public pages and report are, and what they took."""
    score = summary["score"]
    files: dict[str, str] = summary["files"] or {}

    def where(what: str) -> str:
        return files.get(what, "not kept; --keep FOLDER keeps it")

    yield f"Call-centre briefing in {score['briefing_s'] * 1000:.0f} ms: {where('briefing')}"
    yield (
        f"Public pages: {score['site_files']} files in {score['site_s'] * 1000:.0f} ms, none above "
        f"{score['page_octets_max']} octets: {where('public_page')}"
    )
    yield f"Report at the end in {score['report_s'] * 1000:.0f} ms: {where('report')}"


def _save_picture(view: View, path: Path) -> None:
    """Write the last screen as SVG."""
    recorder = Console(record=True, width=130, file=io.StringIO(), highlight=False)
    recorder.print(view.render(recorder.width))
    svg = recorder.export_svg(title="cbgateway demo")
    svg = re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL)  # nothing is fetched to show it
    try:
        path.write_text(svg, "utf-8")
    except OSError as error:
        msg = f"{path}: {error.strerror}"
        raise InputError(msg) from error
