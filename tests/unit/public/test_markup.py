"""Markup: whatever comes from elsewhere stays text."""

from html.parser import HTMLParser
from xml.etree import ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from cbgateway.public.markup import Markup, empty, join, tag

TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc", "Cn", "Co")), max_size=40)


class Seen(HTMLParser):
    """What a browser would see of a piece of HTML."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: dict[str, str | None] = {}
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        self.tags.append(tag)
        self.attributes |= dict(attrs)

    def handle_data(self, data: str) -> None:
        """Note text."""
        self.text += data


@given(text=TEXT, title=TEXT)
def test_text_and_attributes_come_back_as_they_were(text: str, title: str) -> None:
    """No text opens an element, and no value ends its attribute."""
    seen = Seen()
    seen.feed(tag("p", text, title=title))
    seen.close()

    assert (["p"], text, title) == (seen.tags, seen.text, seen.attributes["title"])


@given(TEXT)
def test_the_same_holds_in_xml(text: str) -> None:
    """For the feed."""
    root = ET.fromstring(tag("a", tag("b", text), empty("c", d=text)))  # noqa: S314 - our own

    found = root.find("b")
    assert found is not None
    assert text == (found.text or "")


def test_children_are_flattened_and_none_is_nothing() -> None:
    """Lists of lists, markup and text."""
    assert join([None, "a<", [Markup("<br>"), ("b",)]]) == "a&lt;<br>b"
    assert tag("p", None, class_="x", hidden=None, aria_label="y") == (
        '<p class="x" aria-label="y"></p>'
    )
    assert tag("meta", charset="utf-8") == '<meta charset="utf-8">'
    assert empty("link", rel="self") == '<link rel="self"/>'
