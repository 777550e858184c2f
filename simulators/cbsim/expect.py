"""What a run has to have brought: read from a file, counted while it runs, judged at its end."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from cbsim.centre import Counters, MessageCentre
from cbsim.config import load
from cbsim.dissect import dissect, flat
from cbsim.settings import (
    SettingsError,
    number,
    read_table,
    setting,
    shown,
    table_of,
    text,
    unknown,
    whole,
)
from cbsim.watch import Event, SeenPdu, Watch

COUNT_MAX = 10**12
EXPECTATIONS_MAX = 1_000
SECONDS_MAX = 86_400
LOOK_S = 0.1
"""Whether everything holds is looked at so often."""
LOOK_SHARE = 10
"""Looking at many messages takes time; that many times as long nothing is looked at."""
_KINDS = ("event", "pdu", "message", "counter")


def _plain(value: Any) -> str:  # noqa: ANN401 - whatever TOML holds
    if not isinstance(value, str | int | float):
        raise ValueError(f"{value!r} is no pattern")  # noqa: TRY004 - a value
    return shown(value)


@dataclass(frozen=True, slots=True)
class Expectation:
    """How many of something there have to be.

    Attributes:
        event: an event's name; one of `event`, `pdu`, `message` and `counter` is given.
        pdu: a command's name.
        message: a state's name, ``*`` for any.
        counter: its name.
        where: patterns that fields of it have to match.
    """

    event: str = setting("", text(100), "events of this name")
    pdu: str = setting("", text(100), "PDUs of this command")
    message: str = setting("", text(100), "messages in this state, * for any")
    counter: str = setting("", text(100), "a counter")
    where: Mapping[str, str] = setting(
        {}, table_of(text(100, least=1), _plain), "patterns that its fields match"
    )
    count: int = setting(-1, whole(0, COUNT_MAX), "so many, no more and no less")
    least: int = setting(-1, whole(0, COUNT_MAX), "at least so many")
    most: int = setting(-1, whole(0, COUNT_MAX), "at most so many")

    def __post_init__(self) -> None:
        """Refuse what says nothing, or two things."""
        kinds = [kind for kind in _KINDS if getattr(self, kind)]
        if len(kinds) > 1:
            raise ValueError(f"{' and '.join(kinds)} are two expectations")
        if self.count >= 0 and max(self.least, self.most) >= 0:
            raise ValueError("count stands alone, without least and most")
        if self.counter and self.where:
            raise ValueError("a counter has no fields for `where`")

    @property
    def kind(self) -> str:
        """What is counted."""
        return next((kind for kind in _KINDS if getattr(self, kind)), "")

    @property
    def bounds(self) -> tuple[int, int | None]:
        """The least and the most; at least one where nothing is said."""
        if self.count >= 0:
            return self.count, self.count
        is_bare = self.least < 0 and self.most < 0
        return 1 if is_bare else max(self.least, 0), None if self.most < 0 else self.most

    def matches(self, name: str, facts: Mapping[str, Any]) -> bool:
        """Tell whether something is one of those that are counted."""
        return fnmatchcase(name, getattr(self, self.kind)) and all(
            key in facts and fnmatchcase(shown(facts[key]), pattern)
            for key, pattern in self.where.items()
        )

    def __str__(self) -> str:
        """Say what is expected, for people."""
        least, most = self.bounds
        where = ", ".join(f"{key} {value}" for key, value in self.where.items())
        amount = f"{least}" if least == most else f"{least} or more"
        if most is not None and least != most:
            amount = f"{least} to {most}"
        name = f"{self.kind} {getattr(self, self.kind)}"
        return f"{name}{f' where {where}' if where else ''}: {amount}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one expectation."""

    expectation: Expectation
    found: int

    @property
    def holds(self) -> bool:
        """Tell whether it came so."""
        least, most = self.expectation.bounds
        return self.found >= least and (most is None or self.found <= most)

    def facts(self) -> dict[str, Any]:
        """Tell it in plain values."""
        return {"expected": str(self.expectation), "found": self.found, "holds": self.holds}


@dataclass(frozen=True, slots=True)
class _Head:
    within_s: float = setting(
        0.0, number(0, SECONDS_MAX), "the run ends then at the latest; 0 for when it is stopped"
    )
    settle_s: float = setting(
        1.0, number(0, SECONDS_MAX), "the run ends when all has held for so long"
    )


class Expectations:
    """All of a file, and what has come so far.

    Attributes:
        within_s: the run ends then at the latest; 0 for when it is stopped.
        settle_s: it ends earlier when everything has held for so long.
    """

    def __init__(
        self, wanted: tuple[Expectation, ...], *, within_s: float, settle_s: float
    ) -> None:
        """Begin to count; `attach` says what."""
        self.wanted = wanted
        self.within_s = within_s
        self.settle_s = settle_s
        self._found = dict.fromkeys(range(len(wanted)), 0)
        self._by_kind = {
            kind: [(index, one) for index, one in enumerate(wanted) if one.kind == kind]
            for kind in _KINDS
        }

    @property
    def looks_at_pdus(self) -> bool:
        """Tell whether every PDU has to be told."""
        return bool(self._by_kind["pdu"])

    def attach(self, watch: Watch) -> None:
        """Count what happens from now on."""
        watch.on_event.append(self._on_event)
        if self.looks_at_pdus:
            watch.on_pdu.append(self._on_pdu)

    def verdicts(self, centre: MessageCentre) -> list[Verdict]:
        """Judge what has come so far."""
        found = dict(self._found)
        for index, one in self._by_kind["counter"]:
            found[index] = getattr(centre.counters, one.counter)
        messages = self._by_kind["message"]
        if messages:
            for message in centre.messages.newest():
                facts = message.facts()
                for index, one in messages:
                    found[index] += one.matches(facts["state"], facts)
        return [Verdict(one, found[index]) for index, one in enumerate(self.wanted)]

    def _on_event(self, event: Event) -> None:
        for index, one in self._by_kind["event"]:
            self._found[index] += one.matches(event["event"], event)

    def _on_pdu(self, seen: SeenPdu) -> None:
        facts = flat(dissect(seen))
        for index, one in self._by_kind["pdu"]:
            self._found[index] += one.matches(str(facts["pdu"]), facts)


def load_expectations(path: Path) -> Expectations:
    """Read a file of expectations.

    Raises:
        SettingsError: it is not what it should be; names the key.
        OSError: it cannot be read.
    """
    table = load(path)
    try:
        head = read_table(_Head(), {key: table[key] for key in table if key != "expect"})
        wanted = _read(table.get("expect"))
    except SettingsError as error:
        raise SettingsError(f"{path}: {error}") from error
    return Expectations(wanted, within_s=head.within_s, settle_s=head.settle_s)


def _read(listed: Any) -> tuple[Expectation, ...]:  # noqa: ANN401 - whatever TOML holds
    if not isinstance(listed, list) or not 0 < len(listed) <= EXPECTATIONS_MAX:
        raise SettingsError(f"needs 1 to {EXPECTATIONS_MAX} tables, [[expect]] each")
    wanted = []
    for index, table in enumerate(listed):
        where = f"expect[{index}]"
        if not isinstance(table, dict):
            raise SettingsError(f"{where} is a table")
        one = read_table(Expectation(), table, where=f"{where}.")
        if not one.kind:
            raise SettingsError(f"{where} names no event, pdu, message or counter")
        counters = dict.fromkeys(Counters.__dataclass_fields__)
        if one.counter and one.counter not in counters:
            raise SettingsError(unknown(f"{where}.counter {one.counter}", one.counter, counters))
        wanted.append(one)
    return tuple(wanted)


async def stop_when_met(
    wanted: Expectations, centre: MessageCentre, stop: Callable[[], None]
) -> None:
    """End the run when its time is over, or when everything has held for a while.

    Where nothing has to come, everything holds at once; then the whole time is waited for.
    """
    loop = asyncio.get_running_loop()
    began_s = held_since_s = loop.time()
    may_end_early = any(one.bounds[0] for one in wanted.wanted)
    while wanted.within_s:
        now_s = loop.time()
        if not may_end_early or not all(one.holds for one in wanted.verdicts(centre)):
            held_since_s = now_s
        is_met = may_end_early and now_s - held_since_s >= wanted.settle_s
        if (is_met and now_s > held_since_s) or now_s - began_s >= wanted.within_s:
            stop()
            return
        await asyncio.sleep(max(LOOK_S, LOOK_SHARE * (loop.time() - now_s)))
