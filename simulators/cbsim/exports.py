"""Writes what happens to files, as it happens."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from cbsim.dissect import dissect
from cbsim.pcap import FILE_HEADER, PcapWriter
from cbsim.watch import Event, SeenPdu, Watch


class Export:
    """A file that grows; a disk that is full ends the file, not the simulator."""

    def __init__(self, path: Path, on_failure: Callable[[str], None]) -> None:
        """Begin a file, in place of what was there.

        Args:
            path: where.
            on_failure: called once, with what is wrong, when it cannot be written any more.

        Raises:
            OSError: it cannot be made.
        """
        self._path = path
        self._on_failure = on_failure
        self._file: BinaryIO | None = path.open("wb", buffering=0)

    def write(self, octets: bytes) -> None:
        """Add octets."""
        if self._file is None:
            return
        try:
            self._file.write(octets)
        except OSError as error:
            self.close()
            self._on_failure(f"{self._path}: {error.strerror}")

    def close(self) -> None:
        """Write no more."""
        if self._file is not None:
            self._file.close()
        self._file = None


def json_line(facts: Event) -> bytes:
    """Give one line of a file of JSON lines."""
    return json.dumps(facts, ensure_ascii=False).encode("utf-8", "replace") + b"\n"


def export_lines(watch: Watch, export: Export) -> None:
    """Write events and PDUs as JSON lines."""

    def on_pdu(seen: SeenPdu) -> None:
        export.write(json_line({"event": "pdu", **dissect(seen)}))

    watch.on_event.append(lambda event: export.write(json_line(event)))
    watch.on_pdu.append(on_pdu)


def export_pcap(watch: Watch, export: Export) -> None:
    """Write PDUs as a packet capture."""
    writer = PcapWriter()
    export.write(FILE_HEADER)
    watch.on_pdu.append(lambda seen: export.write(writer.records(seen)))
