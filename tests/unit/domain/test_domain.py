"""The domain's values: buckets, transitions, approval rules, orders in their stored form."""

import itertools
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbgateway.domain import errors
from cbgateway.domain.broadcast import Broadcast, GeographicalScope, Page, SerialNumber
from cbgateway.domain.bulletin import BulletinKind, BulletinState, MessageType, Person
from cbgateway.domain.lifecycle import (
    BULLETIN_TRANSITIONS,
    DELIVERY_TRANSITIONS,
    DeliveryState,
    advance_bulletin,
    advance_delivery,
    check_may_approve,
    check_may_submit,
)
from cbgateway.domain.orders import (
    Area,
    Stop,
    Submit,
    WriteReplace,
    decode_order,
    encode_order,
    order_hash,
)
from cbgateway.domain.rate import Empty, TokenBucket

AT = datetime(2021, 10, 25, 3, 45, tzinfo=UTC)
ALICE = Person("alice", "k1", b"1" * 32, True, False, ("KR",), ("safety",))
BOB = Person("bob", "k2", b"2" * 32, False, True, ("KR",), ("safety",))


@given(
    st.integers(1, 50),
    st.floats(0.001, 10),
    st.lists(st.floats(0, 1000), min_size=1, max_size=60),
)
def test_bucket_never_gives_more_than_it_refills(
    capacity: int, refill_per_s: float, gaps_s: list[float]
) -> None:
    """Over any stretch, at most capacity plus what came back is taken, and the wait is honest."""
    bucket, now_s, taken = TokenBucket(capacity, refill_per_s, capacity, 0.0), 0.0, 0
    for gap_s in gaps_s:
        now_s += gap_s
        result = bucket.take(now_s)
        if isinstance(result, Empty):
            assert isinstance(bucket.take(now_s + result.refills_in_s + 1e-6), TokenBucket)
        else:
            bucket, taken = result, taken + 1

    assert taken <= capacity + now_s * refill_per_s + 1e-6


def test_clock_that_goes_back_refills_nothing() -> None:
    """A bucket moves forward only."""
    bucket = TokenBucket(4, 1.0, 0.0, 100.0)

    assert bucket.at(50.0) == bucket
    assert bucket.take(50.0) == Empty(refills_in_s=1.0)


@pytest.mark.parametrize(("state", "to"), list(itertools.product(DeliveryState, repeat=2)))
def test_delivery_moves_by_the_table_alone(state: DeliveryState, to: DeliveryState) -> None:
    """Each pair is either in the table or refused by name."""
    if to in DELIVERY_TRANSITIONS[state]:
        assert to is advance_delivery(state, to)
    else:
        with pytest.raises(errors.WorkflowError, match=f"is {state}"):
            advance_delivery(state, to)


@pytest.mark.parametrize(("state", "to"), list(itertools.product(BulletinState, repeat=2)))
def test_bulletin_moves_by_the_table_alone(state: BulletinState, to: BulletinState) -> None:
    """Each pair is either in the table or refused by name."""
    if to in BULLETIN_TRANSITIONS[state]:
        assert to is advance_bulletin(state, to)
    else:
        with pytest.raises(errors.WorkflowError, match=f"is {state}"):
            advance_bulletin(state, to)


def test_tables_cover_every_state_and_have_ends() -> None:
    """No state is forgotten, and what was sent can no longer be un-sent."""
    assert set(DELIVERY_TRANSITIONS) == set(DeliveryState)
    assert set(BULLETIN_TRANSITIONS) == set(BulletinState)
    assert DELIVERY_TRANSITIONS[DeliveryState.ACKED] == frozenset()
    assert DeliveryState.SUPERSEDED not in DELIVERY_TRANSITIONS[DeliveryState.INTENT]


@pytest.mark.parametrize(
    ("person", "error"),
    [
        (replace(ALICE, is_revoked=True), errors.PermissionDeniedError),
        (replace(ALICE, may_submit=False), errors.PermissionDeniedError),
        (replace(ALICE, classes=("emergency",)), errors.PermissionDeniedError),
    ],
)
def test_who_may_not_submit(person: Person, error: type[Exception]) -> None:
    """Revoked, without the role, without the class."""
    check_may_submit(ALICE, alert_class="safety")
    with pytest.raises(error):
        check_may_submit(person, alert_class="safety")


@pytest.mark.parametrize(
    ("person", "error"),
    [
        (ALICE, errors.SamePersonError),
        (replace(BOB, public_key=ALICE.public_key), errors.SamePersonError),
        (replace(BOB, is_revoked=True), errors.PermissionDeniedError),
        (replace(BOB, may_approve=False), errors.PermissionDeniedError),
        (replace(BOB, classes=()), errors.PermissionDeniedError),
    ],
)
def test_who_may_not_approve(person: Person, error: type[Exception]) -> None:
    """The author under any name or key, and whoever lacks the permission."""
    check_may_approve(BOB, submitted_by=ALICE, alert_class="safety")
    with pytest.raises(error):
        check_may_approve(person, submitted_by=ALICE, alert_class="safety")


def test_restored_is_an_update() -> None:
    """Only a withdrawal cancels; good news updates (CAP 1.2 msgType)."""
    kinds = {kind: kind.message_type for kind in BulletinKind}

    assert kinds[BulletinKind.FIRST] is MessageType.ALERT
    assert kinds[BulletinKind.RESTORED] is MessageType.UPDATE
    assert [kind for kind, of in kinds.items() if of is MessageType.CANCEL] == [
        BulletinKind.WITHDRAWAL
    ]


COMMON: dict[str, Any] = {
    "bulletin_id": "inc-1/1",
    "alert_class": "safety",
    "area": Area("KR-26", {"ko": "부산", "en": "Busan"}),
    "expires_at": AT,
}
SERIAL = SerialNumber(GeographicalScope.PLMN, 291, 5)
ORDERS = [
    WriteReplace(
        **COMMON,
        broadcast=Broadcast("ko", 4372, SERIAL, 0x48, "장애", (Page(bytes(82), 4),)),
        repetition_period_s=30,
        number_of_broadcasts=120,
    ),
    Stop(**COMMON, message_identifier=4372, message_code=291),
    Submit(**COMMON, language="ko", text="장애", recipients=("821012345678",)),
]


@pytest.mark.parametrize("order", ORDERS, ids=lambda order: type(order).__name__)
def test_order_reads_back_from_its_stored_form(order: Any) -> None:
    """What is stored is the order, and its hash is that of its octets."""
    encoded = encode_order(order)

    assert order == decode_order(encoded)
    assert order_hash(encoded) == order_hash(encode_order(decode_order(encoded)))


@pytest.mark.parametrize(
    ("change", "message"),
    [(('"format":1', '"format":2'), "format 2"), (('"order":"stop"', '"order":"go"'), "'go'")],
)
def test_order_of_another_version_is_refused(change: tuple[str, str], message: str) -> None:
    """An outbox written by another version is not guessed at."""
    with pytest.raises(ValueError, match=message):
        decode_order(encode_order(ORDERS[1]).replace(*change))


def test_serial_number_limits() -> None:
    """Sixteen bits, nothing masked; the seventeenth version does not exist."""
    assert int(SERIAL) == 0x5235
    assert SerialNumber.from_int(0xBFFF) == SerialNumber(GeographicalScope.AREA, 1023, 15)
    assert int(SERIAL.updated()) == 0x5236
    for wrong in (-1, 0x10000):
        with pytest.raises(ValueError, match="65535"):
            SerialNumber.from_int(wrong)
    for code, update in ((1024, 0), (-1, 0), (0, 16), (0, -1)):
        with pytest.raises(ValueError, match="is not in"):
            SerialNumber(GeographicalScope.PLMN, code, update)
    with pytest.raises(ValueError, match="16"):
        SerialNumber(GeographicalScope.PLMN, 0, 15).updated()


def test_impossible_pages_cannot_be_made() -> None:
    """Neither a short page, nor an empty one, nor a broadcast without pages."""
    for octets, used in ((bytes(81), 1), (bytes(83), 1), (bytes(82), 0), (bytes(82), 83)):
        with pytest.raises(ValueError, match="octets"):
            Page(octets, used)
    for count in (0, 16):
        with pytest.raises(ValueError, match="pages"):
            Broadcast("ko", 4372, SERIAL, 0x48, "", (Page(bytes(82), 1),) * count)


def test_errors_have_codes_of_their_own() -> None:
    """Every error of the project has a stable name, and no two share one."""
    found = [errors.GatewayError]
    for one in found:
        found += one.__subclasses__()
    ours = {one for one in found if one.__module__.startswith("cbgateway")}
    codes = [one.code for one in ours if "code" in vars(one)]

    assert len(codes) == len(set(codes))
    assert all(one.__doc__ for one in ours)
