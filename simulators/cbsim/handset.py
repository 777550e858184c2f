"""A phone: collects pages and parts, drops what it has shown already, shows the rest.

The duplicate rule is the one that phones follow (TS 23.041 8.2, and handset behaviour): a
broadcast with a message identifier and serial number seen before, in the same geographical scope
within the last 24 hours, is dropped without a word.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from cbsim.reader import Part, read_content, read_gsm_page, read_short_message, split_header
from cbsim.seals import PublishedKey, Verdict, check_seal

K = TypeVar("K")
V = TypeVar("V")

DUPLICATE_WINDOW_S = 86_400
INCOMPLETE_MAX = 16
"""Messages of which parts are missing that a phone remembers."""
UDH_INDICATOR = 0x40

# Additional-language twins of the PWS message identifiers (TS 23.041 9.4.1.2.2)
TWINS = frozenset(range(4383, 4396)) | {4397, 4399}
BASES = frozenset(range(4370, 4383)) | {4396, 4398}


@dataclass(frozen=True, slots=True)
class Shown:
    """What a person sees.

    Attributes:
        at_s: seconds on the simulator's clock.
        channel: ``broadcast`` or ``sms``.
        seal: whether the region's seal belongs to this text.
        source: who sent it; empty for a broadcast.
    """

    at_s: float
    channel: str
    text: str
    message_identifier: int | None
    serial_number: int | None
    seal: Verdict
    source: str = ""


@dataclass(slots=True)
class Handset:
    """One phone of one carrier in one region.

    Attributes:
        number: E.164 digits.
        region: code of the smallest region it is in, such as ``KR-26``.
        language: what its owner reads; other than the country's own means the twin channels.
        home_language: the country's own.
        takes_broadcasts: False for an old phone, which gets short messages only.
        keys: published sealing keys.
        screen: everything shown so far, oldest first.
    """

    number: str
    region: str
    language: str
    home_language: str
    takes_broadcasts: bool
    keys: Mapping[str, PublishedKey]
    screen: list[Shown] = field(default_factory=list)
    _seen: dict[tuple[int, int, str], float] = field(default_factory=dict)
    _pages: dict[tuple[int, int], dict[int, bytes]] = field(default_factory=dict)
    _parts: dict[tuple[str, int, int], dict[int, str]] = field(default_factory=dict)

    @property
    def regions(self) -> tuple[str, ...]:
        """Where it is: its region, and the regions around that (ISO 3166-2 codes nest)."""
        parts = self.region.split("-")
        return tuple("-".join(parts[:n]) for n in range(len(parts), 0, -1))

    def listens_to(self, message_identifier: int) -> bool:
        """Tell whether the phone's settings let a broadcast channel through."""
        if not self.takes_broadcasts:
            return False
        channels = BASES if self.language == self.home_language else TWINS
        return message_identifier in channels

    def receive_page(self, octets: bytes, *, seal: str, now_s: float) -> Shown | None:
        """Take one page from the air; gives what is shown once a message is whole and new."""
        page = read_gsm_page(octets)
        if page is None or not self.listens_to(page.message_identifier):
            return None
        scope = page.serial_number >> 14
        place = self.regions[-1] if scope == 1 else self.region
        key = (page.message_identifier, page.serial_number, place)
        seen_s = self._seen.get(key)
        if seen_s is not None and now_s - seen_s < DUPLICATE_WINDOW_S:
            return None
        message = key[:2]
        pages = _collect(self._pages, message, page.number, page.content)
        if len(pages) < page.total:
            return None
        del self._pages[message]
        self._seen[key] = now_s
        text = "".join(read_content(pages[n], page.dcs)[0] for n in sorted(pages))
        return self._show(text, "broadcast", message, seal, now_s)

    def receive_sms(
        self,
        octets: bytes,
        *,
        source: str,
        data_coding: int,
        esm_class: int,
        sar: Part | None,
        seal: str,
        now_s: float,
    ) -> Shown | None:
        """Take one short message; gives what is shown once all parts of a text are there."""
        part = sar
        if esm_class & UDH_INDICATOR:
            part, octets = split_header(octets)
        text = read_short_message(octets, data_coding)
        if part is not None and part.total > 1:
            key = (source, part.reference, part.total)
            parts = _collect(self._parts, key, part.number, text)
            if len(parts) < part.total:
                return None
            del self._parts[key]
            text = "".join(parts[n] for n in sorted(parts))
        return self._show(text, "sms", None, seal, now_s, source=source)

    def _show(
        self,
        text: str,
        channel: str,
        message: tuple[int, int] | None,
        seal: str,
        now_s: float,
        *,
        source: str = "",
    ) -> Shown:
        verdict = check_seal(seal, self.keys, regions=self.regions, text=text, broadcast=message)
        identifier, serial = message or (None, None)
        shown = Shown(now_s, channel, text, identifier, serial, verdict, source)
        self.screen.append(shown)
        return shown


def _collect(incomplete: dict[K, dict[int, V]], key: K, number: int, value: V) -> dict[int, V]:
    """Add a piece to a message, forgetting the oldest incomplete one when there are too many."""
    if key not in incomplete and len(incomplete) >= INCOMPLETE_MAX:
        del incomplete[next(iter(incomplete))]
    pieces = incomplete.setdefault(key, {})
    pieces[number] = value
    return pieces
