"""Sound inputs, made by the encoders or taken from the vectors, and large ones."""

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cbgateway.codec import cbs, mqtt5, smpp, smpp_text
from cbgateway.codec.mqtt5 import Will
from cbgateway.codec.mqtt5_fields import Property
from cbgateway.domain.people import Key
from cbgateway.interfaces.mqtt.commands import write_command
from cbgateway.service.audit import witness_line
from cbgateway.signing import tlog
from cbgateway.signing.canonical import canonical, encode_base64url
from cbgateway.signing.jws import sign_compact, sign_detached
from cbgateway.signing.keys import SigningKey
from cbgateway.signing.seal import CONTENT, text_digest

VECTORS = Path(__file__).parents[1] / "vectors"
TEXTS = (
    "",
    "KT outage nationwide since 11:16. Next update 12:00",
    "[KT] {112} ~ok| 100€",
    "[긴급] KT 통신장애: 서울 전역 음성·데이터 중단. 복구 예정 14:30. 긴급전화 112·119",
    "장애 📵 " * 40,
    "Fee waived. " * 60,
)
NOW = datetime(2021, 10, 25, 3, 0, tzinfo=UTC)
NOW_S = NOW.timestamp()
REGION = "KR-26"
NUMBER = "821000000001"
OLD_NUMBER = "821000000002"
ORIGIN = "alerts.example/audit"
DETACHED_CONTENT = "cbgateway-submission-1"
PAYLOAD = b'{"identifier":"b-1"}'
TAG = smpp.TlvTag

KEY = SigningKey._of(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
REGION_KEY = Key(KEY.key_id, REGION, KEY.public_key, since=NOW - timedelta(days=1))


def vectors(file: str, prefix: str) -> tuple[bytes, ...]:
    """Give the octets of a file's vectors whose names begin so."""
    entries = json.loads((VECTORS / file).read_text("utf-8"))
    return tuple(
        bytes.fromhex(entry["hex"]) for entry in entries if entry["name"].startswith(prefix)
    )


def claims(**changes: Any) -> dict[str, Any]:
    """Give what a sound seal says."""
    return {
        "broadcasts": {"ko": [4371, 0x4010], "en": [4384, 0x4010]},
        "bulletin": "b-1",
        "expires": (NOW + timedelta(hours=2)).isoformat(),
        "kind": "first",
        "mode": "test",
        "region": REGION,
        "sent": NOW.isoformat(),
        "texts": {"ko": text_digest(TEXTS[3]), "en": text_digest(TEXTS[1])},
    } | changes


CLAIMS = canonical(claims())
SEAL = sign_compact(CLAIMS, KEY, content=CONTENT)
DETACHED = sign_detached(PAYLOAD, KEY, content=DETACHED_CONTENT)


def sign_parts(header: bytes, payload: bytes) -> bytes:
    """Give the signature part over two encoded parts, as they stand."""
    return encode_base64url(KEY.sign(header + b"." + payload)).encode()


def sign_header(header: bytes, _payload: bytes) -> bytes:
    """Give the signature part over an encoded header and the payload that is not carried."""
    return encode_base64url(KEY.sign(header + b"." + PAYLOAD)).encode()


def cb_data() -> tuple[bytes, ...]:
    """Give pages as UMTS and LTE carry them."""
    made = tuple(
        cbs.encode_cb_data(cbs.paginate(text, dcs=dcs, language="ko"))
        for text, dcs in ((TEXTS[1], 0x0F), (TEXTS[1], 0x10), (TEXTS[3], 0x48), (TEXTS[3], 0x11))
    )
    return made + vectors("cbs.json", "cbdata_")


def gsm_pages() -> tuple[bytes, ...]:
    """Give pages as GSM carries them."""
    made = tuple(
        cbs.encode_gsm_page(cbs.GsmPage(0x4010, 4371, dcs, number, len(pages), page))
        for text, dcs in ((TEXTS[3], 0x48), (TEXTS[4], 0x11), (TEXTS[1], 0x01))
        for pages in (cbs.paginate(text, dcs=dcs, language="ko"),)
        for number, page in enumerate(pages, start=1)
    )
    return made + vectors("cbs.json", "gsm_page_")


def bodies() -> tuple[bytes, ...]:
    """Give one PDU of each command, as empty as it may be."""
    return tuple(
        smpp.encode(smpp.Pdu(body(), sequence_number=number))
        for number, body in enumerate(smpp.BODIES.values(), start=1)
    )


def pdus() -> tuple[bytes, ...]:
    """Give PDUs of every command: empty ones, those of the vectors, and those with a text."""
    return bodies() + vectors("smpp.json", "smpp_") + messages() + broadcasts()


def messages() -> tuple[bytes, ...]:
    """Give short messages in each kind of parts, to a phone that there is."""
    made: list[bytes] = []
    for text in TEXTS[3:]:
        for kind in smpp_text.Segmentation:
            parts = smpp_text.segment(text, data_coding=None, segmentation=kind, reference=167)
            for part in parts.parts[:3]:
                body = smpp.SubmitSm(
                    source=smpp.Address(5, 0, "KTALERT"),
                    destination=smpp.Address(1, 1, OLD_NUMBER),
                    esm_class=parts.esm_class,
                    data_coding=parts.data_coding,
                    short_message=part.short_message,
                )
                tlvs = (*part.tlvs, smpp.Tlv(0x1500, SEAL.encode()))
                made.append(smpp.encode(smpp.Pdu(body, len(made) + 1, tlvs=tlvs)))
    receipt = smpp.DeliverSm(short_message=b"id:1 stat:DELIVRD")
    return (*made, smpp.encode(smpp.Pdu(receipt, 9)))


def broadcasts() -> tuple[bytes, ...]:
    """Give broadcasts as text and as pages, replaced, asked after and stopped."""
    shared = (
        smpp.Tlv(TAG.BROADCAST_AREA_IDENTIFIER, b"\0" + REGION.encode()),
        smpp.Tlv(TAG.BROADCAST_CONTENT_TYPE, b"\1\0\1"),
        smpp.Tlv(TAG.BROADCAST_FREQUENCY_INTERVAL, b"\x08\0\x1e"),
        smpp.Tlv.integer(TAG.BROADCAST_REP_NUM, 3),
        smpp.Tlv.integer(TAG.USER_MESSAGE_REFERENCE, 7),
        smpp.Tlv(0x1500, SEAL.encode()),
        smpp.Tlv(0x1501, (4371).to_bytes(2, "big")),
        smpp.Tlv(0x1502, (0x4010).to_bytes(2, "big")),
        smpp.Tlv(0x1503, b"\x48"),
    )
    text = smpp.Tlv(TAG.MESSAGE_PAYLOAD, TEXTS[3].encode("utf-16-be"))
    pages = smpp.Tlv(
        TAG.MESSAGE_PAYLOAD, cbs.encode_cb_data(cbs.paginate(TEXTS[3], dcs=0x48, language="ko"))
    )
    validity = smpp.format_absolute_time(NOW + timedelta(hours=2))
    relative = smpp.format_relative_time(timedelta(hours=2))
    made: list[tuple[smpp.Body, tuple[smpp.Tlv, ...]]] = [
        (smpp.BroadcastSm(data_coding=8, validity_period=validity), (*shared, text)),
        (smpp.BroadcastSm(data_coding=8), (*shared[:6], text)),
        (smpp.BroadcastSm(data_coding=4, validity_period=relative), (*shared, pages)),
        (smpp.BroadcastSm(data_coding=8, replace_if_present_flag=1), (*shared, text)),
        (smpp.CancelBroadcastSm(), (shared[4],)),
        (smpp.CancelBroadcastSm(message_id="00000001"), ()),
        (smpp.QuerySm(message_id="00000001"), ()),
    ]
    return tuple(
        smpp.encode(smpp.Pdu(body, number, tlvs=tlvs))
        for number, (body, tlvs) in enumerate(made, start=1)
    )


def answers() -> tuple[bytes, ...]:
    """Give what a message centre says, under the numbers of requests in flight."""
    made: list[tuple[smpp.Body, int, int]] = [
        (smpp.BroadcastSmResp(message_id="00000001"), 2, 0),
        (smpp.SubmitSmResp(message_id="00000002"), 3, 0),
        (smpp.SubmitSmResp(), 4, smpp.Status.ESME_RTHROTTLED),
        (smpp.GenericNack(), 2, smpp.Status.ESME_RINVCMDID),
        (smpp.GenericNack(), 0, smpp.Status.ESME_RINVCMDLEN),
        (smpp.BindTransmitterResp(system_id="smsc"), 1, 0),
        (smpp.BindTransmitterResp(), 1, smpp.Status.ESME_RINVPASWD),
        (smpp.EnquireLink(), 1, 0),
        (smpp.EnquireLinkResp(), 2, 0),
        (smpp.UnbindResp(), 2, 0),
        (smpp.Unbind(), 5, 0),
        (smpp.Outbind(system_id="smsc"), 6, 0),
        (smpp.DeliverSm(short_message=b"hello"), 7, 0),
        (smpp.AlertNotification(), 8, 0),
    ]
    return tuple(
        smpp.encode(smpp.Pdu(body, number, command_status=status)) for body, number, status in made
    )


def runs() -> tuple[bytes, ...]:
    """Give answers to a window of short messages: in order, alike or not, and in part refused."""
    statuses = (0, 0, 0, smpp.Status.ESME_RTHROTTLED, 0, smpp.Status.ESME_RINVDSTADR)

    def run(names: tuple[str, ...], refusals: tuple[int, ...], step: int = 1) -> bytes:
        return b"".join(
            smpp.encode(
                smpp.Pdu(
                    smpp.SubmitSmResp(message_id=names[at % len(names)]),
                    5 + at * step % 60,
                    command_status=refusals[at % len(refusals)],
                )
            )
            for at in range(60)
        )

    return (
        run(("00000001",), (0,)),
        run(("1", "22", "333"), (0,)),
        run(("00000001",), statuses),
        run(("",), statuses, step=7),
    )


def large_runs() -> Iterator[bytes]:
    """Give very many answers: alike, or each of another length than the one before it."""
    for names in (("00000001",), ("1", "22"), ("x" * 64, "")):
        one = b"".join(
            smpp.encode(smpp.Pdu(smpp.SubmitSmResp(message_id=name), 5 + at))
            for at, name in enumerate(names)
        )
        yield one * (65_536 // len(one))
    yield from large_pdus()


def binds() -> tuple[bytes, ...]:
    """Give binds of each kind and version."""
    return tuple(
        smpp.encode(smpp.Pdu(kind(system_id="gateway", interface_version=version), 1))
        for kind in (smpp.BindTransmitter, smpp.BindReceiver, smpp.BindTransceiver)
        for version in (0x34, 0x50)
    )


def bulletin(**changes: Any) -> dict[str, Any]:
    """Give a sound bulletin document."""
    return {
        "schema": 1,
        "identifier": "b-1",
        "sender": "alice",
        "incident": {
            "id": "inc-1",
            "carrier": "kt",
            "services": ["voice", "mobile_data"],
            "started_at": "2021-10-25T11:16:00+09:00",
        },
        "kind": "first",
        "class": "safety",
        "regions": ["KR-26", "KR-11"],
        "texts": {"ko": TEXTS[3], "en": TEXTS[1]},
        "expires": "2021-10-25T14:00:00+09:00",
        "next_update": "PT30M",
        "mode": "test",
        "allow_duplicate": False,
    } | changes


def bulletins() -> tuple[bytes, ...]:
    """Give bulletin documents with a text, and with a template."""
    template = {"name": "outage", "slots": {"place": {"ko": "부산", "en": "Busan"}, "hours": 2}}
    made = (
        bulletin(),
        bulletin(incident="inc-1", kind="progress", expires=7200, next_update=1_635_130_800),
        bulletin(texts={}, template=template),
    )
    return tuple(json.dumps(one, ensure_ascii=False).encode() for one in made)


COMMAND_TOPIC = "cbgateway/v1/test/lab/cmd/alice/bulletin/submit"


def commands() -> tuple[bytes, ...]:
    """Give commands over MQTT, around a bulletin."""
    return tuple(
        write_command(
            bulletin(),
            KEY,
            content=DETACHED_CONTENT,
            command_id="c-1",
            topic=COMMAND_TOPIC,
            expires=NOW + timedelta(minutes=1),
            reply_to=reply_to,
        )
        for reply_to in (None, "cbgateway/v1/test/lab/reply/alice/1")
    )


def mqtt_packets() -> tuple[bytes, ...]:
    """Give packets of every kind."""
    user = ((Property.USER_PROPERTY, ("a", "b")),)
    will = Will("w", b"gone", 1, properties=((Property.WILL_DELAY_INTERVAL, 5),))
    whole = (
        (Property.MESSAGE_EXPIRY_INTERVAL, 60),
        (Property.RESPONSE_TOPIC, "a/r"),
        (Property.CORRELATION_DATA, b"\1\2"),
        *user,
    )
    packets = (
        mqtt5.Connect("c", keep_alive_s=60, username="u", password=b"p", will=will),
        mqtt5.ConnAck(session_present=True, reason=0, properties=user),
        mqtt5.Publish("a/b", b"payload", 1, packet_id=3, properties=whole),
        mqtt5.Publish("a/b", b"x", retain=True),
        mqtt5.Ack(mqtt5.Type.PUBACK, 3),
        mqtt5.Ack(mqtt5.Type.PUBREL, 3, 0, user),
        mqtt5.Subscribe(4, (mqtt5.Subscription("a/+", 1), mqtt5.Subscription("#"))),
        mqtt5.SubscriptionAck(mqtt5.Type.SUBACK, 4, (1, 0)),
        mqtt5.Unsubscribe(5, ("a/+",)),
        mqtt5.Ping(mqtt5.Type.PINGREQ),
        mqtt5.Ending(mqtt5.Type.DISCONNECT, 4, user),
        mqtt5.Ending(mqtt5.Type.AUTH, 24, ((Property.AUTHENTICATION_METHOD, "m"),)),
    )
    return tuple(map(mqtt5.encode, packets))


def alerts() -> tuple[bytes, ...]:
    """Give CAP alerts: of the vectors, of a region by name, and of one by shape."""
    octets = (VECTORS / "cap_signed.xml").read_bytes()
    start, end = octets.index(b"<ds:Signature"), octets.index(b"</alert>")
    carrier = b"<parameter><valueName>cbgateway:carrier</valueName><value>kt</value></parameter>"
    plain = octets[:start].replace(b"<area>", carrier + b"<area>") + octets[end:]
    start, end = plain.index(b"<geocode>"), plain.index(b"</area>")
    drawn = (
        b"<polygon>35.1,129 35.1,129.1 35.2,129.1 35.1,129</polygon><circle>35.1,129.1 5</circle>"
    )
    text = b"<parameter><valueName>CMAMtext</valueName><value>x</value></parameter><area>"
    return plain, plain[:start] + drawn + plain[end:], plain.replace(b"<area>", text)


def large_alerts() -> Iterator[bytes]:
    """Give alerts whose parts are as many and as long as fit."""
    plain = alerts()[0]
    start, end = plain.index(b"<area>"), plain.index(b"</info>")
    room = 262_144 - len(plain)
    comb = b" ".join(b"35.%d,129.%d" % (at % 2, at) for at in range(15_000))
    for one in (
        plain[start:end],
        b"<area><areaDesc/><polygon>" + comb + b"</polygon></area>",
        b"<area><areaDesc/><polygon>35,129 35,130 36,130 35,129</polygon></area>",
        b"<area><areaDesc/><circle>36,128 300</circle></area>",
    ):
        yield plain[:start] + one * (room // len(one)) + plain[end:]
    yield plain.replace(b"<alert ", b"<alert " + b'a="" ' * (room // 5))
    yield plain.replace(b"<references>", b"") + b" " * room
    yield b"<a>" * 80_000


def reports() -> tuple[bytes, ...]:
    """Give a bulletin's report."""
    facts = {
        "bulletin": "b-1",
        "texts": {"ko": TEXTS[3], "en": TEXTS[1]},
        "seals": {REGION: SEAL},
        "state": "completed",
    }
    return (json.dumps(facts, ensure_ascii=False).encode(),)


def recipients() -> tuple[bytes, ...]:
    """Give recipient lists: plain, quoted, and with a byte order mark."""
    lines = "number,region,language\n+821012345678,KR-26,ko\n821012345679,KR-11,en\n"
    quoted = lines.replace("KR-26", '"KR-26"').replace("\n", "\r\n")
    return lines.encode(), quoted.encode(), b"\xef\xbb\xbf" + lines.encode()


LOG_HEAD = "bulletin,carrier,region,first_broadcast_at,cells_reached,cells_failed,phones_seen\n"
LOG_ROW = "kt-1/1,skt,KR-26,2021-10-25T12:00:07+09:00,812,3,\n"


def carrier_logs() -> tuple[bytes, ...]:
    """Give carriers' logs: CSV and JSON."""
    names, cells = LOG_HEAD.strip().split(","), LOG_ROW.strip().split(",")
    row = {name: cell for name, cell in zip(names, cells, strict=True) if cell}
    return (LOG_HEAD + LOG_ROW).encode(), json.dumps([row]).encode()


def large_logs() -> Iterator[bytes]:
    """Give carriers' logs that are the most work: many rows, many faults, long cells, deep JSON."""
    yield LOG_HEAD.encode() + LOG_ROW.encode() * 5_000
    yield LOG_HEAD.encode() + b"a\n" * 5_000
    yield LOG_HEAD.encode() + b"," * 100_000
    yield LOG_HEAD.encode() + b'"' + b"x\n" * 65_537
    yield b"[" * 100_000
    yield b"[" + b"{}," * 4_999 + b"{}]"
    yield b"[" + b"9" * 5_000 + b"]"


def notes() -> tuple[bytes, ...]:
    """Give a signed checkpoint."""
    checkpoint = tlog.Checkpoint(ORIGIN, 3, tlog.root_of([b"a", b"b", b"c"]))
    return (tlog.sign_checkpoint(checkpoint, KEY).encode(),)


def witnesses() -> tuple[bytes, ...]:
    """Give a line of a witness file."""
    return tuple(witness_line(note.decode(), NOW.isoformat()).encode() for note in notes())


def large_witnesses() -> Iterator[bytes]:
    """Give lines of a witness file that are deep, or hold half of a surrogate pair."""
    body, between, signature = notes()[0].decode().partition("\n\n")
    yield json.dumps({"note": f"{body}\n\ud800{between}{signature}"}).encode()
    yield from large_documents()


def large_documents() -> Iterator[bytes]:
    """Give JSON documents of up to 256 KiB that are the most work for some part of a reader."""
    room = 262_144
    names = [f"{number:x}" for number in range(22_000)]
    many = ",".join(f'"{name}":0' for name in names)
    yield f"{{{many}}}".encode()
    yield f'{{{many},"{names[-1]}":1}}'.encode()
    yield ("[" * (room // 2) + "]" * (room // 2)).encode()
    yield ('{"a":' * (room // 6) + "0" + "}" * (room // 6)).encode()
    yield ('{"a":' * 900 + "0" + "}" * 900).encode()
    yield ('{"a":"' + "\\u0000" * (room // 6 - 10) + '"}').encode()
    yield f'{{"a":{"9" * (room - 10)}}}'.encode()
    yield f'{{"a":0.{"9" * (room - 10)}}}'.encode()
    yield f'{{"a":1{"0" * 4200}}}'.encode()
    for member, item in (("regions", "0"), ("services", "0"), ("services", '"voice"')):
        items = ",".join([item] * ((room - 2_000) // (len(item) + 1)))
        found = bulletin()
        (found if member == "regions" else found["incident"])[member] = "@@"
        yield json.dumps(found).replace('"@@"', f"[{items}]").encode()
    for member in ("texts", "template", "seals", "incident"):
        yield json.dumps(bulletin() | {member: "@@"}).replace('"@@"', f"{{{many}}}").encode()
        yield (
            json.dumps({"bulletin": "b", "texts": {}, "seals": {}} | {member: "@@"})
            .replace('"@@"', f"{{{many}}}")
            .encode()
        )


def large_lists() -> Iterator[bytes]:
    """Give recipient lists that are the most work: long lines, long cells, many faults."""
    header = b"number,region,language\n"
    yield header + b"".join(b"%d,KR-26,ko\n" % number for number in range(8_200_000, 8_210_000))
    yield header + b"+821012345678,KR-26,ko\n" * 10_000
    yield header + b"\n" * 20_000
    yield header + b"," * 100_000
    yield header + b"x" * 131_073
    yield header + b'"' + b"x\n" * 65_537
    yield header + b'"' + b'""' * 131_073
    yield b"," * 200_000
    yield b"x" * 131_073
    yield header + b" " * 100_000 + b"+821012345678,KR-26,ko\n"


def large_tokens() -> Iterator[bytes]:
    """Give signatures that are long, deep or have many parts."""
    yield b"." * 16_384
    yield b"a" * 16_384 + b".."
    yield b"a" * 1_000_000
    for inside in (
        b"[" * 12_000,
        b'{"a":' * 2_000 + b"0" + b"}" * 2_000,
        b'{"kid":' + b"9" * 12_000 + b"}",
        b'{"kid":' + b"[" * 900 + b"]" * 900 + b"}",
    ):
        header = encode_base64url(inside).encode()
        yield header + b".." + sign_header(header, b"")
        payload = encode_base64url(PAYLOAD).encode()
        yield header + b"." + payload + b"." + sign_parts(header, payload)


def large_claims() -> Iterator[bytes]:
    """Give payloads of seals that are deep."""
    yield b"[" * 9_000
    yield b'{"a":' * 1_500 + b"0" + b"}" * 1_500


def large_pdus() -> Iterator[bytes]:
    """Give PDUs of the greatest length: one long TLV, very many empty ones, very many PDUs."""
    bind = smpp.encode(smpp.Pdu(smpp.BindTransceiver(interface_version=0x50), 1))
    broadcast = broadcasts()[1]
    deep = base64.urlsafe_b64encode(b"[" * 40_000).rstrip(b"=")
    message = messages()[0]
    for base, tlvs in (
        (broadcast, b"\x14\0\0\0" * 17_000),
        (broadcast, b"\x15\x01\xff\xff" + b"\xff" * 65_535),
        (broadcast, b"\x15\x02\xff\xff" + b"\xff" * 65_535),
        (broadcast, b"\x06\x06\0\3\0KR" * 9_000),
        (message, b"\x15\x05\xff\xff" + b"\xff" * 65_535),
        (smpp.encode(smpp.Pdu(smpp.CancelBroadcastSm(), 3)), b"\2\4\0\2\0\1"),
    ):
        octets = base + tlvs
        yield len(octets).to_bytes(4, "big") + octets[4:]
    body = smpp.SubmitSm(destination=smpp.Address(1, 1, OLD_NUMBER), data_coding=8)
    for tlvs2 in (
        (smpp.Tlv(TAG.MESSAGE_PAYLOAD, b"\xd8\0" * 32_767),),
        (smpp.Tlv(TAG.MESSAGE_PAYLOAD, b"\0\x1b" * 32_767),),
        (smpp.Tlv(0x1500, deep + b"..AA"),),
        (smpp.Tlv(0x1500, b"." * 65_535),),
    ):
        yield smpp.encode(smpp.Pdu(body, 4, tlvs=tlvs2))
    yield bind * 1_000
    yield smpp.encode(smpp.Pdu(smpp.EnquireLink(), 4)) * 2_000
    yield (70_000).to_bytes(4, "big") + bytes(69_999)


def large_short_messages() -> Iterator[bytes]:
    """Give texts as long as a message_payload, behind one octet that chooses the coding."""
    for coding in (0, 1, 3, 8):
        yield bytes([coding]) + bytes(65_535)
        yield bytes([coding]) + b"\x1b" * 65_534
        yield bytes([coding]) + b"\xd8\0" * 32_767
