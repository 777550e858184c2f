"""What became of each recipient of a chunk: one octet each, moved window by window.

Theory of operation: an octet says how many copies may have left, so that nobody gets a third. A
window is committed as SENDING before its first octet leaves; what a crash or a lost link leaves
there is in doubt, and only that. An octet in doubt may be released for a second copy, once.
"""

from collections.abc import Iterator, Mapping, Sequence
from enum import IntEnum


class Outcome(IntEnum):
    """How one recipient stands."""

    UNSENT = 0
    """No copy has left."""
    ACCEPTED = 1
    """The message centre has taken it."""
    REFUSED = 2
    """The message centre has refused it, for good."""
    IN_DOUBT = 3
    """One copy may have left."""
    SENDING = 4
    """The first copy is about to leave."""
    RESEND = 5
    """One copy may have left, and the second one is due."""
    RESENDING = 6
    """The second copy is about to leave."""
    IN_DOUBT_TWICE = 7
    """Two copies may have left; there is no third."""


OUTCOME_TRANSITIONS: Mapping[Outcome, frozenset[Outcome]] = {
    Outcome.UNSENT: frozenset({Outcome.SENDING}),
    Outcome.ACCEPTED: frozenset(),
    Outcome.REFUSED: frozenset(),
    Outcome.IN_DOUBT: frozenset({Outcome.RESEND}),
    Outcome.SENDING: frozenset(
        {Outcome.UNSENT, Outcome.ACCEPTED, Outcome.REFUSED, Outcome.IN_DOUBT}
    ),
    Outcome.RESEND: frozenset({Outcome.RESENDING}),
    Outcome.RESENDING: frozenset({Outcome.RESEND, Outcome.ACCEPTED, Outcome.IN_DOUBT_TWICE}),
    Outcome.IN_DOUBT_TWICE: frozenset(),
}

_BEGIN = {Outcome.UNSENT: Outcome.SENDING, Outcome.RESEND: Outcome.RESENDING}
_ANSWERS: Mapping[Outcome, Mapping[int, Outcome]] = {
    Outcome.SENDING: {
        Outcome.UNSENT: Outcome.UNSENT,
        Outcome.ACCEPTED: Outcome.ACCEPTED,
        Outcome.REFUSED: Outcome.REFUSED,
        Outcome.IN_DOUBT: Outcome.IN_DOUBT,
    },
    Outcome.RESENDING: {
        Outcome.UNSENT: Outcome.RESEND,
        Outcome.ACCEPTED: Outcome.ACCEPTED,
        Outcome.REFUSED: Outcome.IN_DOUBT_TWICE,  # what became of the first copy is still unknown
        Outcome.IN_DOUBT: Outcome.IN_DOUBT_TWICE,
    },
}
_REFUSED_TO_BEGIN = 0xFF
_BEGUN = bytes(int(_BEGIN.get(one, _REFUSED_TO_BEGIN)) for one in Outcome).ljust(
    256, bytes([_REFUSED_TO_BEGIN])
)
_INTERRUPTED = bytes.maketrans(
    bytes([Outcome.SENDING, Outcome.RESENDING]),
    bytes([Outcome.IN_DOUBT, Outcome.IN_DOUBT_TWICE]),
)
_RELEASED = bytes.maketrans(bytes([Outcome.IN_DOUBT]), bytes([Outcome.RESEND]))


def waiting(outcomes: bytes, *, limit: int) -> list[int]:
    """Give who may be sent to next, at most `limit`, in order; second copies first."""
    found: list[int] = []
    for wanted in (Outcome.RESEND, Outcome.UNSENT):
        index = outcomes.find(wanted)
        while index >= 0 and len(found) < limit:
            run = outcomes[index : index + limit - len(found)]
            length = len(run) - len(run.lstrip(bytes([wanted])))
            found += range(index, index + length)
            index = outcomes.find(wanted, index + length)
    return found


def begin(outcomes: bytes, window: Sequence[int]) -> bytes:
    """Note that a window is about to leave.

    Raises:
        KeyError: one of it may not be sent to.
    """
    changed = bytearray(outcomes)
    for run in runs(window):
        begun = changed[run.start : run.stop].translate(_BEGUN)
        if _REFUSED_TO_BEGIN in begun:
            raise KeyError(Outcome(changed[run.start + begun.index(_REFUSED_TO_BEGIN)]))
        changed[run.start : run.stop] = begun
    return bytes(changed)


def answer(outcomes: bytes, window: Sequence[int], answers: bytes) -> bytes:
    """Note what came of a window: for each of it UNSENT, ACCEPTED, REFUSED or IN_DOUBT.

    Raises:
        KeyError: it was not about to leave.
    """
    if len(window) != len(answers):
        msg = f"{len(window)} recipients have {len(answers)} answers"
        raise ValueError(msg)
    changed = bytearray(outcomes)
    at = 0
    for run in runs(window):
        given = answers[at : at + len(run)]
        at += len(run)
        before = changed[run.start : run.stop]
        for state in set(before):
            _check_answers(Outcome(state), given)
        if before.count(Outcome.SENDING) == len(run):
            changed[run.start : run.stop] = given  # a first copy stands as it was answered
            continue
        for index, octet in zip(run, given, strict=True):
            changed[index] = _ANSWERS[Outcome(changed[index])][octet]
    return bytes(changed)


def _check_answers(state: Outcome, given: bytes) -> None:
    allowed = _ANSWERS[state]
    for octet in set(given):
        allowed[octet]


def runs(window: Sequence[int]) -> Iterator[range]:
    """Cut a window into stretches of indexes that follow one another."""
    start = 0
    while start < len(window):
        first = window[start]
        end = len(window)
        if window[end - 1] - first != end - 1 - start or list(window[start:]) != list(
            range(first, first + end - start)
        ):
            end = start + 1
            while end < len(window) and window[end] == window[end - 1] + 1:
                end += 1
        yield range(first, first + end - start)
        start = end


def interrupt(outcomes: bytes) -> bytes:
    """Note that nobody knows what came of the window that was about to leave."""
    return outcomes.translate(_INTERRUPTED)


def release(outcomes: bytes) -> bytes:
    """Have those in doubt get their second copy."""
    return outcomes.translate(_RELEASED)
