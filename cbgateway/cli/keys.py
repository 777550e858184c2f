"""`cbgateway keys`: people who may submit and approve, and the keys that seal."""

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
from cbgateway.domain.errors import InputError

app = typer.Typer(help="People, their keys and the regions' sealing keys.", no_args_is_help=True)


@app.command(
    "new",
    epilog=examples(
        "cbgateway keys new alice --submit --region KR",
        "cbgateway keys new bob --approve --region KR-26 --class safety",
    ),
)
@reports_errors
def new(
    name: Annotated[str, typer.Argument(help="Name of the person.")],
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
    home: Home = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Make a key for a person and say what the person may do."""
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
        person, path = gateway.add_person(
            name,
            may_submit=submit,
            may_approve=approve,
            regions=tuple(region),
            classes=tuple(alert_class or (gateway.deployment.country.default_class,)),
        )
    if as_json:
        print_json({"name": person.name, "key_id": person.key_id, "file": str(path)})
    else:
        console.print(f"{person.name}: key {person.key_id} in {path}; only {person.name} keeps it")


@app.command("list", epilog=examples("cbgateway keys list", "cbgateway keys list --json"))
@reports_errors
def list_keys(*, home: Home = DEFAULT_HOME, as_json: AsJson = False) -> None:
    """List people with what they may do, and the regions' sealing keys."""
    with Gateway.open(home) as gateway, gateway.store.read() as tx:
        people, regions = tx.people(), tx.region_keys()
    if as_json:
        print_json(
            {
                "people": [
                    {
                        "name": person.name,
                        "key_id": person.key_id,
                        "may_submit": person.may_submit,
                        "may_approve": person.may_approve,
                        "regions": list(person.regions),
                        "classes": list(person.classes),
                        "is_revoked": person.is_revoked,
                    }
                    for person in people
                ],
                "regions": [{"region": key.region, "key_id": key.key_id} for key in regions],
            }
        )
        return
    table = Table("person", "key", "may", "regions", "classes")
    for person in people:
        may = [
            word
            for word, yes in (("submit", person.may_submit), ("approve", person.may_approve))
            if yes
        ]
        table.add_row(
            person.name,
            person.key_id,
            "revoked" if person.is_revoked else ", ".join(may),
            " ".join(person.regions),
            " ".join(person.classes),
        )
    console.print(table)
    table = Table("region", "sealing key")
    for key in regions:
        table.add_row(key.region, key.key_id)
    console.print(table)


@app.command("revoke", epilog=examples("cbgateway keys revoke alice"))
@reports_errors
def revoke(
    name: Annotated[str, typer.Argument(help="Name of the person.")],
    *,
    home: Home = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Take a person's permissions back, for good; what they approved and is unsent stays unsent."""
    with Gateway.open(home) as gateway:
        gateway.revoke_person(name)
    if as_json:
        print_json({"name": name, "is_revoked": True})
    else:
        console.print(f"{name} may do nothing any more")


@app.command("export", epilog=examples("cbgateway keys export >published-keys.json"))
@reports_errors
def export(*, home: Home = DEFAULT_HOME) -> None:
    """Print the public sealing keys as a JWK Set, for everybody who checks seals."""
    with Gateway.open(home) as gateway:
        print_json(gateway.published_keys())
