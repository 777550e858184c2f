"""How enquiries are read and answered in one language."""

import string
from typing import Annotated, Self

from pydantic import Field, model_validator

from cbgateway.domain.bulletin import EmergencyCalls
from cbgateway.domain.enquiry import Command
from cbgateway.profiles.models import Model, Pattern, Text

SLOTS: dict[str, frozenset[str]] = {
    "none": frozenset({"place", "at"}),
    "none_hint": frozenset({"place"}),
    "place_hint": frozenset({"example"}),
    "restored": frozenset({"place", "carrier", "said"}),
    "outage": frozenset({"carrier", "services", "places", "since"}),
    "outage_short": frozenset({"carrier", "since"}),
    "cause": frozenset({"cause"}),
    "eta_at": frozenset({"eta"}),
    "eta_unknown": frozenset(),
    "eta_overdue": frozenset(),
    "next_at": frozenset({"next"}),
    "next_overdue": frozenset(),
    "more": frozenset({"count"}),
    "code": frozenset({"code"}),
    "reported": frozenset({"place"}),
    "reported_hint": frozenset({"place"}),
    "report_where": frozenset({"example"}),
    "subscribed": frozenset({"place", "days"}),
    "subscribed_hint": frozenset(),
    "subscribe_where": frozenset({"example"}),
    "subscribe_full": frozenset({"count"}),
    "stopped": frozenset(),
    "help": frozenset({"example"}),
    "unknown": frozenset({"example"}),
    "limited": frozenset(),
    "verified": frozenset({"said"}),
    "verified_old": frozenset({"said"}),
    "verified_past_eta": frozenset(),
    "verified_where": frozenset({"url"}),
    "not_ours": frozenset(),
    "verify_how": frozenset(),
}
"""What each sentence may be filled with."""


class ReplyWords(Model):
    """Sentences of answers; ``{slot}`` is filled as `SLOTS` says."""

    none: Text
    none_hint: Text
    place_hint: Text
    restored: Text
    outage: Text
    outage_short: Text
    cause: Text
    eta_at: Text
    eta_unknown: Text
    eta_overdue: Text
    next_at: Text
    next_overdue: Text
    more: Text
    code: Text
    reported: Text
    reported_hint: Text
    report_where: Text
    subscribed: Text
    subscribed_hint: Text
    subscribe_where: Text
    subscribe_full: Text
    stopped: Text
    help: Text
    unknown: Text
    limited: Text
    verified: Text
    verified_old: Text
    verified_past_eta: Text
    verified_where: Text
    not_ours: Text
    verify_how: Text

    @model_validator(mode="after")
    def _slots_are_known(self) -> Self:
        for name, slots in SLOTS.items():
            found = {slot for _, slot, _, _ in string.Formatter().parse(getattr(self, name))}
            unknown = found - slots - {None}
            if unknown:
                msg = f"{name}: {{{min(map(str, unknown))}}} is none of {sorted(slots)}"
                raise ValueError(msg)
        return self


class EnquiryWords(Model):
    """How enquiries are read and answered.

    Attributes:
        letters: a part of the Unicode names of the language's letters, such as ``HANGUL``.
        commands: what people write for each command; `unknown` has none.
        fillers: words that say nothing, such as "please".
        auto_replies: patterns of what machines write in answer to a message.
        emergency_calls: the same as on pages, shorter.
    """

    letters: Annotated[str, Field(pattern=r"^[A-Z]+$")]
    commands: dict[Command, Annotated[tuple[Text, ...], Field(min_length=1)]]
    fillers: tuple[Text, ...] = ()
    auto_replies: tuple[Pattern, ...] = ()
    emergency_calls: dict[EmergencyCalls, Text]
    replies: ReplyWords

    @model_validator(mode="after")
    def _has_all(self) -> Self:
        missing = ({*Command} - {Command.UNKNOWN}) ^ set(self.commands)
        if missing:
            msg = f"commands: {min(missing)} is missing, or not for people to write"
            raise ValueError(msg)
        if set(EmergencyCalls) - set(self.emergency_calls):
            msg = "emergency_calls: one is missing"
            raise ValueError(msg)
        return self
