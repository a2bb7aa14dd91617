"""Batches whose values are their offsets, and readers of them, who check that they get each once."""

from collections.abc import Mapping, Sequence

import anyio
from millpond.log.interface import Reader
from millpond.log.model import Offset, TopicPartition
from millpond.log.records import encode_batch
from millpond.log.wire.messages.produce import (
    PRODUCE,
    PartitionProduceData,
    ProduceRequest,
    TopicProduceData,
)
from millpond.tests.conformance.helpers import new

from .running_broker import RunningBroker


def append(broker: RunningBroker, *batches: tuple[TopicPartition, Sequence[bytes]]) -> None:
    """Append batches without a producer, whose first append takes a while."""
    with broker.client() as client:
        for place, values in batches:
            records = bytes(encode_batch([new(value) for value in values]))
            partition = PartitionProduceData(index=place.partition, records=records)
            topic = TopicProduceData(name=place.topic, partition_data=[partition])
            request = ProduceRequest(acks=-1, timeout_ms=5000, topic_data=[topic])
            answer = client.ask(PRODUCE, 9, request)
            assert answer.responses[0].partition_responses[0].error_code == 0


def numbered(
    place: TopicPartition, batches: int, *, each: int = 3, size: int = 0, start: int = 0
) -> list[tuple[TopicPartition, list[bytes]]]:
    """Return batches whose values are their offsets."""
    return [
        (place, [b"%d" % number + b" " * size for number in range(first, first + each)])
        for first in range(start, start + batches * each, each)
    ]


class Progress:
    """What a reader has read, which has to be every offset once, in order."""

    def __init__(self, positions: Mapping[TopicPartition, Offset]) -> None:
        self.positions = dict(positions)

    async def read(self, reader: Reader, bytes_max: int = 1 << 20, wait_max_s: float = 5) -> None:
        for fetched in await reader.read(bytes_max=bytes_max, wait_max_s=wait_max_s):
            begun = self.positions[fetched.partition]
            expected = list(range(begun, fetched.next_offset))
            assert [record.offset for record in fetched.records] == expected
            assert [int(record.value or b"") for record in fetched.records] == expected
            self.positions[fetched.partition] = fetched.next_offset

    async def read_up_to(self, reader: Reader, ends: Mapping[TopicPartition, Offset]) -> None:
        with anyio.fail_after(20):
            while self.positions != ends:
                await self.read(reader)
