"""A run: the unit in which a task hands events to its agents.

Everything that costs more than a list operation happens per run, not per event: a run is decoded at
once, delivered at once and accounted for at once. Within a run the task has no decision to make, so
where runs end never depends on batch sizes, commit intervals or timing; see `task.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ...log.model import Headers, NewRecord, Offset, Record, Timestamp, TopicPartition
from ..errors import DecodeFailed

if TYPE_CHECKING:
    from ..topic import Topic
    from ..windowed import Derived


@dataclass(slots=True)
class Run:
    """Events of one source, in order, as parallel lists.

    Attributes:
        source: the topic, or the table's derived stream, that they come from.
        partition: where the records lie in the log. Derived events lie nowhere: there it is the
            partition whose event caused them.
        records: the records themselves; empty for derived events.
        values: decoded values. The list may be cut short while an agent iterates it.
        timestamps: event times in milliseconds.
        stream_times: the task's stream time as of each event, itself included.
        stream_time_before: the stream time before the first event.
        next_offset: where to read on once all of the run is processed.
        causes: of derived events, the offsets of the events that caused them.
    """

    source: "Topic[Any, Any] | Derived"
    partition: TopicPartition
    records: Sequence[Record]
    values: list[Any]
    timestamps: list[Timestamp]
    stream_times: list[Timestamp]
    stream_time_before: Timestamp
    next_offset: Offset
    causes: Sequence[Offset] = ()

    def __len__(self) -> int:
        return len(self.values)

    def cut(self, size: int) -> "Run | None":
        """Keep the first `size` events; return the rest as a run of its own, None if there is none.

        An agent that iterates `values` right now ends after the events that are kept.
        """
        if size >= len(self.values):
            return None
        rest = Run(
            source=self.source,
            partition=self.partition,
            records=self.records[size:],
            values=self.values[size:],
            timestamps=self.timestamps[size:],
            stream_times=self.stream_times[size:],
            stream_time_before=self.stream_times[size - 1] if size else self.stream_time_before,
            next_offset=self.next_offset,
            causes=self.causes[size:],
        )
        if self.records:
            self.next_offset = self.records[size].offset
            self.records = self.records[:size]
        del self.values[size:]
        del self.timestamps[size:]
        del self.stream_times[size:]
        self.causes = self.causes[:size]
        return rest

    def copy(self) -> "Run":
        """Return a run of the same events, which may be cut by itself."""
        return replace(
            self,
            values=self.values.copy(),
            timestamps=self.timestamps.copy(),
            stream_times=self.stream_times.copy(),
        )

    def stream_time_after(self) -> Timestamp:
        return self.stream_times[-1] if self.stream_times else self.stream_time_before

    def key(self, index: int) -> Any:
        """Return the decoded key of one event.

        Raises:
            DecodeFailed: it is not of the topic's type.
        """
        if not self.records:
            return self.values[index].key
        key = self.records[index].key
        topic: Topic[Any, Any] = self.source  # type: ignore[assignment]
        try:
            return None if key is None else topic.decode_key(key)
        except Exception as error:
            offset, wanted = self.records[index].offset, topic.key_codec.name
            raise DecodeFailed(self.partition, offset, "key", key, wanted, error) from error

    def headers(self, index: int) -> Headers:
        return self.records[index].headers if self.records else ()

    def offset(self, index: int) -> Offset:
        """Return the event's offset; a derived event has that of the event which caused it."""
        return self.records[index].offset if self.records else self.causes[index]

    def raw(self, index: int) -> NewRecord:
        """Return the event as a record that can be appended elsewhere, byte for byte."""
        if not self.records:
            return self.source.encode(self.key(index), self.values[index])
        record = self.records[index]
        return NewRecord(record.key, record.value, self.timestamps[index], record.headers)


def empty_run(source: "Topic[Any, Any] | Derived") -> Run:
    """Return a run without events: it wakes an agent, and gives it nothing."""
    return Run(source, TopicPartition("", -1), (), [], [], [], 0, 0)
