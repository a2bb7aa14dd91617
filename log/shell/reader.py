"""Reads an embedded log: from its files, and waits without polling."""

from collections.abc import Callable, Iterable, Mapping
from uuid import UUID

import anyio
import anyio.lowlevel

from ..broker.core import Broker
from ..broker.delivery import fetch
from ..errors import OffsetOutOfRange, UnknownTopic
from ..model import Fetched, Isolation, Offset, TopicPartition
from ..storage.partition_log import PartitionLog
from .wakeups import Wakeups


class EmbeddedReader:
    """A `Reader` over the partitions of a broker in this process.

    Positions are kept in the order in which partitions are to be served; who was served goes to the
    end. What is ready shares `bytes_max` evenly, so co-partitioned inputs advance together.
    """

    def __init__(
        self,
        broker: Callable[[], Broker],
        wakeups: Wakeups,
        check: Callable[[], None],
        isolation: Isolation,
    ) -> None:
        """Make a reader.

        Args:
            broker: returns the broker, which a refresh of a read-only log replaces.
            wakeups: tells of changes.
            check: raises when the log has stopped.
            isolation: what is seen of transactions.
        """
        self._broker = broker
        self._wakeups = wakeups
        self._check = check
        self._isolation = isolation
        self._positions: dict[TopicPartition, Offset] = {}
        self._topic_ids: dict[TopicPartition, UUID | None] = {}
        self._paused: set[TopicPartition] = set()
        self._woken = anyio.Event()

    def assign(self, positions: Mapping[TopicPartition, Offset]) -> None:
        partitions = self._broker().partitions
        logs = {partition: partitions.get(partition) for partition in positions}
        self._topic_ids = {p: log.topic_id if log else None for p, log in logs.items()}
        self._positions = dict(positions)
        self._paused = set()
        self._woken.set()

    def pause(self, partitions: Iterable[TopicPartition]) -> None:
        self._paused.update(partitions)

    def resume(self, partitions: Iterable[TopicPartition]) -> None:
        self._paused.difference_update(partitions)
        self._woken.set()

    async def read(
        self, *, bytes_max: int = 1 << 20, wait_max_s: float | None = None
    ) -> list[Fetched]:
        # First let others run. Not later: once positions have moved, the result must arrive.
        await anyio.lowlevel.checkpoint()
        found = self._collect(bytes_max)
        if found or wait_max_s == 0:
            return found
        with anyio.move_on_after(wait_max_s):
            while not found:
                self._woken = anyio.Event()
                with self._wakeups.watching(self._positions, self._woken):
                    await self._woken.wait()
                found = self._collect(bytes_max)
        return found

    async def aclose(self) -> None:
        self._positions = {}
        self._woken.set()

    def _collect(self, bytes_max: int) -> list[Fetched]:
        self._check()
        ready = self._ready()
        fetched: list[Fetched] = []
        for served, log in enumerate(ready):
            if bytes_max <= 0:
                break
            share = bytes_max // (len(ready) - served)
            partition = log.partition
            one, size = fetch(log, self._positions[partition], share, self._isolation)
            del self._positions[partition]
            self._positions[partition] = one.next_offset
            fetched.append(one)
            bytes_max -= size
        return fetched

    def _ready(self) -> list[PartitionLog]:
        """Return the logs that have something, in the order in which it is their turn."""
        partitions = self._broker().partitions
        ready = []
        for partition, offset in self._positions.items():
            if partition in self._paused:
                continue
            log = partitions.get(partition)
            if log is None or log.topic_id != self._topic_ids[partition]:
                raise UnknownTopic(f"{partition} does not exist, or not any longer")
            if offset < log.end_for(self._isolation):
                ready.append(log)
            elif offset > log.log_end_offset:
                raise OffsetOutOfRange(partition, offset, log.log_start_offset, log.log_end_offset)
        return ready
