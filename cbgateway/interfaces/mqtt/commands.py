"""Commands as they come over MQTT: an envelope that its sender has signed, around a document.

A broker is not trusted: it may keep a message back, repeat it, or put other properties to it. So
what a command is, for whom, until when and where its receipt goes stand in the signed body; the
properties of MQTT 5 only repeat it.
"""

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from cbgateway.domain.errors import ExpiredError, GatewayError, InputError
from cbgateway.interfaces.mqtt.topics import Topics
from cbgateway.interfaces.schema import DOCUMENT_OCTETS_MAX, parse_json, problems_of
from cbgateway.signing.canonical import canonical
from cbgateway.signing.jws import sign_detached
from cbgateway.signing.keys import SigningKey

COMMAND = "cbgateway-command-1"
"""Content name of the signature over an envelope."""

VALID_MAX = timedelta(minutes=5)
"""No command counts for longer: a will was written when its client connected, and is published
when nobody knows whether it is still meant."""

TOPIC_CHARACTERS_MAX = 300

Topic = Annotated[str, StringConstraints(max_length=TOPIC_CHARACTERS_MAX, strict=True)]


ID = re.compile(r"[A-Za-z0-9._:-]{1,64}", re.ASCII)


class CommandError(GatewayError):
    """A message is no command that may be carried out, for what only MQTT can get wrong."""

    code = "command-refused"


class Envelope(BaseModel):
    """What is around a document."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Annotated[str, StringConstraints(pattern=f"^{ID.pattern}$", strict=True)]
    topic: Topic
    expires: AwareDatetime
    reply_to: Topic | None = None
    document: dict[str, Any]
    document_signature: Annotated[str, Field(max_length=2_048)]
    signature: Annotated[str, Field(max_length=2_048)]


@dataclass(frozen=True, slots=True)
class Incoming:
    """A message as the broker hands it over.

    Attributes:
        response_topic: of MQTT 5; empty when there is none.
        correlation: of MQTT 5; None when there is none.
    """

    topic: str
    payload: bytes
    qos: int
    retain: bool
    response_topic: str = ""
    correlation: bytes | None = None


@dataclass(frozen=True, slots=True)
class Command:
    """A message that is a command, as far as it can be told without knowing keys.

    Attributes:
        person: who is said to ask; the broker's rules and the signature have to agree.
        signed: what the envelope's signature is over.
        reply_to: empty when nobody waits for a receipt.
    """

    command_id: str
    person: str
    what: str
    expires: datetime
    reply_to: str
    signed: Mapping[str, Any]
    signature: str
    document: Mapping[str, Any]
    document_signature: str


def read_command(incoming: Incoming, topics: Topics, *, now: datetime) -> Command:
    """Read a command.

    Raises:
        CommandError: it is retained, came with QoS 0, or its topic is none of a command.
        InputError: it is no envelope; every fault is named with its place.
        ExpiredError: its time has passed, or it is meant to count for too long.
    """
    found = topics.command_of(incoming.topic)
    if found is None:
        msg = f"topic {incoming.topic[:TOPIC_CHARACTERS_MAX]!r} is none of a command"
        raise CommandError(msg)
    if incoming.retain:
        msg = "a retained message is state; commands are never retained"
        raise CommandError(msg)
    if incoming.qos != 1:
        msg = f"a command comes with QoS 1, not {incoming.qos}: nobody would know whether it came"
        raise CommandError(msg)
    if len(incoming.payload) > DOCUMENT_OCTETS_MAX:
        msg = f"{len(incoming.payload)} octets, at most {DOCUMENT_OCTETS_MAX} are read"
        raise CommandError(msg)
    document = parse_json(incoming.payload)
    try:
        envelope = Envelope.model_validate(document)
    except ValidationError as error:
        raise InputError(*problems_of(error)) from error
    if envelope.topic != incoming.topic:
        msg = f"the command was signed for topic {envelope.topic!r}"
        raise CommandError(msg)
    if not now < envelope.expires <= now + VALID_MAX:
        msg = f"expires {envelope.expires.isoformat()}: within five minutes from {now.isoformat()}"
        raise ExpiredError(msg)
    person, what = found
    return Command(
        command_id=envelope.id,
        person=person,
        what=what,
        expires=envelope.expires,
        reply_to=_reply_topic(incoming, envelope, topics, person),
        signed={name: value for name, value in document.items() if name != "signature"},
        signature=envelope.signature,
        document=envelope.document,
        document_signature=envelope.document_signature,
    )


def _reply_topic(incoming: Incoming, envelope: Envelope, topics: Topics, person: str) -> str:
    reply_to = envelope.reply_to or incoming.response_topic
    if not reply_to:
        return ""
    if incoming.response_topic not in {"", reply_to} or not topics.may_reply(person, reply_to):
        msg = f"a receipt for {person!r} goes below {topics.prefix}/reply/{person}/ alone"
        raise CommandError(msg)
    return reply_to


def refused_for(incoming: Incoming, topics: Topics) -> tuple[str, str]:
    """Give where the refusal of what is no command goes, and its id as far as it has one.

    A publisher of MQTT 3.1.1 says both in the body alone. Nothing of it counts yet, so a refusal
    goes below the replies of whoever the broker let publish there, or nowhere.
    """
    person = topics.person_of(incoming.topic)
    said: Mapping[str, Any] = {}
    if len(incoming.payload) <= DOCUMENT_OCTETS_MAX:
        with suppress(GatewayError):
            said = parse_json(incoming.payload)
    names = {name: said.get(name) for name in ("id", "reply_to")}
    command_id, reply_to = (one if isinstance(one, str) else "" for one in names.values())
    topic = incoming.response_topic or reply_to
    is_sound = len(topic) <= TOPIC_CHARACTERS_MAX and topics.may_reply(person, topic)
    return (topic if is_sound else "", command_id if ID.fullmatch(command_id) else "")


def write_command(
    document: Mapping[str, Any],
    key: SigningKey,
    *,
    content: str,
    command_id: str,
    topic: str,
    expires: datetime,
    reply_to: str | None = None,
) -> bytes:
    """Write a command, as its sender does.

    Args:
        document: a bulletin, or an alarm.
        key: the sender's.
        content: name of the signature over the document.
        command_id: the sender's own name for it, new each time.
        topic: where it will be published.
        expires: five minutes from now at most.
        reply_to: where the receipt goes; with MQTT 5 the response topic does as well.
    """
    envelope: dict[str, Any] = {
        "id": command_id,
        "topic": topic,
        "expires": expires.isoformat(),
        "document": dict(document),
        "document_signature": sign_detached(canonical(document), key, content=content),
    }
    if reply_to is not None:
        envelope["reply_to"] = reply_to
    signature = sign_detached(canonical(envelope), key, content=COMMAND)
    return json.dumps(envelope | {"signature": signature}, ensure_ascii=False).encode()
