"""mosquitto between a gateway and its publishers: receipts, access, and what kill -9 loses."""

import asyncio
import json
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiomqtt
import pytest

from cbgateway.domain.bulletin import Mode
from cbgateway.domain.failpoints import INTAKE_FAILPOINTS
from cbgateway.interfaces.mqtt.commands import write_command
from cbgateway.interfaces.mqtt.topics import SUBMIT, Topics
from cbgateway.service.intake import SUBMISSION
from cbgateway.signing.keys import SigningKey
from cbgateway.storage.sqlite import SqliteStore
from tests.campaigns.kill import LETTERS
from tests.integration.brokers import Mosquitto, Served

pytestmark = pytest.mark.integration

TOPICS = Topics(Mode.TEST, "lab")
ASK_AGAIN_S = 1.0
PATIENCE_S = 60.0
PEOPLE = {
    "alice": ("--submit",),
    "mallory": ("--submit",),
    "bob": ("--approve",),
}


class Place:
    """A broker and a gateway."""

    def __init__(self, folder: Path) -> None:
        self.broker = Mosquitto(folder / "broker")
        self.gateway = Served(folder / "lab")
        self.broker.prepare()
        self.broker.start()
        self.gateway.init(self.broker.port, people=PEOPLE)

    def key(self, name: str) -> SigningKey:
        """Read somebody's key."""
        return SigningKey.load(self.gateway.home / "keys" / "people" / f"{name}.pem")

    def bulletins(self) -> list[str]:
        """List what the gateway has, by its senders' names."""
        store = SqliteStore.open(self.gateway.home / "cbgateway.db")
        with store.read() as tx:
            found = [record.bulletin.identifier for record in tx.bulletins()]
        store.close()
        return found


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """Give a broker and a gateway, both killed at the end."""
    assert shutil.which("mosquitto"), "no mosquitto; run `make peers`"
    one = Place(tmp_path)
    yield one
    if one.gateway.process is not None:
        one.gateway.kill()
    one.broker.kill()


def document(name: str) -> dict[str, Any]:
    """Give a bulletin that opens an outage of its own."""
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
        "texts": {"ko": f"[과기정통부] KT 통신 장애 {name}".translate(LETTERS)},
        "next_update": "PT30M",
    }


def command(
    place: Place, name: str, command_id: str, *, by: str = "alice", **changes: Any
) -> bytes:
    """Sign a command that says itself where its receipt goes."""
    envelope: dict[str, Any] = {
        "content": SUBMISSION,
        "command_id": command_id,
        "topic": TOPICS.command("alice", SUBMIT),
        "expires": datetime.now(UTC) + timedelta(minutes=2),
        "reply_to": f"{TOPICS.prefix}/reply/alice/{name}",
    }
    return write_command(document(name), place.key(by), **envelope | changes)


@asynccontextmanager
async def connected(place: Place, user: str = "alice") -> AsyncIterator[aiomqtt.Client]:
    """Connect as a user."""
    async with aiomqtt.Client(
        "127.0.0.1",
        place.broker.port,
        username=user,
        password=f"{user}-secret",
        protocol=aiomqtt.ProtocolVersion.V5,
        timeout=ASK_AGAIN_S * 2,
    ) as client:
        yield client


async def is_online(place: Place) -> None:
    """Return once the gateway says that it is there."""
    async with connected(place) as client:
        await client.subscribe(TOPICS.state("gateway"), qos=1)
        async for message in client.messages:
            if json.loads(message.payload)["is_online"]:
                return


async def publish_until_told(place: Place, names: list[str]) -> dict[str, dict[str, Any]]:
    """Publish each command, and again while no receipt comes, through whatever happens."""
    told: dict[str, dict[str, Any]] = {}
    rounds = 0
    async with asyncio.timeout(PATIENCE_S):
        while len(told) < len(names):
            rounds += 1
            try:
                async with connected(place) as client:
                    await client.subscribe(f"{TOPICS.prefix}/reply/alice/#", qos=1)
                    for name in names:
                        if name not in told:
                            payload = command(place, name, f"{name}.{rounds}")
                            await client.publish(TOPICS.command("alice", SUBMIT), payload, qos=1)
                    async with asyncio.timeout(ASK_AGAIN_S):
                        async for message in client.messages:
                            name = message.topic.value.rpartition("/")[2]
                            told[name] = json.loads(message.payload)
                            if len(told) == len(names):
                                break
            except (aiomqtt.MqttError, TimeoutError):
                continue
    return told


def test_publisher_of_mqtt_311_gets_its_receipt(place: Place) -> None:
    """mosquitto_pub and mosquitto_sub of version 3.1.1, with the signed body alone."""
    place.gateway.serve()
    asyncio.run(is_online(place))
    port = str(place.broker.port)
    login = ("-p", port, "-V", "311", "-u", "alice", "-P", "alice-secret")
    reply = f"{TOPICS.prefix}/reply/alice/a-1"
    listening = subprocess.Popen(
        ["mosquitto_sub", *login, "-t", reply, "-q", "1", "-C", "1", "-W", "20"],
        stdout=subprocess.PIPE,
        text=True,
    )
    payload = command(place, "a-1", "c-1")
    for _ in range(5):  # the subscription may not be there yet; the same again changes nothing
        subprocess.run(
            ["mosquitto_pub", *login, "-t", TOPICS.command("alice", SUBMIT), "-q", "1", "-s"],
            input=payload,
            check=True,
        )
        try:
            told, _ = listening.communicate(timeout=2)
        except subprocess.TimeoutExpired:
            continue
        break

    assert json.loads(told)["status"] == "accepted"
    assert place.bulletins() == ["a-1"]


def test_what_a_publisher_of_mqtt_311_has_signed_counts(place: Place) -> None:
    """Without properties: id, end and receipt's address are those of the signed body alone."""
    place.gateway.serve()
    asyncio.run(is_online(place))
    login = ("-p", str(place.broker.port), "-V", "311", "-u", "alice", "-P", "alice-secret")
    session = ("-i", "receipts", "-c", "-q", "1", "-t", f"{TOPICS.prefix}/reply/alice/#")
    subprocess.run(["mosquitto_sub", *login, *session, "-E"], check=True)  # the broker keeps it
    first = command(place, "a-1", "c-1")
    over = command(place, "a-3", "c-3", expires=datetime.now(UTC))
    elsewhere = command(place, "a-4", "c-4", reply_to=TOPICS.state("gateway"))
    published = (first, first, command(place, "a-2", "c-1"), over, elsewhere)
    for payload in published:
        topic = ("-t", TOPICS.command("alice", SUBMIT), "-q", "1", "-s")
        subprocess.run(["mosquitto_pub", *login, *topic], input=payload, check=True)
    heard = subprocess.run(
        ["mosquitto_sub", *login, *session, "-C", "4", "-W", "20"],
        capture_output=True,
        text=True,
        check=True,
    )
    told = [json.loads(line) for line in heard.stdout.splitlines()]
    problems = [one["problem"]["type"].rpartition(":")[2] for one in told[2:]]

    assert told[0] == told[1]
    assert (told[0]["id"], told[0]["bulletin"]) == ("c-1", "a-1/1")
    assert problems == ["command-refused", "expired"]
    assert place.bulletins() == ["a-1"]


def test_command_line_publishes_and_watches(place: Place) -> None:
    """`mqtt publish` waits for the receipt; `mqtt tail` shows the retained state."""
    place.gateway.serve()
    asyncio.run(is_online(place))
    home = place.gateway.home
    text = (home / "cbgateway.toml").read_text("utf-8")
    (home / "cbgateway.toml").write_text(
        text.replace('username = "gateway"', 'username = "alice"'), "utf-8"
    )
    (home / "secrets" / "mqtt").write_text("alice-secret\n", "utf-8")
    file = home.parent / "first.json"
    file.write_text(json.dumps(document("a-1")), "utf-8")
    key = home / "keys" / "people" / "alice.pem"

    told = place.gateway.run(
        *("mqtt", "publish", file, "--as", "alice", "--key", key, "--home", home, "--json")
    )
    line = place.gateway.run("mqtt", "tail", "state/gateway", "--count", "1", "--home", home)

    assert json.loads(told)["bulletin"] == "a-1/1"
    assert json.loads(line)["payload"]["is_online"]


def test_nobody_asks_in_another_name(place: Place) -> None:
    """The broker's rules keep mallory's command away; a signature would not help either."""
    place.gateway.serve()
    asyncio.run(is_online(place))

    async def work() -> None:
        async with connected(place, "mallory") as other, connected(place) as client:
            await client.subscribe(f"{TOPICS.prefix}/reply/alice/#", qos=1)
            payload = command(place, "m-1", "c-1")
            await other.publish(TOPICS.command("alice", SUBMIT), payload, qos=1)
            await client.publish(
                TOPICS.command("alice", SUBMIT), command(place, "a-1", "c-2"), qos=1
            )
            async with asyncio.timeout(PATIENCE_S):
                message = await anext(client.messages)
            assert message.topic.value.endswith("/a-1")

    asyncio.run(work())
    assert place.bulletins() == ["a-1"]


@pytest.mark.parametrize(
    ("failpoint", "number"),
    [(name, 0) for name in INTAKE_FAILPOINTS if name.startswith("mqtt")] + [("mqtt.committed", 3)],
)
def test_killed_gateway_takes_each_command_once(place: Place, failpoint: str, number: int) -> None:
    """Whatever step it stops after, each command has one bulletin and one receipt."""
    names = [f"k-{at}" for at in range(8)]
    place.gateway.serve(CBGATEWAY_FAILPOINTS=f"{failpoint}:{number}")

    async def work() -> dict[str, Any]:
        await is_online(place)
        asking = asyncio.create_task(publish_until_told(place, names))
        await asyncio.to_thread(place.gateway.process.wait, PATIENCE_S)
        place.gateway.serve()
        return await asking

    told = asyncio.run(work())

    assert sorted(names) == sorted(place.bulletins())
    assert {one["status"] for one in told.values()} == {"accepted"}


def test_gateway_killed_at_random_loses_nothing(place: Place) -> None:
    """Three times while commands come."""
    names = [f"r-{at}" for at in range(200)]
    place.gateway.serve()

    async def work() -> dict[str, Any]:
        await is_online(place)
        asking = asyncio.create_task(publish_until_told(place, names))
        for _ in range(3):
            await is_online(place)
            await asyncio.wait([asking], timeout=0.1)
            place.gateway.kill()
            place.gateway.serve()
        return await asking

    told = asyncio.run(work())

    assert sorted(names) == sorted(place.bulletins())
    assert {one["status"] for one in told.values()} == {"accepted"}


def test_killed_broker_loses_nothing_that_has_a_receipt(place: Place) -> None:
    """Three times while commands come: each is there exactly once in the end."""
    names = [f"b-{at}" for at in range(200)]
    place.gateway.serve()

    async def work() -> dict[str, Any]:
        await is_online(place)
        asking = asyncio.create_task(publish_until_told(place, names))
        for _ in range(3):
            await is_online(place)
            await asyncio.wait([asking], timeout=0.1)
            place.broker.kill()
            await asyncio.to_thread(place.broker.start)
        return await asking

    told = asyncio.run(work())

    assert sorted(names) == sorted(place.bulletins())
    assert {one["status"] for one in told.values()} == {"accepted"}


def test_command_waits_at_the_broker_for_the_gateway(place: Place) -> None:
    """What was published while the gateway was away is carried out when it is back."""
    place.gateway.serve()
    asyncio.run(is_online(place))
    assert place.gateway.stop() == 0

    async def work() -> dict[str, Any]:
        async with connected(place) as client:
            await client.subscribe(f"{TOPICS.prefix}/reply/alice/#", qos=1)
            payload = command(place, "w-1", "c-1")
            await client.publish(TOPICS.command("alice", SUBMIT), payload, qos=1)
            place.gateway.serve()
            async with asyncio.timeout(PATIENCE_S):
                message = await anext(client.messages)
            told: dict[str, Any] = json.loads(message.payload)
            return told

    assert asyncio.run(work())["status"] == "accepted"
    assert place.bulletins() == ["w-1"]


def test_kills_around_mqtt() -> None:
    """The campaign itself, cut short: gateway and broker die, whoever has a receipt is there."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.campaigns.kill_mqtt", "--kills", "3", "--fork"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    report = json.loads(done.stdout)

    assert done.returncode == 0, report["problems"]
    assert (report["kills"] >= 3, report["lost"]) == (True, 0)
    assert report["accepted"] > 0
