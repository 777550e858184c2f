"""Who is answered: people, a few times a minute; no machine, and none of our own words.

Two machines that answer each other never stop by themselves, and every message costs. A machine is
known by its number, by what it writes, and in the end by how often: nobody asks twenty times in an
hour. What is remembered is in memory only, by hashes of numbers; a restart forgets it.
"""

import re
from collections import OrderedDict, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum

from cbgateway.domain.enquiry import TEXT_CHARACTERS_MAX, compact, is_subscriber
from cbgateway.profiles.models import EnquiryRules

MINUTE_S = 60.0
SENDERS_MAX = 100_000
"""Senders that are remembered; beyond it those who wrote longest ago are forgotten."""
SENT_MAX = 1_000
"""Texts of ours that are known again; a machine that sends back what it gets does so at once."""


class Verdict(Enum):
    """What is done with a message."""

    ANSWER = "answer"
    NOTICE = "notice"
    """Told that it was too often; once, until a minute has passed without a question."""
    LIMITED = "limited"
    BLOCKED = "blocked"


@dataclass(slots=True)
class _Sender:
    asked_s: deque[float] = field(default_factory=deque)
    has_notice: bool = False
    muted_until_s: float = 0.0


class Guard:
    """Looks at every message before it is understood."""

    def __init__(
        self, rules: EnquiryRules, *, auto_replies: Iterable[str], own_numbers: Iterable[str]
    ) -> None:
        """Make a guard that has seen nobody.

        Args:
            rules: the country's.
            auto_replies: patterns of what machines write.
            own_numbers: that answers come from.
        """
        self._rules = rules
        self._auto_replies = [re.compile(pattern, re.IGNORECASE) for pattern in auto_replies]
        self._own_numbers = frozenset(own_numbers)
        self._senders: OrderedDict[str, _Sender] = OrderedDict()
        self._sent: OrderedDict[int, None] = OrderedDict()

    def look(self, name: str, source: str, text: str, *, now_s: float) -> Verdict:
        """Decide about a message.

        Args:
            name: keyed hash of the sender.
            source: the sender's number, as the centre writes it.
            text: of the message.
            now_s: seconds that never jump.
        """
        if self._is_machine(source, text[:TEXT_CHARACTERS_MAX]):
            return Verdict.BLOCKED
        sender = self._senders.setdefault(name, _Sender())
        self._senders.move_to_end(name)
        while len(self._senders) > SENDERS_MAX:
            self._senders.popitem(last=False)
        return self._count(sender, now_s)

    def sent(self, text: str) -> None:
        """Remember what was sent, so that it is known when it comes back."""
        self._sent[hash(compact(text))] = None
        while len(self._sent) > SENT_MAX:
            self._sent.popitem(last=False)

    def _is_machine(self, source: str, text: str) -> bool:
        if source in self._own_numbers:
            return True
        if not is_subscriber(source, digits_min=self._rules.subscriber_digits_min):
            return True
        if any(pattern.search(text) for pattern in self._auto_replies):
            return True
        plain = compact(text)
        return bool(plain) and hash(plain) in self._sent

    def _count(self, sender: _Sender, now_s: float) -> Verdict:
        rules, asked_s = self._rules, sender.asked_s
        while asked_s and asked_s[0] <= now_s - rules.mute_s:
            asked_s.popleft()
        if now_s < sender.muted_until_s:
            return Verdict.LIMITED
        asked_s.append(now_s)
        if len(asked_s) > rules.in_a_row_max:
            sender.muted_until_s = now_s + rules.mute_s
            asked_s.clear()
            return Verdict.BLOCKED
        in_minute = sum(at > now_s - MINUTE_S for at in asked_s)
        if in_minute <= rules.per_minute_max:
            sender.has_notice = False
            return Verdict.ANSWER
        if sender.has_notice:
            return Verdict.LIMITED
        sender.has_notice = True
        return Verdict.NOTICE
