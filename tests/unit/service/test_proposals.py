"""Alarms: a thousand of one cause are one suspected incident with a draft, and nothing is sent."""

import json
from typing import Any

import pytest

from cbgateway.domain.bulletin import BulletinState
from cbgateway.domain.errors import (
    InputError,
    PermissionDeniedError,
    SignatureInvalidError,
    UnknownNameError,
    WorkflowError,
)
from cbgateway.domain.incident import IncidentState
from cbgateway.interfaces.http.alarms import parse_alarm
from cbgateway.service.proposals import ALARM, Effect, Proposal
from cbgateway.signing.canonical import canonical
from cbgateway.signing.jws import sign_detached
from tests.conftest import Office
from tests.front import Front

CARRIERS = ("kt", "skt", "lguplus")
SOUND = {
    "@type": "Alarm",
    "id": "a-1",
    "sourceSystemId": "kt",
    "probableCause": "routingFailure",
    "alarmRaisedTime": "2021-10-25T11:16:20+09:00",
    "place": [{"id": "KR-26"}],
    "affectedService": [{"name": "mobile_data"}, {"id": "unheard of"}],
}


def monitored(office: Office) -> Office:
    """Give the office a machine that proposes."""
    office.add("monitor", may_submit=True, owner="alice")
    return office


def tell(office: Office, by: str = "monitor", **changes: Any) -> Proposal:
    """Tell of an alarm."""
    document = {name: value for name, value in (SOUND | changes).items() if value is not None}
    alarm = parse_alarm(json.dumps(document).encode(), carriers=CARRIERS)
    signature = sign_detached(canonical(document), office.keys[by], content=ALARM)
    desk = office.gateway.desk
    return desk.commit(desk.alarm(alarm, signature))


def test_thousand_alarms_of_one_cause_are_one_incident(office: Office) -> None:
    """Suspected, with one draft; nobody was told anything."""
    monitored(office)
    told = [tell(office, id=f"a-{number}") for number in range(1_000)]
    with office.gateway.store.read() as tx:
        (incident,) = tx.incidents()
        (draft,) = tx.bulletins()
        deliveries = tx.deliveries()
        counts = tx.count_alarms(incident.incident_id)

    assert [Effect.OPENED, Effect.JOINED] == list(dict.fromkeys(one.effect for one in told))
    assert {incident.incident_id} == {one.incident_id for one in told}
    assert IncidentState.SUSPECTED is incident.state
    assert (BulletinState.DRAFT, ("monitor",)) == (draft.state, draft.submission.hands)
    assert ((), (1_000, 0)) == (deliveries, counts)


def test_draft_says_what_is_known(office: Office) -> None:
    """In the words of the country's template, in the time zone of the alarm."""
    monitored(office)
    proposal = tell(office)
    with office.gateway.store.read() as tx:
        record = tx.bulletin(proposal.draft)
        incident = tx.incident(proposal.incident_id)

    assert record is not None
    assert incident is not None
    assert ("KR-26",) == record.bulletin.regions
    assert "[확인 필요] 11:16부터 부산광역시 KT" in record.bulletin.texts["ko"]
    assert ("mobile_data",) == tuple(service.value for service in incident.services)


def test_second_region_makes_the_draft_wider(office: Office) -> None:
    """As long as no person has touched it."""
    monitored(office)
    first = tell(office)
    wider = tell(office, id="a-2", place=[{"id": "KR-11"}])
    with office.gateway.store.read() as tx:
        regions = tx.bulletin(first.draft).bulletin.regions  # type: ignore[union-attr]
    texts = {"ko": "통신 장애", "en": "Outage"}
    incident = first.incident_id
    office.gateway.revise(
        first.draft,
        json.dumps(office.document(incident=incident, texts=texts)).encode(),
        key=office.keys["alice"],
    )
    after = tell(office, id="a-3", place=[{"id": "KR-27"}])
    with office.gateway.store.read() as tx:
        record = tx.bulletin(first.draft)

    assert ("KR-26", "KR-11") == regions
    assert first.draft == wider.draft
    assert ("", Effect.JOINED) == (after.draft, after.effect)
    assert record is not None
    assert (("KR-26",), ("monitor", "alice")) == (
        record.bulletin.regions,
        record.submission.hands,
    )


def test_person_makes_a_bulletin_of_the_draft(office: Office) -> None:
    """Revised by one, approved by another; whoever answers for the machine is not that other."""
    monitored(office)
    office.add("carol", may_submit=True)
    first = tell(office)
    texts = {"ko": "통신 장애", "en": "Outage"}
    document = office.document(sender="carol", incident=first.incident_id, texts=texts)
    octets = json.dumps(document).encode()
    office.gateway.revise(first.draft, octets, key=office.keys["carol"])
    approved = office.approve(first.draft)
    with office.gateway.store.read() as tx:
        incident = tx.incident(first.incident_id)

    assert BulletinState.APPROVED is approved.state
    assert incident is not None
    assert IncidentState.INVESTIGATING is incident.state


def test_draft_of_a_machine_is_not_approved(office: Office) -> None:
    """Nothing goes out because of alarms alone."""
    monitored(office)
    first = tell(office)
    with pytest.raises(WorkflowError, match="draft"):
        office.approve(first.draft)


def test_cleared_alarms_propose_and_change_nothing(office: Office) -> None:
    """The last one proposes; what was only suspected may have been nothing."""
    monitored(office)
    first = tell(office)
    tell(office, id="a-2")
    one = tell(office, state="cleared")
    other = tell(office, id="a-2", alarmClearedTime="2021-10-25T12:00:00+09:00")
    again = tell(office, id="a-2", perceivedSeverity="cleared")
    with office.gateway.store.read() as tx:
        incident = tx.incident(first.incident_id)
        events = [event.what for event in tx.events(first.incident_id)]

    assert (Effect.CLEARED, None) == (one.effect, one.state)
    assert (Effect.PROPOSED, IncidentState.FALSE_ALARM) == (other.effect, other.state)
    assert (Effect.REPEATED, IncidentState.FALSE_ALARM) == (again.effect, again.state)
    assert incident is not None
    assert IncidentState.SUSPECTED is incident.state
    assert ["alarm-cleared", "alarm-cleared", "state-proposed"] == events


def test_cleared_alarms_of_a_confirmed_outage_propose_monitoring(front: Front) -> None:
    """Over HTTP, where whoever watches reads the proposal."""
    office = monitored(front.office)
    told = front.ask("POST", "/v1/alarms", SOUND, by="monitor")
    incident = told.json()["incident"]
    office.gateway.set_incident_state(
        incident, IncidentState.INVESTIGATING, key=office.keys["alice"]
    )
    cleared = front.ask("POST", "/v1/alarms", SOUND | {"state": "cleared"}, by="monitor")
    shown = front.ask("GET", f"/v1/incidents/{incident}").json()

    assert (202, "opened") == (told.status_code, told.json()["effect"])
    assert ("proposed", "monitoring") == (
        cleared.json()["effect"],
        cleared.json()["proposed_state"],
    )
    assert ("investigating", "monitoring", 1, 1) == (
        shown["state"],
        shown["proposed_state"],
        shown["alarms"],
        shown["alarms_cleared"],
    )


def test_alarm_that_comes_back_takes_the_proposal_away(office: Office) -> None:
    """It is raised once more."""
    monitored(office)
    first = tell(office)
    tell(office, state="cleared")
    back = tell(office, state="raised")
    with office.gateway.store.read() as tx:
        counts = tx.count_alarms(first.incident_id)

    assert (Effect.JOINED, (1, 0)) == (back.effect, counts)


def test_alarm_that_nobody_has_told_of_is_ignored_when_cleared(office: Office) -> None:
    """It opens nothing."""
    monitored(office)

    assert Proposal(Effect.IGNORED, "", "", None) == tell(office, state="cleared")


def test_same_cause_after_its_end_is_another_outage(office: Office) -> None:
    """And another cause at the same time as well."""
    monitored(office)
    first = tell(office)
    other = tell(office, id="a-2", probableCause="powerFailure")
    office.gateway.set_incident_state(
        first.incident_id, IncidentState.FALSE_ALARM, key=office.keys["alice"]
    )
    after = tell(office, id="a-3", alarmRaisedTime="2021-10-25T11:59:00+09:00")

    assert 3 == len({first.incident_id, other.incident_id, after.incident_id})


def test_service_problem_is_an_alarm(office: Office) -> None:
    """TMF656: its category and reason are the cause, its originator the carrier."""
    monitored(office)
    problem = {
        "@type": "ServiceProblem",
        "id": "p-1",
        "category": "serviceProvider",
        "reason": "routing",
        "creationDate": "2021-10-25T11:17:00+09:00",
        "originatorParty": {"id": "kt"},
        "place": [{"id": "KR-26"}],
    }
    gone = dict.fromkeys(SOUND) | problem
    opened = tell(office, **gone)
    resolved = tell(office, **gone | {"status": "resolved"})

    assert (Effect.OPENED, Effect.PROPOSED) == (opened.effect, resolved.effect)


def test_place_that_is_not_named_is_the_machines_own(office: Office) -> None:
    """All that the machine may address."""
    monitored(office)
    first = tell(office, place=None, affectedService=None)
    with office.gateway.store.read() as tx:
        record = tx.bulletin(first.draft)

    assert record is not None
    assert ("KR",) == record.bulletin.regions


def test_carrier_without_words_gets_a_draft_without_words(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the country has no template, facts alone."""
    monitored(office)
    monkeypatch.setattr("cbgateway.service.proposals.TEMPLATE", "none")
    first = tell(office)
    with office.gateway.store.read() as tx:
        record = tx.bulletin(first.draft)

    assert record is not None
    assert {"ko": "kt 부산광역시 11:16"} == record.bulletin.texts


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"probableCause": None}, InputError, "probableCause"),
        ({"probableCause": ""}, InputError, "probableCause"),
        ({"sourceSystemId": None}, InputError, "one of kt, skt, lguplus"),
        ({"sourceSystemId": "other"}, UnknownNameError, "carrier 'other'"),
        ({"place": [{"id": "KR-99"}]}, UnknownNameError, "region 'KR-99'"),
        ({"alarmRaisedTime": "yesterday"}, InputError, "alarmRaisedTime"),
        ({"@type": "ServiceProblem"}, InputError, "category"),
        ({"@type": "Bulletin"}, InputError, "@type"),
        ({"by": "bob"}, PermissionDeniedError, "may not propose"),
    ],
)
def test_alarm_that_is_refused(
    office: Office, changes: dict[str, Any], error: type[Exception], words: str
) -> None:
    """With the place of the fault."""
    monitored(office)
    with pytest.raises(error, match=words):
        tell(office, **changes)


def test_only_carrier_need_not_be_named() -> None:
    """There is no other that it could be."""
    document = {name: value for name, value in SOUND.items() if name != "sourceSystemId"}
    alarm = parse_alarm(json.dumps(document).encode(), carriers=("kt",))

    assert "kt" == alarm.carrier


def test_alarm_of_somebody_unknown_is_refused(office: Office) -> None:
    """A signature for another content does not count either."""
    document = dict(SOUND)
    alarm = parse_alarm(json.dumps(document).encode(), carriers=CARRIERS)
    signature = sign_detached(
        canonical(document), office.keys["alice"], content="cbgateway-submission-1"
    )
    desk = office.gateway.desk
    with pytest.raises(SignatureInvalidError):
        desk.commit(desk.alarm(alarm, signature))
