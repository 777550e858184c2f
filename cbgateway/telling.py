"""What a gateway tells beside its bulletins: pages, briefings, promises, reports."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loguru import logger

from cbgateway.domain.errors import GatewayError
from cbgateway.domain.ports import Clock, Transaction
from cbgateway.public.briefing_page import briefing_page
from cbgateway.public.common import Site
from cbgateway.public.export import Exported, export
from cbgateway.public.site import files, make_site
from cbgateway.service import promises as kept
from cbgateway.service.briefing import briefing, note_reading, readers_of
from cbgateway.service.deployment import Deployment
from cbgateway.service.publication import HOLDS, Publication, publication
from cbgateway.settings import Settings
from cbgateway.storage.sqlite import SqliteStore

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
        site = self.site()
        if url is not None:
            site = make_site(site.deployment, site.publication, url=url)
        return export(folder, files(site))

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
            seen = self.publication(tx)
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
            )

    def briefing_page(self, incident_id: str, *, language: str, number: int | None = None) -> bytes:
        """Give a call-centre briefing as a page."""
        document = self.briefing(incident_id, language=language, number=number)
        return briefing_page(self.site(), self.deployment.words[language], document)

    def note_reading(self, bulletin_id: str, *, reader: str) -> bool:
        """Write down that somebody has read a briefing; False when that stood there already."""
        with self.store.transaction() as tx:
            return note_reading(tx, bulletin_id, reader=reader, now=self.clock.now())

    def promises(self) -> list[dict[str, Any]]:
        """List what is promised, the earliest first, ready for JSON."""
        now = self.clock.now()
        with self.store.read() as tx:
            return [
                {
                    "incident": one.incident_id,
                    "bulletin": one.bulletin_id or None,
                    "due": one.due.isoformat(),
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
        """Note what was missed, if anything was; reads only while nothing is."""
        now = self.clock.now()
        with self.store.read() as tx:
            if not kept.unnoted(tx, self.deployment, now=now):
                return ()
        with self.store.transaction() as tx:
            return kept.sweep(tx, self.deployment, now=now)

    async def run(self) -> None:
        """Look after promises and the public pages until cancelled."""
        problem = ""
        while True:
            try:
                await asyncio.to_thread(self._round)
                problem = ""
            except GatewayError as error:
                if str(error) != problem:
                    problem = str(error)
                    logger.error("pages or promises cannot be kept: {}", problem)
            await asyncio.sleep(SWEEP_INTERVAL_S)

    def _round(self) -> None:
        for one in self.sweep():
            logger.bind(incident=one.incident_id, due=one.due.isoformat()).warning(
                "a promised update is late"
            )
        if self.settings.site is not None:
            self.export_site(self.settings.site)
