"""Takes a PDU apart field by field, for people and programs that look on."""

from typing import Any

from cbgateway.codec import smpp
from cbsim.texts import text_of
from cbsim.watch import SeenPdu

HEADER_OCTETS = 16
_OTHERS = {0x00000021: "submit_multi", 0x80000021: "submit_multi_resp"}
"""Commands that the codec does not know, and the centre does."""


def dissect(seen: SeenPdu) -> dict[str, Any]:
    """Give everything that can be told of a PDU, in plain values.

    What a fault has broken is told as far as it can be read, with what is wrong as ``problem``.
    """
    octets = seen.octets
    facts: dict[str, Any] = {
        "at_s": seen.at_s,
        "session": seen.session,
        "direction": seen.direction,
        **header_facts(octets),
        "length": len(octets),
        "fields": {},
        "tlvs": [],
        "text": None,
        "problem": None,
        "octets": octets.hex(),
    }
    if facts["pdu"] in _OTHERS.values():
        return facts
    items = smpp.Framer().receive(octets)
    if not items:
        facts["problem"] = "is not whole"
        return facts
    item = items[-1]  # a fault may have put another in front
    if isinstance(item, smpp.Unparsed):
        facts["problem"] = str(item.error)
        return facts
    fields = smpp.fields_of(item.body)
    if "password" in fields:
        fields["password"] = f"({len(fields['password'])} characters)"
    facts["fields"] = {name: _plain(value) for name, value in fields.items()}
    facts["tlvs"] = [
        {"name": tlv.name, "tag": f"{tlv.tag:#06x}", "value": _plain(smpp.tlv_value(tlv))}
        for tlv in item.tlvs
    ]
    payload = item.tlv(smpp.TlvTag.MESSAGE_PAYLOAD)
    if "short_message" in fields or payload is not None:
        body = fields.get("short_message", b"") if payload is None else payload
        facts["text"] = text_of(body, fields.get("data_coding", 0), fields.get("esm_class", 0))
    return facts


def header_facts(octets: bytes) -> dict[str, Any]:
    """Tell a PDU's command, status and number; nothing where a fault has cut them off."""
    if len(octets) < HEADER_OCTETS:
        return {"pdu": None, "status": None, "sequence_number": None}
    command = int.from_bytes(octets[4:8], "big")
    body = smpp.BODIES.get(command)
    name = _OTHERS.get(command, f"{command:#010x}")
    return {
        "pdu": name if body is None else body.COMMAND_ID.name.lower(),
        "status": smpp.status_name(int.from_bytes(octets[8:12], "big")),
        "sequence_number": int.from_bytes(octets[12:16], "big"),
    }


def flat(facts: dict[str, Any]) -> dict[str, Any]:
    """Give what `dissect` has found with fields and TLVs side by side, by their names."""
    tlvs: dict[str, Any] = {tlv["name"]: tlv["value"] for tlv in facts["tlvs"]}
    return {**tlvs, **facts["fields"], **facts}


def _plain(value: int | str | bytes) -> int | str:
    return value.hex() if isinstance(value, bytes) else value
