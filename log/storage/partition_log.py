"""A partition's log on disk: batches appended, read, and cut away at either end.

This is the deterministic core of storage. It decides what is written and in which order; the bytes
go through a `Disk`, the time comes as `now`. Nothing here syncs on its own, except where a file is
put in place: the shell gathers `files_to_sync` of many partitions, syncs them in a thread, and then
calls `mark_flushed`, so that one fsync carries many appends.

A batch costs work here, a record doesn't: records are looked at only by compaction and by a search
for a timestamp.

    log_start_offset ≤ last_stable_offset ≤ high_watermark ≤ log_end_offset

Opening is in `recovery.py`, retention in `retention.py`, compaction in `compaction.py`. The bytes are
described in `log/FORMAT.md`.
"""

from typing import Final
from uuid import UUID

from ..batch import BatchHeader, WritableBuffer, read_header, stamp
from ..config import TopicConfig
from ..errors import Fenced, OffsetOutOfRange
from ..model import Isolation, Offset, Timestamp, TopicPartition
from ..records import Marker, encode_marker
from . import compaction, recovery, retention
from .aborted import AbortedTransaction, AbortedTransactions, encode_aborted
from .admission import admit
from .checkpoints import LOG_START_FILE, write_metadata, write_offset
from .compaction import Compaction, CompactionStats
from .disk import Disk, File
from .epochs import EpochEnd, LeaderEpochs
from .opening import LogState, empty_state, new_segment, paths_of_new
from .producer_snapshot import encode_snapshot
from .producer_state import ProducerStates
from .reading import Readable, find_batches, limit_of, read_batches
from .results import LogAppend, ReadResult
from .rolling import must_roll
from .segment import NO_TIMESTAMP, SNAPSHOT, TXN_INDEX, Segment, file_name
from .time_search import Timed, find_latest_time, find_time

__all__ = ["LogAppend", "PartitionLog", "ReadResult"]

PRODUCER_EXPIRATION_MS: Final = 86_400_000
"""Kafka's `producer.id.expiration.ms`: how long the last sequence of a silent producer is kept."""


class PartitionLog:
    """One partition. Make it with `create` or `open`; it expects one caller at a time."""

    def __init__(
        self,
        disk: Disk,
        directory: str,
        partition: TopicPartition,
        topic_id: UUID,
        config: TopicConfig,
        state: LogState,
        *,
        read_only: bool = False,
    ) -> None:
        self.partition = partition
        self.topic_id = topic_id
        self.directory = directory
        self.read_only = read_only
        self.durable_reads = False
        """Whether readers see only what is flushed, or all that is appended."""
        self.log_start_offset: Offset = state.log_start_offset
        self.log_end_offset: Offset = state.log_end_offset
        self.flushed_offset: Offset = state.log_end_offset
        self.segments: list[Segment] = state.segments
        self.producers: ProducerStates = state.producers
        self.epochs: LeaderEpochs = state.epochs
        self.aborted: AbortedTransactions = state.aborted
        self._disk = disk
        self._visible_end: Offset = state.log_end_offset
        self._snapshot_offset: Offset = state.snapshot_offset
        self._now: Timestamp = 0  # of the last append
        self._active = self.segments[-1]
        self.config = config

    @classmethod
    def create(
        cls,
        disk: Disk,
        directory: str,
        partition: TopicPartition,
        topic_id: UUID,
        config: TopicConfig,
        *,
        leader_epoch: int = 0,
        now: Timestamp = 0,
        durable: bool = True,
    ) -> "PartitionLog":
        """Make an empty log in a directory that doesn't exist yet.

        Durable on return; or else when the caller has synced `paths_of_new`, with those of others.
        """
        disk.make_directory(directory)
        write_metadata(disk, directory, topic_id)
        state = empty_state(disk, directory, partition, now)
        if durable:
            disk.sync_all([*paths_of_new(directory), directory.rpartition("/")[0]])
        log = cls(disk, directory, partition, topic_id, config, state)
        log.begin_epoch(leader_epoch)
        return log

    @classmethod
    def open(
        cls,
        disk: Disk,
        directory: str,
        partition: TopicPartition,
        config: TopicConfig,
        *,
        clean: bool,
        recovery_point: Offset = 0,
        now: Timestamp,
        read_only: bool = False,
    ) -> "PartitionLog":
        """Open what is there.

        After a clean stop the files are trusted. Else batches are checked from `recovery_point`
        on: the offset up to which the log was last known to be durable. A damaged tail behind it was
        never acknowledged as durable, and is cut; damage before it is not ours to cut.

        With `read_only` another process may be appending: nothing is written, and the log ends
        before the first batch that isn't whole.

        Raises:
            CorruptRecord: damage before the recovery point.
            FileNotFoundError: the directory holds no partition.
        """
        topic_id, state = recovery.open_state(
            disk,
            directory,
            partition,
            config,
            clean=clean,
            recovery_point=recovery_point,
            now=now,
            read_only=read_only,
        )
        return cls(disk, directory, partition, topic_id, config, state, read_only=read_only)

    # -- where the log stands ------------------------------------------------------------------

    @property
    def leader_epoch(self) -> int:
        """The leader epoch that writes now, or -1."""
        return self.epochs.latest

    @property
    def size(self) -> int:
        """Bytes of all segments."""
        return sum(segment.size for segment in self.segments)

    @property
    def high_watermark(self) -> Offset:
        """The first offset that readers may not see yet.

        Invariant: log_start_offset ≤ result ≤ log_end_offset.
        """
        return self._visible_end if self.durable_reads else self.log_end_offset

    @property
    def last_stable_offset(self) -> Offset:
        """The first offset that committed readers may not see: no transaction is open below."""
        high_watermark = self.high_watermark
        unstable = self.producers.first_unstable_offset(high_watermark)
        if unstable is None or unstable >= high_watermark:
            return high_watermark
        return max(unstable, self.log_start_offset)

    def end_for(self, isolation: Isolation) -> Offset:
        """Return the first offset that a reader of this isolation may not see yet."""
        if isolation is Isolation.READ_COMMITTED:
            return self.last_stable_offset
        return self.high_watermark

    # -- append --------------------------------------------------------------------------------

    def append(
        self, batch: WritableBuffer, *, leader_epoch: int, now: Timestamp, trusted: bool = False
    ) -> LogAppend:
        """Append one batch, stamping offset and epoch into it. A retry is answered, not appended.

        `trusted` leaves out the checks of form, for batches made in this process.

        Raises:
            InvalidRecord, RecordTooLarge: see `admit`.
            OutOfSequence, Fenced, InvalidTransactionState: see `ProducerStates.check`. Fenced also
                by a newer leader epoch.
            DiskFailed: nothing was appended.
        """
        batch, header = admit(batch, self.partition, self.config, now, trusted=trusted)
        by_append = self.config.timestamp_type == "LogAppendTime"
        if header.producer_id >= 0:
            known = self.producers.check(header)
            if known is not None:
                then = known.timestamp if by_append else NO_TIMESTAMP
                return LogAppend(
                    known.base_offset, known.last_offset + 1, self.leader_epoch, True, then
                )
        base_offset = self._write(batch, header, leader_epoch, now)
        if header.producer_id >= 0:
            self.producers.note_batch(header, base_offset, now)
        append_time = now if by_append else NO_TIMESTAMP
        return LogAppend(base_offset, self.log_end_offset, leader_epoch, False, append_time)

    def append_marker(
        self,
        *,
        producer_id: int,
        producer_epoch: int,
        commit: bool,
        coordinator_epoch: int,
        leader_epoch: int,
        now: Timestamp,
    ) -> LogAppend:
        """Append the marker that ends the producer's transaction here.

        When all before it is visible, the marker is visible at once, synced or not: the outcome is
        durable elsewhere, in the coordinator's log, and a lost marker would be written again.

        Raises:
            Fenced: a newer producer, coordinator or leader epoch has written here.
        """
        marker = Marker(commit, producer_id, producer_epoch, coordinator_epoch)
        self.producers.check_marker(marker)
        batch = encode_marker(
            commit=commit,
            producer_id=producer_id,
            producer_epoch=producer_epoch,
            coordinator_epoch=coordinator_epoch,
            timestamp=now,
        )
        all_visible = self._visible_end == self.log_end_offset
        offset = self._write(batch, read_header(batch), leader_epoch, now)
        if all_visible:
            self._visible_end = self.log_end_offset
        aborted = self.producers.note_marker(marker, offset, now, now)
        if aborted is not None:
            self.aborted.add(aborted)
        return LogAppend(offset, self.log_end_offset, leader_epoch)

    def _write(
        self, batch: WritableBuffer, header: BatchHeader, leader_epoch: int, now: Timestamp
    ) -> Offset:
        assert not self.read_only
        self._now = now
        if leader_epoch != self.epochs.latest:
            self.begin_epoch(leader_epoch)
        self.epochs.save()
        base_offset = self.log_end_offset
        last_offset = base_offset + header.last_offset_delta
        if must_roll(self._active, self.config, len(batch), last_offset, header.max_timestamp, now):
            self.roll(now)
        stamp(batch, base_offset, leader_epoch)
        self._active.append(
            batch, last_offset, header.max_timestamp, self.config.index_interval_bytes
        )
        self.log_end_offset = last_offset + 1
        return base_offset

    # -- read ----------------------------------------------------------------------------------

    def read(self, offset: Offset, bytes_max: int, isolation: Isolation) -> ReadResult:
        """Read whole batches, beginning with the one that holds `offset`.

        Brings at least one batch, even above `bytes_max`, unless the reader is at its end: the high
        watermark, or the last stable offset for committed reads.

        Raises:
            OffsetOutOfRange: below the log's start or beyond its end.
        """
        found = self.find(offset, self.end_for(isolation))
        data, aborted = self.take(found, bytes_max, isolation) if found else (b"", [])
        return ReadResult(
            data, aborted, self.high_watermark, self.last_stable_offset, self.log_start_offset
        )

    def find(self, offset: Offset, limit: Offset) -> Readable | None:
        """Return what there is to `take` from `offset` to before `limit`, if anything.

        Raises:
            OffsetOutOfRange: below the log's start or beyond its end.
        """
        if not self.log_start_offset <= offset <= self.log_end_offset:
            raise OffsetOutOfRange(
                self.partition, offset, self.log_start_offset, self.log_end_offset
            )
        return find_batches(self.segments, self.log_end_offset, offset, limit)

    def take(
        self, found: Readable, bytes_max: int, isolation: Isolation
    ) -> tuple[bytes | memoryview, list[AbortedTransaction]]:
        """Read at least one of the batches that were just found, and who is aborted among them."""
        data = read_batches(found, bytes_max)
        if isolation is Isolation.READ_COMMITTED and self.aborted:
            return data, self.aborted.overlapping(found.offset, limit_of(found, len(data)))
        return data, []

    def verify(self, offset: Offset) -> None:
        """Read the segment that holds `offset` again, checking every batch.

        Raises:
            CorruptRecord: saying which is damaged.
        """
        holding = [one for one in self.segments if one.base_offset <= offset] or self.segments
        for _checked in holding[-1].checked_batches():
            pass

    def offset_for_time(self, timestamp: Timestamp) -> Offset | None:
        """Return the first offset below the high watermark with a timestamp at or after this one."""
        found = self.find_time(timestamp, self.high_watermark)
        return found.offset if found is not None else None

    def find_time(self, timestamp: Timestamp, limit: Offset) -> Timed | None:
        """Return the first record below `limit` with a timestamp at or after this one."""
        return find_time(self.segments, self.log_start_offset, limit, timestamp)

    def find_latest_time(self, limit: Offset) -> Timed | None:
        """Return the first record with the largest timestamp, if it is below `limit`."""
        return find_latest_time(self.segments, self.log_start_offset, limit)

    # -- leader epochs -------------------------------------------------------------------------

    def begin_epoch(self, leader_epoch: int) -> None:
        """Let this leader epoch write from the log's end on (KIP-279).

        It is on disk before the first append of the epoch.

        Raises:
            Fenced: a newer epoch has begun.
        """
        if leader_epoch < self.epochs.latest:
            raise Fenced(
                f"{self.partition}: leader epoch {leader_epoch}, but {self.epochs.latest} has begun"
            )
        if leader_epoch > self.epochs.latest:
            self.epochs.begin(leader_epoch, self.log_end_offset)

    def epoch_end_offset(self, leader_epoch: int) -> Offset:
        """Return the end of the largest leader epoch ≤ this one, or -1 when none is that low."""
        return self.epochs.end_offset(leader_epoch, self.log_end_offset)

    def epoch_end(self, leader_epoch: int) -> EpochEnd:
        """Return what other brokers and clients are told of this leader epoch (KIP-320)."""
        return self.epochs.end_of(leader_epoch, self.log_end_offset)

    # -- durability ----------------------------------------------------------------------------

    @property
    def needs_sync(self) -> bool:
        return self.flushed_offset < self.log_end_offset

    def files_to_sync(self) -> list[File]:
        """Return the files that hold what isn't flushed, oldest first.

        Note `log_end_offset` before they are synced, and give it to `mark_flushed` afterwards.
        """
        files = []
        end = self.log_end_offset
        for segment in reversed(self.segments):
            if end <= self.flushed_offset:
                break
            files.append(segment.file)
            end = segment.base_offset
        return files[::-1]

    def mark_flushed(self, offset: Offset) -> None:
        """Note that all before `offset` is durable."""
        offset = min(offset, self.log_end_offset)
        self.flushed_offset = max(self.flushed_offset, offset)
        self._visible_end = max(self._visible_end, offset)

    def flush(self) -> None:
        """Sync all that is appended, here and now."""
        end = self.log_end_offset
        for file in self.files_to_sync():
            file.sync()
        self.mark_flushed(end)

    def roll(self, now: Timestamp) -> None:
        """Seal the active segment and go on in a new one."""
        if not self._active.size:
            return
        self._seal()
        segment = new_segment(self._disk, self.directory, self.partition, self.log_end_offset)
        segment.created = now
        self._disk.sync_directory(self.directory)
        self.segments.append(segment)
        self._active = segment

    def close(self, now: Timestamp) -> None:
        """Flush, save indexes and producer state, and close the files: a clean stop."""
        del now
        if not self.read_only:
            self.flush()
            self.epochs.save()
            self._seal()
        for segment in self.segments:
            segment.close()

    def _seal(self) -> None:
        """Save what can be derived from the active segment, so that opening need not derive it."""
        active = self._active
        active.save_indexes()
        entries = self.aborted.with_markers_in(active.base_offset, self.log_end_offset)
        if entries:
            self._disk.replace(active.path + TXN_INDEX, encode_aborted(entries))
        else:
            self._disk.remove(active.path + TXN_INDEX)
        if self._snapshot_offset != self.log_end_offset:
            path = f"{self.directory}/{file_name(self.log_end_offset, SNAPSHOT)}"
            self._disk.replace(path, encode_snapshot(self.producers))
            self._snapshot_offset = self.log_end_offset

    # -- cutting away --------------------------------------------------------------------------

    def truncate_to(self, offset: Offset) -> None:
        """Remove `offset` and all after it: what a replica does that has diverged (KIP-101)."""
        if offset >= self.log_end_offset:
            return
        state = recovery.truncated_state(self, self._disk, offset, self._now)
        self.segments = state.segments
        self._active = self.segments[-1]
        self.producers = state.producers
        self.aborted = state.aborted
        self.epochs.truncate_end(state.log_end_offset)
        self.epochs.save()
        self._snapshot_offset = state.snapshot_offset
        self.log_start_offset = min(self.log_start_offset, state.log_end_offset)
        self.log_end_offset = state.log_end_offset
        self.flushed_offset = min(self.flushed_offset, state.log_end_offset)
        self._visible_end = min(self._visible_end, state.log_end_offset)

    def delete_before(self, offset: Offset) -> None:
        """Move the log's start: what lies before `offset` is gone, and whole segments are removed.

        Raises:
            OffsetOutOfRange: beyond the high watermark.
        """
        if offset > self.high_watermark:
            raise OffsetOutOfRange(
                self.partition, offset, self.log_start_offset, self.high_watermark
            )
        if offset > self.log_start_offset:
            self._move_start(offset)

    def _move_start(self, offset: Offset) -> int:
        """Move the start durably, *then* remove segments; return the bytes freed."""
        write_offset(self._disk, self.directory, LOG_START_FILE, self.partition, offset)
        self.log_start_offset = offset
        self.epochs.truncate_start(offset)
        freed = 0
        while len(self.segments) > 1 and self.segments[1].base_offset <= offset:
            segment = self.segments.pop(0)
            freed += segment.size
            self.aborted.remove_markers_in(segment.base_offset, self.segments[0].base_offset)
            segment.remove()
        return freed

    def clean(self, now: Timestamp) -> int:
        """Apply retention by time and bytes; return the bytes freed."""
        self.producers.expire(now - PRODUCER_EXPIRATION_MS)
        start = retention.new_start_offset(
            self.segments, self.config, now, self.high_watermark, self.log_end_offset
        )
        if start is None or start <= self.log_start_offset:
            return 0
        if start == self.log_end_offset:
            self.roll(now)
        return self._move_start(start)

    def compact(self, now: Timestamp, *, force: bool = False) -> CompactionStats | None:
        """Keep only the latest record of each key; None when it isn't worthwhile yet.

        `force` compacts whatever `min.cleanable.dirty.ratio` says. To spare a busy loop, run the
        three steps apart: `plan_compaction`, then its `run` in a thread, then `finish_compaction`.

        Raises:
            CorruptRecord: a segment is damaged, so it is not copied; nothing has changed.
        """
        plan = self.plan_compaction(now, force=force)
        if plan is None:
            return None
        plan.run()
        return self.finish_compaction(plan)

    def plan_compaction(self, now: Timestamp, *, force: bool = False) -> Compaction | None:
        """Decide what to compact; None when there is too little to gain."""
        return compaction.plan(self, self._disk, now, force=force)

    def finish_compaction(self, plan: Compaction) -> CompactionStats | None:
        """Swap the compacted segments in; None if the log was cut meanwhile, which voids the plan."""
        return compaction.finish(self, self._disk, plan)
