"""A partition on a disk that forgets, against a partition that is a list.

Hypothesis appends, commits, aborts, retries, syncs, rolls, cuts at both ends, closes, kills and cuts
the power, in any order; after every step both must tell the same.
"""

import uuid

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from millpond.log.model import Isolation
from millpond.log.records import encode_batch
from millpond.log.shell.memory_disk import MemoryDisk
from millpond.log.storage.partition_log import PartitionLog
from millpond.tests.twins.partition_twin import (
    DIRECTORY,
    PARTITION,
    Entry,
    PartitionTwin,
    consume,
    flush,
)
from millpond.tests.twins.partition_twin import settings as topic_settings

IDEMPOTENT = (1, 2)
TRANSACTIONAL = (11, 12)

CONTENTS = st.one_of(st.none(), st.binary(max_size=40))
RECORDS = st.lists(st.tuples(CONTENTS, CONTENTS, st.integers(0, 50)), min_size=1, max_size=4)


class PartitionMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.disk = MemoryDisk()
        self.twin = PartitionTwin()
        self.leader_epoch = 0
        self.epochs: list[tuple[int, int]] = []

    @initialize(
        segment_bytes=st.integers(400, 900),
        interval=st.sampled_from([0, 100, 4096]),
        durable_reads=st.booleans(),
    )
    def create(self, segment_bytes: int, interval: int, durable_reads: bool) -> None:
        self.config = topic_settings(
            segment_bytes=str(segment_bytes),
            index_interval_bytes=str(interval),
            cleanup_policy="delete",
        )
        self.log = PartitionLog.create(
            self.disk, DIRECTORY, PARTITION, uuid.UUID(int=1), self.config
        )
        self.durable_reads = self.log.durable_reads = durable_reads

    # -- writing -------------------------------------------------------------------------------

    def append(self, entry: Entry, batch: bytearray) -> None:
        result = self.log.append(batch, leader_epoch=self.leader_epoch, now=0)
        self.note_epoch()
        self.twin.append(entry)
        assert (result.base_offset, result.next_offset) == (
            self.twin.entries[-1].base_offset,
            self.twin.end,
        )
        assert not result.duplicate

    def note_epoch(self) -> None:
        if not self.epochs or self.epochs[-1][0] != self.leader_epoch:
            self.epochs.append((self.leader_epoch, self.twin.end))

    @rule(records=RECORDS)
    def append_plain(self, records: list[tuple[bytes | None, bytes | None, int]]) -> None:
        batch = encode_batch([(*record, ()) for record in records])
        self.append(Entry(0, tuple(records)), batch)

    @rule(records=RECORDS, producer_id=st.sampled_from(IDEMPOTENT + TRANSACTIONAL))
    def append_as_producer(
        self, records: list[tuple[bytes | None, bytes | None, int]], producer_id: int
    ) -> None:
        known = self.log.producers.get(producer_id)
        sequence = known.last_sequence + 1 if known else 0
        transactional = producer_id in TRANSACTIONAL
        batch = encode_batch(
            [(*record, ()) for record in records],
            producer_id=producer_id,
            producer_epoch=0,
            base_sequence=sequence,
            transactional=transactional,
        )
        self.append(Entry(0, tuple(records), producer_id, sequence, transactional), batch)

    @rule(producer_id=st.sampled_from(IDEMPOTENT + TRANSACTIONAL))
    def retry_the_last_batch(self, producer_id: int) -> None:
        sent = [e for e in self.twin.entries if e.producer_id == producer_id and e.commit is None]
        if not sent or self.log.producers.get(producer_id) is None:
            return
        last = sent[-1]
        batch = encode_batch(
            [(*record, ()) for record in last.records],
            producer_id=producer_id,
            producer_epoch=0,
            base_sequence=last.base_sequence,
            transactional=last.transactional,
        )
        result = self.log.append(batch, leader_epoch=self.leader_epoch, now=0)
        assert result.duplicate
        assert (result.base_offset, result.next_offset) == (last.base_offset, last.next_offset)

    @rule(producer_id=st.sampled_from(TRANSACTIONAL), commit=st.booleans())
    def end_transaction(self, producer_id: int, commit: bool) -> None:
        visible = self.log.high_watermark == self.log.log_end_offset
        self.log.append_marker(
            producer_id=producer_id,
            producer_epoch=0,
            commit=commit,
            coordinator_epoch=0,
            leader_epoch=self.leader_epoch,
            now=0,
        )
        self.note_epoch()
        self.twin.append(Entry(0, (), producer_id, transactional=True, commit=commit))
        assert visible == (self.log.high_watermark == self.log.log_end_offset)

    @rule()
    def roll(self) -> None:
        self.log.roll(0)

    @rule()
    def sync(self) -> None:
        flush(self.log)
        assert not self.log.needs_sync
        assert self.log.high_watermark == self.log.log_end_offset

    # -- cutting -------------------------------------------------------------------------------

    @rule(part=st.floats(0, 1))
    def delete_before(self, part: float) -> None:
        start = self.twin.start
        offset = start + int((self.log.high_watermark - start) * part)
        self.log.delete_before(offset)
        self.twin.start = max(start, offset)

    @rule(part=st.floats(0.5, 1))
    def truncate(self, part: float) -> None:
        offset = self.twin.start + int((self.twin.end - self.twin.start) * part)
        self.log.truncate_to(offset)
        self.cut_twin(self.log.log_end_offset, at_most=offset)

    def cut_twin(self, log_end: int, *, at_most: int) -> None:
        """The log was cut; it must end between two batches, as late as it can."""
        self.twin.truncate(at_most)
        assert log_end == max(self.twin.end, self.twin.start)
        self.cut_epochs()

    def cut_epochs(self) -> None:
        end = self.log.log_end_offset
        self.epochs = [(epoch, start) for epoch, start in self.epochs if start < end]
        if self.twin.end < end:  # all that is left was deleted, so the log begins anew
            self.twin.entries.append(
                Entry(self.twin.end, ((b"gone", None, 0),) * (end - self.twin.end))
            )

    # -- stopping ------------------------------------------------------------------------------

    def open(self, *, clean: bool, recovery_point: int = 0) -> None:
        self.log = PartitionLog.open(
            self.disk,
            DIRECTORY,
            PARTITION,
            self.config,
            clean=clean,
            recovery_point=recovery_point,
            now=0,
        )
        self.log.durable_reads = self.durable_reads
        self.leader_epoch += 1
        self.log.begin_epoch(self.leader_epoch)

    @rule()
    def close_and_open(self) -> None:
        self.log.close(0)
        self.open(clean=True)
        assert self.log.log_end_offset == self.twin.end

    @rule(recorded=st.floats(0, 1))
    def kill(self, recorded: float) -> None:
        recovery_point = int(self.log.flushed_offset * recorded)
        self.disk.crash(lose_unsynced=False)
        self.open(clean=False, recovery_point=recovery_point)
        assert self.log.log_end_offset == self.twin.end

    @rule(torn_seed=st.one_of(st.none(), st.integers(0, 1000)), recorded=st.booleans())
    def cut_the_power(self, torn_seed: int | None, recorded: bool) -> None:
        flushed = self.log.flushed_offset
        self.disk.crash(lose_unsynced=True, torn_seed=torn_seed)
        self.open(clean=False, recovery_point=flushed if recorded else 0)
        log_end = self.log.log_end_offset
        assert flushed <= log_end <= self.twin.end
        self.cut_twin(log_end, at_most=log_end)

    # -- what must hold ------------------------------------------------------------------------

    @invariant()
    def tells_the_same(self) -> None:
        if not hasattr(self, "log"):
            return
        log, twin = self.log, self.twin
        assert (log.log_start_offset, log.log_end_offset) == (twin.start, twin.end)
        assert twin.start <= log.last_stable_offset <= log.high_watermark <= twin.end
        assert log.flushed_offset <= log.high_watermark
        assert log.last_stable_offset == twin.last_stable_offset(log.high_watermark)
        for isolation in Isolation:
            expected = twin.readable(isolation, log.high_watermark, twin.start)
            for bytes_max in (1, 300, 1 << 20):
                assert consume(log, isolation, bytes_max=bytes_max) == expected

    @invariant()
    def remembers_producers(self) -> None:
        if not hasattr(self, "log"):
            return
        for producer_id in IDEMPOTENT + TRANSACTIONAL:
            sent = [
                e for e in self.twin.entries if e.producer_id == producer_id and e.commit is None
            ]
            if sent and sent[-1].base_offset >= self.twin.start:
                known = self.log.producers.get(producer_id)
                assert known is not None
                assert known.last_sequence == sent[-1].next_sequence - 1

    @rule(part=st.floats(0, 1), committed=st.booleans(), bytes_max=st.integers(0, 500))
    def read_from_the_middle(self, part: float, committed: bool, bytes_max: int) -> None:
        offset = self.twin.start + int((self.twin.end - self.twin.start) * part)
        isolation = Isolation.READ_COMMITTED if committed else Isolation.READ_UNCOMMITTED
        expected = self.twin.readable(isolation, self.log.high_watermark, offset)
        assert consume(self.log, isolation, offset, bytes_max) == expected

    @rule(timestamp=st.integers(-1, 51))
    def find_a_time(self, timestamp: int) -> None:
        everything = self.twin.readable(
            Isolation.READ_UNCOMMITTED, self.log.high_watermark, self.twin.start
        )
        expected = next((seen.offset for seen in everything if seen.timestamp >= timestamp), None)
        found = self.log.offset_for_time(timestamp)
        if found != expected:  # a marker has a timestamp too
            assert found is not None
            assert any(e.base_offset == found and e.commit is not None for e in self.twin.entries)
            assert timestamp <= 0

    @rule()
    def open_read_only(self) -> None:
        reader = PartitionLog.open(
            self.disk,
            DIRECTORY,
            PARTITION,
            self.config,
            clean=False,
            now=0,
            read_only=True,
        )
        for isolation in Isolation:
            expected = self.twin.readable(isolation, self.twin.end, self.twin.start)
            assert consume(reader, isolation) == expected

    @precondition(lambda self: self.epochs)
    @rule(part=st.floats(0, 1))
    def ask_for_an_epoch(self, part: float) -> None:
        asked = int(self.leader_epoch * part)
        later = [start for epoch, start in self.epochs if epoch > asked]
        lower = [epoch for epoch, _start in self.epochs if epoch <= asked]
        if lower and self.twin.start == 0:
            assert self.log.epoch_end_offset(asked) == (min(later) if later else self.twin.end)


PartitionMachine.TestCase.settings = settings(
    max_examples=60,
    stateful_step_count=30,
    deadline=None,
    report_multiple_bugs=False,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # shrinking so many steps takes minutes
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestPartitionLog = PartitionMachine.TestCase
