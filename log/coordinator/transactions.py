"""Who may write under a transactional id, and how far its transaction is: KIP-98's coordinator.

What is known of an id, and what may follow on what, is in `transaction_state.py`. The coordinator
decides and the caller acts: every method returns the `Transaction` as it shall be. The caller makes
its record durable where that is asked for, hands it to `put`, and only then does what the new status
calls for.

Producer epochs grow in three places. A new owner gets a larger one, which fences the owner before.
An abort that the owner did not ask for is decided with a larger one, so that its late writes are
refused. And the next transaction may have a larger one than this (`Epochs`), so that whatever comes
late cannot be taken for a part of it.

State is the replay of one partition of `__transaction_state`; see `transaction_records.py`.

Source: KIP-98; KIP-360 (a producer that has failed goes on in a larger epoch); KIP-890 (an epoch for
each transaction).
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Final

from ..errors import ConcurrentTransaction, Fenced, InvalidTransactionState, UnknownProducer
from ..model import Timestamp, TopicPartition
from .transaction_state import (
    COMPLETED,
    EPOCH_MAX,
    MAY_FOLLOW,
    NO_PRODUCER,
    PREPARED,
    Epochs,
    Identity,
    Status,
    Transaction,
)

ID_EXPIRATION_MS: Final = 7 * 24 * 3600 * 1000
"""Kafka's `transactional.id.expiration.ms`: an id unused for so long is forgotten."""


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

    def __iter__(self) -> Iterator[Transaction]:
        return iter(self._transactions.values())

    def init(
        self,
        transactional_id: str,
        *,
        timeout_ms: int,
        now: Timestamp,
        expected: Identity | None = None,
    ) -> Transaction:
        """Give the id to a new owner; or, with `expected`, let this owner begin anew (KIP-360).

        The answer is `EMPTY` with the owner's producer id and epoch; or, when a transaction was left
        open, its `PREPARE_ABORT`: carry that out, then ask again. An owner who has moved on already,
        by that abort, by a timeout, or because this is asked again, gets the transaction as it is known.

        Raises:
            ConcurrentTransaction: a decision is being carried out; ask again when that is done.
            Fenced: there is a newer owner than the one that is expected.
        """
        known = self._transactions.get(transactional_id)
        if known is None:
            producer_id = self._new_producer_id(now)
            return Transaction(
                transactional_id, producer_id, 0, timeout_ms, Status.EMPTY, frozenset(), now
            )
        if expected is not None and expected != known.identity:
            if expected != known.previous_identity:
                raise _fenced(known, expected)
            _refuse_while_prepared(known)
            return known
        if known.status is Status.ONGOING and expected is not None:
            return self._decided(known, commit=False, now=now, epochs=Epochs.AT_DECISION)
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
            previous_producer_id=known.producer_id if expected is not None else NO_PRODUCER,
        )

    def add_partitions(
        self,
        transactional_id: str,
        identity: Identity,
        partitions: Iterable[TopicPartition],
        now: Timestamp,
    ) -> Transaction:
        """Let the transaction write to these partitions; begin it if none is ongoing.

        When it may do so already, the answer is the transaction as it is known.

        Raises:
            UnknownProducer, Fenced: another owner has taken over.
            ConcurrentTransaction: the one before is still being completed.
        """
        known = self._owned(transactional_id, identity)
        _refuse_while_prepared(known)
        partitions = frozenset(partitions)
        if known.status is not Status.ONGOING:
            return replace(
                known,
                status=Status.ONGOING,
                partitions=partitions,
                started=now,
                updated=now,
                previous_producer_id=NO_PRODUCER,
            )
        if partitions <= known.partitions:
            return known
        return replace(known, partitions=known.partitions | partitions, updated=now)

    def writable(self, transactional_id: str, identity: Identity) -> frozenset[TopicPartition]:
        """Return to which partitions the owner may write in the transaction that is open now.

        Raises:
            UnknownProducer, Fenced: another owner has taken over.
            ConcurrentTransaction: the last one is decided, and being completed.
        """
        known = self._owned(transactional_id, identity)
        _refuse_while_prepared(known)
        return known.partitions if known.status is Status.ONGOING else frozenset()

    def end(
        self,
        transactional_id: str,
        identity: Identity,
        *,
        commit: bool,
        now: Timestamp,
        epochs: Epochs,
    ) -> Transaction:
        """Decide the transaction.

        A repeated request gets the completed transaction as its answer. Where epochs are kept, that
        cannot be told from a late one, which ends the owner's next transaction.

        Raises:
            UnknownProducer, Fenced: another owner has taken over.
            ConcurrentTransaction: the same was asked before and is being carried out.
            InvalidTransactionState: there is nothing to end, or it has ended the other way.
        """
        known = self._transactions.get(transactional_id)
        own_epoch = epochs is Epochs.AT_DECISION
        if own_epoch and known is not None and identity == known.previous_identity:
            return _repeated(known, commit=commit)
        known = self._owned(transactional_id, identity)
        nothing_to_end = own_epoch and known.status not in PREPARED
        if known.status is Status.ONGOING or (nothing_to_end and not commit):
            return self._decided(known, commit=commit, now=now, epochs=epochs)
        if nothing_to_end:
            raise _not_in_state(known, commit=commit)
        return _repeated(known, commit=commit)

    def complete(self, transactional_id: str, *, now: Timestamp) -> Transaction:
        """Note that all markers are written; the answer has the identity of the next transaction.

        Where epochs are kept, the next transaction must not be begun before these markers are
        durable; else they would be written again after a crash, and end it.
        """
        known = self._transactions[transactional_id]
        assert known.status in PREPARED, known
        identity = known.next or known.identity
        return replace(
            known,
            producer_id=identity.producer_id,
            producer_epoch=identity.producer_epoch,
            status=Status.COMPLETE_COMMIT if known.commit else Status.COMPLETE_ABORT,
            partitions=frozenset(),
            updated=now,
            next=None,
        )

    def check_owner(self, owner: Transaction) -> None:
        """Raise Fenced if another owner has taken over."""
        self._owned(owner.transactional_id, owner.identity)

    def ongoing(self) -> list[Transaction]:
        """Return the transactions that are open."""
        return [known for known in self._transactions.values() if known.status is Status.ONGOING]

    def prepared(self) -> list[Transaction]:
        """Return the decisions that are to be carried out, as after a crash."""
        return [known for known in self._transactions.values() if known.status in PREPARED]

    def overdue(self, now: Timestamp) -> list[Transaction]:
        """Return a `PREPARE_ABORT` for each transaction that is open beyond its timeout.

        It is as if the owner had aborted, in the manner of KIP-890: who asks for that later, or
        begins anew (KIP-360), is told the epoch in which to go on. Who only writes on is fenced.
        """
        return [
            self._decided(known, commit=False, now=now, epochs=Epochs.AT_DECISION)
            for known in self._transactions.values()
            if known.status is Status.ONGOING and now - known.started > known.timeout_ms
        ]

    def abandoned(self, now: Timestamp, expiration_ms: int = ID_EXPIRATION_MS) -> list[Transaction]:
        """Return a `DEAD` for each id that nobody has used for so long."""
        return [
            replace(known, status=Status.DEAD, updated=now)
            for known in self._transactions.values()
            if Status.DEAD in MAY_FOLLOW[known.status] and now - known.updated > expiration_ms
        ]

    def _owned(self, transactional_id: str, identity: Identity) -> Transaction:
        known = self._transactions.get(transactional_id)
        if known is None:
            raise UnknownProducer(f"{transactional_id!r} is not known; make a new producer")
        if known.producer_id != identity.producer_id:
            raise UnknownProducer(
                f"{transactional_id!r} belongs to producer id {known.producer_id}, not to "
                f"{identity.producer_id}"
            )
        if known.producer_epoch != identity.producer_epoch or known.producer_epoch > EPOCH_MAX:
            raise _fenced(known, identity)
        return known

    def _decided(
        self, known: Transaction, *, commit: bool, now: Timestamp, epochs: Epochs
    ) -> Transaction:
        decided = replace(
            known,
            status=Status.PREPARE_COMMIT if commit else Status.PREPARE_ABORT,
            updated=now,
        )
        if epochs is Epochs.AT_COMPLETION:
            return replace(decided, next=self._next_epoch(known, now))
        if epochs is Epochs.KEPT:
            return decided
        exhausted = known.producer_epoch >= EPOCH_MAX
        return replace(
            decided,
            producer_epoch=known.producer_epoch + 1,  # EPOCH_MAX leaves room for this one
            previous_producer_id=known.producer_id,
            next=Identity(self._new_producer_id(now), 0) if exhausted else None,
        )

    def _abort_and_fence(self, known: Transaction, now: Timestamp) -> Transaction:
        return replace(
            known,
            producer_epoch=known.producer_epoch + 1,  # EPOCH_MAX leaves room for this one
            status=Status.PREPARE_ABORT,
            updated=now,
            previous_producer_id=NO_PRODUCER,
        )

    def _next_epoch(self, known: Transaction, now: Timestamp) -> Identity:
        if known.producer_epoch < EPOCH_MAX:
            return Identity(known.producer_id, known.producer_epoch + 1)
        return Identity(self._new_producer_id(now), 0)


def _repeated(known: Transaction, *, commit: bool) -> Transaction:
    """Answer one who asks for what is decided already."""
    if known.status not in PREPARED | COMPLETED or known.commit != commit:
        raise _not_in_state(known, commit=commit)
    _refuse_while_prepared(known)
    return known


def _refuse_while_prepared(known: Transaction) -> None:
    if known.status in PREPARED:
        raise ConcurrentTransaction(
            f"the last transaction of {known.transactional_id!r} is being completed"
        )


def _fenced(known: Transaction, identity: Identity) -> Fenced:
    return Fenced(
        f"a newer producer of {known.transactional_id!r} exists: {known.identity}; "
        f"this one is {identity}"
    )


def _not_in_state(known: Transaction, *, commit: bool) -> InvalidTransactionState:
    return InvalidTransactionState(
        f"{known.transactional_id!r} cannot be {'committed' if commit else 'aborted'}: "
        f"it is {known.status.name}"
    )
