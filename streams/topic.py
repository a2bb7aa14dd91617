"""A topic as an app declares it: a name, types for key and value, and where event time is found.

A `Topic` is a definition: it opens nothing and belongs to no running task. `send` finds out through
the context who is calling: inside an agent the record becomes part of the task's commit, anywhere
else it goes to the running app's outbox.
"""

from collections.abc import Awaitable, Callable, Generator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ..log.model import Headers, NewRecord, Timestamp
from ..state.codec import Codec
from .engine.context import current
from .policy import Policy
from .timestamps import Extractor, to_ms

if TYPE_CHECKING:
    from .app import App

K = TypeVar("K")
V = TypeVar("V")
K2 = TypeVar("K2")


class _Done:
    """An awaitable that is done already: what `send` returns when nothing has to be waited for.

    Its `__await__` is a method of an empty tuple, so that awaiting it runs no Python at all.
    """

    __slots__ = ()

    __await__: Callable[[], Generator[None, None, None]] = ().__iter__  # type: ignore[assignment]


DONE = _Done()


class Topic(Generic[K, V]):
    """A typed topic. Made by `App.topic`.

    Attributes:
        name: the topic's name in the log.
        partitions: how many it is to have, or None to take what the log has, or the app's default.
        config: settings by Kafka's names, used when the app creates the topic.
        upstream: of a repartition topic, the topic that is re-keyed.
    """

    def __init__(
        self,
        app: "App",
        name: str,
        key_codec: Codec[K],
        value_codec: Codec[V],
        *,
        timestamp: Extractor | None = None,
        partitions: int | None = None,
        config: Mapping[str, str] | None = None,
        on_decode_error: Policy,
        upstream: "Topic[Any, Any] | None" = None,
    ) -> None:
        self.app = app
        self.name = name
        self.key_codec = key_codec
        self.value_codec = value_codec
        self.timestamp = timestamp
        self.partitions = partitions
        self.config = dict(config or {})
        self.on_decode_error = on_decode_error
        self.upstream = upstream
        self.decode_key = key_codec.decode

    def send(
        self,
        *,
        key: K | None = None,
        value: V | None = None,
        timestamp: datetime | Timestamp | None = None,
        headers: Headers = (),
        partition: int | None = None,
    ) -> Awaitable[None]:
        """Send a record.

        Inside an agent the record is part of the task's next commit, together with the progress and
        the table changes that belong to it. Elsewhere it is buffered and sent in the background;
        `await app.flush()` returns once all that was sent before is durable.

        Args:
            key: decides the partition, by the hash that Kafka's Java client uses.
            value: None is a tombstone: compaction removes the key.
            timestamp: event time. By default what the topic's extractor finds in the value, else
                the time of the event being processed, else now.
            headers: pairs of a name and bytes.
            partition: overrides the choice by key.

        Raises:
            TypeError: key or value is not of the topic's type.
            StreamError: the app is not running, or the topic is another app's.
        """
        instance = current.get(None)
        if instance is None:
            return self.app.send_outside(self, key, value, timestamp, headers, partition)
        if timestamp is not None:
            time = to_ms(timestamp)
        elif self.timestamp is not None and value is not None:
            time = to_ms(self.timestamp(value))
        elif instance.index >= 0:
            time = instance.run.timestamps[instance.index]
        else:
            time = instance.timestamp
        sink = instance.outputs[self]
        if partition is None:
            # What `add` does, written out: few things are called as often.
            data = None if key is None else sink.encode_key(key)
            sink.pending[sink.choose(data) if sink.choose else 0].append(
                (data, None if value is None else sink.encode_value(value), time, headers)  # type: ignore[arg-type]
            )
        else:
            sink.add(key, value, time, headers, partition)
        return DONE

    def group_by(
        self,
        key: Callable[[V], K2 | None],
        *,
        name: str,
        key_type: type[K2] = str,  # type: ignore[assignment]
        partitions: int | None = None,
    ) -> "Topic[K2, V]":
        """Re-key this topic, through the log, so that equal keys meet in one partition.

        The records travel through the internal topic ``<app>-<name>-repartition`` with their values
        and timestamps as they are, and are deleted behind the consumer. A record whose new key is
        None is left out, as it can belong to no group.

        Args:
            key: computes the new key from the value.
            name: names the internal topic and the step's progress; keep it when the code changes.
            key_type: type of the new key.
            partitions: of the internal topic; as many as this topic by default.
        """
        return self.app.repartition(self, key, name=name, key_type=key_type, partitions=partitions)

    def encode(self, key: K | None, value: V | None) -> NewRecord:
        """Return the bytes of a record, timestamped 0."""
        return NewRecord(
            None if key is None else self.key_codec.encode(key),
            None if value is None else self.value_codec.encode(value),
            0,
        )

    def __repr__(self) -> str:
        return f"<Topic {self.name}>"
