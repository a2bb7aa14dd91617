"""Fetch, versions 4 to 17: read batches from partitions, waiting until there is enough of them.

- The answer comes when there are `min_bytes`, when one of the partitions has something wrong with it,
  or when `max_wait_ms` have passed. Nothing polls: whatever may change what a reader finds wakes it
  up, and then only sizes are looked at; batches are read once, for the answer.
- Partitions are served in the order of the request, which every client rotates. `max_bytes` and each
  `partition_max_bytes` hold, except that the first batch found is sent however large it is, or a
  reader would be stuck at it (KIP-74). Batches are never split.
- Readers stop at the high watermark; committed ones at the last stable offset, and get the aborted
  transactions among what they read (KIP-98).
- Sessions are not kept: every answer says session 0, and so every request is a whole one (KIP-227). A
  request that goes on with a session is told FETCH_SESSION_ID_NOT_FOUND, and starts over.
- From version 13 on topics are named by id (KIP-516). An id belongs to one topic for ever, so what
  was removed, and made again under its name, is UNKNOWN_TOPIC_ID. INCONSISTENT_TOPIC_ID is only
  about sessions.
- A request that says which leader epoch it knows, or has read last, is told when that is history
  (KIP-320, KIP-595).
- Deviation: OFFSET_OUT_OF_RANGE comes with the log's real bounds, where Kafka says -1.
"""

from collections.abc import Collection
from dataclasses import dataclass
from itertools import islice
from typing import Final
from uuid import UUID

from ...errors import LogError, OffsetOutOfRange
from ...model import Isolation, TopicPartition
from ...storage.aborted import AbortedTransaction as Aborted
from ...storage.partition_log import PartitionLog
from ...storage.reading import Readable
from ...wire.error_codes import ErrorCode
from ...wire.messages.fetch import (
    FETCH,
    AbortedTransaction,
    EpochEndOffset,
    FetchableTopicResponse,
    FetchPartition,
    FetchRequest,
    FetchResponse,
    PartitionData,
)
from ..node import Caller, Node
from ..waits import Change, Handling
from .checks import epoch_error, isolation_of
from .failures import error_code

_IDS_SINCE: Final = 13
_WHOLE: Final = {0, -1}
"""Session epochs of a request that names all that it wants."""
_SAME_HISTORY: Final = EpochEndOffset()


def fetch(node: Node, request: FetchRequest, caller: Caller) -> Handling[FetchResponse]:
    """Read, and wait if there is less than was asked for."""
    if request.session_epoch not in _WHOLE:
        return FetchResponse(error_code=ErrorCode.FETCH_SESSION_ID_NOT_FOUND, responses=[])
    until_ms = node.clock.elapsed_ms() + request.max_wait_ms
    bytes_max = min(request.max_bytes, node.settings.fetch_max_bytes)
    bytes_min = min(request.min_bytes, bytes_max)
    reader = _Reader(
        node,
        isolation_of(request.isolation_level),
        max(request.replica_id, request.replica_state.replica_id),
    )
    places = [
        _Place(topic.topic if caller.version < _IDS_SINCE else topic.topic_id, one)
        for topic in request.topics
        for one in topic.partitions
    ]
    in_time = True  # until the time is up, or the connection is to be closed
    while True:
        size = sum([place.look(reader) for place in places])
        wait_ms = until_ms - node.clock.elapsed_ms()
        settled = not places or any(place.answer is not None for place in places)
        if settled or size >= bytes_min or wait_ms <= 0 or not in_time:
            break
        waits_at = [place.log.partition for place in places if place.log is not None]
        in_time = yield Change(waits_at, wait_ms)
    _read(reader, places, bytes_max)
    return FetchResponse(responses=_by_topic(node, request, places))


def _read(reader: "_Reader", places: Collection["_Place"], bytes_max: int) -> None:
    """Read what was found, in the order of the request, as far as the limits allow."""
    left, first = bytes_max, True
    for place in places:
        if place.answer is None:
            size = place.read(reader, left, at_least_one=first)
            left -= size
            first = first and not size


def _by_topic(
    node: Node, request: FetchRequest, places: Collection["_Place"]
) -> list[FetchableTopicResponse]:
    """Put the answers together as the request was, and count them."""
    following = iter(places)
    topics = []
    for topic in request.topics:
        those = list(islice(following, len(topic.partitions)))
        answers = [place.answer for place in those if place.answer is not None]
        _count(node, next((place.log for place in those if place.log is not None), None), answers)
        topics.append(
            FetchableTopicResponse(topic=topic.topic, topic_id=topic.topic_id, partitions=answers)
        )
    return topics


def _count(node: Node, log: PartitionLog | None, answers: Collection[PartitionData]) -> None:
    """Count what a topic was asked for."""
    if log is not None:
        counts = node.metrics.topic(log.partition.topic)
        counts.fetch_requests += 1
        counts.bytes_out += sum([len(answer.records or b"") for answer in answers])
    for answer in answers:
        if answer.error_code:
            node.metrics.api(FETCH.key).errors[answer.error_code] += 1


@dataclass(frozen=True, slots=True)
class _Reader:
    """Who reads, and where."""

    node: Node
    isolation: Isolation
    replica_id: int


class _Place:
    """One partition of a request: what was found there, and what is answered."""

    __slots__ = ("answer", "asked", "found", "log", "seen", "topic")

    def __init__(self, topic: str | UUID, asked: FetchPartition) -> None:
        self.topic = topic
        self.asked = asked
        self.log: PartitionLog | None = None
        self.found: Readable | None = None
        self.seen: tuple[object, ...] = ()
        self.answer: PartitionData | None = None
        """Before anything is read: why nothing will be, so there is nothing to wait for."""

    def look(self, reader: _Reader) -> int:
        """Find what there is to be read by now; return how many bytes of it are asked for."""
        try:
            self._find(reader)
        except LogError as error:
            self._fail(error_code(error))
        return min(self.found.size, self.asked.partition_max_bytes) if self.found else 0

    def _find(self, reader: _Reader) -> None:
        log = self.log = self._log_now(reader.node)
        if log is None:
            return
        limit = log.end_for(reader.isolation)
        seen = (log, limit, log.log_start_offset)
        if self.found is None and seen == self.seen:
            return
        self.seen = seen
        code = self._refusal(log, reader)
        if code:
            self._fail(code)
        elif self.asked.last_fetched_epoch < 0 or self._is_on(log):
            self.found = log.find(self.asked.fetch_offset, limit)

    def _log_now(self, node: Node) -> PartitionLog | None:
        topics = node.broker.metadata
        if isinstance(self.topic, UUID):
            topic = topics.topics_by_id.get(self.topic)
            missing = ErrorCode.UNKNOWN_TOPIC_ID
        else:
            topic = topics.topics.get(self.topic)
            missing = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
        if topic is None:
            self._fail(missing)
            return None
        log = node.broker.partitions.get(TopicPartition(topic.name, self.asked.partition))
        if log is None:
            self._fail(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
        return log

    def _refusal(self, log: PartitionLog, reader: _Reader) -> ErrorCode:
        if reader.replica_id >= 0:  # nobody else keeps a replica
            return ErrorCode.NOT_LEADER_OR_FOLLOWER
        return epoch_error(log, self.asked.current_leader_epoch)

    def _is_on(self, log: PartitionLog) -> bool:
        """Say whether what the reader has read last is part of this log; if not, answer so."""
        asked = self.asked
        known = log.epoch_end(asked.last_fetched_epoch)
        if known.end_offset < 0:
            raise OffsetOutOfRange(
                log.partition, asked.fetch_offset, log.log_start_offset, log.log_end_offset
            )
        if known.leader_epoch < asked.last_fetched_epoch or known.end_offset < asked.fetch_offset:
            diverging = EpochEndOffset(epoch=known.leader_epoch, end_offset=known.end_offset)
            self._answer(diverging=diverging)
            return False
        return True

    def read(self, reader: _Reader, left: int, *, at_least_one: bool) -> int:
        """Read what was found, if it may be; return how many bytes that are."""
        room = max(min(self.asked.partition_max_bytes, left), 0)
        data: bytes | memoryview = b""
        aborted: list[Aborted] = []
        log = self.log
        if self.found is not None and log is not None and (room or at_least_one):
            try:
                data, aborted = log.take(self.found, room, reader.isolation)
            except LogError as error:
                self._fail(error_code(error))
                return 0
            if len(data) > room and not at_least_one:
                data, aborted = b"", []
        listed = None
        if reader.isolation is Isolation.READ_COMMITTED:
            listed = [
                AbortedTransaction(producer_id=one.producer_id, first_offset=one.first_offset)
                for one in aborted
            ]
        self._answer(records=data, aborted=listed)
        return len(data)

    def _fail(self, code: ErrorCode) -> None:
        self.found = None
        self._answer(code)

    def _answer(
        self,
        code: ErrorCode = ErrorCode.NONE,
        *,
        records: bytes | memoryview = b"",
        aborted: list[AbortedTransaction] | None = None,
        diverging: EpochEndOffset = _SAME_HISTORY,
    ) -> None:
        log = self.log
        self.answer = PartitionData(
            partition_index=self.asked.partition,
            error_code=code,
            high_watermark=log.high_watermark if log else -1,
            last_stable_offset=log.last_stable_offset if log else -1,
            log_start_offset=log.log_start_offset if log else -1,
            diverging_epoch=diverging,
            aborted_transactions=aborted,
            records=records,
        )
