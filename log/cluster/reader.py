"""Reads a cluster: a reader is a view on partitions that a shared consumer fetches for it.

What has come of a partition is put behind its earlier records as soon as the consumer's thread brings it
(`shared_consumer.py`); `read` hands it over from there, in turns. So a cancelled read loses nothing: what
comes meanwhile is there for the next one. Everything here happens on the loop.

Where a partition ends, librdkafka says so with the next offset that there will be: that is how the
position moves beyond markers and aborted records. A record's own offset only ever moves it to the
next one.

librdkafka is not told that a partition is paused. It stops being fetched once too much of it waits, as
it does when its reader is slow: pausing for a moment costs nothing.
"""

import math
import time
from collections.abc import Iterable, Mapping
from typing import Final
from uuid import UUID

import anyio
import anyio.lowlevel
from confluent_kafka import KafkaError

from ..errors import LogError, OffsetOutOfRange, UnknownTopic
from ..model import Fetched, Isolation, Offset, TopicPartition
from .arrivals import Arrived
from .failures import translated
from .flow import Flow
from .offsets import Offsets
from .shared_consumer import Consumers, SharedConsumer
from .topic_watch import LOOK_S, TopicWatch

EVEN_S: Final = 0.1
"""How long a new assignment may take until each partition that has records has brought some."""

OUT_OF_RANGE: Final = frozenset(
    {KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE, KafkaError._LOG_TRUNCATION}
)


class ClusterReader:
    """A `Reader` that shares its consumer with others."""

    def __init__(
        self,
        isolation: Isolation,
        consumers: Consumers,
        offsets: Offsets,
        watch: TopicWatch,
    ) -> None:
        self._isolation = isolation
        self._consumers = consumers
        self._offsets = offsets
        self._watch = watch
        self._news = anyio.Event()
        self._assignment = 0
        self._begun = True
        self._positions: dict[TopicPartition, Offset] = {}
        self._paused: set[TopicPartition] = set()
        self._shared: SharedConsumer | None = None
        self._flows: dict[TopicPartition, Flow] = {}
        self._told_ends: dict[TopicPartition, Offset] = {}
        self._topic_ids: dict[str, UUID] = {}
        self._known_at = 0.0
        self._next_look = 0.0

    def assign(self, positions: Mapping[TopicPartition, Offset]) -> None:
        self._positions = dict(positions)
        self._told_ends = {}
        self._paused = set()
        self._let_go()

    def pause(self, partitions: Iterable[TopicPartition]) -> None:
        paused = set(partitions)
        self._paused |= paused
        for partition in paused & self._flows.keys():
            self._flows[partition].is_paused = True

    def resume(self, partitions: Iterable[TopicPartition]) -> None:
        resumed = self._paused.intersection(partitions)
        self._paused -= resumed
        for partition in resumed & self._flows.keys():
            self._flows[partition].is_paused = False
        if self._shared is not None:
            self._shared.look()
        self._news.set()

    async def read(
        self, *, bytes_max: int = 1 << 20, wait_max_s: float | None = None
    ) -> list[Fetched]:
        await anyio.lowlevel.checkpoint()
        deadline = None if wait_max_s is None else time.monotonic() + wait_max_s
        while True:
            while not self._begun:
                await self._begin()
            found = self._take(bytes_max)
            if found or wait_max_s == 0:
                return found
            self._news = anyio.Event()
            await self._raise_failure()
            await self._look_for_topics()
            left_s = self._left_s(deadline)
            if left_s <= 0:
                return []
            with anyio.move_on_after(left_s):
                await self._news.wait()

    async def aclose(self) -> None:
        self.assign({})

    # -- beginning -----------------------------------------------------------------------------

    async def _begin(self) -> None:
        """Let a consumer fetch what is assigned, once it is known to exist."""
        assignment, positions = self._assignment, dict(self._positions)
        if positions:
            topic_ids = await self._watch.ids({partition.topic for partition in positions})
            known_at = time.monotonic()
            ends = await self._offsets.ends(positions, Isolation.READ_UNCOMMITTED)
            starts = await self._offsets.starts(positions)
            for partition, offset in positions.items():
                if not starts[partition] <= offset <= ends[partition]:
                    raise OffsetOutOfRange(partition, offset, starts[partition], ends[partition])
            if assignment != self._assignment:
                return
            shared = self._consumers.pick(self._isolation, positions)
            flows = {each: Flow(each, at, self._wake) for each, at in positions.items()}
            shared.add(flows.values())
            self._shared, self._flows, self._topic_ids = shared, flows, topic_ids
            self._known_at, self._next_look = known_at, known_at + LOOK_S
            for partition in self._paused & flows.keys():
                flows[partition].is_paused = True
            self._begun = True
            await self._wait_until_even(ends)
        self._begun = assignment == self._assignment

    async def _wait_until_even(self, ends: Mapping[TopicPartition, Offset]) -> None:
        """Let each partition that has records bring some, or the first one would run ahead."""
        with anyio.move_on_after(EVEN_S):
            while any(
                flow.arrived is None and not flow.is_paused and self._positions[each] < ends[each]
                for each, flow in self._flows.items()
            ):
                self._news = anyio.Event()
                await self._news.wait()

    def _let_go(self) -> None:
        """Give back what was fetched for this reader; what is assigned is to be begun anew."""
        self._assignment += 1
        self._begun = False
        if self._shared is not None:
            self._shared.leave(self._flows.values())
        self._shared, self._flows, self._topic_ids = None, {}, {}
        self._news.set()

    # -- waiting -------------------------------------------------------------------------------

    def _wake(self) -> None:
        self._news.set()

    def _left_s(self, deadline: float | None) -> float:
        """Return how long to wait: until the deadline, or until topics are to be looked for."""
        now = time.monotonic()
        look_s = max(self._next_look - now, 0.001) if self._topic_ids else math.inf
        return look_s if deadline is None else min(deadline - now, look_s)

    async def _look_for_topics(self) -> None:
        if self._topic_ids and time.monotonic() > self._next_look:
            await self._watch.check(self._topic_ids, self._known_at)
            self._next_look = time.monotonic() + LOOK_S

    async def _raise_failure(self) -> None:
        """Raise what librdkafka has said of a partition, once all before it was handed over."""
        for partition, flow in self._flows.items():
            error = flow.arrived.error if flow.arrived is not None else None
            if error is None or flow.is_paused:
                continue
            if error.code() in OUT_OF_RANGE:
                starts = await self._offsets.starts([partition])
                ends = await self._offsets.ends([partition], Isolation.READ_UNCOMMITTED)
                at = self._positions.get(partition, -1)
                raise OffsetOutOfRange(partition, at, starts[partition], ends[partition])
            ours = translated(error, partition)
            if not isinstance(ours, UnknownTopic):
                raise ours
            self._let_go()  # begin again, which raises it if it is so
            return
        broken = self._shared.broken if self._shared is not None else None
        if broken is not None:
            raise LogError(f"this reader can't go on: {broken.str()} ({broken.name()})")

    # -- what is handed over -------------------------------------------------------------------

    def _take(self, bytes_max: int) -> list[Fetched]:
        """Take what has arrived, in turns; who was served goes to the end."""
        ready = [
            (flow, flow.arrived)
            for partition in self._positions
            if (flow := self._flows.get(partition)) is not None
            and flow.arrived is not None
            and self._has_news(partition, flow.arrived)
        ]
        fetched = []
        for served, (flow, arrived) in enumerate(ready):
            if bytes_max <= 0:
                break
            bytes_before = arrived.bytes
            one = self._taken(flow, arrived, bytes_max // (len(ready) - served))
            bytes_max -= bytes_before - arrived.bytes
            fetched.append(one)
        if self._shared is not None and any(flow.is_hungry for flow, _arrived in ready):
            self._shared.look()
        return fetched

    def _taken(self, flow: Flow, arrived: Arrived, share: int) -> Fetched:
        partition = flow.partition
        weight = arrived.weight
        records, next_offset = arrived.take(share)
        flow.taken(weight - arrived.weight)
        if not arrived.records and arrived.error is None:
            flow.arrived = None
        next_offset = max(next_offset, self._positions.pop(partition))
        end_offset = max(arrived.end_offset, next_offset)
        self._positions[partition] = next_offset
        self._told_ends[partition] = end_offset
        return Fetched(partition, records, next_offset, end_offset, arrived.leader_epoch)

    def _has_news(self, partition: TopicPartition, arrived: Arrived) -> bool:
        """Whether there is something to hand over: what moves the position, or corrects the end."""
        position = self._positions[partition]
        if partition in self._paused:
            return False
        if arrived.next_offset > position:
            return True
        return arrived.is_all and self._told_ends.get(partition, position) > position
