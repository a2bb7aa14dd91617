"""Opening a partition: from files to the state that the log goes on from.

After a clean stop the files are trusted: the last snapshot, the last index entries and the few
batches after them say everything.

After a crash every batch of the segments from the recovery point on is checked, and indexes, producer
state, aborted transactions and leader epochs are derived again. The first damaged batch decides:
behind the recovery point it is a torn tail, written but never acknowledged as durable, so it and all
after it is cut; before the recovery point it was durable once, so the disk has lost what it
promised. Then opening fails, and nothing of the partition is served.

A swap of compacted segments that the crash interrupted is finished, or undone, first.

The same reading of batches serves `truncate_to`, which is a crash that someone asked for.
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
from ..records import decode_marker
from . import swap
from .aborted import AbortedTransactions, decode_aborted, encode_aborted
from .checkpoints import CLEANER_FILE, LOG_START_FILE, read_metadata, read_offset, write_offset
from .disk import Disk
from .epochs import EpochStart, LeaderEpochs
from .producer_snapshot import SnapshotDamaged, decode_snapshot
from .producer_state import ProducerStates
from .segment import INDEX, LOG, SNAPSHOT, TIME_INDEX, TXN_INDEX, Segment, file_name

if TYPE_CHECKING:
    from .partition_log import PartitionLog


@dataclass(slots=True)
class LogState:
    """All that a partition log keeps in memory."""

    segments: list[Segment]
    producers: ProducerStates
    aborted: AbortedTransactions
    epochs: LeaderEpochs
    log_start_offset: Offset
    log_end_offset: Offset
    snapshot_offset: Offset
    """The offset of the newest snapshot file."""


@dataclass(frozen=True, slots=True)
class _Damage:
    """The first batch of a segment that doesn't check out."""

    position: int
    expected: object
    found: object


class _Opening:
    """One opening of one partition: what its steps share."""

    def __init__(
        self,
        disk: Disk,
        directory: str,
        partition: TopicPartition,
        config: TopicConfig,
        now: Timestamp,
        *,
        read_only: bool,
    ) -> None:
        self.disk = disk
        self.directory = directory
        self.partition = partition
        self.config = config
        self.now = now
        self.read_only = read_only
        names = disk.list(directory)
        self.segments = [Segment(disk, directory, partition, base) for base in _offsets(names, LOG)]
        self.snapshots = _offsets(names, SNAPSHOT)
        self.compacted = CLEANER_FILE in names
        """Compaction leaves gaps between offsets; without it a gap is a loss."""
        self.epochs = LeaderEpochs.load(disk, directory)
        self.known_epochs = list(self.epochs.entries)
        self.aborted = AbortedTransactions()
        self.producers = ProducerStates(partition)
        start = read_offset(disk, directory, LOG_START_FILE, partition) or 0
        if self.segments:
            start = max(start, self.segments[0].base_offset)
        self.log_start_offset = start
        self.log_end_offset = start
        self.snapshot_offset: Offset = 0

    def state(self) -> LogState:
        if not self.read_only:
            self._remove_stale_snapshots()
        return LogState(
            self.segments,
            self.producers,
            self.aborted,
            self.epochs,
            self.log_start_offset,
            self.log_end_offset,
            self.snapshot_offset,
        )

    def trust(self) -> None:
        """Take the files as they are: only what follows the newest snapshot is read."""
        active = self.segments[-1]
        active.created = self.now
        end = active.base_offset
        start = active.index.positions[-1] if len(active.index) else 0
        whole = start
        for position, header, batch in active.headers(start):
            if self.read_only and crc_of(batch) != header.crc:
                break
            end = header.next_offset
            whole = position + header.size
        if self.read_only:
            active.size = whole
        elif whole != active.size:
            raise CorruptRecord(
                self.partition, active.file.path, whole, "a whole batch", "something else"
            )
        self.log_end_offset = end
        if end < self.log_start_offset and not self.read_only:
            self._begin_anew()
        self._load_aborted(self.segments)
        self._load_producers(self.log_end_offset)
        self._replay(self.snapshot_offset, self.log_end_offset)

    def scan(self, recovery_point: Offset) -> None:
        """Check every batch of the segments from the recovery point on; cut a torn tail."""
        first = 0
        for at, segment in enumerate(self.segments):
            if segment.base_offset <= recovery_point:
                first = at
        trusted, scanned = self.segments[:first], self.segments[first:]
        base = scanned[0].base_offset
        self._load_aborted(trusted)
        self._load_producers(base)
        self._replay(self.snapshot_offset, base)
        self.log_end_offset = base
        for at, segment in enumerate(scanned):
            if self._is_cut_off(segment):
                self._cut(scanned[at - 1], scanned[at - 1].size, scanned[at:])
                break
            damage = self._scan_segment(segment)
            if damage is not None:
                if self.log_end_offset < recovery_point:
                    raise self._corrupt(segment, damage)
                self._cut(segment, damage.position, scanned[at + 1 :])
                break
        if self.log_end_offset < recovery_point:
            active = self.segments[-1]
            end = _Damage(
                active.size, f"batches up to {recovery_point}", f"an end at {self.log_end_offset}"
            )
            raise self._corrupt(active, end)
        if self.log_end_offset < self.log_start_offset:
            self._begin_anew()
        self.epochs.truncate_end(self.log_end_offset)
        self.epochs.save()
        for segment in self.segments[first:]:
            segment.file.sync()
            self._save_scanned(segment)

    def _is_cut_off(self, segment: Segment) -> bool:
        """Say whether batches are missing between the log so far and this segment."""
        gap = segment.base_offset - self.log_end_offset
        return gap < 0 or (gap > 0 and not self.compacted)

    def _scan_segment(self, segment: Segment) -> _Damage | None:
        """Check and note a segment's batches; return the first that is damaged."""
        segment.begin_indexes()
        segment.created = self.now
        self.log_end_offset = max(self.log_end_offset, segment.base_offset)
        interval = self.config.index_interval_bytes
        position = 0
        for position, header, batch in segment.headers():
            wrong = self._check(header, batch)
            if wrong is not None:
                return _Damage(position, *wrong)
            segment.note(position, header.size, header.last_offset, header.max_timestamp, interval)
            if header.leader_epoch > self.epochs.latest:
                self.epochs.begin(header.leader_epoch, header.base_offset)
            self._note(header, batch)
            self.log_end_offset = header.next_offset
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
        if base < self.log_end_offset or (base > self.log_end_offset and not self.compacted):
            return f"offset {self.log_end_offset}", base
        known = bisect_right(self.known_epochs, base, key=_start_offset)
        if known and self.known_epochs[known - 1].leader_epoch != header.leader_epoch:
            return f"leader epoch {self.known_epochs[known - 1].leader_epoch}", header.leader_epoch
        return None

    def _corrupt(self, segment: Segment, damage: _Damage) -> CorruptRecord:
        return CorruptRecord(
            self.partition, segment.file.path, damage.position, damage.expected, damage.found
        )

    def _cut(self, segment: Segment, position: int, following: Iterable[Segment]) -> None:
        """Cut a torn tail: the rest of its segment and all segments after it."""
        segment.file.truncate(position)
        segment.size = position
        for torn in following:
            self.segments.remove(torn)
            torn.remove()
        self.disk.sync_directory(self.directory)

    def _save_scanned(self, segment: Segment) -> None:
        """Write a sealed segment's derived files; the active one's are out of date and go."""
        if segment is self.segments[-1]:
            for suffix in (INDEX, TIME_INDEX, TXN_INDEX):
                self.disk.remove(segment.path + suffix)
            return
        segment.save_indexes()
        following = self.segments[self.segments.index(segment) + 1].base_offset
        entries = self.aborted.with_markers_in(segment.base_offset, following)
        if entries:
            self.disk.replace(segment.path + TXN_INDEX, encode_aborted(entries))
        else:
            self.disk.remove(segment.path + TXN_INDEX)

    def _begin_anew(self) -> None:
        """Go on at the log's start when all that was left is what had been deleted."""
        for segment in self.segments:
            segment.remove()
        self.log_end_offset = self.log_start_offset
        self.segments[:] = [
            _new_segment(self.disk, self.directory, self.partition, self.log_start_offset)
        ]
        self.disk.sync_directory(self.directory)

    def _load_aborted(self, segments: Iterable[Segment]) -> None:
        for segment in segments:
            path = segment.path + TXN_INDEX
            if self.disk.exists(path):
                for entry in decode_aborted(self.disk.read(path)):
                    self.aborted.add(entry)

    def _load_producers(self, offset: Offset) -> None:
        """Load the newest usable snapshot at or before `offset`; without one, begin empty."""
        for snapshot in reversed([known for known in self.snapshots if known <= offset]):
            if snapshot < self.segments[0].base_offset:
                break
            path = f"{self.directory}/{file_name(snapshot, SNAPSHOT)}"
            try:
                self.producers = decode_snapshot(self.partition, self.disk.read(path), self.now)
            except SnapshotDamaged:
                continue  # an older one, or the batches themselves, will do
            self.snapshot_offset = snapshot
            return
        self.producers = ProducerStates(self.partition)
        self.snapshot_offset = self.segments[0].base_offset

    def _replay(self, start: Offset, end: Offset) -> None:
        """Bring the producers' state from `start` to `end`."""
        for at, segment in enumerate(self.segments):
            following = self.segments[at + 1].base_offset if at + 1 < len(self.segments) else end
            if following <= start or segment.base_offset >= end:
                continue
            place = segment.locate(start)
            if place is None:
                continue
            for _position, header, batch in segment.headers(place.position):
                if header.base_offset >= end:
                    return
                if header.base_offset >= start:
                    self._note(header, batch)

    def _note(self, header: BatchHeader, batch: memoryview) -> None:
        if header.producer_id < 0:
            return
        if not header.is_control:
            self.producers.note_batch(header, header.base_offset, self.now)
            return
        marker = decode_marker(batch)
        if marker is not None:
            aborted = self.producers.note_marker(
                marker, header.base_offset, header.max_timestamp, self.now
            )
            if aborted is not None and not self._knows(header.base_offset):
                self.aborted.add(aborted)

    def _knows(self, marker_offset: Offset) -> bool:
        return bool(self.aborted.with_markers_in(marker_offset, marker_offset + 1))

    def _remove_stale_snapshots(self) -> None:
        """Remove snapshots beyond the end, and those that neither open a segment nor are newest."""
        keep = {segment.base_offset for segment in self.segments} | {self.snapshot_offset}
        for snapshot in self.snapshots:
            if snapshot not in keep or snapshot > self.log_end_offset:
                self.disk.remove(f"{self.directory}/{file_name(snapshot, SNAPSHOT)}")


def empty_state(disk: Disk, directory: str, partition: TopicPartition, now: Timestamp) -> LogState:
    """Make the first segment of a new partition."""
    segment = _new_segment(disk, directory, partition, 0)
    segment.created = now
    return LogState(
        [segment],
        ProducerStates(partition),
        AbortedTransactions(),
        LeaderEpochs(disk, directory, []),
        0,
        0,
        0,
    )


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
        opening.scan(recovery_point)
    return topic_id, opening.state()


def truncated_state(log: "PartitionLog", disk: Disk, offset: Offset, now: Timestamp) -> LogState:
    """Cut the batch that holds `offset` and all after it off the files; read again what is left."""
    for segment in reversed(log.segments):
        if segment.base_offset >= offset:
            segment.remove()
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
) -> _Opening:
    """Open a partition's files; if it has no segment left, begin one at its log start."""
    opening = _Opening(disk, directory, partition, config, now, read_only=read_only)
    if not opening.segments:
        if read_only:
            raise FileNotFoundError(f"{directory} holds no segment")
        opening.segments.append(_new_segment(disk, directory, partition, opening.log_start_offset))
        disk.sync_directory(directory)
    return opening


def _new_segment(
    disk: Disk, directory: str, partition: TopicPartition, base_offset: Offset
) -> Segment:
    segment = Segment(disk, directory, partition, base_offset)
    segment.begin_indexes()
    return segment


def _start_offset(entry: EpochStart) -> Offset:
    return entry.start_offset


def _offsets(names: Iterable[str], suffix: str) -> list[Offset]:
    """Return the offsets that files of this suffix are named by, rising."""
    stems = [name.removesuffix(suffix) for name in names if name.endswith(suffix)]
    return sorted(int(stem) for stem in stems if len(stem) == 20 and stem.isdigit())
