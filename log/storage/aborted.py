"""The aborted transactions of a partition, so that committed readers can skip their records.

Each one is kept with the segment in which its marker stands, in `.txnindex` (Kafka's format). In
memory they are one list in the order of their markers, for they are few.
"""

import struct
from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from ..model import Offset

_ENTRY: Final = struct.Struct(">hqqqq")
_VERSION: Final = 0


class AbortedTransaction(NamedTuple):
    """Records of `producer_id` at first_offset ≤ offset < last_offset don't count.

    `last_offset` is the abort marker's. `last_stable_offset` is what it was right after the marker,
    so a search that starts at some offset may stop at an entry whose value lies beyond its end.
    """

    producer_id: int
    first_offset: Offset
    last_offset: Offset
    last_stable_offset: Offset


class AbortedTransactions:
    """All aborted transactions of a partition, in the order of their markers."""

    __slots__ = ("_entries",)

    def __init__(self, entries: Iterable[AbortedTransaction] = ()) -> None:
        self._entries = sorted(entries, key=_marker)

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[AbortedTransaction]:
        return iter(self._entries)

    def add(self, entry: AbortedTransaction) -> None:
        """Note one more; normally the last so far."""
        insort(self._entries, entry, key=_marker)

    def overlapping(self, start: Offset, end: Offset) -> list[AbortedTransaction]:
        """Return those with records in start ≤ offset < end, ordered by first offset."""
        found = []
        for entry in self._entries[bisect_left(self._entries, start, key=_marker) :]:
            if entry.first_offset < end:
                found.append(entry)
            if entry.last_stable_offset >= end:
                break
        found.sort(key=_first)
        return found

    def with_markers_in(self, start: Offset, end: Offset) -> list[AbortedTransaction]:
        """Return those whose marker lies in start ≤ offset < end: what one segment's file holds."""
        low = bisect_left(self._entries, start, key=_marker)
        high = bisect_left(self._entries, end, key=_marker)
        return self._entries[low:high]

    def remove_markers_in(self, start: Offset, end: Offset) -> None:
        """Forget those whose marker lies in start ≤ offset < end."""
        low = bisect_left(self._entries, start, key=_marker)
        high = bisect_left(self._entries, end, key=_marker)
        del self._entries[low:high]


def encode_aborted(entries: Iterable[AbortedTransaction]) -> bytes:
    """Return the bytes of a `.txnindex` file."""
    return b"".join(_ENTRY.pack(_VERSION, *entry) for entry in entries)


def decode_aborted(data: bytes) -> list[AbortedTransaction]:
    """Read a `.txnindex` file. An incomplete last entry is left out."""
    whole = len(data) // _ENTRY.size * _ENTRY.size
    return [AbortedTransaction(*fields) for _version, *fields in _ENTRY.iter_unpack(data[:whole])]


def _marker(entry: AbortedTransaction) -> Offset:
    return entry.last_offset


def _first(entry: AbortedTransaction) -> Offset:
    return entry.first_offset
