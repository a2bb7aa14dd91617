"""Group offsets of the whole broker: which coordinator partition keeps a group, and how it is written.

What one partition's records add up to is `coordinator/offsets.py`. A record counts there as soon as it
is appended, in the order of the log; whoever tells of it waits until it is durable: `commit` before it
ends, `settled` is for those who answer. So commits of one group that are in flight at the same time keep their
order, and nobody hears of an offset that a crash could take back.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Final

from ..coordinator.encoding import coordinator_partition
from ..coordinator.offset_records import (
    decode_entry,
    decode_key,
    encode_commit,
    encode_removal,
)
from ..coordinator.offsets import GroupOffsets, OffsetEntry, OffsetKey, check_metadata
from ..coordinator.transaction_state import Transaction
from ..model import (
    CommittedOffset,
    Compression,
    NewRecord,
    Offset,
    Record,
    Timestamp,
    TopicPartition,
)
from ..records import decode_batch, decode_marker
from ..storage.partition_log import PartitionLog
from .batching import encode_batches
from .core import Broker
from .metadata import GROUP_OFFSETS_TOPIC
from .replay import batches_of
from .steps import Steps

HOMES_MAX: Final = 10_000
"""So many groups' partitions are remembered: working one out takes microseconds."""


class Groups:
    """The committed offsets of all groups.

    Args:
        broker: whose partitions keep them.
        replay_group: is given each record that tells of a group itself, in their order.
    """

    def __init__(self, broker: Broker, replay_group: Callable[[Record], None]) -> None:
        """Replay what the log says."""
        self._broker = broker
        count = broker.internal_partitions(GROUP_OFFSETS_TOPIC)
        self._states = [GroupOffsets() for _ in range(count)]
        self._homes: dict[str, TopicPartition] = {}
        for number, state in enumerate(self._states):
            log = broker.partitions.get(TopicPartition(GROUP_OFFSETS_TOPIC, number))
            if log is not None:
                _replay(log, state, replay_group)

    def groups(self) -> list[str]:
        """Return the groups that have committed offsets, sorted."""
        return sorted(group for state in self._states for group in state.groups())

    def has(self, group: str) -> bool:
        """Say whether a group has committed offsets, be it in an open transaction."""
        return self.state_of(group).has(group)

    def committed(
        self, group: str, partitions: Iterable[TopicPartition] | None = None
    ) -> dict[TopicPartition, CommittedOffset]:
        """Return what a group has committed: of these partitions, or everything.

        It may not be durable yet: see `settled`.
        """
        return self.state_of(group).committed(group, partitions)

    def settled(self, group: str) -> Steps[None]:
        """Wait until everything that the group has committed so far is durable."""
        log = self._broker.partition(self.partition_of(group))
        if log.needs_sync:
            yield [log]

    def partition_of(self, group: str) -> TopicPartition:
        """Return the partition that keeps the group's offsets."""
        home = self._homes.get(group)
        if home is None:
            if len(self._homes) >= HOMES_MAX:
                self._homes.clear()
            number = coordinator_partition(group, len(self._states))
            home = self._homes[group] = TopicPartition(GROUP_OFFSETS_TOPIC, number)
        return home

    def check(self, offsets: Mapping[TopicPartition, CommittedOffset]) -> None:
        """Refuse offsets of what doesn't exist, and metadata that is too large.

        Raises:
            UnknownTopic, RecordTooLarge.
        """
        for partition in offsets:
            self._broker.partition(partition)
        check_metadata(offsets)

    def commit(
        self,
        group: str,
        offsets: Mapping[TopicPartition, CommittedOffset],
        now: Timestamp,
        expires_at: Timestamp | None = None,
    ) -> Steps[None]:
        """Commit offsets outside any transaction; they are durable in the end.

        Args:
            group: whose.
            offsets: how far it is.
            now: the time.
            expires_at: when they are to be forgotten, if not by the broker's rules.
        """
        self.check(offsets)
        if offsets:
            yield [self.append_commit(group, offsets, now, expires_at)]

    def append_commit(
        self,
        group: str,
        offsets: Mapping[TopicPartition, CommittedOffset],
        now: Timestamp,
        expires_at: Timestamp | None = None,
    ) -> PartitionLog:
        """Commit offsets that have been checked; return the log to be synced."""
        records = [
            encode_commit(OffsetKey(group, partition), committed, now, expires_at)
            for partition, committed in offsets.items()
        ]
        log, base_offset = self._append(self.partition_of(group), records, now)
        state = self.state_of(group)
        for log_offset, (partition, committed) in enumerate(offsets.items(), base_offset):
            entry = OffsetEntry(log_offset, committed, now, expires_at)
            state.apply(OffsetKey(group, partition), entry)
        return log

    def remove(
        self,
        group: str,
        partitions: Iterable[TopicPartition],
        now: Timestamp,
        and_then: Sequence[NewRecord] = (),
    ) -> PartitionLog:
        """Forget offsets, pending ones too; append further records behind; return the log."""
        keys = [OffsetKey(group, partition) for partition in partitions]
        state = self.state_of(group)
        records = [*(encode_removal(key, now) for key in keys), *and_then]
        log, _base_offset = self._append(self.partition_of(group), records, now)
        for key in keys:
            state.remove(key)
        return log

    def commit_in(
        self,
        transaction: Transaction,
        group: str,
        offsets: Mapping[TopicPartition, CommittedOffset],
        now: Timestamp,
    ) -> PartitionLog:
        """Append offsets that count when the transaction is committed; return the log to be synced."""
        records = [
            encode_commit(OffsetKey(group, partition), committed, now)
            for partition, committed in offsets.items()
        ]
        log, base_offset = self._append(self.partition_of(group), records, now, transaction)
        state = self.state_of(group)
        for log_offset, (partition, committed) in enumerate(offsets.items(), base_offset):
            entry = OffsetEntry(log_offset, committed, now)
            state.pend(transaction.producer_id, OffsetKey(group, partition), entry)
        return log

    def end_transaction(self, partition: TopicPartition, producer_id: int, *, commit: bool) -> None:
        """Note that a transaction's marker stands in this partition."""
        if partition.topic == GROUP_OFFSETS_TOPIC:
            self._states[partition.partition].end_transaction(producer_id, commit=commit)

    def forget_topics(self, names: Collection[str], now: Timestamp) -> Steps[None]:
        """Remove all offsets in topics that exist no longer."""
        touched = []
        for number, state in enumerate(self._states):
            keys = [key for name in names for key in state.of_topic(name)]
            if keys:
                partition = TopicPartition(GROUP_OFFSETS_TOPIC, number)
                records = [encode_removal(key, now) for key in keys]
                log, _base_offset = self._append(partition, records, now)
                touched.append(log)
                for key in keys:
                    state.remove(key)
        if touched:
            yield touched

    def of_missing_topics(self) -> set[str]:
        """Return topics that groups know, but that exist no longer."""
        known = {topic for state in self._states for topic in state.topics()}
        return known - self._broker.metadata.topics.keys()

    def append(self, group: str, records: Sequence[NewRecord], now: Timestamp) -> PartitionLog:
        """Append what tells of the group itself; return the log to be synced."""
        log, _base_offset = self._append(self.partition_of(group), records, now)
        return log

    def state_of(self, group: str) -> GroupOffsets:
        """Return the state of the partition that keeps the group."""
        return self._states[self.partition_of(group).partition]

    def _append(
        self,
        partition: TopicPartition,
        records: Sequence[NewRecord],
        now: Timestamp,
        transaction: Transaction | None = None,
    ) -> tuple[PartitionLog, Offset]:
        log = self._broker.partition(partition)
        base_offset = log.log_end_offset
        for batch in encode_batches(
            records,
            partition,
            log.config,
            producer_id=transaction.producer_id if transaction else -1,
            producer_epoch=transaction.producer_epoch if transaction else -1,
            base_sequence=_sequence_in(log, transaction) if transaction else -1,
            transactional=transaction is not None,
            compression=Compression.NONE,
        ):
            self._broker.append(partition, batch, now, trusted=True)
        return log, base_offset


def _sequence_in(log: PartitionLog, transaction: Transaction) -> int:
    """Return the producer's next sequence number, which the coordinator itself counts here."""
    entry = log.producers.get(transaction.producer_id)
    if entry is None or entry.producer_epoch != transaction.producer_epoch:
        return 0
    return (entry.last_sequence + 1) % 2**31


def _replay(log: PartitionLog, state: GroupOffsets, replay_group: Callable[[Record], None]) -> None:
    for header, batch in batches_of(log):
        if header.is_control:
            marker = decode_marker(batch)
            if marker is not None:
                state.end_transaction(marker.producer_id, commit=marker.commit)
            continue
        for record in decode_batch(batch):
            if record.key is None:
                continue
            key = decode_key(record.key)
            if key is None:
                replay_group(record)
                continue
            if record.value is None:
                state.remove(key)
                continue
            entry = decode_entry(record.value, record.offset)
            if header.is_transactional:
                state.pend(header.producer_id, key, entry)
            else:
                state.apply(key, entry)
