"""Appends to a cluster: idempotent, through librdkafka's queue.

All producers of one log share librdkafka's, one for each compression: its batches get fuller, and
it takes librdkafka up to a second to get a producer id. One thread for each serves the delivery
reports; they are gathered per call of `append`, and only the last one wakes the task that waits.

Back-pressure is librdkafka's queue: when it is full, `append` waits.

librdkafka takes the timestamp 0 for "now". A record of that very millisecond, 1970-01-01T00:00:00Z,
is sent as one of the next.
"""

import contextlib
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import anyio
import anyio.lowlevel
import anyio.to_thread
from confluent_kafka import KafkaError, KafkaException, Message
from confluent_kafka import Producer as ClientProducer

from ..interface import RecordsByPartition
from ..model import Appended, Compression, NewRecord, Offset, TopicPartition
from .client import Client
from .failures import error_of, served
from .offsets import Offsets
from .topics import Topics

POLL_S: Final = 0.2
FULL_PAUSE_S: Final = 0.01
REFRESH_S: Final = 5.0
REFRESHES_MAX: Final = 20
STALE: Final = frozenset({KafkaError._UNKNOWN_PARTITION, KafkaError._UNKNOWN_TOPIC})
"""What librdkafka says of what exists, as far as we know, and was made a moment ago."""

RECORDS_AT_ONCE: Final = 1000
"""So many records go into librdkafka's queue before other tasks get their turn."""

FIRST_MOMENT_MS: Final = 1


class PartDelivery:
    """The delivery reports of one partition in one call."""

    __slots__ = ("_call", "end", "start")

    def __init__(self, call: "Delivery") -> None:
        self._call = call
        self.start: Offset | None = None
        self.end: Offset = -1

    def __call__(self, error: KafkaError | None, message: Message) -> None:
        if error is None:
            offset = message.offset()
            assert offset is not None
            if self.start is None or offset < self.start:
                self.start = offset
            if offset >= self.end:
                self.end = offset + 1
        self._call.report(error)


class Delivery:
    """The delivery reports of one call: complete when each record has one.

    Whoever serves librdkafka reports; `on_complete` is called in that thread.
    """

    def __init__(self, count: int, on_complete: Callable[[], None] = lambda: None) -> None:
        self.parts: dict[TopicPartition, PartDelivery] = {}
        self.error: KafkaError | None = None
        self._left = count
        self._on_complete = on_complete

    @property
    def is_complete(self) -> bool:
        return not self._left

    def part(self, partition: TopicPartition) -> PartDelivery:
        return self.parts.setdefault(partition, PartDelivery(self))

    def report(self, error: KafkaError | None) -> None:
        if error is not None and self.error is None:
            self.error = error
        self._left -= 1
        if not self._left:
            self._on_complete()

    def include(self, earlier: "Delivery") -> None:
        """Count what another call has delivered as part of this one."""
        for partition, part in earlier.parts.items():
            if part.start is not None:
                mine = self.part(partition)
                mine.start = part.start if mine.start is None else min(mine.start, part.start)
                mine.end = max(mine.end, part.end)

    def appended(
        self, leader_epochs: Mapping[TopicPartition, int]
    ) -> dict[TopicPartition, Appended]:
        """Return where all records went, once there was no error."""
        return {
            partition: Appended(part.start, part.end, leader_epochs[partition])
            for partition, part in self.parts.items()
            if part.start is not None
        }


class SharedProducer:
    """One producer of librdkafka, and the thread that serves its reports."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.turn = anyio.Lock(fast_acquire=True)
        self.failed: KafkaError | None = None
        self._producer = ClientProducer(dict(settings))
        self._closing = threading.Event()
        self._server = threading.Thread(target=self._serve, name="millpond-reports", daemon=True)
        self._server.start()

    async def send(self, records: RecordsByPartition, delivery: Delivery) -> None:
        """Put all records into librdkafka's queue; wait while it is full."""
        for partition, new in records.items():
            report = delivery.part(partition)
            for first in range(0, len(new), RECORDS_AT_ONCE):
                if first:
                    await anyio.lowlevel.cancel_shielded_checkpoint()
                await self._send_some(partition, new[first : first + RECORDS_AT_ONCE], report)

    async def _send_some(
        self, partition: TopicPartition, new: Sequence[NewRecord], report: PartDelivery
    ) -> None:
        sent = tries = 0
        while True:
            try:
                sent += enqueue(self._producer, partition, new[sent:] if sent else new, report)
            except KafkaException as failure:
                tries += 1
                if error_of(failure).code() not in STALE or tries > REFRESHES_MAX:
                    raise
                with anyio.CancelScope(shield=True):
                    await anyio.to_thread.run_sync(refresh, self._producer, partition.topic)
            if sent == len(new):
                return
            with anyio.CancelScope(shield=True):  # what was begun can't be taken back
                await anyio.sleep(FULL_PAUSE_S)

    def close(self, timeout_s: float) -> None:
        """Wait for what is in the queue, and let the thread end."""
        with contextlib.suppress(KafkaException):
            served(self._producer.flush, timeout_s)
        self._closing.set()
        self._server.join()

    def _serve(self) -> None:
        while not self._closing.is_set():
            try:
                served(self._producer.poll, POLL_S)
            except KafkaException as failure:  # all that is still in its queue will fail as well
                self.failed = error_of(failure)


def enqueue(
    producer: ClientProducer,
    partition: TopicPartition,
    records: Sequence[NewRecord],
    report: Callable[[KafkaError | None, Message], None],
) -> int:
    """Put records into librdkafka's queue; return how many fitted.

    Raises:
        KafkaException: of the first record.
    """
    topic, number = partition
    produce = producer.produce
    for count, (key, value, timestamp, headers) in enumerate(records):
        more: dict[str, Any] = {"headers": list(headers)} if headers else {}
        try:
            produce(
                topic,
                value,
                key,
                number,
                on_delivery=report,
                timestamp=timestamp or FIRST_MOMENT_MS,
                **more,
            )
        except BufferError:
            return count
        except KafkaException:
            if count:
                return count  # the next call raises it
            raise
    return len(records)


def refresh(producer: ClientProducer, topic: str) -> None:
    """Let librdkafka learn that a topic has grown, or is there."""
    with contextlib.suppress(KafkaException):
        producer.list_topics(topic, timeout=REFRESH_S)


class ClusterProducer:
    """A `Producer` over those of librdkafka."""

    def __init__(
        self,
        client: Client,
        topics: Topics,
        offsets: Offsets,
        shared: Callable[[Compression], SharedProducer],
    ) -> None:
        self._client = client
        self._topics = topics
        self._offsets = offsets
        self._shared = shared
        self._turn = anyio.Lock(fast_acquire=True)
        self._last: SharedProducer | None = None
        self._unfinished: set[anyio.Event] = set()

    async def append(
        self, records: RecordsByPartition, *, compression: Compression = Compression.NONE
    ) -> dict[TopicPartition, Appended]:
        async with self._turn:
            parts = await self._topics.split({each: new for each, new in records.items() if new})
            if not parts:
                await self._topics.check(records.keys())
                return {}
            shared = self._shared(compression)
            if shared is not self._last:
                for event in list(self._unfinished):  # another codec's batches might overtake
                    await event.wait()
                self._last = shared
            async with shared.turn:
                earlier = []
                for part in parts[:-1]:
                    earlier.append(await self._send(shared, part))
                    await self._finish(earlier[-1])
                delivery, event = await self._send(shared, parts[-1])
                if len(parts) > 1:  # nothing may join a batch that is full
                    await event.wait()
        await self._finish((delivery, event))
        for one, _event in earlier:
            delivery.include(one)
        return delivery.appended(await self._offsets.leader_epochs(delivery.parts))

    async def _send(
        self, shared: SharedProducer, records: RecordsByPartition
    ) -> tuple[Delivery, anyio.Event]:
        event = anyio.Event()
        delivery = Delivery(sum(map(len, records.values())), waker(event))
        try:
            await shared.send(records, delivery)
        except KafkaException as failure:
            error = error_of(failure)
            if error.fatal() or error.code() == KafkaError._FATAL:
                shared.failed = error  # the next call gets another one
            raise self._client.typed(error, ", ".join(map(str, records))) from None
        self._unfinished.add(event)
        return delivery, event

    async def _finish(self, sent: tuple[Delivery, anyio.Event]) -> None:
        delivery, event = sent
        try:
            await event.wait()
        finally:
            self._unfinished.discard(event)
        if delivery.error is not None:
            self._topics.forget({partition.topic for partition in delivery.parts})
            raise self._client.typed(delivery.error, ", ".join(map(str, delivery.parts)))


def waker(event: anyio.Event) -> Callable[[], None]:
    """Return what sets an event of this task's loop from another thread, without waiting for it."""
    loop: Any = anyio.lowlevel.current_token().native_token
    soon = getattr(loop, "call_soon_threadsafe", None) or loop.run_sync_soon

    def wake() -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
            soon(event.set)

    return wake
