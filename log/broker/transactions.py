"""Transactions of the whole broker: the coordinator's decisions, carried out in the right order.

Who may do what is decided in `coordinator/transactions.py`; here records and markers are written.
Two rules bear everything. A decision is durable before its first marker is written; so a marker needs
no sync of its own, for a lost one is written again from the decision (`settle`). And a decision is
the last word on its id until its markers are durable: neither *Complete* nor a later state of the id
is written before, for then a lost marker would be taken for an abort. In practice the syncs of the
next transaction cover the markers of the one before.

`commit` takes a whole transaction in one call, so *Ongoing* is kept in memory only. If a crash leaves
such a transaction open in some partition, no decision is found for it, and `settle` aborts it.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from ..coordinator.encoding import coordinator_partition
from ..coordinator.transaction_records import decode_transaction, encode_transaction
from ..coordinator.transactions import Status, Transaction, TransactionCoordinator
from ..model import Appended, CommittedOffset, Offset, Timestamp, TopicPartition
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
        count = broker.internal_partitions(TRANSACTIONS_TOPIC)
        self._coordinators = [TransactionCoordinator(broker.new_producer_id) for _ in range(count)]
        self._homes: dict[str, TopicPartition] = {}
        # By transactional id: where markers of its last transaction end, unless known to be durable.
        self._markers: dict[str, list[tuple[PartitionLog, Offset]]] = {}
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
            yield self._lacking_sync(transactional_id)
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
        yield touched + self._lacking_sync(owner.transactional_id)
        decided = coordinator.end(*identity, commit=True, now=now)
        self._write(decided, now)
        yield [decision_log]
        invisible = self._finish(decided, now)
        if invisible:
            yield invisible
        completed = coordinator.get(owner.transactional_id)
        assert completed is not None
        return Committed(appended, completed)

    def complete_marked(self, now: Timestamp) -> None:
        """Write *Complete* for the transactions whose markers have become durable."""
        for transactional_id in list(self._markers):
            _log, coordinator = self._coordinator_of(transactional_id)
            transaction = coordinator.get(transactional_id)
            if not self._lacking_sync(transactional_id) and transaction is not None:
                del self._markers[transactional_id]
                if transaction.status in (Status.COMPLETE_COMMIT, Status.COMPLETE_ABORT):
                    self._append_state(transaction, now)

    def abort_overdue(self, now: Timestamp) -> Steps[None]:
        """Abort transactions that are open beyond their timeout, and forget abandoned ids."""
        yield [
            log
            for one in self._coordinators
            for abort in one.overdue(now)
            for log in self._lacking_sync(abort.transactional_id)
        ]
        overdue = [abort for one in self._coordinators for abort in one.overdue(now)]
        abandoned = [
            dead
            for one in self._coordinators
            for dead in one.abandoned(now)
            if dead.transactional_id not in self._markers
        ]
        for transaction in overdue + abandoned:
            self._write(transaction, now)
        yield [self._coordinator_of(abort.transactional_id)[0] for abort in overdue]
        for abort in overdue:
            yield self._finish(abort, now)

    def settle(self, now: Timestamp) -> list[PartitionLog]:
        """After opening, end every transaction that nobody can end any more.

        Decided ones get the markers that are missing. Those without a decision are aborted. One that
        its coordinator knows as ongoing is left to its owner or its timeout. Returns what was written.
        """
        written = []
        for coordinator in self._coordinators:
            for transaction in coordinator.prepared():
                missing = [p for p in transaction.partitions if self._lacks_marker(p, transaction)]
                marked = self._write_markers(transaction, missing, now)
                self._completed(transaction, marked, now)
                written += marked
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
        self._completed(transaction, written, now)
        return [log for log in written if log.high_watermark < log.log_end_offset]

    def _completed(
        self, transaction: Transaction, marked: list[PartitionLog], now: Timestamp
    ) -> None:
        """Let a transaction count as complete, and remember which markers are not durable yet."""
        _log, coordinator = self._coordinator_of(transaction.transactional_id)
        coordinator.put(coordinator.complete(transaction.transactional_id, now=now))
        ends = [(log, log.log_end_offset) for log in marked]
        self._markers[transaction.transactional_id] = ends

    def _write_markers(
        self, transaction: Transaction, partitions: Iterable[TopicPartition], now: Timestamp
    ) -> list[PartitionLog]:
        written = []
        for partition in sorted(partitions):
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

    def _lacking_sync(self, transactional_id: str) -> list[PartitionLog]:
        """Return the logs in which markers of the id's last transaction are not durable yet."""
        ends = self._markers.get(transactional_id, ())
        known = self._broker.partitions
        return [
            log for log, end in ends if log.flushed_offset < end and known.get(log.partition) is log
        ]

    def _write(self, transaction: Transaction, now: Timestamp) -> None:
        """Append a transaction's new state to its coordinator's log, and let it count."""
        _log, coordinator = self._coordinator_of(transaction.transactional_id)
        self._append_state(transaction, now)
        coordinator.put(transaction)

    def _append_state(self, transaction: Transaction, now: Timestamp) -> None:
        batch = encode_batch([encode_transaction(transaction)])
        partition = self._partition_of(transaction.transactional_id)
        self._broker.append(partition, batch, now, trusted=True)

    def _partition_of(self, transactional_id: str) -> TopicPartition:
        home = self._homes.get(transactional_id)
        if home is None:
            number = coordinator_partition(transactional_id, len(self._coordinators))
            home = self._homes[transactional_id] = TopicPartition(TRANSACTIONS_TOPIC, number)
        return home

    def _coordinator_of(self, transactional_id: str) -> tuple[PartitionLog, TransactionCoordinator]:
        partition = self._partition_of(transactional_id)
        return self._broker.partition(partition), self._coordinators[partition.partition]
