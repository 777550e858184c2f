"""Which numbers and links somebody has tried, and when: a text is only as good as its contacts."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta

from cbgateway.domain.bulletin import Bulletin
from cbgateway.domain.delivery import Event
from cbgateway.domain.errors import UnknownNameError
from cbgateway.domain.ports import Transaction
from cbgateway.profiles.contacts import Contact, Directory

SUBJECT = "contacts"
"""What the history calls the directory."""
CONFIRMED = "contact-confirmed"
PROFILE = "the directory file"
"""Who confirmed, where only the file says so."""


@dataclass(frozen=True, slots=True)
class Check:
    """What is known of an entry of the directory.

    Attributes:
        at: when somebody last tried it; None while nobody has said so.
        by: who; empty for nobody.
        is_verified: True while that was not too long ago.
    """

    contact: Contact
    at: datetime | None
    by: str
    is_verified: bool

    @property
    def problem(self) -> str:
        """Say what to do; empty for an entry that is verified."""
        if self.is_verified:
            return ""
        value = self.contact.value
        when = "nobody has confirmed it" if self.at is None else f"last tried on {self.at:%Y-%m-%d}"
        return f"{value}: {when}; try it, then `cbgateway contacts confirm {value}`"


def checks(tx: Transaction, directory: Directory, *, now: datetime) -> tuple[Check, ...]:
    """Give what is known of every entry: as its file or the history says, the newer one."""
    confirmed: dict[str, Event] = {}
    for event in tx.events(SUBJECT):
        if event.what == CONFIRMED:
            confirmed[str(event.detail["contact"])] = event
    oldest = now - timedelta(days=directory.checked_days_max)
    newest = now.date() + timedelta(days=1)  # a file's date is local, and begins before UTC's
    found = []
    for one in directory.contacts:
        at: datetime | None = None
        by = ""
        if one.checked_on is not None and one.checked_on <= newest:
            at, by = datetime.combine(one.checked_on, time(), UTC), PROFILE
        told = confirmed.get(one.value)
        if told is not None and (at is None or told.at > at):
            at, by = told.at, told.actor
        found.append(Check(one, at, by, is_verified=at is not None and at >= oldest))
    return tuple(found)


def contact_problems(
    tx: Transaction, directory: Directory, texts: Iterable[str] | None = None, *, now: datetime
) -> tuple[str, ...]:
    """Give a line for every entry that nobody has tried lately.

    Args:
        tx: reads the history.
        directory: of the country.
        texts: only entries that these show; None for all.
        now: aware.
    """
    shown = None
    if texts is not None:
        shown = {f.contact.value for text in texts for f in directory.find(text) if f.contact}
    return tuple(
        check.problem
        for check in checks(tx, directory, now=now)
        if check.problem and (shown is None or check.contact.value in shown)
    )


def bulletin_problems(
    tx: Transaction, directory: Directory, bulletin: Bulletin, *, now: datetime
) -> tuple[str, ...]:
    """Give a line for every entry in a bulletin's texts that nobody has tried lately."""
    return contact_problems(tx, directory, bulletin.words.values(), now=now)


def confirm(
    tx: Transaction, directory: Directory, name: str, *, person: str, signature: str, now: datetime
) -> Contact:
    """Write down that somebody has tried an entry and it is right.

    Args:
        tx: to be committed.
        directory: of the country.
        name: number, link, or name in any language.
        person: who has tried it.
        signature: of that person, over `confirmation_document`.
        now: aware.

    Raises:
        UnknownNameError: the directory has no such entry.
    """
    contact = contact_named(directory, name)
    detail = {"contact": contact.value, "signature": signature}
    tx.record(Event(now, SUBJECT, CONFIRMED, person, detail))
    return contact


def contact_named(directory: Directory, name: str) -> Contact:
    """Find an entry.

    Raises:
        UnknownNameError: the directory has none of this name.
    """
    contact = directory.named(name)
    if contact is None:
        known = tuple(one.value for one in directory.contacts) or ("none",)
        raise UnknownNameError("contact", name, known=known)
    return contact


def confirmation_document(contact: Contact, *, at: datetime) -> dict[str, str]:
    """Give what somebody signs who has tried an entry."""
    return {"decision": "confirm-contact", "contact": contact.value, "at": at.isoformat()}
