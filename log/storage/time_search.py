"""Finding a record by its timestamp.

The time index leads to a batch, and there records have to be looked at: the one place where a broker
does, apart from compaction. They are taken one by one, so a batch of millions costs no memory. One
that can't be read, or unpacks to more than any batch may, is taken as a whole: its first offset is
the answer, so whoever begins to read there misses nothing.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from ..batch import BatchHeader
from ..errors import InvalidRecord
from ..model import Offset, Timestamp
from ..records import iterate_batch
from .reading import segment_number
from .segment import NO_TIMESTAMP, Segment


class Timed(NamedTuple):
    """A record that was found: its timestamp, its place, and the leader epoch that wrote it."""

    timestamp: Timestamp
    offset: Offset
    leader_epoch: int


def find_time(
    segments: Sequence[Segment], start: Offset, limit: Offset, timestamp: Timestamp
) -> Timed | None:
    """Return the first record in start ≤ offset < limit whose timestamp is at or after this one."""
    for segment in segments[segment_number(segments, start) :]:
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
            found = _first_in(header, batch, lambda at: at >= timestamp, start)
            if found is not None:
                return found if found.offset < limit else None
    return None


def find_latest_time(segments: Sequence[Segment], start: Offset, limit: Offset) -> Timed | None:
    """Return the first record with the largest timestamp of the log; None if it is at `limit` or after.

    Source: KIP-734.
    """
    newest = max(segments, key=_max_timestamp)  # of equals the first
    latest = newest.max_timestamp
    if latest == NO_TIMESTAMP:
        return None
    place = newest.locate(newest.max_timestamp_offset)
    position = place.position if place is not None else 0
    for _position, header, batch in newest.headers(position):
        if header.max_timestamp == latest and header.last_offset >= start:
            found = _first_in(header, batch, lambda at: at == latest, start)
            return found if found is not None and found.offset < limit else None
    return None


def _first_in(
    header: BatchHeader, batch: memoryview, fits: Callable[[Timestamp], bool], start: Offset
) -> Timed | None:
    try:
        for record in iterate_batch(batch):
            if fits(record.timestamp) and record.offset >= start:
                return Timed(record.timestamp, record.offset, header.leader_epoch)
    except InvalidRecord:
        return Timed(header.max_timestamp, max(header.base_offset, start), header.leader_epoch)
    return None


def _max_timestamp(segment: Segment) -> Timestamp:
    return segment.max_timestamp
