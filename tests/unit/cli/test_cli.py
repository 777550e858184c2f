"""The command line: every command, its JSON, and its exit codes."""

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from cbgateway.cli.main import app
from cbgateway.domain.errors import StoreFailedError
from cbgateway.home import serving_lock
from cbgateway.settings import load_settings

RUNNER = CliRunner()
VECTORS = Path(__file__).parents[2] / "vectors"


def run(*arguments: object, code: int = 0, stdin: str | None = None) -> Any:
    """Run a command, check its exit code, and give what it printed (JSON read)."""
    result = RUNNER.invoke(app, [str(one) for one in arguments], input=stdin)
    assert result.exit_code == code, result.output
    if code == 0 and "--json" in arguments:
        return json.loads(result.stdout)
    return result.stderr if code else result.stdout


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Give a gateway made by the commands themselves, with alice and bob."""
    folder = tmp_path / "lab"
    run("init", "--home", folder, "--json")
    for name, role in (("alice", "--submit"), ("bob", "--approve")):
        run("keys", "new", name, role, "--region", "KR", "--home", folder, "--json")
    return folder


def key(home: Path, name: str) -> Path:
    """Give where somebody's key is."""
    return home / "keys" / "people" / f"{name}.pem"


@pytest.fixture
def document(tmp_path: Path) -> Path:
    """Give a sound first bulletin in a file."""
    path = tmp_path / "first.json"
    path.write_text(
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
                "regions": ["KR-26"],
                "texts": {"ko": "[과기정통부] 통신 장애", "en": "[MSIT] Outage"},
                "next_update": "PT30M",
            }
        )
    )
    return path


def test_bulletin_goes_from_file_to_outbox(home: Path, document: Path) -> None:
    """Submit, look, approve, look again."""
    submitted = run(
        "bulletin", "submit", document, "--key", key(home, "alice"), "--home", home, "--json"
    )
    again = run(
        "bulletin", "submit", document, "--key", key(home, "alice"), "--home", home, "--json"
    )
    pending = run("bulletin", "list", "--state", "pending", "--home", home, "--json")
    approved = run(
        "bulletin", "approve", "inc-1/1", "--key", key(home, "bob"), "--home", home, "--json"
    )
    shown = run("bulletin", "show", "inc-1/1", "--home", home, "--json")
    incident = run("incident", "show", "inc-1", "--home", home, "--json")

    assert submitted == again
    assert [one["bulletin"] for one in pending] == ["inc-1/1"]
    assert (submitted["state"], approved["state"]) == ("pending", "approved")
    assert shown["carriers"] == {code: {"ready": 2} for code in ("kt", "skt", "lguplus")}
    assert shown["seals"]["KR-26"].count(".") == 2
    assert incident["bulletins"][0]["decided_by"] == "bob"
    assert run("incident", "list", "--home", home, "--json")[0]["bulletins"] == 1


def test_screens_are_for_people(home: Path, document: Path) -> None:
    """Without --json each command prints Korean and English that can be read."""
    where = ("--home", home)
    assert "No bulletins yet" in run("bulletin", "list", *where)
    assert "No incidents yet" in run("incident", "list", *where)
    assert "No recipients yet" in run("recipients", "list", *where)
    out = run("bulletin", "submit", document, "--key", key(home, "alice"), *where)
    assert "통신 장애" in out
    assert "cbgateway bulletin approve inc-1/1" in out
    out = run("bulletin", "approve", "inc-1/1", "--key", key(home, "bob"), "--yes", *where)
    assert "message identifier 4372" in out
    for command in (
        ("bulletin", "list"),
        ("bulletin", "show", "inc-1/1"),
        ("incident", "list"),
        ("incident", "show", "inc-1"),
        ("keys", "list"),
    ):
        assert run(*command, *where)


def test_refusals_have_exit_codes(home: Path, document: Path, tmp_path: Path) -> None:
    """2 for input, 3 for rules, 4 for carriers, 5 for signatures; a problem under --json."""
    where = ("--home", home)
    alice, bob = key(home, "alice"), key(home, "bob")
    run("bulletin", "submit", tmp_path / "none.json", "--key", alice, *where, code=2)
    run("bulletin", "submit", document, "--key", bob, *where, code=5)
    run("bulletin", "submit", document, "--key", tmp_path / "none.pem", *where, code=5)
    run("bulletin", "submit", document, "--key", alice, *where)
    problem = json.loads(
        run("bulletin", "approve", "inc-1/1", "--key", alice, *where, "--json", code=3)
    )
    assert problem["type"] == "urn:cbgateway:problem:same-person"
    assert problem["exit_code"] == 3
    assert "somebody else" in problem["detail"]
    run("bulletin", "show", "inc-9/1", *where, code=3)
    run("incident", "show", "inc-9", *where, code=3)
    run("bulletin", "approve", "inc-1/1", "--key", bob, "--wait", "0.01", "--json", *where, code=4)
    run("bulletin", "list", "--home", tmp_path / "nowhere", code=2)


def test_rejection_says_why(home: Path, document: Path) -> None:
    """The reason is shown, and the decision is final."""
    where = ("--home", home)
    run("bulletin", "submit", document, "--key", key(home, "alice"), *where)

    out = run(
        "bulletin", "reject", "inc-1/1", "--reason", "wrong area", "--key", key(home, "bob"), *where
    )
    assert "wrong area" in out
    run("bulletin", "approve", "inc-1/1", "--key", key(home, "bob"), "--yes", *where, code=3)


def test_approval_asks_first(home: Path, document: Path) -> None:
    """Somebody who looks and says no has sent nothing."""
    where = ("--home", home)
    run("bulletin", "submit", document, "--key", key(home, "alice"), *where)

    run("bulletin", "approve", "inc-1/1", "--key", key(home, "bob"), *where, code=1, stdin="n\n")
    assert run("bulletin", "show", "inc-1/1", *where, "--json")["state"] == "pending"
    run("bulletin", "approve", "inc-1/1", "--key", key(home, "bob"), *where, stdin="y\n")
    assert run("bulletin", "show", "inc-1/1", *where, "--json")["state"] == "approved"


def test_homes_are_made_once_and_keep_their_mode(tmp_path: Path) -> None:
    """No folder is overwritten, and settings agree with the database."""
    home = tmp_path / "lab"
    out = run("init", "--home", home, "--mode", "exercise", "--carrier", "skt")
    assert "exercise" in out
    run("init", "--home", home, code=2)
    run("init", "--home", tmp_path / "c", "--country", "xx", code=3)
    run("init", "--home", tmp_path / "c", "--carrier", "nobody", code=3)
    settings = home / "cbgateway.toml"
    sound = settings.read_text()
    settings.write_text(sound.replace("exercise", "test"))
    assert "modes never mix" in run("bulletin", "list", "--home", home, code=3)
    settings.write_text(sound.replace('mode = "exercise"', 'mode = "test"', 1))
    assert "modes never mix" in run("bulletin", "list", "--home", home, code=2)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("port = 2775", "prot = 2775", "did you mean 'port'"),
        ("port = 2775", "port = 99999", "carriers.kt.port"),
        ('country = "kr"', "country = ", "line 3"),
        ('country = "kr"', "country = " + "[" * 5_000, "nested too deeply"),
        ('country = "kr"', "country = " + "9" * 5_000, "integer"),
        ("port = 2775", "port = 2775\n" + "".join(f"k{n} = 1\n" for n in range(30)), "10 more"),
        ('country = "kr"', 'country = "xx"', "country 'xx'"),
        ("[carriers.kt]", "[carriers.at]", "carrier 'at'"),
        ('host = "127.0.0.1"', 'host = "192.0.2.1"', "is_laboratory = true"),
        ('host = "127.0.0.1"', 'host = "smsc.example"', "is_laboratory = true"),
    ],
)
def test_wrong_settings_are_named(home: Path, old: str, new: str, words: str) -> None:
    """File, key, and what was probably meant."""
    path = home / "cbgateway.toml"
    path.write_text(path.read_text().replace(old, new))

    result = RUNNER.invoke(app, ["bulletin", "list", "--home", str(home)])
    assert result.exit_code in {2, 3}
    assert words in result.stderr


def test_laboratory_may_be_elsewhere(home: Path) -> None:
    """Whoever says that no real phone is there may test against another machine."""
    path = home / "cbgateway.toml"
    elsewhere = 'host = "192.0.2.1"\nis_laboratory = true'
    path.write_text(path.read_text().replace('host = "127.0.0.1"', elsewhere))

    assert run("bulletin", "list", "--home", home, "--json") == []


def test_unusable_passwords_keep_a_gateway_from_serving(home: Path) -> None:
    """Readable by others, too long, or missing: exit code 5, before anything is sent."""
    path = home / "secrets" / "kt.password"
    path.chmod(0o644)
    assert "chmod 600" in run("serve", "--home", home, code=5)
    path.chmod(0o600)
    path.write_text("ninechars")
    assert "1 to 8 characters" in run("serve", "--home", home, code=5)
    path.unlink()
    assert "kt.password" in run("serve", "--home", home, code=5)


@pytest.mark.parametrize(
    ("error", "code"), [(StoreFailedError("the disk is full"), 74), (RuntimeError("a bug"), 1)]
)
def test_serving_ends_with_what_went_wrong(
    home: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, code: int
) -> None:
    """An error of the store is told by name; a bug is not hidden."""

    async def fail(self: object, stop: object, on_ready: object) -> None:
        message = "several"
        raise ExceptionGroup(message, [ExceptionGroup(message, [error])])

    monkeypatch.setattr("cbgateway.app.Dispatcher.run", fail)

    result = RUNNER.invoke(app, ["serve", "--home", str(home)])
    assert result.exit_code == code
    assert ("the disk is full" in result.stderr) is (code == 74)


def test_report_is_verified(home: Path, document: Path, tmp_path: Path) -> None:
    """One changed character of a sealed text is exit code 5; so is a seal in another's place."""
    where = ("--home", home)
    run("bulletin", "submit", document, "--key", key(home, "alice"), *where)
    run("bulletin", "approve", "inc-1/1", "--key", key(home, "bob"), "--yes", *where)
    report = run("bulletin", "show", "inc-1/1", "--json", *where)
    path = tmp_path / "report.json"

    def verify(changed: dict[str, Any], code: int) -> Any:
        path.write_text(json.dumps(changed))
        return run("bulletin", "verify", path, "--json", *where, code=code)

    assert verify(report, 0)[0]["region"] == "KR-26"
    assert "sealed by KR-26" in run("bulletin", "verify", path, *where)
    assert "text in ko" in verify(report | {"texts": report["texts"] | {"ko": "정상"}}, 5)
    assert "text in fr" in verify(report | {"texts": report["texts"] | {"fr": "x"}}, 5)
    assert "in its place" in verify(report | {"bulletin": "inc-1/2"}, 5)
    seal = report["seals"]["KR-26"]
    verify(report | {"seals": {"KR-26": seal[:-5] + "AAAAA"}}, 5)
    verify(report | {"seals": {}}, 2)
    verify({}, 2)


def test_people_and_keys(home: Path) -> None:
    """Made, listed, revoked; public keys are exported, private ones stay private."""
    where = ("--home", home)
    listed = run("keys", "list", *where, "--json")
    assert [one["name"] for one in listed["people"]] == ["alice", "bob"]
    assert len(listed["regions"]) == 18
    published = run("keys", "export", *where)
    assert len(json.loads(published)["keys"]) == 18
    assert '"d"' not in published
    assert "nothing" in run("keys", "revoke", "alice", *where)
    assert run("keys", "revoke", "bob", *where, "--json") == {
        "name": "bob",
        "what": "person",
        "is_revoked": True,
    }
    assert "revoked" in run("keys", "list", *where)
    run("keys", "revoke", "carol", *where, code=3)
    run("keys", "revoke", "-GH73ZYs0b9qs4Yk", *where, code=3)  # a key may begin like an option
    run("keys", "new", "alice", "--submit", "--region", "KR", *where, code=2)
    run("keys", "new", "../evil", "--submit", "--region", "KR", *where, code=2)
    run("keys", "new", "carol", "--region", "KR", *where, code=2)
    run("keys", "new", "carol", "--submit", *where, code=2)
    run("keys", "new", "carol", "--submit", "--region", "KR-99", *where, code=3)
    run("keys", "new", "carol", "--submit", "--region", "KR", "--class", "amber", *where, code=3)
    assert "only carol keeps it" in run(
        "keys", "new", "carol", "--approve", "--region", "KR", *where
    )


def test_recipients(home: Path, tmp_path: Path) -> None:
    """Imported whole or not at all, counted by region."""
    where = ("--home", home)
    path = tmp_path / "list.csv"
    path.write_text("number,region,language\n821012345678,KR-26,ko\n")
    assert run("recipients", "import", path, "--carrier", "kt", *where, "--json")["imported"] == 1
    assert "1 recipients" in run("recipients", "import", path, "--carrier", "kt", *where)
    assert run("recipients", "list", *where, "--json") == [
        {"carrier": "kt", "region": "KR-26", "recipients": 1}
    ]
    assert "KR-26" in run("recipients", "list", *where)
    path.write_text("number,region,language\n821012345679,KR-26,ko\nx,KR-26,ko\n")
    assert "line 3" in run("recipients", "import", path, "--carrier", "kt", *where, code=2)
    assert run("recipients", "list", *where, "--json")[0]["recipients"] == 1
    run("recipients", "import", path, "--carrier", "att", *where, code=3)
    run("recipients", "import", tmp_path / "none.csv", "--carrier", "kt", *where, code=2)


def test_profiles_check(tmp_path: Path) -> None:
    """Sound ones pass; a fault ends with exit code 2, file and key."""
    assert run("profiles", "check", "--json")["ok"] is True
    assert "all sound" in run("profiles", "check")
    result = RUNNER.invoke(app, ["profiles", "check", "--profiles", str(tmp_path), "--json"])
    assert result.exit_code == 2
    assert json.loads(result.stdout)["problems"][0]["file"] == str(tmp_path)


def vector(file: str, name: str) -> dict[str, Any]:
    """Give one vector."""
    vectors = json.loads((VECTORS / file).read_text("utf-8"))
    return next(one for one in vectors if one["name"] == name)


def test_encode_cbs_gives_the_vectors() -> None:
    """Pages, GSM pages and CB data as testers use them; the serial number in hexadecimal."""
    page = vector("cbs.json", "gsm_page_88_ucs2_ko_2pages_p1")
    cb_data = vector("cbs.json", "cbdata_ucs2_ko_2pages")

    for serial in ("5235", "0x5235"):
        out = run(
            *("encode", "cbs", "--text", page["input"]["text"], "--dcs", "0x48"),
            *("--message-id", 4371, "--serial", serial, "--json"),
        )
        assert out["dcs"] == 72
        assert out["pages"][0]["gsm"] == page["hex"]
        assert out["pages"][0]["octets"] == page["hex"][12:]
        assert [one["used_octets"] for one in out["pages"]] == cb_data["input"]["useful_lengths"]
        assert out["cb_data"] == cb_data["hex"]
    assert "a phone shows: KT outage" in run(
        "encode", "cbs", "--text", "KT outage", "--language", "en"
    )


@pytest.mark.parametrize("form", ["cb_data", "gsm", "octets"])
def test_decode_cbs_reads_every_form(form: str) -> None:
    """CB data, pages with their header, and pages alone."""
    text = vector("cbs.json", "cbdata_ucs2_ko_2pages")["input"]["text"]
    out = run("encode", "cbs", "--text", text, "--dcs", "0x11", "--language", "ko", "--json")
    octets = out["cb_data"] if form == "cb_data" else "".join(one[form] for one in out["pages"])

    assert run("decode", "cbs", octets, "--dcs", 0x11, "--json") == {"text": text, "language": "ko"}
    assert "language: ko" in run("decode", "cbs", octets, "--dcs", "0x11")


def test_encode_sms_gives_parts() -> None:
    """One hexadecimal string for each part."""
    text = vector("smpp.json", "smpp_submit_sm_ucs2_udh8_seg1")["input"]["text"]
    eight = run("encode", "sms", "--text", text, "--reference", 167, "--json")
    sixteen = run("encode", "sms", "--text", text, "--reference-bits", 16, "--json")
    short = run("encode", "sms", "--text", "KT outage", "--json")

    assert eight["parts"][0].startswith("050003a70201")
    assert sixteen["parts"][1].startswith("06080400010202")
    assert (eight["data_coding"], eight["esm_class"]) == (8, 64)
    assert short == {"data_coding": 0, "esm_class": 0, "parts": [b"KT outage".hex()]}
    assert "2 parts" in run("encode", "sms", "--text", text)


def test_decode_smpp_names_everything() -> None:
    """Header, fields and TLVs by their specification names, and the text."""
    found = vector("smpp.json", "smpp_broadcast_sm")
    out = run("decode", "smpp", found["hex"], "--json")

    assert out["name"] == "broadcast_sm"
    assert out["header"]["sequence_number"] == 20
    assert out["fields"]["source_addr"] == "KTALERT"
    assert [tlv["name"] for tlv in out["tlvs"]].count("broadcast_area_identifier") == 2
    assert out["tlvs"][-1] == {
        "name": "broadcast_rep_num",
        "tag": "0x0604",
        "length": 2,
        "value": 20,
    }
    assert out["text"] == found["input"]["text"]
    assert "TLV broadcast_rep_num" in run("decode", "smpp", found["hex"])
    part = vector("smpp.json", "smpp_submit_sm_ucs2_udh8_seg2")
    assert run("decode", "smpp", part["hex"], "--json")["text"].endswith("이용하세요.")
    assert run("decode", "smpp", "00000010000000150000000000000028", "--json")["text"] is None


@pytest.mark.parametrize(
    "arguments",
    [
        ("encode", "cbs", "--text", "가", "--dcs", "0x01"),
        ("encode", "cbs", "--text", "a", "--dcs", "x"),
        ("encode", "cbs", "--text", "a", "--serial", "12345"),
        ("encode", "cbs", "--text", "a", "--serial", ""),
        ("encode", "cbs", "--text", "a", "--message-id", "65536"),
        ("encode", "sms", "--text", "가", "--data-coding", "0"),
        ("encode", "sms", "--text", "a", "--reference-bits", "7"),
        ("encode", "sms", "--text", "a", "--reference", "256"),
        ("decode", "cbs", "00", "--dcs", "0x01"),
        ("decode", "cbs", "zz", "--dcs", "0x01"),
        ("decode", "cbs", "", "--dcs", "0x01"),
        ("decode", "smpp", "00"),
        ("nonsense",),
    ],
)
def test_bad_input_to_the_codecs_is_usage(arguments: tuple[str, ...]) -> None:
    """Exit code 2 and a line that says what is wrong, never a traceback."""
    assert run(*arguments, code=2)


def test_texts_of_others_do_not_steer_the_terminal() -> None:
    """An escape sequence in a PDU is shown, not carried out."""
    text = "\x1b[2J[red]KT"
    octets = text.encode("utf-16-be")
    body = bytes(14) + bytes([8, 0, len(octets)]) + octets
    pdu = (16 + len(body)).to_bytes(4, "big") + b"\0\0\0\4" + bytes(4) + b"\0\0\0\1" + body

    out = run("decode", "smpp", pdu.hex())

    assert "\x1b" not in out
    assert "\\x1b[2J[red]KT" in out


def commands(group: typer.Typer, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """List every command by its words."""
    found = []
    for command in group.registered_commands:
        name = command.name or command.callback.__name__  # type: ignore[union-attr]
        found.append((*path, name))
    for inner in group.registered_groups:
        found += commands(inner.typer_instance, (*path, str(inner.name)))  # type: ignore[arg-type]
    return found


PLAIN = {
    ("keys", "export"),
    ("audit", "checkpoint"),
    ("cap", "export"),
    ("api", "approval"),
    ("api", "openapi"),
    ("mqtt", "sign"),
    ("mqtt", "tail"),
    ("mqtt", "asyncapi"),
}
"""Commands that print one document, whoever asks."""


@pytest.mark.parametrize("command", commands(app))
def test_every_command_has_help_with_examples(command: tuple[str, ...]) -> None:
    """Whoever asks sees what it does, and a line to copy."""
    out = run(*command, "--help")

    assert "Examples" in out
    assert f"cbgateway {' '.join(command)}" in out
    if command not in PLAIN:
        assert "--json" in out


def test_words_of_a_document_do_not_steer_the_terminal(home: Path, document: Path) -> None:
    """What a refusal says back is shown, not carried out."""
    document.write_text(json.dumps(json.loads(document.read_text()) | {"\x1b[2J\u202e": 1}))

    out = run("bulletin", "submit", document, "--key", key(home, "alice"), "--home", home, code=2)

    assert out == "input-invalid: \\x1b[2J\\x202e: Extra inputs are not permitted\n"


def test_unreadable_witness_is_named(home: Path) -> None:
    """Exit code 5, as for a witness that says something else."""
    witness = home / "audit" / "witness.jsonl"
    witness.parent.mkdir(exist_ok=True)
    witness.write_bytes(b"\xff\n")
    assert "no checkpoint" in run("bulletin", "list", "--home", home, code=5)
    witness.unlink()
    witness.mkdir()
    assert "witness.jsonl: Is a directory" in run("bulletin", "list", "--home", home, code=5)


def test_gateway_that_may_not_serve_does_not_say_that_it_does(home: Path) -> None:
    """The line on standard output comes when it is ready, not before."""
    with serving_lock(load_settings(home)):
        result = RUNNER.invoke(app, ["serve", "--home", str(home), "--json"])

    assert (result.exit_code, result.stdout) == (70, "")
    assert "another process serves" in result.stderr
