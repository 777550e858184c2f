"""The outbox, step by step: second copies, crashes at each point, budgets, stops, what overtakes.

The dispatcher's part is played by hand here, so that each step can be stopped after.
"""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from cbgateway.domain.bulletin import BulletinState
from cbgateway.domain.delivery import Channel
from cbgateway.domain.errors import (
    GatewayError,
    NotSentError,
    RejectedError,
    SamePersonError,
    UnansweredError,
    UnknownNameError,
)
from cbgateway.domain.lifecycle import DeliveryState
from cbgateway.domain.orders import BroadcastReport, Stop, Submit
from cbgateway.domain.outcomes import Outcome
from cbgateway.service import budgets, planning
from cbgateway.service import outbox as outbox_module
from cbgateway.service.outbox import RETRY_DELAY_MAX_S, Answers, Leased, Outbox, Stream

YES, NO, DOUBT, NONE = (
    Outcome.ACCEPTED,
    Outcome.REFUSED,
    Outcome.IN_DOUBT,
    Outcome.UNSENT,
)
ABSENT = RejectedError("ESME_RINVMSGID", is_temporary=False, is_absent=True)
REFUSED = RejectedError("ESME_RSYSERR", is_temporary=False)
THROTTLED = RejectedError("ESME_RTHROTTLED", is_temporary=True)


def reference(leased: Leased) -> str:
    """Give a name that no other broadcast has."""
    lineage = leased.delivery.lineage
    return f"ref-{leased.order.bulletin_id}-{lineage.region}-{lineage.message_identifier}"


class Desk:
    """Plays the dispatcher for one peer."""

    def __init__(self, office: Any, *, peer: str = "kt", in_doubt: str | None = None) -> None:
        self.office = office
        self.peer = peer
        deployment = office.gateway.deployment
        if in_doubt is not None:
            classes = {
                name: one.model_copy(update={"sms_in_doubt": in_doubt})
                for name, one in deployment.country.classes.items()
            }
            country = deployment.country.model_copy(update={"classes": classes})
            deployment = replace(deployment, country=country)
        self.outbox = Outbox(deployment)

    @property
    def now(self) -> Any:
        """What time it is."""
        return self.office.clock.now()

    def lease(self, *, with_sms: bool = True, rank_max: int = 99, limit: int = 16) -> list[Leased]:
        """Take what is due."""
        taken = self.look(with_sms=with_sms, rank_max=rank_max, limit=limit)
        return [] if taken is None else taken

    def look(
        self, *, with_sms: bool = True, rank_max: int = 99, limit: int = 16
    ) -> list[Leased] | None:
        """Take what is due, or hear that nothing is."""
        with self.office.gateway.store.transaction() as tx:
            return self.outbox.lease(
                tx,
                self.peer,
                now=self.now,
                limit=limit,
                with_sms=with_sms,
                rank_max=rank_max,
            )

    def stream(self, leased: list[Leased] | None = None) -> Stream:
        """Open the chunk that is due; the peer says yes to the broadcasts beside it."""
        taken = self.lease() if leased is None else leased
        (one,) = [one for one in taken if isinstance(one.order, Submit)]
        for other in taken:
            if other is not one:
                self.acknowledge(other)
        assert isinstance(one.order, Submit)
        return self.outbox.open_stream(one, one.order)

    def step(
        self,
        stream: Stream,
        octets: list[Outcome] | None = None,
        *,
        size: int = 2,
        reason: str = "",
    ) -> bool:
        """Note what came of a window and go on to the next one."""
        causes = {} if octets is None else {"ESME_RINVDSTADR": octets.count(NO)}
        answers = None
        if octets is not None:
            answers = Answers(bytes(octets), {k: v for k, v in causes.items() if v}, reason)
        with self.office.gateway.store.transaction() as tx:
            return self.outbox.next_window(tx, stream, answers, size=size, now=self.now, jitter=1.0)

    def acknowledge(self, leased: Leased, *, failed: tuple[str, ...] = (), name: str = "") -> None:
        """Have the peer say yes."""
        with self.office.gateway.store.transaction() as tx:
            report = BroadcastReport(name or reference(leased), failed)
            self.outbox.acknowledge(tx, leased, report, now=self.now)

    def fail(self, leased: Leased, error: GatewayError) -> None:
        """Have it come to nothing."""
        with self.office.gateway.store.transaction() as tx:
            self.outbox.fail(tx, leased, error, now=self.now, jitter=1.0)

    def recover(self) -> dict[str, int]:
        """Start again after a crash."""
        with self.office.gateway.store.transaction() as tx:
            return self.outbox.recover(tx, now=self.now)

    def sweep(self) -> bool:
        """Look around."""
        with self.office.gateway.store.transaction() as tx:
            return self.outbox.sweep(tx, now=self.now)

    def rows(self, bulletin_id: str | None = None, **particulars: Any) -> list[Any]:
        """Give this peer's rows."""
        with self.office.gateway.store.read() as tx:
            return [
                row
                for row in tx.deliveries(bulletin_id)
                if row.lineage.peer_id == self.peer
                and all(getattr(row, name) == value for name, value in particulars.items())
            ]

    def chunk(self) -> Any:
        """Give the one chunk that there is."""
        (row,) = [row for row in self.rows() if row.recipients]
        return row

    def states(self, bulletin_id: str | None = None) -> set[DeliveryState]:
        """Give the states of this peer's orders."""
        return {row.state for row in self.rows(bulletin_id)}

    def bulletin(self, bulletin_id: str = "inc-1/1") -> BulletinState:
        """Give a bulletin's state."""
        with self.office.gateway.store.read() as tx:
            state: BulletinState = tx.bulletin(bulletin_id).state
            return state


def import_busan(office: Any, count: int) -> None:
    """Put subscribers in Busan on KT's list."""
    lines = [f"8210{n:08d},KR-26,ko" for n in range(count)]
    rows = "\n".join(["number,region,language", *lines])
    office.gateway.import_recipients("kt", rows.encode())


def another(office: Any, name: str = "inc-2", **changes: Any) -> dict[str, Any]:
    """Give a first bulletin about another outage."""
    document: dict[str, Any] = office.document(allow_duplicate=True, **changes)
    document["incident"]["id"] = name
    return document


def next_stream(desk: Desk, after: Stream, *, size: int = 2) -> Stream | None:
    """Go on with the chunk that is due after one."""
    with desk.office.gateway.store.transaction() as tx:
        return desk.outbox.next_stream(tx, after, size=size, now=desk.now, jitter=1.0)


# Chunk after chunk


@pytest.fixture
def chunks(office: Any, monkeypatch: pytest.MonkeyPatch) -> tuple[Desk, Stream]:
    """Give the end of the first of two chunks of two recipients each."""
    monkeypatch.setattr(planning, "CHUNK_RECIPIENTS_MAX", 2)
    import_busan(office, 4)
    office.issue(office.document())
    desk = Desk(office)
    stream = desk.stream()
    assert desk.step(stream)
    assert not desk.step(stream, [YES, YES])
    return desk, stream


def test_next_chunk_is_leased_with_its_first_window(chunks: tuple[Desk, Stream]) -> None:
    """Everybody is in one chunk, and what is about to leave is committed with the lease."""
    desk, first = chunks

    second = next_stream(desk, first)

    assert second is not None
    assert [0, 1] == second.window
    assert not {*first.order.recipients} & {*second.order.recipients}
    (row,) = desk.rows(state=DeliveryState.INTENT)
    assert bytes([Outcome.SENDING] * 2) == row.outcomes
    assert not desk.step(second, [YES, YES])
    assert next_stream(desk, second) is None


def test_next_chunk_waits_for_what_comes_first(office: Any, chunks: tuple[Desk, Stream]) -> None:
    """A higher class is due first: the dispatcher has to look at everything again."""
    desk, first = chunks
    office.issue(another(office, **{"class": "critical"}))

    assert next_stream(desk, first) is None
    assert [] == desk.rows(state=DeliveryState.INTENT)


def test_next_chunk_of_a_superseded_bulletin_is_not_sent(chunks: tuple[Desk, Stream]) -> None:
    """It is settled instead of leased."""
    desk, first = chunks
    with desk.office.gateway.store.transaction() as tx:
        tx.set_bulletin_state("inc-1/1", BulletinState.SUPERSEDED)

    assert next_stream(desk, first) is None
    assert DeliveryState.SUPERSEDED in desk.states()


def test_next_chunk_of_a_lapsed_bulletin_is_left_to_the_lease(
    office: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bulletin of which nothing was taken while its approval counted goes back to its authors."""
    monkeypatch.setattr(planning, "CHUNK_RECIPIENTS_MAX", 2)
    import_busan(office, 4)
    office.issue(office.document())
    desk = Desk(office)
    taken = desk.lease()
    (chunk,) = [one for one in taken if isinstance(one.order, Submit)]
    for one in taken:
        if one is not chunk:
            desk.fail(one, REFUSED)
    stream = desk.stream([chunk])
    assert desk.step(stream)
    assert not desk.step(stream, [NO, NO])
    office.clock.advance(office.gateway.deployment.country.approval_valid_s + 1)

    assert next_stream(desk, stream) is None
    assert [] == desk.rows(state=DeliveryState.INTENT)
    assert BulletinState.APPROVED is desk.bulletin()


# Second copies of short messages


def test_resend_sends_second_copies_at_once(office: Any) -> None:
    """Where the class says so, those in doubt are due again without a pause, and once."""
    import_busan(office, 2)
    desk = Desk(office, in_doubt="resend")
    office.issue(office.document())
    stream = desk.stream()
    assert desk.step(stream)

    assert desk.step(stream, [YES, DOUBT]) is False
    assert (desk.chunk().state, desk.chunk().outcomes) == (DeliveryState.IN_DOUBT, bytes([1, 3]))
    assert desk.bulletin() is BulletinState.LIVE
    second = desk.stream()
    assert desk.step(second)
    assert second.window == [1]
    assert desk.step(second, [DOUBT]) is False
    assert (desk.chunk().state, desk.chunk().outcomes) == (DeliveryState.IN_DOUBT, bytes([1, 7]))
    assert "no third" in desk.chunk().reason
    office.clock.advance(3600)
    assert desk.lease() == []
    assert desk.recover() == {}


def test_resend_goes_on_with_second_copies_when_a_link_fails(office: Any) -> None:
    """A window that ended early leaves second copies and the rest of the chunk to be sent."""
    import_busan(office, 4)
    desk = Desk(office, in_doubt="resend")
    office.issue(office.document())
    stream = desk.stream()
    desk.step(stream)

    assert desk.step(stream, [DOUBT, NONE], reason="the link was lost") is False
    assert (desk.chunk().state, desk.chunk().outcomes) == (
        DeliveryState.READY,
        bytes([Outcome.RESEND, 0, 0, 0]),
    )
    assert desk.lease() == []
    office.clock.advance(2)
    second = desk.stream()
    assert desk.step(second, size=9)
    assert second.window == [0, 1, 2, 3]


def test_hold_waits_for_a_receipt_first(office: Any) -> None:
    """Second copies are due after the class's hold, not before."""
    import_busan(office, 2)
    desk = Desk(office, in_doubt="hold")
    office.issue(office.document())
    stream = desk.stream()
    desk.step(stream)
    desk.step(stream, [DOUBT, NO])

    assert desk.chunk().state is DeliveryState.IN_DOUBT
    assert "ESME_RINVDSTADR: 1, second copies go out at" in desk.chunk().reason
    office.clock.advance(59)
    assert [one for one in desk.lease() if isinstance(one.order, Submit)] == []
    office.clock.advance(1)
    second = desk.stream()
    assert desk.step(second)
    assert second.window == [0]
    assert desk.step(second, [YES]) is False
    assert (desk.chunk().state, desk.chunk().outcomes) == (DeliveryState.ACKED, bytes([1, 2]))


def test_hold_never_releases_because_a_link_fails(office: Any) -> None:
    """Who is in doubt waits for the hold, while the rest of the chunk goes on."""
    import_busan(office, 2)
    desk = Desk(office, in_doubt="hold")
    office.issue(office.document())
    stream = desk.stream()
    desk.step(stream)
    desk.step(stream, [DOUBT, NONE], reason="the link was lost")
    office.clock.advance(2)

    second = desk.stream()

    assert desk.step(second)
    assert second.window == [1]
    desk.step(second, [YES])
    assert (desk.chunk().state, desk.chunk().outcomes) == (DeliveryState.IN_DOUBT, bytes([3, 1]))


def test_window_that_failed_with_nobody_left_is_settled(office: Any) -> None:
    """When all of the last window are in doubt there is nothing to try again but by the policy."""
    import_busan(office, 2)
    desk = Desk(office, in_doubt="ask")
    office.issue(office.document())
    stream = desk.stream()
    desk.step(stream)

    assert desk.step(stream, [DOUBT, DOUBT], reason="no answer came") is False
    assert desk.chunk().state is DeliveryState.IN_DOUBT
    assert "`cbgateway bulletin resend`" in desk.chunk().reason


def test_ask_waits_for_an_operator(office: Any) -> None:
    """Nothing goes out again before somebody who may approve says so; then once."""
    import_busan(office, 2)
    desk = Desk(office, in_doubt="ask")
    office.issue(office.document())
    stream = desk.stream()
    desk.step(stream)
    desk.step(stream, [DOUBT, YES])
    office.clock.advance(600)

    assert [one for one in desk.lease() if isinstance(one.order, Submit)] == []
    with pytest.raises(SamePersonError):
        office.gateway.resend("inc-1/1", key=office.keys["alice"])
    with pytest.raises(UnknownNameError, match="inc-7/1"):
        office.gateway.resend("inc-7/1", key=office.keys["bob"])
    assert office.gateway.resend("inc-1/1", key=office.keys["bob"]) == 1
    assert desk.chunk().reason == "bob had second copies sent"
    second = desk.stream()
    assert desk.step(second)
    assert second.window == [0]
    desk.step(second, [DOUBT])
    assert desk.chunk().outcomes == bytes([7, 1])
    assert office.gateway.resend("inc-1/1", key=office.keys["bob"]) == 0
    with office.gateway.store.read() as tx:
        resent = [event.detail for event in tx.events("inc-1/1") if event.what == "resend"]
    assert resent == [{"recipients": 1}, {"recipients": 0}]


def test_refused_second_copy_stays_in_doubt(office: Any) -> None:
    """The first copy may have arrived, whatever the centre says of the second."""
    import_busan(office, 1)
    desk = Desk(office, in_doubt="resend")
    office.issue(office.document())
    stream = desk.stream()
    desk.step(stream)
    desk.step(stream, [DOUBT])
    second = desk.stream()
    desk.step(second)
    desk.step(second, [NO])

    assert desk.chunk().outcomes == bytes([Outcome.IN_DOUBT_TWICE])
    assert desk.chunk().state is DeliveryState.IN_DOUBT


# Crashes


@pytest.mark.parametrize(
    ("policy", "after", "state"),
    [
        ("resend", [5, 5, 0], DeliveryState.READY),
        ("hold", [3, 3, 0], DeliveryState.READY),
        ("ask", [3, 3, 0], DeliveryState.READY),
    ],
)
def test_crash_with_a_window_out_puts_that_window_in_doubt(
    office: Any, policy: str, after: list[int], state: DeliveryState
) -> None:
    """Only what was about to leave is in doubt; the rest of the chunk goes on at once."""
    import_busan(office, 3)
    desk = Desk(office, in_doubt=policy)
    office.issue(office.document())
    stream = desk.stream([one for one in desk.lease() if isinstance(one.order, Submit)])
    desk.step(stream)

    assert desk.recover() == {"kt": 3}
    assert (desk.chunk().state, desk.chunk().outcomes) == (state, bytes(after))
    assert desk.bulletin() is BulletinState.LIVE
    assert [one for one in desk.lease() if isinstance(one.order, Submit)]


def test_crash_before_the_first_window_leaves_nothing_in_doubt(office: Any) -> None:
    """A chunk that was leased, and of which no window was committed, was never sent."""
    import_busan(office, 3)
    desk = Desk(office)
    office.issue(office.document())
    leased = desk.lease(limit=16)
    for one in leased:
        if not isinstance(one.order, Submit):
            desk.fail(one, NotSentError("no link"))

    assert desk.recover() == {}
    assert (desk.chunk().state, desk.chunk().outcomes) == (DeliveryState.READY, bytes(3))
    assert desk.bulletin() is BulletinState.APPROVED


def test_crash_between_windows_keeps_what_was_answered(office: Any) -> None:
    """Answers that were committed count; the window after them is in doubt."""
    import_busan(office, 4)
    desk = Desk(office, in_doubt="hold")
    office.issue(office.document())
    stream = desk.stream()
    desk.step(stream)
    desk.step(stream, [YES, NO])

    desk.recover()

    assert desk.chunk().outcomes == bytes([1, 2, 3, 3])
    assert desk.chunk().state is DeliveryState.IN_DOUBT


def test_crash_while_second_copies_leave_allows_no_third(office: Any) -> None:
    """Whoever may have had two gets no more, by no policy and no operator."""
    import_busan(office, 1)
    desk = Desk(office, in_doubt="resend")
    office.issue(office.document())
    stream = desk.stream()
    desk.step(stream)
    desk.step(stream, [DOUBT])
    desk.step(desk.stream())

    desk.recover()

    assert desk.chunk().outcomes == bytes([Outcome.IN_DOUBT_TWICE])
    assert desk.chunk().state is DeliveryState.IN_DOUBT
    assert office.gateway.resend("inc-1/1", key=office.keys["bob"]) == 0
    office.clock.advance(7200)
    assert desk.lease() == []


def test_crash_after_lease_of_a_held_chunk_holds_again(office: Any) -> None:
    """Second copies that were leased and not committed did not leave."""
    import_busan(office, 1)
    desk = Desk(office, in_doubt="hold")
    office.issue(office.document())
    for one in desk.lease():
        if isinstance(one.order, Submit):
            stream = desk.outbox.open_stream(one, one.order)
        else:
            desk.acknowledge(one)
    desk.step(stream)
    desk.step(stream, [DOUBT])
    office.clock.advance(60)
    assert len(desk.lease()) == 1

    assert desk.recover() == {}
    assert (desk.chunk().state, desk.chunk().outcomes) == (DeliveryState.IN_DOUBT, bytes([3]))
    office.clock.advance(60)
    assert len(desk.lease()) == 1


def test_crashed_broadcast_is_live_and_sent_again(office: Any) -> None:
    """It may be on air, so its bulletin counts as live; the same order is due at once."""
    desk = Desk(office)
    office.issue(office.document())
    first = desk.lease()

    assert desk.recover() == {"kt": 2}
    assert desk.bulletin() is BulletinState.LIVE
    again = desk.lease()
    assert [one.order for one in first] == [one.order for one in again]
    assert all(one.handle.may_be_on_air and one.handle.alias for one in again)


# Broadcasts and stops


def test_lineage_goes_one_after_another(office: Any) -> None:
    """Two orders of one message in one area never leave side by side."""
    desk = Desk(office)
    office.issue(office.document())
    for one in desk.lease():
        desk.acknowledge(one)
    with office.gateway.store.transaction() as tx:
        # as after seventeen versions: the stop of the old code and the first of the new one
        tx._connection.execute("UPDATE serial_number SET update_number = 15")
    office.issue(office.later("withdrawal"))
    office.issue(office.later("correction"))

    leased = desk.lease()

    lineages = [one.delivery.lineage for one in leased]
    assert len(lineages) == len(set(lineages)) == 2


def test_failed_areas_are_written_down(office: Any) -> None:
    """A peer that could not serve all of an area says which part."""
    desk = Desk(office)
    office.issue(office.document())

    desk.acknowledge(desk.lease()[0], failed=("KR-26-1", "KR-26-2"))

    assert desk.rows()[0].reason == "failed areas: KR-26-1, KR-26-2"


def test_replacement_that_the_peer_does_not_know_goes_out_as_new(office: Any) -> None:
    """A peer that has lost the broadcast gets it again at once, as its first."""
    desk = Desk(office)
    office.issue(office.document())
    for one in desk.lease():
        desk.acknowledge(one)
    office.issue(office.later("progress"))
    first = desk.lease()[0]
    assert first.handle.name.startswith("ref-inc-1/1")

    desk.fail(first, ABSENT)  # by its own name
    by_alias = next(one for one in desk.lease() if one.order == first.order)
    assert (by_alias.handle.name, by_alias.handle.may_be_on_air) == ("", True)
    assert by_alias.handle.alias
    desk.fail(by_alias, ABSENT)

    again = desk.lease()[0]
    assert again.order == first.order
    assert (again.handle.name, again.handle.may_be_on_air) == ("", False)


def test_name_of_two_broadcasts_is_nobodys(office: Any) -> None:
    """A centre that gives two broadcasts one name is not believed: both are stopped by alias."""
    desk = Desk(office)
    office.issue(office.document())
    for one in desk.lease():
        desk.acknowledge(one, name="the-same")
    office.issue(office.later("withdrawal"))

    stops = desk.lease()

    assert len(stops) == 2
    assert [(one.handle.name, one.handle.may_be_on_air) for one in stops] == [("", True)] * 2
    assert all(one.handle.alias for one in stops)


def test_stop_by_a_name_that_is_not_known_goes_by_alias(office: Any) -> None:
    """A centre that has given a wrong name is asked again by ours, at once."""
    desk = Desk(office)
    office.issue(office.document())
    for one in desk.lease():
        desk.acknowledge(one)
    office.issue(office.later("withdrawal"))
    for one in desk.lease():
        desk.fail(one, ABSENT)

    stops = desk.lease()

    assert [(one.handle.name, one.handle.may_be_on_air) for one in stops] == [("", True)] * 2
    for one in stops:
        desk.acknowledge(one)
    assert desk.states("inc-1/2") == {DeliveryState.ACKED}


def test_peer_that_knows_no_new_broadcast_is_not_asked_for_ever(office: Any) -> None:
    """There was nothing to replace; an answer that makes no sense is a refusal."""
    desk = Desk(office)
    office.issue(office.document())
    first = desk.lease()[0]
    assert not first.handle.may_be_on_air

    desk.fail(first, ABSENT)

    (row,) = desk.rows(delivery_id=first.delivery.delivery_id)
    assert (row.state, row.is_on_air) == (DeliveryState.REFUSED, False)


def test_replacement_that_is_refused_leaves_the_old_one_on_air(office: Any) -> None:
    """What was on air still is: a later stop has to name it."""
    desk = Desk(office)
    office.issue(office.document())
    for one in desk.lease():
        desk.acknowledge(one)
    office.issue(office.later("progress"))
    for one in desk.lease():
        desk.fail(one, REFUSED)
    office.issue(office.later("withdrawal"))

    stops = desk.lease()

    assert desk.states("inc-1/2") == {DeliveryState.REFUSED}
    assert [one.handle.name[:11] for one in stops] == ["ref-inc-1/1"] * 2


@pytest.mark.parametrize("error", [NotSentError("no link"), THROTTLED])
def test_what_did_not_leave_waits_and_is_not_on_air(office: Any, error: GatewayError) -> None:
    """It is due again after a pause; a withdrawal in between has nothing to stop."""
    desk = Desk(office)
    office.issue(office.document())
    for one in desk.lease():
        desk.fail(one, error)

    assert desk.states() == {DeliveryState.READY}
    assert desk.lease() == []
    office.clock.advance(2)
    for one in desk.lease():
        desk.fail(one, error)
    office.issue(office.later("withdrawal"))
    assert desk.lease() == []
    assert desk.states("inc-1/2") <= {DeliveryState.CANCELLED}
    assert desk.states("inc-1/1") == {DeliveryState.SUPERSEDED}


def test_pauses_grow_up_to_a_minute(office: Any) -> None:
    """Nobody hammers a peer that is not well."""
    desk = Desk(office)
    office.issue(office.document())
    pauses = []
    for _ in range(8):
        (one,) = desk.lease(limit=1)
        desk.fail(one, THROTTLED)
        for other in desk.lease():  # the other language is no concern here
            desk.acknowledge(other)
        for pause_s in range(1, 100):
            office.clock.advance(1)
            with office.gateway.store.read() as tx:
                due = tx.due("kt", at=office.clock.now(), limit=1, with_sms=False, rank_max=99)
            if due:
                pauses.append(pause_s)
                break

    assert pauses[0] <= 2
    assert pauses == sorted(pauses)
    assert pauses[-1] == RETRY_DELAY_MAX_S


def test_stop_of_what_is_in_doubt_goes_out_and_may_find_nothing(office: Any) -> None:
    """It may be on air, so it is stopped by our name; a peer that has it not is done."""
    desk = Desk(office)
    office.issue(office.document())
    for one in desk.lease():
        desk.fail(one, UnansweredError("no answer"))
    office.issue(office.later("withdrawal"))

    stops = desk.lease()
    assert [type(one.order) for one in stops] == [Stop, Stop]
    assert all(one.handle.name == "" and one.handle.may_be_on_air for one in stops)
    for one in stops:
        desk.fail(one, ABSENT)

    assert desk.states("inc-1/2") == {DeliveryState.ACKED}
    assert not any(row.is_on_air for row in desk.rows())
    assert "it was in doubt" in desk.rows("inc-1/2")[0].reason
    assert desk.bulletin() is BulletinState.WITHDRAWN


def test_stop_in_doubt_is_done_once_nothing_is_on_air(office: Any) -> None:
    """It may have left, so it is no tombstone; another one has seen to it meanwhile."""
    desk = Desk(office)
    office.issue(office.document())
    for one in desk.lease():
        desk.acknowledge(one)
    office.issue(office.later("withdrawal"))
    for one in desk.lease():
        desk.fail(one, UnansweredError("no answer"))
        with office.gateway.store.transaction() as tx:
            tx.off_air(one.delivery, before_only=False)
    office.clock.advance(120)

    assert desk.lease() == []
    assert desk.states("inc-1/2") == {DeliveryState.ACKED}
    assert {row.reason for row in desk.rows("inc-1/2")} == {"nothing of it is on air"}


def test_stop_of_what_the_peer_had_acknowledged_and_lost_is_refused_by_name(office: Any) -> None:
    """A peer that has no longer what it said it had is no success; nothing is on air, though."""
    desk = Desk(office)
    office.issue(office.document())
    for one in desk.lease():
        desk.acknowledge(one)
    office.issue(office.later("withdrawal"))
    for _ in range(2):  # by its name, then by ours
        for one in desk.lease():
            desk.fail(one, ABSENT)

    assert desk.states("inc-1/2") == {DeliveryState.REFUSED}
    assert not any(row.is_on_air for row in desk.rows())


def test_refused_stop_leaves_it_on_air(office: Any) -> None:
    """A peer that refuses to stop goes on broadcasting, and nobody pretends otherwise."""
    desk = Desk(office)
    office.issue(office.document())
    for one in desk.lease():
        desk.acknowledge(one)
    office.issue(office.later("withdrawal"))
    for one in desk.lease():
        desk.fail(one, REFUSED)

    assert desk.states("inc-1/2") == {DeliveryState.REFUSED}
    assert {row.bulletin_id for row in desk.rows() if row.is_on_air} == {"inc-1/1"}


def test_what_ended_at_a_look_is_told_from_nothing_due(office: Any) -> None:
    """One who asks for one order at a time learns that more may be due behind what ended."""
    desk = Desk(office)
    office.issue(office.document())
    office.issue(office.later("withdrawal"))

    looks = [desk.look(limit=1) for _ in desk.rows("inc-1/2")]

    assert looks == [[]] * len(looks)
    assert looks
    assert desk.look(limit=1) is None


def test_stop_of_what_never_left_is_cancelled(office: Any) -> None:
    """Nothing of it is on air, so nothing is sent to this peer at all."""
    desk = Desk(office)
    office.issue(office.document())
    office.issue(office.later("withdrawal"))

    assert desk.lease() == []
    assert desk.states("inc-1/2") == {DeliveryState.CANCELLED}
    assert desk.states("inc-1/1") == {DeliveryState.SUPERSEDED}


def test_withdrawal_reaches_a_broadcast_under_way(office: Any) -> None:
    """A stop waits for its own message alone; an order that ends after it was retired is over."""
    desk = Desk(office)
    office.issue(office.document())
    writes = desk.lease()
    office.issue(office.later("withdrawal"))
    assert {one.delivery.number for one in desk.lease()} == {2}

    desk.fail(writes[0], NotSentError("no link"))
    desk.fail(writes[1], UnansweredError("no answer"))

    assert desk.states("inc-1/1") == {DeliveryState.SUPERSEDED}


def test_broadcast_that_the_crash_left_is_not_sent_again_once_superseded(office: Any) -> None:
    """A newer bulletin came while it was under way: recovery names it, the next look ends it."""
    desk = Desk(office)
    office.issue(office.document())
    desk.lease()
    office.issue(office.later("progress"))
    desk.recover()

    leased = desk.lease()

    assert {one.order.bulletin_id for one in leased} == {"inc-1/2"}
    assert desk.states("inc-1/1") == {DeliveryState.SUPERSEDED}


# What overtakes, ends or stops a chunk


def test_higher_class_overtakes_between_windows(office: Any) -> None:
    """A running chunk makes way as soon as its window is answered, and goes on afterwards."""
    import_busan(office, 4)
    desk = Desk(office)
    office.issue(office.document())
    slow = desk.stream()
    desk.step(slow)
    office.issue(another(office, **{"class": "emergency", "texts": {"ko": "긴급"}}))

    assert desk.step(slow, [YES, YES]) is False
    (row,) = [row for row in desk.rows("inc-1/1") if row.recipients]
    assert (row.state, row.reason) == (DeliveryState.READY, "a higher class comes first")
    first = desk.stream()
    assert first.order.alert_class == "emergency"
    assert desk.step(first, size=9)
    assert desk.step(first, [YES] * 4) is False
    rest = desk.stream()
    assert rest.order.alert_class == "safety"
    assert desk.step(rest)
    assert rest.window == [2, 3]


def test_same_class_does_not_overtake(office: Any) -> None:
    """Chunks of one class go one after another."""
    import_busan(office, 4)
    desk = Desk(office)
    office.issue(office.document())
    slow = desk.stream()
    desk.step(slow)
    office.issue(another(office))

    assert desk.step(slow, [YES, YES]) is True


def test_chunk_ends_when_a_newer_bulletin_comes(office: Any) -> None:
    """The window that was out is noted; nobody else is sent the old text."""
    import_busan(office, 4)
    desk = Desk(office)
    office.issue(office.document())
    stream = desk.stream()
    desk.step(stream)
    office.issue(office.later("progress"))

    assert desk.step(stream, [YES, DOUBT]) is False
    (row,) = [row for row in desk.rows("inc-1/1") if row.recipients]
    assert (row.state, row.outcomes) == (DeliveryState.SUPERSEDED, bytes([1, 3, 0, 0]))


def test_chunk_ends_when_its_time_passes(office: Any) -> None:
    """Between two windows the bulletin expires; the rest of the chunk never leaves."""
    import_busan(office, 4)
    desk = Desk(office)
    office.issue(office.document(expires="PT1H"))
    stream = desk.stream()
    desk.step(stream)
    office.clock.advance(3600)

    assert desk.step(stream, [YES, YES]) is False
    assert desk.chunk().outcomes == bytes([1, 1, 0, 0])
    assert [one for one in desk.lease() if isinstance(one.order, Submit)] == []
    desk.sweep()
    assert desk.chunk().state is DeliveryState.EXPIRED
    assert desk.bulletin() is BulletinState.EXPIRED


@pytest.mark.parametrize("who", ["alice", "bob"])
def test_revoked_person_stops_a_running_chunk(office: Any, who: str) -> None:
    """Neither author nor approver counts any more: no window leaves after that."""
    import_busan(office, 4)
    desk = Desk(office)
    office.issue(office.document())
    stream = desk.stream()
    desk.step(stream)
    office.gateway.keyring.revoke(who)

    assert desk.step(stream, [YES, YES]) is False
    assert (desk.chunk().state, desk.chunk().outcomes) == (
        DeliveryState.REFUSED,
        bytes([1, 1, 0, 0]),
    )
    assert "revoked" in desk.chunk().reason


@pytest.mark.parametrize("who", ["alice", "bob"])
def test_revoked_key_stops_a_running_chunk(office: Any, who: str) -> None:
    """What a key has signed counts for nothing once it was revoked."""
    import_busan(office, 4)
    desk = Desk(office)
    office.issue(office.document())
    stream = desk.stream()
    desk.step(stream)
    with office.gateway.store.read() as tx:
        (key,) = tx.person_keys(who)
    office.gateway.keyring.revoke(key.key_id)

    assert desk.step(stream, [YES, YES]) is False
    assert desk.chunk().state is DeliveryState.REFUSED


def test_chunk_goes_on_when_somebody_else_is_revoked(office: Any) -> None:
    """Permissions are looked at again, and these still count."""
    import_busan(office, 4)
    office.add("carol", may_submit=True)
    desk = Desk(office)
    office.issue(office.document())
    stream = desk.stream()
    desk.step(stream)
    office.gateway.keyring.revoke("carol")

    assert desk.step(stream, [YES, YES]) is True


# Approvals that lapse


def test_approval_lapses_when_nothing_could_leave(office: Any) -> None:
    """After a quarter of an hour the bulletin is back with its authors, its orders cancelled."""
    desk = Desk(office)
    office.issue(office.document())
    office.clock.advance(900)
    desk.sweep()
    assert desk.bulletin() is BulletinState.APPROVED
    office.clock.advance(1)
    desk.sweep()

    assert desk.bulletin() is BulletinState.RETURNED
    with office.gateway.store.read() as tx:
        assert {row.state for row in tx.deliveries()} == {DeliveryState.CANCELLED}
        assert tx.events("inc-1/1")[-1].what == "lapsed"


def test_approval_lapses_at_dispatch_too(office: Any) -> None:
    """A peer that comes up before the next look around gets nothing by an old approval."""
    desk = Desk(office)
    office.issue(office.document())
    office.clock.advance(901)

    assert desk.lease() == []
    assert desk.bulletin() is BulletinState.RETURNED
    assert desk.states() == {DeliveryState.CANCELLED}


def test_approval_does_not_lapse_while_something_is_under_way(office: Any) -> None:
    """What one peer is being sent may be on air: another one gets it, too, and it stays live."""
    kt, skt = Desk(office), Desk(office, peer="skt")
    office.issue(office.document())
    office.clock.advance(899)
    under_way = kt.lease()
    office.clock.advance(2)
    skt.sweep()

    assert len(skt.lease()) == 2
    kt.acknowledge(under_way[0])
    assert kt.bulletin() is BulletinState.LIVE
    assert kt.states() == {DeliveryState.ACKED, DeliveryState.INTENT}


def test_live_bulletin_does_not_lapse(office: Any) -> None:
    """Once some of it is on air the rest follows whenever its peer comes back."""
    kt, skt = Desk(office), Desk(office, peer="skt")
    office.issue(office.document())
    kt.acknowledge(kt.lease()[0])
    office.clock.advance(3600)
    kt.sweep()

    assert len(skt.lease()) == 2


@pytest.mark.parametrize("kind", ["withdrawal", "correction"])
def test_withdrawals_and_corrections_do_not_lapse(office: Any, kind: str) -> None:
    """What puts a mistake right goes out however late a peer comes back."""
    desk = Desk(office)
    office.issue(office.document())
    for one in desk.lease():
        desk.acknowledge(one)
    office.issue(office.later(kind))
    office.clock.advance(3600)
    desk.sweep()

    assert len(desk.lease()) == 2
    assert desk.bulletin("inc-1/2") is BulletinState.APPROVED


def test_lapsed_bulletin_is_revised_and_approved_again(office: Any) -> None:
    """It goes out under a new serial number, and its old orders stay cancelled."""
    desk = Desk(office)
    office.issue(office.document())
    office.clock.advance(901)
    desk.sweep()
    office.gateway.revise(
        "inc-1/1", json.dumps(office.document()).encode(), key=office.keys["alice"]
    )
    office.approve("inc-1/1")

    leased = desk.lease()

    assert {one.delivery.serial_number.update_number for one in leased} == {1}
    assert desk.states() == {DeliveryState.CANCELLED, DeliveryState.INTENT}


# Budgets at dispatch


def tokens(office: Any, sender: str = "") -> float:
    """Give what Busan's budget for class safety holds."""
    with office.gateway.store.read() as tx:
        known = tx.tokens("KR-26", "safety", sender)
    return 8.0 if known is None else float(known[0])


def test_budget_is_spent_once_per_bulletin_and_region(office: Any) -> None:
    """Three carriers, two languages and a retry are one bulletin."""
    office.issue(office.document())
    assert tokens(office) == 8.0
    for peer in ("kt", "skt", "lguplus"):
        desk = Desk(office, peer=peer)
        for one in desk.lease():
            desk.fail(one, THROTTLED)
    office.clock.advance(2)
    assert len(Desk(office).lease()) == 2

    assert (tokens(office), tokens(office, "alice")) == (7.0, 3.0)
    with office.gateway.store.read() as tx:
        assert tx.has_spent("inc-1/1", "KR-26")


@pytest.mark.parametrize("sender", ["", "alice"])
def test_order_waits_for_an_empty_budget(office: Any, sender: str) -> None:
    """It stays READY until there is a token again, in the shared budget or the sender's half."""
    desk = Desk(office)
    office.issue(office.document(expires="PT6H"))
    now_s = office.clock.now().timestamp()
    with office.gateway.store.transaction() as tx:
        tx.put_tokens("KR-26", "safety", sender, tokens=0.95, updated_s=now_s)
    wait_s = 0.05 * 3600 / (8 if not sender else 4)

    assert desk.lease() == []
    assert desk.states() == {DeliveryState.READY}
    assert "no budget before" in desk.rows()[0].reason
    office.clock.advance(wait_s - 1)
    assert desk.lease() == []
    office.clock.advance(1.01)
    assert len(desk.lease()) == 2


def test_empty_region_takes_nothing_from_the_others(office: Any) -> None:
    """A bulletin for a whole country spends everywhere or nowhere."""
    gateway = office.gateway
    record = office.issue(office.document(regions=["KR-11", "KR-26"]))
    now = office.clock.now()
    with gateway.store.transaction() as tx:
        tx.put_tokens("KR-49", "safety", "", tokens=0.5, updated_s=now.timestamp())
        empty = budgets.spend(tx, gateway.deployment, record.bulletin, "KR", now=now)

        assert empty is not None
        assert round(empty.refills_in_s) == 225
        assert tx.tokens("KR-11", "safety", "") is None
        assert not tx.has_spent("inc-1/1", "KR-11")


def test_corrections_and_the_highest_class_spend_nothing(office: Any) -> None:
    """What nothing may block takes no token from anybody."""
    desk = Desk(office)
    office.issue(office.document(**{"class": "critical"}))
    for one in desk.lease():
        desk.acknowledge(one)
    office.issue(office.later("correction"))
    for one in desk.lease():
        desk.acknowledge(one)

    with office.gateway.store.read() as tx:
        assert tx.tokens("KR-26", "critical", "") is None
    assert tokens(office) == 8.0


def test_exempt_and_other_bulletins_do_not_count_as_waiting(office: Any) -> None:
    """Only what will draw on the same budget stands in line before a bulletin."""
    now = office.clock.now()
    with office.gateway.store.transaction() as tx:
        for sender in ("", "alice"):
            tx.put_tokens("KR-26", "safety", sender, tokens=1.0, updated_s=now.timestamp())
    office.issue(office.document(**{"class": "emergency"}))
    office.issue(another(office, "inc-2", regions=["KR-11"]))
    office.issue(office.later("correction"))

    assert office.issue(another(office, "inc-3")).state is BulletinState.APPROVED


def test_chunks_are_taken_only_by_whoever_asks_for_them(office: Any) -> None:
    """While one chunk is under way no other one is leased, and broadcasts go on."""
    import_busan(office, 2)
    desk = Desk(office)
    office.issue(office.document())
    office.issue(another(office))

    leased = desk.lease()

    assert [type(one.order) for one in leased].count(Submit) == 1
    assert len(leased) == 5
    assert [
        one for one in desk.lease(with_sms=False) if one.delivery.lineage.channel is Channel.SMS
    ] == []


def test_much_that_expired_is_settled_a_part_at_a_time(
    office: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever wants to write waits for a part of it only; the rest follows at once."""
    monkeypatch.setattr(outbox_module, "SWEPT_AT_ONCE", 2)
    desk = Desk(office)
    for number in range(3):
        incident = office.document()["incident"] | {"id": f"inc-{number}"}
        texts = {"ko": "가나다"[number] + " 지역 장애"}
        office.submit(office.document(incident=incident, texts=texts, expires="PT1H"))
    office.clock.advance(3600)

    assert [desk.sweep(), desk.sweep()] == [True, False]
    with office.gateway.store.read() as tx:
        assert tx.count_bulletins() == {BulletinState.EXPIRED: 3}


def test_expired_order_is_settled_by_the_look_around(office: Any) -> None:
    """What is under way is left alone until its answer comes."""
    desk = Desk(office)
    office.issue(office.document(expires="PT1H"))
    first, second = desk.lease()
    desk.fail(second, UnansweredError("no answer"))
    office.clock.advance(timedelta(hours=1).total_seconds())
    desk.sweep()

    assert [row.state for row in desk.rows()] == [DeliveryState.INTENT, DeliveryState.EXPIRED]
    desk.acknowledge(first)
    assert desk.rows()[0].state is DeliveryState.ACKED


def test_peer_that_is_nobodys_is_not_asked_about_broadcasts(office: Any) -> None:
    """It has no profile and is no controller; what it has done is acknowledged all the same."""
    desk = Desk(office)
    office.issue(office.document())
    one = desk.lease()[0]
    lineage = replace(one.delivery.lineage, peer_id="bsc-1")
    of_controller = replace(one, delivery=replace(one.delivery, lineage=lineage))

    desk.acknowledge(of_controller)

    (row,) = desk.rows(delivery_id=one.delivery.delivery_id)
    assert row.state is DeliveryState.ACKED
    with office.gateway.store.read() as tx:
        assert tx.due_on_air("bsc-1", at=office.clock.now() + timedelta(days=1)) is None
