"""How fast a message centre takes messages, found out by sending them; without a clock or a socket.

Theory of operation. While no limit is known, what is in flight grows with what was accepted: a few
per cent of it, so that the first refusal finds few messages on their way. A refusal means that the
centre's limiter is full. Then nothing leaves but a probe now and then, until one is accepted: the
limiter has begun to count anew. What was accepted since it last did so, over the time from then to
now, is the centre's rate. From then on messages leave evenly, a little below that rate; after a
while without refusals the rate creeps up, slowly at first, until it is refused again or enough.

A centre that answers slowly instead of refusing is not flooded either: what is in flight is bounded
by the rate at which it answers, so that nothing waits long for its answer.
"""

import math

FLIGHT_MIN = 16
"""In flight before anything is known; so many may be refused at once."""
FLIGHT_FAR = 64
START_PER_S = 1_000
"""A centre that is far away has more in flight from the beginning: what this rate takes."""
FLIGHT_SHARE = 1 / 32
"""What is in flight while no limit is known, of all that was accepted."""
INTENT_FLIGHTS = 4
"""How many times what is in flight is committed to at once while no limit is known."""
WINDOW_S = 1.0
"""So much of a known rate is committed to at once; a window that ends waits for its last answer."""
LATENCY_MAX_S = 0.25
"""What a centre needs longer for than this, and than twice its best, is not sent yet."""
SPACING_S = 0.001
BURST_S = 0.003
"""A timer that comes late is made up for, so much at most; limiters count in short intervals."""
MARGIN = 0.98
"""How far below the measured rate messages leave."""
DECREASE_MAX = 0.5
"""The rate falls by half at once at most, unless it was measured from a limiter that began to count
before we did; then the first whole interval says what it is."""
RATE_MIN = 10.0
OPEN_S = 1.0
"""The longest interval of limiters that are known; older acceptance says nothing about today's."""
PROBE_GAP_MIN_S = 0.012
PROBE_GAP_SHORT_S = 0.08
"""Between probes as long as the limiter may soon begin anew."""
PROBE_GAP_MAX_S = 1.0
PROBE_SHARE = 0.1
"""After that, probes leave ever more seldom: a tenth of the time since the first refusal."""
SOON_S = 1.5
QUIET_S = 2.0
"""So long after a refusal the rate stays."""
GROWTH_PER_S = 0.005
GROWTH_PER_S_MAX = 0.1
GROWTH_ROUGH_PER_S = 0.03
"""As long as the rate was measured once, it may be well below what the centre takes."""
GROWTH_DOUBLES_S = 3.0
STEP_MAX_S = 0.1
"""The rate grows by the time in which messages were sent, not by that between them."""
IDLE_S = 0.25
CUTS_MAX = 12
"""So many cuts in a row, and still refusals: then they do not come from the rate."""
CUTS_QUIET_S = 5.0
NOISE_SHARE = 0.2
"""Refusals that are lived with once they are known not to come from the rate."""
NOISE_S = 60.0
CONGESTED = 90
"""congestion_state from which the rate does not grow (SMPP 5.0 4.8.4.18: nearing congestion)."""
CONGESTED_FULLY = 100
_BIN_S = 0.1
_FADE = 0.9


class Pacer:
    """Finds a centre's rate and keeps to it; one for each bind, outliving its connections."""

    def __init__(self, *, window_max: int) -> None:
        """Make a pacer that knows nothing yet.

        Args:
            window_max: most that may ever be in flight.
        """
        self.rate_per_s: float | None = None
        self._window_max = window_max
        self._accepted = 0  # in all
        self._mark = -math.inf  # when the limiter began to count, as far as is known
        self._accepted_since = 0
        self._sent_at = -math.inf
        self._held_at: float | None = None  # when what was refused first was sent
        self._refused_at = 0.0  # when what was refused last was sent
        self._probe_at = 0.0
        self._credit = 0.0
        self._credited_at = 0.0
        self._is_limited = False
        self._is_rough = True
        self._quiet_since = 0.0
        self._grown_at = 0.0
        self._round_trip_s = math.inf
        self._answer_rate = 0.0
        self._bin_at = -math.inf
        self._bin_count = 0
        self._cuts = 0
        self._uncut_rate = 0.0
        self._deaf_until = -math.inf
        self._noise: tuple[float, float] = (0.0, 0.0)  # refused and all, fading

    @property
    def window(self) -> int:
        """How many messages to commit to at once."""
        if self.rate_per_s is None:
            count = self._flight_max() * INTENT_FLIGHTS
        else:
            count = max(FLIGHT_MIN, int(self.rate_per_s * WINDOW_S))
        return min(self._window_max, count)

    def allowance(self, *, in_flight: int, now: float) -> tuple[int, float | None]:
        """Say how many may leave now, and else in how many seconds to ask again.

        Args:
            in_flight: what is sent and not answered.
            now: monotonic seconds.

        Returns:
            A number, and None; or 0 and the wait, which is None when an answer has to come first.
        """
        room = self._flight_max() - in_flight
        if room <= 0:
            return 0, None
        if self._held_at is not None:
            if in_flight:
                return 0, None
            wait_s = self._probe_at - now
            return (0, wait_s) if wait_s > 0 else (1, None)
        if self.rate_per_s is None:
            return room, None
        burst = max(1.0, self.rate_per_s * BURST_S)
        earned = max(0.0, now - self._credited_at) * self.rate_per_s
        self._credit = min(burst, self._credit + earned)
        self._credited_at = now
        wanted = max(1.0, self.rate_per_s * SPACING_S)
        if self._credit >= wanted * (1 - 1e-9):
            return min(room, max(1, int(self._credit))), None
        self._is_limited = True
        return 0, (wanted - self._credit) / self.rate_per_s

    def sent(self, messages: int, *, now: float) -> None:
        """Note what has left."""
        if now - self._sent_at > IDLE_S and self._held_at is None:
            self._mark, self._accepted_since = now, 0
        self._sent_at = now
        self._credit -= messages

    def answered(self, *, sent_at: float, accepted: int, throttled: int, now: float) -> None:
        """Note what came of messages that left together.

        Args:
            sent_at: when they left.
            accepted: how many the centre has taken, or refused for reasons of their own.
            throttled: how many it had no room for.
            now: monotonic seconds.
        """
        self._measure(accepted + throttled, now - sent_at, now)
        self._accepted += accepted
        fade = _FADE ** ((accepted + throttled) / 100)
        refused, every = self._noise
        self._noise = (refused * fade + throttled, every * fade + accepted + throttled)
        if throttled and not self._is_noise(now):
            self._hold(sent_at, now)
        elif self._held_at is not None and accepted and sent_at > self._refused_at:
            self._recover(sent_at, accepted, now)
            return
        self._accepted_since += accepted
        if self._held_at is None and accepted:
            self._grow(now)

    def congested(self, level: int, *, now: float) -> None:
        """Note what the centre says of its load, 0 to 100 (SMPP 5.0 4.8.4.18)."""
        if level < CONGESTED:
            return
        if self.rate_per_s is None:
            self.rate_per_s = max(RATE_MIN, self._answer_rate)
        elif level >= CONGESTED_FULLY and now - self._quiet_since > STEP_MAX_S:
            self.rate_per_s = max(RATE_MIN, self.rate_per_s * MARGIN)
        self._quiet_since = now

    def _flight_max(self) -> int:
        """Give how many may be in flight."""
        most = self._window_max
        if self.rate_per_s is None:
            far = min(FLIGHT_FAR, START_PER_S * min(1.0, self._round_trip_s))
            least = FLIGHT_MIN if self._round_trip_s == math.inf else max(FLIGHT_MIN, int(far))
            most = min(most, max(least, int(self._accepted * FLIGHT_SHARE)))
        if self._answer_rate:
            latency_s = max(LATENCY_MAX_S, 2 * self._round_trip_s)
            most = min(most, max(4, math.ceil(self._answer_rate * latency_s)))
        return most

    def _measure(self, messages: int, round_trip_s: float, now: float) -> None:
        """Keep the shortest round trip, and the best rate of answers of late."""
        self._round_trip_s = min(self._round_trip_s * 1.001, round_trip_s)
        if now - self._bin_at > 10 * _BIN_S:
            self._bin_at, self._bin_count = now - round_trip_s, 0
        self._bin_count += messages
        elapsed_s = now - self._bin_at
        if elapsed_s >= _BIN_S:
            self._answer_rate = max(self._bin_count / elapsed_s, self._answer_rate * _FADE)
            self._bin_at, self._bin_count = now, 0

    def _is_noise(self, now: float) -> bool:
        """Tell whether refusals are known not to come from the rate."""
        if now >= self._deaf_until:
            return False
        refused, every = self._noise
        if refused <= NOISE_SHARE * max(every, 100):
            return True
        self._deaf_until = -math.inf
        return False

    def _hold(self, sent_at: float, now: float) -> None:
        if self._held_at is None:
            self._held_at = self._refused_at = sent_at
        self._refused_at = max(self._refused_at, sent_at)
        held_s = now - self._held_at
        if held_s < SOON_S:
            gap_s = min(PROBE_GAP_SHORT_S, max(PROBE_GAP_MIN_S, held_s / 5))
        else:
            gap_s = min(PROBE_GAP_MAX_S, held_s * PROBE_SHARE)
        self._probe_at = now + gap_s

    def _recover(self, sent_at: float, accepted: int, now: float) -> None:
        """Go on: what was sent last is accepted again."""
        assert self._held_at is not None  # noqa: S101 - that is why it is called
        blocked_s = (self._refused_at + sent_at) / 2 - self._held_at
        open_s = max(self._held_at - self._mark, 1e-3)
        counted_s = min(open_s, OPEN_S)
        rate = self._accepted_since / open_s
        if open_s > OPEN_S:  # it may have grown since
            rate = min(max(rate, self._answer_rate), self.rate_per_s or 2 * rate)
        measured = rate * counted_s / (counted_s + blocked_s)
        if self.rate_per_s is None:
            rate = measured
        else:
            least = 0.0 if self._is_rough else self.rate_per_s * DECREASE_MAX
            rate = min(self.rate_per_s, max(measured, least))
            self._is_rough = open_s < OPEN_S
            self._count_cut(now)
        self.rate_per_s = max(RATE_MIN, rate * MARGIN)
        self._held_at = None
        self._mark, self._accepted_since = sent_at, accepted
        self._credit, self._credited_at = 0.0, now
        self._quiet_since = self._grown_at = now
        if self._cuts >= CUTS_MAX:
            self._stop_listening(now)

    def _count_cut(self, now: float) -> None:
        assert self.rate_per_s is not None  # noqa: S101 - there is one to be cut
        if not self._cuts or now - self._quiet_since > CUTS_QUIET_S:
            self._cuts, self._uncut_rate = 0, self.rate_per_s
        self._cuts += 1

    def _stop_listening(self, now: float) -> None:
        """Live with few refusals that many cuts have not ended: they do not come from the rate."""
        refused, every = self._noise
        self._cuts = 0
        if refused <= NOISE_SHARE * every:
            self.rate_per_s = self._uncut_rate
            self._deaf_until = now + NOISE_S

    def _grow(self, now: float) -> None:
        """Creep up while the rate is what holds messages back."""
        step_s = min(STEP_MAX_S, now - self._grown_at)
        self._grown_at = now
        quiet_s = now - self._quiet_since - (QUIET_S / 4 if self._is_rough else QUIET_S)
        if self.rate_per_s is None or quiet_s < 0 or not self._is_limited:
            return
        self._is_limited = False
        least = GROWTH_ROUGH_PER_S if self._is_rough else GROWTH_PER_S
        growth = min(GROWTH_PER_S_MAX, least * 2 ** min(quiet_s / GROWTH_DOUBLES_S, 10))
        self.rate_per_s *= math.exp(growth * step_s)
