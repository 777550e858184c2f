"""The gateway's own site is cut off: nothing is reached but the carriers' addresses, and no name.

Two network namespaces joined by one line. In the first there is the machine with the kit: one
route, to the message centres, no resolver. In the second there are the message centres.
"""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.integration

INSIDE, OUTSIDE = "10.77.0.1", "10.77.0.2"
PHONES = 3
CARRIERS = {"kt": 2775, "lguplus": 2777}
KOREAN = "[과기정통부] KT 통신 장애. 원인 확인 중. 다음 안내 30분 뒤"
LATER = "[과기정통부] KT 통신 장애. 복구하고 있습니다. 다음 안내 30분 뒤"
CALM = "[과기정통부] KT 통신 장애. 본부에서 계속 안내합니다. 다음 안내 30분 뒤"


def ip(*arguments: str) -> None:
    """Change the network."""
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


@pytest.fixture
def spaces() -> Iterator[tuple[str, str]]:
    """Give two network namespaces with a line between them."""
    assert os.geteuid() == 0, "network namespaces need root"
    names = f"cbg-in-{os.getpid()}", f"cbg-out-{os.getpid()}"
    cables = f"cbi{os.getpid() % 100_000}", f"cbo{os.getpid() % 100_000}"
    try:
        for name in names:
            ip("netns", "add", name)
            ip("-n", name, "link", "set", "lo", "up")
        ip("link", "add", cables[0], "type", "veth", "peer", "name", cables[1])
        for name, cable, address in zip(names, cables, (INSIDE, OUTSIDE), strict=True):
            ip("link", "set", cable, "netns", name)
            ip("-n", name, "addr", "add", f"{address}/30", "dev", cable)
            ip("-n", name, "link", "set", cable, "up")
        yield names
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


@pytest.fixture
def gateway(command: Callable[..., list[str]], tmp_path: Path) -> Path:
    """Give a gateway with two carriers at the far end, alice and bob, and a list of one phone."""
    home = tmp_path / "gateway"

    def run(*arguments: object) -> None:
        subprocess.run(
            command("cbgateway", *arguments, "--home", home), check=True, capture_output=True
        )

    run("init", *(word for code in CARRIERS for word in ("--carrier", code)))
    settings = home / "cbgateway.toml"
    text = settings.read_text("utf-8").replace("port = 2776", "port = 2777")
    far = f'host = "{OUTSIDE}"\nis_laboratory = true'
    settings.write_text(text.replace('host = "127.0.0.1"', far), "utf-8")
    run("keys", "new", "alice", "--submit", "--region", "KR")
    run("keys", "new", "bob", "--approve", "--region", "KR")
    return home


def bulletin(path: Path, kind: str, text: str, **changes: Any) -> Path:
    """Write a bulletin."""
    began = datetime.now(UTC) - timedelta(minutes=5)
    incident = {
        "id": "kt-outage",
        "carrier": "kt",
        "services": ["voice"],
        "started_at": began.isoformat(),
    }
    document = {
        "identifier": path.stem,
        "sender": "alice",
        "incident": incident if kind == "first" else "kt-outage",
        "kind": kind,
        "regions": ["KR-26"],
        "texts": {"ko": text},
        "next_update": "PT30M",
    } | changes
    path.write_text(json.dumps(document, ensure_ascii=False), "utf-8")
    return path


def test_bulletin_goes_out_by_two_keys_and_carriers_alone(
    spaces: tuple[str, str],
    gateway: Path,
    command: Callable[..., list[str]],
    start: Callable[..., Any],
    tmp_path: Path,
) -> None:
    """C3: no DNS, no route but to the carriers, and every phone shows each bulletin once.

    Then the kit is taken over, the gateway continues the incident, and no phone shows a repeat.
    """
    inside, outside = spaces
    empty = tmp_path / "resolv.conf"
    empty.write_text("", "ascii")
    kit = tmp_path / "kit"

    def run(*arguments: object, space: str | None = inside, code: int = 0) -> Any:
        within = [] if space is None else ["ip", "netns", "exec", space]
        script = 'mount --bind "$0" /etc/resolv.conf && exec "$@"'
        without_names = [] if space is None else ["sh", "-c", script, str(empty)]
        done = subprocess.run(
            [*within, *without_names, *command("cbgateway", *arguments, "--json")],
            check=False,
            capture_output=True,
            text=True,
            timeout=90,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return json.loads(done.stdout or done.stderr)

    run("offline", "kit", kit, "--home", gateway, space=None)
    centres = {
        code: start(
            *("ip", "netns", "exec", outside),
            *command("cbsim", "smsc", "--json", "--carrier", code, "--host", OUTSIDE),
            *("--port", port, "--phones", PHONES, "--region", "KR-26", "--system-id", "cbgateway"),
            *("--password-file", gateway / "secrets" / f"{code}.password"),
            *("--area", "Busan=KR-26"),
        )
        for code, port in CARRIERS.items()
    }
    for centre in centres.values():
        centre.line(lambda line: line["event"] == "ready")
    probe = subprocess.run(
        ["ip", "netns", "exec", inside, "ip", "route", "get", "192.0.2.1"],
        capture_output=True,
        check=False,
    )
    assert probe.returncode, "there is a way out"

    people = gateway / "keys" / "people"
    keys = ("--key", people / "alice.pem", "--key", people / "bob.pem")
    first = run(
        "offline", "issue", bulletin(tmp_path / "a.json", "first", KOREAN), *keys, "--home", kit
    )
    second = run(
        "offline", "issue", bulletin(tmp_path / "b.json", "progress", LATER), *keys, "--home", kit
    )
    assert first["carriers"] == second["carriers"] == {c: {"acked": 1} for c in CARRIERS}
    alone = run(
        "offline",
        "issue",
        tmp_path / "a.json",
        "--key",
        people / "alice.pem",
        "--home",
        kit,
        code=2,
    )
    assert "two people's keys" in alone["detail"]

    merged = run("offline", "merge", kit, "--home", gateway, space=None)
    assert merged["bulletins"] == [first["bulletin"], second["bulletin"]]
    incident = first["bulletin"].partition("/")[0]
    serving = start(
        *("ip", "netns", "exec", inside),
        *command("cbgateway", "serve", "--home", gateway),
    )
    third = bulletin(tmp_path / "c.json", "progress", CALM, incident=incident)
    run("bulletin", "submit", third, "--key", people / "alice.pem", "--home", gateway)
    told = run(
        "bulletin",
        "approve",
        f"{incident}/3",
        "--key",
        people / "bob.pem",
        "--yes",
        "--wait",
        "20",
        "--home",
        gateway,
    )
    serving.end()
    for code, centre in centres.items():
        assert set(told["carriers"][code]) <= {"acked", "cancelled"}
        texts = []
        while texts.count(CALM) < PHONES:
            texts.append(centre.line(lambda line: line["event"] == "shown")["text"])
        phones = centre.last()["phones"]
        assert len(phones) == PHONES
        for phone in phones:  # each once, in order, and nothing else
            assert [one["text"] for one in phone["shown"]] == [KOREAN, LATER, CALM]
    report = run("incident", "report", incident, "--form", "json", "--home", gateway, space=None)
    assert [one["bulletin"] for one in report["bulletins"]] == [
        f"{incident}/{n}" for n in (1, 2, 3)
    ]
    run("audit", "verify", "--home", gateway, space=None)
