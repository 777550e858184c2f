"""A configured message centre with its phones, and everything that looks on: ready to be served."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cbsim.broadcasts import VendorTlvs
from cbsim.centre import MessageCentre, OnEvent, Setup
from cbsim.clock import SimulatedClock
from cbsim.config import VERSIONS, Configuration
from cbsim.control import Control
from cbsim.dissect import header_facts
from cbsim.expect import Expectations, Verdict, stop_when_met
from cbsim.exports import Export, export_lines, export_pcap
from cbsim.handset import Handset
from cbsim.http import HttpServer
from cbsim.network import Network, OnShown
from cbsim.server import Listen, Shell, endpoint, make_tls, serve
from cbsim.watch import SeenPdu, Watch


@dataclass(frozen=True, slots=True)
class Looking:
    """Who looks on.

    Attributes:
        events_to: file for events and PDUs as JSON lines.
        pcap_to: file for PDUs as a packet capture.
        expectations: what the run is judged by.
        traces: every PDU is an event.
    """

    events_to: Path | None = None
    pcap_to: Path | None = None
    expectations: Expectations | None = None
    traces: bool = False


class Simulator:
    """Everything of one `cbsim smsc`.

    Attributes:
        centre: the engine.
        watch: what happens.
    """

    def __init__(
        self,
        configuration: Configuration,
        handsets: list[Handset],
        *,
        clock: SimulatedClock,
        areas: Mapping[str, str] | None = None,
        on_event: OnEvent,
        on_shown: OnShown,
        looking: Looking | None = None,
    ) -> None:
        """Build it.

        Args:
            configuration: the centre and how it behaves.
            handsets: its phones.
            clock: for everything that is due later.
            areas: names that stand for regions.
            on_event: called with everything a tester wants to know.
            on_shown: called whenever a phone shows something.
            looking: who looks on besides.

        Raises:
            OSError: a certificate cannot be read, or a file cannot be made.
            ValueError: an address is none.
        """
        fixed = configuration.centre
        self._clock = clock
        self._tell = on_event
        self._looking = looking or Looking()
        self._web = endpoint(fixed.web, host="127.0.0.1") if fixed.web else None
        self._listen = Listen(
            host=fixed.host,
            port=fixed.port,
            tls=make_tls(fixed.tls_cert, fixed.tls_key) if fixed.tls_cert else None,
            outbind_to=tuple(endpoint(one) for one in fixed.outbind),
        )
        self.watch = Watch(clock.now_s)

        def shown(*what: Any) -> None:  # noqa: ANN401 - a phone, and what it shows
            on_shown(*what)
            self.watch.shown(*what)

        self.centre = MessageCentre(
            fixed.name,
            Network(handsets, shown),
            accounts=fixed.accounts,
            areas=areas or {},
            vendor_tlvs=VendorTlvs(),
            now_s=clock.now_s,
            setup=Setup(
                scenario=configuration.scenario,
                version=VERSIONS[fixed.version],
                lists=fixed.lists,
                is_fast=fixed.fast,
            ),
            on_event=self._on_event,
        )
        self._exports: list[Export] = []
        self._look_on()

    def verdicts(self) -> list[Verdict]:
        """Judge the run; empty when nothing is expected."""
        expectations = self._looking.expectations
        return [] if expectations is None else expectations.verdicts(self.centre)

    async def serve(
        self,
        *,
        on_ready: Callable[[Shell], None] | None = None,
        stopped: asyncio.Event | None = None,
    ) -> None:
        """Serve until SIGINT or SIGTERM, or until `stopped`, or until what is expected has come.

        Raises:
            OSError: an address cannot be listened on; `filename` is the address.
        """
        try:
            await serve(
                self.centre,
                self._clock,
                listen=self._listen,
                on_event=self._on_event,
                on_ready=on_ready,
                stopped=stopped,
                beside=self._beside,
            )
        finally:
            for export in self._exports:
                export.close()

    def _on_event(self, event: dict[str, Any]) -> None:
        self._tell(event)
        self.watch.event(event)

    def _look_on(self) -> None:
        """Have everything told that somebody looks at, and nothing else."""
        looking, watch = self._looking, self.watch
        if looking.expectations is not None:
            looking.expectations.attach(watch)
        if looking.events_to is not None:
            export_lines(watch, self._export(looking.events_to))
        if looking.pcap_to is not None:
            export_pcap(watch, self._export(looking.pcap_to))
        if looking.traces:
            watch.on_pdu.append(self._trace)
        if watch.on_pdu or self._web is not None:
            self.centre.on_trace = watch.pdu
        if watch.on_event or self._web is not None:
            self.centre.on_message = watch.message

    def _export(self, path: Path) -> Export:
        export = Export(path, lambda why: self._on_event({"event": "export_failed", "detail": why}))
        self._exports.append(export)
        return export

    def _trace(self, seen: SeenPdu) -> None:
        self._tell(
            {
                "event": "pdu",
                "session": seen.session,
                "direction": seen.direction,
                **header_facts(seen.octets),
                "octets": seen.octets.hex(),
            }
        )

    @contextlib.asynccontextmanager
    async def _beside(self, shell: Shell, stopped: asyncio.Event) -> AsyncIterator[dict[str, Any]]:
        """Serve the control, and look whether what is expected has come."""
        facts: dict[str, Any] = {}
        server: HttpServer | None = None
        judge: asyncio.Task[None] | None = None
        if self._web is not None:
            control = Control(self.centre, self.watch, shell.flush)
            server = HttpServer(control.answer)
            host, port = await server.open(*self._web)
            facts["web"] = f"http://{f'[{host}]' if ':' in host else host}:{port}/"
        if self._looking.expectations is not None:
            judge = asyncio.create_task(
                stop_when_met(self._looking.expectations, self.centre, stopped.set)
            )
        try:
            yield facts
        finally:
            if judge is not None:
                judge.cancel()
                await asyncio.gather(judge, return_exceptions=True)
            if server is not None:
                await server.close()
