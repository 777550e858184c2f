"""Several binds as one link: spread, failed over, and broadcasts kept to one of them."""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from cbgateway.app import load_checked_profiles
from cbgateway.carriers.registry import make_link
from cbgateway.carriers.smpp.group import SmppGroup
from cbgateway.codec import smpp
from cbgateway.domain.errors import NotSentError
from cbgateway.domain.orders import (
    Area,
    BroadcastReport,
    Handle,
    OnAirReport,
    Order,
    Stop,
    Submit,
    SubmitReport,
)
from cbgateway.domain.outcomes import Outcome
from cbgateway.profiles.models import SmppProfile

CARRIER = load_checked_profiles(None).carriers["kt"]
SUBMIT = Submit(
    bulletin_id="inc-1/1",
    alert_class="safety",
    area=Area("KR-26", {"ko": "부산", "en": "Busan"}),
    language="ko",
    text="장애",
    recipients=tuple(f"8210{n:08d}" for n in range(10)),
    expires_at=datetime(2021, 10, 25, 4, 0, tzinfo=UTC),
)
STOP = Stop(
    bulletin_id="inc-1/2",
    alert_class="safety",
    area=SUBMIT.area,
    expires_at=SUBMIT.expires_at,
    message_identifier=4372,
    message_code=1,
)


@dataclass
class Bind:
    """A bind that answers as it is told."""

    window_max: int = 100
    is_ready: bool = True
    may_send: bool = True
    answer: Callable[["Bind", Submit], SubmitReport] | None = None
    orders: list[Order] = field(default_factory=list)
    is_drained: bool = False
    is_running: bool = False

    async def run(self) -> None:
        """Be there until cancelled."""
        self.is_running = True
        try:
            await asyncio.Event().wait()
        finally:
            self.is_running = False

    async def wait_ready(self) -> None:
        """Wait for ever when not ready."""
        if not self.is_ready:
            await asyncio.Event().wait()

    def drain(self) -> None:
        """Note it."""
        self.is_drained = True

    async def ask(self, handle: Handle) -> OnAirReport:
        """Tell which bind was asked."""
        return OnAirReport(None, ((handle.name, self.window_max),))

    async def send(self, order: Order, **_named: Any) -> Any:
        """Answer as told, or say yes."""
        self.orders.append(order)
        if not self.is_ready:
            message = "not connected"
            raise NotSentError(message)
        if not isinstance(order, Submit):
            return BroadcastReport("ref")
        if self.answer is not None:
            return self.answer(self, order)
        return SubmitReport(bytes([Outcome.ACCEPTED]) * len(order.recipients), {})

    @property
    def recipients(self) -> list[str]:
        """Who was sent to."""
        return [one for order in self.orders for one in order.recipients]  # type: ignore[union-attr]


def send(group: SmppGroup, order: Order) -> Any:
    """Have a group carry out an order."""
    return asyncio.run(group.send(order, seal="", handle=Handle(name="b"), is_urgent=False))


def test_window_is_spread_by_what_each_bind_takes() -> None:
    """Everybody gets one message, most of them on the bind that takes three times more."""
    binds: Any = [Bind(window_max=100), Bind(window_max=300), Bind(may_send=False), Bind()]
    binds[3].is_ready = False
    group = SmppGroup("kt", binds)

    report = send(group, SUBMIT)

    assert bytes([Outcome.ACCEPTED] * 10) == report.outcomes
    assert [2, 8, 0, 0] == [len(bind.recipients) for bind in binds]
    assert SUBMIT.recipients == (*binds[0].recipients, *binds[1].recipients)
    assert 400 == group.window_max


def test_ids_are_joined_in_the_order_of_recipients() -> None:
    """Whichever bind a message took, its parts are known by what the centre called them there."""

    def name(bind: Bind, order: Submit) -> SubmitReport:
        ids = [f"{number[-1]}{part}".encode() for number in order.recipients for part in "ab"]
        return SubmitReport(bytes([Outcome.ACCEPTED]) * len(order.recipients), {}, 2, ids)

    report = send(SmppGroup("kt", [Bind(answer=name), Bind(answer=name)]), SUBMIT)

    assert report.parts == 2
    assert report.ids == [f"{n}{part}".encode() for n in range(10) for part in "ab"]


def test_one_recipient_goes_to_one_bind() -> None:
    """A probe after something was in doubt: the other bind is not asked with nobody."""
    binds: Any = [Bind(), Bind()]
    group = SmppGroup("kt", binds)

    send(group, replace(SUBMIT, recipients=("821012345678",)))

    assert 1 == sum(len(bind.orders) for bind in binds)


def test_what_a_lost_bind_has_not_sent_goes_out_on_another() -> None:
    """What it may have sent stays in doubt; refusals of both are added up."""

    def lose(bind: Bind, order: Submit) -> SubmitReport:
        bind.is_ready = False
        doubt = [Outcome.IN_DOUBT, Outcome.REFUSED]
        rest = [Outcome.UNSENT] * (len(order.recipients) - 2)
        return SubmitReport(bytes([*doubt, *rest]), {"ESME_RINVDSTADR": 1})

    def refuse(_bind: Bind, order: Submit) -> SubmitReport:
        octets = bytes([Outcome.REFUSED] + [Outcome.ACCEPTED] * (len(order.recipients) - 1))
        return SubmitReport(octets, {"ESME_RINVDSTADR": 1})

    binds: Any = [Bind(answer=lose), Bind(answer=refuse)]

    report = send(SmppGroup("kt", binds), SUBMIT)

    assert [3, 2, 2, 1, 1, 2, 1, 1, 1, 1] == list(report.outcomes)
    assert {"ESME_RINVDSTADR": 3} == dict(report.causes)
    assert SUBMIT.recipients[2:5] == binds[1].orders[1].recipients


def test_names_of_messages_stay_with_their_recipients() -> None:
    """Two parts each, in the order's sequence, whichever bind sent them; empty where refused."""

    def named(bind: Bind, order: Submit) -> SubmitReport:
        ids = [f"{number}-{part}".encode() for number in order.recipients for part in (1, 2)]
        octets = [Outcome.ACCEPTED] * len(order.recipients)
        if bind is binds[0] and bind.is_ready:
            bind.is_ready = False
            octets[1:], ids[2:] = [Outcome.UNSENT] * 4, [b""] * 8
        if order.recipients[0] == SUBMIT.recipients[5]:
            octets[0], ids[:2] = Outcome.REFUSED, [b"", b""]
        return SubmitReport(bytes(octets), {}, 2, ids)

    binds: Any = [Bind(answer=named), Bind(answer=named)]

    report = send(SmppGroup("kt", binds), SUBMIT)

    expected = [
        b"" if number == SUBMIT.recipients[5] else f"{number}-{part}".encode()
        for number in SUBMIT.recipients
        for part in (1, 2)
    ]
    assert 2 == report.parts
    assert expected == list(report.ids)
    assert [1, 1, 1, 1, 1, 2, 1, 1, 1, 1] == list(report.outcomes)


def test_share_of_a_bind_that_is_gone_at_once_goes_out_on_another() -> None:
    """A bind may go down between the look at it and the sending."""
    gone, other = Bind(), Bind()

    def vanish(bind: Bind, _order: Submit) -> SubmitReport:
        bind.is_ready = False
        message = "not connected"
        raise NotSentError(message)

    gone.answer = vanish
    binds: Any = [gone, other]

    report = send(SmppGroup("kt", binds), SUBMIT)

    assert bytes([Outcome.ACCEPTED] * 10) == report.outcomes
    assert sorted(SUBMIT.recipients) == sorted(other.recipients)


def test_what_a_bind_that_is_up_could_not_take_comes_back_unsent() -> None:
    """The centre has no room: to ask another bind of the same centre at once would not help."""

    def full(_bind: Bind, order: Submit) -> SubmitReport:
        return SubmitReport(bytes([Outcome.UNSENT]) * len(order.recipients), {})

    binds: Any = [Bind(answer=full), Bind()]

    report = send(SmppGroup("kt", binds), SUBMIT)

    assert [0] * 5 + [1] * 5 == list(report.outcomes)


def test_nothing_is_sent_without_a_bind() -> None:
    """The order may be tried again at will."""
    binds: Any = [Bind(is_ready=False), Bind(is_ready=False, window_max=7)]
    group = SmppGroup("kt", binds)

    assert 100 == group.window_max
    for order in (SUBMIT, STOP):
        with pytest.raises(NotSentError):
            send(group, order)


def test_broadcasts_keep_to_one_bind_as_long_as_it_is_up() -> None:
    """Else a stop could overtake what it stops: also when the first bind comes back."""
    first, second = Bind(), Bind()
    binds: Any = [first, second]
    group = SmppGroup("kt", binds)
    send(group, STOP)
    first.is_ready = False
    send(group, STOP)
    first.is_ready = True
    send(group, STOP)

    assert (1, 2) == (len(first.orders), len(second.orders))


def test_bind_that_broadcasts_is_asked_about_them() -> None:
    """Another one when it is down."""
    first, second = Bind(window_max=1), Bind(window_max=2)
    binds: Any = [first, second]
    group = SmppGroup("kt", binds)
    told = [asyncio.run(group.ask(Handle(name="b")))]
    first.is_ready = False
    told.append(asyncio.run(group.ask(Handle(name="b"))))

    assert [OnAirReport(None, (("b", number),)) for number in (1, 2)] == told


def test_group_is_ready_with_its_first_bind_and_ends_with_all() -> None:
    """A receiver alone is not enough to send."""
    binds: Any = [Bind(is_ready=False), Bind(may_send=False), Bind()]
    group = SmppGroup("kt", binds)

    async def run() -> list[bool]:
        task = asyncio.create_task(group.run())
        async with asyncio.timeout(10):
            await group.wait_ready()
        await asyncio.wait([task], timeout=0.01)
        running = [bind.is_running for bind in binds]
        group.drain()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        return running

    assert [True] * 3 == asyncio.run(run())
    assert [False] * 3 == [bind.is_running for bind in binds]
    assert [True] * 3 == [bind.is_drained for bind in binds]


def test_profile_of_several_binds_makes_them_all() -> None:
    """A centre sees each kind bind, messages on those that send, and each say goodbye."""
    seen: list[smpp.Body] = []

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        framer = smpp.Framer()
        with contextlib.suppress(OSError):
            while octets := await reader.read(65536):
                for pdu in framer.receive(octets):
                    assert isinstance(pdu, smpp.Pdu)
                    seen.append(pdu.body)
                    reply = smpp.Pdu(smpp.response_to(pdu.body), pdu.sequence_number)
                    writer.write(smpp.encode(reply))
        writer.close()

    async def run() -> Any:
        server = await asyncio.start_server(converse, "127.0.0.1", 0)
        rules = CARRIER.smpp.model_copy(
            update={"bind": "transmitter", "more_binds": ("transceiver", "receiver")}
        )
        link = make_link(
            CARRIER.model_copy(update={"smpp": rules}),
            places=[("127.0.0.1", server.sockets[0].getsockname()[1])],
            system_id="gateway",
            password="secret",
            random=lambda: 0.5,
        )
        task = asyncio.create_task(link.run())
        async with asyncio.timeout(10):
            while len(seen) < 3:
                await asyncio.wait([task], timeout=0.01)
            await link.wait_ready()
            report = await link.send(SUBMIT, seal="", handle=Handle(), is_urgent=False)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        server.close()
        return report

    report = asyncio.run(run())

    assert bytes([Outcome.ACCEPTED] * 10) == report.outcomes
    binds = {type(body) for body in seen[:3]}
    assert {smpp.BindTransmitter, smpp.BindTransceiver, smpp.BindReceiver} == binds
    assert 10 == sum(isinstance(body, smpp.SubmitSm) for body in seen)
    assert 3 == sum(isinstance(body, smpp.Unbind) for body in seen)


def test_first_bind_of_a_profile_has_to_send() -> None:
    """A receiver may only stand beside one that does."""
    facts = CARRIER.smpp.model_dump()

    assert ("receiver",) == SmppProfile.model_validate(
        facts | {"more_binds": ["receiver"]}
    ).more_binds
    with pytest.raises(ValidationError, match="nothing can be sent on a receiver"):
        SmppProfile.model_validate(facts | {"bind": "receiver"})
    with pytest.raises(ValidationError, match="more_binds"):
        SmppProfile.model_validate(facts | {"more_binds": ["transmitter"] * 8})
