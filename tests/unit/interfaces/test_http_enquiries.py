"""What people ask, over HTTP: counts, questions, reports, metrics, and beside a plan."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.enquirers import Enquirers, phone
from tests.front import Front, serving


@pytest.fixture
def asked(enquirers: Enquirers) -> Iterator[tuple[Enquirers, Front]]:
    """Give people who have asked, and the interface of the gateway that they asked."""
    enquirers.ask("상태")
    enquirers.ask("신고 부산", source=phone(2))
    enquirers.ask("왜 안 되나요", source=phone(3))
    enquirers.ask("상태", source="1588")
    with serving(enquirers.office) as front:
        yield enquirers, front


def test_enquiries_are_shown(asked: Any) -> None:
    """To whoever may read; nobody's number is in it."""
    _, front = asked
    answer = front.ask("GET", "/v1/enquiries")

    assert answer.status_code == 200
    found = answer.json()
    assert found["carriers"]["kt"]["answered"] == 3
    assert found["carriers"]["kt"]["blocked"] == 1
    assert [one["question"] for one in found["questions"]] == ["왜 안 되나요"]
    assert [(one["region"], one["reports"]) for one in found["reports"]] == [("KR-26", 1)]
    assert "8210" not in answer.text
    assert front.client.get("/v1/enquiries").status_code == 401


def test_metrics_have_a_histogram_of_latencies(asked: Any) -> None:
    """With the counts of what became of questions."""
    _, front = asked
    text = front.ask("GET", "/metrics").text

    for line in (
        'cbgateway_enquiries_asked_total{carrier="kt"} 4',
        'cbgateway_enquiries_total{carrier="kt",outcome="answered"} 3',
        'cbgateway_enquiries_total{carrier="kt",outcome="blocked"} 1',
        'cbgateway_enquiry_reply_seconds_bucket{carrier="kt",le="3"} 3',
        'cbgateway_enquiry_reply_seconds_bucket{carrier="kt",le="+Inf"} 3',
        'cbgateway_enquiry_reply_seconds_count{carrier="kt"} 3',
        'cbgateway_enquiry_subscribers{carrier="kt"} 0',
    ):
        assert line in text


def test_plan_has_subscribers_and_questions(asked: Any) -> None:
    """For the one who decides."""
    enquirers, front = asked
    enquirers.ask("알림 부산", source=phone(4))
    office = enquirers.office
    office.submit(office.document())
    plan = front.ask("GET", "/v1/plans/inc-1/1", by="bob").json()

    assert plan["subscribers"] == {"kt": 1, "skt": 0}
    assert [one["question"] for one in plan["questions"]] == ["왜 안 되나요"]


def test_question_is_noted_over_http(asked: Any) -> None:
    """Masked, once for the same request, by somebody who is known; nothing else is taken."""
    _, front = asked
    path, question = (
        "/v1/enquiries/questions",
        {"question": "카드 1234 언제?", "source": " desk 7 "},
    )
    answer = front.ask("POST", path, question)

    assert (answer.status_code, answer.json()) == (
        200,
        {"question": "카드 #### 언제", "source": "desk 7"},
    )
    listed = front.ask("GET", "/v1/enquiries").json()["questions"]
    assert [one["question"] for one in listed if one["source"] == "desk 7"] == ["카드 #### 언제"]
    for wrong in ({"question": "  ", "source": "desk"}, {"question": "왜"}, question | {"by": "x"}):
        refused = front.ask("POST", path, wrong)
        assert refused.status_code == 422, refused.text
    assert front.client.post(path, json=question).status_code == 401
