"""The pages: what is down now, each outage, each region, each message, the past, drills."""

from datetime import datetime, timedelta

from cbgateway.domain.bulletin import BulletinKind, Mode
from cbgateway.domain.errors import UnknownCodeError
from cbgateway.profiles.words import LanguageWords
from cbgateway.public.common import (
    Site,
    changed_at,
    fitting,
    page,
    text_of,
    url_path,
)
from cbgateway.public.markup import Child, Markup, tag
from cbgateway.service.drills import Drill
from cbgateway.service.publication import HOLDS, Notice, Outage, region_outages

NAV_REGIONS_MAX = 40
"""Regions linked from the front page; beyond, the country's own page lists them."""
SOON_S = 7 * 86_400
"""How long before a drill the front page says so."""


def front(site: Site, words: LanguageWords) -> bytes:
    """Show what is down now, what was restored within a day, and where to look further."""
    publication, labels = site.publication, words.page
    current, recent = publication.current, publication.recent

    def make(count: int) -> bytes:
        shown, rest = current[:count], current[count:]
        body: list[Child] = [
            tag("p", f"{labels.ongoing} ({len(current)})", class_="state bad")
            if current
            else tag("p", labels.none, class_="state"),
            [outage_section(site, words, one, root="", heading="h2") for one in shown],
            links_to(site, words, rest, root="") if rest else None,
        ]
        if recent:
            fresh = recent[: max(0, count - len(shown))]
            body += [
                tag("h2", labels.recently_restored),
                [outage_section(site, words, one, root="", heading="h3") for one in fresh],
                links_to(site, words, recent[len(fresh) :], root=""),
            ]
        body += [
            soon(site, words),
            region_links(site, words, site.deployment.country.root_region, root=""),
        ]
        return page(site, words, body, title=labels.title, path="", depth=0)

    return fitting(make, len(current) + len(recent))


def incident(site: Site, words: LanguageWords, outage: Outage) -> bytes:
    """Show one outage with everything that was said of it, the newest first."""
    labels = words.page

    def make(count: int) -> bytes:
        body: list[Child] = [
            outage_section(site, words, outage, root="../../", heading=None),
            tag("h2", labels.timeline),
            [notice_section(site, words, outage, one) for one in outage.notices[:count]],
            tag("p", labels.older_in_feed) if count < len(outage.notices) else None,
        ]
        incident_id = outage.incident.incident_id
        path = f"i/{url_path(incident_id)}/"
        title = site.title(outage, words)
        return page(site, words, body, title=title, path=path, depth=2)

    return fitting(make, len(outage.notices))


def region(site: Site, words: LanguageWords, code: str) -> bytes:
    """Show what is down in one region."""
    found = region_outages(site.deployment, site.publication.current, code)

    def make(count: int) -> bytes:
        shown, rest = found[:count], found[count:]
        body: list[Child] = [
            None if found else tag("p", words.page.region_none, class_="state"),
            [outage_section(site, words, one, root="../../", heading="h2") for one in shown],
            links_to(site, words, rest, root="../../") if rest else None,
            region_links(site, words, code, root="../../"),
        ]
        title = f"{site.name(code, words.code)}: {words.page.title}"
        return page(site, words, body, title=title, path=f"r/{code}/", depth=2)

    return fitting(make, len(found))


def past(site: Site, words: LanguageWords) -> bytes:
    """Show the outages that are over, the newest first."""
    found, labels = site.publication.past, words.page

    def make(count: int) -> bytes:
        rows = [past_row(site, words, one) for one in found[:count]]
        body: list[Child] = [
            tag("ul", rows) if rows else tag("p", labels.past_none),
            tag("p", labels.older_in_feed) if count < len(found) else None,
        ]
        return page(site, words, body, title=labels.past, path="past/", depth=1)

    return fitting(make, len(found))


def past_row(site: Site, words: LanguageWords, outage: Outage) -> Markup:
    """Show an outage that is over in one line."""
    return tag(
        "li",
        site.time(outage.incident.started_at),
        " ~ ",
        site.time(outage.newest.said_at, beside=outage.incident.started_at),
        " ",
        incident_link(outage, site.title(outage, words), root="../"),
    )


def drills(site: Site, words: LanguageWords) -> bytes:
    """Show drills that are planned, what came of those that were held, and what was told in them.

    A gateway in mode exercise tells of nothing but drills.
    """
    publication, labels = site.publication, words.page
    told = publication.outages if publication.mode is Mode.EXERCISE else ()
    planned, held = publication.open_drills, publication.past_drills
    rows: list[Markup] = [drill_section(site, words, one) for one in (*planned, *held)]
    rows += [tag("ul", past_row(site, words, one)) for one in told]

    def make(count: int) -> bytes:
        body: list[Child] = [
            tag("p", labels.drills_about),
            None if planned or told else tag("p", labels.drills_none),
            rows[:count],
        ]
        return page(site, words, body, title=labels.drills, path="drills/", depth=1)

    return fitting(make, len(rows))


def soon(site: Site, words: LanguageWords) -> Markup | None:
    """Say on the front page that there will be a drill within a week."""
    until = site.publication.at + timedelta(seconds=SOON_S)
    near = [
        one for one in site.publication.open_drills if one.starts <= until and not one.is_cancelled
    ]
    if not near:
        return None
    first = near[0]
    shown = [f"{words.drill.soon} ", site.time(first.starts), " ~ "]
    return tag(
        "p",
        tag("a", [*shown, site.time(first.ends, beside=first.starts)], href="drills/"),
        f" {site.places(first.regions, words.code)}",
    )


def drill_section(site: Site, words: LanguageWords, drill: Drill) -> Markup:
    """Show one drill: when, where, what people will read, and how it went."""
    labels, now = words.drill, site.publication.at
    if drill.is_cancelled:
        state = labels.cancelled
    elif drill.ends <= now:
        state = labels.over
    else:
        state = labels.planned if now < drill.starts else labels.under_way
    language = words.code if words.code in drill.texts else next(iter(drill.texts))
    return tag(
        "section",
        tag(
            "h2",
            [f"{state}: ", site.time(drill.starts), " ~ "],
            site.time(drill.ends, beside=drill.starts),
        ),
        tag("p", site.places(drill.regions, words.code)),
        None if drill.is_cancelled else tag("blockquote", drill.texts[language], lang=language),
        drill_score(words, drill) if drill.ends <= now else None,
    )


def drill_score(words: LanguageWords, drill: Drill) -> Markup:
    """Show how a drill went, in figures."""
    labels, score = words.drill, drill.score
    if score is None:
        return tag("p", labels.not_scored)
    took, wanted = score["first_notice_s"], score["first_notice_wanted_s"]
    return facts_list(
        [
            (labels.first_notice, f"{took / 60:.1f} / {wanted / 60:.0f} {words.page.minutes}"),
            (labels.promises, f"{score['promises_kept']} / {score['promises']}"),
            (labels.corrections, str(score["corrections"])),
        ]
    )


def about_codes(site: Site, words: LanguageWords) -> bytes:
    """Say how people check a message."""
    labels = words.page
    body = tag("p", labels.verify_about)
    return page(site, words, body, title=labels.verify, path="v/", depth=1)


def find_code(site: Site, text: str) -> tuple[Outage, Notice] | None:
    """Find what was said under a code, however people write it."""
    try:
        return site.publication.notice_with_code(text)
    except UnknownCodeError:
        return None


def code_page(site: Site, words: LanguageWords, text: str) -> bytes:
    """Show the exact official text of a message, or say that it is not ours."""
    labels = words.page
    found = find_code(site, text)
    if found is None:
        body: list[Child] = [
            tag("p", labels.verify_unknown, class_="state bad"),
            tag("p", labels.verify_about),
        ]
        return page(site, words, body, title=labels.verify, path="v/", depth=2)
    outage, notice = found
    bulletin = notice.bulletin
    holds = notice.state in HOLDS and not site.hides_text(outage, notice)
    body = [
        tag(
            "p",
            f"{labels.verify_genuine} ",
            labels.verify_current if holds else labels.verify_not_current,
            class_="state" if holds else "state bad",
        ),
        tag("p", labels.eta_text_hidden) if site.hides_text(outage, notice) else None,
        [tag("blockquote", said, lang=language) for language, said in bulletin.texts.items()],
        facts_list(
            [
                (labels.code, bulletin.code),
                (labels.as_sent, site.time(notice.said_at)),
                (labels.where, site.places(bulletin.regions, words.code)),
            ]
        ),
        tag("p", incident_link(outage, site.title(outage, words), root="../../")),
    ]
    path = f"v/{bulletin.code}/"
    return page(site, words, body, title=labels.verify, path=path, depth=2)


def not_found(site: Site, words: LanguageWords) -> bytes:
    """Say that there is nothing; for a code, that it is not ours."""
    labels = words.page
    body = [tag("p", labels.verify_unknown), tag("p", labels.verify_about)]
    return page(site, words, body, title=labels.verify, path="", depth=0)


def outage_section(
    site: Site, words: LanguageWords, outage: Outage, *, root: str, heading: str | None
) -> Markup:
    """Show what is known of an outage, and what was said last."""
    labels, facts = words.page, outage.facts
    is_over = outage.is_over
    rows: list[tuple[str, Child]] = [
        (labels.where, site.places(outage.regions, words.code)),
        (labels.since, site.time(outage.incident.started_at)),
        (labels.state, state_of(words, outage)),
    ]
    if not is_over:
        rows += [
            (labels.eta, eta_of(site, words, outage)),
            (labels.next_update, next_of(site, words, outage)),
            (labels.emergency_calls, words.emergency_calls[facts.emergency_calls]),
        ]
    if facts.cause:
        rows.append((labels.cause, words.cause(facts.cause, facts.confidence)))
    advice = [words.workarounds[one] for one in facts.workarounds if one in words.workarounds]
    if advice and not is_over:
        rows.append((labels.workaround, tag("ul", [tag("li", one) for one in advice])))
    changed = site.time(changed_at(outage, site.publication.at))
    return tag(
        "article",
        heading and tag(heading, incident_link(outage, site.title(outage, words), root=root)),
        facts_list(rows),
        said_last(site, words, outage, root=root),
        tag("p", f"{labels.as_of} ", changed, class_="dim"),
        class_="card",
    )


def state_of(words: LanguageWords, outage: Outage) -> str:
    """Say how far an outage has got, as people were told."""
    newest = outage.newest.bulletin.kind
    if newest is BulletinKind.RESTORED:
        return words.kinds[newest]
    return words.states[outage.incident.state]


def eta_of(site: Site, words: LanguageWords, outage: Outage) -> Child:
    """Show when repair is expected; a time that has passed is never shown."""
    eta = outage.newest.bulletin.facts.eta
    if eta is None:
        return words.page.eta_unknown
    if site.has_overdue_eta(outage.newest):
        return tag("span", words.page.eta_overdue, class_="late")
    return site.time(eta, beside=site.publication.at)


def next_of(site: Site, words: LanguageWords, outage: Outage) -> Child:
    """Show when people hear again, or that they should have."""
    at = outage.newest.bulletin.next_update_at
    if at is None:
        return words.page.no_next
    if at <= site.publication.at:
        return tag("span", words.page.next_overdue, class_="late")
    return site.time(at, beside=site.publication.at)


def said_last(site: Site, words: LanguageWords, outage: Outage, *, root: str) -> Child:
    """Show the newest text, unless it names a repair time that has passed."""
    newest = outage.newest
    if newest.bulletin.kind is BulletinKind.WITHDRAWAL:
        return tag("p", words.page.withdrawn)
    return quoted(site, words, outage, newest, root=root)


def notice_section(site: Site, words: LanguageWords, outage: Outage, notice: Notice) -> Markup:
    """Show one message in the time line."""
    bulletin = notice.bulletin
    head: list[Child] = [site.time(notice.said_at), " ", words.kinds[bulletin.kind]]
    return tag(
        "section",
        tag("h3", head),
        quoted(site, words, outage, notice, root="../../") if bulletin.texts else None,
        class_="card",
    )


def quoted(
    site: Site, words: LanguageWords, outage: Outage, notice: Notice, *, root: str
) -> Markup:
    """Show a text as it was sent, with its code; while it goes on, none with a time gone by."""
    labels, code = words.page, notice.bulletin.code
    proof: Child = [f"{labels.code} ", code_link(code, root=root)] if code else None
    if site.hides_text(outage, notice):
        return tag("div", tag("p", labels.eta_text_hidden, class_="late"), tag("p", proof))
    language, text = text_of(notice, words.code)
    caption: Child = [labels.official_text, " · ", proof] if code else labels.official_text
    return tag("figure", tag("blockquote", text, lang=language), tag("figcaption", caption))


def facts_list(rows: list[tuple[str, Child]]) -> Markup:
    """Show names with what they stand for."""
    return tag("dl", [tag("div", tag("dt", name), tag("dd", value)) for name, value in rows])


def incident_link(outage: Outage, text: str, *, root: str) -> Markup:
    """Link to an outage's own page."""
    return tag("a", text, href=f"{root}i/{url_path(outage.incident.incident_id)}/")


def code_link(code: str, *, root: str) -> Markup:
    """Link to the page that proves a message."""
    return tag("a", tag("code", code), href=f"{root}v/{code}/")


def links_to(
    site: Site, words: LanguageWords, outages: tuple[Outage, ...], *, root: str
) -> Markup | None:
    """Link to outages that have no room on a page."""
    shown = outages[:NAV_REGIONS_MAX]
    if not shown:
        return None
    rows = [tag("li", incident_link(one, site.title(one, words), root=root)) for one in shown]
    return tag("ul", rows)


def region_links(site: Site, words: LanguageWords, code: str, *, root: str) -> Markup | None:
    """Link to the regions inside one."""
    inside = site.deployment.regions.children(code)
    if not inside:
        return None
    is_front = not root
    shown = inside[:NAV_REGIONS_MAX] if is_front else inside
    links = [(one, site.name(one, words.code)) for one in shown]
    if len(shown) < len(inside):
        links.append((code, words.page.more))
    return tag(
        "nav",
        tag("h2", words.page.regions),
        tag("ul", [tag("li", tag("a", name, href=f"{root}r/{one}/")) for one, name in links]),
        aria_label=words.page.regions,
    )


def latest_change(site: Site) -> datetime | None:
    """Give when anything on the site last became another; None while nothing was said."""
    times = [changed_at(one, site.publication.at) for one in site.publication.outages]
    return max(times, default=None)
