"""Five incidents that happened, as they might have been told: `cbgateway replay NAME`.

What really happened stands in `really` with its source. When people notice, decide and write is
the story's assumption; everything after a bulletin is approved is measured against simulators.
"""

from datetime import datetime

from cbgateway.cli.demo_story import KT_2021, Slots, Step, Story
from cbgateway.domain.bulletin import BulletinKind

_MSIT: Slots = {"authority": "msit", "carrier": "kt"}
_MOIS: Slots = {"authority": "mois", "carrier": "kt"}


def _kst(day: str, time: str) -> datetime:
    return datetime.fromisoformat(f"{day}T{time}+09:00")


def _ahyeon(time: str) -> datetime:
    return _kst("2018-11-24", time)


AHYEON_2018 = Story(
    name="ahyeon-2018",
    title="24 November 2018",
    incident="kt-20181124",
    carrier="kt",
    services=("voice", "sms", "mobile_data", "fixed_internet", "card_payment"),
    failing="kt",
    regions=("KR-11",),
    start=_ahyeon("11:12:00"),
    steps=(
        Step(
            _ahyeon("11:12:00"), "KT Ahyeon: a fire in a cable tunnel; north-west Seoul is cut off"
        ),
        Step(
            _ahyeon("11:14:00"),
            "bulletin 1: first notice",
            BulletinKind.FIRST,
            {
                **_MSIT,
                "area": {"ko": "서울 서북부", "en": "NW Seoul"},
                "services": "all",
                "cause": "checking",
                "since": "11:12",
                "next": "11:50",
            },
        ),
        Step(
            _ahyeon("11:47:00"),
            "bulletin 2: it is a fire; no time known",
            BulletinKind.ETA_CHANGE,
            {**_MSIT, "cause": "fire", "number": 2, "now": "11:47", "next": "12:30"},
        ),
        Step(
            _ahyeon("12:27:00"),
            "bulletin 3: no change yet",
            BulletinKind.HEARTBEAT,
            {**_MSIT, "number": 3, "now": "12:27", "next": "13:20"},
        ),
        Step(_ahyeon("13:10:00"), "KT: broadcasts are possible again", returns="kt"),
        Step(
            _ahyeon("13:15:00"),
            "bulletin 4: repair goes on; still no time known",
            BulletinKind.ETA_CHANGE,
            {**_MSIT, "cause": "fire", "number": 4, "now": "13:15", "next": "14:10"},
        ),
    ),
    really=(
        "first message about 50 minutes after the fire (12:04 to 12:06), four in all; KT's "
        "subscribers in the area mostly did not get them [press: newsis 2018-11-26, JoongAng]"
    ),
    day={
        "first_notice": "about 50 minutes",
        "promises": "none made",
    },
)


def _seoul(time: str) -> datetime:
    return _kst("2023-05-31", time)


SEOUL_2023 = Story(
    name="seoul-2023",
    title="31 May 2023",
    incident="seoul-20230531",
    carrier="kt",
    services=("voice", "mobile_data"),
    failing=None,
    regions=("KR-11",),
    start=_seoul("06:40:00"),
    steps=(
        Step(_seoul("06:40:00"), "an unclear instruction is read as an alert for Seoul"),
        Step(
            _seoul("06:41:00"),
            "bulletin 1: wrong, two people believed it",
            BulletinKind.FIRST,
            {
                **_MOIS,
                "area": {"ko": "서울", "en": "Seoul"},
                "services": "mobile",
                "cause": "checking",
                "since": "06:30",
                "next": "07:10",
            },
        ),
        Step(
            _seoul("06:43:00"),
            "bulletin 2: the correction, from its template, with what was wrong",
            BulletinKind.CORRECTION,
            {
                **_MOIS,
                "sent": "06:41",
                "fault": "no_outage",
            },
        ),
    ),
    really=(
        "wrong alert 06:41, called mis-issued 07:03, lifted 07:25: 22 minutes and more, without "
        "reason or place; two authorities contradicted each other [press: Hankyoreh, etoday]"
    ),
    day={"correction": "22 minutes to the other authority's, 44 to its own"},
)


def _dup(time: str) -> datetime:
    return _kst("2016-09-02", time)


DUP_2016 = Story(
    name="dup-2016",
    title="2 September 2016",
    incident="lguplus-20160902",
    carrier="lguplus",
    services=("card_payment",),
    failing=None,
    mute="lguplus",
    regions=("KR-11",),
    copies_max=2,
    start=_dup("10:00:00"),
    steps=(
        Step(_dup("10:00:00"), "LG U+: the message centre carries out, and its answers get lost"),
        Step(
            _dup("10:02:00"),
            "bulletin 1: no answer comes; what was sent is in doubt",
            BulletinKind.FIRST,
            {
                "authority": "msit",
                "carrier": "lguplus",
                "area": {"ko": "서울", "en": "Seoul"},
                "services": "internet",
                "cause": "checking",
                "since": "10:00",
                "next": "10:30",
            },
        ),
        Step(
            _dup("10:25:00"),
            "bulletin 2: restored",
            BulletinKind.RESTORED,
            {
                "authority": "msit",
                "carrier": "lguplus",
                "cause": "equipment",
                "area": {"ko": "서울", "en": "Seoul"},
                "restored": "10:24",
                "minutes": 24,
            },
        ),
    ),
    really=(
        "the sender did not know the completion signal any more and sent again every 5 s: about "
        "100 copies in 10 minutes to some 20,000 phones [press: MBN, Kukinews]"
    ),
    day={"copies": "about 100"},
)


def _hawaii(time: str) -> datetime:
    return datetime.fromisoformat(f"2018-01-13T{time}-10:00")


HAWAII_2018 = Story(
    name="hawaii-2018",
    title="13 January 2018",
    incident="island-20180113",
    carrier="kt",
    services=("voice", "mobile_data"),
    failing=None,
    regions=("KR-49",),
    start=_hawaii("08:05:00"),
    steps=(
        Step(_hawaii("08:05:00"), "a drill begins at a change of shifts"),
        Step(_hawaii("08:06:00"), "a drill's text comes to the real gateway", refused="mode"),
        Step(_hawaii("08:06:30"), "one person alone wants to send it", refused="alone"),
        Step(
            _hawaii("08:07:00"),
            "bulletin 1: wrong, two people believed the drill",
            BulletinKind.FIRST,
            {
                **_MOIS,
                "area": {"ko": "제주", "en": "Jeju"},
                "services": "mobile",
                "cause": "checking",
                "since": "08:05",
                "next": "08:30",
            },
        ),
        Step(
            _hawaii("08:08:00"),
            "bulletin 2: the correction, from its template",
            BulletinKind.CORRECTION,
            {
                **_MOIS,
                "sent": "08:07",
                "fault": "no_outage",
            },
        ),
    ),
    really=(
        "one person could send; no correction was prepared: 13 minutes to social media, 38 to "
        "phones [official: FCC report, April 2018]"
    ),
    day={"correction": "38 minutes", "alone": "one person sent it"},
)

STORIES = {story.name: story for story in (KT_2021, AHYEON_2018, SEOUL_2023, DUP_2016, HAWAII_2018)}
