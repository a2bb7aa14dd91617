"""Finding batches in a list of segments: by offset.

A segment ends where the next one begins. After compaction the offsets in between may be sparse, and
a segment may have nothing left at all, so a search goes on to the next.

Finding is apart from reading, so that a reader who wants more than there is costs no read: what was
found has a size.
"""

from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

from ..model import Offset
from .segment import Segment


class Readable(NamedTuple):
    """Whole batches of one segment, the first of which holds `offset`; none reaches `limit`.

    They are there as long as the segment is: until the log is cut or compacted.
    """

    segment: Segment
    offset: Offset
    position: int
    end: int
    limit: Offset

    @property
    def size(self) -> int:
        """Bytes."""
        return self.end - self.position


def find_batches(
    segments: Sequence[Segment], log_end_offset: Offset, offset: Offset, limit: Offset
) -> Readable | None:
    """Return the batches from the one that holds `offset` to before `limit`, or to a segment's end.

    None when there is none.
    """
    if offset >= limit:
        return None
    for at in range(segment_number(segments, offset), len(segments)):
        segment = segments[at]
        if segment.base_offset >= limit:
            break
        place = segment.locate(offset)
        if place is None or place.base_offset >= limit:
            continue
        segment_end = segments[at + 1].base_offset if at + 1 < len(segments) else log_end_offset
        beyond = segment.locate(limit) if limit < segment_end else None
        end = beyond.position if beyond else segment.size
        return Readable(segment, offset, place.position, end, min(limit, segment_end))
    return None


def read_batches(found: Readable, bytes_max: int) -> bytes | memoryview:
    """Return whole batches, at least one even above `bytes_max`."""
    return found.segment.read(found.position, found.end, bytes_max)


def limit_of(found: Readable, size: int) -> Offset:
    """Return an offset that none of the first batches reaches, which take `size` bytes."""
    if size < found.size:
        following = found.segment.place_at(found.position + size)
        if following is not None:
            return following.base_offset
    return found.limit


def segment_number(segments: Sequence[Segment], offset: Offset) -> int:
    """Return which segment would hold `offset`."""
    return max(bisect_right(segments, offset, key=_base_offset) - 1, 0)


def _base_offset(segment: Segment) -> Offset:
    return segment.base_offset
