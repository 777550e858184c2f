"""`cbgateway keys`: people and machines, what they may do, and the keys that seal."""

from datetime import timedelta
from typing import Annotated

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
    reports_errors,
)
from cbgateway.domain.bulletin import BulletinKind
from cbgateway.domain.delivery import Channel
from cbgateway.domain.errors import InputError
from cbgateway.domain.people import Key, Permission, Person, Severity

app = typer.Typer(help="People, their keys and the regions' sealing keys.", no_args_is_help=True)


OVERLAP_HOURS = 24.0
OVERLAP_HOURS_MAX = 8784  # a year: a key that nobody means to give up is not being replaced
Overlap = Annotated[
    float,
    typer.Option(
        "--overlap-hours",
        help="How long the old key still counts.",
        min=0,
        max=OVERLAP_HOURS_MAX,
    ),
]


@app.command(
    "new",
    epilog=examples(
        "cbgateway keys new alice --submit --region KR",
        "cbgateway keys new bob --approve --region KR-26 --class safety",
        "cbgateway keys new monitor --submit --region KR-26 --kind progress --owner alice",
    ),
)
@reports_errors
def new(  # noqa: PLR0913 - each is an option
    name: Annotated[str, typer.Argument(help="Name of the person or machine.")],
    *,
    submit: Annotated[bool, typer.Option("--submit", help="May issue bulletins.")] = False,
    approve: Annotated[
        bool, typer.Option("--approve", help="May approve what others issued.")
    ] = False,
    region: Annotated[
        list[str] | None, typer.Option(help="May address it and all inside it; again for more.")
    ] = None,
    alert_class: Annotated[
        list[str] | None,
        typer.Option(
            "--class", help="May use it; again for more.", show_default="the country's default"
        ),
    ] = None,
    channel: Annotated[
        list[Channel] | None,
        typer.Option(help="May use it; again for more.", show_default="all"),
    ] = None,
    kind: Annotated[
        list[BulletinKind] | None,
        typer.Option(help="May issue it; again for more.", show_default="all"),
    ] = None,
    severity_max: Annotated[
        Severity, typer.Option(help="No class that is worse.")
    ] = Severity.EXTREME,
    owner: Annotated[
        str, typer.Option(help="For a machine: the person who answers for its key.")
    ] = "",
    home: Home = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Make a key for a person or machine and say what they may do."""
    if not name.isidentifier() or not name.isascii():
        msg = f"name {name!r}: ASCII letters, digits and underscores, beginning with a letter"
        raise InputError(msg)
    if not (submit or approve):
        msg = "say what the person may do: --submit, --approve or both"
        raise InputError(msg)
    if not region:
        msg = "say where: --region, once or more"
        raise InputError(msg)
    with Gateway.open(home) as gateway:
        permission = Permission(
            regions=tuple(region),
            classes=tuple(alert_class or (gateway.deployment.country.default_class,)),
            channels=tuple(channel or Channel),
            severity_max=severity_max,
            kinds=tuple(kind or BulletinKind),
        )
        key, path = gateway.keyring.add_person(
            name, may_submit=submit, may_approve=approve, permission=permission, owner=owner
        )
    if as_json:
        print_json({"name": name, "key_id": key.key_id, "file": str(path)})
    else:
        console.print(f"{name}: key {key.key_id} in {path}; only {owner or name} keeps it")


@app.command("list", epilog=examples("cbgateway keys list", "cbgateway keys list --json"))
@reports_errors
def list_keys(*, home: Home = DEFAULT_HOME, as_json: AsJson = False) -> None:
    """List people with what they may do, and the regions' sealing keys."""
    with Gateway.open(home) as gateway, gateway.store.read() as tx:
        people, regions = tx.people(), tx.region_keys()
        keys = {person.name: tx.person_keys(person.name) for person in people}
    if as_json:
        print_json(
            {
                "people": [_person_report(person, keys[person.name]) for person in people],
                "regions": [{"region": key.holder, **_key_report(key)} for key in regions],
            }
        )
        return
    table = Table("person", "keys", "may", "regions", "classes", "up to", "answers")
    for person in people:
        may = [
            word
            for word, yes in (("submit", person.may_submit), ("approve", person.may_approve))
            if yes
        ]
        table.add_row(
            person.name,
            " ".join(f"{key.key_id}{_remark(key)}" for key in keys[person.name]),
            "revoked" if person.is_revoked else ", ".join(may),
            " ".join(person.permission.regions),
            " ".join(person.permission.classes),
            person.permission.severity_max,
            person.owner,
        )
    console.print(table)
    table = Table("region", "sealing key")
    for key in regions:
        table.add_row(key.holder, f"{key.key_id}{_remark(key)}")
    console.print(table)


def _person_report(person: Person, keys: tuple[Key, ...]) -> dict[str, object]:
    return {
        "name": person.name,
        "may_submit": person.may_submit,
        "may_approve": person.may_approve,
        "regions": list(person.permission.regions),
        "classes": list(person.permission.classes),
        "channels": [channel.value for channel in person.permission.channels],
        "severity_max": person.permission.severity_max.value,
        "kinds": [kind.value for kind in person.permission.kinds],
        "owner": person.owner or None,
        "is_revoked": person.is_revoked,
        "keys": [_key_report(key) for key in keys],
    }


def _key_report(key: Key) -> dict[str, object]:
    return {
        "key_id": key.key_id,
        "since": key.since.isoformat(),
        "until": None if key.until is None else key.until.isoformat(),
        "is_revoked": key.is_revoked,
    }


def _remark(key: Key) -> str:
    if key.is_revoked:
        return " (revoked)"
    return "" if key.until is None else f" (until {key.until.isoformat(timespec='minutes')})"


@app.command(
    "rotate",
    epilog=examples(
        "cbgateway keys rotate alice", "cbgateway keys rotate alice --overlap-hours 0.5"
    ),
)
@reports_errors
def rotate(
    name: Annotated[str, typer.Argument(help="Name of the person or machine.")],
    *,
    overlap_hours: Overlap = OVERLAP_HOURS,
    home: Home = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Give somebody a new key; the old one still counts for a while."""
    with Gateway.open(home) as gateway:
        key, path = gateway.keyring.rotate_person(name, overlap=timedelta(hours=overlap_hours))
    if as_json:
        print_json({"name": name, "key_id": key.key_id, "file": str(path)})
    else:
        console.print(f"{name}: key {key.key_id} in {path}; the old one ends in {overlap_hours} h")


@app.command("rotate-region", epilog=examples("cbgateway keys rotate-region KR-26"))
@reports_errors
def rotate_region(
    region: Annotated[str, typer.Argument(help="Code of the region.")],
    *,
    overlap_hours: Overlap = OVERLAP_HOURS,
    home: Home = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Give a region a new sealing key; publish the keys anew with `keys export`."""
    with Gateway.open(home) as gateway:
        key, path = gateway.keyring.rotate_region(region, overlap=timedelta(hours=overlap_hours))
    if as_json:
        print_json({"region": region, "key_id": key.key_id, "file": str(path)})
    else:
        console.print(f"{region}: sealing key {key.key_id} in {path}")


@app.command(
    "revoke",
    context_settings={"ignore_unknown_options": True},  # one key in 64 begins with a hyphen
    epilog=examples("cbgateway keys revoke alice", "cbgateway keys revoke 3vN0Yc6bq1JmUe2A"),
)
@reports_errors
def revoke(
    name: Annotated[str, typer.Argument(help="Name of a person, or of one key.")],
    *,
    home: Home = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Take a person's permissions or one key back, for good; unsent work on it does not leave."""
    with Gateway.open(home) as gateway:
        what = gateway.keyring.revoke(name)
    if as_json:
        print_json({"name": name, "what": what, "is_revoked": True})
    else:
        console.print(f"{what} {name} counts for nothing any more")


@app.command("export", epilog=examples("cbgateway keys export >published-keys.json"))
@reports_errors
def export(*, home: Home = DEFAULT_HOME) -> None:
    """Print the public sealing keys as a JWK Set, for everybody who checks seals."""
    with Gateway.open(home) as gateway:
        print_json(gateway.keyring.published_keys())
