"""Opening a partition: trust the files after a clean stop, check the batches after a crash.

After a crash every batch of the segments from the recovery point on is checked, and indexes, producer
state, aborted transactions and leader epochs are derived again. The first damaged batch decides:
behind the recovery point it is a torn tail, written but never acknowledged as durable, so it and all
after it is cut; before the recovery point it was durable once, so the disk has lost what it
promised. Then opening fails, and nothing of the partition is served.

A swap of compacted segments that the crash interrupted is finished, or undone, first.

The same reading of batches serves `truncate`, which is a crash that someone asked for.
"""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from ..batch import HEADER_SIZE, MAGIC, BatchHeader, crc_of, read_header
from ..config import TopicConfig
from ..errors import CorruptRecord
from ..model import Offset, Timestamp, TopicPartition
from . import swap
from .aborted import AbortedTransactions, encode_aborted
from .checkpoints import LOG_START_FILE, read_metadata, write_offset
from .disk import Disk
from .epochs import EpochStart
from .opening import LogState, Opening, new_segment
from .segment import INDEX, TIME_INDEX, TXN_INDEX, Segment

if TYPE_CHECKING:
    from .partition_log import PartitionLog


def open_state(
    disk: Disk,
    directory: str,
    partition: TopicPartition,
    config: TopicConfig,
    *,
    clean: bool,
    recovery_point: Offset,
    now: Timestamp,
    read_only: bool,
) -> tuple[UUID, LogState]:
    """Read a partition's directory; see `PartitionLog.open`."""
    topic_id = read_metadata(disk, directory, partition)
    if not read_only:
        swap.recover(disk, directory, partition)
    opening = _opened(disk, directory, partition, config, now, read_only=read_only)
    if clean or read_only:
        opening.trust()
    else:
        _Scan(opening, recovery_point).run()
    return topic_id, opening.state()


def truncated_state(log: "PartitionLog", disk: Disk, offset: Offset, now: Timestamp) -> LogState:
    """Cut the batch that holds `offset` and all after it off the files; read again what is left."""
    for segment in reversed(log.segments):
        if segment.base_offset >= offset:
            segment.remove(keep_snapshot=segment.base_offset == offset)
        else:
            place = segment.locate(offset)
            if place is not None:
                segment.truncate(place)
                segment.file.sync()
            segment.close()
    if offset < log.log_start_offset:
        write_offset(disk, log.directory, LOG_START_FILE, log.partition, offset)
    disk.sync_directory(log.directory)
    opening = _opened(disk, log.directory, log.partition, log.config, now, read_only=False)
    opening.trust()
    state = opening.state()
    end = state.log_end_offset
    state.aborted = AbortedTransactions(log.aborted.with_markers_in(state.log_start_offset, end))
    return state


def _opened(
    disk: Disk,
    directory: str,
    partition: TopicPartition,
    config: TopicConfig,
    now: Timestamp,
    *,
    read_only: bool,
) -> Opening:
    """Open a partition's files; if it has no segment left, begin one at its log start."""
    opening = Opening(disk, directory, partition, config, now, read_only=read_only)
    if not opening.segments:
        if read_only:
            raise FileNotFoundError(f"{directory} holds no segment")
        opening.segments.append(new_segment(disk, directory, partition, opening.log_start_offset))
        disk.sync_directory(directory)
    return opening


@dataclass(frozen=True, slots=True)
class _Damage:
    """The first batch of a segment that doesn't check out."""

    position: int
    expected: object
    found: object


class _Scan:
    """The check of every batch from the recovery point on."""

    def __init__(self, log: Opening, recovery_point: Offset) -> None:
        self._log = log
        self._recovery_point = recovery_point

    def run(self) -> None:
        """Check the batches, cut a torn tail, and save what was derived."""
        recovery_point = self._recovery_point
        first = 0
        for at, segment in enumerate(self._log.segments):
            if segment.base_offset <= recovery_point:
                first = at
        trusted, scanned = self._log.segments[:first], self._log.segments[first:]
        base = scanned[0].base_offset
        self._log.load_aborted(trusted)
        self._log.load_producers(base)
        self._log.replay(self._log.snapshot_offset, base)
        self._log.log_end_offset = base
        for at, segment in enumerate(scanned):
            if self._is_cut_off(segment):
                self._cut(scanned[at - 1], scanned[at - 1].size, scanned[at:])
                break
            damage = self._scan_segment(segment)
            if damage is not None:
                if self._log.log_end_offset < recovery_point:
                    raise self._corrupt(segment, damage)
                self._cut(segment, damage.position, scanned[at + 1 :])
                break
        if self._log.log_end_offset < recovery_point:
            active = self._log.segments[-1]
            end = _Damage(
                active.size,
                f"batches up to {recovery_point}",
                f"an end at {self._log.log_end_offset}",
            )
            raise self._corrupt(active, end)
        if self._log.log_end_offset < self._log.log_start_offset:
            self._log.begin_anew()
        self._log.epochs.truncate_end(self._log.log_end_offset)
        self._log.epochs.save()
        for segment in self._log.segments[first:]:
            segment.file.sync()
            self._save_scanned(segment)

    def _is_cut_off(self, segment: Segment) -> bool:
        """Say whether batches are missing between the log so far and this segment."""
        gap = segment.base_offset - self._log.log_end_offset
        return gap < 0 or (gap > 0 and not self._log.compacted)

    def _scan_segment(self, segment: Segment) -> _Damage | None:
        """Check and note a segment's batches; return the first that is damaged."""
        segment.begin_indexes()
        segment.created = self._log.now
        self._log.log_end_offset = max(self._log.log_end_offset, segment.base_offset)
        interval = self._log.config.index_interval_bytes
        position = 0
        for position, header, batch in segment.headers():
            wrong = self._check(header, batch)
            if wrong is not None:
                return _Damage(position, *wrong)
            segment.note(position, header.size, header.last_offset, header.max_timestamp, interval)
            if header.leader_epoch > self._log.epochs.latest:
                self._log.epochs.begin(header.leader_epoch, header.base_offset)
            self._log.note(header, batch)
            self._log.log_end_offset = header.next_offset
            position += header.size
        if position == segment.size:
            return None
        head = segment.file.read_at(position, HEADER_SIZE)
        if len(head) < HEADER_SIZE:
            return _Damage(position, f"{HEADER_SIZE} bytes of a header", len(head))
        header = read_header(head)
        if header.magic != MAGIC or header.size < HEADER_SIZE:
            return _Damage(position, f"format {MAGIC}", f"{header.magic}, {header.size} bytes")
        return _Damage(position, f"{header.size} bytes", segment.size - position)

    def _check(self, header: BatchHeader, batch: memoryview) -> tuple[object, object] | None:
        """Return what was expected of a batch and what was found, if they differ.

        The CRC leaves out base offset and leader epoch, so these are held against what is known.
        """
        crc = crc_of(batch)
        if crc != header.crc:
            return f"CRC {header.crc:#010x}", f"{crc:#010x}"
        base = header.base_offset
        if base < self._log.log_end_offset or (
            base > self._log.log_end_offset and not self._log.compacted
        ):
            return f"offset {self._log.log_end_offset}", base
        known = bisect_right(self._log.known_epochs, base, key=_start_offset)
        if known and self._log.known_epochs[known - 1].leader_epoch != header.leader_epoch:
            return (
                f"leader epoch {self._log.known_epochs[known - 1].leader_epoch}",
                header.leader_epoch,
            )
        return None

    def _corrupt(self, segment: Segment, damage: _Damage) -> CorruptRecord:
        return CorruptRecord(
            self._log.partition, segment.file.path, damage.position, damage.expected, damage.found
        )

    def _cut(self, segment: Segment, position: int, following: Iterable[Segment]) -> None:
        """Cut a torn tail: the rest of its segment and all segments after it."""
        segment.file.truncate(position)
        segment.size = position
        for torn in following:
            self._log.segments.remove(torn)
            torn.remove()
        self._log.disk.sync_directory(self._log.directory)

    def _save_scanned(self, segment: Segment) -> None:
        """Write a sealed segment's derived files; the active one's are out of date and go."""
        if segment is self._log.segments[-1]:
            for suffix in (INDEX, TIME_INDEX, TXN_INDEX):
                self._log.disk.remove(segment.path + suffix)
            return
        segment.save_indexes()
        following = self._log.segments[self._log.segments.index(segment) + 1].base_offset
        entries = self._log.aborted.with_markers_in(segment.base_offset, following)
        if entries:
            self._log.disk.replace(segment.path + TXN_INDEX, encode_aborted(entries))
        else:
            self._log.disk.remove(segment.path + TXN_INDEX)


def _start_offset(entry: EpochStart) -> Offset:
    return entry.start_offset
