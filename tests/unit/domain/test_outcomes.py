"""What became of each recipient: one octet that moves by its tables alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbgateway.domain import outcomes
from cbgateway.domain.outcomes import OUTCOME_TRANSITIONS, Outcome

ANSWERS = (Outcome.UNSENT, Outcome.ACCEPTED, Outcome.REFUSED, Outcome.IN_DOUBT)
COPIES_MAX = {
    Outcome.UNSENT: 0,
    Outcome.SENDING: 1,
    Outcome.IN_DOUBT: 1,
    Outcome.RESEND: 1,
    Outcome.RESENDING: 2,
    Outcome.IN_DOUBT_TWICE: 2,
}
"""How many copies may have left of what is not settled."""


def moves(before: bytes, after: bytes) -> set[tuple[Outcome, Outcome]]:
    """Give what has changed."""
    return {
        (Outcome(one), Outcome(other))
        for one, other in zip(before, after, strict=True)
        if one != other
    }


def assert_in_table(before: bytes, after: bytes) -> None:
    """Check every change against the table."""
    for one, other in moves(before, after):
        assert other in OUTCOME_TRANSITIONS[one]


@given(st.binary(max_size=40).map(lambda octets: bytes(one % 8 for one in octets)), st.data())
def test_every_step_is_in_the_table(octets: bytes, data: st.DataObject) -> None:
    """Beginning, answers, interruptions and second copies make only the moves of the table."""
    window = outcomes.waiting(octets, limit=data.draw(st.integers(0, 5)))
    window = data.draw(st.permutations(window))
    begun = outcomes.begin(octets, window)
    given_answers = bytes(data.draw(st.sampled_from(ANSWERS)) for _ in window)
    answered = outcomes.answer(begun, window, given_answers)
    interrupted = outcomes.interrupt(begun)

    assert_in_table(octets, begun)
    assert_in_table(begun, answered)
    assert_in_table(begun, interrupted)
    assert_in_table(interrupted, outcomes.release(interrupted))
    assert not {Outcome.SENDING, Outcome.RESENDING} & set(interrupted)
    assert Outcome.IN_DOUBT not in outcomes.release(interrupted)


@given(st.lists(st.sampled_from([*ANSWERS, None]), max_size=12))
def test_nobody_gets_a_third_copy(answers: list[Outcome | None]) -> None:
    """Whatever peers answer and wherever it crashes, two copies at most leave for one person."""
    octets, copies = bytes([Outcome.UNSENT]), 0
    for one in answers:
        window = outcomes.waiting(octets, limit=1)
        if window:
            octets = outcomes.begin(octets, window)
            copies += one is not Outcome.UNSENT
            if one is None:
                octets = outcomes.interrupt(octets)
            else:
                octets = outcomes.answer(octets, window, bytes([one]))
        octets = outcomes.release(octets)

        assert copies <= COPIES_MAX.get(Outcome(octets[0]), 2) <= 2


def test_second_copies_come_first() -> None:
    """Who may have waited longest is first; the limit holds for both kinds together."""
    octets = bytes([0, 5, 1, 0, 5, 2, 3, 7])

    assert outcomes.waiting(octets, limit=9) == [1, 4, 0, 3]
    assert outcomes.waiting(octets, limit=3) == [1, 4, 0]
    assert outcomes.waiting(octets, limit=1) == [1]


def test_refused_second_copy_leaves_the_first_in_doubt() -> None:
    """That the second was refused says nothing about the first."""
    begun = outcomes.begin(bytes([Outcome.RESEND]), [0])

    assert outcomes.answer(begun, [0], bytes([Outcome.REFUSED])) == bytes([Outcome.IN_DOUBT_TWICE])
    assert outcomes.answer(begun, [0], bytes([Outcome.UNSENT])) == bytes([Outcome.RESEND])


@pytest.mark.parametrize("outcome", [one for one in Outcome if one not in {0, 5}])
def test_what_may_not_be_sent_cannot_begin(outcome: Outcome) -> None:
    """Neither who has it, nor who is in doubt, nor who is under way."""
    with pytest.raises(KeyError):
        outcomes.begin(bytes([outcome]), [0])


@pytest.mark.parametrize("outcome", [one for one in Outcome if one not in {4, 6}])
def test_answer_for_nobody_is_refused(outcome: Outcome) -> None:
    """Only what was about to leave can be answered."""
    with pytest.raises(KeyError):
        outcomes.answer(bytes([outcome]), [0], bytes([Outcome.ACCEPTED]))


def test_answers_for_another_window_are_refused() -> None:
    """One answer each, no more and no fewer."""
    with pytest.raises(ValueError, match="2 recipients have 1 answers"):
        outcomes.answer(bytes([4, 4]), [0, 1], bytes([1]))
