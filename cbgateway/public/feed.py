"""The feed (RFC 4287) and `alerts.json`: the same as the pages, for programs."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from cbgateway.profiles.words import LanguageWords
from cbgateway.public.common import Site, alert_path, changed_at, text_of, url_path
from cbgateway.public.markup import Markup, empty, join, tag
from cbgateway.public.pages import latest_change
from cbgateway.service.publication import HOLDS, Notice, Outage
from cbgateway.service.reach import reach_document, reach_of

KEPT_S = 48 * 3_600
"""What was superseded stays that long in the feed: readers fetch seldom."""
ENTRIES_MIN = 20
"""So many of the newest stay whatever their age."""
ENTRIES_MAX = 200
CAP_TYPE = "application/cap+xml"
NEVER = datetime(1970, 1, 1, tzinfo=UTC)
"""When an empty feed was last changed."""


def entry_id(site: Site, notice: Notice) -> str:
    """Give the permanent name of a bulletin; it never changes and is never given out again."""
    name = ":".join(map(url_path, notice.bulletin.bulletin_id.rsplit("/", 1)))
    return f"urn:cbgateway:{site.publication.gateway_id}:{name}"


def atom(site: Site, words: LanguageWords) -> bytes:
    """Make the feed of everything that was said lately, the newest first."""
    said = [(outage, one) for outage in site.publication.outages for one in outage.notices]
    said.sort(key=lambda pair: pair[1].said_at, reverse=True)
    since = site.publication.at - timedelta(seconds=KEPT_S)
    kept = [
        pair
        for index, pair in enumerate(said)
        if index < ENTRIES_MIN or (pair[1].said_at >= since and index < ENTRIES_MAX)
    ]
    updated = latest_change(site) or NEVER
    whole = tag(
        "feed",
        tag("id", f"urn:cbgateway:{site.publication.gateway_id}"),
        tag("title", words.page.title),
        tag("updated", stamp(updated)),
        tag("author", tag("name", words.page.title)),
        empty("link", rel="self", type="application/atom+xml", href=f"{base(site)}feed.atom"),
        empty("link", rel="alternate", type="text/html", href=base(site) or "./"),
        [entry(site, words, outage, notice) for outage, notice in kept],
        xmlns="http://www.w3.org/2005/Atom",
        xml_lang=None,
    )
    head = Markup('<?xml version="1.0" encoding="utf-8"?>\n')
    language = f'<feed xml:lang="{words.code}"'
    return join([head, Markup(whole.replace("<feed", language, 1))]).encode() + b"\n"


def entry(site: Site, words: LanguageWords, outage: Outage, notice: Notice) -> Markup:
    """Make one entry; a text whose repair time has passed says so instead of naming it."""
    bulletin, labels = notice.bulletin, words.page
    is_hidden = site.hides_text(outage, notice)
    text = labels.eta_text_hidden if is_hidden else text_of(notice, words.code)[1]
    updated = notice.said_at
    alert = alert_link(site, notice)
    if is_hidden and bulletin.facts.eta is not None:
        updated = max(updated, bulletin.facts.eta)
    return tag(
        "entry",
        tag("id", entry_id(site, notice)),
        tag("title", f"{site.title(outage, words)}: {words.kinds[bulletin.kind]}"),
        tag("published", stamp(notice.said_at)),
        tag("updated", stamp(updated)),
        empty("category", term=bulletin.kind.value),
        empty("link", rel="alternate", type="text/html", href=link(site, outage, notice)),
        empty("link", rel="alternate", type=CAP_TYPE, href=alert) if alert else None,
        tag("summary", text or labels.withdrawn, type="text"),
    )


def link(site: Site, outage: Outage, notice: Notice) -> str:
    """Give where a bulletin is shown."""
    code = notice.bulletin.code
    incident_id = url_path(outage.incident.incident_id)
    return f"{base(site)}v/{code}/" if code else f"{base(site)}i/{incident_id}/"


def alert_link(site: Site, notice: Notice) -> str | None:
    """Give where a bulletin is found as a CAP alert; None while there is none."""
    name = notice.bulletin.bulletin_id
    return f"{base(site)}{alert_path(name)}" if name in site.publication.alerts else None


def base(site: Site) -> str:
    """Give what links begin with."""
    return f"{site.url}/" if site.url else ""


def stamp(at: datetime) -> str:
    """Write a time as RFC 3339 asks."""
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def alerts(site: Site) -> bytes:
    """Make the list of what is down now, for programs."""
    changed = latest_change(site)
    document = {
        "format": 1,
        "mode": site.publication.mode.value,
        "gateway": site.publication.gateway_id,
        "changed_at": None if changed is None else stamp(changed),
        "outages": [outage_document(site, one) for one in site.publication.current],
        "drills": [
            {
                "drill": one.name,
                "starts": stamp(one.starts),
                "ends": stamp(one.ends),
                "regions": list(one.regions),
                "texts": dict(one.texts),
                "is_cancelled": one.is_cancelled,
            }
            for one in site.publication.open_drills
        ],
    }
    return json.dumps(document, ensure_ascii=False, indent=1).encode() + b"\n"


def outage_document(site: Site, outage: Outage) -> dict[str, Any]:
    """Give an outage ready for JSON; a repair time that has passed is null and overdue."""
    newest, facts = outage.newest, outage.facts
    bulletin = newest.bulletin
    is_overdue = site.has_overdue_eta(newest)
    eta = None if facts.eta is None or is_overdue else stamp(facts.eta)
    next_at = bulletin.next_update_at
    return {
        "incident": outage.incident.incident_id,
        "carrier": outage.incident.carrier,
        "services": [one.value for one in outage.incident.services],
        "state": outage.incident.state.value,
        "regions": list(outage.regions),
        "started_at": stamp(outage.incident.started_at),
        "changed_at": stamp(changed_at(outage, site.publication.at)),
        "cause": facts.cause or None,
        "cause_confidence": facts.confidence.value if facts.cause else None,
        "emergency_calls": facts.emergency_calls.value,
        "workarounds": list(facts.workarounds),
        "eta": eta,
        "is_eta_overdue": is_overdue,
        "next_update_at": None if next_at is None else stamp(next_at),
        "is_next_update_overdue": next_at is not None and next_at <= site.publication.at,
        "bulletin": entry_id(site, newest),
        "kind": bulletin.kind.value,
        "code": bulletin.code or None,
        "holds": newest.state in HOLDS,
        "texts": {} if site.hides_text(outage, newest) else dict(bulletin.texts),
        "link": link(site, outage, newest),
        "cap": alert_link(site, newest),
        "reach": reach_document(
            reach_of(
                site.deployment,
                outage.incident,
                kind=bulletin.kind,
                alert_class=bulletin.alert_class,
                regions=bulletin.regions,
            )
        ),
    }
