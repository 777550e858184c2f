"""The outage of 25 October 2021 as the demo tells it, and what has to hold at a story's end.

Times and facts are those of the ministry's cause report: KT's network was down from 11:16 to
12:45, 89 minutes. Who would have told whom, and when, is the story of this demo.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from cbgateway.domain.bulletin import BulletinKind

FIRST_NOTICE_MAX_S = 300
"""Japan's guideline asks for half an hour; five minutes is what people would call at once."""

Slots = dict[str, str | int | dict[str, str]]


@dataclass(frozen=True, slots=True)
class Step:
    """Something that happens.

    Attributes:
        at: when.
        what: for the time line.
        kind: of the bulletin that is issued, if one is.
        slots: for its template; ``next`` is when the next update is promised.
        alarms: what network monitoring tells over MQTT, if it does: ``raised`` or ``cleared``.
        returns: carrier whose message centre comes back, if one does.
        refused: what is tried and has to be refused: ``alone``, one person wants to send, or
            ``mode``, an exercise comes to a gateway that has none.
        asks: what somebody asks by short message, if anybody does: carrier and text.
    """

    at: datetime
    what: str
    kind: BulletinKind | None = None
    slots: Slots | None = None
    alarms: Literal["raised", "cleared"] | None = None
    returns: str | None = None
    refused: str | None = None
    asks: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Story:
    """An incident and how it is told.

    Attributes:
        title: its day.
        incident: name of the incident.
        carrier: whose outage it is said to be.
        failing: carrier whose message centre is down from the start until it returns.
        mute: carrier whose answers to the first bulletin get lost.
        regions: that bulletins are for.
        copies_max: how often a phone may show one bulletin.
        really: what happened on the day, with its source.
        day: the same in a few words for each measure of the score that it has one for.
    """

    name: str
    title: str
    incident: str
    carrier: str
    services: tuple[str, ...]
    failing: str | None
    regions: tuple[str, ...]
    start: datetime
    steps: tuple[Step, ...]
    really: str
    day: Mapping[str, str] = field(default_factory=dict)
    mute: str | None = None
    copies_max: int = 1

    @property
    def end(self) -> datetime:
        """Give when its last step is."""
        return self.steps[-1].at

    @property
    def newest_before_return(self) -> int:
        """Give the number of the bulletin that a carrier gets when it returns; 1 if none does."""
        returns = next((step.at for step in self.steps if step.returns is not None), self.start)
        issued = [step for step in self.steps if step.kind is not None]
        return max((n for n, step in enumerate(issued, start=1) if step.at < returns), default=1)


def _at(time: str) -> datetime:
    return datetime.fromisoformat(f"2021-10-25T{time}+09:00")


_COMMON: Slots = {"authority": "msit", "carrier": "kt"}
_AREA: Slots = {"area": {"ko": "전국", "en": "nationwide"}}

KT_2021 = Story(
    name="kt-2021",
    title="25 October 2021",
    incident="kt-20211025",
    carrier="kt",
    services=("voice", "sms", "mobile_data", "fixed_internet", "card_payment"),
    failing="kt",
    regions=("KR",),
    start=_at("11:16:00"),
    steps=(
        Step(_at("11:16:00"), "KT: a routing error takes the network down across Korea"),
        Step(
            _at("11:16:40"),
            "alarms over MQTT: one suspected incident with a draft, nothing sent",
            alarms="raised",
        ),
        Step(
            _at("11:18:00"),
            "bulletin 1: first notice; alice completes the draft, bob approves",
            BulletinKind.FIRST,
            {
                **_COMMON,
                **_AREA,
                "services": "all",
                "cause": "checking",
                "since": "11:16",
                "next": "11:45",
            },
        ),
        Step(
            _at("11:42:00"),
            "bulletin 2: the cause is known, repair goes on",
            BulletinKind.PROGRESS,
            {
                **_COMMON,
                "cause": "routing",
                "number": 2,
                "now": "11:42",
                "eta": "12:20",
                "next": "12:15",
            },
        ),
        Step(
            _at("11:55:00"),
            "somebody in Seoul asks by SMS over another carrier, and is answered",
            asks=("skt", "서울"),
        ),
        Step(
            _at("12:12:00"),
            "bulletin 3: it takes longer than expected",
            BulletinKind.ETA_CHANGE,
            {**_COMMON, "cause": "routing", "number": 3, "now": "12:12", "next": "12:50"},
        ),
        Step(_at("12:40:00"), "KT: the message centre can be reached again", returns="kt"),
        Step(
            _at("12:42:00"),
            "alarms cleared: monitoring is proposed, and alice says so",
            alarms="cleared",
        ),
        Step(
            _at("12:45:00"),
            "bulletin 4: restored, after 89 minutes",
            BulletinKind.RESTORED,
            {**_COMMON, **_AREA, "cause": "routing", "restored": "12:45", "minutes": 89},
        ),
    ),
    really=(
        "no notice to the public during 89 minutes; the ministry thought of a disaster text and "
        "dropped it; KT first spoke of DDoS [press: JoongAng, asiae; the ministry's cause report]"
    ),
    day={
        "first_notice": "none in 89 minutes",
        "promises": "none made",
    },
)


PROBES_A_REGION = 3


def alarms(story: Story, regions: Sequence[str], *, cleared: bool) -> list[dict[str, Any]]:
    """Give what network monitoring tells (TMF642): three probes a region, all with one cause."""
    return [
        {
            "@type": "Alarm",
            "id": f"{story.carrier}-{region}-{probe}",
            "sourceSystemId": story.carrier,
            "probableCause": "routingFailure",
            "alarmRaisedTime": story.start.isoformat(),
            "state": "cleared" if cleared else "raised",
            "place": [{"id": region}],
            "affectedService": [{"name": service} for service in story.services],
        }
        for region in regions
        for probe in range(PROBES_A_REGION)
    ]


def document(
    story: Story, step: Step, *, number: int, sender: str, incident_id: str = ""
) -> dict[str, Any]:
    """Give the bulletin document that somebody submits at a step.

    Args:
        story: of which it is a part.
        step: what has happened.
        number: of the bulletin.
        sender: who submits it.
        incident_id: of an incident that is there; empty for one that its first bulletin opens.
    """
    assert step.kind is not None, "only steps with a kind issue a bulletin"  # noqa: S101 - our own data
    slots = step.slots or {}
    incident: Any = incident_id or story.incident
    if step.kind is BulletinKind.FIRST and not incident_id:
        incident = {
            "id": story.incident,
            "carrier": story.carrier,
            "services": list(story.services),
            "started_at": story.start.isoformat(),
        }
    return {
        "schema": 1,
        "identifier": f"{story.incident}-{number}",
        "sender": sender,
        "incident": incident,
        "kind": step.kind.value,
        "regions": list(story.regions),
        "template": {"name": step.kind.value, "slots": slots},
        "mode": "test",
        "facts": _facts(step),
        **_promise(step),
    }


def _facts(step: Step) -> dict[str, Any]:
    """Give what pages and briefings say beside the text."""
    facts: dict[str, Any] = {"emergency_calls": "ok_remove_sim"}
    cause = (step.slots or {}).get("cause")
    if cause is not None:
        facts |= {"cause": cause, "confidence": "suspected" if cause == "checking" else "confirmed"}
    if step.kind is BulletinKind.FIRST:
        facts["workarounds"] = ["other_phone", "tethering", "cash", "wait"]
    return facts


def _promise(step: Step) -> dict[str, Any]:
    """Give when the next update is due: as the text says, else half an hour later."""
    if step.kind is BulletinKind.RESTORED:
        return {}
    shown = (step.slots or {}).get("next")
    if not isinstance(shown, str):
        return {"next_update": (step.at + timedelta(minutes=30)).isoformat()}
    hour, minute = map(int, shown.split(":"))
    return {"next_update": step.at.replace(hour=hour, minute=minute, second=0).isoformat()}


@dataclass(frozen=True, slots=True)
class Bulletin:
    """A bulletin that was issued."""

    number: int
    kind: str
    texts: Mapping[str, str]


def summarise(
    *,
    first_notice_s: float | None,
    bulletins: Iterable[Bulletin],
    phones: Mapping[str, list[dict[str, Any]]],
) -> dict[str, Any]:
    """Count what the phones have shown.

    Args:
        first_notice_s: from the outage's start to the first phone that showed something; None
            when none did.
        bulletins: what was issued.
        phones: by carrier, every phone with what it has shown.

    Returns:
        The object that ``cbgateway demo --json`` prints.
    """
    bulletins = tuple(bulletins)
    numbers = {text: one.number for one in bulletins for text in one.texts.values()}
    carriers = {}
    for carrier, owned in phones.items():
        shown = {}
        for one in bulletins:
            times = [
                sum(numbers.get(screen["text"]) == one.number for screen in phone["shown"])
                for phone in owned
            ]
            shown[str(one.number)] = {
                "phones": sum(map(bool, times)),
                "most": max(times, default=0),
            }
        carriers[carrier] = {"phones": len(owned), "shown": shown}
    screens = [screen for owned in phones.values() for phone in owned for screen in phone["shown"]]
    return {
        "first_notice_s": first_notice_s,
        "bulletins": [
            {"number": one.number, "kind": one.kind, "texts": dict(one.texts)} for one in bulletins
        ],
        "carriers": carriers,
        "screens": len(screens),
        "unknown_texts": sum(screen["text"] not in numbers for screen in screens),
        "seals_verified": sum(screen["seal"] == "valid" for screen in screens),
    }


def failures(summary: Mapping[str, Any], story: Story = KT_2021) -> list[str]:
    """Say what does not hold; empty when everything does."""
    problems = []
    first_notice_s = summary["first_notice_s"]
    if first_notice_s is None or first_notice_s > FIRST_NOTICE_MAX_S:
        problems.append(f"the first notice took {first_notice_s} s")
    for carrier, counts in summary["carriers"].items():
        for number, shown in counts["shown"].items():
            was_down = carrier == story.failing and int(number) < story.newest_before_return
            expected = 0 if was_down else counts["phones"]
            if shown["phones"] != expected or shown["most"] > story.copies_max:
                problems.append(
                    f"{carrier}: bulletin {number} was shown by {shown['phones']} phones of "
                    f"{counts['phones']}, at most {shown['most']} times; expected {expected}, once"
                )
    if summary["unknown_texts"]:
        problems.append(f"{summary['unknown_texts']} screens show what nobody issued")
    if summary["seals_verified"] != summary["screens"] or not summary["screens"]:
        problems.append(
            f"{summary['seals_verified']} of {summary['screens']} seals could be verified"
        )
    return [
        *problems,
        *_score_failures(summary.get("score")),
        *_automation_failures(summary.get("automation")),
        *_enquiry_failures(summary.get("enquiry")),
    ]


def _enquiry_failures(enquiry: Mapping[str, Any] | None) -> list[str]:
    """Say that somebody who asked was not answered with what is known; nobody asked is well."""
    if enquiry is None or "KT" in enquiry["answer"]:
        return []
    return [f"{enquiry['question']!r} was answered {enquiry['answer']!r}, which says nothing of KT"]


def _automation_failures(automation: Mapping[str, Any] | None) -> list[str]:
    """Say what alarms have done that they may not, or have not done; none were told is well."""
    if automation is None:
        return []
    problems = []
    if automation["incidents"] != 1 or automation["orders"]:
        problems.append(
            f"{automation['alarms']} alarms made {automation['incidents']} incidents and "
            f"{automation['orders']} orders; expected one incident, and nothing that leaves"
        )
    if automation["proposed"] != "monitoring":
        problems.append(f"cleared alarms proposed {automation['proposed']}, not monitoring")
    return problems


def _score_failures(score: Mapping[str, Any] | None) -> list[str]:
    """Say which promise or rule a story broke; a summary without a score has none."""
    if score is None:
        return []
    problems = []
    if score["promises_kept"] != score["promises"]:
        problems.append(f"{score['promises_kept']} of {score['promises']} promises were kept")
    if score["lost_octets"] == 0:
        problems.append("no answer got lost, so nothing was tried")
    problems += [f"{what!r} was not refused" for what in score["not_refused"]]
    return problems
