"""What all pages share: languages, links, times, names, and the frame around them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timezone
from urllib.parse import quote

from cbgateway.domain.bulletin import Mode
from cbgateway.profiles.words import LanguageWords
from cbgateway.public.markup import Child, Markup, join, tag
from cbgateway.public.style import STYLE
from cbgateway.service.deployment import Deployment
from cbgateway.service.publication import Notice, Outage, Publication

PAGE_OCTETS_MAX = 14 * 1024
"""What one round trip of a new TCP connection can carry: pages show at once on a bad line."""
NAMES_MAX = 20
"""Regions named in one line; the rest is counted."""


@dataclass(frozen=True, slots=True)
class Site:
    """What pages are made of.

    Attributes:
        url: where the site is found; empty for relative links.
    """

    deployment: Deployment
    publication: Publication
    url: str

    @property
    def languages(self) -> tuple[LanguageWords, ...]:
        """Give the languages of the site, the default one first."""
        default = self.deployment.country.default_language
        known = self.deployment.words
        return tuple(sorted(known.values(), key=lambda words: (words.code != default, words.code)))

    def words(self, language: str) -> LanguageWords:
        """Give the words of a language of the site."""
        return self.deployment.words[language]

    def prefix(self, language: str) -> str:
        """Give where a language's pages begin."""
        return "" if language == self.languages[0].code else f"{language}/"

    def split_language(self, path: str) -> tuple[str, str]:
        """Give the language that a path is in, and the rest of it."""
        first, _, rest = path.partition("/")
        others = {words.code for words in self.languages[1:]}
        return (first, rest) if first in others else (self.languages[0].code, path)

    def name(self, code: str, language: str) -> str:
        """Name a region."""
        region = self.deployment.regions.get(code)
        return code if region is None else region.name.get(language, code)

    def places(self, codes: Sequence[str], language: str) -> str:
        """Name regions in one line."""
        names = [self.name(code, language) for code in codes[:NAMES_MAX]]
        more = len(codes) - len(names)
        return ", ".join(names) + (f" +{more}" if more else "")

    def carrier(self, code: str, language: str) -> str:
        """Name a carrier."""
        profile = self.deployment.carriers.get(code)
        return code if profile is None else profile.name.get(language, profile.name["en"])

    def local(self, at: datetime) -> datetime:
        """Give a time as the country's clocks show it."""
        return at.astimezone(timezone(self.deployment.utc_offset))

    def time(self, at: datetime, *, beside: datetime | None = None) -> Markup:
        """Show a time; its day as well, unless it is that of `beside`."""
        local = self.local(at)
        is_same_day = beside is not None and self.local(beside).date() == local.date()
        shown = f"{local:%H:%M}" if is_same_day else f"{local:%Y-%m-%d %H:%M}"
        return tag("time", shown, datetime=local.isoformat(timespec="seconds"))

    def has_overdue_eta(self, notice: Notice) -> bool:
        """Tell whether a notice names a repair time that has passed without repair."""
        return notice.eta_has_passed(self.publication.at)

    def hides_text(self, outage: Outage, notice: Notice) -> bool:
        """Tell whether a text would show a repair time that has passed, while it goes on."""
        return not outage.is_over and self.has_overdue_eta(notice)

    def title(self, outage: Outage, words: LanguageWords) -> str:
        """Say whose network fails, and what of it."""
        carrier = self.carrier(outage.incident.carrier, words.code)
        services = ", ".join(words.services[one] for one in outage.incident.services)
        return f"{carrier}: {services}"


def alert_path(bulletin_id: str) -> str:
    """Give where a bulletin is found as a CAP alert, for ever."""
    incident_id, _, number = bulletin_id.rpartition("/")
    return f"cap/{url_path(incident_id)}.{number}.xml"


def changed_at(outage: Outage, now: datetime) -> datetime:
    """Give when what is shown of an outage last became another."""
    times = [outage.newest.said_at]
    for notice in outage.notices:
        promised = (notice.bulletin.facts.eta, notice.bulletin.next_update_at)
        times += [at for at in promised if at is not None and at <= now]
    return max(times).astimezone(UTC)


def text_of(notice: Notice, language: str) -> tuple[str, str]:
    """Give the text that was sent in a language, else in another, with its language."""
    texts = notice.bulletin.texts
    chosen = language if language in texts else next(iter(texts), language)
    return chosen, texts.get(chosen, "")


def page(
    site: Site,
    words: LanguageWords,
    body: Child,
    *,
    title: str,
    path: str,
    depth: int,
    is_public: bool = True,
    style: str = "",
) -> bytes:
    """Put the frame around a page.

    Args:
        site: knows the mode and the other languages.
        words: of the page's language.
        body: what it shows.
        title: of the page.
        path: of the page within its language, such as ``r/KR/``.
        depth: how many folders deep it lies within its language.
        is_public: False leaves out the links to other pages.
        style: what this page has beside what all have.
    """
    own = "../" * depth
    root = own + ("../" if site.prefix(words.code) else "")
    others = [
        tag(
            "a",
            other.name,
            href=f"{root}{site.prefix(other.code)}{path}" or "./",
            lang=other.code,
            hreflang=other.code,
        )
        for other in site.languages
        if other.code != words.code
    ]
    labels = words.page
    banner = {
        Mode.TEST: labels.banner_test,
        Mode.EXERCISE: labels.banner_exercise,
        Mode.LIVE: None,
    }[site.publication.mode]
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width,initial-scale=1"),
        Markup(
            '<meta http-equiv="Content-Security-Policy" '
            "content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        ),
        tag("title", title),
        tag("link", rel="alternate", type="application/atom+xml", href=f"{root}feed.atom")
        if is_public
        else None,
        Markup(f"<style>{STYLE}{style}</style>"),
    )
    links = [
        (own or "./", labels.home),
        (f"{own}past/", labels.past),
        (f"{own}drills/", labels.drills),
        (f"{own}v/", labels.verify),
        (f"{root}feed.atom", labels.feed),
    ]
    header = tag("header", tag("a", labels.title, href=own or "./"), others)
    items = [tag("li", tag("a", name, href=href)) for href, name in links]
    footer = tag("footer", tag("nav", tag("ul", items), aria_label=labels.title))
    content = tag(
        "body",
        tag("a", labels.skip, href="#main", class_="skip"),
        tag("p", banner, class_="banner", role="status") if banner else None,
        header if is_public else None,
        tag("main", tag("h1", title), body, id="main"),
        footer if is_public else None,
    )
    whole = join([Markup("<!doctype html>"), tag("html", head, content, lang=words.code)])
    return whole.encode() + b"\n"


def fitting(make: Callable[[int], bytes], count: int) -> bytes:
    """Make a page with as many of its items as fit into 14 KiB, the first in any case."""
    low, high = min(count, 1), count
    whole = make(high)
    if len(whole) <= PAGE_OCTETS_MAX:
        return whole
    while low < high - 1:
        middle = (low + high) // 2
        if len(make(middle)) <= PAGE_OCTETS_MAX:
            low = middle
        else:
            high = middle
    return make(low)


def url_path(text: str) -> str:
    """Write a name so that it can stand in a link."""
    return quote(text, safe="")
