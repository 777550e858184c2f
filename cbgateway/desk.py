"""The one intake: every write that people and machines ask for, by whatever way they come.

A command signs what it asks for itself, over the network the signature comes along; from there on
both are the same. What is returned from here is committed.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeVar

from cbgateway.domain.bulletin import BulletinKind, BulletinState
from cbgateway.domain.delivery import BulletinRecord
from cbgateway.domain.errors import (
    DiskFullError,
    PermissionDeniedError,
    SignatureInvalidError,
    StaleError,
)
from cbgateway.domain.incident import Incident
from cbgateway.domain.ports import Clock, Transaction
from cbgateway.home import Ballast
from cbgateway.interfaces.cap.exchange import CapExchange
from cbgateway.interfaces.cap.incoming import open_cap
from cbgateway.keyring import Keyring
from cbgateway.service import approval, incidents, intake, proposals
from cbgateway.service.authority import signer_of
from cbgateway.service.briefing import note_reading, receipt_document
from cbgateway.service.deployment import Deployment
from cbgateway.service.writes import Write
from cbgateway.settings import Settings
from cbgateway.signing.canonical import canonical
from cbgateway.signing.jws import sign_detached
from cbgateway.signing.keys import SigningKey
from cbgateway.storage.marks import Marks
from cbgateway.storage.sqlite import SqliteStore
from cbgateway.telling import cap_exchange

T = TypeVar("T")

FULL = "the disk is full; only withdrawals, corrections and the highest class go on"


@dataclass(frozen=True, slots=True)
class Desk:
    """Takes writes in and has them committed."""

    settings: Settings
    deployment: Deployment
    store: SqliteStore
    marks: Marks
    clock: Clock
    keyring: Keyring
    ballast: Ballast

    def submission(
        self, request: intake.Request, signature: str, *, as_draft: bool = False
    ) -> Write[BulletinRecord]:
        """Take a bulletin in, signed by its sender."""
        now = self.clock.now()
        return Write(
            lambda tx: intake.submit(
                tx, self.deployment, request, signature=signature, now=now, as_draft=as_draft
            ),
            self._is_urgent(request.kind, request.alert_class),
        )

    def revision(
        self,
        bulletin_id: str,
        request: intake.Request,
        signature: str,
        *,
        as_draft: bool = False,
    ) -> Write[BulletinRecord]:
        """Put another document in place of a draft's or returned bulletin's."""
        now = self.clock.now()
        return Write(
            lambda tx: intake.revise(
                tx,
                self.deployment,
                bulletin_id,
                request,
                signature=signature,
                now=now,
                as_draft=as_draft,
            ),
            self._is_urgent(request.kind, request.alert_class),
        )

    def taking_back(
        self, bulletin_id: str, *, reason: str, signature: str
    ) -> Write[BulletinRecord]:
        """Have an author take back what nobody has approved."""
        now = self.clock.now()
        return Write(
            lambda tx: intake.take_back(
                tx, bulletin_id, reason=reason, signature=signature, now=now
            ),
            is_urgent=True,
        )

    def refusal(
        self, bulletin_id: str, state: BulletinState, *, reason: str, signature: str
    ) -> Write[BulletinRecord]:
        """Turn a bulletin down, or give it back to its authors."""
        now = self.clock.now()
        return Write(
            lambda tx: approval.refuse(
                tx,
                self.deployment,
                bulletin_id,
                state,
                reason=reason,
                signature=signature,
                now=now,
            ),
            is_urgent=True,
        )

    def receipt(self, bulletin_id: str, reader: str, signature: str) -> Write[bool]:
        """Note that somebody has read a bulletin's briefing, as a person or machine here tells."""
        now = self.clock.now()

        def note(tx: Transaction) -> bool:
            document = canonical(receipt_document(bulletin_id, reader))
            person = signer_of(tx, signature, document, content=approval.DECISION, at=now)
            if person.is_revoked:
                msg = f"the permissions of {person.name!r} were revoked"
                raise PermissionDeniedError(msg)
            told = {"told_by": person.name, "signature": signature}
            return note_reading(tx, bulletin_id, reader=reader, now=now, told=told)

        return Write(note, is_urgent=False)

    # CAP

    def alert(self, octets: bytes, *, key: SigningKey | None = None) -> Write[BulletinRecord]:
        """Take in a CAP alert; the same alert again gives the first answer again.

        Args:
            octets: the document.
            key: of whoever brings it and answers for it; None for an alert that its sender has
                signed, which then counts as the machine that the settings name.

        Raises:
            InputError: it is no sound alert, or does not say what has to be known.
            SignatureInvalidError: it is not signed as it has to be.
        """
        exchange, now = self.exchange(), self.clock.now()
        opened = open_cap(octets, exchange.senders, at=now)
        if key is None:
            if opened.sender is None:
                msg = "the alert is not signed; somebody who is known here has to bring it"
                raise SignatureInvalidError(msg)
            key = self.keyring.person_signing_key(opened.sender.person)
        signing = key

        def take_in(tx: Transaction) -> BulletinRecord:
            public = tx.person_key(signing.key_id)
            if public is None:
                msg = f"nobody with key {signing.key_id!r} is known here"
                raise SignatureInvalidError(msg)
            return exchange.submit(
                tx,
                opened,
                submitter=public.holder,
                sign=lambda document: sign_detached(document, signing, content=intake.SUBMISSION),
                now=now,
            )

        return Write(take_in, exchange.is_urgent(opened.alert))

    def publication(self, bulletin_id: str) -> Write[bytes]:
        """Give a bulletin as a CAP alert: the same octets whenever asked."""
        exchange, now = self.exchange(), self.clock.now()
        return Write(lambda tx: exchange.export(tx, bulletin_id, now=now), is_urgent=True)

    def exchange(self) -> CapExchange:
        """Give what the settings say of those that alerts are exchanged with.

        Raises:
            KeyUnusableError: a key or certificate that they name cannot be used.
        """
        return cap_exchange(self.settings, self.deployment, self.store)

    # Decisions

    def prepare(self, bulletin_id: str) -> approval.Prepared:
        """Work out what an approval would send."""
        with self.store.read() as tx:
            return approval.prepare(
                tx, self.deployment, self.marks, bulletin_id, now=self.clock.now()
            )

    def approving(
        self,
        prepared: approval.Prepared,
        make: Callable[[approval.Prepared], approval.Approval],
        *,
        now: datetime,
    ) -> Write[BulletinRecord]:
        """Approve what was prepared.

        Args:
            prepared: what the approver has looked at.
            make: gives the approver's signed decision about what is prepared, which may have to be
                prepared anew with other serial numbers when the disk was full.
            now: when the approver decided.
        """
        bulletin = prepared.record.bulletin
        seal_keys = self.keyring.seal_keys({order.lineage.region for order in prepared.plan.orders})
        first = [prepared]

        def decide(tx: Transaction) -> BulletinRecord:
            current = first.pop() if first else self._prepare_again(tx, prepared, now)
            return approval.approve(
                tx,
                self.deployment,
                self.marks,
                current,
                make(current),
                seal_keys=seal_keys,
                now=now,
            )

        return Write(decide, self._is_urgent(bulletin.kind, bulletin.alert_class))

    def approving_signed(
        self, bulletin_id: str, plan_hash: str, decision: approval.Approval, *, reading: "Desk"
    ) -> Write[BulletinRecord]:
        """Approve what somebody has looked at elsewhere and signed there.

        Args:
            bulletin_id: which one.
            plan_hash: of the plan that was looked at.
            decision: as it was signed.
            reading: looks at the same gateway over connections of its own.

        Raises:
            StaleError: what would be sent now is not what was signed.
        """
        prepared = reading.prepare(bulletin_id)
        if prepared.plan.hash() != plan_hash:
            msg = f"what {bulletin_id} would send is not what was signed; look at its plan again"
            raise StaleError(msg)
        return self.approving(prepared, lambda _: decision, now=self.clock.now())

    def alarm(self, alarm: proposals.Alarm, signature: str) -> Write[proposals.Proposal]:
        """Take an alarm of network monitoring in; it only ever proposes."""
        now = self.clock.now()
        return Write(
            lambda tx: proposals.take_alarm(
                tx, self.deployment, alarm, signature=signature, now=now
            ),
            is_urgent=False,
        )

    def step(self, step: incidents.Step, signature: str) -> Write[Incident]:
        """Note how far somebody says that an outage has got."""
        now = self.clock.now()
        return Write(
            lambda tx: incidents.take_step(tx, self.deployment, step, signature=signature, now=now),
            is_urgent=True,
        )

    def commit(self, write: Write[T]) -> T:
        """Commit; on a full disk, only what is never blocked, in the room that was held for it.

        Raises:
            DiskFullError: there is no room.
        """
        self._check_room(write)
        try:
            with self.store.transaction() as tx:
                return write.work(tx)
        except DiskFullError:
            if not write.is_urgent or not self.ballast.release():
                raise
        with self.store.transaction() as tx:
            return write.work(tx)

    async def commit_together(self, write: Write[T]) -> T:
        """Commit with what others write at the same time, from an event loop.

        Raises:
            DiskFullError: there is no room.
        """
        self._check_room(write)
        return await self.store.run(write.work)

    def _check_room(self, write: Write[T]) -> None:
        if not write.is_urgent and not self.ballast.is_there() and not self.ballast.hold():
            raise DiskFullError(FULL)

    def _prepare_again(
        self, tx: Transaction, prepared: approval.Prepared, now: datetime
    ) -> approval.Prepared:
        """Prepare anew after a full disk: the serial numbers are burnt, all else has to be same.

        Raises:
            StaleError: something else has changed.
        """
        bulletin_id = prepared.record.bulletin.bulletin_id
        again = approval.prepare(tx, self.deployment, self.marks, bulletin_id, now=now)
        same = replace(again.basis, serials=prepared.basis.serials)
        if (again.record, same) != (prepared.record, prepared.basis):
            msg = f"what {bulletin_id} would send has changed since it was looked at; look again"
            raise StaleError(msg)
        return again

    def _is_urgent(self, kind: BulletinKind, class_name: str | None) -> bool:
        """Tell whether a bulletin goes on even when the disk is full."""
        alert_class = self.deployment.country.classes.get(class_name or "")
        is_highest = alert_class is not None and alert_class.exempt_from_limit
        return is_highest or self.deployment.is_urgent(kind)
