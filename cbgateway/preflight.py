"""What is looked at before a gateway serves, and by `cbgateway doctor`.

In mode live every failure stops the start; all of them are told at once.
"""

import ctypes
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

from cbgateway import RELEASED_AT
from cbgateway.domain.bulletin import Mode
from cbgateway.domain.errors import ConfigurationError, GatewayError, KeyUnusableError
from cbgateway.domain.people import Key
from cbgateway.domain.ports import Transaction
from cbgateway.home import ballast_of
from cbgateway.service import independence
from cbgateway.service.deployment import Deployment
from cbgateway.service.independence import UNKNOWABLE, Endpoint, Surroundings
from cbgateway.settings import (
    FILE_NAME,
    CarrierSettings,
    ControllerSettings,
    Settings,
    is_loopback,
    read_password,
    read_secret,
    split_host,
)
from cbgateway.signing.keys import KNOWN_KEYS, SigningKey
from cbgateway.signing.xmldsig import load_certificate, load_signing_key

SAID_WHEN_OK = {"independence": UNKNOWABLE}
TIME_FILES = (
    "/etc/ntp.conf",
    "/etc/ntpsec/ntp.conf",
    "/etc/chrony.conf",
    "/etc/chrony/chrony.conf",
    "/etc/systemd/timesyncd.conf",
)
APPROVERS_MIN = 2
PASSWORD_CHARACTERS_MIN = 6
DISK_FREE_WARN = 0.2
DISK_FREE_FAIL = 0.02
KEY_ENDS_WARN_D = 7
VOLATILE = {"tmpfs", "ramfs", "overlay", "aufs"}
REMOTE = {"nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "ceph", "glusterfs"}
FAILPOINTS_VARIABLE = "CBGATEWAY_FAILPOINTS"
TIME_ERROR = 5  # adjtimex: the clock is not synchronised
TIMEX_OCTETS = 512  # more than struct timex has anywhere
OTHERS = stat.S_IRWXG | stat.S_IRWXO


class Level(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check has found."""

    check: str
    level: Level
    detail: str


def findings(
    home: Path, settings: Settings, deployment: Deployment, tx: Transaction, *, now: datetime
) -> list[Finding]:
    """Look at everything; in mode live, what is doubtful elsewhere is a failure.

    Args:
        home: the gateway's folder.
        settings: its settings.
        deployment: its rules.
        tx: reads its store.
        now: aware.
    """
    strict = settings.mode is Mode.LIVE
    doubtful = Level.FAIL if strict else Level.WARN
    checks: list[tuple[str, Callable[[], Iterator[tuple[Level, str]]]]] = [
        ("permissions", lambda: _permissions(home, settings)),
        ("passwords", lambda: _passwords(settings, doubtful)),
        ("keys", lambda: _keys(settings, tx, now)),
        ("people", lambda: _people(tx, doubtful)),
        ("disk", lambda: _disk(settings, doubtful)),
        ("witness", lambda: _witness(home, settings, tx, doubtful)),
        ("kit", lambda: _kit(tx, now)),
        ("carriers", lambda: _carriers(settings) if strict else iter(())),
        ("independence", lambda: _independence(settings, deployment)),
        ("http", lambda: _http(settings, doubtful)),
        ("mqtt", lambda: _mqtt(settings, doubtful)),
        ("cap", lambda: _cap(settings, tx, now)),
        ("environment", lambda: _environment(doubtful)),
        ("clock", lambda: _clock(now, doubtful)),
    ]
    found = []
    for name, check in checks:
        faults = [Finding(name, level, detail) for level, detail in check()]
        found += faults or [Finding(name, Level.OK, SAID_WHEN_OK.get(name, ""))]
    return found


def check_may_serve(found: list[Finding], mode: Mode) -> None:
    """Refuse to serve in mode live with any failure.

    Raises:
        ConfigurationError: with every reason.
    """
    reasons = [f"{one.check}: {one.detail}" for one in found if one.level is Level.FAIL]
    if mode is Mode.LIVE and reasons:
        raise ConfigurationError(*reasons)


def _permissions(home: Path, settings: Settings) -> Iterator[tuple[Level, str]]:
    paths = [home, settings.database, settings.marks, *settings.keys.rglob("*")]
    for path in paths:
        mode = path.stat().st_mode
        if path.name != FILE_NAME and mode & OTHERS and not _is_shielded(path, home):
            yield Level.FAIL, f"{path} can be read by others; run: chmod go-rwx {path}"


def _is_shielded(path: Path, home: Path) -> bool:
    """Tell whether the gateway's folder keeps others away from what is inside."""
    is_secret = path.suffix == ".pem"
    is_inside = path != home and path.resolve().is_relative_to(home.resolve())
    return not is_secret and is_inside and not home.stat().st_mode & OTHERS


def _passwords(settings: Settings, doubtful: Level) -> Iterator[tuple[Level, str]]:
    for code, carrier in settings.carriers.items():
        try:
            password = read_password(carrier.password_file)
        except KeyUnusableError as error:
            yield Level.FAIL, str(error)
            continue
        is_weak = password.lower() in {"password", "secret", "changeme", carrier.system_id.lower()}
        if is_weak or len(password) < PASSWORD_CHARACTERS_MIN:
            yield doubtful, f"the password of {code} is short or well known"


def _keys(settings: Settings, tx: Transaction, now: datetime) -> Iterator[tuple[Level, str]]:
    own = [key for key in tx.region_keys() if not key.kit]
    keys: list[Key] = [*tx.person_keys(), *own]
    for key in keys:
        if key.public_key in KNOWN_KEYS:
            yield Level.FAIL, f"key {key.key_id} of {key.holder} is a published test key"
        soon = now + timedelta(days=KEY_ENDS_WARN_D)
        if not key.is_revoked and key.until is not None and now < key.until <= soon:
            yield Level.WARN, f"key {key.key_id} of {key.holder} ends {key.until.isoformat()}"
    for region in sorted({key.holder for key in own}):
        if not any(key.is_valid_at(now) for key in own if key.holder == region):
            yield Level.FAIL, f"region {region} has no sealing key that is valid"
    try:
        SigningKey.load(settings.keys / "audit.pem")
    except GatewayError as error:
        yield Level.FAIL, str(error)


def _people(tx: Transaction, doubtful: Level) -> Iterator[tuple[Level, str]]:
    people = [person for person in tx.people() if not person.is_revoked]
    approvers = [person.name for person in people if person.may_approve]
    if len(approvers) < APPROVERS_MIN:
        yield doubtful, f"{len(approvers)} people may approve, {APPROVERS_MIN} are needed"
    if not any(person.may_submit for person in people):
        yield doubtful, "nobody may submit"


def _disk(settings: Settings, doubtful: Level) -> Iterator[tuple[Level, str]]:
    kind = filesystem_of(settings.database)
    if kind in VOLATILE | REMOTE:
        yield doubtful, f"{settings.database} is on {kind}, where a commit may not last"
    usage = shutil.disk_usage(settings.database.parent)
    free = usage.free / usage.total
    if free < DISK_FREE_WARN:
        level = Level.FAIL if free < DISK_FREE_FAIL else Level.WARN
        yield level, f"{free:.0%} of the disk under {settings.database} is free"
    if not ballast_of(settings).is_there():
        yield Level.WARN, "the room for what is never blocked is given up; free some disk space"


def _witness(
    home: Path, settings: Settings, tx: Transaction, doubtful: Level
) -> Iterator[tuple[Level, str]]:
    if tx.own_kit() is not None:
        return  # one folder that somebody carries; the main gateway is its witness
    if settings.witness.resolve().is_relative_to(home.resolve()):
        yield doubtful, f"witness {settings.witness} is in the gateway's own folder"


def _kit(tx: Transaction, now: datetime) -> Iterator[tuple[Level, str]]:
    own = tx.own_kit()
    soon = now + timedelta(days=KEY_ENDS_WARN_D)
    if own is not None and (own.is_closed or own.until <= now):
        yield Level.FAIL, f"{own.name} was merged or is too old; `cbgateway offline kit` makes one"
    kits = tx.kits()
    ends = max((kit.until for kit in kits), default=None) if own is None else own.until
    if ends is not None and ends <= soon:
        newest = kits[-1].name if own is None else own.name
        yield Level.WARN, f"offline kit {newest} ends {ends.isoformat()}; make another one"


def _carriers(settings: Settings) -> Iterator[tuple[Level, str]]:
    peers: list[tuple[str, CarrierSettings | ControllerSettings, list[str]]] = [
        (f"carriers.{code}", carrier, [host for host, _ in carrier.places])
        for code, carrier in settings.carriers.items()
    ]
    peers += [
        (f"controllers.{name}", one, [one.remote]) for name, one in settings.controllers.items()
    ]
    for where, peer, hosts in peers:
        if peer.is_laboratory:
            yield Level.FAIL, f"{where} is a laboratory; it does not belong in mode live"
        if not peer.is_tunnel and any(map(is_loopback, hosts)):
            detail = (
                f"{where}.host is this machine, as simulators are; say is_tunnel = true "
                "if the end of a tunnel listens there"
            )
            yield Level.FAIL, detail


def _independence(settings: Settings, deployment: Deployment) -> Iterator[tuple[Level, str]]:
    around = Surroundings(
        hosts=independence.read_hosts(_machine_file("/etc/hosts")),
        resolvers=independence.read_resolvers(_machine_file("/etc/resolv.conf")),
        time_sources=tuple(
            source
            for path in TIME_FILES
            for source in independence.read_time_sources(_machine_file(path))
        ),
        routes=independence.read_routes(_machine_file("/proc/net/route")),
        uplinks=settings.uplinks,
    )
    endpoints = _endpoints(settings, deployment)
    for one in independence.dependencies(deployment.carriers, endpoints, around):
        yield Level.WARN, one


def _machine_file(path: str) -> str:
    """Read a file of the machine; one that is not there says nothing."""
    try:
        return Path(path).read_text("utf-8", "replace")
    except OSError:
        return ""


def _endpoints(settings: Settings, deployment: Deployment) -> list[Endpoint]:
    """Give every address in the settings that the gateway uses or is found at."""
    found = [
        Endpoint(f"carriers.{code}", host, of=code)
        for code, carrier in settings.carriers.items()
        for host, _ in carrier.places
    ]
    for name, one in settings.controllers.items():
        plmns = set(deployment.networks[one.network].plmns)
        of = [code for code, carrier in deployment.carriers.items() if plmns & set(carrier.plmns)]
        found.append(Endpoint(f"controllers.{name}", one.remote, of="".join(of[:1])))
    if settings.mqtt is not None:
        found.append(Endpoint("mqtt.host", settings.mqtt.host))
    if settings.http is not None:
        found.append(Endpoint("http.host", settings.http.host))
        found += [
            Endpoint("http.names", split_host(name, 443)[0], is_asked=False)
            for name in settings.http.names
        ]
    site = urlsplit(settings.site_url).hostname
    if site:
        found.append(Endpoint("site_url", site, is_asked=False))
    return found


def _cap(settings: Settings, tx: Transaction, now: datetime) -> Iterator[tuple[Level, str]]:
    cap = settings.cap
    named = {f"the sender {name}": one.certificate for name, one in cap.senders.items()}
    if cap.certificate is not None and cap.key is not None:
        named["our own alerts"] = cap.certificate
        try:
            load_signing_key(cap.key)
        except KeyUnusableError as error:
            yield Level.FAIL, f"cap: {error}"
    for whose, path in named.items():
        try:
            ends = load_certificate(path).not_valid_after_utc
        except KeyUnusableError as error:
            yield Level.FAIL, f"cap: {error}"
            continue
        if ends <= now:
            yield Level.FAIL, f"cap: the certificate of {whose} ended {ends.isoformat()}"
        elif ends <= now + timedelta(days=KEY_ENDS_WARN_D):
            yield Level.WARN, f"cap: the certificate of {whose} ends {ends.isoformat()}"
    for name, one in cap.senders.items():
        person = tx.person(one.person)
        if person is None or not person.owner or person.is_revoked:
            yield Level.FAIL, f"cap: {name} counts as {one.person!r}, which is no machine here"


def _mqtt(settings: Settings, doubtful: Level) -> Iterator[tuple[Level, str]]:
    mqtt = settings.mqtt
    if mqtt is None:
        return
    if mqtt.tls_ca_file is None and not is_loopback(mqtt.host):
        yield doubtful, f"mqtt: {mqtt.host} is reached without TLS; name its tls_ca_file"
    if mqtt.tls_ca_file is not None and not mqtt.tls_ca_file.is_file():
        yield Level.FAIL, f"mqtt: there is no {mqtt.tls_ca_file}"
    if mqtt.username is None:
        yield doubtful, "mqtt: no username; the broker cannot tell this gateway from others"
    if mqtt.password_file is not None:
        try:
            read_secret(mqtt.password_file)
        except KeyUnusableError as error:
            yield Level.FAIL, str(error)


def _http(settings: Settings, doubtful: Level) -> Iterator[tuple[Level, str]]:
    http = settings.http
    if http is None:
        return
    if (http.certificate is None) is not (http.private_key is None):
        yield Level.FAIL, "http: certificate and private_key belong together"
    if http.certificate is None and not is_loopback(http.host):
        yield doubtful, f"http: {http.host} is reached without TLS; name a certificate"
    for path in (http.tokens, http.private_key):
        if path is not None and path.exists() and path.stat().st_mode & OTHERS:
            yield Level.FAIL, f"{path} can be read by others; run: chmod 600 {path}"


def _environment(doubtful: Level) -> Iterator[tuple[Level, str]]:
    if os.environ.get(FAILPOINTS_VARIABLE):
        yield doubtful, f"{FAILPOINTS_VARIABLE} is set; it makes the gateway stop on purpose"
    if os.environ.get("LD_PRELOAD"):
        yield Level.WARN, "LD_PRELOAD is set; somebody else's code runs in this process"
    if os.environ.get("FAKETIME"):
        yield doubtful, "FAKETIME is set; the clock is not the machine's"


def _clock(now: datetime, doubtful: Level) -> Iterator[tuple[Level, str]]:
    released = datetime.fromisoformat(RELEASED_AT).replace(tzinfo=UTC)
    if now < released:
        yield doubtful, f"it is {now.isoformat()}, before this version was made ({RELEASED_AT})"
    if not _is_synchronised():
        yield Level.WARN, "the clock is not synchronised, as the kernel says"


def _is_synchronised() -> bool:
    libc = ctypes.CDLL(None)
    return bool(libc.adjtimex(ctypes.create_string_buffer(TIMEX_OCTETS)) != TIME_ERROR)


def filesystem_of(path: Path) -> str:
    """Give the kind of file system that a path is on, such as ``ext4``."""
    best, kind = -1, "unknown"
    resolved = path.resolve()
    for line in Path("/proc/self/mounts").read_text("utf-8", "replace").splitlines():
        _, mounted, filesystem, *_ = line.split()
        # the kernel writes spaces and the like as three octal digits
        mounted = re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), mounted)
        if resolved.is_relative_to(mounted) and len(mounted) >= best:
            best, kind = len(mounted), filesystem
    return kind
