"""Transactions on a cluster: the records of some commits and their groups' offsets, through librdkafka.

A transaction runs in a thread from begin to end, each call under what is left of one deadline. librdkafka
says of each error what it means (KIP-360): ask again, abort, or give up. What was aborted has left no
trace, and the producer goes on. Where even that is unknown, the producer ends: making a new one decides.

The order within a transaction is chosen:

1. The offsets of tasks' groups. Apache Kafka answers before it has written the markers of the last
   transaction, and refuses the first request of the next one until then. librdkafka asks again as soon
   as `retry.backoff.ms` says for offsets, but only 20 ms later for records: that halves the rate.
2. The records, until all are written.
3. The fence, if there is one: an offset in the name of a group's member. Where the coordinator takes it,
   the member had its place at a time when all else of the transaction had been told to the cluster.
   So whoever gets the member's work afterwards finds its offsets pending and waits for them, and its
   records below the log's end. With the fence first, as cheap as it would be to have a zombie's records
   refused before they are written, a member could pass it, lose its place, and write offsets and records
   that its successor has already looked for in vain.
4. The end.

Compression is a setting of librdkafka's producer, so a transactional one compresses as the log's
settings say (``compression.type``), whatever a commit asks for.
"""

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import anyio
from confluent_kafka import KafkaError, KafkaException, Producer

from ..errors import Fenced, InvalidTransactionState, MillpondError, OutOfSequence
from ..interface import RecordsByPartition
from ..model import Appended, CommittedOffset, TopicPartition
from .client import Client
from .failures import FENCING, MEMBERSHIP, error_of, served
from .group_metadata import group_metadata
from .groups import GroupOffsets, merged_by_group, to_client
from .offsets import Offsets
from .patience import NotReturned, call_for
from .producer import REFRESHES_MAX, STALE, Delivery, enqueue, refresh
from .topics import Topics

RETRY_PAUSE_S: Final = 0.05
ABORT_S: Final = 10.0
"""How long an abort may take at least, however late it is."""

SLACK_S: Final = 5.0
"""How much later than it should librdkafka may return."""

VAGUE: Final = frozenset({KafkaError._FATAL, KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT})
"""What librdkafka says of records for whose sake nothing went wrong: the next call tells the cause."""

OffsetsByPartition = Mapping[TopicPartition, CommittedOffset]


class Commit:
    """What one call of `commit` asks for, and where its records went."""

    __slots__ = ("delivery", "epochs", "error", "group", "offsets", "parts")

    def __init__(
        self,
        parts: list[RecordsByPartition],
        group: str,
        offsets: OffsetsByPartition,
        epochs: Mapping[TopicPartition, int],
    ) -> None:
        self.parts = parts
        self.group = group
        self.offsets = offsets
        self.epochs = epochs
        self.error: MillpondError | None = None
        self.delivery = Delivery(0)

    def begin(self) -> None:
        """Wait for reports anew."""
        self.delivery = Delivery(sum(len(new) for part in self.parts for new in part.values()))

    def appended(self) -> dict[TopicPartition, Appended]:
        return self.delivery.appended(self.epochs)


class Fence(NamedTuple):
    """An offset that is committed in the name of a member, which the coordinator checks."""

    group_metadata: bytes
    offsets: OffsetsByPartition


class Aborted(Exception):
    """A transaction was aborted and has left nothing; the producer goes on.

    Attributes:
        cause: why.
        code: what librdkafka calls it.
    """

    def __init__(self, cause: MillpondError, code: int) -> None:
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
        producer: Producer,
        transactional_id: str,
        client: Client,
        topics: Topics,
        offsets: Offsets,
        groups: GroupOffsets,
    ) -> None:
        self.transactional_id = transactional_id
        self.failed: MillpondError | None = None
        self._producer = producer
        self._client = client
        self._topics = topics
        self._offsets = offsets
        self._groups = groups
        self._turn = anyio.Lock(fast_acquire=True)
        self._aborted = False

    @property
    def timeout_s(self) -> float:
        """How long one may take."""
        return self._client.address.timeout_s

    async def init(self) -> None:
        """Fence the producer before, and let what it left open be decided.

        Raises:
            Unreachable, NotAuthorized: it could not be done in time, or may not.
        """

        def init() -> None:
            self._insist(self._producer.init_transactions, self._deadline())

        try:
            await self._in_thread(init)
        except KafkaException as failure:
            raise self._typed(error_of(failure)) from None

    async def prepared(
        self, records: RecordsByPartition, group: str, offsets: OffsetsByPartition
    ) -> Commit | None:
        """Return what can be carried out; None if there is nothing to do.

        Mostly this asks nobody. What it asks is asked here, so that an error of it means that nothing
        was begun.

        Raises:
            UnknownTopic, RecordTooLarge: it can't be.
        """
        await self._topics.check(records.keys())
        parts = await self._topics.split({each: new for each, new in records.items() if new})
        await self._groups.check(offsets)
        if not parts and not offsets:
            return None
        epochs = await self._offsets.leader_epochs({each for part in parts for each in part})
        return Commit(parts, group, offsets, epochs)

    async def carry_out(self, commits: Sequence[Commit], fence: Fence | None = None) -> None:
        """Carry out commits as one transaction. Once begun, it is brought to its end.

        Raises:
            Aborted: nothing was committed.
            MillpondError: this can't go on, as `failed` tells from now on.
        """
        after_abort, self._aborted = self._aborted, False
        with anyio.CancelScope(shield=True):
            try:
                await self._in_thread(lambda: self._carry_out(commits, fence))
            except Aborted as aborted:
                # Of a record that the broker refuses librdkafka keeps the sequence number, which spoils
                # the next transaction, too, before anything of it was sent.
                if not (after_abort and isinstance(aborted.cause, OutOfSequence)):
                    raise
                await self._in_thread(lambda: self._carry_out(commits, fence))

    def check(self) -> None:
        """Refuse to go on after a failure."""
        if isinstance(self.failed, Fenced):
            raise Fenced(str(self.failed)) from self.failed
        if self.failed is not None:
            raise InvalidTransactionState(
                f"the last commit of {self.transactional_id!r} failed ({self.failed}); "
                "whether it took place is decided by making a new producer"
            ) from self.failed

    def close(self) -> None:
        """Give up what is open, and let librdkafka end."""
        self._producer.purge()
        with contextlib.suppress(KafkaException):
            served(self._producer.flush, 1)

    # -- in a thread ---------------------------------------------------------------------------

    async def _in_thread(self, call: Callable[[], None]) -> None:
        """Call; when it does not return, this can't go on, and nobody knows what came of it."""
        try:
            async with self._turn:
                await call_for(self.timeout_s + ABORT_S + SLACK_S, call)
        except NotReturned as error:
            self.failed = self._client.unreachable(f"{self.transactional_id!r}: {error}")
            raise self.failed from error

    def _carry_out(self, commits: Sequence[Commit], fence: Fence | None) -> None:
        deadline = self._deadline()
        for commit in commits:
            commit.begin()
        try:
            self._producer.begin_transaction()
            merged = merged_by_group((commit.group, commit.offsets) for commit in commits)
            for group, offsets in merged.items():
                self._send_offsets(offsets, group_metadata(group), deadline)
            if any(commit.parts for commit in commits):
                self._send(commits, deadline)
            if fence is not None:
                self._send_offsets(fence.offsets, fence.group_metadata, deadline)
            self._insist(self._producer.commit_transaction, deadline)
        except KafkaException as failure:
            raise self._ended(error_of(failure), commits, deadline) from None

    def _send_offsets(
        self, offsets: OffsetsByPartition, group_metadata: bytes, deadline: float
    ) -> None:
        told = to_client(offsets)
        self._insist(
            lambda left: self._producer.send_offsets_to_transaction(told, group_metadata, left),
            deadline,
        )

    def _send(self, commits: Sequence[Commit], deadline: float) -> None:
        """Append, and wait until all is written.

        Of a topic with a small limit, only what fits into one batch is sent at once.
        """
        full: set[TopicPartition] = set()
        for commit in commits:
            for part in commit.parts:
                if not full.isdisjoint(part):
                    self._flush(commits, deadline)
                    full.clear()
                for partition, new in part.items():
                    self._enqueue(partition, new, commit.delivery)
                full.update(filter(self._topics.has_small_batches, part))
        self._flush(commits, deadline)
        if not all(commit.delivery.is_complete for commit in commits):
            raise KafkaException(KafkaError(KafkaError._MSG_TIMED_OUT))

    def _enqueue(self, partition: TopicPartition, new: Sequence[Any], delivery: Delivery) -> None:
        report, sent, tries = delivery.part(partition), 0, 0
        while sent < len(new):
            try:
                sent += enqueue(self._producer, partition, new[sent:] if sent else new, report)
            except KafkaException as failure:
                tries += 1
                if error_of(failure).code() not in STALE or tries > REFRESHES_MAX:
                    raise
                refresh(self._producer, partition.topic)
            if sent < len(new):
                served(self._producer.poll, RETRY_PAUSE_S)

    def _flush(self, commits: Sequence[Commit], deadline: float) -> None:
        served(self._producer.flush, max(deadline - time.monotonic(), 0.1))
        if (error := _clear_error(commits)) is not None:
            raise KafkaException(error)

    def _ended(
        self, error: KafkaError, commits: Sequence[Commit], deadline: float
    ) -> Aborted | MillpondError:
        """Abort what failed, if that can be done; return what to tell."""
        told = _clear_error(commits) or error
        cause = self._typed(told)
        if error.fatal() or _fences(error):
            self.failed = cause
            return cause
        try:
            self._insist(
                self._producer.abort_transaction, max(deadline, time.monotonic() + ABORT_S)
            )
        except KafkaException as failure:
            also = error_of(failure)
            self.failed = self._typed(also) if _fences(also) else cause
            return self.failed
        self._aborted = True
        return Aborted(cause, told.code())

    def _insist(self, call: Callable[[float], Any], deadline: float) -> None:
        """Call until it succeeds, or an error is final, or the time is over."""
        while True:
            left = deadline - time.monotonic()
            try:
                call(max(left, 0.1))
            except KafkaException as failure:
                if left <= 0 or not error_of(failure).retriable():
                    raise
                time.sleep(RETRY_PAUSE_S)
            else:
                return

    def _deadline(self) -> float:
        return time.monotonic() + self.timeout_s

    def _typed(self, error: KafkaError) -> MillpondError:
        if _fences(error):
            return Fenced(
                f"a newer producer of {self.transactional_id!r} exists, or its transaction was open "
                f"for longer than transaction.timeout.ms ({error.str()})"
            )
        return self._client.typed(error, f"transactional id {self.transactional_id!r}")


def _clear_error(commits: Sequence[Commit]) -> KafkaError | None:
    """Return the first error of a record that tells a cause."""
    errors = (commit.delivery.error for commit in commits)
    return next((error for error in errors if error and error.code() not in VAGUE), None)


def _fences(error: KafkaError) -> bool:
    return error.code() in FENCING and error.code() not in MEMBERSHIP
