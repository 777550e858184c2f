"""What the demo shows while it runs: time line, deliveries, and the phones' screens."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from cbgateway.cli.demo_phone import Dialogue
from cbgateway.cli.demo_story import KT_2021, Story

STATE_STYLES = {
    "acked": "green",
    "ready": "yellow",
    "intent": "cyan",
    "in_doubt": "magenta",
    "superseded": "dim",
    "cancelled": "dim",
    "expired": "red",
    "refused": "red",
}


_WIDE = 110
_HEIGHT_WIDE, _HEIGHT_NARROW = 9, 13
"""Lines of a phone's screen that hold the longest bulletin, by the terminal's width."""


@dataclass(slots=True)
class View:
    """The state of the screen.

    Attributes:
        names: carriers' names by code.
        story: what is told.
        now: what the demo's clock shows.
        deliveries: report rows of all deliveries so far.
        told: what is retained at the broker, by topic below the prefix.
        screens: by carrier and language, the last text shown.
        reached: by carrier and text, how many phones show it.
        dialogue: what somebody asked, if anybody did.
    """

    names: dict[str, str]
    story: Story = KT_2021
    now: datetime = KT_2021.start
    deliveries: list[dict[str, Any]] = field(default_factory=list)
    told: dict[str, Any] = field(default_factory=dict)
    screens: dict[tuple[str, str], str] = field(default_factory=dict)
    reached: Counter[tuple[str, str]] = field(default_factory=Counter)
    dialogue: Dialogue | None = None

    def shown(self, event: dict[str, Any]) -> None:
        """Note that a phone shows a text."""
        carrier = event["carrier"]
        self.screens[carrier, event["language"]] = event["text"]
        self.reached[carrier, event["text"]] += 1

    def hear(self, topic: str, state: Any) -> None:  # noqa: ANN401 - any JSON
        """Note what is retained at the broker; None once nothing is."""
        self.told[topic] = state

    def render(self, width: int) -> RenderableType:
        """Draw everything for a terminal of so many columns."""
        return Group(
            Panel(
                self._time_line(),
                title=f"[bold]{self.story.title}  {self.now:%H:%M:%S}[/bold]  mode test",
                border_style="red" if self.now < self.story.end else "green",
            ),
            self._deliveries(),
            self._screens(_HEIGHT_WIDE if width >= _WIDE else _HEIGHT_NARROW),
        )

    def _time_line(self) -> Text:
        text = Text()
        for step in self.story.steps:
            happened = step.at <= self.now
            style = "bold" if happened else "dim"
            text.append(f"{step.at:%H:%M}  ", style="cyan" if happened else "dim")
            text.append(step.what + "\n", style=style)
        for line in () if self.dialogue is None else self.dialogue.lines():
            text.append("SMS    ", style="green")
            text.append(line + "\n")
        for line in self._over_mqtt():
            text.append("MQTT   ", style="magenta")
            text.append(line + "\n")
        text.rstrip()
        return text

    def _over_mqtt(self) -> Iterator[str]:
        """Give what a display of the retained topics shows: the incident, and the public text."""
        for topic, state in sorted(self.told.items()):
            if topic.startswith("state/incident/"):
                yield f"{topic}: {_incident_line(state)}"
            elif topic in {f"state/region/{code}" for code in self.story.regions} and state:
                number = state["bulletin"].rpartition("/")[2]
                yield f"{topic}: bulletin {number}, {state['kind']}"

    def _deliveries(self) -> Table:
        """One row a carrier, one column a bulletin: how its orders stand."""
        numbers = sorted({row["number"] for row in self.deliveries})
        table = Table(expand=True, title="Orders by carrier and bulletin")
        table.add_column("carrier")
        for number in numbers or (1,):
            table.add_column(f"bulletin {number}")
        for code, name in self.names.items():
            cells = []
            for number in numbers:
                states = Counter(
                    row["state"]
                    for row in self.deliveries
                    if row["carrier"] == code and row["number"] == number
                )
                cells.append(
                    Text(", ").join(
                        Text(f"{count} {state}", style=STATE_STYLES.get(state, ""))
                        for state, count in sorted(states.items())
                    )
                )
            table.add_row(name, *cells)
        return table

    def _screens(self, height: int) -> Table:
        """One phone in Korean and one in English for each carrier."""
        table = Table.grid(expand=True, padding=(0, 1))
        for _ in self.names:
            table.add_column(ratio=1, overflow="fold")
        for language in ("ko", "en"):
            table.add_row(*(self._screen(code, language, height) for code in self.names))
        return table

    def _screen(self, code: str, language: str, height: int) -> Panel:
        text = self.screens.get((code, language))
        count = self.reached[code, text] if text is not None else 0
        return Panel(
            Text(text or "(no message)", style="" if text else "dim"),
            title=f"{self.names[code]} phone ({language})",
            subtitle=f"{count} phones show it" if text else None,
            border_style="green" if text else "dim",
            height=height,
        )


def _incident_line(state: dict[str, Any] | None) -> str:
    """Say how far an incident has got; what is over is retained no more."""
    if state is None:
        return "over, and so retained no more"
    newest = list(state["bulletins"].items())[-1:]
    bulletins = "".join(f", bulletin {name.rpartition('/')[2]} {what}" for name, what in newest)
    proposed = state["proposed_state"]
    return f"{state['state']}{bulletins}" + (f", proposed: {proposed}" if proposed else "")
