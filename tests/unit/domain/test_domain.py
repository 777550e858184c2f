"""The domain's values: buckets, transitions, approval rules, orders in their stored form."""

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbgateway.domain import errors
from cbgateway.domain.broadcast import Broadcast, GeographicalScope, Page, SerialNumber
from cbgateway.domain.bulletin import BulletinKind, BulletinState, MessageType
from cbgateway.domain.delivery import Channel
from cbgateway.domain.incident import IncidentState
from cbgateway.domain.lifecycle import (
    BULLETIN_TRANSITIONS,
    DELIVERY_TRANSITIONS,
    INCIDENT_TRANSITIONS,
    DeliveryState,
    advance_bulletin,
    advance_delivery,
    advance_incident,
    mermaid,
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
from cbgateway.domain.people import (
    Key,
    Permission,
    Person,
    Severity,
    Use,
    check_may_approve,
    check_may_submit,
)
from cbgateway.domain.rate import Empty, TokenBucket

AT = datetime(2021, 10, 25, 3, 45, tzinfo=UTC)
MAY = Permission(("KR",), ("safety",), severity_max=Severity.SEVERE)
ALICE = Person("alice", True, False, MAY)
BOB = Person("bob", False, True, MAY)
USE = Use("safety", Severity.MODERATE, BulletinKind.PROGRESS, frozenset(Channel))


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


TABLES: list[tuple[Any, Any, Any]] = [
    (IncidentState, INCIDENT_TRANSITIONS, advance_incident),
    (BulletinState, BULLETIN_TRANSITIONS, advance_bulletin),
    (DeliveryState, DELIVERY_TRANSITIONS, advance_delivery),
]


@pytest.mark.parametrize(("states", "table", "advance"), TABLES)
def test_states_move_by_the_table_alone(states: Any, table: Any, advance: Any) -> None:
    """Each pair is either in the table or refused by name."""
    for state, to in itertools.product(states, repeat=2):
        if to in table[state]:
            assert to is advance(state, to)
        else:
            with pytest.raises(errors.WorkflowError, match=f"is {state}"):
                advance(state, to)


@pytest.mark.parametrize(("states", "table", "advance"), TABLES)
def test_tables_cover_every_state_and_lead_to_an_end(states: Any, table: Any, advance: Any) -> None:
    """No state is forgotten, every one can be reached, and from every one there is an end."""
    assert set(table) == set(states)
    first = next(iter(table))
    assert {first}.union(*table.values()) == set(states)
    ends = {state for state in states if not table[state]}
    leads = set(ends)
    while more := {state for state in states if table[state] & leads} - leads:
        leads |= more
    assert leads == set(states)
    drawn = mermaid(table)
    assert drawn.count("-->") == sum(max(1, len(after)) for after in table.values())


def test_what_was_sent_cannot_be_unsent() -> None:
    """A yes stays a yes, and what may have left is never called a thing that did not."""
    assert DELIVERY_TRANSITIONS[DeliveryState.ACKED] == frozenset({DeliveryState.DELIVERED})
    for state in (DeliveryState.IN_DOUBT, DeliveryState.INTENT):
        assert DeliveryState.CANCELLED not in DELIVERY_TRANSITIONS[state]


LACKS = [
    {"is_revoked": True},
    {"permission": replace(MAY, classes=("emergency",))},
    {"permission": replace(MAY, severity_max=Severity.MINOR)},
    {"permission": replace(MAY, kinds=(BulletinKind.FIRST,))},
    {"permission": replace(MAY, channels=(Channel.SMS,))},
]


@pytest.mark.parametrize("lack", [{"may_submit": False}, *LACKS])
def test_who_may_not_submit(lack: dict[str, Any]) -> None:
    """Revoked, without the role, the class, the severity, the kind or a channel."""
    check_may_submit(ALICE, USE)
    with pytest.raises(errors.PermissionDeniedError):
        check_may_submit(replace(ALICE, **lack), USE)


@pytest.mark.parametrize("lack", [{"may_approve": False}, {"owner": "carol"}, *LACKS])
def test_who_may_not_approve(lack: dict[str, Any]) -> None:
    """Whoever lacks a permission, and machines."""
    check_may_approve(BOB, USE, hands=[ALICE])
    with pytest.raises(errors.PermissionDeniedError):
        check_may_approve(replace(BOB, **lack), USE, hands=[ALICE])


@pytest.mark.parametrize(
    ("person", "hands"),
    [
        (BOB, [BOB]),
        (BOB, [ALICE, BOB]),
        (BOB, [ALICE, replace(ALICE, name="monitor", owner="bob")]),
        (replace(BOB, owner="alice"), [ALICE]),
    ],
)
def test_whoever_had_a_hand_in_it_may_not_approve(person: Person, hands: list[Person]) -> None:
    """Author, editor, and who answers for the key of a machine that wrote it."""
    with pytest.raises(errors.SamePersonError):
        check_may_approve(person, USE, hands=hands)


def test_key_counts_in_its_time_only() -> None:
    """From its beginning to its end, and never once it was revoked."""
    key = Key("k", "alice", b"1" * 32, since=AT, until=AT + timedelta(hours=1))

    assert key.is_valid_at(AT)
    assert not key.is_valid_at(AT - timedelta(seconds=1))
    assert not key.is_valid_at(AT + timedelta(hours=1))
    assert replace(key, until=None).is_valid_at(AT + timedelta(days=999))
    assert not replace(key, is_revoked=True).is_valid_at(AT)


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
