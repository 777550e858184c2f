"""The association with one base station controller: connect or be connected to, carry out orders.

What is on air is compared with what should be, after every connection, after every RESTART and now
and then: a status query for each message, and a write where it is missing, with the serial number
that phones know. Nothing is ever reset, so that no live alert falls silent.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, assert_never

from loguru import logger

from cbgateway.carriers.backoff import Backoff, Turnstile
from cbgateway.carriers.cbsp.listener import Listeners
from cbgateway.carriers.cbsp.orders import (
    NOWHERE,
    Outcome,
    cell_lists,
    check_outcome,
    describe,
    kill_request,
    on_air_report,
    outcome_of,
    primary_request,
    status_request,
    text_request,
)
from cbgateway.carriers.cbsp.session import (
    Alive,
    Answered,
    CbspSession,
    Closed,
    Request,
    State,
    Told,
    Unanswered,
    Up,
)
from cbgateway.carriers.pump import Pump
from cbgateway.codec import cbsp
from cbgateway.domain.broadcast import SerialNumber
from cbgateway.domain.errors import NotSentError, RejectedError, UnansweredError
from cbgateway.domain.orders import (
    BroadcastReport,
    Handle,
    OnAirReport,
    Order,
    Report,
    Stop,
    Submit,
    WriteReplace,
)
from cbgateway.domain.ports import OnAir, PeerStatus, Reloaded
from cbgateway.profiles.networks import CbspProfile

CONNECT_TIMEOUT_S = 10
TOLD_INTERVAL_S = 1.0
CELLS_KNOWN_MAX = 10_000
"""Cells whose state is remembered for one controller; none has as many."""
TEST_MESSAGE_IDENTIFIER = 0xFFFF
TEST_SERIAL_NUMBER = 0
"""What a link test asks for: nobody broadcasts it (TS 23.041 9.4.1.2.2), so nobody has it."""
Key = tuple[int, int]
"""Message identifier and message code: all versions of one message."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a controller is.

    Attributes:
        role: ``connect`` to it, or ``listen`` for it.
        host: where it listens, or where we do.
        port: the same.
        source: which address it connects from; empty when it does not.
    """

    role: str
    host: str
    port: int
    source: str = ""


class CbspLink:
    """One controller. Implements `domain.ports.CarrierLink` and `domain.ports.ReloadingLink`."""

    window_max = 1

    def __init__(
        self,
        peer_id: str,
        endpoint: Endpoint,
        rules: CbspProfile,
        *,
        listeners: Listeners,
        random: Callable[[], float],
    ) -> None:
        """Make a link; `run` connects it.

        Args:
            peer_id: how the gateway calls the controller.
            endpoint: where it is.
            rules: the network's.
            listeners: sockets that several links share.
            random: gives numbers from 0 up to 1, for jitter.
        """
        self.peer_id = peer_id
        self._endpoint = endpoint
        self._rules = rules
        self._listeners = listeners
        self._backoff = Backoff(
            delay_min_s=rules.reconnect_delay_min_s,
            delay_max_s=rules.reconnect_delay_max_s,
            random=random,
        )
        self._log = logger.bind(peer=peer_id)
        self._ready = asyncio.Event()
        self._reload = asyncio.Event()
        self._session: CbspSession | None = None
        self._pump: Pump | None = None
        self._is_draining = False
        self._last_problem = ""
        self._locks: dict[Key, tuple[asyncio.Lock, int]] = {}
        self._sent: Counter[Key] = Counter()
        self._cells_down: set[str] = set()
        self._broadcasts: dict[Key, Outcome] = {}
        self._changed_at: float | None = None
        self._answered_at: float | None = None
        self._round_trip_s: float | None = None
        self._told = 0
        self._told_at: float | None = None

    # Connection

    async def run(self) -> None:
        """Hold the association up, until cancelled."""
        listens = self._endpoint.role == "listen"
        turnstile = Turnstile()
        while True:
            try:
                await (self._listen() if listens else self._run_once(turnstile))
            except (OSError, TimeoutError) as error:
                verb = "listen" if listens else "connect"
                self._report(f"cannot {verb}: {str(error) or 'timed out'}")
            await asyncio.sleep(self._backoff.next_s(now=self._now()))

    async def wait_ready(self) -> None:
        """Return as soon as the controller has answered a KEEP-ALIVE."""
        await self._ready.wait()

    def drain(self) -> None:
        """Send nothing new; see `domain.ports.CarrierLink`."""
        self._is_draining = True

    async def _listen(self) -> None:
        """Take connections until cancelled."""
        endpoint = self._endpoint
        try:
            await self._listeners.serve(endpoint.host, endpoint.port, endpoint.source, self._accept)
        finally:
            if self._pump is not None:
                self._pump.abort()

    async def _run_once(self, turnstile: Turnstile) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(turnstile.wait_s(now=loop.time()))
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            _, pump = await loop.create_connection(
                self._accept, self._endpoint.host, self._endpoint.port
            )
        try:
            await asyncio.shield(pump.closed)
        finally:
            pump.abort()

    def _accept(self) -> Pump:
        """Begin a session on a new connection; it takes the place of one that stands.

        A controller that connects again has lost its side of the old connection, whatever our
        kernel believes.
        """
        if self._pump is not None:
            self._pump.abort()
        self._ready.clear()
        session = CbspSession(self._rules)
        pump = Pump(session, lambda event: self._on_event(session, event))
        self._session, self._pump = session, pump
        return pump

    def _on_event(self, session: CbspSession, event: object) -> None:
        match event:
            case Answered(token=token, message=message):
                self._answered_at = self._now()
                if not token.done():
                    token.set_result(message)
            case Unanswered(token=token):
                if not token.done():
                    token.set_exception(UnansweredError("sent, and no answer came"))
            case Alive(round_trip_s=round_trip_s):
                self._answered_at, self._round_trip_s = self._now(), round_trip_s
            case Up():
                self._backoff.went_up(now=self._now())
                self._last_problem = ""
                self._changed_at = self._now()
                self._cells_down.clear()
                self._ready.set()
                self._reload.set()
                self._log.info("controller up")
            case Told(message=message):
                self._on_told(message)
            case Closed(reason=reason):
                if session is self._session and self._pump is not None:
                    # a peer that does not read would keep its connection open for ever
                    asyncio.get_running_loop().call_soon(self._pump.abort)
                    self._session = self._pump = None
                    self._ready.clear()
                    self._changed_at = self._now()
                    self._report(reason)
            case _:
                self._log.debug("{}", event)

    def _on_told(self, message: cbsp.Restart | cbsp.Failure | cbsp.ErrorIndication) -> None:
        """Note which cells are down, and have looked at what came back."""
        match message:
            case cbsp.Failure(failures=failures):
                down = [str(one.cell) for one in failures]
                self._cells_down.update(down[: CELLS_KNOWN_MAX - len(self._cells_down)])
                self._note("cells failed", cells=len(down))
            case cbsp.Restart(cells=cells):
                up = {str(cell) for cell in cells.cells}
                self._cells_down -= self._cells_down if cells == cbsp.WHOLE_BSS else up
                self._reload.set()
                is_lost = message.recovery != cbsp.Recovery.DATA_AVAILABLE
                self._note("cells restarted", cells=len(up), is_lost=is_lost)
            case cbsp.ErrorIndication(cause=cause):
                self._note("error indication", cause=cbsp.cause_name(cause))

    def _note(self, what: str, **facts: object) -> None:
        """Log what the controller tells, a line a second at most; the rest is counted."""
        self._told += 1
        now = self._now()
        if self._told_at is not None and now - self._told_at < TOLD_INTERVAL_S:
            return
        self._log.bind(told=self._told, **facts).warning(what)
        self._told, self._told_at = 0, now

    def _report(self, problem: str) -> None:
        if problem != self._last_problem:
            self._last_problem = problem
            self._log.warning("link down: {}", problem)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    # Requests

    async def _request(self, message: Request) -> cbsp.Message:
        """Send one request; give its answer, of whatever kind."""
        session, pump = self._session, self._pump
        if self._is_draining:
            msg = "the gateway is stopping"
            raise NotSentError(msg)
        if session is None or pump is None or session.state is not State.UP:
            msg = f"{self.peer_id} is not connected"
            raise NotSentError(msg)
        loop = asyncio.get_running_loop()
        token: asyncio.Future[cbsp.Message] = loop.create_future()
        session.request(message, token=token, now=loop.time())
        pump.flush()
        return await token

    async def _ask(
        self, make: Callable[[cbsp.CellList], Request | None], places: Sequence[str]
    ) -> Outcome:
        """Make a request for each kind of place, one after another; give what came of all."""
        outcome = Outcome()
        for cells in cell_lists(places):
            message = make(cells)
            if message is not None:
                outcome.merge(outcome_of(await self._request(message), cells))
        return outcome

    @asynccontextmanager
    async def _exclusive(self, key: Key) -> Any:  # noqa: ANN401 - an async generator
        """Let one order of a message be under way at a time; forget locks that nobody holds."""
        lock, users = self._locks.get(key, (asyncio.Lock(), 0))
        self._locks[key] = (lock, users + 1)
        try:
            async with lock:
                yield
        finally:
            lock, users = self._locks[key]
            if users == 1:
                del self._locks[key]
            else:
                self._locks[key] = (lock, users - 1)

    # Orders

    async def send(self, order: Order, *, seal: str, handle: Handle, is_urgent: bool) -> Report:  # noqa: ARG002 - the seal has no place in CBSP, and nothing waits here
        """Carry out an order; see `domain.ports.CarrierLink`."""
        match order:
            case WriteReplace():
                serial = order.broadcast.serial_number
                key = (order.broadcast.message_identifier, serial.message_code)
                async with self._exclusive(key):
                    self._sent[key] += 1
                    return await self._write(order, key, handle)
            case Stop():
                key = (order.message_identifier, order.message_code)
                async with self._exclusive(key):
                    self._sent[key] += 1
                    return await self._stop(order, key, handle)
            case Submit():
                msg = "a controller takes no short messages"
                raise RejectedError(msg, is_temporary=False)
            case _:
                assert_never(order)

    async def _write(self, order: WriteReplace, key: Key, handle: Handle) -> BroadcastReport:
        own = int(order.broadcast.serial_number)
        older = [version for version in handle.versions if version != own]
        quirks = self._rules.quirks
        may_replace = quirks.replace == "replace" and len(older) == 1
        has_moved = bool(handle.cells) and set(handle.cells) != set(order.area.cells)
        old = older[0] if may_replace and not has_moved else None
        if old is None:
            for version in older:
                await self._kill(key[0], version, handle.cells, is_primary=handle.has_primary)
        if order.primary is not None:
            await self._write_primary(order, old, handle)
        places = order.area.cells
        outcome = await self._ask(
            lambda cells: text_request(order, self._rules, cells, old=old), places
        )
        if old is not None:
            absent = [cell for cell, cause in outcome.failed.items() if cause in quirks.not_there]
            if absent:  # these never had the older version
                outcome.merge(
                    await self._ask(
                        lambda cells: text_request(order, self._rules, cells, old=None), absent
                    )
                )
        if handle.is_recovery:
            outcome.forgive(quirks.already_there)
        self._remember(key, outcome)
        return check_outcome(outcome)

    async def _write_primary(self, order: WriteReplace, old: int | None, handle: Handle) -> None:
        """Send what goes before a text; a text is not held up by what a controller says to it."""
        outcome = await self._ask(
            lambda cells: primary_request(order, cells, old=old), order.area.cells
        )
        quirks = self._rules.quirks
        if old is not None and set(outcome.failed.values()) <= {*quirks.not_there}:
            return  # the older one has ended; phones were told then
        if handle.is_recovery:
            outcome.forgive(quirks.primary_already_there)
        if outcome.failed:
            self._log.warning("no primary notification in {}", ", ".join(describe(outcome.failed)))

    async def _stop(self, order: Stop, key: Key, handle: Handle) -> BroadcastReport:
        places = handle.cells or order.area.cells
        outcome = Outcome()
        for version in handle.versions:
            outcome.merge(
                await self._kill(
                    order.message_identifier, version, places, is_primary=handle.has_primary
                )
            )
        self._broadcasts.pop(key, None)
        if outcome.failed:  # it may still be on air there
            raise RejectedError("; ".join(describe(outcome.failed)), is_temporary=True)
        return BroadcastReport("")

    async def _kill(
        self, identifier: int, version: int, places: Sequence[str], *, is_primary: bool
    ) -> Outcome:
        """Take one version off the air; where it is not, there is nothing to take."""
        not_there = {*self._rules.quirks.not_there, *NOWHERE}
        if is_primary:
            await self._ask(
                lambda cells: kill_request(
                    self._rules, identifier, version, cells, is_primary=True
                ),
                places,
            )
        outcome = await self._ask(
            lambda cells: kill_request(self._rules, identifier, version, cells, is_primary=False),
            places,
        )
        if absent := outcome.forgive(not_there):
            self._log.bind(cells=len(absent)).info("was not on air")
        return outcome

    def _remember(self, key: Key, outcome: Outcome) -> None:
        self._broadcasts[key] = outcome

    # Reload

    async def wait_reload(self) -> None:
        """Return as soon as the controller may have lost something, or it is time to look."""
        try:
            async with asyncio.timeout(self._rules.audit_interval_s):
                await self._reload.wait()
        except TimeoutError:
            await self._ready.wait()
        self._reload.clear()

    async def reload(self, read: Callable[[], Awaitable[OnAir]]) -> Reloaded:
        """Compare what is on air with what should be; see `domain.ports.ReloadingLink`."""
        sent_before = Counter(self._sent)
        on_air = await read()
        resent: dict[str, int] = {}
        for order in on_air.live:
            serial = order.broadcast.serial_number
            key = (order.broadcast.message_identifier, serial.message_code)
            async with self._exclusive(key):
                if self._sent[key] == sent_before[key]:
                    count = await self._reload_one(order, key)
                    if count:
                        resent[order.bulletin_id] = resent.get(order.bulletin_id, 0) + count
        live = {
            (order.broadcast.message_identifier, order.broadcast.serial_number.message_code)
            for order in on_air.live
        }
        for key in [key for key in self._broadcasts if key not in live]:
            if self._sent[key] == sent_before[key]:
                del self._broadcasts[key]  # it has ended by itself
        ended: list[int] = []
        for stale in on_air.ended:
            order = stale.order
            serial = order.broadcast.serial_number
            key = (order.broadcast.message_identifier, serial.message_code)
            async with self._exclusive(key):
                if self._sent[key] == sent_before[key]:
                    await self._kill(
                        key[0],
                        int(serial),
                        order.area.cells,
                        is_primary=order.primary is not None,
                    )
                    self._broadcasts.pop(key, None)
                    ended.append(stale.delivery_id)
        return Reloaded(resent, tuple(ended))

    async def _reload_one(self, order: WriteReplace, key: Key) -> int:
        """Write one message where it is missing; gives in how many cells that was."""
        serial = int(order.broadcast.serial_number)
        outcome = await self._ask(
            lambda cells: status_request(self._rules, key[0], serial, cells), order.area.cells
        )
        not_there = self._rules.quirks.not_there
        missing = [cell for cell, cause in outcome.failed.items() if cause in not_there]
        count = 0
        if missing:
            written = await self._ask(
                lambda cells: text_request(order, self._rules, cells, old=None), missing
            )
            written.forgive(self._rules.quirks.already_there)
            count = len(written.done)
            outcome.merge(written)
            self._log.bind(bulletin=order.bulletin_id, cells=count).warning("written again")
        self._remember(key, outcome)
        return count

    # Looking

    async def ask(self, handle: Handle) -> OnAirReport:
        """Ask in which cells a broadcast is on air, and how often; see `domain.ports.CarrierLink`.

        Spec: TS 48.049 8.1.3.10 (MESSAGE STATUS QUERY).
        """
        newest = SerialNumber.from_int(handle.versions[0])
        identifier = handle.message_identifier
        async with self._exclusive((identifier, newest.message_code)):
            outcome = await self._ask(
                lambda cells: status_request(self._rules, identifier, int(newest), cells),
                handle.cells,
            )
        return on_air_report(outcome)

    async def probe(self) -> float:
        """Prove the way to the controller and back without a public message; gives seconds.

        It is asked for a message that nobody has; that it has none is the answer that proves it.

        Raises:
            NotSentError: no association.
            UnansweredError: no answer in time.
        """
        began = self._now()
        await self._request(
            status_request(self._rules, TEST_MESSAGE_IDENTIFIER, TEST_SERIAL_NUMBER, cbsp.WHOLE_BSS)
        )
        return self._now() - began

    def status(self) -> PeerStatus:
        """Say how the controller stands."""
        now = self._now()
        session = self._session
        up = session is not None and session.state is State.UP
        return PeerStatus(
            peer_id=self.peer_id,
            interface="cbsp",
            role=self._endpoint.role,
            address=f"{self._endpoint.source or self._endpoint.host}:{self._endpoint.port}",
            is_up=up,
            since_s=None if self._changed_at is None else now - self._changed_at,
            answered_s=None if self._answered_at is None else now - self._answered_at,
            round_trip_s=self._round_trip_s,
            broadcasts=len(self._broadcasts),
            cells_on_air=len(set().union(*(one.done for one in self._broadcasts.values()))),
            cells_failed=len(set().union(*(one.failed for one in self._broadcasts.values()))),
            cells_down=tuple(sorted(self._cells_down)),
            problem="" if up else self._last_problem,
        )
