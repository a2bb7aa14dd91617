"""A task: partition i of a subtopology's sources, with partition i of its tables. Deterministic.

A task decides what its agents see and in which order, and the decision depends on the log alone:
not on how much was fetched at once, when commits happen, or where a restart fell. It gives out
events in **runs**, and a run ends where the order of things could otherwise depend on its length:

- where another source has an event with a lower timestamp;
- behind the event that closes a window, if agents follow closed windows;
- behind every event, if several agents consume the same source and share tables, or if some follow
  every update of a table.

Running the agents is the runner's business (`runner.py`), as is every await.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from ...log.errors import ConfigError
from ...log.model import CommittedOffset, NewRecord, Offset, Timestamp, TopicPartition
from ..stream import stream_time_before
from ..topology import Subtopology
from ..windowed import Derived, WindowedTable, late_headers
from ..windows import Hopping, Tumbling, Window
from .inputs import Input, Undecodable
from .outputs import Outputs
from .run import Run

if TYPE_CHECKING:
    from .instance import Instance

BEGINNING = -(2**62)
"""Stream time of a task that has seen nothing yet."""

RUN_SIZE_MAX = 4096
"""Events per run at most, so that the event loop gets its turn every few milliseconds."""


class Meta(msgspec.Struct, omit_defaults=True):
    """A task's own progress, committed with its offsets: as their metadata, in JSON.

    Attributes:
        version: of this format.
        stream_time: the largest timestamp processed.
        closed: for each windowed table, the start below which its windows are closed.
    """

    version: int = 1
    stream_time: int = BEGINNING
    closed: dict[str, int] = {}


@dataclass(frozen=True, slots=True)
class Progress:
    """What a commit says of a task's inputs."""

    offsets: Mapping[TopicPartition, CommittedOffset]
    meta: Meta


class Task:
    """The deterministic part of a task.

    Attributes:
        name: subtopology and partition, as in messages.
        inputs: one for each source.
        stores: the task's store of each table; filled by whoever opens them.
        outputs: what agents have sent since the last commit.
        stream_time: the largest timestamp of the runs that are complete.
        follows_updates: whether some agent follows the updates of some table.
        meta: as last committed.
    """

    def __init__(self, subtopology: Subtopology, partition: int, outputs: Outputs) -> None:
        self.subtopology = subtopology
        self.partition = partition
        self.name = f"{subtopology.name}[{partition}]"
        self.inputs = [
            Input(topic, TopicPartition(topic.name, partition)) for topic in subtopology.sources
        ]
        self.stores: dict[Any, Any] = {}
        self.outputs = outputs
        self.stream_time: Timestamp = BEGINNING
        self.meta = Meta()
        self._by_partition = {source.partition: source for source in self.inputs}
        self._windowed = subtopology.windowed
        sources = {agent.source for agent in subtopology.agents}
        self._followed = {source for source in sources if isinstance(source, Derived)}
        self.follows_updates = any(source.kind == "updates" for source in self._followed)
        self._one_by_one = self.follows_updates or any(
            len(subtopology.consumers(source)) > 1 for source in subtopology.sources
        )
        self._closing = [table for table in self._windowed if table.closed in self._followed]
        self._updates: list[tuple[WindowedTable[Any, Any], Window[Any, Any], Run, int]] = []
        self._last_late: dict[WindowedTable[Any, Any], tuple[TopicPartition, Offset, Any]] = {}

    def resume(
        self,
        committed: Mapping[TopicPartition, CommittedOffset],
        starts: Mapping[TopicPartition, Offset],
        ends: Mapping[TopicPartition, Offset],
    ) -> None:
        """Go (back) to what was committed last; a source without progress starts at its beginning.

        Raises:
            ConfigError: the progress was written by a later version.
        """
        self.outputs.drop()
        self._updates.clear()
        self._last_late.clear()
        self.meta = Meta()
        for source in self.inputs:
            found = committed.get(source.partition)
            start = starts[source.partition]
            # What retention has deleted meanwhile is gone; waiting for it would be for ever.
            position = start if found is None else max(found.offset, start)
            source.seek(position, ends[source.partition])
            if found is not None and found.metadata:
                self.meta = read_meta(found.metadata, source.partition)
        self.stream_time = self.meta.stream_time

    def fetch_positions(self) -> dict[TopicPartition, Offset]:
        return {source.partition: source.fetch_position for source in self.inputs}

    def input_of(self, partition: TopicPartition) -> Input:
        return self._by_partition[partition]

    def hungry(self) -> list[TopicPartition]:
        """Return the partitions of which nothing waits."""
        return [source.partition for source in self.inputs if source.is_empty]

    def lag(self) -> int:
        """Return how many offsets of its sources the task has not processed."""
        return sum(max(source.end_offset - source.position, 0) for source in self.inputs)

    # Events, in order.

    def next_run(self, size_max: int = RUN_SIZE_MAX) -> Run | Undecodable | None:
        """Return what comes next; None when that can't be said before more is fetched."""
        ready = [source for source in self.inputs if not source.is_empty]
        if not ready or any(source.is_empty and source.lag for source in self.inputs):
            return None
        heads = [source.head_timestamp() for source in ready]
        first = heads.index(min(heads))
        # Of equal times the source that was declared first goes first, wherever a run ended before.
        rest = [head - (number < first) for number, head in enumerate(heads) if number != first]
        not_beyond = min(rest, default=None)
        closes_at = [_next_close(table.windows, self.stream_time) for table in self._closing]
        if self._one_by_one:
            size_max = 1
        source = ready[first]
        taken = source.take(size_max, not_beyond=not_beyond, up_to=min(closes_at, default=None))
        if isinstance(taken, Undecodable):
            return taken
        return Run(
            source=source.topic,
            partition=source.partition,
            records=taken.records,
            values=taken.values,
            timestamps=taken.timestamps,
            stream_times=_running_max(taken.timestamps, self.stream_time),
            stream_time_before=self.stream_time,
            next_offset=taken.next_offset,
        )

    def give_back(self, rest: Run | None) -> None:
        """Take back the end of the run that was given out last."""
        if rest is not None:
            self.input_of(rest.partition).give_back(len(rest))

    def complete(self, run: Run) -> None:
        """Note that all agents are done with a run (or hold its events, in a batch)."""
        self.input_of(run.partition).position = run.next_offset
        self.stream_time = run.stream_time_after()

    def passed(self, bad: Undecodable, partition: TopicPartition) -> None:
        """Note that an undecodable record is dealt with."""
        self.input_of(partition).position = bad.next_offset

    # What windows give rise to.

    def derived_runs(self, watermark: Timestamp, cause: Run) -> list[Run]:
        """Close what the watermark has passed; return what agents are to see of it.

        Args:
            watermark: the stream time up to which all events are processed.
            cause: the run after which this happens.
        """
        runs = []
        if self._updates:
            runs += self._update_runs()
        for table in self._windowed:
            limit = table.windows.close_limit(watermark)
            if limit <= self.meta.closed.get(table.name, BEGINNING):
                continue
            self.meta.closed[table.name] = limit
            closed = self.stores[table].close_before(limit)
            if closed and table.closed in self._followed:
                size = table.windows.size_ms
                windows = [Window(key, start, start + size, value) for start, key, value in closed]
                causes = [cause.offset(len(cause) - 1)] * len(windows)
                runs.append(_derived_run(table.closed, windows, cause, causes, watermark))
        return runs

    def updated(
        self,
        table: WindowedTable[Any, Any],
        instance: "Instance",
        start: Timestamp,
        key: Any,
        value: Any,
    ) -> None:
        """Note a new value of a window, for agents that follow updates of the table."""
        if table.updates not in self._followed:
            return
        window = Window(key, start, start + table.windows.size_ms, value)
        self._updates.append((table, window, instance.run, instance.index))

    def _update_runs(self) -> list[Run]:
        updates, self._updates = self._updates, []
        by_table: dict[WindowedTable[Any, Any], list[tuple[Window[Any, Any], Run, Offset]]] = {}
        for table, window, run, index in updates:
            by_table.setdefault(table, []).append((window, run, run.offset(index)))
        runs = []
        for table, made in by_table.items():
            windows, causes, offsets = zip(*made, strict=True)
            last = causes[-1]
            runs.append(
                _derived_run(table.updates, list(windows), last, offsets, last.stream_time_after())
            )
        return runs

    def late(
        self, table: WindowedTable[Any, Any], run: Run, index: int, watermark: Timestamp
    ) -> None:
        """Forward a late event to its table's late topic, once for each event."""
        event = (run.partition, run.offset(index), None if run.records else run.values[index])
        if self._last_late.get(table) == event:
            return
        self._last_late[table] = event
        start = table.windows.starts(run.timestamps[index])[0]
        by_ms = watermark - table.windows.end(start) - table.windows.grace_ms
        key, value, timestamp, headers = run.raw(index)
        self.outputs[table.late].add_raw(
            NewRecord(key, value, timestamp, [*headers, *late_headers(table, start, by_ms)])
        )

    # Progress.

    def watermark(self, instances: Iterable["Instance"]) -> Timestamp:
        """Return the stream time of what is processed: events that a batch still holds are not."""
        times = [
            stream_time_before(run, index)
            for instance in instances
            for run, index in _unfinished(instance)
        ]
        return min(times, default=self.stream_time)

    def progress(self, instances: Iterable["Instance"]) -> Progress:
        """Return how far the task is: everything before is processed, nothing after."""
        instances = list(instances)
        offsets = {source.partition: source.position for source in self.inputs}
        for instance in instances:
            for run, index in _unfinished(instance):
                offsets[run.partition] = min(offsets[run.partition], run.offset(index))
        meta = Meta(stream_time=self.watermark(instances), closed=dict(self.meta.closed))
        metadata = msgspec.json.encode(meta).decode()
        return Progress(
            {
                partition: CommittedOffset(offset, metadata=metadata)
                for partition, offset in offsets.items()
            },
            meta,
        )


def _running_max(times: list[Timestamp], largest: Timestamp) -> list[Timestamp]:
    """Return the largest time up to each one. Calls to `max` would take four times as long."""
    return [largest := time if time > largest else largest for time in times]  # noqa: FURB136


def _next_close(windows: "Tumbling | Hopping", watermark: Timestamp) -> Timestamp:
    """Return the first watermark beyond this one at which another window can close."""
    step = windows.step_ms if isinstance(windows, Hopping) else windows.size_ms
    limit = windows.close_limit(watermark)
    return windows.end(limit + -limit % step) + windows.grace_ms


def _unfinished(instance: "Instance") -> list[tuple[Run, int]]:
    """Return the first event of the log that an idle instance holds for a batch, if any."""
    return [held for held in instance.held[:1] if held[0].records]


def _derived_run(
    source: Derived,
    windows: list[Window[Any, Any]],
    cause: Run,
    causes: Sequence[Offset],
    stream_time: Timestamp,
) -> Run:
    return Run(
        source=source,
        partition=cause.partition,
        records=(),
        values=windows,
        timestamps=[window.end - 1 for window in windows],
        stream_times=[stream_time] * len(windows),
        stream_time_before=stream_time,
        next_offset=cause.next_offset,
        causes=causes,
    )


def read_meta(text: str, partition: TopicPartition) -> Meta:
    """Return a task's progress from the metadata of its offset in a partition.

    Raises:
        ConfigError: another program wrote it, or a later version.
    """
    text = text.rstrip("\0")  # confluent-kafka writes one behind it
    try:
        meta = msgspec.json.decode(text, type=Meta)
    except msgspec.DecodeError as error:
        raise ConfigError(
            f"the committed progress on {partition} carries metadata that is not Millpond's: "
            f"{text[:100]!r} ({error}). Is the group used by another program?"
        ) from None
    if meta.version != 1:
        raise ConfigError(
            f"the committed progress on {partition} was written by a later version of Millpond "
            f"(format {meta.version}; this one reads 1): run that version"
        )
    return meta
