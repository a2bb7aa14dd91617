"""ListOffsets (2): the first, last or earliest offset at or after a time.

Source: the Kafka protocol, as of 4.1.
"""

from typing import Annotated, Final

from ..api import Api
from ..schema import Int8, Int16, Int32, Int64, Message, Since, String


class ListOffsetsPartition(Message):
    """One of `ListOffsetsTopic.partitions`."""

    partition_index: Int32
    current_leader_epoch: Annotated[Int32, Since(4)] = -1
    timestamp: Int64


class ListOffsetsTopic(Message):
    """One of `ListOffsetsRequest.topics`."""

    name: String
    partitions: list[ListOffsetsPartition]


class ListOffsetsRequest(Message):
    """What a client asks."""

    replica_id: Int32
    isolation_level: Annotated[Int8, Since(2)] = 0
    topics: list[ListOffsetsTopic]
    timeout_ms: Annotated[Int32, Since(10)] = 0


class ListOffsetsPartitionResponse(Message):
    """One of `ListOffsetsTopicResponse.partitions`."""

    partition_index: Int32
    error_code: Int16 = 0
    timestamp: Int64 = -1
    offset: Int64 = -1
    leader_epoch: Annotated[Int32, Since(4)] = -1


class ListOffsetsTopicResponse(Message):
    """One of `ListOffsetsResponse.topics`."""

    name: String
    partitions: list[ListOffsetsPartitionResponse]


class ListOffsetsResponse(Message):
    """What the broker answers."""

    throttle_time_ms: Annotated[Int32, Since(2)] = 0
    topics: list[ListOffsetsTopicResponse]


LIST_OFFSETS: Final = Api(
    key=2,
    name="ListOffsets",
    request=ListOffsetsRequest,
    response=ListOffsetsResponse,
    first=1,
    last=10,
    flexible_since=6,
)
"""ListOffsets, as both sides know it."""
