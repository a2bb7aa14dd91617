"""ListOffsets (2): which offset belongs to a time, or is the first or last.

A timestamp below zero asks for something special: -1 the end (for read_committed, the last stable
offset), -2 the beginning, -3 the largest timestamp, -4 and -5 are about tiered storage.

    1   one offset per partition, with its timestamp (KIP-79)
    2   isolation level (KIP-98)
    4   leader epochs, both ways (KIP-320)
    5   OFFSET_NOT_AVAILABLE may be answered (KIP-207)
    6   flexible
    7   -3: the largest timestamp (KIP-734)
    8   -4: the first offset that is kept locally (KIP-405)
    9   -5: the last offset in tiered storage (KIP-1005)
    10  a timeout for looking into tiered storage (KIP-1075)

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
