"""Few consumers of librdkafka serve all readers of a log: each brings the partitions of many.

A consumer of librdkafka costs threads, connections and a queue, and a worker has a reader for each of
its tasks. So readers are views: the partitions of a reader go to a consumer that has none of them yet.
Tasks of one subtopology then share one, and another subtopology that reads the same partitions gets a
second consumer, for librdkafka knows a partition only once.

A thread of each consumer, the pump, takes messages off librdkafka's queue, many at a time, and hands what
they bring to the loop in one go. Nobody else calls the consumer (confluent-kafka lets others wait while
the pump does, for as long as it comes back at once). So partitions come and go between two calls that
bring messages, in the order in which that was asked for, and what they bring is of their present reader.

How much waits is bounded. The pump rests while every reader has enough, which leaves the rest in
librdkafka's queue, and that stops fetching when it is full. But a reader that wants more must not wait
for one that is slow: then the pump goes on, and a partition of which too much waits is taken out of
librdkafka until that is handed over. Its records are fetched twice then. (librdkafka's own pausing does
the same, but goes on where it believes that the application is.)
"""

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial
from typing import Any, Final

import anyio.lowlevel
from confluent_kafka import Consumer, KafkaError, KafkaException, Message
from confluent_kafka import TopicPartition as ClientPartition

from ..model import Isolation, Offset, TopicPartition
from .arrivals import Arrived, arrivals
from .failures import error_of
from .flow import ENOUGH_BYTES, Flow

MESSAGES_AT_ONCE: Final = 5000
SLICE_S: Final = 0.01
"""How long the pump waits for a message before it looks whether partitions are to come or go."""

WAITING_BYTES_MAX: Final = 64 << 20
"""About this much may wait in all, while a reader wants more and others are slow."""

PARTITION_BYTES_MIN: Final = 2 << 20
"""But so much of each partition at least, more than one fetch brings: else most of it was in vain."""


class SharedConsumer:
    """A consumer that is no member of any group, and its pump."""

    def __init__(
        self, make: Callable[[], Consumer], soon: Callable[[Callable[[], object]], object]
    ) -> None:
        """Start the pump.

        Args:
            make: makes the consumer, in the pump's thread.
            soon: calls something on the loop, from another thread.
        """
        self.broken: KafkaError | None = None
        self._make = make
        self._soon = soon
        self._claims: dict[TopicPartition, Flow] = {}  # as the loop has it
        self._commands: deque[Callable[[], None]] = deque()
        self._look = threading.Event()
        self._flows: dict[tuple[str, int], Flow] = {}  # as the pump has it
        self._held: set[Flow] = set()
        self._large: set[Flow] = set()
        self._closing = False
        self._consumer: Consumer
        self._pump = threading.Thread(target=self._run, name="millpond-reads", daemon=True)
        self._pump.start()

    # -- on the loop ---------------------------------------------------------------------------

    def is_free_for(self, partitions: Iterable[TopicPartition]) -> bool:
        """Whether these are nobody's here, or about to be."""
        return self.broken is None and self._claims.keys().isdisjoint(partitions)

    def add(self, flows: Collection[Flow]) -> None:
        """Let librdkafka fetch these, which are nobody else's here."""
        self._claims.update((each.partition, each) for each in flows)
        self._ask(partial(self._put_in, list(flows)))

    def leave(self, flows: Collection[Flow]) -> None:
        """Bring nothing more of these, and take them out of librdkafka soon."""
        for each in flows:
            each.has_left = True
            del self._claims[each.partition]
        self._ask(partial(self._take_out, list(flows)))

    def look(self) -> None:
        """Let the pump see that somebody wants more."""
        if not self._look.is_set():
            self._look.set()

    def begin_to_close(self) -> None:
        self._closing = True
        self._look.set()

    def join(self) -> None:
        """Wait until all is closed."""
        self._pump.join()

    def _ask(self, command: Callable[[], None]) -> None:
        self._commands.append(command)
        self._look.set()

    def _deliver(self, batch: list[tuple[Flow, Arrived]]) -> None:
        for flow, arrived in batch:
            if not flow.has_left:
                flow.put(arrived)
                flow.on_arrival()

    def _tell_all(self) -> None:
        for flow in self._claims.values():
            flow.on_arrival()

    # -- the pump ------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._consumer = self._make()
        except KafkaException as failure:
            self._break(error_of(failure))
            return
        try:
            while not self._closing:
                self._turn()
        except KafkaException as failure:
            self._break(error_of(failure))
        finally:
            self._consumer.close()

    def _turn(self) -> None:
        self._look.clear()
        while self._commands:
            self._commands.popleft()()
        if any(flow.is_hungry for flow in self._flows.values()):
            self._hold_large()
            self._put_back_small()
            messages = self._messages()
            if messages:
                self._hand_over(messages)
        else:
            self._look.wait()

    def _messages(self) -> list[Message]:
        """Wait a moment for a message; return it and all that is there behind it."""
        first = self._consumer.poll(SLICE_S)
        return [first, *self._consumer.consume(MESSAGES_AT_ONCE, 0)] if first is not None else []

    def _hand_over(self, messages: list[Message]) -> None:
        batch = []
        for place, arrived in arrivals(messages, self._end_of):
            flow = self._flows.get(place)
            if flow is not None:
                flow.came(arrived)
                batch.append((flow, arrived))
                if flow.waiting_bytes > PARTITION_BYTES_MIN:
                    self._large.add(flow)
            elif arrived.error is not None and arrived.error.fatal():
                self._break(arrived.error)
        self._on_loop(lambda: self._deliver(batch))

    def _end_of(self, topic: str, number: int) -> Offset:
        place = ClientPartition(topic, number)
        _low, high = self._consumer.get_watermark_offsets(place, cached=True)
        return int(high)

    def _hold_large(self) -> None:
        """Take partitions out of librdkafka of which too much waits."""
        if not self._large:
            return
        limit = max(WAITING_BYTES_MAX // len(self._flows), PARTITION_BYTES_MIN)
        self._large = {flow for flow in self._large if flow.waiting_bytes > PARTITION_BYTES_MIN}
        large = [each for each in self._large if each.waiting_bytes > limit]
        if large:
            self._consumer.incremental_unassign([_position(each) for each in large])
        self._held.update(large)
        self._large.difference_update(large)

    def _put_back_small(self) -> None:
        small = [each for each in self._held if each.waiting_bytes < ENOUGH_BYTES]
        if small:
            self._consumer.incremental_assign([_position(each) for each in small])
        self._held.difference_update(small)

    def _put_in(self, flows: Sequence[Flow]) -> None:
        self._flows.update((each.partition, each) for each in flows)
        self._consumer.incremental_assign([_position(each) for each in flows])

    def _take_out(self, flows: Sequence[Flow]) -> None:
        fetched = [_position(each) for each in flows if each not in self._held]
        if fetched:
            self._consumer.incremental_unassign(fetched)
        for flow in flows:
            del self._flows[flow.partition]
        self._held.difference_update(flows)
        self._large.difference_update(flows)

    def _break(self, error: KafkaError) -> None:
        self.broken = error
        self._on_loop(self._tell_all)

    def _on_loop(self, call: Callable[[], None]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended, nobody reads
            self._soon(call)


class Consumers:
    """The shared consumers of one log, which are kept until it is closed."""

    def __init__(self, make: Callable[[Isolation], Consumer]) -> None:
        self._make = make
        self._all: dict[Isolation, list[SharedConsumer]] = {}

    def pick(self, isolation: Isolation, partitions: Collection[TopicPartition]) -> SharedConsumer:
        """Return a consumer which these partitions can be added to."""
        shared = self._all.setdefault(isolation, [])
        for one in shared:
            if one.is_free_for(partitions):
                return one
        loop: Any = anyio.lowlevel.current_token().native_token
        soon = getattr(loop, "call_soon_threadsafe", None) or loop.run_sync_soon
        shared.append(SharedConsumer(partial(self._make, isolation), soon))
        return shared[-1]

    def close(self) -> None:
        """Close all at once, and wait for it."""
        every = [one for shared in self._all.values() for one in shared]
        for one in every:
            one.begin_to_close()
        for one in every:
            one.join()


def _position(flow: Flow) -> ClientPartition:
    return ClientPartition(*flow.partition, flow.next_offset)
