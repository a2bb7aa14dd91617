"""What is known of all transactional ids, and where it is written: the partitions of `__transaction_state`."""

from collections.abc import Iterator
from typing import Final

from ..coordinator.encoding import coordinator_partition
from ..coordinator.transaction_records import decode_transaction, encode_transaction
from ..coordinator.transaction_state import Status, Transaction
from ..coordinator.transactions import TransactionCoordinator
from ..model import Offset, Timestamp, TopicPartition
from ..records import decode_batch, encode_batch
from ..storage.partition_log import PartitionLog
from .core import Broker
from .metadata import TRANSACTIONS_TOPIC
from .replay import batches_of

HOMES_MAX: Final = 10_000
"""So many ids' partitions are remembered: working one out takes microseconds."""


class TransactionLog:
    """The coordinators of all partitions, with the records whose replay they are."""

    def __init__(self, broker: Broker) -> None:
        """Replay what the log says."""
        self._broker = broker
        count = broker.internal_partitions(TRANSACTIONS_TOPIC)
        self.coordinators = [TransactionCoordinator(broker.new_producer_id) for _ in range(count)]
        self._homes: dict[str, TopicPartition] = {}
        self._ends: dict[str, Offset] = {}
        for number, coordinator in enumerate(self.coordinators):
            log = broker.partitions.get(TopicPartition(TRANSACTIONS_TOPIC, number))
            for header, batch in batches_of(log) if log is not None else ():
                for record in () if header.is_control else decode_batch(batch):
                    assert record.key is not None
                    coordinator.replay(decode_transaction(record.key, record.value))

    def __iter__(self) -> Iterator[Transaction]:
        return (known for coordinator in self.coordinators for known in coordinator)

    def coordinator(self, transactional_id: str) -> TransactionCoordinator:
        """Return who decides about this id."""
        return self.coordinators[self._partition_of(transactional_id).partition]

    def log(self, transactional_id: str) -> PartitionLog:
        """Return where the states of this id are written."""
        return self._broker.partition(self._partition_of(transactional_id))

    def write(self, transaction: Transaction, now: Timestamp) -> None:
        """Append a new state, and let it count."""
        self.append(transaction, now)
        self.coordinator(transaction.transactional_id).put(transaction)

    def append(self, transaction: Transaction, now: Timestamp) -> None:
        """Append a state that counts already."""
        batch = encode_batch([encode_transaction(transaction)])
        partition = self._partition_of(transaction.transactional_id)
        done = self._broker.append(partition, batch, now, trusted=True)
        if transaction.status is Status.DEAD:
            self._ends.pop(transaction.transactional_id, None)
        else:
            self._ends[transaction.transactional_id] = done.next_offset

    def unsynced(self, transactional_id: str) -> list[PartitionLog]:
        """Return the log that has to be synced before the id's last state is durable, if any."""
        log = self.log(transactional_id)
        return [log] if log.flushed_offset < self._ends.get(transactional_id, 0) else []

    def _partition_of(self, transactional_id: str) -> TopicPartition:
        home = self._homes.get(transactional_id)
        if home is None:
            if len(self._homes) >= HOMES_MAX:
                self._homes.clear()
            number = coordinator_partition(transactional_id, len(self.coordinators))
            home = self._homes[transactional_id] = TopicPartition(TRANSACTIONS_TOPIC, number)
        return home
