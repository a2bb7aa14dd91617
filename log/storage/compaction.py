"""Log compaction: of each key only the latest record stays.

What is behind the last stable offset, and not in the active segment, is read twice. First the *dirty*
part, that no compaction has seen, gives a map from key to latest offset. Then everything up to there
is copied without what the map outdates (`compaction_filter.py` decides per batch), neighbouring
segments that have become small are merged, and the copies take the originals' place (`swap.py`).
Offsets never change, so a compacted log has gaps.

Sealed segments never change, so planning, copying and swapping can be three steps, the middle one
in a thread. If the log was cut in between, the copy is thrown away.

Source: KIP-58 (min.compaction.lag.ms), KIP-354 (max.compaction.lag.ms), KIP-534 (delete horizon).
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ..batch import read_header
from ..model import Offset, Timestamp
from . import swap
from .aborted import encode_aborted
from .checkpoints import CLEANER_FILE, read_offset, write_offset
from .compaction_filter import CompactionFilter, TransactionOutcomes, readable
from .rolling import RELATIVE_OFFSET_MAX
from .segment import TXN_INDEX, Segment, file_name

if TYPE_CHECKING:
    from .disk import Disk
    from .partition_log import PartitionLog

KEYS_MAX: Final = 5_000_000
"""How many keys one compaction takes on; the rest stays dirty for the next. Bounds memory."""


@dataclass(frozen=True, slots=True)
class CompactionStats:
    """What a compaction did."""

    segments_before: int
    segments_after: int
    bytes_before: int
    bytes_after: int
    records_before: int
    records_after: int


class Compaction:
    """One compaction, planned. Only `run` reads and writes much, and it touches nothing shared."""

    def __init__(
        self,
        disk: "Disk",
        directory: str,
        sources: list[Segment],
        ends: list[Offset],
        dirty_from: Offset,
        segment_bytes: int,
        index_interval_bytes: int,
        keep: CompactionFilter,
    ) -> None:
        self.disk = disk
        self.directory = directory
        self.sources = sources
        self.ends = ends
        self.dirty_from = dirty_from
        self.segment_bytes = segment_bytes
        self.index_interval_bytes = index_interval_bytes
        self.keep = keep
        self.groups: list[list[Segment]] = []
        self.copies: list[Segment] = []
        self.void = False

    @property
    def clean_until(self) -> Offset:
        """Where the next compaction's dirty part begins, once this one is finished."""
        return self.ends[len(self.sources) - 1]

    def run(self) -> None:
        """Write the compacted copies, and sync them.

        Raises:
            CorruptRecord: what is there is damaged; nothing has changed.
        """
        try:
            self._map_keys()
            self.groups = _groups(self.sources, self.ends, self.segment_bytes)
            for group in self.groups:
                self._copy(group)
        except FileNotFoundError:  # retention was faster
            self.void = True

    def discard(self) -> None:
        """Remove what `run` wrote."""
        for group in self.groups:
            self.disk.remove(f"{self.directory}/{file_name(group[0].base_offset, swap.CLEANED)}")

    def _map_keys(self) -> None:
        """Note each key's latest offset in the dirty part, as far as memory is meant to go."""
        latest = self.keep.latest
        for at, segment in enumerate(self.sources):
            if segment.base_offset < self.dirty_from:
                continue
            if len(latest) >= KEYS_MAX:
                del self.sources[at:]
                return
            for header, batch in segment.checked_batches():
                if header.is_control or self.keep.outcomes.is_aborted(header):
                    continue
                for record in readable(header, batch) or ():
                    if record.key is not None:
                        latest[record.key] = record.offset

    def _copy(self, group: list[Segment]) -> None:
        base_offset, partition = group[0].base_offset, group[0].partition
        self.disk.remove(f"{self.directory}/{file_name(base_offset, swap.CLEANED)}")
        copy = Segment(self.disk, self.directory, partition, base_offset, swap.CLEANED)
        copy.begin_indexes()
        for segment in group:
            for header, batch in segment.checked_batches():
                kept = self.keep.apply(header, batch)
                if kept is not None:
                    max_timestamp = read_header(kept).max_timestamp
                    copy.append(kept, header.last_offset, max_timestamp, self.index_interval_bytes)
        copy.file.sync()
        copy.close()
        self.copies.append(copy)


def plan(log: "PartitionLog", disk: "Disk", now: Timestamp, *, force: bool) -> Compaction | None:
    """Decide what to compact; None when the topic isn't compacted or there is too little to gain."""
    config = log.config
    if not config.cleanup_compact:
        return None
    sources, ends = _cleanable(log, now)
    dirty_from = read_offset(disk, log.directory, CLEANER_FILE, log.partition) or 0
    dirty = [segment for segment in sources if segment.base_offset >= dirty_from]
    if not dirty:
        return None
    dirty_bytes = sum(segment.size for segment in dirty)
    all_bytes = sum(segment.size for segment in sources)
    overdue = now - dirty[0].first_timestamp > config.max_compaction_lag_ms
    if not (force or overdue or dirty_bytes > all_bytes * config.min_cleanable_dirty_ratio):
        return None
    last_of_producers = {
        entry.producer_id: (entry.last_data_offset, entry.producer_epoch) for entry in log.producers
    }
    keep = CompactionFilter(
        outcomes=TransactionOutcomes(log.aborted),
        last_of_producers=last_of_producers,
        delete_retention_ms=config.delete_retention_ms,
        now=now,
    )
    return Compaction(
        disk,
        log.directory,
        sources,
        ends,
        dirty_from,
        config.segment_bytes,
        config.index_interval_bytes,
        keep,
    )


def finish(log: "PartitionLog", disk: "Disk", work: Compaction) -> CompactionStats | None:
    """Swap the copies in, unless the log was cut meanwhile."""
    count = len(work.sources)
    if work.void or log.segments[:count] != work.sources:
        work.discard()
        return None
    before = sum(segment.size for segment in work.sources)
    # A gap between offsets is a loss unless this file says that the log was compacted.
    write_offset(disk, log.directory, CLEANER_FILE, log.partition, work.dirty_from)
    for offset in work.keep.dropped_markers:
        log.aborted.remove_markers_in(offset, offset + 1)
    for group, copy in zip(work.groups, work.copies, strict=True):
        _replace(log, disk, group, copy)
    write_offset(disk, log.directory, CLEANER_FILE, log.partition, work.clean_until)
    return CompactionStats(
        segments_before=count,
        segments_after=len(work.copies),
        bytes_before=before,
        bytes_after=sum(copy.size for copy in work.copies),
        records_before=work.keep.records_before,
        records_after=work.keep.records_after,
    )


def _replace(log: "PartitionLog", disk: "Disk", group: list[Segment], copy: Segment) -> None:
    base_offset = copy.base_offset
    swap.announce(disk, log.directory, base_offset)
    for segment in group:
        segment.close()
    swap.install(disk, log.directory, base_offset, [segment.base_offset for segment in group])
    compacted = Segment(disk, log.directory, log.partition, base_offset, create=False)
    copy.adopted_by(compacted)
    at = log.segments.index(group[0])
    end = log.segments[at + len(group)].base_offset
    compacted.save_indexes()
    entries = log.aborted.with_markers_in(base_offset, end)
    if entries:
        disk.replace(compacted.path + TXN_INDEX, encode_aborted(entries))
    compacted.unload_indexes()
    log.segments[at : at + len(group)] = [compacted]


def _cleanable(log: "PartitionLog", now: Timestamp) -> tuple[list[Segment], list[Offset]]:
    """Return the sealed segments below the last stable offset, and where each ends."""
    stable = log.last_stable_offset
    lag_ms = log.config.min_compaction_lag_ms
    sources, ends = [], []
    for segment, following in zip(log.segments, log.segments[1:], strict=False):
        too_young = lag_ms and now - segment.max_timestamp < lag_ms
        if following.base_offset > stable or too_young:
            break
        sources.append(segment)
        ends.append(following.base_offset)
    return sources, ends


def _groups(segments: list[Segment], ends: list[Offset], segment_bytes: int) -> list[list[Segment]]:
    """Put neighbours together whose batches would fit into one segment, even all of them."""
    groups: list[list[Segment]] = []
    size = 0
    for segment, end in zip(segments, ends, strict=False):
        fits = (
            groups
            and size + segment.size <= segment_bytes
            and end - groups[-1][0].base_offset <= RELATIVE_OFFSET_MAX
        )
        if fits:
            groups[-1].append(segment)
            size += segment.size
        else:
            groups.append([segment])
            size = segment.size
    return groups
