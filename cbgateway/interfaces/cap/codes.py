"""Names that travel in CAP: event codes of outages, our own parameters, what words map to."""

import re
from collections.abc import Mapping

from cbgateway.domain.bulletin import BulletinKind, Mode
from cbgateway.domain.incident import Service

OET = re.compile(r"OET:v\d{1,2}\.\d{1,2}")
OET_NAME = "OET:v1.2"
"""The OASIS event terms list, by the version that we write."""

SERVICES_BY_CODE: Mapping[str, tuple[Service, ...]] = {
    "OET-034": (Service.IPTV,),
    "OET-045": (Service.VOICE, Service.SMS, Service.MOBILE_DATA, Service.FIXED_INTERNET),
    "OET-069": (Service.FIXED_INTERNET,),
    "OET-074": (Service.EMERGENCY_CALL,),
    "OET-114": (Service.FIXED_INTERNET,),
    "OET-115": (Service.FIXED_INTERNET,),
    "OET-118": (Service.VOICE,),
    "OET-131": (Service.VOICE, Service.SMS, Service.MOBILE_DATA),
    "OET-155": (Service.VOICE, Service.SMS, Service.MOBILE_DATA),
    "OET-172": (Service.VOICE, Service.MOBILE_DATA),
    "OET-192": (Service.VOICE,),
}
"""What an outage of each kind takes away; alerts about anything else are not ours to send."""

CODE_BY_SERVICE: Mapping[Service, str] = {
    Service.VOICE: "OET-131",
    Service.SMS: "OET-131",
    Service.MOBILE_DATA: "OET-131",
    Service.FIXED_INTERNET: "OET-115",
    Service.IPTV: "OET-034",
    Service.CARD_PAYMENT: "OET-045",
    Service.EMERGENCY_CALL: "OET-074",
}

PREFIX = "cbgateway:"
KIND = "cbgateway:kind"
ALERT_CLASS = "cbgateway:class"
CARRIER = "cbgateway:carrier"
SERVICES = "cbgateway:services"
STARTED_AT = "cbgateway:started_at"
NEXT_UPDATE = "cbgateway:next_update"
TEXT = "cbgateway:text"
PARAMETERS = {KIND, ALERT_CLASS, CARRIER, SERVICES, STARTED_AT, NEXT_UPDATE, TEXT}
"""Ours; any other name that begins with the prefix is a slip of the pen."""

SHORT_TEXTS: Mapping[str, str] = {
    "CMAMtext": "en",
    "CMAMtext-Spanish": "es",
}
LONG_TEXTS: Mapping[str, str] = {
    "CMAMlongtext": "en",
    "CMAMlongtext-Spanish": "es",
}
"""Parameters of IPAWS, whose names say the language of the text, whatever block they stand in."""

MODES: Mapping[str, Mode] = {
    "Actual": Mode.LIVE,
    "Exercise": Mode.EXERCISE,
    "Test": Mode.TEST,
}
STATUSES: Mapping[Mode, str] = {mode: status for status, mode in MODES.items()}

KINDS: Mapping[str, BulletinKind] = {
    "Alert": BulletinKind.FIRST,
    "Update": BulletinKind.PROGRESS,
    "Cancel": BulletinKind.WITHDRAWAL,
}
"""What a message is when no parameter says more."""

EVENTS: Mapping[str, str] = {"ko": "통신장애", "en": "Telecom outage"}
"""By language; any other one gets the English words."""
