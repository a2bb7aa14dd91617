"""From a partition's files to the state that its log goes on from.

After a clean stop the files are trusted: the newest snapshot, the last index entries and the few
batches behind them say everything. After a crash the batches themselves are asked (`recovery.py`).
"""

from collections.abc import Iterable
from dataclasses import dataclass

from ..batch import BatchHeader, crc_of
from ..config import TopicConfig
from ..errors import CorruptRecord
from ..model import Offset, Timestamp, TopicPartition
from ..records import decode_marker
from .aborted import AbortedTransactions, decode_aborted
from .checkpoints import CLEANER_FILE, LOG_START_FILE, METADATA_FILE, read_offset
from .disk import Disk
from .epochs import LeaderEpochs
from .producer_snapshot import SnapshotDamaged, decode_snapshot, encode_snapshot
from .producer_state import ProducerStates
from .segment import LOG, SNAPSHOT, TXN_INDEX, Segment, file_name


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


class Opening:
    """The opening of one partition: what was read so far, and how to read more of it."""

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
        self.segments = [
            Segment(disk, directory, partition, base, create=False) for base in _offsets(names, LOG)
        ]
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
        """Return what was found, and remove what has no use."""
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
        self.load_aborted(self.segments)
        self.load_producers(end)
        self.replay(self.snapshot_offset, end)
        if end < self.log_start_offset:
            self.begin_anew()

    def begin_anew(self) -> None:
        """Go on at the log's start when all that is left had been deleted; keep the producers."""
        start = self.log_end_offset = self.log_start_offset
        if self.read_only:
            return
        for segment in self.segments:
            segment.remove()
        self.segments[:] = [new_segment(self.disk, self.directory, self.partition, start)]
        self.disk.sync_directory(self.directory)
        path = f"{self.directory}/{file_name(start, SNAPSHOT)}"
        self.disk.replace(path, encode_snapshot(self.producers))
        self.snapshot_offset = start

    def load_aborted(self, segments: Iterable[Segment]) -> None:
        """Read these segments' transaction indexes."""
        for segment in segments:
            path = segment.path + TXN_INDEX
            if self.disk.exists(path):
                for entry in decode_aborted(self.disk.read(path)):
                    self.aborted.add(entry)

    def load_producers(self, offset: Offset) -> None:
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

    def replay(self, start: Offset, end: Offset) -> None:
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
                    self.note(header, batch)

    def note(self, header: BatchHeader, batch: memoryview) -> None:
        """Take a batch into account for producers and aborted transactions."""
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
    segment = new_segment(disk, directory, partition, 0)
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


def new_segment(
    disk: Disk, directory: str, partition: TopicPartition, base_offset: Offset
) -> Segment:
    """Begin a segment, in a directory that is yet to be synced."""
    segment = Segment(disk, directory, partition, base_offset)
    segment.begin_indexes()
    return segment


def _offsets(names: Iterable[str], suffix: str) -> list[Offset]:
    """Return the offsets that files of this suffix are named by, rising."""
    stems = [name.removesuffix(suffix) for name in names if name.endswith(suffix)]
    return sorted(int(stem) for stem in stems if len(stem) == 20 and stem.isdigit())


def paths_of_new(directory: str) -> list[str]:
    """Return what must be synced of a partition's directory that was just made; then its parent."""
    return [f"{directory}/{METADATA_FILE}", directory]
