"""The copy of a topic behind a global table: read to its end before agents start, then followed."""

from typing import Any

from ..log.interface import Log
from ..log.model import Isolation, TopicPartition
from .errors import DecodeFailed
from .table import GlobalTable


class GlobalCopy(dict[Any, Any]):
    """The latest value per key of all partitions of a topic, in memory."""

    def __init__(self, table: GlobalTable[Any, Any], partitions: int) -> None:
        super().__init__()
        self.table = table
        self._partitions = [TopicPartition(table.topic.name, i) for i in range(partitions)]

    async def load(self, log: Log) -> None:
        """Read all that is there."""
        ends = await log.end_offsets(self._partitions)
        self._reader = log.reader(Isolation.READ_COMMITTED)
        starts = await log.start_offsets(self._partitions)
        behind = {tp for tp in self._partitions if starts[tp] < ends[tp]}
        self._reader.assign(starts)
        while behind:
            for fetched in await self._reader.read():
                self._apply(fetched.partition, fetched.records)
                if fetched.next_offset >= ends[fetched.partition]:
                    behind.discard(fetched.partition)

    async def follow(self) -> None:
        """Apply what is appended from now on, until cancelled."""
        while True:
            for fetched in await self._reader.read():
                self._apply(fetched.partition, fetched.records)

    async def aclose(self) -> None:
        await self._reader.aclose()

    def _apply(self, partition: TopicPartition, records: Any) -> None:
        decode_key = self.table.topic.key_codec.decode
        decode_value = self.table.topic.value_codec.decode
        for record in records:
            if record.key is None:
                continue
            try:
                key = decode_key(record.key)
                value = None if record.value is None else decode_value(record.value)
            except ValueError as error:
                raise DecodeFailed(
                    partition,
                    record.offset,
                    "value",
                    record.value,
                    self.table.topic.value_codec.name,
                    error,
                ) from None
            if value is None:
                self.pop(key, None)
            else:
                self[key] = value
