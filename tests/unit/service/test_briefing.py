"""Briefings and facts: what staff read, and what a bulletin may say of itself."""

import json
from typing import Any

import pytest

from cbgateway.domain.bulletin import Confidence, EmergencyCalls
from cbgateway.domain.errors import (
    ContactError,
    ExpiredError,
    HeartbeatError,
    InputError,
    UnknownNameError,
)
from cbgateway.profiles.deadlines import HeartbeatPolicy
from cbgateway.storage.rows import record_of

HEARTBEAT: dict[str, Any] = {
    "name": "heartbeat",
    "slots": {"authority": "msit", "carrier": "kt", "number": 2, "now": "12:20", "next": "12:50"},
}


def test_facts_are_those_of_the_document(office: Any) -> None:
    """Stated outright; a duration counts from now."""
    facts = {
        "cause": "power",
        "confidence": "probable",
        "eta": "PT45M",
        "emergency_calls": "down",
        "workarounds": ["landline", "radio"],
    }
    found = office.submit(office.document(facts=facts)).bulletin.facts

    assert (found.cause, found.confidence) == ("power", Confidence.PROBABLE)
    assert found.emergency_calls is EmergencyCalls.DOWN
    assert found.workarounds == ("landline", "radio")
    assert found.eta.isoformat() == "2021-10-25T03:45:00+00:00"


@pytest.mark.parametrize(
    ("eta", "at"), [("12:20", "2021-10-25T03:20:00"), ("11:59", "2021-10-26T02:59:00")]
)
def test_template_that_names_a_repair_time_says_it_as_a_fact(
    office: Any, eta: str, at: str
) -> None:
    """Pages know it as well, and know when it has passed; by the country's clocks."""
    office.issue(office.document())
    slots = {
        "authority": "msit",
        "carrier": "kt",
        "number": 2,
        "cause": "routing",
        "now": "12:00",
        "eta": eta,
        "next": "12:30",
    }
    template = {"name": "progress", "slots": slots}
    found = office.submit(office.later("progress", texts=None, template=template)).bulletin.facts

    assert found.eta.isoformat() == f"{at}+00:00"
    assert (found.cause, found.confidence) == ("routing", Confidence.SUSPECTED)


@pytest.mark.parametrize(
    ("facts", "error", "words"),
    [
        ({"cause": "gremlins"}, UnknownNameError, "gremlins"),
        ({"workarounds": ["pray"]}, UnknownNameError, "pray"),
        ({"eta": "2021-10-25T02:59:00Z"}, ExpiredError, "has passed"),
        ({"eta": "-PT1H"}, ExpiredError, "has passed"),
        ({"eta": "P99999999D"}, ExpiredError, "no calendar"),
        ({"blame": "kt"}, InputError, "facts.blame"),
        ({"workarounds": ["cash"] * 9}, InputError, "9 items"),
    ],
)
def test_facts_that_cannot_be_are_refused(
    office: Any, facts: dict[str, Any], error: type[Exception], words: str
) -> None:
    """By name."""
    with pytest.raises(error, match=words):
        office.submit(office.document(facts=facts))


def test_slot_that_is_no_time_is_the_templates_to_refuse(office: Any) -> None:
    """Not a traceback."""
    office.issue(office.document())
    template = {"name": "progress", "slots": {"eta": "soon", "cause": 7}}

    with pytest.raises(Exception, match="slot 'eta' takes a time"):
        office.submit(office.later("progress", texts=None, template=template))


def test_bulletins_of_earlier_versions_are_read(office: Any) -> None:
    """They have neither code nor facts."""
    record = office.issue(office.document())
    with office.gateway.store.read() as tx:
        row = next(iter(tx._rows("bulletin", bulletin_id=record.bulletin.bulletin_id)))
    document = json.loads(row["document"])
    del document["code"], document["facts"]
    old = record_of(row | {"document": json.dumps(document)}).bulletin

    assert (old.code, old.facts.cause, old.facts.eta) == ("", "", None)


def test_what_was_said_earlier_is_not_forgotten(office: Any) -> None:
    """An update without a cause keeps the cause; its own repair time counts alone."""
    office.issue(
        office.document(
            facts={
                "cause": "power",
                "confidence": "confirmed",
                "emergency_calls": "impaired",
                "workarounds": ["cash"],
                "eta": "PT20M",
            }
        )
    )
    office.issue(office.later("progress"))
    found = office.gateway.telling.briefing("inc-1", language="en")

    assert (found["cause"], found["cause_confidence"]) == ("A power failure", "confirmed")
    assert found["emergency_calls"].startswith("Calls to 112 and 119 may fail")
    assert found["workarounds"] == ["Pay in cash or by bank transfer."]
    assert (found["eta"], found["eta_words"]) == (None, "not known yet")


def test_briefing_of_what_is_not_there_is_refused(office: Any) -> None:
    """No such incident, language or bulletin."""
    told = office.gateway.telling
    with pytest.raises(UnknownNameError, match="none yet"):
        told.briefing("inc-1", language="ko")
    office.issue(office.document())

    for changes in ({"language": "fr"}, {"language": "ko", "number": 7}):
        with pytest.raises(UnknownNameError):
            told.briefing("inc-1", **changes)


@pytest.mark.parametrize("reader", ["", "  ", "x" * 61, "a\nb"])
def test_reader_has_a_name(office: Any, reader: str) -> None:
    """On one line."""
    office.issue(office.document())

    with pytest.raises(InputError, match="reader"):
        office.gateway.telling.note_reading("inc-1/1", reader=reader)
    with pytest.raises(UnknownNameError):
        office.gateway.telling.note_reading("inc-1/9", reader="desk 7")


def test_briefing_after_restoration_and_after_its_times(office: Any) -> None:
    """The page says what is late, and that it is over when it is."""
    office.issue(office.document(facts={"eta": "PT20M"}))
    office.clock.advance(1801)
    late = office.gateway.telling.briefing_page("inc-1", language="en").decode()
    office.issue(office.later("restored"))
    over = office.gateway.telling.briefing("inc-1", language="en")

    assert "The promised update is late" in late
    assert "The repair time in this message has passed" in late
    assert (over["is_over"], over["next_update_at"]) == (True, None)
    assert "none planned" in office.gateway.telling.briefing_page("inc-1", language="en").decode()


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        ({"is_allowed": False}, "has none"),
        ({"is_allowed": True, "interval_min_s": 0, "per_incident_max": 1}, "1 times already"),
    ],
)
def test_policy_limits_heartbeats(office: Any, policy: dict[str, Any], words: str) -> None:
    """None at all, or no more than so many."""
    rules = office.gateway.deployment.deadlines
    object.__setattr__(rules, "heartbeat", HeartbeatPolicy.model_validate(policy))
    office.issue(office.document())
    document = office.later("heartbeat", texts=None, template=HEARTBEAT)
    if policy["is_allowed"]:
        office.issue(document)
        document = document | {"identifier": "another"}

    with pytest.raises(HeartbeatError, match=words):
        office.submit(document)


def test_heartbeat_needs_something_said(office: Any) -> None:
    """Nothing was approved yet."""
    office.submit(office.document())

    with pytest.raises(HeartbeatError, match="nothing was said"):
        office.submit(office.later("heartbeat", texts=None, template=HEARTBEAT))


def test_link_is_never_read_back(office: Any) -> None:
    """Only numbers are."""
    document = office.document(texts={"ko": "bad.example.com"}, read_back=["bad.example.com"])

    with pytest.raises(ContactError, match="link"):
        office.submit(document)


def test_correction_goes_out_though_its_promise_has_passed(office: Any) -> None:
    """Nothing holds up what takes back an error."""
    office.issue(office.document())
    late = office.submit(office.later("correction", next_update="PT10M")).bulletin.bulletin_id
    office.clock.advance(700)

    assert office.approve(late).bulletin.number == 2
