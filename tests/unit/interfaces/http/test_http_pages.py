"""The public site over HTTP: the same octets as an export, and problems for everything else."""

import pytest

from cbgateway.public.site import files
from tests.front import Front


def test_every_page_is_served_as_it_is_exported(front: Front) -> None:
    """Each path of the site, in each language, without a token."""
    front.office.issue(front.office.document())
    made = files(front.office.gateway.telling.site())
    paths = [path for path in made if "/KR-" not in path or "/KR-26/" in path]

    for path in paths:
        if path.endswith("404.html"):
            continue
        answer = front.ask("GET", "/" + path.removesuffix("index.html"))
        assert (200, made[path]) == (answer.status_code, answer.content), path
    assert front.ask("GET", "/").headers["content-type"].startswith("text/html")
    assert front.ask("GET", "/feed.atom").headers["content-type"].startswith("application/atom")


def test_code_is_found_as_people_type_it(front: Front) -> None:
    """In small letters, without the last slash; one that is not ours gets a page that says so."""
    code = front.office.issue(front.office.document()).bulletin.code
    found = front.ask("GET", f"/v/{code.lower()}")
    unknown = front.ask("GET", "/en/v/ZZZZZZ")

    assert 200 == found.status_code
    assert "저희가 보낸 안내문이 맞습니다" in found.text
    assert 404 == unknown.status_code
    assert "This message is not ours" in unknown.text


@pytest.mark.parametrize("path", ["/i/none/", "/r/none/", "/fr/", "/fr/past/", "/past"])
def test_what_is_no_page_is_a_problem(front: Front, path: str) -> None:
    """Like any other address that is not there."""
    answer = front.ask("GET", path)

    assert 404 == answer.status_code
    assert answer.headers["content-type"].startswith("application/problem+json")


def test_page_that_is_a_second_old_is_made_anew(front: Front) -> None:
    """Within the second it is the one that was made; then it knows what was said since."""
    quiet = front.ask("GET", "/").text
    front.office.issue(front.office.document())
    same = front.ask("GET", "/").text
    front.office.clock.advance(1)

    assert quiet == same
    assert "inc-1" in front.ask("GET", "/").text
