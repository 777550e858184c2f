"""Commands over MQTT: receipts after the commit, refusals by name, events and retained state."""

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest

from cbgateway.desk import Desk
from cbgateway.domain.bulletin import Mode
from cbgateway.domain.errors import DiskFullError, StoreError
from cbgateway.domain.incident import IncidentState
from cbgateway.front import serving_mqtt
from cbgateway.interfaces.mqtt import state
from cbgateway.interfaces.mqtt.commands import Incoming, read_command
from cbgateway.interfaces.mqtt.intake import MqttIntake
from cbgateway.interfaces.mqtt.state import Board
from cbgateway.interfaces.mqtt.topics import ALARM, INCIDENT, SUBMIT, Topics
from tests.conftest import Office
from tests.unit.interfaces.mqtt_bench import Bench, on_bench, with_mqtt


def test_command_is_committed_and_told(office: Office) -> None:
    """The receipt names the bulletin; the same document again gets the first answer."""

    async def work(bench: Bench) -> None:
        document = office.document()
        payload = bench.command(document)
        first = await bench.ask(payload)
        again = await bench.ask(payload)
        anew = await bench.ask(bench.command(document))

        assert first["status"] == "accepted"
        assert first["bulletin"] == "inc-1/1"
        assert first["id"] == "c-1"
        assert again == first
        assert anew | {"id": "c-1"} == first
        with office.gateway.store.read() as tx:
            assert len(tx.bulletins()) == 1

    on_bench(office, work)


TOPICS = Topics(Mode.TEST, "lab")


def alarm(number: int = 1, **changes: Any) -> dict[str, Any]:
    """Give an alarm of the network (TMF642)."""
    return {
        "@type": "Alarm",
        "id": f"a-{number}",
        "probableCause": "powerFailure",
        "sourceSystemId": "kt",
        "alarmRaisedTime": "2021-10-25T11:59:00+09:00",
        "perceivedSeverity": "critical",
        "place": [{"id": "KR-26"}],
        "affectedService": [{"id": "voice"}],
    } | changes


def test_alarms_become_one_suspected_incident(office: Office) -> None:
    """With a draft; once they are cleared, a state is proposed and nothing is sent."""
    office.add("noc", may_submit=True, owner="alice")

    async def work(bench: Bench) -> None:
        async def tell(document: dict[str, Any]) -> dict[str, Any]:
            payload = bench.command(document, by="noc", what=ALARM)
            return await bench.ask(payload, by="noc", what=ALARM)

        opened = await tell(alarm())
        joined = await tell(alarm(2))
        cleared = await tell(alarm(2, perceivedSeverity="cleared"))
        proposed = await tell(alarm(1, perceivedSeverity="cleared"))

        assert opened["effect"] == "opened"
        assert joined["incident"] == opened["incident"]
        assert joined["effect"] == "joined"
        assert cleared["effect"] == "cleared"
        assert proposed["proposed_state"] == "false_alarm"
        with office.gateway.store.read() as tx:
            (record,) = tx.bulletins()
        assert record.state.value == "draft"

    on_bench(office, work)


def test_people_say_how_far_an_outage_has_got(office: Office) -> None:
    """A machine's step is refused; a person's is told as state and event."""
    office.add("noc", may_submit=True, owner="alice")

    async def work(bench: Bench) -> None:
        await bench.client.subscribe(f"{bench.topics.prefix}/state/incident/#", qos=1)
        await bench.client.subscribe(f"{bench.topics.prefix}/evt/#", qos=1)
        payload = bench.command(alarm(), by="noc", what=ALARM)
        incident = (await bench.ask(payload, by="noc", what=ALARM))["incident"]
        step = {
            "decision": "transition",
            "incident": incident,
            "from": "suspected",
            "to": "investigating",
            "reason": "seen on the probes",
        }

        async def say(by: str, **changes: Any) -> dict[str, Any]:
            payload = bench.command(step | changes, by=by, what=INCIDENT)
            return await bench.ask(payload, by=by, what=INCIDENT)

        machine = await say("noc")
        skipped = await say("alice", to="restored")
        taken = await say("alice")
        event = await bench.hears(f"evt/{incident}", lambda one: one["data"]["actor"] == "alice")
        state = await bench.hears(
            f"state/incident/{incident}", lambda one: one["state"] != "suspected"
        )

        assert machine["problem"]["type"] == "urn:cbgateway:problem:permission-denied"
        assert skipped["problem"]["type"] == "urn:cbgateway:problem:workflow"
        assert (taken["status"], taken["state"]) == ("accepted", "investigating")
        assert event["data"]["reason"] == "seen on the probes"
        assert state["state"] == "investigating"

    on_bench(office, work)


def test_state_and_events_are_told(office: Office) -> None:
    """What a region reads now is retained, and taken away with the withdrawal."""

    async def work(bench: Bench) -> None:
        await bench.client.subscribe(f"{bench.topics.prefix}/evt/#", qos=1)
        await bench.client.subscribe(f"{bench.topics.prefix}/state/#", qos=1)
        await bench.ask(bench.command(office.document()))
        event = await bench.hears("evt/inc-1/1", lambda one: one["type"] == "cbgateway.submitted")
        office.approve("inc-1/1")
        region = await bench.hears("state/region/KR-26", lambda one: one is not None)
        incident = await bench.hears("state/incident/inc-1", lambda one: True)
        carrier = await bench.hears("state/carrier/kt", lambda one: one["open"].get("ready", 0) > 0)
        office.clock.advance(1)
        bench.heard.clear()
        office.issue(office.later("withdrawal"))
        gone = await bench.hears("state/region/KR-26", lambda one: one is None)

        assert event["subject"] == "inc-1/1"
        assert event["specversion"] == "1.0"
        assert int(event["sequence"]) == int(event["id"])
        assert event["data"]["actor"] == "alice"
        assert region["bulletin"] == "inc-1/1"
        assert region["texts"]["ko"]
        assert incident["bulletins"]["inc-1/1"] in {"pending", "approved"}
        assert carrier["carrier"] == "kt"
        assert gone is None

    on_bench(office, work)


def test_connection_that_breaks_comes_back(office: Office) -> None:
    """The will says that the gateway is away; what came meanwhile is carried out once."""

    async def work(bench: Bench) -> None:
        links = list(bench.server.connections.items())
        for link, one in links:
            if link._session is not None and link._session.client_id.startswith("cbgateway-"):
                one.abort()
        away = await bench.hears("state/gateway", lambda one: not one["is_online"])
        await bench.client.subscribe(f"{bench.topics.prefix}/evt/#", qos=1)
        await asyncio.to_thread(office.submit, office.document())
        event = await bench.hears("evt/inc-1/1", lambda one: True)
        document = office.later("progress")
        receipt = await bench.ask(bench.command(document))

        assert away["mode"] == "test"
        assert event["type"] == "cbgateway.submitted"
        assert receipt["status"] == "accepted"
        await bench.hears("state/gateway", lambda one: one["is_online"])

    on_bench(office, work)


def test_publisher_without_properties_is_answered(office: Office) -> None:
    """An MQTT 3.1.1 publisher says in the signed body where its receipt goes."""

    async def work(bench: Bench) -> None:
        reply = f"{bench.topics.prefix}/reply/alice/r-1"
        await bench.client.subscribe(reply, qos=1)
        payload = bench.command(office.document(), reply_to=reply)
        topic = bench.topics.command("alice", SUBMIT)
        await bench.client.publish(topic, payload, qos=1)
        receipt = await bench.hears("reply/alice/r-1", lambda one: True)

        assert receipt["status"] == "accepted"

    on_bench(office, work)


def test_what_is_no_command_is_refused(office: Office) -> None:
    """Retained, QoS 0, another's topic, other signatures: by name, and nothing is kept."""
    office.add("mallory", may_submit=True)

    async def work(bench: Bench) -> None:
        document = office.document()

        async def refused(payload: bytes, **options: Any) -> str:
            receipt = await bench.ask(payload, **options)
            assert receipt["status"] == "refused", receipt
            return f"{receipt['problem']['type']} {receipt['problem']['detail']}"

        sound = bench.command(document)
        assert "never retained" in await refused(sound, retain=True)
        assert "QoS 1" in await refused(sound, qos=0)
        assert "input-invalid" in await refused(b"{}")
        assert "json" in (await refused(b"nothing")).lower()
        assert "at most" in await refused(b" " * 262_145)
        assert "signed for topic" in await refused(sound, by="mallory")
        by_other = bench.command(document, by="mallory")
        assert "permission-denied" in await refused(by_other, by="mallory")
        forged = json.loads(sound) | {"id": "other"}
        assert "signature-invalid" in await refused(json.dumps(forged).encode())
        changed = json.loads(sound)
        changed["document"]["regions"] = ["KR"]
        assert "signature-invalid" in await refused(json.dumps(changed).encode())
        now = office.clock.now()
        old = bench.command(document, expires=now)
        assert "expired" in await refused(old)
        long = bench.command(document, expires=now + timedelta(minutes=6))
        assert "five minutes" in await refused(long)
        unknown = bench.command(office.document(regions=["KR-99"]))
        assert "unknown-name" in await refused(unknown)
        astray = bench.command(document, reply_to=f"{bench.topics.prefix}/state/gateway")
        topic = bench.topics.command("alice", SUBMIT)
        await bench.client.publish(topic, astray, qos=1)
        accepted = await bench.ask(sound)
        assert accepted["status"] == "accepted"
        reused = bench.command(office.document(incident="inc-1", kind="progress"), command_id="c-1")
        assert "command-refused" in await refused(reused)
        with office.gateway.store.read() as tx:
            assert len(tx.bulletins()) == 1

    on_bench(office, work)


@pytest.mark.parametrize(
    "topic",
    [
        "cbgateway/v1/live/lab/cmd/alice/bulletin/submit",
        "cbgateway/v1/test/other/cmd/alice/bulletin/submit",
        "cbgateway/v1/test/lab/cmd/alice",
        "cbgateway/v1/test/lab/cmd//bulletin/submit",
        "cbgateway/v1/test/lab/cmd/alice/bulletin/approve",
        "elsewhere",
    ],
)
def test_other_topics_are_none_of_commands(office: Office, topic: str) -> None:
    """Mode and site stand in the topic, and nobody approves over MQTT."""
    with pytest.raises(Exception, match="none of a command"):
        read_command(Incoming(topic, b"{}", 1, retain=False), TOPICS, now=office.clock.now())


def test_receipts_go_below_the_sender_alone() -> None:
    """Nobody has the gateway write into its own state."""
    prefix = TOPICS.prefix

    assert TOPICS.may_reply("alice", f"{prefix}/reply/alice/x")
    for topic in ("/reply/bob/x", "/reply/alice/", "/reply/alice/#", "/state/gateway", ""):
        assert not TOPICS.may_reply("alice", f"{prefix}{topic}")
    assert not TOPICS.may_reply("", f"{prefix}/reply//x")
    assert TOPICS.person_of(f"{prefix}/evt/x") == ""


def test_many_commands_at_once_are_one_batch(office: Office) -> None:
    """Each has its receipt, and nothing is lost or doubled."""

    async def work(bench: Bench) -> None:
        documents = [
            office.document(
                incident={
                    "id": f"inc-{number}",
                    "carrier": "kt",
                    "services": ["voice"],
                    "started_at": "2021-10-25T11:16:00+09:00",
                },
                texts={"ko": f"장애 {number}"},
            )
            for number in range(60)
        ]
        await bench.client.subscribe(f"{bench.topics.prefix}/reply/alice/#", qos=1)
        topic = bench.topics.command("alice", SUBMIT)
        for number, document in enumerate(documents):
            reply = f"{bench.topics.prefix}/reply/alice/n-{number}"
            await bench.client.publish(topic, bench.command(document, reply_to=reply), qos=1)
        found = set()
        while len(found) < 60:
            message = await bench.next(lambda one: "/reply/alice/n-" in one.topic.value)
            receipt = json.loads(message.payload)
            assert receipt["status"] == "accepted"
            found.add(receipt["bulletin"])
        with office.gateway.store.read() as tx:
            assert found == {record.bulletin.bulletin_id for record in tx.bulletins()}

    on_bench(office, work)


def test_gateway_without_a_broker_goes_on(office: Office) -> None:
    """It tries again, and ends when it is told to."""

    async def run() -> None:
        stop = asyncio.Event()
        async with serving_mqtt(with_mqtt(office, 1), stop):
            for _ in range(3):
                await asyncio.get_running_loop().run_in_executor(None, lambda: None)
            assert not stop.is_set()

    asyncio.run(run())


def test_store_that_cannot_be_used_is_not_acknowledged(office: Office) -> None:
    """A full disk is told; a store that fails is not, and the command comes again."""
    topics = Topics(office.gateway.settings.mode, "lab")
    bench = Bench(office, topics, None, None, None)  # type: ignore[arg-type] # only signs
    payload = bench.command(office.document())
    incoming = Incoming(topics.command("alice", SUBMIT), payload, 1, retain=False)

    class Failing(Desk):  # type: ignore[misc] # one method of it fails
        """Commits nothing."""

        async def commit_together(self, write: Any) -> Any:
            """Fail."""
            raise error

    parts = {name: getattr(office.gateway.desk, name) for name in Desk.__dataclass_fields__}
    handler = MqttIntake(topics, office.gateway.deployment, Failing(**parts), office.clock)
    error: Exception = DiskFullError("full")
    receipt = asyncio.run(handler.handle(incoming))
    error = StoreError("broken")

    assert json.loads(receipt.payload)["problem"]["type"] == "urn:cbgateway:problem:disk-full"
    assert receipt.topic == ""
    with pytest.raises(StoreError):
        asyncio.run(handler.handle(incoming))


@pytest.mark.parametrize("batch", [1, 256])
def test_board_begins_with_all_that_is_there(
    office: Office, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is public, and nothing of an outage that is over; unchanged things are told once.

    In parts of whatever size.
    """
    monkeypatch.setattr(state, "BATCH_MAX", batch)
    office.issue(office.document())
    other = office.document()["incident"] | {"id": "inc-0"}
    office.submit(office.document(incident=other, texts={"ko": "다른 장애"}))
    topics = Topics(office.gateway.settings.mode, "lab")
    board = Board(
        topics,
        office.gateway.deployment,
        "urn:cbgateway:x",
        office.gateway.telling.briefings_in,
        office.clock.now,
    )

    def told(look: Any) -> dict[str, Any]:
        with office.gateway.store.read() as tx:
            return {one.topic.removeprefix(f"{topics.prefix}/"): one.payload for one in look(tx)}

    begun: dict[str, Any] = {}
    with office.gateway.store.read() as tx:
        board.begin(tx)
        after: str | None = None
        while after != "":
            messages, after = board.present(tx, after or "")
            for one in messages:
                name = one.topic.removeprefix(f"{topics.prefix}/")
                assert name not in begun
                begun[name] = one.payload
    incidents = [name for name in begun if name.startswith("state/incident/")]
    assert incidents == ["state/incident/inc-0", "state/incident/inc-1"]
    assert begun["state/briefing/inc-0/ko"] == b""
    assert json.loads(begun["state/briefing/inc-1/ko"])["bulletin"] == "inc-1/1"
    assert json.loads(begun["state/region/KR-26"])["bulletin"] == "inc-1/1"
    assert begun["state/region/KR-11"] == b""
    assert json.loads(begun["state/incident/inc-1"])["state"] == "investigating"
    assert told(board.look) == {}
    for step in ("identified", "monitoring", "restored"):
        office.gateway.set_incident_state("inc-1", IncidentState(step), key=office.keys["bob"])
    later: dict[str, Any] = {}
    while part := told(board.look):
        later |= part
    assert later["state/incident/inc-1"] == b""
    assert {name for name in later if name.startswith("evt/")} == {"evt/inc-1"}
    assert "state/region/KR-26" not in later


def test_nothing_is_told_or_acknowledged_before_the_commit(office: Office) -> None:
    """While the disk takes its time, neither publisher nor broker hears anything."""
    release: list[asyncio.Event] = []

    class Slow(Desk):  # type: ignore[misc] # one method of it waits
        """Commits when it is told to."""

        async def commit_together(self, write: Any) -> Any:
            """Wait, and then commit."""
            release.append(asyncio.Event())
            await release[-1].wait()
            return await super().commit_together(write)

    def wrap(desk: Desk) -> Desk:
        return Slow(**{name: getattr(desk, name) for name in Desk.__dataclass_fields__})

    async def work(bench: Bench) -> None:
        asking = asyncio.create_task(bench.ask(bench.command(office.document())))
        while not release:
            await asyncio.wait([asking], timeout=0.01)
        (session,) = [
            link._session
            for link in bench.server.connections
            if link._session is not None and link._session.client_id.startswith("cbgateway-")
        ]
        await asyncio.wait([asking], timeout=0.1)
        before = asking.done(), len(session.in_flight)
        release[0].set()
        receipt = await asking
        while session.in_flight:
            await asyncio.wait([asyncio.create_task(release[0].wait())], timeout=0.01)

        assert before == (False, 1)
        assert receipt["status"] == "accepted"

    on_bench(office, work, wrap)
