"""DescribeProducers (61): who writes to a partition, and in which transaction.

It finds transactions that hang: open on a partition, unknown to the coordinator.

Source: the Kafka protocol, as of 4.1; KIP-664.
"""

from typing import Final

from ..api import Api
from ..schema import Int16, Int32, Int64, Message, String


class TopicRequest(Message):
    """One of `DescribeProducersRequest.topics`."""

    name: String
    partition_indexes: list[Int32]


class DescribeProducersRequest(Message):
    """What a client asks."""

    topics: list[TopicRequest]


class ProducerState(Message):
    """One of `PartitionResponse.active_producers`."""

    producer_id: Int64
    producer_epoch: Int32
    last_sequence: Int32 = -1
    last_timestamp: Int64 = -1
    coordinator_epoch: Int32
    current_txn_start_offset: Int64 = -1


class PartitionResponse(Message):
    """One of `TopicResponse.partitions`."""

    partition_index: Int32
    error_code: Int16 = 0
    error_message: String | None = None
    active_producers: list[ProducerState]


class TopicResponse(Message):
    """One of `DescribeProducersResponse.topics`."""

    name: String
    partitions: list[PartitionResponse]


class DescribeProducersResponse(Message):
    """What the broker answers."""

    throttle_time_ms: Int32 = 0
    topics: list[TopicResponse]


DESCRIBE_PRODUCERS: Final = Api(
    key=61,
    name="DescribeProducers",
    request=DescribeProducersRequest,
    response=DescribeProducersResponse,
    first=0,
    last=0,
    flexible_since=0,
)
"""DescribeProducers, as both sides know it."""
