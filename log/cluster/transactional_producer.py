"""Commits to a cluster: records and a group's offsets in one transaction, through librdkafka.

A commit runs in a thread from begin to end, each call under what is left of one deadline. librdkafka
says of each error what it means (KIP-360): ask again, abort, or give up. What was aborted has left
no trace, and the producer goes on. Where even that is unknown, the producer ends: making a new one
decides.

Compression is a setting of librdkafka's producer, so a transactional one compresses as the log's
settings say (``compression.type``), whatever a commit asks for.
"""

import contextlib
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

import anyio
import anyio.to_thread
from confluent_kafka import KafkaError, KafkaException, Producer

from ..errors import Fenced, InvalidTransactionState, MillpondError, OutOfSequence
from ..interface import RecordsByPartition
from ..model import Appended, CommittedOffset, Compression, TopicPartition
from .client import Client
from .failures import FENCING, error_of, served
from .groups import GroupOffsets, to_client
from .offsets import Offsets
from .producer import REFRESHES_MAX, STALE, Delivery, enqueue, refresh
from .topics import Topics

T = TypeVar("T")

RETRY_PAUSE_S: Final = 0.05
VAGUE: Final = frozenset({KafkaError._FATAL, KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT})
"""What librdkafka says of records for whose sake nothing went wrong: the next call tells the cause."""

GroupMetadata = Callable[[str], object]
"""Returns what librdkafka knows of a member of a group; or of somebody who is none."""


class ClusterTransactionalProducer:
    """A `TransactionalProducer`, made with `make`."""

    def __init__(
        self,
        producer: Producer,
        transactional_id: str,
        client: Client,
        topics: Topics,
        offsets: Offsets,
        groups: GroupOffsets,
        group_metadata: GroupMetadata,
    ) -> None:
        self._producer = producer
        self._transactional_id = transactional_id
        self._client = client
        self._topics = topics
        self._offsets = offsets
        self._groups = groups
        self._group_metadata = group_metadata
        self._turn = anyio.Lock(fast_acquire=True)
        self._thread = anyio.CapacityLimiter(1)
        self._failed: MillpondError | None = None
        self._aborted = False

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

    async def commit(
        self,
        records: RecordsByPartition,
        *,
        group: str,
        offsets: Mapping[TopicPartition, CommittedOffset],
        compression: Compression = Compression.NONE,
    ) -> dict[TopicPartition, Appended]:
        async with self._turn:
            self._check()
            await self._topics.check(records.keys())
            parts = await self._topics.split({each: new for each, new in records.items() if new})
            await self._groups.check(offsets)
            if not parts and not offsets:
                return {}
            # Once begun, it is brought to its end: nobody could tell what a cancelled one has done.
            with anyio.CancelScope(shield=True):
                delivery = await self._in_thread(lambda: self._commit_once(parts, group, offsets))
                epochs = await self._offsets.leader_epochs(delivery.parts)
        return delivery.appended(epochs)

    def close(self) -> None:
        """Give up what is open, and let librdkafka end."""
        self._producer.purge()
        with contextlib.suppress(KafkaException):
            served(self._producer.flush, 1)

    # -- in a thread ---------------------------------------------------------------------------

    async def _in_thread(self, call: Callable[[], T]) -> T:
        return await anyio.to_thread.run_sync(call, limiter=self._thread)

    def _commit_once(
        self,
        parts: list[RecordsByPartition],
        group: str,
        offsets: Mapping[TopicPartition, CommittedOffset],
    ) -> Delivery:
        """Commit; again, if librdkafka has lost count after what was aborted before.

        Of a record that the broker refuses librdkafka keeps the sequence number, which spoils the next
        transaction, too, before anything of it was sent.
        """
        after_abort, self._aborted = self._aborted, False
        try:
            return self._commit(parts, group, offsets)
        except OutOfSequence:
            if not (after_abort and self._aborted):
                raise
        return self._commit(parts, group, offsets)

    def _commit(
        self,
        parts: list[RecordsByPartition],
        group: str,
        offsets: Mapping[TopicPartition, CommittedOffset],
    ) -> Delivery:
        deadline = self._deadline()
        delivery = Delivery(sum(len(new) for part in parts for new in part.values()))
        try:
            self._producer.begin_transaction()
            for part in parts:
                self._send(part, delivery, deadline)
            if offsets:
                metadata = self._group_metadata(group)
                self._insist(
                    lambda left: self._producer.send_offsets_to_transaction(
                        to_client(offsets), metadata, left
                    ),
                    deadline,
                )
            self._insist(self._producer.commit_transaction, deadline)
        except KafkaException as failure:
            raise self._ended(error_of(failure), delivery.error, deadline) from None
        return delivery

    def _send(self, records: RecordsByPartition, delivery: Delivery, deadline: float) -> None:
        """Append, and wait for what was appended."""
        for partition, new in records.items():
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
        served(self._producer.flush, max(deadline - time.monotonic(), 0.1))
        if delivery.error is not None and delivery.error.code() not in VAGUE:
            raise KafkaException(delivery.error)

    def _ended(
        self, error: KafkaError, of_delivery: KafkaError | None, deadline: float
    ) -> MillpondError:
        """Abort what failed, if that can be done; return what to tell."""
        tells_more = of_delivery is not None and of_delivery.code() not in VAGUE
        cause = self._typed(of_delivery if of_delivery and tells_more else error)
        if error.fatal() or _fences(error):
            self._failed = cause
            return cause
        try:
            self._insist(self._producer.abort_transaction, max(deadline, self._deadline() - 20))
        except KafkaException as failure:
            also = error_of(failure)
            self._failed = self._typed(also) if _fences(also) else cause
            return self._failed
        self._aborted = True
        return cause

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
        return time.monotonic() + self._client.address.timeout_s

    # -- errors --------------------------------------------------------------------------------

    def _typed(self, error: KafkaError) -> MillpondError:
        if _fences(error):
            return Fenced(f"a newer producer of {self._transactional_id!r} exists ({error.str()})")
        return self._client.typed(error, f"transactional id {self._transactional_id!r}")

    def _check(self) -> None:
        if isinstance(self._failed, Fenced):
            raise Fenced(str(self._failed)) from self._failed
        if self._failed is not None:
            raise InvalidTransactionState(
                f"the last commit of {self._transactional_id!r} failed ({self._failed}); "
                "whether it took place is decided by making a new producer"
            ) from self._failed


def _fences(error: KafkaError) -> bool:
    return error.code() in FENCING
