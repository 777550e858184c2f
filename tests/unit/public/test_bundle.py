"""Bundles for broadcasters, signs and other carriers' pages."""

import json
import zipfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from lxml import etree
from typer.testing import CliRunner

from cbgateway.app import Gateway
from cbgateway.bundles import check_bundle
from cbgateway.cli.common import EXIT_POLICY, EXIT_SIGNATURE, EXIT_USAGE
from cbgateway.cli.main import app
from cbgateway.domain.errors import (
    InputError,
    KeyUnusableError,
    SignatureInvalidError,
    UnknownNameError,
)
from cbgateway.interfaces.cap.document import check_structure
from cbgateway.public.bundle import LINE_CHARACTERS_MAX
from cbgateway.signing.xmldsig import parse_xml

RUNNER = CliRunner()
SSML = "{http://www.w3.org/2001/10/synthesis}"


@pytest.fixture
def told(office: Any) -> Any:
    """Give an office that has told of an outage and that it is over."""
    office.issue(
        office.document(
            texts={
                "ko": "[과기정통부] 11:16부터 KT 장애. 112·119 안 되면 유심 빼고 걸기. 코드{code}",
                "en": "[MSIT] KT outage since 11:16. Code {code}",
            },
            facts={
                "cause": "power",
                "eta": "PT45M",
                "emergency_calls": "ok_remove_sim",
                "workarounds": ["cash"],
            },
        )
    )
    office.clock.advance(60)
    office.issue(office.later("restored", texts={"ko": "[과기정통부] KT 장애 12:01 복구 완료."}))
    return office


def keys(office: Any) -> tuple[Any, ...]:
    """Give the public sealing keys."""
    with office.gateway.store.read() as tx:
        return tuple(tx.region_keys())


def test_bundle_has_everything_in_every_language(told: Any) -> None:
    """Alert, exact texts, a line for signs, all facts, scripts; nothing of the present."""
    files = told.gateway.bundles.make("inc-1/1")
    with told.gateway.store.read() as tx:
        bulletin = tx.bulletin("inc-1/1").bulletin

    check_structure(parse_xml(files["alert.xml"]))
    assert files["alert.xml"] == told.gateway.export_cap("inc-1/1")
    for language in ("ko", "en"):
        text = files[f"text/{language}/official.txt"].decode()
        assert text == bulletin.texts[language] + "\n"
        line = files[f"text/{language}/line.txt"].decode().strip()
        assert "KT" in line
        assert "12:30" in line
        assert len(line) <= LINE_CHARACTERS_MAX
        page = files[f"text/{language}/page.txt"].decode()
        assert "12:45" in page  # promised then, whatever came later
        assert bulletin.code in page
        script = files[f"audio/{language}.txt"].decode()
        assert not any(character.isdecimal() for character in script)
        root = etree.fromstring(files[f"audio/{language}.ssml"])
        said = [one.text for one in root.iter(f"{SSML}s")]
        assert "\n".join(said) == script.strip()
        assert root.get("{http://www.w3.org/XML/1998/namespace}lang").startswith(language)
    assert "일일이, 일일구" in files["audio/ko.txt"].decode()
    assert "훈련입니다" in files["audio/ko.txt"].decode()
    facts = json.loads(files["bulletin.json"])
    assert (facts["eta"], facts["next_update_at"], facts["code"]) == (
        "2021-10-25T03:45:00Z",
        "2021-10-25T03:30:00Z",
        bulletin.code,
    )
    assert set(json.loads(files["seals.json"])) == {"KR-26"}


def test_bulletin_without_a_language_has_no_script_in_it(told: Any) -> None:
    """And one that ends an outage promises nothing."""
    files = told.gateway.bundles.make("inc-1/2")

    assert "audio/en.txt" not in files
    assert "text/en/official.txt" not in files
    assert "복구 완료" in files["text/ko/line.txt"].decode()
    assert "다음 안내" not in files["text/ko/page.txt"].decode()
    assert json.loads(files["bulletin.json"])["next_update_at"] is None


def test_withdrawal_has_a_bundle(told: Any) -> None:
    """It says that the message was withdrawn."""
    other = told.document()["incident"] | {"id": "inc-2"}
    told.issue(told.document(incident=other, texts={"ko": "[과기정통부] 장애"}))
    told.issue(told.later("withdrawal", incident="inc-2"))
    files = told.gateway.bundles.make("inc-2/2")

    assert "취소" in files["text/ko/page.txt"].decode()
    assert not [name for name in files if name.startswith("audio/")]


def test_bundle_is_the_same_octets_whenever_and_wherever_it_is_made(
    told: Any, tmp_path: Path
) -> None:
    """After more was said, after a key was rotated, as a folder and as a ZIP file."""
    first = told.gateway.bundles.zipped("inc-1/1")
    told.clock.advance(3600)
    told.gateway.keyring.rotate_region("KR-26", overlap=timedelta(0))
    told.issue(told.document(incident=told.document()["incident"] | {"id": "inc-3"}))
    with Gateway.open(told.gateway.home, clock=told.clock) as again:
        assert again.bundles.zipped("inc-1/1") == first
        again.bundles.export("inc-1/1", tmp_path / "folder")
        names = again.bundles.export("inc-1/1", tmp_path / "one.zip")
    packed = (tmp_path / "one.zip").read_bytes()

    assert packed == first
    with zipfile.ZipFile(tmp_path / "one.zip") as bundle:
        assert bundle.namelist() == names
        for name in names:
            assert bundle.read(name) == (tmp_path / "folder" / name).read_bytes()


@pytest.mark.parametrize("name", ["inc-1/9", "none/1", "inc-1/x", "inc-1", "inc-9/1"])
def test_only_what_went_out_has_a_bundle(told: Any, name: str) -> None:
    """No draft, nothing pending."""
    told.submit(
        told.document(incident=told.document()["incident"] | {"id": "inc-9"}, allow_duplicate=True)
    )

    with pytest.raises(UnknownNameError):
        told.gateway.bundles.make(name)


def test_bundle_without_the_key_of_its_time_is_refused(told: Any) -> None:
    """What nobody vouches for is not handed on."""
    for key in keys(told):
        if key.holder == "KR-26":
            told.gateway.keyring.revoke(key.key_id)

    with pytest.raises(KeyUnusableError, match="KR-26"):
        told.gateway.bundles.make("inc-1/1")


def change(folder: Path, name: str = "text/ko/official.txt") -> None:
    """Change one octet of a file."""
    octets = bytearray((folder / name).read_bytes())
    octets[5] ^= 1
    (folder / name).write_bytes(octets)


@pytest.mark.parametrize(
    ("damage", "error"),
    [
        (change, SignatureInvalidError),
        (lambda folder: change(folder, "manifest.json"), (SignatureInvalidError, InputError)),
        (lambda folder: change(folder, "manifest.jws"), (SignatureInvalidError, InputError)),
        (lambda folder: (folder / "more.txt").touch(), SignatureInvalidError),
        (lambda folder: (folder / "alert.xml").unlink(), SignatureInvalidError),
        (lambda folder: (folder / "manifest.json").unlink(), InputError),
        (lambda folder: (folder / "manifest.json").write_text("[]"), InputError),
        (lambda folder: (folder / "manifest.json").write_text('{"files": []}'), InputError),
        (lambda folder: (folder / "manifest.json").write_text("[" * 100_000), InputError),
    ],
)
def test_altered_bundle_fails(
    told: Any, tmp_path: Path, damage: Callable[[Path], object], error: Any
) -> None:
    """One octet, one file more, one less."""
    told.gateway.bundles.export("inc-1/1", tmp_path / "folder")
    assert check_bundle(tmp_path / "folder", keys(told))["bulletin"] == "inc-1/1"
    damage(tmp_path / "folder")

    with pytest.raises(error):
        check_bundle(tmp_path / "folder", keys(told))


def test_bundle_that_nobody_known_has_sealed_fails(told: Any, tmp_path: Path) -> None:
    """Nor one that another region has."""
    told.gateway.bundles.export("inc-1/1", tmp_path / "one.zip")
    others = [key for key in keys(told) if key.holder != "KR-26"]

    with pytest.raises(SignatureInvalidError):
        check_bundle(tmp_path / "one.zip", others)


def test_what_is_no_bundle_is_named(told: Any, tmp_path: Path, monkeypatch: Any) -> None:
    """No file, no ZIP, or more octets than are read."""
    (tmp_path / "text").write_text("x")
    for path in (tmp_path / "none", tmp_path / "text"):
        with pytest.raises(InputError, match="no bundle"):
            check_bundle(path, keys(told))
    monkeypatch.setattr("cbgateway.bundles.OCTETS_MAX", 10)
    told.gateway.bundles.export("inc-1/1", tmp_path / "folder")
    with pytest.raises(InputError, match="at most 10"):
        check_bundle(tmp_path / "folder", keys(told))


def test_bundle_commands(told: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Written once, never over something; checked with the exit code of signatures."""
    opened, home = Gateway.open, ("--home", str(told.gateway.home))
    monkeypatch.setattr(Gateway, "open", lambda home: opened(home, clock=told.clock))

    def run(*words: object, code: int = 0) -> str:
        result = RUNNER.invoke(app, ["bundle", *map(str, words), *home])
        assert result.exit_code == code, result.output
        return result.output

    folder, packed = tmp_path / "folder", tmp_path / "one.zip"
    assert "files of inc-1/1" in run("export", "inc-1/1", folder)
    assert "alert.xml" in json.loads(run("export", "inc-1/1", packed, "--json"))["files"]
    assert "not empty" in run("export", "inc-1/1", folder, code=EXIT_USAGE)
    run("export", "inc-1/1", packed, code=EXIT_USAGE)
    run("export", "inc-1/7", tmp_path / "x", code=EXIT_POLICY)
    assert "sealed by KR-26" in run("verify", packed)
    assert json.loads(run("verify", folder, "--json"))["bulletin"] == "inc-1/1"
    change(folder)
    assert "not what was sealed" in run("verify", folder, code=EXIT_SIGNATURE)


def test_bundle_is_served(told: Any, front: Any) -> None:
    """For everybody, limited like codes; 404 for what did not go out."""
    found = front.client.get("/bundle/inc-1.1.zip")

    assert (found.status_code, found.headers["content-type"]) == (200, "application/zip")
    assert found.content == told.gateway.bundles.zipped("inc-1/1")
    answers = [front.client.get("/bundle/inc-1.7.zip").status_code for _ in range(25)]
    assert set(answers) == {404, 429}
