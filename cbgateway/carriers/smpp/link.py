"""The association with one message centre: connect, bind, carry out orders, reconnect."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import assert_never

from loguru import logger

from cbgateway.carriers.backoff import Backoff
from cbgateway.carriers.pump import Pump
from cbgateway.carriers.smpp.orders import (
    Request,
    broadcast_report,
    broadcast_request,
    check_status,
    stop_request,
    submit_requests,
)
from cbgateway.carriers.smpp.session import (
    Answered,
    Bound,
    Closed,
    Credentials,
    SmppSession,
    State,
    Unanswered,
)
from cbgateway.codec import smpp
from cbgateway.domain.errors import NotSentError, RejectedError, UnansweredError
from cbgateway.domain.orders import (
    Handle,
    Order,
    Report,
    Stop,
    Submit,
    SubmitReport,
    WriteReplace,
)
from cbgateway.domain.outcomes import Outcome
from cbgateway.domain.ports import PeerStatus
from cbgateway.profiles.models import SmppProfile

CONNECT_TIMEOUT_S = 10
UNBIND_TIMEOUT_S = 0.5
"""How long a goodbye is waited for; a process whose disk failed is gone within a second."""
URGENT_SLOTS = 16
"""Places in the window, beyond the carrier's, that only what waits for nothing may take: as many as
the dispatcher has under way at once, so that none waits for the answer to another."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a message centre listens, and who we are to it."""

    host: str
    port: int
    credentials: Credentials


class SmppLink:
    """One bind to one SMSC. Implements `domain.ports.CarrierLink`."""

    def __init__(
        self,
        peer_id: str,
        endpoint: Endpoint,
        rules: SmppProfile,
        *,
        random: Callable[[], float],
    ) -> None:
        """Make a link; `run` connects it.

        Args:
            peer_id: how the gateway calls the peer.
            endpoint: where it is.
            rules: the carrier's.
            random: gives numbers from 0 up to 1, for jitter.
        """
        self.peer_id = peer_id
        self.window_max = rules.window_requests_max
        self._endpoint = endpoint
        self._rules = rules
        self._backoff = Backoff(
            delay_min_s=rules.reconnect_delay_min_s,
            delay_max_s=rules.reconnect_delay_max_s,
            random=random,
        )
        self._log = logger.bind(peer=peer_id)
        self._ready = asyncio.Event()
        self._slots = asyncio.Semaphore(rules.window_requests_max)
        self._urgent_slots = asyncio.Semaphore(URGENT_SLOTS)
        self._session: SmppSession | None = None
        self._pump: Pump | None = None
        self._last_problem = ""
        self._is_draining = False
        self._answered_at: float | None = None

    async def run(self) -> None:
        """Hold the bind up, reconnecting with backoff, until cancelled."""
        while True:
            try:
                await self._run_once()
            except (OSError, TimeoutError) as error:
                self._report(f"cannot connect: {str(error) or 'timed out'}")
            await asyncio.sleep(self._backoff.next_s())

    async def wait_ready(self) -> None:
        """Return as soon as the message centre has accepted the bind."""
        await self._ready.wait()

    def drain(self) -> None:
        """Send nothing new; see `domain.ports.CarrierLink`."""
        self._is_draining = True

    async def send(self, order: Order, *, seal: str, handle: Handle, is_urgent: bool) -> Report:
        """Carry out an order; see `domain.ports.CarrierLink`."""
        slots = self._urgent_slots if is_urgent else self._slots
        match order:
            case WriteReplace():
                request = broadcast_request(order, self._rules, seal=seal, handle=handle)
            case Stop():
                request = stop_request(order, self._rules, handle=handle)
            case Submit():
                return await self._submit(order, seal=seal, slots=slots)
            case _:
                assert_never(order)
        pdu = await self._request(request, slots)
        return broadcast_report(pdu, handle=handle)

    async def probe(self) -> float:
        """Prove the way to the message centre and back by enquire_link; gives seconds.

        Raises:
            NotSentError: no association.
            UnansweredError: no answer in time.
        """
        loop = asyncio.get_running_loop()
        began = loop.time()
        await self._request((smpp.EnquireLink(), ()), self._urgent_slots)
        self._answered_at = loop.time()
        return loop.time() - began

    def status(self) -> PeerStatus:
        """Say how the message centre stands."""
        answered_at = self._answered_at
        now = asyncio.get_running_loop().time()
        return PeerStatus(
            peer_id=self.peer_id,
            interface="smpp",
            role="connect",
            address=f"{self._endpoint.host}:{self._endpoint.port}",
            is_up=self._ready.is_set(),
            since_s=None,
            answered_s=None if answered_at is None else now - answered_at,
            round_trip_s=None,
            broadcasts=0,
            cells_on_air=0,
            cells_failed=0,
            cells_down=(),
            problem=self._last_problem,
        )

    async def _run_once(self) -> None:
        """Connect, and come back when the connection is gone."""
        loop = asyncio.get_running_loop()
        session = SmppSession(
            self._rules, self._endpoint.credentials, extra_requests_max=URGENT_SLOTS
        )
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            _, pump = await loop.create_connection(
                lambda: Pump(session, self._on_event), self._endpoint.host, self._endpoint.port
            )
        self._session, self._pump = session, pump
        try:
            await asyncio.shield(pump.closed)
        except asyncio.CancelledError:
            await self._unbind(session, pump)
            raise
        finally:
            self._ready.clear()
            pump.abort()

    async def _unbind(self, session: SmppSession, pump: Pump) -> None:
        """Say goodbye, but do not wait for ever for the answer."""
        self._ready.clear()
        session.unbind(now=asyncio.get_running_loop().time())
        pump.flush()
        try:
            async with asyncio.timeout(UNBIND_TIMEOUT_S):
                await asyncio.shield(pump.closed)
        except TimeoutError:
            self._log.warning("no answer to unbind")

    def _on_event(self, event: object) -> None:
        match event:
            case Bound(system_id=system_id):
                self._backoff.reset()
                self._last_problem = ""
                self._ready.set()
                self._log.bind(system_id=system_id).info("bound")
            case Answered(token=token, pdu=pdu):
                self._answered_at = asyncio.get_running_loop().time()
                if not token.done():
                    token.set_result(pdu)
            case Unanswered(token=token):
                if not token.done():
                    token.set_exception(UnansweredError("sent, and no answer came"))
            case Closed(reason=reason):
                self._ready.clear()
                self._report(reason)
            case _:
                msg = f"the session told {event!r}, which nobody knows"
                raise AssertionError(msg)

    def _report(self, problem: str) -> None:
        """Log a problem once, not at every attempt."""
        if problem != self._last_problem:
            self._last_problem = problem
            self._log.warning("link down: {}", problem)

    async def _request(self, request: Request, slots: asyncio.Semaphore) -> smpp.Pdu:
        """Send one request once the window has room; give its answer, of whatever status."""
        body, tlvs = request
        async with slots:
            session, pump = self._session, self._pump
            if self._is_draining:
                msg = "the gateway is stopping"
                raise NotSentError(msg)
            if session is None or pump is None or session.state is not State.BOUND:
                msg = f"{self.peer_id} is not connected"
                raise NotSentError(msg)
            loop = asyncio.get_running_loop()
            token: asyncio.Future[smpp.Pdu] = loop.create_future()
            session.request(body, tlvs, token=token, now=loop.time())
            pump.flush()
            return await token

    async def _submit(self, order: Submit, *, seal: str, slots: asyncio.Semaphore) -> SubmitReport:
        """Send to every recipient, side by side; after one that has to wait, no other begins."""
        octets = bytearray([Outcome.UNSENT]) * len(order.recipients)
        causes: Counter[str] = Counter()
        waiting = iter(range(len(order.recipients)))
        async with asyncio.TaskGroup() as group:
            for _ in range(min(self._rules.window_requests_max, len(order.recipients))):
                group.create_task(self._submit_some(order, seal, slots, waiting, octets, causes))
        if not causes and octets.count(Outcome.UNSENT) == len(octets):
            msg = f"{self.peer_id} is not connected"
            raise NotSentError(msg)
        return SubmitReport(bytes(octets), causes)

    async def _submit_some(
        self,
        order: Submit,
        seal: str,
        slots: asyncio.Semaphore,
        waiting: Iterator[int],
        octets: bytearray,
        causes: Counter[str],
    ) -> None:
        for index in waiting:
            requests = submit_requests(
                order, self._rules, recipient=order.recipients[index], seal=seal
            )
            octets[index] = await self._submit_one(requests, slots, causes)
            if octets[index] == Outcome.UNSENT:
                return  # this one and all after it stay UNSENT

    async def _submit_one(
        self, requests: list[Request], slots: asyncio.Semaphore, causes: Counter[str]
    ) -> Outcome:
        """Send all parts of one message; once a part has left, the message may arrive."""
        has_left = False
        for request in requests:
            try:
                check_status(await self._request(request, slots))
            except NotSentError:
                return Outcome.IN_DOUBT if has_left else Outcome.UNSENT
            except UnansweredError:
                return Outcome.IN_DOUBT
            except RejectedError as error:
                causes[error.cause] += 1
                if has_left:
                    return Outcome.IN_DOUBT if error.is_temporary else Outcome.REFUSED
                return Outcome.UNSENT if error.is_temporary else Outcome.REFUSED
            has_left = True
        return Outcome.ACCEPTED
