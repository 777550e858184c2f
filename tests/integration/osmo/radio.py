"""A real controller and real base stations: osmo-bsc and osmo-bts-virtual on this machine.

Cells of 450-08: LAC 1001 CI 11 and 12 broadcast; LAC 1002 CI 21 has no broadcast channel. What
goes on air is sent by multicast as GSMTAP (UDP 4729, group 239.193.23.1) and stays on the loopback.
"""

import re
import socket
import struct
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

VTY_PORT = 4242
OML_PORT = 3002
GSMTAP_PORT = 4729
AIR_PHONES = "239.193.23.1"
AIR_STATIONS = "239.193.23.2"
AIR_NETWORK = "239.193.23.0/24"
CHANNELS_CBCH = {15, 16}
CHANNEL_PAGING = 5
UP_TIMEOUT_S = 30.0
LOG_OCTETS_MAX = 64 * 1024 * 1024
NULL_BLOCK = 0x0F


@dataclass(frozen=True, slots=True)
class Station:
    """One base station with one cell."""

    number: int
    lac: int
    ci: int
    arfcn: int
    channels: tuple[str, str]

    @property
    def name(self) -> str:
        """The cell, as orders name it."""
        return f"450-08-{self.lac}-{self.ci}"


STATIONS = (
    Station(0, 1001, 11, 860, ("CCCH+SDCCH4+CBCH", "SDCCH8")),
    Station(1, 1001, 12, 864, ("CCCH+SDCCH4", "SDCCH8+CBCH")),
    Station(2, 1002, 21, 868, ("CCCH+SDCCH4", "SDCCH8")),
)

BSC = """\
log stderr
 logging filter all 1
 logging color 0
 logging print category 1
 logging timestamp 1
 logging level set-all notice
 logging level cbs info
stats interval 0
line vty
 no login
 bind 127.0.0.1
ctrl
 bind 127.0.0.1
e1_input
 e1_line 0 driver ipa
 ipa bind 127.0.0.1
cs7 instance 0
 point-code 0.23.3
 asp asp-lite 5000 0 ipa
  local-ip 127.0.0.1
  remote-ip 127.0.0.1
  role asp
  sctp-role client
 as as-lite ipa
  asp asp-lite
  routing-key 0 0.23.3
 sccp-address msc-lite
  routing-indicator PC
  point-code 0.23.1
  subsystem-number 254
network
 network country code 450
 mobile network code 08
 encryption a5 0
 neci 1
 paging any use tch 0
 handover 0
"""
BTS_IN_BSC = """\
 bts {number}
  type osmo-bts
  band DCS1800
  cell_identity {ci}
  location_area_code {lac}
  base_station_id_code {bsic}
  ms max power 15
  channel-description attach 1
  channel-description bs-pa-mfrms 5
  channel-description bs-ag-blks-res 1
  ipa unit-id {unit} 0
  oml ipa stream-id 255 line 0
  gprs mode none
  trx 0
   rf_locked 0
   arfcn {arfcn}
   nominal power 23
   max_power_red 0
   rsl e1 tei 0
   timeslot 0
    phys_chan_config {ts0}
   timeslot 1
    phys_chan_config {ts1}
"""
BSC_END = """\
msc 0
 asp-protocol ipa
 msc-addr msc-lite
 mgw remote-ip 127.0.0.1
 mgw remote-port 2427
cbc
 mode {mode}
 server
  local-ip 127.0.0.1
  local-port {port}
 client
  remote-ip 127.0.0.1
  remote-port {port}
"""
BTS = """\
log stderr
 logging filter all 1
 logging color 0
 logging level set-all notice
 logging level l1p error
line vty
 no login
 bind 127.0.1.{n}
ctrl
 bind 127.0.1.{n}
e1_input
 e1_line 0 driver ipa
 no e1_line 0 keepalive
phy 0
 virtual-um net-device lo
 virtual-um ttl 0
 virtual-um bts-multicast-group {stations}
 virtual-um bts-udp-port {port}
 virtual-um ms-multicast-group {phones}
 virtual-um ms-udp-port {port}
 instance 0
bts 0
 band DCS1800
 ipa unit-id {unit} 0
 oml remote-ip 127.0.0.1
 pcu-socket {folder}/pcu{number}.sock
 trx 0
  phy 0 instance 0
"""


class Radio:
    """The processes; each is ended by this very object."""

    def __init__(self, folder: Path, *, mode: str, port: int) -> None:
        """Write the settings.

        Args:
            folder: for settings and logs.
            mode: ``server`` listens for a broadcast centre, ``client`` connects to one.
            port: where.
        """
        self.port = port
        self._folder = folder
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        stations = ""
        for one in STATIONS:
            unit = 6100 + one.number
            stations += BTS_IN_BSC.format(
                number=one.number,
                ci=one.ci,
                lac=one.lac,
                bsic=10 + one.number,
                unit=unit,
                arfcn=one.arfcn,
                ts0=one.channels[0],
                ts1=one.channels[1],
            )
            for slot in range(2, 8):
                stations += f"   timeslot {slot}\n    phys_chan_config TCH/F\n"
            text = BTS.format(
                n=one.number + 1,
                number=one.number,
                unit=unit,
                folder=folder,
                stations=AIR_STATIONS,
                phones=AIR_PHONES,
                port=GSMTAP_PORT,
            )
            (folder / f"bts{one.number}.cfg").write_text(text)
        (folder / "bsc.cfg").write_text(BSC + stations + BSC_END.format(mode=mode, port=port))

    def start(self) -> None:
        """Start everything and wait until every cell is up."""
        self.start_bsc()
        for one in STATIONS:
            self.start_bts(one.number)
        self.wait_up(range(len(STATIONS)))

    def start_bsc(self) -> None:
        """Start the controller and wait until base stations can connect."""
        self._start("bsc", "osmo-bsc")
        _wait(lambda: _listens(OML_PORT), "osmo-bsc does not listen")

    def start_bts(self, number: int) -> None:
        """Start a base station."""
        self._start(f"bts{number}", "osmo-bts-virtual")

    def stop(self, name: str) -> None:
        """End a process."""
        process = self._processes.pop(name)
        process.terminate()
        try:
            process.wait(1)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def kill(self, name: str) -> None:
        """End a process as a crash does."""
        process = self._processes.pop(name)
        process.kill()
        process.wait()

    def stop_all(self) -> None:
        """End everything."""
        for name in list(self._processes):
            self.stop(name)

    def wait_up(self, numbers: Sequence[int]) -> None:
        """Wait until base stations are joined with the controller."""
        for number in numbers:
            _wait(lambda number=number: self._is_up(number), f"bts {number} does not come up")

    def vty(self, command: str) -> str:
        """Have the controller carry out a command; gives what it says."""
        with socket.create_connection(("127.0.0.1", VTY_PORT), 5) as line:
            line.settimeout(5)
            _until_prompt(line)
            line.sendall(b"enable\r\n")
            _until_prompt(line)
            line.sendall(command.encode() + b"\r\n")
            return _until_prompt(line)

    def stored(self, number: int) -> set[tuple[int, int]]:
        """Give what a base station's channel repeats, as the controller says it.

        Returns:
            Serial numbers with message identifiers.
        """
        table = self.vty(f"show bts {number} smscb")
        assert "BASIC CBCH" in table
        rows = re.findall(r"^ +([0-9A-F]{4}) \| +([0-9A-F]{4}) \|", table, flags=re.MULTILINE)
        return {(int(serial, 16), int(identifier, 16)) for identifier, serial in rows}

    def _is_up(self, number: int) -> bool:
        try:
            text = self.vty(f"show bts {number}")
        except OSError:
            return False
        is_joined = "OML Link state: connected" in text
        return is_joined and re.search(r"where RSL is up:\s+[1-9]", text) is not None

    def _start(self, name: str, program: str) -> None:
        with (self._folder / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [
                    "prlimit",
                    f"--fsize={LOG_OCTETS_MAX}",
                    program,
                    "-c",
                    str(self._folder / f"{name}.cfg"),
                ],
                stdout=log,
                stderr=log,
                cwd=self._folder,
            )


@dataclass
class Air:
    """What phones could hear: blocks of the broadcast channel, and pages put together from them.

    Attributes:
        pages: each page that was heard whole, by cell; 6 octets of header and its text.
        pagings: blocks of the paging channel.
    """

    line: socket.socket
    pages: dict[int, list[bytes]] = field(default_factory=dict)
    pagings: list[bytes] = field(default_factory=list)
    _blocks: dict[int, bytes] = field(default_factory=dict)

    def listen(self) -> None:
        """Take in what has been sent so far."""
        while True:
            try:
                packet = self.line.recv(4096)
            except BlockingIOError:
                return
            length = packet[1] * 4
            (arfcn,) = struct.unpack(">H", packet[4:6])
            channel, octets = packet[12], packet[length:]
            if channel in CHANNELS_CBCH:
                self._on_block(arfcn & 0x3FFF, octets)
            elif channel == CHANNEL_PAGING:
                self.pagings.append(octets)

    def texts(self, arfcn: int) -> dict[tuple[int, int, int], dict[int, bytes]]:
        """Give the pages of each message by number; key: serial, identifier, coding."""
        self.listen()
        found: dict[tuple[int, int, int], dict[int, bytes]] = {}
        for page in self.pages.get(arfcn, []):
            serial, identifier, dcs, parameter = struct.unpack(">HHBB", page[:6])
            found.setdefault((serial, identifier, dcs), {})[parameter >> 4] = page[6:]
        return found

    def is_whole(self, arfcn: int, serial: int, identifier: int) -> bool:
        """Tell whether every page of a message was heard."""
        self.listen()
        totals = [
            page[5] & 15
            for page in self.pages.get(arfcn, [])
            if struct.unpack(">HH", page[:4]) == (serial, identifier)
        ]
        numbers = {
            page[5] >> 4
            for page in self.pages.get(arfcn, [])
            if struct.unpack(">HH", page[:4]) == (serial, identifier)
        }
        return bool(totals) and numbers == set(range(1, totals[0] + 1))

    def clear(self) -> None:
        """Forget what was heard."""
        self.listen()
        self.pages.clear()
        self.pagings.clear()

    def _on_block(self, arfcn: int, octets: bytes) -> None:
        """Put blocks of 22 octets together (TS 44.012 3.3.1): four at most are a page."""
        sequence = octets[0] & 15
        if sequence == NULL_BLOCK:
            return
        gathered = b"" if sequence == 0 else self._blocks.pop(arfcn, b"")
        if len(gathered) != sequence * 22:
            return
        gathered += octets[1:23]
        if octets[0] & 0x10:
            self.pages.setdefault(arfcn, []).append(gathered)
        else:
            self._blocks[arfcn] = gathered


@contextmanager
def air() -> Iterator[Air]:
    """Listen to the virtual air."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * 1024 * 1024)
        line.bind((AIR_PHONES, GSMTAP_PORT))
        group = socket.inet_aton(AIR_PHONES) + socket.inet_aton("127.0.0.1")
        line.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)
        line.setblocking(False)
        yield Air(line)


@contextmanager
def air_stays_here() -> Iterator[None]:
    """Have the virtual air's multicast stay on the loopback; needs root."""
    route = ["ip", "route", "show", AIR_NETWORK]
    was_there = subprocess.run(route, capture_output=True, check=True).stdout
    if not was_there:
        subprocess.run(
            ["ip", "route", "add", AIR_NETWORK, "dev", "lo", "src", "127.0.0.1"], check=True
        )
    try:
        yield
    finally:
        if not was_there:
            subprocess.run(["ip", "route", "del", AIR_NETWORK, "dev", "lo"], check=False)


def _listens(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 1):
            return True
    except OSError:
        return False


def _until_prompt(line: socket.socket) -> str:
    octets = b""
    while not re.search(rb"[\w()-]+[>#] $", octets):
        more = line.recv(65_536)
        if not more:
            break
        octets += more
    return octets.decode(errors="replace").replace("\r", "")


def _wait(condition: object, problem: str) -> None:
    """Wait for a process of others; there is nothing that tells when it is ready."""
    deadline = time.monotonic() + UP_TIMEOUT_S
    pause = socket.socketpair()
    pause[0].settimeout(0.1)
    try:
        while not condition():  # type: ignore[operator]
            if time.monotonic() > deadline:
                raise TimeoutError(problem)
            try:
                pause[0].recv(1)
            except TimeoutError:
                continue
    finally:
        for one in pause:
            one.close()
