"""The two sparse indexes of a segment: offset to file position, and timestamp to offset.

About every `index.interval.bytes` one entry is made; a search finds the last entry at or before
what it looks for and hops on from there, header by header. Entries of the segment that is being
written live in memory; the files are written when the segment is sealed or the log closed, and made
anew from the segment when they are missing or don't fit it. So an index can slow a search down when
it is lost, but never make it wrong.

The bytes are Kafka's, entries of fixed size without a header: `.index` has (relative offset int32,
position int32), `.timeindex` (timestamp int64, relative offset int32), all big-endian. Offsets are
those of a batch's last record, relative to the segment's base offset.
"""

import struct
import sys
from array import array
from bisect import bisect_right
from typing import Final

from ..model import Offset, Timestamp

_TIME_ENTRY: Final = struct.Struct(">qI")
_NATIVE_IS_LITTLE: Final = sys.byteorder == "little"


class OffsetIndex:
    """Where some batches of a segment begin; offsets and positions both rise."""

    __slots__ = ("base_offset", "positions", "relative_offsets")

    def __init__(self, base_offset: Offset) -> None:
        self.base_offset = base_offset
        self.relative_offsets = array("I")
        self.positions = array("I")

    def __len__(self) -> int:
        return len(self.positions)

    def append(self, last_offset: Offset, position: int) -> None:
        """Note that the batch ending with `last_offset` begins at `position`."""
        self.relative_offsets.append(last_offset - self.base_offset)
        self.positions.append(position)

    def floor(self, offset: Offset) -> int:
        """Return a position from which the batch that holds `offset` is found by going on."""
        relative = offset - self.base_offset
        at = bisect_right(self.relative_offsets, relative) if relative >= 0 else 0
        return self.positions[at - 1] if at else 0

    def batch_start_before(self, position: int) -> int:
        """Return the largest known batch position that is not beyond `position`."""
        at = bisect_right(self.positions, position)
        return self.positions[at - 1] if at else 0

    def truncate(self, position: int) -> None:
        """Forget the batches that begin at `position` or after."""
        keep = bisect_right(self.positions, position - 1)
        del self.positions[keep:]
        del self.relative_offsets[keep:]

    def encode(self) -> bytes:
        """Return the file's bytes."""
        entries = array("I", bytes(8 * len(self.positions)))
        entries[0::2] = self.relative_offsets
        entries[1::2] = self.positions
        if _NATIVE_IS_LITTLE:
            entries.byteswap()
        return entries.tobytes()

    @classmethod
    def decode(cls, base_offset: Offset, data: bytes) -> "OffsetIndex":
        """Read a file's bytes, up to the first entry that doesn't rise.

        Kafka allocates the file of its active segment ahead, so zeros may follow the last entry.
        """
        index = cls(base_offset)
        entries = array("I", data[: len(data) // 8 * 8])
        if _NATIVE_IS_LITTLE:
            entries.byteswap()
        relative_offsets, positions = entries[0::2], entries[1::2]
        keep = _rising(positions)
        index.relative_offsets = relative_offsets[:keep]
        index.positions = positions[:keep]
        return index


class TimeIndex:
    """The largest timestamp up to some offsets of a segment; both rise."""

    __slots__ = ("base_offset", "relative_offsets", "timestamps")

    def __init__(self, base_offset: Offset) -> None:
        self.base_offset = base_offset
        self.timestamps = array("q")
        self.relative_offsets = array("I")

    def __len__(self) -> int:
        return len(self.timestamps)

    def append(self, timestamp: Timestamp, offset: Offset) -> None:
        """Note that up to `offset` no timestamp is larger; ignored unless `timestamp` has risen."""
        if not self.timestamps or timestamp > self.timestamps[-1]:
            self.timestamps.append(timestamp)
            self.relative_offsets.append(offset - self.base_offset)

    def floor(self, timestamp: Timestamp) -> Offset:
        """Return an offset up to which all timestamps are below `timestamp`, or the base offset."""
        at = bisect_right(self.timestamps, timestamp - 1)
        return self.base_offset + (self.relative_offsets[at - 1] if at else 0)

    def last(self) -> tuple[Timestamp, Offset] | None:
        """Return the last entry, which for a sealed segment is its largest timestamp."""
        if not self.timestamps:
            return None
        return self.timestamps[-1], self.base_offset + self.relative_offsets[-1]

    def truncate(self, offset: Offset) -> None:
        """Forget entries of `offset` and after."""
        keep = bisect_right(self.relative_offsets, offset - self.base_offset - 1)
        del self.timestamps[keep:]
        del self.relative_offsets[keep:]

    def encode(self) -> bytes:
        """Return the file's bytes."""
        pack = _TIME_ENTRY.pack
        entries = zip(self.timestamps, self.relative_offsets, strict=True)
        return b"".join(pack(timestamp, offset) for timestamp, offset in entries)

    @classmethod
    def decode(cls, base_offset: Offset, data: bytes) -> "TimeIndex":
        """Read a file's bytes, up to the first entry that doesn't rise."""
        index = cls(base_offset)
        whole = len(data) // _TIME_ENTRY.size * _TIME_ENTRY.size
        for timestamp, offset in _TIME_ENTRY.iter_unpack(data[:whole]):
            if index.timestamps and timestamp <= index.timestamps[-1]:
                break
            index.timestamps.append(timestamp)
            index.relative_offsets.append(offset)
        return index


def _rising(values: "array[int]") -> int:
    """Return how many values, from the first, rise strictly."""
    previous = -1
    for count, value in enumerate(values):
        if value <= previous:
            return count
        previous = value
    return len(values)
