"""What goes in and out over HTTP beside the bulletin itself, which interfaces/schema.py defines."""

from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from cbgateway.domain.bulletin import (
    BulletinKind,
    BulletinState,
    Confidence,
    EmergencyCalls,
    MessageType,
    Mode,
)
from cbgateway.domain.incident import IncidentState, Service
from cbgateway.domain.lifecycle import DeliveryState
from cbgateway.interfaces.steps import REASON_CHARACTERS_MAX
from cbgateway.service.proposals import Effect
from cbgateway.service.reach import ReachLevel

CONFIRMATION_CHARACTERS_MAX = 300  # a wide area, and eight numbers that are read back
BULLETIN_ID = r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,99}/[1-9][0-9]{0,8}$"
AT = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00$"

BulletinId = Annotated[str, Field(pattern=BULLETIN_ID, examples=["kt-20211025/1"])]
Text = Annotated[str, Field(max_length=200)]


class _In(BaseModel):
    """Refuses what it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ApprovalDocument(_In):
    """What an approver signs: this bulletin, exactly this plan, now."""

    decision: Literal["approve"]
    bulletin: BulletinId
    plan: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    at: Annotated[str, Field(pattern=AT, examples=["2021-10-25T02:18:00.000+00:00"])]
    confirmation: Annotated[str, Field(max_length=CONFIRMATION_CHARACTERS_MAX)] = ""


class ReturnDocument(_In):
    """What somebody signs who gives a bulletin back to its authors."""

    decision: Literal["return"]
    bulletin: BulletinId
    reason: Annotated[str, Field(min_length=1, max_length=REASON_CHARACTERS_MAX)]


class RejectDocument(_In):
    """What somebody signs who turns a bulletin down for good."""

    decision: Literal["reject"]
    bulletin: BulletinId
    reason: Annotated[str, Field(min_length=1, max_length=REASON_CHARACTERS_MAX)]


class TakeBackDocument(_In):
    """What an author signs who takes a bulletin back that nobody has approved."""

    decision: Literal["take-back"]
    bulletin: BulletinId
    reason: Annotated[str, Field(min_length=1, max_length=REASON_CHARACTERS_MAX)]


class _Tolerant(BaseModel):
    """A part of a document of TM Forum: what is read is checked, the rest may say anything."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Reference(_Tolerant):
    """Something that is named: a place, a service, a party."""

    id: Text | None = None
    name: Text | None = None


class Alarm(_Tolerant):
    """An alarm (TMF642).

    One outage is one `probableCause`, with `specificProblem` where it is given, in the network of
    the carrier that `sourceSystemId` names. A `place` with a region's code says where, an
    `affectedService` with a service's name says what.
    """

    type: Literal["Alarm"] = Field(alias="@type", default="Alarm")
    id: Annotated[str, Field(min_length=1, max_length=200)]
    external_alarm_id: Text | None = Field(alias="externalAlarmId", default=None)
    source_system_id: Text | None = Field(alias="sourceSystemId", default=None)
    probable_cause: Annotated[str, Field(min_length=1, max_length=200)] = Field(
        alias="probableCause"
    )
    specific_problem: Text | None = Field(alias="specificProblem", default=None)
    alarm_raised_time: AwareDatetime = Field(alias="alarmRaisedTime")
    alarm_cleared_time: AwareDatetime | None = Field(alias="alarmClearedTime", default=None)
    state: Text | None = None
    perceived_severity: Text | None = Field(alias="perceivedSeverity", default=None)
    place: Annotated[tuple[Reference, ...], Field(max_length=64)] = ()
    affected_service: Annotated[tuple[Reference, ...], Field(max_length=256)] = Field(
        alias="affectedService", default=()
    )


class ServiceProblem(_Tolerant):
    """A service problem (TMF656).

    One outage is one `category` and `reason`, in the network of the carrier that `originatorParty`
    names.
    """

    type: Literal["ServiceProblem"] = Field(alias="@type")
    id: Annotated[str, Field(min_length=1, max_length=200)]
    category: Annotated[str, Field(min_length=1, max_length=200)]
    reason: Text | None = None
    status: Text | None = None
    creation_date: AwareDatetime = Field(alias="creationDate")
    originator_party: Reference | None = Field(alias="originatorParty", default=None)
    place: Annotated[tuple[Reference, ...], Field(max_length=64)] = ()
    affected_service: Annotated[tuple[Reference, ...], Field(max_length=256)] = Field(
        alias="affectedService", default=()
    )


class Problem(BaseModel):
    """A refusal (RFC 9457). `type` is stable; docs/http.md lists them."""

    type: Annotated[str, Field(pattern="^urn:cbgateway:problem:[a-z0-9-]+$")]
    title: str
    status: int
    detail: str
    problems: list[str] | None = None


class ReferenceOut(BaseModel):
    """An earlier bulletin of the incident, as CAP refers to it."""

    sender: str
    identifier: str
    sent: AwareDatetime


class FactsOut(BaseModel):
    """What a bulletin says beside its texts."""

    cause: str | None
    confidence: Confidence
    eta: AwareDatetime | None
    emergency_calls: EmergencyCalls
    workarounds: list[str]


class Bulletin(BaseModel):
    """A bulletin with what was decided about it."""

    bulletin: str
    incident: str
    number: int
    kind: BulletinKind
    message_type: MessageType
    state: BulletinState
    mode: Mode
    alert_class: str = Field(alias="class")
    regions: list[str]
    texts: dict[str, str]
    sender: str
    identifier: str
    sent: AwareDatetime
    expires: AwareDatetime
    next_update_at: AwareDatetime | None
    code: str | None
    facts: FactsOut
    references: list[ReferenceOut]
    submitted_by: str
    authors: list[str]
    warnings: list[str]
    decided_by: str | None
    decided_at: AwareDatetime | None
    reason: str | None
    plan_hash: str | None


class Delivery(BaseModel):
    """One order at one carrier, with its evidence."""

    delivery: int
    carrier: str
    region: str
    channel: Literal["broadcast", "sms"]
    order: Literal["send", "stop"]
    language: str
    message_identifier: int | None
    serial_number: str | None
    state: DeliveryState
    attempts: int
    peer_reference: str | None
    recipients: int
    accepted: int
    refused: int
    in_doubt: int
    second_copies: int
    reason: str | None
    updated_at: AwareDatetime


class Deliveries(BaseModel):
    """What became of a bulletin at each carrier; with seals and texts, as `bulletin verify` reads.

    `next` is the address of the next page; null on the last one.
    """

    bulletin: str
    state: BulletinState
    texts: dict[str, str]
    seals: dict[str, str]
    carriers: dict[str, dict[DeliveryState, int]]
    items: list[Delivery]
    next: str | None


class Incident(BaseModel):
    """An outage. `proposed_state` is what its alarms, all cleared, propose."""

    incident: str
    carrier: str
    services: list[Service]
    started_at: AwareDatetime
    state: IncidentState
    alarms: int
    alarms_cleared: int
    proposed_state: IncidentState | None


class Incidents(BaseModel):
    """A page of incidents, by name."""

    items: list[Incident]
    next: str | None


class Bulletins(BaseModel):
    """A page of an incident's bulletins, in order."""

    items: list[Bulletin]
    next: str | None


class BroadcastOut(BaseModel):
    """A text on air, page by page as a phone collects it."""

    language: str
    message_identifier: int
    serial_number: str
    dcs: int
    text: str
    pages: list[str]


class ShortMessageOut(BaseModel):
    """A text as a short message, part by part as it goes out."""

    language: str
    text: str
    parts: list[str]


class Reach(BaseModel):
    """What one carrier would get."""

    broadcasts: int
    stops: int
    short_messages: int
    recipients: int
    regions: list[str]


class AssuredReach(BaseModel):
    """How sure it is that a carrier's subscribers in a region are told."""

    region: str
    carrier: str
    level: ReachLevel
    reason: str


class ControllerCells(BaseModel):
    """What one controller's cells add to a region; `places` is how they are named to it."""

    controller: str
    region: str
    cells: int
    places: list[str]


class NetworkCells(BaseModel):
    """Which cells of a radio network send, and the smallest regions in which it has none."""

    network: str
    controllers: list[ControllerCells]
    regions_bare: list[str]


class Budget(BaseModel):
    """What a region has left for this class, for everybody and for this sender."""

    region: str
    left: float
    left_for_sender: float


class Question(BaseModel):
    """What people asked and nobody could answer; digits and addresses are masked."""

    question: str
    asked: int
    source: str
    first_at: AwareDatetime
    last_at: AwareDatetime


class QuestionDocument(_In):
    """What somebody asked a call centre, and could not be told; no name or number of theirs."""

    question: Annotated[str, Field(min_length=1, max_length=400)]
    source: Annotated[str, Field(min_length=1, max_length=60, description="Who was asked.")]


class Noted(BaseModel):
    """What is kept of a question."""

    question: str
    source: str


class OutageReports(BaseModel):
    """How many people said within an hour that something does not work."""

    carrier: str
    region: str
    hour: AwareDatetime
    reports: int


class CarrierEnquiries(BaseModel):
    """How a carrier's enquiries stand; counts since the database was made."""

    number: str
    waiting: int
    under_way: int
    asked: int
    answered: int
    limited: int
    blocked: int
    late: int
    refused: int
    in_doubt: int
    commands: dict[str, int]
    subscribers: int
    latency_s_sum: float
    latency_s_buckets: list[tuple[float | None, int]]


class Enquiries(BaseModel):
    """What people ask by short message."""

    carriers: dict[str, CarrierEnquiries]
    questions: list[Question]
    reports: list[OutageReports]


class Plan(BaseModel):
    """What an approval of now would send; sign `plan` to have exactly this sent."""

    bulletin: str
    plan: str
    confirmation: str
    broadcasts: list[BroadcastOut]
    short_messages: list[ShortMessageOut]
    carriers: dict[str, Reach]
    reach: list[AssuredReach]
    warnings: list[str]
    cells: list[NetworkCells]
    budgets: list[Budget]
    subscribers: dict[str, int]
    questions: list[Question]


class BriefingContact(BaseModel):
    """A number or link to give to whoever asks."""

    contact: str
    name: str
    is_verified: bool


class Briefing(BaseModel):
    """What call-centre staff say about an outage, as new as the bulletin that it belongs to."""

    format: int
    incident: str
    bulletin: str
    number: int
    language: str
    is_superseded: bool
    newest: str
    published_at: str
    carrier: str
    what: list[str]
    where: list[str]
    since: str
    kind: str
    is_over: bool
    cause: str | None
    cause_confidence: str | None
    eta: str | None
    eta_words: str | None
    next_update_at: str | None
    is_next_update_overdue: bool
    emergency_calls: str
    workarounds: list[str]
    official_text: str
    code: str | None
    compensation: str
    compensation_notice_days: int | None
    script: list[str]
    kind_words: list[str]
    do_not_say: list[str]
    contacts: list[BriefingContact]
    readers: list[str]


class Briefings(BaseModel):
    """The briefings of every outage that goes on, or ended within a day."""

    items: list[Briefing]


class ReceiptDocument(BaseModel):
    """Somebody has read a bulletin's briefing; a registered person or machine says so."""

    model_config = ConfigDict(extra="forbid", strict=True)

    decision: Literal["briefing-read"]
    bulletin: str
    reader: Annotated[str, Field(min_length=1, max_length=60)]


class ReceiptOut(BaseModel):
    """A read receipt that is written down."""

    bulletin: str
    reader: str
    is_new: bool


class Region(BaseModel):
    """An area that bulletins are addressed to."""

    code: str
    name: dict[str, str]
    parent: str | None
    national_code: str | None


class Regions(BaseModel):
    """A page of regions, by code."""

    items: list[Region]
    next: str | None


class EventOut(BaseModel):
    """A leaf of the history; its index is its place in the transparency log."""

    index: int
    at: AwareDatetime
    subject: str
    what: str
    actor: str
    detail: dict[str, Any]


class Events(BaseModel):
    """A page of the history, in order."""

    items: list[EventOut]
    next: str | None


class ProposalOut(BaseModel):
    """What became of an alarm. Nothing was sent; a person may revise the draft."""

    effect: Effect
    incident: str | None
    draft: str | None
    proposed_state: IncidentState | None


class Jwk(BaseModel):
    """A region's public sealing key (RFC 8037)."""

    kty: Literal["OKP"]
    crv: Literal["Ed25519"]
    alg: Literal["Ed25519"]
    use: Literal["sig"]
    kid: str
    x: str
    region: str


class JwkSet(BaseModel):
    """The regions' public sealing keys (RFC 7517)."""

    keys: list[Jwk]


class Health(BaseModel):
    """Whether the process runs, or may be asked for work."""

    status: Literal["ok"]
