"""Looking over HTTP: pages, tags, the history as it grows, figures, keys, health."""

import asyncio
import json
import threading
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from cbgateway.app import Gateway
from cbgateway.domain.errors import ConfigurationError
from cbgateway.front import serving_http
from cbgateway.interfaces.http import events
from cbgateway.settings import HttpSettings
from tests.conftest import Office
from tests.front import Front, serving


def test_collections_come_in_pages(front: Front) -> None:
    """Each page names the next; together they are everything, once."""
    for number in range(5):
        incident = front.office.document()["incident"] | {"id": f"inc-{number}"}
        texts = {"ko": f"통신 장애 {number}"}
        front.submit(front.office.document(incident=incident, texts=texts))
    found: dict[str, list[Any]] = {}
    for path, name in (
        ("/v1/incidents", "incident"),
        ("/v1/regions", "code"),
        ("/v1/audit", "index"),
    ):
        following: str | None = f"{path}?limit=2"
        while following:
            page = front.ask("GET", following).json()
            assert len(page["items"]) <= 2
            found.setdefault(path, []).extend(item[name] for item in page["items"])
            following = page["next"]

    assert [f"inc-{number}" for number in range(5)] == found["/v1/incidents"]
    assert sorted(front.office.gateway.deployment.regions) == found["/v1/regions"]
    assert list(range(8)) == found["/v1/audit"]


def test_bulletins_and_deliveries_come_in_pages(front: Front) -> None:
    """By number, in order."""
    front.office.issue(front.office.document())
    front.office.submit(front.office.later("progress"))
    first = front.ask("GET", "/v1/incidents/inc-1/bulletins?limit=1").json()
    second = front.ask("GET", first["next"]).json()
    deliveries = front.ask("GET", "/v1/bulletins/inc-1/1/deliveries?limit=4").json()
    rest = front.ask("GET", deliveries["next"]).json()

    assert ["inc-1/1"] == [one["bulletin"] for one in first["items"]]
    assert (["inc-1/2"], None) == ([one["bulletin"] for one in second["items"]], second["next"])
    assert (4, 2, None) == (len(deliveries["items"]), len(rest["items"]), rest["next"])


def test_incident_is_shown(front: Front) -> None:
    """With what its alarms say; here there are none."""
    front.office.submit(front.office.document())
    incident = front.ask("GET", "/v1/incidents/inc-1").json()

    assert ("kt", "investigating", 0, None) == (
        incident["carrier"],
        incident["state"],
        incident["alarms"],
        incident["proposed_state"],
    )


def test_what_the_caller_has_is_not_sent_again(front: Front) -> None:
    """If-None-Match with the tag of the answer before."""
    front.office.submit(front.office.document())
    first = front.ask("GET", "/v1/bulletins/inc-1/1")
    tag = {"if-none-match": first.headers["etag"]}
    again = front.ask("GET", "/v1/bulletins/inc-1/1", changed=tag)
    front.office.approve("inc-1/1")
    later = front.ask("GET", "/v1/bulletins/inc-1/1", changed=tag)

    assert (304, b"") == (again.status_code, again.content)
    assert (200, "approved") == (later.status_code, later.json()["state"])


def test_tag_of_an_answer_is_that_of_the_bulletin(front: Front) -> None:
    """What a submission is answered with may be named in the next request."""
    accepted = front.submit(front.office.document())
    shown = front.ask("GET", "/v1/bulletins/inc-1/1")

    assert (accepted.headers["etag"], accepted.json()) == (shown.headers["etag"], shown.json())


def read_events(front: Front, path: str, count: int, **headers: str) -> list[dict[str, Any]]:
    """Read some events from the stream."""
    found = []
    signed = front.headers("GET", path, None) | headers
    with front.client.stream("GET", path, headers=signed) as response:
        assert "text/event-stream" in response.headers["content-type"]
        event: dict[str, Any] = {}
        for line in response.iter_lines():
            name, _, value = line.partition(": ")
            if name:
                event[name] = value
            elif "id" in event:
                found.append(event)
                event = {}
            if len(found) == count:
                break
    return found


def test_events_go_on_where_the_client_was(front: Front) -> None:
    """By Last-Event-ID, by `after`, without a gap and without a repetition."""
    front.office.submit(front.office.document())
    all_of_it = read_events(front, "/v1/events?after=-1", 4)
    rest = read_events(front, "/v1/events", 2, **{"last-event-id": "1"})

    assert ["0", "1", "2", "3"] == [one["id"] for one in all_of_it]
    assert ["2", "3"] == [one["id"] for one in rest]
    assert "submitted" == rest[1]["event"]
    assert "inc-1/1" == json.loads(rest[1]["data"])["subject"]


def test_events_come_as_they_are_committed(front: Front) -> None:
    """A client that watches from now on sees what another process commits."""
    found: list[dict[str, Any]] = []
    watching = threading.Thread(target=lambda: found.extend(read_events(front, "/v1/events", 1)))
    watching.start()
    token = {"authorization": f"Bearer {front.token()}"}
    for _ in range(500):
        figures = front.client.get("/metrics", headers=token).text
        if "cbgateway_http_watchers 1\n" in figures:
            break
    front.office.submit(front.office.document())
    watching.join(10)

    assert ["submitted"] == [one["event"] for one in found]


def test_watchers_are_a_bounded_number(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others' connections stay free for work."""
    monkeypatch.setattr(events, "EVENTS_CONNECTIONS_MAX", 0)
    refused = front.ask("GET", "/v1/events")

    assert (503, "urn:cbgateway:problem:too-busy") == (refused.status_code, refused.json()["type"])
    assert "10" == refused.headers["retry-after"]


def test_silent_streams_say_that_they_are_there(
    front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A comment, so that both sides notice a dead line."""
    monkeypatch.setattr(events, "EVENTS_HEARTBEAT_S", 0.0)
    with front.client.stream(
        "GET", "/v1/events", headers=front.headers("GET", "/v1/events", None)
    ) as response:
        lines = response.iter_lines()
        comments = [next(lines), next(lines), next(lines)]

    assert [": still here", "", ": still here"] == comments


def test_event_id_of_another_form_is_refused(front: Front) -> None:
    """A number, as the stream has given it."""
    refused = front.ask("GET", "/v1/events", changed={"last-event-id": "x" * 20})

    assert 422 == refused.status_code


def test_figures_are_those_of_status(front: Front) -> None:
    """What `cbgateway status` knows, in Prometheus's words."""
    front.office.issue(front.office.document())
    figures = front.ask("GET", "/metrics")

    assert "text/plain; version=0.0.4; charset=utf-8" == figures.headers["content-type"]
    for line in (
        'cbgateway_bulletins{state="approved"} 1',
        'cbgateway_open_deliveries{carrier="kt",state="ready"} 2',
        "cbgateway_audit_entries 5",
        "cbgateway_ready 1",
        "cbgateway_ballast_held 1",
        "cbgateway_promises_late 0",
        "cbgateway_promises_missed_total 0",
    ):
        assert line in figures.text.splitlines(), line


def test_keys_and_health_are_for_everybody(front: Front) -> None:
    """No signature, no token."""
    keys = front.client.get("/.well-known/cbgateway-keys.json")

    assert front.office.gateway.keyring.published_keys() == keys.json()
    assert {"status": "ok"} == front.client.get("/healthz").json()
    assert {"status": "ok"} == front.client.get("/readyz").json()
    assert "no-store" == keys.headers["cache-control"]


def test_gateway_that_is_not_ready_says_so(office: Office) -> None:
    """A load balancer asks somebody else; the process itself is well."""
    with serving(office, is_ready=False) as front:
        refused = front.client.get("/readyz")

        assert (503, "urn:cbgateway:problem:not-ready") == (
            refused.status_code,
            refused.json()["type"],
        )
        assert 200 == front.client.get("/healthz").status_code
        assert "cbgateway_ready 0" in front.ask("GET", "/metrics").text


def test_certificate_that_is_none_keeps_it_from_starting(office: Office, tmp_path: Path) -> None:
    """And says so, in a word that operators know."""
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("no certificate", "utf-8")
    http = HttpSettings(port=0, certificate=wrong, private_key=wrong)
    settings = office.gateway.settings.model_copy(update={"http": http})
    desk = replace(office.gateway.desk, settings=settings)

    async def until_it_ends() -> None:
        stop = asyncio.Event()
        async with serving_http(desk, office.gateway.status, stop, None):
            await stop.wait()

    with pytest.raises(ConfigurationError, match="certificate or key"):
        asyncio.run(until_it_ends())


def test_metrics_tell_of_each_peer(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether it is up, and since when its way is proved; nothing for one never tested."""
    passed_at = (front.office.clock.now() - timedelta(seconds=90)).isoformat()
    peers = [
        {"peer_id": "kt", "is_up": True, "link_test": {"passed_at": passed_at}},
        {"peer_id": "bsc-1", "is_up": False, "link_test": None},
    ]
    monkeypatch.setattr(Gateway, "peers", lambda _gateway: {"peers": peers})

    lines = front.ask("GET", "/metrics").text.splitlines()

    assert 'cbgateway_peer_up{peer="kt"} 1' in lines
    assert 'cbgateway_peer_up{peer="bsc-1"} 0' in lines
    ages = [line for line in lines if line.startswith("cbgateway_link_test_age_seconds{")]
    assert ages == ['cbgateway_link_test_age_seconds{peer="kt"} 90.0']
