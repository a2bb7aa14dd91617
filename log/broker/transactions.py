"""Transactions of the whole broker: the coordinator's decisions, carried out in the right order.

Who may do what is decided in `coordinator/transactions.py`; here records and markers are written.
Two rules bear everything. A decision is durable before its first marker is written; so a marker needs
no sync of its own, for a lost one is written again from the decision (`settle`). And a decision is
the last word on its id until its markers are durable: neither *Complete* nor a later state of the id
is written before, for then a lost marker would be taken for an abort.

Transactions come in two ways. Those of clients are begun, written to and ended by requests. Their
*Ongoing* is durable before anything is written to a partition (`admitted`). So at any time the log
tells which partitions a transaction may have touched, a restart leaves it open, and one whose
decision is the last word has written nothing since. That is what makes producers safe that keep
their epoch over transactions: no marker that is written again can meet the next one's data.

`commit` takes a whole transaction in one call, so *Ongoing* is kept in memory only. If a crash leaves
such a transaction open in some partition, no decision is found for it, and `settle` aborts it. In
practice the syncs of the next transaction cover the markers of the one before.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import partial
from typing import NamedTuple

from ..coordinator.transaction_state import (
    COMPLETED,
    PREPARED,
    Epochs,
    Identity,
    Status,
    Transaction,
)
from ..coordinator.transactions import ID_EXPIRATION_MS
from ..errors import ConcurrentTransaction
from ..model import Appended, CommittedOffset, Timestamp, TopicPartition
from ..storage.partition_log import PartitionLog
from .core import Broker
from .groups import Groups
from .markers import Markers
from .steps import Steps
from .transaction_log import TransactionLog
from .waits import Flush, Handling


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
        self._log = TransactionLog(broker)
        self._markers = Markers(broker, groups)
        self._initialising: set[str] = set()

    def __iter__(self) -> Iterator[Transaction]:
        """Go through all ids."""
        return iter(self._log)

    def get(self, transactional_id: str) -> Transaction | None:
        """Return what is known of an id."""
        return self._log.coordinator(transactional_id).get(transactional_id)

    def init(
        self,
        transactional_id: str,
        *,
        timeout_ms: int,
        now: Timestamp,
        expected: Identity | None = None,
    ) -> Steps[Transaction]:
        """Make the caller the owner of the id, after aborting what the owner before left open.

        Raises:
            ConcurrentTransaction: the same is under way, or a decision is being carried out; ask
                again when that is done.
            Fenced: the owner that is `expected` has been replaced.
        """
        if transactional_id in self._initialising:
            raise ConcurrentTransaction(f"{transactional_id!r} is being given to an owner")
        self._initialising.add(transactional_id)
        try:
            return (yield from self._init(transactional_id, timeout_ms, now, expected))
        finally:
            self._initialising.discard(transactional_id)

    def _init(
        self, transactional_id: str, timeout_ms: int, now: Timestamp, expected: Identity | None
    ) -> Steps[Transaction]:
        coordinator = self._log.coordinator(transactional_id)
        while True:
            yield from self._marked(transactional_id)
            known = coordinator.get(transactional_id)
            transaction = coordinator.init(
                transactional_id, timeout_ms=timeout_ms, now=now, expected=expected
            )
            if transaction is known:
                yield self._log.unsynced(transactional_id)
                return transaction
            self._write(transaction, now)
            yield [self._log.log(transactional_id)]
            if transaction.status is Status.EMPTY:
                return transaction
            yield self._finish(transaction, now)

    def check_owner(self, owner: Transaction) -> None:
        """Raise Fenced if another owner has taken over."""
        self._log.coordinator(owner.transactional_id).check_owner(owner)

    # -- transactions of clients ---------------------------------------------------------------

    def add_partitions(
        self,
        transactional_id: str,
        identity: Identity,
        partitions: Collection[TopicPartition],
        now: Timestamp,
    ) -> Steps[None]:
        """Let a transaction write to these partitions, beginning it if need be; durable at the end.

        Raises:
            UnknownProducer, Fenced: another owner has taken over.
            ConcurrentTransaction: the one before is still being completed.
        """
        coordinator = self._log.coordinator(transactional_id)
        coordinator.writable(transactional_id, identity)
        yield from self._marked(transactional_id)
        begun = coordinator.add_partitions(transactional_id, identity, partitions, now)
        if begun is not coordinator.get(transactional_id):
            self._write(begun, now)
        if unsynced := self._log.unsynced(transactional_id):
            yield unsynced

    def admitted(
        self,
        transactional_id: str,
        identity: Identity,
        partitions: Collection[TopicPartition],
        *,
        add: bool,
        now: Timestamp,
    ) -> Steps[frozenset[TopicPartition]]:
        """Return to which of these partitions one may write; that holds until the next step.

        With `add` they are added to the transaction first.

        Raises:
            UnknownProducer, Fenced: another owner has taken over.
            ConcurrentTransaction: the last transaction is decided, and still being completed.
        """
        coordinator = self._log.coordinator(transactional_id)
        if add:
            yield from self.add_partitions(transactional_id, identity, partitions, now)
        elif unsynced := self._log.unsynced(transactional_id):
            yield unsynced
        return coordinator.writable(transactional_id, identity).intersection(partitions)

    def end(
        self,
        transactional_id: str,
        identity: Identity,
        *,
        commit: bool,
        epochs: Epochs,
        now: Timestamp,
    ) -> Handling[Transaction]:
        """Decide a transaction, and carry that out; return it as it then is.

        Raises:
            UnknownProducer, Fenced: another owner has taken over.
            ConcurrentTransaction: that is being done already.
            InvalidTransactionState: there is nothing to end, or it has ended the other way.
        """
        coordinator = self._log.coordinator(transactional_id)
        asked = partial(
            coordinator.end, transactional_id, identity, commit=commit, now=now, epochs=epochs
        )
        decided = asked()
        if decided.status in PREPARED and self._markers.unsynced(transactional_id):
            yield from self._marked(transactional_id)  # before an abort without a transaction
            decided = asked()
        if decided.status not in PREPARED:
            return decided
        coordinator.put(decided)  # from here on nothing more is admitted
        if commit and (unsynced := self._unsynced_data(decided)):
            yield unsynced
        self._append(decided, now)
        yield [self._log.log(transactional_id)]
        marked = self._finish(decided, now)
        completed = coordinator.get(transactional_id)
        assert completed is not None
        if hidden := _hidden(marked):
            yield hidden
        elif marked:
            yield Flush(marked)
        return completed

    # -- transactions in one call --------------------------------------------------------------

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
        transactional_id, identity = owner.transactional_id, owner.identity
        coordinator = self._log.coordinator(transactional_id)
        partitions = set(batches)
        if offsets:
            partitions.add(self._groups.partition_of(group))
        coordinator.put(coordinator.add_partitions(transactional_id, identity, partitions, now))
        appended, touched = self._append_all(batches, now)
        if offsets:
            touched.append(self._groups.commit_in(owner, group, offsets, now))
        yield touched + self._markers.unsynced(transactional_id)
        decided = coordinator.end(
            transactional_id, identity, commit=True, now=now, epochs=Epochs.AT_COMPLETION
        )
        self._write(decided, now)
        yield [self._log.log(transactional_id)]
        hidden = _hidden(self._finish(decided, now))
        if hidden:
            yield hidden
        completed = coordinator.get(transactional_id)
        assert completed is not None
        return Committed(appended, completed)

    def _append_all(
        self, batches: Mapping[TopicPartition, Iterable[bytearray]], now: Timestamp
    ) -> tuple[dict[TopicPartition, Appended], list[PartitionLog]]:
        appended, touched = {}, []
        for partition, encoded in batches.items():
            done = [self._broker.append(partition, batch, now, trusted=True) for batch in encoded]
            first, last = done[0], done[-1]
            appended[partition] = Appended(first.base_offset, last.next_offset, last.leader_epoch)
            touched.append(self._broker.partition(partition))
        return appended, touched

    # -- time, and restarts --------------------------------------------------------------------

    def complete_marked(self, now: Timestamp) -> None:
        """Write *Complete* for the transactions whose markers have become durable."""
        for transactional_id in self._markers.remembered():
            transaction = self.get(transactional_id)
            if not self._markers.unsynced(transactional_id) and transaction is not None:
                if transaction.status in COMPLETED:
                    self._append(transaction, now)
                self._markers.forget(transactional_id)

    def abort_overdue(
        self, now: Timestamp, id_expiration_ms: int = ID_EXPIRATION_MS
    ) -> Steps[None]:
        """Abort transactions that are open beyond their timeout, and forget abandoned ids."""
        coordinators = self._log.coordinators
        remembered = self._markers.remembered()
        yield [log for each in remembered for log in self._markers.unsynced(each)]
        overdue = [abort for one in coordinators for abort in one.overdue(now)]
        abandoned = [
            dead
            for one in coordinators
            for dead in one.abandoned(now, id_expiration_ms)
            if self._markers.ends(dead.transactional_id) is None
        ]
        for transaction in overdue + abandoned:
            self._write(transaction, now)
        yield list({self._log.log(each.transactional_id) for each in overdue + abandoned})
        yield list({log for abort in overdue for log in self._finish(abort, now)})

    def settle(self, now: Timestamp) -> list[PartitionLog]:
        """After opening, end every transaction that nobody can end any more.

        Decided ones get the markers that are missing. What no coordinator knows as ongoing there is
        aborted; what one does know is left to its owner or its timeout. Returns what was written.
        """
        written = []
        ongoing = set()
        for coordinator in self._log.coordinators:
            for transaction in coordinator.prepared():
                missing = [
                    p for p in transaction.partitions if self._markers.is_missing(p, transaction)
                ]
                written += self._markers.write(transaction, missing, now)
                coordinator.put(coordinator.complete(transaction.transactional_id, now=now))
            for transaction in coordinator.ongoing():
                ongoing |= {(p, transaction.producer_id) for p in transaction.partitions}
        for partition, log in self._broker.partitions.items():
            for producer in list(log.producers):
                open_here = producer.transaction_start is not None
                if open_here and (partition, producer.producer_id) not in ongoing:
                    identity = Identity(producer.producer_id, producer.producer_epoch)
                    self._markers.append(partition, identity, commit=False, now=now)
                    written.append(log)
        return written

    # -- what all of them do -------------------------------------------------------------------

    def _finish(self, decided: Transaction, now: Timestamp) -> list[PartitionLog]:
        """Carry out a durable decision, and let it count as done; return the logs with markers."""
        marked = self._markers.write(decided, decided.partitions, now)
        coordinator = self._log.coordinator(decided.transactional_id)
        coordinator.put(coordinator.complete(decided.transactional_id, now=now))
        return marked

    def _write(self, transaction: Transaction, now: Timestamp) -> None:
        """Write a state after a decision whose markers are durable."""
        self._markers.forget(transaction.transactional_id)
        self._log.write(transaction, now)

    def _append(self, transaction: Transaction, now: Timestamp) -> None:
        """Write a state that counts already, after a decision whose markers are durable."""
        self._markers.forget(transaction.transactional_id)
        self._log.append(transaction, now)

    def _marked(self, transactional_id: str) -> Steps[None]:
        """Wait until the markers of the id's last transaction are as durable as is promised."""
        waited = None
        while (ends := self._markers.ends(transactional_id)) is not waited:
            if unsynced := self._markers.unsynced(transactional_id):
                yield unsynced
            waited = ends

    def _unsynced_data(self, transaction: Transaction) -> list[PartitionLog]:
        """Return the logs that have data of a transaction which is not durable yet."""
        found = []
        for partition in transaction.partitions:
            log = self._broker.partitions.get(partition)
            producer = log.producers.get(transaction.producer_id) if log is not None else None
            if log and producer and producer.last_data_offset >= log.flushed_offset:
                found.append(log)
        return found


def _hidden(marked: list[PartitionLog]) -> list[PartitionLog]:
    """Return the logs whose markers readers don't see yet.

    A marker is visible at once, except behind data of others that is not yet durable.
    """
    return [log for log in marked if log.high_watermark < log.log_end_offset]
