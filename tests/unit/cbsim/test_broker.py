"""The simulated broker: sessions, retained messages, wills, and what it refuses."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from cbgateway.codec import mqtt5
from cbgateway.codec.mqtt5 import (
    Ack,
    ConnAck,
    Connect,
    Ending,
    Packet,
    Ping,
    Publish,
    Subscribe,
    Subscription,
    SubscriptionAck,
    Type,
    Unsubscribe,
    Will,
)
from cbgateway.codec.mqtt5_fields import Property, value_of
from cbsim import broker as broker_module
from cbsim.broker import Broker, BrokerLink

P = Property


@dataclass
class World:
    """A broker, and a clock that shows what it is told."""

    at_s: float = 0.0
    woken: list[BrokerLink] = field(default_factory=list)
    broker: Broker = field(init=False)

    def __post_init__(self) -> None:
        """Make the broker."""
        self.broker = Broker(now_s=lambda: self.at_s, on_wake=self.woken.append)

    def client(self, name: str = "c", **options: Any) -> "Client":
        """Connect somebody."""
        one = Client(BrokerLink(self.broker))
        options = {"properties": ((P.SESSION_EXPIRY_INTERVAL, 60),)} | options
        one.send(Connect(name, **options))
        return one


@dataclass
class Client:
    """A client at the other end of a link."""

    link: BrokerLink
    framer: mqtt5.Framer = field(default_factory=mqtt5.Framer)

    def send(self, packet: Packet) -> None:
        """Hand a packet over."""
        self.link.receive(mqtt5.encode(packet))

    def heard(self) -> list[Packet]:
        """Give what has come since the last look."""
        return list(self.framer.receive(self.link.outgoing()))

    def messages(self) -> list[Publish]:
        """Give the messages among it."""
        return [one for one in self.heard() if isinstance(one, Publish)]

    def subscribe(self, topic_filter: str, qos: int = 1, **options: Any) -> list[Packet]:
        """Subscribe, and give what comes of it."""
        self.heard()
        self.send(Subscribe(9, (Subscription(topic_filter, qos, **options),)))
        return self.heard()


@pytest.fixture
def world() -> World:
    """Give an empty broker."""
    return World()


def test_connecting_says_what_the_broker_can(world: World) -> None:
    """QoS 1 at most; a client without a name gets one."""
    (answer,) = world.client("").heard()

    assert isinstance(answer, ConnAck)
    assert answer.reason == 0
    assert value_of(answer.properties, P.MAXIMUM_QOS) == 1
    assert value_of(answer.properties, P.ASSIGNED_CLIENT_IDENTIFIER) == "cbsim-1"


def test_message_reaches_subscribers_once(world: World) -> None:
    """At the lower of both QoS, whatever number of filters fit; the publisher learns it."""
    hearer, other, sender = world.client("h"), world.client("o"), world.client("s")
    hearer.subscribe("a/#")
    hearer.subscribe("a/+", qos=0)
    other.subscribe("b")
    sender.heard()
    sender.send(Publish("a/b", b"x", qos=1, packet_id=7))

    (message,) = hearer.messages()
    assert (message.topic, message.payload, message.qos) == ("a/b", b"x", 1)
    assert other.messages() == []
    assert sender.heard() == [Ack(Type.PUBACK, 7, 0)]
    sender.send(Publish("nobody", b"x", qos=1, packet_id=8))
    assert sender.heard() == [Ack(Type.PUBACK, 8, broker_module.NO_MATCHING_SUBSCRIBERS)]
    assert hearer.link in world.woken


def test_own_messages_can_be_left_out(world: World) -> None:
    """When the subscription says so."""
    one = world.client("c")
    one.subscribe("a", no_local=True)
    one.send(Publish("a", b"x"))

    assert one.messages() == []


def test_retained_messages_are_kept_until_they_are_taken_away(world: World) -> None:
    """They come with the subscription, as it asks; an empty one takes them away."""
    sender = world.client("s")
    sender.send(Publish("a", b"1", retain=True))
    sender.send(Publish("a", b"2", retain=True))
    hearer = world.client("h")
    answer, message = hearer.subscribe("a")

    assert answer == SubscriptionAck(Type.SUBACK, 9, (1,))
    assert isinstance(message, Publish)
    assert (message.payload, message.retain) == (b"2", True)
    assert len(hearer.subscribe("a", retain_handling=1)) == 1
    assert len(hearer.subscribe("a", retain_handling=2)) == 1
    sender.send(Publish("a", b"3", retain=True))
    assert [one.retain for one in hearer.messages()] == [False]
    hearer.subscribe("a", retain_as_published=True, retain_handling=2)
    sender.send(Publish("a", b"", retain=True))
    assert [one.retain for one in hearer.messages()] == [True]
    assert len(world.client("late").subscribe("a")) == 1


def test_session_goes_on_where_it_was(world: World) -> None:
    """What came meanwhile, and what was not acknowledged, comes again; QoS 0 does not wait."""
    sender, hearer = world.client("s"), world.client("h", clean_start=False)
    hearer.subscribe("a")
    sender.send(Publish("a", b"1", qos=1, packet_id=1))
    assert [one.payload for one in hearer.messages()] == [b"1"]
    hearer.link.lost()
    sender.send(Publish("a", b"2", qos=1, packet_id=2))
    sender.send(Publish("a", b"3"))
    again = world.client("h", clean_start=False)
    heard = again.heard()

    assert isinstance(heard[0], ConnAck)
    assert heard[0].session_present
    messages = [one for one in heard if isinstance(one, Publish)]
    assert [one.payload for one in messages] == [b"1", b"2"]
    for one in messages:
        again.send(Ack(Type.PUBACK, one.packet_id))
    again.link.lost()
    assert world.client("h", clean_start=False).messages() == []


def test_session_ends_in_time(world: World) -> None:
    """Or at once, with a clean start; the one that lasts for ever does not."""
    forever = ((P.SESSION_EXPIRY_INTERVAL, broker_module.FOREVER_S),)
    for name, properties in (("short", ((P.SESSION_EXPIRY_INTERVAL, 60),)), ("ever", forever)):
        one = world.client(name, properties=properties)
        one.link.lost()
    world.at_s = 61
    short, ever = world.client("short", clean_start=False), world.client("ever", clean_start=False)
    clean = world.client("ever")

    assert [client.heard()[0].session_present for client in (short, ever)] == [False, True]  # type: ignore[union-attr]
    assert not clean.heard()[0].session_present  # type: ignore[union-attr]


def test_client_that_comes_twice_takes_over(world: World) -> None:
    """The first one is told."""
    first = world.client("c")
    first.heard()
    world.client("c")

    assert first.heard() == [Ending(Type.DISCONNECT, broker_module.SESSION_TAKEN_OVER)]
    assert first.link.is_closed


def test_will_is_published_when_a_client_goes_without_a_word(world: World) -> None:
    """Not when it says farewell, save when it asks for it."""
    hearer = world.client("h")
    hearer.subscribe("w")
    will = Will("w", b"gone", properties=((P.WILL_DELAY_INTERVAL, 5),))
    for name, ending in (("a", None), ("b", 0), ("c", broker_module.DISCONNECT_WITH_WILL)):
        one = world.client(name, will=will)
        if ending is not None:
            one.send(Ending(Type.DISCONNECT, ending, ((P.SESSION_EXPIRY_INTERVAL, 0),)))
            assert one.link.is_closed
        one.link.lost()

    assert [one.payload for one in hearer.messages()] == [b"gone", b"gone"]
    refused = world.client("d", will=Will("w", b"", qos=2))
    assert refused.heard() == [ConnAck(False, broker_module.QOS_NOT_SUPPORTED)]


def test_messages_expire(world: World) -> None:
    """And say how long they still have."""
    hearer = world.client("h", clean_start=False)
    hearer.subscribe("a")
    hearer.link.lost()
    sender = world.client("s")
    for number, seconds in enumerate((5, 30), start=1):
        properties = ((P.MESSAGE_EXPIRY_INTERVAL, seconds),)
        sender.send(Publish("a", b"", qos=1, packet_id=number, properties=properties))
    world.at_s = 10
    (message,) = world.client("h", clean_start=False).messages()

    assert value_of(message.properties, P.MESSAGE_EXPIRY_INTERVAL) == 20


def test_client_gets_no_more_at_once_than_it_takes(world: World) -> None:
    """The next follows the acknowledgement; numbers in use are left out."""
    hearer = world.client("h", properties=((P.RECEIVE_MAXIMUM, 2),))
    hearer.subscribe("a")
    sender = world.client("s")
    for number in range(1, 5):
        sender.send(Publish("a", bytes([number]), qos=1, packet_id=number))
    first, second = hearer.messages()
    assert hearer.link._session is not None
    hearer.link._session.next_id = second.packet_id
    hearer.send(Ack(Type.PUBACK, first.packet_id))
    (third,) = hearer.messages()

    assert [one.payload for one in (first, second, third)] == [b"\1", b"\2", b"\3"]
    assert third.packet_id not in {first.packet_id, second.packet_id}


def test_bounds(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what waits, of what is retained, and of subscriptions."""
    for name in ("QUEUED_MAX", "RETAINED_MAX", "SUBSCRIPTIONS_MAX"):
        monkeypatch.setattr(broker_module, name, 2)
    hearer = world.client("h", clean_start=False)
    for topic in ("a", "b"):
        hearer.subscribe(topic)
    assert hearer.subscribe("c") == [
        SubscriptionAck(Type.SUBACK, 9, (broker_module.QUOTA_EXCEEDED,))
    ]
    hearer.link.lost()
    sender = world.client("s")
    for number in range(1, 5):
        sender.send(Publish("a", b"x", qos=1, retain=True, packet_id=number))
        sender.send(Publish(f"r/{number}", b"x", retain=True))

    assert len(world.client("h", clean_start=False).messages()) == 2
    assert len(world.client("l").subscribe("#")) == 3


def test_unsubscribing(world: World) -> None:
    """Nothing comes any more; what was not there is said."""
    one = world.client("c")
    one.subscribe("a")
    one.send(Unsubscribe(3, ("a", "b")))

    reasons = (0, broker_module.NO_SUBSCRIPTION_EXISTED)
    assert one.heard() == [SubscriptionAck(Type.UNSUBACK, 3, reasons)]
    one.send(Publish("a", b""))
    assert one.messages() == []


def test_pings_and_silence(world: World) -> None:
    """A client that is silent for longer than it said has gone."""
    one = world.client("c", keep_alive_s=10)
    one.heard()
    world.at_s = 14
    one.send(Ping(Type.PINGREQ))
    world.at_s = 28
    one.link.tick()
    assert one.heard() == [Ping(Type.PINGRESP)]
    world.at_s = 30
    one.link.tick()

    assert one.heard() == [Ending(Type.DISCONNECT, broker_module.KEEP_ALIVE_TIMEOUT)]


@pytest.mark.parametrize(
    ("packet", "reason"),
    [
        (Connect("c"), broker_module.PROTOCOL_ERROR),
        (Publish("a", b"", qos=2, packet_id=1), broker_module.QOS_NOT_SUPPORTED),
        (Publish("", b""), broker_module.TOPIC_ALIAS_INVALID),
        (
            Publish("a", b"", properties=((P.TOPIC_ALIAS, 1),)),
            broker_module.TOPIC_ALIAS_INVALID,
        ),
        (Ending(Type.AUTH), broker_module.PROTOCOL_ERROR),
        (Ack(Type.PUBREL, 1), broker_module.PROTOCOL_ERROR),
    ],
    ids=str,
)
def test_what_it_does_not_do_ends_the_connection(world: World, packet: Packet, reason: int) -> None:
    """With the reason; what follows is not read."""
    one = world.client("c")
    one.heard()
    one.link.receive(mqtt5.encode(packet) + mqtt5.encode(Ping(Type.PINGREQ)))

    assert one.heard() == [Ending(Type.DISCONNECT, reason)]
    assert one.link.is_closed


def test_nothing_comes_before_connect(world: World) -> None:
    """And broken octets end it as well."""
    early, broken = Client(BrokerLink(world.broker)), world.client("c")
    early.send(Ping(Type.PINGREQ))
    broken.heard()
    broken.link.receive(b"\0\0")

    assert early.link.is_closed
    assert early.heard() == []
    assert broken.heard() == [Ending(Type.DISCONNECT, broker_module.MALFORMED_PACKET)]
    broken.link.pump()
    assert broken.heard() == []
