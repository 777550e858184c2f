"""How far an outage has got, over HTTP: the same table, conditions and once only."""

from typing import Any

import pytest

from tests.front import Front

PATH = "/v1/incidents/inc-1:transition"


def document(to: str, *, seen: str = "investigating", **changes: Any) -> dict[str, Any]:
    """Give what bob signs."""
    sound = {
        "decision": "transition",
        "incident": "inc-1",
        "from": seen,
        "to": to,
        "reason": "alarms are cleared",
    }
    return sound | changes


def test_incident_goes_from_suspected_to_its_report(front: Front) -> None:
    """Every state of an outage that was real, and one that was none."""
    front.submit(front.office.document())
    states = ["identified", "monitoring", "restored", "postmortem"]
    told = []
    for seen, to in zip(["investigating", *states], states, strict=False):
        answer = front.ask("POST", PATH, document(to, seen=seen), by="bob")
        told.append((answer.status_code, answer.json()["state"]))
    shown = front.ask("GET", "/v1/incidents/inc-1")
    leaves = front.ask("GET", "/v1/audit").json()["items"]

    assert [(200, state) for state in states] == told
    assert answer.headers["etag"] == shown.headers["etag"]
    assert states == [one["what"] for one in leaves if one["subject"] == "inc-1"]


@pytest.mark.parametrize(
    ("body", "status", "name"),
    [
        (document("suspected"), 409, "workflow"),
        (document("restored", seen="monitoring"), 409, "stale"),
        (document("over"), 422, "input-invalid"),
        (document("restored", reason=""), 422, "input-invalid"),
        (document("restored", more=1), 422, "input-invalid"),
        (document("restored", incident="inc-2"), 422, "input-invalid"),
        (document("restored") | {"decision": "approve"}, 422, "input-invalid"),
    ],
)
def test_step_that_may_not_be_taken(
    front: Front, body: dict[str, Any], status: int, name: str
) -> None:
    """By its name, and the incident stays as it is."""
    front.submit(front.office.document())
    refused = front.ask("POST", PATH, body, by="bob")

    assert status == refused.status_code
    assert f"urn:cbgateway:problem:{name}" == refused.json()["type"]
    assert "investigating" == front.ask("GET", "/v1/incidents/inc-1").json()["state"]


def test_step_is_taken_once(front: Front) -> None:
    """Under one key: the first answer again, though the incident is in another state by now."""
    front.submit(front.office.document())
    ask = {"by": "bob", "idempotency_key": "step-1"}
    first = front.ask("POST", PATH, document("monitoring"), **ask)
    again = front.ask("POST", PATH, document("monitoring"), **ask)

    assert first.json() == again.json()
    assert "true" == again.headers["idempotent-replayed"]


def test_step_only_while_it_is_as_it_was_seen(front: Front) -> None:
    """An alarm that has come since changes the tag."""
    front.office.add("noc", may_submit=True, owner="alice")
    alarm = {
        "id": "a-1",
        "probableCause": "power",
        "sourceSystemId": "kt",
        "alarmRaisedTime": "2021-10-25T11:16:00+09:00",
    }
    name = front.ask("POST", "/v1/alarms", alarm, by="noc").json()["incident"]
    seen = front.ask("GET", f"/v1/incidents/{name}").headers["etag"]
    front.ask("POST", "/v1/alarms", alarm | {"id": "a-2"}, by="noc")
    body = document("false_alarm", seen="suspected", incident=name)
    path = f"/v1/incidents/{name}:transition"
    stale = front.ask("POST", path, body, by="bob", if_match=seen)
    now = front.ask("GET", f"/v1/incidents/{name}").headers["etag"]
    done = front.ask("POST", path, body, by="bob", if_match=now)
    machine = front.ask("POST", path, body, by="noc")

    assert 412 == stale.status_code
    assert (200, "false_alarm") == (done.status_code, done.json()["state"])
    assert 403 == machine.status_code


def test_step_of_no_incident(front: Front) -> None:
    """There is nothing that could go on, with a condition or without."""
    body = document("restored", incident="inc-9")
    path = "/v1/incidents/inc-9:transition"

    assert 404 == front.ask("POST", path, body, by="bob").status_code
    assert 404 == front.ask("POST", path, body, by="bob", if_match='"a"').status_code
