"""`cbgateway verify`, `site`, `briefing`, `promise` and `text`: what is told beside bulletins."""

import re
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from cbgateway.app import Gateway
from cbgateway.cli.bulletin import BulletinId, print_bulletin
from cbgateway.cli.common import (
    DEFAULT_HOME,
    AsJson,
    Home,
    KeyFile,
    console,
    examples,
    print_json,
    printable,
    reports_errors,
)
from cbgateway.domain.bulletin import BulletinKind, Confidence
from cbgateway.domain.errors import InputError
from cbgateway.interfaces.schema import read_document
from cbgateway.service.reports import bulletin_report
from cbgateway.signing.keys import SigningKey

VERIFY_EXAMPLES = examples("cbgateway verify K7F2Q9", "cbgateway verify k7f-2q9 --json")
site_app = typer.Typer(help="The public pages.", no_args_is_help=True)
briefing_app = typer.Typer(help="What call-centre staff say.", no_args_is_help=True)
promise_app = typer.Typer(help="When people hear again.", no_args_is_help=True)
text_app = typer.Typer(help="Look at a text before anybody is told.", no_args_is_help=True)

Language = Annotated[str, typer.Option(help="Language of the briefing.")]
URL = re.compile(r"https?://[!-~]+")


@reports_errors
def verify(
    code: Annotated[str, typer.Argument(help="Six characters from a message.")],
    *,
    home: Home = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Show the exact official text that a verification code belongs to; exit code 3 if none."""
    with Gateway.open(home) as gateway:
        found = gateway.telling.verify_code(code)
    if as_json:
        print_json(found)
        return
    holds = "holds" if found["holds"] else f"holds no more ({found['state']})"
    console.print(f"[bold]{found['code']}[/bold] is ours: {found['bulletin']}, {holds}")
    console.print(f"  said at {found['said_at']}, mode {found['mode']}")
    for language, text in found["texts"].items():
        console.print(f"  {language}: {printable(text)}")


@site_app.command(
    "export",
    epilog=examples(
        "cbgateway site export /var/www/outages",
        "cbgateway site export public/ --url https://status.example.kr",
    ),
)
@reports_errors
def export_site(
    folder: Annotated[Path, typer.Argument(help="A folder of its own.")],
    *,
    url: Annotated[
        str | None,
        typer.Option(help="Where people find it; site_url in the settings.", show_default=False),
    ] = None,
    home: Home = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Bring a folder with the public pages up to date; only what changed is written.

    `serve` does the same when the settings say site = "folder".
    """
    if url is not None and not URL.fullmatch(url):
        msg = f"--url {url!r} is no address that begins with http:// or https://"
        raise InputError(msg)
    with Gateway.open(home) as gateway:
        done = gateway.telling.export_site(folder, url=url)
    if as_json:
        print_json(
            {
                "folder": str(folder),
                "files": done.files,
                "written": list(done.written),
                "removed": list(done.removed),
            }
        )
    else:
        console.print(
            f"{folder}: {done.files} files, {len(done.written)} written, "
            f"{len(done.removed)} removed"
        )


@briefing_app.command(
    "show",
    epilog=examples(
        "cbgateway briefing show kt-20211025",
        "cbgateway briefing show kt-20211025 --language en --html >briefing.html",
    ),
)
@reports_errors
def show_briefing(
    incident: Annotated[str, typer.Argument(help="Name of the incident.")],
    *,
    language: Language = "ko",
    number: Annotated[
        int | None, typer.Option(help="Of an earlier bulletin.", show_default="the newest", min=1)
    ] = None,
    html: Annotated[bool, typer.Option("--html", help="Print the page.")] = False,
    home: Home = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Show what staff say about an outage, as new as its newest bulletin."""
    with Gateway.open(home) as gateway:
        told = gateway.telling
        if html:
            octets = told.briefing_page(incident, language=language, number=number)
            typer.echo(octets.decode(), nl=False)
            return
        found = told.briefing(incident, language=language, number=number)
    if as_json:
        print_json(found)
        return
    if found["is_superseded"]:
        console.print(f"[red]superseded: {found['newest']} is newer[/red]")
    what = ", ".join(found["what"])
    console.print(f"[bold]{found['bulletin']}[/bold] {found['carrier']}: {what}")
    for name in ("where", "since", "cause", "eta", "eta_words", "next_update_at"):
        value = found[name]
        if value:
            shown = ", ".join(value) if isinstance(value, list) else value
            console.print(f"  {name}: {printable(shown)}")
    for place, line in enumerate(found["script"], start=1):
        console.print(f"  {place}. {printable(line)}")
    for line in (*found["workarounds"], found["compensation"], *found["kind_words"]):
        console.print(f"  · {printable(line)}")
    for line in found["do_not_say"]:
        console.print(f"  [red]not:[/red] {printable(line)}")
    for one in found["contacts"]:
        tried = "" if one["is_verified"] else " [yellow](nobody has confirmed it)[/yellow]"
        console.print(f"  ☎ {printable(one['name'])} {one['contact']}{tried}")
    console.print(f"  read by: {printable(', '.join(found['readers'])) or 'nobody yet'}")


@briefing_app.command(
    "read", epilog=examples("cbgateway briefing read kt-20211025/2 --reader 'desk 7'")
)
@reports_errors
def read_briefing(
    bulletin: BulletinId,
    *,
    reader: Annotated[str, typer.Option(help="Who has read it.")],
    home: Home = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Say that somebody has read a bulletin's briefing."""
    with Gateway.open(home) as gateway:
        is_new = gateway.telling.note_reading(bulletin, reader=reader)
    if as_json:
        print_json({"bulletin": bulletin, "reader": reader.strip(), "is_new": is_new})
    else:
        console.print(f"{bulletin}: {'read' if is_new else 'was read before'} by {reader.strip()}")


@promise_app.command("list", epilog=examples("cbgateway promise list --json"))
@reports_errors
def list_promises(*, home: Home = DEFAULT_HOME, as_json: AsJson = False) -> None:
    """List when people were told that they would hear again, the earliest first."""
    with Gateway.open(home) as gateway:
        found = gateway.telling.promises()
    if as_json:
        print_json(found)
        return
    table = Table("incident", "bulletin", "due", "seconds left", "")
    for one in found:
        late = "[red]missed[/red]" if one["is_missed"] else ""
        name = one["bulletin"] or "first notice"
        table.add_row(one["incident"], name, one["due"], str(one["seconds_left"]), late)
    console.print(table if found else "Nothing is promised.")


@promise_app.command(
    "accept",
    epilog=examples("cbgateway promise accept kt-20211025/3 --key alice.pem --sender alice"),
)
@reports_errors
def accept(
    bulletin: BulletinId,
    *,
    sender: Annotated[str, typer.Option(help="Your name, as `keys list` shows it.")],
    key: KeyFile,
    home: Home = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Submit the "no change yet" that the gateway has drafted after a missed promise.

    Its times are filled anew. A second person approves it like any other.
    """
    with Gateway.open(home) as gateway:
        octets = gateway.telling.accept_document(bulletin, sender=sender)
        record = gateway.revise(bulletin, octets, key=SigningKey.load(key))
    report = bulletin_report(record, ())
    if as_json:
        print_json(report)
    else:
        print_bulletin(report)


@text_app.command(
    "lint",
    epilog=examples(
        "cbgateway text lint text.txt --language ko --carrier kt",
        "echo 'Call 1588-0010' | cbgateway text lint - --language en",
    ),
)
@reports_errors
def lint(
    file: Annotated[Path, typer.Argument(help="A text; - for standard input.")],
    *,
    language: Annotated[str, typer.Option(help="Language of the text.")] = "ko",
    carrier: Annotated[str, typer.Option(help="Whose network failed.")] = "",
    kind: Annotated[BulletinKind, typer.Option(help="Of the bulletin.")] = BulletinKind.FIRST,
    cause: Annotated[str, typer.Option(help="A cause that is known.")] = "",
    confidence: Annotated[
        Confidence, typer.Option(help="How sure the cause is.")
    ] = Confidence.SUSPECTED,
    home: Home = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Look for unverified numbers and links, blame, unconfirmed causes and hard words.

    Exit code 3 when a bulletin with this text would be refused; warnings end with 0.
    """
    octets = read_document(Path("/dev/stdin") if str(file) == "-" else file)
    try:
        text = octets.decode().strip()
    except UnicodeDecodeError as error:
        msg = f"{file}: not UTF-8 text"
        raise InputError(msg) from error
    with Gateway.open(home) as gateway:
        warnings = gateway.telling.lint(
            text,
            language=language,
            carrier=carrier,
            kind=kind,
            cause=cause,
            confidence=confidence,
        )
    if as_json:
        print_json({"warnings": list(warnings)})
        return
    for warning in warnings:
        console.print(f"[yellow]warning: {printable(warning)}[/yellow]")
    if not warnings:
        console.print("Nothing found.")
