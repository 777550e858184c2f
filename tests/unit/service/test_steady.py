"""The steady clock: small steps are followed, jumps are told, a long jump forward waits."""

from typing import Any

import pytest

from cbgateway.domain.bulletin import BulletinState
from cbgateway.domain.lifecycle import DeliveryState
from cbgateway.service.dispatcher import Dispatcher
from cbgateway.service.steady import Jump, SteadyClock


def states(office: Any) -> tuple[set[DeliveryState], set[BulletinState]]:
    """Give the states of orders and bulletins."""
    with office.gateway.store.read() as tx:
        return {row.state for row in tx.deliveries()}, {one.state for one in tx.bulletins()}


def sweep(office: Any, dispatcher: Dispatcher) -> None:
    """Have a dispatcher look around once, as it does every second."""
    with office.gateway.store.transaction() as tx:
        dispatcher._sweep(tx)


def make_dispatcher(office: Any) -> Dispatcher:
    """Give a dispatcher without peers that has just started."""
    dispatcher = Dispatcher(
        office.gateway.store,
        office.gateway.deployment,
        {},
        clock=office.clock,
        random=lambda: 0.5,
    )
    with office.gateway.store.transaction() as tx:
        assert dispatcher._recover(tx) == {}
    return dispatcher


@pytest.mark.parametrize("step_s", [-2.0, -0.5, 0.5, 2.0])
def test_small_step_is_followed_and_not_told(clock: Any, step_s: float) -> None:
    """NTP corrects a clock all the time; nobody needs to hear of it."""
    steady = SteadyClock(clock)
    clock.jump(step_s)

    before = steady.now()
    told = steady.check()

    assert told is None
    assert (clock.now() - before).total_seconds() == step_s
    assert steady.now() == clock.now()


@pytest.mark.parametrize("step_s", [-7200.0, -2.1, 2.1, 60.0])
def test_jump_back_or_a_little_ahead_is_told_and_followed(clock: Any, step_s: float) -> None:
    """It is told once, with its length, and time goes on from there."""
    steady = SteadyClock(clock)
    clock.advance(100)
    clock.jump(step_s)

    told = steady.check()

    assert told == Jump(step_s, is_held=False)
    assert not steady.is_holding
    assert steady.now() == clock.now()
    assert steady.check() is None


def test_long_jump_ahead_is_held_until_confirmed(clock: Any) -> None:
    """Time goes on at its own pace; after somebody has confirmed it, it is the machine's."""
    steady = SteadyClock(clock)
    begun = steady.now()
    clock.jump(3600)

    assert steady.check() == Jump(3600.0, is_held=True)
    assert steady.is_holding
    clock.advance(30)
    assert steady.check() is None
    assert (steady.now() - begun).total_seconds() == 30
    steady.confirm()
    assert not steady.is_holding
    assert steady.now() == clock.now()


def test_jump_that_is_taken_back_ends_the_hold(clock: Any) -> None:
    """Whoever set the clock wrong sets it right again, and nothing has happened."""
    steady = SteadyClock(clock)
    clock.jump(3600)
    steady.check()
    clock.jump(-3600)

    assert steady.check() == Jump(0.0, is_held=False)
    assert not steady.is_holding
    assert steady.now() == clock.now()


def test_jump_on_top_of_a_held_one_is_told_again(clock: Any) -> None:
    """A second jump is news, and the hold goes on from where time was."""
    steady = SteadyClock(clock)
    begun = steady.now()
    clock.jump(3600)
    steady.check()
    clock.jump(3600)

    assert steady.check() == Jump(7200.0, is_held=True)
    assert steady.now() == begun


def test_nothing_expires_by_a_jump_until_somebody_confirms_it(office: Any) -> None:
    """A wrong clock ends no bulletin; a confirmed one does, and both stand in the audit log."""
    office.issue(office.document(expires="PT1H"))
    dispatcher = make_dispatcher(office)
    office.clock.jump(2 * 3600)

    sweep(office, dispatcher)
    sweep(office, dispatcher)
    held = states(office)
    with office.gateway.store.transaction() as tx:
        tx.bump("clock")
    sweep(office, dispatcher)

    assert held == ({DeliveryState.READY}, {BulletinState.APPROVED})
    assert states(office) == ({DeliveryState.EXPIRED}, {BulletinState.EXPIRED})
    with office.gateway.store.read() as tx:
        told = [event.detail for event in tx.events("clock") if event.what == "jumped"]
    assert told == [{"by_s": 7200.0, "is_held": True}]


def test_time_that_really_passed_ends_a_bulletin(office: Any) -> None:
    """Hours that went by on both clocks are no jump."""
    office.issue(office.document(expires="PT1H"))
    dispatcher = make_dispatcher(office)
    office.clock.advance(3600)

    sweep(office, dispatcher)

    assert states(office) == ({DeliveryState.EXPIRED}, {BulletinState.EXPIRED})
    with office.gateway.store.read() as tx:
        assert tx.events("clock") == ()


def test_confirmation_of_an_earlier_jump_does_not_count_for_this_one(office: Any) -> None:
    """What was confirmed before this dispatcher began says nothing about what comes later."""
    with office.gateway.store.transaction() as tx:
        tx.bump("clock")
    office.issue(office.document(expires="PT1H"))
    dispatcher = make_dispatcher(office)
    office.clock.jump(2 * 3600)

    sweep(office, dispatcher)

    assert states(office) == ({DeliveryState.READY}, {BulletinState.APPROVED})
