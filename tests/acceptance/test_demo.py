"""The demo as a person runs it: processes, TCP, phones; and what it says of a failure."""

import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cbgateway.cli.demo_story import Bulletin, failures, summarise
from cbgateway.domain.errors import StoreError

SECONDS = 14  # faster, and 0.2 s of a busy machine would be minutes of the story


def cbgateway(*arguments: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run a command as a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "cbgateway", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == code, done.stderr
    return done


def test_demo_holds(tmp_path: Path) -> None:
    """Told at once on the surviving carriers, once per phone, sealed; KT gets the newest."""
    picture = tmp_path / "demo.svg"
    done = cbgateway("demo", "--json", "--seconds", SECONDS, "--phones", 40, "--picture", picture)
    summary = json.loads(done.stdout)

    once, never = {"phones": 40, "most": 1}, {"phones": 0, "most": 0}
    everything = dict.fromkeys("1234", once)
    assert summary["carriers"] == {
        "kt": {"phones": 40, "shown": {"1": never, "2": never, "3": once, "4": once}},
        "skt": {"phones": 40, "shown": everything},
        "lguplus": {"phones": 40, "shown": everything},
    }
    assert summary["first_notice_s"] < 300
    assert summary["seals_verified"] == summary["screens"] == 40 * (4 + 4 + 2)
    assert [one["kind"] for one in summary["bulletins"]] == [
        "first",
        "progress",
        "eta_change",
        "restored",
    ]
    assert summary["automation"] == AUTOMATION
    assert summary["files"] is None
    assert summary["enquiry"]["question"] == "서울"
    assert "다음 안내 12:15" in summary["enquiry"]["answer"]
    assert "KT 통신장애" in picture.read_text("utf-8").replace("&#160;", " ")


def phone(*texts: str, seal: str = "valid") -> dict[str, Any]:
    """Give a phone that has shown some texts."""
    return {"shown": [{"text": text, "seal": seal} for text in texts]}


def story(
    *, kt: dict[str, Any], skt: dict[str, Any], first_notice_s: float | None = 120.0
) -> dict[str, Any]:
    """Give the summary of four bulletins and two phones."""
    bulletins = [Bulletin(number, "progress", {"ko": str(number)}) for number in range(1, 5)]
    return summarise(
        first_notice_s=first_notice_s, bulletins=bulletins, phones={"kt": [kt], "skt": [skt]}
    )


def test_sound_story_has_no_failures() -> None:
    """What the demo is meant to show."""
    assert failures(story(kt=phone("3", "4"), skt=phone("1", "2", "3", "4"))) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"skt": phone("1", "2", "3")}, "skt: bulletin 4"),
        ({"skt": phone("1", "2", "3", "4", "4")}, "at most 2 times"),
        ({"kt": phone("1", "3", "4")}, "kt: bulletin 1"),
        ({"kt": phone("4")}, "kt: bulletin 3"),
        ({"skt": phone("1", "2", "3", "4", "5")}, "nobody issued"),
        ({"skt": phone("1", "2", "3", "4", seal="invalid")}, "2 of 6 seals"),
        ({"first_notice_s": 301.0}, "took 301.0 s"),
        ({"first_notice_s": None}, "took None s"),
        ({"kt": phone(), "skt": phone()}, "0 of 0 seals"),
    ],
)
def test_demo_notices_what_does_not_hold(changes: dict[str, Any], words: str) -> None:
    """Each way to fail is said."""
    facts: dict[str, Any] = {"kt": phone("3", "4"), "skt": phone("1", "2", "3", "4")}

    assert any(words in problem for problem in failures(story(**(facts | changes))))


def test_demo_notices_an_answer_that_says_nothing() -> None:
    """Somebody who asked has to hear of the outage."""
    told = story(kt=phone("3", "4"), skt=phone("1", "2", "3", "4"))

    assert failures(told | {"enquiry": {"question": "서울", "answer": "KT 장애"}}) == []
    for answer in ("", "서울: 장애가 없습니다"):
        (problem,) = failures(told | {"enquiry": {"question": "서울", "answer": answer}})
        assert "says nothing of KT" in problem


AUTOMATION = {"alarms": 51, "incidents": 1, "orders": 0, "proposed": "monitoring"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, None),
        ({"incidents": 2}, "51 alarms made 2 incidents and 0 orders"),
        ({"orders": 3}, "1 incidents and 3 orders"),
        ({"proposed": None}, "proposed None, not monitoring"),
    ],
)
def test_demo_notices_what_alarms_may_not_do(changes: dict[str, Any], words: str | None) -> None:
    """More than one incident, anything that leaves, and no word once they are cleared."""
    told = story(kt=phone("3", "4"), skt=phone("1", "2", "3", "4"))
    problems = failures(told | {"automation": AUTOMATION | changes})

    assert not problems if words is None else words in problems[0]


def test_only_one_process_serves_a_gateway(tmp_path: Path) -> None:
    """The second is refused, the first ends cleanly when asked."""
    home = tmp_path / "lab"
    cbgateway("init", "--home", home)
    first = subprocess.Popen(
        [sys.executable, "-m", "cbgateway", "serve", "--home", str(home), "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert first.stderr is not None
    line = json.loads(first.stderr.readline())

    second = cbgateway("serve", "--home", home, code=70)
    first.send_signal(signal.SIGTERM)
    first.communicate(timeout=20)

    assert "serves" in second.stderr
    assert (line["mode"], line["message"]) == ("test", "ready")
    assert first.returncode == 0


def test_lock_is_released_when_serving_ends(office: Any) -> None:
    """Another process can take over at once."""

    async def serve_twice() -> None:
        stop = asyncio.Event()
        first = asyncio.create_task(office.gateway.serve(stop))
        await asyncio.wait([first], timeout=0.05)
        with pytest.raises(StoreError, match="serves"):
            await office.gateway.serve(stop)
        stop.set()
        await first
        stop.clear()
        second = asyncio.create_task(office.gateway.serve(stop))
        await asyncio.wait([second], timeout=0.05)
        assert not second.done()
        stop.set()
        await second

    asyncio.run(serve_twice())


def test_stop_in_the_middle_leaves_nothing_in_doubt(tmp_path: Path) -> None:
    """SIGTERM while thousands of messages go out: each was answered, or never sent."""
    home = tmp_path / "lab"
    cbgateway("init", "--home", home, "--carrier", "kt")
    for name, role in (("alice", "--submit"), ("bob", "--approve")):
        cbgateway("keys", "new", name, role, "--region", "KR", "--home", home)
    numbers = tmp_path / "numbers.csv"
    rows = "".join(f"82101{n:07d},KR-11,ko\n" for n in range(30_000))
    numbers.write_text(f"number,region,language\n{rows}")
    cbgateway("recipients", "import", numbers, "--carrier", "kt", "--home", home)
    centre = subprocess.Popen(
        [sys.executable, "-m", "cbsim", "smsc", "--port", "0", "--json", "--phones", "0"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert centre.stdout is not None
    port = json.loads(centre.stdout.readline())["port"]
    settings = home / "cbgateway.toml"
    settings.write_text(settings.read_text().replace("2775", str(port)))
    document = tmp_path / "first.json"
    document.write_text(
        json.dumps(
            {
                "identifier": "b-1",
                "sender": "alice",
                "incident": {
                    "id": "inc-1",
                    "carrier": "kt",
                    "services": ["voice"],
                    "started_at": "2021-10-25T11:16:00+09:00",
                },
                "kind": "first",
                "regions": ["KR-11"],
                "texts": {"ko": "장애"},
                "next_update": "PT30M",
            }
        )
    )
    people = home / "keys" / "people"
    cbgateway("bulletin", "submit", document, "--key", people / "alice.pem", "--home", home)
    serving = subprocess.Popen(
        [sys.executable, "-m", "cbgateway", "serve", "--home", str(home)],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    assert serving.stderr is not None
    cbgateway(
        *("bulletin", "approve", "inc-1/1", "--key", people / "bob.pem", "--yes", "--home", home)
    )
    while json.loads(serving.stderr.readline())["message"] != "submitted":
        assert serving.poll() is None
    serving.send_signal(signal.SIGTERM)
    serving.communicate(timeout=30)
    centre.terminate()
    centre.communicate(timeout=30)
    report = json.loads(cbgateway("bulletin", "show", "inc-1/1", "--home", home, "--json").stdout)
    chunks = [one for one in report["deliveries"] if one["channel"] == "sms"]

    assert serving.returncode == 0
    states = {one["state"] for one in chunks}
    assert "ready" in states
    assert states & {"acked", "delivered"}
    assert states <= {"acked", "delivered", "ready"}
    assert sum(one["in_doubt"] for one in chunks) == 0
    assert 0 < sum(one["accepted"] for one in chunks) < 30_000
