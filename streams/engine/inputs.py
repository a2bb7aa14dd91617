"""One source partition of a task: records as they were fetched, decoded and not yet processed."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...log.model import Fetched, Offset, Record, Timestamp, TopicPartition
from ..errors import DecodeFailed
from ..timestamps import to_ms
from ..topic import Topic


@dataclass(slots=True)
class _Block:
    """Decoded records as parallel lists; those before `cursor` have been handed out."""

    records: Sequence[Record]
    values: list[Any]
    timestamps: list[Timestamp]
    next_offset: Offset
    cursor: int = 0

    def offset_at(self, index: int) -> Offset:
        """Return where to read on, once the events before `index` are done.

        That is the next record's own offset, not the last one's plus one: compaction and
        transactions leave gaps.
        """
        return self.records[index].offset if index < len(self.records) else self.next_offset


@dataclass(frozen=True, slots=True)
class Slice:
    """Events taken from an input, in order."""

    records: Sequence[Record]
    values: list[Any]
    timestamps: list[Timestamp]
    next_offset: Offset


@dataclass(frozen=True, slots=True)
class Undecodable:
    """A record that stands in the way, as it does not fit its topic's types."""

    record: Record
    error: DecodeFailed
    next_offset: Offset


class Input:
    """What waits in front of a task on one partition.

    Attributes:
        position: where the log is to be read on once everything handed out is processed.
        fetch_position: where it is to be read on to extend what waits here.
        end_offset: the partition's end, as last heard of.
    """

    def __init__(self, topic: Topic[Any, Any], partition: TopicPartition) -> None:
        self.topic = topic
        self.partition = partition
        self.position: Offset = 0
        self.fetch_position: Offset = 0
        self.end_offset: Offset = 0
        self._blocks: deque[_Block | Undecodable] = deque()

    def seek(self, position: Offset, end_offset: Offset) -> None:
        """Forget what waits and go on from `position`."""
        self.position = self.fetch_position = position
        self.end_offset = end_offset
        self._blocks.clear()

    @property
    def is_empty(self) -> bool:
        self._drop_finished()
        return not self._blocks

    @property
    def lag(self) -> int:
        """How many offsets lie between what was fetched and the partition's end."""
        return max(self.end_offset - self.fetch_position, 0)

    def feed(self, fetched: Fetched) -> None:
        """Decode what was read, and append it to what waits."""
        self.end_offset = fetched.end_offset
        self.fetch_position = fetched.next_offset
        records = fetched.records
        if not records:
            if self.is_empty:
                self.position = fetched.next_offset
            else:
                self._blocks[-1] = _extended(self._blocks[-1], fetched.next_offset)
            return
        try:
            self._blocks.append(self._decode(records, fetched.next_offset))
        except Exception:  # noqa: BLE001 - one of them is bad: find out which, and keep the others
            self._feed_one_by_one(records, fetched.next_offset)

    def _decode(self, records: Sequence[Record], next_offset: Offset) -> _Block:
        decode = self.topic.value_codec.decode
        values = [None if (data := r.value) is None else decode(data) for r in records]
        extract = self.topic.timestamp
        if extract is None:
            timestamps = [r.timestamp for r in records]
        else:
            timestamps = [
                r.timestamp if value is None else to_ms(extract(value))
                for r, value in zip(records, values, strict=True)
            ]
        return _Block(records, values, timestamps, next_offset)

    def _feed_one_by_one(self, records: Sequence[Record], end: Offset) -> None:
        good: list[Record] = []
        for index, record in enumerate(records):
            after = records[index + 1].offset if index + 1 < len(records) else end
            error = self._problem(record)
            if error is None:
                good.append(record)
                continue
            if good:
                self._blocks.append(self._decode(good, record.offset))
                good = []
            self._blocks.append(Undecodable(record, error, after))
        if good:
            self._blocks.append(self._decode(good, end))

    def _problem(self, record: Record) -> DecodeFailed | None:
        if record.value is None:
            return None
        codec = self.topic.value_codec
        try:
            value = codec.decode(record.value)
        except Exception as error:  # noqa: BLE001 - whatever the user's decoder raises
            return DecodeFailed(
                self.partition, record.offset, "value", record.value, codec.name, error
            )
        if self.topic.timestamp is not None:
            try:
                to_ms(self.topic.timestamp(value))
            except Exception as error:  # noqa: BLE001 - whatever the user's extractor raises
                return DecodeFailed(
                    self.partition, record.offset, "timestamp", value, "event time", error
                )
        return None

    def head_timestamp(self) -> Timestamp:
        """Return the time of the first event that waits. Only if there is one."""
        head = self._blocks[0]
        if isinstance(head, Undecodable):
            return head.record.timestamp
        return head.timestamps[head.cursor]

    def take(
        self, size_max: int, *, not_beyond: Timestamp | None, up_to: Timestamp | None
    ) -> Slice | Undecodable:
        """Hand out the next events, at least one. An undecodable record comes alone.

        Args:
            size_max: at most so many.
            not_beyond: stop in front of the first event (but one) that is later than this.
            up_to: stop behind the first event that has reached this time.
        """
        head = self._blocks[0]
        if isinstance(head, Undecodable):
            self._blocks.popleft()
            return head
        start = head.cursor
        stop = min(start + size_max, len(head.values))
        times = head.timestamps
        if not_beyond is not None:
            stop = next((i for i in range(start + 1, stop) if times[i] > not_beyond), stop)
        if up_to is not None:
            stop = next((i + 1 for i in range(start, stop) if times[i] >= up_to), stop)
        head.cursor = stop
        return Slice(
            head.records[start:stop],
            head.values[start:stop],
            head.timestamps[start:stop],
            head.offset_at(stop),
        )

    def give_back(self, count: int) -> None:
        """Take back the last `count` events of the slice that was handed out last."""
        head = self._blocks[0]
        assert isinstance(head, _Block)
        head.cursor -= count

    def _drop_finished(self) -> None:
        while self._blocks:
            head = self._blocks[0]
            if isinstance(head, Undecodable) or head.cursor < len(head.values):
                return
            self._blocks.popleft()


def _extended(block: _Block | Undecodable, next_offset: Offset) -> _Block | Undecodable:
    """Return the block, reaching up to `next_offset`: nothing more of it is to be delivered."""
    if isinstance(block, Undecodable):
        return Undecodable(block.record, block.error, next_offset)
    block.next_offset = next_offset
    return block
