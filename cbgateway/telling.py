"""What a gateway tells beside its bulletins: pages, briefings, promises, reports."""

import asyncio
import base64
import contextlib
import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from loguru import logger

from cbgateway.domain.bulletin import Bulletin, BulletinKind, Confidence, Facts
from cbgateway.domain.delivery import Event
from cbgateway.domain.errors import (
    GatewayError,
    InputError,
    PermissionDeniedError,
    StoreError,
    StoreFailedError,
    UnknownNameError,
)
from cbgateway.domain.incident import Incident, IncidentState
from cbgateway.domain.ports import Clock, Transaction
from cbgateway.interfaces.cap.exchange import CapExchange
from cbgateway.interfaces.cap.incoming import CapSender
from cbgateway.interfaces.carrier_log import FAULTS_MAX, Measured, parse_carrier_log
from cbgateway.profiles.contacts import Contact
from cbgateway.public.briefing_page import briefing_page
from cbgateway.public.common import Site
from cbgateway.public.export import Exported, export
from cbgateway.public.site import alerts, files, make_site
from cbgateway.service import drills as practised
from cbgateway.service import promises as kept
from cbgateway.service.approval import DECISION
from cbgateway.service.authority import signer_of
from cbgateway.service.briefing import briefing, coverage, note_reading, readers_of
from cbgateway.service.contacts import checks, confirm, confirmation_document, contact_named
from cbgateway.service.deployment import Deployment
from cbgateway.service.drills import Drill, Wanted
from cbgateway.service.evidence import GATEWAY
from cbgateway.service.postmortem import MEASURED, OBSERVED, report
from cbgateway.service.publication import HOLDS, Publication, is_out, publication
from cbgateway.service.wording import STANDS_IN, check_wording, with_code
from cbgateway.settings import Settings
from cbgateway.signing import tlog
from cbgateway.signing.canonical import canonical
from cbgateway.signing.jws import sign_detached
from cbgateway.signing.keys import SigningKey
from cbgateway.signing.xmldsig import load_certificate, load_signing_key
from cbgateway.storage.rows import event_of, moment
from cbgateway.storage.sqlite import SqliteStore

SOURCE_CHARACTERS_MAX = 120
CLOCKS_DIFFER = timedelta(seconds=60)
"""How far a carrier's clock may be from ours in a log that is believed."""
SWEEP_INTERVAL_S = 1.0
"""How soon a missed promise is noticed; people are told to count on five seconds."""


@dataclass(frozen=True, slots=True)
class Telling:
    """Pages, briefings and promises of one gateway."""

    settings: Settings
    deployment: Deployment
    store: SqliteStore
    clock: Clock

    def publication(self, tx: Transaction) -> Publication:
        """Give what the public may see now."""
        gateway_id = self.store.meta["gateway_id"]
        return publication(tx, gateway_id, mode=self.settings.mode, now=self.clock.now())

    def site(self) -> Site:
        """Give what the public site is made of, as of now."""
        with self.store.read() as tx:
            return self.site_in(tx)

    def site_in(self, tx: Transaction) -> Site:
        """Give the same inside a transaction that is open already."""
        return make_site(self.deployment, self.publication(tx), url=self.settings.site_url)

    def export_site(self, folder: Path, *, url: str | None = None) -> Exported:
        """Bring a folder with the public site up to date.

        Raises:
            InputError: the folder is somebody else's, or cannot be written.
        """
        self.publish_alerts()
        site = self.site()
        if url is not None:
            site = make_site(site.deployment, site.publication, url=url)
        lasting = {path: partial(self.alert, name) for path, name in alerts(site).items()}
        return export(folder, files(site), lasting)

    def publish_alerts(self) -> tuple[str, ...]:
        """Make a CAP alert of every bulletin that went out and has none yet; gives which.

        What was made stays as it is for ever. Each is a transaction of its own, so that none of
        them holds up a bulletin that is about to go out; one that cannot be made, because profiles
        or keys have changed since, holds up no page.

        Raises:
            StoreError: the database cannot be used.
        """
        with self.store.read() as tx:
            missing = tx.unpublished()
        made = []
        for bulletin_id in missing:
            try:
                exchange = cap_exchange(self.settings, self.deployment, self.store)
                with self.store.transaction() as tx:
                    exchange.export(tx, bulletin_id, now=self.clock.now())
            except StoreError:
                raise
            except (GatewayError, LookupError) as error:
                logger.bind(bulletin=bulletin_id).error("no alert can be made: {}", error)
            else:
                made.append(bulletin_id)
        return tuple(made)

    def alert(self, bulletin_id: str) -> bytes:
        """Give a bulletin's CAP alert, as it was made.

        Raises:
            UnknownNameError: there is none.
        """
        with self.store.read() as tx:
            record = tx.bulletin(bulletin_id)
            if record is not None and is_out(record):
                found = tx.publication_of(bulletin_id, record.submission.content_hash)
                if found is not None:
                    return found.octets
        raise UnknownNameError("bulletin", bulletin_id, known=("`bulletin list`",))

    def verify_code(self, text: str) -> dict[str, Any]:
        """Give what was said under a verification code, ready for JSON.

        Raises:
            UnknownCodeError: it is not ours.
        """
        with self.store.read() as tx:
            outage, notice = self.publication(tx).notice_with_code(text)
        bulletin = notice.bulletin
        return {
            "code": bulletin.code,
            "is_ours": True,
            "holds": notice.state in HOLDS and notice == outage.newest,
            "bulletin": bulletin.bulletin_id,
            "kind": bulletin.kind.value,
            "state": notice.state.value,
            "mode": bulletin.mode.value,
            "said_at": notice.said_at.isoformat(),
            "regions": list(bulletin.regions),
            "texts": dict(bulletin.texts),
        }

    def briefing(
        self, incident_id: str, *, language: str, number: int | None = None
    ) -> dict[str, Any]:
        """Give a call-centre briefing; see `service.briefing.briefing`."""
        with self.store.read() as tx:
            return self._briefing(tx, self.publication(tx), incident_id, language, number)

    def briefings_in(
        self, tx: Transaction, languages: Sequence[str] | None = None
    ) -> Iterator[dict[str, Any]]:
        """Give the briefing of each outage that goes on, or ended within a day.

        Args:
            tx: reads the store.
            languages: in these; None for all.
        """
        seen = self.publication(tx)
        for outage in (*seen.current, *seen.recent):
            for language in languages or self.deployment.words:
                yield self._briefing(tx, seen, outage.incident.incident_id, language, None)

    def _briefing(
        self,
        tx: Transaction,
        seen: Publication,
        incident_id: str,
        language: str,
        number: int | None,
    ) -> dict[str, Any]:
        outage = seen.outage(incident_id)
        readers: Sequence[str] = ()
        if outage is not None:
            chosen = outage.newest.bulletin.number if number is None else number
            readers = readers_of(tx, f"{incident_id}/{chosen}")
        return briefing(
            self.deployment,
            seen,
            incident_id,
            language=language,
            number=number,
            readers=readers,
            contacts=checks(tx, self.deployment.directory, now=seen.at),
        )

    def briefing_coverage(self, tx: Transaction) -> list[dict[str, Any]]:
        """Say for each outage that goes on who has read its newest briefing."""
        expected = self.settings.briefing_readers
        return [
            {
                "incident": outage.incident.incident_id,
                "bulletin": outage.newest.bulletin.bulletin_id,
                **coverage(readers_of(tx, outage.newest.bulletin.bulletin_id), expected),
            }
            for outage in self.publication(tx).current
        ]

    def briefing_page(self, incident_id: str, *, language: str, number: int | None = None) -> bytes:
        """Give a call-centre briefing as a page."""
        document = self.briefing(incident_id, language=language, number=number)
        return briefing_page(self.site(), self.deployment.words[language], document)

    def note_reading(self, bulletin_id: str, *, reader: str) -> bool:
        """Write down that somebody has read a briefing; False when that stood there already."""
        with self.store.transaction() as tx:
            return note_reading(tx, bulletin_id, reader=reader, now=self.clock.now())

    def report(self, incident_id: str, *, entries: Iterable[bytes] | None = None) -> dict[str, Any]:
        """Give the report after an incident, of the audit log alone.

        Args:
            incident_id: which one.
            entries: leaves of an exported log; None for this gateway's own.

        Raises:
            UnknownNameError: nothing of it was said.
            InputError: the leaves are none of an audit log.
        """
        if entries is not None:
            return report(read_events(entries), incident_id)
        with self.store.read() as tx:
            return report(tx.events(), incident_id)

    def lint(
        self,
        text: str,
        *,
        language: str,
        carrier: str,
        kind: BulletinKind,
        cause: str,
        confidence: Confidence,
    ) -> tuple[str, ...]:
        """Look at a text as intake would; gives warnings.

        Raises:
            ContactError: a number or link is not verified, or needs the network that failed.
            CauseError: a cause is claimed that is not confirmed.
            UnknownNameError: no such language or carrier.
        """
        if language not in self.deployment.country.languages:
            known = tuple(self.deployment.country.languages)
            raise UnknownNameError("language", language, known=known)
        if carrier and carrier not in self.deployment.carriers:
            raise UnknownNameError("carrier", carrier, known=tuple(self.deployment.carriers))
        now = self.clock.now()
        bulletin = Bulletin(
            bulletin_id="text/1",
            incident_id="text",
            number=1,
            kind=kind,
            sender="",
            identifier="",
            alert_class=self.deployment.country.default_class,
            regions=(),
            texts={language: with_code(text, STANDS_IN)},
            sent=now,
            expires=now,
            next_update_at=None,
            references=(),
            mode=self.settings.mode,
            facts=Facts(cause=cause, confidence=confidence),
        )
        incident = Incident("text", carrier, (), now, IncidentState.INVESTIGATING)
        return check_wording(self.deployment, bulletin, incident, read_back=())

    def note_display(
        self, bulletin_id: str, *, carrier: str, region: str, at: datetime, source: str
    ) -> None:
        """Write down that a phone was seen to show a bulletin: by a probe, or by somebody.

        Raises:
            UnknownNameError: no such bulletin, carrier or region.
            InputError: nothing says who saw it.
        """
        self.deployment.check_region(region)
        if carrier not in self.deployment.carriers:
            raise UnknownNameError("carrier", carrier, known=tuple(self.deployment.carriers))
        if not source.strip():
            msg = "source: say who or what saw it"
            raise InputError(msg)
        detail = {"carrier": carrier, "region": region, "at": at.isoformat(), "source": source}
        with self.store.transaction() as tx:
            if tx.bulletin(bulletin_id) is None:
                raise UnknownNameError("bulletin", bulletin_id, known=("`bulletin list`",))
            tx.record(Event(self.clock.now(), bulletin_id, OBSERVED, GATEWAY, detail))

    def import_carrier_log(self, octets: bytes, *, source: str) -> int:
        """Take in what a carrier measured: all or nothing; the same log again changes nothing.

        Args:
            octets: CSV or JSON, as `interfaces.carrier_log` has it.
            source: who gave it; stands beside every figure that comes from it.

        Returns:
            How many rows were new.

        Raises:
            InputError: a row is wrong, or about something that did not happen here; names them.
        """
        if not source.strip() or len(source) > SOURCE_CHARACTERS_MAX or not source.isprintable():
            msg = f"source: say who gave the log, in 1 to {SOURCE_CHARACTERS_MAX} characters"
            raise InputError(msg)
        rows = parse_carrier_log(octets)
        digest = hashlib.sha256(octets).hexdigest()
        now = self.clock.now()
        with self.store.transaction() as tx:
            if any(self._has_log(tx, name, digest) for name in {row.bulletin for row in rows}):
                return 0
            faults = [fault for row in rows for fault in self._faults(tx, row, now)]
            if faults:
                more = len(faults) - FAULTS_MAX
                shown = faults[:FAULTS_MAX] + ([f"and {more} more faults"] if more > 0 else [])
                raise InputError(*shown)
            for row in rows:
                detail = {**row.document(), "source": source.strip(), "sha256": digest}
                tx.record(Event(now, row.bulletin, MEASURED, GATEWAY, detail))
        return len(rows)

    @staticmethod
    def _has_log(tx: Transaction, bulletin_id: str, digest: str) -> bool:
        events = tx.events(bulletin_id)
        return any(one.what == MEASURED and one.detail["sha256"] == digest for one in events)

    def _faults(self, tx: Transaction, row: Measured, now: datetime) -> Iterator[str]:
        """Say what a row tells that cannot be."""
        record = tx.bulletin(row.bulletin)
        if record is None or record.decision is None or not is_out(record):
            yield f"{row.place}: bulletin {row.bulletin!r} did not go out here"
            return
        if row.carrier not in {*self.deployment.carriers, *self.deployment.controllers}:
            yield f"{row.place}: carrier {row.carrier!r} is not known here"
        regions = self.deployment.regions
        if not any(
            row.region in regions and regions.contains(one, row.region)
            for one in record.bulletin.regions
        ):
            yield f"{row.place}: {row.bulletin} was not for region {row.region!r}"
        earliest = record.decision.decided_at - CLOCKS_DIFFER
        if not earliest <= row.first_broadcast_at <= now + CLOCKS_DIFFER:
            yield (
                f"{row.place}: on air at {row.first_broadcast_at.isoformat()}, but approved at "
                f"{record.decision.decided_at.isoformat()}, and it is {now.isoformat()}"
            )

    def plan_drill(self, wanted: Wanted, *, key: SigningKey) -> Drill:
        """Plan a drill with somebody's key; see `service.drills.plan`."""
        signature = sign_detached(canonical(wanted.document()), key, content=DECISION)
        with self.store.transaction() as tx:
            return practised.plan(
                tx, self.deployment, wanted, signature=signature, now=self.clock.now()
            )

    def cancel_drill(self, name: str, *, key: SigningKey) -> Drill:
        """Call a drill off with somebody's key; see `service.drills.cancel`."""
        document = practised.cancel_document(name)
        signature = sign_detached(canonical(document), key, content=DECISION)
        with self.store.transaction() as tx:
            return practised.cancel(tx, name, signature=signature, now=self.clock.now())

    def score_drill(
        self, name: str, incident_id: str, *, entries: Iterable[bytes] | None = None
    ) -> Drill:
        """Score a drill by what was told in it; see `service.drills.note_score`.

        Args:
            name: of the drill.
            incident_id: what was told.
            entries: leaves of the exercise gateway's exported log; None for this gateway's own.
        """
        report = self.report(incident_id, entries=entries)
        with self.store.transaction() as tx:
            now = self.clock.now()
            return practised.note_score(tx, name, report, actor=GATEWAY, now=now)

    def drills(self) -> tuple[Drill, ...]:
        """Give every drill, by its beginning."""
        with self.store.read() as tx:
            return practised.drills(tx)

    def drill_reminder(self, tx: Transaction) -> dict[str, Any]:
        """Say when the last drill was and the next one is, ready for JSON."""
        since = moment(int(self.store.meta["created_ms"]))
        return practised.reminder(practised.drills(tx), since=since, now=self.clock.now())

    def contacts(self) -> list[dict[str, Any]]:
        """List the directory of numbers and links with when each was tried, ready for JSON."""
        with self.store.read() as tx:
            found = checks(tx, self.deployment.directory, now=self.clock.now())
        return [
            {
                "contact": one.contact.value,
                "name": dict(one.contact.name),
                "depends_on": list(one.contact.depends_on),
                "is_verified": one.is_verified,
                "checked_at": None if one.at is None else one.at.isoformat(),
                "checked_by": one.by or None,
            }
            for one in found
        ]

    def confirm_contact(self, name: str, *, key: SigningKey) -> Contact:
        """Note that somebody has tried an entry of the directory, and it is right.

        Raises:
            UnknownNameError: the directory has no such entry.
            SignatureInvalidError: nobody who is known here has this key.
            PermissionDeniedError: the permissions of whoever has it were revoked.
        """
        now, directory = self.clock.now(), self.deployment.directory
        document = canonical(confirmation_document(contact_named(directory, name), at=now))
        signature = sign_detached(document, key, content=DECISION)
        with self.store.transaction() as tx:
            person = signer_of(tx, signature, document, content=DECISION, at=now)
            if person.is_revoked:
                msg = f"the permissions of {person.name!r} were revoked"
                raise PermissionDeniedError(msg)
            return confirm(tx, directory, name, person=person.name, signature=signature, now=now)

    def promises(self) -> list[dict[str, Any]]:
        """List what is promised, the earliest first, ready for JSON."""
        with self.store.read() as tx:
            return self.promises_in(tx)

    def promises_in(self, tx: Transaction) -> list[dict[str, Any]]:
        """Give the same inside a transaction that is open already."""
        now = self.clock.now()
        return [
            {
                "incident": one.incident_id,
                "bulletin": one.bulletin_id or None,
                "due": self.deployment.local(one.due).isoformat(),
                "seconds_left": round((one.due - now).total_seconds()),
                "is_missed": one.is_missed(now),
            }
            for one in kept.promises(tx, self.deployment)
        ]

    def accept_document(self, bulletin_id: str, *, sender: str) -> bytes:
        """Give the document that submits a draft which the gateway has made."""
        with self.store.read() as tx:
            document = kept.accept_document(
                tx, self.deployment, bulletin_id, sender=sender, now=self.clock.now()
            )
        return json.dumps(document, ensure_ascii=False).encode()

    def sweep(self) -> tuple[kept.Promise, ...]:
        """Note what was missed, if anything was; reads only while nothing is due."""
        now = self.clock.now()
        missed: tuple[kept.Promise, ...] = ()
        while True:
            with self.store.read() as tx:
                if not kept.due(tx, self.deployment, now=now):
                    return missed
            with self.store.transaction() as tx:
                missed += kept.sweep(tx, self.deployment, now=now)

    async def run(self, done: asyncio.Event) -> None:
        """Look after promises and the public pages until `done`, or until the disk fails.

        It works in a thread, so its store has to be its own: nobody waits for a read of it.
        """
        problem = ""
        shown: object = None
        while not done.is_set():
            try:
                shown = await asyncio.to_thread(self._round, shown)
                problem = ""
            except StoreFailedError as error:
                logger.error("promises are looked after no more: {}", error)
                return  # after a failed commit nothing is tried again
            except GatewayError as error:
                if str(error) != problem:
                    problem = str(error)
                    logger.error("pages or promises cannot be kept: {}", problem)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(done.wait(), SWEEP_INTERVAL_S)

    def _round(self, shown: object) -> object:
        """Look once; gives what the site shows, which is made anew when that is another.

        Pages change with the history, and with times that pass: to the minute is soon enough.
        """
        for one in self.sweep():
            logger.bind(incident=one.incident_id, due=one.due.isoformat()).warning(
                "a promised update is late"
            )
        if self.settings.site is None and self.settings.http is None:
            return None
        with self.store.read() as tx:
            wanted = tx.audit_size(), self.clock.now().replace(second=0, microsecond=0)
        if wanted != shown and self.settings.site is None:
            self.publish_alerts()
        elif wanted != shown and self.settings.site is not None:
            self.export_site(self.settings.site)
        return wanted


def cap_exchange(settings: Settings, deployment: Deployment, store: SqliteStore) -> CapExchange:
    """Give what the settings say of those that alerts are exchanged with.

    Raises:
        KeyUnusableError: a key or certificate that they name cannot be used.
    """
    cap = settings.cap
    senders = {
        name: CapSender(one.person, load_certificate(one.certificate), one.carrier)
        for name, one in cap.senders.items()
    }
    signer = None
    if cap.key is not None and cap.certificate is not None:
        signer = load_signing_key(cap.key), load_certificate(cap.certificate)
    name = cap.name or f"cbgateway-{store.meta['gateway_id']}"
    return CapExchange(deployment, name, senders, signer)


def read_events(entries: Iterable[bytes]) -> Iterator[Event]:
    """Read the leaves of an audit log.

    Raises:
        InputError: one is no event.
    """
    for index, entry in enumerate(entries):
        try:
            yield event_of(entry)
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
            msg = f"entry {index} is no event of an audit log"
            raise InputError(msg) from error


def read_export(folder: Path) -> Iterator[bytes]:
    """Give the leaves of a log that `cbgateway audit export` has written, in order.

    Raises:
        InputError: the folder holds none, or something else than its checkpoint says.
        AuditError: a bundle is cut.
    """
    try:
        lines = (folder / "checkpoint").read_text("utf-8").split("\n")
        size, root = int(lines[1]), base64.b64decode(lines[2], validate=True)
        entries: list[bytes] = []
        while len(entries) < size:
            index, width = len(entries) // tlog.TILE_HASHES, size - len(entries)
            path = tlog.tile_path("entries", index, min(width, tlog.TILE_HASHES))
            found = tlog.unbundle((folder / path).read_bytes())
            if not found:
                break
            entries += found
    except (OSError, ValueError, IndexError) as error:
        msg = f"{folder} holds no exported audit log: {error}"
        raise InputError(msg) from error
    if len(entries) != size or tlog.root_of(entries) != root:
        msg = f"{folder}: its entries are not those that its checkpoint is over"
        raise InputError(msg)
    yield from entries
