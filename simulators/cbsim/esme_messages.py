"""What a load generator sends: submit_sm as octets that are cut where they change.

A PDU is written once by the codec. For each message only the pieces that differ are put in
between: its length, its sequence number, the destination, and the reference that joins the parts
of a long text.
"""

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import cycle
from pathlib import Path

from cbgateway.codec import smpp, smpp_text

NUMBERS_MAX = 1_000_000
"""Numbers read from a file; as many again would not make a load more real."""
TEXTS_MAX = 10_000
"""Texts read from a file; each costs an encoded PDU."""
ADDRESS_CHARACTERS_MAX = 20
ADDRESS_FORMAT = re.compile(r"[\x20-\x7e]{1,20}", re.ASCII)
COUNTER = re.compile("#+")
TON_INTERNATIONAL = 1
TON_ALPHANUMERIC = 5
NPI_ISDN = 1
HEADER_OCTETS = 16


class Destinations:
    """The numbers that messages go to, one after another, without end."""

    def __init__(self, pattern: str) -> None:
        """Count up a pattern.

        Args:
            pattern: a number; its ``#`` hold the digits of a counter that begins with 0 and
                begins again when they are used up.

        Raises:
            ValueError: nothing that fits an address, or two counters.
        """
        pattern = pattern.removeprefix("+")
        _check_address(pattern)
        runs = COUNTER.findall(pattern)
        if len(runs) > 1:
            raise ValueError(f"{pattern!r} has {len(runs)} runs of #, one is counted")
        self._pattern = pattern

    def __iter__(self) -> Iterator[bytes]:
        """Give each number, in ASCII."""
        found = COUNTER.search(self._pattern)
        if found is None:
            return cycle([self._pattern.encode()])
        before = self._pattern[: found.start()].encode()
        after = self._pattern[found.end() :].encode()
        return _counted(before, len(found.group()), after)


def _counted(before: bytes, width: int, after: bytes) -> Iterator[bytes]:
    while True:
        for number in range(10**width):
            yield b"%b%0*d%b" % (before, width, number, after)


def load_destinations(path: Path) -> Iterator[bytes]:
    """Give the numbers in the first column of a CSV file, again and again.

    Raises:
        OSError: it cannot be read.
        ValueError: it holds no numbers, too many, or something else; names the line.
    """
    numbers: list[bytes] = []
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.reader(file):
            text = row[0].strip().removeprefix("+") if row else ""
            if not text or text.startswith("#") or (not numbers and text.isalpha()):
                continue  # a remark, or the heading
            _check_address(text)
            numbers.append(text.encode())
            if len(numbers) > NUMBERS_MAX:
                raise ValueError(f"{path}: more than {NUMBERS_MAX} numbers")
    if not numbers:
        raise ValueError(f"{path}: no numbers")
    return cycle(numbers)


def _check_address(text: str) -> None:
    if not ADDRESS_FORMAT.fullmatch(text):
        raise ValueError(f"{text[:40]!r} is no address: ASCII, 1 to {ADDRESS_CHARACTERS_MAX}")


def load_texts(path: Path) -> tuple[str, ...]:
    r"""Read texts, one a line; ``\n`` in a line stands for a new one.

    Raises:
        OSError: it cannot be read.
        ValueError: it holds none, or too many.
    """
    lines = path.read_text("utf-8").splitlines()
    texts = tuple(line.replace(r"\n", "\n") for line in lines if line)
    if not 1 <= len(texts) <= TEXTS_MAX:
        raise ValueError(f"{path}: {len(texts)} texts; 1 to {TEXTS_MAX} can be sent")
    return texts


def guess_address(text: str, *, ton: int | None = None, npi: int | None = None) -> smpp.Address:
    """Make an address; a plain number is international, anything else a name.

    Args:
        text: ``KTALERT``, ``+82101234``; empty for none.
        ton: instead of what is guessed.
        npi: as `ton`.
    """
    digits = text.removeprefix("+")
    is_number = digits.isdecimal()
    guessed = (TON_INTERNATIONAL, NPI_ISDN) if is_number else (TON_ALPHANUMERIC if text else 0, 0)
    return smpp.Address(
        guessed[0] if ton is None else ton,
        guessed[1] if npi is None else npi,
        digits if is_number else text,
    )


@dataclass(frozen=True, slots=True)
class Piece:
    """One submit_sm, cut where it changes.

    Attributes:
        heads: length, command and status, by the length of the destination.
        middle: from the sequence number to the destination.
        tail: from the destination to the reference, or to the end.
        reference_octets: 0, 1 or 2.
        rest: behind the reference.
        is_first: whether a message begins here.
    """

    heads: tuple[bytes, ...]
    middle: bytes
    tail: bytes
    reference_octets: int
    rest: bytes
    is_first: bool


class Messages:
    """All that is sent: texts in turn, each cut into its parts, each to the next number."""

    def __init__(
        self,
        texts: Sequence[str],
        destinations: Iterator[bytes],
        *,
        body: smpp.SubmitSm,
        data_coding: int | None,
        segmentation: smpp_text.Segmentation,
    ) -> None:
        """Write every text once.

        Args:
            texts: at least one.
            destinations: without end.
            body: everything but the text and the number.
            data_coding: 0 or 8; None to choose for each text.
            segmentation: how long texts go out.

        Raises:
            EncodeError: a text that cannot be sent so.
        """
        cut = [_pieces_of(text, body, data_coding, segmentation) for text in texts]
        self._lengths = [len(pieces) for pieces in cut]
        self._pieces = cycle([piece for pieces in cut for piece in pieces])
        self._destinations = destinations
        self._to = b""
        self._message = 0

    def submits_of(self, messages: int) -> int:
        """Give how many submit_sm so many messages take."""
        rounds, more = divmod(messages, len(self._lengths))
        return rounds * sum(self._lengths) + sum(self._lengths[:more])

    def take(self, first_number: int, count: int) -> bytes:
        """Give the next submit_sm as octets, with consecutive sequence numbers."""
        out: list[bytes] = []
        pieces, to, message = self._pieces, self._to, self._message
        for number in range(first_number, first_number + count):
            piece = next(pieces)
            if piece.is_first:
                to = next(self._destinations)
                message += 1
            sequence_number = number.to_bytes(4, "big")
            out += (piece.heads[len(to)], sequence_number, piece.middle, to, piece.tail)
            if piece.reference_octets:
                out += (
                    (message & 0xFFFF).to_bytes(2, "big")[-piece.reference_octets :],
                    piece.rest,
                )
        self._to, self._message = to, message
        return b"".join(out)


def _pieces_of(
    text: str,
    body: smpp.SubmitSm,
    data_coding: int | None,
    segmentation: smpp_text.Segmentation,
) -> list[Piece]:
    """Write a text with the lowest and the highest reference; where they differ it stands."""
    low, high = (
        _encoded(text, body, data_coding, segmentation, reference) for reference in (0, 0xFFFF)
    )
    to = HEADER_OCTETS + _octets_before_destination(body)
    pieces = []
    for number, (one, other) in enumerate(zip(low, high, strict=True)):
        differs = [at for at in range(len(one)) if one[at] != other[at]]
        begins = differs[0] if differs else len(one)
        pieces.append(
            Piece(
                heads=tuple(
                    (len(one) + more).to_bytes(4, "big") + one[4:12]
                    for more in range(ADDRESS_CHARACTERS_MAX + 1)
                ),
                middle=one[HEADER_OCTETS:to],
                tail=one[to:begins],
                reference_octets=len(differs),
                rest=one[begins + len(differs) :],
                is_first=number == 0,
            )
        )
    return pieces


def _encoded(
    text: str,
    body: smpp.SubmitSm,
    data_coding: int | None,
    segmentation: smpp_text.Segmentation,
    reference: int,
) -> list[bytes]:
    """Write a text to no number: each part whole."""
    cut = smpp_text.segment(
        text, data_coding=data_coding, segmentation=segmentation, reference=reference
    )
    nowhere = replace(body.destination, address="")
    return [
        smpp.encode(
            smpp.Pdu(
                replace(
                    body,
                    destination=nowhere,
                    esm_class=body.esm_class | cut.esm_class,
                    data_coding=cut.data_coding,
                    short_message=part.short_message,
                ),
                sequence_number=0,
                tlvs=part.tlvs,
            )
        )
        for part in cut.parts
    ]


def _octets_before_destination(body: smpp.SubmitSm) -> int:
    layout = smpp.SubmitSm.LAYOUT
    before = ("service_type", "source")
    ton_and_npi = 2
    return sum(len(layout[name].write(name, getattr(body, name))) for name in before) + ton_and_npi
