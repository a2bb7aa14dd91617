"""Records on their way out: encoded, assigned to a partition, and kept until a commit takes them.

A task's outputs leave in its commit transaction; what is sent outside any agent leaves through the
outbox. Both collect in `Outputs`.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ...log.model import Headers, NewRecord, Timestamp, TopicPartition
from ..errors import StreamError
from .partitioner import Partitioner

if TYPE_CHECKING:
    from ..topic import Topic


class Sink:
    """The outgoing records of one topic.

    Attributes:
        topic: where they go.
        pending: what waits, by partition.
        choose: says to which partition a key belongs; None where there is but one.
        encode_key, encode_value: the topic's.
    """

    __slots__ = ("choose", "encode_key", "encode_value", "pending", "topic")

    def __init__(self, topic: "Topic[Any, Any]", partitions: int, keyless_first: int = 0) -> None:
        self.topic = topic
        self.pending: list[list[NewRecord]] = [[] for _ in range(partitions)]
        self.encode_key = topic.key_codec.encode
        self.encode_value = topic.value_codec.encode
        self.choose = None
        if partitions > 1:
            self.choose = Partitioner(partitions, keyless_first=keyless_first).partition

    def add(
        self,
        key: Any,
        value: Any,
        timestamp: Timestamp,
        headers: Headers,
        partition: int | None,
    ) -> None:
        """Encode and keep one record."""
        key_bytes = None if key is None else self.encode_key(key)
        value_bytes = None if value is None else self.encode_value(value)
        if partition is None:
            partition = self.choose(key_bytes) if self.choose else 0
        elif not 0 <= partition < len(self.pending):
            raise ValueError(
                f"topic {self.topic.name!r} has {len(self.pending)} partitions, counted from 0, so "
                f"there is no partition {partition}"
            )
        # A plain tuple of a NewRecord's fields: half the price on the hottest path there is.
        self.pending[partition].append((key_bytes, value_bytes, timestamp, headers))  # type: ignore[arg-type]

    def add_raw(self, record: NewRecord, partition: int | None = None) -> None:
        """Keep a record whose key and value are bytes already."""
        if partition is None:
            partition = self.choose(record[0]) if self.choose else 0
        self.pending[partition].append(record)


class Outputs(dict["Topic[Any, Any]", Sink]):
    """The sinks of the topics that an app declares, made as they are used."""

    def __init__(
        self, partition_counts: "Mapping[Topic[Any, Any], int]", keyless_first: int = 0
    ) -> None:
        """Make them, without any sink.

        Args:
            partition_counts: how many partitions each topic has.
            keyless_first: see `Partitioner`.
        """
        super().__init__()
        self._partition_counts = partition_counts
        self._keyless_first = keyless_first

    def __missing__(self, topic: "Topic[Any, Any]") -> Sink:
        count = self._partition_counts.get(topic)
        if count is None:
            raise StreamError(
                f"topic {topic.name!r} is not one of this app's topics: send to what "
                "`app.topic(…)` returned for the app that is running"
            )
        sink = self[topic] = Sink(topic, count, self._keyless_first)
        return sink

    def count(self) -> int:
        """Return how many records wait."""
        return sum(len(records) for sink in self.values() for records in sink.pending)

    def take(self) -> dict[TopicPartition, list[NewRecord]]:
        """Hand over all that waits, and start anew."""
        taken: dict[TopicPartition, list[NewRecord]] = {}
        for sink in self.values():
            for number, records in enumerate(sink.pending):
                if records:
                    taken[TopicPartition(sink.topic.name, number)] = records
                    sink.pending[number] = []
        return taken

    def drop(self) -> None:
        """Forget all that waits: the task goes back to its last commit."""
        self.take()
