"""Whose receipt is this? What message centres call the messages that they took, in memory.

Theory of operation: a name is a centre's message_id, brought into one form, with the end of the
subscriber's number, so that a centre that uses an id again, or writes it in another base, still
does not mix two people up. Names are kept as hashes in tables of two arrays: a name stands at the
slot that its lowest bits say, or in the next free one behind it. That is 32 octets a message, so
that millions fit, and neither a name that comes nor a search costs more when there are many. The
store has them all; what is forgotten here is only not found.
"""

from array import array
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice

NUMBER_DIGITS = 7
"""Digits at the end of a number that are the same however it is written."""
TABLE_NAMES_MAX = 131_072
"""Names in one table, at most half of its slots; 4 MB."""
TABLES_MAX = 16
"""Tables, the newest first; together about two million messages, in 64 MB."""
HEX_DIGITS_MAX = 16

POSITION_BITS = 20
"""Bits for a position in a chunk; the delivery's number stands above them."""
_POSITION_MASK = (1 << POSITION_BITS) - 1


def names(peer_id: str, message_id: bytes, subscriber: str) -> Iterator[int]:
    """Give what a message may be called here, the likeliest first.

    Centres answer submit_sm with a hexadecimal id and send decimal receipts, or the other way
    round, with leading zeros or without.
    """
    plain = message_id.lstrip(b"0").lower()
    tail = subscriber[-NUMBER_DIGITS:]
    yield hash((peer_id, plain, tail)) or 1
    if plain.isdigit():
        yield hash((peer_id, b"%x" % int(plain), tail)) or 1
    if len(plain) <= HEX_DIGITS_MAX:
        try:
            yield hash((peer_id, b"%d" % int(plain, 16), tail)) or 1
        except ValueError:
            return


class Directory:
    """Names of messages, and where each is: delivery and position."""

    def __init__(
        self, *, table_names_max: int = TABLE_NAMES_MAX, tables_max: int = TABLES_MAX
    ) -> None:
        """Begin with none."""
        self._table_names_max = table_names_max
        self._mask = (1 << (2 * table_names_max - 1).bit_length()) - 1
        self._tables: deque[tuple[array[int], array[int]]] = deque(maxlen=tables_max)
        self._room = 0

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
        digits = -NUMBER_DIGITS
        fresh = {
            hash((peer_id, message_id.lstrip(b"0").lower(), subscriber[digits:])) or 1: place + at
            for at, message_id, subscriber in messages
            if message_id
        }
        waiting = iter(fresh.items())
        left = len(fresh)
        while left:
            if not self._room:
                self._add_table()
            count = min(left, self._room)
            self._put(islice(waiting, count))
            self._room -= count
            left -= count
        return set(fresh)

    def find(self, peer_id: str, message_id: bytes, subscriber: str) -> tuple[int, int] | None:
        """Give delivery and position of a message; None when it is not known."""
        name = hash((peer_id, message_id.lstrip(b"0").lower(), subscriber[-NUMBER_DIGITS:])) or 1
        mask = self._mask
        for known, places in self._tables:
            at = name & mask
            while one := known[at]:
                if one == name:
                    place = places[at]
                    return place >> POSITION_BITS, place & _POSITION_MASK
                at = (at + 1) & mask
        return self._find_otherwise(peer_id, message_id, subscriber)

    def _find_otherwise(
        self, peer_id: str, message_id: bytes, subscriber: str
    ) -> tuple[int, int] | None:
        """Find what is written in another base than it was answered in."""
        mask = self._mask
        for name in islice(names(peer_id, message_id, subscriber), 1, None):
            for known, places in self._tables:
                at = name & mask
                while one := known[at]:
                    if one == name:
                        return places[at] >> POSITION_BITS, places[at] & _POSITION_MASK
                    at = (at + 1) & mask
        return None

    def _put(self, fresh: Iterable[tuple[int, int]]) -> None:
        """Put names into the newest table, which has room."""
        known, places = self._tables[0]
        mask = self._mask
        for name, place in fresh:
            at = name & mask
            while known[at] and known[at] != name:
                at = (at + 1) & mask
            known[at] = name
            places[at] = place

    def _add_table(self) -> None:
        slots = self._mask + 1
        self._tables.appendleft((array("q", [0]) * slots, array("q", [0]) * slots))
        self._room = self._table_names_max
