"""Finding batches in a list of segments, by offset and by time.

A segment ends where the next one begins. After compaction the offsets in between may be sparse, and
a segment may have nothing left at all, so a search goes on to the next.
"""

from bisect import bisect_right
from collections.abc import Sequence

from ..model import Offset, Timestamp
from ..records import decode_batch
from .segment import Segment


def read_batches(
    segments: Sequence[Segment],
    log_end_offset: Offset,
    offset: Offset,
    limit: Offset,
    bytes_max: int,
) -> tuple[bytes, Offset]:
    """Return whole batches from the one that holds `offset`, and an offset that none reaches.

    At least one batch even above `bytes_max`, unless there is none below `limit`. All are of one
    segment.
    """
    if offset >= limit:
        return b"", offset
    for at in range(_number(segments, offset), len(segments)):
        segment = segments[at]
        if segment.base_offset >= limit:
            break
        place = segment.locate(offset)
        if place is None or place.base_offset >= limit:
            continue
        segment_end = segments[at + 1].base_offset if at + 1 < len(segments) else log_end_offset
        beyond = segment.locate(limit) if limit < segment_end else None
        end = beyond.position if beyond else segment.size
        return segment.read(place.position, end, bytes_max), min(limit, segment_end)
    return b"", offset


def find_time(
    segments: Sequence[Segment], start: Offset, limit: Offset, timestamp: Timestamp
) -> Offset | None:
    """Return the first offset in start ≤ offset < limit whose timestamp is at or after this one."""
    for segment in segments[_number(segments, start) :]:
        if segment.base_offset >= limit:
            break
        if segment.max_timestamp < timestamp:
            continue
        position = segment.index.floor(segment.time_index.floor(timestamp))
        for _position, header, batch in segment.headers(position):
            if header.base_offset >= limit:
                return None
            if header.max_timestamp < timestamp or header.last_offset < start:
                continue
            for record in decode_batch(batch):
                if record.timestamp >= timestamp and record.offset >= start:
                    return record.offset
    return None


def _number(segments: Sequence[Segment], offset: Offset) -> int:
    """Return which segment would hold `offset`."""
    return max(bisect_right(segments, offset, key=_base_offset) - 1, 0)


def _base_offset(segment: Segment) -> Offset:
    return segment.base_offset
