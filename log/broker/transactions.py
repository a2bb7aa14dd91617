"""Transactions of the whole broker: the coordinator's decisions, carried out in the right order.

Who may do what is decided in `coordinator/transactions.py`; here records and markers are written.
One rule bears everything: a decision is durable before its first marker is written. Markers need no
sync, for a lost one is written again from the decision (`settle`).

`commit` takes a whole transaction in one call, so *Ongoing* is kept in memory only. If a crash leaves
such a transaction open in some partition, no decision is found for it, and `settle` aborts it.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from ..coordinator.encoding import coordinator_partition
from ..coordinator.transaction_records import decode_transaction, encode_transaction
from ..coordinator.transactions import Status, Transaction, TransactionCoordinator
from ..model import Appended, CommittedOffset, Timestamp, TopicPartition
from ..records import decode_batch, encode_batch
from ..storage.partition_log import PartitionLog
from .core import Broker
from .groups import Groups
from .metadata import TRANSACTIONS_TOPIC
from .replay import batches_of
from .steps import Steps


class Committed(NamedTuple):
    """A transaction that was committed, and as whom its producer goes on."""

    appended: dict[TopicPartition, Appended]
    owner: Transaction


class Transactions:
    """All transactional ids."""

    def __init__(self, broker: Broker, groups: Groups) -> None:
        """Replay what the log says."""
        self._broker = broker
        self._groups = groups
        count = broker.topic(TRANSACTIONS_TOPIC).partitions
        self._coordinators = [TransactionCoordinator(broker.new_producer_id) for _ in range(count)]
        for number, coordinator in enumerate(self._coordinators):
            log = broker.partitions.get(TopicPartition(TRANSACTIONS_TOPIC, number))
            for header, batch in batches_of(log) if log is not None else ():
                for record in () if header.is_control else decode_batch(batch):
                    assert record.key is not None
                    coordinator.replay(decode_transaction(record.key, record.value))

    def init(self, transactional_id: str, *, timeout_ms: int, now: Timestamp) -> Steps[Transaction]:
        """Make the caller the owner of the id, after aborting what the owner before left open.

        Raises:
            ConcurrentTransaction: a decision is being carried out; ask again when that is done.
        """
        log, coordinator = self._coordinator_of(transactional_id)
        while True:
            transaction = coordinator.init(transactional_id, timeout_ms=timeout_ms, now=now)
            self._write(transaction, now)
            yield [log]
            if transaction.status is Status.EMPTY:
                return transaction
            yield self._finish(transaction, now)

    def check_owner(self, owner: Transaction) -> None:
        """Raise Fenced if another owner has taken over."""
        _log, coordinator = self._coordinator_of(owner.transactional_id)
        coordinator.check_owner(owner)

    def commit(
        self,
        owner: Transaction,
        batches: Mapping[TopicPartition, Iterable[bytearray]],
        group: str,
        offsets: Mapping[TopicPartition, CommittedOffset],
        now: Timestamp,
    ) -> Steps[Committed]:
        """Write a whole transaction and commit it.

        The batches carry the owner's producer id and epoch, and sequence numbers from 0.

        Raises:
            Fenced: another owner has taken over; nothing is committed.
            DiskFailed: the outcome is open until the next owner is made.
        """
        decision_log, coordinator = self._coordinator_of(owner.transactional_id)
        identity = (owner.transactional_id, owner.producer_id, owner.producer_epoch)
        partitions = set(batches)
        if offsets:
            partitions.add(self._groups.partition_of(group))
        coordinator.put(coordinator.add_partitions(*identity, partitions, now))
        appended, touched = self._append(batches, now)
        if offsets:
            touched.append(self._groups.commit_in(owner, group, offsets, now))
        yield touched
        decided = coordinator.end(*identity, commit=True, now=now)
        self._write(decided, now)
        yield [decision_log]
        invisible = self._finish(decided, now)
        if invisible:
            yield invisible
        completed = coordinator.get(owner.transactional_id)
        assert completed is not None
        return Committed(appended, completed)

    def abort_overdue(self, now: Timestamp) -> Steps[None]:
        """Abort transactions that are open beyond their timeout, and forget abandoned ids."""
        overdue = [abort for one in self._coordinators for abort in one.overdue(now)]
        abandoned = [dead for one in self._coordinators for dead in one.abandoned(now)]
        for transaction in overdue + abandoned:
            self._write(transaction, now)
        if overdue:
            yield [self._coordinator_of(abort.transactional_id)[0] for abort in overdue]
        for abort in overdue:
            self._finish(abort, now)

    def settle(self, now: Timestamp) -> list[PartitionLog]:
        """After opening, end every transaction that nobody can end any more.

        Decided ones get the markers that are missing. Those without a decision are aborted. One that
        its coordinator knows as ongoing is left to its owner or its timeout. Returns what was written.
        """
        written = []
        for coordinator in self._coordinators:
            for transaction in coordinator.prepared():
                missing = [p for p in transaction.partitions if self._lacks_marker(p, transaction)]
                written += self._write_markers(transaction, missing, now)
                self._write(coordinator.complete(transaction.transactional_id, now=now), now)
        ongoing = {one.producer_id for known in self._coordinators for one in known.ongoing()}
        for partition, log in self._broker.partitions.items():
            for producer in list(log.producers):
                if producer.transaction_start is not None and producer.producer_id not in ongoing:
                    self._mark(partition, producer.producer_id, producer.producer_epoch, False, now)
                    written.append(log)
        return written

    def _append(
        self, batches: Mapping[TopicPartition, Iterable[bytearray]], now: Timestamp
    ) -> tuple[dict[TopicPartition, Appended], list[PartitionLog]]:
        appended, touched = {}, []
        for partition, encoded in batches.items():
            done = [self._broker.append(partition, batch, now, trusted=True) for batch in encoded]
            first, last = done[0], done[-1]
            appended[partition] = Appended(first.base_offset, last.next_offset, last.leader_epoch)
            touched.append(self._broker.partition(partition))
        return appended, touched

    def _finish(self, transaction: Transaction, now: Timestamp) -> list[PartitionLog]:
        """Carry out a durable decision; return the logs whose markers are not visible yet.

        A marker is visible at once, except behind data of others that is not yet durable.
        """
        written = self._write_markers(transaction, transaction.partitions, now)
        _log, coordinator = self._coordinator_of(transaction.transactional_id)
        self._write(coordinator.complete(transaction.transactional_id, now=now), now)
        return [log for log in written if log.high_watermark < log.log_end_offset]

    def _write_markers(
        self, transaction: Transaction, partitions: Iterable[TopicPartition], now: Timestamp
    ) -> list[PartitionLog]:
        written = []
        for partition in partitions:
            log = self._broker.partitions.get(partition)
            if log is not None:  # else the topic was removed meanwhile
                producer_id, producer_epoch = transaction.producer_id, transaction.producer_epoch
                self._mark(partition, producer_id, producer_epoch, transaction.commit, now)
                written.append(log)
        return written

    def _mark(
        self,
        partition: TopicPartition,
        producer_id: int,
        producer_epoch: int,
        commit: bool,
        now: Timestamp,
    ) -> None:
        log = self._broker.partition(partition)
        leader_epoch = max(self._broker.leader_epoch, 0)
        log.append_marker(
            producer_id=producer_id,
            producer_epoch=producer_epoch,
            commit=commit,
            coordinator_epoch=leader_epoch,
            leader_epoch=leader_epoch,
            now=now,
        )
        self._groups.end_transaction(partition, producer_id, commit=commit)

    def _lacks_marker(self, partition: TopicPartition, transaction: Transaction) -> bool:
        """Say whether a decided transaction is still open in a partition.

        A newer epoch there means that the marker stood there already: the next transaction of the
        same producer wrote behind it.
        """
        log = self._broker.partitions.get(partition)
        producer = log.producers.get(transaction.producer_id) if log is not None else None
        return (
            producer is not None
            and producer.transaction_start is not None
            and producer.producer_epoch <= transaction.producer_epoch
        )

    def _write(self, transaction: Transaction, now: Timestamp) -> None:
        """Append a transaction's new state to its coordinator's log, and let it count."""
        _log, coordinator = self._coordinator_of(transaction.transactional_id)
        batch = encode_batch([encode_transaction(transaction)])
        partition = self._partition_of(transaction.transactional_id)
        self._broker.append(partition, batch, now, trusted=True)
        coordinator.put(transaction)

    def _partition_of(self, transactional_id: str) -> TopicPartition:
        number = coordinator_partition(transactional_id, len(self._coordinators))
        return TopicPartition(TRANSACTIONS_TOPIC, number)

    def _coordinator_of(self, transactional_id: str) -> tuple[PartitionLog, TransactionCoordinator]:
        partition = self._partition_of(transactional_id)
        return self._broker.partition(partition), self._coordinators[partition.partition]
