"""Tells people and programs what happens in a simulator."""

import json
import os
import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape

from cbsim.expect import Verdict
from cbsim.handset import Handset, Shown
from cbsim.network import Network
from cbsim.watch import shown_facts

console = Console(highlight=False, soft_wrap=True)


def printable(text: str) -> str:
    """Give a text that came from a peer so that it cannot steer the terminal."""
    return escape("".join(c if c.isprintable() or c == "\n" else f"\\x{ord(c):02x}" for c in text))


class JsonReporter:
    """One JSON object a line, for programs."""

    def __init__(self, carrier: str) -> None:
        """Report for one carrier."""
        self._carrier = carrier

    def event(self, event: dict[str, Any]) -> None:
        """Tell what happened."""
        line = json.dumps({"carrier": self._carrier, **event}, ensure_ascii=False)
        try:
            sys.stdout.write(line + "\n")
            sys.stdout.flush()
        except BrokenPipeError:  # whoever wanted to know has gone
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise SystemExit(1) from None

    def shown(self, phone: Handset, shown: Shown) -> None:
        """Tell what a phone shows."""
        self.event({"event": "shown", **_shown(phone, shown)})

    def end(self, network: Network) -> None:
        """Tell what every phone has shown in the end."""
        self.event(
            {
                "event": "end",
                "phones": [
                    {
                        "phone": phone.number,
                        "region": phone.region,
                        "language": phone.language,
                        "shown": [_shown(phone, shown) for shown in phone.screen],
                    }
                    for phone in network.phones.values()
                ],
            }
        )

    def verdicts(self, verdicts: Sequence[Verdict]) -> None:
        """Tell what became of what was expected."""
        if verdicts:
            passed = all(verdict.holds for verdict in verdicts)
            found = [verdict.facts() for verdict in verdicts]
            self.event({"event": "verdict", "passed": passed, "expectations": found})


def _shown(phone: Handset, shown: Shown) -> dict[str, Any]:
    facts = shown_facts(phone, shown)
    facts["at_s"] = facts.pop("shown_at_s")
    return facts


class ScreenReporter:
    """A line for each thing that happens and each text that is new, for people."""

    def __init__(self, carrier: str) -> None:
        """Report for one carrier."""
        self._carrier = carrier
        self._texts: set[str] = set()

    def event(self, event: dict[str, Any]) -> None:
        """Tell what happened."""
        rest = ", ".join(f"{key} {value}" for key, value in event.items() if key != "event")
        console.print(f"{self._carrier}: [bold]{event['event']}[/bold] {printable(rest)}")

    def shown(self, phone: Handset, shown: Shown) -> None:
        """Show the screen of the first phone that shows a text."""
        if shown.text in self._texts:
            return
        self._texts.add(shown.text)
        console.print(
            f"{self._carrier}: phone {phone.number} in {phone.region} shows, by {shown.channel} "
            f"(seal {shown.seal}):\n  {printable(shown.text)}"
        )

    def end(self, network: Network) -> None:
        """Count what was shown."""
        for text in sorted(self._texts):
            counts = [
                sum(shown.text == text for shown in phone.screen)
                for phone in network.phones.values()
            ]
            console.print(
                f"{self._carrier}: {sum(map(bool, counts))} phones showed, "
                f"at most {max(counts)} times each: {printable(text)}"
            )

    def verdicts(self, verdicts: Sequence[Verdict]) -> None:
        """Tell what became of what was expected."""
        for verdict in verdicts:
            mark = "[green]holds[/green]" if verdict.holds else "[red]FAILS[/red]"
            words = printable(f"{verdict.expectation}, found {verdict.found}")
            console.print(f"{self._carrier}: {mark} {words}")
