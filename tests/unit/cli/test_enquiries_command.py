"""`cbgateway enquiries`: what people ask, for operators and their programs."""

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from cbgateway.app import Gateway, init_home
from cbgateway.cli.main import app
from cbgateway.domain.bulletin import Mode
from cbgateway.domain.errors import InputError, UnknownNameError
from cbgateway.home import ballast_of
from tests.enquirers import phone

RUNNER = CliRunner()


@pytest.fixture(autouse=True)
def noon(monkeypatch: pytest.MonkeyPatch, clock: Any) -> None:
    """Have commands read the office's clock."""
    monkeypatch.setattr("cbgateway.app.SystemClock.now", lambda _: clock.now())


def run(enquirers: Any, *arguments: str, code: int = 0) -> str:
    """Run a command of the office's gateway; gives what it prints."""
    home = str(enquirers.office.gateway.home)
    done = RUNNER.invoke(app, ["enquiries", *arguments, "--home", home])
    assert done.exit_code == code, done.output
    return done.output


def test_status_shows_counts_and_how_soon(enquirers: Any) -> None:
    """By carrier, for people and programs."""
    enquirers.ask("상태")
    enquirers.ask("상태", source="1588")
    enquirers.ask("알림 서울")

    shown, found = run(enquirers, "status"), json.loads(run(enquirers, "status", "--json"))

    assert "100.0%" in shown
    assert found["kt"]["answered"] == 2
    assert found["kt"]["blocked"] == 1
    assert found["kt"]["subscribers"] == 1
    assert found["kt"]["commands"] == {"status": 1, "subscribe": 1}
    assert found["skt"]["asked"] == 0


def test_questions_are_listed_and_noted(enquirers: Any) -> None:
    """The most frequent first; digits are masked."""
    assert "No question" in run(enquirers, "questions")
    enquirers.ask("왜 안 되나요")
    enquirers.ask("왜 안 되나요", source=phone(2))
    assert "카드 ####" in run(enquirers, "note", "카드 1234", "--source", "desk 7")
    noted = json.loads(run(enquirers, "note", "카드 9999", "--source", "desk 7", "--json"))
    assert noted == {"question": "카드 ####", "source": "desk 7"}
    found = json.loads(run(enquirers, "questions", "--json"))
    assert {(one["question"], one["asked"], one["source"]) for one in found} == {
        ("카드 ####", 2, "desk 7"),
        ("왜 안 되나요", 2, "sms"),
    }
    assert "왜 안 되나요" in run(enquirers, "questions")
    run(enquirers, "note", " ", "--source", "desk", code=2)


def test_reports_are_counted_by_region(enquirers: Any) -> None:
    """By carrier, region and hour."""
    assert "Nobody" in run(enquirers, "reports")
    enquirers.ask("신고 부산")
    (found,) = json.loads(run(enquirers, "reports", "--json"))
    assert (found["carrier"], found["region"], found["reports"]) == ("kt", "KR-26", 1)
    assert "KR-26" in run(enquirers, "reports")


def test_nobody_is_answered_unless_the_settings_say_so(office: Any) -> None:
    """And the command says what they would have to say."""
    done = RUNNER.invoke(app, ["enquiries", "status", "--home", str(office.gateway.home)])
    assert "Nobody is answered" in done.output


def test_approver_sees_questions_and_subscribers(enquirers: Any) -> None:
    """Beside the plan, before deciding."""
    enquirers.ask("알림 부산")
    enquirers.ask("왜 안 되나요", source=phone(2))
    office = enquirers.office
    office.submit(office.document())
    key = str(office.gateway.settings.keys / "people" / "bob.pem")
    home = str(office.gateway.home)
    done = RUNNER.invoke(
        app, ["bulletin", "approve", "inc-1/1", "--key", key, "--home", home, "--yes"]
    )
    assert done.exit_code == 0, done.output
    assert "subscribers, kt: 1" in done.output
    assert "asked 1 times: 왜 안 되나요" in done.output


@pytest.mark.parametrize(
    ("carriers", "error"),
    [('["nobody"]', UnknownNameError), ('["lguplus"]', InputError)],
)
def test_carrier_that_cannot_be_answered_by_is_refused(
    tmp_path: Any, clock: Any, carriers: str, error: type[Exception]
) -> None:
    """One that is not there, or whose profile has no number to ask at."""
    home = tmp_path / "home"
    settings = init_home(home, mode=Mode.TEST, country="kr", ports={"lguplus": 2775}, clock=clock)
    ballast_of(settings).release()
    with (home / "cbgateway.toml").open("a") as file:
        file.write(f"\n[enquiries]\ncarriers = {carriers}\n")
    with pytest.raises(error), Gateway.open(home, clock=clock):
        pass
