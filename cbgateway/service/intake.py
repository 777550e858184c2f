"""Taking in a bulletin: who says so, may they, is it sound; then it waits for a second person."""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from cbgateway.domain.bulletin import Bulletin, BulletinKind, BulletinState, Mode, Person, Reference
from cbgateway.domain.delivery import BulletinRecord, Event, Submission
from cbgateway.domain.errors import (
    ExpiredError,
    IdentifierReusedError,
    InputError,
    ModeMismatchError,
    NotBroadcastableError,
    NotEncodableError,
    PermissionDeniedError,
    SignatureInvalidError,
    TextTooLongError,
    UnknownNameError,
    WorkflowError,
)
from cbgateway.domain.incident import Incident
from cbgateway.domain.lifecycle import check_may_submit
from cbgateway.domain.ports import Transaction
from cbgateway.profiles.templates import render
from cbgateway.service.deployment import Deployment
from cbgateway.service.planning import encode_texts
from cbgateway.signing.canonical import canonical, digest
from cbgateway.signing.jws import verify_detached

SUBMISSION = "cbgateway-submission-1"
"""Content name of a submitter's signature."""


@dataclass(frozen=True, slots=True)
class Request:
    """A bulletin as somebody asks for it.

    Attributes:
        document: as it was sent; what the signature covers.
        incident: the outage as described by a first bulletin; None when only named.
        alert_class: None for the country's default.
        texts: by language; empty when a template gives them.
        template: name of a template and its slots; None when texts are given.
        expires: a time, or how long from now; None for the country's default.
        next_update: a time, or how long from now.
        mode: the mode that the sender means; None for whatever this gateway's is.
    """

    document: Mapping[str, object]
    identifier: str
    sender: str
    incident_id: str
    incident: Incident | None
    kind: BulletinKind
    alert_class: str | None
    regions: tuple[str, ...]
    texts: Mapping[str, str]
    template: tuple[str, Mapping[str, object]] | None
    expires: datetime | timedelta | None
    next_update: datetime | timedelta | None
    mode: Mode | None


def submit(
    tx: Transaction, deployment: Deployment, request: Request, *, signature: str, now: datetime
) -> BulletinRecord:
    """Take in a bulletin; it is pending until a second person decides.

    The same document again gives the first answer again and stores nothing.

    Raises:
        SignatureInvalidError: the sender did not sign this document.
        PolicyError: a rule refuses it; the subclass says which.
    """
    person = _signer(tx, request, signature)
    known = tx.bulletin_of(request.sender, request.identifier)
    if known is not None:
        if known.submission.content_hash != digest(request.document):
            msg = (
                f"{request.sender!r} has used identifier {request.identifier!r} for "
                f"{known.bulletin.bulletin_id} with other content; choose a new one"
            )
            raise IdentifierReusedError(msg)
        return known
    bulletin = _bulletin(tx, deployment, request, person, now)
    if request.incident is not None:
        tx.add_incident(request.incident)
    record = BulletinRecord(
        bulletin=bulletin,
        state=BulletinState.PENDING,
        submission=Submission(
            submitted_by=person.name,
            submitted_at=now,
            content_hash=digest(request.document),
            signature=signature,
        ),
        decision=None,
    )
    tx.add_bulletin(record)
    tx.record(Event(now, bulletin.bulletin_id, "submitted", person.name, bulletin.kind))
    return record


def _signer(tx: Transaction, request: Request, signature: str) -> Person:
    def lookup(key_id: str) -> bytes | None:
        person = tx.person_by_key(key_id)
        return None if person is None else person.public_key

    key_id = verify_detached(signature, canonical(request.document), lookup, content=SUBMISSION)
    person = tx.person_by_key(key_id)
    if person is None or person.name != request.sender:
        msg = f"the bulletin names sender {request.sender!r}, but somebody else signed it"
        raise SignatureInvalidError(msg)
    return person


def _bulletin(
    tx: Transaction, deployment: Deployment, request: Request, person: Person, now: datetime
) -> Bulletin:
    if request.mode is not None and request.mode != deployment.mode:
        msg = f"the bulletin is for mode {request.mode}, this gateway is in mode {deployment.mode}"
        raise ModeMismatchError(msg)
    class_name = request.alert_class or deployment.country.default_class
    deployment.alert_class(class_name)
    check_may_submit(person, alert_class=class_name)
    regions = _regions(deployment, request, person)
    earlier = _check_incident(tx, deployment, request)
    expires = _expires(deployment, request, now)
    texts = _texts(deployment, request, class_name)
    number = 1 + max((record.bulletin.number for record in earlier), default=0)
    return Bulletin(
        bulletin_id=f"{request.incident_id}/{number}",
        incident_id=request.incident_id,
        number=number,
        kind=request.kind,
        sender=request.sender,
        identifier=request.identifier,
        alert_class=class_name,
        regions=regions,
        texts=texts,
        sent=now,
        expires=expires,
        next_update_at=_next_update(request, expires, now),
        references=tuple(
            Reference(record.bulletin.sender, record.bulletin.identifier, record.bulletin.sent)
            for record in earlier
            if record.decision is not None and record.state is not BulletinState.REJECTED
        ),
        mode=deployment.mode,
    )


def _regions(deployment: Deployment, request: Request, person: Person) -> tuple[str, ...]:
    """Give the regions without those that lie inside another one of them."""
    if not request.regions:
        msg = "regions: at least one is needed; there is no default area"
        raise InputError(msg)
    wanted = tuple(dict.fromkeys(request.regions))
    for code in wanted:
        deployment.check_region(code)
        if not deployment.covers(person.regions, code):
            msg = f"{person.name!r} may not address region {code}, only {', '.join(person.regions)}"
            raise PermissionDeniedError(msg)
    return tuple(
        code
        for code in wanted
        if not deployment.covers(tuple(other for other in wanted if other != code), code)
    )


def _check_incident(
    tx: Transaction, deployment: Deployment, request: Request
) -> tuple[BulletinRecord, ...]:
    """Refuse a first bulletin of a known incident, a later one of an unknown; give the earlier."""
    known = tx.incident(request.incident_id)
    if request.kind is BulletinKind.FIRST:
        if request.incident is None:
            msg = "incident: a first bulletin describes it: id, carrier, services, started_at"
            raise InputError(msg)
        if known is not None:
            msg = (
                f"incident {request.incident_id!r} is there already; submit a progress bulletin, "
                "or describe a new incident"
            )
            raise WorkflowError(msg)
        if request.incident.carrier not in deployment.carriers:
            raise UnknownNameError(
                "carrier", request.incident.carrier, known=tuple(deployment.carriers)
            )
        return ()
    if known is None:
        msg = f"incident {request.incident_id!r} is not known; its first bulletin opens it"
        raise WorkflowError(msg)
    return tx.bulletins(request.incident_id)


def _expires(deployment: Deployment, request: Request, now: datetime) -> datetime:
    all_clear = request.kind is BulletinKind.RESTORED
    country = deployment.country
    longest_s = country.all_clear_expiry_s if all_clear else country.message_expiry_max_s
    latest = now + timedelta(seconds=longest_s)
    expires = latest if request.expires is None else _at(request.expires, now)
    if expires <= now:
        msg = f"expires {expires.isoformat()} has passed; it is {now.isoformat()}"
        raise ExpiredError(msg)
    if expires > latest:
        what = "a restored bulletin" if all_clear else "a bulletin"
        msg = f"expires {expires.isoformat()}: {what} may stand for {longest_s} s at most"
        raise ExpiredError(msg)
    return expires


def _next_update(request: Request, expires: datetime, now: datetime) -> datetime | None:
    is_last = request.kind in {BulletinKind.RESTORED, BulletinKind.WITHDRAWAL}
    if request.next_update is None:
        if is_last:
            return None
        msg = (
            "next_update: people are told when they will hear again; only the last may leave it out"
        )
        raise InputError(msg)
    at = _at(request.next_update, now)
    if not now < at <= expires:
        msg = f"next_update {at.isoformat()} has to lie between now and {expires.isoformat()}"
        raise ExpiredError(msg)
    return at


def _at(when: datetime | timedelta, now: datetime) -> datetime:
    return now + when if isinstance(when, timedelta) else when


def _texts(deployment: Deployment, request: Request, class_name: str) -> dict[str, str]:
    """Give the texts in NFC, checked against the class's length and each language's coding."""
    if request.kind is BulletinKind.WITHDRAWAL:
        if request.texts or request.template:
            msg = "texts: a withdrawal takes a broadcast off the air and shows nothing"
            raise InputError(msg)
        return {}
    given = _rendered(deployment, request, class_name)
    if not given:
        msg = "texts: at least one language is needed"
        raise InputError(msg)
    texts = {language: unicodedata.normalize("NFC", text) for language, text in given.items()}
    characters_max = deployment.alert_class(class_name).characters_max
    for language, text in texts.items():
        if language not in deployment.country.languages:
            raise UnknownNameError("language", language, known=tuple(deployment.country.languages))
        if not text.strip():
            msg = f"texts.{language}: an empty text tells nobody anything"
            raise InputError(msg)
        _check_plain(language, text)
        if len(text) > characters_max:
            raise TextTooLongError(
                language=language,
                characters=len(text),
                characters_max=characters_max,
                alert_class=class_name,
            )
    default = deployment.country.default_language
    if default not in texts:
        msg = f"texts.{default}: the country's own language may not be missing"
        raise InputError(msg)
    encode_texts(deployment, class_name, texts)
    return texts


def _check_plain(language: str, text: str) -> None:
    """Refuse characters that show nothing, or turn around what others show."""
    for index, character in enumerate(text):
        if unicodedata.category(character) in {"Cc", "Cf"} and character != "\n":
            problem = NotEncodableError(
                character=character,
                index=index,
                alphabet="plain text, which has no control, direction or zero-width characters",
                clause="UTS 39 5",
            )
            raise NotBroadcastableError(language, problem)


def _rendered(deployment: Deployment, request: Request, class_name: str) -> Mapping[str, str]:
    if request.template is None:
        return request.texts
    name, slots = request.template
    if name not in deployment.templates:
        raise UnknownNameError("template", name, known=tuple(deployment.templates))
    template = deployment.templates[name]
    characters_max = deployment.alert_class(class_name).characters_max
    return {
        language: render(template, slots, language=language, characters_max=characters_max)
        for language in template.languages
    }
