"""A carrier's radio network and its phones: what is on air is repeated until it ends."""

import csv
import heapq
import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from cbsim.handset import Handset, Shown
from cbsim.reader import Part
from cbsim.seals import PublishedKey

PHONES_MAX = 1_000_000
COLUMNS = ("number", "region", "language", "kind")
KINDS = ("broadcast", "sms")

OnShown = Callable[[Handset, Shown], None]


@dataclass(frozen=True, slots=True)
class OnAir:
    """A broadcast as the radio network repeats it.

    Attributes:
        name: what the message centre calls it.
        pages: each 88 octets.
        area: code of the region.
        period_s: seconds between repetitions; 0 for no pause.
        transmissions: how many there are.
        ends_at_s: when it ends at the latest; None for when the transmissions are over.
        seal: as it came with the order.
    """

    name: str
    pages: tuple[bytes, ...]
    area: str
    period_s: float
    transmissions: int
    ends_at_s: float | None
    seal: str


class Network:
    """Everything with an antenna; time is an argument."""

    def __init__(self, phones: Iterable[Handset], on_shown: OnShown) -> None:
        """Make a network.

        Args:
            phones: its subscribers.
            on_shown: called whenever a phone shows something.
        """
        self.phones = {phone.number: phone for phone in phones}
        self.on_air: dict[str, OnAir] = {}
        self.on_shown: list[OnShown] = [on_shown]
        self._schedule: list[tuple[float, int, OnAir, int]] = []
        self._counter = itertools.count()

    def broadcast(self, broadcast: OnAir, *, now_s: float) -> None:
        """Put a broadcast on air, in place of one of the same name; it is sent once at once."""
        self.on_air[broadcast.name] = broadcast
        self._transmit(broadcast, 1, now_s)

    def stop(self, name: str) -> bool:
        """Take a broadcast off the air; False when there is none of this name."""
        return self.on_air.pop(name, None) is not None

    def tick(self, *, now_s: float) -> None:
        """Send the repetitions that are due."""
        while self._schedule and self._schedule[0][0] <= now_s:
            _, _, broadcast, number = heapq.heappop(self._schedule)
            if self.on_air.get(broadcast.name) is broadcast:
                self._transmit(broadcast, number, now_s)

    def next_tick(self) -> float | None:
        """Give when the next repetition is due; None when nothing is on air."""
        return self._schedule[0][0] if self._schedule else None

    def deliver_sms(
        self,
        number: str,
        octets: bytes,
        *,
        source: str,
        data_coding: int,
        esm_class: int,
        sar: Part | None,
        seal: str,
        now_s: float,
    ) -> bool:
        """Deliver a short message; False when nobody has this number."""
        phone = self.phones.get(number)
        if phone is None:
            return False
        shown = phone.receive_sms(
            octets,
            source=source,
            data_coding=data_coding,
            esm_class=esm_class,
            sar=sar,
            seal=seal,
            now_s=now_s,
        )
        if shown is not None:
            self._shown(phone, shown)
        return True

    def _shown(self, phone: Handset, shown: Shown) -> None:
        for call in self.on_shown:
            call(phone, shown)

    def _transmit(self, broadcast: OnAir, number: int, now_s: float) -> None:
        for phone in self.phones.values():
            if broadcast.area not in phone.regions:
                continue
            for page in broadcast.pages:
                shown = phone.receive_page(page, seal=broadcast.seal, now_s=now_s)
                if shown is not None:
                    self._shown(phone, shown)
        next_s = now_s + max(broadcast.period_s, 1.0)
        is_over = number >= broadcast.transmissions or (
            broadcast.ends_at_s is not None and next_s >= broadcast.ends_at_s
        )
        if is_over:
            self.on_air.pop(broadcast.name, None)
        else:
            entry = (next_s, next(self._counter), broadcast, number + 1)
            heapq.heappush(self._schedule, entry)


def load_phones(
    path: Path, *, home_language: str, keys: Mapping[str, PublishedKey]
) -> list[Handset]:
    """Read phones from CSV with the header ``number,region,language,kind``.

    Raises:
        ValueError: a line is wrong; names it.
        OSError: the file cannot be read.
    """
    with path.open(newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file)
        if tuple(rows.fieldnames or ()) != COLUMNS:
            msg = f"{path}: the header is {','.join(COLUMNS)}"
            raise ValueError(msg)
        phones = []
        for row in rows:
            if row["kind"] not in KINDS or not row["number"].isdecimal() or not row["region"]:
                kinds = " or ".join(KINDS)
                msg = f"{path}, line {rows.line_num}: needs a number, a region, and kind {kinds}"
                raise ValueError(msg)
            phones.append(
                Handset(
                    number=row["number"],
                    region=row["region"],
                    language=row["language"],
                    home_language=home_language,
                    takes_broadcasts=row["kind"] == "broadcast",
                    keys=keys,
                )
            )
            if len(phones) > PHONES_MAX:
                msg = f"{path}: more than {PHONES_MAX} phones"
                raise ValueError(msg)
    return phones


def make_phones(
    count: int,
    *,
    regions: tuple[str, ...],
    home_language: str,
    old_every: int,
    foreign_every: int,
    prefix: str,
    keys: Mapping[str, PublishedKey],
) -> list[Handset]:
    """Make phones spread over regions; every so many is old, or reads English.

    Args:
        count: how many.
        regions: codes they are in, in turn.
        home_language: what most read.
        old_every: every n-th takes short messages only; 0 for none.
        foreign_every: every n-th reads English; 0 for none.
        prefix: their numbers begin so and count up.
        keys: published sealing keys.
    """
    return [
        Handset(
            number=f"{prefix}{index:08d}",
            region=regions[index % len(regions)],
            language="en" if foreign_every and index % foreign_every == 1 else home_language,
            home_language=home_language,
            takes_broadcasts=not (old_every and index % old_every == 0),
            keys=keys,
        )
        for index in range(count)
    ]
