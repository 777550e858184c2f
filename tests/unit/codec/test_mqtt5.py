"""MQTT 5: every packet there and back, octets worked by hand, and everything else refused."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties as PahoProperties

from cbgateway.codec import mqtt5_fields
from cbgateway.codec.mqtt5 import (
    Ack,
    ConnAck,
    Connect,
    Ending,
    Framer,
    Ping,
    Publish,
    Subscribe,
    Subscription,
    SubscriptionAck,
    Type,
    Unsubscribe,
    Will,
    decode,
    encode,
)
from cbgateway.codec.mqtt5_fields import (
    ALLOWED,
    BINARY,
    INTEGER_OCTETS,
    NOT_ZERO,
    Property,
    encode_properties,
    encode_variable,
    is_filter,
    is_topic,
    matches,
    value_of,
)
from cbgateway.domain.errors import DecodeError, EncodeError

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
TOPIC = TEXT.filter(is_topic)
IDS = st.integers(1, 65_535)
OCTET = st.integers(0, 255)


def value(name: Property) -> st.SearchStrategy[Any]:
    """Give values that a property may have."""
    least = 1 if name in NOT_ZERO else 0
    if name is Property.SUBSCRIPTION_IDENTIFIER:
        return st.integers(least, mqtt5_fields.VARIABLE_MAX)
    if name in INTEGER_OCTETS:
        octets = INTEGER_OCTETS[name]
        return st.integers(least, 1 if octets == 1 else (1 << 8 * octets) - 1)
    if name in BINARY:
        return st.binary(max_size=20)
    if name is Property.USER_PROPERTY:
        return st.tuples(TEXT, TEXT)
    return TOPIC if name is Property.RESPONSE_TOPIC else TEXT


def properties(packet: str) -> st.SearchStrategy[Any]:
    """Give properties that a packet may have."""
    one = st.sampled_from(sorted(ALLOWED[packet])).flatmap(
        lambda name: st.tuples(st.just(name), value(name))
    )
    return st.lists(one, max_size=5, unique_by=lambda pair: pair[0]).map(tuple)


SUBSCRIPTION = st.builds(
    Subscription,
    topic_filter=st.sampled_from(["#", "a/#", "+/b", "a", "/", "a/+/c"]),
    qos=st.integers(0, 2),
    no_local=st.booleans(),
    retain_as_published=st.booleans(),
    retain_handling=st.integers(0, 2),
)
WILL = st.builds(
    Will, TOPIC, st.binary(max_size=30), st.integers(0, 2), st.booleans(), properties("WILL")
)
ENDINGS = st.one_of(
    st.builds(Ending, st.just(Type.DISCONNECT), OCTET, properties("DISCONNECT")),
    st.builds(Ending, st.just(Type.AUTH), OCTET, properties("AUTH")),
)
PACKETS = st.one_of(
    st.builds(
        Connect,
        client_id=TEXT,
        clean_start=st.booleans(),
        keep_alive_s=st.integers(0, 65_535),
        username=st.none() | TEXT,
        password=st.none() | st.binary(max_size=20),
        will=st.none() | WILL,
        properties=properties("CONNECT"),
    ),
    st.builds(ConnAck, st.booleans(), OCTET, properties("CONNACK")),
    st.builds(
        Publish,
        topic=TOPIC,
        payload=st.binary(max_size=50),
        qos=st.just(0),
        retain=st.booleans(),
        properties=properties("PUBLISH"),
    ),
    st.builds(
        Publish,
        topic=TOPIC,
        payload=st.binary(max_size=50),
        qos=st.integers(1, 2),
        retain=st.booleans(),
        dup=st.booleans(),
        packet_id=IDS,
        properties=properties("PUBLISH"),
    ),
    st.builds(
        Ack,
        st.sampled_from([Type.PUBACK, Type.PUBREC, Type.PUBREL, Type.PUBCOMP]),
        IDS,
        OCTET,
        properties("ACK"),
    ),
    st.builds(
        Subscribe,
        IDS,
        st.lists(SUBSCRIPTION, min_size=1, max_size=3).map(tuple),
        properties("SUBSCRIBE"),
    ),
    st.builds(
        Unsubscribe,
        IDS,
        st.lists(st.sampled_from(["#", "a/+"]), min_size=1, max_size=3).map(tuple),
        properties("UNSUBSCRIBE"),
    ),
    st.builds(
        SubscriptionAck,
        st.sampled_from([Type.SUBACK, Type.UNSUBACK]),
        IDS,
        st.lists(OCTET, min_size=1, max_size=3).map(tuple),
        properties("ACK"),
    ),
    st.sampled_from([Ping(Type.PINGREQ), Ping(Type.PINGRESP)]),
    ENDINGS,
)


@given(packet=PACKETS)
def test_packets_come_back(packet: Any) -> None:
    """What is written is read as it was."""
    assert packet == decode(encode(packet))


@given(packets=st.lists(PACKETS, max_size=4), cuts=st.data())
def test_pieces_make_no_difference(packets: list[Any], cuts: Any) -> None:
    """A stream may come in any pieces."""
    stream = b"".join(map(encode, packets))
    framer, found, at = Framer(), [], 0
    while at < len(stream):
        size = cuts.draw(st.integers(1, len(stream) - at))
        found += framer.receive(stream[at : at + size])
        at += size

    assert packets == found


@given(octets=st.binary(max_size=60))
def test_any_octets_are_read_or_refused(octets: bytes) -> None:
    """A packet, or the one error."""
    try:
        decode(octets)
    except DecodeError as error:
        assert error.framing_lost


@pytest.mark.parametrize(
    ("octets", "packet"),
    [
        ("10 0d 0004 4d515454 05 02 003c 00 0000", Connect("", keep_alive_s=60)),
        ("20 03 00 00 00", ConnAck(session_present=False, reason=0)),
        ("30 06 0003 612f62 00", Publish("a/b", b"")),
        ("3d 0a 0003 612f62 000a 00 6869", Publish("a/b", b"hi", 2, True, True, 10)),
        ("40 02 0001", Ack(Type.PUBACK, 1)),
        ("40 03 0001 10", Ack(Type.PUBACK, 1, 0x10)),
        ("62 02 0001", Ack(Type.PUBREL, 1)),
        ("82 09 000a 00 0003 612f62 01", Subscribe(10, (Subscription("a/b", 1),))),
        ("90 04 000a 00 01", SubscriptionAck(Type.SUBACK, 10, (1,))),
        ("a2 08 000a 00 0003 612f62", Unsubscribe(10, ("a/b",))),
        ("c0 00", Ping(Type.PINGREQ)),
        ("e0 00", Ending(Type.DISCONNECT)),
        ("e0 01 04", Ending(Type.DISCONNECT, 4)),
        (
            "30 0b 0001 61 05 02 0000000a 6869",
            Publish("a", b"hi", properties=((Property.MESSAGE_EXPIRY_INTERVAL, 10),)),
        ),
    ],
)
def test_octets_worked_by_hand(octets: str, packet: Any) -> None:
    """From the figures of the specification."""
    assert packet == decode(bytes.fromhex(octets))


def test_properties_are_those_of_another_implementation() -> None:
    """The octets are those that paho-mqtt writes."""
    theirs = PahoProperties(PacketTypes.PUBLISH)
    theirs.MessageExpiryInterval = 60
    theirs.ResponseTopic = "a/b"
    theirs.CorrelationData = b"\1\2"
    theirs.UserProperty = ("key", "값")
    ours = (
        (Property.MESSAGE_EXPIRY_INTERVAL, 60),
        (Property.RESPONSE_TOPIC, "a/b"),
        (Property.CORRELATION_DATA, b"\1\2"),
        (Property.USER_PROPERTY, ("key", "값")),
    )

    assert theirs.pack() == encode_properties(ours)
    assert value_of(ours, Property.RESPONSE_TOPIC) == "a/b"
    assert value_of(ours, Property.CONTENT_TYPE) is None


@pytest.mark.parametrize(
    ("octets", "words"),
    [
        ("", "fixed header"),
        ("00 00", "no such type"),
        ("c1 00", "flags"),
        ("80 00", "flags"),
        ("c0 01 00", "more follows"),
        ("c0 01", "not what follows"),
        ("c0 8000", "shortest"),
        ("c0 ffffffff01", "does not end"),
        ("36 06 0001 61 0001 00", "flags"),
        ("38 04 0001 61 00", "flags"),
        ("10 0d 0004 4d515454 04 02 003c 00 0000", "not MQTT 5"),
        ("10 0d 0004 4d515458 05 02 003c 00 0000", "not MQTT 5"),
        ("10 0d 0004 4d515454 05 03 003c 00 0000", "flags"),
        ("10 0d 0004 4d515454 05 1c 003c 00 0000", "flags"),
        ("10 0d 0004 4d515454 05 20 003c 00 0000", "flags"),
        ("10 0e 0004 4d515454 05 02 003c 01 01 0000", "not for CONNECT"),
        ("20 03 02 00 00", "flags"),
        ("30 04 0001 23 00", "no topic"),
        ("30 04 0001 00 00", "NUL"),
        ("30 04 0001 ff 00", "UTF-8"),
        ("30 05 0001 61 05 00", "octets are said"),
        ("30 06 0001 61 02 01 02", "property"),
        ("30 08 0001 61 04 01 00 01 00", "twice"),
        ("30 04 0001 61 05", "octets are said"),
        ("30 07 0001 61 03 23 0000", "TOPIC_ALIAS 0"),
        ("30 06 0001 61 01 01 00", "inside a value"),
        ("32 06 0001 61 0000 00", "zero"),
        ("40 01 00", "octets are said"),
        ("82 03 000a 00", "no filter"),
        ("82 07 000a 00 0001 61 03", "options"),
        ("82 07 000a 00 0001 61 40", "options"),
        ("82 07 000a 00 0001 61 30", "options"),
        ("82 08 000a 00 0002 6123 00", "no filter that is known"),
        ("90 03 000a 00", "no reason"),
        ("a2 03 000a 00", "no filter"),
    ],
)
def test_broken_packets_are_refused(octets: str, words: str) -> None:
    """With the place; there is no way to go on."""
    with pytest.raises(DecodeError, match=words) as raised:
        decode(bytes.fromhex(octets))

    assert raised.value.framing_lost


def test_framer_does_not_wait_for_what_is_too_long() -> None:
    """Nor for a length without end."""
    with pytest.raises(DecodeError, match="at most 100"):
        list(Framer(octets_max=100).receive(b"\x30\xff\x7f"))
    with pytest.raises(DecodeError, match="does not end"):
        list(Framer().receive(b"\x30\xff\xff\xff\xff\xff"))
    assert list(Framer().receive(b"\x30\xff\xff")) == []


@pytest.mark.parametrize(
    "packet",
    [
        Publish("a/#", b""),
        Publish("a" * 65_536, b""),
        Publish("\ud800", b""),
        Publish("a", b"", qos=3),
        Publish("a", b"", qos=1, packet_id=70_000),
        Publish("a", b"", qos=1),
        Publish("a", b"", properties=((Property.MESSAGE_EXPIRY_INTERVAL, 1 << 32),)),
        Publish("a", b"", properties=((Property.CONTENT_TYPE, b"x"),)),
        Publish("a", b"", properties=((Property.CORRELATION_DATA, "x"),)),
        Publish("a", b"", properties=((Property.SUBSCRIPTION_IDENTIFIER, 1 << 28),)),
        Publish("a", b"", properties=((Property.RECEIVE_MAXIMUM, 1),)),
        Connect("a", password=b"x" * 65_536),
        Ack(Type.PUBACK, 1, 256),
        Subscribe(1, ()),
    ],
    ids=lambda one: type(one).__name__,
)
def test_what_would_be_refused_is_not_written(packet: Any) -> None:
    """By the error that is our own fault."""
    with pytest.raises(EncodeError):
        encode(packet)


@pytest.mark.parametrize(
    ("topic_filter", "topic", "expected"),
    [
        ("a/b", "a/b", True),
        ("a/b", "a/c", False),
        ("a/+", "a/b", True),
        ("a/+", "a/b/c", False),
        ("a/+", "a", False),
        ("a/#", "a", True),
        ("a/#", "a/b/c", True),
        ("#", "a/b", True),
        ("#", "$SYS/a", False),
        ("+/a", "$SYS/a", False),
        ("$SYS/#", "$SYS/a", True),
        ("+/+", "/a", True),
        ("a", "a/b", False),
    ],
)
def test_filters_mean_topics(topic_filter: str, topic: str, expected: bool) -> None:
    """As 4.7 has it."""
    assert expected == matches(topic_filter, topic)


@pytest.mark.parametrize("text", ["", "a#", "a/#/b", "+a", "$share/g/a", "/".join("a" * 40)])
def test_other_filters_are_not_known(text: str) -> None:
    """Misplaced wildcards, shared subscriptions, and levels without end."""
    assert not is_filter(text)


def test_large_integers() -> None:
    """At the limit and beyond."""
    assert encode_variable(mqtt5_fields.VARIABLE_MAX) == b"\xff\xff\xff\x7f"
    with pytest.raises(EncodeError):
        encode_variable(mqtt5_fields.VARIABLE_MAX + 1)
