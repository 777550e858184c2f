"""What the commands share: options, output, and how errors end a command."""

import functools
import json
import os
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, ParamSpec, TypeVar

import typer
from rich.console import Console
from rich.markup import escape

from cbgateway.domain.errors import (
    AuditError,
    ConfigurationError,
    DeliveryError,
    GatewayError,
    InputError,
    KeyUnusableError,
    PolicyError,
    SignatureInvalidError,
    StoreError,
    StoreFailedError,
)

P = ParamSpec("P")
R = TypeVar("R")

EXIT_USAGE = 2
EXIT_POLICY = 3
EXIT_CARRIER = 4
EXIT_SIGNATURE = 5
EXIT_STORE = 70
EXIT_DISK = 74
EXIT_CONFIGURATION = 78

DEFAULT_HOME = Path("cbgateway-home")

Home = Annotated[
    Path,
    typer.Option(
        "--home",
        envvar="CBGATEWAY_HOME",
        help="The folder the gateway lives in.",
        show_default=str(DEFAULT_HOME),
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, one object.")]
KeyFile = Annotated[
    Path,
    typer.Option(
        "--key",
        envvar="CBGATEWAY_KEY",
        help="Your private key, as `cbgateway keys new` has made it.",
        show_default=False,
    ),
]

console = Console(highlight=False, soft_wrap=True)
errors = Console(stderr=True, highlight=False, soft_wrap=True)


def printable(text: str) -> str:
    """Give a text that came from elsewhere so that it cannot steer the terminal."""
    return escape(harmless(text))


def harmless(text: str) -> str:
    """Give a text with everything that steers a terminal written out."""
    return "".join(c if c.isprintable() or c == "\n" else f"\\x{ord(c):02x}" for c in text)


def read_time(option: str, text: str) -> datetime:
    """Read a time with its offset from UTC.

    Raises:
        InputError: it is none.
    """
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        msg = f"{option} {text!r} is no time in ISO 8601"
        raise InputError(msg) from error
    if at.tzinfo is None:
        msg = f"{option} {text!r} has no offset from UTC, such as +09:00"
        raise InputError(msg)
    return at


def print_json(document: Any) -> None:  # noqa: ANN401 - whatever JSON can say
    """Print a document for programs: UTF-8, two spaces, a newline."""
    sys.stdout.write(json.dumps(document, ensure_ascii=False, indent=2) + "\n")


EXIT_CODES: tuple[tuple[type[GatewayError], int], ...] = (
    (PolicyError, EXIT_POLICY),
    (DeliveryError, EXIT_CARRIER),
    (SignatureInvalidError, EXIT_SIGNATURE),
    (KeyUnusableError, EXIT_SIGNATURE),
    (AuditError, EXIT_SIGNATURE),
    (StoreFailedError, EXIT_DISK),
    (StoreError, EXIT_STORE),
    (ConfigurationError, EXIT_CONFIGURATION),
)
"""The first that an error belongs to counts; everything else is usage."""


def exit_code(error: GatewayError) -> int:
    """Give the exit code that an error ends a command with."""
    return next((code for kind, code in EXIT_CODES if isinstance(error, kind)), EXIT_USAGE)


def reports_errors(command: Callable[P, R]) -> Callable[P, R]:
    """End a command with one clear line, or a problem document under --json."""

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except GatewayError as error:
            status = exit_code(error)
            if kwargs.get("as_json"):
                problem = {
                    "type": f"urn:cbgateway:problem:{error.code}",
                    "title": (type(error).__doc__ or "").splitlines()[0],
                    "detail": str(error),
                    "exit_code": status,
                }
                sys.stderr.write(json.dumps(problem, ensure_ascii=False) + "\n")
            else:
                errors.print(f"{error.code}: {harmless(str(error))}", style="red", markup=False)
            raise typer.Exit(status) from error
        except BrokenPipeError:
            # whoever read our output has gone; there is nobody to tell
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(1) from None

    return wrapped


def examples(*lines: str) -> str:
    """Give the epilog of a command's help: commands that can be copied.

    Each line is a paragraph of its own, because help texts are re-flowed.
    """
    return "\n\n".join(["[bold]Examples[/bold]", *(f"[cyan]{line}[/cyan]" for line in lines)])
