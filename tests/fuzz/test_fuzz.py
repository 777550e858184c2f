"""A short run of every fuzzing target, and a check that the driver can fail."""

import json
from pathlib import Path

import pytest

from tests.fuzz import engine, mutate, run
from tests.fuzz.engine import Target
from tests.fuzz.targets import TARGETS

INPUTS = 300


@pytest.mark.parametrize("name", TARGETS)
def test_any_octets_give_a_value_or_a_promised_error(name: str) -> None:
    """The same few hundred bad inputs each time; `python -m tests.fuzz.run` tries more."""
    result = engine.fuzz(name, TARGETS[name], inputs=INPUTS, with_large=False)

    escapes = [one.written() for one in result.findings.values() if one.kind == "escape"]
    assert not escapes, json.dumps(escapes, indent=2)
    assert result.inputs == INPUTS + len(TARGETS[name].seeds)


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_are_sound(name: str) -> None:
    """A decoder takes nearly all of its seeds: what is behind its checks is to be read, too."""
    target = TARGETS[name]

    refused = 0
    for octets in target.seeds:
        try:
            target.call(octets)
        except target.promised:
            refused += 1
    assert refused <= len(target.seeds) // 4


def planted(octets: bytes) -> None:
    """Refuse most inputs as promised, and fall over an octet 0x07."""
    if b"\x07" in octets:
        raise KeyError(octets)
    msg = "refused"
    raise ValueError(msg)


PLANTED = Target(call=planted, promised=(ValueError,), seeds=(bytes(8),), mutate=mutate.octets)


def test_a_planted_escape_is_reported() -> None:
    """Cause and shortest input are kept; promised errors are no finding."""
    result = engine.fuzz("planted", PLANTED, inputs=2_000)

    (finding,) = result.findings.values()
    assert finding.kind == "escape"
    assert finding.cause.startswith("KeyError at tests/fuzz/test_fuzz.py:")
    assert b"\x07" in finding.octets
    assert len(finding.octets) <= 8
    assert 1 <= finding.count < result.inputs == 2_001


def test_a_target_that_does_not_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """No handler of the target keeps it going."""

    def spin(octets: bytes) -> None:
        while octets:
            try:
                sum(range(1_000))
            except Exception:  # noqa: BLE001, S112 - what is tested
                continue

    monkeypatch.setattr(engine, "HANG_S", 0.02)
    monkeypatch.setattr(engine, "SLOW_MS", 1e9)
    target = Target(call=spin, promised=(), seeds=(b"", b"x"), mutate=mutate.octets)

    result = engine.fuzz("spin", target, inputs=0)

    assert [(one.kind, one.octets) for one in result.findings.values()] == [("hang", b"x")]


def test_a_slow_input_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever takes longer than the limit each time; here the limit is below everything."""
    monkeypatch.setattr(engine, "SLOW_MS", -1.0)

    result = engine.fuzz("planted", PLANTED, inputs=0)

    assert [one.kind for one in result.findings.values()] == ["slow"]


def test_the_command_leaves_with_1_and_writes_the_input(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What failed can be tried again from its file."""
    monkeypatch.setattr("tests.fuzz.targets.TARGETS", {"planted": PLANTED})
    arguments = ["--inputs", "2000", "--target", "planted"]

    assert run.main([*arguments, "--failures", str(tmp_path), "--json"]) == 1
    (result,) = json.loads(capsys.readouterr().out)
    (path,) = tmp_path.iterdir()
    assert path.read_bytes().hex() == result["findings"][0]["hex"]
    with pytest.raises(KeyError):
        PLANTED.run(path.read_bytes())

    assert run.main(arguments) == 1
    assert path.read_bytes().hex() in capsys.readouterr().out


def test_the_command_leaves_with_0_when_nothing_escapes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One line for each target."""
    assert run.main(["--inputs", "50", "--target", "ucs2", "dcs", "--seed", "3"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3


@pytest.mark.parametrize(
    "arguments", [["--target", "nothing"], ["--shard", "3/2"], ["--shard", "0/2"]]
)
def test_the_command_refuses_what_it_does_not_know(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is tried."""
    with pytest.raises(SystemExit) as left:
        run.main(arguments)
    assert left.value.code == 2
    assert capsys.readouterr().err


def test_the_other_engine_says_how_it_is_installed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is no dependency."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)

    with pytest.raises(SystemExit):
        run.main(["--engine", "atheris"])
    assert "pip install atheris" in capsys.readouterr().err


def test_shards_together_try_what_one_run_tries() -> None:
    """Each input once, whatever the number of shards."""
    seen: list[bytes] = []
    target = Target(
        call=seen.append, promised=(), seeds=(b"ab", b"cd", b"ef"), mutate=mutate.octets
    )

    engine.fuzz("seen", target, inputs=50, seed=1)
    whole = sorted(seen)
    seen.clear()
    for index in (1, 2, 3):
        engine.fuzz("seen", target, inputs=50, seed=1, shard=(index, 3))

    assert sorted(seen) == whole
    assert len(set(whole)) > 25


def test_results_survive_the_way_between_processes() -> None:
    """What another process printed is what it found."""
    result = engine.fuzz("planted", PLANTED, inputs=500)

    again = engine.Result.read(json.loads(json.dumps(result.written())))

    assert again.findings == result.findings
    assert again.inputs == result.inputs


def test_mutated_pdus_are_most_often_framed() -> None:
    """Else a fuzzer of bodies would see nothing but wrong lengths."""
    target = TARGETS["smpp_decode"]
    made = [engine.make_input("framed", target, seed=0, number=number) for number in range(300)]

    right = [octets for octets in made if int.from_bytes(octets[:4], "big") == len(octets)]

    assert len(right) > 200
