"""Every decoder that octets from outside reach, and what each of them promises.

A target does with what it has decoded what the product does next: names are looked up, answers
are written, texts are read.
"""

from collections.abc import Iterator, Mapping
from io import BytesIO
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from cbgateway.app import load_checked_profiles
from cbgateway.carriers.smpp.batch import Settled
from cbgateway.carriers.smpp.session import Credentials, SmppSession, State
from cbgateway.codec import cbs, dcs, gsm7, mqtt5, smpp, smpp_text, ucs2
from cbgateway.codec.smpp_bulk import AnswerFramer, SubmitAnswers, SubmitTemplate
from cbgateway.codec.smpp_receipt import Receipts, read_receipt
from cbgateway.domain.bulletin import Mode
from cbgateway.domain.enquiry import masked, understand
from cbgateway.domain.errors import (
    AuditError,
    DecodeError,
    ExpiredError,
    InputError,
    PolicyError,
    SignatureInvalidError,
)
from cbgateway.interfaces.cap.document import CapAlert
from cbgateway.interfaces.cap.incoming import CapSender, check_is_ours, open_cap, request_of
from cbgateway.interfaces.carrier_log import parse_carrier_log
from cbgateway.interfaces.mqtt.commands import CommandError, Incoming, read_command
from cbgateway.interfaces.mqtt.topics import Topics
from cbgateway.interfaces.recipients import read_recipients
from cbgateway.interfaces.schema import parse_bulletin, parse_report
from cbgateway.service.audit import read_witness
from cbgateway.service.deployment import Deployment
from cbgateway.service.guard import Guard
from cbgateway.service.vocabulary import vocabulary_of
from cbgateway.signing import tlog
from cbgateway.signing.jws import key_id_in, sign_compact, verify_compact, verify_detached
from cbgateway.signing.seal import CONTENT, check_texts, open_seal
from cbsim import reader
from cbsim.broker import Broker, BrokerLink
from cbsim.handset import Handset
from cbsim.network import Network
from cbsim.seals import PublishedKey, check_seal
from cbsim.smsc import MessageCentre, SmscSession, VendorTlvs
from tests.fuzz import mutate, seeds, targets_cbsp
from tests.fuzz.engine import Target

REGIONS = frozenset({"KR", "KR-11", "KR-26"})
RANGE_MESSAGES = 20
LANGUAGES = frozenset({"ko", "en"})
RULES = (
    load_checked_profiles(None)
    .carriers["kt"]
    .smpp.model_copy(
        update={"window_requests_max": 100}  # room for both ranges
    )
)
PUBLISHED = {
    seeds.KEY.key_id: PublishedKey(
        seeds.REGION, Ed25519PublicKey.from_public_bytes(seeds.KEY.public_key)
    )
}


def _gsm7_packed(octets: bytes) -> object:
    fill_bits, packed = (octets[0] & 7 if octets else 0), octets[1:]
    return gsm7.text_of(gsm7.unpack(packed, septets=len(packed) * 8 // 7, fill_bits=fill_bits))


def _gsm7_unpacked(octets: bytes) -> object:
    return gsm7.text_of(octet & 0x7F for octet in octets)


def _dcs(octets: bytes) -> object:
    return dcs.parse_dcs(int.from_bytes(octets, "big", signed=len(octets) > 1))


def _cb_data(octets: bytes) -> object:
    scheme, data = (octets[0] if octets else 0), octets[1:]
    return cbs.read_pages(cbs.decode_cb_data(data), dcs=scheme)


def _gsm_page(octets: bytes) -> object:
    page = cbs.decode_gsm_page(octets)
    return cbs.read_pages([page.page], dcs=page.dcs)


def _pdu(octets: bytes) -> object:
    return _look_at(smpp.decode(octets))


def _look_at(pdu: smpp.Pdu) -> object:
    values = [(tlv.name, smpp.tlv_value(tlv)) for tlv in pdu.tlvs]
    smpp.check_mandatory_tlvs(pdu)
    return smpp.name_of(pdu.body), smpp.fields_of(pdu.body), values


def _framer(octets: bytes) -> None:
    """Feed a stream whole and octet by octet: both must give the same."""
    whole, drip = smpp.Framer(), smpp.Framer()
    at_once = whole.receive(octets)
    one_by_one = [item for at in range(len(octets)) for item in drip.receive(octets[at : at + 1])]
    if [_told(item) for item in at_once] != [_told(item) for item in one_by_one]:
        msg = "the pieces that a stream came in made a difference"
        raise AssertionError(msg)
    if whole.is_incomplete != drip.is_incomplete:
        msg = "the pieces that a stream came in made a difference to what is left"
        raise AssertionError(msg)


def _answers(octets: bytes) -> None:
    """Feed a stream, cut somewhere, to the bulk reader: it gives what a framer gives."""
    ordinary, bulk = smpp.Framer(), AnswerFramer()
    cut = len(octets) // 3
    pieces = (octets[:cut], octets[cut:])
    expected = [_told(item) for piece in pieces for item in ordinary.receive(piece)]
    found: list[object] = []
    for item in (item for piece in pieces for item in bulk.receive(piece)):
        if isinstance(item, SubmitAnswers):
            found += [item.pdu(index) for index in range(len(item.numbers))]
        elif isinstance(item, Receipts):
            found += zip(item.numbers, item.receipts, strict=True)
        else:
            found.append(_told(item))
    if expected != found or ordinary.is_incomplete != bulk.is_incomplete:
        msg = "answers are read differently in bulk"
        raise AssertionError(msg)


def _told(item: smpp.Pdu | smpp.Unparsed) -> object:
    """Give a framer's item as something that can be compared."""
    if isinstance(item, smpp.Pdu):
        receipt = read_receipt(item)
        return item if receipt is None else (item.sequence_number, receipt)
    return item.header, str(item.error), smpp.encode(item.refusal())


def _text(octets: bytes) -> object:
    return smpp_text.decode_text(octets[1:], octets[0] if octets else 0)


def _udh(octets: bytes) -> object:
    header, body = smpp_text.split_udh(octets)
    return smpp_text.concatenation(header), body


def _time(octets: bytes) -> object:
    return smpp.parse_time(octets.decode("latin-1"))


def _session(state: State) -> SmppSession:
    session = SmppSession(RULES, Credentials("gateway", "secret"))
    session.tick(now=0.0)
    if state is State.BINDING:
        return session
    session.receive(_BOUND, now=0.0)
    for token in range(3):
        session.request(smpp.EnquireLink(), (), token=token, now=0.0)
    if state is State.UNBINDING:
        session.unbind(now=0.0)
    session.outgoing()
    return session


_BOUND = smpp.encode(smpp.Pdu(smpp.BindTransmitterResp(system_id="smsc"), 1))


def _receive(state: State, octets: bytes) -> None:
    """Let a session take octets and time; whatever it sends has to be readable."""
    session = _session(state)
    session.receive(octets, now=1.0)
    session.next_tick()
    session.tick(now=5.0)
    _check_sent(session.outgoing())
    session.tick(now=1_000.0)
    session.lost()


def _receive_bulk(octets: bytes) -> None:
    """Let a session with ranges in flight take octets: each range is settled once, in full."""
    session = _session(State.BOUND)
    message = smpp.SubmitSm(short_message=b"x")
    for token, parts in enumerate((1, 2)):
        template = SubmitTemplate([(message, ())] * parts)
        session.request_many(template, ["82101"] * RANGE_MESSAGES, token=token, now=0.0)
    session.outgoing()
    events = [*session.receive(octets, now=1.0), *session.tick(now=5.0)]
    _check_sent(session.outgoing())
    events += [*session.tick(now=1_000.0), *session.lost()]
    settled = [event for event in events if isinstance(event, Settled)]
    if sorted(event.token for event in settled) != [0, 1] or any(
        len(event.outcomes) != RANGE_MESSAGES for event in settled
    ):
        msg = f"two ranges were settled as {settled}"
        raise AssertionError(msg)


def _receive_binding(octets: bytes) -> None:
    _receive(State.BINDING, octets)


def _receive_bound(octets: bytes) -> None:
    _receive(State.BOUND, octets)


def _receive_unbinding(octets: bytes) -> None:
    _receive(State.UNBINDING, octets)


def _check_sent(octets: bytes) -> None:
    framer = smpp.Framer()
    for item in framer.receive(octets):
        if isinstance(item, smpp.Unparsed):
            msg = f"what was sent cannot be read: {item.error}"
            raise AssertionError(msg)  # noqa: TRY004 - the product is wrong, not a type
    if framer.is_incomplete:
        msg = "what was sent does not end"
        raise AssertionError(msg)


def _phones() -> list[Handset]:
    return [
        Handset(number, seeds.REGION, "ko", "ko", takes_broadcasts=takes, keys=PUBLISHED)
        for number, takes in ((seeds.NUMBER, True), (seeds.OLD_NUMBER, False))
    ]


def _smsc_open(octets: bytes) -> None:
    """Let a simulated centre take octets from somebody who has not bound."""
    network = Network(_phones(), lambda _phone, _shown: None)
    centre = MessageCentre(
        "smsc",
        network,
        accounts=(),
        areas={"KR": seeds.REGION},
        vendor_tlvs=VendorTlvs(),
        now_s=lambda: seeds.NOW_S,
    )
    session = SmscSession(centre, lambda _event: None)
    session.receive(octets)
    _check_sent(session.outgoing())
    for hour in range(3):
        network.tick(now_s=seeds.NOW_S + hour * 3_600)


_BIND = smpp.encode(smpp.Pdu(smpp.BindTransceiver(system_id="gw", interface_version=0x50), 1))


def _smsc_bound(octets: bytes) -> None:
    _smsc_open(_BIND + octets)


def _reader_page(octets: bytes) -> object:
    page = reader.read_gsm_page(octets)
    return None if page is None else reader.read_content(page.content, page.dcs)


def _reader_text(octets: bytes) -> object:
    part, body = reader.split_header(octets[1:])
    return part, reader.read_short_message(body, octets[0] if octets else 0)


def _handset_pages(octets: bytes) -> None:
    """Let a phone take pages of 88 octets, the last one cut."""
    for phone in _phones():
        for start in range(0, len(octets), reader.GSM_PAGE_OCTETS):
            page = octets[start : start + reader.GSM_PAGE_OCTETS]
            phone.receive_page(page, seal=seeds.SEAL, now_s=seeds.NOW_S)


def _handset_sms(octets: bytes) -> None:
    phone = _phones()[1]
    coding = octets[0] if octets else 0
    for esm_class in (0, 0x40, 0x40):
        phone.receive_sms(
            octets[1:],
            source="1",
            data_coding=coding,
            esm_class=esm_class,
            sar=None,
            seal="",
            now_s=seeds.NOW_S,
        )


def _lookup(key_id: str) -> bytes | None:
    return seeds.KEY.public_key if key_id == seeds.KEY.key_id else None


def _jws_compact(octets: bytes) -> object:
    return verify_compact(octets.decode("latin-1"), _lookup, content=CONTENT)


def _jws_detached(octets: bytes) -> object:
    token = octets.decode("utf-8", "surrogateescape")
    return verify_detached(token, seeds.PAYLOAD, _lookup, content=seeds.DETACHED_CONTENT)


def _jws_key_id(octets: bytes) -> object:
    return key_id_in(octets.decode("latin-1"))


def _seal(octets: bytes) -> None:
    seal = open_seal(octets.decode("latin-1"), [seeds.REGION_KEY])
    check_texts(seal, {"ko": seeds.TEXTS[3], "en": seeds.TEXTS[1]})


def _seal_claims(octets: bytes) -> None:
    """Open a seal whose signature holds: what it says is any octets."""
    _seal(sign_compact(octets[:10_000], seeds.KEY, content=CONTENT).encode())


def _phone_seal(octets: bytes) -> object:
    return check_seal(
        octets.decode("ascii", "replace"),
        PUBLISHED,
        regions=(seeds.REGION, "KR"),
        text=seeds.TEXTS[3],
        broadcast=(4371, 0x4010),
    )


def _phone_seal_claims(octets: bytes) -> object:
    return _phone_seal(sign_compact(octets[:10_000], seeds.KEY, content=CONTENT).encode())


PROFILES = load_checked_profiles(None)
DEPLOYMENT = Deployment(
    mode=Mode.TEST,
    country=PROFILES.countries["kr"],
    regions=PROFILES.regions["kr"],
    carriers=PROFILES.carriers,
    templates={},
    words=PROFILES.words,
)
VOCABULARY = vocabulary_of(DEPLOYMENT)
GUARD = Guard(
    DEPLOYMENT.country.enquiries,
    auto_replies=[
        pattern for words in DEPLOYMENT.answering.values() for pattern in words.auto_replies
    ],
    own_numbers=("1234",),
)
CAP_SENDERS = {
    "noc@carrier.example": CapSender(
        "kt_noc",
        x509.load_pem_x509_certificate((seeds.VECTORS / "cap_signed.crt").read_bytes()),
        "kt",
    )
}


def _cap(octets: bytes) -> object:
    """Read an alert that anybody brings, and what it asks for."""
    opened = open_cap(octets, {}, at=seeds.NOW)
    return _asks(opened.alert), request_of(opened, DEPLOYMENT, submitter="alice")


def _cap_signed(octets: bytes) -> object:
    opened = open_cap(octets, CAP_SENDERS, at=seeds.NOW)
    return request_of(opened, DEPLOYMENT, submitter="kt_noc")


def _asks(alert: CapAlert) -> None:
    check_is_ours(alert, DEPLOYMENT)
    if alert.message_type != "Alert":
        msg = "what refers to others needs a store"
        raise InputError(msg)


def _recipients(octets: bytes) -> object:
    return list(read_recipients(BytesIO(octets), regions=REGIONS, languages=LANGUAGES))


def _witness(octets: bytes) -> object:
    """Read a witness file of two lines, the first one sound."""
    lines = seeds.witnesses()[0] + octets.rstrip(b"\n") + b"\n"
    return read_witness(lines, origin=seeds.ORIGIN, public_key=seeds.KEY.public_key)


def _checkpoint(octets: bytes) -> object:
    note = octets.decode("utf-8", "replace")
    return tlog.open_checkpoint(note, origin=seeds.ORIGIN, public_key=seeds.KEY.public_key)


def _mqtt5(octets: bytes) -> object:
    """Read a packet; what was read can be written, and reads the same."""
    packet = mqtt5.decode(octets)
    if mqtt5.decode(mqtt5.encode(packet)) != packet:
        msg = "what was read is not what would be written"
        raise AssertionError(msg)
    return packet


def _mqtt5_framer(octets: bytes) -> object:
    return list(mqtt5.Framer(octets_max=65_536).receive(octets))


def _broker(octets: bytes) -> None:
    """Let a broker take octets, from somebody who has connected and somebody who has not."""
    broker = Broker(now_s=lambda: seeds.NOW_S, on_wake=lambda link: None)
    for first in (b"", seeds.mqtt_packets()[0]):
        link = BrokerLink(broker)
        link.receive(first + octets)
        list(mqtt5.Framer().receive(link.outgoing()))
        link.lost()


def _command(octets: bytes) -> object:
    """Read a command over MQTT from its payload."""
    incoming = Incoming(seeds.COMMAND_TOPIC, octets, 1, retain=False)
    return read_command(incoming, Topics(Mode.TEST, "lab"), now=seeds.NOW)


def _codecs() -> Iterator[tuple[str, Target]]:
    decode: dict[str, Any] = {"promised": (DecodeError,), "mutate": mutate.octets}
    vector, large = seeds.vectors, seeds.large_short_messages
    packed = tuple(b"\0" + octets for octets in vector("cbs.json", "gsm7_"))
    yield "gsm7_packed", Target(call=_gsm7_packed, seeds=packed, **decode)
    unpacked = tuple(smpp_text.encode_text(text, 0) for text in seeds.TEXTS[:3])
    yield "gsm7_unpacked", Target(call=_gsm7_unpacked, seeds=unpacked, large=large, **decode)
    wide = tuple(ucs2.encode(text) for text in seeds.TEXTS)
    yield "ucs2", Target(call=ucs2.decode, seeds=wide, large=large, **decode)
    octet = tuple(bytes([value]) for value in (0, 1, 0x0F, 0x10, 0x11, 0x24, 0x48, 0x5B, 0x44))
    yield "dcs", Target(call=_dcs, seeds=octet, **decode)
    data = tuple(
        bytes([scheme]) + one
        for one in seeds.cb_data()
        for scheme in (0x01, 0x0F, 0x10, 0x11, 0x48, 0xF4)
    )
    yield "cbs_cb_data", Target(call=_cb_data, seeds=data, **decode)
    yield "cbs_gsm_page", Target(call=_gsm_page, seeds=seeds.gsm_pages(), **decode)
    serials = vector("cbs.json", "serial_")
    yield "cbs_serial", Target(call=cbs.decode_serial_number, seeds=serials, **decode)
    warnings = vector("cbs.json", "warning_type_")
    yield "cbs_warning_type", Target(call=cbs.decode_warning_type, seeds=warnings, **decode)
    primary = vector("cbs.json", "etws_primary_")
    packets = seeds.mqtt_packets()
    yield "mqtt5", Target(call=_mqtt5, seeds=packets, **decode)
    yield "mqtt5_framer", Target(call=_mqtt5_framer, seeds=packets, **decode)
    yield "cbsim_broker", Target(call=_broker, promised=(), seeds=packets, mutate=mutate.octets)
    yield "cbs_etws_primary", Target(call=cbs.decode_etws_primary, seeds=primary, **decode)


def _smpp() -> Iterator[tuple[str, Target]]:
    promised = (DecodeError,)
    pdus, large = seeds.pdus(), seeds.large_pdus
    one, many = mutate.pdu, mutate.stream
    yield (
        "smpp_decode",
        Target(call=_pdu, promised=promised, seeds=pdus, mutate=one, large=large),
    )
    streams = (*pdus[:40], *(b"".join(pdus[at : at + 3]) for at in range(0, len(pdus), 3)))
    yield (
        "smpp_framer",
        Target(call=_framer, promised=(), seeds=streams, mutate=many, large=large),
    )
    runs = (*seeds.runs(), *streams)
    yield (
        "smpp_answers",
        Target(call=_answers, promised=(), seeds=runs, mutate=many, large=seeds.large_runs),
    )
    texts = tuple(
        bytes([coding]) + smpp_text.encode_text(text, coding)
        for text in seeds.TEXTS[:3]
        for coding in (0, 8)
    )
    texts += (b"\x01plain", b"\x03caf\xe9", b"\x04\0\1")
    change = mutate.octets
    yield (
        "smpp_text",
        Target(
            call=_text,
            promised=promised,
            seeds=texts,
            mutate=change,
            large=seeds.large_short_messages,
        ),
    )
    headers = (b"\5\0\3\xa7\2\1text", b"\6\x08\4\0\xa7\2\2text", b"\0text", b"\7\5\4\1\2\3\4\0text")
    yield "smpp_udh", Target(call=_udh, promised=promised, seeds=headers, mutate=change)
    times = (b"211025030000000+", b"211025030000936-", b"000002030405000R", b"991231235959948+")
    digits = mutate.with_words(*(b"0", b"9", b"00", b"99", b"31", b"-", b"+", b"R", b"\xb2", b"\n"))
    yield "smpp_time", Target(call=_time, promised=promised, seeds=times, mutate=digits)


def _sessions() -> Iterator[tuple[str, Target]]:
    heard: dict[str, Any] = {
        "promised": (),
        "seeds": (*seeds.answers(), *seeds.bodies()),
        "mutate": mutate.stream,
        "large": seeds.large_pdus,
    }
    yield "session_binding", Target(call=_receive_binding, **heard)
    yield "session_bound", Target(call=_receive_bound, **heard)
    yield "session_unbinding", Target(call=_receive_unbinding, **heard)
    bulk = heard | {"seeds": (*seeds.runs(), *seeds.answers()), "large": seeds.large_runs}
    yield "session_bulk", Target(call=_receive_bulk, **bulk)
    asked = heard | {"seeds": (*seeds.binds(), *seeds.pdus())}
    yield "cbsim_smsc_open", Target(call=_smsc_open, **asked)
    asked = heard | {"seeds": (*seeds.pdus(), *seeds.messages(), *seeds.broadcasts() * 4)}
    yield "cbsim_smsc_bound", Target(call=_smsc_bound, **asked)


def _phone_targets() -> Iterator[tuple[str, Target]]:
    total: dict[str, Any] = {"promised": (), "mutate": mutate.octets}
    pages = seeds.gsm_pages()
    yield "cbsim_reader_page", Target(call=_reader_page, seeds=pages, **total)
    both = (*pages, b"".join(pages), b"".join(pages[1:6]))
    yield "cbsim_handset_pages", Target(call=_handset_pages, seeds=both, **total)
    texts = (b"\0\5\0\3\xa7\2\1text", b"\x08\6\x08\4\0\xa7\2\2\xc7\xa5", b"\3\0text", b"\1")
    large = seeds.large_short_messages
    yield "cbsim_reader_text", Target(call=_reader_text, seeds=texts, large=large, **total)
    yield "cbsim_handset_sms", Target(call=_handset_sms, seeds=texts, large=large, **total)
    sealed = (seeds.SEAL.encode(), seeds.DETACHED.encode())
    unsigned = total | {"mutate": mutate.signature()}
    yield (
        "cbsim_seal",
        Target(call=_phone_seal, seeds=sealed, large=seeds.large_tokens, **unsigned),
    )
    claims = (seeds.CLAIMS,)
    inside = total | {"mutate": mutate.document}
    yield (
        "cbsim_seal_claims",
        Target(call=_phone_seal_claims, seeds=claims, large=seeds.large_claims, **inside),
    )


def _signatures() -> Iterator[tuple[str, Target]]:
    promised = (SignatureInvalidError,)
    sealed, detached = (seeds.SEAL.encode(),), (seeds.DETACHED.encode(),)
    compact: dict[str, Any] = {
        "promised": promised,
        "mutate": mutate.signature(seeds.sign_parts),
        "large": seeds.large_tokens,
    }
    header = compact | {"mutate": mutate.signature(seeds.sign_header)}
    yield "jws_compact", Target(call=_jws_compact, seeds=sealed, **compact)
    yield "jws_detached", Target(call=_jws_detached, seeds=detached, **header)
    yield "jws_key_id", Target(call=_jws_key_id, seeds=sealed + detached, **compact)
    unsigned = compact | {"mutate": mutate.signature()}
    yield "seal", Target(call=_seal, seeds=sealed, **unsigned)
    claims = compact | {"mutate": mutate.document, "large": seeds.large_claims}
    inside = (seeds.CLAIMS,)
    yield "seal_claims", Target(call=_seal_claims, seeds=inside, **claims)
    log: dict[str, Any] = {"promised": (AuditError,)}
    lines = mutate.with_words("— ".encode(), b"\n\n", b"-1", b"9" * 4_400, seeds.ORIGIN.encode())
    witness: dict[str, Any] = {"mutate": mutate.document, "large": seeds.large_witnesses}
    yield "witness", Target(call=_witness, seeds=seeds.witnesses(), **witness, **log)
    yield "checkpoint", Target(call=_checkpoint, seeds=seeds.notes(), mutate=lines, **log)
    bundle = (tlog.bundle([b"", b"a", b"bcd" * 50]),)
    yield "bundle", Target(call=tlog.unbundle, seeds=bundle, mutate=mutate.octets, **log)


def _enquiry(octets: bytes) -> None:
    """Understand what somebody wrote, and keep of it what may be kept."""
    text = octets.decode("utf-8", "replace")
    found = understand(text, VOCABULARY)
    if found.region not in {"", *DEPLOYMENT.regions} or any(c.isdecimal() for c in masked(text)):
        msg = "a region that is not there, or a digit that was kept"
        raise AssertionError(msg)
    GUARD.look(text[:8], text[:20], text, now_s=0.0)


def _large_texts() -> Iterator[bytes]:
    """Give texts that take longest: without a space, and of characters that grow."""
    for text in ("서울 " * 20_000, "@" * 60_000, "ﷺ" * 20_000, "㌖" * 20_000, "중" * 20_000):
        yield text.encode()


def _enquiries() -> Iterator[tuple[str, Target]]:
    words = [*VOCABULARY.commands, *VOCABULARY.regions, " ", "K7F2Q9", "010-1234-5678", "\u3000"]
    texts = ("상태", "신고 서울", "OUT Busan", "확인 K7F2Q9", "언제 되나요?", "ＳＴＡＴＵＳ")
    yield (
        "enquiry",
        Target(
            call=_enquiry,
            promised=(),
            seeds=tuple(text.encode() for text in texts),
            mutate=mutate.with_words(*(word.encode() for word in words)),
            large=_large_texts,
        ),
    )


def _documents() -> Iterator[tuple[str, Target]]:
    document: dict[str, Any] = {
        "promised": (InputError,),
        "mutate": mutate.document,
        "large": seeds.large_documents,
    }
    yield "bulletin", Target(call=parse_bulletin, seeds=seeds.bulletins(), **document)
    words = (b"<", b">", b"</alert>", b"<info>", b"]]>", b"<!--", b"&lt;", b"&x;", b"\xff", b"-1")
    alert = document | {
        "promised": (InputError, PolicyError, SignatureInvalidError),
        "mutate": mutate.with_words(*words),
        "large": seeds.large_alerts,
    }
    yield "cap", Target(call=_cap, seeds=seeds.alerts(), **alert)
    signed = ((seeds.VECTORS / "cap_signed.xml").read_bytes(),)
    yield "cap_signed", Target(call=_cap_signed, seeds=signed, **alert)
    commands = document | {"promised": (InputError, CommandError, ExpiredError)}
    yield "mqtt_command", Target(call=_command, seeds=seeds.commands(), **commands)
    yield "report", Target(call=parse_report, seeds=seeds.reports(), **document)
    words = (b'"', b'""', b",", b"\r", b"\n", b"\0", b"\xff", b"\xef\xbb\xbf", b"+", b"KR-26", b"0")
    yield (
        "recipients",
        Target(
            call=_recipients,
            promised=(InputError,),
            seeds=seeds.recipients(),
            mutate=mutate.with_words(*words),
            large=seeds.large_lists,
        ),
    )
    words = (*words, b"[", b"]", b"{", b"}", b"null", b"1e9", b"T", b":", b"-", b"2021")
    yield (
        "carrier_log",
        Target(
            call=parse_carrier_log,
            promised=(InputError,),
            seeds=seeds.carrier_logs(),
            mutate=mutate.with_words(*words),
            large=seeds.large_logs,
        ),
    )


TARGETS: Mapping[str, Target] = dict(
    entry
    for family in (
        _codecs,
        _smpp,
        targets_cbsp.family,
        _sessions,
        _phone_targets,
        _signatures,
        _enquiries,
        _documents,
    )
    for entry in family()
)
"""Target by name."""
