"""The CBSP session without sockets: timers, matching, and what peers do wrong, in any pieces."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbgateway.carriers.cbsp import session as module
from cbgateway.carriers.cbsp.session import (
    Alive,
    Answered,
    CbspSession,
    Closed,
    State,
    Told,
    Unanswered,
    Up,
)
from cbgateway.codec import cbsp
from cbgateway.codec.cells import Cgi, Plmn
from tests.conformance.cbsp.bench import rules

CELL = Cgi(Plmn("450", "08"), 1001, 11)
CELLS = cbsp.CellList.of(CELL)
RULES = rules(keep_alive_interval_s=30, keep_alive_timeout_s=10, response_timeout_s=5)
ALIVE = cbsp.encode(cbsp.KeepAliveComplete())
KILL = cbsp.Kill(4371, 16, CELLS, 0)
WRITE = cbsp.WriteReplace(
    4371,
    17,
    CELLS,
    16,
    channel=0,
    category=2,
    repetition_period=32,
    number_of_broadcasts=10,
    dcs=0x48,
    pages=(cbsp.Content(b"\0\r" * 41, 2),),
)
KILLED = cbsp.KillComplete(4371, 16, channel=0)
WRITTEN = cbsp.WriteReplaceComplete(4371, 17, 16, cells=CELLS, channel=0)
QUERY = cbsp.MessageStatusQuery(4371, 16, CELLS)
COUNTED = cbsp.MessageStatusQueryComplete(4371, 16, cbsp.EntryList.of(cbsp.Completed(CELL, 3)))
RESTART = cbsp.Restart(cbsp.WHOLE_BSS, 0)


def starting() -> CbspSession:
    """Give a session that has just begun."""
    session = CbspSession(RULES)
    assert [] == session.tick(now=0.0)
    assert cbsp.encode(cbsp.KeepAlive(20)) == session.outgoing()
    return session


def up() -> CbspSession:
    """Give a session that is up."""
    session = starting()
    assert [Up(), Alive(0.5)] == session.receive(ALIVE, now=0.5)
    return session


def test_first_keep_alive_proves_the_controller() -> None:
    """Before it is answered nothing can be asked for."""
    session = starting()

    assert not session.may_request(KILL)
    with pytest.raises(ValueError, match="starting"):
        session.request(KILL, token=1, now=0.0)
    assert 10.0 == session.next_tick()
    assert [Closed("no answer to KEEP-ALIVE")] == session.tick(now=10.0)
    assert session.is_closed()
    assert session.next_tick() is None


def test_keep_alives_follow_one_another() -> None:
    """Each an interval after the last one; only one is under way."""
    session = up()

    assert 30.0 == session.next_tick()
    assert [] == session.tick(now=29.0)
    assert b"" == session.outgoing()
    session.tick(now=30.0)
    assert b"" != session.outgoing()
    assert 40.0 == session.next_tick()
    assert [Alive(0.25)] == session.receive(ALIVE, now=30.25)
    assert 60.0 == session.next_tick()


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        (KILL, KILLED),
        (WRITE, WRITTEN),
        (QUERY, COUNTED),
        (
            cbsp.LoadQuery(CELLS),
            cbsp.LoadQueryComplete(cbsp.EntryList.of(cbsp.Load(CELL, 1, 2))),
        ),
        (cbsp.SetDrx(CELLS), cbsp.SetDrxComplete(CELLS)),
    ],
)
def test_answers_are_matched(request_: Any, answer: Any) -> None:
    """By type, message identifier and serial number."""
    session = up()
    session.request(request_, token="t", now=1.0)

    assert cbsp.encode(request_) == session.outgoing()
    assert not session.may_request(request_)
    assert [Answered("t", answer)] == session.receive(cbsp.encode(answer), now=1.5)
    assert session.may_request(request_)


def test_requests_of_different_messages_cross() -> None:
    """Each has its own answer, in whatever order they come."""
    session = up()
    session.request(KILL, token="kill", now=1.0)
    session.request(WRITE, token="write", now=1.0)
    octets = cbsp.encode(WRITTEN) + cbsp.encode(KILLED)

    assert [Answered("write", WRITTEN), Answered("kill", KILLED)] == session.receive(
        octets, now=1.5
    )


def test_every_request_has_a_timer() -> None:
    """What comes after it counts for nothing, once; then it would be a stray."""
    session = up()
    session.request(KILL, token="t", now=1.0)

    assert 6.0 == session.next_tick()
    assert [Unanswered("t")] == session.tick(now=6.0)
    assert [] == session.receive(cbsp.encode(KILLED), now=7.0)
    assert 0 == session._strays
    assert [] == session.receive(cbsp.encode(KILLED), now=7.0)
    assert 1 == session._strays


def test_answers_to_nothing_end_the_session() -> None:
    """The third one."""
    session = up()
    session.request(WRITE, token="t", now=1.0)
    events = session.receive(cbsp.encode(KILLED) * 4, now=2.0)

    assert [Unanswered("t"), Closed("3 answers to nothing that was asked")] == events
    assert [] == session.receive(ALIVE, now=2.0)
    assert [] == session.tick(now=99.0)
    assert [] == session.lost()
    assert [] == session.close()


def test_keep_alive_complete_that_nobody_asked_for_is_a_stray() -> None:
    """It is counted like the others."""
    session = up()

    assert [] == session.receive(ALIVE, now=1.0)
    assert 1 == session._strays


def test_error_indication_ends_what_it_names() -> None:
    """By identifier and either serial number; another one is only told."""
    session = up()
    session.request(WRITE, token="t", now=1.0)
    other = cbsp.ErrorIndication(5)
    named = cbsp.ErrorIndication(5, 4371, 17)

    assert [Told(other)] == session.receive(cbsp.encode(other), now=1.1)
    assert [Told(named), Answered("t", named)] == session.receive(cbsp.encode(named), now=1.2)


def test_restart_and_failure_are_told() -> None:
    """Also before the session is up."""
    failure = cbsp.Failure((cbsp.Failed(CELL, 10),), 0)
    session = starting()

    assert [Told(RESTART), Told(failure)] == session.receive(
        cbsp.encode(RESTART) + cbsp.encode(failure), now=0.1
    )


def test_flood_of_what_nobody_asked_for_ends_the_session(monkeypatch: Any) -> None:
    """As many as a controller may have cells are taken in a while."""
    monkeypatch.setattr(module, "UNASKED_MAX", 3)
    session = up()
    octets = cbsp.encode(RESTART)

    assert [Told(RESTART)] * 3 == session.receive(octets * 3, now=20.0)
    assert [Told(RESTART)] == session.receive(octets, now=31.0)
    assert "nobody asked for" in session.receive(octets * 3, now=31.0)[-1].reason  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "octets", [b"\x7f\x00\x00\x00", cbsp.encode(KILL), b"\x02\x00\x00\x01\x7f"]
)
def test_what_cannot_be_read_is_answered_and_counted(octets: bytes) -> None:
    """An ERROR INDICATION each, and the third ends the session."""
    session = up()

    assert [] == session.receive(octets, now=1.0)
    assert isinstance(cbsp.decode(session.outgoing()), cbsp.ErrorIndication)
    assert [Closed("3 messages that cannot be read")] == session.receive(octets * 2, now=1.0)


def test_length_that_lies_ends_the_session() -> None:
    """At once; the controller is told why."""
    session = up()
    (event,) = session.receive(b"\x02\xff\xff\xff", now=1.0)

    assert isinstance(event, Closed)
    assert "broke the protocol" in event.reason
    assert isinstance(cbsp.decode(session.outgoing()), cbsp.ErrorIndication)


def test_message_has_to_end() -> None:
    """A drip is not waited for; whole messages in between begin the time anew."""
    session = up()
    session.receive(b"\x02\x00", now=1.0)

    assert 11.0 == session.next_tick()
    session.receive(b"\x00", now=5.0)
    assert 11.0 == session.next_tick()
    assert "did not end" in session.tick(now=11.0)[0].reason  # type: ignore[attr-defined]


def test_lost_connection_leaves_requests_unanswered() -> None:
    """Nobody knows what became of them."""
    session = up()
    session.request(KILL, token="t", now=1.0)

    assert [Unanswered("t"), Closed("the connection was lost")] == session.lost()
    assert [Closed("closed by us")] == up().close()


MOMENTS = {"starting": starting, "up": up}
INPUTS = {
    "alive": ALIVE,
    "killed": cbsp.encode(KILLED),
    "restart": cbsp.encode(RESTART),
    "error": cbsp.encode(cbsp.ErrorIndication(1)),
    "unreadable": b"\x7f\x00\x00\x00",
    "lie": b"\x01\xff\xff\xff",
}


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("input_", INPUTS)
def test_every_input_in_every_state(moment: str, input_: str) -> None:
    """Nothing is raised, and what is sent can be read."""
    session = MOMENTS[moment]()
    session.receive(INPUTS[input_], now=1.0)
    framer = cbsp.Framer()

    assert not [one for one in framer.receive(session.outgoing()) if isinstance(one, cbsp.Unparsed)]
    assert session.state is not State.CLOSED or input_ == "lie"


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=5))
def test_pieces_make_no_difference(octets: bytes, cuts: list[int]) -> None:
    """The same octets give the same events, however they come."""
    whole, pieces = up(), up()
    at_once = whole.receive(octets, now=1.0)
    marks = sorted({min(cut, len(octets)) for cut in cuts})
    one_by_one = [
        event
        for begin, end in zip([0, *marks], [*marks, len(octets)], strict=True)
        for event in pieces.receive(octets[begin:end], now=1.0)
    ]

    assert at_once == one_by_one
    assert whole.outgoing() == pieces.outgoing()
