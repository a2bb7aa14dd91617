"""Markers: how a decision about a transaction reaches the partitions that it wrote to.

A marker needs no sync of its own, for a lost one is written again from the decision. So what is kept
here is which markers could still be lost; until they can't, the decision must stay the last word on
its transactional id.
"""

from collections.abc import Iterable

from ..coordinator.transaction_state import Identity, Transaction
from ..model import Offset, Timestamp, TopicPartition
from ..storage.partition_log import PartitionLog
from .core import Broker
from .groups import Groups


class Markers:
    """Writes markers, and remembers those that may not be durable yet."""

    def __init__(self, broker: Broker, groups: Groups) -> None:
        self._broker = broker
        self._groups = groups
        # By transactional id: where the markers of its last transaction end.
        self._ends: dict[str, list[tuple[PartitionLog, Offset]]] = {}

    def write(
        self, transaction: Transaction, partitions: Iterable[TopicPartition], now: Timestamp
    ) -> list[PartitionLog]:
        """Append a decided transaction's markers, and remember them; return the logs they are in."""
        written = []
        for partition in sorted(partitions):
            log = self._broker.partitions.get(partition)
            if log is not None:  # else the topic was removed meanwhile
                self.append(partition, transaction.identity, commit=transaction.commit, now=now)
                written.append(log)
        self._ends[transaction.transactional_id] = [(log, log.log_end_offset) for log in written]
        return written

    def append(
        self, partition: TopicPartition, identity: Identity, *, commit: bool, now: Timestamp
    ) -> None:
        """Append a marker."""
        leader_epoch = max(self._broker.leader_epoch, 0)
        self._broker.partition(partition).append_marker(
            producer_id=identity.producer_id,
            producer_epoch=identity.producer_epoch,
            commit=commit,
            coordinator_epoch=leader_epoch,
            leader_epoch=leader_epoch,
            now=now,
        )
        self._groups.end_transaction(partition, identity.producer_id, commit=commit)

    def is_missing(self, partition: TopicPartition, transaction: Transaction) -> bool:
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

    def ends(self, transactional_id: str) -> list[tuple[PartitionLog, Offset]] | None:
        """Return where the id's last markers end; None when all of them are known to be durable."""
        return self._ends.get(transactional_id)

    def unsynced(self, transactional_id: str) -> list[PartitionLog]:
        """Return the logs in which markers of the id's last transaction are not durable yet."""
        known = self._broker.partitions
        return [
            log
            for log, end in self._ends.get(transactional_id, ())
            if log.flushed_offset < end and known.get(log.partition) is log
        ]

    def remembered(self) -> list[str]:
        """Return the ids whose last markers are not known to be durable."""
        return list(self._ends)

    def forget(self, transactional_id: str) -> None:
        """Note that the id's last markers are durable."""
        self._ends.pop(transactional_id, None)
