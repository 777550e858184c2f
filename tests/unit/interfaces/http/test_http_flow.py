"""A bulletin over HTTP, from its submission to what became of it; the same rules as everywhere."""

import json
from typing import Any

import pytest

from cbgateway.interfaces.http.client import content_of
from tests.conftest import Office
from tests.front import Front, serving
from tests.radio import join_network


def problem(response: Any) -> tuple[int, str]:
    """Give status and name of a refusal."""
    assert response.headers["content-type"] == "application/problem+json", response.text
    document = response.json()
    assert document["status"] == response.status_code
    return response.status_code, document["type"].removeprefix("urn:cbgateway:problem:")


def test_bulletin_goes_all_the_way(front: Front) -> None:
    """Submitted by alice, looked at and approved by bob, delivered."""
    accepted = front.submit(front.office.document())
    bulletin_id = accepted.json()["bulletin"]
    approved = front.approve(bulletin_id)
    front.office.send()
    report = front.ask("GET", f"/v1/bulletins/{bulletin_id}/deliveries").json()

    assert (202, "pending") == (accepted.status_code, accepted.json()["state"])
    assert f"/v1/bulletins/{bulletin_id}" == accepted.headers["location"]
    assert (202, "approved", "bob") == (
        approved.status_code,
        approved.json()["state"],
        approved.json()["decided_by"],
    )
    assert {"acked": 2} == report["carriers"]["kt"]
    assert ["KR-26"] == list(report["seals"])
    assert "live" == front.ask("GET", f"/v1/bulletins/{bulletin_id}").json()["state"]


@pytest.mark.parametrize("path", ["/v1/incidents", "/v1/incidents/inc-1/bulletins"])
@pytest.mark.parametrize("fault", ["", "kind", "json", "method"])
def test_short_way_answers_as_the_framework_does(front: Front, path: str, fault: str) -> None:
    """A bulletin without a query goes past routing and parameters; nobody can tell."""
    document = front.office.document(**({"kind": "greeting"} if fault == "kind" else {}))
    answers = []
    for query in ("", "?draft=false"):
        if fault == "json":
            answers.append(front.raw(path + query, b"[1,"))
        else:
            method = "PUT" if fault == "method" else "POST"
            answers.append(front.ask(method, path + query, document))
    short, long = answers

    assert short.status_code == long.status_code
    assert short.content == long.content
    ignored = {"date"}
    assert [one for one in short.headers.items() if one[0] not in ignored] == [
        one for one in long.headers.items() if one[0] not in ignored
    ]


def test_http_and_the_command_line_make_the_same_plan(front: Front) -> None:
    """One document by two ways: the same orders, octet for octet."""
    document = front.office.document()
    bulletin_id = front.submit(document).json()["bulletin"]
    over_http = front.ask("GET", f"/v1/plans/{bulletin_id}", by="bob").json()
    prepared = front.office.gateway.prepare(bulletin_id)

    assert prepared.plan.hash() == over_http["plan"]
    assert [one.text for one in prepared.plan.broadcasts] == [
        "".join(one["pages"]) for one in over_http["broadcasts"]
    ]
    assert [{"region": "KR-26", "left": 8.0, "left_for_sender": 4.0}] == over_http["budgets"]


def test_plan_shows_parts_of_short_messages(front: Front) -> None:
    """A text beyond one message is shown part by part, for the recipients there are."""
    front.office.gateway.import_recipients("kt", b"number,region,language\n821012345678,KR-26,ko\n")
    text = "통신 장애 " * 14
    document = front.office.document(texts={"ko": text})
    bulletin_id = front.submit(document).json()["bulletin"]
    plan = front.ask("GET", f"/v1/plans/{bulletin_id}").json()

    (message,) = plan["short_messages"]
    assert 2 == len(message["parts"])
    assert text == "".join(message["parts"])
    assert 1 == plan["carriers"]["kt"]["recipients"]
    assert {one["carrier"]: one["level"] for one in plan["reach"]} == {
        "kt": "neighbour_or_roaming",
        "skt": "assured",
        "lguplus": "assured",
    }


def test_incident_is_opened_by_its_first_bulletin_only(front: Front) -> None:
    """An update is posted to its incident."""
    opened = front.ask("POST", "/v1/incidents", front.office.document())
    later = front.ask("POST", "/v1/incidents", front.office.later("progress"))
    elsewhere = front.ask("POST", "/v1/incidents/inc-2/bulletins", front.office.later("progress"))

    assert 202 == opened.status_code
    assert (422, "input-invalid") == problem(later)
    assert (422, "input-invalid") == problem(elsewhere)


def test_draft_is_changed_and_then_submitted(front: Front) -> None:
    """PUT keeps it a draft, `:submit` submits it; a stale If-Match does neither."""
    path = "/v1/incidents/inc-1/bulletins?draft=true"
    draft = front.ask("POST", path, front.office.document())
    bulletin_id = draft.json()["bulletin"]
    seen = draft.headers["etag"]
    texts = {"ko": "통신 장애 2"}
    changed = front.ask(
        "PUT", f"/v1/bulletins/{bulletin_id}", front.office.document(texts=texts), if_match=seen
    )
    stale = front.ask(
        "POST", f"/v1/bulletins/{bulletin_id}:submit", front.office.document(), if_match=seen
    )
    submitted = front.ask(
        "POST",
        f"/v1/bulletins/{bulletin_id}:submit",
        front.office.document(texts=texts),
        if_match=changed.headers["etag"],
    )

    assert ("draft", "draft") == (draft.json()["state"], changed.json()["state"])
    assert (412, "precondition-failed") == problem(stale)
    assert "pending" == submitted.json()["state"]


@pytest.mark.parametrize(("verb", "state"), [("return", "returned"), ("reject", "rejected")])
def test_bulletin_is_turned_down(front: Front, verb: str, state: str) -> None:
    """With a reason that the author reads."""
    bulletin_id = front.submit(front.office.document()).json()["bulletin"]
    document = {"decision": verb, "bulletin": bulletin_id, "reason": "name the city"}
    done = front.ask("POST", f"/v1/bulletins/{bulletin_id}:{verb}", document, by="bob")

    assert (200, state, "name the city") == (
        done.status_code,
        done.json()["state"],
        done.json()["reason"],
    )


def test_author_takes_back(front: Front) -> None:
    """One's own bulletin, before anybody has approved it."""
    bulletin_id = front.submit(front.office.document()).json()["bulletin"]
    document = {"decision": "take-back", "bulletin": bulletin_id, "reason": "false alarm"}
    path = f"/v1/bulletins/{bulletin_id}:withdraw"
    by_another = front.ask("POST", path, document, by="bob")
    done = front.ask("POST", path, document)

    assert (403, "permission-denied") == problem(by_another)
    assert "withdrawn" == done.json()["state"]


def test_decision_about_another_bulletin_is_refused(front: Front) -> None:
    """Address and document have to agree."""
    bulletin_id = front.submit(front.office.document()).json()["bulletin"]
    document = {"decision": "reject", "bulletin": "inc-1/2", "reason": "no"}
    done = front.ask("POST", f"/v1/bulletins/{bulletin_id}:reject", document, by="bob")

    assert (422, "input-invalid") == problem(done)


def test_same_request_gets_the_same_answer(front: Front) -> None:
    """Octet for octet, and nothing is stored twice."""
    document = front.office.document()
    path = "/v1/incidents/inc-1/bulletins"
    body = json.dumps(document).encode()
    headers = front.headers("POST", path, body)
    first = front.client.post(path, content=body, headers=headers)
    again = front.client.post(path, content=body, headers=headers)
    size = len(front.ask("GET", "/v1/audit").json()["items"])

    assert (first.status_code, first.content) == (again.status_code, again.content)
    assert "idempotent-replayed" not in first.headers
    assert "true" == again.headers["idempotent-replayed"]
    assert 4 == size  # made, two people, one submission


def test_idempotency_key_outlives_the_nonce(front: Front) -> None:
    """A client that signs anew under the same key gets the first answer, a day long."""
    bulletin_id = front.submit(front.office.document()).json()["bulletin"]
    document = {"decision": "reject", "bulletin": bulletin_id, "reason": "no"}
    path = f"/v1/bulletins/{bulletin_id}:reject"
    first = front.ask("POST", path, document, by="bob", idempotency_key="k-1")
    front.office.clock.advance(3600)
    again = front.ask("POST", path, document, by="bob", idempotency_key="k-1")
    without = front.ask("POST", path, document, by="bob")

    assert (200, first.content) == (again.status_code, again.content)
    assert (409, "workflow") == problem(without)


def test_keyed_request_is_repeated_by_its_nonce_too(front: Front) -> None:
    """The very same octets again: nonce and key both know them."""
    document = front.office.document()
    body = json.dumps(document).encode()
    headers = front.headers("POST", "/v1/incidents", body, idempotency_key="k-2")
    answers = [front.client.post("/v1/incidents", content=body, headers=headers) for _ in range(2)]

    assert answers[0].content == answers[1].content
    assert [None, "true"] == [one.headers.get("idempotent-replayed") for one in answers]


def test_keys_belong_to_who_uses_them(front: Front) -> None:
    """Two people may choose the same Idempotency-Key."""
    front.office.add("carol", may_submit=True)
    mine = front.submit(front.office.document(), idempotency_key="same")
    hers = front.submit(
        front.office.document(
            sender="carol", incident=front.office.document()["incident"] | {"id": "inc-2"}
        ),
        by="carol",
        idempotency_key="same",
    )

    assert (202, 202) == (mine.status_code, hers.status_code)


def test_refused_request_stays_refused(front: Front) -> None:
    """Its nonce is used up, even when what stood in its way is gone."""
    bulletin_id = front.submit(front.office.document()).json()["bulletin"]
    decision = front.decision(bulletin_id)
    body = json.dumps(decision).encode()
    path = f"/v1/bulletins/{bulletin_id}:approve"
    headers = front.headers("POST", path, body, by="alice")
    first = front.client.post(path, content=body, headers=headers)
    again = front.client.post(path, content=body, headers=headers)

    assert (403, "same-person") == problem(first)
    assert first.content == again.content


def test_revoked_person_is_refused(front: Front) -> None:
    """At once, for reading as for writing."""
    front.office.gateway.keyring.revoke("alice")

    assert (403, "permission-denied") == problem(front.ask("GET", "/v1/incidents"))
    assert (403, "permission-denied") == problem(front.submit(front.office.document()))


def test_revoked_key_is_not_known(front: Front) -> None:
    """One key of somebody who has others."""
    front.office.gateway.keyring.revoke(front.office.keys["alice"].key_id)

    assert (401, "signature-invalid") == problem(front.ask("GET", "/v1/incidents"))


def test_contents_follow_from_the_address() -> None:
    """What a document is depends on where it goes."""
    assert "cbgateway-submission-1" == content_of("http://x/v1/incidents/a/bulletins")
    assert "cbgateway-submission-1" == content_of("http://x/v1/bulletins/a/1:submit")
    assert "cbgateway-decision-2" == content_of("http://x/v1/bulletins/a/1:approve")
    assert "cbgateway-take-back-1" == content_of("http://x/v1/bulletins/a/1:withdraw")
    assert "cbgateway-alarm-1" == content_of("http://x/v1/alarms")


def test_plan_shows_cells_of_each_controller_and_where_there_is_none(office: Office) -> None:
    """Cells as they are named to the controller, and the regions that no cell reaches."""
    cells = "\n".join(
        f"{controller},{region},450-08,1,{cell},,"
        for controller, region, cell in (
            ("bsc-1", "KR-26", 1),
            ("bsc-1", "KR-26", 2),
            ("bsc-1", "KR-31", 3),
            ("bsc-2", "KR-26", 4),
        )
    )
    names = {name: {"host": "127.0.0.1", "port": 1} for name in ("bsc-1", "bsc-2")}
    join_network(office, names, cells, carriers=True)
    with serving(office) as front:
        document = office.document(regions=["KR-26", "KR-11"])
        bulletin_id = front.submit(document).json()["bulletin"]
        plan = front.ask("GET", f"/v1/plans/{bulletin_id}", by="bob").json()
    office.close_radio()

    (network,) = plan["cells"]
    assert ("kt-gsm", ["KR-11"]) == (network["network"], network["regions_bare"])
    found = {one["controller"]: one for one in network["controllers"]}
    assert {"bsc-1": 2, "bsc-2": 1} == {name: one["cells"] for name, one in found.items()}
    assert ["450-08-1-1", "450-08-1-2"] == found["bsc-1"]["places"]
    assert plan["carriers"]["bsc-1"]["broadcasts"] == 2
