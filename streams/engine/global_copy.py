"""The copy of a topic behind a global table: read to its end before agents start, then followed.

A record that does not decode ends the app, or is passed over if the topic's policy has anything but
Stop in the end. A dead letter is left to the agents of the topic: every worker has a copy, and each
start reads it again.
"""

from collections.abc import Iterable
from typing import Any

from ...log.interface import Log
from ...log.model import Isolation, Offset, Record, TopicPartition
from ...state.codec import Codec
from ..errors import DecodeFailed, Part
from ..policy import Stop, last_resort
from ..table import GlobalTable
from ..topic import Topic


class GlobalCopy(dict[Any, Any]):
    """The latest value per key of all partitions of a topic, in memory.

    Attributes:
        positions: up to where each partition is read.
    """

    def __init__(self, table: GlobalTable[Any, Any], partitions: int) -> None:
        super().__init__()
        self.table = table
        self._partitions = [TopicPartition(table.topic.name, i) for i in range(partitions)]
        self.positions: dict[TopicPartition, Offset] = {}

    async def load(self, log: Log) -> None:
        """Read all that is there."""
        ends = await log.end_offsets(self._partitions)
        self._reader = log.reader(Isolation.READ_COMMITTED)
        starts = await log.start_offsets(self._partitions)
        self._reader.assign(starts)
        self.positions = dict(starts)
        while any(self.positions[partition] < end for partition, end in ends.items()):
            await self._read_on()

    async def follow(self) -> None:
        """Apply what is appended from now on, until cancelled."""
        while True:
            await self._read_on()

    async def aclose(self) -> None:
        await self._reader.aclose()

    async def _read_on(self) -> None:
        for fetched in await self._reader.read():
            self._apply(fetched.partition, fetched.records)
            self.positions[fetched.partition] = fetched.next_offset

    def _apply(self, partition: TopicPartition, records: Iterable[Record]) -> None:
        topic = self.table.topic
        for record in records:
            if record.key is None:
                continue
            try:
                key, value = _decoded(topic, partition, record)
            except DecodeFailed:
                if isinstance(last_resort(topic.on_decode_error), Stop):
                    raise
                continue
            if value is None:
                self.pop(key, None)
            else:
                self[key] = value


def _decoded(topic: Topic[Any, Any], partition: TopicPartition, record: Record) -> tuple[Any, Any]:
    decoded: list[Any] = []
    parts: tuple[tuple[Part, bytes | None, Codec[Any]], ...] = (
        ("key", record.key, topic.key_codec),
        ("value", record.value, topic.value_codec),
    )
    for part, data, codec in parts:
        try:
            decoded.append(None if data is None else codec.decode(data))
        except Exception as error:
            raise DecodeFailed(partition, record.offset, part, data, codec.name, error) from error
    key, value = decoded
    return key, value
