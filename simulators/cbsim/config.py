"""The whole of a simulated message centre from one TOML file and flags."""

import dataclasses
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cbsim.accounts import Account, read_accounts
from cbsim.scenario import Scenario
from cbsim.settings import (
    SettingsError,
    choice,
    flag,
    list_of,
    read_table,
    setting,
    table_of,
    text,
    unknown,
    whole,
    words,
)

FILE_OCTETS_MAX = 1 << 20
"""A configuration is written by people; more is another file."""
VERSIONS = {"3.4": 0x34, "5.0": 0x50}
PORT_MAX = 65_535


@dataclass(frozen=True, slots=True)
class Centre:
    """What is fixed while the simulator runs."""

    name: str = setting("cbsim", text(15, least=1), "system_id of the centre")
    host: str = setting("127.0.0.1", words, "address to listen on, IPv6 as well; empty for all")
    port: int = setting(2775, whole(0, PORT_MAX), "port to listen on; 0 for any free one")
    version: str = setting("5.0", choice(*VERSIONS), "SMPP version that the centre speaks")
    tls_cert: str = setting("", words, "file with a certificate chain (PEM); TLS with tls_key")
    tls_key: str = setting("", words, "file with its private key (PEM)")
    web: str = setting(
        "", words, "[HOST:]PORT of the page and the control by HTTP; 0 for any free port"
    )
    fast: bool = setting(
        False, flag, "submit_sm are answered unread, and their headers alone remembered"
    )
    outbind: tuple[str, ...] = setting(
        (), list_of(words), "ESMEs to connect to and ask to bind, HOST:PORT"
    )
    accounts: tuple[Account, ...] = setting(
        (), read_accounts, "who may bind, one [[accounts]] each; everybody when there is none"
    )
    lists: Mapping[str, tuple[str, ...]] = setting(
        {},
        table_of(text(20, least=1), list_of(text(20, least=1))),
        "distribution lists for submit_multi, name to numbers",
    )

    def __post_init__(self) -> None:
        """Refuse half a TLS."""
        if bool(self.tls_cert) != bool(self.tls_key):
            raise ValueError("tls_cert and tls_key go together")


@dataclass(frozen=True, slots=True)
class Configuration:
    """A centre and how it behaves."""

    centre: Centre = dataclasses.field(default_factory=Centre)
    scenario: Scenario = dataclasses.field(default_factory=Scenario)

    def changed(self, table: Mapping[str, Any]) -> "Configuration":
        """Give it with some settings changed; those of both classes stand side by side.

        Raises:
            SettingsError: a key is unknown, or its value is wrong.
        """
        fixed = {one.name for one in dataclasses.fields(Centre)}
        playable = {one.name for one in dataclasses.fields(Scenario)}
        for key in table:
            if key not in fixed | playable:
                raise SettingsError(unknown(key, key, dict.fromkeys(fixed | playable)))
        return Configuration(
            read_table(self.centre, {key: table[key] for key in table if key in fixed}),
            read_table(self.scenario, {key: table[key] for key in table if key in playable}),
        )


def load(path: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises:
        SettingsError: it is no TOML, or too long.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        octets = file.read(FILE_OCTETS_MAX + 1)
    if len(octets) > FILE_OCTETS_MAX:
        raise SettingsError(f"{path}: more than {FILE_OCTETS_MAX} octets")
    try:
        return tomllib.loads(octets.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: {error}") from error


def configure(path: Path | None, tables: Iterable[Mapping[str, Any]]) -> Configuration:
    """Read a configuration: a file, then what flags say, the later the stronger.

    Raises:
        SettingsError: a key is unknown, or its value is wrong; names the file where it is there.
        OSError: the file cannot be read.
    """
    configuration = Configuration()
    if path is not None:
        try:
            configuration = configuration.changed(load(path))
        except SettingsError as error:
            message = str(error)
            prefix = "" if message.startswith(f"{path}:") else f"{path}: "
            raise SettingsError(f"{prefix}{message}") from error
    for table in tables:
        configuration = configuration.changed(table)
    return configuration
