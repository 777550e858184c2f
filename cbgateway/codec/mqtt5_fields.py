"""The fields of MQTT 5 packets: integers, strings, properties, topics, and how topics match.

Spec: MQTT Version 5.0, 1.5, 2.2.2 and 4.7.
"""

from collections.abc import Mapping
from enum import IntEnum

from cbgateway.domain.errors import DecodeError, EncodeError

VARIABLE_MAX = 268_435_455  # four octets of seven bits (1.5.5)
VARIABLE_OCTETS_MAX = 4
TWO_OCTETS_MAX = 65_535
TOPIC_LEVELS_MAX = 32  # ours have eight; more only cost time
SHARED = "$share"


class Property(IntEnum):
    """Properties by their names in the specification (2.2.2.2)."""

    PAYLOAD_FORMAT_INDICATOR = 1
    MESSAGE_EXPIRY_INTERVAL = 2
    CONTENT_TYPE = 3
    RESPONSE_TOPIC = 8
    CORRELATION_DATA = 9
    SUBSCRIPTION_IDENTIFIER = 11
    SESSION_EXPIRY_INTERVAL = 17
    ASSIGNED_CLIENT_IDENTIFIER = 18
    SERVER_KEEP_ALIVE = 19
    AUTHENTICATION_METHOD = 21
    AUTHENTICATION_DATA = 22
    REQUEST_PROBLEM_INFORMATION = 23
    WILL_DELAY_INTERVAL = 24
    REQUEST_RESPONSE_INFORMATION = 25
    RESPONSE_INFORMATION = 26
    SERVER_REFERENCE = 28
    REASON_STRING = 31
    RECEIVE_MAXIMUM = 33
    TOPIC_ALIAS_MAXIMUM = 34
    TOPIC_ALIAS = 35
    MAXIMUM_QOS = 36
    RETAIN_AVAILABLE = 37
    USER_PROPERTY = 38
    MAXIMUM_PACKET_SIZE = 39
    WILDCARD_SUBSCRIPTION_AVAILABLE = 40
    SUBSCRIPTION_IDENTIFIER_AVAILABLE = 41
    SHARED_SUBSCRIPTION_AVAILABLE = 42


P = Property
Value = int | str | bytes | tuple[str, str]
Properties = tuple[tuple[Property, Value], ...]
"""Properties in the order of the packet; only user properties and, in a message, subscription
identifiers may stand there more than once."""

INTEGER_OCTETS: Mapping[Property, int] = {
    P.PAYLOAD_FORMAT_INDICATOR: 1,
    P.MESSAGE_EXPIRY_INTERVAL: 4,
    P.SESSION_EXPIRY_INTERVAL: 4,
    P.SERVER_KEEP_ALIVE: 2,
    P.REQUEST_PROBLEM_INFORMATION: 1,
    P.WILL_DELAY_INTERVAL: 4,
    P.REQUEST_RESPONSE_INFORMATION: 1,
    P.RECEIVE_MAXIMUM: 2,
    P.TOPIC_ALIAS_MAXIMUM: 2,
    P.TOPIC_ALIAS: 2,
    P.MAXIMUM_QOS: 1,
    P.RETAIN_AVAILABLE: 1,
    P.MAXIMUM_PACKET_SIZE: 4,
    P.WILDCARD_SUBSCRIPTION_AVAILABLE: 1,
    P.SUBSCRIPTION_IDENTIFIER_AVAILABLE: 1,
    P.SHARED_SUBSCRIPTION_AVAILABLE: 1,
}
BINARY = {P.CORRELATION_DATA, P.AUTHENTICATION_DATA}
NOT_ZERO = {
    P.RECEIVE_MAXIMUM,
    P.TOPIC_ALIAS,
    P.MAXIMUM_PACKET_SIZE,
    P.SUBSCRIPTION_IDENTIFIER,
}

_ENDS = {P.REASON_STRING, P.USER_PROPERTY}
_MESSAGE = {
    P.PAYLOAD_FORMAT_INDICATOR,
    P.MESSAGE_EXPIRY_INTERVAL,
    P.CONTENT_TYPE,
    P.RESPONSE_TOPIC,
    P.CORRELATION_DATA,
    P.USER_PROPERTY,
}
_AUTHENTICATION = {P.AUTHENTICATION_METHOD, P.AUTHENTICATION_DATA}
ALLOWED: Mapping[str, set[Property]] = {
    "CONNECT": _AUTHENTICATION
    | {
        P.SESSION_EXPIRY_INTERVAL,
        P.REQUEST_PROBLEM_INFORMATION,
        P.REQUEST_RESPONSE_INFORMATION,
        P.RECEIVE_MAXIMUM,
        P.TOPIC_ALIAS_MAXIMUM,
        P.USER_PROPERTY,
        P.MAXIMUM_PACKET_SIZE,
    },
    "WILL": _MESSAGE | {P.WILL_DELAY_INTERVAL},
    "CONNACK": _ENDS
    | _AUTHENTICATION
    | {
        P.SESSION_EXPIRY_INTERVAL,
        P.ASSIGNED_CLIENT_IDENTIFIER,
        P.SERVER_KEEP_ALIVE,
        P.RESPONSE_INFORMATION,
        P.SERVER_REFERENCE,
        P.RECEIVE_MAXIMUM,
        P.TOPIC_ALIAS_MAXIMUM,
        P.MAXIMUM_QOS,
        P.RETAIN_AVAILABLE,
        P.MAXIMUM_PACKET_SIZE,
        P.WILDCARD_SUBSCRIPTION_AVAILABLE,
        P.SUBSCRIPTION_IDENTIFIER_AVAILABLE,
        P.SHARED_SUBSCRIPTION_AVAILABLE,
    },
    "PUBLISH": _MESSAGE | {P.TOPIC_ALIAS, P.SUBSCRIPTION_IDENTIFIER},
    "ACK": _ENDS,
    "SUBSCRIBE": {P.SUBSCRIPTION_IDENTIFIER, P.USER_PROPERTY},
    "UNSUBSCRIBE": {P.USER_PROPERTY},
    "DISCONNECT": _ENDS | {P.SESSION_EXPIRY_INTERVAL, P.SERVER_REFERENCE},
    "AUTH": _ENDS | _AUTHENTICATION,
}
"""Which properties a packet may have (table 2-4)."""


def value_of(properties: Properties, name: Property) -> Value | None:
    """Give a property's value; None when it does not stand there."""
    return next((value for one, value in properties if one is name), None)


def matches(topic_filter: str, topic: str) -> bool:
    """Tell whether a topic is among those that a filter means (4.7)."""
    wanted, levels = topic_filter.split("/"), topic.split("/")
    if topic.startswith("$") and wanted[0] in {"#", "+"}:
        return False
    for at, one in enumerate(wanted):
        if one == "#":
            return True
        if at >= len(levels) or one not in {"+", levels[at]}:
            return False
    return len(wanted) == len(levels)


def is_filter(text: str) -> bool:
    """Tell whether wildcards stand where they may (4.7.1)."""
    levels = text.split("/")
    if levels[0] == SHARED or not text or len(levels) > TOPIC_LEVELS_MAX:
        return False
    return all(
        level in {"#", "+"} or not {"#", "+"} & set(level) for level in levels
    ) and "#" not in set(levels[:-1])


def is_topic(text: str) -> bool:
    """Tell whether a message may be published there (3.3.2.1)."""
    return bool(text) and not {"#", "+"} & set(text) and text.count("/") < TOPIC_LEVELS_MAX


def fault(problem: str, field: str, offset: int, clause: str) -> DecodeError:
    """Give the error of a packet that breaks the specification; MQTT knows no way to go on."""
    return DecodeError(
        problem, field=field, offset=offset, clause=f"MQTT 5 {clause}", framing_lost=True
    )


class Reader:
    """Reads the fields of one packet, one after another."""

    def __init__(self, octets: bytes) -> None:
        self._octets = octets
        self._at = 0

    @property
    def left(self) -> int:
        """How many octets follow."""
        return len(self._octets) - self._at

    def fault(self, problem: str, field: str, clause: str) -> DecodeError:
        """Give an error at the place that was read last."""
        return fault(problem, field, self._at, clause)

    def take(self, count: int, field: str) -> bytes:
        """Read some octets."""
        if count > self.left:
            raise self.fault(f"{count} octets are said, {self.left} follow", field, "2.1.4")
        self._at += count
        return self._octets[self._at - count : self._at]

    def rest(self) -> bytes:
        """Read all that follows."""
        return self.take(self.left, "payload")

    def octet(self, field: str) -> int:
        """Read one octet."""
        return self.take(1, field)[0]

    def integer(self, octets: int, field: str) -> int:
        """Read an integer of two or four octets (1.5.2, 1.5.3)."""
        return int.from_bytes(self.take(octets, field), "big")

    def packet_id(self) -> int:
        """Read a packet identifier, which is never zero (2.2.1)."""
        number = self.integer(2, "packet identifier")
        if not number:
            raise self.fault("zero", "packet identifier", "2.2.1")
        return number

    def variable(self, field: str) -> int:
        """Read a variable byte integer in its shortest form (1.5.5)."""
        value = 0
        for at in range(VARIABLE_OCTETS_MAX):
            octet = self.octet(field)
            value |= (octet & 0x7F) << 7 * at
            if not octet & 0x80:
                if at and not octet:
                    raise self.fault("not in its shortest form", field, "1.5.5")
                return value
        raise self.fault("does not end", field, "1.5.5")

    def binary(self, field: str) -> bytes:
        """Read binary data (1.5.6)."""
        return self.take(self.integer(2, field), field)

    def string(self, field: str) -> str:
        """Read a string in UTF-8, without NUL (1.5.4)."""
        try:
            text = self.binary(field).decode("utf-8")
        except UnicodeDecodeError as error:
            raise self.fault("not UTF-8", field, "1.5.4") from error
        if "\0" in text:
            raise self.fault("holds NUL", field, "1.5.4")
        return text

    def topic(self, field: str, *, may_be_empty: bool = False) -> str:
        """Read the name of a topic; an empty one leaves it to an alias."""
        text = self.string(field)
        if not is_topic(text) and (text or not may_be_empty):
            raise self.fault(f"{text[:80]!r} is no topic", field, "3.3.2.1")
        return text

    def filter(self) -> str:
        """Read a filter of topics."""
        text = self.string("topic filter")
        if not is_filter(text):
            raise self.fault(f"{text[:80]!r} is no filter that is known", "topic filter", "4.7.1")
        return text

    def properties(self, packet: str) -> Properties:
        """Read properties, each of them one that the packet may have (2.2.2)."""
        length = self.variable("property length")
        if length > self.left:
            raise self.fault(f"{length} octets are said", "property length", "2.2.2.1")
        end = self._at + length
        found: list[tuple[Property, Value]] = []
        seen: set[Property] = set()
        while self._at < end:
            number = self.variable("property")
            if number not in ALLOWED[packet]:
                raise self.fault(f"{number:#04x} is not for {packet}", "property", "2.2.2.2")
            name = Property(number)
            may_repeat = name is P.USER_PROPERTY or (
                name is P.SUBSCRIPTION_IDENTIFIER and packet == "PUBLISH"
            )
            if name in seen and not may_repeat:
                raise self.fault(f"{name.name} stands there twice", "property", "2.2.2.2")
            seen.add(name)
            found.append((name, self._value(name)))
        if self._at != end:
            raise self.fault("end inside a value", "property length", "2.2.2.1")
        return tuple(found)

    def _value(self, name: Property) -> Value:
        if name in INTEGER_OCTETS or name is P.SUBSCRIPTION_IDENTIFIER:
            octets = INTEGER_OCTETS.get(name)
            number = self.variable(name.name) if octets is None else self.integer(octets, name.name)
            if (octets == 1 and number > 1) or (name in NOT_ZERO and not number):
                raise self.fault(f"{name.name} {number}", "property", "2.2.2.2")
            return number
        if name in BINARY:
            return self.binary(name.name)
        if name is P.USER_PROPERTY:
            return self.string("user property"), self.string("user property")
        if name is P.RESPONSE_TOPIC:
            return self.topic(name.name)
        return self.string(name.name)


def encode_variable(value: int) -> bytes:
    """Write a variable byte integer.

    Raises:
        EncodeError: it is too large.
    """
    if value > VARIABLE_MAX:
        raise EncodeError(f"{value}", field="length", clause="MQTT 5 1.5.5")
    octets = bytearray()
    while value > 0x7F:  # noqa: PLR2004 - seven bits
        octets.append(value & 0x7F | 0x80)
        value >>= 7
    octets.append(value)
    return bytes(octets)


def encode_binary(octets: bytes) -> bytes:
    """Write binary data.

    Raises:
        EncodeError: it is longer than its length can say.
    """
    if len(octets) > TWO_OCTETS_MAX:
        raise EncodeError(f"{len(octets)} octets", field="binary data", clause="MQTT 5 1.5.6")
    return len(octets).to_bytes(2, "big") + octets


def encode_string(text: str) -> bytes:
    """Write a string.

    Raises:
        EncodeError: it is no text, or longer than its length can say.
    """
    try:
        return encode_binary(text.encode("utf-8"))
    except UnicodeEncodeError as error:
        raise EncodeError("not UTF-8", field="string", clause="MQTT 5 1.5.4") from error


def encode_properties(properties: Properties) -> bytes:
    """Write properties with their length.

    Raises:
        EncodeError: a value is not one that the property can have.
    """
    body = b"".join(bytes([name]) + _value_octets(name, value) for name, value in properties)
    return encode_variable(len(body)) + body


def _value_octets(name: Property, value: Value) -> bytes:
    match value:
        case int():
            octets = INTEGER_OCTETS.get(name)
            if name is P.SUBSCRIPTION_IDENTIFIER:
                return encode_variable(value)
            if octets is not None and 0 <= value < 1 << 8 * octets:
                return value.to_bytes(octets, "big")
        case bytes() if name in BINARY:
            return encode_binary(value)
        case str() if name not in BINARY | set(INTEGER_OCTETS):
            return encode_string(value)
        case tuple():
            return encode_string(value[0]) + encode_string(value[1])
        case _:
            pass
    raise EncodeError(f"{name.name} {value!r}", field="property", clause="MQTT 5 2.2.2.2")
