"""Taking in a bulletin: who says so, may they, is it sound; then it waits for a second person."""

import hashlib
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from cbgateway.domain.bulletin import (
    Bulletin,
    BulletinKind,
    BulletinState,
    Mode,
    Reference,
)
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
from cbgateway.domain.kits import kit_in
from cbgateway.domain.people import Person, check_may_submit
from cbgateway.domain.ports import Transaction
from cbgateway.profiles.templates import render
from cbgateway.service.authority import check_regions, signer_of, use_of
from cbgateway.service.deployment import Deployment
from cbgateway.service.drill import check_drill
from cbgateway.service.duplicates import check_duplicate
from cbgateway.service.planning import encode_texts
from cbgateway.service.wording import (
    StatedFacts,
    at_time,
    check_heartbeat,
    check_promise,
    check_wording,
    facts_of,
    with_code,
)
from cbgateway.signing.canonical import canonical
from cbgateway.signing.codes import new_code

SUBMISSION = "cbgateway-submission-1"
"""Content name of a submitter's signature."""

WITHDRAWAL = "cbgateway-take-back-1"
"""Content name of an author's signature when taking a bulletin back before its approval."""

INVISIBLE = {"Cc", "Cf", "Zl", "Zp"}
"""Unicode categories of control, format, line and paragraph separator characters."""

FILLERS = frozenset("\u034f\u115f\u1160\u3164\uffa0")
"""Letters and marks that show nothing: the grapheme joiner and Hangul's fillers (UTS 39 3.1)."""


@dataclass(frozen=True, slots=True)
class Request:
    """A bulletin as somebody asks for it.

    Attributes:
        document: as it was sent.
        octets: its canonical form, which the signature covers.
        incident: the outage as described by a first bulletin; None when only named.
        alert_class: None for the country's default.
        texts: by language; empty when a template gives them.
        template: name of a template and its slots; None when texts are given.
        expires: a time, or how long from now; None for the country's default.
        next_update: a time, or how long from now.
        mode: the mode that the sender means; None for whatever this gateway's is.
        allow_duplicate: say the same again on purpose.
        facts: what it says, for pages and briefings.
        read_back: numbers outside the directory, typed once more.
        promises_by_profile: without a next update, the latest that is allowed is promised.
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
    allow_duplicate: bool = False
    facts: StatedFacts = field(default_factory=StatedFacts)
    read_back: tuple[str, ...] = ()
    promises_by_profile: bool = False
    octets: bytes = field(init=False)

    def __post_init__(self) -> None:
        """Write the document in its canonical form, once.

        Raises:
            InputError: it has none.
        """
        object.__setattr__(self, "octets", canonical(self.document))

    @property
    def content_hash(self) -> str:
        """Name the document's content."""
        return hashlib.sha256(self.octets).hexdigest()


def submit(
    tx: Transaction,
    deployment: Deployment,
    request: Request,
    *,
    signature: str,
    now: datetime,
    as_draft: bool = False,
) -> BulletinRecord:
    """Take in a bulletin; it is pending until a second person decides.

    The same document again gives the first answer again and stores nothing. A draft is kept, and
    nobody decides about it before `revise` submits it.

    Raises:
        SignatureInvalidError: the sender did not sign this document.
        PolicyError: a rule refuses it; the subclass says which.
    """
    person = _signer(tx, request, signature, now)
    known = _known(tx, request)
    if known is not None:
        return known
    state = BulletinState.DRAFT if as_draft else BulletinState.PENDING
    return _take_in(tx, deployment, request, person, signature, now, state=state)


def draft(
    tx: Transaction,
    deployment: Deployment,
    request: Request,
    *,
    person: Person,
    signature: str,
    now: datetime,
) -> BulletinRecord:
    """Keep what the gateway itself has written for somebody, as a draft that a person may revise.

    Args:
        tx: the transaction that holds all of it.
        deployment: the gateway's rules.
        request: the draft.
        person: for whom; has to be allowed to issue it.
        signature: of that person, over what the draft was made of.
        now: aware.

    Raises:
        PolicyError: a rule refuses it; the subclass says which.
    """
    request = replace(request, sender=person.name)
    state = BulletinState.DRAFT
    return _take_in(tx, deployment, request, person, signature, now, state=state)


def redraft(
    tx: Transaction,
    deployment: Deployment,
    old: BulletinRecord,
    request: Request,
    *,
    person: Person,
    signature: str,
    now: datetime,
) -> BulletinRecord:
    """Write such a draft anew, while nobody else had a hand in it.

    Raises:
        PolicyError: a rule refuses it; the subclass says which.
    """
    request = replace(request, sender=person.name)
    number, code = old.bulletin.number, old.bulletin.code or _unused_code(tx)
    bulletin = _bulletin(deployment, request, person, (), number=number, code=code, now=now)
    submission = _submission(request, person, old.submission.hands, (), signature, now)
    tx.revise_bulletin(bulletin, submission)
    record = BulletinRecord(bulletin, old.state, submission, decision=None)
    _record(tx, record, "edited", person, now)
    return record


def _take_in(
    tx: Transaction,
    deployment: Deployment,
    request: Request,
    person: Person,
    signature: str,
    now: datetime,
    *,
    state: BulletinState,
) -> BulletinRecord:
    deployment.check_is_open(now)
    _check_names(tx, deployment, request)
    earlier = _check_incident(tx, deployment, request)
    number = 1 + max((record.bulletin.number for record in earlier), default=0)
    bulletin = _bulletin(
        deployment, request, person, earlier, number=number, code=_unused_code(tx), now=now
    )
    warnings = _check(tx, deployment, request, bulletin, earlier, now)
    if request.incident is not None:
        tx.add_incident(request.incident)
    record = BulletinRecord(
        bulletin=bulletin,
        state=state,
        submission=_submission(request, person, (person.name,), warnings, signature, now),
        decision=None,
    )
    tx.add_bulletin(record)
    what = "drafted" if state is BulletinState.DRAFT else "submitted"
    _record(tx, record, what, person, now)
    return record


def revise(
    tx: Transaction,
    deployment: Deployment,
    bulletin_id: str,
    request: Request,
    *,
    signature: str,
    now: datetime,
    as_draft: bool = False,
) -> BulletinRecord:
    """Put another document in place of a draft's or a returned bulletin's, and submit it.

    Everybody who had a hand in any version stays one of its authors.

    Raises:
        SignatureInvalidError: the sender did not sign this document.
        PolicyError: a rule refuses it; the subclass says which.
    """
    person = _signer(tx, request, signature, now)
    known = _known(tx, request)
    if known is not None:
        return known
    old = _find(tx, bulletin_id)
    _check_names(tx, deployment, request)
    if old.state not in {BulletinState.DRAFT, BulletinState.RETURNED}:
        msg = f"{bulletin_id} is {old.state}; only drafts and returned bulletins are changed"
        raise WorkflowError(msg)
    if request.incident_id != old.bulletin.incident_id or request.kind is not old.bulletin.kind:
        msg = f"{bulletin_id} stays with its incident and kind; submit another bulletin instead"
        raise WorkflowError(msg)
    earlier = tuple(
        record
        for record in tx.bulletins(request.incident_id)
        if record.bulletin.number < old.bulletin.number
    )
    number = old.bulletin.number
    code = old.bulletin.code or _unused_code(tx)
    bulletin = _bulletin(deployment, request, person, earlier, number=number, code=code, now=now)
    warnings = _check(tx, deployment, request, bulletin, earlier, now)
    hands = tuple(dict.fromkeys((*old.submission.hands, person.name)))
    submission = _submission(request, person, hands, warnings, signature, now)
    tx.revise_bulletin(bulletin, submission)
    if not as_draft:
        tx.set_bulletin_state(bulletin_id, BulletinState.PENDING)
    state = old.state if as_draft else BulletinState.PENDING
    record = BulletinRecord(bulletin, state, submission, decision=None)
    _record(tx, record, "edited" if as_draft else "submitted", person, now)
    return record


def take_back_document(bulletin_id: str, reason: str) -> dict[str, Any]:
    """Give what an author signs who takes a bulletin back."""
    return {"decision": "take-back", "bulletin": bulletin_id, "reason": reason}


def take_back(
    tx: Transaction, bulletin_id: str, *, reason: str, signature: str, now: datetime
) -> BulletinRecord:
    """Have an author take a bulletin back that nobody has approved.

    Raises:
        SignatureInvalidError: nobody who is known here signed this.
        PermissionDeniedError: none of its authors signed it, or one who was revoked.
        WorkflowError: it was approved already; a withdrawal takes it off the air.
    """
    record = _find(tx, bulletin_id)
    document = take_back_document(bulletin_id, reason)
    person = signer_of(tx, signature, canonical(document), content=WITHDRAWAL, at=now)
    if record.state in {BulletinState.APPROVED, BulletinState.LIVE}:
        msg = f"{bulletin_id} is {record.state}; submit a bulletin of kind withdrawal"
        raise WorkflowError(msg)
    if person.name not in record.submission.hands:
        msg = f"{person.name!r} is none of the authors of {bulletin_id}"
        raise PermissionDeniedError(msg)
    if person.is_revoked:
        msg = f"the permissions of {person.name!r} were revoked"
        raise PermissionDeniedError(msg)
    tx.set_bulletin_state(bulletin_id, BulletinState.WITHDRAWN)
    tx.record(Event(now, bulletin_id, "taken-back", person.name, {"reason": reason}))
    return replace(record, state=BulletinState.WITHDRAWN)


def _find(tx: Transaction, bulletin_id: str) -> BulletinRecord:
    record = tx.bulletin(bulletin_id)
    if record is None:
        known = tx.last_bulletin_ids(limit=10)
        raise UnknownNameError("bulletin", bulletin_id, known=known or ("none yet",))
    return record


def _submission(
    request: Request,
    person: Person,
    hands: tuple[str, ...],
    warnings: tuple[str, ...],
    signature: str,
    now: datetime,
) -> Submission:
    return Submission(
        submitted_by=person.name,
        submitted_at=now,
        content_hash=request.content_hash,
        signature=signature,
        hands=hands,
        warnings=warnings,
    )


def _record(
    tx: Transaction, record: BulletinRecord, what: str, person: Person, now: datetime
) -> None:
    detail = {
        "kind": record.bulletin.kind.value,
        "content": record.submission.content_hash,
        "signature": record.submission.signature,
    }
    tx.record(Event(now, record.bulletin.bulletin_id, what, person.name, detail))


def _signer(tx: Transaction, request: Request, signature: str, now: datetime) -> Person:
    person = signer_of(tx, signature, request.octets, content=SUBMISSION, at=now)
    if person.name != request.sender:
        msg = f"the bulletin names sender {request.sender!r}, but somebody else signed it"
        raise SignatureInvalidError(msg)
    return person


def _known(tx: Transaction, request: Request) -> BulletinRecord | None:
    """Give what the same document became before.

    Raises:
        IdentifierReusedError: its name stands for another document.
    """
    known = tx.bulletin_of(request.sender, request.identifier)
    if known is None:
        return None
    record, content_hash = known
    if content_hash != request.content_hash:
        msg = (
            f"{request.sender!r} has used identifier {request.identifier!r} for "
            f"{record.bulletin.bulletin_id} with other content; choose a new one"
        )
        raise IdentifierReusedError(msg)
    return record


def _unused_code(tx: Transaction) -> str:
    """Make a verification code that no bulletin has."""
    while True:
        code = new_code()
        if tx.bulletin_with_code(code) is None:
            return code


def _check(
    tx: Transaction,
    deployment: Deployment,
    request: Request,
    bulletin: Bulletin,
    earlier: tuple[BulletinRecord, ...],
    now: datetime,
) -> tuple[str, ...]:
    """Refuse what must not be said or promised; give warnings for the second person."""
    incident = request.incident or tx.incident(request.incident_id)
    check_promise(deployment, bulletin, incident, now=now)
    is_template = request.template is not None
    check_heartbeat(deployment, bulletin, earlier, is_template=is_template, now=now)
    check_drill(deployment, bulletin)
    warnings = check_wording(deployment, bulletin, incident, read_back=request.read_back)
    is_meant = request.allow_duplicate
    return check_duplicate(tx, deployment, bulletin, is_meant=is_meant, now=now) + warnings


def _bulletin(
    deployment: Deployment,
    request: Request,
    person: Person,
    earlier: tuple[BulletinRecord, ...],
    *,
    number: int,
    code: str,
    now: datetime,
) -> Bulletin:
    if request.mode is not None and request.mode != deployment.mode:
        msg = f"the bulletin is for mode {request.mode}, this gateway is in mode {deployment.mode}"
        raise ModeMismatchError(msg)
    class_name = request.alert_class or deployment.country.default_class
    check_may_submit(person, use_of(deployment, class_name, request.kind))
    regions = _regions(deployment, request, person)
    expires = _expires(deployment, request, now)
    texts = _texts(deployment, request, class_name, code)
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
        next_update_at=_next_update(deployment, request, expires, now),
        references=tuple(
            Reference(record.bulletin.sender, record.bulletin.identifier, record.bulletin.sent)
            for record in earlier
            if record.decision is not None and record.decision.plan_hash
        ),
        mode=deployment.mode,
        code=code,
        facts=facts_of(deployment, request.facts, request.template, now=now),
    )


def _regions(deployment: Deployment, request: Request, person: Person) -> tuple[str, ...]:
    """Give the regions without those that lie inside another one of them."""
    if not request.regions:
        msg = "regions: at least one is needed; there is no default area"
        raise InputError(msg)
    wanted = tuple(dict.fromkeys(request.regions))
    for code in wanted:
        deployment.check_region(code)
    check_regions(deployment, person, wanted)
    return tuple(
        code
        for code in wanted
        if not deployment.covers(tuple(other for other in wanted if other != code), code)
    )


def _check_names(tx: Transaction, deployment: Deployment, request: Request) -> None:
    """Have every new name say whose it is, so that gateways that are apart never share one.

    Raises:
        InputError: it would be another gateway's name.
    """
    own = None if deployment.kit is None else deployment.kit.name
    names = {"identifier": request.identifier}
    if tx.incident(request.incident_id) is None:
        names["incident"] = request.incident_id
    for member, name in names.items():
        theirs = kit_in(name)
        if theirs == own:
            continue
        if own is None:
            msg = f"{member}: {name!r} ends like a name of offline kit {theirs}; choose another"
        else:
            msg = f"{member}: {name!r} has to end in '.{own}'; `cbgateway offline issue` sees to it"
        raise InputError(msg)


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
        operators = (*deployment.carriers, *deployment.networks)
        if request.incident.carrier not in operators:
            raise UnknownNameError("carrier", request.incident.carrier, known=operators)
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
    expires = latest if request.expires is None else at_time("expires", request.expires, now)
    if expires <= now:
        msg = f"expires {expires.isoformat()} has passed; it is {now.isoformat()}"
        raise ExpiredError(msg)
    if expires > latest:
        what = "a restored bulletin" if all_clear else "a bulletin"
        msg = f"expires {expires.isoformat()}: {what} may stand for {longest_s} s at most"
        raise ExpiredError(msg)
    return expires


def _next_update(
    deployment: Deployment, request: Request, expires: datetime, now: datetime
) -> datetime | None:
    is_last = request.kind in {BulletinKind.RESTORED, BulletinKind.WITHDRAWAL}
    if request.next_update is None:
        if is_last:
            return None
        if request.promises_by_profile:
            # as if it began now: the interval of an outage's beginning is allowed at any time
            ahead = deployment.utc_offset
            latest = deployment.deadlines.next_update_max(began=now, now=now, utc_offset=ahead)
            return min(expires, latest)
        msg = (
            "next_update: people are told when they will hear again; only the last may leave it out"
        )
        raise InputError(msg)
    at = at_time("next_update", request.next_update, now)
    if not now < at <= expires:
        msg = f"next_update {at.isoformat()} has to lie between now and {expires.isoformat()}"
        raise ExpiredError(msg)
    return at


def _texts(deployment: Deployment, request: Request, class_name: str, code: str) -> dict[str, str]:
    """Give the texts in NFC, checked against the class's length and each language's coding."""
    if request.kind is BulletinKind.WITHDRAWAL:
        if request.texts or request.template:
            msg = "texts: a withdrawal takes a broadcast off the air and shows nothing"
            raise InputError(msg)
        return {}
    given = _rendered(deployment, request, class_name, code)
    if not given:
        msg = "texts: at least one language is needed"
        raise InputError(msg)
    texts = {language: _marked(deployment, language, text) for language, text in given.items()}
    characters_max = deployment.alert_class(class_name).characters_max
    for language, text in texts.items():
        if not given[language].strip():
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


def _marked(deployment: Deployment, language: str, text: str) -> str:
    """Give a text in NFC; that of an exercise begins by saying so."""
    rules = deployment.country.languages.get(language)
    if rules is None:
        raise UnknownNameError("language", language, known=tuple(deployment.country.languages))
    prefix = rules.exercise_prefix if deployment.mode is Mode.EXERCISE else ""
    text = unicodedata.normalize("NFC", text)
    return text if text.startswith(prefix) else prefix + text


def _check_plain(language: str, text: str) -> None:
    """Refuse characters that show nothing, or turn around what others show."""
    for index, character in enumerate(text):
        is_invisible = unicodedata.category(character) in INVISIBLE or character in FILLERS
        if is_invisible and character != "\n":
            problem = NotEncodableError(
                character=character,
                index=index,
                alphabet="plain text, which has no control, direction or zero-width characters",
                clause="UTS 39 5",
            )
            raise NotBroadcastableError(language, problem)


def _rendered(
    deployment: Deployment, request: Request, class_name: str, code: str
) -> Mapping[str, str]:
    if request.template is None:
        return {language: with_code(text, code) for language, text in request.texts.items()}
    name, slots = request.template
    if name not in deployment.templates:
        raise UnknownNameError("template", name, known=tuple(deployment.templates))
    template = deployment.templates[name]
    characters_max = deployment.alert_class(class_name).characters_max
    rules = deployment.country.languages
    is_exercise = deployment.mode is Mode.EXERCISE
    return {
        language: render(
            template,
            slots,
            language=language,
            characters_max=characters_max
            - (len(rules[language].exercise_prefix) if is_exercise else 0),
            code=code,
        )
        for language in template.languages
    }
