"""Requests as small as they come, for tests that care about something else."""

from collections.abc import Sequence

from millpond.log.model import NewRecord
from millpond.log.records import decode_batch, encode_batch
from millpond.log.wire.messages.api_versions import ApiVersionsRequest
from millpond.log.wire.messages.fetch import (
    FetchPartition,
    FetchRequest,
    FetchResponse,
    FetchTopic,
)
from millpond.log.wire.messages.metadata import METADATA, MetadataRequest, MetadataRequestTopic
from millpond.log.wire.messages.produce import (
    PartitionProduceData,
    ProduceRequest,
    ProduceResponse,
    TopicProduceData,
)

from .raw_client import RawClient

WHICH_APIS = ApiVersionsRequest(client_software_name="tests", client_software_version="1")
PRODUCE_VERSION = 9
FETCH_VERSION = 12


def make_topic(client: RawClient, topic: str) -> None:
    """Let a topic with one partition exist, as clients do: by asking for its metadata."""
    asked = MetadataRequestTopic(name=topic)
    (found,) = client.ask(METADATA, 9, MetadataRequest(topics=[asked])).topics
    assert found.error_code == 0, found


def produce_to(
    topic: str, values: Sequence[bytes], *, acks: int = -1, timestamp: int = 1_700_000_000_000
) -> ProduceRequest:
    """Append one batch to partition 0."""
    batch = encode_batch([NewRecord(None, value, timestamp) for value in values])
    return produce_batch(topic, batch, acks=acks)


def produce_batch(topic: str, batch: bytes | bytearray, *, acks: int = -1) -> ProduceRequest:
    """Append these bytes to partition 0."""
    partition = PartitionProduceData(index=0, records=bytes(batch))
    return ProduceRequest(
        acks=acks,
        timeout_ms=30_000,
        topic_data=[TopicProduceData(name=topic, partition_data=[partition])],
    )


def fetch_from(
    topic: str, offset: int, *, wait_ms: int = 0, max_bytes: int = 1 << 20
) -> FetchRequest:
    """Read partition 0 from an offset on."""
    partition = FetchPartition(partition=0, fetch_offset=offset, partition_max_bytes=max_bytes)
    return FetchRequest(
        max_wait_ms=wait_ms,
        min_bytes=1,
        max_bytes=max_bytes,
        topics=[FetchTopic(topic=topic, partitions=[partition])],
    )


def code_of(response: ProduceResponse) -> int:
    """Return the error code of the only partition."""
    ((partition,),) = [topic.partition_responses for topic in response.responses]
    return partition.error_code


def offset_of(response: ProduceResponse) -> int:
    """Return the base offset of the only partition, which was appended to."""
    ((partition,),) = [topic.partition_responses for topic in response.responses]
    assert partition.error_code == 0, partition
    return partition.base_offset


def values_of(response: FetchResponse) -> list[bytes | None]:
    """Return the values that the only partition was read with."""
    ((partition,),) = [topic.partitions for topic in response.responses]
    assert partition.error_code == 0, partition
    values: list[bytes | None] = []
    data = bytes(partition.records or b"")
    while data:
        end = 12 + int.from_bytes(data[8:12])
        values += [record.value for record in decode_batch(data[:end])]
        data = data[end:]
    return values
