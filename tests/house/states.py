"""Draws docs/states.md from the transition tables: `make states`."""

from pathlib import Path

from cbgateway.domain.lifecycle import (
    BULLETIN_TRANSITIONS,
    DELIVERY_TRANSITIONS,
    INCIDENT_TRANSITIONS,
    mermaid,
)

PAGE = Path(__file__).parents[2] / "docs" / "states.md"
HEAD = """# States

Drawn from `cbgateway.domain.lifecycle` by `make states`; a test compares.
The store asks these tables, and nothing else assigns a state.
"""
INCIDENT = """
People say how far an outage has got; an approved bulletin moves it where that may follow.
"""
BULLETIN = """
People decide up to `approved`. A bulletin is `live` once it is on air, or may be, at one carrier.
An approval of which nothing has left within the country's `approval_valid_s` lapses: `returned`.
A withdrawal makes earlier bulletins `withdrawn`; any other newer bulletin makes them `superseded`.
"""
DELIVERY = """
`intent` is committed before the first octet leaves. What a crash leaves there is `in_doubt`:
a broadcast is sent again as it was, short messages by their class's policy.
`delivered` waits for receipts, which no carrier interface reads yet.
"""
PARTS = (
    ("Incident", INCIDENT, INCIDENT_TRANSITIONS),
    ("Bulletin", BULLETIN, BULLETIN_TRANSITIONS),
    ("Delivery", DELIVERY, DELIVERY_TRANSITIONS),
)


def page() -> str:
    """Give the whole page."""
    parts = [
        f"\n## {title}\n{words}\n```mermaid\n{mermaid(table)}\n```\n"
        for title, words, table in PARTS
    ]
    return HEAD + "".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
