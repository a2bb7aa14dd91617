"""Compaction against a dict: whatever it removes, a reader who replays the log ends with the same.

Hypothesis writes keys, tombstones and transactions, compacts at any moment, lets the disk fail at any
of its steps, and cuts the power. Of what stays, every record must be the one that was appended at
its offset.
"""

import uuid

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from millpond.log.errors import DiskFailed
from millpond.log.model import Compression, Isolation
from millpond.log.records import encode_batch
from millpond.log.shell.memory_disk import MemoryDisk
from millpond.log.storage.partition_log import PartitionLog
from millpond.tests.twins.partition_twin import (
    DIRECTORY,
    PARTITION,
    Seen,
    consume,
    flush,
)
from millpond.tests.twins.partition_twin import settings as topic_settings

PLAIN, IDEMPOTENT, TRANSACTIONAL, OTHER = -1, 1, 11, 12
DELETE_RETENTION_MS = 1000

KEYS = st.sampled_from([b"a", b"b", b"c", b"d"])
VALUES = st.one_of(st.none(), st.binary(min_size=1, max_size=20))
WRITES = st.lists(st.tuples(KEYS, VALUES), min_size=1, max_size=4)


def final(records: list[Seen]) -> dict[bytes | None, bytes]:
    """What a reader has in its table after reading these."""
    table: dict[bytes | None, bytes] = {}
    for record in records:
        if record.value is None:
            table.pop(record.key, None)
        else:
            table[record.key] = record.value
    return table


class CompactionMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.disk = MemoryDisk()
        self.now = 0
        self.leader_epoch = 0
        self.everything: dict[int, Seen] = {}
        self.compacted_fully = False

    @initialize(segment_bytes=st.integers(300, 900))
    def create(self, segment_bytes: int) -> None:
        self.config = topic_settings(
            segment_bytes=str(segment_bytes),
            index_interval_bytes="100",
            cleanup_policy="compact",
            delete_retention_ms=str(DELETE_RETENTION_MS),
        )
        self.log = PartitionLog.create(
            self.disk, DIRECTORY, PARTITION, uuid.UUID(int=1), self.config
        )

    @rule(
        writes=WRITES,
        producer_id=st.sampled_from([PLAIN, IDEMPOTENT, TRANSACTIONAL, OTHER]),
        compression=st.sampled_from([Compression.NONE, Compression.LZ4]),
    )
    def append(
        self,
        writes: list[tuple[bytes, bytes | None]],
        producer_id: int,
        compression: Compression,
    ) -> None:
        self.now += 1
        known = self.log.producers.get(producer_id)
        batch = encode_batch(
            [(key, value, self.now, [("h", b"x")]) for key, value in writes],
            producer_id=producer_id,
            producer_epoch=-1 if producer_id == PLAIN else 0,
            base_sequence=-1 if producer_id == PLAIN else (known.last_sequence + 1 if known else 0),
            transactional=producer_id in {TRANSACTIONAL, OTHER},
            compression=compression,
        )
        result = self.log.append(batch, leader_epoch=self.leader_epoch, now=self.now)
        for delta, (key, value) in enumerate(writes):
            offset = result.base_offset + delta
            self.everything[offset] = Seen(offset, key, value, self.now)
        self.compacted_fully = False

    @rule(producer_id=st.sampled_from([TRANSACTIONAL, OTHER]), commit=st.booleans())
    def end_transaction(self, producer_id: int, commit: bool) -> None:
        self.now += 1
        self.log.append_marker(
            producer_id=producer_id,
            producer_epoch=0,
            commit=commit,
            coordinator_epoch=0,
            leader_epoch=self.leader_epoch,
            now=self.now,
        )
        self.compacted_fully = False

    @rule(by=st.sampled_from([1, DELETE_RETENTION_MS // 2, DELETE_RETENTION_MS + 1]))
    def let_time_pass(self, by: int) -> None:
        self.now += by

    @rule(force=st.booleans(), roll=st.booleans())
    def compact(self, force: bool, roll: bool) -> None:
        if roll:
            self.log.roll(self.now)
        before = {isolation: final(consume(self.log, isolation)) for isolation in Isolation}
        stable = self.log.last_stable_offset
        stats = self.log.compact(self.now, force=force)
        assert (
            final(consume(self.log, Isolation.READ_COMMITTED)) == before[Isolation.READ_COMMITTED]
        )
        if stats is not None:
            assert stats.bytes_after <= stats.bytes_before + 16 * stats.segments_before
            self.compacted_fully = force and roll and stable == self.log.log_end_offset

    @precondition(lambda self: self.compacted_fully)
    @rule()
    def each_key_is_there_once(self) -> None:
        kept = consume(self.log, Isolation.READ_UNCOMMITTED)
        keys = [record.key for record in kept]
        assert len(keys) == len(set(keys))

    @rule(steps=st.integers(0, 12), operation=st.sampled_from(["write", "sync"]))
    def compact_on_a_failing_disk(self, steps: int, operation: str) -> None:
        flush(self.log)
        self.log.roll(self.now)
        before = final(consume(self.log, Isolation.READ_COMMITTED))
        self.disk.fail_after("write" if operation == "write" else "sync", steps)
        try:
            self.log.compact(self.now, force=True)
        except DiskFailed:
            self.disk.crash(lose_unsynced=steps % 2 == 0)
        else:
            self.disk.crash(lose_unsynced=True)
        self.open(clean=False)
        assert final(consume(self.log, Isolation.READ_COMMITTED)) == before

    @rule(clean=st.booleans(), lose=st.booleans())
    def stop_and_open(self, clean: bool, lose: bool) -> None:
        flush(self.log)
        if clean:
            self.log.close(self.now)
        self.disk.crash(lose_unsynced=lose)
        self.open(clean=clean)

    def open(self, *, clean: bool) -> None:
        end_before = self.log.log_end_offset
        producers = {entry.producer_id: entry.last_sequence for entry in self.log.producers}
        stable = self.log.last_stable_offset
        self.log = PartitionLog.open(
            self.disk, DIRECTORY, PARTITION, self.config, clean=clean, now=self.now
        )
        self.leader_epoch += 1
        self.log.begin_epoch(self.leader_epoch)
        assert self.log.log_end_offset == end_before
        assert self.log.last_stable_offset == stable
        for producer_id, sequence in producers.items():
            if sequence >= 0:
                known = self.log.producers.get(producer_id)
                assert known is not None
                assert known.last_sequence == sequence

    @invariant()
    def what_is_left_is_what_was_written(self) -> None:
        if hasattr(self, "log"):
            for record in consume(self.log, Isolation.READ_UNCOMMITTED, bytes_max=300):
                assert record == self.everything[record.offset]

    @rule(offset=st.integers(0, 50), timestamp=st.integers(0, 60))
    def reads_start_anywhere(self, offset: int, timestamp: int) -> None:
        everything = consume(self.log, Isolation.READ_UNCOMMITTED)
        if offset <= self.log.log_end_offset:
            read = consume(self.log, Isolation.READ_UNCOMMITTED, offset)
            assert read == [record for record in everything if record.offset >= offset]
        found = self.log.offset_for_time(timestamp)
        first = next((r.offset for r in everything if r.timestamp >= timestamp), None)
        if found != first:  # a marker
            assert found is not None
            assert found not in self.everything


CompactionMachine.TestCase.settings = settings(
    max_examples=60,
    stateful_step_count=30,
    deadline=None,
    report_multiple_bugs=False,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # shrinking so many steps takes minutes
    suppress_health_check=[HealthCheck.too_slow],
)
TestCompaction = CompactionMachine.TestCase
