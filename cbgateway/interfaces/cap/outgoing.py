"""From a bulletin to the CAP alert that tells others of it."""

from collections.abc import Sequence
from datetime import UTC, datetime

from lxml import etree

from cbgateway.domain.bulletin import Bulletin, BulletinKind, Reference
from cbgateway.domain.incident import Incident
from cbgateway.interfaces.cap import codes
from cbgateway.interfaces.cap.document import NAMESPACE, Point
from cbgateway.service.deployment import Deployment

COUNTRY_CODE_LETTERS = 2  # of ISO 3166-1; profiles of no country have longer names


def write_alert(
    bulletin: Bulletin,
    incident: Incident,
    deployment: Deployment,
    *,
    name: Reference,
    references: Sequence[Reference],
) -> bytes:
    """Write a bulletin as a CAP 1.2 alert: the same bulletin, the same octets.

    Args:
        bulletin: what was approved.
        incident: what it is about.
        deployment: the names of regions and their outlines.
        name: what the alert is called, for ever.
        references: the earlier alerts of the incident.
    """
    alert = etree.Element(f"{{{NAMESPACE}}}alert", nsmap={None: NAMESPACE})
    _add(alert, "identifier", name.identifier)
    _add(alert, "sender", name.sender)
    _add(alert, "sent", cap_time(name.sent))
    _add(alert, "status", codes.STATUSES[bulletin.mode])
    _add(alert, "msgType", bulletin.kind.message_type.value)
    _add(alert, "scope", "Public")
    if references:
        _add(alert, "references", " ".join(map(reference_text, references)))
    _add(alert, "incidents", bulletin.incident_id)
    for language, text in bulletin.texts.items():
        _add_info(alert, language, text, bulletin, incident, deployment)
    octets: bytes = etree.tostring(alert, xml_declaration=True, encoding="UTF-8")
    return octets


def cap_time(at: datetime) -> str:
    """Write a time as CAP 1.2 wants it: whole seconds, and UTC as minus nothing (3.3.2)."""
    text = at.astimezone(UTC).replace(microsecond=0, tzinfo=None).isoformat()
    return f"{text}-00:00"


def reference_text(reference: Reference) -> str:
    """Write one triple of `references`."""
    return f"{reference.sender},{reference.identifier},{cap_time(reference.sent)}"


def _add(parent: etree._Element, tag: str, text: str | None = None) -> etree._Element:
    child = etree.SubElement(parent, f"{{{NAMESPACE}}}{tag}")
    child.text = text
    return child


def _add_named(parent: etree._Element, tag: str, name: str, value: str) -> None:
    child = _add(parent, tag)
    _add(child, "valueName", name)
    _add(child, "value", value)


def _add_info(
    alert: etree._Element,
    language: str,
    text: str,
    bulletin: Bulletin,
    incident: Incident,
    deployment: Deployment,
) -> None:
    is_over = bulletin.kind is BulletinKind.RESTORED
    info = _add(alert, "info")
    _add(info, "language", _language_tag(language, deployment))
    _add(info, "category", "Infra")
    _add(info, "event", codes.EVENTS.get(language, codes.EVENTS["en"]))
    _add(info, "responseType", "AllClear" if is_over else "Monitor")
    _add(info, "urgency", "Past" if is_over else "Immediate")
    _add(info, "severity", deployment.alert_class(bulletin.alert_class).severity.value)
    _add(info, "certainty", "Observed")
    for code in dict.fromkeys(codes.CODE_BY_SERVICE[service] for service in incident.services):
        _add_named(info, "eventCode", codes.OET_NAME, code)
    _add(info, "effective", cap_time(bulletin.sent))
    _add(info, "onset", cap_time(incident.started_at))
    _add(info, "expires", cap_time(bulletin.expires))
    _add(info, "headline", codes.EVENTS.get(language, codes.EVENTS["en"]))
    _add(info, "description", text)
    _add_named(info, "parameter", codes.KIND, bulletin.kind.value)
    _add_named(info, "parameter", codes.ALERT_CLASS, bulletin.alert_class)
    _add_named(info, "parameter", codes.CARRIER, incident.carrier)
    _add_named(info, "parameter", codes.SERVICES, " ".join(incident.services))
    _add_named(info, "parameter", codes.STARTED_AT, cap_time(incident.started_at))
    if bulletin.next_update_at is not None:
        _add_named(info, "parameter", codes.NEXT_UPDATE, cap_time(bulletin.next_update_at))
    _add_named(info, "parameter", codes.TEXT, text)
    for code in bulletin.regions:
        _add_area(info, code, language, deployment)


def _language_tag(language: str, deployment: Deployment) -> str:
    country = deployment.country
    if language == "en":
        return "en-US"  # what CAP takes an alert for that does not say
    if language == country.default_language and len(country.code) == COUNTRY_CODE_LETTERS:
        return f"{language}-{country.code.upper()}"
    return language


def _add_area(info: etree._Element, code: str, language: str, deployment: Deployment) -> None:
    from cbgateway.interfaces.cap.areas import outline_of  # noqa: PLC0415 - takes a while to load

    region = deployment.regions[code]
    area = _add(info, "area")
    _add(area, "areaDesc", region.name.get(language) or next(iter(region.name.values())))
    for polygon in outline_of(deployment.regions.polygons.get(code, ())):
        _add(area, "polygon", " ".join(map(_pair, polygon)))
    _add_named(area, "geocode", "ISO3166-2", code)


def _pair(point: Point) -> str:
    return f"{point[0]:.4f},{point[1]:.4f}"
