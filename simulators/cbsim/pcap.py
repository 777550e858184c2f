"""Writes PDUs as a packet capture, for Wireshark and its like.

What is written is made up from the PDUs: each is one TCP segment (or more, when it is long) over
IPv4 between 127.0.0.1:2775, by which readers know SMPP, and a port that stands for the session.
"""

from collections.abc import Iterable
from struct import Struct

from cbsim.watch import SeenPdu

CENTRE_PORT = 2775
ESME_PORT_LEAST = 40_000
ESME_PORTS = 20_000
LINKTYPE_RAW = 101
"""Packets begin with their IP header."""
SNAP_OCTETS = 262_144
SEGMENT_OCTETS = 60_000
"""An IP packet has at most 65,535."""
LOOPBACK = bytes((127, 0, 0, 1))
TCP = 6
PSH_ACK = 0x18
WINDOW = 0xFFFF
MICROSECONDS = 1_000_000
_SEQUENCE_MASK = 0xFFFFFFFF
_FILE = Struct("<IHHiIII")
_RECORD = Struct("<IIII")
_IP = Struct(">BBHHHBBH4s4s")
_TCP = Struct(">HHIIBBHHH")
FILE_HEADER = _FILE.pack(0xA1B2C3D4, 2, 4, 0, 0, SNAP_OCTETS, LINKTYPE_RAW)


class PcapWriter:
    """Makes records out of PDUs; numbers octets as TCP would."""

    def __init__(self) -> None:
        """Begin with no connection."""
        self._sent: dict[tuple[int, str], int] = {}

    def records(self, seen: SeenPdu) -> bytes:
        """Give the records of one PDU."""
        octets = seen.octets
        starts = range(0, len(octets), SEGMENT_OCTETS)
        return b"".join(self._record(seen, octets[at : at + SEGMENT_OCTETS]) for at in starts)

    def _record(self, seen: SeenPdu, octets: bytes) -> bytes:
        is_in = seen.direction == "in"
        esme_port = ESME_PORT_LEAST + seen.session % ESME_PORTS
        ports = (esme_port, CENTRE_PORT) if is_in else (CENTRE_PORT, esme_port)
        sent = self._sent.get((esme_port, seen.direction), 1)
        acknowledged = self._sent.get((esme_port, "out" if is_in else "in"), 1)
        self._sent[esme_port, seen.direction] = (sent + len(octets)) & _SEQUENCE_MASK
        head = (*ports, sent, acknowledged, _TCP.size // 4 << 4, PSH_ACK, WINDOW)
        pseudo = LOOPBACK + LOOPBACK + bytes((0, TCP)) + (_TCP.size + len(octets)).to_bytes(2)
        checksum = _checksum(pseudo + _TCP.pack(*head, 0, 0) + octets)
        segment = _TCP.pack(*head, checksum, 0) + octets
        ip = (0x45, 0, _IP.size + len(segment), 0, 0, 64, TCP)
        ends = (LOOPBACK, LOOPBACK)
        packet = _IP.pack(*ip, _checksum(_IP.pack(*ip, 0, *ends)), *ends) + segment
        seconds, rest = divmod(int(seen.at_s * MICROSECONDS), MICROSECONDS)
        return _RECORD.pack(seconds & _SEQUENCE_MASK, rest, len(packet), len(packet)) + packet


def capture(pdus: Iterable[SeenPdu]) -> bytes:
    """Give a whole file."""
    writer = PcapWriter()
    return FILE_HEADER + b"".join(writer.records(one) for one in pdus)


def _checksum(octets: bytes) -> int:
    """Give the Internet checksum (RFC 1071)."""
    total = sum(memoryview(octets + bytes(len(octets) % 2)).cast("H"))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    low, high = (~total & 0xFFFF).to_bytes(2, "little")
    return low << 8 | high
