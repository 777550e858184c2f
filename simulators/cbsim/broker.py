"""A small MQTT 5 broker without sockets: sessions, retained messages, wills, QoS 0 and 1.

For demos and tests. It keeps everything in memory; a broker that people rely on is mosquitto.
"""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

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
)
from cbgateway.codec.mqtt5_fields import Properties, Property, matches, value_of
from cbgateway.domain.errors import DecodeError

QUEUED_MAX = 10_000  # messages that wait for one session; the newest are dropped beyond
RETAINED_MAX = 10_000  # topics with a retained message
SUBSCRIPTIONS_MAX = 100  # of one session
RECEIVE_MAXIMUM = 65_535  # what a client that does not say takes at once (3.1.2.11.3)
FOREVER_S = 0xFFFF_FFFF
KEEP_ALIVE_FACTOR = 1.5  # a client that is silent for longer has gone (3.1.2.10)

SUCCESS = 0x00
NO_MATCHING_SUBSCRIBERS = 0x10
NO_SUBSCRIPTION_EXISTED = 0x11
DISCONNECT_WITH_WILL = 0x04
PROTOCOL_ERROR = 0x82
MALFORMED_PACKET = 0x81
NOT_AUTHORIZED = 0x87
KEEP_ALIVE_TIMEOUT = 0x8D
SESSION_TAKEN_OVER = 0x8E
TOPIC_ALIAS_INVALID = 0x94
QUOTA_EXCEEDED = 0x97
QOS_NOT_SUPPORTED = 0x9B

Wake = Callable[["BrokerLink"], None]
"""Called when a link has something to send that its own octets did not cause."""


@dataclass(frozen=True, slots=True)
class _Held:
    """A message that waits, and until when; None for ever."""

    message: Publish
    until_s: float | None

    def at(self, now_s: float) -> Publish | None:
        """Give the message as it goes out now; None when its time has passed (3.3.2.3.3)."""
        if self.until_s is None:
            return self.message
        left_s = round(self.until_s - now_s)
        if left_s <= 0:
            return None
        properties: Properties = tuple(
            (name, left_s if name is Property.MESSAGE_EXPIRY_INTERVAL else value)
            for name, value in self.message.properties
        )
        return replace(self.message, properties=properties)


@dataclass(slots=True)
class _Session:
    """What a client has here, connected or not."""

    client_id: str
    expires_after_s: int = 0
    gone_at_s: float = 0.0
    link: "BrokerLink | None" = None
    subscriptions: dict[str, Subscription] = field(default_factory=dict)
    waiting: deque[_Held] = field(default_factory=deque)
    in_flight: dict[int, _Held] = field(default_factory=dict)
    next_id: int = 1

    def is_over(self, now_s: float) -> bool:
        """Tell whether a session that nobody came back to has expired."""
        is_endless = self.expires_after_s >= FOREVER_S
        return (
            self.link is None and not is_endless and now_s >= self.gone_at_s + self.expires_after_s
        )


class Broker:
    """What all connections share."""

    def __init__(self, *, now_s: Callable[[], float], on_wake: Wake) -> None:
        """Make an empty broker.

        Args:
            now_s: seconds that never jump.
            on_wake: called when a link has something to send.
        """
        self.now_s = now_s
        self.on_wake = on_wake
        self._sessions: dict[str, _Session] = {}
        self._retained: dict[str, _Held] = {}
        self._named = 0

    def attach(self, link: "BrokerLink", packet: Connect) -> tuple[_Session, bool, str]:
        """Give a client its session, whether it was there, and a name that was made up for it."""
        now_s = self.now_s()
        for session in [one for one in self._sessions.values() if one.is_over(now_s)]:
            del self._sessions[session.client_id]
        assigned = ""
        if not packet.client_id:
            self._named += 1
            assigned = f"cbsim-{self._named}"
        name = packet.client_id or assigned
        known = self._sessions.get(name)
        if known is not None and known.link is not None:
            known.link.end(SESSION_TAKEN_OVER)
            self.on_wake(known.link)
            known.link = None
        if known is None or packet.clean_start:
            known = None
            self._sessions[name] = _Session(name)
        session = self._sessions[name]
        session.link = link
        seconds = value_of(packet.properties, Property.SESSION_EXPIRY_INTERVAL)
        session.expires_after_s = seconds if isinstance(seconds, int) else 0
        return session, known is not None, assigned

    def publish(self, message: Publish, *, by: str = "") -> bool:
        """Hand a message to whoever wants it; True when somebody does."""
        now_s = self.now_s()
        seconds = value_of(message.properties, Property.MESSAGE_EXPIRY_INTERVAL)
        held = _Held(
            replace(message, dup=False, packet_id=0),
            now_s + seconds if isinstance(seconds, int) else None,
        )
        if message.retain:
            self._retain(held)
        is_wanted = False
        for session in self._sessions.values():
            fitting = [
                one
                for one in session.subscriptions.values()
                if matches(one.topic_filter, message.topic)
                and not (one.no_local and session.client_id == by)
            ]
            if fitting:
                is_wanted = True
                self._hand(session, held, fitting)
        return is_wanted

    def retained(self, topic_filter: str) -> Iterable[_Held]:
        """Give the retained messages that a filter means, by topic."""
        for topic in sorted(self._retained):
            if matches(topic_filter, topic):
                yield self._retained[topic]

    def queue(self, session: _Session, held: _Held) -> None:
        """Have a message wait for a session; QoS 0 does not wait for somebody who is away."""
        is_away = session.link is None
        if len(session.waiting) < QUEUED_MAX and (held.message.qos or not is_away):
            session.waiting.append(held)

    def _hand(self, session: _Session, held: _Held, fitting: list[Subscription]) -> None:
        """Give one copy, at the best QoS that the fitting subscriptions ask for (3.3.4)."""
        message = held.message
        qos = min(message.qos, max(one.qos for one in fitting))
        retain = message.retain and any(one.retain_as_published for one in fitting)
        self.queue(session, replace(held, message=replace(message, qos=qos, retain=retain)))
        if session.link is not None:
            session.link.pump()
            self.on_wake(session.link)

    def _retain(self, held: _Held) -> None:
        topic = held.message.topic
        if not held.message.payload:
            self._retained.pop(topic, None)
        elif topic in self._retained or len(self._retained) < RETAINED_MAX:
            self._retained[topic] = held


class BrokerLink:
    """One connection: octets in, octets out.

    Attributes:
        is_closed: True once nothing more is read; what is left to send still goes.
    """

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._framer = mqtt5.Framer()
        self._out = bytearray()
        self._session: _Session | None = None
        self._will: Publish | None = None
        self._keep_alive_s = 0
        self._heard_s = broker.now_s()
        self._receive_maximum = RECEIVE_MAXIMUM
        self.is_closed = False

    def receive(self, octets: bytes) -> None:
        """Take octets from the client, in any pieces."""
        self._heard_s = self._broker.now_s()
        try:
            for packet in self._framer.receive(octets):
                if self.is_closed:
                    return
                self._take(packet)
        except DecodeError:
            self.end(MALFORMED_PACKET)

    def tick(self) -> None:
        """End a connection whose client has been silent for too long."""
        silent_s = self._broker.now_s() - self._heard_s
        if self._keep_alive_s and silent_s > self._keep_alive_s * KEEP_ALIVE_FACTOR:
            self.end(KEEP_ALIVE_TIMEOUT)

    def outgoing(self) -> bytes:
        """Give what is to be sent."""
        octets = bytes(self._out)
        self._out.clear()
        return octets

    def lost(self) -> None:
        """Note that the connection is gone; without a word before, its will is published."""
        self.is_closed = True
        session, self._session = self._session, None
        if session is not None and session.link is self:
            session.link = None
            session.gone_at_s = self._broker.now_s()
            session.waiting.extendleft(reversed(session.in_flight.values()))
            session.in_flight.clear()
        will, self._will = self._will, None
        if will is not None:
            self._broker.publish(will)

    def end(self, reason: int) -> None:
        """End the connection, saying why."""
        if not self.is_closed:
            if self._session is not None:
                self._send(Ending(Type.DISCONNECT, reason))
            self.is_closed = True

    def pump(self) -> None:
        """Send what waits, as much as the client takes at once."""
        session = self._session
        if session is None or self.is_closed:
            return
        now_s = self._broker.now_s()
        while session.waiting and len(session.in_flight) < self._receive_maximum:
            held = session.waiting.popleft()
            message = held.at(now_s)
            if message is None:
                continue
            if message.qos:
                while session.next_id in session.in_flight:
                    session.next_id = session.next_id % 65_535 + 1
                message = replace(message, packet_id=session.next_id)
                session.in_flight[session.next_id] = held
                session.next_id = session.next_id % 65_535 + 1
            self._send(message)

    def _send(self, packet: Packet) -> None:
        self._out += mqtt5.encode(packet)

    def _take(self, packet: Packet) -> None:
        if (self._session is None) != isinstance(packet, Connect):
            self.end(PROTOCOL_ERROR)  # CONNECT is the first, and comes once (3.1)
            self.is_closed = True
            return
        match packet:
            case Connect():
                self._connect(packet)
            case Publish():
                self._publish(packet)
            case Ack(type=Type.PUBACK):
                self._acknowledged(packet.packet_id)
            case Subscribe():
                self._subscribe(packet)
            case Unsubscribe():
                self._unsubscribe(packet)
            case Ping(type=Type.PINGREQ):
                self._send(Ping(Type.PINGRESP))
            case Ending(type=Type.DISCONNECT):
                self._disconnect(packet)
            case _:
                self.end(PROTOCOL_ERROR)

    def _connect(self, packet: Connect) -> None:
        if packet.will is not None:
            if packet.will.qos > 1:
                self._send(ConnAck(session_present=False, reason=QOS_NOT_SUPPORTED))
                self.is_closed = True
                return
            will = packet.will
            kept = tuple(
                pair for pair in will.properties if pair[0] is not Property.WILL_DELAY_INTERVAL
            )
            self._will = Publish(will.topic, will.payload, will.qos, will.retain, properties=kept)
        maximum = value_of(packet.properties, Property.RECEIVE_MAXIMUM)
        self._receive_maximum = maximum if isinstance(maximum, int) else RECEIVE_MAXIMUM
        self._keep_alive_s = packet.keep_alive_s
        self._session, was_there, assigned = self._broker.attach(self, packet)
        properties: Properties = (
            (Property.MAXIMUM_QOS, 1),
            (Property.SHARED_SUBSCRIPTION_AVAILABLE, 0),
            (Property.SUBSCRIPTION_IDENTIFIER_AVAILABLE, 0),
        )
        if assigned:
            properties += ((Property.ASSIGNED_CLIENT_IDENTIFIER, assigned),)
        self._send(ConnAck(was_there, SUCCESS, properties))
        self.pump()

    def _publish(self, packet: Publish) -> None:
        if packet.qos > 1:
            self.end(QOS_NOT_SUPPORTED)
            return
        if not packet.topic or value_of(packet.properties, Property.TOPIC_ALIAS) is not None:
            self.end(TOPIC_ALIAS_INVALID)
            return
        assert self._session is not None  # noqa: S101 - checked before
        is_wanted = self._broker.publish(packet, by=self._session.client_id)
        if packet.qos:
            reason = SUCCESS if is_wanted else NO_MATCHING_SUBSCRIBERS
            self._send(Ack(Type.PUBACK, packet.packet_id, reason))

    def _acknowledged(self, packet_id: int) -> None:
        assert self._session is not None  # noqa: S101 - checked before
        self._session.in_flight.pop(packet_id, None)
        self.pump()

    def _subscribe(self, packet: Subscribe) -> None:
        session = self._session
        assert session is not None  # noqa: S101 - checked before
        reasons, found = [], []
        for one in packet.subscriptions:
            is_new = one.topic_filter not in session.subscriptions
            if is_new and len(session.subscriptions) >= SUBSCRIPTIONS_MAX:
                reasons.append(QUOTA_EXCEEDED)
                continue
            granted = replace(one, qos=min(one.qos, 1))
            session.subscriptions[one.topic_filter] = granted
            reasons.append(granted.qos)
            if one.retain_handling == 0 or (one.retain_handling == 1 and is_new):
                found.append(granted)
        self._send(SubscriptionAck(Type.SUBACK, packet.packet_id, tuple(reasons)))
        for granted in found:
            for held in self._broker.retained(granted.topic_filter):
                message = replace(held.message, qos=min(held.message.qos, granted.qos))
                self._broker.queue(session, replace(held, message=message))
        self.pump()

    def _unsubscribe(self, packet: Unsubscribe) -> None:
        assert self._session is not None  # noqa: S101 - checked before
        reasons = tuple(
            NO_SUBSCRIPTION_EXISTED
            if self._session.subscriptions.pop(one, None) is None
            else SUCCESS
            for one in packet.topic_filters
        )
        self._send(SubscriptionAck(Type.UNSUBACK, packet.packet_id, reasons))

    def _disconnect(self, packet: Ending) -> None:
        assert self._session is not None  # noqa: S101 - checked before
        if packet.reason != DISCONNECT_WITH_WILL:
            self._will = None
        seconds = value_of(packet.properties, Property.SESSION_EXPIRY_INTERVAL)
        if isinstance(seconds, int):
            self._session.expires_after_s = seconds
        self.is_closed = True
