"""What an agent iterates: the events of its partition, one by one or in batches.

The loops here are the hottest of the framework. They suspend once per run, and between events do
nothing but set the index that tells topics and tables which event is current.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Generic, TypeVar

from ..log.model import Headers, Offset, Timestamp, TopicPartition
from .engine.instance import Instance
from .engine.run import Run
from .errors import ConfigError, StreamError
from .timestamps import duration_ms

T = TypeVar("T")
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Event(Generic[V]):
    """A value with all that is known of it. Times are milliseconds since the epoch."""

    key: Any
    value: V
    timestamp: Timestamp
    headers: Headers
    partition: TopicPartition
    offset: Offset


class Batch(Generic[V]):
    """Events that an agent takes together: done together, retried together, committed together.

    Iterating makes each event the current one in turn, as windowed tables need; around the loop the
    batch as a whole is current, and what is sent there carries the latest of its timestamps.
    """

    __slots__ = ("_instance", "_run", "values")

    def __init__(self, instance: Instance, run: Run) -> None:
        self._instance = instance
        self._run = run
        self.values: list[V] = run.values

    def __len__(self) -> int:
        return len(self.values)

    def __iter__(self) -> Iterator[V]:
        instance = self._instance
        for instance.index, value in enumerate(self.values):
            yield value
        instance.index = -1

    def events(self) -> Iterator[Event[V]]:
        """Iterate with key, timestamp, headers and offset."""
        instance = self._instance
        for instance.index in range(len(self.values)):
            yield _event(self._run, instance.index)
        instance.index = -1

    @property
    def run(self) -> Run:
        return self._run


class Stream(Generic[V]):
    """The events of one partition, for one agent."""

    __slots__ = ("_instance", "_loop")

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._loop: AsyncGenerator[Any, None] | None = None

    @property
    def partition(self) -> int:
        """Which partition this instance works on."""
        return self._instance.task.partition

    def __aiter__(self) -> AsyncIterator[V]:
        return self._begin(self._values())

    def events(self) -> AsyncIterator[Event[V]]:
        """Iterate with key, timestamp, headers, partition and offset."""
        return self._begin(self._events())

    def runs(self) -> AsyncIterator[tuple[Instance, Run]]:
        """Iterate in runs, as they come; for agents of our own."""
        return self._begin(self._runs())

    def take(self, size: int, *, within: timedelta) -> AsyncIterator[Batch[V]]:
        """Iterate in batches of `size`, or fewer when `within` has passed since the first arrived.

        Events wait in the log, uncommitted, until their batch is done. If they can't, as other
        agents of the same task have dealt with them already, a commit cuts the batch short.

        Raises:
            ConfigError: a size below 1, or a duration that is not positive.
        """
        if size < 1:
            raise ConfigError(f"take({size}, …): a batch has at least 1 event")
        return self._begin(self._batches(size, duration_ms(within, what="take(…, within=…)")))

    async def aclose(self) -> None:
        """End the loop over the stream, as the agent has ended."""
        if self._loop is not None:
            await self._loop.aclose()

    def _begin(self, loop: AsyncGenerator[T, None]) -> AsyncIterator[T]:
        """Refuse a second loop: it could not know which events the first one left behind."""
        if self._loop is not None:
            raise StreamError(
                "its stream is iterated a second time, which would pass over events: an agent has one "
                "loop, without `break`"
            )
        self._loop = loop
        return loop

    async def _values(self) -> AsyncGenerator[V, None]:
        instance = self._instance
        while True:
            run = await instance.next_run()
            for instance.index, value in enumerate(run.values):
                yield value

    async def _events(self) -> AsyncGenerator[Event[V], None]:
        instance = self._instance
        while True:
            run = await instance.next_run()
            for instance.index, _ in enumerate(run.values):
                yield _event(run, instance.index)

    async def _runs(self) -> AsyncGenerator[tuple[Instance, Run], None]:
        instance = self._instance
        while True:
            run = await instance.next_run()
            yield instance, run

    async def _batches(self, size: int, patience: int) -> AsyncGenerator[Batch[V], None]:
        instance = self._instance
        held = instance.held
        while True:
            while len(held) < size:
                if instance.deadline is not None and instance.now >= instance.deadline:
                    break
                await self._hold(patience)
            instance.deadline = None
            batch = instance.batch = Batch(instance, _gather(held[:size]))
            del held[:size]
            if held:
                instance.deadline = instance.now + patience
            instance.run, instance.index = batch.run, -1
            yield batch
            if instance.barrier_wanted:
                await self._hold(patience)

    async def _hold(self, patience: int) -> None:
        """Wait for a run and hold its events; the first to be held starts the clock."""
        instance = self._instance
        run = await instance.next_run()
        instance.held.extend((run, index) for index in range(len(run)))
        if instance.deadline is None and instance.held:
            instance.deadline = instance.now + patience


def _event(run: Run, index: int) -> Event[Any]:
    return Event(
        run.key(index),
        run.values[index],
        run.timestamps[index],
        run.headers(index),
        run.partition,
        run.offset(index),
    )


def _gather(held: list[tuple[Run, int]]) -> Run:
    """Make one run of events that may come from several."""
    first, index = held[0]
    last, last_index = held[-1]
    has_records = bool(first.records)
    return Run(
        source=first.source,
        partition=first.partition,
        records=[run.records[i] for run, i in held] if has_records else (),
        values=[run.values[i] for run, i in held],
        timestamps=[run.timestamps[i] for run, i in held],
        stream_times=[run.stream_times[i] for run, i in held],
        stream_time_before=stream_time_before(first, index),
        next_offset=last.next_offset
        if last_index == len(last) - 1
        else last.offset(last_index + 1),
        causes=() if has_records else [run.causes[i] for run, i in held],
    )


def stream_time_before(run: Run, index: int) -> Timestamp:
    """Return the stream time before one event of a run."""
    return run.stream_times[index - 1] if index else run.stream_time_before
