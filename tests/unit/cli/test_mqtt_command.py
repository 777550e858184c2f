"""`cbgateway mqtt` and `cbsim broker`: the broker, the gateway and the commands as processes."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cbgateway.cli.main import app

RUNNER = CliRunner()
DOCS = Path(__file__).parents[3] / "docs"
WAIT_S = 20


def run(*arguments: object, code: int = 0) -> Any:
    """Run a command, check its exit code, and give what it printed."""
    result = RUNNER.invoke(app, [str(one) for one in arguments])
    assert result.exit_code == code, result.output
    return result


def start(*arguments: object) -> subprocess.Popen[str]:
    """Start a module as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Give a gateway that serves, with a simulated broker."""
    folder = tmp_path_factory.mktemp("mqtt") / "lab"
    broker = start("cbsim", "broker", "--port", 0)
    assert broker.stdout is not None
    port = json.loads(broker.stdout.readline())["port"]
    run("init", "--home", folder)
    run("keys", "new", "alice", "--submit", "--region", "KR", "--home", folder)
    run("keys", "new", "noc", "--submit", "--owner", "alice", "--region", "KR", "--home", folder)
    with (folder / "cbgateway.toml").open("a") as file:
        file.write(f'\n[mqtt]\nport = {port}\nsite = "lab"\n')
    served = start("cbgateway", "serve", "--home", folder)
    for _ in range(100):
        told = run("mqtt", "tail", "state/gateway", "--count", 1, "--home", folder)
        if json.loads(told.stdout)["payload"]["is_online"]:
            break
    yield folder
    for process in (served, broker):
        process.terminate()
        process.communicate(timeout=WAIT_S)


def document(name: str) -> dict[str, Any]:
    """Give a sound first bulletin."""
    return {
        "identifier": name,
        "sender": "alice",
        "incident": {
            "id": name,
            "carrier": "kt",
            "services": ["voice"],
            "started_at": "2021-10-25T11:16:00+09:00",
        },
        "kind": "first",
        "regions": ["KR-26"],
        "texts": {"ko": f"[과기정통부] 통신 장애 {name}"},
        "next_update": "PT30M",
    }


def write(folder: Path, content: dict[str, Any]) -> Path:
    """Write a document."""
    path = folder.parent / "document.json"
    path.write_text(json.dumps(content), "utf-8")
    return path


def publish(home: Path, path: Path, *more: object, by: str = "alice", code: int = 0) -> Any:
    """Publish a document and give the receipt."""
    key = home / "keys" / "people" / f"{by}.pem"
    return run(
        *("mqtt", "publish", path, "--as", by, "--key", key, "--home", home),
        *more,
        code=code,
    )


def test_bulletin_is_published_and_told(home: Path) -> None:
    """The receipt is JSON or lines; a refusal ends with the code of a rule's."""
    path = write(home, document("p-1"))

    told = json.loads(publish(home, path, "--json").stdout)
    assert told["bulletin"] == "p-1/1"
    assert "bulletin: p-1/1" in publish(home, path).stdout
    refused = publish(home, write(home, document("p-2") | {"regions": ["XX"]}), code=3)
    assert "unknown-name" in refused.stdout


def test_alarm_is_published(home: Path) -> None:
    """By a machine; it opens a suspected incident."""
    alarm = {
        "@type": "Alarm",
        "id": "a-1",
        "probableCause": "powerFailure",
        "sourceSystemId": "kt",
        "alarmRaisedTime": "2021-10-25T11:59:00+09:00",
        "place": [{"id": "KR-26"}],
    }

    told = publish(home, write(home, alarm), "--alarm", "--json", by="noc")
    assert json.loads(told.stdout)["effect"] == "opened"


def test_client_of_the_examples_works(home: Path) -> None:
    """It publishes a bulletin and prints its receipt, without anything of ours."""
    port = re.search(r"\[mqtt\]\nport = (\d+)", (home / "cbgateway.toml").read_text("utf-8"))
    assert port is not None
    client = DOCS.parent / "examples" / "mqtt_client.py"
    key = home / "keys" / "people" / "alice.pem"

    done = subprocess.run(
        [
            *(sys.executable, client, "alice", key),
            *("cbgateway/v1/test/lab", f"127.0.0.1:{port[1]}"),
        ],
        input=json.dumps(document("d-1")),
        capture_output=True,
        text=True,
        check=True,
        timeout=WAIT_S,
    )

    assert json.loads(done.stdout)["bulletin"] == "d-1/1"
    assert "cbgateway" not in re.findall(
        r"^(?:import|from) (\w+)", client.read_text(), re.MULTILINE
    )


def test_no_broker_and_no_answer(home: Path, tmp_path: Path) -> None:
    """Exit code 4 both times; without settings, 2."""
    path = write(home, document("n-1"))
    text = (home / "cbgateway.toml").read_text("utf-8")
    lonely = tmp_path / "lonely"
    run("init", "--home", lonely)
    run("keys", "new", "alice", "--submit", "--region", "KR", "--home", lonely)
    assert "no [mqtt]" in publish(lonely, path, code=2).stderr
    settings = lonely / "cbgateway.toml"
    plain = settings.read_text("utf-8")
    settings.write_text(f"{plain}\n[mqtt]\nport = 1\n", "utf-8")
    assert "not-sent" in publish(lonely, path, code=4).stderr
    mqtt = text[text.index("[mqtt]") :].replace('"lab"', '"nobody"')
    settings.write_text(f"{plain}\n{mqtt}", "utf-8")
    assert "unanswered" in publish(lonely, path, "--timeout", 0.3, code=4).stderr


def test_asyncapi_document_is_that_of_the_code() -> None:
    """`make asyncapi` wrote it; every reference in it leads somewhere."""
    kept = (DOCS / "asyncapi.json").read_text("utf-8")
    whole = json.loads(kept)

    assert kept == run("mqtt", "asyncapi").stdout
    assert whole["asyncapi"] == "3.0.0"
    for reference in re.findall(r'"\$ref": "#/([^"]+)"', kept):
        node = whole
        for part in reference.split("/"):
            node = node[part]
    for operation in whole["operations"].values():
        channel = whole["channels"][operation["channel"]["$ref"].rpartition("/")[2]]
        assert set(re.findall(r"\{(\w+)\}", channel["address"])) == set(channel["parameters"])
        assert operation["bindings"]["mqtt"]["qos"] == 1


def test_broker_says_when_its_port_is_taken(home: Path) -> None:
    """In one line, with exit code 2."""
    text = (home / "cbgateway.toml").read_text("utf-8")
    port = re.search(r"\[mqtt\]\nport = (\d+)", text)
    assert port is not None
    done = subprocess.run(
        [sys.executable, "-m", "cbsim", "broker", "--port", port[1]],
        capture_output=True,
        text=True,
        check=False,
        timeout=WAIT_S,
    )

    assert done.returncode == 2
    assert port[1] in done.stderr


def test_command_is_signed_for_any_client(home: Path) -> None:
    """It says itself where it goes and where its receipt comes, and counts for some minutes."""
    key = home / "keys" / "people" / "alice.pem"
    path = write(home, document("s-1"))
    arguments = ("mqtt", "sign", path, "--as", "alice", "--key", key, "--home", home)

    command = json.loads(run(*arguments).stdout)
    assert command["topic"] == "cbgateway/v1/test/lab/cmd/alice/bulletin/submit"
    assert command["reply_to"].startswith("cbgateway/v1/test/lab/reply/alice/")
    assert command["document"]["identifier"] == "s-1"
    assert "one of them" in run(*arguments, "--alarm", "--incident", code=2).output


def test_people_say_how_far_an_outage_has_got(home: Path) -> None:
    """The step that a person signs, and the same again, which is stale by then."""
    publish(home, write(home, document("t-1")))
    step = {
        "decision": "transition",
        "incident": "t-1",
        "from": "investigating",
        "to": "monitoring",
        "reason": "repaired",
    }
    path = write(home, step)

    told = json.loads(publish(home, path, "--incident", "--json").stdout)
    again = json.loads(publish(home, path, "--incident", "--json", code=3).stdout)
    assert (told["incident"], told["state"]) == ("t-1", "monitoring")
    assert again["problem"]["type"] == "urn:cbgateway:problem:stale"
