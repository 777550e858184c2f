"""What people ask a gateway, put together: keys, answering, and what operators see of it."""

import asyncio
import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from loguru import logger

from cbgateway.domain.errors import (
    ConfigurationError,
    GatewayError,
    KeyUnusableError,
    StoreFailedError,
)
from cbgateway.domain.ports import AnsweringLink, CarrierLink, Clock, Transaction
from cbgateway.home import replace_file
from cbgateway.keyring import Keyring
from cbgateway.service import proposals
from cbgateway.service.answering import Answering
from cbgateway.service.crowds import CAUSE, Crowd, find_crowds, report_documents
from cbgateway.service.deployment import Deployment
from cbgateway.service.enquiries import Enquiries, note_question, summary
from cbgateway.service.outlook import question_documents
from cbgateway.settings import OTHERS, Settings
from cbgateway.signing.canonical import canonical
from cbgateway.signing.jws import sign_detached
from cbgateway.signing.pseudonyms import KEY_OCTETS, Pseudonyms, new_key
from cbgateway.storage.sqlite import SqliteStore

WATCH_S = 5.0
"""How often reports are counted; nobody waits for it."""


@dataclass(frozen=True, slots=True)
class Asking:
    """Enquiries of one gateway."""

    settings: Settings
    deployment: Deployment
    store: SqliteStore
    clock: Clock
    keyring: Keyring

    def answering(
        self, links: Mapping[str, CarrierLink], arrivals: Callable[[str], asyncio.Event]
    ) -> Answering | None:
        """Give what answers; None where nobody is answered.

        Raises:
            ConfigurationError: a carrier that should be answered by cannot be.
            KeyUnusableError: the keys cannot be used.
        """
        if not self.deployment.asked_at:
            return None
        answering: dict[str, AnsweringLink] = {}
        for peer_id in self.deployment.asked_at:
            link = links[peer_id]
            if not isinstance(link, AnsweringLink):
                msg = f"enquiries: {peer_id} has no short messages"
                raise ConfigurationError(msg)
            answering[peer_id] = link
        keys = EnquiryKeys(self.settings.enquiries.keys_file)
        keys.of(self.clock.now())  # what is wrong with them is said at the start
        return Answering(
            self.store,
            self.deployment,
            answering,
            enquiries=Enquiries(
                self.deployment, gateway_id=self.store.meta["gateway_id"], pseudonyms=keys.of
            ),
            pseudonyms=keys.of,
            clock=self.clock,
            arrivals=arrivals,
        )

    # What operators see

    def summary(self, tx: Transaction) -> dict[str, Any]:
        """Say how enquiries stand, by carrier, ready for JSON."""
        return summary(tx, self.deployment)

    def reports(self, tx: Transaction) -> list[dict[str, Any]]:
        """List what people reported lately, by carrier, region and hour, ready for JSON."""
        return report_documents(tx, now=self.clock.now())

    def questions(self, tx: Transaction, *, limit: int) -> list[dict[str, Any]]:
        """List what was asked and not answered, the most frequent first, ready for JSON."""
        return question_documents(tx, limit=limit)

    def note(self, text: str, *, source: str) -> str:
        """Note a question that somebody could not answer; see `service.enquiries.note_question`."""
        with self.store.transaction() as tx:
            return note_question(tx, text, source=source, now=self.clock.now())

    # Many reports propose a suspected outage

    async def watch_reports(self) -> None:
        """Propose a suspected outage where many people report one, until cancelled.

        Raises:
            StoreFailedError: the disk failed.
        """
        while self.deployment.asked_at:
            await asyncio.sleep(WATCH_S)
            for crowd in await self.store.run(self.crowds):
                try:
                    propose = self.proposing(crowd)
                    if propose is not None:
                        await self.store.run(propose)
                except StoreFailedError:
                    raise
                except GatewayError as error:
                    logger.error("no outage is proposed: {}", error)

    def crowds(self, tx: Transaction) -> list[Crowd]:
        """Find where enough people report an outage; see `service.crowds.find_crowds`."""
        return find_crowds(tx, self.deployment, now=self.clock.now())

    def proposing(self, crowd: Crowd) -> Callable[[Transaction], proposals.Proposal] | None:
        """Have a suspected outage proposed, by the machine that the settings name.

        Returns:
            What does it in a transaction, and raises what `proposals.take_alarm` does; None where
            the settings name nobody.

        Raises:
            SignatureInvalidError: the machine has no key that counts.
        """
        proposer = self.settings.enquiries.proposer
        if proposer is None:
            return None
        now = self.clock.now()
        at = now.replace(microsecond=0)
        document = {
            "alarm": crowd.name,
            "cause": CAUSE,
            "carrier": crowd.peer_id,
            "region": crowd.region,
            "raised": at.isoformat(),
        }
        key = self.keyring.person_signing_key(proposer)
        signature = sign_detached(canonical(document), key, content=proposals.ALARM)
        alarm = proposals.Alarm(
            document=document,
            alarm_id=crowd.name,
            cause=f"{CAUSE}:{crowd.region}",
            carrier=crowd.peer_id,
            services=(),
            region=crowd.region,
            raised_at=at,
            is_cleared=False,
        )
        return lambda tx: proposals.take_alarm(
            tx, self.deployment, alarm, signature=signature, now=now
        )


class EnquiryKeys:
    """The keys of senders and subscribers, in a file that nobody else can read.

    The file holds the key of today and the lasting one; the day before is thrown away.
    """

    def __init__(self, path: Path) -> None:
        """Read nothing yet."""
        self._path = path
        self._day = ""
        self._names: Pseudonyms | None = None

    def of(self, now: datetime) -> Pseudonyms:
        """Give the keys of a day, and forget those of the day before.

        Raises:
            KeyUnusableError: the file cannot be read or written, or others can read it.
        """
        day = f"{now:%Y-%m-%d}"
        if self._names is None:
            self._day, self._names = self._read()
        if self._names is None or day > self._day:  # a clock that goes back brings none back
            lasting = new_key() if self._names is None else self._names.lasting_key
            self._day, self._names = day, Pseudonyms(new_key(), lasting)
            self._write()
        return self._names

    def _read(self) -> tuple[str, Pseudonyms | None]:
        try:
            mode = self._path.stat().st_mode
            document = json.loads(self._path.read_bytes())
            keys = [base64.b64decode(document[name], validate=True) for name in ("day_key", "key")]
            day = str(document["day"])
        except FileNotFoundError:
            return "", None
        except (OSError, ValueError, KeyError, TypeError) as error:
            msg = f"enquiry keys {self._path}: {error!r}"
            raise KeyUnusableError(msg) from error
        if mode & OTHERS or any(len(key) != KEY_OCTETS for key in keys):
            msg = f"enquiry keys {self._path} are cut, or can be read by others; run: chmod 600"
            raise KeyUnusableError(msg)
        return day, Pseudonyms(*keys)

    def _write(self) -> None:
        assert self._names is not None  # noqa: S101 - it was just made
        names = {"day_key": self._names.day_key, "key": self._names.lasting_key}
        document = {"day": self._day}
        document |= {name: base64.b64encode(key).decode() for name, key in names.items()}
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            replace_file(self._path, json.dumps(document).encode())
        except OSError as error:
            msg = f"enquiry keys {self._path}: {error}"
            raise KeyUnusableError(msg) from error
