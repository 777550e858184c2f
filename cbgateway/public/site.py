"""The public site: which pages there are, and what a path shows. Pure; time is in the publication.

Every page exists in every language of the country: the default one at `/`, others below their
code. No page needs JavaScript, fetches anything, or has more than 14 KiB.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from cbgateway.profiles.words import LanguageWords
from cbgateway.public import feed, pages
from cbgateway.public.common import Site, alert_path
from cbgateway.service.deployment import Deployment
from cbgateway.service.publication import Publication

HTML = "text/html; charset=utf-8"
ATOM = "application/atom+xml; charset=utf-8"
JSON = "application/json; charset=utf-8"
CAP = "application/cap+xml"
INDEX = "index.html"
NOT_FOUND = "404.html"


@dataclass(frozen=True, slots=True)
class Resource:
    """What a path shows.

    Attributes:
        status: as HTTP counts: 200, or 404 for what is not ours.
    """

    content_type: str
    octets: bytes
    status: int = 200


def make_site(deployment: Deployment, publication: Publication, *, url: str = "") -> Site:
    """Join what pages are made of.

    Args:
        deployment: has regions, carriers and words.
        publication: what may be seen.
        url: where the site is found, without a slash at the end; empty for relative links.
    """
    return Site(deployment, publication, url.rstrip("/"))


def files(site: Site) -> dict[str, bytes]:
    """Give every file of a static site by its path; the front page comes last."""
    found = {}
    for path, make in _paths(site):
        found[path] = make()
    return found


def alerts(site: Site) -> dict[str, str]:
    """Give where each bulletin is found as a CAP alert: its name by path. These never change."""
    names = [
        notice.bulletin.bulletin_id
        for outage in site.publication.outages
        for notice in outage.notices
    ]
    return {alert_path(name): name for name in names if name in site.publication.alerts}


def render(site: Site, path: str) -> Resource:
    """Give what a path of a URL shows, such as ``/``, ``/v/K7F2Q9`` or ``/en/r/KR-26/``.

    A code is found however people write it. What is not there says so in the right language.
    """
    wanted = path.strip("/")
    language, rest = site.split_language(wanted)
    words = site.words(language)
    if rest.startswith("v/"):
        octets = pages.code_page(site, words, rest.removeprefix("v/"))
        is_ours = pages.find_code(site, rest.removeprefix("v/")) is not None
        return Resource(HTML, octets, 200 if is_ours else 404)
    candidates = {wanted, f"{wanted}/{INDEX}".lstrip("/")}
    for name, make in _paths(site):
        if name in candidates:
            return Resource(content_type(name), make())
    return Resource(HTML, pages.not_found(site, words), 404)


def content_type(path: str) -> str:
    """Give the media type of a file by its name."""
    if path.endswith(".atom"):
        return ATOM
    if path.endswith(".xml"):
        return CAP
    return JSON if path.endswith(".json") else HTML


def _paths(site: Site) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Give every path with what makes it: pages that others lead to come first."""
    languages = site.languages
    for words in languages:
        prefix = site.prefix(words.code)
        yield from ((prefix + path, make) for path, make in _pages(site, words))
    yield "feed.atom", lambda: feed.atom(site, languages[0])
    yield "alerts.json", lambda: feed.alerts(site)
    for words in reversed(languages):
        yield (
            site.prefix(words.code) + INDEX,
            lambda words=words: pages.front(site, words),  # type: ignore[misc]
        )


def _pages(site: Site, words: LanguageWords) -> Iterator[tuple[str, Callable[[], bytes]]]:
    publication = site.publication
    made: Mapping[str, Callable[[], bytes]] = {
        f"past/{INDEX}": lambda: pages.past(site, words),
        f"drills/{INDEX}": lambda: pages.drills(site, words),
        f"v/{INDEX}": lambda: pages.about_codes(site, words),
        NOT_FOUND: lambda: pages.not_found(site, words),
    }
    for outage in publication.outages:
        for notice in outage.notices:
            if notice.bulletin.code:
                code = notice.bulletin.code
                yield (
                    f"v/{code}/{INDEX}",
                    lambda code=code: pages.code_page(site, words, code),  # type: ignore[misc]
                )
        incident_id = outage.incident.incident_id
        yield (
            f"i/{incident_id}/{INDEX}",
            lambda outage=outage: pages.incident(site, words, outage),  # type: ignore[misc]
        )
    for code in site.deployment.regions:
        yield (
            f"r/{code}/{INDEX}",
            lambda code=code: pages.region(site, words, code),  # type: ignore[misc]
        )
    yield from made.items()
