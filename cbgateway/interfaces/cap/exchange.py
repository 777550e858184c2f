"""Alerts taken in and given out in one transaction each; an alert's name never changes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509

from cbgateway.domain.bulletin import Bulletin, Reference
from cbgateway.domain.delivery import BulletinRecord, Event, Publication
from cbgateway.domain.errors import (
    IdentifierReusedError,
    InputError,
    StaleError,
    UnknownNameError,
    WorkflowError,
)
from cbgateway.domain.ports import Transaction
from cbgateway.interfaces.cap.document import FOLLOWS, CapAlert
from cbgateway.interfaces.cap.incoming import (
    CapSender,
    OpenedCap,
    check_is_ours,
    check_timely,
    request_of,
)
from cbgateway.interfaces.cap.outgoing import reference_text, write_alert
from cbgateway.service import intake
from cbgateway.service.deployment import Deployment
from cbgateway.service.evidence import GATEWAY
from cbgateway.service.intake import Request
from cbgateway.signing.xmldsig import SigningKey, fingerprint, sign_enveloped

Sign = Callable[[bytes], str]
"""Canonical document to the submitter's detached signature."""


@dataclass(frozen=True, slots=True)
class CapExchange:
    """What this gateway knows of those that it exchanges alerts with.

    Attributes:
        name: what it is called in the alerts that it gives out.
        senders: by the names that CAP has for them.
        signer: what alerts that are given out are signed with; None for not at all.
    """

    deployment: Deployment
    name: str
    senders: Mapping[str, CapSender]
    signer: tuple[SigningKey, x509.Certificate] | None = None

    def is_urgent(self, alert: CapAlert) -> bool:
        """Tell whether an alert goes on even when the disk is full."""
        if alert.message_type == "Cancel":
            return True
        classes = self.deployment.country.classes.values()
        highest = {one.severity.value for one in classes if one.exempt_from_limit}
        return any(info.severity in highest for info in alert.infos)

    def submit(
        self, tx: Transaction, opened: OpenedCap, *, submitter: str, sign: Sign, now: datetime
    ) -> BulletinRecord:
        """Take an alert in, as any other document.

        The same alert again gives the first answer again, whoever brings it.

        Raises:
            InputError: it does not say what has to be known.
            PolicyError: a rule refuses it; the subclass says which.
        """
        alert = opened.alert
        known = self._known(tx, alert)
        if known is not None:
            return known
        check_timely(alert, now=now)
        request = self.request(tx, opened, submitter=submitter)
        record = intake.submit(
            tx,
            self.deployment,
            request,
            signature=sign(request.octets),
            now=now,
        )
        bulletin_id = record.bulletin.bulletin_id
        name = Reference(alert.sender, alert.identifier, alert.sent)
        content = request.content_hash
        tx.put_publication(Publication(name, bulletin_id, content, alert.digest, opened.octets))
        certificate = None if opened.sender is None else fingerprint(opened.sender.certificate)
        detail = {"cap": reference_text(name), "sha256": alert.digest, "certificate": certificate}
        tx.record(Event(now, bulletin_id, "cap-received", submitter, detail))
        return record

    def request(self, tx: Transaction, opened: OpenedCap, *, submitter: str) -> Request:
        """Give what an alert asks for, after finding those that it refers to.

        Raises:
            InputError: it does not say what has to be known.
            PolicyError: it is not for this gateway, or refers to alerts that were never here.
        """
        alert = opened.alert
        check_is_ours(alert, self.deployment)
        earlier = self._earlier(tx, alert) if alert.message_type in FOLLOWS else ()
        return request_of(opened, self.deployment, submitter=submitter, earlier=earlier)

    def export(self, tx: Transaction, bulletin_id: str, *, now: datetime) -> bytes:
        """Give the alert that tells of a bulletin: the octets of the first time, for ever.

        What came in as CAP goes out as it came.

        Raises:
            UnknownNameError: no such bulletin.
            WorkflowError: it was not approved, so there is nothing to tell.
        """
        record = tx.bulletin(bulletin_id)
        if record is None:
            raise UnknownNameError("bulletin", bulletin_id, known=("`bulletin list`",))
        if not _is_approved(record):
            msg = f"{bulletin_id} is {record.state}; only what was approved is told to others"
            raise WorkflowError(msg)
        octets = b""
        names: list[Reference] = []
        for one in tx.bulletins(record.bulletin.incident_id):
            if one.bulletin.number <= record.bulletin.number and _is_approved(one):
                publication = self._published(tx, one, names, now)
                names.append(publication.name)
                octets = publication.octets
        return octets

    def _published(
        self, tx: Transaction, record: BulletinRecord, earlier: Sequence[Reference], now: datetime
    ) -> Publication:
        bulletin = record.bulletin
        content = record.submission.content_hash
        known = tx.publication_of(bulletin.bulletin_id, content)
        if known is not None:
            return known
        incident = tx.incident(bulletin.incident_id)
        assert incident is not None  # noqa: S101 - bulletins refer to incidents
        sent = bulletin.sent.replace(microsecond=0)
        name = Reference(self.name, self._identifier(bulletin), sent)
        octets = write_alert(
            bulletin, incident, self.deployment, name=name, references=tuple(earlier)
        )
        if self.signer is not None:
            octets = sign_enveloped(octets, *self.signer)
        publication = Publication(name, bulletin.bulletin_id, content, "", octets)
        tx.put_publication(publication)
        detail = {"cap": reference_text(name)}
        tx.record(Event(now, bulletin.bulletin_id, "cap-exported", GATEWAY, detail))
        return publication

    def _identifier(self, bulletin: Bulletin) -> str:
        return f"{bulletin.incident_id}.{bulletin.number}"

    def _known(self, tx: Transaction, alert: CapAlert) -> BulletinRecord | None:
        """Give what the same alert became before.

        Raises:
            IdentifierReusedError: its name stands for another alert.
        """
        known = tx.publication(alert.sender, alert.identifier)
        if known is None:
            return None
        if known.source_hash != alert.digest:
            msg = (
                f"{alert.sender!r} has used identifier {alert.identifier!r} for "
                f"{known.bulletin_id} with other content; choose a new one"
            )
            raise IdentifierReusedError(msg)
        return tx.bulletin(known.bulletin_id)

    def _earlier(self, tx: Transaction, alert: CapAlert) -> tuple[BulletinRecord, ...]:
        """Give the bulletins of the outage that an alert refers to, the oldest first.

        Raises:
            UnknownNameError: it refers to an alert that was never here.
            InputError: it refers to several outages.
            StaleError: the same sender has sent something newer.
        """
        incidents: dict[str, None] = {}
        for reference in alert.references:
            known = tx.publication(reference.sender, reference.identifier)
            if known is None or known.name.sent != reference.sent:
                shown = reference_text(reference)
                raise UnknownNameError("referenced alert", shown, known=self._names(tx))
            incidents[known.bulletin_id.rpartition("/")[0]] = None
        if len(incidents) != 1:
            msg = f"references: they are about {len(incidents)} outages; one alert is about one"
            raise InputError(msg)
        records = tx.bulletins(next(iter(incidents)))
        for record in records:
            for other in tx.publications(record.bulletin.bulletin_id):
                if other.name.sender == alert.sender and other.name.sent > alert.sent:
                    msg = f"{reference_text(other.name)} is newer than this alert"
                    raise StaleError(msg)
        return records

    @staticmethod
    def _names(tx: Transaction) -> tuple[str, ...]:
        newest = tx.last_bulletin_ids(limit=1)
        names = [reference_text(one.name) for name in newest for one in tx.publications(name)]
        return tuple(names) or ("none of the newest bulletin",)


def _is_approved(record: BulletinRecord) -> bool:
    return record.decision is not None and bool(record.decision.plan_hash)
