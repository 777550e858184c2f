"""Phones that ask and are answered: which question a short message answers, and after how long."""

from collections import deque
from collections.abc import Callable, Container
from typing import Any

from cbsim.esme_histogram import LogHistogram
from cbsim.handset import Handset, Shown

WAITING_MAX = 16
"""Questions of one phone that wait for an answer; the oldest are given up."""
MICROSECONDS = 1_000_000


class Dialogues:
    """Keeps what phones have asked, and how soon they were answered.

    An answer is a short message from the number that was asked; it answers the oldest question.

    Attributes:
        answered: how many questions were.
    """

    def __init__(self, phones: Container[str], tell: Callable[[dict[str, Any]], None]) -> None:
        """Begin with none.

        Args:
            phones: numbers that can be answered.
            tell: called with every answer.
        """
        self._phones = phones
        self._tell = tell
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self.asked = self.answered = 0
        self._waiting: dict[str, deque[tuple[str, float, str]]] = {}
        self._after_us = LogHistogram()

    def ask(self, phone: str, number: str, text: str, *, now_s: float) -> None:
        """Note that a phone has asked somebody."""
        if phone in self._phones:
            self.asked += 1
            waiting = self._waiting.setdefault(phone, deque(maxlen=WAITING_MAX))
            waiting.append((number, now_s, text))

    def shown(self, phone: Handset, shown: Shown) -> None:
        """Look whether what a phone shows answers a question."""
        waiting = self._waiting.get(phone.number, ())
        question = next((one for one in waiting if one[0] == shown.source), None)
        if question is None or shown.channel != "sms":
            return
        self._waiting[phone.number].remove(question)
        self.answered += 1
        after_s = max(0.0, shown.at_s - question[1])
        self._after_us.add(round(after_s * MICROSECONDS))
        self._tell(
            {
                "event": "answered",
                "phone": phone.number,
                "question": question[2],
                "text": shown.text,
                "after_s": round(after_s, 6),
            }
        )

    def facts(self) -> dict[str, Any]:
        """Tell how many were answered, and how soon."""
        seconds = {
            f"p{per_mille / 10:g}_s": self._after_us.quantile(per_mille) / MICROSECONDS
            for per_mille in (500, 950, 990)
        }
        return {
            "asked": self.asked,
            "answered": self.answered,
            **seconds,
            "max_s": self._after_us.value_max / MICROSECONDS,
        }
