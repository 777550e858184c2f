"""The outage of 25 October 2021 as the demo tells it, and what has to hold at its end.

Times and facts are those of the ministry's cause report: KT's network was down from 11:16 to
12:45, 89 minutes. Who would have told whom, and when, is the story of this demo.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from cbgateway.domain.bulletin import BulletinKind

START = datetime.fromisoformat("2021-10-25T11:16:00+09:00")
INCIDENT = "kt-20211025"
FAILING = "kt"
FIRST_NOTICE_MAX_S = 300
"""Japan's guideline asks for half an hour; five minutes is what people would call at once."""

Slots = dict[str, str | int | dict[str, str]]


@dataclass(frozen=True, slots=True)
class Step:
    """Something that happens.

    Attributes:
        at: time of day on 25 October 2021.
        what: for the time line.
        kind: of the bulletin that is issued, if one is.
        slots: for its template.
        returns: carrier whose message centre comes back, if one does.
    """

    at: datetime
    what: str
    kind: BulletinKind | None = None
    slots: Slots | None = None
    returns: str | None = None


def _at(time: str) -> datetime:
    return datetime.fromisoformat(f"2021-10-25T{time}+09:00")


_COMMON: Slots = {"authority": "msit", "carrier": "kt"}
_AREA: Slots = {"area": {"ko": "전국", "en": "nationwide"}}

STEPS = (
    Step(START, "KT: a routing error takes the network down across Korea"),
    Step(
        _at("11:18:00"),
        "bulletin 1: first notice",
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
        _at("11:45:00"),
        "bulletin 2: the cause is known, repair goes on",
        BulletinKind.PROGRESS,
        {
            **_COMMON,
            "cause": "routing",
            "number": 2,
            "now": "11:45",
            "eta": "12:10",
            "next": "12:15",
        },
    ),
    Step(
        _at("12:15:00"),
        "bulletin 3: it takes longer than expected",
        BulletinKind.ETA_CHANGE,
        {**_COMMON, "cause": "routing", "number": 3, "now": "12:15", "next": "12:45"},
    ),
    Step(_at("12:40:00"), "KT: the message centre can be reached again", returns=FAILING),
    Step(
        _at("12:45:00"),
        "bulletin 4: restored, after 89 minutes",
        BulletinKind.RESTORED,
        {**_COMMON, **_AREA, "cause": "routing", "restored": "12:45", "minutes": 89},
    ),
)
END = STEPS[-1].at


def document(step: Step, *, number: int, sender: str) -> dict[str, Any]:
    """Give the bulletin document that somebody submits at a step."""
    assert step.kind is not None, "only steps with a kind issue a bulletin"  # noqa: S101 - our own data
    is_last = step.kind is BulletinKind.RESTORED
    incident: Any = INCIDENT
    if step.kind is BulletinKind.FIRST:
        incident = {
            "id": INCIDENT,
            "carrier": FAILING,
            "services": ["voice", "sms", "mobile_data", "fixed_internet", "card_payment"],
            "started_at": START.isoformat(),
        }
    return {
        "schema": 1,
        "identifier": f"{INCIDENT}-{number}",
        "sender": sender,
        "incident": incident,
        "kind": step.kind.value,
        "regions": ["KR"],
        "template": {"name": step.kind.value, "slots": step.slots},
        "mode": "test",
        **({} if is_last else {"next_update": (step.at + timedelta(minutes=30)).isoformat()}),
    }


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


def failures(summary: Mapping[str, Any]) -> list[str]:
    """Say what does not hold; empty when everything does."""
    problems = []
    first_notice_s = summary["first_notice_s"]
    if first_notice_s is None or first_notice_s > FIRST_NOTICE_MAX_S:
        problems.append(f"the first notice took {first_notice_s} s")
    newest_before_return = max(
        number
        for number, step in enumerate((s for s in STEPS if s.kind is not None), start=1)
        if step.at < next(s.at for s in STEPS if s.returns is not None)
    )
    for carrier, counts in summary["carriers"].items():
        for number, shown in counts["shown"].items():
            was_down = carrier == FAILING and int(number) < newest_before_return
            expected = 0 if was_down else counts["phones"]
            if shown["phones"] != expected or shown["most"] > 1:
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
    return problems
