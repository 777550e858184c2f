"""MQTT 5 packets: octets to values and back, total; no session, no socket.

Spec: MQTT Version 5.0, OASIS Standard.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import assert_never

from cbgateway.codec.mqtt5_fields import (
    Properties,
    Reader,
    encode_binary,
    encode_properties,
    encode_string,
    encode_variable,
    fault,
)
from cbgateway.domain.errors import DecodeError, EncodeError

PACKET_OCTETS_MAX = 1_048_576  # 1 MiB: four times the longest document that anybody reads here
LENGTH_OCTETS_MAX = 4  # of a variable byte integer (1.5.5)
QOS_MAX = 2
PROTOCOL_NAME = "MQTT"
PROTOCOL_VERSION = 5


class Type(IntEnum):
    """What a packet is (2.1.2)."""

    CONNECT = 1
    CONNACK = 2
    PUBLISH = 3
    PUBACK = 4
    PUBREC = 5
    PUBREL = 6
    PUBCOMP = 7
    SUBSCRIBE = 8
    SUBACK = 9
    UNSUBSCRIBE = 10
    UNSUBACK = 11
    PINGREQ = 12
    PINGRESP = 13
    DISCONNECT = 14
    AUTH = 15


FLAGS: Mapping[Type, int] = {Type.PUBREL: 2, Type.SUBSCRIBE: 2, Type.UNSUBSCRIBE: 2}
"""What the lower half of the first octet has to be; nothing elsewhere, save for PUBLISH (2.1.3)."""


@dataclass(frozen=True, slots=True)
class Will:
    """What the broker publishes when a client goes without a word (3.1.3)."""

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False
    properties: Properties = ()


@dataclass(frozen=True, slots=True)
class Connect:
    """A client begins (3.1)."""

    client_id: str
    clean_start: bool = True
    keep_alive_s: int = 0
    username: str | None = None
    password: bytes | None = None
    will: Will | None = None
    properties: Properties = ()


@dataclass(frozen=True, slots=True)
class ConnAck:
    """The broker's answer to it (3.2)."""

    session_present: bool
    reason: int
    properties: Properties = ()


@dataclass(frozen=True, slots=True)
class Publish:
    """A message (3.3).

    Attributes:
        packet_id: 0 with QoS 0, else what the answer names.
    """

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False
    dup: bool = False
    packet_id: int = 0
    properties: Properties = ()


@dataclass(frozen=True, slots=True)
class Ack:
    """PUBACK, PUBREC, PUBREL or PUBCOMP (3.4 to 3.7)."""

    type: Type
    packet_id: int
    reason: int = 0
    properties: Properties = ()


@dataclass(frozen=True, slots=True)
class Subscription:
    """What somebody wants to hear (3.8.3.1).

    Attributes:
        retain_handling: 0 sends what is retained, 1 only for a new subscription, 2 never.
    """

    topic_filter: str
    qos: int = 0
    no_local: bool = False
    retain_as_published: bool = False
    retain_handling: int = 0


@dataclass(frozen=True, slots=True)
class Subscribe:
    """A client wants to hear (3.8)."""

    packet_id: int
    subscriptions: tuple[Subscription, ...]
    properties: Properties = ()


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    """A client wants to hear no more (3.10)."""

    packet_id: int
    topic_filters: tuple[str, ...]
    properties: Properties = ()


@dataclass(frozen=True, slots=True)
class SubscriptionAck:
    """SUBACK or UNSUBACK: a reason for each filter (3.9, 3.11)."""

    type: Type
    packet_id: int
    reasons: tuple[int, ...]
    properties: Properties = ()


@dataclass(frozen=True, slots=True)
class Ping:
    """PINGREQ or PINGRESP (3.12, 3.13)."""

    type: Type


@dataclass(frozen=True, slots=True)
class Ending:
    """DISCONNECT or AUTH (3.14, 3.15)."""

    type: Type
    reason: int = 0
    properties: Properties = ()


Packet = (
    Connect | ConnAck | Publish | Ack | Subscribe | Unsubscribe | SubscriptionAck | Ping | Ending
)


class Framer:
    """Cuts a stream into packets; an error ends it, as the end of the packet is then unknown."""

    def __init__(self, *, octets_max: int = PACKET_OCTETS_MAX) -> None:
        """Begin a stream.

        Args:
            octets_max: of one packet; longer ones are not waited for.
        """
        self._octets_max = octets_max
        self._buffer = bytearray()

    def receive(self, octets: bytes) -> Iterator[Packet]:
        """Give the packets that end in these octets.

        Raises:
            DecodeError: the stream is no MQTT 5, or a packet is too long.
        """
        self._buffer += octets
        while (end := self._end()) is not None:
            packet = bytes(self._buffer[:end])
            del self._buffer[:end]
            yield decode(packet)

    def _end(self) -> int | None:
        """Give where the first packet ends; None while that is not known, or not there yet."""
        length, shift = 0, 0
        for at, octet in enumerate(self._buffer[1 : 1 + LENGTH_OCTETS_MAX], start=1):
            length |= (octet & 0x7F) << shift
            shift += 7
            if not octet & 0x80:
                end = at + 1 + length
                if end > self._octets_max:
                    raise fault(
                        f"{end} octets, at most {self._octets_max} are read", "length", 1, "2.1.4"
                    )
                return end if len(self._buffer) >= end else None
        if len(self._buffer) > LENGTH_OCTETS_MAX:
            raise fault("does not end", "length", 1, "1.5.5")
        return None


def decode(octets: bytes) -> Packet:
    """Read one whole packet.

    Raises:
        DecodeError: it breaks the specification.
    """
    reader = Reader(octets)
    first = reader.octet("fixed header")
    if not first >> 4:
        raise fault("no such type", "fixed header", 0, "2.1.2")
    kind, flags = Type(first >> 4), first & 0x0F
    if reader.variable("length") != reader.left:
        raise fault("is not what follows", "length", 1, "2.1.4")
    if kind is not Type.PUBLISH and flags != FLAGS.get(kind, 0):
        raise fault(f"flags {flags}", "fixed header", 0, "2.1.3")
    packet = _read_publish(reader, flags) if kind is Type.PUBLISH else READERS[kind](reader, kind)
    if reader.left:
        raise reader.fault("more follows", "packet", "2.1.4")
    return packet


def _read_connect(reader: Reader, _kind: Type) -> Packet:
    if (reader.string("protocol name"), reader.octet("version")) != (
        PROTOCOL_NAME,
        PROTOCOL_VERSION,
    ):
        raise reader.fault("not MQTT 5", "version", "3.1.2.2")
    flags = reader.octet("connect flags")
    has_will, will_qos, will_retain = bool(flags & 0x04), flags >> 3 & 3, bool(flags & 0x20)
    if flags & 1 or will_qos > QOS_MAX or (not has_will and (will_qos or will_retain)):
        raise reader.fault(f"flags {flags:#04x}", "connect flags", "3.1.2.3")
    keep_alive_s = reader.integer(2, "keep alive")
    properties = reader.properties("CONNECT")
    client_id = reader.string("client identifier")
    will = None
    if has_will:
        will_properties = reader.properties("WILL")
        topic = reader.topic("will topic")
        will = Will(topic, reader.binary("will payload"), will_qos, will_retain, will_properties)
    return Connect(
        client_id=client_id,
        clean_start=bool(flags & 0x02),
        keep_alive_s=keep_alive_s,
        username=reader.string("user name") if flags & 0x80 else None,
        password=reader.binary("password") if flags & 0x40 else None,
        will=will,
        properties=properties,
    )


def _read_connack(reader: Reader, _kind: Type) -> Packet:
    flags = reader.octet("acknowledge flags")
    if flags > 1:
        raise reader.fault(f"flags {flags:#04x}", "acknowledge flags", "3.2.2.1")
    return ConnAck(bool(flags), reader.octet("reason"), reader.properties("CONNACK"))


def _read_publish(reader: Reader, flags: int) -> Packet:
    qos, dup = flags >> 1 & 3, bool(flags & 8)
    if qos > QOS_MAX or (dup and not qos):
        raise fault(f"flags {flags}", "fixed header", 0, "3.3.1")
    topic = reader.topic("topic", may_be_empty=True)
    packet_id = reader.packet_id() if qos else 0
    properties = reader.properties("PUBLISH")
    return Publish(topic, reader.rest(), qos, bool(flags & 1), dup, packet_id, properties)


def _read_ack(reader: Reader, kind: Type) -> Packet:
    packet_id = reader.packet_id()
    reason = reader.octet("reason") if reader.left else 0
    return Ack(kind, packet_id, reason, reader.properties("ACK") if reader.left else ())


def _read_subscribe(reader: Reader, _kind: Type) -> Packet:
    packet_id = reader.packet_id()
    properties = reader.properties("SUBSCRIBE")
    found = []
    while reader.left:
        topic_filter = reader.filter()
        options = reader.octet("options")
        qos, handling = options & 3, options >> 4 & 3
        if options & 0xC0 or qos > QOS_MAX or handling > 2:  # noqa: PLR2004 - 3.8.3.1
            raise reader.fault(f"options {options:#04x}", "options", "3.8.3.1")
        no_local, as_published = bool(options & 4), bool(options & 8)
        found.append(Subscription(topic_filter, qos, no_local, as_published, handling))
    if not found:
        raise reader.fault("no filter", "payload", "3.8.3")
    return Subscribe(packet_id, tuple(found), properties)


def _read_unsubscribe(reader: Reader, _kind: Type) -> Packet:
    packet_id = reader.packet_id()
    properties = reader.properties("UNSUBSCRIBE")
    found = []
    while reader.left:
        found.append(reader.filter())
    if not found:
        raise reader.fault("no filter", "payload", "3.10.3")
    return Unsubscribe(packet_id, tuple(found), properties)


def _read_subscription_ack(reader: Reader, kind: Type) -> Packet:
    packet_id = reader.packet_id()
    properties = reader.properties("ACK")
    reasons = tuple(reader.rest())
    if not reasons:
        raise reader.fault("no reason", "payload", "3.9.3")
    return SubscriptionAck(kind, packet_id, reasons, properties)


def _read_ping(_reader: Reader, kind: Type) -> Packet:
    return Ping(kind)


def _read_ending(reader: Reader, kind: Type) -> Packet:
    reason = reader.octet("reason") if reader.left else 0
    return Ending(kind, reason, reader.properties(kind.name) if reader.left else ())


READERS: Mapping[Type, Callable[[Reader, Type], Packet]] = {
    Type.CONNECT: _read_connect,
    Type.CONNACK: _read_connack,
    Type.PUBACK: _read_ack,
    Type.PUBREC: _read_ack,
    Type.PUBREL: _read_ack,
    Type.PUBCOMP: _read_ack,
    Type.SUBSCRIBE: _read_subscribe,
    Type.SUBACK: _read_subscription_ack,
    Type.UNSUBSCRIBE: _read_unsubscribe,
    Type.UNSUBACK: _read_subscription_ack,
    Type.PINGREQ: _read_ping,
    Type.PINGRESP: _read_ping,
    Type.DISCONNECT: _read_ending,
    Type.AUTH: _read_ending,
}


def encode(packet: Packet) -> bytes:
    """Write one packet; what `decode` would refuse is not written.

    Raises:
        EncodeError: a field is longer than its length can say, or breaks the specification.
    """
    try:
        kind, flags, body = _body(packet)
        octets = bytes([kind << 4 | flags]) + encode_variable(len(body)) + body
        decode(octets)
    except (OverflowError, ValueError) as error:
        raise EncodeError(str(error), field="packet", clause="MQTT 5 1.5") from error
    except DecodeError as error:
        raise EncodeError(error.problem, field=error.field, clause=error.clause) from error
    return octets


def _body(packet: Packet) -> tuple[Type, int, bytes]:
    match packet:
        case Connect():
            return Type.CONNECT, 0, _connect_body(packet)
        case ConnAck():
            body = bytes([packet.session_present, packet.reason])
            return Type.CONNACK, 0, body + encode_properties(packet.properties)
        case Publish():
            flags = packet.dup << 3 | packet.qos << 1 | packet.retain
            number = packet.packet_id.to_bytes(2, "big") if packet.qos else b""
            properties = encode_properties(packet.properties)
            return (
                Type.PUBLISH,
                flags,
                encode_string(packet.topic) + number + properties + packet.payload,
            )
        case Ping():
            return packet.type, 0, b""
        case Ending():
            body = bytes([packet.reason]) + encode_properties(packet.properties)
            return packet.type, 0, body
        case Ack() | Subscribe() | Unsubscribe() | SubscriptionAck():
            return _numbered_body(packet)
    assert_never(packet)


def _numbered_body(
    packet: Ack | Subscribe | Unsubscribe | SubscriptionAck,
) -> tuple[Type, int, bytes]:
    number = packet.packet_id.to_bytes(2, "big")
    properties = encode_properties(packet.properties)
    match packet:
        case Ack():
            body = number + bytes([packet.reason]) + properties
            return packet.type, FLAGS.get(packet.type, 0), body
        case Subscribe():
            filters = b"".join(map(_subscription, packet.subscriptions))
            return Type.SUBSCRIBE, FLAGS[Type.SUBSCRIBE], number + properties + filters
        case Unsubscribe():
            filters = b"".join(map(encode_string, packet.topic_filters))
            return Type.UNSUBSCRIBE, FLAGS[Type.UNSUBSCRIBE], number + properties + filters
        case SubscriptionAck():
            return packet.type, 0, number + properties + bytes(packet.reasons)
    assert_never(packet)


def _subscription(one: Subscription) -> bytes:
    options = one.retain_handling << 4 | one.retain_as_published << 3 | one.no_local << 2 | one.qos
    return encode_string(one.topic_filter) + bytes([options])


def _connect_body(packet: Connect) -> bytes:
    will = packet.will
    flags = packet.clean_start << 1
    parts = [encode_string(packet.client_id)]
    if will is not None:
        flags |= 0x04 | will.qos << 3 | will.retain << 5
        parts += [
            encode_properties(will.properties),
            encode_string(will.topic),
            encode_binary(will.payload),
        ]
    if packet.username is not None:
        flags |= 0x80
        parts.append(encode_string(packet.username))
    if packet.password is not None:
        flags |= 0x40
        parts.append(encode_binary(packet.password))
    head = encode_string(PROTOCOL_NAME) + bytes([PROTOCOL_VERSION, flags])
    head += packet.keep_alive_s.to_bytes(2, "big") + encode_properties(packet.properties)
    return head + b"".join(parts)
