"""`cbgateway enquiries`: what people ask by short message."""

from typing import Annotated, Any

import typer
from rich.table import Table

from cbgateway.app import Gateway
from cbgateway.cli.common import (
    DEFAULT_HOME,
    AsJson,
    Home,
    console,
    examples,
    print_json,
    printable,
    reports_errors,
)

app = typer.Typer(help="What people ask by short message.", no_args_is_help=True)

Limit = Annotated[int, typer.Option(min=1, max=10_000, help="How many at most.")]


@app.command(
    "status", epilog=examples("cbgateway enquiries status", "cbgateway enquiries status --json")
)
@reports_errors
def status(*, home: Home = DEFAULT_HOME, as_json: AsJson = False) -> None:
    """Show how many people asked, how many were answered, and how soon."""
    with Gateway.open(home) as gateway, gateway.store.read() as tx:
        found = gateway.asking.summary(tx)
    if as_json:
        print_json(found)
        return
    for code, one in found.items():
        console.print(
            f"[bold]{code}[/bold] ({one['number']}): {one['asked']} asked, "
            f"{one['answered']} answered{_within(one, 3.0)}, {one['waiting']} waiting"
        )
        names = ("limited", "blocked", "late", "refused", "in_doubt")
        rest = ", ".join(f"{one[name]} {name.replace('_', ' ')}" for name in names)
        console.print(f"  {rest}; {one['subscribers']} subscribers")
    if not found:
        console.print(NOBODY, markup=False)


@app.command(
    "questions",
    epilog=examples("cbgateway enquiries questions", "cbgateway enquiries questions --json"),
)
@reports_errors
def questions(*, limit: Limit = 20, home: Home = DEFAULT_HOME, as_json: AsJson = False) -> None:
    """List what was asked and not answered, the most frequent first; digits are masked."""
    with Gateway.open(home) as gateway, gateway.store.read() as tx:
        found = gateway.asking.questions(tx, limit=limit)
    if as_json:
        print_json(found)
        return
    table = Table("asked", "question", "by", "last")
    for one in found:
        source = printable(one["source"])
        table.add_row(str(one["asked"]), printable(one["question"]), source, one["last_at"])
    console.print(table if found else "No question waits.")


@app.command(
    "note",
    epilog=examples(
        "cbgateway enquiries note '카드 결제는 언제 되나요?' --source 'desk 7'",
    ),
)
@reports_errors
def note(
    question: Annotated[str, typer.Argument(help="What somebody asked.")],
    *,
    source: Annotated[str, typer.Option(help="Who was asked; no name of whoever asked.")],
    home: Home = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Add a question that a call centre could not answer; it is listed beside the next draft."""
    with Gateway.open(home) as gateway:
        kept = gateway.asking.note(question, source=source)
    if as_json:
        print_json({"question": kept, "source": source.strip()})
    else:
        console.print(f"noted: {printable(kept)}")


@app.command(
    "reports",
    epilog=examples("cbgateway enquiries reports", "cbgateway enquiries reports --json"),
)
@reports_errors
def reports(*, home: Home = DEFAULT_HOME, as_json: AsJson = False) -> None:
    """List how many people say that something does not work, by carrier, region and hour."""
    with Gateway.open(home) as gateway, gateway.store.read() as tx:
        found = gateway.asking.reports(tx)
    if as_json:
        print_json(found)
        return
    table = Table("hour", "carrier", "region", "reports")
    for one in found:
        table.add_row(one["hour"], one["carrier"], one["region"], str(one["reports"]))
    console.print(table if found else "Nobody reports anything.")


NOBODY = "Nobody is answered: cbgateway.toml has no carriers under [enquiries]."


def _within(one: dict[str, Any], limit_s: float) -> str:
    """Say what share of the answers came within a time."""
    below = next(count for limit, count in one["latency_s_buckets"] if limit == limit_s)
    return f" ({below / one['answered']:.1%} within {limit_s:g} s)" if one["answered"] else ""
