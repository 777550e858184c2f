"""Whose receipt is this? What message centres call the messages that they took, in memory.

Theory of operation: a name is a centre's message_id, brought into one form, with the end of the
subscriber's number, so that a centre that uses an id again, or writes it in another base, still
does not mix two people up. Names are kept as hashes: the newest in a dict, older ones in sorted
arrays of sixteen octets a message, so that millions fit. The store has them all; what is forgotten
here is only not found.
"""

from array import array
from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Iterator

NUMBER_DIGITS = 7
"""Digits at the end of a number that are the same however it is written."""
RECENT_MAX = 16_384
"""Names in the dict; sorting them takes some milliseconds."""
SEGMENTS_MAX = 128
"""Sorted arrays; with RECENT_MAX about two million messages, in 34 MB."""
HEX_DIGITS_MAX = 16

POSITION_BITS = 20
"""Bits for a position in a chunk; the delivery's number stands above them."""


def names(peer_id: str, message_id: bytes, subscriber: str) -> Iterator[int]:
    """Give what a message may be called here, the likeliest first.

    Centres answer submit_sm with a hexadecimal id and send decimal receipts, or the other way
    round, with leading zeros or without.
    """
    plain = message_id.lstrip(b"0").lower()
    tail = subscriber[-NUMBER_DIGITS:]
    yield hash((peer_id, plain, tail))
    if plain.isdigit():
        yield hash((peer_id, b"%x" % int(plain), tail))
    if len(plain) <= HEX_DIGITS_MAX:
        try:
            yield hash((peer_id, b"%d" % int(plain, 16), tail))
        except ValueError:
            return


class Directory:
    """Names of messages, and where each is: delivery and position."""

    def __init__(self) -> None:
        """Begin with none."""
        self._recent: dict[int, int] = {}
        self._segments: deque[tuple[array[int], array[int]]] = deque(maxlen=SEGMENTS_MAX)

    def note(
        self,
        peer_id: str,
        delivery_id: int,
        messages: Iterable[tuple[int, bytes, str]],
    ) -> set[int]:
        """Learn what a peer calls messages of a chunk.

        Args:
            peer_id: the peer.
            delivery_id: the chunk.
            messages: position, message_id and subscriber of each.

        Returns:
            Their names.
        """
        place = delivery_id << POSITION_BITS
        fresh = {
            hash((peer_id, message_id.lstrip(b"0").lower(), subscriber[-NUMBER_DIGITS:])): place
            + at
            for at, message_id, subscriber in messages
            if message_id
        }
        self._recent |= fresh
        if len(self._recent) >= RECENT_MAX:
            self._freeze()
        return set(fresh)

    def find(self, peer_id: str, message_id: bytes, subscriber: str) -> tuple[int, int] | None:
        """Give delivery and position of a message; None when it is not known."""
        for name in names(peer_id, message_id, subscriber):
            place = self._recent.get(name)
            if place is None:
                place = self._find_older(name)
            if place is not None:
                return place >> POSITION_BITS, place & ((1 << POSITION_BITS) - 1)
        return None

    def _find_older(self, name: int) -> int | None:
        for known, places in self._segments:
            at = bisect_left(known, name)
            if at < len(known) and known[at] == name:
                return places[at]
        return None

    def _freeze(self) -> None:
        known = array("q", sorted(self._recent))
        places = array("q", map(self._recent.__getitem__, known))
        self._segments.appendleft((known, places))
        self._recent = {}
