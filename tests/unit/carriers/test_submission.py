"""A Submit on its way: what goes out again, what ends it, and what it reports."""

from datetime import UTC, datetime

from cbgateway.carriers.smpp.batch import Settled
from cbgateway.carriers.smpp.submission import PATIENCE_S, Submission
from cbgateway.domain.orders import Area, Submit
from cbgateway.domain.outcomes import Outcome

NO, YES, REFUSED, DOUBT = Outcome.UNSENT, Outcome.ACCEPTED, Outcome.REFUSED, Outcome.IN_DOUBT
THROTTLED, FULL, SYSTEM_ERROR, BAD_NUMBER = 0x58, 0x14, 0x08, 0x0B


def submission(count: int, *, parts: int = 1) -> Submission:
    """Give an order for short messages that has just come."""
    order = Submit(
        bulletin_id="inc-1/1",
        alert_class="safety",
        area=Area("KR-26", {"ko": "부산", "en": "Busan"}),
        language="ko",
        text="x",
        recipients=tuple(map(str, range(count))),
        expires_at=datetime(2021, 10, 25, 4, 0, tzinfo=UTC),
    )
    return Submission(order, now=0.0, parts=parts)


def settled(*outcomes: Outcome, **refusals: int) -> Settled:
    """Give what came of a range: `_2=0x58` says why the third was refused."""
    causes = {int(name[1:]): status for name, status in refusals.items()}
    return Settled(None, bytes(outcomes), causes, accepted=0, throttled=0)


def test_refused_for_want_of_room_goes_out_again_behind_the_others() -> None:
    """It was not taken; in the end everybody has got one, and no refusal is reported."""
    one = submission(4)
    first = one.take(3)
    one.settle(first, settled(YES, NO, NO, _1=THROTTLED, _2=FULL), now=0.1)
    assert one.waiting == 3
    rest = one.take(9)
    one.settle(rest, settled(YES), now=0.2)
    again = one.take(9)
    one.settle(again, settled(YES, YES), now=0.3)

    assert [list(first), list(rest), list(again)] == [[0, 1, 2], [3], [1, 2]]
    assert (one.waiting, one.in_flight) == (0, 0)
    assert one.report().outcomes == bytes([YES] * 4)
    assert dict(one.report().causes) == {}


def test_other_passing_refusal_ends_the_order() -> None:
    """What has not left stays unsent, as does the one that was refused."""
    one = submission(4)
    one.settle(one.take(2), settled(NO, YES, _0=0x64), now=0.1)

    assert one.waiting == 0
    assert one.report().outcomes == bytes([NO, YES, NO, NO])


def test_refusal_for_good_and_doubt_stand() -> None:
    """Neither goes out again."""
    one = submission(3)
    one.settle(one.take(3), settled(YES, REFUSED, DOUBT, _1=BAD_NUMBER), now=0.1)

    assert one.waiting == 0
    assert one.report().outcomes == bytes([YES, REFUSED, DOUBT])
    assert dict(one.report().causes) == {"ESME_RINVDSTADR": 1}


def test_patience_ends_only_where_nothing_is_taken() -> None:
    """As long as something is accepted it goes on; refused for three seconds, it comes back."""
    one = submission(3)
    one.settle(one.take(2), settled(YES, NO, _1=THROTTLED), now=PATIENCE_S - 0.1)
    one.settle(one.take(1), settled(NO, _0=THROTTLED), now=PATIENCE_S + 0.1)
    assert one.waiting == 2

    one.settle(one.take(1), settled(NO, _0=THROTTLED), now=2 * PATIENCE_S)

    assert one.waiting == 0
    assert one.report().outcomes == bytes([YES, NO, NO])
    assert dict(one.report().causes) == {"ESME_RTHROTTLED": 2}


def test_stopped_order_waits_for_what_is_in_flight() -> None:
    """Nothing more is taken out, and its answers still count."""
    one = submission(3)
    sent = one.take(2)
    one.stop()
    assert (one.waiting, one.in_flight, one.has_sent) == (0, 2, True)

    one.settle(sent, settled(YES, YES), now=0.1)

    assert one.in_flight == 0
    assert one.report().outcomes == bytes([YES, YES, NO])


def test_message_by_message_is_settled_too() -> None:
    """A message that was put off ends the order."""
    one = submission(3)
    one.take(1)
    one.settle_one(0, YES, None)
    one.take(1)
    one.settle_one(1, NO, SYSTEM_ERROR)

    assert (one.waiting, one.in_flight) == (0, 0)
    assert one.report().outcomes == bytes([YES, NO, NO])
    assert dict(one.report().causes) == {"ESME_RSYSERR": 1}


def test_ids_are_reported_by_part_in_the_order_of_recipients() -> None:
    """Whatever order they were taken in; a message that went part by part has them too."""
    one = submission(4, parts=2)
    first = one.take(2)
    one.settle(
        first,
        Settled(None, bytes([NO, YES]), {0: THROTTLED}, 0, 1, [b"", b"", b"b1", b"b2"]),
        now=0,
    )
    (third,) = one.take(1)
    one.settle_one(third, DOUBT, None, [b"c1"])
    (fourth,) = one.take(1)
    one.settle_one(fourth, YES, None)
    again = one.take(1)
    one.settle(again, Settled(None, bytes([YES]), {}, 2, 0, [b"a1", b"a2"]), now=0)

    report = one.report()

    assert list(report.ids) == [b"a1", b"a2", b"b1", b"b2", b"c1", b"", b"", b""]
    assert report.parts == 2
