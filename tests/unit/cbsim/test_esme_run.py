"""The load generator over real sockets: against our message centre, and against bad ones."""

import asyncio
import json
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from typer.testing import CliRunner

from cbgateway.codec import smpp, smpp_text
from cbsim.cli import app
from cbsim.esme import Bind
from cbsim.esme_dialogue import Dialogue
from cbsim.esme_load import Load, Tally
from cbsim.esme_messages import Destinations, Messages
from cbsim.esme_report import Expectations, Report, parse_accepted
from cbsim.esme_run import LoadRun, Peer, run_script
from cbsim.esme_script import load_script

RUNNER = CliRunner()


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """Give the port of a `cbsim smsc` of our own."""
    command = [sys.executable, "-m", "cbsim", "smsc", "--port", "0", "--json", "--phones", "3"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as smsc:
        assert smsc.stdout is not None
        yield next(
            event["port"] for event in map(json.loads, smsc.stdout) if event["event"] == "ready"
        )
        smsc.terminate()
        smsc.stdout.read()


def esme(*arguments: object, code: int = 0) -> str:
    """Run the command and check its exit code; gives what it printed."""
    result = RUNNER.invoke(app, ["esme", *map(str, arguments)])
    assert result.exit_code == code, result.output
    return result.stderr if code == 2 else result.stdout


def test_closed_loop_is_all_accepted(port: int) -> None:
    """Over two binds, in parts, and said in JSON."""
    report = json.loads(
        esme("--port", port, "--count", 40, "--binds", 2, "--window", 5, "--text", "가" * 100,
             "--encoding", "ucs2", "--long", "udh16", "--to", "82100000000#", "--json")
    )  # fmt: skip

    assert (80, 80, {}, 0, 0) == tuple(
        report[key] for key in ("sent", "accepted", "refused", "unanswered", "exit_code")
    )
    assert report["latency_ms"]["from_sent"]["p50"] <= report["latency_ms"]["from_sent"]["max"]
    assert report["latency_ms"]["from_intended"] is None


def test_open_loop_is_shown_as_a_table(port: int) -> None:
    """With its expectations, and latency from the intended time."""
    text = esme("--port", port, "--seconds", 0.2, "--rate", 100, "--version", "5.0",
                "--expect-rate", 50, "--expect-accepted", "100%", "--quiet")  # fmt: skip

    assert "accepted                     20\n" in text
    assert "latency from intended time" in text
    failed = esme("--port", port, "--count", 5, "--expect-p99-ms", 0, code=1)
    assert "failed: p99 " in failed


def test_script_is_held_with_the_centre(port: int, tmp_path: Path) -> None:
    """The whole way over a socket, and the exit code of a step that fails."""
    path = tmp_path / "talk.toml"
    path.write_text(
        """
        [[step]]
        do = "bind"
        [[step]]
        do = "expect"
        command = "bind_transceiver_resp"
        [[step]]
        do = "enquire_link"
        [[step]]
        do = "expect"
        command = "enquire_link_resp"
        [[step]]
        do = "send"
        hex = "00000010 000000ff 00000000 00000009"
        [[step]]
        do = "expect"
        command = "generic_nack"
        status = "ESME_RINVCMDID"
        [[step]]
        do = "unbind"
        [[step]]
        do = "expect"
        command = "unbind_resp"
        [[step]]
        do = "expect_close"
        """,
        "utf-8",
    )
    assert "passed: 9 steps" in esme("--port", port, "--script", path)
    path.write_text(
        '[[step]]\ndo = "submit"\ntext = "x"\n[[step]]\ndo = "expect"\ncommand = "submit_sm_resp"',
        "utf-8",
    )
    *_, end = map(json.loads, esme("--port", port, "--script", path, "--json", code=1).splitlines())
    assert end["failure"] == "step 2: command_status is ESME_RINVBNDSTS, expected ESME_ROK"


def test_wrong_arguments_are_refused(tmp_path: Path) -> None:
    """Before anything is connected."""
    empty = tmp_path / "empty"
    empty.write_text("", "utf-8")

    assert "is no address" in esme("--to", "not ascii: 가", code=2)
    assert "no numbers" in esme("--to-file", empty, code=2)
    assert "0 texts" in esme("--texts-file", empty, code=2)
    assert "not in the GSM" in esme("--text", "가", "--encoding", "gsm7", code=2)
    assert "at most 15" in esme("--system-id", "x" * 16, code=2)
    assert "1 to 10000 steps" in esme("--script", empty, code=2)
    assert "No such file" in esme("--ca", tmp_path / "none", code=2)
    assert "neither a number" in esme("--expect-accepted", "most", code=2)


def test_nobody_there_is_told() -> None:
    """Code 4, for load and for scripts."""
    with asyncio.Runner() as runner:
        server = runner.run(_serve(lambda _: []))
        free = server.sockets[0].getsockname()[1]
        server.close()
    result = RUNNER.invoke(app, ["esme", "--port", str(free)])

    assert (4, True) == (result.exit_code, "Connect call failed" in result.stderr)


class Odd(asyncio.Protocol):
    """A peer whose answers the test makes."""

    def __init__(self, answer: Callable[[smpp.Pdu], list[smpp.Pdu] | None]) -> None:
        self._answer = answer
        self._framer = smpp.Framer()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        self._transport: Any = transport

    def data_received(self, data: bytes) -> None:
        """Answer; None closes."""
        for item in self._framer.receive(data):
            assert isinstance(item, smpp.Pdu)
            answers = self._answer(item)
            if answers is None:
                self._transport.close()
                return
            self._transport.write(b"".join(map(smpp.encode, answers)))


async def _serve(
    answer: Callable[[smpp.Pdu], list[smpp.Pdu] | None], tls: ssl.SSLContext | None = None
) -> asyncio.Server:
    loop = asyncio.get_running_loop()
    return await loop.create_server(lambda: Odd(answer), "127.0.0.1", 0, ssl=tls)


@asynccontextmanager
async def odd(
    answer: Callable[[smpp.Pdu], list[smpp.Pdu] | None], tls: ssl.SSLContext | None = None
) -> AsyncIterator[int]:
    """Give the port of a peer that answers so."""
    server = await _serve(answer, tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def plain(pdu: smpp.Pdu) -> list[smpp.Pdu]:
    """Give the answer of a peer that accepts everything."""
    if smpp.is_response(pdu.body):
        return []
    return [smpp.Pdu(smpp.response_to(pdu.body), pdu.sequence_number)]


def load_run(port: int, load: Load, *, tls: ssl.SSLContext | None = None, **facts: Any) -> LoadRun:
    """Plan a run with short texts."""
    run = {key: facts.pop(key) for key in ("binds", "wait_receipts_s") if key in facts}
    messages = Messages(
        ("hi",),
        iter(Destinations("8210###")),
        body=smpp.SubmitSm(destination=smpp.Address(1, 1, ""), registered_delivery=1),
        data_coding=None,
        segmentation=smpp_text.Segmentation.UDH8,
    )
    bind = Bind(system_id="me", password="", **facts)
    return LoadRun(Peer("localhost", port, tls), bind, load, messages, **run)


def test_refusals_receipts_and_duplicates_are_counted() -> None:
    """By their names; receipts are waited for before the unbind."""

    def answer(pdu: smpp.Pdu) -> list[smpp.Pdu]:
        if not isinstance(pdu.body, smpp.SubmitSm):
            return plain(pdu)
        if pdu.sequence_number % 2:
            status = smpp.Status.ESME_RMSGQFUL
            return [smpp.Pdu(smpp.SubmitSmResp(), pdu.sequence_number, status)]
        receipt = smpp.DeliverSm(esm_class=4, short_message=b"id:1 stat:DELIVRD")
        return [*plain(pdu), *plain(pdu), smpp.Pdu(receipt, pdu.sequence_number)]

    async def scenario() -> Report:
        async with odd(answer) as port:
            return await load_run(port, Load(count=10), wait_receipts_s=60.0).run()

    report = asyncio.run(scenario())
    facts = report.as_dict(Expectations())
    assert (5, {"ESME_RMSGQFUL": 5}, {"DELIVERED": 5}, 5, 4) == tuple(
        facts[key]
        for key in ("accepted", "refused", "receipts", "duplicate_responses", "exit_code")
    )
    assert "  ESME_RMSGQFUL              5" in list(report.lines(Expectations()))


def test_silence_is_unanswered_and_the_rest_is_unsent() -> None:
    """Each request has its timer; the schedule does not wait for ever."""

    def answer(pdu: smpp.Pdu) -> list[smpp.Pdu]:
        return [] if isinstance(pdu.body, smpp.SubmitSm) else plain(pdu)

    async def scenario() -> Report:
        async with odd(answer) as port:
            load = Load(seconds_s=0.1, rate=100.0)
            return await load_run(port, load, window=3, response_timeout_s=0.5).run()

    report = asyncio.run(scenario())
    assert (3, 3, 7) == (report.tally.sent, report.tally.unanswered, report.unsent)
    assert report.problems == ()


def test_connection_that_is_lost_ends_the_run() -> None:
    """What was under way is unanswered, and the report says why."""
    count = 0

    def answer(pdu: smpp.Pdu) -> list[smpp.Pdu] | None:
        nonlocal count
        count += isinstance(pdu.body, smpp.SubmitSm)
        return None if count > 3 else plain(pdu)

    async def scenario() -> Report:
        async with odd(answer) as port:
            return await load_run(port, Load(count=1_000), window=1).run()

    report = asyncio.run(scenario())
    assert (3, 1, 996) == (report.tally.accepted, report.tally.unanswered, report.unsent)
    assert report.problems == ("the connection was lost: closed by the message centre",)
    assert report.exit_code(Expectations(accepted=1)) == 4


def test_refused_bind_sends_nothing() -> None:
    """The other binds are let go."""
    binds = 0

    def answer(pdu: smpp.Pdu) -> list[smpp.Pdu]:
        nonlocal binds
        binds += isinstance(pdu.body, smpp.BindTransceiver)
        if binds != 2 or smpp.is_response(pdu.body):
            return plain(pdu)
        status = smpp.Status.ESME_RBINDFAIL
        return [smpp.Pdu(smpp.response_to(pdu.body), pdu.sequence_number, status)]

    async def scenario() -> Report:
        async with odd(answer) as port:
            return await load_run(port, Load(count=10), binds=2).run()

    report = asyncio.run(scenario())
    assert report.tally.sent == 0
    assert any("ESME_RBINDFAIL" in problem for problem in report.problems)


@pytest.mark.parametrize("times", [1, 2])
def test_interrupt_ends_in_order(times: int) -> None:
    """What is under way is waited for; the second interrupt waits no more."""
    runs: list[LoadRun] = []

    def answer(pdu: smpp.Pdu) -> list[smpp.Pdu]:
        if isinstance(pdu.body, smpp.SubmitSm) and pdu.sequence_number == 20:
            for _ in range(times):
                runs[0].interrupt()
        return plain(pdu)

    async def scenario() -> Report:
        async with odd(answer) as port:
            runs.append(load_run(port, Load(seconds_s=60.0), window=2))
            return await runs[0].run()

    report = asyncio.run(scenario())
    assert 19 <= report.tally.sent < 30
    if times == 1:
        assert report.tally.accepted == report.tally.sent
        assert report.problems == ()
    else:
        assert report.problems == ("interrupted",)


def test_tls_checks_who_the_peer_is(tmp_path: Path) -> None:
    """With the certificate that vouches for it; without, nothing is sent."""
    server, client = _contexts(tmp_path)

    async def scenario(tls: ssl.SSLContext) -> Report:
        async with odd(plain, server) as port:
            return await load_run(port, Load(count=3), tls=tls).run()

    assert asyncio.run(scenario(client)).was_all_accepted
    with pytest.raises(ssl.SSLCertVerificationError):
        asyncio.run(scenario(ssl.create_default_context()))


def _contexts(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Make a certificate for localhost, and contexts of both sides."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = folder / "both.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(path)
    return server, ssl.create_default_context(cafile=str(path))


def test_expectations_decide() -> None:
    """An expectation that fails is 1; how many were accepted can be enough; else all must be."""
    tally = Tally()
    tally.sent, tally.accepted, tally.refused[0x58] = 100, 95, 5
    report = Report(tally=tally, seconds_s=2.0, unsent=0, is_open=True, problems=())

    assert report.exit_code(Expectations()) == 4
    assert report.exit_code(Expectations(rate=50.0)) == 4
    assert report.exit_code(Expectations(rate=50.1)) == 1
    assert report.exit_code(Expectations(p99_ms=1.0)) == 1
    assert report.exit_code(Expectations(accepted=95)) == 0
    assert report.exit_code(Expectations(accepted=0.95, is_share=True)) == 0
    assert report.exit_code(Expectations(accepted=0.96, is_share=True)) == 1
    assert ((0.95, True), (95.0, False)) == (parse_accepted("95%"), parse_accepted("95"))
    for wrong in ("many", "101%", "-1"):
        with pytest.raises(ValueError, match=r"neither|cannot be reached"):
            parse_accepted(wrong)


def test_progress_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line for each span of time, with what has come so far."""
    monkeypatch.setattr("cbsim.esme_run.PROGRESS_S", 0.02)
    lines: list[str] = []

    async def scenario() -> Report:
        async with odd(plain) as port:
            run = load_run(port, Load(count=20, rate=100.0))
            run._on_progress = lines.append
            return await run.run()

    assert asyncio.run(scenario()).was_all_accepted
    assert lines
    assert lines[0].startswith("0 s: sent ")


def test_interrupt_while_binding_ends_at_once() -> None:
    """Nobody waits for a bind that does not come."""
    runs: list[LoadRun] = []

    def answer(pdu: smpp.Pdu) -> list[smpp.Pdu]:
        runs[0].interrupt()
        return []

    async def scenario() -> Report:
        async with odd(answer) as port:
            runs.append(load_run(port, Load(count=10), binds=2))
            return await runs[0].run()

    report = asyncio.run(scenario())
    assert (0, ("interrupted (2 binds)",)) == (report.tally.sent, report.problems)


def test_big_load_passes_through_full_sockets() -> None:
    """Writing pauses while the network is full, and goes on."""

    async def scenario() -> Report:
        async with odd(plain) as port:
            run = load_run(port, Load(count=12_000), window=12_000)
            return await run.run()

    report = asyncio.run(scenario())
    assert (12_000, True) == (report.tally.accepted, report.was_all_accepted)


def test_peer_that_only_asks_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers that it does not take are not kept for ever."""
    monkeypatch.setattr("cbsim.esme_run.WRITE_OCTETS_MAX", 65_536)

    heard: list[asyncio.Transport] = []

    class Deaf(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            assert isinstance(transport, asyncio.Transport)
            heard.append(transport)
            transport.pause_reading()
            bound = smpp.encode(smpp.Pdu(smpp.BindTransceiverResp(), 1))
            asks = b"".join(smpp.encode(smpp.Pdu(smpp.EnquireLink(), n)) for n in range(1, 100_001))
            transport.write(bound + asks * 2)

    async def scenario() -> Report:
        listening = socket.create_server(("127.0.0.1", 0))
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        server = await asyncio.get_running_loop().create_server(Deaf, sock=listening)
        try:
            port = server.sockets[0].getsockname()[1]
            return await load_run(port, Load(seconds_s=600.0, rate=0.001)).run()
        finally:
            for transport in heard:
                transport.abort()
            server.close()

    assert ("the message centre takes no octets",) == asyncio.run(scenario()).problems


@pytest.mark.parametrize("kind", ["toml", "jsonl"])
def test_script_waits_on_when_the_peer_has_gone(tmp_path: Path, kind: str) -> None:
    """A wait is not cut short by a connection that is closed, nor is a late step sent into it."""
    path = tmp_path / f"talk.{kind}"
    steps = [{"do": "bind"}, {"do": "wait", "seconds": 0.05}, {"do": "enquire_link"}]
    if kind == "toml":
        rows = ["".join(f"{k} = {json.dumps(v)}\n" for k, v in step.items()) for step in steps]
        path.write_text("".join(f"[[step]]\n{row}" for row in rows), "utf-8")
    else:
        path.write_text("\n".join(map(json.dumps, steps)), "utf-8")
    dialogue = Dialogue(load_script(path, Bind("me", "")), lambda _: None)

    async def scenario() -> float:
        async with odd(lambda _: None) as port:
            began = asyncio.get_running_loop().time()
            await run_script(Peer("127.0.0.1", port), dialogue)
            return asyncio.get_running_loop().time() - began

    assert asyncio.run(scenario()) >= 0.05
    assert dialogue.failure == "step 3: enquire_link cannot be sent: the connection is closed"


def test_sigint_reports(tmp_path: Path) -> None:
    """Ctrl-C at the command: the report comes, and the code says that not everything was sent."""
    out = tmp_path / "out"

    async def scenario() -> int:
        told = asyncio.Event()

        def answer(pdu: smpp.Pdu) -> list[smpp.Pdu]:
            if isinstance(pdu.body, smpp.SubmitSm):
                told.set()
            return plain(pdu)

        async with odd(answer) as port:
            with out.open("wb") as file:
                esme = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", "cbsim", "esme", "--port", str(port)),
                    *("--count", "1000000", "--rate", "50", "--json"),
                    stdout=file,
                )
                await told.wait()
                esme.send_signal(signal.SIGINT)
                return await esme.wait()

    assert asyncio.run(scenario()) == 4
    report = json.loads(out.read_text("utf-8"))
    assert report["sent"] == report["accepted"] >= 1
    assert report["unsent"] == 1_000_000 - report["sent"]
