"""The association with one message centre: connect, bind, carry out orders, reconnect."""

import asyncio
import itertools
import ssl
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NoReturn, assert_never

from loguru import logger

from cbgateway.carriers.backoff import Backoff, Turnstile
from cbgateway.carriers.pacing import Pacer
from cbgateway.carriers.pump import Pump
from cbgateway.carriers.smpp.batch import Late, Settled
from cbgateway.carriers.smpp.incoming import incoming
from cbgateway.carriers.smpp.lanes import ANSWER_POLL_S, Lanes
from cbgateway.carriers.smpp.orders import (
    Request,
    broadcast_report,
    broadcast_request,
    query_report,
    query_request,
    reply_requests,
    reply_template,
    stop_request,
    submit_requests,
    submit_template,
)
from cbgateway.carriers.smpp.outbind import Outbind, listening
from cbgateway.carriers.smpp.session import (
    Answered,
    Arrived,
    Bound,
    Closed,
    Congestion,
    Credentials,
    SmppSession,
    State,
    Unanswered,
)
from cbgateway.carriers.smpp.submission import Slice, Submission
from cbgateway.codec import smpp
from cbgateway.codec.smpp_bulk import SubmitTemplate
from cbgateway.domain.errors import NotSentError, UnansweredError
from cbgateway.domain.orders import (
    Handle,
    OnAirReport,
    Order,
    Reply,
    Report,
    Stop,
    Submit,
    SubmitReport,
    WriteReplace,
)
from cbgateway.domain.outcomes import Outcome
from cbgateway.domain.ports import Inbox, PeerStatus
from cbgateway.profiles.models import SmppProfile

CONNECT_TIMEOUT_S = 10
UNBIND_TIMEOUT_S = 0.5
"""How long a goodbye is waited for; a process whose disk failed is gone within a second."""
SLICE_REQUESTS_MAX = 512
"""Requests that are written together; answers are read before the next ones are."""
URGENT_SLOTS = 16
"""Places in the window, beyond the carrier's, that only what waits for nothing may take: as many as
the dispatcher has under way at once, so that none waits for the answer to another."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a message centre listens, and who we are to it.

    Attributes:
        places: host and port of each place where it listens, the likeliest first.
        tls: None speaks SMPP without it.
        server_name: what the centre's certificate is for, where TLS is spoken.
        outbind: where to wait for the centre to connect, instead of connecting to it.
    """

    places: tuple[tuple[str, int], ...]
    credentials: Credentials
    tls: ssl.SSLContext | None = None
    server_name: str | None = None
    outbind: Outbind | None = None

    def turned(self, count: int) -> "Endpoint":
        """Give the same with the first `count` places at the end."""
        at = count % len(self.places)
        return replace(self, places=self.places[at:] + self.places[:at])


class SmppLink:
    """One bind to one SMSC. Implements `domain.ports.CarrierLink`."""

    def __init__(
        self,
        peer_id: str,
        endpoint: Endpoint,
        rules: SmppProfile,
        *,
        random: Callable[[], float],
        inbox: Inbox | None = None,
        turnstile: Turnstile | None = None,
    ) -> None:
        """Make a link; `run` connects it.

        Args:
            peer_id: how the gateway calls the peer.
            endpoint: where it is.
            rules: the carrier's.
            random: gives numbers from 0 up to 1, for jitter.
            inbox: takes what the centre sends; without one, the centre is told to keep it.
            turnstile: what the binds to one centre share, so that they connect one by one.
        """
        self._inbox = inbox
        self._turnstile = turnstile or Turnstile()
        self._arrived: deque[Arrived] = deque()
        self._has_arrived = asyncio.Event()
        self.peer_id = peer_id
        self._endpoint = endpoint
        self._places = itertools.cycle(endpoint.places)
        self._place = endpoint.places[0]
        self._rules = rules
        self._backoff = Backoff(
            delay_min_s=rules.reconnect_delay_min_s,
            delay_max_s=rules.reconnect_delay_max_s,
            random=random,
        )
        self._log = logger.bind(peer=peer_id)
        self._ready = asyncio.Event()
        self._requests_max = rules.window_requests_max
        self._pacer = Pacer(window_max=rules.window_requests_max)
        self._requests_waiting = 0
        self._left: Counter[int] = Counter()  # requests by their broadcast's alias, while some wait
        self._lanes = Lanes(requests_max=rules.window_requests_max)
        self._waiters: set[asyncio.Future[None]] = set()
        self._session: SmppSession | None = None
        self._pump: Pump | None = None
        self._last_problem = ""
        self._is_draining = False
        self._answered_at: float | None = None

    @property
    def window_max(self) -> int:
        """Recipients that one Submit may have: what the centre takes in a while, within bounds."""
        return self._pacer.window

    @property
    def may_send(self) -> bool:
        """Whether requests can be made on a bind of this kind."""
        return self._rules.bind != "receiver"

    @property
    def is_ready(self) -> bool:
        """Whether the message centre has accepted the bind, and requests are still made."""
        return self._ready.is_set() and not self._is_draining

    async def run(self) -> None:
        """Hold the bind up, reconnecting with backoff, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                if self._endpoint.outbind is not None:
                    await self._run_listening(self._endpoint.outbind)
                await asyncio.sleep(self._turnstile.wait_s(now=loop.time()))
                await self._run_once()
            except (OSError, TimeoutError) as error:
                what = "connect" if self._endpoint.outbind is None else "listen"
                self._report(f"cannot {what}: {str(error) or 'timed out'}")
            await asyncio.sleep(self._backoff.next_s(now=loop.time()))

    async def wait_ready(self) -> None:
        """Return as soon as the message centre has accepted the bind."""
        await self._ready.wait()

    def drain(self) -> None:
        """Send nothing new; see `domain.ports.CarrierLink`."""
        self._is_draining = True
        self._tell_waiters()

    async def send(self, order: Order, *, seal: str, handle: Handle, is_urgent: bool) -> Report:
        """Carry out an order; see `domain.ports.CarrierLink`."""
        match order:
            case WriteReplace():
                request = broadcast_request(order, self._rules, seal=seal, handle=handle)
            case Stop():
                request = stop_request(order, self._rules, handle=handle)
            case Submit():
                return await self._submit(order, seal=seal)
            case _:
                assert_never(order)
        pdu = await self._request(request, is_urgent=is_urgent, alias=handle.alias)
        return broadcast_report(pdu, handle=handle)

    async def reply(self, reply: Reply) -> SubmitReport:
        """Answer those who asked, behind bulletins; see `domain.ports.AnsweringLink`."""
        return await self._spread(
            reply,
            reply_template(reply, self._rules),
            lambda recipient: reply_requests(reply, self._rules, recipient=recipient),
            is_answer=True,
        )

    async def probe(self) -> float:
        """Prove the way to the message centre and back by enquire_link; gives seconds.

        Raises:
            NotSentError: no association.
            UnansweredError: no answer in time.
        """
        loop = asyncio.get_running_loop()
        began = loop.time()
        await self._request((smpp.EnquireLink(), ()), is_urgent=True)
        self._answered_at = loop.time()
        return loop.time() - began

    def status(self) -> PeerStatus:
        """Say how the message centre stands."""
        answered_at, outbind = self._answered_at, self._endpoint.outbind
        host, port = self._place if outbind is None else (outbind.host, outbind.port)
        now = asyncio.get_running_loop().time()
        return PeerStatus(
            peer_id=self.peer_id,
            interface="smpp",
            role="connect" if outbind is None else "listen",
            address=f"{host}:{port}",
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

    async def ask(self, handle: Handle) -> OnAirReport:
        """Ask what became of a broadcast; see `domain.ports.CarrierLink`."""
        return query_report(await self._request(query_request(self._rules, handle=handle)))

    async def _run_once(self) -> None:
        """Connect, and come back when the connection is gone."""
        loop = asyncio.get_running_loop()
        session = self._make_session()
        host, port = self._place = next(self._places)
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            _, pump = await loop.create_connection(
                lambda: Pump(session, self._on_event, self._tell_waiters),
                host,
                port,
                ssl=self._endpoint.tls,
                server_hostname=self._endpoint.server_name,
            )
        self._turnstile.passed(now=loop.time())
        await self._hold(session, pump)

    async def _run_listening(self, outbind: Outbind) -> NoReturn:
        """Bind whenever the centre connects and asks for it, one connection at a time.

        Raises:
            OSError: nobody can listen there.
        """
        async with listening(outbind) as take:
            while True:
                transport, octets = await take()
                session = self._make_session()
                pump = Pump(session, self._on_event, self._tell_waiters)
                transport.set_protocol(pump)
                pump.connection_made(transport)
                transport.resume_reading()
                if octets:
                    pump.data_received(octets)
                await self._hold(session, pump)

    def _make_session(self) -> SmppSession:
        return SmppSession(
            self._rules,
            self._endpoint.credentials,
            extra_requests_max=URGENT_SLOTS,
            takes_incoming=self._inbox is not None,
        )

    async def _hold(self, session: SmppSession, pump: Pump) -> None:
        """Carry on with a connection until it is gone."""
        self._session, self._pump = session, pump
        self._arrived.clear()
        taking = asyncio.create_task(self._take_in(session, pump))
        try:
            await asyncio.wait([pump.closed, taking], return_when=asyncio.FIRST_COMPLETED)
            if taking.done():
                taking.result()  # it ends only when the disk has failed
        except asyncio.CancelledError:
            await self._unbind(session, pump)
            raise
        finally:
            self._ready.clear()
            pump.abort()
            taking.cancel()
            await asyncio.wait([taking])

    async def _take_in(self, session: SmppSession, pump: Pump) -> None:
        """Have what has come committed, as much as there is at once, and answer it."""
        inbox = self._inbox
        while inbox is not None:
            await self._has_arrived.wait()
            self._has_arrived.clear()
            arrived = list(self._arrived)
            self._arrived.clear()
            items = [item for one in arrived for item in map(incoming, one.items)]
            are_taken = iter(await inbox.take(self.peer_id, items))
            for one in arrived:
                session.answer(one, list(itertools.islice(are_taken, len(one.items))))
            pump.flush()
        await pump.closed

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
                self._backoff.went_up(now=asyncio.get_running_loop().time())
                self._last_problem = ""
                self._ready.set()
                self._log.bind(system_id=system_id).info("bound")
            case Answered() | Unanswered():
                if isinstance(event, Answered):
                    self._answered_at = asyncio.get_running_loop().time()
                _resolve(event)
            case Settled(token=Slice() as sent):
                self._on_settled(event, sent)
            case Late(token=Slice() as sent):
                bulletin = sent.submission.bulletin_id
                self._log.bind(bulletin=bulletin, outcome=event.outcome.name).debug("answered late")
            case Arrived():
                self._arrived.append(event)
                self._has_arrived.set()
            case Congestion(level=level):
                self._pacer.congested(level, now=asyncio.get_running_loop().time())
            case Closed(reason=reason):
                self._ready.clear()
                self._report(reason)
            case _:
                msg = f"the session told {event!r}, which nobody knows"
                raise AssertionError(msg)
        self._tell_waiters()

    def _on_settled(self, settled: Settled, sent: Slice) -> None:
        now = asyncio.get_running_loop().time()
        self._pacer.answered(
            sent_at=sent.sent_at,
            accepted=settled.accepted,
            throttled=settled.throttled,
            now=now,
        )
        sent.submission.settle(sent.indexes, settled, now=now)

    def _tell_waiters(self) -> None:
        for waiter in self._waiters:
            _wake(waiter)

    async def _change(self, timeout_s: float | None = None) -> None:
        """Wait until something has happened, or for a while."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        timer = None if timeout_s is None else loop.call_later(timeout_s, _wake, waiter)
        self._waiters.add(waiter)
        try:
            await waiter
        finally:
            self._waiters.discard(waiter)
            if timer is not None:
                timer.cancel()

    def _report(self, problem: str) -> None:
        """Log a problem once, not at every attempt."""
        if problem != self._last_problem:
            self._last_problem = problem
            self._log.warning("link down: {}", problem)

    def _bound(self) -> tuple[SmppSession, Pump]:
        """Give the session that requests can be made on.

        Raises:
            NotSentError: there is none, or no more requests are made.
        """
        session, pump = self._session, self._pump
        if self._is_draining:
            msg = "the gateway is stopping"
            raise NotSentError(msg)
        if session is None or pump is None or session.state is not State.BOUND:
            msg = f"{self.peer_id} is not connected"
            raise NotSentError(msg)
        return session, pump

    async def _request(
        self,
        request: Request,
        *,
        is_urgent: bool = False,
        is_answer: bool = False,
        alias: int = 0,
    ) -> smpp.Pdu:
        """Send one request once the window has room; give its answer, of whatever status.

        What is urgent overtakes what waits. Of one broadcast nothing may leave after that: the
        centre would be told of it anew, with nobody to stop it any more.

        Raises:
            NotSentError: there is no connection, or something newer of the broadcast has left.
            UnansweredError: no answer in time.
        """
        body, tlvs = request
        requests_max = self._requests_max + (URGENT_SLOTS if is_urgent else 0)
        self._requests_waiting += not is_answer
        left = self._left[alias]
        try:
            session, pump = self._bound()
            while session.in_flight >= requests_max or (is_answer and self._lanes.is_busy):
                await self._change(ANSWER_POLL_S if is_answer else None)
                session, pump = self._bound()
                if alias and self._left[alias] != left:
                    msg = "something newer of the same broadcast has left"
                    raise NotSentError(msg)
            self._left[alias] += 1
        finally:
            self._requests_waiting -= not is_answer
            if not self._requests_waiting:
                self._left.clear()
        loop = asyncio.get_running_loop()
        token: asyncio.Future[smpp.Pdu] = loop.create_future()
        session.request(body, tlvs, token=token, now=loop.time())
        pump.flush()
        return await token

    async def _submit(self, order: Submit, *, seal: str) -> SubmitReport:
        """Send to every recipient, as fast as the message centre takes it."""
        return await self._spread(
            order,
            submit_template(order, self._rules, seal=seal),
            lambda recipient: submit_requests(order, self._rules, recipient=recipient, seal=seal),
            is_answer=False,
        )

    async def _spread(
        self,
        order: Submit | Reply,
        template: SubmitTemplate,
        requests_of: Callable[[str], Sequence[Request]],
        *,
        is_answer: bool,
    ) -> SubmitReport:
        """Send one text to every recipient, slice by slice."""
        loop = asyncio.get_running_loop()
        submission = Submission(order, now=loop.time(), parts=template.parts)
        with self._lanes.holding(submission, is_answer=is_answer):
            if template.parts > self._requests_max:
                await self._submit_by_parts(submission, template, requests_of, is_answer=is_answer)
            while submission.waiting or submission.in_flight:
                wait_s = ANSWER_POLL_S if is_answer else None
                if submission.waiting:
                    try:
                        count, wait_s = self._room(template, now=loop.time(), is_answer=is_answer)
                    except NotSentError:
                        submission.stop()
                        continue
                    if count:
                        self._send_slice(submission, template, count)
                        await asyncio.sleep(0)  # answers are read in between
                        continue
                await self._change(wait_s)
        if not submission.has_sent:
            msg = f"{self.peer_id} is not connected"
            raise NotSentError(msg)
        return submission.report()

    def _room(
        self, template: SubmitTemplate, *, now: float, is_answer: bool
    ) -> tuple[int, float | None]:
        """Say how many messages may leave now, or how long to wait; None is for an event.

        Requests that wait come first, then bulletins, then answers.

        Raises:
            NotSentError: there is no connection.
        """
        session, pump = self._bound()
        room = self._requests_max - session.in_flight - self._requests_waiting
        nothing_yet = ANSWER_POLL_S if is_answer else None
        if is_answer:
            room = min(room, self._lanes.room(template.parts, now=now))
        else:
            self._lanes.bulletin_at = now
        if room < template.parts or not pump.is_writable:
            return 0, nothing_yet
        count, wait_s = self._pacer.allowance(in_flight=session.in_flight_of_ranges, now=now)
        if not count:
            return 0, nothing_yet if wait_s is None else wait_s
        messages = max(1, min(count, SLICE_REQUESTS_MAX) // template.parts)
        return min(messages, room // template.parts), None

    def _send_slice(self, submission: Submission, template: SubmitTemplate, count: int) -> None:
        session, pump = self._bound()
        now = asyncio.get_running_loop().time()
        indexes = submission.take(count)
        recipients = submission.recipients
        numbers = (
            recipients[indexes.start : indexes.stop]
            if isinstance(indexes, range)
            else [recipients[index] for index in indexes]
        )
        sent = Slice(submission, indexes, now)
        session.request_many(template, numbers, token=sent, now=now)
        self._pacer.sent(len(numbers) * template.parts, now=now)
        pump.flush()

    async def _submit_by_parts(
        self,
        submission: Submission,
        template: SubmitTemplate,
        requests_of: Callable[[str], Sequence[Request]],
        *,
        is_answer: bool,
    ) -> None:
        """Send messages whose parts do not fit the window together: each part is waited for."""
        while submission.waiting:
            (index,) = submission.take(1)
            outcome, status = Outcome.ACCEPTED, None
            ids: list[bytes] = []
            for part, request in enumerate(requests_of(submission.recipients[index])):
                outcome, status, name = await self._submit_part(
                    request, is_first=not part, is_answer=is_answer
                )
                ids.append(name)
                if outcome is not Outcome.ACCEPTED:
                    break
            submission.settle_one(index, outcome, status, ids if template.wants_receipts else ())

    async def _submit_part(
        self, request: Request, *, is_first: bool, is_answer: bool
    ) -> tuple[Outcome, smpp.Status | int | None, bytes]:
        """Send one part; once a part has left, the message may arrive."""
        put_off = Outcome.UNSENT if is_first else Outcome.IN_DOUBT
        try:
            pdu = await self._request(request, is_answer=is_answer)
        except NotSentError:
            return put_off, None, b""
        except UnansweredError:
            return Outcome.IN_DOUBT, None, b""
        status, body = pdu.command_status, pdu.body
        if status == smpp.Status.ESME_ROK and isinstance(body, smpp.SubmitSmResp):
            return Outcome.ACCEPTED, None, body.message_id.encode("ascii")
        return (put_off if status in smpp.RETRYABLE else Outcome.REFUSED), status, b""


def _resolve(event: Answered | Unanswered) -> None:
    """Tell whoever made a request what came of it, if somebody still waits."""
    token: asyncio.Future[smpp.Pdu] = event.token
    if token.done():
        return
    if isinstance(event, Answered):
        token.set_result(event.pdu)
    else:
        token.set_exception(UnansweredError("sent, and no answer came"))


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
