"""The topics: mode and site stand in each of them, so that an exercise is never taken for real."""

from dataclasses import dataclass

from cbgateway.domain.bulletin import Mode

VERSION = "v1"
SUBMIT = "bulletin/submit"
ALARM = "alarm"
INCIDENT = "incident"
COMMANDS = (SUBMIT, ALARM, INCIDENT)


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics of one gateway.

    Attributes:
        site: which of several gateways of a mode; one level.
    """

    mode: Mode
    site: str

    @property
    def prefix(self) -> str:
        """What every topic begins with."""
        return f"cbgateway/{VERSION}/{self.mode}/{self.site}"

    @property
    def commands(self) -> str:
        """Filter of all commands of everybody."""
        return f"{self.prefix}/cmd/#"

    def command(self, person: str, what: str) -> str:
        """Where somebody asks for something; the broker lets nobody else publish there."""
        return f"{self.prefix}/cmd/{person}/{what}"

    def command_of(self, topic: str) -> tuple[str, str] | None:
        """Give who asks and for what; None for any other topic."""
        rest = topic.removeprefix(f"{self.prefix}/cmd/")
        person, _, what = rest.partition("/")
        return (person, what) if rest != topic and person and what in COMMANDS else None

    def person_of(self, topic: str) -> str:
        """Give whose level of the command topics a topic is in; empty for none."""
        rest = topic.removeprefix(f"{self.prefix}/cmd/")
        return "" if rest == topic else rest.partition("/")[0]

    def may_reply(self, person: str, topic: str) -> bool:
        """Tell whether a receipt may go there; nobody has this gateway write anywhere else."""
        begins = f"{self.prefix}/reply/{person}/"
        rest = topic.removeprefix(begins)
        return bool(person) and rest != topic and bool(rest) and not {"#", "+", "\0"} & set(rest)

    def event(self, subject: str) -> str:
        """Where the history of a bulletin, an incident or a person is told."""
        return f"{self.prefix}/evt/{subject}"

    def state(self, what: str, name: str = "") -> str:
        """Where the present is kept, retained."""
        return f"{self.prefix}/state/{what}" + (f"/{name}" if name else "")
