"""The pacer against simulated centres, on virtual time: it finds the rate and keeps to it."""

import heapq
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cbgateway.carriers import pacing
from cbgateway.carriers.pacing import Pacer

ROUND_TRIP_S = 0.002
SLICE_MAX = 512
Takes = Callable[[float], bool]


class Intervals:
    """A limiter that counts anew at the beginning of each interval."""

    def __init__(self, rate_per_s: float, interval_s: float) -> None:
        self.rate_per_s = rate_per_s
        self._interval_s = interval_s
        self._number = -1
        self._count = 0

    def __call__(self, now: float) -> bool:
        """Tell whether a message that comes now is taken."""
        number = int(now / self._interval_s)
        if number != self._number:
            self._number, self._count = number, 0
        self._count += 1
        return self._count <= self.rate_per_s * self._interval_s


@dataclass
class Result:
    """What came of a bulk job.

    Attributes:
        took_s: from the first message to the last answer.
        accepted: messages taken, in all.
        refused: messages refused for want of room; each was sent again.
        times: when each message was sent.
        taken: when each message was taken.
    """

    took_s: float = 0.0
    accepted: int = 0
    refused: int = 0
    times: list[float] = field(default_factory=list)
    taken: list[float] = field(default_factory=list)


def send(
    pacer: Pacer,
    takes: Takes,
    messages: int,
    *,
    begin_s: float = 0.0,
    limit_s: float = 600.0,
    round_trip_s: float = ROUND_TRIP_S,
    per_s: float = float("inf"),
) -> Result:
    """Send as the link does: refused messages again, until all are taken or the time is over.

    Args:
        pacer: under test.
        takes: tells whether the centre has room for a message that comes now.
        messages: how many.
        begin_s: when.
        limit_s: how long at most.
        round_trip_s: how long an answer needs.
        per_s: how fast the centre answers, one after another.
    """
    now, waiting, in_flight, free_s = begin_s, messages, 0, begin_s
    result, order = Result(), itertools.count()
    answers: list[tuple[float, int, float, int, int]] = []
    while (waiting or in_flight) and now - begin_s < limit_s:
        count, wait_s = 0, None
        if waiting:
            count, wait_s = pacer.allowance(in_flight=in_flight, now=now)
        if count:
            count = min(count, waiting, SLICE_MAX)
            taken = sum(takes(now + round_trip_s / 2) for _ in range(count))
            free_s = max(free_s, now) + count / per_s
            pacer.sent(count, now=now)
            result.times += [now] * count
            waiting, in_flight = waiting - count, in_flight + count
            at = free_s + round_trip_s
            heapq.heappush(answers, (at, next(order), now, taken, count - taken))
            continue
        wake_s = float("inf") if wait_s is None else now + wait_s
        if not answers and wait_s is None:
            msg = "nothing is in flight, and nothing may leave"
            raise AssertionError(msg)
        now = max(now, min(wake_s, answers[0][0] if answers else wake_s))
        while answers and answers[0][0] <= now:
            _, _, sent_at, taken, refused = heapq.heappop(answers)
            in_flight -= taken + refused
            waiting += refused
            result.accepted += taken
            result.refused += refused
            result.taken += [now] * taken
            pacer.answered(sent_at=sent_at, accepted=taken, throttled=refused, now=now)
    result.took_s = now - begin_s
    return result


@pytest.mark.parametrize("interval_s", [0.1, 1.0])
@pytest.mark.parametrize("round_trip_s", [0.0003, 0.002, 0.02])
@pytest.mark.parametrize("begin_s", [0.0, 0.03, 0.57, 0.93])
def test_limit_is_found_and_used(interval_s: float, round_trip_s: float, begin_s: float) -> None:
    """Ten thousand messages at 1,000/s: 90 % of the rate, at most 1 % refused, none lost."""
    takes = Intervals(1_000, interval_s)

    result = send(
        Pacer(window_max=1_000), takes, 10_000, begin_s=begin_s, round_trip_s=round_trip_s
    )

    assert result.accepted == 10_000
    assert result.refused <= 100
    assert result.accepted / result.took_s >= 900


@pytest.mark.parametrize("interval_s", [0.1, 1.0])
@pytest.mark.parametrize("rate_per_s", [50, 200, 5_000, 20_000])
def test_other_limits_are_found_too(rate_per_s: int, interval_s: float) -> None:
    """Ten seconds' worth of messages, whatever the rate."""
    count = rate_per_s * 10

    result = send(Pacer(window_max=5_000), Intervals(rate_per_s, interval_s), count)

    assert result.accepted == count
    assert result.refused <= max(100, count * 0.02)
    assert result.accepted / result.took_s >= rate_per_s * 0.8


@pytest.mark.parametrize("interval_s", [0.1, 1.0])
@pytest.mark.parametrize(("before", "after"), [(1_000, 300), (300, 1_000)])
def test_changed_limit_is_found_again(before: int, after: int, interval_s: float) -> None:
    """Within a minute it sends at four fifths of the new rate, and refusals stay few."""
    takes, pacer = Intervals(before, interval_s), Pacer(window_max=1_000)
    send(pacer, takes, before * 10)
    takes.rate_per_s = after

    result = send(pacer, takes, 10**9, begin_s=100.0, limit_s=60.0)

    last = sum(at >= 150.0 for at in result.taken)
    assert last / 10 >= after * 0.8
    assert result.refused <= result.accepted * 0.02


@given(share=st.floats(0.0, 1.0), seed=st.integers(0, 2**32))
@settings(deadline=None, max_examples=30)
def test_any_share_of_refusals_neither_hangs_nor_hammers(share: float, seed: int) -> None:
    """A centre that refuses at random is still asked, and is not flooded with what it refuses."""
    rng = random.Random(seed)  # noqa: S311 - a seed has to repeat itself

    result = send(Pacer(window_max=200), lambda _: rng.random() >= share, 2_000, limit_s=60.0)

    assert result.accepted or share > 0.9
    assert result.refused <= result.accepted or result.refused / result.took_s <= 50
    assert len(result.times) > 20


def test_centre_that_takes_nothing_is_asked_seldom() -> None:
    """After the first refusals, single messages at growing pauses; when it opens, on it goes."""
    result = send(Pacer(window_max=1_000), lambda now: now > 300.0, 5_000, limit_s=400.0)

    closed = [at for at in result.times if at <= 299.0]
    late = [at for at in closed if at > 30.0]
    assert len(closed) < 400
    assert max(after - before for before, after in itertools.pairwise(late)) <= 1.1
    assert result.accepted == 5_000


def test_centre_without_a_limit_is_not_slowed() -> None:
    """A million messages leave at 150,000/s and more; none is held back once it is known."""
    result = send(Pacer(window_max=1_000), lambda _: True, 1_000_000, round_trip_s=0.001)

    assert result.accepted / result.took_s >= 150_000


def test_slow_centre_is_not_flooded() -> None:
    """What it answers slowly does not pile up: nothing waits long for its answer."""
    pacer = Pacer(window_max=5_000)
    send(pacer, lambda _: True, 20_000, per_s=500)

    assert pacer.allowance(in_flight=500, now=1_000.0) == (0, None)


def test_rare_refusals_that_no_rate_ends_are_lived_with() -> None:
    """One in twenty for reasons of its own: it is noise, and the rate does not drop for ever."""
    rng = random.Random(7)  # noqa: S311 - a seed has to repeat itself

    result = send(Pacer(window_max=1_000), lambda _: rng.random() > 0.05, 20_000)

    assert result.accepted == 20_000
    assert result.accepted / result.took_s >= 100


def test_noise_that_becomes_much_is_heard_again() -> None:
    """Once most is refused, living with refusals ends: it is asked seldom."""
    rng = random.Random(7)  # noqa: S311 - a seed has to repeat itself
    pacer, share = Pacer(window_max=1_000), [0.05]
    send(pacer, lambda _: rng.random() > share[0], 20_000)
    share[0] = 0.9

    result = send(pacer, lambda _: rng.random() > share[0], 20_000, begin_s=500.0, limit_s=30.0)

    assert len(result.times) / 30 <= 150


def test_window_is_a_second_of_the_rate() -> None:
    """What a crash may leave in doubt: little at first, then a second's worth, within its max."""
    pacer = Pacer(window_max=5_000)
    assert pacer.window == pacing.FLIGHT_MIN * pacing.INTENT_FLIGHTS

    send(pacer, Intervals(1_000, 0.1), 5_000)

    assert 850 <= pacer.window <= 1_050
    assert Pacer(window_max=10).window == 10


def test_congestion_is_heard() -> None:
    """A centre that says that it is loaded is not asked for more, and for less when it is full."""
    pacer = Pacer(window_max=1_000)
    send(pacer, lambda _: True, 50_000)
    pacer.congested(pacing.CONGESTED - 1, now=10.0)
    assert pacer.rate_per_s is None

    pacer.congested(pacing.CONGESTED, now=10.0)
    known = pacer.rate_per_s
    assert known is not None
    pacer.congested(pacing.CONGESTED, now=11.0)
    assert known == pacer.rate_per_s
    pacer.congested(pacing.CONGESTED_FULLY, now=11.01)
    assert known == pacer.rate_per_s
    pacer.congested(pacing.CONGESTED_FULLY, now=12.0)
    assert known * pacing.MARGIN == pacer.rate_per_s
