"""Ranges of submit_sm on a session: one timer, one event, and what comes late or from nowhere."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbgateway.app import load_checked_profiles
from cbgateway.carriers.smpp.batch import LATE_NUMBERS_MAX, Batch, Late, Settled
from cbgateway.carriers.smpp.session import (
    Answered,
    Bound,
    Closed,
    Congestion,
    Credentials,
    SmppSession,
    State,
    Unanswered,
)
from cbgateway.codec import smpp
from cbgateway.codec.smpp_bulk import SubmitTemplate, read_answers
from cbgateway.domain.errors import EncodeError
from cbgateway.domain.outcomes import Outcome

RULES = load_checked_profiles(None).carriers["kt"].smpp
TIMEOUT_S = RULES.response_timeout_s
NO, YES, REFUSED, DOUBT = (
    Outcome.UNSENT,
    Outcome.ACCEPTED,
    Outcome.REFUSED,
    Outcome.IN_DOUBT,
)
THROTTLED, BAD_NUMBER = 0x58, 0x0B


def template(parts: int = 1) -> SubmitTemplate:
    """Give a text of some parts."""
    return SubmitTemplate([(smpp.SubmitSm(short_message=b"x"), ())] * parts)


def bound(requests_max: int = 20_000) -> SmppSession:
    """Give a session that is bound; its next sequence number is 2."""
    rules = RULES.model_copy(update={"window_requests_max": requests_max})
    one = SmppSession(rules, Credentials("gateway", "secret"))
    one.tick(now=0.0)
    assert one.receive(answer(smpp.BindTransmitterResp(system_id="s"), 1), now=0.0) == [Bound("s")]
    one.outgoing()
    return one


def answer(body: smpp.Body, number: int, status: int = 0, *tlvs: smpp.Tlv) -> bytes:
    """Write what a message centre sends."""
    return smpp.encode(smpp.Pdu(body, number, status, tlvs))


def accepted(number: int, status: int = 0) -> bytes:
    """Write a submit_sm_resp; a refusal has no body."""
    octets = answer(smpp.SubmitSmResp(message_id="1"), number, status)
    return octets if not status else b"\0\0\0\x10" + octets[4:16]


def send(
    one: SmppSession,
    count: int,
    *,
    parts: int = 1,
    token: object = "t",  # noqa: S107 - it names a range
    now: float = 0.0,
) -> list[int]:
    """Send a message of some parts to so many; gives the sequence numbers."""
    one.request_many(template(parts), ["82"] * count, token=token, now=now)
    sent = smpp.Framer().receive(one.outgoing())
    numbers = [pdu.sequence_number for pdu in sent if isinstance(pdu, smpp.Pdu)]
    assert len(numbers) == count * parts
    return numbers


def test_range_is_settled_once() -> None:
    """One event with an outcome for each, when the last answer has come, in any order."""
    one = bound()
    numbers = send(one, 4)
    statuses = dict(zip(numbers, [0, BAD_NUMBER, THROTTLED, 0], strict=True))

    for number in (numbers[3], numbers[0], numbers[2]):
        assert one.receive(accepted(number, statuses[number]), now=0.1) == []
    assert one.in_flight == one.in_flight_of_ranges == 1
    (settled,) = one.receive(accepted(numbers[1], BAD_NUMBER), now=0.1)

    assert settled == Settled(
        "t", bytes([YES, REFUSED, NO, YES]), {1: BAD_NUMBER, 2: THROTTLED}, accepted=3, throttled=1
    )
    assert one.in_flight == 0


def test_second_answer_among_others_says_nothing() -> None:
    """What was refused first stays refused, though a run of answers names it again."""
    one = bound()
    numbers = send(one, 3)
    assert one.receive(accepted(numbers[0], BAD_NUMBER), now=0.1) == []

    (settled,) = one.receive(b"".join(accepted(number) for number in numbers), now=0.1)

    assert settled.outcomes == bytes([REFUSED, YES, YES])
    assert settled.refusals == {0: BAD_NUMBER}


def test_range_has_one_timer() -> None:
    """What is not answered in time is in doubt, and the session goes on."""
    one = bound()
    numbers = send(one, 3, now=1.0)
    assert one.next_tick() == 1.0 + TIMEOUT_S
    one.receive(accepted(numbers[1]), now=2.0)
    assert one.tick(now=TIMEOUT_S) == []

    (settled,) = one.tick(now=1.0 + TIMEOUT_S)

    assert isinstance(settled, Settled)
    assert (bytes([DOUBT, YES, DOUBT]), 1, 0) == (
        settled.outcomes,
        settled.accepted,
        settled.throttled,
    )
    assert one.state is State.BOUND
    assert one.in_flight == 0


def test_late_answer_is_told_and_is_no_stray() -> None:
    """It names the message; a second one says nothing, readable or not; three do not close."""
    one = bound()
    first, second = send(one, 2)
    one.tick(now=TIMEOUT_S)

    late = one.receive(accepted(first) + accepted(second, THROTTLED), now=11.0)
    again = one.receive(accepted(first) * 3 + accepted(second) * 3, now=12.0)
    unreadable = answer(smpp.SubmitSmResp(), first)[:-1] + b"x"
    assert one.receive(unreadable * 3, now=13.0) == []

    assert late == [Late("t", 0, YES), Late("t", 1, NO)]
    assert again == []
    assert one.state is State.BOUND


def test_late_answer_that_leaves_a_message_in_doubt_tells_nothing() -> None:
    """One of two parts is not enough; the second one is."""
    one = bound()
    first, second = send(one, 1, parts=2)
    one.tick(now=TIMEOUT_S)

    assert one.receive(accepted(first), now=11.0) == []
    assert one.receive(accepted(second), now=11.0) == [Late("t", 0, YES)]


@pytest.mark.parametrize(("since", "is_known"), [(LATE_NUMBERS_MAX - 1, True), (10_001, False)])
def test_late_answers_are_known_for_so_many_numbers(since: int, is_known: bool) -> None:
    """Within the last 10,000; what is older is a stray, and the third one closes."""
    one = bound()
    (old,) = send(one, 1, token="old")
    one.tick(now=TIMEOUT_S)
    begin = old + 1
    for count in (since // 2, since - since // 2):
        send(one, count, now=TIMEOUT_S)
        one.receive(b"".join(map(accepted, range(begin, begin + count))), now=TIMEOUT_S)
        begin += count

    events = one.receive(accepted(old) * 3, now=TIMEOUT_S)

    expected: list[object] = [Late("old", 0, YES)]
    closed: list[object] = [Closed("3 answers to nothing that was asked")]
    assert (expected if is_known else closed) == events


def test_unknown_answers_are_counted_and_the_third_closes() -> None:
    """Also in the middle of a run; what is open then is in doubt."""
    one = bound()
    numbers = send(one, 2)
    run = b"".join(map(accepted, [900, 901, numbers[0], 902, numbers[1]]))

    settled, closed = one.receive(run, now=0.1)

    assert isinstance(settled, Settled)
    assert (settled.outcomes, closed) == (
        bytes([YES, DOUBT]),
        Closed("3 answers to nothing that was asked"),
    )


def test_answers_to_a_bind_that_is_not_answered_are_strays() -> None:
    """Nothing was asked yet."""
    one = SmppSession(RULES, Credentials("gateway", "secret"))
    one.tick(now=0.0)

    (closed,) = one.receive(accepted(5) * 3, now=0.0)

    assert isinstance(closed, Closed)


def test_single_requests_and_ranges_share_the_window() -> None:
    """No room for all means that nothing is sent; an answer goes to whoever asked."""
    one = bound(requests_max=3)
    one.request(smpp.SubmitSm(), (), token="single", now=0.0)
    one.outgoing()
    with pytest.raises(ValueError, match="1 requests in flight"):
        send(one, 3)
    numbers = send(one, 2)
    assert not one.may_request()

    single, settled = one.receive(b"".join(map(accepted, [2, *numbers])), now=0.1)

    assert single == Answered("single", smpp.Pdu(smpp.SubmitSmResp(message_id="1"), 2))
    assert isinstance(settled, Settled)
    assert settled.outcomes == bytes([YES, YES])


def test_what_cannot_be_written_is_not_sent() -> None:
    """No number is used up and nothing waits."""
    one = bound()

    with pytest.raises(EncodeError):
        one.request_many(template(), ["82", "전화"], token="t", now=0.0)

    assert (one.outgoing(), one.in_flight, send(one, 1)) == (b"", 0, [2])


def test_range_does_not_run_over_the_last_number() -> None:
    """It begins anew at 1 as a whole."""
    one = bound()
    one._sequence_number = smpp.SEQUENCE_NUMBER_MAX - 2

    assert send(one, 3) == [1, 2, 3]
    one._sequence_number = smpp.SEQUENCE_NUMBER_MAX - 2
    assert send(one, 2) == [smpp.SEQUENCE_NUMBER_MAX - 1, smpp.SEQUENCE_NUMBER_MAX]
    assert send(one, 1, token="u") == [1]


def test_answers_with_tlvs_are_taken_one_by_one() -> None:
    """congestion_state is told before the outcome."""
    one = bound()
    (number,) = send(one, 1)
    tlv = smpp.Tlv.integer(smpp.TlvTag.CONGESTION_STATE, 95)

    congestion, settled = one.receive(answer(smpp.SubmitSmResp(), number, 0, tlv), now=0.1)

    assert congestion == Congestion(95)
    assert isinstance(settled, Settled)
    assert settled.outcomes == bytes([YES])


def test_answer_that_cannot_be_read_leaves_one_in_doubt() -> None:
    """Those before and after it stand; said twice it changes nothing."""
    one = bound()
    numbers = send(one, 3)
    broken = accepted(numbers[1])[:-1] + b"x"

    assert one.receive(accepted(numbers[0]) + broken + broken, now=0.1) == []
    (settled,) = one.receive(accepted(numbers[2]), now=0.1)

    assert isinstance(settled, Settled)
    assert settled.outcomes == bytes([YES, DOUBT, YES])


def test_lost_connection_ends_all_ranges() -> None:
    """Oldest first; a later answer cannot come any more."""
    one = bound()
    send(one, 1, token="a")
    send(one, 2, token="b", now=1.0)
    one.request(smpp.SubmitSm(), (), token="c", now=0.0)

    unanswered, first, second, closed = one.lost()

    assert unanswered == Unanswered("c")
    assert [(event.token, event.outcomes) for event in (first, second)] == [  # type: ignore[attr-defined]
        ("a", bytes([DOUBT])),
        ("b", bytes([DOUBT, DOUBT])),
    ]
    assert isinstance(closed, Closed)


@pytest.mark.parametrize(
    ("parts", "outcome", "refusals"),
    [
        ([0, 0], YES, {}),
        ([THROTTLED, 0], NO, {0: THROTTLED}),
        ([0, THROTTLED], DOUBT, {0: THROTTLED}),
        ([0, BAD_NUMBER], REFUSED, {0: BAD_NUMBER}),
        ([BAD_NUMBER, THROTTLED], REFUSED, {0: BAD_NUMBER}),
        ([0, None], DOUBT, {}),
        ([None, THROTTLED], DOUBT, {}),
        ([THROTTLED, None], NO, {0: THROTTLED}),
    ],
)
def test_message_of_parts_has_one_outcome(
    parts: list[int | None], outcome: Outcome, refusals: dict[int, int]
) -> None:
    """Without its first part it is none; once that was taken, the rest may not go out again."""
    batch = Batch(7, 1, 2, token="t", due=1.0)
    for index, status in enumerate(parts):
        if status is not None:
            batch.take(index, [status])

    settled = batch.settled()

    assert (bytes([outcome]), refusals) == (settled.outcomes, settled.refusals)
    assert outcome is batch.outcome_of(0)


STATUSES = st.sampled_from([0, 0, 0, THROTTLED, BAD_NUMBER, 0x14, None])


def of_parts(statuses: list[int | None]) -> Outcome:
    """Say what becomes of a message, as plainly as possible."""
    for part, status in enumerate(statuses):
        if status is None:
            return DOUBT
        if status in {THROTTLED, 0x14}:
            return DOUBT if part else NO
        if status:
            return REFUSED
    return YES


@given(
    st.integers(1, 3),
    st.lists(st.lists(STATUSES, min_size=1, max_size=12), min_size=1, max_size=5),
    st.randoms(use_true_random=False),
    st.integers(1, 200),
    st.booleans(),
)
def test_outcomes_are_those_of_the_answers(
    parts: int, ranges: list[list[int | None]], rng: Any, piece: int, is_shuffled: bool
) -> None:
    """In any order, in any pieces, with some missing: each range has one event, by index."""
    one = bound()
    expected: dict[int, bytes] = {}
    answers: list[bytes] = []
    for token, statuses in enumerate(ranges):
        whole = [[*statuses[at:], *statuses[:at]][:parts] for at in range(len(statuses))]
        whole = [(message * parts)[:parts] for message in whole]
        expected[token] = bytes(map(of_parts, whole))
        flat = [status for message in whole for status in message]
        numbers = send(one, len(whole), parts=parts, token=token)
        pairs = zip(numbers, flat, strict=True)
        answers += [accepted(number, status) for number, status in pairs if status is not None]
    if is_shuffled:
        rng.shuffle(answers)
    octets = b"".join(answers)
    events: list[Any] = []
    for at in range(0, len(octets), piece):
        events += one.receive(octets[at : at + piece], now=0.5)
    events += one.tick(now=TIMEOUT_S)

    assert expected == {event.token: event.outcomes for event in events}
    assert len(ranges) == len(events)
    assert one.in_flight == 0


@pytest.mark.parametrize("extra", [(), (smpp.Tlv(smpp.TlvTag.CONGESTION_STATE, b"\x07"),)])
def test_what_the_centre_calls_them_is_told_where_receipts_are_wanted(
    extra: tuple[smpp.Tlv, ...],
) -> None:
    """By part, whether the answers are read in bulk or one by one; nothing where it refused."""
    one = SmppSession(RULES, Credentials("gateway", "secret"), takes_incoming=True)
    one.tick(now=0.0)
    one.receive(answer(smpp.BindTransmitterResp(system_id="s"), 1), now=0.0)
    one.outgoing()
    wanted = SubmitTemplate([(smpp.SubmitSm(short_message=b"x", registered_delivery=1), ())])
    assert wanted.wants_receipts
    one.request_many(wanted, ["82"] * 4, token="t", now=0.0)

    octets = answer(smpp.SubmitSmResp(message_id="0a"), 2, 0, *extra)
    octets += accepted(3, BAD_NUMBER)
    octets += answer(smpp.SubmitSmResp(message_id="0b"), 4)
    octets += answer(smpp.SubmitSmResp(message_id="0c"), 5)
    octets += answer(smpp.SubmitSmResp(message_id="again"), 5)
    settled = [event for event in one.receive(octets, now=0.1) if isinstance(event, Settled)]

    assert [event.ids for event in settled] == [[b"0a", b"", b"0b", b"0c"]]


def test_ids_of_answers_are_those_of_the_ordinary_decoder() -> None:
    """Empty ones, long ones, and refusals that have no body."""
    octets = b"".join(
        [
            answer(smpp.SubmitSmResp(message_id=""), 1),
            answer(smpp.SubmitSmResp(message_id="x" * 64), 2),
            accepted(3, BAD_NUMBER),
            answer(smpp.SubmitSmResp(message_id="ab"), 4),
        ]
    )

    found, _ = read_answers(octets, 0)

    assert found.ids(0, 4) == [b"", b"x" * 64, b"", b"ab"]
    assert found.ids(1, 2) == [b"x" * 64]
