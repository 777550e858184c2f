"""Drills: planned in public, marked as drills, held in mode exercise, scored."""

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cbgateway.app import Gateway
from cbgateway.cli.common import EXIT_POLICY, EXIT_USAGE
from cbgateway.cli.main import app
from cbgateway.domain.bulletin import Mode
from cbgateway.domain.errors import (
    DrillSaysRealError,
    InputError,
    ModeMismatchError,
    NotBroadcastableError,
    PermissionDeniedError,
    SignatureInvalidError,
    TextTooLongError,
    UnknownNameError,
    WorkflowError,
)
from cbgateway.public.common import PAGE_OCTETS_MAX
from cbgateway.public.site import files
from cbgateway.service import drills
from cbgateway.service.drills import Wanted
from cbgateway.signing.keys import SigningKey
from cbgateway.telling import read_export

HOUR = timedelta(hours=1)
RUNNER = CliRunner()


def wanted(office: Any, **changes: Any) -> Wanted:
    """Give a sound plan for in two hours."""
    starts = changes.pop("starts", office.clock.now() + 2 * HOUR)
    given: dict[str, Any] = {
        "name": "2021-q4",
        "starts": starts,
        "ends": starts + HOUR,
        "regions": ("KR-26",),
        "texts": {"ko": "통신 장애 안내 훈련입니다.", "en": "Outage drill."},
    }
    return Wanted(**given | changes)


def plan(office: Any, *, by: str = "alice", **changes: Any) -> Any:
    """Plan a drill."""
    return office.gateway.telling.plan_drill(wanted(office, **changes), key=office.keys[by])


def page(office: Any, path: str = "drills/index.html") -> str:
    """Give a page as it is now."""
    return files(office.gateway.telling.site())[path].decode()


def test_drill_is_public_before_it_happens(office: Any) -> None:
    """With marker, time and place, in every language; on the front page a week ahead."""
    plan(office, starts=office.clock.now() + timedelta(days=8))
    shown = page(office)

    assert "예정된 훈련" in shown
    assert "[훈련] 통신 장애 안내 훈련입니다." in shown
    assert "2021-11-02 12:00" in shown
    assert "부산" in shown
    assert "[EXERCISE] Outage drill." in page(office, "en/drills/index.html")
    assert "훈련이 예정되어" not in page(office, "index.html")
    office.clock.advance(86_400 + 1)
    assert "훈련이 예정되어 있습니다" in page(office, "index.html")
    (listed,) = json.loads(page(office, "alerts.json"))["drills"]
    assert (listed["drill"], listed["starts"]) == ("2021-q4", "2021-11-02T03:00:00Z")


def test_drill_that_is_called_off_says_so(office: Any) -> None:
    """Until its end; then nobody needs it any more. Nothing is called off twice."""
    plan(office)
    office.gateway.telling.cancel_drill("2021-q4", key=office.keys["bob"])

    assert "취소된 훈련" in page(office)
    assert "통신 장애 안내 훈련" not in page(office)
    assert "훈련이 예정되어" not in page(office, "index.html")
    with pytest.raises(WorkflowError):
        office.gateway.telling.cancel_drill("2021-q4", key=office.keys["bob"])
    office.clock.advance(4 * 3600)
    assert "취소된 훈련" not in page(office)


def test_drill_under_way_and_over(office: Any) -> None:
    """The page follows the clock."""
    plan(office)
    office.clock.advance(2.5 * 3600)
    assert "훈련 중" in page(office)
    office.clock.advance(3600)

    assert "끝난 훈련" in page(office)
    assert "결과를 정리하고" in page(office)
    assert "예정되거나 진행 중인 훈련이 없습니다" in page(office)


def test_page_of_many_drills_is_small(office: Any) -> None:
    """14 KiB, the next ones first."""
    for number in range(drills.OPEN_MAX):
        starts = office.clock.now() + timedelta(days=number + 1)
        plan(office, name=f"d-{number}", starts=starts, texts={"ko": "훈련 " + "가" * 120})
    octets = files(office.gateway.telling.site())["drills/index.html"]

    assert len(octets) <= PAGE_OCTETS_MAX
    assert "2021-10-26 12:00" in octets.decode()
    with pytest.raises(WorkflowError, match="50 drills"):
        plan(office, name="more")


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("ko", "실제상황입니다. 대피하세요."),
        ("ko", "실제 상황입니다."),
        ("ko", "이것은 훈련이 아닙니다"),
        ("ko", "훈련 아님"),
        ("en", "This is NOT a drill"),
        ("en", "This is not an  exercise."),
        ("en", "This is no drill"),
        ("en", "This is real."),
    ],
)
def test_nobody_may_take_a_drill_for_the_real_thing(
    make_office: Any, language: str, text: str
) -> None:
    """Refused in a plan and in every bulletin of mode exercise, whatever the marker says."""
    office = make_office(mode=Mode.EXERCISE)
    texts = {"ko": "통신 장애 훈련", language: text}
    with pytest.raises(DrillSaysRealError, match="of an exercise says"):
        plan(office, texts=texts)
    with pytest.raises(DrillSaysRealError, match="of an exercise says"):
        office.submit(office.document(texts=texts))


def test_real_bulletins_may_say_that_they_are_real(office: Any) -> None:
    """And an exercise that it is none of it."""
    office.issue(office.document(texts={"ko": "[과기정통부] 실제상황입니다. 훈련이 아닙니다."}))

    plan(office, texts={"ko": "훈련입니다. 실제 상황이 아닙니다."})


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"name": ""}, InputError),
        ({"name": "a/b"}, InputError),
        ({"regions": ()}, InputError),
        ({"regions": ("XX",)}, UnknownNameError),
        ({"texts": {"en": "Drill"}}, InputError),
        ({"texts": {"ko": "훈련", "xx": "?"}}, UnknownNameError),
        ({"texts": {"ko": "  "}}, InputError),
        ({"texts": {"ko": "훈련\u202e"}}, InputError),
        ({"texts": {"ko": "훈" * 200}}, TextTooLongError),
        ({"texts": {"ko": "훈련", "en": "훈련"}}, NotBroadcastableError),
        ({"starts": datetime.fromisoformat("2021-10-25T11:00:00+09:00")}, InputError),
        ({"starts": datetime.fromisoformat("2023-10-25T11:00:00+09:00")}, InputError),
        ({"ends": datetime.fromisoformat("2021-10-25T13:00:00+09:00")}, InputError),
        ({"ends": datetime.fromisoformat("2021-10-27T13:00:00+09:00")}, InputError),
    ],
)
def test_plan_that_cannot_be_is_refused(
    office: Any, changes: dict[str, Any], error: type[Exception]
) -> None:
    """Nothing of it is kept."""
    with pytest.raises(error):
        plan(office, **changes)
    assert office.gateway.telling.drills() == ()


def test_names_of_drills_are_given_once(office: Any) -> None:
    """Even after one was called off."""
    plan(office)
    office.gateway.telling.cancel_drill("2021-q4", key=office.keys["alice"])

    with pytest.raises(InputError, match="never given twice"):
        plan(office)
    with pytest.raises(UnknownNameError):
        office.gateway.telling.cancel_drill("other", key=office.keys["alice"])


def test_only_people_who_decide_plan_drills(office: Any) -> None:
    """No machine, nobody who was revoked, nobody unknown; only where they may."""
    office.add("robot", may_submit=True, owner="alice")
    office.add("local", may_submit=True, regions=("KR-11",))
    office.add("gone", may_submit=True)
    office.gateway.keyring.revoke("gone")
    office.keys["stranger"] = SigningKey.generate()

    for name in ("robot", "local", "gone"):
        with pytest.raises((PermissionDeniedError, SignatureInvalidError)):
            plan(office, by=name)
    with pytest.raises(SignatureInvalidError):
        plan(office, by="stranger")


def test_drill_is_scored_by_what_the_exercise_told(
    office: Any, make_office: Any, tmp_path: Path
) -> None:
    """From the exported history of another gateway; the page shows the figures."""
    plan(office)
    exercise = make_office(mode=Mode.EXERCISE, name="exercise")
    office.clock.advance(2 * 3600)
    began = office.clock.now().isoformat()
    office.clock.advance(120)
    incident = exercise.document()["incident"] | {"started_at": began}
    exercise.issue(exercise.document(incident=incident))
    for peer in ("kt", "skt", "lguplus"):
        exercise.send(peer)
    office.clock.advance(600)
    exercise.issue(exercise.later("restored"))
    office.clock.advance(3600)
    exercise.gateway.history.checkpoint()
    exercise.gateway.history.export(tmp_path / "log")

    drill = office.gateway.telling.score_drill(
        "2021-q4", "inc-1", entries=read_export(tmp_path / "log")
    )
    assert drill.score["first_notice_s"] == 120
    assert (drill.score["promises"], drill.score["promises_kept"]) == (1, 1)
    assert drill.score["orders"]["acked"] > 0
    shown = page(office)
    assert "2.0 / 10 분" in shown
    assert "1 / 1" in shown
    assert office.gateway.telling.drills()[0].score == drill.score


def test_only_an_exercise_of_its_time_scores_a_drill(office: Any, make_office: Any) -> None:
    """Neither what was told for real, nor before."""
    plan(office)
    office.issue(office.document())
    with pytest.raises(ModeMismatchError, match="mode test"):
        office.gateway.telling.score_drill("2021-q4", "inc-1")
    exercise = make_office(mode=Mode.EXERCISE, name="exercise")
    plan(exercise)
    exercise.issue(exercise.document())
    with pytest.raises(WorkflowError, match="nothing was told"):
        exercise.gateway.telling.score_drill("2021-q4", "inc-1")
    with pytest.raises(UnknownNameError):
        exercise.gateway.telling.score_drill("other", "inc-1")


def test_status_reminds_every_quarter(office: Any) -> None:
    """Due when a quarter has passed without a drill, and none is planned any more."""

    def reminder() -> dict[str, Any]:
        return office.gateway.status()["drills"]  # type: ignore[no-any-return]

    assert reminder() == {"last": None, "next": None, "is_due": False, "unscored": []}
    office.clock.advance(93 * 86_400)
    assert reminder()["is_due"]
    plan(office)
    assert reminder()["next"] is not None
    office.clock.advance(4 * 3600)
    assert (reminder()["is_due"], reminder()["unscored"]) == (False, ["2021-q4"])
    office.clock.advance(93 * 86_400)
    assert reminder()["is_due"]


def test_drill_commands(office: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planned, listed, called off, scored; bad options are named."""
    opened, home = Gateway.open, ("--home", str(office.gateway.home))
    monkeypatch.setattr(Gateway, "open", lambda home: opened(home, clock=office.clock))
    key = ("--key", office.gateway.settings.keys / "people" / "alice.pem")

    def run(*words: object, code: int = 0) -> str:
        result = RUNNER.invoke(app, ["drill", *map(str, words), *home])
        assert result.exit_code == code, result.output
        return result.output

    def planned(starts: str, text: str, code: int = 0) -> str:
        ends = "2021-10-25T16:00:00+09:00"
        options = ("--starts", starts, "--ends", ends, "--region", "KR-26", "--text", text, *key)
        return run("plan", "q4", *options, code=code)

    assert "No drill" in run("list")
    assert "no time" in planned("soon", "ko=훈련", EXIT_USAGE)
    assert "no offset" in planned("2021-10-25T15:00:00", "ko=훈련", EXIT_USAGE)
    assert "language first" in planned("2021-10-25T15:00:00+09:00", "훈련", EXIT_USAGE)
    assert "ko: [훈련] 안내" in planned("2021-10-25T15:00:00+09:00", "ko=안내")
    assert json.loads(run("list", "--json"))[0]["drill"] == "q4"
    assert "q4" in run("list")
    run("score", "q4", "none", code=EXIT_POLICY)
    assert json.loads(run("cancel", "q4", *key, "--json"))["is_cancelled"]
    assert "called off" in run("list")
    result = RUNNER.invoke(app, ["status", *home])
    assert "drills: last never, next none" in result.output
