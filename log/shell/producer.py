"""Appends to an embedded log: idempotent, and transactional.

Up to its first await an append does everything at once in memory and in the files' buffers, so the
order of calls is the order in each partition; what is awaited is only the disk.
"""

from collections.abc import Mapping
from typing import Protocol, TypeAlias, TypeVar
from weakref import WeakKeyDictionary

import anyio

from ..broker.batching import SEQUENCE_END, encode_batches
from ..broker.core import Broker
from ..broker.groups import Groups
from ..broker.steps import Steps
from ..broker.transactions import Transactions
from ..coordinator.transaction_state import Transaction
from ..errors import Fenced, InvalidTransactionState
from ..interface import RecordsByPartition
from ..model import Appended, CommittedOffset, Compression, Timestamp, TopicPartition
from ..storage.partition_log import PartitionLog

T = TypeVar("T")

Encoded: TypeAlias = dict[TopicPartition, list[bytearray]]


class Writing(Protocol):
    """What producers need of the embedded log."""

    broker: Broker
    group_offsets: Groups
    transactions: Transactions

    def now(self) -> Timestamp: ...

    def check_writable(self) -> None:
        """Raise when nothing can be written, or not any more."""

    async def run(self, steps: Steps[T]) -> T:
        """Go through the steps, syncing between them."""


class EmbeddedProducer:
    """A `Producer` with a producer id of its own, which counts its records per partition (KIP-98)."""

    def __init__(self, log: Writing, producer_id: int) -> None:
        self._log = log
        self._producer_id = producer_id
        self._next_sequences: WeakKeyDictionary[PartitionLog, int] = WeakKeyDictionary()

    async def append(
        self, records: RecordsByPartition, *, compression: Compression = Compression.NONE
    ) -> dict[TopicPartition, Appended]:
        self._log.check_writable()
        batches: Encoded = {}
        for partition, new in records.items():
            log = self._log.broker.writable(partition)
            if new:
                batches[partition] = encode_batches(
                    new,
                    partition,
                    log.config,
                    producer_id=self._producer_id,
                    producer_epoch=0,
                    base_sequence=self._next_sequences.get(log, 0),
                    transactional=False,
                    compression=compression,
                )
        return await self._log.run(self._append(batches))

    def _append(self, batches: Encoded) -> Steps[dict[TopicPartition, Appended]]:
        broker, now = self._log.broker, self._log.now()
        appended: dict[TopicPartition, Appended] = {}
        logs = []
        for partition, encoded in batches.items():
            log = broker.partition(partition)
            base_offset = log.log_end_offset
            for batch in encoded:
                done = broker.append(partition, batch, now, trusted=True)
                count = done.next_offset - done.base_offset
                sequence = self._next_sequences.get(log, 0)
                self._next_sequences[log] = (sequence + count) % SEQUENCE_END
            appended[partition] = Appended(base_offset, done.next_offset, done.leader_epoch)
            logs.append(log)
        yield logs
        return appended


class EmbeddedTransactionalProducer:
    """A `TransactionalProducer`: the owner of a transactional id until a newer one is made.

    Each transaction runs under a producer epoch of its own, so sequence numbers begin at 0 in each.
    """

    def __init__(self, log: Writing, owner: Transaction, lock: anyio.Lock) -> None:
        """Make the producer of a new owner.

        Args:
            log: where it writes to.
            owner: its identity.
            lock: held while a transaction of this id, of whatever owner, is on its way.
        """
        self._log = log
        self._owner = owner
        self._lock = lock
        self._failed: BaseException | None = None

    async def commit(
        self,
        records: RecordsByPartition,
        *,
        group: str,
        offsets: Mapping[TopicPartition, CommittedOffset],
        compression: Compression = Compression.NONE,
    ) -> dict[TopicPartition, Appended]:
        async with self._lock:
            self._log.check_writable()
            self._check()
            batches = self._encode(records, compression)
            self._log.group_offsets.check(offsets)
            if not batches and not offsets:
                return {}
            # Once begun, it is brought to its end: nobody could tell what a cancelled one has done.
            with anyio.CancelScope(shield=True):
                try:
                    committed = await self._log.run(
                        self._log.transactions.commit(
                            self._owner, batches, group, offsets, self._log.now()
                        )
                    )
                except BaseException as error:
                    self._failed = error
                    raise
            self._owner = committed.owner
            return committed.appended

    def _check(self) -> None:
        if isinstance(self._failed, Fenced):
            raise Fenced(str(self._failed)) from self._failed
        if self._failed is not None:
            raise InvalidTransactionState(
                f"the last commit of {self._owner.transactional_id!r} failed ({self._failed}); "
                "whether it took place is decided by making a new producer"
            ) from self._failed
        self._log.transactions.check_owner(self._owner)

    def _encode(self, records: RecordsByPartition, compression: Compression) -> Encoded:
        batches: Encoded = {}
        for partition, new in records.items():
            log = self._log.broker.writable(partition)
            if new:
                batches[partition] = encode_batches(
                    new,
                    partition,
                    log.config,
                    producer_id=self._owner.producer_id,
                    producer_epoch=self._owner.producer_epoch,
                    base_sequence=0,
                    transactional=True,
                    compression=compression,
                )
        return batches
