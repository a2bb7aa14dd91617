"""Who may write under a transactional id, and how far its transaction is: KIP-98's coordinator.

A transaction's life is the table `MAY_FOLLOW`. The coordinator decides and the caller acts: every
method returns the `Transaction` as it shall be. The caller makes its record durable where that is
asked for, hands it to `put`, and only then does what the new status calls for:

    Ongoing          data may be written to its partitions
    PrepareCommit    the decision; once durable, write a commit marker to each partition
    PrepareAbort     the same with abort markers
    CompleteCommit   nothing is left to do; the next transaction may begin

Producer epochs grow in three places. A new owner gets a larger one, which fences the owner before.
An abort that the owner did not ask for is decided with a larger one, so that its late writes are
refused. And a completed transaction moves to the next one (as KIP-890 does), so that a marker which
is written again after a crash can't end the *next* transaction: the partition has seen a newer epoch.

State is the replay of one partition of `__transaction_state`; see `transaction_records.py`.
"""

import enum
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from ..errors import ConcurrentTransaction, Fenced, InvalidTransactionState
from ..model import Timestamp, TopicPartition

EPOCH_MAX: Final = 2**15 - 2
"""The last epoch of a producer id. One more is kept free, so that it can always be fenced."""

ID_EXPIRATION_MS: Final = 7 * 24 * 3600 * 1000
"""Kafka's `transactional.id.expiration.ms`: an id unused for so long is forgotten."""


class Status(enum.IntEnum):
    """How far a transaction is; the numbers are those of Kafka's log."""

    EMPTY = 0
    ONGOING = 1
    PREPARE_COMMIT = 2
    PREPARE_ABORT = 3
    COMPLETE_COMMIT = 4
    COMPLETE_ABORT = 5
    DEAD = 6


MAY_FOLLOW: Final[Mapping[Status, frozenset[Status]]] = {
    Status.EMPTY: frozenset({Status.EMPTY, Status.ONGOING, Status.DEAD}),
    Status.ONGOING: frozenset({Status.ONGOING, Status.PREPARE_COMMIT, Status.PREPARE_ABORT}),
    Status.PREPARE_COMMIT: frozenset({Status.COMPLETE_COMMIT}),
    Status.PREPARE_ABORT: frozenset({Status.COMPLETE_ABORT}),
    Status.COMPLETE_COMMIT: frozenset({Status.EMPTY, Status.ONGOING, Status.DEAD}),
    Status.COMPLETE_ABORT: frozenset({Status.EMPTY, Status.ONGOING, Status.DEAD}),
    Status.DEAD: frozenset(),
}

PREPARED: Final = frozenset({Status.PREPARE_COMMIT, Status.PREPARE_ABORT})


@dataclass(frozen=True, slots=True)
class Transaction:
    """What is known of one transactional id."""

    transactional_id: str
    producer_id: int
    producer_epoch: int
    timeout_ms: int
    status: Status
    partitions: frozenset[TopicPartition]
    updated: Timestamp
    started: Timestamp = -1

    @property
    def commit(self) -> bool:
        """Whether the decision was to commit; only asked once there is a decision."""
        return self.status in {Status.PREPARE_COMMIT, Status.COMPLETE_COMMIT}


class TransactionCoordinator:
    """All transactional ids of one coordinator partition.

    `new_producer_id` is told the time and hands out an id that was never used before.
    """

    def __init__(self, new_producer_id: Callable[[Timestamp], int]) -> None:
        self._transactions: dict[str, Transaction] = {}
        self._new_producer_id = new_producer_id

    def get(self, transactional_id: str) -> Transaction | None:
        return self._transactions.get(transactional_id)

    def put(self, transaction: Transaction) -> None:
        """Note what has been written to the log."""
        before = self._transactions.get(transaction.transactional_id)
        if before is not None:
            assert transaction.status in MAY_FOLLOW[before.status], (before, transaction)
        self.replay(transaction)

    def replay(self, transaction: Transaction) -> None:
        """Note what the log says, whatever came before: compaction may have removed it."""
        if transaction.status is Status.DEAD:
            self._transactions.pop(transaction.transactional_id, None)
        else:
            self._transactions[transaction.transactional_id] = transaction

    def init(self, transactional_id: str, *, timeout_ms: int, now: Timestamp) -> Transaction:
        """Give the id to a new owner.

        The answer is `EMPTY` with the new owner's producer id and epoch; or, when the owner before
        has left a transaction open, its `PREPARE_ABORT`: carry that out, then ask again.

        Raises:
            ConcurrentTransaction: a decision is being carried out; ask again when that is done.
        """
        known = self._transactions.get(transactional_id)
        if known is None:
            producer_id = self._new_producer_id(now)
            return Transaction(
                transactional_id, producer_id, 0, timeout_ms, Status.EMPTY, frozenset(), now
            )
        if known.status is Status.ONGOING:
            return self._abort_and_fence(known, now)
        _refuse_while_prepared(known)
        producer_id, producer_epoch = self._next_epoch(known, now)
        return Transaction(
            transactional_id,
            producer_id,
            producer_epoch,
            timeout_ms,
            Status.EMPTY,
            frozenset(),
            now,
        )

    def add_partitions(
        self,
        transactional_id: str,
        producer_id: int,
        producer_epoch: int,
        partitions: Iterable[TopicPartition],
        now: Timestamp,
    ) -> Transaction:
        """Let the transaction write to these partitions; begin it if none is ongoing.

        Raises:
            Fenced: another owner has taken over.
            ConcurrentTransaction: the one before is still being completed.
        """
        known = self._owned(transactional_id, producer_id, producer_epoch)
        _refuse_while_prepared(known)
        ongoing = known.status is Status.ONGOING
        return replace(
            known,
            status=Status.ONGOING,
            partitions=known.partitions.union(partitions) if ongoing else frozenset(partitions),
            started=known.started if ongoing else now,
            updated=now,
        )

    def end(
        self,
        transactional_id: str,
        producer_id: int,
        producer_epoch: int,
        *,
        commit: bool,
        now: Timestamp,
    ) -> Transaction:
        """Decide the transaction.

        A repeated request gets the completed transaction as its answer.

        Raises:
            Fenced: another owner has taken over.
            ConcurrentTransaction: the same was asked before and is being carried out.
            InvalidTransactionState: there is nothing to end, or it has ended the other way.
        """
        known = self._owned(transactional_id, producer_id, producer_epoch)
        if known.status is Status.ONGOING:
            status = Status.PREPARE_COMMIT if commit else Status.PREPARE_ABORT
            return replace(known, status=status, updated=now)
        if known.status is Status.EMPTY or known.commit != commit:
            raise InvalidTransactionState(
                f"{transactional_id!r} cannot be {'committed' if commit else 'aborted'}: "
                f"it is {known.status.name}"
            )
        _refuse_while_prepared(known)
        return known

    def complete(
        self, transactional_id: str, *, now: Timestamp, next_epoch: bool = True
    ) -> Transaction:
        """Note that all markers are written.

        With `next_epoch` the answer carries the identity under which the next transaction runs.
        Without, the owner goes on under the same one (clients before KIP-890): then the caller must
        make this record durable before the next transaction begins.
        """
        known = self._transactions[transactional_id]
        assert known.status in PREPARED, known
        producer_id, producer_epoch = known.producer_id, known.producer_epoch
        if next_epoch:
            producer_id, producer_epoch = self._next_epoch(known, now)
        return replace(
            known,
            producer_id=producer_id,
            producer_epoch=producer_epoch,
            status=Status.COMPLETE_COMMIT if known.commit else Status.COMPLETE_ABORT,
            partitions=frozenset(),
            updated=now,
        )

    def check_owner(self, owner: Transaction) -> None:
        """Raise Fenced if another owner has taken over."""
        self._owned(owner.transactional_id, owner.producer_id, owner.producer_epoch)

    def ongoing(self) -> list[Transaction]:
        """Return the transactions that are open."""
        return [known for known in self._transactions.values() if known.status is Status.ONGOING]

    def prepared(self) -> list[Transaction]:
        """Return the decisions that are to be carried out, as after a crash."""
        return [known for known in self._transactions.values() if known.status in PREPARED]

    def overdue(self, now: Timestamp) -> list[Transaction]:
        """Return a `PREPARE_ABORT` for each transaction that is open beyond its timeout."""
        return [
            self._abort_and_fence(known, now)
            for known in self._transactions.values()
            if known.status is Status.ONGOING and now - known.started > known.timeout_ms
        ]

    def abandoned(self, now: Timestamp) -> list[Transaction]:
        """Return a `DEAD` for each id that nobody has used for a week."""
        return [
            replace(known, status=Status.DEAD, updated=now)
            for known in self._transactions.values()
            if Status.DEAD in MAY_FOLLOW[known.status] and now - known.updated > ID_EXPIRATION_MS
        ]

    def _owned(self, transactional_id: str, producer_id: int, producer_epoch: int) -> Transaction:
        known = self._transactions.get(transactional_id)
        if known is None:
            raise Fenced(f"{transactional_id!r} is not known; make a new producer")
        if (known.producer_id, known.producer_epoch) != (producer_id, producer_epoch):
            raise Fenced(
                f"a newer producer of {transactional_id!r} exists: id {known.producer_id}, "
                f"epoch {known.producer_epoch}; this one is {producer_id}, epoch {producer_epoch}"
            )
        return known

    def _abort_and_fence(self, known: Transaction, now: Timestamp) -> Transaction:
        return replace(
            known,
            producer_epoch=known.producer_epoch + 1,  # EPOCH_MAX leaves room for this one
            status=Status.PREPARE_ABORT,
            updated=now,
        )

    def _next_epoch(self, known: Transaction, now: Timestamp) -> tuple[int, int]:
        if known.producer_epoch < EPOCH_MAX:
            return known.producer_id, known.producer_epoch + 1
        return self._new_producer_id(now), 0


def _refuse_while_prepared(known: Transaction) -> None:
    if known.status in PREPARED:
        raise ConcurrentTransaction(
            f"the last transaction of {known.transactional_id!r} is being completed"
        )
