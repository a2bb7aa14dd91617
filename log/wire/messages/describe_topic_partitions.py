"""DescribeTopicPartitions (75): topics and their partitions, some at a time.

The response ends after so many partitions with a cursor, from which the next request goes on.

Source: the Kafka protocol, as of 4.1; KIP-966, for eligible leader replicas.
"""

from typing import Final

from ..api import Api
from ..schema import Bool, Int16, Int32, Message, String, Uuid


class TopicRequest(Message):
    """One of `DescribeTopicPartitionsRequest.topics`."""

    name: String


class Cursor(Message):
    """The `DescribeTopicPartitionsRequest.cursor`."""

    topic_name: String
    partition_index: Int32


class DescribeTopicPartitionsRequest(Message):
    """What a client asks."""

    topics: list[TopicRequest]
    response_partition_limit: Int32 = 2000
    cursor: Cursor | None = None


class DescribeTopicPartitionsResponsePartition(Message):
    """One of `DescribeTopicPartitionsResponseTopic.partitions`."""

    error_code: Int16 = 0
    partition_index: Int32
    leader_id: Int32
    leader_epoch: Int32 = -1
    replica_nodes: list[Int32]
    isr_nodes: list[Int32]
    eligible_leader_replicas: list[Int32] | None = None
    last_known_elr: list[Int32] | None = None
    offline_replicas: list[Int32]


class DescribeTopicPartitionsResponseTopic(Message):
    """One of `DescribeTopicPartitionsResponse.topics`."""

    error_code: Int16 = 0
    name: String | None
    topic_id: Uuid
    is_internal: Bool = False
    partitions: list[DescribeTopicPartitionsResponsePartition]
    topic_authorized_operations: Int32 = -2147483648


class ResponseCursor(Message):
    """The `DescribeTopicPartitionsResponse.next_cursor`."""

    topic_name: String
    partition_index: Int32


class DescribeTopicPartitionsResponse(Message):
    """What the broker answers."""

    throttle_time_ms: Int32 = 0
    topics: list[DescribeTopicPartitionsResponseTopic]
    next_cursor: ResponseCursor | None = None


DESCRIBE_TOPIC_PARTITIONS: Final = Api(
    key=75,
    name="DescribeTopicPartitions",
    request=DescribeTopicPartitionsRequest,
    response=DescribeTopicPartitionsResponse,
    first=0,
    last=0,
    flexible_since=0,
)
"""DescribeTopicPartitions, as both sides know it."""
