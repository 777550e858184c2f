"""Bad-input catalogue 30 to 37 over MQTT, and 1 to 20 where a command carries them.

Each with its exact receipt, and nothing stored: no row in any table.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from cbgateway.codec import mqtt5
from cbgateway.codec.mqtt5 import Connect, Publish, Will
from cbgateway.interfaces.mqtt.client import client_of
from cbgateway.interfaces.mqtt.topics import ALARM, INCIDENT, SUBMIT
from cbgateway.interfaces.schema import DOCUMENT_OCTETS_MAX
from tests.conformance.catalogue import tally
from tests.conftest import Office
from tests.unit.interfaces.mqtt_bench import Bench, on_bench

WAIT_S = 10.0
DETAIL_CHARACTERS_MAX = 4_000


def on_clean_bench(office: Office, work: Callable[[Bench], Awaitable[None]]) -> None:
    """Run a test's work; afterwards there are as many rows as before, in every table."""
    office.add("mallory", may_submit=True)
    before = tally(office.gateway.home)
    on_bench(office, work)
    assert tally(office.gateway.home) == before


async def check(bench: Bench, payload: bytes, name: str, words: str, **options: Any) -> None:
    """Publish something bad, and check that the refusal is clean and the next one is answered."""
    receipt = await bench.ask(payload, **options)

    assert receipt["status"] == "refused", receipt
    problem = receipt["problem"]
    assert problem["type"] == f"urn:cbgateway:problem:{name}", problem
    assert words in problem["detail"], problem["detail"]
    assert len(problem["detail"]) < DETAIL_CHARACTERS_MAX


def holding(raw: bytes) -> bytes:
    """Give a JSON object with one member, written as it stands here."""
    return b'{"more": ' + raw + b"}"


@pytest.mark.parametrize(
    ("payload", "name", "words"),
    [
        pytest.param(b"", "input-invalid", "not JSON", id="1"),
        pytest.param(b"{", "input-invalid", "line 1, column 2", id="2"),
        pytest.param(b"\xff\xfe", "input-invalid", "not UTF-8", id="2-utf8"),
        pytest.param(b"[]", "input-invalid", "JSON object", id="3"),
        pytest.param(b'{"a": 1, "a": 2}', "input-invalid", "'a'", id="4"),
        pytest.param(holding(b"NaN"), "input-invalid", "NaN", id="5"),
        pytest.param(holding(b"-Infinity"), "input-invalid", "-Infinity", id="5-infinity"),
        pytest.param(holding(b"9" * 100_000), "input-invalid", "100000 digits", id="6"),
        pytest.param(b"[" * 200_000, "input-invalid", "too deeply", id="7"),
        pytest.param(holding(b'"\\ud800"'), "input-invalid", "not UTF-8", id="13"),
        pytest.param(b"{}", "input-invalid", "id: Field required", id="37-no-envelope"),
        pytest.param(
            b" " * (DOCUMENT_OCTETS_MAX + 1), "command-refused", "262145 octets, at most", id="33"
        ),
    ],
)
def test_payload_that_is_no_command(office: Office, payload: bytes, name: str, words: str) -> None:
    """1 to 7, 13, 33: refused before anything in it is looked at."""

    async def work(bench: Bench) -> None:
        await check(bench, payload, name, words)

    on_clean_bench(office, work)


def test_33_full_length_is_read(office: Office) -> None:
    """One octet less is a command like any other, only none of JSON's."""

    async def work(bench: Bench) -> None:
        await check(bench, b" " * DOCUMENT_OCTETS_MAX, "input-invalid", "not JSON")

    on_clean_bench(office, work)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"id": ""}, "id: "),
        ({"id": "a b"}, "id: "),
        ({"id": "a" * 65}, "id: "),
        ({"id": 1}, "id: "),
        ({"topic": 1}, "topic: "),
        ({"expires": "soon"}, "expires: "),
        ({"expires": "2021-10-25T12:01:00"}, "expires: "),
        ({"reply_to": "r" * 301}, "reply_to: "),
        ({"document": []}, "document: "),
        ({"document_signature": None}, "document_signature: "),
        ({"signature": "s" * 2_049}, "signature: "),
        ({"more": 1}, "more: Extra inputs"),
    ],
)
def test_8_envelope_of_another_form(office: Office, changes: dict[str, Any], words: str) -> None:
    """Every fault with its place."""

    async def work(bench: Bench) -> None:
        sound = json.loads(bench.command(office.document()))
        payload = json.dumps(sound | changes).encode()
        await check(bench, payload, "input-invalid", words)

    on_clean_bench(office, work)


@pytest.mark.parametrize(
    ("changes", "name", "words"),
    [
        pytest.param({"colour": "red"}, "input-invalid", "colour: Extra", id="8"),
        pytest.param({"regions": ["KR-26\x00"]}, "input-invalid", "regions.0", id="14"),
        pytest.param({"regions": ["GB-KEN"]}, "unknown-name", "unknown region", id="14-name"),
        pytest.param({"class": "Safety"}, "unknown-name", "critical, emergency", id="15"),
        pytest.param({"kind": "First"}, "input-invalid", "'first', 'progress'", id="15-kind"),
        pytest.param({"expires": "2021-10-25T02:59:59+00:00"}, "expired", "has passed", id="16"),
        pytest.param({"texts": {"ko": "가" * 2_000}}, "text-too-long", "shorten it", id="19"),
        pytest.param({"texts": {"xx": "a"}}, "unknown-name", "language 'xx'", id="20"),
        pytest.param({"mode": "live"}, "mode-mismatch", "mode live", id="23-mode"),
        pytest.param({"sender": "mallory"}, "permission-denied", "all three", id="30-document"),
    ],
)
def test_document_that_breaks_a_rule(
    office: Office, changes: dict[str, Any], name: str, words: str
) -> None:
    """The same refusals as over HTTP and on the command line."""

    async def work(bench: Bench) -> None:
        await check(bench, bench.command(office.document(**changes)), name, words)

    on_clean_bench(office, work)


@pytest.mark.parametrize(
    ("what", "document", "words"),
    [
        (ALARM, {"id": "a-1"}, "probableCause: Field required"),
        (ALARM, {"@type": "Event", "id": "a-1"}, "@type: "),
        (INCIDENT, {"decision": "transition"}, "incident: Field required"),
        (INCIDENT, {"decision": "approve"}, "decision: "),
    ],
)
def test_other_documents_of_another_form(
    office: Office, what: str, document: dict[str, Any], words: str
) -> None:
    """Alarms and steps are read by their own definitions."""

    async def work(bench: Bench) -> None:
        payload = bench.command(document, what=what)
        await check(bench, payload, "input-invalid", words, what=what)

    on_clean_bench(office, work)


def test_30_three_names_that_are_not_one(office: Office) -> None:
    """Topic, envelope and document: whichever of them is another's, nothing is done."""

    async def work(bench: Bench) -> None:
        document = office.document()
        other = bench.topics.command("mallory", SUBMIT)
        to_other = bench.command(document, topic=other)
        by_other = bench.command(
            document, by="mallory", topic=bench.topics.command("alice", SUBMIT)
        )
        await check(bench, to_other, "permission-denied", "all three", by="mallory")
        await check(bench, by_other, "permission-denied", "all three")
        elsewhere = bench.command(document)
        await check(bench, elsewhere, "command-refused", "signed for topic", by="mallory")

    on_clean_bench(office, work)


def test_31_retained(office: Office) -> None:
    """What is retained is state; a command never is."""

    async def work(bench: Bench) -> None:
        sound = bench.command(office.document())
        await check(bench, sound, "command-refused", "never retained", retain=True)

    on_clean_bench(office, work)


def test_32_qos_0(office: Office) -> None:
    """Nobody would know whether it came."""

    async def work(bench: Bench) -> None:
        await check(bench, bench.command(office.document()), "command-refused", "QoS 1", qos=0)

    on_clean_bench(office, work)


@pytest.mark.parametrize("topic", [b"cbgateway/\xff", b"cbgateway/#", b"a/+/b", b"", b"a\x00b"])
def test_34_36_topic_that_is_none(office: Office, topic: bytes) -> None:
    """The broker ends that connection; the gateway's stands, and answers the next command."""

    async def work(bench: Bench) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", bench.address.port)
        writer.write(mqtt5.encode(Connect("raw", clean_start=True)))
        whole = mqtt5.encode(Publish("x" * max(1, len(topic)), b"{}", 1, packet_id=1))
        at = whole.index(b"x")
        short = whole[:1] + bytes([whole[1] - (not topic)])
        length = len(topic).to_bytes(2, "big")
        writer.write(short + length + topic + whole[at + max(1, len(topic)) :])
        async with asyncio.timeout(WAIT_S):
            while await reader.read(1024):
                pass
        writer.close()
        await check(bench, b"{}", "input-invalid", "id: Field required")

    on_clean_bench(office, work)


def test_35_same_command_again(office: Office) -> None:
    """As a broker hands it over twice: one bulletin, one answer."""

    async def work(bench: Bench) -> None:
        payload = bench.command(office.document())
        first = await bench.ask(payload)
        again = await bench.ask(payload)
        reused = bench.command(office.document(texts={"ko": "다른 장애"}), command_id="c-1")

        assert first == again
        assert first["bulletin"] == "inc-1/1"
        await check(bench, reused, "command-refused", "used for another command")
        with office.gateway.store.read() as tx:
            assert len(tx.bulletins()) == 1

    on_bench(office, work)


async def last_will(bench: Bench, topic: str, payload: bytes) -> None:
    """Connect with a will, and break the connection so that the broker publishes it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", bench.address.port)
    will = Will(topic, payload, qos=1)
    writer.write(mqtt5.encode(Connect("goner", clean_start=True, will=will)))
    async with asyncio.timeout(WAIT_S):
        await reader.read(4)
    writer.transport.abort()


def test_37_will_that_poses_as_a_command(office: Office) -> None:
    """What nobody signed, or signed too long ago, is refused; whoever waits hears why."""

    async def work(bench: Bench) -> None:
        topic = bench.topics.command("alice", SUBMIT)
        reply = f"{bench.topics.prefix}/reply/alice/will"
        sound = bench.command(office.document(), reply_to=reply)
        forged = json.loads(sound) | {"id": "forged"}
        old = bench.command(
            office.document(), reply_to=reply, expires=office.clock.now() + timedelta(seconds=1)
        )
        office.clock.advance(1)
        async with client_of(replace(bench.address, client_id="ear")) as ear:
            await ear.subscribe(reply, qos=1)
            told = []
            for payload in (json.dumps(forged).encode(), old, b'{"status": "gone"}'):
                await last_will(bench, topic, payload)
                if b"gone" in payload:  # it says nowhere who waits for an answer
                    continue
                async with asyncio.timeout(WAIT_S):
                    told.append(json.loads((await anext(ear.messages)).payload))

        names = [one["problem"]["type"].rpartition(":")[2] for one in told]
        assert names == ["signature-invalid", "expired"]
        assert [one["id"] for one in told] == ["forged", "c-2"]

    on_clean_bench(office, work)
