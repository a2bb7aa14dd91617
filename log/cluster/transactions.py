"""Transactions on a cluster: the records of some commits and their groups' offsets, over our own connections.

All steps of a transaction are taken under what is left of one deadline (`transaction.py`). What is refused
for good is aborted: it has left no trace then, and the producer goes on in a new epoch. So nothing that is late
can be taken for a part of what comes later, and sequence numbers begin anew (KIP-360). What was refused
only because it had been aborted already, being open for too long, is then done again. Where even the
abort is refused, or nobody answers, the producer ends: making a new one decides.

The order within a transaction is chosen:

1. The coordinator is told of all partitions and groups, one request after another: it refuses what comes
   while it writes down the one before. (Apache Kafka answers before it has written the markers of the last
   transaction, and refuses the first request of the next one until then; it is asked again within
   milliseconds.) Where each transaction has an epoch of its own, brokers tell the coordinator themselves.
2. The offsets of tasks' groups and the records, all at the same time.
3. The fence, if there is one: an offset in the name of a group's member. Where the coordinator takes it,
   the member had its place at a time when all else of the transaction had been told to the cluster.
   So whoever gets the member's work afterwards finds its offsets pending and waits for them, and its
   records below the log's end. With the fence first, as cheap as it would be to have a zombie's records
   refused before they are written, a member could pass it, lose its place, and write offsets and records
   that its successor has already looked for in vain.
4. The end.

Rejected: librdkafka's transactions. They take a call and a message for each record and several waits of 20 ms
in sequence, know members of groups only as bytes in a form of their own, and lose count of sequence
numbers when a record is refused.

Source: KIP-98, KIP-360, KIP-447, KIP-588, KIP-890.
"""

import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final, NamedTuple

import anyio
import anyio.lowlevel

from ..errors import ConfigError, Fenced, InvalidTransactionState, MillpondError
from ..interface import RecordsByPartition
from ..model import Appended, CommittedOffset, Compression, NewRecord, Place, TopicPartition
from ..wire.error_codes import ErrorCode
from .address import ClusterAddress
from .coordinators import Coordinators
from .groups import GroupOffsets, merged_by_group
from .outgoing import Identity, Outgoing
from .topics import Topics
from .transaction import Refused, Transaction, together
from .transaction_requests import (
    EPOCHS_KEPT,
    FEATURE,
    FENCES,
    NOT_ITS_FAULT,
    NOTHING_OPEN,
    OWN_EPOCHS,
    OWN_EPOCHS_SINCE,
    REPLACED,
    no_member,
)

ABORT_S: Final = 10.0
"""How long an abort may take at least, however late it is."""

NOBODY: Final = Identity(-1, -1)

OffsetsByPartition = Mapping[TopicPartition, CommittedOffset]


class Commit:
    """What one call of `commit` asks for, and where its records went."""

    __slots__ = ("compression", "error", "group", "offsets", "places", "records")

    def __init__(
        self,
        records: Mapping[TopicPartition, Sequence[NewRecord]],
        group: str,
        offsets: OffsetsByPartition,
        compression: Compression,
    ) -> None:
        self.records = records
        self.group = group
        self.offsets = offsets
        self.compression = compression
        self.error: MillpondError | None = None
        self.places: list[tuple[Outgoing, int]] = []

    def appended(self) -> dict[TopicPartition, Appended]:
        """Return where the records went; in between there may be others of the same transaction."""
        return {
            each.partition: each.appended(before, len(self.records[each.partition]))
            for each, before in self.places
        }


class Fence(NamedTuple):
    """An offset that is committed in the name of a member, whose place the coordinator checks."""

    place: Place
    offsets: OffsetsByPartition


class Aborted(Exception):
    """A transaction was aborted and has left nothing; the producer goes on.

    Attributes:
        cause: why.
        code: what the broker calls it; 0 if it was none that said so.
    """

    def __init__(self, cause: MillpondError, code: int = 0) -> None:
        super().__init__(str(cause))
        self.cause = cause
        self.code = code


class Transactions:
    """The transactions of one transactional id, one after another.

    Attributes:
        failed: why there can be no more of them.
    """

    def __init__(
        self,
        transactional_id: str,
        timeout_ms: int,
        address: ClusterAddress,
        coordinators: Coordinators,
        topics: Topics,
        groups: GroupOffsets,
    ) -> None:
        """Make them; call `init` before anything else.

        Args:
            transactional_id: whose they are.
            timeout_ms: how long one may be open, until the coordinator aborts it.
            address: the cluster's.
            coordinators: the way to them, and to all brokers.
            topics: tells which partitions there are, and how large batches may be.
            groups: tells which offsets can be committed.
        """
        self.transactional_id = transactional_id
        self.failed: MillpondError | None = None
        self._timeout_ms = timeout_ms
        self._address = address
        self._coordinators = coordinators
        self._topics = topics
        self._groups = groups
        self._way = EPOCHS_KEPT
        self._identity = NOBODY
        self._sequences: dict[TopicPartition, int] = {}
        self._is_uncertain = False

    @property
    def timeout_s(self) -> float:
        """How long one may take."""
        return self._address.timeout_s

    async def init(self) -> None:
        """Fence the producer before, and let what it left open be decided.

        Raises:
            Unreachable, NotAuthorized, ConfigError: it could not be done in time, or may not.
        """
        asking = self._transaction(time.monotonic() + self.timeout_s)
        try:
            features = await asking.features()
            self._identity = await asking.init(self._timeout_ms)
        except Refused as refused:
            if refused.code == ErrorCode.INVALID_TRANSACTION_TIMEOUT:
                raise ConfigError(
                    f"transaction.timeout.ms={self._timeout_ms} is more than the brokers' setting "
                    "transaction.max.timeout.ms allows: choose less, or change that"
                ) from None
            raise refused.cause from None
        if features.get(FEATURE, 0) >= OWN_EPOCHS_SINCE:
            self._way = OWN_EPOCHS

    async def prepared(
        self,
        records: RecordsByPartition,
        group: str,
        offsets: OffsetsByPartition,
        compression: Compression,
    ) -> Commit | None:
        """Return what can be carried out; None if there is nothing to do.

        Mostly this asks nobody. What it asks is asked here, so that an error of it means that nothing
        was begun.

        Raises:
            UnknownTopic, RecordTooLarge: it can't be.
        """
        await self._topics.check(records.keys())
        await self._groups.check(offsets)
        some = {each: list(new) for each, new in records.items() if new}
        if not some and not offsets:
            return None
        return Commit(some, group, offsets, compression or self._address.compression)

    async def carry_out(self, commits: Sequence[Commit], fence: Fence | None = None) -> None:
        """Carry out commits as one transaction. Once begun, it is brought to its end.

        Raises:
            Aborted: nothing was committed.
            MillpondError: this can't go on, as `failed` tells from now on.
        """
        with anyio.CancelScope(shield=True):
            try:
                await self._carry_out(commits, fence)
            except Aborted as aborted:
                if aborted.code not in NOT_ITS_FAULT:
                    raise
                await self._carry_out(commits, fence)

    def check(self) -> None:
        """Refuse to go on after a failure."""
        if isinstance(self.failed, Fenced):
            raise Fenced(str(self.failed)) from self.failed
        if self.failed is not None:
            raise InvalidTransactionState(
                f"the last commit of {self.transactional_id!r} failed ({self.failed}); "
                "whether it took place is decided by making a new producer"
            ) from self.failed

    # -- a transaction -------------------------------------------------------------------------

    async def _carry_out(self, commits: Sequence[Commit], fence: Fence | None) -> None:
        deadline = time.monotonic() + self.timeout_s
        if self._is_uncertain:
            await self._begin_anew(deadline)
        outgoing = await self._encoded(commits)
        transaction = self._transaction(deadline)
        try:
            await self._write(transaction, commits, outgoing, fence)
            identity = await self._commit(transaction)
        except Refused as refused:
            raise await self._ended(transaction, refused) from None
        self._is_uncertain = transaction.is_uncertain
        self._go_on_as(identity)

    async def _encoded(self, commits: Sequence[Commit]) -> list[Outgoing]:
        """Make the batches, with pauses for other tasks. A record may turn out to be too large."""
        outgoing: dict[TopicPartition, Outgoing] = {}
        for commit in commits:
            commit.places.clear()
            for partition, new in commit.records.items():
                one = outgoing.get(partition)
                if one is None:
                    limit = self._topics.batch_bytes_max(partition.topic)
                    one = outgoing[partition] = Outgoing(partition, limit)
                commit.places.append((one, one.add(new, commit.compression)))
        sequences = dict(self._sequences)
        try:
            for partition, one in outgoing.items():
                for sequence in one.encode(self._identity, sequences.get(partition, 0)):
                    sequences[partition] = sequence
                    await anyio.lowlevel.cancel_shielded_checkpoint()
        except MillpondError as error:
            raise Aborted(error) from None
        self._sequences = sequences
        return list(outgoing.values())

    async def _write(
        self,
        transaction: Transaction,
        commits: Sequence[Commit],
        outgoing: Sequence[Outgoing],
        fence: Fence | None,
    ) -> None:
        offsets = merged_by_group((commit.group, commit.offsets) for commit in commits)
        groups = dict.fromkeys(offsets)
        if fence is not None:
            groups[fence.place.group] = None
        if not self._way.own_epochs:
            await transaction.add(groups, [each.partition for each in outgoing])
        steps = [
            partial(transaction.commit_offsets, no_member(group), some)
            for group, some in offsets.items()
        ]
        if outgoing:
            steps.append(partial(transaction.write, outgoing))
        await together(steps)
        if fence is not None:
            await transaction.commit_offsets(*fence)

    async def _commit(self, transaction: Transaction) -> Identity:
        """End the transaction; as soon as that may have taken place, there is no other way out."""
        was_uncertain, transaction.is_uncertain = transaction.is_uncertain, False
        try:
            identity = await transaction.end(commit=True)
        except Refused as refused:
            if transaction.is_uncertain:
                raise self._failed_with(refused) from None
            raise
        transaction.is_uncertain |= was_uncertain
        return identity

    async def _ended(self, transaction: Transaction, refused: Refused) -> Aborted | MillpondError:
        """Abort what failed, if that can be done; return what to tell."""
        if refused.code in FENCES:
            return self._failed_with(refused)
        asking = self._transaction(max(transaction.deadline, time.monotonic() + ABORT_S))
        try:
            identity = await self._aborted(asking)
        except Refused as also:
            return self._failed_with(also if also.code in REPLACED else refused)
        self._go_on_as(identity)
        self._is_uncertain = False
        return Aborted(refused.cause, refused.code)

    async def _aborted(self, asking: Transaction) -> Identity:
        try:
            identity = await asking.end(commit=False)
        except Refused as refused:
            if refused.code not in NOTHING_OPEN:
                raise
        else:
            if identity != self._identity:
                return identity
        return await asking.init(self._timeout_ms)

    async def _begin_anew(self, deadline: float) -> None:
        """Go on in another epoch, in which nothing that is still on its way is taken."""
        try:
            identity = await self._transaction(deadline).init(self._timeout_ms)
        except Refused as refused:
            if refused.code in REPLACED:
                raise self._failed_with(refused) from None
            raise Aborted(refused.cause, refused.code) from None
        self._go_on_as(identity)
        self._is_uncertain = False

    def _go_on_as(self, identity: Identity) -> None:
        if identity != self._identity:
            self._identity = identity
            self._sequences.clear()
            self._is_uncertain = False

    def _transaction(self, deadline: float) -> Transaction:
        return Transaction(
            self.transactional_id, self._identity, self._way, self._coordinators, deadline
        )

    def _failed_with(self, refused: Refused) -> MillpondError:
        """Note why this is the end."""
        self.failed = (
            Fenced(f"a newer producer of {self.transactional_id!r} exists ({refused})")
            if refused.code in REPLACED
            else refused.cause
        )
        return self.failed
