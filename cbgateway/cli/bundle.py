"""`cbgateway bundle`: what broadcasters, signs and other carriers' pages get."""

from pathlib import Path
from typing import Annotated

import typer

from cbgateway.app import Gateway
from cbgateway.bundles import check_bundle
from cbgateway.cli.bulletin import BulletinId
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

app = typer.Typer(help="Hand bulletins on to others.", no_args_is_help=True)


@app.command(
    "export",
    epilog=examples(
        "cbgateway bundle export kt-20211025/2 kt-20211025-2.zip",
        "cbgateway bundle export kt-20211025/2 folder/",
    ),
)
@reports_errors
def export(
    bulletin: BulletinId,
    out: Annotated[Path, typer.Argument(help="A new folder, or a file that ends in .zip.")],
    *,
    home: Home = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Write alert, texts, audio script and facts of a bulletin, with hashes and seals.

    The same bulletin gives the same octets.
    """
    with Gateway.open(home) as gateway:
        names = gateway.bundles.export(bulletin, out)
    if as_json:
        print_json({"bulletin": bulletin, "out": str(out), "files": names})
    else:
        console.print(f"{out}: {len(names)} files of {bulletin}")


@app.command("verify", epilog=examples("cbgateway bundle verify kt-20211025-2.zip"))
@reports_errors
def verify(
    bundle: Annotated[Path, typer.Argument(help="A bundle: folder or ZIP file.")],
    *,
    home: Home = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Check that a bundle is as its region sealed it; exit code 5 when it is not."""
    with Gateway.open(home) as gateway, gateway.store.read() as tx:
        manifest = check_bundle(bundle, tx.region_keys())
    if as_json:
        print_json(manifest)
    else:
        shown = printable(f"{manifest['bulletin']}, mode {manifest['mode']}")
        console.print(f"{bundle}: {shown}, sealed by {manifest['region']}")
