"""Reads a cluster: what librdkafka has fetched is taken off its queue in a thread, many at a time.

librdkafka prefetches all assigned partitions. A thread takes whatever is there, makes records of it,
and puts them behind each partition's earlier ones; `read` hands them over from there, in turns. So a
cancelled read loses nothing: what its thread still brings is there for the next one.

Where a partition ends, librdkafka says so with the next offset that there will be: that is how the
position moves beyond markers and aborted records. A record's own offset only ever moves it to the
next one.

librdkafka does not always tell that a topic is gone. So a reader that waits in vain asks for its
topics now and then. One answer is not enough: in a large cluster some broker may not know a topic
yet.

librdkafka is told to pause a partition only when records of it arrive while it is paused, because
it then throws away what it has prefetched: pausing for a moment costs nothing.
"""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple
from uuid import UUID

import anyio
import anyio.lowlevel
import anyio.to_thread
from confluent_kafka import Consumer, KafkaError, KafkaException, Message
from confluent_kafka import TopicPartition as ClientPartition

from ..errors import LogError, OffsetOutOfRange, UnknownTopic
from ..model import Fetched, Headers, Isolation, Offset, Timestamp, TopicPartition
from .failures import error_of, translated
from .offsets import Offsets
from .topics import Topics

MESSAGES_AT_ONCE: Final = 5000
SLICE_S: Final = 0.05
"""How long a thread waits for records before it looks whether anything else has changed."""

EVEN_S: Final = 0.1
"""How long a new assignment may take until each partition that has records has brought some."""

BUFFER_BYTES_MAX: Final = 16 << 20
"""Nothing more is taken off librdkafka's queue, for the sake of those who lag, once this much waits."""

LOOK_S: Final = 1.0
"""How often a reader that waits looks whether its topics still exist."""

OUT_OF_RANGE: Final = frozenset(
    {KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE, KafkaError._LOG_TRUNCATION}
)


class ClusterRecord(NamedTuple):
    """A record as it stands in the log."""

    offset: Offset
    timestamp: Timestamp
    key: bytes | None
    value: bytes | None
    headers: Headers


@dataclass(slots=True)
class Arrived:
    """What has come of one partition and was not handed over yet; `next_offset` follows it."""

    next_offset: Offset
    end_offset: Offset
    leader_epoch: int
    records: list[ClusterRecord] = field(default_factory=list)
    bytes: int = 0
    is_all: bool = False
    error: KafkaError | None = None

    def merge(self, later: "Arrived") -> None:
        """Put behind this what came later."""
        if later.records:
            self.records = [*self.records, *later.records] if self.records else later.records
            self.bytes += later.bytes
            self.leader_epoch = later.leader_epoch
        self.next_offset = max(self.next_offset, later.next_offset)
        self.end_offset = max(later.end_offset, self.next_offset)
        self.is_all = later.is_all
        self.error = self.error or later.error


class ClusterReader:
    """A `Reader` with a consumer of its own, which is no member of any group."""

    def __init__(
        self, make_consumer: Callable[[], Consumer], topics: Topics, offsets: Offsets
    ) -> None:
        self._make_consumer = make_consumer
        self._topics = topics
        self._offsets = offsets
        self._consumer: Consumer | None = None
        self._thread = anyio.CapacityLimiter(1)  # librdkafka's consumer has one user at a time
        self._lock = threading.Lock()  # of what follows, which its thread changes, too
        self._assignment = 0
        self._begun = True
        self._closed = False
        self._positions: dict[TopicPartition, Offset] = {}
        self._arrived: dict[TopicPartition, Arrived] = {}
        self._paused: set[TopicPartition] = set()
        self._held: set[TopicPartition] = set()
        self._broken: KafkaError | None = None
        self._topic_ids: dict[str, UUID] = {}
        self._missed: set[str] = set()
        self._next_look = 0.0
        self._known_ends: dict[TopicPartition, Offset] = {}
        self._told_ends: dict[TopicPartition, Offset] = {}

    def assign(self, positions: Mapping[TopicPartition, Offset]) -> None:
        with self._lock:
            self._assignment += 1
            self._begun = False
            self._positions = dict(positions)
            self._arrived = {}
            self._told_ends = {}
            self._paused = set()

    def pause(self, partitions: Iterable[TopicPartition]) -> None:
        with self._lock:
            self._paused.update(partitions)

    def resume(self, partitions: Iterable[TopicPartition]) -> None:
        with self._lock:
            self._paused.difference_update(partitions)

    async def read(
        self, *, bytes_max: int = 1 << 20, wait_max_s: float | None = None
    ) -> list[Fetched]:
        await anyio.lowlevel.checkpoint()
        deadline = None if wait_max_s is None else time.monotonic() + wait_max_s
        while True:
            if not self._begun:
                await self._begin()
            elif self._is_uneven():
                await self._pump(0)
            found = self._take(bytes_max)
            if found:
                return found
            await self._raise_failure()
            if time.monotonic() > self._next_look:
                await self._look_for_topics()
            left = SLICE_S if deadline is None else min(deadline - time.monotonic(), SLICE_S)
            if left <= 0 and wait_max_s != 0:
                return []
            await self._pump(max(left, 0))
            if wait_max_s == 0:
                return self._take(bytes_max)

    async def aclose(self) -> None:
        self.assign({})
        self._begun = self._closed = True
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(consumer.close, limiter=self._thread)

    # -- with librdkafka, in a thread ----------------------------------------------------------

    async def _begin(self) -> None:
        """Let librdkafka fetch what is assigned, once it is known to exist."""
        assignment, positions = self._assignment, dict(self._positions)
        self._topics.forget({partition.topic for partition in positions})
        ends = await self._offsets.ends(positions, Isolation.READ_UNCOMMITTED)
        self._topic_ids = await self._topics.ids({partition.topic for partition in positions})
        self._missed, self._next_look = set(), time.monotonic() + LOOK_S
        starts = await self._offsets.starts(positions)
        for partition, offset in positions.items():
            if not starts[partition] <= offset <= ends[partition]:
                raise OffsetOutOfRange(partition, offset, starts[partition], ends[partition])
        await self._in_thread(lambda: self._assign(assignment, positions))
        self._known_ends = ends
        even_by = time.monotonic() + EVEN_S
        while self._is_uneven() and time.monotonic() < even_by:
            await self._pump(SLICE_S / 10)

    def _is_uneven(self) -> bool:
        """Whether some partition has nothing here, but in the log: then it is to catch up first."""
        with self._lock:
            total = sum(arrived.bytes for arrived in self._arrived.values())
            return total < BUFFER_BYTES_MAX and any(
                offset < self._known_ends.get(partition, 0)
                and partition not in self._arrived
                and partition not in self._paused
                for partition, offset in self._positions.items()
            )

    async def _look_for_topics(self) -> None:
        """Raise UnknownTopic when a topic was missed twice, or another one has its name."""
        found = await self._topics.ids(self._topic_ids)
        missing = {name for name, its_id in self._topic_ids.items() if found.get(name) != its_id}
        for name in sorted(missing & self._missed):
            raise UnknownTopic(f"topic {name!r} does not exist any longer")
        self._missed, self._next_look = missing, time.monotonic() + LOOK_S

    async def _pump(self, wait_s: float) -> None:
        if self._consumer is None or not self._positions:
            await anyio.sleep(wait_s)
            return
        await self._in_thread(lambda: self._receive(wait_s))

    async def _in_thread(self, call: Callable[[], None]) -> None:
        await anyio.to_thread.run_sync(call, abandon_on_cancel=True, limiter=self._thread)

    def _assign(self, assignment: int, positions: Mapping[TopicPartition, Offset]) -> None:
        if self._closed:
            return
        if self._consumer is None:
            self._consumer = self._make_consumer()
        self._consumer.assign([ClientPartition(*each, at) for each, at in positions.items()])
        with self._lock:
            self._held = set()
            if assignment == self._assignment:
                self._begun = True

    def _receive(self, wait_s: float) -> None:
        consumer = self._consumer
        if consumer is None:
            return
        with self._lock:
            assignment = self._assignment
        self._hold(consumer)
        first = consumer.poll(wait_s)
        if first is None:
            return
        arrived = self._sorted([first, *consumer.consume(MESSAGES_AT_ONCE, 0)], consumer)
        with self._lock:
            if assignment != self._assignment or not self._begun:
                return
            for partition, later in arrived.items():
                if partition in self._arrived:
                    self._arrived[partition].merge(later)
                elif partition in self._positions:
                    later.next_offset = max(later.next_offset, self._positions[partition])
                    self._arrived[partition] = later
                self._known_ends[partition] = max(later.end_offset, later.next_offset)

    def _hold(self, consumer: Consumer) -> None:
        """Let librdkafka fetch no more of paused partitions of which there is enough already."""
        with self._lock:
            full = {p for p in self._paused if p in self._arrived and self._arrived[p].records}
            pausing, resuming = full - self._held, self._held - self._paused
            self._held = (self._held | pausing) - resuming
        try:
            if pausing:
                consumer.pause([ClientPartition(*each) for each in pausing])
            if resuming:
                consumer.resume([ClientPartition(*each) for each in resuming])
        except KafkaException as failure:
            raise translated(error_of(failure), "reading") from None

    def _sorted(self, messages: list[Message], consumer: Consumer) -> dict[TopicPartition, Arrived]:
        """Make records of messages, by partition."""
        records: defaultdict[TopicPartition, list[ClusterRecord]] = defaultdict(list)
        sizes: defaultdict[TopicPartition, int] = defaultdict(int)
        arrived: dict[TopicPartition, Arrived] = {}
        last: dict[TopicPartition, Message] = {}
        for message in messages:
            error = message.error()
            topic, number = message.topic(), message.partition()
            if error is not None:
                self._note(error, message, arrived)
                continue
            assert topic is not None
            assert number is not None
            partition = TopicPartition(topic, number)
            key, value = message.key(), message.value()
            records[partition].append(
                ClusterRecord(
                    message.offset(),  # type: ignore[arg-type]
                    message.timestamp()[1],
                    key,
                    value,
                    message.headers() or (),  # type: ignore[arg-type]
                )
            )
            sizes[partition] += len(value or b"") + len(key or b"")
            last[partition] = message
        for partition, some in records.items():
            _low, high = consumer.get_watermark_offsets(ClientPartition(*partition), cached=True)
            next_offset = some[-1].offset + 1
            one = Arrived(
                next_offset,
                max(high, next_offset),
                _epoch(last[partition]),
                some,
                sizes[partition],
            )
            if partition in arrived:
                one.merge(arrived[partition])
            arrived[partition] = one
        return arrived

    def _note(
        self, error: KafkaError, message: Message, arrived: dict[TopicPartition, Arrived]
    ) -> None:
        """Note what is no record: the end of a partition, or an error."""
        topic, number, offset = message.topic(), message.partition(), message.offset()
        if topic is None or number is None or number < 0:
            if error.fatal():
                self._broken = error
            return
        is_end = error.code() == KafkaError._PARTITION_EOF
        at = offset if is_end and offset is not None else 0
        one = Arrived(at, at, -1, is_all=is_end, error=None if is_end else error)
        partition = TopicPartition(topic, number)
        if partition in arrived:
            arrived[partition].merge(one)
        else:
            arrived[partition] = one

    # -- what is handed over -------------------------------------------------------------------

    def _take(self, bytes_max: int) -> list[Fetched]:
        """Take what has arrived, in turns; who was served goes to the end."""
        with self._lock:
            ready = [
                (partition, self._arrived[partition])
                for partition in self._positions
                if partition in self._arrived
                and partition not in self._paused
                and self._has_news(partition, self._arrived[partition])
            ]
            fetched = []
            for served, (partition, arrived) in enumerate(ready):
                if bytes_max <= 0:
                    break
                share = bytes_max // (len(ready) - served)
                size, one = _cut(partition, arrived, share)
                bytes_max -= size
                del self._positions[partition]
                self._positions[partition] = one.next_offset
                if not arrived.records and arrived.error is None:
                    del self._arrived[partition]
                self._told_ends[partition] = one.end_offset
                fetched.append(one)
            return fetched

    def _has_news(self, partition: TopicPartition, arrived: Arrived) -> bool:
        """Whether there is something to hand over: what moves the position, or corrects the end."""
        position = self._positions[partition]
        if arrived.next_offset > position:
            return True
        return arrived.is_all and self._told_ends.get(partition, position) > position

    async def _raise_failure(self) -> None:
        """Raise what librdkafka has said of a partition, once all before it was handed over."""
        with self._lock:
            failed = [
                (partition, arrived.error)
                for partition, arrived in self._arrived.items()
                if arrived.error is not None and partition not in self._paused
            ]
        for partition, error in failed:
            if error.code() in OUT_OF_RANGE:
                starts = await self._offsets.starts([partition])
                ends = await self._offsets.ends([partition], Isolation.READ_UNCOMMITTED)
                at = self._positions.get(partition, -1)
                raise OffsetOutOfRange(partition, at, starts[partition], ends[partition])
            ours = translated(error, partition)
            if not isinstance(ours, UnknownTopic):
                raise ours
            with self._lock:  # begin again, which raises it if it is so
                self._arrived = {}
                self._begun = False
        if self._broken is not None:
            raise LogError(f"this reader can't go on: {self._broken.str()} ({self._broken.name()})")


def _cut(partition: TopicPartition, arrived: Arrived, share: int) -> tuple[int, Fetched]:
    """Take from what has arrived as much as the share allows, at least one record."""
    records = arrived.records
    if arrived.bytes <= share or len(records) <= 1:
        size, taken, next_offset = arrived.bytes, records, arrived.next_offset
        arrived.records, arrived.bytes = [], 0
    else:
        size = count = 0
        for record in records:
            more = len(record.value or b"") + len(record.key or b"")
            if count and size + more > share:
                break
            count, size = count + 1, size + more
        taken = records[:count]
        arrived.records, arrived.bytes = records[count:], arrived.bytes - size
        next_offset = taken[-1].offset + 1
        if not arrived.records:
            next_offset = arrived.next_offset
    end_offset = max(arrived.end_offset, next_offset)
    return size, Fetched(partition, taken, next_offset, end_offset, arrived.leader_epoch)


def _epoch(message: Message) -> int:
    leader_epoch = message.leader_epoch()
    return -1 if leader_epoch is None else leader_epoch
