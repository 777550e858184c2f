"""The AsyncAPI 3 document, made from the code that reads and writes the messages."""

import json
from typing import Any

from cbgateway import __version__
from cbgateway.interfaces.http.documents import Alarm, Briefing, ServiceProblem
from cbgateway.interfaces.mqtt.commands import Envelope
from cbgateway.interfaces.mqtt.topics import ALARM, INCIDENT, SUBMIT, VERSION
from cbgateway.interfaces.schema import BulletinDocument
from cbgateway.interfaces.steps import TransitionDocument

LEVELS: dict[str, tuple[str, ...]] = {"gateway": (), "briefing": ("incident", "language")}
"""What follows in a state's topic, where that is not its own name."""
PREFIX = f"cbgateway/{VERSION}/{{mode}}/{{site}}"
MODE = {"enum": ["live", "exercise", "test"], "description": "The gateway's mode."}
PARAMETERS: dict[str, dict[str, Any]] = {
    "mode": MODE,
    "site": {"description": "Which of several gateways of a mode."},
    "person": {"description": "Who asks: broker user, envelope and document agree."},
    "request": {"description": "Chosen by whoever asks."},
    "subject": {"description": "Incident, bulletin (incident/number), person or `gateway`."},
    "carrier": {"description": "Code of a carrier."},
    "region": {"description": "Code of a region."},
    "incident": {"description": "Name of an incident."},
    "language": {"description": "Code of a language."},
}


def _schema(model: Any) -> dict[str, Any]:  # noqa: ANN401 - a class of pydantic models
    schema: dict[str, Any] = model.model_json_schema()
    definitions = schema.pop("$defs", {})
    whole: dict[str, Any] = _inlined(schema, definitions)
    return whole


def _inlined(node: Any, definitions: dict[str, Any]) -> Any:  # noqa: ANN401 - any part of a schema
    """Put definitions where they are referred to; no model here refers to itself."""
    if isinstance(node, dict):
        name = str(node.get("$ref", "")).rpartition("/")[2]
        if name:
            return _inlined(definitions[name], definitions)
        return {key: _inlined(value, definitions) for key, value in node.items()}
    if isinstance(node, list):
        return [_inlined(one, definitions) for one in node]
    return node


_TEXT = {"type": "string"}
_TIME = {"type": "string", "format": "date-time"}
RECEIPT: dict[str, Any] = {
    "type": "object",
    "required": ["status"],
    "properties": {
        "id": {**_TEXT, "description": "Of the command, when it could be read."},
        "status": {"enum": ["accepted", "refused"]},
        "bulletin": _TEXT,
        "identifier": _TEXT,
        "state": _TEXT,
        "expires": _TIME,
        "warnings": {"type": "array", "items": _TEXT},
        "effect": _TEXT,
        "incident": {"type": ["string", "null"]},
        "draft": {"type": ["string", "null"]},
        "proposed_state": {"type": ["string", "null"]},
        "problem": {
            "type": "object",
            "required": ["type", "title", "detail"],
            "properties": {
                "type": _TEXT,
                "title": _TEXT,
                "detail": _TEXT,
                "problems": {"type": "array", "items": _TEXT},
            },
        },
    },
}
EVENT: dict[str, Any] = {
    "type": "object",
    "required": ["specversion", "id", "source", "type", "subject", "time", "sequence", "data"],
    "properties": {
        "specversion": {"const": "1.0"},
        "id": {**_TEXT, "description": "Index of the leaf in the transparency log."},
        "source": _TEXT,
        "type": {**_TEXT, "examples": ["cbgateway.submitted", "cbgateway.approved"]},
        "subject": _TEXT,
        "time": _TIME,
        "datacontenttype": {"const": "application/json"},
        "sequence": {**_TEXT, "pattern": "^[0-9]{15}$"},
        "data": {"type": "object"},
    },
}
STATES: dict[str, dict[str, Any]] = {
    "gateway": {"gateway": _TEXT, "mode": _TEXT, "is_online": {"type": "boolean"}},
    "carrier": {"carrier": _TEXT, "open": {"type": "object"}},
    "region": {
        "bulletin": _TEXT,
        "kind": _TEXT,
        "message_type": _TEXT,
        "class": _TEXT,
        "mode": _TEXT,
        "regions": {"type": "array", "items": _TEXT},
        "texts": {"type": "object", "additionalProperties": _TEXT},
        "sent": _TIME,
        "expires": _TIME,
        "next_update": {"type": ["string", "null"]},
    },
    "incident": {
        "incident": _TEXT,
        "carrier": _TEXT,
        "services": {"type": "array", "items": _TEXT},
        "started_at": _TIME,
        "state": _TEXT,
        "proposed_state": {"type": ["string", "null"]},
        "bulletins": {"type": "object", "additionalProperties": _TEXT},
    },
}
STATES["briefing"] = {
    name: field for name, field in _schema(Briefing)["properties"].items() if name != "readers"
}
SUMMARIES = {
    "gateway": "Whether the gateway is there; the broker says so when it is not.",
    "carrier": "What is open at a carrier.",
    "region": "The public bulletin of a region now; empty for none.",
    "incident": "How far an outage has got, and its bulletins.",
    "briefing": "What call-centre staff say of an outage now; empty a day after it ended.",
}


def document() -> dict[str, Any]:
    """Give the AsyncAPI document of this version."""
    schemas: dict[str, Any] = {
        "Receipt": RECEIPT,
        "CloudEvent": EVENT,
        "BulletinCommand": _command([_schema(BulletinDocument)]),
        "AlarmCommand": _command([_schema(Alarm), _schema(ServiceProblem)]),
        "IncidentCommand": _command([_schema(TransitionDocument)]),
    }
    for name, properties in STATES.items():
        required = sorted(properties)
        schema = {"type": "object", "required": required, "properties": properties}
        schemas[f"{name.title()}State"] = schema
    messages = {name: _message(name) for name in schemas}
    channels, operations = _commands()
    _add_outgoing(channels, operations)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "cbgateway over MQTT",
            "version": __version__,
            "description": "Commands are signed, come with QoS 1 and are never retained. The "
            "receipt is sent once what it says is committed; PUBACK follows it.",
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages, "schemas": schemas},
    }


def octets() -> bytes:
    """Give the document as it is kept."""
    text = json.dumps(document(), ensure_ascii=False, indent=2, sort_keys=True)
    return f"{text}\n".encode()


def _command(documents: list[dict[str, Any]]) -> dict[str, Any]:
    envelope = _schema(Envelope)
    envelope["properties"]["document"] = (
        documents[0] if len(documents) == 1 else {"anyOf": documents}
    )
    return envelope


def _message(name: str) -> dict[str, Any]:
    content = "application/cloudevents+json" if name == "CloudEvent" else "application/json"
    return {
        "name": name,
        "contentType": content,
        "payload": {"$ref": f"#/components/schemas/{name}"},
    }


def _channel(rest: str, message: str, *parameters: str) -> dict[str, Any]:
    return {
        "address": f"{PREFIX}/{rest}",
        "parameters": {name: PARAMETERS[name] for name in ("mode", "site", *parameters)},
        "messages": {message: {"$ref": f"#/components/messages/{message}"}},
    }


def _commands() -> tuple[dict[str, Any], dict[str, Any]]:
    channels = {
        "submit": _channel(f"cmd/{{person}}/{SUBMIT}", "BulletinCommand", "person"),
        "alarm": _channel(f"cmd/{{person}}/{ALARM}", "AlarmCommand", "person"),
        "transition": _channel(f"cmd/{{person}}/{INCIDENT}", "IncidentCommand", "person"),
        "receipt": _channel("reply/{person}/{request}", "Receipt", "person", "request"),
    }
    operations = {
        name: {
            "action": "receive",
            "channel": {"$ref": f"#/channels/{name}"},
            "summary": summary,
            "bindings": {"mqtt": {"qos": 1, "retain": False}},
            "reply": {
                "channel": {"$ref": "#/channels/receipt"},
                "address": {"location": "$message.payload#/reply_to"},
            },
        }
        for name, summary in (
            ("submit", "Submit a bulletin; a second person then decides."),
            ("alarm", "Tell of an alarm (TMF642, TMF656); at most a draft comes of it."),
            ("transition", "Say how far an outage has got; people alone may."),
        )
    }
    return channels, operations


def _add_outgoing(channels: dict[str, Any], operations: dict[str, Any]) -> None:
    channels["event"] = _channel("evt/{subject}", "CloudEvent", "subject")
    operations["event"] = _sending("event", "What happens, leaf by leaf.", retain=False)
    for name, summary in SUMMARIES.items():
        message = f"{name.title()}State"
        parameters = LEVELS.get(name, (name,))
        rest = f"state/{name}" + "".join(f"/{{{one}}}" for one in parameters)
        channels[f"{name}State"] = _channel(rest, message, *parameters)
        operations[f"{name}State"] = _sending(f"{name}State", summary, retain=True)


def _sending(channel: str, summary: str, *, retain: bool) -> dict[str, Any]:
    return {
        "action": "send",
        "channel": {"$ref": f"#/channels/{channel}"},
        "summary": summary,
        "bindings": {"mqtt": {"qos": 1, "retain": retain}},
    }
