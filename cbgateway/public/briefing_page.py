"""The call-centre briefing as a page that prints on one sheet."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from cbgateway.profiles.words import LanguageWords
from cbgateway.public.common import Site, page
from cbgateway.public.markup import Child, tag
from cbgateway.public.pages import facts_list
from cbgateway.public.style import BRIEFING_STYLE


def briefing_page(site: Site, words: LanguageWords, briefing: Mapping[str, Any]) -> bytes:
    """Show a briefing, as `service.briefing.briefing` has made it."""
    labels, own = words.page, words.briefing
    now = site.publication.at

    def time(value: str | None) -> Child:
        return None if value is None else site.time(datetime.fromisoformat(value), beside=now)

    cause = briefing["cause"]
    if cause and briefing["cause_confidence"]:
        cause = f"{cause} ({briefing['cause_confidence']})"
    next_update = (
        tag("span", labels.next_overdue, class_="late")
        if briefing["is_next_update_overdue"]
        else time(briefing["next_update_at"]) or labels.no_next
    )
    rows: list[tuple[str, Child]] = [
        (labels.what, ", ".join(briefing["what"])),
        (labels.where, ", ".join(briefing["where"])),
        (labels.since, time(briefing["since"])),
        (labels.state, briefing["kind"]),
        (labels.cause, cause or words.causes["checking"]),
        (labels.eta, time(briefing["eta"]) or briefing["eta_words"]),
        (labels.next_update, next_update),
        (labels.emergency_calls, briefing["emergency_calls"]),
        (labels.workaround, _list(briefing["workarounds"])),
        (own.compensation_heading, briefing["compensation"]),
        (labels.code, briefing["code"]),
    ]
    is_old = briefing["is_superseded"]
    left = tag(
        "div",
        tag("h2", own.script_heading),
        tag("ol", [tag("li", line) for line in briefing["script"]]),
        facts_list([(name, value) for name, value in rows if value]),
    )
    right = tag(
        "div",
        tag("h2", own.not_to_say),
        _list(briefing["do_not_say"], class_="not"),
        tag("h2", own.kind_words),
        _list(briefing["kind_words"]),
        tag("h2", own.contacts_heading) if briefing["contacts"] else None,
        _list([_contact(words, one) for one in briefing["contacts"]]),
        tag("h2", labels.official_text),
        tag("blockquote", briefing["official_text"], lang=words.code)
        if briefing["eta_words"] != labels.eta_overdue
        else tag("p", labels.eta_text_hidden, class_="late"),
    )
    body: list[Child] = [
        tag("p", f"{own.superseded} ({briefing['newest']})", class_="state bad", role="alert")
        if is_old
        else None,
        tag("p", f"{briefing['bulletin']} · ", time(briefing["published_at"]), class_="dim"),
        tag("div", left, right, class_="pair old" if is_old else "pair"),
    ]
    title = f"{own.title}: {briefing['carrier']}"
    return page(
        site, words, body, title=title, path="", depth=0, is_public=False, style=BRIEFING_STYLE
    )


def _contact(words: LanguageWords, contact: Mapping[str, Any]) -> str:
    shown = f"{contact['name']} {contact['contact']}"
    return shown if contact["is_verified"] else f"{shown} ({words.briefing.contact_unverified})"


def _list(items: list[str], *, class_: str | None = None) -> Child:
    return tag("ul", [tag("li", item) for item in items], class_=class_) if items else None
