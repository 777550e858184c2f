"""A message centre inside another program: started, looked at and changed from its thread.

with RunningCentre() as smsc:
my_client.connect(smsc.host, smsc.port)
smsc.set({"faults": ["throttled:5%"]})
smsc.wait_for(lambda: smsc.messages(state="DELIVERED"))
"""

import asyncio
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from fnmatch import fnmatchcase
from types import TracebackType
from typing import Any, Self, TypeVar

from cbsim.centre import MessageCentre
from cbsim.clock import SimulatedClock
from cbsim.config import configure
from cbsim.dissect import dissect, flat
from cbsim.handset import Handset, Shown
from cbsim.network import make_phones
from cbsim.server import Shell
from cbsim.settings import shown
from cbsim.simulator import Simulator

T = TypeVar("T")

READY_S = 10.0
CALL_S = 10.0
PATIENCE_S = 10.0
LOOK_S = 0.1
"""Looked at so often even when nothing has happened."""
PHONES = 10


class RunningCentre:
    """A message centre on a port of its own, in a thread of its own.

    Attributes:
        host: where it listens.
        port: where it listens.
        web: address of its page, when the setting `web` asks for one.
    """

    def __init__(
        self,
        settings: Mapping[str, Any] | None = None,
        *,
        phones: int = PHONES,
        region: str = "KR-11",
    ) -> None:
        """Make it; entering the context starts it.

        Args:
            settings: as in the TOML file; the port is any free one when left out.
            phones: how many, with the numbers 821000000000 and up.
            region: where they are.

        Raises:
            SettingsError: a setting is wrong.
        """
        clock = SimulatedClock(start=None, speed=1)
        handsets = make_phones(
            phones,
            regions=(region,),
            home_language="ko",
            old_every=0,
            foreign_every=0,
            prefix="8210",
            keys={},
        )
        self.host = ""
        self.port = 0
        self.web = ""
        self._simulator = Simulator(
            configure(None, [{"port": 0}, settings or {}]),
            handsets,
            clock=clock,
            on_event=self._on_event,
            on_shown=_look_away,
        )
        self._happened = threading.Event()
        watch = self._simulator.watch
        watch.on_event.append(lambda _event: self._happened.set())
        self._centre.on_message = watch.message
        self._centre.on_trace = watch.pdu
        self._ready: Future[tuple[asyncio.AbstractEventLoop, Shell, asyncio.Event]] = Future()
        self._thread = threading.Thread(target=self._run, name="cbsim", daemon=True)

    def __enter__(self) -> Self:
        """Start it, and wait until it takes connections.

        Raises:
            OSError: its address cannot be listened on.
        """
        self._thread.start()
        self._ready.result(READY_S)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End every connection and the thread."""
        loop, _, stopped = self._ready.result()
        loop.call_soon_threadsafe(stopped.set)
        self._thread.join(CALL_S)

    # Looking ------------------------------------------------------------------------------------

    def messages(self, **patterns: object) -> list[dict[str, Any]]:
        """Give messages, oldest first, whose fields match patterns, such as ``state="DELIV*"``."""
        return self.call(
            lambda centre: _matching([one.facts() for one in centre.messages.newest()], patterns)
        )[::-1]

    def events(self, name: str = "*", **patterns: object) -> list[dict[str, Any]]:
        """Give what has happened: ``bound``, ``refused``, ``wrong``, ``fault``, ``shown``..."""
        watch = self._simulator.watch
        return self.call(lambda _: _matching(list(watch.events), {"event": name, **patterns}))

    def pdus(self, name: str = "*", **patterns: object) -> list[dict[str, Any]]:
        """Give PDUs field by field, oldest first, by their command's name and other fields."""
        watch = self._simulator.watch
        seen = self.call(lambda _: list(watch.pdus))
        return _matching([flat(dissect(one)) for one in seen], {"pdu": name, **patterns})

    def screen(self, number: str) -> list[str]:
        """Give the texts that a phone shows, oldest first."""
        return self.call(lambda centre: [one.text for one in centre.network.phones[number].screen])

    def counters(self) -> dict[str, int]:
        """Give what has been counted since the start."""
        found: dict[str, int] = self.call(lambda centre: centre.snapshot(messages=0)["counters"])
        return found

    def wait_for(self, look: Callable[[], T], *, seconds: float = PATIENCE_S) -> T:
        """Look again and again until there is something; gives it.

        Raises:
            TimeoutError: there is nothing for so long; tells what has happened.
        """
        loop, _, _ = self._ready.result()
        end_s = loop.time() + seconds
        while True:
            self._happened.clear()
            found = look()
            if found:
                return found
            left_s = end_s - loop.time()
            if left_s <= 0:
                happened = [one["event"] for one in self.events()]
                raise TimeoutError(f"nothing within {seconds:g} s; so far: {happened[-20:]}")
            self._happened.wait(min(left_s, LOOK_S))

    # Changing -----------------------------------------------------------------------------------

    def set(self, changes: Mapping[str, Any]) -> None:
        """Change the scenario, from plain values by group and key, faults with it.

        Raises:
            SettingsError: a key or value is wrong; then nothing has changed.
        """
        self.call(lambda centre: centre.set(changes))

    def fault(self, *faults: str) -> None:
        """Misbehave so from now on, and no other way; well when nothing is named.

        Raises:
            SettingsError: no fault has this name.
        """
        self.set({"faults": list(faults)})

    def incoming(
        self, text: str, *, source: str = "", destination: str = "", system_id: str | None = None
    ) -> int:
        """Let a phone send a message; gives to how many ESMEs."""
        return self.call(
            lambda centre: centre.incoming(
                text=text, source=source, destination=destination, system_id=system_id
            )
        )

    def restart(self, *, keeps_messages: bool = True) -> None:
        """Reset every connection, as a centre does that starts anew."""
        self.call(lambda centre: centre.restart(keeps_messages=keeps_messages))

    def call(self, work: Callable[[MessageCentre], T]) -> T:
        """Do something with the engine itself, in its thread."""
        loop, shell, _ = self._ready.result()

        async def in_thread() -> T:
            try:
                return work(self._centre)
            finally:
                shell.flush()

        return asyncio.run_coroutine_threadsafe(in_thread(), loop).result(CALL_S)

    # The thread ---------------------------------------------------------------------------------

    @property
    def _centre(self) -> MessageCentre:
        return self._simulator.centre

    def _on_event(self, event: dict[str, Any]) -> None:
        if event["event"] == "ready":
            self.host, self.port, self.web = event["host"], event["port"], event.get("web", "")

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except OSError as error:
            self._ready.set_exception(error)

    async def _serve(self) -> None:
        stopped, loop = asyncio.Event(), asyncio.get_running_loop()
        await self._simulator.serve(
            on_ready=lambda shell: self._ready.set_result((loop, shell, stopped)), stopped=stopped
        )


def _look_away(_phone: Handset, _shown: Shown) -> None:
    """Do nothing; whoever wants to know asks for the screen."""


def _matching(found: list[dict[str, Any]], patterns: Mapping[str, object]) -> list[dict[str, Any]]:
    return [
        facts
        for facts in found
        if all(
            key in facts and fnmatchcase(shown(facts[key]), shown(pattern))
            for key, pattern in patterns.items()
        )
    ]
