"""HTML and XML that cannot be broken out of: whatever is no markup of ours is escaped."""

from collections.abc import Iterable, Mapping
from html import escape

VOID = frozenset({"meta", "link", "br"})
"""Elements of HTML that have no end tag."""


class Markup(str):
    """Text that is markup already; only `tag` makes any."""

    __slots__ = ()


Child = str | None | Iterable["Child"]


def tag(name: str, /, *children: Child, **attributes: str | None) -> Markup:
    """Make an element.

    Args:
        name: of the element; a name of our own, never one from outside.
        children: text, which is escaped; markup, which is not; or lists of both. None is nothing.
        attributes: values are escaped; None leaves one out. A trailing underscore is dropped and
            others become hyphens.
    """
    shown = _attributes(attributes)
    if name in VOID:
        return Markup(f"<{name}{shown}>")
    return Markup(f"<{name}{shown}>{join(children)}</{name}>")


def empty(name: str, /, **attributes: str | None) -> Markup:
    """Make an XML element without content."""
    return Markup(f"<{name}{_attributes(attributes)}/>")


def _attributes(attributes: Mapping[str, str | None]) -> str:
    return "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(value)}"'
        for key, value in attributes.items()
        if value is not None
    )


def join(children: Child) -> Markup:
    """Put children one after another, escaping what is no markup."""
    if children is None:
        return Markup()
    if isinstance(children, Markup):
        return children
    if isinstance(children, str):
        return Markup(escape(children))
    return Markup("".join(join(child) for child in children))
