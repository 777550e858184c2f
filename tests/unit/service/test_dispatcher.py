"""Dispatch: INTENT before sending, the outcome after, and what crashes and refusals leave."""

import asyncio
import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from cbgateway.domain.bulletin import Mode
from cbgateway.domain.errors import (
    ExpiredError,
    ModeMismatchError,
    NotSentError,
    RejectedError,
    SignatureInvalidError,
    UnansweredError,
    UnknownNameError,
)
from cbgateway.domain.incoming import AreaOnAir, MessageState
from cbgateway.domain.lifecycle import DeliveryState
from cbgateway.domain.orders import (
    BroadcastReport,
    Handle,
    OnAirReport,
    Order,
    Report,
    Stop,
    Submit,
    SubmitReport,
    WriteReplace,
)
from cbgateway.domain.outcomes import Outcome
from cbgateway.service import planning
from cbgateway.service.dispatcher import Dispatcher
from cbgateway.service.pacing import Pacer
from cbgateway.service.reports import bulletin_report, incident_report, on_air_report
from cbgateway.service.sendable import check_sendable

ROUNDS_MAX = 1000


@dataclass
class Call:
    """One order as a link was asked to carry it out."""

    order: Order
    seal: str
    handle: Handle
    state_in_store: DeliveryState


@dataclass
class ScriptedLink:
    """A link that answers as it is told and remembers what it was asked."""

    peer_id: str
    answer: Callable[[Order], Report]
    office: Any
    is_ready: asyncio.Event = field(default_factory=asyncio.Event)
    calls: list[Call] = field(default_factory=list)
    asked: list[Handle] = field(default_factory=list)
    told: OnAirReport | Exception = field(
        default_factory=lambda: OnAirReport(MessageState.ENROUTE, (AreaOnAir("KR-26", 98),))
    )
    is_draining: bool = False
    window_max: int = 10

    async def run(self) -> None:
        """Have nothing to hold up."""
        await asyncio.Event().wait()

    def drain(self) -> None:
        """Note that the end is near."""
        self.is_draining = True

    async def wait_ready(self) -> None:
        """Wait until the test lets the peer be reached."""
        await self.is_ready.wait()

    async def ask(self, handle: Handle) -> OnAirReport:
        """Tell as told."""
        self.asked.append(handle)
        if isinstance(self.told, Exception):
            raise self.told
        return self.told

    async def send(self, order: Order, *, seal: str, handle: Handle, is_urgent: bool) -> Report:
        """Answer as told."""
        with self.office.gateway.store.read() as tx:
            states = {
                row.state
                for row in tx.deliveries(order.bulletin_id)
                if row.order and row.seal == seal
            }
        in_store = DeliveryState.INTENT if DeliveryState.INTENT in states else DeliveryState.READY
        self.calls.append(Call(order, seal, handle, in_store))
        return self.answer(order)


def accept(order: Order) -> Report:
    """Say yes to everything."""
    if isinstance(order, Submit):
        return SubmitReport(bytes([Outcome.ACCEPTED]) * len(order.recipients), {})
    return BroadcastReport(reference(order))


def reference(order: Order) -> str:
    """Give a name that no other broadcast has."""
    identifier = order.broadcast.message_identifier if isinstance(order, WriteReplace) else ""
    return f"ref-{order.bulletin_id}-{order.area.code}-{identifier}"


def run_until(
    office: Any,
    links: dict[str, ScriptedLink],
    is_done: Callable[[tuple[Any, ...]], bool],
    *,
    step: Callable[[], None] = lambda: None,
) -> tuple[Any, ...]:
    """Run a dispatcher until the deliveries look as wanted; the rounds are bounded."""

    async def run() -> tuple[Any, ...]:
        dispatcher = Dispatcher(
            office.gateway.store,
            office.gateway.deployment,
            links,
            clock=office.clock,
            random=lambda: 0.5,
        )
        for link in links.values():
            link.is_ready = asyncio.Event()
            link.is_ready.set()
        stop = asyncio.Event()
        task = asyncio.create_task(dispatcher.run(stop))
        try:
            for _ in range(ROUNDS_MAX):
                with office.gateway.store.read() as tx:
                    rows: tuple[Any, ...] = tx.deliveries()
                if is_done(rows):
                    return rows
                assert not task.done(), task.exception()
                step()
                await asyncio.wait([task], timeout=0.01)
        finally:
            stop.set()
            async with asyncio.timeout(10):
                await task
        pytest.fail(f"not reached: {[(row.delivery_id, row.state) for row in rows]}")

    return asyncio.run(run())


def states(rows: tuple[Any, ...], peer: str = "kt") -> set[DeliveryState]:
    """Give the states of a peer's deliveries."""
    return {row.state for row in rows if row.lineage.peer_id == peer}


def test_intent_is_committed_before_the_first_octet(office: Any) -> None:
    """When a link is asked, the store says INTENT; afterwards ACKED with the peer's reference."""
    link = ScriptedLink("kt", accept, office)
    office.issue(office.document())

    rows = run_until(office, {"kt": link}, lambda rows: states(rows) == {DeliveryState.ACKED})

    assert [call.state_in_store for call in link.calls] == [DeliveryState.INTENT] * 2
    assert {row.peer_reference for row in rows if row.lineage.peer_id == "kt"} == {
        reference(call.order) for call in link.calls
    }
    assert states(rows, "skt") == {DeliveryState.READY}


def test_update_replaces_what_the_peer_has(office: Any) -> None:
    """A newer version is sent as the replacement of the one that was acknowledged."""
    link = ScriptedLink("kt", accept, office)
    office.issue(office.document())
    run_until(office, {"kt": link}, lambda rows: states(rows) == {DeliveryState.ACKED})
    office.issue(office.later("progress"))

    run_until(office, {"kt": link}, lambda rows: len(link.calls) == 4)

    assert {call.handle.name for call in link.calls[:2]} == {""}
    assert {call.handle.name for call in link.calls[2:]} == {
        reference(call.order) for call in link.calls[:2]
    }


def test_returning_peer_gets_only_the_newest(office: Any) -> None:
    """Three bulletins while a carrier was down: it gets the third, once, as a new broadcast."""
    link = ScriptedLink("kt", accept, office)
    for document in (office.document(), office.later("progress"), office.later("eta_change")):
        office.issue(document)

    run_until(office, {"kt": link}, lambda rows: DeliveryState.ACKED in states(rows))

    assert {call.order.bulletin_id for call in link.calls} == {"inc-1/3"}
    assert {call.handle.name for call in link.calls} == {""}


def test_withdrawal_stops_by_reference(office: Any) -> None:
    """A stop order names what the peer has on air; where nothing was, it is CANCELLED."""
    link = ScriptedLink("kt", accept, office)
    office.issue(office.document())
    run_until(office, {"kt": link}, lambda rows: states(rows) == {DeliveryState.ACKED})
    office.issue(office.later("withdrawal"))
    other = ScriptedLink("skt", accept, office)

    rows = run_until(
        office,
        {"kt": link, "skt": other},
        lambda rows: DeliveryState.CANCELLED in states(rows, "skt") and len(link.calls) == 4,
    )

    assert all(isinstance(call.order, Stop) for call in link.calls[2:])
    assert {call.handle.name for call in link.calls[2:]} == {
        reference(call.order) for call in link.calls[:2]
    }
    assert other.calls == []
    assert DeliveryState.SUPERSEDED in states(rows, "skt")


def test_unanswered_broadcast_is_in_doubt_then_sent_again_unchanged(office: Any) -> None:
    """Phones know a repeat by its serial number, so the same order goes out again."""
    answers = iter([UnansweredError("nothing came"), UnansweredError("nothing came")])

    def first_silent(order: Order) -> Report:
        for error in answers:
            raise error
        return accept(order)

    link = ScriptedLink("kt", first_silent, office)
    office.issue(office.document())

    rows = run_until(office, {"kt": link}, lambda rows: states(rows) == {DeliveryState.IN_DOUBT})
    assert {row.reason for row in rows if row.lineage.peer_id == "kt"} == {"nothing came"}
    run_until(
        office,
        {"kt": link},
        lambda rows: states(rows) == {DeliveryState.ACKED},
        step=lambda: office.clock.advance(1),
    )

    assert link.calls[0].order == link.calls[2].order
    assert len(link.calls) == 4
    assert [call.handle.may_be_on_air for call in link.calls] == [False, False, True, True]


def test_crash_while_sending_leaves_intent_which_recovery_resolves(office: Any) -> None:
    """A broadcast that a crash left in INTENT is sent again, as a replacement of itself."""
    office.issue(office.document())
    with office.gateway.store.transaction() as tx:
        for row in tx.due("kt", at=office.clock.now(), limit=10, with_sms=True, rank_max=9):
            tx.settle(row, DeliveryState.INTENT, at=office.clock.now(), is_on_air=True)
    link = ScriptedLink("kt", accept, office)

    run_until(office, {"kt": link}, lambda rows: states(rows) == {DeliveryState.ACKED})

    assert all(isinstance(call.order, WriteReplace) for call in link.calls)
    assert [(call.handle.name, call.handle.may_be_on_air) for call in link.calls] == [
        ("", True),
        ("", True),
    ]
    assert all(call.handle.alias for call in link.calls)


def test_temporary_refusals_are_retried_until_it_expires(
    office: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A peer that always throttles is asked again with growing pauses; nobody gives up early."""
    monkeypatch.setattr("cbgateway.service.dispatcher.POLL_INTERVAL_S", 0.001)
    monkeypatch.setattr("cbgateway.service.dispatcher.SWEEP_INTERVAL_S", 0.0)

    def throttle(order: Order) -> Report:
        raise RejectedError("ESME_RTHROTTLED", is_temporary=True)

    link = ScriptedLink("kt", throttle, office)
    office.issue(office.document(texts={"ko": "장애"}, expires="PT10M", next_update="PT5M"))
    called_at: list[float] = []

    def step() -> None:
        while len(called_at) < len(link.calls):
            called_at.append(office.clock.now().timestamp())
        now = office.clock.now()
        with office.gateway.store.read() as tx:
            is_due = tx.due("kt", at=now, limit=1, with_sms=True, rank_max=99)
            is_idle = not is_due and not tx.in_state(DeliveryState.INTENT)
        if is_idle:
            office.clock.advance(10)

    rows = run_until(
        office, {"kt": link}, lambda rows: states(rows) == {DeliveryState.EXPIRED}, step=step
    )
    gaps = [later - earlier for earlier, later in itertools.pairwise(called_at)]

    assert next(row.attempts for row in rows if row.lineage.peer_id == "kt") == len(link.calls)
    assert len(link.calls) > 10
    assert max(gaps[:2]) < 30 < max(gaps)


def test_permanent_refusal_and_lost_link(office: Any) -> None:
    """A permanent refusal ends a delivery; one that was never sent waits without harm."""

    def refuse(order: Order) -> Report:
        raise RejectedError("ESME_RINVSRCADR", is_temporary=False)

    def lose(order: Order) -> Report:
        message = "skt is not connected"
        raise NotSentError(message)

    links = {
        "kt": ScriptedLink("kt", refuse, office),
        "skt": ScriptedLink("skt", lose, office),
    }
    office.issue(office.document())

    rows = run_until(
        office,
        links,
        lambda rows: (
            states(rows) == {DeliveryState.REFUSED}
            and len(links["skt"].calls) == 2
            and DeliveryState.INTENT not in states(rows, "skt")
        ),
    )

    assert states(rows, "skt") == {DeliveryState.READY}


def test_failure_of_our_own_is_in_doubt_and_hurts_nobody_else(office: Any) -> None:
    """An error that nobody expected leaves a named state, and other peers go on."""

    def fail(order: Order) -> Report:
        return {}["bug"]

    links = {"kt": ScriptedLink("kt", fail, office), "skt": ScriptedLink("skt", accept, office)}
    office.issue(office.document())

    rows = run_until(
        office,
        links,
        lambda rows: (
            states(rows) == {DeliveryState.IN_DOUBT}
            and states(rows, "skt") == {DeliveryState.ACKED}
        ),
    )

    assert "KeyError" in next(row.reason for row in rows if row.lineage.peer_id == "kt")


def import_busan(office: Any, count: int) -> None:
    """Put subscribers in Busan on KT's list."""
    lines = [f"8210{n:08d},KR-26,ko" for n in range(count)]
    rows = "\n".join(["number,region,language", *lines])
    office.gateway.import_recipients("kt", rows.encode())


def test_chunk_outcomes_add_up(office: Any) -> None:
    """What is unsent is tried again, and what is in doubt once, after the class's hold."""
    import_busan(office, 4)
    reports = iter(
        [
            SubmitReport(bytes([1, 2, 3, 0]), {"ESME_RTHROTTLED": 1, "ESME_RINVDSTADR": 1}),
            SubmitReport(bytes([1]), {}),
            SubmitReport(bytes([3]), {}),
        ]
    )
    asked: list[tuple[str, ...]] = []

    def answer(order: Order) -> Report:
        if isinstance(order, Submit):
            asked.append(order.recipients)
            return next(reports)
        return accept(order)

    link = ScriptedLink("kt", answer, office)
    office.issue(office.document())

    rows = run_until(
        office,
        {"kt": link},
        lambda rows: any(row.outcomes == bytes([1, 2, 7, 1]) for row in rows),
        step=lambda: office.clock.advance(1),
    )

    row = next(row for row in rows if row.recipients)
    with office.gateway.store.read() as tx:
        report = bulletin_report(tx.bulletin("inc-1/1"), [row])["deliveries"][0]
        assert incident_report(tx, "nothing") is None
    assert row.state is DeliveryState.IN_DOUBT
    assert (report["accepted"], report["refused"], report["in_doubt"]) == (2, 1, 1)
    assert [len(window) for window in asked] == [4, 1, 1]
    assert asked[1] == asked[0][3:]
    assert asked[2] == asked[0][2:3]
    assert "no third" in row.reason


@pytest.mark.parametrize(
    ("error", "copies", "octets"),
    [
        (NotSentError("not connected"), 1, bytes([1, 1])),
        (UnansweredError("no answer"), 2, bytes([1, 1])),
        (RuntimeError("a bug"), 2, bytes([1, 1])),
    ],
)
def test_window_that_fails_as_a_whole_is_sent_again_as_its_outcome_allows(
    office: Any, error: Exception, copies: int, octets: bytes
) -> None:
    """What did not leave keeps its first copy; what may have left gets the second, by its class."""
    import_busan(office, 2)
    errors = iter([error])
    before: set[bytes] = set()

    def answer(order: Order) -> Report:
        if isinstance(order, Submit):
            with office.gateway.store.read() as tx:
                before.update(row.outcomes for row in tx.deliveries() if row.recipients)
            for one in errors:
                raise one
        return accept(order)

    link = ScriptedLink("kt", answer, office)
    office.issue(office.document())

    rows = run_until(
        office,
        {"kt": link},
        lambda rows: any(row.outcomes == octets for row in rows),
        step=lambda: office.clock.advance(1),
    )

    second = {Outcome.SENDING} if copies == 1 else {Outcome.RESENDING}
    assert {DeliveryState.ACKED} == {row.state for row in rows if row.recipients}
    assert second <= {octet for octets in before for octet in octets}
    assert (copies == 2) == any(Outcome.RESENDING in octets for octets in before)


def test_chunks_follow_one_another_at_the_regions_pace(
    office: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everybody gets one message, though each window waits for room in its region."""
    monkeypatch.setattr(planning, "CHUNK_RECIPIENTS_MAX", 20)
    import_busan(office, 50)
    asked: list[str] = []

    def answer(order: Order) -> Report:
        if isinstance(order, Submit):
            asked.extend(order.recipients)
        return accept(order)

    waits = iter([0.001, 0.0] * ROUNDS_MAX)
    monkeypatch.setattr(Pacer, "take", lambda *_arguments, **_named: next(waits))
    link = ScriptedLink("kt", answer, office)
    office.issue(office.document())

    run_until(
        office,
        {"kt": link},
        lambda rows: sum(row.outcomes.count(Outcome.ACCEPTED) for row in rows) == 50,
    )

    assert 50 == len(asked) == len(set(asked))


@pytest.mark.parametrize(
    ("outcomes", "state"),
    [(bytes([2, 2]), DeliveryState.REFUSED), (bytes([1, 2]), DeliveryState.ACKED)],
)
def test_chunk_ends_in_the_state_of_its_best_outcome(
    office: Any, outcomes: bytes, state: DeliveryState
) -> None:
    """One accepted recipient makes a chunk ACKED, none makes it REFUSED."""
    office.gateway.import_recipients(
        "kt", b"number,region,language\n821012345601,KR-26,ko\n821012345602,KR-26,ko\n"
    )

    def answer(order: Order) -> Report:
        return SubmitReport(outcomes, {}) if isinstance(order, Submit) else accept(order)

    link = ScriptedLink("kt", answer, office)
    office.issue(office.document())

    rows = run_until(
        office, {"kt": link}, lambda rows: any(row.outcomes == outcomes for row in rows)
    )

    assert next(row for row in rows if row.recipients).state is state


def test_what_expires_is_never_sent(office: Any) -> None:
    """A delivery whose time passed while the peer was away ends EXPIRED."""
    office.issue(office.document(expires="PT1H"))
    office.clock.advance(3600)
    link = ScriptedLink("kt", accept, office)

    rows = run_until(office, {"kt": link}, lambda rows: states(rows) == {DeliveryState.EXPIRED})

    assert link.calls == []
    assert states(rows, "skt") == {DeliveryState.EXPIRED}


TAMPERING = [
    (
        "UPDATE delivery SET order_document = replace(order_document, '11:16', '11:17')",
        "not part of what was approved",
    ),
    ("UPDATE delivery SET seal = seal || 'A'", "seal"),
    ("UPDATE bulletin SET plan = replace(plan, 'test', 'live')", "not the one that was approved"),
    ("UPDATE bulletin SET decision = replace(decision, 'plan_hash\": \"', 'plan_hash\": \"0')", ""),
    ("UPDATE person SET is_revoked = 1 WHERE name = 'bob'", "revoked"),
    ("UPDATE bulletin SET state = 'pending'", "not approved"),
    ("UPDATE person SET is_revoked = 1 WHERE name = 'alice'", "revoked"),
    ("UPDATE person_key SET is_revoked = 1 WHERE holder = 'alice'", "revoked"),
    ("UPDATE person_key SET is_revoked = 1 WHERE holder = 'bob'", "not trusted"),
    ("UPDATE region_key SET is_revoked = 1", "not known or not trusted"),
    ("DELETE FROM region_key", "not known"),
]


@pytest.mark.parametrize(("statement", "reason"), TAMPERING)
def test_tampered_outbox_is_not_sent(office: Any, statement: str, reason: str) -> None:
    """Whatever is changed behind the gateway's back is refused before the first octet."""
    office.issue(office.document())
    with office.gateway.store.transaction() as tx:
        tx._connection.execute(statement)
    link = ScriptedLink("kt", accept, office)

    rows = run_until(office, {"kt": link}, lambda rows: states(rows) == {DeliveryState.REFUSED})

    assert link.calls == []
    assert reason in next(row.reason for row in rows if row.lineage.peer_id == "kt")


def look(office: Any, tx: Any, row: Any, *, mode: Mode = Mode.TEST) -> Order:
    """Have the last look at a delivery."""
    deployment = replace(office.gateway.deployment, mode=mode)
    record = tx.bulletin(row.bulletin_id)
    return check_sendable(tx, deployment, record, row, now=office.clock.now())


def test_one_changed_octet_of_a_sealed_bulletin_is_a_signature_error(office: Any) -> None:
    """With plan and approval forged to match, the region's seal still tells."""
    office.issue(office.document())
    with office.gateway.store.read() as tx:
        row = tx.deliveries()[0]
        order = json.loads(row.order)
        order["broadcast"]["text"] += "!"
        forged = type(row)(
            **{name: getattr(row, name) for name in row.__slots__ if name != "order"},
            order=json.dumps(order, ensure_ascii=False, sort_keys=True, separators=(",", ":")),
        )

        with pytest.raises(SignatureInvalidError, match="not part of what was approved"):
            look(office, tx, forged)


def test_last_look_names_what_is_wrong(office: Any) -> None:
    """Mode, expiry and state are looked at once more."""
    office.issue(office.document(expires="PT1H"))
    with office.gateway.store.read() as tx:
        row = tx.deliveries()[0]

        with pytest.raises(ModeMismatchError):
            look(office, tx, row, mode=Mode.EXERCISE)
        office.clock.advance(3600)
        with pytest.raises(ExpiredError):
            look(office, tx, row)


def on_air(rows: tuple[Any, ...], peer_id: str = "kt") -> list[Any]:
    """Give what a peer has said of its broadcasts."""
    return [row.on_air for row in rows if row.lineage.peer_id == peer_id]


def test_peer_is_asked_once_what_became_of_a_broadcast(office: Any) -> None:
    """After one repetition period; what it says stands in the report."""
    link = ScriptedLink("kt", accept, office)
    office.issue(office.document())
    run_until(office, {"kt": link}, lambda rows: states(rows) == {DeliveryState.ACKED})
    assert link.asked == []
    office.clock.advance(3600)

    rows = run_until(office, {"kt": link}, lambda rows: all(on_air(rows)))

    names = {reference(call.order) for call in link.calls}
    assert names == {handle.name for handle in link.asked}
    assert len(link.asked) == len(link.calls)
    told = on_air(rows)[0]
    assert (told.state, told.areas, told.problem) == (
        MessageState.ENROUTE,
        (AreaOnAir("KR-26", 98),),
        "",
    )
    report = on_air_report(told)
    assert report is not None
    said = {"area": "KR-26", "reached_percent": 98, "cells": None, "broadcasts": None}
    assert report["areas"] == [said]


def test_refused_question_is_kept_and_one_without_link_is_asked_again(office: Any) -> None:
    """What a peer refuses to tell stands in the report; a lost link tells nothing."""
    link = ScriptedLink("kt", accept, office, told=NotSentError("no link"))
    office.issue(office.document())
    run_until(office, {"kt": link}, lambda rows: states(rows) == {DeliveryState.ACKED})
    office.clock.advance(3600)
    rows = run_until(office, {"kt": link}, lambda rows: len(link.asked) == len(link.calls))
    assert not any(on_air(rows))
    link.told = RejectedError("ESME_RBCASTQUERYFAIL", is_temporary=False)
    office.clock.advance(120)

    rows = run_until(office, {"kt": link}, lambda rows: all(on_air(rows)))

    assert {one.problem for one in on_air(rows)} == {"the peer refused: ESME_RBCASTQUERYFAIL"}


def test_operator_has_peers_asked(office: Any) -> None:
    """Only about what is on air; what was stopped meanwhile is not asked about."""
    link = ScriptedLink("kt", accept, office)
    office.issue(office.document())
    run_until(office, {"kt": link}, lambda rows: states(rows) == {DeliveryState.ACKED})

    assert office.gateway.ask_on_air("inc-1/1") == len(link.calls)
    run_until(office, {"kt": link}, lambda rows: all(on_air(rows)))
    assert len(link.asked) == len(link.calls)
    office.gateway.ask_on_air("inc-1/1")
    office.issue(office.later("withdrawal"))
    rows = run_until(
        office,
        {"kt": link},
        lambda rows: all(one.problem for one in on_air(rows) if one is not None),
    )
    assert {one.problem for one in on_air(rows) if one} == {"not on air any more"}
    with pytest.raises(UnknownNameError):
        office.gateway.ask_on_air("inc-9/1")
