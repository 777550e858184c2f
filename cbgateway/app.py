"""The composition root: the only place that knows every module and joins them."""

import asyncio
import fcntl
import json
import os
import random
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from loguru import logger

from cbgateway.carriers.registry import make_link
from cbgateway.codec import cbs
from cbgateway.codec.dcs import choose_dcs
from cbgateway.domain.bulletin import Mode, Person
from cbgateway.domain.delivery import BulletinRecord, Recipient, RegionKey
from cbgateway.domain.errors import (
    EncodeError,
    InputError,
    SignatureInvalidError,
    StoreError,
    UnknownNameError,
)
from cbgateway.domain.ports import CarrierLink, Clock
from cbgateway.interfaces.recipients import parse_recipients
from cbgateway.interfaces.schema import parse_bulletin, parse_report
from cbgateway.profiles.loader import Profiles, load_profiles
from cbgateway.service import approval, intake
from cbgateway.service.deployment import Deployment
from cbgateway.service.dispatcher import Dispatcher
from cbgateway.settings import FILE_NAME, Settings, load_settings, read_password
from cbgateway.signing.canonical import canonical, encode_base64url
from cbgateway.signing.jws import sign_detached
from cbgateway.signing.keys import SigningKey
from cbgateway.signing.seal import Seal, check_texts, open_seal
from cbgateway.storage.sqlite import SqliteStore

SMPP_PORT = 2775
"""The customary port; a new gateway's carriers get this one and those after it."""


class SystemClock:
    """The machine's wall clock; the only place that reads it."""

    def now(self) -> datetime:
        """Give the present, in UTC."""
        return datetime.now(UTC)


def can_encode(text: str, dcs: int | str, language: str) -> str | None:
    """Say why a text cannot go on air in a coding; None when it can."""
    from_dcs = choose_dcs(text, language) if dcs == "auto" else int(dcs)
    try:
        cbs.paginate(text, dcs=from_dcs, language=language)
    except EncodeError as error:
        return str(error)
    return None


@dataclass(frozen=True, slots=True)
class Gateway:
    """One gateway: its settings, its store and the rules it works by.

    Attributes:
        home: the folder it lives in.
    """

    home: Path
    settings: Settings
    deployment: Deployment
    store: SqliteStore
    clock: Clock

    @classmethod
    @contextmanager
    def open(cls, home: Path, *, clock: Clock | None = None) -> Iterator["Gateway"]:
        """Open a gateway that `init_home` has made.

        Raises:
            InputError: settings or profiles are missing or wrong.
            StoreError: the database cannot be used.
            ModeMismatchError: settings and database are of different modes.
        """
        settings = load_settings(home)
        profiles = load_checked_profiles(settings.profiles)
        deployment = make_deployment(settings, profiles)
        store = SqliteStore.open(settings.database, mode=settings.mode)
        try:
            yield cls(home, settings, deployment, store, clock or SystemClock())
        finally:
            store.close()

    def submit(self, octets: bytes, *, key: SigningKey) -> BulletinRecord:
        """Sign a bulletin document with the submitter's key and take it in."""
        request = parse_bulletin(octets)
        signature = sign_detached(canonical(request.document), key, content=intake.SUBMISSION)
        with self.store.transaction() as tx:
            return intake.submit(
                tx, self.deployment, request, signature=signature, now=self.clock.now()
            )

    def prepare(self, bulletin_id: str) -> approval.Prepared:
        """Work out what an approval would send."""
        with self.store.read() as tx:
            return approval.prepare(tx, self.deployment, bulletin_id, now=self.clock.now())

    def approve(self, prepared: approval.Prepared, *, key: SigningKey) -> BulletinRecord:
        """Approve what was prepared, with the approver's key; it is committed on return."""
        bulletin_id = prepared.record.bulletin.bulletin_id
        plan_hash = prepared.plan.hash()
        document = approval.approval_document(bulletin_id, plan_hash)
        signature = sign_detached(canonical(document), key, content=approval.DECISION)
        seal_keys = self.seal_keys({order.lineage.region for order in prepared.plan.orders})
        with self.store.transaction() as tx:
            return approval.approve(
                tx,
                self.deployment,
                bulletin_id,
                plan_hash=plan_hash,
                signature=signature,
                seal_keys=seal_keys,
                now=self.clock.now(),
            )

    def reject(self, bulletin_id: str, *, reason: str, key: SigningKey) -> BulletinRecord:
        """Turn a bulletin down, with the decider's key."""
        document = approval.rejection_document(bulletin_id, reason)
        signature = sign_detached(canonical(document), key, content=approval.DECISION)
        with self.store.transaction() as tx:
            return approval.reject(
                tx,
                self.deployment,
                bulletin_id,
                reason=reason,
                signature=signature,
                now=self.clock.now(),
            )

    def seal_keys(self, regions: Iterable[str]) -> dict[str, SigningKey]:
        """Read the sealing keys of some regions."""
        return {
            code: SigningKey.load(self.settings.keys / "regions" / f"{code}.pem")
            for code in regions
        }

    def add_person(
        self,
        name: str,
        *,
        may_submit: bool,
        may_approve: bool,
        regions: tuple[str, ...],
        classes: tuple[str, ...],
    ) -> tuple[Person, Path]:
        """Make a key for somebody and register its public half.

        Raises:
            InputError: the name is taken.
            UnknownNameError: a region or class that is not known.
            KeyUnusableError: the key file cannot be written.
        """
        for code in regions:
            self.deployment.check_region(code)
        for alert_class in classes:
            self.deployment.alert_class(alert_class)
        path = self.settings.keys / "people" / f"{name}.pem"
        key = SigningKey.generate()
        person = Person(
            name=name,
            key_id=key.key_id,
            public_key=key.public_key,
            may_submit=may_submit,
            may_approve=may_approve,
            regions=regions,
            classes=classes,
        )
        with self.store.transaction() as tx:
            if tx.person(name) is not None:
                msg = f"{name!r} is registered already; names are never given twice"
                raise InputError(msg)
            tx.add_person(person)
            key.save(path)
        return person, path

    def revoke_person(self, name: str) -> None:
        """Take somebody's permissions back; unsent work of theirs does not leave any more."""
        with self.store.transaction() as tx:
            if tx.person(name) is None:
                known = tuple(person.name for person in tx.people())
                raise UnknownNameError("person", name, known=known)
            tx.revoke_person(name)

    def published_keys(self) -> dict[str, Any]:
        """Give the public sealing keys as a JWK Set (RFC 7517 5)."""
        with self.store.read() as tx:
            keys = tx.region_keys()
        return {
            "keys": [
                {
                    "kty": "OKP",
                    "crv": "Ed25519",
                    "alg": "Ed25519",
                    "use": "sig",
                    "kid": key.key_id,
                    "x": encode_base64url(key.public_key),
                    "region": key.region,
                }
                for key in keys
            ]
        }

    def verify(self, octets: bytes) -> list[Seal]:
        """Check every seal in a bulletin's report, as `bulletin show --json` prints it.

        Raises:
            InputError: it is no such report.
            SignatureInvalidError: a seal, or the text that it is for, was changed.
        """
        report = parse_report(octets)
        with self.store.read() as tx:
            keys = tx.region_keys()
        seals = []
        for region, token in report.seals.items():
            seal = open_seal(token, keys)
            if (seal.region, seal.bulletin_id) != (region, report.bulletin):
                msg = f"the seal of {seal.bulletin_id} for {seal.region} stands in its place"
                raise SignatureInvalidError(msg)
            check_texts(seal, report.texts)
            seals.append(seal)
        return seals

    def import_recipients(self, carrier: str, octets: bytes) -> int:
        """Read a carrier's recipient list from CSV; all of it or nothing.

        Raises:
            UnknownNameError: the carrier is not configured.
            InputError: a line is wrong; names the line.
        """
        if carrier not in self.deployment.carriers:
            raise UnknownNameError("carrier", carrier, known=tuple(self.deployment.carriers))
        recipients: tuple[Recipient, ...] = parse_recipients(
            octets,
            regions=self.deployment.regions,
            languages=self.deployment.country.languages,
        )
        with self.store.transaction() as tx:
            return tx.put_recipients(carrier, recipients)

    async def serve(self, stop: asyncio.Event) -> None:
        """Dispatch until `stop` is set, then end in order.

        Raises:
            StoreError: another process serves this gateway already.
        """
        links = self._links()
        with self._only_one():
            dispatcher = Dispatcher(
                self.store, self.deployment, links, clock=self.clock, random=random.random
            )
            await dispatcher.run(stop)

    def _links(self) -> Mapping[str, CarrierLink]:
        return {
            code: make_link(
                self.deployment.carriers[code],
                host=settings.host,
                port=settings.port,
                system_id=settings.system_id,
                password=read_password(settings.password_file),
                random=random.random,
            )
            for code, settings in self.settings.carriers.items()
        }

    @contextmanager
    def _only_one(self) -> Iterator[None]:
        """Hold the lock that says who sends for this database."""
        path = self.settings.database.with_suffix(".lock")
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(descriptor)
            msg = f"another process serves {self.settings.database} already"
            raise StoreError(msg) from error
        try:
            yield
        finally:
            os.close(descriptor)


def load_checked_profiles(root: Path | None) -> Profiles:
    """Load profiles after checking everything in them.

    Raises:
        ProfileError: with every problem found, by file and key.
    """
    return load_profiles(root, can_encode)


def make_deployment(settings: Settings, profiles: Profiles) -> Deployment:
    """Choose the profiles that a gateway's settings name.

    Raises:
        UnknownNameError: they name a country or carrier that no profile has.
    """
    if settings.country not in profiles.countries:
        raise UnknownNameError("country", settings.country, known=tuple(profiles.countries))
    carriers = {}
    for code, carrier_settings in settings.carriers.items():
        if code not in profiles.carriers:
            raise UnknownNameError("carrier", code, known=tuple(profiles.carriers))
        carrier = profiles.carriers[code]
        delay_max_s = carrier_settings.reconnect_delay_max_s
        if delay_max_s is not None:
            delays = {
                "reconnect_delay_max_s": delay_max_s,
                "reconnect_delay_min_s": min(delay_max_s, carrier.smpp.reconnect_delay_min_s),
            }
            carrier = carrier.model_copy(update={"smpp": carrier.smpp.model_copy(update=delays)})
        carriers[code] = carrier
    return Deployment(
        mode=settings.mode,
        country=profiles.countries[settings.country],
        regions=profiles.regions[settings.country],
        carriers=carriers,
        templates=profiles.templates.get(settings.country, {}),
    )


def carriers_of(country: str) -> tuple[str, ...]:
    """Give the codes of the carriers that the shipped profiles have in a country.

    Raises:
        UnknownNameError: no such country.
    """
    profiles = load_checked_profiles(None)
    if country not in profiles.countries:
        raise UnknownNameError("country", country, known=tuple(profiles.countries))
    return tuple(code for code, one in profiles.carriers.items() if one.country == country)


def init_home(
    home: Path,
    *,
    mode: Mode,
    country: str,
    ports: Mapping[str, int],
    clock: Clock,
    reconnect_delay_max_s: float | None = None,
) -> Settings:
    """Make a gateway: settings, database, a sealing key for every region, a password per carrier.

    Args:
        home: a folder that is not there yet, or empty.
        mode: what the database is for; can never be changed.
        country: code of a country profile.
        ports: of message centres on this machine, by code of the carrier profile.
        clock: wall time.
        reconnect_delay_max_s: overrides the carriers' profiles.

    Raises:
        InputError: the folder is in use, or live mode is asked for.
        UnknownNameError: no such country or carrier.
    """
    if mode is Mode.LIVE:
        msg = (
            "mode live is not there yet: it needs the audit log, key rotation and start-up checks "
            "that this version lacks; use exercise or test"
        )
        raise InputError(msg)
    if home.exists() and any(home.iterdir()):
        msg = f"{home} is not empty; a gateway is made in a folder of its own"
        raise InputError(msg)
    known = carriers_of(country)
    for code in ports:
        if code not in known:
            raise UnknownNameError("carrier", code, known=known)
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    text = _settings_text(mode, country, ports, reconnect_delay_max_s)
    (home / FILE_NAME).write_text(text, "utf-8")
    settings = load_settings(home)
    for carrier in settings.carriers.values():
        _write_secret(carrier.password_file, secrets.token_urlsafe(6))
    with (
        closing(
            SqliteStore.create(settings.database, mode=mode, country=country, at=clock.now())
        ) as store,
        store.transaction() as tx,
    ):
        for code in load_profiles(None, can_encode).regions[country]:
            key = SigningKey.generate()
            key.save(settings.keys / "regions" / f"{code}.pem")
            tx.add_region_key(RegionKey(code, key.key_id, key.public_key))
    return settings


def _settings_text(
    mode: Mode, country: str, ports: Mapping[str, int], reconnect_delay_max_s: float | None
) -> str:
    lines = [
        "# One gateway. Relative paths start here. Mode and country belong to the database.",
        f'mode = "{mode}"',
        f'country = "{country}"',
    ]
    for code, port in ports.items():
        lines += [
            "",
            f"[carriers.{code}]",
            f'mode = "{mode}"',
            'host = "127.0.0.1"',
            f"port = {port}",
            'system_id = "cbgateway"',
            f'password_file = "secrets/{code}.password"',
        ]
        if reconnect_delay_max_s is not None:
            lines.append(f"reconnect_delay_max_s = {reconnect_delay_max_s}")
    return "\n".join(lines) + "\n"


def _write_secret(path: Path, secret: str) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(secret + "\n")


def configure_logging(mode: Mode, stream: TextIO) -> None:
    """Send log records to a stream, one JSON object a line, with the mode in every one.

    Everything outside ASCII is escaped, so that no text can break a line or turn it around.
    """

    def write(message: Any) -> None:  # noqa: ANN401 - loguru's record has no public type
        stream.write(_log_line(message.record) + "\n")
        stream.flush()

    logger.remove()
    logger.add(write, level="INFO", diagnose=False)
    logger.configure(extra={"mode": mode.value})


def _log_line(record: Mapping[str, Any]) -> str:
    line = {
        "at": record["time"].astimezone(UTC).isoformat(),
        "level": record["level"].name,
        "message": record["message"],
        **record["extra"],
    }
    if record["exception"] is not None:
        line["exception"] = str(record["exception"].type)
    return json.dumps(line, ensure_ascii=True, default=str)
