"""The shape of country and carrier profiles; what a file says beyond it is refused."""

import re
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, IPvAnyNetwork

from cbgateway.domain.broadcast import GeographicalScope
from cbgateway.domain.bulletin import BulletinKind
from cbgateway.domain.people import Severity

PWS_MIN = 4352
PWS_MAX = 6399
VENDOR_TAG_MIN = 0x1400
VENDOR_TAG_MAX = 0x3FFF
SMPP_WINDOW_MAX = 10_000

Code = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$")]
Language = Annotated[str, Field(pattern=r"^[a-z]{2}$")]
Names = Annotated[dict[Language, Annotated[str, Field(min_length=1)]], Field(min_length=1)]
Octet = Annotated[int, Field(ge=0, le=255)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]
Text = Annotated[str, Field(min_length=1)]


def _compiles(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        msg = f"no pattern: {error}"
        raise ValueError(msg) from error
    return pattern


Pattern = Annotated[str, AfterValidator(_compiles)]


def _in_pws_range(value: int) -> int:
    if not PWS_MIN <= value <= PWS_MAX:
        msg = f"{value} is not in the public warning range {PWS_MIN}..{PWS_MAX}"
        raise ValueError(msg)
    return value


MessageIdentifier = Annotated[int, AfterValidator(_in_pws_range)]
"""What phones treat as a public warning (TS 23.041 9.4.1.2.2)."""


class Model(BaseModel):
    """Refuses unknown keys and values of the wrong type."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class LanguageRules(Model):
    """How a country's texts in one language go on air.

    Attributes:
        dcs: data coding scheme, or ``auto`` to choose by the text.
        channel: the class's message identifier, or its additional-language twin.
        exercise_prefix: what every text of an exercise begins with.
    """

    dcs: Octet | Literal["auto"]
    channel: Literal["base", "twin"]
    exercise_prefix: Annotated[str, Field(min_length=1, max_length=20)]


class BulletinLimit(Model):
    """A region's budget for one class: a token bucket."""

    capacity: Annotated[int, Field(ge=1, le=1000)]
    refill_per_hour: Annotated[float, Field(gt=0, le=3600)]


class AlertClass(Model):
    """What a country calls a level.

    Attributes:
        rank: 1 is the highest.
        severity: as CAP calls it; permissions end at one.
        characters_max: of a text, in any language.
        sms_in_doubt: what becomes of short messages that were sent and not answered: ``resend``
            at once, ``hold`` for a receipt and then resend, or ``ask`` an operator. Once in any
            case.
        sms_hold_s: how long ``hold`` waits.
    """

    name: Names
    rank: Annotated[int, Field(ge=1, le=100)]
    severity: Severity
    message_identifier: MessageIdentifier
    twin_message_identifier: MessageIdentifier | None = None
    characters_max: Annotated[int, Field(ge=1, le=1395)]
    repetition_period_s: Annotated[int, Field(ge=1, le=4095)]
    limit: BulletinLimit
    exempt_from_limit: bool = False
    sms_in_doubt: Literal["resend", "hold", "ask"]
    sms_hold_s: Seconds = 60


class ExerciseRules(Model):
    """Where exercises go instead of a class's own channels."""

    message_identifier: MessageIdentifier
    twin_message_identifier: MessageIdentifier


class EnquiryRules(Model):
    """How people who ask by short message are treated.

    Attributes:
        per_minute_max: questions of one sender that are answered; the next one gets a notice.
        in_a_row_max: questions of one sender within `mute_s` after which it counts as a machine.
        mute_s: how long a machine is not answered.
        subscriber_digits_min: senders with fewer digits are short codes, which are machines.
        answer_within_s: an older question is not answered any more, nor an answer delivered.
        subscription_days: how long somebody is told of new bulletins.
        subscription_regions_max: regions that one subscriber may ask for.
        reports_min: reports of people in one region within `reports_window_h`, by one carrier,
            that propose a suspected outage.
        reports_window_h: whole hours.
        questions_days: how long a question that nobody has asked again is kept.
    """

    per_minute_max: Annotated[int, Field(ge=1, le=60)] = 5
    in_a_row_max: Annotated[int, Field(ge=1, le=1000)] = 20
    mute_s: Seconds = 3_600
    subscriber_digits_min: Annotated[int, Field(ge=1, le=15)] = 8
    answer_within_s: Annotated[int, Field(ge=10, le=86_400)] = 600
    subscription_days: Annotated[int, Field(ge=1, le=366)] = 30
    subscription_regions_max: Annotated[int, Field(ge=1, le=20)] = 5
    reports_min: Annotated[int, Field(ge=2, le=1_000_000)] = 30
    reports_window_h: Annotated[int, Field(ge=1, le=24)] = 1
    questions_days: Annotated[int, Field(ge=1, le=366)] = 30


class CountryProfile(Model):
    """The rules of one country.

    Attributes:
        exercise: channels that phones do not show unless they were told to.
        duplicate_window_s: how long phones remember what they have shown.
        message_expiry_max_s: no bulletin stands longer.
        all_clear_expiry_s: nor a restored one longer than this.
        exempt_kinds: kinds of bulletin that need no budget, and that nothing may block.
        approval_valid_s: how long an approval counts while nothing of it has left.
        duplicate_guard_s: how long the same sender may not tell the same regions the same.
        wide_area_regions_min: from so many of the smallest regions on, approvers type what they do.
        deadlines: code of the deadline profile that counts here.
        utc_offset_min: of the country's clocks, in minutes, for times of day in texts and pages.
    """

    schema_version: Literal[1] = Field(alias="schema")
    code: Code
    mcc: Annotated[str, Field(pattern=r"^[0-9]{3}$")]
    name: Names
    root_region: Code
    default_language: Language
    default_class: str
    geographical_scope_name: Literal["cell_immediate", "plmn", "area", "cell"] = Field(
        alias="geographical_scope"
    )
    duplicate_window_s: Annotated[int, Field(ge=0, le=604_800)]
    message_expiry_max_s: Annotated[int, Field(ge=60, le=604_800)]
    all_clear_expiry_s: Annotated[int, Field(ge=60, le=86_400)]
    exempt_kinds: tuple[BulletinKind, ...]
    approval_valid_s: Annotated[int, Field(ge=60, le=3_600)]
    duplicate_guard_s: Annotated[int, Field(ge=0, le=86_400)]
    wide_area_regions_min: Annotated[int, Field(ge=1, le=10_000)]
    deadlines: Code = "custom"
    utc_offset_min: Annotated[int, Field(ge=-720, le=840)] = 0
    enquiries: EnquiryRules = EnquiryRules()
    exercise: ExerciseRules
    languages: Annotated[dict[Language, LanguageRules], Field(min_length=1)]
    classes: Annotated[dict[Code, AlertClass], Field(min_length=1)]

    @property
    def geographical_scope(self) -> GeographicalScope:
        """Where two broadcasts with one serial number are the same one."""
        return GeographicalScope[self.geographical_scope_name.upper()]


class AddressRules(Model):
    """A source address (SMPP 5.0 4.7.1)."""

    ton: Octet
    npi: Octet
    address: Annotated[str, Field(pattern=r"^[ -~]{0,20}$")]


class DestinationRules(Model):
    """What subscriber numbers are marked as."""

    ton: Octet
    npi: Octet


class SmsRules(Model):
    """How short messages go out."""

    service_type: Annotated[str, Field(pattern=r"^[ -~]{0,5}$")]
    segmentation: Literal["udh8", "udh16", "sar", "payload"]
    registered_delivery: Octet


class BroadcastClass(Model):
    """How one alert class shows in a broadcast_sm.

    Attributes:
        content_service: low 16 bits of broadcast_content_type.
        message_class: broadcast_message_class.
        priority_flag: 0 normal, 1 immediate, 2 high, 4 background (GSM CBS).
    """

    content_service: Annotated[int, Field(ge=0, le=0xFFFF)]
    message_class: Annotated[int, Field(ge=0, le=3)]
    priority_flag: Annotated[int, Field(ge=0, le=4)]


class BroadcastRules(Model):
    """How broadcasts go out.

    Attributes:
        payload: ``text`` has the message centre make the pages, ``pages`` sends them ready.
        area_alias: by what name the message centre knows regions.
        network_type: high octet of broadcast_content_type; 1 is GSM.
        query: whether the message centre answers query_broadcast_sm; it is asked once about each
            broadcast, after one repetition period, and when an operator wants to know.
    """

    service_type: Annotated[str, Field(pattern=r"^[ -~]{0,5}$")]
    payload: Literal["text", "pages"]
    area_alias: Literal["code", "name_en"]
    network_type: Annotated[int, Field(ge=0, le=3)]
    query: bool = False
    classes: dict[Code, BroadcastClass]


VendorTag = Annotated[int, Field(ge=VENDOR_TAG_MIN, le=VENDOR_TAG_MAX)]


class VendorTlvs(Model):
    """Where a message centre takes what SMPP has no field for; None where it does not."""

    seal: VendorTag | None = None
    message_identifier: VendorTag | None = None
    serial_number: VendorTag | None = None
    data_coding_scheme: VendorTag | None = None


Bind = Literal["transmitter", "receiver", "transceiver"]
BINDS_MAX = 8
"""Binds to one message centre; carriers allow few, and each has a window of its own in doubt."""


def _sends(bind: Bind) -> Bind:
    if bind == "receiver":
        msg = "nothing can be sent on a receiver; it may stand among more_binds"
        raise ValueError(msg)
    return bind


class SmppProfile(Model):
    """How a carrier's message centre is spoken to.

    Attributes:
        bind: as what we bind; `registered_delivery` needs one that receives.
        more_binds: what we bind as beside that; short messages are spread over all that send.
        outbind: as what we bind when the message centre connects to us and asks for it, beside the
            others; None where it does not. Where we listen is a setting.
        window_requests_max: requests in flight on one bind.
        enquiries: the number that people write to, and that answers come from; None where the
            carrier has none for us.
    """

    version: Literal["3.4", "5.0"]
    bind: Annotated[Bind, AfterValidator(_sends)]
    more_binds: Annotated[tuple[Bind, ...], Field(max_length=BINDS_MAX - 1)] = ()
    outbind: Bind | None = None
    system_type: Annotated[str, Field(pattern=r"^[ -~]{0,12}$")]
    source: AddressRules
    destination: DestinationRules
    window_requests_max: Annotated[int, Field(ge=1, le=SMPP_WINDOW_MAX)]
    response_timeout_s: Seconds
    bind_timeout_s: Seconds
    enquire_link_interval_s: Seconds
    reconnect_delay_min_s: Seconds
    reconnect_delay_max_s: Seconds
    sms: SmsRules
    broadcast: BroadcastRules
    vendor_tlvs: VendorTlvs
    enquiries: AddressRules | None = None


class Pacing(Model):
    """How fast short messages go into one region, so that its signalling is not flooded.

    Attributes:
        messages_per_s: on average; at most one second's worth at once.
    """

    messages_per_s: Annotated[float, Field(gt=0, le=1_000_000)]


class Infrastructure(Model):
    """What is gone when an operator's network is down, beside its phones.

    Attributes:
        networks: address ranges of its own.
        domains: names that its own name servers answer for.
    """

    networks: tuple[IPvAnyNetwork, ...] = ()
    domains: tuple[Annotated[str, Field(pattern=r"^[a-z0-9-]+(\.[a-z0-9-]+)+$")], ...] = ()


class CarrierProfile(Model):
    """The limits and quirks of one operator; where it is, and who we are to it, is not here.

    Attributes:
        infrastructure: nothing that the gateway needs may be part of it.
        routes: by alert class, the ways a bulletin takes.
    """

    schema_version: Literal[1] = Field(alias="schema")
    code: Code
    country: Code
    name: Names
    plmns: Annotated[
        tuple[Annotated[str, Field(pattern=r"^[0-9]{5,6}$")], ...], Field(min_length=1)
    ]
    interface: Literal["smpp"]
    pacing: Pacing
    routes: Mapping[Code, tuple[Literal["broadcast", "sms"], ...]]
    smpp: SmppProfile
    infrastructure: Infrastructure = Infrastructure()
