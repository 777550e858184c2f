"""SMPP against npm smpp: its client at our message centre, our gateway at its server."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.integration

TEXT = (
    "[긴급] KT 통신장애: 서울 전역 음성·데이터 중단. 복구 예정 14:30. "
    "긴급전화 112·119는 타사 휴대폰 또는 유선전화를 이용하세요."
)


@pytest.mark.parametrize("with_tls", [False, True])
def test_independent_client_reaches_a_phone(
    start: Callable[..., Any],
    node: tuple[str, Path],
    command: Callable[..., Any],
    certificates: Any,
    *,
    with_tls: bool,
) -> None:
    """A Korean text in two parts, submitted by somebody else's client, shows whole on a phone."""
    tls = ("--tls-cert", certificates.certificate, "--tls-key", certificates.key)
    options = tls if with_tls else ()
    centre = start(*command("cbsim", "smsc", "--port", 0, "--json", "--phones", 3, *options))
    port = centre.line(lambda line: line["event"] == "ready")["port"]
    executable, folder = node

    told = subprocess.run(
        [
            *(executable, folder / "client.js", str(port), "821000000001", TEXT),
            *([certificates.authority] if with_tls else []),
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    shown = centre.line(lambda line: line["event"] == "shown")

    assert json.loads(told.stdout) == {"parts": 2, "statuses": [0, 0, 0]}
    assert (shown["phone"], shown["channel"], shown["text"]) == ("821000000001", "sms", TEXT)


@pytest.mark.parametrize("with_tls", [False, True])
def test_independent_server_takes_our_bulletin(
    start: Callable[..., Any],
    node: tuple[str, Path],
    command: Callable[..., Any],
    certificates: Any,
    tmp_path: Path,
    *,
    with_tls: bool,
) -> None:
    """Somebody else's server reads the broadcast, the parts, the area and the seal."""
    executable, folder = node
    files = (certificates.key, certificates.certificate) if with_tls else ()
    server = start(executable, folder / "server.js", *files)
    port = server.line()["port"]
    home = tmp_path / "gateway"

    def cbgateway(*arguments: object) -> str:
        done = subprocess.run(
            command("cbgateway", *arguments, "--home", home),
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        return done.stdout

    cbgateway("init", "--carrier", "skt")
    settings = home / "cbgateway.toml"
    tls = f'tls_ca_file = "{certificates.authority}"\ntls_server_name = "localhost"\n'
    settings.write_text(
        settings.read_text().replace("port = 2775", f"port = {port}") + (tls if with_tls else "")
    )
    cbgateway("keys", "new", "alice", "--submit", "--region", "KR")
    cbgateway("keys", "new", "bob", "--approve", "--region", "KR")
    numbers = tmp_path / "numbers.csv"
    numbers.write_text("number,region,language\n821012345678,KR-26,ko\n")
    cbgateway("recipients", "import", numbers, "--carrier", "skt")
    document = tmp_path / "first.json"
    document.write_text(
        json.dumps(
            {
                "identifier": "b-1",
                "sender": "alice",
                "incident": {
                    "id": "inc-1",
                    "carrier": "skt",
                    "services": ["voice"],
                    "started_at": "2021-10-25T11:16:00+09:00",
                },
                "kind": "first",
                "regions": ["KR-26"],
                "texts": {"ko": TEXT},
                "expires": "PT2H",
                "next_update": "PT30M",
            }
        )
    )
    start(*command("cbgateway", "serve", "--home", home, "--json"))
    cbgateway("bulletin", "submit", document, "--key", home / "keys/people/alice.pem")
    approved = json.loads(
        cbgateway(
            *("bulletin", "approve", "inc-1/1", "--key", home / "keys/people/bob.pem"),
            *("--yes", "--wait", 20, "--json"),
        )
    )
    server.line(
        lambda line: len([one for one in server.lines if one.get("command") == "submit_sm"]) == 2
    )
    by_command: dict[str, list[dict[str, Any]]] = {}
    for line in server.lines[1:]:
        by_command.setdefault(line["command"], []).append(line)

    (bind,) = by_command["bind_transceiver"]
    (broadcast,) = by_command["broadcast_sm"]
    parts = sorted(by_command["submit_sm"], key=lambda part: part["sar_segment_seqnum"])
    assert approved["carriers"] == {"skt": {"acked": 2}}
    assert bind["interface_version"] == 0x50
    assert broadcast["message_payload"]["message"] == TEXT
    assert broadcast["broadcast_rep_num"] == 120
    assert "Busan" in json.dumps(broadcast["broadcast_area_identifier"])
    assert "".join(part["short_message"]["message"] for part in parts) == TEXT
    assert {part["destination_addr"] for part in parts} == {"821012345678"}
    assert approved["deliveries"][0]["peer_reference"].startswith("npm-")
