"""Messages of librdkafka become records, many at a time.

Each call of a message's method costs about as much as making a tuple, and there is one for each field
of each record. So messages go through them column by column, with loops that run in C; neighbours of
the same partition, as librdkafka brings them, are told apart from others once for all of them.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby, repeat
from operator import is_, itemgetter
from typing import Any, Final, NamedTuple

from confluent_kafka import KafkaError, Message

from ..model import Headers, Offset, Timestamp

RECORD_OVERHEAD: Final = 200
"""About what a record takes in memory besides its key and its value."""

_timestamp_of: Final = itemgetter(1)
_key_of: Final = itemgetter(2)
_value_of: Final = itemgetter(3)


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

    @property
    def weight(self) -> int:
        """Return about how many bytes of memory it takes."""
        return self.bytes + RECORD_OVERHEAD * len(self.records)

    def merge(self, later: "Arrived") -> None:
        """Put behind this what came later."""
        if later.records:
            if self.records:
                self.records += later.records
            else:
                self.records = later.records
            self.bytes += later.bytes
            self.leader_epoch = later.leader_epoch
        self.next_offset = max(self.next_offset, later.next_offset)
        self.end_offset = max(later.end_offset, self.next_offset)
        self.is_all = later.is_all
        self.error = self.error or later.error

    def take(self, bytes_max: int) -> tuple[list[ClusterRecord], Offset]:
        """Take as many records as the limit allows, at least one; return them, and what follows."""
        records = self.records
        if self.bytes > bytes_max and len(records) > 1:
            count = max(bytes_max * len(records) // self.bytes, 1)
            size = size_of(records[:count])
            while size > bytes_max and count > 1:
                count //= 2
                size = size_of(records[:count])
            self.bytes -= size
            taken = records[:count]
            del records[:count]
            return taken, taken[-1].offset + 1
        self.records, self.bytes = [], 0
        return records, self.next_offset


def arrivals(
    messages: list[Message], end_of: Callable[[str, int], Offset]
) -> Iterator[tuple[tuple[str, int], Arrived]]:
    """Yield what messages bring to which partition, in their order; some errors are of none.

    Args:
        messages: as they came.
        end_of: returns where a partition ends, as far as is known.
    """
    first = 0
    for (topic, number, is_record), same in groupby(_places(messages)):
        last = first + sum(1 for _ in same)
        run, first = messages[first:last], last
        if is_record:
            yield (topic, number), _records_in(run, end_of(topic, number))
        else:
            for message in run:
                yield (topic, number), _news_in(message)


def _places(messages: list[Message]) -> Iterator[tuple[Any, Any, bool]]:
    """Return for each message its topic, its partition, and whether it is a record."""
    are_records = map(is_, map(Message.error, messages), repeat(None))
    return zip(
        map(Message.topic, messages), map(Message.partition, messages), are_records, strict=True
    )


def _records_in(run: list[Message], end_offset: Offset) -> Arrived:
    values: list[bytes | None] = list(map(Message.value, run))
    keys: list[bytes | None] = list(map(Message.key, run))
    headers: Iterable[Any] = list(map(Message.headers, run))
    headers = [each or () for each in headers] if any(headers) else repeat(())
    timestamps = map(_timestamp_of, map(Message.timestamp, run))
    fields = zip(map(Message.offset, run), timestamps, keys, values, headers, strict=False)
    # What ClusterRecord(*fields) does, without a call of Python's for each record.
    make: Any = tuple.__new__
    records: list[ClusterRecord] = list(map(make, repeat(ClusterRecord), fields))
    last = run[-1].leader_epoch()
    next_offset = records[-1].offset + 1
    return Arrived(
        next_offset,
        max(end_offset, next_offset),
        -1 if last is None else last,
        records,
        _total(keys) + _total(values),
    )


def _news_in(message: Message) -> Arrived:
    """Return what is no record: the end of a partition, or an error."""
    error, offset = message.error(), message.offset()
    assert error is not None
    is_end = error.code() == KafkaError._PARTITION_EOF
    at = offset if is_end and offset is not None else 0
    return Arrived(at, at, -1, is_all=is_end, error=None if is_end else error)


def size_of(records: Sequence[ClusterRecord]) -> int:
    """Return the bytes of all keys and values."""
    return _total(map(_key_of, records)) + _total(map(_value_of, records))


def _total(some: Iterable[bytes | None]) -> int:
    return sum(map(len, filter(None, some)))
