"""OffsetForLeaderEpoch (23): where a leader epoch ended, for whoever must truncate or check.

    2   the leader epoch that the client knows (KIP-320)
    3   replica id: -1 a consumer, -2 whoever may see beyond the high watermark
    4   flexible

Source: the Kafka protocol, as of 4.1; KIP-101; KIP-279 for the epoch in the response.
"""

from typing import Annotated, Final

from ..api import Api
from ..schema import Int16, Int32, Int64, Message, Since, String


class OffsetForLeaderPartition(Message):
    """One of `OffsetForLeaderTopic.partitions`."""

    partition: Int32
    current_leader_epoch: Int32 = -1
    leader_epoch: Int32


class OffsetForLeaderTopic(Message):
    """One of `OffsetForLeaderEpochRequest.topics`."""

    topic: String
    partitions: list[OffsetForLeaderPartition]


class OffsetForLeaderEpochRequest(Message):
    """What a client asks."""

    replica_id: Annotated[Int32, Since(3)] = -2
    topics: list[OffsetForLeaderTopic]


class EpochEndOffset(Message):
    """One of `OffsetForLeaderTopicResult.partitions`."""

    error_code: Int16 = 0
    partition: Int32
    leader_epoch: Int32 = -1
    end_offset: Int64 = -1


class OffsetForLeaderTopicResult(Message):
    """One of `OffsetForLeaderEpochResponse.topics`."""

    topic: String
    partitions: list[EpochEndOffset]


class OffsetForLeaderEpochResponse(Message):
    """What the broker answers."""

    throttle_time_ms: Int32 = 0
    topics: list[OffsetForLeaderTopicResult]


OFFSET_FOR_LEADER_EPOCH: Final = Api(
    key=23,
    name="OffsetForLeaderEpoch",
    request=OffsetForLeaderEpochRequest,
    response=OffsetForLeaderEpochResponse,
    first=2,
    last=4,
    flexible_since=4,
)
"""OffsetForLeaderEpoch, as both sides know it."""
