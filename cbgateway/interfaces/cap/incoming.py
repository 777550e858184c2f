"""From a CAP alert to a request, as every other document becomes one."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from cryptography import x509

from cbgateway.domain.bulletin import BulletinKind
from cbgateway.domain.delivery import BulletinRecord
from cbgateway.domain.errors import (
    ExpiredError,
    InputError,
    ModeMismatchError,
    SignatureInvalidError,
    WorkflowError,
)
from cbgateway.domain.incident import Service
from cbgateway.interfaces.cap import codes
from cbgateway.interfaces.cap.document import CapAlert, CapInfo, check_structure, read_alert
from cbgateway.interfaces.schema import BulletinDocument
from cbgateway.service.deployment import Deployment
from cbgateway.service.intake import Request
from cbgateway.signing.xmldsig import canonical_xml, is_signed, parse_xml, verify_signed

IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,99}")
SENT_AGE_MAX = timedelta(hours=1)  # what lay about for longer tells of another state of affairs
SENT_AHEAD_MAX = timedelta(minutes=2)  # between two machines' clocks
ENDS = ".!?。…"


@dataclass(frozen=True, slots=True)
class CapSender:
    """Whose alerts are taken in, and by what they are known.

    Attributes:
        person: the machine that they count as; it has the permissions.
        certificate: of the only key that its signatures are checked with.
        carrier: whose outages it tells of when an alert does not say.
    """

    person: str
    certificate: x509.Certificate
    carrier: str | None = None


@dataclass(frozen=True, slots=True)
class OpenedCap:
    """An alert whose origin is known.

    Attributes:
        octets: as they came.
        sender: None for an alert that is not signed, whose bearer answers for it.
    """

    alert: CapAlert
    octets: bytes
    sender: CapSender | None


def open_cap(octets: bytes, senders: Mapping[str, CapSender], *, at: datetime) -> OpenedCap:
    """Read an alert, from its canonical octets alone, after checking who signed it.

    Args:
        octets: the document, 256 KiB at most.
        senders: who is known, by the name that CAP has for them.
        at: now.

    Raises:
        InputError: it is no sound CAP 1.2 alert; every fault is named with its place.
        SignatureInvalidError: its signature is not exactly what its sender's has to be, or a
            known sender's is missing.
    """
    root = parse_xml(octets)
    check_structure(root)
    canonical = canonical_xml(root)
    bare = parse_xml(canonical)
    name = (bare.findtext("{*}sender") or "").strip()
    sender = senders.get(name)
    if is_signed(root):
        if sender is None:
            msg = f"{name!r} is not known here; no signature of theirs can be checked"
            raise SignatureInvalidError(msg)
        canonical = verify_signed(octets, sender.certificate, at=at)
        bare = parse_xml(canonical)
        check_structure(bare)
    elif sender is not None:
        msg = f"{name!r} signs every alert, and this one is not signed"
        raise SignatureInvalidError(msg)
    return OpenedCap(read_alert(canonical, bare), octets, sender)


def check_timely(alert: CapAlert, *, now: datetime) -> None:
    """Refuse an alert that was written long ago, or that is about later.

    Raises:
        ExpiredError: with what is wrong.
    """
    if alert.sent > now + SENT_AHEAD_MAX:
        msg = f"sent {alert.sent.isoformat()} lies ahead; it is {now.isoformat()}"
        raise ExpiredError(msg)
    if alert.sent < now - SENT_AGE_MAX:
        msg = f"sent {alert.sent.isoformat()} is more than an hour ago; write it anew"
        raise ExpiredError(msg)
    for info in alert.infos:
        if info.effective is not None and info.effective > now + SENT_AHEAD_MAX:
            msg = f"effective {info.effective.isoformat()} lies ahead; submit it then"
            raise ExpiredError(msg)


def request_of(
    opened: OpenedCap,
    deployment: Deployment,
    *,
    submitter: str,
    earlier: Sequence[BulletinRecord] = (),
) -> Request:
    """Give what an alert asks for.

    Args:
        opened: the alert.
        deployment: the gateway's rules.
        submitter: the person or machine that it counts as.
        earlier: of an Update or Cancel, the bulletins of the outage that it refers to.

    Raises:
        InputError: it does not say what has to be known; nothing is guessed.
    """
    alert = opened.alert
    kind = _kind(alert)
    if kind is BulletinKind.WITHDRAWAL:
        fields = _withdrawal(earlier)
    else:
        fields = _content(alert, alert.infos, deployment, kind)
    incident = _incident(opened, deployment, kind, earlier)
    document: dict[str, Any] = {
        "schema": 1,
        "identifier": alert.identifier,
        "sender": submitter,
        "incident": incident,
        "kind": kind.value,
        "mode": codes.MODES[alert.status].value,
        **fields,
    }
    return _request(alert, document)


def _request(alert: CapAlert, document: dict[str, Any]) -> Request:
    """Have the one definition of a bulletin document check what came out."""
    source = {"sender": alert.sender, "sent": alert.sent.isoformat(), "sha256": alert.digest}
    request = BulletinDocument.of(document).to_request(document | {"cap": source})
    # CAP has no word for the next update; the deadline profile and the end say when it is due
    return replace(request, promises_by_profile=True)


def check_is_ours(alert: CapAlert, deployment: Deployment) -> None:
    """Refuse what is not for everybody's phone in this gateway's mode.

    Raises:
        InputError: its scope or identifier is not one that is used here.
        ModeMismatchError: its status is of another mode, or of none.
        WorkflowError: it is an answer, not an alert.
    """
    if alert.message_type not in codes.KINDS:
        msg = f"msgType {alert.message_type} answers somebody; only alerts are taken in"
        raise WorkflowError(msg)
    if alert.status not in codes.MODES:
        msg = f"status {alert.status} is of no mode, and is never sent to phones"
        raise ModeMismatchError(msg)
    mode = codes.MODES[alert.status]
    if mode is not deployment.mode:
        msg = f"status {alert.status} is for mode {mode}, this gateway is in {deployment.mode}"
        raise ModeMismatchError(msg)
    if alert.scope != "Public":
        msg = f"scope {alert.scope}: what phones show is public"
        raise InputError(msg)
    if not IDENTIFIER.fullmatch(alert.identifier):
        msg = (
            f"identifier {alert.identifier!r}: here it has letters, digits, full stop, "
            "underscore, colon and hyphen"
        )
        raise InputError(msg)


def _kind(alert: CapAlert) -> BulletinKind:
    told = _parameter(alert.infos[:1], codes.KIND)
    if told is None:
        is_over = any("AllClear" in info.response_types for info in alert.infos[:1])
        if is_over and alert.message_type == "Update":
            return BulletinKind.RESTORED
        return codes.KINDS[alert.message_type]
    if told not in set(BulletinKind) or BulletinKind(told).message_type != alert.message_type:
        msg = f"parameter {codes.KIND}: {told[:80]!r} is no kind of {alert.message_type}"
        raise InputError(msg)
    # a partner's "no change yet" is not of our templates, so it counts as any other news
    is_heartbeat = told == BulletinKind.HEARTBEAT
    return BulletinKind.PROGRESS if is_heartbeat else BulletinKind(told)


def _withdrawal(earlier: Sequence[BulletinRecord]) -> dict[str, Any]:
    """A Cancel takes the outage's messages off the air wherever they are, whatever it says."""
    regions = dict.fromkeys(code for record in earlier for code in record.bulletin.regions)
    newest = max(earlier, key=lambda record: record.bulletin.number)
    return {"class": newest.bulletin.alert_class, "regions": list(regions)}


def _content(
    alert: CapAlert, infos: Sequence[CapInfo], deployment: Deployment, kind: BulletinKind
) -> dict[str, Any]:
    if not infos:
        msg = f"info: msgType {alert.message_type} says nothing to anybody without one"
        raise InputError(msg)
    first = infos[0]
    if first.expires is None:
        msg = "info[1].expires: a broadcast without an end is not sent"
        raise InputError(msg)
    from cbgateway.interfaces.cap.areas import regions_of  # noqa: PLC0415 - takes a while to load

    fields: dict[str, Any] = {
        "class": _alert_class(deployment, infos),
        "regions": list(regions_of(first.areas, deployment.regions, "info[1]")),
        "expires": first.expires.isoformat(),
    }
    fields["texts"] = _texts(infos, deployment, fields["class"])
    if kind is not BulletinKind.RESTORED:
        told = _parameter(infos, codes.NEXT_UPDATE)
        if told is not None:
            fields["next_update"] = told
    return fields


def _alert_class(deployment: Deployment, infos: Sequence[CapInfo]) -> str:
    """Give the class of the severity, or the one named; a severity of no class gets the usual."""
    classes = deployment.country.classes
    severity = infos[0].severity
    told = _parameter(infos, codes.ALERT_CLASS)
    if told is not None:
        if deployment.alert_class(told).severity != severity:
            msg = f"parameter {codes.ALERT_CLASS}: class {told!r} is not for severity {severity}"
            raise InputError(msg)
        return told
    fitting = [name for name, one in classes.items() if one.severity == severity]
    return min(
        fitting, key=lambda name: classes[name].rank, default=deployment.country.default_class
    )


def _texts(infos: Sequence[CapInfo], deployment: Deployment, class_name: str) -> dict[str, str]:
    """Give what people read: the text that is meant for phones, else all that the block says.

    Nothing is cut: half an instruction may say the opposite of the whole.
    """
    characters_max = deployment.alert_class(class_name).characters_max
    said: dict[str, str] = {}
    for info in infos:
        exact = _parameter([info], codes.TEXT)
        parts = (info.headline, info.description, info.instruction)
        said[info.language] = _sentences(parts) if exact is None else exact
    marked = {info.language for info in infos if _parameter([info], codes.TEXT) is not None}
    for info in infos:
        for language, text in _short_texts(info, characters_max).items():
            is_own = language == info.language or language not in {one.language for one in infos}
            if language in deployment.country.languages and language not in marked and is_own:
                said[language] = text
    return said


def _short_texts(info: CapInfo, characters_max: int) -> dict[str, str]:
    parameters = dict(info.parameters)
    texts = {}
    for names in (codes.SHORT_TEXTS, codes.LONG_TEXTS):
        for name, language in names.items():
            text = parameters.get(name, "")
            if text and (language not in texts or len(text) <= characters_max):
                texts[language] = text
    return texts


def _sentences(parts: Sequence[str]) -> str:
    words = [" ".join(part.split()) for part in parts if part]
    return " ".join(part if part[-1] in ENDS else f"{part}." for part in words)


def _incident(
    opened: OpenedCap,
    deployment: Deployment,
    kind: BulletinKind,
    earlier: Sequence[BulletinRecord],
) -> dict[str, Any] | str:
    alert = opened.alert
    if len(alert.incidents) > 1:
        msg = f"incidents: {len(alert.incidents)} are named; an alert is about one outage"
        raise InputError(msg)
    if kind is not BulletinKind.FIRST:
        incident_id = earlier[0].bulletin.incident_id
        if alert.incidents and alert.incidents != (incident_id,):
            msg = f"incidents: the alerts that it refers to are about {incident_id!r}"
            raise InputError(msg)
        return incident_id
    infos = alert.infos
    carrier = _parameter(infos, codes.CARRIER) or (opened.sender and opened.sender.carrier)
    if not carrier:
        msg = f"parameter {codes.CARRIER}: it does not say whose network fails; one of "
        raise InputError(msg + ", ".join(deployment.carriers))
    onset = infos[0].onset or infos[0].effective or alert.sent
    return {
        "id": alert.incidents[0] if alert.incidents else alert.identifier,
        "carrier": carrier,
        "services": [service.value for service in _services(infos)],
        "started_at": _parameter(infos, codes.STARTED_AT) or onset.isoformat(),
    }


def _services(infos: Sequence[CapInfo]) -> tuple[Service, ...]:
    listed = {value for name, value in infos[0].event_codes if codes.OET.fullmatch(name)}
    known = [code for code in codes.SERVICES_BY_CODE if code in listed]
    if not known:
        msg = "eventCode: none of an outage (OET); alerts about anything else are not sent here"
        raise InputError(msg)
    told = _parameter(infos, codes.SERVICES)
    if told is None:
        found = {service for code in known for service in codes.SERVICES_BY_CODE[code]}
        return tuple(service for service in Service if service in found)
    names = told.split()
    unknown = [name[:80] for name in names if name not in set(Service)]
    if unknown:
        msg = f"parameter {codes.SERVICES}: {unknown[0]!r} is none of {', '.join(Service)}"
        raise InputError(msg)
    return tuple(Service(name) for name in dict.fromkeys(names))


def _parameter(infos: Sequence[CapInfo], name: str) -> str | None:
    """Give the one value of a parameter; the same in every language that has it.

    Raises:
        InputError: several, or a name of ours that there is not.
    """
    found = []
    for info in infos:
        for one, value in info.parameters:
            if one.startswith(codes.PREFIX) and one not in codes.PARAMETERS:
                msg = f"parameter {one[:80]!r} is not known; {', '.join(sorted(codes.PARAMETERS))}"
                raise InputError(msg)
            if one == name:
                found.append(value)
    if len(set(found)) > 1:
        msg = f"parameter {name} says different things"
        raise InputError(msg)
    return found[0] if found else None
