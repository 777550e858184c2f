"""The composition root: the only place that knows every module and joins them."""

import asyncio
import io
import json
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from loguru import logger

from cbgateway.asking import Asking
from cbgateway.bundles import Bundles
from cbgateway.carriers.cbsp.link import Endpoint as ControllerEndpoint
from cbgateway.carriers.cbsp.listener import Listeners
from cbgateway.carriers.registry import make_controller_link, make_link
from cbgateway.carriers.smpp.outbind import Outbind
from cbgateway.carriers.smpp.session import Credentials
from cbgateway.codec import cbs
from cbgateway.codec.dcs import choose_dcs
from cbgateway.desk import Desk
from cbgateway.domain import failpoints
from cbgateway.domain.bulletin import BulletinState, Mode
from cbgateway.domain.delivery import BulletinRecord, Event
from cbgateway.domain.errors import (
    AuditError,
    ConfigurationError,
    EncodeError,
    GatewayError,
    InputError,
    SignatureInvalidError,
    UnknownNameError,
)
from cbgateway.domain.incident import Incident, IncidentState
from cbgateway.domain.ports import (
    CarrierLink,
    Clock,
    ProbedLink,
    ReloadingLink,
    Store,
)
from cbgateway.front import serving_http, serving_mqtt
from cbgateway.history import History
from cbgateway.home import (
    ballast_of,
    is_served,
    make_home,
    read_backup,
    replace_file,
    restore_home,
    serving_lock,
    write_backup,
)
from cbgateway.interfaces.cap.incoming import OpenedCap, open_cap
from cbgateway.interfaces.cells import parse_cells, write_cells
from cbgateway.interfaces.geometry import RegionFinder
from cbgateway.interfaces.recipients import read_recipients
from cbgateway.interfaces.schema import parse_bulletin, parse_report
from cbgateway.keyring import Keyring
from cbgateway.preflight import Finding, Level, check_may_serve, findings
from cbgateway.profiles.contacts import Directory
from cbgateway.profiles.deadlines import DeadlineProfile
from cbgateway.profiles.loader import Profiles, load_profiles
from cbgateway.profiles.models import CarrierProfile, Pacing
from cbgateway.profiles.networks import NetworkProfile
from cbgateway.profiles.regions import Regions
from cbgateway.service import approval, incidents, intake, promises
from cbgateway.service.answering import Answering
from cbgateway.service.contacts import contact_problems
from cbgateway.service.coverage import CellMap
from cbgateway.service.deployment import Deployment
from cbgateway.service.dispatcher import Dispatcher
from cbgateway.service.evidence import GATEWAY
from cbgateway.service.inbox import Inbox
from cbgateway.service.linktest import REQUEST as LINK_TEST
from cbgateway.service.linktest import LinkTests
from cbgateway.service.outbox import Outbox
from cbgateway.service.reload import Reloader
from cbgateway.settings import CarrierSettings, Settings, load_settings, read_password, tls_context
from cbgateway.signing.canonical import canonical
from cbgateway.signing.jws import sign_detached
from cbgateway.signing.keys import SigningKey
from cbgateway.signing.seal import Seal, check_texts, open_seal
from cbgateway.storage.marks import Marks
from cbgateway.storage.sqlite import SqliteStore
from cbgateway.telling import Telling

T = TypeVar("T")

ANSWERS_TIMEOUT_S = 2.0
"""How long answers that have left are waited for when stopping; the links have said goodbye."""
WITNESS_INTERVAL_S = 1.0
"""How soon the audit log's growth is witnessed."""
BALLAST_MIB = {Mode.LIVE: 64, Mode.EXERCISE: 64, Mode.TEST: 1}
SMPP_PORT = 2775
"""The customary port; a new gateway's carriers get this one and those after it."""


class SystemClock:
    """The machine's wall clock; the only place that reads it."""

    def now(self) -> datetime:
        """Give the present, in UTC."""
        return datetime.now(UTC)

    def monotonic_s(self) -> float:
        """Give seconds since some moment of the machine's choosing."""
        return time.monotonic()


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
    marks: Marks
    clock: Clock
    keyring: Keyring
    history: History

    @classmethod
    @contextmanager
    def open(cls, home: Path, *, clock: Clock | None = None) -> Iterator["Gateway"]:
        """Open a gateway that `init_home` has made.

        Raises:
            InputError: settings or profiles are missing or wrong.
            StoreError: the database cannot be used.
            ModeMismatchError: settings and database are of different modes.
            AuditError: the audit log is not the one that was witnessed.
        """
        settings = load_settings(home)
        profiles = load_checked_profiles(settings.profiles)
        deployment = make_deployment(settings, profiles)
        with (
            closing(SqliteStore.open(settings.database, mode=settings.mode)) as store,
            closing(Marks.open(settings.marks)) as marks,
        ):
            clock = clock or SystemClock()
            keyring = Keyring(settings, deployment, store, clock)
            history = History(settings, store, marks, clock)
            history.check()
            with store.read() as tx:
                deployment = replace(deployment, kit=tx.own_kit())
            keyring = replace(keyring, deployment=deployment)
            yield cls(home, settings, deployment, store, marks, clock, keyring, history)

    @property
    def desk(self) -> Desk:
        """The one intake, which commands and servers share."""
        return Desk(
            self.settings,
            self.deployment,
            self.store,
            self.marks,
            self.clock,
            self.keyring,
            ballast_of(self.settings),
        )

    @property
    def asking(self) -> Asking:
        """Give what people ask this gateway."""
        return Asking(self.settings, self.deployment, self.store, self.clock, self.keyring)

    @property
    def telling(self) -> Telling:
        """Give what this gateway tells beside its bulletins."""
        return Telling(self.settings, self.deployment, self.store, self.clock)

    @property
    def bundles(self) -> Bundles:
        """Give what others get of each bulletin."""
        return Bundles(self.telling, self.keyring)

    def submit(self, octets: bytes, *, key: SigningKey, as_draft: bool = False) -> BulletinRecord:
        """Sign a bulletin document with the submitter's key and take it in."""
        request = parse_bulletin(octets)
        signature = sign_detached(request.octets, key, content=intake.SUBMISSION)
        return self.desk.commit(self.desk.submission(request, signature, as_draft=as_draft))

    # Alerts in CAP 1.2

    def submit_cap(self, octets: bytes, *, key: SigningKey | None = None) -> BulletinRecord:
        """Take in a CAP alert; the same alert again gives the first answer again.

        Args:
            octets: the document.
            key: of whoever brings it and answers for it; None for an alert that its sender has
                signed, which then counts as the machine that the settings name.

        Raises:
            InputError: it is no sound alert, or does not say what has to be known.
            SignatureInvalidError: it is not signed as it has to be.
            PolicyError: a rule refuses it; the subclass says which.
        """
        return self.desk.commit(self.desk.alert(octets, key=key))

    def check_cap(self, octets: bytes) -> tuple[OpenedCap, dict[str, Any]]:
        """Give what a CAP alert says, and the document that it would become; keeps nothing.

        Raises:
            InputError: it is no sound alert, or does not say what has to be known.
            SignatureInvalidError: it is not signed as it has to be.
            PolicyError: it is of another mode, or refers to alerts that were never here.
        """
        exchange = self.desk.exchange()
        opened = open_cap(octets, exchange.senders, at=self.clock.now())
        submitter = "whoever-brings-it" if opened.sender is None else opened.sender.person
        with self.store.read() as tx:
            request = exchange.request(tx, opened, submitter=submitter)
        return opened, dict(request.document)

    def export_cap(self, bulletin_id: str) -> bytes:
        """Give a bulletin as a CAP alert: the same octets whenever asked.

        Raises:
            UnknownNameError: no such bulletin.
            WorkflowError: it was not approved.
        """
        return self.desk.commit(self.desk.publication(bulletin_id))

    def revise(
        self, bulletin_id: str, octets: bytes, *, key: SigningKey, as_draft: bool = False
    ) -> BulletinRecord:
        """Put another document in place of a draft's or returned bulletin's."""
        request = parse_bulletin(octets)
        signature = sign_detached(request.octets, key, content=intake.SUBMISSION)
        write = self.desk.revision(bulletin_id, request, signature, as_draft=as_draft)
        return self.desk.commit(write)

    def take_back(self, bulletin_id: str, *, reason: str, key: SigningKey) -> BulletinRecord:
        """Have an author take back what nobody has approved."""
        document = intake.take_back_document(bulletin_id, reason)
        signature = sign_detached(canonical(document), key, content=intake.WITHDRAWAL)
        write = self.desk.taking_back(bulletin_id, reason=reason, signature=signature)
        return self.desk.commit(write)

    def prepare(self, bulletin_id: str) -> approval.Prepared:
        """Work out what an approval would send."""
        return self.desk.prepare(bulletin_id)

    def approve(
        self, prepared: approval.Prepared, *, key: SigningKey, confirmation: str = ""
    ) -> BulletinRecord:
        """Approve what was prepared, with the approver's key; it is committed on return.

        Args:
            prepared: what the approver has looked at.
            key: the approver's.
            confirmation: what the approver has typed; wide areas need it.
        """
        bulletin_id = prepared.record.bulletin.bulletin_id
        now = self.clock.now()
        at = now.replace(microsecond=now.microsecond // 1000 * 1000)

        def sign(current: approval.Prepared) -> approval.Approval:
            document = approval.approval_document(
                bulletin_id, current.plan.hash(), at=at, confirmation=confirmation
            )
            signature = sign_detached(canonical(document), key, content=approval.DECISION)
            return approval.Approval(at, confirmation, signature)

        record = self.desk.commit(self.desk.approving(prepared, sign, now=now))
        failpoints.passing("approve.committed")
        return record

    def reject(self, bulletin_id: str, *, reason: str, key: SigningKey) -> BulletinRecord:
        """Turn a bulletin down for good, with the decider's key."""
        return self._refuse(bulletin_id, "reject", BulletinState.REJECTED, reason, key)

    def give_back(self, bulletin_id: str, *, reason: str, key: SigningKey) -> BulletinRecord:
        """Return a bulletin to its authors, with the decider's key."""
        return self._refuse(bulletin_id, "return", BulletinState.RETURNED, reason, key)

    def _refuse(
        self, bulletin_id: str, verb: str, state: BulletinState, reason: str, key: SigningKey
    ) -> BulletinRecord:
        document = approval.refusal_document(verb, bulletin_id, reason)
        signature = sign_detached(canonical(document), key, content=approval.DECISION)
        write = self.desk.refusal(bulletin_id, state, reason=reason, signature=signature)
        return self.desk.commit(write)

    def resend(self, bulletin_id: str, *, key: SigningKey) -> int:
        """Have short messages in doubt get their second copy; gives how many.

        Raises:
            UnknownNameError: no such bulletin.
            SignatureInvalidError: nobody who is known here has this key.
            PolicyError: whose key it is may not approve this bulletin.
        """
        with self.store.transaction() as tx:
            record = tx.bulletin(bulletin_id)
            if record is None:
                raise UnknownNameError("bulletin", bulletin_id, known=("`bulletin list`",))
            now = self.clock.now()
            document = {"decision": "resend", "bulletin": bulletin_id, "at": now.isoformat()}
            signature = sign_detached(canonical(document), key, content=approval.DECISION)
            person = approval.decider(tx, self.deployment, record, document, signature, at=now)
            return Outbox(self.deployment).resend(tx, bulletin_id, actor=person.name, now=now)

    def ask_on_air(self, bulletin_id: str) -> int:
        """Have carriers asked what became of a bulletin's broadcasts; gives about how many.

        Raises:
            UnknownNameError: no such bulletin.
        """
        with self.store.transaction() as tx:
            if tx.bulletin(bulletin_id) is None:
                raise UnknownNameError("bulletin", bulletin_id, known=("`bulletin list`",))
            return Outbox(self.deployment).ask(tx, bulletin_id, now=self.clock.now())

    def set_incident_state(
        self, incident_id: str, state: IncidentState, *, key: SigningKey, reason: str = ""
    ) -> Incident:
        """Note how far an outage has got.

        Raises:
            UnknownNameError: no such incident.
            SignatureInvalidError: nobody who is known here has this key.
            PermissionDeniedError: it is a machine's key, or was revoked.
            WorkflowError: that may not follow its state.
        """
        with self.store.read() as tx:
            known = tx.incident(incident_id)
        seen = IncidentState.SUSPECTED if known is None else known.state
        step = incidents.Step(incident_id, seen, state, reason)
        signature = sign_detached(canonical(step.document()), key, content=incidents.STEP)
        return self.desk.commit(self.desk.step(step, signature))

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

    def import_recipients(self, carrier: str, source: bytes | BinaryIO) -> int:
        """Read a carrier's recipient list, CSV or Parquet; all of it or nothing.

        Raises:
            UnknownNameError: the carrier is not configured.
            InputError: lines are wrong; names them.
        """
        if carrier not in self.deployment.carriers:
            raise UnknownNameError("carrier", carrier, known=tuple(self.deployment.carriers))
        lines = read_recipients(
            io.BufferedReader(io.BytesIO(source)) if isinstance(source, bytes) else source,
            regions=self.deployment.regions,
            languages=self.deployment.country.languages,
        )
        return self.store.put_recipients(carrier, lines)

    # Radio networks

    def import_cells(self, network: str, octets: bytes) -> CellMap:
        """Take in the cells of a network from CSV, in place of those that were there.

        Raises:
            UnknownNameError: no controller of this gateway belongs to the network.
            InputError: a line is wrong; names the line.
        """
        if network not in self.deployment.networks:
            known = tuple(self.deployment.networks) or ("none",)
            raise UnknownNameError("network", network, known=known)
        regions = self.deployment.regions
        sites = parse_cells(
            octets,
            regions=regions,
            plmns=self.deployment.networks[network].plmns,
            find=(lambda points: RegionFinder(regions).find(points)) if regions.polygons else None,
        )
        for site in sites:
            if self.deployment.controllers.get(site.controller) != network:
                known = tuple(self.deployment.controllers)
                raise UnknownNameError("controller", site.controller, known=known)
        path = cells_path(self.settings, network)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        replace_file(path, write_cells(sites))
        with self.store.transaction() as tx:
            tx.record(Event(self.clock.now(), network, "cells", GATEWAY, {"cells": len(sites)}))
        return CellMap(sites)

    def peers(self) -> dict[str, Any]:
        """Say how the peers of the serving process stand.

        Raises:
            ConfigurationError: no process serves this gateway.
        """
        if not is_served(self.settings):
            msg = f"no process serves {self.home}; start `cbgateway serve --home {self.home}`"
            raise ConfigurationError(msg)
        try:
            document: dict[str, Any] = json.loads(self.settings.peers.read_bytes())
        except FileNotFoundError:
            return {"asked": 0, "at": self.clock.now().isoformat(), "peers": []}
        return document

    def ask_for_link_tests(self) -> int:
        """Have the serving process test every link; gives the number that `peers` will show."""
        with self.store.transaction() as tx:
            tx.bump(LINK_TEST)
            return tx.count(LINK_TEST)

    # Operations

    def findings(self) -> list[Finding]:
        """Look at everything that `cbgateway doctor` tells."""
        with self.store.read() as tx:
            now = self.clock.now()
            found = findings(self.home, self.settings, self.deployment, tx, now=now)
            untried = contact_problems(tx, self.deployment.directory, now=now)
        found += [Finding("contacts", Level.WARN, problem) for problem in untried] or [
            Finding("contacts", Level.OK, "")
        ]
        damage = self.store.find_damage()
        found.append(
            Finding("database", Level.FAIL if damage else Level.OK, "; ".join(damage[:10]))
        )
        try:
            self.history.check()
        except AuditError as error:
            found.append(Finding("history", Level.FAIL, str(error)))
        else:
            found.append(Finding("history", Level.OK, ""))
        return found

    def backup(self, to: Path, *, with_secrets: bool) -> dict[str, Any]:
        """Write a backup; see `home.write_backup`."""
        return write_backup(
            self.home,
            self.settings,
            self.store,
            to,
            at=self.clock.now(),
            with_secrets=with_secrets,
        )

    def confirm_clock(self) -> None:
        """Have the serving process follow the machine's clock after a jump."""
        with self.store.transaction() as tx:
            tx.bump("clock")
            tx.record(Event(self.clock.now(), "clock", "confirmed", GATEWAY, {}))

    def status(self, store: Store | None = None) -> dict[str, Any]:
        """Say how the gateway stands, ready for JSON.

        Args:
            store: reads through another connection than this gateway's own.
        """
        witnessed = self.history.witnessed()
        with (store or self.store).read() as tx:
            states = {state.value: count for state, count in tx.count_bulletins().items()}
            deliveries: dict[str, dict[str, int]] = {}
            for (peer_id, state), count in tx.count_open().items():
                deliveries.setdefault(peer_id, {})[state.value] = count
            size = tx.audit_size()
            missed = tx.count(promises.COUNTER)
            promised = self.telling.promises_in(tx)
            drills = self.telling.drill_reminder(tx)
            briefings = self.telling.briefing_coverage(tx)
            enquiries = self.asking.summary(tx)
        return {
            "mode": self.settings.mode.value,
            "gateway": self.store.meta["gateway_id"],
            "is_served": is_served(self.settings),
            "bulletins": states,
            "open_deliveries": {
                code: deliveries.get(code, {})
                for code in (*self.settings.carriers, *self.settings.controllers)
            },
            "audit": {
                "origin": self.history.origin,
                "entries": size,
                "witnessed": None if witnessed is None else witnessed.size,
            },
            "promises": {"missed": missed, "open": promised},
            "drills": drills,
            "briefings": briefings,
            "enquiries": enquiries,
            "has_ballast": ballast_of(self.settings).is_there(),
            "peers": self._peer_ages(),
        }

    def _peer_ages(self) -> dict[str, Any]:
        """Say of each peer of the serving process whether it is up, and when its way was proved."""
        try:
            peers = self.peers()["peers"]
        except ConfigurationError:
            return {}  # nobody serves
        ages: dict[str, Any] = {}
        for peer in peers:
            passed_at = (peer["link_test"] or {}).get("passed_at")
            age = None
            if passed_at is not None:
                age = (self.clock.now() - datetime.fromisoformat(passed_at)).total_seconds()
            ages[peer["peer_id"]] = {"is_up": peer["is_up"], "link_test_age_s": age}
        return ages

    async def serve(self, stop: asyncio.Event, on_ready: Callable[[], None] | None = None) -> None:
        """Dispatch until `stop` is set, then end in order.

        Args:
            stop: set when it is time to end.
            on_ready: called once everything that a crash left is named, and work begins.

        Raises:
            ConfigurationError: mode live, and something is not as it has to be.
            AuditError: the audit log is not the one that was witnessed.
            WorkflowError: it is an offline kit whose time is over.
            StoreError: another process serves this gateway already.
            StoreFailedError: the disk failed.
        """
        with serving_lock(self.settings):
            with self.store.read() as tx:
                replace(self.deployment, kit=tx.own_kit()).check_is_open(self.clock.now())
                found = findings(
                    self.home, self.settings, self.deployment, tx, now=self.clock.now()
                )
            check_may_serve(found, self.settings.mode)  # every reason before the first that raises
            inbox = Inbox(self.store, self.deployment, self.clock)
            links = self._links(inbox)
            answering = self.asking.answering(links, inbox.arrivals)
            ballast = ballast_of(self.settings)
            ballast.hold()
            self.store.on_full = ballast.release
            dispatcher = Dispatcher(
                self.store,
                self.deployment,
                links,
                clock=self.clock,
                random=random.random,
                inbox=inbox,
            )
            reloader = Reloader(
                self.store,
                self.deployment,
                [link for link in links.values() if isinstance(link, ReloadingLink)],
                clock=self.clock,
            )
            beside = [
                asyncio.create_task(work)
                for work in (
                    self._witness(),
                    reloader.run(),
                    self._link_tests(links).run(),
                    self.asking.watch_reports(),
                )
            ]
            answers = asyncio.create_task(_answer(answering, stop))
            done = asyncio.Event()
            telling = asyncio.create_task(self._tell(done))
            try:
                async with (
                    serving_http(self.desk, self.status, stop, on_ready) as front,
                    serving_mqtt(self.desk, stop),
                ):
                    await dispatcher.run(stop, front.ready)
            finally:
                done.set()
                for task in beside:
                    task.cancel()
                await asyncio.gather(*beside, telling, return_exceptions=True)
                await asyncio.wait([answers], timeout=ANSWERS_TIMEOUT_S)
                answers.cancel()
                await asyncio.gather(answers, return_exceptions=True)
                self.settings.peers.unlink(missing_ok=True)
            await asyncio.to_thread(self.history.checkpoint)

    async def _tell(self, done: asyncio.Event) -> None:
        """Look after promises and pages through a connection of their own."""
        with closing(SqliteStore.open(self.settings.database, mode=self.settings.mode)) as store:
            await replace(self.telling, store=store).run(done)

    async def _witness(self) -> None:
        """Have the audit log witnessed whenever it has grown."""
        seen = -1
        problem = ""
        while True:
            try:
                with self.store.read() as tx:
                    size = tx.audit_size()
                if size != seen:
                    await asyncio.to_thread(self.history.checkpoint)
                    seen, problem = size, ""
            except GatewayError as error:
                if str(error) != problem:
                    problem = str(error)
                    logger.error("the audit log cannot be witnessed: {}", error)
            await asyncio.sleep(WITNESS_INTERVAL_S)

    def _link_tests(self, links: Mapping[str, CarrierLink]) -> LinkTests:
        networks, controllers = self.deployment.networks, self.deployment.controllers
        return LinkTests(
            self.store,
            [link for link in links.values() if isinstance(link, ProbedLink)],
            intervals_s={
                name: networks[network].cbsp.link_test_interval_s
                for name, network in controllers.items()
            },
            clock=self.clock,
            publish=lambda text: replace_file(self.settings.peers, text.encode(), is_durable=False),
        )

    def _links(self, inbox: Inbox) -> Mapping[str, CarrierLink]:
        return self._carrier_links(inbox) | self._controller_links()

    def _controller_links(self) -> dict[str, CarrierLink]:
        listeners = Listeners()
        return {
            name: make_controller_link(
                name,
                self.deployment.networks[one.network],
                ControllerEndpoint(one.role, one.host, one.port, one.source),
                listeners=listeners,
                random=random.random,
            )
            for name, one in self.settings.controllers.items()
        }

    def _carrier_links(self, inbox: Inbox) -> dict[str, CarrierLink]:
        return {
            code: make_link(
                self.deployment.carriers[code],
                places=settings.places,
                system_id=settings.system_id,
                password=read_password(settings.password_file),
                random=random.random,
                tls=tls_context(settings),
                server_name=settings.tls_server_name,
                inbox=inbox,
                outbind=_outbind(settings),
            )
            for code, settings in self.settings.carriers.items()
        }


async def _answer(answering: Answering | None, stop: asyncio.Event) -> None:
    """Answer people until asked to stop; a failure of it costs bulletins nothing."""
    if answering is None:
        return
    try:
        await answering.run(stop)
    except* Exception as failures:  # noqa: BLE001 - a task boundary: bulletins go on
        logger.opt(exception=failures).error("nobody is answered any more")


def _outbind(settings: CarrierSettings) -> Outbind | None:
    """Give where a peer may connect to us; None where it may not."""
    given = settings.outbind
    if given is None:
        return None
    centre = Credentials(given.system_id, read_password(given.password_file))
    return Outbind(given.host, given.port, centre)


def load_checked_profiles(root: Path | None) -> Profiles:
    """Load profiles after checking everything in them.

    Raises:
        ProfileError: with every problem found, by file and key.
    """
    return load_profiles(root, can_encode)


def make_deployment(settings: Settings, profiles: Profiles) -> Deployment:
    """Choose the profiles that a gateway's settings name.

    Raises:
        UnknownNameError: they name a country, carrier or deadlines that no profile has.
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
        overrides = {
            "window_requests_max": carrier_settings.window_requests_max,
            "more_binds": carrier_settings.more_binds,
        }
        changes = {name: value for name, value in overrides.items() if value is not None}
        carrier = carrier.model_copy(update={"smpp": carrier.smpp.model_copy(update=changes)})
        if carrier_settings.messages_per_s is not None:
            pacing = Pacing(messages_per_s=carrier_settings.messages_per_s)
            carrier = carrier.model_copy(update={"pacing": pacing})
        carriers[code] = carrier
    networks = {}
    for one in settings.controllers.values():
        if one.network not in profiles.networks:
            raise UnknownNameError("network", one.network, known=tuple(profiles.networks))
        networks[one.network] = profiles.networks[one.network]
    regions = profiles.regions[settings.country]
    return Deployment(
        asked_at=_asked_at(settings, carriers),
        site_url=settings.site_url,
        mode=settings.mode,
        country=profiles.countries[settings.country],
        regions=regions,
        carriers=carriers,
        templates=profiles.templates.get(settings.country, {}),
        networks=networks,
        controllers={name: one.network for name, one in settings.controllers.items()},
        cells={code: _load_cells(settings, network, regions) for code, network in networks.items()},
        deadlines=_deadlines(settings, profiles),
        directory=profiles.directories.get(settings.country, Directory()),
        words={
            language: profiles.words[language]
            for language in profiles.countries[settings.country].languages
            if language in profiles.words
        },
    )


def _asked_at(settings: Settings, carriers: Mapping[str, CarrierProfile]) -> dict[str, str]:
    """Give the number that people ask at, for each carrier whose questions are answered.

    Raises:
        UnknownNameError: a carrier that is none of this gateway's.
        InputError: its profile has no number that people could ask at.
    """
    numbers = {}
    for code in settings.enquiries.carriers:
        if code not in carriers:
            raise UnknownNameError("carrier", code, known=tuple(carriers))
        asked = carriers[code].smpp.enquiries
        if asked is None or not asked.address:
            msg = f"enquiries.carriers: the profile of {code!r} has no smpp.enquiries"
            raise InputError(msg)
        numbers[code] = asked.address
    return numbers


def _deadlines(settings: Settings, profiles: Profiles) -> DeadlineProfile:
    code = settings.deadlines or profiles.countries[settings.country].deadlines
    if code not in profiles.deadlines:
        raise UnknownNameError("deadline profile", code, known=tuple(profiles.deadlines))
    return profiles.deadlines[code]


def _load_cells(settings: Settings, network: NetworkProfile, regions: Regions) -> CellMap:
    """Read the cells that were imported; a network without any has none.

    Raises:
        InputError: somebody has changed the file.
    """
    path = cells_path(settings, network.code)
    if not path.exists():
        return CellMap()
    sites = parse_cells(path.read_bytes(), regions=regions, plmns=network.plmns, find=None)
    return CellMap(sites)


def cells_path(settings: Settings, network: str) -> Path:
    """Give where a network's cells stand."""
    return settings.cells / f"{network}.csv"


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
    witness: Path | None = None,
) -> Settings:
    """Make a gateway: settings, database, a sealing key for every region, a password per carrier.

    Args:
        home: a folder that is not there yet, or empty.
        mode: what the database is for; can never be changed.
        country: code of a country profile.
        ports: of message centres on this machine, by code of the carrier profile.
        clock: wall time.
        reconnect_delay_max_s: overrides the carriers' profiles.
        witness: where checkpoints of the audit log are kept; None for inside the folder.

    Raises:
        InputError: the folder is in use.
        UnknownNameError: no such country or carrier.
    """
    known = carriers_of(country)
    for code in ports:
        if code not in known:
            raise UnknownNameError("carrier", code, known=known)
    text = _settings_text(mode, country, ports, reconnect_delay_max_s, witness)
    profiles = load_checked_profiles(None)
    return make_home(home, text, profiles, mode=mode, country=country, at=clock.now())


def restore(backup: Path, home: Path, *, clock: Clock) -> dict[str, Any]:
    """Put a backup in place and give its manifest; see `home.restore_home`."""
    manifest, members = read_backup(backup)
    settings = restore_home(home, members, at=clock.now(), manifest=manifest)
    with Gateway.open(home, clock=clock) as gateway:
        gateway.history.checkpoint()
    return manifest | {"settings": str(settings.database)}


def _settings_text(
    mode: Mode,
    country: str,
    ports: Mapping[str, int],
    reconnect_delay_max_s: float | None,
    witness: Path | None,
) -> str:
    lines = [
        "# One gateway. Relative paths start here. Mode and country belong to the database.",
        f'mode = "{mode}"',
        f'country = "{country}"',
        f"ballast_mib = {BALLAST_MIB[mode]}",
    ]
    if witness is not None:
        # a JSON string is a TOML one, whatever is in the path
        lines.append(f"witness = {json.dumps(str(witness.absolute()), ensure_ascii=False)}")
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
