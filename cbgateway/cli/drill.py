"""`cbgateway drill`: drills planned in public, held, scored."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from cbgateway.app import Gateway
from cbgateway.cli.common import (
    DEFAULT_HOME,
    AsJson,
    Home,
    KeyFile,
    console,
    examples,
    print_json,
    printable,
    read_time,
    reports_errors,
)
from cbgateway.domain.errors import InputError
from cbgateway.service.drills import Drill, Wanted
from cbgateway.signing.keys import SigningKey
from cbgateway.telling import read_export

app = typer.Typer(help="Plan drills in public, and score them.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="Name of the drill.")]


@app.command(
    "plan",
    epilog=examples(
        "cbgateway drill plan 2026-q4 --starts 2026-12-02T14:00:00+09:00 "
        "--ends 2026-12-02T15:00:00+09:00 --region KR-26 "
        "--text 'ko=통신 장애 안내 훈련입니다.' --text 'en=Outage drill.' --key alice.pem"
    ),
)
@reports_errors
def plan(
    name: Name,
    *,
    starts: Annotated[str, typer.Option(help="With the offset from UTC (ISO 8601).")],
    ends: Annotated[str, typer.Option(help="The same.")],
    region: Annotated[list[str], typer.Option(help="Where; again for more.")],
    text: Annotated[
        list[str],
        typer.Option(metavar="LANG=TEXT", help="What people will read; again for more languages."),
    ],
    key: KeyFile,
    home: Home = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Plan a drill: the public pages show it before it happens.

    Its texts begin with the marker of exercises, and may not say that it is no drill.
    """
    wanted = Wanted(
        name,
        read_time("--starts", starts),
        read_time("--ends", ends),
        tuple(dict.fromkeys(region)),
        dict(map(_text, text)),
    )
    with Gateway.open(home) as gateway:
        drill = gateway.telling.plan_drill(wanted, key=SigningKey.load(key))
    _print(drill, as_json=as_json)


@app.command("cancel", epilog=examples("cbgateway drill cancel 2026-q4 --key alice.pem"))
@reports_errors
def cancel(name: Name, *, key: KeyFile, home: Home = DEFAULT_HOME, as_json: AsJson = False) -> None:
    """Call a drill off; the pages say so until its end."""
    with Gateway.open(home) as gateway:
        drill = gateway.telling.cancel_drill(name, key=SigningKey.load(key))
    _print(drill, as_json=as_json)


@app.command(
    "score",
    epilog=examples(
        "cbgateway audit export evidence/ --home exercise",
        "cbgateway drill score 2026-q4 drill-2026-q4 --log evidence/",
    ),
)
@reports_errors
def score(
    name: Name,
    incident: Annotated[str, typer.Argument(help="The exercise's incident.")],
    *,
    log: Annotated[
        Path | None,
        typer.Option(
            help="What `audit export` of the exercise's gateway has written.",
            show_default="this gateway's own history",
        ),
    ] = None,
    home: Home = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Score a drill by what was told in it; the pages show the figures."""
    entries = None if log is None else read_export(log)
    with Gateway.open(home) as gateway:
        drill = gateway.telling.score_drill(name, incident, entries=entries)
    _print(drill, as_json=as_json)


@app.command("list", epilog=examples("cbgateway drill list --json"))
@reports_errors
def list_drills(*, home: Home = DEFAULT_HOME, as_json: AsJson = False) -> None:
    """List every drill, by its beginning."""
    with Gateway.open(home) as gateway:
        found = gateway.telling.drills()
    if as_json:
        print_json([_document(one) for one in found])
        return
    table = Table("drill", "starts", "ends", "regions", "planned by", "")
    for one in found:
        scored = "" if one.score is None else _score(one.score)
        table.add_row(
            one.name,
            one.starts.isoformat(),
            one.ends.isoformat(),
            " ".join(one.regions),
            printable(one.planned_by),
            "called off" if one.is_cancelled else scored,
        )
    console.print(table if found else "No drill was planned yet.")


def _text(given: str) -> tuple[str, str]:
    language, equals, text = given.partition("=")
    if not equals:
        msg = f"--text {given[:40]!r}: write the language first, as in ko=..."
        raise InputError(msg)
    return language, text


def _print(drill: Drill, *, as_json: bool) -> None:
    if as_json:
        print_json(_document(drill))
        return
    state = "called off" if drill.is_cancelled else "planned"
    if drill.score is not None:
        state = _score(drill.score)
    times = f"{drill.starts.isoformat()} to {drill.ends.isoformat()}"
    console.print(f"[bold]{drill.name}[/bold] {times}, {' '.join(drill.regions)}: {state}")
    for language, text in drill.texts.items():
        console.print(f"  {language}: {printable(text)}")


def _score(score: Any) -> str:  # noqa: ANN401 - JSON
    return (
        f"first message after {score['first_notice_s']} s of {score['first_notice_wanted_s']} s, "
        f"{score['promises_kept']} of {score['promises']} promises kept"
    )


def _document(drill: Drill) -> dict[str, Any]:
    return {
        "drill": drill.name,
        "starts": drill.starts.isoformat(),
        "ends": drill.ends.isoformat(),
        "regions": list(drill.regions),
        "texts": dict(drill.texts),
        "planned_by": drill.planned_by,
        "is_cancelled": drill.is_cancelled,
        "score": drill.score,
    }
