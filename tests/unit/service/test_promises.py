"""Promises: what is owed, what was missed, and the draft that says so."""

import asyncio
import json
from typing import Any

import pytest

from cbgateway.domain.bulletin import BulletinState
from cbgateway.domain.errors import StoreFailedError, UnknownNameError, WorkflowError
from cbgateway.domain.incident import IncidentState
from cbgateway.service import promises as kept

PROGRESS: dict[str, Any] = {
    "name": "progress",
    "slots": {
        "authority": "mois",
        "carrier": "kt",
        "number": 2,
        "cause": "routing",
        "now": "12:00",
        "eta": "14:20",
        "next": "12:30",
    },
}


def test_promises_are_listed_the_earliest_first(office: Any) -> None:
    """One for each outage that goes on; none once it was told that it is over."""
    other = office.document()["incident"] | {"id": "inc-2"}
    office.issue(office.document(next_update="PT40M"))
    office.issue(office.document(incident=other, texts={"ko": "다른 장애"}, next_update="PT20M"))
    told = office.gateway.telling

    assert [one["incident"] for one in told.promises()] == ["inc-2", "inc-1"]
    assert [one["seconds_left"] for one in told.promises()] == [1200, 2400]
    office.issue(office.later("restored"))
    office.issue(office.later("withdrawal", incident="inc-2"))
    assert told.promises() == []


def test_incident_that_people_closed_promises_nothing(office: Any) -> None:
    """A false alarm owes no update."""
    office.issue(office.document())
    office.gateway.set_incident_state("inc-1", IncidentState.FALSE_ALARM, key=office.keys["bob"])

    assert office.gateway.telling.promises() == []


def test_incident_that_was_turned_down_owes_nothing(office: Any) -> None:
    """Nobody was told anything, and nobody wants to."""
    name = office.submit(office.document()).bulletin.bulletin_id
    office.gateway.reject(name, reason="not an outage", key=office.keys["bob"])

    assert office.gateway.telling.promises() == []


def test_miss_is_noted_once_and_stays_listed(office: Any) -> None:
    """Until something newer is said; looking again changes nothing."""
    office.issue(office.document(next_update="PT10M"))
    told = office.gateway.telling
    office.clock.advance(599)
    assert told.sweep() == ()
    office.clock.advance(1)
    assert [one.bulletin_id for one in told.sweep()] == ["inc-1/1"]
    office.clock.advance(kept.LOOK_AGAIN_S)

    assert told.sweep() == ()
    assert [one["is_missed"] for one in told.promises()] == [True]


def test_what_is_over_is_watched_no_more(office: Any) -> None:
    """The list of what has to be looked at is as long as what goes on."""
    office.issue(office.document(next_update="PT10M"))
    office.clock.advance(600)
    office.gateway.telling.sweep()
    office.issue(office.later("restored"))
    office.gateway.telling.sweep()

    with office.gateway.store.read() as tx:
        assert tx.watched() == ()


def test_incident_that_goes_on_after_all_owes_its_update(office: Any) -> None:
    """Closed while its promise became due, and looked at then; opened again, it is missed."""
    office.issue(office.document(next_update="PT10M"))
    gateway, key = office.gateway, office.keys["bob"]
    gateway.set_incident_state("inc-1", IncidentState.RESTORED, key=key)
    office.clock.advance(600)
    assert gateway.telling.sweep() == ()
    gateway.set_incident_state("inc-1", IncidentState.INVESTIGATING, key=key)

    assert [one.bulletin_id for one in gateway.telling.sweep()] == ["inc-1/1"]


def test_promise_of_an_approval_that_lapsed_does_not_count(office: Any) -> None:
    """The one before it counts again, at once."""
    office.issue(office.document(next_update="PT10M"))
    office.clock.advance(300)
    office.issue(office.later("progress", next_update="PT55M"))
    office.clock.advance(300)
    told = office.gateway.telling
    assert told.sweep() == ()
    with office.gateway.store.transaction() as tx:
        tx.set_bulletin_state("inc-1/2", BulletinState.RETURNED)

    assert [one.bulletin_id for one in told.sweep()] == ["inc-1/1"]


def test_many_are_looked_at_in_turn(office: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """No transaction is long, and nothing is left over."""
    monkeypatch.setattr(kept, "LOOKED_AT_ONCE", 2)
    for number in range(5):
        incident = office.document()["incident"] | {"id": f"inc-{number}"}
        text = "가나다라마"[number]
        office.submit(office.document(incident=incident, texts={"ko": f"{text} 지역 장애"}))
    office.clock.advance(7200)

    assert len(office.gateway.telling.sweep()) == 5
    assert office.gateway.telling.sweep() == ()


@pytest.mark.parametrize("waiting", ["pending", "draft"])
def test_no_draft_where_somebody_is_on_it(office: Any, waiting: str) -> None:
    """The miss is noted, and what waits is not buried under a draft."""
    office.issue(office.document())
    document = json.dumps(office.later("progress", next_update="PT55M")).encode()
    office.gateway.submit(document, key=office.keys["alice"], as_draft=waiting == "draft")
    office.clock.advance(1800)
    office.gateway.telling.sweep()

    with office.gateway.store.read() as tx:
        (event,) = [one for one in tx.events("inc-1/1") if one.what == kept.MISSED]
        records = tx.bulletins("inc-1")
    assert event.detail["draft"] is None
    assert [record.state.value for record in records] == ["approved", waiting]


def test_no_draft_without_a_template(office: Any) -> None:
    """A country that has none: the miss is noted all the same."""
    office.issue(office.document())
    del office.gateway.deployment.templates["heartbeat"]
    office.clock.advance(1800)

    assert len(office.gateway.telling.sweep()) == 1
    with office.gateway.store.read() as tx:
        assert len(tx.bulletins("inc-1")) == 1
        with pytest.raises(WorkflowError, match="no template"):
            kept.no_change_document(
                tx,
                office.gateway.deployment,
                tx.bulletins("inc-1")[0].bulletin,
                number=2,
                now=office.clock.now(),
            )


def test_draft_says_what_was_said_before(office: Any) -> None:
    """Authority, carrier, cause and a repair time that still lies ahead; the same interval."""
    office.issue(office.document())
    office.issue(
        office.later(
            "progress",
            texts=None,
            template=PROGRESS,
            next_update="PT45M",
            facts={"cause": "routing", "confidence": "confirmed", "workarounds": ["cash"]},
        )
    )
    office.clock.advance(45 * 60)
    office.gateway.telling.sweep()
    document = json.loads(office.gateway.telling.accept_document("inc-1/3", sender="alice"))

    assert document["template"]["slots"] == {
        "number": 3,
        "now": "12:45",
        "next": "13:30",
        "authority": "mois",
        "carrier": "kt",
    }
    assert document["facts"] == {
        "cause": "routing",
        "confidence": "confirmed",
        "emergency_calls": "unknown",
        "workarounds": ["cash"],
        "eta": "2021-10-25T05:20:00+00:00",
    }
    assert (document["sender"], document["kind"]) == ("alice", "heartbeat")


def test_draft_that_waited_is_filled_anew(office: Any) -> None:
    """Its times are those of the moment when somebody takes it."""
    office.issue(office.document(next_update="PT10M"))
    office.clock.advance(600)
    office.gateway.telling.sweep()
    office.clock.advance(900)
    document = json.loads(office.gateway.telling.accept_document("inc-1/2", sender="alice"))

    assert (document["template"]["slots"]["now"], document["template"]["slots"]["next"]) == (
        "12:25",
        "12:35",
    )


def test_only_drafts_of_the_gateway_are_accepted(office: Any) -> None:
    """Not what people wrote, nor what is not there."""
    office.issue(office.document())
    told = office.gateway.telling

    with pytest.raises(WorkflowError, match="no draft of the gateway's"):
        told.accept_document("inc-1/1", sender="alice")
    with pytest.raises(UnknownNameError):
        told.accept_document("inc-1/7", sender="alice")


def test_newer_bulletin_takes_the_drafts_place(office: Any) -> None:
    """Somebody who has news says it; the draft is superseded."""
    office.issue(office.document())
    office.clock.advance(1800)
    office.gateway.telling.sweep()
    office.issue(office.later("progress"))

    with office.gateway.store.read() as tx:
        states = [record.state for record in tx.bulletins("inc-1")]
    assert states == [
        BulletinState.SUPERSEDED,
        BulletinState.SUPERSEDED,
        BulletinState.APPROVED,
    ]


def test_serving_notices_a_miss_and_keeps_the_site(office: Any, tmp_path: Any) -> None:
    """One round of the task that `serve` runs beside the dispatcher."""
    office.issue(office.document())
    office.clock.advance(1801)
    settings = office.gateway.settings.model_copy(update={"site": tmp_path / "site"})
    told = office.gateway.telling
    told = type(told)(settings, told.deployment, told.store, told.clock)

    async def one_round() -> None:
        done = asyncio.Event()
        running = asyncio.create_task(told.run(done))
        for _ in range(200):
            await asyncio.wait([running], timeout=0.05)
            if (tmp_path / "site" / "index.html").exists():
                break
        done.set()
        await running

    asyncio.run(one_round())

    assert office.gateway.status()["promises"]["missed"] == 1
    assert "늦어지고 있습니다" in (tmp_path / "site" / "index.html").read_text("utf-8")


def test_trouble_with_the_site_is_logged_once_and_not_the_end(office: Any, tmp_path: Any) -> None:
    """A folder of somebody else's: promises are looked after all the same."""
    (tmp_path / "theirs.txt").write_text("x")
    settings = office.gateway.settings.model_copy(update={"site": tmp_path})
    told = office.gateway.telling
    told = type(told)(settings, told.deployment, told.store, told.clock)

    async def run() -> bool:
        done = asyncio.Event()
        running = asyncio.create_task(told.run(done))
        await asyncio.wait([running], timeout=0.3)
        is_running = not running.done()
        done.set()
        await running
        return is_running

    assert asyncio.run(run())
    assert not (tmp_path / "index.html").exists()


def test_nothing_is_tried_again_after_a_failed_commit(
    office: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The task ends; the dispatcher's own commits end the process."""
    told = office.gateway.telling
    tries = []

    def fail(self: Any) -> None:
        tries.append(1)
        msg = "the disk failed"
        raise StoreFailedError(msg)

    monkeypatch.setattr(type(told), "sweep", fail)
    asyncio.run(told.run(asyncio.Event()))

    assert tries == [1]


def test_site_is_made_anew_when_something_changed_or_a_minute_passed(
    office: Any, tmp_path: Any
) -> None:
    """Not every second: a page costs time, and shows minutes."""
    settings = office.gateway.settings.model_copy(update={"site": tmp_path / "site"})
    told = office.gateway.telling
    told = type(told)(settings, told.deployment, told.store, told.clock)
    first = told._round(None)
    (tmp_path / "site" / "index.html").unlink()

    assert told._round(first) == first
    assert not (tmp_path / "site" / "index.html").exists()
    office.clock.advance(60)
    second = told._round(first)
    assert second != first
    assert (tmp_path / "site" / "index.html").exists()
    office.issue(office.document())
    assert told._round(second) != second
