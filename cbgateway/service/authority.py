"""Who signed, and may they: the same question at intake, at approval and before every send."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from cbgateway.domain.bulletin import BulletinKind
from cbgateway.domain.delivery import BulletinRecord, Channel
from cbgateway.domain.errors import PermissionDeniedError, SignatureInvalidError
from cbgateway.domain.people import Key, Person, Use
from cbgateway.domain.ports import Transaction
from cbgateway.service.deployment import Deployment
from cbgateway.signing.jws import key_id_in, verify_detached


def signer_of(
    tx: Transaction, signature: str, octets: bytes, *, content: str, at: datetime
) -> Person:
    """Give who signed a document.

    Args:
        tx: knows people and keys.
        signature: detached JWS.
        octets: what it is over, a document in its canonical form.
        content: content name of the signature.
        at: when it was made; the key has to have been valid then, and never revoked since.

    Raises:
        SignatureInvalidError: nobody who is known here signed this.
    """
    found: list[Key] = []

    def lookup(key_id: str) -> bytes | None:
        key = tx.person_key(key_id)
        if key is None or not key.is_valid_at(at):
            return None
        found.append(key)
        return key.public_key

    key_id = verify_detached(signature, octets, lookup, content=content)
    person = tx.person(found[0].holder)
    if person is None:
        msg = f"nobody with key {key_id!r} is known here"
        raise SignatureInvalidError(msg)
    return person


def use_of(deployment: Deployment, class_name: str, kind: BulletinKind) -> Use:
    """Give what a bulletin of a class and kind asks for."""
    return Use(
        alert_class=class_name,
        severity=deployment.alert_class(class_name).severity,
        kind=kind,
        channels=frozenset(_channels(deployment, class_name)),
    )


def _channels(deployment: Deployment, class_name: str) -> Iterator[Channel]:
    """Give the ways that bulletins of a class take."""
    for carrier in deployment.carriers.values():
        yield from map(Channel, carrier.routes.get(class_name, ()))
    for network in deployment.networks.values():
        if class_name in network.cbsp.classes:
            yield Channel.BROADCAST


def hands_of(tx: Transaction, record: BulletinRecord) -> tuple[Person, ...]:
    """Give everybody who created, edited or submitted a bulletin.

    Raises:
        SignatureInvalidError: one of them is not known any more.
    """
    hands = []
    for name in record.submission.hands:
        person = tx.person(name)
        if person is None:
            msg = f"{record.bulletin.bulletin_id} was written by {name!r}, who is not known"
            raise SignatureInvalidError(msg)
        hands.append(person)
    return tuple(hands)


def check_submitter(tx: Transaction, record: BulletinRecord) -> None:
    """Refuse a bulletin whose submitter, or the key that it was submitted with, was revoked.

    Raises:
        SignatureInvalidError: what it was submitted with does not count any more.
    """
    key = tx.person_key(key_id_in(record.submission.signature))
    submitter = tx.person(record.submission.submitted_by)
    if key is None or key.is_revoked or submitter is None or submitter.is_revoked:
        msg = f"the key that {record.bulletin.bulletin_id} was submitted with was revoked"
        raise SignatureInvalidError(msg)


def check_regions(deployment: Deployment, person: Person, regions: Sequence[str]) -> None:
    """Refuse regions that somebody may not address.

    Raises:
        PermissionDeniedError: with the first such region.
    """
    allowed = person.permission.regions
    for code in regions:
        if not deployment.covers(allowed, code):
            msg = f"{person.name!r} may address {', '.join(allowed)}, not region {code}"
            raise PermissionDeniedError(msg)
