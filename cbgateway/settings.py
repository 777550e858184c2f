"""Settings of one gateway: what its home folder's cbgateway.toml says."""

import difflib
import ipaddress
import re
import ssl
import stat
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from cbgateway.domain.bulletin import Mode
from cbgateway.domain.errors import InputError, KeyUnusableError
from cbgateway.profiles.models import BINDS_MAX, SMPP_WINDOW_MAX, Bind

FILE_NAME = "cbgateway.toml"
PASSWORD_CHARACTERS_MAX = 8  # SMPP 3.4 5.2.2: nine octets with the final NUL
CBSP_PORT = 48049
PROBLEMS_MAX = 20  # faults named before the rest is only counted
OTHERS = stat.S_IRWXG | stat.S_IRWXO


HOSTS_MAX = 8
"""Places of one peer: each costs a pause before a place that answers is found."""


def split_host(text: str, port: int) -> tuple[str, int]:
    """Take HOST, HOST:PORT or [IPV6]:PORT apart; `port` is for those without one.

    Raises:
        ValueError: it is none of these.
    """
    match = _HOST.fullmatch(text)
    if match is None:
        msg = f"{text!r} is no HOST, HOST:PORT or [IPV6]:PORT"
        raise ValueError(msg)
    host = match["bracketed"] or match["bare"] or match["host"]
    given = int(match["port"] or port)
    if not 1 <= given <= PORT_MAX:
        msg = f"{text!r}: a port is 1 to {PORT_MAX}"
        raise ValueError(msg)
    return host, given


PORT_MAX = 65_535
_HOST = re.compile(
    r"(?:\[(?P<bracketed>[0-9A-Fa-f:.%]+)\]|(?P<host>[^:\s\[\]]+))(?::(?P<port>[0-9]{1,5}))?"
    r"|(?P<bare>[0-9A-Fa-f]*:[0-9A-Fa-f]*:[0-9A-Fa-f:.]*)",
    re.ASCII,
)


def _host_and_port(text: str) -> str:
    split_host(text, 1)
    return text


HostAndPort = Annotated[str, AfterValidator(_host_and_port)]


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class OutbindSettings(_Settings):
    """Where a peer may connect to us, to have us bind; its profile's `outbind` says as what."""

    host: str = Field(default="127.0.0.1", min_length=1)
    port: Annotated[int, Field(ge=1, le=PORT_MAX)]
    system_id: str = Field(min_length=1, max_length=15)
    """What the peer calls itself."""
    password_file: Path
    """What it proves that with; whoever knows it learns our own password."""


class CarrierSettings(_Settings):
    """One carrier's peer: where it is, and who we are to it."""

    mode: Mode
    host: str = Field(min_length=1)
    port: Annotated[int, Field(ge=1, le=65535)]
    more_hosts: Annotated[tuple[HostAndPort, ...], Field(max_length=HOSTS_MAX - 1)] = ()
    """Other places of the same peer, such as 10.0.0.2 or 10.0.0.2:2776; the next one is tried after
    each connection that failed or ended."""
    system_id: str = Field(min_length=1, max_length=15)
    password_file: Path
    is_laboratory: bool = False
    """Says that a peer elsewhere reaches no real phones; mode test needs that said."""
    is_tunnel: bool = False
    """Says that a peer on this machine is the end of a tunnel; mode live needs that said."""
    messages_per_s: Annotated[float, Field(gt=0, le=1_000_000)] | None = None
    """Overrides the carrier profile's pacing of each region."""
    reconnect_delay_max_s: Annotated[float, Field(gt=0)] | None = None
    """Overrides the carrier profile, for peers that are near."""
    window_requests_max: Annotated[int, Field(ge=1, le=SMPP_WINDOW_MAX)] | None = None
    """Overrides the carrier profile; so many messages may be in doubt after a crash."""
    more_binds: Annotated[tuple[Bind, ...], Field(max_length=BINDS_MAX - 1)] | None = None
    """Overrides the carrier profile: what we bind as, beside the profile's one bind."""
    tls_ca_file: Path | None = None
    """Speaks TLS, and trusts no other certificates than those that these authorities gave."""
    tls_server_name: str | None = None
    """What the peer's certificate is for, where that is not the host."""

    outbind: OutbindSettings | None = None
    """Waits for the peer to connect, beside connecting to it."""

    @model_validator(mode="after")
    def _outbind_without_tls(self) -> Self:
        if self.outbind is not None and self.tls_ca_file is not None:
            msg = "outbind is not spoken over TLS; leave out one of outbind and tls_ca_file"
            raise ValueError(msg)
        return self

    @property
    def places(self) -> tuple[tuple[str, int], ...]:
        """Where the peer is: host and port of each, the first one first."""
        others = (split_host(one, self.port) for one in self.more_hosts)
        return ((self.host, self.port), *others)


class ControllerSettings(_Settings):
    """One base station controller: where it is, and which network it belongs to."""

    mode: Mode
    network: str
    """Code of a network profile."""
    role: Literal["connect", "listen"] = "connect"
    """Whether we connect to it, as TS 48.049 has it, or listen for it."""
    host: str = Field(min_length=1)
    """Where it listens; with role listen, the address that we listen on."""
    port: Annotated[int, Field(ge=1, le=65535)] = CBSP_PORT
    source: str = ""
    """With role listen, the address that it connects from; nobody else is let in."""
    is_laboratory: bool = False
    is_tunnel: bool = False

    @model_validator(mode="after")
    def _has_source(self) -> Self:
        if (self.role == "listen") != bool(self.source):
            msg = "source belongs to role listen, which needs it"
            raise ValueError(msg)
        if self.source:
            ipaddress.ip_address(self.source)
        return self

    @property
    def remote(self) -> str:
        """The controller's own address."""
        return self.source or self.host


class CapSenderSettings(_Settings):
    """Somebody whose signed CAP alerts are taken in."""

    person: str
    """The machine that they count as; `cbgateway keys new NAME --owner PERSON` makes one."""
    certificate: Path
    """Of the only key that their signatures are checked with."""
    carrier: str | None = None
    """Whose outages they tell of when an alert does not say."""


class CapSettings(_Settings):
    """How CAP alerts are exchanged."""

    name: Annotated[str, Field(pattern=r"^[^\s,<&]{1,100}$")] | None = None
    """What this gateway is called in the alerts that it gives out; keep it for ever."""
    key: Path | None = None
    certificate: Path | None = None
    """What alerts that are given out are signed with; both or neither."""
    senders: dict[str, CapSenderSettings] = Field(default_factory=dict)
    """By the name that stands in their alerts."""

    @model_validator(mode="after")
    def _key_with_certificate(self) -> Self:
        if (self.key is None) != (self.certificate is None):
            msg = "key and certificate go together"
            raise ValueError(msg)
        return self


class EnquirySettings(_Settings):
    """Whose questions by short message are answered."""

    carriers: tuple[str, ...] = ()
    """Those whose profile says at what number people ask."""
    keys_file: Path = Path("secrets/enquiries.json")
    """What senders' numbers are hashed and subscribers' are encrypted with; made when missing."""
    proposer: str | None = None
    """The machine that proposes a suspected outage when many people report one;
    `cbgateway keys new NAME --owner PERSON` makes one. None proposes nothing."""


class HttpSettings(_Settings):
    """The HTTP interface of `cbgateway serve`."""

    host: str = Field(default="127.0.0.1", min_length=1)
    port: Annotated[int, Field(ge=0, le=65535)]
    names: tuple[str, ...] = ()
    """What clients call this server by in a Host field, such as alerts.example:8443."""
    proxies: tuple[str, ...] = ()
    """Addresses of reverse proxies in front; what they say of clients' addresses is believed, for
    the limits of public pages and nothing else."""
    tokens: Path = Path("secrets/http-tokens.toml")
    """Bearer tokens for reading, as hashes."""
    certificate: Path | None = None
    private_key: Path | None = None
    """TLS; in mode live a listener beyond this machine needs it."""

    @field_validator("proxies")
    @classmethod
    def _addresses(cls, proxies: tuple[str, ...]) -> tuple[str, ...]:
        for one in proxies:
            ipaddress.ip_address(one)
        return proxies


class MqttSettings(_Settings):
    """The MQTT broker that `cbgateway serve` takes commands from and tells what happens."""

    host: str = Field(default="127.0.0.1", min_length=1)
    port: Annotated[int, Field(ge=1, le=65535)] = 1883
    site: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,32}$")] = "main"
    """Which of several gateways of a mode; stands in every topic."""
    client_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")] | None = None
    """What the broker keeps our commands under while we are away; keep it for ever."""
    username: str | None = None
    password_file: Path | None = None
    tls_ca_file: Path | None = None
    """Speaks TLS, and trusts no other certificates than those that these authorities gave."""


ReaderName = Annotated[str, Field(min_length=1, max_length=60)]


class Settings(_Settings):
    """What cbgateway.toml holds; relative paths start at the home folder."""

    mode: Mode
    country: str
    database: Path = Path("cbgateway.db")
    marks: Path = Path("cbgateway.marks")
    """Serial numbers and the log's tail; never part of a backup."""
    witness: Path = Path("audit/witness.jsonl")
    """Where checkpoints of the audit log are kept; in mode live on another disk."""
    ballast_mib: Annotated[float, Field(ge=0.0625, le=65_536)] = 64
    """Room held for what is never blocked, should the disk be full."""
    keys: Path = Path("keys")
    profiles: Path | None = None
    cells: Path = Path("cells")
    """Where the cells of each network stand, as they were imported."""
    peers: Path = Path("peers.json")
    """Where the serving process tells how its peers stand."""
    http: HttpSettings | None = None
    mqtt: MqttSettings | None = None
    deadlines: str | None = None
    """Overrides the country's deadline profile."""
    site: Path | None = None
    """Where `serve` keeps the public pages up to date."""
    site_url: str = ""
    """Where people find them, without a slash at the end; links are relative without it."""
    uplinks: dict[str, str] | None = None
    """Whose line each network interface of this machine is: a carrier's code, or empty for
    nobody's. Then `cbgateway doctor` tells which way is gone with which carrier."""
    briefing_readers: tuple[ReaderName, ...] = ()
    """Who has to have read each briefing, such as desks; the share of them that has is told."""
    carriers: dict[str, CarrierSettings]
    controllers: dict[str, ControllerSettings] = {}
    """Base station controllers, by the name of each."""
    cap: CapSettings = Field(default_factory=CapSettings)
    enquiries: EnquirySettings = Field(default_factory=EnquirySettings)


def load_settings(home: Path) -> Settings:
    """Read a gateway's settings; paths come back absolute.

    Raises:
        InputError: there are none, or they say something that is not known here.
    """
    path = home / FILE_NAME
    try:
        document = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        msg = f"no {path}; `cbgateway init --home {home}` makes a gateway there"
        raise InputError(msg) from error
    except RecursionError as error:
        msg = f"{path}: nested too deeply"
        raise InputError(msg) from error
    except (OSError, ValueError) as error:  # not TOML, not UTF-8, or a number without end
        msg = f"{path}: {error}"
        raise InputError(msg) from error
    try:
        settings = Settings.model_validate(document)
    except ValidationError as error:
        faults = error.errors(include_input=False)
        problems = [_problem(path, fault) for fault in faults[:PROBLEMS_MAX]]
        if len(faults) > PROBLEMS_MAX:
            problems.append(f"{path}: and {len(faults) - PROBLEMS_MAX} more faults")
        raise InputError(*problems) from error
    _check_modes(path, settings)
    return settings.model_copy(
        update={
            "database": home / settings.database,
            "keys": home / settings.keys,
            "marks": home / settings.marks,
            "witness": home / settings.witness,
            "cells": home / settings.cells,
            "peers": home / settings.peers,
            "mqtt": None if settings.mqtt is None else _absolute_mqtt(home, settings.mqtt),
            "http": None if settings.http is None else _http(home, settings.http),
            "site": None if settings.site is None else home / settings.site,
            "profiles": None if settings.profiles is None else home / settings.profiles,
            "carriers": {
                code: carrier.model_copy(
                    update={
                        "password_file": home / carrier.password_file,
                        "outbind": carrier.outbind
                        and carrier.outbind.model_copy(
                            update={"password_file": home / carrier.outbind.password_file}
                        ),
                        "tls_ca_file": carrier.tls_ca_file and home / carrier.tls_ca_file,
                    }
                )
                for code, carrier in settings.carriers.items()
            },
            "cap": _absolute_cap(home, settings.cap),
            "enquiries": settings.enquiries.model_copy(
                update={"keys_file": home / settings.enquiries.keys_file}
            ),
        }
    )


def _absolute_cap(home: Path, cap: CapSettings) -> CapSettings:
    return cap.model_copy(
        update={
            "key": None if cap.key is None else home / cap.key,
            "certificate": None if cap.certificate is None else home / cap.certificate,
            "senders": {
                name: sender.model_copy(update={"certificate": home / sender.certificate})
                for name, sender in cap.senders.items()
            },
        }
    )


def _absolute_mqtt(home: Path, mqtt: MqttSettings) -> MqttSettings:
    paths = {"password_file": mqtt.password_file, "tls_ca_file": mqtt.tls_ca_file}
    inside = {name: None if path is None else home / path for name, path in paths.items()}
    return mqtt.model_copy(update=inside)


def _http(home: Path, http: HttpSettings) -> HttpSettings:
    paths = {"tokens": http.tokens, "certificate": http.certificate, "key": http.private_key}
    inside = {name: None if path is None else home / path for name, path in paths.items()}
    inside["private_key"] = inside.pop("key")
    return http.model_copy(update=inside)


def _check_modes(path: Path, settings: Settings) -> None:
    """Refuse carriers of another mode, and test messages to what may be real phones."""
    peers: list[tuple[str, str, CarrierSettings | ControllerSettings, str]] = [
        (f"carriers.{code}", "host", carrier, host)
        for code, carrier in settings.carriers.items()
        for host, _ in carrier.places
    ]
    peers += [
        (f"carriers.{code}", "outbind.host", carrier, carrier.outbind.host)
        for code, carrier in settings.carriers.items()
        if carrier.outbind is not None
    ]
    peers += [
        (f"controllers.{name}", "source" if one.source else "host", one, one.remote)
        for name, one in settings.controllers.items()
    ]
    for where, key, peer, host in peers:
        if peer.mode is not settings.mode:
            msg = (
                f"{path}: {where}.mode is {peer.mode.value!r}, the gateway's is "
                f"{settings.mode.value!r}; modes never mix"
            )
            raise InputError(msg)
        is_safe = peer.is_laboratory or is_loopback(host)
        if settings.mode is Mode.TEST and not is_safe:
            msg = (
                f"{path}: {where}.{key} {host!r} is another machine; test messages "
                "look like real ones, so say is_laboratory = true if no real phone is there"
            )
            raise InputError(msg)
    twice = settings.carriers.keys() & settings.controllers.keys()
    if twice:
        msg = f"{path}: {min(twice)!r} is a carrier and a controller; peers differ by name"
        raise InputError(msg)


def tls_context(carrier: CarrierSettings) -> ssl.SSLContext | None:
    """Give what a connection to a carrier's peer is secured with; None where it is not.

    Raises:
        InputError: the authorities cannot be read.
    """
    return None if carrier.tls_ca_file is None else trusting(carrier.tls_ca_file)


def trusting(ca_file: Path) -> ssl.SSLContext:
    """Give TLS that trusts no other authorities than those of a file.

    Raises:
        InputError: the authorities cannot be read.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_verify_locations(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        msg = f"tls_ca_file {ca_file}: {error}"
        raise InputError(msg) from error
    return context


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def read_secret(path: Path) -> str:
    """Read a secret of one line from a file that nobody else can read.

    Raises:
        KeyUnusableError: it is missing, readable by others, or empty.
    """
    try:
        mode = path.stat().st_mode
        secret = path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        msg = f"secret {path}: {error}"
        raise KeyUnusableError(msg) from error
    if mode & OTHERS or not secret:
        msg = f"secret {path} is empty, or can be read by others; run: chmod 600 {path}"
        raise KeyUnusableError(msg)
    return secret


def read_password(path: Path) -> str:
    """Read a secret from a file that nobody else can read.

    Raises:
        KeyUnusableError: it is missing, readable by others, empty, or too long for SMPP.
    """
    try:
        mode = path.stat().st_mode
        password = path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        msg = f"password file {path}: {error}"
        raise KeyUnusableError(msg) from error
    if mode & OTHERS:
        msg = f"password file {path} can be read by others; run: chmod 600 {path}"
        raise KeyUnusableError(msg)
    if not 1 <= len(password) <= PASSWORD_CHARACTERS_MAX:
        msg = f"password file {path}: 1 to {PASSWORD_CHARACTERS_MAX} characters are possible"
        raise KeyUnusableError(msg)
    return password


def _problem(path: Path, fault: Any) -> str:  # noqa: ANN401 - pydantic's fault record
    where = ".".join(str(part) for part in fault["loc"])
    if fault["type"] != "extra_forbidden":
        return f"{path}: {where}: {fault['msg']}"
    models = (
        Settings,
        CarrierSettings,
        ControllerSettings,
        CapSettings,
        CapSenderSettings,
        EnquirySettings,
        HttpSettings,
        MqttSettings,
    )
    known = {name for model in models for name in model.model_fields}
    near = difflib.get_close_matches(str(fault["loc"][-1]), known, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"{path}: {where}: unknown key{hint}"
