"""Those who look on: PDUs field by field, files of lines and packets, the newest remembered."""

import errno
import json
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest

from cbgateway.codec import smpp
from cbsim.dissect import dissect, flat
from cbsim.exports import Export, export_lines, export_pcap
from cbsim.pcap import FILE_HEADER, SEGMENT_OCTETS, PcapWriter, capture
from cbsim.watch import EVENTS_MAX, SeenPdu, Watch

AT_S = 1_635_130_800.25


def seen(octets: bytes, direction: str = "in", session: int = 1) -> SeenPdu:
    """Give octets that went by."""
    return SeenPdu(AT_S, session, direction, octets)


def pdu(body: smpp.Body, *tlvs: smpp.Tlv, status: int = 0) -> bytes:
    """Write a PDU."""
    return smpp.encode(smpp.Pdu(body, 7, status, tlvs))


def test_submit_is_taken_apart() -> None:
    """Header, fields, TLVs by name, and the text."""
    octets = pdu(
        smpp.SubmitSm(destination=smpp.Address(1, 1, "8210"), data_coding=8),
        smpp.Tlv.integer(smpp.TlvTag.USER_MESSAGE_REFERENCE, 9),
        smpp.Tlv(smpp.TlvTag.MESSAGE_PAYLOAD, "복구".encode("utf-16-be")),
    )
    facts = dissect(seen(octets))

    assert (facts["pdu"], facts["status"], facts["sequence_number"]) == ("submit_sm", "ESME_ROK", 7)
    assert facts["fields"]["destination_addr"] == "8210"
    assert [tlv["name"] for tlv in facts["tlvs"]] == ["user_message_reference", "message_payload"]
    assert facts["text"] == "복구"
    assert flat(facts)["user_message_reference"] == 9
    assert json.loads(json.dumps(facts)) == facts


def test_concatenated_part_is_text_without_its_header() -> None:
    """The user data header is no text."""
    body = smpp.SubmitSm(esm_class=0x40, short_message=bytes.fromhex("0500030102") + b"\1hello")

    assert dissect(seen(pdu(body)))["text"] == "hello"


def test_password_is_not_told() -> None:
    """Only how long it is."""
    facts = dissect(seen(pdu(smpp.BindTransmitter(system_id="a", password="secret"))))

    assert facts["fields"]["password"] == "(6 characters)"


@pytest.mark.parametrize(
    ("octets", "name", "problem"),
    [
        (b"\0\0\0\x10", None, "is not whole"),
        (struct.pack(">IIII", 17, 4, 0, 1) + b"\xff", "submit_sm", "service_type"),
        (struct.pack(">IIII", 16, 0xFACE, 0, 1), "0x0000face", "0x0000face"),
        (struct.pack(">IIII", 18, 0x21, 0, 1) + b"\0\0", "submit_multi", None),
    ],
)
def test_what_is_broken_is_told_as_far_as_it_goes(
    octets: bytes, name: str | None, problem: str | None
) -> None:
    """Never an error of our own."""
    facts = dissect(seen(octets))

    assert facts["pdu"] == name
    assert (problem is None) == (facts["problem"] is None)
    assert problem is None or problem in facts["problem"]


def test_text_that_cannot_be_read_is_none() -> None:
    """An odd number of octets is no UCS-2."""
    octets = pdu(smpp.SubmitSm(data_coding=8, short_message=b"\0a"))
    octets = octets.replace(b"\x02\0a", b"\x01\0").replace(octets[:4], struct.pack(">I", 50), 1)

    assert dissect(seen(octets))["text"] is None


def test_capture_numbers_octets_as_tcp_does() -> None:
    """Sequence, acknowledgement and checksums are those of a connection."""
    octets = capture([seen(b"abc"), seen(b"defgh", "out"), seen(b"i"), seen(b"x", session=2)])
    packets, at = [], len(FILE_HEADER)
    while at < len(octets):
        seconds, micros, length, _ = struct.unpack_from("<IIII", octets, at)
        packets.append(octets[at + 16 : at + 16 + length])
        at += 16 + length
    heads = [struct.unpack_from(">HHII", packet, 20) for packet in packets]

    assert (seconds, micros) == (1_635_130_800, 250_000)
    assert heads == [
        (40_001, 2775, 1, 1),
        (2775, 40_001, 1, 4),
        (40_001, 2775, 4, 6),
        (40_002, 2775, 1, 1),
    ]
    for packet in packets:
        total = sum(struct.unpack(">10H", packet[:20]))
        assert (total & 0xFFFF) + (total >> 16) == 0xFFFF


def test_long_pdu_is_more_than_one_packet() -> None:
    """None is longer than IP allows."""
    records = PcapWriter().records(seen(bytes(SEGMENT_OCTETS + 1)))

    assert len(records) == 2 * (16 + 40) + SEGMENT_OCTETS + 1


@pytest.mark.integration
def test_wireshark_reads_the_capture(tmp_path: Path) -> None:
    """Every PDU is one, none is malformed, and no checksum is wrong."""
    path = tmp_path / "run.pcap"
    asked = pdu(smpp.SubmitSm(destination=smpp.Address(1, 1, "8210"), short_message=b"hello"))
    answered = pdu(smpp.SubmitSmResp(message_id="1"))
    path.write_bytes(capture([seen(asked), seen(answered, "out"), seen(asked), seen(answered)]))
    done = subprocess.run(
        [
            *("tshark", "-r", str(path), "-o", "tcp.check_checksum:TRUE"),
            *("-o", "ip.check_checksum:TRUE", "-T", "fields"),
            *("-e", "smpp.command_id", "-e", "tcp.checksum.status", "-e", "ip.checksum.status"),
            *("-e", "_ws.malformed"),
        ],
        capture_output=True,
        text=True,
        check=True,
    )

    assert [line.split() for line in done.stdout.splitlines()] == [
        ["0x00000004", "1", "1"],
        ["0x80000004", "1", "1"],
        ["0x00000004", "1", "1"],
        ["0x80000004", "1", "1"],
    ]


def test_files_hold_what_happened(tmp_path: Path) -> None:
    """Events and PDUs as lines in order, PDUs as packets; what came before is in neither."""
    watch = Watch(lambda: AT_S)
    watch.event({"event": "before"})
    lines, packets = tmp_path / "a.jsonl", tmp_path / "a.pcap"
    failures: list[str] = []
    exports = [Export(lines, failures.append), Export(packets, failures.append)]
    export_lines(watch, exports[0])
    export_pcap(watch, exports[1])
    watch.event({"event": "bound", "system_id": "ü"})
    watch.pdu(1, "in", pdu(smpp.EnquireLink()))
    for export in exports:
        export.close()
    watch.event({"event": "after"})

    told = [json.loads(line) for line in lines.read_text("utf-8").splitlines()]
    assert told[0] == {"at_s": AT_S, "event": "bound", "system_id": "ü"}
    assert [(one["event"], one.get("pdu")) for one in told[1:]] == [("pdu", "enquire_link")]
    assert packets.read_bytes() == capture([seen(pdu(smpp.EnquireLink()))])
    assert failures == []


def test_full_disk_ends_the_file_alone(tmp_path: Path) -> None:
    """It is told once, and nothing else ends."""

    class Full:
        closed = False

        def write(self, octets: bytes) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        def close(self) -> None:
            self.closed = True

    failures: list[str] = []
    export = Export(tmp_path / "a.jsonl", failures.append)
    export.close()
    full: Any = Full()
    export._file = full
    export.write(b"a")
    export.write(b"b")

    assert failures == [f"{tmp_path / 'a.jsonl'}: No space left on device"]
    assert full.closed


def test_only_the_newest_is_remembered() -> None:
    """However much happens."""
    watch = Watch(lambda: AT_S)
    for number in range(EVENTS_MAX + 5):
        watch.event({"event": "one", "number": number})

    assert (len(watch.events), watch.events[0]["number"]) == (EVENTS_MAX, 5)
    watch.clear()
    assert not watch.events


def test_messages_are_told_when_taken_and_when_they_end(lab: Any, message_to: Any) -> None:
    """Twice when they are under way in between."""
    one = lab({"states": {"enroute": 2}})
    told: list[str] = []
    one.centre.on_message = lambda message: told.append(message.facts()["state"])
    one.esme().bind().ask(message_to())
    one.wait(3)

    assert told == ["ENROUTE", "DELIVERED"]
